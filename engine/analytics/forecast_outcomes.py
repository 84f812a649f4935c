"""Outcomes of the open deals: the book that the pay rules simulate, and the revenue and credit of the same rounds.

The rules draw each open deal in the worker (`engine.calc.simulate`); `draw` gives the same outcomes in NumPy, so that
revenue, credit and pay of a round belong together.
"""

import re
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from hashlib import sha256

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from engine.analytics import inputs
from engine.analytics.inputs import Inputs
from engine.calc.book import NONE, Book
from engine.calc.model import Plan, QuotaRow
from engine.calc.result import EARNED, WIDTH, Result, Row, coded_period
from engine.calc.simulate import LOW, MULTIPLIER
from engine.errors import Problem
from engine.money import PPM
from engine.periods import Period, parse_period, period_of

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Trial:
    """A book in which some open deals stand as won on an expected day; ``open_rows`` are their places in it.

    ``inputs`` is of the same book; ``copied`` are the quota periods whose quotas were not set yet, and for which the
    last one of the person was taken.
    """

    inputs: Inputs
    open_rows: Ints
    copied: tuple[str, ...] = ()

    @property
    def book(self) -> Book:
        """The book of the inputs."""
        return self.inputs.book


_COLUMNS = sa.text("""
    SELECT quote_ident(attname) FROM pg_attribute
     WHERE attrelid = CAST('deals' AS regclass) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
""")
_WON = sa.text("SELECT id FROM pipeline_stages WHERE outcome = 'won' ORDER BY retired_at IS NOT NULL, position LIMIT 1")


def load_trial(
    conn: sa.Connection,
    today: date,
    until: date,
    closing: Mapping[int, tuple[int, int | None]],
    since: date | None = None,
    credited: frozenset[int] | None = None,
) -> Trial:
    """The book of the deals closed before `until`, with open deals as if they were won.

    ``closing``, by the id of an open deal: the day (ordinal) on which it closes, and its amount in minor units of its
    own currency (None: as it is).  ``since``: only deals that close on or after it; ``credited``: only deals with a
    credit of one of these users.  Quotas that end after `today` go on for the periods after them.
    """
    relation = _relation(conn, closing, since, credited)
    period = Period(1, until.toordinal(), "quarter")  # of which only the end is asked for
    loaded = inputs.load(conn, period, relation)
    quotas, copied = _continued(loaded.book.quotas, today.toordinal(), until.toordinal())
    book = replace(loaded.book, quotas=quotas)
    open_ids = np.fromiter(closing, dtype=np.int64, count=len(closing))
    rows = np.flatnonzero(np.isin(loaded.deal_ids, open_ids)).astype(np.int64)
    return Trial(replace(loaded, book=book), rows, copied)


def _relation(
    conn: sa.Connection,
    closing: Mapping[int, tuple[int, int | None]],
    since: date | None,
    credited: frozenset[int] | None,
) -> str:
    """A subquery in place of ``deals``; all that is put into it are numbers and dates."""
    stage = int(conn.scalar(_WON) or 0)
    names = list(conn.scalars(_COLUMNS))
    where = []
    if since is not None:
        where.append(f"o.close_date >= DATE '{since.isoformat()}'")
    if credited is not None:
        people = ", ".join(str(int(each)) for each in sorted(credited)) or "0"
        where.append(
            f"(o.owner_id IN ({people}) OR o.id IN (SELECT deal_id FROM deal_credits WHERE user_id IN ({people})))"  # noqa: S608
        )
    limits = "".join(f" AND {each}" for each in where)
    if not closing:
        return f"(SELECT o.* FROM deals o WHERE true{limits})"  # noqa: S608
    rows = ", ".join(
        f"({int(deal)}, DATE '{date.fromordinal(day).isoformat()}', "
        + ("NULL::bigint)" if amount is None else f"{int(amount)}::bigint)")
        for deal, (day, amount) in closing.items()
    )
    won = {
        "stage_id": f"{stage} AS stage_id",
        "close_date": "e.day AS close_date",
        "amount": "coalesce(e.amount, o.amount) AS amount",
    }
    changed = ", ".join(won.get(name, f"o.{name}") for name in names)
    # What is closed already stands as it is; of what is open only the deals that are to close.
    return f"""(
        SELECT {", ".join(f"o.{name}" for name in names)} FROM deals o
          JOIN pipeline_stages ps ON ps.id = o.stage_id AND ps.outcome <> 'open' WHERE true{limits}
         UNION ALL
        SELECT {changed} FROM (VALUES {rows}) AS e (id, day, amount) JOIN deals o ON o.id = e.id
    )"""  # noqa: S608


def _continued(quotas: Sequence[QuotaRow], today: int, end: int) -> tuple[tuple[QuotaRow, ...], tuple[str, ...]]:
    """The quotas, each person's last one standing for the periods from `today` to `end` without one."""
    last: dict[tuple[str, str | None, str], tuple[Period, QuotaRow]] = {}
    for row in quotas:
        if row.period is None:
            continue  # holds always
        period = parse_period(row.period)
        key = row.person, row.component, period.kind
        if key not in last or period.start > last[key][0].start:
            last[key] = period, row
    more, names = [], set()
    for period, row in last.values():
        if period.end <= today:
            continue  # of someone who has had no quota lately
        period = period.next()
        while period.start < end:
            more.append(replace(row, period=period.name))
            names.add(period.name)
            period = period.next()
    return (*quotas, *more), tuple(sorted(names))


def cut_for(plans: Mapping[str, tuple[Plan, ...]], since: date) -> date | None:
    """The first day whose deals still decide what is earned in pay periods that start on or after `since`.

    Credit accumulates within a quota period at most, so that is the first day of the longest one that holds `since`
    (and of the pay period).  None, all deals count, where a cap carries pay over from one quota period to the next.
    What older deals give back when they are cancelled is certain, and counted apart.
    """
    kinds: set[str] = set()
    for versions in plans.values():
        for plan in versions:
            kinds.add(plan.pay_period)
            for component in plan.components:
                kinds.add(component.quota_period)
                if component.cap is not None and component.cap.excess == "carry":
                    return None
    day = since.toordinal()
    return date.fromordinal(min([day, *(period_of(kind, day).start for kind in kinds)]))


def without_certain_cancellations(trial: Trial, today: date) -> Trial:
    """The trial without cancellations where what they give back is certain, as that of deals closed before today is.

    A line depends on what closed before it, except where a gate looks at another component, whose attainment is that
    of the period's end.  Pay that depends on credit alone is simulated many times faster.
    """
    deals = trial.book.deals
    gated = any(
        component.gate is not None and component.gate.component is not None
        for versions in trial.book.plans.values()
        for plan in versions
        for component in plan.components
    )
    if deals.cancelled is None or gated:
        return trial
    cancelled = np.frombuffer(deals.cancelled, dtype=np.int64) != NONE
    closed = np.frombuffer(deals.close_date, dtype=np.int64)
    if bool((closed[cancelled] >= today.toordinal()).any()):
        return trial
    book = replace(trial.book, deals=replace(deals, cancelled=None))
    return replace(trial, inputs=replace(trial.inputs, book=book))


_DEAL_PATH = re.compile(r"deal\[(\d+)\]\.")


def open_deals_at_fault(trial: Trial, problems: Sequence[Problem]) -> set[int] | None:
    """The ids of the open deals that the problems are about; None when some problem is not about one."""
    open_rows = set(trial.open_rows.tolist())
    found = set()
    for problem in problems:
        match = _DEAL_PATH.match(problem.path)
        if match is None or int(match.group(1)) not in open_rows:
            return None
        found.add(int(trial.inputs.deal_ids[int(match.group(1))]))
    return found


def chances(trial: Trial, rate_of: Mapping[int, int]) -> "array[int]":
    """For each deal of the book how likely it is won, in ppm: what is closed is certain, ``rate_of`` is by deal id."""
    found = np.full(len(trial.book.deals), PPM, dtype=np.int64)
    ids = trial.inputs.deal_ids[trial.open_rows].tolist()
    found[trial.open_rows] = [rate_of[each] for each in ids]
    return array("q", found.tobytes())


def draw(rows: Ints, likely: Ints, seed: int, rounds: int) -> Bools:
    """Whether each deal (by its row in the book and its chance in ppm) is won in each round: (rounds, deals).

    The very numbers of `engine.calc.simulate.Outcomes`; a chance of 1,000,000 or more is always won.
    """
    begun = [int.from_bytes(sha256(f"{seed}:{row}".encode()).digest()[:8], "big") >> 2 | 1 for row in rows.tolist()]
    state = np.array(begun, dtype=np.int64)
    limit = (np.maximum(likely, 0) << 32) // PPM
    won = np.empty((rounds, len(rows)), dtype=np.bool_)
    for i in range(rounds):
        low, high = state & LOW, state >> 32
        won[i] = (low ^ high) < limit
        state = MULTIPLIER * low + high
    won[:, likely >= PPM] = True
    return won


def sums(won: Bools, columns: Ints, amounts: Ints) -> Ints:
    """In each round the sum of the amounts whose deal (a column of `won`) is won."""
    if not len(columns):
        return np.zeros(len(won), dtype=np.int64)
    found: Ints = np.where(won[:, columns], amounts, 0).sum(axis=1, dtype=np.int64)
    return found


# --- attainment ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class QuotaCredit:
    """What counts towards one person's quotas in a quarter, in units, as the rules credit it.

    ``certain`` is of closed deals; ``columns`` and ``credit`` are the open ones, by place among the open rows.
    """

    quota: float
    certain: float
    columns: Ints
    credit: Floats

    def reached(self, won: Bools) -> Floats:
        """Attainment in each round (1: the quota)."""
        if not len(self.columns):
            return np.full(len(won), self.certain / self.quota)
        more = won[:, self.columns].astype(np.float64) @ self.credit
        return (self.certain + more) / self.quota


def quota_credits(result: Result, trial: Trial, start: date, end: date) -> dict[str, QuotaCredit]:
    """By person, credit and quota of the quota periods that ``[start, end)`` touches, of all components with a quota.

    ``result`` is the calculation of the trial's book with every open deal won; what a deal credits does not depend on
    the others.  As on the dashboard, the components of a person count together.
    """
    place_of = np.full(len(trial.book.deals), -1, dtype=np.int64)
    place_of[trial.open_rows] = np.arange(len(trial.open_rows))
    first, past = start.toordinal(), end.toordinal()
    inside: dict[int, bool] = {}
    quotas: dict[int, dict[tuple[str, str, int], float]] = {}
    parts: dict[int, list[tuple[Ints, Floats]]] = {}
    numbers = np.frombuffer(result.blocks.numbers, dtype=np.int64).reshape(-1, WIDTH)
    deals, running = _flat(result, "deal"), _flat(result, "credit")
    for values in numbers.tolist():
        row = Row(*values)
        terms = result.blocks.terms[row.terms]
        if row.kind != EARNED or terms.quota is None or not row.size:
            continue
        if row.quota_period not in inside:
            period = coded_period(row.quota_period)
            inside[row.quota_period] = period.start < past and period.end > first
        if not inside[row.quota_period]:
            continue
        size = terms.quota[0] / terms.quota[1]
        quotas.setdefault(row.person, {})[terms.plan, terms.component, row.quota_period] = size
        block = slice(row.first, row.first + row.size)
        credit = np.diff(running[block], prepend=row.credit) / terms.scale
        parts.setdefault(row.person, []).append((deals[block], credit))
    found = {}
    for person, own in quotas.items():
        quota = sum(own.values())
        rows = np.concatenate([each for each, _ in parts[person]])
        credit = np.concatenate([each for _, each in parts[person]])
        places = np.where(rows >= 0, place_of[np.maximum(rows, 0)], -1)
        is_open = places >= 0
        if quota > 0:
            found[trial.book.people[person]] = QuotaCredit(
                quota, float(credit[~is_open].sum()), places[is_open], credit[is_open]
            )
    return found


def _flat(result: Result, name: str) -> Ints:
    column = result.columns.get(name)
    return np.frombuffer(column.tobytes(), dtype=np.int64) if column is not None else np.zeros(0, dtype=np.int64)

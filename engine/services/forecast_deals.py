"""If these deals close: what a person would earn and attain, to the cent.  Nothing of it is kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

import pandas as pd
import sqlalchemy as sa

from engine.analytics import forecast as parts
from engine.analytics import forecast_outcomes as outcomes
from engine.analytics.forecast_outcomes import Trial
from engine.analytics.inputs import pay_currencies
from engine.calc.result import Result
from engine.db.database import Database
from engine.db.people import with_those_below
from engine.errors import Problem, ProblemsError
from engine.money import LARGEST, PPM
from engine.periods import parse_period, period_of
from engine.services import access
from engine.services.access import Actor
from engine.services.forecast import stage_rates
from engine.workers.pool import Pool

MOST = 500  # open deals offered at once
_LATEST = 731  # days from today


@dataclass(frozen=True)
class Tick:
    """A ticked deal: when it closes, and for how much (minor units of the deal's currency)."""

    closes: date
    amount: int


@dataclass(frozen=True)
class IfClosed:
    """What changes for one person when the ticked deals close.  Money in minor units of `currency`.

    Frames: ``pay`` by pay period from the running quarter on (period, before, after, difference), ``attainment``
    (component, period, before, after: ratios, null without a credit; credit and quota in units), ``lines`` (deal,
    component, period, before, after, difference) that change or stand on a ticked deal.  ``copied`` are quota periods
    for which the last quota was taken.  With ``problems`` nothing was calculated.
    """

    currency: str
    pay: pd.DataFrame = field(default_factory=pd.DataFrame)
    attainment: pd.DataFrame = field(default_factory=pd.DataFrame)
    lines: pd.DataFrame = field(default_factory=pd.DataFrame)
    copied: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def before(self) -> int:
        """Pay of all periods shown without the ticked deals."""
        return int(self.pay["before"].sum()) if len(self.pay) else 0

    @property
    def after(self) -> int:
        """The same with them."""
        return int(self.pay["after"].sum()) if len(self.pay) else 0


def choosable(db: Database, actor: Actor, today: date) -> pd.DataFrame:
    """Whom the viewer may look at: user_id, code, name, team of the active people who are on a plan today.

    Needs "forecast.view".
    """
    with db.read(actor) as conn:
        allowed = access.visible_people(conn, actor, "forecast.view", today)
        found = parts.names(conn, today)
        paid = set(conn.scalars(_ON_PLAN, {"day": today}))
    found = found[found["user_id"].isin(paid)]
    return (found if allowed is None else found[found["user_id"].isin(allowed)]).reset_index(drop=True)


_ON_PLAN = sa.text("SELECT user_id FROM plan_assignments WHERE end_date IS NULL OR end_date > :day")


def open_deals(db: Database, actor: Actor, user_id: int, today: date) -> pd.DataFrame:
    """The open deals that count for the person's pay, the next to close first, at most `MOST`.

    As `analytics.forecast.tickable`, with ``rate`` (the win rate of the stage, 0..1) and ``closes`` (the day it is
    offered with: its close date, or today where that is over).  Needs "forecast.view" and the person within reach.
    """
    with db.read(actor) as conn:
        access.require_person(conn, actor, "forecast.view", user_id, today)
    with db.read() as conn:  # win rates and what people are paid on are the whole company's
        found = parts.tickable(conn, with_those_below(conn, frozenset({user_id})), MOST)
        rates = stage_rates(conn, [today + timedelta(days=1)])
    by_stage = dict(zip(rates["stage_id"], rates["rate"], strict=True))
    return found.assign(
        rate=[by_stage.get(stage, 0) / PPM for stage in found["stage_id"]],
        closes=[max(day, today) for day in found["close_date"]],
    )


def if_these_close(
    db: Database, pool: Pool, actor: Actor, user_id: int, ticks: Mapping[int, Tick], today: date
) -> IfClosed:
    """What the person earns if the ticked deals (by id) close, beside what is earned without them.

    Both are calculated by the real rules from all closed deals.  Needs "forecast.view" and the person within reach.
    Raises ProblemsError for a day or amount that cannot be, and for a deal that is not open any more.
    """
    start = period_of("quarter", today.toordinal()).first_day
    with db.read(actor) as conn:
        access.require_person(conn, actor, "forecast.view", user_id, today)
    with db.read() as conn:  # win rates and what people are paid on are the whole company's
        credited = with_those_below(conn, frozenset({user_id}))
        _refuse(parts.tickable(conn, credited, MOST), ticks, start, today)
        last = max([today, *(tick.closes for tick in ticks.values())])
        until = date.fromordinal(period_of("quarter", last.toordinal()).end)
        closing = {deal: (tick.closes.toordinal(), tick.amount) for deal, tick in ticks.items()}
        without = outcomes.load_trial(conn, today, until, {}, credited=credited)
        trial = outcomes.load_trial(conn, today, until, closing, credited=credited) if ticks else without
        code = conn.scalar(sa.text("SELECT code FROM users WHERE id = :id"), {"id": user_id}) or ""
        names = _deal_names(conn, trial)
    currency = pay_currencies(trial.book).get(code, "")
    before = pool.calculate(without.book)
    after = pool.calculate(trial.book) if ticks else before
    problems = before.problems or after.problems
    if problems:
        return IfClosed(currency, problems=problems)
    return IfClosed(
        currency,
        _pay(before, after, code, start),
        _attainment(before, after, code, start),
        _lines(before, after, code, start, set(ticks), names),
        trial.copied,
    )


def _refuse(offered: pd.DataFrame, ticks: Mapping[int, Tick], start: date, today: date) -> None:
    names = dict(zip(offered["id"].tolist(), offered["name"].tolist(), strict=True))
    latest = today + timedelta(days=_LATEST)
    problems = []
    for deal, tick in ticks.items():
        if deal not in names:
            problems.append(Problem("deals", "One of them is not open any more.", "Look at the list again."))
            continue
        if not 0 <= tick.amount <= LARGEST:
            problems.append(Problem(names[deal], "has an amount that cannot be.", "Write 0 or more."))
        if not start <= tick.closes <= latest:
            problems.append(
                Problem(
                    names[deal],
                    f"closes on {tick.closes}, outside of what can be looked at.",
                    f"Choose a day from {start} to {latest}.",
                )
            )
    if problems:
        raise ProblemsError(problems)


def _deal_names(conn: sa.Connection, trial: Trial) -> dict[str, str]:
    ids = trial.inputs.deal_ids.tolist()
    found = conn.execute(sa.text("SELECT id, name FROM deals WHERE id = ANY(:ids)"), {"ids": ids})
    return {str(row.id): row.name for row in found}


def _pay(before: Result, after: Result, code: str, start: date) -> pd.DataFrame:
    was, now = (
        {row.period: row.earned for row in result.pay if row.person == code and _counts(row.period, start)}
        for result in (before, after)
    )
    periods = sorted(was.keys() | now.keys(), key=lambda name: parse_period(name).start)
    rows = [(name, was.get(name, 0), now.get(name, 0), now.get(name, 0) - was.get(name, 0)) for name in periods]
    return pd.DataFrame(rows, columns=["period", "before", "after", "difference"])


def _counts(period: str, start: date) -> bool:
    return parse_period(period).end > start.toordinal()


def _attainment(before: Result, after: Result, code: str, start: date) -> pd.DataFrame:
    labels = _labels(after)
    was, now = (
        {
            (row.component, row.period): row
            for row in result.attainment
            if row.person == code and _counts(row.period, start)
        }
        for result in (before, after)
    )
    rows = []
    for key in sorted(was.keys() | now.keys(), key=lambda each: (parse_period(each[1]).start, each[0])):
        first, second = was.get(key), now.get(key)
        rows.append(
            (
                labels.get(key[0], key[0]),
                key[1],
                first.credit / first.quota if first else None,
                second.credit / second.quota if second else None,
            )
        )
    return pd.DataFrame(rows, columns=["component", "period", "before", "after"])


def _labels(result: Result) -> dict[str, str]:
    return {
        part.id: part.label or part.id
        for versions in result.book.plans.values()
        for plan in versions
        for part in plan.components
    }


def _lines(
    before: Result, after: Result, code: str, start: date, ticked: set[int], names: Mapping[str, str]
) -> pd.DataFrame:
    labels = _labels(after)
    found: list[dict[tuple[str, str, str, str], int]] = []
    for result in (before, after):
        shown = {row.period for row in result.pay if row.person == code and _counts(row.period, start)}
        sums: dict[tuple[str, str, str, str], int] = {}
        for line in result.lines(shown):
            if line.person == code:
                key = line.deal, line.component, line.period, line.kind
                sums[key] = sums.get(key, 0) + line.cents
        found.append(sums)
    was, now = found
    rows = [
        (
            names.get(key[0], "Carried from earlier periods"),
            labels.get(key[1], key[1]),
            key[2],
            was.get(key, 0),
            now.get(key, 0),
            now.get(key, 0) - was.get(key, 0),
        )
        for key in sorted(was.keys() | now.keys(), key=lambda each: (parse_period(each[2]).start, each))
        if was.get(key, 0) != now.get(key, 0) or (key[0] and int(key[0]) in ticked)
    ]
    return pd.DataFrame(rows, columns=["deal", "component", "period", "before", "after", "difference"])

"""Many quotas at once: pasted, copied with growth, ramped, split.

Each tool first proposes: what would be set, from what to what.  `save_proposal` then writes exactly that, or nothing
when somebody else has changed one of the quotas meanwhile.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa

from engine.analytics import fiscal
from engine.analytics import quotas as figures
from engine.db import audit, company, people, quotas
from engine.db.database import Database
from engine.db.quotas import Key, Ramp
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.imports.quotas import (
    MOST_BYTES,
    CellProblem,
    QuotaPerson,
    amount_of,
    read_quotas,
    rows_of_file,
    rows_of_text,
)
from engine.money import PPM, currency_digits, format_money, format_rate, parse_rate
from engine.periods import Period, add_months, parse_period, period_of
from engine.services import access
from engine.services.access import Actor
from engine.services.quotas import LARGEST, Scope, carries_quota, closed_among, read_grid, save_quotas

__all__ = ["MOST_BYTES", "CellProblem", "Ramp"]

_MOST_STEPS = 36
_MOST_GROWTH = 10 * PPM


@dataclass(frozen=True)
class ProposedQuota:
    """One quota that would change; None: none is set."""

    user_id: int
    person: str
    period: str
    before: int | None
    after: int | None


@dataclass(frozen=True)
class Proposal:
    """What a tool would change, and in what.  `how` is kept in the history, `same` counts what stays as it is.

    `closed` are the periods concerned that reach into a closed pay period; `notes` are sentences for the reader,
    `problems` the cells that could not be used.
    """

    component: str
    currency: str
    how: str
    quotas: tuple[ProposedQuota, ...]
    same: int
    closed: tuple[str, ...]
    notes: tuple[str, ...] = ()
    problems: tuple[CellProblem, ...] = ()


def save_proposal(db: Database, actor: Actor, proposal: Proposal) -> int:
    """Write what was proposed, all or nothing; returns how many quotas changed.  Raises as `save_quotas`."""
    return save_quotas(
        db,
        actor,
        {(row.user_id, row.period): row.after for row in proposal.quotas},
        proposal.component,
        {(row.user_id, row.period): row.before for row in proposal.quotas},
        proposal.how,
    )


def _propose(
    conn: sa.Connection,
    component: str,
    wanted: Mapping[Key, int | None],
    how: str,
    notes: Sequence[str] = (),
    problems: Sequence[CellProblem] = (),
) -> Proposal:
    """What of `wanted` differs from what is there."""
    currency = company.currency(conn)
    names = people.names(conn)
    large = {user for (user, _), amount in wanted.items() if (amount or 0) > LARGEST}
    if large:
        most = format_money(LARGEST, currency, thousands=True)
        raise ProblemsError(
            [Problem(names[user], f"The quota would be larger than {most}.", "Give less.") for user in sorted(large)]
        )
    order = {period: place for place, period in enumerate(dict.fromkeys(period for _, period in wanted))}
    cells = quotas.cells(conn, list(order), component)
    before = {(cell.user_id, cell.period): cell for cell in cells}
    foreign = {cell.user_id for key, cell in before.items() if cell.currency != currency and key in wanted}
    if foreign:
        raise ProblemsError(
            [
                Problem(names[user], "has a quota in another currency there.", "Take it away first.")
                for user in sorted(foreign)
            ]
        )
    rows = []
    for (user_id, period), after in wanted.items():
        old = before.get((user_id, period))
        was = None if old is None else old.amount
        if was != after:
            rows.append(ProposedQuota(user_id, names[user_id], period, was, after))
    rows.sort(key=lambda row: (row.person.casefold(), row.user_id, order[row.period]))
    closed = closed_among(conn, list(dict.fromkeys(row.period for row in rows)))
    same = len(wanted) - len(rows)
    return Proposal(component, currency, how, tuple(rows), same, closed, tuple(notes), tuple(problems))


# --- paste ------------------------------------------------------------------------------------------


def propose_table(
    db: Database, actor: Actor, scope: Scope, content: str | tuple[bytes, str], clears: bool = False
) -> Proposal:
    """The quotas of copied rows, or of a CSV or XLSX file given as (bytes, name).

    With `clears` an empty cell takes a quota away, else it is left alone.  Raises ProblemsError when it is no table.
    """
    access.require(actor, "quotas.edit")
    rows = rows_of_text(content) if isinstance(content, str) else rows_of_file(*content)
    with db.read(actor) as conn:
        settings = company.settings(conn)
        shown = fiscal.periods_of_year(scope.kind, scope.year, settings.fiscal_month, scope.part)
        known = [
            QuotaPerson(person.user_id, person.name, person.email, person.code)
            for person in people.listing(conn, scope.on)
        ]
        table = read_quotas(rows, known, shown, settings.currency)
        wanted = {key: amount for key, amount in table.amounts.items() if clears or amount is not None}
        return _propose(conn, scope.component, wanted, "pasted", table.notes, table.problems)


# --- copy -------------------------------------------------------------------------------------------


def propose_copy(
    db: Database,
    actor: Actor,
    scope: Scope,
    target: str | None,
    growth: str = "0",
    whole: bool = True,
    replace: bool = False,
) -> Proposal:
    """Carry quotas forward: into the period `target` from the one before, or (None) into the year from the last.

    `growth` is a percentage; the result is rounded half up, with `whole` to whole units of the currency.  Who is
    not active any more gets nothing, who has a quota there keeps it, unless it is to be replaced.
    """
    access.require(actor, "quotas.edit")
    rate = _growth(growth)
    with db.read(actor) as conn:
        settings = company.settings(conn)
        if target is None:
            into = fiscal.periods_of_year(scope.kind, scope.year, settings.fiscal_month)
            source = fiscal.periods_of_year(scope.kind, scope.year - 1, settings.fiscal_month)
        else:
            into, source = (target,), (parse_period(target).previous().name,)
        unit = 10 ** currency_digits(settings.currency) if whole else 1
        follows = dict(zip(source, into, strict=False))  # a year of 53 weeks has one without a model
        carriers = _carriers(conn, actor, scope)
        there = {(cell.user_id, cell.period) for cell in quotas.cells(conn, into, scope.component)}
        wanted: dict[Key, int | None] = {}
        kept = 0
        for cell in quotas.cells(conn, source, scope.component):
            if cell.user_id not in carriers or cell.currency != settings.currency or cell.period not in follows:
                continue
            key = cell.user_id, follows[cell.period]
            if key in there and not replace:
                kept += 1
            else:
                wanted[key] = figures.grown(cell.amount, rate, unit) or None
        wanted = {key: wanted[key] for key in sorted(wanted, key=lambda key: (into.index(key[1]), key[0]))}
        notes = [f"{kept:,} {'quota is' if kept == 1 else 'quotas are'} there already and kept."] if kept else []
        how = f"copied, {format_rate(rate)} growth" if rate else "copied"
        return _propose(conn, scope.component, wanted, how, notes)


def _growth(text: str) -> int:
    plain = text.strip().rstrip("%").strip().replace(",", ".").replace("−", "-") or "0"
    try:
        rate = parse_rate(plain + "%")
    except QuotaPathError as error:
        raise ProblemsError([Problem("growth", str(error), "Write a percentage such as 5 or -2.5.")]) from None
    if not -PPM < rate <= _MOST_GROWTH:
        raise ProblemsError(
            [Problem("growth", f"{plain}% is not between -100% and 1000%.", "Write such as 5 or -2.5.")]
        )
    return rate


def _carriers(conn: sa.Connection, actor: Actor, scope: Scope) -> set[int]:
    """The people of the grid who are to have quotas."""
    active = {person.user_id for person in people.listing(conn, scope.on) if carries_quota(person)}
    return active & {row.user_id for row in read_grid(conn, actor, scope).rows}


# --- ramp -------------------------------------------------------------------------------------------


def parse_steps(text: str) -> tuple[int, ...]:
    """``"0/25/50/75/100"`` as ppm, a part of the full quota for each month.  Raises ProblemsError."""
    words = [word.strip().rstrip("%").strip() for word in text.replace(";", "/").replace(",", "/").split("/")]
    words = [word for word in words if word] if "/" in "/".join(words) else text.split()
    problems, steps = [], []
    for word in words:
        try:
            step = parse_rate(word + "%")
            if not 0 <= step <= 2 * PPM:
                raise QuotaPathError(f"{word}% is not between 0% and 200%.")
            steps.append(step)
        except QuotaPathError as error:
            problems.append(Problem("ramp", str(error), "Write the percentages as 0/25/50/75/100."))
    if not 1 <= len(words) <= _MOST_STEPS:
        problems.append(Problem("ramp", f"It has {len(words)} months.", f"Give 1 to {_MOST_STEPS}, as 0/25/50/75/100."))
    if problems:
        raise ProblemsError(problems)
    return tuple(steps)


def propose_ramp(
    db: Database, actor: Actor, scope: Scope, user_id: int, start: date, steps: str, full: str, per: str
) -> Proposal:
    """The quotas of somebody who begins in the month of `start`, in periods of the scope's kind (month or quarter).

    `steps` are percentages of the full quota, month by month, and all of it after the last, to the end of that
    fiscal year; `full` is the amount of a full `per` (month, quarter, year).
    """
    access.require(actor, "quotas.edit")
    found = parse_steps(steps)
    first = period_of("month", start.toordinal())
    with db.read(actor) as conn:
        settings = company.settings(conn)
        amount = _written("full quota", full, settings.currency)
        year = fiscal.year_of(first.first_day, settings.fiscal_month)
        end = max(fiscal.bounds(year, settings.fiscal_month)[1].toordinal(), add_months(first.start, len(found)))
        periods = _until(period_of(scope.kind, first.start), end)
        parts = figures.ramped(amount, per, found, first, periods)
        wanted = {(user_id, period.name): part or None for period, part in zip(periods, parts, strict=True)}
        empty = [period.name for period, part in zip(periods, parts, strict=True) if not part]
        notes = (
            [f"{', '.join(empty)}: 0% sets no quota there; the plan's own quota counts, if it has one."]
            if empty
            else []
        )
        return _propose(conn, scope.component, wanted, "ramp", notes)


def _until(period: Period, end: int) -> list[Period]:
    found = [period]
    while found[-1].end < end:
        found.append(found[-1].next())
    return found


def _written(path: str, text: str, currency: str) -> int:
    try:
        return amount_of(text, currency)
    except QuotaPathError as error:
        raise ProblemsError([Problem(path, str(error) if text.strip() else "is missing.")]) from None


def saved_ramps(db: Database, actor: Actor) -> list[Ramp]:
    """The saved ramps, by name.  Needs "quotas.edit"."""
    access.require(actor, "quotas.edit")
    with db.read(actor) as conn:
        return quotas.ramps(conn)


def save_ramp(db: Database, actor: Actor, name: str, steps: str) -> None:
    """Keep percentages under a name, in place of what had it."""
    access.require(actor, "quotas.edit")
    name = " ".join(name.split())
    if not 1 <= len(name) <= 100 or "\0" in name:
        raise ProblemsError([Problem("name", "is missing or too long.", "Give 1 to 100 characters.")])
    ramp = Ramp(name, parse_steps(steps))
    with db.write(actor) as conn:
        quotas.put_ramp(conn, ramp)
        audit.record(conn, actor.user_id, "quotas.ramp", f"ramp {name}", {"steps_ppm": ramp.steps})


def forget_ramp(db: Database, actor: Actor, name: str) -> None:
    """Forget a saved ramp; quotas that were set by it stay."""
    access.require(actor, "quotas.edit")
    with db.write(actor) as conn:
        if quotas.remove_ramp(conn, name):
            audit.record(conn, actor.user_id, "quotas.ramp", f"ramp {name}", {"forgotten": True})


# --- split ------------------------------------------------------------------------------------------


def propose_split(
    db: Database, actor: Actor, scope: Scope, user_ids: Sequence[int], figure: str = "", like_last_year: bool = False
) -> Proposal:
    """A year's figure shared out over the periods of the fiscal year, exactly.

    `figure` is for each of the people; without it each has the quota set for the year itself, which is a calendar
    year (and nobody chosen is everyone who has one).  Evenly, or in the shape of the person's own quotas of the
    year before.  Raises ProblemsError for whoever lacks the one or the other.
    """
    access.require(actor, "quotas.edit")
    if not user_ids and figure.strip():
        raise ProblemsError([Problem("people", "Nobody is chosen.", "Choose whose figure this is.")])
    with db.read(actor) as conn:
        settings = company.settings(conn)
        names = people.names(conn)
        into = fiscal.periods_of_year(scope.kind, scope.year, settings.fiscal_month)
        before = fiscal.periods_of_year(scope.kind, scope.year - 1, settings.fiscal_month)
        if figure.strip():
            whole = dict.fromkeys(user_ids, _written("figure", figure, settings.currency))
        elif settings.fiscal_month != 1:
            raise ProblemsError(
                [Problem("figure", "is missing: quotas of a year are for calendar years.", "Write the fiscal year's.")]
            )
        else:
            cells = quotas.cells(conn, [str(scope.year)], scope.component)
            whole = {cell.user_id: cell.amount for cell in cells if cell.currency == settings.currency}
            user_ids = user_ids or sorted(whole.keys() & _carriers(conn, actor, scope))
            if not user_ids:
                raise ProblemsError(
                    [Problem("people", f"Nobody has a quota for the year {scope.year}.", "Choose people and a figure.")]
                )
        shape = {
            (cell.user_id, cell.period): cell.amount
            for cell in (quotas.cells(conn, before, scope.component) if like_last_year else ())
        }
        wanted: dict[Key, int | None] = {}
        problems = []
        for user_id in user_ids:
            weights = [shape.get((user_id, name), 0) for name in before] if like_last_year else [1] * len(into)
            weights = (weights + [0] * len(into))[: len(into)]
            if user_id not in whole:
                problems.append(
                    Problem(names[user_id], f"There is no quota for the year {scope.year}.", "Write the figure above.")
                )
            elif not any(weights):
                problems.append(
                    Problem(
                        names[user_id],
                        f"There is no quota by the {scope.kind} of the year before to take the shape from.",
                        "Split evenly.",
                    )
                )
            else:
                parts = figures.share_out(whole[user_id], weights)
                wanted |= {(user_id, name): part or None for name, part in zip(into, parts, strict=True)}
        if problems:
            raise ProblemsError(problems)
        return _propose(conn, scope.component, wanted, "split like last year" if like_last_year else "split evenly")

"""What people do with quotas: look at the grid of a year, change it, carry a period forward."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa

from engine.db import audit, company, people, quotas, structure
from engine.db.database import Database
from engine.db.quotas import QuotaCell, QuotaChange
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.money import LARGEST
from engine.periods import parse_period, period_of
from engine.services import access
from engine.services.access import Actor

_CARRIES_QUOTA = ("rep", "manager")


@dataclass(frozen=True)
class QuotaRow:
    """A person's quotas, one for each period of the grid; None: none set.  Minor units of the grid's currency."""

    user_id: int
    person: str
    team: str
    leads: str
    amounts: tuple[int | None, ...]

    @property
    def total(self) -> int:
        """The year's quota."""
        return sum(amount or 0 for amount in self.amounts)


@dataclass(frozen=True)
class TeamTotal:
    """The sums of the quotas of a team's people, one for each period; who leads the team is not in it."""

    team: str
    amounts: tuple[int, ...]

    @property
    def total(self) -> int:
        """The year's quota of the team."""
        return sum(self.amounts)


@dataclass(frozen=True)
class QuotaGrid:
    """Person x period.

    `other_currency` names those with a quota in another currency, left out of the amounts; `kinds_set` are
    the kinds of period in which anyone has a quota in that year.
    """

    currency: str
    periods: tuple[str, ...]
    rows: tuple[QuotaRow, ...]
    totals: tuple[TeamTotal, ...]
    other_currency: tuple[str, ...]
    kinds_set: tuple[str, ...]


def periods_of_year(kind: str, year: int) -> tuple[str, ...]:
    """The names of the months, quarters or the year, in order."""
    period = period_of(kind, date(year, 1, 1).toordinal())
    names = []
    while period.first_day.year == year:
        names.append(period.name)
        period = period.next()
    return tuple(names)


def quota_grid(db: Database, actor: Actor, kind: str, year: int, on: date, team_id: int | None = None) -> QuotaGrid:
    """The quotas of a year in periods of `kind` (month, quarter, year), for the people within reach.

    Shown are active reps and managers, and whoever has a quota in that year; teams as of `on`.
    `team_id` narrows it to a team and those below it.
    """
    names = periods_of_year(kind, year)
    with db.read() as conn:
        allowed = access.visible_people(conn, actor, "quotas.view", on)
        if team_id is not None:
            in_team = structure.people_in(conn, team_id, on)
            allowed = in_team if allowed is None else allowed & in_team
        currency = company.currency(conn)
        found = quotas.cells(conn, names)
        kinds = {
            parse_period(name).kind for name in quotas.periods_between(conn, date(year, 1, 1), date(year + 1, 1, 1))
        }
        listed = people.listing(conn, on, allowed)
    amounts = {(cell.user_id, cell.period): cell.amount for cell in found if cell.currency == currency}
    foreign = {cell.user_id for cell in found if cell.currency != currency}
    with_quota = {user_id for user_id, _ in amounts} | foreign
    rows = [
        QuotaRow(
            person.user_id,
            person.name,
            person.team or "",
            person.leads or "",
            tuple(amounts.get((person.user_id, period)) for period in names),
        )
        for person in listed
        if person.user_id in with_quota or (person.is_active and person.role in _CARRIES_QUOTA)
    ]
    # Team by team, who leads it first; the rest at the end.
    rows.sort(key=lambda row: (not (row.team or row.leads), (row.leads or row.team).lower(), not row.leads))
    return QuotaGrid(
        currency,
        names,
        tuple(rows),
        _totals(rows, len(names)),
        tuple(person.name for person in listed if person.user_id in foreign),
        tuple(sorted(kinds)),
    )


def _totals(rows: Sequence[QuotaRow], periods: int) -> tuple[TeamTotal, ...]:
    by_team: dict[str, list[QuotaRow]] = {}
    for row in rows:
        if row.leads and not row.team:
            continue  # a leader's quota is for the team's sales, which are there already
        by_team.setdefault(row.team or "No team", []).append(row)
    return tuple(
        TeamTotal(team, tuple(sum(row.amounts[i] or 0 for row in members) for i in range(periods)))
        for team, members in by_team.items()
    )


def save_quotas(db: Database, actor: Actor, changes: Mapping[tuple[int, str], int | None]) -> int:
    """Set or (None) take away quotas by (user id, period name), all or none; returns how many changed.

    Amounts are minor units of the company's currency.  Raises ProblemsError for those that are not above 0.
    """
    access.require(actor, "quotas.edit")
    with db.write() as conn:
        return _save(conn, actor, changes)


def copy_quotas(db: Database, actor: Actor, period: str, on: date) -> int:
    """Give everyone active who has no quota in `period` the one of the period before; returns how many got one."""
    access.require(actor, "quotas.edit")
    before = parse_period(period).previous().name
    with db.write() as conn:
        currency = company.currency(conn)
        found = quotas.cells(conn, [before, period])
        have = {cell.user_id for cell in found if cell.period == period}
        active = {person.user_id for person in people.listing(conn, on) if person.is_active}
        copied: dict[tuple[int, str], int | None] = {
            (cell.user_id, period): cell.amount
            for cell in found
            if cell.period == before and cell.currency == currency and cell.user_id in active - have
        }
        if not copied:
            raise QuotaPathError(
                f"There is nothing to copy: everyone with a quota in {before} has one in {period} already, "
                f"or {before} has none."
            )
        return _save(conn, actor, copied)


def _save(conn: sa.Connection, actor: Actor, changes: Mapping[tuple[int, str], int | None]) -> int:
    currency = company.currency(conn)
    known = {person.user_id: person.name for person in people.lock(conn, {user_id for user_id, _ in changes})}
    problems = []
    for (user_id, period), amount in changes.items():
        if user_id not in known:
            problems.append(Problem(f"person {user_id}", "does not exist.", "Reload the page."))
        elif amount is not None and not 0 < amount <= LARGEST:
            problems.append(
                Problem(
                    f"{known[user_id]}, {period}",
                    "The quota is not above 0." if amount <= 0 else "The quota is too large.",
                    "Write an amount above 0, or clear the field for no quota.",
                )
            )
    if problems:
        raise ProblemsError(problems)
    before = {
        (cell.user_id, cell.period): cell for cell in quotas.cells(conn, sorted({period for _, period in changes}))
    }
    done = []
    for (user_id, name), amount in sorted(changes.items()):
        old = before.get((user_id, name))
        if (None if old is None else (old.amount, old.currency)) == (None if amount is None else (amount, currency)):
            continue
        if amount is None:
            quotas.remove(conn, user_id, name)
        else:
            days = parse_period(name)
            quotas.put(
                conn,
                QuotaCell(user_id, name, amount, currency),
                days.first_day,
                date.fromordinal(days.end),
            )
        done.append((user_id, name, None if old is None else old.amount, amount))
    if done:
        audit.record(conn, actor.user_id, "quotas.edit", f"{len(done)} quotas", {"currency": currency, "changes": done})
    return len(done)


def quota_changes(db: Database, actor: Actor, on: date, limit: int = 50) -> list[QuotaChange]:
    """Who changed whose quota, when, from what to what: the newest first, for the people within reach."""
    with db.read() as conn:
        return quotas.changes(conn, access.visible_people(conn, actor, "quotas.view", on), limit)

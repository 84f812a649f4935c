"""What people do with quotas: look at the grid of a year, change it, see who changed what, take a save back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa

from engine.analytics import fiscal, inputs
from engine.analytics import quotas as figures
from engine.analytics.quotas import RolledUp, Stay, TeamNode
from engine.calc.model import MONEY_MEASURES, Component, Plan
from engine.calc.payout import needs_quota
from engine.db import audit, company, people, plans, quotas, structure, teams
from engine.db.database import Database
from engine.db.people import Person
from engine.db.quotas import Key, QuotaCell, QuotaChange, QuotaSave, Which
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.money import format_money
from engine.periods import KINDS, Period, parse_period
from engine.services import access
from engine.services.access import Actor, Reach

__all__ = ["QuotaChange", "QuotaSave", "RolledUp"]

_CARRIES_QUOTA = ("rep", "manager")
_NAMED = 20  # problems that are told by name; more are counted
LARGEST = 10**15  # minor units; far above any quota, so that no sum of them is too large for the database


@dataclass(frozen=True)
class Scope:
    """What the grid shows: the periods of a fiscal year, of which component ("": every one), of which team.

    `part` (1 to 4) shows three months of the year; weeks are looked at that way.  `team_id` None: everyone within
    reach; else the team and those below it, as of `on`.
    """

    kind: str
    year: int
    on: date
    component: str = ""
    team_id: int | None = None
    part: int | None = None


@dataclass(frozen=True)
class QuotaRow:
    """A person's quotas, one for each period of the grid; None: none set.  Minor units of the grid's currency."""

    user_id: int
    person: str
    email: str
    team: str
    leads: str
    amounts: tuple[int | None, ...]

    @property
    def total(self) -> int:
        """The sum of the periods shown."""
        return sum(amount or 0 for amount in self.amounts)


@dataclass(frozen=True)
class QuotaGrid:
    """Person x period.

    `other_currency` names those with a quota in another currency, left out of the amounts; `kinds_set` are the
    kinds of period in which anyone has a quota in that year, `kinds_counted` those by which published plans count
    the component; `closed` the periods of the grid that reach into a pay period that is closed.  `unit` is what a
    component that is not measured in money counts ("quantity"); then 1.00 of the currency stands for one of it.
    """

    scope: Scope
    currency: str
    fiscal_month: int
    periods: tuple[str, ...]
    rows: tuple[QuotaRow, ...]
    other_currency: tuple[str, ...]
    kinds_set: tuple[str, ...]
    kinds_counted: tuple[str, ...]
    closed: tuple[str, ...]
    unit: str = ""


# --- reading ----------------------------------------------------------------------------------------


def fiscal_month(db: Database, actor: Actor) -> int:
    """The month (1 to 12) in which the fiscal year begins.  Needs "quotas.view"."""
    access.require(actor, "quotas.view")
    with db.read(actor) as conn:
        return company.settings(conn).fiscal_month


def quota_components(db: Database, actor: Actor, on: date) -> list[str]:
    """The ids of the components that may have a quota of their own, by name.

    Those of published plans that need one, and those that have one already; a rep's are those of the rep's plans.
    """
    with db.read(actor) as conn:
        allowed = access.visible_people(conn, actor, "quotas.view", on)
        counted = {component.id for component in _counted(conn, actor)}
        return sorted({*counted, *quotas.components(conn, allowed)} - {""})


def _counted(conn: sa.Connection, actor: Actor) -> list[Component]:
    """The components of published plans that count towards a quota, as the newest versions have them."""
    own: set[str] | None = None
    if access.reach(actor, "quotas.view") is Reach.SELF:
        ids = plans.plans_of(conn, actor.user_id or 0)
        own = {plan.name for plan in plans.summaries(conn, date.min) if plan.plan_id in ids}
    return [
        component
        for name, versions in inputs.plans(conn)[0].items()
        if own is None or name in own
        for component in versions[-1].components
        if needs_quota(component) or component.quota is not None
    ]


def quota_grid(db: Database, actor: Actor, scope: Scope) -> QuotaGrid:
    """The quotas of a fiscal year in periods of one kind, for the people within reach.

    Shown are active reps and managers, and whoever has a quota in that year; teams as of the scope's day.
    """
    with db.read(actor) as conn:
        return read_grid(conn, actor, scope)


def read_grid(conn: sa.Connection, actor: Actor, scope: Scope) -> QuotaGrid:
    """`quota_grid` in the caller's transaction."""
    settings = company.settings(conn)
    names = fiscal.periods_of_year(scope.kind, scope.year, settings.fiscal_month, scope.part)
    first, end = fiscal.bounds(scope.year, settings.fiscal_month)
    allowed = access.visible_people(conn, actor, "quotas.view", scope.on)
    if scope.team_id is not None:
        in_team = structure.people_in(conn, scope.team_id, scope.on)
        allowed = in_team if allowed is None else allowed & in_team
    found = quotas.cells(conn, names, scope.component)
    kinds = {parse_period(name).kind for name in quotas.periods_between(conn, first, end, scope.component)}
    listed = people.listing(conn, scope.on, allowed)
    amounts = {(cell.user_id, cell.period): cell.amount for cell in found if cell.currency == settings.currency}
    foreign = {cell.user_id for cell in found if cell.currency != settings.currency}
    with_quota = {user_id for user_id, _ in amounts} | foreign
    rows = [
        QuotaRow(
            person.user_id,
            person.name,
            person.email,
            person.team or "",
            person.leads or "",
            tuple(amounts.get((person.user_id, period)) for period in names),
        )
        for person in listed
        if person.user_id in with_quota or carries_quota(person)
    ]
    counted = [component for component in _counted(conn, actor) if scope.component in ("", component.id)]
    # Team by team, who leads it first; the rest at the end.
    rows.sort(key=lambda row: (not (row.team or row.leads), (row.leads or row.team).lower(), not row.leads))
    return QuotaGrid(
        scope,
        settings.currency,
        settings.fiscal_month,
        names,
        tuple(rows),
        tuple(person.name for person in listed if person.user_id in foreign),
        _in_order(kinds),
        _in_order({component.quota_period for component in counted}),
        closed_among(conn, names),
        next((one.measure for one in counted if scope.component and one.measure not in MONEY_MEASURES), ""),
    )


def _in_order(kinds: set[str]) -> tuple[str, ...]:
    return tuple(kind for kind in KINDS if kind in kinds)


def carries_quota(person: Person) -> bool:
    """Whether somebody is to have a quota: active reps and managers."""
    return person.is_active and person.role in _CARRIES_QUOTA


def closed_among(conn: sa.Connection, names: Sequence[str]) -> tuple[str, ...]:
    """Those of the periods that reach into a pay period that is approved or paid."""
    found = [parse_period(name) for name in names]
    if not found:
        return ()
    start, end = min(period.start for period in found), max(period.end for period in found)
    spans = [
        (first.toordinal(), past.toordinal())
        for first, past in quotas.closed_spans(conn, date.fromordinal(start), date.fromordinal(end))
    ]
    return tuple(
        period.name for period in found if any(first < period.end and period.start < past for first, past in spans)
    )


# --- saving -----------------------------------------------------------------------------------------


def save_quotas(
    db: Database,
    actor: Actor,
    changes: Mapping[Key, int | None],
    component: str = "",
    seen: Mapping[Key, int | None] | None = None,
    how: str = "typed",
) -> int:
    """Set or (None) take away quotas by (user id, period name), all or none; returns how many changed.

    Amounts are minor units of the company's currency.  `seen` is what the actor was looking at: when somebody else
    has changed one of these quotas to something else since, nothing is saved.  Raises ProblemsError with everything
    that stands against it.
    """
    access.require(actor, "quotas.edit")
    with db.write(actor) as conn:
        return _save(conn, actor, changes, component, seen, how)


def _save(
    conn: sa.Connection,
    actor: Actor,
    changes: Mapping[Key, int | None],
    component: str,
    seen: Mapping[Key, int | None] | None,
    how: str,
    **more: int,
) -> int:
    currency = company.currency(conn)
    # Two who save for the same person take turns, so what is read next stays true until the end.
    known = {person.user_id: person.name for person in people.lock(conn, {user_id for user_id, _ in changes})}
    problems: list[Problem] = []
    names = sorted({period for _, period in changes})
    before = {(cell.user_id, cell.period): cell for cell in quotas.cells(conn, names, component)}
    for (user_id, period), amount in changes.items():
        if user_id not in known:
            problems.append(Problem(f"person {user_id}", "does not exist.", "Reload the page."))
        elif amount is not None and not 0 < amount <= LARGEST:
            problems.append(
                Problem(
                    f"{known[user_id]}, {period}",
                    "The quota is not above 0."
                    if amount <= 0
                    else f"The quota is larger than {format_money(LARGEST, currency, thousands=True)}.",
                    "Write an amount above 0, or clear the field for no quota.",
                )
            )
    for name in names:
        parse_period(name)
    if not problems and seen is not None:
        problems = _overtaken(conn, changes, component, seen, before, known, currency)
    if problems:
        raise ProblemsError(problems)
    done = []
    for key, amount in sorted(changes.items()):
        old = before.get(key)
        if (None if old is None else (old.amount, old.currency)) != (None if amount is None else (amount, currency)):
            done.append((*key, None if old is None else old.amount, amount))
    gone = [(user_id, name) for user_id, name, _, amount in done if amount is None]
    new = [QuotaCell(user_id, name, amount, currency) for user_id, name, _, amount in done if amount is not None]
    if gone:
        quotas.remove(conn, gone, component)
    if new:
        quotas.put(conn, new, component)
    if done:
        detail = {"currency": currency, "component": component, "how": how, "changes": done, **more}
        audit.record(conn, actor.user_id, "quotas.edit", f"{len(done)} quotas", detail)
    return len(done)


def _overtaken(
    conn: sa.Connection,
    changes: Mapping[Key, int | None],
    component: str,
    seen: Mapping[Key, int | None],
    before: Mapping[Key, QuotaCell],
    known: Mapping[int, str],
    currency: str,
) -> list[Problem]:
    """The quotas that somebody else has changed since they were looked at, to something else than is wanted."""
    problems: list[Problem] = []
    for key, wanted in sorted(changes.items()):
        cell = before.get(key)
        now = None if cell is None else cell.amount
        if now in (seen.get(key), wanted):
            continue
        if len(problems) == _NAMED:
            problems.append(Problem("", "More quotas have been changed meanwhile.", ""))
            break
        last = quotas.changes(conn, Which([key[0]], period=key[1]), 10)
        by = next((change.changed_by for change in last if change.component == component and change.after == now), "")
        is_now = "took it away" if now is None else f"set it to {format_money(now, currency, thousands=True)}"
        was = seen.get(key)
        problems.append(
            Problem(
                f"{known[key[0]]}, {key[1]}",
                f"{by or 'Somebody else'} {is_now} meanwhile; you were looking at "
                f"{'no quota' if was is None else format_money(was, currency, thousands=True)}.",
                "Nothing is saved. Look at what is there now, then decide.",
            )
        )
    return problems


# --- history ----------------------------------------------------------------------------------------


def quota_changes(
    db: Database, actor: Actor, on: date, person: str = "", period: str = "", limit: int = 50, offset: int = 0
) -> tuple[list[QuotaChange], int]:
    """Who changed whose quota, when, from what to what, the newest first, and how many changes there are in all.

    For the people within reach; `person` is a part of a name, `period` the name of one period ("": all).
    """
    with db.read(actor) as conn:
        which = Which(access.visible_people(conn, actor, "quotas.view", on), person.strip(), period)
    with db.read() as conn:  # from the audit log, which is closed to most
        return quotas.changes(conn, which, limit, offset), quotas.count_changes(conn, which)


def last_save(db: Database, actor: Actor) -> tuple[QuotaSave, tuple[str, ...]] | None:
    """The newest save of quotas, which can be undone, and those of its periods that are closed for pay.

    Needs "quotas.edit".
    """
    access.require(actor, "quotas.edit")
    with db.read(actor) as conn:
        found = quotas.last_save(conn)
        if found is None:
            return None
        return found, closed_among(conn, sorted({period for _, period, _, _ in found.changes}))


def undo_save(db: Database, actor: Actor, audit_id: int) -> int:
    """Put back what the newest save changed; returns how many quotas.  Undone twice, it stands again.

    Raises QuotaPathError when it is not the newest any more.
    """
    access.require(actor, "quotas.edit")
    with db.write(actor) as conn:
        found = quotas.last_save(conn)
        if found is not None:
            people.lock(conn, {user_id for user_id, _, _, _ in found.changes})
            found = quotas.last_save(conn)  # who saved for the same people meanwhile comes first
        if found is None or found.audit_id != audit_id:
            raise QuotaPathError("Quotas have been saved since. Look at the list of changes; undo takes back the last.")
        if found.currency != company.currency(conn):
            raise QuotaPathError(f"That save was in {found.currency}, which is not the company's currency any more.")
        back: dict[Key, int | None] = {(user, period): was for user, period, was, _ in found.changes}
        seen = {(user, period): now for user, period, _, now in found.changes}
        return _save(conn, actor, back, found.component, seen, "undone", undoes=audit_id)


# --- teams ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TeamRollUp:
    """The teams within reach with their sums, and the company's when all of it is within reach.

    `without_team` is the sum of those in no team; `leaders` names each team's leader by team id.
    """

    currency: str
    teams: tuple[RolledUp, ...]
    leaders: Mapping[int, str]
    company: RolledUp | None
    without_team: int


def team_roll_up(
    db: Database, actor: Actor, scope: Scope, periods: Sequence[str], on: date | None = None
) -> TeamRollUp:
    """The quotas of `periods` added up by the team tree, beside those of the leaders.

    The tree is that of the scope's day, or of `on`, which is for those who see everyone: who led a team once may not
    look at it now.  The company's own line has the sum of the quotas of those who lead the teams at the top.
    """
    with db.read(actor) as conn:
        reach = access.require(actor, "quotas.view")
        day = on or scope.on
        if day != scope.on and reach is not Reach.ALL:
            raise access.Forbidden("The teams of another day are for those who see the whole company.")
        currency = company.currency(conn)
        if reach < Reach.TEAM:
            return TeamRollUp(currency, (), {}, None, 0)
        listed = people.listing(conn, day)
        rows = structure.listing(conn, day)
        within = {team.id for team in teams.team_tree(conn, None if reach is Reach.ALL else actor.user_id, day)}
        sums: dict[int, int] = {}
        for cell in quotas.cells(conn, periods, scope.component):
            if cell.currency == currency:
                sums[cell.user_id] = sums.get(cell.user_id, 0) + cell.amount
    members: dict[int, list[int]] = {}
    for person in listed:
        if person.team_id is not None:
            members.setdefault(person.team_id, []).append(person.user_id)
    nodes = [
        TeamNode(row.team_id, row.name, row.parent_id, row.manager_id, tuple(members.get(row.team_id, ())))
        for row in rows
        if row.since is not None
    ]
    carriers = {person.user_id for person in listed if carries_quota(person) or person.user_id in sums}
    found = figures.roll_up(nodes, sums, carriers)
    top = [team for team in found if team.depth == 0]
    leaders = {node.manager_id for node in nodes}
    alone = [user for user, amount in sums.items() if amount and user not in leaders]
    in_teams = {user for team in nodes for user in team.members}
    without_team = sum(sums[user] for user in alone if user not in in_teams)
    whole = None
    if reach is Reach.ALL and scope.team_id is None:
        led = [team.leader for team in top if team.people or team.leader]
        complete = bool(led) and None not in led
        whole = RolledUp(
            0, "Company", 0, None,
            sum(team.people for team in top) + without_team,
            sum(team.without for team in top),
            sum(amount for amount in led if amount) if complete else None,
        )  # fmt: skip
    if scope.team_id is not None:
        within &= _below(nodes, scope.team_id)
    names = {person.user_id: person.name for person in listed}
    return TeamRollUp(
        currency,
        tuple(team for team in found if team.team_id in within),
        {team.team_id: names[team.manager_id] for team in found if team.manager_id is not None},
        whole,
        without_team if whole else 0,
    )


def _below(nodes: Sequence[TeamNode], team_id: int) -> set[int]:
    """A team and all below it."""
    found, size = {team_id}, 0
    while size < len(found):
        size = len(found)
        found |= {node.team_id for node in nodes if node.parent_id in found}
    return found


# --- parts of periods -------------------------------------------------------------------------------


@dataclass(frozen=True)
class PartPeriod:
    """A person who is on a plan for a part of a period of the grid: `on` of `of` days (or months).

    `given` is the quota set for the period, which counts in full for each plan; `scaled` what it would be by the
    part.  `done`: it was prorated already.  `shared`: another plan of the same period uses the same row.
    """

    user_id: int
    person: str
    plan: str
    period: str
    on: int
    of: int
    given: int | None
    scaled: int | None
    done: bool
    shared: bool

    @property
    def may_prorate(self) -> bool:
        """Whether the row can be written anew by its part."""
        return bool(self.scaled) and not self.done and not self.shared


def part_periods(db: Database, actor: Actor, grid: QuotaGrid) -> list[PartPeriod]:
    """Who of the grid is on a plan for a part of one of its periods only, in the order of the grid.

    Of a single component, only the plans that have it count.
    """
    scope = grid.scope
    with db.read(actor) as conn:
        access.require(actor, "quotas.view")
        allowed = access.visible_people(conn, actor, "quotas.view", scope.on)
        rows = [row for row in grid.rows if allowed is None or row.user_id in allowed]
        stays = plans.assigned_to_people(conn, [row.user_id for row in rows])
        by_plan = inputs.plans(conn)[0]
        names = {plan.plan_id: plan.name for plan in plans.summaries(conn, scope.on)}
    with db.read() as conn:  # from the audit log, which is closed to most
        done = quotas.prorated(conn, scope.component)
    counted = [
        Stay(stay.user_id, stay.plan, stay.start, stay.end, stay.prorate)
        for stay in stays
        if not scope.component or _has(by_plan.get(names[stay.plan_id], ()), scope.component)
    ]
    found = []
    for column, name in enumerate(grid.periods):
        period = parse_period(name)
        near = [stay for stay in counted if _cuts(stay, period)]
        concerned = {stay.user_id for stay in near}
        if not concerned:
            continue
        parts: dict[int, list[figures.Part]] = {}
        for part in figures.parts([stay for stay in counted if stay.user_id in concerned], period):
            parts.setdefault(part.user_id, []).append(part)
        for row in rows:
            for part in parts.get(row.user_id, ()):
                if part.on == part.of:
                    continue
                given = row.amounts[column]
                found.append(
                    PartPeriod(
                        row.user_id, row.person, part.plan, name, part.on, part.of, given,
                        None if given is None else part.of_quota(given),
                        given is not None and (row.user_id, name, given) in done,
                        len(parts[row.user_id]) > 1,
                    )
                )  # fmt: skip
    return found


def _has(versions: Sequence[Plan], component: str) -> bool:
    return any(each.id == component for version in versions for each in version.components)


def _cuts(stay: Stay, period: Period) -> bool:
    """Whether the assignment begins or ends within the period."""
    start, end = stay.start.toordinal(), None if stay.end is None else stay.end.toordinal()
    return period.start < start < period.end or (end is not None and period.start < end < period.end)

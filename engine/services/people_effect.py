"""What a change of people does beside pay, found by making it and taking it back: who sees whom, what ends."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa

from engine.db import people, plans, structure
from engine.db.database import Database
from engine.db.people import Held
from engine.errors import given
from engine.services import access
from engine.services.access import PERMISSIONS, Actor, Reach
from engine.services.impact import Impact, rehearsed, trial
from engine.services.leaving import come_back, leave_problems, take_leave
from engine.services.people import change_of_team, move
from engine.services.team_closing import close
from engine.workers.pool import Pool

Change = Callable[[sa.Connection], object]


@dataclass(frozen=True)
class Sight:
    """What one manager sees no more, or sees from then on: the names, sorted."""

    manager: str
    gains: tuple[str, ...]
    loses: tuple[str, ...]


@dataclass(frozen=True)
class RoleEffect:
    """What another role means for a person: the actions (of `PERMISSIONS`) with their reach before and after.

    `sees` counts the others whose deals and pay are seen, before and after; None: everyone's.  `leads` are the teams
    that the person goes on leading; `held` has the sessions and API tokens that end.
    """

    reach: Mapping[str, tuple[Reach, Reach]]
    sees: tuple[int | None, int | None]
    leads: tuple[str, ...]
    held: Held


@dataclass(frozen=True)
class LeaveEffect:
    """What ends when a person leaves: `held` (what they own stays theirs), the team, the teams led, the plan."""

    held: Held
    team: str | None
    leads: tuple[str, ...]
    plan: str | None


@dataclass(frozen=True)
class Return:
    """What would go on if a person came back as if they had never left."""

    team: str | None
    leads: tuple[str, ...]
    plan: str | None


# --- who sees whom ---------------------------------------------------------------------------------


def sight(db: Database, actor: Actor, change: Change, day: date) -> list[Sight]:
    """Who sees whom otherwise on a day after `change`, by manager; nothing is kept.  What `change` raises is passed on.

    Admins and finance see everyone, reps themselves: they are not in it.
    """
    access.require(actor, "people.edit")
    (before, names), (after, _) = rehearsed(db, change, lambda conn: (people.sight(conn, day), people.names(conn)))
    found: dict[int, tuple[list[str], list[str]]] = {}
    for place, pairs in enumerate((after - before, before - after)):
        for manager, user in pairs:
            found.setdefault(manager, ([], []))[place].append(names[user])
    return [
        Sight(names[manager], tuple(sorted(gains)), tuple(sorted(loses)))
        for manager, (gains, loses) in sorted(found.items(), key=lambda one: names[one[0]])
    ]


def moving(user_id: int, team_id: int | None, start: date, replace_later: bool) -> Change:
    """What `people.move_person` does, as a change to be tried."""
    return lambda conn: move(conn, user_id, team_id, start, replace_later)


def changing_team(
    team_id: int, name: str, parent_id: int | None, manager_id: int | None, start: date, replace_later: bool
) -> Change:
    """What `people.change_team` does, as a change to be tried."""
    return lambda conn: change_of_team(conn, team_id, name, parent_id, manager_id, start, replace_later)


def closing(team_id: int, day: date, members_to: int | None) -> Change:
    """What `team_closing.close_team` does, as a change to be tried."""
    return lambda conn: close(conn, team_id, day, members_to)


def leaving(actor: Actor, user_id: int, left_on: date) -> Change:
    """What `people.deactivate_person` does, as a change to be tried."""

    def change(conn: sa.Connection) -> None:
        leave_problems(conn, actor, user_id, left_on)
        take_leave(conn, user_id, left_on, signs_in_until_then=False)

    return change


def returning(user_id: int) -> Change:
    """What `people.reactivate_person` does to somebody who comes back as before, as a change to be tried."""
    return lambda conn: come_back(conn, people.lock(conn, [user_id])[0], as_before=True)


def earnings_after(db: Database, pool: Pool, actor: Actor, change: Change, today: date) -> Impact:
    """Whose earnings a change of people would change; nothing is kept.  What `change` raises is passed on."""
    access.require(actor, "people.edit")
    return trial(db, pool, today, change)


# --- one person ------------------------------------------------------------------------------------


def role_effect(db: Database, actor: Actor, user_id: int, role: str, today: date) -> RoleEffect:
    """What a person gains and loses with another role.  Needs "people.edit"."""
    access.require(actor, "people.edit")
    with db.read(actor) as conn:
        person = given(people.identity(conn, user_id))
        below = len(people.people_below(conn, user_id, today))
        leads = structure.led_by(conn, user_id, today)
        held = people.held(conn, user_id)
    reach = {
        action: (row.get(person.role, Reach.NONE), row.get(role, Reach.NONE))
        for action, row in PERMISSIONS.items()
        if row.get(person.role) != row.get(role)
    }
    sees = {Reach.NONE: 0, Reach.SELF: 0, Reach.TEAM: below, Reach.ALL: None}
    before, after = (sees[PERMISSIONS["earnings.view"][each]] for each in (person.role, role))
    return RoleEffect(reach, (before, after), tuple(leads), held)


def leave_effect(db: Database, actor: Actor, user_id: int, left_on: date) -> LeaveEffect:
    """What ends for a person, and what stays theirs, with the first day away.  Needs "people.edit"."""
    access.require(actor, "people.edit")
    with db.read(actor) as conn:
        held = people.held(conn, user_id)
        team = next(
            (row.team for row in structure.memberships(conn, user_id) if row.end is None or row.end > left_on), None
        )
        on_plan = [
            row.plan for row in plans.assigned_to_people(conn, [user_id]) if row.end is None or row.end > left_on
        ]
        leads = structure.led_by(conn, user_id, left_on)
    return LeaveEffect(held, team, tuple(leads), on_plan[0] if on_plan else None)


def open_of(db: Database, actor: Actor, user_id: int) -> Held:
    """What a person has open: sessions, tokens, deals, money due.  Needs "people.edit"."""
    access.require(actor, "people.edit")
    with db.read(actor) as conn:
        return people.held(conn, user_id)


def return_effect(db: Database, actor: Actor, user_id: int) -> Return:
    """What would go on without a gap.  Needs "people.edit"."""
    access.require(actor, "people.edit")

    def look(conn: sa.Connection) -> tuple[str | None, tuple[str, ...], str | None]:
        team = next((row.team for row in structure.memberships(conn, user_id) if row.end is None), None)
        plan = next((row.plan for row in plans.assigned_to_people(conn, [user_id]) if row.end is None), None)
        return team, tuple(structure.led_by(conn, user_id, date.max)), plan

    _, after = rehearsed(db, returning(user_id), look)
    return Return(*after)

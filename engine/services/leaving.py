"""Leaving and coming back, and who may not leave: the last admin.  Nothing here commits."""

from datetime import date

import sqlalchemy as sa

from engine.db import people, plans, structure
from engine.db.people import Locked
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.services.access import Actor
from engine.services.circles import refuse_circles


def locked_person(conn: sa.Connection, user_id: int) -> Locked:
    """The person, whose row changes here alone until the transaction ends.  Raises QuotaPathError for nobody."""
    found = people.lock(conn, [user_id])
    if not found:
        raise QuotaPathError("There is no such person. Reload the page and choose one from the list.")
    return found[0]


def leave_problems(conn: sa.Connection, actor: Actor, user_id: int, left_on: date) -> Locked:
    """The person, with everything locked that leaving changes.  Raises ProblemsError when they may not leave then."""
    structure.lock(conn)
    people.lock_active_admins(conn)
    person = locked_person(conn, user_id)
    problems = last_admin(conn, actor, person)
    if person.hired_on is not None and left_on <= person.hired_on:
        problems.append(
            Problem("left on", f"{left_on} is not after the hire date, {person.hired_on}.", "Choose a later day.")
        )
    if problems:
        raise ProblemsError(problems)
    return person


def take_leave(conn: sa.Connection, user_id: int, left_on: date, signs_in_until_then: bool) -> None:
    """Let team, leadership and plan end on a day, in the caller's transaction; nothing is checked."""
    people.set_active(conn, user_id, signs_in_until_then, left_on)
    structure.leave(conn, user_id, left_on)
    structure.vacate(conn, user_id, left_on)
    plans.leave(conn, user_id, left_on)


def come_back(conn: sa.Connection, person: Locked, as_before: bool) -> None:
    """Undo `take_leave`, in the caller's transaction; sign-in alone unless `as_before`."""
    people.set_active(conn, person.user_id, True, None)
    if as_before and person.left_on is not None:
        structure.come_back(conn, person.user_id, person.left_on)
        plans.come_back(conn, person.user_id, person.left_on)
        refuse_circles(conn)


def last_admin(conn: sa.Connection, actor: Actor, person: Locked) -> list[Problem]:
    """Why a person may not stop being an admin; the caller has locked the active admins.

    There must always be another who can let people in, on any day to come: with a password (or acting right now) and
    no day of leaving.
    """
    active = people.lock_active_admins(conn)
    if person.user_id not in active:
        return []
    others = active - {person.user_id}
    if people.staying(conn, others) & (people.admins_with_password(conn) | {actor.user_id}):
        return []
    if not others:
        return [
            Problem(
                person.name,
                "is the only active admin; nobody could manage people then.",
                "Make someone else admin first.",
            )
        ]
    names = people.names(conn)
    others_named = ", ".join(sorted(names[each] for each in others))
    return [
        Problem(
            person.name,
            f"is the last admin who stays and can sign in. Who leaves, or has no password yet: {others_named}.",
            "Let one of them choose a password, or make someone else admin first.",
        )
    ]

"""Links to choose a password, for many people at once."""

from collections.abc import Collection
from dataclasses import dataclass

from engine.db import audit, people
from engine.db.database import Database
from engine.errors import Problem, ProblemsError
from engine.services import access, sign_in
from engine.services.access import Actor


@dataclass(frozen=True)
class Invitation:
    """Who may choose a password with the `secret` of a link, once, within `sign_in.LINK_HOURS`."""

    name: str
    email: str
    secret: str


def invite_people(db: Database, actor: Actor, user_ids: Collection[int]) -> list[Invitation]:
    """A link for each of them, by name; an earlier link is worth nothing then.  Needs "people.edit".

    Whoever has a password, or has left, gets none: raises ProblemsError with all of them, and nobody gets one.
    """
    access.require(actor, "people.edit")
    with db.write(actor) as conn:
        found = people.lock(conn, user_ids)
        able = people.with_password(conn, [person.user_id for person in found])
        problems = [
            Problem(
                person.name,
                "has a password already." if person.user_id in able else "is deactivated.",
                "Leave them out; a new password is made for one person at a time.",
            )
            for person in found
            if person.user_id in able or not person.is_active
        ]
        if not found:
            problems.append(Problem("people", "Nobody is chosen.", "Choose at least one person."))
        if problems:
            raise ProblemsError(problems)
        made = [Invitation(person.name, person.email, sign_in.give_link(conn, person.user_id)) for person in found]
        detail = {"did": "invited", "people": [person.name for person in found]}
        audit.record(conn, actor.user_id, "people.edit", f"{len(found)} people", detail)
    return sorted(made, key=lambda one: one.name)

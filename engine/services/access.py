"""Who may do what, to whom: one table, asked by navigation, pages, services and the API alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import IntEnum

import sqlalchemy as sa

from engine.db import people
from engine.errors import QuotaPathError

ROLES = ("admin", "finance", "manager", "rep")


class Reach(IntEnum):
    """How far an action goes: not at all, oneself, the dated team tree below (and oneself), everyone."""

    NONE = 0
    SELF = 1
    TEAM = 2
    ALL = 3


@dataclass(frozen=True)
class Actor:
    """The person who acts; `user_id` None is the program itself (a resumed job, the command line)."""

    user_id: int | None
    role: str
    name: str
    email: str = ""


def actor_of(conn: sa.Connection, user_id: int) -> Actor:
    """The active user with that id, as one who acts.  Raises Forbidden when there is none or it is disabled."""
    found = people.identity(conn, user_id)
    if found is None or not found.is_active:
        raise Forbidden(f"User {user_id} is unknown or disabled.")
    return Actor(user_id, found.role, found.name, found.email)


class Forbidden(QuotaPathError):
    """The actor's role does not include the action, or the object is outside the actor's reach."""


def _row(admin: Reach, finance: Reach, manager: Reach, rep: Reach) -> Mapping[str, Reach]:
    return {"admin": admin, "finance": finance, "manager": manager, "rep": rep}


_N, _S, _T, _A = Reach

# action -> role -> reach.  For a plan, SELF means the plans that one is or was on.
PERMISSIONS: Mapping[str, Mapping[str, Reach]] = {
    "dashboard.view": _row(_A, _A, _T, _S),
    "deals.view": _row(_A, _A, _T, _S),
    "deals.edit": _row(_A, _N, _N, _N),
    "deals.import": _row(_A, _N, _N, _N),
    "plans.view": _row(_A, _A, _A, _S),
    "plans.edit": _row(_A, _N, _N, _N),
    "people.view": _row(_A, _A, _T, _N),
    "people.edit": _row(_A, _N, _N, _N),
    "quotas.view": _row(_A, _A, _T, _S),
    "quotas.edit": _row(_A, _N, _N, _N),
    "runs.view": _row(_A, _A, _N, _N),
    "runs.start": _row(_A, _N, _N, _N),
    "earnings.view": _row(_A, _A, _T, _S),
    "statements.bulk": _row(_A, _A, _N, _N),
    "payouts.view": _row(_A, _A, _N, _N),
    "payouts.approve": _row(_A, _N, _N, _N),
    "payouts.pay": _row(_A, _N, _N, _N),
    "payouts.export": _row(_A, _A, _N, _N),
    "payouts.adjust": _row(_A, _N, _N, _N),
    "payouts.reverse": _row(_A, _N, _N, _N),
    "payouts.rules": _row(_A, _N, _N, _N),
    "disputes.view": _row(_A, _A, _T, _S),
    "disputes.write": _row(_A, _N, _T, _S),
    "disputes.answer": _row(_A, _N, _N, _N),
    "status.view": _row(_A, _A, _N, _N),
    "jobs.manage": _row(_A, _N, _N, _N),
    "settings.view": _row(_A, _A, _N, _N),
    "settings.edit": _row(_A, _N, _N, _N),
    "stages.view": _row(_A, _A, _T, _S),
    "stages.edit": _row(_A, _N, _N, _N),
    "activities.view": _row(_A, _A, _T, _S),
    "activities.edit": _row(_A, _N, _S, _S),
}


def user_of(actor: Actor) -> int:
    """The user id of one who answers for money: never the program itself."""
    if actor.user_id is None:
        raise ValueError("what changes money needs a user to answer for it")
    return actor.user_id


def reach(actor: Actor, action: str) -> Reach:
    """How far `actor` may go with `action`; an unknown role reaches nothing, an unknown action is a bug."""
    return PERMISSIONS[action].get(actor.role, Reach.NONE)


def may(actor: Actor, action: str) -> bool:
    """Whether `actor` may do `action` at all (to anybody)."""
    return reach(actor, action) > Reach.NONE


def require(actor: Actor, action: str) -> Reach:
    """The reach of `actor` for `action`.  Raises Forbidden when there is none."""
    found = reach(actor, action)
    if found is Reach.NONE:
        raise Forbidden(f"The role {actor.role!r} may not do this ({action}). Ask an admin.")
    return found


def visible_people(conn: sa.Connection, actor: Actor, action: str, on: date) -> frozenset[int] | None:
    """The user ids whose data `actor` may touch with `action`, by the team tree as of `on`; None means everyone.

    Raises Forbidden when the role lacks the action.
    """
    found = require(actor, action)
    if found is Reach.ALL:
        return None
    own = frozenset() if actor.user_id is None else frozenset({actor.user_id})
    if found is Reach.TEAM and actor.user_id is not None:
        return own | people.people_below(conn, actor.user_id, on)
    return own


def require_person(conn: sa.Connection, actor: Actor, action: str, user_id: int, on: date) -> None:
    """Raise Forbidden unless `user_id` is within the reach of `actor` for `action` as of `on`."""
    allowed = visible_people(conn, actor, action, on)
    if allowed is not None and user_id not in allowed:
        raise Forbidden("This person's data is outside your reach. Ask an admin if your team looks wrong.")

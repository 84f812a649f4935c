"""Who may do what, to whom: one table, asked by navigation, pages, services and the API alike."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
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
    """The person who acts; `user_id` None is the program itself (a resumed job, the command line).

    `scopes` are those of the API token that the person's program sent: they narrow the role, never widen it.
    None: the person's own session.
    """

    user_id: int | None
    role: str
    name: str
    email: str = ""
    scopes: frozenset[str] | None = None

    @property
    def sees_everyone(self) -> bool:
        """Whether the actor reaches everybody's deals and pay; else the database itself leaves some people's rows."""
        return self.user_id is None or PERMISSIONS["earnings.view"].get(self.role) is Reach.ALL


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
    "pipeline.view": _row(_A, _A, _T, _S),
    "analytics.view": _row(_A, _A, _T, _S),
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
    "runs.clean": _row(_A, _N, _N, _N),
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
    "forecast.view": _row(_A, _A, _T, _S),
    "whatif.use": _row(_A, _A, _N, _N),
    "whatif.save": _row(_A, _A, _N, _N),
    "audit.view": _row(_A, _A, _N, _N),
    "tokens.edit": _row(_A, _S, _S, _S),
}

# scope of an API token -> what it lets through of the role.  An action that stands in none is closed to every token.
SCOPES: Mapping[str, frozenset[str]] = {
    "read": frozenset(action for action in PERMISSIONS if action.endswith(".view"))
    | {"payouts.export", "statements.bulk"},
    "deals:write": frozenset({"deals.edit", "deals.import"}),
    "activities:write": frozenset({"activities.edit"}),
    "runs:write": frozenset({"runs.start"}),
    "payouts:write": frozenset({"payouts.approve", "payouts.pay"}),
}


def user_of(actor: Actor) -> int:
    """The user id of one who answers for money: never the program itself."""
    if actor.user_id is None:
        raise ValueError("what changes money needs a user to answer for it")
    return actor.user_id


def reach(actor: Actor, action: str) -> Reach:
    """How far `actor` may go with `action`; an unknown role reaches nothing, an unknown action is a bug."""
    found = PERMISSIONS[action].get(actor.role, Reach.NONE)
    if actor.scopes is not None and not any(action in SCOPES.get(scope, ()) for scope in actor.scopes):
        return Reach.NONE
    return found


def may(actor: Actor, action: str) -> bool:
    """Whether `actor` may do `action` at all (to anybody)."""
    return reach(actor, action) > Reach.NONE


def require(actor: Actor, action: str) -> Reach:
    """The reach of `actor` for `action`.  Raises Forbidden when there is none."""
    found = reach(actor, action)
    if found is Reach.NONE and may(replace(actor, scopes=None), action):
        wanted = [scope for scope, actions in SCOPES.items() if action in actions]
        remedy = f"Make one with the scope {wanted[0]}." if wanted else "Sign in and do it yourself."
        raise Forbidden(f"This API token may not do this ({action}). {remedy}")
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

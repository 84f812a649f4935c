"""For whom a period is calculated: everyone, a team, or some people.

A run for some people calculates all deals all the same, and keeps new lines and figures for these people alone;
everybody else's are carried on from the run that the period shows.  Whose line it is decides, not whose deal: when a
rep is in scope, the rep's lines change, and what a manager, an overlay or a shared deal pays somebody else changes only
when that person is in scope, too.  Until then the run is out of date for them, and cannot be approved.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa

from engine.db import people, teams
from engine.errors import QuotaPathError
from engine.periods import Period

_NAMED = 3  # people whose names say whom a run was for; more are counted


@dataclass(frozen=True)
class Scope:
    """A team (by id: its manager and everyone below, on the period's last day), else people (user ids), else all."""

    team: int | None = None
    people: tuple[int, ...] = ()

    def arguments(self) -> dict[str, Any]:
        """As a job keeps it."""
        return {"team": self.team, "people": list(self.people)}


EVERYONE = Scope()


def scope_of(arguments: Mapping[str, Any]) -> Scope:
    """What `Scope.arguments` gave; everyone for a job of before there were scopes."""
    return Scope(arguments.get("team"), tuple(arguments.get("people") or ()))


@dataclass(frozen=True)
class Chosen:
    """The user ids of a scope and the scope in words; None and "" for everyone."""

    people: frozenset[int] | None = None
    words: str = ""


def resolve(conn: sa.Connection, scope: Scope, period: Period) -> Chosen:
    """Who is meant.  Raises QuotaPathError when nobody is."""
    if scope.team is not None:
        found = teams.people_in(conn, scope.team, date.fromordinal(period.end - 1))
        name = teams.team_name(conn, scope.team)
        if name is None or not found:
            raise QuotaPathError(
                f"Nobody was in the team {name or scope.team} at the end of {period.name}. "
                "Choose another team or period."
            )
        return Chosen(found, f"Team {name}")
    if not scope.people:
        return Chosen()
    names = {user: name for user, name in people.names(conn).items() if user in scope.people}
    if missing := set(scope.people) - names.keys():
        raise QuotaPathError(f"There is no person with the id {min(missing)}. Choose the people again.")
    first = list(names.values())[:_NAMED]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return Chosen(frozenset(names), ", ".join(first) + more)

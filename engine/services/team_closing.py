"""Closing a team from a day on."""

from collections.abc import Sequence
from datetime import date

import sqlalchemy as sa

from engine.db import audit, structure
from engine.db.database import Database
from engine.db.structure import TeamState
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.services import access
from engine.services.access import Actor
from engine.services.circles import refuse_circles


def close_team(
    db: Database,
    actor: Actor,
    team_id: int,
    day: date,
    members_to: int | None,
    seen: Sequence[TeamState] | None = None,
) -> bool:
    """From `day` on there is no such team: its people go to `members_to` (None: to no team), the teams below one up.

    What is planned for the team after that day is taken back; what was before stays.  A team that has never been
    anything then is forgotten: true.  `seen` is its history as the editor saw it.  Needs "people.edit".  Raises
    ProblemsError when people would go to a team that is closed or not there yet.
    """
    access.require(actor, "people.edit")
    with db.write(actor) as conn:
        known = structure.lock(conn)
        if team_id not in known:
            raise QuotaPathError("There is no such team. Reload the page and choose one from the list.")
        if seen is not None and list(seen) != structure.history(conn, team_id):
            raise QuotaPathError(
                f"Somebody else changed {known[team_id]} after you opened it, so it is not closed. Open it again."
            )
        forgotten = close(conn, team_id, day, members_to)
        detail = {
            "did": "closed", "from": day, "forgotten": forgotten,
            "people_to": known[members_to] if members_to is not None else None,
        }  # fmt: skip
        audit.record(conn, actor.user_id, "people.edit", f"team {known[team_id]}", detail)
    return forgotten


def close(conn: sa.Connection, team_id: int, day: date, members_to: int | None) -> bool:
    """Close a team in the caller's transaction; true when it is forgotten.  Raises ProblemsError."""
    known = structure.lock(conn)
    if members_to == team_id or (members_to is not None and members_to not in known):
        raise ProblemsError([Problem("people go to", "This is not another team.", "Choose another, or no team.")])
    forgotten = structure.close(conn, team_id, day, members_to)
    refuse_circles(conn)
    return forgotten

"""The teams that a person may look at."""

from datetime import date

from engine.db.database import Database
from engine.db.teams import Team, team_tree
from engine.services.access import Actor, Reach, reach


def list_teams(db: Database, actor: Actor, on: date) -> list[Team]:
    """The teams as of `on` within the actor's reach, parents before children; a rep has none to choose from."""
    found = reach(actor, "dashboard.view")
    if found < Reach.TEAM:
        return []
    with db.read() as conn:
        return team_tree(conn, None if found is Reach.ALL else actor.user_id, on)

"""The teams that a person may look at, and the hierarchy as it was on a day."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from engine.db import people, structure
from engine.db.database import Database
from engine.db.people import Person
from engine.db.structure import TeamRow
from engine.db.teams import Team, team_tree
from engine.services import access
from engine.services.access import Actor, Reach, reach


def list_teams(db: Database, actor: Actor, on: date) -> list[Team]:
    """The teams as of `on` within the actor's reach, parents before children; a rep has none to choose from."""
    found = reach(actor, "dashboard.view")
    if found < Reach.TEAM:
        return []
    with db.read(actor) as conn:
        return team_tree(conn, None if found is Reach.ALL else actor.user_id, on)


@dataclass(frozen=True)
class Node:
    """A line of the hierarchy as it was on a day; ``depth`` is 0 at the top.

    A team has ``people``, the number of those in the team itself; a person has ``role`` and ``plan`` instead.
    """

    depth: int
    name: str
    manager: str
    people: int | None = None
    role: str = ""
    plan: str = ""


def hierarchy(db: Database, actor: Actor, on: date, today: date, listed: Sequence[Person] | None = None) -> list[Node]:
    """The teams in force on a day, each followed by its people within reach and the teams below it.

    The reach is that of `today`: who led a team once does not look at its people now.  Those who are in no team,
    and lead none, stand at the end.  `listed` are the people within reach on that day, where they were read already.
    """
    with db.read(actor) as conn:
        within = access.visible_people(conn, actor, "people.view", today)
        listed = people.listing(conn, on, within) if listed is None else listed
        teams = [team for team in structure.listing(conn, on) if team.since is not None]
    there = {team.team_id for team in teams}
    below: dict[int | None, list[TeamRow]] = {}
    for team in teams:  # a team that begins before the one above it stands at the top until then
        below.setdefault(team.parent_id if team.parent_id in there else None, []).append(team)
    found: list[Node] = []

    def walk(team: TeamRow, depth: int) -> None:
        found.append(Node(depth, team.name, team.manager or "", team.members))
        found.extend(_node(depth + 1, person) for person in listed if person.team_id == team.team_id)
        for each in below.get(team.team_id, ()):
            walk(each, depth + 1)

    for top in below.get(None, ()):
        walk(top, 0)
    here = [person for person in listed if person.is_active and (person.hired_on is None or person.hired_on <= on)]
    return found + [_node(0, person) for person in here if not person.team_id and not person.leads]


def _node(depth: int, person: Person) -> Node:
    return Node(depth, person.name, person.manager or "", None, person.role, person.plan or "")

"""The teams as a tree on one day."""

from datetime import date
from typing import NamedTuple

import sqlalchemy as sa

# The tree below the teams that a manager leads (or, without a manager, below those at the top), by path of names.
_TREE = sa.text("""
    WITH RECURSIVE now_in_force AS (
        SELECT team_id, parent_id, manager_id FROM team_structure
         WHERE start_date <= :day AND (end_date IS NULL OR end_date > :day)
    ), tree AS (
        SELECT team_id, 0 AS depth, ARRAY[name] AS path FROM now_in_force JOIN teams ON id = team_id
         WHERE CASE WHEN CAST(:manager AS bigint) IS NULL THEN parent_id IS NULL ELSE manager_id = :manager END
        UNION ALL
        SELECT n.team_id, depth + 1, path || t.name FROM now_in_force n
          JOIN tree ON n.parent_id = tree.team_id JOIN teams t ON t.id = n.team_id
         WHERE t.name <> ALL (path)
    ), shown AS (  -- a manager may lead both a team and one above it
        SELECT DISTINCT ON (team_id) team_id, depth, path FROM tree ORDER BY team_id, depth DESC
    )
    SELECT team_id AS id, path[array_upper(path, 1)] AS name, depth FROM shown ORDER BY path
""")


class Team(NamedTuple):
    """`depth` is 0 for the topmost shown."""

    id: int
    name: str
    depth: int


def team_tree(conn: sa.Connection, manager_id: int | None, day: date) -> list[Team]:
    """The teams in force on `day` that `manager_id` leads or that lie below those, parents first; None: all."""
    return [Team(*row) for row in conn.execute(_TREE, {"manager": manager_id, "day": day})]


# A team and the teams below it on a day: who is in them and who leads them.
_IN = sa.text("""
    WITH RECURSIVE now_in_force AS (
        SELECT team_id, parent_id, manager_id FROM team_structure
         WHERE start_date <= :day AND (end_date IS NULL OR end_date > :day)
    ), tree AS (
        SELECT team_id, manager_id FROM now_in_force WHERE team_id = :team
        UNION
        SELECT n.team_id, n.manager_id FROM now_in_force n JOIN tree ON n.parent_id = tree.team_id
    )
    SELECT manager_id FROM tree WHERE manager_id IS NOT NULL
    UNION
    SELECT m.user_id FROM team_members m JOIN tree USING (team_id)
     WHERE m.start_date <= :day AND (m.end_date IS NULL OR m.end_date > :day)
""")


def people_in(conn: sa.Connection, team_id: int, day: date) -> frozenset[int]:
    """The user ids of a team's manager and of everyone below, as the tree stood on `day`."""
    return frozenset(conn.scalars(_IN, {"team": team_id, "day": day}))


def team_name(conn: sa.Connection, team_id: int) -> str | None:
    """What a team is called."""
    found: str | None = conn.scalar(sa.text("SELECT name FROM teams WHERE id = :team"), {"team": team_id})
    return found

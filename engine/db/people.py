"""People and the dated team tree, as the database knows them."""

from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa


@dataclass(frozen=True)
class Identity:
    """Who a user is: what access decisions need."""

    user_id: int
    name: str
    email: str
    role: str
    is_active: bool


def identity(conn: sa.Connection, user_id: int) -> Identity | None:
    """The user with that id; None when there is none."""
    row = conn.execute(
        sa.text("SELECT id, name, email, role, is_active FROM users WHERE id = :id"), {"id": user_id}
    ).one_or_none()
    return None if row is None else Identity(*row)


# Everyone in the teams that a manager leads on a day, and in all teams under these; and the managers of those.
_PEOPLE_BELOW = sa.text("""
    WITH RECURSIVE led(team_id) AS (
        SELECT team_id FROM team_structure
         WHERE manager_id = :manager AND start_date <= :day AND (end_date IS NULL OR end_date > :day)
        UNION
        SELECT s.team_id FROM team_structure s JOIN led ON s.parent_id = led.team_id
         WHERE s.start_date <= :day AND (s.end_date IS NULL OR s.end_date > :day)
    )
    SELECT m.user_id FROM team_members m JOIN led USING (team_id)
     WHERE m.start_date <= :day AND (m.end_date IS NULL OR m.end_date > :day)
    UNION
    SELECT s.manager_id FROM team_structure s JOIN led USING (team_id)
     WHERE s.manager_id IS NOT NULL AND s.start_date <= :day AND (s.end_date IS NULL OR s.end_date > :day)
""")


def people_below(conn: sa.Connection, manager_id: int, day: date) -> frozenset[int]:
    """The user ids of everyone below `manager_id` in the team tree as it stood on `day` (not the manager)."""
    found = conn.scalars(_PEOPLE_BELOW, {"manager": manager_id, "day": day})
    return frozenset(found) - {manager_id}


# Everyone's manager over time: the leader of one's team, or for that leader the leader of the team above.
_MANAGER_SPANS = sa.text("""
    WITH span AS (
        SELECT m.user_id, s.manager_id, s.parent_id,
               greatest(m.start_date, s.start_date) AS start_date,
               least(coalesce(m.end_date, 'infinity'), coalesce(s.end_date, 'infinity')) AS end_date
          FROM team_members m
          JOIN team_structure s ON s.team_id = m.team_id
           AND daterange(s.start_date, s.end_date) && daterange(m.start_date, m.end_date)
        UNION ALL
        SELECT s.manager_id, p.manager_id, p.parent_id,
               greatest(s.start_date, p.start_date),
               least(coalesce(s.end_date, 'infinity'), coalesce(p.end_date, 'infinity'))
          FROM team_structure s
          JOIN team_structure p ON p.team_id = s.parent_id
           AND daterange(p.start_date, p.end_date) && daterange(s.start_date, s.end_date)
         WHERE s.manager_id IS NOT NULL
    )
    SELECT user_id, manager_id, start_date, nullif(end_date, 'infinity') AS end_date FROM span
     WHERE manager_id IS NOT NULL AND manager_id <> user_id
     ORDER BY user_id, start_date, manager_id
""")


def manager_spans(conn: sa.Connection) -> list[tuple[int, int, date, date | None]]:
    """(user id, manager's user id, start, end) of everyone, half-open, ordered by user and start."""
    return [tuple(row) for row in conn.execute(_MANAGER_SPANS)]

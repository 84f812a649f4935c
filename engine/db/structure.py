"""Teams over time: who is in them, who leads them, what they are part of.

A dated row ends where the next one starts, so a change "from a day" ends the row before it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa


@dataclass(frozen=True)
class TeamRow:
    """A team as of a day; `members` counts those in the team itself.  `since` None: not in the tree on that day.

    `closed_on` is the first day on which there is no such team any more; None when it goes on.
    """

    team_id: int
    name: str
    parent_id: int | None
    parent: str | None
    manager_id: int | None
    manager: str | None
    members: int
    since: date | None
    closed_on: date | None = None

    def is_open(self, day: date) -> bool:
        """Whether the team goes on after a day, or begins then."""
        return self.closed_on is None or self.closed_on > day


@dataclass(frozen=True)
class Membership:
    """A person in a team in ``[start, end)``."""

    user_id: int
    team_id: int
    team: str
    start: date
    end: date | None


# Every team with its leader, the team above and its number of members, as of a day.
_TEAMS = sa.text("""
    SELECT t.id, t.name, p.id, p.name, u.id, u.name,
           (SELECT count(*) FROM team_members m
             WHERE m.team_id = t.id AND m.start_date <= :day AND (m.end_date IS NULL OR m.end_date > :day)),
           s.start_date,
           (SELECT nullif(max(coalesce(z.end_date, 'infinity')), 'infinity') FROM team_structure z
             WHERE z.team_id = t.id)
      FROM teams t
      LEFT JOIN team_structure s ON s.team_id = t.id
           AND s.start_date <= :day AND (s.end_date IS NULL OR s.end_date > :day)
      LEFT JOIN teams p ON p.id = s.parent_id
      LEFT JOIN users u ON u.id = s.manager_id
     ORDER BY lower(t.name)
""")


def listing(conn: sa.Connection, day: date) -> list[TeamRow]:
    """Every team, by name."""
    return [TeamRow(*row) for row in conn.execute(_TEAMS, {"day": day})]


def add(conn: sa.Connection, name: str) -> int | None:
    """A new team's id; None when the name is taken."""
    query = "INSERT INTO teams (name) VALUES (:name) ON CONFLICT (name) DO NOTHING RETURNING id"
    team_id: int | None = conn.scalar(sa.text(query), {"name": name})
    return team_id


def rename(conn: sa.Connection, team_id: int, name: str) -> bool:
    """Change a team's name; False when another team has it."""
    query = """
        UPDATE teams SET name = :name
         WHERE id = :id AND NOT EXISTS (SELECT FROM teams WHERE name = :name AND id <> :id)
    """
    return conn.execute(sa.text(query), {"name": name, "id": team_id}).rowcount == 1


# Who would be in, and what would be part of, a team that there is no more: (the team, closed on, who or what).
_IN_CLOSED = sa.text("""
    WITH closed AS (
        SELECT t.id, t.name, max(s.end_date) AS day FROM teams t JOIN team_structure s ON s.team_id = t.id
         GROUP BY t.id HAVING bool_and(s.end_date IS NOT NULL)
    )
    SELECT c.name, c.day, u.name AS what FROM closed c JOIN team_members m ON m.team_id = c.id
      JOIN users u ON u.id = m.user_id WHERE m.end_date IS NULL OR m.end_date > c.day
    UNION ALL
    SELECT c.name, c.day, t.name FROM closed c JOIN team_structure s ON s.parent_id = c.id
      JOIN teams t ON t.id = s.team_id WHERE s.end_date IS NULL OR s.end_date > c.day
    LIMIT 5
""")


def in_closed(conn: sa.Connection) -> list[tuple[str, date, str]]:
    """(team, the day from which it is closed, the person or team that is in it then): none in good order."""
    return [(row.name, row.day, row.what) for row in conn.execute(_IN_CLOSED)]


def close(conn: sa.Connection, team_id: int, day: date, members_to: int | None) -> bool:
    """From `day` on there is no such team: its people go to another (None: to none), the teams below one level up.

    A team that has been nothing then, nobody's and above none, is forgotten; whether it was.
    """
    values = {"team": team_id, "day": day}
    parent_on = sa.text("""
        SELECT parent_id FROM team_structure WHERE team_id = :team AND start_date <= :on
           AND (end_date IS NULL OR end_date > :on)
    """)
    below = sa.text("""
        SELECT team_id, manager_id, greatest(start_date, :day) AS start FROM team_structure
         WHERE parent_id = :team AND (end_date IS NULL OR end_date > :day) ORDER BY team_id, start_date
    """)
    for row in conn.execute(below, values).all():
        above = conn.scalar(parent_on, {"team": team_id, "on": row.start})
        set_structure(conn, row.team_id, above, row.manager_id, row.start)
    inside = sa.text("""
        SELECT user_id, greatest(start_date, :day) AS start, end_date FROM team_members
         WHERE team_id = :team AND (end_date IS NULL OR end_date > :day) ORDER BY user_id, start_date
    """)
    ends = sa.text("""
        UPDATE team_members SET end_date = :end WHERE user_id = :user AND start_date <= :on
           AND (end_date IS NULL OR end_date > :end)
    """)
    for row in conn.execute(inside, values).all():
        set_team(conn, row.user_id, members_to, row.start)
        if row.end_date is not None:  # what ended goes on ending there
            conn.execute(ends, {"user": row.user_id, "on": row.start, "end": row.end_date})
    conn.execute(sa.text("DELETE FROM team_structure WHERE team_id = :team AND start_date >= :day"), values)
    running = (
        "UPDATE team_structure SET end_date = :day WHERE team_id = :team AND (end_date IS NULL OR end_date > :day)"
    )
    conn.execute(sa.text(running), values)
    never = sa.text("""
        DELETE FROM teams t WHERE id = :team
           AND NOT EXISTS (SELECT FROM team_structure s WHERE t.id IN (s.team_id, s.parent_id))
           AND NOT EXISTS (SELECT FROM team_members m WHERE m.team_id = t.id)
    """)
    return conn.execute(never, values).rowcount == 1


def come_back(conn: sa.Connection, user_id: int, day: date) -> None:
    """Undo `leave` and `vacate` of that day: the team that ended then goes on, so does the lead of teams without one.

    What was planned for later is gone.
    """
    values = {"user": user_id, "day": day}
    conn.execute(
        sa.text("""
            UPDATE team_members SET end_date = NULL WHERE user_id = :user AND end_date = :day
               AND NOT EXISTS (SELECT FROM team_members l WHERE l.user_id = :user AND l.start_date >= :day)
        """),
        values,
    )
    conn.execute(
        sa.text("""
            UPDATE team_structure s SET manager_id = :user FROM team_structure b
             WHERE s.start_date = :day AND s.manager_id IS NULL AND b.team_id = s.team_id AND b.end_date = :day
               AND b.manager_id = :user
        """),
        values,
    )


def lock(conn: sa.Connection) -> dict[int, str]:
    """The names of all teams; their structure changes here alone until the transaction ends."""
    query = sa.text("SELECT id, name FROM teams ORDER BY id FOR UPDATE")
    return {row.id: row.name for row in conn.execute(query)}


def parents(conn: sa.Connection) -> list[tuple[int, int, date, date | None]]:
    """(team, the team above, start, end) over all time."""
    query = "SELECT team_id, parent_id, start_date, end_date FROM team_structure WHERE parent_id IS NOT NULL"
    return [(row[0], row[1], row[2], row[3]) for row in conn.execute(sa.text(query))]


def set_structure(
    conn: sa.Connection, team_id: int, parent_id: int | None, manager_id: int | None, start: date
) -> None:
    """From `start` until the team's next change: who leads it and what it is part of."""
    values = {"team": team_id, "start": start}
    conn.execute(sa.text("DELETE FROM team_structure WHERE team_id = :team AND start_date = :start"), values)
    conn.execute(
        sa.text("""
            UPDATE team_structure SET end_date = :start
             WHERE team_id = :team AND start_date < :start AND (end_date IS NULL OR end_date > :start)
        """),
        values,
    )
    conn.execute(
        sa.text("""
            INSERT INTO team_structure (team_id, parent_id, manager_id, start_date, end_date)
            VALUES (:team, :parent, :manager, :start,
                    (SELECT min(start_date) FROM team_structure WHERE team_id = :team AND start_date > :start))
        """),
        {**values, "parent": parent_id, "manager": manager_id},
    )


@dataclass(frozen=True)
class TeamState:
    """What a team is part of and who leads it in ``[start, end)``."""

    parent: str | None
    manager: str | None
    start: date
    end: date | None


def history(conn: sa.Connection, team_id: int) -> list[TeamState]:
    """What a team was part of and who led it over time, oldest first."""
    query = """
        SELECT p.name, u.name, s.start_date, s.end_date
          FROM team_structure s LEFT JOIN teams p ON p.id = s.parent_id LEFT JOIN users u ON u.id = s.manager_id
         WHERE s.team_id = :team ORDER BY s.start_date
    """
    return [TeamState(*row) for row in conn.execute(sa.text(query), {"team": team_id})]


def forget_structure_after(conn: sa.Connection, team_id: int, day: date) -> None:
    """Take back the changes of a team that begin after `day`; what holds on `day` goes on."""
    values = {"team": team_id, "day": day}
    conn.execute(sa.text("DELETE FROM team_structure WHERE team_id = :team AND start_date > :day"), values)
    conn.execute(sa.text("UPDATE team_structure SET end_date = NULL WHERE team_id = :team AND end_date > :day"), values)


def forget_teams_after(conn: sa.Connection, user_id: int, day: date) -> None:
    """Take back the memberships of a person that begin after `day`; the one of `day` goes on, at most until leaving."""
    values = {"user": user_id, "day": day}
    conn.execute(sa.text("DELETE FROM team_members WHERE user_id = :user AND start_date > :day"), values)
    query = """
        UPDATE team_members SET end_date = (SELECT left_on FROM users WHERE id = :user AND left_on > :day)
         WHERE user_id = :user AND end_date > :day
    """
    conn.execute(sa.text(query), values)


def led_by(conn: sa.Connection, user_id: int, day: date) -> list[str]:
    """The names of the teams that a person leads on a day or later, sorted."""
    query = sa.text("""
        SELECT DISTINCT t.name FROM team_structure s JOIN teams t ON t.id = s.team_id
         WHERE s.manager_id = :user AND (s.end_date IS NULL OR s.end_date > :day) ORDER BY t.name
    """)
    return list(conn.scalars(query, {"user": user_id, "day": day}))


def vacate(conn: sa.Connection, user_id: int, day: date) -> list[int]:
    """From `day` on the person leads no team; returns the teams that lost their leader."""
    values = {"user": user_id, "day": day}
    later = """
        UPDATE team_structure SET manager_id = NULL WHERE manager_id = :user AND start_date >= :day RETURNING team_id
    """
    running = """
        SELECT team_id, parent_id FROM team_structure
         WHERE manager_id = :user AND start_date < :day AND (end_date IS NULL OR end_date > :day)
    """
    lost = set(conn.scalars(sa.text(later), values))
    for team_id, parent_id in conn.execute(sa.text(running), values).all():
        set_structure(conn, team_id, parent_id, None, day)
        lost.add(team_id)
    return sorted(lost)


def set_team(conn: sa.Connection, user_id: int, team_id: int | None, start: date) -> None:
    """From `start` until the person's next membership, or leave: in that team, or (None) in no team."""
    values = {"user": user_id, "start": start}
    conn.execute(sa.text("DELETE FROM team_members WHERE user_id = :user AND start_date = :start"), values)
    conn.execute(
        sa.text("""
            UPDATE team_members SET end_date = :start
             WHERE user_id = :user AND start_date < :start AND (end_date IS NULL OR end_date > :start)
        """),
        values,
    )
    if team_id is not None:
        conn.execute(
            sa.text("""
                INSERT INTO team_members (team_id, user_id, start_date, end_date)
                VALUES (:team, :user, :start, least(
                        (SELECT min(start_date) FROM team_members WHERE user_id = :user AND start_date > :start),
                        (SELECT left_on FROM users WHERE id = :user AND left_on > :start)))
            """),
            {**values, "team": team_id},
        )
        _merge_teams(conn, user_id, team_id, start)


def add_members(conn: sa.Connection, rows: Collection[tuple[int, int, date]]) -> None:
    """Put people who were in no team yet, and leave none, into teams: (user, team, start)."""
    conn.execute(
        sa.text("""
            INSERT INTO team_members (user_id, team_id, start_date)
            SELECT * FROM unnest(CAST(:users AS bigint[]), CAST(:teams AS bigint[]), CAST(:starts AS date[]))
        """),
        {
            "users": [user for user, _, _ in rows],
            "teams": [team for _, team, _ in rows],
            "starts": [start for _, _, start in rows],
        },
    )


def _merge_teams(conn: sa.Connection, user_id: int, team_id: int, start: date) -> None:
    """One row for a team that the person was in the day before already: a move taken back leaves no trace."""
    values = {"user": user_id, "team": team_id, "start": start}
    before = "SELECT id FROM team_members WHERE user_id = :user AND team_id = :team AND end_date = :start"
    found: int | None = conn.scalar(sa.text(before), values)
    if found is not None:
        gone = "DELETE FROM team_members WHERE user_id = :user AND start_date = :start RETURNING end_date"
        end = conn.scalar(sa.text(gone), values)
        conn.execute(sa.text("UPDATE team_members SET end_date = :end WHERE id = :id"), {"end": end, "id": found})


def team_on(conn: sa.Connection, user_id: int, day: date) -> int | None:
    """The team that a person is in on a day."""
    return next(
        (row.team_id for row in memberships(conn, user_id) if row.start <= day and (row.end is None or row.end > day)),
        None,
    )


def leave(conn: sa.Connection, user_id: int, day: date) -> None:
    """The person is in no team from `day` on, whatever was planned."""
    values = {"user": user_id, "day": day}
    conn.execute(sa.text("DELETE FROM team_members WHERE user_id = :user AND start_date >= :day"), values)
    running = "UPDATE team_members SET end_date = :day WHERE user_id = :user AND (end_date IS NULL OR end_date > :day)"
    conn.execute(sa.text(running), values)


def memberships(conn: sa.Connection, user_id: int) -> list[Membership]:
    """The teams of a person over time, oldest first."""
    query = """
        SELECT m.user_id, m.team_id, t.name, m.start_date, m.end_date
          FROM team_members m JOIN teams t ON t.id = m.team_id WHERE m.user_id = :user ORDER BY m.start_date
    """
    return [Membership(*row) for row in conn.execute(sa.text(query), {"user": user_id})]


def all_memberships(conn: sa.Connection) -> list[Membership]:
    """The teams of everyone over time, by person and start."""
    query = """
        SELECT m.user_id, m.team_id, t.name, m.start_date, m.end_date
          FROM team_members m JOIN teams t ON t.id = m.team_id ORDER BY m.user_id, m.start_date
    """
    return [Membership(*row) for row in conn.execute(sa.text(query))]


def members(conn: sa.Connection, team_id: int, day: date) -> list[int]:
    """The user ids of those in the team itself on a day."""
    query = """
        SELECT user_id FROM team_members
         WHERE team_id = :team AND start_date <= :day AND (end_date IS NULL OR end_date > :day) ORDER BY user_id
    """
    return list(conn.scalars(sa.text(query), {"team": team_id, "day": day}))


# Those in a team, or in one below it, or leading one of them, on a day.
_PEOPLE_IN = sa.text("""
    WITH RECURSIVE tree(team_id) AS (
        SELECT CAST(:team AS bigint)
        UNION
        SELECT s.team_id FROM team_structure s JOIN tree ON s.parent_id = tree.team_id
         WHERE s.start_date <= :day AND (s.end_date IS NULL OR s.end_date > :day)
    )
    SELECT m.user_id FROM team_members m JOIN tree USING (team_id)
     WHERE m.start_date <= :day AND (m.end_date IS NULL OR m.end_date > :day)
    UNION
    SELECT s.manager_id FROM team_structure s JOIN tree USING (team_id)
     WHERE s.manager_id IS NOT NULL AND s.start_date <= :day AND (s.end_date IS NULL OR s.end_date > :day)
""")


def people_in(conn: sa.Connection, team_id: int, day: date) -> frozenset[int]:
    """The user ids of everyone in a team and in those below it, with their managers, on a day."""
    return frozenset(conn.scalars(_PEOPLE_IN, {"team": team_id, "day": day}))

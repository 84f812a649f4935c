"""People and the dated team tree, as the database knows them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime

import sqlalchemy as sa

# Whoever may sign in until the last day, may no more after it.
_ACTIVE = "is_active AND (left_on IS NULL OR left_on > current_date)"


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
        sa.text(f"SELECT id, name, email, role, {_ACTIVE} FROM users WHERE id = :id"),  # noqa: S608 - text of this module
        {"id": user_id},
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


def with_those_below(conn: sa.Connection, user_ids: frozenset[int]) -> frozenset[int]:
    """These users, and everyone who ever was below one of them."""
    below: dict[int, set[int]] = {}
    for user, manager, _start, _end in manager_spans(conn):
        below.setdefault(manager, set()).add(user)
    found, left = set(user_ids), list(user_ids)
    while left:
        more = below.get(left.pop(), set()) - found
        found |= more
        left += more
    return frozenset(found)


@dataclass(frozen=True)
class Person:
    """A user in a list; team, manager and plan as of a day.  `leads` are the names of the teams led then.

    `link_until`: when the link to choose a password, made and not used yet, ends or has ended.
    """

    user_id: int
    code: str
    name: str
    email: str
    role: str
    is_active: bool
    has_password: bool
    hired_on: date | None
    left_on: date | None
    team_id: int | None
    team: str | None
    leads: str | None
    plan_id: int | None
    plan: str | None
    link_until: datetime | None
    manager_id: int | None = None
    manager: str | None = None


# Users with the team they are in, the teams they lead and the plan they are on, as of a day.
_LISTING = sa.text("""
    SELECT u.id, u.code, u.name, u.email, u.role,
           u.is_active AND (u.left_on IS NULL OR u.left_on > :day), u.has_password, u.hired_on, u.left_on,
           t.id, t.name,
           (SELECT string_agg(l.name, ', ' ORDER BY l.name) FROM team_structure s JOIN teams l ON l.id = s.team_id
             WHERE s.manager_id = u.id AND s.start_date <= :day AND (s.end_date IS NULL OR s.end_date > :day)),
           p.id, p.title, k.expires_at
      FROM users u
      LEFT JOIN sign_in_links k ON k.user_id = u.id
      LEFT JOIN team_members m ON m.user_id = u.id
           AND m.start_date <= :day AND (m.end_date IS NULL OR m.end_date > :day)
      LEFT JOIN teams t ON t.id = m.team_id
      LEFT JOIN plan_assignments a ON a.user_id = u.id
           AND a.start_date <= :day AND (a.end_date IS NULL OR a.end_date > :day)
      LEFT JOIN plans p ON p.id = a.plan_id
     WHERE :everyone OR u.id = ANY(:users)
     ORDER BY 6 DESC, lower(u.name), u.id
""")


def listing(conn: sa.Connection, day: date, user_ids: Collection[int] | None = None) -> list[Person]:
    """People (None: everyone), the active first, by name."""
    values = {"day": day, "everyone": user_ids is None, "users": list(user_ids or ())}
    rows = [Person(*row) for row in conn.execute(_LISTING, values)]
    manager_of = {
        user: manager
        for user, manager, start, end in manager_spans(conn)
        if start <= day and (end is None or end > day)
    }
    called = names(conn)
    return [
        replace(row, manager_id=boss, manager=called[boss]) if (boss := manager_of.get(row.user_id)) else row
        for row in rows
    ]


def names(conn: sa.Connection) -> dict[int, str]:
    """Everyone's name by user id."""
    return {row.id: row.name for row in conn.execute(sa.text("SELECT id, name FROM users"))}


def add(
    conn: sa.Connection,
    code: str,
    name: str,
    email: str,
    role: str,
    hired_on: date | None,
    password_hash: str | None,
) -> int | None:
    """A new active user's id; None when the code is taken."""
    query = """
        INSERT INTO users (code, name, email, role, hired_on, password_hash)
        VALUES (:code, :name, :email, :role, :hired, :password) ON CONFLICT (code) DO NOTHING RETURNING id
    """
    values = {"code": code, "name": name, "email": email, "role": role, "hired": hired_on}
    user_id: int | None = conn.scalar(sa.text(query), {**values, "password": password_hash})
    return user_id


def update(conn: sa.Connection, user_id: int, name: str, email: str, role: str, hired_on: date | None) -> None:
    """Change what may change of a person; the code never does."""
    query = "UPDATE users SET name = :name, email = :email, role = :role, hired_on = :hired WHERE id = :id"
    values = {"name": name, "email": email, "role": role, "hired": hired_on, "id": user_id}
    conn.execute(sa.text(query), values)


def set_active(conn: sa.Connection, user_id: int, is_active: bool, left_on: date | None) -> None:
    """Whether the person may sign in (never after leaving), and the first day on which they are gone."""
    query = "UPDATE users SET is_active = :active, left_on = :left WHERE id = :id"
    conn.execute(sa.text(query), {"active": is_active, "left": left_on, "id": user_id})


def set_password(conn: sa.Connection, user_id: int, password_hash: str | None) -> None:
    """Replace the password; without one nobody signs in as this person."""
    query = "UPDATE users SET password_hash = :hash WHERE id = :id"
    conn.execute(sa.text(query), {"hash": password_hash, "id": user_id})


def name_with_email(conn: sa.Connection, email: str) -> tuple[int, str] | None:
    """(user id, name) of the user with that e-mail, in whatever case."""
    query = sa.text("SELECT id, name FROM users WHERE lower(email) = lower(:email)")
    row = conn.execute(query, {"email": email}).one_or_none()
    return None if row is None else (row.id, row.name)


def lock_active_admins(conn: sa.Connection) -> frozenset[int]:
    """The admins who may sign in; none of them changes elsewhere until this transaction ends."""
    query = sa.text(f"SELECT id FROM users WHERE role = 'admin' AND {_ACTIVE} ORDER BY id FOR UPDATE")  # noqa: S608
    return frozenset(conn.scalars(query))


def admins_with_password(conn: sa.Connection) -> frozenset[int]:
    """The admins who may sign in and have a password."""
    query = f"SELECT id FROM users WHERE role = 'admin' AND {_ACTIVE} AND password_hash IS NOT NULL"  # noqa: S608
    return frozenset(conn.scalars(sa.text(query)))


def with_password(conn: sa.Connection, user_ids: Collection[int]) -> frozenset[int]:
    """Those of the users who have a password."""
    query = sa.text("SELECT id FROM users WHERE id = ANY(:users) AND password_hash IS NOT NULL")
    return frozenset(conn.scalars(query, {"users": list(user_ids)}))


def staying(conn: sa.Connection, user_ids: Collection[int]) -> frozenset[int]:
    """Those of the users who have no day of leaving."""
    query = sa.text("SELECT id FROM users WHERE id = ANY(:users) AND is_active AND left_on IS NULL")
    return frozenset(conn.scalars(query, {"users": list(user_ids)}))


# Which manager sees whom on a day: everyone in the teams led and in all those below, and who leads these.
_SIGHT = sa.text("""
    WITH RECURSIVE force AS (
        SELECT team_id, parent_id, manager_id FROM team_structure
         WHERE start_date <= :day AND (end_date IS NULL OR end_date > :day)
    ),
    led(manager_id, team_id) AS (
        SELECT s.manager_id, s.team_id FROM force s JOIN users u ON u.id = s.manager_id
         WHERE u.role = 'manager' AND u.is_active AND (u.left_on IS NULL OR u.left_on > :day)
        UNION
        SELECT led.manager_id, s.team_id FROM force s JOIN led ON s.parent_id = led.team_id
    ),
    seen(manager_id, user_id) AS (
        SELECT l.manager_id, m.user_id FROM led l JOIN team_members m USING (team_id)
         WHERE m.start_date <= :day AND (m.end_date IS NULL OR m.end_date > :day)
        UNION
        SELECT l.manager_id, s.manager_id FROM led l JOIN force s USING (team_id) WHERE s.manager_id IS NOT NULL
    )
    SELECT manager_id, user_id FROM seen WHERE user_id <> manager_id
""")


def sight(conn: sa.Connection, day: date) -> frozenset[tuple[int, int]]:
    """(manager, user) of everyone whom someone with the role manager sees on a day, as `people_below` finds them."""
    return frozenset((row.manager_id, row.user_id) for row in conn.execute(_SIGHT, {"day": day}))


@dataclass(frozen=True)
class Held:
    """What a person has open: sessions, API tokens, open deals as (currency, deals, cents), money due by currency."""

    sessions: int
    tokens: int
    open_deals: tuple[tuple[str, int, int], ...]
    due: Mapping[str, int]


def held(conn: sa.Connection, user_id: int) -> Held:
    """What a person would lose or leave behind."""
    values = {"user": user_id}
    sessions = conn.scalar(
        sa.text("SELECT count(*) FROM user_sessions WHERE user_id = :user AND ended_at IS NULL AND expires_at > now()"),
        values,
    )
    tokens = conn.scalar(
        sa.text("SELECT count(*) FROM api_tokens WHERE user_id = :user AND revoked_at IS NULL AND expires_at > now()"),
        values,
    )
    open_deals = conn.execute(
        sa.text("""
            SELECT d.currency, count(*), CAST(sum(d.amount) AS bigint) FROM deals d
              JOIN pipeline_stages s ON s.id = d.stage_id
             WHERE d.owner_id = :user AND s.outcome = 'open' GROUP BY d.currency ORDER BY d.currency
        """),
        values,
    )
    due = conn.execute(
        sa.text("SELECT currency, CAST(sum(amount) AS bigint) FROM ledger WHERE user_id = :user GROUP BY currency"),
        values,
    )
    return Held(
        sessions or 0,
        tokens or 0,
        tuple((row[0], row[1], row[2]) for row in open_deals),
        {row[0]: row[1] for row in due if row[1]},
    )


@dataclass(frozen=True)
class Locked:
    """A user whose rows change in this transaction alone, until it ends."""

    user_id: int
    code: str
    name: str
    email: str
    role: str
    is_active: bool
    hired_on: date | None
    left_on: date | None


def lock(conn: sa.Connection, user_ids: Collection[int]) -> list[Locked]:
    """Take the users that exist, by id."""
    query = f"""
        SELECT id, code, name, email, role, {_ACTIVE}, hired_on, left_on FROM users
         WHERE id = ANY(:users) ORDER BY id FOR UPDATE
    """  # noqa: S608 - text of this module
    return [Locked(*row) for row in conn.execute(sa.text(query), {"users": list(user_ids)})]

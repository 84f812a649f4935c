"""Plans, their versions and who is on them.  A published version never changes; the database refuses it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa


@dataclass(frozen=True)
class PlanSummary:
    """A plan in a list: its newest published version, whether a draft waits, how many people are on it."""

    plan_id: int
    name: str
    title: str
    versions: int
    effective_from: date | None
    published_at: datetime | None
    has_draft: bool
    people: int


@dataclass(frozen=True)
class Version:
    """One published version; `hash` is the SHA-256 of its canonical form, in hex."""

    version_id: int
    effective_from: date
    document: str
    hash: str
    published_by: str
    published_at: datetime


@dataclass(frozen=True)
class Draft:
    """The version being written; it may have problems."""

    version_id: int
    document: str
    created_by: str
    created_at: datetime


@dataclass(frozen=True)
class Assigned:
    """A person on a plan in ``[start, end)``; `prorate` says how a part of a quota period scales the quota."""

    assignment_id: int
    user_id: int
    person: str
    plan_id: int
    plan: str
    start: date
    end: date | None
    prorate: str


# Every plan with its newest published version, its draft and its people as of a day.
_SUMMARIES = sa.text("""
    SELECT p.id, p.name, p.title,
           count(v.id) FILTER (WHERE v.status = 'published'),
           max(v.effective_from) FILTER (WHERE v.status = 'published'),
           max(v.published_at),
           coalesce(bool_or(v.status = 'draft'), false),
           (SELECT count(*) FROM plan_assignments a
             WHERE a.plan_id = p.id AND a.start_date <= :day AND (a.end_date IS NULL OR a.end_date > :day))
      FROM plans p LEFT JOIN plan_versions v ON v.plan_id = p.id
     GROUP BY p.id ORDER BY p.title, p.id
""")


def summaries(conn: sa.Connection, day: date) -> list[PlanSummary]:
    """Every plan, by title; people counted as of `day`."""
    return [PlanSummary(*row) for row in conn.execute(_SUMMARIES, {"day": day})]


def plans_of(conn: sa.Connection, user_id: int) -> frozenset[int]:
    """The ids of the plans that a person is, was or will be on."""
    query = sa.text("SELECT DISTINCT plan_id FROM plan_assignments WHERE user_id = :user")
    return frozenset(conn.scalars(query, {"user": user_id}))


def get(conn: sa.Connection, plan_id: int) -> tuple[str, str] | None:
    """(name, title) of a plan; None when there is none."""
    row = conn.execute(sa.text("SELECT name, title FROM plans WHERE id = :id"), {"id": plan_id}).one_or_none()
    return None if row is None else (row.name, row.title)


def lock(conn: sa.Connection, plan_id: int) -> tuple[str, str] | None:
    """As `get`, and no one else changes the plan's versions until this transaction ends."""
    query = sa.text("SELECT name, title FROM plans WHERE id = :id FOR UPDATE")
    row = conn.execute(query, {"id": plan_id}).one_or_none()
    return None if row is None else (row.name, row.title)


def add(conn: sa.Connection, name: str, title: str) -> int | None:
    """A new plan's id; None when the name is taken."""
    query = "INSERT INTO plans (name, title) VALUES (:name, :title) ON CONFLICT (name) DO NOTHING RETURNING id"
    plan_id: int | None = conn.scalar(sa.text(query), {"name": name, "title": title})
    return plan_id


def rename(conn: sa.Connection, plan_id: int, title: str) -> None:
    """Change what people read; the name stays."""
    conn.execute(sa.text("UPDATE plans SET title = :title WHERE id = :id"), {"title": title, "id": plan_id})


def remove(conn: sa.Connection, plan_id: int) -> None:
    """Remove a plan that has neither versions nor people."""
    conn.execute(sa.text("DELETE FROM plans WHERE id = :id"), {"id": plan_id})


def versions(conn: sa.Connection, plan_id: int) -> list[Version]:
    """The published versions, oldest first."""
    query = """
        SELECT v.id, v.effective_from, v.document, encode(v.hash, 'hex'), coalesce(u.name, ''), v.published_at
          FROM plan_versions v LEFT JOIN users u ON u.id = v.published_by
         WHERE v.plan_id = :plan AND v.status = 'published' ORDER BY v.effective_from
    """
    return [Version(*row) for row in conn.execute(sa.text(query), {"plan": plan_id})]


def draft(conn: sa.Connection, plan_id: int) -> Draft | None:
    """The draft of a plan, if there is one."""
    query = """
        SELECT v.id, v.document, coalesce(u.name, ''), v.created_at
          FROM plan_versions v LEFT JOIN users u ON u.id = v.created_by
         WHERE v.plan_id = :plan AND v.status = 'draft'
    """
    row = conn.execute(sa.text(query), {"plan": plan_id}).one_or_none()
    return None if row is None else Draft(*row)


def add_draft(conn: sa.Connection, plan_id: int, document: str, user_id: int | None) -> int:
    """Begin a draft and return its id; a plan has at most one."""
    query = """
        INSERT INTO plan_versions (plan_id, document, status, created_by)
        VALUES (:plan, :document, 'draft', :user) RETURNING id
    """
    values = {"plan": plan_id, "document": document, "user": user_id}
    return int(conn.execute(sa.text(query), values).scalar_one())


def write_draft(conn: sa.Connection, version_id: int, document: str) -> None:
    """Replace the text of a draft."""
    query = "UPDATE plan_versions SET document = :document WHERE id = :id"
    conn.execute(sa.text(query), {"document": document, "id": version_id})


def remove_draft(conn: sa.Connection, version_id: int) -> None:
    """Throw a draft away."""
    conn.execute(sa.text("DELETE FROM plan_versions WHERE id = :id AND status = 'draft'"), {"id": version_id})


def publish(conn: sa.Connection, version_id: int, effective_from: date, hash_hex: str, user_id: int | None) -> None:
    """Freeze a draft as the version in force from `effective_from`."""
    query = """
        UPDATE plan_versions
           SET status = 'published', effective_from = :start, hash = decode(:hash, 'hex'),
               published_by = :user, published_at = now()
         WHERE id = :id
    """
    conn.execute(sa.text(query), {"start": effective_from, "hash": hash_hex, "user": user_id, "id": version_id})


def first_days(conn: sa.Connection) -> dict[int, date]:
    """The first day on which each plan with a published version is in force, by plan id."""
    query = "SELECT plan_id, min(effective_from) FROM plan_versions WHERE status = 'published' GROUP BY plan_id"
    return {row[0]: row[1] for row in conn.execute(sa.text(query))}


def names(conn: sa.Connection) -> list[tuple[int, str, str]]:
    """(id, name, title) of every plan."""
    return [(row[0], row[1], row[2]) for row in conn.execute(sa.text("SELECT id, name, title FROM plans ORDER BY id"))]


_ASSIGNED = """
    SELECT a.id, a.user_id, u.name, a.plan_id, p.title, a.start_date, a.end_date, a.prorate
      FROM plan_assignments a JOIN users u ON u.id = a.user_id JOIN plans p ON p.id = a.plan_id
"""


def assigned_to_plan(conn: sa.Connection, plan_id: int) -> list[Assigned]:
    """Everyone who is or was on a plan, by name and start."""
    query = sa.text(_ASSIGNED + "WHERE a.plan_id = :plan ORDER BY u.name, u.id, a.start_date")
    return [Assigned(*row) for row in conn.execute(query, {"plan": plan_id})]


def assigned_to_people(conn: sa.Connection, user_ids: Collection[int]) -> list[Assigned]:
    """The plans of some people over time, by name and start."""
    query = sa.text(_ASSIGNED + "WHERE a.user_id = ANY(:users) ORDER BY u.name, u.id, a.start_date")
    return [Assigned(*row) for row in conn.execute(query, {"users": list(user_ids)})]


def assignment(conn: sa.Connection, assignment_id: int) -> Assigned | None:
    """One assignment, locked until the transaction ends."""
    query = sa.text(_ASSIGNED + "WHERE a.id = :id FOR UPDATE OF a")
    row = conn.execute(query, {"id": assignment_id}).one_or_none()
    return None if row is None else Assigned(*row)


def assign(conn: sa.Connection, plan_id: int, user_id: int, start: date, end: date | None, prorate: str) -> int:
    """Put a person on a plan in ``[start, end)``, at most until the day of leaving; returns the assignment's id."""
    query = """
        INSERT INTO plan_assignments (user_id, plan_id, start_date, end_date, prorate)
        VALUES (:user, :plan, :start,
                least(CAST(:end AS date), (SELECT left_on FROM users WHERE id = :user AND left_on > :start)), :prorate)
        RETURNING id
    """
    values = {"user": user_id, "plan": plan_id, "start": start, "end": end, "prorate": prorate}
    return int(conn.execute(sa.text(query), values).scalar_one())


def set_end(conn: sa.Connection, assignment_id: int, end: date | None) -> None:
    """The first day on which the person is no longer on the plan; None: open-ended."""
    query = "UPDATE plan_assignments SET end_date = :end WHERE id = :id"
    conn.execute(sa.text(query), {"end": end, "id": assignment_id})


def unassign(conn: sa.Connection, assignment_id: int) -> None:
    """Remove an assignment as if it had never been."""
    conn.execute(sa.text("DELETE FROM plan_assignments WHERE id = :id"), {"id": assignment_id})


def come_back(conn: sa.Connection, user_id: int, day: date) -> None:
    """Undo `leave` of that day: the plan that ended then goes on; what was planned for later is gone."""
    query = """
        UPDATE plan_assignments SET end_date = NULL WHERE user_id = :user AND end_date = :day
           AND NOT EXISTS (SELECT FROM plan_assignments l WHERE l.user_id = :user AND l.start_date >= :day)
    """
    conn.execute(sa.text(query), {"user": user_id, "day": day})


def leave(conn: sa.Connection, user_id: int, day: date) -> None:
    """The person is on no plan from `day` on, whatever was planned."""
    values = {"user": user_id, "day": day}
    conn.execute(sa.text("DELETE FROM plan_assignments WHERE user_id = :user AND start_date >= :day"), values)
    running = """
        UPDATE plan_assignments SET end_date = :day WHERE user_id = :user AND (end_date IS NULL OR end_date > :day)
    """
    conn.execute(sa.text(running), values)

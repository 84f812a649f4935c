"""Disputes as the database keeps them: a flagged line or a missing deal, its thread, what settled it.

Nothing here commits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa


@dataclass(frozen=True)
class Dispute:
    """A flag on somebody's pay: `about` says of what, in words; `settlement` what settled it."""

    id: int
    user_id: int
    person: str
    period: str
    about: str
    line_id: int | None
    deal_id: int | None
    status: str
    opened_by: str
    opened_at: datetime
    closed_by: str | None
    closed_at: datetime | None
    settled_by: str | None
    settled_id: int | None
    settlement: str

    @property
    def is_closed(self) -> bool:
        """Whether it is settled, explained or rejected."""
        return self.closed_at is not None


@dataclass(frozen=True)
class Message:
    """One entry of the thread; `status` is that of the dispute after it."""

    user_id: int
    author: str
    role: str
    text: str
    status: str
    at: datetime


_ONE = """
    SELECT d.id, d.user_id, u.name, d.period, d.about, d.line_id, d.deal_id, d.status, o.name, d.opened_at, c.name,
           d.closed_at, d.settled_by, d.settled_id, d.settlement
      FROM disputes d JOIN users u ON u.id = d.user_id JOIN users o ON o.id = d.opened_by
      LEFT JOIN users c ON c.id = d.closed_by
"""


def find(conn: sa.Connection, dispute_id: int, *, lock: bool = False) -> Dispute | None:
    """The dispute with that id; ``lock`` keeps it from changing until the transaction ends."""
    query = sa.text(_ONE + "WHERE d.id = :id" + (" FOR UPDATE OF d" if lock else ""))
    row = conn.execute(query, {"id": dispute_id}).one_or_none()
    return None if row is None else Dispute(*row)


def messages(conn: sa.Connection, dispute_id: int) -> list[Message]:
    """The thread, oldest first."""
    query = sa.text("""
        SELECT m.user_id, u.name, u.role, m.text, m.status, m.at
          FROM dispute_messages m JOIN users u ON u.id = m.user_id WHERE m.dispute_id = :id ORDER BY m.id
    """)
    return [Message(*row) for row in conn.execute(query, {"id": dispute_id})]


def open_one(
    conn: sa.Connection, user_id: int, period: str, about: str, line_id: int | None, deal_id: int | None, actor: int
) -> tuple[int, bool]:
    """The open dispute of the person about that; (id, whether it is new)."""
    values = {"user": user_id, "period": period, "about": about, "line": line_id, "deal": deal_id, "actor": actor}
    added: int | None = conn.scalar(
        sa.text("""
            INSERT INTO disputes (user_id, period, about, line_id, deal_id, opened_by)
            VALUES (:user, :period, :about, :line, :deal, :actor)
            ON CONFLICT (user_id, period, about) WHERE closed_at IS NULL DO NOTHING RETURNING id
        """),
        values,
    )
    if added is not None:
        return added, True
    query = sa.text("""
        SELECT id FROM disputes WHERE user_id = :user AND period = :period AND about = :about AND closed_at IS NULL
    """)
    return conn.execute(query, values).scalar_one(), False


def write(conn: sa.Connection, dispute_id: int, actor: int, text: str, status: str) -> None:
    """Add a message to a locked dispute, and the status that it leaves."""
    values = {"id": dispute_id, "actor": actor, "text": text, "status": status}
    query = "INSERT INTO dispute_messages (dispute_id, user_id, text, status) VALUES (:id, :actor, :text, :status)"
    conn.execute(sa.text(query), values)
    if status in ("open", "answered"):
        conn.execute(sa.text("UPDATE disputes SET status = :status WHERE id = :id"), values)


def close(
    conn: sa.Connection, dispute_id: int, actor: int, status: str, link: tuple[str, int] | None, settlement: str
) -> None:
    """Settle, explain or reject a locked dispute; `link` is (deal_change, adjustment or run; its id)."""
    kind, linked = link or (None, None)
    conn.execute(
        sa.text("""
            UPDATE disputes SET status = :status, closed_by = :actor, closed_at = now(), settled_by = :kind,
                                settled_id = :linked, settlement = :settlement WHERE id = :id
        """),
        {"id": dispute_id, "actor": actor, "status": status, "kind": kind, "linked": linked, "settlement": settlement},
    )


def periods(conn: sa.Connection) -> list[str]:
    """Every pay period that has a dispute."""
    return list(conn.scalars(sa.text("SELECT DISTINCT period FROM disputes")))


@dataclass(frozen=True)
class Settler:
    """A change that may have settled a dispute: a deal edit, a manual adjustment or a run, since it was opened."""

    kind: str
    id: int
    who: str
    at: datetime
    detail: str


_SETTLERS = sa.text("""
    SELECT 'deal_change' AS kind, c.id, coalesce(u.name, 'The program') AS who, c.at,
           coalesce(e.external_id || ' (' || e.name || '): ', '')
           || (SELECT string_agg(k, ', ' ORDER BY k) FROM jsonb_object_keys(c.changes) k) AS detail
      FROM disputes d JOIN deal_changes c ON c.deal_id = d.deal_id AND c.at >= d.opened_at
      JOIN deals e ON e.id = c.deal_id LEFT JOIN users u ON u.id = c.user_id WHERE d.id = :id
    UNION ALL
    SELECT 'adjustment', a.id, u.name, a.created_at, a.period || ': ' || a.reason
      FROM disputes d JOIN manual_adjustments a ON a.user_id = d.user_id AND a.created_at >= d.opened_at
      JOIN users u ON u.id = a.created_by WHERE d.id = :id AND a.withdrawn_at IS NULL
    UNION ALL
    (SELECT 'run', r.id, u.name, r.created_at, r.period
      FROM disputes d JOIN runs r ON r.created_at >= d.opened_at JOIN users u ON u.id = r.created_by
     WHERE d.id = :id ORDER BY r.id DESC LIMIT 10)
    ORDER BY at DESC
""")


def settlers(conn: sa.Connection, dispute_id: int) -> Sequence[Settler]:
    """What happened since the dispute was opened that may have settled it, the newest first."""
    return [Settler(*row) for row in conn.execute(_SETTLERS, {"id": dispute_id})]


def deal_of(conn: sa.Connection, external_id: str) -> int | None:
    """The only deal with that id in a CRM; None when there is none, or more than one."""
    found = list(conn.scalars(sa.text("SELECT id FROM deals WHERE external_id = :id LIMIT 2"), {"id": external_id}))
    return found[0] if len(found) == 1 else None


def open_in(conn: sa.Connection, period: str) -> int:
    """How many disputes about the period nobody has closed."""
    query = sa.text("SELECT count(*) FROM disputes WHERE period = :period AND closed_at IS NULL")
    return conn.scalar(query, {"period": period}) or 0


def waiting(conn: sa.Connection) -> list[tuple[str, int]]:
    """(period, how many disputes wait for an answer), the oldest period first."""
    query = sa.text(
        "SELECT period, count(*) AS open FROM disputes WHERE status = 'open' GROUP BY period ORDER BY period"
    )
    return [(row.period, row.open) for row in conn.execute(query)]

"""Manual adjustments as the database keeps them: added to an open pay period, withdrawn while it is open.

Nothing here commits.  What is not withdrawn when the period is approved is posted to the ledger, once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa


@dataclass(frozen=True)
class Adjustment:
    """Money that a person adds to (or takes from) somebody's pay; `amount` in cents, signed."""

    id: int
    user_id: int
    period: str
    kind: str
    amount: int
    currency: str
    reason: str
    deal: str
    line_id: int | None
    created_by: int
    created_at: datetime
    withdrawn_at: datetime | None


_ONE = """
    SELECT id, user_id, period, kind, amount, currency, reason, deal, line_id, created_by, created_at, withdrawn_at
      FROM manual_adjustments
"""


def find(conn: sa.Connection, adjustment_id: int) -> Adjustment | None:
    """The adjustment with that id."""
    row = conn.execute(sa.text(_ONE + "WHERE id = :id"), {"id": adjustment_id}).one_or_none()
    return None if row is None else Adjustment(*row)


def of_request(conn: sa.Connection, request_id: str) -> int | None:
    """The adjustment that a request has made already; sent twice at once, the second waits for the first."""
    conn.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:request, 0))"), {"request": request_id})
    query = sa.text("SELECT id FROM manual_adjustments WHERE request_id = CAST(:request AS uuid)")
    found: int | None = conn.scalar(query, {"request": request_id})
    return found


def add(conn: sa.Connection, values: dict[str, Any]) -> int:
    """Keep an adjustment of an open, locked period; `values` are its columns.  Returns the id."""
    query = sa.text("""
        INSERT INTO manual_adjustments (request_id, user_id, period, kind, amount, currency, reason, deal_id, deal,
                                        line_id, created_by)
        VALUES (CAST(:request_id AS uuid), :user_id, :period, :kind, :amount, :currency, :reason, :deal_id, :deal,
                :line_id, :created_by)
        RETURNING id
    """)
    adjustment_id: int = conn.execute(query, values).scalar_one()
    return adjustment_id


def withdraw(conn: sa.Connection, adjustment_id: int, actor: int) -> None:
    """Mark an adjustment of an open, locked period as withdrawn; it stays to be read."""
    query = "UPDATE manual_adjustments SET withdrawn_by = :actor, withdrawn_at = now() WHERE id = :id"
    conn.execute(sa.text(query), {"actor": actor, "id": adjustment_id})


def makers(conn: sa.Connection, period: str) -> dict[int, str]:
    """(user id -> name) of those who decided what is given by hand in the period: who made the adjustments that stand,
    and who withdrew somebody else's."""
    query = sa.text("""
        SELECT DISTINCT u.id, u.name FROM manual_adjustments a
          JOIN users u ON u.id = coalesce(a.withdrawn_by, a.created_by)
         WHERE a.period = :period AND a.withdrawn_by IS DISTINCT FROM a.created_by
    """)
    return {row.id: row.name for row in conn.execute(query, {"period": period})}


def post(conn: sa.Connection, period: str, actor: int) -> int:
    """Post the adjustments of a period that is being approved; returns how many."""
    query = sa.text("""
        INSERT INTO ledger (user_id, period, kind, amount, currency, adjustment_id, posted_by)
        SELECT user_id, period, 'manual', amount, currency, id, :actor FROM manual_adjustments
         WHERE period = :period AND withdrawn_at IS NULL ORDER BY id
    """)
    return conn.execute(query, {"period": period, "actor": actor}).rowcount


def overridden(conn: sa.Connection, line_id: int) -> int:
    """Cents that overrides have added to a line, or to what was the same line in earlier runs of its period."""
    query = sa.text("""
        SELECT CAST(coalesce(sum(a.amount), 0) AS bigint)
          FROM lines l
          JOIN manual_adjustments a ON a.user_id = l.user_id AND a.period = l.period AND a.withdrawn_at IS NULL
          JOIN lines o ON o.id = a.line_id AND o.component = l.component AND o.kind = l.kind
           AND o.origin_period = l.origin_period AND o.deal_id IS NOT DISTINCT FROM l.deal_id
         WHERE l.id = :line
    """)
    return conn.scalar(query, {"line": line_id}) or 0


def plan_documents(conn: sa.Connection, user_id: int, before: date) -> Sequence[str]:
    """A document of each plan that the person was put on before a day, the latest plan first."""
    query = sa.text("""
        SELECT DISTINCT ON (a.start_date, a.id) v.document
          FROM plan_assignments a JOIN plan_versions v ON v.plan_id = a.plan_id AND v.status = 'published'
         WHERE a.user_id = :user AND a.start_date < :before
         ORDER BY a.start_date DESC, a.id DESC, v.effective_from DESC
    """)
    return list(conn.scalars(query, {"user": user_id, "before": before}))


def deals_called(conn: sa.Connection, external_id: str) -> list[tuple[int, str, str]]:
    """(id, source, ``NW-1 (Acme robots)``) of the deals with that id in their CRM."""
    query = sa.text("SELECT id, source, external_id, name FROM deals WHERE external_id = :id ORDER BY source")
    return [(row.id, row.source, f"{row.external_id} ({row.name})") for row in conn.execute(query, {"id": external_id})]

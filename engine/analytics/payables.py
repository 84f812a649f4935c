"""Frames of when earned money will be payable, and of what customers have paid.  Money in cents."""

from collections.abc import Sequence

import pandas as pd
import sqlalchemy as sa

from engine.db.payables import Held

_DEALS = sa.text("SELECT id, external_id, name FROM deals WHERE id = ANY(:ids)")

_PAYMENTS = sa.text("""
    SELECT p.paid_on, p.amount, d.currency, d.amount AS deal_amount, u.name AS created_by, p.created_at
      FROM deal_payments p JOIN deals d ON d.id = p.deal_id JOIN users u ON u.id = p.created_by
     WHERE p.deal_id = :deal ORDER BY p.paid_on DESC, p.id DESC
""")

_SCHEDULE = (
    "due_on",
    "waits_for",
    "deal_id",
    "external_id",
    "deal",
    "component",
    "origin_period",
    "amount",
    "currency",
)


def schedule(conn: sa.Connection, held: Sequence[Held]) -> pd.DataFrame:
    """What is held back, by day (what waits for an event last), then deal.

    Columns: due_on (date or null), waits_for ("" where the day is known), deal_id, external_id, deal (null for carried
    money), component, origin_period, amount (Int64 cents), currency.
    """
    ids = sorted({one.deal_id for one in held if one.deal_id})
    names = {row.id: (row.external_id, row.name) for row in conn.execute(_DEALS, {"ids": ids})}
    rows = [
        (
            one.due_on, one.waits_for, one.deal_id, *names.get(one.deal_id or 0, (None, None)), one.component,
            one.origin_period, one.amount, one.currency,
        )
        for one in held
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=list(_SCHEDULE)).astype({"amount": "Int64", "deal_id": "Int64"})
    return frame.sort_values(["due_on", "deal", "component"], na_position="last", ignore_index=True, kind="stable")


def customer_payments(conn: sa.Connection, deal_id: int) -> pd.DataFrame:
    """What a deal's customer has paid, the newest first: paid_on, amount and deal_amount (Int64 cents), currency,
    created_by, created_at."""
    frame = pd.read_sql(_PAYMENTS, conn, params={"deal": deal_id}, coerce_float=False)
    return frame.astype({"amount": "Int64", "deal_amount": "Int64"})

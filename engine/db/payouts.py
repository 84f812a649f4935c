"""Payouts: what is due, what is approved of it, what was paid and taken back.  Nothing here commits."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa


@dataclass(frozen=True)
class Payout:
    """The payment of one approved pay period, to everyone in it."""

    id: int
    period: str
    status: str
    approved_by: str
    approved_at: datetime
    paid_by: str | None
    paid_at: datetime | None


_PAYOUTS = """
    SELECT o.id, o.period, o.status, a.name, o.approved_at, b.name, o.paid_at
      FROM payouts o JOIN users a ON a.id = o.approved_by LEFT JOIN users b ON b.id = o.paid_by
"""

# Everyone's due: the ledger's balance less what is approved and not yet paid out and what is not payable yet.
# A balance below zero is carried: it lowers what is due later, nobody is asked for money.
DUE = """
    SELECT user_id, currency, CAST(sum(amount) AS bigint) AS amount FROM (
        SELECT user_id, currency, amount FROM ledger
        UNION ALL
        SELECT i.user_id, i.currency, -i.amount FROM payout_items i JOIN payouts o ON o.id = i.payout_id
         WHERE o.status = 'approved'
        UNION ALL
        SELECT r.user_id, r.currency, -r.deferred
          FROM run_people r JOIN (
              SELECT DISTINCT ON (kind) run_id FROM pay_periods
               WHERE status <> 'open' ORDER BY kind, start_date DESC) last ON last.run_id = r.run_id
    ) due (user_id, currency, amount)
    GROUP BY user_id, currency
"""
_ITEMS = sa.text(f"""
    INSERT INTO payout_items (payout_id, user_id, currency, amount)
    SELECT :payout, user_id, currency, amount FROM ({DUE}) found WHERE amount > 0
""")  # noqa: S608 - the text is this module's own


def lock_approvals(conn: sa.Connection) -> None:
    """Let one approval happen at a time: each sees the balances that the one before it left."""
    conn.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended('approve', 0))"))


def add_payout(conn: sa.Connection, period: str, actor: int) -> int:
    """The payout of a period whose lines are posted: what is due to each person now.  Returns its id."""
    payout_id: int = conn.execute(
        sa.text("INSERT INTO payouts (period, status, approved_by) VALUES (:p, 'approved', :a) RETURNING id"),
        {"p": period, "a": actor},
    ).scalar_one()
    conn.execute(_ITEMS, {"payout": payout_id})
    return payout_id


def payout(conn: sa.Connection, period: str) -> Payout | None:
    """The payout of a period; None while it is open."""
    row = conn.execute(sa.text(_PAYOUTS + "WHERE o.period = :period"), {"period": period}).one_or_none()
    return None if row is None else Payout(*row)


def payroll(conn: sa.Connection, payout_id: int) -> list[tuple[str, str, str, str, int, bool]]:
    """(employee code, name, e-mail, currency, cents, whether the payment was reversed) of a payout, by code."""
    query = sa.text("""
        SELECT u.code, u.name, u.email, i.currency, i.amount,
               EXISTS (SELECT FROM ledger g WHERE g.payout_id = i.payout_id AND g.user_id = i.user_id
                          AND g.currency = i.currency AND g.kind = 'reversed')
          FROM payout_items i JOIN users u ON u.id = i.user_id
         WHERE i.payout_id = :payout ORDER BY u.code COLLATE "C", i.currency
    """)
    return [(row[0], row[1], row[2], row[3], row[4], row[5]) for row in conn.execute(query, {"payout": payout_id})]


def pay(conn: sa.Connection, payout_id: int, period: str, actor: int) -> int:
    """Post a payout's items as paid and close it; returns how many people were paid."""
    paid = conn.execute(
        sa.text("""
            INSERT INTO ledger (user_id, period, kind, amount, currency, payout_id, posted_by)
            SELECT user_id, :period, 'paid', -amount, currency, payout_id, :actor
              FROM payout_items WHERE payout_id = :payout ORDER BY user_id
        """),
        {"payout": payout_id, "period": period, "actor": actor},
    ).rowcount
    conn.execute(
        sa.text("UPDATE payouts SET status = 'paid', paid_by = :actor, paid_at = now() WHERE id = :payout"),
        {"payout": payout_id, "actor": actor},
    )
    return paid


def payees(conn: sa.Connection, payout_id: int) -> list[tuple[int, str]]:
    """(user id, name) of everyone in a payout, by name."""
    query = sa.text("""
        SELECT DISTINCT u.id, u.name FROM payout_items i JOIN users u ON u.id = i.user_id
         WHERE i.payout_id = :payout ORDER BY u.name, u.id
    """)
    return [(row.id, row.name) for row in conn.execute(query, {"payout": payout_id})]


_REVERSIBLE = sa.text("""
    SELECT DISTINCT p.user_id FROM ledger p
      LEFT JOIN ledger r ON r.corrects_id = p.id AND r.payout_id = p.payout_id AND r.kind = 'reversed'
     WHERE p.payout_id = :payout AND p.kind = 'paid' AND r.id IS NULL
""")
_REVERSE = sa.text("""
    INSERT INTO ledger (user_id, period, kind, amount, currency, payout_id, corrects_id, reversal_id, posted_by)
    SELECT user_id, period, 'reversed', -amount, currency, payout_id, id, :reversal, :actor
      FROM ledger WHERE payout_id = :payout AND kind = 'paid' AND user_id = ANY(:users) ORDER BY user_id
""")


def reversible(conn: sa.Connection, payout_id: int) -> set[int]:
    """The users who were paid by a payout, less those whose payment was taken back."""
    return set(conn.scalars(_REVERSIBLE, {"payout": payout_id}))


def reverse(conn: sa.Connection, payout_id: int, user_ids: Collection[int], reason: str, actor: int) -> int:
    """Take these people's payments back: the money is owed again, and the next payout pays it.  Returns the id.

    The payout itself stays paid, and is never paid again.
    """
    values = {"payout": payout_id, "reason": reason, "actor": actor}
    query = (
        "INSERT INTO payout_reversals (payout_id, reason, created_by) VALUES (:payout, :reason, :actor) RETURNING id"
    )
    reversal: int = conn.execute(sa.text(query), values).scalar_one()
    conn.execute(_REVERSE, {**values, "users": list(user_ids), "reversal": reversal})
    return reversal


def approver(conn: sa.Connection, payout_id: int) -> tuple[int, str]:
    """(user id, name) of who approved the payout."""
    query = sa.text("SELECT u.id, u.name FROM payouts o JOIN users u ON u.id = o.approved_by WHERE o.id = :payout")
    row = conn.execute(query, {"payout": payout_id}).one()
    return row.id, row.name


def unpaid(conn: sa.Connection) -> list[tuple[str, int, int | None]]:
    """(period, run, payout or None while it is open) of the calculated periods that are not paid, newest first."""
    query = sa.text("""
        SELECT p.period, p.run_id, o.id FROM pay_periods p LEFT JOIN payouts o ON o.period = p.period
         WHERE p.run_id IS NOT NULL AND p.status <> 'paid' ORDER BY p.start_date DESC, p.period
    """)
    return [(row[0], row[1], row[2]) for row in conn.execute(query)]

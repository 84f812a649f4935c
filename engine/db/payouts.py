"""Payouts: what is due, what is approved of it, paid in parts, released and taken back.  Nothing here commits.

What is open of a payout is what was approved less what was paid and released.  The database moves both with the ledger
and the releases, and refuses more than was approved.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa


@dataclass(frozen=True)
class Payout:
    """The payment of one approved pay period, to everyone in it, at once or in parts.

    `status`: approved, part_paid, paid, or released (nothing was paid, all is due again).
    """

    id: int
    period: str
    status: str
    approved_by: str
    approved_at: datetime
    paid_by: str | None
    paid_at: datetime | None

    @property
    def is_open(self) -> bool:
        """Whether something of it may still be paid or released."""
        return self.status in ("approved", "part_paid")


# (user, currency) -> cents
Amounts = Mapping[tuple[int, str], int]

_PAYOUTS = """
    SELECT o.id, o.period, o.status, a.name, o.approved_at, b.name, o.paid_at
      FROM payouts o JOIN users a ON a.id = o.approved_by LEFT JOIN users b ON b.id = o.paid_by
"""

# The ledger's balance less what is approved and neither paid nor released: below zero somebody was overpaid.  It is
# carried then: it lowers what is due later, nobody is asked for money.
LEFT = """
    SELECT user_id, currency, amount FROM ledger
    UNION ALL
    SELECT user_id, currency, paid + released - amount FROM payout_items WHERE paid + released < amount
"""
# Everyone's due: the same, less what is not payable yet, as the latest lock or approval of a period found it.
DUE = f"""
    SELECT user_id, currency, CAST(sum(amount) AS bigint) AS amount FROM (
        {LEFT}
        UNION ALL
        SELECT user_id, currency, -amount FROM held_amounts
         WHERE eligibility_id = (SELECT max(id) FROM eligibility WHERE run_id IS NULL)
    ) due (user_id, currency, amount)
    GROUP BY user_id, currency
"""  # noqa: S608 - the text is this module's own
_ITEMS = sa.text(f"""
    INSERT INTO payout_items (payout_id, user_id, currency, amount)
    SELECT :payout, user_id, currency, amount FROM ({DUE}) found WHERE amount > 0
""")  # noqa: S608 - the text is this module's own


def lock_approvals(conn: sa.Connection) -> None:
    """Let one lock or approval happen at a time: each sees the balances that the one before it left."""
    conn.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended('approve', 0))"))


def add_payout(conn: sa.Connection, period: str, actor: int) -> int:
    """The payout of a period whose lines are posted, still empty.  Returns its id."""
    payout_id: int = conn.execute(
        sa.text("INSERT INTO payouts (period, status, approved_by) VALUES (:p, 'approved', :a) RETURNING id"),
        {"p": period, "a": actor},
    ).scalar_one()
    return payout_id


def add_items(conn: sa.Connection, payout_id: int) -> None:
    """Put into a payout what is due to each person now; what is not payable yet is kept before."""
    conn.execute(_ITEMS, {"payout": payout_id})


def due(conn: sa.Connection) -> dict[tuple[int, str], int]:
    """(user, currency) -> cents due as the latest lock or approval found it; below 0 what is carried."""
    return {(row.user_id, row.currency): row.amount for row in conn.execute(sa.text(DUE))}


def payout(conn: sa.Connection, period: str) -> Payout | None:
    """The payout of a period; None while it has none."""
    row = conn.execute(sa.text(_PAYOUTS + "WHERE o.period = :period"), {"period": period}).one_or_none()
    return None if row is None else Payout(*row)


def approver(conn: sa.Connection, payout_id: int) -> tuple[int, str]:
    """(user id, name) of who approved the payout."""
    query = sa.text("SELECT u.id, u.name FROM payouts o JOIN users u ON u.id = o.approved_by WHERE o.id = :payout")
    row = conn.execute(query, {"payout": payout_id}).one()
    return row.id, row.name


def unpaid(conn: sa.Connection) -> list[tuple[str, str, int, int | None]]:
    """(period, status, run, payout if there is one) of the calculated periods that wait for a step, newest first."""
    query = sa.text("""
        SELECT p.period, p.status, p.run_id, o.id FROM pay_periods p LEFT JOIN payouts o ON o.period = p.period
         WHERE p.run_id IS NOT NULL AND coalesce(o.status, 'approved') IN ('approved', 'part_paid')
         ORDER BY p.start_date DESC, p.period
    """)
    return [(row[0], row[1], row[2], row[3]) for row in conn.execute(query)]


# --- paying and releasing -----------------------------------------------------------------------------

_OPEN = sa.text("""
    SELECT user_id, currency, amount - paid - released AS amount FROM payout_items
     WHERE payout_id = :payout AND paid + released < amount ORDER BY user_id, currency
""")


def still_open(conn: sa.Connection, payout_id: int) -> dict[tuple[int, str], int]:
    """(user, currency) -> cents of a payout that are neither paid nor released."""
    return {(row.user_id, row.currency): row.amount for row in conn.execute(_OPEN, {"payout": payout_id})}


def moved(conn: sa.Connection, payout_id: int) -> int:
    """How often something of a payout was paid or released: a form that knows another number is out of date."""
    query = sa.text("""
        SELECT (SELECT count(*) FROM payout_payments WHERE payout_id = :payout)
             + (SELECT count(*) FROM payout_releases WHERE payout_id = :payout)
    """)
    found: int = conn.execute(query, {"payout": payout_id}).scalar_one()
    return found


def payment_of(conn: sa.Connection, request: str) -> tuple[int, int] | None:
    """(payment, payout) that a request has made already."""
    query = sa.text("SELECT id, payout_id FROM payout_payments WHERE request_id = CAST(:request AS uuid)")
    row = conn.execute(query, {"request": request}).one_or_none()
    return None if row is None else (row.id, row.payout_id)


def release_of(conn: sa.Connection, request: str) -> tuple[int, int] | None:
    """(release, payout) that a request has made already."""
    query = sa.text("SELECT id, payout_id FROM payout_releases WHERE request_id = CAST(:request AS uuid)")
    row = conn.execute(query, {"request": request}).one_or_none()
    return None if row is None else (row.id, row.payout_id)


def _columns(amounts: Amounts) -> dict[str, list[int] | list[str]]:
    chosen = sorted((key, cents) for key, cents in amounts.items() if cents)
    return {
        "users": [user for (user, _), _ in chosen],
        "currencies": [currency for (_, currency), _ in chosen],
        "cents": [cents for _, cents in chosen],
    }


def pay(conn: sa.Connection, payout_id: int, period: str, request: str, amounts: Amounts, actor: int) -> int:
    """Post what is paid of a payout; returns the id of the payment.  The database refuses more than is open."""
    payment: int = conn.execute(
        sa.text("""
            INSERT INTO payout_payments (request_id, payout_id, created_by)
            VALUES (CAST(:request AS uuid), :payout, :actor) RETURNING id
        """),
        {"request": request, "payout": payout_id, "actor": actor},
    ).scalar_one()
    conn.execute(
        sa.text("""
            INSERT INTO ledger (user_id, period, kind, amount, currency, payout_id, payment_id, posted_by)
            SELECT user_id, :period, 'paid', -cents, currency, :payout, :payment, :actor
              FROM unnest(CAST(:users AS bigint[]), CAST(:currencies AS text[]), CAST(:cents AS bigint[]))
                AS t (user_id, currency, cents) ORDER BY user_id, currency
        """),
        {"payout": payout_id, "period": period, "payment": payment, "actor": actor, **_columns(amounts)},
    )
    _settle(conn, payout_id, actor)
    return payment


def release(conn: sa.Connection, payout_id: int, request: str, amounts: Amounts, reason: str, actor: int) -> int:
    """Make what is open of a payout due again; returns the id of the release."""
    made: int = conn.execute(
        sa.text("""
            INSERT INTO payout_releases (request_id, payout_id, reason, created_by)
            VALUES (CAST(:request AS uuid), :payout, :reason, :actor) RETURNING id
        """),
        {"request": request, "payout": payout_id, "reason": reason, "actor": actor},
    ).scalar_one()
    conn.execute(
        sa.text("""
            INSERT INTO payout_release_items (release_id, payout_id, user_id, currency, amount)
            SELECT :made, :payout, * FROM unnest(
                CAST(:users AS bigint[]), CAST(:currencies AS text[]), CAST(:cents AS bigint[]))
        """),
        {"made": made, "payout": payout_id, **_columns(amounts)},
    )
    _settle(conn, payout_id, actor)
    return made


def _settle(conn: sa.Connection, payout_id: int, actor: int) -> None:
    """Bring the payout's status, and at the end its period's, to what was paid and released of it."""
    conn.execute(
        sa.text("""
            UPDATE payouts o
               SET status = s.status,
                   paid_by = CASE WHEN s.status = 'paid' THEN :actor END,
                   paid_at = CASE WHEN s.status = 'paid' THEN now() END
              FROM (SELECT CASE WHEN NOT coalesce(bool_or(paid + released < amount), false)
                                THEN CASE WHEN coalesce(sum(paid) = 0 AND sum(released) > 0, false)
                                          THEN 'released' ELSE 'paid' END
                                WHEN sum(paid) > 0 THEN 'part_paid' ELSE 'approved' END AS status
                      FROM payout_items WHERE payout_id = :payout) s
             WHERE o.id = :payout
        """),
        {"payout": payout_id, "actor": actor},
    )
    conn.execute(
        sa.text("""
            UPDATE pay_periods p SET status = 'paid' FROM payouts o
             WHERE o.id = :payout AND o.period = p.period AND o.status = 'paid'
        """),
        {"payout": payout_id},
    )


def payroll(
    conn: sa.Connection, payout_id: int, payment_id: int | None = None
) -> list[tuple[str, str, str, str, int, int, int, int, datetime | None]]:
    """(code, name, e-mail, currency, cents, paid, taken back, released, when last paid) of a payout, by code.

    The cents are what was approved; with a payment only those it paid, and what it paid them.
    """
    query = sa.text("""
        SELECT u.code, u.name, u.email, i.currency,
               CASE WHEN CAST(:payment AS bigint) IS NULL THEN i.amount ELSE g.paid END,
               coalesce(g.paid, 0), coalesce(g.reversed, 0),
               CASE WHEN CAST(:payment AS bigint) IS NULL THEN i.released ELSE 0 END, g.at
          FROM payout_items i JOIN users u ON u.id = i.user_id
          LEFT JOIN LATERAL (
              SELECT CAST(-sum(p.amount) AS bigint) AS paid, CAST(sum(r.amount) AS bigint) AS reversed,
                     max(p.posted_at) AS at
                FROM ledger p LEFT JOIN ledger r ON r.corrects_id = p.id AND r.kind = 'reversed'
               WHERE p.payout_id = i.payout_id AND p.user_id = i.user_id AND p.currency = i.currency
                 AND p.kind = 'paid' AND (CAST(:payment AS bigint) IS NULL OR p.payment_id = :payment)) g ON true
         WHERE i.payout_id = :payout AND (CAST(:payment AS bigint) IS NULL OR g.paid IS NOT NULL)
         ORDER BY u.code COLLATE "C", i.currency
    """)
    rows = conn.execute(query, {"payout": payout_id, "payment": payment_id})
    return [(row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8]) for row in rows]


# --- taking back --------------------------------------------------------------------------------------


def payees(conn: sa.Connection, payout_id: int) -> list[tuple[int, str]]:
    """(user id, name) of everyone in a payout, by name."""
    query = sa.text("""
        SELECT DISTINCT u.id, u.name FROM payout_items i JOIN users u ON u.id = i.user_id
         WHERE i.payout_id = :payout ORDER BY u.name, u.id
    """)
    return [(row.id, row.name) for row in conn.execute(query, {"payout": payout_id})]


# Payments of a payout (of one of its parts) that were not taken back.
_STANDING = """
      FROM ledger p LEFT JOIN ledger r ON r.corrects_id = p.id AND r.kind = 'reversed'
     WHERE p.payout_id = :payout AND p.kind = 'paid' AND r.id IS NULL
       AND (CAST(:payment AS bigint) IS NULL OR p.payment_id = :payment)
"""
_REVERSIBLE = sa.text(f"SELECT DISTINCT p.user_id {_STANDING}")
_REVERSE = sa.text(f"""
    INSERT INTO ledger (user_id, period, kind, amount, currency, payout_id, corrects_id, reversal_id, posted_by)
    SELECT p.user_id, p.period, 'reversed', -p.amount, p.currency, p.payout_id, p.id, :reversal, :actor
    {_STANDING} AND p.user_id = ANY(:users) ORDER BY p.user_id, p.id
""")


def reversible(conn: sa.Connection, payout_id: int, payment_id: int | None = None) -> set[int]:
    """The users whom a payout (or one payment of it) paid what was not taken back."""
    return set(conn.scalars(_REVERSIBLE, {"payout": payout_id, "payment": payment_id}))


def reverse(
    conn: sa.Connection, payout_id: int, user_ids: Collection[int], reason: str, actor: int, payment_id: int | None
) -> int:
    """Take back what a payout (or one payment of it) paid these people: it is owed again, and the next payout pays it.

    Returns the id.  What this payout has paid it never pays again.
    """
    values = {"payout": payout_id, "reason": reason, "actor": actor, "payment": payment_id}
    query = (
        "INSERT INTO payout_reversals (payout_id, reason, created_by) VALUES (:payout, :reason, :actor) RETURNING id"
    )
    reversal: int = conn.execute(sa.text(query), values).scalar_one()
    conn.execute(_REVERSE, {**values, "users": list(user_ids), "reversal": reversal})
    return reversal

"""Quotas that hold for every component of a person's plan: one amount a person and period."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa


@dataclass(frozen=True)
class QuotaCell:
    """A person's quota for one period; `amount` in minor units of `currency`."""

    user_id: int
    period: str
    amount: int
    currency: str


@dataclass(frozen=True)
class QuotaChange:
    """One change of one quota as the audit log has it; None: there was, or is, no quota."""

    at: datetime
    changed_by: str
    user_id: int
    person: str
    period: str
    before: int | None
    after: int | None
    currency: str


def cells(conn: sa.Connection, periods: Sequence[str]) -> list[QuotaCell]:
    """The quotas of these periods."""
    query = """
        SELECT user_id, period, amount, currency FROM quotas WHERE component = '' AND period = ANY(:periods)
    """
    return [QuotaCell(*row) for row in conn.execute(sa.text(query), {"periods": list(periods)})]


def periods_between(conn: sa.Connection, start: date, end: date) -> list[str]:
    """The names of the periods in ``[start, end)`` that have a quota."""
    query = """
        SELECT DISTINCT period FROM quotas
         WHERE component = '' AND start_date >= :start AND end_date <= :end ORDER BY period
    """
    return list(conn.scalars(sa.text(query), {"start": start, "end": end}))


def put(conn: sa.Connection, cell: QuotaCell, start: date, end: date) -> None:
    """Set a quota; `start` and `end` are the days of its period, half-open."""
    query = """
        INSERT INTO quotas (user_id, component, period, start_date, end_date, amount, currency)
        VALUES (:user, '', :period, :start, :end, :amount, :currency)
        ON CONFLICT (user_id, component, period) DO UPDATE SET amount = :amount, currency = :currency
    """
    values = {"user": cell.user_id, "period": cell.period, "amount": cell.amount, "currency": cell.currency}
    conn.execute(sa.text(query), {**values, "start": start, "end": end})


def remove(conn: sa.Connection, user_id: int, period: str) -> None:
    """Take a quota away."""
    query = "DELETE FROM quotas WHERE user_id = :user AND component = '' AND period = :period"
    conn.execute(sa.text(query), {"user": user_id, "period": period})


# Each change of each saved grid; audit detail: {"currency": ..., "changes": [[user id, period, from, to]]}.
_CHANGES = sa.text("""
    SELECT a.at, coalesce(w.name, ''), u.id, u.name, change ->> 1, CAST(change ->> 2 AS bigint),
           CAST(change ->> 3 AS bigint), a.detail ->> 'currency'
      FROM audit a
     CROSS JOIN jsonb_array_elements(a.detail -> 'changes') AS change
      JOIN users u ON u.id = CAST(change ->> 0 AS bigint)
      LEFT JOIN users w ON w.id = a.user_id
     WHERE a.action = 'quotas.edit' AND (:everyone OR u.id = ANY(:users))
     ORDER BY a.id DESC, u.name, change ->> 1 LIMIT :limit
""")


def changes(conn: sa.Connection, user_ids: Collection[int] | None, limit: int) -> list[QuotaChange]:
    """The newest changes first, of some people or (None) of everyone."""
    values = {"everyone": user_ids is None, "users": list(user_ids or ()), "limit": limit}
    return [QuotaChange(*row) for row in conn.execute(_CHANGES, values)]

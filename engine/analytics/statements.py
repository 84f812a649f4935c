"""Frames about statements: whose there are, in a span of time."""

from datetime import date
from typing import Any

import pandas as pd
import sqlalchemy as sa

# Every person of every calculated pay period that ends in the span, with the newest edition that is kept.
_LISTED = sa.text("""
    SELECT p.period, u.id AS user_id, u.code, u.name, p.status, r.currency, r.earned, i.amount AS due,
           CAST(paid.amount AS bigint) AS paid, s.code AS verification_code, p.end_date
      FROM pay_periods p
      JOIN run_people r ON r.run_id = p.run_id
      JOIN users u ON u.id = r.user_id
      LEFT JOIN payouts o ON o.period = p.period
      LEFT JOIN payout_items i ON i.payout_id = o.id AND i.user_id = r.user_id AND i.currency = r.currency
      LEFT JOIN LATERAL (
          SELECT -sum(g.amount) AS amount FROM ledger g
           WHERE g.user_id = r.user_id AND g.period = p.period AND g.currency = r.currency
             AND g.kind IN ('paid', 'reversed')) paid ON true
      LEFT JOIN LATERAL (
          SELECT encode(code, 'hex') AS code FROM statements k
           WHERE k.user_id = r.user_id AND k.period = p.period ORDER BY paid_to DESC LIMIT 1) s ON true
     WHERE p.kind = ANY(:kinds) AND p.start_date >= :first AND p.end_date <= :end
       AND (CAST(:people AS bigint[]) IS NULL OR r.user_id = ANY(:people))
       AND (CAST(:after_day AS date) IS NULL OR p.start_date < :after_day
            OR (p.start_date = :after_day AND (p.period, u.name, u.code) > (:after_period, :after_name, :after_code)))
     ORDER BY p.start_date DESC, p.period, u.name, u.code
     LIMIT :limit OFFSET :offset
""")
_COUNT = sa.text("""
    SELECT count(*) FROM pay_periods p JOIN run_people r ON r.run_id = p.run_id
     WHERE p.kind = ANY(:kinds) AND p.start_date >= :first AND p.end_date <= :end
       AND (CAST(:people AS bigint[]) IS NULL OR r.user_id = ANY(:people))
""")

_PEOPLE = sa.text("""
    SELECT DISTINCT u.name, u.id, u.code
      FROM pay_periods p JOIN run_people r ON r.run_id = p.run_id JOIN users u ON u.id = r.user_id
     WHERE p.kind = ANY(:kinds) AND p.start_date >= :first AND p.end_date <= :end
       AND (CAST(:people AS bigint[]) IS NULL OR r.user_id = ANY(:people))
     ORDER BY u.name, u.id
""")


def listed(
    conn: sa.Connection,
    span: tuple[date, date],
    kinds: list[str],
    people: frozenset[int] | None,
    page: tuple[int | None, int],
    after: tuple[date, str, str, str] | None = None,
) -> tuple[pd.DataFrame, int]:
    """The statements of pay periods inside `span` (half-open), newest first, and how many there are.

    `people` None means everyone; `page` is (limit, None for all; offset); `after` begins behind the statement of (first
    day of the period, period, name, code).  Columns: period, user_id, code, name,
    status, currency, Int64 cents earned, due (null until approved or when nothing is), paid (null until paid),
    verification_code (null while none is kept).
    """
    values = _values(span, kinds, people)
    place = dict(zip(("after_day", "after_period", "after_name", "after_code"), after or (None,) * 4, strict=True))
    frame = pd.read_sql(_LISTED, conn, params={**values, **place, "limit": page[0], "offset": page[1]})
    frame = frame.drop(columns="end_date").astype(dict.fromkeys(("earned", "due", "paid"), "Int64"))
    return frame, conn.scalar(_COUNT, values) or 0


def people(
    conn: sa.Connection, span: tuple[date, date], kinds: list[str], among: frozenset[int] | None
) -> dict[int, tuple[str, str]]:
    """user id -> (name, code) of those who have a statement in the span, by name."""
    return {row.id: (row.name, row.code) for row in conn.execute(_PEOPLE, _values(span, kinds, among))}


def _values(span: tuple[date, date], kinds: list[str], people: frozenset[int] | None) -> dict[str, Any]:
    return {"first": span[0], "end": span[1], "kinds": kinds, "people": None if people is None else sorted(people)}

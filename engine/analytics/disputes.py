"""Disputes for the screen: a page of the list, and which lines of a person are disputed."""

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd
import sqlalchemy as sa

# A viewer's reach is null (everyone) or pairs of person and period: a manager's team is that of the period's last day.
_REACHED = """
    FROM disputes d
   WHERE (CAST(:users AS bigint[]) IS NULL
          OR (d.user_id, d.period) IN (SELECT * FROM unnest(CAST(:users AS bigint[]), CAST(:periods AS text[]))))
"""
_PAGE = sa.text(f"""
    WITH page AS (
        SELECT d.* {_REACHED} AND d.status = ANY(:statuses)
         ORDER BY d.closed_at IS NOT NULL, array_position(ARRAY['open', 'answered'], d.status), d.id DESC
         LIMIT :limit OFFSET :offset
    )
    SELECT d.id, d.user_id, u.name, d.period, d.about, d.status, l.amount, coalesce(l.currency, c.currency) AS currency,
           d.opened_at, m.messages, m.at AS last_at, w.name AS last_by, k.name AS closed_by, d.closed_at, d.settlement
      FROM page d
      JOIN users u ON u.id = d.user_id
     CROSS JOIN company c
      LEFT JOIN lines l ON l.id = d.line_id
      LEFT JOIN users k ON k.id = d.closed_by
      LEFT JOIN LATERAL (
          SELECT count(*) AS messages, max(at) AS at, (array_agg(user_id ORDER BY id DESC))[1] AS user_id
            FROM dispute_messages WHERE dispute_id = d.id) m ON true
      LEFT JOIN users w ON w.id = m.user_id
     ORDER BY d.closed_at IS NOT NULL, array_position(ARRAY['open', 'answered'], d.status), d.id DESC
""")  # noqa: S608 - the text is this module's own
_COUNTS = sa.text(f"SELECT d.status, count(*) AS number {_REACHED} GROUP BY d.status")

# Lines of the run that a period shows, each with its latest dispute; one flagged in an earlier run is found again.
_OF_LINES = sa.text("""
    SELECT DISTINCT ON (l.id) l.id AS line_id, d.id, d.status
      FROM disputes d
      JOIN lines o ON o.id = d.line_id
      JOIN pay_periods p ON p.period = d.period
      JOIN lines l ON l.run_id = p.run_id AND l.user_id = o.user_id AND l.component = o.component AND l.kind = o.kind
       AND l.origin_period = o.origin_period AND l.deal_id IS NOT DISTINCT FROM o.deal_id
     WHERE d.user_id = :user AND d.period = :period ORDER BY l.id, d.id DESC
""")

Reached = Collection[tuple[int, str]] | None


@dataclass(frozen=True)
class Disputes:
    """A page of disputes, and how many there are within reach by status.

    Columns of `page`: id, user_id, name, period, about, status, amount (Int64 cents of the line that was flagged; null
    for a missing deal), currency, opened_at, messages, last_at, last_by, closed_by, closed_at, settlement.
    """

    page: pd.DataFrame
    counts: dict[str, int]


def page(conn: sa.Connection, reached: Reached, statuses: Collection[str], limit: int, offset: int) -> Disputes:
    """Disputes with one of the statuses: those that wait for an answer first, then the newest."""
    pairs = list(reached or ())
    reach = {
        "users": None if reached is None else [user for user, _ in pairs],
        "periods": None if reached is None else [period for _, period in pairs],
    }
    values = {**reach, "statuses": list(statuses), "limit": limit, "offset": offset}
    frame = pd.read_sql(_PAGE, conn, params=values, coerce_float=False).astype({"amount": "Int64"})
    return Disputes(frame, {row.status: row.number for row in conn.execute(_COUNTS, reach)})


def of_lines(conn: sa.Connection, user_id: int, period: str) -> pd.DataFrame:
    """The disputed lines of a person, as the period shows them: line_id, id (of the latest dispute), status."""
    return pd.read_sql(_OF_LINES, conn, params={"user": user_id, "period": period})

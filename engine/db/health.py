"""What health checks and metrics ask the database."""

from typing import NamedTuple

import sqlalchemy as sa


class Counts(NamedTuple):
    """Jobs by (kind, status), pay periods by status, live sessions, and how long the oldest job has waited."""

    jobs: dict[tuple[str, str], int]
    periods: dict[str, int]
    sessions: int
    oldest_wait: float


_OLDEST_WAIT = sa.text(
    "SELECT coalesce(extract(epoch FROM max(now() - created_at)), 0)::float FROM jobs WHERE status = 'queued'"
)
_SESSIONS = sa.text("SELECT count(*) FROM user_sessions WHERE ended_at IS NULL AND expires_at > now()")


def counts(conn: sa.Connection) -> Counts:
    """How much there is of what an operator watches."""
    jobs = conn.execute(sa.text("SELECT kind, status, count(*) FROM jobs GROUP BY kind, status"))
    periods = conn.execute(sa.text("SELECT status, count(*) FROM pay_periods GROUP BY status")).all()
    return Counts(
        {(kind, status): number for kind, status, number in jobs},
        {row[0]: row[1] for row in periods},
        conn.scalar(_SESSIONS) or 0,
        conn.scalar(_OLDEST_WAIT) or 0.0,
    )

"""The rows of background jobs.  A running job holds an advisory lock, so a killed one is known by its absence."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa


@dataclass(frozen=True)
class Job:
    """A background job as stored; `done` of `total` steps, `message` for people, `result` when done."""

    id: str
    kind: str
    arguments: Mapping[str, Any]
    status: str
    done: int
    total: int
    message: str
    result: Mapping[str, Any] | None
    created_by: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def is_over(self) -> bool:
        """Whether it has ended, well or not."""
        return self.status in ("done", "failed")


_JOBS = """
    SELECT CAST(id AS text), kind, arguments, status, done, total, message, result,
           created_by, created_at, started_at, finished_at
      FROM jobs
"""


def add(conn: sa.Connection, kind: str, arguments: Mapping[str, Any], user_id: int) -> str:
    """Queue a job and return its id."""
    job_id: str = conn.execute(
        sa.text(
            "INSERT INTO jobs (kind, arguments, created_by) VALUES (:kind, CAST(:args AS jsonb), :user) "
            "RETURNING CAST(id AS text)"
        ),
        {"kind": kind, "args": json.dumps(arguments), "user": user_id},
    ).scalar_one()
    return job_id


def get(conn: sa.Connection, job_id: str) -> Job | None:
    """The job with that id."""
    row = conn.execute(sa.text(_JOBS + "WHERE id = CAST(:id AS uuid)"), {"id": job_id}).one_or_none()
    return None if row is None else Job(*row)


def recent(conn: sa.Connection, limit: int, kind: str | None = None) -> list[Job]:
    """The newest jobs first, of one kind or of all."""
    query = _JOBS + "WHERE kind = coalesce(:kind, kind) ORDER BY created_at DESC LIMIT :limit"
    return [Job(*row) for row in conn.execute(sa.text(query), {"kind": kind, "limit": limit})]


def unfinished(conn: sa.Connection) -> list[str]:
    """Ids of the jobs that are queued or running, oldest first."""
    found = conn.scalars(
        sa.text("SELECT CAST(id AS text) FROM jobs WHERE status IN ('queued', 'running') ORDER BY created_at")
    )
    return list(found)


def try_lock(conn: sa.Connection, job_id: str) -> bool:
    """Take the job for this connection; False when a living process has it.  Gone with the connection."""
    return bool(conn.scalar(sa.text("SELECT pg_try_advisory_lock(hashtextextended(:id, 0))"), {"id": job_id}))


def holds_lock(conn: sa.Connection) -> bool:
    """Whether this connection still is the one that took a job, not a new one in its place."""
    query = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())"
    return bool(conn.scalar(sa.text(query)))


def unlock(conn: sa.Connection, job_id: str) -> None:
    """Give the job back."""
    conn.execute(sa.text("SELECT pg_advisory_unlock(hashtextextended(:id, 0))"), {"id": job_id})


def start(conn: sa.Connection, job_id: str) -> None:
    """Mark the job as running, from the beginning."""
    conn.execute(
        sa.text(
            "UPDATE jobs SET status = 'running', started_at = now(), done = 0, message = '' "
            "WHERE id = CAST(:id AS uuid)"
        ),
        {"id": job_id},
    )


def progress(conn: sa.Connection, job_id: str, done: int, total: int, message: str) -> None:
    """Store how far the job is."""
    conn.execute(
        sa.text("UPDATE jobs SET done = :done, total = :total, message = :message WHERE id = CAST(:id AS uuid)"),
        {"id": job_id, "done": done, "total": total, "message": message},
    )


def finish(conn: sa.Connection, job_id: str, status: str, message: str, result: Mapping[str, Any] | None) -> None:
    """Close the job as 'done' or 'failed'."""
    conn.execute(
        sa.text(
            "UPDATE jobs SET status = :status, message = :message, result = CAST(:result AS jsonb), "
            "finished_at = now() WHERE id = CAST(:id AS uuid)"
        ),
        {"id": job_id, "status": status, "message": message, "result": json.dumps(result)},
    )

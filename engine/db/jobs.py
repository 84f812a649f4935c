"""The rows of background jobs.  A running job holds an advisory lock, so a killed one is known by its absence."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa


@dataclass(frozen=True)
class Job:
    """A background job as stored; `done` of `total` steps, `message` for people, `result` when done.

    `cancel_asked`: it ends at its next step.  `worker` is the name of the worker that has it or had it last; None
    where the app runs its jobs itself.
    """

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
    cancel_asked: bool = False
    retry_of: str | None = None
    worker: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has ended, well or not."""
        return self.status in ("done", "failed", "cancelled")


@dataclass(frozen=True)
class ListedJob:
    """A job of the list: `who` started it, and whether another one does it again already."""

    job: Job
    who: str
    is_retried: bool


STATUSES = ("queued", "running", "done", "failed", "cancelled")

_COLUMNS = """
    CAST(j.id AS text), j.kind, j.arguments, j.status, j.done, j.total, j.message, j.result, j.created_by,
    j.created_at, j.started_at, j.finished_at, j.cancel_asked_at IS NOT NULL, CAST(j.retry_of AS text), j.worker
"""
_JOBS = f"SELECT {_COLUMNS} FROM jobs j "  # noqa: S608  # names of this module

# Of a row j of jobs: whether some living process has it (`try_lock`).
_HELD = """
    EXISTS (SELECT FROM pg_locks l
             WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
               AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND (CAST(l.classid AS bigint) << 32) | CAST(l.objid AS bigint)
                   = hashtextextended(CAST(j.id AS text), 0))
"""


def add(conn: sa.Connection, kind: str, arguments: Mapping[str, Any], user_id: int, retry_of: str | None = None) -> str:
    """Queue a job and return its id; `retry_of` is the one that it does again."""
    job_id: str = conn.execute(
        sa.text(
            "INSERT INTO jobs (kind, arguments, created_by, retry_of) "
            "VALUES (:kind, CAST(:args AS jsonb), :user, CAST(:retry AS uuid)) RETURNING CAST(id AS text)"
        ),
        {"kind": kind, "args": json.dumps(arguments), "user": user_id, "retry": retry_of},
    ).scalar_one()
    return job_id


def get(conn: sa.Connection, job_id: str, *, lock: bool = False) -> Job | None:
    """The job with that id; with `lock`, nobody else changes it until the transaction ends."""
    # No key: what the job itself writes in its open transaction may refer to this row.
    query = f"{_JOBS} WHERE j.id = CAST(:id AS uuid) {'FOR NO KEY UPDATE' if lock else ''}"
    row = conn.execute(sa.text(query), {"id": job_id}).one_or_none()
    return None if row is None else Job(*row)


def recent(conn: sa.Connection, limit: int, kind: str | None = None, user_id: int | None = None) -> list[Job]:
    """The newest jobs first, of one kind or of all, started by one person or by anyone."""
    query = f"""
        {_JOBS} WHERE j.kind = coalesce(:kind, j.kind) AND j.created_by = coalesce(:user, j.created_by)
         ORDER BY j.created_at DESC LIMIT :limit
    """
    return [Job(*row) for row in conn.execute(sa.text(query), {"kind": kind, "user": user_id, "limit": limit})]


_CHOSEN = "j.kind = coalesce(:kind, j.kind) AND j.status = coalesce(:status, j.status)"


def count(conn: sa.Connection, kind: str | None, status: str | None) -> int:
    """How many jobs there are of a kind (None: any) and with a status (None: any)."""
    query = f"SELECT count(*) FROM jobs j WHERE {_CHOSEN}"  # noqa: S608  # a condition of this module
    return conn.scalar(sa.text(query), {"kind": kind, "status": status}) or 0


def listed(conn: sa.Connection, kind: str | None, status: str | None, limit: int, offset: int) -> list[ListedJob]:
    """A page of these jobs, the newest first."""
    query = f"""
        SELECT u.name, EXISTS (SELECT FROM jobs r WHERE r.retry_of = j.id), {_COLUMNS}
          FROM jobs j JOIN users u ON u.id = j.created_by
         WHERE {_CHOSEN} ORDER BY j.created_at DESC, j.id LIMIT :limit OFFSET :offset
    """  # noqa: S608  # names and a condition of this module
    values = {"kind": kind, "status": status, "limit": limit, "offset": offset}
    return [
        ListedJob(Job(*row), who, retried) for who, retried, *row in map(tuple, conn.execute(sa.text(query), values))
    ]


def is_retried(conn: sa.Connection, job_id: str) -> bool:
    """Whether another job does that one again already."""
    query = "SELECT EXISTS (SELECT FROM jobs WHERE retry_of = CAST(:id AS uuid))"
    return bool(conn.scalar(sa.text(query), {"id": job_id}))


def kinds(conn: sa.Connection) -> list[str]:
    """The kinds of job that there are, by name."""
    return list(conn.scalars(sa.text("SELECT DISTINCT kind FROM jobs ORDER BY kind")))


def running(conn: sa.Connection, limit: int) -> list[ListedJob]:
    """The jobs that are queued or running, the oldest first."""
    query = f"""
        SELECT u.name, {_COLUMNS} FROM jobs j JOIN users u ON u.id = j.created_by
         WHERE j.status IN ('queued', 'running') ORDER BY j.created_at LIMIT :limit
    """  # noqa: S608  # names of this module
    return [
        ListedJob(Job(*row), who, False) for who, *row in map(tuple, conn.execute(sa.text(query), {"limit": limit}))
    ]


_SPEEDS = """
    SELECT r.period, r.deals, r.lines, r.interpreter, j.finished_at,
           CAST(extract(epoch FROM j.finished_at - j.started_at) AS float) AS seconds
      FROM runs r JOIN jobs j ON j.id = r.job_id
     WHERE j.status = 'done' AND j.finished_at > j.started_at ORDER BY j.finished_at DESC LIMIT :limit
"""


def speeds(conn: sa.Connection, limit: int) -> list[sa.RowMapping]:
    """The newest runs that a job made, with the seconds from its start to its end."""
    return list(conn.execute(sa.text(_SPEEDS), {"limit": limit}).mappings())


def unfinished(conn: sa.Connection) -> list[str]:
    """Ids of the jobs that are queued or running, oldest first."""
    found = conn.scalars(
        sa.text("SELECT CAST(id AS text) FROM jobs WHERE status IN ('queued', 'running') ORDER BY created_at")
    )
    return list(found)


def open_count(conn: sa.Connection) -> int:
    """How many jobs are queued or running."""
    return conn.scalar(sa.text("SELECT count(*) FROM jobs WHERE status IN ('queued', 'running')")) or 0


_ABANDONED = f"""
    UPDATE jobs SET status = 'queued', sent_at = now(),
           message = CASE jobs.status WHEN 'running' THEN 'Its worker was lost; it starts again' ELSE message END
     WHERE id IN (SELECT j.id FROM jobs j
                   WHERE j.status IN ('queued', 'running') AND j.sent_at < now() - :seconds * INTERVAL '1 second'
                     AND NOT {_HELD} ORDER BY j.created_at FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING CAST(id AS text)
"""  # noqa: S608  # a condition of this module


def take_abandoned(conn: sa.Connection, seconds: float) -> list[str]:
    """Ids of the open jobs that no living process has and that were not sent for so long; noted as sent now.

    Asked by many at once, each job is given to one of them.
    """
    return list(conn.scalars(sa.text(_ABANDONED), {"seconds": seconds}))


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


def start(conn: sa.Connection, job_id: str, worker: str | None) -> bool:
    """Mark the job as running, from the beginning; False when it has ended meanwhile."""
    return bool(
        conn.execute(
            sa.text(
                "UPDATE jobs SET status = 'running', started_at = now(), done = 0, message = '', worker = :worker "
                "WHERE id = CAST(:id AS uuid) AND status IN ('queued', 'running')"
            ),
            {"id": job_id, "worker": worker},
        ).rowcount
    )


def progress(conn: sa.Connection, job_id: str, done: int, total: int, message: str) -> bool:
    """Store how far the job is; gives whether somebody has asked to cancel it."""
    query = (
        "UPDATE jobs SET done = :done, total = :total, message = :message WHERE id = CAST(:id AS uuid) "
        "RETURNING cancel_asked_at IS NOT NULL"
    )
    return bool(conn.scalar(sa.text(query), {"id": job_id, "done": done, "total": total, "message": message}))


def put_back(conn: sa.Connection, job_id: str) -> None:
    """Queue a running job again, for another process."""
    conn.execute(
        sa.text("UPDATE jobs SET status = 'queued', message = '' WHERE id = CAST(:id AS uuid)"), {"id": job_id}
    )


def finish(conn: sa.Connection, job_id: str, status: str, message: str, result: Mapping[str, Any] | None) -> None:
    """Close the job as 'done', 'failed' or 'cancelled'."""
    conn.execute(
        sa.text(
            "UPDATE jobs SET status = :status, message = :message, result = CAST(:result AS jsonb), "
            "finished_at = now() WHERE id = CAST(:id AS uuid)"
        ),
        {"id": job_id, "status": status, "message": message, "result": json.dumps(result)},
    )


def cancel(conn: sa.Connection, job_id: str) -> str:
    """Cancel an open job that no process has at once, and ask the process that has it to stop; gives its status."""
    query = f"""
        UPDATE jobs j SET cancel_asked_at = coalesce(j.cancel_asked_at, now()),
               status = CASE WHEN {_HELD} THEN j.status ELSE 'cancelled' END,
               finished_at = CASE WHEN {_HELD} THEN NULL ELSE now() END
         WHERE j.id = CAST(:id AS uuid) AND j.status IN ('queued', 'running') RETURNING j.status
    """  # noqa: S608  # a condition of this module
    return conn.execute(sa.text(query), {"id": job_id}).scalar_one()  # type: ignore[no-any-return]


def hand_file_over(conn: sa.Connection, job_id: str, new_id: str) -> int | None:
    """Let the kept file whose job that was show the new one; gives whose file it is, None when there is none."""
    query = "UPDATE import_files SET job_id = CAST(:new AS uuid) WHERE job_id = CAST(:id AS uuid) RETURNING created_by"
    found: int | None = conn.scalar(sa.text(query), {"id": job_id, "new": new_id})
    return found

"""Background jobs: started by a screen, kept in Postgres, resumed after a crash, watched by their progress."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from engine.db import jobs
from engine.db.database import Database
from engine.db.jobs import Job
from engine.errors import QuotaPathError
from engine.services.access import Actor, actor_of, require
from engine.workers.pool import Pool

log = logging.getLogger(__name__)

_AT_ONCE = 2
_SECONDS_BETWEEN_REPORTS = 0.3
_TRIES, _SECONDS_BETWEEN_TRIES = 120, 1

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Work:
    """What the body of a job gets: where to work, for whom, with what, and how to tell how far it is."""

    db: Database
    pool: Pool
    actor: Actor
    job_id: str
    arguments: Mapping[str, Any]
    progress: Progress


Body = Callable[[Work], Mapping[str, Any]]


class _Lost(Exception):
    """The connection that held the job is gone, and with it the right to say how it ended."""


class JobRunner:
    """Runs jobs in threads of this process.  `bodies` maps a job's kind to the function that does it.

    A body must be idempotent: after a crash it starts again from the beginning with the same job id, and
    whatever it keeps it must keep in one transaction.
    """

    def __init__(self, db: Database, pool: Pool, bodies: Mapping[str, Body]) -> None:
        self._db, self._pool, self._bodies = db, pool, bodies
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="job")
        self._closed = threading.Event()

    def submit(self, actor: Actor, kind: str, arguments: Mapping[str, Any]) -> str:
        """Queue a job for `actor` and return its id; the body asks whether the actor may."""
        if actor.user_id is None:
            raise ValueError("a job needs a user to answer for it")
        with self._db.write() as conn:
            job_id = jobs.add(conn, kind, arguments, actor.user_id)
        self._start(job_id)
        return job_id

    def resume(self) -> list[str]:
        """Start every job that a dead process left queued or running; returns their ids."""
        with self._db.read() as conn:
            left = jobs.unfinished(conn)
        for job_id in left:
            self._start(job_id)
        return left

    def close(self) -> None:
        """Wait for running jobs and stop."""
        self._closed.set()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _start(self, job_id: str) -> None:
        def report(future: Future[None]) -> None:
            if not future.cancelled() and (fault := future.exception()) is not None:
                log.error("job %s could not be kept: %s", job_id, fault)

        self._threads.submit(self._run, job_id).add_done_callback(report)

    def _run(self, job_id: str) -> None:
        """Run the job; from the beginning again, when the database went away meanwhile and comes back."""
        for _ in range(_TRIES):
            try:
                return self._attempt(job_id)
            except (sa.exc.DBAPIError, sa.exc.PendingRollbackError, _Lost) as fault:
                # The server names a reason with a code; 57P.. is that it was shut down.
                code = getattr(getattr(fault, "orig", None), "pgcode", None)
                if code and not code.startswith("57P"):
                    raise
                log.warning("job %s lost the database and waits for it: %s", job_id, fault)
            if self._closed.wait(_SECONDS_BETWEEN_TRIES):
                return None  # the next start resumes it
        raise QuotaPathError(f"the database did not come back in {_TRIES * _SECONDS_BETWEEN_TRIES} seconds")

    def _attempt(self, job_id: str) -> None:
        # Autocommit: the advisory lock belongs to the connection, and no transaction stays open meanwhile.
        with self._db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            if not jobs.try_lock(conn, job_id):
                return  # another living process has it
            try:
                job = jobs.get(conn, job_id)
                if job is None or job.is_over:
                    return
                jobs.start(conn, job_id)
                status, message, result = self._outcome(conn, job)
                if not jobs.holds_lock(conn):
                    raise _Lost("its connection was cut")
                jobs.finish(conn, job_id, status, message, result)
            finally:
                if not conn.invalidated:  # a lost connection has given it back
                    jobs.unlock(conn, job_id)

    def _outcome(self, conn: sa.Connection, job: Job) -> tuple[str, str, Mapping[str, Any] | None]:
        last = 0.0

        def progress(done: int, total: int, message: str) -> None:
            nonlocal last
            if done == total or time.monotonic() - last > _SECONDS_BETWEEN_REPORTS:
                last = time.monotonic()
                jobs.progress(conn, job.id, done, total, message)

        try:
            actor = actor_of(conn, job.created_by)
            work = Work(self._db, self._pool, actor, job.id, job.arguments, progress)
            return "done", "", self._bodies[job.kind](work)
        except QuotaPathError as refusal:
            return "failed", str(refusal), None
        except Exception as fault:
            log.exception("job %s (%s) failed", job.id, job.kind)
            return "failed", f"An unexpected fault stopped it: {type(fault).__name__}: {fault}. The log has more.", None


def job(db: Database, actor: Actor, job_id: str) -> Job | None:
    """The state of a job.  Needs "status.view"."""
    require(actor, "status.view")
    with db.read() as conn:
        return jobs.get(conn, job_id)


def recent_jobs(db: Database, actor: Actor, limit: int = 50, kind: str | None = None) -> list[Job]:
    """The newest jobs first.  Needs "status.view"."""
    require(actor, "status.view")
    with db.read() as conn:
        return jobs.recent(conn, limit, kind)

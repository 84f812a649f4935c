"""Background jobs: started by a screen, kept in Postgres, resumed after a crash, watched by their progress."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, cast

import sqlalchemy as sa

from engine.db import audit, jobs
from engine.db.database import Database
from engine.db.jobs import Job, ListedJob
from engine.errors import QuotaPathError
from engine.services.access import Actor, actor_of, require, user_of
from engine.workers.pool import Pool

log = logging.getLogger(__name__)

_AT_ONCE = 2
_SECONDS_BETWEEN_REPORTS = 0.3
_TRIES, _SECONDS_BETWEEN_TRIES = 120, 1
SECONDS_TO_BE_TAKEN = 5  # that a job which was sent may wait before it is taken for lost

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


class _Cancelled(Exception):
    """Somebody has asked to cancel the job.  Raised where the body tells of its progress."""


class Stopped(Exception):
    """This process is closing; another one does the job from the beginning."""


class JobRunner:
    """Runs jobs in threads of this process.  `bodies` maps a job's kind to the function that does it.

    A body must be idempotent: after a crash it starts again from the beginning with the same job id, and
    whatever it keeps it must keep in one transaction.  What `progress` raises it must let through, and after its
    work is kept it tells of no progress: that is how a job is cancelled and nothing of it stays.

    `worker` is the name under which this process shows as the one that has the job.
    """

    def __init__(self, db: Database, pool: Pool, bodies: Mapping[str, Body], worker: str | None = None) -> None:
        self._db, self._pool, self._bodies, self._worker = db, pool, bodies, worker
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="job")
        self._closed = threading.Event()
        self._leaving = threading.Event()

    def submit(self, actor: Actor, kind: str, arguments: Mapping[str, Any]) -> str:
        """Queue a job for `actor` and return its id; the body asks whether the actor may."""
        if actor.user_id is None:
            raise ValueError("a job needs a user to answer for it")
        with self._db.write(actor) as conn:
            job_id = jobs.add(conn, kind, arguments, actor.user_id)
        self.start(job_id)
        return job_id

    def resume(self) -> list[str]:
        """Start every job that a dead process left queued or running; returns their ids."""
        with self._db.read() as conn:
            left = jobs.unfinished(conn)
        for job_id in left:
            self.start(job_id)
        return left

    def close(self) -> None:
        """Wait for running jobs and stop."""
        self._closed.set()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def leave(self) -> None:
        """Let running jobs stop at their next step, for another process to do them."""
        self._leaving.set()

    def start(self, job_id: str) -> None:
        """Have a queued job run, soon."""

        def report(future: Future[None]) -> None:
            if not future.cancelled() and (fault := future.exception()) is not None:
                log.error("job %s could not be kept: %s", job_id, fault)

        self._threads.submit(self.run, job_id).add_done_callback(report)

    def run(self, job_id: str) -> None:
        """Run the job now, unless a living process has it; from the beginning again, when the database went away
        meanwhile and comes back.  Raises `Stopped` after `leave`.
        """
        for _ in range(_TRIES):
            try:
                return self._attempt(job_id)
            except (sa.exc.DBAPIError, sa.exc.PendingRollbackError, _Lost) as fault:
                # The server names a reason with a code; 57P.. is that it was shut down.
                code = getattr(getattr(fault, "orig", None), "pgcode", None)
                if code and not code.startswith("57P"):
                    raise
                log.warning("job %s lost the database and waits for it: %s", job_id, fault)
            if self._closed.wait(_SECONDS_BETWEEN_TRIES) or self._leaving.is_set():
                return None  # the next start resumes it
        raise QuotaPathError(f"the database did not come back in {_TRIES * _SECONDS_BETWEEN_TRIES} seconds")

    def _attempt(self, job_id: str) -> None:
        # The advisory lock belongs to the connection, and no transaction stays open meanwhile.
        with self._db.lasting() as conn:
            if not jobs.try_lock(conn, job_id):
                return  # another living process has it
            try:
                job = jobs.get(conn, job_id)
                if job is None or job.is_over or not jobs.start(conn, job_id, self._worker):
                    return
                try:
                    status, message, result = self._outcome(conn, job)
                except Stopped:
                    jobs.put_back(conn, job_id)
                    raise
                if not jobs.holds_lock(conn):
                    raise _Lost("its connection was cut")
                jobs.finish(conn, job_id, status, message, result)
            finally:
                if not conn.invalidated:  # a lost connection has given it back
                    jobs.unlock(conn, job_id)

    def _outcome(self, conn: sa.Connection, job: Job) -> tuple[str, str, Mapping[str, Any] | None]:
        last, told = 0.0, ""

        def progress(done: int, total: int, message: str) -> None:
            nonlocal last, told
            if done == total or message != told or time.monotonic() - last > _SECONDS_BETWEEN_REPORTS:
                last, told = time.monotonic(), message
                if jobs.progress(conn, job.id, done, total, message):
                    raise _Cancelled
                if self._leaving.is_set():
                    raise Stopped

        try:
            if job.cancel_asked:
                raise _Cancelled
            actor = actor_of(conn, job.created_by)
            work = Work(self._db, self._pool, actor, job.id, job.arguments, progress)
            return "done", "", self._bodies[job.kind](work)
        except (_Cancelled, Stopped) as why:
            if isinstance(why, Stopped):
                raise
            return "cancelled", "", None
        except QuotaPathError as refusal:
            return "failed", str(refusal), None
        except Exception as fault:
            log.exception("job %s (%s) failed", job.id, job.kind)
            return "failed", f"An unexpected fault stopped it: {type(fault).__name__}: {fault}. The log has more.", None


class SentJobs(JobRunner):
    """Sends jobs to the workers of all machines by `send`, which puts a job's id into their queue.

    A job that cannot be sent, because Redis does not answer, stays queued in Postgres: workers look there, too.
    """

    def __init__(self, db: Database, send: Callable[[str], None]) -> None:
        super().__init__(db, cast(Pool, None), {})  # neither calculates nor runs anything
        self._send = send

    def start(self, job_id: str) -> None:
        """Send a queued job."""
        try:
            self._send(job_id)
        except Exception as fault:  # noqa: BLE001  # of a network there are many
            log.warning("job %s waits in the database, the queue cannot be reached: %s", job_id, fault)

    def resume(self) -> list[str]:
        """Send every job that nobody has and that was not sent just now; returns their ids."""
        with self._db.write() as conn:
            left = jobs.take_abandoned(conn, SECONDS_TO_BE_TAKEN)
        for job_id in left:
            self.start(job_id)
        return left


# ---------------------------------------------------------------- the list of jobs
def job(db: Database, actor: Actor, job_id: str) -> Job | None:
    """The state of a job.  Needs "status.view"."""
    require(actor, "status.view")
    with db.read(actor) as conn:
        return jobs.get(conn, job_id)


def list_jobs(
    db: Database, actor: Actor, kind: str | None = None, status: str | None = None, limit: int = 50, offset: int = 0
) -> list[ListedJob]:
    """The jobs of a kind and with a status (None: any), the newest first.  Needs "status.view"."""
    require(actor, "status.view")
    with db.read(actor) as conn:
        return jobs.listed(conn, kind, status, limit, offset)


def count_jobs(db: Database, actor: Actor, kind: str | None = None, status: str | None = None) -> int:
    """How many `list_jobs` has.  Needs "status.view"."""
    require(actor, "status.view")
    with db.read(actor) as conn:
        return jobs.count(conn, kind, status)


def kinds(db: Database, actor: Actor) -> list[str]:
    """The kinds of job that there are.  Needs "status.view"."""
    require(actor, "status.view")
    with db.read(actor) as conn:
        return jobs.kinds(conn)


def open_jobs(db: Database, actor: Actor, limit: int = 10) -> list[ListedJob]:
    """The jobs that wait or run, the oldest first.  Needs "status.view"."""
    require(actor, "status.view")
    with db.read(actor) as conn:
        return jobs.running(conn, limit)


def cancel_job(db: Database, actor: Actor, job_id: str) -> str:
    """Cancel a job: at once while it waits, else at its next step, and nothing of it is kept.  Gives its status.

    Needs "jobs.manage".  Raises QuotaPathError when it has ended.
    """
    require(actor, "jobs.manage")
    with db.write(actor) as conn:
        found = jobs.get(conn, job_id, lock=True)
        if found is None or found.is_over:
            raise QuotaPathError("The job has ended already, so there is nothing to cancel.")
        status = jobs.cancel(conn, job_id)
        audit.note(conn, actor.user_id, "jobs.manage", f"job {job_id}", {"cancel": found.kind, "status": status})
    return status


def retry_job(db: Database, runner: JobRunner, actor: Actor, job_id: str) -> str:
    """Do a failed or cancelled job again, in the name of `actor`; gives the new job's id.

    Needs "jobs.manage".  Raises QuotaPathError when it did not fail, was retried before, or works on a file that
    somebody else has in hand.
    """
    require(actor, "jobs.manage")
    with db.write(actor) as conn:
        found = jobs.get(conn, job_id, lock=True)
        if found is None or found.status not in ("failed", "cancelled"):
            raise QuotaPathError("Only a job that failed or was cancelled can be retried.")
        if jobs.is_retried(conn, job_id):
            raise QuotaPathError("This job was retried already. Retry the newer one.")
        new_id = jobs.add(conn, found.kind, found.arguments, user_of(actor), retry_of=job_id)
        if jobs.hand_file_over(conn, job_id, new_id) not in (None, actor.user_id):
            raise QuotaPathError("This job works on a file that somebody else has uploaded. Only they can retry it.")
        audit.note(conn, actor.user_id, "jobs.manage", f"job {new_id}", {"retry": found.kind, "of": job_id})
    runner.start(new_id)
    return new_id

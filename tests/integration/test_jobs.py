"""Background jobs: kept, watched, resumed after their process was killed, never run by two at once."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa

from engine.db import jobs
from engine.db.database import Database
from engine.errors import QuotaPathError
from engine.services.access import Actor, Forbidden
from engine.services.jobs import (
    Body,
    JobRunner,
    SentJobs,
    Stopped,
    Work,
    cancel_job,
    count_jobs,
    job,
    kinds,
    list_jobs,
    retry_job,
)
from engine.workers.pool import Pool

NO_POOL = cast(Pool, None)  # these jobs calculate nothing


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    found = Database(database_url)
    yield found
    found.close()


@pytest.fixture
def admin(db: Database) -> Actor:
    with db.write() as conn:
        conn.execute(sa.text("INSERT INTO company (name, currency) VALUES ('Test', 'USD')"))
        user = conn.scalar(
            sa.text(
                "INSERT INTO users (code, name, email, role) "
                "VALUES ('ada', 'Ada', 'ada@test.example', 'admin') RETURNING id"
            )
        )
    return Actor(user, "admin", "Ada", "ada@test.example")


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def run_one(db: Database, admin: Actor, body: Body, arguments: Mapping[str, Any] | None = None) -> Any:
    runner = JobRunner(db, NO_POOL, {"test": body})
    job_id = runner.submit(admin, "test", arguments or {})
    runner.close()
    return job(db, admin, job_id)


def test_a_job_is_kept_with_its_result(db: Database, admin: Actor) -> None:
    def body(work: Work) -> Mapping[str, Any]:
        work.progress(3, 3, "counting")
        return {"who": work.actor.name, "sum": sum(work.arguments["numbers"])}

    done = run_one(db, admin, body, {"numbers": [1, 2]})
    assert (done.status, done.result, done.done, done.total) == ("done", {"who": "Ada", "sum": 3}, 3, 3)
    assert [each.job.id for each in list_jobs(db, admin)] == [done.id]


def test_a_refusal_is_its_sentence_and_a_fault_is_named(db: Database, admin: Actor) -> None:
    def refuse(_work: Work) -> Mapping[str, Any]:
        raise QuotaPathError("There is no plan. Publish one.")

    def break_down(_work: Work) -> Mapping[str, Any]:
        raise KeyError("oops")

    refused, broken = run_one(db, admin, refuse), run_one(db, admin, break_down)
    assert (refused.status, refused.message) == ("failed", "There is no plan. Publish one.")
    assert broken.status == "failed"
    assert "KeyError" in broken.message


def test_a_disabled_user_starts_nothing(db: Database, admin: Actor) -> None:
    with db.write() as conn:
        conn.execute(sa.text("UPDATE users SET is_active = false"))
    ran = run_one(db, admin, lambda _work: {})
    assert ran.status == "failed"
    assert "disabled" in ran.message


def test_only_those_who_may_see_jobs(db: Database, admin: Actor) -> None:
    with pytest.raises(Forbidden):
        list_jobs(db, Actor(admin.user_id, "rep", "Ada"))


# A program that starts a job which never ends.
_STUCK = """
import sys, time
from engine.db.database import Database
from engine.services.access import Actor
from engine.services.jobs import JobRunner
db = Database(sys.argv[1])
runner = JobRunner(db, None, {"test": lambda work: time.sleep(600) or {}})
print(runner.submit(Actor(int(sys.argv[2]), "admin", "Ada"), "test", {}), flush=True)
time.sleep(600)
"""


def test_the_job_of_a_killed_process_is_resumed_once(db: Database, database_url: str, admin: Actor) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", _STUCK, database_url, str(admin.user_id)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert program.stdout is not None
    job_id = program.stdout.readline().strip()

    def status() -> str:
        found = job(db, admin, job_id)
        return "" if found is None else found.status

    started = threading.Semaphore(0)
    done: list[str] = []

    def body(work: Work) -> Mapping[str, Any]:
        done.append(work.job_id)
        started.release()
        return {}

    wait_for(lambda: status() == "running")
    early = JobRunner(db, NO_POOL, {"test": body})
    assert early.resume() == [job_id]
    early.close()
    assert not done, "a living process has the job"

    os.kill(program.pid, signal.SIGKILL)
    program.wait()

    def lock_is_free() -> bool:
        with db.read() as conn:
            return conn.scalar(sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")) == 0

    wait_for(lock_is_free)
    runners = [JobRunner(db, NO_POOL, {"test": body}) for _ in range(2)]  # two app processes start again
    for runner in runners:
        runner.resume()
    assert started.acquire(timeout=20)
    for runner in runners:
        runner.close()
    assert done == [job_id]
    assert status() == "done"


# ---------------------------------------------------------------- cancelling, retrying, jobs that nobody has
def state_of(db: Database, admin: Actor, job_id: str) -> Any:
    found = job(db, admin, job_id)
    assert found is not None
    return found


def audited(db: Database) -> list[tuple[str, Any]]:
    with db.read() as conn:
        query = sa.text("SELECT object, detail FROM audit WHERE action = 'jobs.manage' ORDER BY id")
        return [(row.object, row.detail) for row in conn.execute(query)]


def test_a_running_job_is_cancelled_at_its_next_step_and_keeps_nothing(db: Database, admin: Actor) -> None:
    running, cancelled = threading.Event(), threading.Event()

    def body(work: Work) -> Mapping[str, Any]:
        with work.db.write() as conn:
            conn.execute(sa.text("UPDATE company SET name = 'Half kept'"))
            running.set()
            assert cancelled.wait(20)
            work.progress(1, 1, "half way")
        return {}

    runner = JobRunner(db, NO_POOL, {"test": body})
    job_id = runner.submit(admin, "test", {})
    assert running.wait(20)
    assert cancel_job(db, admin, job_id) == "running"
    assert state_of(db, admin, job_id).cancel_asked
    cancelled.set()
    runner.close()
    found = state_of(db, admin, job_id)
    assert (found.status, found.message, found.result) == ("cancelled", "", None)
    assert found.finished_at is not None
    with db.read() as conn:
        assert conn.scalar(sa.text("SELECT name FROM company")) == "Test"
    assert audited(db) == [(f"job {job_id}", {"cancel": "test", "status": "running"})]
    with pytest.raises(QuotaPathError, match="ended already"):
        cancel_job(db, admin, job_id)


def test_a_queued_job_is_cancelled_at_once_and_never_runs(db: Database, admin: Actor) -> None:
    ran: list[str] = []

    def body(work: Work) -> Mapping[str, Any]:
        ran.append(work.job_id)
        return {}

    sent: list[str] = []
    job_id = SentJobs(db, sent.append).submit(admin, "test", {})
    assert cancel_job(db, admin, job_id) == "cancelled"
    runner = JobRunner(db, NO_POOL, {"test": body})
    for each in sent:  # its message comes nevertheless
        runner.run(each)
    assert (ran, sent) == ([], [job_id])
    assert state_of(db, admin, job_id).status == "cancelled"


def test_a_job_whose_process_died_after_it_was_asked_to_cancel_does_not_start_again(db: Database, admin: Actor) -> None:
    job_id = SentJobs(db, lambda _id: None).submit(admin, "test", {})
    with db.write() as conn:
        conn.execute(sa.text("UPDATE jobs SET status = 'running', cancel_asked_at = now()"))
    JobRunner(db, NO_POOL, {"test": lambda _work: {"ran": True}}).run(job_id)
    assert state_of(db, admin, job_id).status == "cancelled"


def test_a_failed_job_is_retried_once_and_linked(db: Database, admin: Actor) -> None:
    outcomes = iter([QuotaPathError("Not yet."), None])

    def body(work: Work) -> Mapping[str, Any]:
        if (fault := next(outcomes)) is not None:
            raise fault
        return {"numbers": work.arguments["numbers"]}

    failed = run_one(db, admin, body, {"numbers": [1, 2]})
    runner = JobRunner(db, NO_POOL, {"test": body})
    again = retry_job(db, runner, admin, failed.id)
    runner.close()
    found = state_of(db, admin, again)
    assert (found.status, found.result, found.retry_of) == ("done", {"numbers": [1, 2]}, failed.id)
    assert audited(db) == [(f"job {again}", {"retry": "test", "of": failed.id})]
    assert [(each.job.id, each.who, each.is_retried) for each in list_jobs(db, admin)] == [
        (again, "Ada", False),
        (failed.id, "Ada", True),
    ]
    with pytest.raises(QuotaPathError, match="retried already"):
        retry_job(db, runner, admin, failed.id)
    with pytest.raises(QuotaPathError, match="failed or was cancelled"):
        retry_job(db, runner, admin, again)


@pytest.mark.parametrize("role", ["finance", "manager", "rep"])
def test_only_admins_cancel_and_retry(db: Database, admin: Actor, role: str) -> None:
    runner = SentJobs(db, lambda _id: None)
    job_id = runner.submit(admin, "test", {})
    other = Actor(admin.user_id, role, "Ada")
    with pytest.raises(Forbidden):
        cancel_job(db, other, job_id)
    with pytest.raises(Forbidden):
        retry_job(db, runner, other, job_id)
    assert state_of(db, admin, job_id).status == "queued"
    assert audited(db) == []


def test_jobs_are_listed_by_kind_and_status_page_by_page(db: Database, admin: Actor) -> None:
    runner = SentJobs(db, lambda _id: None)
    ids = [runner.submit(admin, kind, {}) for kind in ("run", "import", "run", "run")]
    cancel_job(db, admin, ids[2])

    def listed(**asked: Any) -> tuple[list[str], int]:
        asked_for = {name: asked[name] for name in asked.keys() & {"kind", "status"}}
        return [each.job.id for each in list_jobs(db, admin, **asked)], count_jobs(db, admin, **asked_for)

    assert kinds(db, admin) == ["import", "run"]

    assert listed() == (ids[::-1], 4)
    assert listed(kind="run") == ([ids[3], ids[2], ids[0]], 3)
    assert listed(kind="run", status="queued") == ([ids[3], ids[0]], 2)
    assert listed(limit=2, offset=1) == ([ids[2], ids[1]], 4)
    with pytest.raises(Forbidden):
        list_jobs(db, Actor(admin.user_id, "manager", "Mia"))


def test_a_job_that_nobody_has_is_sent_again_by_one(db: Database, admin: Actor) -> None:
    sent: list[str] = []
    looking = SentJobs(db, sent.append)
    lost, fresh, done = (looking.submit(admin, "test", {}) for _ in range(3))
    JobRunner(db, NO_POOL, {"test": lambda _work: {}}).run(done)
    sent.clear()
    with db.write() as conn:
        query = "UPDATE jobs SET sent_at = now() - INTERVAL '1 minute', status = :status WHERE id = CAST(:id AS uuid)"
        conn.execute(sa.text(query), {"id": lost, "status": "running"})
        conn.execute(sa.text(query), {"id": done, "status": "done"})
    assert looking.resume() == [lost]
    assert looking.resume() == []  # it was sent just now
    assert sent == [lost]
    assert state_of(db, admin, lost).status == "queued"
    assert state_of(db, admin, fresh).status == "queued"

    # One that a living process has is left to it.
    with db.write() as conn:
        conn.execute(sa.text("UPDATE jobs SET sent_at = now() - INTERVAL '1 minute'"))
    with db.write() as conn:
        assert jobs.try_lock(conn, lost)
        assert looking.resume() == [fresh]
        jobs.unlock(conn, lost)


def test_a_queue_that_cannot_be_reached_leaves_the_job_queued(db: Database, admin: Actor) -> None:
    def refuse(_job_id: str) -> None:
        raise ConnectionError("nobody there")

    job_id = SentJobs(db, refuse).submit(admin, "test", {})
    assert state_of(db, admin, job_id).status == "queued"


def test_a_process_that_leaves_gives_its_job_back(db: Database, admin: Actor) -> None:
    runner = JobRunner(db, NO_POOL, {}, "worker-1")
    job_id = SentJobs(db, lambda _id: None).submit(admin, "test", {})
    seen: list[str | None] = []

    def body(work: Work) -> Mapping[str, Any]:
        seen.append(state_of(db, admin, work.job_id).worker)
        runner.leave()
        work.progress(1, 1, "half way")
        return {}

    runner._bodies = {"test": body}
    with pytest.raises(Stopped):
        runner.run(job_id)
    assert seen == ["worker-1"]
    assert state_of(db, admin, job_id).status == "queued"
    JobRunner(db, NO_POOL, {"test": lambda _work: {}}).run(job_id)
    assert state_of(db, admin, job_id).status == "done"

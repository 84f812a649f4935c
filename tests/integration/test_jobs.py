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

from engine.db.database import Database
from engine.errors import QuotaPathError
from engine.services.access import Actor, Forbidden
from engine.services.jobs import Body, JobRunner, Work, job, recent_jobs
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
    assert [each.id for each in recent_jobs(db, admin)] == [done.id]


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
        recent_jobs(db, Actor(admin.user_id, "rep", "Ada"))


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

"""Jobs on several machines, with real processes: PostgreSQL, Redis, the app and two workers, killed at bad moments."""

import io
import os
import shutil
import signal
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa

from engine.db import workers
from engine.services import batches, import_files, jobs
from engine.services.access import Actor
from engine.services.imports import Upload
from engine.services.runs import JOB, run_period
from engine.workers import broker, fleet
from engine.workers.pool import Pool
from tests.benchmarks.imports import export_lines
from tests.cluster import Cluster, Program, wait_for

PERIOD = "2026-12"  # everything up to it is calculated, so all deals are
DEALS = 24_000  # more than stay on one machine
ROWS = 3000


class Office:
    """A cluster with a company in it, and the hash of the lines that one machine alone comes to."""

    def __init__(self, cluster: Cluster, admin: Actor, alone: bytes) -> None:
        self.cluster, self.admin, self.alone = cluster, admin, alone

    def run(self) -> str:
        return self.cluster.runner.submit(self.admin, JOB, {"period": PERIOD})

    def runs_of(self, job_id: str) -> list[bytes]:
        with self.cluster.db.read() as conn:
            query = sa.text("SELECT lines_hash FROM runs WHERE job_id = CAST(:job AS uuid)")
            return [bytes(each) for each in conn.scalars(query, {"job": job_id})]

    def ends_right(self, job_id: str) -> None:
        """The job ends well, and has made one run, of the same lines."""
        ended = self.cluster.ended(job_id)
        assert (ended.status, ended.message) == ("done", "")
        assert self.runs_of(job_id) == [self.alone]

    def who_has(self, job_id: str) -> tuple[Program, Program]:
        """The worker that has the job, and the other one."""

        def name() -> str | None:
            job = self.cluster.job(job_id)
            return job.worker if job.status == "running" else None

        found = wait_for(name)
        one, other = self.cluster.workers
        return (one, other) if f"-{one.pid}-" in found else (other, one)


@pytest.fixture(scope="module")
def office(pool: Pool) -> Iterator[Office]:
    with tempfile.TemporaryDirectory(prefix="quotapath-cluster-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # root hands the data to another user, who must get there
        with Cluster(folder) as cluster:
            admin = cluster.fill(people=60, deals=DEALS)
            run = run_period(cluster.db, pool, admin, PERIOD)
            with cluster.db.read() as conn:
                alone = conn.scalar(sa.text("SELECT lines_hash FROM runs WHERE id = :run"), {"run": run})
            yield Office(cluster, admin, bytes(alone))


@pytest.fixture(autouse=True)
def all_run(office: Office) -> None:
    """Each test finds everything running."""
    for each in office.cluster.workers:
        if not each.runs:
            each.start()


@contextmanager
def calculation_stands_still(cluster: Cluster) -> Iterator[Callable[[Program], None]]:
    """No worker's calculation gets on until the block ends; gives what lets one worker's go on earlier."""
    children = {
        each.pid: [int(pid) for task in Path(f"/proc/{each.pid}/task").iterdir() for pid in _children(task)]
        for each in cluster.workers
    }

    def tell(worker: int, what: signal.Signals) -> None:
        for pid in children[worker]:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfds[pid], what)

    pidfds = {pid: os.pidfd_open(pid) for pids in children.values() for pid in pids}
    for worker in children:
        tell(worker, signal.SIGSTOP)
    try:
        yield lambda worker: tell(worker.pid, signal.SIGCONT)
    finally:
        for worker in children:
            tell(worker, signal.SIGCONT)
        for each in pidfds.values():
            os.close(each)


def _children(task: Path) -> list[str]:
    return (task / "children").read_text().split()


def has_shards(office: Office, worker: Program) -> bool:
    """Whether the worker has a shard in hand; claims of what is done last longer."""
    client = broker.connect(office.cluster.redis.url)
    in_hand = [key for key in client.keys("quotapath.claim.*") if client.ttl(key) <= fleet.SECONDS_OF_CLAIM]
    return any(f"-{worker.pid}-".encode() in (client.get(key) or b"") for key in in_hand)


def test_a_run_goes_through_the_workers_once_however_often_it_is_sent(office: Office) -> None:
    cluster = office.cluster
    assert urllib.request.urlopen(cluster.app_url, timeout=30).status == 200  # noqa: S310  # our own
    celery = broker.celery_app(cluster.redis.url)
    job_id = office.run()
    for _ in range(3):
        broker.send_job(celery, job_id)
    office.ends_right(job_id)
    broker.send_job(celery, job_id)  # and once more when it is over
    second = office.run()
    office.ends_right(second)
    assert office.runs_of(job_id) == [office.alone]
    assert cluster.job(job_id).worker is not None

    with cluster.db.read() as conn:
        found = workers.listed(conn)
    assert [each.state for each in found] == ["alive", "alive"]
    assert {each.pid for each in found} == {each.pid for each in cluster.workers}
    assert len({each.rules for each in found}) == 1


def deals(cluster: Cluster) -> int:
    with cluster.db.read() as conn:
        return conn.scalar(sa.text("SELECT count(*) FROM deals")) or 0


def test_an_import_and_its_undoing_go_through_the_workers(office: Office) -> None:
    cluster = office.cluster
    with cluster.db.write() as conn:
        conn.execute(sa.text("UPDATE users SET name = 'Ana Torres' WHERE code = 'p1'"))
    content = "".join(export_lines(ROWS, ["Ana Torres"])).encode()
    file_id = import_files.keep_file(cluster.db, office.admin, "export.csv", io.BytesIO(content))
    said = Upload(b"", "export.csv", today=date(2026, 11, 24))
    import_files.start_check(cluster.db, cluster.runner, office.admin, file_id, said)

    def job_of_the_file() -> str:
        kept = import_files.kept_file(cluster.db, office.admin, file_id)
        assert kept is not None
        assert kept.job is not None
        return kept.job.id

    checked = cluster.ended(job_of_the_file())
    assert (checked.status, checked.message) == ("done", "")
    import_files.start_import(cluster.db, cluster.runner, office.admin, file_id, accept_refused=False)
    imported = cluster.ended(job_of_the_file())
    assert (imported.status, imported.message) == ("done", "")
    assert checked.worker
    assert imported.worker
    assert deals(cluster) == DEALS + ROWS
    assert imported.result is not None
    undone = cluster.ended(batches.start_undo(cluster.runner, office.admin, imported.result["import_id"]))
    assert (undone.status, undone.message) == ("done", "")
    assert deals(cluster) == DEALS


def test_the_shards_of_a_killed_worker_are_done_by_the_other(office: Office) -> None:
    with calculation_stands_still(office.cluster) as let_go:
        job_id = office.run()
        has_it, other = office.who_has(job_id)
        wait_for(lambda: has_shards(office, other))
        other.kill()
        let_go(has_it)
        office.ends_right(job_id)


def test_the_job_of_a_killed_worker_is_done_by_the_other(office: Office) -> None:
    with calculation_stands_still(office.cluster) as let_go:
        job_id = office.run()
        has_it, other = office.who_has(job_id)
        has_it.kill()
        let_go(other)
        office.ends_right(job_id)
    assert f"-{other.pid}-" in (office.cluster.job(job_id).worker or "")


def test_a_worker_that_is_asked_to_end_hands_its_job_over(office: Office) -> None:
    with calculation_stands_still(office.cluster):
        job_id = office.run()
        has_it, _ = office.who_has(job_id)
        has_it.signal(signal.SIGTERM)
        wait_for(lambda: "Warm shutdown" in has_it.text())
    assert has_it.stop() == 0
    office.ends_right(job_id)
    with office.cluster.db.read() as conn:
        assert "stopped" in {each.state for each in workers.listed(conn)}


def test_redis_killed_in_the_middle_and_started_empty(office: Office) -> None:
    cluster = office.cluster
    with calculation_stands_still(cluster):
        job_id = office.run()
        wait_for(lambda: any(has_shards(office, each) for each in cluster.workers))
        cluster.redis.kill()
    office.ends_right(job_id)
    waiting = office.run()
    assert cluster.job(waiting).status == "queued"
    shutil.rmtree(cluster.redis_folder)
    cluster.redis_folder.mkdir()
    cluster.redis.start()
    office.ends_right(waiting)


def test_a_job_of_the_workers_is_cancelled_and_retried(office: Office) -> None:
    cluster = office.cluster
    with calculation_stands_still(cluster):
        job_id = office.run()
        wait_for(lambda: any(has_shards(office, each) for each in cluster.workers))
        assert jobs.cancel_job(cluster.db, office.admin, job_id) == "running"
    assert cluster.ended(job_id).status == "cancelled"
    assert office.runs_of(job_id) == []
    again = jobs.retry_job(cluster.db, cluster.runner, office.admin, job_id)
    office.ends_right(again)

"""A run by two Celery workers against the same run by one: real processes that share PostgreSQL and Redis."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from engine.services.runs import JOB
from engine.workers.pool import Pool
from tests.benchmarks.measure import Row
from tests.cluster import Cluster

if TYPE_CHECKING:
    from tests.benchmarks.__main__ import Sizes

PERIOD = "2026-12"


def celery_workers(sizes: "Sizes", _pools: dict[str, Pool]) -> Iterator[Row]:
    """A month's run over all deals of the year, as a job; the lines of both are the same."""
    deals = max(sizes.of(1_000_000), 24_000)  # fewer are not shared
    with tempfile.TemporaryDirectory(prefix="quotapath-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # root hands the data to another user, who must get there
        with Cluster(folder, workers=2, app=False) as cluster:
            admin = cluster.fill(people=sizes.of(1000, 50), deals=deals)

            def run() -> float:
                job = cluster.ended(cluster.runner.submit(admin, JOB, {"period": PERIOD}))
                assert job.status == "done", job.message
                assert job.started_at is not None
                assert job.finished_at is not None
                return (job.finished_at - job.started_at).total_seconds()

            rounds = min(sizes.rounds, 2)
            best = {"two": min(run() for _ in range(rounds))}
            cluster.workers[0].stop()
            best["one worker"] = min(run() for _ in range(rounds))
            with cluster.db.read() as conn:
                assert conn.scalar(sa.text("SELECT count(DISTINCT lines_hash) FROM runs")) == 1
    yield Row("a run of 1 million deals, from Postgres to kept lines: two Celery workers against one (wall clock)",
              best, best["one worker"] / best["two"], "not asked", True)  # fmt: skip

"""What every session of this process shares: the database, the calculation pool, the jobs, the clock."""

import threading
from datetime import date

from engine import settings
from engine.analytics import remembered
from engine.db.database import Database
from engine.services import bodies
from engine.services.jobs import JobRunner, SentJobs
from engine.workers.pool import Pool

_lock = threading.RLock()
_database: Database | None = None
_pool: Pool | None = None
_jobs: JobRunner | None = None


def start(url: str) -> None:
    """Use the (migrated) database at `url` from now on; called once by the server, and by tests."""
    global _database
    stop()
    remembered.share(settings.read().redis_url)
    _database = Database(url)


def stop() -> None:
    """End the jobs, the pool and the connections, in this order.  Twice is once."""
    global _database, _pool, _jobs
    with _lock:
        jobs, pool, database = _jobs, _pool, _database
        _jobs = _pool = _database = None
    if jobs:
        jobs.close()
    if pool:
        pool.close()
    if database:
        database.close()


def database() -> Database:
    """The process-wide database."""
    if _database is None:
        raise RuntimeError("the server has not opened the database: start with `python -m app.server`")
    return _database


def pool() -> Pool:
    """The process-wide pool of calculation processes, started at the first call."""
    global _pool
    with _lock:
        if _pool is None:
            found = settings.read()
            _pool = Pool(found.workers, None if found.pypy else "cpython", found.pypy)
        return _pool


def jobs() -> JobRunner:
    """The process-wide runner of background jobs: in this process, or by the workers where REDIS_URL is set."""
    global _jobs
    with _lock:
        if _jobs is None:
            redis_url = settings.read().redis_url
            _jobs = _sent_jobs(redis_url) if redis_url else JobRunner(database(), pool(), bodies.JOBS)
        return _jobs


def _sent_jobs(redis_url: str) -> SentJobs:
    from engine.workers import broker  # a second of imports, where there are workers

    celery = broker.celery_app(redis_url)
    return SentJobs(database(), lambda job_id: broker.send_job(celery, job_id))


def today() -> date:
    """Today in the server's time zone; QUOTAPATH_TODAY=2026-11-22 stops the clock for tests and demonstrations."""
    return settings.read().today

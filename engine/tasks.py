"""A worker for the jobs and the shards of all machines: ``python -m engine worker``, or ``make worker``.

It needs the DATABASE_URL and the REDIS_URL of the app.  Celery brings the work; a worker does three things at once,
each a job or a shard, in threads, and its own pool of processes calculates.  Every few seconds it says that it lives
and sends the jobs anew that nobody has: those of a dead worker, and those that Redis has lost.

Celery may stay deaf after its connection to Redis was lost: an acknowledgement that failed keeps its place taken.  So a
worker that has lost Redis, or that has nothing in hand while jobs wait, begins anew, in the same process.
"""

import logging
import os
import signal
import socket
import sys
import threading
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import redis
import sqlalchemy as sa
from celery import Celery
from celery.exceptions import Reject, SecurityWarning
from celery.signals import worker_ready, worker_shutting_down

from engine import logs, settings
from engine.db import migrate, workers
from engine.db.database import Database, require_answer
from engine.errors import QuotaPathError
from engine.services import bodies
from engine.services.jobs import JobRunner, SentJobs, Stopped
from engine.workers import broker
from engine.workers.fleet import FleetPool

AT_ONCE = 3  # jobs and shards; a shard uses all processes of the pool
SECONDS_BETWEEN_LOOKS = 2
LOOKS_UNTIL_DEAF = 5  # with jobs in the queue and nothing in hand

log = logging.getLogger(__name__)


class Worker:
    """One worker, from its start to its end."""

    def __init__(self, url: str, redis_url: str, found: settings.Settings) -> None:
        self.db = Database(url)
        self.redis = broker.connect(redis_url)
        self.celery = broker.celery_app(redis_url)
        self.rules = broker.rules_hash()
        self.queue = broker.shards_queue()
        self.name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:4]}"
        self.pool = FleetPool(
            self.redis,
            lambda shard: broker.send_shard(self.celery, self.queue, shard),
            self._machines,
            self.name,
            found.workers,
            None if found.pypy else "cpython",
            found.pypy,
        )
        self.runner = JobRunner(self.db, self.pool, bodies.JOBS, self.name)
        self.sender = SentJobs(self.db, lambda job_id: broker.send_job(self.celery, job_id))
        self.ended = threading.Event()
        self.hands = 0  # jobs and shards that it has taken
        self.lock = threading.Lock()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """While a job or a shard is in hand."""
        with self.lock:
            self.hands += 1
        try:
            yield
        finally:
            with self.lock:
                self.hands -= 1

    def serve(self) -> None:
        """Work until a signal says stop."""
        with self.db.write() as conn:
            workers.add(
                conn,
                self.name,
                host=socket.gethostname(),
                pid=os.getpid(),
                interpreter=self.pool.interpreter,
                version=self.pool.status()[0].version,
                processes=self.pool.size,
                rules=self.rules,
            )
        _add_tasks(self.celery, self)
        worker_ready.connect(self._ready, weak=False)
        worker_shutting_down.connect(self._leave, weak=False)
        looking = threading.Thread(target=self._look, name="looking", daemon=True)
        looking.start()
        try:
            self.celery.Worker(
                queues=[broker.JOBS, self.queue],
                pool="threads",
                concurrency=AT_ONCE,
                hostname=f"quotapath@{self.name}",
                loglevel="WARNING",
                quiet=True,
                without_gossip=True,
                without_mingle=True,
                without_heartbeat=True,
            ).start()
        finally:
            self.ended.set()
            looking.join()
            with suppress(sa.exc.SQLAlchemyError), self.db.write() as conn:
                workers.stopped(conn, self.name)

    def close(self) -> None:
        """End the processes and the connections."""
        self.pool.close()
        self.db.close()

    def _ready(self, **_: Any) -> None:
        print(f"QuotaPath worker {self.name} is ready. {self.pool.note}", flush=True)  # noqa: T201

    def _leave(self, **_: Any) -> None:
        self.runner.leave()

    def _machines(self) -> int:
        with self.db.read() as conn:
            return workers.alive(conn, self.rules)

    def _look(self) -> None:
        """Say that it lives, and find jobs that nobody has; what is out of reach now is so at the next look, maybe."""
        lost, silent = False, 0
        while not self.ended.is_set():
            try:
                with self.db.write() as conn:
                    done = self.pool.status()
                    shards, deals = sum(each.shards for each in done), sum(each.deals for each in done)
                    workers.seen(conn, self.name, shards, deals, self.pool.busy)
                # While jobs wait in the queue, one without a worker may be among them.
                waiting = self.redis.llen(broker.JOBS)
                if waiting == 0:
                    self.sender.resume()
                silent = silent + 1 if waiting and not self.hands else 0
                if not self.hands and (lost or silent >= LOOKS_UNTIL_DEAF):
                    self._begin_anew()
            except redis.RedisError as fault:
                lost = True
                log.warning("Redis is out of reach: %s", fault)
            except sa.exc.SQLAlchemyError as fault:
                log.warning("the database is out of reach: %s", fault)
            self.ended.wait(SECONDS_BETWEEN_LOOKS)

    def _begin_anew(self) -> None:
        """Become a new worker, with new connections; what nobody has acknowledged is sent again."""
        log.warning("This worker begins anew: its connection to Redis was lost, or brings nothing.")
        self.pool.close()
        with suppress(sa.exc.SQLAlchemyError), self.db.write() as conn:
            workers.stopped(conn, self.name)
        os.execv(sys.executable, [sys.executable, "-m", "engine", "worker"])  # noqa: S606  # ourselves


def _add_tasks(app: Celery, worker: Worker) -> None:
    """What may be asked of a worker."""

    def job(job_id: str) -> None:
        try:
            with worker.at_work():
                worker.runner.run(job_id)
        except Stopped:
            raise Reject("this worker ends", requeue=True) from None

    def shard(asked: Mapping[str, Any]) -> None:
        with worker.at_work():
            worker.pool.serve(asked)

    app.task(job, name=broker.JOB)
    app.task(shard, name=broker.SHARD)


def serve() -> None:
    """Work until Ctrl-C or SIGTERM.  Raises QuotaPathError with what is in the way, and what to do."""
    found = settings.read()
    logs.set_up(found.log)
    # Celery warns root of pickle, which is not accepted here.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until Celery has its own
    if not found.database_url or not found.redis_url:
        raise QuotaPathError(
            "A worker shares its database and its Redis with the app, so it needs DATABASE_URL and REDIS_URL. "
            "Start it with both: DATABASE_URL=postgresql://user:password@host/quotapath "
            "REDIS_URL=redis://host:6379/0 make worker. "
            "On one machine no worker is needed: without REDIS_URL the app does its jobs itself."
        )
    require_answer(found.database_url)
    _require_redis(found.redis_url)
    migrate.upgrade(found.database_url)
    with suppress(KeyboardInterrupt):
        worker = Worker(found.database_url, found.redis_url, found)
        try:
            worker.serve()
        finally:
            worker.close()


def _require_redis(url: str) -> None:
    try:
        broker.connect(url).ping()
    except redis.RedisError as error:
        raise QuotaPathError(
            f"Cannot connect to the Redis of REDIS_URL: {error}. Check the address and that Redis runs."
        ) from None

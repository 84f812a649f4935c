"""A whole installation of processes: PostgreSQL, Redis, the app, and workers, each started, killed and restarted.

    with Cluster(folder, workers=2) as cluster:
        admin = cluster.fill(people=50, deals=30_000)
        job_id = cluster.runner.submit(admin, "run", {"period": "2026-03"})
        cluster.workers[0].kill()
        job = cluster.ended(job_id)

`Program` is one of our processes, ``cluster.redis`` a `RedisServer`, ``cluster.postgres`` a `Postgres`; each has
``start``, which waits until it serves, and ``kill``, which is SIGKILL.  ``cluster.runner`` submits jobs as
the app does.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import sqlalchemy as sa

from engine.db import jobs, migrate, server
from engine.db.database import Database
from engine.db.jobs import Job
from engine.services.access import Actor
from engine.services.jobs import SentJobs
from engine.workers import broker
from tests.benchmarks import database
from tests.redis_server import RedisServer

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 120  # seconds; a loaded machine is slow


def wait_for(condition: Callable[[], T | None], seconds: float = PATIENCE) -> T:
    """What the condition gives, as soon as that is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)
    return found


class Program:
    """A process of ours; it serves once its log says ``ready``."""

    def __init__(self, name: str, command: str, ready: str, environ: Mapping[str, str], folder: Path) -> None:
        self.name, self._command, self._ready, self._environ = name, command.split(), ready, dict(environ)
        self.log = folder / f"{name}.log"
        self.log.touch()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} does not run"
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, wait: bool = True) -> None:
        """Start it; with ``wait``, until it serves."""
        assert not self.runs, f"{self.name} runs already"
        before = self.log.stat().st_size
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self._command],
                cwd=ROOT,
                env=os.environ | self._environ,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        self._before = before
        if wait:
            self.wait()

    def wait(self) -> None:
        """Until it serves."""

        def serves() -> bool:
            assert self.runs, f"{self.name} ended:\n{self.text()}"
            return self._ready.encode() in self.log.read_bytes()[self._before :]

        wait_for(serves)

    def text(self) -> str:
        """All it ever said."""
        return self.log.read_text(errors="replace")

    def signal(self, what: signal.Signals) -> None:
        """SIGSTOP freezes it, SIGCONT lets it go on."""
        os.kill(self.pid, what)

    def kill(self) -> None:
        """SIGKILL it, as a crash would; its calculation processes end by themselves."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> int:
        """Ask it to end, and return its exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(PATIENCE)
        finally:
            self.kill()


class Postgres:
    """A PostgreSQL of its own; what was committed is there again after `kill` and `start`."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._use = server.start(home)
        self.url = self._use.url

    @property
    def pid(self) -> int:
        """Its first process; of one that was killed, what that had been."""
        return int((self._home / "pg" / "data" / "postmaster.pid").read_text().split()[0])

    @property
    def runs(self) -> bool:
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
        except FileNotFoundError:
            return False

    def kill(self) -> None:
        """SIGKILL the server, as a crash of the machine would."""
        os.kill(self.pid, signal.SIGKILL)
        wait_for(lambda: not self.runs)

    def start(self) -> None:
        """Start it again, and wait until it answers."""
        again = server.start(self._home)
        self._use.stop()
        self._use = again

    def stop(self) -> None:
        self._use.stop()


class Cluster:
    """See the module.  ``app=False`` leaves the app out; ``environ`` goes to the app and to every worker.

    ``folder`` must be one that others may pass through (0o711): root hands the database to another user.
    """

    def __init__(
        self, folder: Path, workers: int = 2, app: bool = True, environ: Mapping[str, str] | None = None
    ) -> None:
        self._folder, self._started = folder, False
        self.postgres = Postgres(folder / "home")
        self.redis_folder = folder / "redis"  # emptied while Redis is killed, it starts empty
        self.redis_folder.mkdir()
        self.redis = RedisServer(self.redis_folder)
        migrate.upgrade(self.postgres.url)
        self.environ = {
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": self.redis.url,
            "QUOTAPATH_HOME": str(folder / "unused"),
            "QUOTAPATH_WORKERS": "1",
            "QUOTAPATH_TODAY": "2026-11-24",
            "HOST": "127.0.0.1",
            **(environ or {}),
        }
        self.db = Database(self.postgres.url)
        port = _free_port()
        self.app = Program("app", "app.server", "QuotaPath is ready", {**self.environ, "PORT": str(port)}, folder)
        self.app_url = f"http://127.0.0.1:{port}"
        self._with_app = app
        self.workers = [self.worker(number) for number in range(workers)]

    def worker(self, number: int) -> Program:
        """A further worker, not started."""
        return Program(f"worker-{number}", "engine worker", "is ready", self.environ, self._folder)

    def start(self) -> None:
        """Start the app and the workers, all at once, and wait until they serve."""
        programs = [*([self.app] if self._with_app else []), *self.workers]
        for each in programs:
            each.start(wait=False)
        for each in programs:
            each.wait()

    def stop(self) -> None:
        """End everything, whatever state it is in."""
        for each in (self.app, *self.workers):
            if each.runs:
                with suppress(ProcessLookupError):
                    each.signal(signal.SIGCONT)
                each.kill()
        self.db.close()
        self.redis.kill()
        self.postgres.stop()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def fill(self, people: int, deals: int) -> Actor:
        """A company with so many reps and deals of 2026, all on one quota plan that pays by the month; its admin."""
        return database.fill(self.db, people, deals)

    @cached_property
    def runner(self) -> SentJobs:
        """Submits jobs to the workers, as the app does."""
        celery = broker.celery_app(self.redis.url)
        return SentJobs(self.db, lambda job_id: broker.send_job(celery, job_id))

    def job(self, job_id: str) -> Job:
        """The job as it stands."""
        with self.db.read() as conn:
            found = jobs.get(conn, job_id)
        assert found is not None
        return found

    def ended(self, job_id: str) -> Job:
        """The job once it has ended, well or not; a database that is away is waited for."""

        def over() -> Job | None:
            with suppress(sa.exc.DBAPIError):
                found = self.job(job_id)
                return found if found.is_over else None
            return None

        try:
            return wait_for(over)
        except AssertionError as error:
            said = "\n".join(f"--- {each.name}\n{each.text()[-3000:]}" for each in self.workers)
            raise AssertionError(f"{error}: {self.job(job_id)}\n{said}") from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

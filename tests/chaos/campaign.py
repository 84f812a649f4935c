"""The campaign: companies of ten rounds each, in every one of which processes are killed at moments chosen by a seed.

A company is a database of its own with its app process, its calculation processes and its PostgreSQL; every other one
has a Redis and Celery workers, too.  In a round people do some things; at some of them a victim is killed, started
again, and the person who saw no answer asks once more.  Then every job is waited for, and everything in `holding` must
hold.  The same seed does the same, as far as threads and the machine's speed allow.
"""

import multiprocessing
import os
import random
import shutil
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from engine.db import jobs, migrate
from engine.services.access import Actor
from engine.workers.pool import Pool
from tests.chaos import app_process
from tests.chaos.acting import ACTIONS, QUARTERS, Seen, look
from tests.chaos.app_process import MOMENTS, Shot
from tests.chaos.holding import Checker
from tests.cluster import PATIENCE, Postgres, Program, wait_for
from tests.integration.paying import Company
from tests.redis_server import RedisServer

ROUNDS = 10  # of a company
STEPS = 8  # of a round
SHOTS = 0.6  # the part of the steps in which somebody is killed
CLAWBACK = "\n[clawback]\n"
# Who may be killed: where, and how often.
VICTIMS = {"app": 5, "calculation": 2, "postgres": 2}
FLEET_VICTIMS = {"app": 3, "postgres": 2, "worker-0": 3, "worker-1": 3, "redis": 3}

# A process whose program is loaded, which becomes an app by a fork: a real process, started in no time.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.chaos.app_process"])


class Broken(AssertionError):
    """Something does not hold; the message has all that is needed to see it again."""


@dataclass
class Report:
    """What a campaign has done."""

    rounds: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    actions: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        kills = ", ".join(f"{victim} {count}" for victim, count in sorted(self.kills.items()))
        actions = ", ".join(f"{what} {count}" for what, count in sorted(self.actions.items()))
        return f"{self.rounds} rounds, {self.kills.total()} kills ({kills}); {actions}"


class _App:
    """The app's process, however often it is killed."""

    def __init__(self, url: str, told: Path, environ: dict[str, str], actor: Actor) -> None:
        self._given = url, str(told), environ, actor
        self._process: Any = None

    def start(self) -> None:
        self.connection, theirs = _processes.Pipe()
        self._process = _processes.Process(target=app_process.serve, args=(theirs, *self._given), daemon=True)
        self._process.start()
        theirs.close()
        wait_for(lambda: self.connection.poll() or not self.runs)
        if not self.runs:
            raise Broken("the app does not start")
        assert self.connection.recv() == "ready"

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.is_alive()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self.connection.close()
            self._process = None


class _World:
    """One company and its processes."""

    def __init__(self, seed: str, fleet: bool, report: Report) -> None:
        self.began = time.monotonic()
        self.rng, self.fleet, self.report = random.Random(seed), fleet, report  # noqa: S311  # repeatable
        self.story: list[str] = []
        self.moments: dict[str, Counter[str]] = defaultdict(Counter)  # that an action took at most
        self.folder = Path(tempfile.mkdtemp(prefix="quotapath-chaos-"))
        self.folder.chmod(0o711)  # root hands the data to another user, who must get there
        self.told = self.folder / "told"
        self.told.touch()
        self.app: _App | None = None
        self.redis: RedisServer | None = None
        self.workers: dict[str, Program] = {}
        self.postgres = Postgres(self.folder / "home")
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        migrate.upgrade(self.postgres.url)
        with sa.create_engine(self.postgres.url, isolation_level="AUTOCOMMIT").connect() as conn:
            # What a killed process has written the kernel has; waiting for the disk is for power cuts, and slow.
            conn.execute(sa.text("ALTER SYSTEM SET fsync = off"))
            conn.execute(sa.text("SELECT pg_reload_conf()"))
        company = Company(self.postgres.url, terms=CLAWBACK)
        self.db, self.users, actor = company.db, company.users, company.actors["ada"]
        with self.db.write() as conn:
            for rep in ("ana", "bo"):
                for quarter in QUARTERS[1:]:
                    year, number = int(quarter[:4]), int(quarter[-1])
                    bounds = f"{year}-{3 * number - 2:02}-01", f"{year + number // 4}-{3 * number % 12 + 1:02}-01"
                    query = """
                        INSERT INTO quotas (user_id, period, start_date, end_date, amount, currency)
                        VALUES (:user, :period, :start, :end, 10000000, 'USD')
                    """
                    values = {"user": self.users[rep], "period": quarter, "start": bounds[0], "end": bounds[1]}
                    conn.execute(sa.text(query), values)
        pypy = self.rng.choice(("", "off"))
        environ = {"QUOTAPATH_WORKERS": "1", "QUOTAPATH_PYPY": pypy, "DATABASE_URL": self.postgres.url, "REDIS_URL": ""}
        if self.fleet:
            (self.folder / "redis").mkdir()
            self.redis = RedisServer(self.folder / "redis")
            environ["REDIS_URL"] = self.redis.url
            for number in range(2):
                name = f"worker-{number}"
                self.workers[name] = Program(name, "engine worker", "is ready", environ, self.folder)
                self.workers[name].start(wait=False)
        self.pool = Pool(1, "cpython")
        self.checker = Checker(self.db, self.pool, actor, {user: code for code, user in self.users.items()})
        self.app = _App(self.postgres.url, self.told, environ, actor)
        self.app.start()
        for worker in self.workers.values():
            worker.wait()

    def close(self) -> None:
        """End every process, whatever state it is in."""
        if self.app is not None:
            self.app.kill()
        for worker in self.workers.values():
            worker.kill()
        if hasattr(self, "pool"):
            self.pool.close()
        if hasattr(self, "db"):
            self.db.close()
        if self.redis is not None:
            self.redis.kill()
        self.postgres.stop()
        shutil.rmtree(self.folder)

    # -- a round ----------------------------------------------------------------------------------------

    def round(self) -> None:
        """Some steps, and then everything must hold."""
        for _ in range(STEPS):
            self._step()
        self._settle()
        broken = self._broken()
        seen = self._seen()
        if not broken and seen.open:
            broken = self.checker.paid_by_the_rules(seen.open[0]) or self._broken()
        if broken:
            raise Broken("\n".join(broken))
        self.report.rounds += 1

    def _broken(self) -> list[str]:
        with self.db.read() as conn:
            return self.checker.broken(conn)

    def _step(self) -> None:
        seen = self._seen()
        names = list(ACTIONS)
        (name,) = self.rng.choices(names, [ACTIONS[each].weight for each in names])
        arguments = ACTIONS[name].choose(self.rng, seen)
        if arguments is None:
            return
        shot = self._aim(name) if self.rng.random() < SHOTS else None
        ended, said = self._do(name, arguments, shot)
        if ended in ("killed", "away") and ACTIONS[name].again:
            ended, said = self._do(name, arguments, None)
        if ended == "done" and isinstance(said, dict):
            self.checker.done.append(said)

    def _seen(self) -> Seen:
        with self.db.read() as conn:
            return look(conn, self.users)

    def _aim(self, name: str) -> Shot:
        victims = FLEET_VICTIMS if self.fleet else VICTIMS
        (victim,) = self.rng.choices(list(victims), list(victims.values()))
        moment = self.rng.choice(MOMENTS)
        return Shot(victim, moment, self.rng.randint(1, self.moments[name][moment] or 1), self.postgres.pid)

    def _do(self, name: str, arguments: dict[str, Any], shot: Shot | None) -> tuple[str, Any]:
        """Have the app do it, while somebody is killed; gives how it ended, "killed" where the app was."""
        assert self.app is not None
        app, began = self.app, time.monotonic()
        before = self._told()
        inside = shot if shot and shot.victim in VICTIMS else None
        app.connection.send((name, arguments, inside))
        if shot and not inside:
            self._kill_outside(shot)
        answer, postgres = None, self.postgres.pid

        def over() -> bool:
            nonlocal answer
            if not self.postgres.runs:  # the app may wait for it
                self._again("postgres", self.postgres.start)
            self._revive()
            with suppress(EOFError, ConnectionResetError):
                if app.connection.poll():
                    answer = app.connection.recv()
            return answer is not None or not app.runs

        wait_for(over, 3 * PATIENCE)
        for kill in self._told()[len(before) :]:
            victim, _, where = kill.partition("\t")
            self._killed(victim, where)
            if victim == "postgres" and self.postgres.pid == postgres:
                wait_for(lambda: not self.postgres.runs)
                self._again("postgres", self.postgres.start)
        if answer is None:
            app.kill()
            self._again("app", app.start)
            ended, said = "killed", ""
        else:
            ended, said, moments = answer
            self.moments[name] |= moments
        self.report.actions[f"{name}: {ended}"] += 1
        self.story.append(f"{time.monotonic() - began:5.2f} {name} {_short(arguments)}: {ended} {_short(said)}")
        away = shot is not None and shot.victim in ("postgres", "redis")
        if ended == "fault" or (ended == "away" and not away):
            raise Broken(f"an action that nobody disturbs goes well or is refused: {name}: {said}")
        return ended, said

    def _kill_outside(self, shot: Shot) -> None:
        """Kill a worker or Redis while the app waits for them, and start it again."""
        time.sleep(self.rng.random() * 0.4)  # a moment like any other: nothing is expected of it
        if shot.victim == "redis":
            assert self.redis is not None
            self.redis.kill()
            self._again("redis", self.redis.start)
        else:
            self.workers[shot.victim].kill()
            self._revive()
        self._killed(shot.victim, "while the app waited")

    def _revive(self) -> None:
        """Start the workers that do not run: those that were killed, and those that found no PostgreSQL or Redis."""
        for name, worker in self.workers.items():
            if not worker.runs:
                self._again(name, lambda: worker.start(wait=False))  # noqa: B023  # done at once

    def _told(self) -> list[str]:
        return self.told.read_text().splitlines()

    def said(self) -> str:
        """The app's log."""
        log = Path(f"{self.told}.log")
        return log.read_text() if log.exists() else ""

    def _killed(self, victim: str, where: str) -> None:
        self.report.kills[victim.partition("-")[0]] += 1
        self.story.append(f"  KILLED {victim} {where}")

    def _again(self, victim: str, start: Callable[[], None]) -> None:
        start()
        self.story.append(f"  {victim} started again")

    def _settle(self) -> None:
        """Until every job has ended."""

        def idle() -> bool:
            self._revive()
            with self.db.read() as conn:
                return not jobs.unfinished(conn)

        try:
            wait_for(idle, 2 * PATIENCE)
        except AssertionError as error:
            with self.db.read() as conn:
                left = [jobs.get(conn, each) for each in jobs.unfinished(conn)]
            raise Broken(
                f"every job ends: {left}\n" + "\n".join(w.text()[-2000:] for w in self.workers.values())
            ) from error


def _short(what: Any) -> str:
    text = "" if what is None else str(what)
    return text if len(text) < 200 else f"{text[:200]}..."


def campaign(seed: int, rounds: int, first: int = 1, tell: Callable[[str], None] = print) -> Report:
    """That many rounds, from company `first` on.  Raises `Broken`."""
    report = Report()
    company = first
    while report.rounds < rounds:
        world = _World(f"{seed} {company}", company % 2 == 0, report)
        number = 0
        try:
            for number in range(1, min(ROUNDS, rounds - report.rounds) + 1):
                world.story.append(f"-- round {number}, {time.monotonic() - world.began:.1f} s")
                world.round()
        except Exception as fault:
            story = "\n".join(world.story)
            where = f"seed {seed}, company {company}, round {number}"
            what = f"{type(fault).__name__}: {str(fault)[:3000]}"
            raise Broken(
                f"What happened, and how many seconds it took:\n{story}\n\nThe app said:\n{world.said()[-3000:]}\n\n"
                f"{where}; again: make chaos SEED={seed} FIRST={company} ROUNDS={number}\n{what}"
            ) from fault
        finally:
            world.close()
        if os.environ.get("STORY"):
            tell("\n".join(world.story))
        kills = f"{report.rounds} rounds and {report.kills.total()} kills so far"
        tell(f"company {company}{' with workers' if company % 2 == 0 else ''}: {kills}")
        company += 1
    return report

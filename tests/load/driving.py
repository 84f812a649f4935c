"""The load itself, on servers that it starts, and what came of it."""

import asyncio
import os
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from engine.db.database import Database
from engine.services import api_tokens, sign_in
from engine.services.access import ROLES, actor_of
from tests.browser.driving import free_port
from tests.cluster import Program
from tests.load import api_reads
from tests.load.api_reads import Connections
from tests.load.measure import Latencies, cpu, memory, parent, together, tree
from tests.load.sessions import PAGES, Session, places

THINK = (5.0, 15.0)  # seconds that a person reads a page: between these two, each as likely
TTL = 1  # seconds after which the server lets go of a session whose browser has left; 120 outside of this test
PATIENCE = 60  # seconds for a server to notice that browsers have left
CALLERS = 20  # programs with a token each
API_RATE = 3000  # requests a minute of each token, five times that of this one address: the limiter works, and lets by


def number(name: str, usual: float) -> float:
    """A number from the environment."""
    return float(os.environ.get(name, "") or usual)


@dataclass(frozen=True)
class Load:
    """How much of it: so many people and API reads a second for so many seconds, at so many app processes."""

    seconds: float
    sessions: int
    rate: float
    processes: int
    think: tuple[float, float] = THINK


@dataclass
class Result:
    """What came of it.  Memory in bytes by the moment, of all app processes together; cpu in cores, by whose it is."""

    load: Load
    window: float
    pages: dict[str, Latencies]
    api: dict[str, Latencies]
    cpu: dict[str, float] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    left_over: int = 0

    @property
    def errors(self) -> list[str]:
        """Everything that went wrong."""
        found = together([*self.pages.values(), *self.api.values()]).errors
        return found + ([f"{self.left_over} sessions are still held by the server"] if self.left_over else [])

    def lines(self) -> list[str]:
        """The tables, as Markdown."""
        load = self.load
        several = f"{load.processes} app processes" if load.processes > 1 else "one app process"
        first, last = load.think
        what = (
            f"{load.sessions} people at the pages, reading each for {first:g} to {last:g} s, and {load.rate:g} API "
            f"reads a second, for {load.seconds:g} s, on {several} and {os.cpu_count()} cores that PostgreSQL and the "
            "client share. Times in ms."
        )
        found = [
            what,
            "",
            "| answers | count | a second | p50 | p95 | p99 | longest | errors |",
            "|---|--:|--:|--:|--:|--:|--:|--:|",
        ]
        pages = {name: self.pages[name] for name in PAGES}
        for title, parts in (("page", pages), ("API", self.api)):
            found.append(f"| **{title}, all** | {' | '.join(together(parts.values()).cells(self.window))} |")
            found += [f"| {title}, {name} | {' | '.join(each.cells(self.window))} |" for name, each in parts.items()]
        found += ["", "| cores used | " + " | ".join(self.cpu) + " |", "|---" + "|--:" * len(self.cpu) + "|"]
        found.append("| | " + " | ".join(f"{cores:.2f}" for cores in self.cpu.values()) + " |")
        found += ["", "| memory of the app, MB | " + " | ".join(self.memory) + " |"]
        found.append("|---" + "|--:" * len(self.memory) + "|")
        found.append("| | " + " | ".join(f"{size / 2**20:,.0f}" for size in self.memory.values()) + " |")
        return found


def drive(load: Load, db: Database, folder: Path, environ: Mapping[str, str]) -> Result:
    """Start the servers on the database of the demo company, a PostgreSQL of this machine, and put them under load."""
    common = {
        "DATABASE_URL": db.engine.url.render_as_string(hide_password=False),
        "QUOTAPATH_HOME": str(folder / "unused"),
        "QUOTAPATH_API_RATE": str(API_RATE),
        "STREAMLIT_SERVER_DISCONNECTED_SESSION_TTL": str(TTL),
        "HOST": "127.0.0.1",
        **environ,
    }
    ports = [free_port() for _ in range(load.processes)]
    servers = [
        Program(f"app-{port}", "app.server", "QuotaPath is ready", common | {"PORT": str(port)}, folder)
        for port in ports
    ]
    with ExitStack() as stack:
        for server in servers:
            stack.callback(server.kill)
            server.start(wait=False)
        for server in servers:
            server.wait()
        result = asyncio.run(_under_load(load, db, ports, [each.pid for each in servers]))
        for server in servers:
            text = server.text()
            if "Traceback" in text or "ERROR" in text:
                result.api["deals"].errors.append(f"the log of {server.name} has errors: {text[-3000:]}")
        return result


async def _under_load(load: Load, db: Database, ports: Sequence[int], apps: Sequence[int]) -> Result:
    with db.read() as conn:
        postgres = parent(conn.execute(sa.text("SELECT pg_backend_pid()")).scalar_one())
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    connections = [Connections("127.0.0.1", port) for port in ports]
    people = _people(db)
    memory_at = {"started": _memory(apps)}
    callers = [await api_reads.caller(connections[0], token) for token in _tokens(db, people)]
    begun, until, pages = asyncio.Semaphore(0), asyncio.Event(), places()
    sessions = [
        Session(urls[place % len(urls)], sign_in.open_session(db, people[place % len(people)]).token, pages)
        for place in range(load.sessions)
    ]
    # They come one after the other, and have seen every page once before anything is measured.
    walking = []
    for session in sessions:
        walking.append(asyncio.create_task(session.walk(load.think, until, begun)))
        await asyncio.sleep(load.think[1] / load.sessions)
    for _ in sessions:
        await begun.acquire()
    await api_reads.reads(connections, callers, load.rate / 4, min(4.0, load.seconds))
    for each in pages.values():
        each.seconds.clear()
    memory_at["warm"] = _memory(apps)

    before = _used(apps, postgres)
    begin = time.monotonic()
    api = await api_reads.reads(connections, callers, load.rate, load.seconds)
    window = time.monotonic() - begin
    used = {name: (seconds - before[name]) / window for name, seconds in _used(apps, postgres).items()}
    memory_at["at the end"] = _memory(apps)

    until.set()
    await asyncio.gather(*walking)
    for connection in connections:
        connection.close()
    left = await _left_over(urls, sign_in.open_session(db, people[0]).token)
    memory_at["all have left"] = _memory(apps)
    return Result(load, window, pages, api, used, memory_at, left)


def _people(db: Database) -> list[int]:
    """User ids of the demo company's people who may sign in, roles taking turns as long as there are people of each."""
    with db.read() as conn:
        found = conn.execute(
            sa.text("""
                SELECT id FROM users WHERE is_active AND password_hash IS NOT NULL
                   AND (left_on IS NULL OR left_on > current_date)
                 ORDER BY row_number() OVER (PARTITION BY role ORDER BY id), array_position(:roles, role)
            """),
            {"roles": list(ROLES)},
        )
        return [row.id for row in found]


def _tokens(db: Database, people: Sequence[int]) -> list[str]:
    """A token that may read for each of `CALLERS` people."""
    with db.read() as conn:
        actors = [actor_of(conn, person) for person in people[:CALLERS]]
    read, now = frozenset({"read"}), datetime.now(UTC)
    return [api_tokens.create_token(db, each, "load", read, 1, now).secret for each in actors]


def _used(apps: Sequence[int], postgres: int) -> dict[str, float]:
    """The seconds of processor time that each has used."""
    own = os.times()  # without what this started
    return {"app": sum(cpu(tree(app)) for app in apps), "PostgreSQL": cpu(tree(postgres)), "client": own[0] + own[1]}


def _memory(apps: Sequence[int]) -> int:
    return sum(map(memory, apps))


async def _left_over(urls: Sequence[str], token: str) -> int:
    """How many browsers the servers count a while after the last has left; what these left behind is let go by then."""
    end = time.monotonic() + PATIENCE
    while (
        left := await asyncio.to_thread(lambda: sum(_active(url, token) for url in urls))
    ) and time.monotonic() < end:
        await asyncio.sleep(0.1)
    await asyncio.sleep(TTL + 1)
    for url in urls:  # the next one who leaves takes what has run out along
        await Session(url, token, places()).visit()
    return left


def _active(url: str, token: str) -> int:
    asked = urllib.request.Request(f"{url}/_stcore/metrics", headers={"Cookie": f"quotapath_session={token}"})  # noqa: S310
    with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:  # noqa: S310 - our own server
        lines = answer.read().decode().splitlines()
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith("active_sessions"))

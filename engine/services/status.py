"""How the system is: what the status page asks."""

from dataclasses import dataclass, fields

import pandas as pd
import sqlalchemy as sa

from engine.db import jobs, workers
from engine.db.database import Database
from engine.services import health
from engine.services.access import Actor, require
from engine.services.health import Check
from engine.workers.pool import Pool

_RUNS = 10


@dataclass(frozen=True)
class SystemStatus:
    """`note` says in a sentence what calculates; `processes` has a row a process of this app, as `WorkerStatus`.

    `workers`, of all machines and the last day, as `engine.db.workers.Worker`, has no row while `redis` is None (no
    REDIS_URL); `alive` of them live.  `open_jobs` wait or run.  `runs`, the newest first: period, deals, lines,
    interpreter, finished_at, seconds, speed (deals a second, from reading the deals to the kept lines).
    """

    interpreter: str
    note: str
    processes: pd.DataFrame
    workers: pd.DataFrame
    alive: int
    open_jobs: int
    runs: pd.DataFrame
    redis: Check | None
    database_version: str
    database_bytes: int


_DATABASE = sa.text("SELECT split_part(version(), ' ', 2) AS version, pg_database_size(current_database()) AS size")


def system_status(db: Database, pool: Pool, actor: Actor, redis_url: str | None = None) -> SystemStatus:
    """Processes, workers, interpreter, database and Redis as they are now.  Needs "status.view"."""
    require(actor, "status.view")
    with db.read(actor) as conn:
        found = conn.execute(_DATABASE).one()
        everywhere = workers.listed(conn) if redis_url else []
        runs = pd.DataFrame(
            [dict(row) for row in jobs.speeds(conn, _RUNS)],
            columns=["period", "deals", "lines", "interpreter", "finished_at", "seconds"],
        )
        is_open = jobs.open_count(conn)
    runs["speed"] = (runs["deals"] / runs["seconds"]).round().astype("Int64")
    return SystemStatus(
        pool.interpreter,
        pool.note,
        pd.DataFrame([vars(process) for process in pool.status()]),
        pd.DataFrame([vars(each) for each in everywhere], columns=[each.name for each in fields(workers.Worker)]),
        sum(each.state == "alive" for each in everywhere),
        is_open,
        runs,
        health.redis_check(redis_url) if redis_url else None,
        found.version,
        found.size,
    )

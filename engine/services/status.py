"""How the system is: what the status page and the health checks ask."""

from dataclasses import dataclass

import pandas as pd
import sqlalchemy as sa

from engine.db.database import Database
from engine.services.access import Actor, require
from engine.workers.pool import Pool


@dataclass(frozen=True)
class SystemStatus:
    """`note` says in a sentence what calculates; `workers` has a row a process, as `WorkerStatus`."""

    interpreter: str
    note: str
    workers: pd.DataFrame
    database_version: str
    database_bytes: int


_DATABASE = sa.text("SELECT split_part(version(), ' ', 2) AS version, pg_database_size(current_database()) AS size")


def system_status(db: Database, pool: Pool, actor: Actor) -> SystemStatus:
    """Workers, interpreter and database as they are now.  Needs "status.view"."""
    require(actor, "status.view")
    with db.read() as conn:
        found = conn.execute(_DATABASE).one()
    return SystemStatus(
        pool.interpreter,
        pool.note,
        pd.DataFrame([vars(worker) for worker in pool.status()]),
        found.version,
        found.size,
    )

"""The workers of all machines, as they tell of themselves every few seconds."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

SECONDS_TO_LOSE = 15  # of silence, after which a worker is taken to be lost


@dataclass(frozen=True)
class Worker:
    """A worker: `state` is alive, stopped or lost, `jobs` names the jobs that it has, `shards` and `deals` are done,
    `busy` shards are in hand; `rules` is a hash of the code of its pay rules."""

    name: str
    host: str
    pid: int
    interpreter: str
    version: str
    processes: int
    rules: str
    shards: int
    deals: int
    busy: int
    started_at: datetime
    seen_at: datetime
    state: str
    jobs: str


_LIVES = f"(stopped_at IS NULL AND seen_at > now() - INTERVAL '{SECONDS_TO_LOSE} seconds')"


def add(
    conn: sa.Connection,
    name: str,
    *,
    host: str,
    pid: int,
    interpreter: str,
    version: str,
    processes: int,
    rules: str,
) -> None:
    """Make a worker known; those that ended a day ago are forgotten."""
    conn.execute(sa.text("DELETE FROM workers WHERE coalesce(stopped_at, seen_at) < now() - INTERVAL '1 day'"))
    conn.execute(
        sa.text(
            "INSERT INTO workers (name, host, pid, interpreter, version, processes, rules) "
            "VALUES (:name, :host, :pid, :interpreter, :version, :processes, :rules)"
        ),
        {
            "name": name,
            "host": host,
            "pid": pid,
            "interpreter": interpreter,
            "version": version,
            "processes": processes,
            "rules": rules,
        },
    )


def seen(conn: sa.Connection, name: str, shards: int, deals: int, busy: int) -> None:
    """The worker lives, and has done so much."""
    conn.execute(
        sa.text(
            "UPDATE workers SET seen_at = now(), shards = :shards, deals = :deals, busy = :busy WHERE name = :name"
        ),
        {"name": name, "shards": shards, "deals": deals, "busy": busy},
    )


def stopped(conn: sa.Connection, name: str) -> None:
    """The worker has ended as it should."""
    conn.execute(sa.text("UPDATE workers SET stopped_at = now(), busy = 0 WHERE name = :name"), {"name": name})


def alive(conn: sa.Connection, rules: str | None = None) -> int:
    """How many workers live, of all or of those with these pay rules."""
    query = f"SELECT count(*) FROM workers WHERE rules = coalesce(:rules, rules) AND {_LIVES}"  # noqa: S608  # of here
    return conn.scalar(sa.text(query), {"rules": rules}) or 0


def listed(conn: sa.Connection) -> list[Worker]:
    """The workers of the last day: those that live first, then the newest."""
    query = f"""
        SELECT name, host, pid, interpreter, version, processes, rules, shards, deals, busy, started_at, seen_at,
               CASE WHEN {_LIVES} THEN 'alive' WHEN stopped_at IS NULL THEN 'lost' ELSE 'stopped' END AS state,
               coalesce((SELECT string_agg(j.kind, ', ' ORDER BY j.started_at) FROM jobs j
                          WHERE j.worker = w.name AND j.status = 'running'), '')
          FROM workers w ORDER BY {_LIVES} DESC, started_at DESC LIMIT 200
    """  # noqa: S608  # a condition of this module
    return [Worker(*row) for row in conn.execute(sa.text(query))]

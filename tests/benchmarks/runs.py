"""A year of a million deals calculated in twelve runs, against COPY of the same rows out of and into the same tables.

``python -m tests.benchmarks.runs URL`` is the app's part, in a process of its own: it calculates all months of 2026 at
once and prints, as JSON, the seconds, and the most memory that it and its workers ever had.
"""

import io
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from engine.db.database import Database
from engine.services.access import Actor
from engine.services.recalculation import recalculate
from engine.services.runs import run_period
from engine.workers.pool import Pool
from tests.benchmarks import database
from tests.benchmarks.measure import Row
from tests.owner import owner

if TYPE_CHECKING:
    from tests.benchmarks.__main__ import Sizes

ROOT = Path(__file__).resolve().parents[2]
GIB = 2**30
MONTHS = [f"2026-{month:02d}" for month in range(1, 13)]

_LINES = "run_id, user_id, plan_version_id, component, deal_id, kind, period, origin_period, amount, currency, working"
_INPUT = "COPY (SELECT id, close_date, owner_id, amount, margin, currency, cancelled_on FROM deals) TO STDOUT"


def recalculation(sizes: "Sizes", pools: dict[str, Pool]) -> Iterator[Row]:
    """Twelve monthly runs of one reading, at two sizes; the smaller against bare COPY."""
    people = sizes.of(1000, 10)
    small, copied = _year(people, sizes.of(1_000_000), pools["pypy"], against=True)
    work = "a year of 1 million deals, 1,000 people, from rows in Postgres to lines in Postgres in 12 monthly runs"
    yield Row(f"{work}, against COPY of the deals out and of the same lines in (wall clock)",
              {"recalculate": small["seconds"], "COPY": copied}, small["seconds"] / copied, "at most 2x slower",
              small["seconds"] <= 2 * copied)  # fmt: skip
    large, _ = _year(people, sizes.of(4_000_000), pools["pypy"], against=False)
    ratio = large["seconds"] / small["seconds"]
    yield Row("the same: 4 million deals against 1 million (wall clock)",
              {"4 million": large["seconds"], "1 million": small["seconds"]}, ratio, "at most 4.4x",
              ratio <= 4.4)  # fmt: skip
    for deals, told in (("1 million", small), ("4 million", large)):
        yield Row(f"the same, {deals} deals: the most memory of the app's process; of its workers together "
                  f"{told['workers'] / GIB:.1f} GiB", {}, told["peak"] / GIB, "under 2 GiB", told["peak"] < 2 * GIB,
                  unit=" GiB")  # fmt: skip


def _year(people: int, deals: int, pool: Pool, against: bool) -> tuple[dict[str, Any], float]:
    """What the app's process says of a year, and the seconds of bare COPY."""
    with database.company(people, deals) as (db, admin):
        url = db.engine.url.render_as_string(hide_password=False)
        name = f"{db.engine.url.database}_bare"
        if against:
            db.close()  # a database that somebody uses cannot be copied
            _on_server(db, "CHECKPOINT")
            _on_server(db, f"CREATE DATABASE {name} TEMPLATE {db.engine.url.database}")
        told = _in_own_process(url)
        with db.read() as conn:
            kept = conn.execute(sa.text("SELECT sum(lines), count(*) FROM runs")).one()
        assert tuple(kept) == (deals, 12), f"not all was kept: {kept}"
        if not against:
            return told, 0.0
        run_period(db, pool, admin, MONTHS[-1])  # by itself it comes to the same
        with db.read() as conn:
            query = sa.text("SELECT count(DISTINCT lines_hash) FROM runs WHERE period = :month")
            assert conn.scalar(query, {"month": MONTHS[-1]}) == 1
        bare = Database(str(db.engine.url.set(database=name).render_as_string(hide_password=False)))
        with tempfile.TemporaryDirectory(prefix="quotapath-bench-") as folder:
            lines = Path(folder, "lines.copy")
            rows = f"SELECT {_LINES} FROM lines WHERE run_id <= 12 ORDER BY id"
            with lines.open("wb") as file:
                _copy(db, f"COPY ({rows}) TO STDOUT", file)
            for table in ("pay_periods", "runs"):
                _same_rows(db, bare, table)
            start = perf_counter()
            _copy(bare, _INPUT, io.BytesIO())
            with lines.open("rb") as file:
                _copy(bare, f"COPY lines ({_LINES}) FROM STDIN", file)
            copied = perf_counter() - start
        bare.close()
        _on_server(db, f"DROP DATABASE {name}")
    return told, copied


def _on_server(db: Database, statement: str) -> None:
    with owner(db.engine.url.set(database="template1"), autocommit=True) as conn:
        conn.execute(sa.text(statement))


def _same_rows(db: Database, other: Database, table: str) -> None:
    """The rows of a small table in another database, too; what they refer to is put in later, or was there before."""
    columns = {
        "pay_periods": "period, kind, start_date, end_date",
        "runs": "id, period, ledger_seen, inputs_hash, lines_hash, engine_version, interpreter, deals, lines, "
        "created_by",
    }[table]
    rows = io.BytesIO()
    where = "WHERE id <= 12" if table == "runs" else ""
    _copy(db, f"COPY (SELECT {columns} FROM {table} {where}) TO STDOUT", rows)
    rows.seek(0)
    _copy(other, f"COPY {table} ({columns}) FROM STDIN", rows)


def _copy(db: Database, statement: str, file: Any) -> None:
    with owner(db.engine.url) as conn, closing(conn.connection.cursor()) as cursor:
        cursor.copy_expert(statement, file, 1 << 18)


def _in_own_process(url: str) -> dict[str, Any]:
    found = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.runs", url], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    told: dict[str, Any] = json.loads(found.stdout)
    return told


def _most(pid: int | str) -> int:
    """The most memory that a process ever had, in bytes."""
    peak = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(peak[1]) * 1024 if peak else 0


def main() -> None:
    db = Database(sys.argv[1])
    with db.read() as conn:
        admin = Actor(conn.scalar(sa.text("SELECT id FROM users WHERE role = 'admin'")), "admin", "Ada")
    with Pool() as pool:
        start = perf_counter()
        done = recalculate(db, pool, admin, MONTHS)
        seconds = perf_counter() - start
        workers = sum(_most(worker.pid) for worker in pool.status())
    assert sorted(done.kept) == MONTHS
    db.close()
    print(json.dumps({"seconds": seconds, "peak": _most("self"), "workers": workers}))


if __name__ == "__main__":
    main()

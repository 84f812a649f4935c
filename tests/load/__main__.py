"""``python -m tests.load``: fifty people at the pages and two hundred API reads a second, for a bounded minute.

An embedded PostgreSQL with the demo company, and the real server, ``-m app.server``, one process or (PROCESSES=2) two
as ``compose.yaml`` deploys them: sessions stay at one of them, API reads go to either, Redis is shared.  People walk
the dashboard, deals, earnings and pipeline and read each page for 5 to 15 seconds; programs with tokens read at a
fixed rate.  Ends with status 1 if anything went wrong, and writes what it measured into docs/operations.md,
one process and two each in their place.
"""

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from engine.db import migrate
from engine.db.database import Database
from engine.services.demo import load_demo
from engine.settings import read
from engine.workers.pool import Pool
from tests.cluster import Postgres
from tests.load.driving import Load, Result, drive, number
from tests.redis_server import RedisServer

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "operations.md"
BEGIN, END = "<!-- written by make load PROCESSES={} -->\n", "<!-- end -->"
TODAY = "2026-11-24"


def measured(load: Load) -> Result:
    """An installation of its own under the load."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quotapath-load-")))
        folder.chmod(0o711)  # root hands the database to another user
        postgres = Postgres(folder / "home")
        stack.callback(postgres.stop)
        migrate.upgrade(postgres.url)
        db = Database(postgres.url)
        stack.callback(db.close)
        with Pool() as pool:
            load_demo(db, pool, read({"QUOTAPATH_TODAY": TODAY}).today)
        redis_url = ""
        if load.processes > 1:
            (folder / "redis").mkdir()
            redis = RedisServer(folder / "redis")
            stack.callback(redis.kill)
            redis_url = redis.url
        return drive(load, db, folder, {"QUOTAPATH_TODAY": TODAY, "REDIS_URL": redis_url})


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("--dry", action="store_true", help="write nothing into docs/operations.md")
    args = parser.parse_args()
    load = Load(number("SECONDS", 60), int(number("SESSIONS", 50)), number("RATE", 200), int(number("PROCESSES", 1)))
    result = measured(load)
    lines = result.lines()
    print("\n".join(lines))
    for error in result.errors[:20]:
        print(error, file=sys.stderr)
    if result.errors:
        print(f"{len(result.errors)} answers were wrong or did not come.", file=sys.stderr)
        return 1
    if not args.dry:
        page = PAGE.read_text()
        begin = BEGIN.format(load.processes)
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(END)
        PAGE.write_text(f"{before}{begin}" + "\n".join(lines) + f"\n{END}{after}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

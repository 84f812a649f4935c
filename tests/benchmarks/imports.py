"""A million rows of a Salesforce export, taken in against a bare COPY of the same rows into the same table.

``python -m tests.benchmarks.imports URL FILE TIMES`` is the app's part, in a process of its own: it imports the file
so many times and prints, as JSON, the seconds of each and the most memory that it ever had.
"""

import json
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from engine.db.database import Database
from engine.services.access import Actor
from engine.services.imports import Upload, import_deals, preview_import
from engine.workers.pool import Pool
from tests.benchmarks import database
from tests.benchmarks.measure import Row
from tests.owner import owner

if TYPE_CHECKING:
    from tests.benchmarks.__main__ import Sizes

ROOT = Path(__file__).resolve().parents[2]
GIB = 2**30

SEED = 20261124
_HEADERS = (
    "Opportunity ID", "Opportunity Name", "Account Name", "Opportunity Owner", "Stage", "Amount Currency", "Amount",
    "Close Date", "Created Date", "Type", "Product Name", "Probability (%)", "Fiscal Period", "Lead Source",
)  # fmt: skip
_FIRST = ("Ana", "Ben", "Carla", "Dmitri", "Elena", "Farid", "Grace", "Hugo", "Ines", "Jonas", "Kavya", "Liam")
_LAST = ("Torres", "Okafor", "Jensen", "Volkov", "Rossi", "Haddad", "Kim", "Martin", "Pereira", "Weber", "Nair")
_WORDS = (
    "Harbor", "Birch", "Granite", "Summit", "Cedar", "Falcon", "Lumen", "Orchard", "Pioneer", "Quartz", "Raven",
    "Sierra", "Tundra", "Umber", "Vertex", "Willow", "Zephyr", "Anchor", "Beacon", "Copper",
)  # fmt: skip
_FIELDS = ("Health", "Media", "Labs", "Freight", "Foods", "Energy", "Retail", "Systems", "Capital", "Robotics")
_FORMS = ("Group", "Ltd", "LLC", "Inc.", "GmbH", "SA")
_PRODUCTS = ("Fleet OS", "Picker Arm", "Route Planner", "Yard Cam", "Dock Scheduler")
_KINDS = ("New", "Expansion", "Renewal")
_STAGES = (
    ("Prospecting", 10), ("Qualification", 25), ("Proposal", 50), ("Negotiation", 75), ("Closed Won", 100),
    ("Closed Won", 100), ("Closed Won", 100), ("Closed Lost", 0),
)  # fmt: skip
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PEOPLE = tuple(f"{first} {last}" for first in _FIRST for last in _LAST)
_START = date(2023, 1, 1)


def export_lines(rows: int, owners: Sequence[str] = PEOPLE) -> Iterator[str]:
    """A Salesforce report of so many rows, the same on every machine: all quoted, ids of 18 characters, US dates."""
    dice = random.Random(SEED)  # noqa: S311 - made-up deals
    yield ",".join(f'"{name}"' for name in _HEADERS) + "\n"
    for row in range(rows):
        account = f"{dice.choice(_WORDS)} {dice.choice(_FIELDS)} {dice.choice(_FORMS)}"
        product = dice.choice(_PRODUCTS)
        kind = dice.choice(_KINDS)
        stage, probability = dice.choice(_STAGES)
        closes = _START + timedelta(days=dice.randrange(1400))
        created = closes - timedelta(days=dice.randrange(20, 200))
        cents = dice.randrange(50_000, 25_000_000)
        yield (
            f'"{_opportunity_id(row)}","{account} - {product} {kind} {row}","{account}","{dice.choice(owners)}",'
            f'"{stage}","USD","{cents // 100:,}.{cents % 100:02d}","{closes.month}/{closes.day}/{closes.year}",'
            f'"{created.month}/{created.day}/{created.year}","{kind}","{product}","{probability}%",'
            f'"Q{(closes.month + 2) // 3}-{closes.year}","{dice.choice(("Web", "Partner", "Referral", "Event"))}"\n'
        )


def write_export(path: Path, rows: int) -> None:
    """`export_lines` as a file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(export_lines(rows))


def _opportunity_id(number: int) -> str:
    letters = ""
    for _ in range(7):
        number, rest = divmod(number, 62)
        letters = _LETTERS[rest] + letters
    first = f"0065g000{letters}"
    return first + "".join(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"[
            sum(1 << at for at, letter in enumerate(first[part : part + 5]) if "A" <= letter <= "Z")
        ]
        for part in (0, 5, 10)
    )


def import_file(sizes: "Sizes", _pools: dict[str, Pool]) -> Iterator[Row]:
    """A file to committed deals with their history, twice, against COPY of the rows that came of it."""
    count = sizes.of(1_000_000)
    with tempfile.TemporaryDirectory(prefix="quotapath-bench-") as folder:
        export, copied = Path(folder, "export.csv"), Path(folder, "deals.copy")
        write_export(export, count)
        with database.company(1, 0) as (db, _admin):
            _add_owners(db)
            told = _in_own_process(str(db.engine.url.render_as_string(hide_password=False)), export, 2)
            _copy(db, f"COPY (SELECT {_COLUMNS} FROM deals ORDER BY id) TO STDOUT", copied, "w")
            with db.read() as conn:
                kept = conn.execute(sa.text(_KEPT)).one()
        assert tuple(kept) == (count, count, count, 2), f"not all was kept: {kept}"
        with database.company(1, 0) as (db, _admin):
            _add_owners(db)
            with db.write() as conn:
                conn.execute(sa.text(_AN_IMPORT))
            start = perf_counter()
            _copy(db, f"COPY deals ({_COLUMNS}) FROM STDIN", copied, "r")
            bare = perf_counter() - start
    first, second = told["seconds"]
    rows = f"{count:,} rows of a Salesforce export"
    yield Row(f"{rows}, from the file's bytes to committed deals with their history, against a bare COPY of the same "
              "deals (wall clock)", {"import": first, "COPY": bare}, first / bare, "at most 3x slower",
              first <= 3 * bare)  # fmt: skip
    yield Row(f"{rows}: the same file again, which changes nothing, against the first time (wall clock)",
              {"again": second, "first": first}, second / first, "faster", second < first)  # fmt: skip
    peak = told["peak"]
    yield Row(f"{rows}: the most memory of the importing process", {}, peak / GIB, "under 1 GiB",
              peak < GIB, unit=" GiB")  # fmt: skip


_COLUMNS = (
    "source, external_id, import_id, name, account, owner_id, stage_id, amount, margin, currency, quantity_micro, "
    "close_date, created_date, type, product, segment, term_months, extra"
)
_KEPT = """
    SELECT (SELECT count(*) FROM deals), (SELECT count(*) FROM deal_changes), (SELECT count(*) FROM deal_stage_entries),
           (SELECT count(*) FROM imports)
"""
_AN_IMPORT = """
    INSERT INTO imports (source, filename, file_hash, mapping, added, changed, unchanged, refused, created_by)
    SELECT 'salesforce', 'export.csv', '', '{}', 0, 0, 0, 0, min(id) FROM users
"""


def _add_owners(db: Database) -> None:
    with db.write() as conn:
        conn.execute(
            sa.text("""
                INSERT INTO users (code, name, email, role)
                SELECT 'owner-' || number, name, number || '@owner.example', 'rep'
                  FROM unnest(CAST(:names AS text[])) WITH ORDINALITY AS each (name, number)
            """),
            {"names": list(PEOPLE)},
        )


def _copy(db: Database, statement: str, path: Path, mode: str) -> None:
    with (
        owner(db.engine.url) as conn,
        closing(conn.connection.cursor()) as cursor,
        path.open(mode, encoding="utf-8") as file,
    ):
        cursor.copy_expert(statement, file)


def _in_own_process(url: str, export: Path, times: int) -> dict[str, Any]:
    found = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.imports", url, str(export), str(times)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    told: dict[str, Any] = json.loads(found.stdout)
    return told


def main() -> None:
    url, export, times = sys.argv[1:]
    db = Database(url)
    with db.read() as conn:
        admin = Actor(conn.scalar(sa.text("SELECT id FROM users WHERE role = 'admin'")), "admin", "Ada")
    seconds = []
    for _ in range(int(times)):
        upload = Upload(Path(export), "export.csv", today=date(2026, 11, 24))
        # The source and the columns are guessed; what the preview found is not used again.
        with Path(export).open("rb") as file:
            head = b"".join(line for line, _ in zip(file, range(100), strict=False))
        said = preview_import(db, admin, replace(upload, data=head))
        start = perf_counter()
        import_deals(db, admin, replace(said, upload=replace(said.upload, data=upload.data)))
        seconds.append(perf_counter() - start)
    db.close()
    peak = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    print(json.dumps({"seconds": seconds, "peak": int(peak[1]) * 1024 if peak else 0}))


if __name__ == "__main__":
    main()

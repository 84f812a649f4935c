"""A company in an embedded Postgres, for the full recalculation that a what-if is measured against."""

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import sqlalchemy as sa

from engine.db import migrate, server
from engine.db.database import Database
from engine.services.access import Actor
from tests.databases import Databases

PLAN = """
plan = "ae"
effective_from = 2026-01-01
currency = "USD"
pay_period = "month"

[[component]]
id = "nb"
kind = "quota"
quota_period = "quarter"
quota = 400000
tiers = [{ from = "0%", rate = "8%" }, { from = "50%", rate = "10%" }, { from = "100%", rate = "12%" }]
"""

_ROWS = (
    "INSERT INTO company (name, currency) VALUES ('Bench', 'USD')",
    """INSERT INTO users (code, name, email, role)
       SELECT format('p%s', n), format('Person %s', n), format('p%s@bench.example', n), 'rep'
         FROM generate_series(1, :people) n""",
    "INSERT INTO users (code, name, email, role) VALUES ('ada', 'Ada', 'ada@bench.example', 'admin')",
    "INSERT INTO plans (name, title) VALUES ('ae', 'AE')",
    """INSERT INTO plan_versions (plan_id, effective_from, document, hash, status, published_at)
       SELECT id, DATE '2026-01-01', :document, '', 'published', now() FROM plans""",
    """INSERT INTO plan_assignments (user_id, plan_id, start_date)
       SELECT u.id, p.id, DATE '2026-01-01' FROM users u, plans p WHERE u.role = 'rep'""",
    """INSERT INTO deals (source, external_id, name, owner_id, stage_id, amount, currency, close_date, type)
       SELECT 'crm', format('D%s', n), format('Deal %s', n),
              (SELECT min(id) FROM users WHERE role = 'rep') + n % :people,
              (SELECT id FROM pipeline_stages WHERE name = 'Closed Won'),
              (n::bigint * 7919 % 900000) * 100000 / :deals, 'USD', DATE '2026-01-01' + (n * 364 / :deals)::int, 'New'
         FROM generate_series(1, :deals) n""",
    "ANALYZE",
)


@contextmanager
def empty() -> Iterator[Database]:
    """An empty, migrated database, on the one server of all sections."""
    with _databases().one() as url:
        db = Database(url)
        yield db
        db.close()


@cache
def _databases() -> Databases:
    folder = Path(tempfile.mkdtemp(prefix="quotapath-bench-"))
    folder.chmod(0o711)  # root hands the data to another user, who must get there
    atexit.register(shutil.rmtree, folder)
    running = server.start(folder / "home", durable=False)
    atexit.register(running.stop)
    migrate.upgrade(running.url)
    found = Databases(running.url)
    atexit.register(found.close)
    return found


@contextmanager
def company(people: int, deals: int) -> Iterator[tuple[Database, Actor]]:
    """A database with these many reps and deals of 2026, and its admin."""
    with empty() as db:
        yield db, fill(db, people, deals)


def fill(db: Database, people: int, deals: int) -> Actor:
    """Make the company in an empty, migrated database; its admin."""
    with db.write() as conn:
        for statement in _ROWS:
            text = sa.text(statement.replace("::", r"\:\:"))
            names = text.compile().params
            values = {"people": people, "deals": deals, "document": PLAN}
            conn.execute(text, {name: value for name, value in values.items() if name in names})
        admin = conn.scalar(sa.text("SELECT id FROM users WHERE code = 'ada'"))
    return Actor(admin, "admin", "Ada")

"""Whether a service that commits has told: every change of the data has its audit entry, and so a new data version.

What is remembered (`engine.analytics.remembered`) is never stale because of that.  Each commit of a service, in any
test, is looked at just before it happens: PostgreSQL itself says which tables the transaction has written to.
"""

import sys
from pathlib import Path
from typing import Any

import sqlalchemy as sa

SERVICES = str(Path(__file__).parents[1] / "engine" / "services")
BETWEEN = ("sqlalchemy", "contextlib.py", "engine/db/database.py", "kept_changes.py")  # the commit and who asked for it

# What no figure of a screen depends on, or what says by itself who changed it and when.
UNTOLD = {
    "user_sessions": "signing in and out",
    "sign_in_failures": "signing in",
    "sign_in_tickets": "signing in",
    "api_tokens": "when one was last used; that one is made or revoked is told",
    "api_requests": "what was answered, for a request that comes again",
    "jobs": "how far a job is; what it changes is told by the job",
    "import_files": "a file in hand: nothing of it counts before it is imported",
    "import_pieces": "a file in hand",
    "import_file_refusals": "a file in hand",
    "import_mappings": "what was answered for a file in hand; an import that changes no deal keeps it too",
    "scenarios": "a plan on trial, kept: no figure but its own depends on it",
    "statements": "what a closed period comes to, written down; it can be worked out again",
    "statement_files": "a statement as PDF",
}

# What this session has counted and not reported yet; told to report before a transaction, it counts only that.
_REPORT = "SELECT pg_stat_force_next_flush()"
_WRITTEN = """
    SELECT relname FROM pg_stat_xact_user_tables
     WHERE schemaname = 'public' AND n_tup_ins + n_tup_upd + n_tup_del > 0
"""


def untold(written: set[str]) -> set[str]:
    """The tables among those that a transaction wrote to whose change should have been told and was not."""
    left = written - UNTOLD.keys()
    # With `audit.note` an entry about what no figure depends on raises no data version.
    return set() if {"audit", "company"} <= written or left == {"audit"} else left


def watch(engine: type[sa.Engine]) -> None:
    """Look at every transaction of a service from now on."""
    sa.event.listen(engine, "begin", _begin)
    sa.event.listen(engine, "commit", _look)


def _service() -> str | None:
    """Which service asks for what happens now; None when none does, but a test itself."""
    frame: Any = sys._getframe(1)
    while frame is not None and any(part in frame.f_code.co_filename for part in BETWEEN):
        frame = frame.f_back
    if frame is None or not frame.f_code.co_filename.startswith(SERVICES):
        return None
    return f"{Path(frame.f_code.co_filename).name}: {frame.f_code.co_name}"


def _ask(conn: sa.Connection, query: str) -> list[Any]:
    cursor = conn.connection.cursor()  # not through SQLAlchemy, which is at work
    cursor.execute(query)
    found = cursor.fetchall()
    cursor.close()
    return [row[0] for row in found]


def _begin(conn: sa.Connection) -> None:
    isolation = conn.get_execution_options().get("isolation_level")
    conn.info["watched"] = isolation is None and _service() is not None  # a write; neither a read nor autocommit
    if conn.info["watched"]:
        _ask(conn, _REPORT)
        conn.connection.rollback()  # the transaction itself has not begun


def _look(conn: sa.Connection) -> None:
    """Raises AssertionError, and so keeps nothing, when a service is about to keep a change that it has not told."""
    if not conn.info.get("watched"):
        return
    found = untold(set(_ask(conn, _WRITTEN)))
    assert not found, f"{_service()} changes {', '.join(sorted(found))} without engine.db.audit.record"

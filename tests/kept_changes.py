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
    "jobs": "how far a job is; what it changes is told by the job",
    "import_files": "a file in hand: nothing of it counts before it is imported",
    "import_pieces": "a file in hand",
    "import_file_refusals": "a file in hand",
    "import_mappings": "what was answered for a file in hand; an import that changes no deal keeps it too",
    "statements": "what a closed period comes to, written down; it can be worked out again",
    "statement_files": "a statement as PDF",
}

# Of this session, since a moment of PostgreSQL's own choosing: what a transaction adds is the difference.
_WRITES = """
    SELECT relname, n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_xact_user_tables WHERE schemaname = 'public'
"""


def untold(written: set[str]) -> set[str]:
    """The tables among those that a transaction wrote to whose change should have been told and was not."""
    return set() if {"audit", "company"} <= written else written - UNTOLD.keys()


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


def _writes(conn: sa.Connection) -> dict[str, int]:
    cursor = conn.connection.cursor()  # not through SQLAlchemy, which is at work
    cursor.execute(_WRITES)
    found = {row[0]: int(row[1]) for row in cursor.fetchall()}
    cursor.close()
    return found


def _begin(conn: sa.Connection) -> None:
    conn.info["writes"] = None
    isolation = conn.get_execution_options().get("isolation_level")
    if isolation is None and _service() is not None:  # a write; neither a read nor autocommit
        conn.info["writes"] = _writes(conn)


def _look(conn: sa.Connection) -> None:
    """Raises AssertionError, and so keeps nothing, when a service is about to keep a change that it has not told."""
    before = conn.info.get("writes")
    if before is None:
        return
    found = untold({table for table, count in _writes(conn).items() if count > before.get(table, 0)})
    assert not found, f"{_service()} changes {', '.join(sorted(found))} without engine.db.audit.record"

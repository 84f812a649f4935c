"""Bring a database to the shape this code needs (Alembic, one set of migrations, one transaction)."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from engine.db import roles
from engine.db.database import make_engine
from engine.errors import QuotaPathError

FOLDER = Path(__file__).parent / "migrations"
_LOCK = 7_201_884  # any number that no other program of this database uses


def upgrade(url: str) -> None:
    """Migrate the database at `url` to the newest revision; does nothing when it is there already.

    Safe to call from several processes at once (an advisory lock lets one through at a time).
    Raises QuotaPathError when the database was made by a newer version of the program, or its user may not make roles.
    """
    config = _config()
    engine = make_engine(url)
    try:
        with engine.begin() as conn:
            conn.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
            for revision in _revisions(conn):
                if revision not in known:
                    raise QuotaPathError(
                        f"The database is at revision {revision}, which this version of the program does not know: "
                        "it was used by a newer version. Update the program, or point DATABASE_URL at another database."
                    )
            roles.create(conn)
            config.attributes["connection"] = conn
            command.upgrade(config, "head")
            roles.grant(conn)
    finally:
        engine.dispose()


def newest_revision() -> str:
    """The revision that this program needs."""
    found = ScriptDirectory.from_config(_config()).get_current_head()
    if found is None:
        raise RuntimeError("there is no migration")
    return found


def current_revision(conn: sa.Connection) -> str | None:
    """The revision that the database is at; None when it is empty."""
    return next(iter(_revisions(conn)), None)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    return config


def _revisions(conn: sa.Connection) -> list[str]:
    if conn.scalar(sa.text("SELECT to_regclass('alembic_version')")) is None:
        return []
    return list(conn.scalars(sa.text("SELECT version_num FROM alembic_version")))

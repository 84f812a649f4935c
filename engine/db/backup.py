"""A whole database as one file, and back into an empty one: PostgreSQL's own pg_dump and pg_restore.

The backup is one moment of the data, taken while people work.  Neither a killed backup nor a killed restore leaves
half of anything: the file gets its name when it is complete, and the restore is one transaction.
"""

import os
import subprocess
from pathlib import Path

import sqlalchemy as sa

from engine.db import migrate, roles
from engine.db.database import make_engine
from engine.db.server import normalise, programs
from engine.errors import QuotaPathError


def backup(url: str, target: Path) -> None:
    """Write the database at `url` to `target`, which only its owner may read.

    Raises QuotaPathError when the file is there already, or cannot be written, with PostgreSQL's own words.
    """
    if target.exists():
        raise QuotaPathError(f"{target} is there already. Name a new file: a backup is never overwritten.")
    part = target.with_name(target.name + ".part")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    except OSError as error:
        raise QuotaPathError(f"{part} cannot be written: {error.strerror}. Name a file in another folder.") from error
    try:
        _run("pg_dump", url, "--format=custom", "--no-owner", "--no-privileges", f"--file={part}")
        _run("pg_restore", None, "--list", str(part))
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.rename(target)
    finally:
        part.unlink(missing_ok=True)


def restore(url: str, source: Path) -> None:
    """Fill the empty database at `url` from a backup, and bring it to the shape of this program; all or nothing.

    Raises QuotaPathError when the database is not empty, or the file is no backup or one of a newer version.
    """
    _require_empty(url)
    if not source.is_file():
        raise QuotaPathError(f"There is no file {source}. Name a backup that `make backup` has written.")
    _run("pg_restore", None, "--list", str(source))
    engine = make_engine(url)
    try:
        with engine.begin() as conn:
            roles.create(conn)  # the policies in the backup name them
    finally:
        engine.dispose()
    options = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges")
    _run("pg_restore", url, *options, str(source))
    migrate.upgrade(url)


def _require_empty(url: str) -> None:
    engine = make_engine(url)
    try:
        with engine.connect() as conn:
            tables = conn.scalar(sa.text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"))
    finally:
        engine.dispose()
    if tables:
        raise QuotaPathError(
            f"The database holds {tables} tables already; a backup is only restored into an empty one. "
            "Set QUOTAPATH_HOME to a new folder, or DATABASE_URL to a new database."
        )


def _run(program: str, url: str | None, *arguments: str) -> None:
    """Run one of PostgreSQL's programs; the password goes by the environment, where nobody else sees it."""
    command, environ = [str(programs() / program), *arguments], {**os.environ, "LC_ALL": "C"}
    if url is not None:
        parsed = sa.make_url(normalise(url)).set(drivername="postgresql")
        if parsed.password:
            environ["PGPASSWORD"] = str(parsed.password)
        command.append(f"--dbname={parsed.set(password=None).render_as_string(hide_password=False)}")
    done = subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        said = " ".join(done.stderr.split())[-600:]
        raise QuotaPathError(f"{program} failed, and nothing was changed: {said}")

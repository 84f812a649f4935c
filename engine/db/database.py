"""The way to Postgres: one engine, and transactions that either happen or do not."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import sqlalchemy as sa

from engine.db.server import normalise
from engine.errors import QuotaPathError


def make_engine(url: str) -> sa.Engine:
    """An engine for `url`, in any spelling of a Postgres URL; its sessions speak UTC.

    What statements were given stays out of errors, and so out of the log.
    """
    return sa.create_engine(
        normalise(url),
        hide_parameters=True,
        pool_size=10,
        max_overflow=20,
        pool_pre_ping=True,
        connect_args={"connect_timeout": 10, "options": "-c timezone=UTC -c jit=off"},
    )


def require_answer(url: str) -> None:
    """Raise QuotaPathError, with the reason and what to do, unless the database at `url` lets us in."""
    engine = sa.create_engine(normalise(url), connect_args={"connect_timeout": 10})
    try:
        engine.connect().close()
    except sa.exc.OperationalError as error:
        reason = " ".join(str(error.orig).split()).rstrip(".?")
        shown = engine.url.set(drivername="postgresql").render_as_string()
        raise QuotaPathError(
            f"Cannot connect to the database {shown}: {reason}. "
            "Check DATABASE_URL and that PostgreSQL runs; without DATABASE_URL the app starts one itself."
        ) from None
    finally:
        engine.dispose()


class Viewer(Protocol):
    """The person for whom a transaction reads and writes; `user_id` None is the program itself."""

    @property
    def user_id(self) -> int | None:
        """The user's id."""

    @property
    def role(self) -> str:
        """The user's role."""


class Database:
    """An open database.  `read` and `write` each give one connection inside one transaction, for `viewer`."""

    def __init__(self, url: str) -> None:
        self.engine = make_engine(url)

    @contextmanager
    def read(self, viewer: Viewer | None = None) -> Iterator[sa.Connection]:
        """A read-only transaction that sees one moment of the data throughout."""
        with self.engine.connect().execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        ) as conn:
            yield conn

    @contextmanager
    def write(self, viewer: Viewer | None = None) -> Iterator[sa.Connection]:
        """A transaction: kept whole when the block ends, gone without trace when it raises."""
        with self.engine.begin() as conn:
            yield conn

    @contextmanager
    def joined(self, viewer: Viewer | None = None) -> Iterator["Joined"]:
        """A transaction around several services: what each would commit is kept with all the others, or not at all."""
        with self.write(viewer) as conn:
            yield Joined(self.engine, conn)

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


class Joined(Database):
    """A database within a transaction that is open: `read` and `write` are parts of it, and commit nothing."""

    def __init__(self, engine: sa.Engine, conn: sa.Connection) -> None:
        self.engine, self._conn = engine, conn

    @contextmanager
    def read(self, viewer: Viewer | None = None) -> Iterator[sa.Connection]:
        """The open transaction."""
        yield self._conn

    @contextmanager
    def write(self, viewer: Viewer | None = None) -> Iterator[sa.Connection]:
        """The open transaction; whoever opened it keeps it, or gives it up when this raises."""
        yield self._conn

    def close(self) -> None:
        """Nothing: the connection is the outer transaction's."""

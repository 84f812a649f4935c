"""The way to Postgres: one engine, and transactions that either happen or do not."""

import select
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import psycopg2
import psycopg2.errors
import sqlalchemy as sa

from engine.db import roles
from engine.db.server import normalise
from engine.errors import QuotaPathError

_TRUSTED = 10  # seconds for which a connection that says nothing is taken to be alive


def make_engine(url: str, role: str = "") -> sa.Engine:
    """An engine for `url`, in any spelling of a Postgres URL; its sessions speak UTC and begin in `role`.

    What statements were given stays out of errors, and so out of the log.
    """
    engine = sa.create_engine(
        normalise(url),
        hide_parameters=True,
        pool_size=10,
        max_overflow=20,
        connect_args={
            "connect_timeout": 10,
            "options": "-c timezone=UTC -c jit=off" + (f" -c role={role}" if role else ""),
        },
    )
    sa.event.listen(engine, "checkout", _require_alive)
    sa.event.listen(engine, "handle_error", _say_what_cannot_be_kept)
    return engine


def _say_what_cannot_be_kept(context: sa.engine.ExceptionContext) -> None:
    """No text of PostgreSQL holds a null character or half of a character: who typed one is told so."""
    fault = context.original_exception
    null = type(fault) is ValueError and "NUL" in str(fault)
    if null or isinstance(fault, UnicodeEncodeError | psycopg2.errors.UntranslatableCharacter):
        raise QuotaPathError(
            "Nothing was saved: a text holds a character that cannot be kept (a null character, or half of one). "
            "Delete it, or type the text anew."
        ) from None


def _require_alive(connection: Any, record: Any, _: Any) -> None:
    """Let the pool connect anew where the server behind a connection has gone; asked of it only when in doubt.

    A server that ends says so: its end of the line is closed, which is seen here without a message to it and back.
    One that vanished with its machine or the line to it says nothing, so each connection is asked now and then.
    """
    now = time.monotonic()
    heard = select.poll()
    heard.register(connection, select.POLLIN)
    if not heard.poll(0) and now - record.info.get("asked", -_TRUSTED) < _TRUSTED:
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        connection.rollback()
    except psycopg2.Error as error:
        raise sa.exc.InvalidatePoolError(str(error)) from error  # all of them are older than its end
    record.info["asked"] = now


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
    """The person for whom a transaction reads and writes."""

    @property
    def user_id(self) -> int | None:
        """The user's id; None is the program itself."""

    @property
    def sees_everyone(self) -> bool:
        """Whether everyone is within reach; for anybody else PostgreSQL leaves the rows of some people."""


class Database:
    """An open database.  `read`, `write`, `trial` and `lasting` each give one connection.

    The first three are one transaction for `viewer`; without one it is the program's own, which sees everyone.  A
    connection got in any other way sees nothing.
    """

    def __init__(self, url: str) -> None:
        self.engine = make_engine(url, roles.NOBODY)

    @contextmanager
    def read(self, viewer: Viewer | None = None) -> Iterator[sa.Connection]:
        """A read-only transaction that sees one moment of the data throughout."""
        with self.engine.connect().execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        ) as conn:
            _seen_by(conn, viewer)
            yield conn

    @contextmanager
    def write(self, viewer: Viewer | None = None) -> Iterator[sa.Connection]:
        """A transaction: kept whole when the block ends, gone without trace when it raises."""
        with self.engine.begin() as conn:
            _seen_by(conn, viewer)
            yield conn

    @contextmanager
    def trial(self, viewer: Viewer | None = None) -> Iterator[sa.Connection]:
        """A transaction that sees one moment of the data, may change it, and is always taken back."""
        with self.engine.connect().execution_options(isolation_level="REPEATABLE READ") as conn:
            _seen_by(conn, viewer)
            yield conn

    @contextmanager
    def joined(self, viewer: Viewer | None = None) -> Iterator["Joined"]:
        """A transaction around several services: what each would commit is kept with all the others, or not at all."""
        with self.write(viewer) as conn:
            yield Joined(self.engine, conn, viewer)

    @contextmanager
    def lasting(self) -> Iterator[sa.Connection]:
        """A connection of the program's own in which every statement is kept at once; for locks that outlive these."""
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            conn.execute(sa.text(f"SET ROLE {roles.ALL}"))
            try:
                yield conn
            finally:
                if not conn.invalidated:
                    conn.execute(sa.text("RESET ROLE"))

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


class Joined(Database):
    """A database within a transaction that is open: `read` and `write` are parts of it, and commit nothing."""

    def __init__(self, engine: sa.Engine, conn: sa.Connection, viewer: Viewer | None) -> None:
        self.engine, self._conn, self._viewer = engine, conn, viewer

    @contextmanager
    def read(self, viewer: Viewer | None = None) -> Iterator[sa.Connection]:
        """The open transaction."""
        with self._part(viewer):
            yield self._conn

    @contextmanager
    def write(self, viewer: Viewer | None = None) -> Iterator[sa.Connection]:
        """The open transaction; whoever opened it keeps it, or gives it up when this raises."""
        with self._part(viewer):
            yield self._conn

    @contextmanager
    def trial(self, viewer: Viewer | None = None) -> Iterator[sa.Connection]:
        """The open transaction, from which what is changed here is taken back."""
        with self._part(viewer):
            before = self._conn.begin_nested()
            try:
                yield self._conn
            finally:
                before.rollback()

    @contextmanager
    def _part(self, viewer: Viewer | None) -> Iterator[None]:
        """The open transaction for `viewer`, then again for whom it was."""
        outer = self._viewer
        if viewer != outer:
            _seen_by(self._conn, viewer)
        self._viewer = viewer
        try:
            yield
        finally:
            self._viewer = outer
            if viewer != outer:
                with suppress(sa.exc.DBAPIError):  # an error of the database has ended the transaction
                    _seen_by(self._conn, outer)

    def close(self) -> None:
        """Nothing: the connection is the outer transaction's."""


def _seen_by(conn: sa.Connection, viewer: Viewer | None) -> None:
    """From here on the transaction is for `viewer`."""
    everyone = viewer is None or viewer.sees_everyone
    name = "" if viewer is None or viewer.user_id is None else str(int(viewer.user_id))
    # In each transaction, so as short as can be: one message, no rows back.
    role = roles.ALL if everyone else roles.WITHIN
    conn.exec_driver_sql(f"SET LOCAL ROLE {role}; SET LOCAL quotapath.viewer = '{name}'")
    conn.info["wall"] = "" if everyone else name


def wall(conn: sa.Connection) -> str:
    """Whose rows alone this transaction sees, as a key for what is remembered of them; "" when it sees everyone's."""
    found: str = conn.info["wall"]
    return found

"""Databases for tests, each empty but for what the migrations put there.

Making one copies some three hundred files, so a test gets the one that a test before it had, emptied again, under a new
name: what a process remembers of a database it keeps by its name.  A database whose structure was changed, or that has
grown, is thrown away.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import psycopg2
import sqlalchemy as sa
from psycopg2 import sql

_GROWN = 8 * 1024 * 1024  # bytes more than it had

# What the catalog says of everything in the database: any change of it leaves a row with a newer xmin, or one less.
_CATALOGS = ("class", "attribute", "attrdef", "constraint", "index", "trigger", "proc", "type", "policy", "rewrite")
_SHAPE = " UNION ALL ".join(
    f"SELECT '{name}', count(*), max(xmin::text::bigint) FROM pg_{name}" for name in _CATALOGS
)  # fmt: skip
_SIZE = "SELECT sum(pg_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
_TABLES = """
    SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition
       AND relnamespace = 'public'::regnamespace ORDER BY 1
"""
_SEQUENCES = "SELECT sequencename, start_value, last_value FROM pg_sequences WHERE schemaname = 'public' ORDER BY 1"


@dataclass(frozen=True)
class _Pristine:
    """A database as the template makes it."""

    shape: list[Any]
    size: int
    rows: dict[str, str | None]  # of each table: a digest of its rows, None when it has none
    sequences: list[Any]


class Databases:
    """The databases of one server; `url` is that of the template, to which nobody may be connected."""

    def __init__(self, url: str) -> None:
        self._url = sa.make_url(url)
        self.prefix = self._url.database
        self._admin = self._connect("postgres")
        self._numbers = count(1)
        self._kept: list[str] = []
        self._pristine: _Pristine | None = None

    def close(self) -> None:
        """Nothing more is asked of it."""
        for name in self._kept:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")
        self._admin.close()

    @contextmanager
    def one(self) -> Iterator[str]:
        """The URL of an empty database; it is another's afterwards."""
        name = f"{self.prefix}_{next(self._numbers)}"
        if not self._renamed(name):
            self._execute(f"CREATE DATABASE {name} TEMPLATE {self._url.database}")
            if self._pristine is None:
                with closing(self._connect(name)) as conn:
                    self._pristine = _pristine(conn)
        try:
            yield self._url.set(database=name).render_as_string(hide_password=False)
        finally:
            if self._emptied(name):
                self._kept.append(name)
            else:
                self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _renamed(self, name: str) -> bool:
        """Whether there was one to give that name to."""
        if not self._kept:
            return False
        kept = self._kept.pop()
        try:
            self._execute(f"ALTER DATABASE {kept} RENAME TO {name}")
        except psycopg2.Error:  # somebody came back to it
            self._execute(f"DROP DATABASE {kept} WITH (FORCE)")
            return False
        return True

    def _emptied(self, name: str) -> bool:
        """Whether the database is again as the template makes it."""
        try:
            self._end_connections(name)
            with closing(self._connect(name)) as conn:
                assert self._pristine is not None
                return _emptied(conn, self._pristine)
        except psycopg2.Error:
            return False

    def _end_connections(self, name: str) -> None:
        cursor = self._admin.cursor()
        cursor.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", (name,))

    def _connect(self, database: str) -> Any:
        found = psycopg2.connect(
            host=self._url.query["host"], port=self._url.query["port"], user=self._url.username, dbname=database
        )
        found.autocommit = True
        return found

    def _execute(self, statement: str) -> None:
        self._admin.cursor().execute(statement)


def _rows(conn: Any, query: str) -> list[Any]:
    cursor = conn.cursor()
    cursor.execute(query)
    found: list[Any] = cursor.fetchall()
    return found


def _pristine(conn: Any) -> _Pristine:
    tables = [name for (name,) in _rows(conn, _TABLES)]
    digests = {name: _rows(conn, _digest(conn, name))[0][0] for name in tables}
    return _Pristine(_rows(conn, _SHAPE), _rows(conn, _SIZE)[0][0], digests, _rows(conn, _SEQUENCES))


def _digest(conn: Any, table: str) -> str:
    query = sql.SQL("SELECT md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM {} t").format(sql.Identifier(table))
    found: str = query.as_string(conn)
    return found


def _emptied(conn: Any, pristine: _Pristine) -> bool:
    """Take out what came in, unless it is more than rows, or what was there at first is no longer as it was."""
    if _rows(conn, _SHAPE) != pristine.shape or _rows(conn, _SIZE)[0][0] > pristine.size + _GROWN:
        return False
    unlike = [
        name
        for name, digest in pristine.rows.items()
        if digest is not None and _rows(conn, _digest(conn, name))[0][0] != digest
    ]
    if unlike:
        return False
    empty = [name for name, digest in pristine.rows.items() if digest is None]
    asked = sql.SQL(", ").join(sql.SQL("EXISTS (SELECT FROM {})").format(sql.Identifier(name)) for name in empty)
    written = _rows(conn, sql.SQL("SELECT {}").format(asked).as_string(conn))[0]
    # As a replica: no trigger says that the audit log is never deleted from, and none looks for what refers to a row.
    statements = [sql.SQL("SET session_replication_role = replica")]
    statements += [
        sql.SQL("DELETE FROM {}").format(sql.Identifier(name))
        for name, is_written in zip(empty, written, strict=True)
        if is_written
    ]
    for before, now in zip(pristine.sequences, _rows(conn, _SEQUENCES), strict=True):
        if now != before:
            name, start, last = before
            value = (start, False) if last is None else (last, True)
            parts = map(sql.Literal, (f'"{name}"', *value))
            statements.append(sql.SQL("SELECT setval({}, {}, {})").format(*parts))
    conn.cursor().execute(sql.SQL("; ").join(statements))
    return True

"""Many rows at once, through COPY, inside the caller's transaction: into a table, or out into columns."""

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.csv as pc
import sqlalchemy as sa

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_CHUNK = 4096  # rows joined into one write
_BLOCK = 1 << 18  # bytes that the driver takes at a time


def copy_rows(conn: sa.Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Bring `rows` into `columns` of `table`; rows may come from a generator and are never held together.

    A value is None, a str, a number, a bool, a date or time (ISO by str), or a dict or list (as JSON).
    `table` and `columns` are names written in the program, never a user's.
    """
    copy_text(conn, table, columns, _encoded(rows))


def copy_text(conn: sa.Connection, table: str, columns: Sequence[str], chunks: Iterable[bytes]) -> None:
    """`copy_rows` of rows that are COPY's text already: chunks of whole or part lines, none of them held.

    PostgreSQL copies nothing into a table with row-level security: there the rows go through a temporary one.
    """
    names = ", ".join(columns)
    secured = "SELECT relrowsecurity FROM pg_class WHERE oid = CAST(:table AS regclass)"
    if not conn.scalar(sa.text(secured), {"table": table}):
        _copy(conn, f"{table} ({names})", chunks)
        return
    conn.execute(sa.text(f"CREATE TEMP TABLE coming AS SELECT {names} FROM {table} WITH NO DATA"))  # noqa: S608
    _copy(conn, "coming", chunks)
    conn.execute(sa.text(f"INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE SELECT * FROM coming"))  # noqa: S608
    conn.execute(sa.text("DROP TABLE coming"))


def _copy(conn: sa.Connection, target: str, chunks: Iterable[bytes]) -> None:
    with _cursor(conn) as cursor:
        cursor.copy_expert(f"COPY {target} FROM STDIN", _Reader(iter(chunks)), _BLOCK)


def escaped(text: str) -> str:
    """`text` as it stands in a field of COPY's text."""
    return text.translate(_ESCAPES)


def read_columns(
    conn: sa.Connection, query: str, params: Mapping[str, Any], types: Mapping[str, pa.DataType]
) -> pa.Table:
    """The result of `query` as Arrow columns, several times faster than rows; `types` names each column and its type.

    `params` fill ``%(name)s`` places, quoted by the driver.  NULL comes back as a null of the column's type.
    """
    file = io.BytesIO()
    with _cursor(conn) as cursor:
        bound = cursor.mogrify(query, dict(params)).decode()
        cursor.copy_expert(f"COPY ({bound}) TO STDOUT (FORMAT csv, NULL '\\N')", file)
    if not file.tell():
        return pa.table({name: pa.array([], kind) for name, kind in types.items()})
    file.seek(0)
    return pc.read_csv(
        file,
        read_options=pc.ReadOptions(column_names=list(types)),
        parse_options=pc.ParseOptions(newlines_in_values=True),
        convert_options=pc.ConvertOptions(
            column_types=dict(types), null_values=["\\N"], strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )


def _cursor(conn: sa.Connection) -> AbstractContextManager[Any]:
    """psycopg2's own cursor, which knows COPY, in the connection's transaction."""
    return closing(conn.connection.cursor())


def _encoded(rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    chunk: list[str] = []
    for row in rows:
        chunk.append("\t".join(map(_text, row)))
        if len(chunk) == _CHUNK:
            yield ("\n".join(chunk) + "\n").encode()
            chunk.clear()
    if chunk:
        yield ("\n".join(chunk) + "\n").encode()


def _text(value: Any) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, str):
        return value if value.isprintable() and "\\" not in value else value.translate(_ESCAPES)
    if isinstance(value, dict | list):
        return to_json(value).decode().translate(_ESCAPES)
    return str(value)


def to_json(value: Any) -> bytes:
    """`value` as JSON with sorted keys: the same bytes for the same value; many times faster than `json.dumps`."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # a whole number of more than 64 bits
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class _Reader:
    """The file that psycopg2 reads from, fed by an iterator of chunks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most ``size``; nothing at the end."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._rest = memoryview(chunk)
        if size < 0:
            size = len(self._rest)
        found, self._rest = self._rest[:size].tobytes(), self._rest[size:]
        return found

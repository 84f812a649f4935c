"""Bulk load through COPY: many rows into a table at the speed of the disk, inside the caller's transaction."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_CHUNK = 4096  # rows joined into one write


def copy_rows(conn: sa.Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """COPY `rows` into `columns` of `table`; rows may come from a generator and are never held together.

    A value is None, a str, a number, a bool, a date or time (ISO by str), or a dict or list (as JSON).
    `table` and `columns` are names written in the program, never a user's.
    """
    with conn.connection.cursor() as cursor:
        cursor.copy_expert(f"COPY {table} ({', '.join(columns)}) FROM STDIN", _Reader(_encoded(rows)))  # type: ignore[attr-defined]


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
        return value.translate(_ESCAPES)
    if isinstance(value, dict | list):
        return json.dumps(value).translate(_ESCAPES)
    return str(value)


class _Reader:
    """The file that psycopg2 reads from, fed by an iterator of chunks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        while (size < 0 or len(self._rest) < size) and (chunk := next(self._chunks, None)) is not None:
            self._rest += chunk
        if size < 0:
            size = len(self._rest)
        found, self._rest = self._rest[:size], self._rest[size:]
        return found

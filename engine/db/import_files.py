"""Large uploads, kept in pieces from the moment they arrive until they are imported or given up."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg2
import sqlalchemy as sa

from engine.db import bulk

PIECE = 1 << 20  # bytes
_DAYS_KEPT = 1

_JSON = {name: sa.bindparam(name, type_=sa.JSON) for name in ("said", "preview")}


@dataclass(frozen=True)
class KeptFile:
    """A kept upload.  ``said`` is what the person said about it; ``preview`` what the last check found, if any."""

    id: str
    filename: str
    size: int
    said: Mapping[str, Any]
    preview: Mapping[str, Any] | None
    job_id: str | None
    created_by: int


def add(conn: sa.Connection, filename: str, pieces: Iterable[bytes], user_id: int) -> str:
    """Keep a file; gives its id."""
    file_id: str = conn.scalar(sa.text("SELECT CAST(gen_random_uuid() AS text)"))
    conn.execute(
        sa.text(
            "INSERT INTO import_files (id, filename, size, created_by) VALUES (CAST(:id AS uuid), :name, 1, :user)"
        ),
        {"id": file_id, "name": filename, "user": user_id},
    )
    size = 0
    add_piece = sa.text(
        "INSERT INTO import_pieces (file_id, number, content) VALUES (CAST(:id AS uuid), :number, :piece)"
    )
    for number, piece in enumerate(pieces):
        conn.execute(add_piece, {"id": file_id, "number": number, "piece": psycopg2.Binary(piece)})
        size += len(piece)
    conn.execute(
        sa.text("UPDATE import_files SET size = :size WHERE id = CAST(:id AS uuid)"), {"id": file_id, "size": size}
    )
    return file_id


def find(conn: sa.Connection, file_id: str) -> KeptFile | None:
    """The kept file, or None when it is imported, given up or never was."""
    row = conn.execute(
        sa.text("""
            SELECT CAST(id AS text), filename, size, said, preview, CAST(job_id AS text), created_by
              FROM import_files WHERE CAST(id AS text) = :id
        """),
        {"id": file_id},
    ).one_or_none()
    return None if row is None else KeptFile(*row)


def of_user(conn: sa.Connection, user_id: int) -> str | None:
    """The id of the file that the person has in hand, the latest touched; None when there is none."""
    found: str | None = conn.scalar(
        sa.text("""
            SELECT CAST(id AS text) FROM import_files WHERE created_by = :user ORDER BY touched_at DESC, id LIMIT 1
        """),
        {"user": user_id},
    )
    return found


def pieces(conn: sa.Connection, file_id: str) -> Iterator[bytes]:
    """The file's content in order, a piece at a time."""
    query = sa.text("SELECT content FROM import_pieces WHERE file_id = CAST(:id AS uuid) AND number = :number")
    number = 0
    while (piece := conn.scalar(query, {"id": file_id, "number": number})) is not None:
        yield bytes(piece)
        number += 1


def say(conn: sa.Connection, file_id: str, said: Mapping[str, Any]) -> None:
    """Keep what the person says about the file; what was found before counts no more."""
    conn.execute(
        sa.text("""
            UPDATE import_files SET said = :said, preview = NULL, touched_at = now() WHERE id = CAST(:id AS uuid)
        """).bindparams(_JSON["said"]),
        {"id": file_id, "said": dict(said)},
    )


def set_job(conn: sa.Connection, file_id: str, job_id: str) -> None:
    """Name the job that works on the file now."""
    conn.execute(
        sa.text("""
            UPDATE import_files SET job_id = CAST(:job AS uuid), touched_at = now() WHERE id = CAST(:id AS uuid)
        """),
        {"id": file_id, "job": job_id},
    )


def keep_preview(
    conn: sa.Connection,
    file_id: str,
    preview: Mapping[str, Any],
    refusals: Iterable[tuple[int, str, list[tuple[str, str]]]],
) -> None:
    """Keep what a check found, with every refused row: (line, reason, pairs of column and cell)."""
    conn.execute(
        sa.text("UPDATE import_files SET preview = :preview WHERE id = CAST(:id AS uuid)").bindparams(_JSON["preview"]),
        {"id": file_id, "preview": dict(preview)},
    )
    conn.execute(sa.text("DELETE FROM import_file_refusals WHERE file_id = CAST(:id AS uuid)"), {"id": file_id})
    bulk.copy_rows(
        conn,
        "import_file_refusals",
        ("file_id", "line", "reason", "raw"),
        ((file_id, line, reason, raw) for line, reason, raw in refusals),
    )


def refusal_columns(conn: sa.Connection, file_id: str) -> list[str]:
    """The columns of the rows that the last check refuses; a nameless last one where a row has a cell too many."""
    query = sa.text("""
        SELECT raw FROM import_file_refusals WHERE file_id = CAST(:id AS uuid)
         ORDER BY jsonb_array_length(raw) DESC LIMIT 1
    """)
    return list(dict.fromkeys(name for name, _ in conn.scalar(query, {"id": file_id}) or ()))


def refusals(conn: sa.Connection, file_id: str) -> Iterator[Any]:
    """The rows that the last check refuses: line, reason, raw; by line, and never all in memory."""
    query = sa.text("""
        SELECT line, reason, raw FROM import_file_refusals WHERE file_id = CAST(:id AS uuid) ORDER BY line
    """)
    yield from conn.execution_options(yield_per=1000).execute(query, {"id": file_id})


def delete_content(conn: sa.Connection, file_id: str) -> None:
    """Forget what the file holds; that it was there stays until the person has seen what became of it."""
    for table in ("import_pieces", "import_file_refusals"):
        conn.execute(sa.text(f"DELETE FROM {table} WHERE file_id = CAST(:id AS uuid)"), {"id": file_id})  # noqa: S608


def delete(conn: sa.Connection, file_id: str) -> None:
    """Forget the file."""
    conn.execute(sa.text("DELETE FROM import_files WHERE id = CAST(:id AS uuid)"), {"id": file_id})


def delete_abandoned(conn: sa.Connection, user_id: int) -> None:
    """Forget what the person had in hand so far, and files to which nobody came back for a day.

    Not those on which a job still works.
    """
    conn.execute(
        sa.text("""
            DELETE FROM import_files f
             WHERE (created_by = :user OR touched_at < now() - make_interval(days => :days))
               AND NOT EXISTS (SELECT FROM jobs j WHERE j.id = f.job_id AND j.status IN ('queued', 'running'))
        """),
        {"user": user_id, "days": _DAYS_KEPT},
    )

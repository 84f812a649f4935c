"""A file of deals, compared with what is kept and taken in as a whole: COPY, then a few statements on all rows.

The rows go into a temporary table that ends with the transaction, so a preview leaves nothing behind.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from engine.db import bulk

# Columns of a deal that a file can fill, in the order of `load`; `extra` follows them.
COLUMNS = (
    "name", "account", "owner_id", "stage_id", "amount", "margin", "currency", "quantity_micro", "close_date",
    "created_date", "type", "product", "segment", "term_months",
)  # fmt: skip

ALL = (*COLUMNS, "extra")
_LINES = 100_000  # lines of the file that are written at a time

_INCOMING = sa.text("""
    CREATE TEMP TABLE incoming (
        line integer, external_id text, name text, account text, owner_id bigint, stage_id bigint, amount bigint,
        margin bigint, currency text, quantity_micro bigint, close_date date, created_date date, type text,
        product text, segment text, term_months integer, extra jsonb
    ) ON COMMIT DROP
""")
# Every row of the file beside its deal: <new> is what each column becomes, <changes> what that changes.
_COMPARE = """
    CREATE TEMP TABLE compared ON COMMIT DROP AS
    WITH found AS (
        SELECT i.line, CAST(:source AS text) AS source, i.external_id, d.id AS deal_id, d.version, d.cancelled_on,
               <old>, <new>
          FROM incoming i LEFT JOIN deals d ON d.source = :source AND d.external_id = i.external_id
    )
    SELECT line, source, external_id, deal_id, version, old_close_date, old_currency, <columns>,
           -- The table of deals refuses it; the file is told why instead.
           CASE WHEN cancelled_on < close_date THEN cancelled_on END AS cancelled_before,
           CASE WHEN deal_id IS NOT NULL AND (<olds>) IS DISTINCT FROM (<columns>)
                THEN (SELECT jsonb_object_agg(field, change)
                        FROM (VALUES <changes>) AS each (field, change) WHERE change IS NOT NULL) END AS changes
      FROM found
"""
_COUNT = sa.text("""
    SELECT count(*) FILTER (WHERE deal_id IS NULL) AS added,
           count(*) FILTER (WHERE changes IS NOT NULL AND cancelled_before IS NULL) AS changed,
           count(*) FILTER (WHERE deal_id IS NOT NULL AND changes IS NULL) AS unchanged
      FROM compared
""")
_REFUSED = sa.text("""
    SELECT line, cancelled_before, close_date FROM compared
     WHERE cancelled_before IS NOT NULL AND changes IS NOT NULL ORDER BY line
""")
# Closed pay periods that hold a deal which the file adds or changes.
_CLOSED = sa.text("""
    SELECT p.period FROM pay_periods p
     WHERE p.status <> 'open'
       AND EXISTS (SELECT FROM compared c
                    WHERE (c.deal_id IS NULL OR (c.changes IS NOT NULL AND c.cancelled_before IS NULL))
                      AND ((c.close_date >= p.start_date AND c.close_date < p.end_date)
                           OR (c.old_close_date >= p.start_date AND c.old_close_date < p.end_date)))
     ORDER BY p.start_date
""")
_MONTHS = sa.text("""
    SELECT DISTINCT to_char(day, 'YYYY-MM')
      FROM compared c CROSS JOIN LATERAL (VALUES (c.close_date), (c.old_close_date)) AS each (day)
     WHERE day IS NOT NULL
       AND (c.deal_id IS NULL OR (c.changes IS NOT NULL AND c.cancelled_before IS NULL))
     ORDER BY 1 DESC
""")
_ELSEWHERE = sa.text("""
    SELECT d.source, count(*) AS deals FROM compared c JOIN deals d ON d.external_id = c.external_id
     WHERE c.deal_id IS NULL AND d.source <> :source GROUP BY 1 ORDER BY 2 DESC
""")
_ADDED = sa.text("""
    SELECT c.line, c.name, c.account, u.name AS owner, s.name AS stage, c.amount, c.currency, c.close_date
      FROM compared c JOIN users u ON u.id = c.owner_id JOIN pipeline_stages s ON s.id = c.stage_id
     WHERE c.deal_id IS NULL ORDER BY c.line LIMIT :limit
""")
_CHANGED = sa.text("""
    SELECT line, external_id, name, old_currency, currency, changes FROM compared
     WHERE changes IS NOT NULL AND cancelled_before IS NULL ORDER BY line LIMIT :limit
""")
# How the deals would be after the import; what is new has the line of the file, negative, for its id.
_AFTER = f"""
    CREATE TEMP VIEW deals_after AS
    SELECT d.id, d.source, d.external_id, d.cancelled_on,
           {", ".join(f"CASE WHEN c.deal_id IS NULL THEN d.{name} ELSE c.{name} END AS {name}" for name in ALL)}
      FROM deals d LEFT JOIN compared c ON c.deal_id = d.id AND c.changes IS NOT NULL AND c.cancelled_before IS NULL
     UNION ALL
    SELECT -line, source, external_id, NULL, {", ".join(ALL)} FROM compared WHERE deal_id IS NULL
"""  # noqa: S608 - the names are this module's own
# The rest is written some lines of the file at a time, so that it can be told how far it is.
_PART = "line > :after AND line <= :upto"
_INSERT = f"""
    WITH added AS (
        INSERT INTO deals (source, external_id, import_id, {", ".join(ALL)})
        SELECT source, external_id, :import_id, {", ".join(ALL)} FROM compared WHERE deal_id IS NULL AND {_PART}
        RETURNING id, source, stage_id
    ), told AS (
        INSERT INTO deal_changes (deal_id, user_id, import_id, changes)
        SELECT id, :user_id, :import_id, jsonb_build_object('created', jsonb_build_array(NULL, source)) FROM added
    )
    INSERT INTO deal_stage_entries (deal_id, stage_id, entered_at) SELECT id, stage_id, now() FROM added
"""  # noqa: S608 - the names are this module's own
_UPDATE = f"""
    UPDATE deals d SET version = d.version + 1, updated_at = now(), import_id = :import_id,
           {", ".join(f"{name} = c.{name}" for name in ALL)}
      FROM compared c
     WHERE d.id = c.deal_id AND d.version = c.version AND c.changes IS NOT NULL AND c.cancelled_before IS NULL
       AND {_PART}
"""  # noqa: S608 - the names are this module's own
_HISTORY = sa.text("""
    INSERT INTO deal_changes (deal_id, user_id, import_id, changes)
    SELECT deal_id, :user_id, :import_id, changes FROM compared
     WHERE changes IS NOT NULL AND cancelled_before IS NULL
""")
_STAGES = sa.text("""
    INSERT INTO deal_stage_entries (deal_id, stage_id, entered_at)
    SELECT deal_id, stage_id, now() FROM compared
     WHERE changes ? 'stage_id' AND cancelled_before IS NULL
""")


@dataclass(frozen=True)
class Counts:
    added: int
    changed: int
    unchanged: int


@dataclass(frozen=True)
class Touched:
    """Where an import adds or changes deals: months (2026-10), the latest first, and closed pay periods."""

    months: tuple[str, ...]
    closed_periods: tuple[str, ...]


@dataclass(frozen=True)
class Saved:
    """What was once answered about a source: field -> column, owner of the file -> user id, stage -> stage id."""

    mapping: Mapping[str, str]
    owners: Mapping[str, int]
    stages: Mapping[str, int]


# ---------------------------------------------------------------- comparing
def load(conn: sa.Connection, rows: Iterable[Sequence[Any]]) -> None:
    """COPY rows of (line, external id, `COLUMNS`..., extra) into the temporary table ``incoming``."""
    conn.execute(sa.text("SET LOCAL work_mem = '128MB'"))  # a million rows are joined and sorted in memory
    conn.execute(_INCOMING)
    bulk.copy_rows(conn, "incoming", ("line", "external_id", *COLUMNS, "extra"), rows)
    conn.execute(sa.text("ANALYZE incoming"))


def compare(
    conn: sa.Connection, source: str, mapped: Collection[str], extra: Sequence[str], kept: tuple[str, list[str]] | None
) -> Counts:
    """Compare what was loaded with the deals of the source, into the temporary table ``compared``.

    ``mapped`` are the columns that the file fills; the others of a known deal stay.  ``extra`` are the names
    of the file's further columns: of a known deal these are replaced, blank ones removed, all others stay.
    ``kept`` (the currency of amounts that name none, currencies): a row in that currency leaves a deal in one
    of these currencies as it is; None: the file has a column that says it.
    """
    new = {
        name: f"i.{name}" if name in mapped else f"CASE WHEN d.id IS NULL THEN i.{name} ELSE d.{name} END"
        for name in COLUMNS
    }
    if kept is not None:
        stays = "d.id IS NOT NULL AND i.currency = :default AND d.currency = ANY(:kept)"
        new["currency"] = f"CASE WHEN {stays} THEN d.currency ELSE i.currency END"
    new["extra"] = "CASE WHEN d.id IS NULL THEN i.extra ELSE (d.extra - CAST(:extra AS text[])) || i.extra END"
    changes = ", ".join(
        f"('{name}', CASE WHEN old_{name} IS DISTINCT FROM {name} THEN jsonb_build_array(old_{name}, {name}) END)"
        for name in new
    )
    query = _COMPARE
    for mark, text in (
        ("<olds>", ", ".join(f"old_{name}" for name in new)),
        ("<old>", ", ".join(f"d.{name} AS old_{name}" for name in new)),
        ("<new>", ", ".join(f"{value} AS {name}" for name, value in new.items())),
        ("<columns>", ", ".join(new)),
        ("<changes>", changes),
    ):
        query = query.replace(mark, text)
    default, currencies = kept or ("", [])
    conn.execute(sa.text(query), {"source": source, "extra": list(extra), "default": default, "kept": currencies})
    conn.execute(sa.text("ANALYZE compared"))
    row = conn.execute(_COUNT).one()
    return Counts(row.added, row.changed, row.unchanged)


def cancelled_rows(conn: sa.Connection) -> list[Any]:
    """Rows that cannot be taken, because the deal was cancelled before its new close date: line, both dates."""
    return list(conn.execute(_REFUSED))


def touched(conn: sa.Connection) -> Touched:
    """The months and closed periods in which the file adds or changes a deal, or from which it takes one away."""
    return Touched(tuple(conn.scalars(_MONTHS)), tuple(conn.scalars(_CLOSED)))


def known_elsewhere(conn: sa.Connection, source: str) -> list[tuple[str, int]]:
    """(source, deals): new rows whose id a deal of another source has."""
    return [(row.source, row.deals) for row in conn.execute(_ELSEWHERE, {"source": source})]


def added_rows(conn: sa.Connection, limit: int) -> list[Any]:
    """The first new deals: line, name, account, owner, stage, amount, currency, close_date."""
    return list(conn.execute(_ADDED, {"limit": limit}))


def deals_after(conn: sa.Connection) -> str:
    """A temporary view with the columns of ``deals`` as they would be after the import; gives its name."""
    conn.execute(sa.text(_AFTER))
    return "deals_after"


def deal_count(conn: sa.Connection) -> int:
    """How many deals there are, of all sources."""
    return conn.scalar(sa.text("SELECT count(*) FROM deals")) or 0


def changed_rows(conn: sa.Connection, limit: int) -> list[Any]:
    """The first changed deals: line, external_id, name, old_currency, currency, changes."""
    return list(conn.execute(_CHANGED, {"limit": limit}))


# ---------------------------------------------------------------- keeping
def lock_source(conn: sa.Connection, source: str) -> None:
    """Wait for other imports of the source, and keep them waiting until the transaction ends."""
    conn.execute(
        sa.text("SELECT pg_advisory_xact_lock(hashtextextended('import of ' || :source, 0))"), {"source": source}
    )


def add_import(
    conn: sa.Connection,
    source: str,
    filename: str,
    file_hash: bytes,
    mapping: Mapping[str, str],
    counts: Counts,
    refused: int,
    touched: Touched,
    user_id: int | None,
    job_id: str | None = None,
) -> int:
    """The record of an import; gives its id."""
    found: int = conn.scalar(
        sa.text("""
            INSERT INTO imports (source, filename, file_hash, mapping, added, changed, unchanged, refused, months,
                                 closed_periods, created_by, job_id)
            VALUES (:source, :filename, :hash, :mapping, :added, :changed, :unchanged, :refused, :months, :closed,
                    :user, CAST(:job AS uuid)) RETURNING id
        """).bindparams(sa.bindparam("mapping", type_=sa.JSON)),
        {
            "source": source,
            "filename": filename,
            "hash": file_hash,
            "mapping": dict(mapping),
            "added": counts.added,
            "changed": counts.changed,
            "unchanged": counts.unchanged,
            "refused": refused,
            "months": list(touched.months),
            "closed": list(touched.closed_periods),
            "user": user_id,
            "job": job_id,
        },
    )
    return found


def import_of_job(conn: sa.Connection, job_id: str) -> Any | None:
    """What the job has imported: id, added, changed, unchanged, refused, months, closed_periods; None: nothing yet."""
    return conn.execute(
        sa.text("""
            SELECT id, added, changed, unchanged, refused, months, closed_periods FROM imports
             WHERE job_id = CAST(:job AS uuid)
        """),
        {"job": job_id},
    ).one_or_none()


def keep(
    conn: sa.Connection, import_id: int, user_id: int | None, tell: Callable[[int, int], None] = lambda _at, _of: None
) -> int:
    """Write what was compared: new and changed deals, their history and passage; gives how many were changed.

    Fewer than counted: somebody changed a deal between the comparison and now.  `tell` hears of the lines done
    and in all.
    """
    params = {"import_id": import_id, "user_id": user_id}
    last = conn.scalar(sa.text("SELECT max(line) FROM compared")) or 0
    changed = 0
    for after in range(0, last, _LINES):
        tell(after, last)
        part = {**params, "after": after, "upto": after + _LINES}
        conn.execute(sa.text(_INSERT), part)
        changed += conn.execute(sa.text(_UPDATE), part).rowcount
    tell(last, last)
    conn.execute(_HISTORY, params)
    conn.execute(_STAGES, params)
    return changed


def add_refusals(
    conn: sa.Connection, import_id: int, refusals: Iterable[tuple[int, str, Sequence[tuple[str, str]]]]
) -> None:
    """Keep the rows that were left out: (line, reason, the row as it came: pairs of column and cell)."""
    bulk.copy_rows(
        conn,
        "import_refusals",
        ("import_id", "line", "reason", "raw"),
        ((import_id, line, reason, list(raw)) for line, reason, raw in refusals),
    )


def saved(conn: sa.Connection, source: str) -> Saved:
    """What is remembered of the source; empty when nothing is."""
    row = conn.execute(
        sa.text("SELECT mapping, owners, stages FROM import_mappings WHERE source = :source"), {"source": source}
    ).first()
    return Saved(row.mapping, row.owners, row.stages) if row else Saved({}, {}, {})


def remember(conn: sa.Connection, source: str, answers: Saved, user_id: int | None) -> None:
    """Keep the mapping, and the owners and stages beside those known already."""
    jsons = [sa.bindparam(name, type_=sa.JSON) for name in ("mapping", "owners", "stages")]
    conn.execute(
        sa.text("""
            INSERT INTO import_mappings AS m (source, mapping, owners, stages, updated_by)
            VALUES (:source, :mapping, :owners, :stages, :user)
            ON CONFLICT (source) DO UPDATE SET mapping = excluded.mapping, owners = m.owners || excluded.owners,
                stages = m.stages || excluded.stages, updated_by = excluded.updated_by, updated_at = now()
        """).bindparams(*jsons),
        {
            "source": source,
            "mapping": dict(answers.mapping),
            "owners": dict(answers.owners),
            "stages": dict(answers.stages),
            "user": user_id,
        },
    )


def earlier_import(conn: sa.Connection, source: str, file_hash: bytes) -> Any | None:
    """The latest import of the very same file: filename, created_at, who; None when it is new."""
    return conn.execute(
        sa.text("""
            SELECT i.filename, i.created_at, u.name AS who FROM imports i JOIN users u ON u.id = i.created_by
             WHERE i.source = :source AND i.file_hash = :hash AND i.undone_at IS NULL ORDER BY i.id DESC LIMIT 1
        """),
        {"source": source, "hash": file_hash},
    ).first()


def sources(conn: sa.Connection) -> list[str]:
    """The sources from which something was imported."""
    return list(conn.scalars(sa.text("SELECT source FROM import_mappings ORDER BY source")))


def currencies(conn: sa.Connection, source: str) -> list[str]:
    """The currencies of a source's deals."""
    return list(conn.scalars(sa.text("SELECT DISTINCT currency FROM deals WHERE source = :source"), {"source": source}))


def people(conn: sa.Connection) -> list[tuple[int, str, str]]:
    """(id, name, e-mail) of every user: those who left still own deals."""
    return [tuple(row) for row in conn.execute(sa.text("SELECT id, name, email FROM users ORDER BY name, id"))]


def stages(conn: sa.Connection) -> list[tuple[int, str, str]]:
    """(id, name, outcome) of every pipeline stage that is not retired, in order."""
    query = "SELECT id, name, outcome FROM pipeline_stages WHERE retired_at IS NULL ORDER BY position"
    return [tuple(row) for row in conn.execute(sa.text(query))]


# ---------------------------------------------------------------- looking back
def history(conn: sa.Connection, limit: int) -> list[Any]:
    """The latest imports: id, created_at, who, source, filename, added, changed, unchanged, refused, undone_at."""
    return list(
        conn.execute(
            sa.text("""
                SELECT i.id, i.created_at, u.name AS who, i.source, i.filename,
                       i.added, i.changed, i.unchanged, i.refused, i.undone_at
                  FROM imports i JOIN users u ON u.id = i.created_by ORDER BY i.id DESC LIMIT :limit
            """),
            {"limit": limit},
        )
    )


def refusal_columns(conn: sa.Connection, import_id: int) -> list[str]:
    """The columns of the rows that an import left out; a nameless last one where a row has a cell too many."""
    query = sa.text("""
        SELECT raw FROM import_refusals WHERE import_id = :id ORDER BY jsonb_array_length(raw) DESC LIMIT 1
    """)
    return list(dict.fromkeys(name for name, _ in conn.scalar(query, {"id": import_id}) or ()))


def refusals(conn: sa.Connection, import_id: int) -> Iterator[Any]:
    """The rows that an import left out: line, reason, raw; by line, and never all in memory."""
    query = sa.text("SELECT line, reason, raw FROM import_refusals WHERE import_id = :id ORDER BY line, reason")
    yield from conn.execution_options(yield_per=1000).execute(query, {"id": import_id})

"""Past imports: what each did to which deal, and undoing one; what is remembered of a source.

An import's own entries in ``deal_changes`` carry its id and were written at its moment; those of its undoing carry
the id and a later one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from engine.db.deal_imports import ALL

_NAMED = 20  # deals that a refusal names; all are counted
_DEALS = 20_000  # deals that are taken back at a time


@dataclass(frozen=True)
class Batch:
    """One import; ``undone_at`` and ``undone_by`` (a name) when it was undone."""

    id: int
    source: str
    filename: str
    added: int
    changed: int
    unchanged: int
    refused: int
    months: Sequence[str]
    who: str
    created_at: datetime
    undone_at: datetime | None
    undone_by: str | None


@dataclass(frozen=True)
class Obstacle:
    """Deals that keep an import from being undone: the first by name, with what stands in the way, and how many."""

    count: int
    deals: tuple[tuple[str, str], ...]  # (deal, what of it)


_BATCH = """
    SELECT i.id, i.source, i.filename, i.added, i.changed, i.unchanged, i.refused, i.months, u.name, i.created_at,
           i.undone_at, w.name
      FROM imports i JOIN users u ON u.id = i.created_by LEFT JOIN users w ON w.id = i.undone_by
     WHERE i.id = :id
"""
_ROWS = """
    SELECT d.id, d.external_id, d.name, d.account, u.name AS owner, s.name AS stage, d.amount, d.currency, d.close_date,
           c.changes
      FROM imports i JOIN deal_changes c ON c.import_id = i.id AND c.at = i.created_at
      JOIN deals d ON d.id = c.deal_id JOIN users u ON u.id = d.owner_id JOIN pipeline_stages s ON s.id = d.stage_id
     WHERE i.id = :id AND (c.changes ? 'created') = :added
     ORDER BY c.id LIMIT :limit OFFSET :offset
"""
_UNDOING = sa.text("""
    CREATE TEMP TABLE undoing ON COMMIT DROP AS
    SELECT row_number() OVER (ORDER BY c.id) AS place, c.id AS change_id, c.deal_id, d.version, c.changes,
           c.changes ? 'created' AS added
      FROM imports i JOIN deal_changes c ON c.import_id = i.id AND c.at = i.created_at JOIN deals d ON d.id = c.deal_id
     WHERE i.id = :id
""")
# What keeps a deal from going back.  Each gives the deal's name and what of it to say.
_LATER = """
    SELECT d.external_id || ' ' || d.name AS deal, later.what
      FROM undoing u JOIN deals d ON d.id = u.deal_id
      JOIN LATERAL (
           SELECT coalesce(w.name, 'The program') || to_char(l.at, ', YYYY-MM-DD HH24:MI "UTC"') AS what
             FROM deal_changes l LEFT JOIN users w ON w.id = l.user_id LEFT JOIN imports i ON i.id = l.import_id
            WHERE l.deal_id = u.deal_id AND l.id > u.change_id
              AND i.undone_at IS NULL  -- a later import and its undoing leave the deal as it was
            ORDER BY l.id DESC LIMIT 1) later ON true
"""
_CLOSED = """
    SELECT d.external_id || ' ' || d.name AS deal, string_agg(DISTINCT p.period, ', ' ORDER BY p.period) AS what
      FROM undoing u JOIN deals d ON d.id = u.deal_id JOIN lines l ON l.deal_id = u.deal_id
      JOIN pay_periods p ON p.run_id = l.run_id AND p.status <> 'open'
     GROUP BY d.id
"""
_ACTIVE = """
    SELECT d.external_id || ' ' || d.name AS deal, count(*) || ' logged' AS what
      FROM undoing u JOIN deals d ON d.id = u.deal_id JOIN activities a ON a.deal_id = u.deal_id
     WHERE u.added GROUP BY d.id
"""
OBSTACLES: Mapping[str, str] = {"later": _LATER, "closed": _CLOSED, "active": _ACTIVE}

# Open periods whose run stands on a deal that will go: their figures are wrong from now on, so they show none.
_UNSHOWN = sa.text("""
    UPDATE pay_periods p SET run_id = NULL
     WHERE p.status = 'open'
       AND EXISTS (SELECT FROM undoing u JOIN lines l ON l.deal_id = u.deal_id WHERE u.added AND l.run_id = p.run_id)
    RETURNING p.period
""")

# Open periods that `_UNSHOWN` would take the run from; and those that an undoing took it from, and that show none yet.
_STANDING = """
    SELECT p.period FROM pay_periods p
     WHERE p.status = 'open'
       AND EXISTS (SELECT FROM imports i JOIN deal_changes c ON c.import_id = i.id AND c.at = i.created_at
                     JOIN lines l ON l.deal_id = c.deal_id
                    WHERE i.id = :id AND c.changes ? 'created' AND l.run_id = p.run_id)
     ORDER BY p.period
"""
_BARE = """
    SELECT p.period FROM imports i JOIN audit a ON a.at = i.undone_at AND a.object = 'import ' || i.id
      JOIN pay_periods p ON jsonb_exists(a.detail -> 'run_again', p.period)
     WHERE i.id = :id AND p.run_id IS NULL
     ORDER BY p.period
"""

_PART = "u.place > :after AND u.place <= :upto"
_DELETE = f"""
    DELETE FROM deals d USING undoing u WHERE d.id = u.deal_id AND d.version = u.version AND u.added AND {_PART}
"""  # noqa: S608 - the names are this module's own
_TYPES = {
    "owner_id": "bigint", "stage_id": "bigint", "amount": "bigint", "margin": "bigint", "quantity_micro": "bigint",
    "close_date": "date", "created_date": "date", "term_months": "integer", "currency": "char(3)", "extra": "jsonb",
}  # fmt: skip


def _before(name: str) -> str:
    """The column as it was before the import."""
    old = f"CAST(u.changes -> '{name}' ->> 0 AS {_TYPES.get(name, 'text')})"
    return f"CASE WHEN u.changes ? '{name}' THEN {old} ELSE d.{name} END"


_RESTORE = f"""
    UPDATE deals d SET version = d.version + 1, updated_at = now(),
           {", ".join(f"{name} = {_before(name)}" for name in ALL)},
           import_id = (SELECT max(c.import_id) FROM deal_changes c WHERE c.deal_id = d.id AND c.import_id < :id)
      FROM undoing u WHERE d.id = u.deal_id AND d.version = u.version AND NOT u.added AND {_PART}
"""  # noqa: S608 - the names are this module's own
_TOLD = sa.text("""
    INSERT INTO deal_changes (deal_id, user_id, import_id, changes)
    SELECT deal_id, :user, :id,
           (SELECT jsonb_object_agg(key, jsonb_build_array(value -> 1, value -> 0)) FROM jsonb_each(changes))
      FROM undoing WHERE NOT added
""")
# The import's entry into a stage never happened; the one before it stands again.
_PASSAGE = sa.text("""
    DELETE FROM deal_stage_entries e USING undoing u, imports i
     WHERE i.id = :id AND e.deal_id = u.deal_id AND NOT u.added AND u.changes ? 'stage_id'
       AND e.entered_at = i.created_at AND e.stage_id = CAST(u.changes -> 'stage_id' ->> 1 AS bigint)
""")


def find(conn: sa.Connection, import_id: int, *, lock: bool = False) -> Batch | None:
    """The import; ``lock`` keeps others from undoing it until the transaction ends."""
    row = conn.execute(sa.text(_BATCH + (" FOR UPDATE OF i" if lock else "")), {"id": import_id}).one_or_none()
    return None if row is None else Batch(*row)


def rows(conn: sa.Connection, import_id: int, added: bool, limit: int, offset: int) -> list[Any]:
    """Deals that the import added (or changed) and that are still here, in its order, a page of them.

    id, external_id, name, account, owner, stage, amount, currency, close_date as they are now; changes by the import.
    """
    query = sa.text(_ROWS)
    return list(conn.execute(query, {"id": import_id, "added": added, "limit": limit, "offset": offset}))


def refused_rows(conn: sa.Connection, import_id: int, limit: int, offset: int) -> list[Any]:
    """Rows that the import left out, by line, a page of them: line, reason (and in a second line the remedy), raw."""
    query = sa.text("""
        SELECT line, reason, raw FROM import_refusals WHERE import_id = :id ORDER BY line, reason
         LIMIT :limit OFFSET :offset
    """)
    return list(conn.execute(query, {"id": import_id, "limit": limit, "offset": offset}))


def begin_undo(conn: sa.Connection, import_id: int) -> int:
    """Gather the deals of the import in the temporary table ``undoing``; gives how many there are."""
    # Runs and approvals wait until this is over.
    conn.execute(sa.text("LOCK TABLE pay_periods IN EXCLUSIVE MODE"))
    conn.execute(_UNDOING, {"id": import_id})
    conn.execute(sa.text("CREATE INDEX ON undoing (deal_id)"))
    conn.execute(sa.text("ANALYZE undoing"))
    return conn.scalar(sa.text("SELECT count(*) FROM undoing")) or 0


def obstacles(conn: sa.Connection) -> dict[str, Obstacle]:
    """What keeps the gathered deals from going back, by kind: later, closed, active."""
    found = {}
    for kind, query in OBSTACLES.items():
        named = conn.execute(
            sa.text(f"SELECT deal, what, count(*) OVER () AS of FROM ({query}) AS each ORDER BY deal LIMIT :limit"),  # noqa: S608
            {"limit": _NAMED},
        ).all()
        if named:
            found[kind] = Obstacle(named[0].of, tuple((row.deal, row.what) for row in named))
    return found


def withdraw_runs(conn: sa.Connection) -> list[str]:
    """Let open periods show no run that stands on a deal which will be deleted; gives these periods."""
    return sorted(conn.scalars(_UNSHOWN))


def standing(conn: sa.Connection, import_id: int) -> list[str]:
    """Open periods whose run stands on a deal that the import added: undoing it takes the run from them."""
    return list(conn.scalars(sa.text(_STANDING), {"id": import_id}))


def bare(conn: sa.Connection, import_id: int) -> list[str]:
    """Periods from which the undoing of the import took the run, and that were not run since."""
    return list(conn.scalars(sa.text(_BARE), {"id": import_id}))


def undo(
    conn: sa.Connection, import_id: int, count: int, user_id: int | None, tell: Callable[[int, int], None]
) -> tuple[int, int]:
    """Take the gathered deals back; gives how many were deleted and how many are as they were before.

    Fewer than gathered: somebody changed one of them at this moment.
    """
    deleted = restored = 0
    for after in range(0, count, _DEALS):
        tell(after, count)
        part = {"id": import_id, "after": after, "upto": after + _DEALS}
        deleted += conn.execute(sa.text(_DELETE), part).rowcount
        restored += conn.execute(sa.text(_RESTORE), part).rowcount
    tell(count, count)
    conn.execute(_TOLD, {"id": import_id, "user": user_id})
    conn.execute(_PASSAGE, {"id": import_id})
    conn.execute(
        sa.text("UPDATE imports SET undone_at = now(), undone_by = :user WHERE id = :id"),
        {"id": import_id, "user": user_id},
    )
    return deleted, restored


# ---------------------------------------------------------------- what is remembered
def forget(conn: sa.Connection, source: str, kind: str, name: str) -> bool:
    """Drop one remembered entry of a source; ``kind`` is mapping, owners or stages.  Whether there was one."""
    query = f"""
        UPDATE import_mappings SET {kind} = {kind} - CAST(:name AS text), updated_at = now()
         WHERE source = :source AND jsonb_exists({kind}, :name)
    """  # noqa: S608 - the kind is one of three, checked by the service
    return conn.execute(sa.text(query), {"source": source, "name": name}).rowcount > 0

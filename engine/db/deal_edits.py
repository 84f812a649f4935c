"""Many deals changed at once: aimed at, compared with what is kept, and written by a few statements on all rows.

`aim_at_all`, `aim_at_rows` or `aim_at_undoing` say what is to become of which deals; `compare` works out what that
changes and what stands in its way.  All of it is in temporary tables that end with the transaction: ``aims`` (one row
a deal), ``edited`` (the rows of ``deals`` that change, as they would be) and ``compared`` (what changes, or why not).
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from engine.db import bulk
from engine.db.deals import COLUMNS

# What stands in the way of a change.
GONE, CHANGED, NO_AMOUNT, NOT_WON, CANCELLED_BEFORE = "gone", "changed", "no_amount", "not_won", "cancelled_before"

# The relations as they would be, for what reads ``deals`` (`engine.services.impact`).
AFTER = "deals_after"

_AIMS = sa.text("""
    CREATE TEMP TABLE aims (
        deal_id bigint PRIMARY KEY,
        version integer,         -- the one that the person saw; NULL: any
        changes jsonb NOT NULL,  -- {column: value}
        extra   jsonb NOT NULL,  -- extra fields to set
        dropped text[],          -- extra fields to take away first
        seen    jsonb,           -- {column: value} and
        seen_extra jsonb         -- the dropped extra fields as they must still be; NULL: any
    ) ON COMMIT DROP
""")
_AIM_AT_UNDOING = sa.text("""
    INSERT INTO aims
    SELECT c.deal_id, NULL, coalesce(f.before, '{}'), coalesce(x.before, '{}'), x.names, f.after, x.after
      FROM deal_changes c
     CROSS JOIN LATERAL (
        SELECT jsonb_object_agg(key, value -> 0) AS before, jsonb_object_agg(key, value -> 1) AS after
          FROM jsonb_each(c.changes) WHERE key <> 'extra') f
     CROSS JOIN LATERAL (
        SELECT array_agg(key) AS names,
               coalesce(jsonb_object_agg(key, old) FILTER (WHERE old IS NOT NULL), '{}') AS before,
               coalesce(jsonb_object_agg(key, new) FILTER (WHERE new IS NOT NULL), '{}') AS after
          FROM (SELECT key, c.changes -> 'extra' -> 0 -> key AS old, c.changes -> 'extra' -> 1 -> key AS new
                  FROM (SELECT jsonb_object_keys(c.changes -> 'extra' -> 0) AS key
                         UNION SELECT jsonb_object_keys(c.changes -> 'extra' -> 1)) keys) each
         WHERE old IS DISTINCT FROM new) x
     WHERE c.edit_id = :edit
""")
_EDITED = sa.text("""
    CREATE TEMP TABLE edited ON COMMIT DROP AS
    SELECT n.*
      FROM aims a JOIN deals d ON d.id = a.deal_id
     CROSS JOIN LATERAL jsonb_populate_record(d, CASE
         WHEN a.extra = '{}' AND a.dropped IS NULL THEN a.changes
         ELSE a.changes || jsonb_build_object('extra', (d.extra - coalesce(a.dropped, '{}')) || a.extra) END) n
     WHERE n IS DISTINCT FROM d
""")
# An obstacle that was there before is nobody's fault now; the table refuses only a cancellation before the close.
_COMPARED = f"""
    CREATE TEMP TABLE compared ON COMMIT DROP AS
    SELECT a.deal_id, d.version,
           CASE WHEN d.id IS NULL THEN '{GONE}'
                WHEN a.version <> d.version OR NOT to_jsonb(d) @> a.seen
                     OR a.seen_extra <> (SELECT coalesce(jsonb_object_agg(key, value), '{{}}')
                                           FROM jsonb_each(d.extra) WHERE key = ANY(a.dropped)) THEN '{CHANGED}'
                WHEN s.outcome = 'won' AND e.amount IS NULL
                     AND (d.stage_id <> e.stage_id OR d.amount IS NOT NULL) THEN '{NO_AMOUNT}'
                WHEN s.outcome <> 'won' AND e.cancelled_on IS NOT NULL
                     AND (d.stage_id <> e.stage_id OR d.cancelled_on IS NULL) THEN '{NOT_WON}'
                WHEN e.cancelled_on < e.close_date THEN '{CANCELLED_BEFORE}' END AS obstacle,
           CASE WHEN e.id IS NOT NULL THEN (
                SELECT jsonb_object_agg(field, change) FROM (VALUES <changes>) AS each (field, change)
                 WHERE change IS NOT NULL) END AS changes
      FROM aims a LEFT JOIN deals d ON d.id = a.deal_id LEFT JOIN edited e ON e.id = a.deal_id
      LEFT JOIN pipeline_stages s ON s.id = e.stage_id
"""  # noqa: S608 - the names are this module's own
_AFTER = sa.text(f"""
    CREATE TEMP VIEW {AFTER} AS
    SELECT * FROM deals WHERE id NOT IN (SELECT id FROM edited) UNION ALL SELECT * FROM edited
""")  # noqa: S608 - the names are this module's own
_COUNTS = sa.text("""
    SELECT count(*) AS aimed, count(*) FILTER (WHERE obstacle IS NOT NULL) AS refused,
           count(*) FILTER (WHERE obstacle IS NULL AND changes IS NOT NULL) AS changed,
           count(*) FILTER (WHERE obstacle IS NULL AND changes ? 'owner_id'
               AND EXISTS (SELECT FROM deal_credits k WHERE k.deal_id = compared.deal_id)) AS split_owners,
           -- One number for which deals were looked at, and in which version.
           CAST(coalesce(sum(CAST(hashint8extended(deal_id, coalesce(version, 0)) AS numeric)), 0) AS text) AS seen
      FROM compared
""")
_SAMPLE = sa.text("""
    SELECT c.deal_id, d.name, d.currency, e.currency AS currency_after, c.changes
      FROM compared c JOIN deals d ON d.id = c.deal_id JOIN edited e ON e.id = c.deal_id
     WHERE c.obstacle IS NULL ORDER BY d.name, d.id LIMIT :limit
""")
_OBSTACLES = sa.text("""
    SELECT c.deal_id, coalesce(d.name, '') AS name, coalesce(d.external_id, '') AS external_id, c.obstacle,
           d.cancelled_on, last.who, last.at
      FROM compared c LEFT JOIN deals d ON d.id = c.deal_id
      LEFT JOIN LATERAL (
        SELECT coalesce(u.name, 'The program') AS who, to_char(h.at, 'YYYY-MM-DD HH24:MI "UTC"') AS at
          FROM deal_changes h LEFT JOIN users u ON u.id = h.user_id
         WHERE h.deal_id = c.deal_id ORDER BY h.at DESC, h.id DESC LIMIT 1) last ON c.obstacle = 'changed'
     WHERE c.obstacle IS NOT NULL ORDER BY d.name, c.deal_id LIMIT :limit
""")
_ADD = sa.text("""
    INSERT INTO deal_edits (kind, detail, deals, undoes_id, created_by)
    VALUES (:kind, CAST(:detail AS jsonb), :deals, :undoes, :user) RETURNING id
""")
_UPDATE = """
    UPDATE deals d SET version = d.version + 1, updated_at = now(), <columns> FROM edited e WHERE d.id = e.id
"""
_HISTORY = sa.text("""
    INSERT INTO deal_changes (deal_id, user_id, edit_id, changes)
    SELECT deal_id, :user, :edit, changes FROM compared WHERE obstacle IS NULL AND changes IS NOT NULL
""")
_STAGES = sa.text("""
    INSERT INTO deal_stage_entries (deal_id, stage_id, entered_at)
    SELECT e.id, e.stage_id, clock_timestamp() FROM compared c JOIN edited e ON e.id = c.deal_id
     WHERE c.changes ? 'stage_id'
""")
_LAST_CHANGES = sa.text("""
    SELECT coalesce(u.name, 'The program') AS who, d.name, to_char(c.at, 'YYYY-MM-DD HH24:MI "UTC"') AS at
      FROM deal_changes c JOIN compared m ON m.deal_id = c.deal_id JOIN deals d ON d.id = c.deal_id
      LEFT JOIN users u ON u.id = c.user_id
     ORDER BY c.at DESC, c.id DESC LIMIT 1
""")
_RECENT = sa.text("""
    SELECT e.id, e.created_at AS at, coalesce(u.name, 'The program') AS who, e.kind, e.detail, e.deals, e.undoes_id,
           back.id AS undone_by
      FROM deal_edits e LEFT JOIN users u ON u.id = e.created_by LEFT JOIN deal_edits back ON back.undoes_id = e.id
     ORDER BY e.id DESC LIMIT :limit
""")


# ---------------------------------------------------------------- aiming
def aim_at_all(conn: sa.Connection, query: str, params: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """The deals whose ids ``query`` finds shall all have these values."""
    conn.execute(_AIMS)
    conn.execute(
        sa.text(
            "INSERT INTO aims (deal_id, changes, extra)"  # noqa: S608 - written by the program, its values are bound
            f" SELECT found.id, CAST(:aim_changes AS jsonb), '{{}}' FROM ({query}) AS found (id)"
        ),
        {**params, "aim_changes": json.dumps(dict(values), default=str)},
    )


def aim_at_rows(
    conn: sa.Connection, rows: Iterable[tuple[int, int | None, Mapping[str, Any], Mapping[str, str | None]]]
) -> None:
    """Each row is a deal's id, the version seen (None: any), ``{column: value}`` and ``{extra field: value}``.

    An extra field of None is taken away.
    """
    conn.execute(_AIMS)
    bulk.copy_rows(
        conn,
        "aims",
        ("deal_id", "version", "changes", "extra", "dropped"),
        (
            (
                deal_id,
                version,
                json.dumps(dict(changes), default=str),
                {name: value for name, value in extra.items() if value is not None},
                _array(name for name, value in extra.items() if value is None),
            )
            for deal_id, version, changes, extra in rows
        ),
    )


def aim_at_undoing(conn: sa.Connection, edit_id: int) -> None:
    """The deals of an edit shall be as they were before it, where what it set still stands."""
    conn.execute(_AIMS)
    conn.execute(_AIM_AT_UNDOING, {"edit": edit_id})


def aim_at_rewriting(conn: sa.Connection, name: str, written: Mapping[str, str]) -> None:
    """The extra field of that name shall be written differently: ``{text as it is: text as it shall be}``."""
    conn.execute(_AIMS)
    conn.execute(sa.text("CREATE TEMP TABLE rewritten (text text, written text) ON COMMIT DROP"))
    bulk.copy_rows(conn, "rewritten", ("text", "written"), written.items())
    conn.execute(
        sa.text("""
            INSERT INTO aims (deal_id, changes, extra)
            SELECT d.id, '{}', jsonb_build_object(CAST(:name AS text), r.written)
              FROM deals d JOIN rewritten r ON r.text = d.extra ->> :name
        """),
        {"name": name},
    )


def _array(names: Iterable[str]) -> str:
    """A text[] as Postgres writes it."""
    quoted = (name.replace("\\", "\\\\").replace('"', '\\"') for name in names)
    return "{" + ",".join(f'"{name}"' for name in quoted) + "}"


# ---------------------------------------------------------------- comparing
def lock(conn: sa.Connection) -> None:
    """Keep the deals aimed at from changing until the transaction ends; in one order, so that two edits never cross."""
    conn.execute(sa.text("SELECT FROM deals WHERE id IN (SELECT deal_id FROM aims) ORDER BY id FOR UPDATE"))


def compare(conn: sa.Connection) -> sa.Row[Any]:
    """Work out what changes: aimed, changed, refused (deals), split_owners (deals), seen (a fingerprint).

    Afterwards ``edited`` holds what can be changed, and the view `AFTER` all deals as they would be.
    """
    conn.execute(sa.text("ANALYZE aims"))
    conn.execute(_EDITED)
    changes = ", ".join(
        f"('{name}', CASE WHEN d.{name} IS DISTINCT FROM e.{name} THEN jsonb_build_array(d.{name}, e.{name}) END)"
        for name in _columns(conn)
    )
    conn.execute(sa.text(_COMPARED.replace("<changes>", changes)))
    conn.execute(sa.text("CREATE INDEX ON compared (deal_id)"))
    conn.execute(sa.text("DELETE FROM edited WHERE id IN (SELECT deal_id FROM compared WHERE obstacle IS NOT NULL)"))
    conn.execute(sa.text("CREATE INDEX ON edited (id)"))
    for table in ("edited", "compared"):
        conn.execute(sa.text(f"ANALYZE {table}"))
    conn.execute(_AFTER)
    return conn.execute(_COUNTS).one()


def _columns(conn: sa.Connection) -> list[str]:
    """The columns that the aims set; comparing and writing the others would cost most of the time."""
    named = set(conn.scalars(sa.text("SELECT DISTINCT jsonb_object_keys(changes) FROM aims")))
    return [name for name in COLUMNS if name in named] + ["extra"]


def sample(conn: sa.Connection, limit: int) -> list[sa.Row[Any]]:
    """The first deals that change, by name: deal_id, name, currency, currency_after, changes."""
    return list(conn.execute(_SAMPLE, {"limit": limit}))


def obstacles(conn: sa.Connection, limit: int) -> list[sa.Row[Any]]:
    """The first deals that cannot be changed: deal_id, name, external_id, obstacle, cancelled_on, who and at.

    ``who`` changed the deal last, and when (``2026-03-01 14:05 UTC``), where the obstacle is `CHANGED`.
    """
    return list(conn.execute(_OBSTACLES, {"limit": limit}))


def last_change(conn: sa.Connection) -> sa.Row[Any] | None:
    """The latest change of the deals aimed at: who, name, at."""
    return conn.execute(_LAST_CHANGES).first()


# ---------------------------------------------------------------- keeping
def keep(
    conn: sa.Connection, kind: str, detail: Mapping[str, Any], undoes: int | None, deals: int, user_id: int | None
) -> int:
    """Write what was compared: the deals, their history and passage, and the edit itself; gives its id."""
    written = {"kind": kind, "detail": json.dumps(dict(detail), default=str), "undoes": undoes, "deals": deals}
    edit_id: int = conn.execute(_ADD, {**written, "user": user_id}).scalar_one()
    columns = ", ".join(f"{name} = e.{name}" for name in _columns(conn))
    conn.execute(sa.text(_UPDATE.replace("<columns>", columns)))
    conn.execute(_HISTORY, {"user": user_id, "edit": edit_id})
    conn.execute(_STAGES)
    return edit_id


# ---------------------------------------------------------------- looking back
def recent(conn: sa.Connection, limit: int) -> list[sa.Row[Any]]:
    """The latest edits: id, at, who, kind, detail, deals, undoes_id, undone_by (an edit's id)."""
    return list(conn.execute(_RECENT, {"limit": limit}))


def find(conn: sa.Connection, edit_id: int) -> sa.Row[Any] | None:
    """An edit, locked until the transaction ends: id, deals, undone_by."""
    conn.execute(sa.text("SELECT FROM deal_edits WHERE id = :id FOR UPDATE"), {"id": edit_id})
    return conn.execute(
        sa.text("""
            SELECT e.id, e.deals, back.id AS undone_by
              FROM deal_edits e LEFT JOIN deal_edits back ON back.undoes_id = e.id WHERE e.id = :id
        """),
        {"id": edit_id},
    ).first()

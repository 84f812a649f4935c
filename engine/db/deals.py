"""Deals one at a time: read for editing, kept with their history, deleted while nothing stands on them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa


@dataclass(frozen=True)
class DealFields:
    """What a person may set on a deal.

    Money is in minor units of ``currency``, ``quantity_micro`` in millionths.  ``credits`` are (user id,
    share in ppm); without any, the owner has the whole credit.
    """

    name: str
    account: str
    owner_id: int
    stage_id: int
    amount: int | None
    currency: str
    close_date: date
    margin: int | None = None
    quantity_micro: int | None = None
    created_date: date | None = None
    type: str = ""
    product: str = ""
    segment: str = ""
    term_months: int | None = None
    cancelled_on: date | None = None
    credits: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Deal:
    """A deal as it is kept.  ``version`` grows with every change; an edit must name the one it saw."""

    id: int
    source: str
    external_id: str
    version: int
    extra: Mapping[str, Any]
    fields: DealFields


COLUMNS = tuple(name for name in DealFields.__dataclass_fields__ if name != "credits")

_ONE = """
    SELECT d.*, (SELECT jsonb_object_agg(user_id, share_ppm) FROM deal_credits WHERE deal_id = d.id) AS credits
      FROM deals d WHERE d.id = :id
"""
_INSERT = sa.text(f"""
    INSERT INTO deals (id, source, external_id, extra, {", ".join(COLUMNS)})
    OVERRIDING SYSTEM VALUE
    VALUES (:id, :source, :external_id, CAST(:extra AS jsonb), {", ".join(":" + name for name in COLUMNS)})
""")  # noqa: S608 - the names are this module's own
_UPDATE = sa.text(f"""
    UPDATE deals SET version = version + 1, updated_at = now(),
           extra = (extra - CAST(:dropped AS text[])) || CAST(:extra AS jsonb),
           {", ".join(f"{name} = :{name}" for name in COLUMNS)}
     WHERE id = :id
""")  # noqa: S608 - the names are this module's own


def find(conn: sa.Connection, deal_id: int, *, lock: bool = False) -> Deal | None:
    """The deal, or None when there is none; ``lock`` keeps it from changing until the transaction ends."""
    row = conn.execute(sa.text(_ONE + (" FOR UPDATE OF d" if lock else "")), {"id": deal_id}).mappings().first()
    if row is None:
        return None
    shares = sorted((int(user), share) for user, share in (row["credits"] or {}).items())
    fields = DealFields(**{name: row[name] for name in COLUMNS}, credits=tuple(shares))
    return Deal(row["id"], row["source"], row["external_id"], row["version"], row["extra"], fields)


def add(
    conn: sa.Connection, fields: DealFields, user_id: int | None, extra: Mapping[str, str | None] | None = None
) -> int:
    """Keep a deal that was entered by hand (source ``manual``); gives its id.  ``extra`` as for `update`."""
    deal_id: int = conn.scalar(sa.text("SELECT nextval(pg_get_serial_sequence('deals', 'id'))"))
    named = {"id": deal_id, "source": "manual", "external_id": f"M-{deal_id}"}
    conn.execute(_INSERT, named | _values(fields, _with({}, extra or {})))
    _write_credits(conn, deal_id, fields)
    _write_change(conn, deal_id, user_id, {"created": [None, "manual"]})
    _enter_stage(conn, deal_id, fields.stage_id)
    return deal_id


def update(
    conn: sa.Connection,
    before: Deal,
    fields: DealFields,
    user_id: int | None,
    extra: Mapping[str, str | None] | None = None,
) -> dict[str, list[Any]]:
    """Keep the new fields of a locked deal and its history; gives ``{column: [from, to]}``, empty when equal.

    ``extra`` are the extra fields that get a value, or lose theirs (None); the others stay.
    """
    old = before.fields
    changes: dict[str, list[Any]] = {
        name: [getattr(old, name), getattr(fields, name)]
        for name in COLUMNS
        if getattr(old, name) != getattr(fields, name)
    }
    if sorted(old.credits) != sorted(fields.credits):
        changes["credits"] = [dict(old.credits), dict(fields.credits)]
    new_extra = _with(before.extra, extra or {})
    if new_extra != before.extra:
        changes["extra"] = [dict(before.extra), new_extra]
    if not changes:
        return {}
    dropped = [name for name in extra or {} if name not in new_extra]
    conn.execute(_UPDATE, {"id": before.id, "dropped": dropped} | _values(fields, _with({}, extra or {})))
    if "credits" in changes:
        conn.execute(sa.text("DELETE FROM deal_credits WHERE deal_id = :id"), {"id": before.id})
        _write_credits(conn, before.id, fields)
    if "stage_id" in changes:
        _enter_stage(conn, before.id, fields.stage_id)
    _write_change(conn, before.id, user_id, changes)
    return changes


def delete(conn: sa.Connection, deal_id: int) -> None:
    """Delete a deal with its history; the database refuses when an earnings line stands on it."""
    conn.execute(sa.text("DELETE FROM deals WHERE id = :id"), {"id": deal_id})


def line_count(conn: sa.Connection, deal_id: int) -> int:
    """How many earnings lines, of any run, stand on the deal."""
    return conn.scalar(sa.text("SELECT count(*) FROM lines WHERE deal_id = :id"), {"id": deal_id}) or 0


def last_change(conn: sa.Connection, deal_id: int) -> tuple[str, str] | None:
    """(who, when as ``2026-03-01 14:05 UTC``) of the deal's latest change."""
    row = conn.execute(
        sa.text("""
            SELECT coalesce(u.name, 'The program'), to_char(c.at, 'YYYY-MM-DD HH24:MI "UTC"')
              FROM deal_changes c LEFT JOIN users u ON u.id = c.user_id
             WHERE c.deal_id = :id ORDER BY c.at DESC, c.id DESC LIMIT 1
        """),
        {"id": deal_id},
    ).first()
    return (row[0], row[1]) if row else None


def outcome(conn: sa.Connection, stage_id: int) -> str | None:
    """``open``, ``won`` or ``lost`` for a pipeline stage; None when there is no such stage."""
    found: str | None = conn.scalar(sa.text("SELECT outcome FROM pipeline_stages WHERE id = :id"), {"id": stage_id})
    return found


def unknown_users(conn: sa.Connection, user_ids: set[int]) -> set[int]:
    """Those of the ids that are no user's."""
    return user_ids - set(conn.scalars(sa.text("SELECT id FROM users WHERE id = ANY(:ids)"), {"ids": list(user_ids)}))


def codes(conn: sa.Connection, user_ids: Sequence[int]) -> dict[int, str]:
    """The codes of these users by their ids."""
    found = conn.execute(sa.text("SELECT id, code FROM users WHERE id = ANY(:ids)"), {"ids": list(user_ids)})
    return {row.id: row.code for row in found}


def company_currency(conn: sa.Connection) -> str:
    """The currency that a deal has when nothing else is said."""
    found: str | None = conn.scalar(sa.text("SELECT currency FROM company"))
    return found or "USD"


def _values(fields: DealFields, extra: Mapping[str, Any]) -> dict[str, Any]:
    return {name: getattr(fields, name) for name in COLUMNS} | {"extra": json.dumps(extra)}


def _with(extra: Mapping[str, Any], changes: Mapping[str, str | None]) -> dict[str, Any]:
    found = {name: value for name, value in extra.items() if name not in changes}
    return found | {name: value for name, value in changes.items() if value is not None}


def _write_credits(conn: sa.Connection, deal_id: int, fields: DealFields) -> None:
    if fields.credits:
        conn.execute(
            sa.text("INSERT INTO deal_credits (deal_id, user_id, share_ppm) VALUES (:deal, :user, :share)"),
            [{"deal": deal_id, "user": user, "share": share} for user, share in fields.credits],
        )


def _enter_stage(conn: sa.Connection, deal_id: int, stage_id: int) -> None:
    conn.execute(
        sa.text(
            """
            INSERT INTO deal_stage_entries (deal_id, stage_id, entered_at) VALUES (:deal, :stage, clock_timestamp())
            """
        ),
        {"deal": deal_id, "stage": stage_id},
    )


def _write_change(conn: sa.Connection, deal_id: int, user_id: int | None, changes: Mapping[str, list[Any]]) -> None:
    conn.execute(
        sa.text("INSERT INTO deal_changes (deal_id, user_id, changes) VALUES (:deal, :user, CAST(:changes AS jsonb))"),
        {"deal": deal_id, "user": user_id, "changes": json.dumps(changes, default=str)},
    )

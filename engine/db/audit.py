"""The audit log and the data version: who did what, and a number that grows with every kept change."""

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa


def record(
    conn: sa.Connection, user_id: int | None, action: str, obj: str, detail: Mapping[str, Any] | None = None
) -> None:
    """Write one audit entry in the caller's transaction and raise the data version.

    `action` is the permission's name ("deals.import"), `obj` what it touched ("import 12").
    `detail` must be JSON; never a password, token or their hashes.
    """
    note(conn, user_id, action, obj, detail)
    conn.execute(sa.text("UPDATE company SET data_version = data_version + 1"))


def note(
    conn: sa.Connection, user_id: int | None, action: str, obj: str, detail: Mapping[str, Any] | None = None
) -> None:
    """`record` for what changes no data: the entry alone, which waits for nobody who is changing some."""
    conn.execute(
        sa.text(
            "INSERT INTO audit (user_id, action, object, detail) VALUES (:user, :action, :obj, CAST(:detail AS jsonb))"
        ),
        {"user": user_id, "action": action, "obj": obj, "detail": json.dumps(detail or {}, default=str)},
    )


def data_version(conn: sa.Connection) -> int:
    """The number that every kept change raises; frames cached under it are never stale."""
    return conn.scalar(sa.text("SELECT data_version FROM company")) or 0

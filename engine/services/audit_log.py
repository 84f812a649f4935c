"""The audit log: who did what, when, to what; written by every service, read here.  And the entry of every export."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from engine.analytics import audit_log as analytics
from engine.analytics import deals as names
from engine.analytics.audit_log import COUNTED, PROGRAM, AuditFilters, AuditPage
from engine.db import audit
from engine.db.database import Database
from engine.services.access import Actor, require
from engine.sheets import Value

__all__ = ["COUNTED", "PROGRAM", "AuditFilters", "AuditPage"]

EXPORT_HEADERS = ("Number", "When (UTC)", "Who", "Action", "Object", "Details")


def list_entries(db: Database, actor: Actor, filters: AuditFilters, size: int, offset: int) -> AuditPage:
    """The entries that match, the newest first, one page of them.  Needs "audit.view"."""
    require(actor, "audit.view")
    with db.read(actor) as conn:
        return analytics.page_of_entries(conn, _clean(filters), size, offset)


def choices(db: Database, actor: Actor) -> tuple[dict[int, str], list[str]]:
    """Whom and which actions one may choose from: names by user id, and the actions that the log holds."""
    require(actor, "audit.view")
    with db.read(actor) as conn:
        people = names.people(conn, None)
        return dict(zip(people["id"].tolist(), people["name"], strict=True)), analytics.actions(conn)


def export_entries(db: Database, actor: Actor, filters: AuditFilters) -> Iterator[tuple[Value, ...]]:
    """Every entry that matches, as rows under `EXPORT_HEADERS`; they come from the server a few thousand at a time."""
    require(actor, "audit.view")
    with db.read(actor) as conn:
        for row in analytics.all_entries(conn, _clean(filters)):
            detail = json.dumps(row["detail"], ensure_ascii=False, sort_keys=True) if row["detail"] else ""
            yield row["id"], f"{row['at']:%Y-%m-%d %H:%M:%S}", row["who"], row["action"], row["object"], detail


def record_export(db: Database, actor: Actor, name: str, detail: Mapping[str, Any] | None = None) -> None:
    """Note in the audit log that the actor took data out: the file's name, or the address of the API.

    For exports whose service writes no entry of its own.
    """
    with db.write(actor) as conn:
        audit.note(conn, actor.user_id, "data.export", f"file {name}"[:300], detail)


def _clean(filters: AuditFilters) -> AuditFilters:
    """The filters as the database takes them: no null character, no spaces around."""
    action, obj, text = (found.replace("\0", "").strip() for found in (filters.action, filters.object, filters.text))
    return replace(filters, action=action, object=obj, text=text)

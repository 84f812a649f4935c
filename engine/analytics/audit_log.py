"""The audit log as frames: found by who, what, object, day and text, a page at a time."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import pandas as pd
import sqlalchemy as sa

COUNTED = 10_000  # entries that are counted and paged through; more are "more than that"
_FETCHED = 5_000  # rows from a cursor of the server at a time
PROGRAM = 0  # as user_id of the filters: what the program itself did


@dataclass(frozen=True)
class AuditFilters:
    """Which entries; a field left empty does not filter.

    ``action`` is the beginning of an action ("payouts."), ``object`` the beginning of an object ("deal 12"), ``text``
    is looked for in object and details.  ``[since, until)`` holds the day (UTC).
    """

    user_id: int | None = None
    action: str = ""
    object: str = ""
    since: date | None = None
    until: date | None = None
    text: str = ""


@dataclass(frozen=True)
class AuditPage:
    """``frame``: id, at, who, action, object, detail (a dict); ``total``: how many match, at most `COUNTED` + 1."""

    frame: pd.DataFrame
    total: int


_WHERE = {
    "user_id": "a.user_id = :user_id",
    "program": "a.user_id IS NULL",
    "action": "a.action LIKE :action",
    "object": "a.object LIKE :object",
    "since": "a.at >= CAST(:since AS date)",
    "until": "a.at < CAST(:until AS date)",
    "text": "(a.object || ' ' || CAST(a.detail AS text)) ILIKE :text",
}
_LIST = """
    SELECT a.id, a.at, coalesce(u.name, 'The program') AS who, a.action, a.object, a.detail
      FROM audit a LEFT JOIN users u ON u.id = a.user_id <where>
     ORDER BY a.id DESC
"""
_COUNT = "SELECT count(*) FROM (SELECT FROM audit a <where> LIMIT :counted) found"
# The distinct actions, jumping in the index from one to the next.
_ACTIONS = sa.text("""
    WITH RECURSIVE found(action) AS (
        (SELECT min(action) FROM audit)
        UNION ALL
        SELECT (SELECT min(action) FROM audit WHERE action > found.action) FROM found WHERE found.action IS NOT NULL
    )
    SELECT action FROM found WHERE action IS NOT NULL ORDER BY 1
""")


def page_of_entries(conn: sa.Connection, filters: AuditFilters, size: int, offset: int) -> AuditPage:
    """The entries that match, the newest first: ``size`` of them after ``offset``."""
    where, params = _conditions(filters)
    total = conn.scalar(sa.text(_COUNT.replace("<where>", where)), params | {"counted": COUNTED + 1}) or 0
    query = sa.text(_LIST.replace("<where>", where) + " LIMIT :size OFFSET :offset")
    rows = conn.execute(query, params | {"size": size, "offset": offset})
    return AuditPage(pd.DataFrame(rows.all(), columns=list(rows.keys())), total)


def all_entries(conn: sa.Connection, filters: AuditFilters) -> Iterator[Mapping[str, Any]]:
    """Every entry that matches, the newest first, through a cursor of the server."""
    where, params = _conditions(filters)
    query = sa.text(_LIST.replace("<where>", where)).execution_options(yield_per=_FETCHED)
    yield from (row._asdict() for row in conn.execute(query, params))


def actions(conn: sa.Connection) -> list[str]:
    """Every action that the log holds, by name."""
    return list(conn.scalars(_ACTIONS))


def _conditions(filters: AuditFilters) -> tuple[str, dict[str, Any]]:
    params = {name: value for name, value in asdict(filters).items() if value not in ("", None)}
    if params.get("user_id") == PROGRAM:
        params["program"] = params.pop("user_id")
    conditions = [_WHERE[name] for name in params]
    for name in ("action", "object"):
        if name in params:
            params[name] = _escaped(params[name]) + "%"
    if "text" in params:
        params["text"] = f"%{_escaped(params['text'])}%"
    return "WHERE " + " AND ".join(conditions) if conditions else "", params


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")

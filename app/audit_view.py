"""The parts of the audit log's page: its filters, the entries, one entry in full, the export."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import pandas as pd
import streamlit as st

from app import state, widgets
from app.widgets import text_column, time_column
from engine.services import audit_log
from engine.services.access import Actor
from engine.services.audit_log import COUNTED, PROGRAM, AuditFilters, AuditPage

SIZE = 50
_SPANS = {"Last 7 days": 7, "Last 30 days": 30, "Last year": 365, "All time": 0}
_LONGEST_DETAIL = 200  # characters of an entry's details in the list


def filters(people: Mapping[int, str], actions: Sequence[str]) -> AuditFilters:
    """What the viewer looks for."""
    today = state.today()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input("Search", placeholder="Any word of object or details", key="audit_text", width=230)
        who = st.selectbox(
            "Who",
            [None, PROGRAM, *people],
            format_func=lambda user: "Everyone" if user is None else people.get(user, "The program"),
            key="audit_who",
            width=180,
        )
        action = st.selectbox(
            "What",
            ["", *_groups(actions)],
            format_func=lambda name: _action_label(name) if name else "Everything",
            key="audit_action",
            width=190,
        )
        obj = st.text_input("Object", placeholder="deal 12", key="audit_object", width=120)
        span = st.selectbox("When", [*_SPANS, "Between two days"], index=1, key="audit_span", width=160)
        if span in _SPANS:
            since = today - timedelta(days=_SPANS[span] - 1) if _SPANS[span] else None
            until = None
        else:
            since, until = _between(today)
    return AuditFilters(who, action, obj, since, until, text)


def _between(today: date) -> tuple[date | None, date | None]:
    chosen: Any = st.date_input("Days (UTC)", (today - timedelta(days=6), today), key="audit_days", width=240)
    if not chosen:
        return None, None
    return chosen[0], chosen[-1] + timedelta(days=1)


def _groups(actions: Sequence[str]) -> list[str]:
    """The actions that the log holds, with those of one kind together before each of them."""
    found: list[str] = []
    for action in actions:
        kind = action.partition(".")[0] + "."
        if kind not in found and sum(each.startswith(kind) for each in actions) > 1:
            found.append(kind)
        found.append(action)
    return found


def _action_label(action: str) -> str:
    kind, _, what = action.partition(".")
    return f"{kind.capitalize()}: {what}" if what else f"{kind.capitalize()}: all"


def entries(page: AuditPage) -> int | None:
    """The entries of a page; gives the place of the one that is chosen."""
    frame = page.frame.assign(
        action=[_action_label(action) for action in page.frame["action"]],
        detail=[_in_short(detail) for detail in page.frame["detail"]],
    )
    chosen = widgets.table(
        frame,
        {
            "at": time_column("When"),
            "who": text_column("Who"),
            "action": text_column("What"),
            "object": text_column("Object"),
            "detail": text_column("Details"),
        },
        key=f"audit_{page.frame['id'].iloc[0]}_{len(page.frame)}",
        select=True,
    )
    total = f"More than {COUNTED:,}" if page.total > COUNTED else f"{page.total:,}"
    more = " Only these are paged through: narrow the search, or export them all." if page.total > COUNTED else ""
    st.caption(f"{total} {'entry' if page.total == 1 else 'entries'}. Choose a row to see all of it.{more}")
    return chosen


def _in_short(detail: Mapping[str, Any]) -> str:
    told = {name: value for name, value in detail.items() if not name.endswith("hash")}
    parts = (f"{name.replace('_', ' ')}: {_value(value)}" for name, value in told.items())
    text = "; ".join(parts)
    return text if len(text) <= _LONGEST_DETAIL else text[: _LONGEST_DETAIL - 1] + "…"


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def entry(row: pd.Series) -> None:
    """One entry in full."""
    with st.container(border=True):
        st.markdown(f"**{widgets.plain(_action_label(row['action']))}** · {widgets.plain(row['object'])}")
        st.caption(widgets.plain(f"Entry {row['id']} · {row['who']} · {row['at']:%Y-%m-%d %H:%M:%S} UTC"))
        if row["detail"]:
            st.code(json.dumps(row["detail"], ensure_ascii=False, indent=2), "json", wrap_lines=True)
        else:
            st.caption("It says nothing further.")


def exports(actor: Actor, chosen: AuditFilters, total: int) -> None:
    """Buttons for every entry that matches, not only the page."""
    stem = "-".join(["audit-log", chosen.action.replace(".", "-").strip("-"), str(state.today())]).replace("--", "-")

    def rows() -> Any:
        return audit_log.export_entries(state.database(), actor, chosen)

    with st.container(horizontal=True, horizontal_alignment="right"):
        if total <= COUNTED:
            widgets.downloads(stem, "Audit log", audit_log.EXPORT_HEADERS, rows)
        else:  # a workbook of a million rows takes minutes
            widgets.csv_download(stem, audit_log.EXPORT_HEADERS, rows)

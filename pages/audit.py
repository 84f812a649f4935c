"""The audit log: every change of data, money and rights, and every export; it only ever grows."""

import streamlit as st

from app import audit_view, auth, state, widgets
from engine.services import audit_log

actor = auth.require("audit.view")
db = state.database()
widgets.header(
    "Audit log", "Who changed what, and who took data out. Entries are added by the program and never change."
)
people, actions = audit_log.choices(db, actor)
chosen = audit_view.filters(people, actions)
known = audit_log.list_entries(db, actor, chosen, 1, 0).total
place = st.container()
offset = widgets.pager(min(known, audit_log.COUNTED), audit_view.SIZE, "audit_page")
with place:
    if not known:
        widgets.empty(
            "No entry matches" if actions else "Nothing has happened yet",
            "Choose a longer time, or clear a filter."
            if actions
            else "Whatever somebody changes or exports is listed here from then on.",
            icon=":material/search_off:",
        )
    else:
        page = audit_log.list_entries(db, actor, chosen, audit_view.SIZE, offset)
        row = audit_view.entries(page)
        audit_view.exports(actor, chosen, known)
        if row is not None:
            audit_view.entry(page.frame.iloc[row])

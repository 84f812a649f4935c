"""Quotas: what each person is to sell in each period."""

import streamlit as st

from app import auth, quota_view, state, widgets
from app.actions import show_done
from engine.services import access, quotas

actor = auth.require("quotas.view")
show_done()

widgets.header("Quotas", "What each person is to sell.")
grid = quotas.quota_grid(state.database(), actor, quota_view.scope_filter(actor))
may_edit = access.may(actor, "quotas.edit")

if not grid.rows:
    widgets.empty(
        "Nobody carries a quota here",
        "Reps and managers appear as soon as they are added.",
        page="people",
        link="People",
        icon=":material/flag:",
    )
    st.stop()
quota_view.notices(actor, grid)
if not may_edit and not any(row.total for row in grid.rows):
    widgets.empty(
        f"No quota for {quota_view.shown_title(grid)}",
        "An admin sets the quotas; they appear here.",
        icon=":material/flag:",
    )
    st.stop()
if may_edit:
    quota_view.edit_grid(actor, grid)
else:
    quota_view.read_grid(actor, grid)
quota_view.below(actor, grid)

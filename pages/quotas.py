"""Quotas: what each person is to sell in each period."""

import streamlit as st

from app import auth, quota_view, state, widgets
from app.actions import show_done
from engine.services import access, quotas

actor = auth.require("quotas.view")
db, today = state.database(), state.today()
show_done()

widgets.header("Quotas", "What each person is to sell in each period.")
kind, year = quota_view.grid_filter(today.year)
team = widgets.team_filter(actor)
grid = quotas.quota_grid(db, actor, kind, year, today, team)

if not grid.rows:
    widgets.empty(
        "Nobody carries a quota here",
        "Reps and managers appear as soon as they are added.",
        page="people",
        link="People",
        icon=":material/flag:",
    )
    st.stop()
quota_view.elsewhere(grid, kind, year)
if not access.may(actor, "quotas.edit") and not any(row.total for row in grid.rows):
    widgets.empty(
        "No quota" + (f" for {year}" if kind == "year" else f" for the {kind}s of {year}"),
        "An admin sets the quotas; they appear here.",
        icon=":material/flag:",
    )
    st.stop()
if access.may(actor, "quotas.edit"):
    quota_view.edit_grid(actor, grid, kind, year)
else:
    quota_view.read_grid(grid, kind, year)
quota_view.totals(grid, kind, year)
quota_view.history(actor)

"""The pipeline: what is open and for how long, how deals pass through the stages, and how often they slip."""

import streamlit as st

from app import auth, pipeline_view, state, widgets
from engine.periods import period_of
from engine.services.pipeline import pipeline

actor = auth.require("pipeline.view")
today = state.today()

widgets.header("Pipeline", "What is open and for how long, what becomes of it, and what slips.")
period = widgets.period_filter(default=period_of("quarter", today.toordinal()).name)
team = widgets.team_filter(actor)
by = st.segmented_control(
    "Compare",
    list(pipeline_view.GROUPS),
    default="all",
    format_func=pipeline_view.GROUPS.__getitem__,
    required=True,
    key="by",
    bind="query-params",
)
found = pipeline(state.database(), actor, period, team, by or "all", today)
if found.is_empty:
    widgets.empty(
        "No deals yet",
        "The stages, conversion, ageing and slippage of deals appear here as soon as there are deals.",
        page="upload",
        link="Upload deals",
        icon=":material/filter_alt:",
    )
else:
    view = pipeline_view.View(found, period, widgets.team_name(actor, team) if team else "", by or "all")
    pipeline_view.show(view)

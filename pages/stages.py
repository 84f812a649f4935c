"""The stages of the pipeline, and what really becomes of the deals that enter them."""

import streamlit as st

from app import auth, stage_view, widgets
from app.actions import show_done
from engine.services import access

actor = auth.require("stages.view")
show_done()
may_edit = access.may(actor, "stages.edit")

widgets.header("Pipeline stages", "What each stage is expected to bring, beside what really became of its deals.")
with widgets.tools():
    since, until = stage_view.span()
    if may_edit and st.button("Add a stage", icon=":material/add:", type="primary"):
        stage_view.new_stage()

found = stage_view.rows(actor, since, until)
stem = f"pipeline-stages-{since}-to-{until.fromordinal(until.toordinal() - 1)}"
chosen = stage_view.stage_table(found, may_edit)
if may_edit:
    stage_view.actions(actor, found, chosen)
if any(row.entered for row in found):
    stage_view.notes(found)
    stage_view.rate_chart(found, f"rates-{stem}")
else:
    widgets.empty(
        "No deal entered a stage in these days",
        "Choose a longer time. A deal's passage is kept from the day it is entered or uploaded.",
        icon=":material/view_kanban:",
    )
with st.container(horizontal=True, horizontal_alignment="right"):
    widgets.downloads(stem, "Pipeline stages", stage_view.HEADERS, lambda: stage_view.export_rows(found))

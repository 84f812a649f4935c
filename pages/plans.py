"""Compensation plans: what is in force, for whom, and the draft of what comes next."""

import streamlit as st

from app import auth, plan_view, state, widgets
from app.actions import show_done
from engine.services import access, plans

actor = auth.require("plans.view")
db, today = state.database(), state.today()
show_done()

found = plans.list_plans(db, actor, today)
opened = next((plan for plan in found if plan.name == st.query_params.get("plan")), None)

if opened is not None:
    detail = plans.plan_detail(db, actor, opened.plan_id, today)
    widgets.header(detail.title, detail.name)
    with widgets.tools():
        if st.button("All plans", icon=":material/arrow_back:", type="tertiary"):
            st.query_params.pop("plan", None)
            st.rerun()
    plan_view.plan_page(actor, detail)
else:
    widgets.header("Plans", "Who is paid what for which deals. A published version never changes.")
    if wanted := st.query_params.get("plan"):
        st.warning(widgets.plain(f'There is no plan "{wanted}". It may have been discarded.'))
    if access.may(actor, "plans.edit"):
        with widgets.tools():
            if st.button("New plan", icon=":material/add:", type="primary"):
                plan_view.new_plan()
    if found:
        plan_view.plan_list(found)
    else:
        widgets.empty(
            "No plan yet",
            "Begin one from a template: a flat amount, a percentage, tiers by deal size or a quota."
            if access.may(actor, "plans.edit")
            else "An admin begins the first one.",
            icon=":material/account_tree:",
        )

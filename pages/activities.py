"""What is done to sell: calls, mails, meetings, notes and tasks; and each person's activity beside the results."""

import streamlit as st

from app import activity_view, auth, state, widgets
from app.actions import show_done
from engine.services import access, activities

actor = auth.require("activities.view")
db, today = state.database(), state.today()
show_done()

widgets.header("Activities", "Calls, mails, meetings, notes and tasks, on a deal or an account.")
view = activity_view.choose_view()
team = widgets.team_filter(actor)
may_log = access.may(actor, "activities.edit")
if may_log:
    activity_view.log_button()
if view == activity_view.BESIDE:
    activity_view.beside_results(actor, team)
    st.stop()

filters, page, for_cards, for_exports = activity_view.filters(actor, team)
found = activities.list_activities(db, actor, filters, page, today)
if found.total:
    with for_cards:
        activity_view.cards(found)
    with for_exports:
        activity_view.exports(actor, filters, page, found.total)
    activity_view.activity_table(found)
elif filters != activities.ActivityFilters():
    widgets.empty("No activity matches", "Change the search or clear a filter.", icon=":material/search_off:")
else:
    widgets.empty(
        "Nothing was logged yet",
        'Press "Log" after a call, a mail or a meeting: it takes two clicks.'
        if may_log
        else "Calls, mails, meetings and tasks appear here as soon as somebody logs one.",
        icon=":material/event_note:",
    )

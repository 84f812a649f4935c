"""The deals: filtered, sorted, opened one by one, corrected, exported."""

import streamlit as st

from app import auth, deals_view, state, widgets
from app.actions import show_done
from engine.services import access, deals

actor = auth.require("deals.view")
db, today = state.database(), state.today()
show_done()

widgets.header("Deals", "What was sold, by whom, and what became of it.")
team = widgets.team_filter(actor)
with widgets.tools():
    if access.may(actor, "deals.edit") and st.button("New deal", icon=":material/add:"):
        deals_view.new_deal()
choices = deals.deal_choices(db, actor, today)
filters, page, for_cards, for_exports = deals_view.filters(choices, team)
found = deals.list_deals(db, actor, filters, page, today)

if found.total:
    with for_cards:
        deals_view.cards(found, choices.currency)
    with for_exports:
        deals_view.exports(actor, filters, page, found.total)
    deals_view.deal_table(found, choices)
elif filters != deals.DealFilters():
    widgets.empty("No deal matches", "Change the search or clear a filter.", icon=":material/search_off:")
else:
    widgets.empty(
        "No deals yet",
        "Upload the CRM's export, and the deals appear here."
        if access.may(actor, "deals.import")
        else "Deals appear here as soon as you own one or share in one.",
        page="upload",
        link="Upload deals",
    )

if st.query_params.get("deal", "").isdigit():
    deals_view.drawer(int(st.query_params["deal"]))

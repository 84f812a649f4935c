"""The deals: filtered, sorted, opened one by one, corrected one at a time or many at once, exported."""

import streamlit as st

from app import auth, deal_drawer, deal_edit_view, deal_fields_view, deals_view, state, widgets
from app.actions import show_done
from engine.services import access, deals

actor = auth.require("deals.view")
db, today = state.database(), state.today()
may_edit = access.may(actor, "deals.edit")
show_done()

widgets.header("Deals", "What was sold, by whom, and what became of it.")
for_notice = st.container()
team = widgets.team_filter(actor)
if may_edit:
    with widgets.tools():
        if st.button("New deal", icon=":material/add:"):
            deal_drawer.new_deal()
        more = st.menu_button("More", ["Past edits", "Fields"], icon=":material/more_vert:", key="deals_more")
        if more == "Past edits":
            deal_edit_view.past_edits()
        elif more == "Fields":
            deal_fields_view.fields()
choices = deals.deal_choices(db, actor, today)
filters, page, for_cards, for_tools = deals_view.filters(choices, team)
found = deals.list_deals(db, actor, filters, page, today)

with for_cards:
    deals_view.counted(actor, filters, found, choices)
if found.total:
    with for_cards:
        deals_view.cards(found, choices.currency)
    typing = False
    with for_tools:
        if may_edit:
            typing = st.toggle("Edit in the table", key="deals_typing", on_change=deal_drawer.redraw)
            ticked = deals_view.ticked(found)
            label = f"Change {len(ticked):,} deal{'s' if len(ticked) != 1 else ''}" if ticked else "Change all"
            if st.button(label, icon=":material/edit_note:", disabled=typing, key="deals_change"):
                deal_edit_view.change_many(filters, ticked, found.total)
        deals_view.exports(actor, filters, page, found.total, choices)
    if typing:
        deal_edit_view.edit_table(found, choices)
    else:
        deals_view.deal_table(found, choices, may_edit)
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

asked = st.query_params.get("deal", "")
if asked.isdecimal() and len(asked) < 18:
    with for_notice:
        deal_drawer.drawer(int(asked))

"""What people dispute of their pay, the answers, and the change that settled it."""

import streamlit as st

from app import auth, widgets
from app.actions import show_done
from app.dispute_view import badges, dispute_list, drawer, list_filter, new_button, page_of

actor = auth.require("disputes.view")
show_done()

widgets.header("Disputes", "What somebody finds wrong with their pay, the answer, and the change that settled it.")
shown = list_filter()
new_button(actor)
found = page_of(actor, shown)
badges(found.counts)
dispute_list(actor, found, shown)

asked = st.query_params.get("dispute", "")
if asked.isdecimal() and len(asked) < 18:
    drawer(int(asked))

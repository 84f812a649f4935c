"""API tokens: programs that act for a person, with less than the person may."""

import streamlit as st

from app import auth, state, token_view, widgets
from app.actions import show_done
from engine.services import api_tokens

actor = auth.require("tokens.edit")
show_done()
widgets.header("API tokens", "Let a program act for you. What the API takes and gives is at /api/docs.")
with widgets.tools():
    if st.button("New token", type="primary", icon=":material/add:"):
        st.session_state.pop("token_made", None)
        token_view.new_token()
found = api_tokens.list_tokens(state.database(), actor)
if found:
    token_view.token_list(actor, found)
else:
    widgets.empty(
        "No API tokens yet",
        "Make one for each program, with no more than it needs; you can revoke it at any time.",
        icon=":material/key:",
    )

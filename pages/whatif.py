"""What if a plan were another: the whole company's past year, and its next quarter, priced while a slider moves."""

import streamlit as st

from app import auth, state, whatif_keep, whatif_state, whatif_view, widgets
from app.actions import show_done
from engine.services import whatif

actor = auth.require("whatif.use")
db, today = state.database(), state.today()
show_done()

widgets.header("What if", "Change a plan and see what everyone would have been paid.")
base = whatif.base(db, actor, today)
if not base.texts:
    widgets.empty(
        "No plan to change yet",
        "Begin one from a template on the Plans page; then see here what it would have cost.",
        page="plans",
        link="Plans",
        icon=":material/tune:",
    )
    st.stop()
space = whatif_state.workspace(actor, base)
span = whatif_view.filters(base, space)
whatif_keep.tools(actor, base, space, span)
whatif_view.board(base, space, span)

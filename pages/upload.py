"""Bring the CRM's deals in: look at the file, settle what is unclear, see what it would do, import it."""

import streamlit as st

from app import auth, batches_view, upload_view, widgets
from app.actions import show_done

actor = auth.require("deals.import")
show_done()

widgets.header("Upload deals", "Nothing is kept before you have seen what the file does.")
batches_view.asked_import(actor)
in_hand = upload_view.file_in_hand(actor)
if in_hand is None:
    upload_view.choose_file(actor)
    result = st.session_state.get("upload_result")
    if result is None:
        upload_view.how_it_goes()
    else:
        upload_view.result_panel(result)
elif isinstance(in_hand, upload_view.SmallFile):
    upload_view.small_file(actor, in_hand)
else:
    upload_view.large_file(actor, in_hand)
batches_view.past_imports(actor)
batches_view.remembered(actor)

"""Bring the CRM's deals in: look at the file, settle what is unclear, see what it would do, import it."""

import streamlit as st

from app import auth, upload_view, widgets

actor = auth.require("deals.import")

widgets.header("Upload deals", "Nothing is kept before you have seen what the file does.")
file = upload_view.choose_file()
result = st.session_state.get("upload_result")

if file is not None:
    st.session_state.pop("upload_result", None)
    upload_view.file_steps(actor, file)
elif result is not None:
    upload_view.result_panel(result)
else:
    upload_view.how_it_goes()
upload_view.past_imports(actor)

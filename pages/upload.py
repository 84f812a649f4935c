"""Bring the CRM's deals in: look at the file, settle what is unclear, see what it would do, import it."""

import streamlit as st

from app import auth, upload_view, widgets
from app.actions import show_done

actor = auth.require("deals.import")
show_done()

widgets.header("Upload deals", "Nothing is kept before you have seen what the file does.")
file = upload_view.choose_file()
result = st.session_state.get("upload_result")

if file is not None:
    st.session_state.pop("upload_result", None)
    upload_view.file_steps(actor, file)
else:
    st.session_state.pop("upload_draft", None)  # it holds a whole file
    if result is None:
        upload_view.how_it_goes()
    else:
        upload_view.result_panel(result)
upload_view.past_imports(actor)

"""The entry script of every page: who is there, what they may open, and the frame around it."""

import streamlit as st

from app import auth, entrance, navigation, shell

STATIC = navigation.ROOT / "app" / "static"

st.set_page_config("QuotaPath", str(STATIC / "icon.svg"), layout="wide")
st.html(STATIC / "style.css")
actor = auth.current()
if actor is None or entrance.LINK in st.query_params:
    shell.closed_pages().run()
    st.html(STATIC / "entrance.css")
    entrance.draw()
else:
    st.logo(str(STATIC / "logo.svg"), size="large", icon_image=str(STATIC / "icon.svg"))
    page = shell.open_pages(actor)
    shell.user_menu(actor)
    page.run()

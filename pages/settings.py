"""The company's settings."""

import streamlit as st

from app import auth, state, widgets
from app.actions import attempt, show_done
from engine.analytics import fiscal
from engine.services import access, company
from engine.services.company import Settings

actor = auth.require("settings.view")
show_done()
widgets.header("Settings", "The company, its currency and its fiscal year.")
found, currency_is_free = company.company_settings(state.database(), actor)
may_edit = access.may(actor, "settings.edit")
# A form keeps what it was born with: what somebody else saved meanwhile must not be overwritten unseen.
seen: Settings = st.session_state.setdefault("settings_seen", found)

with st.form("settings", width=640):
    name = st.text_input("Company name", seen.name, max_chars=200, disabled=not may_edit)
    currency = st.text_input(
        "Currency",
        seen.currency,
        max_chars=3,
        disabled=not (may_edit and currency_is_free),
        help="Quotas and the dashboard are in it; a plan or a deal may have another."
        if currency_is_free
        else "It stays as it is: there are deals, quotas, plans or runs that are counted in it.",
    )
    month = st.selectbox(
        "The fiscal year begins in",
        range(1, 13),
        seen.fiscal_month - 1,
        format_func=fiscal.month_name,
        disabled=not may_edit,
    )
    st.caption(
        "The grid of quotas runs from that month on; a fiscal year is called by the calendar year in which it ends. "
        "Plans go on counting by calendar weeks, months, quarters and years, so what anyone earns does not change."
    )
    sent = st.form_submit_button("Save", type="primary", icon=":material/save:", disabled=not may_edit)
if not may_edit:
    st.caption("An admin may change this.")
elif found != seen:
    st.warning("Somebody else changed the settings since you opened this page.", icon=":material/sync_problem:")
    if st.button("Show what is saved now"):
        st.session_state.pop("settings_seen")
        st.rerun()
if sent and attempt(
    lambda: company.save_settings(state.database(), actor, seen, Settings(name, currency, month)), "Saved."
):
    st.session_state.pop("settings_seen")
    st.rerun()

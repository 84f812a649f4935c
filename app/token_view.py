"""The parts of the page of API tokens: make one, see it once, the list, revoke one."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from app import auth, state, widgets
from app.actions import attempt
from app.widgets import text_column, time_column
from engine.services import access, api_tokens
from engine.services.access import Actor
from engine.services.api_tokens import Token

_MEANS = {
    "read": "Read what your role may see, and fetch files",
    "deals:write": "Create, change, delete and send deals",
    "activities:write": "Log activities",
    "runs:write": "Start calculations",
    "payouts:write": "Approve periods and mark them as paid",
}
_DAYS = {30: "30 days", 90: "90 days", 180: "180 days", 365: "One year"}


def useful_scopes(actor: Actor) -> list[str]:
    """The scopes that let through something of the actor's role."""
    return [scope for scope, actions in access.SCOPES.items() if any(access.may(actor, action) for action in actions)]


@st.dialog("New API token", width="medium", icon=":material/key:")
def new_token() -> None:
    """Make a token; afterwards the same dialog shows it, once."""
    new_token_form(auth.require("tokens.edit"))


def new_token_form(actor: Actor) -> None:
    """Name, scopes and end of a token; then the token itself."""
    place = st.empty()
    if "token_made" not in st.session_state:
        with place.container():
            _form(actor)
    made: api_tokens.NewToken | None = st.session_state.get("token_made")
    if made is None:
        return
    place.empty()
    st.success("Copy the token now: it is shown this once and never again.", icon=":material/content_copy:")
    st.code(made.secret, None)
    st.caption("A program sends it as `Authorization: Bearer …`. Keep it like a password.")
    if st.button("Done", type="primary", key="token_done"):
        st.session_state.pop("token_made")
        st.rerun()


def _form(actor: Actor) -> None:
    offered = useful_scopes(actor)
    with st.form("new_token", border=False):
        name = st.text_input("What is it for", placeholder="Nightly deals from the CRM", max_chars=100)
        scopes = st.pills("It may", offered, default=["read"], selection_mode="multi", key="token_scopes")
        st.caption("  ·  ".join(f"**{widgets.plain(scope)}** {_MEANS[scope]}" for scope in offered))
        days = st.selectbox("It ends after", list(_DAYS), index=1, format_func=_DAYS.__getitem__)
        sent = st.form_submit_button("Make the token", type="primary", icon=":material/key:")

    def make() -> None:
        st.session_state["token_made"] = api_tokens.create_token(
            state.database(), actor, name, frozenset(scopes), days, datetime.now(UTC)
        )

    if sent:
        attempt(make, "Token made.")


def token_list(actor: Actor, found: Sequence[Token]) -> None:
    """The tokens; choosing a live one offers to revoke it."""
    everyone = access.reach(actor, "tokens.edit") is access.Reach.ALL
    frame = pd.DataFrame(
        {
            "name": [token.name for token in found],
            "person": [token.person for token in found],
            "scopes": [", ".join(token.scopes) for token in found],
            "status": [_status(token) for token in found],
            "last_used_at": pd.Series([token.last_used_at for token in found], dtype="datetime64[ns, UTC]"),
            "expires_at": pd.Series([token.expires_at for token in found], dtype="datetime64[ns, UTC]"),
            "created_at": pd.Series([token.created_at for token in found], dtype="datetime64[ns, UTC]"),
        }
    )
    chosen = widgets.table(
        frame,
        {
            "name": text_column("For"),
            **({"person": text_column("Whose")} if everyone else {}),
            "scopes": text_column("May"),
            "status": text_column("Status"),
            "last_used_at": time_column("Last used"),
            "expires_at": time_column("Ends"),
            "created_at": time_column("Made"),
        },
        key=f"tokens_{len(found)}_{sum(token.is_live for token in found)}",
        export=f"api-tokens-{state.today()}",
        select=True,
    )
    if chosen is None:
        st.caption("Choose a token to revoke it.")
        return
    token = found[chosen]
    if not token.is_live:
        st.caption(f"{widgets.plain(token.name)} is worth nothing any more.")
        return
    st.warning(
        f"Revoke **{widgets.plain(token.name)}** of {widgets.plain(token.person)}? "
        "Whatever uses it is refused from that moment on. This cannot be taken back.",
        icon=":material/key_off:",
    )
    if st.button("Revoke", type="primary", icon=":material/key_off:", key="token_revoke") and attempt(
        lambda: api_tokens.revoke_token(state.database(), auth.require("tokens.edit"), token.id), "Revoked."
    ):
        st.rerun()


def _status(token: Token) -> str:
    if token.is_live:
        return "Live"
    if token.revoked_because:
        return token.revoked_because[:1].upper() + token.revoked_because[1:]
    return "Expired" if token.expires_at <= datetime.now(UTC) else "The person may not sign in"

"""Who looks at this page.  The session is checked in the database on every run."""

import streamlit as st

from app import state, widgets
from engine.services import access, sign_in
from engine.services.access import Actor

COOKIE = "quotapath_session"


def session_token() -> str | None:
    """The session token of the browser: an HttpOnly cookie, so never seen by scripts."""
    return st.context.cookies.get(COOKIE)


def current() -> Actor | None:
    """The signed-in person, or None."""
    return sign_in.session_actor(state.database(), session_token())


def require(action: str) -> Actor:
    """The signed-in person who may do `action`; otherwise the page stops with a sentence that says why not.

    Every page calls it first.  Fragments, dialogs and callbacks run without the page's first lines: those
    that write call it again, so that a session that has ended meanwhile writes nothing.
    """
    actor = current()
    if actor is None:
        widgets.empty("Your session has ended", "Reload the page and sign in again.", icon=":material/lock_clock:")
        st.stop()
    if not access.may(actor, action):
        no_access(actor)
        st.stop()
    st.session_state["viewer"] = actor  # who takes out what the page's buttons download
    return actor


def no_access(actor: Actor) -> None:
    """Say that the page is not for this role."""
    widgets.empty(
        "You have no access to this page",
        f"It is not part of the role {actor.role}. Ask an admin if you need it.",
        page="dashboard",
        link="Back to the dashboard",
        icon=":material/lock:",
    )

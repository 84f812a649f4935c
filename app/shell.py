"""The frame of the app: the pages of each role, the user's menu."""

from collections.abc import Callable

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from app import auth, state, widgets
from app.actions import attempt, show_done
from app.navigation import CATALOG, HOME, ROOT, Entry
from engine.errors import QuotaPathError
from engine.services import access, sign_in
from engine.services.access import Actor


def _page(entry: Entry, what: str | Callable[[], None], visible: bool = True) -> StreamlitPage:
    # The page's identity is its URL path, so that an address stays the same page through sign-in.
    return st.Page(
        what,
        title=entry.title,
        icon=entry.icon,
        url_path=entry.name,
        visibility="visible" if visible else "hidden",
    )


def _root(what: Callable[[], None]) -> StreamlitPage:
    """The page of the bare address.  No page of the catalogue is the default: its own path would not be found."""
    return st.Page(what, title="QuotaPath", default=True, visibility="hidden")


def closed_pages() -> StreamlitPage:
    """Every address, each an empty page: what a visitor may see is drawn by the entry script."""

    def nothing() -> None: ...

    return st.navigation([_root(nothing), *(_page(entry, nothing) for entry in CATALOG)], position="hidden")


def open_pages(actor: Actor) -> StreamlitPage:
    """The pages of the actor's role in the menu; every other address says that there is no access."""

    def forbidden() -> None:
        auth.no_access(actor)

    def home() -> None:
        st.switch_page(st.session_state["pages"][HOME], query_params=st.query_params.to_dict())

    menu: dict[str, list[StreamlitPage]] = {"": [_root(home)]}
    st.session_state["pages"] = {}
    for entry in CATALOG:
        if access.may(actor, entry.action):
            page = _page(entry, str(ROOT / "pages" / f"{entry.name}.py"))
            menu.setdefault(entry.section, []).append(page)
            st.session_state["pages"][entry.name] = page
        else:
            menu.setdefault("", []).append(_page(entry, forbidden, visible=False))
    return st.navigation(menu, position="sidebar", expanded=True)


def user_menu(actor: Actor) -> None:
    """Name and role at the foot of the menu, light or dark, password, sign out."""
    show_done()  # the password's; what a page has done it shows itself
    with (
        st.sidebar,
        st.container(key="user_menu"),
        st.popover(widgets.plain(actor.name), icon=":material/account_circle:", width="stretch"),
    ):
        st.markdown(f"**{widgets.plain(actor.name)}**")
        st.text(actor.email)
        st.badge(actor.role, color="gray")
        theme = st.segmented_control(
            "Theme",
            ["System", "Light", "Dark"],
            format_func={
                "System": ":material/contrast: Auto",
                "Light": ":material/light_mode: Light",
                "Dark": ":material/dark_mode: Dark",
            }.__getitem__,
            label_visibility="collapsed",
            key="theme",
        )
        if st.button("Change password", icon=":material/key:", width="stretch", key="change_password"):
            _change_password()
        if st.button("Sign out", icon=":material/logout:", width="stretch", key="sign_out"):
            _sign_out()
    if theme:
        paths = " ".join(["/", *(f"/{entry.name}" for entry in CATALOG)])
        st.html(
            f'<script src="/assets/theme.js" data-theme="{theme}" data-paths="{paths}"></script>',
            unsafe_allow_javascript=True,
        )


@st.dialog("Change your password", icon=":material/key:")
def _change_password() -> None:
    from app import entrance  # brings streamlit-authenticator, which wants a running server

    actor, token = auth.current(), auth.session_token()
    if actor is None or token is None:
        st.rerun()
    st.caption("Every other browser and program that is signed in as you has to sign in again.")
    with st.form("change_password_form", border=False):
        old = st.text_input("Old password", type="password", autocomplete="current-password")
        password, again = entrance.new_password_fields()
        sent = st.form_submit_button("Change", type="primary")
    if sent and attempt(
        lambda: sign_in.change_password(state.database(), actor, token, old, password, again),
        "Your password is changed.",
    ):
        st.rerun()


def show_fault(error: Exception) -> bool:
    """What a page shows when its script fails; the traceback is in the log already.  True: nothing more is shown."""
    if isinstance(error, QuotaPathError):
        widgets.show_problems(error)
    else:
        st.error(
            f"This page met a fault in the program ({type(error).__name__}). Nothing was saved by it. "
            "Try again; if it stays, an admin finds the details in the server's log.",
            icon=":material/error:",
        )
    return True


def _sign_out() -> None:
    token = auth.session_token()
    if token:
        sign_in.end_session(state.database(), token)
    st.session_state.clear()
    st.rerun()

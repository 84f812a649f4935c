"""Doing what a person asked for: refused with the reasons where one is, confirmed by a toast after the rerun."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from app import widgets
from engine.errors import QuotaPathError

_DONE = "action_done"


def attempt(action: Callable[[], Any], done: str) -> bool:
    """Run a service; shows the problems and returns False when it refused, else keeps `done` for `show_done`."""
    try:
        action()
    except QuotaPathError as error:
        widgets.show_problems(error)
        return False
    st.session_state[_DONE] = done
    return True


def show_done() -> None:
    """The toast of what was done just before the page ran again; a page that acts calls it once."""
    if done := st.session_state.pop(_DONE, ""):
        st.toast(widgets.plain(done), icon=":material/check_circle:")

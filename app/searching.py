"""Work of a few seconds for one session: done in a thread, watched by a bar, stopped by a button.

Streamlit does not interrupt a fragment for a click in it, so what should be stopped must not run in one.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from app import widgets
from engine.errors import QuotaPathError

log = logging.getLogger(__name__)

Tell = Callable[[int, int], None]


class _Stopped(Exception):
    """The person who asked pressed Cancel."""


@dataclass
class Search:
    """What runs: `about` tells for what, and `result` is there once it `is_over` without `error` or `stopped`."""

    about: object
    done: int = 0
    total: int = 0
    result: Any = None
    error: QuotaPathError | None = None
    is_over: bool = False
    stopped: bool = False
    cancel: threading.Event = field(default_factory=threading.Event)

    def run(self, work: Callable[[Tell], Any]) -> None:
        """Do the work; what it tells is what the bar shows."""
        try:
            self.result = work(self._tell)
        except _Stopped:
            self.stopped = True
        except QuotaPathError as error:
            self.error = error
        except Exception as fault:
            log.exception("a search failed")
            self.error = QuotaPathError(f"An unexpected fault stopped it: {type(fault).__name__}. The log has more.")
        self.is_over = True

    def _tell(self, done: int, total: int) -> None:
        self.done, self.total = done, total
        if self.cancel.is_set():
            raise _Stopped


def start(name: str, about: object, work: Callable[[Tell], Any]) -> None:
    """Begin, in place of what the session had running under the same name."""
    before: Search | None = st.session_state.get(name)
    if before is not None:
        before.cancel.set()
    search = Search(about)
    st.session_state[name] = search
    threading.Thread(target=search.run, args=(work,), name=name, daemon=True).start()


def found(name: str, about: object, text: str) -> Any:
    """What the work came to; None while there is nothing for `about`: then the bar, or why, is drawn.

    `text` has places for how many are done and how many there are.
    """
    search: Search | None = st.session_state.get(name)
    if search is None:
        return None
    if search.about != about:
        search.cancel.set()  # nobody waits for it any more
        return None
    if not search.is_over:
        _watch(search, name, text)
        return None
    if search.error is not None:
        widgets.show_problems(search.error)
    elif search.stopped:
        st.caption(f"Stopped after {search.done:,} of {search.total:,}.")
    return search.result


@st.fragment(run_every=0.4)
def _watch(search: Search, name: str, text: str) -> None:
    if search.is_over:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center", key=f"{name}_busy"):
        share = search.done / search.total if search.total else 0.0
        st.progress(min(share, 1.0), text.format(search.done, search.total) if search.total else "Starting")
        st.button("Cancel", icon=":material/stop:", on_click=search.cancel.set, key=f"{name}_cancel")

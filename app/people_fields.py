"""Small pieces that the drawers of people and teams share."""

from collections.abc import Sequence
from datetime import date, timedelta
from urllib.parse import urlsplit

import streamlit as st

from app import widgets
from app.entrance import LINK
from engine.services.sign_in import LINK_HOURS

NO_TEAM = "No team"


def chosen_once(table: str) -> str:
    """The key of a table whose choice opens a drawer: a new one each time, so that a closed drawer stays closed."""
    return f"{table}_{st.session_state.get(f'{table}_opened', 0)}"


def opened(table: str) -> None:
    """The table's choice has opened its drawer."""
    st.session_state[f"{table}_opened"] = st.session_state.get(f"{table}_opened", 0) + 1


def last_day(end: date | None) -> date | None:
    """The day before the end of a span; None: it goes on."""
    return end - timedelta(days=1) if end else None


def later_changes(changes: Sequence[tuple[str, date]]) -> bool:
    """Ask what becomes of the changes after the chosen day; whether they are to go."""
    if not changes:
        return False
    listed = "; ".join(f"{what} from {day}" for what, day in changes)
    return (
        st.radio(
            "How long it holds",
            ["For good", "Until then"],
            captions=[
                f"In place of what follows: {widgets.plain(listed)}",
                f"Until {changes[0][1]}; what follows stays.",
            ],
            key="later_changes",
        )
        == "For good"
    )


def link_address(secret: str) -> str:
    """The address under which a person chooses a password."""
    place = urlsplit(st.context.url or "")
    return f"{place.scheme}://{place.netloc}/?{LINK}={secret}"


def show_link(name: str, secret: str) -> None:
    """A link to choose a password: seen now and never again."""
    st.warning(
        f"Send this link to {widgets.plain(name)}. It works once, for {LINK_HOURS} hours, and is not shown again. "
        "Until then nobody can sign in as this person.",
        icon=":material/key:",
    )
    st.code(link_address(secret), language=None, wrap_lines=True)

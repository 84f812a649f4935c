"""What a change does to earnings, shown before it is saved: which pay periods, and on demand whose money."""

from collections.abc import Callable, Sequence

import streamlit as st

from app import auth, state, widgets
from app.widgets import money_column, text_column
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.services import people
from engine.services.impact import Impact
from engine.services.pay_periods import Touched


def periods(touched: Sequence[tuple[str, str, str]], posts_in: str | None) -> None:
    """The pay periods that a change touches: the open ones move with their next run, the closed ones never.

    ``touched`` are (period, status, what of it); ``posts_in`` is the open period whose next
    run posts what changes in closed ones.
    """
    moving = [f"{name}{what}" for name, status, what in touched if status == "open"]
    closed = [f"{name}{what}" for name, status, what in touched if status != "open"]
    if moving:
        st.info(
            f"**Open pay periods change with their next run:** {widgets.plain(_short(moving))}", icon=":material/sync:"
        )
    if closed:
        posted = f" in {posts_in}" if posts_in else " in the next open one"
        st.warning(
            f"**Closed pay periods stay as they are:** {widgets.plain(_short(closed))}. The difference is posted as an "
            f"adjustment{posted}, with its next run.",
            icon=":material/lock:",
        )


def from_day(touched: Touched) -> None:
    """The pay periods that a change from a day on touches."""
    periods([(name, status, "") for name, status in touched.periods], touched.posts_in)


def _short(names: Sequence[str]) -> str:
    """The names, the latest first, those in between only counted."""
    newest = list(reversed(names))
    return ", ".join(newest) if len(newest) <= 8 else f"{', '.join(newest[:6])} and {len(newest) - 6} before these"


def offer(key: str, calculate: Callable[[], Impact]) -> None:
    """A button that calculates everyone's earnings before and after the change, and shows the difference."""
    if not st.button("Calculate what it does to earnings", icon=":material/calculate:", key=key):
        return
    with st.spinner("Calculating earnings before and after the change"):
        try:
            found = calculate()
        except QuotaPathError as error:
            widgets.show_problems(error)
            return
    show(found, key)


def show(found: Impact, key: str) -> None:
    """Whose earnings change, in which pay period, by how much."""
    db, actor = state.database(), auth.require("people.view")
    if found.problems:
        widgets.show_problems(
            ProblemsError([Problem("", "With this change earnings cannot be calculated:"), *found.problems[:20]])
        )
        return
    if found.changes.empty:
        st.success("Nobody's earnings change.", icon=":material/check_circle:")
        return
    names = {person.user_id: person.name for person in people.list_people(db, actor, state.today())}
    frame = found.changes.assign(
        status=found.changes["status"].replace("", "not run yet"),
        person=[names[user_id] for user_id in found.changes["user_id"]],
    )
    sums = frame.groupby("currency")["difference"].sum()
    st.markdown(
        "In all: "
        + ", ".join(
            f"**{'+' if cents > 0 else ''}{widgets.plain(widgets.money(int(cents), str(currency)))}**"
            for currency, cents in sums.items()
        )
    )
    widgets.table(
        frame,
        {
            "period": text_column("Pay period"),
            "status": text_column("Period is"),
            "person": text_column("Person"),
            "before": money_column("Before"),
            "after": money_column("After"),
            "difference": money_column("Difference"),
        },
        key=f"{key}_table",
        export="effect-on-earnings",
    )
    st.caption("Without draws. Periods that are approved or paid stay as they are; the difference is posted later.")

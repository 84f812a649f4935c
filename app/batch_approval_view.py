"""Approving several periods in one step: which of them, what they come to, and what stands against the others."""

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from app import auth, state, widgets
from app.actions import attempt
from app.widgets import money_column, number_column, text_column
from engine.periods import Period
from engine.services import access, batch_approval, statements
from engine.services.access import Actor
from engine.services.batch_approval import Approvable


def _sums(cents: Mapping[str, int]) -> str:
    return " · ".join(widgets.money(amount, currency) for currency, amount in sorted(cents.items())) or "nothing"


def several(actor: Actor, periods: pd.DataFrame) -> None:
    """The button beside the title, while at least two of the periods wait for approval."""
    waiting = periods[periods["status"].isin(("open", "locked")) & periods["run_id"].notna()]["period"].nunique()
    if waiting > 1 and access.may(actor, "payouts.approve"):
        with widgets.tools():
            if st.button(f"Approve several · {waiting}", icon=":material/done_all:"):
                approve_several()


@st.dialog("Approve several periods", width="large", icon=":material/done_all:")
def approve_several() -> None:
    """The periods that wait, the choice, and the button."""
    approve_form(auth.require("payouts.approve"))


def approve_form(actor: Actor) -> None:
    """What the dialog shows."""
    db, today = state.database(), state.today()
    with st.spinner("Looking whether the runs are up to date"):
        found = batch_approval.approvable(db, actor, state.pool())
    if not found:
        st.write("No calculated period waits for approval.")
        return
    titles = {one.period.name: widgets.period_title(one.period) for one in found}
    ready = {one.period.name: one for one in found if not one.blocked}
    _table(found, titles)
    if not ready:
        st.warning("None of them can be approved now; the table says why.", icon=":material/block:")
        return
    ended = [name for name, one in ready.items() if one.period.last_day < today]
    chosen = st.multiselect(
        "Periods to approve",
        list(ready),
        default=ended,
        format_func=titles.__getitem__,
        help="Those that have ended and have nothing against them are chosen.",
        key="approve_several",
    )
    picked = [ready[name] for name in chosen]
    _warn(found, picked, today.toordinal())
    if picked:
        st.markdown(
            f"**{widgets.plain(_sums(batch_approval.total(picked)))}** in {_count(len(picked))} becomes final, for "
            "everyone at once, oldest period first: all of it, or nothing when one of them cannot be approved."
        )
    pressed = st.button(f"Approve {_count(len(picked))}", type="primary", disabled=not picked, key="several_yes")

    def approve() -> None:
        seen = {one.period.name: one.version for one in picked}
        batch_approval.approve_periods(db, state.pool(), actor, seen, today)
        for name in seen:  # everyone's statements are kept as they read now
            state.jobs().submit(actor, statements.JOB, {"period": name})

    if pressed:
        with st.spinner("Approving, oldest first"):
            done = attempt(approve, f"{_count(len(picked)).capitalize()} approved.")
        if done:
            st.rerun()


def _count(count: int) -> str:
    return "1 period" if count == 1 else f"{count} periods"


def _table(found: Sequence[Approvable], titles: Mapping[str, str]) -> None:
    rows = [
        {
            "period": titles[one.period.name],
            "status": "Amounts locked" if one.status == "locked" else "Calculated",
            "earned": cents,
            "currency": currency,
            "people": one.people,
            "disputes": one.disputes,
            "blocked": one.blocked or "Ready",
        }
        for one in found
        for currency, cents in sorted(one.earned.items())
    ]
    frame = pd.DataFrame(rows)
    columns = {
        "period": text_column("Period"),
        "earned": money_column("Earned", help="With manual adjustments"),
        "people": number_column("People"),
        "blocked": text_column("May be approved"),
        "status": text_column("State"),
    }
    if frame["disputes"].any():
        columns["disputes"] = number_column("Open disputes")
    widgets.table(frame, columns, key="approve_several_table", export=f"periods-to-approve-{state.today()}")


def _warn(found: Sequence[Approvable], picked: Sequence[Approvable], today: int) -> None:
    """What to look at before: a period that has not ended, one that is left out before others, open disputes."""
    names = {one.period.name for one in picked}
    running = [one.period for one in picked if one.period.end > today]
    if running:
        st.warning(f"Not ended yet: {_titles(running)}. Deals that close later in it will be paid as adjustments.")
    last = max((one.period.end for one in picked), default=0)
    skipped = [one.period for one in found if one.period.name not in names and one.period.end < last]
    if skipped:
        st.warning(
            f"Left open between or before them: {_titles(skipped)}. What changes in closed periods is posted by the "
            "open one right after the last closed one."
        )
    disputes = sum(one.disputes for one in picked)
    if disputes:
        st.warning(f"{disputes} dispute{' is' if disputes == 1 else 's are'} still open about them.")


def _titles(periods: Sequence[Period]) -> str:
    return ", ".join(widgets.period_title(period) for period in periods)

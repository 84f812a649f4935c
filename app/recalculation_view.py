"""Several periods at once: those that are out of date, and those without a run; and runs that may go."""

import pandas as pd
import streamlit as st

from app import auth, state, widgets
from app.actions import attempt
from app.widgets import money_column, number_column, text_column, time_column
from engine.periods import Period, parse_period, period_of
from engine.services import access, clean_ups, recalculation, runs
from engine.services.access import Actor
from engine.services.recalculation import Stale

_WORDS = {
    "deals.edit": "a deal was edited",
    "deals.import": "deals were imported",
    "plans.edit": "a plan or who is on it",
    "people.edit": "people or teams",
    "quotas.edit": "quotas",
    "quotas.ramp": "a quota's ramp",
    "stages.edit": "pipeline stages",
    "settings.edit": "settings",
}


def out_of_date(actor: Actor, may_start: bool) -> None:
    """Which open periods are out of date and since what; a button that brings them up to date."""
    found = recalculation.stale(state.database(), state.pool(), actor)
    if not found:
        return
    names = [each.verdict.period for each in found]
    st.subheader("Out of date", anchor=False)
    widgets.table(
        pd.DataFrame([_row(each) for each in found]),
        {
            "title": text_column("Period"),
            "people": number_column("People who differ"),
            "difference": money_column("Difference"),
            "since": text_column("Since"),
            "who": text_column("By"),
            "at": time_column("Changed"),
            "made_at": time_column("Calculated"),
        },
        key="run_stale",
        export="periods-out-of-date",
    )
    if may_start and st.button(
        "Bring up to date" if len(names) == 1 else f"Bring {len(names)} periods up to date",
        icon=":material/update:",
        key="bring_up_to_date",
    ):
        _submit(names)


def _row(each: Stale) -> dict[str, object]:
    verdict, since = each.verdict, each.since
    told = "" if since is None else _WORDS.get(since.action, since.action)
    if each.changes > 1:
        told += f" and {each.changes - 1:,} more change{'s' if each.changes > 2 else ''}"
    if not told:
        left_out = f"it was calculated for {each.scope} alone" if each.scope else "a change while it was calculated"
        told = "another period was approved" if each.approved else left_out
    currencies = {one.currency for one in verdict.differing}
    one = len(currencies) == 1
    return {
        "title": widgets.period_title(parse_period(verdict.period)),
        "people": len({one.name for one in verdict.differing}) if not verdict.failed else None,
        "difference": sum(each.now - each.was for each in verdict.differing) if one else None,
        "currency": currencies.pop() if one else "USD",
        "since": verdict.failed or told,
        "who": "" if since is None else since.who,
        "at": None if since is None else since.at,
        "made_at": each.made_at,
    }


def several(period: Period, periods: pd.DataFrame) -> None:
    """Choose several periods of the chosen one's kind and year, such as all months, and calculate them at once."""
    calculated = set(periods.loc[periods["run_id"].notna(), "period"])
    closed = set(periods.loc[periods["status"] != "open", "period"])
    first = period_of("year", period.start)
    names, missing, each = [], [], period_of(period.kind, first.start)
    while each.start < first.end:
        if each.name not in closed and each.start <= state.today().toordinal():
            names.append(each.name)
            if each.name not in calculated and each.end <= state.today().toordinal():
                missing.append(each.name)
        each = each.next()
    with st.popover("Several periods", icon=":material/date_range:"):
        chosen = st.multiselect(
            "Open periods to calculate",
            names,
            missing,  # what has ended and was never calculated
            format_func=lambda name: widgets.period_title(parse_period(name)),
            key=f"run_several_{first.name}",
            placeholder="Choose one or more",
        )
        st.caption("Read once, calculated one after the other. A period that comes to the same keeps its run.")
        if st.button("Calculate them", icon=":material/play_arrow:", disabled=not chosen, key="run_several_start"):
            _submit(chosen)


def _submit(names: list[str]) -> None:
    state.jobs().submit(auth.require("runs.start"), runs.RECALCULATE, {"periods": names})
    st.rerun()


def clean_up(actor: Actor) -> None:
    """How many lines of superseded runs are kept, and for an admin the button that removes them."""
    found = clean_ups.superseded(state.database(), actor)
    if not found.runs or not access.may(actor, "runs.clean"):
        return
    with st.container(horizontal=True, vertical_alignment="center", key="run_clean_up"):
        runs_ = "1 earlier run" if found.runs == 1 else f"{found.runs:,} earlier runs"
        st.caption(f"{runs_} of open periods, which no period shows any more, hold {found.lines:,} lines.")
        if st.button("Remove superseded runs", icon=":material/delete_sweep:"):
            _confirm_clean_up(found.runs, found.lines)


@st.dialog("Remove superseded runs?", icon=":material/delete_sweep:")
def _confirm_clean_up(count: int, lines: int) -> None:
    st.write(
        f"Frees {lines:,} lines of {count:,} runs that a later run took the place of. What periods show, what was "
        "approved or paid, statements, and lines that a dispute or an adjustment names all stay, and so does the "
        "record of each run, with its figures and hashes."
    )
    if st.button("Remove them", type="primary", key="clean_up_yes"):

        def remove() -> None:
            clean_ups.remove_superseded(state.database(), auth.require("runs.clean"))

        if attempt(remove, f"{lines:,} lines were removed."):
            st.rerun()

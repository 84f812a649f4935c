"""For whom to calculate, what that would change and why, and the button that keeps it."""

import re

import streamlit as st

from app import auth, state, widgets
from app.run_view import signed
from app.widgets import Card, date_column, money_column, number_column, text_column
from engine.db.jobs import Job
from engine.errors import QuotaPathError
from engine.periods import Period
from engine.services import people, runs, teams
from engine.services.access import Actor
from engine.services.run_preview import Preview, preview_run
from engine.services.run_scope import EVERYONE, Scope

_WHO = {"everyone": "Everyone", "team": "A team", "people": "People"}
_SHOWN = "run_preview"


def choose_and_look(actor: Actor, period: Period, calculated: bool) -> None:
    """Choose for whom; look at what would change, or calculate at once.  ``calculated``: the period shows a run."""
    title = widgets.period_title(period)
    with st.container(border=True, key="run_choice"):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            scope = _scope(actor, period)
            look = st.button(
                "See what would change",
                icon=":material/compare_arrows:",
                disabled=scope is None or not calculated,
                help=None if calculated else f"{title} has no run yet to compare with.",
            )
            if scope not in (None, EVERYONE) and st.button("Calculate at once", icon=":material/play_arrow:"):
                state.jobs().submit(actor, runs.JOB, {"period": period.name, **scope.arguments()})
                st.rerun()
        if scope not in (None, EVERYONE):
            others = "Everybody else keeps the lines of the last run." if calculated else "The run holds nobody else."
            st.caption(f"{others} What a deal pays others, such as a manager, changes when they are calculated, too.")
    if look and scope is not None:
        _look(actor, period, scope)
    shown = _shown(period)
    if shown is not None and shown[0] != scope:
        st.session_state.pop(_SHOWN, None)  # it was for other people
        shown = None
    if shown is not None:
        _not_as_shown(actor, period, shown[1])
        found = _shown(period)
        if found is not None:
            _show(actor, period, *found)


def _scope(actor: Actor, period: Period) -> Scope | None:
    """For whom; None while nobody is chosen."""
    who = st.segmented_control(
        "Calculate for", list(_WHO), format_func=_WHO.__getitem__, default="everyone", required=True, key="run_who"
    )
    if who == "team":
        found = {team.id: "\u2003" * team.depth + team.name for team in teams.list_teams(
            state.database(), actor, period.last_day)}  # fmt: skip
        team = st.selectbox(
            "Team",
            list(found),
            format_func=found.__getitem__,
            index=None,
            key="run_team",
            placeholder="Manager and everyone below",
            width=280,
        )
        return None if team is None else Scope(team=team)
    if who == "people":
        names = {each.user_id: each.name for each in people.list_people(state.database(), actor, period.last_day)}
        chosen = st.multiselect(
            "People",
            list(names),
            format_func=names.__getitem__,
            key="run_people_chosen",
            placeholder="Choose one or more",
            width=360,
        )
        return Scope(people=tuple(sorted(chosen))) if chosen else None
    return EVERYONE


def _shown(period: Period) -> tuple[Scope, Preview] | None:
    found: tuple[Scope, Preview] | None = st.session_state.get(_SHOWN)
    return found if found is not None and found[1].period == period.name else None


def _look(actor: Actor, period: Period, scope: Scope) -> None:
    st.session_state.pop(_SHOWN, None)
    with st.spinner("Calculating, without keeping anything"):
        try:
            st.session_state[_SHOWN] = scope, preview_run(state.database(), state.pool(), actor, period.name, scope)
        except QuotaPathError as error:
            widgets.show_problems(error)


def _job_of(actor: Actor, period: Period, found: Preview) -> Job | None:
    """The job that keeps what is shown."""
    job = runs.run_job_of(state.database(), actor, period.name)
    return job if job is not None and job.arguments.get("seen") == found.token else None


def _not_as_shown(actor: Actor, period: Period, found: Preview) -> None:
    """After "Keep it": gone when it is kept; shown again, as it is now, when the data has changed meanwhile."""
    job = _job_of(actor, period, found)
    if job is not None and job.status == "done":
        st.session_state.pop(_SHOWN, None)
    elif job is not None and job.status == "failed":
        scope = st.session_state[_SHOWN][0]
        _look(actor, period, scope)


def _show(actor: Actor, period: Period, scope: Scope, found: Preview) -> None:
    title, whom = widgets.period_title(period), found.words or "everyone"
    with st.container(border=True, key="run_preview_box"):
        st.subheader(f"What would change in {title} for {widgets.plain(whom)}", anchor=False)
        if found.people.empty:
            st.success(
                f"Nothing: a run now comes to the same for all {found.same:,}, line by line.",
                icon=":material/check_circle:",
            )
            return
        sums = found.people[found.people["currency"] != ""].groupby("currency")["difference"].sum()
        widgets.cards(
            *(Card("Difference", signed(int(cents), str(currency))) for currency, cents in sums.items()),
            Card("People who differ", f"{found.people['user_id'].nunique():,}"),
            Card("The same", f"{found.same:,}"),
            Card("Lines that differ", f"{len(found.lines) + found.left_off:,}"),
        )
        _tables(period, found)
        _keep(actor, period, scope, found)


def _tables(period: Period, found: Preview) -> None:
    stem = re.sub(r"\W+", "-", f"changes-{period.name}-{found.words}").strip("-").lower()
    chosen = widgets.table(
        found.people,
        {
            "name": text_column("Person"),
            "was": money_column("Was"),
            "now": money_column("Would be"),
            "difference": money_column("Difference"),
            "lines": number_column("Lines"),
            "cause": text_column("Because of"),
        },
        key=f"preview_people_{found.token[:8]}",
        export=f"{stem}-people",
        select=True,
    )
    lines = found.lines
    if chosen is not None:
        lines = lines[lines["user_id"] == found.people.iloc[chosen]["user_id"]]
    of = f" of {widgets.plain(str(found.people.iloc[chosen]['name']))}" if chosen is not None else ""
    st.markdown(f"**Lines**{of}")
    if lines.empty:
        st.caption("No line comes to another amount; draws, what is payable later, or the working of lines differ.")
        return
    lines = lines.assign(deal=lines["deal"].replace("", "Carried from earlier periods"))
    offset = widgets.pager(len(lines), key="preview_page")
    columns = {
        "name": text_column("Person"),
        "what": text_column("Line"),
        "deal": text_column("Deal"),
        "was": money_column("Was"),
        "now": money_column("Would be"),
        "difference": money_column("Difference"),
        "cause": text_column("Because of"),
        "detail": text_column("What was edited"),
        "edited_at": date_column("Edited"),
        "origin_period": text_column("Earned in"),
        "component": text_column("Component"),
        "external_id": text_column("Deal ID"),
    }
    shown = {
        name: column for name, column in columns.items() if lines[name].notna().any() and (lines[name] != "").any()
    }
    widgets.table(lines.iloc[offset : offset + 50], shown, key="preview_lines")
    widgets.exports(lines, shown, f"{stem}-lines")
    if found.left_off:
        st.caption(f"{found.left_off:,} more lines differ. Choose a team or a person to see theirs.")


def _keep(actor: Actor, period: Period, scope: Scope, found: Preview) -> None:
    job = _job_of(actor, period, found)
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Keep it", type="primary", icon=":material/save:", disabled=job is not None):
            starter = auth.require("runs.start")
            arguments = {"period": period.name, **scope.arguments(), "seen": found.token}
            state.jobs().submit(starter, runs.JOB, arguments)
            st.rerun()
        if st.button("Put it away", icon=":material/close:"):
            st.session_state.pop(_SHOWN, None)
            st.rerun()
    st.caption(
        "What is kept is what is shown here: if anything has changed meanwhile, nothing is kept, and you see it."
    )

"""The tools of the quotas page, each in a dialog: paste or upload, copy with growth, ramp, split.

Each shows what it would change before anything is saved.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import pandas as pd
import streamlit as st

from app import auth, state, widgets
from app.actions import attempt
from app.widgets import money_column, number_column, text_column
from engine.analytics import fiscal
from engine.errors import QuotaPathError
from engine.money import format_rate
from engine.periods import add_months, parse_period
from engine.services import people, quota_tools
from engine.services.access import Actor
from engine.services.quota_tools import Proposal
from engine.services.quotas import QuotaGrid

SAVED = "quotas_saved"  # grows with each save, so that the grid's editor is born anew
_KEPT = "quota_proposal"
_USUAL_RAMP = "0/25/50/75/100"


def toolbar(grid: QuotaGrid) -> None:
    """The buttons that open the tools."""
    with st.container(horizontal=True, key="quota_tools"):
        for label, icon, opened in (
            ("Paste", ":material/content_paste:", paste),
            ("Copy", ":material/content_copy:", copy),
            ("Ramp", ":material/trending_up:", ramp),
            ("Split", ":material/call_split:", split),
        ):
            if st.button(label, icon=icon):
                st.session_state.pop(_KEPT, None)
                opened(grid)


@st.dialog("Paste or upload quotas", width="large", icon=":material/content_paste:")
def paste(grid: QuotaGrid) -> None:
    """Rows from a spreadsheet."""
    paste_form(auth.require("quotas.edit"), grid)


@st.dialog("Copy quotas", width="large", icon=":material/content_copy:")
def copy(grid: QuotaGrid) -> None:
    """A period or a year carried forward."""
    copy_form(auth.require("quotas.edit"), grid)


@st.dialog("Ramp a new hire", width="large", icon=":material/trending_up:")
def ramp(grid: QuotaGrid) -> None:
    """The way into the full quota."""
    ramp_form(auth.require("quotas.edit"), grid)


@st.dialog("Split a year's figure", width="large", icon=":material/call_split:")
def split(grid: QuotaGrid) -> None:
    """One figure over the periods of its year."""
    split_form(auth.require("quotas.edit"), grid)


# --- the forms --------------------------------------------------------------------------------------


def paste_form(actor: Actor, grid: QuotaGrid) -> None:
    """A box for copied rows, or a file; then what they would change."""
    st.caption(
        "One line for each person: name, e-mail or code, then the amounts. A first line may name the periods (Q1 2026, "
        f"Jan, 2026-W05); without it they are {_range(grid)}, in order. A download of the grid fits as it is."
    )
    pasted = st.text_area(
        "Copied rows",
        height=150,
        placeholder="Person\tQ1 2026\tQ2 2026\nAna Torres\t$60,000\t65,000.00",
        key="quota_pasted",
    )
    file = st.file_uploader(
        "or a CSV or XLSX file", type=["csv", "tsv", "txt", "xlsx"], max_upload_size=quota_tools.MOST_BYTES // 1_000_000
    )
    clears = st.toggle(
        "Empty cells take the quota away", key="quota_paste_clears", help="Else an empty cell leaves what there is."
    )
    if file is None and not pasted.strip():
        return
    content: str | tuple[bytes, str] = pasted if file is None else (file.getvalue(), file.name)
    _proposed(
        actor,
        (grid.scope, content, clears),
        lambda: quota_tools.propose_table(state.database(), actor, grid.scope, content, clears),
    )


def copy_form(actor: Actor, grid: QuotaGrid) -> None:
    """From which period to which, with how much growth."""
    scope, month = grid.scope, grid.fiscal_month
    options: list[str | None] = [None, *fiscal.periods_of_year(scope.kind, scope.year, month, scope.part)]
    if scope.kind == "year":
        options = options[1:]
    empty = [
        name
        for column, name in enumerate(grid.periods)
        if all(row.amounts[column] is None for row in grid.rows) and name in options
    ]

    def title(name: str | None) -> str:
        if name is None:
            year, before = (fiscal.year_title(each, month) for each in (scope.year, scope.year - 1))
            return f"All {scope.kind}s of {year}, from {before}"
        period = parse_period(name)
        return f"{widgets.period_title(period)}, from {widgets.period_title(period.previous())}"

    target = st.selectbox(
        "Fill", options, options.index(empty[0]) if empty else 0, format_func=title, key="quota_copy_into"
    )
    left, middle, right = st.columns(3, vertical_alignment="bottom")
    growth = left.text_input("Growth in %", "0", key="quota_copy_growth", help="Such as 5 or -2.5")
    whole = middle.toggle(f"Whole {grid.currency}", True, key="quota_copy_whole", help="Rounded half up; else to cents")
    replace_all = right.toggle(
        "Replace what is there", key="quota_copy_replace", help="Else only empty cells are filled"
    )
    _proposed(
        actor,
        (scope, target, growth, whole, replace_all),
        lambda: quota_tools.propose_copy(state.database(), actor, scope, target, growth, whole, replace_all),
    )


def ramp_form(actor: Actor, grid: QuotaGrid) -> None:
    """Who begins when, with which percentages of which full quota."""
    db = state.database()
    names = {row.user_id: row.person for row in grid.rows}
    hired = {person.user_id: person.hired_on for person in people.list_people(db, actor, state.today())}
    saved = {
        each.name: "/".join(format_rate(step).rstrip("%") for step in each.steps)
        for each in quota_tools.saved_ramps(db, actor)
    }
    with st.grid(2, min_column_width=240):
        user_id = st.selectbox(
            "Person", list(names), None, format_func=names.__getitem__, key="quota_ramp_person", placeholder="Choose"
        )
        start = st.selectbox(
            "First month",
            months := _months_around(hired.get(user_id or 0) or state.today()),
            months.index((hired.get(user_id or 0) or state.today()).replace(day=1)),
            format_func=lambda day: f"{day:%B %Y}",
            key=f"quota_ramp_start_{user_id}",
        )
        full = st.text_input("Full quota", placeholder="120,000", key="quota_ramp_full", help=f"In {grid.currency}")
        per = st.segmented_control(
            "for a",
            ["month", "quarter", "year"],
            default=grid.scope.kind if grid.scope.kind in ("quarter", "year") else "month",
            required=True,
            key="quota_ramp_per",
        )
        chosen = st.selectbox("Ramp", ["Usual", *saved], key="quota_ramp_saved")
        steps = st.text_input(
            "% of the full quota, month by month",
            saved.get(chosen, _USUAL_RAMP),
            key=f"quota_ramp_steps_{chosen}",
            help="After the last month the full quota goes on to the end of the fiscal year.",
        )
    kind = _kind("Write quotas by", ("month", "quarter"), grid, "quota_ramp_kind")
    _keep_ramp(actor, chosen if chosen in saved else "", steps)
    if user_id is None or not full.strip():
        st.caption("Choose the person and give the full quota; the months are shown before they are saved.")
        return
    scope = replace(grid.scope, kind=kind, part=None)
    _proposed(
        actor,
        (scope, user_id, start, steps, full, per),
        lambda: quota_tools.propose_ramp(db, actor, scope, user_id, start, steps, full, per),
    )


def _months_around(day: date) -> list[date]:
    """The first days of two years' months around a day."""
    first = day.replace(day=1).toordinal()
    return [date.fromordinal(add_months(first, months)) for months in range(-12, 13)]


def _keep_ramp(actor: Actor, saved: str, steps: str) -> None:
    with st.popover("Save or forget this ramp", icon=":material/bookmark:"):
        name = st.text_input("Name", saved, max_chars=100, placeholder="Enterprise, five months", key=f"ramp_{saved}")
        keep, forget = st.columns(2)
        if keep.button("Save", icon=":material/save:", key="ramp_save") and attempt(
            lambda: quota_tools.save_ramp(state.database(), actor, name, steps), f"The ramp {name} is saved."
        ):
            st.rerun(scope="fragment")
        if forget.button("Forget", icon=":material/delete:", disabled=not saved, key="ramp_forget") and attempt(
            lambda: quota_tools.forget_ramp(state.database(), actor, saved), f"The ramp {saved} is forgotten."
        ):
            st.rerun(scope="fragment")


def split_form(actor: Actor, grid: QuotaGrid) -> None:
    """Whose figure, and how it is shared out."""
    names = {row.user_id: row.person for row in grid.rows}
    year = fiscal.year_title(grid.scope.year, grid.fiscal_month)
    own = grid.fiscal_month == 1
    chosen = st.multiselect(
        "People",
        list(names),
        format_func=names.__getitem__,
        placeholder=f"Everyone with a quota for the year {year}" if own else "Choose",
        key="quota_split_people",
    )
    with st.grid(2, min_column_width=240):
        figure = st.text_input(
            f"Figure of the year, in {grid.currency}",
            placeholder="Each one's own quota of the year" if own else "480,000",
            key="quota_split_figure",
            help="For each of the people.",
        )
        shape = st.segmented_control(
            "How", ["Evenly", "Like last year"], default="Evenly", required=True, key="quota_split_shape"
        )
    kind = _kind("Into", ("week", "month", "quarter"), grid, "quota_split_kind")
    if not (chosen and figure.strip()) and not (own and (chosen or "year" in grid.kinds_set)):
        st.caption(f"Choose people and give the figure of {year}.")
        return
    scope = replace(grid.scope, kind=kind, part=None)
    _proposed(
        actor,
        (scope, tuple(chosen), figure, shape),
        lambda: quota_tools.propose_split(state.database(), actor, scope, chosen, figure, shape == "Like last year"),
    )


def _kind(label: str, kinds: Sequence[str], grid: QuotaGrid, key: str) -> str:
    """A kind of period to write: the one shown, else one by which plans count."""
    first = next((kind for kind in (grid.scope.kind, *grid.kinds_counted) if kind in kinds), "quarter")
    return st.segmented_control(
        label, kinds, default=first, format_func=str.capitalize, required=True, key=f"{key}_{grid.scope.kind}"
    )


def _range(grid: QuotaGrid) -> str:
    first, last = (widgets.period_title(parse_period(grid.periods[at])) for at in (0, -1))
    return first if first == last else f"{first} to {last}"


# --- what would change ------------------------------------------------------------------------------


def _proposed(actor: Actor, inputs: tuple[Any, ...], make: Callable[[], Proposal]) -> None:
    """What would change, and the button that saves just that.

    The proposal is made once for the same inputs: what is saved is what was looked at.
    """
    kept = st.session_state.get(_KEPT)
    if kept is None or kept[0] != inputs:
        try:
            kept = (inputs, make())
        except QuotaPathError as error:
            widgets.show_problems(error)
            return
        st.session_state[_KEPT] = kept
    proposal: Proposal = kept[1]
    leave_out = _problems(proposal)
    for note in proposal.notes:
        st.caption(widgets.plain(note))
    if not proposal.quotas:
        st.info(
            "Nothing would change." + (f" {proposal.same:,} quotas are as they would be." if proposal.same else ""),
            icon=":material/check:",
        )
        return
    _table(proposal)
    closed_warning(proposal.closed)
    count = len(proposal.quotas)
    if st.button(
        f"Save {count:,} quota{'s' if count != 1 else ''}",
        type="primary",
        icon=":material/save:",
        disabled=bool(proposal.problems) and not leave_out,
        key="quota_proposal_save",
    ):
        if attempt(lambda: quota_tools.save_proposal(state.database(), actor, proposal), f"{count:,} saved."):
            st.session_state.pop(_KEPT, None)
            st.session_state[SAVED] = st.session_state.get(SAVED, 0) + 1
            st.rerun()
        st.session_state.pop(_KEPT, None)
        st.button("Show what is there now", key="quota_proposal_again")


def _problems(proposal: Proposal) -> bool:
    """The cells that cannot be used, and whether they are to be left out."""
    if not proposal.problems:
        return False
    count = len(proposal.problems)
    st.error(f"{count:,} cell{'s' if count != 1 else ''} cannot be used.", icon=":material/error:")
    frame = pd.DataFrame(
        {
            "line": [problem.line for problem in proposal.problems],
            "column": [problem.column for problem in proposal.problems],
            "text": [problem.text for problem in proposal.problems],
            "why": [f"{problem.why} {problem.remedy}".rstrip() for problem in proposal.problems],
        }
    )
    widgets.table(
        frame,
        {
            "line": number_column("Line"),
            "column": text_column("Column"),
            "text": text_column("Cell"),
            "why": text_column("Why"),
        },
        key="quota_problems",
        export="quota-problems",
    )
    return bool(proposal.quotas) and st.checkbox("Leave these cells out and save the others", key="quota_leave_out")


def _table(proposal: Proposal) -> None:
    rows = proposal.quotas
    everyone = len({row.user_id for row in rows})
    same = f"; {proposal.same:,} {'stays' if proposal.same == 1 else 'stay'} the same" if proposal.same else ""
    st.markdown(
        f"**{len(rows):,} quota{'s' if len(rows) != 1 else ''} of {everyone:,} "
        f"{'person' if everyone == 1 else 'people'} would change{same}.**"
    )
    frame = pd.DataFrame(
        {
            "person": [row.person for row in rows],
            "period": [widgets.period_title(parse_period(row.period)) for row in rows],
            "before": pd.array([row.before for row in rows], dtype="Int64"),
            "after": pd.array([row.after for row in rows], dtype="Int64"),
        }
    )
    columns = {
        "person": text_column("Person"),
        "period": text_column("Period"),
        "before": money_column("Now", proposal.currency),
        "after": money_column("Then", proposal.currency),
    }
    with st.container(height=320 if len(rows) > 7 else "content", border=False):
        widgets.table(frame, columns, key="quota_proposal_table")
    before, after = (sum(amounts) for amounts in ([row.before or 0 for row in rows], [row.after or 0 for row in rows]))
    st.caption(
        widgets.plain(
            f"Together {widgets.money(before, proposal.currency)} now, {widgets.money(after, proposal.currency)} then."
            + (f" For {proposal.component} alone." if proposal.component else "")
        )
    )


def closed_warning(closed: Sequence[str]) -> None:
    """Say what a change in closed periods does; nothing where there is none."""
    if closed:
        names = ", ".join(widgets.period_title(parse_period(name)) for name in closed)
        st.warning(
            f"{names}: pay is closed there and does not move. The difference is posted by the run of the next open "
            "period.",
            icon=":material/lock:",
        )

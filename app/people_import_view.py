"""People by file: the list given, what it would do row by row, what that does to pay, and then all of it."""

from datetime import date

import pandas as pd
import streamlit as st

from app import auth, effect_view, state, widgets
from app.actions import attempt
from app.people_rows import CANNOT_SIGN_IN, people_count
from app.widgets import Card, number_column, text_column
from engine.errors import QuotaPathError
from engine.imports.people import HEADERS
from engine.services import pay_periods, people_import
from engine.services.access import Actor
from engine.services.people_import import Entry, Roster, RosterPreview
from engine.sheets import to_csv

_KINDS = {"add": "Added", "change": "Changed", "same": "Left alone", "refuse": "Refused"}


@st.dialog("Import people", width="large", icon=":material/playlist_add:")
def import_people() -> None:
    """Many people at once, from a spreadsheet."""
    import_form(auth.require("people.edit"))


def import_form(actor: Actor) -> None:
    """A file or pasted lines, the preview, and the button that does it."""
    db, today = state.database(), state.today()
    st.caption(
        "A line for each person, known by the e-mail address. What is empty stays as it is. A team that there is not "
        "yet is made; a team without a manager gets the one that is named."
    )
    with st.container(horizontal=True):
        widgets.download("Template", "people-template.csv", people_import.template, "text/csv", recorded=True)
        widgets.download(
            "Everyone as they are",
            f"people-to-edit-{today}.csv",
            lambda: to_csv(tuple(HEADERS.values()), people_import.export_roster(db, actor, today)),
            "text/csv",
        )
    file = st.file_uploader("CSV or Excel file", type=["csv", "tsv", "txt", "xlsx"], max_upload_size=10)
    pasted = (
        ""
        if file is not None
        else st.text_area(
            "or paste from a spreadsheet",
            height=110,
            placeholder=f"{', '.join(HEADERS.values())}\nAna Torres, ana@example.com, rep, West, Mia Lang, 2026-01-01",
        )
    )
    if file is None and not pasted.strip():
        return
    start = st.date_input(
        "Changes hold from",
        today,
        format="YYYY-MM-DD",
        min_value=date(1960, 1, 1),
        help="Another team, manager or plan of somebody who is there already. New people begin on their hire date.",
        width=220,
    )
    data, name = (pasted.encode(), "") if file is None else (file.getvalue(), file.name)
    try:
        roster = people_import.read_roster(data, name)
        seen = people_import.preview_people(db, actor, roster, start)
    except QuotaPathError as error:
        widgets.show_problems(error)
        return
    _preview(roster, seen)
    _apply(actor, roster, seen, start)


def _preview(roster: Roster, seen: RosterPreview) -> None:
    widgets.cards(*(Card(label, f"{seen.count(kind):,}") for kind, label in _KINDS.items()))
    if roster.ignored:
        st.caption(f"Columns that mean nothing here: {widgets.plain(', '.join(roster.ignored))}.")
    shown = [entry for entry in seen.entries if entry.kind != "same"]
    # What needs the reader stands first.
    shown.sort(key=lambda entry: entry.kind != "refuse")
    if shown:
        frame = pd.DataFrame(
            {
                "line": [entry.row.line for entry in shown],
                "what": [_KINDS[entry.kind] for entry in shown],
                "name": [entry.row.name for entry in shown],
                "email": [entry.row.email for entry in shown],
                "details": [_why(entry) or "; ".join(entry.changes) for entry in shown],
            }
        )
        widgets.table(
            frame,
            {
                "line": number_column("Line"),
                "what": text_column("What"),
                "details": text_column("What changes, or why not"),
                "name": text_column("Name"),
                "email": text_column("E-mail"),
            },
            key="roster_preview",
        )
    refused = [(entry.row, entry.reasons) for entry in seen.entries if entry.kind == "refuse"]
    if refused:
        widgets.download(
            "Refused rows with the reasons",
            "people-refused.csv",
            lambda: people_import.refused_csv(roster, refused),
            "text/csv",
        )


def _why(entry: Entry) -> str:
    """Why a row is refused, and what to do."""
    return " ".join(f"{reason.path.capitalize()}: {reason.message} {reason.remedy}" for reason in entry.reasons)


def _apply(actor: Actor, roster: Roster, seen: RosterPreview, start: date) -> None:
    db, today = state.database(), state.today()
    refused = seen.count("refuse")
    parts = [f"{kind} {count:,}" for kind in ("add", "change") if (count := seen.count(kind))]
    total = seen.count("add") + seen.count("change")
    if not parts:
        if not refused:
            st.success("Everyone is as the list says. There is nothing to do.", icon=":material/check_circle:")
        return
    if seen.new_teams:
        st.caption(
            f"New {'team' if len(seen.new_teams) == 1 else 'teams'}: {widgets.plain(', '.join(seen.new_teams))}."
        )
    if seen.moves_pay_from:
        effect_view.from_day(pay_periods.touched_from(db, actor, seen.moves_pay_from))
        effect_view.offer(
            "roster_effect", lambda: people_import.roster_impact(db, state.pool(), actor, roster, start, today)
        )
    if seen.count("add"):
        st.caption(CANNOT_SIGN_IN)
    leave_out = refused > 0 and st.checkbox(
        f"Leave the {refused:,} refused {'row' if refused == 1 else 'rows'} out", key="roster_leave_out"
    )
    label = f"{' and '.join(parts).capitalize()} {'person' if total == 1 else 'people'}"
    if st.button(label, type="primary", disabled=refused > 0 and not leave_out) and attempt(
        lambda: people_import.import_people(db, actor, roster, start, seen, today, leave_out),
        f"{people_count(total)} imported.",
    ):
        st.rerun()
    if refused and not leave_out:
        st.caption("Correct the refused rows and give the list again, or leave them out.")

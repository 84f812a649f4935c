"""What an approver reads before approving: what has changed in closed periods and why; and who owes."""

import re
from datetime import datetime

import pandas as pd
import streamlit as st

from app import auth, navigation, state, widgets
from app.widgets import Card, date_column, money_column, number_column, text_column
from engine.services import approvals
from engine.services.access import Actor
from engine.services.approvals import Review

_KINDS = {"adjusted": "Adjustment", "clawed_back": "Clawback", "manual": "Manual adjustment", "repaid": "Draw repaid"}


@st.cache_data(max_entries=8, show_spinner="Looking for what has changed")
def _review(_actor: Actor, run_id: int, calculated_at: datetime) -> Review:  # noqa: ARG001 - a part of the key
    """A run is kept once and never changes, so what it posts is read once."""
    return approvals.review(state.database(), _actor, run_id)


def review(run_id: int, calculated_at: datetime) -> Review:
    """The discrepancies of a run; the viewer's right is asked every time."""
    return _review(auth.require("payouts.view"), run_id, calculated_at)


def changes(found: Review, period: str, title: str) -> None:
    """Person by person what was approved and what it comes to now, the causes, and the lines behind."""
    if found.changes.empty:
        widgets.empty(
            "Nothing has changed in closed periods",
            f"What was approved before is what the deals, quotas and plans still say, so {title} corrects nothing.",
            icon=":material/done_all:",
        )
        return
    with st.container(horizontal=True, vertical_alignment="center", key="change_filters"):
        text = st.text_input(
            "Search",
            key="change_text",
            icon=":material/search:",
            placeholder="Person, team, deal or ID",
            label_visibility="collapsed",
            width=260,
        )
        causes = sorted({one for cause in found.changes["cause"] for one in cause.split("; ")})
        cause = st.pills("Cause", causes, key="change_cause", label_visibility="collapsed")
    lines = _filtered(found.changes, text or "", cause)
    people = _filtered(found.people[found.people["user_id"].isin(lines["user_id"])], "", None)
    parts = [re.sub(r"\W+", "-", part.lower()).strip("-") for part in (cause, text) if part]
    stem = "-".join([period, *parts])
    sums = lines.groupby("currency")["difference"].sum()
    widgets.cards(
        *(Card("Difference", widgets.money(int(cents), str(currency))) for currency, cents in sums.items()),
        Card("People affected", f"{lines['user_id'].nunique():,}"),
        Card("Lines", f"{len(lines):,}"),
    )
    st.markdown("**People**")
    chosen = widgets.table(
        people,
        {
            "name": text_column("Person"),
            "origin_period": text_column("Closed period"),
            "approved": money_column("Approved then", help="All that was posted for the period so far"),
            "earned": money_column("Earned now"),
            "difference": money_column("Difference"),
            "cause": text_column("Because of"),
            "team": text_column("Team"),
        },
        key=f"change_people_{stem}",  # other filters have other rows, and none is chosen yet
        export=f"discrepancies-people-{stem}",
        select=True,
    )
    if chosen is not None:
        person = people.iloc[chosen]
        own = (lines["user_id"] == person["user_id"]) & (lines["origin_period"] == person["origin_period"])
        lines = lines[own]
    st.markdown(
        f"**Lines** of {widgets.plain(str(people.iloc[chosen]['name']))}" if chosen is not None else "**Lines**"
    )
    offset = widgets.pager(len(lines), key="change_page")
    columns = {
        "name": text_column("Person"),
        "deal": text_column("Deal"),
        "approved": money_column("Approved then"),
        "earned": money_column("Earned now"),
        "difference": money_column("Difference"),
        "cause": text_column("Because of"),
        "detail": text_column("What was edited"),
        "edited_at": date_column("Edited"),
        "origin_period": text_column("Closed period"),
        "component": text_column("Component"),
        "external_id": text_column("Deal ID"),
        "lines": number_column("Lines"),
    }
    shown = {name: column for name, column in columns.items() if name in lines and lines[name].notna().any()}
    lines = lines.assign(deal=lines["deal"].fillna("Carried from earlier periods"))
    widgets.table(lines.iloc[offset : offset + 50], shown, key="change_lines")
    widgets.exports(lines, shown, f"discrepancies-{stem}")


def _filtered(frame: pd.DataFrame, text: str, cause: str | None) -> pd.DataFrame:
    keep = pd.Series(True, index=frame.index)
    if cause:
        keep &= frame["cause"].str.contains(cause, regex=False)
    if text.strip():
        told = frame[["name", "team", "deal", "external_id"]].fillna("").agg(" ".join, axis=1)
        keep &= told.str.contains(text.strip(), case=False, regex=False)
    return frame[keep].reset_index(drop=True)


def overpaid(found: pd.DataFrame, day: str) -> None:
    """Whoever has had more than is due: nobody is asked for money, the next payouts hold it back."""
    if found.empty:
        widgets.empty(
            "Nobody owes anything",
            "Whoever was paid more than a later correction leaves due is listed here until it is made good.",
            icon=":material/balance:",
        )
        return
    sums = found.groupby("currency")["owes"].sum()
    widgets.cards(
        *(Card("Owed in all", widgets.money(int(cents), str(currency))) for currency, cents in sums.items()),
        Card("People", f"{len(found):,}"),
        Card("Of them gone", f"{int((~found['is_active']).sum()):,}", help="No payout comes that could hold it back"),
    )
    frame = found.assign(
        kind=found["kind"].map(_KINDS).fillna(found["kind"]), is_active=found["is_active"].map(_ACTIVE)
    )
    chosen = widgets.table(
        frame,
        {
            "name": text_column("Person"),
            "owes": money_column("Owes"),
            "since": date_column("Since"),
            "what": text_column("By", help="The largest entry that took the balance below zero"),
            "kind": text_column("Kind"),
            "amount": money_column("Entry"),
            "period": text_column("Posted in"),
            "is_active": text_column("Person is"),
        },
        key="overpaid",
        export=f"overpaid-{day}",
        select=True,
    )
    st.caption("The next payouts hold it back. Choose a person to see the period in which it arose.")
    if chosen is not None:
        row = found.iloc[chosen]
        navigation.open_page("earnings", {"period": row["period"], "person": row["code"]})


_ACTIVE = {True: "active", False: "gone"}

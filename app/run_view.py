"""The progress of a run, refreshed by itself until the run is over."""

from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from app import auth, navigation, state, widgets
from app.widgets import Column
from engine.errors import QuotaPathError
from engine.periods import Period
from engine.services import runs
from engine.services.access import Actor

_RECENT_SECONDS = 600


def progress(actor: Actor, period: str) -> None:
    """The bar of the period's running job, or what came of the last one."""
    job = runs.run_job_of(state.database(), actor, period)
    if job is None:
        return
    if not job.is_over:
        _bar(period)
    elif job.status == "failed":
        widgets.show_problems(QuotaPathError(job.message))
    elif job.status == "cancelled":
        st.info("The last run was cancelled; nothing of it was kept.", icon=":material/cancel:")
    elif job.finished_at and (datetime.now(UTC) - job.finished_at).total_seconds() < _RECENT_SECONDS:
        seconds = (job.finished_at - (job.started_at or job.created_at)).total_seconds()
        st.success(f"Calculated in {seconds:.1f} s.", icon=":material/check_circle:")


@st.fragment(run_every="1s")
def _bar(period: str) -> None:
    actor = auth.require("runs.view")
    widgets.job_bar(runs.run_job_of(state.database(), actor, period))


def outdated(period: Period, link: bool = True) -> None:
    """Say that a run is of before a change, with the way to Runs for whoever may go there."""
    with st.container(horizontal=True, vertical_alignment="center", key="outdated"):
        st.warning(
            f"Deals, people, plans, quotas or rates have changed since {widgets.period_title(period)} was calculated, "
            "so its figures may be out of date. They are calculated again before they are approved.",
            icon=":material/update:",
        )
        if link:
            navigation.link("runs", "Run it again", {"period": period.name})


def empty(title: str, may_start: bool) -> None:
    """What a period without a run shows: what to do next, to whoever may do it."""
    icon = ":material/calculate:"
    if may_start:
        text = "Upload the deals, publish and assign a plan, then run the period."
        widgets.empty(f"{title} has not been calculated", text, page="upload", link="Upload deals", icon=icon)
    else:
        widgets.empty(
            f"{title} has not been calculated", "Its figures appear here once an admin has run it.", icon=icon
        )


def total(people: pd.DataFrame) -> None:
    """What everyone earned together, one card a currency, and how many are in it."""
    earners = int(people["earned"].ne(0).sum())
    widgets.cards(
        *(
            widgets.Card("Earned in all", widgets.money(int(cents), str(currency)))
            for currency, cents in people.groupby("currency")["earned"].sum().items()
        ),
        widgets.Card("People with earnings", f"{earners} of {len(people)}"),
    )


def people_columns(people: pd.DataFrame) -> dict[str, Column]:
    """The columns of what each person earned; those about draws and closed periods only where there is something."""
    columns = {
        "name": widgets.text_column("Person"),
        "earned": widgets.money_column("Earned"),
        "adjusted": widgets.money_column("Corrections in it", help="The part of Earned that corrects closed periods"),
        "drawn": widgets.money_column("Draw", help="Advanced by the draw; repaid when negative"),
        "draw_balance": widgets.money_column("Draw balance"),
        "manual": widgets.money_column("Manual adjustments", help="Given by hand, on top of what is earned"),
        "deferred": widgets.money_column("Payable later"),
        "due": widgets.money_column("Due"),
        "reversed": widgets.money_column("Taken back", help="Paid and taken back; the next payout pays it"),
        "team": widgets.text_column("Team"),
    }
    always = ("name", "team", "earned")
    return {name: column for name, column in columns.items() if name in always or people[name].fillna(0).ne(0).any()}

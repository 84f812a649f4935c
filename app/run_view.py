"""The progress of a run, refreshed by itself until the run is over."""

from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from app import auth, navigation, state, widgets
from app.people_rows import people_count
from app.widgets import Column
from engine.errors import QuotaPathError
from engine.periods import Period
from engine.services import runs
from engine.services.access import Actor
from engine.services.freshness import Verdict

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
        same = period in (job.result or {}).get("unchanged", ())
        st.success(
            f"Calculated in {seconds:.1f} s{': it comes to the same, so the run is kept as it was' if same else ''}.",
            icon=":material/check_circle:",
        )


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


def differing(verdict: Verdict, period: Period) -> None:
    """Say that a run is out of date, for whom and by how much."""
    title = widgets.period_title(period)
    if verdict.failed or not verdict.differing:
        outdated(period, link=False)
        return
    moved = [each for each in verdict.differing if each.was != each.now]
    first = sorted(moved, key=lambda each: -abs(each.now - each.was))[:3]
    told = [f"{each.name} {signed(each.now - each.was, each.currency)}" for each in first]
    more = f" and {len(moved) - 3} more" if len(moved) > 3 else ""
    people = "1 person differs" if len(verdict.differing) == 1 else f"{len(verdict.differing)} people differ"
    st.warning(
        f"{title} is out of date: {people}. "
        + (widgets.plain(", ".join(told) + more) + "." if told else "They earn the same, by other lines or draws."),
        icon=":material/update:",
    )


def signed(cents: int, currency: str) -> str:
    """Money with its sign: ``+$5.00``."""
    return f"{'+' if cents > 0 else ''}{widgets.money(cents, currency)}"


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
        "payable": widgets.money_column("Payable now", help="What a payout that is approved today pays"),
        "due": widgets.money_column("Due"),
        "paid": widgets.money_column("Paid so far"),
        "open": widgets.money_column("Not paid yet"),
        "released": widgets.money_column("Released", help="Due again; the next payout takes it"),
        "reversed": widgets.money_column("Taken back", help="Paid and taken back; the next payout pays it"),
        "team": widgets.text_column("Team"),
    }
    always = ("name", "team", "earned")
    # Of a payout that is paid whole, what is paid is what was due.
    same = "paid" in people and people["paid"].fillna(0).eq(people["due"].fillna(0)).all()
    return {
        name: column
        for name, column in columns.items()
        if name in always or (name in people and not (same and name == "paid") and people[name].fillna(0).ne(0).any())
    }


_NAMED = 5  # of those without a plan; more are counted


def without_plan(found: pd.DataFrame) -> None:
    """Who won deals and is on no plan for them: nothing is silent that pays nothing.  Draws nothing without any."""
    if found.empty:
        return
    sums = found.groupby("currency")["amount"].sum()
    worth = " and ".join(widgets.money(int(cents), str(currency)) for currency, cents in sums.items())
    by_name = found.groupby("name")["deals"].sum()
    named = ", ".join(f"{name} ({count:,})" for name, count in by_name.head(_NAMED).items())
    more = f" and {people_count(len(by_name) - _NAMED)} more" if len(by_name) > _NAMED else ""
    count = int(found["deals"].sum())
    st.warning(
        widgets.plain(
            f"{count:,} won deal{'' if count == 1 else 's'} worth {worth} pay{'s' if count == 1 else ''} the owner "
            f"nothing, who was on no plan on the close date: {named}{more}."
        ),
        icon=":material/person_alert:",
    )
    navigation.link("plans", "Put them on a plan")

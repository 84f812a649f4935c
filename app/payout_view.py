"""The steps of a payout, and the questions before each."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

from app import auth, state, widgets
from engine.errors import QuotaPathError
from engine.periods import Period
from engine.services import payouts


def steps(row: "pd.Series[Any]") -> None:
    """Where a pay period stands: calculated, approved, paid, each with its time."""
    with st.container(horizontal=True, vertical_alignment="center"):
        _step("Calculated", row["calculated_at"], ":material/calculate:")
        _step("Approved", row["approved_at"], ":material/task_alt:")
        _step("Paid", row["paid_at"], ":material/payments:")


def _step(name: str, moment: pd.Timestamp | None, icon: str) -> None:
    if pd.isna(moment):
        st.badge(f"Not {name.lower()} yet", icon=":material/radio_button_unchecked:", color="gray")
    else:
        st.badge(f"{name} {moment:%Y-%m-%d %H:%M} UTC", icon=icon, color="green")


@st.dialog("Approve this period?", icon=":material/task_alt:")
def confirm_approval(period: Period, row: "pd.Series[Any]") -> None:
    """Ask, then approve."""
    title = widgets.period_title(period)
    st.write(
        f"{widgets.plain(widgets.money(int(row['earned']), row['currency'] or 'USD'))} earned by "
        f"{int(row['people'])} people becomes final. {title} never moves again; later changes to its deals are "
        "posted as adjustments in the next open period."
    )
    if period.last_day >= state.today():
        st.warning(f"{title} has not ended yet: deals that close later in it will be paid as adjustments.")
    if st.button("Approve", type="primary", key="approve_yes"):
        _do(lambda: payouts.approve_period(state.database(), auth.require("payouts.approve"), period.name))


@st.dialog("Mark as paid?", icon=":material/payments:")
def confirm_payment(period: Period, row: "pd.Series[Any]") -> None:
    """Ask, then record the payment."""
    st.write(
        f"Records that {widgets.plain(widgets.money(int(row['due']), row['currency'] or 'USD'))} of "
        f"{widgets.period_title(period)} was paid. Do this when payroll has it; it is recorded once, whoever presses."
    )
    if st.button("Mark as paid", type="primary", key="pay_yes"):
        _do(lambda: payouts.mark_paid(state.database(), auth.require("payouts.pay"), period.name))


def _do(action: Callable[[], object]) -> None:
    try:
        action()
    except QuotaPathError as error:
        widgets.show_problems(error)
    else:
        st.rerun()

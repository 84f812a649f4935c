"""Approve a calculated period, pay it, and export the payroll file."""

import streamlit as st

from app import auth, state, widgets
from app.payout_view import confirm_approval, confirm_payment, steps
from app.run_view import people_columns
from app.widgets import Card, text_column
from engine.services import access, payouts, runs

actor = auth.require("payouts.view")
db = state.database()

widgets.header("Payouts", "Approve what was calculated, pay it once, hand payroll its file.")
period = widgets.period_filter(runs.pay_kinds(db, actor), default=runs.last_run_period(db, actor))
title = widgets.period_title(period)
periods = payouts.list_periods(db, actor)
found = periods[periods["period"] == period.name]

if found.empty:
    widgets.empty(
        f"{title} has not been calculated",
        "Run the period first; then it can be approved and paid.",
        page="runs",
        link="Open runs",
        icon=":material/account_balance:",
    )
    st.stop()

row = found.iloc[0]
people = payouts.period_people(db, actor, period.name)
steps(row)
widgets.cards(
    Card("Earned", widgets.money(int(row["earned"]), row["currency"] or "USD")),
    Card(
        "Due" if row["status"] != "paid" else "Paid",
        widgets.money(int(row["due"]), row["currency"] or "USD") if row["status"] != "open" else "after approval",
        help="Earned, plus or minus draws and balances carried over; nobody is due less than nothing",
    ),
    Card("People", f"{int(row['people']):,}"),
    Card("Lines", f"{int(row['lines']):,}"),
)
with widgets.tools():
    may_approve = row["status"] == "open" and access.may(actor, "payouts.approve")
    if may_approve and st.button(f"Approve {title}", type="primary", icon=":material/task_alt:"):
        confirm_approval(period, row)
    may_pay = row["status"] == "approved" and access.may(actor, "payouts.pay")
    if may_pay and st.button(f"Mark {title} as paid", type="primary", icon=":material/payments:"):
        confirm_payment(period, row)
    if row["status"] != "open" and access.may(actor, "payouts.export"):
        widgets.download(
            "Payroll file",
            f"payroll-{period.name}.csv",
            lambda: payouts.payroll_file(db, actor, period.name),
            "text/csv",
        )

st.subheader("People", anchor=False)
widgets.table(
    people,
    {**people_columns(people), "code": text_column("Employee code")},
    key="payout_people",
    export=f"payout-{period.name}",
)

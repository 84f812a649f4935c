"""Approve a calculated period, pay it, take payments back, and export the payroll file."""

import streamlit as st

from app import auth, state, widgets
from app.actions import show_done
from app.adjustment_view import adjustments_table
from app.batch_approval_view import several
from app.payment_view import payments, reversals
from app.payout_view import actions, steps, totals, view, waiting
from app.review_view import changes, overpaid, review
from app.run_view import people_columns
from app.widgets import text_column
from engine.services import approvals, payouts, runs

actor = auth.require("payouts.view")
db = state.database()
show_done()

widgets.header("Payouts", "Approve what was calculated, pay it at once or in parts, hand payroll its file.")
period = widgets.period_filter(runs.pay_kinds(db, actor), default=runs.last_run_period(db, actor))
title = widgets.period_title(period)
waiting(approvals.queue(db, actor), period.name)
periods = payouts.list_periods(db, actor)
found = periods[periods["period"] == period.name]
status = "open" if found.empty else found["status"].iloc[0]
people = payouts.period_people(db, actor, period.name, state.today())
before = approvals.standing(db, actor, period.name, state.pool())

several(actor, periods)
if not found.empty:
    steps(found.iloc[0])
    totals(people, status)
    actions(actor, period, people, found.iloc[0], before)

chosen = view(actor, {"changes": before.changes, "adjustments": before.manual})
if chosen == "adjustments":
    adjustments_table(actor, period, status)
elif chosen == "overpaid":
    overpaid(approvals.overpaid(db, actor), state.today().isoformat())
elif found.empty:
    widgets.empty(
        f"{title} has not been calculated",
        "Run the period first; then it can be approved and paid.",
        page="runs",
        link="Open runs",
        icon=":material/account_balance:",
    )
elif chosen == "changes":
    changes(review(int(found["run_id"].iloc[0]), found["calculated_at"].iloc[0]), period.name, title)
else:
    widgets.table(
        people,
        {**people_columns(people), "code": text_column("Employee code")},
        key="payout_people",
        export=f"payout-{period.name}",
    )
    payments(actor, period.name)
    reversals(actor, period.name)
st.caption("Approving closes a period for everyone at once: a locked period never moves.")

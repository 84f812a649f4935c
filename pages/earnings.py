"""What one person earned in a pay period, line by line and why, and as a statement to keep."""

import streamlit as st

from app import auth, dispute_view, payable_view, run_view, state, statement_view, widgets
from app.actions import show_done
from app.adjustment_view import person_adjustments
from app.earnings_view import choose_person, explanation, lines_table, overridden, summary
from engine.periods import KINDS
from engine.services import earnings, freshness, payables, runs

actor = auth.require("earnings.view")
db = state.database()
show_done()

widgets.header("Earnings", "Every line of pay, and the working behind it.")
view = statement_view.choose_view()
pay_kinds = runs.pay_kinds(db, actor)
longer = [kind for kind in KINDS if kind not in pay_kinds and kind != "week"]
period = widgets.period_filter(
    [*pay_kinds, *longer] if view == "statements" else pay_kinds, default=runs.last_run_period(db, actor)
)
title = widgets.period_title(period)
if view == "statements":
    statement_view.show_list(actor, period, pay_kinds)
    st.stop()

people = earnings.payees(db, actor, period.name)
if people.empty:
    widgets.empty(
        f"No earnings in {title} yet",
        "They appear here as soon as the period has been calculated.",
        page="runs",
        link="Open runs",
        icon=":material/payments:",
    )
    st.stop()

person = choose_person(actor, people)
if freshness.outdated(db, actor, period.name, state.pool()):
    run_view.outdated(period)
if view == "statement":
    statement_view.show(actor, int(person["user_id"]), period)
    st.stop()
earned = earnings.earned(db, actor, int(person["user_id"]), period.name)
if earned is None:
    widgets.empty(
        f"{title} has not been calculated for {person['name']}",
        "The lines appear here once the period has been run.",
        page="runs",
        link="Open runs",
        icon=":material/payments:",
    )
    person_adjustments(actor, int(person["user_id"]), period.name)
    st.stop()
later = payables.schedule(db, actor, int(person["user_id"]), period.name, state.today())
summary(earned, later)
person_adjustments(actor, int(person["user_id"]), period.name)
payable_view.schedule(later, f"payable-later-{person['code']}-{period.name}")
if earned.lines.empty:
    widgets.empty("No lines", f"No deal credited {person['name']} in {title}.", icon=":material/receipt_long:")
    st.stop()
if not later.empty:
    st.subheader("Lines", anchor=False)
lines = dispute_view.with_status(actor, earned.lines, int(person["user_id"]), period.name)
chosen = lines_table(lines, f"earnings-{person['code']}-{period.name}")
if chosen is None:
    st.caption("Choose a line to see how it was worked out.")
else:
    line = lines.iloc[chosen]
    working = earnings.explain_line(db, actor, int(line["line_id"]))
    overridden(line)
    explanation(working, f"How {widgets.money(int(line['amount']), line['currency'])} was worked out")
    dispute_view.line_actions(actor, int(line["line_id"]), int(line["amount"]), line["currency"])

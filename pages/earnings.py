"""What one person earned in a pay period, line by line, and why each line is what it is."""

import streamlit as st

from app import auth, state, widgets
from app.earnings_view import choose_person, explanation, lines_table, summary
from engine.services import earnings, runs

actor = auth.require("earnings.view")
db = state.database()

widgets.header("Earnings", "Every line of pay, and the working behind it.")
period = widgets.period_filter(runs.pay_kinds(db, actor), default=runs.last_run_period(db, actor))
title = widgets.period_title(period)
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
earned = earnings.earned(db, actor, int(person["user_id"]), period.name)
if earned is None:
    st.stop()
summary(earned)
if earned.lines.empty:
    widgets.empty("No lines", f"No deal credited {person['name']} in {title}.", icon=":material/receipt_long:")
    st.stop()
chosen = lines_table(earned, f"earnings-{person['code']}-{period.name}")
if chosen is None:
    st.caption("Choose a line to see how it was worked out.")
else:
    line = earned.lines.iloc[chosen]
    working = earnings.explain_line(db, actor, int(line["line_id"]))
    explanation(working, f"How {widgets.money(int(line['amount']), line['currency'])} was worked out")

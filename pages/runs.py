"""Calculate a pay period, watch it, and see what each person earned."""

import streamlit as st

from app import auth, navigation, state, widgets
from app.run_view import empty, outdated, people_columns, progress, total
from app.widgets import money_column, text_column
from engine.services import access, freshness, payouts, runs

actor = auth.require("runs.view")
db = state.database()

widgets.header(
    "Runs", "Every won deal through every plan, to the cent. A run can be repeated until the period is approved."
)
period = widgets.period_filter(runs.pay_kinds(db, actor))
title = widgets.period_title(period)
people = payouts.period_people(db, actor, period.name)
periods = payouts.list_periods(db, actor)
status = next(iter(periods.loc[periods["period"] == period.name, "status"]), "open")

if access.may(actor, "runs.start"):
    with widgets.tools():
        if st.button(f"Run {title}", type="primary", icon=":material/play_arrow:", disabled=status != "open"):
            state.jobs().submit(actor, runs.JOB, {"period": period.name})
if status != "open":
    st.info(f"{title} is {status} and never moves. Later changes are posted as adjustments in the next open period.")
if period.last_day >= state.today():
    st.caption(f"{title} has not ended: figures are as of today and may still grow.")

progress(actor, period.name)
if freshness.outdated(db, actor, period.name):
    outdated(period, link=False)

if people.empty:
    empty(title, access.may(actor, "runs.start"))
else:
    total(people)
    chosen = widgets.table(
        people,
        people_columns(people),
        key="run_people",
        export=f"earned-{period.name}",
        select=True,
    )
    st.caption("Choose a person to open the lines.")
    if chosen is not None:
        navigation.open_page("earnings", {"period": period.name, "person": people.iloc[chosen]["code"]})

if not periods.empty:
    st.subheader("All periods", anchor=False)
    widgets.table(
        periods,
        {
            "period": text_column("Period"),
            "status": text_column("Status"),
            "people": widgets.number_column("People"),
            "lines": widgets.number_column("Lines"),
            "earned": money_column("Earned"),
            "calculated_at": widgets.time_column("Calculated"),
        },
        key="run_periods",
        export="pay-periods",
    )

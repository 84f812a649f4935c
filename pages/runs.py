"""Calculate a pay period for everyone or some, see first what would change, and what each person earned."""

import streamlit as st

from app import auth, navigation, state, widgets
from app.actions import show_done
from app.preview_view import choose_and_look
from app.recalculation_view import clean_up, out_of_date, several
from app.run_view import differing, empty, people_columns, progress, total, without_plan
from app.widgets import money_column, text_column
from engine.services import access, freshness, payouts, runs

actor = auth.require("runs.view")
db = state.database()
show_done()

widgets.header(
    "Runs", "Every won deal through every plan, to the cent. A run can be repeated until the period is approved."
)
period = widgets.period_filter(runs.pay_kinds(db, actor))
title = widgets.period_title(period)
people = payouts.period_people(db, actor, period.name)
periods = payouts.list_periods(db, actor)
status = next(iter(periods.loc[periods["period"] == period.name, "status"]), "open")
calculated = period.name in set(periods["period"])
may_start = access.may(actor, "runs.start")

if may_start:
    with widgets.tools():
        several(period, periods)
        if st.button(f"Run {title}", type="primary", icon=":material/play_arrow:", disabled=status != "open"):
            state.jobs().submit(actor, runs.JOB, {"period": period.name})
if status != "open":
    st.info(f"{title} is {status} and never moves. Later changes are posted as adjustments in the next open period.")
if period.last_day >= state.today():
    st.caption(f"{title} has not ended: figures are as of today and may still grow.")

progress(actor, period.name)
verdict = freshness.verdict(db, actor, period.name, state.pool())
if not verdict.fresh:
    differing(verdict, period)
if may_start and status == "open":
    choose_and_look(actor, period, calculated)

without_plan(runs.deals_without_plan(db, actor, period.name))
if people.empty:
    empty(title, may_start)
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

out_of_date(actor, may_start)
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
    clean_up(actor)

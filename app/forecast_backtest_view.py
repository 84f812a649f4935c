"""How each way of forecasting did on the quarters that are over, beside the naive forecasts."""

import altair as alt
import pandas as pd
import streamlit as st

from app import auth, charts, state, widgets
from app.forecast_view import WAYS
from app.widgets import money_column, number_column, percent_column, text_column
from engine.errors import QuotaPathError
from engine.money import currency_digits
from engine.services import forecast_backtest
from engine.services.access import Actor
from engine.services.forecast_backtest import FEWEST_MONTHS, Backtest, Score

_TESTED = {"actual": "Actual", **WAYS, "naive": "Naive", "seasonal_naive": "Seasonal naive"}


def show_backtest(actor: Actor, team: int | None) -> None:
    """How each way did on the quarters that are over, beside the naive forecasts; a job works it out."""
    db, today = state.database(), state.today()
    standing = forecast_backtest.backtest(db, actor, team, today)
    if standing.found is None and standing.job is None:
        forecast_backtest.start_backtest(db, state.jobs(), actor, team, today)
        standing = forecast_backtest.backtest(db, actor, team, today)
    job = standing.job
    if job is not None and not job.is_over:
        _progress(team)
        st.caption("You can leave this page: the forecasts of the past are worked out meanwhile, and kept.")
    elif not standing.fresh:
        if job is not None:
            said = job.message if job.status == "failed" else "It was cancelled."
            widgets.show_problems(QuotaPathError(said))
        with st.container(horizontal=True, vertical_alignment="center", key="backtest_stale"):
            if standing.at is not None:
                st.caption(
                    f"Worked out on {standing.at:%Y-%m-%d %H:%M} UTC; something has changed since.", width="content"
                )
            if st.button("Work it out anew", icon=":material/refresh:"):
                forecast_backtest.start_backtest(db, state.jobs(), actor, team, today)
                st.rerun()
    if standing.found is not None:
        _show(standing.found)


@st.fragment(run_every="1s")
def _progress(team: int | None) -> None:
    """The bar of the job; once it is over the page is drawn anew."""
    actor = auth.require("forecast.view")
    widgets.job_bar(forecast_backtest.backtest(state.database(), actor, team, state.today()).job)


def _show(found: Backtest) -> None:
    if found.rows.empty:
        widgets.empty(
            "No full quarter to test on yet",
            "The forecasts are tested on quarters that are over and have revenue. Come back after the first one.",
            icon=":material/history:",
        )
        return
    st.caption(
        "Each past quarter is forecast as it began: the pipeline in the stages and with the dates and amounts that the "
        "history of each deal had on that day, the model from the months before it."
    )
    with st.container(border=True):
        _tested_chart(found)
    with st.container(border=True):
        st.subheader("How far off", anchor=False)
        st.markdown("\n".join(f"- {verdict(each, found)}" for each in found.scores if each.way in WAYS))
        _scores(found.scores)
        st.caption(
            "WAPE, the weighted absolute percentage error: all errors together over all revenue together. It weighs a "
            "quarter by its money and stands a quarter without any. Naive: as the last quarter was. Seasonal naive: as "
            "the same quarter a year before. Each way is set against them on the same quarters. The middle of the "
            "simulation is near the weighted pipeline, whose error is then its own, too. Past revenue is as it stands "
            "now."
        )


def verdict(score: Score, found: Backtest) -> str:
    """One plain sentence on a way: whether it is to be trusted more than the naive forecasts."""
    name = WAYS[score.way]
    known = int(found.rows[score.way].notna().sum())
    if not known:
        why = (
            "the history of the deals does not reach back to the first day of a past quarter"
            if score.way == "pipeline"
            else f"{FEWEST_MONTHS} full months of revenue before a quarter are needed"
        )
        return f"**{name}**: not tested, {why}."
    if not score.quarters or score.wape is None or score.naive is None:
        return f"**{name}**: there is no quarter before to set it against, or no revenue to measure by."
    quarters = f"{score.quarters} {'quarter' if score.quarters == 1 else 'quarters'}"
    few = " That is few: chance has a large part in it." if score.quarters < 4 else ""
    if score.winner == "naive":
        return (
            f"**{name}**: naive wins. Off by {score.wape:.1%} over {quarters}; “as the last quarter” was off by "
            f"{score.naive:.1%}.{few}"
        )
    text = f"off by {score.wape:.1%} over {quarters}, nearer than “as the last quarter” ({score.naive:.1%})"
    if score.winner == "seasonal_naive":
        return (
            f"**{name}**: {text}, but seasonal naive wins: “as a year before” was off by {score.seasonal_naive:.1%}, "
            f"this way by {score.beside:.1%} on the same {score.seasonal_quarters}.{few}"
        )
    return f"**{name}**: {text}.{few}"


def _scores(scores: tuple[Score, ...]) -> None:
    frame = pd.DataFrame([vars(each) for each in scores])
    frame["way"] = frame["way"].map(_TESTED)
    frame["relative"] = frame["relative"].astype("float64").round(2)
    widgets.table(
        frame,
        {
            "way": text_column("Way"),
            "quarters": number_column("Quarters"),
            "wape": percent_column("WAPE"),
            "naive": percent_column("Naive on the same"),
            "relative": number_column("Error over naive's", help="Below 1: nearer than the naive forecast."),
            "seasonal_quarters": number_column("Quarters a year on"),
            "beside": percent_column("WAPE on these"),
            "seasonal_naive": percent_column("Seasonal naive on these"),
        },
        key="forecast_scores",
        export="forecast-errors",
    )


def _tested_chart(found: Backtest) -> None:
    st.subheader("Past quarters: actual, and as forecast on their first day", anchor=False)
    rows = found.rows
    columns = [each for each in _TESTED if each in rows]
    units = 10 ** currency_digits(found.currency)
    data = rows.melt(["title"], columns, "series", "amount").dropna(subset=["amount"])
    data["series"] = data["series"].map(_TESTED)
    data["amount"] = data["amount"].astype("float64") / units
    sign = "$" if found.currency == "USD" else ""
    x = alt.X("title:N", title=None, sort=list(rows["title"]), axis=alt.Axis(labelAngle=0, labelOverlap=True))
    y = alt.Y("amount:Q", title=None if sign else found.currency, axis=alt.Axis(format=f"{sign}~s", tickCount=5))
    names = [_TESTED[each] for each in columns]
    color = alt.Color(
        "series:N",
        title=None,
        sort=names,
        scale=alt.Scale(domain=names, range=["#94a3b8", "#0d9488", "#6366f1", "#ec4899", "#0ea5e9"]),
        legend=alt.Legend(orient="top", columns=2),
    )
    tooltip = [
        alt.Tooltip("title:N", title="Quarter"),
        alt.Tooltip("series:N", title="Way"),
        alt.Tooltip("amount:Q", title=found.currency, format=f"{sign},.0f"),
    ]
    is_actual = data["series"] == _TESTED["actual"]
    slot = alt.XOffset("series:N", sort=names, scale=alt.Scale(domain=names))
    bars = alt.Chart(data[is_actual]).mark_bar(cornerRadiusEnd=4).encode(x, y, color, slot, tooltip=tooltip)
    points = (
        alt.Chart(data[~is_actual])
        .mark_point(filled=True, size=90, opacity=1)
        .encode(x, y, color, slot, tooltip=tooltip)
    )
    charts.show(
        alt.layer(bars, points).properties(height=320),
        rows.assign(**{name: rows[name].round().astype("Int64") for name in columns}),
        widgets.stem("forecast-backtest", rows["name"].iloc[0], rows["name"].iloc[-1]),
        {
            "title": text_column("Quarter"),
            **{name: money_column(_TESTED[name], found.currency) for name in columns},
            "chosen": text_column("Model of then"),
        },
        alt_text="Revenue of each past quarter, and what each way forecast for it on its first day",
    )

"""Goal seek and sensitivity on the what-if page: many variants in a row, with a bar and a way out."""

from dataclasses import replace

import altair as alt
import pandas as pd
import streamlit as st

from app import charts, searching, state, widgets
from app.whatif_state import Workspace, with_change
from app.widgets import money_column, text_column
from engine.analytics.scenario_books import Quarter
from engine.analytics.scenario_search import Sought
from engine.calc.model import PPM
from engine.errors import QuotaPathError
from engine.money import currency_digits, format_rate, parse_money, parse_rate
from engine.plans.numbers import PlanNumber
from engine.services import whatif_search
from engine.services.access import Actor
from engine.services.whatif import Base, Span
from engine.services.whatif_reading import Reading
from engine.services.whatif_search import QUOTAS, Change, Desk, Metric

_FOUND, _ASKED = "whatif_goal", "whatif_goal_asked"
_TORNADO = "whatif_tornado"
_TURNS: dict[Change, str] = {"step": "One step", "percent": "1% of its value"}


def _desk(actor: Actor, base: Base, span: Span, coming: Quarter | None) -> Desk:
    return Desk(state.database(), state.pool(), actor, base, span, coming)


def _lever_name(lever: PlanNumber) -> str:
    return f"{lever.component}: {lever.label}" if lever.component else lever.label


# --- goal seek ------------------------------------------------------------------------------------------


def goal_seek(actor: Actor, base: Base, space: Workspace, span: Span, coming: Quarter, reading: Reading) -> None:
    """Choose a figure of the plan and a goal; what the figure must be."""
    variant = space.sheet.variant
    levers = {lever.path: lever for lever in whatif_search.levers(reading.numbers, variant)}
    first, second = st.columns([3, 2])
    path = first.selectbox(
        "Turn",
        list(levers),
        format_func=lambda key: f"{_lever_name(levers[key])} · now {levers[key].text()}",
        key=f"whatif_lever_{space.token}_{space.active}",
    )
    over = {"past": span.title}
    if coming.open_deals:
        over["quarter"] = f"{widgets.period_title(coming.period)}, at P80"
    where = second.selectbox("Over", list(over), format_func=over.__getitem__, key="whatif_goal_over")
    first, second, third = st.columns([3, 2, 1.2], vertical_alignment="bottom")
    metrics: dict[Metric, str] = {"rate": "Effective rate (cost by revenue)", "cost": f"Cost ({base.currency})"}
    metric: Metric = first.selectbox("Until", list(metrics), format_func=metrics.__getitem__, key="whatif_goal_metric")
    goal = second.text_input(
        "Is", "", placeholder="9%" if metric == "rate" else "2,500,000", key=f"whatif_goal_{metric}"
    )
    wants = third.button("Find it", type="primary", icon=":material/my_location:", width="stretch", key="whatif_find")
    about = (variant.to_json(), span.key, base.version)
    if wants:
        try:
            wanted = _goal(goal, metric, base.currency)
        except QuotaPathError as error:
            widgets.show_problems(error)
            return
        desk, lever = _desk(actor, base, span, coming if where == "quarter" else None), levers[path]
        st.session_state[_ASKED] = lever, metric, wanted, where
        searching.start(_FOUND, about, lambda tell: whatif_search.goal_seek(desk, variant, lever, metric, wanted, tell))
    found = searching.found(_FOUND, about, "Tried {} of about {}")
    if found is None:
        st.caption(
            "Finds the value, in its exact unit, at which the goal is met, and shows everything that was tried. "
            "Nothing is changed until you take it over."
        )
        return
    _answer(base, space, st.session_state[_ASKED], found)


def _goal(text: str, metric: Metric, currency: str) -> int:
    if not text.strip():
        raise QuotaPathError("Write the goal: a rate such as 9%, or a cost such as 2,500,000.")
    text = text.strip().lstrip("$€£")
    if metric == "cost":
        return parse_money(text, currency)
    return parse_rate(text if text.endswith("%") or text.startswith("0.") else f"{text}%")


def _answer(base: Base, space: Workspace, asked: tuple[PlanNumber, Metric, int, str], found: Sought) -> None:
    lever, metric, goal, where = asked

    def shown(figure: int) -> str:
        return widgets.money(figure, base.currency) if metric == "cost" else _rate(figure)

    value = lever.text(found.value)
    sentence = f"**{widgets.plain(_lever_name(lever))}** at **{widgets.plain(value)}** gives "
    result = widgets.plain(shown(found.result))
    if found.reached:
        exact = "exactly " if found.result == goal and metric == "cost" else ""
        st.success(f"{sentence}{exact}{result}.", icon=":material/check_circle:")
    else:
        st.warning(
            f"The goal of {widgets.plain(shown(goal))} cannot be reached with this figure alone. The nearest: "
            f"{sentence}{result}.",
            icon=":material/block:",
        )
    if found.reached and found.result != goal and metric == "cost":
        st.caption(
            widgets.plain(f"{shown(goal)} lies between this value and its neighbour: no value hits it to the cent.")
        )
    if not found.steady:
        st.caption(
            "More of this figure does not always give more, or always less; the goal may be met at another value too. "
            "Look at the curve."
        )

    def take() -> None:
        variant = space.sheet.variant
        if lever.path == QUOTAS:
            space.change(replace(variant, quota_ppm=found.value))
        else:
            space.change(with_change(variant, lever.path, lever.written(found.value), None))
        st.session_state.pop(_FOUND, None)

    st.button("Take it over", icon=":material/check:", on_click=take, key="whatif_take")
    frame = pd.DataFrame(found.tried, columns=["value", "result"])
    frame["at"] = [lever.text(value) for value in frame["value"]]
    parts = {"percent": PPM, "multiple": PPM, "money": 10 ** currency_digits(base.currency), "number": PPM, "whole": 1}
    frame["x"] = frame["value"] / parts[lever.unit]
    frame["y"] = frame["result"] / (10 ** currency_digits(base.currency) if metric == "cost" else PPM)
    sign = "$" if base.currency == "USD" else ""
    form = f"{sign}~s" if metric == "cost" else ".1%"
    title = f"Cost ({base.currency})" if metric == "cost" else "Effective rate"
    lines = (
        alt.Chart(frame)
        .mark_line(point=True, strokeWidth=2)
        .encode(
            alt.X("x:Q", title=_lever_name(lever), axis=alt.Axis(format=".1~%" if lever.unit == "percent" else "~s")),
            alt.Y("y:Q", title=title, scale=alt.Scale(zero=False), axis=alt.Axis(format=form, tickCount=5)),
            tooltip=[alt.Tooltip("at:N", title="Value"), alt.Tooltip("y:Q", title=title, format=form)],
        )
    )
    rule = (
        alt.Chart(pd.DataFrame({"y": [goal / (10 ** currency_digits(base.currency) if metric == "cost" else PPM)]}))
        .mark_rule(strokeDash=[5, 4], color="#f59e0b")
        .encode(alt.Y("y:Q"))
    )
    columns = {"at": text_column("Value")}
    if metric == "cost":
        columns["result"] = money_column("Cost", base.currency)
    else:
        frame["result"] = frame["y"]
        columns["result"] = widgets.percent_column("Effective rate", digits=2)
    charts.show(
        (lines + rule).properties(height=240),
        frame,
        widgets.stem("what-if-goal", lever.path, where),
        columns,
        alt_text=f"{title} by {_lever_name(lever)}, and the goal",
    )


def _rate(ppm: int) -> str:
    return format_rate(ppm)


# --- sensitivity ----------------------------------------------------------------------------------------


def sensitivity(actor: Actor, base: Base, space: Workspace, span: Span, coming: Quarter, reading: Reading) -> None:
    """How much the cost moves with each figure of the plan."""
    variant = space.sheet.variant
    over = {"past": span.title}
    if coming.open_deals:
        over["quarter"] = f"{widgets.period_title(coming.period)}, at P80"
    first, second, third = st.columns([2, 2, 1.2], vertical_alignment="bottom")
    by: Change = first.selectbox(
        "Turn each figure by",
        list(_TURNS),
        format_func=_TURNS.__getitem__,
        key="whatif_by",
    )
    where = second.selectbox("Over", list(over), format_func=over.__getitem__, key="whatif_tornado_over")
    about = (variant.to_json(), span.key, by, where, base.version)
    if third.button("Work it out", type="primary", icon=":material/tornado:", width="stretch", key="whatif_sweep"):
        desk = _desk(actor, base, span, coming if where == "quarter" else None)
        numbers = reading.numbers
        searching.start(
            _TORNADO,
            about,
            lambda tell: whatif_search.sensitivity(desk, variant, numbers, by, "cost", tell),
        )
    found = searching.found(_TORNADO, about, "{} of {} variants")
    if found is None:
        st.caption("Each figure of the plan is turned a little down and up by itself; the longest bar matters most.")
        return
    _tornado(base, found, over[where])


def _tornado(base: Base, found: pd.DataFrame, title: str) -> None:
    moving = found[found["swing"] > 0]
    if moving.empty:
        st.caption("No figure of this plan moves the cost by such a little step.")
        return
    digits = currency_digits(base.currency)
    data = moving.head(15).melt(["lever", "amount"], ["down", "up"], "turned", "cents").dropna()
    data["money"] = data["cents"].astype("float64") / 10**digits
    data["turned"] = data["turned"].map({"down": "Turned down", "up": "Turned up"})
    sign = "$" if base.currency == "USD" else ""
    order = moving["lever"].head(15).tolist()
    chart = (
        alt.Chart(data)
        .mark_bar(cornerRadius=2)
        .encode(
            alt.X(
                "money:Q", title=f"Change of the cost ({base.currency})", axis=alt.Axis(format=f"{sign}~s", tickCount=6)
            ),
            alt.Y("lever:N", title=None, sort=order, axis=alt.Axis(labelLimit=260, labelOverlap=False)),
            color=alt.Color("turned:N", title=None, sort=["Turned down", "Turned up"], legend=alt.Legend(orient="top")),
            tooltip=[
                alt.Tooltip("lever:N", title="Figure"),
                alt.Tooltip("turned:N", title="How"),
                alt.Tooltip("amount:N", title="By"),
                alt.Tooltip("money:Q", title="Change of the cost", format=f"{sign},.{digits}f"),
            ],
        )
        .properties(height=110 + 32 * len(order))
    )
    columns = {
        "lever": text_column("Figure"),
        "amount": text_column("Turned by"),
        "down": money_column("Turned down", base.currency),
        "up": money_column("Turned up", base.currency),
    }
    charts.show(
        chart,
        found,
        widgets.stem("what-if-sensitivity", title),
        columns,
        alt_text=f"How the cost of {title} changes when each figure of the plan is turned a little",
    )
    still = len(found) - len(moving)
    if still:
        st.caption(f"{still} figures do not move it.")

"""The parts of the analytics page: what commission comes to, what it costs, and who gets it for what."""

from collections.abc import Callable
from datetime import date
from functools import partial
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from app import charts, navigation, state, widgets
from app.widgets import Card, money_column, number_column, percent_column, text_column
from engine.errors import QuotaPathError
from engine.money import currency_digits
from engine.periods import Period, parse_period, period_of
from engine.services.commission import KINDS, Commission

_MONTHS = 36  # that one may choose from
_BINS = 12
_LEGEND = 300  # pixels of a name in a legend under its chart
_FEWEST = 3  # people from whom a distribution says something


def span() -> tuple[Period, Period]:
    """The first and the last month to look at, kept in the URL (``?from=2026-01&to=2026-11``)."""
    month = period_of("month", state.today().toordinal())
    months = [month]
    while len(months) < _MONTHS:
        months.append(months[-1].previous())
    names = [each.name for each in months]
    first, last = (
        _chosen(name, names, default) for name, default in (("from", names[11]), ("to", names[0]))
    )  # fmt: skip
    if first > last:
        first, last = last, first
    st.session_state["span_from"], st.session_state["span_to"] = first, last
    with widgets.tools():
        for name, label in (("from", "From"), ("to", "To")):
            st.selectbox(
                label,
                names,
                format_func=partial(_month, label.lower()),
                key=f"span_{name}",
                on_change=_keep,
                args=(name,),
                label_visibility="collapsed",
                width=160,
            )
    return parse_period(first), parse_period(last)


def _chosen(name: str, names: list[str], default: str) -> str:
    asked = st.query_params.get(name, "") or st.session_state.get(f"analytics_{name}", "")
    return asked if asked in names else default


def _month(before: str, name: str) -> str:
    return f"{before} {parse_period(name).first_day:%b %Y}"


def _keep(name: str) -> None:
    value = st.session_state[f"span_{name}"]
    st.session_state[f"analytics_{name}"] = st.query_params[name] = value


class View:
    """The figures with the filters that they are shown with."""

    def __init__(self, found: Commission, first: Period, last: Period, team: str) -> None:
        self.found, self.first, self.last, self.team = found, first, last, team
        self.currency = found.currency
        self.units = 10 ** currency_digits(found.currency)
        self.form, self.axis = charts.money_formats(found.currency)

    def stem(self, what: str) -> str:
        """The stem of a file's name."""
        return widgets.stem(what, self.first.name, "to", self.last.name, self.team)


def _title(period: str) -> str:
    try:
        found = parse_period(period)
    except QuotaPathError:
        return period
    return f"{found.first_day:%b} ’{found.first_day:%y}" if found.kind == "month" else widgets.period_title(found)


def show(view: View) -> None:
    """The whole page under the filters."""
    _notes(view)
    _cards(view)
    pairs = [(_trend, _cost), (_mix, _cohorts)]
    if len(view.found.people) >= _FEWEST:
        pairs += [(_performance, _attainment), (_distribution, _quartiles)]
    for first, second in pairs:
        left, right = st.columns(2, gap="medium")
        for place, draw in ((left, first), (right, second)):
            with place.container(border=True, height="stretch"):
                draw(view)
    if len(view.found.people) > 1:
        with st.container(border=True):
            _people(view)


def _notes(view: View) -> None:
    found = view.found
    text = "Commission is of the latest run of each pay period, adjustments of closed ones included"
    if found.by_hand:
        given = widgets.money(found.by_hand, view.currency)
        text += f", and with what was given by hand ({given}), which belongs to no plan version"
    text += "."
    if found.foreign:
        text += (
            f" {found.foreign:,} lines in other currencies are converted to {view.currency} at the latest rate on or "
            "before the last day of their pay period."
        )
    st.caption(widgets.plain(text))
    if found.unconverted:
        st.warning(
            f"Lines in other currencies that are left out: {found.unconverted:,}. There is no exchange rate to "
            f"{view.currency} on or before the last day of their pay period.",
            icon=":material/currency_exchange:",
        )


def _cards(view: View) -> None:
    found = view.found
    revenue = int(found.cost["revenue"].sum())
    paid = found.people[found.people["amount"] != 0]
    middle = None if paid.empty else round(float(paid["amount"].median()))
    cards = [
        Card("Commission", charts.short(found.total, view.currency), trend=_series(found.cost["amount"])),
        Card("Won revenue", charts.short(revenue, view.currency), trend=_series(found.cost["revenue"]),
             help="Of the pay periods that have been run, by close date."),
        Card(_rate_title(view), f"{found.total / revenue:.2%}" if revenue > 0 else "–",
             trend=_series(found.cost["rate"].fillna(0)), help="Commission as a share of won revenue."),
    ]  # fmt: skip
    if len(found.people) > 1:
        cards.append(
            Card("Median per person", charts.short(middle, view.currency),
                 help=f"Half of the {len(paid):,} people who earned something earned more.")
        )  # fmt: skip
    widgets.cards(*cards)


def _rate_title(view: View) -> str:
    """What commission over revenue is called: of one person it is a rate, of a company a cost."""
    return "Cost of sales" if len(view.found.people) > 1 else "Effective rate"


def _series(values: pd.Series) -> list[float] | None:
    return [float(each) for each in values] if len(values) > 1 else None


def _go(period: str, person: str = "") -> None:
    query = {"period": period, "person": person} if person else {"period": period}
    navigation.open_page("earnings", query)


# --------------------------------------------------------------------------------------------- over time


def _trend(view: View) -> None:
    st.subheader("Commission by pay period", anchor=False)
    frame = view.found.trend.assign(
        at=[_title(each) for each in view.found.trend["period"]],
        what=view.found.trend["kind"].map(KINDS),
        value=view.found.trend["amount"] / view.units,
    )
    chart = (
        alt.Chart(frame)
        .mark_bar(cornerRadiusEnd=3, width={"band": 0.65})
        .encode(
            alt.X("at:N", title=None, sort=None, axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            alt.Y("value:Q", title=charts.unit("Commission", view.currency),
                  axis=alt.Axis(format=view.axis, tickCount=5)),
            alt.Color("what:N", title=None, sort=list(KINDS.values()), legend=alt.Legend(orient="top")),
            tooltip=[
                alt.Tooltip("at:N", title="Pay period"),
                alt.Tooltip("what:N", title="Kind"),
                alt.Tooltip("value:Q", title="Commission", format=view.form),
            ],
        )
        .properties(height=260)
    )  # fmt: skip
    columns = {
        "at": text_column("Pay period"),
        "what": text_column("Kind"),
        "amount": money_column("Commission", view.currency),
    }
    picked = charts.show(chart, frame, view.stem("commission"), columns, alt_text="Commission by pay period and kind",
                         pick=["period"])  # fmt: skip
    if picked:
        _go(picked["period"])


def _cost(view: View) -> None:
    title = _rate_title(view)
    st.subheader(title, anchor=False)
    frame = view.found.cost.dropna(subset=["rate"])
    if frame.empty:
        st.caption("Nothing was won in these pay periods.")
        return
    frame = frame.assign(at=[_title(each) for each in frame["period"]], units=frame["amount"] / view.units,
                         won=frame["revenue"] / view.units)  # fmt: skip
    chart = (
        alt.Chart(frame)
        .mark_line(point={"size": 70}, strokeWidth=2.5)
        .encode(
            alt.X("at:N", title=None, sort=None, axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            alt.Y("rate:Q", title="Commission / revenue", axis=alt.Axis(format=".1%", tickCount=5)),
            tooltip=[
                alt.Tooltip("at:N", title="Pay period"),
                alt.Tooltip("rate:Q", title=title, format=".2%"),
                alt.Tooltip("units:Q", title="Commission", format=view.form),
                alt.Tooltip("won:Q", title="Won revenue", format=view.form),
            ],
        )
        .properties(height=260)
    )
    columns = {
        "at": text_column("Pay period"),
        "amount": money_column("Commission", view.currency),
        "revenue": money_column("Won revenue", view.currency),
        "rate": percent_column(title, digits=2),
    }
    charts.show(chart, frame, view.stem("cost-of-sales"), columns,
                alt_text="Commission as a share of won revenue by pay period")  # fmt: skip


def _mix(view: View) -> None:
    st.subheader("What it is paid for", anchor=False)
    mix = view.found.mix
    frame = mix.assign(what=mix["kind"].map(KINDS), value=mix["amount"] / view.units)
    order = list(frame.groupby("component")["amount"].sum().sort_values(ascending=False).index)
    chart = (
        alt.Chart(frame)
        .mark_bar(cornerRadiusEnd=3)
        .encode(
            alt.X("sum(value):Q", title=charts.unit("Commission", view.currency),
                  axis=alt.Axis(format=view.axis, tickCount=4)),
            alt.Y("component:N", title=None, sort=order, axis=alt.Axis(labelLimit=150)),
            alt.Color("plan:N", title=None, legend=alt.Legend(orient="bottom", columns=1, labelLimit=_LEGEND)),
            tooltip=[
                alt.Tooltip("component:N", title="Component"),
                alt.Tooltip("plan:N", title="Plan"),
                alt.Tooltip("sum(value):Q", title="Commission", format=view.form),
            ],
        )
        .properties(height=max(220, 34 * len(order) + 60 + 16 * frame["plan"].nunique()))
    )  # fmt: skip
    columns = {
        "plan": text_column("Plan"),
        "component": text_column("Component"),
        "what": text_column("Kind"),
        "amount": money_column("Commission", view.currency),
    }
    charts.show(chart, frame, view.stem("mix"), columns, alt_text="Commission by component and plan")


def _cohorts(view: View) -> None:
    several = len(view.found.people) > 1
    st.subheader(f"Commission {'per person ' if several else ''}by plan version", anchor=False)
    cohorts = view.found.cohorts
    frame = cohorts.assign(at=[_title(each) for each in cohorts["period"]], value=cohorts["each"] / view.units)
    chart = (
        alt.Chart(frame)
        .mark_line(point={"size": 60}, strokeWidth=2)
        .encode(
            alt.X("at:N", title=None, sort=[_title(each) for each in view.found.cost["period"]],
                  axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            alt.Y("value:Q", title=charts.unit("Per person" if several else "Commission", view.currency),
                  axis=alt.Axis(format=view.axis, tickCount=5)),
            alt.Color("version:N", title=None, legend=alt.Legend(orient="bottom", columns=1, labelLimit=_LEGEND)),
            tooltip=[
                alt.Tooltip("version:N", title="Plan version"),
                alt.Tooltip("at:N", title="Pay period"),
                alt.Tooltip("value:Q", title="Commission per person", format=view.form),
                alt.Tooltip("people:Q", title="People", format=","),
            ],
        )
        .properties(height=260 + 30 * frame["version"].nunique())
    )  # fmt: skip
    columns = {
        "version": text_column("Plan version"),
        "at": text_column("Pay period"),
        "people": number_column("People"),
        "amount": money_column("Commission", view.currency),
        "each": money_column("Per person", view.currency),
    }
    charts.show(chart, frame, view.stem("plan-versions"), columns,
                alt_text="Commission per person by pay period and plan version")  # fmt: skip


# --------------------------------------------------------------------------------------------- people


def _performance(view: View) -> None:
    st.subheader("Pay against performance", anchor=False)
    people = view.found.people.dropna(subset=["attainment"])
    if len(people) < _FEWEST:
        st.caption("Shown for three people or more with a quota in these pay periods.")
        return
    frame = people.assign(value=people["amount"] / view.units, line=people["expected"] / view.units,
                          who=["Far from the line" if each else "As the others" for each in people["outlier"]],
                          label=people["name"].where(people["outlier"], ""))  # fmt: skip
    points = (
        alt.Chart(frame)
        .mark_circle(size=90, opacity=0.8)
        .encode(
            alt.X("attainment:Q", title="Attainment", axis=alt.Axis(format="%", tickCount=6)),
            alt.Y("value:Q", title=charts.unit("Commission", view.currency),
                  axis=alt.Axis(format=view.axis, tickCount=5)),
            alt.Color("who:N", title=None, sort=["As the others", "Far from the line"],
                      legend=alt.Legend(orient="top")),
            tooltip=[
                alt.Tooltip("name:N", title="Person"),
                alt.Tooltip("team:N", title="Team"),
                alt.Tooltip("attainment:Q", title="Attainment", format=".1%"),
                alt.Tooltip("value:Q", title="Commission", format=view.form),
            ],
        )
    )  # fmt: skip
    base = alt.Chart(frame).encode(alt.X("attainment:Q"))
    line = base.mark_line(strokeDash=[4, 4], opacity=0.5, color="#64748b").encode(alt.Y("line:Q"))
    names = base.mark_text(align="left", dx=9, color="#64748b").encode(alt.Y("value:Q"), alt.Text("label:N"))
    layers = alt.layer(points, line, names) if frame["line"].notna().any() else alt.layer(points)
    columns = {
        "name": text_column("Person"),
        "team": text_column("Team"),
        "attainment": percent_column("Attainment"),
        "amount": money_column("Commission", view.currency),
        "who": text_column("Against the line"),
    }
    picked = charts.show(
        layers.properties(height=280), frame, view.stem("pay-against-performance"), columns,
        alt_text="Commission over quota attainment, a point for each person", pick=["code"],
    )  # fmt: skip
    st.caption(
        "The dashed line is the least-squares fit, an estimate. Named is who is further from it than two standard "
        "deviations."
    )
    if picked:
        _go(view.found.last_period, picked["code"])


def _attainment(view: View) -> None:
    st.subheader("Attainment", anchor=False)
    people = view.found.people
    people = people[~people["leads"].astype(bool)].dropna(subset=["attainment"])
    if len(people) < _FEWEST:
        st.caption("Shown for three people or more with a quota in these pay periods.")
        return
    steps = (people["attainment"] * 10 + 1e-9).astype(int).clip(0, 20)
    _histogram(view, lambda step: f"{step * 10}%" if step < 20 else "200%+", people, steps,
               "Attainment, in steps of ten points", "attainment-histogram")  # fmt: skip
    over = int((people["attainment"] >= 1).sum())
    st.caption(f"{over:,} of {len(people):,} people reached their quota; team leads are not counted again.")


def _distribution(view: View) -> None:
    st.subheader("How commission is spread", anchor=False)
    people = view.found.people
    low, high = int(people["amount"].min()), int(people["amount"].max())
    width = _round_up(max(1, -(-(high - low) // _BINS)))
    steps = people["amount"] // width
    _histogram(view, lambda step: _short(step * width / view.units), people, steps,
               charts.unit("Commission from", view.currency), "commission-histogram")  # fmt: skip


def _round_up(width: int) -> int:
    """The next of 1, 2, 2.5, 5 times a power of ten."""
    power: int = 10 ** max(0, len(str(width)) - 1)
    return next(int(times * power) for times in (1, 2, 2.5, 5, 10) if times * power >= width and times * power >= 1)


def _short(units: float) -> str:
    return f"{units / 1000:,.10g}k" if abs(units) >= 1000 else f"{units:,.10g}"


def _histogram(
    view: View,
    label: Callable[[int], str],
    people: pd.DataFrame,
    steps: "pd.Series[Any]",
    title: str,
    stem: str,
) -> None:
    """How many people are in each step, those without anyone between them too."""
    counts = steps.value_counts()
    every = range(int(steps.min()), int(steps.max()) + 1)
    frame = pd.DataFrame(
        [(step, label(step), int(counts.get(step, 0))) for step in every], columns=["step", "bin", "people"]
    )
    chart = (
        alt.Chart(frame)
        .mark_bar(cornerRadiusEnd=3, width={"band": 0.8})
        .encode(
            alt.X("bin:N", title=title, sort=None, axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            alt.Y("people:Q", title="People", axis=alt.Axis(format="d", tickMinStep=1, tickCount=5)),
            tooltip=[alt.Tooltip("bin:N", title=title), alt.Tooltip("people:Q", title="People")],
        )
        .properties(height=260)
    )
    picked = charts.show(chart, frame, view.stem(stem), {"bin": text_column(title), "people": number_column("People")},
                         alt_text=title, pick=["step", "bin"])  # fmt: skip
    if picked:
        chosen = people.loc[steps == picked["step"], "code"]
        st.session_state["analytics_people"] = (f"{title} {picked['bin']}", set(chosen))


def _quartiles(view: View) -> None:
    st.subheader("Quartiles", anchor=False)
    amounts = view.found.people["amount"]
    whole = int(amounts.sum())
    ranked = amounts.sort_values(ascending=False, ignore_index=True)
    top = int(ranked.head(max(1, len(ranked) // 4)).sum())
    frame = pd.DataFrame(
        [("Most", amounts.max()), ("Upper quartile", amounts.quantile(0.75)), ("Median", amounts.median()),
         ("Lower quartile", amounts.quantile(0.25)), ("Least", amounts.min()), ("Mean", amounts.mean())],
        columns=["what", "amount"],
    )  # fmt: skip
    frame["amount"] = frame["amount"].round().astype("int64")
    widgets.table(
        frame,
        {"what": text_column("Of the people"), "amount": money_column("Commission", view.currency)},
        key="quartiles",
        export=view.stem("quartiles"),
    )
    if whole > 0:
        st.caption(f"The top quarter of the people earned {top / whole:.0%} of all commission.")


def _people(view: View) -> None:
    st.subheader("People", anchor=False)
    frame = view.found.people.sort_values("amount", ascending=False, ignore_index=True)
    said, codes = st.session_state.get("analytics_people", ("", set()))
    if said:
        frame = frame[frame["code"].isin(codes)].reset_index(drop=True)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(widgets.plain(f"{said}: {len(frame):,} people."), width="content")
            if st.button("Show all", type="tertiary", icon=":material/filter_list_off:"):
                del st.session_state["analytics_people"]
                st.rerun()
    frame["team"] = (frame["team"] + frame["leads"].map({True: " (lead)", False: ""})).str.strip()
    chosen = widgets.table(
        frame,
        {
            "name": text_column("Person"),
            "team": text_column("Team"),
            "amount": money_column("Commission", view.currency),
            "attainment": percent_column("Attainment"),
        },
        key=f"analytics_people_{st.session_state.get('analytics_drawn', 0)}",
        export=view.stem("people"),
        select=True,
    )
    if chosen is None:
        st.caption(f"Choose a person for the lines of {_title(view.found.last_period)}.")
        return
    st.session_state["analytics_drawn"] = st.session_state.get("analytics_drawn", 0) + 1
    _go(view.found.last_period, str(frame["code"].iloc[chosen]))


def until(last: Period) -> date:
    """The day after the span."""
    return date.fromordinal(last.end)

"""The right side of the what-if page: what it costs, who gets more or less, the curve, the next quarter, variants."""

from collections.abc import Mapping, Sequence

import altair as alt
import pandas as pd
import streamlit as st

from app import charts, plan_tools_view, plan_words, widgets
from app.whatif_state import Workspace
from app.widgets import Card, money_column, percent_column, text_column
from engine.calc.model import MICRO, Component, Plan
from engine.errors import Problem, QuotaPathError
from engine.money import currency_digits
from engine.plans.curve import curve, walk
from engine.services import whatif
from engine.services.whatif import Base, Outlook, Price, Span
from engine.services.whatif_reading import Reading

_TOLD = 3  # problems that are told at once: they stand above everything else
NOW = "As it is"
_THEN = "With the changes"


def problems(found: Sequence[Problem], reading: Reading, base: Base) -> None:
    """Why there are no figures."""
    labels = list(dict.fromkeys(number.component for number in reading.numbers if number.component))
    st.error(
        "**This variant cannot be priced**\n\n"
        + "\n".join(
            f"- {'**' + widgets.plain(place) + '** ' if (place := plan_words.place(each.path, labels)) else ''}"
            f"{widgets.plain(_named(each.message, base))} {widgets.plain(each.remedy)}"
            for each in found[:_TOLD]
        ),
        icon=":material/error:",
    )
    if len(found) > _TOLD:
        st.caption(f"And {len(found) - _TOLD:,} more.")


def _named(message: str, base: Base) -> str:
    """The message with people's names in place of their codes."""
    words = [base.names.get(word.strip(",."), "") for word in message.split()]
    for word, name in zip(message.split(), words, strict=True):
        if name:
            message = message.replace(word.strip(",."), name)
    return message


# --- cards ----------------------------------------------------------------------------------------------


def signed(cents: int, currency: str) -> str:
    """Money with its sign: ``+$1,234.00``."""
    return ("+" if cents > 0 else "") + widgets.money(cents, currency)


def cards(found: Price, outlook: Outlook, base: Base, span: Span) -> None:
    """The span to the cent, and the next quarter as an estimate."""
    currency = base.currency
    now, then = found.rate(found.before), found.rate(found.after)
    widgets.cards(
        Card(
            "Cost",
            widgets.money(found.after.total, currency),
            signed(found.difference, currency) if found.difference else None,
            help=f"What everyone is paid for {span.title.lower()}, draws included and manual adjustments not, "
            f"to the cent. As it is: {widgets.money(found.before.total, currency)}.",
        ),
        Card(
            "Effective rate",
            "–" if then is None else f"{then:.2%}",
            _points(then - now) if then is not None and now is not None and then != now else None,
            help=f"Cost by won revenue, {widgets.money(found.revenue, currency)}.",
        ),
        _people_card(found, currency),
        _quarter_card(outlook, currency),
    )


def _points(moved: float) -> str:
    """A change of a rate: ``+0.25 pts``; one too small for that is still none of 0."""
    return f"{moved * 100:+.2f} pts" if abs(moved) >= 0.00005 else f"{moved * 100:+.1g} pts"


def remarks(said: Sequence[str]) -> None:
    """What explains figures that are not what one expects."""
    for each in said:
        st.caption(f":material/info: {widgets.plain(each)}")


def notes(found: Price, outlook: Outlook, base: Base, reading: Reading) -> None:
    """Under the cards: how far the next quarter may be from its middle, what is left out, and what to look at."""
    currency, title = base.currency, widgets.period_title(outlook.period)
    if outlook.problems:
        st.caption("The next quarter cannot be simulated: " + widgets.plain(str(outlook.problems[0])))
    elif outlook.open_deals:
        parts = []
        for percent, cost, was in zip(
            (10, 50, 90), whatif.likely(outlook.after), whatif.likely(outlook.before), strict=True
        ):
            moved = f" ({signed(cost - was, currency)})" if cost != was else ""
            parts.append(f"P{percent} {widgets.money(cost, currency)}{moved}")
        sentence = f"{title}, from {outlook.open_deals:,} open deals: {', '.join(parts)}."
        if outlook.borrowed:
            who = "one person" if outlook.borrowed == 1 else f"{outlook.borrowed:,} people"
            sentence += f" Quotas of {who} are not set yet; those of the last period stand in."
        st.caption(widgets.plain(sentence))
    else:
        st.caption(f"No open deal should close in {title}, so there is nothing to simulate.")
    left_out = len(found.after.left_out)
    if left_out:
        st.caption(f"Left out: {left_out} people who are paid in a currency without an exchange rate to {currency}.")

    if reading.fresh:
        things = "One thing" if reading.fresh == 1 else f"{reading.fresh} things"
        st.caption(f':material/warning: {things} to look at in the changed plan: see "In words".')


def _people_card(found: Price, currency: str) -> Card:
    """How many get more and less, and by how much at most."""
    changes = found.people["difference"]
    largest = max(changes.tolist(), key=abs, default=0)
    return Card(
        "Get more / get less",
        f"{found.winners:,} / {found.losers:,}",
        f"up to {signed(largest, currency)}" if largest else None,
        arrow=False,
        help=f"Of {len(found.people):,} people who are paid for these deals.",
    )


def _quarter_card(outlook: Outlook, currency: str) -> Card:
    """The middle of the simulated outcomes."""
    title = f"{widgets.period_title(outlook.period)} pipeline, P50"
    if outlook.problems or not outlook.open_deals:
        return Card(title, "–")
    cost, was = outlook.at(50), outlook.at(50, after=False)
    return Card(
        title,
        widgets.money(cost, currency),
        signed(cost - was, currency) if cost != was else None,
        help=f"Half of {len(outlook.after):,} simulated outcomes of the {outlook.open_deals:,} deals that are open now "
        "and should close then cost less, half more. Before draws; deals that nobody knows of yet are not in it. "
        "An estimate.",
    )


# --- people ---------------------------------------------------------------------------------------------


def people(found: Price, base: Base, space: Workspace, span: Span) -> None:
    """Each person before and after."""
    kinds = {
        "all": f"Everyone · {len(found.people):,}",
        "more": f"Get more · {found.winners:,}",
        "less": f"Get less · {found.losers:,}",
    }
    which = st.segmented_control(
        "Who",
        list(kinds),
        format_func=kinds.__getitem__,
        default="all",
        required=True,
        key="whatif_who",
        label_visibility="collapsed",
    )
    frame = found.people
    if which != "all":
        frame = frame[frame["difference"] > 0] if which == "more" else frame[frame["difference"] < 0]
    if frame.empty:
        st.caption("Nobody: move a slider on the left." if not found.difference else "Nobody.")
        return
    widgets.table(
        frame,
        {
            "name": text_column("Person"),
            "before": money_column(NOW, base.currency),
            "after": money_column(_THEN, base.currency),
            "difference": money_column("Difference", base.currency),
            "ratio": percent_column("Change"),
            "plan": text_column("Plan"),
        },
        key="whatif_people",
        export=widgets.stem("what-if", space.sheet.name, span.key, which if which != "all" else ""),
    )


# --- curves ---------------------------------------------------------------------------------------------


def curves(reading: Reading, space: Workspace) -> None:
    """What a component pays for how much, before and after."""
    if reading.before is None or reading.after is None:
        return
    overlaid({NOW: reading.before, _THEN: reading.after}, space)


def overlaid(plans: Mapping[str, Plan], space: Workspace) -> None:
    """The curves of several plans, of a component that is chosen where there are several."""
    labels = {component.id: component.label for plan in plans.values() for component in plan.components}
    chosen = next(iter(labels))
    if len(labels) > 1:
        chosen = st.selectbox(
            "Component",
            list(labels),
            format_func=labels.__getitem__,
            key=f"whatif_curve_{space.token}",
            label_visibility="collapsed",
        )
    drawn: dict[str, tuple[Plan, Component]] = {}
    for name, plan in plans.items():
        component = next((each for each in plan.components if each.id == chosen), None)
        if component is not None:
            drawn[name] = plan, component
    try:
        _overlay(drawn, widgets.stem("what-if-curve", next(iter(plans.values())).name, labels[chosen]))
    except QuotaPathError as error:
        widgets.show_problems(error)


def _overlay(drawn: Mapping[str, tuple[Plan, Component]], stem: str) -> None:
    walks = {name: walk(plan, component) for name, (plan, component) in drawn.items()}
    steps = max(walks.values(), key=lambda each: each.top)
    component = next(iter(drawn.values()))[1]
    of_quota = all(each.component.edges == "quota" for each in walks.values())
    digits = currency_digits(steps.currency)
    money = "$" if steps.currency == "USD" else ""
    in_money = not steps.counts and steps.component.measure in ("amount", "margin")
    title, form = plan_tools_view.axis(steps, of_quota, in_money, money)
    frames = []
    for name, each in walks.items():
        points = curve(each)
        scale = each.quota if of_quota else 10**digits if in_money else MICRO
        frames.append(
            pd.DataFrame(
                {
                    "which": name,
                    "where": [x / scale for x, _ in points],
                    "at": [plan_tools_view.at(each, x, of_quota) for x, _ in points],
                    "cents": [cents for _, cents in points],
                }
            )
        )
    frame = pd.concat(frames, ignore_index=True)
    frame["pays"] = frame["cents"] / 10**digits
    order = list(walks)
    lines = (
        alt.Chart(frame)
        .mark_line(strokeWidth=2.5)
        .encode(
            alt.X("where:Q", title=title, axis=alt.Axis(format=form, tickCount=6)),
            alt.Y("pays:Q", title=f"Pay ({steps.currency})", axis=alt.Axis(format=f"{money}~s", tickCount=5)),
            color=alt.Color("which:N", title=None, sort=order, legend=alt.Legend(orient="top", symbolType="stroke")),
            strokeDash=alt.StrokeDash("which:N", sort=order, legend=None, scale=alt.Scale(domain=order, range=_DASHES)),
            tooltip=[
                alt.Tooltip("which:N", title="Plan"),
                alt.Tooltip("where:Q", title=title, format=".1%" if of_quota else ",.2f"),
                alt.Tooltip("pays:Q", title="Pays", format=f"{money},.{digits}f"),
            ],
        )
    )
    points_only = lines.mark_point(size=60, filled=True, opacity=0)  # something to hover on
    charts.show(
        (lines + points_only).properties(height=300),
        frame,
        stem,
        {"which": text_column("Plan"), "at": text_column(title), "cents": money_column("Pays", steps.currency)},
        alt_text=f"Pay of {component.label} by {title.lower()}: {', '.join(order)}",
        title=component.label,
    )
    st.caption(widgets.plain(plan_tools_view.assumed(steps, component)))


_DASHES = [[5, 4], [1, 0], [1, 0], [1, 0], [1, 0]]  # as it is: dashed


# --- next quarter ---------------------------------------------------------------------------------------


def next_quarter(outlook: Outlook, base: Base) -> None:
    """How often the quarter comes to how much."""
    if outlook.problems or not outlook.open_deals:
        st.caption("There is nothing to simulate.")
        return
    frame = whatif.chart_of(outlook)
    names = {"now": NOW, "then": _THEN}
    same = outlook.before == outlook.after
    if same:
        frame = frame[frame["when"] == "now"]
    frame = frame.assign(which=frame["when"].map(names), money=frame["cost"] / 10 ** currency_digits(base.currency))
    sign = "$" if base.currency == "USD" else ""
    title = widgets.period_title(outlook.period)
    chart = (
        alt.Chart(frame)
        .mark_area(opacity=0.35, line=True, interpolate="monotone")
        .encode(
            alt.X(
                "money:Q", title=f"Cost of {title} ({base.currency})", axis=alt.Axis(format=f"{sign}~s", tickCount=6)
            ),
            alt.Y("share:Q", title="Part of the outcomes", stack=None, axis=alt.Axis(format=".0%", tickCount=5)),
            color=alt.Color("which:N", title=None, sort=[NOW, _THEN], legend=alt.Legend(orient="top")),
            tooltip=[
                alt.Tooltip("which:N", title="Plan"),
                alt.Tooltip("money:Q", title="About", format=f"{sign},.0f"),
                alt.Tooltip("share:Q", title="Part of the outcomes", format=".1%"),
            ],
        )
        .properties(height=280)
    )
    charts.show(
        chart,
        frame,
        widgets.stem("what-if-quarter", outlook.period.name),
        {
            "which": text_column("Plan"),
            "cost": money_column("Cost about", base.currency),
            "share": percent_column("Part of the outcomes"),
        },
        alt_text=f"How likely which cost of {title} is",
    )
    rows = [
        (f"P{percent}", outlook.at(percent, False), outlook.at(percent), outlook.rate_at(percent) / 1_000_000)
        for percent in (10, 25, 50, 75, 80, 90, 95)
    ]
    widgets.table(
        pd.DataFrame(rows, columns=["part", "now", "then", "rate"]),
        {
            "part": text_column("Percentile"),
            "now": money_column(NOW, base.currency),
            "then": money_column(_THEN, base.currency),
            "rate": percent_column("Effective rate", help="With the changes, of the same outcomes.", digits=2),
        },
        key="whatif_percentiles",
        export=widgets.stem("what-if-percentiles", outlook.period.name),
    )
    st.caption(
        f"{len(outlook.after):,} outcomes of the {outlook.open_deals:,} deals that are open now and should close in "
        f"{title}, each won as often as its stage says. An estimate, before draws; what is not in the pipeline yet is "
        "not in it."
    )


# --- in words -------------------------------------------------------------------------------------------


def words(reading: Reading) -> None:
    """What changes, what is to be done by hand, and what to look at."""
    if reading.after is None:
        return
    if not reading.changes and not reading.steps:
        st.caption("Nothing is changed yet.")
    if reading.changes:
        plan_tools_view.changes(reading.changes, reading.after)
    if reading.steps:
        st.markdown("**To do by hand**, as it is no text of the plan:")
        st.markdown("\n".join(f"- {widgets.plain(step)}" for step in reading.steps))
    plan_tools_view.warnings(reading.warnings, reading.after)

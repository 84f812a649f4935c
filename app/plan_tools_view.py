"""Beside a plan: what to look at before publishing it, its examples, what changes, and what it pays for how much."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import altair as alt
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import charts, plan_words, state, widgets
from engine.calc.model import MICRO, Component, Plan
from engine.db.plans import Version
from engine.errors import Problem, QuotaPathError
from engine.money import currency_digits, format_rate
from engine.plans import words
from engine.plans.curve import PRICE, Walk, curve, walk
from engine.plans.diff import Change
from engine.plans.examples import Example
from engine.services import plans
from engine.services.access import Actor
from engine.services.plans import Review

SHOWN = 3  # warnings that stand open beside the text


def review(actor: Actor, name: str, versions: Sequence[Version]) -> Callable[[str, Plan, DeltaGenerator], None]:
    """Draws all there is to say about a draft that parses: what is to be read above its text, its curves below."""

    def draw(document: str, plan: Plan, above: DeltaGenerator) -> None:
        found = _reviewed(actor, name, document, versions, [version.hash for version in versions])
        with above:
            warnings(found.warnings, plan)
            _examples(found.examples)
            if found.since is not None:
                title = f"Changes since the version of {found.since} · {len(found.changes)}"
                with st.expander(title, icon=":material/difference:", key="plan_changes"):
                    changes(found.changes, plan)
        curves(plan, "draft")

    return draw


# The values of the company's deals are asked of all of them; each field of the form that is left asks again.
@st.cache_data(ttl="1m", max_entries=20, scope="session", show_spinner=False)
def _reviewed(
    _actor: Actor,
    name: str,
    document: str,
    _versions: Sequence[Version],
    hashes: list[str],  # noqa: ARG001 - the versions' part of the key
) -> Review:
    return plans.review_draft(state.database(), _actor, name, document, _versions)


def warnings(found: Sequence[Problem], plan: Plan) -> None:
    """What lint says about a plan, in a box of its own; nothing where it says nothing."""
    if not found:
        return
    title = "One thing to look at" if len(found) == 1 else f"{len(found)} things to look at"
    with st.expander(title, len(found) <= SHOWN, icon=":material/warning:", key="plan_warnings"):
        st.caption("A plan with these can be published; each may be meant.")
        labels = [component.label for component in plan.components]
        for warning in found:
            st.markdown(f"**{widgets.plain(plan_words.place(warning.path, labels))}** {widgets.plain(warning.message)}")
            st.caption(widgets.plain(warning.remedy))


def _examples(examples: Sequence[Example]) -> None:
    if not examples:
        return
    failed = sum(not example.passes for example in examples)
    title = f"Examples · {f'{failed} of {len(examples)} failed' if failed else f'{len(examples)} passed'}"
    with st.expander(title, bool(failed), icon=":material/fact_check:", key="plan_examples"):
        for example in examples:
            mark = ":green-badge[passed]" if example.passes else ":red-badge[failed]"
            st.markdown(f"{mark} {widgets.plain(example.name)}")
            if example.working:
                with st.popover("How it is worked out", type="tertiary"):
                    st.code("\n".join(example.working), language=None, wrap_lines=True)


def changes(found: Sequence[Change], plan: Plan) -> None:
    """What changes from one version to `plan`, the next, a component at a time."""
    labels = {component.id: component.label for component in plan.components}
    if not found:
        st.caption("Nothing changes but the text: both mean the same.")
    for component in dict.fromkeys(change.component for change in found):
        rows = [change for change in found if change.component == component]
        title = labels.get(component, component) or "The whole plan"
        st.markdown(f"**{widgets.plain(title)}**\n" + "\n".join(f"- {_change(change)}" for change in rows))


def _change(change: Change) -> str:
    what = change.what[0].upper() + change.what[1:]
    return f"{widgets.plain(what)}: {widgets.plain(change.before)} → **{widgets.plain(change.after)}**"


# --- what is paid for how much ---------------------------------------------------------------------


def curves(plan: Plan, key: str) -> None:
    """The payout curve of a component of the plan, chosen where there are several."""
    with st.container(border=True, key=f"{key}_curve"):
        st.markdown("**What it pays**")
        chosen = plan.components[0]
        if len(plan.components) > 1:
            labels = {component.id: component.label for component in plan.components}
            name = st.selectbox(
                "Component",
                list(labels),
                format_func=labels.__getitem__,
                key=f"{key}_curve_of",
                label_visibility="collapsed",
            )
            chosen = next(component for component in plan.components if component.id == name)
        try:
            _curve(walk(plan, chosen), chosen, widgets.stem("payout-curve", plan.name, key, chosen.label))
        except QuotaPathError as error:
            widgets.show_problems(error)


def _curve(steps: Walk, component: Component, name: str) -> None:
    of_quota = steps.component.edges == "quota"
    points = curve(steps)
    frame = pd.DataFrame({"x": [x for x, _ in points], "cents": [cents for _, cents in points]})
    digits = currency_digits(steps.currency)
    money = "$" if steps.currency == "USD" else ""
    in_money = not steps.counts and steps.component.measure in ("amount", "margin")
    title, form = axis(steps, of_quota, in_money, money)
    if of_quota:
        frame["where"] = frame["x"] / steps.quota
    else:
        frame["where"] = frame["x"] / (10**digits if in_money else MICRO)
    frame["pays"] = frame["cents"] / 10**digits
    drawn = (
        alt.Chart(frame)
        .mark_line(strokeWidth=2.5)
        .encode(
            alt.X("where:Q", title=title, axis=alt.Axis(format=form, tickCount=6)),
            alt.Y("pays:Q", title=f"Pay ({steps.currency})", axis=alt.Axis(format=f"{money}~s", tickCount=5)),
            tooltip=[
                alt.Tooltip("where:Q", title=title, format=".1%" if of_quota else ",.2f"),
                alt.Tooltip("pays:Q", title="Pays", format=f"{money},.{digits}f"),
            ],
        )
    )
    points_only = drawn.mark_point(size=60, filled=True, opacity=0)  # something to hover on
    charts.show(
        (drawn + points_only).properties(height=220),
        frame.assign(at=[at(steps, x, of_quota) for x in frame["x"]]),
        name,
        {"at": widgets.text_column(title), "cents": widgets.money_column("Pays", steps.currency)},
        alt_text=f"Pay of {component.label} by {title.lower()}",
    )
    st.caption(widgets.plain(assumed(steps, component)))


def axis(steps: Walk, of_quota: bool, in_money: bool, money: str) -> tuple[str, str]:
    """The title of the axis of what is sold, and the format of its figures."""
    if of_quota:
        return "Attainment", ".0%"
    if steps.counts:
        return "Deals", "~s"
    if not in_money:
        return steps.component.measure.replace("_", " ").capitalize(), "~s"
    return ("Size of the deal" if steps.by_deal else f"Sold in a {steps.component.quota_period}"), f"{money}~s"


def at(steps: Walk, x: int, of_quota: bool) -> str:
    """What is sold, in words."""
    if of_quota:
        return format_rate(x * 1_000_000 // steps.quota)
    return words.measured(x, steps.component, steps.currency)


def assumed(steps: Walk, component: Component) -> str:
    """What the curve takes for granted, as a sentence."""
    said = []
    if steps.quota:
        quota = words.measured(steps.quota, steps.component, steps.currency)
        said.append(f"a quota of {quota}" + ("" if component.quota else ", for the sake of the picture"))
    if not steps.counts and steps.component.measure not in ("amount", "margin"):
        said.append(f"{PRICE}.00 a unit")
    if component.gate is not None and component.gate.component is not None:
        said.append(f"{component.gate.component} at its gate")
    if replace(component, multipliers=()) != component:
        said.append("no multiplier")
    return f"With {', '.join(said)}." if said else "Each deal matches, and one person has all of it."

"""Quotas and people on the what-if page: everyone's quotas by a factor, one person's exactly, who is on the plan."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import streamlit as st

from app import widgets
from app.whatif_numbers import spoken
from app.whatif_state import Workspace, put
from engine.analytics.scenario_books import Quarter
from engine.calc.model import PPM, Plan
from engine.money import currency_digits, format_money
from engine.plans.document import read_draft
from engine.services import whatif_reading
from engine.services.whatif import Base, Span
from engine.services.whatif_reading import QuotaNow

_PERCENT = PPM // 100
_SLOWEST, _STEEPEST = -50, 100  # percent, of the slider of everyone's quotas


def draw(base: Base, space: Workspace, span: Span, coming: Quarter, document: Mapping[str, Any]) -> None:
    """All that is no text of the plan."""
    variant = space.sheet.variant
    plan, _ = read_draft(document, variant.plan)
    with st.expander("Quotas and people", expanded=True, key=f"wi_{space.token}_who"):
        _everyones(space)
        if plan is not None:
            _ones(base, space, span, coming, plan)
        _who(base, space)


def _everyones(space: Workspace) -> None:
    """The factor of all quotas, from a slider or to the hundredth of a percent."""
    more = space.sheet.variant.quota_ppm - PPM
    names = [f"{space.active}_quota_{kind}" for kind in "se"]
    slider, exact = (space.field(name, more, _STEEPEST * _PERCENT) for name in names)

    def moved(name: str, key: str) -> None:
        value = space.reported(name, key, _PERCENT)
        if value is not None:
            space.change(replace(space.sheet.variant, quota_ppm=PPM + value))

    with st.container(horizontal=True, vertical_alignment="bottom", key=f"wi_row_{space.token}_quota"):
        st.slider(
            "Quotas of everyone on the plan (%)",
            float(min(_SLOWEST, slider.start // _PERCENT)),
            slider.top / _PERCENT,
            slider.start / _PERCENT,
            step=1.0,
            format="%+.4g%%",
            key=slider.key,
            on_change=moved,
            args=(names[0], slider.key),
        )
        st.number_input(
            "Quotas of everyone on the plan (%), exact",
            -90.0,
            900.0,
            exact.start / _PERCENT,
            step=1.0,
            format="%.10g",
            key=exact.key,
            on_change=moved,
            args=(names[1], exact.key),
            label_visibility="collapsed",
            width=130,
        )


# --- one person's quotas --------------------------------------------------------------------------------


def _on_plan(base: Base, space: Workspace) -> list[str]:
    """Who is on the plan under the variant, by name."""
    variant = space.sheet.variant
    people = {**base.on_plan, **variant.people}
    return sorted((person for person, plan in people.items() if plan == variant.plan), key=lambda it: _name(base, it))


def _name(base: Base, person: str) -> str:
    return base.names.get(person, person)


def _ones(base: Base, space: Workspace, span: Span, coming: Quarter, plan: Plan) -> None:
    """Choose a person, and each of their quotas is a field."""
    on_it = _on_plan(base, space)
    person = st.selectbox(
        "One person's quotas",
        on_it,
        index=None,
        format_func=lambda code: widgets.plain(_name(base, code)),
        placeholder="Choose a person on the plan",
        key=f"wi_{space.token}_whose",
    )
    if person is None:
        return
    found = whatif_reading.quotas_of(coming, plan, space.sheet.variant, person, span)
    if not found:
        st.caption("No component of this plan looks at a quota.")
        return
    with st.grid(3, min_column_width=130):
        for quota in found:
            _one(space, quota, plan.currency)
    st.caption("In place of what the Quotas page has, for that period alone. Those of everyone move the others.")


def _one(space: Workspace, quota: QuotaNow, currency: str) -> None:
    parts = 10 ** currency_digits(currency)
    name = f"{space.active}_quota_{quota.key}"
    box = space.field(name, quota.now or 0)

    def written() -> None:
        amount = space.reported(name, box.key, parts)
        if amount is None:
            return
        quotas = {key: each for key, each in space.sheet.variant.quotas.items() if key != quota.key}
        if amount and amount != quota.before:
            quotas[quota.key] = amount
        space.change(replace(space.sheet.variant, quotas=quotas))

    was = ""
    if quota.now != quota.before:
        before = "none" if quota.before is None else format_money(quota.before, currency, thousands=True)
        was = f" :orange[was {widgets.plain(before)}]"
    title = " · ".join(filter(None, (widgets.period_title(quota.period), quota.component)))
    st.number_input(
        f"{spoken(title)} ({currency}){was}",
        0.0,
        None,
        box.start / parts if box.start else None,
        step=max(1.0, float((quota.now or 0) // parts // 100)),
        format="%.10g",
        placeholder="none",
        key=box.key,
        on_change=written,
    )


# --- who is on the plan ---------------------------------------------------------------------------------


def _who(base: Base, space: Workspace) -> None:
    """Whoever is added and whoever is taken off: the others are not listed, there may be hundreds."""
    variant = space.sheet.variant
    now_on = [person for person, plan in base.on_plan.items() if plan == variant.plan]
    others = [person for person in base.names if base.on_plan.get(person) != variant.plan]
    added = [person for person, plan in variant.people.items() if plan == variant.plan]
    left = [person for person, plan in variant.people.items() if plan != variant.plan]
    keys = {"add": f"wi_{space.token}_add", "off": f"wi_{space.token}_off"}

    def chosen() -> None:
        people = dict.fromkeys(st.session_state[keys["add"]], variant.plan) | dict.fromkeys(
            st.session_state[keys["off"]], ""
        )
        space.change(replace(space.sheet.variant, people=people))

    put(keys["add"], added)
    put(keys["off"], left)
    count = len(now_on) - len(left) + len(added)
    st.caption(f"{'1 person is' if count == 1 else f'{count:,} people are'} on the plan.")
    st.multiselect(
        "Add to the plan",
        sorted({*others, *added}, key=lambda person: _name(base, person)),
        format_func=lambda person: _with_plan(base, person),
        placeholder="Nobody is added",
        key=keys["add"],
        on_change=chosen,
        help="Whoever is added leaves the plan they are on, for all the time that they were on one.",
    )
    st.multiselect(
        "Take off the plan",
        sorted({*now_on, *left}, key=lambda person: _name(base, person)),
        format_func=lambda person: widgets.plain(_name(base, person)),
        placeholder="Nobody is taken off",
        key=keys["off"],
        on_change=chosen,
        help="Whoever is taken off is on no plan, for all the time that they were on this one.",
    )


def _with_plan(base: Base, person: str) -> str:
    plan = base.on_plan.get(person, "")
    return widgets.plain(_name(base, person) + (f" · {base.titles.get(plan, plan)}" if plan else ""))

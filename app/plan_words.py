"""A plan's rules in words and tables, for those who read them."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal

import pandas as pd
import streamlit as st

from app import widgets
from app.plan_fields import KIND_LABELS
from app.plan_rows import OPERATORS, written
from engine.calc.model import MICRO, PPM, Component, Condition, Day, FieldValue, Number, Plan, Rate, Tier
from engine.money import format_rate

_PARTS = {"draw": "a draw", "clawback": "clawbacks", "gate": "a gate", "cap": "a cap", "multipliers": "multipliers"}


def show_plan(plan: Plan) -> None:
    """Each component as a card, and what holds for the whole plan."""
    with st.grid(2, min_column_width=360):
        for component in plan.components:
            with st.container(border=True, height="stretch"):
                _show_component(component, plan)
    also = [_PARTS[part] for part in ("draw", "clawback") if getattr(plan, part) is not None]
    sentence = f"Paid each {plan.pay_period} in {plan.currency}"
    st.caption(sentence + (f", with {' and '.join(also)}; the text has the figures." if also else "."))


def _show_component(component: Component, plan: Plan) -> None:
    st.markdown(f"**{widgets.plain(component.label)}** :gray-badge[{KIND_LABELS[component.kind]}]")
    st.markdown(widgets.plain(sentence(component, plan.currency)))
    if any(tier.rate and tier.rate.of_base for tier in component.tiers):
        st.caption(widgets.plain(_base(component, plan.currency)))
    if component.tiers:
        st.dataframe(tier_frame(component, plan.currency), hide_index=True)
    limits = [_PARTS[part] for part in ("gate", "cap", "multipliers") if getattr(component, part)]
    if limits:
        st.caption(f"With {' and '.join(limits)}; the text has the figures.")


def sentence(component: Component, currency: str) -> str:
    """What the component pays, on which deals, over which period."""
    deals = "deal" if not component.when else "deal where " + " and ".join(map(_condition, component.when))
    if component.window_from or component.window_until:
        start = f" from {date.fromordinal(component.window_from)}" if component.window_from else ""
        last = f" through {date.fromordinal(component.window_until - 1)}" if component.window_until else ""
        deals += f", closed{start}{last}"
    if component.kind == "flat":
        return f"{widgets.money(component.amount or 0, currency)} for each {deals}."
    if component.kind == "percentage":
        return f"{_rate(component.rate, component)} of the {component.pays_on} of each {deals}."
    if component.kind == "tiered":
        how = "the whole deal" if component.tiers[0].applies == "all" else "each slice of the deal"
        return f"The size of each {deals} sets the rate of {how}."
    quota = ""
    if component.edges == "quota" and component.quota:
        figure = _edge(component.quota, "money" if _money(component) else "units", currency)
        quota = f" The quota is {figure} for people without one of their own."
    return f"The {component.measure} of each {deals} adds up over the {component.quota_period}.{quota}"


def tier_frame(component: Component, currency: str) -> pd.DataFrame:
    """From, to, pays and applies of each tier."""
    ends = [_edge(tier.start, component.edges, currency) for tier in component.tiers[1:]] + ["and above"]
    return pd.DataFrame(
        {
            "From": [_edge(tier.start, component.edges, currency) for tier in component.tiers],
            "To": ends,
            "Pays": [_pays(tier, component, currency) for tier in component.tiers],
            "Applies to": ["this slice" if tier.applies == "slice" else "everything" for tier in component.tiers],
        }
    )


def _money(component: Component) -> bool:
    return component.measure in ("amount", "margin", "commission")


def _pays(tier: Tier, component: Component, currency: str) -> str:
    return _rate(tier.rate, component) if tier.rate else f"{widgets.money(tier.amount or 0, currency)} a unit"


def _rate(rate: Rate | None, component: Component) -> str:
    """A rate; of a multiple also what it comes to, where the base rate is the same for everyone."""
    if rate is None:
        return "nothing"
    if not rate.of_base:
        return format_rate(rate.ppm)
    base = component.base_rate.ppm if component.base_rate else None
    if base is None:
        return f"{_number(rate.ppm)}x the base rate"
    return f"{_number(rate.ppm * base // 10_000)}% ({_number(rate.ppm)}x)"


def _base(component: Component, currency: str) -> str:
    """What the base rate is."""
    base = component.base_rate
    if base is None or base.ppm is not None:
        return f"Base rate: {format_rate(base.ppm or 0) if base else '0%'}."
    weight = "" if base.weight == PPM else f" x {format_rate(base.weight)}"
    return (
        f"Base rate: target pay of {widgets.money(base.target_pay or 0, currency)}{weight}, divided by the person's "
        "quota for the period."
    )


def _number(micro: int) -> str:
    return f"{(Decimal(micro) / MICRO).normalize():,f}"


def _edge(value: int, edges: str, currency: str) -> str:
    if edges == "quota":
        return f"{format_rate(value)} of quota"
    return widgets.money(value, currency) if edges == "money" else _number(value)


def _condition(condition: Condition) -> str:
    names: Mapping[str, str] = {**OPERATORS, "any_of": "is"}
    return " and ".join(
        f"{condition.field} {names[operator]} {' or '.join(map(_value, operands))}"
        for operator, operands in condition.tests
    )


def _value(value: FieldValue) -> str:
    if isinstance(value, Number):
        return _number(value.micro)
    return str(date.fromordinal(value.ordinal)) if isinstance(value, Day) else written(value)


# --- where something is wrong ----------------------------------------------------------------------
_STEP = re.compile(r"([^.\[]+)(?:\[(\d+)\])?")
_ONE_OF = {"tiers": "tier", "points": "point", "steps": "step", "multipliers": "multiplier", "schedule": "payment"}


def place(path: str, components: Sequence[str]) -> str:
    """A path of a plan's text in words: ``component[0].tiers[1].rate`` is ``Component 1 "New business", tier 2: rate``.

    `components` are what the components are called.
    """
    parts, key = [], ""
    for name, number in _STEP.findall(path):
        if not number:
            key = f"{key}.{name}" if key else name
            continue
        called = components[int(number)] if name == "component" and int(number) < len(components) else ""
        parts.append(f"{_ONE_OF.get(name, name)} {int(number) + 1}" + (f' "{called}"' if called else ""))
    if parts:
        parts[0] = parts[0][0].upper() + parts[0][1:]
    return ": ".join(filter(None, (", ".join(parts), key)))


def code(text: str) -> str:
    """A sentence for a place that reads Markdown: what stands between backticks is code, the rest as it is."""
    parts = text.split("`")
    return "".join(
        f"`{part}`" if at % 2 and at < len(parts) - 1 else widgets.plain(part) for at, part in enumerate(parts)
    )

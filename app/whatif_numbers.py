"""One number of the plan on the what-if page: a slider to turn it, and a field for the exact figure."""

import re

import streamlit as st

from app import widgets
from app.whatif_state import Workspace, with_change
from engine.calc.model import MICRO, PPM
from engine.money import currency_digits
from engine.plans.numbers import PlanNumber


def parts_of(number: PlanNumber) -> int:
    """How many whole units of a number make one on the screen."""
    if number.unit == "money":
        return 10 ** currency_digits(number.currency)
    return {"percent": PPM // 100, "multiple": PPM, "number": MICRO, "whole": 1}[number.unit]


def shown_label(number: PlanNumber) -> str:
    """The label with its unit."""
    unit = {"percent": "%", "multiple": "x", "money": number.currency, "number": "", "whole": ""}[number.unit]
    return f"{number.label} ({unit})" if unit else number.label


def spoken(label: str) -> str:
    """A label without escapes where it has nothing that Markdown reads: it is read out as it is written."""
    return widgets.plain(label) if re.search(r"[\\`*_{}\[\]<>#|~$]|:\w", label) else label


def _top(number: PlanNumber, start: PlanNumber) -> int:
    """Where the slider ends: at twice the plan's own figure, or what the plan language takes."""
    top = max(2 * start.value, start.value + 20 * start.step)
    if number.unit == "percent" and (number.is_edge or "gate" in number.path):
        top = max(top, 2 * PPM)
    if number.most is not None:
        top = min(top, number.most)
    return max(-(-top // start.step) * start.step, number.value)


def draw(space: Workspace, number: PlanNumber, original: PlanNumber | None) -> None:
    """A slider and, beside it, the exact figure; each follows the other."""
    parts = parts_of(number)
    start = original or number
    names = [f"{space.active}_{number.path}_{kind}" for kind in "se"]
    slider, exact = (space.field(name, number.value, _top(number, start)) for name in names)
    whole = number.unit == "whole"

    def moved(name: str, key: str) -> None:
        value = space.reported(name, key, parts)
        if value is None:
            return
        was = original.written(original.value) if original else None
        space.change(with_change(space.sheet.variant, number.path, number.written(value), was))

    def shown(value: int) -> float | int:
        return value if whole else value / parts

    label = shown_label(number)
    note = f" :orange[was {widgets.plain(original.text())}]" if original and original.value != number.value else ""
    with st.container(horizontal=True, vertical_alignment="bottom", key=f"wi_row_{space.token}_{names[0]}"):
        st.slider(
            spoken(label) + note,
            shown(0),
            shown(slider.top),
            shown(slider.start),
            step=shown(start.step),
            format=_format(number),
            key=slider.key,
            on_change=moved,
            args=(names[0], slider.key),
        )
        st.number_input(
            f"{label}, exact, {number.component or 'plan'}",
            shown(0),
            None if number.most is None else shown(number.most),
            shown(exact.start),
            step=shown(start.step),
            format="%d" if whole else "%.10g",
            key=exact.key,
            on_change=moved,
            args=(names[1], exact.key),
            label_visibility="collapsed",
            width=130,
        )


def _format(number: PlanNumber) -> str:
    if number.unit == "percent":
        return "%.4g%%"
    return {"multiple": "%.4gx", "money": "localized", "number": "localized", "whole": "%d"}[number.unit]

"""Charts in the theme's colours, each with tooltips, a text for screen readers, the table behind it and its files.

`show` draws any Altair chart so; `bars` and `trend` make the two common ones.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

import altair as alt
import pandas as pd
import streamlit as st
from altair.utils import schemapi

from app import pictures, widgets
from app.pictures import AnyChart
from app.widgets import Column
from engine.money import currency_digits

_PICK = "pick"
_MILLION = 1_000_000


def trust() -> None:
    """From now on this process draws charts without checking each against the schema of Vega-Lite.

    The check is most of a chart's work, under a lock that all sessions share.  The tests make it: they never call this.
    """
    schemapi.disable_debug_mode()
    schemapi.SchemaBase.validate = classmethod(lambda *_: None)  # type: ignore[method-assign,assignment]


def show(
    chart: AnyChart,
    table: pd.DataFrame,
    name: str,
    columns: Mapping[str, Column],
    *,
    alt_text: str,
    title: str = "",
    pick: Sequence[str] = (),
) -> dict[str, Any] | None:
    """Draw `chart`, and under it the way to the table behind it and to the files: CSV, Excel, PNG, SVG.

    `name` is the stem of the files' names and tells charts of a page apart: what is shown and the filters it is
    shown with (`widgets.stem`).  `columns` are those of `table`, as for `widgets.table`.  `title` stands on the
    picture, without it `alt_text`, which is read out in place of the chart.

    With `pick`, fields of the chart's data, a mark can be clicked: returns their values of the mark that was, once,
    else None.
    """
    key = f"chart_{name}"
    chosen: dict[str, Any] | None = None
    if pick:
        # A mark that was clicked stays chosen as long as its chart is there; the next drawing is a new chart.
        drawn = f"{key}_{st.session_state.get(f'{key}_drawn', 0)}"
        # Only marks that stand for rows can be chosen; a layer's first chart has them.
        clickable = chart.add_params(alt.selection_point(name=_PICK, fields=list(pick), toggle="false"))
        event = st.altair_chart(clickable, alt=alt_text, key=drawn, on_select="rerun", selection_mode=_PICK)
        found = cast("Any", event)["selection"].get(_PICK)
        if found:
            chosen = dict(found[0])
            st.session_state[f"{key}_drawn"] = st.session_state.get(f"{key}_drawn", 0) + 1
    else:
        st.altair_chart(chart, alt=alt_text, key=key)
    dark = st.context.theme.get("type") == "dark"
    with st.popover("Table and files", icon=":material/table_rows:", type="tertiary"):
        widgets.table(table, columns, key=f"table_{name}")
        with st.container(horizontal=True, horizontal_alignment="right"):
            widgets.export_buttons(table, columns, name)
            for label, kind, mime in (("PNG", "png", "image/png"), ("SVG", "svg", "image/svg+xml")):
                draw = partial(pictures.render, chart, kind, title or alt_text, dark)  # type: ignore[arg-type]
                widgets.download(label, f"{name}.{kind}", draw, mime)
    return chosen


def money_formats(currency: str) -> tuple[str, str]:
    """How a tooltip and an axis write money, in the formats of the charts."""
    sign = "$" if currency == "USD" else ""
    return f"{sign},.{currency_digits(currency)}f", f"{sign}~s"


def unit(title: str, currency: str) -> str:
    """The title of an axis of money: with the currency, where no sign says it."""
    return title if currency == "USD" else f"{title} ({currency})"


def short(cents: float | None, currency: str) -> str:
    """Money that fits a card: exact below a million; a dash where there is none."""
    if cents is None:
        return "–"
    units = cents / 10 ** currency_digits(currency)
    if abs(units) < _MILLION:
        return widgets.money(round(cents), currency)
    in_millions = widgets.money(round(units / _MILLION * 10 ** (2 if currency_digits(currency) else 0)), currency)
    return f"{in_millions}M"


def whole(cents: float | None, currency: str) -> str:
    """Money in whole units: an estimate has no cents to speak of."""
    if cents is None:
        return "–"
    digits = currency_digits(currency)
    text = widgets.money(round(cents / 10**digits) * 10**digits, currency)
    return text.replace("." + "0" * digits, "") if digits else text


def bars(
    frame: pd.DataFrame,
    x: str,
    y: str,
    *,
    alt_text: str,
    x_title: str = "",
    y_title: str = "",
    color: str | None = None,
    currency: str | None = None,
    percent: bool = False,
    horizontal: bool = False,
    height: int = 300,
    name: str = "",
    pick: bool = False,
) -> dict[str, Any] | None:
    """Bars of `y` for each `x`, in the frame's order; stacked by `color`.

    With `currency`, `y` is int cents; with `percent` a ratio.  `horizontal` reads well with long names.  `name` as for
    `show`, by default made of `alt_text`.  With `pick` a bar can be clicked: returns its `x` and `color`, once.
    """
    data, number = _number(frame, y, y_title, currency, percent)
    names = alt.X(f"{x}:N", title=x_title or None, sort=None, axis=alt.Axis(labelAngle=0, labelLimit=160))
    chart = alt.Chart(data)
    if horizontal:
        chart = chart.mark_bar(cornerRadiusEnd=4, height={"band": 0.65}).encode(
            alt.Y(f"{x}:N", title=x_title or None, sort=None, axis=alt.Axis(labelLimit=160)), alt.X(**number)
        )
    else:
        chart = chart.mark_bar(cornerRadiusEnd=4, width={"band": 0.65}).encode(names, alt.Y(**number))
    return _draw(chart, frame, x, y, x_title, y_title, color, number, alt_text, height, currency, percent, name, pick)


def trend(
    frame: pd.DataFrame,
    x: str,
    y: str,
    *,
    alt_text: str,
    x_title: str = "",
    y_title: str = "",
    color: str | None = None,
    currency: str | None = None,
    percent: bool = False,
    height: int = 300,
    name: str = "",
) -> None:
    """A line of `y` over `x` (dates, or names of periods in order); one line for each `color`.

    With `currency`, `y` is int cents; with `percent` a ratio.  `name` as for `bars`.
    """
    data, number = _number(frame, y, y_title, currency, percent)
    time = pd.api.types.is_datetime64_any_dtype(frame[x])
    axis = alt.X(
        f"{x}:{'T' if time else 'N'}", title=x_title or None, sort=None, axis=alt.Axis(labelAngle=0, labelOverlap=True)
    )
    chart = alt.Chart(data).mark_line(point=True, strokeWidth=2.5, interpolate="monotone").encode(axis, alt.Y(**number))
    _draw(chart, frame, x, y, x_title, y_title, color, number, alt_text, height, currency, percent, name)


def _number(frame: pd.DataFrame, y: str, title: str, currency: str | None, percent: bool) -> tuple[pd.DataFrame, dict]:
    """The frame with `y` as a number to draw, and the axis for it."""
    data = frame.copy()
    if currency:
        data[y] = pd.to_numeric(data[y]).astype("float64") / 10 ** currency_digits(currency)
    sign = "$" if currency == "USD" else ""
    axis = alt.Axis(format=".0%" if percent else f"{sign}~s", tickCount=5)
    unit = f"{title} ({currency})" if currency and not sign else title
    return data, {"shorthand": f"{y}:Q", "title": unit or None, "axis": axis}


def _draw(
    chart: alt.Chart,
    frame: pd.DataFrame,
    x: str,
    y: str,
    x_title: str,
    y_title: str,
    color: str | None,
    number: dict,
    alt_text: str,
    height: int,
    currency: str | None,
    percent: bool,
    name: str,
    pick: bool = False,
) -> dict[str, Any] | None:
    form = (
        ".1%"
        if percent
        else ("$" if currency == "USD" else "") + (f",.{currency_digits(currency)}f" if currency else ",~f")
    )
    tooltip = [alt.Tooltip(x, title=x_title or x), alt.Tooltip(f"{y}:Q", title=number["title"] or y, format=form)]
    if color:
        chart = chart.encode(color=alt.Color(f"{color}:N", title=None, legend=alt.Legend(orient="top"), sort=None))
        tooltip.insert(1, alt.Tooltip(color, title=color.capitalize()))
    chart = chart.encode(tooltip=tooltip).properties(height=height)
    number_column = (
        widgets.money_column(y_title or y, currency)
        if currency
        else (widgets.percent_column if percent else widgets.number_column)(y_title or y)
    )
    columns = {x: widgets.text_column(x_title or x)}
    if color:
        columns[color] = widgets.text_column(color.capitalize())
    columns[y] = number_column
    fields = [x, color] if color else [x]
    stem = name or widgets.stem(alt_text)
    return show(chart, frame, stem, columns, alt_text=alt_text, title=alt_text, pick=fields if pick else ())

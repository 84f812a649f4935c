"""Charts in the theme's colours, each with tooltips, a text for screen readers and the table behind it."""

from typing import Literal

import altair as alt
import pandas as pd
import streamlit as st

from app import widgets
from engine.money import currency_digits

Kind = Literal["nominal", "temporal", "ordinal"]


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
) -> None:
    """Bars of `y` for each `x`, in the frame's order; stacked by `color`.

    With `currency`, `y` is int cents; with `percent` a ratio.  `horizontal` reads well with long names.
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
    _draw(chart, frame, x, y, x_title, y_title, color, number, alt_text, height, currency, percent)


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
) -> None:
    """A line of `y` over `x` (dates, or names of periods in order); one line for each `color`.

    With `currency`, `y` is int cents; with `percent` a ratio.
    """
    data, number = _number(frame, y, y_title, currency, percent)
    time = pd.api.types.is_datetime64_any_dtype(frame[x])
    axis = alt.X(
        f"{x}:{'T' if time else 'N'}", title=x_title or None, sort=None, axis=alt.Axis(labelAngle=0, labelOverlap=True)
    )
    chart = alt.Chart(data).mark_line(point=True, strokeWidth=2.5, interpolate="monotone").encode(axis, alt.Y(**number))
    _draw(chart, frame, x, y, x_title, y_title, color, number, alt_text, height, currency, percent)


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
) -> None:
    form = (
        ".1%"
        if percent
        else ("$" if currency == "USD" else "") + (f",.{currency_digits(currency)}f" if currency else ",~f")
    )
    tooltip = [alt.Tooltip(x, title=x_title or x), alt.Tooltip(f"{y}:Q", title=number["title"] or y, format=form)]
    if color:
        chart = chart.encode(color=alt.Color(f"{color}:N", title=None, legend=alt.Legend(orient="top"), sort=None))
        tooltip.insert(1, alt.Tooltip(color, title=color.capitalize()))
    st.altair_chart(chart.encode(tooltip=tooltip).properties(height=height), alt=alt_text)
    number_column = (
        widgets.money_column(y_title or y, currency)
        if currency
        else (widgets.percent_column if percent else widgets.number_column)(y_title or y)
    )
    columns = {x: widgets.text_column(x_title or x)}
    if color:
        columns[color] = widgets.text_column(color.capitalize())
    columns[y] = number_column
    with st.popover("Table", icon=":material/table_rows:", type="tertiary"):
        widgets.table(frame, columns, key=f"table_of_{alt_text}")

"""A chart as a file, drawn by Vega in this process when someone asks for it: the app's colours, light or dark."""

from typing import Any, Literal

import altair as alt
import streamlit as st
import vl_convert

Kind = Literal["png", "svg"]
AnyChart = alt.Chart | alt.LayerChart | alt.FacetChart

_WIDTH = 900  # pixels; a PNG has twice as many
# The first comes with the converter, so that a picture is the same on a machine without fonts.
_FONTS = "Arimo, Liberation Sans, Arial, sans-serif"
_MUTED = {"light": "#4a5b58", "dark": "#a7b8b5"}


def render(chart: AnyChart, kind: Kind, title: str, dark: bool) -> bytes:
    """The chart with its title as a PNG or SVG file; `dark` takes the dark theme's colours."""
    spec: dict[str, Any] = chart.to_dict()
    spec["width"] = _WIDTH
    spec["title"] = title
    spec["padding"] = 16
    config = _config("dark" if dark else "light")
    # The data is in the spec; nothing is fetched from anywhere.
    if kind == "svg":
        return vl_convert.vegalite_to_svg(spec, config=config, allowed_base_urls=[]).encode()
    return vl_convert.vegalite_to_png(spec, scale=2, config=config, allowed_base_urls=[])


def _config(theme: str) -> dict[str, Any]:
    """What Streamlit's theme does to a chart on the page, for Vega alone."""
    text, line, ground = (
        str(st.get_option(f"theme.{theme}.{name}")) for name in ("textColor", "borderColor", "backgroundColor")
    )
    colors = list(st.get_option("theme.chartCategoricalColors"))
    muted = _MUTED[theme]
    return {
        "background": ground,
        "font": _FONTS,
        "view": {"stroke": None},
        "title": {"color": text, "fontSize": 18, "anchor": "start", "offset": 16},
        "axis": {
            "labelColor": muted, "titleColor": muted, "labelFontSize": 13, "titleFontSize": 13, "titleFontWeight": 400,
            "gridColor": line, "domain": False, "ticks": False, "labelPadding": 8, "titlePadding": 12,
        },
        "axisX": {"grid": False},
        "axisQuantitative": {"grid": True},
        "legend": {"labelColor": muted, "titleColor": muted, "labelFontSize": 13, "symbolType": "circle"},
        "header": {"labelColor": muted, "titleColor": muted},
        "text": {"color": text},
        "mark": {"color": colors[0]},
        "range": {"category": colors, "ordinal": colors, "heatmap": colors[:1], "diverging": colors[:2]},
    }  # fmt: skip

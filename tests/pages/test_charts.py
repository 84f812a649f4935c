"""The widget that every chart is drawn with: the chart, the table behind it, and both as files."""

import csv
import io
import xml.etree.ElementTree as ET
from typing import Any

import altair as alt
import pandas as pd
import pytest
from openpyxl import load_workbook
from streamlit.testing.v1 import AppTest

from app import pictures, widgets


def page(amounts=(150_000, 250_000)) -> None:
    import pandas as pd
    import streamlit as st

    from app import charts

    frame = pd.DataFrame({"stage": ["Proposal", "=Won <b>"][: len(amounts)], "amount": amounts})
    picked = charts.bars(
        frame, "stage", "amount", currency="USD", y_title="Amount", alt_text="Amount by stage", name="by-stage-2026-q4",
        pick=True,
    )  # fmt: skip
    st.text(str(picked))


def test_a_chart_has_its_table_and_four_files_named_by_what_they_show() -> None:
    screen = AppTest.from_function(page, default_timeout=20).run()
    assert not screen.exception
    assert [each.proto.label for each in screen.get("download_button")] == ["CSV", "Excel", "PNG", "SVG"]
    assert screen.dataframe[0].value["amount"].tolist() == [1500.0, 2500.0]
    assert len(screen.get("vega_lite_chart")) == 1


def files(monkeypatch: pytest.MonkeyPatch, screen: AppTest) -> dict[str, bytes]:
    made: dict[str, Any] = {}
    monkeypatch.setattr(widgets, "download", lambda _label, name, content, _mime: made.__setitem__(name, content))
    assert not screen.run().exception
    return {name: content() for name, content in made.items()}


def test_what_the_files_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    found = files(monkeypatch, AppTest.from_function(page, default_timeout=20))
    assert list(found) == [f"by-stage-2026-q4.{kind}" for kind in ("csv", "xlsx", "png", "svg")]
    rows = list(csv.reader(io.StringIO(found["by-stage-2026-q4.csv"].decode("utf-8-sig"))))
    assert rows == [["stage", "Amount", "Currency"], ["Proposal", "1500.00", "USD"], ["'=Won <b>", "2500.00", "USD"]]
    sheet = load_workbook(io.BytesIO(found["by-stage-2026-q4.xlsx"])).active
    assert sheet is not None
    assert [cell.value for cell in sheet[3]] == ["=Won <b>", 2500, "USD"]
    assert found["by-stage-2026-q4.png"].startswith(b"\x89PNG")
    drawn = ET.fromstring(found["by-stage-2026-q4.svg"])  # noqa: S314  what this program made
    words = " ".join(drawn.itertext())
    assert "=Won <b>" in words
    assert "Amount by stage" in words


def test_a_picture_is_in_the_theme_and_asks_nobody_for_anything() -> None:
    chart = alt.Chart(pd.DataFrame({"a": ["x"], "b": [1]})).mark_bar().encode(alt.X("a:N"), alt.Y("b:Q"))
    light, dark = (pictures.render(chart, "svg", "Title", each).decode() for each in (False, True))
    assert 'fill="#ffffff"' in light
    assert 'fill="#0f1716"' in dark
    assert "#0d9488" in light
    assert "http" not in light.replace("http://www.w3.org/", "")
    layers = alt.layer(chart, chart.mark_text())
    assert pictures.render(layers, "png", "Title", False).startswith(b"\x89PNG")


def test_a_mark_that_was_clicked_is_told_once() -> None:
    screen = AppTest.from_function(page, default_timeout=20)
    screen.session_state["chart_by-stage-2026-q4_0"] = {"selection": {"pick": [{"stage": "Proposal"}]}}
    assert screen.run().text[0].value == "{'stage': 'Proposal'}"
    assert screen.run().text[0].value == "None"


def test_the_stem_of_a_file_says_what_and_which() -> None:
    assert widgets.stem("Won revenue", "2026-Q4", None, "", "Łódź / East") == "won-revenue-2026-q4-łódź-east"

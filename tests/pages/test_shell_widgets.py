"""The shared widgets: filters in the URL, tables and their files, cards, messages."""

import csv
import io
import json
from datetime import date
from decimal import Decimal

import pandas as pd
import pytest
from openpyxl import load_workbook
from streamlit.testing.v1 import AppTest

from app import navigation, widgets
from engine.periods import parse_period
from engine.services import teams


# ---------------------------------------------------------------- text
@pytest.mark.parametrize(
    ("cents", "currency", "text"),
    [
        (123456, "USD", "$1,234.56"),
        (-5, "USD", "-$0.05"),
        (0, "EUR", "€0.00"),
        (1234, "JPY", "¥1,234"),
        (-123456, "CHF", "-1,234.56 CHF"),
        (2**63 - 1, "USD", "$92,233,720,368,547,758.07"),
    ],
)
def test_money(cents: int, currency: str, text: str) -> None:
    assert widgets.money(cents, currency) == text


@pytest.mark.parametrize(
    ("name", "title"),
    [("2026-10", "October 2026"), ("2026-Q4", "Q4 2026"), ("2026", "2026"), ("2026-W05", "Week 5, 2026")],
)
def test_period_title(name: str, title: str) -> None:
    assert widgets.period_title(parse_period(name)) == title


def test_plain_text_in_a_markdown_place() -> None:
    assert (
        widgets.plain("a_b **c** [d](e) $5 :material/x:")
        == "a\\_b \\*\\*c\\*\\* \\[d\\]\\(e\\) \\$5 \\:\u200bmaterial/x\\:"
    )


# ---------------------------------------------------------------- filters
def period_page() -> None:
    import streamlit as st

    from app import widgets

    widgets.header("Deals", "All of them")
    st.text(widgets.period_filter().name)


@pytest.fixture
def period(monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("QUOTAPATH_TODAY", "2026-11-22")
    return AppTest.from_function(period_page, default_timeout=20)


def shown(screen: AppTest) -> str:
    assert not screen.exception
    assert screen.query_params["period"] in ([screen.text[0].value], screen.text[0].value)
    return screen.text[0].value


def test_period_is_the_current_one_and_goes_to_the_url(period: AppTest) -> None:
    assert shown(period.run()) == "2026-11"


@pytest.mark.parametrize("name", ["2026-10", "2026-Q1", "2024", "2019-03"])
def test_period_from_the_url(period: AppTest, name: str) -> None:
    period.query_params["period"] = name
    assert shown(period.run()) == name
    assert name in period.selectbox(key="period_name").options or period.selectbox(key="period_name").value == name


@pytest.mark.parametrize("name", ["", "yesterday", "2026-13", "2026-W05", "<script>"])
def test_period_that_is_none_or_of_another_kind(period: AppTest, name: str) -> None:
    period.query_params["period"] = name
    assert shown(period.run()) in ("2026-11", "2026-02")


def test_period_chosen(period: AppTest) -> None:
    period.run()
    assert shown(period.selectbox(key="period_name").set_value("2026-09").run()) == "2026-09"
    assert shown(period.segmented_control(key="period_kind").set_value("quarter").run()) == "2026-Q3"
    assert shown(period.segmented_control(key="period_kind").set_value("year").run()) == "2026"
    # Of the current year, the current month.
    assert shown(period.segmented_control(key="period_kind").set_value("month").run()) == "2026-11"


def test_period_is_kept_from_page_to_page(period: AppTest) -> None:
    period.query_params["period"] = "2026-09"
    period.run()
    del period.query_params["period"]  # the address of the next page has none
    assert shown(period.run()) == "2026-09"


def test_teams_within_reach(company) -> None:
    day = date(2026, 11, 22)

    def names(person: str) -> list[str]:
        return [team.name for team in teams.list_teams(company.db, company.actor(person), day)]

    assert names("ada") == names("finn") == ["East", "West"]
    assert names("mia") == ["East"]
    assert names("rob") == []
    assert teams.list_teams(company.db, company.actor("ada"), date(2024, 1, 1)) == []


def team_page(actor) -> None:
    import streamlit as st

    from app import widgets

    widgets.header("Deals")
    st.text(widgets.team_filter(actor))


@pytest.mark.parametrize("person", ["ada", "mia", "rob"])
def test_team_filter(company, person: str) -> None:
    screen = AppTest.from_function(team_page, args=(company.actor(person),), default_timeout=20)
    west = str(company.teams["West"])
    screen.query_params["team"] = west
    screen.run()
    assert not screen.exception
    # Only who sees several teams may choose; a team outside one's reach is not taken from the URL.
    assert screen.text[0].value == (west if person == "ada" else "None")
    assert len(screen.selectbox) == (1 if person == "ada" else 0)
    if person == "ada":
        screen.selectbox[0].set_value("").run()
        assert screen.text[0].value == "None"
        assert "team" not in screen.query_params


# ---------------------------------------------------------------- tables
FRAME = pd.DataFrame(
    {
        "name": ["Acme", '=HYPERLINK("http://x")'],
        "amount": pd.array([123456, None], dtype="Int64"),
        "currency": ["USD", "USD"],
        "closed": [date(2026, 1, 2), None],
        "share": [0.5, 1.25],
        "hidden": ["x", "y"],
    },
    index=[7, 3],
)
COLUMNS = {
    "name": widgets.text_column("Deal"),
    "amount": widgets.money_column("Amount"),
    "closed": widgets.date_column("Closed"),
    "share": widgets.progress_column("Attainment"),
}


def table_page(frame, columns) -> None:
    import streamlit as st

    from app import widgets

    st.text(widgets.table(frame, columns, key="deals", export="deals", select=True))


def table(frame: pd.DataFrame, columns: dict) -> AppTest:
    return AppTest.from_function(table_page, args=(frame, columns), default_timeout=20)


def test_table_shows_the_named_columns_in_units() -> None:
    screen = table(FRAME, COLUMNS).run()
    assert not screen.exception
    value = screen.dataframe[0].value
    assert list(value.columns) == list(COLUMNS)
    assert value["amount"].tolist()[0] == 1234.56
    config = json.loads(screen.dataframe[0].proto.columns)
    assert config["amount"]["type_config"]["format"] == "dollar"
    assert config["share"]["type_config"]["max_value"] == 1.25


@pytest.mark.parametrize("rows", [FRAME.iloc[:0], FRAME.iloc[:1]])
def test_table_of_none_and_of_one(rows: pd.DataFrame) -> None:
    screen = table(rows, COLUMNS).run()
    assert not screen.exception
    assert len(screen.dataframe[0].value) == len(rows)


def test_table_of_several_currencies_says_which() -> None:
    screen = table(FRAME.assign(currency=["USD", "CHF"], amount=[5, 6]), {"amount": COLUMNS["amount"]}).run()
    assert screen.dataframe[0].value["amount"].tolist() == ["$0.05", "0.06 CHF"]


@pytest.mark.parametrize(("rows", "chosen"), [([], "None"), ([1], "1"), ([9], "None")])
def test_row_chosen(rows: list[int], chosen: str) -> None:
    screen = table(FRAME, COLUMNS)
    screen.session_state["deals"] = {"selection": {"rows": rows, "columns": [], "cells": []}}
    assert screen.run().text[0].value == chosen


def test_exported_files_hold_exact_money_and_no_formula() -> None:
    headers, rows = widgets._exported(FRAME, COLUMNS)
    assert headers == ["Deal", "Amount", "Currency", "Closed", "Attainment"]
    assert rows[0] == ["Acme", Decimal("1234.56"), "USD", date(2026, 1, 2), Decimal("0.5")]
    assert rows[1][1] is None
    from engine import sheets

    text = sheets.to_csv(headers, rows).decode("utf-8-sig")
    assert list(csv.reader(io.StringIO(text)))[2][0].startswith("'=")
    sheet = load_workbook(io.BytesIO(sheets.to_xlsx(headers, rows))).active
    assert sheet["A3"].data_type == "s"
    assert sheet["B2"].value == 1234.56


# ---------------------------------------------------------------- cards, paging, messages
def parts_page() -> None:
    import streamlit as st

    from app import widgets
    from engine.errors import Problem, ProblemsError

    widgets.header("Parts")
    widgets.cards(
        widgets.Card("Up is good", "1", "+3%", good=True),
        widgets.Card("Up is bad", "1", "+3%", good=False),
        widgets.Card("Down is good", "1", "-3%", good=True),
        widgets.Card("Down is bad", "1", "−3%", good=False),
        widgets.Card("Neutral", "1", "+3%", trend=[1, 2, 3]),
    )
    st.text(widgets.pager(120, 50))
    widgets.show_problems(ProblemsError([Problem("tiers[0].from", "is *3*.", "Use 0."), Problem("rate", "is -1.")]))
    widgets.empty("No deals yet", "Upload an export.", page="upload", link="Upload")


def test_parts() -> None:
    screen = AppTest.from_function(parts_page, default_timeout=20).run()
    assert not screen.exception
    colours = [metric.proto.color for metric in screen.metric]
    green, red = colours[0], colours[1]
    assert colours == [green, red, green, red, colours[4]]
    assert len({green, red, colours[4]}) == 3
    assert screen.error[0].value.splitlines() == [
        r"- **tiers\[0\]\.from** is \*3\*\. Use 0\.",
        r"- **Rate** is \-1\.",
    ]
    assert [text.value for text in screen.text] == ["0"]


def test_pages_under_a_table() -> None:
    screen = AppTest.from_function(parts_page, default_timeout=20)
    screen.session_state["page"] = 3
    assert screen.run().text[0].value == "100"
    screen.session_state["page"] = 9  # a filter left fewer pages
    assert screen.run().text[0].value == "0"


# ---------------------------------------------------------------- charts
def chart_page(frame) -> None:
    from app import charts

    charts.bars(frame, "name", "amount", alt_text="Amount by name", y_title="Amount", currency="USD", color="kind")
    charts.bars(frame, "name", "amount", alt_text="The same, lying", y_title="Amount", currency="CHF", horizontal=True)
    charts.trend(frame, "day", "share", alt_text="Share over time", percent=True)


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_charts(rows: int) -> None:
    frame = pd.DataFrame(
        {
            "name": ["a", "b", "c"],
            "amount": [123456, -5, 0],
            "share": [0.5, 0.25, 1.0],
            "kind": ["x", "y", "x"],
            "day": pd.to_datetime(["2026-01-01", "2026-02-01", "2026-03-01"]),
        }
    ).iloc[:rows]
    screen = AppTest.from_function(chart_page, args=(frame,), default_timeout=20).run()
    assert not screen.exception
    charts = [element.proto for element in screen.get("vega_lite_chart")]
    assert len(charts) == 3
    spec = json.loads(charts[0].spec)
    assert spec["encoding"]["y"]["axis"]["format"].startswith("$")
    assert [tip["field"] for tip in spec["encoding"]["tooltip"]] == ["name", "kind", "amount"]
    assert len(screen.dataframe) == 3  # the table behind each


def test_a_link_to_a_page_that_the_viewer_lacks_is_not_drawn() -> None:
    def page() -> None:
        from app import navigation

        navigation.link("upload", "Upload")

    screen = AppTest.from_function(page, default_timeout=20).run()
    assert not screen.exception
    assert not screen.get("page_link")
    assert {entry.name for entry in navigation.CATALOG} >= {"upload"}

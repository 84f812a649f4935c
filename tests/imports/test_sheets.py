import csv
import io
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import load_workbook

from engine.sheets import Value, safe_cell, to_csv, to_xlsx


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1+1"])
def test_what_a_spreadsheet_would_run_gets_an_apostrophe(text):
    assert safe_cell(text) == "'" + text


@pytest.mark.parametrize(
    "value", ["-12.50", "+5", "12%", "a=b", "", None, -5, Decimal("-1.20"), date(2026, 1, 2), True]
)
def test_the_rest_stays_as_it_is(value):
    assert safe_cell(value) == value


def test_csv_opens_in_excel_as_utf8():
    data = to_csv(["Name", "=Amount"], [["Zürich, AG", Decimal("-3.10")], ["a\nb", None]])
    assert data == '\ufeffName,\'=Amount\r\n"Zürich, AG",-3.10\r\n"a\nb",\r\n'.encode()


def test_xlsx_keeps_text_and_runs_nothing():
    rows: list[list[Value]] = [
        ["=1+1", Decimal("-3.10")],
        ["a\x00b", date(2026, 1, 2)],
        [None, datetime(2026, 1, 2, tzinfo=UTC)],
    ]
    sheet = load_workbook(io.BytesIO(to_xlsx(["Name", "Amount"], rows, "Deals/2026: all"))).active
    assert sheet.title == "Deals 2026  all"
    assert sheet.freeze_panes == "A2"
    assert (sheet["A2"].value, sheet["A2"].data_type) == ("=1+1", "s")
    assert (sheet["B2"].value, sheet["A3"].value, sheet["B4"].value) == (-3.1, "ab", "2026-01-02 00:00:00+00:00")


@given(st.lists(st.lists(st.text(max_size=20), min_size=2, max_size=2), max_size=5))
def test_any_text_can_be_written_and_none_starts_a_formula(rows):
    out = csv.reader(io.StringIO(to_csv(["a", "b"], rows).decode("utf-8-sig"), newline=""))
    assert all(not cell.startswith(("=", "@")) for row in list(out)[1:] for cell in row)
    to_xlsx(["a", "b"], rows)

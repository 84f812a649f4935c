"""Quotas out of spreadsheets: what is read, what is refused, and that nothing crashes."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from openpyxl import Workbook

from engine import sheets
from engine.errors import ProblemsError, QuotaPathError
from engine.imports.quotas import QuotaPerson, amount_of, period_named, read_quotas, rows_of_file, rows_of_text

ANA, BO, EVIL = 1, 2, 3
PEOPLE = [
    QuotaPerson(ANA, "Ana Torres", "ana@acme.test", "ana.torres"),
    QuotaPerson(BO, "Bo Li", "bo@acme.test", "bo"),
    QuotaPerson(EVIL, "=cmd|' /c calc'!A0", "evil@acme.test", "evil"),
]
QUARTERS = ["2026-Q1", "2026-Q2", "2026-Q3", "2026-Q4"]


def read(text, shown=QUARTERS, currency="USD"):
    return read_quotas(rows_of_text(text), PEOPLE, shown, currency)


READ = {  # what is pasted -> (who, period, cents) of each amount
    "tabs with names of columns": (
        "Person\tQ1\tQ2 2026\nAna Torres\t60000\t70000.50\n",
        [(ANA, "2026-Q1", 60_000_00), (ANA, "2026-Q2", 70_000_50)],
    ),
    "no names of columns": (
        "Ana Torres\t1\t2\t3\t4\nbo@acme.test\t5\t6\t7\t8",
        [(ANA, q, n * 100) for n, q in enumerate(QUARTERS, 1)] + [(BO, q, n * 100) for n, q in enumerate(QUARTERS, 5)],
    ),
    "name and team before the figures": (
        "Ana Torres\tWest\t1\t2\t3\t4",
        [(ANA, q, n * 100) for n, q in enumerate(QUARTERS, 1)],
    ),
    "codes, last name first, what a CRM puts behind": (
        "Rep\tQ1\nbo\t1\nTorres, Ana (Deactivated User)\t2",
        [(BO, "2026-Q1", 100), (ANA, "2026-Q1", 200)],
    ),
    "the e-mail goes before a name that is wrong": (
        "Name\tE-mail\tQ1\nSomebody Else\tBO@acme.test\t1",
        [(BO, "2026-Q1", 100)],
    ),
    "German numbers and months": (
        "Name;Jan 2026;Mär 2026;Okt-26\nAna Torres;60.000;1.234,50;5",
        [(ANA, "2026-01", 60_000_00), (ANA, "2026-03", 1_234_50), (ANA, "2026-10", 5_00)],
    ),
    "French spaces, Swiss apostrophes": (
        "Name\tQ1\tQ2\nAna Torres\t60\u202f000,50\t70'000",
        [(ANA, "2026-Q1", 60_000_50), (ANA, "2026-Q2", 70_000_00)],
    ),
    "signs, short forms, empty cells, dashes": (
        "Name\tQ1\tQ2\tQ3\tQ4\nAna Torres\t$60,000.00\tUSD 5k\t -   \t",
        [(ANA, "2026-Q1", 60_000_00), (ANA, "2026-Q2", 5_000_00), (ANA, "2026-Q3", None), (ANA, "2026-Q4", None)],
    ),
    "columns that are no periods": (
        "Team\tPerson\tQ1\tTotal\nWest\tBo Li\t5\t99\n\tTotal\t5\t99",
        [(BO, "2026-Q1", 500)],
    ),
    "weeks and years": (
        "Rep,Week 5 2026,2026-W06,2026\nBo Li,1,2,3",
        [(BO, "2026-W05", 100), (BO, "2026-W06", 200), (BO, "2026", 300)],
    ),
    "thousands that could be decimals": (
        "Rep\tQ1\tQ2\nBo Li\t60,000\t70,000",
        [(BO, "2026-Q1", 60_000_00), (BO, "2026-Q2", 70_000_00)],
    ),
    "an empty corner": ("\tQ1\tQ2\nBo Li\t1\t2", [(BO, "2026-Q1", 100), (BO, "2026-Q2", 200)]),
    "empty lines and Windows line ends": ("\r\nRep\tQ1\r\n\r\nBo Li\t1\r\n\t\r\n", [(BO, "2026-Q1", 100)]),
    "a stray quotation mark": ('Rep\tQ1\tNote\nBo Li\t1\t5" screen', [(BO, "2026-Q1", 100)]),
}


@pytest.mark.parametrize(("text", "expected"), READ.values(), ids=READ)
def test_what_is_read(text, expected):
    found = read(text)
    assert found.problems == ()
    assert sorted((*key, cents) for key, cents in found.amounts.items()) == sorted(expected)


BAD_CELLS = {  # what is pasted -> (line, column, a part of why) of each cell that cannot be used
    "a word": ("Rep\tQ1\nBo Li\tlots", [(2, "Q1", '"lots" is not a number')]),
    "nothing and less": ("Rep\tQ1\tQ2\nBo Li\t0\t-5", [(2, "Q1", "not above 0"), (2, "Q2", "not above 0")]),
    "nobody": ("Rep\tQ1\nZed\t5", [(2, "Person", "Nobody here is known")]),
    "twice": ("Rep\tQ1\nBo Li\t5\nbo\t6", [(3, "Person", "same person as in line 2")]),
    "no name": ("Rep\tQ1\nBo Li\t5\n\t6", [(3, "Person", "does not say whose")]),
    "another currency": ("Rep\tQ1\nBo Li\t€5", [(2, "Q1", "is not in USD")]),
    "too fine": ("Rep\tQ1\nBo Li\t5.005x".replace("x", "5"), [(2, "Q1", "finer than USD")]),
    "two readings": ("Rep\tQ1\tQ2\nBo Li\t1.50\t60.000", [(2, "Q2", "can be read as two numbers")]),
    "two ways to write": ("Rep\tQ1\tQ2\tQ3\nBo Li\t1.50\t1.50\t2,50", [(2, "Q3", "does not fit")]),
    "a comma that splits": ("Rep,Q1\nBo Li,60,000", [(2, "", "3 cells")]),
    "larger than money": (f"Rep\tQ1\nBo Li\t{'9' * 30}", [(2, "Q1", "too large")]),
}


@pytest.mark.parametrize(("text", "expected"), BAD_CELLS.values(), ids=BAD_CELLS)
def test_cells_that_cannot_be_used(text, expected):
    found = read(text)
    assert [(each.line, each.column) for each in found.problems] == [each[:2] for each in expected]
    for problem, (_, _, why) in zip(found.problems, expected, strict=True):
        assert why in problem.why


REFUSED = {
    "nothing": ("\n \n", "empty"),
    "no period": ("Rep\tTeam\nBo Li\tWest", "None of them is a period"),
    "numbers under no period": ("Rep\tQ1\tBudget\nBo Li\t1\t2", 'column "Budget".*its name is no period'),
    "a period twice": ("Rep\tQ1\tQ1 2026\nBo Li\t1\t2", "2026-Q1 is there more than once"),
    "a quarter that is not": ("Rep\tQ5\nBo Li\t1", "None of them is a period"),
    "too few figures": ("Bo Li\t1\t2", "2 figures where the grid has 4 periods"),
    "only names of columns": ("Rep\tQ1", "nobody below them"),
    "too many lines": ("Rep\tQ1\n" + "Bo Li\t1\n" * 10_001, "10,002 lines"),
}


@pytest.mark.parametrize(("text", "why"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_such_table(text, why):
    with pytest.raises(ProblemsError, match=why):
        read(text)


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("q3", "2026-Q3"), ("Q3 2027", "2027-Q3"), ("2027Q3", "2027-Q3"), ("3Q27", "2027-Q3"), ("Q3/27", "2027-Q3"),
        ("Q3-2027", "2027-Q3"), ("2026-01", "2026-01"), ("1/2026", "2026-01"), ("January 2026", "2026-01"),
        ("2026-03-01", "2026-03"), ("1 Mar 2026", "2026-03"), ("KW 7 2026", "2026-W07"), ("2026-W5", "2026-W05"),
        ("2026", "2026"), ("0001", None), ("2026-13", None), ("Jan", None), ("Team", None), ("", None),
        ("2026-03-15", None), ("W60 2026", None),
    ],
)  # fmt: skip
def test_how_periods_are_called(title, name):
    assert period_named(title, QUARTERS) == name


def test_a_month_without_a_year_is_one_of_those_shown():
    shown = ["2026-11", "2026-12", "2027-01"]
    assert [period_named(title, shown) for title in ("Nov", "Januar", "Feb")] == ["2026-11", "2027-01", None]


@pytest.mark.parametrize(
    ("text", "cents"), [("60.000", 60_000_00), ("60,000.50", 60_000_50), (" $60k ", 60_000_00), ("5,5", 5_50)]
)
def test_one_amount(text, cents):
    assert amount_of(text, "USD") == cents


def test_a_download_comes_back_as_it_was():
    headers = ["Name", "E-mail", "Team", "2026-Q1", "2026-Q2"]
    rows: list[list[sheets.Value]] = [
        [PEOPLE[2].name, "evil@acme.test", "West", 5, None],
        ["Ana Torres", "ana@acme.test", "=1+1", None, 7],
    ]
    for data in (sheets.to_csv(headers, rows), sheets.to_xlsx(headers, rows)):
        found = read_quotas(rows_of_file(data, "quotas"), PEOPLE, QUARTERS, "USD")
        assert found.problems == ()
        assert {key: cents for key, cents in found.amounts.items() if cents} == {
            (EVIL, "2026-Q1"): 500,
            (ANA, "2026-Q2"): 700,
        }
    by_name = sheets.to_csv(["Name", "2026-Q1"], [[PEOPLE[2].name, 5]])
    assert read_quotas(rows_of_file(by_name, "quotas"), PEOPLE, QUARTERS, "USD").amounts == {(EVIL, "2026-Q1"): 500}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings(encoding):
    people = [QuotaPerson(1, "Zoë Müller", "z@acme.test", "zoe")]
    data = "Name;Q1\nZoë Müller;5".encode(encoding)
    assert read_quotas(rows_of_file(data, "q.csv"), people, QUARTERS, "USD").amounts == {(1, "2026-Q1"): 500}


def test_a_workbook_with_dates_as_titles():
    from datetime import date

    book = Workbook()
    book.active.append(["Name", date(2026, 1, 1), date(2026, 2, 1)])
    book.active.append(["Bo Li", 1234.5, 60000])
    out = io.BytesIO()
    book.save(out)
    found = read_quotas(rows_of_file(out.getvalue(), "q.xlsx"), PEOPLE, QUARTERS, "USD")
    assert found.amounts == {(BO, "2026-01"): 1_234_50, (BO, "2026-02"): 60_000_00}


CELLS = some.sampled_from(
    [
        "Bo Li",
        "Ana Torres",
        "Q1",
        "2026-01",
        "Jan",
        "5",
        "60.000",
        "1,5",
        "$",
        "",
        '"',
        "'",
        "Total",
        "=1",
        "\x00",
        "W5",
    ]
) | some.text(max_size=8)


@settings(deadline=None)  # a busy machine is no fault of the rule
@given(some.lists(some.lists(CELLS, min_size=1, max_size=6), max_size=8), some.sampled_from(["\t", ",", ";"]))
def test_no_text_crashes_it(rows, delimiter):
    try:
        found = read("\n".join(delimiter.join(row) for row in rows))
    except QuotaPathError:
        return
    assert all(cents is None or cents > 0 for cents in found.amounts.values())

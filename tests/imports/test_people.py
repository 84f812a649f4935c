"""A list of people, as it is read: columns, dates, forms of files, and what cannot be read."""

from datetime import date

import pytest

from engine.errors import ProblemsError, QuotaPathError
from engine.imports.people import HEADERS, read_roster, refused_csv, template
from engine.sheets import to_xlsx

NAMES = ("name", "email", "role", "team", "manager", "hired_on", "last_day", "plan", "code")
FULL = ("Ana Torres", "ana@x.example", "rep", "West", "Mia", date(2026, 1, 31), date(2026, 12, 31), "AE", "a-1")


def values(row):
    return tuple(getattr(row, name) for name in NAMES)


SEMICOLONS = """Name;E-Mail;Role;Team;Manager;Hired on;Last day;Plan;Code
Ana Torres;ana@x.example;Rep;West;Mia;31.01.2026;31.12.2026;AE;a-1
"""
OTHER_NAMES = """
Code|Employee Name|Work email|Access|Department|Reports to|Start date|Termination date|Comp plan|Shoe size
a-1|Ana Torres|ana@x.example|rep|West|Mia|01/31/2026|12/31/2026|AE|38
""".replace("|", "\t")
QUOTED = """\ufeff"Name","E-mail","Role","Team","Manager","Hired on","Last day","Plan","Code"\r
"Ana Torres","ana@x.example","rep","West","Mia","31 January 2026","Dec 31, 2026","AE","a-1"\r
\r
"""


@pytest.mark.parametrize(
    "text",
    ["Ana Torres,ana@x.example,rep,West,Mia,2026-01-31,2026-12-31,AE,a-1", SEMICOLONS, OTHER_NAMES, QUOTED],
    ids=["no column names", "semicolons and dots", "other names and order", "quoted, marked, with a blank line"],
)
def test_forms_of_the_same_list(text):
    roster = read_roster(text.encode())
    assert [values(row) for row in roster.rows] == [FULL]
    assert not roster.rows[0].problems
    assert roster.ignored == (("Shoe size",) if "Shoe" in text else ())


def test_a_sheet():
    data = to_xlsx(tuple(HEADERS.values()), [FULL])
    assert [values(row) for row in read_roster(data, "people.xlsx").rows] == [FULL]


def test_cp1252_and_utf_16():
    for encoding in ("cp1252", "utf-16"):
        assert read_roster("Name,E-mail\nZoë Müller,z@x.example".encode(encoding)).rows[0].name == "Zoë Müller"


def test_one_clear_date_decides_for_the_file():
    roster = read_roster(b"Name,E-mail,Hired on\nA,a@x.example,03/04/2026\nB,b@x.example,25/04/2026")
    assert [row.hired_on for row in roster.rows] == [date(2026, 4, 3), date(2026, 4, 25)]


@pytest.mark.parametrize("other", ["", "25/04/2026\nC,c@x.example,04/25/2026"])
def test_dates_that_may_be_two_days_are_asked(other):
    roster = read_roster(f"Name,E-mail,Hired on\nA,a@x.example,03/04/2026\nB,b@x.example,{other}".encode())
    (problem,) = roster.rows[0].problems
    assert (problem.path, problem.remedy) == ("hired on", "Write the day as 2026-01-31.")
    assert "two different days" in problem.message


def test_a_cell_that_is_no_date_stands_in_its_row():
    roster = read_roster(b"Name,E-mail,Hired on,Last day\nA,a@x.example,soon,n/a\nB,b@x.example,2026-02-30,-")
    assert [[problem.path for problem in row.problems] for row in roster.rows] == [["hired on"], ["hired on"]]
    assert [row.line for row in roster.rows] == [2, 3]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b" \r\n\n", "empty"),
        (b"Phone,City\n1,Rome", "neither|no e-mail address"),
        (b"Name,E-mail\n", "nobody below"),
        (b"PK\x03\x04 no zip at all", "file"),
        (b"Name,E-mail\n" + b"A,a@x.example\n" * 10_001, "10,002 lines"),
    ],
)
def test_what_is_no_list_is_refused(data, said):
    with pytest.raises(QuotaPathError, match=said):
        read_roster(data)


def test_nulls_quotes_and_short_rows_do_no_harm():
    roster = read_roster(b'Name,E-mail,Team\nA\x00na,"a@x.example\nB,b@x.example,West')
    assert roster.rows
    roster = read_roster(b"Name,E-mail,Team\nAna")
    assert (roster.rows[0].name, roster.rows[0].email) == ("Ana", "")


def test_refused_rows_come_back_with_reasons_and_can_be_given_again():
    roster = read_roster(b"Name,E-mail,Hired on\n=Ana,a@x.example,soon")
    data = refused_csv(roster, [(row, row.problems) for row in roster.rows])
    text = data.decode("utf-8-sig")
    assert text.splitlines()[0] == "Line,Reason,What to do,Name,E-mail,Hired on"
    assert "'=Ana" in text
    assert read_roster(data).rows[0].email == "a@x.example"


def test_the_template_can_be_read():
    (row,) = read_roster(template()).rows
    assert (row.name, row.team, row.hired_on) == ("Ana Torres", "West", date(2026, 1, 1))
    assert not row.problems


def test_a_list_that_is_too_wide_is_read_by_its_columns():
    with pytest.raises(ProblemsError):
        read_roster(b"Shoe\n38")

"""A list of people, pasted from a spreadsheet or uploaded as CSV or XLSX."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date

from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.imports.reading import read_table
from engine.imports.values import AMBIGUOUS, PLAIN, UnreadableValue, date_order, is_blank, one_line, parse_date
from engine.sheets import to_csv

LARGEST = 10_000  # rows of one list

# In the order of the template, and of a list without column names.
HEADERS = {
    "name": "Name",
    "email": "E-mail",
    "role": "Role",
    "team": "Team",
    "manager": "Manager",
    "hired_on": "Hired on",
    "last_day": "Last day",
    "plan": "Plan",
    "code": "Code",
}
# Column names, without case, spaces and signs -> field.
_CALLED = {
    "name": ("name", "fullname", "person", "employee", "rep", "salesrep", "owner", "employeename"),
    "email": ("email", "emailaddress", "mail", "workemail", "login", "username"),
    "role": ("role", "access"),
    "team": ("team", "group", "department"),
    "manager": ("manager", "leader", "reportsto", "managername", "manageremail", "teamlead", "supervisor"),
    "hired_on": ("hiredon", "hired", "hiredate", "startdate", "start", "since", "dateofhire"),
    "last_day": ("lastday", "left", "lefton", "leavedate", "enddate", "end", "termination", "terminationdate"),
    "plan": ("plan", "compplan", "compensationplan", "commissionplan"),
    "code": ("code", "employeecode", "employeeid", "employeenumber", "personid", "id", "payrollid"),
}
_FIELD_OF = {called: name for name, all_called in _CALLED.items() for called in all_called}
_DATES = ("hired_on", "last_day")


@dataclass(frozen=True)
class PersonRow:
    """A person to be added: `team` is the name of a team ("": none), `hired_on` also the first day in it."""

    name: str
    email: str
    role: str = "rep"
    team: str = ""
    hired_on: date | None = None


@dataclass(frozen=True)
class RosterRow:
    """A line of a list of people; an empty field says nothing about the person.

    ``last_day`` is the last day of work.  ``manager`` is a name or an e-mail address.  ``problems`` are cells that
    cannot be read.
    """

    line: int
    cells: tuple[str, ...]
    name: str = ""
    email: str = ""
    role: str = ""
    team: str = ""
    manager: str = ""
    hired_on: date | None = None
    last_day: date | None = None
    plan: str = ""
    code: str = ""
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Roster:
    """A list of people as it was read: ``headers`` are the columns' names; ``ignored`` those that mean nothing here."""

    headers: tuple[str, ...]
    rows: tuple[RosterRow, ...]
    ignored: tuple[str, ...] = field(default=())


def read_roster(data: bytes, filename: str = "") -> Roster:
    """The people of a file, or of pasted text as UTF-8: CSV with commas, semicolons or tabs, or XLSX.

    The first line names the columns, else they are in the order of `HEADERS`.  Raises ProblemsError or UnreadableFile
    for what is no list of people; a cell that cannot be read stands in its row's problems.
    """
    if data[:2] == b"PK":
        table = read_table(data, filename)
        numbered = [(1, list(table.headers)), *((row.line, list(row.cells)) for row in table.rows())]
    else:
        numbered = _records(_decoded(data))
    if not numbered:
        raise ProblemsError([Problem("list", "It is empty.", "Give a line for each person.")])
    if len(numbered) > LARGEST + 1:
        raise ProblemsError(
            [Problem("list", f"It has {len(numbered):,} lines.", f"Give at most {LARGEST:,} at a time.")]
        )
    first = [one_line(cell) for cell in numbered[0][1]]
    if any("@" in cell for cell in first):
        headers, columns, body = tuple(HEADERS.values()), list(HEADERS), numbered
    else:
        headers, columns, body = tuple(first), _columns(first), numbered[1:]
    if not body:
        raise ProblemsError(
            [Problem("list", "It has column names, but nobody below them.", "Add a line for each person.")]
        )
    order = _date_order(columns, (cells for _, cells in body))
    ignored = tuple(header for header, name in zip(headers, columns, strict=False) if not name and header)
    return Roster(headers, tuple(_row(line, cells, columns, order) for line, cells in body), ignored)


def template() -> bytes:
    """An empty list with the columns that `read_roster` knows, and one example to be written over."""
    example = ("Ana Torres", "ana.torres@example.com", "rep", "West", "mia.lang@example.com", "2026-01-01", "", "", "")
    return to_csv(tuple(HEADERS.values()), [example])


def refused_csv(roster: Roster, refused: Iterable[tuple[RosterRow, Sequence[Problem]]]) -> bytes:
    """The rows that were refused, with the reasons in front; corrected, the file can be given again."""
    return to_csv(
        ("Line", "Reason", "What to do", *roster.headers),
        (
            (
                row.line,
                " ".join(f"{problem.path}: {problem.message}" for problem in problems),
                " ".join(dict.fromkeys(problem.remedy for problem in problems if problem.remedy)),
                *row.cells,
            )
            for row, problems in refused
        ),
    )


def _decoded(data: bytes) -> str:
    for encoding in ("utf-16",) if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("utf-8", "replace")


def _records(text: str) -> list[tuple[int, list[str]]]:
    """(line, cells) of every line that is not blank."""
    text = text.strip("\ufeff\r\n ")
    if not text:
        return []
    delimiter = max("\t;,", key=text.splitlines()[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    found, line = [], 1
    try:
        for cells in reader:
            if any(map(str.strip, cells)):
                found.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise ProblemsError(
            [Problem(f"line {line}", f"It cannot be read: {error}.", "Export the file again.")]
        ) from None
    return found


def _columns(header: Sequence[str]) -> list[str]:
    """The field of each column; "" where it means nothing here, or names a field a second time."""
    columns: list[str] = []
    for cell in header:
        name = _FIELD_OF.get("".join(filter(str.isalnum, cell.casefold())), "")
        columns.append("" if name in columns else name)
    if "email" not in columns and "name" not in columns:
        raise ProblemsError(
            [
                Problem(
                    "list",
                    f"The first line ({', '.join(header[:5])}) has no e-mail address, nor a column Name or E-mail.",
                    f"Begin with the column names {', '.join(HEADERS.values())}, or with the first person.",
                )
            ]
        )
    return columns


def _date_order(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """How day and month stand in the dates of the list; AMBIGUOUS where it says nothing, or two things."""
    said = {
        date_order(one_line(cell))
        for cells in rows
        for name, cell in zip(columns, cells, strict=False)
        if name in _DATES
    } - {PLAIN, AMBIGUOUS}
    return said.pop() if len(said) == 1 else AMBIGUOUS


def _row(line: int, cells: Sequence[str], columns: Sequence[str], order: str) -> RosterRow:
    texts = {name: one_line(cell.replace("\0", " ")) for name, cell in zip(columns, cells, strict=False) if name}
    problems: list[Problem] = []
    days: dict[str, date | None] = {}
    for name in _DATES:
        text = texts.pop(name, "")
        days[name] = None
        try:
            days[name] = None if is_blank(text) else _day(text, order)
        except QuotaPathError as error:
            problems.append(Problem(HEADERS[name].lower(), str(error), "Write the day as 2026-01-31."))
    texts["role"] = texts.get("role", "").lower()
    return RosterRow(
        line, tuple(cells), **texts, hired_on=days["hired_on"], last_day=days["last_day"], problems=tuple(problems)
    )


def _day(text: str, order: str) -> date:
    own = date_order(text)
    if own == AMBIGUOUS and order == AMBIGUOUS:
        raise UnreadableValue(f"{text} can be read as two different days.")
    return parse_date(text, order if own == AMBIGUOUS else own)

"""A list of people, pasted from a spreadsheet or uploaded as CSV."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from engine.errors import Problem, ProblemsError
from engine.imports.values import AMBIGUOUS, UnreadableValue, date_order, is_blank, one_line, parse_date

LARGEST = 2_000  # rows of one list

_FIELDS = ("name", "email", "role", "team", "hired_on")  # in the order of a list without column names
# Column names, without case, spaces and signs -> field.
_CALLED = {
    "name": ("name", "fullname", "person", "employee", "rep", "salesrep", "owner"),
    "email": ("email", "emailaddress", "mail", "workemail", "login", "username"),
    "role": ("role", "access"),
    "team": ("team", "group", "department"),
    "hired_on": ("hiredon", "hired", "hiredate", "startdate", "start", "since"),
}
_FIELD_OF = {called: name for name, all_called in _CALLED.items() for called in all_called}


@dataclass(frozen=True)
class PersonRow:
    """A person to be added: `team` is the name of a team ("": none), `hired_on` also the first day in it."""

    name: str
    email: str
    role: str = "rep"
    team: str = ""
    hired_on: date | None = None


def read_people(text: str) -> list[PersonRow]:
    """The people of a list with commas, semicolons or tabs, with column names or in the order of `PersonRow`.

    The values are checked when the people are added; only what cannot be read at all raises ProblemsError, with
    every line of it.
    """
    lines = text.strip("\ufeff\r\n ").splitlines()
    if not lines:
        raise ProblemsError([Problem("list", "It is empty.", "Paste a line for each person.")])
    delimiter = max("\t;,", key=lines[0].count)
    rows = [row for row in csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter) if any(map(str.strip, row))]
    if len(rows) > LARGEST:
        raise ProblemsError([Problem("list", f"It has {len(rows):,} lines.", f"Give at most {LARGEST:,} at a time.")])
    at = _columns(rows[0])
    first = 2 if at else 1
    problems: list[Problem] = []
    found = [
        _row(row, at or dict(zip(_FIELDS, range(5), strict=True)), number, problems)
        for number, row in enumerate(rows[first - 1 :], first)
    ]
    if not found:
        problems.append(Problem("list", "It has column names, but nobody below them.", "Add a line for each person."))
    if problems:
        raise ProblemsError(problems)
    return found


def _columns(header: list[str]) -> Mapping[str, int]:
    """Field -> column, from a line of column names; nothing when the line is a person already."""
    if any("@" in cell for cell in header):
        return {}
    known = [_FIELD_OF.get("".join(filter(str.isalnum, cell.casefold()))) for cell in header]
    columns = {name: known.index(name) for name in _FIELDS if name in known}
    if "name" not in columns:
        raise ProblemsError(
            [
                Problem(
                    "list",
                    f"The first line ({', '.join(header[:5])}) has neither an e-mail address nor a column Name.",
                    "Begin with the column names Name, E-mail, Role, Team, Hired on, or with the first person.",
                )
            ]
        )
    return columns


def _row(cells: list[str], at: Mapping[str, int], number: int, problems: list[Problem]) -> PersonRow:
    texts = {name: one_line(cells[place]) if place < len(cells) else "" for name, place in at.items()}
    hired_on = None
    if not is_blank(day := texts.get("hired_on", "")):
        try:
            order = date_order(day)
            if order == AMBIGUOUS:
                raise UnreadableValue(f"{day} can be read as two different days.")
            hired_on = parse_date(day, order)
        except UnreadableValue as error:
            problems.append(Problem(f"line {number}", str(error), "Write the day as 2026-01-31."))
    return PersonRow(
        texts.get("name", ""),
        texts.get("email", ""),
        texts.get("role", "").lower() or "rep",
        texts.get("team", ""),
        hired_on,
    )

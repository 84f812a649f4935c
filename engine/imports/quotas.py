"""Quotas copied out of a spreadsheet or uploaded: a line for each person, a column for each period.

The first columns say who it is, by name, e-mail or code.  With a line of column names the periods may be written
as people write them (``Q1``, ``Q1 2026``, ``Jan``, ``Jan-26``, ``2026-01``, ``Week 5``); without one the columns
are the periods that the screen shows.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.imports.known import Context, Person, owner_finder
from engine.imports.reading import read_table
from engine.imports.values import (
    AMBIGUOUS,
    COMMA,
    DAY_FIRST,
    DOT,
    PLAIN,
    SIGNS,
    UnreadableValue,
    is_blank,
    one_line,
    parse_date,
    read_figure,
)
from engine.money import parse_money
from engine.periods import parse_period, period_of

MOST_LINES = 10_000
MOST_COLUMNS = 200
MOST_BYTES = 5_000_000
_YEARS = range(1990, 2200)

_WHO = {
    "code": ("code", "employeecode", "employeeid", "employeenumber", "id", "personid"),
    "email": ("email", "emailaddress", "mail", "workemail", "login"),
    "name": ("name", "fullname", "person", "people", "employee", "rep", "reps", "salesrep", "seller", "owner"),
}
_WHO_OF = {called: field for field, every in _WHO.items() for called in every}
_ASIDE = {
    "team",
    "teams",
    "total",
    "sum",
    "year",
    "currency",
    "role",
    "manager",
    "leads",
    "component",
    "region",
    "plan",
}

_TOTALS = {"total", "totals", "sum", "grand total", "summe", "gesamt", "somme", "suma"}

_QUARTER = re.compile(r"q([1-4])(?:[\s/'-]*(\d{4}|\d\d))?|(\d{4})[\s/-]*q([1-4])|([1-4])q(\d{4}|\d\d)")
_WEEK = re.compile(
    r"(?:week|kw|wk|cw|w)\s*(\d{1,2})(?:[\s,/'-]+(\d{4}))?|(\d{4})[\s/-]*(?:week|kw|wk|cw|w)\s*(\d{1,2})"
)
_MONTH = re.compile(r"(\d{1,2})[/.](\d{4})|(\d{4})[/.](\d{1,2})")


@dataclass(frozen=True)
class QuotaPerson:
    """Somebody who can have a quota."""

    user_id: int
    name: str
    email: str
    code: str


@dataclass(frozen=True)
class CellProblem:
    """A cell that cannot be used: its line (from 1) and column, what it holds, why, and what to do."""

    line: int
    column: str
    text: str
    why: str
    remedy: str = ""


@dataclass(frozen=True)
class QuotaTable:
    """What a table says: minor units (None: an empty cell) by (user id, period), what cannot be used, what to know."""

    amounts: Mapping[tuple[int, str], int | None]
    problems: tuple[CellProblem, ...]
    notes: tuple[str, ...]


def rows_of_text(text: str) -> list[list[str]]:
    """The cells of copied rows (tabs) or of CSV text (semicolons or commas).  Raises ProblemsError."""
    text = text.strip("\ufeff\r\n")
    first = text.split("\n", 1)[0]
    delimiter = "\t" if "\t" in text else max(";,", key=first.count)
    # A cell that was copied may begin with a quotation mark and have no second one.
    stream = io.StringIO(text, newline="")
    try:
        if text.count('"') % 2:
            return list(csv.reader(stream, delimiter=delimiter, quoting=csv.QUOTE_NONE))
        return list(csv.reader(stream, delimiter=delimiter))
    except csv.Error as error:
        raise ProblemsError([Problem("table", f"It cannot be read ({error}).", "Copy the cells again.")]) from None


def rows_of_file(data: bytes, filename: str) -> list[list[str]]:
    """The cells of a CSV or XLSX file.  Raises UnreadableFile or ProblemsError."""
    if len(data) > MOST_BYTES:
        raise ProblemsError([Problem("file", f"It is larger than {MOST_BYTES // 1_000_000} MB.", "Give a part of it.")])
    if data.startswith(b"PK"):
        table = read_table(data, filename, max_bytes=MOST_BYTES)
        return [list(table.headers), *(list(row.cells) for row in table.rows())]
    for encoding in ("utf-16",) if data.startswith((b"\xff\xfe", b"\xfe\xff")) else ("utf-8-sig", "cp1252"):
        try:
            return rows_of_text(data.decode(encoding))
        except UnicodeDecodeError:
            continue
    raise ProblemsError([Problem("file", "Its text cannot be read.", "Save it as CSV (UTF-8).")])


def period_named(text: str, shown: Sequence[str]) -> str | None:
    """The name of the period that a column's title means; one without a year is one of those `shown`.

    >>> period_named("Q2", ["2026-Q1", "2026-Q2"]), period_named("Jan-26", []), period_named("Team", [])
    ('2026-Q2', '2026-01', None)
    """
    plain = one_line(text).casefold()
    try:
        period = parse_period(plain.upper())
    except QuotaPathError:
        pass
    else:
        return period.name if period.first_day.year in _YEARS else None
    if found := _QUARTER.fullmatch(plain):
        number, year = (found[1], found[2]) if found[1] else (found[4], found[3]) if found[3] else (found[5], found[6])
        return _one_of(f"Q{number}", year, shown)
    if found := _WEEK.fullmatch(plain):
        number, year = (found[1], found[2]) if found[1] else (found[4], found[3])
        return _one_of(f"W{int(number):02d}", year, shown)
    if found := _MONTH.fullmatch(plain):
        month, year = (found[1], found[2]) if found[1] else (found[4], found[3])
        return _one_of(f"{int(month):02d}", year, shown)
    return _month_named(plain, shown)


def _one_of(end: str, year: str | None, shown: Sequence[str]) -> str | None:
    """The period that ends in ``Q1`` (``W05``, ``03``), of that year or among those shown."""
    if year is None:
        among = [name for name in shown if name.endswith(f"-{end}")]
        return among[0] if len(among) == 1 else None
    try:
        return parse_period(f"{int(year) + (2000 if len(year) == 2 else 0)}-{end}").name
    except QuotaPathError:
        return None


def _month_named(plain: str, shown: Sequence[str]) -> str | None:
    """The month of ``jan``, ``january 2026``, ``jan-26`` or a first day such as 2026-01-01."""
    written = [plain, f"1 {plain}"]
    for each in written:
        try:
            day = parse_date(each, DAY_FIRST)
        except UnreadableValue:
            continue
        return period_of("month", day.toordinal()).name if day.day == 1 else None
    for name in shown:
        period = parse_period(name)
        try:
            if period.kind == "month" and parse_date(f"1 {plain} {name[:4]}", DAY_FIRST) == period.first_day:
                return name
        except UnreadableValue:
            return None
    return None


@dataclass(frozen=True)
class _Columns:
    """Which column says who, which holds which period; `first` is the place of the first line of data."""

    who: tuple[tuple[int, str], ...]  # (column, "code" | "email" | "name" | "any")
    periods: tuple[tuple[int, str], ...]
    titles: tuple[str, ...]
    first: int


def read_quotas(
    rows: Sequence[Sequence[str]], people: Sequence[QuotaPerson], shown: Sequence[str], currency: str
) -> QuotaTable:
    """What the rows say; `shown` are the periods of the screen.

    Raises ProblemsError when it is no such table at all; what is wrong with single cells is in the result.
    """
    lines = [(number, [one_line(cell) for cell in row]) for number, row in enumerate(rows, 1)]
    lines = [(number, cells) for number, cells in lines if any(cells)]
    if not lines:
        raise ProblemsError([Problem("table", "It is empty.", "Copy the rows with the people and their quotas.")])
    widest = max(len(cells) for _, cells in lines)
    if len(lines) > MOST_LINES or widest > MOST_COLUMNS:
        raise ProblemsError(
            [
                Problem(
                    "table",
                    f"It has {len(lines):,} lines and {widest:,} columns.",
                    f"Give at most {MOST_LINES:,} lines of {MOST_COLUMNS} columns at a time.",
                )
            ]
        )
    find = _finder(people)
    notes: list[str] = []
    problems: list[CellProblem] = []
    columns = _columns(lines, find, shown, notes)
    style = _style(cells[at] for _, cells in lines[columns.first :] for at, _ in columns.periods if at < len(cells))
    amounts: dict[tuple[int, str], int | None] = {}
    lines_of: dict[int, int] = {}
    for number, cells in lines[columns.first :]:
        if len(cells) > len(columns.titles) and any(cells[len(columns.titles) :]):
            problems.append(
                CellProblem(
                    number,
                    "",
                    "",
                    f"The line has {len(cells)} cells, the first one {len(columns.titles)}.",
                    "A number with a comma needs quotation marks in a CSV file.",
                )
            )
            continue
        if not any(cells[at] for at, _ in (*columns.who, *columns.periods) if at < len(cells)):
            continue
        if any(cells[at].casefold() in _TOTALS for at, _ in columns.who if at < len(cells)):
            notes.append(f"Line {number} holds totals and is left out.")
            continue
        person = _person(cells, columns.who, find)
        if isinstance(person, str):
            named = next((cells[at] for at, _ in columns.who if at < len(cells) and cells[at]), "")
            problems.append(
                CellProblem(number, "Person", named, person, "Write the name, e-mail or code as on the People page.")
            )
            continue
        if person in lines_of:
            problems.append(
                CellProblem(
                    number, "Person", cells[columns.who[0][0]], f"The same person as in line {lines_of[person]}.",
                    "Leave one of the two lines out.",
                )
            )  # fmt: skip
            continue
        lines_of[person] = number
        for at, period in columns.periods:
            cell = cells[at] if at < len(cells) else ""
            try:
                amounts[person, period] = None if is_blank(cell) else _amount(cell, style, currency)
            except QuotaPathError as error:
                problems.append(CellProblem(number, columns.titles[at] or period, cell, str(error)))
    return QuotaTable(amounts, tuple(problems), tuple(notes))


def amount_of(text: str, currency: str) -> int:
    """Minor units of one written amount above 0: ``"60,000"``, ``"60.000,50"``, ``"$60k"``.  Raises QuotaPathError."""
    cell = one_line(text)
    return _amount(cell, _style([cell]), currency)


def _style(cells: Iterable[str]) -> str:
    """`DOT` or `COMMA`: how most of the numbers are written; a lone mark before three digits groups thousands."""
    votes: Counter[str] = Counter()
    likely: Counter[str] = Counter()
    for cell in cells:
        try:
            figure = read_figure(cell)
        except UnreadableValue:
            continue
        found = figure.style()
        if found == AMBIGUOUS:
            likely[DOT if "," in figure.digits else COMMA] += 1
        elif found != PLAIN:
            votes[found] += 1
    votes = votes or likely
    return COMMA if votes[COMMA] > votes[DOT] else DOT


def _amount(cell: str, style: str, currency: str) -> int:
    figure = read_figure(cell)
    if figure.sign and currency not in (figure.sign.upper(), *SIGNS.get(figure.sign, ())):
        raise UnreadableValue(f'"{cell}" is not in {currency}, the currency of quotas here. Convert it first.')
    if figure.style() == AMBIGUOUS and style == (DOT if "." in figure.digits else COMMA):
        raise UnreadableValue(f'"{cell}" can be read as two numbers. Write it without a sign between thousands.')
    amount = parse_money(figure.plain(style), currency)
    if amount <= 0:
        raise UnreadableValue(f'"{cell}" is not above 0. Leave the cell empty for no quota.')
    return amount


# --- who and when -----------------------------------------------------------------------------------

_Find = Callable[[str, str], "int | str"]


def _finder(people: Sequence[QuotaPerson]) -> _Find:
    """A function from a cell, and what its column holds, to a user id or to the reason why it is nobody's."""
    codes = {person.code.casefold(): person.user_id for person in people}
    known = tuple(Person(person.user_id, person.name, person.email) for person in people)
    by_name = owner_finder(Context("", known, ()))

    def find(cell: str, column: str) -> int | str:
        # A download writes "'=name" so that no spreadsheet takes it for a formula.
        text = cell[1:] if re.match(r"'[=+\-@＝＋－＠]", cell) else cell
        code = codes.get(text.casefold())
        if code is not None and column == "code":
            return code
        found = by_name(text)
        return code if code is not None and isinstance(found, str) else found

    return find


def _person(cells: Sequence[str], who: Sequence[tuple[int, str]], find: _Find) -> int | str:
    """Who a line is about: the first of its columns that somebody is known by; else the reason of the first."""
    reason = "The line does not say whose it is."
    told = False
    for at, column in who:
        if at < len(cells) and cells[at]:
            found = find(cells[at], column)
            if isinstance(found, int):
                return found
            reason, told = reason if told else found, True
    return reason


def _columns(
    lines: Sequence[tuple[int, Sequence[str]]], find: _Find, shown: Sequence[str], notes: list[str]
) -> _Columns:
    titles = lines[0][1]
    keys = ["".join(filter(str.isalnum, title.casefold())) for title in titles]
    named = {at: name for at, title in enumerate(titles) if (name := period_named(title, shown)) is not None}
    is_person = isinstance(find(titles[0], "any"), int)
    says_who = any(key in _WHO_OF for key in keys) or not titles[0]
    if not is_person and (says_who or (named and not all(name.isdigit() for name in named.values()))):
        return _with_titles(lines, titles, keys, named, notes)
    return _without_titles(lines, shown)


def _with_titles(
    lines: Sequence[tuple[int, Sequence[str]]],
    titles: Sequence[str],
    keys: Sequence[str],
    named: Mapping[int, str],
    notes: list[str],
) -> _Columns:
    problems = []
    twice = [name for name, count in Counter(named.values()).items() if count > 1]
    problems += [Problem("column names", f"{name} is there more than once.", "Leave one out.") for name in twice]
    if not named:
        problems.append(
            Problem(
                "column names",
                f"None of them is a period: {', '.join(titles)[:200]}.",
                "Write periods such as Q1 2026, Jan 2026, 2026-W05 or 2026.",
            )
        )
    who = sorted(
        ((at, _WHO_OF[key]) for at, key in enumerate(keys) if key in _WHO_OF),
        key=lambda each: list(_WHO).index(each[1]),
    ) or [(0, "any")]
    left = []
    for at, title in enumerate(titles):
        if at in named or any(at == place for place, _ in who):
            continue
        if keys[at] not in _ASIDE and any(at < len(cells) and _is_figure(cells[at]) for _, cells in lines[1:]):
            problems.append(
                Problem(
                    f'column "{title}"' if title else f"column {at + 1}",
                    "It holds numbers, but its name is no period.",
                    "Name it such as Q1 2026, Jan 2026, 2026-W05 or 2026, or leave it out.",
                )
            )
        elif title:
            left.append(title)
    if problems:
        raise ProblemsError(problems)
    if len(lines) == 1:
        raise ProblemsError([Problem("table", "It has column names, but nobody below them.", "Copy the rows, too.")])
    if left:
        notes.append(f"Left out: {', '.join(left)}.")
    return _Columns(tuple(who), tuple(named.items()), tuple(titles), 1)


def _without_titles(lines: Sequence[tuple[int, Sequence[str]]], shown: Sequence[str]) -> _Columns:
    """The columns of a table that begins with a person: who, then a figure for each period shown, in order."""
    width = max(len(cells) for _, cells in lines)
    first = next((at for at in range(1, width) if any(at < len(c) and _is_figure(c[at]) for _, c in lines)), width)
    count = width - first
    if count != len(shown):
        raise ProblemsError(
            [
                Problem(
                    "table",
                    f"There are no column names, and its lines have {count} figure{'s' * (count != 1)} where the grid "
                    f"has {len(shown)} periods ({shown[0]} to {shown[-1]}).",
                    "Copy the line with the names of the periods, too; they may be written as Q1 2026 or Jan 2026.",
                )
            ]
        )
    titles = ("Person", *("" for _ in range(first - 1)), *shown)
    periods = tuple((first + place, name) for place, name in enumerate(shown))
    return _Columns(tuple((at, "any") for at in range(first)), periods, titles, 0)


def _is_figure(cell: str) -> bool:
    try:
        read_figure(cell)
    except UnreadableValue:
        return False
    return True

"""Tables as CSV and XLSX files that a spreadsheet program opens without running anything in them.

Text that starts like a formula is made harmless: in CSV by a leading apostrophe, in XLSX by its
cell type, which leaves the text as it is.
"""

import csv
import io
import itertools
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter

Value = str | int | Decimal | date | bool | None

# What spreadsheet programs take for the start of a formula, full-width forms included.
_FORMULA = re.compile(r"^\s*[=+\-@\t\r\n＝＋－＠]")
_NUMBER = re.compile(r"^[+-]?\d+(?:[.,]\d+)?%?$")
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_WIDTH_ROWS = 100  # rows looked at to choose column widths


def safe_cell(value: Value) -> Value:
    """The value as it may stand in a CSV cell: formula-like text gets a leading apostrophe.

    Numbers, dates and text that is only a number (``"-12.50"``) stay as they are.

    >>> safe_cell('=HYPERLINK("http://x")')
    '\\'=HYPERLINK("http://x")'
    """
    if isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.match(value):
        return "'" + value
    return value


def to_csv(headers: Sequence[str], rows: Iterable[Sequence[Value]]) -> bytes:
    """The table as CSV: UTF-8 with a byte order mark (Excel needs it), commas, CRLF line ends."""
    out = io.BytesIO()
    # A lone surrogate cannot be encoded; it is nobody's text.
    text = io.TextIOWrapper(out, "utf-8-sig", "replace", newline="")
    writer = csv.writer(text)
    writer.writerow([safe_cell(header) for header in headers])
    writer.writerows([safe_cell(value) for value in row] for row in rows)
    text.flush()
    return out.getvalue()


@dataclass(frozen=True)
class Sheet:
    """A table on a sheet of a workbook; characters that Excel forbids in a tab's name become spaces, 31 remain."""

    name: str
    headers: Sequence[str]
    rows: Iterable[Sequence[Value]]


def to_xlsx(headers: Sequence[str], rows: Iterable[Sequence[Value]], sheet: str = "Sheet1") -> bytes:
    """The table as a workbook of one sheet: bold, frozen header line, text never run as a formula."""
    return _saved([Sheet(sheet, headers, rows)])


def to_book(pages: Iterable[Sheet], moment: datetime) -> bytes:
    """A workbook of several sheets that says it was made at `moment`: the same bytes whenever it is made."""
    made = _saved(pages)
    stamp = f"{moment:%Y-%m-%dT%H:%M:%SZ}".encode()
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(made)) as before, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            content = before.read(name)
            if name == "docProps/core.xml":
                content = re.sub(rb"(<dcterms:(?:created|modified)[^>]*>)[^<]*", rb"\g<1>" + stamp, content)
            after.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _saved(pages: Iterable[Sheet]) -> bytes:
    book = Workbook(write_only=True)
    for page in pages:
        _write(book, page)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _write(book: Workbook, sheet: Sheet) -> None:
    page = book.create_sheet(re.sub(r"[\[\]:*?/\\']", " ", sheet.name).strip()[:31] or "Sheet1")
    page.freeze_panes = "A2"
    stream = iter(sheet.rows)
    first = list(itertools.islice(stream, _WIDTH_ROWS))
    for index, header in enumerate(sheet.headers):
        longest = max([len(header), *(len(str(row[index])) for row in first if index < len(row))])
        page.column_dimensions[get_column_letter(index + 1)].width = min(longest, 60) + 2
    page.append(list(_typed(page, sheet.headers, bold=True)))
    for row in itertools.chain(first, stream):
        page.append(list(_typed(page, row)))


def _typed(page: object, row: Sequence[Value], *, bold: bool = False) -> Iterator[object]:
    for value in row:
        if isinstance(value, datetime) and value.tzinfo:
            value = value.isoformat(sep=" ")  # Excel knows no time zones
        if not isinstance(value, str):
            yield value
            continue
        cell = WriteOnlyCell(page, _ILLEGAL.sub("", value))
        cell.data_type = "s"  # openpyxl would make a formula of "=..."
        if bold:
            cell.font = Font(bold=True)
        yield cell

"""Tables as CSV and XLSX files that a spreadsheet program opens without running anything in them.

Text that starts like a formula is made harmless: in CSV by a leading apostrophe, in XLSX by its
cell type, which leaves the text as it is.
"""

import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
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


def to_xlsx(headers: Sequence[str], rows: Iterable[Sequence[Value]], sheet: str = "Sheet1") -> bytes:
    """The table as a workbook of one sheet: bold, frozen header line, text never run as a formula.

    ``sheet`` is the tab's name; characters that Excel forbids there become spaces, 31 remain.
    """
    book = Workbook(write_only=True)
    page = book.create_sheet(re.sub(r"[\[\]:*?/\\']", " ", sheet).strip()[:31] or "Sheet1")
    page.freeze_panes = "A2"
    stream = iter(rows)
    first = list(itertools.islice(stream, _WIDTH_ROWS))
    for index, header in enumerate(headers):
        longest = max([len(header), *(len(str(row[index])) for row in first if index < len(row))])
        page.column_dimensions[get_column_letter(index + 1)].width = min(longest, 60) + 2
    page.append(list(_typed(page, headers, bold=True)))
    for row in itertools.chain(first, stream):
        page.append(list(_typed(page, row)))
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


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

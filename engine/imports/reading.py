"""An uploaded file -> a table of raw text rows.

Nothing is interpreted here: a cell stays the text that the file holds.  A file that cannot be read
raises `UnreadableFile` with one sentence and a remedy.  Lines that are not data (titles, totals,
footers) are set aside, counted and shown.  Rows are read again from the file whenever they are
asked for, so a million of them need no memory.
"""

import codecs
import csv
import hashlib
import io
import itertools
import re
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TextIO

from openpyxl import load_workbook

from engine.errors import QuotaPathError
from engine.imports.mapping import is_known_header

MAX_BYTES = 300 * 1024 * 1024
_BLOCK = 1 << 20  # bytes looked at at a time
_MAX_COLUMNS = 500
_LONGEST_NAME = 200  # characters of a column's name
_MAX_UNPACKED = 1024 * 1024 * 1024  # an XLSX is a zip file; beyond this it is a trap or a database
_SHOWN = 200  # set-aside lines kept to be shown; all are counted
_HEADER_SEARCH = 25  # records among which the header is looked for
_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE = 64 * 1024
_END = "\x00end of file\x00"

_TOTAL = re.compile(
    r"(grand |sub-?)?totals?( \([\d.,\s]*records?\))?:?|(gesamt|zwischen)?summe:?|gesamt(betrag)?:?"
    r"|total g[ée]n[ée]ral:?|somme:?|sous-total:?|suma( total)?:?|totale:?|totaal:?",
    re.IGNORECASE,
)
_FIGURE = re.compile(r"[^A-Za-z]*([A-Z]{2,3}[^A-Za-z]*)?|(sum|avg|average|count|records?)( of .*)?", re.IGNORECASE)
_FOOTER = re.compile(
    r"confidential information|copyright (\(c\)|©)|©|generated (by|on)|report (name|generated|run)\b|as of \d"
    r"|filtered by|sorted by|.*salesforce\.com, inc|[\d.,]+ (records|rows|deals)\W*$|vertrauliche informationen"
    r"|informations confidentielles",
    re.IGNORECASE,
)
# A first line with one of these holds data, not names of columns.
_DATA = re.compile(
    r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}([ T].*)?|[^@\s]+@[^@\s]+\.\w+|\W*\d[\d.,' ]*%?\W*|00[56]\w{12}(\w{3})?"
)


class UnreadableFile(QuotaPathError):
    """The upload is not a table that can be read; ``what`` says why and ``remedy`` what to do."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what} {remedy}")
        self.what = what
        self.remedy = remedy


Content = bytes | Path
"""A file: what it holds, or where it lies."""


class Row(NamedTuple):
    """One record: the line of the file on which it starts (first line: 1) and its cells as text."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class SetAside:
    """A line that is no deal: ``why`` is ``"title"``, ``"total"`` or ``"footer"``."""

    line: int
    text: str
    why: str


@dataclass(frozen=True)
class Table:
    """A file as rows of text under named columns.

    ``set_aside`` holds the first lines that were taken for titles, totals and footers;
    ``set_aside_count`` counts all.  ``notes`` are sentences for the user.  ``cut_line`` is the line of a
    last row that stops in mid-record (0: none).  ``file_hash`` is the SHA-256 of the upload, as hex.
    """

    filename: str
    headers: tuple[str, ...]
    row_count: int
    set_aside: tuple[SetAside, ...]
    set_aside_count: int
    notes: tuple[str, ...]
    cut_line: int
    file_hash: str
    _text: "_Text" = field(repr=False)

    def rows(self) -> Iterator[Row]:
        """The data rows, in the order of the file, read anew on each call."""
        return (item for item in _classified(self._text, len(self.headers)) if isinstance(item, Row))

    def sample(self, count: int = 5) -> list[Row]:
        """The first ``count`` rows."""
        return list(itertools.islice(self.rows(), count))


@dataclass(frozen=True)
class _Text:
    """Delimited text and how to read it; ``skip`` records stand before the first row of data."""

    content: Content
    encoding: str
    delimiter: str
    skip: int = 0
    numbered_by_record: bool = False  # a sheet's row number, where a CSV has line numbers
    kept: object = None  # removes the file of a rewritten sheet when nobody needs it any more

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """(line, cells) of every record, from the top; blank lines are left out."""
        with io.TextIOWrapper(_opened(self.content), encoding=self.encoding, newline="") as lines:
            # The end mark is a record of its own, unless a quotation mark is still open: then the csv module
            # would hand everything after it over as one cell, and deals would be lost without a word.
            reader = csv.reader(itertools.chain(lines, (_END,)), delimiter=self.delimiter, skipinitialspace=True)
            line = 1
            try:
                for count, cells in enumerate(reader, 1):
                    if cells and cells[-1].endswith(_END):
                        if cells == [_END]:
                            return
                        raise _unclosed_quote(line)
                    if any(cells) and (len(cells) > 1 or not cells[0].isspace()):
                        yield (count if self.numbered_by_record else line), cells
                    line = reader.line_num + 1
            except csv.Error:
                # The only error left in this mode: a cell longer than the csv module's limit.
                raise _unclosed_quote(line) from None


def read_table(data: Content, filename: str, *, max_bytes: int = MAX_BYTES) -> Table:
    """Reads a CSV (comma, semicolon, tab or bar) or XLSX upload; the content decides, not the name.

    Raises `UnreadableFile` for anything else: empty, too large, PDF, picture, archive, old .xls,
    no header, no row.
    """
    size = data.stat().st_size if isinstance(data, Path) else len(data)
    if size > max_bytes:
        raise UnreadableFile(
            f"The file is {_megabytes(size)}; the limit is {_megabytes(max_bytes)}.",
            "Export a shorter period or fewer columns, and upload the parts one after the other.",
        )
    if not any(block.strip(b"\x00 \t\r\n\xef\xbb\xbf\xff\xfe") for block in _blocks(data)):
        raise UnreadableFile("The file is empty.", "Export the deals again and upload that file.")
    notes: list[str] = []
    is_book = _kind(data) == "xlsx"
    try:
        text = _sheet_as_text(data, notes) if is_book else _delimited(data, notes)
        headers, text, titles = _find_header(text)
    except UnreadableFile:
        if is_book or not filename.lower().endswith(".xlsx"):
            raise
        # What it lacks as a CSV is of no use to somebody who thinks it a workbook.
        raise UnreadableFile(
            "This is not a readable Excel file, although its name ends in .xlsx.",
            "Export it again, or open it, save it as XLSX or CSV (UTF-8), and upload that.",
        ) from None

    row_count = 0
    last: Row | SetAside | None = None
    aside = list(titles)
    aside_count = len(titles)
    for item in _classified(text, len(headers)):
        last = item
        if isinstance(item, Row):
            row_count += 1
        else:
            aside_count += 1
            if len(aside) < _SHOWN:
                aside.append(item)
    if last is None or row_count == 0:
        raise UnreadableFile(
            f"The file has column names ({', '.join(headers[:4])}...) but no row below them.",
            "Check the filters of the export, and export again.",
        )
    # A download that broke off ends in the middle of a line.
    cut = (
        isinstance(last, Row)
        and len(last.cells) < len(headers)
        and not text.numbered_by_record
        and _last_byte(data) not in (b"\n", b"\r", b"\0")
    )
    digest = hashlib.sha256()
    for block in _blocks(data):
        digest.update(block)
    return Table(
        filename=filename,
        headers=headers,
        row_count=row_count,
        set_aside=tuple(sorted(aside, key=lambda item: item.line)),
        set_aside_count=aside_count,
        notes=tuple(notes),
        cut_line=last.line if cut else 0,
        file_hash=digest.hexdigest(),
        _text=text,
    )


# ---------------------------------------------------------------- bytes
def _opened(content: Content) -> BinaryIO:
    return content.open("rb") if isinstance(content, Path) else io.BytesIO(content)


def _blocks(content: Content) -> Iterator[bytes]:
    with _opened(content) as file:
        while block := file.read(_BLOCK):
            yield block


def _start(content: Content, size: int) -> bytes:
    with _opened(content) as file:
        return file.read(size)


def _last_byte(content: Content) -> bytes:
    with _opened(content) as file:
        file.seek(-1, io.SEEK_END)
        return file.read()


def _holds(content: Content, wanted: bytes) -> bool:
    """Whether the bytes stand anywhere in the file, on the edge of two blocks, too."""
    before = b""
    for block in _blocks(content):
        if wanted in before + block:
            return True
        before = block[-len(wanted) :]
    return False


# ---------------------------------------------------------------- what kind of file
_SAVE_AS_CSV = "Open it, save it as CSV (UTF-8) or XLSX, and upload that."
_EXPORT_CSV = "In the CRM, export the deals as CSV or XLSX, and upload that file."
_SIGNATURES = (
    (b"\x89PNG", "a picture (PNG)"),
    (b"\xff\xd8\xff", "a picture (JPEG)"),
    (b"GIF8", "a picture (GIF)"),
    (b"RIFF", "a picture or a recording"),
    (b"\x1f\x8b", "a compressed file (gzip)"),
    (b"7z\xbc\xaf", "an archive (7z)"),
    (b"Rar!", "an archive (RAR)"),
    (b"SQLite format 3", "a database (SQLite)"),
    (b"PAR1", "a Parquet file"),
    (b"{\\rtf", "a text document (RTF)"),
)


def _kind(data: Content) -> str:
    """``"xlsx"`` or ``"text"``; raises for every other kind, named."""
    first = _start(data, 1024)
    start = first.removeprefix(codecs.BOM_UTF8).lstrip()
    if b"%PDF-" in first:
        raise UnreadableFile("This is a PDF, not a table.", _EXPORT_CSV)
    if first.startswith(b"PK\x03\x04"):
        return _zip_kind(data)
    if first.startswith(bytes.fromhex("d0cf11e0a1b11ae1")):
        if _holds(data, "EncryptedPackage".encode("utf-16-le")):
            raise UnreadableFile("The workbook is protected by a password.", "Save it without the password.")
        raise UnreadableFile("This is an old Excel file (.xls), which is not read.", _SAVE_AS_CSV)
    for signature, name in _SIGNATURES:
        if first.startswith(signature):
            raise UnreadableFile(f"This is {name}, not a table.", _EXPORT_CSV)
    if re.match(rb"<(!doctype|html|table|meta|head|\?xml)", start, re.IGNORECASE):
        raise UnreadableFile(
            "This is a web page or XML, not a table (Salesforce's old .xls export is one).", _EXPORT_CSV
        )
    if re.match(rb'[{\[]\s*["{\[]', start):
        raise UnreadableFile("This is JSON, not a table.", _EXPORT_CSV)
    return "text"


def _zip_kind(data: Content) -> str:
    try:
        with _opened(data) as file, zipfile.ZipFile(file) as archive:
            names = set(archive.namelist())
            unpacked = sum(info.file_size for info in archive.infolist())
    except Exception:  # noqa: BLE001 - zipfile raises many kinds on a damaged file; all mean the same
        raise UnreadableFile("This is a damaged ZIP or XLSX file.", "Export or save it again.") from None
    if "xl/workbook.xml" not in names:
        what = "This is a ZIP archive, not a table."
        if any(name.startswith("word/") for name in names):
            what = "This is a Word document, not a table."
        elif "xl/workbook.bin" in names:
            what = "This is a binary Excel workbook (.xlsb), which is not read."
        elif "mimetype" in names or "content.xml" in names:
            what = "This is an OpenDocument file, which is not read."
        remedy = "Unpack it and upload the CSV or XLSX inside." if "ZIP" in what else _SAVE_AS_CSV
        raise UnreadableFile(what, remedy)
    if unpacked > _MAX_UNPACKED:
        raise UnreadableFile(
            f"The workbook unpacks to {_megabytes(unpacked)}, which is more than can be read.",
            "Save the sheet with the deals as CSV and upload that.",
        )
    return "xlsx"


# ---------------------------------------------------------------- XLSX
def _sheet_as_text(data: Content, notes: list[str]) -> _Text:
    """The first sheet with a table, rewritten once as delimited text that reads the same everywhere."""
    # The file goes with the last reader of its rows.
    kept = tempfile.NamedTemporaryFile(prefix="quotapath-sheet-", suffix=".csv")  # noqa: SIM115
    try:
        with _opened(data) as file:
            book = load_workbook(file, read_only=True, data_only=True)
            names = [sheet.title for sheet in book.worksheets if sheet.sheet_state == "visible"]
            for name in names:
                with Path(kept.name).open("w", encoding="utf-8", errors="replace", newline="") as out:
                    filled = _write_sheet(book[name], out)
                if filled > 1:
                    break
            else:
                raise UnreadableFile("The workbook has no sheet with rows.", "Check that the deals are in it.")
            book.close()
    except UnreadableFile:
        raise
    except Exception:  # noqa: BLE001 - openpyxl raises whatever it stumbles over in a damaged workbook
        raise UnreadableFile("The workbook is damaged and cannot be read.", _SAVE_AS_CSV) from None
    if len(names) > 1:
        others = ", ".join(other for other in names if other != name)
        notes.append(f'Read from the sheet "{name}"; not read: {others}.')
    else:
        notes.append(f'Read from the sheet "{name}".')
    return _Text(Path(kept.name), "utf-8", ",", numbered_by_record=True, kept=kept)


def _write_sheet(sheet: Any, out: TextIO) -> int:
    """The sheet as CSV; gives how many of its rows are filled."""
    writer = csv.writer(out)
    filled = 0
    sheet.reset_dimensions()  # some programs write a wrong size, which would hide rows
    for cells in sheet.iter_rows(values_only=True):
        texts = [_cell_text(cell) for cell in cells[: _MAX_COLUMNS + 1]]
        filled += any(texts)
        writer.writerow(texts or [""])
    return filled


def _cell_text(value: object) -> str:
    """A typed cell in the one spelling that no locale reads differently: ISO dates, plain numbers."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(sep=" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        # Excel keeps and shows 15 digits; what a binary fraction adds beyond them nobody typed.
        number = Decimal(value if isinstance(value, int) else f"{value:.15g}")
        if not number.is_finite():
            return str(value)
        text = f"{number:f}"
        if "." in text:
            text = text.rstrip("0").rstrip(".")
        # "1.234" could be read as grouped thousands; "1.2340" could not.
        return text + "0" if re.search(r"\.\d{3}$", text) else text
    return str(value).replace("_x000D_", "")


# ---------------------------------------------------------------- CSV
def _delimited(data: Content, notes: list[str]) -> _Text:
    if not _start(data, 2).startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and _holds(data, b"\x00"):
        raise UnreadableFile("The file holds binary data, not text.", _SAVE_AS_CSV)
    encoding = _encoding(data)
    if encoding == "cp1252":
        notes.append("Read as Windows text (code page 1252), because it is not valid UTF-8.")
    start = _start(data, _SAMPLE + 1)
    sample = start[:_SAMPLE].decode(encoding, "ignore")
    first_line = sample.split("\n", 1)[0].strip()
    if re.fullmatch(r'"?sep=[,;\t|]"?', first_line, re.IGNORECASE):
        return _Text(data, encoding, first_line.strip('"')[4:5] or "\t", skip=1)
    if len(start) > _SAMPLE:
        sample = sample[: sample.rfind("\n") + 1] or sample
    return _Text(data, encoding, _sniff(sample))


def _encoding(data: Content) -> str:
    if _start(data, 2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        candidates = ["utf-16"]
    else:
        candidates = ["utf-8-sig", "cp1252"]
    for encoding in candidates:
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            for block in _blocks(data):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeError:
            continue
        return encoding
    raise UnreadableFile("The text is in an encoding that is not known here.", "Save it as CSV (UTF-8).")


def _sniff(sample: str) -> str:
    """The separator that yields known column names, or under which most records have the same width."""
    best, best_score = ",", (0, 0.0, 0)
    for delimiter in _DELIMITERS:
        reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter, skipinitialspace=True)
        try:
            records = [cells for cells in itertools.islice(reader, 200) if any(cells)]
        except csv.Error:
            continue
        widths = Counter(len(cells) for cells in records)
        wide = [(count, width) for width, count in widths.items() if width > 1]
        if wide:
            known = max(sum(map(is_known_header, cells)) for cells in records[:_HEADER_SEARCH])
            count, width = max(wide)
            score = (known, count / widths.total(), width)
            if score > best_score:
                best, best_score = delimiter, score
    return best


# ---------------------------------------------------------------- header, rows, what is neither
def _find_header(text: _Text) -> tuple[tuple[str, ...], _Text, list[SetAside]]:
    """The column names, the text after them, and the title lines above them."""
    first = list(itertools.islice(text.records(), text.skip, text.skip + _HEADER_SEARCH))
    widest = max((_filled(cells) for _, cells in first), default=0)
    if widest < 2:
        raise UnreadableFile(
            "Only one column was found.",
            "A deal export has a line of column names, separated by commas, semicolons or tabs.",
        )
    if widest > _MAX_COLUMNS:
        raise UnreadableFile(f"The file has more than {_MAX_COLUMNS} columns.", "Export fewer columns.")
    # Titles above the header are narrow; a data row with a stray separator may be wider than the header.
    index = next(at for at, (_, cells) in enumerate(first) if 2 <= _filled(cells) >= widest / 2)
    line, cells = first[index]
    names = [" ".join(cell.split())[:_LONGEST_NAME] for cell in cells]
    while not names[-1]:
        names.pop()
    if not any(map(is_known_header, names)) and any(map(_DATA.fullmatch, names)):
        raise UnreadableFile(
            f"Line {line} holds data ({', '.join(names[:3])}...), but it should hold the column names.",
            "Add a first line with the names of the columns, or export with them.",
        )
    titles = [SetAside(at, _joined(row), "title") for at, row in first[:index]]
    after = replace(text, skip=text.skip + index + 1)
    return _distinct(names), after, titles


def _distinct(names: list[str]) -> tuple[str, ...]:
    """Names told apart: a second ``Amount`` is ``Amount (2)``, a nameless fifth column ``Column 5``."""
    taken: set[str] = set()
    for index, name in enumerate(names):
        base = name or f"Column {index + 1}"
        number = 2
        name = base
        while name.casefold() in taken:
            name = f"{base} ({number})"
            number += 1
        taken.add(name.casefold())
        names[index] = name
    return tuple(names)


def _classified(text: _Text, width: int) -> Iterator[Row | SetAside]:
    """Every record after the header as a row of data, or as a line set aside."""
    few = max(2, width // 2)
    lone: list[tuple[int, list[str]]] = []  # lines with one filled cell: a footer, unless data follows
    for line, cells in itertools.islice(text.records(), text.skip, None):
        if len(cells) - cells.count("") <= few:
            filled = _filled(cells)
            if filled == 0:
                continue
            why = _not_data(cells, filled)
            if why:
                yield SetAside(line, _joined(cells), why)
                continue
            if filled == 1:
                lone.append((line, cells))
                continue
        if lone:
            for earlier, lone_cells in lone:
                yield Row(earlier, tuple(lone_cells))
            lone.clear()
        yield Row(line, tuple(cells))
    for line, cells in lone:
        yield SetAside(line, _joined(cells), "footer")


def _not_data(cells: list[str], filled: int) -> str:
    """``"total"``, ``"footer"``, or nothing for a row that may be a deal."""
    texts = [cell.strip() for cell in cells if cell and not cell.isspace()]
    if _TOTAL.fullmatch(texts[0]) and all(_FIGURE.fullmatch(text) or _TOTAL.fullmatch(text) for text in texts[1:]):
        return "total"
    if filled <= 2 and _FOOTER.match(texts[0]):
        return "footer"
    return ""


def _filled(cells: list[str]) -> int:
    return sum(1 for cell in cells if cell and not cell.isspace())


def _joined(cells: list[str]) -> str:
    return " ".join(" ".join(cells).split())[:300]


def _unclosed_quote(line: int) -> UnreadableFile:
    return UnreadableFile(
        f"A quotation mark opened in the record on line {line} is never closed, "
        "so the rows after it would be read as one cell.",
        "Add the missing quotation mark, or export again.",
    )


def _megabytes(count: int) -> str:
    return f"{count / 1_000_000:,.1f} MB"

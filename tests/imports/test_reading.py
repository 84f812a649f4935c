import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from openpyxl import Workbook

from engine.imports import reading
from engine.imports.reading import UnreadableFile, read_table

CSV = b"Deal ID,Owner,Stage,Amount,Close Date\nD1,Ana,Won,5,2026-10-05\n"


def test_too_large_names_both_sizes():
    with pytest.raises(UnreadableFile, match=r"0\.1 MB; the limit is 0\.0 MB"):
        read_table(CSV + b"x" * 50_000, "deals.csv", max_bytes=1000)


def test_a_zip_that_unpacks_to_too_much_is_not_unpacked(monkeypatch):
    book = Workbook()
    book.active.append(["Deal ID", "Owner"])
    out = io.BytesIO()
    book.save(out)
    monkeypatch.setattr(reading, "_MAX_UNPACKED", 100)
    with pytest.raises(UnreadableFile, match="unpacks to"):
        read_table(out.getvalue(), "deals.xlsx")


def test_password_protected_workbook():
    data = bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 99 + "EncryptedPackage".encode("utf-16-le")
    with pytest.raises(UnreadableFile, match="password"):
        read_table(data, "deals.xlsx")


@pytest.mark.parametrize("data", [b"hello\n", b"\x01\x00\x02rest", b"\x81\x8d\x8f", b"PK\n\x00"])
def test_what_is_called_xlsx_and_is_no_workbook_is_told_so(data):
    with pytest.raises(UnreadableFile, match=r"not a readable Excel file, although its name ends in \.xlsx"):
        read_table(data, "Deals.XLSX")


def test_a_table_is_read_whatever_it_is_called():
    assert read_table(CSV, "deals.xlsx").row_count == 1


def test_sheets_that_were_not_read_are_named():
    book = Workbook()
    book.active.title = "Deals"
    book.active.append(["Deal ID", "Owner"])
    book.active.append(["D1", "Ana"])
    book.create_sheet("Old").append(["x"])
    out = io.BytesIO()
    book.save(out)
    assert read_table(out.getvalue(), "d.xlsx").notes == ('Read from the sheet "Deals"; not read: Old.',)


def test_rows_can_be_read_again_and_keep_their_line():
    table = read_table(CSV + b"D1,Ana,Won,5,2026-10-05\n", "deals.csv")
    first, second = table.rows()
    assert list(table.rows()) == [first, second]
    assert (first.line, second.line) == (2, 3)
    assert first.cells == second.cells
    assert table.sample(1) == [first]


def test_a_file_on_disk_reads_as_its_bytes(tmp_path):
    for path in (Path(__file__).parent / "files").iterdir():
        if path.suffix == ".toml":
            continue
        found: list[object] = []
        for content in (path, path.read_bytes()):
            try:
                table = read_table(content, path.name)
                found.append((table.headers, table.file_hash, table.cut_line, list(table.rows())))
            except UnreadableFile as error:
                found.append(str(error))
        assert found[0] == found[1], path.name


def test_a_byte_on_the_edge_of_two_blocks_is_found(monkeypatch):
    monkeypatch.setattr(reading, "_BLOCK", 4)
    assert reading._holds(b"abcdefgh", b"de")
    assert not reading._holds(b"abcdefgh", b"ed")


def test_the_sheet_that_was_rewritten_goes_with_its_table(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    book = Workbook()
    book.active.append(["Deal ID", "Owner"])
    book.active.append(["D1", "Ana"])
    out = io.BytesIO()
    book.save(out)
    table = read_table(out.getvalue(), "d.xlsx")
    assert len(list(tmp_path.iterdir())) == 1
    assert len(list(table.rows())) == 1
    del table
    assert not list(tmp_path.iterdir())


def test_a_cell_longer_than_can_be_read_names_its_line():
    data = CSV + b'D2,"' + b"x" * 200_000 + b'",Won,5,2026-10-05\n'
    with pytest.raises(UnreadableFile, match="line 3"):
        read_table(data, "deals.csv")


@given(st.binary(max_size=400))
@example(b"PK\x03\x04")
@example(b"\xff\xfe\x00")
@example(b'a,b\n"')
def test_random_bytes_are_a_table_or_one_clear_error(data):
    read_or_refuse(data)


@given(
    st.text(alphabet=st.sampled_from('ab1.,;|\t"\r\n -/=\x00\x85\u2028é€'), max_size=200),
    st.sampled_from(["utf-8", "utf-16"]),
)
def test_random_text_is_a_table_or_one_clear_error(text, encoding):
    read_or_refuse(("Deal ID,Amount\n" + text).encode(encoding))


@given(st.data())
def test_a_workbook_with_broken_bytes_is_a_table_or_one_clear_error(data):
    at = data.draw(st.integers(0, len(WORKBOOK) - 8))
    read_or_refuse(WORKBOOK[:at] + data.draw(st.binary(min_size=1, max_size=8)) + WORKBOOK[at + 4 :])


def read_or_refuse(data):
    try:
        table = read_table(data, "any.csv")
    except UnreadableFile as error:
        refused = error
    else:
        assert len(list(table.rows())) == table.row_count > 0
        assert len(set(table.headers)) == len(table.headers) > 0
        return
    assert refused.what.endswith(".")
    assert refused.remedy.endswith(".")


# Cells that survive a trip through CSV as they are: what a CRM can write, quoted.
CELLS = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)


@given(st.lists(st.lists(CELLS, min_size=4, max_size=4), min_size=1, max_size=8), st.sampled_from(",;\t|"))
def test_quoted_cells_come_back_as_they_went_in(rows, delimiter):
    rows = [["D", "x", "y", *row] for row in rows]  # enough filled cells to be data
    quoted = [delimiter.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    header = delimiter.join(["Deal ID", "Owner", "Stage", "Amount", "Region", "Type", "Product"])
    table = read_table("\r\n".join([header, *quoted]).encode("utf-8-sig"), "deals.csv")
    assert [list(row.cells) for row in table.rows()] == rows


def _workbook() -> bytes:
    book = Workbook()
    book.active.append(["Deal ID", "Owner", "Amount"])
    book.active.append(["D1", "Ana", 5.5])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


WORKBOOK = _workbook()

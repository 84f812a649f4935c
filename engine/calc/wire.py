"""Frames between the pool and its workers: a JSON header, then columns of little-endian int64.

A frame is the header's length (4 bytes, little-endian), the header, and the columns that it lists as
``"columns": [[name, entries], ...]``.  Long columns may take a shorter way, through memory that both sides
share: those listed as ``"shared"`` stand there, one behind the other.  Both sides read and write with this
module.
"""

import json
import struct
import sys
from array import array
from dataclasses import fields, is_dataclass
from mmap import mmap
from typing import IO, Any, Dict, Iterable, List, Mapping, Optional, Tuple, Type, Union

from engine.calc import model
from engine.calc.book import INT64, Book, Deals, Field
from engine.calc.calculate import Part
from engine.calc.result import Blocks, Chunk, Finding, Terms

Columns = Dict[str, "array[int]"]

LONG = 1 << 16  # entries of a column that is worth sharing

_LENGTH = struct.Struct("<I")


def write(
    stream: IO[bytes],
    header: Dict[str, Any],
    columns: Optional[Mapping[str, Chunk]] = None,
    shared: Optional[IO[bytes]] = None,
) -> None:
    """Write one frame to an unbuffered stream, and its long columns to the shared memory if there is any."""
    columns = dict(columns or {})
    header["shared"] = []
    if shared is not None:
        for name in [name for name, column in columns.items() if len(column) >= LONG]:
            column = columns.pop(name)
            _write_all(shared, column)
            header["shared"].append([name, len(column)])
    header["columns"] = [[name, len(column)] for name, column in columns.items()]
    text = json.dumps(header, separators=(",", ":")).encode()
    _write_all(stream, _LENGTH.pack(len(text)) + text)
    for column in columns.values():
        if sys.byteorder == "big":
            column = array(INT64, column)
            column.byteswap()
        _write_all(stream, column)


def _write_all(stream: IO[bytes], data: Union[bytes, Chunk]) -> None:
    """Write to an unbuffered stream, which may take less than it is given when a signal comes in between."""
    size = memoryview(data).nbytes
    done = stream.write(data)
    while done < size:
        done += stream.write(memoryview(data).tobytes()[done:])


def read(stream: IO[bytes]) -> Tuple[Dict[str, Any], Columns]:
    """Read one frame.  Raises EOFError when the other side is gone."""
    (length,) = _LENGTH.unpack(_exactly(stream, 4))
    header = json.loads(_exactly(stream, length).decode())
    columns = {}
    for name, entries in header["columns"]:
        column = array(INT64, [0]) * entries
        if stream.readinto(column) < 8 * entries:  # type: ignore[attr-defined]  # typing's IO has no readinto
            raise EOFError(f"the stream ended within column {name}")
        if sys.byteorder == "big":
            column.byteswap()
        columns[name] = column
    return header, columns


def shared_columns(header: Mapping[str, Any], shared: Optional[mmap]) -> Dict[str, memoryview]:
    """The columns that a frame left in shared memory, where they stay.  Raises EOFError when they are not there."""
    columns: Dict[str, memoryview] = {}
    first = 0
    for name, entries in header["shared"]:
        if shared is None or len(shared) < first + 8 * entries:
            raise EOFError(f"the shared memory ends before column {name}")
        columns[name] = memoryview(shared)[first : first + 8 * entries].cast(INT64)  # type: ignore[call-overload]  # a letter of two
        first += 8 * entries
    return columns


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError(f"the stream ended after {len(data)} of {size} bytes")
    return data


# -- records ----------------------------------------------------------------------------------------

_RECORDS: Dict[str, Type[Any]] = {
    name: record for name, record in vars(model).items() if isinstance(record, type) and is_dataclass(record)
}


def pack(value: Any) -> Any:
    """A record of `engine.calc.model` as JSON: ``[its name, its fields...]``; a tuple as ``["", ...]``."""
    if is_dataclass(value):
        return [type(value).__name__, *(pack(getattr(value, item.name)) for item in fields(value))]
    if isinstance(value, tuple):
        return ["", *map(pack, value)]
    return value


def unpack(value: Any) -> Any:
    """What `pack` was given."""
    if not isinstance(value, list):
        return value
    parts = [unpack(part) for part in value[1:]]
    return _RECORDS[value[0]](*parts) if value[0] else tuple(parts)


# What is sent of the deals, beside their fields, and what the hash of a run covers.
DEAL_COLUMNS = (
    "close_date",
    "credit_person",
    "credit_start",
    "credit_share",
    "amount",
    "margin",
    "cancelled",
    "currency",
    "invoice_start",
    "invoice_paid",
    "invoice_amount",
)


def pack_plans(plans: Mapping[str, Tuple[model.Plan, ...]]) -> Dict[str, Any]:
    """The versions of plans, by name."""
    return {name: [pack(plan) for plan in versions] for name, versions in plans.items()}


def unpack_plans(packed: Mapping[str, Any]) -> Dict[str, Tuple[model.Plan, ...]]:
    """What `pack_plans` was given."""
    return {name: tuple(unpack(plan) for plan in versions) for name, versions in packed.items()}


def pack_rows(rows: Iterable[Any]) -> List[Any]:
    """Records, such as quotas or assignments."""
    return [pack(row) for row in rows]


def unpack_rows(packed: Iterable[Any]) -> Tuple[Any, ...]:
    """What `pack_rows` was given."""
    return tuple(unpack(row) for row in packed)


def pack_book(book: Book) -> Tuple[Dict[str, Any], Columns]:
    """A book without the names of its deals, which the rules never see."""
    deals = book.deals
    header = {
        "people": list(book.people),
        "plans": pack_plans(book.plans),
        "assignments": pack_rows(book.assignments),
        "quotas": pack_rows(book.quotas),
        "rates": pack_rows(book.rates),
        "as_of": book.as_of,
        "horizon": book.horizon,
        "currencies": list(deals.currencies),
        "words": {
            name: None if field.words is None else [pack(word) for word in field.words]
            for name, field in deals.fields.items()
        },
    }
    columns = {name: getattr(deals, name) for name in DEAL_COLUMNS if getattr(deals, name) is not None}
    columns.update({f"field {name}": field.values for name, field in deals.fields.items()})
    return header, columns


def unpack_book(header: Mapping[str, Any], columns: Columns) -> Book:
    """The book that `pack_book` was given."""
    return Book(
        people=tuple(header["people"]),
        plans=unpack_plans(header["plans"]),
        assignments=unpack_rows(header["assignments"]),
        quotas=unpack_rows(header["quotas"]),
        rates=unpack_rows(header["rates"]),
        as_of=header["as_of"],
        horizon=header["horizon"],
        deals=Deals(
            currencies=tuple(header["currencies"]),
            fields={
                name: Field(columns[f"field {name}"], None if words is None else tuple(map(unpack, words)))
                for name, words in header["words"].items()
            },
            **{name: columns[name] for name in DEAL_COLUMNS if name in columns},
        ),
    )


def pack_part(part: Part, lines: Mapping[str, Chunk]) -> Tuple[Dict[str, Any], Dict[str, Chunk]]:
    """A part of a result and its lines: all of it in columns but for the terms of its blocks, and findings."""
    columns = {**lines, "blocks": part.blocks.numbers, "pay": part.pay, "payments": part.payments}
    return {"terms": part.blocks.terms, "findings": part.findings}, columns


_PAIRS = [Terms._fields.index(name) for name in ("quota", "quota_whole", "quota_factor", "gate")]


def _terms(row: List[Any]) -> Terms:
    """Terms as JSON has them, with lists for pairs; there may be thousands."""
    for place in _PAIRS:
        if row[place] is not None:
            row[place] = tuple(row[place])
    return Terms(*row)


def unpack_part(header: Mapping[str, Any], columns: Dict[str, Any]) -> Part:
    """The part that `pack_part` was given."""

    return Part(
        Blocks([_terms(row) for row in header["terms"]], columns.pop("blocks")),
        {name: columns[name] for name in columns if name not in ("pay", "payments")},
        columns["pay"],
        columns["payments"],
        [Finding(*row) for row in header["findings"]],
    )

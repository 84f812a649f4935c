"""The kinds of values that endpoints take, cursors, and frames as records."""

import base64
import binascii
import json
from collections.abc import Callable
from datetime import date, datetime
from typing import Annotated, Any

import pandas as pd
from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field

from engine.errors import QuotaPathError

_LARGEST = 2**63 - 1  # of the database's whole numbers
NO_NULL = r"^[^\x00]*$"

Number = Annotated[int, Field(ge=-_LARGEST, le=_LARGEST)]
# Far above any deal, so that no sum of them is too large for the database.
Money = Annotated[int, Field(ge=-(10**15), le=10**15)]
Id = Annotated[int, Field(ge=1, le=_LARGEST)]
IdInPath = Annotated[int, Path(ge=1, le=_LARGEST)]
IdInQuery = Annotated[int | None, Query(ge=1, le=_LARGEST)]
Text = Annotated[str, Field(max_length=1000, pattern=NO_NULL)]
LongText = Annotated[str, Field(max_length=10_000, pattern=NO_NULL)]
Day = Annotated[date, Field(ge=date(1990, 1, 1), le=date(2199, 12, 31))]
DayInQuery = Annotated[date | None, Query(ge=date(1990, 1, 1), le=date(2199, 12, 31))]
Words = Annotated[str, Query(max_length=200, pattern=NO_NULL)]
_PERIOD = r"^(199[0-9]|2[01][0-9][0-9])(-(Q[1-4]|W[0-5][0-9]|[01][0-9]))?$"
PeriodInPath = Annotated[str, Path(pattern=_PERIOD, description="a period such as 2026-10, 2026-Q4, 2026 or 2026-W05")]
PeriodName = Annotated[str, Field(pattern=_PERIOD, description="a period such as 2026-10, 2026-Q4, 2026 or 2026-W05")]
PeriodInQuery = Annotated[
    str | None, Query(pattern=_PERIOD, description="a period such as 2026-10, 2026-Q4, 2026 or 2026-W05")
]
Limit = Annotated[int, Query(ge=1, le=500)]
Cursor = Annotated[str, Query(max_length=2000, description="`next_cursor` of the page before")]


class Body(BaseModel):
    """What a write takes: names that it does not know are refused, not passed over."""

    model_config = ConfigDict(extra="forbid")


def to_cursor(*place: Any) -> str:
    """A place in a list, as text that says nothing to anybody."""
    return base64.urlsafe_b64encode(json.dumps(place, default=str).encode()).decode().rstrip("=")


def read_cursor(text: str, *kinds: type[date] | type[datetime] | type[int] | type[str]) -> Any:
    """The place that `to_cursor` wrote, as a tuple of these kinds; None for no cursor.  Raises QuotaPathError."""
    if not text:
        return None
    try:
        found = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        return tuple(_READERS[kind](value) for kind, value in zip(kinds, found, strict=True))
    except (binascii.Error, ValueError, TypeError, UnicodeError, RecursionError):
        raise QuotaPathError(
            f"{text[:50]!r} is not a cursor of this list. Use the next_cursor of the page before, unchanged."
        ) from None


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _LARGEST:
        raise ValueError
    return value


def _text(value: Any) -> str:
    if type(value) is not str or "\x00" in value:
        raise ValueError
    value.encode()  # no halves of characters
    return value


_READERS: dict[Any, Callable[[Any], Any]] = {
    date: date.fromisoformat,
    datetime: datetime.fromisoformat,
    int: _whole,
    str: _text,
}


def records(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    """The rows of a frame; what is missing is None."""
    columns = []
    for name in frame.columns:
        values, missing = frame[name].tolist(), frame[name].isna().tolist()
        columns.append([None if gone else value for value, gone in zip(values, missing, strict=True)])
    return [dict(zip(frame.columns, row, strict=True)) for row in zip(*columns, strict=True)]

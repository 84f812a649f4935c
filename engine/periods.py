"""Periods by name: ``2026``, ``2026-Q1``, ``2026-01`` and the ISO week ``2026-W05``.

A day is the ordinal of ``datetime.date.toordinal``; a period is half-open, ``[start, end)``.
"""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Dict

from engine.errors import QuotaPathError

KINDS = ("week", "month", "quarter", "year")
MONTHS = {"month": 1, "quarter": 3, "year": 12}

_NAME = re.compile(r"(\d{4})(?:-(?:Q([1-4])|W(\d\d)|(\d\d)))?", re.ASCII)
_AFTER_LAST = date.max.toordinal() + 1


@dataclass(frozen=True, order=True)
class Period:
    """A week, month, quarter or year: the days ``start`` (inclusive) to ``end`` (exclusive), as ordinals."""

    start: int
    end: int
    kind: str

    @cached_property
    def name(self) -> str:
        """What people call it: ``2026-Q1``."""
        first = self.first_day
        if self.kind == "year":
            return f"{first.year:04d}"
        if self.kind == "quarter":
            return f"{first.year:04d}-Q{(first.month + 2) // 3}"
        if self.kind == "month":
            return f"{first.year:04d}-{first.month:02d}"
        year, week, _ = first.isocalendar()
        return f"{year:04d}-W{week:02d}"

    @property
    def first_day(self) -> date:
        """The first day of the period."""
        return date.fromordinal(self.start)

    @property
    def last_day(self) -> date:
        """The last day of the period."""
        return date.fromordinal(self.end - 1)

    @property
    def index(self) -> int:
        """A number that grows by one from each period to the next of its kind."""
        if self.kind == "week":
            return self.start // 7
        first = self.first_day
        return (first.year * 12 + first.month - 1) // MONTHS[self.kind]

    @property
    def days(self) -> int:
        """How many days it has."""
        return self.end - self.start

    def __contains__(self, day: object) -> bool:
        return isinstance(day, int) and self.start <= day < self.end

    def __str__(self) -> str:
        return self.name

    def next(self) -> "Period":
        """The period of the same kind after it."""
        return period_of(self.kind, self.end)

    def previous(self) -> "Period":
        """The period of the same kind before it."""
        return period_of(self.kind, self.start - 1)


def _month_start(months: int) -> int:
    """The ordinal of the first day of a month counted from year 0; the day after the calendar's last, too."""
    year, month = divmod(months, 12)
    return _AFTER_LAST if year > date.max.year else date(year, month + 1, 1).toordinal()


# Periods by kind and any day in them.  Plain dicts, the inner ones by ints alone: PyPy's lru_cache and its keys of
# pairs are slow, and a calendar is small.
_known: Dict[str, Dict[int, Period]] = {kind: {} for kind in KINDS}


def period_of(kind: str, day: int) -> Period:
    """The period of ``kind`` that holds ``day`` (an ordinal)."""
    known = _known.get(kind)
    if known is None:
        raise QuotaPathError(f"{kind!r} is not a kind of period. Use one of {', '.join(KINDS)}.")
    found = known.get(day)
    if found is None:
        found = known[day] = _period_of(kind, day)
    return found


def _period_of(kind: str, day: int) -> Period:
    if kind == "week":
        start = day - (day - 1) % 7  # ordinal 1 was a Monday
        return Period(start, start + 7, kind)
    span = MONTHS[kind]
    moment = date.fromordinal(day)
    months = moment.year * 12 + (moment.month - 1) // span * span
    return Period(_month_start(months), _month_start(months + span), kind)


def parse_period(name: str) -> Period:
    """The period of that name; `QuotaPathError` when there is none (``2026-13``, ``2025-W53``)."""
    match = _NAME.fullmatch(name)
    try:
        if match is None:
            raise ValueError
        year, quarter, week, month = match.groups()
        if week:
            return period_of("week", date.fromisocalendar(int(year), int(week), 1).toordinal())
        if quarter:
            return period_of("quarter", date(int(year), int(quarter) * 3, 1).toordinal())
        return period_of("month" if month else "year", date(int(year), int(month or 1), 1).toordinal())
    except ValueError:
        raise QuotaPathError(
            f"{name!r} is not a period. Write a year 2026, a quarter 2026-Q1, a month 2026-01 or a week 2026-W05."
        ) from None


def add_months(day: int, months: int) -> int:
    """The same day of the month ``months`` later, clipped to the month's last: 31 January + 1 is 28 February."""
    moment = date.fromordinal(day)
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    return date(year, month + 1, min(moment.day, monthrange(year, month + 1)[1])).toordinal()


def months_between(start: int, end: int) -> int:
    """Completed months from ``start`` to ``end``, day clipped: 31 January to 28 February is one."""
    first, last = date.fromordinal(start), date.fromordinal(end)
    months = (last.year - first.year) * 12 + last.month - first.month
    return months if add_months(start, months) <= end else months - 1

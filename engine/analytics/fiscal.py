"""The fiscal year: twelve months from the one that the company chose.

It is named by the calendar year in which it ends, so with October as its first month 2026 runs from October 2025
to September 2026.  The periods of the plans stay calendar periods: a quarter or a year belongs to the fiscal year
in which it begins, a week to the three months that hold its Thursday.
"""

from datetime import date

from engine.periods import add_months, period_of

KINDS = ("week", "month", "quarter", "year")
PARTS = (1, 2, 3, 4)  # a year's weeks are looked at three months at a time


def year_of(day: date, first_month: int) -> int:
    """The fiscal year that holds a day.

    >>> year_of(date(2025, 10, 1), 10)
    2026
    """
    return day.year + (first_month > 1 and day.month >= first_month)


def bounds(year: int, first_month: int, part: int | None = None) -> tuple[date, date]:
    """The first day of a fiscal year, or of its `part`-th three months, and the first day after it."""
    first = date(year - (first_month > 1), first_month, 1).toordinal()
    start = first if part is None else add_months(first, 3 * (part - 1))
    return date.fromordinal(start), date.fromordinal(add_months(start, 12 if part is None else 3))


def part_of(day: date, first_month: int) -> int:
    """Which three months of its fiscal year a day is in, from 1."""
    return (day.month - first_month) % 12 // 3 + 1


def quarters_line_up(first_month: int) -> bool:
    """Whether the quarters of the fiscal year are calendar quarters, by which plans count."""
    return first_month % 3 == 1


def periods_of_year(kind: str, year: int, first_month: int = 1, part: int | None = None) -> tuple[str, ...]:
    """The names of the periods of a fiscal year, in order; with `part` those of three months of it.

    >>> periods_of_year("quarter", 2027, 4)
    ('2026-Q2', '2026-Q3', '2026-Q4', '2027-Q1')
    """
    first, end = (day.toordinal() for day in bounds(year, first_month, part))
    # A week is where its Thursday is; any other period where its first day is.
    marked = 3 if kind == "week" else 0
    period = period_of(kind, first)
    names = []
    while period.start + marked < end:
        if period.start + marked >= first:
            names.append(period.name)
        period = period.next()
    return tuple(names)


def month_name(month: int) -> str:
    """``"January"`` of 1."""
    return f"{date(2000, month, 1):%B}"


def year_title(year: int, first_month: int) -> str:
    """``"2026"``, or ``"FY 2026: Oct 2025 - Sep 2026"`` where the two years differ."""
    if first_month == 1:
        return str(year)
    first, end = bounds(year, first_month)
    last = date.fromordinal(end.toordinal() - 1)
    return f"FY {year}: {first:%b %Y} – {last:%b %Y}"


def part_title(year: int, first_month: int, part: int) -> str:
    """``"Jan – Mar 2026"``."""
    first, end = bounds(year, first_month, part)
    last = date.fromordinal(end.toordinal() - 1)
    return f"{first:%b} – {last:%b %Y}" if first.year == last.year else f"{first:%b %Y} – {last:%b %Y}"

"""Who is assigned when, and who is below whom: the dated hierarchy."""

from typing import Dict, List, Mapping, Optional, Sequence, Set, Tuple

from engine.calc.book import Book, span
from engine.calc.model import Assignment
from engine.periods import MONTHS, Period, period_of

Span = Tuple[int, int]


class Tree:
    """The assignments of a book, by person code."""

    def __init__(self, book: Book) -> None:
        code = {person: place for place, person in enumerate(book.people)}
        self._rows: Dict[int, List[Tuple[Span, Assignment, Optional[int]]]] = {}
        self._reports: Dict[int, List[Tuple[int, Span]]] = {}
        for row in book.assignments:
            person, days = code[row.person], span(row)
            manager = code[row.manager] if row.manager is not None else None
            self._rows.setdefault(person, []).append((days, row, manager))
            if manager is not None:
                self._reports.setdefault(manager, []).append((person, days))
        for rows in self._rows.values():
            rows.sort(key=lambda row: row[0])

    def assigned(self, person: int, plan: str) -> List[Span]:
        """The days a person is on a plan."""
        return [days for days, row, _ in self._rows.get(person, ()) if row.plan == plan]

    def plans(self, person: int) -> List[str]:
        """The plans a person is ever on, by name."""
        return sorted({row.plan for _, row, _ in self._rows.get(person, ()) if row.plan is not None})

    def on(self, person: int, day: int) -> Optional[Assignment]:
        """A person's assignment in force on a day."""
        for (start, end), row, _ in self._rows.get(person, ()):
            if start <= day < end:
                return row
        return None

    def last_in(self, person: int, period: Period) -> Optional[Assignment]:
        """The assignment in force at the end of a period, or the last one in it."""
        found = None
        for (start, end), row, _ in self._rows.get(person, ()):
            if start < period.end and period.start < end and row.plan is not None:
                found = row
        return found

    def prorated(self, person: int, plan: str, period: Period) -> Tuple[int, int]:
        """The part of a period that a person is on a plan, as the person's ``prorate`` counts it."""
        rows = [(days, row) for days, row, _ in self._rows.get(person, ()) if row.plan == plan]
        inside = [(max(start, period.start), min(end, period.end)) for (start, end), _ in rows]
        inside = [days for days in inside if days[0] < days[1]]
        days_on = sum(end - start for start, end in inside)
        how = rows[0][1].prorate if rows else "days"
        if how == "none" or days_on in (0, period.days):
            return 1, 1
        if how == "days" or period.kind == "week":
            return days_on, period.days
        touched: Set[int] = set()
        for start, end in inside:
            while start < end:
                month = period_of("month", start)
                touched.add(month.start)
                start = month.end
        return len(touched), MONTHS[period.kind]

    def below(self, manager: int, whole_team: bool) -> Dict[int, List[Span]]:
        """Who is credited up to a manager, and when: direct reports, or everyone below."""
        found: Dict[int, List[Span]] = {}
        self._descend(manager, (0, 2**62), whole_team, found, frozenset([manager]))
        return {person: merged(spans) for person, spans in sorted(found.items())}

    def _descend(
        self, manager: int, days: Span, whole_team: bool, found: Dict[int, List[Span]], path: "frozenset[int]"
    ) -> None:
        for person, (start, end) in self._reports.get(manager, ()):
            both = max(start, days[0]), min(end, days[1])
            if both[0] < both[1] and person not in path:
                found.setdefault(person, []).append(both)
                if whole_team:
                    self._descend(person, both, whole_team, found, path | {person})

    def depth(self, person: int, day: int) -> int:
        """How many managers are above a person on a day."""
        above = 0
        seen = {person}
        while True:
            manager = self._manager(person, day)
            if manager is None or manager in seen:
                return above
            seen.add(manager)
            person, above = manager, above + 1

    def _manager(self, person: int, day: int) -> Optional[int]:
        for (start, end), _, manager in self._rows.get(person, ()):
            if start <= day < end:
                return manager
        return None


def merged(spans: Sequence[Span]) -> List[Span]:
    """The same days without overlaps, in order."""
    result: List[Span] = []
    for start, end in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = result[-1][0], max(end, result[-1][1])
        else:
            result.append((start, end))
    return result


def within(days: Mapping[int, List[Span]], person: int, day: int) -> bool:
    """Whether a day is one of a person's."""
    return any(start <= day < end for start, end in days.get(person, ()))

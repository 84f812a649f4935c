"""Which quota holds for a person, a component and a period."""

from fractions import Fraction
from typing import Dict, Optional, Tuple

from engine.calc.book import Book
from engine.calc.model import MICRO, Component, Plan
from engine.calc.payout import Quota, unit
from engine.calc.tree import Tree
from engine.periods import Period


class Quotas:
    """The quota rows of a book, by person."""

    def __init__(self, book: Book, tree: Tree) -> None:
        self._people = book.people
        self._tree = tree
        self._rows: Dict[Tuple[str, Optional[str], Optional[str]], int] = {
            (row.person, row.component, row.period): row.amount for row in book.quotas
        }
        self._made: Dict[Tuple[int, int, Tuple[int, int], str], Quota] = {}

    def of(self, person: int, plan: Plan, component: Component, period: Period) -> Optional[Quota]:
        """The quota that holds, or None where nobody gave one above 0.

        A row for the period, then the person's figure for the component, then the person's one figure,
        then the component's own.  A row for a named period stands as it is; the others are scaled to the
        part of the period that the person is on the plan.
        """
        name, rows = self._people[person], self._rows
        parts = unit(component.measure, plan.currency)
        source = "row"
        amount = rows.get((name, component.id, period.name), rows.get((name, None, period.name)))
        if amount is None:
            source, amount = "person_component", rows.get((name, component.id, None))
        if amount is None:
            source, amount = "person", rows.get((name, None, None))
        if amount is None:
            source, amount, parts = "component", component.quota, MICRO
        if amount is None or amount <= 0:
            return None
        days = (1, 1) if source == "row" else self._tree.prorated(person, plan.name, period)
        key = (amount, parts, days, source)
        quota = self._made.get(key)
        if quota is None:
            whole, factor = Fraction(amount * parts, MICRO), Fraction(*days)
            quota = self._made[key] = Quota(whole * factor, whole, factor, source)
        return quota

"""Which quota holds for a person, a component and a period."""

from fractions import Fraction
from typing import Dict, Optional, Set, Tuple

from engine.calc.book import Book
from engine.calc.model import MICRO, Component, Plan
from engine.calc.payout import WHOLE, Quota, unit
from engine.calc.tree import Tree
from engine.periods import Period


class Quotas:
    """The quota rows of a book, by person."""

    def __init__(self, book: Book, tree: Tree) -> None:
        self.people = book.people
        self.tree = tree
        self.rows: Dict[Tuple[str, Optional[str], Optional[str]], int] = {
            (row.person, row.component, row.period): row.amount for row in book.quotas
        }
        self.by_period: Set[str] = {row.person for row in book.quotas if row.period is not None}

    def of(self, person: int, plan: Plan, component: Component, period: Period) -> Optional[Quota]:
        """The quota that holds, or None where nobody gave one above 0."""
        return Figures(self, person, plan, component).of(period)


class Figures:
    """One person's quotas for one component version, period by period.

    A row for the period, then the person's figure for the component, then the person's one figure,
    then the component's own.  A row for a named period stands as it is; the others are scaled to the
    part of the period that the person is on the plan.
    """

    def __init__(self, quotas: Quotas, person: int, plan: Plan, component: Component) -> None:
        self.person, self.plan, self.component = person, plan.name, component.id
        self.tree, self.rows, self.name = quotas.tree, quotas.rows, quotas.people[person]
        self.parts = unit(component.measure, plan.currency)
        self.by_period = self.name in quotas.by_period
        self.source, amount = "person_component", self.rows.get((self.name, component.id, None))
        if amount is None:
            self.source, amount = "person", self.rows.get((self.name, None, None))
        parts = self.parts
        if amount is None:
            self.source, amount, parts = "component", component.quota, MICRO
        self.whole: Optional[Quota] = None
        if amount is not None and amount > 0:
            figure = Fraction(amount * parts, MICRO)
            self.whole = Quota(figure, figure, WHOLE, self.source)
        spans = self.tree.assigned(person, plan.name)
        self.start, self.end = spans[0] if len(spans) == 1 else (0, 0)

    def of(self, period: Period) -> Optional[Quota]:
        """The quota of a period, or None where nobody gave one above 0; the same object for the same figure."""
        if self.by_period:
            amount = self.rows.get(
                (self.name, self.component, period.name), self.rows.get((self.name, None, period.name))
            )
            if amount is not None:
                figure = Fraction(amount * self.parts, MICRO)
                return Quota(figure, figure, WHOLE, "row") if amount > 0 else None
        whole = self.whole
        if whole is None or (self.start <= period.start and period.end <= self.end):
            return whole
        days = self.tree.prorated(self.person, self.plan, period)
        if days[0] == days[1]:
            return whole
        factor = Fraction(*days)
        return Quota(whole.whole * factor, whole.whole, factor, whole.source)

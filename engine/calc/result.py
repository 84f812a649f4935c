"""The output of a calculation: lines with what explains them, attainment, pay by period, payments.

Lines are columns, cut into blocks of the same person, component, plan version, quota period and pay
period: 1.2 million lines are four arrays and a few thousand blocks.  `Result.lines` reads them as records.
"""

from array import array
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from engine.calc.book import Book
from engine.calc.model import Plan
from engine.errors import Problem

# The columns that every line has (``credit`` and ``running`` after the line), and those that only the
# lines of some blocks need, in arrays of their own from row `Block.more` on.
LINE_COLUMNS = ("deal", "cents", "credit", "running")
MORE_COLUMNS = ("limited", "money", "share", "full", "full_money")


class Block(NamedTuple):
    """What the lines ``first:first + count`` have in common.

    Credit is counted in ``scale`` parts of a cent (or of a millionth of a unit) where shares or
    multipliers leave fractions; ``quota`` is prorated and in cents or millionths, ``quota_whole`` as given.
    """

    kind: str  # earned | clawback | carry
    person: int
    plan: str
    version: int
    component: str
    period: str  # pay period
    quota_period: str
    first: int
    count: int
    cents: int  # sum of the lines
    more: int  # first row in the further columns; -1: none
    scale: int
    credit: int  # before the first line
    running: int  # rounded running total before the first line, before limits
    limited: int  # the same after per_deal, with what was carried in
    paid: int  # the same after the cap
    version_credit: int  # credit at which this version began in the quota period
    quota: Optional[Tuple[int, int]]  # prorated: numerator, denominator
    quota_whole: Optional[Tuple[int, int]]  # as given
    quota_factor: Optional[Tuple[int, int]]  # the part of the period that counts
    quota_from: str  # row | person_component | person | component | ""
    gate: Optional[Tuple[int, int]]  # attainment of the gate's component


class Finding(NamedTuple):
    """A problem in the data; ``row`` is the deal that ``path`` belongs to, or -1."""

    row: int
    path: str
    message: str
    remedy: str


class Attained(NamedTuple):
    """Attainment of a quota period: ``credit / quota`` over one denominator, exact."""

    person: str
    plan: str
    component: str
    period: str
    credit: int
    quota: int


class PayPeriod(NamedTuple):
    """What a person earned and is paid in a pay period, in cents; ``draw_balance`` None: no draw."""

    person: str
    period: str
    earned: int
    paid: int
    draw_balance: Optional[int]


class Payment(NamedTuple):
    """Earned money that falls due in a pay period, before any draw."""

    person: str
    period: str
    cents: int


@dataclass(frozen=True)
class Line:
    """One amount of money and why.

    ``kind`` is ``earned``, ``clawback`` (negative, of the earned line with the same person, component and
    deal) or ``carry`` (money over a cap paid in a later period; ``deal`` is "").  ``day`` is the close
    date, the cancellation, or the first day of the quota period; ``period`` the pay period.  ``version`` is
    the place of the plan version in the book, ``facts`` what `engine.calc.explain` rebuilds the working
    from (ints and texts only, fit for JSON).
    """

    person: str
    plan: str
    version: int
    component: str
    deal: str
    day: int
    period: str
    kind: str
    cents: int
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """With ``problems`` nothing was calculated and the rest is empty."""

    book: Book
    blocks: Sequence[Block] = ()
    columns: "Mapping[str, array[int]]" = field(default_factory=dict)
    attainment: Sequence[Attained] = ()
    pay: Sequence[PayPeriod] = ()
    payments: Sequence[Payment] = ()
    problems: Tuple[Problem, ...] = ()

    @property
    def total(self) -> int:
        """All lines together, in cents."""
        return sum(block.cents for block in self.blocks)

    def plan(self, line: Line) -> Plan:
        """The plan version that a line was calculated by."""
        return self.book.plans[line.plan][line.version]

    def lines(self) -> Iterator[Line]:
        """Every line, by person, plan and component, then in the order of the deals."""
        raise NotImplementedError

"""The output of a calculation: lines with what explains them, attainment, pay by period, payments.

Lines are columns, cut into blocks of the same person, component, plan version, quota period and pay
period: 1.2 million lines are four arrays and a few thousand blocks.  Blocks, pay and payments are rows of
ints as well, which cost nothing to send; `Result` reads all of them as records when it is asked.
"""

import json
from array import array
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Any, Container, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union, overload

from engine.calc.book import INT64, NONE, Book
from engine.calc.model import ExchangeRate, Plan
from engine.errors import Problem, given
from engine.periods import KINDS, Period, parse_period, period_of

# The columns that every line has (``credit`` after the line), and those that only the lines of some blocks need,
# in arrays of their own from row `Block.more` on.  Without them nothing limits the block: the running total
# grows by the cents of each line.
LINE_COLUMNS = ("deal", "cents", "credit")
MORE_COLUMNS = ("running", "limited", "money", "share", "full", "full_money")


# What a row of lines is.
EARNED, CLAWBACK, CARRY = range(3)
LINE_KINDS = ("earned", "clawback", "carry")


_PLACE = {kind: place for place, kind in enumerate(KINDS)}


def period_code(period: Period) -> int:
    """A period as one number, which sorts as periods do."""
    return period.start * len(KINDS) + _PLACE[period.kind]


def coded_period(code: int) -> Period:
    """The period that `period_code` was given."""
    start, kind = divmod(code, len(KINDS))
    return period_of(KINDS[kind], start)


class Terms(NamedTuple):
    """What many blocks share: the rule and the quota they were calculated by."""

    plan: str
    version: int
    component: str
    scale: int
    money_scale: int
    quota: Optional[Tuple[int, int]] = None
    quota_whole: Optional[Tuple[int, int]] = None
    quota_factor: Optional[Tuple[int, int]] = None
    quota_from: str = ""
    gate: Optional[Tuple[int, int]] = None


class Row(NamedTuple):
    """A block as it is kept and sent; ``terms`` is a place in `Blocks.terms`, periods are `period_code`."""

    kind: int
    person: int
    terms: int
    period: int
    quota_period: int
    first: int
    size: int
    cents: int
    more: int
    credit: int
    running: int
    limited: int
    paid: int
    version_credit: int


Chunk = Union["array[int]", memoryview]  # of 64-bit ints


class Column(Sequence[int]):
    """Chunks read as one, where they are: parts of a result are not copied to be put together."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self.chunks = [chunk for chunk in chunks if len(chunk)]
        self._ends = list(accumulate(map(len, self.chunks)))
        self._first = self._end = 0  # the rows of the chunk that was read last
        self._chunk: Sequence[int] = ()

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, place: int) -> int: ...
    @overload
    def __getitem__(self, place: slice) -> List[int]: ...
    def __getitem__(self, place: Union[int, slice]) -> Union[int, List[int]]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        if not self._first <= place < self._end:
            place = range(len(self))[place]
            number = bisect_right(self._ends, place)
            self._chunk, self._end = self.chunks[number], self._ends[number]
            self._first = self._end - len(self._chunk)
        return self._chunk[place - self._first]

    def part(self, first: int, size: int) -> Sequence[int]:
        """So many rows from ``first`` on: where they are, when they are in one chunk, as those of a block are."""
        if not size:
            return ()
        self[first]
        if first + size <= self._end:
            return self._chunk[first - self._first : first - self._first + size]
        return self[first : first + size]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Column) and self.tobytes() == other.tobytes()

    __hash__ = None  # type: ignore[assignment]  # its chunks are arrays

    def tobytes(self) -> bytes:
        """All of it, as the machine keeps 64-bit ints."""
        return b"".join(chunk.tobytes() for chunk in self.chunks)


WIDTH = len(Row._fields)


class Block(NamedTuple):
    """What the lines ``first:first + size`` have in common.

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
    size: int
    cents: int  # sum of the lines
    more: int  # first row in the further columns; -1: none
    scale: int
    money_scale: int  # parts of a cent or millionth in the column ``money``
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


class Blocks(Sequence[Block]):
    """Blocks, `WIDTH` numbers each in ``numbers``; as a sequence it makes their records."""

    def __init__(self, terms: Sequence[Terms] = (), numbers: "Optional[array[int]]" = None) -> None:
        self.terms: List[Terms] = list(terms)
        self.numbers = array(INT64) if numbers is None else numbers

    def __len__(self) -> int:
        return len(self.numbers) // WIDTH

    def row(self, place: int) -> Row:
        """A block as it is kept."""
        return Row(*self.numbers[place * WIDTH : (place + 1) * WIDTH])

    def rows(self) -> Iterator[Row]:
        """All of them."""
        return map(self.row, range(len(self)))

    @overload
    def __getitem__(self, place: int) -> Block: ...
    @overload
    def __getitem__(self, place: slice) -> List[Block]: ...
    def __getitem__(self, place: Union[int, slice]) -> Union[Block, List[Block]]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        row = self.row(range(len(self))[place])
        terms = self.terms[row.terms]
        return Block(
            kind=LINE_KINDS[row.kind],
            person=row.person,
            plan=terms.plan,
            version=terms.version,
            component=terms.component,
            period=coded_period(row.period).name,
            quota_period=coded_period(row.quota_period).name,
            first=row.first,
            size=row.size,
            cents=row.cents,
            more=row.more,
            scale=terms.scale,
            money_scale=terms.money_scale,
            credit=row.credit,
            running=row.running,
            limited=row.limited,
            paid=row.paid,
            version_credit=row.version_credit,
            quota=terms.quota,
            quota_whole=terms.quota_whole,
            quota_factor=terms.quota_factor,
            quota_from=terms.quota_from,
            gate=terms.gate,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Blocks) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # it grows while it is written

    def extend(self, other: "Blocks", first: int, more: int) -> None:
        """Put ``other`` behind, whose lines stand ``first`` (in the further columns ``more``) rows later here."""
        behind = len(self.terms)
        self.terms += other.terms
        numbers = as_array(other.numbers)
        if first or more or behind:
            at = Row._fields.index
            for place in range(0, len(numbers), WIDTH):
                numbers[place + at("terms")] += behind
                numbers[place + at("first")] += first
                if numbers[place + at("more")] >= 0:
                    numbers[place + at("more")] += more
        self.numbers.extend(numbers)


def as_array(numbers: Chunk) -> "array[int]":
    """A copy of numbers, which may be a view: all at once, where an array would take a view one by one."""
    return array(INT64, numbers.tobytes())


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


# Rows of `Result.pay_numbers` and `Result.payment_numbers`: a person, a pay period's code, cents.
PAY_WIDTH = 5  # earned, paid, draw balance (NONE: no draw)
PAYMENT_WIDTH = 3


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


class _Step(NamedTuple):
    """A line in the course of its block: where it stands in the further columns, each total before and after it."""

    row: int
    cents: int
    more: int
    credit: int
    credit_after: int
    running: int
    running_after: int
    limited: int
    limited_after: int
    paid: int
    paid_after: int


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True)
class Result:
    """With ``problems`` nothing was calculated and the rest is empty."""

    book: Book
    blocks: Blocks = field(default_factory=Blocks)
    columns: Mapping[str, Column] = field(default_factory=dict)
    pay_numbers: "array[int]" = field(default_factory=lambda: array(INT64))
    payment_numbers: "array[int]" = field(default_factory=lambda: array(INT64))
    problems: Tuple[Problem, ...] = ()

    @cached_property
    def pay(self) -> Sequence[PayPeriod]:
        """What everyone earned and is paid, by person and pay period."""
        people = self.book.people
        return [
            PayPeriod(people[person], coded_period(code).name, earned, paid, None if balance == NONE else balance)
            for person, code, earned, paid, balance in _rows(self.pay_numbers, PAY_WIDTH)
        ]

    @cached_property
    def payments(self) -> Sequence[Payment]:
        """Earned money by person and the pay period in which it falls due."""
        people = self.book.people
        return [
            Payment(people[person], coded_period(code).name, cents)
            for person, code, cents in _rows(self.payment_numbers, PAYMENT_WIDTH)
        ]

    @cached_property
    def attainment(self) -> Sequence[Attained]:
        """Attainment by person, plan, component and quota period, where there is a quota and a credit."""
        last: Dict[Tuple[int, str, str, int], Row] = {}
        for row in self.blocks.rows():
            if row.kind == EARNED:
                terms = self.blocks.terms[row.terms]
                last[row.person, terms.plan, terms.component, row.quota_period] = row
        found = []
        for (person, plan, component, period), row in last.items():
            terms = self.blocks.terms[row.terms]
            if terms.quota is not None:
                credit = self.columns["credit"][row.first + row.size - 1] * terms.quota[1]
                name = coded_period(period).name
                whole = terms.quota[0] * terms.scale
                found.append(Attained(self.book.people[person], plan, component, name, credit, whole))
        return found

    @property
    def total(self) -> int:
        """All lines together, in cents."""
        return sum(self.blocks.numbers[Row._fields.index("cents") :: WIDTH])

    def plan(self, line: Line) -> Plan:
        """The plan version that a line was calculated by."""
        return self.book.plans[line.plan][line.version]

    def lines(self, periods: Optional[Container[str]] = None) -> Iterator[Line]:
        """Every line, or those of some pay periods, by person, plan and component, then in the order of the deals."""
        for block in self.blocks:
            if periods is not None and block.period not in periods:
                continue
            common = self._common_facts(block)
            for step in self._steps(block):
                facts = dict(common)
                if block.kind == "clawback":
                    facts.update(self._taken_back(block, step))
                else:
                    facts["credit"] = [step.credit, step.credit_after]
                    if block.more >= 0:
                        facts["money_scale"] = block.money_scale
                        facts.update({name: self.columns[name][step.more] for name in MORE_COLUMNS[2:]})
                    facts["running"] = [step.running, step.running_after]
                    facts["limited"] = [step.limited, step.limited_after]
                    facts["paid"] = [step.paid, step.paid_after]
                    if step.row >= 0:
                        facts.update(self._exchange(block, step.row))
                yield Line(
                    person=self.book.people[block.person],
                    plan=block.plan,
                    version=block.version,
                    component=block.component,
                    deal=self.deal(step.row),
                    day=self._day(block, step.row),
                    period=block.period,
                    kind=block.kind,
                    cents=step.cents,
                    facts=facts,
                )

    def deal(self, row: int) -> str:
        """What the book calls the deal in a row; "" for none."""
        if row < 0:
            return ""
        return self.book.ids[row] if self.book.ids else str(row)

    def workings(self, place: int) -> Iterator[Tuple[int, int, str]]:
        """(row of the deal, cents, working) of each line of a block.

        The working is the line's kind, day and facts as compact JSON with sorted keys, the same bytes everywhere; a
        template for the whole block makes it many times faster than a dict for each line.
        """
        block = self.blocks[place]
        texts = {name: _json(value).replace("%", "%%") for name, value in self._common_facts(block).items()}
        if block.kind == "clawback":
            for step in self._steps(block):
                facts = {**self._common_facts(block), **self._taken_back(block, step)}
                yield (
                    step.row,
                    step.cents,
                    _json({"day": self._day(block, step.row), "facts": facts, "kind": block.kind}),
                )
            return
        more = block.more >= 0
        if more:
            texts["money_scale"] = str(block.money_scale)
            texts.update(dict.fromkeys(MORE_COLUMNS[2:], "%d"))
        texts.update(dict.fromkeys(("credit", "limited", "paid", "running"), "[%d,%d]"))
        foreign = self.book.deals.currency is not None
        parts = [f'"{name}":{texts[name]},' for name in sorted(texts)]
        if foreign:
            parts.insert(sorted([*texts, "exchange"]).index("exchange"), "%s")
        template = '{"day":%d,"facts":{' + "".join(parts)[:-1] + '},"kind":"' + block.kind + '"}'
        days, first = self.book.deals.close_date, parse_period(block.quota_period).start
        columns = [self.columns[name] for name in ("full", "full_money", "money", "share")] if more else []
        for row, cents, at, c, c2, r, r2, m, m2, p, p2 in self._steps(block):
            day = days[row] if row >= 0 else first
            if not more and not foreign:
                yield row, cents, template % (day, c, c2, m, m2, p, p2, r, r2)
                continue
            values: List[object] = [day, c, c2]
            if foreign:
                values.append(self._exchange_text(block, row) if row >= 0 else "")
            if more:
                full, full_money, money, share = (column[at] for column in columns)
                values += [full, full_money, m, m2, money, p, p2, r, r2, share]
            else:
                values += [m, m2, p, p2, r, r2]
            yield row, cents, template % tuple(values)

    def _steps(self, block: Block) -> Iterator["_Step"]:
        """The lines of a block as numbers: what stands before and after each of them."""
        first, size = block.first, block.size
        rows, cents = (self.columns[name].part(first, size) for name in ("deal", "cents"))
        if block.kind == "clawback":
            for i in range(size):
                yield _Step(rows[i], cents[i], block.more + i, 0, 0, 0, 0, 0, 0, 0, 0)
            return
        credited = self.columns["credit"].part(first, size)
        credit, running, limited, paid = block.credit, block.running, block.limited, block.paid
        runnings, limits = (
            self.columns[name].part(block.more, size if block.more >= 0 else 0) for name in ("running", "limited")
        )
        for i in range(size):
            each, credit_after = cents[i], credited[i]
            now, after = running + each, limited + each
            if block.more >= 0:
                now, after = runnings[i], limits[i]
            yield _Step(
                rows[i], each, block.more + i, credit, credit_after, running, now, limited, after, paid, paid + each
            )
            credit, running, limited, paid = credit_after, now, after, paid + each

    def _day(self, block: Block, row: int) -> int:
        if row < 0:
            return parse_period(block.quota_period).start
        deals = self.book.deals
        return given(deals.cancelled)[row] if block.kind == "clawback" else deals.close_date[row]

    def _taken_back(self, block: Block, step: "_Step") -> Dict[str, Any]:
        """The facts of a clawback: the line it takes back, when the deal closed, the term it was to run."""
        deals = self.book.deals
        facts: Dict[str, Any] = {"earned": self.columns["running"][step.more]}
        facts["closed"] = deals.close_date[step.row] if step.row >= 0 else parse_period(block.quota_period).start
        term = deals.fields.get("term_months")
        if term is not None and term.words is None and term.values[step.row] != NONE:
            facts["term"] = term.values[step.row]
        return facts

    def _common_facts(self, block: Block) -> Dict[str, Any]:
        facts: Dict[str, Any] = {"quota_period": block.quota_period}
        if block.kind != "clawback":
            facts.update(scale=block.scale, version_credit=block.version_credit)
            if block.quota_factor is not None:
                facts["quota_factor"] = list(block.quota_factor)
            if block.quota is not None and block.quota_whole is not None:
                facts.update(quota=list(block.quota), quota_whole=list(block.quota_whole))
                facts["quota_from"] = block.quota_from
            if block.gate is not None:
                facts["gate"] = list(block.gate)
        return facts

    def _exchange_text(self, block: Block, row: int) -> str:
        """`_exchange` as a part of a working; worked out once for each currency and day."""
        deals = self.book.deals
        key = given(deals.currency)[row], deals.close_date[row], block.plan, block.version
        if key not in self._exchanges:
            facts = self._exchange(block, row)
            self._exchanges[key] = f'"exchange":{_json(facts["exchange"])},' if facts else ""
        return self._exchanges[key]

    @cached_property
    def _exchanges(self) -> Dict[Tuple[int, int, str, int], str]:
        return {}

    def _exchange(self, block: Block, row: int) -> Dict[str, Any]:
        """The exchange rate by which a deal's money was converted, and its date."""
        deals, to = self.book.deals, self.book.plans[block.plan][block.version].currency
        if deals.currency is None or deals.currency[row] == NONE or deals.currencies[deals.currency[row]] == to:
            return {}
        currency = deals.currencies[deals.currency[row]]
        rate = latest_rate(self.book.rates, currency, to, deals.close_date[row])
        return {"exchange": [currency, rate.value, rate.scale, rate.day]}


def latest_rate(rates: Sequence[ExchangeRate], currency: str, to: str, day: int) -> ExchangeRate:
    """The latest stored rate on or before ``day``, of a calculated line: there is one."""
    known = [rate for rate in rates if rate.currency == currency and rate.to == to and rate.day <= day]
    return max(known, key=lambda rate: rate.day)


@dataclass(frozen=True)
class Totals:
    """What everyone earns, in cents, without the lines; with ``problems`` the rest is empty.

    Components are by (person, plan, component), pay periods by (person, period); ``paid`` is after draws.
    """

    total: int = 0
    by_person: Mapping[str, int] = field(default_factory=dict)
    by_component: Mapping[Tuple[str, str, str], int] = field(default_factory=dict)
    by_period: Mapping[Tuple[str, str], int] = field(default_factory=dict)
    paid: Mapping[Tuple[str, str], int] = field(default_factory=dict)
    problems: Tuple[Problem, ...] = ()


def totals(result: Result) -> Totals:
    """The sums of a result, which may have come without its lines."""
    if result.problems:
        return Totals(problems=result.problems)
    people, terms, numbers = result.book.people, result.blocks.terms, result.blocks.numbers
    at = Row._fields.index
    by_terms: Dict[Tuple[int, int], int] = {}
    for person, place, cents in zip(*(numbers[at(name) :: WIDTH] for name in ("person", "terms", "cents"))):
        by_terms[person, place] = by_terms.get((person, place), 0) + cents
    by_person: Dict[str, int] = {}
    by_component: Dict[Tuple[str, str, str], int] = {}
    for (person, place), cents in by_terms.items():
        name = people[person]
        key = name, terms[place].plan, terms[place].component
        by_person[name] = by_person.get(name, 0) + cents
        by_component[key] = by_component.get(key, 0) + cents
    by_period: Dict[Tuple[str, str], int] = {}
    paid: Dict[Tuple[str, str], int] = {}
    for person, code, earned, given_out, _ in _rows(result.pay_numbers, PAY_WIDTH):
        period = people[person], coded_period(code).name
        by_period[period] = earned
        paid[period] = given_out
    return Totals(sum(by_person.values()), by_person, by_component, by_period, paid)


def _rows(numbers: "array[int]", width: int) -> Iterator[Tuple[int, ...]]:
    """The rows of numbers that stand one behind the other."""
    return zip(*(numbers[place::width] for place in range(width)))

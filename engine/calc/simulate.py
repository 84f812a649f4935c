"""Many possible outcomes of the open deals, each paid by the real rules.

An open deal is a row of the book with a chance below 100%: it is won in some rounds and is not there in the
others.  Whether deal ``row`` is won in round ``i`` depends on the seed and the row alone, so that neither
the interpreter nor the number of workers shows, and two plans are compared on the same outcomes.

The numbers come from one multiply-with-carry generator a deal (George Marsaglia's; lag 1, base 2**32,
multiplier 2147483085, for which the period is about 2**62): from a state ``s`` of 62 bits, begun with
the first 62 bits of SHA-256 of ``"seed:row"`` and made odd, each round draws the 32 bits
``(s & 0xffffffff) ^ (s >> 32)`` and goes on with ``2147483085 * (s & 0xffffffff) + (s >> 32)``.  The deal is
won where the draw is below ``chance * 2**32 // 1000000``.  All of it fits in 63 bits: no big numbers on PyPy.
"""

from array import array
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from engine.calc.account import FUNCTION, Lines, mode
from engine.calc.book import FOREVER, INT64, Book
from engine.calc.calculate import Desk, Rules, problems_of
from engine.calc.model import PPM, Component
from engine.calc.result import Finding, coded_period
from engine.errors import Problem
from engine.money import round_ratio
from engine.periods import period_of

MULTIPLIER = 2_147_483_085
LOW = 2**32 - 1
PERCENTS = range(101)

# Rounds drawn at a time where each is calculated by itself; their outcomes are kept in memory.
AT_ONCE = 500


class Days(NamedTuple):
    """Pay counts where its pay period starts in ``[since, until)``, as ordinals."""

    since: int = 0
    until: int = FOREVER


@dataclass(frozen=True)
class Spread:
    """How an amount of cents came out over the rounds; percentiles 0 to 100, by nearest rank."""

    rounds: int
    sum: int
    percentiles: Tuple[int, ...]

    @property
    def mean(self) -> int:
        """The average, to the cent."""
        return round_ratio(self.sum, self.rounds)


@dataclass(frozen=True)
class Simulation:
    """Earnings before draws, of everyone and of each; ``totals`` are everyone's, round by round."""

    everyone: Spread
    people: Mapping[str, Spread]
    totals: "array[int]"
    problems: Tuple[Problem, ...] = field(default=())


class SimulatedPart(NamedTuple):
    """Some people's part: their sum in each round, and each one's sum and percentiles behind one another."""

    totals: "array[int]"
    spreads: "array[int]"
    findings: List[Finding]


def spread(amounts: Sequence[int]) -> Spread:
    """The spread of what came out in each round."""
    ordered, size = sorted(amounts), len(amounts)
    return Spread(size, sum(ordered), tuple(ordered[max(0, -(-percent * size // 100) - 1)] for percent in PERCENTS))


def combine_simulated(
    book: Book, parts: Iterable[SimulatedPart], rounds: int, people: Optional[Sequence[int]] = None
) -> Simulation:
    """One simulation out of the parts of all people, or of those asked about, in their order."""
    totals, found = [0] * rounds, array(INT64)
    findings: Dict[Tuple[int, str], Finding] = {}
    for part in parts:
        findings.update(((finding.row, finding.path), finding) for finding in part.findings)
        found.extend(part.spreads)
        if not part.findings:
            totals = [total + more for total, more in zip(totals, part.totals)]
    if findings:
        nothing = spread([0] * rounds)
        return Simulation(nothing, {}, array(INT64), problems_of(book, findings.values()))
    width = 1 + len(PERCENTS)
    asked = range(len(book.people)) if people is None else people
    spreads = {
        book.people[person]: Spread(rounds, found[place * width], tuple(found[place * width + 1 : (place + 1) * width]))
        for place, person in enumerate(asked)
    }
    return Simulation(spread(totals), spreads, array(INT64, totals))


class Outcomes:
    """Which of the open deals are won in which round."""

    def __init__(self, chances: Sequence[int], seed: int, rounds: int) -> None:
        self.chances, self.seed, self.rounds = chances, seed, rounds
        self.open = [row for row, chance in enumerate(chances) if chance < PPM]

    def begin(self, row: int) -> Tuple[int, int]:
        """A deal's first state, and the draw from which on it is lost; see this module's text."""
        digest = sha256(f"{self.seed}:{row}".encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 2 | 1, (max(0, self.chances[row]) << 32) // PPM

    def add(self, row: int, credit: int, sums: List[int]) -> None:
        """Add ``credit`` to the sums of the rounds in which the deal is won."""
        if self.chances[row] >= PPM:
            for i in range(self.rounds):
                sums[i] += credit
            return
        state, limit = self.begin(row)
        for i in range(self.rounds):
            low, high = state & LOW, state >> 32
            # -1, which keeps every bit of the credit, where the draw is below the limit; else 0.
            sums[i] += credit & (((low ^ high) - limit) >> 63)
            state = MULTIPLIER * low + high

    def each(self) -> Iterable[bytearray]:
        """Round by round one byte a deal: 1 where it is won.  The same object each time."""
        happened = bytearray(b"\1") * len(self.chances)
        states = [self.begin(row) for row in self.open]
        for first in range(0, self.rounds, AT_ONCE):
            count = min(AT_ONCE, self.rounds - first)
            won = []
            for place, (state, limit) in enumerate(states):
                drawn = bytearray(count)
                for i in range(count):
                    low, high = state & LOW, state >> 32
                    drawn[i] = (low ^ high) < limit
                    state = MULTIPLIER * low + high
                states[place] = state, limit
                won.append(drawn)
            for i in range(count):
                for row, drawn in zip(self.open, won):
                    happened[row] = drawn[i]
                yield happened


def simulate(desk: Desk, people: Sequence[int], outcomes: Outcomes, days: Days) -> SimulatedPart:
    """What these people earn in each round."""
    lines = Lines(brief=True)
    findings = desk.fold(people, lines).findings
    if findings:
        return SimulatedPart(array(INT64), array(INT64), findings)
    amounts: Dict[int, List[int]] = {person: [0] * outcomes.rounds for person in people}
    one_by_one = []
    for person in people:
        every = desk.rules(person)
        if desk.claws_back(person) or not all(_of_credit_alone(desk, rules) for rules in every):
            one_by_one.append(person)
            continue
        for rules in every:
            _add_component(desk, rules, every, outcomes, days, amounts[person])
    if one_by_one:
        _add_rounds(desk, one_by_one, outcomes, days, amounts)
    totals = [0] * outcomes.rounds
    spreads = array(INT64)
    for person in people:
        mine = amounts[person]
        for i in range(outcomes.rounds):
            totals[i] += mine[i]
        found = spread(mine)
        spreads.extend(array(INT64, [found.sum, *found.percentiles]))
    return SimulatedPart(array(INT64, totals), spreads, findings)


def _of_credit_alone(desk: Desk, rules: Rules) -> bool:
    """Whether pay of a period depends on nothing but the credit in it, whatever deals it came from."""
    if rules.on_commission:
        return False
    credited = desk.credited(rules)
    having = [version for version, part in credited.items() if part.rows]
    return len(having) <= 1 and all(
        mode(component) == FUNCTION
        and (component.gate is None or component.gate.component is None)
        and component.per_deal_min is None
        and component.per_deal_max is None
        and (component.cap is None or component.cap.excess == "forfeit")
        and _nothing_for_nothing(component)
        for version, component in rules.versions()
        if version in having
    )


def _nothing_for_nothing(component: Component) -> bool:
    """Whether no credit pays 0, as a period without a deal does."""
    if component.kind == "bonus":
        return component.steps[0].at > 0
    return component.kind != "curve" or component.points[0].pays == 0


def _add_component(
    desk: Desk, rules: Rules, every: Sequence[Rules], outcomes: Outcomes, days: Days, amounts: List[int]
) -> None:
    """Add what a component earns in all rounds: the credit of each first, then its pay at the periods' ends."""
    credited = desk.credited(rules)
    account = desk.account(rules, credited, every, Lines())
    for version, component in rules.versions():
        part, pay_period = credited[version], rules.plans[version].pay_period
        place, count = 0, len(part.rows)
        while place < count:
            period = period_of(component.quota_period, part.days[place])
            sums = [0] * outcomes.rounds
            paid: Optional[List[int]] = None  # at the end of what came before the days that count
            first = place
            counted = False
            while place < count and part.days[place] < period.end:
                start = period_of(pay_period, part.days[place]).start
                if start >= days.until:
                    place += 1
                    continue
                if start >= days.since and not counted:
                    counted = True
                    if place > first:
                        paid = account.paid_at(version, part, part.days[first], sums)
                outcomes.add(part.rows[place], part.credit[place], sums)
                place += 1
            if counted:
                with desk.named(rules):
                    at_end = account.paid_at(version, part, part.days[first], sums)
                for i in range(outcomes.rounds):
                    amounts[i] += at_end[i] - (paid[i] if paid is not None else 0)


def _add_rounds(
    desk: Desk, people: Sequence[int], outcomes: Outcomes, days: Days, amounts: Dict[int, List[int]]
) -> None:
    """The same for those whose pay depends on more than credit: round by round, as any calculation."""
    lines = Lines(brief=True)
    for i, happened in enumerate(outcomes.each()):
        with desk.only(happened):
            desk.fold(people, lines)
        for row in map(lines.row, range(lines.count)):
            if days.since <= coded_period(row.period).start < days.until:
                amounts[row.person][i] += row.cents

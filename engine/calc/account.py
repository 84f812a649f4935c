"""The running total of one person's component: from credits to lines.

An `Account` takes the credits of one person and component in order and keeps, for each quota period, the
credit so far, the exact total of the versions in force, and what is paid of it.  A line is the difference
of two rounded, limited running totals.
"""

from array import array
from copy import copy
from fractions import Fraction
from math import gcd
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from engine.calc.book import INT64
from engine.calc.credits import NO_RATE, Credited
from engine.calc.model import PPM, Component, Plan
from engine.calc.payout import (
    HIGHEST,
    LOWEST,
    WHOLE,
    Payout,
    Quota,
    by_unit,
    compile_payout,
    edge_ratio,
    needs_quota,
    slope,
    small,
    tier_slopes,
)
from engine.calc.result import CARRY, EARNED, LINE_COLUMNS, MORE_COLUMNS, WIDTH, Blocks, Row, Terms, period_code
from engine.errors import given
from engine.money import round_ratio
from engine.periods import Period, period_of

ZERO = Fraction(0)

# How a component version turns credits into its part of the running total.
FUNCTION = "function"  # of the credit so far
DEALS = "deals"  # a sum of what each deal pays by itself
MONEY = "money"  # money shared over the tiers that its credit falls in


class Lines:
    """Lines being written: columns of ints, cut into blocks.

    With ``brief`` nobody will read the lines: where pay is a function of credit, a block is one line.
    """

    def __init__(self, brief: bool = False) -> None:
        self.brief = brief
        self.numbers = array(INT64)  # blocks, `WIDTH` numbers each, with room for more
        self.count = 0  # blocks written
        self.terms: Dict[Terms, int] = {}  # each with its place, in order
        self.columns = {name: array(INT64) for name in LINE_COLUMNS + MORE_COLUMNS}
        self.deal, self.cents = self.columns["deal"], self.columns["cents"]
        self.credit = self.columns["credit"]
        self.running, self.limited, self.money = (self.columns[name] for name in MORE_COLUMNS[:3])
        self.share, self.full, self.full_money = (self.columns[name] for name in MORE_COLUMNS[3:])
        # Lines written, and how many of them in the further columns; all columns may have room for more.
        self.size = self.more = 0

    @property
    def blocks(self) -> Blocks:
        """The blocks as they are sent."""
        return Blocks(list(self.terms), self.numbers[: self.count * WIDTH])

    def row(self, place: int) -> Row:
        """A block that was written."""
        return Row(*self.numbers[place * WIDTH : (place + 1) * WIDTH])

    def add_row(self, row: Tuple[int, ...]) -> None:
        """Write a block: the numbers of a `Row`."""
        numbers, place = self.numbers, self.count * WIDTH
        if place == len(numbers):
            numbers.extend(array(INT64, [0]) * max(64 * WIDTH, place))
        for i in range(WIDTH):
            numbers[place + i] = row[i]
        self.count += 1

    def term(self, terms: Terms) -> int:
        """The place of these terms."""
        return self.terms.setdefault(terms, len(self.terms))

    def room(self, count: int) -> None:
        """Make sure of room for ``count`` more lines; growing by half as much again is cheap on PyPy."""
        short = self.size + count - len(self.deal)
        if short > 0:
            more = array(INT64, [0]) * max(short, len(self.deal) // 2, 1024)
            for column in (self.deal, self.cents, self.credit):
                column.extend(more)

    def clear(self) -> None:
        """Forget what was written and keep the room: fresh memory is dear."""
        self.count = self.size = self.more = 0
        self.terms.clear()

    def written(self) -> "Dict[str, memoryview]":
        """The columns without the room that was not used; they hold until the next line is written."""
        return {
            name: memoryview(column)[: self.size if name in LINE_COLUMNS else self.more]
            for name, column in self.columns.items()
        }

    def append(self, deal: int, cents: int, credit: int) -> None:
        """Write one line."""
        self.room(1)
        place, self.size = self.size, self.size + 1
        self.deal[place], self.cents[place], self.credit[place] = deal, cents, credit

    def explain(self, running: int, limited: int, money: int, share: int, full: int, full_money: int) -> None:
        """Write what the last line needs in the further columns."""
        place, self.more = self.more, self.more + 1
        if place == len(self.running):
            room = array(INT64, [0]) * max(1024, place // 2)
            for name in MORE_COLUMNS:
                self.columns[name].extend(room)
        self.running[place], self.limited[place], self.money[place] = running, limited, money
        self.share[place], self.full[place], self.full_money[place] = share, full, full_money

    def trim(self) -> None:
        """Cut off the room that was not used: the lines are done."""
        for name, column in self.columns.items():
            del column[self.size if name in LINE_COLUMNS else self.more :]

    def add(self, other: "Lines") -> None:
        """Put all of ``other`` behind these."""
        self.trim()
        other.trim()
        first, more = self.size, self.more
        places = [self.term(terms) for terms in other.terms]
        for row in map(other.row, range(other.count)):
            self.add_row(
                row._replace(
                    terms=places[row.terms], first=row.first + first, more=row.more + more if row.more >= 0 else -1
                )
            )
        for name, column in self.columns.items():
            column.extend(other.columns[name])
        self.size += other.size
        self.more += other.more


class Gated(NamedTuple):
    """The attainment that a gate looks at: credit and quota in the same unit."""

    credit: Fraction
    quota: Fraction


def own_money(component: Component) -> bool:
    """Whether tiers pay on other money than what is measured; an amount for each unit does not."""
    return component.pays_on != component.measure and not by_unit(component)


def mode(component: Component) -> str:
    """How a component pays; see FUNCTION, DEALS and MONEY."""
    if component.kind == "quota":
        return MONEY if component.multipliers or own_money(component) else FUNCTION
    if component.kind == "percentage":
        return FUNCTION if not component.multipliers and component.pays_on == component.measure else DEALS
    if component.kind == "bonus" or (component.kind == "curve" and component.per == "period"):
        return FUNCTION
    return DEALS


class Rule:
    """A component version under one quota and gate: what every quota period that has both begins with."""

    def __init__(
        self,
        plan: Plan,
        version: int,
        component: Component,
        quota: Optional[Quota],
        factor: Fraction,
        scale: int,
        money_scale: int,
        gate: Optional[Gated],
    ) -> None:
        self.plan, self.version, self.component, self.quota = plan, version, component, quota
        self.factor = factor  # the part of the period that counts
        self.mode = mode(component)
        self.gate = gate
        self.open = True  # its gate on another component
        self.gate_at = LOWEST  # credit from which its own gate is open
        if component.gate is not None and component.gate.component is not None:
            self.open = gate is not None and gate.credit * PPM >= gate.quota * component.gate.at_least
        elif component.gate is not None and quota is not None:
            at = quota.prorated * Fraction(component.gate.at_least * scale, PPM)
            (self.gate_at,) = small([-(-at.numerator // at.denominator)])
        self.limits = component.per_deal_min is not None or component.per_deal_max is not None
        self.cap = component.cap.amount if component.cap is not None else HIGHEST
        self.half_even = plan.rounding == "half_even"
        self.payout: Optional[Payout] = None
        self.tiers: Optional[Tiers] = None
        self.rate = ZERO
        self.number = -1  # the place of its terms among the lines' own
        currency = plan.currency
        if self.mode == MONEY:
            self.tiers = Tiers(component, quota, scale, money_scale, currency)
            self.denominator = self.tiers.denominator
        elif self.mode == FUNCTION:
            self.payout = compile_payout(component, quota, scale, currency, factor)
            self.denominator = self.payout.denominator
        elif component.kind == "flat":
            self.denominator = PPM
        elif component.kind == "percentage":
            self.rate = slope(given(component.rate), component, quota, currency) / money_scale
            self.denominator = self.rate.denominator
        elif component.kind == "tiered" and own_money(component):
            self.tiers = Tiers(component, quota, 1, 1, currency)
            self.denominator = self.tiers.denominator * PPM
        else:
            self.payout = compile_payout(component, quota, 1, currency, factor)
            self.denominator = self.payout.denominator * PPM
        self.rate_number, self.denominator = small([self.rate.numerator, self.denominator])
        self.terms = Terms(
            plan.name,
            version,
            component.id,
            scale,
            money_scale,
            quota=ratio(quota.prorated) if quota is not None else None,
            quota_whole=ratio(quota.whole) if quota is not None else None,
            quota_factor=ratio(factor),
            quota_from=quota.source if quota is not None else "",
            gate=ratio(gate.credit / gate.quota) if gate is not None else None,
        )


class Stretch:
    """One version's part of a quota period, and its pay so far: number / denominator + rest, exact."""

    def __init__(self, rule: Rule, credit: int) -> None:
        self.rule = rule
        self.credit = credit  # credit at which it began
        self.tiers = rule.tiers.fresh() if rule.tiers is not None else None
        self.number, self.rest = 0, ZERO
        # What its function gives where it began, if another version came first.
        self.before, self.before_rest = 0, ZERO

    def total(self, x: int) -> Fraction:
        """Its part of the running total when credit stands at x: all of it, or nothing below its gate."""
        if not self.rule.open or x < self.rule.gate_at:
            return ZERO
        return Fraction(self.number, self.rule.denominator) + self.rest


class Tiers:
    """Money shared over tiers in proportion to the credit that falls in each."""

    def __init__(
        self, component: Component, quota: Optional[Quota], scale: int, money_scale: int, currency: str
    ) -> None:
        numerator, self.over = edge_ratio(component, quota, scale)
        self.edges = small([tier.start * numerator for tier in component.tiers])
        self.retroactive = [tier.applies == "all" for tier in component.tiers]
        slopes = [rate / money_scale for rate in tier_slopes(component, quota, currency)]
        self.denominator = 1
        for rate in slopes:
            self.denominator = self.denominator * rate.denominator // gcd(self.denominator, rate.denominator)
        self.slopes = small([rate.numerator * (self.denominator // rate.denominator) for rate in slopes])
        self.over, self.denominator = small([self.over, self.denominator])
        self.clear()

    def fresh(self) -> "Tiers":
        """The same tiers, with no money in them."""
        other = copy(self)
        other.clear()
        return other

    def clear(self) -> None:
        """Forget all money."""
        self.whole = [0] * len(self.slopes)
        self.parts = [ZERO] * len(self.slopes)

    def reached(self, x: int) -> int:
        """The tier where x stands; below 0 the first."""
        place = len(self.edges) - 1
        while place and x * self.over < self.edges[place]:
            place -= 1
        return place

    def take(self, before: int, after: int, money: int) -> None:
        """Share out the money of a deal whose credit goes from ``before`` to ``after``."""
        low, high = (before, after) if before <= after else (after, before)
        first, last = self.reached(low), self.reached(high)
        if high * self.over == self.edges[last] and low != high:
            last -= 1  # the credit ends where the tier starts, and has no part in it
        if first >= last:
            self.whole[first] += money
            return
        size = (high - low) * self.over
        for place in range(first, last + 1):
            start = low * self.over if place == first else self.edges[place]
            end = high * self.over if place == last else self.edges[place + 1]
            self.parts[place] += Fraction(money * (end - start), size)

    def paid(self, x: int) -> Tuple[int, Fraction]:
        """What all the money so far pays at x: a number over ``denominator``, and a rest in cents."""
        reached = self.reached(x)
        retroactive = -1
        for place in range(reached, -1, -1):
            if self.retroactive[place]:
                retroactive = place
                break
        number, rest = 0, ZERO
        for place in range(len(self.slopes)):
            rate = self.slopes[max(place, retroactive)]
            number += rate * self.whole[place]
            if self.parts[place]:
                rest += self.parts[place] * rate / self.denominator
        return number, rest


class Account:
    """One person's component over all quota periods.

    ``quota_of`` gives a version's quota in a period (the same object for the same quota), ``gate`` answers
    for a gate's component and a day: its attainment at the end of the quota period that holds the day, or
    None when the person is not assigned in it.
    """

    def __init__(
        self,
        person: int,
        plans: Sequence[Plan],
        components: Sequence[Optional[Component]],
        scale: int,
        quota_of: Callable[[int, Period], Optional[Quota]],
        factor_of: Callable[[Plan, Period], Fraction],
        gate: Callable[[str, int], Optional[Gated]],
        lines: Lines,
    ) -> None:
        self.person, self.plans, self.components, self.scale = person, plans, components, scale
        self.quota_of, self.factor_of, self.gate = quota_of, factor_of, gate
        self.lines = lines
        self.missing_quota: Set[int] = set()  # the versions that need a quota and have none
        self.period: Optional[Period] = None
        self.stretch: Optional[Stretch] = None
        self.rule: Optional[Rule] = None  # of the last stretch; the next one is often the same
        self.earlier: List[Stretch] = []
        modes = [mode(component) for component in components if component is not None]
        self.keeps = len(modes) > 1 and MONEY in modes
        self.history: List[Tuple[int, int, int]] = []  # (x before, x after, money), for later versions
        self.last: Optional[Component] = None  # whose cap decides what is carried out of the period
        self.x = self.running = self.limited = self.paid = self.excess = 0
        self.pending: Optional[Tuple[Tuple[int, ...], Tuple[int, ...], Tuple[int, ...]]] = None  # a block begun
        self.block_version = -1  # of the block begun; -1: none, or carried money
        self.money_scale = 1
        self.block_end = 0  # first day after the pay period of the pending block

    # -- periods ------------------------------------------------------------------------------------

    def _enter(self, day: int, kind: str) -> Period:
        """Be in the quota period that holds ``day``, having paid carried money on the way."""
        if self.period is not None and day < self.period.end:
            return self.period
        target = period_of(kind, day)
        if self.period is not None:
            self._close()
            while self.excess and self.period.end < target.start:
                self._open(self.period.next())
                self._close()
        self._open(target)
        return target

    def _open(self, period: Period) -> None:
        self.period, self.stretch, self.last = period, None, None
        self.earlier, self.history = [], []
        self.x = self.running = self.paid = 0
        self.limited, self.excess = self.excess, 0
        if self.limited:
            version = self._version_on(period.start)
            component = given(self.components[version])
            self.last = component
            self._begin_block(CARRY, version, component, period.start)
            self.paid = self.limited if component.cap is None else min(self.limited, component.cap.amount)
            self._line(-1, self.paid)

    def _version_on(self, day: int) -> int:
        """The version that has the component and is in force on ``day``, or was last before it."""
        having = [version for version, component in enumerate(self.components) if component is not None]
        return max([version for version in having if self.plans[version].effective_from <= day] or having[:1])

    def _close(self) -> None:
        self._end_block()
        carries = self.last is not None and self.last.cap is not None and self.last.cap.excess == "carry"
        self.excess = max(0, self.limited - self.paid) if carries else 0

    def finish(self, horizon: Optional[int]) -> None:
        """Close the last period, and pay carried money up to the period that holds ``horizon``."""
        if self.period is None:
            return
        self._close()
        while self.excess and horizon is not None and self.period.end <= horizon:
            self._open(self.period.next())
            self._close()

    # -- versions -----------------------------------------------------------------------------------

    def _begin(self, version: int, component: Component, period: Period, money_scale: int) -> Optional[Stretch]:
        """The stretch of a version in the period; None where it needs a quota and there is none."""
        if self.stretch is not None and self.stretch.rule.version == version:
            return self.stretch
        plan = self.plans[version]
        quota = self.quota_of(version, period)
        if quota is None and needs_quota(component):
            self.missing_quota.add(version)
            return None
        if self.stretch is not None:
            self.earlier.append(self.stretch)
        gate, factor = None, WHOLE
        if component.gate is not None and component.gate.component is not None:
            gate = self.gate(component.gate.component, period.end - 1)
        if quota is not None:
            factor = quota.factor
        elif component.pays_in == "target_pay":
            factor = self.factor_of(plan, period)
        rule = self.rule
        if (
            rule is None
            or rule.version != version
            or rule.quota is not quota
            or rule.gate != gate
            or (quota is None and rule.factor != factor)
        ):
            rule = self.rule = Rule(plan, version, component, quota, factor, self.scale, money_scale, gate)
        stretch = Stretch(rule, self.x)
        if stretch.tiers is not None and rule.mode == MONEY:
            # This version's tiers hold all money of the period, so that a retroactive one can re-rate it.
            for before, after, money in self.history:
                stretch.tiers.take(before, after, money)
            if self.earlier:
                stretch.before, stretch.before_rest = stretch.tiers.paid(self.x)
        elif rule.mode == FUNCTION and self.earlier:
            stretch.before = given(rule.payout).value(self.x)
        self.stretch, self.last = stretch, component
        return stretch

    # -- credits ------------------------------------------------------------------------------------

    def take(self, version: int, credited: Credited) -> None:
        """Take a version's credits; versions come in their order."""
        component = given(self.components[version])
        rows, days, credit, money = credited.rows, credited.days, credited.credit, credited.money
        share, full, full_money = credited.share, credited.full, credited.full_money
        self.money_scale = credited.money_scale
        place, count = 0, len(rows)
        while place < count:
            day = days[place]
            period = self._enter(day, component.quota_period)
            stretch = self._begin(version, component, period, credited.money_scale)
            if stretch is None:
                return
            if self.block_version != version or day >= self.block_end:
                self._begin_block(EARNED, version, component, day)
            end = first_at(days, self.block_end, place)
            rule = stretch.rule
            plain = rule.mode == FUNCTION and rule.open and not (self.earlier or rule.limits or self.keeps)
            if plain and (self.lines.brief or rule.cap == HIGHEST):
                if self.lines.brief:
                    # The lines of a block are differences of one function: in their sum only its ends stay.
                    self._fold(stretch, rows[end - 1 : end], [sum(credit[place:end])], 0, 1)
                else:
                    self._fold(stretch, rows, credit, place, end)
            else:
                for i in range(place, end):
                    self._take_one(
                        stretch,
                        rows[i],
                        credit[i],
                        money[i],
                        share[i] if share else 0,
                        full[i] if full else 0,
                        full_money[i] if full_money else 0,
                    )
            place = end

    def paid_at(self, version: int, credited: Credited, day: int, credit: Sequence[int]) -> List[int]:
        """What has been paid of the quota period that holds ``day`` where its credit stands at each of these.

        For a version whose pay is a function of credit, alone in its period, and that carries nothing.
        """
        component = given(self.components[version])
        stretch = self._begin(version, component, self._enter(day, component.quota_period), credited.money_scale)
        self.x = self.running = self.limited = self.paid = self.lines.size = 0
        before = [0, *credit]
        steps = [credit[i] - before[i] for i in range(len(credit))]
        self._fold(given(stretch), steps, steps, 0, len(steps))
        cents = self.lines.cents
        paid, total = [], 0
        for i in range(len(steps)):
            total += cents[i]
            paid.append(total)
        return paid

    def _fold(self, stretch: Stretch, rows: Sequence[int], credit: Sequence[int], place: int, end: int) -> None:
        """The usual case as a plain loop over ints: one version, pay a function of credit, no per_deal.

        It does what `_take_one` does, and only that.
        """
        rule = stretch.rule
        payout = given(rule.payout)
        starts, bases, slopes, over = payout.starts, payout.bases, payout.slopes, payout.denominator
        over2, last = 2 * over, len(bases) - 1
        half_even, gate_at, cap = rule.half_even, rule.gate_at, rule.cap
        x, running, paid = self.x, self.running, self.paid
        carried = self.limited - running
        segment = payout.segment(x)
        low, high, base, rise = starts[segment], starts[segment + 1], bases[segment], slopes[segment]
        lines = self.lines
        lines.room(end - place)
        deal_out, cents_out, credit_out = lines.deal, lines.cents, lines.credit
        to = lines.size - place
        for i in range(place, end):
            x += credit[i]
            if x >= high or x < low:
                while segment < last and x >= starts[segment + 1]:
                    segment += 1
                while segment and x < starts[segment]:
                    segment -= 1
                low, high, base, rise = starts[segment], starts[segment + 1], bases[segment], slopes[segment]
            number = base + rise * x
            if x < gate_at:
                running = 0
            elif half_even:
                running = round_ratio(number, over, "half_even")
            elif number >= 0:
                running = (2 * number + over) // over2
            else:
                running = -((over - 2 * number) // over2)
            capped = running + carried
            if capped > cap:
                capped = cap
            deal_out[to + i] = rows[i]
            cents_out[to + i] = capped - paid
            credit_out[to + i] = x
            paid = capped
        lines.size += end - place
        self.x, self.running, self.paid, self.limited = x, running, paid, running + carried
        stretch.number = payout.value(x)

    def _take_one(
        self, stretch: Stretch, row: int, credit: int, money: int, share: int, full: int, full_money: int
    ) -> None:
        """One credit, whatever its component: its own part, the versions' parts, rounding, limits."""
        before, self.x = self.x, self.x + credit
        x, rule = self.x, stretch.rule
        if self.keeps:
            self.history.append((before, x, money))
        if rule.mode == FUNCTION:
            stretch.number = given(rule.payout).value(x) - stretch.before
        elif rule.mode == MONEY:
            tiers = given(stretch.tiers)
            tiers.take(before, x, money)
            number, rest = tiers.paid(x)
            stretch.number, stretch.rest = number - stretch.before, rest - stretch.before_rest
        else:
            self._pay_deal(stretch, money, share, full, full_money)

        if self.earlier or stretch.rest:
            total = sum((part.total(x) for part in self.earlier), stretch.total(x))
            running = round_ratio(total.numerator, total.denominator, rule.plan.rounding)
        elif rule.open and x >= rule.gate_at:
            running = round_ratio(stretch.number, rule.denominator, rule.plan.rounding)
        else:
            running = 0
        line, self.running = running - self.running, running
        if rule.limits and line > 0:
            component = rule.component
            if component.per_deal_min is not None and line < component.per_deal_min:
                line = component.per_deal_min
            if component.per_deal_max is not None and line > component.per_deal_max:
                line = component.per_deal_max
        self.limited += line
        capped = min(self.limited, rule.cap)
        cents, self.paid = capped - self.paid, capped
        self._line(row, cents, money, share, full, full_money)

    def _pay_deal(self, stretch: Stretch, money: int, share: int, full: int, full_money: int) -> None:
        """Add what one deal pays by itself: flat, percentage, deal-size tiers, a curve for each deal."""
        rule, component = stretch.rule, stretch.rule.component
        if component.kind == "flat":
            amount = component.amount or 0
            stretch.number += (-amount if NO_RATE < full < 0 else amount) * share
        elif component.kind == "percentage":
            stretch.number += rule.rate_number * money
        elif stretch.tiers is not None:
            # The deal's money over the tiers that its measure reaches, then the person's share of it.
            tiers = stretch.tiers
            tiers.clear()
            tiers.take(0, abs(full), full_money)
            number, rest = tiers.paid(abs(full))
            stretch.number += number * share
            stretch.rest += rest * share / PPM
        else:
            number = given(rule.payout).value(abs(full))
            stretch.number += (-number if full < 0 else number) * share

    # -- lines --------------------------------------------------------------------------------------

    def _begin_block(self, kind: int, version: int, component: Component, day: int) -> None:
        self._end_block()
        period = given(self.period)
        pay = period_of(self.plans[version].pay_period, day)
        self.block_end = min(pay.end, period.end)
        stretch = self.stretch if kind == EARNED else None
        if stretch is None:
            terms = Terms(self.plans[version].name, version, component.id, self.scale, self.money_scale)
            number, self.block_version = self.lines.term(terms), -1
        else:
            rule, self.block_version = stretch.rule, version
            if rule.number < 0:
                rule.number = self.lines.term(rule.terms)
            number = rule.number
        self.pending = (
            (kind, self.person, number, period_code(pay), period_code(period)),
            (self.lines.size, self.lines.more),
            (self.x, self.running, self.limited, self.paid, stretch.credit if stretch is not None else 0),
        )

    def _end_block(self) -> None:
        if self.pending is not None:
            lines = self.lines
            (kind, person, terms, pay, period), (first, more), (credit, running, limited, paid, began) = self.pending
            size, cents = lines.size - first, self.paid - paid
            more = more if lines.more > more else -1
            lines.add_row(
                (kind, person, terms, pay, period, first, size, cents, more, credit, running, limited, paid, began)
            )
            self.pending, self.block_version = None, -1

    def _line(self, row: int, cents: int, money: int = 0, share: int = 0, full: int = 0, full_money: int = 0) -> None:
        lines = self.lines
        lines.append(row, cents, self.x)
        lines.explain(self.running, self.limited, money, share, full, full_money)


def first_at(days: Sequence[int], day: int, place: int) -> int:
    """The first place from ``place`` on whose day is ``day`` or later; on PyPy faster than its `bisect_left`."""
    end = len(days)
    while place < end:
        middle = (place + end) >> 1
        if days[middle] < day:
            place = middle + 1
        else:
            end = middle
    return place


def ratio(value: Fraction) -> Tuple[int, int]:
    """A fraction as two whole numbers, fit for JSON."""
    return value.numerator, value.denominator

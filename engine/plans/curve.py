"""What one component pays for how much is sold: its payout curve, walked through the real rules.

The curve is of one person who sells everything in one period (or, for kinds that look at one deal, in one
deal), with nothing else in the way: every deal matches, a gate on another component is open, no multiplier.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

from engine.calc.book import book_from_rows
from engine.calc.calculate import calculate
from engine.calc.model import MICRO, PPM, Assignment, Component, Deal, FieldValue, Number, Payable, Plan
from engine.calc.payout import Quota, edge_ratio, is_money, needs_quota, unit
from engine.calc.result import Line
from engine.errors import ProblemsError

NOMINAL = 100_000  # units of money, the quota where the plan has none
NOMINAL_UNITS = 100
NOMINAL_DEALS = 20
PRICE = 100  # what one sold unit brings, where pay is on the money of what is counted
MOST_DEALS = 2_000  # in one curve that counts deals

Point = tuple[int, int]


@dataclass(frozen=True)
class Walk:
    """A component alone, and how it is walked: ``quota`` in cents or millionths, 0 where it has none."""

    plan: Plan
    component: Component
    quota: int
    by_deal: bool  # x is the size of one deal, else what is sold in a quota period
    counts: bool  # x is a number of deals

    @property
    def step(self) -> int:
        """The least that can be sold: a cent, a millionth, one deal."""
        return MICRO if self.counts else 1

    @cached_property
    def breaks(self) -> tuple[int, ...]:
        """Where tiers, points and steps begin, as x; in their order."""
        component = self.component
        starts = [tier.start for tier in component.tiers]
        starts += [point.at for point in component.points] + [step.at for step in component.steps]
        return tuple(self.at(start) for start in starts)

    def at(self, edge: int) -> int:
        """The least x that an edge of the plan lets in."""
        numerator, denominator = edge_ratio(self.component, self._quota(), 1)
        return self.whole(-(-edge * numerator // denominator))

    def of_quota(self, ppm: int) -> int:
        """The least x that is this part of the quota."""
        return self.whole(-(-ppm * self.quota // PPM))

    def whole(self, x: int) -> int:
        """x, or the next number of deals."""
        return -(-x // self.step) * self.step

    def _quota(self) -> Quota | None:
        return Quota(Fraction(self.quota), Fraction(self.quota), Fraction(1), "component") if self.quota else None

    @property
    def top(self) -> int:
        """As far as it is worth looking: three times the quota, and well past the last edge."""
        last = max(self.breaks, default=0)
        nothing_said = NOMINAL_DEALS * MICRO if self.counts else NOMINAL * unit(self.component.measure, self.currency)
        return self.whole(max(3 * self.quota, last * 2)) or nothing_said

    @property
    def currency(self) -> str:
        """What the plan pays in."""
        return self.plan.currency

    def pays(self, xs: Iterable[int], **changes: object) -> list[int]:
        """Cents for each x; with ``changes`` those of the component changed so.  Raises `ProblemsError`."""
        plan = replace(self.plan, components=(replace(self.component, **changes),))  # type: ignore[arg-type]
        return _count(plan, list(xs)) if self.counts else _sell(plan, list(xs))

    def first(self, low: int, high: int, enough: int, **changes: object) -> int:
        """The least x in ``(low, high]`` that pays at least ``enough``, where pay rises and ``high`` does."""
        while high - low > self.step:
            width = max(self.step, self.whole((high - low) // 50))
            xs = [*range(low + width, high, width), high]
            place = next(place for place, pay in enumerate(self.pays(xs, **changes)) if pay >= enough)
            low, high = (xs[place - 1] if place else low), xs[place]
        return high


def walk(plan: Plan, component: Component) -> Walk:
    """The component by itself, ready to be walked."""
    if component.kind == "flat":  # the same for each deal, whatever else is measured
        component = replace(component, measure="count", pays_on="count", quota=None, gate=None)
    counts = component.measure == "count"
    by_deal = component.kind in ("tiered", "percentage") or (component.kind == "curve" and component.per == "deal")
    quota = component.quota or 0
    if not quota and needs_quota(component):
        money = is_money(component.measure)
        quota = NOMINAL * unit("amount", plan.currency) if money else NOMINAL_UNITS * MICRO
    alone = replace(
        component,
        when=(),
        window_from=None,
        window_until=None,
        credit_from="own",
        multipliers=(),
        measure="amount" if component.measure == "commission" else component.measure,
        pays_on="amount" if component.pays_on == "commission" else component.pays_on,
        quota=quota or None,
        gate=component.gate if component.gate and component.gate.component is None else None,
        # A limit on one deal says nothing about what is sold in many.
        per_deal_min=component.per_deal_min if by_deal or counts else None,
        per_deal_max=component.per_deal_max if by_deal or counts else None,
    )
    return Walk(plan, alone, quota, by_deal and not counts, counts)


def curve(steps: Walk, points: int = 60) -> list[Point]:
    """(x, cents) from nothing to `Walk.top`, evenly, with each edge from just below it."""
    grid = {steps.whole(steps.top * place // points) for place in range(points + 1)}
    for edge in (*steps.breaks, *_gate(steps)):
        grid |= {max(0, edge - steps.step), edge}
    xs = sorted(grid)
    return list(zip(xs, steps.pays(xs), strict=True))


def _gate(steps: Walk) -> list[int]:
    gate = steps.component.gate
    return [steps.of_quota(gate.at_least)] if gate else []


def _sell(plan: Plan, xs: Sequence[int]) -> list[int]:
    """Each x is sold by somebody in one deal."""
    component = plan.components[0]
    people = [f"{place:05}" for place in range(len(xs))]
    deals = [_deal(person, person, plan, component, x) for person, x in zip(people, xs, strict=True)]
    lines = _lines(plan, people, deals)
    return [lines.get(person, 0) for person in people]


def _count(plan: Plan, xs: Sequence[int]) -> list[int]:
    """One person closes deal after deal: what is paid after each number of them."""
    most = min(max(xs, default=0) // MICRO, MOST_DEALS)
    deals = [_deal(f"{place:05}", "you", plan, plan.components[0], MICRO) for place in range(most)]
    lines = _lines(plan, ["you"], deals)
    paid = [0]
    for deal in deals:
        paid.append(paid[-1] + lines.get(deal.id, 0))
    return [paid[min(x // MICRO, most)] for x in xs]


def _deal(name: str, person: str, plan: Plan, component: Component, x: int) -> Deal:
    """A deal that brings x of what is measured; what is counted in units sells for `PRICE` each."""
    money, fields = x, dict[str, FieldValue]()
    if not is_money(component.measure):
        money = x * PRICE * unit("amount", plan.currency) // MICRO
        if component.measure != "count":
            fields = {component.measure: Number(x)}
    return Deal(name, plan.effective_from, ((person, PPM),), amount=money, margin=money, owner=person, fields=fields)


def _lines(plan: Plan, people: Sequence[str], deals: Sequence[Deal]) -> dict[str, int]:
    """Cents by deal."""
    assigned = [Assignment(person, plan.name, prorate="none") for person in people]
    return {line.deal: line.cents for line in calculate_alone(plan, plan.components, assigned, deals) if line.deal}


def calculate_alone(
    plan: Plan, components: Sequence[Component], people: Sequence[Assignment], deals: Sequence[Deal]
) -> Iterator[Line]:
    """The lines of these deals under ``plan`` with other components; raises `ProblemsError`."""
    only = replace(plan, components=tuple(components), draw=None, clawback=None, payable=Payable())
    result = calculate(book_from_rows({plan.name: (only,)}, people, deals))
    if result.problems:
        raise ProblemsError(result.problems)
    return result.lines()

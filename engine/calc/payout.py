"""Pay as a function of credit: E(x), compiled from a component and a quota to flat tables of ints.

Every kind that accumulates is piecewise linear in the credit x: tiers by slice, retroactive tiers, payout
curves and milestones alike.  In the segment from ``starts[i]`` (inclusive) to ``starts[i + 1]``

    E(x) = (bases[i] + slopes[i] * x) / denominator    cents, exact

with x in whole parts of a cent (or of a millionth of a unit), ``scale`` of them to one.
"""

from array import array
from fractions import Fraction
from math import gcd
from typing import List, NamedTuple, Optional, Sequence, Tuple

from engine.calc.book import INT64
from engine.calc.model import MICRO, MONEY_MEASURES, PPM, Component, Rate
from engine.errors import given
from engine.money import currency_digits

LOWEST = -(2**63)
HIGHEST = 2**63 - 1

WHOLE = Fraction(1)

Ratio = Tuple[int, int]


class Quota(NamedTuple):
    """A person's quota for one period of a component, in cents or millionths of a unit.

    ``prorated`` is what attainment and edges use, ``whole`` the figure before proration, ``factor`` the
    ratio between them; ``source`` says where the figure came from.
    """

    prorated: Fraction
    whole: Fraction
    factor: Fraction
    source: str  # row | person_component | person | component


class Payout(NamedTuple):
    """The tables of E; ``starts`` has one entry more than the others, the end of the last segment."""

    starts: List[int]
    bases: List[int]
    slopes: List[int]
    denominator: int

    def segment(self, x: int) -> int:
        """The segment that holds x; a start belongs to its own segment."""
        place = len(self.bases) - 1
        while place and x < self.starts[place]:
            place -= 1
        return place

    def value(self, x: int) -> int:
        """The numerator of E(x) over ``denominator``."""
        place = self.segment(x)
        return self.bases[place] + self.slopes[place] * x


def is_money(measure: str) -> bool:
    """Whether a measure is counted in cents; the others are in millionths."""
    return measure in MONEY_MEASURES


def unit(measure: str, currency: str) -> int:
    """How many parts one unit of a measure has: cents of a currency unit, or millionths."""
    return 10 ** currency_digits(currency) if is_money(measure) else MICRO


def by_unit(component: Component) -> bool:
    """Whether its tiers pay an amount for each unit credited, whatever money there is."""
    return bool(component.tiers) and all(tier.rate is None for tier in component.tiers)


def needs_quota(component: Component) -> bool:
    """Whether pay cannot be computed without a quota."""
    rates = [tier.rate for tier in component.tiers] + [component.rate]
    derived = component.base_rate is not None and component.base_rate.target_pay is not None
    return (
        component.edges == "quota"
        or (component.gate is not None and component.gate.component is None)
        or (derived and any(rate is not None and rate.of_base for rate in rates))
    )


def rate_ratio(rate: Rate, component: Component, quota: Optional[Quota], currency: str) -> Fraction:
    """A rate as pay in currency units for one unit: a plain ratio where both are money."""
    ratio = Fraction(rate.ppm, PPM)
    base = component.base_rate
    if not rate.of_base or base is None:
        return ratio
    if base.target_pay is None:
        return ratio * Fraction(base.ppm or 0, PPM)
    target = Fraction(base.target_pay * base.weight, PPM * unit("amount", currency))
    return ratio * target / (given(quota).whole / unit(component.measure, currency))


def slope(rate: Rate, component: Component, quota: Optional[Quota], currency: str) -> Fraction:
    """Cents that ``rate`` pays for one cent, or one millionth of a unit, of what it applies to."""
    ratio = rate_ratio(rate, component, quota, currency)
    return ratio * Fraction(unit("amount", currency), unit(component.pays_on, currency))


def tier_slopes(component: Component, quota: Optional[Quota], currency: str) -> List[Fraction]:
    """For each tier, cents for one cent or millionth of a unit."""
    slopes = []
    for tier in component.tiers:
        if tier.rate is not None:
            slopes.append(slope(tier.rate, component, quota, currency))
        else:
            slopes.append(Fraction(tier.amount or 0, MICRO))
    return slopes


def edge_ratio(component: Component, quota: Optional[Quota], scale: int) -> Ratio:
    """What turns an edge as written into parts of credit."""
    if component.edges != "quota":
        return scale, 1
    factor = given(quota).prorated * Fraction(scale, PPM)
    return factor.numerator, factor.denominator


def compile_payout(
    component: Component, quota: Optional[Quota], scale: int, currency: str, factor: Fraction = WHOLE
) -> Payout:
    """E(x) of a quota, tiered, curve, bonus or percentage component, without its gate and limits.

    ``factor`` is the part of the period that counts, by which a curve scales target pay.
    """
    if component.kind == "percentage":
        per_part = slope(given(component.rate), component, quota, currency)
        return _pack([(LOWEST, 0, per_part.numerator, per_part.denominator)], scale)
    numerator, denominator = edge_ratio(component, quota, scale)
    if component.kind == "curve":
        return _curve(component, factor, numerator, denominator)
    if component.kind == "bonus":
        return _steps(component, numerator, denominator)
    return _tiers(component, tier_slopes(component, quota, currency), numerator, denominator, scale)


def _ceil(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)


def _tiers(component: Component, slopes: Sequence[Fraction], numerator: int, denominator: int, scale: int) -> Payout:
    """A tier by slice goes on from where the one before it ended; a retroactive one pays for all from 0."""
    common = 1
    for rate in slopes:
        common = common * rate.denominator // gcd(common, rate.denominator)
    segments = []
    base = before = 0
    for place, tier in enumerate(component.tiers):
        per_part = slopes[place].numerator * (common // slopes[place].denominator)
        edge = tier.start * numerator
        base = 0 if tier.applies == "all" else base + (before - per_part) * edge
        before = per_part
        start = LOWEST if place == 0 else _ceil(edge, denominator)
        segments.append((start, base, per_part * denominator, common * denominator))
    return _pack(segments, scale)


def _curve(component: Component, factor: Fraction, numerator: int, denominator: int) -> Payout:
    """Straight lines between the points; level before 0, and level or further up after the last."""
    if component.pays_in == "money":
        pay = Fraction(1)
    else:
        base = given(component.base_rate)
        pay = Fraction(given(base.target_pay) * base.weight, PPM * PPM) * factor
    points = [(point.at * numerator, point.pays * pay.numerator) for point in component.points]
    over = pay.denominator
    first = points[0][1]
    segments = [(LOWEST, first, 0, over)]
    for (at, pays), (later, more) in zip(points, points[1:]):
        run, rise = later - at, more - pays
        segments.append((_ceil(at, denominator), pays * run - rise * at, rise * denominator, over * run))
    if component.beyond == "flat" or len(points) == 1:
        at, pays = points[-1]
        segments.append((_ceil(at, denominator), pays, 0, over))
    return _pack(segments, 1)


def _steps(component: Component, numerator: int, denominator: int) -> Payout:
    segments = [(LOWEST, 0, 0, 1)]
    reached = 0
    for step in component.steps:
        reached = step.pays if component.award == "highest" else reached + step.pays
        segments.append((_ceil(step.at * numerator, denominator), reached, 0, 1))
    return _pack(segments, 1)


def _pack(segments: Sequence[Tuple[int, int, int, int]], scale: int) -> Payout:
    """Bring (start, base, slope, denominator) of each segment over one small denominator.

    Slopes and bases count whole cents or millionths; ``scale`` brings them to parts.
    """
    common = 1
    for _, _, _, denominator in segments:
        common = common * denominator // gcd(common, denominator)
    bases = [base * (common // denominator) for _, base, _, denominator in segments]
    slopes = [rise * (common // denominator) for _, _, rise, denominator in segments]
    common *= scale
    shrink = common
    for number in bases + slopes:
        shrink = gcd(shrink, number)
    (denominator,) = small([common // shrink])
    return Payout(
        small([start for start, _, _, _ in segments] + [HIGHEST]),
        small([number // shrink for number in bases]),
        small([number // shrink for number in slopes]),
        denominator,
    )


def small(numbers: List[int]) -> List[int]:
    """The same numbers.  On PyPy what big numbers came down to stays slow until it has been a C long."""
    try:
        return list(array(INT64, numbers))
    except OverflowError:
        return numbers

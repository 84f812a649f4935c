"""Why a line is what it is: its working, rebuilt from the line and its plan version alone.

The working is data: steps in words, of which some are parts of the line, in exact cents.  The parts add up
to the line.

>>> explain(line, plan).texts  # doctest: +SKIP
('Plan ae, version of 2026-01-01, component nb, in 2026-Q1.',
 'Credit 60,000.00 before this deal, 70,000.00 from it, 130,000.00 after it.',
 'Quota 100,000.00: attainment 60% before, 130% after.',
 '40,000.00 up to 100% of quota x 8% = 3,200.00',
 '30,000.00 above 100% of quota x 12% = 3,600.00',
 'Line: 6,800.00')
"""

from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any, Dict, List, Optional, Sequence, Tuple

from engine.calc.account import DEALS, FUNCTION, MONEY, mode, own_money
from engine.calc.credits import NO_RATE
from engine.calc.model import MICRO, PPM, Plan, Rate, Tier
from engine.calc.payout import Quota, compile_payout, edge_ratio, is_money, rate_ratio, slope, tier_slopes
from engine.calc.result import Line
from engine.calc.settle import clawback_share
from engine.errors import given
from engine.money import format_money, format_rate, round_ratio

DECIMALS = 6  # of a cent, in the text of a part that is finer


@dataclass(frozen=True)
class Step:
    """One row of the working; ``cents`` is its part of the line, None where it only tells."""

    text: str
    cents: Optional[Fraction] = None


@dataclass(frozen=True)
class Explanation:
    """The working of a line; the parts among its steps add up to ``cents``."""

    cents: int
    currency: str
    steps: Tuple[Step, ...]

    @property
    def texts(self) -> Tuple[str, ...]:
        """The working as one would write it on paper."""
        return tuple(step.text for step in self.steps)

    @property
    def parts(self) -> Tuple[Step, ...]:
        """The steps that add up to the line."""
        return tuple(step for step in self.steps if step.cents is not None)


def explain(line: Line, plan: Plan) -> Explanation:
    """The working of ``line`` under ``plan``, the version it was calculated by (`Result.plan`)."""
    working = _Working(line, plan)
    if line.kind == "clawback":
        working.clawback()
    elif line.kind == "carry":
        working.carry()
    else:
        working.earned()
    return Explanation(line.cents, plan.currency, tuple(working.steps))


class _Working:
    def __init__(self, line: Line, plan: Plan) -> None:
        self.line, self.plan, self.facts = line, plan, line.facts
        self.component = next(part for part in plan.components if part.id == line.component)
        self.steps: List[Step] = []
        self.quota = _quota(line.facts)
        self.factor = Fraction(*line.facts.get("quota_factor", (1, 1)))
        self.scale: int = line.facts.get("scale", 1)
        label = f" ({self.component.label})" if self.component.label not in ("", self.component.id) else ""
        self.tell(
            f"Plan {plan.name}, version of {_date(plan.effective_from)}, component {self.component.id}{label}, "
            f"in {line.facts['quota_period']}."
        )

    # -- writing ------------------------------------------------------------------------------------

    def tell(self, text: str) -> None:
        self.steps.append(Step(text))

    def part(self, text: str, cents: Fraction) -> None:
        self.steps.append(Step(f"{text} = {self.money(cents)}", cents))

    def money(self, cents: Fraction) -> str:
        """Cents as text; finer parts with their decimals, cut where they do not end."""
        if cents.denominator == 1:
            return format_money(int(cents), self.plan.currency, thousands=True)
        sign = "-" if cents < 0 else ""
        whole, rest = divmod(abs(cents), 1)
        decimals = rest * 10**DECIMALS
        digits = f"{int(decimals):0{DECIMALS}d}".rstrip("0") + ("..." if decimals.denominator != 1 else "")
        text = format_money(int(whole), self.plan.currency, thousands=True)
        return sign + text + ("" if "." in text else ".") + digits

    def measured(self, value: Fraction, measure: str) -> str:
        """An amount of a measure, given in cents or millionths."""
        return self.money(value) if is_money(measure) else _number(value / MICRO)

    def edge(self, at: int) -> str:
        """A tier's start, a point or a step as the plan writes it."""
        if self.component.edges == "quota":
            return f"{format_rate(at)} of quota"
        return self.measured(Fraction(at), self.component.measure)

    def rate(self, rate: Rate) -> str:
        """A rate as the plan writes it, and what a multiple comes to."""
        if not rate.of_base:
            return format_rate(rate.ppm)
        ratio = rate_ratio(rate, self.component, self.quota, self.plan.currency)
        return f"{_number(Fraction(rate.ppm, PPM))}x ({_number(ratio * 100)}%)"

    def pays(self, tier: Tier) -> str:
        return self.rate(tier.rate) if tier.rate is not None else f"{self.money(Fraction(tier.amount or 0))} a unit"

    # -- kinds of lines -----------------------------------------------------------------------------

    def clawback(self) -> None:
        facts = self.facts
        earned, closed = facts["earned"], facts["closed"]
        share = given(clawback_share(self.plan, closed, self.line.day, facts.get("term", -1)))
        self.tell(f"The deal closed on {_date(closed)} and was cancelled on {_date(self.line.day)}.")
        if self.plan.clawback is not None and self.plan.clawback.share is None:
            self.tell(f"Of its term {_number(Fraction(share[0] * 100, share[1]))}% was left.")
        back = -Fraction(earned * share[0], share[1])
        percent = _number(Fraction(share[0] * 100, share[1]))
        self.part(f"Taken back: {percent}% of the line of {self.money(Fraction(earned))}", back)
        self._rounding(back)
        self._close()

    def carry(self) -> None:
        carried, cap = self.facts["limited"][1], self.component.cap
        self.tell(f"{self.money(Fraction(carried))} was earned over the cap in earlier periods.")
        text = "Paid now" if cap is None else f"Paid now, up to the cap of {self.money(Fraction(cap.amount))}"
        self.part(text, Fraction(self.line.cents))
        if carried > self.line.cents:
            self.tell(f"{self.money(Fraction(carried - self.line.cents))} stays over.")
        self._close()

    def earned(self) -> None:
        self._circumstances()
        running = self.facts["running"]
        exact = self._unlimited()
        if exact is not None:
            self._rounding(exact, running[1] - running[0])
        self._limits()
        self._close()

    def _circumstances(self) -> None:
        """Exchange rate, credit, quota and gate."""
        facts, component = self.facts, self.component
        if "exchange" in facts:
            currency, value, scale, day = facts["exchange"]
            rate = _number(Fraction(value, scale))
            self.tell(f"Converted at 1 {currency} = {rate} {self.plan.currency}, the rate of {_date(day)}.")
        before, after = self._credit()
        change = self.measured(after - before, component.measure)
        if (
            mode(component) == DEALS and self.quota is None
        ):  # each deal pays by itself: what came before does not matter
            self.tell(f"Credit ({component.measure}) {change}.")
        else:
            self.tell(
                f"Credit ({component.measure}) {self.measured(before, component.measure)} before this deal, {change} "
                f"from it, {self.measured(after, component.measure)} after it."
            )
        if component.multipliers and "money" in facts and component.pays_on == component.measure:
            money = self._money()
            if money != after - before:
                self.tell(f"Multipliers count {self.measured(money, component.measure)} as {change}.")
        if self.quota is not None:
            whole = self.measured(self.quota.whole, component.measure)
            if self.quota.factor != 1:
                prorated = self.measured(self.quota.prorated, component.measure)
                whole += f" x {self.quota.factor.numerator}/{self.quota.factor.denominator} = {prorated}"
            self.tell(
                f"Quota {whole} ({_SOURCES[self.quota.source]}): attainment {self._percent(before)} before, "
                f"{self._percent(after)} after."
            )
        if component.gate is not None and component.gate.component is not None:
            reached = "it is not assigned"
            if "gate" in facts:
                reached = f"it ends at {_number(Fraction(facts['gate'][0] * 100, facts['gate'][1]))}%"
            self.tell(f"Gate: {component.gate.component} at {format_rate(component.gate.at_least)}; {reached}.")

    def _percent(self, credit: Fraction) -> str:
        share = credit * 10_000 / given(self.quota).prorated
        return _number(Fraction(round_ratio(share.numerator, share.denominator), 100)) + "%"

    def _credit(self) -> Tuple[Fraction, Fraction]:
        before, after = self.facts["credit"]
        return Fraction(before, self.scale), Fraction(after, self.scale)

    def _open(self, credit: Fraction) -> bool:
        """Whether the component's gate is open when credit stands there."""
        gate = self.component.gate
        if gate is None:
            return True
        if gate.component is not None:
            reached = self.facts.get("gate")
            return reached is not None and reached[0] * PPM >= reached[1] * gate.at_least
        return self.quota is None or credit * PPM >= self.quota.prorated * gate.at_least

    def _unlimited(self) -> Optional[Fraction]:
        """Write the parts before rounding and limits; their sum, or None where nothing is left to round."""
        component, (before, after) = self.component, self._credit()
        running = self.facts["running"]
        was_open, is_open = self._open(before), self._open(after)
        if not is_open:
            gate = component.gate
            at = "" if gate is None or gate.component is not None else f" of {format_rate(gate.at_least)} of quota"
            yet = " yet" if at else ""
            self.tell(f"The gate{at} is not reached: nothing is paid{yet}.")
            if running[0] != running[1]:
                self.part("What was paid before is taken back", Fraction(running[1] - running[0]))
            return None
        exact = self._own_part(before, after)
        if not was_open:
            held = Fraction(running[1] - running[0]) - exact
            if mode(component) == FUNCTION:
                held = self._function(before)
            if held:
                self.part("The gate is reached now: what earlier deals earned", held)
                exact += held
        return exact

    # -- parts by kind ------------------------------------------------------------------------------

    def _own_part(self, before: Fraction, after: Fraction) -> Fraction:
        """Write what this deal adds to its version's part of the running total, exact."""
        component = self.component
        how = mode(component)
        if how == FUNCTION and component.kind == "percentage":
            written = given(component.rate)
            rate = slope(written, component, self.quota, self.plan.currency)
            return self._slice(after - before, component.measure, self.rate(written), rate, "")
        if how == FUNCTION and component.kind == "quota":
            return self._slices(before, after, None)
        if how == FUNCTION:
            return self._level(before, after)
        if how == MONEY:
            return self._slices(before, after, self._money())
        return self._deal()

    def _money(self) -> Fraction:
        return Fraction(self.facts.get("money", 0), self.facts.get("money_scale", 1))

    def _slice(self, size: Fraction, measure: str, rate: str, slope: Fraction, where: str) -> Fraction:
        self.part(f"{self.measured(size, measure)}{where} x {rate}", size * slope)
        return size * slope

    def _slices(self, before: Fraction, after: Fraction, money: Optional[Fraction]) -> Fraction:
        """Tier by tier, at the rates that hold afterwards; then what earlier credit is re-rated by."""
        component = self.component
        slopes = tier_slopes(component, self.quota, self.plan.currency)
        edges = self._edges()
        retroactive = _retroactive(component.tiers, edges, after)
        total = Fraction(0)
        pieces = _pieces(edges, before, after)
        for place, size in pieces:
            used = max(place, retroactive)
            part, measure = size, component.measure
            if money is not None:
                part = money * abs(size) / abs(after - before) if size else money
                measure = component.pays_on if own_money(component) else component.measure
            where = f" {self._where(place)}"
            if used != place:
                where += f" (all at the rate of {self._where(used)})"
            total += self._slice(part, measure, self.pays(component.tiers[used]), slopes[used], where)
        old = _retroactive(component.tiers, edges, before)
        if old != retroactive and money is None:
            for place, size in _pieces(edges, Fraction(0), before):
                then, now = max(place, old), max(place, retroactive)
                if then != now and size:
                    change = size * (slopes[now] - slopes[then])
                    text = f"Earlier {self.measured(size, component.measure)} {self._where(place)}, re-rated from "
                    self.part(f"{text}{self.pays(component.tiers[then])} to {self.pays(component.tiers[now])}", change)
                    total += change
        elif old != retroactive:
            running = self.facts["running"]
            change = Fraction(running[1] - running[0]) - total
            self.part(f"Earlier money, re-rated at {self.pays(component.tiers[max(retroactive, 0)])}", change)
            total += change
        return total

    def _edges(self) -> List[Fraction]:
        numerator, denominator = edge_ratio(self.component, self.quota, 1)
        return [Fraction(tier.start * numerator, denominator) for tier in self.component.tiers]

    def _where(self, place: int) -> str:
        tiers = self.component.tiers
        if len(tiers) == 1:
            return "in the only tier"
        if place == 0:
            return f"up to {self.edge(tiers[1].start)}"
        return f"above {self.edge(tiers[place].start)}"

    def _function(self, credit: Fraction) -> Fraction:
        scaled = credit * self.scale
        payout = compile_payout(self.component, self.quota, self.scale, self.plan.currency, self.factor)
        return Fraction(payout.value(int(scaled)), payout.denominator)

    def _level(self, before: Fraction, after: Fraction) -> Fraction:
        """A curve or milestones: what it pays where credit stands now, less what it paid before."""
        now, then = self._function(after), self._function(before)
        name = "The curve pays" if self.component.kind == "curve" else "Milestones reached pay"
        self.part(f"{name} at {self.measured(after, self.component.measure)}", now)
        # With the first credit nothing has been paid yet, even where 0 itself pays something.
        if then and not (before == 0 and self.facts["running"][0] == 0):
            self.part(f"less what it paid at {self.measured(before, self.component.measure)}", -then)
            return now - then
        return now

    def _deal(self) -> Fraction:
        """What a deal pays by itself."""
        component, facts, currency = self.component, self.facts, self.plan.currency
        share = Fraction(facts["share"], PPM)
        by_share = "" if share == 1 else f" x share {format_rate(facts['share'])}"
        if component.kind == "percentage":
            written = given(component.rate)
            rate = slope(written, component, self.quota, currency)
            return self._slice(self._money(), component.pays_on, self.rate(written), rate, f" {component.pays_on}")
        if component.kind == "flat":
            sign = -1 if NO_RATE < facts["full"] < 0 else 1
            amount = sign * Fraction(component.amount or 0)
            self.part(f"{self.money(amount)} for the deal{by_share}", amount * share)
            return amount * share
        full, sign = Fraction(facts["full"]), -1 if facts["full"] < 0 else 1
        if component.kind == "curve":
            payout = compile_payout(component, self.quota, 1, currency, self.factor)
            pays = sign * Fraction(payout.value(abs(facts["full"])), payout.denominator)
            text = f"The curve pays {self.money(pays)} for a deal of {self.measured(full, component.measure)}"
            self.part(f"{text}{by_share}", pays * share)
            return pays * share
        slopes, edges = tier_slopes(component, self.quota, currency), self._edges()
        retroactive = _retroactive(component.tiers, edges, abs(full))
        sizes: Dict[int, Fraction] = {}  # by the tier whose rate is used
        for place, size in _pieces(edges, Fraction(0), abs(full)):
            used = max(place, retroactive)
            sizes[used] = sizes.get(used, Fraction(0)) + size
        total = Fraction(0)
        for used, size in sizes.items():
            piece, measure = sign * size, component.measure
            if own_money(component):
                whole = Fraction(facts["full_money"])
                piece, measure = whole * size / abs(full) if full else whole, component.pays_on
            where = self._where(used)
            if used == retroactive and used > 0:
                where = f"(deals from {self.edge(component.tiers[used].start)})"
            shown = self.pays(component.tiers[used]) + by_share
            total += self._slice(piece, measure, shown, slopes[used] * share, f" {where}")
        return total

    # -- rounding and limits ------------------------------------------------------------------------

    def _rounding(self, exact: Fraction, line: Optional[int] = None) -> None:
        rest = (self.line.cents if line is None else line) - exact
        if rest and abs(rest) <= 1:
            self.part("Rounding of the running total" if line is not None else "Rounding", rest)
        elif rest:
            self.part("Change in what earlier deals of the period earned", rest)

    def _limits(self) -> None:
        component = self.component
        running, limited, paid = (self.facts[name] for name in ("running", "limited", "paid"))
        line = running[1] - running[0]
        after = limited[1] - limited[0]
        if after != line:
            low, high = component.per_deal_min, component.per_deal_max
            bound = f"At least {self.money(Fraction(low or 0))}" if after > line else ""
            bound = bound or f"At most {self.money(Fraction(high or 0))}"
            self.part(f"{bound} on one deal", Fraction(after - line))
        cut = paid[1] - paid[0] - after
        if cut and component.cap is not None:
            fate = "forfeited" if component.cap.excess == "forfeit" else "carried to later periods"
            text = f"Cap of {self.money(Fraction(component.cap.amount))} a {component.quota_period}"
            self.part(f"{text}: {fate}" if cut < 0 else f"{text}: room again", Fraction(cut))
        elif cut:
            self.part("The cap of the version before no longer holds", Fraction(cut))

    def _close(self) -> None:
        self.tell(f"Line: {self.money(Fraction(self.line.cents))}")


_SOURCES = {
    "row": "set for this period",
    "person_component": "the person's, for this component",
    "person": "the person's",
    "component": "the component's",
}


def _quota(facts: Any) -> Optional[Quota]:
    if "quota" not in facts:
        return None
    fractions = [Fraction(*facts[name]) for name in ("quota", "quota_whole", "quota_factor")]
    return Quota(fractions[0], fractions[1], fractions[2], facts["quota_from"])


def _retroactive(tiers: Sequence[Tier], edges: Sequence[Fraction], credit: Fraction) -> int:
    """The highest tier reached that pays for all credit; -1: none."""
    reached = [place for place in range(len(tiers)) if place == 0 or credit >= edges[place]]
    return max([place for place in reached if tiers[place].applies == "all"], default=-1)


def _pieces(edges: Sequence[Fraction], before: Fraction, after: Fraction) -> List[Tuple[int, Fraction]]:
    """The tiers between two credits and the signed length in each; one piece of 0 where they are equal."""
    low, high = min(before, after), max(before, after)
    sign = 1 if before <= after else -1
    pieces = []
    for place, edge in enumerate(edges):
        start = max(low, edge) if place else low
        end = min(high, edges[place + 1]) if place + 1 < len(edges) else high
        if start < end:
            pieces.append((place, sign * (end - start)))
    if not pieces:
        stands = max([place for place, edge in enumerate(edges) if place == 0 or after >= edge])
        pieces.append((stands, Fraction(0)))
    return pieces


def _number(value: Fraction) -> str:
    """A plain decimal, cut after six places where it does not end."""
    sign = "-" if value < 0 else ""
    whole, rest = divmod(abs(value), 1)
    decimals = rest * 10**DECIMALS
    digits = f"{int(decimals):0{DECIMALS}d}".rstrip("0") + ("..." if decimals.denominator != 1 else "")
    return f"{sign}{whole:,}" + (f".{digits}" if digits else "")


def _date(day: int) -> str:
    return date.fromordinal(day).isoformat()

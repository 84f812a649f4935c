"""A second opinion on the pay rules: the plan language as one would work it out on paper.

Written from the language page and not from `engine.calc`, which it only shares the input records with.  Every
amount is an exact `Fraction` until the one rounding; for each deal the running total is worked out anew from all
credits of the quota period.  Slow, and meant to be read beside the page.

Units in here: money in cents; other measures in units of one; ratios as they are (1 = 100%).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from fractions import Fraction
from functools import cache
from itertools import groupby, pairwise

from engine.calc.model import (
    Assignment,
    Component,
    Condition,
    Day,
    Deal,
    Draw,
    ExchangeRate,
    FieldValue,
    Number,
    Plan,
    QuotaRow,
    Rate,
    Tier,
)
from engine.errors import QuotaPathError
from engine.money import currency_digits, parse_number

MILLION = 1_000_000
MONEY = ("amount", "margin", "commission")


class RefusedError(Exception):
    """The input has a problem; the text is its path."""


# --- arithmetic ------------------------------------------------------------------------------------


def added(values: Iterable[Fraction]) -> Fraction:
    """The sum, a fraction even of nothing."""
    return sum(values, Fraction(0))


def rounded(value: Fraction, rounding: str = "half_up") -> int:
    """Halves away from zero, or to the even neighbour."""
    size = abs(value)
    whole = size.numerator // size.denominator
    rest = size - whole
    up = rest > Fraction(1, 2) or (rest == Fraction(1, 2) and (rounding == "half_up" or whole % 2 == 1))
    return (whole + up) * (-1 if value < 0 else 1)


def shared_out(total: int, shares: Sequence[Fraction]) -> list[int]:
    """Largest remainder; ties to the earlier share; a negative total as its absolute value, sign turned."""
    exact = [abs(total) * share for share in shares]
    parts = [each.numerator // each.denominator for each in exact]
    left = rounded(added(exact)) - sum(parts)
    by_remainder = sorted(range(len(shares)), key=lambda place: (parts[place] - exact[place], place))
    for place in by_remainder[:left]:
        parts[place] += 1
    return [-part for part in parts] if total < 0 else parts


# --- the calendar ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Span:
    """A period: its name and days, ``[first, end)``."""

    name: str
    first: date
    end: date


@cache
def span_of(kind: str, day: date) -> Span:
    """The week, month, quarter or year that holds ``day``."""
    if kind == "week":
        year, week, weekday = day.isocalendar()
        first = day - timedelta(days=weekday - 1)
        return Span(f"{year}-W{week:02d}", first, first + timedelta(days=7))
    if kind == "year":
        return Span(f"{day.year}", date(day.year, 1, 1), date(day.year + 1, 1, 1))
    length = {"month": 1, "quarter": 3}[kind]
    number = (day.month - 1) // length
    first = date(day.year, number * length + 1, 1)
    name = f"{day.year}-{day.month:02d}" if kind == "month" else f"{day.year}-Q{number + 1}"
    return Span(name, first, months_later(first, length))


def months_later(day: date, months: int) -> date:
    """The same day of a later month, clipped to that month's last."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    last = (date(year + (month == 11), (month + 1) % 12 + 1, 1) - timedelta(days=1)).day
    return date(year, month + 1, min(day.day, last))


def completed_months(start: date, end: date) -> int:
    """31 January to 28 February is one."""
    months = 0
    while months_later(start, months + 1) <= end:
        months += 1
    return months


# --- what comes out --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    person: str
    plan: str
    component: str
    deal: str
    period: str
    kind: str  # earned | carry | clawback
    cents: int


@dataclass
class Outcome:
    """Lines; attainment by (person, plan, component, quota period); the rest by (person, pay period)."""

    lines: list[Line] = field(default_factory=list)
    attainment: dict[tuple[str, str, str, str], Fraction] = field(default_factory=dict)
    earned: dict[tuple[str, str], int] = field(default_factory=dict)
    paid: dict[tuple[str, str], int] = field(default_factory=dict)
    draw_balance: dict[tuple[str, str], int] = field(default_factory=dict)
    payments: dict[tuple[str, str], int] = field(default_factory=dict)
    # The running total at the end of a quota period, before rounding and limits; keys as of attainment.
    totals: dict[tuple[str, str, str, str], Fraction] = field(default_factory=dict)


# --- what is kept on the way -----------------------------------------------------------------------


@dataclass(frozen=True)
class Credit:
    """What one deal brings to one person in one component, as its version sees it."""

    version: Plan
    deal: Deal
    credit: Fraction  # towards quota, multipliers included
    base: Fraction  # what rates apply to: the person's part of `pays_on`, without multipliers
    share: Fraction
    whole: Fraction  # the deal's full measure
    whole_base: Fraction  # the deal's full `pays_on`


@dataclass
class Account:
    """One person, plan and component, in one quota period."""

    person: str
    plan: str
    component: str
    period: Span
    rule: Component  # of the version that calculated last
    credits: list[Credit] = field(default_factory=list)
    running: int = 0  # rounded running total
    limited: int = 0  # after per_deal, with what was carried in
    paid: int = 0  # after the cap


class Model:
    """One calculation.  `outcome` does it."""

    def __init__(
        self,
        plans: Mapping[str, Sequence[Plan]],
        assignments: Sequence[Assignment],
        deals: Sequence[Deal],
        quotas: Sequence[QuotaRow] = (),
        rates: Sequence[ExchangeRate] = (),
        as_of: int | None = None,
    ) -> None:
        self.plans = {name: sorted(versions, key=lambda plan: plan.effective_from) for name, versions in plans.items()}
        self.assignments, self.quotas, self.rates, self.as_of = assignments, quotas, rates, as_of
        self.place = {deal.id: place for place, deal in enumerate(deals)}
        self.deals = sorted(
            (deal for deal in deals if as_of is None or deal.close_date <= as_of),
            key=lambda deal: (deal.close_date, deal.id),
        )
        days = [deal.close_date for deal in deals] + [deal.cancelled for deal in deals if deal.cancelled is not None]
        self.horizon = as_of if as_of is not None else max(days, default=None)
        self.people = sorted({row.person for row in assignments})
        self.parts_of_periods: dict[tuple[str, str, str, Span], Fraction] = {}
        self.accounts: dict[tuple[str, str, str], Account] = {}
        self.out = Outcome()
        # The earned lines on the deal being calculated: (person, component, whether it measures commission, cents).
        self.on_this_deal: list[tuple[str, str, bool, int]] = []

    def outcome(self) -> Outcome:
        """Deal by deal, in the order in which credit accumulates; managers after those below them."""
        for deal in self.deals:
            self.on_this_deal = []
            for person in self.from_the_bottom(deal.close_date):
                self.calculate(person, deal)
        for account in self.accounts.values():
            if self.horizon is not None:
                rule = account.rule
                self.move_on(account, span_of(rule.quota_period, date.fromordinal(self.horizon)))
        self.draws()
        return self.out

    # --- people and plans --------------------------------------------------------------------------

    def row_on(self, person: str, day: int) -> Assignment | None:
        """The assignment in force."""
        for row in self.assignments:
            if row.person == person and (row.start or 0) <= day and (row.end is None or day < row.end):
                return row
        return None

    def below(self, manager: str, day: int, everyone: bool) -> set[str]:
        """Direct reports, or everyone below, on that day."""
        found = set()
        for person in self.people:
            row = self.row_on(person, day)
            if row is not None and row.manager == manager:
                found.add(person)
                if everyone:
                    found |= self.below(person, day, True)
        return found

    def from_the_bottom(self, day: int) -> list[str]:
        """Everybody, those below before those above."""
        return sorted(self.people, key=lambda person: len(self.below(person, day, True)))

    def version_on(self, plan: str, day: int) -> Plan | None:
        """The version in force: the last one that has begun."""
        begun = [version for version in self.plans[plan] if version.effective_from <= day]
        return begun[-1] if begun else None

    # --- a deal's numbers --------------------------------------------------------------------------

    def whole(self, deal: Deal, name: str, version: Plan) -> Fraction:
        """The deal's full measure: money in the plan's cents."""
        if name == "count":
            negative = deal.amount is not None and self.whole(deal, "amount", version) < 0
            return Fraction(-1 if negative else 1)
        if name in ("amount", "margin"):
            cents = deal.amount if name == "amount" else deal.margin
            if cents is None:
                raise RefusedError(f"deal[{self.place[deal.id]}].{name}")
            return Fraction(self.converted(deal, cents, version))
        value = deal.fields.get(name)
        if not isinstance(value, Number):
            raise RefusedError(f"deal[{self.place[deal.id]}].{name}")
        return Fraction(value.micro, MILLION)

    def has(self, deal: Deal, name: str) -> bool:
        """Whether the deal has this number."""
        known = {"count": 1, "amount": deal.amount, "margin": deal.margin}
        return (known[name] if name in known else deal.fields.get(name)) is not None

    def converted(self, deal: Deal, cents: int, version: Plan) -> int:
        """At the latest rate on or before the close date."""
        if deal.currency is None or deal.currency == version.currency:
            return cents
        known = [
            rate
            for rate in self.rates
            if rate.currency == deal.currency and rate.to == version.currency and rate.day <= deal.close_date
        ]
        if not known:
            raise RefusedError(f"deal[{self.place[deal.id]}].currency")
        rate = max(known, key=lambda rate: rate.day)
        units = Fraction(cents, 10 ** currency_digits(deal.currency)) * Fraction(rate.value, rate.scale)
        return rounded(units * 10 ** currency_digits(version.currency), version.rounding)

    def part(self, deal: Deal, name: str, version: Plan, people: set[str]) -> Fraction:
        """What of the measure belongs to these people: money by largest remainder, the rest exactly."""
        whole = self.whole(deal, name, version)
        listed = sorted(deal.credits)
        shares = [Fraction(share, MILLION) for _, share in listed]
        if name in MONEY:
            parts = [Fraction(cents) for cents in shared_out(int(whole), shares)]
        else:
            parts = [whole * share for share in shares]
        return added(part for (person, _), part in zip(listed, parts, strict=True) if person in people)

    def field(self, deal: Deal, name: str, version: Plan) -> FieldValue | None:
        """A field as filters see it; money in units."""
        if name in ("amount", "margin"):
            cents = deal.amount if name == "amount" else deal.margin
            if cents is None:
                return None
            return Number(self.converted(deal, cents, version) * MILLION // 10 ** currency_digits(version.currency))
        if name in ("close_date", "cancelled"):
            day = deal.close_date if name == "close_date" else deal.cancelled
            return None if day is None else Day(day)
        if name in ("id", "owner", "currency"):
            return {"id": deal.id, "owner": deal.owner, "currency": deal.currency}[name]
        return deal.fields.get(name)

    def matches(self, deal: Deal, when: Iterable[Condition], version: Plan) -> bool:
        """Whether all keys of a filter hold."""
        return all(
            holds(operator, self.field(deal, condition.field, version), operands)
            for condition in when
            for operator, operands in condition.tests
        )

    # --- quota -------------------------------------------------------------------------------------

    def quota_before_proration(
        self, person: str, rule: Component, version: Plan, period: Span
    ) -> tuple[Fraction | None, bool]:
        """By precedence; and whether a row for this very period says so."""
        figures = {(row.component, row.period): row.amount for row in self.quotas if row.person == person}
        a_unit = 10 ** currency_digits(version.currency) if rule.measure in MONEY else 1
        for key in ((rule.id, period.name), (rule.id, None), (None, None)):
            if key in figures:
                return Fraction(figures[key], MILLION) * a_unit, key[1] is not None
        if rule.quota is None:
            return None, False
        return Fraction(rule.quota, 1 if rule.measure in MONEY else MILLION), False

    def part_of_period(self, person: str, plan: str, rule: Component, period: Span) -> Fraction:
        """How much of the period the person is on the plan, by their way to prorate; counted once, day by day."""
        key = person, plan, rule.quota_period, period
        if key not in self.parts_of_periods:
            self.parts_of_periods[key] = self.counted(person, plan, rule.quota_period, period)
        return self.parts_of_periods[key]

    def counted(self, person: str, plan: str, length: str, period: Span) -> Fraction:
        rows = [row for row in self.assignments if row.person == person and row.plan == plan]
        days = [
            day
            for day in (period.first + timedelta(days=i) for i in range((period.end - period.first).days))
            if any((row.start or 0) <= day.toordinal() and (not row.end or day.toordinal() < row.end) for row in rows)
        ]
        prorate = rows[0].prorate
        if prorate == "none":
            return Fraction(1)
        if prorate == "months" and length != "week":
            months = {"month": 1, "quarter": 3, "year": 12}[length]
            return Fraction(len({day.month for day in days}), months)
        return Fraction(len(days), (period.end - period.first).days)

    def scale(self, person: str, rule: Component, version: Plan, period: Span) -> Fraction:
        """What the quota, and a curve's percentages, are scaled by."""
        _, by_row = self.quota_before_proration(person, rule, version, period)
        return Fraction(1) if by_row else self.part_of_period(person, version.name, rule, period)

    def quota(self, person: str, rule: Component, version: Plan, period: Span) -> Fraction | None:
        """The quota that counts."""
        quota, _ = self.quota_before_proration(person, rule, version, period)
        return None if quota is None else quota * self.scale(person, rule, version, period)

    def needed_quota(self, person: str, rule: Component, version: Plan, period: Span) -> Fraction:
        quota = self.quota(person, rule, version, period)
        if quota is None:
            place = [each.id for each in version.components].index(rule.id)
            raise RefusedError(f"component[{place}].quota")
        return quota

    # --- credit ------------------------------------------------------------------------------------

    def credit(self, person: str, rule: Component, version: Plan, deal: Deal) -> Credit | None:
        """What the deal brings to this person here; None where it brings nothing."""
        day = deal.close_date
        if rule.window_from is not None and day < rule.window_from:
            return None
        if rule.window_until is not None and day >= rule.window_until:
            return None
        people = {person} if rule.credit_from == "own" else self.below(person, day, rule.credit_from == "team")
        if rule.measure == "commission":
            lines = [
                cents
                for who, _, of_commission, cents in self.on_this_deal
                if who in people and not (rule.credit_from == "own" and of_commission)
            ]
            if not lines or not self.matches(deal, rule.when, version):
                return None
            share, whole = Fraction(1), Fraction(sum(lines))
            value = base = whole_base = whole
        else:
            shares = {
                who: share
                for who, share in deal.credits
                if share and who in people and self.row_on(who, day) is not None
            }
            if not shares or not self.matches(deal, rule.when, version):
                return None
            self.converted(deal, 0, version)  # a deal without an exchange rate is a problem, measured or not
            share = Fraction(sum(shares.values()), MILLION)
            # A fixed amount needs no number of the deal, unless it is gated by it: a missing one counts 0.
            optional = rule.kind == "flat" and (rule.gate is None or rule.gate.component is not None)
            numbers = []
            for name in (rule.measure, paid_on(rule)):
                missing = optional and not self.has(deal, name)
                numbers.append(Fraction(0) if missing else self.whole(deal, name, version))
                numbers.append(Fraction(0) if missing else self.part(deal, name, version, set(shares)))
            whole, value, whole_base, base = numbers
        for multiplier in rule.multipliers:
            if self.matches(deal, multiplier.when, version):
                value *= Fraction(multiplier.factor, MILLION)
        return Credit(version, deal, value, base, share, whole, whole_base)

    # --- pay ---------------------------------------------------------------------------------------

    def rate(self, rate: Rate, person: str, rule: Component, version: Plan, period: Span) -> Fraction:
        """A rate, a multiple of the base rate resolved."""
        ratio = Fraction(rate.ppm, MILLION)
        if not rate.of_base:
            return ratio
        base = rule.base_rate
        assert base is not None
        if base.ppm is not None:
            return ratio * Fraction(base.ppm, MILLION)
        assert base.target_pay is not None
        self.needed_quota(person, rule, version, period)
        quota, _ = self.quota_before_proration(person, rule, version, period)
        assert quota is not None
        derived = base.target_pay * Fraction(base.weight, MILLION) / quota
        # On money this is cents a cent; on units cents a unit, which as a part of 1.00 is:
        return ratio * (derived if rule.measure in MONEY else derived / 10 ** currency_digits(version.currency))

    def pay_of_one(self, tier: Tier, person: str, rule: Component, version: Plan, period: Span) -> Fraction:
        """Cents that a tier pays for each cent (or unit) of what rates apply to."""
        if tier.amount is not None:
            return Fraction(tier.amount)
        assert tier.rate is not None
        rate = self.rate(tier.rate, person, rule, version, period)
        return rate if paid_on(rule) in MONEY else rate * 10 ** currency_digits(version.currency)

    def edge(self, at: int, person: str, rule: Component, version: Plan, period: Span) -> Fraction:
        """An edge in the measure's own unit."""
        if rule.edges == "quota":
            return Fraction(at, MILLION) * self.needed_quota(person, rule, version, period)
        return Fraction(at) if rule.edges == "money" else Fraction(at, MILLION)

    def earned(self, account: Account, version: Plan, history: Sequence[Credit]) -> Fraction:
        """E: what these credits of the period earn by this version's rule, before any limit."""
        rule = component_of(version, account.component)
        if rule is None or not history:
            return Fraction(0)
        person, period = account.person, account.period
        x = added(each.credit for each in history)
        if rule.kind == "quota":
            tiers = self.tiers(person, rule, version, period)
            if paid_on(rule) == rule.measure and not rule.multipliers:
                return over_tiers(tiers, [(x, x)])  # a function of x alone
            return over_tiers(tiers, [(each.credit, each.base) for each in history])
        if rule.kind == "curve" and rule.per == "period":
            return on_curve(self.points(person, rule, version, period), x, rule.beyond == "extend")
        if rule.kind == "bonus":
            reached = [
                Fraction(step.pays) for step in rule.steps if self.edge(step.at, person, rule, version, period) <= x
            ]
            return added(reached if rule.award == "each" else reached[-1:])
        return added(self.pay_of_deal(each, person, rule, period) for each in history if each.version is version)

    def pay_of_deal(self, credit: Credit, person: str, rule: Component, period: Span) -> Fraction:
        """For the kinds in which each deal is paid for itself."""
        version = credit.version
        if rule.kind == "flat":
            assert rule.amount is not None
            return (
                self.sign(credit.deal, version) * rule.amount * (credit.share if rule.scale_by_share else Fraction(1))
            )
        if rule.kind == "percentage":
            assert rule.rate is not None
            rate = self.rate(rule.rate, person, rule, version, period)
            return rate * credit.base * (1 if paid_on(rule) in MONEY else 10 ** currency_digits(version.currency))
        size, sign = abs(credit.whole), -1 if credit.whole < 0 else 1
        if rule.kind == "curve":
            points = self.points(person, rule, version, period)
            return sign * on_curve(points, size, rule.beyond == "extend") * credit.share
        assert rule.kind == "tiered"
        tiers = self.tiers(person, rule, version, period)
        if paid_on(rule) != rule.measure:  # this money keeps its own sign
            return over_tiers(tiers, [(size, credit.whole_base)]) * credit.share
        return sign * over_tiers(tiers, [(size, size)]) * credit.share

    def tiers(self, person: str, rule: Component, version: Plan, period: Span) -> list[tuple[Fraction, Fraction, bool]]:
        """(from, pay for one, whether it applies to everything) of each tier."""
        return [
            (
                self.edge(tier.start, person, rule, version, period),
                self.pay_of_one(tier, person, rule, version, period),
                tier.applies == "all",
            )
            for tier in rule.tiers
        ]

    def points(self, person: str, rule: Component, version: Plan, period: Span) -> list[tuple[Fraction, Fraction]]:
        """(at, cents) of each point of a curve."""
        return [
            (
                self.edge(point.at, person, rule, version, period),
                self.curve_pay(point.pays, person, rule, version, period),
            )
            for point in rule.points
        ]

    def sign(self, deal: Deal, version: Plan) -> int:
        """-1 for a deal whose amount is below 0."""
        return int(self.whole(deal, "count", version))

    def curve_pay(self, pays: int, person: str, rule: Component, version: Plan, period: Span) -> Fraction:
        """Money, or a part of target pay x weight, scaled like the quota."""
        if rule.pays_in == "money":
            return Fraction(pays)
        assert rule.base_rate is not None
        assert rule.base_rate.target_pay is not None
        target = rule.base_rate.target_pay * Fraction(rule.base_rate.weight, MILLION)
        return Fraction(pays, MILLION) * target * self.scale(person, rule, version, period)

    def gate_reached(self, account: Account, version: Plan) -> bool:
        """Whether the gate of this version's rule is reached, as the credits now stand."""
        rule = component_of(version, account.component)
        if rule is None or rule.gate is None:
            return True
        at_least = Fraction(rule.gate.at_least, MILLION)
        if rule.gate.component is None:
            x = added(each.credit for each in account.credits)
            return x / self.needed_quota(account.person, rule, version, account.period) >= at_least
        other = component_of(version, rule.gate.component)
        assert other is not None
        last_day = account.period.end - timedelta(days=1)
        period = span_of(other.quota_period, last_day)
        attained = self.final_attainment(account.person, version, other, period)
        return attained is not None and attained >= at_least

    def final_attainment(self, person: str, version: Plan, rule: Component, period: Span) -> Fraction | None:
        """Of a component of sales, from all its credits in the period; None: not assigned in it."""
        if not self.on_plan_in(person, version.name, period):
            return None
        x, quota = Fraction(0), None  # the quota is only asked for where there is a credit
        for deal in self.deals:
            row = self.row_on(person, deal.close_date)
            if row is None or row.plan != version.name:
                continue
            if not period.first.toordinal() <= deal.close_date < period.end.toordinal():
                continue
            its_version = self.version_on(version.name, deal.close_date)
            assert its_version is not None
            its_rule = component_of(its_version, rule.id)
            if its_rule is None:
                continue
            credit = self.credit(person, its_rule, its_version, deal)
            if credit is not None:
                x += credit.credit
                quota = self.needed_quota(person, its_rule, its_version, period)
        return x / quota if quota is not None else x

    def on_plan_in(self, person: str, plan: str, period: Span) -> bool:
        """Whether the person is on the plan on some day of the period."""
        return any(
            (row.start or 0) < period.end.toordinal() and (row.end is None or period.first.toordinal() < row.end)
            for row in self.assignments
            if row.person == person and row.plan == plan
        )

    def running_total(self, account: Account) -> Fraction:
        """Sum, over the versions in order, of E_v at its end less E_v at its start, while its gate is reached."""
        total = Fraction(0)
        done: list[Credit] = []
        for _, group in groupby(account.credits, key=lambda each: each.version.effective_from):
            of_version = list(group)
            version = of_version[0].version
            part = self.earned(account, version, done + of_version) - self.earned(account, version, done)
            total += part if self.gate_reached(account, version) else 0
            done += of_version
        return total

    # --- one deal for one person -------------------------------------------------------------------

    def calculate(self, person: str, deal: Deal) -> None:
        """Add the lines of one person on one deal, commission of others' lines last."""
        row = self.row_on(person, deal.close_date)
        if row is None or row.plan is None:
            return
        version = self.version_on(row.plan, deal.close_date)
        if version is None:
            # "An error, never zero pay", also for what the first version would credit to a manager.
            first = self.plans[row.plan][0]
            rules = [
                replace(rule, measure="count", pays_on="count")
                for rule in first.components
                if rule.credit_from != "own"
            ]
            own = any(who == person and share for who, share in deal.credits)
            if own or any(self.credit(person, rule, first, deal) is not None for rule in rules):
                raise RefusedError(f"deal[{self.place[deal.id]}].close_date")
            return
        if any(who == person and share for who, share in deal.credits):
            self.converted(deal, 0, version)  # a deal without an exchange rate is a problem, measured or not
        for rule in sorted(version.components, key=lambda rule: rule.measure == "commission"):
            credit = self.credit(person, rule, version, deal)
            if credit is not None:
                self.add(person, rule, credit)

    def add(self, person: str, rule: Component, credit: Credit) -> None:
        """The line of one credit: gate, rounding, per_deal, cap."""
        version, deal = credit.version, credit.deal
        day = date.fromordinal(deal.close_date)
        period = span_of(rule.quota_period, day)
        key = person, version.name, rule.id
        if key not in self.accounts:
            self.accounts[key] = Account(person, version.name, rule.id, period, rule)
        account = self.accounts[key]
        self.move_on(account, period)
        account.rule = rule
        account.credits.append(credit)

        before = account.paid
        total = self.running_total(account)
        self.out.totals[person, version.name, rule.id, period.name] = total
        running = rounded(total, version.rounding)
        line = running - account.running
        account.running = running
        if line > 0 and rule.per_deal_min is not None:
            line = max(line, rule.per_deal_min)
        if line > 0 and rule.per_deal_max is not None:
            line = min(line, rule.per_deal_max)
        account.limited += line
        account.paid = account.limited if rule.cap is None else min(account.limited, rule.cap.amount)
        cents = account.paid - before

        self.on_this_deal.append((person, rule.id, rule.measure == "commission", cents))
        pay_period = span_of(version.pay_period, day).name
        self.out.lines.append(Line(person, version.name, rule.id, deal.id, pay_period, "earned", cents))
        self.payable(person, version, deal, cents)
        self.claw_back(person, rule, version, deal, cents)

        quota = self.quota(person, rule, version, period)
        attained = person, version.name, rule.id, period.name
        self.out.attainment.pop(attained, None)
        if quota is not None:
            self.out.attainment[attained] = added(each.credit for each in account.credits) / quota

    def move_on(self, account: Account, period: Span) -> None:
        """Into a later quota period, with what is carried over paid at the start of each one between."""
        while account.period.end <= period.first:
            cap = account.rule.cap
            carried = account.limited - account.paid if cap is not None and cap.excess == "carry" else 0
            account.period = span_of(account.rule.quota_period, account.period.end)
            account.credits, account.running, account.limited, account.paid = [], 0, carried, 0
            if carried:
                first = account.period.first
                # By the version in force, or where that lacks the component by the last one that had it.
                begun = [version for version in self.plans[account.plan] if version.effective_from <= first.toordinal()]
                version = [each for each in begun if component_of(each, account.component) is not None][-1]
                account.rule = component_of(version, account.component) or account.rule
                account.paid = min(carried, account.rule.cap.amount) if account.rule.cap else carried
                pay_period = span_of(version.pay_period, first).name
                self.out.lines.append(
                    Line(account.person, account.plan, account.component, "", pay_period, "carry", account.paid)
                )
                self.schedule(account.person, version, first, account.paid)

    # --- after the lines ---------------------------------------------------------------------------

    def claw_back(self, person: str, rule: Component, version: Plan, deal: Deal, cents: int) -> None:
        """The line of a cancelled deal, in the period of the cancellation."""
        clawback = version.clawback
        if clawback is None or deal.cancelled is None or cents <= 0:
            return
        if self.as_of is not None and deal.cancelled > self.as_of:
            return
        if clawback.within_days is not None and deal.cancelled - deal.close_date > clawback.within_days:
            return
        day = date.fromordinal(deal.cancelled)
        if clawback.share is not None:
            share = Fraction(clawback.share, MILLION)
        else:
            term = deal.fields.get("term_months")
            share = Fraction(1)
            if isinstance(term, Number):
                months = Fraction(term.micro, MILLION)
                left = months - completed_months(date.fromordinal(deal.close_date), day)
                share = max(Fraction(0), left / months)
        taken = -rounded(cents * share, version.rounding)
        if not taken:
            return
        period = span_of(version.pay_period, day).name
        self.out.lines.append(Line(person, version.name, rule.id, deal.id, period, "clawback", taken))
        add(self.out.payments, (person, period), taken)

    def payable(self, person: str, version: Plan, deal: Deal, cents: int) -> None:
        """When a line may be paid."""
        close = date.fromordinal(deal.close_date)
        if version.payable.on == "close" or deal.amount is None or deal.amount <= 0:
            self.schedule(person, version, close, cents)
            return
        so_far = already = 0
        for invoice in sorted(deal.invoices, key=lambda invoice: invoice.paid):
            if self.as_of is not None and invoice.paid > self.as_of:
                continue
            so_far += invoice.amount
            due = rounded(cents * min(Fraction(1), Fraction(so_far, deal.amount)), version.rounding)
            self.schedule(person, version, date.fromordinal(invoice.paid), due - already)
            already = due

    def schedule(self, person: str, version: Plan, day: date, cents: int) -> None:
        """Split over the schedule of the version."""
        parts = shared_out(cents, [Fraction(share, MILLION) for _, share in version.payable.schedule])
        for (months, _), part in zip(version.payable.schedule, parts, strict=True):
            add(self.out.payments, (person, span_of(version.pay_period, months_later(day, months)).name), part)

    def draws(self) -> None:
        """Earnings, what is paid of them, and the balance of the draw: one account for a person's pay periods."""
        for person in self.people:
            names = {row.plan for row in self.assignments if row.person == person and row.plan is not None}
            for length in sorted({self.plans[name][0].pay_period for name in names}):
                plans = [name for name in sorted(names) if self.plans[name][0].pay_period == length]
                earnings: dict[str, int] = {}
                for line in self.out.lines:
                    if line.person == person and line.plan in plans:
                        earnings[line.period] = earnings.get(line.period, 0) + line.cents
                paid = dict(earnings)
                for period, cents, balance in self.draw(person, plans, length, earnings):
                    paid[period] = cents
                    add(self.out.draw_balance, (person, period), balance)
                for period, cents in earnings.items():
                    add(self.out.earned, (person, period), cents)
                for period, cents in paid.items():
                    add(self.out.paid, (person, period), cents)

    def draw(
        self, person: str, plans: Sequence[str], length: str, earnings: Mapping[str, int]
    ) -> Iterable[tuple[str, int, int]]:
        """(pay period, paid, balance) of each pay period.

        Where the page is silent: after a change of plan the draw is that of the plan the person is last on in the pay
        period, and the balance runs on.  Whoever is away for a whole pay period gets no draw in it, though it counts.
        Where no draw runs any more, the last one's terms still repay its balance.
        """
        starts = {}  # the day each plan's draw begins
        for plan in plans:
            drawn = [version.effective_from for version in self.plans[plan] if version.draw is not None]
            if drawn:
                rows = [row for row in self.assignments if row.person == person and row.plan == plan]
                starts[plan] = max(drawn[0], min(row.start or 0 for row in rows))
        if not starts or self.horizon is None:
            return
        terms: tuple[Draw, str] | None = None
        balance = 0
        last = date.fromordinal(self.horizon)
        period = span_of(length, date.fromordinal(min(self.plans[plan][0].effective_from for plan in plans)))
        while period.first <= last or any(name >= period.name for name in earnings):
            number = None  # which of the draw's pay periods this is
            running = self.running_draw(person, starts, length, period) if period.first <= last else None
            if running is not None:
                version, number = running
                assert version.draw is not None
                terms = version.draw, version.rounding
            earned = earnings.get(period.name, 0)
            if terms is not None:
                paid, balance = pay_of_draw(*terms, number, earned, balance)
                if number is not None or period.name in earnings:
                    yield period.name, paid, balance
            period = span_of(length, period.end)

    def running_draw(
        self, person: str, starts: Mapping[str, int], length: str, period: Span
    ) -> tuple[Plan, int] | None:
        """The version whose draw runs in this pay period, and which of the draw's pay periods it is (1 = the first)."""
        rows = [
            row
            for row in self.assignments
            if row.person == person
            and row.plan is not None
            and (row.start or 0) < period.end.toordinal()
            and (row.end is None or period.first.toordinal() < row.end)
        ]
        plan = max(rows, key=lambda row: row.start or 0).plan if rows else None
        if plan is None or plan not in starts or starts[plan] >= period.end.toordinal():
            return None
        version = self.version_on(plan, period.end.toordinal() - 1)
        assert version is not None
        if version.draw is None:
            return None
        number, counted = 1, span_of(length, date.fromordinal(starts[plan]))
        while counted != period:
            number, counted = number + 1, span_of(length, counted.end)
        return version, number


# --- the rules that need nothing but numbers -------------------------------------------------------


def pay_of_draw(draw: Draw, rounding: str, number: int | None, earned: int, balance: int) -> tuple[int, int]:
    """What is paid in the draw's pay period of that number (None: it does not run), and the balance after it."""
    runs = number is not None and (draw.periods is None or number <= draw.periods)
    amount = draw.amount if runs else 0
    if draw.kind == "non_recoverable":
        paid = max(earned, amount) if runs else earned
    elif earned <= amount:
        paid = amount if runs else earned
        balance += paid - earned
    else:
        repaid = 0
        if number is None or number >= draw.recover_from:
            due = rounded((earned - amount) * Fraction(draw.recover, MILLION), rounding)
            repaid = min(balance, due)
        paid = earned - repaid
        balance -= repaid
    if draw.forgive_at_end and number is not None and number == draw.periods:
        balance = 0
    return paid, balance


def component_of(version: Plan, name: str) -> Component | None:
    """The version's component of that id."""
    return next((rule for rule in version.components if rule.id == name), None)


def paid_on(rule: Component) -> str:
    """The number that rates apply to; tiers that pay an amount for each unit look at units, whatever pays_on says."""
    by_unit = bool(rule.tiers) and all(tier.amount is not None for tier in rule.tiers)
    return rule.measure if by_unit else rule.pays_on


def add(totals: dict[tuple[str, str], int], key: tuple[str, str], cents: int) -> None:
    totals[key] = totals.get(key, 0) + cents


def over_tiers(
    tiers: Sequence[tuple[Fraction, Fraction, bool]], history: Sequence[tuple[Fraction, Fraction]]
) -> Fraction:
    """What credits earn over tiers of (from, pay for one, whether it applies to everything).

    The history is (credit, base) of each deal in order.  A base is shared over the tiers in proportion to the credit in
    each; a deal without credit goes to the tier where x stands.  Then the highest reached tier that applies to
    everything pays for all of the base up to its end, the tiers above for their own.
    """
    ends: list[Fraction | None] = [start for start, _, _ in tiers[1:]]
    ends.append(None)
    x = Fraction(0)
    in_tier = [Fraction(0)] * len(tiers)
    for credit, base in history:
        if credit == 0:
            in_tier[max(place_of(tiers, x), 0)] += base
            continue
        low, high = min(x, x + credit), max(x, x + credit)
        for place, (start, _, _) in enumerate(tiers):
            end = ends[place]
            lowest = low if place == 0 else max(low, start)
            highest = high if end is None else min(high, end)
            if highest > lowest:
                in_tier[place] += base * (highest - lowest) / abs(credit)
        x += credit
    everything = [place for place in range(len(tiers)) if tiers[place][2] and place <= place_of(tiers, x)]
    top = everything[-1] if everything else -1
    pays = [tiers[top][1] if place <= top else pay for place, (_, pay, _) in enumerate(tiers)]
    return added(pay * base for pay, base in zip(pays, in_tier, strict=True))


def place_of(tiers: Sequence[tuple[Fraction, Fraction, bool]], x: Fraction) -> int:
    """The tier that x is in; below 0, the first."""
    return max([place for place, (start, _, _) in enumerate(tiers) if start <= x], default=0)


def on_curve(points: Sequence[tuple[Fraction, Fraction]], x: Fraction, extend: bool) -> Fraction:
    """Linear between points; below the first what it pays there; past the last flat, or at the last slope."""
    if x <= points[0][0]:
        return points[0][1]
    for (left, low), (right, high) in pairwise(points):
        if x <= right:
            return low + (high - low) * (x - left) / (right - left)
    if not extend or len(points) == 1:
        return points[-1][1]
    (left, low), (right, high) = points[-2:]
    return high + (high - low) * (x - right) / (right - left)


def holds(operator: str, value: FieldValue | None, operands: Sequence[FieldValue]) -> bool:
    """One test of a filter."""
    if operator == "any_of":
        return value is not None and any(same(value, operand) for operand in operands)
    if operator == "not":
        return value is None or not any(same(value, operand) for operand in operands)
    limit = operands[0]
    if isinstance(value, str):  # what an export gives as text may be a number or a date
        value = read_as(value, limit)
    if isinstance(value, Number) and isinstance(limit, Number):
        a, b = value.micro, limit.micro
    elif isinstance(value, Day) and isinstance(limit, Day):
        a, b = value.ordinal, limit.ordinal
    else:
        return False
    tests: dict[str, Callable[[], bool]] = {
        "at_least": lambda: a >= b,
        "more_than": lambda: a > b,
        "at_most": lambda: a <= b,
        "less_than": lambda: a < b,
    }
    return tests[operator]()


def same(value: FieldValue, operand: FieldValue) -> bool:
    """Equal: text without regard to case, text and number when they read as the same number."""
    if isinstance(value, str) and isinstance(operand, str):
        return value.casefold() == operand.casefold()
    if isinstance(value, str):
        return read_as(value, operand) == operand
    if isinstance(operand, str):
        return read_as(operand, value) == value
    return type(value) is type(operand) and value == operand


def read_as(text: str, like: FieldValue) -> FieldValue | None:
    """The text as a number or date, whichever the other is; None where it does not read as one."""
    try:
        if isinstance(like, Number):
            return Number(parse_number(text))
        if isinstance(like, Day):
            return Day(date.fromisoformat(text).toordinal())
    except (QuotaPathError, ValueError):
        pass
    return None

"""Small plans and deals for the tests of the rules."""

from datetime import date

from engine.calc.book import book_from_rows
from engine.calc.calculate import calculate
from engine.calc.model import MICRO, PPM, Assignment, Component, Deal, Plan, QuotaRow, Rate, Tier


def day(text):
    return date.fromisoformat(text).toordinal()


def tiers(*steps, applies="slice", to=PPM):
    """(start, rate in percent) pairs; starts in percent of quota, or in cents with ``to=100``."""
    scale = to // 100
    return tuple(Tier(start * scale, Rate(percent * 10_000), None, applies) for start, percent in steps)


def percentage(percent, name="sales", **more):
    return Component(name, "", "percentage", more.pop("quota_period", "month"), rate=Rate(percent * 10_000), **more)


def quota_component(steps, name="nb", period="quarter", applies="slice", **more):
    edges = more.pop("edges", "quota")
    return Component(
        name,
        "",
        "quota",
        period,
        edges=edges,
        tiers=tiers(*steps, applies=applies, to=PPM if edges == "quota" else 10_000),
        **more,
    )


def plan(*components, name="ae", start="2026-01-01", pay_period="month", rounding="half_up", **more):
    return Plan(name, day(start), "USD", pay_period, rounding, components, **more)


def deal(name, closed, amount, credited="ana", **more):
    """``amount`` in whole units; ``credited`` one person, or (person, percent) pairs."""
    owner = credited if isinstance(credited, str) else None
    pairs = ((credited, PPM),) if owner else tuple((person, percent * 10_000) for person, percent in credited)
    return Deal(name, day(closed), pairs, amount=None if amount is None else amount * 100, owner=owner, **more)


def result(plans, deals, quotas=(), people=("ana", "bo"), assignments=None, **more):
    """Calculate; ``plans`` is one version, or versions by plan name; everyone is on the first plan."""
    by_name = plans if isinstance(plans, dict) else {plans.name: (plans,)}
    first = next(iter(by_name))
    rows = assignments if assignments is not None else [Assignment(person, first) for person in people]
    figures = [QuotaRow(person, component, period, amount * MICRO) for person, component, period, amount in quotas]
    return calculate(book_from_rows(by_name, rows, deals, figures, **more))


def cents(found):
    """(person, deal, kind): cents of every line."""
    assert not found.problems, found.problems
    return {(line.person, line.deal, line.kind): line.cents for line in found.lines()}


def by_deal(found):
    totals: dict = {}
    assert not found.problems, found.problems
    for line in found.lines():
        totals[line.deal] = totals.get(line.deal, 0) + line.cents
    return totals

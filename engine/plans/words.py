"""The figures of a plan as one writes them in a plan letter."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from engine.calc.model import MICRO, MONEY_MEASURES, Component, Condition, Day, FieldValue, Number, Rate, Tier
from engine.money import format_money, format_rate

RANGES = {
    "any_of": "is",
    "not": "is not",
    "at_least": "is at least",
    "more_than": "is more than",
    "at_most": "is at most",
    "less_than": "is less than",
}


def money(cents: int, currency: str) -> str:
    """``1000000`` USD cents are ``10,000.00``."""
    return format_money(cents, currency, thousands=True)


def number(micro: int) -> str:
    """Millionths as a plain decimal: ``1500000`` is ``1.5``."""
    text = f"{Decimal(micro) / MICRO:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def day(ordinal: int) -> str:
    """A date as year-month-day."""
    return date.fromordinal(ordinal).isoformat()


def measured(value: int, component: Component, currency: str) -> str:
    """A number of what a component measures: cents, or millionths of a unit."""
    return money(value, currency) if component.measure in MONEY_MEASURES else number(value)


def edge(at: int, component: Component, currency: str) -> str:
    """Where a tier, point or step begins: ``100% of quota``, ``10,000.00``."""
    return f"{format_rate(at)} of quota" if component.edges == "quota" else measured(at, component, currency)


def rate(written: Rate) -> str:
    """A rate as the plan has it: ``8%``, ``1.5x``."""
    return f"{number(written.ppm)}x" if written.of_base else format_rate(written.ppm)


def tier_pay(tier: Tier, currency: str) -> str:
    """What a tier pays: a rate, or money for each unit."""
    return rate(tier.rate) if tier.rate is not None else f"{money(tier.amount or 0, currency)} a unit"


def value(operand: FieldValue) -> str:
    """A value that a filter compares with; text in quotes."""
    if isinstance(operand, Number):
        return number(operand.micro)
    if isinstance(operand, Day):
        return day(operand.ordinal)
    return str(operand).lower() if isinstance(operand, bool) else f'"{operand}"'


def conditions(when: Iterable[Condition]) -> str:
    """A filter: ``type is "New" or "Expansion" and seats is at least 10``; empty for every deal."""
    return " and ".join(
        f"{condition.field} {RANGES[test]} {' or '.join(map(value, operands)) or 'nothing'}"
        for condition in when
        for test, operands in condition.tests
    )

"""A plan document read into a `Plan`, with every problem of it found at once.

What needs more than one document (versions, people, deals) is checked in `engine.plans.versions` and
`engine.plans.checks`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.calc.model import (
    MONEY_MEASURES,
    PPM,
    BaseRate,
    Cap,
    Clawback,
    Component,
    Condition,
    Day,
    Draw,
    FieldValue,
    Gate,
    Multiplier,
    Number,
    Payable,
    Plan,
    Point,
    Rate,
    Step,
    Tier,
)
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.money import currency_digits, format_rate, parse_money, parse_number, parse_rate
from engine.periods import KINDS as PERIODS
from engine.plans.reader import Reader, Unreadable, as_day, as_rate, as_text, load_toml, shown

ROUNDINGS = ("half_up", "half_even")
CREDIT_FROM = ("own", "direct_reports", "team")
PRORATIONS = ("days", "months", "none")

PLAN_KEYS = (
    "plan", "effective_from", "currency", "pay_period", "rounding", "component", "draw", "clawback", "payable",
    "example",
)  # fmt: skip
# An example is written in the words of a case; `engine.plans.examples` reads and runs it.
EXAMPLE_KEYS = (
    "name", "source", "as_of", "quota", "person", "plans", "assignment", "rate", "deal", "expect",
)  # fmt: skip
COMPONENT_KEYS = (
    "id", "label", "kind", "when", "window", "measure", "pays_on", "credit_from", "multipliers", "quota_period",
    "quota", "base_rate", "gate", "per_deal", "cap", "allow_rate_above_100",
)  # fmt: skip
KIND_KEYS = {
    "flat": ("amount", "scale_by_share"),
    "percentage": ("rate",),
    "tiered": ("tiers", "applies"),
    "quota": ("tiers", "applies"),
    "curve": ("points", "per", "beyond"),
    "bonus": ("steps", "award"),
}
KINDS = tuple(KIND_KEYS)

# What no component can measure, though a filter can look at it.
_NO_NUMBER = ("id", "owner", "close_date", "currency", "cancelled")
_RANGES = ("at_least", "more_than", "at_most", "less_than")
_NOTHING: FieldValue = Number(0)  # stands in for a limit that was refused


def parse_plan(document: Mapping[str, Any] | str, name: str = "") -> Plan:
    """The plan that a document (TOML text, or the table of one) describes.

    ``name`` is what versions and assignments call the plan; without it the document's own ``plan`` is.
    Raises `ProblemsError` with everything that is wrong; paths are relative to the document.
    """
    plan, problems = read_plan(document, name)
    if plan is None:
        raise ProblemsError(problems)
    return plan


def read_plan(document: Mapping[str, Any] | str, name: str = "") -> tuple[Plan | None, list[Problem]]:
    """As `parse_plan`, with the problems returned: either the plan or at least one problem."""
    plan, problems = read_draft(document, name)
    return (None if problems else plan), problems


def read_draft(document: Mapping[str, Any] | str, name: str = "") -> tuple[Plan | None, list[Problem]]:
    """As `read_plan`, with a plan even where there are problems: only good to look for more of them with.

    In it harmless values stand in for what was refused.  None where the document is no TOML.
    """
    problems: list[Problem] = []
    try:
        table = load_toml(document) if isinstance(document, str) else document
    except QuotaPathError as error:
        return None, [Problem("", str(error))]
    plan = _plan(Reader(table, "", problems), name)
    return (_stand_in(plan, problems) if problems else plan), problems


def _stand_in(plan: Plan, problems: Iterable[Problem]) -> Plan:
    """The plan without what a calculation could stumble over."""
    refused: dict[int, set[str]] = {}
    for problem in problems:
        place = re.match(r"component\[(\d+)\]\.(\w+)", problem.path)
        if place:
            refused.setdefault(int(place[1]), set()).add(place[2])
    components = (_harmless(component, refused.get(i, set())) for i, component in enumerate(plan.components))
    return replace(plan, components=tuple(components))


def _harmless(component: Component, refused: set[str]) -> Component:
    """The component with one tier, point or step that pays nothing where the list, or what it needs, was refused."""
    kind = component.kind or "flat"
    no_base = "base_rate" in refused
    tiers, points, steps = component.tiers, component.points, component.steps
    if kind in ("tiered", "quota") and (not tiers or "tiers" in refused or no_base):
        tiers = (Tier(0, Rate(0), None, "slice"),)
    if kind == "curve" and (not points or "points" in refused or no_base):
        points = (Point(0, 0),)
    if kind == "bonus" and (not steps or "steps" in refused):
        steps = (Step(0, 0),)
    return replace(
        component,
        kind=kind,
        amount=component.amount or 0,
        rate=Rate(0) if no_base or component.rate is None else component.rate,
        tiers=tiers,
        points=points,
        pays_in="money" if no_base else component.pays_in,
        steps=steps,
        gate=None if "gate" in refused else component.gate,
    )


def _plan(reader: Reader, name: str) -> Plan:
    reader.only(PLAN_KEYS)
    if not name:
        reader.has("plan")
    own_name = reader.text("plan")
    currency = reader.need("currency", _currency, "USD")
    reader.has("pay_period")
    pay_period = reader.choice("pay_period", PERIODS, "month")
    components = tuple(_component(row, currency, pay_period) for row in reader.rows("component"))
    if not reader.table.get("component"):
        reader.problem(
            "component", "The plan has no component, so it would pay nothing to anybody.", "Add a [[component]]."
        )
    _across(reader.rows("component"), components)
    for example in reader.rows("example"):
        example.only(EXAMPLE_KEYS)
        example.has("expect")
    return Plan(
        name=name or own_name,
        effective_from=reader.need("effective_from", as_day, 1),
        currency=currency,
        pay_period=pay_period,
        rounding=reader.choice("rounding", ROUNDINGS, "half_up"),
        components=components,
        draw=_draw(reader.inside("draw"), currency),
        clawback=_clawback(reader.inside("clawback")),
        payable=_payable(reader.inside("payable")),
    )


def _currency(value: Any) -> str:
    currency_digits(as_text(value))
    return str(value)


def _across(rows: Sequence[Reader], components: Sequence[Component]) -> None:
    """What one component says about another: ids that repeat, gates on others."""
    by_id: dict[str, Component] = {}
    for row, component in zip(rows, components, strict=False):
        if component.id and component.id in by_id:
            row.problem("id", f'Another component is called "{component.id}" too.', "Give each its own id.")
        by_id.setdefault(component.id, component)
    for row, component in zip(rows, components, strict=False):
        gate = component.gate
        if gate is None or not gate.component:
            continue
        other = by_id.get(gate.component)
        if other is None:
            known = ", ".join(sorted(filter(None, by_id)))
            row.problem(
                "gate.component", f'There is no component "{gate.component}".', f"Name one of this plan: {known}."
            )
        elif PERIODS.index(other.quota_period) < PERIODS.index(component.quota_period):
            row.problem(
                "gate.component",
                f'"{other.id}" starts anew each {other.quota_period}, within one {component.quota_period} of this.',
                f"Gate on a component whose quota period is a {component.quota_period} or longer.",
            )
        elif other.measure == "commission":
            row.problem(
                "gate.component",
                f'"{other.id}" is measured in commission, which gates themselves change.',
                "Gate on a component that measures sales.",
            )


@dataclass(frozen=True)
class _Measured:
    """In what a component's figures are written: its plan's currency, or units (``number_in`` None)."""

    currency: str
    number_in: str | None

    @property
    def edges(self) -> str:
        """The model's word for edges that are not in percent of quota."""
        return "money" if self.number_in else "units"


def _component(reader: Reader, currency: str, pay_period: str) -> Component:
    reader.has("kind")
    kind = reader.choice("kind", KINDS, "")
    _component_keys(reader, kind)
    name = reader.need("id", as_text, "")
    measure = reader.read("measure", _measure, "amount")
    measured = _Measured(currency, currency if measure in MONEY_MEASURES else None)
    above_100 = reader.flag("allow_rate_above_100", False)
    base_rate = _base_rate(reader, currency, above_100)
    window_from, window_until = _window(reader.inside("window"))
    per_deal_min, per_deal_max = _per_deal(reader.inside("per_deal"), currency)
    quota = reader.number("quota", measured.number_in)
    if quota == 0:
        reader.problem("quota", "The quota is 0.", "Write a quota above 0, or leave it out.")
    applies = reader.choice("applies", ("slice", "all"), "all" if kind == "tiered" else "slice")
    tiers, edges = _tiers(reader, kind, measured, above_100, applies)
    points, point_edges, pays_in = _points(reader, measured)
    steps, step_edges = _steps(reader, measured)
    component = Component(
        id=name,
        label=reader.text("label", name),
        kind=kind,
        quota_period=reader.choice("quota_period", PERIODS, pay_period),
        when=_conditions(reader.inside("when")),
        window_from=window_from,
        window_until=window_until,
        measure=measure,
        pays_on=reader.read("pays_on", _pays_on(measure), measure),
        credit_from=reader.choice("credit_from", CREDIT_FROM, "own"),
        multipliers=tuple(_multiplier(row) for row in reader.rows("multipliers")),
        quota=quota,
        base_rate=base_rate,
        gate=_gate(reader),
        per_deal_min=per_deal_min,
        per_deal_max=per_deal_max,
        cap=_cap(reader.inside("cap"), currency),
        edges={"curve": point_edges, "bonus": step_edges}.get(kind, edges),
        amount=reader.number("amount", currency) if kind == "flat" else None,
        scale_by_share=reader.flag("scale_by_share", True),
        rate=reader.read("rate", lambda value: as_rate(value, above_100), Rate(0)) if kind == "percentage" else None,
        tiers=tiers,
        points=points,
        pays_in=pays_in,
        beyond=reader.choice("beyond", ("flat", "extend"), "flat"),
        per=reader.choice("per", ("period", "deal"), "period"),
        steps=steps,
        award=reader.choice("award", ("highest", "each"), "highest"),
    )
    _component_alone(reader, component)
    return component


def _component_keys(reader: Reader, kind: str) -> None:
    """Unknown keys, keys of another kind, and the keys without which the kind means nothing."""
    owners: dict[str, list[str]] = {}
    for other, keys in KIND_KEYS.items():
        for key in keys:
            owners.setdefault(key, []).append(other)
    if not kind:  # already noted; which keys belong cannot be said
        reader.only([*COMPONENT_KEYS, *owners])
        return
    elsewhere = {key: f"kind {' and '.join(kinds)}" for key, kinds in owners.items() if kind not in kinds}
    reader.only([*COMPONENT_KEYS, *KIND_KEYS[kind]], elsewhere)
    needed = KIND_KEYS[kind][0]
    reader.has(needed)
    if reader.table.get(needed) == []:
        reader.problem(needed, f"`{needed}` is empty.", "Write at least one.")


def _component_alone(reader: Reader, component: Component) -> None:
    """What a component's keys say about each other."""
    retroactive = component.kind == "quota" and any(tier.applies == "all" for tier in component.tiers)
    if "per_deal" in reader.table and (component.gate or retroactive):
        reader.problem(
            "per_deal",
            f"A limit on each deal cannot go with {'a gate' if component.gate else 'a retroactive tier'}, "
            "which changes the pay of all deals at once.",
            'Remove one of them, or write applies = "slice".' if retroactive else "Remove one of them.",
        )
    rates = [tier.rate for tier in component.tiers] + [component.rate]
    if any(rate is not None and rate.of_base for rate in rates) and "base_rate" not in reader.table:
        reader.problem(
            "base_rate", 'A rate is a multiple such as "1.5x", and there is no base rate.', 'Add base_rate = "10%".'
        )
    target = component.base_rate is not None and component.base_rate.target_pay is not None
    if component.pays_in == "target_pay" and not target:
        reader.problem(
            "base_rate",
            "The curve pays a percentage of target pay, and there is no target pay.",
            'Add base_rate = { target_pay = 100000, weight = "100%" }.',
        )


def _measure(value: Any) -> str:
    measure = as_text(value)
    if measure in _NO_NUMBER:
        raise QuotaPathError(f'"{measure}" is not a number of a deal. Measure amount, quantity, count or margin.')
    return measure


def _pays_on(measure: str) -> Any:
    allowed = tuple(dict.fromkeys(("amount", "margin", measure)))

    def convert(value: Any) -> str:
        if value not in allowed:
            raise QuotaPathError(f"{shown(value)} is not money of a deal. Write one of: {', '.join(allowed)}.")
        return str(value)

    return convert


def _base_rate(reader: Reader, currency: str, above_100: bool) -> BaseRate | None:
    if "base_rate" not in reader.table:
        return None
    if not isinstance(reader.table["base_rate"], Mapping):
        rate = reader.read("base_rate", lambda value: as_rate(value, above_100, multiples=False), Rate(0))
        return BaseRate(ppm=rate.ppm)
    table = Reader(reader.table["base_rate"], reader.at("base_rate"), reader.problems)
    table.only(("target_pay", "weight"))
    table.has("target_pay")
    return BaseRate(target_pay=table.number("target_pay", currency) or 0, weight=table.ratio("weight", PPM))


def _window(reader: Reader | None) -> tuple[int | None, int | None]:
    if reader is None:
        return None, None
    reader.only(("from", "until"))
    start, until = reader.day("from"), reader.day("until")
    if start is not None and until is not None and until < start:
        reader.problem(
            "until",
            f"The window ends on {reader.table['until']}, before it starts on {reader.table['from']}.",
            "Write a later date; it is the first day that is outside.",
        )
    return start, until


def _per_deal(reader: Reader | None, currency: str) -> tuple[int | None, int | None]:
    if reader is None:
        return None, None
    reader.only(("min", "max"))
    least, most = reader.number("min", currency), reader.number("max", currency)
    if least is not None and most is not None and most < least:
        reader.problem(
            "max", f"At most {reader.table['max']} is less than at least {reader.table['min']}.", "Swap them."
        )
    return least, most


def _gate(reader: Reader) -> Gate | None:
    if "gate" not in reader.table:
        return None
    if not isinstance(reader.table["gate"], Mapping):
        return Gate(reader.ratio("gate", 0, most=None))
    table = Reader(reader.table["gate"], reader.at("gate"), reader.problems)
    table.only(("component", "at_least"))
    table.has("at_least")
    return Gate(table.ratio("at_least", 0, most=None), table.need("component", as_text, "") or None)


def _cap(reader: Reader | None, currency: str) -> Cap | None:
    if reader is None:
        return None
    reader.only(("amount", "excess"))
    reader.has("amount")
    return Cap(reader.number("amount", currency) or 0, reader.choice("excess", ("forfeit", "carry"), "forfeit"))


def _multiplier(reader: Reader) -> Multiplier:
    reader.only(("when", "factor"))
    factor = reader.need("factor", parse_number, PPM)
    if factor < 0:
        reader.problem("factor", f"The factor {reader.table['factor']} is below 0.", "Write 0 or more, such as 1.5.")
    return Multiplier(_conditions(reader.inside("when")), factor)


# --- edges: tiers, points, steps -------------------------------------------------------------------


def _edges(rows: Sequence[Reader], key: str, measured: _Measured, from_zero: bool) -> tuple[list[int], str]:
    """The edges at ``key`` of each row, rising, all in one of: % of quota, money, units.

    A bare 0 goes with either; what decides is the first edge that is written otherwise.
    """
    edges: list[int] = []
    kind = ""
    previous: int | None = None
    for index, row in enumerate(rows):
        edge, edge_kind = row.need(key, lambda value: _edge(value, measured), (-1, ""))
        if edge < 0:  # noted
            edges.append(0)
            continue
        kind = kind or edge_kind
        if edge_kind not in ("", kind):
            row.problem(
                key,
                f"{shown(row.table[key])} is not written like the edges before it.",
                "Write all edges in % of quota, or all in the number that is measured.",
            )
        elif index == 0 and from_zero and edge != 0:
            row.problem(
                key,
                f"The list starts at {shown(row.table[key])} and says nothing about what lies below.",
                "Let the first one start at 0.",
            )
        elif previous is not None and edge <= previous:
            row.problem(
                key,
                f"{shown(row.table[key])} is not above {shown(rows[index - 1].table[key])} before it.",
                "Write the edges in rising order, each once.",
            )
        previous = edge
        edges.append(edge)
    return edges, kind or measured.edges


def _edge(value: Any, measured: _Measured) -> tuple[int, str]:
    if isinstance(value, str) and value.rstrip().endswith("%"):
        edge, kind = parse_rate(value), "quota"
    else:
        edge = parse_money(value, measured.number_in) if measured.number_in else parse_number(value)
        kind = measured.edges if edge else ""
    if edge < 0:
        raise QuotaPathError(f"{shown(value)} is below 0. Write 0 or more.")
    return edge, kind


def _tiers(
    reader: Reader, kind: str, measured: _Measured, above_100: bool, applies: str
) -> tuple[tuple[Tier, ...], str]:
    rows = reader.rows("tiers")
    starts, edges = _edges(rows, "from", measured, from_zero=True)
    tiers = []
    for row, start in zip(rows, starts, strict=True):
        row.only(("from", "rate", "amount", "applies"))
        if kind == "tiered" and str(row.table.get("from", "")).rstrip().endswith("%"):
            row.problem(
                "from",
                f"{shown(row.table['from'])} is a part of a quota; tiers by deal size look at one deal.",
                'Write the deal\'s size, or use kind = "quota".',
            )
        if "amount" in row.table and measured.number_in:
            row.problem("amount", "Money for each unit needs a measure that counts units.", "Write a `rate` instead.")
        if ("rate" in row.table) == ("amount" in row.table):
            both = "rate" in row.table
            row.problem(
                "rate",
                "The tier has a rate and an amount." if both else "The tier does not say what it pays.",
                "Remove one of them." if both else 'Add `rate = "8%"`.',
            )
        rate = row.read("rate", lambda value: as_rate(value, above_100), Rate(0)) if "rate" in row.table else None
        amount = row.number("amount", measured.currency)
        tiers.append(Tier(start, rate, amount, row.choice("applies", ("slice", "all"), applies)))
    return tuple(tiers), edges


def _points(reader: Reader, measured: _Measured) -> tuple[tuple[Point, ...], str, str]:
    rows = reader.rows("points")
    ats, edges = _edges(rows, "at", measured, from_zero=True)
    points = []
    pays_in = ""
    for row, at in zip(rows, ats, strict=True):
        row.only(("at", "pays"))
        pays, pays_kind = row.need("pays", lambda value: _pays(value, measured.currency), (0, ""))
        pays_in = pays_in or pays_kind
        if pays_kind not in ("", pays_in):
            row.problem(
                "pays",
                f"{shown(row.table['pays'])} is not written like the points before it.",
                "Write all in money, or all in % of target pay.",
            )
        points.append(Point(at, pays))
    return tuple(points), edges, pays_in or "money"


def _pays(value: Any, currency: str) -> tuple[int, str]:
    if isinstance(value, str) and value.rstrip().endswith("%"):
        pays, kind = parse_rate(value), "target_pay"
    else:
        pays = parse_money(value, currency)
        kind = "money" if pays else ""
    if pays < 0:
        raise QuotaPathError(f"{shown(value)} is below 0. Write 0 or more.")
    return pays, kind


def _steps(reader: Reader, measured: _Measured) -> tuple[tuple[Step, ...], str]:
    rows = reader.rows("steps")
    ats, edges = _edges(rows, "at", measured, from_zero=False)
    steps = []
    for row, at in zip(rows, ats, strict=True):
        row.only(("at", "pays"))
        row.has("pays")
        steps.append(Step(at, row.number("pays", measured.currency) or 0))
    return tuple(steps), edges


# --- filters ---------------------------------------------------------------------------------------


def field_value(value: Any) -> FieldValue:
    """A value of a deal's field, or what a filter compares it with; `QuotaPathError` for a list or table."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and not isinstance(value, Unreadable):
        return value
    if isinstance(value, (Mapping, Sequence)) and not isinstance(value, str):
        raise QuotaPathError(f"{shown(value)} is not one value. Write a text, a number, a date, true or false.")
    if hasattr(value, "toordinal"):
        return Day(as_day(value))
    return Number(parse_number(value))


def _limit(value: Any) -> FieldValue:
    """A number or date that a range begins or ends at; both may be written as text."""
    if isinstance(value, str) and not isinstance(value, Unreadable):
        try:
            return Day(as_day(value))
        except QuotaPathError:
            return Number(parse_number(value))
    limit = field_value(value)
    if not isinstance(limit, (Number, Day)):
        raise QuotaPathError(f"{shown(value)} is neither a number nor a date. Write one.")
    return limit


def _any_of(value: Any) -> tuple[FieldValue, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(sorted({field_value(each) for each in values}, key=repr))


def _conditions(reader: Reader | None) -> tuple[Condition, ...]:
    """The conditions of a ``when`` table, by field name."""
    if reader is None:
        return ()
    conditions = []
    for field in sorted(reader.table):
        tests: list[tuple[str, tuple[FieldValue, ...]]] = []
        if isinstance(reader.table[field], Mapping):
            table = Reader(reader.table[field], reader.at(field), reader.problems)
            table.only((*_RANGES, "not"))
            tests += [(each, (table.read(each, _limit, _NOTHING),)) for each in _RANGES if each in table.table]
            if "not" in table.table:
                tests.append(("not", table.read("not", _any_of, ())))
        else:
            tests.append(("any_of", reader.read(field, _any_of, ())))
        conditions.append(Condition(field, tuple(tests)))
    return tuple(conditions)


# --- plan-level parts ------------------------------------------------------------------------------


def _draw(reader: Reader | None, currency: str) -> Draw | None:
    if reader is None:
        return None
    reader.has("kind")
    reader.has("amount")
    kind = reader.choice("kind", ("recoverable", "non_recoverable"), "recoverable")
    shared = ("kind", "amount", "periods")
    of_recoverable = ("recover", "recover_from", "forgive_at_end")
    if kind == "recoverable":
        reader.only((*shared, *of_recoverable))
    else:
        reader.only(shared, dict.fromkeys(of_recoverable, "a recoverable draw"))
    return Draw(
        kind=kind,
        amount=reader.number("amount", currency) or 0,
        recover=reader.ratio("recover", PPM),
        recover_from=reader.whole("recover_from", 1, 1) or 1,
        periods=reader.whole("periods", 1),
        forgive_at_end=reader.flag("forgive_at_end", False),
    )


def _clawback(reader: Reader | None) -> Clawback | None:
    if reader is None:
        return None
    reader.only(("within_days", "share"))
    prorated = reader.table.get("share") == "prorated"
    return Clawback(reader.whole("within_days", 0), None if prorated else reader.ratio("share", PPM))


def _payable(reader: Reader | None) -> Payable:
    if reader is None:
        return Payable()
    reader.only(("on", "schedule"))
    schedule = []
    for row in reader.rows("schedule"):
        row.only(("months", "share"))
        row.has("months")
        row.has("share")
        schedule.append((row.whole("months", 0, 0) or 0, row.ratio("share", 0)))
    total = sum(share for _, share in schedule)
    if "schedule" in reader.table and total != PPM:
        reader.problem(
            "schedule",
            f"The shares add up to {format_rate(total)}.",
            "Let them add up to 100%, with up to 4 decimals of a percent in each.",
        )
    return Payable(reader.choice("on", ("close", "invoice_paid"), "close"), tuple(schedule) or ((0, PPM),))

"""What changes from one version of a plan to another, in words; every field of the records is told.

>>> [str(change) for change in diff(old, new)]  # doctest: +SKIP
['new-business: accelerator above 100% of quota: 12% -> 14%', 'new-business: cap: none -> 10,000.00 a quarter']
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from engine.calc.model import PPM, BaseRate, Cap, Clawback, Component, Draw, Gate, Multiplier, Plan, Tier
from engine.money import format_rate
from engine.plans import words

NONE = "none"


@dataclass(frozen=True)
class Change:
    """One thing that changed, as texts; ``component`` is the id of the one it is about, "" for the whole plan."""

    component: str
    what: str
    before: str
    after: str

    def __str__(self) -> str:
        where = f"{self.component}: " if self.component else ""
        return f"{where}{self.what}: {self.before} -> {self.after}"


def diff(old: Plan, new: Plan) -> tuple[Change, ...]:
    """The changes from ``old`` to ``new``, the plan's own first, then by component in the order of ``new``.

    It is empty exactly when the two mean the same.
    """
    return (*_changed("", _plan_facts(old), _plan_facts(new)), *_components(old, new))


# --- facts -----------------------------------------------------------------------------------------

# What is told of a record: what it is about, and its figure in words; what is absent reads "none".
Facts = Mapping[str, str]


def _changed(component: str, before: Facts, after: Facts) -> Iterator[Change]:
    for what in dict.fromkeys((*before, *after)):
        was, now = before.get(what, NONE), after.get(what, NONE)
        if was != now:
            yield Change(component, what, was, now)


def _plan_facts(plan: Plan) -> Facts:
    return {
        "name": plan.name,
        "in force from": words.day(plan.effective_from),
        "currency": plan.currency,
        "pay period": plan.pay_period,
        "rounding": plan.rounding.replace("_", " "),
        "draw": _draw(plan.draw, plan),
        "clawback": _clawback(plan.clawback),
        "payable": "when the customer has paid" if plan.payable.on == "invoice_paid" else "when the deal closes",
        "payable in": ", ".join(
            f"{format_rate(share)} {f'{months} months later' if months else 'at once'}"
            for months, share in plan.payable.schedule
        ),
    }


def _draw(draw: Draw | None, plan: Plan) -> str:
    if draw is None:
        return NONE
    periods = f" for {draw.periods} periods" if draw.periods is not None else ""
    text = f"{draw.kind.replace('_', '-')}, {words.money(draw.amount, plan.currency)} a {plan.pay_period}{periods}"
    if draw.recover != PPM or draw.recover_from != 1:
        text += f", repaid by {format_rate(draw.recover)} of what is above it from period {draw.recover_from}"
    return text + (", forgiven at the end" if draw.forgive_at_end else "")


def _clawback(clawback: Clawback | None) -> str:
    if clawback is None:
        return NONE
    share = "the unused part of the term" if clawback.share is None else format_rate(clawback.share)
    return share + (f" within {clawback.within_days} days" if clawback.within_days is not None else " at any time")


def _facts(component: Component, plan: Plan) -> dict[str, str]:
    """What is told of a component, but for its tiers, points and steps."""
    currency = plan.currency
    optional: Callable[[int | None], str] = lambda cents: NONE if cents is None else words.money(cents, currency)  # noqa: E731
    return {
        "kind": component.kind,
        "label": component.label,
        "deals": words.conditions(component.when) or "all",
        "window": _window(component),
        "measure": component.measure,
        "pays on": component.pays_on,
        "credit from": component.credit_from.replace("_", " "),
        **_multipliers(component.multipliers),
        "quota period": component.quota_period,
        "quota": NONE if component.quota is None else words.measured(component.quota, component, currency),
        "base rate": _base_rate(component.base_rate, currency),
        "gate": _gate(component.gate),
        "least for a deal": optional(component.per_deal_min),
        "most for a deal": optional(component.per_deal_max),
        "cap": _cap(component.cap, component, currency),
        "edges": {"quota": "in % of quota", "money": "in money", "units": "in units"}[component.edges],
        "amount for a deal": optional(component.amount),
        "paid to each person": "by share" if component.scale_by_share else "whole",
        "rate": NONE if component.rate is None else words.rate(component.rate),
        "points pay": "money" if component.pays_in == "money" else "% of target pay",
        "past the last point": "level" if component.beyond == "flat" else "on at the last slope",
        "curve over": "the quota period" if component.per == "period" else "each deal",
        "milestones pay": "the highest reached" if component.award == "highest" else "each one reached",
    }


def _window(component: Component) -> str:
    start, until = component.window_from, component.window_until
    if start is None and until is None:
        return NONE
    first = f"from {words.day(start)}" if start is not None else ""
    end = f"until {words.day(until)}" if until is not None else ""
    return " ".join(filter(None, (first, end)))


def _multipliers(multipliers: Sequence[Multiplier]) -> Facts:
    """By filter, so that a changed factor is one change; a second one with the same filter is told apart."""
    facts: dict[str, str] = {}
    for multiplier in multipliers:
        what = f"multiplier where {words.conditions(multiplier.when) or 'any deal'}"
        facts[what] = (
            f"{facts[what]} and {words.number(multiplier.factor)}" if what in facts else words.number(multiplier.factor)
        )
    return facts


def _base_rate(base: BaseRate | None, currency: str) -> str:
    if base is None:
        return NONE
    if base.target_pay is None:
        return format_rate(base.ppm or 0)
    weight = f" x {format_rate(base.weight)}" if base.weight != PPM else ""
    return f"target pay {words.money(base.target_pay, currency)}{weight} / quota"


def _gate(gate: Gate | None) -> str:
    if gate is None:
        return NONE
    return f"{format_rate(gate.at_least)} of {'its quota' if gate.component is None else gate.component}"


def _cap(cap: Cap | None, component: Component, currency: str) -> str:
    if cap is None:
        return NONE
    later = ", the rest paid later" if cap.excess == "carry" else ""
    return f"{words.money(cap.amount, currency)} a {component.quota_period}{later}"


# --- tiers, points and steps -----------------------------------------------------------------------


_ROWS = ("tier", "point", "milestone")


@dataclass(frozen=True)
class _Row:
    """A tier, point or step: where it begins, what it is called, and what it pays."""

    at: str
    name: str
    pays: str


def _row_lists(component: Component, plan: Plan) -> tuple[list[_Row], list[_Row], list[_Row]]:
    """The tiers, the points and the steps."""
    currency = plan.currency

    def at(start: int) -> str:
        return words.edge(start, component, currency)

    def pays(point: int) -> str:
        return words.money(point, currency) if component.pays_in == "money" else format_rate(point)

    return (
        [
            _Row(at(tier.start), _tier_name(component, place, currency), _tier_pays(component, tier, currency))
            for place, tier in enumerate(component.tiers)
        ],
        [_Row(at(point.at), f"point at {at(point.at)}", pays(point.pays)) for point in component.points],
        [
            _Row(at(step.at), f"milestone at {at(step.at)}", words.money(step.pays, currency))
            for step in component.steps
        ],
    )


def _tier_name(component: Component, place: int, currency: str) -> str:
    tiers = component.tiers
    if place == 0:
        until = f" up to {words.edge(tiers[1].start, component, currency)}" if len(tiers) > 1 else ""
        return f"rate of the first tier{until}" if component.kind == "tiered" else f"rate{until}"
    name = "rate"
    below, rate = tiers[place - 1].rate, tiers[place].rate
    if component.kind == "quota" and below and rate and below.of_base == rate.of_base and below.ppm != rate.ppm:
        name = "accelerator" if rate.ppm > below.ppm else "decelerator"
    return f"{name} above {words.edge(tiers[place].start, component, currency)}"


def _tier_pays(component: Component, tier: Tier, currency: str) -> str:
    how = " on everything" if tier.applies == "all" else ""
    if component.kind == "tiered":
        how = "" if tier.applies == "all" else " on that slice"
    return words.tier_pay(tier, currency) + how


def _row_changes(component: str, kind: str, before: Sequence[_Row], after: Sequence[_Row]) -> Iterator[Change]:
    """Rows that begin at the same place are compared; as many others on both sides are taken to have moved."""
    old, new = {row.at: row for row in before}, {row.at: row for row in after}
    gone = [row for row in before if row.at not in new]
    come = [row for row in after if row.at not in old]
    moved = dict(zip((row.at for row in come), gone, strict=True)) if len(gone) == len(come) else {}
    for row in after:
        was = old.get(row.at) or moved.get(row.at)
        if was is None:
            yield Change(component, row.name, NONE, row.pays)
            continue
        if was.at != row.at:
            yield Change(component, f"{kind} begins at", was.at, row.at)
        if was.pays != row.pays:
            yield Change(component, row.name, was.pays, row.pays)
    if not moved:
        for row in gone:
            yield Change(component, row.name, row.pays, NONE)


# --- components ------------------------------------------------------------------------------------


def _components(old: Plan, new: Plan) -> Iterator[Change]:
    before = {component.id: component for component in old.components}
    after = {component.id: component for component in new.components}
    renamed = _renamed(before, after)
    for name, component in after.items():
        was = before.get(name)
        if was is not None:
            yield from _changed(name, _facts(was, old), _facts(component, new))
            for kind, earlier, rows in zip(_ROWS, _row_lists(was, old), _row_lists(component, new), strict=True):
                yield from _row_changes(name, kind, earlier, rows)
        elif name in renamed:
            yield Change(name, "id, so that its running total begins anew", renamed[name], name)
        else:
            yield Change(name, "component", NONE, _summary(component, new))
    for name, component in before.items():
        if name not in after and name not in renamed.values():
            yield Change(name, "component", _summary(component, old), NONE)
    kept_before = [name for name in before if name in after]
    kept_after = [name for name in after if name in before]
    if kept_before != kept_after:
        yield Change("", "order on the statement", ", ".join(kept_before), ", ".join(kept_after))


def _renamed(before: Mapping[str, Component], after: Mapping[str, Component]) -> dict[str, str]:
    """New ids of components that are the same but for the id (and a label that is the id), with the old ones."""
    gone = [component for name, component in before.items() if name not in after]
    renamed: dict[str, str] = {}
    for name, component in after.items():
        if name in before:
            continue
        for was in gone:
            label = name if was.label == was.id else was.label
            if was.id not in renamed.values() and replace(was, id=name, label=label) == component:
                renamed[name] = was.id
                break
    return renamed


def _summary(component: Component, plan: Plan) -> str:
    """A component in one line: what differs from a component that says nothing."""
    silent = _facts(Component(component.id, component.id, "", plan.pay_period), plan)
    facts = [f"{what} {text}" for what, text in _facts(component, plan).items() if text != silent.get(what, NONE)]
    rows = [f"{row.name} {row.pays}" for each in _row_lists(component, plan) for row in each]
    return ", ".join([*facts, *rows])

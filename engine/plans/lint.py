"""What a plan says without a mistake, and yet may not mean: cliffs, dead tiers, deals that nobody is paid for.

A warning is a `Problem` that does not keep the plan from being published.  What a component pays is always
asked of the rules themselves (`engine.plans.curve`), never worked out here.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice, pairwise, product
from typing import Any

from engine.calc.model import MICRO, PPM, Assignment, Component, Condition, Day, Deal, FieldValue, Number, Plan
from engine.calc.payout import is_money, unit
from engine.errors import Problem, QuotaPathError
from engine.money import format_rate, round_ratio
from engine.plans import words
from engine.plans.curve import MOST_DEALS, Walk, calculate_alone, walk

# Attainment that is out of reach: of a gate, and of the start of a tier.
FAR_GATE = 2 * PPM
FAR_TIER = 3 * PPM
MOST_MIXES = 2_000  # combinations of field values that are tried
MOST_TOLD = 3

Known = Mapping[str, Collection[FieldValue | None]]


def lint(plan: Plan, known: Known | None = None) -> list[Problem]:
    """What somebody should look at before the plan is published, in the order of the document.

    ``known`` are the values that a field has among the company's deals (None among them: some deals have
    none); for a field that is not in it the plan's own words are tried.
    """
    warnings = []
    for place, component in enumerate(plan.components):
        path = f"component[{place}]"
        try:
            found = list(_component(plan, component))
        except QuotaPathError as error:  # figures too large to be walked
            found = [Problem("", f"What it pays cannot be walked: {error}")]
        warnings += [Problem(f"{path}.{each.path}".rstrip("."), each.message, each.remedy) for each in found]
    warnings += _matching(plan, known or {})
    if plan.clawback is None and plan.payable.on == "close":
        warnings.append(
            Problem(
                "clawback",
                "A deal that is cancelled after it was paid takes nothing back.",
                "Add [clawback], such as within_days = 180, unless that is meant.",
            )
        )
    return warnings


# --- one component ---------------------------------------------------------------------------------


def _component(plan: Plan, component: Component) -> Iterator[Problem]:
    yield from _window(plan, component)
    yield from _gate(plan, component)
    steps = walk(plan, component)
    yield from _per_deal(steps)
    yield from _far(steps)
    if steps.counts and steps.top > MOST_DEALS * MICRO:
        return
    dead = _dead(steps)
    for place in dead:
        name = _list(component)
        yield Problem(
            f"{name}[{place}]",
            f"The {_ROW[name]} at {_x(steps, steps.breaks[place])} pays what is paid without it.",
            "Remove it, or correct its figure.",
        )
    falls = list(_falls(steps))
    yield from (problem for _, problem in falls)
    yield from _cliffs(steps, [edge for edge, _ in falls])
    yield from _decelerators(steps, [*dead, *(steps.breaks.index(edge) for edge, _ in falls if edge in steps.breaks)])
    yield from _cap(steps)
    yield from _uncapped(steps)


_ROW = {"tiers": "tier", "points": "point", "steps": "milestone"}


def _list(component: Component) -> str:
    """The key of the rows that the edges of a component stand in."""
    return "points" if component.points else "steps" if component.steps else "tiers"


def _money(steps: Walk, cents: int) -> str:
    return words.money(cents, steps.currency)


def _x(steps: Walk, x: int) -> str:
    """A place on the curve: a part of the quota, a deal's size, a number."""
    if steps.component.edges == "quota" and steps.quota:
        share = _percent(x, steps.quota)
        whole = words.measured(steps.quota, steps.component, steps.currency)
        return f"{share} of quota ({words.measured(x, steps.component, steps.currency)} of {whole})"
    text = words.measured(x, steps.component, steps.currency)
    return f"a deal of {text}" if steps.by_deal else f"{text} {'deals' if steps.counts else 'sold'}"


def _percent(x: int, quota: int) -> str:
    """Attainment with two decimals."""
    return format_rate(round_ratio(x * 10_000, quota) * 100)


def _window(plan: Plan, component: Component) -> Iterator[Problem]:
    if _never_open(plan, component):
        yield Problem(
            "window",
            "No deal can close in the window while this version is in force, so the component never pays.",
            f"Let it end after {words.day(plan.effective_from)}, or remove the component.",
        )


def _never_open(plan: Plan, component: Component) -> bool:
    start, until = component.window_from, component.window_until
    return until is not None and until <= max(plan.effective_from, start or 0)


def _gate(plan: Plan, component: Component) -> Iterator[Problem]:
    gate = component.gate
    if gate is None:
        return
    if gate.at_least > FAR_GATE:
        yield Problem(
            "gate",
            f"Hardly anybody reaches {format_rate(gate.at_least)} of quota, so this may never pay.",
            "Lower the gate, or say a part of the quota: 50% is half of it.",
        )
    if gate.component is None:
        return
    other = next(each for each in plan.components if each.id == gate.component)
    until = other.window_until
    if _never_open(plan, other):
        yield Problem(
            "gate",
            f'"{other.id}", which it waits for, gets no credit: its window is never open.',
            "Correct the window.",
        )
    elif until is not None and (component.window_until is None or component.window_until > until):
        yield Problem(
            "gate",
            f'From {words.day(until)} on "{other.id}" gets no credit, so the gate stays shut in every later period.',
            f'Give this component the same window, or wait for another component than "{other.id}".',
        )


def _per_deal(steps: Walk) -> Iterator[Problem]:
    """Limits that decide the pay of every deal, whatever the rate."""
    component = steps.component
    low, high = component.per_deal_min, component.per_deal_max
    if low is None and high is None:
        return
    remedy = 'Write kind = "flat" with that amount, or another limit.'
    if low == high:
        yield Problem("per_deal", f"Every deal pays {_money(steps, low or 0)}: both limits say the same.", remedy)
    elif component.kind == "flat":
        (free,) = steps.pays([steps.step], per_deal_min=None, per_deal_max=None)
        (paid,) = steps.pays([steps.step])
        if free != paid:
            yield Problem(
                "per_deal",
                f"A deal always pays the limit, {_money(steps, paid)}, and never the {_money(steps, free)} written.",
                "Remove the limit, or correct the amount.",
            )
    elif high is not None and steps.by_deal:
        unit_of_one = unit(component.measure, steps.currency)
        (paid, free) = (steps.pays([unit_of_one], **free)[0] for free in ({}, {"per_deal_max": None}))
        if paid < free:
            yield Problem(
                "per_deal.max",
                f"The limit binds from the first {words.measured(unit_of_one, component, steps.currency)} on.",
                "Raise it.",
            )


def _far(steps: Walk) -> Iterator[Problem]:
    if steps.component.edges != "quota" or not steps.breaks or steps.breaks[-1] <= steps.of_quota(FAR_TIER):
        return
    name = _list(steps.component)
    yield Problem(
        f"{name}[{len(steps.breaks) - 1}]",
        f"Hardly anybody gets to {_x(steps, steps.breaks[-1])}.",
        "Correct the percentage, or remove it.",
    )


def _samples(steps: Walk) -> list[int]:
    """Places enough to tell two functions apart that are straight between the edges."""
    xs = {0, steps.top, steps.top // 2}
    for edge, after in pairwise((*steps.breaks, steps.top)):
        xs |= {max(0, edge - steps.step), edge, edge + steps.step, (edge + after) // 2, after}
    return sorted({steps.whole(x) for x in xs})


def _dead(steps: Walk) -> list[int]:
    """Tiers and milestones without which all would be paid the same."""
    name = _list(steps.component)
    rows: Sequence[Any] = getattr(steps.component, name)
    if name == "points" or not rows:
        return []
    xs = _samples(steps)
    whole = steps.pays(xs, cap=None, gate=None)
    first = 1 if name == "tiers" else 0
    without = ((place, (*rows[:place], *rows[place + 1 :])) for place in range(first, len(rows)))
    return [place for place, rest in without if steps.pays(xs, cap=None, gate=None, **{name: rest}) == whole]


def _falls(steps: Walk) -> Iterator[tuple[int, Problem]]:
    """Stretches where selling more pays less: (where it begins, the warning)."""
    xs = _samples(steps)
    pays = steps.pays(xs)
    place = 0
    while place < len(xs) - 1:
        if pays[place + 1] >= pays[place]:
            place += 1
            continue
        begins, most = xs[place], pays[place]
        edge = max((edge for edge in steps.breaks if edge <= xs[place + 1]), default=0)
        back = next((later for later in range(place + 1, len(xs)) if pays[later] >= most), None)
        lowest = min(pays[place + 1 : back])
        if back is None:
            until, place = "and pay never gets back there", len(xs)
        else:
            until = f"and pay is back there only at {_x(steps, _back(steps, xs[place + 1 : back + 1], most))}"
            place = back
        remedy = "Raise the rate, or let it apply to its slice only."
        if _list(steps.component) != "tiers":
            remedy = "Let what is paid rise, or stay."
        yield (
            edge,
            Problem(
                _where(steps, edge),
                f"Selling more pays less: {_money(steps, most)} {_near(steps, begins)}, then {_money(steps, lowest)}, "
                f"{until}.",
                remedy,
            ),
        )


def _near(steps: Walk, x: int) -> str:
    """A place; one right beside an edge by its edge."""
    if x + steps.step in steps.breaks:
        return f"just below {_x(steps, x + steps.step)}"
    return f"at {_x(steps, x - steps.step if x - steps.step in steps.breaks else x)}"


def _back(steps: Walk, xs: Sequence[int], enough: int) -> int:
    """Where pay has come back to ``enough``, which it has at the last of ``xs`` and not before."""
    return steps.first(xs[-2], xs[-1], enough) if len(xs) > 1 else xs[-1]


def _where(steps: Walk, edge: int) -> str:
    if edge in steps.breaks:
        return f"{_list(steps.component)}[{steps.breaks.index(edge)}]"
    return "gate" if steps.component.gate else ""


def _cliffs(steps: Walk, told: Collection[int]) -> Iterator[Problem]:
    """Edges where pay jumps; a milestone is one by its nature."""
    gates = [steps.of_quota(steps.component.gate.at_least)] if steps.component.gate else []
    edges = steps.breaks if _list(steps.component) != "steps" else ()
    for edge in sorted({*edges, *gates}):
        if edge < 2 * steps.step or edge in told:
            continue
        before, below, at, after = steps.pays([edge - 2 * steps.step, edge - steps.step, edge, edge + steps.step])
        usual = max(below - before, after - at, 0)
        if at - below <= usual + 1:
            continue
        what = "deals are bundled to reach it" if steps.by_deal else "deals are pulled forward or held back for it"
        yield Problem(
            "gate" if edge in gates and edge not in edges else _where(steps, edge),
            f"A cliff: at {_x(steps, edge)} pay jumps by {_money(steps, at - below)}, from {_money(steps, below)} to "
            f"{_money(steps, at)}.",
            f"Keep it if it is meant: {what}, and a refund falls as far.",
        )


def _decelerators(steps: Walk, told: Collection[int]) -> Iterator[Problem]:
    """Tiers of an accumulating kind above which each further sale pays less than the one before."""
    if steps.component.kind != "quota":
        return
    ends = (*steps.breaks[1:], steps.top)
    rates = []
    for start, end in zip(steps.breaks, ends, strict=True):
        low, high = (
            steps.whole(start + steps.step),
            steps.whole(max(start + (end - start) // 2, start + 2 * steps.step)),
        )
        first, last = steps.pays([low, high], cap=None, gate=None)
        rates.append((last - first, high - low))
    for place in range(1, len(rates)):
        (was, size), (now, length) = rates[place - 1], rates[place]
        if place in told or now * size >= was * length - (size + length):
            continue
        yield Problem(
            f"tiers[{place}]",
            f"Above {_x(steps, steps.breaks[place])} selling more pays {_per_unit(steps, now, length)} instead of "
            f"{_per_unit(steps, was, size)}.",
            "Keep it if it is meant: deals are then held back for the next period.",
        )


def _per_unit(steps: Walk, cents: int, size: int) -> str:
    """What is paid over a stretch, as a rate: of money, or for each unit."""
    if is_money(steps.component.measure):
        return format_rate(round_ratio(cents * 10_000, size) * 100)
    return f"{_money(steps, round_ratio(cents * MICRO, size))} a unit"


def _cap(steps: Walk) -> Iterator[Problem]:
    """What a cap makes pointless."""
    cap = steps.component.cap
    if cap is None or cap.excess == "carry":
        return
    (most,) = steps.pays([steps.top])
    if most < cap.amount or cap.amount == 0:
        return
    reached = steps.first(0, steps.top, cap.amount)
    limit = f"The cap of {_money(steps, cap.amount)} a {steps.component.quota_period}"
    for place, start in enumerate(steps.breaks):
        if start >= reached and place:
            yield Problem(
                f"{_list(steps.component)}[{place}]",
                f"{limit} is reached at {_x(steps, reached)}, so what begins at {_x(steps, start)} never pays more.",
                "Raise the cap, or remove it.",
            )
    if steps.quota and reached * 100 < steps.quota * 99:  # rounding alone reaches it a few cents early
        yield Problem(
            "cap.amount",
            f"{limit} is reached at {_percent(reached, steps.quota)} of quota, before the quota itself.",
            "Raise the cap, or lower the quota.",
        )


def _uncapped(steps: Walk) -> Iterator[Problem]:
    """An accelerator without an end: what it comes to at two and three times the quota."""
    component = steps.component
    rises = component.kind == "quota" or (component.kind == "curve" and component.beyond == "extend")
    base = steps.quota or (steps.breaks[-1] if steps.breaks else 0)
    if not rises or component.cap is not None or steps.counts or not base:
        return
    once, twice, thrice = steps.pays([base, 2 * base, 3 * base])
    if thrice <= 3 * once:
        return
    at = [
        f"{format_rate(times * PPM)} of quota"
        if steps.quota
        else words.measured(times * base, component, steps.currency)
        for times in (1, 2, 3)
    ]
    quota = f"with a quota of {words.measured(steps.quota, component, steps.currency)} " if steps.quota else ""
    yield Problem(
        "cap",
        f"Pay has no limit: {quota}it is {_money(steps, once)} at {at[0]}, {_money(steps, twice)} at {at[1]}, "
        f"{_money(steps, thrice)} at {at[2]}.",
        "Add a cap against a single very large deal, unless that is meant.",
    )


# --- which deals match -----------------------------------------------------------------------------

OTHER = "something else"
_NOT_VARIED = ("id", "currency", "cancelled")


def _matching(plan: Plan, known: Known) -> Iterator[Problem]:
    """Deals that no component pays for, and components that no deal is for; asked of the rules' own filters."""
    names = sorted({condition.field for component in plan.components for condition in component.when})
    varied = [name for name in names if name not in _NOT_VARIED]
    values = [_values(plan, name, known) for name in varied]
    mixes = list(islice(product(*values), MOST_MIXES))
    matched = _matched(plan, varied, mixes)
    for place, component in enumerate(plan.components):
        if not any(place in found for found in matched):
            about = [condition for condition in component.when if known.get(condition.field)]
            yield Problem(
                f"component[{place}].when",
                f"No deal of the company is such that {words.conditions(about or component.when)}.",
                "; ".join(f"{each.field} is {_listed(known[each.field])}" for each in about) + ". Correct the filter.",
            )
    always = {
        place
        for place, component in enumerate(plan.components)
        if component.window_from is None and component.window_until is None
    }
    alone = [mix for mix, found in zip(mixes, matched, strict=True) if not found & always]
    if alone and not any(not plan.components[place].when for place in always):
        told = _kinds_of_deals(varied, values, mixes, alone)
        more = f", and {len(told) - MOST_TOLD} more" if len(told) > MOST_TOLD else ""
        which = f"Deals with {'; with '.join(told[:MOST_TOLD])}{more}" if varied else "Deals outside the windows"
        yield Problem(
            "component",
            f"{which} match no component and pay nothing.",
            "Add a component for them, unless that is meant.",
        )


def _listed(values: Collection[FieldValue | None]) -> str:
    texts = sorted("nothing" if each is None else words.value(each) for each in values)
    return ", ".join(texts[:8]) + (" ..." if len(texts) > 8 else "")


def _values(plan: Plan, name: str, known: Known) -> list[FieldValue | None]:
    """What a field may be: as in the company's deals, or what the filters name, just beside it, and something else."""
    if known.get(name):
        return list(known[name])
    found: dict[FieldValue | None, None] = {}
    for condition in (each for component in plan.components for each in component.when if each.field == name):
        for operand in (operand for _, operands in condition.tests for operand in operands):
            found.update(dict.fromkeys(_around(operand, plan, name)))
    if any(isinstance(value, str) for value in found):
        found[OTHER] = None
    return list(found)


def _around(operand: FieldValue, plan: Plan, name: str) -> tuple[FieldValue, ...]:
    if isinstance(operand, Number):
        least = MICRO // unit(name, plan.currency) if name in ("amount", "margin") else MICRO
        return Number(operand.micro - least), operand, Number(operand.micro + least)
    if isinstance(operand, Day):
        return Day(operand.ordinal - 1), operand, Day(operand.ordinal + 1)
    return (not operand, operand) if isinstance(operand, bool) else (operand,)


def _matched(plan: Plan, names: Sequence[str], mixes: Sequence[tuple[FieldValue | None, ...]]) -> list[set[int]]:
    """For each mix of field values the components whose filter lets such a deal through."""
    deals = []
    for place, mix in enumerate(mixes):
        fields = {name: value for name, value in zip(names, mix, strict=True) if value is not None}
        closed, owner = fields.pop("close_date", None), fields.pop("owner", None)
        amount, margin = (_cents(fields.pop(name, Number(0)), plan) for name in ("amount", "margin"))
        deals.append(
            Deal(
                str(place),
                max(closed.ordinal, plan.effective_from) if isinstance(closed, Day) else plan.effective_from,
                (("you", PPM),),
                amount,
                margin,
                owner=owner if isinstance(owner, str) else None,
                fields=fields,
            )
        )
    flat = [
        Component(str(place), "", "flat", component.quota_period, tuple(map(_kept, component.when)), amount=1)
        for place, component in enumerate(plan.components)
    ]
    matched: list[set[int]] = [set() for _ in mixes]
    for line in calculate_alone(plan, flat, [Assignment("you", plan.name)], deals):
        if line.deal:
            matched[int(line.deal)].add(int(line.component))
    return matched


def _kept(condition: Condition) -> Condition:
    """The condition; one on a field that is not varied holds for everything."""
    return Condition(OTHER, (("not", ()),)) if condition.field in _NOT_VARIED else condition


def _cents(value: FieldValue, plan: Plan) -> int:
    return value.micro * unit("amount", plan.currency) // MICRO if isinstance(value, Number) else 0


def _kinds_of_deals(
    names: Sequence[str],
    values: Sequence[Sequence[FieldValue | None]],
    mixes: Sequence[tuple[FieldValue | None, ...]],
    alone: Sequence[tuple[FieldValue | None, ...]],
) -> list[str]:
    """The mixes in few words: a value that is never paid for is told once, whatever stands beside it."""
    never = [
        (place, value)
        for place, every in enumerate(values)
        for value in every
        if all(mix in alone for mix in mixes if mix[place] == value)
    ]
    rest = [mix for mix in alone if not any(mix[place] == value for place, value in never)]
    told = [_pair(names[place], value) for place, value in never]
    return told + [" and ".join(map(_pair, names, mix)) for mix in rest]


def _pair(name: str, value: FieldValue | None) -> str:
    if value is None:
        return f"no {name}"
    return f"any other {name}" if value == OTHER else f"{name} {words.value(value)}"

"""A what-if in words: the numbers of the changed plan, each change and the way back, what to look at, what to do."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date

import sqlalchemy as sa

from engine.analytics.field_values import field_values
from engine.analytics.scenario_books import Quarter
from engine.analytics.scenarios import quota_key, quota_scaled
from engine.calc.model import MICRO, PPM, Component, Plan
from engine.calc.payout import needs_quota, unit
from engine.db.database import Database
from engine.errors import Problem, QuotaPathError
from engine.money import currency_digits, format_rate, round_ratio
from engine.periods import Period, parse_period, period_of
from engine.plans import words
from engine.plans.diff import Change, diff
from engine.plans.lint import lint
from engine.plans.numbers import NoSuchPlace, PlanNumber, change, numbers
from engine.plans.reader import load_toml
from engine.services import whatif
from engine.services.access import Actor, require
from engine.services.whatif import Base, PlanText, Price, Span, Variant


@dataclass(frozen=True)
class Reading:
    """A variant's plan in words: its numbers, what changes, what to look at, and what the text cannot say.

    ``fresh`` counts the warnings that the text does not have without the changes.
    """

    numbers: tuple[PlanNumber, ...]
    before: Plan | None
    after: Plan | None
    changes: tuple[Change, ...] = ()
    warnings: tuple[Problem, ...] = ()
    fresh: int = 0
    steps: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = field(default=())


def read(db: Database, actor: Actor, found: Base, variant: Variant) -> Reading:
    """What the variant says.  Needs "whatif.use"."""
    require(actor, "whatif.use")
    with db.read(actor) as conn:
        return whatif.kept(conn, found, ("reading", variant.to_json()), lambda: _read(conn, found, variant))


def _read(conn: sa.Connection, found: Base, variant: Variant) -> Reading:
    try:
        document = change(load_toml(found.text(variant.version_id).document), variant.changes)
    except QuotaPathError as error:
        return Reading((), None, None, problems=(Problem("", str(error)),))
    then = whatif.applied(found, found.past, variant)
    if then.after is None or then.before is None or then.problems:
        return Reading(numbers(document), then.before, None, problems=then.problems)
    before, fields = then.before, sorted({each.field for part in then.after.components for each in part.when})
    known = whatif.kept(conn, found, ("fields", *fields), lambda: field_values(conn, fields))
    warnings = tuple(lint(then.after, known))
    old = whatif.kept(conn, found, ("warnings", variant.version_id), lambda: tuple(lint(before, known)))
    already = {(each.path, each.remedy) for each in old}
    return Reading(
        numbers(document),
        before,
        then.after,
        diff(before, then.after),
        warnings,
        sum((each.path, each.remedy) not in already for each in warnings),
        steps(found, variant),
    )


# --- what is no text of a plan --------------------------------------------------------------------------


def steps(found: Base, variant: Variant) -> tuple[str, ...]:
    """What a variant changes that is no text of a plan: what to do by hand to have it so."""
    title = found.titles.get(variant.plan, variant.plan)
    said = []
    if variant.quota_ppm != PPM:
        said.append(f"On the Quotas page, change the quotas of everyone on {title} by {_by(variant.quota_ppm)}.")
    for key, amount in sorted(variant.quotas.items()):
        whose = _whose(found, key)
        said.append(f"On the Quotas page, set {whose} to {words.money(amount, _currency(found, variant))}.")
    for person, plan in sorted(variant.people.items()):
        name = found.names.get(person, person)
        said.append(
            f"On the Plans page, put {name} on {found.titles.get(plan, plan)}."
            if plan
            else f"On the Plans page, take {name} off {found.titles.get(found.on_plan.get(person, ''), 'the plan')}."
        )
    return tuple(said)


def _by(ppm: int) -> str:
    return ("+" if ppm > PPM else "") + format_rate(ppm - PPM)


def _whose(found: Base, key: str) -> str:
    """``Ana Torres's quota for Q1 2026``."""
    person, component, period = quota_key(key)
    of = f" ({component})" if component else ""
    return f"{found.names.get(person, person)}'s quota for {_titled(period)}{of}"


def _titled(name: str) -> str:
    """``Q1 2026`` and ``October 2026``; other periods go by their names."""
    try:
        period = parse_period(name)
    except QuotaPathError:
        return name
    if period.kind == "month":
        return f"{period.first_day:%B %Y}"
    return f"{name[5:]} {name[:4]}" if period.kind == "quarter" else name


def _currency(found: Base, variant: Variant) -> str:
    """The currency of the plan's figures; the company's where the text has none."""
    try:
        own = str(load_toml(found.text(variant.version_id).document).get("currency", ""))
        currency_digits(own)
    except QuotaPathError:
        return found.currency
    return own


# --- each change, and the way back ----------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """One change of a variant in words, and the variant without it."""

    words: str
    without: Variant


def parts(found: Base, variant: Variant) -> tuple[Part, ...]:
    """Everything that a variant changes, one by one: figures of the plan first, then quotas and people."""
    try:
        document = load_toml(found.text(variant.version_id).document)
        before = {number.path: number for number in numbers(document)}
        after = {number.path: number for number in numbers(change(document, variant.changes))}
    except QuotaPathError:
        before = after = {}
    said = []
    for path, value in variant.changes.items():
        left = {key: each for key, each in variant.changes.items() if key != path}
        text = _change_of(path, value, before.get(path), after.get(path), before | after)
        said.append(Part(text, replace(variant, changes=_without_orphans(left, path, value))))
    if variant.quota_ppm != PPM:
        said.append(Part(f"Quotas of everyone on the plan: {_by(variant.quota_ppm)}", replace(variant, quota_ppm=PPM)))
    currency = _currency(found, variant)
    for key, amount in sorted(variant.quotas.items()):
        without = {each: cents for each, cents in variant.quotas.items() if each != key}
        said.append(Part(f"{_whose(found, key)}: {words.money(amount, currency)}", replace(variant, quotas=without)))
    for person, plan in sorted(variant.people.items()):
        name, kept = found.names.get(person, person), {**variant.people}
        del kept[person]
        said.append(Part(f"{name}: {'added to the plan' if plan else 'off the plan'}", replace(variant, people=kept)))
    return tuple(said)


def _change_of(
    path: str, value: object, was: PlanNumber | None, now: PlanNumber | None, known: dict[str, PlanNumber]
) -> str:
    number = now or was
    if number is not None:
        name = f"{number.component}: {number.label}" if number.component else number.label
        return f"{name}: {was.text() if was else 'none'} → {now.text() if now else 'none'}"
    start, _, rest = path.partition("].")
    component = next((each.component for key, each in known.items() if key.startswith(f"{start}].")), "")
    what = (rest if component else path).replace("tiers[", "tier ").rstrip("]")
    if what.startswith("tier ") and what[5:].isdigit():
        what = f"tier {int(what[5:]) + 1}"
    what = what if component else what.capitalize()
    return f"{f'{component}: ' if component else ''}{what} {'removed' if value is None else 'added'}"


def _without_orphans(changes: dict[str, object], path: str, value: object) -> dict[str, object]:
    """The changes without those inside a part that was added, as it is no longer there."""
    if value is None or not isinstance(value, dict):
        return changes
    return {key: each for key, each in changes.items() if not key.startswith((f"{path}.", f"{path}["))}


# --- another version ------------------------------------------------------------------------------------


def newer(found: Base, variant: Variant) -> PlanText | None:
    """The newest published version of the plan, where it is newer than the one the variant changes, or that is gone."""
    published = [text for text in found.texts if text.plan == variant.plan and not text.is_draft]
    own = next((text for text in found.texts if text.version_id == variant.version_id), None)
    if not published or own is published[-1] or (own is not None and own.is_draft):
        return None
    return published[-1]


def rebased(found: Base, variant: Variant, version_id: int) -> tuple[Variant, tuple[str, ...]]:
    """The same changes on another version of the plan, and in words those that this one has no place for.

    Raises QuotaPathError when there is no such version.
    """
    text = found.text(version_id)
    document = load_toml(text.document)
    already = {number.path: number.written(number.value) for number in numbers(document)}
    told = dict(zip(variant.changes, parts(found, variant), strict=False))
    kept: dict[str, object] = {}
    lost = []
    for path, value in sorted(variant.changes.items()):
        try:
            there = change(document, kept)
            change(there, {path: value})
            inside = path.rpartition(".")[0]
            if inside and change(there, {inside: None}) == there:  # an amount without its draw means nothing
                raise NoSuchPlace(path)
        except NoSuchPlace:
            lost.append(told[path].words if path in told else path)
            continue
        if already.get(path) != value:
            kept[path] = value
    throughout = text.is_draft or (variant.throughout and not _was_draft(found, variant))
    return replace(variant, version_id=version_id, changes=kept, throughout=throughout), tuple(lost)


def _was_draft(found: Base, variant: Variant) -> bool:
    return any(text.version_id == variant.version_id and text.is_draft for text in found.texts)


# --- why figures may not be what one expects ------------------------------------------------------------


def remarks(found: Base, variant: Variant, span: Span, price: Price) -> tuple[str, ...]:
    """What explains figures that do not move, or are less than one expects."""
    said = []
    title = found.titles.get(variant.plan, variant.plan)
    first, last = span.since.toordinal(), span.until.toordinal()
    own = next((text for text in found.texts if text.version_id == variant.version_id), None)
    if own is not None and own.effective_from is not None and not variant.throughout:
        later = [
            text.effective_from
            for text in found.texts
            if text.plan == variant.plan
            and text.effective_from is not None
            and text.effective_from > own.effective_from
        ]
        end = min(later, default=last)
        if own.effective_from >= last:
            said.append(
                f"This version is in force from {_day(own.effective_from)}, after these months. To see it on them, "
                'choose "All the time".'
            )
        elif end <= first:
            said.append(
                f"This version was in force until {_day(end - 1)}, before these months. To see it on them, "
                'choose "All the time".'
            )
        elif own.effective_from > first or end < last:
            since = f"from {_day(own.effective_from)}" if own.effective_from > first else ""
            until = f"until {_day(end - 1)}" if end < last else ""
            said.append(
                f"Of these months the version is in force {' '.join(filter(None, (since, until)))} only; for the rest "
                'other versions count. "All the time" takes it for all of them.'
            )
    if not any(variant.people.get(person, plan) == variant.plan for person, plan in _everyone(found, variant)):
        said.append(f'Nobody is on {title}, so it costs nothing. Add people under "Quotas and people".')
    days = found.past.book.deals.close_date
    begun = min(days) if len(days) else None
    if begun is None:
        said.append("No deal is won yet. Upload deals, and the figures are of what was really sold.")
    elif begun >= first + 31:
        said.append(f"The first won deal is of {_day(begun)}: these months hold no more history than that.")
    elif price.revenue <= 0:
        said.append("Nothing was sold in these months. Choose others.")
    return tuple(said)


def _everyone(found: Base, variant: Variant) -> list[tuple[str, str]]:
    return [*found.on_plan.items(), *((person, plan) for person, plan in variant.people.items())]


def _day(ordinal: int) -> str:
    return date.fromordinal(ordinal).isoformat()


# --- the quotas of one person ---------------------------------------------------------------------------


@dataclass(frozen=True)
class QuotaNow:
    """A person's quota for a period, in minor units of the plan's currency; None: there is none.

    ``key`` names it in `Variant.quotas`; ``component`` is the label of the one it is for, "" for every component.
    ``before`` is what holds without a quota of their own in the variant (with the change of everyone's); ``now`` what
    holds under it.
    """

    key: str
    period: Period
    component: str
    before: int | None
    now: int | None


def quotas_of(coming: Quarter, plan: Plan, variant: Variant, person: str, span: Span) -> list[QuotaNow]:
    """A person's quotas of the span and of the next quarter, under each component that measures by one.

    Empty where no component of the plan looks at a quota.
    """
    measured = [part for part in plan.components if needs_quota(part) or part.quota]
    rows = {(row.component, row.period): row.amount for row in coming.book.quotas if row.person == person}
    cent = MICRO // 10 ** currency_digits(plan.currency)
    labels = {part.id: part.label for part in plan.components}
    said: dict[str, QuotaNow] = {}
    for part in measured:
        for period in _periods(part, span, coming):
            own = part.id if (part.id, period.name) in rows else None
            key = f"{person}/{own}/{period.name}" if own else f"{person}/{period.name}"
            if key in said:
                continue
            before = _held(rows, part, period, plan.currency, cent)
            if before is not None:
                before = quota_scaled(before, variant.quota_ppm)
            label = labels[own] if own else ""
            said[key] = QuotaNow(key, period, label, before, variant.quotas.get(key, before))
    return sorted(said.values(), key=lambda each: (each.period.start, each.component))


def _periods(part: Component, span: Span, coming: Quarter) -> Sequence[Period]:
    period = period_of(part.quota_period, span.since.toordinal())
    found = []
    while period.start < coming.period.end:
        if period.start < span.until.toordinal() or period.end > coming.period.start:
            found.append(parse_period(period.name))
        period = period.next()
    return found


def _held(
    rows: dict[tuple[str | None, str | None], int], part: Component, period: Period, currency: str, cent: int
) -> int | None:
    """The quota in the order in which the rules look for one; a default in minor units too."""
    for key in ((part.id, period.name), (None, period.name), (part.id, None), (None, None)):
        if key in rows:
            return rows[key] // cent
    if part.quota is None:
        return None
    return round_ratio(part.quota * 10 ** currency_digits(currency), unit(part.measure, currency))

"""What-if: a small set of changes to a plan, to quotas and to who is on it, and what everyone earns under them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from engine.calc.book import FOREVER, Book, span
from engine.calc.model import MICRO, MONEY_MEASURES, PPM, Assignment, ExchangeRate, Plan, QuotaRow
from engine.calc.result import Totals
from engine.calc.simulate import Days
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.money import currency_digits, parse_money, parse_number, round_ratio
from engine.periods import parse_period
from engine.plans.document import read_plan
from engine.plans.numbers import change
from engine.plans.reader import load_toml
from engine.plans.versions import read_versions

LEAST_QUOTA, MOST_QUOTA = PPM // 10, 10 * PPM
_MOST_CHANGES = 500


@dataclass(frozen=True)
class PlanText:
    """A version of a plan as it is written; ``effective_from`` is an ordinal, None for the draft."""

    version_id: int
    plan: str
    document: str
    effective_from: int | None

    @property
    def is_draft(self) -> bool:
        """Whether it is still being written."""
        return self.effective_from is None


@dataclass(frozen=True)
class Variant:
    """What a what-if changes.  Without changes it means the official figures.

    ``changes`` are new values by their path in the text of ``version_id`` (a version of ``plan``, or its draft); None
    takes away what stands there.  ``throughout`` asks what would have been had that text always been in force;
    otherwise it is so only on the days on which the version is.  ``quota_ppm`` scales the quotas of everyone on the
    plan, ``quotas`` replaces single ones (``"ana.torres/2026-Q1"``, or of one component
    ``"ana.torres/new-business/2026-Q1"``: minor units of the plan's currency), ``people`` puts persons, by code, on a
    plan ("": on none).
    """

    plan: str
    version_id: int
    changes: Mapping[str, Any] = field(default_factory=dict)
    throughout: bool = False
    quota_ppm: int = PPM
    quotas: Mapping[str, int] = field(default_factory=dict)
    people: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """The canonical text: equal exactly when two variants are."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @property
    def is_plain(self) -> bool:
        """Whether it changes nothing at all."""
        return not (self.changes or self.throughout or self.quotas or self.people) and self.quota_ppm == PPM


def variant_of(text: str | Mapping[str, Any]) -> Variant:
    """The variant of a canonical text, or of its table.  Raises ProblemsError for what is no variant."""
    table = json.loads(text) if isinstance(text, str) else dict(text)
    problems = list(_faults(table)) if isinstance(table, dict) else [Problem("", "It is no table.", "")]
    if problems:
        raise ProblemsError(problems)
    return Variant(**table)


def _faults(table: Mapping[str, Any]) -> Iterable[Problem]:
    kinds: Mapping[str, tuple[type, str]] = {
        "plan": (str, "a plan's name"),
        "version_id": (int, "a version's number"),
        "changes": (dict, "new values by their path"),
        "throughout": (bool, "true or false"),
        "quota_ppm": (int, "a whole number, 1000000 for the quotas as they are"),
        "quotas": (dict, 'minor units by "person/period"'),
        "people": (dict, "plans by person"),
    }
    for key in table.keys() - kinds.keys():
        yield Problem(key, "A variant has no such part.", f"It has {', '.join(kinds)}.")
    for key, (kind, meaning) in kinds.items():
        value = table.get(key, kind())
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            yield Problem(key, f"{value!r} is not {meaning}.", "Write it so, or leave it out.")
        elif isinstance(value, dict) and len(value) > _MOST_CHANGES:
            yield Problem(key, f"There are {len(value):,} of them.", f"A variant keeps at most {_MOST_CHANGES}.")
    yield from _faults_inside(table)
    for key in ("plan", "version_id"):
        if key not in table:
            yield Problem(key, "It is missing.", "Name the plan and the version that is changed.")
    factor = table.get("quota_ppm", PPM)
    if isinstance(factor, int) and not LEAST_QUOTA <= factor <= MOST_QUOTA:
        yield Problem("quota_ppm", f"{factor} is not within a tenth and ten times the quotas.", "Write 100000 or more.")


def _faults_inside(table: Mapping[str, Any]) -> Iterable[Problem]:
    """Faults of the single quotas and of who is on which plan."""
    quotas, people = table.get("quotas"), table.get("people")
    for key, amount in quotas.items() if isinstance(quotas, dict) else ():
        if not isinstance(amount, int) or isinstance(amount, bool) or amount < 1:
            yield Problem("quotas", f"{amount!r} is no quota ({key}).", "Write whole minor units, 1 or more.")
    for person, plan in people.items() if isinstance(people, dict) else ():
        if not isinstance(plan, str):
            yield Problem("people", f"{plan!r} is no plan ({person}).", 'Write its name, or "" for none.')


# --- what the plan says then --------------------------------------------------------------------------


def changed_document(text: PlanText, variant: Variant) -> dict[str, Any]:
    """The document under the variant, its default quotas scaled.

    Raises QuotaPathError for a text that cannot be read, or a path that the text does not have.
    """
    return _scaled(change(load_toml(text.document), variant.changes), variant.quota_ppm)


def _scaled(document: dict[str, Any], ppm: int) -> dict[str, Any]:
    """The document with the quotas of its components scaled; one that is no number is left to the plan language."""
    if ppm == PPM:
        return document
    for component in document.get("component", ()):
        if not isinstance(component, dict) or "quota" not in component:
            continue
        money = component.get("measure", "amount") in MONEY_MEASURES
        try:
            if money:
                digits = currency_digits(document["currency"])
                cents = round_ratio(parse_money(component["quota"], document["currency"]) * ppm, PPM)
                component["quota"] = cents // 10**digits if cents % 10**digits == 0 else _decimal(cents, digits)
            else:
                micro = round_ratio(parse_number(component["quota"]) * ppm, PPM)
                component["quota"] = micro // MICRO if micro % MICRO == 0 else _decimal(micro, 6)
        except QuotaPathError:
            continue
    return document


def _decimal(value: int, digits: int) -> str:
    return f"{value // 10**digits}.{value % 10**digits:0{digits}d}"


@dataclass(frozen=True)
class Changed:
    """What takes the place of a book's own under a variant; None: as it is.  With ``problems`` it is not used.

    ``before`` and ``after`` are the version that is changed, without and with the changes; ``people`` the codes of
    all whose pay may change.
    """

    plans: Mapping[str, tuple[Plan, ...]] = field(default_factory=dict)
    quotas: tuple[QuotaRow, ...] | None = None
    assignments: tuple[Assignment, ...] | None = None
    before: Plan | None = None
    after: Plan | None = None
    people: tuple[int, ...] = ()
    problems: tuple[Problem, ...] = ()


def changed(book: Book, texts: Sequence[PlanText], variant: Variant, currency: str) -> Changed:
    """The variant, applied to a book whose plans are published in ``texts`` (which has the drafts as well).

    Problems are those of the plan language, with their paths in the changed text, and of the variant itself.
    """
    text = next((each for each in texts if each.version_id == variant.version_id), None)
    if text is None or text.plan != variant.plan:
        gone = f"The version that this variant changes is no longer there (plan {variant.plan})."
        return Changed(problems=(Problem("", gone, "Begin the variant anew from a version that is."),))
    try:
        document = changed_document(text, variant)
        before, _ = read_plan(text.document, variant.plan)
    except QuotaPathError as error:
        return Changed(problems=(Problem("", str(error)),))
    if variant.changes or variant.quota_ppm != PPM or variant.throughout or text.is_draft:
        after, problems, versions = _versions(texts, text, document, variant)
    else:
        after, problems, versions = before, [], ()
    quotas, assignments = book.quotas, book.assignments
    problems += _unknown(book, variant)
    if problems:
        return Changed(before=before, problems=tuple(problems))
    if variant.people:
        starts = {name: found[0].effective_from for name, found in book.plans.items()}
        if versions:
            starts[variant.plan] = versions[0].effective_from
        assignments = _moved(assignments, variant.people, starts)
    if variant.quota_ppm != PPM or variant.quotas:
        on_plan = {row.person for row in assignments if row.plan == variant.plan}
        quotas = _requoted(quotas, variant, on_plan, currency if before is None else before.currency)
    replaced = {variant.plan: versions} if versions else {}
    return Changed(
        replaced,
        None if quotas is book.quotas else quotas,
        None if assignments is book.assignments else assignments,
        before,
        after,
        _concerned(book, variant, {**book.plans, **replaced}, assignments),
    )


def _concerned(
    book: Book, variant: Variant, plans: Mapping[str, Sequence[Plan]], assignments: Sequence[Assignment]
) -> tuple[int, ...]:
    """Who is on the plan or named in the variant, and everyone who is paid on the commission of others."""
    on_commission = {
        name
        for name, versions in (*book.plans.items(), *plans.items())
        for plan in versions
        for part in plan.components
        if "commission" in (part.measure, part.pays_on)
    }
    names = {*variant.people, *(quota_key(key)[0] for key in variant.quotas)}
    names |= {row.person for row in (*book.assignments, *assignments) if row.plan in {variant.plan, *on_commission}}
    return tuple(code for code, person in enumerate(book.people) if person in names)


def _versions(
    texts: Sequence[PlanText], text: PlanText, document: Mapping[str, Any], variant: Variant
) -> tuple[Plan | None, list[Problem], tuple[Plan, ...]]:
    """The changed version, what is wrong with it, and all versions of the plan with it."""
    after, problems = read_plan(document, variant.plan)
    if after is None:
        return None, problems, ()
    published = [each for each in texts if each.plan == variant.plan and each.effective_from is not None]
    first = min((each.effective_from for each in published if each.effective_from is not None), default=None)
    if variant.throughout:
        return after, [], (after if first is None else replace(after, effective_from=min(first, after.effective_from)),)
    others = [("published: ", each.document) for each in published if each is not text]
    versions, problems = read_versions([*others, ("", document)], variant.plan)
    return after, [each for each in problems if not each.path.startswith("published: ")], versions


def _unknown(book: Book, variant: Variant) -> list[Problem]:
    """People and plans that a variant names and that are not there."""
    problems = []
    known = set(book.people)
    for person, plan in variant.people.items():
        if person not in known:
            problems.append(Problem("people", f"Nobody is called {person!r}.", "Take the person off the variant."))
        if plan and plan not in book.plans and plan != variant.plan:
            problems.append(Problem("people", f"There is no published plan {plan!r}.", "Choose another one."))
    for key in variant.quotas:
        person, _, period = quota_key(key)
        try:
            parse_period(period)
        except QuotaPathError as error:
            problems.append(Problem("quotas", str(error)))
        if person not in known:
            problems.append(Problem("quotas", f"Nobody is called {person!r}.", "Take the quota off the variant."))
    return problems


def _moved(
    assignments: Sequence[Assignment], people: Mapping[str, str], starts: Mapping[str, int]
) -> tuple[Assignment, ...]:
    """Each of these people on another plan (or none) for all the time they were on one.

    Whoever was on none at all is put on the plan from its first day on.
    """
    paid = {row.person for row in assignments if row.plan is not None}
    found: list[Assignment] = []
    for row in assignments:
        plan = people.get(row.person)
        if plan is None or (row.plan is None and row.person in paid):
            found.append(row)
        elif not plan:
            found.append(replace(row, plan=None))
        else:
            start, end = span(row)
            first = max(starts[plan], start)
            if first > start:  # before the plan's first version nobody can be on it
                found.append(replace(row, plan=None, end=min(first, end) if end < FOREVER else first))
            if first < end:
                found.append(replace(row, plan=plan, start=first if first > start else row.start))
    return tuple(found)


def quota_key(key: str) -> tuple[str, str | None, str]:
    """Person, component (None: every one) and period of a quota that a variant names."""
    person, _, rest = key.partition("/")
    component, _, period = rest.rpartition("/")
    return person, component or None, period


def quota_scaled(amount: int, ppm: int) -> int:
    """A quota in whole minor units times a factor; never nothing."""
    return max(1, round_ratio(amount * ppm, PPM))


def _requoted(quotas: Sequence[QuotaRow], variant: Variant, on_plan: set[str], currency: str) -> tuple[QuotaRow, ...]:
    """The quotas of those on the plan scaled, to the cent, then those that the variant names."""
    cent = MICRO // 10 ** currency_digits(currency)
    rows = {(row.person, row.component, row.period): row for row in quotas}
    if variant.quota_ppm != PPM:
        for key, row in rows.items():
            if row.person in on_plan:
                rows[key] = replace(
                    row, amount=max(cent, round_ratio(row.amount * variant.quota_ppm, PPM * cent) * cent)
                )
    for name, amount in variant.quotas.items():
        person, component, period = quota_key(name)
        rows[person, component, period] = QuotaRow(person, component, period, amount * cent)
    return tuple(rows.values())


# --- what everyone gets -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """What people are paid for a span, in minor units of the company's currency, draws included.

    ``left_out`` are those paid in a currency without an exchange rate.
    """

    total: int = 0
    by_person: Mapping[str, int] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


def cost(totals: Totals, book: Book, days: Days, currency: str, currencies: Mapping[str, str]) -> Cost:
    """The cost of the pay periods that start within ``days``; other currencies at their latest rate."""
    inside: dict[str, bool] = {}
    by_person: dict[str, int] = {}
    left_out: set[str] = set()
    for (person, period), cents in totals.paid.items():
        if period not in inside:
            inside[period] = days.since <= parse_period(period).start < days.until
        if inside[period]:
            by_person[person] = by_person.get(person, 0) + cents
    for person in list(by_person):
        there = in_currency(by_person[person], currencies.get(person, currency), currency, book.rates)
        if there is None:
            left_out.add(person)
            del by_person[person]
        else:
            by_person[person] = there
    return Cost(sum(by_person.values()), by_person, tuple(sorted(left_out)))


def in_currency(cents: int, own: str, to: str, rates: Sequence[ExchangeRate]) -> int | None:
    """Money in another currency at the latest rate there is; None without one."""
    if own == to:
        return cents
    known = [rate for rate in rates if rate.currency == own and rate.to == to]
    if not known:
        return None
    rate = max(known, key=lambda rate: rate.day)
    return round_ratio(cents * rate.value * 10 ** currency_digits(to), rate.scale * 10 ** currency_digits(own))

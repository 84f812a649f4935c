"""A case: an example with its plans, people, deals and what must come out, read into a `Book`.

The same reading serves files that give plan, people, quotas and deals apart (`engine.plans.tables`).
"""

import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from engine.calc.book import Book, book_from_rows, check_rows
from engine.calc.model import (
    MICRO,
    PPM,
    Assignment,
    Deal,
    ExchangeRate,
    FieldValue,
    Invoice,
    Number,
    Plan,
    QuotaRow,
)
from engine.errors import Problem, QuotaPathError
from engine.money import currency_digits, parse_money, parse_number, parse_rate
from engine.plans.checks import check_one_currency, check_quotas
from engine.plans.document import PRORATIONS, field_value
from engine.plans.reader import Reader, as_day, as_text, load_toml, shown
from engine.plans.versions import read_drafts

CASE_KEYS = (
    "name", "source", "as_of", "plan", "plans", "plans_doc", "person", "quota", "assignment", "rate", "deal", "expect",
)  # fmt: skip
# Keys of a deal with a meaning of their own; every other one is a field of the deal.
_DEAL_KEYS = (
    "id", "owner", "credits", "close_date", "amount", "margin", "currency", "cancelled", "invoices",
)  # fmt: skip
_REFUSED: FieldValue = ""  # stands in for a value that was refused

MONEY_EXPECTED = (
    "by_person", "by_component", "by_deal", "by_period", "paid", "draw_balance", "payments",
)  # fmt: skip


@dataclass(frozen=True)
class Expected:
    """What must come out: money in cents, attainment in ppm; None: not asked for."""

    total: int | None = None
    money: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    attainment: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Case:
    """One case.  With ``problems`` nothing comes out; ``book`` then serves to find more of them, with harmless
    values in place of what was refused, and is None where there is no plan at all.
    """

    name: str
    currency: str
    book: Book | None
    problems: tuple[Problem, ...]
    expected: Expected
    relocate: Callable[[Problem], Problem]


def load_case(text: str) -> Case:
    """The case of a TOML text.  What is wrong with it is in its ``problems``; nothing is raised."""
    try:
        document = load_toml(text)
    except QuotaPathError as error:
        return Case("", "USD", None, (Problem("", str(error)),), Expected(), _same)
    return read_case(document)


def read_case(document: Mapping[str, Any], noted: Iterable[Problem] = ()) -> Case:
    """The case of a table as `load_toml` gives it; ``noted`` are problems known before."""
    problems = list(noted)
    reader = Reader(document, "", problems)
    reader.only(CASE_KEYS)
    plans, paths = _plans(reader)
    currency = next((versions[0].currency for versions in plans.values() if versions), "USD")
    people = _people(reader)
    assignments = _assignments(reader, people, plans)
    quotas = _quotas(reader)
    measured = _measured_fields(plans)
    deals = [_deal(row, currency, measured) for row in reader.rows("deal")]
    rates = _rates(reader)
    as_of = reader.day("as_of")
    expected = _expected(reader.inside("expect"), currency)

    if plans and all(plans.values()):
        problems += check_quotas(plans, quotas)
    relocate = _relocation([path for path, _ in assignments], [path for path, _ in quotas], paths)
    rows = [row for _, row in assignments]
    figures = [row for _, row in quotas]
    problems += [relocate(problem) for problem in check_rows(plans, rows, deals, figures)]
    if problems:
        rows, figures = _stand_ins(rows, plans, problems), [replace(row, amount=row.amount or MICRO) for row in figures]
    book = book_from_rows(plans, rows, deals, figures, rates, as_of) if plans and all(plans.values()) else None
    return Case(reader.text("name"), currency, book, _once(problems), expected, relocate)


def _stand_ins(rows: Iterable[Assignment], plans: Container[str], problems: Iterable[Problem]) -> list[Assignment]:
    """The assignments without what a calculation could stumble over, to look for more problems with."""
    circle = any(problem.path.endswith(".manager") for problem in problems)
    return [
        replace(row, plan=row.plan if row.plan in plans else None, manager=None if circle else row.manager)
        for row in rows
    ]


def _same(problem: Problem) -> Problem:
    return problem


def _once(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Each problem once: two checks may see the same one."""
    return tuple(dict.fromkeys(problems))


def _relocation(
    assignments: Sequence[str], quotas: Sequence[str], plans: Mapping[str, str]
) -> Callable[[Problem], Problem]:
    """Turns paths that count the rows of the book into paths of the case.

    A person's own ``manager``, ``start`` and ``end`` are an assignment of the book, the person's quota a
    quota row; a plan's versions are counted by date in the book, as written in the case.  Paths of deals are
    the case's own.
    """

    def relocate(problem: Problem) -> Problem:
        path = problem.path
        row = re.match(r"(assignment|quota)\[(\d+)\]", path)
        if row:
            origins = assignments if row[1] == "assignment" else quotas
            return replace(problem, path=origins[int(row[2])] + path[row.end() :])
        if path.startswith("deal[") or not path:
            return problem
        start = max((start for start in plans if path.startswith(start)), key=len, default="")
        return replace(problem, path=plans.get(start, start) + path[len(start) :])

    return relocate


# --- plans -----------------------------------------------------------------------------------------


def _plans(reader: Reader) -> tuple[dict[str, tuple[Plan, ...]], dict[str, str]]:
    """The plans by name, those with problems as `read_drafts` has them, and the case's path for each of the book's."""
    sources: dict[str, Any] = {}
    if "plan" in reader.table:
        if "plans_doc" in reader.table:
            reader.problem("plan", "There is [plan] and [plans_doc] too.", "Move the plan into [plans_doc].")
        value = reader.table["plan"]
        first = value[0] if isinstance(value, list) and value else value
        name = first.get("plan") if isinstance(first, Mapping) else None
        sources[name if isinstance(name, str) and name else "plan"] = ("plan", value)
    elif "plans_doc" in reader.table:
        table = reader.inside("plans_doc")
        sources = {name: (f"plans_doc.{name}", value) for name, value in (table.table if table else {}).items()}
    else:
        reader.problem("plan", "There is no plan.", "Add a [plan].")
    plans: dict[str, tuple[Plan, ...]] = {}
    paths: dict[str, str] = {}
    for name, (path, value) in sources.items():
        documents: list[tuple[str, Mapping[str, Any]]] = []
        if isinstance(value, list):
            holder = Reader({path: value}, "", reader.problems)
            documents = [(f"{row.path}.", row.table) for row in holder.rows(path)]
        elif isinstance(value, Mapping):
            documents = [("" if path == "plan" else f"{path}.", value)]
        else:
            reader.problem(path, f"{shown(value)} is not a plan.", f"Write it as [{path}].")
        versions, problems = read_drafts(documents, name)
        reader.problems += problems
        plans[name] = tuple(plan for _, plan in versions)
        for place, (start, _) in enumerate(versions):
            several = f"[{place}]" if len(versions) > 1 else ""
            of_book = f"plans_doc.{name}{several}." if len(sources) > 1 else f"plan{several}." if several else ""
            paths[of_book] = start
    reader.problems += check_one_currency(plans)
    return plans, paths


def _measured_fields(plans: Mapping[str, Sequence[Plan]]) -> frozenset[str]:
    """The fields that must be numbers, even where they are written as text."""
    components = [each for versions in plans.values() for plan in versions for each in plan.components]
    return frozenset(each.measure for each in components) | {"term_months"}


# --- people ----------------------------------------------------------------------------------------


def _people(reader: Reader) -> dict[str, Reader]:
    people: dict[str, Reader] = {}
    for row in reader.rows("person"):
        row.only(("id", "manager", "start", "end", "prorate", "quota"))
        person = row.need("id", as_text, "")
        if person in people and person:
            row.problem("id", f'"{person}" is listed twice.', "List each person once; use [[assignment]] for changes.")
        people.setdefault(person, row)
    return people


def _assignments(
    reader: Reader, people: Mapping[str, Reader], plans: Mapping[str, object]
) -> list[tuple[str, Assignment]]:
    """Each with the path it comes from; a person with rows of their own has no other assignment."""
    only_plan = next(iter(plans)) if "plan" in reader.table else None
    plan_of: dict[str, str | None] = dict.fromkeys(people, only_plan)
    listed = reader.inside("plans") or Reader({}, "plans", reader.problems)
    for person in listed.table:
        plan = listed.text(person)
        if person not in people:
            listed.problem(person, f'Nobody is called "{person}".', "Add a [[person]] or correct the id.")
        elif plan and plan not in plans:
            listed.problem(person, f'There is no plan "{plan}".', f"Write one of: {', '.join(sorted(plans))}.")
        else:
            plan_of[person] = plan or None
    rows = reader.rows("assignment")
    with_rows = {row.table.get("person") for row in rows}
    found = []
    for person, row in people.items():
        manager = row.text("manager") or None
        prorate = row.choice("prorate", PRORATIONS, "days")
        start, end = row.day("start"), row.day("end")
        if person not in with_rows:
            found.append((row.path, Assignment(person, plan_of[person], manager, start, end, prorate)))
    for row in rows:
        row.only(("person", "plan", "manager", "start", "end", "prorate"))
        person = row.need("person", as_text, "")
        if person and person not in people:
            row.problem("person", f'Nobody is called "{person}".', "Add a [[person]] or correct the id.")
        if person not in people:
            continue
        own = people[person].table
        manager = row.text("manager") or _text_or_none(own.get("manager"))
        prorate = row.choice("prorate", PRORATIONS, str(own.get("prorate", "days")))
        plan_then = row.text("plan") or plan_of[person]
        found.append((row.path, Assignment(person, plan_then, manager, row.day("start"), row.day("end"), prorate)))
    return found


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _quotas(reader: Reader) -> list[tuple[str, QuotaRow]]:
    """The figures of the people and the rows, each with its path; a row without a period is a figure too."""
    found = []
    for row in reader.rows("person"):
        person = _text_or_none(row.table.get("id")) or ""
        figures = row.table.get("quota")
        if isinstance(figures, Mapping):
            table = Reader(figures, row.at("quota"), reader.problems)
            named = [(table, component, component) for component in figures]
        else:
            named = [(row, "quota", "")] if figures is not None else []
        for place, key, component in named:
            found.append(
                (place.at(key), QuotaRow(person, component or None, None, place.read(key, parse_number, MICRO)))
            )
    for row in reader.rows("quota"):
        row.only(("person", "component", "period", "amount"))
        amount = row.need("amount", parse_number, MICRO)
        person = row.need("person", as_text, "")
        component, period = row.text("component") or None, row.text("period") or None
        if person:
            found.append((row.path, QuotaRow(person, component, period, amount)))
    return found


# --- deals and exchange rates ----------------------------------------------------------------------


def _deal(row: Reader, plan_currency: str, measured: frozenset[str]) -> Deal:
    currency = row.read("currency", _currency, "") or None
    unit = currency or plan_currency
    close_date = row.need("close_date", as_day, 1)
    fields: dict[str, FieldValue] = {}
    for key in row.table:
        if key not in _DEAL_KEYS:
            fields[key] = row.read(key, _number if key in measured else field_value, _REFUSED)
    term = fields.get("term_months")
    if isinstance(term, Number) and term.micro <= 0:
        row.problem("term_months", f"A term of {shown(row.table['term_months'])} months is none.", "Write 1 or more.")
    return Deal(
        id=row.need("id", as_text, ""),
        close_date=close_date,
        credits=_credits(row),
        amount=_money(row, "amount", unit),
        margin=_money(row, "margin", unit),
        currency=currency,
        cancelled=row.day("cancelled"),
        invoices=tuple(_invoice(invoice, unit) for invoice in row.rows("invoices")),
        owner=_text_or_none(row.table.get("owner")),
        fields=fields,
    )


def _currency(value: Any) -> str:
    currency_digits(as_text(value))
    return str(value)


def _number(value: Any) -> FieldValue:
    """A measured field's value: text is the number that it reads as; what is no number stays as it is."""
    if isinstance(value, str):
        try:
            return Number(parse_number(value))
        except QuotaPathError:
            pass
    return field_value(value)


def _money(row: Reader, key: str, currency: str) -> int | None:
    return row.read(key, lambda value: parse_money(value, currency), 0) if key in row.table else None


def _credits(row: Reader) -> tuple[tuple[str, int], ...]:
    if "credits" not in row.table:
        owner = row.need("owner", as_text, "")
        return ((owner, PPM),) if owner else ()
    if "owner" in row.table:
        row.problem("owner", "The deal has an owner and credits too.", "Keep one of them.")
    table = row.inside("credits")
    if table is None:
        return ()
    if not table.table:
        row.problem("credits", "The credits are empty.", 'Write who is credited: { ana = "60%", bo = "40%" }.')
    return tuple((person, table.ratio(person, 0)) for person in sorted(table.table))


def _invoice(row: Reader, currency: str) -> Invoice:
    row.only(("paid", "amount"))
    return Invoice(row.need("paid", as_day, 1), row.need("amount", lambda value: parse_money(value, currency), 0))


def _rates(reader: Reader) -> list[ExchangeRate]:
    rates: list[ExchangeRate] = []
    seen: set[tuple[str, str, int]] = set()
    for row in reader.rows("rate"):
        row.only(("currency", "to", "date", "rate"))
        currency, to = row.need("currency", _currency, "USD"), row.need("to", _currency, "USD")
        day = row.need("date", as_day, 1)
        value, scale = row.need("rate", _exchange_rate, (1, 1))
        if (currency, to, day) in seen:
            row.problem("date", f"There are two rates from {currency} to {to} on that day.", "Keep one.")
        seen.add((currency, to, day))
        rates.append(ExchangeRate(currency, to, day, value, scale))
    return rates


def _exchange_rate(value: Any) -> tuple[int, int]:
    """A rate above 0 with all its decimals, as a whole number and what to divide it by."""
    text = format(value, "f") if isinstance(value, Decimal) else str(value).strip()
    number = re.fullmatch(r"(\d+)(?:\.(\d+))?", text, re.ASCII)
    if isinstance(value, (bool, float)) or number is None or not int(number[1] + (number[2] or "")):
        raise QuotaPathError(f"{shown(value)} is not an exchange rate. Write a number above 0, such as 1.0825.")
    decimals = number[2] or ""
    return int(number[1] + decimals), 10 ** len(decimals)


# --- what must come out ----------------------------------------------------------------------------


def _expected(reader: Reader | None, currency: str) -> Expected:
    if reader is None:
        return Expected()
    reader.only(("total", "attainment", "problems", *MONEY_EXPECTED))
    money: dict[str, dict[str, int]] = {}
    for key in MONEY_EXPECTED:
        table = reader.inside(key)
        if table is not None:
            money[key] = {name: _money(table, name, currency) or 0 for name in table.table}
    attained = reader.inside("attainment")
    problems = reader.table.get("problems")
    if problems is not None and not (isinstance(problems, list) and all(isinstance(each, str) for each in problems)):
        reader.problem("problems", f"{shown(problems)} is not a list of paths.", 'Write [ "component[0].rate" ].')
        problems = None
    return Expected(
        total=_money(reader, "total", currency),
        money=money,
        attainment={name: attained.read(name, parse_rate, 0) for name in attained.table} if attained else {},
        problems=None if problems is None else tuple(problems),
    )

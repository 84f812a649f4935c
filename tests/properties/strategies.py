"""Random plans, people and deals: small numbers that like to lie on edges, a cent beside them, or on half cents."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from datetime import date
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from hypothesis import strategies as st

from engine.calc.book import Book, book_from_rows, check_rows
from engine.calc.model import Assignment, Day, Deal, ExchangeRate, FieldValue, Invoice, Number, Plan, QuotaRow, Tier
from engine.money import format_money
from engine.plans.document import parse_plan
from tests.properties.naive import Model, span_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
R = TypeVar("R", bound="DataclassInstance")
Document = dict[str, Any]

PPM = 1_000_000
PEOPLE = ("ana", "bo", "cy", "Di")
PERIODS = ("month", "quarter", "year", "week")
# First and last days of months, quarters and years, days of weeks that belong to two years, and days between.
DAYS = tuple(
    date.fromisoformat(day)
    for day in (
        "2026-01-01", "2026-01-05", "2026-01-15", "2026-01-31", "2026-02-01", "2026-02-14", "2026-02-28", "2026-03-01",
        "2026-03-15", "2026-03-30", "2026-03-31", "2026-04-01", "2026-05-31", "2026-06-30", "2026-07-01", "2026-12-31",
        "2027-01-01", "2027-01-03", "2027-01-04", "2028-02-29",
    )
)  # fmt: skip
CENTS = (5000, 3333, 10_000, 1, 5001, 4999, 6667, 9999, 10_001, 12_000, 15_000, 33_333, 5, 0)
SPLITS = (
    ("100%",), ("50%", "50%"), ("60%", "40%"), ("33.3333%", "33.3333%", "33.3334%"), ("100%", "100%"), ("100%", "0%"),
    ("60%", "40%", "12.5%"), ("70%",),
)  # fmt: skip


_DATES = ("effective_from", "window_from", "window_until", "start", "end", "close_date", "cancelled", "paid", "as_of")


def told(value: Any) -> str:
    """A record in short: what is not as by default, days as dates."""
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(told(each) for each in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {told(each)}" for key, each in value.items()) + "}"
    if not is_dataclass(value):
        return repr(value)
    parts = []
    for each in fields(value):
        entry = getattr(value, each.name)
        if entry is None or entry == () or entry == each.default:
            continue
        a_day = each.name in _DATES and not isinstance(value, Tier)
        parts.append(f"{each.name}={date.fromordinal(entry) if a_day else told(entry)}")
    return f"{type(value).__name__}({', '.join(parts)})"


@dataclass(frozen=True, repr=False)
class Rows:
    """One random company."""

    plans: dict[str, tuple[Plan, ...]]
    assignments: tuple[Assignment, ...]
    deals: tuple[Deal, ...]
    quotas: tuple[QuotaRow, ...]
    rates: tuple[ExchangeRate, ...]
    as_of: int | None
    seed: int

    def __repr__(self) -> str:
        rates = [rate for rate in self.rates if any(deal.currency == rate.currency for deal in self.deals)]
        lines = [told(plan) for versions in self.plans.values() for plan in versions]
        lines += [told(row) for row in (*self.assignments, *self.deals, *self.quotas, *rates)]
        lines.append(f"as_of={self.as_of and date.fromordinal(self.as_of)} seed={self.seed}")
        return "\n" + "\n".join(lines)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))

    @property
    def book(self) -> Book:
        """What the real rules take."""
        return book_from_rows(self.plans, self.assignments, self.deals, self.quotas, self.rates, self.as_of)

    @property
    def model(self) -> Model:
        """What the second opinion takes."""
        return Model(self.plans, self.assignments, self.deals, self.quotas, self.rates, self.as_of)


class Chooser:
    """Short words for what is chosen again and again."""

    def __init__(self, random: Random) -> None:
        self.random = random

    def one(self, values: Sequence[T]) -> T:
        return self.random.choice(values)

    def chance(self, percent: int) -> bool:
        return self.random.randrange(100) < percent

    def number(self, least: int, most: int) -> int:
        return self.random.randint(least, most)

    def cents(self) -> int:
        return self.one(CENTS) if self.chance(75) else self.number(1, 40_000)

    def rising(self, values: Sequence[T], most: int) -> list[T]:
        """Some of the values, in their order."""
        count = self.number(0, most)
        chosen = sorted({self.number(0, len(values) - 1) for _ in range(count)})
        return [values[place] for place in chosen]


# --- plans -----------------------------------------------------------------------------------------

KINDS = ("quota", "quota", "quota", "percentage", "flat", "tiered", "curve", "bonus")
RATES = ("10%", "8%", "12.5%", "50%", "33.3333%", "10%", "0%")
PERCENT_EDGES = ("40%", "50%", "66.6667%", "80%", "100%", "120%", "150%")
MONEY_EDGES = (1, 3333, 5000, 6667, 10_000, 15_000)
UNIT_EDGES = ("0.5", 1, 2, 3, 5)
WHENS: tuple[Document, ...] = (
    {"type": "New"},
    {"type": ["new", "Expansion"]},
    {"type": {"not": "New"}},
    {"type": {"not": ["renewal", "NEW"]}},
    {"amount": {"at_least": "50.00"}},
    {"amount": {"more_than": 50, "at_most": "100"}},
    {"amount": {"less_than": 0}},
    {"seats": {"at_least": 2}},
    {"seats": 2},
    {"seats": "2.0"},
    {"code": 7},
    {"code": {"not": "07"}},
    {"owner": "ANA"},
    {"owner": {"not": "ana"}},
    {"id": ["d1", "D3"]},
    {"code": {"at_least": 7}},
    {"signed": {"less_than": date(2026, 2, 1)}},
    {"signed": date(2026, 1, 31)},
    {"signed": {"not": "2026-01-31"}},
    {"currency": ["eur", "USD"]},
    {"renewable": True},
    {"renewable": {"not": True}},
    {"cancelled": {"at_least": date(2026, 1, 1)}},
    {"close_date": {"at_least": date(2026, 2, 1), "less_than": date(2026, 4, 1)}},
    {"margin": {"at_most": "33.33"}, "type": ["New", "Renewal"]},
)


@dataclass(frozen=True)
class Fixed:
    """What may not change from one version of a component to the next."""

    id: str
    quota_period: str
    measure: str
    pays_on: str

    @property
    def in_money(self) -> bool:
        return self.measure in ("amount", "margin", "commission")


def money(cents: int, currency: str) -> str:
    return format_money(cents, currency)


def _fixed(choose: Chooser, name: str, pay_period: str, leads: bool) -> Fixed:
    measures = ("amount", "amount", "amount", "margin", "quantity", "count", "seats") + (("commission",) * 5) * leads
    measure = choose.one(measures)
    pays_on = measure
    if measure != "commission" and choose.chance(30):
        pays_on = choose.one(("amount", "margin"))
    return Fixed(name, choose.one((pay_period, *PERIODS)), measure, pays_on)


def _component(choose: Chooser, fixed: Fixed, currency: str, others: Sequence[Fixed], leads: bool) -> Document:
    kinds = [kind for kind in KINDS if fixed.measure != "commission" or kind != "flat"]
    kind = choose.one(kinds)
    document: Document = {"id": fixed.id, "kind": kind, "quota_period": fixed.quota_period}
    if fixed.measure != "amount":
        document["measure"] = fixed.measure
    if fixed.pays_on != fixed.measure:
        document["pays_on"] = fixed.pays_on
    if leads and choose.chance(75):
        document["credit_from"] = choose.one(("team", "direct_reports"))
    if choose.chance(25):
        document["when"] = choose.one(WHENS)
    if choose.chance(12):
        first, last = sorted((choose.one(DAYS), choose.one(DAYS)))
        document["window"] = {"from": first, "until": last}
        if choose.chance(30):
            del document["window"][choose.one(("from", "until"))]
    if choose.chance(25):
        factors = ("2", "1.5", "0.5", "0.9", "0")
        document["multipliers"] = [
            {"when": choose.one(WHENS), "factor": choose.one(factors)} for _ in range(choose.number(1, 2))
        ]
        if fixed.in_money and choose.chance(20):
            document["multipliers"][0]["factor"] = "0.333333"
    # Every component has a quota: one that needs none may still attain it, and any may be a gate's.
    quota = choose.one((10_000, 5000, 3333, 20_001)) if fixed.in_money else choose.one((2, 3, 1, "2.5"))
    document["quota"] = money(quota, currency) if isinstance(quota, int) and fixed.in_money else quota
    derived = not (fixed.pays_on != fixed.measure and not fixed.in_money)
    if choose.chance(35):
        document["base_rate"] = choose.one(("10%", "7.7777%"))
    elif derived and choose.chance(50):
        document["base_rate"] = {"target_pay": money(choose.one((1000, 3333)), currency)}
        if choose.chance(50):
            document["base_rate"]["weight"] = choose.one(("60%", "33.3333%"))
    _KIND[kind](choose, document, fixed, currency)
    _limits(choose, document, currency, others)
    return document


def _rate(choose: Chooser, document: Document) -> str:
    if "base_rate" in document and choose.chance(60):
        return choose.one(("1x", "1.5x", "0.333333x"))
    return choose.one(RATES)


def _edges(choose: Chooser, fixed: Fixed, currency: str, most: int, percent: bool = True) -> tuple[Any, list[Any]]:
    """How zero is written, and the edges above it."""
    if percent and choose.chance(60):
        return "0%", choose.rising(PERCENT_EDGES, most)
    if fixed.in_money:
        return 0, [money(cents, currency) for cents in choose.rising(MONEY_EDGES, most)]
    return 0, list(choose.rising(UNIT_EDGES, most))


def _tiers(choose: Chooser, document: Document, fixed: Fixed, currency: str) -> None:
    zero, edges = _edges(choose, fixed, currency, 3, percent=document["kind"] == "quota")
    # Where tiers pay money for units and for money, the page does not say what `pays_on` means.
    amounts = 0 if fixed.in_money else 60 if fixed.pays_on == fixed.measure else choose.one((0, 0, 100))
    tiers: list[Document] = []
    for edge in (zero, *edges):
        if choose.chance(amounts):
            tiers.append({"from": edge, "amount": money(choose.one((100, 333, 1, 0)), currency)})
        else:
            tiers.append({"from": edge, "rate": _rate(choose, document)})
        if choose.chance(25):
            tiers[-1]["applies"] = choose.one(("slice", "all"))
    document["tiers"] = tiers
    if choose.chance(30):
        document["applies"] = choose.one(("slice", "all"))


def _flat(choose: Chooser, document: Document, fixed: Fixed, currency: str) -> None:
    document["amount"] = money(choose.one((500, 333, 1)), currency)
    if choose.chance(30):
        document["scale_by_share"] = False


def _percentage(choose: Chooser, document: Document, fixed: Fixed, currency: str) -> None:
    document["rate"] = _rate(choose, document)


def _curve(choose: Chooser, document: Document, fixed: Fixed, currency: str) -> None:
    zero, edges = _edges(choose, fixed, currency, 3)
    of_target = isinstance(document.get("base_rate"), dict) and choose.chance(70)
    document["points"] = [
        {
            "at": edge,
            "pays": choose.one(("0%", "20%", "100%", "33.3333%", "150%"))
            if of_target
            else money(choose.one((500, 0, 1000, 3333)), currency),
        }
        for edge in (zero, *edges)
    ]
    if choose.chance(40):
        document["beyond"] = "extend"
    if choose.chance(35):
        document["per"] = "deal"


def _bonus(choose: Chooser, document: Document, fixed: Fixed, currency: str) -> None:
    zero, edges = _edges(choose, fixed, currency, 3)
    if not edges or choose.chance(20):
        edges = [zero, *edges]
    document["steps"] = [{"at": edge, "pays": money(choose.one((1000, 333, 2000, 0)), currency)} for edge in edges]
    if choose.chance(50):
        document["award"] = "each"


_KIND = {
    "quota": _tiers,
    "tiered": _tiers,
    "flat": _flat,
    "percentage": _percentage,
    "curve": _curve,
    "bonus": _bonus,
}


def _limits(choose: Chooser, document: Document, currency: str, others: Sequence[Fixed]) -> None:
    longer = [
        other.id
        for other in others
        if other.id != document["id"]
        and other.measure != "commission"
        and ("week", "month", "quarter", "year").index(other.quota_period)
        >= ("week", "month", "quarter", "year").index(document["quota_period"])
    ]
    if longer and choose.chance(25):
        document["gate"] = {"component": choose.one(longer), "at_least": choose.one(("50%", "40%", "100%", "0%"))}
    elif choose.chance(15):
        document["gate"] = choose.one(("50%", "40%", "100%", "0%"))
    own = document.get("applies") == "all"
    retroactive = document["kind"] == "quota" and any(
        tier.get("applies", "all" if own else "slice") == "all" for tier in document["tiers"]
    )
    if "gate" not in document and not retroactive and choose.chance(25):
        document["per_deal"] = {"min": money(choose.one((0, 10, 100)), currency)}
        if choose.chance(60):
            document["per_deal"]["max"] = money(choose.one((100, 500, 1000)), currency)
            if choose.chance(30):
                del document["per_deal"]["min"]
    if choose.chance(30):
        document["cap"] = {"amount": money(choose.one((500, 1000, 100, 0)), currency)}
        if choose.chance(60):
            document["cap"]["excess"] = choose.one(("forfeit", "carry", "carry"))


def _plan(choose: Chooser, name: str, currency: str, leads: bool) -> tuple[Plan, ...]:
    """One, two or three versions."""
    pay_period = choose.one(("month", "month", "quarter", "week", "year"))
    fixed = [_fixed(choose, each, pay_period, leads) for each in "abc"[: choose.number(1, 3)]]
    starts = [choose.one((date(2026, 1, 1), date(2025, 12, 15)))]
    if choose.chance(40):
        starts += sorted({choose.one(DAYS[2:14]) for _ in range(choose.number(1, 2))})
    draws = choose.chance(40)
    versions = []
    for start in starts:
        # A version may lack a component of the others.
        kept = [each for each in fixed if choose.chance(92)] or fixed
        components = [_component(choose, each, currency, kept, leads) for each in kept]
        document: Document = {
            "plan": name,
            "effective_from": start,
            "currency": currency,
            "pay_period": pay_period,
            "component": components,
        }
        if choose.chance(25):
            document["rounding"] = "half_even"
        if draws and choose.chance(90):
            document["draw"] = _draw(choose, currency)
        if choose.chance(50):
            document["clawback"] = _clawback(choose)
        if choose.chance(35):
            document["payable"] = _payable(choose)
        versions.append(parse_plan(document, name))
    return tuple(versions)


def _draw(choose: Chooser, currency: str) -> Document:
    document: Document = {"kind": "recoverable", "amount": money(choose.one((500, 1000, 100, 0)), currency)}
    if choose.chance(50):
        document["periods"] = choose.number(1, 4)
    if choose.chance(25):
        document["kind"] = "non_recoverable"
        return document
    if choose.chance(50):
        document["recover"] = choose.one(("50%", "33.3333%", "0%"))
    if choose.chance(30):
        document["recover_from"] = choose.number(1, 3)
    if choose.chance(30):
        document["forgive_at_end"] = True
    return document


def _clawback(choose: Chooser) -> Document:
    document: Document = {}
    if choose.chance(50):
        document["within_days"] = choose.one((0, 30, 31, 180))
    if choose.chance(50):
        document["share"] = choose.one(("prorated", "50%", "33.3333%"))
    return document


def _payable(choose: Chooser) -> Document:
    document: Document = {}
    if choose.chance(50):
        document["on"] = "invoice_paid"
    if choose.chance(60):
        shares = choose.one((("50%", "50%"), ("33.3333%", "33.3333%", "33.3334%"), ("100%",)))
        document["schedule"] = [{"months": choose.one((0, 1, 2, 3, 4, 12)), "share": share} for share in shares]
    return document


# --- people ----------------------------------------------------------------------------------------


def _assignments(choose: Chooser, people: Sequence[str], plans: Sequence[str]) -> tuple[Assignment, ...]:
    rows: list[Assignment] = []
    for place, person in enumerate(people):
        prorate = choose.one(("days", "days", "months", "none"))
        edges: list[int | None] = [day.toordinal() for day in sorted({choose.one(DAYS[1:16]) for _ in range(2)})]
        shape = choose.number(0, 99)
        # Most are there all the time; some come, go, change or are away for a while.
        spans: list[tuple[int | None, int | None]] = [(None, None)]
        if shape >= 90:
            spans = [(None, edges[0]), (edges[-1], None)]
        elif shape >= 75:
            spans = [(None, edges[0]), (edges[0], None)]
        elif shape >= 68:
            spans = [(edges[0], None)]
        elif shape >= 61:
            spans = [(None, edges[0])]
        plan: str | None = plans[min(place, 1)] if len(plans) > 1 else plans[0]
        for span in spans:
            if choose.chance(15):
                plan = choose.one((*plans, None))
            manager = choose.one(people) if choose.chance(20) else people[place - 1] if place else None
            row = Assignment(person, plan, None, span[0], span[1], prorate)
            managed = replace(row, manager=manager)
            # A circle: then without a manager.
            others = [Assignment(each, None) for each in people if each != person and each not in _names(rows)]
            circle = check_rows(dict.fromkeys(plans, ()), [*rows, *others, managed], ())
            rows.append(row if manager == person or circle else managed)
    return tuple(rows)


def _names(rows: Sequence[Assignment]) -> set[str]:
    return {row.person for row in rows}


def _quotas(choose: Chooser, people: Sequence[str], plans: dict[str, tuple[Plan, ...]]) -> tuple[QuotaRow, ...]:
    rules = {rule.id: rule for versions in plans.values() for version in versions for rule in version.components}
    rows: dict[tuple[str, str | None, str | None], QuotaRow] = {}
    for _ in range(choose.number(0, 3)):
        person, rule = choose.one(people), rules[choose.one(sorted(rules))]
        period = span_of(rule.quota_period, choose.one(DAYS)).name
        component, name = choose.one(((rule.id, period), (rule.id, None), (None, None)))
        amount = choose.one((50, 100, 3)) * PPM
        rows[person, component, name] = QuotaRow(person, component, name, amount)
    return tuple(rows.values())


# --- deals -----------------------------------------------------------------------------------------


def _deals(choose: Chooser, people: Sequence[str], currency: str) -> list[Deal]:
    deals: list[Deal] = []
    # Few days, so that deals meet in a period, and on one day.
    days = [choose.one(DAYS) for _ in range(choose.number(1, 6))]
    for number in range(choose.number(1, 4) + choose.number(0, 5)):
        name = f"D{number + 1}" if number != 1 else "D10"
        if deals and choose.chance(15):
            # A refund of an earlier deal, whole.
            sold = choose.one(deals)
            numbers = {key: _turned(value) for key, value in sold.fields.items()}
            amount, margin = -(sold.amount or 0), -(sold.margin or 0)
            refund = replace(sold, id=name, amount=amount, margin=margin, cancelled=None, invoices=(), fields=numbers)
            deals.append(replace(refund, close_date=max(sold.close_date, choose.one(days).toordinal())))
            continue
        close = choose.one(days)
        sign = -1 if choose.chance(12) else 1
        amount = choose.cents() * sign
        extra: dict[str, FieldValue] = {
            "quantity": Number(choose.one((1_000_000, 2_000_000, 500_000, 0, 333_333)) * sign)
        }
        extra["seats"] = Number(choose.one((2, 1, 5, 0)) * PPM)
        if choose.chance(80):
            extra["type"] = choose.one(["New", "Renewal", "EXPANSION"])
        if choose.chance(30):
            codes: tuple[FieldValue, ...] = ("7", "7.0", Number(7 * PPM), "07")
            extra["code"] = choose.one(codes)
        if choose.chance(30):
            extra["term_months"] = Number(choose.one((12, 1, 3)) * PPM)
        if choose.chance(20):
            extra["signed"] = Day(choose.one(DAYS[:6]).toordinal())
        if choose.chance(20):
            extra["renewable"] = choose.chance(50)
        deals.append(
            Deal(
                id=name,
                close_date=close.toordinal(),
                amount=amount,
                margin=choose.cents() * sign if choose.chance(60) else amount // 3,
                currency=choose.one((currency, "EUR", "JPY")) if choose.chance(25) else None,
                cancelled=close.toordinal() + choose.one((0, 27, 30, 31, 59, 180, 181)) if choose.chance(20) else None,
                invoices=_invoices(choose, close, amount),
                fields=extra,
                **_credits(choose, people),
            )
        )
    return deals


def _turned(value: FieldValue) -> FieldValue:
    return Number(-value.micro) if isinstance(value, Number) else value


def _credits(choose: Chooser, people: Sequence[str]) -> Document:
    if not choose.chance(40):
        owner = choose.one(people)
        return {"credits": ((owner, PPM),), "owner": owner}
    shares = choose.one([each for each in SPLITS if len(each) <= len(people)])
    first = choose.number(0, len(people) - 1)
    holders = [people[(first + place) % len(people)] for place in range(len(shares))]
    return {
        "credits": tuple((who, round(float(share[:-1]) * 10_000)) for who, share in zip(holders, shares, strict=True))
    }


def _invoices(choose: Chooser, close: date, amount: int) -> tuple[Invoice, ...]:
    if not choose.chance(35):
        return ()
    days = sorted({choose.one((0, 1, 30, 60, 90)) for _ in range(choose.number(1, 3))})
    return tuple(Invoice(close.toordinal() + day, choose.one((amount // 3, amount // 2, amount, 1, 0))) for day in days)


# --- a company -------------------------------------------------------------------------------------

RATES_OF_EXCHANGE = tuple(
    ExchangeRate(currency, to, day.toordinal(), value)
    for to in ("USD", "JPY", "KWD")
    for currency, value in (("EUR", 1_085_000), ("JPY", 6_543), ("USD", 150_000_000))
    if currency != to
    for day, value in ((date(2025, 1, 1), value), (date(2026, 2, 1), value * 11 // 10))
)


def company(seed: int, faulty: bool = True) -> Rows:
    """A company: plans, people, quotas, deals; with ``faulty`` a few lack something."""
    choose = Chooser(Random(seed))  # noqa: S311 - examples, not secrets
    currency = choose.one(("USD", "USD", "USD", "USD", "JPY", "KWD"))
    people = PEOPLE[: choose.number(1, 4)]
    plans = {"rep": _plan(choose, "rep", currency, leads=False)}
    if len(people) > 1 and choose.chance(60):
        plans["lead"] = _plan(choose, "lead", currency, leads=True)
    assignments = _assignments(choose, people, ["lead", "rep"] if "lead" in plans else ["rep"])
    quotas = _quotas(choose, people, plans)
    deals = _deals(choose, people, currency)
    as_of = choose.one(DAYS[4:]).toordinal() if choose.chance(25) else None
    rows = Rows(plans, assignments, tuple(deals), quotas, RATES_OF_EXCHANGE, as_of, seed)
    return _with_a_problem(choose, rows) if faulty and choose.chance(8) else rows


def _with_a_problem(choose: Chooser, rows: Rows) -> Rows:
    """Something is missing.  Whether that matters depends on the rules: both opinions must say the same."""
    what = choose.number(0, 3)
    if what == 0:
        return replace(rows, rates=rows.rates[1::2])  # no rate before February 2026
    if what == 1:
        name = choose.one(sorted(rows.plans))
        versions = tuple(
            replace(plan, components=tuple(replace(rule, quota=None) for rule in plan.components))
            for plan in rows.plans[name]
        )
        return replace(rows, plans={**rows.plans, name: versions})
    place = choose.number(0, len(rows.deals) - 1)
    deal = rows.deals[place]
    if what == 2:
        early = replace(deal, close_date=date(2025, 12, 31).toordinal(), cancelled=None)
        return replace(rows, deals=_with(rows.deals, place, early))
    missing = choose.one(("amount", "margin", "quantity", "seats"))
    if missing in ("amount", "margin"):
        return replace(rows, deals=_with(rows.deals, place, _replaced(deal, missing, None)))
    kept = {name: value for name, value in deal.fields.items() if name != missing}
    return replace(rows, deals=_with(rows.deals, place, replace(deal, fields=kept)))


def companies(faulty: bool = False) -> st.SearchStrategy[Rows]:
    """Random companies; with ``faulty`` a few lack something.

    Drawn from one seed each, which is many times faster than drawing every choice.  What fails is made smaller by
    `smallest`, which knows what can be left out of a company.
    """
    return st.integers(0, 2**63).map(lambda seed: company(seed, faulty))


# --- the smallest company that still fails ---------------------------------------------------------


def smallest(rows: Rows, fails: Callable[[Rows], bool]) -> Rows:
    """Leaves out of a failing company what the failure does not need."""
    found = True
    while found:
        found = False
        for smaller in _smaller(rows):
            if _sound(smaller) and fails(smaller):
                rows, found = smaller, True
                break
    return rows


def _sound(rows: Rows) -> bool:
    """Whether the rows hold together, and gates have their component."""
    gates = [
        (rule.gate.component, [each.id for each in version.components])
        for versions in rows.plans.values()
        for version in versions
        for rule in version.components
        if rule.gate is not None
    ]
    return all(name is None or name in known for name, known in gates) and not check_rows(
        rows.plans, rows.assignments, rows.deals, rows.quotas
    )


def _smaller(rows: Rows) -> Iterator[Rows]:
    for name in ("deals", "quotas", "assignments"):
        for fewer in _one_less(getattr(rows, name)):
            yield _replaced(rows, name, fewer)
    for name, versions in rows.plans.items():
        for fewer in _one_less(versions):
            if fewer:
                yield replace(rows, plans={**rows.plans, name: fewer})
    if rows.as_of is not None:
        yield replace(rows, as_of=None)
    for name in ("deals", "assignments"):
        for place, row in enumerate(getattr(rows, name)):
            for simpler in _simpler(row):
                yield _replaced(rows, name, _with(getattr(rows, name), place, simpler))
    for name, versions in rows.plans.items():
        for place, version in enumerate(versions):
            for simpler in _simpler_plan(version):
                yield replace(rows, plans={**rows.plans, name: _with(versions, place, simpler)})


def _replaced(record: R, name: str, value: object) -> R:
    changes: dict[str, Any] = {name: value}
    return replace(record, **changes)


def _one_less(rows: tuple[T, ...]) -> Iterator[tuple[T, ...]]:
    for place in range(len(rows)):
        yield rows[:place] + rows[place + 1 :]


def _with(rows: tuple[T, ...], place: int, row: T) -> tuple[T, ...]:
    return (*rows[:place], row, *rows[place + 1 :])


def _simpler_plan(plan: Plan) -> Iterator[Plan]:
    yield from _simpler(plan)
    for fewer in _one_less(plan.components):
        if fewer:
            yield replace(plan, components=fewer)
    for place, rule in enumerate(plan.components):
        simpler = [*_simpler(rule)]
        simpler += [replace(rule, tiers=fewer) for fewer in _one_less(rule.tiers) if fewer and fewer[0].start == 0]
        simpler += [replace(rule, points=fewer) for fewer in _one_less(rule.points) if fewer and fewer[0].at == 0]
        simpler += [replace(rule, steps=fewer) for fewer in _one_less(rule.steps) if fewer]
        for each in simpler:
            yield replace(plan, components=_with(plan.components, place, each))


# Without these a component, row or deal is another one, or none.
_KEPT = ("edges", "tiers", "points", "steps", "pays_in", "quota", "rate", "amount", "base_rate", "measure", "pays_on")


def _simpler(record: Any) -> Iterator[Any]:
    """The record with one of its optional fields as by default."""
    for each in fields(record):
        default = each.default if each.default_factory is MISSING else each.default_factory()
        if default is not MISSING and each.name not in _KEPT and getattr(record, each.name) != default:
            yield _replaced(record, each.name, default)

"""The input of a calculation, in columns: who, which plans, and the deals as int64 arrays.

A `Book` is what a worker needs to calculate anyone in it.  Deals stand in the order in which credit
accumulates, (close date, deal id by code point), so a rule never compares ids: a deal is its row number.
Columns are ``array(INT64)`` (a NumPy int64 array becomes one by ``array(INT64, data.tobytes())``); ``NONE``
stands for a missing value.
"""

from array import array
from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import date
from typing import Dict, FrozenSet, List, Mapping, Optional, Sequence, Set, Tuple

from engine.calc.model import (
    Assignment,
    Condition,
    Deal,
    ExchangeRate,
    FieldValue,
    Number,
    Plan,
    QuotaRow,
)
from engine.errors import Problem
from engine.money import PPM

# PyPy writes to an array of C longs six times faster than to one of long longs; where both have 64 bits, they are one.
INT64 = "l" if array("l").itemsize == 8 else "q"

NONE = -(2**63)
FOREVER = 2**62  # an open end, later than any day

# Measures that are columns or results of their own, not fields of a deal.
OWN_COLUMNS = ("amount", "margin")


@dataclass(frozen=True)
class Field:
    """A deal field that filters or measures use.

    With ``words``, ``values`` holds codes into it (NONE: missing), for text, dates or anything mixed;
    without, ``values`` are numbers in millionths (NONE: missing).
    """

    values: "array[int]"
    words: Optional[Tuple[FieldValue, ...]] = None


@dataclass(frozen=True)
class Deals:
    """One entry a deal, sorted by (close date, id); money in minor units of the deal's currency.

    Credits of deal ``i`` are the entries ``credit_start[i]:credit_start[i + 1]`` of ``credit_person``
    (codes into `Book.people`; below 0: nobody) and ``credit_share`` (ppm), ordered by person within a deal.
    Without ``credit_start`` each deal has one credit, without ``credit_share`` each share is 100%.
    Invoices likewise, ordered by the day paid.
    """

    close_date: "array[int]"
    credit_person: "array[int]"
    credit_start: "Optional[array[int]]" = None
    credit_share: "Optional[array[int]]" = None
    amount: "Optional[array[int]]" = None
    margin: "Optional[array[int]]" = None
    cancelled: "Optional[array[int]]" = None
    currency: "Optional[array[int]]" = None  # codes into currencies; NONE: the plan's
    currencies: Tuple[str, ...] = ()
    invoice_start: "Optional[array[int]]" = None
    invoice_paid: "Optional[array[int]]" = None
    invoice_amount: "Optional[array[int]]" = None
    fields: Mapping[str, Field] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.close_date)


@dataclass(frozen=True)
class Book:
    """Everything a calculation takes.

    ``people`` are sorted by code point; a person's code is the place in it.  ``plans`` holds each plan's
    versions by ``effective_from``.  ``as_of`` (inclusive) hides later closes, cancellations and
    payments.  ``horizon`` is the last day that draws and carried money run to: ``as_of``, else the last
    close or cancellation.  ``ids`` and ``rows`` (each deal's place in the user's own list) only serve to
    name deals; the rules never see them.
    """

    people: Tuple[str, ...]
    plans: Mapping[str, Tuple[Plan, ...]]
    assignments: Tuple[Assignment, ...]
    deals: Deals
    quotas: Tuple[QuotaRow, ...] = ()
    rates: Tuple[ExchangeRate, ...] = ()
    as_of: Optional[int] = None
    horizon: Optional[int] = None
    ids: Sequence[str] = ()
    rows: Sequence[int] = ()

    def plan_path(self, plan: str, version: int) -> str:
        """What stands before the paths of a plan's problems: nothing, ``plan[1].``, ``plans_doc.ae.``."""
        several = f"[{version}]" if len(self.plans[plan]) > 1 else ""
        if len(self.plans) > 1:
            return f"plans_doc.{plan}{several}."
        return f"plan{several}." if several else ""


def fields_used(plans: Mapping[str, Tuple[Plan, ...]]) -> FrozenSet[str]:
    """The deal fields, beside amount and margin, that these plans need as columns of `Deals.fields`."""
    used: Set[str] = set()
    for versions in plans.values():
        for plan in versions:
            if plan.clawback and plan.clawback.share is None:
                used.add("term_months")
            for component in plan.components:
                used.update((component.measure, component.pays_on))
                whens: List[Tuple[Condition, ...]] = [component.when]
                whens += [multiplier.when for multiplier in component.multipliers]
                used.update(condition.field for when in whens for condition in when)
    return frozenset(used.difference(OWN_COLUMNS, ("count", "commission", "close_date", "cancelled")))


def book_from_rows(
    plans: Mapping[str, Tuple[Plan, ...]],
    assignments: Sequence[Assignment],
    deals: Sequence[Deal],
    quotas: Sequence[QuotaRow] = (),
    rates: Sequence[ExchangeRate] = (),
    as_of: Optional[int] = None,
) -> Book:
    """The book of a few deals given as records; `check_rows` says first whether they hold together.

    The people are those of ``assignments`` (one without a plan still holds shares and rolls up).
    """
    people = tuple(sorted({assignment.person for assignment in assignments}))
    code = {person: place for place, person in enumerate(people)}
    order = sorted(range(len(deals)), key=lambda place: (deals[place].close_date, deals[place].id))
    ordered = [deals[place] for place in order]

    credit_start, credit_person, credit_share = array(INT64, [0]), array(INT64), array(INT64)
    invoice_start, invoice_paid, invoice_amount = array(INT64, [0]), array(INT64), array(INT64)
    for deal in ordered:
        for person, share in sorted(deal.credits):
            credit_person.append(code.get(person, -1))
            credit_share.append(share)
        credit_start.append(len(credit_person))
        for invoice in sorted(deal.invoices, key=lambda invoice: invoice.paid):
            invoice_paid.append(invoice.paid)
            invoice_amount.append(invoice.amount)
        invoice_start.append(len(invoice_paid))

    currencies = tuple(sorted({deal.currency for deal in ordered if deal.currency}))
    days = [deal.close_date for deal in ordered] + [deal.cancelled for deal in ordered if deal.cancelled]
    return Book(
        people=people,
        plans={name: tuple(sorted(versions, key=_effective)) for name, versions in plans.items()},
        assignments=tuple(assignments),
        deals=Deals(
            close_date=array(INT64, [deal.close_date for deal in ordered]),
            credit_person=credit_person,
            credit_start=credit_start,
            credit_share=credit_share,
            amount=_column([deal.amount for deal in ordered]),
            margin=_column([deal.margin for deal in ordered]),
            cancelled=_column([deal.cancelled for deal in ordered]),
            currency=_column([currencies.index(deal.currency) if deal.currency else None for deal in ordered]),
            currencies=currencies,
            invoice_start=invoice_start if invoice_paid else None,
            invoice_paid=invoice_paid or None,
            invoice_amount=invoice_amount if invoice_paid else None,
            fields={name: _field(name, ordered) for name in sorted(fields_used(plans))},
        ),
        quotas=tuple(quotas),
        rates=tuple(rates),
        as_of=as_of,
        horizon=as_of if as_of is not None else max(days, default=None),
        ids=tuple(deal.id for deal in ordered),
        rows=tuple(order),
    )


def _effective(plan: Plan) -> int:
    return plan.effective_from


def _column(values: List[Optional[int]]) -> "Optional[array[int]]":
    if all(value is None for value in values):
        return None
    return array(INT64, [NONE if value is None else value for value in values])


def _field(name: str, deals: Sequence[Deal]) -> Field:
    values: List[Optional[FieldValue]]
    if name == "id":
        values = [deal.id for deal in deals]
    elif name == "owner":
        values = [deal.owner for deal in deals]
    elif name == "currency":
        values = [deal.currency for deal in deals]
    else:
        values = [deal.fields.get(name) for deal in deals]
    if all(value is None or isinstance(value, Number) for value in values):
        return Field(array(INT64, [value.micro if isinstance(value, Number) else NONE for value in values]))
    words: Dict[FieldValue, int] = {}
    codes = [NONE if value is None else words.setdefault(value, len(words)) for value in values]
    return Field(array(INT64, codes), tuple(words))


def check_rows(
    plans: Mapping[str, Tuple[Plan, ...]],
    assignments: Sequence[Assignment],
    deals: Sequence[Deal],
    quotas: Sequence[QuotaRow] = (),
) -> List[Problem]:
    """What does not hold together among the rows, before anything is calculated.

    Paths count the sequences given here: ``deal[0].owner``, ``assignment[1].start``, ``quota[0].person``.
    What depends on the rules (a missing quota, measure or exchange rate, a deal before the first version)
    is found by the calculation.
    """
    problems: List[Problem] = []
    people = {assignment.person for assignment in assignments}

    seen: Set[str] = set()
    for place, deal in enumerate(deals):
        path = f"deal[{place}]"
        if deal.id in seen:
            problems.append(Problem(f"{path}.id", f"{deal.id!r} is there twice.", "Give each deal its own id."))
        seen.add(deal.id)
        for person, _ in deal.credits:
            if person not in people:
                key = "owner" if deal.owner is not None else "credits"
                problems.append(
                    Problem(f"{path}.{key}", f"nobody is called {person!r}.", "Add the person or correct the id.")
                )
        if deal.cancelled is not None and deal.cancelled < deal.close_date:
            problems.append(
                Problem(
                    f"{path}.cancelled",
                    f"{_iso(deal.cancelled)} is before the close date, {_iso(deal.close_date)}.",
                    "Correct one of the two dates.",
                )
            )
    for place, quota in enumerate(quotas):
        if quota.person not in people:
            problems.append(
                Problem(f"quota[{place}].person", f"nobody is called {quota.person!r}.", "Add the person first.")
            )
    return problems + _check_assignments(plans, assignments, people)


def _check_assignments(
    plans: Mapping[str, Tuple[Plan, ...]], assignments: Sequence[Assignment], people: Set[str]
) -> List[Problem]:
    problems: List[Problem] = []
    by_person: Dict[str, List[int]] = {}
    for place, row in enumerate(assignments):
        by_person.setdefault(row.person, []).append(place)
        path = f"assignment[{place}]"
        if row.plan is not None and row.plan not in plans:
            problems.append(
                Problem(f"{path}.plan", f"there is no plan {row.plan!r}.", f"Plans are {', '.join(sorted(plans))}.")
            )
        if row.manager is not None and row.manager not in people:
            problems.append(
                Problem(f"{path}.manager", f"nobody is called {row.manager!r}.", "Add the manager as a person.")
            )
        if row.start is not None and row.end is not None and row.end <= row.start:
            problems.append(
                Problem(f"{path}.end", f"{_iso(row.end)} is not after the start.", "The end is the first day without.")
            )
    for places in by_person.values():
        places.sort(key=lambda place: span(assignments[place]))
        for before, after in zip(places, places[1:]):
            if span(assignments[after])[0] < span(assignments[before])[1]:
                late = max(before, after)
                problems.append(
                    Problem(
                        f"assignment[{late}].start",
                        f"{assignments[late].person} has another assignment at the same time.",
                        "End one on the day the other starts.",
                    )
                )
    for place, row in enumerate(assignments):
        if row.manager is not None and _leads_back(row, row.person, span(row), assignments, by_person, set()):
            problems.append(
                Problem(
                    f"assignment[{place}].manager",
                    f"{row.person} would be above themselves, through {row.manager}.",
                    "Break the circle: someone in it has no manager, or another one.",
                )
            )
    return problems


def _leads_back(
    row: Assignment,
    person: str,
    days: Tuple[int, int],
    assignments: Sequence[Assignment],
    by_person: Mapping[str, List[int]],
    seen: Set[str],
) -> bool:
    """Whether the chain of managers above ``row``, on some day of ``days``, meets ``person``."""
    if row.manager == person:
        return True
    if row.manager is None or row.manager in seen:
        return False
    for place in by_person.get(row.manager, ()):
        start, end = span(assignments[place])
        both = max(start, days[0]), min(end, days[1])
        if both[0] < both[1] and _leads_back(
            assignments[place], person, both, assignments, by_person, seen | {row.manager}
        ):
            return True
    return False


def span(assignment: Assignment) -> Tuple[int, int]:
    """The days of an assignment, half-open, with its open ends filled in."""
    return (
        assignment.start if assignment.start is not None else 0,
        assignment.end if assignment.end is not None else FOREVER,
    )


def visible(book: Book) -> int:
    """How many deals count: those closed on or before ``as_of``."""
    days = book.deals.close_date
    return len(days) if book.as_of is None else bisect_right(days, book.as_of)


def _iso(day: int) -> str:
    return date.fromordinal(day).isoformat()


def full_shares(deals: Deals) -> bool:
    """Whether every credit is of 100% and the only one of its deal: nothing is split."""
    if deals.credit_start is not None and len(deals.credit_person) != len(deals):
        return False
    return deals.credit_share is None or all(share == PPM for share in deals.credit_share)

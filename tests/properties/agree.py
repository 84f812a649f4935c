"""How the second opinion and the real rules are compared."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from engine.calc.book import NONE, Book, Field
from engine.calc.model import Deal, FieldValue, Invoice, Number
from engine.calc.result import Result
from tests.properties.naive import Model, Outcome, RefusedError


@dataclass
class Figures:
    """Everything that must be the same, by name; what is 0 is left out, for a name that lacks counts as 0."""

    lines: dict[tuple[str, ...], int] = field(default_factory=dict)
    attainment: dict[tuple[str, ...], Fraction] = field(default_factory=dict)
    earned: dict[tuple[str, ...], int] = field(default_factory=dict)
    paid: dict[tuple[str, ...], int] = field(default_factory=dict)
    draw_balance: dict[tuple[str, ...], int] = field(default_factory=dict)
    payments: dict[tuple[str, ...], int] = field(default_factory=dict)


def add_up(rows: "list[tuple[tuple[str, ...], int]]") -> dict[tuple[str, ...], int]:
    total: dict[tuple[str, ...], int] = {}
    for key, cents in rows:
        total[key] = total.get(key, 0) + cents
    return {key: cents for key, cents in sorted(total.items()) if cents}


def figures_of_result(result: Result) -> Figures:
    return Figures(
        add_up([((e.person, e.plan, e.component, e.deal, e.period, e.kind), e.cents) for e in result.lines()]),
        {(e.person, e.plan, e.component, e.period): Fraction(e.credit, e.quota) for e in result.attainment if e.credit},
        add_up([((e.person, e.period), e.earned) for e in result.pay]),
        add_up([((e.person, e.period), e.paid) for e in result.pay]),
        add_up([((e.person, e.period), e.draw_balance or 0) for e in result.pay]),
        add_up([((e.person, e.period), e.cents) for e in result.payments]),
    )


def figures_of_outcome(outcome: Outcome) -> Figures:
    return Figures(
        add_up([((e.person, e.plan, e.component, e.deal, e.period, e.kind), e.cents) for e in outcome.lines]),
        {key: attained for key, attained in outcome.attainment.items() if attained},
        add_up(list(outcome.earned.items())),
        add_up(list(outcome.paid.items())),
        add_up(list(outcome.draw_balance.items())),
        add_up(list(outcome.payments.items())),
    )


def differences(naive: Figures, real: Figures) -> list[str]:
    """What is not the same, one text each."""
    found = []
    for what, ours in vars(naive).items():
        theirs: Mapping[tuple[str, ...], object] = getattr(real, what)
        found += [
            f"{what} {'/'.join(key)}: naive {ours.get(key, 0)}, engine {theirs.get(key, 0)}"
            for key in sorted({*ours, *theirs})
            if ours.get(key, 0) != theirs.get(key, 0)
        ]
    return found


def compare(model: Model, result: Result) -> list[str]:
    """The differences between the second opinion and the result; problems must be found by both or by none."""
    try:
        outcome = model.outcome()
    except RefusedError as refused:
        return [] if result.problems else [f"problem: naive {refused}, engine none"]
    if result.problems:
        return [f"problem: naive none, engine {[str(problem) for problem in result.problems]}"]
    return differences(figures_of_outcome(outcome), figures_of_result(result))


# --- the rows of a book ----------------------------------------------------------------------------


def deals_of(book: Book) -> list[Deal]:
    """The records that the columns of a book were made from, as far as the rules use them."""
    columns = book.deals
    deals: list[Deal | None] = [None] * len(columns)
    for row in range(len(columns)):
        values = {name: _value(each, row) for name, each in columns.fields.items()}
        first, last = (columns.credit_start[row : row + 2]) if columns.credit_start is not None else (row, row + 1)
        shares = [
            (book.people[columns.credit_person[i]], columns.credit_share[i] if columns.credit_share else 1_000_000)
            for i in range(first, last)
        ]
        invoices: list[Invoice] = []
        if columns.invoice_start is not None and columns.invoice_paid and columns.invoice_amount:
            invoices = [
                Invoice(columns.invoice_paid[i], columns.invoice_amount[i])
                for i in range(columns.invoice_start[row], columns.invoice_start[row + 1])
            ]
        owner = values.pop("owner", None)
        currency = None if columns.currency is None else _or_none(columns.currency[row])
        deals[book.rows[row]] = Deal(
            id=book.ids[row],
            close_date=columns.close_date[row],
            credits=tuple(shares),
            amount=None if columns.amount is None else _or_none(columns.amount[row]),
            margin=None if columns.margin is None else _or_none(columns.margin[row]),
            currency=None if currency is None else columns.currencies[currency],
            cancelled=None if columns.cancelled is None else _or_none(columns.cancelled[row]),
            invoices=tuple(invoices),
            owner=owner if isinstance(owner, str) else None,
            fields={name: value for name, value in values.items() if value is not None},
        )
    return [deal for deal in deals if deal is not None]


def model_of(book: Book) -> Model:
    return Model(book.plans, book.assignments, deals_of(book), book.quotas, book.rates, book.as_of)


def _value(field: Field, row: int) -> FieldValue | None:
    value = _or_none(field.values[row])
    if value is None:
        return None
    return Number(value) if field.words is None else field.words[value]


def _or_none(value: int) -> int | None:
    return None if value == NONE else value

"""From Postgres to the pay rules: the book of a calculation, in sorted integer columns.

Nothing here knows a rate or a tier; it fetches, sorts and codes.  What the rules need of a deal beyond its
money is asked of the plans (`fields_used`), so a filter on any field of the CRM costs one more column.
"""

import hashlib
import json
from array import array
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa

from engine.calc.book import NONE, Book, Deals, Field, fields_used
from engine.calc.model import MICRO, Assignment, Day, ExchangeRate, FieldValue, Number, Plan, QuotaRow
from engine.calc.wire import DEAL_COLUMNS
from engine.db import bulk, people
from engine.errors import QuotaPathError, given
from engine.money import currency_digits, parse_number
from engine.periods import Period, parse_period
from engine.plans.canonical import canonical
from engine.plans.document import parse_plan

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Inputs:
    """A book, and what its codes mean in the database; the book names each deal by its id there.

    `deal_ids` and `user_ids` are by the place of the deal and the person in the book; `versions` are the ids
    of ``plan_versions`` by plan name and place.  `shared` is the place of the first deal with rows of its own in
    ``deal_credits`` (how many deals there are: none has).
    """

    book: Book
    deal_ids: Ints
    user_ids: Ints
    versions: Mapping[str, Sequence[int]]
    shared: int


def load(
    conn: sa.Connection,
    until: Period,
    deals_in: str = "deals",
    credits_in: str = "deal_credits",
    also: Collection[str] = (),
) -> Inputs:
    """Everything that decides what was earned up to the end of `until`: won deals, people, plans, quotas, rates.

    `deals_in` and `credits_in` name other relations with the columns of these tables, such as temporary views of
    how they would be after a change; they are names written in the program, never a user's.  `also` are fields of
    the deals that are loaded beside those that the published plans look at.
    """
    users = [tuple(row) for row in conn.execute(sa.text('SELECT code, id FROM users ORDER BY code COLLATE "C"'))]
    codes = tuple(code for code, _ in users)
    user_ids = np.array([user_id for _, user_id in users], dtype=np.int64)
    code_of = {user_id: code for code, user_id in users}
    by_name, versions = plans(conn)
    wanted = sorted(fields_used(by_name).union(also))
    deals, deal_ids, shared = _deals(conn, until, user_ids, wanted, deals_in, credits_in)
    return Inputs(
        Book(
            people=codes,
            plans=by_name,
            assignments=_assignments(conn, code_of),
            deals=deals,
            quotas=_quotas(conn, code_of, until),
            rates=_rates(conn),
            as_of=until.end - 1,
            horizon=until.end - 1,
            ids=tuple(map(str, deal_ids.tolist())),
            rows=range(len(deal_ids)),
        ),
        deal_ids,
        user_ids,
        versions,
        shared,
    )


def cut(loaded: Inputs, until: Period) -> Inputs:
    """What `load` gives for `until`, out of what it gave for a later period: the same book, to the fingerprint.

    Deals stand in the order of their close dates, so those up to a day are the first ones; codes are given in the
    order of the deals as well, so the words that these use are the first ones, too.
    """
    book, deals = loaded.book, loaded.book.deals
    count = bisect_left(deals.close_date, until.end)
    start, share = deals.credit_start, deals.credit_share
    credited = count if start is None else start[count]
    if loaded.shared >= count:  # nothing is shared so far: each deal is its owner's
        start = share = None
    currency, currencies = _first(deals.currency, count, deals.currencies)
    return Inputs(
        replace(
            book,
            deals=Deals(
                close_date=deals.close_date[:count],
                credit_person=deals.credit_person[:credited],
                credit_start=None if start is None else start[: count + 1],
                credit_share=None if share is None else share[:credited],
                amount=_some(deals.amount, count),
                margin=_some(deals.margin, count),
                cancelled=_some(deals.cancelled, count),
                currency=currency,
                currencies=currencies,
                fields={name: _cut_field(name, field, count) for name, field in deals.fields.items()},
            ),
            quotas=tuple(row for row in book.quotas if parse_period(given(row.period)).start < until.end),
            as_of=until.end - 1,
            horizon=until.end - 1,
            ids=book.ids[:count],
            rows=range(count),
        ),
        loaded.deal_ids[:count],
        loaded.user_ids,
        loaded.versions,
        min(loaded.shared, count),
    )


def _some(column: "array[int] | None", count: int) -> "array[int] | None":
    """The first rows of a column; None when all of them are nothing."""
    first = None if column is None else column[:count]
    return None if first is None or not (np.frombuffer(first, dtype=np.int64) != NONE).any() else first


def _first(column: "array[int] | None", count: int, words: tuple[Any, ...]) -> tuple["array[int]", tuple[Any, ...]]:
    """The first codes of a column and the words that these use."""
    codes = array("q") if column is None else column[:count]
    used = int(np.frombuffer(codes, dtype=np.int64).max(initial=-1)) + 1
    return codes, words[:used]


def _cut_field(name: str, field: Field, count: int) -> Field:
    """The first rows of a field as if the later ones had never been seen: a field is of numbers when all it has are."""
    if name in _NUMBER_FIELDS:
        return Field(field.values[:count])
    if field.words is None:
        values = field.values[:count]
        nothing = not (np.frombuffer(values, dtype=np.int64) != NONE).any()
        return Field(values, () if nothing else None)
    codes, words = _first(field.values, count, field.words)
    return Field(codes, words) if name in _TEXT_FIELDS else _of_numbers(codes, words)


# --- plans, people, quotas --------------------------------------------------------------------------

_PLAN_VERSIONS = sa.text("""
    SELECT p.name, v.id, v.document FROM plan_versions v JOIN plans p ON p.id = v.plan_id
     WHERE v.status = 'published' ORDER BY p.name COLLATE "C", v.effective_from
""")


def plans(conn: sa.Connection) -> tuple[dict[str, tuple[Plan, ...]], dict[str, tuple[int, ...]]]:
    """The published versions of every plan by its name, oldest first, and their ids in ``plan_versions``."""
    found: dict[str, tuple[Plan, ...]] = {}
    versions: dict[str, tuple[int, ...]] = {}
    for name, version_id, document in conn.execute(_PLAN_VERSIONS):
        found[name] = (*found.get(name, ()), parse_plan(document, name))
        versions[name] = (*versions.get(name, ()), version_id)
    return found, versions


_ASSIGNMENTS = sa.text("""
    SELECT a.user_id, p.name, a.prorate, a.start_date, a.end_date
      FROM plan_assignments a JOIN plans p ON p.id = a.plan_id ORDER BY a.user_id, a.start_date
""")

_Span = tuple[int, int | None, Any]


def _assignments(conn: sa.Connection, code_of: Mapping[int, str]) -> tuple[Assignment, ...]:
    """Plan and manager of everyone over time, cut wherever one of the two changes."""
    plans: dict[int, list[_Span]] = {}
    for user_id, plan, prorate, start, end in conn.execute(_ASSIGNMENTS):
        plans.setdefault(user_id, []).append((*_days(start, end), (plan, prorate)))
    managers: dict[int, list[_Span]] = {}
    for user_id, manager_id, start, end in people.manager_spans(conn):
        managers.setdefault(user_id, []).append((*_days(start, end), code_of[manager_id]))

    rows = []
    for user_id, code in code_of.items():
        own, above = plans.get(user_id, []), managers.get(user_id, [])
        edges = sorted({day for start, end, _ in own + above for day in (start, end) if day is not None})
        # Before the first edge and after the last one the person is on no plan and under nobody, yet may hold shares.
        for start, end in zip([None, *edges], [*edges, None], strict=True):
            plan, prorate = _value_on(own, start) or (None, "days")
            rows.append(Assignment(code, plan, _value_on(above, start), start, end, prorate))
    return tuple(rows)


def _days(start: date, end: date | None) -> tuple[int, int | None]:
    return start.toordinal(), None if end is None else end.toordinal()


def _value_on(spans: Sequence[_Span], day: int | None) -> Any:
    if day is None:
        return None
    return next((value for start, end, value in spans if start <= day and (end is None or day < end)), None)


def _quotas(conn: sa.Connection, code_of: Mapping[int, str], until: Period) -> tuple[QuotaRow, ...]:
    query = sa.text("""
        SELECT user_id, component, period, amount, currency FROM quotas WHERE start_date < :end ORDER BY user_id, id
    """)
    return tuple(
        QuotaRow(code_of[user_id], component or None, period, amount * MICRO // 10 ** currency_digits(currency))
        for user_id, component, period, amount, currency in conn.execute(query, {"end": date.fromordinal(until.end)})
    )


def _rates(conn: sa.Connection) -> tuple[ExchangeRate, ...]:
    query = sa.text("SELECT currency, to_currency, day, rate FROM exchange_rates ORDER BY currency, to_currency, day")
    return tuple(
        ExchangeRate(currency, to, day.toordinal(), int(Decimal(rate).scaleb(10)), 10**10)
        for currency, to, day, rate in conn.execute(query)
    )


def pay_currencies(book: Book) -> dict[str, str]:
    """The currency that each person is paid in: that of their plans.  Raises QuotaPathError when these do not agree."""
    found: dict[str, str] = {}
    for row in book.assignments:
        for plan in book.plans.get(row.plan or "", ()):
            if found.setdefault(row.person, plan.currency) != plan.currency:
                raise QuotaPathError(
                    f"{row.person} is on plans in {found[row.person]} and {plan.currency}. "
                    "Write both plans in one currency; deals in others are converted."
                )
    return found


# --- deals ------------------------------------------------------------------------------------------

# Deals that count: won, or won once and cancelled since.  In the order in which credit accumulates.
_WON = """
      FROM {deals} d JOIN pipeline_stages s ON s.id = d.stage_id
     WHERE (s.outcome = 'won' OR d.cancelled_on IS NOT NULL) AND d.close_date < %(end)s
     ORDER BY d.close_date, d.external_id COLLATE "C", d.source COLLATE "C"
"""
_COLUMNS = {
    "id": ("d.id", pa.int64()),
    "close_date": ("d.close_date - DATE '0001-01-01' + 1", pa.int64()),
    "owner_id": ("d.owner_id", pa.int64()),
    "amount": ("d.amount", pa.int64()),
    "margin": ("d.margin", pa.int64()),
    "currency": ("d.currency", pa.string()),
    "cancelled": ("d.cancelled_on - DATE '0001-01-01' + 1", pa.int64()),
}
# Deals whose credit is shared; the others are their owner's alone.
_CREDITS = """
    SELECT deal_id, user_id, share_ppm FROM {credits} ORDER BY deal_id
"""

# Fields of a deal that are columns; any other name is looked up in the CRM's extra fields.
_TEXT_FIELDS = {
    "id": "d.external_id",
    "owner": "(SELECT code FROM users WHERE users.id = d.owner_id)",
    "name": "d.name",
    "account": "d.account",
    "source": "d.source",
    "stage": "s.name",
    "type": "d.type",
    "product": "d.product",
    "segment": "d.segment",
    "currency": "d.currency",
}
_NUMBER_FIELDS = {"quantity": "d.quantity_micro", "term_months": f"d.term_months * {MICRO}::bigint"}


def _deals(
    conn: sa.Connection,
    until: Period,
    user_ids: Ints,
    wanted: Sequence[str],
    deals_in: str,
    credits_in: str,
) -> tuple[Deals, Ints, int]:
    """The columns of the deals, their ids, and the place of the first one that is shared."""
    columns = dict(_COLUMNS)
    params: dict[str, Any] = {"end": date.fromordinal(until.end)}
    for place, name in enumerate(wanted):
        params[f"field{place}"] = name
        if name in _NUMBER_FIELDS:
            columns[f"field {name}"] = (_NUMBER_FIELDS[name], pa.int64())
        elif name in _TEXT_FIELDS:
            columns[f"field {name}"] = (f"nullif({_TEXT_FIELDS[name]}, '')", pa.string())
        elif name == "created_date":
            columns["field created_date"] = ("to_jsonb(d.created_date)", pa.string())
        else:
            columns[f"field {name}"] = (f"nullif(nullif(d.extra -> %(field{place})s, 'null'), '\"\"')", pa.string())
    chosen = ", ".join(expression for expression, _ in columns.values())
    types = {name: kind for name, (_, kind) in columns.items()}
    found = bulk.read_columns(conn, f"SELECT {chosen}{_WON.format(deals=deals_in)}", params, types)
    deal_ids = found["id"].to_numpy()
    currencies, currency = _coded(found["currency"])
    columns_of_credit, shared = _credits(conn, deal_ids, found["owner_id"].to_numpy(), user_ids, credits_in)
    deals = Deals(
        close_date=_array(found["close_date"].to_numpy()),
        amount=_optional(found["amount"]),
        margin=_optional(found["margin"]),
        cancelled=_optional(found["cancelled"]),
        currency=_array(currency),
        currencies=tuple(currencies),
        fields={name: _field(name, found[f"field {name}"]) for name in wanted},
        **columns_of_credit,
    )
    return deals, deal_ids, shared


def _credits(
    conn: sa.Connection, deal_ids: Ints, owner_ids: Ints, user_ids: Ints, credits_in: str
) -> tuple[dict[str, "array[int]"], int]:
    """Who is credited with which share: the rows of `credits_in`, else all of it to the owner; see `Inputs.shared`."""
    types = {"deal_id": pa.int64(), "user_id": pa.int64(), "share": pa.int64()}
    rows = bulk.read_columns(conn, _CREDITS.format(credits=credits_in), {}, types)
    by_user = np.argsort(user_ids)

    def person(ids: Ints) -> Ints:
        return by_user[np.searchsorted(user_ids, ids, sorter=by_user)].astype(np.int64)

    by_deal = np.argsort(deal_ids)
    shared_ids, users, shares = (rows[name].to_numpy() for name in types)
    place = np.searchsorted(deal_ids, shared_ids, sorter=by_deal)
    known = place < len(deal_ids)
    place = by_deal[np.minimum(place, max(len(deal_ids) - 1, 0))] if len(deal_ids) else place
    known &= deal_ids[place] == shared_ids if len(deal_ids) else False
    place, users, shares = place[known], users[known], shares[known]

    if not len(place):
        return {"credit_person": _array(person(owner_ids))}, len(deal_ids)
    alone = np.setdiff1d(np.arange(len(deal_ids)), place)
    deal = np.concatenate([alone, place])
    who = person(np.concatenate([owner_ids[alone], users]))
    share = np.concatenate([np.full(len(alone), MICRO, dtype=np.int64), shares])
    order = np.lexsort((who, deal))
    start = np.searchsorted(deal[order], np.arange(len(deal_ids) + 1))
    columns = {
        "credit_start": _array(start),
        "credit_person": _array(who[order]),
        "credit_share": _array(share[order]),
    }
    return columns, int(place.min())


def _array(values: npt.NDArray[Any]) -> "array[int]":
    return array("q", np.ascontiguousarray(values, dtype=np.int64).tobytes())


def _optional(column: pa.ChunkedArray) -> "array[int] | None":
    """A column of numbers with NONE for nothing; None when all of it is nothing."""
    if column.null_count == len(column):
        return None
    return _array(column.fill_null(NONE).to_numpy())


def _coded(column: pa.ChunkedArray) -> tuple[list[Any], Ints]:
    """The distinct values of a column, and each row's place among them (NONE: nothing)."""
    encoded = column.combine_chunks().dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.cast(pa.int64()).fill_null(NONE).to_numpy()


def _field(name: str, column: pa.ChunkedArray) -> Field:
    if name in _NUMBER_FIELDS:
        return Field(_array(column.fill_null(NONE).to_numpy()))
    texts, codes = _coded(column)
    if name in _TEXT_FIELDS:
        return Field(_array(codes), tuple(texts))
    return _of_numbers(_array(codes), tuple(extra_value(text) for text in texts))


def _of_numbers(codes: "array[int]", words: tuple[FieldValue, ...]) -> Field:
    """A field of numbers when all of its words are numbers, else of words."""
    if not words or not all(isinstance(word, Number) for word in words):
        return Field(codes, words)
    numbers = np.array([word.micro for word in words if isinstance(word, Number)], dtype=np.int64)
    places = np.frombuffer(codes, dtype=np.int64)
    return Field(_array(np.where(places == NONE, NONE, numbers[np.maximum(places, 0)])))


def extra_value(written: str) -> FieldValue:
    """The value of an extra field, kept as JSON: a number, also where a CRM's export wrote it as text, or a date."""
    value = json.loads(written, parse_float=Decimal)
    if isinstance(value, bool):
        return value
    if isinstance(value, str | int | Decimal):
        try:
            return Number(parse_number(value))
        except QuotaPathError:
            value = str(value)
    if isinstance(value, str):
        try:
            return Day(date.fromisoformat(value).toordinal())
        except ValueError:
            return value
    return json.dumps(value)


# --- fingerprint ------------------------------------------------------------------------------------


def fingerprint(book: Book) -> bytes:
    """SHA-256 of everything that a calculation of `book` depends on; equal inputs, equal bytes, on any machine."""
    deals = book.deals
    facts = [
        book.people,
        {name: [canonical(plan).decode() for plan in plans] for name, plans in book.plans.items()},
        [astuple(row) for row in book.assignments],
        [astuple(row) for row in book.quotas],
        [astuple(row) for row in book.rates],
        [book.as_of, book.horizon, deals.currencies],
        {
            name: None if field.words is None else [repr(word) for word in field.words]
            for name, field in deals.fields.items()
        },
        book.ids,
    ]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in DEAL_COLUMNS:
        _add_column(digest, name, getattr(deals, name))
    for name in sorted(deals.fields):
        _add_column(digest, f"field {name}", deals.fields[name].values)
    return digest.digest()


def _add_column(digest: Any, name: str, column: "array[int] | None") -> None:
    digest.update(f"{name} {-1 if column is None else len(column)}\n".encode())
    if column is not None:
        digest.update(np.frombuffer(column, dtype=np.int64).astype("<i8").tobytes())

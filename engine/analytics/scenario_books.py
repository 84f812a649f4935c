"""The books that a what-if is priced on: what was sold up to this month, and what may be won in the next quarter."""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from engine.analytics import inputs
from engine.analytics.inputs import Inputs
from engine.analytics.scenarios import PlanText, in_currency
from engine.calc.book import NONE, Book, fields_used, span
from engine.calc.model import PPM, Plan, QuotaRow
from engine.calc.simulate import LOW, MULTIPLIER, Outcomes
from engine.periods import Period, parse_period, period_of
from engine.plans.document import read_draft

ROUNDS = 500
SEED = 1

Ints = npt.NDArray[np.int64]


def past(conn: sa.Connection, today: date, texts: Iterable[PlanText]) -> Inputs:
    """Everything that was earned up to the end of the month of ``today``, with the fields that the texts look at."""
    return inputs.load(conn, period_of("month", today.toordinal()), also=_fields(texts))


def _fields(texts: Iterable[PlanText]) -> set[str]:
    """The deal fields that plans look at, those of drafts as well, finished or not."""
    found: set[str] = set()
    for text in texts:
        plan, _ = read_draft(text.document, text.plan)
        if plan is not None:
            found |= fields_used({text.plan: (plan,)})
    return found


@dataclass(frozen=True)
class Quarter:
    """The next quarter as it may come: its book, how likely each deal is won (ppm), and revenue round by round.

    ``revenue`` is in minor units of the company's currency; ``open_deals`` counts what may be won in the quarter, and
    ``borrowed`` the people whose quotas are not set yet, so that those of their last period stand in.
    """

    period: Period
    loaded: Inputs
    chances: "array[int]"
    revenue: Ints
    open_deals: int
    borrowed: int

    @property
    def book(self) -> Book:
        """What is asked about."""
        return self.loaded.book


# The deals of a simulated quarter, in place of the table: what is open is given the outcome it may have, what is
# overdue closes today at the earliest, and no cancellation is known before it comes.
_DEALS = """(
    SELECT d.id, d.source, d.external_id, d.name, d.account, d.owner_id, d.amount, d.margin, d.currency,
           d.quantity_micro, d.created_date, d.type, d.product, d.segment, d.term_months, d.extra,
           CAST(NULL AS date) AS cancelled_on,
           CASE s.outcome WHEN 'won' THEN d.stage_id
                ELSE (SELECT min(id) FROM pipeline_stages WHERE outcome = 'won') END AS stage_id,
           CASE s.outcome WHEN 'open' THEN greatest(d.close_date, DATE '{today}') ELSE d.close_date END AS close_date
      FROM deals d JOIN pipeline_stages s ON s.id = d.stage_id
     WHERE d.close_date >= DATE '{since}'
       AND (s.outcome = 'won' OR d.cancelled_on IS NOT NULL OR s.outcome = 'open' AND d.amount IS NOT NULL)
        OR s.outcome = 'open' AND d.close_date < DATE '{since}' AND d.amount IS NOT NULL
           AND DATE '{today}' >= DATE '{since}'
)"""
_CHANCES = sa.text("""
    SELECT d.id, s.probability_ppm FROM deals d JOIN pipeline_stages s ON s.id = d.stage_id WHERE s.outcome = 'open'
""")


def next_quarter(
    conn: sa.Connection,
    today: date,
    plans: Mapping[str, Sequence[Plan]],
    texts: Iterable[PlanText],
    currency: str,
) -> Quarter:
    """The quarter after the one that holds ``today``, from what is open now and what was won before in its years."""
    period = period_of("quarter", today.toordinal()).next()
    since = _since(period, plans)
    deals_in = _DEALS.format(today=today.isoformat(), since=date.fromordinal(since).isoformat())
    loaded = inputs.load(conn, period, deals_in=deals_in, also=_fields(texts))
    quotas = _carried(loaded.book, period)
    borrowed = {row.person for row in quotas[len(loaded.book.quotas) :]}
    loaded = replace(loaded, book=replace(loaded.book, quotas=quotas))
    by_deal = {row.id: row.probability_ppm for row in conn.execute(_CHANCES)}
    chances = array("q", [by_deal.get(deal, PPM) for deal in loaded.deal_ids.tolist()])
    days = np.frombuffer(loaded.book.deals.close_date, dtype=np.int64)
    inside = (days >= period.start) & (days < period.end)
    is_open = np.frombuffer(chances, dtype=np.int64) < PPM
    return Quarter(
        period,
        loaded,
        chances,
        revenue(loaded.book, chances, inside, currency),
        int((inside & is_open).sum()),
        len(borrowed),
    )


def _carried(book: Book, coming: Period) -> tuple[QuotaRow, ...]:
    """The quotas, with the last ones before the quarter in place of those that people on a plan lack in it."""
    quotas = book.quotas
    on_plan = {row.person for row in book.assignments if row.plan is not None and span(row)[1] > coming.start}
    given = {(row.person, row.component, row.period) for row in quotas}
    last: dict[tuple[str, str | None, str], tuple[int, QuotaRow]] = {}
    for row in quotas:
        period = parse_period(row.period) if row.period else None
        if period is not None and period.start < coming.start and row.person in on_plan:
            key = row.person, row.component, period.kind
            if key not in last or last[key][0] < period.start:
                last[key] = period.start, row
    added = []
    for (person, component, kind), (_, row) in sorted(last.items(), key=lambda item: str(item[0])):
        period = period_of(kind, coming.start)
        while period.start < coming.end:
            if (person, component, period.name) not in given:
                added.append(replace(row, period=period.name))
            period = period.next()
    return (*quotas, *added)


def _since(period: Period, plans: Mapping[str, Sequence[Plan]]) -> int:
    """The first day that pay of the quarter can depend on: of its quota periods, or of all time where a cap carries."""
    components = [part for versions in plans.values() for plan in versions for part in plan.components]
    if any(part.cap is not None and part.cap.excess == "carry" for part in components):
        return 1
    return min([period.start, *(period_of(part.quota_period, period.start).start for part in components)])


def revenue(book: Book, chances: "array[int]", inside: npt.NDArray[np.bool_], currency: str) -> Ints:
    """Won money of each round, of the deals ``inside``; what is in another currency counts by its latest rate.

    The draws are those of `engine.calc.simulate`, made for all open deals at once.
    """
    deals = book.deals
    if deals.amount is None:
        return np.zeros(ROUNDS, dtype=np.int64)
    amounts = np.frombuffer(deals.amount, dtype=np.int64).copy()
    amounts[amounts == NONE] = 0
    if deals.currency is not None:
        codes = np.frombuffer(deals.currency, dtype=np.int64)
        for code, own in enumerate(deals.currencies):
            if own != currency:
                amounts[codes == code] = _in_company(book, amounts[codes == code], own, currency)
    likely = np.frombuffer(chances, dtype=np.int64)
    certain = int(amounts[inside & (likely >= PPM)].sum())
    rows = np.flatnonzero(inside & (likely < PPM))
    begun = [Outcomes(chances, SEED, ROUNDS).begin(int(row)) for row in rows]
    state = np.array([each[0] for each in begun], dtype=np.int64)
    limit = np.array([each[1] for each in begun], dtype=np.int64)
    found = np.full(ROUNDS, certain, dtype=np.int64)
    for place in range(ROUNDS):
        low, high = state & LOW, state >> 32
        found[place] += amounts[rows][(low ^ high) < limit].sum()
        state = MULTIPLIER * low + high
    return found


def _in_company(book: Book, amounts: Ints, own: str, currency: str) -> Ints:
    """Whole cents of other money, for an estimate: exact pay never comes from here."""
    return np.array([in_currency(int(each), own, currency, book.rates) or 0 for each in amounts], dtype=np.int64)

"""What if: a changed plan, priced on what was really sold and on the next quarter as it may come.

Nothing here writes, and nothing of it is a run: the figures stand beside the official ones.  The books stay in the
calculation processes, so that a changed number costs one calculation and no loading.
"""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import TypeVar

import numpy as np
import pandas as pd
import sqlalchemy as sa

from engine.analytics import dashboard, inputs, scenario_books
from engine.analytics.inputs import Inputs
from engine.analytics.remembered import Remembered
from engine.analytics.scenario_books import ROUNDS, SEED, Quarter
from engine.analytics.scenarios import Changed, Cost, PlanText, Variant, changed, cost
from engine.calc.book import fields_used
from engine.calc.model import PPM
from engine.calc.simulate import Days, spread
from engine.db import audit, company, people, plans
from engine.db.database import Database
from engine.errors import Problem, QuotaPathError, given
from engine.money import round_ratio
from engine.periods import Period, period_of
from engine.services.access import Actor, require
from engine.workers.pool import Pool

__all__ = ["PlanText", "Variant"]

T = TypeVar("T")

_books = Remembered(3_000_000)  # deals
_prices = Remembered(2_000)  # variants


@dataclass(frozen=True)
class Span:
    """Some months: the pay periods that start in them are added up."""

    key: str
    title: str
    since: date
    until: date

    @property
    def days(self) -> Days:
        """As the calculation counts them."""
        return Days(self.since.toordinal(), self.until.toordinal())


def spans(today: date) -> tuple[Span, ...]:
    """What a variant can be priced on, the usual first."""
    month = period_of("month", today.toordinal())
    quarter, year = period_of("quarter", today.toordinal()), period_of("year", today.toordinal())
    back = [month]
    while len(back) < 25:
        back.append(back[-1].previous())

    def span(key: str, title: str, since: Period, until: Period) -> Span:
        return Span(key, title, since.first_day, until.first_day)

    before, last_year = quarter.previous(), year.previous()
    return (
        span("12m", "Last 12 full months", back[12], month),
        span("24m", "Last 24 full months", back[24], month),
        span("quarter", f"{before.name[5:]} {before.name[:4]}", before, quarter),
        Span("year", f"{year.name} so far", year.first_day, month.next().first_day),
        span("last-year", last_year.name, last_year, year),
    )


@dataclass(frozen=True)
class Base:
    """What variants are priced on: the company as it is at one data version."""

    version: int
    past: Inputs
    texts: tuple[PlanText, ...]
    titles: Mapping[str, str]
    names: Mapping[str, str]
    currency: str
    currencies: Mapping[str, str]

    def text(self, version_id: int) -> PlanText:
        """The version with that id.  Raises QuotaPathError when it is not there."""
        found = next((text for text in self.texts if text.version_id == version_id), None)
        if found is None:
            raise QuotaPathError("That version of the plan is no longer there. Choose another one.")
        return found

    @cached_property
    def on_plan(self) -> Mapping[str, str]:
        """The plan that each person was put on last, by code."""
        return {row.person: row.plan for row in self.past.book.assignments if row.plan is not None}


def base(db: Database, actor: Actor, today: date) -> Base:
    """The company's deals, plans, quotas and people of now; read once, until something changes.

    Needs "whatif.use".
    """
    require(actor, "whatif.use")
    with db.read(actor) as conn:
        version = audit.data_version(conn)
        key = ("past", today)
        return _books.get(conn, version, key, lambda: _base(conn, version, today), lambda it: len(it.past.deal_ids))


def _base(conn: sa.Connection, version: int, today: date) -> Base:
    named = {name: (plan_id, title) for plan_id, name, title in plans.names(conn)}
    texts: list[PlanText] = []
    for name, (plan_id, _) in sorted(named.items(), key=lambda item: item[1][1]):
        texts += [
            PlanText(each.version_id, name, each.document, each.effective_from.toordinal())
            for each in plans.versions(conn, plan_id)
        ]
        draft = plans.draft(conn, plan_id)
        if draft is not None:
            texts.append(PlanText(draft.version_id, name, draft.document, None))
    past = scenario_books.past(conn, today, texts)
    by_id = people.names(conn)
    codes = zip(past.book.people, past.user_ids.tolist(), strict=True)
    return Base(
        version,
        past,
        tuple(texts),
        {name: title for name, (_, title) in named.items()},
        {code: by_id.get(user_id, code) for code, user_id in codes},
        company.currency(conn),
        inputs.pay_currencies(past.book),
    )


def begin(found: Base, plan: str, today: date) -> Variant:
    """The plan as it is: the version in force today, else its first one, else its draft."""
    own = [text for text in found.texts if text.plan == plan]
    if not own:
        raise QuotaPathError(f"There is no plan {plan!r}. Choose one from the list.")
    published = [text for text in own if text.effective_from is not None]
    in_force = [text for text in published if given(text.effective_from) <= today.toordinal()]
    chosen = (in_force[-1:] or published[:1] or own)[0]
    return Variant(plan, chosen.version_id, throughout=chosen.is_draft)


# --- the past, to the cent ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Price:
    """A variant over a span, in minor units of the company's currency; with ``problems`` there are no figures.

    ``people``: person (code), name, plan, before, after, difference, ratio; of everyone who is paid either way.
    """

    revenue: int
    before: Cost
    after: Cost
    people: pd.DataFrame
    problems: tuple[Problem, ...] = ()

    @property
    def difference(self) -> int:
        """What it costs more than now."""
        return self.after.total - self.before.total

    @property
    def winners(self) -> int:
        """How many people get more."""
        return int((self.people["difference"] > 0).sum())

    @property
    def losers(self) -> int:
        """How many people get less."""
        return int((self.people["difference"] < 0).sum())

    def rate(self, of: Cost) -> float | None:
        """Cost by revenue; None where nothing was sold."""
        return of.total / self.revenue if self.revenue > 0 else None


def price(db: Database, pool: Pool, actor: Actor, found: Base, variant: Variant, span: Span) -> Price:
    """What everyone would have been paid in the span, draws included, beside what they are.

    Without changes it is the official figures, to the cent.  Problems of the plan language and of the calculation
    (a missing quota) come back in `Price.problems`.  Needs "whatif.use".
    """
    require(actor, "whatif.use")
    with db.read(actor) as conn:
        scope = dashboard.Scope(None, None, found.currency)
        sold = kept(
            conn,
            found,
            ("revenue", span),
            lambda: int(dashboard.won_by_day(conn, scope, span.since, span.until)["amount"].sum()),
        )
        now = kept(conn, found, ("cost", "", span), lambda: _official(pool, found, span))
        then = now
        if not isinstance(now, tuple) and not is_official(found, variant):
            official = now
            key = ("cost", variant.to_json(), span)
            then = kept(conn, found, key, lambda: costed(pool, found, variant, span, official))
    if isinstance(now, tuple) or isinstance(then, tuple):
        problems = now if isinstance(now, tuple) else then if isinstance(then, tuple) else ()
        return Price(sold, Cost(), Cost(), _people(found, Cost(), Cost(), variant), problems)
    return Price(sold, now, then, _people(found, now, then, variant))


def kept(conn: sa.Connection, found: Base, key: Hashable, make: Callable[[], T]) -> T:
    """What was worked out for the base before, else what `make` gives.

    Of a change meanwhile the base is told by its own version, not by the one that is now.
    """
    return _prices.get(conn, found.version, key, make, lambda _: 1)


def is_official(found: Base, variant: Variant) -> bool:
    """Whether the variant is what is in force: nothing of a published version is changed."""
    return variant.is_plain and not any(text.version_id == variant.version_id and text.is_draft for text in found.texts)


def _official(pool: Pool, found: Base, span: Span) -> Cost | tuple[Problem, ...]:
    """What everyone is paid in the span as things are, or why that cannot be calculated."""
    totals = pool.totals(found.past.book)
    return totals.problems or cost(totals, found.past.book, span.days, found.currency, found.currencies)


def costed(pool: Pool, found: Base, variant: Variant, span: Span, official: Cost) -> Cost | tuple[Problem, ...]:
    """What a variant costs in the span, calculated now; the problems instead where there are any.

    Those whom it may concern are asked about; the others get what they get officially.
    """
    then = applied(found, found.past, variant)
    if then.problems:
        return then.problems
    totals = pool.totals(found.past.book, then.plans, then.quotas, then.assignments, then.people)
    if totals.problems:
        return totals.problems
    own = cost(totals, found.past.book, span.days, found.currency, found.currencies)
    return _with_others(own, official, {found.past.book.people[code] for code in then.people})


def _with_others(own: Cost, official: Cost, concerned: Collection[str]) -> Cost:
    others = {person: cents for person, cents in official.by_person.items() if person not in concerned}
    left_out = {*own.left_out, *(person for person in official.left_out if person not in concerned)}
    by_person = {**others, **own.by_person}
    return Cost(sum(by_person.values()), by_person, tuple(sorted(left_out)))


def applied(found: Base, loaded: Inputs, variant: Variant) -> Changed:
    """The variant applied to a loaded book; a field that the book lacks is a problem."""
    then = changed(loaded.book, found.texts, variant, found.currency)
    lacking = sorted(fields_used(then.plans).difference(loaded.book.deals.fields)) if not then.problems else []
    if lacking:
        message = f"It looks at {', '.join(lacking)} of the deals, which no plan does."
        return Changed(problems=(Problem("when", message, "Write it into a draft of the plan; then it is loaded."),))
    return then


def _people(found: Base, now: Cost, then: Cost, variant: Variant) -> pd.DataFrame:
    rows = []
    for person in sorted(now.by_person.keys() | then.by_person.keys()):
        before, after = now.by_person.get(person, 0), then.by_person.get(person, 0)
        plan = variant.people.get(person, found.on_plan.get(person, ""))
        ratio = (after - before) / before if before > 0 else None
        rows.append(
            (person, found.names.get(person, person), found.titles.get(plan, ""), before, after, after - before, ratio)
        )
    columns = ["person", "name", "plan", "before", "after", "difference", "ratio"]
    frame = pd.DataFrame(rows, columns=columns).astype({"ratio": "Float64"})
    order = frame["difference"].abs().sort_values(ascending=False, kind="stable").index
    return frame.loc[order].reset_index(drop=True)


# --- the next quarter, as it may come -----------------------------------------------------------------


@dataclass(frozen=True)
class Outlook:
    """The cost of the next quarter over many outcomes of the open deals, before draws; estimates.

    ``before`` and ``after`` are minor units of the company's currency, round by round; so is ``revenue``.
    ``borrowed`` counts people whose quotas are not set yet, so that those of their last period stand in.
    """

    period: Period
    open_deals: int
    before: tuple[int, ...]
    after: tuple[int, ...]
    revenue: tuple[int, ...]
    borrowed: int = 0
    problems: tuple[Problem, ...] = ()

    def at(self, percent: int, after: bool = True) -> int:
        """The cost that so many percent of the outcomes do not exceed."""
        return spread(self.after if after else self.before).percentiles[percent]

    def rate_at(self, percent: int, after: bool = True) -> int:
        """Likewise of the effective rate, in ppm; outcomes without revenue are left out."""
        costs = self.after if after else self.before
        rates = [round_ratio(cents * PPM, sold) for cents, sold in zip(costs, self.revenue, strict=True) if sold > 0]
        return spread(rates).percentiles[percent] if rates else 0


def quarter(db: Database, actor: Actor, found: Base, today: date) -> Quarter:
    """The book of the next quarter; read once, until something changes.  Needs "whatif.use"."""
    require(actor, "whatif.use")
    with db.read(actor) as conn:
        return _books.get(
            conn,
            found.version,
            ("quarter", today),
            lambda: scenario_books.next_quarter(conn, today, found.past.book.plans, found.texts, found.currency),
            lambda it: len(it.chances),
        )


def outlook(db: Database, pool: Pool, actor: Actor, found: Base, coming: Quarter, variant: Variant) -> Outlook:
    """What the next quarter may cost under the variant, beside the same outcomes as things are.

    Needs "whatif.use".
    """
    require(actor, "whatif.use")
    everyone = tuple(range(len(coming.book.people)))
    with db.read(actor) as conn:

        def keep(which: Variant | None, people: tuple[int, ...]) -> _Rounds:
            key = ("outlook", "" if which is None else which.to_json(), people, coming.period)
            return kept(conn, found, key, lambda: simulated(pool, found, coming, which, people))

        now, problems = keep(None, everyone)
        then = now
        if not problems and not is_official(found, variant):
            concerned = applied(found, coming.loaded, variant).people
            own, problems = keep(variant, concerned)
            theirs, _ = keep(None, concerned)
            if not problems:
                then = tuple(all_ - was + is_ for all_, was, is_ in zip(now, theirs, own, strict=True))
    sold = tuple(int(each) for each in coming.revenue)
    return Outlook(coming.period, coming.open_deals, now, then, sold, coming.borrowed, problems)


_Rounds = tuple[tuple[int, ...], tuple[Problem, ...]]


def simulated(pool: Pool, found: Base, coming: Quarter, variant: Variant | None, people: Sequence[int]) -> _Rounds:
    """The cost of these people in each outcome, calculated now, or the problems; None: as things are."""
    then = Changed() if variant is None else applied(found, coming.loaded, variant)
    if then.problems:
        return (), then.problems
    days = Days(coming.period.start, coming.period.end)
    rounds = pool.simulate(
        coming.book, coming.chances, ROUNDS, SEED, days, then.plans,
        quotas=then.quotas, assignments=then.assignments, people=people,
    )  # fmt: skip
    return ((), rounds.problems) if rounds.problems else (tuple(rounds.totals), ())


def likely(outcomes: Sequence[int]) -> tuple[int, int, int]:
    """P10, P50 and P90."""
    found = spread(outcomes).percentiles
    return found[10], found[50], found[90]


def chart_of(view: Outlook, bins: int = 24) -> pd.DataFrame:
    """How often the quarter comes to how much: when ("now", "then"), cost (minor units, the bin's middle), share."""
    low, high = min((*view.before, *view.after)), max((*view.before, *view.after))
    edges = np.linspace(low, max(high, low + 1), bins + 1)
    rows = []
    for when, costs in (("now", view.before), ("then", view.after)):
        counts, _ = np.histogram(costs, edges)
        rows += [
            (when, int((edges[place] + edges[place + 1]) / 2), int(count) / len(costs))
            for place, count in enumerate(counts)
        ]
    return pd.DataFrame(rows, columns=["when", "cost", "share"])

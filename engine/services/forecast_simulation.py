"""Forecasts by simulation: many outcomes of the open deals, each paid by the real rules, in whole cents."""

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import sqlalchemy as sa

from engine.analytics import forecast as parts
from engine.analytics import forecast_outcomes as outcomes
from engine.analytics.dashboard import Scope
from engine.analytics.forecast import Quarter
from engine.analytics.forecast_outcomes import Bools, Ints, QuotaCredit, Trial
from engine.analytics.inputs import pay_currencies
from engine.calc.result import Totals
from engine.calc.simulate import Days, Simulation, Spread
from engine.db import audit
from engine.db.database import Database
from engine.db.people import with_those_below
from engine.errors import Problem
from engine.money import PPM
from engine.periods import parse_period
from engine.services.access import Actor
from engine.services.forecast import (
    HIGH,
    LOW,
    MIDDLE,
    ROUNDS,
    SEED,
    due_in,
    expected_open,
    open_deals,
    remembered,
    scope_of,
    stage_rates,
    won_between,
    won_days,
)
from engine.workers.pool import Pool

_BINS = 30
_TRIES = 5  # at finding open deals that no plan can pay

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Simulated:
    """The outcomes of the open deals, paid by the real rules.  Money in minor units.

    Frames, by quarter name: ``totals`` (name, title, revenue_low, revenue_middle, revenue_high in the company's
    currency, pay_low ... of those who are paid in it, certain: pay of what is closed), ``bins`` (name, measure
    "revenue" or "pay", low, high, share of the rounds), ``people`` (name, user_id, code, person, team, currency,
    revenue_..., pay_..., certain, attainment: the middle one, chance: of reaching the quota; null without a quota).

    With ``problems`` nothing was simulated.  ``dropped`` open deals lack what a plan needs of them, ``copied`` are
    quota periods without quotas, for which the last ones were taken, ``elsewhere`` people are paid in other currencies
    and not in the totals.
    """

    currency: str
    rounds: int
    seed: int
    deals: int = 0
    totals: pd.DataFrame = field(default_factory=pd.DataFrame)
    bins: pd.DataFrame = field(default_factory=pd.DataFrame)
    people: pd.DataFrame = field(default_factory=pd.DataFrame)
    problems: tuple[Problem, ...] = ()
    dropped: int = 0
    copied: tuple[str, ...] = ()
    elsewhere: int = 0


def simulated(
    db: Database,
    pool: Pool,
    actor: Actor,
    team: int | None,
    today: date,
    ahead: int,
    rounds: int = ROUNDS[1],
    seed: int = SEED,
    on_progress: Progress | None = None,
) -> Simulated:
    """The outcomes of the open deals over the same quarters; the same seed gives the same cents.

    Needs "forecast.view".  ``on_progress`` gets (done, total, what is being done).
    """
    rounds = min(max(1, rounds), ROUNDS[-1])
    with db.read(actor) as conn:
        scope, first_month = scope_of(conn, actor, team, today)
    with db.read() as conn:  # win rates and what people are paid on are the whole company's
        key = ("simulated", scope, today, ahead, rounds, seed)
        return remembered.get(
            conn,
            audit.data_version(conn),
            key,
            lambda: _simulate(conn, pool, scope, today, ahead, first_month, rounds, seed, on_progress or _silent),
            lambda found: 500 + 20 * len(found.people),
        )


def _silent(_done: int, _total: int, _what: str) -> None:
    """Nobody is told."""


def _simulate(
    conn: sa.Connection,
    pool: Pool,
    scope: Scope,
    today: date,
    ahead: int,
    first_month: int,
    rounds: int,
    seed: int,
    progress: Progress,
) -> Simulated:
    running = parts.quarter_of(today, first_month)
    quarters = parts.quarters_from(running, ahead, first_month)
    end, steps = quarters[-1].end, ahead + 3
    nothing = Simulated(scope.currency, rounds, seed)

    progress(0, steps, "Reading the deals")
    rates = stage_rates(conn, [today + timedelta(days=1)])
    every = expected_open(open_deals(conn, scope.currency, today), rates, today)
    every = every[every["expected"] < end.toordinal()]
    members = parts.members(conn, scope, today)
    # What is certain needs the whole history, of those in the scope and of whoever they are paid on.
    credited = None if members is None else with_those_below(conn, members)
    every = every if credited is None else every[every["user_id"].isin(credited)]
    everyone = outcomes.load_trial(conn, today, end, {}, credited=credited)
    known = pool.totals(everyone.book)
    if known.problems:
        return Simulated(scope.currency, rounds, seed, problems=known.problems)

    progress(1, steps, "Checking the open deals")
    cut = outcomes.cut_for(everyone.book.plans, running.start)
    trial, every, dropped, problems = _loaded(conn, pool, every, today, end, cut, credited)
    if problems:
        return Simulated(scope.currency, rounds, seed, problems=problems, dropped=dropped)

    trial = outcomes.without_certain_cancellations(trial, today)
    progress(2, steps, "Crediting the open deals")
    names = parts.names(conn, today)
    names = names if members is None else names[names["user_id"].isin(members)]
    groups = _groups(trial, names, quarters, scope.currency)
    if not groups:
        return nothing
    by_deal = every.drop_duplicates("deal_id").set_index("deal_id")
    rate_of = dict(zip(by_deal.index.tolist(), by_deal["rate"].tolist(), strict=True))
    chances = outcomes.chances(trial, rate_of)
    won = outcomes.draw(trial.open_rows, np.frombuffer(chances, dtype=np.int64)[trial.open_rows], seed, rounds)
    column_of = {int(deal): place for place, deal in enumerate(trial.inputs.deal_ids[trial.open_rows].tolist())}
    every = every.assign(column=every["deal_id"].map(column_of))
    in_full = pool.calculate(trial.book)
    revenue_won = parts.won_by_person(conn, scope.currency, running.start, end)
    by_day = won_days(conn, scope, today, end)

    totals, bins, people = [], [], []
    for place, quarter in enumerate(quarters):
        progress(3 + place, steps, f"Paying {rounds:,} outcomes of {quarter.title}")
        due = every[due_in(every, quarter, running)]
        mine = due.drop_duplicates("deal_id").assign(amount=lambda frame: frame["whole"])
        mine = mine if members is None else due[due["user_id"].isin(members)]
        revenue = outcomes.sums(won, mine["column"].to_numpy(dtype=np.int64), mine["amount"].to_numpy(dtype=np.int64))
        revenue = revenue + won_between(by_day, quarter.start, quarter.end)
        days = Days(quarter.start.toordinal(), quarter.end.toordinal())
        paid: dict[str, _Paid] = {}
        for currency, places in groups.items():
            found = _paid(pool, trial, known, chances, rounds, seed, days, places)
            if found.simulation.problems:
                return Simulated(scope.currency, rounds, seed, problems=found.simulation.problems, dropped=dropped)
            paid[currency] = found
        own = paid.get(scope.currency)
        pay = own.everyone() if own else np.zeros(rounds, dtype=np.int64)
        certain = sum(own.certain.values()) if own else 0
        totals.append(
            {
                "name": quarter.name,
                "title": quarter.title,
                **_three("revenue", revenue),
                **_three("pay", pay),
                "certain": certain,
            }
        )
        bins += [*_bins(quarter, "revenue", revenue), *_bins(quarter, "pay", pay)]
        quotas = outcomes.quota_credits(in_full, trial, quarter.start, quarter.end)
        people += _people(quarter, names, due, revenue_won, won, paid, quotas)
    progress(steps, steps, "Done")
    return Simulated(
        scope.currency,
        rounds,
        seed,
        deals=len(_deals_of(every, members)),
        totals=pd.DataFrame(totals),
        bins=pd.DataFrame(bins),
        people=pd.DataFrame(people),
        dropped=dropped,
        copied=trial.copied,
        elsewhere=sum(len(places) for currency, places in groups.items() if currency != scope.currency),
    )


def _deals_of(rows: pd.DataFrame, members: frozenset[int] | None) -> set[int]:
    """The ids of the deals that someone of these (None: anyone) is credited with."""
    return set((rows if members is None else rows[rows["user_id"].isin(members)])["deal_id"].tolist())


def _loaded(
    conn: sa.Connection,
    pool: Pool,
    rows: pd.DataFrame,
    today: date,
    end: date,
    cut: date | None,
    credited: frozenset[int] | None,
) -> tuple[Trial, pd.DataFrame, int, tuple[Problem, ...]]:
    """The book of closed and open deals, without the open ones that a plan cannot pay yet, and how many these are."""
    dropped: set[int] = set()
    while True:
        left = rows[~rows["deal_id"].isin(dropped)]
        once = left.drop_duplicates("deal_id")
        closing: Mapping[int, tuple[int, int | None]] = {
            int(deal): (int(day), None) for deal, day in zip(once["deal_id"], once["expected"], strict=True)
        }
        trial = outcomes.load_trial(conn, today, end, closing, cut, credited=credited)
        problems = pool.totals(trial.book).problems
        at_fault = outcomes.open_deals_at_fault(trial, problems) if problems else set()
        if not problems or at_fault is None or len(dropped) > _TRIES * 1_000:
            return trial, left, len(dropped), problems
        dropped |= at_fault


def _groups(trial: Trial, names: pd.DataFrame, quarters: Sequence[Quarter], currency: str) -> dict[str, list[int]]:
    """The places in the book of those who are on a plan in these quarters, by the currency they are paid in."""
    start, end = quarters[0].start.toordinal(), quarters[-1].end.toordinal()
    on_plan = {
        row.person
        for row in trial.book.assignments
        if row.plan is not None and (row.start or 0) < end and (row.end is None or row.end > start)
    }
    found: dict[str, list[int]] = {}
    currencies = pay_currencies(trial.book)
    wanted = set(names["code"]) & on_plan
    for place, code in enumerate(trial.book.people):
        if code in wanted:
            found.setdefault(currencies.get(code, currency), []).append(place)
    return found


class _Paid(NamedTuple):
    """The simulated pay of some people, and by code what each earns certainly, and what to add to each outcome.

    The trial's book begins with the longest quota period, and knows of no cancellation.  What older deals still do and
    what cancelled ones give back is certain: it is the shift.
    """

    simulation: Simulation
    certain: Mapping[str, int]
    shift: Mapping[str, int]

    def everyone(self) -> Ints:
        """The pay of all of them in each round."""
        totals = np.frombuffer(self.simulation.totals, dtype=np.int64)
        return totals + sum(self.shift.values())


def _paid(
    pool: Pool,
    trial: Trial,
    known: Totals,
    chances: "array[int]",
    rounds: int,
    seed: int,
    days: Days,
    places: Sequence[int],
) -> _Paid:
    simulation = pool.simulate(trial.book, chances, rounds, seed, days, people=places)
    if simulation.problems:
        return _Paid(simulation, {}, {})
    nothing_won = array("q", [chance if chance >= PPM else 0 for chance in chances])
    alone = pool.simulate(trial.book, nothing_won, 1, seed, days, people=places)
    certain: dict[str, int] = dict.fromkeys(alone.people, 0)
    for (code, name), cents in known.by_period.items():
        if code in certain and days.since <= parse_period(name).start < days.until:
            certain[code] += cents
    return _Paid(simulation, certain, {code: certain[code] - each.sum for code, each in alone.people.items()})


def _three(what: str, amounts: Ints) -> dict[str, int]:
    """The low, middle and high percentile, by nearest rank as `engine.calc.simulate.spread`."""
    ordered = np.sort(amounts)
    names = {"low": LOW, "middle": MIDDLE, "high": HIGH}
    return {
        f"{what}_{name}": int(ordered[max(0, -(-percent * len(ordered) // 100) - 1)]) for name, percent in names.items()
    }


def _bins(quarter: Quarter, measure: str, amounts: Ints) -> list[dict[str, object]]:
    """How often the outcomes lie in each of some spans; one span where all are the same."""
    if int(amounts.min()) == int(amounts.max()):
        each = float(amounts[0])
        return [{"name": quarter.name, "measure": measure, "low": each, "high": each, "share": 1.0}]
    counts, edges = np.histogram(amounts.astype(np.float64), bins=_BINS)
    return [
        {
            "name": quarter.name,
            "measure": measure,
            "low": float(edges[place]),
            "high": float(edges[place + 1]),
            "share": int(count) / len(amounts),
        }
        for place, count in enumerate(counts)
    ]


def _people(
    quarter: Quarter,
    names: pd.DataFrame,
    due: pd.DataFrame,
    revenue_won: pd.DataFrame,
    won: Bools,
    paid: Mapping[str, _Paid],
    quotas: Mapping[str, QuotaCredit],
) -> list[dict[str, object]]:
    """A row each person on a plan."""
    inside = revenue_won[(revenue_won["month"] >= quarter.start) & (revenue_won["month"] < quarter.end)]
    already = inside.groupby("user_id")["amount"].sum().to_dict()
    own: dict[Any, pd.DataFrame] = dict(iter(due.groupby("user_id")))
    everyone: list[dict[Any, Any]] = names.to_dict("records")
    rows: list[dict[str, object]] = []
    for currency, found in paid.items():
        for person in everyone:
            spread: Spread | None = found.simulation.people.get(person["code"])
            if spread is None:
                continue
            mine = own.get(person["user_id"])
            revenue = np.zeros(len(won), dtype=np.int64)
            if mine is not None:
                revenue = outcomes.sums(won, _ints(mine["column"]), _ints(mine["amount"]))
            shift = found.shift[person["code"]]
            quota = quotas.get(person["code"])
            reached: npt.NDArray[np.float64] | None = quota.reached(won) if quota else None
            rows.append(
                {
                    "name": quarter.name,
                    "user_id": person["user_id"],
                    "code": person["code"],
                    "person": person["name"],
                    "team": person["team"],
                    "currency": currency,
                    **_three("revenue", revenue + int(already.get(person["user_id"], 0))),
                    "pay_low": spread.percentiles[LOW] + shift,
                    "pay_middle": spread.percentiles[MIDDLE] + shift,
                    "pay_high": spread.percentiles[HIGH] + shift,
                    "certain": found.certain[person["code"]],
                    "attainment": None if reached is None else float(np.median(reached)),
                    "chance": None if reached is None else float((reached >= 1).mean()),
                }
            )
    return rows


def _ints(column: pd.Series) -> Ints:
    return column.to_numpy(dtype=np.int64)

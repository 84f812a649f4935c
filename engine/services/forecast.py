"""Forecasts of revenue and commission, three ways side by side; how each did on the past is `forecast_backtest`.

The weighted pipeline and the statistical model are estimates in floats.  The simulation pays each outcome by the real
rules, in whole cents.  None of it is kept: what is worked out is remembered until something changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
import sqlalchemy as sa

from engine.analytics import dashboard as reads
from engine.analytics import forecast as parts
from engine.analytics import forecast_models as models
from engine.analytics.dashboard import Scope
from engine.analytics.forecast import Quarter
from engine.analytics.forecast_models import FEWEST_MONTHS, Chosen
from engine.analytics.remembered import Remembered
from engine.db import audit, company
from engine.db.database import Database
from engine.money import PPM
from engine.periods import parse_period, period_of
from engine.services import access
from engine.services.access import Actor

__all__ = ["FEWEST_MONTHS", "Chosen", "Quarter"]

ROUNDS = (500, 2_000, 5_000)
SEED = 2026
SHOWN_BEFORE = 8  # quarters of history in the charts
_YEARS = 10  # of history that is read
LOW, MIDDLE, HIGH = 10, 50, 90

remembered = Remembered(2_000_000)  # rows, or what weighs like one


@dataclass(frozen=True)
class Outlook:
    """The weighted pipeline and the model, with the history that they go on from.  Money in minor units of `currency`.

    Frames: ``history`` (name, title, revenue int64, commission Int64: null where no pay period was run), ``ways``
    (name, title, way "pipeline" or "model", low, middle, high: float64 revenue, null without a band, and pay_low,
    pay_middle, pay_high), ``stages`` (as `analytics.forecast.stage_rates`).

    ``rate`` is commission over revenue in the ``rate_days`` days of the last year whose pay periods were run; None:
    none was.  ``chosen`` None: the history of ``months`` full months is too short, or never changes.
    ``overdue`` deals are past their close date; ``left_out`` open deals have no amount.
    """

    currency: str
    quarters: tuple[Quarter, ...]
    history: pd.DataFrame
    ways: pd.DataFrame
    stages: pd.DataFrame
    rate: float | None
    rate_days: int
    chosen: Chosen | None
    months: int
    so_far: int
    open_deals: int
    overdue: int
    left_out: int

    @property
    def is_empty(self) -> bool:
        """Whether there is neither a past nor a pipeline."""
        return not self.open_deals and not self.history["revenue"].any() and not self.so_far

    @property
    def season(self) -> int:
        """The length in months of the season that was found; 0: none."""
        return self.chosen.season if self.chosen else 0


def outlook(db: Database, actor: Actor, team: int | None, today: date, ahead: int) -> Outlook:
    """The next ``ahead`` fiscal quarters from the running one, by pipeline and by model.  Needs "forecast.view"."""
    with db.read(actor) as conn:
        scope, first_month = scope_of(conn, actor, team, today)
    with db.read() as conn:  # win rates and what people are paid on are the whole company's
        key = ("outlook", scope, today, ahead)
        return remembered.get(
            conn, audit.data_version(conn), key, lambda: _outlook(conn, scope, today, ahead, first_month), lambda _: 500
        )


def scope_of(conn: sa.Connection, actor: Actor, team: int | None, today: date) -> tuple[Scope, int]:
    """Whose figures the viewer sees, and the month in which the fiscal year begins.  Raises Forbidden."""
    people = access.visible_people(conn, actor, "forecast.view", today)
    found = company.settings(conn)
    return Scope(people, team, found.currency), found.fiscal_month


# --- history, pipeline, model -------------------------------------------------------------------------


def _outlook(conn: sa.Connection, scope: Scope, today: date, ahead: int, first_month: int) -> Outlook:
    running = parts.quarter_of(today, first_month)
    quarters = parts.quarters_from(running, ahead, first_month)
    before = parts.quarters_before(running, SHOWN_BEFORE, first_month)
    won = won_days(conn, scope, today, quarters[-1].end)
    so_far = [won_between(won, each.start, each.end) for each in quarters]
    earned = reads.earned(conn, scope, before[0].start - timedelta(days=366), today + timedelta(days=1))
    rate, rate_days = _effective_rate(won, earned, today)

    rates = stage_rates(conn, [today + timedelta(days=1)])
    open_rows = expected_open(_in_scope(conn, scope, open_deals(conn, scope.currency, today), today), rates, today)
    weights = open_rows["amount"] * open_rows["rate"] / PPM
    ways = []
    for quarter, known in zip(quarters, so_far, strict=True):
        inside = due_in(open_rows, quarter, running)
        ways.append(_way(quarter, "pipeline", None, known + float(weights[inside].sum()), None, rate))

    months = full_months(won, today)
    chosen = _chosen(conn, months)
    if chosen is not None:
        totals = _continued(won, months, chosen, quarters, today)
        for quarter, drawn in zip(quarters, totals, strict=True):
            low, middle, high = (float(each) for each in np.percentile(drawn, (LOW, MIDDLE, HIGH)))
            ways.append(_way(quarter, "model", low, middle, high, rate))
    deals = open_rows.drop_duplicates("deal_id")
    return Outlook(
        currency=scope.currency,
        quarters=tuple(quarters),
        history=_history(before, won, earned),
        ways=pd.DataFrame(ways),
        stages=rates,
        rate=rate,
        rate_days=rate_days,
        chosen=chosen,
        months=len(months),
        so_far=so_far[0],
        open_deals=len(deals),
        overdue=int((deals["close_day"] < today.toordinal()).sum()),
        left_out=parts.without_amount(conn),
    )


def _way(
    quarter: Quarter, way: str, low: float | None, middle: float, high: float | None, rate: float | None
) -> dict[str, object]:
    figures = {"low": low, "middle": middle, "high": high}
    pay = {f"pay_{name}": None if rate is None or each is None else each * rate for name, each in figures.items()}
    return {"name": quarter.name, "title": quarter.title, "way": way, **figures, **pay}


def won_days(conn: sa.Connection, scope: Scope, today: date, end: date) -> pd.DataFrame:
    """Revenue by day, as `dashboard.won_by_day`, of the last years and of what is won ahead of its day."""
    start = date(today.year - _YEARS, today.month, 1)
    return reads.won_by_day(conn, scope, start, end)


def won_between(won: pd.DataFrame, start: date, end: date) -> int:
    """Revenue of the days in ``[start, end)``, in minor units."""
    return int(won.loc[(won["day"] >= start) & (won["day"] < end), "amount"].sum())


def _history(quarters: Sequence[Quarter], won: pd.DataFrame, earned: pd.DataFrame) -> pd.DataFrame:
    """The quarters from the first one with revenue on."""
    rows: list[tuple[str, str, int, int | None]] = []
    for each in quarters:
        revenue = won_between(won, each.start, each.end)
        paid = earned[(earned["paid_for"] >= each.start) & (earned["paid_for"] < each.end)]
        if rows or revenue:
            rows.append((each.name, each.title, revenue, int(paid["amount"].sum()) if len(paid) else None))
    frame = pd.DataFrame(rows, columns=["name", "title", "revenue", "commission"])
    return frame.astype({"revenue": "int64", "commission": "Int64"})


def _effective_rate(won: pd.DataFrame, earned: pd.DataFrame, today: date) -> tuple[float | None, int]:
    """Commission over revenue, on the days of the last year that lie in a pay period that was run; and these days."""
    since = today - timedelta(days=366)
    recent = earned[earned["paid_for"] >= since]
    days: set[int] = set()
    for name in recent["period"]:
        period = parse_period(name)
        days.update(range(period.start, period.end))
    ordinals = np.array([day.toordinal() for day in won["day"]], dtype=np.int64)
    revenue = int(won.loc[np.isin(ordinals, sorted(days)), "amount"].sum()) if days else 0
    return (int(recent["amount"].sum()) / revenue, len(days)) if revenue > 0 else (None, 0)


def _in_scope(conn: sa.Connection, scope: Scope, rows: pd.DataFrame, today: date) -> pd.DataFrame:
    """The rows of those in the scope on this day; for everyone a row each deal, with the whole of it."""
    members = parts.members(conn, scope, today)
    if members is None:
        return rows.drop_duplicates("deal_id").assign(amount=lambda frame: frame["whole"])
    return rows[rows["user_id"].isin(members)]


def expected_open(rows: pd.DataFrame, rates: pd.DataFrame, today: date) -> pd.DataFrame:
    """The open deals with their stage's rate (ppm) and the day on which each is expected to close."""
    found = rows.merge(rates[["stage_id", "rate", "wait"]], on="stage_id", how="inner")
    days = parts.expected_days(found["close_day"], found["wait"], today.toordinal())
    return found.assign(expected=days)


def due_in(rows: pd.DataFrame, quarter: Quarter, running: Quarter) -> "pd.Series[bool]":
    """Which open deals are expected within the quarter; what should have closed is expected after today."""
    start = 0 if quarter.start == running.start else quarter.start.toordinal()
    return (rows["expected"] >= start) & (rows["expected"] < quarter.end.toordinal())


def full_months(won: pd.DataFrame, today: date) -> list[float]:
    """Revenue of the full months, from the first one with any up to the last one that is over."""
    this = today.replace(day=1)
    past = won[won["day"] < this]
    if not past["amount"].any():
        return []
    sums: dict[int, int] = {}
    for day, amount in zip(past["day"], past["amount"], strict=True):
        place = day.year * 12 + day.month
        sums[place] = sums.get(place, 0) + int(amount)
    first = min(place for place, amount in sums.items() if amount)
    return [float(sums.get(place, 0)) for place in range(first, this.year * 12 + this.month)]


def stage_rates(conn: sa.Connection, days: Sequence[date]) -> pd.DataFrame:
    """`analytics.forecast.stage_rates`, once for everyone: the win rates are the whole company's."""
    return remembered.get(
        conn, audit.data_version(conn), ("rates", tuple(days)), lambda: parts.stage_rates(conn, days), len
    )


def open_deals(conn: sa.Connection, currency: str, today: date) -> pd.DataFrame:
    """`analytics.forecast.open_deals`, once for everyone."""
    return remembered.get(
        conn, audit.data_version(conn), ("open", currency, today), lambda: parts.open_deals(conn, currency, today), len
    )


# A model depends on nothing but the months: it is good for every version of the data with the same ones.
_ANY = 0


def _chosen(conn: sa.Connection, months: Sequence[float]) -> Chosen | None:
    key = ("chosen", tuple(months))
    return remembered.get(conn, _ANY, key, lambda: models.choose(months), lambda _: 100) if months else None


def _continued(
    won: pd.DataFrame, months: Sequence[float], chosen: Chosen, quarters: Sequence[Quarter], today: date
) -> list["np.ndarray[tuple[int], np.dtype[np.float64]]"]:
    """Each quarter's revenue in each round: what is won, the rest of this month, and the months after it."""
    this = period_of("month", today.toordinal())
    last = quarters[-1].end
    steps = (last.year - today.year) * 12 + last.month - today.month
    drawn = models.paths(months, chosen, steps, ROUNDS[1], SEED)
    drawn[:, 0] *= 1 - _usual_share(won, today)
    to_date = won[won["day"] <= today]
    found = []
    month = this
    for quarter in quarters:
        total = np.full(len(drawn), float(won_between(to_date, quarter.start, quarter.end)))
        while month.start < quarter.end.toordinal():
            place = (month.first_day.year - today.year) * 12 + month.first_day.month - today.month
            total = total + drawn[:, place]
            month = month.next()
        found.append(total)
    return found


def _usual_share(won: pd.DataFrame, today: date) -> float:
    """The part of a month's revenue that is usually won by this day of it, over the last twelve full months."""
    until = today.replace(day=1)
    year = won[(won["day"] < until) & (won["day"] >= date(until.year - 1, until.month, 1))]
    whole = float(year["amount"].sum())
    by_now = float(year.loc[[day.day <= today.day for day in year["day"]], "amount"].sum()) if len(year) else 0.0
    this = period_of("month", today.toordinal())
    even = today.day / (this.end - this.start)
    return min(1.0, max(0.0, by_now / whole)) if whole > 0 else even

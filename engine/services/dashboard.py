"""The dashboard: how a period goes, for everyone within the viewer's reach."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date

import pandas as pd
import sqlalchemy as sa

from engine.analytics import dashboard as reads
from engine.analytics.dashboard import Scope
from engine.analytics.remembered import Remembered
from engine.db import audit, company
from engine.db.database import Database
from engine.periods import Period, parse_period, period_of
from engine.services import access
from engine.services.access import Actor

_LOOK_BACK = {"week": 12, "month": 12, "quarter": 8, "year": 4}  # periods in a card's sparkline
_BUCKETS = {"week": "day", "month": "day", "quarter": "week", "year": "month"}
_COMING = 6  # periods in the pipeline's sparkline
_TREND_MONTHS = 12
_TOP = 10


@dataclass(frozen=True)
class Figure:
    """One number now and in the period before (None: there is none), and over the last periods, oldest first."""

    value: float | None
    before: float | None = None
    trend: tuple[float, ...] = ()

    @property
    def change(self) -> float | None:
        """How much more it is than before, as a ratio; None where that says nothing."""
        if self.value is None or not self.before or self.before < 0:
            return None
        return self.value / self.before - 1


@dataclass(frozen=True)
class Reached:
    """Credit to date and quota of all together (minor units), and what would be sold by now if it came evenly."""

    credit: int
    quota: int
    expected: int

    @property
    def landing(self) -> float | None:
        """Attainment at the end of the quota period at the speed so far, as a ratio; an estimate."""
        return self.credit / self.expected if self.expected > 0 else None


@dataclass(frozen=True)
class Dashboard:
    """Everything on the page, of one moment.  Money is in minor units of `currency`.

    `not_run` are the months with revenue and no run, `outdated` the open pay periods with a deal that
    changed since their run, `unconverted` counts deals without an exchange rate.

    The figures compare with the same number of days of the period before while this one runs, and with
    nothing before it has `begun`.
    `reached` is None where nobody has a quota.
    `pace` is the part of the quota that would be reached by now if it came evenly.  Frames: `revenue`
    (at, series, amount: cumulated), `commission_months` (month, status, amount), `attainment_periods`
    (period, attainment), `people` and `teams` (credit, quota, attainment, pace: what it comes to at the speed
    so far), `stages` (stage, deals, amount, weighted), `top_won` and `top_open`.
    """

    period: Period
    before: Period
    compared_until: date
    begun: bool
    running: bool
    currency: str
    won: Figure
    deals: Figure
    average: Figure
    commission: Figure
    rate: Figure
    attainment: Figure
    pipeline: Figure
    weighted: Figure
    pace: float | None
    reached: Reached | None
    open_deals: int
    overdue_deals: int
    overdue_amount: int
    not_run: tuple[Period, ...]
    outdated: tuple[Period, ...]
    unconverted: int
    revenue: pd.DataFrame
    commission_months: pd.DataFrame
    attainment_periods: pd.DataFrame
    people: pd.DataFrame
    teams: pd.DataFrame
    stages: pd.DataFrame
    top_won: pd.DataFrame
    top_open: pd.DataFrame

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show: no deal and no run in this period or in those before it."""
        return not (any(self.deals.trend) or self.open_deals or self.commission.value is not None)


def dashboard(db: Database, actor: Actor, period: Period, team: int | None, today: date) -> Dashboard:
    """The figures of `period` as of `today`, of the people whom `actor` may see, or of those in `team`.

    They are worked out once for all who see the same, until a service changes something.
    Raises Forbidden when the role has no dashboard.
    """
    with db.read(actor) as conn:
        people = access.visible_people(conn, actor, "dashboard.view", today)
        viewer = None if people is None else (actor.user_id, people)
        key = (viewer, period, team, today)
        found = _known.get(
            conn, audit.data_version(conn), key, lambda: _dashboard(conn, people, period, team, today), lambda _: 1
        )
    # Columns that a screen adds to a frame are its own.
    frames = {each.name: getattr(found, each.name).copy(deep=False) for each in fields(found) if each.name in _FRAMES}
    return replace(found, **frames)


_known = Remembered(200)
_FRAMES = frozenset(
    ("revenue", "commission_months", "attainment_periods", "people", "teams", "stages", "top_won", "top_open")
)


def _dashboard(
    conn: sa.Connection, people: frozenset[int] | None, period: Period, team: int | None, today: date
) -> Dashboard:
    before = period.previous()
    begun, running = period.start <= today.toordinal(), today.toordinal() in period
    shown = _ending(period_of(period.kind, min(period.start, today.toordinal())), _LOOK_BACK[period.kind])
    last_month = period_of("month", min(period.end - 1, max(today.toordinal(), period.start)))
    months = _ending(last_month, _TREND_MONTHS)
    start = min(shown[0].first_day, months[0].first_day, before.first_day)
    end = date.fromordinal(period.end)
    days = today.toordinal() + 1 - period.start if running else before.days
    until = min(before.start + days, before.end)

    scope = Scope(people, team, company.currency(conn))
    won = _dated(reads.won_by_day(conn, scope, start, end), "day")
    earned = _dated(reads.earned(conn, scope, start, end), "paid_for")
    attained = _in_force(_dated(reads.attainment(conn, scope, start, end), "paid_for"))
    pipeline = reads.pipeline(conn, scope, today)
    tops = [reads.top_deals(conn, scope, outcome, period.first_day, end, _TOP) for outcome in ("won", "open")]
    outdated = reads.runs_before_changes(conn, period.first_day, end)
    earned_before = None
    if len(_in(earned, before)):
        earned_before = reads.earned_by(
            conn, scope, before.first_day, date.fromordinal(before.end), date.fromordinal(until)
        )

    over_time = {each.name: _ratio(_latest(attained, each, today)) for each in shown}
    comparable = Period(before.start, until, before.kind)
    now = _latest(attained, period, today)
    coming = [_closing(pipeline, each) for each in _coming(period)]
    open_now, overdue = coming[0], pipeline[pipeline["overdue"].astype(bool)]
    return Dashboard(
        period=period,
        before=before,
        compared_until=date.fromordinal(until - 1),
        begun=begun,
        running=running,
        currency=scope.currency,
        won=Figure(
            _sum(won, period), _sum(won, comparable) if begun else None, tuple(_sum(won, each) for each in shown)
        ),
        deals=Figure(
            _sum(won, period, "deals"),
            _sum(won, comparable, "deals") if begun else None,
            tuple(_sum(won, each, "deals") for each in shown),
        ),
        average=Figure(
            _average(won, period), _average(won, comparable), tuple(_average(won, each) or 0 for each in shown)
        ),
        commission=Figure(
            _sum(earned, period) if len(_in(earned, period)) else None,
            earned_before,
            tuple(_sum(earned, each) for each in shown),
        ),
        rate=Figure(
            _rate(earned, won, period),
            _rate(earned, won, before),
            tuple(_rate(earned, won, each) or 0 for each in shown),
        ),
        attainment=Figure(
            _ratio(now),
            _ratio(_latest(attained, before, today)),
            tuple(ratio or 0 for ratio in over_time.values()),
        ),
        pipeline=Figure(int(open_now["amount"].sum()), None, tuple(int(each["amount"].sum()) for each in coming)),
        weighted=Figure(_weighted(open_now), None, tuple(_weighted(each) for each in coming)),
        pace=_sold_by_now(now),
        reached=_reached(now),
        open_deals=int(open_now["deals"].sum()),
        overdue_deals=int(overdue["deals"].sum()),
        overdue_amount=int(overdue["amount"].sum()),
        not_run=_not_run(earned, won, period, today),
        outdated=tuple(map(parse_period, outdated)),
        unconverted=int(_in(won, period)["unconverted"].sum() + open_now["unconverted"].sum()),
        revenue=_cumulated(won, before, period, today),
        commission_months=_by_month(earned, months),
        attainment_periods=pd.DataFrame(
            [(name, ratio) for name, ratio in over_time.items() if ratio is not None], columns=["period", "attainment"]
        ),
        people=_with_ratios(now, ["user_id", "name", "team", "leads"]),
        teams=_with_ratios(now[~now["leads"].astype(bool) & (now["team"] != "")], ["team"]),
        stages=_stages(open_now),
        top_won=tops[0],
        top_open=tops[1],
    )


def open_counted(
    db: Database, actor: Actor, team: int | None, today: date, span: tuple[date, date] | None, stages: Collection[str]
) -> tuple[int, int]:
    """How many open deals the dashboard counts, and what they come to (minor units of the company's currency).

    Each with the shares of those within reach who are in `team` on the day.  Of those that should close in
    ``[span[0], span[1])``, by whole months; without a span, of those that should have closed.  `stages`: names; none
    of them: all.  Needs "dashboard.view".
    """
    with db.read(actor) as conn:
        people = access.visible_people(conn, actor, "dashboard.view", today)
        rows = reads.pipeline(conn, Scope(people, team, company.currency(conn)), today)
    if span is None:
        rows = rows[rows["overdue"].astype(bool)]
    else:
        rows = rows[(rows["month"] >= span[0]) & (rows["month"] < span[1])]
    if stages:
        rows = rows[rows["stage"].isin(list(stages))]
    return int(rows["deals"].sum()), int(rows["amount"].sum())


# --------------------------------------------------------------------------------------------- periods


def _ending(period: Period, count: int) -> list[Period]:
    """`count` periods, the last of which is `period`."""
    found = [period]
    while len(found) < count:
        found.append(found[-1].previous())
    return found[::-1]


def _coming(period: Period) -> list[Period]:
    found = [period]
    while len(found) < _COMING:
        found.append(found[-1].next())
    return found


def _dated(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """The frame with `ordinal`, the ordinal of the date in `column`."""
    return frame.assign(ordinal=[day.toordinal() for day in frame[column]])


def _in(frame: pd.DataFrame, period: Period) -> pd.DataFrame:
    return frame[(frame["ordinal"] >= period.start) & (frame["ordinal"] < period.end)]


def _closing(pipeline: pd.DataFrame, period: Period) -> pd.DataFrame:
    """The part of the pipeline that should close in the period."""
    inside = [month.toordinal() in period for month in pipeline["month"]]
    return pipeline[pd.Series(inside, index=pipeline.index, dtype=bool)]


def _not_run(earned: pd.DataFrame, won: pd.DataFrame, period: Period, today: date) -> tuple[Period, ...]:
    """The months of the period in which something was won and for which nothing has been run."""
    found = []
    month = period_of("month", period.start)
    while month.start < period.end and month.start <= today.toordinal():
        if len(_in(won, month)) and not len(_in(earned, month)):
            found.append(month)
        month = month.next()
    return tuple(found)


# --------------------------------------------------------------------------------------------- sums


def _sum(frame: pd.DataFrame, period: Period, column: str = "amount") -> int:
    days = frame["ordinal"].to_numpy()  # arrays: this is asked a hundred times for one dashboard
    return int(frame[column].to_numpy()[(days >= period.start) & (days < period.end)].sum())


def _average(won: pd.DataFrame, period: Period) -> float | None:
    deals = _sum(won, period, "deals")
    return _sum(won, period) / deals if deals else None


def _rate(earned: pd.DataFrame, won: pd.DataFrame, period: Period) -> float | None:
    """Commission over the revenue of the months that have been run."""
    run = {period_of("month", ordinal) for ordinal in _in(earned, period)["ordinal"]}
    revenue = sum(_sum(won, Period(max(m.start, period.start), min(m.end, period.end), m.kind)) for m in run)
    return _sum(earned, period) / revenue if revenue > 0 else None


def _weighted(pipeline: pd.DataFrame) -> int:
    rows = zip(pipeline["amount"], pipeline["probability_ppm"], strict=True)
    return sum(int(amount) * int(ppm) for amount, ppm in rows) // 1_000_000


def _in_force(attained: pd.DataFrame) -> pd.DataFrame:
    """The rows about the quota period that holds the pay period's last day, with that period's bounds."""
    periods = {name: parse_period(name) for name in attained["quota_period"].unique()}
    attained = attained.assign(
        first=[periods[name].start for name in attained["quota_period"]],
        past=[periods[name].end for name in attained["quota_period"]],
    )
    return attained[(attained["first"] <= attained["ordinal"]) & (attained["ordinal"] < attained["past"])]


def _latest(attained: pd.DataFrame, period: Period, today: date) -> pd.DataFrame:
    """What the last run within `period` says of each quota period, and the quota that should be sold by then."""
    rows = _in(attained, period).drop_duplicates(["user_id", "component", "quota_period"], keep="last")
    elapsed = rows["ordinal"].clip(upper=today.toordinal()) + 1 - rows["first"]
    return rows.assign(expected=(rows["quota"] * elapsed / (rows["past"] - rows["first"])).round())


def _each_once(attained: pd.DataFrame) -> pd.DataFrame:
    """Without the people who lead others: their credit is that of the people they lead."""
    alone = attained[~attained["leads"].astype(bool)]
    return alone if len(alone) else attained


def _ratio(attained: pd.DataFrame) -> float | None:
    rows = _each_once(attained)
    return int(rows["credit"].sum()) / int(rows["quota"].sum()) if len(rows) else None


def _sold_by_now(attained: pd.DataFrame) -> float | None:
    rows = _each_once(attained)
    return float(rows["expected"].sum()) / int(rows["quota"].sum()) if len(rows) else None


def _reached(attained: pd.DataFrame) -> Reached | None:
    rows = _each_once(attained)
    return Reached(*(int(rows[name].sum()) for name in ("credit", "quota", "expected"))) if len(rows) else None


def attainment_by_person(conn: sa.Connection, scope: Scope, period: Period, today: date) -> pd.DataFrame:
    """Attainment of each person, as the last run within the period knows it: user_id, credit, quota, attainment."""
    read = reads.attainment(conn, scope, period.first_day, date.fromordinal(period.end))
    return _with_ratios(_latest(_in_force(_dated(read, "paid_for")), period, today), ["user_id"])


# --------------------------------------------------------------------------------------------- frames


def _with_ratios(attained: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Credit and quota added up by `keys`, with attainment and pace (1: on the way to exactly the quota)."""
    found = attained.groupby(list(keys), as_index=False, sort=False)[["credit", "quota", "expected"]].sum()
    found["attainment"] = (found["credit"] / found["quota"]).round(3)
    found["pace"] = (found["credit"] / found["expected"]).round(3)
    return found.sort_values("attainment", ascending=False, ignore_index=True)


def _cumulated(won: pd.DataFrame, before: Period, period: Period, today: date) -> pd.DataFrame:
    """Revenue since the start of each of the two periods: at (day, week or month within it), series, amount."""
    bucket = _BUCKETS[period.kind]
    rows = []
    for each in (period, before):
        total, last = 0, min(each.end, today.toordinal() + 1)
        for number, (first, past) in enumerate(_buckets(each, bucket), 1):
            if first >= last:
                break
            total += _sum(won, Period(first, past, bucket))
            rows.append((f"{bucket.capitalize()} {number}", each.name, total))
    return pd.DataFrame(rows, columns=["at", "series", "amount"])


def _buckets(period: Period, bucket: str) -> Iterable[tuple[int, int]]:
    """Days, spans of seven days from its start, or months of a period."""
    first = period.start
    while first < period.end:
        past = period_of("month", first).end if bucket == "month" else first + (7 if bucket == "week" else 1)
        yield first, min(past, period.end)
        first = past


def _by_month(earned: pd.DataFrame, months: Sequence[Period]) -> pd.DataFrame:
    rows = [
        (month.first_day, status, int(found["amount"].sum()))
        for month in months
        for status, found in _in(earned, month).groupby("status")
    ]
    return pd.DataFrame(rows, columns=["month", "status", "amount"])


def _stages(pipeline: pd.DataFrame) -> pd.DataFrame:
    """The open stages in order: stage, deals, amount, weighted."""
    rows = [
        (stage, int(found["deals"].sum()), int(found["amount"].sum()), _weighted(found))
        for (_, stage), found in pipeline.groupby(["position", "stage"])
    ]
    return pd.DataFrame(rows, columns=["stage", "deals", "amount", "weighted"])

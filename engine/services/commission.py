"""Commission analysed: trend, cost, distribution, mix, attainment, pay against performance, cohorts by plan version."""

from dataclasses import dataclass
from datetime import date

import pandas as pd

from engine.analytics import commission as reads
from engine.analytics import dashboard
from engine.analytics.dashboard import Scope
from engine.db import company
from engine.db.database import Database
from engine.errors import QuotaPathError
from engine.services import access
from engine.services.access import Actor
from engine.services.earnings import plan_of

KINDS = {"earned": "Earned", "adjusted": "Adjustment", "clawed_back": "Clawback", "manual": "Given by hand"}
BY_HAND = "Manual adjustments"  # the component that what was given by hand counts as
_FEWEST = 8  # people from whom a line of pay against performance says something


@dataclass(frozen=True)
class Commission:
    """What was earned in the pay periods of a span.  Money is in minor units of `currency`.

    Frames: `trend` (period, kind, amount), `cost` (period, amount, revenue, rate: commission over revenue, missing
    without revenue), `people` (user_id, code, name, team, leads, amount, attainment, expected: the line of pay against
    performance, outlier), `mix` (plan, component, kind, amount), `cohorts` (period, version, people, amount, each:
    amount per person).  `by_hand`: manual adjustments, a part of all of these but the cohorts.  `foreign` lines are in
    another currency, `unconverted` of these have no rate and are left out.
    """

    currency: str
    last_period: str
    trend: pd.DataFrame
    cost: pd.DataFrame
    people: pd.DataFrame
    mix: pd.DataFrame
    cohorts: pd.DataFrame
    by_hand: int
    foreign: int
    unconverted: int

    @property
    def total(self) -> int:
        """Everything that was earned in the span."""
        return int(self.trend["amount"].sum())


def commission(db: Database, actor: Actor, start: date, end: date, team: int | None, today: date) -> Commission:
    """Commission of the pay periods that end in ``(start, end]``, of whom `actor` may see, or of those in `team` then.

    Needs "analytics.view".
    """
    with db.read(actor) as conn:
        reach = access.visible_people(conn, actor, "analytics.view", today)
        scope = Scope(reach, team, company.currency(conn))
        earned = reads.earned(conn, scope, start, end)
        attained = reads.attained(conn, scope, start, end)
        periods = reads.periods(conn, start, end)
        by_person = earned.loc[earned["part"] == "person", ["user_id", "amount"]].astype("int64")
        ids = sorted({*by_person["user_id"].tolist(), *attained["user_id"].tolist()})
        people = reads.people(conn, ids, end)
        versions = reads.versions(conn, [int(each) for each in earned["plan_version_id"].dropna().unique()])
        first = min([start, *periods["start_date"]])
        won = dashboard.won_by_day(conn, scope, first, end)
    manual = earned[(earned["part"] == "trend") & (earned["kind"] == "manual")]
    trend = earned.loc[earned["part"] == "trend", ["period", "kind", "amount"]].reset_index(drop=True)
    parts = earned[earned["part"] == "trend"]
    people = people.merge(by_person, on="user_id", how="left").merge(attained, on="user_id", how="left")
    return Commission(
        currency=scope.currency,
        last_period=periods["period"].iloc[-1] if len(periods) else "",
        trend=trend,
        cost=_cost(periods, trend, won),
        people=_against_performance(people.assign(amount=people["amount"].fillna(0).astype("int64"))),
        mix=_mix(earned[earned["part"] == "mix"], versions),
        cohorts=_cohorts(earned[earned["part"] == "cohort"], versions),
        by_hand=int(manual["amount"].sum()),
        foreign=int(parts["foreign_lines"].sum()),
        unconverted=int(parts["unconverted"].sum()),
    )


def _cost(periods: pd.DataFrame, trend: pd.DataFrame, won: pd.DataFrame) -> pd.DataFrame:
    amounts = trend.groupby("period")["amount"].sum()
    rows = []
    for each in periods.itertuples():
        inside = won[(won["day"] >= each.start_date) & (won["day"] < each.end_date)]
        amount, revenue = int(amounts.get(each.period, 0)), int(inside["amount"].sum())
        rows.append((each.period, amount, revenue, amount / revenue if revenue > 0 else None))
    return pd.DataFrame(rows, columns=["period", "amount", "revenue", "rate"]).astype({"rate": "float64"})


def _against_performance(people: pd.DataFrame) -> pd.DataFrame:
    """The people with `expected`, on the least-squares line of amount over attainment, and `outlier`: further from it
    than twice the standard deviation of all.  Estimates, no pay."""
    known = people.dropna(subset=["attainment"])
    if len(known) < _FEWEST or known["attainment"].nunique() < 2:
        return people.assign(expected=float("nan"), outlier=False)
    x, y = known["attainment"].astype(float), known["amount"].astype(float)
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())
    expected = y.mean() + slope * (people["attainment"] - x.mean())
    apart = (people["amount"] - expected).abs()
    spread = float((((y - expected.loc[known.index]) ** 2).sum() / len(known)) ** 0.5)
    return people.assign(expected=expected, outlier=(apart > 2 * spread) & people["attainment"].notna())


def _mix(mix: pd.DataFrame, versions: pd.DataFrame) -> pd.DataFrame:
    """By plan and component, called what its newest version calls it; what was given by hand is of no plan."""
    labels: dict[tuple[str, str], str] = {}
    for each in versions.itertuples():
        try:
            plan = plan_of(each.document, each.plan)
        except QuotaPathError:
            continue  # then a component is called by its id
        labels |= {(str(each.title), part.id): part.label or part.id for part in plan.components}
    frame = mix.merge(versions[["plan_version_id", "title"]], on="plan_version_id", how="left")
    frame = frame.assign(title=frame["title"].fillna("No plan"), component=frame["component"].fillna(BY_HAND))
    frame = frame.groupby(["title", "component", "kind"], as_index=False, sort=False)[["amount"]].sum()
    names = [labels.get(key, key[1]) for key in zip(frame["title"], frame["component"], strict=True)]
    return frame.assign(component=names).rename(columns={"title": "plan"})


def _cohorts(cohorts: pd.DataFrame, versions: pd.DataFrame) -> pd.DataFrame:
    frame = cohorts.merge(versions[["plan_version_id", "title", "effective_from"]], on="plan_version_id")
    frame["version"] = [f"{title} of {day}" for title, day in zip(frame["title"], frame["effective_from"], strict=True)]
    frame["each"] = (frame["amount"] / frame["people"]).round().astype("int64")
    return frame[["period", "version", "people", "amount", "each"]].reset_index(drop=True)

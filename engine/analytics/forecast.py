"""What forecasts are made of, read from Postgres: open deals, real win rates, and the pipeline as it was on a past day.

Amounts are int64 minor units of the company's currency, converted at the latest rate on or before the close date.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pandas as pd
import sqlalchemy as sa

from engine.analytics import conversion, fiscal
from engine.analytics.conversion import converted

# The scope of the dashboard: forecasts are of the same people, in the same team.
from engine.analytics.dashboard import Scope, people_in, read, within
from engine.money import PPM

FEW = 20  # decided deals below which a stage's own probability says more than its win rate
LOOK_BACK = 365  # days of which win rates and waiting times are taken
WAIT = 30  # days until an overdue deal closes, where no deal of its stage was won yet


@dataclass(frozen=True)
class Quarter:
    """A fiscal quarter, ``[start, end)``; ``name`` is ``2026-Q4`` of the fiscal year."""

    name: str
    title: str
    start: date
    end: date

    @property
    def months(self) -> str:
        """``"Nov 2026 – Jan 2027"``."""
        return f"{self.start:%b %Y} – {self.end - timedelta(days=1):%b %Y}"


def quarter_of(day: date, first_month: int) -> Quarter:
    """The fiscal quarter that holds a day.

    >>> quarter_of(date(2026, 11, 24), 1).title
    'Q4 2026'
    >>> quarter_of(date(2026, 11, 24), 2).title
    'Q4 FY 2027'
    """
    year, part = fiscal.year_of(day, first_month), fiscal.part_of(day, first_month)
    start, end = fiscal.bounds(year, first_month, part)
    title = f"Q{part} {year}"
    if first_month != 1:
        title = f"Q{part} FY {year}"
    return Quarter(f"{year}-Q{part}", title, start, end)


def quarters_from(first: Quarter, count: int, first_month: int) -> list[Quarter]:
    """``count`` quarters, the first of which is ``first``."""
    found = [first]
    while len(found) < count:
        found.append(quarter_of(found[-1].end, first_month))
    return found[:count]


def quarters_before(first: Quarter, count: int, first_month: int) -> list[Quarter]:
    """``count`` quarters, in order, the last of which ends where ``first`` begins."""
    found: list[Quarter] = []
    while len(found) < count:
        found.insert(0, quarter_of((found[0] if found else first).start - timedelta(days=1), first_month))
    return found


def members(conn: sa.Connection, scope: Scope, day: date) -> frozenset[int] | None:
    """The user ids in the scope on a day; None: everyone."""
    found = people_in(conn, scope, day, day + timedelta(days=1))
    return frozenset(found["whole"]) if found["limited"] else None


# --- open deals ---------------------------------------------------------------------------------------

_AMOUNT = converted("d.amount", "d.currency", "greatest(d.close_date, CAST(:today AS date))")

# Open deals, a row for each person credited; `whole` is the deal, `amount` the person's share of it.
_OPEN = f"""
    SELECT d.id AS deal_id, d.stage_id, d.close_date - DATE '0001-01-01' + 1 AS close_day,
           coalesce(k.user_id, d.owner_id) AS user_id, {_AMOUNT} AS whole,
           CASE WHEN k.deal_id IS NULL THEN {_AMOUNT}
                ELSE CAST(round({_AMOUNT} * (k.share_ppm / 1000000.0)) AS bigint) END AS amount
      FROM deals d JOIN pipeline_stages s ON s.id = d.stage_id LEFT JOIN deal_credits k ON k.deal_id = d.id
     WHERE s.outcome = 'open' AND d.cancelled_on IS NULL AND d.amount >= 0
     ORDER BY d.id, user_id
"""  # noqa: S608
_LEFT_OUT = sa.text("""
    SELECT count(*) FROM deals d JOIN pipeline_stages s ON s.id = d.stage_id
     WHERE s.outcome = 'open' AND (d.amount IS NULL OR d.amount < 0)
""")


def open_deals(conn: sa.Connection, currency: str, today: date) -> pd.DataFrame:
    """The open deals of everyone, a row for each person credited.

    deal_id, stage_id, close_day (ordinal, as typed in), user_id, whole and amount (int64, the deal and the person's
    share); without the deals that have no amount, or one in a currency without a rate.
    """
    params = conversion.parameters(conn, currency) | {"today": today}
    frame = pd.read_sql(sa.text(_OPEN), conn, params=params)
    return frame.dropna(subset=["whole", "amount"]).astype("int64")


def without_amount(conn: sa.Connection) -> int:
    """How many open deals have no amount, or one below 0."""
    return conn.scalar(_LEFT_OUT) or 0


# --- win rates and waiting times ----------------------------------------------------------------------

# What became, by each day, of the deals that entered an open stage in the year before it; `days` is the median wait
# from entering the stage to being won.  Only what was decided by then is counted, so only that is looked for.
_RATES = sa.text("""
    WITH origins AS (SELECT unnest(CAST(:days AS date[])) AS day),
    decided AS MATERIALIZED (
        SELECT n.deal_id, s.outcome, n.entered_at,
               (SELECT min(x.entered_at) FROM deal_stage_entries x
                 WHERE x.deal_id = n.deal_id AND (x.entered_at, x.stage_id) > (n.entered_at, n.stage_id)) AS left_at
          FROM deal_stage_entries n JOIN pipeline_stages s ON s.id = n.stage_id AND s.outcome <> 'open'
          JOIN deals d ON d.id = n.deal_id AND coalesce(d.amount, 0) >= 0
         WHERE n.entered_at >= CAST(:first AS date) - :look_back AND n.entered_at < CAST(:last AS date)
    ), entered AS MATERIALIZED (
        SELECT e.deal_id, e.stage_id, e.entered_at
          FROM deal_stage_entries e JOIN pipeline_stages s ON s.id = e.stage_id AND s.outcome = 'open'
         WHERE e.entered_at >= CAST(:first AS date) - :look_back AND e.entered_at < CAST(:last AS date)
    )
    SELECT o.day, f.stage_id, count(*) FILTER (WHERE f.outcome = 'won') AS won,
           count(*) FILTER (WHERE f.outcome = 'lost') AS lost,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY f.days) FILTER (WHERE f.outcome = 'won') AS days
      FROM origins o CROSS JOIN LATERAL (
        SELECT e.deal_id, e.stage_id, n.outcome,
               extract(epoch FROM n.entered_at - min(e.entered_at)) / 86400.0 AS days
          FROM entered e JOIN decided n ON n.deal_id = e.deal_id
         WHERE e.entered_at >= o.day - :look_back AND e.entered_at < o.day
           AND n.entered_at < o.day AND (n.left_at IS NULL OR n.left_at >= o.day)
         GROUP BY e.deal_id, e.stage_id, n.outcome, n.entered_at) f
     GROUP BY 1, 2
""")
_STAGES = sa.text("""
    SELECT id, name, probability_ppm, position FROM pipeline_stages WHERE outcome = 'open' ORDER BY position
""")


def stage_rates(conn: sa.Connection, days: Sequence[date]) -> pd.DataFrame:
    """What each open stage was worth as each day began, of the whole company's deals in the year before.

    day, stage_id, stage, won, lost, typed (the probability typed in), rate (ppm: the share of the won in the decided
    where at least `FEW` are decided, else what is typed in), real (whether it is the share), wait (days an overdue deal
    is taken to need: the median from entering the stage to being won, else `WAIT`).
    """
    asked = {"days": list(days), "first": min(days), "last": max(days), "look_back": timedelta(days=LOOK_BACK)}
    found = {(row.day, row.stage_id): row for row in conn.execute(_RATES, asked)}
    rows = []
    for stage in conn.execute(_STAGES):
        for day in days:
            row = found.get((day, stage.id))
            won, lost = (int(row.won), int(row.lost)) if row else (0, 0)
            real = won + lost >= FEW
            rate = PPM * won // (won + lost) if real else stage.probability_ppm
            wait = WAIT if row is None or row.days is None else max(1, round(float(row.days)))
            rows.append((day, stage.id, stage.name, won, lost, stage.probability_ppm, rate, real, wait))
    columns = ["day", "stage_id", "stage", "won", "lost", "typed", "rate", "real", "wait"]
    return pd.DataFrame(rows, columns=columns)


def expected_days(close_days: pd.Series, waits: pd.Series, today: int) -> pd.Series:
    """The day on which each open deal is taken to close: as typed in, or, where that is over, a wait from today."""
    return close_days.where(close_days >= today, today + waits)


# --- the pipeline as it was ---------------------------------------------------------------------------

# Open deals as each day began, in the stage and with the close date and amount of then: what the history of a deal says
# it was before it was next changed.  Close dates by month (NULL: over by then), which every fiscal quarter is made of.
_THEN = f"""
    WITH origins AS (SELECT unnest(CAST(:days AS date[])) AS day),
    stays AS MATERIALIZED (
        SELECT deal_id, stage_id, entered_at,
               lead(entered_at) OVER (PARTITION BY deal_id ORDER BY entered_at, stage_id) AS left_at
          FROM deal_stage_entries
         WHERE NOT :limited OR deal_id IN (
               SELECT id FROM deals WHERE owner_id = ANY(CAST(:someone AS bigint[])) UNION ALL
               SELECT deal_id FROM deal_credits WHERE user_id = ANY(CAST(:someone AS bigint[])))
    ), known AS MATERIALIZED (
        SELECT o.day, n.stage_id, d.id, d.owner_id, d.currency,
               CASE WHEN c.id IS NULL THEN d.close_date
                    ELSE CAST(c.changes -> 'close_date' ->> 0 AS date) END AS closes,
               CASE WHEN a.id IS NULL THEN d.amount ELSE CAST(a.changes -> 'amount' ->> 0 AS bigint) END AS amount
          FROM origins o
          JOIN stays n ON n.entered_at < o.day AND (n.left_at IS NULL OR n.left_at >= o.day)
          JOIN pipeline_stages s ON s.id = n.stage_id AND s.outcome = 'open'
          JOIN deals d ON d.id = n.deal_id
          LEFT JOIN LATERAL (SELECT id, changes FROM deal_changes WHERE deal_id = d.id AND at >= o.day
               AND changes ? 'close_date' ORDER BY at, id LIMIT 1) c ON true
          LEFT JOIN LATERAL (SELECT id, changes FROM deal_changes WHERE deal_id = d.id AND at >= o.day
               AND changes ? 'amount' ORDER BY at, id LIMIT 1) a ON true
    ), valued AS (
        SELECT t.*, {converted("t.amount", "t.currency", "t.day")} AS value FROM known t WHERE t.amount >= 0
    )
    SELECT v.day, v.stage_id, CASE WHEN v.closes >= v.day THEN CAST(date_trunc('month', v.closes) AS date) END AS month,
           count(DISTINCT v.id) AS deals,
           CAST(sum(CASE WHEN k.deal_id IS NULL THEN v.value ELSE round(v.value * (k.share_ppm / 1000000.0)) END)
                AS bigint) AS amount
      FROM valued v LEFT JOIN deal_credits k ON k.deal_id = v.id AND :limited
     WHERE v.value IS NOT NULL AND {within("coalesce(k.user_id, v.owner_id)", "v.day")}
     GROUP BY 1, 2, 3
"""  # noqa: S608


def pipeline_then(conn: sa.Connection, scope: Scope, days: Sequence[date]) -> pd.DataFrame:
    """The scope's open deals as each of the days began: day, stage_id, month (None: overdue), deals, amount.

    A day on which the history knows no open deal has no row: it does not reach back to it.
    """
    if not days:
        return pd.DataFrame(columns=["day", "stage_id", "month", "deals", "amount"])
    first, last = min(days), max(days) + timedelta(days=1)
    found = people_in(conn, scope, first, last)
    someone = sorted({*found["whole"], *found["partly"]})
    return read(conn, _THEN, scope, first, last, days=list(days), someone=someone)


def weighted(pipeline: pd.DataFrame, rates: pd.DataFrame, quarters: Sequence[Quarter]) -> list[float] | None:
    """The pipeline of one day (rows of `pipeline_then`), weighted, by the quarters in which it should close.

    What is overdue counts in the quarter of the day and its stage's wait.  None for a pipeline that is not known.
    """
    if pipeline.empty:
        return None
    by_stage: dict[int, Any] = {row["stage_id"]: row for row in rates.to_dict("records")}
    totals = [0.0] * len(quarters)
    rows: list[dict[Any, Any]] = pipeline.to_dict("records")
    for row in rows:
        stage = by_stage[row["stage_id"]]
        at: date = row["day"] + timedelta(days=stage["wait"]) if pd.isna(row["month"]) else row["month"]
        place = next((i for i, each in enumerate(quarters) if each.start <= at < each.end), None)
        if place is not None:
            totals[place] += row["amount"] * stage["rate"] / PPM
    return totals


# --- what may be ticked -------------------------------------------------------------------------------

_TICKABLE = sa.text("""
    SELECT d.id, d.name, d.account, u.name AS owner, s.id AS stage_id, s.name AS stage, d.amount, d.currency,
           d.close_date, count(*) OVER () AS of
      FROM deals d JOIN pipeline_stages s ON s.id = d.stage_id JOIN users u ON u.id = d.owner_id
     WHERE s.outcome = 'open' AND d.cancelled_on IS NULL AND d.amount IS NOT NULL
       AND d.id IN (SELECT id FROM deals WHERE owner_id = ANY(:people)
                       AND id NOT IN (SELECT deal_id FROM deal_credits)
                    UNION ALL SELECT deal_id FROM deal_credits WHERE user_id = ANY(:people) AND share_ppm > 0)
     ORDER BY d.close_date, d.id LIMIT :limit
""")


def tickable(conn: sa.Connection, people: frozenset[int], limit: int) -> pd.DataFrame:
    """The open deals with an amount that these people are credited with, the next to close first.

    id, name, account, owner, stage_id, stage, amount (Int64 minor units of its own currency), currency, close_date,
    of (how many there are in all).
    """
    frame = pd.read_sql(_TICKABLE, conn, params={"people": sorted(people), "limit": limit})
    return frame.astype({"amount": "Int64"})


# --- what is won already ------------------------------------------------------------------------------

_WON_BY_PERSON = f"""
    SELECT coalesce(k.user_id, d.owner_id) AS user_id, CAST(date_trunc('month', d.close_date) AS date) AS month,
           CAST(coalesce(sum(CASE WHEN k.deal_id IS NULL THEN {converted("d.amount", "d.currency", "d.close_date")}
                ELSE round({converted("d.amount", "d.currency", "d.close_date")} * (k.share_ppm / 1000000.0)) END), 0)
                AS bigint) AS amount
      FROM deals d JOIN pipeline_stages s ON s.id = d.stage_id LEFT JOIN deal_credits k ON k.deal_id = d.id
     WHERE s.outcome = 'won' AND d.close_date >= :start AND d.close_date < :end
     GROUP BY 1, 2
"""  # noqa: S608


def won_by_person(conn: sa.Connection, currency: str, start: date, end: date) -> pd.DataFrame:
    """What everyone won in ``[start, end)``: user_id, month (its first day), amount (int64, of the shares)."""
    params = conversion.parameters(conn, currency) | {"start": start, "end": end}
    return pd.read_sql(sa.text(_WON_BY_PERSON), conn, params=params)


_NAMES = sa.text("""
    SELECT u.id AS user_id, u.code, u.name, coalesce(t.name, '') AS team
      FROM users u
      LEFT JOIN team_members m ON m.user_id = u.id AND m.start_date <= :day
           AND (m.end_date IS NULL OR m.end_date > :day)
      LEFT JOIN teams t ON t.id = m.team_id
     WHERE u.is_active ORDER BY u.name, u.id
""")


def names(conn: sa.Connection, day: date) -> pd.DataFrame:
    """Everyone active: user_id, code, name, and the team that they are in on that day."""
    return pd.read_sql(_NAMES, conn, params={"day": day})

"""The pipeline as sums made in Postgres: what is open and for how long, what was decided, how deals pass through the
stages, and how often their close date is moved.

Money is int64 minor units of the company's currency; what is in another currency is converted at the latest stored
rate on or before the close date, and left out, counted, where there is none.  A deal counts whole for each person who
owns or shares it, as on the deals page; cancelled deals are left out, and so are refunds where won deals are counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pandas as pd
import sqlalchemy as sa

from engine.analytics import conversion, parts
from engine.analytics.behind import CYCLE, DAYS_WAITING, FROM, LATEST, SALE, SLIPPED, TO
from engine.analytics.conversion import converted
from engine.periods import Period

AGES = (1, 2, 4)  # times the usual days in a stage, where an open deal goes on to the next bucket
CYCLES = (15, 30, 60, 90, 180, 365)  # days from creation to close, where a bucket ends
MOVES = (8, 31, 91)  # days by which a close date was moved, where a bucket ends

# What deals can be put into groups by, as text: an owner's id, the id of the owner's team today (empty: none), a name.
# Postgres counts by owner for the first three: that is counted once, and added up here.
GROUPS = ("all", "rep", "team", "product", "segment")
_OWNER = "CAST(d.owner_id AS text)"
_GROUP = {"product": "d.product", "segment": "d.segment"}
_TEAM = """
    SELECT user_id, team_id FROM team_members WHERE start_date <= :today AND (end_date IS NULL OR end_date > :today)
"""
_PART = parts.PART["owner"]
_SUMS = ("stays", "deals", "overdue", "days", "timed", "seconds", "moves", "amount", "foreign_deals", "unconverted")
_YARDSTICK = timedelta(days=365)  # of stays in a stage, to say what is usual


@dataclass(frozen=True)
class View:
    """Whose deals (None: everyone's), put into groups by one of `GROUPS`, seen on a day, in a currency."""

    people: tuple[int, ...] | None
    by: str
    today: date
    currency: str


_AMOUNT = converted("d.amount", "d.currency", "d.close_date")
_PEOPLE = "CAST(:people AS bigint[])"
_DEALS, _ENTRIES = parts.theirs(_PEOPLE), parts.their_entries(_PEOPLE)
_MONEY = f"""
    CAST(coalesce(sum({_AMOUNT}), 0) AS bigint) AS amount,
    count(*) FILTER (WHERE d.currency <> :currency) AS foreign_deals,
    count(*) FILTER (WHERE d.amount IS NOT NULL AND {_AMOUNT} IS NULL) AS unconverted
"""


def _bucket(days: str, edges: Sequence[int | str]) -> str:
    """The number of the bucket that `days` lie in: 0 below the first edge; NULL without days or without edges."""
    cases = " ".join(f"WHEN {days} < {edge} THEN {number}" for number, edge in enumerate(edges))
    return f"CASE WHEN {days} IS NULL OR {edges[0]} IS NULL THEN NULL {cases} ELSE {len(edges)} END"


# Open deals by stage, group, and how long they have been in the stage, against what is usual there.
_OPEN = f"""
    WITH usual AS (SELECT * FROM unnest(CAST(:stages AS bigint[]), CAST(:days AS int[])) AS u (stage_id, days)),
    waiting AS MATERIALIZED (
        SELECT {_PART} AS part, <group> AS grp, d.stage_id, d.close_date, d.amount, d.currency,
               {DAYS_WAITING} AS days
          FROM {_DEALS} LEFT JOIN {LATEST}
         WHERE d.cancelled_on IS NULL
           AND d.stage_id = ANY(ARRAY(SELECT id FROM pipeline_stages WHERE outcome = 'open')))
    SELECT d.part, d.stage_id, s.name AS stage, s.position, s.probability_ppm, d.grp,
           {_bucket("d.days", [f"{times} * u.days" for times in AGES])} AS bucket, count(*) AS deals,
           count(*) FILTER (WHERE d.close_date < :today) AS overdue, CAST(sum(d.days) AS bigint) AS days, {_MONEY}
      FROM waiting d JOIN pipeline_stages s ON s.id = d.stage_id LEFT JOIN usual u ON u.stage_id = d.stage_id
     GROUP BY 1, 2, 3, 4, 5, 6, 7
"""  # noqa: S608

# Deals that were decided in the period, by the days from creation to close.
_DECIDED = f"""
    SELECT {_PART} AS part, s.outcome, <group> AS grp, {_bucket(CYCLE, CYCLES)} AS bucket, count(*) AS deals,
           count({CYCLE}) AS timed, CAST(coalesce(sum({CYCLE}), 0) AS bigint) AS days, {_MONEY}
      FROM {_DEALS} JOIN pipeline_stages s ON s.id = d.stage_id
     WHERE s.outcome IN ('won', 'lost') AND d.close_date >= :start AND d.close_date < :end AND {SALE}
       AND d.cancelled_on IS NULL
     GROUP BY 1, 2, 3, 4
"""  # noqa: S608

# Each deal's first stay in each stage that it entered in the period, and where it went from there.
_PASSAGES = f"""
    SELECT {_PART} AS part, v.stage_id, coalesce(v.next_id, 0) AS next_id, <group> AS grp, count(*) AS deals,
           CAST(coalesce(sum(extract(epoch FROM v.left_at - v.entered_at)), 0) AS bigint) AS seconds
      FROM {_ENTRIES} JOIN deals d ON d.id = v.deal_id
     WHERE NOT v.returned AND {SALE} AND d.cancelled_on IS NULL AND <part>
     GROUP BY 1, 2, 3, 4
"""  # noqa: S608
# How many stays ended on which day of the stay, counted from 1.
_USUAL = f"""
    SELECT {_PART} AS part, v.stage_id,
           greatest(1, CAST(ceil(extract(epoch FROM v.left_at - v.entered_at) / 86400) AS int)) AS days,
           count(*) AS stays
      FROM {_ENTRIES} JOIN deals d ON d.id = v.deal_id
     WHERE v.left_at IS NOT NULL AND {SALE} AND d.cancelled_on IS NULL AND <part>
     GROUP BY 1, 2, 3
"""  # noqa: S608

# Deals whose close date was moved later by a change made in the period; an earlier one counts apart.
_MOVED = f"""
    SELECT {_PART} AS part, <group> AS grp,
           CASE WHEN m.days > 0 THEN {_bucket("m.days", MOVES)} ELSE -1 END AS bucket,
           count(*) AS moves, count(DISTINCT d.id) AS deals, CAST(sum(m.days) AS bigint) AS days
      FROM (SELECT c.deal_id, {TO} - {FROM} AS days FROM deal_changes c
             WHERE c.moved_from IS NOT NULL AND c.at >= :start AND c.at < :end) m
      JOIN {_DEALS} ON d.id = m.deal_id
     WHERE m.days <> 0 AND d.cancelled_on IS NULL
     GROUP BY 1, 2, 3
"""  # noqa: S608

# Deals that should have closed in the period, were moved out of it, and close later.
_SLIPPED = f"""
    SELECT {_PART} AS part, <group> AS grp, s.outcome, count(*) AS deals, {_MONEY}
      FROM {_DEALS} JOIN pipeline_stages s ON s.id = d.stage_id
     WHERE d.close_date >= :end AND d.cancelled_on IS NULL
       AND d.id IN (SELECT c.deal_id FROM deal_changes c WHERE {SLIPPED})
     GROUP BY 1, 2, 3
"""  # noqa: S608


def _read(
    conn: sa.Connection, query: str, view: View, start: date, end: date, order: Sequence[str], **more: Any
) -> pd.DataFrame:
    params = conversion.parameters(conn, view.currency) | {
        "people": None if view.people is None else list(view.people), "today": view.today, "start": start, "end": end,
    }  # fmt: skip
    asked = query.replace("<group>", _GROUP.get(view.by, _OWNER))
    found = parts.read(conn, asked, params | more, "owner", (*order, "part")).drop(columns="part")
    if view.by == "rep" or "grp" not in found:
        return found
    teams: dict[str, str] = {}
    if view.by == "team":
        rows = conn.execute(sa.text(_TEAM), {"today": view.today})
        teams = {str(row.user_id): str(row.team_id) for row in rows}
    if view.by in ("all", "team"):
        found = found.assign(grp=[teams.get(owner, "") for owner in found["grp"]])
    sums = [name for name in found if name in _SUMS]
    keys = [name for name in found if name not in _SUMS]
    return found.groupby(keys, as_index=False, sort=False, dropna=False)[sums].sum()


def usual_days(conn: sa.Connection, view: View) -> dict[int, int]:
    """The median days that deals stayed in a stage, by stage id: of those that came there in the last 365 days and left
    it again.  A day that has begun counts; of two in the middle it is their mean, rounded up."""
    everyone = View(view.people, "all", view.today, view.currency)
    start, end = view.today - _YARDSTICK, view.today + timedelta(days=1)
    found = _read(conn, _USUAL, everyone, start, end, ("stage_id", "days"))
    usual: dict[int, int] = {}
    for stage, stays in found.groupby("stage_id"):
        upto, total = stays["stays"].cumsum(), int(stays["stays"].sum())
        middle = [int(stays["days"][upto > place].iloc[0]) for place in ((total - 1) // 2, total // 2)]
        usual[int(str(stage))] = -(-sum(middle) // 2)
    return usual


def open_deals(conn: sa.Connection, view: View, usual: Mapping[int, int]) -> pd.DataFrame:
    """Open deals: stage_id, stage, position, probability_ppm, grp, bucket (of `AGES`; missing: nothing is usual there
    yet), deals, overdue, days (in the stage, summed), amount, foreign_deals,
    unconverted."""
    more = {"stages": list(usual), "days": list(usual.values())}
    return _read(conn, _OPEN, view, view.today, view.today, ("position", "grp", "bucket"), **more)


def decided(conn: sa.Connection, view: View, period: Period) -> pd.DataFrame:
    """Deals decided in the period: outcome, grp, bucket (of `CYCLES`; missing: no created date), deals, timed (those
    with a created date), days (of these, summed), amount, foreign_deals,
    unconverted."""
    return _read(conn, _DECIDED, view, *_days(period), ("outcome", "grp", "bucket"))


def passages(conn: sa.Connection, view: View, period: Period) -> pd.DataFrame:
    """First stays in a stage that began in the period: stage_id, next_id (0: still there), grp, deals, seconds (of
    those that left, summed)."""
    return _read(conn, _PASSAGES, view, *_days(period), ("stage_id", "next_id", "grp"))


def moved(conn: sa.Connection, view: View, period: Period) -> pd.DataFrame:
    """Close dates moved in the period: grp, bucket (of `MOVES`; -1: moved earlier), moves, deals, days (summed)."""
    return _read(conn, _MOVED, view, *_days(period), ("grp", "bucket"))


def slipped(conn: sa.Connection, view: View, period: Period) -> pd.DataFrame:
    """Deals that slipped out of the period: grp, outcome (today's), deals, amount, foreign_deals,
    unconverted."""
    return _read(conn, _SLIPPED, view, *_days(period), ("grp", "outcome"))


def _days(period: Period) -> tuple[date, date]:
    return period.first_day, date.fromordinal(period.end)


_NAMES = {
    "rep": "SELECT CAST(id AS text) AS grp, name FROM users",
    "team": "SELECT CAST(id AS text) AS grp, name FROM teams",
}


def group_names(conn: sa.Connection, by: str) -> dict[str, str]:
    """What groups are called that are kept by an id; the others are called what they are."""
    return {row.grp: row.name for row in conn.execute(sa.text(_NAMES[by]))} if by in _NAMES else {}

"""What the dashboard shows, as sums made in Postgres: revenue, commission, attainment, pipeline, top deals.

Money is int64 minor units of the company's currency; what is in another currency is converted at the latest
stored rate on or before its day, and left out, counted, where there is none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd
import sqlalchemy as sa

from engine.analytics import conversion, frames, parts
from engine.analytics.conversion import converted
from engine.money import currency_digits


@dataclass(frozen=True)
class Scope:
    """Whose figures: `people` (None: everyone's), and of these the ones in `team` or below it on each day."""

    people: frozenset[int] | None
    team: int | None
    currency: str


# Who was in the chosen team, in a team below it, or led one of them, and when.
_TEAM = sa.text("""
    WITH RECURSIVE tree (team_id, first, past) AS (
        SELECT CAST(:team AS bigint), date '0001-01-01', date '9999-12-31'
        UNION
        SELECT s.team_id, greatest(s.start_date, t.first), least(s.end_date, t.past)
          FROM team_structure s JOIN tree t ON s.parent_id = t.team_id
         WHERE s.start_date < t.past AND coalesce(s.end_date, t.past) > t.first
    )
    SELECT m.user_id, greatest(m.start_date, t.first) AS first, least(m.end_date, t.past) AS past
      FROM team_members m JOIN tree t USING (team_id)
    UNION
    SELECT s.manager_id, greatest(s.start_date, t.first), least(s.end_date, t.past)
      FROM team_structure s JOIN tree t USING (team_id) WHERE s.manager_id IS NOT NULL
""")


def people_in(conn: sa.Connection, scope: Scope, start: date, end: date) -> dict[str, Any]:
    """The parameters of `within`: who counts on every day of ``[start, end)``, and who on some of them.

    The first are looked up in a hash, so that a day is compared only for the few who joined, left or moved.
    """
    if scope.team is None:
        whole, partly = sorted(scope.people or ()), []
    else:
        rows = [row for row in conn.execute(_TEAM, {"team": scope.team}) if row.first < row.past]
        rows = [row for row in rows if scope.people is None or row.user_id in scope.people]
        whole = sorted({row.user_id for row in rows if row.first <= start and row.past >= end})
        partly = [row for row in rows if row.user_id not in whole]
    return {
        "limited": scope.people is not None or scope.team is not None,
        "whole": whole,
        "everyone": sorted({*whole, *(row.user_id for row in partly)}),
        "partly": [row.user_id for row in partly],
        "firsts": [row.first for row in partly],
        "pasts": [row.past for row in partly],
    }


def within(person: str, day: str) -> str:
    """The condition that `person` is in the scope on `day`; both are SQL expressions."""
    return f"""
        (NOT :limited OR {person} = ANY(CAST(:whole AS bigint[]))
         OR {person} = ANY(CAST(:partly AS bigint[])) AND EXISTS (
            SELECT FROM unnest(CAST(:partly AS bigint[]), CAST(:firsts AS date[]), CAST(:pasts AS date[]))
                AS c (user_id, first, past)
             WHERE c.user_id = {person} AND c.first <= {day} AND c.past > {day}))
    """


def read(conn: sa.Connection, query: str, scope: Scope, start: date, end: date, **values: Any) -> pd.DataFrame:
    """The query's rows; its days lie in ``[start, end)``."""
    return frames.read(conn, query, _values(conn, scope, start, end) | values)


def _values(conn: sa.Connection, scope: Scope, start: date, end: date) -> dict[str, Any]:
    shared = conversion.parameters(conn, scope.currency) | {"start": start, "end": end}
    return people_in(conn, scope, start, end) | shared


def _by_month(
    conn: sa.Connection, query: str, scope: Scope, start: date, end: date, order: Sequence[str], **values: Any
) -> pd.DataFrame:
    """`read` for a query about deals whose rows are each of one month of close dates (`engine.analytics.parts`)."""
    found = parts.read(conn, query, _values(conn, scope, start, end) | values, "month", order)
    return found.drop(columns="part")


_DEAL_AMOUNT = converted("d.amount", "d.currency", "d.close_date")

# The deals of those in the scope, with a row for each person credited; the whole deal at once where everyone's figures
# are asked for.  They are found by the indexes, before it is asked who counted on which day.
_CREDITED = f"""
      FROM {parts.theirs("CASE WHEN :limited THEN CAST(:everyone AS bigint[]) END")}
      JOIN pipeline_stages s ON s.id = d.stage_id
      LEFT JOIN deal_credits k ON k.deal_id = d.id AND :limited
"""
_PERSON = "coalesce(k.user_id, d.owner_id)"
_SHARE = f"""CASE WHEN k.deal_id IS NULL THEN {_DEAL_AMOUNT}
             ELSE CAST(round({_DEAL_AMOUNT} * (k.share_ppm / 1000000.0)) AS bigint) END"""
_MONTH = parts.PART["month"]
_HOW_MANY = "count(*) FILTER (WHERE k.deal_id IS NULL{0}) + count(DISTINCT k.deal_id) FILTER (WHERE true{0})"

# Won revenue and deals by close date; a refund lowers the revenue and is not a deal won.
_WON = f"""
    SELECT {_MONTH} AS part, d.close_date AS day, CAST(coalesce(sum({_SHARE}), 0) AS bigint) AS amount,
           {_HOW_MANY.format(" AND coalesce(d.amount, 0) >= 0")} AS deals,
           {_HOW_MANY.format(f" AND d.amount IS NOT NULL AND {_DEAL_AMOUNT} IS NULL")} AS unconverted
    {_CREDITED}
     WHERE s.outcome = 'won' AND d.close_date >= :start AND d.close_date < :end
       AND {within(_PERSON, "d.close_date")}
     GROUP BY d.close_date
"""


def won_by_day(conn: sa.Connection, scope: Scope, start: date, end: date) -> pd.DataFrame:
    """What people in the scope won in ``[start, end)``: day, amount, deals, unconverted (deals without a rate).

    A shared deal is one deal, and counts with the shares of those in the scope.
    """
    return _by_month(conn, _WON, scope, start, end, ("day",))


# What a pay period comes to for everyone: the lines of the run that it shows, and what was given by hand.
_GIVEN = """
      LATERAL (
          SELECT user_id, amount, currency FROM {lines} WHERE run_id = p.run_id
          UNION ALL
          SELECT user_id, amount, currency FROM manual_adjustments
           WHERE period = p.period AND withdrawn_at IS NULL) l
"""

# Commission of the run that each pay period shows, adjustments and what was given by hand included.
_EARNED = f"""
    SELECT p.period, p.end_date - 1 AS paid_for, p.status,
           CAST(coalesce(sum({converted("l.amount", "l.currency", "(p.end_date - 1)")}), 0) AS bigint) AS amount
      FROM pay_periods p
      LEFT JOIN {_GIVEN.format(lines="run_sums")} ON {within("l.user_id", "(p.end_date - 1)")}
     WHERE p.run_id IS NOT NULL AND p.end_date > :start AND p.end_date <= :end
     GROUP BY p.period, p.end_date, p.status ORDER BY p.end_date, p.period
"""  # noqa: S608


def earned(conn: sa.Connection, scope: Scope, start: date, end: date) -> pd.DataFrame:
    """Commission of the pay periods that end in ``(start, end]`` and have been run, with what was given by hand.

    period, paid_for (its last day), status, amount.
    """
    return read(conn, _EARNED, scope, start, end)


# A deal that changed after the run was kept is in the revenue, and not in the commission.
_SHOWN_RUNS = sa.text("""
    SELECT p.period, p.start_date, p.end_date, r.created_at FROM pay_periods p JOIN runs r ON r.id = p.run_id
     WHERE p.status = 'open' AND p.start_date >= :start AND p.end_date > :after AND p.end_date <= :end
     ORDER BY p.start_date, p.period
""")
_CHANGED = f"""
    SELECT {parts.PART["owner"]} AS part, k.period
      FROM unnest(CAST(:periods AS text[]), CAST(:starts AS date[]), CAST(:ends AS date[]),
                  CAST(:made AS timestamptz[])) AS k (period, start, past, made)
      JOIN deals d ON d.close_date >= k.start AND d.close_date < k.past AND d.updated_at > k.made
     WHERE <part>
     GROUP BY 1, 2
"""  # noqa: S608


def runs_before_changes(conn: sa.Connection, start: date, end: date, after: date = date.min) -> list[str]:
    """The open pay periods within ``[start, end)``, those that end after a day, with a deal that changed since their
    run, the earliest first."""
    runs = conn.execute(_SHOWN_RUNS, {"start": start, "end": end, "after": after}).all()
    if not runs:
        return []
    names, starts, ends, made = (list(column) for column in zip(*runs, strict=True))
    values = {"periods": names, "starts": starts, "ends": ends, "made": made}
    changed = set(parts.read(conn, _CHANGED, values, "owner", ("part", "period"))["period"])
    return [name for name in names if name in changed]


# The part of the same that comes from deals closed before a day.
_EARNED_ON = f"""
    SELECT {_MONTH} AS part, CAST(coalesce(sum({converted("l.amount", "l.currency", "(p.end_date - 1)")}), 0) AS bigint)
           AS amount
      FROM pay_periods p JOIN lines l ON l.run_id = p.run_id JOIN deals d ON d.id = l.deal_id
     WHERE p.run_id = ANY(CAST(:runs AS bigint[])) AND d.close_date < :day
       AND {within("l.user_id", "(p.end_date - 1)")} AND <part>
     GROUP BY 1
"""  # noqa: S608
_EARNED_OTHERWISE = f"""
    SELECT CAST(coalesce(sum({converted("l.amount", "l.currency", "(p.end_date - 1)")}), 0) AS bigint) AS amount
      FROM pay_periods p JOIN {_GIVEN.format(lines="(SELECT * FROM lines WHERE deal_id IS NULL) AS other")} ON true
     WHERE p.run_id IS NOT NULL AND p.end_date > :start AND p.end_date <= :end AND p.start_date < :day
       AND {within("l.user_id", "(p.end_date - 1)")}
"""  # noqa: S608
_RUNS = sa.text("""
    SELECT run_id FROM pay_periods WHERE run_id IS NOT NULL AND end_date > :start AND end_date <= :end ORDER BY run_id
""")


def earned_by(conn: sa.Connection, scope: Scope, start: date, end: date, day: date) -> int:
    """Commission of the pay periods that end in ``(start, end]`` on deals closed before `day`, in minor units.

    What was given by hand is about no day, and counts whole.
    """
    runs = list(conn.scalars(_RUNS, {"start": start, "end": end}))
    on_deals = _by_month(conn, _EARNED_ON, scope, start, end, ("part",), day=day, runs=runs)
    otherwise = read(conn, _EARNED_OTHERWISE, scope, start, end, day=day)
    return int(on_deals["amount"].sum() + otherwise["amount"].iloc[0])


# Credit and quota of everyone, as the run of each pay period says; who leads a team then has its credit too.
_ATTAINMENT = f"""
    SELECT p.period, p.end_date - 1 AS paid_for, a.user_id, u.name, a.component, a.quota_period,
           CAST(round(a.credit * :units) AS bigint) AS credit, CAST(round(a.quota * :units) AS bigint) AS quota,
           coalesce(t.name, led.name, '') AS team, led.name IS NOT NULL AS leads
      FROM pay_periods p
      JOIN run_attainment a ON a.run_id = p.run_id
      JOIN users u ON u.id = a.user_id
      LEFT JOIN team_members m ON m.user_id = a.user_id AND m.start_date < p.end_date
           AND (m.end_date IS NULL OR m.end_date >= p.end_date)
      LEFT JOIN teams t ON t.id = m.team_id
      LEFT JOIN LATERAL (
          SELECT min(lt.name) AS name FROM team_structure s JOIN teams lt ON lt.id = s.team_id
           WHERE s.manager_id = a.user_id AND s.start_date < p.end_date
             AND (s.end_date IS NULL OR s.end_date >= p.end_date)) led ON true
     WHERE p.end_date > :start AND p.end_date <= :end AND {within("a.user_id", "(p.end_date - 1)")}
     ORDER BY p.end_date, u.name, a.user_id, a.component
"""  # noqa: S608


def attainment(conn: sa.Connection, scope: Scope, start: date, end: date) -> pd.DataFrame:
    """Attainment as each pay period's run knows it, for pay periods that end in ``(start, end]``.

    period, paid_for, user_id, name, component, quota_period, credit and quota (minor units), team, leads.
    """
    units = 10 ** currency_digits(scope.currency)
    return read(conn, _ATTAINMENT, scope, start, end, units=units)


# Open deals by stage and by the month in which they should close.
_PIPELINE = f"""
    SELECT {_MONTH} AS part, s.name AS stage, s.position, s.probability_ppm,
           CAST(date_trunc('month', d.close_date) AS date) AS month, d.close_date < :today AS overdue,
           {_HOW_MANY.format("")} AS deals,
           CAST(coalesce(sum({_SHARE}), 0) AS bigint) AS amount,
           {_HOW_MANY.format(f" AND d.amount IS NOT NULL AND {_DEAL_AMOUNT} IS NULL")} AS unconverted
    {_CREDITED}
     WHERE s.outcome = 'open' AND d.cancelled_on IS NULL AND {within(_PERSON, "greatest(d.close_date, :today)")}
     GROUP BY s.id, part, month, overdue
"""


def pipeline(conn: sa.Connection, scope: Scope, today: date) -> pd.DataFrame:
    """Open deals: stage, position, probability_ppm, month of closing, overdue, deals, amount, unconverted."""
    return _by_month(conn, _PIPELINE, scope, today, date.max, ("position", "month", "overdue"), today=today)


# The largest deals of each month of a period with an outcome, in full, in which someone of the scope has a share.
_TOP = f"""
    WITH found AS (
        SELECT DISTINCT {_MONTH} AS part, d.id, {_DEAL_AMOUNT} AS amount
        {_CREDITED}
         WHERE s.outcome = :outcome AND d.close_date >= :start AND d.close_date < :end AND d.amount > 0
           AND {within(_PERSON, "d.close_date")}),
    placed AS (SELECT *, row_number() OVER (PARTITION BY part ORDER BY amount DESC NULLS LAST, id) AS place FROM found)
    SELECT f.part, d.id, d.name, d.account, d.owner_id, s.name AS stage, d.close_date, d.type, d.product, f.amount
      FROM placed f JOIN deals d ON d.id = f.id JOIN pipeline_stages s ON s.id = d.stage_id
     WHERE f.place <= :limit
"""  # noqa: S608
_NAMES = sa.text("SELECT id, name FROM users WHERE id = ANY(:ids)")


def top_deals(conn: sa.Connection, scope: Scope, outcome: str, start: date, end: date, limit: int) -> pd.DataFrame:
    """The largest deals of the period that are `outcome` ("won" or "open"), largest first."""
    found = _by_month(conn, _TOP, scope, start, end, ("id",), outcome=outcome, limit=limit)
    found = found.sort_values(["amount", "id"], ascending=[False, True], na_position="last", ignore_index=True)
    found = found.head(limit)
    names = {row.id: row.name for row in conn.execute(_NAMES, {"ids": found["owner_id"].astype("int64").tolist()})}
    place = list(found.columns).index("owner_id")
    found.insert(place, "owner", found.pop("owner_id").map(names))
    return found

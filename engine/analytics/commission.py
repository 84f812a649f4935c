"""What was earned, as sums made in Postgres: by period, person, component, plan version; and the attainment beside it.

Money is int64 minor units of the company's currency; what is in another currency is converted at the latest stored
rate on or before the last day of its pay period, and left out, counted, where there is none.  The lines are those of
the run that each pay period shows, as on the dashboard.
"""

from datetime import date

import pandas as pd
import sqlalchemy as sa

from engine.analytics.conversion import converted
from engine.analytics.dashboard import Scope, read, within

_AMOUNT = converted("l.amount", "l.currency", "l.paid_for")

# All sums in one go: by period and kind, by person, by component and kind, by period and plan version.
# What was given by hand is of the kind "manual", without plan version and component.
_EARNED = f"""
    WITH l AS (
        SELECT l.user_id, l.plan_version_id, l.component, l.kind, l.currency, l.lines, l.amount, p.period,
               p.end_date - 1 AS paid_for
          FROM pay_periods p JOIN run_sums l ON l.run_id = p.run_id
         WHERE p.end_date > :start AND p.end_date <= :end AND {within("l.user_id", "(p.end_date - 1)")}
         UNION ALL
        SELECT l.user_id, NULL, NULL, 'manual', l.currency, 1, l.amount, p.period, p.end_date - 1
          FROM pay_periods p JOIN manual_adjustments l USING (period)
         WHERE p.run_id IS NOT NULL AND l.withdrawn_at IS NULL AND p.end_date > :start AND p.end_date <= :end
           AND {within("l.user_id", "(p.end_date - 1)")})
    SELECT CASE WHEN grouping(l.user_id) = 0 THEN 'person' WHEN grouping(l.component) = 0 THEN 'mix'
                WHEN grouping(l.plan_version_id) = 0 THEN 'cohort' ELSE 'trend' END AS part,
           l.period, l.kind, l.user_id, l.plan_version_id, l.component, count(DISTINCT l.user_id) AS people,
           CAST(coalesce(sum({_AMOUNT}), 0) AS bigint) AS amount,
           CAST(coalesce(sum(l.lines) FILTER (WHERE l.currency <> :currency), 0) AS bigint) AS foreign_lines,
           CAST(coalesce(sum(l.lines) FILTER (WHERE {_AMOUNT} IS NULL), 0) AS bigint) AS unconverted
      FROM l
     GROUP BY GROUPING SETS ((l.period, l.paid_for, l.kind), (l.user_id), (l.plan_version_id, l.component, l.kind),
                             (l.period, l.paid_for, l.plan_version_id))
     ORDER BY 1, l.paid_for, 2, 3, 4, 5, 6
"""  # noqa: S608

# Credit and quota of each person: what the last run says of each quota period that ends in the span or holds its end.
_ATTAINED = f"""
    WITH known AS (
        SELECT DISTINCT ON (a.user_id, a.component, a.quota_period) a.user_id, a.credit, a.quota, p.end_date
          FROM pay_periods p JOIN run_attainment a ON a.run_id = p.run_id
         WHERE p.end_date > :start AND p.end_date <= :end AND {within("a.user_id", "(p.end_date - 1)")}
         ORDER BY a.user_id, a.component, a.quota_period, p.end_date DESC)
    SELECT user_id, CAST(sum(credit) / sum(quota) AS float8) AS attainment FROM known GROUP BY 1 ORDER BY 1
"""  # noqa: S608

_PERIODS = """
    SELECT period, start_date, end_date, status FROM pay_periods
     WHERE run_id IS NOT NULL AND end_date > :start AND end_date <= :end ORDER BY start_date, period
"""

# The people that earnings or attainment are of; who leads others has their credit too.
_PEOPLE = """
    SELECT u.id AS user_id, u.code, u.name, coalesce(t.name, '') AS team,
           EXISTS (SELECT FROM team_structure s WHERE s.manager_id = u.id AND s.start_date < :end
                      AND (s.end_date IS NULL OR s.end_date >= :end)) AS leads
      FROM users u LEFT JOIN LATERAL (
          SELECT teams.name FROM team_members m JOIN teams ON teams.id = m.team_id
           WHERE m.user_id = u.id AND m.start_date < :end AND (m.end_date IS NULL OR m.end_date >= :end) LIMIT 1) t
        ON true
     WHERE u.id = ANY(:ids) ORDER BY u.name, u.id
"""

_VERSIONS = """
    SELECT v.id AS plan_version_id, p.name AS plan, p.title, v.effective_from, v.document
      FROM plan_versions v JOIN plans p ON p.id = v.plan_id WHERE v.id = ANY(:ids) ORDER BY p.title, v.effective_from
"""


def earned(conn: sa.Connection, scope: Scope, start: date, end: date) -> pd.DataFrame:
    """Sums of the lines of pay periods that end in ``(start, end]``, and of what was given by hand on top of them (kind
    "manual"); `part` says by what a row is.

    "trend" (period, kind), "person" (user_id), "mix" (plan_version_id, component, kind), "cohort" (period,
    plan_version_id, people); with amount, foreign_lines (in another currency) and unconverted (lines without a rate).
    """
    return read(conn, _EARNED, scope, start, end)


def attained(conn: sa.Connection, scope: Scope, start: date, end: date) -> pd.DataFrame:
    """Attainment of each person over the quota periods of the span: user_id, attainment (float, 1.0 is quota)."""
    return read(conn, _ATTAINED, scope, start, end)


def periods(conn: sa.Connection, start: date, end: date) -> pd.DataFrame:
    """The pay periods that have been run: period, start_date, end_date, status."""
    return pd.read_sql(sa.text(_PERIODS), conn, params={"start": start, "end": end})


def people(conn: sa.Connection, ids: list[int], end: date) -> pd.DataFrame:
    """user_id, code, name, team (on the last day before `end`), leads (a team, then)."""
    return pd.read_sql(sa.text(_PEOPLE), conn, params={"ids": ids, "end": end})


def versions(conn: sa.Connection, ids: list[int]) -> pd.DataFrame:
    """plan_version_id, plan (its name), title, effective_from, document."""
    return pd.read_sql(sa.text(_VERSIONS), conn, params={"ids": ids})

"""What waits for somebody: pay periods, disputes, refused rows, incomplete plans and quotas, tasks, late deals.

Each of the queries gives a row: number (0: nothing waits) and first, what to open first.
"""

from collections.abc import Collection
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa

from engine.analytics import dashboard, frames, parts
from engine.plans.reader import load_toml

_RECENT = 30  # days that the refused rows of an import are told about
_YEAR = 365  # days back in which a month without a run, or an outdated one, is told about

QUERIES = {  # the numbers are this module's own
    "approve": """
        SELECT count(*) AS number, min(period) AS first FROM pay_periods
         WHERE status = 'open' AND run_id IS NOT NULL AND end_date <= :today
    """,
    "pay": "SELECT count(*) AS number, min(period) AS first FROM pay_periods WHERE status = 'approved'",
    "answer": "SELECT count(*) AS number, min(CAST(id AS text)) AS first FROM disputes WHERE status = 'open'",
    "answered": """
        SELECT count(*) AS number, min(CAST(id AS text)) AS first FROM disputes
         WHERE status = 'answered' AND user_id = :user
    """,
    "refused": f"""
        SELECT CAST(coalesce(sum(refused), 0) AS bigint) AS number, (array_agg(filename ORDER BY id DESC))[1] AS first
          FROM imports
         WHERE refused > 0 AND undone_at IS NULL AND created_at >= CAST(:today AS date) - {_RECENT}
    """,  # noqa: S608
    "not_run": f"""
        SELECT count(*) AS number, min(to_char(m, 'YYYY-MM')) AS first
          FROM generate_series(date_trunc('month', CAST(:today AS date) - {_YEAR}),
                               date_trunc('month', CAST(:today AS date)) - interval '1 month', interval '1 month') m
         WHERE NOT EXISTS (SELECT FROM pay_periods p
                            WHERE p.run_id IS NOT NULL AND p.start_date < m + interval '1 month' AND p.end_date > m)
           AND EXISTS (SELECT FROM deals d JOIN pipeline_stages s ON s.id = d.stage_id
                        WHERE s.outcome = 'won' AND d.close_date >= m AND d.close_date < m + interval '1 month')
    """,  # noqa: S608
    # Of a plan under which somebody has a quota today, those who have none.
    "quotas": """
        WITH paid AS (
            SELECT a.user_id, a.plan_id, EXISTS (SELECT FROM quotas q WHERE q.user_id = a.user_id
                       AND q.start_date <= :today AND q.end_date > :today) AS has
              FROM plan_assignments a JOIN users u ON u.id = a.user_id
             WHERE a.start_date <= :today AND (a.end_date IS NULL OR a.end_date > :today) AND u.is_active)
        SELECT count(*) AS number, min(u.name) AS first FROM paid p JOIN users u ON u.id = p.user_id
         WHERE NOT p.has AND p.plan_id IN (SELECT plan_id FROM paid WHERE has)
    """,
    "tasks": """
        SELECT count(*) AS number, min(subject) AS first FROM activities
         WHERE kind = 'task' AND done_at IS NULL AND due_on <= :today AND user_id = :user
    """,
}

# The versions in force of plans that somebody is on.
_IN_FORCE = """
    SELECT DISTINCT ON (p.id) p.name, v.document FROM plans p JOIN plan_versions v ON v.plan_id = p.id
     WHERE v.status = 'published' AND v.effective_from <= :today
       AND EXISTS (SELECT FROM plan_assignments a WHERE a.plan_id = p.id AND a.start_date <= :today
                      AND (a.end_date IS NULL OR a.end_date > :today))
     ORDER BY p.id, v.effective_from DESC
"""


def waiting(conn: sa.Connection, name: str, today: date, user: int | None) -> tuple[int, str]:
    """How many wait of one of `QUERIES`, and what to open first."""
    values: dict[str, Any] = {"today": today, "user": user}
    asked = {key: value for key, value in values.items() if f":{key}" in QUERIES[name]}
    row = frames.read(conn, QUERIES[name], asked).iloc[0]
    return int(row["number"]), str(row["first"] or "")


# Deals that should have closed and are open, by owner.
_LATE = f"""
    SELECT {parts.PART["owner"]} AS part, count(*) AS number, min(d.name) AS first FROM deals d
     WHERE d.cancelled_on IS NULL AND d.close_date < :today AND d.owner_id = ANY(:people)
       AND d.stage_id = ANY(ARRAY(SELECT id FROM pipeline_stages WHERE outcome = 'open')) AND <part>
     GROUP BY 1
"""  # noqa: S608


def late(conn: sa.Connection, today: date, people: Collection[int]) -> tuple[int, str]:
    """How many deals of the people should have closed and are open, and what to open first."""
    found = parts.read(conn, _LATE, {"today": today, "people": sorted(people)}, "owner", ("part",))
    return int(found["number"].sum()), min(found["first"], default="")


def outdated(conn: sa.Connection, today: date) -> list[str]:
    """The open pay periods of the last year with a deal that changed since their run, the earliest first."""
    return dashboard.runs_before_changes(conn, date.min, date.max, today - timedelta(days=_YEAR))


def plans_without_examples(conn: sa.Connection, today: date) -> list[str]:
    """The names of plans that people are on whose version in force has no example."""
    rows = conn.execute(sa.text(_IN_FORCE), {"today": today})
    return sorted(row.name for row in rows if not load_toml(row.document).get("example"))

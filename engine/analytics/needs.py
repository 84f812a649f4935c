"""What waits for somebody: pay periods, disputes, incomplete plans and quotas, tasks, late deals.

Each of `QUERIES` gives a row for each thing that waits: key (what a page is asked for to open it), label (what it is
called) and place (what comes first).
"""

from collections.abc import Collection
from datetime import date, timedelta
from typing import NamedTuple

import sqlalchemy as sa

from engine.analytics import dashboard, frames
from engine.plans.reader import load_toml

_YEAR = 365  # days back in which a month without a run, or an outdated one, is told about
_NAMED = 3  # things of a kind that are told by name


class Waiting(NamedTuple):
    """How many things wait, and the first of them: (key, label)."""

    number: int
    first: tuple[tuple[str, str], ...] = ()


QUERIES = {  # the numbers are this module's own
    "approve": """
        SELECT period AS key, period AS label, start_date AS place FROM pay_periods
         WHERE status = 'open' AND run_id IS NOT NULL AND end_date <= :today
    """,
    "pay": "SELECT period AS key, period AS label, start_date AS place FROM pay_periods WHERE status = 'approved'",
    "answer": """
        SELECT CAST(d.id AS text) AS key, u.name AS label, d.opened_at AS place
          FROM disputes d JOIN users u ON u.id = d.user_id WHERE d.status = 'open'
    """,
    "answered": """
        SELECT CAST(id AS text) AS key, about AS label, opened_at AS place FROM disputes
         WHERE status = 'answered' AND user_id = :user
    """,
    "not_run": f"""
        SELECT to_char(m, 'YYYY-MM') AS key, to_char(m, 'YYYY-MM') AS label, m AS place
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
        SELECT DISTINCT u.code AS key, u.name AS label, u.name AS place FROM paid p JOIN users u ON u.id = p.user_id
         WHERE NOT p.has AND p.plan_id IN (SELECT plan_id FROM paid WHERE has)
    """,
    "tasks": """
        SELECT CAST(id AS text) AS key, subject AS label, due_on AS place FROM activities
         WHERE kind = 'task' AND done_at IS NULL AND due_on <= :today AND user_id = :user
    """,
}
_FIRST = """
    SELECT key, label, count(*) OVER () AS number FROM (<query>) w ORDER BY place, label, key LIMIT :most
"""

# The versions in force of plans that somebody is on.
_IN_FORCE = """
    SELECT DISTINCT ON (p.id) p.name, p.title, v.document FROM plans p JOIN plan_versions v ON v.plan_id = p.id
     WHERE v.status = 'published' AND v.effective_from <= :today
       AND EXISTS (SELECT FROM plan_assignments a WHERE a.plan_id = p.id AND a.start_date <= :today
                      AND (a.end_date IS NULL OR a.end_date > :today))
     ORDER BY p.id, v.effective_from DESC
"""


def waiting(conn: sa.Connection, name: str, today: date, user: int | None = None, most: int = _NAMED) -> Waiting:
    """What waits of one of `QUERIES`, at most `most` of it by name."""
    asked = {key: value for key, value in (("today", today), ("user", user)) if f":{key}" in QUERIES[name]}
    found = frames.read(conn, _FIRST.replace("<query>", QUERIES[name]), asked | {"most": most})
    if found.empty:
        return Waiting(0)
    return Waiting(int(found["number"].iloc[0]), tuple(zip(found["key"], found["label"], strict=True)))


def outdated(conn: sa.Connection, today: date) -> Waiting:
    """The open pay periods of the last year with a deal that changed since their run."""
    found = dashboard.runs_before_changes(conn, date.min, date.max, today - timedelta(days=_YEAR))
    return Waiting(len(found), tuple((period, period) for period in found[:_NAMED]))


# Counted as the deals page counts them: whoever owns or shares one.
_LATE = """
    SELECT count(*) AS number FROM deals d
     WHERE d.cancelled_on IS NULL AND d.close_date < :today
       AND d.stage_id = ANY(ARRAY(SELECT id FROM pipeline_stages WHERE outcome = 'open'))
       AND (d.owner_id = ANY(:people)
            OR d.id = ANY(ARRAY(SELECT deal_id FROM deal_credits WHERE user_id = ANY(:people))))
"""


def late(conn: sa.Connection, today: date, people: Collection[int]) -> Waiting:
    """How many open deals of the people should have closed."""
    found = frames.read(conn, _LATE, {"today": today, "people": sorted(people)})
    return Waiting(int(found["number"].iloc[0]))


def plans_without_examples(conn: sa.Connection, today: date) -> Waiting:
    """Plans that people are on whose version in force has no example: their names and titles."""
    rows = conn.execute(sa.text(_IN_FORCE), {"today": today})
    found = sorted((row.name, row.title) for row in rows if not load_toml(row.document).get("example"))
    return Waiting(len(found), tuple(found[:_NAMED]))

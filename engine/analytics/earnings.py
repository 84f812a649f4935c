"""Frames of what was earned, for screens and files: periods, people and the lines of one person.  Money in cents."""

import pandas as pd
import sqlalchemy as sa

# Every pay period that has been calculated, with the totals of the run it shows and of its payout.
_PERIODS = sa.text("""
    SELECT p.period, p.kind, p.start_date, p.end_date, p.status, p.run_id, r.created_at AS calculated_at,
           r.interpreter, r.deals, r.lines, coalesce(e.people, 0) AS people, e.currency,
           coalesce(e.earned, 0) AS earned, coalesce(i.due, 0) AS due, o.approved_at, o.paid_at
      FROM pay_periods p
      JOIN runs r ON r.id = p.run_id
      LEFT JOIN payouts o ON o.period = p.period
      LEFT JOIN LATERAL (
          SELECT count(DISTINCT user_id) AS people, min(currency) AS currency, CAST(sum(earned) AS bigint) AS earned
            FROM run_people WHERE run_id = p.run_id) e ON true
      LEFT JOIN LATERAL (
          SELECT CAST(sum(amount) AS bigint) AS due FROM payout_items WHERE payout_id = o.id) i ON true
     ORDER BY p.start_date DESC, p.kind
""")

# What each person earned in the run that a period shows; `due` once it is approved.
_PEOPLE = sa.text("""
    SELECT u.id AS user_id, u.code, u.name, t.name AS team, r.currency, r.earned, r.drawn, r.draw_balance, r.deferred,
           coalesce(a.adjusted, 0) AS adjusted, i.amount AS due
      FROM pay_periods p
      JOIN run_people r ON r.run_id = p.run_id
      JOIN users u ON u.id = r.user_id
      LEFT JOIN LATERAL (
          SELECT CAST(sum(amount) AS bigint) AS adjusted FROM lines
           WHERE run_id = p.run_id AND user_id = r.user_id AND kind = 'adjusted') a ON true
      LEFT JOIN payouts o ON o.period = p.period
      LEFT JOIN payout_items i ON i.payout_id = o.id AND i.user_id = r.user_id AND i.currency = r.currency
      LEFT JOIN LATERAL (
          SELECT teams.name FROM team_members m JOIN teams ON teams.id = m.team_id
           WHERE m.user_id = u.id AND m.start_date < p.end_date AND (m.end_date IS NULL OR m.end_date >= p.end_date)
           LIMIT 1) t ON true
     WHERE p.period = :period
     ORDER BY u.name
""")

# One person's lines in the run that a period shows, with the deal each is about.
_LINES = sa.text("""
    SELECT l.id AS line_id, l.component, l.kind, l.origin_period, l.amount, l.currency,
           d.external_id, d.name AS deal, d.account, d.close_date, d.amount AS deal_amount, d.currency AS deal_currency
      FROM pay_periods p
      JOIN lines l ON l.run_id = p.run_id
      LEFT JOIN deals d ON d.id = l.deal_id
     WHERE p.period = :period AND l.user_id = :user
     ORDER BY l.id
""")

# One person's attainment in the run that a period shows; credit and quota in units.
_ATTAINMENT = sa.text("""
    SELECT a.component, a.quota_period, CAST(a.credit AS float8) AS credit, CAST(a.quota AS float8) AS quota,
           CAST(a.credit / a.quota AS float8) AS attainment
      FROM pay_periods p JOIN run_attainment a ON a.run_id = p.run_id
     WHERE p.period = :period AND a.user_id = :user ORDER BY a.component, a.quota_period
""")

_MONEY = ("earned", "drawn", "draw_balance", "deferred", "adjusted", "due", "amount", "deal_amount")


def _frame(conn: sa.Connection, query: sa.TextClause, **params: str | int) -> pd.DataFrame:
    frame = pd.read_sql(query, conn, params=params)
    return frame.astype({name: "Int64" for name in _MONEY if name in frame})


def periods(conn: sa.Connection) -> pd.DataFrame:
    """Pay periods, newest first.

    Columns: period, kind, start_date, end_date, status, run_id, calculated_at, interpreter, deals, lines, people,
    currency, earned and due (Int64 cents), approved_at, paid_at.
    """
    return _frame(conn, _PERIODS)


def people(conn: sa.Connection, period: str) -> pd.DataFrame:
    """Per person: user_id, code, name, team, currency, and Int64 cents: earned (adjusted is a part of it), drawn,
    draw_balance, deferred, due (null until approved, or when nothing is due)."""
    return _frame(conn, _PEOPLE, period=period)


def lines(conn: sa.Connection, period: str, user_id: int) -> pd.DataFrame:
    """One person's lines: line_id, component, kind, origin_period, amount (Int64 cents), currency and the deal's
    external_id, deal, account, close_date, deal_amount, deal_currency (null for carried money)."""
    return _frame(conn, _LINES, period=period, user=user_id)


def attainment(conn: sa.Connection, period: str, user_id: int) -> pd.DataFrame:
    """component, quota_period, and float64 for screens: credit, quota (units), attainment (1.0 is quota)."""
    return _frame(conn, _ATTAINMENT, period=period, user=user_id)

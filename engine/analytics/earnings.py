"""Frames of what was earned, for screens and files: periods, people and the lines of one person.  Money in cents."""

from datetime import date
from typing import Any

import pandas as pd
import sqlalchemy as sa

from engine.db import payables, payouts

# Every pay period that has been calculated, with the totals of the run it shows and of its payout.
_PERIODS = sa.text("""
    SELECT p.period, p.kind, p.start_date, p.end_date, p.status, p.run_id, r.created_at AS calculated_at,
           r.interpreter, r.deals, r.lines, coalesce(e.people, 0) AS people, e.currency,
           coalesce(e.earned, 0) AS earned, coalesce(i.due, 0) AS due, coalesce(m.manual, 0) AS manual,
           coalesce(g.reversed, 0) AS reversed, o.approved_at, o.paid_at, b.name AS approved_by, c.name AS paid_by,
           o.status AS payout_status, coalesce(i.paid, 0) AS paid, coalesce(i.open, 0) AS open, k.locked_at
      FROM pay_periods p
      JOIN runs r ON r.id = p.run_id
      LEFT JOIN payouts o ON o.period = p.period
      LEFT JOIN LATERAL (
          SELECT count(DISTINCT user_id) AS people, min(currency) AS currency, CAST(sum(earned) AS bigint) AS earned
            FROM run_people WHERE run_id = p.run_id) e ON true
      LEFT JOIN LATERAL (
          SELECT CAST(sum(amount) AS bigint) AS due, CAST(sum(paid) AS bigint) AS paid,
                 CAST(sum(amount - paid - released) AS bigint) AS open
            FROM payout_items WHERE payout_id = o.id) i ON true
      LEFT JOIN LATERAL (
          SELECT min(made_at) AS locked_at FROM eligibility
           WHERE period = p.period AND run_id IS NULL AND payout_id IS NULL) k ON true
      LEFT JOIN LATERAL (
          SELECT CAST(sum(amount) AS bigint) AS manual FROM manual_adjustments
           WHERE period = p.period AND withdrawn_at IS NULL) m ON true
      LEFT JOIN LATERAL (
          SELECT CAST(sum(amount) AS bigint) AS reversed FROM ledger
           WHERE payout_id = o.id AND kind = 'reversed') g ON true
      LEFT JOIN users b ON b.id = o.approved_by
      LEFT JOIN users c ON c.id = o.paid_by
     ORDER BY p.start_date DESC, p.kind
""")

# What each person earned in the run that a period shows, was given by hand, and is due once it is approved.  Also
# listed is who is in no run: with an adjustment alone, or with a balance that the period's payout pays.
_PEOPLE = sa.text(f"""
    WITH shown AS (SELECT period, run_id, end_date FROM pay_periods WHERE period = :period),
    payees AS (
        SELECT user_id, currency FROM run_people JOIN shown USING (run_id)
        UNION SELECT user_id, currency FROM manual_adjustments JOIN shown USING (period) WHERE withdrawn_at IS NULL
        UNION SELECT user_id, currency FROM payout_items JOIN payouts ON id = payout_id JOIN shown USING (period)
    ),
    adjusted AS (
        SELECT user_id, currency, CAST(sum(amount) AS bigint) AS cents FROM run_sums JOIN shown USING (run_id)
         WHERE kind = 'adjusted' GROUP BY user_id, currency
    ),
    manual AS (
        SELECT user_id, currency, CAST(sum(amount) AS bigint) AS cents FROM manual_adjustments JOIN shown USING (period)
         WHERE withdrawn_at IS NULL GROUP BY user_id, currency
    ),
    held AS (
        SELECT user_id, currency, CAST(sum(amount) AS bigint) AS cents FROM held_amounts
         WHERE eligibility_id = {payables.SHOWN} GROUP BY user_id, currency
    )
    SELECT u.id AS user_id, u.code, u.name, t.name AS team, who.currency, coalesce(r.earned, 0) AS earned,
           coalesce(r.drawn, 0) AS drawn, coalesce(r.draw_balance, 0) AS draw_balance,
           coalesce(h.cents, 0) AS deferred, coalesce(a.cents, 0) AS adjusted, coalesce(m.cents, 0) AS manual,
           i.amount AS due, i.paid, i.released, i.amount - i.paid - i.released AS open, g.amount AS reversed
      FROM payees who
      JOIN users u ON u.id = who.user_id
     CROSS JOIN shown p
      LEFT JOIN run_people r ON r.run_id = p.run_id AND r.user_id = who.user_id AND r.currency = who.currency
      LEFT JOIN adjusted a ON a.user_id = who.user_id AND a.currency = who.currency
      LEFT JOIN manual m ON m.user_id = who.user_id AND m.currency = who.currency
      LEFT JOIN payouts o ON o.period = p.period
      LEFT JOIN payout_items i ON i.payout_id = o.id AND i.user_id = who.user_id AND i.currency = who.currency
      LEFT JOIN held h ON h.user_id = who.user_id AND h.currency = who.currency
      LEFT JOIN LATERAL (
          SELECT CAST(sum(amount) AS bigint) AS amount FROM ledger
           WHERE payout_id = o.id AND user_id = who.user_id AND currency = who.currency AND kind = 'reversed') g ON true
      LEFT JOIN LATERAL (
          SELECT teams.name FROM team_members m JOIN teams ON teams.id = m.team_id
           WHERE m.user_id = u.id AND m.start_date < p.end_date AND (m.end_date IS NULL OR m.end_date >= p.end_date)
           LIMIT 1) t ON true
     ORDER BY u.name, u.id, r.user_id IS NULL, who.currency
""")  # noqa: S608 - the text is engine.db's own

# One person's lines in the run that a period shows, with the deal each is about.
_LINES = sa.text("""
    SELECT l.id AS line_id, l.component, l.kind, l.origin_period, l.amount, l.currency,
           d.external_id, d.name AS deal, d.account, d.close_date, d.amount AS deal_amount, d.currency AS deal_currency,
           o.overridden, o.reason
      FROM pay_periods p
      JOIN lines l ON l.run_id = p.run_id
      LEFT JOIN deals d ON d.id = l.deal_id
      LEFT JOIN LATERAL (
          SELECT CAST(sum(a.amount) AS bigint) AS overridden, string_agg(a.reason, '; ' ORDER BY a.id) AS reason
            FROM manual_adjustments a JOIN lines w ON w.id = a.line_id
           WHERE a.period = p.period AND a.user_id = l.user_id AND a.withdrawn_at IS NULL AND a.kind = 'override'
             AND w.component = l.component AND w.kind = l.kind AND w.origin_period = l.origin_period
             AND w.deal_id IS NOT DISTINCT FROM l.deal_id) o ON true
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

# The manual adjustments of a period, withdrawn ones too; of an override what the line was then and is now.
_ADJUSTMENTS = sa.text("""
    SELECT a.id, a.user_id, u.code, u.name, a.kind, a.amount, a.currency, a.reason, a.deal, o.component,
           o.amount AS line_then, n.amount AS line_now, c.name AS created_by, a.created_at, w.name AS withdrawn_by,
           a.withdrawn_at
      FROM manual_adjustments a
      JOIN pay_periods p ON p.period = a.period
      JOIN users u ON u.id = a.user_id
      JOIN users c ON c.id = a.created_by
      LEFT JOIN users w ON w.id = a.withdrawn_by
      LEFT JOIN lines o ON o.id = a.line_id
      LEFT JOIN LATERAL (
          SELECT sum(l.amount) AS amount FROM lines l
           WHERE l.run_id = p.run_id AND l.user_id = o.user_id AND l.component = o.component AND l.kind = o.kind
             AND l.origin_period = o.origin_period AND l.deal_id IS NOT DISTINCT FROM o.deal_id) n ON o.id IS NOT NULL
     WHERE a.period = :period AND (CAST(:user AS bigint) IS NULL OR a.user_id = :user)
     ORDER BY a.withdrawn_at IS NOT NULL, a.id DESC
""")

# What was paid and released of a period's payout, step by step.
_PAYMENTS = sa.text("""
    SELECT 'payment' AS what, p.id, p.created_at, u.name AS created_by, count(DISTINCT g.user_id) AS people,
           CAST(-sum(g.amount) AS bigint) AS amount, CAST(sum(r.amount) AS bigint) AS reversed, g.currency,
           '' AS reason
      FROM payouts o
      JOIN payout_payments p ON p.payout_id = o.id
      JOIN users u ON u.id = p.created_by
      JOIN ledger g ON g.payment_id = p.id AND g.kind = 'paid'
      LEFT JOIN ledger r ON r.corrects_id = g.id AND r.kind = 'reversed'
     WHERE o.period = :period GROUP BY p.id, u.name, g.currency
    UNION ALL
    SELECT 'release', p.id, p.created_at, u.name, count(DISTINCT i.user_id), CAST(sum(i.amount) AS bigint), NULL,
           i.currency, p.reason
      FROM payouts o
      JOIN payout_releases p ON p.payout_id = o.id
      JOIN users u ON u.id = p.created_by
      JOIN payout_release_items i ON i.release_id = p.id
     WHERE o.period = :period GROUP BY p.id, u.name, i.currency
     ORDER BY created_at, what, id, currency
""")

_REVERSALS = sa.text("""
    SELECT u.code, u.name, g.amount, g.currency, r.reason, c.name AS created_by, r.created_at
      FROM payouts o
      JOIN payout_reversals r ON r.payout_id = o.id
      JOIN ledger g ON g.reversal_id = r.id AND g.payout_id = o.id AND g.kind = 'reversed'
      JOIN users u ON u.id = g.user_id
      JOIN users c ON c.id = r.created_by
     WHERE o.period = :period ORDER BY r.id DESC, u.name
""")

# Whoever has had more than is due: what the next payouts hold back, the first entry since the balance was last whole,
# and the largest of the entries that took it below.
_OVERPAID = sa.text(f"""
    WITH owing AS (
        SELECT user_id, currency, CAST(-sum(amount) AS bigint) AS owes FROM ({payouts.LEFT}) found
         GROUP BY user_id, currency HAVING sum(amount) < 0
    ),
    running AS (
        SELECT g.*, sum(g.amount) OVER (PARTITION BY g.user_id, g.currency ORDER BY g.id) AS balance
          FROM ledger g JOIN owing USING (user_id, currency)
    ),
    whole AS (SELECT user_id, currency, max(id) FILTER (WHERE balance >= 0) AS id FROM running GROUP BY 1, 2),
    taken AS (
        SELECT r.*, row_number() OVER (PARTITION BY r.user_id, r.currency
                       ORDER BY r.id > coalesce(w.id, 0) DESC, r.amount, r.id) AS place,
               min(r.posted_at) FILTER (WHERE r.id > coalesce(w.id, 0))
                   OVER (PARTITION BY r.user_id, r.currency) AS first
          FROM running r JOIN whole w USING (user_id, currency)
         WHERE r.amount < 0 AND r.kind <> 'paid'
    )
    SELECT u.id AS user_id, u.code, u.name, u.is_active, o.currency, o.owes, coalesce(t.first, t.posted_at) AS since,
           t.period, t.kind, t.amount, coalesce(d.name, a.reason) AS what
      FROM owing o
      JOIN users u ON u.id = o.user_id
      LEFT JOIN taken t ON t.user_id = o.user_id AND t.currency = o.currency AND t.place = 1
      LEFT JOIN lines l ON l.id = t.line_id
      LEFT JOIN deals d ON d.id = l.deal_id
      LEFT JOIN manual_adjustments a ON a.id = t.adjustment_id
     ORDER BY o.owes DESC, u.name
""")  # noqa: S608 - the text is engine.db's own

# Lines of the run that a period shows, of people (null: everyone's), from a place in the order on.
_LINES_AFTER = sa.text("""
    SELECT l.id, l.user_id, u.code, u.name AS person, l.period, l.origin_period, l.component, l.kind, l.amount,
           l.currency, v.plan_id, l.plan_version_id, d.id AS deal_id, d.source, d.external_id, d.name AS deal, p.status
      FROM pay_periods p
      JOIN lines l ON l.run_id = p.run_id
      JOIN users u ON u.id = l.user_id
      JOIN plan_versions v ON v.id = l.plan_version_id
      LEFT JOIN deals d ON d.id = l.deal_id
     WHERE p.period = :period AND l.user_id >= :after_user AND (l.user_id, l.id) > (:after_user, :after_line)
       AND (CAST(:people AS bigint[]) IS NULL OR l.user_id = ANY(:people))
     ORDER BY l.user_id, l.id LIMIT :size
""")

_MONEY = (
    "earned", "drawn", "draw_balance", "deferred", "adjusted", "manual", "due", "reversed", "amount", "deal_amount",
    "line_then", "line_now", "owes", "paid", "released", "open", "overridden",
)  # fmt: skip


def _frame(conn: sa.Connection, query: sa.TextClause, **params: str | int | None) -> pd.DataFrame:
    frame = pd.read_sql(query, conn, params=params, coerce_float=False)
    return frame.astype({name: "Int64" for name in _MONEY if name in frame})


def periods(conn: sa.Connection) -> pd.DataFrame:
    """Pay periods, newest first.

    Columns: period, kind, start_date, end_date, status, run_id, calculated_at, interpreter, deals, lines, people,
    currency, Int64 cents: earned, due, paid and open (of the payout; 0 until approved), manual (adjustments that
    stand), reversed; approved_at, paid_at, approved_by, paid_by; payout_status (as `engine.db.payouts.Payout`) and
    locked_at (null where there is none).
    """
    return _frame(conn, _PERIODS)


def people(conn: sa.Connection, period: str) -> pd.DataFrame:
    """Per person: user_id, code, name, team, currency, and Int64 cents: earned (adjusted is a part of it), drawn,
    draw_balance, deferred, manual (adjustments that stand, not a part of earned), due (null until approved, or when
    nothing is due), and of it paid, released, open; reversed (of what was paid)."""
    return _frame(conn, _PEOPLE, period=period)


def lines(conn: sa.Connection, period: str, user_id: int) -> pd.DataFrame:
    """One person's lines: line_id, component, kind, origin_period, amount (Int64 cents), currency and the deal's
    external_id, deal, account, close_date, deal_amount, deal_currency (null for carried money); overridden (Int64
    cents that overrides of the line add by hand; null without one) and the reason given."""
    return _frame(conn, _LINES, period=period, user=user_id)


def lines_after(
    conn: sa.Connection, period: str, people: frozenset[int] | None, after: tuple[int, int], size: int
) -> list[dict[str, Any]]:
    """The next lines of a period, of ``people`` (None: everyone), after (user id, line id) in that order.

    Each has id, user_id, code, person, period, origin_period, component, kind, amount (cents), currency, plan_id,
    plan_version_id, deal_id, source, external_id, deal (None for carried money), status of the period.
    """
    place: dict[str, Any] = {"after_user": after[0], "after_line": after[1], "size": size}
    among = None if people is None else sorted(people)
    return [row._asdict() for row in conn.execute(_LINES_AFTER, {"period": period, "people": among, **place})]


def attainment(conn: sa.Connection, period: str, user_id: int) -> pd.DataFrame:
    """component, quota_period, and float64 for screens: credit, quota (units), attainment (1.0 is quota)."""
    return _frame(conn, _ATTAINMENT, period=period, user=user_id)


def adjustments(conn: sa.Connection, period: str, user_id: int | None = None) -> pd.DataFrame:
    """The manual adjustments of a period (of one person), those that stand first, the newest first.

    Columns: id, user_id, code, name, kind, amount (Int64 cents), currency, reason, deal, created_by, created_at,
    withdrawn_by and withdrawn_at (null while it stands); for an override component, line_then and line_now (Int64
    cents: the line that was overridden, and what the same line is in the run that the period shows).
    """
    return _frame(conn, _ADJUSTMENTS, period=period, user=user_id)


def overpaid(conn: sa.Connection) -> pd.DataFrame:
    """Whoever has had more than is due, the largest first.

    Columns: user_id, code, name, is_active, currency, owes (Int64 cents, positive), since (a moment), and the largest
    entry that took the balance below zero: period, kind, amount (Int64 cents), what (the deal, or the reason given).
    """
    return _frame(conn, _OVERPAID)


def payments(conn: sa.Connection, period: str) -> pd.DataFrame:
    """What was paid and released of a period's payout, the earliest first.

    Columns: what (payment or release), id, created_at, created_by, people, amount and reversed (Int64 cents, reversed
    null where nothing was), currency, reason (of a release).
    """
    return _frame(conn, _PAYMENTS, period=period)


def reversals(conn: sa.Connection, period: str) -> pd.DataFrame:
    """The payments of a period that were taken back, the newest first: code, name, amount (Int64 cents), currency,
    reason, created_by, created_at."""
    return _frame(conn, _REVERSALS, period=period)


# Won deals of a period whose owner was on no plan on the close date, and of which nobody else has a share.
_WITHOUT_PLAN = sa.text("""
    SELECT u.id AS user_id, u.name, d.currency, count(*) AS deals, CAST(sum(d.amount) AS bigint) AS amount
      FROM deals d JOIN pipeline_stages s ON s.id = d.stage_id JOIN users u ON u.id = d.owner_id
     WHERE s.outcome = 'won' AND d.close_date >= CAST(:start AS date) AND d.close_date < CAST(:end AS date)
       AND d.cancelled_on IS NULL
       AND NOT EXISTS (SELECT FROM plan_assignments a WHERE a.user_id = d.owner_id AND a.start_date <= d.close_date
                          AND (a.end_date IS NULL OR a.end_date > d.close_date))
       AND NOT EXISTS (SELECT FROM deal_credits c WHERE c.deal_id = d.id AND c.user_id <> d.owner_id)
     GROUP BY u.id, u.name, d.currency ORDER BY u.name, d.currency
""")


def without_plan(conn: sa.Connection, start: date, end: date) -> pd.DataFrame:
    """Won deals closed in ``[start, end)`` that earn their owner nothing for want of a plan: a row a person, currency.

    Columns: user_id, name, currency, deals (int64), amount (Int64 cents).
    """
    return _frame(conn, _WITHOUT_PLAN, start=str(start), end=str(end))

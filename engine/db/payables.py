"""What was earned and is not payable yet, and what customers have paid.  Nothing here commits."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa

from engine.db import bulk


@dataclass(frozen=True)
class Held:
    """An amount (cents) of what a person earned in `origin_period` that is not payable yet.

    `due_on` is the day from which it is; None where an event decides, then `waits_for` says which.
    """

    user_id: int
    currency: str
    component: str
    deal_id: int | None
    origin_period: str
    due_on: date | None
    waits_for: str
    amount: int


# --- what was posted --------------------------------------------------------------------------------

# For every person, component and deal with a line that may hold something back, the lines as they were posted last:
# an adjustment says what its closed period has come to, so it takes the place of the lines before it.  `terms` are the
# plan versions that hold back: before `since` all of a schedule has fallen due.
_POSTED = sa.text("""
    WITH terms AS (
        SELECT * FROM unnest(CAST(:versions AS bigint[]), CAST(:since AS date[]), CAST(:invoiced AS boolean[]))
            AS t (plan_version_id, since, invoiced)
    ),
    counted AS (
        SELECT run_id FROM pay_periods WHERE run_id IS NOT NULL AND status <> 'open'
           AND (CAST(:kind AS text) IS NULL OR kind = :kind)
        UNION SELECT CAST(:run AS bigint)
    ),
    keys AS (
        SELECT DISTINCT l.user_id, l.component, l.deal_id
          FROM counted JOIN lines l USING (run_id)
          JOIN terms t USING (plan_version_id)
          JOIN pay_periods p ON p.period = l.origin_period
          LEFT JOIN deals d ON d.id = l.deal_id
         WHERE l.amount <> 0 AND (CAST(:user AS bigint) IS NULL OR l.user_id = :user)
           AND (p.end_date > t.since
                OR t.invoiced AND d.amount > coalesce((
                   SELECT sum(i.amount) FROM deal_payments i WHERE i.deal_id = d.id AND i.paid_on < t.since), 0))
    ),
    posted AS (
        SELECT l.*, max(l.run_id) OVER (PARTITION BY l.user_id, l.component, l.deal_id, l.origin_period, l.currency)
                    AS last_run
          FROM keys k
          JOIN lines l ON l.user_id = k.user_id AND l.component = k.component
               AND l.deal_id IS NOT DISTINCT FROM k.deal_id
          JOIN counted USING (run_id)
    )
    SELECT l.user_id, l.currency, l.component, l.deal_id, l.origin_period, l.plan_version_id, l.kind, l.amount,
           l.working, coalesce(d.amount, 0) AS deal_amount
      FROM posted l LEFT JOIN deals d ON d.id = l.deal_id
     WHERE l.run_id = l.last_run ORDER BY l.user_id, l.currency, l.component, l.deal_id, l.id
""")


def posted(
    conn: sa.Connection,
    terms: Sequence[tuple[int, date, bool]],
    run_id: int | None = None,
    kind: str | None = None,
    user_id: int | None = None,
) -> Iterable[sa.Row[Any]]:
    """The lines of closed periods (and of one run) from which something may be held back, by person and deal.

    `terms` are plan versions with the day before which everything on a schedule has fallen due, and whether they wait
    for customers.  Rows: user_id, currency, component, deal_id, origin_period, plan_version_id, kind, amount, working,
    deal_amount (cents of the deal's currency, as it is now).
    """
    values = {
        "versions": [version for version, _, _ in terms],
        "since": [since for _, since, _ in terms],
        "invoiced": [invoiced for _, _, invoiced in terms],
        "run": run_id,
        "kind": kind,
        "user": user_id,
    }
    return conn.execute(_POSTED, values)


_VERSIONS = sa.text("""
    SELECT v.id, p.name, v.document FROM plan_versions v JOIN plans p ON p.id = v.plan_id
     WHERE v.status = 'published'
""")


def documents(conn: sa.Connection) -> list[tuple[int, str, str]]:
    """(id, plan, document) of every published plan version."""
    return [(row.id, row.name, row.document) for row in conn.execute(_VERSIONS)]


# --- looks that are kept ----------------------------------------------------------------------------


def keep(
    conn: sa.Connection,
    period: str,
    as_of: date,
    held: Iterable[Held],
    run_id: int | None = None,
    payout_id: int | None = None,
) -> None:
    """Keep a look at what is not payable on a day: of a run, of a payout, or (neither) of the lock of a period."""
    eligibility: int = conn.execute(
        sa.text("""
            INSERT INTO eligibility (period, run_id, payout_id, as_of) VALUES (:period, :run, :payout, :as_of)
            RETURNING id
        """),
        {"period": period, "run": run_id, "payout": payout_id, "as_of": as_of},
    ).scalar_one()
    bulk.copy_rows(
        conn,
        "held_amounts",
        (
            "eligibility_id", "user_id", "currency", "component", "deal_id", "origin_period", "due_on", "waits_for",
            "amount",
        ),
        (
            (
                eligibility, one.user_id, one.currency, one.component, one.deal_id, one.origin_period, one.due_on,
                one.waits_for, one.amount,
            )
            for one in held
        ),
    )  # fmt: skip


_LATEST = sa.text("""
    SELECT user_id, currency, CAST(sum(amount) AS bigint) AS amount FROM held_amounts
     WHERE eligibility_id = (SELECT max(id) FROM eligibility WHERE run_id IS NULL) GROUP BY user_id, currency
""")


def latest(conn: sa.Connection) -> dict[tuple[int, str], int]:
    """(user, currency) -> cents that the latest lock or approval held back."""
    return {(row.user_id, row.currency): row.amount for row in conn.execute(_LATEST)}


def latest_day(conn: sa.Connection) -> date | None:
    """The latest day on which a lock or an approval looked at what is payable."""
    found: date | None = conn.scalar(sa.text("SELECT max(as_of) FROM eligibility WHERE run_id IS NULL"))
    return found


# The look that a period shows: the payout's once there is one, else that of its lock, else its run's.
SHOWN = """
    (SELECT e.id FROM eligibility e JOIN pay_periods p ON p.period = e.period
      WHERE p.period = :period AND (e.run_id IS NULL OR (p.status = 'open' AND e.run_id = p.run_id))
      ORDER BY e.payout_id IS NULL, e.id DESC LIMIT 1)
"""
_KEPT = sa.text(f"""
    SELECT user_id, currency, component, deal_id, origin_period, due_on, waits_for, amount FROM held_amounts
     WHERE eligibility_id = {SHOWN} AND (CAST(:user AS bigint) IS NULL OR user_id = :user)
     ORDER BY user_id, currency, due_on NULLS LAST, origin_period, component, deal_id
""")  # noqa: S608 - the text is this module's own


def kept(conn: sa.Connection, period: str, user_id: int | None = None) -> list[Held]:
    """What is not payable yet as a period shows it: on the day of its payout, of its lock, else of its run."""
    return [Held(*row) for row in conn.execute(_KEPT, {"period": period, "user": user_id})]


# --- what customers have paid -----------------------------------------------------------------------


def add_payment(conn: sa.Connection, request: str, deal_id: int, day: date, amount: int, actor: int) -> bool:
    """Record a customer's payment; False when the request did so before."""
    values = {"request": request, "deal": deal_id, "day": day, "amount": amount, "actor": actor}
    return (
        conn.execute(
            sa.text("""
                INSERT INTO deal_payments (request_id, deal_id, paid_on, amount, created_by)
                VALUES (CAST(:request AS uuid), :deal, :day, :amount, :actor) ON CONFLICT (request_id) DO NOTHING
            """),
            values,
        ).rowcount
        == 1
    )


def payments(conn: sa.Connection, deal_ids: Sequence[int], until: date) -> dict[int, list[tuple[date, int]]]:
    """deal -> (day, cents) of what its customer paid up to a day, the earliest first."""
    query = sa.text("""
        SELECT deal_id, paid_on, amount FROM deal_payments
         WHERE deal_id = ANY(:deals) AND paid_on <= :until ORDER BY deal_id, paid_on, id
    """)
    found: dict[int, list[tuple[date, int]]] = {}
    for row in conn.execute(query, {"deals": list(deal_ids), "until": until}):
        found.setdefault(row.deal_id, []).append((row.paid_on, row.amount))
    return found

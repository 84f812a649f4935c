"""Pay periods, runs, lines and the ledger, as the database keeps them.  Nothing here commits.

What someone is owed is a sum of ledger amounts: earned, adjusted, clawed back, drawn, repaid and manual entries are
owed (signed), a paid entry is what was paid out, negative, and a reversed one takes a paid entry back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from engine.periods import Period, parse_period


@dataclass(frozen=True)
class PayPeriod:
    """A pay period and where it stands: open, locked, approved or paid; `run_id` is the run that it shows."""

    period: Period
    status: str
    run_id: int | None


@dataclass(frozen=True)
class Run:
    """A kept calculation of one pay period; lines_hash is the hash over its people's digests (`engine.db.runs`)."""

    id: int
    period: str
    ledger_seen: int
    inputs_hash: bytes
    lines_hash: bytes
    engine_version: str
    interpreter: str
    deals: int
    lines: int
    created_by: str
    created_at: datetime
    scope: str  # for whom, in words; "": for everyone
    people: Sequence[int] | None  # for whom, by user id; None: for everyone
    based_on: int | None  # the run that it carries on for everybody else


# --- pay periods ------------------------------------------------------------------------------------


def add_period(conn: sa.Connection, period: Period) -> None:
    """Make the pay period known, open; does nothing when it is."""
    conn.execute(
        sa.text(
            "INSERT INTO pay_periods (period, kind, start_date, end_date) VALUES (:name, :kind, :start, :end) "
            "ON CONFLICT (period) DO NOTHING"
        ),
        {
            "name": period.name,
            "kind": period.kind,
            "start": period.first_day,
            "end": date.fromordinal(period.end),
        },
    )


def lock_period(conn: sa.Connection, name: str) -> PayPeriod | None:
    """The pay period, locked until the transaction ends: runs, approvals and payments of it take turns."""
    row = conn.execute(
        sa.text("SELECT period, status, run_id FROM pay_periods WHERE period = :name FOR UPDATE"), {"name": name}
    ).one_or_none()
    return None if row is None else PayPeriod(parse_period(row.period), row.status, row.run_id)


def pay_period(conn: sa.Connection, name: str) -> PayPeriod | None:
    """The pay period as it stands."""
    row = conn.execute(
        sa.text("SELECT period, status, run_id FROM pay_periods WHERE period = :name"), {"name": name}
    ).one_or_none()
    return None if row is None else PayPeriod(parse_period(row.period), row.status, row.run_id)


def last_run_period(conn: sa.Connection) -> str | None:
    """The newest pay period that shows a run."""
    query = sa.text("SELECT period FROM pay_periods WHERE run_id IS NOT NULL ORDER BY start_date DESC, period LIMIT 1")
    found: str | None = conn.scalar(query)
    return found


def closed_periods(conn: sa.Connection, kind: str) -> list[str]:
    """Names of the periods of a kind whose amounts never move (locked, approved or paid), oldest first."""
    query = sa.text("SELECT period FROM pay_periods WHERE kind = :kind AND status <> 'open' ORDER BY start_date")
    return list(conn.scalars(query, {"kind": kind}))


def statuses(conn: sa.Connection) -> dict[str, str]:
    """Every pay period by its name: open, locked, approved or paid."""
    return {row.period: row.status for row in conn.execute(sa.text("SELECT period, status FROM pay_periods"))}


def last_day(conn: sa.Connection) -> date | None:
    """The last day of the latest pay period; None before the first run."""
    found: date | None = conn.scalar(sa.text("SELECT max(end_date) - 1 FROM pay_periods"))
    return found


def show_run(conn: sa.Connection, name: str, run_id: int) -> None:
    """Let an open period show this run."""
    conn.execute(sa.text("UPDATE pay_periods SET run_id = :run WHERE period = :name"), {"run": run_id, "name": name})


def set_status(conn: sa.Connection, name: str, status: str) -> None:
    """Move a period on: open, locked, approved, paid; the database refuses the way back."""
    conn.execute(
        sa.text("UPDATE pay_periods SET status = :status WHERE period = :name"), {"status": status, "name": name}
    )


# --- runs and lines ---------------------------------------------------------------------------------

_RUNS = """
    SELECT r.id, r.period, r.ledger_seen, r.inputs_hash, r.lines_hash, r.engine_version, r.interpreter,
           r.deals, r.lines, u.name, r.created_at, r.scope, r.people, r.based_on
      FROM runs r JOIN users u ON u.id = r.created_by
"""


def run(conn: sa.Connection, run_id: int) -> Run:
    """The run with that id."""
    return Run(*conn.execute(sa.text(_RUNS + "WHERE r.id = :id"), {"id": run_id}).one())


@dataclass(frozen=True)
class StoredLine:
    """A line as kept, with what explains it: the document of its plan version and its own working."""

    id: int
    user_id: int
    person: str
    plan: str
    document: str
    component: str
    deal: str
    deal_name: str
    kind: str
    period: str
    origin_period: str
    amount: int
    currency: str
    working: Mapping[str, Any]


_LINE = sa.text("""
    SELECT l.id, l.user_id, u.code, p.name, v.document, l.component, coalesce(CAST(l.deal_id AS text), ''),
           coalesce(d.name, ''), l.kind, l.period, l.origin_period, l.amount, l.currency, l.working
      FROM lines l
      JOIN users u ON u.id = l.user_id
      JOIN plan_versions v ON v.id = l.plan_version_id
      JOIN plans p ON p.id = v.plan_id
      LEFT JOIN deals d ON d.id = l.deal_id
     WHERE l.id = :id
""")


def line(conn: sa.Connection, line_id: int) -> StoredLine | None:
    """The line with that id."""
    row = conn.execute(_LINE, {"id": line_id}).one_or_none()
    return None if row is None else StoredLine(*row)


def run_documents(conn: sa.Connection, run_id: int) -> list[tuple[str, str]]:
    """(plan, document) of every plan version that was published when the run was made, oldest first."""
    query = sa.text("""
        SELECT p.name, v.document FROM plan_versions v JOIN plans p ON p.id = v.plan_id JOIN runs r ON r.id = :run
         WHERE v.status = 'published' AND v.published_at <= r.created_at ORDER BY v.effective_from, v.id
    """)
    return [(name, document) for name, document in conn.execute(query, {"run": run_id})]


def deal_names(conn: sa.Connection, deal_ids: Sequence[int]) -> dict[int, str]:
    """What a person calls each deal: the CRM's id and the name."""
    return {deal: f"{external} ({name})" for deal, (external, name) in deal_labels(conn, deal_ids).items()}


def deal_labels(conn: sa.Connection, deal_ids: Sequence[int]) -> dict[int, tuple[str, str]]:
    """deal -> the CRM's id and the name."""
    query = sa.text("SELECT id, external_id, name FROM deals WHERE id = ANY(:ids)")
    return {row.id: (row.external_id, row.name) for row in conn.execute(query, {"ids": list(deal_ids)})}


# What the ledger says was earned in closed periods, line by line: the sum of the entries about one deal.
_POSTED = sa.text("""
    SELECT l.origin_period, l.user_id, l.component, l.deal_id, l.currency,
           CAST(sum(g.amount) AS bigint) AS amount, max(l.plan_version_id) AS plan_version_id
      FROM ledger g JOIN lines l ON l.id = g.line_id
     WHERE l.origin_period = ANY(:periods)
     GROUP BY l.origin_period, l.user_id, l.component, l.deal_id, l.currency
""")

PostedKey = tuple[str, int, str, int | None, str]


def posted(conn: sa.Connection, periods: Sequence[str]) -> dict[PostedKey, tuple[int, int]]:
    """(origin period, user, component, deal, currency) -> (cents posted so far, a plan version that earned it)."""
    rows = conn.execute(_POSTED, {"periods": list(periods)})
    return {(row[0], row[1], row[2], row[3], row[4]): (row.amount, row.plan_version_id) for row in rows}


# --- ledger -----------------------------------------------------------------------------------------

# What each person is owed by closed periods of one kind, with draws, before payments.  Manual adjustments are paid
# on top: no draw takes them back, and no run knows of them.
_OWED = sa.text("""
    SELECT g.user_id, g.currency, CAST(sum(g.amount) AS bigint)
      FROM ledger g JOIN pay_periods p ON p.period = g.period
     WHERE g.kind NOT IN ('paid', 'reversed', 'manual') AND p.kind = :kind
     GROUP BY g.user_id, g.currency
""")


def owed(conn: sa.Connection, kind: str) -> dict[tuple[int, str], int]:
    """(user, currency) -> cents that closed periods of a kind have come to by plan, draws included."""
    return {(user, currency): cents for user, currency, cents in conn.execute(_OWED, {"kind": kind})}


def last_entry(conn: sa.Connection, kind: str) -> int:
    """The newest ledger entry that runs of a kind of pay period depend on; 0 when there is none."""
    query = sa.text("""
        SELECT coalesce(max(g.id), 0) FROM ledger g JOIN pay_periods p ON p.period = g.period
         WHERE g.kind NOT IN ('paid', 'reversed', 'manual') AND p.kind = :kind
    """)
    return conn.scalar(query, {"kind": kind}) or 0


_POST_LINES = sa.text("""
    INSERT INTO ledger (user_id, period, kind, amount, currency, line_id, posted_by)
    SELECT user_id, period, kind, amount, currency, id, :actor FROM lines
     WHERE run_id = :run AND amount <> 0 ORDER BY id
""")
_POST_DRAWS = sa.text("""
    INSERT INTO ledger (user_id, period, kind, amount, currency, posted_by)
    SELECT user_id, :period, CASE WHEN drawn > 0 THEN 'drawn' ELSE 'repaid' END, drawn, currency, :actor
      FROM run_people WHERE run_id = :run AND drawn <> 0 ORDER BY user_id
""")


def post_run(conn: sa.Connection, run_id: int, period: str, actor: int) -> int:
    """Post a run's lines and draws to the ledger; returns how many entries were made."""
    lines = conn.execute(_POST_LINES, {"run": run_id, "actor": actor}).rowcount
    return lines + conn.execute(_POST_DRAWS, {"run": run_id, "period": period, "actor": actor}).rowcount


# --- what an approver answers for ---------------------------------------------------------------------


def version(conn: sa.Connection, period: str) -> str:
    """What approving the period would post, as one word: the run it shows and the adjustments that stand."""
    query = sa.text("""
        SELECT concat_ws('.', p.run_id, count(a.id), coalesce(max(a.id), 0), coalesce(sum(a.amount), 0))
          FROM pay_periods p
          LEFT JOIN manual_adjustments a ON a.period = p.period AND a.withdrawn_at IS NULL
         WHERE p.period = :period GROUP BY p.run_id
    """)
    return conn.scalar(query, {"period": period}) or ""


def run_makers(conn: sa.Connection, run_id: int) -> dict[int, str]:
    """Who made the run, and the runs that it carries on for people out of its scope: names by user id."""
    query = sa.text("""
        WITH RECURSIVE made AS (
            SELECT based_on, created_by FROM runs WHERE id = :run
            UNION ALL SELECT r.based_on, r.created_by FROM made JOIN runs r ON r.id = made.based_on
        )
        SELECT DISTINCT u.id, u.name FROM made JOIN users u ON u.id = made.created_by ORDER BY u.name
    """)
    return {row.id: row.name for row in conn.execute(query, {"run": run_id})}


def two_person(conn: sa.Connection) -> bool:
    """Whether two people are asked for between a run and its payment."""
    return bool(conn.scalar(sa.text("SELECT two_person FROM company")))


def set_two_person(conn: sa.Connection, on: bool) -> None:
    """Ask for two people, or no longer."""
    conn.execute(sa.text("UPDATE company SET two_person = :on"), {"on": on})


def standing_adjustments(conn: sa.Connection, period: str) -> int:
    """How many manual adjustments approving the period would post."""
    query = sa.text("SELECT count(*) FROM manual_adjustments WHERE period = :period AND withdrawn_at IS NULL")
    return conn.scalar(query, {"period": period}) or 0


def corrections(conn: sa.Connection, run_id: int) -> int:
    """How many lines of a run correct closed periods."""
    return (
        conn.scalar(sa.text("SELECT count(*) FROM lines WHERE run_id = :run AND kind = 'adjusted'"), {"run": run_id})
        or 0
    )


def line_run(conn: sa.Connection, line_id: int) -> int | None:
    """The run that a line belongs to."""
    found: int | None = conn.scalar(sa.text("SELECT run_id FROM lines WHERE id = :id"), {"id": line_id})
    return found

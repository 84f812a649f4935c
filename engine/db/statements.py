"""What statements are made of, and the statements that are kept.  Nothing here commits.

Everything about a closed period is read as it stood when the period was approved, so that it comes out the same
whenever it is asked for.  Only names (of people, deals, accounts) are those of the day on which the statement is kept.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

# One person in the run that a period shows; the approval and what is due where it is closed.
_HEAD = sa.text("""
    SELECT c.name AS company, u.code, u.name, t.name AS team, p.period, p.status, p.run_id,
           r.created_at AS calculated_at, coalesce(j.started_at, r.created_at) AS began, r.engine_version,
           encode(r.inputs_hash, 'hex') AS inputs_hash, encode(r.lines_hash, 'hex') AS lines_hash,
           rp.currency, rp.earned, rp.drawn, rp.draw_balance, rp.deferred,
           o.approved_at, a.name AS approved_by, coalesce(i.amount, 0) AS due
      FROM pay_periods p
      JOIN runs r ON r.id = p.run_id
      LEFT JOIN jobs j ON j.id = r.job_id
      JOIN run_people rp ON rp.run_id = r.id AND rp.user_id = :user
      JOIN users u ON u.id = rp.user_id
     CROSS JOIN company c
      LEFT JOIN payouts o ON o.period = p.period
      LEFT JOIN users a ON a.id = o.approved_by
      LEFT JOIN payout_items i ON i.payout_id = o.id AND i.user_id = rp.user_id AND i.currency = rp.currency
      LEFT JOIN LATERAL (
          SELECT teams.name FROM team_members m JOIN teams ON teams.id = m.team_id
           WHERE m.user_id = u.id AND m.start_date < p.end_date AND (m.end_date IS NULL OR m.end_date >= p.end_date)
           LIMIT 1) t ON true
     WHERE p.period = :period
     ORDER BY rp.currency LIMIT 1
""")


def head(conn: sa.Connection, user_id: int, period: str) -> sa.RowMapping | None:
    """The person's row of the run that the period shows, beside company, period and approval; None without one."""
    return conn.execute(_HEAD, {"user": user_id, "period": period}).mappings().one_or_none()


def payees(conn: sa.Connection, period: str) -> list[int]:
    """The ids of everyone in the run that the period shows, by code."""
    query = sa.text("""
        SELECT DISTINCT u.id, u.code COLLATE "C" FROM pay_periods p JOIN run_people r ON r.run_id = p.run_id
          JOIN users u ON u.id = r.user_id WHERE p.period = :period ORDER BY 2
    """)
    return list(conn.scalars(query, {"period": period}))


# The lines of one person, with the deal each is about; what explains them is the version's document.
_LINES = sa.text("""
    SELECT l.id, l.kind, l.component, l.origin_period, l.amount, l.currency, l.working, l.plan_version_id,
           l.deal_id, d.external_id, d.name AS deal, d.account, d.close_date, d.amount AS deal_amount,
           d.currency AS deal_currency
      FROM lines l LEFT JOIN deals d ON d.id = l.deal_id
     WHERE l.run_id = :run AND l.user_id = :user
     ORDER BY array_position(ARRAY['earned', 'adjusted', 'clawed_back'], l.kind), l.id
""")


def lines(conn: sa.Connection, run_id: int, user_id: int) -> Sequence[sa.RowMapping]:
    """The person's lines of a run: earned ones, adjustments, clawbacks, each kind in the run's order."""
    return conn.execute(_LINES, {"run": run_id, "user": user_id}).mappings().all()


# The plan versions that the person's lines stand on, and those in force for the person in the period.
_VERSIONS = sa.text("""
    SELECT v.id, p.name AS plan, p.title, v.effective_from, encode(v.hash, 'hex') AS hash, v.document,
           v.effective_from >= s.start_date AND v.effective_from < s.end_date AS begins
      FROM plan_versions v JOIN plans p ON p.id = v.plan_id JOIN pay_periods s ON s.period = :period
     WHERE v.id IN (SELECT plan_version_id FROM lines WHERE run_id = :run AND user_id = :user)
        OR v.id IN (
           SELECT DISTINCT ON (a.id) w.id
             FROM plan_assignments a
             JOIN plan_versions w ON w.plan_id = a.plan_id AND w.status = 'published' AND w.published_at <= :began
            WHERE a.user_id = :user AND a.start_date < s.end_date AND (a.end_date IS NULL OR a.end_date > s.start_date)
              AND w.effective_from < s.end_date
            ORDER BY a.id, w.effective_from DESC)
     ORDER BY p.name, v.effective_from, v.id
""")


def versions(conn: sa.Connection, period: str, run_id: int, user_id: int, began: datetime) -> Sequence[sa.RowMapping]:
    """The plan versions of the person's statement: id, plan, title, effective_from, hash, document, and whether it
    begins in the period."""
    return conn.execute(_VERSIONS, {"period": period, "run": run_id, "user": user_id, "began": began}).mappings().all()


_ATTAINMENT = sa.text("""
    SELECT component, quota_period, credit, quota FROM run_attainment
     WHERE run_id = :run AND user_id = :user ORDER BY component, quota_period
""")


def attainment(conn: sa.Connection, run_id: int, user_id: int) -> Sequence[sa.RowMapping]:
    """component, quota_period, and credit and quota in units, as decimals."""
    return conn.execute(_ATTAINMENT, {"run": run_id, "user": user_id}).mappings().all()


_MANUAL = sa.text("""
    SELECT a.id, a.kind, a.amount, a.currency, a.reason, a.deal, a.line_id, u.name AS who, a.created_at AS at
      FROM manual_adjustments a JOIN users u ON u.id = a.created_by
     WHERE a.user_id = :user AND a.period = :period AND a.withdrawn_at IS NULL
     ORDER BY a.id
""")


def manual(conn: sa.Connection, user_id: int, period: str) -> Sequence[sa.RowMapping]:
    """What was given or taken by hand in the period: id, kind, amount (cents), currency, reason, deal, who, at, and
    the line that an override corrects."""
    return conn.execute(_MANUAL, {"user": user_id, "period": period}).mappings().all()


# --- ledger -----------------------------------------------------------------------------------------

# What the ledger held for the person when the period was approved: before it, and by kind what the period posted.
_BALANCE = sa.text("""
    SELECT CASE WHEN period = :period THEN kind ELSE 'opening' END AS kind, CAST(sum(amount) AS bigint) AS amount
      FROM ledger
     WHERE user_id = :user AND currency = :currency AND (CAST(:until AS timestamptz) IS NULL OR posted_at <= :until)
       AND (period <> :period OR kind NOT IN ('paid', 'reversed'))
     GROUP BY 1
""")


def balance(conn: sa.Connection, user_id: int, currency: str, period: str, until: datetime | None) -> dict[str, int]:
    """Cents by ledger kind that the period posted, and as "opening" what all other periods left until then."""
    values = {"user": user_id, "currency": currency, "period": period, "until": until}
    return {row.kind: row.amount for row in conn.execute(_BALANCE, values)}


_PAYMENTS = sa.text("""
    SELECT id, -amount AS amount, CAST(posted_at AS date) AS day FROM ledger
     WHERE user_id = :user AND period = :period AND currency = :currency AND kind IN ('paid', 'reversed')
     ORDER BY id
""")


def payments(conn: sa.Connection, user_id: int, period: str, currency: str) -> Sequence[sa.RowMapping]:
    """What was paid for the period, one row a ledger entry: id, amount (cents, negative where a
    payment was reversed), day."""
    values = {"user": user_id, "period": period, "currency": currency}
    return conn.execute(_PAYMENTS, values).mappings().all()


def last_payment(conn: sa.Connection, user_id: int, period: str) -> int:
    """The ledger entry of the person's last payment for the period; 0 before one."""
    query = sa.text(
        "SELECT coalesce(max(id), 0) FROM ledger "
        "WHERE user_id = :user AND period = :period AND kind IN ('paid', 'reversed')"
    )
    return conn.scalar(query, {"user": user_id, "period": period}) or 0


# --- what changed, and why --------------------------------------------------------------------------

_ORIGINALS = sa.text("""
    SELECT l.component, l.deal_id, l.period, l.amount
      FROM lines l JOIN pay_periods p ON p.run_id = l.run_id
     WHERE l.user_id = :user AND l.deal_id = ANY(:deals) AND l.kind = 'earned'
       AND p.start_date <= (SELECT start_date FROM pay_periods WHERE period = :period)
     ORDER BY p.start_date, l.id
""")


def originals(
    conn: sa.Connection, user_id: int, period: str, deal_ids: Sequence[int]
) -> dict[tuple[str, int], sa.Row[Any]]:
    """(component, deal) -> the line that first earned on it, as period and amount."""
    rows = conn.execute(_ORIGINALS, {"user": user_id, "period": period, "deals": list(deal_ids)})
    found: dict[tuple[str, int], sa.Row[Any]] = {}
    for row in rows:
        found.setdefault((row.component, row.deal_id), row)
    return found


# When the run began that last posted something on a deal; a row without a deal stands for the whole period.
_POSTED = sa.text("""
    SELECT l.origin_period, l.component, l.deal_id, max(coalesce(j.started_at, r.created_at)) AS began
      FROM ledger g JOIN lines l ON l.id = g.line_id JOIN runs r ON r.id = l.run_id LEFT JOIN jobs j ON j.id = r.job_id
     WHERE l.user_id = :user AND l.origin_period = ANY(:origins) AND l.run_id < :run
     GROUP BY 1, 2, 3
    UNION ALL
    SELECT p.period, '', NULL, coalesce(j.started_at, r.created_at)
      FROM pay_periods p JOIN runs r ON r.id = p.run_id LEFT JOIN jobs j ON j.id = r.job_id
     WHERE p.period = ANY(:origins)
""")


def posted(
    conn: sa.Connection, user_id: int, run_id: int, origins: Sequence[str]
) -> dict[tuple[str, str, int | None], datetime]:
    """(origin period, component, deal) -> the beginning of the run that posted it last before this run.

    (origin period, "", None) is that of the run by which the period was closed.
    """
    rows = conn.execute(_POSTED, {"user": user_id, "run": run_id, "origins": list(origins)})
    return {(row.origin_period, row.component, row.deal_id): row.began for row in rows}


_DEAL_CHANGES = sa.text("""
    SELECT c.deal_id, c.at, coalesce(u.name, 'the program') AS who, coalesce(i.filename, '') AS via, c.changes,
           d.currency
      FROM deal_changes c JOIN deals d ON d.id = c.deal_id
      LEFT JOIN users u ON u.id = c.user_id LEFT JOIN imports i ON i.id = c.import_id
     WHERE c.deal_id = ANY(:deals) AND c.at > :since
     ORDER BY c.at DESC, c.id DESC
""")


def deal_changes(conn: sa.Connection, deal_ids: Sequence[int], since: datetime) -> Sequence[sa.RowMapping]:
    """Every change of the deals since then, the newest first: deal_id, at, who, via (a file), changes, and the
    currency that the deal has today."""
    return conn.execute(_DEAL_CHANGES, {"deals": list(deal_ids), "since": since}).mappings().all()


_QUOTA_CHANGES = sa.text("""
    SELECT a.at, coalesce(w.name, 'the program') AS who, change ->> 1 AS period, CAST(change ->> 2 AS bigint) AS before,
           CAST(change ->> 3 AS bigint) AS after, a.detail ->> 'currency' AS currency
      FROM audit a
     CROSS JOIN jsonb_array_elements(a.detail -> 'changes') AS change
      LEFT JOIN users w ON w.id = a.user_id
     WHERE a.action = 'quotas.edit' AND a.at > :since AND a.at <= :until AND CAST(change ->> 0 AS bigint) = :user
     ORDER BY a.id
""")


def quota_changes(conn: sa.Connection, user_id: int, since: datetime, until: datetime) -> Sequence[sa.RowMapping]:
    """Changes of the person's quotas in that time: at, who, period, before and after (cents or None), currency."""
    values = {"user": user_id, "since": since, "until": until}
    return conn.execute(_QUOTA_CHANGES, values).mappings().all()


_NEW_VERSIONS = sa.text("""
    SELECT p.name AS plan, v.effective_from, v.published_at AS at, coalesce(u.name, 'the program') AS who
      FROM plan_versions v JOIN plans p ON p.id = v.plan_id LEFT JOIN users u ON u.id = v.published_by
     WHERE p.name = ANY(:plans) AND v.published_at > :since AND v.published_at <= :until
     ORDER BY v.published_at, v.id
""")


def new_versions(
    conn: sa.Connection, plans: Sequence[str], since: datetime, until: datetime
) -> Sequence[sa.RowMapping]:
    """Versions of the plans that were published in that time: plan, effective_from, at, who."""
    values = {"plans": list(plans), "since": since, "until": until}
    return conn.execute(_NEW_VERSIONS, values).mappings().all()


# --- statements that are kept -----------------------------------------------------------------------


@dataclass(frozen=True)
class Kept:
    """A statement as it was kept: `content` is canonical JSON, `code` its SHA-256 in hexadecimal digits.

    `paid_to` is the last ledger entry of a payment that it tells of: 0 as approved.
    """

    id: int
    user_id: int
    period: str
    paid_to: int
    content: str
    code: str
    kept_at: datetime


_KEPT = "SELECT id, user_id, period, paid_to, content, encode(code, 'hex'), kept_at FROM statements "


def kept(conn: sa.Connection, user_id: int, period: str) -> list[Kept]:
    """The editions of a statement that are kept, the oldest first."""
    query = sa.text(_KEPT + "WHERE user_id = :user AND period = :period ORDER BY paid_to")
    return [Kept(*row) for row in conn.execute(query, {"user": user_id, "period": period})]


def keep(conn: sa.Connection, user_id: int, period: str, paid_to: int, content: str) -> Kept:
    """Keep a statement; the one that is there already when somebody was faster."""
    values = {"user": user_id, "period": period, "paid": paid_to, "content": content}
    conn.execute(
        sa.text("""
            INSERT INTO statements (user_id, period, paid_to, content, code)
            VALUES (:user, :period, :paid, :content, sha256(convert_to(:content, 'UTF8')))
            ON CONFLICT (user_id, period, paid_to) DO NOTHING
        """),
        values,
    )
    query = sa.text(_KEPT + "WHERE user_id = :user AND period = :period AND paid_to = :paid")
    return Kept(*conn.execute(query, values).one())


def by_code(conn: sa.Connection, code: str) -> Kept | None:
    """The statement with that verification code (64 hexadecimal digits)."""
    row = conn.execute(sa.text(_KEPT + "WHERE code = decode(:code, 'hex')"), {"code": code}).one_or_none()
    return None if row is None else Kept(*row)


def file(conn: sa.Connection, statement_id: int, kind: str) -> bytes | None:
    """The bytes of a statement's file as they were handed out first: "pdf", "xlsx" or "csv"."""
    query = sa.text("SELECT content FROM statement_files WHERE statement_id = :id AND format = :format")
    found = conn.scalar(query, {"id": statement_id, "format": kind})
    return None if found is None else bytes(found)


def keep_file(conn: sa.Connection, statement_id: int, kind: str, content: bytes) -> bytes:
    """Keep a file that is handed out; gives the one that is there already when somebody was faster."""
    conn.execute(
        sa.text("INSERT INTO statement_files VALUES (:id, :format, :content) ON CONFLICT DO NOTHING"),
        {"id": statement_id, "format": kind, "content": content},
    )
    found = file(conn, statement_id, kind)
    return content if found is None else found


# The PDF of the newest edition of everyone's statement, by code; null where it is not written.
_FILES = """
    WITH people AS (
        SELECT DISTINCT r.user_id, u.code, coalesce((
                   SELECT max(g.id) FROM ledger g
                    WHERE g.user_id = r.user_id AND g.period = :period
                      AND g.kind IN ('paid', 'reversed')), 0) AS paid_to
          FROM pay_periods p JOIN run_people r ON r.run_id = p.run_id JOIN users u ON u.id = r.user_id
         WHERE p.period = :period AND p.status NOT IN ('open', 'locked')
    ), files AS (
        SELECT p.code, f.content
          FROM people p
          LEFT JOIN statements s ON s.user_id = p.user_id AND s.period = :period AND s.paid_to = p.paid_to
          LEFT JOIN statement_files f ON f.statement_id = s.id AND f.format = 'pdf'
    )
"""
_PDFS = sa.text(_FILES + 'SELECT code, content FROM files ORDER BY code COLLATE "C" LIMIT :limit OFFSET :offset')  # noqa: S608
_WRITTEN = sa.text(_FILES + "SELECT count(content), count(*) FROM files")  # noqa: S608


def pdfs(conn: sa.Connection, period: str, limit: int, offset: int) -> Iterator[tuple[str, bytes | None]]:
    """(code, PDF of the newest edition, None when it is not written) of everyone in a closed period, by code."""
    for row in conn.execute(_PDFS, {"period": period, "limit": limit, "offset": offset}):
        yield row.code, None if row.content is None else bytes(row.content)


def written(conn: sa.Connection, period: str) -> tuple[int, int]:
    """For how many people of a closed period the PDF is written, of how many; (0, 0) while it is open."""
    done, people = conn.execute(_WRITTEN, {"period": period}).one()
    return done, people

"""What a run writes: its row, its lines, each person's figures and digest.  Nothing here commits."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from engine.db import bulk

# Lines come as COPY's text, each person's in one piece: what is the same for all of a piece stands last.
LINE_COLUMNS = (
    "plan_version_id",
    "component",
    "deal_id",
    "kind",
    "period",
    "origin_period",
    "amount",
    "currency",
    "working",
    "user_id",
    "run_id",
)


@dataclass(frozen=True)
class Details:
    """What a run says beside its lines.

    `people`: (user id, currency, earned, drawn, draw balance, deferred) in cents; `attainment`: (user id, component,
    quota period, credit, quota) in units as decimal text; `digests`: SHA-256 of lines and figures by user id;
    `versions`: ids of the plan versions used.
    """

    people: Sequence[tuple[int, str, int, int, int, int]]
    attainment: Sequence[tuple[int, str, str, str, str]]
    digests: Mapping[int, bytes]
    versions: Collection[int]


def add_run(conn: sa.Connection, values: Mapping[str, Any]) -> int:
    """Begin a run, which `finish_run` completes in the same transaction; returns the id.

    `values` are the columns of ``runs`` but for its id, time and what the lines come to.
    """
    run_id: int = conn.execute(
        sa.text("""
            INSERT INTO runs (period, job_id, ledger_seen, inputs_hash, lines_hash, engine_version, interpreter,
                              deals, lines, created_by, scope, people, based_on)
            VALUES (:period, CAST(:job_id AS uuid), :ledger_seen, :inputs_hash, '', :engine_version, :interpreter,
                    :deals, 0, :created_by, :scope, CAST(:people AS bigint[]), :based_on)
            RETURNING id
        """),
        values,
    ).scalar_one()
    return run_id


def run_of_job(conn: sa.Connection, job_id: str, period: str) -> int | None:
    """The run of a period that a job has kept already."""
    query = sa.text("SELECT id FROM runs WHERE job_id = CAST(:job AS uuid) AND period = :period")
    found: int | None = conn.scalar(query, {"job": job_id, "period": period})
    return found


def add_lines(conn: sa.Connection, chunks: Iterable[bytes]) -> None:
    """Keep lines; chunks of COPY's text with LINE_COLUMNS."""
    bulk.copy_text(conn, "lines", LINE_COLUMNS, chunks)


def add_details(conn: sa.Connection, run_id: int, found: Details) -> None:
    """Keep what a run says beside its lines."""
    for table, columns, rows in (
        ("run_people", ("user_id", "currency", "earned", "drawn", "draw_balance", "deferred"), found.people),
        ("run_attainment", ("user_id", "component", "quota_period", "credit", "quota"), found.attainment),
        ("run_plan_versions", ("plan_version_id",), [(version,) for version in sorted(found.versions)]),
        ("run_digests", ("user_id", "digest"), [(user, f"\\x{each.hex()}") for user, each in found.digests.items()]),
    ):
        bulk.copy_rows(conn, table, ("run_id", *columns), ((run_id, *row) for row in rows))


# Everybody's lines of one run but for some people, again as those of another; and what stands beside them.
_CARRY_LINES = """
    INSERT INTO lines (run_id, user_id, plan_version_id, component, deal_id, kind, period, origin_period, amount,
                       currency, working)
    SELECT :run, user_id, plan_version_id, component, deal_id, kind, period, origin_period, amount, currency, working
      FROM lines WHERE run_id = :base AND user_id <> ALL (:people) ORDER BY id
"""
_CARRY_DETAILS = (
    """INSERT INTO run_attainment (run_id, user_id, component, quota_period, credit, quota)
       SELECT :run, user_id, component, quota_period, credit, quota
         FROM run_attainment WHERE run_id = :base AND user_id <> ALL (:people)""",
    """INSERT INTO run_digests (run_id, user_id, digest)
       SELECT :run, user_id, digest FROM run_digests WHERE run_id = :base AND user_id <> ALL (:people)""",
    """INSERT INTO run_plan_versions (run_id, plan_version_id)
       SELECT DISTINCT :run, plan_version_id FROM lines WHERE run_id = :run ON CONFLICT DO NOTHING""",
)


def carry_lines(conn: sa.Connection, run_id: int, base: int, people: Collection[int]) -> int:
    """Give a run the lines that another holds of everyone but `people`; returns how many."""
    return _carry(conn, _CARRY_LINES, run_id, base, people)


def carry_details(conn: sa.Connection, run_id: int, base: int, people: Collection[int]) -> None:
    """Give a run the attainment and digests that another holds of everyone but `people`, once all lines are there."""
    for text in _CARRY_DETAILS:
        _carry(conn, text, run_id, base, people)


def _carry(conn: sa.Connection, text: str, run_id: int, base: int, people: Collection[int]) -> int:
    query = sa.text(text).bindparams(sa.bindparam("run", type_=sa.BigInteger))
    values = {"run": run_id, "base": base, "people": list(people)}
    return conn.execute(query, {name: values[name] for name in query.compile().params}).rowcount


def finish_run(conn: sa.Connection, run_id: int, lines: int, lines_hash: bytes) -> None:
    """Say what the lines of a run come to."""
    query = sa.text("UPDATE runs SET lines = :lines, lines_hash = :hash WHERE id = :run")
    conn.execute(query, {"lines": lines, "hash": lines_hash, "run": run_id})


def digests(conn: sa.Connection, run_id: int) -> dict[int, bytes]:
    """The digest of each person in a run by user id; empty for a run of before there were digests."""
    query = sa.text("SELECT user_id, digest FROM run_digests WHERE run_id = :run")
    return {user: bytes(digest) for user, digest in conn.execute(query, {"run": run_id})}


def coded_digests(conn: sa.Connection, run_id: int) -> list[tuple[str, bytes]]:
    """(employee code, digest) of each person in a run, in order of the codes' code points."""
    query = sa.text("""
        SELECT u.code, d.digest FROM run_digests d JOIN users u ON u.id = d.user_id
         WHERE d.run_id = :run ORDER BY u.code COLLATE "C"
    """)
    return [(code, bytes(digest)) for code, digest in conn.execute(query, {"run": run_id})]


def figures(conn: sa.Connection, run_id: int) -> dict[tuple[int, str], tuple[int, int, int, int]]:
    """(user id, currency) -> earned, drawn, draw balance and deferred, in cents."""
    query = sa.text("SELECT user_id, currency, earned, drawn, draw_balance, deferred FROM run_people WHERE run_id = :r")
    return {(row[0], row[1]): tuple(row[2:]) for row in conn.execute(query, {"r": run_id})}


def open_calculated(conn: sa.Connection) -> list[tuple[str, int]]:
    """(period, run) of the open periods that show a run, oldest first."""
    query = sa.text("""
        SELECT period, run_id FROM pay_periods WHERE status = 'open' AND run_id IS NOT NULL ORDER BY start_date, period
    """)
    return [(row[0], row[1]) for row in conn.execute(query)]


@dataclass(frozen=True)
class Change:
    """An audit entry that may have changed what people earn."""

    action: str
    object: str
    who: str
    at: datetime


_CHANGES = sa.text("""
    SELECT a.action, a.object, coalesce(u.name, 'The program'), a.at, count(*) OVER ()
      FROM audit a LEFT JOIN users u ON u.id = a.user_id
     WHERE a.at > :since
       AND split_part(a.action, '.', 1) IN ('deals', 'plans', 'people', 'quotas', 'stages', 'settings')
     ORDER BY a.id LIMIT 1
""")


def first_change(conn: sa.Connection, since: datetime) -> tuple[Change, int] | None:
    """The first entry since a moment about what decides pay, and how many there are; None when there is none."""
    row = conn.execute(_CHANGES, {"since": since}).one_or_none()
    return None if row is None else (Change(row[0], row[1], row[2], row[3]), row[4])


# Runs of open periods that are not shown, with lines that nothing else names.
_SUPERSEDED = sa.text("""
    SELECT r.id, r.lines FROM runs r JOIN pay_periods p ON p.period = r.period
     WHERE p.status = 'open' AND p.run_id <> r.id AND r.lines > 0 AND r.freed_lines = 0
       AND r.id = coalesce(:run, r.id)
       AND NOT EXISTS (SELECT FROM disputes d JOIN lines l ON l.id = d.line_id WHERE l.run_id = r.id)
       AND NOT EXISTS (SELECT FROM manual_adjustments a JOIN lines l ON l.id = a.line_id WHERE l.run_id = r.id)
     ORDER BY r.id
""").bindparams(sa.bindparam("run", type_=sa.BigInteger))


def superseded(conn: sa.Connection, run_id: int | None = None) -> dict[int, int]:
    """Runs whose lines may go, with how many these are; of all runs or of one."""
    return {row.id: row.lines for row in conn.execute(_SUPERSEDED, {"run": run_id})}


def remove_lines(conn: sa.Connection, run_id: int) -> int:
    """Remove the lines of a superseded run; returns how many.  The database refuses it for any other run."""
    conn.execute(sa.text("UPDATE runs SET freed_lines = lines WHERE id = :run"), {"run": run_id})
    return conn.execute(sa.text("DELETE FROM lines WHERE run_id = :run"), {"run": run_id}).rowcount

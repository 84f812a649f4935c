"""What must hold of a company's data at any moment, however its processes died: each invariant by its name.

`Checker.broken` names those that do not hold, with what was found instead.  It reads tables and repeats
nothing of the product: balances are added up here from lines, adjustments, payouts and reversals.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from engine.db.database import Database
from engine.services import runs
from engine.services.access import Actor
from engine.workers.pool import Pool
from tests.integration.paying import PaperDeal, earned_on_paper

# Each a query for what should not be there.
NEVER = {
    "a line of a closed month is in the ledger, once, with its amount": """
        SELECT p.period, l.id, l.amount, g.amount FROM pay_periods p JOIN lines l ON l.run_id = p.run_id
          LEFT JOIN ledger g ON g.line_id = l.id
         WHERE p.status <> 'open' AND l.amount <> 0
           AND (g.id IS NULL OR (g.amount, g.user_id, g.period, g.kind) <> (l.amount, l.user_id, l.period, l.kind))""",
    "the ledger has no line but those of the runs that closed months show": """
        SELECT g.id, l.id FROM ledger g JOIN lines l ON l.id = g.line_id JOIN pay_periods p ON p.period = l.period
         WHERE p.status = 'open' OR p.run_id <> l.run_id""",
    "a run has all of its lines": """
        SELECT r.id, r.lines, count(l.id) FROM runs r LEFT JOIN lines l ON l.run_id = r.id
         GROUP BY r.id HAVING r.lines <> count(l.id)""",
    "a run says of everybody what their lines come to": """
        SELECT p.run_id, p.user_id, p.earned FROM run_people p
         WHERE p.earned <> (SELECT coalesce(sum(l.amount), 0) FROM lines l
                             WHERE l.run_id = p.run_id AND l.user_id = p.user_id)""",
    "what is given by hand is in the ledger once its month is closed, and not before": """
        SELECT a.id, a.amount, g.amount FROM manual_adjustments a JOIN pay_periods p ON p.period = a.period
          LEFT JOIN ledger g ON g.adjustment_id = a.id
         WHERE (a.withdrawn_at IS NULL AND p.status <> 'open') <> (g.id IS NOT NULL) OR g.amount <> a.amount""",
    "what was paid and released of a payout is what its payments and releases say, and no more than was approved": """
        SELECT i.payout_id, i.user_id, i.amount, i.paid, i.released FROM payout_items i
         WHERE i.paid + i.released > i.amount
            OR i.paid <> (SELECT coalesce(-sum(g.amount), 0) FROM ledger g WHERE g.kind = 'paid'
                             AND g.payout_id = i.payout_id AND g.user_id = i.user_id)
            OR i.released <> (SELECT coalesce(sum(x.amount), 0) FROM payout_release_items x
                               WHERE x.payout_id = i.payout_id AND x.user_id = i.user_id)""",
    "a payout is over when nothing of it is open": """
        SELECT o.id, o.status FROM payouts o
         WHERE (o.status IN ('paid', 'released')) = EXISTS (
             SELECT FROM payout_items i WHERE i.payout_id = o.id AND i.paid + i.released < i.amount)
           AND (o.status IN ('paid', 'released') OR EXISTS (SELECT FROM payout_items i WHERE i.payout_id = o.id))""",
    "a payment is of a payout, once for each of its people": """
        SELECT g.payment_id, g.user_id, count(*) FROM ledger g
          LEFT JOIN payout_payments p ON p.id = g.payment_id AND p.payout_id = g.payout_id
          LEFT JOIN payout_items i ON i.payout_id = g.payout_id AND i.user_id = g.user_id
         WHERE g.kind = 'paid' GROUP BY g.payment_id, g.user_id
        HAVING count(*) > 1 OR count(p.id) = 0 OR count(i.payout_id) = 0""",
    "a payment is taken back once at most, and whole": """
        SELECT p.id, count(r.id) FROM ledger p JOIN ledger r ON r.corrects_id = p.id AND r.kind = 'reversed'
         GROUP BY p.id, p.amount HAVING count(*) > 1 OR sum(r.amount) <> -p.amount""",
    "a month, its payout and its run agree": """
        SELECT p.period, p.status, o.status FROM pay_periods p LEFT JOIN payouts o ON o.period = p.period
         WHERE (o.status IS NULL) <> (p.status IN ('open', 'locked')) OR (o.status = 'paid') <> (p.status = 'paid')
            OR (p.status <> 'open' AND p.run_id IS NULL)""",
    "every job has ended": "SELECT id, kind, status FROM jobs WHERE finished_at IS NULL",
    "a job that is done has kept what it did, once": """
        SELECT j.id, j.kind, j.result, r.id, i.id FROM jobs j
          LEFT JOIN runs r ON r.job_id = j.id LEFT JOIN imports i ON i.job_id = j.id
         WHERE j.status = 'done' AND (j.kind = 'run' AND (j.result ->> 'run')::bigint IS DISTINCT FROM r.id
            OR j.kind = 'import' AND (j.result ->> 'import_id')::bigint IS DISTINCT FROM i.id)""",
    "a job that is not done has kept nothing": """
        SELECT j.id, j.kind, j.status, j.message FROM jobs j
         WHERE j.status <> 'done' AND (EXISTS (SELECT FROM runs WHERE job_id = j.id)
            OR EXISTS (SELECT FROM imports WHERE job_id = j.id))""",
    "no job fails by an accident": """
        SELECT id, kind, message FROM jobs WHERE status = 'failed' AND message LIKE '%unexpected fault%'""",
    "every change has its entry in the audit log, once": """
        WITH made (object, action) AS (
            SELECT 'run ' || id, 'runs.start' FROM runs
            UNION ALL SELECT 'payout ' || id, 'payouts.approve' FROM payouts
            UNION ALL SELECT 'period ' || period, 'payouts.lock' FROM pay_periods WHERE status <> 'open'
            UNION ALL SELECT 'payout ' || payout_id, 'payouts.pay' FROM payout_payments
            UNION ALL SELECT 'payout ' || payout_id, 'payouts.release' FROM payout_releases
            UNION ALL SELECT 'import ' || id, 'deals.import' FROM imports
            UNION ALL SELECT 'import ' || id, 'deals.import' FROM imports WHERE undone_at IS NOT NULL
            UNION ALL SELECT 'adjustment ' || id, 'payouts.adjust' FROM manual_adjustments
            UNION ALL SELECT 'adjustment ' || id, 'payouts.adjust' FROM manual_adjustments
                       WHERE withdrawn_at IS NOT NULL
            UNION ALL SELECT 'payout ' || payout_id, 'payouts.reverse' FROM payout_reversals
            UNION ALL SELECT 'deal edit ' || id, 'deals.edit' FROM deal_edits
            UNION ALL SELECT 'deal ' || deal_id, 'deals.edit' FROM deal_changes
                       WHERE import_id IS NULL AND edit_id IS NULL)
        SELECT object, action, m.number AS made, a.number AS told
          FROM (SELECT object, action, count(*) AS number FROM made GROUP BY 1, 2) m
          FULL JOIN (SELECT object, action, count(*) AS number FROM audit
                      WHERE action NOT IN ('jobs.manage', 'statements.export') GROUP BY 1, 2) a USING (object, action)
         WHERE m.number IS DISTINCT FROM a.number""",
    "each entry in the audit log, but those about jobs, has raised the data version": """
        SELECT data_version, told FROM company, (SELECT count(*) FROM audit WHERE action <> 'jobs.manage') a (told)
         WHERE data_version <> told""",
    "a deal has as many changes as its version says": """
        SELECT d.id, d.version, count(c.id) FROM deals d LEFT JOIN deal_changes c ON c.deal_id = d.id
         GROUP BY d.id HAVING d.version <> count(c.id)""",
    "an import has as many deals as it says": """
        SELECT i.id, i.added, i.changed, count(c.id) FROM imports i LEFT JOIN deal_changes c ON c.import_id = i.id
         WHERE i.undone_at IS NULL GROUP BY i.id HAVING i.added + i.changed <> count(c.id)""",
}

# Added up from what explains it: lines and draws of closed months, what is given, what was paid and taken back.
_OWED = """
    SELECT user_id, sum(amount) FROM (
        SELECT l.user_id, l.amount FROM lines l JOIN pay_periods p ON p.run_id = l.run_id WHERE p.status <> 'open'
        UNION ALL
        SELECT r.user_id, r.drawn FROM run_people r JOIN pay_periods p ON p.run_id = r.run_id WHERE p.status <> 'open'
        UNION ALL
        SELECT a.user_id, a.amount FROM manual_adjustments a JOIN pay_periods p ON p.period = a.period
         WHERE p.status <> 'open' AND a.withdrawn_at IS NULL
        UNION ALL
        SELECT user_id, -paid FROM payout_items
        UNION ALL
        SELECT p.user_id, -p.amount FROM ledger g JOIN ledger p ON p.id = g.corrects_id WHERE g.kind = 'reversed'
    ) owed (user_id, amount) GROUP BY user_id HAVING sum(amount) <> 0
"""
_BALANCES = "SELECT user_id, sum(amount) FROM ledger GROUP BY user_id HAVING sum(amount) <> 0"

_CLOSED = """
    SELECT p.period, p.run_id || ' ' || coalesce(md5(string_agg(CAST(l AS text), '' ORDER BY l.id)), '')
      FROM pay_periods p LEFT JOIN lines l ON l.run_id = p.run_id WHERE p.status <> 'open' GROUP BY p.period, p.run_id
"""
_APPEND_ONLY = """
    SELECT CAST(tgrelid AS regclass) FROM pg_trigger WHERE tgname LIKE '%append_only' ORDER BY 1
"""


class Checker:
    """Remembers what closed months and append-only tables held, and what people have seen done."""

    def __init__(self, db: Database, pool: Pool, actor: Actor, codes: dict[int, str]) -> None:
        self._db, self._pool, self._actor, self._codes = db, pool, actor, codes
        self._closed: dict[str, str] = {}
        self._rows: dict[str, Counter[str]] = {}
        self.done: list[dict[str, Any]] = []

    def broken(self, conn: sa.Connection) -> list[str]:
        """What does not hold in what `conn` sees, each in words with what there is instead.

        What closed months and append-only tables hold is remembered for the next time, when everything holds.
        """
        closed = {row[0]: row[1] for row in conn.execute(sa.text(_CLOSED))}
        tables = conn.scalars(sa.text(_APPEND_ONLY)).all()
        rows = {each: Counter(conn.scalars(sa.text(f"SELECT md5(CAST(t AS text)) FROM {each} t"))) for each in tables}
        found = [
            *self._never(conn),
            *self._balances(conn),
            *self._unmoved(closed),
            *self._only_grown(rows),
            *self._seen_done(conn),
        ]
        if not found:
            self._closed, self._rows = closed, rows
        return found

    def paid_by_the_rules(self, month: str) -> list[str]:
        """Run an open month and hold it, with all that is closed, against the plan on paper."""
        run_id = runs.run_period(self._db, self._pool, self._actor, month)
        with self._db.read() as conn:
            rows = conn.execute(
                sa.text("""
                    SELECT l.origin_period, l.user_id, l.deal_id, l.amount FROM lines l
                     WHERE l.run_id = :run OR EXISTS (SELECT FROM ledger g WHERE g.line_id = l.id)
                """),
                {"run": run_id},
            ).all()
            deals = conn.execute(
                sa.text("""
                    SELECT d.id, d.external_id, d.source, d.owner_id, CAST(d.close_date AS text), d.amount / 100,
                           coalesce(CAST(d.cancelled_on AS text), '')
                      FROM deals d JOIN pipeline_stages s ON s.id = d.stage_id WHERE s.outcome = 'won'
                """)
            ).all()
        # Deals of one day are paid in the order of their ids in the CRM.
        names = {each[0]: f"{each[1]} {each[2]} {each[0]}" for each in deals}
        kept: Counter[tuple[str, str, str]] = Counter()
        for origin, user, deal, cents in rows:
            kept[origin, self._codes[user], names.get(deal, f"deal {deal}")] += cents
        paper = earned_on_paper(
            {names[each[0]]: PaperDeal(self._codes[each[3]], *each[4:]) for each in deals}, clawback=True
        )
        keys = {key for key in kept.keys() | paper.keys() if key[0] <= month}
        return [
            f"pay is what the plan says on paper: {key} is {kept[key]}, on paper {paper.get(key, 0)}"
            for key in sorted(keys)
            if kept[key] != paper.get(key, 0)
        ]

    def _never(self, conn: sa.Connection) -> Iterator[str]:
        for name, query in NEVER.items():
            found = conn.execute(sa.text(query.replace("::", r"\:\:"))).fetchmany(5)
            if found:
                yield f"{name}: {[tuple(row) for row in found]}"

    def _balances(self, conn: sa.Connection) -> Iterator[str]:
        kept, owed = ({row[0]: int(row[1]) for row in conn.execute(sa.text(query))} for query in (_BALANCES, _OWED))
        if kept != owed:
            yield f"a balance is the sum of what explains it: the ledger has {kept}, added up it is {owed}"

    def _unmoved(self, closed: Mapping[str, str]) -> Iterator[str]:
        for month, lines in self._closed.items():
            if closed.get(month) != lines:
                yield f"a closed month never moves: {month} was {lines}, is {closed.get(month)}"

    def _only_grown(self, rows: Mapping[str, Counter[str]]) -> Iterator[str]:
        for table, before in self._rows.items():
            if lost := before - rows[table]:
                yield f"{table} only grows: {lost.total()} rows are gone or changed"

    def _seen_done(self, conn: sa.Connection) -> Iterator[str]:
        """What somebody has seen done stays done; a deal may be deleted since, with the import that brought it."""
        for seen in self.done:
            for table, key in seen.items():
                query = f"SELECT count(*) FROM {table} WHERE CAST(id AS text) = :id"
                if table != "deals" and not conn.scalar(sa.text(query), {"id": str(key)}):
                    yield f"what was seen done is kept: {table} {key} is gone"

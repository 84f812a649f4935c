"""What the pages that read deals ask of the services, on a million deals beside a thousand."""

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from functools import partial
from time import perf_counter

import sqlalchemy as sa

from engine.analytics import parts
from engine.db.database import Database
from engine.periods import parse_period
from engine.services import commission, dashboard, earnings, needs, pipeline, stages
from engine.services.access import Actor
from engine.workers.pool import Pool
from tests.benchmarks.database import PLAN
from tests.benchmarks.deals import ADA, MANAGER, REP, TODAY, Sizes, changed, company
from tests.benchmarks.measure import Row, race_unlike
from tests.owner import owner

# Each deal's passage through the stages and its history, a plan, and a run for each month of 2025 and 2026.
_SEED = (
    # In the order of time, as they come; what the triggers keep beside each is worked out in one go.
    "SET session_replication_role = replica",
    """INSERT INTO deal_stage_entries (deal_id, stage_id, entered_at, owner_id, next_id, left_at)
       SELECT id, stage_id, at, owner_id, lead(stage_id) OVER way, lead(at) OVER way
         FROM (SELECT d.id, d.owner_id, s.id AS stage_id,
                      CAST(d.created_date AS timestamptz) + 9 * s.id * interval '1 day' AS at
                 FROM deals d JOIN pipeline_stages s ON s.id <= least(d.stage_id, 4) OR s.id = d.stage_id) each
       WINDOW way AS (PARTITION BY id ORDER BY at) ORDER BY at""",
    "SET session_replication_role = origin",
    """INSERT INTO deal_changes (deal_id, at, changes)
       SELECT id, CAST(created_date AS timestamptz), '{"created": [null, "crm"]}' FROM deals""",
    """INSERT INTO deal_changes (deal_id, at, changes)
       SELECT id, CAST(created_date AS timestamptz) + interval '20 days',
              jsonb_build_object('close_date', jsonb_build_array(close_date - CAST(id % 100 AS int) - 1, close_date))
         FROM deals WHERE id % 7 = 0""",
    "INSERT INTO plans (name, title) VALUES ('ae', 'AE')",
    """INSERT INTO plan_versions (plan_id, effective_from, document, hash, status, published_at)
       SELECT id, DATE '2025-01-01', :document, '', 'published', now() FROM plans""",
    """INSERT INTO pay_periods (period, kind, start_date, end_date)
       SELECT to_char(m, 'YYYY-MM'), 'month', m, m + interval '1 month'
         FROM generate_series(DATE '2025-01-01', DATE '2026-11-01', interval '1 month') m""",
    """INSERT INTO runs (period, ledger_seen, inputs_hash, lines_hash, engine_version, interpreter, deals, lines,
                         created_by)
       SELECT period, 0, '', '', '0', 'bench', 0, 0, 1 FROM pay_periods""",
    "UPDATE pay_periods p SET run_id = r.id FROM runs r WHERE r.period = p.period",
    """INSERT INTO lines (run_id, user_id, plan_version_id, component, deal_id, kind, period, origin_period, amount,
                          currency, working)
       SELECT p.run_id, d.owner_id, 1, 'nb', d.id, 'earned', p.period, p.period, coalesce(d.amount, 0) / 12, 'USD', '{}'
         FROM deals d JOIN pay_periods p ON d.close_date >= p.start_date AND d.close_date < p.end_date
        WHERE d.stage_id = 5""",
    """INSERT INTO run_people (run_id, user_id, currency, earned, drawn, draw_balance, deferred)
       SELECT run_id, user_id, currency, sum(amount), 0, 0, 0 FROM lines GROUP BY 1, 2, 3""",
    """INSERT INTO run_attainment (run_id, user_id, component, quota_period, credit, quota)
       SELECT p.run_id, u.id, 'nb', to_char(p.start_date, 'YYYY-"Q"Q'), 500 + hashint4(CAST(u.id AS int)) % 400, 1000
         FROM pay_periods p CROSS JOIN users u WHERE u.role = 'rep'""",
    "VACUUM ANALYZE",
)


def fill(db: Database) -> None:
    """Put stages passed, history and runs beside the deals of `tests.benchmarks.deals.company`."""
    with owner(db.engine.url, autocommit=True) as conn:
        for statement in _SEED:
            text = sa.text(statement)
            conn.execute(
                text, {"document": PLAN.replace("2026-01-01", "2025-01-01")} if ":document" in statement else {}
            )


def _earnings(db: Database, actor: Actor) -> None:
    for person in earnings.payees(db, actor, "2026-10").head(1)["user_id"]:
        earnings.earned(db, actor, int(person), "2026-10")


# What each page asks of the services when it is opened as it is.
PAGES: dict[str, Callable[[Database, Actor], object]] = {
    "dashboard": lambda db, actor: (
        dashboard.dashboard(db, actor, parse_period("2026-Q4"), None, TODAY),
        needs.needs(db, actor, TODAY),
    ),
    "pipeline": lambda db, actor: pipeline.pipeline(db, actor, parse_period("2026-Q4"), None, "all", TODAY),
    "analytics": lambda db, actor: commission.commission(db, actor, date(2025, 12, 1), date(2026, 12, 1), None, TODAY),
    "earnings": _earnings,
    "stages": lambda db, actor: stages.stage_rows(db, actor, date(2025, 11, 24), date(2026, 11, 25), TODAY),
}


# What happens between two looks: nothing but a look at something else, one deal is changed, or one of each rep's.
_CHANGED_DEALS = sa.text("""
    WITH changed AS (
        UPDATE deals SET amount = amount + 1, version = version + 1, updated_at = now()
         WHERE id IN (SELECT DISTINCT ON (owner_id) id FROM deals
                       WHERE close_date >= DATE '2026-10-01' AND close_date < DATE '2027-01-01'
                         AND owner_id = ANY(CAST(:owners AS bigint[])))
     RETURNING id, amount)
    INSERT INTO deal_changes (deal_id, user_id, changes)
    SELECT id, 1, jsonb_build_object('amount', jsonb_build_array(amount - 1, amount)) FROM changed
""")
_REPS = sa.text("SELECT id FROM users WHERE role = 'rep' ORDER BY id")


def _an_activity(db: Database) -> None:
    changed(db)


def _one_deal(db: Database) -> None:
    with db.write() as conn:
        conn.execute(_CHANGED_DEALS, {"owners": [REP.user_id]})
    changed(db)


def _deals_of_all(db: Database) -> None:
    with db.write() as conn:
        conn.execute(_CHANGED_DEALS, {"owners": list(conn.scalars(_REPS))})
    changed(db)


LOOKS: dict[str, Callable[[Database], None]] = {
    "again": lambda _db: None,
    "first after an activity was kept": _an_activity,
    "first after a deal was changed": _one_deal,
    "first after a deal of every rep was changed": _deals_of_all,
}


def pages(sizes: Sizes, _pools: dict[str, Pool]) -> Iterator[Row]:
    """Each page that reads deals, on a million against a thousand: looked at again; and first, after a change."""
    many, rounds = (3000, 1) if sizes.quick else (1_000_000, 3)
    with company(1000) as small, company(many) as big:
        databases = {"a thousand": small, "a million": big}
        for db in databases.values():
            fill(db)
        for page, ask in PAGES.items():
            for who, actor in (("an admin's", ADA), ("a manager's", MANAGER), ("a rep's", REP)):
                looks = {name: partial(ask, db, actor) for name, db in databases.items()}
                from_nothing = _from_nothing(looks)
                for look, change in LOOKS.items():
                    taken: dict[str, float] = {}
                    for name, each in looks.items():
                        taken |= race_unlike({name: each}, rounds, perf_counter, partial(change, databases[name]))
                    ratio = taken["a million"] / taken["a thousand"]
                    seconds = taken | (from_nothing if look == "again" else {})
                    yield Row(f"the {page} page, {who}, {look}: a million deals against a thousand (wall clock)",
                              seconds, ratio, "at most 3x slower", ratio <= 3)  # fmt: skip


def _from_nothing(looks: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """The seconds of a look in a process that remembers nothing."""
    seconds = {}
    for name, look in looks.items():
        parts.forget()
        start = perf_counter()
        look()
        seconds[f"{name}, nothing remembered"] = perf_counter() - start
    return seconds

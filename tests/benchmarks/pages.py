"""What the pages that read deals ask of the services, on a million deals beside a thousand."""

from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from time import perf_counter

import sqlalchemy as sa

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
    """INSERT INTO deal_stage_entries (deal_id, stage_id, entered_at)
       SELECT d.id, s.id, CAST(d.created_date AS timestamptz) + 9 * s.id * interval '1 day'
         FROM deals d JOIN pipeline_stages s ON s.id <= least(d.stage_id, 4) OR s.id = d.stage_id""",
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


def pages(sizes: Sizes, _pools: dict[str, Pool]) -> Iterator[Row]:
    """Each page that reads deals, on a million against a thousand: looked at again; and first, after a change."""
    many, rounds = (3000, 1) if sizes.quick else (1_000_000, 7)
    with company(1000) as small, company(many) as big:
        for db in (small, big):
            fill(db)
        for page, ask in PAGES.items():
            for who, actor in (("an admin's", ADA), ("a manager's", MANAGER), ("a rep's", REP)):
                first: dict[str, float] = {}
                then: dict[str, float] = {}
                for name, db in (("a thousand", small), ("a million", big)):
                    look = partial(ask, db, actor)
                    changed(db)
                    first |= race_unlike({name: look}, 1, perf_counter)
                    then |= race_unlike({name: look}, rounds, perf_counter)
                ratio = then["a million"] / then["a thousand"]
                looks = then | {f"{name}, the first look after a change": seconds for name, seconds in first.items()}
                yield Row(f"the {page} page, {who}: a million deals against a thousand (wall clock)", looks, ratio,
                          "at most 3x slower", ratio <= 3)  # fmt: skip

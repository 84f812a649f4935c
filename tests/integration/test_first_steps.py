"""The first steps of a new company."""

from datetime import date

import sqlalchemy as sa

from engine.db.database import Database
from engine.services import first_steps, payouts, people, runs
from engine.services.access import Actor
from engine.workers.pool import Pool
from tests.integration.paying import Company


def undone(db: Database, actor: Actor) -> list[str]:
    return [step.name for step in first_steps.first_steps(db, actor) if not step.done]


def test_a_new_company_is_led_to_its_first_payout(database_url: str) -> None:
    db = Database(database_url)
    with db.write() as conn:
        conn.execute(sa.text("INSERT INTO company (name, currency) VALUES ('Acme', 'USD')"))
        query = "INSERT INTO users (code, name, email, role) VALUES ('r', 'R', 'r@acme.test', 'admin') RETURNING id"
        root = Actor(conn.scalar(sa.text(query)), "admin", "R")
    assert undone(db, root) == ["people", "deals", "plan", "assign", "run", "approve"]
    people.add_person(db, root, "Ana", "ana@acme.test", "rep", date(2026, 1, 1))
    assert undone(db, root)[0] == "deals"
    db.close()


def test_quotas_are_a_step_while_a_plan_asks_for_them_and_nothing_is_after_a_payout(
    company: Company, pool: Pool
) -> None:
    db, ada = company.db, company.actors["ada"]
    with db.write() as conn:
        conn.execute(sa.text("DELETE FROM quotas"))
    assert undone(db, ada) == ["deals", "quotas", "run", "approve"]
    assert first_steps.first_steps(db, company.actors["fay"]) == []
    with db.write() as conn:
        conn.execute(
            sa.text("""
                INSERT INTO quotas (user_id, period, start_date, end_date, amount, currency)
                SELECT id, '2026-Q1', '2026-01-01', '2026-04-01', 10000000, 'USD' FROM users WHERE role = 'rep'
            """)
        )
    company.deal("D1", "ana", "2026-01-20", 60_000)
    runs.run_period(db, pool, ada, "2026-01")
    assert undone(db, ada) == ["approve"]
    payouts.approve_period(db, ada, "2026-01")
    assert first_steps.first_steps(db, ada) == []

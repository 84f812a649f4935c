"""Twenty rounds of the campaign (`make chaos` has more), and whether its checks would notice anything."""

from collections.abc import Iterator
from datetime import date

import pytest
import sqlalchemy as sa

from engine.services import adjustments, payouts, runs
from engine.services.adjustments import NewAdjustment
from engine.services.deals import DealFields, create_deal
from engine.workers.pool import Pool
from tests.chaos.campaign import campaign
from tests.chaos.holding import NEVER, Checker
from tests.integration.paying import Company
from tests.owner import owner

SEED = 2026


@pytest.mark.parametrize(("first", "rounds"), [(2, 5), (1, 10), (3, 5)], ids=["with-workers", "alone", "alone-again"])
def test_everything_holds_however_processes_die(first: int, rounds: int) -> None:
    report = campaign(SEED, rounds, first)
    assert report.rounds == rounds
    assert report.kills.total() > rounds


# What somebody or something may do to the data, and the check that finds it.
_DAMAGE = {
    "a line of a closed month is in the ledger, once": "DELETE FROM ledger WHERE line_id IS NOT NULL",
    "the ledger has no line but": """
        UPDATE pay_periods SET run_id = (SELECT min(id) FROM runs WHERE period = '2026-01') WHERE period = '2026-01'""",
    "a run has all of its lines": "DELETE FROM lines WHERE id = (SELECT min(id) FROM lines)",
    "a run says of everybody": "UPDATE run_people SET earned = earned + 1",
    "what is given by hand": "DELETE FROM ledger WHERE kind = 'manual'",
    "what was paid and released": """
        DELETE FROM ledger WHERE kind = 'paid' AND user_id = (SELECT min(user_id) FROM ledger)""",
    "a payout is over when": "UPDATE payouts SET status = 'approved', paid_at = NULL, paid_by = NULL",
    "a payment is of a payout, once": "DELETE FROM payout_items",
    "a payment is taken back once": "UPDATE ledger SET amount = amount + 1 WHERE kind = 'reversed'",
    "a month, its payout and its run": "UPDATE pay_periods SET status = 'approved' WHERE status = 'paid'",
    "every job has ended": "UPDATE jobs SET status = 'running', finished_at = NULL",
    "a job that is done": "UPDATE jobs SET result = '{\"run\": 99}'",
    "a job that is not done": "UPDATE jobs SET status = 'failed'",
    "no job fails by an accident": "UPDATE jobs SET status = 'failed', message = 'An unexpected fault stopped it: x'",
    "every change has its entry": "DELETE FROM audit WHERE action = 'payouts.pay'",
    "each entry in the audit log, but": "UPDATE company SET data_version = data_version - 1",
    "a deal has as many changes": "UPDATE deals SET version = version + 1",
    "an import has as many deals": """
        INSERT INTO imports (source, filename, file_hash, mapping, added, changed, unchanged, refused, created_by)
        SELECT 'crm', 'x.csv', '', '{}', 1, 0, 0, 0, min(id) FROM users""",
    "a balance is the sum": "UPDATE ledger SET amount = amount + 1 WHERE kind = 'earned'",
    "a closed month never moves": "UPDATE lines SET component = 'else'",
    "ledger only grows": "UPDATE ledger SET posted_at = now() + INTERVAL '1 day'",
    "what was seen done": "DELETE FROM manual_adjustments",
}


@pytest.fixture
def company(database_url: str) -> Iterator[Company]:
    found = Company(database_url)
    yield found
    found.db.close()


@pytest.fixture
def pool() -> Iterator[Pool]:
    with Pool(1, "cpython") as found:
        yield found


def test_every_check_finds_what_it_is_there_for(company: Company, pool: Pool) -> None:
    db, ada = company.db, company.actors["ada"]
    with db.read() as conn:
        won = conn.scalar(sa.text("SELECT id FROM pipeline_stages WHERE name = 'Closed Won'"))
    checker = Checker(db, pool, ada, {user: code for code, user in company.users.items()})
    for month in ("2026-01", "2026-02"):
        day = date.fromisoformat(f"{month}-20")
        create_deal(db, ada, DealFields("D", "", company.users["ana"], won, 150_000_00, "USD", day, type="New"))
    new = NewAdjustment("0" * 32, company.users["bo"], "bonus", 5, "Because")
    checker.done.append({"manual_adjustments": adjustments.add_adjustment(db, ada, "2026-01", new)})
    with db.write() as conn:
        job = conn.scalar(
            sa.text("INSERT INTO jobs (kind, created_by) VALUES ('run', :ada) RETURNING id"), {"ada": ada.user_id}
        )
    for _ in range(2):
        runs.run_period(db, pool, ada, "2026-01")
    run_id = runs.run_period(db, pool, ada, "2026-01", job_id=str(job))
    with db.write() as conn:
        query = "UPDATE jobs SET status = 'done', finished_at = now(), result = jsonb_build_object('run', :run)"
        conn.execute(sa.text(query), {"run": run_id})
    payouts.approve_period(db, ada, "2026-01")
    payouts.mark_paid(db, ada, "2026-01")
    payouts.reverse_payout(db, ada, "2026-01", "Because", {company.users["ana"]})

    with db.read() as conn:
        assert checker.broken(conn) == []
    assert checker.paid_by_the_rules("2026-02") == []
    assert len(_DAMAGE) == len(NEVER) + 4
    for name, damage in _DAMAGE.items():
        with owner(db.engine.url) as conn:
            conn.execute(sa.text("SET session_replication_role = replica"))  # no trigger and no foreign key stops it
            conn.execute(sa.text(damage))
            assert [each for each in checker.broken(conn) if each.startswith(name)], name
            conn.rollback()
    with db.write() as conn:
        conn.execute(sa.text("UPDATE deals SET amount = amount + 100"))
    assert "on paper" in checker.paid_by_the_rules("2026-03")[0]

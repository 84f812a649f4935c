"""Migrations: up from empty, again without effect, and refused where the database is newer than the program."""

import pytest
import sqlalchemy as sa
from alembic import command

from engine.db import migrate
from engine.db.database import Database
from engine.errors import QuotaPathError
from engine.services import payouts
from engine.services.access import Actor
from tests.owner import owner

TABLES = {
    "activities", "api_requests", "api_tokens", "audit", "company", "deal_changes", "deal_credits", "deal_edits",
    "deal_fields", "deal_payments", "deal_stage_entries", "deal_touches", "deals", "dispute_messages", "disputes",
    "eligibility", "exchange_rates", "held_amounts", "import_file_refusals", "import_files", "import_mappings",
    "import_pieces", "import_refusals", "imports", "jobs", "ledger", "lines", "manual_adjustments", "pay_periods",
    "payout_items", "payout_payments", "payout_release_items", "payout_releases", "payout_reversals", "payouts",
    "pipeline_stages", "plan_assignments", "plan_versions", "plans", "quota_ramps", "quotas", "run_attainment",
    "run_digests", "run_people", "run_plan_versions", "run_sums", "runs", "scenarios", "sign_in_failures",
    "sign_in_links", "sign_in_tickets", "statement_files", "statements", "team_members", "team_structure", "teams",
    "user_sessions", "users", "workers",
}  # fmt: skip


def tables(db: Database) -> set[str]:
    with owner(db.engine.url) as conn:
        return set(sa.inspect(conn).get_table_names()) - {"alembic_version"}


def test_up_from_empty_and_again(database_url: str) -> None:
    db = Database(database_url)
    with owner(database_url) as conn:
        conn.execute(sa.text("DROP SCHEMA public CASCADE"))
        conn.execute(sa.text("CREATE SCHEMA public"))
    assert tables(db) == set()
    migrate.upgrade(database_url)
    assert tables(db) == TABLES
    with db.write() as conn:
        conn.execute(sa.text("INSERT INTO company (name, currency) VALUES ('Kept', 'USD')"))
    migrate.upgrade(database_url)
    with db.read() as conn:
        assert conn.scalar(sa.text("SELECT name FROM company")) == "Kept"
    db.close()


def test_a_database_of_a_newer_version_is_refused(database_url: str) -> None:
    with owner(database_url) as conn:
        conn.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(QuotaPathError, match="9999.*newer version"):
        migrate.upgrade(database_url)


# What must be refused by the database itself, whatever program asks: (why, statement).
REFUSED = [
    ("overlap", "INSERT INTO plan_assignments (user_id, plan_id, start_date) VALUES (1, 1, '2026-06-01')"),
    ("overlap", "INSERT INTO team_members (team_id, user_id, start_date) VALUES (1, 1, '2026-06-01')"),
    ("end before start", "UPDATE plan_assignments SET end_date = start_date"),
    ("share above 100%", "INSERT INTO deal_credits VALUES (1, 1, 1000001)"),
    ("cancelled before closed", "UPDATE deals SET cancelled_on = '2025-12-31'"),
    ("no such owner", "UPDATE deals SET owner_id = 99"),
    ("currency", "UPDATE deals SET currency = 'usd'"),
    (
        "the same deal twice",
        (
            "INSERT INTO deals (source, external_id, name, owner_id, stage_id, currency, close_date) "
            "SELECT source, external_id, 'again', owner_id, stage_id, currency, close_date FROM deals"
        ),
    ),
    ("quota of 0", "UPDATE quotas SET amount = 0"),
    ("probability of a won stage", "UPDATE pipeline_stages SET probability_ppm = 1 WHERE outcome = 'won'"),
    ("two users of one address", "INSERT INTO users (code, name, email, role) VALUES ('b', 'B', 'A@X.example', 'rep')"),
    ("unknown role", "UPDATE users SET role = 'boss'"),
    ("a published plan", "UPDATE plan_versions SET document = 'other'"),
    ("a published plan", "DELETE FROM plan_versions"),
    ("the audit log", "INSERT INTO audit (action, object) VALUES ('x', 'y'); DELETE FROM audit"),
]


@pytest.fixture
def filled(database_url: str) -> Database:
    db = Database(database_url)
    with db.write() as conn:
        for statement in (
            "INSERT INTO users (code, name, email, role) VALUES ('a', 'A', 'a@x.example', 'rep')",
            "INSERT INTO teams (name) VALUES ('East')",
            "INSERT INTO team_members (team_id, user_id, start_date) VALUES (1, 1, '2026-01-01')",
            "INSERT INTO plans (name, title) VALUES ('p', 'P')",
            (
                "INSERT INTO plan_versions (plan_id, effective_from, document, hash, status, published_at) "
                "VALUES (1, '2026-01-01', 'text', '', 'published', now())"
            ),
            "INSERT INTO plan_assignments (user_id, plan_id, start_date) VALUES (1, 1, '2026-01-01')",
            (
                "INSERT INTO quotas (user_id, period, start_date, end_date, amount, currency) "
                "VALUES (1, '2026', '2026-01-01', '2027-01-01', 1, 'USD')"
            ),
            (
                "INSERT INTO deals (source, external_id, name, owner_id, stage_id, currency, close_date) "
                "VALUES ('crm', 'D1', 'Deal', 1, 5, 'USD', '2026-01-01')"
            ),
        ):
            conn.execute(sa.text(statement))
    return db


@pytest.mark.parametrize(("why", "statement"), REFUSED)
def test_the_database_refuses(filled: Database, why: str, statement: str) -> None:
    with pytest.raises(sa.exc.IntegrityError), filled.write() as conn:
        conn.execute(sa.text(statement))
    filled.close()


def test_what_follows_without_overlap_is_kept(filled: Database) -> None:
    with filled.write() as conn:
        conn.execute(sa.text("UPDATE plan_assignments SET end_date = '2026-06-01'"))
        conn.execute(sa.text("INSERT INTO plan_assignments (user_id, plan_id, start_date) VALUES (1, 1, '2026-06-01')"))
    filled.close()


# A company as an earlier version left it: January paid, February approved, March calculated; some of it deferred.
OF_BEFORE = """
    INSERT INTO company (name, currency) VALUES ('Kept', 'USD');
    INSERT INTO users (code, name, email, role)
        VALUES ('ana', 'Ana', 'a@x.io', 'rep'), ('ada', 'Ada', 'b@x.io', 'admin');
    INSERT INTO plans (name, title) VALUES ('p', 'P');
    INSERT INTO plan_versions (plan_id, effective_from, document, hash, status, published_at)
        VALUES (1, '2026-01-01', 'plan = "p"', '', 'published', now());
    INSERT INTO pay_periods (period, kind, start_date, end_date) VALUES
        ('2026-01', 'month', '2026-01-01', '2026-02-01'), ('2026-02', 'month', '2026-02-01', '2026-03-01'),
        ('2026-03', 'month', '2026-03-01', '2026-04-01');
    INSERT INTO runs
        (period, ledger_seen, inputs_hash, lines_hash, engine_version, interpreter, deals, lines, created_by)
        SELECT period, 0, '', '', '1', 'pypy', 1, 1, 2 FROM pay_periods ORDER BY period;
    INSERT INTO run_people VALUES (1, 1, 'USD', 1000, 0, 0, 300), (2, 1, 'USD', 2000, 0, 0, 500),
        (3, 1, 'USD', 4000, 0, 0, 900);
    INSERT INTO lines
        (run_id, user_id, plan_version_id, component, kind, period, origin_period, amount, currency, working)
        SELECT run_id, 1, 1, 'c', 'earned', period, period, earned, 'USD', '{}'
          FROM run_people JOIN runs ON runs.id = run_id ORDER BY run_id;
    UPDATE pay_periods p SET run_id = r.id FROM runs r WHERE r.period = p.period;
    UPDATE pay_periods SET status = 'approved' WHERE period < '2026-03';
    UPDATE pay_periods SET status = 'paid' WHERE period < '2026-02';
    INSERT INTO payouts (period, status, approved_by, paid_by, paid_at) VALUES ('2026-01', 'paid', 2, 2, now()),
        ('2026-02', 'approved', 2, NULL, NULL);
    INSERT INTO payout_items VALUES (1, 1, 'USD', 700), (2, 1, 'USD', 1800);
    INSERT INTO ledger (user_id, period, kind, amount, currency, line_id, payout_id, posted_by) VALUES
        (1, '2026-01', 'earned', 1000, 'USD', 1, NULL, 2), (1, '2026-01', 'paid', -700, 'USD', NULL, 1, 2),
        (1, '2026-02', 'earned', 2000, 'USD', 2, NULL, 2);
"""


def test_money_of_an_earlier_version_is_kept(database_url: str) -> None:
    """Its payment is one payment, what was deferred is held, and the payout that was approved is paid once."""
    db = Database(database_url)
    with owner(database_url) as conn:
        conn.execute(sa.text("DROP SCHEMA public CASCADE"))
        conn.execute(sa.text("CREATE SCHEMA public"))
        config = migrate._config()
        config.attributes["connection"] = conn
        command.upgrade(config, "0007")
        conn.exec_driver_sql(OF_BEFORE)
    migrate.upgrade(database_url)
    with db.read() as conn:
        held = conn.execute(
            sa.text("""
                SELECT e.run_id, e.payout_id, h.amount FROM eligibility e JOIN held_amounts h ON h.eligibility_id = e.id
                 ORDER BY e.payout_id NULLS FIRST, e.run_id
            """)
        ).all()
        assert held == [(1, None, 300), (2, None, 500), (3, None, 900), (None, 1, 300), (None, 2, 500)]
        assert conn.execute(sa.text("SELECT amount, paid, released FROM payout_items ORDER BY payout_id")).all() == [
            (700, 700, 0),
            (1800, 0, 0),
        ]
        paid = sa.text("SELECT count(*) FROM ledger WHERE kind = 'paid' AND payment_id IS NOT NULL AND payout_id = 1")
        assert conn.scalar(paid) == 1
    ada = Actor(2, "admin", "Ada")
    for _ in range(2):
        payouts.mark_paid(db, ada, "2026-01")
        assert payouts.mark_paid(db, ada, "2026-02").status == "paid"
    with db.read() as conn:
        assert conn.scalar(sa.text("SELECT sum(amount) FROM ledger")) == 1000 - 700 + 2000 - 1800
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), db.write() as conn:
        conn.execute(sa.text("UPDATE ledger SET amount = 0"))
    db.close()

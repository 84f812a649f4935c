"""Migrations: up from empty, again without effect, and refused where the database is newer than the program."""

import pytest
import sqlalchemy as sa

from engine.db import migrate
from engine.db.database import Database
from engine.errors import QuotaPathError

TABLES = {
    "activities", "audit", "company", "deal_changes", "deal_credits", "deal_edits", "deal_fields",
    "deal_stage_entries", "deals", "dispute_messages", "disputes", "exchange_rates", "import_file_refusals",
    "import_files", "import_mappings", "import_pieces", "import_refusals", "imports", "jobs", "ledger", "lines",
    "manual_adjustments", "pay_periods", "payout_items", "payout_reversals", "payouts", "pipeline_stages",
    "plan_assignments", "plan_versions", "plans", "quota_ramps", "quotas", "run_attainment", "run_people",
    "run_plan_versions", "runs", "sign_in_failures", "sign_in_links", "sign_in_tickets", "statement_files",
    "statements", "team_members", "team_structure", "teams", "user_sessions", "users", "workers",
}  # fmt: skip


def tables(db: Database) -> set[str]:
    with db.read() as conn:
        return set(sa.inspect(conn).get_table_names()) - {"alembic_version"}


def test_up_from_empty_and_again(database_url: str) -> None:
    db = Database(database_url)
    with db.write() as conn:
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
    db = Database(database_url)
    with db.write() as conn:
        conn.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(QuotaPathError, match="9999.*newer version"):
        migrate.upgrade(database_url)
    db.close()


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

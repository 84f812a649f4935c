"""The second wall: what raw SQL returns under each viewer, where no service has checked anything.

The wall lets through who was below the viewer on any day (the services say for which day).  The second opinion walks
the team tree day by day.
"""

import re
from collections.abc import Iterator
from datetime import date, timedelta

import pytest
import sqlalchemy as sa

from engine.db import bulk, migrate, roles
from engine.db.database import Database
from engine.errors import QuotaPathError
from engine.services import access, deals
from engine.services.access import Actor
from tests.owner import owner

PEOPLE = {  # id -> (code, role)
    1: ("ada", "admin"), 2: ("fay", "finance"), 3: ("gus", "manager"), 4: ("mia", "manager"), 5: ("max", "manager"),
    6: ("ana", "rep"), 7: ("bo", "rep"), 8: ("cy", "rep"), 9: ("dee", "rep"), 10: ("eve", "manager"),
    11: ("flo", "rep"),
}  # fmt: skip
GONE = 9  # disabled
# (team, parent, manager, from, to) and (team, person, from, to); Sales is above East and West, West for June alone.
SALES, EAST, WEST = 1, 2, 3
STRUCTURE = [
    (SALES, None, 3, date(2026, 1, 1), None),
    (EAST, SALES, 4, date(2026, 1, 1), date(2026, 7, 1)),
    (EAST, SALES, 10, date(2026, 7, 1), None),
    (WEST, None, 5, date(2026, 1, 1), date(2026, 6, 1)),
    (WEST, SALES, 5, date(2026, 6, 1), date(2026, 7, 1)),
    (WEST, None, 5, date(2026, 7, 1), None),
]
MEMBERS = [
    (EAST, 6, date(2026, 1, 1), None),
    (EAST, 7, date(2026, 1, 1), date(2026, 3, 1)),
    (WEST, 7, date(2026, 3, 1), None),
    (WEST, 8, date(2026, 1, 1), date(2026, 5, 1)),
    (EAST, 8, date(2026, 8, 1), None),
    (EAST, 9, date(2026, 1, 1), None),
    (EAST, 11, date(2026, 1, 1), None),
    (4, 2, date(2026, 1, 1), None),
]
OF_A_REP = 4  # a team that Flo leads, who is a rep: the role decides
SHARES = [(50, 6), (80, 7)]  # (deal, person): Max's deal is shared with Ana, Cy's with Bo

# One row about each person, and what is the company's; written past triggers and foreign keys, as it is about reading.
FILL = """
    INSERT INTO company (name, currency) VALUES ('Walls', 'USD');
    INSERT INTO plans (name, title) SELECT code, code FROM users ORDER BY id;
    INSERT INTO plan_versions (plan_id, document, status) SELECT id, '', 'draft' FROM plans;
    INSERT INTO plan_assignments (user_id, plan_id, start_date) SELECT id, id, '2026-01-01' FROM users;
    INSERT INTO deals (id, source, external_id, name, owner_id, stage_id, currency, close_date) OVERRIDING SYSTEM VALUE
        SELECT id * 10, 'crm', code, code, id, 1, 'USD', '2026-05-01' FROM users;
    INSERT INTO deal_changes (deal_id, changes) SELECT id, '{}' FROM deals;
    INSERT INTO deal_stage_entries (deal_id, stage_id, entered_at, owner_id) SELECT id, 1, now(), owner_id FROM deals;
    INSERT INTO deal_touches (part) VALUES ('*');
    INSERT INTO deal_payments (deal_id, request_id, paid_on, amount, created_by)
        SELECT id, gen_random_uuid(), '2026-05-01', 1, 1 FROM deals;
    INSERT INTO activities (kind, user_id, subject, happened_at) SELECT 'note', id, 'x', now() FROM users;
    INSERT INTO quotas (user_id, period, start_date, end_date, amount, currency)
        SELECT id, '2026', '2026-01-01', '2027-01-01', 1, 'USD' FROM users;
    INSERT INTO pay_periods (period, kind, start_date, end_date)
        VALUES ('2026-05', 'month', '2026-05-01', '2026-06-01');
    INSERT INTO runs (period, ledger_seen, inputs_hash, lines_hash, engine_version, interpreter, deals, lines,
                      created_by) VALUES ('2026-05', 0, '', '', '', '', 0, 0, 1);
    INSERT INTO run_plan_versions VALUES (1, 1);
    INSERT INTO run_people SELECT 1, id, 'USD', 1, 0, 0, 0 FROM users;
    INSERT INTO run_attainment SELECT 1, id, 'c', '2026', 1, 1 FROM users;
    INSERT INTO run_digests SELECT 1, id, sha256('x') FROM users;
    INSERT INTO lines (run_id, user_id, plan_version_id, component, kind, period, origin_period, amount, currency,
                       working) SELECT 1, id, 1, 'c', 'earned', '2026-05', '2026-05', 1, 'USD', '{}' FROM users;
    INSERT INTO run_sums SELECT 1, id, 1, 'c', 'earned', 'USD', 1, 1 FROM users;
    INSERT INTO payouts (period, status, approved_by) VALUES ('2026-05', 'approved', 1);
    INSERT INTO payout_items (payout_id, user_id, currency, amount) SELECT 1, id, 'USD', 1 FROM users;
    INSERT INTO payout_payments (request_id, payout_id, created_by) VALUES (gen_random_uuid(), 1, 1);
    INSERT INTO payout_releases (request_id, payout_id, reason, created_by) VALUES (gen_random_uuid(), 1, 'x', 1);
    INSERT INTO payout_release_items SELECT 1, 1, id, 'USD', 1 FROM users;
    INSERT INTO payout_reversals (payout_id, reason, created_by) VALUES (1, 'x', 1);
    INSERT INTO ledger (user_id, period, kind, amount, currency, posted_by) SELECT id, '2026-05', 'drawn', 1, 'USD', 1
        FROM users;
    INSERT INTO eligibility (period, run_id, as_of) VALUES ('2026-05', 1, '2026-05-31');
    INSERT INTO held_amounts (eligibility_id, user_id, currency, component, origin_period, waits_for, amount)
        SELECT 1, id, 'USD', 'c', '2026-05', 'x', 1 FROM users;
    INSERT INTO manual_adjustments (request_id, user_id, period, kind, amount, currency, reason, created_by)
        SELECT gen_random_uuid(), id, '2026-05', 'spif', 1, 'USD', 'x', 1 FROM users;
    INSERT INTO disputes (user_id, period, about, opened_by) SELECT id, '2026-05', 'x', id FROM users;
    INSERT INTO dispute_messages (dispute_id, user_id, text, status) SELECT id, user_id, 'x', 'open' FROM disputes;
    INSERT INTO statements (user_id, period, paid_to, content, code)
        SELECT id, '2026-05', 0, 'x', sha256('x') FROM users;
    INSERT INTO statement_files SELECT id, 'pdf', 'x' FROM statements;
    INSERT INTO api_tokens (user_id, name, token_hash, scopes, expires_at)
        SELECT id, 'x', sha256(convert_to(code, 'UTF8')), '{read}', 'infinity' FROM users;
    INSERT INTO api_requests (user_id, key, request_hash) SELECT id, 'k', '' FROM users;
    INSERT INTO deal_edits (kind, deals) VALUES ('bulk', 1);
    INSERT INTO sign_in_links SELECT id, sha256(convert_to(code, 'UTF8')), now() FROM users;
    INSERT INTO jobs (kind, created_by) SELECT 'x', id FROM users;
    INSERT INTO exchange_rates VALUES ('EUR', 'USD', '2026-01-01', 1);
    INSERT INTO deal_fields (name, kind) VALUES ('Region', 'text');
    INSERT INTO imports (source, filename, file_hash, mapping, added, changed, unchanged, refused, created_by)
        VALUES ('crm', 'x', '', '{}', 0, 0, 0, 0, 1);
"""

# table -> whom its rows are about, as SQL; for these the wall is between people.
ABOUT = {
    "activities": "user_id", "held_amounts": "user_id", "ledger": "user_id", "lines": "user_id",
    "manual_adjustments": "user_id", "payout_items": "user_id", "payout_release_items": "user_id",
    "plan_assignments": "user_id", "quotas": "user_id", "run_attainment": "user_id", "run_digests": "user_id",
    "run_people": "user_id", "run_sums": "user_id", "sign_in_links": "user_id", "statements": "user_id",
    "disputes": "user_id", "dispute_messages": "user_id",
    "statement_files": "(SELECT user_id FROM statements s WHERE s.id = statement_id)",
}  # fmt: skip
OWN = {"api_requests": "user_id", "api_tokens": "user_id", "jobs": "created_by"}
OF_DEALS = {"deals": "id", "deal_changes": "deal_id", "deal_payments": "deal_id", "deal_stage_entries": "deal_id"}
PLANS = {"plans": "id", "plan_versions": "plan_id"}
COMPANY = {
    "company", "deal_edits", "deal_fields", "deal_touches", "eligibility", "exchange_rates", "imports", "pay_periods",
    "payout_payments", "payout_releases", "payout_reversals", "payouts", "pipeline_stages", "run_plan_versions", "runs",
    "team_members", "team_structure", "teams", "users",
}  # fmt: skip
UNREADABLE = {"audit"}  # written, never read


def people_of(viewer: int) -> set[int]:
    """Whom the viewer may see: themselves, and for a manager everyone below on one day or another."""
    found = {viewer}
    day = date(2025, 12, 1)
    while PEOPLE[viewer][1] == "manager" and day < date(2027, 1, 1):
        now = [row for row in STRUCTURE if row[3] <= day and (row[4] is None or day < row[4])]
        led = {team for team, _, manager, _, _ in now if manager == viewer}
        while more := {team for team, parent, _, _, _ in now if parent in led} - led:
            led |= more
        found |= {manager for team, _, manager, _, _ in now if team in led}
        found |= {
            who for team, who, first, past in MEMBERS if team in led and first <= day and (not past or day < past)
        }
        day += timedelta(days=1)
    return found


@pytest.fixture(scope="module")
def walls(cluster_url: str) -> Iterator[Database]:
    """A company in which there is one row of everything about everybody."""
    template, url = sa.make_url(cluster_url).database, sa.make_url(cluster_url).set(database="walls")
    with owner(url.set(database="postgres"), autocommit=True) as conn:
        conn.execute(sa.text(f"CREATE DATABASE walls TEMPLATE {template}"))
    with owner(url) as conn:
        conn.execute(sa.text("SET LOCAL session_replication_role = replica"))
        for number, (code, role) in PEOPLE.items():
            conn.execute(
                sa.text(
                    "INSERT INTO users (id, code, name, email, role, is_active, password_hash) "
                    "OVERRIDING SYSTEM VALUE VALUES (:id, :code, :code, :code || '@x.io', :role, :active, 'secret')"
                ),
                {"id": number, "code": code, "role": role, "active": number != GONE},
            )
        conn.execute(sa.text("INSERT INTO teams (name) VALUES ('Sales'), ('East'), ('West'), ('North')"))
        for team, parent, manager, first, past in [*STRUCTURE, (OF_A_REP, None, 11, date(2026, 1, 1), None)]:
            conn.execute(
                sa.text(
                    "INSERT INTO team_structure (team_id, parent_id, manager_id, start_date, end_date) "
                    "VALUES (:t, :p, :m, :f, :u)"
                ),
                {"t": team, "p": parent, "m": manager, "f": first, "u": past},
            )
        for team, who, first, past in MEMBERS:
            conn.execute(
                sa.text("INSERT INTO team_members (team_id, user_id, start_date, end_date) VALUES (:t, :w, :f, :u)"),
                {"t": team, "w": who, "f": first, "u": past},
            )
        conn.exec_driver_sql(FILL)
        for deal, who in SHARES:
            conn.execute(sa.text("INSERT INTO deal_credits VALUES (:d, :w, 500000)"), {"d": deal, "w": who})
    db = Database(url.render_as_string(hide_password=False))
    yield db
    db.close()
    with owner(url.set(database="postgres"), autocommit=True) as conn:
        conn.execute(sa.text("DROP DATABASE walls WITH (FORCE)"))


def actor(number: int) -> Actor:
    return Actor(number, PEOPLE[number][1], PEOPLE[number][0])


def test_each_table_has_a_wall_and_a_test(walls: Database) -> None:
    """A new table is closed to everyone until its migration says who reads it, and to `WITHIN` until it stands here."""
    with walls.read() as conn:
        tables = {
            row.name: row
            for row in conn.execute(
                sa.text(
                    """
                    SELECT c.relname AS name, c.relrowsecurity AS secured,
                           EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'everyone'
                                      AND pg_get_expr(p.polqual, c.oid) = 'true') AS everyone,
                           EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid
                                      AND to_regrole('quotapath_within') = ANY(p.polroles)) AS within,
                           has_any_column_privilege('quotapath_within', c.oid, 'SELECT, INSERT, UPDATE')
                           OR has_table_privilege('quotapath_within', c.oid, 'DELETE') AS granted
                      FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
                       AND relname <> 'alembic_version'
                """.replace("::", "\\:\\:")
                )
            )
        }
    assert {name for name, row in tables.items() if not (row.secured and row.everyone)} == set()
    open_within = {name for name, row in tables.items() if row.granted}
    assert open_within == {name for name, row in tables.items() if row.within} == set(roles.WITHIN_MAY)
    tested = ABOUT.keys() | OWN.keys() | OF_DEALS.keys() | PLANS.keys() | COMPANY | {"deal_credits"} | UNREADABLE
    assert open_within == tested, "say in this file what a viewer must see of the table"


def test_no_role_of_the_program_passes_by_a_policy(walls: Database) -> None:
    with walls.read() as conn:
        found = conn.execute(
            sa.text("SELECT rolname, rolsuper, rolbypassrls, rolcanlogin FROM pg_roles WHERE rolname LIKE 'quotapath%'")
        ).all()
        assert {tuple(row) for row in found} == {
            (name, False, False, False) for name in (roles.NOBODY, roles.ALL, roles.WITHIN)
        }
        owners = set(conn.scalars(sa.text("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")))
        assert owners.isdisjoint({roles.NOBODY, roles.ALL, roles.WITHIN})
        assert conn.scalar(sa.text("SELECT current_user")) == roles.ALL
    with walls.engine.connect() as conn:
        assert conn.scalar(sa.text("SELECT current_user")) == roles.NOBODY
        for table in roles.WITHIN_MAY:
            with pytest.raises(sa.exc.ProgrammingError, match="permission denied"), conn.begin_nested():
                conn.execute(sa.text(f"SELECT count(*) FROM {table}"))


@pytest.mark.parametrize("number", PEOPLE)
def test_raw_sql_returns_what_the_viewer_may_see(walls: Database, number: int) -> None:
    everyone = PEOPLE[number][1] in ("admin", "finance")
    seen = set(PEOPLE) if everyone else set() if number == GONE else people_of(number)
    deals_seen = {each * 10 for each in seen} | {deal for deal, who in SHARES if who in seen}
    plans_seen = set(PEOPLE) if everyone or PEOPLE[number][1] == "manager" else seen
    with walls.read(actor(number)) as conn:

        def rows(table: str, of: str) -> set[int]:
            return set(conn.scalars(sa.text(f"SELECT {of} FROM {table}")))

        for table, of in ABOUT.items():
            assert rows(table, of) == seen, table
        for table, of in OWN.items():
            assert rows(table, of) == (seen if everyone else {number} - {GONE}), table
        for table, of in OF_DEALS.items():
            assert rows(table, of) == deals_seen, table
        assert rows("deal_credits", "deal_id") == {deal for deal, _ in SHARES} & deals_seen
        for table, of in PLANS.items():
            assert rows(table, of) == plans_seen, table
        for table in sorted(COMPANY):
            assert conn.scalar(sa.text(f"SELECT EXISTS (SELECT FROM {table})")), table


CLOSED = (
    "SELECT password_hash FROM users", "SELECT * FROM users", "SELECT * FROM audit", "SELECT * FROM user_sessions",
    "SELECT * FROM sign_in_links", "SELECT * FROM sign_in_tickets", "SELECT * FROM sign_in_failures",
    "SELECT * FROM scenarios", "INSERT INTO jobs (kind, created_by) VALUES ('x', 7)",
    "SELECT * FROM import_pieces", "SELECT file_hash FROM imports",
    "UPDATE company SET name = 'Mine'", "UPDATE users SET role = 'admin'", "DELETE FROM deals",
    "UPDATE deals SET owner_id = 6", "INSERT INTO deal_credits VALUES (50, 6, 1)", "UPDATE quotas SET amount = 1",
    "INSERT INTO ledger (user_id, period, kind, amount, currency) VALUES (6, '2026-05', 'drawn', 9, 'USD')",
    "UPDATE payout_items SET amount = 9", "DELETE FROM audit", "TRUNCATE deals CASCADE",
    "ALTER TABLE deals DISABLE ROW LEVEL SECURITY", "DROP POLICY people ON deals",
    "SET LOCAL session_replication_role = replica",
    # Rows of one's own may be written where the role may; under another's name they may not.
    "INSERT INTO audit (user_id, action, object) VALUES (7, 'x', 'x')",
    "INSERT INTO activities (kind, user_id, subject, happened_at) VALUES ('note', 7, 'x', now())",
    "UPDATE activities SET user_id = 7 WHERE user_id = 6",
    "INSERT INTO disputes (user_id, period, about, opened_by) VALUES (7, '2026-05', 'y', 6)",
    "INSERT INTO dispute_messages (dispute_id, user_id, text, status) SELECT id, 7, 'x', 'open' FROM disputes",
    "INSERT INTO dispute_messages (dispute_id, user_id, text, status) VALUES (7, 6, 'x', 'open')",
    "INSERT INTO api_tokens (user_id, name, token_hash, scopes, expires_at) VALUES (7, 'x', '', '{read}', 'infinity')",
)  # fmt: skip


@pytest.mark.parametrize("statement", CLOSED)
def test_a_rep_cannot(walls: Database, statement: str) -> None:
    with walls.trial(actor(6)) as conn, pytest.raises(sa.exc.ProgrammingError, match="denied|policy|must be owner"):
        conn.execute(sa.text(statement))


@pytest.mark.parametrize("table", ["activities", "disputes", "api_tokens", "api_requests"])
def test_what_is_out_of_sight_is_not_changed_either(walls: Database, table: str) -> None:
    column = {"activities": "subject", "disputes": "settlement", "api_tokens": "name", "api_requests": "answer"}[table]
    with walls.trial(actor(6)) as conn:
        assert conn.execute(sa.text(f"UPDATE {table} SET {column} = 'mine'")).rowcount == 1
        left = conn.execute(sa.text(f"SELECT user_id FROM {table}")).scalars().all()
        assert left == [6]


def test_a_service_that_forgets_to_check_shows_no_more(walls: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of the services taken away, a list still has the viewer's own deals alone."""
    monkeypatch.setattr(access, "visible_people", lambda *_: None)
    ana, ada = actor(6), actor(1)
    found = deals.list_deals(walls, ana, deals.DealFilters(), deals.Page(), date(2026, 5, 31))
    assert set(found.frame["id"]) == {60, 50}
    assert len(deals.list_deals(walls, ada, deals.DealFilters(), deals.Page(), date(2026, 5, 31)).frame) == len(PEOPLE)


def test_a_part_of_a_joined_transaction_is_for_whom_it_says(walls: Database) -> None:
    count = sa.text("SELECT count(*) FROM lines")
    with walls.joined(actor(6)) as joined:
        with joined.read(actor(6)) as conn:
            assert conn.scalar(count) == 1
        with joined.read() as conn:
            assert conn.scalar(count) == len(PEOPLE)
        with joined.write(actor(6)) as conn:
            assert conn.scalar(count) == 1
            with pytest.raises(ValueError, match="on purpose"), joined.read(actor(1)):
                raise ValueError("on purpose")
            assert conn.scalar(count) == 1


def test_the_next_user_of_a_connection_gets_nothing_of_the_last(walls: Database) -> None:
    for _ in range(3):
        with walls.read(actor(1)) as conn:
            conn.execute(sa.text("SELECT 1"))
        with walls.engine.connect() as conn:
            assert conn.scalar(sa.text("SELECT current_user")) == roles.NOBODY
            assert not conn.scalar(sa.text("SELECT current_setting('quotapath.viewer', true)"))
        with walls.lasting() as conn:
            assert conn.scalar(sa.text("SELECT count(*) FROM lines")) == len(PEOPLE)


def test_an_ordinary_user_of_the_server_will_do(cluster_url: str) -> None:
    """It owns its database and nothing else; what it lacks is said, with the statements that give it."""
    cluster = sa.make_url(cluster_url).set(database="postgres")
    url = cluster.set(database="ordinary", username="ordinary").render_as_string(hide_password=False)
    made = ("CREATE ROLE ordinary LOGIN", "CREATE DATABASE ordinary OWNER ordinary")
    gone = ("DROP DATABASE IF EXISTS ordinary WITH (FORCE)", "DROP ROLE IF EXISTS ordinary")
    with owner(cluster, autocommit=True) as conn:
        try:
            for statement in made:
                conn.execute(sa.text(statement))
            with pytest.raises(QuotaPathError, match="may not make the roles.*GRANT (.*) TO ordinary") as refused:
                migrate.upgrade(url)
            said = re.search("GRANT quotapath_nobody, .* TO ordinary", str(refused.value))
            assert said is not None
            conn.execute(sa.text(said[0]))
            migrate.upgrade(url)
            db = Database(url)
            with db.write() as inside:
                inside.execute(sa.text("INSERT INTO company (name, currency) VALUES ('Ordinary', 'USD')"))
                bulk.copy_rows(inside, "exchange_rates", ("currency", "to_currency", "day", "rate"),
                               [("EUR", "USD", "2026-01-01", "1.1")])  # fmt: skip
            with db.read(actor(6)) as inside:
                assert inside.scalar(sa.text("SELECT name FROM company")) == "Ordinary"
                assert inside.scalar(sa.text("SELECT count(*) FROM exchange_rates")) == 1
            db.close()
        finally:
            for statement in gone:
                conn.execute(sa.text(statement))


def test_one_wall_serves_every_action_about_people() -> None:
    """`sees_everyone` is asked of one action; for the others about people's data the answer must be the same."""
    about = [name for name in access.PERMISSIONS if name.split(".")[0] in
             ("dashboard", "pipeline", "analytics", "deals", "people", "quotas", "earnings", "disputes", "forecast")
             and name.endswith(".view")]  # fmt: skip
    for role in access.ROLES:
        reaches = {access.PERMISSIONS[name][role] for name in about}
        everyone = Actor(1, role, "x").sees_everyone
        assert reaches == {access.Reach.ALL} if everyone else access.Reach.ALL not in reaches, role

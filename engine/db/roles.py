"""The three roles of PostgreSQL in which the program works; none of them owns a table, so none passes by a policy.

A connection begins as `NOBODY`, which may read nothing at all.  Each transaction takes one of the other two: `ALL` for
who sees everyone (and for the program itself), `WITHIN` for who sees some people: there the policies of migration 0015
leave only the rows of these people, whatever a statement asks for.
"""

import sqlalchemy as sa

from engine.errors import QuotaPathError

NOBODY, ALL, WITHIN = "quotapath_nobody", "quotapath_all", "quotapath_within"

# table -> what `WITHIN` may do with it; the policies leave some of its rows.  A table that is not here is closed to it.
# Who somebody is may be read by all who sign in; how somebody signs in may not.
WITHIN_MAY = {
    "activities": "SELECT, INSERT, UPDATE, DELETE",
    "api_requests": "SELECT, INSERT, UPDATE, DELETE",
    "api_tokens": "SELECT, INSERT, UPDATE",
    "audit": "INSERT",
    "company": "SELECT, UPDATE (data_version)",
    "deal_changes": "SELECT",
    "deal_credits": "SELECT",
    "deal_edits": "SELECT (id, kind)",
    "deal_fields": "SELECT",
    "deal_payments": "SELECT",
    "deal_stage_entries": "SELECT",
    "deal_touches": "SELECT",
    "deals": "SELECT",
    "dispute_messages": "SELECT, INSERT",
    "disputes": "SELECT, INSERT, UPDATE",
    "eligibility": "SELECT",
    "exchange_rates": "SELECT",
    "held_amounts": "SELECT",
    "imports": "SELECT (id, source, filename, created_by, created_at)",
    "jobs": "SELECT, INSERT",
    "ledger": "SELECT",
    "lines": "SELECT",
    "manual_adjustments": "SELECT",
    "pay_periods": "SELECT",
    "payout_items": "SELECT",
    "payout_payments": "SELECT",
    "payout_release_items": "SELECT",
    "payout_releases": "SELECT",
    "payout_reversals": "SELECT",
    "payouts": "SELECT",
    "pipeline_stages": "SELECT",
    "plan_assignments": "SELECT",
    "plan_versions": "SELECT",
    "plans": "SELECT",
    "quotas": "SELECT",
    "run_attainment": "SELECT",
    "run_digests": "SELECT",
    "run_people": "SELECT",
    "run_plan_versions": "SELECT",
    "run_sums": "SELECT",
    "runs": "SELECT",
    "sign_in_links": "SELECT (user_id, expires_at)",
    "statement_files": "SELECT",
    "statements": "SELECT",
    "team_members": "SELECT",
    "team_structure": "SELECT",
    "teams": "SELECT",
    "users": "SELECT (id, code, name, email, role, is_active, has_password, hired_on, left_on, created_at)",
}

# Made where the server does not have them yet, and given to the user of the connection unless it can take them.
# Roles are the server's: its other databases share them, and one of them may be making them at this moment.
_CREATE = f"""
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['{NOBODY}', '{ALL}', '{WITHIN}'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
            END;
        END IF;
        BEGIN
            EXECUTE format('SET LOCAL ROLE %I', name);
            SET LOCAL ROLE NONE;
        EXCEPTION WHEN insufficient_privilege THEN EXECUTE format('GRANT %I TO CURRENT_USER', name);
        END;
    END LOOP;
END $$
"""


def create(conn: sa.Connection) -> None:
    """Make the roles, as far as the server lacks them, and let the user of this connection take them.

    Raises QuotaPathError, with what to do, when the user may not.
    """
    try:
        conn.execute(sa.text(_CREATE))
    except sa.exc.ProgrammingError as fault:
        raise QuotaPathError(
            f"The database user {conn.engine.url.username!r} may not make the roles in which QuotaPath works "
            f"({str(fault.orig).splitlines()[0]}). Give it CREATEROLE, or run once as a superuser: "
            f"CREATE ROLE {NOBODY}; CREATE ROLE {ALL}; CREATE ROLE {WITHIN}; "
            f"GRANT {NOBODY}, {ALL}, {WITHIN} TO {conn.engine.url.username};"
        ) from fault


def grant(conn: sa.Connection) -> None:
    """Give the roles what they may do with the tables as they are now; as often as one likes.

    Kept apart from the migrations, as a backup holds the policies but not what was granted.
    """
    many = "IN SCHEMA public"
    conn.execute(sa.text(f"GRANT USAGE ON SCHEMA public TO {ALL}, {WITHIN}"))
    conn.execute(sa.text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES {many} TO {ALL}"))
    conn.execute(sa.text(f"GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES {many} TO {ALL}"))
    if conn.dialect.server_version_info >= (17,):  # type: ignore[operator]
        conn.execute(sa.text(f"GRANT MAINTAIN ON ALL TABLES {many} TO {ALL}"))
    for table, may in WITHIN_MAY.items():
        conn.execute(sa.text(f"GRANT {may} ON {table} TO {WITHIN}"))

"""Row-level security: whose rows a transaction reaches is decided by PostgreSQL, whatever the statement forgot.

Three roles, made before the migrations (`engine.db.roles`): one that sees nothing, one that sees everyone, and
`quotapath_within`, for which the policies below leave the rows of the people whom the viewer may see.  The viewer is
the setting `quotapath.viewer` of the transaction.
"""

from alembic import op

revision = "0015"
down_revision = "0014"

UP = r"""
-- Whether somebody can sign in may be asked; with what, may not.
ALTER TABLE users ADD COLUMN has_password boolean GENERATED ALWAYS AS (password_hash IS NOT NULL) STORED;

-- These functions run as the owner of the tables, whom no policy binds.
CREATE FUNCTION viewer() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT id FROM users
     WHERE id = CAST(nullif(current_setting('quotapath.viewer', true), '') AS bigint) AND is_active
$$;
COMMENT ON FUNCTION viewer IS 'the user for whom the transaction reads and writes; null for one who is disabled';

-- A wall does not know for which day a page asks: it lets through whoever was below the viewer on any day.  For which
-- day somebody may be seen the services say.
CREATE FUNCTION viewer_people() RETURNS SETOF bigint LANGUAGE sql STABLE PARALLEL SAFE
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH RECURSIVE led (team_id, span) AS (
        SELECT s.team_id, daterange(s.start_date, s.end_date)
          FROM users u JOIN team_structure s ON s.manager_id = u.id
         WHERE u.id = viewer() AND u.role = 'manager'
         UNION
        SELECT s.team_id, led.span * daterange(s.start_date, s.end_date)
          FROM led JOIN team_structure s ON s.parent_id = led.team_id AND led.span && daterange(s.start_date, s.end_date)
    )
    SELECT viewer() WHERE viewer() IS NOT NULL
     UNION
    SELECT m.user_id FROM led JOIN team_members m ON m.team_id = led.team_id
       AND led.span && daterange(m.start_date, m.end_date)
     UNION
    SELECT s.manager_id FROM led JOIN team_structure s ON s.team_id = led.team_id
       AND led.span && daterange(s.start_date, s.end_date) AND s.manager_id IS NOT NULL
$$;
COMMENT ON FUNCTION viewer_people IS 'the viewer, and who was ever below the viewer in the team tree while on one day';

CREATE FUNCTION viewer_credited() RETURNS SETOF bigint LANGUAGE sql STABLE PARALLEL SAFE
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT deal_id FROM deal_credits WHERE user_id = ANY (ARRAY(SELECT viewer_people()))
$$;
COMMENT ON FUNCTION viewer_credited IS 'the deals on which one of the viewer''s people has a share';

CREATE FUNCTION viewer_plans() RETURNS SETOF bigint LANGUAGE sql STABLE PARALLEL SAFE
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT p.id FROM users u CROSS JOIN plans p WHERE u.id = viewer() AND u.role = 'manager'
     UNION
    SELECT plan_id FROM plan_assignments WHERE user_id = viewer()
$$;
COMMENT ON FUNCTION viewer_plans IS 'a manager reads every plan, a rep those that the rep is or was on';

-- Every table: all of it for `quotapath_all`, nothing for anybody else unless a policy below says so.
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY everyone ON %I TO quotapath_all USING (true)', name);
    END LOOP;

    -- What is about one person.
    FOREACH name IN ARRAY ARRAY['held_amounts', 'ledger', 'lines', 'manual_adjustments', 'payout_items',
            'payout_release_items', 'plan_assignments', 'quotas', 'run_attainment', 'run_digests', 'run_people',
            'run_sums', 'sign_in_links', 'statements'] LOOP
        EXECUTE format('CREATE POLICY people ON %I FOR SELECT TO quotapath_within'
            ' USING (user_id = ANY (ARRAY(SELECT viewer_people())))', name);
    END LOOP;

    -- What is the company's, and about nobody's deals or pay.
    FOREACH name IN ARRAY ARRAY['company', 'deal_edits', 'deal_fields', 'deal_touches', 'eligibility',
            'exchange_rates', 'imports', 'pay_periods', 'payout_payments', 'payout_releases', 'payout_reversals',
            'payouts', 'pipeline_stages', 'run_plan_versions', 'runs', 'team_members', 'team_structure', 'teams',
            'users'] LOOP
        EXECUTE format('CREATE POLICY company ON %I FOR SELECT TO quotapath_within USING (true)', name);
    END LOOP;

    -- What belongs to a deal.
    FOREACH name IN ARRAY ARRAY['deal_changes', 'deal_payments', 'deal_stage_entries'] LOOP
        EXECUTE format('CREATE POLICY deals ON %I FOR SELECT TO quotapath_within'
            ' USING (EXISTS (SELECT FROM deals d WHERE d.id = deal_id))', name);
    END LOOP;

    -- What is the viewer's alone.
    FOREACH name IN ARRAY ARRAY['api_requests', 'api_tokens'] LOOP
        EXECUTE format('CREATE POLICY own ON %I TO quotapath_within USING (user_id = (SELECT viewer()))', name);
    END LOOP;
END $$;

CREATE POLICY people ON deals FOR SELECT TO quotapath_within
    USING (owner_id = ANY (ARRAY(SELECT viewer_people())) OR id IN (SELECT viewer_credited()));
CREATE POLICY people ON deal_credits FOR SELECT TO quotapath_within
    USING (user_id = ANY (ARRAY(SELECT viewer_people())) OR EXISTS (SELECT FROM deals d WHERE d.id = deal_id));

CREATE POLICY plans ON plans FOR SELECT TO quotapath_within USING (id IN (SELECT viewer_plans()));
CREATE POLICY plans ON plan_versions FOR SELECT TO quotapath_within USING (plan_id IN (SELECT viewer_plans()));

CREATE POLICY people ON activities FOR SELECT TO quotapath_within
    USING (user_id = ANY (ARRAY(SELECT viewer_people())) OR EXISTS (SELECT FROM deals d WHERE d.id = deal_id));
CREATE POLICY own ON activities TO quotapath_within USING (user_id = (SELECT viewer()));

CREATE POLICY own ON jobs TO quotapath_within USING (created_by = (SELECT viewer()));

CREATE POLICY people ON disputes TO quotapath_within USING (user_id = ANY (ARRAY(SELECT viewer_people())));
CREATE POLICY disputes ON dispute_messages FOR SELECT TO quotapath_within
    USING (EXISTS (SELECT FROM disputes d WHERE d.id = dispute_id));
CREATE POLICY disputes_said ON dispute_messages FOR INSERT TO quotapath_within
    WITH CHECK (user_id = (SELECT viewer()) AND EXISTS (SELECT FROM disputes d WHERE d.id = dispute_id));

CREATE POLICY statements ON statement_files FOR SELECT TO quotapath_within
    USING (EXISTS (SELECT FROM statements s WHERE s.id = statement_id));

CREATE POLICY told ON audit FOR INSERT TO quotapath_within WITH CHECK (user_id = (SELECT viewer()));
CREATE POLICY told ON company FOR UPDATE TO quotapath_within USING (true);
"""


def upgrade() -> None:
    op.execute(UP)

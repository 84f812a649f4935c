"""What screens need so that they cost the same on a thousand deals and on a million."""

from alembic import op

revision = "0014"
down_revision = "0013"

UP = """
-- ---------------------------------------------------------------- which deals changed, for what screens remember
-- One row for each part of the deals that a transaction touched.  Rows are only added, so nobody waits for anybody.
CREATE TABLE deal_touches (
    xact               xid8 NOT NULL DEFAULT pg_current_xact_id(),
    part               text NOT NULL,
    at                 timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (xact, part)
);
COMMENT ON TABLE deal_touches IS 'what a screen worked out of a part of the deals holds until the part is touched by a transaction that it did not see; kept for a day';
COMMENT ON COLUMN deal_touches.part IS 'the deals of an owner, by id; those that close in a month, by its first day; all: *';

CREATE INDEX deal_touches_at ON deal_touches (at);

CREATE FUNCTION touch(parts text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO deal_touches (part) SELECT unnest(parts) ON CONFLICT DO NOTHING;
    DELETE FROM deal_touches WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM deal_touches WHERE at < now() - interval '1 day' LIMIT 500 FOR UPDATE SKIP LOCKED));
END $$;
CREATE FUNCTION touch_deals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM touch(ARRAY(SELECT DISTINCT owner_id::text FROM touched
                         UNION ALL SELECT DISTINCT to_char(close_date, 'YYYY-MM-01') FROM touched));
    RETURN NULL;
END $$;
CREATE FUNCTION touch_deals_before() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM touch(ARRAY(SELECT owner_id::text FROM touched UNION SELECT owner_id::text FROM before
                         UNION SELECT to_char(close_date, 'YYYY-MM-01') FROM touched
                         UNION SELECT to_char(close_date, 'YYYY-MM-01') FROM before));
    RETURN NULL;
END $$;
-- A function's plan is made once, for whatever comes first, one deal or a million; by the indexes it suits both.
CREATE FUNCTION touch_deals_of() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    PERFORM touch(ARRAY(WITH d AS (SELECT DISTINCT owner_id, date_trunc('month', close_date) AS month FROM deals
                                    WHERE id = ANY(ARRAY(SELECT deal_id FROM touched)))
                        SELECT owner_id::text FROM d UNION SELECT to_char(month, 'YYYY-MM-01') FROM d));
    RETURN NULL;
END $$;
CREATE FUNCTION touch_all_deals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM touch(ARRAY['*']);
    RETURN NULL;
END $$;

CREATE TRIGGER deals_touched_by_insert AFTER INSERT ON deals REFERENCING NEW TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION touch_deals();
CREATE TRIGGER deals_touched_by_update AFTER UPDATE ON deals REFERENCING NEW TABLE AS touched OLD TABLE AS before
    FOR EACH STATEMENT EXECUTE FUNCTION touch_deals_before();
CREATE TRIGGER deals_touched_by_delete AFTER DELETE ON deals REFERENCING OLD TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION touch_deals();
-- What hangs on a deal is deleted with it, by a statement for each deal: then the deal's own deletion has told.
CREATE TRIGGER deal_credits_touch_by_insert AFTER INSERT ON deal_credits REFERENCING NEW TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION touch_deals_of();
CREATE TRIGGER deal_credits_touch_by_update AFTER UPDATE ON deal_credits REFERENCING NEW TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION touch_deals_of();
CREATE TRIGGER deal_credits_touch_by_delete AFTER DELETE ON deal_credits REFERENCING OLD TABLE AS touched
    FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION touch_deals_of();
CREATE TRIGGER deal_changes_touch AFTER INSERT ON deal_changes REFERENCING NEW TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION touch_deals_of();
CREATE TRIGGER pipeline_stages_touch AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON pipeline_stages
    FOR EACH STATEMENT EXECUTE FUNCTION touch_all_deals();
CREATE TRIGGER exchange_rates_touch AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON exchange_rates
    FOR EACH STATEMENT EXECUTE FUNCTION touch_all_deals();

-- ---------------------------------------------------------------- where a deal went from a stage
ALTER TABLE deal_stage_entries
    ADD COLUMN owner_id bigint,
    ADD COLUMN next_id  bigint,
    ADD COLUMN left_at  timestamptz,
    ADD COLUMN returned boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN deal_stage_entries.owner_id IS 'whose deal it is today, kept by triggers: entries are found by owner and time';
COMMENT ON COLUMN deal_stage_entries.next_id IS 'the stage that it entered next, and left_at when; null while it is there';
COMMENT ON COLUMN deal_stage_entries.returned IS 'it had been in this stage before';

CREATE FUNCTION link_stage_entries() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    again bigint[];
BEGIN
    -- The first entry of a new deal, which most are, is right as it is.
    again := ARRAY(SELECT deal_id FROM deal_stage_entries WHERE deal_id = ANY(ARRAY(SELECT deal_id FROM touched))
                    GROUP BY deal_id HAVING TG_OP <> 'INSERT' OR count(*) > 1);
    IF cardinality(again) > 0 THEN
        UPDATE deal_stage_entries e SET next_id = x.next_id, left_at = x.left_at, returned = x.returned
          FROM (SELECT deal_id, stage_id, entered_at, lead(stage_id) OVER way AS next_id,
                       lead(entered_at) OVER way AS left_at,
                       row_number() OVER (PARTITION BY deal_id, stage_id ORDER BY entered_at) > 1 AS returned
                  FROM deal_stage_entries WHERE deal_id = ANY(again)
                WINDOW way AS (PARTITION BY deal_id ORDER BY entered_at, stage_id)) x
         WHERE e.deal_id = x.deal_id AND e.stage_id = x.stage_id AND e.entered_at = x.entered_at
           AND (e.next_id, e.left_at, e.returned) IS DISTINCT FROM (x.next_id, x.left_at, x.returned);
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION own_stage_entry() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    NEW.owner_id := (SELECT owner_id FROM deals WHERE id = NEW.deal_id);
    RETURN NEW;
END $$;
CREATE FUNCTION own_stage_entries() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    UPDATE deal_stage_entries SET owner_id = NEW.owner_id WHERE deal_id = NEW.id;
    RETURN NULL;
END $$;

DROP INDEX deal_stage_entries_stage;
UPDATE deal_stage_entries e SET owner_id = x.owner_id, next_id = x.next_id, left_at = x.left_at, returned = x.returned
  FROM (SELECT d.owner_id, deal_id, e.stage_id, entered_at, lead(e.stage_id) OVER way AS next_id,
               lead(entered_at) OVER way AS left_at,
               row_number() OVER (PARTITION BY deal_id, e.stage_id ORDER BY entered_at) > 1 AS returned
          FROM deal_stage_entries e JOIN deals d ON d.id = e.deal_id
        WINDOW way AS (PARTITION BY deal_id ORDER BY entered_at, e.stage_id)) x
 WHERE e.deal_id = x.deal_id AND e.stage_id = x.stage_id AND e.entered_at = x.entered_at;
ALTER TABLE deal_stage_entries ALTER COLUMN owner_id SET NOT NULL;
CREATE TRIGGER deal_stage_entries_owned BEFORE INSERT ON deal_stage_entries
    FOR EACH ROW EXECUTE FUNCTION own_stage_entry();
CREATE TRIGGER deals_own_stage_entries AFTER UPDATE ON deals
    FOR EACH ROW WHEN (OLD.owner_id <> NEW.owner_id) EXECUTE FUNCTION own_stage_entries();
CREATE TRIGGER deal_stage_entries_linked_by_insert AFTER INSERT ON deal_stage_entries REFERENCING NEW TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION link_stage_entries();
CREATE TRIGGER deal_stage_entries_linked_by_update AFTER UPDATE ON deal_stage_entries REFERENCING NEW TABLE AS touched
    FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION link_stage_entries();
CREATE TRIGGER deal_stage_entries_linked_by_delete AFTER DELETE ON deal_stage_entries REFERENCING OLD TABLE AS touched
    FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION link_stage_entries();
CREATE TRIGGER deal_stage_entries_touch_by_insert AFTER INSERT ON deal_stage_entries REFERENCING NEW TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION touch_deals_of();
CREATE TRIGGER deal_stage_entries_touch_by_update AFTER UPDATE ON deal_stage_entries REFERENCING NEW TABLE AS touched
    FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION touch_deals_of();
CREATE TRIGGER deal_stage_entries_touch_by_delete AFTER DELETE ON deal_stage_entries REFERENCING OLD TABLE AS touched
    FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION touch_deals_of();
CREATE INDEX deal_stage_entries_stage ON deal_stage_entries (stage_id, entered_at);
CREATE INDEX deal_stage_entries_owner ON deal_stage_entries (owner_id, entered_at)
    INCLUDE (deal_id, stage_id, next_id, left_at, returned);
CREATE INDEX deal_stage_entries_now ON deal_stage_entries (deal_id) INCLUDE (entered_at) WHERE left_at IS NULL;

-- ---------------------------------------------------------------- sums are read from the indexes alone
DROP INDEX deals_close, deals_owner;
CREATE INDEX deals_owner ON deals (owner_id, close_date)
    INCLUDE (id, stage_id, amount, currency, cancelled_on, created_date, created_at);
CREATE INDEX deals_close ON deals (close_date, id) INCLUDE (stage_id, owner_id, amount, currency);
CREATE INDEX lines_without_deal ON lines (run_id) WHERE deal_id IS NULL;

-- ---------------------------------------------------------------- moves of close dates, in the history
ALTER TABLE deal_changes
    ADD COLUMN moved_from text GENERATED ALWAYS AS (changes -> 'close_date' ->> 0) STORED,
    ADD COLUMN moved_to   text GENERATED ALWAYS AS (changes -> 'close_date' ->> 1) STORED;
COMMENT ON COLUMN deal_changes.moved_from IS 'the close date that this change moved, and moved_to where; null: it moved none';
CREATE INDEX deal_changes_moves ON deal_changes (at) INCLUDE (deal_id, moved_from, moved_to) WHERE moved_from IS NOT NULL;
CREATE INDEX deal_changes_moved_from ON deal_changes (moved_from) INCLUDE (deal_id, moved_to) WHERE moved_from IS NOT NULL;

-- ---------------------------------------------------------------- what the lines of a run come to
CREATE TABLE run_sums (
    run_id             bigint NOT NULL REFERENCES runs,
    user_id            bigint NOT NULL REFERENCES users,
    plan_version_id    bigint NOT NULL REFERENCES plan_versions,
    component          text NOT NULL,
    kind               text NOT NULL,
    currency           char(3) NOT NULL,
    lines              bigint NOT NULL,
    amount             bigint NOT NULL,
    PRIMARY KEY (run_id, user_id, plan_version_id, component, kind, currency)
);
COMMENT ON TABLE run_sums IS 'lines, added up: kept by triggers, so that no screen adds them up again';
INSERT INTO run_sums SELECT run_id, user_id, plan_version_id, component, kind, currency, count(*), sum(amount)
  FROM lines GROUP BY 1, 2, 3, 4, 5, 6;
CREATE FUNCTION add_lines_up() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO run_sums AS s
    SELECT run_id, user_id, plan_version_id, component, kind, currency, count(*), sum(amount)
      FROM added GROUP BY 1, 2, 3, 4, 5, 6
        ON CONFLICT (run_id, user_id, plan_version_id, component, kind, currency)
        DO UPDATE SET lines = s.lines + excluded.lines, amount = s.amount + excluded.amount;
    RETURN NULL;
END $$;
CREATE FUNCTION take_lines_off() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE run_sums s SET lines = s.lines - g.lines, amount = s.amount - g.amount
      FROM (SELECT run_id, user_id, plan_version_id, component, kind, currency, count(*) AS lines, sum(amount) AS amount
              FROM gone GROUP BY 1, 2, 3, 4, 5, 6) g
     WHERE (s.run_id, s.user_id, s.plan_version_id, s.component, s.kind, s.currency)
         = (g.run_id, g.user_id, g.plan_version_id, g.component, g.kind, g.currency);
    DELETE FROM run_sums WHERE lines = 0 AND run_id IN (SELECT run_id FROM gone);
    RETURN NULL;
END $$;
CREATE TRIGGER lines_added_up AFTER INSERT ON lines REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION add_lines_up();
CREATE TRIGGER lines_taken_off AFTER DELETE ON lines REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION take_lines_off();
"""


def upgrade() -> None:
    op.execute(UP)

"""Runs for some people, what each person's lines hash to, several runs of one job, lines that may be cleaned up."""

from alembic import op

revision = "0008"
down_revision = "0007"

UP = """
ALTER TABLE runs
    ADD COLUMN scope       text NOT NULL DEFAULT '',
    ADD COLUMN people      bigint[],
    ADD COLUMN based_on    bigint REFERENCES runs,
    ADD COLUMN freed_lines integer NOT NULL DEFAULT 0 CHECK (freed_lines >= 0),
    ADD CHECK ((people IS NULL) = (scope = '')),
    ADD CHECK (people IS NOT NULL OR based_on IS NULL),
    DROP CONSTRAINT runs_job_id_key,
    ADD CONSTRAINT runs_of_job UNIQUE (job_id, period);
CREATE INDEX runs_period ON runs (period);
COMMENT ON COLUMN runs.scope IS 'for whom it was calculated, in words; empty: for everyone';
COMMENT ON COLUMN runs.people IS 'for whom it was calculated (users); null: for everyone';
COMMENT ON COLUMN runs.based_on IS 'the run whose lines and figures it carries on for everybody else';
COMMENT ON COLUMN runs.freed_lines IS 'how many of its lines were removed to free space; its figures and hashes stay';
COMMENT ON COLUMN runs.lines_hash IS 'SHA-256 over run_digests, by employee code; before 0008 over the lines themselves';

-- What a person's part of a run comes to as one value: equal digests, equal lines and figures, byte for byte.
-- Runs from before this migration have none.
CREATE TABLE run_digests (
    run_id             bigint NOT NULL REFERENCES runs,
    user_id            bigint NOT NULL REFERENCES users,
    digest             bytea NOT NULL CHECK (length(digest) = 32),
    PRIMARY KEY (run_id, user_id)
);

-- Lines are kept for good, but for those of runs that an open period shows no longer: these may go, all of a run
-- together.  What the ledger, a dispute or a manual adjustment names is held by its foreign key.
DROP TRIGGER lines_append_only ON lines;
CREATE TRIGGER lines_append_only BEFORE UPDATE OR TRUNCATE ON lines
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE FUNCTION refuse_delete_of_shown_lines() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM (SELECT DISTINCT run_id FROM gone) g JOIN runs r ON r.id = g.run_id
                 JOIN pay_periods p ON p.period = r.period
                WHERE p.status <> 'open' OR p.run_id = r.id OR r.freed_lines = 0) THEN
        RAISE EXCEPTION 'lines is append-only: DELETE refused' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER lines_of_superseded_runs AFTER DELETE ON lines REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_delete_of_shown_lines();
CREATE INDEX disputes_line ON disputes (line_id);
"""


def upgrade() -> None:
    op.execute(UP)

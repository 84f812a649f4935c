"""Import batches that can be undone; large files kept until they are imported."""

from alembic import op

revision = "0002"
down_revision = "0001"

UP = """
-- A file that is too large to be checked while a page waits: kept in pieces, so that any app process can read it and a
-- restart loses nothing.  Gone with its import, or a day after nobody came back to it.
CREATE TABLE import_files (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    filename           text NOT NULL,
    size               bigint NOT NULL CHECK (size > 0),
    said               jsonb NOT NULL DEFAULT '{}',
    preview            jsonb,
    job_id             uuid REFERENCES jobs,
    created_by         bigint NOT NULL REFERENCES users,
    touched_at         timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN import_files.said IS 'what the person said about the file: source, mapping, owners, stages, answers';
COMMENT ON COLUMN import_files.job_id IS 'the latest job that checks or imports it';
CREATE TABLE import_pieces (
    file_id            uuid NOT NULL REFERENCES import_files ON DELETE CASCADE,
    number             integer NOT NULL CHECK (number >= 0),
    content            bytea NOT NULL,
    PRIMARY KEY (file_id, number)
);
ALTER TABLE import_pieces ALTER content SET STORAGE EXTERNAL;  -- compressing it would cost more than it saves
CREATE TABLE import_file_refusals (
    file_id            uuid NOT NULL REFERENCES import_files ON DELETE CASCADE,
    line               integer NOT NULL CHECK (line > 0),
    reason             text NOT NULL,
    raw                jsonb NOT NULL
);
CREATE INDEX import_file_refusals_file ON import_file_refusals (file_id, line);

ALTER TABLE imports
    ADD job_id         uuid UNIQUE REFERENCES jobs,
    ADD months         text[] NOT NULL DEFAULT '{}',
    ADD closed_periods text[] NOT NULL DEFAULT '{}',
    ADD undone_at      timestamptz,
    ADD undone_by      bigint REFERENCES users,
    ADD CHECK ((undone_at IS NULL) = (undone_by IS NULL));
COMMENT ON COLUMN imports.job_id IS 'the job that made it: started again after a crash, it finds its work done';
COMMENT ON COLUMN imports.months IS 'the months (2026-10) in which it added or changed a deal, the latest first';

-- Lines are kept for good, those of runs that were never approved, too.  So that an import can be undone while nothing
-- of it is paid, a deal may go when no line stands on it that the ledger holds or that a period shows; what an earlier
-- run said of it stays.  A line is only written on a deal that is there.
ALTER TABLE lines DROP CONSTRAINT lines_deal_id_fkey;
COMMENT ON COLUMN lines.deal_id IS 'a deal; in a run that no period shows any more it may be gone';

CREATE FUNCTION refuse_lines_without_deal() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    missing bigint;
BEGIN
    SELECT a.deal_id INTO missing FROM added a LEFT JOIN deals d ON d.id = a.deal_id
     WHERE a.deal_id IS NOT NULL AND d.id IS NULL LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'deal % was deleted while its earnings were calculated', missing
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER lines_have_deals AFTER INSERT ON lines REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_lines_without_deal();

CREATE FUNCTION wait_for_runs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    LOCK TABLE pay_periods IN EXCLUSIVE MODE;  -- runs and approvals lock a period first
    RETURN NULL;
END $$;
CREATE TRIGGER deals_wait_for_runs BEFORE DELETE ON deals FOR EACH STATEMENT EXECUTE FUNCTION wait_for_runs();

CREATE FUNCTION refuse_delete_under_lines() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM lines l WHERE l.deal_id = OLD.id
                  AND (EXISTS (SELECT FROM pay_periods p WHERE p.run_id = l.run_id)
                       OR EXISTS (SELECT FROM ledger g WHERE g.line_id = l.id))) THEN
        RAISE EXCEPTION 'earnings stand on deal %', OLD.id USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER deals_under_lines BEFORE DELETE ON deals FOR EACH ROW EXECUTE FUNCTION refuse_delete_under_lines();
"""


def upgrade() -> None:
    op.execute(UP)

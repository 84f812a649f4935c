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
"""


def upgrade() -> None:
    op.execute(UP)

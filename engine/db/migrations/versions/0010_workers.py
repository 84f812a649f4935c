"""Jobs that several machines share: where they run, cancelling, retrying; the workers of all machines."""

from alembic import op

revision = "0010"
down_revision = "0009"

UP = """
ALTER TABLE jobs
    DROP CONSTRAINT jobs_status_check,
    ADD CHECK (status IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    ADD sent_at         timestamptz NOT NULL DEFAULT now(),
    ADD cancel_asked_at timestamptz,
    ADD retry_of        uuid UNIQUE REFERENCES jobs,
    ADD worker          text;
COMMENT ON COLUMN jobs.sent_at IS 'when it was last put into the queue of the workers';
COMMENT ON COLUMN jobs.retry_of IS 'the failed or cancelled job that this one does again; a job is retried once';
COMMENT ON COLUMN jobs.worker IS 'the name of the worker that has it, or had it last; none: the app itself';
CREATE INDEX jobs_newest ON jobs (created_at DESC);

-- A worker says every few seconds that it lives; one that has not for a while is lost.
CREATE TABLE workers (
    name               text PRIMARY KEY,
    host               text NOT NULL,
    pid                integer NOT NULL,
    interpreter        text NOT NULL,
    version            text NOT NULL,
    processes          integer NOT NULL CHECK (processes > 0),
    rules              text NOT NULL,
    shards             bigint NOT NULL DEFAULT 0,
    deals              bigint NOT NULL DEFAULT 0,
    busy               integer NOT NULL DEFAULT 0,
    started_at         timestamptz NOT NULL DEFAULT now(),
    seen_at            timestamptz NOT NULL DEFAULT now(),
    stopped_at         timestamptz
);
COMMENT ON COLUMN workers.rules IS 'a hash of the code of the pay rules: only workers with the same share a calculation';
COMMENT ON COLUMN workers.busy IS 'shards in hand when it was last seen';
"""


def upgrade() -> None:
    op.execute(UP)

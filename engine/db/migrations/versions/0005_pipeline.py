"""Pipeline stages with a colour and an end; activities with details, tasks that are due and done."""

from alembic import op

revision = "0005"
down_revision = "0004"

UP = """
-- ---------------------------------------------------------------- pipeline stages
ALTER TABLE pipeline_stages
    ADD COLUMN color text NOT NULL DEFAULT 'blue'
        CHECK (color IN ('blue', 'green', 'orange', 'red', 'violet', 'yellow', 'gray')),
    ADD COLUMN retired_at timestamptz;
UPDATE pipeline_stages SET color = CASE outcome WHEN 'won' THEN 'green' WHEN 'lost' THEN 'gray' ELSE 'blue' END;
COMMENT ON COLUMN pipeline_stages.retired_at IS 'not offered any more; kept, because the passage of deals names it';
CREATE INDEX deal_stage_entries_stage ON deal_stage_entries (stage_id, entered_at);

-- ---------------------------------------------------------------- activities
ALTER TABLE activities
    ADD COLUMN details text NOT NULL DEFAULT '' CHECK (length(details) <= 10000),
    ADD COLUMN due_on date,
    ADD COLUMN done_at timestamptz,
    ADD COLUMN version integer NOT NULL DEFAULT 1;
-- Until now a task was only noted; it was not kept whether it was done.
UPDATE activities SET done_at = happened_at WHERE kind = 'task';
ALTER TABLE activities
    ADD CONSTRAINT activities_task CHECK (kind = 'task' OR (due_on IS NULL AND done_at IS NULL)),
    ADD CONSTRAINT activities_account CHECK (length(account) <= 1000);
CREATE INDEX activities_time ON activities (happened_at, id);
CREATE INDEX activities_account_name ON activities (lower(account) text_pattern_ops);
CREATE INDEX activities_open_tasks ON activities (due_on, id) WHERE kind = 'task' AND done_at IS NULL;
CREATE INDEX activities_done_tasks ON activities (done_at) WHERE kind = 'task';
CREATE INDEX activities_text ON activities USING gin ((subject || ' ' || account || ' ' || details) gin_trgm_ops);
"""


def upgrade() -> None:
    op.execute(UP)

"""Bulk edits of deals, and typed extra fields."""

from alembic import op

revision = "0003"
down_revision = "0002"

UP = """
-- ---------------------------------------------------------------- the list of deals, in each of its orders
CREATE INDEX deals_amount ON deals (amount NULLS FIRST, id);
CREATE INDEX deals_name ON deals (name, id);
CREATE INDEX deals_account ON deals (account, id);

-- ---------------------------------------------------------------- edits of many deals at once
CREATE TABLE deal_edits (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind               text NOT NULL CHECK (kind IN ('bulk', 'table', 'undo', 'field')),
    detail             jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(detail) = 'object'),
    deals              integer NOT NULL CHECK (deals > 0),
    undoes_id          bigint UNIQUE REFERENCES deal_edits CHECK ((undoes_id IS NOT NULL) = (kind = 'undo')),
    created_by         bigint REFERENCES users,
    created_at         timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN deal_edits.detail IS 'bulk: {column: the value set}; field: {"field": its name}';
COMMENT ON COLUMN deal_edits.undoes_id IS 'an undo is an edit of its own, which can be undone in turn';
ALTER TABLE deal_changes ADD COLUMN edit_id bigint REFERENCES deal_edits;
CREATE INDEX deal_changes_edit ON deal_changes (edit_id) WHERE edit_id IS NOT NULL;

-- ---------------------------------------------------------------- extra fields that the company has defined
CREATE TABLE deal_fields (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name               text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 100 AND name = btrim(name)),
    kind               text NOT NULL CHECK (kind IN ('text', 'number', 'date', 'yes_no', 'choice')),
    choices            text[] NOT NULL DEFAULT '{}' CHECK ((kind = 'choice') = (cardinality(choices) > 0))
);
COMMENT ON TABLE deal_fields IS 'which keys of deals.extra have a type; their values are kept as text, written one way: 12.5, 2026-01-31, true';
"""


def upgrade() -> None:
    op.execute(UP)

"""Statements that are kept: what one person was shown of one closed pay period, and the files made of it.

`content` is the canonical JSON of everything on the statement, names as they were; `code` is its SHA-256, the
verification code.  A payment that concerns the statement makes a new edition; the earlier ones stay.
"""

from alembic import op

revision = "0007"
down_revision = "0006"

UP = """
CREATE TABLE statements (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id            bigint NOT NULL REFERENCES users,
    period             text NOT NULL REFERENCES pay_periods,
    paid_to            bigint NOT NULL CHECK (paid_to >= 0),
    content            text NOT NULL,
    code               bytea NOT NULL CHECK (code = sha256(convert_to(content, 'UTF8'))),
    kept_at            timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, period, paid_to)
);
COMMENT ON COLUMN statements.paid_to IS 'the last ledger entry of a payment that it tells of; 0: as approved';
CREATE INDEX statements_period ON statements (period);
CREATE INDEX statements_code ON statements (code);

-- The files as they were handed out: a later version of the program hands out the same bytes.
CREATE TABLE statement_files (
    statement_id       bigint NOT NULL REFERENCES statements,
    format             text NOT NULL CHECK (format IN ('pdf', 'xlsx', 'csv')),
    content            bytea NOT NULL,
    PRIMARY KEY (statement_id, format)
);
ALTER TABLE statement_files ALTER COLUMN content SET STORAGE EXTERNAL;  -- PDF and XLSX are compressed already

CREATE TRIGGER statements_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON statements
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER statement_files_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON statement_files
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""


def upgrade() -> None:
    op.execute(UP)

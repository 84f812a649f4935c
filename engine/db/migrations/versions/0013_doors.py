"""What the API keeps: tokens of people's programs, and writes that are asked for once; the audit log is searched."""

from alembic import op

revision = "0013"
down_revision = "0012"

UP = """
CREATE TABLE api_tokens (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id            bigint NOT NULL REFERENCES users,
    name               text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    token_hash         bytea NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    scopes             text[] NOT NULL CHECK (cardinality(scopes) > 0),
    created_at         timestamptz NOT NULL DEFAULT now(),
    expires_at         timestamptz NOT NULL CHECK (expires_at > created_at),
    last_used_at       timestamptz,
    revoked_at         timestamptz,
    revoked_because    text,
    CHECK ((revoked_at IS NULL) = (revoked_because IS NULL))
);
CREATE INDEX api_tokens_user ON api_tokens (user_id);
COMMENT ON TABLE api_tokens IS 'bearer tokens of people''s programs; the token itself is nowhere, its SHA-256 is here';

CREATE TABLE api_requests (
    user_id            bigint NOT NULL REFERENCES users,
    key                text NOT NULL CHECK (length(key) BETWEEN 1 AND 200),
    request_hash       bytea NOT NULL,
    status             smallint,
    answer             text,
    at                 timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, key)
);
CREATE INDEX api_requests_at ON api_requests (at);
COMMENT ON TABLE api_requests IS
    'writes with an Idempotency-Key and their answers, kept in the transaction of the write for some days';

-- The audit log by who, by what, by object and by any text in it; by time and by id it was indexed before.
CREATE INDEX audit_user ON audit (user_id, id);
CREATE INDEX audit_action ON audit (action, id);
CREATE INDEX audit_object ON audit (object text_pattern_ops, id);
CREATE INDEX audit_text ON audit USING gin ((object || ' ' || CAST(detail AS text)) gin_trgm_ops);
"""


def upgrade() -> None:
    op.execute(UP)

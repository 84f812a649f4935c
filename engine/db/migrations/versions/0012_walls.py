"""At the door: one-time links to set a password, and wrong passwords counted by address, too."""

from alembic import op

revision = "0012"
down_revision = "0011"

UP = """
-- A link is good once: whoever has it chooses the person's password.  Only its SHA-256 is kept.
CREATE TABLE sign_in_links (
    user_id            bigint PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    link_hash          bytea NOT NULL UNIQUE,
    expires_at         timestamptz NOT NULL
);
COMMENT ON TABLE sign_in_links IS 'at most one a person: a new one takes the place of the last';

ALTER TABLE sign_in_failures RENAME COLUMN email TO subject;
COMMENT ON COLUMN sign_in_failures.subject IS 'an e-mail address in lower case, or "from " and a network address';
"""


def upgrade() -> None:
    op.execute(UP)

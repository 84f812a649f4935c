"""Jobs that several machines share: shards, cancelling, retrying."""

from alembic import op

revision = "0010"
down_revision = "0009"

UP = """
SELECT 1  -- to be written
"""


def upgrade() -> None:
    op.execute(UP)

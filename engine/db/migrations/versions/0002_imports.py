"""Import batches that can be undone."""

from alembic import op

revision = "0002"
down_revision = "0001"

UP = """
SELECT 1;
"""


def upgrade() -> None:
    op.execute(UP)

"""Statements that are kept."""

from alembic import op

revision = "0007"
down_revision = "0006"

UP = """
SELECT 1;
"""


def upgrade() -> None:
    op.execute(UP)

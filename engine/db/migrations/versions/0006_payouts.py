"""Disputes, manual adjustments, approvals by two people."""

from alembic import op

revision = "0006"
down_revision = "0005"

UP = """
SELECT 1;
"""


def upgrade() -> None:
    op.execute(UP)

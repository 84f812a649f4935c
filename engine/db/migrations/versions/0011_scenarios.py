"""Saved variants of the what-if page."""

from alembic import op

revision = "0011"
down_revision = "0010"

UP = """
SELECT 1  -- to be written
"""


def upgrade() -> None:
    op.execute(UP)

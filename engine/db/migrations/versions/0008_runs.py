"""Runs for some people, and what each person's lines hash to."""

from alembic import op

revision = "0008"
down_revision = "0007"

UP = """
SELECT 1  -- to be written
"""


def upgrade() -> None:
    op.execute(UP)

"""What is payable when, part payments, and amounts locked apart from eligibility."""

from alembic import op

revision = "0009"
down_revision = "0008"

UP = """
SELECT 1  -- to be written
"""


def upgrade() -> None:
    op.execute(UP)

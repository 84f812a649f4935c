"""What the API and the audit log keep."""

from alembic import op

revision = "0013"
down_revision = "0012"

UP = """
SELECT 1  -- to be written
"""


def upgrade() -> None:
    op.execute(UP)

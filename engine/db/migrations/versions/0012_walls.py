"""Row-level security: the second wall behind the permissions."""

from alembic import op

revision = "0012"
down_revision = "0011"

UP = """
SELECT 1  -- to be written
"""


def upgrade() -> None:
    op.execute(UP)

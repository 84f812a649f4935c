"""Pipeline stages, activities, people."""

from alembic import op

revision = "0005"
down_revision = "0004"

UP = """
SELECT 1;
"""


def upgrade() -> None:
    op.execute(UP)

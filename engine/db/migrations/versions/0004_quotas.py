"""Quotas by component, ramps, the fiscal year."""

from alembic import op

revision = "0004"
down_revision = "0003"

UP = """
ALTER TABLE company ADD COLUMN fiscal_month smallint NOT NULL DEFAULT 1 CHECK (fiscal_month BETWEEN 1 AND 12);
COMMENT ON COLUMN company.fiscal_month IS 'the month in which the fiscal year begins; plan periods stay calendar periods';

CREATE TABLE quota_ramps (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name               text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 100),
    steps_ppm          integer[] NOT NULL CHECK (cardinality(steps_ppm) BETWEEN 1 AND 36)
);
COMMENT ON COLUMN quota_ramps.steps_ppm IS 'the part of the full quota in the first month, the second, ...';

CREATE INDEX quotas_period ON quotas (period, component);
CREATE INDEX audit_quotas ON audit (id) WHERE action = 'quotas.edit';
"""


def upgrade() -> None:
    op.execute(UP)

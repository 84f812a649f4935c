"""Saved variants of the what-if page."""

from alembic import op

revision = "0011"
down_revision = "0010"

UP = """
CREATE TABLE scenarios (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name               text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    notes              text NOT NULL DEFAULT '' CHECK (length(notes) <= 4000),
    plan_id            bigint NOT NULL REFERENCES plans ON DELETE CASCADE,
    variant            jsonb NOT NULL CHECK (jsonb_typeof(variant) = 'object'),
    span               text NOT NULL,
    owner_id           bigint NOT NULL REFERENCES users,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX scenarios_plan ON scenarios (plan_id);
CREATE INDEX scenarios_owner ON scenarios (owner_id);
COMMENT ON TABLE scenarios IS 'variants of the what-if page that were kept; none of them touches a run, a quota or a plan';
COMMENT ON COLUMN scenarios.variant IS 'what is changed: plan, version_id, changes by path, quota_ppm, quotas, people';
"""


def upgrade() -> None:
    op.execute(UP)

"""The first shape of the database: people, deals, plans, runs, ledger, payouts, imports, jobs, audit.

Written in SQL, because constraints, exclusions and triggers are the point of it: what must never be
wrong is refused here, whatever program asks.  Money is BIGINT minor units beside its currency; shares
and probabilities are parts per million; dated rows are half-open ``[start_date, end_date)``.
"""

from alembic import op

revision = "0001"
down_revision = None

UP = """
CREATE EXTENSION IF NOT EXISTS btree_gist;
CREATE EXTENSION IF NOT EXISTS pg_trgm;

-- ---------------------------------------------------------------- company
CREATE TABLE company (
    id                 smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    name               text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    currency           char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    is_demo            boolean NOT NULL DEFAULT false,
    data_version       bigint NOT NULL DEFAULT 0,
    created_at         timestamptz NOT NULL DEFAULT now()
);

-- ---------------------------------------------------------------- people, sign-in
CREATE TABLE users (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code               text NOT NULL UNIQUE CHECK (code ~ '^[a-z0-9][a-z0-9._-]{0,79}$'),
    name               text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    email              text NOT NULL CHECK (length(email) BETWEEN 3 AND 254 AND email LIKE '%_@_%'),
    role               text NOT NULL CHECK (role IN ('admin', 'finance', 'manager', 'rep')),
    password_hash      text,
    is_active          boolean NOT NULL DEFAULT true,
    hired_on           date,
    left_on            date CHECK (left_on > hired_on),
    created_at         timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX users_email ON users (lower(email));
COMMENT ON COLUMN users.code IS 'the person id of plans, statements and payroll files; never changes';

CREATE TABLE user_sessions (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id            bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    token_hash         bytea NOT NULL UNIQUE,
    created_at         timestamptz NOT NULL DEFAULT now(),
    seen_at            timestamptz NOT NULL DEFAULT now(),
    expires_at         timestamptz NOT NULL CHECK (expires_at > created_at),
    ended_at           timestamptz,
    ended_because      text CHECK ((ended_because IS NULL) = (ended_at IS NULL))
);
CREATE INDEX user_sessions_user ON user_sessions (user_id) WHERE ended_at IS NULL;

-- Attempts to sign in that were not right, by e-mail, whether or not anyone has it: a stranger learns nothing.
CREATE TABLE sign_in_failures (
    email              text PRIMARY KEY CHECK (length(email) BETWEEN 3 AND 254),
    failed             integer NOT NULL CHECK (failed > 0),
    last_at            timestamptz NOT NULL DEFAULT now(),
    locked_until       timestamptz
);

-- A ticket is good once, for a minute: it carries a checked password from the form to the route that sets the cookie.
CREATE TABLE sign_in_tickets (
    ticket_hash        bytea PRIMARY KEY,
    user_id            bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    expires_at         timestamptz NOT NULL
);

-- ---------------------------------------------------------------- teams, dated
CREATE TABLE teams (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name               text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200)
);
CREATE TABLE team_structure (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    team_id            bigint NOT NULL REFERENCES teams ON DELETE CASCADE,
    parent_id          bigint REFERENCES teams CHECK (parent_id <> team_id),
    manager_id         bigint REFERENCES users,
    start_date         date NOT NULL,
    end_date           date CHECK (end_date > start_date),
    CONSTRAINT team_structure_no_overlap EXCLUDE USING gist
        (team_id WITH =, daterange(start_date, end_date) WITH &&)
);
CREATE INDEX team_structure_manager ON team_structure (manager_id);
CREATE TABLE team_members (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    team_id            bigint NOT NULL REFERENCES teams,
    user_id            bigint NOT NULL REFERENCES users,
    start_date         date NOT NULL,
    end_date           date CHECK (end_date > start_date),
    CONSTRAINT team_members_no_overlap EXCLUDE USING gist
        (user_id WITH =, daterange(start_date, end_date) WITH &&)
);
CREATE INDEX team_members_team ON team_members (team_id);

-- ---------------------------------------------------------------- pipeline, deals
CREATE TABLE pipeline_stages (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name               text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    position           integer NOT NULL UNIQUE DEFERRABLE INITIALLY DEFERRED,
    probability_ppm    integer NOT NULL CHECK (probability_ppm BETWEEN 0 AND 1000000),
    outcome            text NOT NULL CHECK (outcome IN ('open', 'won', 'lost')),
    CHECK (outcome = 'open' OR probability_ppm = CASE outcome WHEN 'won' THEN 1000000 ELSE 0 END)
);
CREATE UNIQUE INDEX pipeline_stages_name ON pipeline_stages (lower(name));

CREATE TABLE imports (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source             text NOT NULL CHECK (length(source) BETWEEN 1 AND 50),
    filename           text NOT NULL,
    file_hash          bytea NOT NULL,
    mapping            jsonb NOT NULL,
    added              integer NOT NULL CHECK (added >= 0),
    changed            integer NOT NULL CHECK (changed >= 0),
    unchanged          integer NOT NULL CHECK (unchanged >= 0),
    refused            integer NOT NULL CHECK (refused >= 0),
    created_by         bigint NOT NULL REFERENCES users,
    created_at         timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE import_refusals (
    import_id          bigint NOT NULL REFERENCES imports,
    line               integer NOT NULL CHECK (line > 0),
    reason             text NOT NULL,
    raw                jsonb NOT NULL,
    PRIMARY KEY (import_id, line, reason)
);
-- What a person once answered about a source: its columns, whose name is whose, which stage is which.
CREATE TABLE import_mappings (
    source             text PRIMARY KEY,
    mapping            jsonb NOT NULL,
    owners             jsonb NOT NULL DEFAULT '{}',
    stages             jsonb NOT NULL DEFAULT '{}',
    updated_by         bigint NOT NULL REFERENCES users,
    updated_at         timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE deals (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source             text NOT NULL CHECK (length(source) BETWEEN 1 AND 50),
    external_id        text NOT NULL CHECK (length(external_id) BETWEEN 1 AND 200),
    name               text NOT NULL CHECK (length(name) <= 1000),
    account            text NOT NULL DEFAULT '' CHECK (length(account) <= 1000),
    owner_id           bigint NOT NULL REFERENCES users,
    stage_id           bigint NOT NULL REFERENCES pipeline_stages,
    amount             bigint,
    margin             bigint,
    currency           char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    quantity_micro     bigint,
    close_date         date NOT NULL CHECK (close_date BETWEEN '1990-01-01' AND '2199-12-31'),
    created_date       date,
    type               text NOT NULL DEFAULT '',
    product            text NOT NULL DEFAULT '',
    segment            text NOT NULL DEFAULT '',
    term_months        integer CHECK (term_months BETWEEN 0 AND 1200),
    cancelled_on       date CHECK (cancelled_on >= close_date),
    extra              jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(extra) = 'object'),
    version            integer NOT NULL DEFAULT 1,
    import_id          bigint REFERENCES imports,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    UNIQUE (source, external_id)
);
CREATE INDEX deals_close ON deals (close_date, id);
CREATE INDEX deals_owner ON deals (owner_id, close_date);
CREATE INDEX deals_stage ON deals (stage_id, close_date);
CREATE INDEX deals_type ON deals (type);
CREATE INDEX deals_product ON deals (product);
CREATE INDEX deals_text ON deals USING gin ((name || ' ' || account || ' ' || external_id) gin_trgm_ops);

-- Shares of credit; a deal without rows is credited to its owner alone.
CREATE TABLE deal_credits (
    deal_id            bigint NOT NULL REFERENCES deals ON DELETE CASCADE,
    user_id            bigint NOT NULL REFERENCES users,
    share_ppm          integer NOT NULL CHECK (share_ppm BETWEEN 0 AND 1000000),
    PRIMARY KEY (deal_id, user_id)
);
CREATE INDEX deal_credits_user ON deal_credits (user_id);

CREATE TABLE deal_changes (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    deal_id            bigint NOT NULL REFERENCES deals ON DELETE CASCADE,
    at                 timestamptz NOT NULL DEFAULT now(),
    user_id            bigint REFERENCES users,
    import_id          bigint REFERENCES imports,
    changes            jsonb NOT NULL
);
COMMENT ON COLUMN deal_changes.changes IS '{column: [from, to]} with the columns'' own values (owner_id: user ids), "credits" as {user id: ppm}; a new deal has one entry {"created": [null, "<source>"]}';
CREATE INDEX deal_changes_deal ON deal_changes (deal_id, at);
CREATE INDEX deal_changes_import ON deal_changes (import_id);

CREATE TABLE deal_stage_entries (
    deal_id            bigint NOT NULL REFERENCES deals ON DELETE CASCADE,
    stage_id           bigint NOT NULL REFERENCES pipeline_stages,
    entered_at         timestamptz NOT NULL,
    PRIMARY KEY (deal_id, entered_at, stage_id)
);

CREATE TABLE activities (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind               text NOT NULL CHECK (kind IN ('call', 'email', 'meeting', 'note', 'task')),
    user_id            bigint NOT NULL REFERENCES users,
    deal_id            bigint REFERENCES deals ON DELETE CASCADE,
    account            text NOT NULL DEFAULT '',
    subject            text NOT NULL CHECK (length(subject) BETWEEN 1 AND 500),
    happened_at        timestamptz NOT NULL
);
CREATE INDEX activities_user ON activities (user_id, happened_at);
CREATE INDEX activities_deal ON activities (deal_id);

-- ---------------------------------------------------------------- plans, quotas
CREATE TABLE plans (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name               text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,63}$'),
    title              text NOT NULL CHECK (length(title) BETWEEN 1 AND 200)
);
CREATE TABLE plan_versions (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    plan_id            bigint NOT NULL REFERENCES plans,
    effective_from     date,
    document           text NOT NULL,
    hash               bytea,
    status             text NOT NULL CHECK (status IN ('draft', 'published')),
    created_by         bigint REFERENCES users,
    created_at         timestamptz NOT NULL DEFAULT now(),
    published_by       bigint REFERENCES users,
    published_at       timestamptz,
    CHECK ((status = 'published') = (published_at IS NOT NULL)),
    CHECK (status = 'draft' OR (effective_from IS NOT NULL AND hash IS NOT NULL))
);
CREATE UNIQUE INDEX plan_versions_published ON plan_versions (plan_id, effective_from) WHERE status = 'published';
CREATE UNIQUE INDEX plan_versions_one_draft ON plan_versions (plan_id) WHERE status = 'draft';

CREATE TABLE plan_assignments (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id            bigint NOT NULL REFERENCES users,
    plan_id            bigint NOT NULL REFERENCES plans,
    start_date         date NOT NULL,
    end_date           date CHECK (end_date > start_date),
    prorate            text NOT NULL DEFAULT 'days' CHECK (prorate IN ('days', 'months', 'none')),
    CONSTRAINT plan_assignments_no_overlap EXCLUDE USING gist
        (user_id WITH =, daterange(start_date, end_date) WITH &&)
);

CREATE TABLE quotas (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id            bigint NOT NULL REFERENCES users,
    component          text NOT NULL DEFAULT '',
    period             text NOT NULL,
    start_date         date NOT NULL,
    end_date           date NOT NULL CHECK (end_date > start_date),
    amount             bigint NOT NULL CHECK (amount > 0),
    currency           char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    UNIQUE (user_id, component, period)
);
COMMENT ON COLUMN quotas.component IS 'component id of the plan; empty: every component with that quota period';

CREATE TABLE exchange_rates (
    currency           char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    to_currency        char(3) NOT NULL CHECK (to_currency ~ '^[A-Z]{3}$' AND to_currency <> currency),
    day                date NOT NULL,
    rate               numeric(20, 10) NOT NULL CHECK (rate > 0),
    PRIMARY KEY (currency, to_currency, day)
);

-- ---------------------------------------------------------------- jobs
CREATE TABLE jobs (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind               text NOT NULL,
    arguments          jsonb NOT NULL DEFAULT '{}',
    status             text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'running', 'done', 'failed')),
    done               bigint NOT NULL DEFAULT 0 CHECK (done >= 0),
    total              bigint NOT NULL DEFAULT 0 CHECK (total >= 0),
    message            text NOT NULL DEFAULT '',
    result             jsonb,
    created_by         bigint NOT NULL REFERENCES users,
    created_at         timestamptz NOT NULL DEFAULT now(),
    started_at         timestamptz,
    finished_at        timestamptz
);
CREATE INDEX jobs_open ON jobs (created_at) WHERE status IN ('queued', 'running');

-- ---------------------------------------------------------------- runs, lines
CREATE TABLE pay_periods (
    period             text PRIMARY KEY,
    kind               text NOT NULL CHECK (kind IN ('week', 'month', 'quarter', 'year')),
    start_date         date NOT NULL,
    end_date           date NOT NULL CHECK (end_date > start_date),
    status             text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'approved', 'paid')),
    run_id             bigint,
    CHECK (status = 'open' OR run_id IS NOT NULL)
);
COMMENT ON COLUMN pay_periods.run_id IS 'the run shown for the period: the latest while open, the approved one afterwards';

CREATE TABLE runs (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    period             text NOT NULL REFERENCES pay_periods,
    job_id             uuid UNIQUE REFERENCES jobs,
    ledger_seen        bigint NOT NULL,
    inputs_hash        bytea NOT NULL,
    lines_hash         bytea NOT NULL,
    engine_version     text NOT NULL,
    interpreter        text NOT NULL,
    deals              integer NOT NULL CHECK (deals >= 0),
    lines              integer NOT NULL CHECK (lines >= 0),
    created_by         bigint NOT NULL REFERENCES users,
    created_at         timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE pay_periods ADD FOREIGN KEY (run_id) REFERENCES runs;

COMMENT ON COLUMN runs.ledger_seen IS 'the last ledger entry the run knew of; a run that is older than an approval cannot be approved';

-- What a run says of each person: earned (sum of the lines), drawn (advanced by the draw, or repaid when below 0),
-- the draw balance left, and how much of all that was earned so far is not payable yet (payable rules of the plan).
CREATE TABLE run_people (
    run_id             bigint NOT NULL REFERENCES runs,
    user_id            bigint NOT NULL REFERENCES users,
    currency           char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    earned             bigint NOT NULL,
    drawn              bigint NOT NULL,
    draw_balance       bigint NOT NULL CHECK (draw_balance >= 0),
    deferred           bigint NOT NULL,
    PRIMARY KEY (run_id, user_id, currency)
);
CREATE TABLE run_attainment (
    run_id             bigint NOT NULL REFERENCES runs,
    user_id            bigint NOT NULL REFERENCES users,
    component          text NOT NULL,
    quota_period       text NOT NULL,
    credit             numeric(28, 6) NOT NULL,
    quota              numeric(28, 6) NOT NULL CHECK (quota > 0),
    PRIMARY KEY (run_id, user_id, component, quota_period)
);
COMMENT ON TABLE run_attainment IS 'credit and quota in units (of money or of the measure); for screens, the rules keep exact fractions';

CREATE TABLE run_plan_versions (
    run_id             bigint NOT NULL REFERENCES runs,
    plan_version_id    bigint NOT NULL REFERENCES plan_versions,
    PRIMARY KEY (run_id, plan_version_id)
);

CREATE TABLE lines (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id             bigint NOT NULL REFERENCES runs,
    user_id            bigint NOT NULL REFERENCES users,
    plan_version_id    bigint NOT NULL REFERENCES plan_versions,
    component          text NOT NULL,
    deal_id            bigint REFERENCES deals,
    kind               text NOT NULL CHECK (kind IN ('earned', 'adjusted', 'clawed_back')),
    period             text NOT NULL REFERENCES pay_periods,
    origin_period      text NOT NULL REFERENCES pay_periods,
    amount             bigint NOT NULL,
    currency           char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    working            jsonb NOT NULL
);
COMMENT ON COLUMN lines.working IS 'what explains the line together with its plan version: credit before and after, quota, exchange rate';
COMMENT ON COLUMN lines.origin_period IS 'the pay period in which it was earned; differs from period where a closed period is corrected';
CREATE INDEX lines_run ON lines (run_id, user_id);
CREATE INDEX lines_user ON lines (user_id, period);
CREATE INDEX lines_deal ON lines (deal_id);

-- ---------------------------------------------------------------- ledger, payouts
CREATE TABLE payouts (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    period             text NOT NULL UNIQUE REFERENCES pay_periods,
    status             text NOT NULL CHECK (status IN ('approved', 'paid')),
    approved_by        bigint NOT NULL REFERENCES users,
    approved_at        timestamptz NOT NULL DEFAULT now(),
    paid_by            bigint REFERENCES users,
    paid_at            timestamptz,
    CHECK ((status = 'paid') = (paid_at IS NOT NULL))
);
CREATE TABLE payout_items (
    payout_id          bigint NOT NULL REFERENCES payouts,
    user_id            bigint NOT NULL REFERENCES users,
    currency           char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    amount             bigint NOT NULL,
    PRIMARY KEY (payout_id, user_id, currency)
);
CREATE TABLE ledger (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id            bigint NOT NULL REFERENCES users,
    period             text NOT NULL REFERENCES pay_periods,
    kind               text NOT NULL CHECK (kind IN ('earned', 'adjusted', 'clawed_back', 'drawn', 'repaid', 'paid')),
    amount             bigint NOT NULL,
    currency           char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    line_id            bigint UNIQUE REFERENCES lines,
    payout_id          bigint REFERENCES payouts,
    corrects_id        bigint REFERENCES ledger,
    posted_by          bigint NOT NULL REFERENCES users,
    posted_at          timestamptz NOT NULL DEFAULT now(),
    CHECK ((kind = 'paid') = (payout_id IS NOT NULL)),
    CHECK (kind NOT IN ('earned', 'adjusted', 'clawed_back') OR line_id IS NOT NULL)
);
CREATE UNIQUE INDEX ledger_paid_once ON ledger (payout_id, user_id, currency) WHERE kind = 'paid';
CREATE INDEX ledger_user ON ledger (user_id, period);
COMMENT ON TABLE ledger IS 'append-only; what a person is owed is the sum of amount: earned positive, paid negative';

-- ---------------------------------------------------------------- audit
CREATE TABLE audit (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at                 timestamptz NOT NULL DEFAULT now(),
    user_id            bigint REFERENCES users,
    action             text NOT NULL,
    object             text NOT NULL,
    detail             jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_at ON audit (at);

-- ---------------------------------------------------------------- what never moves
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER lines_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON lines
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION refuse_published_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status = 'published' THEN
        RAISE EXCEPTION 'plan version % is published and never changes; make a new version', OLD.id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN COALESCE(NEW, OLD);
END $$;
CREATE TRIGGER plan_versions_frozen BEFORE UPDATE OR DELETE ON plan_versions
    FOR EACH ROW EXECUTE FUNCTION refuse_published_change();

-- An approved period keeps its run; a paid one keeps everything.
CREATE FUNCTION refuse_period_reopening() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status <> 'open' AND (TG_OP = 'DELETE' OR NEW.run_id IS DISTINCT FROM OLD.run_id
            OR NEW.status = 'open' OR (OLD.status = 'paid' AND NEW.status <> 'paid')) THEN
        RAISE EXCEPTION 'pay period % is %: it never moves', OLD.period, OLD.status
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN COALESCE(NEW, OLD);
END $$;
CREATE TRIGGER pay_periods_locked BEFORE UPDATE OR DELETE ON pay_periods
    FOR EACH ROW EXECUTE FUNCTION refuse_period_reopening();

INSERT INTO pipeline_stages (name, position, probability_ppm, outcome) VALUES
    ('Prospecting', 1, 100000, 'open'), ('Qualification', 2, 250000, 'open'), ('Proposal', 3, 500000, 'open'),
    ('Negotiation', 4, 750000, 'open'), ('Closed Won', 5, 1000000, 'won'), ('Closed Lost', 6, 0, 'lost');
"""


def upgrade() -> None:
    op.execute(UP)

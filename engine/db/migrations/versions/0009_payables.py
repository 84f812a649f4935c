"""What is payable when, part payments, and amounts locked apart from eligibility; disputes closed as explained."""

from alembic import op

revision = "0009"
down_revision = "0008"

UP = """
-- ---------------------------------------------------------------- what customers have paid
CREATE TABLE deal_payments (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    request_id         uuid NOT NULL UNIQUE,
    deal_id            bigint NOT NULL REFERENCES deals ON DELETE CASCADE,
    paid_on            date NOT NULL,
    amount             bigint NOT NULL CHECK (amount <> 0),
    created_by         bigint NOT NULL REFERENCES users,
    created_at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX deal_payments_deal ON deal_payments (deal_id, paid_on, id);
COMMENT ON COLUMN deal_payments.amount IS 'in the deal''s currency; below 0 what was paid back, or recorded by mistake';

-- ---------------------------------------------------------------- a period: open, locked, approved, paid
ALTER TABLE pay_periods
    DROP CONSTRAINT pay_periods_status_check,
    ADD CONSTRAINT pay_periods_status_check CHECK (status IN ('open', 'locked', 'approved', 'paid'));
COMMENT ON COLUMN pay_periods.status IS
    'locked: the amounts are in the ledger and never move; approved: what is payable of them is in a payout';

CREATE OR REPLACE FUNCTION refuse_period_reopening() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    steps text[] := ARRAY['open', 'locked', 'approved', 'paid'];
BEGIN
    IF OLD.status <> 'open' AND (TG_OP = 'DELETE' OR NEW.run_id IS DISTINCT FROM OLD.run_id
            OR array_position(steps, NEW.status) < array_position(steps, OLD.status)) THEN
        RAISE EXCEPTION 'pay period % is %: it never moves', OLD.period, OLD.status
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN COALESCE(NEW, OLD);
END $$;

-- ---------------------------------------------------------------- what is not payable yet
-- A look at everything earned and not payable yet: a run's on the last day of its period, a closing's on its own day.
CREATE TABLE eligibility (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    period             text NOT NULL REFERENCES pay_periods,
    run_id             bigint UNIQUE REFERENCES runs,
    payout_id          bigint UNIQUE REFERENCES payouts,
    as_of              date NOT NULL,
    made_at            timestamptz NOT NULL DEFAULT now(),
    CHECK (run_id IS NULL OR payout_id IS NULL)
);
COMMENT ON TABLE eligibility IS 'of a run, of a payout when it was approved, or (neither) of a period when its amounts were locked';
CREATE TABLE held_amounts (
    eligibility_id     bigint NOT NULL REFERENCES eligibility,
    user_id            bigint NOT NULL REFERENCES users,
    currency           char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    component          text NOT NULL,
    deal_id            bigint,
    origin_period      text NOT NULL,
    due_on             date,
    waits_for          text NOT NULL DEFAULT '',
    amount             bigint NOT NULL CHECK (amount <> 0),
    CHECK ((due_on IS NULL) = (waits_for <> ''))
);
CREATE INDEX held_amounts_of ON held_amounts (eligibility_id, user_id);
COMMENT ON COLUMN held_amounts.due_on IS 'the day from which it is payable; null where an event decides, then waits_for says which';
COMMENT ON COLUMN held_amounts.deal_id IS 'no foreign key: the rows of a run that was never approved outlive a deal that is deleted';

-- What was deferred before anything was kept of when: one amount a person.
INSERT INTO eligibility (period, run_id, as_of, made_at)
SELECT r.period, r.id, p.end_date - 1, r.created_at FROM runs r JOIN pay_periods p ON p.period = r.period
 WHERE EXISTS (SELECT FROM run_people q WHERE q.run_id = r.id AND q.deferred <> 0) ORDER BY r.id;
INSERT INTO held_amounts (eligibility_id, user_id, currency, component, origin_period, waits_for, amount)
SELECT e.id, q.user_id, q.currency, '', e.period, 'the plan''s schedule', q.deferred
  FROM eligibility e JOIN run_people q ON q.run_id = e.run_id AND q.deferred <> 0;
INSERT INTO eligibility (period, payout_id, as_of, made_at)
SELECT o.period, o.id, p.end_date - 1, o.approved_at FROM payouts o JOIN pay_periods p ON p.period = o.period
 ORDER BY o.approved_at, o.id;
INSERT INTO held_amounts (eligibility_id, user_id, currency, component, origin_period, waits_for, amount)
SELECT e.id, q.user_id, q.currency, '', e.period, 'the plan''s schedule', q.deferred
  FROM eligibility e JOIN pay_periods p ON p.period = e.period
  JOIN run_people q ON q.run_id = p.run_id AND q.deferred <> 0 WHERE e.payout_id IS NOT NULL;

CREATE TRIGGER eligibility_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON eligibility
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER held_amounts_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON held_amounts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The parts add up to what the run says is deferred: they are kept first, then the people, then no more parts.
CREATE FUNCTION refuse_unexplained_deferral() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    SELECT a.run_id, a.user_id, a.deferred, coalesce(h.amount, 0) AS held INTO wrong
      FROM added a LEFT JOIN (
          SELECT e.run_id, h.user_id, h.currency, sum(h.amount) AS amount
            FROM eligibility e JOIN held_amounts h ON h.eligibility_id = e.id
           WHERE e.run_id IN (SELECT run_id FROM added) GROUP BY 1, 2, 3
      ) h ON (h.run_id, h.user_id, h.currency) = (a.run_id, a.user_id, a.currency)
     WHERE a.deferred <> coalesce(h.amount, 0) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'run % says % is deferred for user %, its parts add up to %', wrong.run_id, wrong.deferred,
            wrong.user_id, wrong.held USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER run_people_deferred_explained AFTER INSERT ON run_people REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_unexplained_deferral();
CREATE FUNCTION refuse_late_parts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM (SELECT DISTINCT eligibility_id FROM added) a JOIN eligibility e ON e.id = a.eligibility_id
                WHERE EXISTS (SELECT FROM run_people p WHERE p.run_id = e.run_id)
                   OR EXISTS (SELECT FROM payout_items i WHERE i.payout_id = e.payout_id)) THEN
        RAISE EXCEPTION 'what is not payable yet is kept before what it leaves'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER held_amounts_first AFTER INSERT ON held_amounts REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_late_parts();

-- ---------------------------------------------------------------- payments, whole or in part
ALTER TABLE payouts
    DROP CONSTRAINT payouts_status_check,
    ADD CONSTRAINT payouts_status_check CHECK (status IN ('approved', 'part_paid', 'paid', 'released'));
COMMENT ON COLUMN payouts.status IS 'released: none of it was paid, all is due again';

CREATE TABLE payout_payments (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    request_id         uuid NOT NULL UNIQUE,
    payout_id          bigint NOT NULL REFERENCES payouts,
    created_by         bigint NOT NULL REFERENCES users,
    created_at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX payout_payments_payout ON payout_payments (payout_id);
COMMENT ON COLUMN payout_payments.request_id IS 'made when the form is opened: a repeated request finds its payment';
INSERT INTO payout_payments (request_id, payout_id, created_by, created_at)
SELECT gen_random_uuid(), id, paid_by, paid_at FROM payouts WHERE status = 'paid' ORDER BY paid_at, id;

CREATE TABLE payout_releases (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    request_id         uuid NOT NULL UNIQUE,
    payout_id          bigint NOT NULL REFERENCES payouts,
    reason             text NOT NULL CHECK (length(reason) BETWEEN 1 AND 1000),
    created_by         bigint NOT NULL REFERENCES users,
    created_at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX payout_releases_payout ON payout_releases (payout_id);
CREATE TABLE payout_release_items (
    release_id         bigint NOT NULL REFERENCES payout_releases,
    payout_id          bigint NOT NULL REFERENCES payouts,
    user_id            bigint NOT NULL REFERENCES users,
    currency           char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    amount             bigint NOT NULL CHECK (amount > 0),
    PRIMARY KEY (release_id, user_id, currency)
);
CREATE INDEX payout_release_items_of ON payout_release_items (payout_id, user_id);

ALTER TABLE payout_items
    ADD COLUMN paid bigint NOT NULL DEFAULT 0,
    ADD COLUMN released bigint NOT NULL DEFAULT 0;
UPDATE payout_items i SET paid = i.amount FROM payouts o WHERE o.id = i.payout_id AND o.status = 'paid';
ALTER TABLE payout_items
    ADD CONSTRAINT payout_items_never_more CHECK (paid >= 0 AND released >= 0 AND paid + released <= amount);
CREATE INDEX payout_items_open ON payout_items (user_id) WHERE paid + released < amount;
COMMENT ON COLUMN payout_items.paid IS 'what the ledger paid of it, kept by its trigger; what was taken back is owed again, and not paid by this payout';
COMMENT ON COLUMN payout_items.released IS 'what is due again, for the next payout';

ALTER TABLE ledger ADD COLUMN payment_id bigint REFERENCES payout_payments;
ALTER TABLE ledger DISABLE TRIGGER ledger_append_only;
UPDATE ledger g SET payment_id = p.id FROM payout_payments p WHERE g.kind = 'paid' AND p.payout_id = g.payout_id;
ALTER TABLE ledger ENABLE TRIGGER ledger_append_only;
DROP INDEX ledger_paid_once;
DROP INDEX ledger_reversed_once;
ALTER TABLE ledger ADD CONSTRAINT ledger_payment CHECK ((kind = 'paid') = (payment_id IS NOT NULL));
CREATE UNIQUE INDEX ledger_paid_once ON ledger (payment_id, user_id, currency) WHERE kind = 'paid';
CREATE UNIQUE INDEX ledger_reversed_once ON ledger (corrects_id) WHERE kind = 'reversed';
CREATE INDEX ledger_payout ON ledger (payout_id, user_id) WHERE payout_id IS NOT NULL;

-- Each payment and each release is taken from what is approved; the CHECK above refuses more than there is.
CREATE FUNCTION take_from_payout() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'ledger' THEN
        IF NEW.amount >= 0 THEN
            RAISE EXCEPTION 'a payment lowers what is owed' USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        UPDATE payout_items SET paid = paid - NEW.amount
         WHERE payout_id = NEW.payout_id AND user_id = NEW.user_id AND currency = NEW.currency;
    ELSE
        UPDATE payout_items SET released = released + NEW.amount
         WHERE payout_id = NEW.payout_id AND user_id = NEW.user_id AND currency = NEW.currency;
    END IF;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'payout % has nothing for user %', NEW.payout_id, NEW.user_id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_takes_from_payout AFTER INSERT ON ledger
    FOR EACH ROW WHEN (NEW.kind = 'paid') EXECUTE FUNCTION take_from_payout();
CREATE TRIGGER releases_take_from_payout AFTER INSERT ON payout_release_items
    FOR EACH ROW EXECUTE FUNCTION take_from_payout();

-- What was approved never changes; what is paid and released of it moves with the ledger and the releases alone.
CREATE FUNCTION refuse_item_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR pg_trigger_depth() < 2 OR (NEW.payout_id, NEW.user_id, NEW.currency, NEW.amount)
            IS DISTINCT FROM (OLD.payout_id, OLD.user_id, OLD.currency, OLD.amount) THEN
        RAISE EXCEPTION 'what is approved never changes: % refused', TG_OP
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER payout_items_kept BEFORE UPDATE OR DELETE ON payout_items
    FOR EACH ROW EXECUTE FUNCTION refuse_item_change();

CREATE TRIGGER payout_payments_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON payout_payments
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER payout_releases_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON payout_releases
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER payout_release_items_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON payout_release_items
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- ---------------------------------------------------------------- disputes: explained, nothing to change
ALTER TABLE disputes
    DROP CONSTRAINT disputes_status_check,
    DROP CONSTRAINT disputes_check,
    ADD CONSTRAINT disputes_status_check CHECK (status IN ('open', 'answered', 'settled', 'explained', 'rejected')),
    ADD CONSTRAINT disputes_closed CHECK ((status IN ('settled', 'explained', 'rejected')) = (closed_at IS NOT NULL));
ALTER TABLE dispute_messages
    DROP CONSTRAINT dispute_messages_status_check,
    ADD CONSTRAINT dispute_messages_status_check
        CHECK (status IN ('open', 'answered', 'settled', 'explained', 'rejected'));
COMMENT ON COLUMN disputes.status IS 'explained: the line is right, and why is said; nothing had to change';
"""


def upgrade() -> None:
    op.execute(UP)

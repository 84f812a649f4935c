"""Disputes, manual adjustments, reversals of payouts, approvals by two people."""

from alembic import op

revision = "0006"
down_revision = "0005"

UP = """
ALTER TABLE company ADD COLUMN two_person boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN company.two_person IS 'whoever made the run or an adjustment may not approve it, whoever approved may not mark it paid';

-- ---------------------------------------------------------------- manual adjustments
CREATE TABLE manual_adjustments (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    request_id         uuid NOT NULL UNIQUE,
    user_id            bigint NOT NULL REFERENCES users,
    period             text NOT NULL REFERENCES pay_periods,
    kind               text NOT NULL CHECK (kind IN ('spif', 'bonus', 'correction', 'override')),
    amount             bigint NOT NULL CHECK (amount <> 0),
    currency           char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    reason             text NOT NULL CHECK (length(reason) BETWEEN 1 AND 1000),
    deal_id            bigint REFERENCES deals ON DELETE SET NULL,
    deal               text NOT NULL DEFAULT '',
    line_id            bigint REFERENCES lines,
    created_by         bigint NOT NULL REFERENCES users,
    created_at         timestamptz NOT NULL DEFAULT now(),
    withdrawn_by       bigint REFERENCES users,
    withdrawn_at       timestamptz,
    CHECK ((kind = 'override') = (line_id IS NOT NULL)),
    CHECK ((withdrawn_by IS NULL) = (withdrawn_at IS NULL))
);
CREATE INDEX manual_adjustments_period ON manual_adjustments (period, user_id);
CREATE INDEX manual_adjustments_user ON manual_adjustments (user_id);
CREATE INDEX manual_adjustments_deal ON manual_adjustments (deal_id);
CREATE INDEX manual_adjustments_line ON manual_adjustments (line_id);
COMMENT ON COLUMN manual_adjustments.request_id IS 'made when the form is opened: a repeated request finds its adjustment';
COMMENT ON COLUMN manual_adjustments.deal IS 'what the deal was called then; stays when the deal is deleted';
COMMENT ON COLUMN manual_adjustments.line_id IS 'the line that an override corrects; the line itself stays as it was calculated';

-- What a person adds to a closed period, or changes after the fact, is refused here, whatever program asks.
CREATE FUNCTION refuse_adjustment_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_open boolean;
    withdrawal text[] := ARRAY['withdrawn_by', 'withdrawn_at'];
BEGIN
    -- Waits for an approval under way, and then sees it.
    SELECT status = 'open' INTO is_open FROM pay_periods WHERE period = COALESCE(NEW.period, OLD.period) FOR SHARE;
    IF TG_OP = 'INSERT' AND is_open THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' AND to_jsonb(NEW) - withdrawal - 'deal_id'::text = to_jsonb(OLD) - withdrawal - 'deal_id'::text
            AND (NEW.deal_id IS NULL OR NEW.deal_id = OLD.deal_id)
            AND (NEW.withdrawn_at IS NOT DISTINCT FROM OLD.withdrawn_at OR (OLD.withdrawn_at IS NULL AND is_open)) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'manual adjustments are only added to, and withdrawn from, an open pay period: % refused', TG_OP
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER manual_adjustments_kept BEFORE INSERT OR UPDATE OR DELETE ON manual_adjustments
    FOR EACH ROW EXECUTE FUNCTION refuse_adjustment_change();

-- ---------------------------------------------------------------- reversals
CREATE TABLE payout_reversals (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payout_id          bigint NOT NULL REFERENCES payouts,
    reason             text NOT NULL CHECK (length(reason) BETWEEN 1 AND 1000),
    created_by         bigint NOT NULL REFERENCES users,
    created_at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX payout_reversals_payout ON payout_reversals (payout_id);
CREATE TRIGGER payout_reversals_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON payout_reversals
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- ---------------------------------------------------------------- ledger: two more kinds
ALTER TABLE ledger
    ADD COLUMN adjustment_id bigint UNIQUE REFERENCES manual_adjustments,
    ADD COLUMN reversal_id bigint REFERENCES payout_reversals,
    DROP CONSTRAINT ledger_kind_check,
    DROP CONSTRAINT ledger_check,
    ADD CONSTRAINT ledger_kind_check CHECK (kind IN
        ('earned', 'adjusted', 'clawed_back', 'drawn', 'repaid', 'manual', 'paid', 'reversed')),
    ADD CONSTRAINT ledger_payout CHECK ((kind IN ('paid', 'reversed')) = (payout_id IS NOT NULL)),
    ADD CONSTRAINT ledger_manual CHECK ((kind = 'manual') = (adjustment_id IS NOT NULL)),
    ADD CONSTRAINT ledger_reversed CHECK ((kind = 'reversed') = (reversal_id IS NOT NULL)
        AND (kind <> 'reversed' OR corrects_id IS NOT NULL));
CREATE UNIQUE INDEX ledger_reversed_once ON ledger (payout_id, user_id, currency) WHERE kind = 'reversed';
COMMENT ON COLUMN ledger.corrects_id IS 'the paid entry that a reversed entry takes back';

-- ---------------------------------------------------------------- disputes
CREATE TABLE disputes (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id            bigint NOT NULL REFERENCES users,
    period             text NOT NULL,
    about              text NOT NULL CHECK (length(about) BETWEEN 1 AND 300),
    line_id            bigint REFERENCES lines,
    deal_id            bigint REFERENCES deals ON DELETE SET NULL,
    status             text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'answered', 'settled', 'rejected')),
    opened_by          bigint NOT NULL REFERENCES users,
    opened_at          timestamptz NOT NULL DEFAULT now(),
    closed_by          bigint REFERENCES users,
    closed_at          timestamptz,
    settled_by         text CHECK (settled_by IN ('deal_change', 'adjustment', 'run')),
    settled_id         bigint,
    settlement         text NOT NULL DEFAULT '',
    CHECK ((status IN ('settled', 'rejected')) = (closed_at IS NOT NULL)),
    CHECK ((closed_by IS NULL) = (closed_at IS NULL)),
    CHECK ((status = 'settled') = (settled_by IS NOT NULL) AND (settled_by IS NULL) = (settled_id IS NULL))
);
CREATE UNIQUE INDEX disputes_open_once ON disputes (user_id, period, about) WHERE closed_at IS NULL;
CREATE INDEX disputes_user ON disputes (user_id, period);
CREATE INDEX disputes_deal ON disputes (deal_id);
COMMENT ON COLUMN disputes.about IS 'the line or the missing deal in words; what makes two flags the same dispute, over any number of runs';
COMMENT ON COLUMN disputes.settled_id IS 'id in deal_changes, manual_adjustments or runs; settlement says it in words, which stay';

CREATE TABLE dispute_messages (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dispute_id         bigint NOT NULL REFERENCES disputes,
    user_id            bigint NOT NULL REFERENCES users,
    text               text NOT NULL CHECK (length(text) BETWEEN 1 AND 4000),
    status             text NOT NULL CHECK (status IN ('open', 'answered', 'settled', 'rejected')),
    at                 timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX dispute_messages_dispute ON dispute_messages (dispute_id, id);
COMMENT ON COLUMN dispute_messages.status IS 'the status of the dispute after the message';
CREATE TRIGGER dispute_messages_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON dispute_messages
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""


def upgrade() -> None:
    op.execute(UP)

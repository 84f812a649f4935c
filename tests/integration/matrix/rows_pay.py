"""The rows of runs, earnings, statements, disputes, adjustments and payouts; see `test_services`."""

import uuid

from engine.services import (
    adjustments,
    approvals,
    batch_approval,
    clean_ups,
    disputes,
    earnings,
    freshness,
    payables,
    payouts,
    recalculation,
    run_preview,
    runs,
    statements,
)
from tests.integration.matrix.rows import Row
from tests.integration.matrix.standing import TODAY

OPEN, APPROVED, PAID = "2026-04", "2026-03", "2026-02"
MONTH = ["month"]

# ruff: noqa: E501 - a table
# mypy: disable-error-code="func-returns-value"
ROWS: dict[str, Row] = {
    # ------------------------------------------------------------- ada fay mia max ana bo
    "earnings.payees":                Row("earnings.view",   "YYYEYE", lambda f, who: earnings.payees(f.db, who, OPEN)),
    "earnings.earned":                Row("earnings.view",   "YYYNYN", lambda f, who: earnings.earned(f.db, who, f.ana, OPEN)),
    "earnings.lines_after":           Row("earnings.view",   "YYYEYE", lambda f, who: earnings.lines_after(f.db, who, OPEN, None, (0, 0), 99)),
    "earnings.lines_after (hers)":    Row("earnings.view",   "YYYEYE", lambda f, who: earnings.lines_after(f.db, who, OPEN, f.ana, (0, 0), 99)),
    "earnings.explain_line":          Row("earnings.view",   "YYYNYN", lambda f, who: earnings.explain_line(f.db, who, f.line)),
    "payables.schedule":              Row("earnings.view",   "EEENEN", lambda f, who: payables.schedule(f.db, who, f.ana, OPEN, TODAY)),
    # --- statements
    "statements.statement":           Row("earnings.view",   "YYYNYN", lambda f, who: statements.statement(f.db, who, f.ana, PAID)),
    "statements.statement_file":      Row("earnings.view",   "YYYNYN", lambda f, who: statements.statement_file(f.db, who, f.ana, PAID, "csv")),
    "statements.list_statements":     Row("earnings.view",   "YYYEYE", lambda f, who: statements.list_statements(f.db, who, "2026", MONTH, 50, 0)),
    "statements.list_statements (hers)": Row("earnings.view", "YYYEYE", lambda f, who: statements.list_statements(f.db, who, "2026", MONTH, 50, 0, f.ana)),
    "statements.export_list":         Row("earnings.view",   "YYYEYE", lambda f, who: statements.export_list(f.db, who, "2026", MONTH, "csv")),
    "statements.people_with_statements": Row("earnings.view", "YYYEYE", lambda f, who: statements.people_with_statements(f.db, who, "2026", MONTH)),
    "statements.verify":              Row("earnings.view",   "YYYEYE", lambda f, who: statements.verify(f.db, who, f.code)),
    "statements.keep_period":         Row("statements.bulk", "YYNNNN", lambda f, who: statements.keep_period(f.db, who, APPROVED)),
    "statements.job_of":              Row("statements.bulk", "EENNNN", lambda f, who: statements.job_of(f.db, who, PAID)),
    "statements.written":             Row("statements.bulk", "EENNNN", lambda f, who: statements.written(f.db, who, PAID)),
    "statements.zip_part":            Row("statements.bulk", "YYNNNN", lambda f, who: statements.zip_part(f.db, who, PAID, 0)),
    # --- disputes
    "disputes.list_disputes":         Row("disputes.view",   "YYYEYE", lambda f, who: disputes.list_disputes(f.db, who)),
    "disputes.disputed_lines":        Row("disputes.view",   "EEENEN", lambda f, who: disputes.disputed_lines(f.db, who, f.ana, OPEN)),
    "disputes.of_line":               Row("disputes.view",   "EEENEN", lambda f, who: disputes.of_line(f.db, who, f.line)),
    "disputes.thread":                Row("disputes.view",   "YYYHYH", lambda f, who: disputes.thread(f.db, who, f.dispute)),
    "disputes.flag_line":             Row("disputes.write",  "YNYNYN", lambda f, who: disputes.flag_line(f.db, who, f.closed_line, "why")),
    "disputes.flag_missing":          Row("disputes.write",  "YNYNYN", lambda f, who: disputes.flag_missing(f.db, who, f.ana, OPEN, "a deal", "why")),
    "disputes.reply":                 Row("disputes.write",  "YNYHYH", lambda f, who: disputes.reply(f.db, who, f.dispute, "so")),
    "disputes.settle":                Row("disputes.answer", "YNNNNN", lambda f, who: (f.run(), disputes.settle(f.db, who, f.dispute, "so", disputes.thread(f.db, f.ada, f.dispute).settlers[0].key))),
    "disputes.explain":               Row("disputes.answer", "YNNNNN", lambda f, who: disputes.explain(f.db, who, f.dispute, "so")),
    "disputes.reject":                Row("disputes.answer", "YNNNNN", lambda f, who: disputes.reject(f.db, who, f.dispute, "no")),
    # --- adjustments
    "adjustments.add_adjustment":     Row("payouts.adjust",  "YNNNNN", lambda f, who: adjustments.add_adjustment(f.db, who, OPEN, adjustments.NewAdjustment(str(uuid.uuid4()), f.ana, "bonus", 5, "why"))),
    "adjustments.override_line":      Row("payouts.adjust",  "YNNNNN", lambda f, who: adjustments.override_line(f.db, who, str(uuid.uuid4()), f.line, 5, "why")),
    "adjustments.withdraw_adjustment": Row("payouts.adjust", "YNNNNN", lambda f, who: adjustments.withdraw_adjustment(f.db, who, f.adjustment)),
    "adjustments.list_adjustments":   Row("payouts.view",    "YYNNNN", lambda f, who: adjustments.list_adjustments(f.db, who, OPEN)),
    "adjustments.list_adjustments (hers)": Row("earnings.view", "YYYNYN", lambda f, who: adjustments.list_adjustments(f.db, who, OPEN, f.ana)),
    "adjustments.pay_currency":       Row("payouts.adjust",  "ENNNNN", lambda f, who: adjustments.pay_currency(f.db, who, f.ana, OPEN)),
    "adjustments.adjustable_people":  Row("payouts.adjust",  "YNNNNN", lambda f, who: adjustments.adjustable_people(f.db, who)),
    # --- runs
    "runs.run_period":                Row("runs.start",      "YNNNNN", lambda f, who: runs.run_period(f.db, f.pool, who, OPEN)),
    "runs.keep":                      Row("runs.start",      "YNNNNN", lambda f, who: runs.keep(f.db, who, f.outcome, "cpython", b"x")),
    "runs.start_run":                 Row("runs.start",      "YNNNNN", lambda f, who: runs.start_run(f.db, f.runner, who, OPEN)),
    "runs.run_job_of":                Row("runs.view",       "EENNNN", lambda f, who: runs.run_job_of(f.db, who, OPEN)),
    "runs.pay_kinds":                 Row("earnings.view",   "EEEEEE", lambda f, who: runs.pay_kinds(f.db, who)),
    "runs.last_run_period":           Row("earnings.view",   "EEEEEE", lambda f, who: runs.last_run_period(f.db, who)),
    "run_preview.preview_run":        Row("runs.start",      "YNNNNN", lambda f, who: run_preview.preview_run(f.db, f.pool, who, OPEN)),
    "recalculation.recalculate":      Row("runs.start",      "YNNNNN", lambda f, who: recalculation.recalculate(f.db, f.pool, who, [OPEN])),
    "recalculation.stale":            Row("runs.view",       "YYNNNN", lambda f, who: recalculation.stale(f.db, f.pool, who)),
    "freshness.outdated":             Row("earnings.view",   "EEEEEE", lambda f, who: freshness.outdated(f.db, who, OPEN)),
    "freshness.verdict":              Row("runs.view",       "YYNNNN", lambda f, who: freshness.verdict(f.db, who, OPEN, f.pool)),
    "freshness.data_version":         Row("dashboard.view",  "YYYYYY", lambda f, who: freshness.data_version(f.db, who), own=True),
    "clean_ups.superseded":           Row("runs.view",       "EENNNN", lambda f, who: clean_ups.superseded(f.db, who)),
    "clean_ups.remove_superseded":    Row("runs.clean",      "YNNNNN", lambda f, who: clean_ups.remove_superseded(f.db, who)),
    # --- payouts
    "approvals.review":               Row("payouts.view",    "EENNNN", lambda f, who: approvals.review(f.db, who, f.run_id)),
    "approvals.standing":             Row("payouts.view",    "YYNNNN", lambda f, who: approvals.standing(f.db, who, OPEN, f.pool)),
    "approvals.queue":                Row("payouts.view",    "EENNNN", lambda f, who: approvals.queue(f.db, who)),
    "approvals.two_person_rule":      Row("payouts.view",    "EENNNN", lambda f, who: approvals.two_person_rule(f.db, who)),
    "approvals.set_two_person_rule":  Row("payouts.rules",   "YNNNNN", lambda f, who: approvals.set_two_person_rule(f.two_admins(), who, True)),
    "approvals.overpaid":             Row("payouts.view",    "EENNNN", lambda f, who: approvals.overpaid(f.db, who)),
    "payouts.lock_amounts":           Row("payouts.approve", "YNNNNN", lambda f, who: (f.run(), payouts.lock_amounts(f.db, who, OPEN))),
    "payouts.approve_period":         Row("payouts.approve", "YNNNNN", lambda f, who: (f.run(), payouts.approve_period(f.db, who, OPEN))),
    "batch_approval.approvable":       Row("payouts.approve",   "YNNNNN", lambda f, who: (f.run(), batch_approval.approvable(f.db, who, f.pool))),
    "batch_approval.approve_periods":  Row("payouts.approve",   "YNNNNN", lambda f, who: (f.run(), batch_approval.approve_periods(f.db, f.pool, who, {OPEN: None}))),
    "runs.deals_without_plan":         Row("runs.view",         "EENNNN", lambda f, who: runs.deals_without_plan(f.db, who, OPEN)),
    "payouts.payout_state":           Row("payouts.view",    "YYNNNN", lambda f, who: payouts.payout_state(f.db, who, APPROVED)),
    "payouts.payable_now":            Row("payouts.view",    "EENNNN", lambda f, who: payouts.payable_now(f.db, who, TODAY)),
    "payouts.mark_paid":              Row("payouts.pay",     "YNNNNN", lambda f, who: payouts.mark_paid(f.db, who, APPROVED)),
    "payouts.release":                Row("payouts.pay",     "YNNNNN", lambda f, who: payouts.release(f.db, who, APPROVED, f.part, "left")),
    "payouts.list_periods":           Row("payouts.view",    "YYNNNN", lambda f, who: payouts.list_periods(f.db, who)),
    "payouts.period_people":          Row("payouts.view",    "YYNNNN", lambda f, who: payouts.period_people(f.db, who, APPROVED, TODAY)),
    "payouts.payments":               Row("payouts.view",    "YYNNNN", lambda f, who: payouts.payments(f.db, who, PAID)),
    "payouts.reverse_payout":         Row("payouts.reverse", "YNNNNN", lambda f, who: payouts.reverse_payout(f.db, who, PAID, "wrong")),
    "payouts.reversible_people":      Row("payouts.reverse", "YNNNNN", lambda f, who: payouts.reversible_people(f.db, who, PAID)),
    "payouts.reversals":              Row("payouts.view",    "EENNNN", lambda f, who: payouts.reversals(f.db, who, PAID)),
    "payouts.payroll_file":           Row("payouts.export",  "YYNNNN", lambda f, who: payouts.payroll_file(f.db, who, APPROVED)),
}  # fmt: skip

"""The rows of deals, activities, stages, imports, pipeline, forecast and dashboard; see `test_services`."""

import io
import uuid
from dataclasses import replace
from datetime import date

from engine.periods import parse_period
from engine.services import (
    activities,
    batches,
    commission,
    dashboard,
    deal_edits,
    deal_fields,
    deal_upserts,
    deals,
    forecast,
    forecast_backtest,
    forecast_deals,
    forecast_simulation,
    import_files,
    imports,
    left_out,
    needs,
    payables,
    pipeline,
    stages,
    teams,
)
from engine.services.deal_fields import DealField
from tests.integration.matrix.rows import Row
from tests.integration.matrix.standing import EXPORT, NOW, TODAY

Q4 = parse_period("2026-Q4")
NOTE = activities.ActivityFields("note", "x", NOW)
FIELD = DealField("Region", "text")
UPLOAD = imports.Upload(EXPORT.encode(), "deals.csv", "file", today=TODAY)
STAGE = stages.StageFields("Pilot", "open", 500_000, "blue")
OPEN_PAGE, ALL = deals.Page(), deals.DealFilters()

# ruff: noqa: E501 - a table
# mypy: disable-error-code="func-returns-value"
ROWS: dict[str, Row] = {
    # ------------------------------------------------------------- ada fay mia max ana bo
    "dashboard.dashboard":            Row("dashboard.view",  "YYYEYE", lambda f, who: dashboard.dashboard(f.db, who, Q4, None, TODAY)),
    "dashboard.dashboard (her team)": Row("dashboard.view",  "YYYEYE", lambda f, who: dashboard.dashboard(f.db, who, Q4, f.team, TODAY)),
    "dashboard.open_counted":          Row("dashboard.view",    "YYYEYE", lambda f, who: dashboard.open_counted(f.db, who, None, TODAY, (date(2026, 10, 1), date(2027, 1, 1)), ())),
    "needs.needs":                    Row("dashboard.view",  "YEEEYE", lambda f, who: needs.needs(f.db, who, TODAY)),
    "needs.without_quota":             Row("quotas.edit",       "ENNNNN", lambda f, who: needs.without_quota(f.db, who, TODAY)),
    "pipeline.pipeline":              Row("pipeline.view",   "YYYEYE", lambda f, who: pipeline.pipeline(f.db, who, Q4, None, "owner", TODAY)),
    "pipeline.pipeline (her team)":   Row("pipeline.view",   "YYYEYE", lambda f, who: pipeline.pipeline(f.db, who, Q4, f.team, "owner", TODAY)),
    "commission.commission":          Row("analytics.view",  "YYYEYE", lambda f, who: commission.commission(f.db, who, date(2026, 1, 1), date(2026, 5, 1), None, TODAY)),
    "teams.list_teams":               Row("dashboard.view",  "EEEEEE", lambda f, who: teams.list_teams(f.db, who, TODAY)),
    # --- forecast
    "forecast.outlook":               Row("forecast.view",   "YYYEYE", lambda f, who: forecast.outlook(f.db, who, None, TODAY, 2)),
    "forecast.outlook (her team)":    Row("forecast.view",   "YYYEYE", lambda f, who: forecast.outlook(f.db, who, f.team, TODAY, 2)),
    "forecast_backtest.backtest":     Row("forecast.view",   "EEEEEE", lambda f, who: forecast_backtest.backtest(f.db, who, None, TODAY)),
    "forecast_backtest.start_backtest": Row("forecast.view", "YYYYYY", lambda f, who: forecast_backtest.start_backtest(f.db, f.runner, who, None, TODAY), own=True),
    "forecast_simulation.simulated":  Row("forecast.view",   "YYYEYE", lambda f, who: forecast_simulation.simulated(f.db, f.pool, who, None, TODAY, 1, 20)),
    "forecast_simulation.simulated (she has no quota)": Row("forecast.view", "YYYEYE", lambda f, who: forecast_simulation.simulated(f.without_quota(), f.pool, who, None, TODAY, 1, 20)),
    "forecast_deals.choosable":       Row("forecast.view",   "YYYEYE", lambda f, who: forecast_deals.choosable(f.db, who, TODAY)),
    "forecast_deals.open_deals":      Row("forecast.view",   "YYYNYN", lambda f, who: forecast_deals.open_deals(f.db, who, f.ana, TODAY)),
    "forecast_deals.if_these_close":  Row("forecast.view",   "YYYNYN", lambda f, who: forecast_deals.if_these_close(f.db, f.pool, who, f.ana, {f.open: forecast_deals.Tick(date(2026, 12, 1), 5)}, TODAY)),
    # --- deals
    "deals.list_deals":               Row("deals.view",      "YYYEYE", lambda f, who: deals.list_deals(f.db, who, ALL, OPEN_PAGE, TODAY)),
    "deals.list_deals (hers)":        Row("deals.view",      "YYYEYE", lambda f, who: deals.list_deals(f.db, who, deals.DealFilters(owner_id=f.ana), OPEN_PAGE, TODAY)),
    "deals.list_deals (her team)":    Row("deals.view",      "YYYEYE", lambda f, who: deals.list_deals(f.db, who, deals.DealFilters(team_id=f.team), OPEN_PAGE, TODAY)),
    "deals.list_deals (her name)":    Row("deals.view",      "YYYEYE", lambda f, who: deals.list_deals(f.db, who, deals.DealFilters(text="ana"), OPEN_PAGE, TODAY)),
    "deals.deals_after":              Row("deals.view",      "YYYEYE", lambda f, who: deals.deals_after(f.db, who, ALL, None, 50, TODAY)),
    "deals.export_deals":             Row("deals.view",      "YYYEYE", lambda f, who: deals.export_deals(f.db, who, ALL, OPEN_PAGE, TODAY)),
    "deals.export_name":              Row("deals.view",      "YYYEYE", lambda f, who: deals.export_name(f.db, who, deals.DealFilters(owner_id=f.ana), TODAY)),
    "deals.deal_choices":             Row("deals.view",      "YYYEYE", lambda f, who: deals.deal_choices(f.db, who, TODAY)),
    "deals.deal_detail":              Row("deals.view",      "YYYHYH", lambda f, who: deals.deal_detail(f.db, who, f.open, TODAY)),
    "deals.named_deal":               Row("deals.view",      "YYYHYH", lambda f, who: deals.named_deal(f.db, who, f.open, TODAY)),
    "deals.split_deal":               Row("deals.view",      "YYYHYH", lambda f, who: deals.split_deal(f.db, who, f.open, [(f.ana, 1_000_000)], TODAY)),
    "deals.create_deal":              Row("deals.edit",      "YNNNNN", lambda f, who: deals.create_deal(f.db, who, f.fields(f.open))),
    "deals.edit_deal":                Row("deals.edit",      "YNNNNN", lambda f, who: deals.edit_deal(f.db, who, f.open, f.version, f.fields(f.open))),
    "deals.edit_impact":              Row("deals.edit",      "YNNNNN", lambda f, who: deals.edit_impact(f.db, f.pool, who, f.won, 1, replace(f.fields(f.won), amount=5), TODAY)),
    "deals.delete_deal":              Row("deals.edit",      "YNNNNN", lambda f, who: deals.delete_deal(f.db, who, f.lost, 1)),
    "deal_edits.preview_edit":        Row("deals.edit",      "YNNNNN", lambda f, who: deal_edits.preview_edit(f.db, f.pool, who, f.bulk, TODAY)),
    "deal_edits.apply_edit":          Row("deals.edit",      "YNNNNN", lambda f, who: deal_edits.apply_edit(f.db, who, f.bulk, f.bulk_seen, TODAY)),
    "deal_edits.list_edits":          Row("deals.edit",      "ENNNNN", lambda f, who: deal_edits.list_edits(f.db, who)),
    "deal_fields.list_fields":        Row("deals.view",      "EEEEEE", lambda f, who: deal_fields.list_fields(f.db, who)),
    "deal_fields.undefined_columns":  Row("deals.edit",      "ENNNNN", lambda f, who: deal_fields.undefined_columns(f.db, who)),
    "deal_fields.report_field":       Row("deals.edit",      "ENNNNN", lambda f, who: deal_fields.report_field(f.db, f.pool, who, FIELD, TODAY)),
    "deal_fields.define_field":       Row("deals.edit",      "YNNNNN", lambda f, who: deal_fields.define_field(f.db, who, FIELD)),
    "deal_fields.forget_field":       Row("deals.edit",      "YNNNNN", lambda f, who: (deal_fields.define_field(f.db, f.ada, FIELD), deal_fields.forget_field(f.db, who, "Region"))),
    "payables.record_customer_payment": Row("deals.edit",    "YNNNNN", lambda f, who: payables.record_customer_payment(f.db, who, f.won, str(uuid.uuid4()), TODAY, 5, TODAY)),
    "payables.customer_payments":     Row("deals.edit",      "YNNNNN", lambda f, who: payables.customer_payments(f.db, who, f.won)),
    # files, and deals that programs send
    "deal_upserts.check_deals":       Row("deals.import",    "YNNNNN", lambda f, who: deal_upserts.check_deals(f.db, who, "crm", f.sent, TODAY)),
    "deal_upserts.take_in_deals":     Row("deals.import",    "YNNNNN", lambda f, who: deal_upserts.take_in_deals(f.db, who, f.sent_preview)),
    "imports.preview_import":         Row("deals.import",    "YNNNNN", lambda f, who: imports.preview_import(f.db, who, UPLOAD, f.pool, earnings=True)),
    "imports.import_deals":           Row("deals.import",    "YNNNNN", lambda f, who: imports.import_deals(f.db, who, f.preview, accept_refused=True)),
    "imports.refused_rows":           Row("deals.import",    "YNNNNN", lambda f, who: imports.refused_rows(f.db, who, UPLOAD)),
    "imports.list_imports":           Row("deals.import",    "ENNNNN", lambda f, who: imports.list_imports(f.db, who)),
    "imports.past_refusals":          Row("deals.import",    "ENNNNN", lambda f, who: imports.past_refusals(f.db, who, f.imported)),
    "left_out.unknown_owners":         Row("deals.import",      "YNNNNN", lambda f, who: left_out.unknown_owners(f.db, who, f.imported, TODAY)),
    "left_out.left_out_rows":          Row("deals.import",      "ENNNNN", lambda f, who: left_out.left_out_rows(f.db, who, f.imported, 50, 0)),
    "left_out.owner_choices":          Row("deals.import",      "YNNNNN", lambda f, who: left_out.owner_choices(f.db, who)),
    "left_out.map_owners":             Row("deals.import",      "YNNNNN", lambda f, who: left_out.map_owners(f.db, who, "file", {"A. Na": f.ana})),
    "imports.known_sources":          Row("deals.import",    "ENNNNN", lambda f, who: imports.known_sources(f.db, who)),
    "batches.find_import":            Row("deals.import",    "ENNNNN", lambda f, who: batches.find_import(f.db, who, f.imported)),
    "batches.import_rows":            Row("deals.import",    "YNNNNN", lambda f, who: batches.import_rows(f.db, who, f.imported, added=True)),
    "batches.periods_to_run":         Row("deals.import",    "ENNNNN", lambda f, who: batches.periods_to_run(f.db, who, batches.find_import(f.db, f.ada, f.imported))),
    "batches.undo_import":            Row("deals.import",    "YNNNNN", lambda f, who: batches.undo_import(f.db, who, f.imported)),
    "batches.start_undo":             Row("deals.import",    "YNNNNN", lambda f, who: batches.start_undo(f.runner, who, f.imported)),
    "batches.undo_job_of":            Row("deals.import",    "ENNNNN", lambda f, who: batches.undo_job_of(f.db, who, f.imported)),
    "batches.remembered":             Row("deals.import",    "ENNNNN", lambda f, who: batches.remembered(f.db, who)),
    "batches.forget":                 Row("deals.import",    "YNNNNN", lambda f, who: batches.forget(f.db, who, "file", "mapping", "name")),
    "import_files.keep_file":         Row("deals.import",    "YNNNNN", lambda f, who: import_files.keep_file(f.db, who, "d.csv", io.BytesIO(b"x"))),
    "import_files.kept_file":         Row("deals.import",    "ENNNNN", lambda f, who: import_files.kept_file(f.db, who, f.file)),
    "import_files.file_in_hand":      Row("deals.import",    "ENNNNN", lambda f, who: import_files.file_in_hand(f.db, who)),
    "import_files.start_check":       Row("deals.import",    "YNNNNN", lambda f, who: import_files.start_check(f.db, f.runner, who, f.file, UPLOAD)),
    "import_files.start_import":      Row("deals.import",    "YNNNNN", lambda f, who: import_files.start_import(f.db, f.runner, who, f.file, accept_refused=True)),
    "import_files.refused_rows":      Row("deals.import",    "ENNNNN", lambda f, who: import_files.refused_rows(f.db, who, f.file)),
    "import_files.forget_file":       Row("deals.import",    "YNNNNN", lambda f, who: import_files.forget_file(f.db, who, f.file)),
    # --- activities
    "activities.list_activities":     Row("activities.view", "YYYEYE", lambda f, who: activities.list_activities(f.db, who, activities.ActivityFilters(), activities.Page(), TODAY)),
    "activities.list_activities (hers)": Row("activities.view", "YYYEYE", lambda f, who: activities.list_activities(f.db, who, activities.ActivityFilters(user_id=f.ana), activities.Page(), TODAY)),
    "activities.list_activities (her deal)": Row("activities.view", "YYYEYE", lambda f, who: activities.list_activities(f.db, who, activities.ActivityFilters(deal_id=f.open), activities.Page(), TODAY)),
    "activities.activities_after":    Row("activities.view", "YYYEYE", lambda f, who: activities.activities_after(f.db, who, activities.ActivityFilters(), None, 50, TODAY)),
    "activities.export_activities":   Row("activities.view", "YYYEYE", lambda f, who: activities.export_activities(f.db, who, activities.ActivityFilters(), activities.Page(), TODAY)),
    "activities.people_to_choose":    Row("activities.view", "YYYEYE", lambda f, who: activities.people_to_choose(f.db, who, TODAY)),
    "activities.deals_to_choose":     Row("activities.view", "YYYEYE", lambda f, who: activities.deals_to_choose(f.db, who, "ana", TODAY)),
    "activities.deal_name":           Row("activities.view", "YYYEYE", lambda f, who: activities.deal_name(f.db, who, f.open, TODAY)),
    "activities.beside_results":      Row("activities.view", "YYYEYE", lambda f, who: activities.beside_results(f.db, who, Q4, None, TODAY)),
    "activities.log_activity":        Row("activities.edit", "YNYYYY", lambda f, who: activities.log_activity(f.db, who, NOTE, NOW), own=True),
    "activities.log_activity (her deal)": Row("activities.edit", "YNYRYR", lambda f, who: activities.log_activity(f.db, who, activities.ActivityFields("note", "x", NOW, deal_id=f.open), NOW)),
    "activities.edit_activity":       Row("activities.edit", "YNNNYN", lambda f, who: activities.edit_activity(f.db, who, f.activity, 1, NOTE, NOW)),
    "activities.set_done":            Row("activities.edit", "YNNNYN", lambda f, who: activities.set_done(f.db, who, f.activity, 1, NOW)),
    "activities.delete_activity":     Row("activities.edit", "YNNNYN", lambda f, who: activities.delete_activity(f.db, who, f.activity, 1)),
    # --- stages
    "stages.list_stages":             Row("stages.view",     "EEEEEE", lambda f, who: stages.list_stages(f.db, who)),
    "stages.stage_rows":              Row("stages.view",     "YYYEYE", lambda f, who: stages.stage_rows(f.db, who, date(2026, 1, 1), date(2027, 1, 1), TODAY)),
    "stages.plans_naming":            Row("stages.view",     "EEEEEE", lambda f, who: stages.plans_naming(f.db, who, "Proposal")),
    "stages.first_open_period":       Row("stages.view",     "EEEEEE", lambda f, who: stages.first_open_period(f.db, who)),
    "stages.standing":                Row("stages.edit",     "ENNNNN", lambda f, who: stages.standing(f.db, who, f.stage.id)),
    "stages.add_stage":               Row("stages.edit",     "YNNNNN", lambda f, who: stages.add_stage(f.db, who, STAGE)),
    "stages.edit_stage":              Row("stages.edit",     "YNNNNN", lambda f, who: stages.edit_stage(f.db, who, f.stage, STAGE)),
    "stages.take_real_rate":          Row("stages.edit",     "YNNNNN", lambda f, who: stages.take_real_rate(f.db, who, f.stage, 400_000)),
    "stages.order_stages":            Row("stages.edit",     "YNNNNN", lambda f, who: stages.order_stages(f.db, who, [each.id for each in stages.list_stages(f.db, f.ada)])),
    "stages.retire_stage":            Row("stages.edit",     "YNNNNN", lambda f, who: stages.retire_stage(f.db, who, f.stage, f.other_stage.id, 3)),
    "stages.restore_stage":           Row("stages.edit",     "YNNNNN", lambda f, who: (stages.retire_stage(f.db, f.ada, f.stage, f.other_stage.id, 3), stages.restore_stage(f.db, who, f.stage.id))),
    "stages.meaning_impact":          Row("stages.edit",     "YNNNNN", lambda f, who: stages.meaning_impact(f.db, f.pool, who, f.stage, stages.StageFields("Proposal", "won", 1_000_000, "green"), TODAY)),
    "stages.move_impact":             Row("stages.edit",     "YNNNNN", lambda f, who: stages.move_impact(f.db, f.pool, who, f.stage, f.won_stage, TODAY)),
}  # fmt: skip

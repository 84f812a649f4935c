"""The rows of people, teams, plans, quotas, what-if, and of what belongs to the system; see `test_services`."""

from datetime import date

from engine.imports.people import read_roster
from engine.services import (
    api_tokens,
    audit_log,
    company,
    jobs,
    once,
    pay_periods,
    people,
    people_import,
    plans,
    quota_tools,
    quotas,
    status,
    teams,
    whatif,
    whatif_scenarios,
)
from tests.integration.matrix.rows import Row
from tests.integration.matrix.standing import NOW, TODAY

YEAR = quotas.Scope("quarter", 2026, TODAY)
NEW = date(2026, 12, 1)
ROSTER = read_roster(b"Name,Email,Role\nNina New,nina@test.example,rep\n")
SPAN = whatif.spans(TODAY)[0]

# ruff: noqa: E501 - a table
# mypy: disable-error-code="func-returns-value"
ROWS: dict[str, Row] = {
    # ------------------------------------------------------------- ada fay mia max ana bo
    "people.list_people":             Row("people.view",     "YYYENN", lambda f, who: people.list_people(f.db, who, TODAY)),
    "people.person_history":          Row("people.view",     "YYYNNN", lambda f, who: people.person_history(f.db, who, f.ana, TODAY)),
    "people.list_team_rows":          Row("people.view",     "EEEENN", lambda f, who: people.list_team_rows(f.db, who, TODAY)),
    "people.team_members":            Row("people.view",     "EEEENN", lambda f, who: people.team_members(f.db, who, f.team, TODAY)),
    "people.team_history":            Row("people.view",     "EEEENN", lambda f, who: people.team_history(f.db, who, f.team)),
    "people.add_person":              Row("people.edit",     "YNNNNN", lambda f, who: people.add_person(f.db, who, "Nina New", "nina@test.example", "rep")),
    "people.add_people":              Row("people.edit",     "YNNNNN", lambda f, who: people.add_people(f.db, who, [people.PersonRow("Nina New", "nina@test.example")])),
    "people.edit_person":             Row("people.edit",     "YNNNNN", lambda f, who: people.edit_person(f.db, who, f.ana, "Ana B", "ana@test.example", "rep", None)),
    "people.reset_password":          Row("people.edit",     "YNNNNN", lambda f, who: people.reset_password(f.db, who, f.ana)),
    "people.deactivate_person":       Row("people.edit",     "YNNNNN", lambda f, who: people.deactivate_person(f.db, who, f.ana, NEW)),
    "people.reactivate_person":       Row("people.edit",     "YNNNNN", lambda f, who: (people.deactivate_person(f.db, f.ada, f.ana, NEW), people.reactivate_person(f.db, who, f.ana))),
    "people.create_team":             Row("people.edit",     "YNNNNN", lambda f, who: people.create_team(f.db, who, "North", None, None, NEW)),
    "people.change_team":             Row("people.edit",     "YNNNNN", lambda f, who: people.change_team(f.db, who, f.team, "Orient", None, f.users["mia"], NEW)),
    "people.move_person":             Row("people.edit",     "YNNNNN", lambda f, who: people.move_person(f.db, who, f.ana, None, NEW)),
    "people_import.preview_people":   Row("people.edit",     "ENNNNN", lambda f, who: people_import.preview_people(f.db, who, ROSTER, NEW)),
    "people_import.import_people":    Row("people.edit",     "YNNNNN", lambda f, who: people_import.import_people(f.db, who, ROSTER, NEW, people_import.preview_people(f.db, f.ada, ROSTER, NEW), TODAY)),
    "people_import.roster_impact":    Row("people.edit",     "ENNNNN", lambda f, who: people_import.roster_impact(f.db, f.pool, who, ROSTER, NEW, TODAY)),
    "people_import.export_roster":    Row("people.view",     "YYYENN", lambda f, who: people_import.export_roster(f.db, who, TODAY)),
    "teams.hierarchy":                Row("people.view",     "YYYENN", lambda f, who: teams.hierarchy(f.db, who, TODAY, TODAY)),
    "pay_periods.touched_from":       Row("people.view",     "EEEENN", lambda f, who: pay_periods.touched_from(f.db, who, date(2026, 1, 1))),
    # --- plans
    "plans.list_plans":               Row("plans.view",      "EEEEEE", lambda f, who: plans.list_plans(f.db, who, TODAY)),
    "plans.plan_detail":              Row("plans.view",      "YYYEYE", lambda f, who: plans.plan_detail(f.db, who, f.plan, TODAY)),
    "plans.review_draft":             Row("plans.edit",      "ENNNNN", lambda f, who: plans.review_draft(f.db, who, "draft", f.plan_text, ())),
    "plans.create_plan":              Row("plans.edit",      "YNNNNN", lambda f, who: plans.create_plan(f.db, who, "Other", f.template, NEW)),
    "plans.save_draft":               Row("plans.edit",      "YNNNNN", lambda f, who: plans.save_draft(f.db, who, f.draft, f.plan_text, f.document)),
    "plans.publish_plan":             Row("plans.edit",      "YNNNNN", lambda f, who: (plans.save_draft(f.db, f.ada, f.draft, f.plan_text, f.document), plans.publish_plan(f.db, who, f.draft, f.plan_text))),
    "plans.new_draft":                Row("plans.edit",      "YNNNNN", lambda f, who: plans.new_draft(f.db, who, f.plan, date(2027, 1, 1))),
    "plans.discard_draft":            Row("plans.edit",      "YNNNNN", lambda f, who: plans.discard_draft(f.db, who, f.draft)),
    "plans.assign_plan":              Row("plans.edit",      "YNNNNN", lambda f, who: plans.assign_plan(f.db, who, f.plan, [f.users["max"]], NEW)),
    "plans.end_assignment":           Row("plans.edit",      "YNNNNN", lambda f, who: plans.end_assignment(f.db, who, f.assignment, NEW)),
    "plans.remove_assignment":        Row("plans.edit",      "YNNNNN", lambda f, who: plans.remove_assignment(f.db, who, f.assignment)),
    # --- quotas
    "quotas.fiscal_month":            Row("quotas.view",     "EEEEEE", lambda f, who: quotas.fiscal_month(f.db, who)),
    "quotas.quota_components":        Row("quotas.view",     "EEEEEE", lambda f, who: quotas.quota_components(f.db, who, TODAY)),
    "quotas.quota_grid":              Row("quotas.view",     "YYYEYE", lambda f, who: quotas.quota_grid(f.db, who, YEAR)),
    "quotas.quota_changes":           Row("quotas.view",     "YYYEYE", lambda f, who: quotas.quota_changes(f.db, who, TODAY)),
    "quotas.team_roll_up":            Row("quotas.view",     "YYYEEE", lambda f, who: quotas.team_roll_up(f.db, who, YEAR, ["2026-Q4"])),
    "quotas.part_periods":            Row("quotas.view",     "YYYEYE", lambda f, who: quotas.part_periods(f.db, who, f.part_grid)),
    "quotas.save_quotas":             Row("quotas.edit",     "YNNNNN", lambda f, who: quotas.save_quotas(f.db, who, {(f.ana, "2026-Q4"): 5})),
    "quotas.last_save":               Row("quotas.edit",     "ENNNNN", lambda f, who: quotas.last_save(f.db, who)),
    "quotas.undo_save":               Row("quotas.edit",     "YNNNNN", lambda f, who: quotas.undo_save(f.db, who, f.quota_save)),
    "quota_tools.save_proposal":      Row("quotas.edit",     "YNNNNN", lambda f, who: quota_tools.save_proposal(f.db, who, quota_tools.propose_copy(f.db, f.ada, YEAR, "2027-Q1"))),
    "quota_tools.propose_table":      Row("quotas.edit",     "YNNNNN", lambda f, who: quota_tools.propose_table(f.db, who, YEAR, f"Person\t2026-Q4\n{f.ana_email}\t7")),
    "quota_tools.propose_copy":       Row("quotas.edit",     "YNNNNN", lambda f, who: quota_tools.propose_copy(f.db, who, YEAR, "2027-Q1")),
    "quota_tools.propose_ramp":       Row("quotas.edit",     "YNNNNN", lambda f, who: quota_tools.propose_ramp(f.db, who, YEAR, f.ana, NEW, "50, 100", "1000", "quarter")),
    "quota_tools.propose_split":      Row("quotas.edit",     "YNNNNN", lambda f, who: quota_tools.propose_split(f.db, who, YEAR, [f.ana], "1000")),
    "quota_tools.saved_ramps":        Row("quotas.edit",     "ENNNNN", lambda f, who: quota_tools.saved_ramps(f.db, who)),
    "quota_tools.save_ramp":          Row("quotas.edit",     "YNNNNN", lambda f, who: quota_tools.save_ramp(f.db, who, "slow", "25, 50")),
    "quota_tools.forget_ramp":        Row("quotas.edit",     "YNNNNN", lambda f, who: (quota_tools.save_ramp(f.db, f.ada, "slow", "25, 50"), quota_tools.forget_ramp(f.db, who, "slow"))),
    # --- what if
    "whatif.base":                    Row("whatif.use",      "YYNNNN", lambda f, who: whatif.base(f.db, who, TODAY)),
    "whatif.price":                   Row("whatif.use",      "YYNNNN", lambda f, who: whatif.price(f.db, f.pool, who, f.base, f.variant, SPAN)),
    "whatif.quarter":                 Row("whatif.use",      "YYNNNN", lambda f, who: whatif.quarter(f.db, who, f.base, TODAY)),
    "whatif.outlook":                 Row("whatif.use",      "EENNNN", lambda f, who: whatif.outlook(f.db, f.pool, who, f.base, whatif.quarter(f.db, f.ada, f.base, TODAY), f.variant)),
    "whatif.read":                    Row("whatif.use",      "EENNNN", lambda f, who: whatif.read(f.db, who, f.base, f.variant)),
    "whatif_scenarios.list_scenarios": Row("whatif.use",     "EENNNN", lambda f, who: whatif_scenarios.list_scenarios(f.db, who)),
    "whatif_scenarios.open_scenario": Row("whatif.use",      "EENNNN", lambda f, who: whatif_scenarios.open_scenario(f.db, who, f.scenario)),
    "whatif_scenarios.save_scenario": Row("whatif.save",     "YYNNNN", lambda f, who: whatif_scenarios.save_scenario(f.db, who, "Mine", "", f.variant, "12m"), own=True),
    "whatif_scenarios.save_scenario (another's)": Row("whatif.save", "YNNNNN", lambda f, who: whatif_scenarios.save_scenario(f.db, who, "Mine", "", f.variant, "12m", f.scenario)),
    "whatif_scenarios.rename_scenario (another's)": Row("whatif.save", "YNNNNN", lambda f, who: whatif_scenarios.rename_scenario(f.db, who, f.scenario, "Mine", "")),
    "whatif_scenarios.delete_scenario (another's)": Row("whatif.save", "YNNNNN", lambda f, who: whatif_scenarios.delete_scenario(f.db, who, f.scenario)),
    "whatif_scenarios.draft_of":      Row("plans.edit",      "YNNNNN", lambda f, who: whatif_scenarios.draft_of(f.db, who, f.variant, date(2027, 1, 1))),
    # --- the system
    "api_tokens.create_token":        Row("tokens.edit",     "YYYYYY", lambda f, who: api_tokens.create_token(f.db, who, "t", frozenset({"read"}), 1, NOW), own=True),
    "api_tokens.list_tokens":         Row("tokens.edit",     "YEEEYE", lambda f, who: api_tokens.list_tokens(f.db, who)),
    "api_tokens.revoke_token":        Row("tokens.edit",     "YHHHYH", lambda f, who: api_tokens.revoke_token(f.db, who, f.token)),
    "audit_log.list_entries":         Row("audit.view",      "YYNNNN", lambda f, who: audit_log.list_entries(f.db, who, audit_log.AuditFilters(), 50, 0)),
    "audit_log.choices":              Row("audit.view",      "YYNNNN", lambda f, who: audit_log.choices(f.db, who)),
    "audit_log.export_entries":       Row("audit.view",      "YYNNNN", lambda f, who: audit_log.export_entries(f.db, who, audit_log.AuditFilters())),
    "audit_log.record_export":        Row("",                "YYYYYY", lambda f, who: audit_log.record_export(f.db, who, "deals.csv"), own=True),
    "company.company_settings":       Row("settings.view",   "EENNNN", lambda f, who: company.company_settings(f.db, who)),
    "company.save_settings":          Row("settings.edit",   "YNNNNN", lambda f, who: company.save_settings(f.db, who, f.settings, f.settings)),
    "jobs.job":                       Row("status.view",     "EENNNN", lambda f, who: jobs.job(f.db, who, f.job)),
    "jobs.list_jobs":                 Row("status.view",     "EENNNN", lambda f, who: jobs.list_jobs(f.db, who)),
    "jobs.count_jobs":                Row("status.view",     "EENNNN", lambda f, who: jobs.count_jobs(f.db, who)),
    "jobs.kinds":                     Row("status.view",     "EENNNN", lambda f, who: jobs.kinds(f.db, who)),
    "jobs.open_jobs":                 Row("status.view",     "EENNNN", lambda f, who: jobs.open_jobs(f.db, who)),
    "jobs.cancel_job":                Row("jobs.manage",     "YNNNNN", lambda f, who: jobs.cancel_job(f.db, who, f.job)),
    "jobs.retry_job":                 Row("jobs.manage",     "YNNNNN", lambda f, who: (jobs.cancel_job(f.db, f.ada, f.job), jobs.retry_job(f.db, f.runner, who, f.job))),
    "once.once":                      Row("",                "YYYYYY", lambda f, who: once.once(f.db, who, "key", "POST /x", lambda _db: (200, "{}")), own=True),
    "sign_in.change_password":        Row("",                "YYYYYY", lambda f, who: f.change_password(who), own=True),
    "status.system_status":           Row("status.view",     "YYNNNN", lambda f, who: status.system_status(f.db, f.pool, who)),
}  # fmt: skip

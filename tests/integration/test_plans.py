"""Drafts, versions and assignments on a real database; each test says what must be refused and that nothing stays."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
import sqlalchemy as sa

from engine.db.database import Database
from engine.errors import ProblemsError, QuotaPathError
from engine.plans.document import parse_plan
from engine.plans.reader import load_toml
from engine.services import people as people_service
from engine.services import plans
from engine.services.access import Actor, Forbidden

TODAY = date(2026, 11, 22)
NEW_YEAR = date(2026, 1, 1)


@pytest.fixture
def db(database_url):
    database = Database(database_url)
    with database.write() as conn:
        conn.execute(sa.text("INSERT INTO company (name, currency) VALUES ('Acme', 'EUR')"))
        conn.execute(
            sa.text("""
                INSERT INTO users (code, name, email, role) VALUES
                    ('root', 'Root', 'root@acme.test', 'admin'), ('ana', 'Ana', 'ana@acme.test', 'rep'),
                    ('bo', 'Bo', 'bo@acme.test', 'rep'), ('mia', 'Mia', 'mia@acme.test', 'manager')
            """)
        )
    yield database
    database.close()


def user(db, code):
    with db.read() as conn:
        return conn.execute(sa.text("SELECT id FROM users WHERE code = :code"), {"code": code}).scalar_one()


@pytest.fixture
def admin(db):
    return Actor(user(db, "root"), "admin", "Root")


@pytest.fixture
def plan(db, admin):
    return plans.create_plan(db, admin, "AE 2026", "percentage", NEW_YEAR)


def detail(db, admin, plan_id):
    return plans.plan_detail(db, admin, plan_id, TODAY)


def published(db, admin, plan_id):
    plans.publish_plan(db, admin, plan_id, detail(db, admin, plan_id).draft.document)
    return plan_id


def paths(caught):
    return [problem.path for problem in caught.value.problems]


def audits(db):
    with db.read() as conn:
        return conn.execute(sa.text("SELECT count(*) FROM audit")).scalar_one()


@pytest.mark.parametrize("template", [template.name for template in plans.templates()])
def test_each_template_begins_a_plan_that_can_be_published(db, admin, template):
    plan_id = plans.create_plan(db, admin, "A plan", template, NEW_YEAR)
    begun = detail(db, admin, plan_id)
    assert begun.name == "a-plan"
    assert 'currency = "EUR"' in begun.draft.document
    assert plans.draft_problems("a-plan", begun.draft.document, ()) == []


def test_the_four_seed_kinds_have_templates():
    assert [template.name for template in plans.templates()] == ["flat", "percentage", "deal-size", "quota"]
    assert all(template.title and template.description for template in plans.templates())


@pytest.mark.parametrize("title", ["", "   ", "!!!", "x" * 201])
def test_a_plan_needs_a_usable_name(db, admin, title):
    with pytest.raises(ProblemsError) as caught:
        plans.create_plan(db, admin, title, "flat", NEW_YEAR)
    assert paths(caught) == ["name"]
    assert plans.list_plans(db, admin, TODAY) == []


def test_a_name_is_used_once(db, admin, plan):
    with pytest.raises(ProblemsError) as caught:
        plans.create_plan(db, admin, "ae 2026!", "flat", NEW_YEAR)
    assert "already" in str(caught.value)


def test_a_draft_is_kept_with_its_problems_and_refused_for_publishing_with_all_of_them(db, admin, plan):
    before = detail(db, admin, plan).draft.document
    broken = 'plan = "other"\ncurrency = "euro"\npay_period = "month"\n'
    plans.save_draft(db, admin, plan, broken, before, title="AE plan 2026")
    assert detail(db, admin, plan).draft.document == broken
    assert detail(db, admin, plan).title == "AE plan 2026"
    with pytest.raises(ProblemsError) as caught:
        plans.publish_plan(db, admin, plan, broken)
    assert {"plan", "currency", "component", "effective_from"} <= set(paths(caught))
    assert all(problem.remedy for problem in caught.value.problems if problem.path != "currency")
    assert detail(db, admin, plan).versions == ()


def test_text_that_is_no_toml_is_kept_too(db, admin, plan):
    plans.save_draft(db, admin, plan, "[[component", detail(db, admin, plan).draft.document)
    with pytest.raises(ProblemsError, match="not TOML"):
        plans.publish_plan(db, admin, plan, "[[component")


def test_two_editors_do_not_overwrite_each_other(db, admin, plan):
    seen = detail(db, admin, plan).draft.document
    plans.save_draft(db, admin, plan, seen + "# first\n", seen)
    with pytest.raises(QuotaPathError, match="Someone else"):
        plans.save_draft(db, admin, plan, seen + "# second\n", seen)
    with pytest.raises(QuotaPathError, match="Someone else"):
        plans.publish_plan(db, admin, plan, seen)
    assert detail(db, admin, plan).draft.document == seen + "# first\n"


def test_publishing_freezes_the_version(db, admin, plan):
    document = detail(db, admin, plan).draft.document
    digest = plans.publish_plan(db, admin, plan, document)
    (version,) = detail(db, admin, plan).versions
    assert (version.hash, version.effective_from, version.published_by) == (digest, NEW_YEAR, "Root")
    assert detail(db, admin, plan).draft is None
    with pytest.raises(QuotaPathError, match="no draft"):
        plans.save_draft(db, admin, plan, "x", document)
    with pytest.raises(sa.exc.IntegrityError, match="never changes"), db.write() as conn:
        conn.execute(sa.text("UPDATE plan_versions SET document = ''"))


def test_the_next_version_starts_later(db, admin, plan):
    published(db, admin, plan)
    with pytest.raises(ProblemsError) as caught:
        plans.new_draft(db, admin, plan, NEW_YEAR)
    assert paths(caught) == ["effective_from"]
    plans.new_draft(db, admin, plan, date(2026, 7, 1))
    document = detail(db, admin, plan).draft.document
    assert "effective_from = 2026-07-01" in document
    earlier = document.replace("2026-07-01", "2025-07-01")
    versions = detail(db, admin, plan).versions
    assert [each.path for each in plans.draft_problems("ae-2026", earlier, versions)] == ["effective_from"]
    same_day = document.replace("2026-07-01", "2026-01-01")
    assert [each.path for each in plans.draft_problems("ae-2026", same_day, versions)] == ["effective_from"]
    quarterly = document.replace('pay_period = "month"', 'pay_period = "quarter"')
    assert "pay_period" in [each.path for each in plans.draft_problems("ae-2026", quarterly, versions)]
    plans.publish_plan(db, admin, plan, document)
    assert [v.effective_from for v in detail(db, admin, plan).versions] == [NEW_YEAR, date(2026, 7, 1)]


def test_discarding_the_only_draft_removes_the_plan(db, admin, plan):
    assert plans.discard_draft(db, admin, plan) is True
    assert plans.list_plans(db, admin, TODAY) == []
    with pytest.raises(QuotaPathError, match="no such plan"):
        detail(db, admin, plan)


def test_discarding_a_later_draft_keeps_the_versions(db, admin, plan):
    published(db, admin, plan)
    plans.new_draft(db, admin, plan, TODAY)
    assert plans.discard_draft(db, admin, plan) is False
    assert len(detail(db, admin, plan).versions) == 1


def test_an_assignment_needs_a_version_in_force(db, admin, plan):
    ana = user(db, "ana")
    with pytest.raises(ProblemsError) as caught:
        plans.assign_plan(db, admin, plan, [ana], NEW_YEAR)
    assert paths(caught) == ["plan"]
    published(db, admin, plan)
    with pytest.raises(ProblemsError) as caught:
        plans.assign_plan(db, admin, plan, [ana], date(2025, 12, 31), date(2025, 12, 31))
    assert paths(caught) == ["start", "end"]


def test_one_plan_at_a_time_and_all_or_none(db, admin, plan):
    published(db, admin, plan)
    ana, bo = user(db, "ana"), user(db, "bo")
    plans.assign_plan(db, admin, plan, [ana], NEW_YEAR)
    before = audits(db)
    with pytest.raises(ProblemsError) as caught:
        plans.assign_plan(db, admin, plan, [bo, ana], date(2026, 6, 1))
    assert paths(caught) == ["Ana"]
    assert "AE 2026 from 2026-01-01" in str(caught.value)
    assert [row.person for row in detail(db, admin, plan).assigned] == ["Ana"]
    assert audits(db) == before


def test_two_at_once_do_not_put_a_person_on_two_plans(db, admin, plan):
    published(db, admin, plan)
    ana = user(db, "ana")

    def assign(_):
        try:
            return plans.assign_plan(db, admin, plan, [ana], NEW_YEAR)
        except ProblemsError:
            return 0

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(assign, range(4))) == [0, 0, 0, 1]


def test_half_open_assignments_touch(db, admin, plan):
    published(db, admin, plan)
    ana = user(db, "ana")
    plans.assign_plan(db, admin, plan, [ana], NEW_YEAR, date(2026, 4, 1))
    plans.assign_plan(db, admin, plan, [ana], date(2026, 4, 1))
    assert len(detail(db, admin, plan).assigned) == 2


def test_moving_to_another_plan_ends_the_first(db, admin, plan):
    published(db, admin, plan)
    other = published(db, admin, plans.create_plan(db, admin, "Second", "flat", NEW_YEAR))
    ana = user(db, "ana")
    plans.assign_plan(db, admin, plan, [ana], NEW_YEAR)
    plans.assign_plan(db, admin, other, [ana], date(2026, 7, 1), end_other_plans=True)
    (first,) = detail(db, admin, plan).assigned
    assert first.end == date(2026, 7, 1)
    with pytest.raises(ProblemsError):  # one that begins later is never cut
        plans.assign_plan(db, admin, plan, [ana], date(2026, 6, 1), end_other_plans=True)


def test_a_whole_team_is_assigned_at_once(db, admin, plan):
    published(db, admin, plan)
    west = people_service.create_team(db, admin, "West", None, user(db, "mia"), NEW_YEAR)
    for code in ("ana", "bo"):
        people_service.move_person(db, admin, user(db, code), west, NEW_YEAR)
    members = people_service.team_members(db, admin, west, date(2026, 2, 1))
    assert plans.assign_plan(db, admin, plan, members, date(2026, 2, 1)) == 2
    assert people_service.team_members(db, admin, west, date(2025, 1, 1)) == []
    mia = Actor(user(db, "mia"), "manager", "Mia")
    assert [row.person for row in plans.plan_detail(db, mia, plan, TODAY).assigned] == ["Ana", "Bo"]


def test_the_windows_of_a_template_begin_with_the_plan(db, admin):
    spif = plans.create_plan(db, admin, "SPIF 2027", "flat", date(2027, 2, 1))
    window = load_toml(detail(db, admin, spif).draft.document)["component"][1]["window"]
    assert window == {"from": date(2027, 2, 1), "until": date(2027, 5, 1)}


def test_ending_and_removing_an_assignment(db, admin, plan):
    published(db, admin, plan)
    ana = user(db, "ana")
    plans.assign_plan(db, admin, plan, [ana], NEW_YEAR)
    (row,) = detail(db, admin, plan).assigned
    with pytest.raises(ProblemsError):
        plans.end_assignment(db, admin, row.assignment_id, NEW_YEAR)
    plans.end_assignment(db, admin, row.assignment_id, date(2026, 5, 1))
    plans.assign_plan(db, admin, plan, [ana], date(2026, 8, 1))
    with pytest.raises(ProblemsError, match="2026-08-01"):
        plans.end_assignment(db, admin, row.assignment_id, None)
    plans.remove_assignment(db, admin, row.assignment_id)
    assert [each.start for each in detail(db, admin, plan).assigned] == [date(2026, 8, 1)]
    with pytest.raises(QuotaPathError, match="gone"):
        plans.remove_assignment(db, admin, row.assignment_id)


def test_a_deactivated_person_is_not_assigned(db, admin, plan):
    published(db, admin, plan)
    people_service.deactivate_person(db, admin, user(db, "bo"), TODAY)
    with pytest.raises(ProblemsError, match="Bo: is deactivated"):
        plans.assign_plan(db, admin, plan, [user(db, "bo")], NEW_YEAR)
    with pytest.raises(ProblemsError, match="Nobody"):
        plans.assign_plan(db, admin, plan, [], NEW_YEAR)


@pytest.mark.parametrize("role", ["finance", "manager", "rep"])
def test_only_admins_write(db, admin, plan, role):
    actor = Actor(user(db, "mia"), role, "Mia")
    document = detail(db, admin, plan).draft.document
    for call in (
        lambda: plans.create_plan(db, actor, "Mine", "flat", NEW_YEAR),
        lambda: plans.save_draft(db, actor, plan, "x", document),
        lambda: plans.publish_plan(db, actor, plan, document),
        lambda: plans.new_draft(db, actor, plan, TODAY),
        lambda: plans.discard_draft(db, actor, plan),
        lambda: plans.assign_plan(db, actor, plan, [], TODAY),
        lambda: plans.end_assignment(db, actor, 1, TODAY),
        lambda: plans.remove_assignment(db, actor, 1),
    ):
        with pytest.raises(Forbidden):
            call()
    assert detail(db, admin, plan).draft.document == document


def test_a_rep_reads_the_own_plan_and_no_other(db, admin, plan):
    published(db, admin, plan)
    ana_id = user(db, "ana")
    ana, bo = Actor(ana_id, "rep", "Ana"), Actor(user(db, "bo"), "rep", "Bo")
    plans.assign_plan(db, admin, plan, [ana_id, user(db, "mia")], NEW_YEAR)
    plans.new_draft(db, admin, plan, date(2027, 6, 1))
    assert [each.plan_id for each in plans.list_plans(db, ana, TODAY)] == [plan]
    shown = plans.plan_detail(db, ana, plan, TODAY)
    assert (shown.draft, len(shown.versions), [row.user_id for row in shown.assigned]) == (None, 1, [ana_id])
    assert plans.list_plans(db, bo, TODAY) == []
    with pytest.raises(Forbidden):
        plans.plan_detail(db, bo, plan, TODAY)


def test_a_tried_deal_earns_what_the_rules_say():
    quota = parse_plan(next(each for each in plans.templates() if each.name == "quota").document)
    assert plans.preview_deal(quota, "60,000", "230000", "", {}).total == 20_000_00 * 8 // 100 + 40_000_00 * 12 // 100
    assert (
        plans.preview_deal(quota, "100", "", "50", {}).total == 50_00 * 8 // 100 + 25_00 * 12 // 100 + 25_00 * 16 // 100
    )
    with pytest.raises(QuotaPathError, match="not a number"):
        plans.preview_deal(quota, "much", "", "", {})
    flat = parse_plan(next(each for each in plans.templates() if each.name == "flat").document)
    assert plans.preview_fields(flat) == {"type": "New"}
    assert plans.preview_deal(flat, "100", "", "", {"type": "Renewal"}).lines == ()


def test_a_tried_deal_has_the_numbers_that_the_plan_measures():
    plan = parse_plan(
        'plan = "a"\neffective_from = 2026-01-01\ncurrency = "USD"\npay_period = "month"\n'
        '[[component]]\nid = "u"\nkind = "tiered"\nmeasure = "quantity"\ntiers = [{ from = 0, amount = 5 }]\n'
        '[[component]]\nid = "m"\nkind = "percentage"\nmeasure = "margin"\nrate = "10%"\n'
    )
    assert plans.preview_fields(plan) == {"margin": "1", "quantity": "1"}
    assert plans.preview_deal(plan, "100", "", "", {"quantity": "3", "margin": "40"}).lines == (
        ("u", 15_00),
        ("m", 4_00),
    )


def test_a_tried_deal_without_a_quota_is_told():
    plan = parse_plan(
        'plan = "a"\neffective_from = 2026-01-01\ncurrency = "USD"\npay_period = "month"\n[[component]]\nid = "q"\n'
        'kind = "quota"\ntiers = [{ from = "0%", rate = "8%" }]\n'
    )
    with pytest.raises(ProblemsError, match="quota"):
        plans.preview_deal(plan, "100", "", "", {})


# --- review of a draft -----------------------------------------------------------------------------

EXAMPLE = '\n[[example]]\nname = "The letter"\ndeal = [{ amount = 1000, type = "New" }]\nexpect = { total = TOTAL }\n'


def test_a_plan_is_published_only_when_its_examples_come_out(db, admin, plan):
    seen = detail(db, admin, plan).draft.document
    wrong = seen + EXAMPLE.replace("TOTAL", "110")
    plans.save_draft(db, admin, plan, wrong, seen)
    with pytest.raises(ProblemsError) as caught:
        plans.publish_plan(db, admin, plan, wrong)
    (problem,) = caught.value.problems
    assert problem.path == "example[0].expect.total"
    assert "1,000.00 in" in problem.message or "1,000.00 x 10%" in problem.message
    assert detail(db, admin, plan).versions == ()
    right = seen + EXAMPLE.replace("TOTAL", "100")
    plans.save_draft(db, admin, plan, right, wrong)
    plans.publish_plan(db, admin, plan, right)
    plans.new_draft(db, admin, plan, date(2026, 7, 1))
    versions = detail(db, admin, plan).versions
    assert plans.draft_problems("ae-2026", detail(db, admin, plan).draft.document, versions) == []


def test_a_review_looks_at_the_companys_deals_the_examples_and_the_version_before(db, admin, plan):
    with db.write() as conn:
        stage = conn.execute(sa.text("SELECT id FROM pipeline_stages WHERE outcome = 'won'")).scalar_one()
        conn.execute(
            sa.text("""
                INSERT INTO deals (source, external_id, name, owner_id, stage_id, currency, close_date, type, extra)
                SELECT 'csv', n, n, :owner, :stage, 'EUR', '2026-01-05', type, CAST(extra AS jsonb)
                  FROM (VALUES ('1', 'New', '{"region": "EMEA"}'), ('2', '', '{}'), ('3', 'New', '{"region": "US"}'))
                    AS d(n, type, extra)
            """),
            {"owner": admin.user_id, "stage": stage},
        )
    published(db, admin, plan)
    plans.new_draft(db, admin, plan, date(2026, 7, 1))
    found = detail(db, admin, plan)
    document = found.draft.document.replace('rate = "3%"', 'rate = "4%"').replace(
        'when = { type = { not = "Renewal" } }', 'when = { type = "New", region = "EMEA" }'
    )
    review = plans.review_draft(db, admin, "ae-2026", document + EXAMPLE.replace("TOTAL", "0"), found.versions)
    assert {(each.path, each.message) for each in review.warnings} >= {
        ("component[1].when", 'No deal of the company is such that type is "Renewal".'),
        ("component", 'Deals with region "US"; with no region; with no type match no component and pay nothing.'),
    }
    assert [example.passes for example in review.examples] == [True]
    assert review.since == NEW_YEAR
    assert [str(change) for change in review.changes] == [
        "in force from: 2026-01-01 -> 2026-07-01",
        'new-business: deals: type is not "Renewal" -> region is "EMEA" and type is "New"',
        "renewals: rate: 3% -> 4%",
    ]
    with pytest.raises(Forbidden):
        plans.review_draft(db, Actor(user(db, "mia"), "manager", "Mia"), "ae-2026", document, found.versions)


def test_each_version_knows_what_it_changed(db, admin, plan):
    published(db, admin, plan)
    plans.new_draft(db, admin, plan, date(2026, 7, 1))
    seen = detail(db, admin, plan).draft.document
    plans.save_draft(db, admin, plan, seen.replace('rate = "3%"', 'rate = "4%"'), seen)
    published(db, admin, plan)
    first, second = plans.version_changes("ae-2026", detail(db, admin, plan).versions)
    assert first == ()
    assert [str(change) for change in second] == [
        "in force from: 2026-01-01 -> 2026-07-01",
        "renewals: rate: 3% -> 4%",
    ]
    assert plans.version_changes("ae-2026", ()) == ()

"""The plans page: each role, the editor whose form and text follow each other, people, versions."""

from datetime import date
from decimal import Decimal

import pytest
from streamlit.testing.v1 import AppTest

from app import plan_rows, plan_words
from engine.plans.reader import load_toml
from engine.services import people, plans

TODAY = date(2026, 11, 22)
NEW_YEAR = date(2026, 1, 1)


@pytest.fixture
def draft(company):
    """A plan from the template "quota", not published."""
    return plans.create_plan(company.db, company.actor("ada"), "AE 2026", "quota", NEW_YEAR)


@pytest.fixture
def published(company, draft):
    ada = company.actor("ada")
    plans.publish_plan(company.db, ada, draft, saved(company, draft).draft.document)
    plans.assign_plan(company.db, ada, draft, [company.people["rob"], company.people["oda"]], NEW_YEAR)
    return draft


def saved(company, plan_id):
    return plans.plan_detail(company.db, company.actor("ada"), plan_id, TODAY)


def words(screen):
    assert not screen.exception, screen.exception
    return " ".join(
        each.value for each in (*screen.markdown, *screen.caption, *screen.error, *screen.warning, *screen.success)
    )


def field(screen, label, place=0):
    every = (*screen.text_input, *screen.selectbox, *screen.text_area, *screen.date_input, *screen.button)
    return [each for each in every if each.label == label][place]


def labels(screen):
    return {button.label for button in screen.button}


def the_text(screen):
    return field(screen, "The plan as text (TOML)").value


def test_an_unknown_plan_in_the_address_is_said(open_page, published):
    assert 'There is no plan "nope"' in words(open_page("plans", plan="nope")).replace("\\", "")


# --- the list --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("person", "may_edit"), [("ada", True), ("finn", False), ("mia", False)])
def test_without_plans_the_page_says_what_to_do(open_page, person, may_edit):
    screen = open_page("plans", person)
    assert "No plan yet" in words(screen)
    assert ("New plan" in labels(screen)) is may_edit


def test_a_rep_reads_the_rules_of_the_own_plan(open_page, published):
    screen = open_page("plans", "rob", plan="ae-2026")
    assert "Paid each month in USD" in words(screen)
    assert not screen.text_area
    assert not screen.button or "New plan" not in labels(screen)
    assert 'There is no plan "ae-2026"' in words(open_page("plans", "rea", plan="ae-2026")).replace("\\", "")


def test_the_list_tells_drafts_from_active_plans(open_page, company, published):
    plans.create_plan(company.db, company.actor("ada"), "Later", "flat", NEW_YEAR)
    frame = open_page("plans").dataframe[0].value
    assert list(zip(frame["title"], frame["status"], frame["people"], strict=True)) == [
        ("AE 2026", "Active", 2),
        ("Later", "Draft", 0),
    ]


def test_choosing_a_row_opens_the_plan(open_page, published):
    screen = open_page("plans")
    screen.session_state["plan_list"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    screen.run()
    assert screen.query_params["plan"] == "ae-2026"


def test_an_unknown_plan_in_the_address_is_the_list(open_page, published):
    assert "Choose a row" in words(open_page("plans", plan="nonsense"))


def test_the_new_plan_dialog_offers_the_templates(open_page):
    screen = open_page("plans")
    field(screen, "New plan").click().run()
    assert list(screen.radio[0].options) == [template.title for template in plans.templates()]


# --- reading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("person", "people"), [("finn", {"Rob Rep", "Oda Other"}), ("mia", {"Rob Rep"})])
def test_readers_see_the_rules_in_words_and_their_people(open_page, published, person, people):
    screen = open_page("plans", person, plan="ae-2026")
    assert "adds up over the quarter" in words(screen)
    assert not screen.text_area
    assert not labels(screen) & {"Publish", "New version", "Assign people", "Discard"}
    frames = [frame.value for frame in screen.dataframe]
    assert any({"Pays", "From"} <= set(frame.columns) for frame in frames)
    assert set(next(frame for frame in frames if "person" in frame.columns)["person"]) == people


def test_readers_do_not_see_a_draft(open_page, draft):
    screen = open_page("plans", "finn", plan="ae-2026")
    assert "Not published yet" in words(screen)
    assert not screen.text_area


def test_every_template_reads_in_words(open_page, company):
    ada = company.actor("ada")
    for template in plans.templates():
        plan_id = plans.create_plan(company.db, ada, template.name, template.name, NEW_YEAR)
        plans.publish_plan(company.db, ada, plan_id, saved(company, plan_id).draft.document)
        assert "Paid each month in USD" in words(open_page("plans", "finn", plan=template.name))


# --- the editor ------------------------------------------------------------------------------------


def test_the_form_writes_the_text(open_page, draft):
    screen = open_page("plans", plan="ae-2026")
    field(screen, "Default quota (USD)").set_value("300000.50").run()
    field(screen, "Currency").set_value("EUR").run()
    field(screen, "Paid each").set_value("quarter").run()
    field(screen, "In force from").set_value(date(2026, 2, 1)).run()
    document = load_toml(the_text(screen))
    assert document["component"][0]["quota"] == Decimal("300000.50")
    assert (document["currency"], document["pay_period"], document["effective_from"]) == (
        "EUR",
        "quarter",
        date(2026, 2, 1),
    )
    field(screen, "Default quota (EUR)").set_value("").run()
    assert "quota" not in load_toml(the_text(screen))["component"][0]


def test_the_text_fills_the_form_and_keeps_what_the_form_does_not_know(open_page, draft):
    screen = open_page("plans", plan="ae-2026")
    text = the_text(screen).replace("quota = 250000", 'quota = 1000\ncap = { amount = 9, excess = "carry" }')
    field(screen, "The plan as text (TOML)").set_value(text + "\n[clawback]\nwithin_days = 90\n").run()
    assert field(screen, "Default quota (USD)").value == "1000"
    field(screen, "Default quota (USD)").set_value("2000").run()
    document = load_toml(the_text(screen))
    assert document["component"][0]["cap"] == {"amount": 9, "excess": "carry"}
    assert document["clawback"] == {"within_days": 90}
    assert document["component"][0]["quota"] == 2000


def test_text_that_cannot_be_read_stops_the_form_and_loses_nothing(open_page, draft):
    screen = open_page("plans", plan="ae-2026")
    field(screen, "The plan as text (TOML)").set_value("[[component").run()
    assert "form waits" in words(screen)
    assert the_text(screen) == "[[component"
    assert field(screen, "Publish").disabled
    field(screen, "Save draft").click().run()
    assert not screen.exception
    assert the_text(screen) == "[[component"


def test_tiers_and_filters_are_edited_in_tables(open_page, company, draft):
    screen = open_page("plans", plan="ae-2026")
    version = saved(company, draft).draft.version_id
    key = f"draft_{version}_{screen.session_state['plan_form_generation']}_0_quota_tiers"
    screen.session_state[key] = {
        "edited_rows": {1: {"rate": "2x"}}, "added_rows": [{"from": "200%", "rate": "3x"}], "deleted_rows": [2],
    }  # fmt: skip
    screen.session_state[key.replace("_quota_tiers", "_when")] = {
        "edited_rows": {}, "deleted_rows": [],
        "added_rows": [{"field": "type", "operator": "is", "value": "New, Expansion"}],
    }  # fmt: skip
    screen.run()
    component = load_toml(the_text(screen))["component"][0]
    assert [(tier["from"], tier["rate"]) for tier in component["tiers"]] == [
        ("0%", "1x"),
        ("100%", "2x"),
        ("200%", "3x"),
    ]
    assert component["when"] == {"type": ["New", "Expansion"]}


def test_another_kind_takes_its_own_keys(open_page, draft):
    screen = open_page("plans", plan="ae-2026")
    for kind, needed in (("flat", "amount"), ("percentage", "rate"), ("tiered", "tiers"), ("quota", "tiers")):
        field(screen, "Kind").set_value(kind).run()
        component = load_toml(the_text(screen))["component"][0]
        assert component["kind"] == kind
        assert needed in component
        assert "No problems" in words(screen), kind


def test_components_are_added_moved_and_removed(open_page, draft):
    screen = open_page("plans", plan="ae-2026")
    for kind in ("flat", "tiered", "flat"):
        field(screen, "One more component").set_value(kind).run()
        field(screen, "Add").click().run()
    assert "No problems" in words(screen)
    field(screen, "Move up", 2).click().run()
    field(screen, "Remove", 0).click().run()
    assert [each["id"] for each in load_toml(the_text(screen))["component"]] == ["flat", "flat-2", "tiered"]


def test_all_problems_stand_beside_with_path_and_remedy(open_page, draft):
    screen = open_page("plans", plan="ae-2026")
    field(screen, "Currency").set_value("eu").run()
    field(screen, "Default quota (eu)").set_value("0").run()
    field(screen, "Id").set_value("").run()
    shown = words(screen).replace("\\", "")
    for part in ("currency", "component[0].quota", "The quota is 0", "component[0].id", "Write a quota above 0"):
        assert part in shown
    assert field(screen, "Publish").disabled


def test_saving_and_publishing(open_page, company, draft):
    screen = open_page("plans", plan="ae-2026")
    assert field(screen, "Save draft").disabled
    field(screen, "Plan name").set_value("Account executives").run()
    field(screen, "Base rate").set_value("9%").run()
    field(screen, "Save draft").click().run()
    assert saved(company, draft).title == "Account executives"
    assert 'base_rate = "9%"' in saved(company, draft).draft.document
    assert field(screen, "Save draft").disabled
    field(screen, "Publish").click().run()
    assert "frozen" in words(screen)


def test_someone_elses_save_is_not_overwritten(open_page, company, draft):
    screen = open_page("plans", plan="ae-2026")
    document = saved(company, draft).draft.document
    plans.save_draft(company.db, company.actor("ada"), draft, document.replace("250000", "1"), document)
    field(screen, "Base rate").set_value("9%").run()
    assert "Someone else saved" in words(screen)
    field(screen, "Save draft").click().run()
    assert "quota = 1\n" in saved(company, draft).draft.document
    field(screen, "Load the saved draft").click().run()
    assert field(screen, "Default quota (USD)").value == "1"


def test_a_deal_is_tried_on_the_draft(open_page, draft):
    screen = open_page("plans", plan="ae-2026")
    field(screen, "Amount (USD)").set_value("60,000").run()
    field(screen, "Sold before").set_value("230000").run()
    assert screen.metric[0].value == "$6,400.00"  # 20,000 at 8% and 40,000 at 12%
    field(screen, "Amount (USD)").set_value("much").run()
    assert "not a number" in words(screen)


# --- people and versions ---------------------------------------------------------------------------


def test_an_assignment_is_ended_and_removed(open_page, company, published):
    screen = open_page("plans", plan="ae-2026")
    screen.session_state["plan_people"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    screen.run()
    field(screen, "Last day of Oda Other").set_value(date(2026, 6, 30)).run()
    field(screen, "Set the last day").click().run()
    oda, _ = saved(company, published).assigned
    assert oda.end == date(2026, 7, 1)
    field(screen, "Remove").click().run()
    assert [row.person for row in saved(company, published).assigned] == ["Rob Rep"]


def test_versions_show_hash_and_who(open_page, company, published):
    screen = open_page("plans", plan="ae-2026")
    frame = next(each.value for each in screen.dataframe if "hash" in each.value.columns)
    assert frame["hash"][0] == saved(company, published).versions[0].hash
    assert frame["published_by"][0] == "Ada Admin"
    assert "effective_from = 2026-01-01" in screen.code[-1].value


def test_the_assign_dialog_refuses_an_overlap(company, open_page, published):
    open_page("plans", plan="ae-2026")

    def body(detail):
        from app.plan_view import assign_form

        assign_form(detail)

    screen = AppTest.from_function(body, args=(saved(company, published),), default_timeout=20).run()
    screen.multiselect[0].set_value([company.people["rob"], company.people["rea"]]).run()
    field(screen, "Assign").click().run()
    assert "Rob Rep" in words(screen)
    assert len(saved(company, published).assigned) == 2
    screen.multiselect[0].set_value([company.people["rea"]]).run()
    field(screen, "Assign").click().run()
    assert {row.person for row in saved(company, published).assigned} == {"Oda Other", "Rea Rep", "Rob Rep"}


def test_assigning_a_team_shows_who_and_leaves_out_who_leads_it(company, open_page, published):
    ada = company.actor("ada")
    people.move_person(company.db, ada, company.people["mia"], company.teams["East"], NEW_YEAR)
    people.edit_person(company.db, ada, company.people["rea"], "Rea Rep", "rea@example.com", "rep", TODAY)
    open_page("plans", plan="ae-2026")

    def body(detail):
        from app.plan_view import assign_form

        assign_form(detail)

    screen = AppTest.from_function(body, args=(saved(company, published),), default_timeout=20).run()
    screen.segmented_control[0].set_value("A team").run()
    assert "In East on 2026-11-01: 3 people, without Mia Manager, who leads it" in words(screen).replace("\\", "")
    assert screen.multiselect[0].value == [company.people["rob"], company.people["rea"]]
    assert "Hired after the first day: Rea Rep (2026-11-22)" in words(screen).replace("\\", "")
    screen.multiselect[0].set_value([company.people["rea"]]).run()
    field(screen, "Assign").click().run()
    assert {row.person for row in saved(company, published).assigned} == {"Oda Other", "Rea Rep", "Rob Rep"}


def test_rules_say_what_a_multiple_comes_to(open_page, published):
    tiers = open_page("plans", "mia", plan="ae-2026").dataframe[0].value
    assert list(tiers["Pays"]) == ["8% (1x)", "12% (1.5x)", "16% (2x)"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("component[1].tiers[0].rate", 'Component 2 "Renewals", tier 1: rate'),
        ("component[7]", "Component 8"),
        ("component[0].window.until", 'Component 1 "New": window.until'),
        (".steps[2].pays", "Step 3: pays"),
        ("currency", "currency"),
        ("", ""),
    ],
)
def test_paths_in_words(path, said):
    assert plan_words.place(path, ["New", "Renewals"]) == said


# --- rows of the form ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "when",
    [
        None,
        {"type": "New"},
        {"type": ["New", "Expansion"], "amount": {"at_least": 1000, "less_than": Decimal("5000.5")}},
        {"product": {"not": ["A, B", 'the "best"']}, "close_date": {"at_least": date(2026, 1, 1)}},
        {"flag": True, "code": "0012"},
    ],
)
def test_filters_go_through_the_rows_and_back(when):
    rows = plan_rows.filter_rows(when)
    assert rows is not None
    assert plan_rows.when_of(rows, when) == (when, "")
    fresh, wrong = plan_rows.when_of(rows, None)
    assert wrong == ""
    assert plan_rows.filter_rows(fresh) == rows


@pytest.mark.parametrize("when", [{"amount": {"between": [1, 2]}}, {"x": {"is": 1}}, {"x": [[1]]}, "New", {"x": [{}]}])
def test_what_rows_cannot_show_is_left_to_the_text(when):
    assert plan_rows.filter_rows(when) is None


def test_contradicting_rows_are_refused_and_nothing_changes():
    before = {"type": "New"}
    for rows in ([("type", "is", "A"), ("type", "is not", "B")], [("a", "at least", "1"), ("a", "at least", "2")],
                 [("a", "at least", "1, 2")], [("type", "is not", "B"), ("type", "is", "A")]):  # fmt: skip
        when, wrong = plan_rows.when_of(rows, before)
        assert when is before
        assert wrong


def test_unfinished_rows_are_left_out_and_told():
    rows = [("type", "is", ""), ("", "is", "x"), ("a", "", "1"), ("b", "is", ", ,"), ("", "", "")]
    assert plan_rows.when_of(rows[2:3], None) == ({"a": 1}, "")
    for row in (rows[0], rows[1], rows[3]):
        when, wrong = plan_rows.when_of([row, rows[2], rows[4]], {"a": 1})
        assert when == {"a": 1}
        assert "filters nothing yet" in wrong


def test_untouched_values_keep_how_they_were_written():
    tiers = [{"from": 0, "rate": "8%", "note": "x"}, {"from": "50,000", "rate": Decimal("0.10")}]
    rows = list(enumerate(plan_rows.tier_rows(tiers) or []))
    assert plan_rows.tiers_of(rows, tiers) == tiers
    rows[1][1]["rate"] = "12%"
    assert plan_rows.tiers_of([*rows, (None, {"from": "90000", "rate": ""})], tiers) == [
        tiers[0], {"from": "50,000", "rate": "12%"}, {"from": 90000},
    ]  # fmt: skip

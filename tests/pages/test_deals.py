"""The deals page: who sees which deals, filters, one deal opened, and the form."""

from dataclasses import replace
from datetime import date

import pytest
import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

from app import auth
from engine.services import deals, sign_in
from engine.services.deals import DealFields

TODAY = date(2026, 11, 22)


@pytest.fixture
def add(company):
    def added(name, owner="rob", **fields):
        whole = {
            "account": "Acme", "owner_id": company.people[owner], "stage_id": 5, "amount": 1_234_50, "currency": "USD",
            "close_date": date(2026, 10, 5), **fields,
        }  # fmt: skip
        return deals.create_deal(company.db, company.actor("ada"), DealFields(name=name, **whole))

    return added


def said(elements):
    """The text of messages, without the marks that keep Markdown from reading it."""
    return " ".join(each.value for each in elements).replace("\\", "")


def shown(screen):
    assert not screen.exception, screen.exception
    return list(screen.dataframe[0].value["name"]) if screen.dataframe else []


def text(screen):
    return " ".join(each.value for each in (*screen.markdown, *screen.caption, *screen.error))


@pytest.mark.parametrize(
    ("person", "names"),
    [
        ("ada", {"Rob's", "Rea's", "Oda's", "Shared"}),
        ("finn", {"Rob's", "Rea's", "Oda's", "Shared"}),
        ("mia", {"Rob's", "Rea's", "Shared"}),
        ("max", {"Oda's", "Shared"}),
        ("rob", {"Rob's", "Shared"}),
        ("oda", {"Oda's", "Shared"}),
    ],
)
def test_everyone_sees_their_part(open_page, company, add, person, names):
    add("Rob's")
    add("Rea's", "rea")
    add("Oda's", "oda")
    add("Shared", "oda", credits=((company.people["oda"], 500_000), (company.people["rob"], 500_000)))
    screen = open_page("deals", person)
    assert set(shown(screen)) == names
    assert ("New deal" in [button.label for button in screen.button]) is (person == "ada")
    assert [metric.value for metric in screen.metric][:2] == [str(len(names)), f"${len(names) * 1234.50:,.2f}"]


@pytest.mark.parametrize("person", ["ada", "rob"])
def test_without_deals_the_page_says_what_to_do(open_page, person):
    screen = open_page("deals", person)
    assert not screen.exception
    assert "No deals yet" in text(screen)
    assert not screen.dataframe


def test_search_outcome_and_order(open_page, add):
    add("Alpha", amount=3_00)
    add("Beta", stage_id=3, amount=None, close_date=date(2026, 12, 1))
    add("Gamma", stage_id=6, amount=5_00, currency="EUR")
    screen = open_page("deals")
    assert shown(screen) == ["Beta", "Gamma", "Alpha"]
    assert list(screen.dataframe[0].value["amount"]) == ["–", "€5.00", "$3.00"]
    screen.text_input(key="q").set_value("alp").run()
    assert shown(screen) == ["Alpha"]
    screen.text_input(key="q").set_value("nothing").run()
    assert "No deal matches" in text(screen)
    screen.text_input(key="q").set_value("").run()
    screen.selectbox(key="closing").set_value("2026-12").run()
    assert shown(screen) == ["Beta"]
    screen.selectbox(key="closing").set_value("").run()
    screen.selectbox(key="order").set_value("Name").run()
    assert shown(screen) == ["Alpha", "Beta", "Gamma"]
    screen.multiselect(key="deal_stages").set_value([6]).run()
    assert shown(screen) == ["Gamma"]


def test_a_long_list_has_pages(open_page, add):
    for number in range(51):
        add(f"Deal {number:02}")
    screen = open_page("deals")
    screen.selectbox(key="order").set_value("Name").run()
    assert shown(screen) == [f"Deal {number:02}" for number in range(50)]
    assert screen.metric[0].value == "51"
    screen.session_state[f"deals_page_{screen.session_state['deals_pager']}"] = 2
    screen.run()
    assert shown(screen) == ["Deal 50"]
    screen.text_input(key="q").set_value("Deal").run()  # other filters begin on their first page
    assert len(shown(screen)) == 50


def test_a_click_opens_the_deal(open_page, add):
    deal_id = add("Acme *renewal*")
    screen = open_page("deals")
    screen.session_state["deals_0"] = {"selection": {"rows": [], "columns": [], "cells": [[0, "account"]]}}
    screen.run()
    assert not screen.exception
    assert screen.query_params["deal"] == str(deal_id)
    assert screen.get("dialog")
    assert screen.get("dialog")[0].proto.dialog.title == r"Acme \*renewal\*"


def test_a_deal_out_of_reach_is_not_shown(open_page, add):
    deal_id = add("Oda's", "oda")
    screen = open_page("deals", "rob", deal=str(deal_id))
    assert not screen.exception
    assert "There is no deal number" in text(screen)
    assert not screen.get("dialog")
    assert "deal" not in screen.query_params
    screen.run()
    assert "There is no deal number" not in text(screen)


@pytest.mark.parametrize("asked", ["²", "9" * 30, "x"])
def test_what_is_no_deal_number_opens_nothing(open_page, asked):
    assert not open_page("deals", deal=asked).exception


def deal_screen(company, monkeypatch, deal_id, person):
    """The drawer's body alone: in a dialog AppTest loses clicks."""
    token = sign_in.open_session(company.db, company.people[person]).token
    monkeypatch.setattr(auth, "session_token", lambda: token)

    def body(deal_id):
        from app import deal_drawer

        deal_drawer.deal_body(deal_id)

    return AppTest.from_function(body, args=(deal_id,), default_timeout=20).run()


def test_the_story_of_a_deal(company, monkeypatch, add):
    deal_id = add("Acme", stage_id=3, amount=None)
    fields = deals.deal_detail(company.db, company.actor("ada"), deal_id, TODAY).deal.fields
    deals.edit_deal(company.db, company.actor("ada"), deal_id, 1, replace(fields, stage_id=5, amount=99_00))
    screen = deal_screen(company, monkeypatch, deal_id, "rob")
    assert not screen.exception
    assert [tab.label for tab in screen.tabs] == ["Details", "Earnings", "Activities", "History"]
    history = screen.dataframe[-1].value
    assert set(zip(history["field"], history["before"], history["after"], strict=True)) == {
        ("Amount", "–", "99.00 USD"),
        ("Stage", "Proposal", "Closed Won"),
        ("Created", "–", "manual"),
    }


def test_an_admin_edits_and_is_told_what_is_wrong(company, monkeypatch, add):
    deal_id = add("Acme")
    screen = deal_screen(company, monkeypatch, deal_id, "ada")
    assert [tab.label for tab in screen.tabs][-3:] == ["Edit", "Credits", "Payments"]

    def field(label, kind="text_input"):
        return next(each for each in getattr(screen, kind) if each.label == label)

    def save():
        next(button for button in screen.button if button.label == "Save").click().run()
        assert not screen.exception, screen.exception

    field("Amount").set_value("12.345")
    save()
    assert "finer than USD has" in text(screen)
    field("Amount").set_value("2,000.50")
    field("Name").set_value("")
    save()
    assert "Give the deal a name" in text(screen)
    field("Name").set_value("Acme Inc")
    field("Stage", "selectbox").set_value(3)
    save()
    found = deals.deal_detail(company.db, company.actor("ada"), deal_id, TODAY).deal
    assert (found.fields.name, found.fields.amount, found.fields.stage_id, found.version) == ("Acme Inc", 2000_50, 3, 2)


def test_credits_are_entered_exactly(company, monkeypatch, add):
    deal_id = add("Acme")
    screen = deal_screen(company, monkeypatch, deal_id, "ada")
    rob, rea = company.people["rob"], company.people["rea"]

    key = f"deal_{deal_id}_credits_1"

    def share(*rows):
        while len(screen.session_state[f"{key}_rows"]) < len(rows):
            screen.button(key=f"{key}_more").click().run()
        while len(numbers := screen.session_state[f"{key}_rows"]) > len(rows):
            screen.button(key=f"{key}_less_{numbers[-1]}").click().run()
        for number, (person, part) in zip(screen.session_state[f"{key}_rows"], rows, strict=True):
            screen.selectbox(key=f"{key}_person_{number}").set_value(person)
            screen.text_input(key=f"{key}_share_{number}").set_value(part or "")
        screen.run()
        assert not screen.exception, screen.exception

    share((rob, "66.66667%"))
    assert "more than 4 decimals" in text(screen)
    share((rob, "120%"))
    assert "a share of 120% is not between 0% and 100%" in text(screen)
    share((rob, "60%"), (rea, None))
    assert "a row lacks its person or share" in text(screen)
    share((rob, "60"), (rea, "30%"))
    assert "The shares come to 90%: 10% (123.45 USD) of the deal is credited to nobody" in said(screen.warning)
    share((rob, "100"), (rea, "20%"))
    assert "120%: an overlay, 20% (246.90 USD) more is credited than was sold" in said(screen.info)
    share((rob, "66.6667"), (rea, "33.3333%"))
    assert "The shares come to 100%" in said(screen.success)
    assert {r"**\$823\.00**", r"**\$411\.50**"} <= {each.value for each in screen.markdown}
    next(button for button in screen.button if button.label == "Save the credits").click().run()
    assert not screen.exception, screen.exception
    found = deals.deal_detail(company.db, company.actor("ada"), deal_id, TODAY).deal
    assert found.fields.credits == ((rob, 666_667), (rea, 333_333))


def test_two_admins_at_one_deal(company, monkeypatch, add):
    deal_id = add("Acme")
    screen = deal_screen(company, monkeypatch, deal_id, "ada")
    before = deals.deal_detail(company.db, company.actor("ada"), deal_id, TODAY).deal
    deals.edit_deal(company.db, company.actor("ada"), deal_id, 1, replace(before.fields, amount=7_00))
    next(each for each in screen.text_input if each.label == "Name").set_value("Mine")
    next(button for button in screen.button if button.label == "Save").click().run()
    assert "Ada Admin changed this deal" in text(screen)
    next(button for button in screen.button if button.label == "Load the newer values").click().run()
    assert next(each for each in screen.text_input if each.label == "Amount").value == "7.00"


def test_a_deal_is_entered_by_hand_and_deleted(company, monkeypatch, add):
    token = sign_in.open_session(company.db, company.people["ada"]).token
    monkeypatch.setattr(auth, "session_token", lambda: token)

    def body():
        from app import deal_drawer

        deal_drawer.new_deal_body()

    screen = AppTest.from_function(body, default_timeout=20).run()
    next(each for each in screen.text_input if each.label == "Name").set_value("By hand")
    next(button for button in screen.button if button.label == "Add the deal").click().run()
    assert "Choose who sold it" in text(screen)
    next(each for each in screen.selectbox if each.label == "Owner").set_value(company.people["rob"])
    next(button for button in screen.button if button.label == "Add the deal").click().run()
    assert not screen.exception
    found = deals.list_deals(company.db, company.actor("ada"), deals.DealFilters(), deals.Page(), TODAY).frame
    assert list(found["name"]) == ["By hand"]

    screen = deal_screen(company, monkeypatch, int(found["id"][0]), "ada")
    next(button for button in screen.button if button.label == "Delete it").click().run()
    assert not screen.exception
    assert deals.list_deals(company.db, company.actor("ada"), deals.DealFilters(), deals.Page(), TODAY).total == 0


# --- many at once -----------------------------------------------------------------------------------


def body_screen(company, monkeypatch, body, *args):
    """A dialog's body alone: in a dialog AppTest loses clicks."""
    token = sign_in.open_session(company.db, company.people["ada"]).token
    monkeypatch.setattr(auth, "session_token", lambda: token)
    return AppTest.from_function(body, args=args, default_timeout=30).run()


def press(screen, label):
    next(button for button in screen.button if button.label == label).click().run()
    assert not screen.exception, screen.exception


def test_ticked_deals_are_counted_and_only_an_admin_sees_the_tools(open_page, add):
    for name in ("A", "B", "C"):
        add(name)
    screen = open_page("deals", "finn")
    assert not {"Change all", "New deal"} & {button.label for button in screen.button}
    assert not screen.toggle
    screen = open_page("deals")
    assert "Change all" in [button.label for button in screen.button]
    screen.session_state["deals_0"] = {"selection": {"rows": [0, 2], "columns": [], "cells": []}}
    screen.run()
    assert "Change 2 deals" in [button.label for button in screen.button]
    screen.button(key="deals_change").click().run()
    assert screen.get("dialog")[0].proto.dialog.title == "Change deals"


def test_a_bulk_edit_is_previewed_applied_and_undone(company, monkeypatch, add):
    first = add("A", stage_id=3)
    add("B", stage_id=3, amount=None)
    add("C", stage_id=5)

    def body(ids):
        from app import deal_edit_view
        from engine.services.deals import DealFilters

        deal_edit_view.change_body(DealFilters(), tuple(ids), 3)

    screen = body_screen(company, monkeypatch, body, [first])
    assert "The ticked one" in screen.segmented_control[0].options[0]
    screen.segmented_control[0].set_value("All 3 that the filters let through").run()
    assert next(button for button in screen.button if button.label == "Preview").disabled
    screen.pills(key="bulk_what").set_value(["Stage"]).run()
    screen.selectbox(key="bulk_stage").set_value(5).run()
    press(screen, "Preview")
    assert "1 deal changes" in text(screen)
    assert "1 deal is so already" in text(screen)
    assert list(screen.dataframe[0].value["reason"]) == ["has no amount, and a won deal needs one."]
    assert list(screen.dataframe[1].value["after"]) == ["Closed Won"]
    assert "1 deal changes, and nobody's earnings" in text(screen)
    assert screen.button(key="deals_apply").disabled
    screen.checkbox[0].check().run()
    screen.button(key="deals_apply").click().run()
    assert not screen.exception, screen.exception
    assert deals.deal_detail(company.db, company.actor("ada"), first, TODAY).stage == "Closed Won"

    def past():
        from app import deal_edit_view

        deal_edit_view.past_body()

    screen = body_screen(company, monkeypatch, past)
    assert list(screen.dataframe[0].value["what"]) == ["Set Stage to Closed Won"]
    screen.session_state["deals_past_0"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    screen.run()
    assert not screen.exception, screen.exception
    screen.button(key="deals_apply").click().run()
    assert deals.deal_detail(company.db, company.actor("ada"), first, TODAY).stage == "Proposal"


def test_typing_in_the_table(open_page, company, add):
    first, second = add("A"), add("B", close_date=date(2026, 9, 1))
    screen = open_page("deals")
    screen.toggle(key="deals_typing").set_value(True).run()
    assert not screen.exception, screen.exception
    key = f"deals_typed_{screen.session_state['deals_shown']}"

    def typed(**rows):
        screen.session_state[key] = {
            "edited_rows": {int(row[1:]): cells for row, cells in rows.items()},
            "added_rows": [],
            "deleted_rows": [],
        }
        screen.run()
        screen.button(key="deals_review_typed").click().run()
        assert not screen.exception, screen.exception

    typed(r0={"amount": "12.345"})
    assert "finer than USD has" in text(screen)
    typed(r0={"amount": "12.50"}, r1={"stage_id": 3, "close_date": "2026-09-02", "owner_id": company.people["rea"]})
    assert screen.get("dialog")
    edit, found = screen.session_state["deals_review"]
    assert (found.changed, found.refused) == (2, 0)
    assert [row.deal_id for row in edit.rows] == [first, second]
    assert set(zip(found.sample["deal"], found.sample["field"], found.sample["after"], strict=True)) == {
        ("A", "Amount", "12.50 USD"),
        ("B", "Stage", "Proposal"),
        ("B", "Close date", "2026-09-02"),
        ("B", "Owner", "Rea Rep"),
    }

    # Somebody else is faster: the typing still means the deal, and the version, that it was typed for.
    fields = deals.deal_detail(company.db, company.actor("ada"), second, TODAY).deal.fields
    deals.edit_deal(
        company.db, company.actor("ada"), second, 1, replace(fields, name="B2", close_date=date(2026, 11, 1))
    )
    typed(r1={"product": "Core"})
    edit, found = screen.session_state["deals_review"]
    assert [(row.deal_id, row.version) for row in edit.rows] == [(second, 1)]
    assert found.conflict
    assert "was changed by Ada Admin" in found.obstacles["reason"][0]


# --- fields of one's own ----------------------------------------------------------------------------


def test_a_field_is_defined_checked_shown_filtered_and_typed(company, monkeypatch, add, open_page):
    add("A")
    deal_id = add("B")
    with company.db.write() as conn:
        conn.execute(sa.text("""UPDATE deals SET extra = '{"Score": "1,200.50"}' WHERE name = 'A'"""))
        conn.execute(sa.text("""UPDATE deals SET extra = '{"Score": "high"}' WHERE name = 'B'"""))

    def body():
        from app import deal_fields_view

        deal_fields_view.fields_body()

    screen = body_screen(company, monkeypatch, body)
    screen.selectbox(key="field_name").set_value("Score").run()
    screen.selectbox(key="field_kind_Score").set_value("number").run()
    press(screen, "Check")
    assert "2 deals have a value there; 1 of them will be written" in text(screen)
    assert list(screen.dataframe[0].value["value"]) == ["high"]
    assert screen.button(key="field_define").disabled
    screen.checkbox[0].check().run()
    screen.button(key="field_define").click().run()
    assert not screen.exception, screen.exception

    screen = open_page("deals")
    screen.session_state["deal_columns"] = ["Score"]
    screen.run()
    assert set(screen.dataframe[0].value["field Score"]) == {"1200.5", "high"}
    screen.multiselect(key="deal_fields").set_value(["Score"]).run()
    screen.number_input(key="deal_field_Score_from").set_value(1000).run()
    assert shown(screen) == ["A"]

    screen = deal_screen(company, monkeypatch, deal_id, "ada")

    def score():
        return next(each for each in screen.text_input if each.label == "Score")

    assert score().value == "high"
    score().set_value("many")
    press(screen, "Save")
    assert "'many' is not a number" in said(screen.error)
    score().set_value("7")
    press(screen, "Save")
    assert deals.deal_detail(company.db, company.actor("ada"), deal_id, TODAY).deal.extra == {"Score": "7"}

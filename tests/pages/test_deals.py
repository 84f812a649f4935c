"""The deals page: who sees which deals, filters, one deal opened, and the form."""

from dataclasses import replace
from datetime import date

import pytest
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


def test_choosing_a_row_opens_the_deal(open_page, add):
    deal_id = add("Acme *renewal*")
    screen = open_page("deals")
    screen.session_state["deals_0"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
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


def deal_screen(company, monkeypatch, deal_id, person):
    """The drawer's body alone: in a dialog AppTest loses clicks."""
    token = sign_in.open_session(company.db, company.people[person]).token
    monkeypatch.setattr(auth, "session_token", lambda: token)

    def body(deal_id):
        from app import deals_view

        deals_view.deal_body(deal_id)

    return AppTest.from_function(body, args=(deal_id,), default_timeout=20).run()


def test_the_story_of_a_deal(company, monkeypatch, add):
    deal_id = add("Acme", stage_id=3, amount=None)
    fields = deals.deal_detail(company.db, company.actor("ada"), deal_id, TODAY).deal.fields
    deals.edit_deal(company.db, company.actor("ada"), deal_id, 1, replace(fields, stage_id=5, amount=99_00))
    screen = deal_screen(company, monkeypatch, deal_id, "rob")
    assert not screen.exception
    assert [tab.label for tab in screen.tabs] == ["Details", "Earnings", "History"]
    history = screen.dataframe[-1].value
    assert set(zip(history["field"], history["before"], history["after"], strict=True)) == {
        ("Amount", "–", "99.00 USD"),
        ("Stage", "Proposal", "Closed Won"),
        ("Created", "–", "manual"),
    }


def test_an_admin_edits_and_is_told_what_is_wrong(company, monkeypatch, add):
    deal_id = add("Acme")
    screen = deal_screen(company, monkeypatch, deal_id, "ada")
    assert [tab.label for tab in screen.tabs][-1] == "Edit"

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

    def share(*rows):
        screen.session_state[f"deal_{deal_id}_1_credits"] = {
            "edited_rows": {},
            "added_rows": [{"person": person, "share": part} for person, part in rows],
            "deleted_rows": [],
        }
        next(button for button in screen.button if button.label == "Save").click().run()
        assert not screen.exception, screen.exception

    share((rob, "66.66667%"))
    assert "more than 4 decimals" in text(screen)
    share((rob, "120%"))
    assert "a share of 120% is not between 0% and 100%" in text(screen)
    share((rob, "60%"), (rea, None))
    assert "a row lacks its person or share" in text(screen)
    share((rob, "66.6667"), (rea, "33.3333%"))
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
        from app import deals_view

        deals_view.new_deal_body()

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

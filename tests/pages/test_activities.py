"""The activities page: who may log, the list, one activity, the tab of a deal, and activity beside results."""

from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa
import streamlit as st
from streamlit.testing.v1 import AppTest

from app import activity_view
from engine.errors import QuotaPathError
from engine.services import activities
from engine.services.activities import ActivityFields, ActivityFilters, Page

TODAY = date(2026, 11, 22)
NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def words(screen):
    assert not screen.exception, screen.exception
    every = (*screen.markdown, *screen.caption, *screen.error, *screen.warning, *screen.success, *screen.text)
    return " ".join(each.value for each in every).replace("\\", "")


def field(screen, label):
    every = (
        *screen.text_input,
        *screen.selectbox,
        *screen.date_input,
        *screen.button,
        *screen.text_area,
        *screen.toggle,
    )
    return next(each for each in every if each.label == label)


def labels(screen):
    return {button.label for button in screen.button}


def listed(company, person="ada"):
    return activities.list_activities(company.db, company.actor(person), ActivityFilters(), Page(), TODAY).frame


@pytest.fixture
def deal(company):
    """A deal of Rob's."""
    with company.db.write() as conn:
        return conn.execute(
            sa.text(
                "INSERT INTO deals (source, external_id, name, account, owner_id, stage_id, amount, currency,"
                " close_date) SELECT 'crm', 'D1', 'Robots *for* all', 'Globex', :rob, id, 70000, 'USD', '2026-11-02'"
                " FROM pipeline_stages WHERE name = 'Closed Won' RETURNING id"
            ),
            {"rob": company.people["rob"]},
        ).scalar_one()


@pytest.fixture
def many(company, deal):
    """120 activities of Rob's, one each of Rea's and Oda's."""
    for number in range(120):
        fields = ActivityFields(
            "call", f"Call {number:03}", NOW - timedelta(hours=number), deal, "", "Long <b>talk</b>"
        )
        activities.log_activity(company.db, company.actor("rob"), fields, NOW)
    task = ActivityFields("task", "=Quote", NOW, account="Initech", due_on=date(2026, 11, 20))
    activities.log_activity(company.db, company.actor("rea"), task, NOW)
    activities.log_activity(company.db, company.actor("oda"), ActivityFields("note", "Oda's", NOW), NOW)
    return company


@pytest.mark.parametrize(("person", "may_log"), [("ada", True), ("finn", False), ("mia", True), ("rob", True)])
def test_an_empty_list_says_what_to_do(open_page, person, may_log):
    screen = open_page("activities", person)
    assert "Nothing was logged yet" in words(screen)
    assert ("it takes two clicks" in words(screen)) is may_log
    assert ("Log" in labels(screen)) is may_log


@pytest.mark.parametrize(
    ("person", "people"),
    [
        ("ada", {"Rob Rep", "Rea Rep", "Oda Other"}),
        ("finn", {"Rob Rep", "Rea Rep", "Oda Other"}),
        ("mia", {"Rob Rep", "Rea Rep"}),
        ("rea", {"Rea Rep"}),
        ("oda", {"Oda Other"}),
    ],
)
def test_each_role_sees_its_activities(open_page, many, person, people):
    screen = open_page("activities", person)
    assert set(screen.dataframe[0].value["person"]) == people


def test_pages_filters_and_the_name_of_the_file(open_page, many):
    screen = open_page("activities")
    assert len(screen.dataframe[0].value) == 50
    assert {each.label: each.value for each in screen.metric}["Calls"] == "120"
    assert {each.label: each.value for each in screen.metric}["Open tasks"] == "1"
    screen = open_page("activities", open="true")
    assert list(screen.dataframe[0].value["subject"]) == ["=Quote"]
    assert list(screen.dataframe[0].value["task"]) == ["Overdue since 2026-11-20"]
    screen = open_page("activities", q="call 11", during="November 2026")
    assert len(screen.dataframe[0].value) == 10
    names = [each.proto.url for each in screen.get("download_button")]
    assert len(names) == 2
    screen = open_page("activities", kind="Task")
    assert list(screen.dataframe[0].value["subject"]) == ["=Quote"]
    assert "No activity matches" in words(open_page("activities", during="October 2026"))
    screen = open_page("activities", q="nothing like it")
    assert "No activity matches" in words(screen)
    screen = open_page("activities")
    field(screen, "Person").set_value(many.people["rea"]).run()
    assert list(screen.dataframe[0].value["person"]) == ["Rea Rep"]
    field(screen, "Clear these filters").click().run()
    assert len(screen.dataframe[0].value) == 50


def test_one_deal_by_the_address(open_page, many, deal):
    screen = open_page("activities", deal=str(deal))
    assert set(screen.dataframe[0].value["deal"]) == {"Robots *for* all"}
    assert screen.selectbox(key="activity_deal").value == deal
    assert len(screen.dataframe[0].value) == 50


def test_logging_a_call(open_page, company, deal):
    screen = open_page("activities", "rob")
    field(screen, "Log").click().run()
    assert "Deal or account is missing" in words(screen).replace("*", "")
    screen.text_input(key="log_0_account").set_value("Globex")
    field(screen, "Log").click().run()
    assert list(listed(company)["subject"]) == ["Call"]
    assert list(screen.dataframe[0].value["subject"]) == ["Call"]


def test_logging_on_a_deal_that_is_found(open_page, company, deal):
    screen = open_page("activities", "rob")
    screen.pills[0].set_value("task").run()
    field(screen, "Log").click().run()
    assert "Subject is missing" in words(screen).replace("*", "")
    field(screen, "Subject").set_value("Send the quote")
    field(screen, "Find a deal").set_value("robots").run()
    field(screen, "Due on").set_value(date(2026, 12, 1))
    field(screen, "Log").click().run()
    row = listed(company).iloc[0]
    assert (row["kind"], row["deal"], row["account"], row["due_on"]) == (
        "task", "Robots *for* all", "Globex", date(2026, 12, 1),
    )  # fmt: skip


def test_somebody_elses_deal_is_not_found(open_page, company, deal):
    screen = open_page("activities", "oda")
    field(screen, "Find a deal").set_value("robots").run()
    assert "No deal that you may see matches" in words(screen)


def test_a_refusal_is_told_in_words(open_page, company, monkeypatch):
    def broken(*_args, **_kwargs):
        raise QuotaPathError("The database does not answer. Try again in a minute.")

    screen = open_page("activities", "rob")
    monkeypatch.setattr(activities, "log_activity", broken)
    field(screen, "Log").click().run()
    assert "does not answer" in words(screen)


def panel(company, person, row):
    def body(actor, row):
        from app.activity_view import activity_panel

        activity_panel(actor, row)

    return AppTest.from_function(body, args=(company.actor(person), row), default_timeout=20).run()


def test_choosing_a_row_opens_it_once(open_page, many):
    screen = open_page("activities")
    screen.session_state["activities_0"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    screen.run()
    assert len(screen.get("dialog")) == 1
    screen.run()
    assert not screen.get("dialog")


def test_the_panel_changes_finishes_and_deletes(open_page, many):
    open_page("activities")
    task = listed(many, "rea").iloc[0]
    screen = panel(many, "rea", task)
    field(screen, "Mark as done").click().run()
    assert listed(many, "rea").iloc[0]["done_at"] is not None
    screen = panel(many, "rea", task)  # seen before it was done
    field(screen, "Save").click().run()
    assert "Somebody changed this activity" in words(screen)
    screen = panel(many, "rea", listed(many, "rea").iloc[0])
    field(screen, "Subject").set_value("Quote for Initech")
    field(screen, "Save").click().run()
    assert list(listed(many, "rea")["subject"]) == ["Quote for Initech"]
    screen = panel(many, "rea", listed(many, "rea").iloc[0])
    field(screen, "Delete").click().run()
    assert listed(many, "rea").empty


@pytest.mark.parametrize("reader", ["finn", "mia"])
def test_readers_get_no_form(open_page, many, reader):
    open_page("activities", reader)
    screen = panel(many, reader, listed(many, "rea").iloc[0])
    assert not screen.button
    assert "Overdue since 2026-11-20" in words(screen)


@pytest.mark.parametrize(("person", "may_log"), [("ada", True), ("finn", False), ("rob", True)])
def test_the_tab_of_a_deal(open_page, many, deal, person, may_log, monkeypatch):
    open_page("activities", person)
    monkeypatch.setattr(st, "rerun", lambda **_: None)  # a fragment of its own exists in the dialog only
    monkeypatch.setattr(activity_view, "now", lambda: NOW + timedelta(hours=1))  # whatever the clock says

    def body(actor, deal):
        from app.activity_view import deal_activities

        deal_activities(actor, deal)

    screen = AppTest.from_function(body, args=(many.actor(person), deal), default_timeout=20).run()
    assert len(screen.dataframe[0].value) == 120
    assert ("Log" in labels(screen)) is may_log
    if may_log:
        field(screen, "Subject").set_value("From the drawer")
        field(screen, "Log").click().run()
        screen.run()
        assert screen.dataframe[0].value["subject"].iloc[0] == "From the drawer"


def test_a_deal_without_activities(open_page, company, deal):
    open_page("activities", "rob")

    def body(actor, deal):
        from app.activity_view import deal_activities

        deal_activities(actor, deal)

    screen = AppTest.from_function(body, args=(company.actor("rob"), deal), default_timeout=20).run()
    assert "Nothing was logged on this deal" in words(screen)


def test_beside_results(open_page, many):
    screen = open_page("activities", "mia", view="Beside results", period="2026-11")
    frame = screen.dataframe[0].value.set_index("person")
    assert set(frame.index) == {"Rob Rep", "Rea Rep"}
    assert (frame.loc["Rob Rep", "calls"], frame.loc["Rob Rep", "deals"], frame.loc["Rob Rep", "amount"]) == (
        120,
        1,
        700,
    )
    screen = open_page("activities", "mia", view="Beside results", period="2020-01")
    assert "Nothing was done or won in January 2020" in words(screen)

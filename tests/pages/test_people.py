"""The people page: who sees whom, the drawer, adding a person, teams."""

from datetime import date

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from engine.services import people, sign_in

TODAY = date(2026, 11, 22)
EVERYONE = {"Ada Admin", "Finn Finance", "Mia Manager", "Rob Rep", "Rea Rep", "Max Manager", "Oda Other"}


def words(screen):
    assert not screen.exception, screen.exception
    return " ".join(
        each.value for each in (*screen.markdown, *screen.caption, *screen.error, *screen.warning, *screen.success)
    ).replace("\\", "")


def field(screen, label, place=0):
    every = (*screen.text_input, *screen.selectbox, *screen.date_input, *screen.button, *screen.toggle)
    return [each for each in every if each.label == label][place]


def labels(screen):
    return {button.label for button in screen.button}


def listed(company, on=TODAY):
    return {person.name: person for person in people.list_people(company.db, company.actor("ada"), on)}


def panel(company, name, actor="ada"):
    """The drawer's body of one person, as an app of its own."""

    def body(actor, person):
        from app.people_view import person_panel

        person_panel(actor, person)

    return AppTest.from_function(body, args=(company.actor(actor), listed(company)[name]), default_timeout=20).run()


@pytest.mark.parametrize(
    ("person", "names", "may_edit"),
    [("ada", EVERYONE, True), ("finn", EVERYONE, False), ("mia", {"Mia Manager", "Rob Rep", "Rea Rep"}, False)],
)
def test_each_role_sees_its_people(open_page, person, names, may_edit):
    screen = open_page("people", person)
    assert set(screen.dataframe[0].value["name"]) == names
    assert ("Add a person" in labels(screen)) is may_edit
    assert ("New team" in labels(screen)) is may_edit
    assert set(screen.dataframe[1].value["name"]) == {"East", "West"}


def test_a_rep_has_no_access(open_page):
    screen = open_page("people", "rob")
    assert "no access" in words(screen)
    assert not screen.dataframe


def test_without_teams_the_page_says_what_to_do(open_page, company):
    with company.db.write() as conn:
        for table in ("team_members", "team_structure", "teams"):
            conn.exec_driver_sql(f"DELETE FROM {table}")
    assert "No team yet" in words(open_page("people"))


def test_filters(open_page, company):
    people.deactivate_person(company.db, company.actor("ada"), company.people["rea"], date(2026, 11, 1))
    screen = open_page("people")
    assert set(screen.dataframe[0].value["name"]) == EVERYONE - {"Rea Rep"}
    field(screen, "Search").set_value("EAST rep").run()
    assert set(screen.dataframe[0].value["name"]) == {"Rob Rep"}
    field(screen, "Search").set_value("rea").run()
    assert "Nobody matches" in words(screen)
    field(screen, "Show those who left").set_value(True).run()
    assert list(screen.dataframe[0].value["status"]) == ["Left 2026-10-31"]


def test_choosing_a_row_opens_the_drawer_once(open_page):
    screen = open_page("people")
    screen.session_state["people_list_0"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    screen.run()
    assert [dialog.proto.dialog.title for dialog in screen.get("dialog")] == ["Ada Admin"]
    screen.run()
    assert not screen.get("dialog")


def test_the_drawer_saves_and_refuses(open_page, company):
    open_page("people")
    screen = panel(company, "Rob Rep")
    field(screen, "E-mail").set_value("ada@example.com")
    field(screen, "Save").click().run()
    assert "belongs to Ada Admin" in words(screen)
    field(screen, "E-mail").set_value("robert@example.com")
    field(screen, "Name").set_value("Robert Rep")
    field(screen, "Save").click().run()
    assert listed(company)["Robert Rep"].email == "robert@example.com"


def test_the_drawer_moves_a_person(open_page, company):
    open_page("people")
    screen = panel(company, "Rob Rep")
    field(screen, "Move to").set_value(company.teams["West"])
    field(screen, "From").set_value(date(2026, 11, 1))
    field(screen, "Move").click().run()
    assert not screen.exception
    assert listed(company)["Rob Rep"].team == "West"
    assert listed(company, date(2026, 10, 31))["Rob Rep"].team == "East"


def test_the_drawer_shows_a_new_password_once(open_page, company):
    open_page("people")
    screen = panel(company, "Rob Rep")
    field(screen, "New password").click().run()
    password = screen.code[0].value
    assert sign_in.check_password(company.db, "rob@example.com", password) == company.people["rob"]
    screen.run()
    assert not screen.code


def test_the_drawer_deactivates_and_reactivates(open_page, company):
    open_page("people")
    screen = panel(company, "Mia Manager")
    field(screen, "Last day").set_value(date(2026, 11, 20))
    field(screen, "Deactivate").click().run()
    assert not listed(company)["Mia Manager"].is_active
    assert listed(company)["Rob Rep"].manager is None
    screen = panel(company, "Mia Manager")
    assert "Deactivate" not in labels(screen)
    field(screen, "Reactivate").click().run()
    assert listed(company)["Mia Manager"].is_active


def test_the_only_admin_stays(open_page, company):
    open_page("people")
    screen = panel(company, "Ada Admin")
    field(screen, "Deactivate").click().run()
    assert "only active admin" in words(screen)
    assert listed(company)["Ada Admin"].is_active


@pytest.mark.parametrize("reader", ["finn", "mia"])
def test_readers_get_a_drawer_without_changes(open_page, company, reader):
    open_page("people", reader)
    screen = panel(company, "Rob Rep", reader)
    assert not screen.button
    assert list(screen.dataframe[0].value["Team"]) == ["East"]


def test_adding_a_person(open_page, company, monkeypatch):
    open_page("people")
    monkeypatch.setattr(st, "rerun", lambda **_: None)  # a fragment of its own exists in the dialog only

    def body(actor):
        from app.people_view import add_form

        add_form(actor)

    screen = AppTest.from_function(body, args=(company.actor("ada"),), default_timeout=20).run()
    field(screen, "Add").click().run()
    assert "E-mail" in words(screen)
    field(screen, "Name").set_value("Ana Torres")
    field(screen, "E-mail").set_value("ana@example.com")
    field(screen, "Team").set_value(company.teams["East"])
    field(screen, "Add").click().run()
    assert not screen.exception
    ana = listed(company)["Ana Torres"]
    assert (ana.code, ana.role, ana.team, ana.manager) == ("ana.torres", "rep", "East", "Mia Manager")
    email, new = screen.session_state["person_added"]
    assert sign_in.check_password(company.db, email, new.password) == ana.user_id


def test_adding_a_list(open_page, company):
    open_page("people")

    def body(actor):
        from app.people_view import list_form

        list_form(actor)

    screen = AppTest.from_function(body, args=(company.actor("ada"),), default_timeout=20).run()
    assert not screen.button
    screen.text_area[0].set_value("Phone\tCity\n1\tRome").run()
    assert "neither an e-mail address nor a column Name" in words(screen)
    screen.text_area[0].set_value("Name;E-Mail;Start date\nAna Torres;;03/04/2026").run()
    assert "Write the day as 2026-01-31" in words(screen)
    screen.text_area[0].set_value("Name;E-Mail;Start date;Team\nAna Torres;;31.03.2026;South\nBo;rob@example.com").run()
    assert "New team: South" in words(screen)
    field(screen, "Add 2 people").click().run()
    assert "Row 2 (Bo), e-mail" in words(screen)
    screen.text_area[0].set_value("Ana Torres, ana.t@example.com, manager, South").run()
    field(screen, "Add 1 person").click().run()
    ana = listed(company)["Ana Torres"]
    assert (ana.email, ana.role, ana.team, ana.hired_on) == ("ana.t@example.com", "manager", "South", date(2026, 1, 1))


def team_form(company, name):
    def body(actor, team, found, listed):
        from app.people_view import team_form

        team_form(actor, team, found, listed)

    ada = company.actor("ada")
    found = people.list_team_rows(company.db, ada, TODAY)
    team = next((each for each in found if each.name == name), None)
    args = (ada, team, found, list(listed(company).values()))
    return AppTest.from_function(body, args=args, default_timeout=20).run()


def test_a_team_is_made_changed_and_kept_out_of_circles(open_page, company):
    open_page("people")
    screen = team_form(company, None)
    field(screen, "Name").set_value("Sales")
    field(screen, "Create the team").click().run()
    teams = {team.name: team for team in people.list_team_rows(company.db, company.actor("ada"), TODAY)}
    screen = team_form(company, "East")
    field(screen, "Part of").set_value(teams["Sales"].team_id)
    field(screen, "Save").click().run()
    screen = team_form(company, "Sales")
    field(screen, "Part of").set_value(teams["East"].team_id)
    field(screen, "Save").click().run()
    assert "circle" in words(screen)
    teams = {team.name: team for team in people.list_team_rows(company.db, company.actor("ada"), TODAY)}
    assert (teams["East"].parent, teams["Sales"].parent) == ("Sales", None)


def test_a_change_before_a_later_one_says_how_long_it_holds(open_page, company):
    ada = company.actor("ada")
    team = people.create_team(company.db, ada, "South", None, None, TODAY)
    open_page("people")
    screen = team_form(company, "South")
    assert field(screen, "From").value == TODAY  # when the team began
    assert not screen.radio
    field(screen, "From").set_value(date(2026, 1, 1))
    field(screen, "Manager").set_value(company.people["mia"]).run()
    assert "manager: Nobody from 2026-11-22" in screen.radio[0].proto.captions[0].replace("\\", "")
    field(screen, "Save").click().run()
    assert [(row.manager, row.start, row.end) for row in people.team_history(company.db, ada, team)] == [
        ("Mia Manager", date(2026, 1, 1), None)
    ]
    assert "manager: Mia Manager, from 2026-01-01" in screen.session_state["action_done"]

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
        each.value
        for each in (*screen.markdown, *screen.caption, *screen.error, *screen.warning, *screen.success, *screen.info)
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
        from app.person_view import person_panel

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
    assert set(screen.dataframe[2].value["name"]) == {"East", "West"}


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
    field(screen, "From").set_value(date(2026, 11, 1)).run()
    field(screen, "Move").click().run()
    assert not screen.exception
    assert listed(company)["Rob Rep"].team == "West"
    assert listed(company, date(2026, 10, 31))["Rob Rep"].team == "East"


def test_the_drawer_shows_a_link_to_a_new_password_once(open_page, company):
    open_page("people")
    screen = panel(company, "Rob Rep")
    field(screen, "Link to sign in").click().run()
    _, secret = screen.code[0].value.split("/?welcome=")
    assert sign_in.choose_password(company.db, secret, "herring umbrella", "herring umbrella") == company.people["rob"]
    screen.run()
    assert not screen.code
    assert "Link to sign in" not in labels(panel(company, "Ada Admin"))  # one's own is in the menu


def test_the_drawer_deactivates_and_reactivates(open_page, company):
    open_page("people")
    screen = panel(company, "Mia Manager")
    field(screen, "Last day").set_value(date(2026, 11, 20)).run()
    field(screen, "Deactivate").click().run()
    assert not listed(company)["Mia Manager"].is_active
    assert listed(company)["Rob Rep"].manager is None
    screen = panel(company, "Mia Manager")
    assert "Deactivate" not in labels(screen)
    assert "The lead of East goes on without a gap" in words(screen)
    field(screen, "Reactivate").click().run()
    assert listed(company)["Mia Manager"].is_active
    assert listed(company)["Rob Rep"].manager == "Mia Manager"


def test_the_only_admin_stays(open_page, company):
    open_page("people")
    screen = panel(company, "Ada Admin")
    field(screen, "Last day").set_value(date(2026, 11, 20)).run()
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
    name, new = screen.session_state["person_added"]
    assert name == "Ana Torres"
    assert sign_in.link_person(company.db, new.link) == (ana.user_id, "Ana Torres", "ana@example.com")


def import_form(company):
    def body(actor):
        from app.people_import_view import import_form

        import_form(actor)

    return AppTest.from_function(body, args=(company.actor("ada"),), default_timeout=20).run()


LIST = """Name,E-mail,Role,Team,Manager,Hired on,Last day,Plan,Code
Ana Torres,ana@example.com,rep,South,mia@example.com,2026-03-31,,,
Rob Rep,rob@example.com,,West,,,,,
Oda Other,oda@example.com,,West,,,,,
"""


def test_importing_people(open_page, company):
    open_page("people")
    screen = import_form(company)
    assert not screen.metric
    screen.text_area[0].set_value("Phone\tCity\n1\tRome").run()
    assert "no e-mail address" in words(screen)
    screen.text_area[0].set_value(LIST).run()
    assert [each.value for each in screen.metric] == ["1", "1", "1", "0"]
    assert "New team: South" in words(screen)
    rows = screen.dataframe[0].value.set_index("name")
    assert rows.loc["Rob Rep", "details"] == "team: East → West from 2026-11-22"
    field(screen, "Add 1 and change 1 people").click().run()
    found = listed(company)
    assert (found["Ana Torres"].team, found["Ana Torres"].manager) == ("South", "Mia Manager")
    assert found["Rob Rep"].team == "West"
    screen = import_form(company)
    screen.text_area[0].set_value(LIST).run()
    assert "There is nothing to do" in words(screen)


def test_refused_rows_are_left_out_by_choice(open_page, company):
    open_page("people")
    screen = import_form(company)
    screen.text_area[0].set_value(LIST + "Bo *Li*,bo,boss,,,soon,,,\n").run()
    assert [each.value for each in screen.metric] == ["1", "1", "1", "1"]
    first = screen.dataframe[0].value.iloc[0]
    assert (first["what"], first["line"]) == ("Refused", 5)
    assert all(said in first["details"] for said in ("not an e-mail address", "not a role", "not a date"))
    assert [each.proto.label for each in screen.get("download_button")][-1] == "Refused rows with the reasons"
    button = field(screen, "Add 1 and change 1 people")
    assert button.disabled
    screen.checkbox[0].set_value(True).run()
    field(screen, "Add 1 and change 1 people").click().run()
    assert "Ana Torres" in listed(company)


def test_a_file_of_people(open_page, company):
    open_page("people")
    screen = import_form(company)
    screen.file_uploader[0].upload("people.csv", ("\ufeff" + LIST.replace(",", ";")).encode()).run()
    assert [each.value for each in screen.metric] == ["1", "1", "1", "0"]


def test_the_import_says_which_pay_periods_it_touches(open_page, company):
    with company.db.write() as conn:
        add_periods(conn)
    open_page("people")
    screen = import_form(company)
    screen.text_area[0].set_value(LIST).run()
    text = words(screen)
    assert "Closed pay periods stay as they are" in text
    assert "2026-09" in text
    assert "posted as an adjustment in 2026-10" in text


def add_periods(conn):
    """September is approved, October open."""
    conn.exec_driver_sql(
        "INSERT INTO pay_periods (period, kind, start_date, end_date) VALUES"
        " ('2026-09', 'month', '2026-09-01', '2026-10-01'), ('2026-10', 'month', '2026-10-01', '2026-11-01')"
    )
    conn.exec_driver_sql(
        "INSERT INTO runs (period, ledger_seen, inputs_hash, lines_hash, engine_version, interpreter, deals, lines,"
        " created_by) SELECT '2026-09', 0, '', '', 'x', 'x', 0, 0, id FROM users WHERE code = 'ada'"
    )
    conn.exec_driver_sql("UPDATE pay_periods SET status = 'approved', run_id = 1 WHERE period = '2026-09'")


def test_the_drawer_says_what_a_move_in_the_past_touches(open_page, company):
    with company.db.write() as conn:
        add_periods(conn)
    open_page("people")
    screen = panel(company, "Rob Rep")
    before = words(screen)
    assert "Closed pay periods" not in before
    field(screen, "Move to").set_value(company.teams["West"]).run()
    assert "Closed pay periods" not in words(screen)  # from today on
    field(screen, "From").set_value(date(2026, 9, 15)).run()
    text = words(screen)
    assert "2026-09" in text
    assert "2026-10" in text
    field(screen, "Calculate what it does to earnings").click().run()
    assert "Nobody's earnings change" in words(screen)
    field(screen, "From").set_value(date(2024, 1, 1)).run()
    field(screen, "Move").click().run()
    assert "before Rob Rep was hired" in words(screen)


def test_the_drawer_puts_on_a_plan_and_ends_it(open_page, company):
    with company.db.write() as conn:
        conn.exec_driver_sql("INSERT INTO plans (name, title) VALUES ('ae', 'AE'), ('am', 'AM')")
        conn.exec_driver_sql(
            "INSERT INTO plan_versions (plan_id, effective_from, document, hash, status, published_at)"
            " SELECT id, '2026-01-01', 'x', '', 'published', now() FROM plans"
        )
    open_page("people")
    screen = panel(company, "Rob Rep")
    assert field(screen, "Assign").disabled
    field(screen, "Put on").set_value(1).run()
    field(screen, "Assign").click().run()
    assert listed(company)["Rob Rep"].plan == "AE"
    screen = panel(company, "Rob Rep")
    field(screen, "Put on").set_value(2)
    field(screen, "First day").set_value(date(2026, 11, 20)).run()
    field(screen, "Assign").click().run()
    assert listed(company)["Rob Rep"].plan == "AM"
    assert listed(company, date(2026, 11, 19))["Rob Rep"].plan == "AE"


def test_whoever_leaves_later_signs_in_until_then(open_page, company):
    open_page("people")
    screen = panel(company, "Rob Rep")
    field(screen, "Last day").set_value(date(2030, 12, 1)).run()
    field(screen, "Leaves").click().run()
    rob = listed(company)["Rob Rep"]
    assert (rob.is_active, rob.left_on) == (True, date(2030, 12, 2))
    screen = panel(company, "Rob Rep")
    field(screen, "Stays after all").click().run()
    assert listed(company)["Rob Rep"].left_on is None


def tree(screen):
    """The first table of the Teams tab: the hierarchy."""
    return next(each.value for each in screen.dataframe if "who" in each.value.columns)


def test_the_hierarchy_as_it_was_on_a_day(open_page, company):
    ada = company.actor("ada")
    sales = people.create_team(company.db, ada, "Sales", None, company.people["max"], date(2026, 6, 1))
    people.change_team(company.db, ada, company.teams["East"], "East", sales, company.people["mia"], date(2026, 6, 1))
    people.move_person(company.db, ada, company.people["oda"], company.teams["East"], date(2026, 11, 1))
    screen = open_page("people")
    assert [line.replace("\u2003", "  ") for line in tree(screen)["who"]] == [
        "▾ Sales", "  ▾ East", "    Oda Other", "    Rea Rep", "    Rob Rep", "▾ West", "Ada Admin", "Finn Finance",
    ]  # fmt: skip
    screen.date_input(key="teams_on").set_value(date(2026, 5, 31)).run()
    shown = tree(screen)
    assert [line.strip("\u2003") for line in shown["who"]][:4] == ["▾ East", "Rea Rep", "Rob Rep", "▾ West"]
    assert list(shown["manager"])[:2] == ["Mia Manager", "Mia Manager"]
    screen.date_input(key="teams_on").set_value(date(2024, 5, 31)).run()
    assert "There was no team" in words(screen)


def test_a_manager_sees_the_people_of_the_own_tree(open_page, company):
    people.change_team(
        company.db, company.actor("ada"), company.teams["West"], "West", None, company.people["mia"], date(2025, 6, 1)
    )
    people.change_team(
        company.db, company.actor("ada"), company.teams["West"], "West", None, company.people["max"], date(2026, 1, 1)
    )
    screen = open_page("people", "mia")
    own = {"▾ East", "Rea Rep", "Rob Rep", "▾ West"}
    assert {line.strip("\u2003") for line in tree(screen)["who"]} == own
    # Once she led West, but does not any more: its people are none of hers, on no day.
    screen.date_input(key="teams_on").set_value(date(2025, 9, 1)).run()
    assert {line.strip("\u2003") for line in tree(screen)["who"]} == own


def team_form(company, name):
    def body(actor, team, found, listed):
        from app.team_view import team_form

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


def test_the_drawer_says_what_a_role_does_before_it_is_saved(open_page, company):
    open_page("people")
    screen = panel(company, "Mia Manager")
    field(screen, "Role").set_value("rep").run()
    said = words(screen)
    assert "deals and pay of themselves and 2 others until now, of themselves alone then" in said
    assert "Pages lost: People" in said.replace("*", "")
    assert "goes on leading East" in said
    assert listed(company)["Mia Manager"].role == "manager"
    field(screen, "Role").set_value("admin").run()
    said = words(screen).replace("*", "")
    assert "of everyone then" in said
    assert "May then: change deals, upload deals" in said
    field(screen, "Save").click().run()
    assert listed(company)["Mia Manager"].role == "admin"


def test_every_deed_has_words():
    from app.navigation import CATALOG
    from app.people_effect_view import DOES
    from engine.services.access import PERMISSIONS

    assert set(PERMISSIONS) - {entry.action for entry in CATALOG} == set(DOES) - {entry.action for entry in CATALOG}


def test_the_drawer_says_who_sees_whom_before_a_move(open_page, company):
    open_page("people")
    screen = panel(company, "Rob Rep")
    assert field(screen, "Move").disabled
    field(screen, "Move to").set_value(company.teams["West"]).run()
    said = words(screen).replace("*", "")
    assert "Max Manager sees then: Rob Rep" in said
    assert "Mia Manager no longer sees: Rob Rep" in said
    assert not field(screen, "Move").disabled


def test_a_password_is_not_taken_away_by_one_press(open_page, company):
    with company.db.write() as conn:
        conn.exec_driver_sql("UPDATE users SET password_hash = 'x' WHERE code = 'rob'")
    open_page("people", "rob")  # a session is open
    open_page("people")
    screen = panel(company, "Rob Rep")
    assert "1 open session ends at once" in words(screen)
    field(screen, "Take the password away").click().run()
    assert "/?welcome=" in screen.code[0].value
    assert listed(company)["Rob Rep"].link_until is not None


def test_everyone_without_a_password_is_invited(open_page, company):
    def body(actor, waiting):
        from app.people_view import invite_form

        invite_form(actor, waiting)

    screen = open_page("people")
    assert "Invite · 7" in labels(screen)
    waiting = [person for person in listed(company).values() if person.role == "rep"]
    form = AppTest.from_function(body, args=(company.actor("ada"), waiting), default_timeout=20).run()
    field(form, "Make 3 links").click().run()
    form.run()  # as the dialog does
    assert "3 links are made" in words(form)
    screen = open_page("people")
    assert [status.startswith("Invited until") for status in screen.dataframe[0].value["status"]].count(True) == 3


def test_a_team_is_closed_from_its_drawer(open_page, company):
    def body(actor, team, found, people):
        from app.team_view import team_form

        team_form(actor, team, found, people)

    open_page("people")
    teams = people.list_team_rows(company.db, company.actor("ada"), TODAY)
    west = next(team for team in teams if team.name == "West")
    args = (company.actor("ada"), west, teams, list(listed(company).values()))
    screen = AppTest.from_function(body, args=args, default_timeout=20).run()
    field(screen, "Its people go to").set_value(company.teams["East"]).run()
    assert "Mia Manager sees then: Oda Other" in words(screen).replace("*", "")
    screen.button(key="close_team").click().run()
    assert listed(company, date(2026, 11, 23))["Oda Other"].team == "East"

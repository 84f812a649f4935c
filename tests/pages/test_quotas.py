"""The quotas page: the grid to edit and to read, the tools' dialogs, teams, parts of periods, history; settings."""

from dataclasses import replace
from datetime import date

import pytest
import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

from app import quota_view
from engine.errors import ProblemsError
from engine.services import company as company_service
from engine.services import quota_tools, quotas
from engine.services.quotas import QuotaGrid, QuotaRow, Scope
from tests.owner import owner

TODAY = date(2026, 11, 22)


def words(screen):
    assert not screen.exception, screen.exception
    every = (*screen.markdown, *screen.caption, *screen.error, *screen.warning, *screen.info, *screen.success)
    return " ".join(each.value for each in every).replace("\\", "")


def button(screen, label):
    return next(each for each in screen.button if each.label == label)


def labels(screen):
    return {each.label for each in screen.button}


def show(screen, what):
    """Choose what stands below the grid."""
    next(each for each in screen.segmented_control if each.key == "quota_below").set_value(what).run()
    return screen


def scope(kind="quarter", year=2026, **more):
    return Scope(kind, year, TODAY, **more)


def grid(company, kind="quarter", year=2026, person="ada", **more):
    found = quotas.quota_grid(company.db, company.actor(person), scope(kind, year, **more))
    return {row.person: row.amounts for row in found.rows}


def save(company, period="2026-Q1", component="", **amounts):
    changes = {(company.people[who], period): cents for who, cents in amounts.items()}
    quotas.save_quotas(company.db, company.actor("ada"), changes, component)


def typed(screen, edits, kind="quarter", part=None, generation=0):
    """Type into the grid: {row: {period: amount}}."""
    screen.session_state[f"quotas_{kind}_2026_{part}__None_{generation}"] = {
        "edited_rows": edits, "added_rows": [], "deleted_rows": [],
    }  # fmt: skip
    return screen.run()


def tool(company, name, person="ada", **more):
    """The body of a tool's dialog, as an app of its own."""

    def body(name, actor, grid):
        from app import quota_tools_view

        getattr(quota_tools_view, f"{name}_form")(actor, grid)

    found = quotas.quota_grid(company.db, company.actor(person), scope(**more))
    return AppTest.from_function(body, args=(name, company.actor(person), found), default_timeout=20).run()


def field(screen, label):
    every = (*screen.text_input, *screen.text_area, *screen.selectbox, *screen.toggle, *screen.checkbox)
    every += (*screen.multiselect, *screen.segmented_control, *screen.button)
    return next(each for each in every if each.label == label)


# ---------------------------------------------------------------- who sees what
@pytest.mark.parametrize(
    ("person", "names"),
    [
        ("finn", ["Mia Manager", "Rea Rep", "Rob Rep", "Max Manager", "Oda Other"]),
        ("mia", ["Mia Manager", "Rea Rep", "Rob Rep"]),
        ("rob", ["Rob Rep"]),
    ],
)
def test_readers_see_their_part_and_change_nothing(open_page, company, person, names):
    save(company, rob=100_00, oda=200_00)
    screen = open_page("quotas", person)
    frame = screen.dataframe[0].value
    assert list(frame["person"]) == names
    assert frame[frame["person"] == "Rob Rep"]["2026-Q1"].iloc[0] == 100
    assert not labels(screen) & {"Save", "Discard", "Paste", "Copy", "Ramp", "Split", "Undo it"}
    for what in ("Part periods", "Changes"):
        assert "Undo it" not in labels(show(screen, what))
        assert "Oda Other" not in words(screen) or person == "finn"
    changes = screen.dataframe[1].value
    assert set(changes["person"]) == ({"Rob Rep", "Oda Other"} if person == "finn" else {"Rob Rep"})


def test_a_rep_has_no_teams_to_look_at(open_page, company):
    save(company, rob=100_00)
    screen = open_page("quotas", "rob")
    below = next(each for each in screen.segmented_control if each.key == "quota_below")
    assert below.options == ["Part periods", "Changes"]


def test_an_empty_company_says_what_to_do(open_page, company):
    with company.db.write() as conn:
        conn.exec_driver_sql("UPDATE users SET role = 'finance' WHERE role IN ('rep', 'manager')")
    assert "Nobody carries a quota" in words(open_page("quotas"))


def test_a_rep_without_a_quota_is_told(open_page, company):
    save(company, oda=200_00)
    screen = open_page("quotas", "rob")
    assert not screen.dataframe
    assert "No quota for the quarters of 2026" in words(screen)


# ---------------------------------------------------------------- the grid
@pytest.mark.parametrize(("kind", "count"), [("week", 13), ("month", 12), ("quarter", 4), ("year", 1)])
def test_an_admin_types_in_the_grid(open_page, company, kind, count):
    screen = open_page("quotas", kind=kind)
    part = 4 if kind == "week" else None
    found = quotas.quota_grid(company.db, company.actor("ada"), scope(kind, part=part))
    assert len(found.periods) == count + (kind == "week")  # 2026 has 53 weeks
    assert button(screen, "Save").disabled
    typed(screen, {2: {found.periods[0]: 60000.5}, 1: {found.periods[-1]: 70000}}, kind, part)
    button(screen, "Save 2 changes").click().run()
    assert not screen.exception
    after = grid(company, kind, part=part)
    assert after["Rob Rep"][0] == 60_000_50
    assert after["Rea Rep"][-1] == 70_000_00
    assert button(screen, "Save").disabled
    assert "Rob Rep" in set(show(screen, "Changes").dataframe[-1].value["person"])


def test_a_bad_amount_saves_nothing(open_page, company):
    save(company, rob=100_00)
    screen = typed(open_page("quotas"), {2: {"2026-Q1": 1.005}, 1: {"2026-Q1": 5}})
    button(screen, "Save 2 changes").click().run()
    assert "Rob Rep, 2026-Q1" in words(screen)
    assert grid(company)["Rea Rep"] == (None,) * 4


def test_an_amount_below_zero_is_refused_not_turned(open_page, company):
    screen = open_page("quotas")
    assert '"min_value"' not in screen.dataframe[0].proto.columns  # with a least value the browser drops the sign
    button(typed(screen, {2: {"2026-Q1": -5}}), "Save 1 change").click().run()
    assert "not above 0" in words(screen)
    assert grid(company)["Rob Rep"] == (None,) * 4


def test_discard_forgets_what_was_typed(open_page, company):
    screen = typed(open_page("quotas"), {0: {"2026-Q1": 5}})
    button(screen, "Discard").click().run()
    assert button(screen, "Save").disabled


def test_what_somebody_else_saved_since_the_first_key_is_told(open_page, company):
    save(company, rob=100_00)
    screen = typed(open_page("quotas"), {2: {"2026-Q1": 200}})
    save(company, rob=150_00)
    screen.run()  # whatever runs the page anew in between
    button(screen, "Save 1 change").click().run()
    assert "Ada Admin set it to 150.00 meanwhile; you were looking at 100.00" in words(screen)
    assert grid(company)["Rob Rep"][0] == 150_00
    button(screen, "Discard").click().run()
    typed(screen, {2: {"2026-Q1": 200}}, generation=1)
    button(screen, "Save 1 change").click().run()
    assert grid(company)["Rob Rep"][0] == 200_00


def test_typed_numbers_are_taken_by_their_digits():
    row = QuotaRow(7, "Ana", "", "", "", (None,))
    one = QuotaGrid(scope("year"), "USD", 1, ("2026",), (row,), (), (), (), ())
    assert quota_view.changes_of(one, {0: {"2026": 1234567890123.45}}) == {(7, "2026"): 123_456_789_012_345}
    assert quota_view.changes_of(one, {0: {"2026": None}}) == {(7, "2026"): None}
    for wrong in (0.005, 1e17, float("nan"), float("inf")):
        with pytest.raises(ProblemsError, match="Ana, 2026"):
            quota_view.changes_of(one, {0: {"2026": wrong}})


def test_the_year_and_team_of_the_address(open_page, company):
    save(company, "2025-Q1", oda=7_00)
    screen = open_page("quotas", "finn", year="2025", team=str(company.teams["West"]))
    frame = screen.dataframe[0].value
    assert list(frame["person"]) == ["Max Manager", "Oda Other"]
    assert list(frame["2025-Q1"].fillna(0)) == [0, 7]


@pytest.mark.parametrize(
    "query",
    [
        {"kind": "day"}, {"year": "1"}, {"year": "99999"}, {"year": "x"}, {"component": "none"}, {"team": "0"},
        {"kind": "week", "part": "9"},
    ],
)  # fmt: skip
def test_nonsense_in_the_address(open_page, query):
    assert not open_page("quotas", **query).exception


def test_quotas_of_another_kind_are_pointed_at(open_page, company):
    save(company, rob=100_00)
    screen = open_page("quotas", kind="month")
    assert [info.value for info in screen.info] == [r"The quotas of 2026 are set by quarter\."]
    assert not open_page("quotas").info


def test_the_fiscal_year(open_page, company):
    settings, _ = company_service.company_settings(company.db, company.actor("ada"))
    company_service.save_settings(company.db, company.actor("ada"), settings, replace(settings, fiscal_month=2))
    save(company, "2026-12", rob=100_00)
    screen = open_page("quotas", "finn", kind="month")
    frame = screen.dataframe[0].value
    assert [name for name in frame.columns if name.startswith("20")][::11] == ["2026-02", "2027-01"]
    year = next(each for each in screen.selectbox if each.key == "quota_year")
    assert year.value == 2027
    assert "FY 2027: Feb 2026 – Jan 2027" in year.options
    assert "begins in February, so its quarters are no calendar quarters" in words(open_page("quotas"))
    assert "2027 is the one that begins in this fiscal year" in words(open_page("quotas", kind="year"))


def test_a_component_of_its_own(open_page, company):
    save(company, component="nb", rob=100_00)
    save(company, rob=200_00)
    screen = open_page("quotas", "finn", component="nb")
    frame = screen.dataframe[0].value
    assert frame[frame["person"] == "Rob Rep"]["2026-Q1"].iloc[0] == 100
    assert next(each for each in screen.selectbox if each.key == "quota_component").options == ["Every component", "nb"]
    names = [each.proto.id for each in screen.get("download_button")]
    assert any("quotas-2026-quarter-nb.csv" in name for name in names)


def test_closed_pay_is_said_before_saving(open_page, company):
    with owner(company.db.engine.url) as conn:
        conn.execute(sa.text("SET LOCAL session_replication_role = replica"))
        conn.execute(
            sa.text(
                "INSERT INTO pay_periods (period, kind, start_date, end_date, status, run_id)"
                " VALUES ('2026-01', 'month', '2026-01-01', '2026-02-01', 'paid', 1)"
            )
        )
    screen = typed(open_page("quotas"), {2: {"2026-Q2": 5}})
    assert not screen.warning
    typed(screen, {2: {"2026-Q1": 5}})
    assert "Q1 2026: pay is closed there and does not move" in words(screen)
    assert not button(screen, "Save 1 change").disabled


# ---------------------------------------------------------------- below the grid
def test_teams_with_what_is_assigned_over(open_page, company):
    save(company, rob=100_00, rea=50_00, mia=120_00)
    save(company, "2026-Q2", oda=10_00)
    frame = open_page("quotas", "finn").dataframe[1].value
    rows = {name.strip(): row for name, row in zip(frame["team"], frame.to_dict("records"), strict=True)}
    assert (rows["East"]["people"], rows["East"]["leader_quota"], rows["East"]["over"]) == (150, 120, 0.25)
    assert (rows["West"]["people"], rows["West"]["leader"]) == (10, "Max Manager")
    assert rows["Company"]["people"] == 160
    screen = open_page("quotas", "finn")
    next(each for each in screen.selectbox if each.key == "quota_team_period").set_value("2026-Q2").run()
    assert screen.dataframe[1].value["people"].tolist() == [10, 0, 10]
    next(each for each in screen.date_input if each.key == "quota_teams_on").set_value(date(2024, 1, 1)).run()
    assert "no team on that day" in words(screen)


@pytest.fixture
def on_plan(company):
    with company.db.write() as conn:
        plan = conn.scalar(sa.text("INSERT INTO plans (name, title) VALUES ('p', 'Plan P') RETURNING id"))
        conn.execute(
            sa.text("INSERT INTO plan_assignments (user_id, plan_id, start_date) VALUES (:user, :plan, '2026-02-15')"),
            {"user": company.people["rob"], "plan": plan},
        )


@pytest.mark.usefixtures("on_plan")
def test_a_part_of_a_period_is_shown_and_prorated(open_page, company):
    save(company, rob=90_000_00)
    screen = show(open_page("quotas"), "Part periods")
    (row,) = screen.dataframe[1].value.to_dict("records")
    assert (row["person"], row["part"], row["given"], row["counts"]) == ("Rob Rep", "45 of 90 days", 90_000, "in full")
    screen.session_state["quota_parts_0_quotas-2026-quarter"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    screen.run()
    next(each for each in screen.button if each.label.startswith("Prorate")).click().run()
    assert grid(company)["Rob Rep"][0] == 45_000_00
    assert screen.dataframe[1].value["counts"].tolist() == ["in full: prorated already"]
    assert not [each for each in screen.button if each.label.startswith("Prorate")]


def test_everyone_on_their_plan_all_the_time(open_page, company):
    assert "all of each period in the quarters of 2026" in words(show(open_page("quotas"), "Part periods"))


def test_the_changes_are_filtered_and_the_last_save_is_undone(open_page, company):
    save(company, rob=100_00, oda=1_00)
    save(company, "2026-Q2", rob=200_00)
    screen = show(open_page("quotas"), "Changes")
    assert len(screen.dataframe[1].value) == 3
    field(screen, "Person").set_value("rob").run()
    assert set(screen.dataframe[1].value["person"]) == {"Rob Rep"}
    next(each for each in screen.selectbox if each.key == "quota_changes_period").set_value("2026-Q1").run()
    assert len(screen.dataframe[1].value) == 1
    field(screen, "Person").set_value("nobody").run()
    assert "Nothing matches" in words(screen)
    assert "Ada Admin changed 1 quota" in words(screen)
    button(screen, "Undo it").click().run()
    assert not screen.exception
    assert grid(company)["Rob Rep"] == (100_00, None, None, None)


# ---------------------------------------------------------------- tools
@pytest.mark.parametrize("name", ["Paste", "Copy", "Ramp", "Split"])
def test_the_tools_open(open_page, name):
    screen = open_page("quotas")
    button(screen, name).click().run()
    assert not screen.exception
    assert len(screen.get("dialog")) == 1


def test_a_table_is_pasted(company, open_page):
    screen = tool(company, "paste")
    field(screen, "Copied rows").set_value("Person\tQ1\tQ2\nRob Rep\t$60,000\tx\nZed\t1\t2").run()
    assert "2 cells cannot be used" in words(screen)
    assert screen.dataframe[0].value["line"].tolist() == [2, 3]
    assert button(screen, "Save 1 quota").disabled
    field(screen, "Leave these cells out and save the others").check().run()
    button(screen, "Save 1 quota").click().run()
    assert grid(company)["Rob Rep"] == (60_000_00, None, None, None)
    assert "Nothing would change" in words(screen)


def test_a_file_is_uploaded_and_a_download_changes_nothing(company, open_page):
    save(company, rob=100_50)
    files = open_page("quotas", "finn").get("download_button")
    assert files
    screen = tool(company, "paste")
    screen.file_uploader[0].upload("q.csv", b"Name,E-mail,Team,2026-Q1,2026-Q2\nRob Rep,rob@example.com,East,100.50,\n")
    screen.run()
    assert "Nothing would change" in words(screen)


def test_a_table_that_is_none(company):
    screen = tool(company, "paste")
    field(screen, "Copied rows").set_value("Rob Rep\t5").run()
    assert "1 figure where the grid has 4 periods" in words(screen)


def test_what_was_overtaken_is_not_saved_and_shown_anew(company):
    save(company, rob=1_00)
    screen = tool(company, "paste")
    field(screen, "Copied rows").set_value("Person\tQ1\nRob Rep\t5").run()
    save(company, rob=2_00)
    button(screen, "Save 1 quota").click().run()
    assert "Ada Admin set it to 2.00 meanwhile; you were looking at 1.00" in words(screen)
    assert grid(company)["Rob Rep"][0] == 2_00
    button(screen, "Show what is there now").click().run()
    assert screen.dataframe[0].value["before"].tolist() == [2]
    button(screen, "Save 1 quota").click().run()
    assert grid(company)["Rob Rep"][0] == 5_00


def test_a_period_is_copied_with_growth(company):
    save(company, rob=100_00, mia=5_00)
    screen = tool(company, "copy")
    field(screen, "Fill").set_value("2026-Q2").run()
    field(screen, "Growth in %").set_value("7.5").run()
    assert screen.dataframe[0].value["after"].tolist() == [5, 108]
    field(screen, "Whole USD").set_value(False).run()
    button(screen, "Save 2 quotas").click().run()
    assert grid(company)["Rob Rep"][:3] == (100_00, 107_50, None)
    assert "2 quotas are there already and kept" in words(screen)
    field(screen, "Growth in %").set_value("lots").run()
    assert "is not a number" in words(screen)


@pytest.mark.parametrize("kind", ["week", "month", "quarter", "year"])
def test_copy_opens_for_every_kind(company, kind):
    assert "Nothing would change" in words(tool(company, "copy", kind=kind, part=1 if kind == "week" else None))


def test_a_new_hire_is_ramped(company):
    screen = tool(company, "ramp")
    assert "Choose the person" in words(screen)
    field(screen, "Person").set_value(company.people["rob"]).run()
    assert field(screen, "First month").value == date(2025, 1, 1)  # of the hire
    field(screen, "Full quota").set_value("120.000").run()
    field(screen, "for a").set_value("year").run()
    button(screen, "Save 4 quotas").click().run()
    assert grid(company, year=2025)["Rob Rep"] == (7_500_00, 27_500_00, 30_000_00, 30_000_00)
    field(screen, "% of the full quota, month by month").set_value("50/x").run()
    assert "'x' is not a number" in words(screen)


def test_a_ramp_is_kept_and_forgotten(company):
    screen = tool(company, "ramp")
    field(screen, "% of the full quota, month by month").set_value("10/20").run()
    field(screen, "Name").set_value("Short")
    screen.button(key="ramp_save").click().run()
    assert quota_tools.saved_ramps(company.db, company.actor("ada"))[0].steps == (100_000, 200_000)
    screen = tool(company, "ramp")
    field(screen, "Ramp").set_value("Short").run()
    assert field(screen, "% of the full quota, month by month").value == "10/20"
    screen.button(key="ramp_forget").click().run()
    assert quota_tools.saved_ramps(company.db, company.actor("ada")) == []


def test_a_years_figure_is_split(company):
    screen = tool(company, "split")
    assert "Choose people" in words(screen)
    field(screen, "People").set_value([company.people["rob"]]).run()
    assert "There is no quota for the year 2026" in words(screen)
    field(screen, "Figure of the year, in USD").set_value("100").run()
    field(screen, "Into").set_value("month").run()
    button(screen, "Save 12 quotas").click().run()
    assert grid(company, "month")["Rob Rep"] == (*[8_34] * 4, *[8_33] * 8)


# ---------------------------------------------------------------- settings
def test_an_admin_changes_the_settings(open_page, company):
    screen = open_page("settings")
    field(screen, "Company name").set_value("Acme Inc")
    field(screen, "Currency").set_value("eur")
    field(screen, "The fiscal year begins in").set_value(4)
    field(screen, "Save").click().run()
    found, _ = company_service.company_settings(company.db, company.actor("ada"))
    assert (found.name, found.currency, found.fiscal_month) == ("Acme Inc", "EUR", 4)
    save(company, rob=1)
    screen = open_page("settings")
    assert field(screen, "Currency").disabled
    field(screen, "Company name").set_value(" ")
    field(screen, "Save").click().run()
    assert "Name is missing" in words(screen).replace("**", "")


def test_settings_changed_by_somebody_else(open_page, company):
    screen = open_page("settings")
    ada = company.actor("ada")
    seen, _ = company_service.company_settings(company.db, ada)
    company_service.save_settings(company.db, ada, seen, replace(seen, fiscal_month=7))
    field(screen, "Company name").set_value("Mine")
    field(screen, "Save").click().run()
    assert "Somebody else changed the settings" in words(screen)
    button(screen, "Show what is saved now").click().run()
    assert field(screen, "The fiscal year begins in").value == 7
    assert company_service.company_settings(company.db, ada)[0].name == "Acme"


def test_finance_reads_the_settings(open_page):
    screen = open_page("settings", "finn")
    assert all(each.disabled for each in (*screen.text_input, *screen.selectbox, *screen.button))
    assert "An admin may change this" in words(screen)

"""The quotas page: the grid to edit and to read, copying, totals, history."""

from datetime import date

import pytest

from app import quota_view
from engine.errors import ProblemsError
from engine.services import quotas
from engine.services.quotas import QuotaGrid, QuotaRow

TODAY = date(2026, 11, 22)


def words(screen):
    assert not screen.exception, screen.exception
    return " ".join(each.value for each in (*screen.markdown, *screen.caption, *screen.error, *screen.warning)).replace(
        "\\", ""
    )


def button(screen, label):
    return next(each for each in screen.button if each.label == label)


def grid(company, kind="quarter", year=2026, person="ada"):
    found = quotas.quota_grid(company.db, company.actor(person), kind, year, TODAY)
    return {row.person: row.amounts for row in found.rows}


def save(company, **amounts):
    ada = company.actor("ada")
    quotas.save_quotas(company.db, ada, {(company.people[who], "2026-Q1"): cents for who, cents in amounts.items()})


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
    assert not [each for each in screen.button if each.label.startswith(("Save", "Undo"))]
    assert "Oda Other" not in words(screen) or person == "finn"


@pytest.mark.parametrize(("kind", "count"), [("month", 12), ("quarter", 4), ("year", 1)])
def test_an_admin_types_in_the_grid(open_page, company, kind, count):
    screen = open_page("quotas", kind=kind)
    periods = quotas.periods_of_year(kind, 2026)
    assert len(periods) == count
    assert button(screen, "Save").disabled
    key = f"quotas_{kind}_2026__0"
    screen.session_state[key] = {
        "edited_rows": {2: {periods[0]: 60000.5}, 1: {periods[-1]: 70000}}, "added_rows": [], "deleted_rows": [],
    }  # fmt: skip
    screen.run()
    button(screen, "Save 2 changes").click().run()
    assert not screen.exception
    found = grid(company, kind)
    assert found["Rob Rep"][0] == 60_000_50
    assert found["Rea Rep"][-1] == 70_000_00
    assert button(screen, "Save").disabled
    assert "Rob Rep" in set(screen.dataframe[-1].value["person"])


def test_a_bad_amount_saves_nothing(open_page, company):
    save(company, rob=100_00)
    screen = open_page("quotas")
    screen.session_state["quotas_quarter_2026__0"] = {
        "edited_rows": {2: {"2026-Q1": 1.005}, 1: {"2026-Q1": 5}}, "added_rows": [], "deleted_rows": [],
    }  # fmt: skip
    screen.run()
    button(screen, "Save 2 changes").click().run()
    assert "Rob Rep, 2026-Q1" in words(screen)
    assert grid(company)["Rea Rep"] == (None,) * 4


def test_undo_forgets_what_was_typed(open_page, company):
    screen = open_page("quotas")
    screen.session_state["quotas_quarter_2026__0"] = {
        "edited_rows": {0: {"2026-Q1": 5}}, "added_rows": [], "deleted_rows": [],
    }  # fmt: skip
    screen.run()
    button(screen, "Undo").click().run()
    assert button(screen, "Save").disabled


def test_a_period_is_copied(open_page, company):
    save(company, rob=100_00, mia=5_00)
    screen = open_page("quotas")
    next(each for each in screen.selectbox if each.label == "Fill").set_value("2026-Q2").run()
    button(screen, "Copy Q1 2026").click().run()
    assert grid(company)["Rob Rep"][:3] == (100_00, 100_00, None)
    next(each for each in screen.selectbox if each.label == "Fill").set_value("2026-Q2").run()
    button(screen, "Copy Q1 2026").click().run()
    assert "nothing to copy" in words(screen)


def test_the_year_and_team_of_the_address(open_page, company):
    quotas.save_quotas(company.db, company.actor("ada"), {(company.people["oda"], "2025-Q1"): 7_00})
    screen = open_page("quotas", "finn", year="2025", team=str(company.teams["West"]))
    frame = screen.dataframe[0].value
    assert list(frame["person"]) == ["Max Manager", "Oda Other"]
    assert list(frame["2025-Q1"].fillna(0)) == [0, 7]


def test_team_totals_leave_the_leader_out(open_page, company):
    save(company, rob=100_00, rea=50_00, mia=900_00)
    screen = open_page("quotas", "finn")
    totals = screen.dataframe[1].value
    assert dict(zip(totals["team"], totals["2026-Q1"], strict=True)) == {"East": 150, "West": 0}


def test_quotas_of_another_kind_are_pointed_at(open_page, company):
    save(company, rob=100_00)
    screen = open_page("quotas", kind="month")
    assert [info.value for info in screen.info] == ["The quotas of 2026 are set by quarter."]
    assert not open_page("quotas").info


def test_an_empty_company_says_what_to_do(open_page, company):
    with company.db.write() as conn:
        conn.exec_driver_sql("UPDATE users SET role = 'finance' WHERE role IN ('rep', 'manager')")
    assert "Nobody carries a quota" in words(open_page("quotas"))


def test_typed_numbers_are_taken_by_their_digits():
    row = QuotaRow(7, "Ana", "", "", (None,))
    one = QuotaGrid("USD", ("2026",), (row,), (), (), ())
    assert quota_view.changes_of(one, {0: {"2026": 1234567890123.45}}) == {(7, "2026"): 123_456_789_012_345}
    assert quota_view.changes_of(one, {0: {"2026": None}}) == {(7, "2026"): None}
    for wrong in (0.005, 1e17, float("nan"), float("inf")):
        with pytest.raises(ProblemsError, match="Ana, 2026"):
            quota_view.changes_of(one, {0: {"2026": wrong}})


def test_an_amount_below_zero_is_refused_not_turned(open_page, company):
    screen = open_page("quotas")
    assert '"min_value"' not in screen.dataframe[0].proto.columns  # with a least value the browser drops the sign
    screen.session_state["quotas_quarter_2026__0"] = {
        "edited_rows": {2: {"2026-Q1": -5}}, "added_rows": [], "deleted_rows": [],
    }  # fmt: skip
    screen.run()
    button(screen, "Save 1 change").click().run()
    assert "not above 0" in words(screen)
    assert grid(company)["Rob Rep"] == (None,) * 4


def test_a_rep_without_a_quota_is_told(open_page, company):
    save(company, oda=200_00)
    screen = open_page("quotas", "rob")
    assert not screen.dataframe
    assert "No quota for the quarters of 2026" in words(screen)

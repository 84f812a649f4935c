"""The what-if page, per role: nothing to change, a moved slider, wrong input, each view, what is kept."""

import threading
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest
import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

from app import state
from engine.services import plans, whatif_scenarios, whatif_search
from engine.workers.pool import Pool

PLAN = """
plan = "ae"
effective_from = 2025-01-01
currency = "USD"
pay_period = "month"

[[component]]
id = "new"
label = "New business"
kind = "quota"
quota_period = "quarter"
quota = 10000
tiers = [{ from = "0%", rate = "8%" }, { from = "100%", rate = "12%" }]

[draw]
kind = "non_recoverable"
amount = 10
"""
RATE = "component[new].tiers[1].rate"


@pytest.fixture(scope="module")
def workers() -> Iterator[Pool]:
    """One warm worker for all tests of the file."""
    with Pool(1) as found:
        yield found


@pytest.fixture
def selling(company: Any, workers: Pool, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Rob has won 9,000 and 3,000 in October, and has 20,000 open in the next quarter; he and Rea are on a plan."""
    monkeypatch.setattr(state, "pool", lambda: workers)
    with company.db.write() as conn:
        plan = conn.scalar(sa.text("INSERT INTO plans (name, title) VALUES ('ae', 'AE') RETURNING id"))
        conn.execute(
            sa.text("""
                INSERT INTO plan_versions (plan_id, effective_from, document, hash, status, published_at)
                VALUES (:plan, '2025-01-01', :document, '', 'published', now())
            """),
            {"plan": plan, "document": PLAN},
        )
        for person in ("rob", "rea"):
            conn.execute(
                sa.text("INSERT INTO plan_assignments (user_id, plan_id, start_date) VALUES (:u, :p, '2026-01-01')"),
                {"u": company.people[person], "p": plan},
            )
        for name, cents, day, stage in (
            ("Alpha", 900_000, "2026-10-05", "Closed Won"),
            ("Beta", 300_000, "2026-10-06", "Closed Won"),
            ("Open", 2_000_000, "2027-02-01", "Negotiation"),
        ):
            conn.execute(
                sa.text("""
                    INSERT INTO deals (source, external_id, name, owner_id, stage_id, amount, currency, close_date)
                    SELECT 'crm', :name, :name, :owner, id, :cents, 'USD', :day FROM pipeline_stages WHERE name = :stage
                """),
                {"name": name, "owner": company.people["rob"], "cents": cents, "day": day, "stage": stage},
            )
    return company


def figures(screen: AppTest) -> dict[str, tuple[str, str]]:
    assert not screen.exception, screen.exception
    return {metric.label: (metric.value, metric.delta or "") for metric in screen.metric}


def words(screen: AppTest) -> str:
    assert not screen.exception, screen.exception
    found = (*screen.markdown, *screen.caption, *screen.error, *screen.success, *screen.info, *screen.warning)
    return " ".join(each.value for each in found).replace("\\", "")  # markdown's escapes


def control(screen: AppTest, path: str, kind: str = "e") -> Any:
    (found,) = [
        each
        for each in (screen.number_input if kind == "e" else screen.slider)
        if (each.key or "").endswith(f"_{path}_{kind}")
    ]
    return found


def searched(screen: AppTest) -> AppTest:
    """The screen once what it works out in the background is there."""
    for thread in threading.enumerate():
        if thread.name in ("whatif_goal", "whatif_tornado"):
            thread.join(60)
    return screen.run()


def show(screen: AppTest, view: str) -> AppTest:
    screen.session_state["whatif_show"] = view
    return screen.run()


Open = Callable[..., AppTest]


def test_without_a_plan_it_says_where_to_begin(open_page: Open) -> None:
    screen = open_page("whatif")
    assert "No plan to change yet" in words(screen)


@pytest.mark.parametrize("person", ["rob", "mia"])
def test_reps_and_managers_have_no_access(open_page: Open, selling: Any, person: str) -> None:
    screen = open_page("whatif", person)
    assert "You have no access to this page" in words(screen)
    assert not screen.metric


@pytest.mark.parametrize("person", ["ada", "finn"])
def test_a_moved_slider_moves_the_figures(open_page: Open, selling: Any, person: str) -> None:
    screen = open_page("whatif", person)
    # 10,000 x 8% + 2,000 x 12%; and a guarantee of 10 a month for two people in the other months.
    guarantees = 10 * (10 + 9)
    cost, _ = figures(screen)["Cost"]
    assert figures(screen)["Get more / get less"] == ("0 / 0", "")
    assert cost == f"${800 + 240 + guarantees:,.2f}"
    control(screen, RATE, "s").set_value(14.0).run()
    assert figures(screen)["Cost"] == (f"${800 + 280 + guarantees:,.2f}", "+$40.00")
    assert figures(screen)["Get more / get less"][0] == "1 / 0"
    assert control(screen, RATE).value == 14.0, "the exact figure follows the slider"
    control(screen, RATE).set_value(12.5).run()
    assert control(screen, RATE, "s").value == 12.5
    assert figures(screen)["Cost"][1] == "+$10.00"
    buttons = [button.label for button in screen.button]
    assert ("Make a draft" in buttons) == (person == "ada")
    next(button for button in screen.button if button.label == "Undo all").click().run()
    assert figures(screen)["Cost"] == (cost, "")


def test_money_quotas_and_people(open_page: Open, selling: Any) -> None:
    screen = open_page("whatif")
    control(screen, "draw.amount").set_value(20.55).run()
    assert figures(screen)["Cost"][1] == "+$200.45"
    next(each for each in screen.slider if each.label.startswith("Quotas")).set_value(20.0).run()
    assert figures(screen)["Cost"][1] == "+$120.45"  # the whole year's 12,000 at 8%
    next(each for each in screen.multiselect if each.label == "Add to the plan").set_value(["oda"]).run()
    next(each for each in screen.multiselect if each.label == "Take off the plan").set_value(["rob"]).run()
    assert figures(screen)["Get more / get less"][0] == "2 / 1"
    show(screen, "words")
    assert "take Rob Rep off AE" in words(screen)
    assert "put Oda Other on AE" in words(screen)
    assert "change the quotas of everyone on AE by +20%" in words(screen)
    assert "2 people are on the plan" in words(screen)
    next(each for each in screen.multiselect if each.label == "Take off the plan").set_value(["rea", "rob"]).run()
    next(each for each in screen.multiselect if each.label == "Add to the plan").set_value([]).run()
    assert "Nobody is on AE" in words(screen)


def quota(screen: AppTest, label: str) -> Any:
    return next(each for each in screen.number_input if each.label.startswith(label))


def test_one_persons_quota(open_page: Open, selling: Any) -> None:
    screen = open_page("whatif")
    cost = figures(screen)["Cost"]
    next(each for each in screen.selectbox if each.label == "One person's quotas").set_value("rob").run()
    assert [each.label for each in screen.number_input if each.label.startswith("Q")][-5:] == [
        "Q1 2026 (USD)", "Q2 2026 (USD)", "Q3 2026 (USD)", "Q4 2026 (USD)", "Q1 2027 (USD)",
    ]  # fmt: skip
    assert quota(screen, "Q4 2026").value == 10_000.0, "the plan's own quota, as he has none"
    quota(screen, "Q4 2026").set_value(9_000.0).run()
    assert figures(screen)["Cost"][1] == "+$40.00"  # 1,000 more above quota, at 12% for 8%
    assert "Rob Rep's quota for Q4 2026: 9,000.00" in words(screen)
    assert "was 10,000.00" in quota(screen, "Q4 2026").label.replace("\\", "")
    # Everyone's quotas leave the one that is set as it is.
    next(each for each in screen.slider if each.label.startswith("Quotas")).set_value(20.0).run()
    assert quota(screen, "Q4 2026").value == 9_000.0
    assert quota(screen, "Q1 2027").value == 12_000.0
    assert figures(screen)["Cost"][1] == "+$40.00"
    next(button for button in screen.button if button.label == "Undo").click().run()
    next(button for button in screen.button if button.label == "Take back").click().run()
    assert figures(screen)["Cost"] == cost
    assert quota(screen, "Q4 2026").value == 10_000.0
    quota(screen, "Q4 2026").set_value(None).run()
    assert figures(screen)["Cost"] == cost, "an empty field is no change"


def test_undo_goes_back_change_by_change(open_page: Open, selling: Any) -> None:
    screen = open_page("whatif")

    def undo() -> None:
        next(button for button in screen.button if button.label == "Undo").click().run()

    assert next(button for button in screen.button if button.label == "Undo").disabled
    for rate in (12.5, 13.0, 14.0):  # turned three times, one change
        control(screen, RATE, "s").set_value(rate).run()
    control(screen, "draw.amount").set_value(20.0).run()
    assert "2 changes" in [each.label for each in screen.expander]
    undo()
    assert (control(screen, RATE, "s").value, control(screen, "draw.amount").value) == (14.0, 10.0)
    undo()
    assert (control(screen, RATE, "s").value, control(screen, RATE).value) == (12.0, 12.0)
    assert figures(screen)["Cost"][1] == ""


def test_a_field_that_is_gone_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The browser says once more what an exact field was, while the slider beside it is already further."""
    from app import whatif_state
    from engine.services.whatif import Variant

    said: dict[str, float] = {}
    monkeypatch.setattr("app.whatif_state.st.session_state", said)
    space = whatif_state.Workspace("ae", [whatif_state.Sheet("A", Variant("ae", 1))], token=1)
    exact, slider = space.field("exact", 120), space.field("slider", 120, 240)
    said |= {slider.key: 13.0, exact.key: 12.0}
    assert space.reported("slider", slider.key, 10) == 130
    assert space.field("slider", 130, 240).key == slider.key, "who turns it is not told what they turned it to"
    again = space.field("exact", 130)
    assert again.key != exact.key
    assert space.reported("exact", exact.key, 10) is None
    assert space.reported("exact", again.key, 10) is None, "nothing was heard of it yet"
    said[again.key] = 15.0
    assert space.reported("exact", again.key, 10) == 150
    assert space.reported("exact", again.key, 10) is None
    assert space.field("slider", 150, 240).key != slider.key


def test_a_newer_version_takes_the_changes(open_page: Open, selling: Any) -> None:
    ada = selling.actor("ada")
    screen = open_page("whatif")
    control(screen, RATE).set_value(14.0).run()
    control(screen, "draw.amount").set_value(20.0).run()
    from app import whatif_state

    number = whatif_scenarios.save_scenario(
        selling.db, ada, "Steeper", "", screen.session_state[whatif_state._KEY].sheet.variant, "12m"
    )
    text = PLAN.replace("2025-01-01", "2026-10-01").replace("[draw]", "").replace('kind = "non_recoverable"', "")
    text = text.replace("amount = 10\n", "")
    with selling.db.write() as conn:
        conn.execute(
            sa.text("""
                INSERT INTO plan_versions (plan_id, effective_from, document, hash, status, published_at)
                VALUES (1, '2026-10-01', :document, '', 'published', now())
            """),
            {"document": text},
        )
        conn.execute(sa.text("UPDATE company SET data_version = data_version + 1"))
    again = open_page("whatif", scenario=str(number))
    assert "The plan has a newer version, in force from 2026-10-01" in words(again)
    assert "in force until 2026-09-30 only" in words(again)
    next(button for button in again.button if button.label == "Take the changes there").click().run()
    assert control(again, RATE).value == 14.0
    assert figures(again)["Cost"][1] == "+$40.00"
    assert "This version has no place for" in words(again)
    assert "Draw: 10.00 → 20.00" in words(again)
    assert "1 change" in [each.label for each in again.expander]


def test_a_version_that_is_gone_offers_another(open_page: Open, selling: Any) -> None:
    from engine.services.whatif import Variant

    variant = Variant("ae", 77, {RATE: "14%"})
    number = whatif_scenarios.save_scenario(selling.db, selling.actor("ada"), "Old draft", "", variant, "12m")
    screen = open_page("whatif", scenario=str(number))
    assert "is no longer there" in words(screen)
    next(button for button in screen.button if button.label == "Take the changes there").click().run()
    assert figures(screen)["Cost"][1] == "+$40.00"


def test_without_deals_it_says_so(open_page: Open, selling: Any) -> None:
    with selling.db.write() as conn:
        conn.execute(sa.text("DELETE FROM deals"))
        conn.execute(sa.text("UPDATE company SET data_version = data_version + 1"))
    screen = open_page("whatif")
    assert "No deal is won yet" in words(screen)
    assert figures(screen)["Effective rate"] == ("–", "")
    assert "there is nothing to simulate" in words(screen)


def test_wrong_input_is_told_in_words(open_page: Open, selling: Any) -> None:
    screen = open_page("whatif")
    control(screen, "component[new].tiers[1].from").set_value(0.0).run()
    assert "This variant cannot be priced" in words(screen)
    assert 'Component 1 "New business", tier 2: from' in words(screen)
    assert not screen.metric
    control(screen, "component[new].tiers[1].from").set_value(90.0).run()
    assert figures(screen)["Cost"][1] == "+$40.00"
    for query in ({"scenario": "77"}, {"scenario": "x"}, {"plan": "gone"}, {"span": "gone"}):
        screen = open_page("whatif", **query)
        assert figures(screen)["Cost"]
    assert 'There is no plan "gone"' in words(open_page("whatif", plan="gone"))
    assert "may have been deleted" in words(open_page("whatif", scenario="77"))


def test_each_view(open_page: Open, selling: Any) -> None:
    screen = open_page("whatif")
    control(screen, RATE).set_value(14.0).run()
    for view, said, tables in (
        ("people", "", True),
        ("curve", "With a quota of 10,000.00", True),
        ("quarter", "An estimate, before draws", True),
        ("compare", "Payout curves", True),
        ("goal", "Nothing is changed until you take it over", False),
        ("sensitivity", "the longest bar matters most", False),
        ("words", "Accelerator above 100% of quota: 12% → 14%", False),
    ):
        show(screen, view)
        assert said in words(screen).replace("**", "")
        assert bool(screen.dataframe) == tables, view


def test_variants_side_by_side(open_page: Open, selling: Any) -> None:
    screen = open_page("whatif")
    for place in range(3):
        next(button for button in screen.button if button.label == "Add").click().run()
        control(screen, RATE).set_value(13.0 + place).run()
    assert next(button for button in screen.button if button.label == "Add").disabled
    show(screen, "compare")
    table = screen.dataframe[0].value
    assert table["name"].tolist() == ["As it is", "Variant A", "Variant B", "Variant C", "Variant D"]
    assert table["difference"].tolist() == [0.0, 0.0, 20.0, 40.0, 60.0]
    assert list(screen.dataframe[-1].value.columns) == ["name", "before", "v0", "v1", "v2", "v3"]
    assert "Variant A: Nothing changed" in words(screen)
    assert "Variant D: New business: Tier 2: rate from 100%: 12% → 15%" in words(screen)
    next(button for button in screen.button if button.label == "Remove").click().run()
    assert len(screen.dataframe[0].value) == 4


def test_a_tier_a_cap_and_a_draw_come_and_go(open_page: Open, selling: Any) -> None:
    screen = open_page("whatif")

    def press(label: str) -> None:
        next(button for button in screen.button if button.label.replace("\\", "") == label).click().run()

    press("New business: add a cap")
    assert control(screen, "component[new].cap.amount").value == 1000.0
    control(screen, "component[new].cap.amount").set_value(900.0).run()
    assert figures(screen)["Cost"][1] == "-$140.00"
    press("New business: remove the cap")
    press("New business: add a tier")
    control(screen, "component[new].tiers[2].rate").set_value(20.0).run()
    control(screen, "component[new].tiers[2].from").set_value(110.0).run()
    assert figures(screen)["Cost"][1] == "+$80.00"
    press("New business: remove the last tier")
    assert figures(screen)["Cost"][1] == ""
    press("Remove the draw")
    assert figures(screen)["Cost"][0] == "$1,040.00"


def test_goal_seek_and_sensitivity(open_page: Open, selling: Any) -> None:
    screen = show(open_page("whatif"), "goal")
    next(each for each in screen.selectbox if each.label == "Turn").set_value(RATE).run()
    next(each for each in screen.selectbox if each.label == "Until").set_value("cost").run()
    box = next(each for each in screen.text_input if each.label == "Is")
    find = next(button for button in screen.button if button.label == "Find it")
    find.click().run()
    assert "Write the goal" in words(screen)
    box.set_value("lots").run()
    next(button for button in screen.button if button.label == "Find it").click().run()
    assert "is not a number" in words(screen)
    box.set_value("1,260").run()
    next(button for button in screen.button if button.label == "Find it").click().run()
    searched(screen)
    assert "at 13.5% gives exactly $1,260.00" in words(screen).replace("**", "")
    next(button for button in screen.button if button.label == "Take it over").click().run()
    assert control(screen, RATE).value == 13.5
    assert figures(screen)["Cost"] == ("$1,260.00", "+$30.00")
    show(screen, "sensitivity")
    next(button for button in screen.button if button.label == "Work it out").click().run()
    searched(screen)
    assert screen.get("vega_lite_chart")


def test_a_search_is_cancelled(open_page: Open, selling: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = show(open_page("whatif"), "sensitivity")
    pressed = threading.Event()

    def endless(*arguments: Any) -> None:
        tell = arguments[-1]
        tell(1, 9)
        assert pressed.wait(60)
        tell(2, 9)
        raise AssertionError("it went on")

    monkeypatch.setattr(whatif_search, "sensitivity", endless)
    next(button for button in screen.button if button.label == "Work it out").click().run()
    next(button for button in screen.button if button.label == "Cancel").click().run()
    pressed.set()
    assert "Stopped after 2 of 9" in words(searched(screen))


def test_a_kept_variant_opens_by_its_address(open_page: Open, selling: Any) -> None:
    from app import whatif_state

    screen = open_page("whatif")
    control(screen, RATE).set_value(14.0).run()
    variant = screen.session_state[whatif_state._KEY].sheet.variant
    number = whatif_scenarios.save_scenario(selling.db, selling.actor("ada"), "Steeper", "", variant, "24m")
    again = open_page("whatif", "finn", scenario=str(number))
    assert figures(again)["Cost"][1] == "+$40.00"
    assert next(each for each in again.selectbox if each.label == "Deals of").value == "24m"
    assert next(button for button in again.button if button.label == "Undo all").disabled is False
    assert "Changed since saved" not in words(again)
    control(again, RATE).set_value(15.0).run()
    assert "Changed since saved" in words(again)


def test_what_was_begun_for_a_plan_is_there_after_another_plan(open_page: Open, selling: Any) -> None:
    plans.create_plan(selling.db, selling.actor("ada"), "Other", "percentage", date(2026, 1, 1))
    screen = open_page("whatif")
    control(screen, RATE).set_value(14.0).run()
    next(each for each in screen.selectbox if each.label == "Plan").set_value("other").run()
    assert figures(screen)["Cost"][1] == ""
    assert not [each for each in screen.number_input if (each.key or "").endswith(f"_{RATE}_e")]
    next(each for each in screen.selectbox if each.label == "Plan").set_value("ae").run()
    assert figures(screen)["Cost"][1] == "+$40.00"


def test_a_draft_can_be_changed_too(open_page: Open, selling: Any) -> None:
    plans.new_draft(selling.db, selling.actor("ada"), 1, date(2027, 1, 1))
    screen = open_page("whatif")
    begin = next(each for each in screen.selectbox if each.label == "Begin from")
    assert len(begin.options) == 2
    begin.set_value(2).run()
    assert figures(screen)["Cost"][1] == ""
    control(screen, RATE).set_value(13.0).run()
    assert figures(screen)["Cost"][1] == "+$20.00"


# --- dialogs, whose bodies are drawn by functions -------------------------------------------------------


def dialog(which: str) -> Any:
    def script(which: str) -> None:
        import streamlit as st

        from app import auth, state, whatif_keep, whatif_state
        from engine.services import whatif

        actor = auth.require("whatif.use")
        base = whatif.base(state.database(), actor, state.today())
        space = whatif_state.workspace(actor, base)
        span = whatif.spans(state.today())[0]
        if "changed" not in st.session_state:
            st.session_state["changed"] = True
            rate = "component[new].tiers[1].rate"
            space.change(whatif_state.with_change(space.sheet.variant, rate, "14%", "12%"))
        if which == "save":
            whatif_keep.save_form(space, span)
        elif which == "list":
            whatif_keep.list_form()
        else:
            whatif_keep.draft_form(base, space)

    return AppTest.from_function(script, default_timeout=20, kwargs={"which": which})


@pytest.fixture
def as_ada(selling: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    from app import auth
    from engine.services import sign_in

    token = sign_in.open_session(selling.db, selling.people["ada"]).token
    monkeypatch.setattr(auth, "session_token", lambda: token)
    return selling


def selling_version(company: Any) -> Any:
    with company.db.read() as conn:
        return conn.scalar(sa.text("SELECT data_version FROM company"))


def test_saving_asks_for_a_name(as_ada: Any) -> None:
    before = selling_version(as_ada)
    screen = dialog("save").run()
    screen.text_input[0].set_value("  ").run()
    screen.button[0].click().run()
    assert "Name" in words(screen)
    screen.text_input[0].set_value("Steeper").run()
    screen.button[0].click().run()
    (kept,) = whatif_scenarios.list_scenarios(as_ada.db, as_ada.actor("ada"))
    assert (kept.name, kept.plan_title) == ("Steeper", "AE")
    assert dict(kept.variant)["changes"] == {RATE: "14%"}
    labels = [button.label for button in screen.button]
    assert labels == ["Save", "Save as a new one"]
    assert selling_version(as_ada) == before, "nothing is read anew for it"


def test_the_list_renames_and_deletes(as_ada: Any) -> None:
    assert "Nothing saved yet" in words(dialog("list").run())
    test_saving_asks_for_a_name(as_ada)
    screen = dialog("list").run()
    assert screen.dataframe[0].value["name"].tolist() == ["Steeper"]
    screen.session_state["whatif_scenarios"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    screen.run()
    screen.text_input[0].set_value("Steepest").run()
    next(button for button in screen.button if button.label == "Rename").click().run()
    assert [each.name for each in whatif_scenarios.list_scenarios(as_ada.db, as_ada.actor("ada"))] == ["Steepest"]
    next(button for button in screen.button if button.label == "Delete").click().run()
    assert whatif_scenarios.list_scenarios(as_ada.db, as_ada.actor("ada")) == []


def test_a_draft_is_made_with_its_changes_shown(as_ada: Any) -> None:
    screen = dialog("draft").run()
    assert "Accelerator above 100% of quota: 12% → 14%" in words(screen).replace("**", "")
    next(button for button in screen.button if button.label == "Make the draft").click().run()
    detail = plans.plan_detail(as_ada.db, as_ada.actor("ada"), 1, date(2026, 11, 22))
    assert detail.draft is not None
    assert 'rate = "14%"' in detail.draft.document
    assert "effective_from = 2026-12-01" in detail.draft.document

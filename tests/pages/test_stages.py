"""The pipeline stages page: what each role sees, and what an admin does with a stage."""

from datetime import date

import pytest
import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

from engine.errors import QuotaPathError
from engine.services import stages


def words(screen):
    assert not screen.exception, screen.exception
    every = (*screen.markdown, *screen.caption, *screen.error, *screen.warning, *screen.info, *screen.success)
    return " ".join(each.value for each in every).replace("\\", "")


def button(screen, label):
    return next(each for each in screen.button if each.label.startswith(label))


def labels(screen):
    return {each.label for each in screen.button}


def listed(company):
    return stages.list_stages(company.db, company.actor("ada"))


def stage(company, name):
    return next(each for each in listed(company) if each.name == name)


@pytest.fixture
def deals(company):
    """Six deals of Rob that entered Proposal: two won, three lost, one open; one won deal of Oda."""
    with company.db.write() as conn:
        for number, (owner, name) in enumerate(
            [("rob", "Closed Won")] * 2 + [("rob", "Closed Lost")] * 3 + [("rob", "Proposal"), ("oda", "Closed Won")]
        ):
            deal = conn.execute(
                sa.text(
                    "INSERT INTO deals (source, external_id, name, owner_id, stage_id, amount, currency, close_date)"
                    " SELECT 'crm', :number, :number, :owner, id, 100, 'USD', '2026-10-01' FROM pipeline_stages"
                    " WHERE name = :stage RETURNING id"
                ),
                {"number": f"D{number}", "owner": company.people[owner], "stage": name},
            ).scalar_one()
            conn.execute(
                sa.text(
                    "INSERT INTO deal_stage_entries SELECT :deal, id, CASE name WHEN 'Proposal' THEN"
                    " timestamptz '2026-09-01' ELSE '2026-10-01' END"
                    " FROM pipeline_stages WHERE name IN ('Proposal', :now)"
                ),
                {"deal": deal, "now": name},
            )
    return company


def choose(screen, place):
    drawn = screen.session_state["stages_drawn"] if "stages_drawn" in screen.session_state else 0  # noqa: SIM401 - no dict
    key = f"stages_{drawn}"
    screen.session_state[key] = {"selection": {"rows": [place], "columns": [], "cells": []}}
    return screen.run()


def test_without_deals_the_page_says_what_it_needs(open_page):
    screen = open_page("stages")
    assert "No deal entered a stage" in words(screen)
    assert list(screen.dataframe[0].value["meaning"]) == ["Open"] * 4 + ["Won", "Lost"]


@pytest.mark.parametrize(
    ("person", "rate", "may_edit"),
    [("ada", 0.5, True), ("finn", 0.5, False), ("mia", 0.4, False), ("rob", 0.4, False), ("oda", 1.0, False)],
)
def test_each_role_sees_the_rate_of_its_deals(open_page, deals, person, rate, may_edit):
    screen = open_page("stages", person)
    shown = screen.dataframe[0].value.iloc[2]
    assert (shown["rate"], shown["days"]) == (rate, 30.0)
    assert "says little" in words(screen)
    assert len(screen.get("vega_lite_chart")) == 1
    assert ("Add a stage" in labels(screen)) is may_edit


def test_the_span_is_kept_in_the_address(open_page, deals):
    screen = open_page("stages", span="Last 3 months")
    assert screen.dataframe[0].value.iloc[2]["decided"] == 6
    screen = open_page("stages", span="Own dates")
    screen.date_input[0].set_value((date(2026, 10, 1), date(2026, 10, 31))).run()
    assert screen.dataframe[0].value.iloc[2]["decided"] == 0


def test_the_real_rate_is_taken_and_the_row_stays_chosen(open_page, deals):
    stages.take_real_rate(deals.db, deals.actor("ada"), stage(deals, "Proposal"), 400_000)
    screen = choose(open_page("stages"), 2)
    button(screen, "Take the real rate, 50%").click().run()
    assert stage(deals, "Proposal").probability_ppm == 500_000
    assert screen.dataframe[0].value.iloc[2]["typed"] == 0.5


def test_a_stage_moves_up_and_down(open_page, deals):
    screen = choose(open_page("stages"), 1)
    button(screen, "Up").click().run()
    assert [each.name for each in listed(deals)][:2] == ["Qualification", "Prospecting"]
    screen = choose(screen, 0)
    assert button(screen, "Up").disabled
    button(screen, "Down").click().run()
    assert [each.name for each in listed(deals)][:2] == ["Prospecting", "Qualification"]


def form(company, name):
    def body(actor, stage):
        from app.stage_view import stage_form

        stage_form(actor, stage)

    seen = None if name is None else stage(company, name)
    return AppTest.from_function(body, args=(company.actor("ada"), seen), default_timeout=30).run()


def test_the_form_adds_and_refuses(open_page, deals):
    open_page("stages")
    screen = form(deals, None)
    button(screen, "Add the stage").click().run()
    assert "has 0 characters" in words(screen)
    screen.text_input[0].set_value("Legal *review*").run()
    button(screen, "Add the stage").click().run()
    assert stage(deals, "Legal *review*").probability_ppm == 500_000
    screen = form(deals, "Legal *review*")
    screen.text_input[0].set_value("closed won").run()
    button(screen, "Save").click().run()
    assert 'Another stage is called "Closed Won"' in words(screen)


def test_another_meaning_says_what_becomes_of_pay(open_page, deals):
    with deals.db.write() as conn:
        conn.execute(
            sa.text("INSERT INTO pay_periods (period, kind, start_date, end_date) VALUES ('2026-10', 'month', :a, :b)"),
            {"a": date(2026, 10, 1), "b": date(2026, 11, 1)},
        )
    open_page("stages")
    screen = form(deals, "Proposal")
    screen.segmented_control[0].set_value("won").run()
    text = words(screen)
    assert "1 deal in this stage would count for pay" in text.replace("*", "")
    assert "2026-10 (1)" in text
    button(screen, "Calculate what it does").click().run()
    assert "Nobody's earnings change" in words(screen)  # nobody is on a plan
    button(screen, "Save, and let earnings change").click().run()
    assert stage(deals, "Proposal").outcome == "won"


def test_retiring_moves_the_deals(open_page, deals):
    open_page("stages")

    def body(actor, stage):
        from app.stage_view import retire_form

        retire_form(actor, stage)

    screen = AppTest.from_function(body, args=(deals.actor("ada"), stage(deals, "Proposal")), default_timeout=30).run()
    assert "1 deal in Proposal move" in words(screen).replace("*", "")
    button(screen, "Move 1 deal and retire").click().run()
    assert not screen.exception
    assert stage(deals, "Proposal").retired
    screen = choose(open_page("stages"), 5)
    assert labels(screen) >= {"Restore", "Move its deals"}
    button(screen, "Restore").click().run()
    assert not stage(deals, "Proposal").retired


def test_a_fault_is_told_in_words(open_page, deals, monkeypatch):
    def broken(*_args, **_kwargs):
        raise QuotaPathError("The database does not answer. Try again in a minute.")

    screen = choose(open_page("stages"), 1)
    monkeypatch.setattr(stages, "order_stages", broken)
    button(screen, "Up").click().run()
    assert "does not answer" in words(screen)

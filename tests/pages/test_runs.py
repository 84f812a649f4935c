"""The page of runs: for whom, what would change, keep it; what is out of date; what may go."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

from app import state
from engine.db import deals as deal_rows
from engine.services import deals, runs
from engine.services.run_scope import Scope
from tests.pages.test_pay import button, calculated, selling, words

__all__ = ["calculated", "selling"]  # fixtures

OCTOBER = "2026-10"


def edit(company: Any, name: str, cents: int) -> None:
    with company.db.read() as conn:
        deal = deal_rows.find(conn, conn.scalar(sa.text("SELECT id FROM deals WHERE name = :n"), {"n": name}) or 0)
    assert deal is not None
    deals.edit_deal(company.db, company.actor("ada"), deal.id, deal.version, replace(deal.fields, amount=cents))


def until(screen: AppTest, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, words(screen)
        time.sleep(0.2)
        screen.run()


def look(screen: AppTest, *people: int) -> AppTest:
    """See what would change, for these people."""
    screen.session_state["run_who"] = "people"
    screen.run()
    screen.session_state["run_people_chosen"] = list(people)
    screen.run()
    return button(screen, "See what would change").click().run()


def test_see_what_would_change_and_keep_it(calculated: Any, open_page: Callable[..., AppTest]) -> None:
    edit(calculated, "Beta", 13_000_00)
    screen = open_page("runs", period=OCTOBER)
    assert "October 2026 is out of date: 1 person differs" in words(screen)
    look(screen, calculated.people["rob"])
    assert "What would change in October 2026 for Rob Rep" in "\n".join(each.value for each in screen.subheader)
    people, lines = screen.dataframe[0].value, screen.dataframe[1].value
    assert people[["name", "was", "now", "difference", "cause"]].to_numpy().tolist() == [
        ["Rob Rep", 1_040.0, 2_240.0, 1_200.0, "Edited deal"]
    ]
    assert lines[["deal", "what", "detail"]].to_numpy().tolist() == [["Beta", "Changed", "amount by Ada Admin"]]
    button(screen, "Keep it").click().run()
    until(screen, lambda: "Earned in all $2,240.00" in words(screen))
    assert button(screen, "Keep it") is None
    assert "out of date" not in words(screen)
    with calculated.db.read() as conn:
        assert conn.scalar(sa.text("SELECT scope FROM runs ORDER BY id DESC LIMIT 1")) == "Rob Rep"


def test_what_changed_meanwhile_is_shown_and_not_kept(calculated: Any, open_page: Callable[..., AppTest]) -> None:
    edit(calculated, "Beta", 13_000_00)
    screen = look(open_page("runs", period=OCTOBER), calculated.people["rob"])
    edit(calculated, "Beta", 3_500_00)
    button(screen, "Keep it").click().run()
    until(screen, lambda: bool(screen.error) and len(screen.dataframe) > 1)
    assert "nothing was kept" in screen.error[0].value
    assert screen.dataframe[0].value["now"].tolist() == [1_100.0]  # as it is now, to be looked at again
    assert not button(screen, "Keep it").disabled
    assert "Earned in all $1,040.00" in words(screen)


def test_nothing_would_change(calculated: Any, open_page: Callable[..., AppTest]) -> None:
    screen = button(open_page("runs", period=OCTOBER), "See what would change").click().run()
    assert "Nothing: a run now comes to the same for all 2" in screen.success[0].value
    assert button(screen, "Keep it") is None


def test_before_the_first_run_there_is_nothing_to_compare(selling: Any, open_page: Callable[..., AppTest]) -> None:
    screen = open_page("runs", period=OCTOBER)
    assert button(screen, "See what would change").disabled
    screen.session_state["run_who"] = "people"
    screen.run()
    assert button(screen, "Calculate at once") is None  # nobody is chosen
    screen.session_state["run_people_chosen"] = [selling.people["oda"]]
    screen.run()
    button(screen, "Calculate at once").click().run()
    until(screen, lambda: "People with earnings 0 of 1" in words(screen))


def test_what_is_out_of_date_is_brought_up_to_date(calculated: Any, open_page: Callable[..., AppTest]) -> None:
    runs.run_period(calculated.db, state.pool(), calculated.actor("ada"), "2026-11")
    edit(calculated, "Beta", 13_000_00)
    screen = open_page("runs", period=OCTOBER)
    stale = screen.dataframe[1].value
    assert stale[["title", "people", "difference", "since", "who"]].to_numpy().tolist() == [
        ["October 2026", 1, 1_200.0, "a deal was edited", "Ada Admin"]
    ]
    button(screen, "Bring up to date").click().run()
    until(screen, lambda: "Earned in all $2,240.00" in words(screen))
    assert "Out of date" not in [each.value for each in screen.subheader]
    assert "1 earlier run of open periods, which no period shows any more, hold 2 lines" in words(screen)
    assert "Frees 2 lines of 1 runs" in words(button(screen, "Remove superseded runs").click().run())


def test_several_periods_at_once(selling: Any, open_page: Callable[..., AppTest]) -> None:
    screen = open_page("runs", period=OCTOBER)
    screen.session_state["run_several_2026"] = ["2026-09", OCTOBER]
    screen.run()
    button(screen, "Calculate them").click().run()
    until(screen, lambda: "Earned in all $1,040.00" in words(screen))
    assert screen.dataframe[-1].value["period"].tolist() == [OCTOBER, "2026-09"]


def test_finance_looks_and_starts_nothing(calculated: Any, open_page: Callable[..., AppTest]) -> None:
    rob = Scope(people=(calculated.people["rob"],))
    runs.run_period(calculated.db, state.pool(), calculated.actor("ada"), OCTOBER, scope=rob)
    edit(calculated, "Beta", 13_000_00)
    screen = open_page("runs", "finn", period=OCTOBER)
    assert "October 2026 is out of date: 1 person differs" in words(screen)
    assert not screen.exception
    shown = [each.label for each in screen.button]
    for label in ("Run", "See what", "Bring", "Calculate", "Remove"):
        assert not [each for each in shown if each.startswith(label)], shown


@pytest.mark.parametrize("person", ["mia", "rob"])
def test_the_page_is_not_for_others(calculated: Any, open_page: Callable[..., AppTest], person: str) -> None:
    assert "You have no access to this page" in words(open_page("runs", person, period=OCTOBER))

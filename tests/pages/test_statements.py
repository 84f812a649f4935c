"""Statements on the Earnings page, per role: provisional, final, nothing yet, the list, everyone's PDFs."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app import state
from engine.services import payouts, runs, statements
from tests.pages.test_pay import button, calculated, choose, selling, words  # noqa: F401 - fixtures

Open = Callable[..., AppTest]


def downloads(screen: AppTest) -> list[str]:
    return [each.proto.label for each in screen.get("download_button")]


def opened_for(open_page: Open, viewer: str, person: str) -> AppTest:
    """The statement of October, asked for by `viewer` for `person`."""
    screen = open_page("earnings", viewer, period="2026-10", view="statement")
    screen.query_params["person"] = person
    return screen.run()


@pytest.fixture
def paid(calculated: Any) -> Any:  # noqa: F811
    ada = calculated.actor("ada")
    payouts.approve_period(calculated.db, ada, "2026-10")
    payouts.mark_paid(calculated.db, ada, "2026-10")
    return calculated


def test_before_the_first_run(selling: Any, open_page: Open) -> None:  # noqa: F811
    assert "No earnings in October 2026 yet" in words(open_page("earnings", "rob", period="2026-10", view="statement"))
    screen = open_page("earnings", "ada", period="2026", view="statements")
    assert "No statements in 2026 yet" in words(screen)
    assert not screen.exception


@pytest.mark.parametrize("viewer", ["rob", "mia", "finn", "ada"])
def test_a_provisional_statement(calculated: Any, open_page: Open, viewer: str) -> None:  # noqa: F811
    screen = opened_for(open_page, viewer, "rob")
    assert not screen.exception
    text = words(screen)
    assert "Rob Rep, October 2026" in text
    assert "Earned $1,040.00" in text
    assert "PROVISIONAL" in text
    assert downloads(screen) == ["PDF", "Excel", "CSV"]
    lines = next(each.value for each in screen.dataframe if "deal" in each.value)
    assert lines["how"].tolist()[1] == "1,000.00 up to 100% of quota x 8%; 2,000.00 above 100% of quota x 12%"
    choose(screen, "statement-lines-rob-2026-10-0", 1)
    assert "How \\$320\\.00 was worked out\\: Beta" in words(screen)
    assert "90% before" in words(screen)


def test_a_final_statement_has_its_code(paid: Any, open_page: Open) -> None:
    text = words(open_page("earnings", "rob", period="2026-10", view="statement"))
    assert "Paid $1,040.00" in text
    assert "PROVISIONAL" not in text
    found = statements.statement(paid.db, paid.actor("rob"), paid.people["rob"], "2026-10")
    assert found is not None
    assert found.code in text

    screen = open_page("earnings", "finn", period="2026", view="statements")
    screen.text_input(key="verify_code").set_value(found.code).run()
    assert "the statement of Rob Rep" in screen.success[0].value
    screen.text_input(key="verify_code").set_value("f" * 64).run()
    assert "No statement that you may see has this code" in screen.error[0].value
    screen.text_input(key="verify_code").set_value("12").run()
    assert "64 digits" in screen.error[0].value


def test_nobody_opens_another_ones_statement(paid: Any, open_page: Open) -> None:
    assert "Rob Rep" not in words(opened_for(open_page, "oda", "rob"))
    assert "Oda Other" not in words(opened_for(open_page, "mia", "oda"))
    for viewer, names in (("rob", ["Rob Rep"]), ("mia", ["Rob Rep"]), ("ada", ["Oda Other", "Rob Rep"])):
        screen = open_page("earnings", viewer, period="2026-Q4", view="statements")
        assert screen.dataframe[0].value["name"].tolist() == names, viewer


def test_choosing_a_statement_of_the_list_opens_it(paid: Any, open_page: Open) -> None:
    screen = open_page("earnings", "ada", period="2026", view="statements")
    choose(screen, "statements_2026_None_0", 1)
    assert "Rob Rep, October 2026" in words(screen)
    assert screen.query_params["person"] == "rob"


def test_everyones_pdfs_are_for_admins_and_finance(paid: Any, open_page: Open) -> None:
    assert "All PDFs (ZIP)" not in downloads(open_page("earnings", "mia", period="2026-10", view="statements"))
    screen = open_page("earnings", "finn", period="2026-10", view="statements")
    button(screen, "Write all 2 PDFs").click().run()
    deadline = time.monotonic() + 20
    while "All PDFs (ZIP)" not in downloads(screen):
        assert time.monotonic() < deadline, words(screen)
        time.sleep(0.2)
        screen.run()
    assert statements.written(paid.db, paid.actor("finn"), "2026-10") == (2, 2)
    assert state.jobs() is not None
    runs.run_period(paid.db, state.pool(), paid.actor("ada"), "2026-11")
    screen = open_page("earnings", "finn", period="2026-11", view="statements")
    assert "once the period is approved" in words(screen)

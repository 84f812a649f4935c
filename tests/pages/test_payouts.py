"""Payouts and disputes per role: what waits, what changed, what is given by hand or taken back, what is flagged."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

from app import auth, navigation, state
from engine.db import deals as deal_rows
from engine.services import adjustments, approvals, deals, disputes, earnings, payables, payouts, runs, sign_in
from engine.services.adjustments import NewAdjustment
from tests.pages.test_pay import button, calculated, choose, selling, words

__all__ = ["calculated", "selling"]  # fixtures


def give(company: Any, person: str, cents: int, period: str = "2026-10", reason: str = "Won the contest") -> int:
    new = NewAdjustment(str(uuid.uuid4()), company.people[person], "spif", cents, reason)
    return adjustments.add_adjustment(company.db, company.actor("ada"), period, new)


def close(company: Any, period: str) -> None:
    payouts.approve_period(company.db, company.actor("ada"), period)
    payouts.mark_paid(company.db, company.actor("ada"), period)


def rob_line(company: Any) -> int:
    shown = earnings.earned(company.db, company.actor("rob"), company.people["rob"], "2026-10")
    assert shown is not None
    return int(shown.lines["line_id"].iloc[0])


@pytest.fixture
def open_body(company: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    """``open_body("app.adjustment_view.add_body", "ada", "...arguments as Python")`` runs the body of a dialog."""

    def opened(function: str, person: str, arguments: str = "") -> AppTest:
        token = sign_in.open_session(company.db, company.people[person]).token
        monkeypatch.setattr(auth, "session_token", lambda: token)
        module, name = function.rsplit(".", 1)
        lines = (f"from {module} import {name}", "from engine.periods import parse_period", f"{name}({arguments})")
        return AppTest.from_string("\n".join(lines), default_timeout=20).run()

    return opened


# --- payouts ------------------------------------------------------------------------------------------


def test_what_waits_and_what_was_given_by_hand(calculated: Any, open_page: Callable[..., AppTest]) -> None:
    runs.run_period(calculated.db, state.pool(), calculated.actor("ada"), "2026-09")
    made = give(calculated, "rob", 50_000)
    give(calculated, "oda", 1_000, reason="<b>why</b>")
    adjustments.withdraw_adjustment(calculated.db, calculated.actor("ada"), made)
    screen = open_page("payouts", period="2026-10")
    text = words(screen)
    assert "Waiting for you** · 1" in text  # September; October is on the screen
    assert "Manual adjustments $10.00" in text
    screen = open_page("payouts", period="2026-10", view="adjustments")
    assert screen.dataframe[0].value[["name", "amount"]].to_numpy().tolist() == [
        ["Oda Other", 10.0],
        ["Rob Rep", 500.0],
    ]
    assert button(screen, "Add an adjustment") is not None
    assert button(open_page("payouts", "finn", period="2026-10", view="adjustments"), "Add") is None
    close(calculated, "2026-10")
    assert button(open_page("payouts", period="2026-10", view="adjustments"), "Add") is None


def test_figures_that_are_out_of_date_are_not_approved(calculated: Any, open_page: Callable[..., AppTest]) -> None:
    db, ada = calculated.db, calculated.actor("ada")
    assert button(open_page("payouts", period="2026-10"), "Approve October").disabled is False
    with db.read() as conn:
        deal = deal_rows.find(conn, conn.scalar(sa.text("SELECT id FROM deals WHERE name = 'Beta'")) or 0)
    assert deal is not None
    deals.edit_deal(db, ada, deal.id, deal.version, replace(deal.fields, amount=12_345_00))
    assert "October 2026 is out of date: 1 person differs" in words(open_page("runs", period="2026-10"))
    for page in ("payouts", "earnings"):
        assert "have changed since October 2026 was calculated" in words(open_page(page, period="2026-10")), page
    assert button(open_page("payouts", period="2026-10"), "Approve October").disabled
    assert "have changed since" in words(open_page("earnings", "rob", period="2026-10"))
    runs.run_period(db, state.pool(), ada, "2026-10")
    screen = open_page("payouts", period="2026-10")
    assert "have changed since" not in words(screen)
    assert button(screen, "Approve October").disabled is False


def test_earnings_with_an_adjustment_and_no_run(selling: Any, open_page: Callable[..., AppTest]) -> None:
    runs.run_period(selling.db, state.pool(), selling.actor("ada"), "2026-10")
    give(selling, "rob", 50_000)
    screen = open_page("earnings", "rob", period="2026-10")
    assert "Given by hand $500.00" in words(screen)
    with selling.db.write() as conn:
        conn.execute(sa.text("UPDATE pay_periods SET run_id = NULL"))  # as the undoing of an import leaves it
    screen = open_page("earnings", "rob", period="2026-10")
    assert "October 2026 has not been calculated for Rob Rep" in words(screen)
    assert screen.dataframe[0].value["amount"].tolist() == [500.0]


def test_an_adjustment_is_added_in_its_form(calculated: Any, open_body: Callable[..., AppTest]) -> None:
    screen = open_body("app.adjustment_view.add_body", "ada", "parse_period('2026-10')")
    assert "Person is not chosen" in button(screen, "Add to October").click().run().error[0].value.replace("**", "")
    screen.selectbox(key="adjust_person").select(calculated.people["rob"]).run()
    assert screen.text_input(key="adjust_amount").label == "Amount (USD)"
    for amount, reason, problem in (
        ("abc", "x", "is not a number"),
        ("1.005", "x", "finer than USD"),
        ("5", " ", "empty"),
    ):
        screen.text_input(key="adjust_amount").set_value(amount)
        screen.text_area(key="adjust_reason").set_value(reason)
        assert problem in button(screen, "Add to October").click().run().error[0].value
    screen.text_input(key="adjust_amount").set_value("-1,250.50")
    screen.text_area(key="adjust_reason").set_value("Overpaid in cash")
    button(screen, "Add to October").click().run()
    found = adjustments.list_adjustments(calculated.db, calculated.actor("ada"), "2026-10")
    assert found["amount"].tolist() == [-125_050]


def test_an_override_in_its_form(calculated: Any, open_body: Callable[..., AppTest]) -> None:
    line = rob_line(calculated)
    screen = open_body("app.adjustment_view.override_body", "ada", f"{line}, 72_000, 'USD'")
    screen.text_input(key="override_amount").set_value("much")
    assert screen.text_area(key="override_reason").label == "Why"
    assert "Pay instead" in button(screen, "Override").click().run().error[0].value
    screen.text_input(key="override_amount").set_value("1000")
    screen.text_area(key="override_reason").set_value("Promised")
    button(screen, "Override").click().run()
    found = adjustments.list_adjustments(calculated.db, calculated.actor("rob"), "2026-10", calculated.people["rob"])
    assert found[["line_then", "amount"]].to_numpy().tolist() == [[72_000, 28_000]]
    assert "You have no access" in words(open_body("app.adjustment_view.override_body", "rob", f"{line}, 1, 'USD'"))


def test_what_has_changed_in_closed_periods(calculated: Any, open_page: Callable[..., AppTest]) -> None:
    db, ada = calculated.db, calculated.actor("ada")
    assert "Nothing has changed in closed periods" in words(open_page("payouts", period="2026-10", view="changes"))
    close(calculated, "2026-10")
    with db.read() as conn:
        deal = deal_rows.find(conn, conn.scalar(sa.text("SELECT id FROM deals WHERE name = 'Beta'")) or 0)
    assert deal is not None
    deals.edit_deal(db, ada, deal.id, deal.version, replace(deal.fields, amount=100_000))
    runs.run_period(db, state.pool(), ada, "2026-11")
    screen = open_page("payouts", period="2026-11", view="changes")
    assert screen.dataframe[0].value[["name", "approved", "earned", "difference", "cause"]].to_numpy().tolist() == [
        ["Rob Rep", 1040.0, 800.0, -240.0, "Edited deal"]
    ]
    assert screen.dataframe[1].value["detail"].tolist() == ["amount by Ada Admin"]
    screen.text_input(key="change_text").set_value("nobody").run()
    assert "Lines 0" in words(screen)
    payouts.approve_period(db, ada, "2026-11")
    screen = open_page("payouts", period="2026-11", view="changes")  # still tells what was approved
    assert screen.dataframe[0].value["approved"].tolist() == [1040.0]
    screen = open_page("payouts", "finn", view="overpaid")
    assert screen.dataframe[0].value[["name", "owes", "what"]].to_numpy().tolist() == [["Rob Rep", 240.0, "Beta"]]


def test_two_people_on_the_page(calculated: Any, open_page: Callable[..., AppTest]) -> None:
    screen = open_page("payouts", period="2026-10")
    screen.toggle[0].set_value(True).run()
    assert "at least two active admins" in screen.error[0].value
    with calculated.db.write() as conn:
        conn.execute(sa.text("UPDATE users SET role = 'admin' WHERE code = 'finn'"))
    screen = open_page("payouts", period="2026-10")
    screen.toggle[0].set_value(True).run()
    assert button(screen, "Approve October 2026").disabled
    assert "You made the run of 2026\\-10" in screen.info[0].value
    assert not button(open_page("payouts", "finn", period="2026-10"), "Approve October 2026").disabled
    assert approvals.two_person_rule(calculated.db, calculated.actor("ada"))


def test_payments_are_taken_back(
    calculated: Any, open_page: Callable[..., AppTest], open_body: Callable[..., AppTest]
) -> None:
    close(calculated, "2026-10")
    assert button(open_page("payouts", period="2026-10"), "Take payments back") is not None
    assert button(open_page("payouts", "finn", period="2026-10"), "Take payments back") is None
    screen = open_body("app.payment_view.reverse_body", "ada", "parse_period('2026-10')")
    assert "is empty" in button(screen, "Take back 1 payment").click().run().error[0].value
    screen.text_area(key="reverse_reason").set_value("Bank refused it")
    screen = button(screen, "Take back 1 payment").click().run()
    assert "taken back already" in words(screen)
    screen = open_page("payouts", period="2026-10")
    assert "Taken back $1,040.00" in words(screen)
    assert screen.dataframe[1].value["reason"].tolist() == ["Bank refused it"]


def test_nothing_calculated_yet_and_an_adjustment_waits(selling: Any, open_page: Callable[..., AppTest]) -> None:
    give(selling, "rob", 50_000)
    assert "has not been calculated" in words(open_page("payouts", period="2026-10"))
    assert len(open_page("payouts", period="2026-10", view="adjustments").dataframe[0].value) == 1
    assert "No manual adjustments in September 2026" in words(
        open_page("payouts", period="2026-09", view="adjustments")
    )
    assert "Nobody owes anything" in words(open_page("payouts", period="2026-09", view="overpaid"))


# --- disputes -----------------------------------------------------------------------------------------


def test_a_rep_flags_a_line_and_reads_the_answer(
    calculated: Any, open_page: Callable[..., AppTest], open_body: Callable[..., AppTest]
) -> None:
    assert "No open disputes" in words(open_page("disputes", "rob"))
    screen = open_body("app.dispute_view.flag_body", "rob", str(rob_line(calculated)))
    assert "**What is wrong?** is empty" in button(screen, "Send").click().run().error[0].value
    screen.text_area(key="flag_text").set_value("**It** was <b>more</b>")
    button(screen, "Send").click().run()
    found = disputes.list_disputes(calculated.db, calculated.actor("ada"))
    (dispute_id,) = found.page["id"]

    screen = open_body("app.dispute_view.thread_body", "ada", str(dispute_id))
    assert screen.text[0].value == "**It** was <b>more</b>"
    assert button(screen, "Settle").disabled  # nothing has changed
    screen.text_area[0].set_value("The contract says 9,000")
    button(screen, "Send").click().run()
    give(calculated, "rob", 1_000)
    screen = open_body("app.dispute_view.thread_body", "ada", str(dispute_id))
    screen.selectbox[0].select_index(0).run()
    screen.text_area[0].set_value("A SPIF for it")
    screen = button(screen, "Settle").click().run()
    assert "Manual adjustment 2026\\-10" in screen.success[0].value
    assert not screen.text_area

    screen = open_page("disputes", "rob", show="Closed")
    assert screen.dataframe[0].value["status"].tolist() == ["Settled"]
    assert "name" not in screen.dataframe[0].value
    assert "flag" in [one.key.split("_")[0] for one in flag_and_override("rob", open_body, calculated)]


def flag_and_override(person: str, open_body: Callable[..., AppTest], company: Any) -> list[Any]:
    actor = f"__import__('app.auth').auth.current(), {rob_line(company)}, 72_000, 'USD'"
    return list(open_body("app.dispute_view.line_actions", person, actor).button)


@pytest.mark.parametrize(("person", "labels"), [
    ("rob", ["Something is wrong"]),
    ("mia", ["Something is wrong"]),
    ("finn", []),
    ("ada", ["Something is wrong", "Override"]),
])  # fmt: skip
def test_what_may_be_done_about_a_line(
    calculated: Any, open_body: Callable[..., AppTest], person: str, labels: list[str]
) -> None:
    assert [one.label for one in flag_and_override(person, open_body, calculated)] == labels


def test_a_disputed_line_leads_to_its_dispute(
    calculated: Any, open_body: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    links: list[Any] = []
    monkeypatch.setattr(navigation, "link", lambda *link: links.append(link))
    made = disputes.flag_line(calculated.db, calculated.actor("rob"), rob_line(calculated), "It was more")
    assert flag_and_override("rob", open_body, calculated) == []
    assert [one.label for one in flag_and_override("ada", open_body, calculated)] == ["Override"]
    assert set(map(str, links)) == {str(("disputes", "Read it under Disputes", {"dispute": str(made)}))}
    disputes.reject(calculated.db, calculated.actor("ada"), made, "It was not")
    assert [one.label for one in flag_and_override("rob", open_body, calculated)] == ["Something is still wrong"]
    assert flag_and_override("finn", open_body, calculated) == []


@pytest.mark.parametrize(("person", "sees"), [
    ("ada", True), ("finn", True), ("mia", True), ("rob", True), ("rea", False), ("max", False), ("oda", False),
])  # fmt: skip
def test_who_sees_a_dispute(
    calculated: Any, open_page: Callable[..., AppTest], open_body: Callable[..., AppTest], person: str, sees: bool
) -> None:
    made = disputes.flag_line(calculated.db, calculated.actor("rob"), rob_line(calculated), "Secret words")
    screen = open_page("disputes", person)
    assert bool(screen.dataframe) is sees
    assert (button(screen, "A deal is missing") is None) is (person == "finn")
    thread = open_body("app.dispute_view.thread_body", person, str(made))
    assert ([one.value for one in thread.text] == ["Secret words"]) is sees
    assert bool(thread.error) is not sees
    assert (button(thread, "Reject") is not None) is (person == "ada")
    assert (button(thread, "Send") is not None) is (sees and person != "finn")


def test_a_missing_deal_in_its_form(calculated: Any, open_body: Callable[..., AppTest]) -> None:
    for person, asks_whose in (("rob", False), ("mia", False), ("ada", True)):  # Mia's team has one payee
        screen = open_body("app.dispute_view.missing_body", person)
        assert bool([one for one in screen.selectbox if one.label == "Whose pay"]) is asks_whose
        screen.selectbox(key="missing_period").select("2026-10").run()
        screen.text_input(key="missing_deal").set_value(f"Gamma {person}")
        screen.text_area(key="missing_text").set_value("Signed in October")
        button(screen, "Send").click().run()
        assert not screen.error
    found = disputes.list_disputes(calculated.db, calculated.actor("rob")).page
    assert found["about"].tolist() == ["Missing deal: Gamma mia", "Missing deal: Gamma rob"]


def test_a_row_opens_its_thread(calculated: Any, open_page: Callable[..., AppTest]) -> None:
    made = disputes.flag_line(calculated.db, calculated.actor("rob"), rob_line(calculated), "Look")
    screen = choose(open_page("disputes", "rob"), "disputes_0", 0)
    assert screen.query_params["dispute"] == str(made)
    assert "There is no dispute number 99" in words(open_page("disputes", "rob", dispute="99"))


# --- locks, parts, releases ---------------------------------------------------------------------------


def test_amounts_are_locked_then_paid_in_parts(
    calculated: Any, open_page: Callable[..., AppTest], open_body: Callable[..., AppTest]
) -> None:
    db, ada = calculated.db, calculated.actor("ada")
    assert button(open_page("payouts", period="2026-10"), "Lock amounts") is not None
    assert button(open_page("payouts", "finn", period="2026-10"), "Lock amounts") is None
    payouts.lock_amounts(db, ada, "2026-10")
    screen = open_page("payouts", period="2026-10")
    assert "Amounts locked" in words(screen)
    assert "Payable now $1,040.00" in words(screen)
    assert button(screen, "Lock amounts") is None
    assert button(screen, "Approve the payout of October 2026") is not None
    assert "final in its amounts" in open_page("earnings", "rob", period="2026-10").metric[0].help
    payouts.approve_period(db, ada, "2026-10")

    screen = open_body("app.payment_view.pay_body", "ada", "parse_period('2026-10')")
    key = str(screen.text_input[0].key).removesuffix("_much")
    for text, problem in (("abc", "is not a number"), ("0%", "is not a part"), ("120%", "is not a part")):
        screen = screen.text_input(key=f"{key}_much").set_value(text).run()
        assert problem in screen.error[0].value
        assert screen.button(key="pay_yes").disabled
    screen = screen.text_input(key=f"{key}_much").set_value("999999").run()
    assert "that are open" in screen.button(key="pay_yes").click().run().error[0].value
    screen = screen.text_input(key=f"{key}_much").set_value("50%").run()
    assert "Pays \\$520\\.00" in words(screen)
    screen.button(key="pay_yes").click().run()
    assert sum(payouts.payout_state(db, ada, "2026-10").open.values()) == 52_000
    screen = open_page("payouts", period="2026-10")
    assert "Part paid" in words(screen)
    assert "Not paid yet $520.00" in words(screen)
    assert button(open_page("payouts", "finn", period="2026-10"), "Release") is None

    screen = open_body("app.payment_view.release_body", "ada", "parse_period('2026-10')")
    assert "is empty" in screen.button(key="release_yes").click().run().error[0].value
    screen.text_area(key="release_reason").set_value("Bank details are missing")
    screen.button(key="release_yes").click().run()
    assert not payouts.payout_state(db, ada, "2026-10").open
    screen = open_page("payouts", period="2026-10")
    assert "**Payments**" in words(screen)
    assert screen.dataframe[1].value["what"].tolist() == ["Paid", "Released"]


def test_an_overridden_line_is_marked(calculated: Any, open_page: Callable[..., AppTest]) -> None:
    line = rob_line(calculated)
    adjustments.override_line(calculated.db, calculated.actor("ada"), str(uuid.uuid4()), line, 100_000, "Promised")
    screen = open_page("earnings", "rob", period="2026-10")
    lines = next(one.value for one in screen.dataframe if "pays" in one.value)
    assert 1_000.0 in lines["pays"].tolist()


def test_a_customers_payment_is_recorded_in_the_deal(calculated: Any, open_body: Callable[..., AppTest]) -> None:
    with calculated.db.read() as conn:
        deal = conn.scalar(sa.text("SELECT id FROM deals WHERE name = 'Beta'"))
    screen = open_body("app.deal_drawer.deal_body", "ada", str(deal))
    assert "Nothing is recorded" in words(screen)
    amount, send = f"deal_{deal}_paid_0_amount", f"deal_{deal}_paid_0_send"
    screen.text_input(key=amount).set_value("much")
    assert "is not a number" in screen.button(key=send).click().run().error[0].value
    screen.text_input(key=amount).set_value("1,000")
    screen.button(key=send).click().run()
    found = payables.customer_payments(calculated.db, calculated.actor("ada"), deal)
    assert found["amount"].tolist() == [100_000]


def test_several_periods_are_approved_in_one_step(
    calculated: Any, open_page: Callable[..., AppTest], open_body: Callable[..., AppTest]
) -> None:
    assert button(open_page("payouts", period="2026-10"), "Approve several") is None  # there is but one
    for period in ("2026-09", "2026-11"):
        runs.run_period(calculated.db, state.pool(), calculated.actor("ada"), period)
    assert button(open_page("payouts", period="2026-10"), "Approve several") is not None
    assert button(open_page("payouts", "finn", period="2026-10"), "Approve several") is None
    form = open_body("app.batch_approval_view.approve_form", "ada", "__import__('app.auth').auth.current()")
    assert form.dataframe[0].value["period"].tolist() == ["September 2026", "October 2026", "November 2026"]
    assert form.multiselect[0].value == ["2026-09", "2026-10"]  # November has not ended
    pressed = button(form, "Approve 2 periods")
    assert pressed is not None
    pressed.click().run()
    assert not form.exception
    status = payouts.list_periods(calculated.db, calculated.actor("ada")).set_index("period")["status"]
    assert status.to_dict() == {"2026-09": "approved", "2026-10": "approved", "2026-11": "open"}

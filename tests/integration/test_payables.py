"""What is payable when, amounts locked apart from eligibility, payments in parts and releases, on a real database."""

import csv
import io
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import pytest
import sqlalchemy as sa

from engine.errors import ProblemsError, QuotaPathError
from engine.periods import parse_period
from engine.services import (
    adjustments,
    approvals,
    dashboard,
    disputes,
    earnings,
    payables,
    payouts,
    runs,
    statement_words,
    statements,
)  # fmt: skip
from engine.services.access import Forbidden
from engine.services.payouts import Part
from engine.workers.pool import Pool
from tests.integration.paying import PLAN, Company
from tests.integration.test_payouts import close, due, edit, give, second_admin

HALVES = "\n[payable]\nschedule = [{ months = 0, share = '50%' }, { months = 1, share = '50%' }]\n"
AS_PAID = "\n[payable]\non = 'invoice_paid'\n"
TODAY = date(2026, 12, 31)


def pay_bo_by(company: Company, payable: str) -> None:
    with company.db.write() as conn:
        conn.execute(sa.text("DELETE FROM plan_assignments WHERE user_id = :u"), {"u": company.users["bo"]})
        company._publish(conn, "later", PLAN.replace('plan = "ae"', 'plan = "later"') + payable, ("bo",))


def customer_pays(company: Company, deal: int, day: str, dollars: int, request: str | None = None) -> None:
    payables.record_customer_payment(
        company.db,
        company.actors["ada"],
        deal,
        request or str(uuid.uuid4()),
        date.fromisoformat(day),
        dollars * 100,
        TODAY,
    )


def later(company: Company, period: str, today: date = TODAY) -> list[tuple[str, str, int]]:
    found = payables.schedule(company.db, company.actors["bo"], company.users["bo"], period, today)
    dates = ["" if row is None or row != row else str(row) for row in found["due_on"]]
    return list(zip(dates, found["deal"], found["amount"].tolist(), strict=True))


def part(company: Company, period: str, **dollars: int) -> Part:
    moved = payouts.payout_state(company.db, company.actors["ada"], period).moved
    return Part(str(uuid.uuid4()), moved, {(company.users[who], "USD"): much * 100 for who, much in dollars.items()})


def left(company: Company, period: str) -> dict[str, int]:
    code_of = {user: code for code, user in company.users.items()}
    found = payouts.payout_state(company.db, company.actors["ada"], period)
    return {code_of[user]: cents for (user, _), cents in found.open.items()}


def scalar(company: Company, query: str) -> Any:
    with company.db.read() as conn:
        return conn.scalar(sa.text(query))


# --- what is payable when -----------------------------------------------------------------------------


def test_a_run_keeps_when_each_deal_is_payable(company: Company, pool: Pool) -> None:
    pay_bo_by(company, HALVES)
    company.deal("D1", "bo", "2026-01-20", 10_000)
    company.deal("D2", "bo", "2026-01-31", 5_000)
    runs.run_period(company.db, pool, company.actors["ada"], "2026-01")
    assert later(company, "2026-01") == [("2026-02-20", "D1", 40_000), ("2026-02-28", "D2", 20_000)]
    shown = earnings.earned(company.db, company.actors["bo"], company.users["bo"], "2026-01")
    assert shown is not None
    assert shown.totals["deferred"] == 60_000
    company.deal("D3", "bo", "2026-02-10", 1_000)
    close(company, pool, "2026-01")
    assert due(company, "bo", "2026-01") == 60_000
    close(company, pool, "2026-02")
    assert due(company, "bo", "2026-02") == 60_000 + 4_000
    assert later(company, "2026-02") == [("2026-03-10", "D3", 4_000)]
    with company.db.write() as conn:  # whoever has left is still held what is not due
        conn.execute(
            sa.text("UPDATE plan_assignments SET end_date = '2026-03-01' WHERE user_id = :u"),
            {"u": company.users["bo"]},
        )
    close(company, pool, "2026-03")
    assert (due(company, "bo", "2026-03"), company.balance("bo")) == (4_000, 0)
    with pytest.raises(Forbidden):
        payables.schedule(company.db, company.actors["ana"], company.users["bo"], "2026-01", TODAY)


def test_the_database_refuses_parts_that_do_not_add_up(company: Company, pool: Pool) -> None:
    pay_bo_by(company, HALVES)
    company.deal("D1", "bo", "2026-01-20", 10_000)
    close(company, pool, "2026-01")
    run = scalar(company, "SELECT max(id) FROM runs")
    person = f"INSERT INTO run_people SELECT {run}, id, 'USD', 0, 0, 0, 5 FROM users WHERE code = 'ada'"
    held = (
        "INSERT INTO held_amounts (eligibility_id, user_id, currency, component, origin_period, due_on, amount) "
        "SELECT id, 1, 'USD', 'x', '2026-01', '2026-05-01', 5"
    )
    for match, statement in (
        ("its parts add up to 0", person),
        ("kept before", f"{held} FROM eligibility WHERE run_id = {run}"),
        ("kept before", f"{held} FROM eligibility WHERE payout_id IS NOT NULL"),
        ("append-only", "UPDATE held_amounts SET amount = 1"),
        ("append-only", "DELETE FROM eligibility"),
        ("never moves", "UPDATE pay_periods SET status = 'locked'"),
        ("never changes", "UPDATE payout_items SET amount = amount + 1"),
        ("never changes", "UPDATE payout_items SET released = 1"),
        ("append-only", "DELETE FROM payout_payments"),
    ):  # fmt: skip
        with pytest.raises(sa.exc.IntegrityError, match=match), company.db.write() as conn:
            conn.execute(sa.text(statement))


def test_what_waits_for_the_customer_follows_each_payment(company: Company, pool: Pool) -> None:
    pay_bo_by(company, AS_PAID)
    deal = company.deal("D1", "bo", "2026-01-20", 10_000)
    close(company, pool, "2026-01")
    assert due(company, "bo", "2026-01") == 0
    assert later(company, "2026-01") == [("", "D1", 80_000)]
    request = str(uuid.uuid4())
    for _ in range(2):
        customer_pays(company, deal, "2026-02-10", 2_500, request)
    close(company, pool, "2026-02")
    assert due(company, "bo", "2026-02") == 20_000
    customer_pays(company, deal, "2026-04-01", 7_500)  # after March
    close(company, pool, "2026-03")
    assert due(company, "bo", "2026-03") == 0
    runs.run_period(company.db, pool, company.actors["ada"], "2026-04")
    payouts.approve_period(company.db, company.actors["ada"], "2026-04")
    assert due(company, "bo", "2026-04") == 60_000
    wrong = [
        (date(2026, 1, 19), 100, "before the deal closed"),
        (date(2027, 1, 1), 100, "in the future"),
        (date(2026, 2, 1), 0, "is nothing"),
    ]
    for day, cents, message in wrong:
        with pytest.raises(ProblemsError, match=message):
            payables.record_customer_payment(
                company.db, company.actors["ada"], deal, str(uuid.uuid4()), day, cents, TODAY
            )
    with pytest.raises(Forbidden):
        payables.record_customer_payment(company.db, company.actors["bo"], deal, request, TODAY, 1, TODAY)


def test_what_was_never_paid_is_not_taken_back_from_other_pay(company: Company, pool: Pool) -> None:
    pay_bo_by(company, AS_PAID + "\n[clawback]\n")
    gone = company.deal("D1", "bo", "2026-01-20", 10_000)
    close(company, pool, "2026-01")
    edit(company, gone, cancelled_on=date(2026, 2, 1))
    give(company, "bo", "2026-02", 10_000)
    close(company, pool, "2026-02")
    assert (due(company, "bo", "2026-02"), later(company, "2026-02")) == (10_000, [])
    assert approvals.overpaid(company.db, company.actors["ada"]).empty


def test_statements_say_when(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    pay_bo_by(company, HALVES)
    company.deal("D1", "bo", "2026-01-20", 10_000)
    runs.run_period(company.db, pool, ada, "2026-01")
    payouts.lock_amounts(company.db, ada, "2026-01")
    found = statements.statement(company.db, ada, company.users["bo"], "2026-01")
    assert found is not None
    assert (found.final, statement_words.status(found.content)) == (False, "AMOUNTS LOCKED")
    payouts.approve_period(company.db, ada, "2026-01")
    found = statements.statement(company.db, ada, company.users["bo"], "2026-01")
    assert found is not None
    assert found.final
    assert statement_words.schedule_rows(found.content) == [("2026-02-20", "D1", "new-business", "2026-01", 40_000)]
    assert sum(row["amount"] for row in found.content["schedule"]) == found.content["balance"]["deferred"]
    files = {
        kind: statements.statement_file(company.db, ada, company.users["bo"], "2026-01", kind)
        for kind in ("pdf", "csv", "xlsx")
    }
    rows = [
        row for row in csv.DictReader(io.StringIO(files["csv"].decode("utf-8-sig"))) if row["Kind"] == "Payable later"
    ]
    assert [(row["Deal"], row["How"], row["Amount"]) for row in rows] == [("D1", "2026-02-20", "400.00")]
    assert files["pdf"].startswith(b"%PDF")
    payouts.mark_paid(company.db, ada, "2026-01", part(company, "2026-01", bo=100))
    newer = statements.statement(company.db, ada, company.users["bo"], "2026-01")
    assert newer is not None
    assert statement_words.status(newer.content).startswith("Part paid")
    again = statements.statement_file(company.db, ada, company.users["bo"], "2026-01", "csv", 0)
    assert again == files["csv"]


# --- amounts locked, eligibility free -----------------------------------------------------------------


def test_amounts_lock_and_what_is_payable_goes_on(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    pay_bo_by(company, AS_PAID)
    deal = company.deal("D1", "bo", "2026-01-20", 10_000)
    company.deal("D2", "ana", "2026-01-20", 10_000)
    runs.run_period(company.db, pool, ada, "2026-01")
    seen = approvals.standing(company.db, ada, "2026-01").version
    for _ in range(2):
        payouts.lock_amounts(company.db, ada, "2026-01", seen)
    assert [(one.what, one.period) for one in approvals.queue(company.db, ada)] == [("payout", "2026-01")]
    assert (company.balance("bo"), scalar(company, "SELECT count(*) FROM payouts")) == (80_000, 0)
    for refused in (
        lambda: runs.run_period(company.db, pool, ada, "2026-01"),
        lambda: give(company, "bo", "2026-01", 100),
    ):
        with pytest.raises(QuotaPathError, match="2026-01 is locked and never moves"):
            refused()
    with pytest.raises(QuotaPathError, match="not approved yet"):
        payouts.mark_paid(company.db, ada, "2026-01")
    edit(company, deal, amount=2_000_000)  # 20,000 now: the ledger keeps 800, half of it is paid for
    customer_pays(company, deal, "2026-02-10", 10_000)
    today = date(2026, 2, 12)
    people = payouts.period_people(company.db, ada, "2026-01", today).set_index("code")
    assert (people.at["bo", "deferred"], people.at["bo", "payable"]) == (40_000, 40_000)
    assert later(company, "2026-01", today) == [("", "D1", 40_000)]
    payouts.approve_period(company.db, ada, "2026-01", seen, today)
    assert (due(company, "bo", "2026-01"), due(company, "ana", "2026-01")) == (40_000, 80_000)
    customer_pays(company, deal, "2026-02-13", 10_000)
    assert later(company, "2026-01") == [("", "D1", 40_000)]  # as it stood
    runs.run_period(company.db, pool, ada, "2026-02")
    assert company.earned("bo", "2026-02") == 80_000  # the edit, as an adjustment
    payouts.approve_period(company.db, ada, "2026-02")
    assert due(company, "bo", "2026-02") == 120_000


def test_two_locked_periods_are_paid_once(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    for month in ("01", "02"):
        company.deal(f"D{month}", "ana", f"2026-{month}-20", 10_000)
        runs.run_period(company.db, pool, ada, f"2026-{month}")
        payouts.lock_amounts(company.db, ada, f"2026-{month}")
    payouts.approve_period(company.db, ada, "2026-01")
    payouts.approve_period(company.db, ada, "2026-02")
    assert (due(company, "ana", "2026-01"), due(company, "ana", "2026-02")) == (160_000, 0)


def test_the_two_person_rule_holds_for_locks(company: Company, pool: Pool) -> None:
    ada, abe = company.actors["ada"], second_admin(company)
    company.deal("D1", "ana", "2026-01-20", 10_000)
    runs.run_period(company.db, pool, ada, "2026-01")
    approvals.set_two_person_rule(company.db, ada, True)
    with pytest.raises(QuotaPathError, match="two-person rule"):
        payouts.lock_amounts(company.db, ada, "2026-01")
    payouts.lock_amounts(company.db, abe, "2026-01")
    with pytest.raises(QuotaPathError, match="two-person rule"):
        payouts.approve_period(company.db, ada, "2026-01")
    payouts.approve_period(company.db, abe, "2026-01")
    with pytest.raises(QuotaPathError, match="two-person rule"):
        payouts.mark_paid(company.db, abe, "2026-01", part(company, "2026-01", ana=1))
    payouts.mark_paid(company.db, ada, "2026-01", part(company, "2026-01", ana=1))


# --- parts --------------------------------------------------------------------------------------------


@pytest.fixture
def approved(company: Company, pool: Pool) -> Company:
    """Ana is due 800.00, Bo 400.00, Mia 150.00."""
    company.deal("D1", "ana", "2026-01-20", 10_000)
    company.deal("D2", "bo", "2026-01-20", 5_000)
    close(company, pool, "2026-01", pay=False)
    return company


def test_some_people_now_and_others_later(approved: Company) -> None:
    company, ada = approved, approved.actors["ada"]
    first = payouts.mark_paid(company.db, ada, "2026-01", part(company, "2026-01", ana=800, bo=150))
    assert (first.status, left(company, "2026-01")) == ("part_paid", {"bo": 25_000, "mia": 15_000})
    assert approvals.queue(company.db, ada)[0].what == "pay"
    state = payouts.payout_state(company.db, ada, "2026-01")
    half = payouts.share_of(state.open, 333_333)
    assert sorted(half.values()) == [5_000, 8_333]
    assert payouts.mark_paid(company.db, ada, "2026-01").status == "paid"
    assert [company.balance(who) for who in ("ana", "bo", "mia")] == [0, 0, 0]
    found = payouts.payments(company.db, ada, "2026-01")
    assert found[["what", "amount", "people"]].to_numpy().tolist() == [["payment", 95_000, 2], ["payment", 40_000, 2]]
    payment = int(found["id"].iloc[0])
    rows = list(
        csv.DictReader(
            io.StringIO(payouts.payroll_file(company.db, ada, "2026-01", payment=payment).decode("utf-8-sig"))
        )
    )
    assert [(row["Employee"], row["Amount"], row["Status"]) for row in rows] == [
        ("ana", "800.00", "paid"),
        ("bo", "150.00", "paid"),
    ]
    whole = list(csv.DictReader(io.StringIO(payouts.payroll_file(company.db, ada, "2026-01").decode("utf-8-sig"))))
    assert [(row["Amount"], row["Paid so far"], row["Open"]) for row in whole] == [
        ("800.00", "800.00", "0.00"), ("400.00", "400.00", "0.00"), ("150.00", "150.00", "0.00"),
    ]  # fmt: skip
    assert payouts.payroll_file(company.db, ada, "2026-01", "xlsx", payment).startswith(b"PK")


def test_wrong_parts_record_nothing(approved: Company) -> None:
    company, ada = approved, approved.actors["ada"]
    old = part(company, "2026-01", ana=1)
    payouts.mark_paid(company.db, ada, "2026-01", part(company, "2026-01", ana=100))
    wrong: list[tuple[Part, str]] = [
        (part(company, "2026-01", ana=701), "701.00 USD is not between 0.01 and the 700.00 USD"),
        (part(company, "2026-01", ana=-1), "is not between"),
        (part(company, "2026-01", fay=1), "0.00 USD that are open"),
        (part(company, "2026-01"), "Nobody is chosen"),
        (old, "was paid or released after you opened"),
    ]
    for one, message in wrong:
        with pytest.raises(QuotaPathError, match=message):
            payouts.mark_paid(company.db, ada, "2026-01", one)
        with pytest.raises(QuotaPathError, match=message):
            payouts.release(company.db, ada, "2026-01", one, "Because")
    with pytest.raises(ProblemsError, match="is empty"):
        payouts.release(company.db, ada, "2026-01", part(company, "2026-01", ana=1), " ")
    for who in ("fay", "mia", "ana"):
        with pytest.raises(Forbidden):
            payouts.mark_paid(company.db, company.actors[who], "2026-01", part(company, "2026-01", ana=1))
    assert left(company, "2026-01") == {"ana": 70_000, "bo": 40_000, "mia": 15_000}


def at_once(*actions: Callable[[], Any]) -> list[Any]:
    """All of them at the same moment; what one raises is its answer."""
    start = threading.Barrier(len(actions))

    def one(action: Callable[[], Any]) -> Any:
        start.wait()
        try:
            return action()
        except QuotaPathError as error:
            return error

    with ThreadPoolExecutor(len(actions)) as threads:
        return list(threads.map(one, actions))


def test_nothing_is_paid_twice_whoever_presses(approved: Company) -> None:
    company, ada, abe = approved, approved.actors["ada"], second_admin(approved)
    same = part(company, "2026-01", ana=300)
    at_once(*[lambda: payouts.mark_paid(company.db, ada, "2026-01", same)] * 4)  # one form, pressed four times
    assert left(company, "2026-01")["ana"] == 50_000
    forms = [part(company, "2026-01", ana=300) for _ in range(3)]  # three tabs, opened before anybody pressed
    answers = at_once(
        *(lambda one=one: payouts.mark_paid(company.db, abe, "2026-01", one) for one in forms),
        lambda: payouts.release(company.db, ada, "2026-01", part(company, "2026-01", ana=500), "Not now"),
    )
    assert sum(not isinstance(answer, QuotaPathError) for answer in answers) == 1
    at_once(*[lambda: payouts.mark_paid(company.db, ada, "2026-01")] * 4)
    paid = scalar(company, "SELECT -sum(amount) FROM ledger WHERE kind = 'paid'")
    assert paid + scalar(company, "SELECT sum(released) FROM payout_items") == 135_000
    with pytest.raises(sa.exc.IntegrityError, match="never_more"), company.db.write() as conn:
        conn.execute(
            sa.text("""
                WITH made AS (INSERT INTO payout_payments (request_id, payout_id, created_by)
                              VALUES (gen_random_uuid(), 1, 1) RETURNING id)
                INSERT INTO ledger (user_id, period, kind, amount, currency, payout_id, payment_id, posted_by)
                SELECT i.user_id, '2026-01', 'paid', -1, 'USD', 1, made.id, 1 FROM payout_items i, made
            """)
        )


def test_what_is_released_is_taken_by_the_next_payout(approved: Company, pool: Pool) -> None:
    company, ada = approved, approved.actors["ada"]
    payouts.mark_paid(company.db, ada, "2026-01", part(company, "2026-01", ana=300, bo=400))
    same = part(company, "2026-01", ana=500, mia=150)
    at_once(*[lambda: payouts.release(company.db, ada, "2026-01", same, "Bank details are missing")] * 3)
    found = payouts.payments(company.db, ada, "2026-01")
    assert found[["what", "amount", "reason"]].to_numpy().tolist()[1] == ["release", 65_000, "Bank details are missing"]
    assert payouts.payout_state(company.db, ada, "2026-01").payout.status == "paid"
    close(company, pool, "2026-02", pay=False)
    assert {who: due(company, who, "2026-02") for who in ("ana", "bo", "mia")} == {
        "ana": 50_000,
        "bo": 0,
        "mia": 15_000,
    }
    payouts.release(company.db, ada, "2026-02", part(company, "2026-02", ana=500, mia=150), "All of it")
    assert payouts.payout_state(company.db, ada, "2026-02").payout.status == "released"
    assert approvals.queue(company.db, ada) == []
    close(company, pool, "2026-03")
    assert [company.balance(who) for who in ("ana", "bo", "mia")] == [0, 0, 0]


def test_payments_of_a_part_are_taken_back(approved: Company, pool: Pool) -> None:
    company, ada = approved, approved.actors["ada"]
    for dollars in (300, 200):
        payouts.mark_paid(company.db, ada, "2026-01", part(company, "2026-01", ana=dollars))
    first = int(payouts.payments(company.db, ada, "2026-01")["id"].iloc[0])
    for expected in (1, 0):
        assert payouts.reverse_payout(company.db, ada, "2026-01", "Bank", [company.users["ana"]], first) == expected
    assert (company.balance("ana"), left(company, "2026-01")["ana"]) == (60_000, 30_000)
    assert payouts.reverse_payout(company.db, ada, "2026-01", "All of it") == 1
    assert payouts.payments(company.db, ada, "2026-01")["reversed"].tolist() == [30_000, 20_000]
    payouts.mark_paid(company.db, ada, "2026-01")
    close(company, pool, "2026-02", pay=False)
    assert due(company, "ana", "2026-02") == 50_000


# --- small things -------------------------------------------------------------------------------------


def test_a_dispute_is_closed_as_explained(company: Company, pool: Pool) -> None:
    ada, ana = company.actors["ada"], company.actors["ana"]
    company.deal("D1", "ana", "2026-01-20", 10_000)
    runs.run_period(company.db, pool, ada, "2026-01")
    shown = earnings.earned(company.db, ana, company.users["ana"], "2026-01")
    assert shown is not None
    dispute = disputes.flag_line(company.db, ana, int(shown.lines["line_id"].iloc[0]), "Too little")
    with pytest.raises(Forbidden):
        disputes.explain(company.db, ana, dispute, "Mine")
    with pytest.raises(ProblemsError, match="is empty"):
        disputes.explain(company.db, ada, dispute, " ")
    disputes.explain(company.db, ada, dispute, "It is 8% below the quota")
    for who in ("ana", "mia"):
        found = disputes.thread(company.db, company.actors[who], dispute)
        assert (found.dispute.status, found.messages[-1].text) == ("explained", "It is 8% below the quota")
    assert disputes.list_disputes(company.db, ada, disputes.CLOSED).counts["explained"] == 1


def test_what_was_given_by_hand_is_in_every_total(company: Company, pool: Pool) -> None:

    ada = company.actors["ada"]
    company.deal("D1", "ana", "2026-01-20", 10_000)
    runs.run_period(company.db, pool, ada, "2026-01")
    give(company, "ana", "2026-01", 25_000)
    gone = give(company, "bo", "2026-01", 7_000)
    adjustments.withdraw_adjustment(company.db, ada, gone)
    shown = earnings.earned(company.db, ada, company.users["ana"], "2026-01")
    assert shown is not None
    assert shown.lines["overridden"].isna().all()
    adjustments.override_line(
        company.db, ada, str(uuid.uuid4()), int(shown.lines["line_id"].iloc[0]), 100_000, "Promised"
    )
    runs.run_period(company.db, pool, ada, "2026-01")
    shown = earnings.earned(company.db, company.actors["ana"], company.users["ana"], "2026-01")
    assert shown is not None
    assert shown.lines[["amount", "overridden", "reason"]].to_numpy().tolist() == [[80_000, 20_000, "Promised"]]
    for who, total in (("ana", 125_000), ("bo", 0)):
        board = dashboard.dashboard(company.db, company.actors[who], parse_period("2026-01"), None, date(2026, 2, 5))
        assert board.commission.value == total

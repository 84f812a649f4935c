"""Manual adjustments, overrides, the discrepancies, two people, reversals and who owes, on a real database."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

from engine.db import deals as deal_rows
from engine.errors import ProblemsError, QuotaPathError
from engine.services import adjustments, approvals, deals, earnings, freshness, payouts, runs
from engine.services.access import Actor, Forbidden
from engine.services.adjustments import NewAdjustment
from engine.workers.pool import Pool
from tests.integration.paying import PLAN, Company


def give(company: Company, who: str, period: str, cents: int, **values: Any) -> int:
    new = NewAdjustment(str(uuid.uuid4()), company.users[who], "spif", cents, "Fast start")
    return adjustments.add_adjustment(company.db, company.actors["ada"], period, replace(new, **values))


def second_admin(company: Company, code: str = "abe") -> Actor:
    with company.db.write() as conn:
        user_id = conn.scalar(
            sa.text(
                "INSERT INTO users (code, name, email, role) VALUES (:c, :c, :c || '@x.example', 'admin') RETURNING id"
            ),
            {"c": code},
        )
    return Actor(user_id, "admin", code)


def edit(company: Company, deal: int, **values: Any) -> None:
    """Through the service, so that the deal's history has it."""
    with company.db.read() as conn:
        found = deal_rows.find(conn, deal)
    assert found is not None
    deals.edit_deal(company.db, company.actors["ada"], deal, found.version, replace(found.fields, **values))


def due(company: Company, who: str, period: str) -> int:
    people = payouts.period_people(company.db, company.actors["ada"], period)
    return int(people.loc[people["code"] == who, "due"].fillna(0).sum())


def together(action: Callable[[], Any], times: int = 4) -> list[Any]:
    """The action in so many threads at the same moment."""
    start = threading.Barrier(times)

    def one(_: int) -> Any:
        start.wait()
        return action()

    with ThreadPoolExecutor(times) as threads:
        return list(threads.map(one, range(times)))


def causes_of(changes: pd.DataFrame) -> dict[tuple[str, str], str]:
    return {(row["code"], row["deal"]): row["cause"] for row in changes.to_dict("records")}


def entries(company: Company, kind: str) -> list[int]:
    with company.db.read() as conn:
        return list(conn.scalars(sa.text("SELECT amount FROM ledger WHERE kind = :k ORDER BY id"), {"k": kind}))


def close(company: Company, pool: Pool, period: str, *, pay: bool = True) -> None:
    ada = company.actors["ada"]
    runs.run_period(company.db, pool, ada, period)
    payouts.approve_period(company.db, ada, period)
    if pay:
        payouts.mark_paid(company.db, ada, period)


# --- manual adjustments -------------------------------------------------------------------------------


def test_adjustments_are_paid_once_whatever_is_run_again(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    company.deal("D1", "ana", "2026-01-20", 10_000)
    give(company, "ana", "2026-01", 25_000)  # before the first run
    runs.run_period(company.db, pool, ada, "2026-01")
    give(company, "ana", "2026-01", -5_000, kind="correction", deal="D1")
    give(company, "fay", "2026-01", 12_300, kind="bonus")  # on no plan at all
    runs.run_period(company.db, pool, ada, "2026-01")
    assert company.earned("ana", "2026-01") == 80_000
    payouts.approve_period(company.db, ada, "2026-01")
    assert entries(company, "manual") == [25_000, -5_000, 12_300]
    assert (due(company, "ana", "2026-01"), due(company, "fay", "2026-01")) == (100_000, 12_300)
    lines = payouts.payroll_file(company.db, ada, "2026-01").decode("utf-8-sig").splitlines()
    assert [line.split(",")[4] for line in lines[1:]] == ["1000.00", "123.00", "100.00"]  # ana, fay, mia's 1%
    payouts.mark_paid(company.db, ada, "2026-01")
    close(company, pool, "2026-02")
    assert entries(company, "manual") == [25_000, -5_000, 12_300]
    assert (company.balance("ana"), company.balance("fay")) == (0, 0)


def test_a_withdrawn_adjustment_is_kept_and_not_paid(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    runs.run_period(company.db, pool, ada, "2026-01")
    made = give(company, "ana", "2026-01", 25_000)
    together(lambda: adjustments.withdraw_adjustment(company.db, ada, made))
    payouts.approve_period(company.db, ada, "2026-01")
    assert entries(company, "manual") == []
    kept = adjustments.list_adjustments(company.db, ada, "2026-01")
    assert (kept["amount"].tolist(), kept["withdrawn_by"].tolist()) == ([25_000], ["Ada"])
    with company.db.read() as conn:
        assert conn.scalar(sa.text("SELECT count(*) FROM audit WHERE action = 'payouts.adjust'")) == 2


def test_a_closed_period_takes_no_adjustment(company: Company, pool: Pool) -> None:
    deal = company.deal("D1", "ana", "2026-01-20", 10_000, stage="Proposal")
    made = give(company, "ana", "2026-01", 25_000, deal="D1")
    close(company, pool, "2026-01", pay=False)
    deals.delete_deal(company.db, company.actors["ada"], deal, 1)
    kept = adjustments.list_adjustments(company.db, company.actors["ada"], "2026-01")
    assert kept["deal"].tolist() == ["D1 (D1)"]  # what it was called stays
    for refused in (
        lambda: give(company, "ana", "2026-01", 1),
        lambda: adjustments.withdraw_adjustment(company.db, company.actors["ada"], made),
    ):
        with pytest.raises(QuotaPathError, match="2026-01 is approved and never moves. Choose the next open period"):
            refused()
    for statement in (
        "DELETE FROM manual_adjustments",
        "UPDATE manual_adjustments SET amount = 1",
        "UPDATE manual_adjustments SET withdrawn_by = 1, withdrawn_at = now()",
        (
            "INSERT INTO manual_adjustments (request_id, user_id, period, kind, amount, currency, reason, created_by) "
            "VALUES (gen_random_uuid(), 1, '2026-01', 'spif', 1, 'USD', 'x', 1)"
        ),
    ):
        with pytest.raises(sa.exc.IntegrityError, match="open pay period"), company.db.write() as conn:
            conn.execute(sa.text(statement))


def test_the_same_request_makes_one_adjustment(company: Company) -> None:
    request = str(uuid.uuid4())
    give(company, "bo", "2026-01", 1)  # the period is there
    assert len(set(together(lambda: give(company, "ana", "2026-01", 25_000, request_id=request)))) == 1
    found = adjustments.list_adjustments(company.db, company.actors["ada"], "2026-01", company.users["ana"])
    assert found["amount"].tolist() == [25_000]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"amount": 0}, "Amount: changes nothing"),
    ({"amount": 10**15}, "Amount: is too large"),
    ({"reason": "  "}, "Why: is empty"),
    ({"reason": "x" * 1001}, "1001 characters"),
    ({"kind": "override"}, "'override' is not a kind"),
    ({"user_id": 999}, "no person number 999"),
    ({"deal": "D9"}, "no deal with the ID 'D9'"),
    ({"deal": "twice"}, "is the ID of 2 deals \\(crm, other\\)"),
]


@pytest.mark.parametrize(("values", "message"), WRONG)
def test_wrong_adjustments_are_listed(company: Company, values: dict[str, Any], message: str) -> None:
    for source in ("crm", "other"):
        company.deal("twice", "ana", "2026-01-20", 1, source=source)
    with pytest.raises(ProblemsError, match=message):
        give(company, "ana", "2026-01", values.pop("amount", 100), **values)
    with pytest.raises(QuotaPathError, match="No published plan pays by the week"):
        give(company, "ana", "2026-W05", 100)


def test_an_override_keeps_the_original_and_is_not_undone_by_the_next_run(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    company.deal("D1", "ana", "2026-01-20", 10_000)
    runs.run_period(company.db, pool, ada, "2026-01")

    def line() -> int:
        shown = earnings.earned(company.db, ada, company.users["ana"], "2026-01")
        assert shown is not None
        return int(shown.lines["line_id"].iloc[0])

    first, request = line(), str(uuid.uuid4())
    adjustments.override_line(company.db, ada, request, first, 100_000, "Promised in writing")
    adjustments.override_line(company.db, ada, request, first, 100_000, "Promised in writing")
    runs.run_period(company.db, pool, ada, "2026-01")
    with pytest.raises(QuotaPathError, match="calculated again after you opened"):
        adjustments.override_line(company.db, ada, str(uuid.uuid4()), first, 1, "Late")
    with pytest.raises(ProblemsError, match="Pay instead: changes nothing"):
        adjustments.override_line(company.db, ada, str(uuid.uuid4()), line(), 100_000, "Again")
    adjustments.override_line(company.db, ada, str(uuid.uuid4()), line(), 90_000, "A bit less")
    kept = adjustments.list_adjustments(company.db, ada, "2026-01")
    assert kept[["kind", "amount", "line_then", "line_now"]].to_numpy().tolist() == [
        ["override", -10_000, 80_000, 80_000],
        ["override", 20_000, 80_000, 80_000],
    ]
    payouts.approve_period(company.db, ada, "2026-01")
    assert due(company, "ana", "2026-01") == 90_000
    assert company.earned("ana", "2026-01") == 80_000
    runs.run_period(company.db, pool, ada, "2026-02")
    assert company.earned("ana", "2026-02") == 0  # the override is no discrepancy


def test_adjustments_leave_a_draw_alone(company: Company, pool: Pool) -> None:
    draw = PLAN.replace('plan = "ae"', 'plan = "drawn"') + '\n[draw]\nkind = "recoverable"\namount = 3000\n'
    with company.db.write() as conn:
        conn.execute(sa.text("DELETE FROM plan_assignments WHERE user_id = :u"), {"u": company.users["bo"]})
        company._publish(conn, "drawn", draw, ("bo",))
    company.deal("D1", "bo", "2026-01-20", 10_000)  # earns 800: 2,200 advanced
    company.deal("D2", "bo", "2026-02-20", 70_000)  # earns 5,600: the 2,200 come back
    give(company, "bo", "2026-01", 50_000)
    close(company, pool, "2026-01")
    assert due(company, "bo", "2026-01") == 350_000
    close(company, pool, "2026-02")
    assert due(company, "bo", "2026-02") == 340_000


# --- before approving ---------------------------------------------------------------------------------


def test_nothing_is_approved_that_was_not_seen(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    runs.run_period(company.db, pool, ada, "2026-01")
    seen = approvals.standing(company.db, ada, "2026-01").version
    give(company, "ana", "2026-01", 25_000)
    with pytest.raises(QuotaPathError, match="adjustments changed, after you opened it"):
        payouts.approve_period(company.db, ada, "2026-01", seen)
    seen = approvals.standing(company.db, ada, "2026-01").version
    runs.run_period(company.db, pool, ada, "2026-01")
    with pytest.raises(QuotaPathError, match="was calculated again"):
        payouts.approve_period(company.db, ada, "2026-01", seen)
    payouts.approve_period(company.db, ada, "2026-01", approvals.standing(company.db, ada, "2026-01").version)


def test_the_causes_of_discrepancies(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    first = company.deal("D1", "ana", "2026-01-10", 60_000)
    gone = company.deal("D2", "bo", "2026-01-11", 10_000)
    company.deal("D3", "ana", "2026-01-12", 40_000)  # reaches the quota, to the dollar
    euros = company.deal("D4", "bo", "2026-01-13", 1_000)
    company.change(euros, currency="EUR")
    with company.db.write() as conn:
        conn.execute(sa.text("DELETE FROM plan_assignments WHERE user_id = :u"), {"u": company.users["bo"]})
        company._publish(conn, "kept", PLAN.replace('plan = "ae"', 'plan = "kept"') + "\n[clawback]\n", ("bo",))
        conn.execute(sa.text("INSERT INTO exchange_rates VALUES ('EUR', 'USD', '2026-01-01', 1.1)"))
    close(company, pool, "2026-01")
    edit(company, first, amount=5_000_000)
    edit(company, gone, cancelled_on=date(2026, 1, 15))
    company.deal("late", "ana", "2026-01-31", 1_000)
    with company.db.write() as conn:
        conn.execute(sa.text("UPDATE exchange_rates SET rate = 1.2"))
    run = runs.run_period(company.db, pool, ada, "2026-02")
    found = approvals.review(company.db, ada, run)
    causes = causes_of(found.changes)
    assert causes["ana", "D1"] == causes["mia", "D1"] == "Edited deal"
    assert causes["bo", "D2"] == "Cancelled deal"
    assert ("ana", "D3") not in causes
    assert causes["ana", "late"] == "Late deal"
    assert causes["bo", "D4"] == "Exchange rate"
    details = dict(zip(found.changes["deal"], found.changes["detail"], strict=True))
    assert (details["D1"], details["D2"], details["D4"]) == ("amount by Ada", "cancellation by Ada", "")
    people = {row["code"]: row for row in found.people.to_dict("records")}
    # 60,000 + 40,000 at 8%; now 50,000 + 40,000 + 1,000
    assert [people["ana"][name] for name in ("approved", "earned", "difference")] == [800_000, 728_000, -72_000]
    assert people["bo"]["difference"] == 800 - 80_000
    assert people["ana"]["cause"] == "Edited deal; Late deal"
    payouts.approve_period(company.db, ada, "2026-02")
    edit(company, first, amount=9_000_000)
    again = approvals.review(company.db, ada, runs.run_period(company.db, pool, ada, "2026-03")).changes
    assert set(again.loc[again["deal"] == "D1", "approved"]) == {400_000, 50_000}  # as adjusted since
    causes = causes_of(again)
    moved = "Other deals moved the attainment"
    assert causes == {
        ("ana", "D1"): "Edited deal",
        ("mia", "D1"): "Edited deal",
        ("ana", "D3"): moved,
        ("ana", "late"): moved,
    }


def test_quota_plan_and_assignment_are_causes(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    company.deal("D1", "ana", "2026-01-10", 150_000)
    company.deal("D2", "bo", "2026-01-10", 1_000)
    close(company, pool, "2026-01")
    with company.db.write() as conn:
        conn.execute(sa.text("UPDATE quotas SET amount = 5000000 WHERE user_id = :u"), {"u": company.users["ana"]})
    first = approvals.review(company.db, ada, runs.run_period(company.db, pool, ada, "2026-02")).changes
    assert first[["code", "cause"]].to_numpy().tolist() == [["ana", "Quota"]]
    with company.db.write() as conn:
        conn.execute(
            sa.text("""
                INSERT INTO plan_versions (plan_id, effective_from, document, hash, status, published_at)
                SELECT plan_id, '2026-01-05', replace(document, '"12%"', '"15%"'), '', 'published', now()
                  FROM plan_versions WHERE document LIKE '%"12\\%"%'
            """)
        )
        conn.execute(sa.text("UPDATE quotas SET amount = 10000000"))
        conn.execute(
            sa.text("UPDATE plan_assignments SET start_date = '2026-02-01' WHERE user_id = :u"),
            {"u": company.users["bo"]},
        )
    second = approvals.review(company.db, ada, runs.run_period(company.db, pool, ada, "2026-02")).changes
    causes = causes_of(second)
    assert causes["ana", "D1"] == "Plan version"
    assert causes["bo", "D2"] == "Team, assignment or filter"


def test_two_people(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    with pytest.raises(QuotaPathError, match="at least two active admins"):
        approvals.set_two_person_rule(company.db, ada, True)
    abe, amy, ann = (second_admin(company, name) for name in ("abe", "amy", "ann"))
    approvals.set_two_person_rule(company.db, ada, True)
    runs.run_period(company.db, pool, ada, "2026-01")
    adjustments.add_adjustment(
        company.db, abe, "2026-01", NewAdjustment(str(uuid.uuid4()), company.users["ana"], "spif", 100, "x")
    )
    with pytest.raises(QuotaPathError, match="You made the run of 2026-01"):
        payouts.approve_period(company.db, ada, "2026-01")
    with pytest.raises(QuotaPathError, match=r"neither the run \(Ada\) nor an adjustment \(abe\)"):
        payouts.approve_period(company.db, abe, "2026-01")
    assert [(one.what, bool(one.blocked)) for one in approvals.queue(company.db, abe)] == [("approve", True)]
    assert [(one.what, bool(one.blocked)) for one in approvals.queue(company.db, amy)] == [("approve", False)]
    extra = NewAdjustment(str(uuid.uuid4()), company.users["ana"], "spif", 100, "x")
    made = adjustments.add_adjustment(company.db, abe, "2026-01", extra)
    adjustments.withdraw_adjustment(company.db, amy, made)
    with pytest.raises(QuotaPathError, match="You made or withdrew a manual adjustment"):
        payouts.approve_period(company.db, amy, "2026-01")
    payouts.approve_period(company.db, ann, "2026-01")
    assert approvals.standing(company.db, ann, "2026-01").blocked.startswith("You approved 2026-01")
    with pytest.raises(QuotaPathError, match="You approved 2026-01"):
        payouts.mark_paid(company.db, ann, "2026-01")
    assert [(one.what, bool(one.blocked)) for one in approvals.queue(company.db, ada)] == [("pay", False)]
    payouts.mark_paid(company.db, ada, "2026-01")
    assert approvals.queue(company.db, ada) == []
    approvals.set_two_person_rule(company.db, ada, False)
    runs.run_period(company.db, pool, ada, "2026-02")
    payouts.approve_period(company.db, ada, "2026-02")


# --- reversals, and who owes --------------------------------------------------------------------------


def test_a_reversed_payment_is_paid_by_the_next_payout_once(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    company.deal("D1", "ana", "2026-01-20", 10_000)
    company.deal("D2", "bo", "2026-01-20", 20_000)
    runs.run_period(company.db, pool, ada, "2026-01")
    payouts.approve_period(company.db, ada, "2026-01")
    with pytest.raises(QuotaPathError, match="not marked as paid"):
        payouts.reverse_payout(company.db, ada, "2026-01", "Bank refused it")
    payouts.mark_paid(company.db, ada, "2026-01")
    one = [company.users["ana"]]
    done = together(lambda: payouts.reverse_payout(company.db, ada, "2026-01", "Bank refused it", one))
    assert sorted(done) == [0, 0, 0, 1]
    assert (company.balance("ana"), company.balance("bo"), entries(company, "reversed")) == (80_000, 0, [80_000])
    assert list(payouts.reversible_people(company.db, ada, "2026-01").values()) == ["Bo", "Mia"]

    before = entries(company, "paid")
    together(lambda: payouts.mark_paid(company.db, ada, "2026-01"))  # asked again: it is paid, and stays so
    assert entries(company, "paid") == before
    rows = payouts.payroll_file(company.db, ada, "2026-01").decode("utf-8-sig").splitlines()[1:]
    assert [row.split(",")[6] for row in rows] == ["reversed", "paid", "paid"]

    runs.run_period(company.db, pool, ada, "2026-02")
    together(lambda: payouts.approve_period(company.db, ada, "2026-02").id)
    assert due(company, "ana", "2026-02") == 80_000
    together(lambda: payouts.mark_paid(company.db, ada, "2026-02").id)
    assert company.balance("ana") == 0
    assert sum(entries(company, "paid")) + sum(entries(company, "reversed")) == -240_000 - 30_000

    assert payouts.reverse_payout(company.db, ada, "2026-01", "All of it") == 2  # those who were left
    assert payouts.reverse_payout(company.db, ada, "2026-01", "All of it") == 0
    assert (company.balance("ana"), company.balance("bo"), company.balance("mia")) == (0, 160_000, 30_000)
    told = payouts.reversals(company.db, ada, "2026-01")
    assert told[["name", "reason"]].to_numpy().tolist() == [
        ["Bo", "All of it"], ["Mia", "All of it"], ["Ana", "Bank refused it"],
    ]  # fmt: skip


def test_the_database_refuses_a_second_payment_and_a_second_reversal(company: Company, pool: Pool) -> None:
    company.deal("D1", "ana", "2026-01-20", 10_000)
    close(company, pool, "2026-01")
    payouts.reverse_payout(company.db, company.actors["ada"], "2026-01", "Wrong account")
    columns = "user_id, period, kind, amount, currency, payout_id, payment_id, corrects_id, reversal_id, posted_by"
    for kind in ("paid", "reversed"):
        with pytest.raises(sa.exc.IntegrityError, match=f"ledger_{kind}_once"), company.db.write() as conn:
            conn.execute(sa.text(f"INSERT INTO ledger ({columns}) SELECT {columns} FROM ledger WHERE kind = '{kind}'"))
    with pytest.raises(sa.exc.IntegrityError, match="append-only"), company.db.write() as conn:
        conn.execute(sa.text("UPDATE payout_reversals SET reason = 'other'"))
    for reason in ("", "x" * 1001):
        with pytest.raises(ProblemsError, match="reason"):
            payouts.reverse_payout(company.db, company.actors["ada"], "2026-01", reason)
    with pytest.raises(QuotaPathError, match="paid nothing to person number"):
        payouts.reverse_payout(company.db, company.actors["ada"], "2026-01", "x", [company.users["fay"]])


def test_who_owes_since_when_and_by_what(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    first = company.deal("D1", "ana", "2026-01-20", 10_000)
    close(company, pool, "2026-01")
    assert approvals.overpaid(company.db, ada).empty
    edit(company, first, amount=0)
    give(company, "bo", "2026-02", -7_000, kind="correction", reason="Laptop not returned")
    close(company, pool, "2026-02")
    found = approvals.overpaid(company.db, ada)
    assert found[["code", "owes", "period", "kind", "amount", "what"]].to_numpy().tolist() == [
        ["ana", 80_000, "2026-02", "adjusted", -80_000, "D1"],
        ["mia", 10_000, "2026-02", "adjusted", -10_000, "D1"],
        ["bo", 7_000, "2026-02", "manual", -7_000, "Laptop not returned"],
    ]
    assert found["since"].notna().all()
    company.deal("D2", "ana", "2026-03-03", 20_000)  # earns 1,600: what is owed is held back
    close(company, pool, "2026-03")
    assert due(company, "ana", "2026-03") == 80_000
    assert approvals.overpaid(company.db, ada)["code"].tolist() == ["bo"]


def test_reach(company: Company, pool: Pool) -> None:
    company.deal("D1", "ana", "2026-01-20", 10_000)
    give(company, "ana", "2026-01", 25_000)
    give(company, "ana", "2026-01", 1)
    run = runs.run_period(company.db, pool, company.actors["ada"], "2026-01")
    ana = company.users["ana"]
    new = NewAdjustment(str(uuid.uuid4()), ana, "spif", 100, "x")
    for code in ("ana", "mia", "fay"):
        actor = company.actors[code]
        for forbidden in (
            lambda actor=actor: adjustments.add_adjustment(company.db, actor, "2026-01", new),
            lambda actor=actor: adjustments.override_line(company.db, actor, new.request_id, 1, 1, "x"),
            lambda actor=actor: adjustments.withdraw_adjustment(company.db, actor, 1),
            lambda actor=actor: payouts.reverse_payout(company.db, actor, "2026-01", "x"),
            lambda actor=actor: approvals.set_two_person_rule(company.db, actor, False),
        ):
            with pytest.raises(Forbidden):
                forbidden()
    for code in ("ana", "mia"):
        for hidden in (approvals.overpaid, approvals.queue, approvals.two_person_rule):
            with pytest.raises(Forbidden):
                hidden(company.db, company.actors[code])
        with pytest.raises(Forbidden):
            approvals.review(company.db, company.actors[code], run)
        assert len(adjustments.list_adjustments(company.db, company.actors[code], "2026-01", ana)) == 2
    with pytest.raises(Forbidden):
        adjustments.list_adjustments(company.db, company.actors["bo"], "2026-01", ana)
    assert approvals.queue(company.db, company.actors["fay"]) == []


# --- figures that are out of date ---------------------------------------------------------------------


def test_what_changed_since_the_run_is_run_again_before_it_is_approved(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    deal = company.deal("D1", "ana", "2026-01-20", 10_000)
    runs.run_period(company.db, pool, ada, "2026-01")
    assert not approvals.standing(company.db, ada, "2026-01").outdated
    company.deal("later", "ana", "2026-02-03", 99_000)  # of no account in January
    company.change(deal, name="Another name")
    with company.db.write() as conn:
        assert not freshness.is_outdated(conn, "2026-01")
    company.change(deal, amount=20_000_00)
    with pytest.raises(QuotaPathError, match="have changed since 2026-01 was calculated"):
        payouts.approve_period(company.db, ada, "2026-01")
    assert company.balance("ana") == 0
    runs.run_period(company.db, pool, ada, "2026-01")
    payouts.approve_period(company.db, ada, "2026-01")
    assert company.balance("ana") == 160_000
    company.change(deal, amount=30_000_00)
    with company.db.write() as conn:
        assert not freshness.is_outdated(conn, "2026-01")  # closed: it never moves

"""Several periods approved in one step: as one after the other, or none of them."""

import pytest
import sqlalchemy as sa

from engine.errors import ProblemsError
from engine.services import approvals, batch_approval, payouts, runs
from engine.services.access import Forbidden
from engine.workers.pool import Pool
from tests.integration.paying import Company, PaperDeal, earned_on_paper

MONTHS = ("2026-01", "2026-02", "2026-03")
DEALS = {
    "D1": PaperDeal("ana", "2026-01-20", 60_000),
    "D2": PaperDeal("ana", "2026-02-11", 50_000),
    "D3": PaperDeal("bo", "2026-03-02", 130_000),
}


@pytest.fixture
def calculated(company: Company, pool: Pool) -> Company:
    """Three months, each calculated before any was approved."""
    for name, deal in DEALS.items():
        company.deal(name, deal.owner, deal.day, deal.dollars)
    for month in MONTHS:
        runs.run_period(company.db, pool, company.actors["ada"], month)
    return company


def seen(company: Company, pool: Pool) -> dict[str, str]:
    found = batch_approval.approvable(company.db, company.actors["ada"], pool)
    return {one.period.name: one.version for one in found if not one.blocked}


def posted(company: Company) -> list[tuple[object, ...]]:
    query = "SELECT u.code, period, kind, amount FROM ledger JOIN users u ON u.id = user_id ORDER BY 2, 1, 3, 4"
    with company.db.read() as conn:
        return [tuple(row) for row in conn.execute(sa.text(query))]


def test_a_quarter_is_approved_at_once_as_on_paper(calculated: Company, pool: Pool) -> None:
    ada = calculated.actors["ada"]
    found = batch_approval.approvable(calculated.db, ada, pool)
    paper = earned_on_paper(DEALS)
    assert {one.period.name: one.earned["USD"] for one in found} == {
        month: sum(cents for (when, _, _), cents in paper.items() if when == month) for month in MONTHS
    }
    assert batch_approval.total(found) == {"USD": sum(paper.values())}
    made = batch_approval.approve_periods(calculated.db, pool, ada, seen(calculated, pool))
    assert [one.period for one in made] == list(MONTHS)
    assert posted(calculated) == sorted(
        ((who, month, "earned", cents) for (month, who, _), cents in paper.items()), key=lambda row: (row[1], row[0])
    )
    assert sum(sum(payouts.payout_state(calculated.db, ada, month).open.values()) for month in MONTHS) == sum(
        paper.values()
    )
    again = batch_approval.approve_periods(calculated.db, pool, ada, dict.fromkeys(MONTHS, ""))
    assert [one.id for one in again] == [one.id for one in made]  # what is approved stays


def test_one_that_is_out_of_date_stops_all_and_is_named(calculated: Company, pool: Pool) -> None:
    ada, looked = calculated.actors["ada"], seen(calculated, pool)
    calculated.deal("D4", "bo", "2026-02-20", 10_000)
    # March counts February's credit of the quarter: both are out of date.
    assert {one.period.name: bool(one.blocked) for one in batch_approval.approvable(calculated.db, ada, pool)} == {
        "2026-01": False, "2026-02": True, "2026-03": True
    }  # fmt: skip
    with pytest.raises(ProblemsError, match="2026-02: .*have changed since.*the other 2 periods neither"):
        batch_approval.approve_periods(calculated.db, pool, ada, looked)
    assert posted(calculated) == []
    assert set(payouts.list_periods(calculated.db, ada)["status"]) == {"open"}
    runs.run_period(calculated.db, pool, ada, "2026-02")
    with pytest.raises(ProblemsError, match="was calculated again"):  # not what was looked at
        batch_approval.approve_periods(calculated.db, pool, ada, {**looked, "2026-03": "x"})
    assert posted(calculated) == []


def test_corrections_of_a_closed_period_are_posted_once(calculated: Company, pool: Pool) -> None:
    db, ada = calculated.db, calculated.actors["ada"]
    payouts.approve_period(db, ada, "2026-01")
    with calculated.db.read() as conn:
        deal = conn.scalar(sa.text("SELECT id FROM deals WHERE external_id = 'D1'"))
    calculated.change(deal, amount=7_000_000)
    # March's run is of before January was approved, and knows nothing of its corrections: February posts them.
    for month in ("2026-03", "2026-02"):
        runs.run_period(db, pool, ada, month)
    batch_approval.approve_periods(db, pool, ada, seen(calculated, pool))
    changed = {**DEALS, "D1": PaperDeal("ana", "2026-01-20", 70_000)}
    owed = earned_on_paper(changed)
    for who in ("ana", "bo", "mia"):
        assert calculated.balance(who) == sum(cents for (_, person, _), cents in owed.items() if person == who)


def test_a_run_that_would_come_out_otherwise_after_the_ones_before_is_refused(calculated: Company, pool: Pool) -> None:
    db, ada = calculated.db, calculated.actors["ada"]
    payouts.approve_period(db, ada, "2026-01")
    with db.read() as conn:
        deal = conn.scalar(sa.text("SELECT id FROM deals WHERE external_id = 'D1'"))
    runs.run_period(db, pool, ada, "2026-03")
    calculated.change(deal, amount=7_000_000)
    for month in ("2026-02", "2026-03"):
        runs.run_period(db, pool, ada, month)
    # February alone would post January's corrections: approving March without it leaves them for another day.
    payouts.approve_period(db, ada, "2026-03", pool=pool)
    with pytest.raises(ProblemsError, match="2026-02"):
        batch_approval.approve_periods(db, pool, ada, {"2026-02": ""})


def test_two_people_and_roles_hold_as_for_one(calculated: Company, pool: Pool) -> None:
    db, ada = calculated.db, calculated.actors["ada"]
    with db.write() as conn:
        conn.execute(sa.text("UPDATE users SET role = 'admin' WHERE code = 'fay'"))
    approvals.set_two_person_rule(db, ada, True)
    assert all("two-person" in one.blocked for one in batch_approval.approvable(db, ada, pool))
    looked: dict[str, str | None] = dict.fromkeys(MONTHS)
    with pytest.raises(ProblemsError, match="two-person"):
        batch_approval.approve_periods(db, pool, ada, looked)
    for code in ("ana", "mia"):
        with pytest.raises(Forbidden):
            batch_approval.approve_periods(db, pool, calculated.actors[code], {})
    with pytest.raises(ProblemsError, match="None is chosen"):
        batch_approval.approve_periods(db, pool, ada, {})


def test_won_deals_of_whoever_is_on_no_plan_are_named(calculated: Company, pool: Pool) -> None:
    db, ada = calculated.db, calculated.actors["ada"]
    assert runs.deals_without_plan(db, ada, "2026-02").empty
    calculated.deal("D5", "fay", "2026-02-20", 10_000)
    calculated.deal("D6", "fay", "2026-03-01", 5_000)
    calculated.deal("D7", "fay", "2026-02-21", 7_000, stage="Closed Lost")
    shared = calculated.deal("D8", "fay", "2026-02-22", 9_000)
    with db.write() as conn:
        conn.execute(
            sa.text("INSERT INTO deal_credits VALUES (:d, :u, 1000000)"), {"d": shared, "u": calculated.users["ana"]}
        )
    found = runs.deals_without_plan(db, ada, "2026-02")
    assert found[["name", "deals", "amount"]].to_numpy().tolist() == [["Fay", 1, 1_000_000]]

"""Runs, adjustments, approvals and payments on a real database, with real workers."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
import sqlalchemy as sa

from engine.errors import ProblemsError, QuotaPathError
from engine.services import earnings, payouts, runs
from engine.services.access import Forbidden
from engine.workers.pool import Pool
from tests.integration.paying import PLAN, Company
from tests.owner import owner


def test_a_month_of_a_quarterly_quota(company: Company, pool: Pool) -> None:
    company.deal("D1", "ana", "2026-01-20", 60_000)
    company.deal("D2", "ana", "2026-02-11", 70_000)
    company.deal("open", "ana", "2026-02-12", 999, stage="Proposal")
    ada = company.actors["ada"]
    runs.run_period(company.db, pool, ada, "2026-01")
    runs.run_period(company.db, pool, ada, "2026-02")
    # 60,000 x 8%; then 40,000 x 8% + 30,000 x 12%; the manager 1% of both
    assert company.earned("ana", "2026-01") == 480_000
    assert company.earned("ana", "2026-02") == 680_000
    assert company.earned("mia", "2026-02") == 70_000
    shown = earnings.earned(company.db, ada, company.users["ana"], "2026-02")
    assert shown is not None
    assert shown.attainment["attainment"].tolist() == [1.3]
    assert shown.lines["deal"].tolist() == ["D2"]


def test_a_quota_counts_before_the_first_sale(company: Company, pool: Pool) -> None:
    company.deal("D1", "ana", "2026-01-20", 25_000)
    ada = company.actors["ada"]
    runs.run_period(company.db, pool, ada, "2026-01")
    found = {}
    for code in ("ana", "bo"):
        shown = earnings.earned(company.db, ada, company.users[code], "2026-01")
        assert shown is not None
        found[code] = shown.attainment[["quota_period", "credit", "quota"]].to_numpy().tolist()
    assert found == {"ana": [["2026-Q1", 25_000.0, 100_000.0]], "bo": [["2026-Q1", 0.0, 100_000.0]]}


def test_the_explanation_adds_up_to_the_line(company: Company, pool: Pool) -> None:
    company.deal("D1", "ana", "2026-01-20", 60_000)
    company.deal("D2", "ana", "2026-02-11", 70_000)
    ada = company.actors["ada"]
    runs.run_period(company.db, pool, ada, "2026-02")
    shown = earnings.earned(company.db, ada, company.users["ana"], "2026-02")
    assert shown is not None
    working = earnings.explain_line(company.db, ada, int(shown.lines["line_id"].iloc[0]))
    text = "\n".join(working.texts)
    for part in ("40,000.00", "30,000.00", "8%", "12%", "6,800.00", "new-business"):
        assert part in text


def test_same_inputs_same_hashes(company: Company, pool: Pool) -> None:
    for number in range(20):
        company.deal(f"D{number}", "ana" if number % 3 else "bo", f"2026-01-{number + 1:02d}", 1_000 + number)
    hashes = set()
    with Pool(2, "cpython") as other:
        for workers in (pool, other, pool):
            run_id = runs.run_period(company.db, workers, company.actors["ada"], "2026-01")
            with company.db.read() as conn:
                hashes.add(conn.execute(sa.text(f"SELECT inputs_hash, lines_hash FROM runs WHERE id = {run_id}")).one())
    assert len({(bytes(a), bytes(b)) for a, b in hashes}) == 1


def test_a_closed_period_never_moves_and_the_next_one_carries_the_difference(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    first = company.deal("D1", "ana", "2026-01-20", 60_000)
    runs.run_period(company.db, pool, ada, "2026-01")
    payouts.approve_period(company.db, ada, "2026-01")
    payouts.mark_paid(company.db, ada, "2026-01")
    assert company.balance("ana") == 0

    company.change(first, amount=5_000_000)  # 50,000 after all: 800 less
    late = company.deal("late", "ana", "2026-01-31", 1_000)  # and a deal that came in late: 80 more
    with pytest.raises(QuotaPathError, match="never moves"):
        runs.run_period(company.db, pool, ada, "2026-01")
    runs.run_period(company.db, pool, ada, "2026-02")
    assert company.earned("ana", "2026-01") == 480_000
    shown = earnings.earned(company.db, ada, company.users["ana"], "2026-02")
    assert shown is not None
    assert dict(zip(shown.lines["deal"], shown.lines["amount"], strict=True)) == {"D1": -80_000, "late": 8_000}
    assert set(shown.lines["origin_period"]) == {"2026-01"}
    working = earnings.explain_line(company.db, ada, int(shown.lines["line_id"].iloc[0]))
    assert "4,800.00" in "\n".join(working.texts)

    payouts.approve_period(company.db, ada, "2026-02")
    assert company.balance("ana") == -72_000  # overpaid: carried, not asked back
    runs.run_period(company.db, pool, ada, "2026-03")
    assert company.earned("ana", "2026-03") == 0
    assert late


def test_two_open_periods_do_not_both_post_a_change(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    first = company.deal("D1", "ana", "2026-01-20", 60_000)
    runs.run_period(company.db, pool, ada, "2026-01")
    payouts.approve_period(company.db, ada, "2026-01")
    company.change(first, amount=5_000_000)
    for month in ("2026-02", "2026-03", "2026-02"):
        runs.run_period(company.db, pool, ada, month)
    assert (company.earned("ana", "2026-02"), company.earned("ana", "2026-03")) == (-80_000, 0)
    payouts.approve_period(company.db, ada, "2026-02")
    runs.run_period(company.db, pool, ada, "2026-03")
    assert company.earned("ana", "2026-03") == 0
    payouts.approve_period(company.db, ada, "2026-03")
    assert company.balance("ana") == 400_000


def test_a_skipped_period_can_follow_later(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    company.deal("D1", "ana", "2026-01-20", 10_000)
    company.deal("D2", "ana", "2026-02-20", 20_000)
    first = company.deal("D3", "ana", "2026-03-20", 40_000)
    for month in ("2026-01", "2026-03"):
        runs.run_period(company.db, pool, ada, month)
        payouts.approve_period(company.db, ada, month)
    company.change(first, amount=3_000_000)
    runs.run_period(company.db, pool, ada, "2026-02")
    assert company.earned("ana", "2026-02") == 160_000
    payouts.approve_period(company.db, ada, "2026-02")
    runs.run_period(company.db, pool, ada, "2026-04")
    assert company.earned("ana", "2026-04") == -80_000


def test_what_was_overpaid_lowers_the_next_payout(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    first = company.deal("D1", "ana", "2026-01-20", 10_000)
    runs.run_period(company.db, pool, ada, "2026-01")
    payouts.approve_period(company.db, ada, "2026-01")
    payouts.mark_paid(company.db, ada, "2026-01")
    company.change(first, amount=0)
    company.deal("D2", "ana", "2026-02-03", 20_000)
    runs.run_period(company.db, pool, ada, "2026-02")
    payouts.approve_period(company.db, ada, "2026-02")
    people = payouts.period_people(company.db, ada, "2026-02").set_index("code")
    assert people.loc["ana", "due"] == 160_000 - 80_000
    payouts.mark_paid(company.db, ada, "2026-02")
    assert company.balance("ana") == 0


def test_approving_and_paying_twice_is_once(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    company.deal("D1", "ana", "2026-01-20", 60_000)
    runs.run_period(company.db, pool, ada, "2026-01")

    def together(action: object) -> list[object]:
        with ThreadPoolExecutor(4) as threads:
            return list(threads.map(lambda _: action(company.db, ada, "2026-01").id, range(4)))  # type: ignore[operator]

    assert len(set(together(payouts.approve_period))) == 1
    assert company.balance("ana") == 480_000
    assert len(set(together(payouts.mark_paid))) == 1
    assert company.balance("ana") == 0
    with company.db.read() as conn:
        kinds = conn.execute(sa.text("SELECT kind, count(*) FROM ledger GROUP BY kind ORDER BY kind")).all()
    assert [tuple(row) for row in kinds] == [("earned", 2), ("paid", 2)]


def test_a_run_from_before_an_approval_cannot_be_approved(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    company.deal("D1", "ana", "2026-01-20", 60_000)
    runs.run_period(company.db, pool, ada, "2026-01")
    runs.run_period(company.db, pool, ada, "2026-02")
    payouts.approve_period(company.db, ada, "2026-01")
    with pytest.raises(QuotaPathError, match="Run 2026-02 again"):
        payouts.approve_period(company.db, ada, "2026-02")


@pytest.mark.parametrize("statement", ["UPDATE ledger SET amount = 0", "DELETE FROM ledger", "TRUNCATE ledger CASCADE"])
def test_the_database_itself_refuses_to_change_the_ledger(company: Company, pool: Pool, statement: str) -> None:
    company.deal("D1", "ana", "2026-01-20", 60_000)
    runs.run_period(company.db, pool, company.actors["ada"], "2026-01")
    payouts.approve_period(company.db, company.actors["ada"], "2026-01")
    url = company.db.engine.url
    with pytest.raises(sa.exc.IntegrityError, match="append-only"), owner(url) as conn:
        conn.execute(sa.text(statement))
    with pytest.raises(sa.exc.IntegrityError, match="never moves"), owner(url) as conn:
        conn.execute(sa.text("UPDATE pay_periods SET status = 'open'"))


def test_deals_of_two_sources_may_share_an_id(company: Company, pool: Pool) -> None:
    company.deal("D1", "ana", "2026-01-20", 10_000)
    company.deal("D1", "ana", "2026-01-20", 20_000, source="other")
    runs.run_period(company.db, pool, company.actors["ada"], "2026-01")
    assert company.earned("ana", "2026-01") == 240_000


def test_shared_credit(company: Company, pool: Pool) -> None:
    deal = company.deal("D1", "ana", "2026-01-20", 10_000)
    with company.db.write() as conn:
        for code, share in (("ana", 600_000), ("bo", 400_000)):
            conn.execute(
                sa.text("INSERT INTO deal_credits VALUES (:d, :u, :s)"),
                {"d": deal, "u": company.users[code], "s": share},
            )
    company.deal("D0", "bo", "2026-01-01", 1_000)
    runs.run_period(company.db, pool, company.actors["ada"], "2026-01")
    assert (company.earned("ana", "2026-01"), company.earned("bo", "2026-01")) == (48_000, 40_000)
    assert company.earned("mia", "2026-01") == 11_000


def test_fields_of_the_crm_in_a_plan(company: Company, pool: Pool) -> None:
    """Numbers and dates of a CSV are text in the extra fields; a plan filters and measures them all the same."""
    seats = """
plan = "seats"
effective_from = 2026-01-01
currency = "USD"
pay_period = "month"

[[component]]
id = "large"
kind = "quota"
measure = "Seats"
when = { Seats = { at_least = 10 }, "Go live" = { less_than = 2026-06-01 }, Region = ["emea", "apac"] }
tiers = [{ from = 0, amount = 3 }]
"""
    with company.db.write() as conn:
        conn.execute(sa.text("DELETE FROM plan_assignments WHERE user_id = :u"), {"u": company.users["bo"]})
        company._publish(conn, "seats", seats, ("bo",))
    cases = {
        "in": {"Seats": "1,200", "Go live": "2026-05-31", "Region": "EMEA"},
        "number": {"Seats": 12.5, "Go live": "2026-05-31", "Region": "apac"},
        "few": {"Seats": "9", "Go live": "2026-05-31", "Region": "EMEA"},
        "late": {"Seats": "50", "Go live": "2026-06-01", "Region": "EMEA"},
        "elsewhere": {"Seats": "50", "Go live": "2026-05-01", "Region": "AMER"},
        "unsaid": {"Seats": "", "Go live": None},
    }
    for name, extra in cases.items():
        company.change(company.deal(name, "bo", "2026-01-20", 100), extra=json.dumps(extra))
    ada = company.actors["ada"]
    runs.run_period(company.db, pool, ada, "2026-01")
    shown = earnings.earned(company.db, ada, company.users["bo"], "2026-01")
    assert shown is not None
    assert dict(zip(shown.lines["deal"], shown.lines["amount"], strict=True)) == {"in": 360_000, "number": 3_750}


def test_problems_name_the_deal_and_nothing_is_kept(company: Company, pool: Pool) -> None:
    deal = company.deal("D1", "ana", "2026-01-20", 10_000)
    company.change(deal, amount=None)
    with pytest.raises(ProblemsError) as caught:
        runs.run_period(company.db, pool, company.actors["ada"], "2026-01")
    assert "D1" in str(caught.value)
    with company.db.read() as conn:
        assert conn.scalar(sa.text("SELECT count(*) FROM pay_periods")) == 0


def test_nothing_to_calculate_is_said(company: Company, pool: Pool) -> None:
    with pytest.raises(QuotaPathError, match="No published plan pays by the quarter"):
        runs.run_period(company.db, pool, company.actors["ada"], "2026-Q1")
    with pytest.raises(QuotaPathError, match="is not a period"):
        runs.run_period(company.db, pool, company.actors["ada"], "2026-13")
    with pytest.raises(QuotaPathError, match="has not been calculated"):
        payouts.approve_period(company.db, company.actors["ada"], "2026-01")


def test_reach(company: Company, pool: Pool) -> None:
    company.deal("D1", "ana", "2026-01-20", 10_000)
    company.deal("D2", "bo", "2026-01-20", 10_000)
    for code in ("ana", "mia", "fay"):
        with pytest.raises(Forbidden):
            runs.run_period(company.db, pool, company.actors[code], "2026-01")
        with pytest.raises(Forbidden):
            payouts.approve_period(company.db, company.actors[code], "2026-01")
    runs.run_period(company.db, pool, company.actors["ada"], "2026-01")

    def seen(code: str) -> set[str]:
        return set(earnings.payees(company.db, company.actors[code], "2026-01")["code"])

    assert seen("ana") == {"ana"}
    assert seen("mia") == seen("fay") == {"ana", "bo", "mia"}
    lines = earnings.earned(company.db, company.actors["bo"], company.users["bo"], "2026-01")
    assert lines is not None
    line_id = int(lines.lines["line_id"].iloc[0])
    for reader in ("bo", "mia", "fay"):
        assert earnings.explain_line(company.db, company.actors[reader], line_id).texts
    with pytest.raises(QuotaPathError, match="no line .* that you may see"):
        earnings.explain_line(company.db, company.actors["ana"], line_id)
    with pytest.raises(Forbidden):
        earnings.earned(company.db, company.actors["ana"], company.users["bo"], "2026-01")


def test_payroll_file(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    company.deal("D1", "ana", "2026-01-20", 60_000)
    with company.db.write() as conn:
        conn.execute(sa.text("UPDATE users SET name = '=cmd()' WHERE code = 'ana'"))
    runs.run_period(company.db, pool, ada, "2026-01")
    with pytest.raises(QuotaPathError, match="not approved"):
        payouts.payroll_file(company.db, ada, "2026-01")
    payouts.approve_period(company.db, ada, "2026-01")
    lines = payouts.payroll_file(company.db, ada, "2026-01").decode("utf-8-sig").splitlines()
    assert lines[1] == "ana,'=cmd(),ana@test.example,2026-01,4800.00,USD,approved,,0.00,4800.00"
    payouts.mark_paid(company.db, ada, "2026-01")
    paid = payouts.payroll_file(company.db, ada, "2026-01").decode("utf-8-sig").splitlines()[1]
    assert paid.startswith("ana,'=cmd(),ana@test.example,2026-01,4800.00,USD,paid,20")
    assert date.fromisoformat(paid.split(",")[7]) >= date(2026, 1, 1)


def test_a_draw_tops_up_and_is_repaid(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    draw = PLAN.replace('plan = "ae"', 'plan = "drawn"') + '\n[draw]\nkind = "recoverable"\namount = 3000\n'
    with company.db.write() as conn:
        conn.execute(sa.text("DELETE FROM plan_assignments WHERE user_id = :u"), {"u": company.users["bo"]})
        company._publish(conn, "drawn", draw, ("bo",))
    company.deal("D1", "bo", "2026-01-20", 10_000)  # earns 800: 2,200 advanced
    company.deal("D2", "bo", "2026-02-20", 70_000)  # earns 5,600: the 2,200 come back
    for month, paid in (("2026-01", 300_000), ("2026-02", 560_000 - 220_000)):
        runs.run_period(company.db, pool, ada, month)
        payouts.approve_period(company.db, ada, month)
        due = payouts.period_people(company.db, ada, month).set_index("code").loc["bo", "due"]
        assert due == paid
    assert company.balance("bo") == 80_000 + 560_000

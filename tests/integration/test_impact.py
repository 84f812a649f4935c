"""What a change of deals would do to earnings, on a real database, with real workers."""

from datetime import date

import sqlalchemy as sa

from engine.services import payouts, runs
from engine.services.impact import Impact, impact
from engine.workers.pool import Pool
from tests.integration.paying import Company

TODAY = date(2026, 3, 20)


def overlaid(company: Company, pool: Pool, change: str, shares: str = "SELECT * FROM deal_credits") -> Impact:
    """The impact of deals and credits as two queries say they would be."""
    with company.db.write() as conn:
        conn.execute(sa.text(f"CREATE TEMP VIEW changed_deals AS {change}"))
        conn.execute(sa.text(f"CREATE TEMP VIEW changed_credits AS {shares}"))
        found = impact(conn, pool, TODAY, "changed_deals", "changed_credits")
        conn.execute(sa.text("DROP VIEW changed_deals, changed_credits"))
    return found


def rows(found: Impact) -> list[list[object]]:
    assert not found.problems
    return found.changes[["person", "period", "status", "before", "after", "difference"]].to_numpy().tolist()


# The columns of deals with a larger amount on D1.
LARGER = """
    SELECT id, source, external_id, name, account, owner_id, stage_id, margin, currency, quantity_micro, close_date,
           created_date, type, product, segment, term_months, cancelled_on, extra,
           CASE external_id WHEN 'D1' THEN amount + 3000000 ELSE amount END AS amount
      FROM deals
"""


def test_no_change_changes_nothing(company: Company, pool: Pool) -> None:
    company.deal("D1", "ana", "2026-01-20", 60_000)
    assert rows(overlaid(company, pool, "SELECT * FROM deals")) == []


def test_a_larger_deal_pays_more_in_its_period_and_pushes_later_ones_into_the_accelerator(
    company: Company, pool: Pool
) -> None:
    company.deal("D1", "ana", "2026-01-20", 60_000)
    company.deal("D2", "ana", "2026-02-11", 50_000)
    ada = company.actors["ada"]
    runs.run_period(company.db, pool, ada, "2026-01")
    payouts.approve_period(company.db, ada, "2026-01")
    runs.run_period(company.db, pool, ada, "2026-02")
    found = overlaid(company, pool, LARGER)
    # January: 30,000 more at 8%.  February was 40,000 x 8% + 10,000 x 12%, becomes 10,000 x 8% + 40,000 x 12%.
    assert rows(found) == [
        ["ana", "2026-01", "approved", 480_000, 720_000, 240_000],
        ["mia", "2026-01", "approved", 60_000, 90_000, 30_000],
        ["ana", "2026-02", "open", 440_000, 560_000, 120_000],
    ]
    assert found.closed["period"].tolist() == ["2026-01", "2026-01"]
    assert found.changes["user_id"].tolist() == [company.users[code] for code in ("ana", "mia", "ana")]


def test_a_split_moves_credit_to_another_person(company: Company, pool: Pool) -> None:
    deal = company.deal("D1", "ana", "2026-03-02", 10_000)
    shares = " UNION ALL ".join(
        f"SELECT {deal} AS deal_id, {company.users[code]} AS user_id, {share} AS share_ppm"
        for code, share in (("ana", 400_000), ("bo", 600_000))
    )
    assert rows(overlaid(company, pool, "SELECT * FROM deals", shares)) == [
        ["ana", "2026-03", "", 80_000, 32_000, -48_000],
        ["bo", "2026-03", "", 0, 48_000, 48_000],
    ]


def test_what_stops_the_calculation_is_told(company: Company, pool: Pool) -> None:
    company.deal("D1", "ana", "2026-01-20", 60_000)
    found = overlaid(company, pool, LARGER.replace("THEN amount + 3000000", "THEN CAST(NULL AS bigint)"))
    assert [problem.path for problem in found.problems] == ["deal[0].amount"]
    assert found.changes.empty
    assert found.closed.empty

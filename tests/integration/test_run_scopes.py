"""Runs for some people, what makes a run out of date, and several periods brought up to date at once."""

import random
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.analytics import inputs
from engine.errors import QuotaPathError
from engine.periods import parse_period
from engine.services import freshness, payouts, recalculation, runs
from engine.services.recalculation import recalculate
from engine.services.run_scope import Scope
from engine.workers.pool import Pool
from tests.integration.paying import Company

JANUARY = "2026-01"


def query(company: Company, text: str, **values: Any) -> list[tuple[Any, ...]]:
    with company.db.read() as conn:
        return [tuple(row) for row in conn.execute(sa.text(text), values)]


def one_hash(company: Company, run_id: int) -> bytes:
    return bytes(query(company, "SELECT lines_hash FROM runs WHERE id = :r", r=run_id)[0][0])


def stored(company: Company, run_id: int) -> list[tuple[Any, ...]]:
    """A run's lines, figures and attainment without their ids."""
    lines = query(
        company,
        """SELECT user_id, plan_version_id, component, deal_id, kind, period, origin_period, amount, currency,
                  CAST(working AS text) FROM lines WHERE run_id = :r ORDER BY 1, 3, 4, 5, 7, 10""",
        r=run_id,
    )
    people = query(
        company, "SELECT user_id, earned, drawn, deferred FROM run_people WHERE run_id = :r ORDER BY 1", r=run_id
    )
    credit = query(
        company, "SELECT user_id, component, credit FROM run_attainment WHERE run_id = :r ORDER BY 1, 2", r=run_id
    )
    versions = query(company, "SELECT plan_version_id FROM run_plan_versions WHERE run_id = :r ORDER BY 1", r=run_id)
    return [*lines, *people, *credit, *versions]


def only(company: Company, *codes: str) -> Scope:
    return Scope(people=tuple(company.users[code] for code in codes))


def team(company: Company, name: str = "East") -> Scope:
    return Scope(team=query(company, "SELECT id FROM teams WHERE name = :n", n=name)[0][0])


def test_a_run_for_one_person_carries_everybody_else_on(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    for who in ("ana", "bo"):
        company.deal(f"D-{who}", who, "2026-01-20", 10_000)
    first = runs.run_period(company.db, pool, ada, JANUARY)
    for who in ("ana", "bo"):
        company.deal(f"E-{who}", who, "2026-01-21", 5_000)
    second = runs.run_period(company.db, pool, ada, JANUARY, scope=only(company, "ana"))
    # Ana's deals count anew; Bo's lines are those of before, and so are the manager's, who is not in scope.
    earned = {code: company.earned(code, JANUARY) for code in ("ana", "bo", "mia")}
    assert earned == {"ana": 120_000, "bo": 80_000, "mia": 20_000}
    scope, people, base, lines = query(
        company, "SELECT scope, people, based_on, lines FROM runs WHERE id = :r", r=second
    )[0]
    assert (scope, people, base, lines) == ("Ana", [company.users["ana"]], first, 5)
    assert len(query(company, "SELECT 1 FROM lines WHERE run_id = :r", r=second)) == 5
    # It is out of date for those who were left out, and cannot be approved.
    found = freshness.verdict(company.db, ada, JANUARY, pool)
    assert [(each.name, each.was, each.now) for each in found.differing] == [
        ("Bo", 80_000, 120_000),
        ("Mia", 20_000, 30_000),
    ]
    with pytest.raises(QuotaPathError, match="again, then approve"):
        payouts.approve_period(company.db, ada, JANUARY, pool=pool)
    # Bo and Mia, too: now it says what a run for everyone says, and can be approved.
    third = runs.run_period(company.db, pool, ada, JANUARY, scope=only(company, "bo", "mia"))
    assert not freshness.outdated(company.db, ada, JANUARY, pool)
    full = runs.run_period(company.db, pool, ada, JANUARY)
    assert stored(company, third) == stored(company, full)
    assert one_hash(company, third) == one_hash(company, full)
    runs.run_period(company.db, pool, ada, JANUARY, scope=only(company, "bo"))
    payouts.approve_period(company.db, ada, JANUARY, pool=pool)
    assert company.balance("bo") == 120_000


def test_a_team_is_its_manager_and_everyone_below_on_the_last_day(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    with company.db.write() as conn:  # Bo leaves the team before the end of January
        conn.execute(
            sa.text("UPDATE team_members SET end_date = '2026-01-31' WHERE user_id = :u"), {"u": company.users["bo"]}
        )
    for who in ("ana", "bo"):
        company.deal(f"D-{who}", who, "2026-01-20", 10_000)
    run = runs.run_period(company.db, pool, ada, JANUARY, scope=team(company))
    people, words = query(company, "SELECT people, scope FROM runs WHERE id = :r", r=run)[0]
    assert (people, words) == (sorted(company.users[code] for code in ("ana", "mia")), "Team East")
    # There was no run before: it holds these people alone.
    assert {row[0] for row in query(company, "SELECT user_id FROM run_people WHERE run_id = :r", r=run)} == set(people)
    with pytest.raises(QuotaPathError, match="Nobody was in the team East"):
        runs.run_period(company.db, pool, ada, "2024-12", scope=team(company))
    with pytest.raises(QuotaPathError, match="There is no person with the id 999"):
        runs.run_period(company.db, pool, ada, JANUARY, scope=Scope(people=(999,)))


def test_adjustments_of_closed_periods_are_for_those_in_scope(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    deals = {who: company.deal(f"D-{who}", who, "2026-01-20", 10_000) for who in ("ana", "bo")}
    runs.run_period(company.db, pool, ada, JANUARY)
    payouts.approve_period(company.db, ada, JANUARY)
    runs.run_period(company.db, pool, ada, "2026-02")
    for deal in deals.values():
        company.change(deal, amount=20_000_00)
    runs.run_period(company.db, pool, ada, "2026-02", scope=only(company, "ana"))
    assert [company.earned(code, "2026-02") for code in ("ana", "bo", "mia")] == [80_000, 0, 0]
    runs.run_period(company.db, pool, ada, "2026-02", scope=only(company, "bo", "mia"))
    assert [company.earned(code, "2026-02") for code in ("ana", "bo", "mia")] == [80_000, 80_000, 20_000]
    payouts.approve_period(company.db, ada, "2026-02", pool=pool)
    assert company.balance("bo") == 160_000


def test_the_same_digests_on_any_interpreter_and_any_number_of_workers(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    for number in range(40):
        company.deal(f"D{number:02d}", ("ana", "bo")[number % 2], f"2026-01-{number % 28 + 1:02d}", 1_000 + 7 * number)
    found = []
    with Pool(3, "cpython") as other:
        for workers in (pool, other):
            run = runs.run_period(company.db, workers, ada, JANUARY)
            digests = query(company, "SELECT user_id, digest FROM run_digests WHERE run_id = :r ORDER BY 1", r=run)
            found.append(
                (one_hash(company, run), [(user, bytes(each)) for user, each in digests], stored(company, run))
            )
    assert found[0] == found[1]
    assert len(found[0][1]) == 3


def test_a_run_of_before_the_digests_is_read_and_calculated_again(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    company.deal("D1", "ana", "2026-01-20", 10_000)
    runs.run_period(company.db, pool, ada, JANUARY)
    with company.db.write() as conn:
        conn.execute(sa.text("DELETE FROM run_digests"))
    assert company.earned("ana", JANUARY) == 80_000
    assert not freshness.outdated(company.db, ada, JANUARY, pool)
    with pytest.raises(QuotaPathError, match="earlier version"):
        runs.run_period(company.db, pool, ada, JANUARY, scope=only(company, "ana"))
    payouts.approve_period(company.db, ada, JANUARY, pool=pool)
    assert company.balance("ana") == 80_000


def add_person(company: Company) -> None:
    with company.db.write() as conn:
        conn.execute(sa.text("INSERT INTO users (code, name, email, role) VALUES ('zoe', 'Zoe', 'zoe@x.io', 'rep')"))


def next_years_quota(company: Company) -> None:
    with company.db.write() as conn:
        conn.execute(
            sa.text("""
                INSERT INTO quotas (user_id, component, period, start_date, end_date, amount, currency)
                SELECT id, 'unused', '2026-Q1', '2026-01-01', '2026-04-01', 1, 'USD' FROM users WHERE code = 'ana'
            """)
        )


def foreign_rate(company: Company) -> None:
    with company.db.write() as conn:
        conn.execute(sa.text("INSERT INTO exchange_rates VALUES ('EUR', 'USD', '2026-01-01', 1.1)"))


@pytest.mark.parametrize("change", [add_person, next_years_quota, foreign_rate], ids=lambda each: each.__name__)
def test_what_moves_nobodys_lines_leaves_a_run_fresh(
    company: Company, pool: Pool, change: Callable[[Company], None]
) -> None:
    ada = company.actors["ada"]
    company.deal("D1", "ana", "2026-01-20", 10_000)
    runs.run_period(company.db, pool, ada, JANUARY)
    change(company)
    with company.db.read() as conn:  # the inputs are others, and without calculating that is all one knows
        assert freshness.is_outdated(conn, JANUARY)
    assert freshness.examine(company.db, pool, JANUARY).fresh
    assert recalculate(company.db, pool, ada, [JANUARY]).unchanged == [JANUARY]
    payouts.approve_period(company.db, ada, JANUARY, pool=pool)
    assert company.balance("ana") == 80_000


def test_what_changes_between_the_look_and_the_lock_is_noticed(company: Company, pool: Pool) -> None:
    deal = company.deal("D1", "ana", "2026-01-20", 10_000)
    runs.run_period(company.db, pool, company.actors["ada"], JANUARY)
    add_person(company)
    examined = freshness.examine(company.db, pool, JANUARY)
    with company.db.read() as conn:
        assert not freshness.is_outdated(conn, JANUARY, examined)
    company.change(deal, amount=1)
    with company.db.read() as conn:
        assert freshness.is_outdated(conn, JANUARY, examined)


# --- several periods at once ---------------------------------------------------------------------------

MONTHS = [f"2026-{month:02d}" for month in range(1, 5)]


def test_several_months_at_once_are_as_each_by_itself(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    ids = [company.deal(f"D{n}", ("ana", "bo")[n % 2], f"2026-{n % 4 + 1:02d}-1{n % 9}", 9_000 + n) for n in range(24)]
    with company.db.write() as conn:  # the quarter after it, too, or April's deals have no quota
        conn.execute(
            sa.text("""
                INSERT INTO quotas (user_id, period, start_date, end_date, amount, currency)
                SELECT user_id, '2026-Q2', '2026-04-01', '2026-07-01', amount, currency FROM quotas
            """)
        )
    done = recalculate(company.db, pool, ada, MONTHS[::-1])
    assert list(done.kept) == MONTHS
    single = {month: runs.run_period(company.db, pool, ada, month) for month in MONTHS}
    for month in MONTHS:
        assert stored(company, done.kept[month]) == stored(company, single[month])
        hashes = "encode(inputs_hash, 'hex'), encode(lines_hash, 'hex')"
        columns = f"SELECT {hashes}, deals, lines, ledger_seen FROM runs WHERE id = :r"
        assert query(company, columns, r=done.kept[month]) == query(company, columns, r=single[month])
    assert recalculate(company.db, pool, ada, MONTHS).unchanged == MONTHS
    # What is touched is found by what comes out.
    company.change(ids[3], amount=1)
    assert [each.verdict.period for each in recalculation.stale(company.db, pool, ada)] == ["2026-04"]
    assert recalculate(company.db, pool, ada, MONTHS).unchanged == MONTHS[:3]
    company.change(ids[0], amount=400_000_00)  # beyond Ana's quota: her deals in March earn more, too
    done = recalculate(company.db, pool, ada, MONTHS)
    assert (sorted(done.kept), done.unchanged) == (["2026-01", "2026-03"], ["2026-02", "2026-04"])


def test_a_job_that_starts_again_goes_on_where_it_was(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    company.deal("D1", "ana", "2026-01-20", 10_000)
    job = query(company, "SELECT 1")[0][0]
    with company.db.write() as conn:
        job = conn.execute(
            sa.text("INSERT INTO jobs (kind, created_by) VALUES ('recalculate', :u) RETURNING CAST(id AS text)"),
            {"u": ada.user_id},
        ).scalar_one()
    first = recalculate(company.db, pool, ada, MONTHS[:2], job_id=job)
    again = recalculate(company.db, pool, ada, MONTHS[:3], job_id=job)
    assert {**first.kept} == {month: again.kept[month] for month in MONTHS[:2]}
    assert len(query(company, "SELECT 1 FROM runs")) == 3
    payouts.approve_period(company.db, ada, MONTHS[0])
    with pytest.raises(QuotaPathError, match="never moves"):
        recalculate(company.db, pool, ada, MONTHS[:2])
    # The approval posted lines: February's run may not be approved as it is, and is brought up to date.
    assert recalculate(company.db, pool, ada, [MONTHS[1]]).unchanged == []


VALUES = st.sampled_from([None, "3", "4.5", "EMEA", "2026-02-01", "12", "", "7"])


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_inputs_cut_for_a_period_are_those_read_for_it(company: Company, data: st.DataObject) -> None:
    """Fields that are numbers up to a day and words after it, currencies that come late, deals that are shared late."""
    plan = """
plan = "fields"
effective_from = 2026-01-01
currency = "USD"
pay_period = "month"

[[component]]
id = "c"
kind = "percentage"
rate = "1%"
when = { Seats = ["EMEA"], Level = { at_least = 2 }, product = ["A"], quantity = { at_least = 0 } }
"""
    with company.db.write() as conn:
        if not conn.scalar(sa.text("SELECT count(*) FROM plans WHERE name = 'fields'")):
            company._publish(conn, "fields", plan, ())
        conn.execute(sa.text("DELETE FROM deals"))
        for number in range(data.draw(st.integers(0, 12))):
            seats, level = data.draw(VALUES), data.draw(VALUES)
            deal = conn.execute(
                sa.text(
                    """
                    INSERT INTO deals (source, external_id, name, owner_id, stage_id, amount, margin, currency,
                                       close_date, cancelled_on, product, quantity_micro, extra)
                    SELECT 'crm', :name, :name, :owner, id, :amount, :margin, :currency, CAST(:day AS date),
                           CAST(:cancelled AS date), :product, :quantity,
                           jsonb_build_object('Seats', :seats, 'Level', :level)
                      FROM pipeline_stages WHERE name = 'Closed Won' RETURNING id
                """.replace(":seats", "CAST(:seats AS text)").replace(":level", "CAST(:level AS text)")
                ),
                {
                    "name": f"D{data.draw(st.integers(0, 9))}{number}",
                    "owner": company.users[data.draw(st.sampled_from(["ana", "bo"]))],
                    "amount": data.draw(st.none() | st.integers(0, 10**6)),
                    "margin": data.draw(st.none() | st.integers(0, 10**6)),
                    "currency": data.draw(st.sampled_from(["USD", "EUR", "GBP"])),
                    "day": data.draw(st.dates(date(2025, 12, 1), date(2026, 4, 30))),
                    "cancelled": data.draw(st.none() | st.just(date(2026, 5, 1))),
                    "product": data.draw(st.sampled_from(["", "A", "B", "C"])),
                    "quantity": data.draw(st.none() | st.integers(0, 10**7)),
                    "seats": seats,
                    "level": level,
                },
            ).scalar_one()
            for who in data.draw(st.sampled_from([(), (), ("ana",), ("ana", "bo")])):
                conn.execute(
                    sa.text("INSERT INTO deal_credits VALUES (:d, :u, 500000)"), {"d": deal, "u": company.users[who]}
                )
    with company.db.read() as conn:
        everything = inputs.load(conn, parse_period("2026-04"))
        for name in ("2025-11", "2025-12", "2026-01", "2026-02", "2026-W09", "2026-Q1", "2026-04"):
            cut, alone = inputs.cut(everything, parse_period(name)), inputs.load(conn, parse_period(name))
            assert inputs.fingerprint(cut.book) == inputs.fingerprint(alone.book), name
            assert (cut.book, cut.shared) == (alone.book, alone.shared)
            assert cut.deal_ids.tolist() == alone.deal_ids.tolist()


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10**6))
def test_any_scopes_and_then_everyone_are_one_run_for_everyone(company: Company, pool: Pool, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    ada = company.actors["ada"]
    for _ in range(chance.randrange(1, 5)):
        owner, day = chance.choice(("ana", "bo")), f"2026-01-{chance.randrange(1, 29):02d}"
        company.deal(f"{seed}-{chance.random()}", owner, day, chance.randrange(90_000))
        people = chance.sample(("ana", "bo", "mia", "ada"), chance.randrange(0, 4))
        run = runs.run_period(company.db, pool, ada, JANUARY, scope=only(company, *people))
        for code in people:  # whoever is in scope is as a run for everyone would have it
            assert query(
                company, "SELECT 1 FROM run_digests WHERE run_id = :r AND user_id = :u", r=run, u=company.users[code]
            ) or (company.earned(code, JANUARY) == 0)
    before = runs.run_period(company.db, pool, ada, JANUARY, scope=only(company, "ana", "bo", "mia"))
    full = runs.run_period(company.db, pool, ada, JANUARY)
    assert stored(company, before) == stored(company, full)
    assert one_hash(company, before) == one_hash(company, full)

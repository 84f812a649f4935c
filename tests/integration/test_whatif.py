"""What-if on a real database with real workers: the official figures to the cent, and nothing of them touched."""

import json
from dataclasses import replace
from datetime import date

import pytest
import sqlalchemy as sa

from engine.analytics.remembered import Remembered
from engine.analytics.scenarios import Variant
from engine.calc.calculate import calculate
from engine.calc.model import PPM
from engine.calc.result import totals
from engine.calc.simulate import Days
from engine.errors import ProblemsError, QuotaPathError
from engine.periods import parse_period
from engine.plans.document import parse_plan
from engine.plans.numbers import PlanNumber
from engine.plans.reader import load_toml
from engine.services import plans, runs, whatif, whatif_reading, whatif_scenarios, whatif_search
from engine.services.access import Forbidden
from engine.services.whatif import Base, Price
from engine.services.whatif_search import QUOTAS, Desk
from engine.workers.pool import Pool
from tests.integration.paying import PLAN, Company

TODAY = date(2026, 3, 20)
RATE = "component[new-business].tiers[1].rate"


@pytest.fixture
def selling(company: Company) -> Company:
    """A quarter in which Ana is over her quota and Bo is not, and what is open for the next one."""
    company.deal("D1", "ana", "2026-01-20", 60_000)
    company.deal("D2", "ana", "2026-02-11", 70_000)
    company.deal("D3", "bo", "2026-03-02", 40_001)
    for number in range(12):
        company.deal(f"O{number}", "ana" if number % 2 else "bo", f"2026-05-{number + 1:02d}", 30_000, "Negotiation")
    return company


@pytest.fixture
def base(selling: Company) -> Base:
    return whatif.base(selling.db, selling.actors["ada"], TODAY)


def span(key: str = "year") -> whatif.Span:
    return next(each for each in whatif.spans(TODAY) if each.key == key)


def begun(base: Base, **changes: object) -> Variant:
    return replace(whatif.begin(base, "ae", TODAY), **changes)  # type: ignore[arg-type]


def priced(company: Company, pool: Pool, base: Base, variant: Variant, key: str = "year") -> Price:
    return whatif.price(company.db, pool, company.actors["ada"], base, variant, span(key))


# --- to the cent ----------------------------------------------------------------------------------------


def test_without_changes_it_is_what_the_runs_say(selling: Company, pool: Pool, base: Base) -> None:
    for period in ("2026-01", "2026-02", "2026-03"):
        runs.run_period(selling.db, pool, selling.actors["ada"], period)
    with selling.db.read() as conn:
        official: dict[str, int] = dict(
            conn.execute(
                sa.text("""
                    SELECT u.code, CAST(sum(earned + drawn) AS bigint) FROM run_people JOIN users u ON u.id = user_id
                      JOIN pay_periods p USING (run_id) GROUP BY u.code
                """)
            ).all()
        )
    found = priced(selling, pool, base, begun(base))
    assert {row.person: row.after for row in found.people.itertuples() if row.after} == official
    assert found.before == found.after
    assert found.after.total == totals(calculate(base.past.book)).total == 480_000 + 680_000 + 320_008 + 170_001
    assert (found.revenue, found.winners, found.losers) == (17_000_100, 0, 0)
    assert found.rate(found.after) == pytest.approx(0.0971, abs=1e-4)
    # Of a span that holds a month alone, that month.
    quarter = priced(selling, pool, base, begun(base), "quarter")
    assert quarter.after.total == 0


@pytest.mark.parametrize(
    ("changes", "quota_ppm", "people"),
    [
        ({RATE: "14%"}, PPM, {}),
        ({"component[new-business].tiers[1].from": "50%", RATE: "9.1234%"}, PPM, {}),
        ({"component[new-business].cap": {"amount": "1000.01"}}, PPM, {}),
        ({"component[new-business].gate": "90%"}, PPM, {}),
        ({"draw": {"kind": "non_recoverable", "amount": 3000}}, PPM, {}),
        ({}, 555_555, {}),
        ({}, PPM, {"bo": "", "fay": "manager"}),
        ({"component[new-business].tiers[1]": None}, 900_000, {"bo": "manager"}),
    ],
)
def test_a_changed_plan_costs_what_a_calculation_of_it_says(
    selling: Company, pool: Pool, base: Base, changes: dict[str, object], quota_ppm: int, people: dict[str, str]
) -> None:
    variant = begun(base, changes=changes, quota_ppm=quota_ppm, people=people)
    found = priced(selling, pool, base, variant)
    assert not found.problems, found.problems
    book = base.past.book
    then = whatif.applied(base, base.past, variant)
    after = replace(
        book,
        plans={**book.plans, **then.plans},
        quotas=then.quotas or book.quotas,
        assignments=then.assignments or book.assignments,
    )
    expected: dict[str, int] = {}
    for row in calculate(after).pay:
        if parse_period(row.period).start in range(*span().days):
            expected[row.person] = expected.get(row.person, 0) + row.paid
    assert found.after.by_person == expected
    assert found.difference == found.after.total - found.before.total == int(found.people["difference"].sum())


@pytest.mark.parametrize("component", ["", "new-business/"])
def test_one_persons_quota_by_hand(selling: Company, pool: Pool, base: Base, component: str) -> None:
    # Ana sold 130,000: with a quota of 90,000.01 another 9,999.99 are paid at 12% in place of 8%.
    found = priced(selling, pool, base, begun(base, quotas={f"ana/{component}2026-Q1": 9_000_001}))
    assert found.people[["person", "difference"]].to_numpy().tolist()[0] == ["ana", 40_000]
    assert (found.winners, found.losers) == (1, 0)
    # It stands as it is beside the factor of all, of which Bo is too far below his quota to feel anything.
    both = priced(selling, pool, base, begun(base, quotas={f"ana/{component}2026-Q1": 9_000_001}, quota_ppm=2_000_000))
    assert both.after == found.after


def test_a_persons_quotas_are_those_that_the_rules_look_for(selling: Company, base: Base) -> None:
    ada = selling.actors["ada"]
    with selling.db.write() as conn:
        conn.execute(
            sa.text("""
                INSERT INTO quotas (user_id, component, period, start_date, end_date, amount, currency)
                SELECT id, 'new-business', '2026-Q2', '2026-04-01', '2026-07-01', 7000000, 'USD' FROM users
                 WHERE code = 'ana'
            """)
        )
        conn.execute(sa.text("UPDATE company SET data_version = data_version + 1"))
    base = whatif.base(selling.db, ada, TODAY)
    coming = whatif.quarter(selling.db, ada, base, TODAY)
    variant = begun(base, quotas={"ana/2026-Q1": 1_234}, quota_ppm=1_100_000)
    plan = whatif_reading.read(selling.db, ada, base, variant).after
    assert plan is not None
    found = whatif_reading.quotas_of(coming, plan, variant, "ana", span())
    assert [(each.key, each.before, each.now) for each in found] == [
        ("ana/2026-Q1", 11_000_000, 1_234),
        ("ana/new-business/2026-Q2", 7_700_000, 7_700_000),
    ]


def test_each_change_in_words_and_without_it(base: Base) -> None:
    tier = "component[new-business].tiers[2]"
    variant = begun(
        base,
        changes={RATE: "14%", tier: {"from": "150%", "rate": "15%"}, f"{tier}.rate": "16%", "draw": {"amount": 5}},
        quota_ppm=900_000,
        quotas={"ana/2026-Q1": 5_000_050},
        people={"bo": "", "fay": "ae"},
    )
    found = whatif_reading.parts(base, variant)
    assert [each.words for each in found] == [
        "new-business: Tier 2: rate from 100%: 12% → 14%",
        "new-business: tier 3 added",
        "new-business: Tier 3: rate from 150%: none → 16%",
        "Draw added",
        "Quotas of everyone on the plan: -10%",
        "Ana's quota for Q1 2026: 50,000.50",
        "Bo: off the plan",
        "Fay: added to the plan",
    ]
    assert found[0].without == replace(variant, changes={k: v for k, v in variant.changes.items() if k != RATE})
    assert found[1].without.changes == {RATE: "14%", "draw": {"amount": 5}}, "nothing of it is left"
    assert found[5].without == replace(variant, quotas={})
    assert whatif_reading.parts(base, begun(base)) == ()


def test_the_accelerator_by_hand(selling: Company, pool: Pool, base: Base) -> None:
    found = priced(selling, pool, base, begun(base, changes={RATE: "14%"}))
    # Ana is 30,000 over her quota: 2% more of it.
    assert found.people[["person", "before", "after", "difference"]].to_numpy().tolist()[0] == [
        "ana", 1_160_000, 1_220_000, 60_000,
    ]  # fmt: skip
    assert (found.winners, found.losers) == (1, 0)


def test_problems_come_back_with_no_figures(selling: Company, pool: Pool, base: Base) -> None:
    wrong = priced(selling, pool, base, begun(base, changes={RATE: "140%"}))
    assert [problem.path for problem in wrong.problems] == ["component[0].tiers[1].rate"]
    assert wrong.after.total == 0
    missing = priced(selling, pool, base, begun(base, people={"fay": "ae"}))
    assert missing.problems == ()  # Fay sells nothing, and needs no quota
    filtered = {"component[new-business].when": {"region": "EMEA"}}
    assert "region" in str(priced(selling, pool, base, begun(base, changes=filtered)).problems[0])


def test_the_base_is_read_once_until_something_changes(selling: Company, base: Base) -> None:
    ada = selling.actors["ada"]
    assert whatif.base(selling.db, ada, TODAY) is base
    plans.new_draft(selling.db, ada, 1, date(2026, 4, 1))
    again = whatif.base(selling.db, ada, TODAY)
    assert again is not base
    assert [text.is_draft for text in again.texts if text.plan == "ae"] == [False, True]


# --- the next quarter -----------------------------------------------------------------------------------


def test_the_next_quarter_under_both_plans(selling: Company, pool: Pool, base: Base) -> None:
    ada = selling.actors["ada"]
    coming = whatif.quarter(selling.db, ada, base, TODAY)
    assert (coming.period.name, coming.open_deals, coming.borrowed) == ("2026-Q2", 12, 2)
    now = whatif.outlook(selling.db, pool, ada, base, coming, begun(base))
    assert now.before == now.after
    assert len(set(now.after)) > 3
    then = whatif.outlook(selling.db, pool, ada, base, coming, begun(base, changes={RATE: "20%"}))
    assert then.before == now.after
    # More above quota never costs less in any outcome, and outcomes that stay below it cost the same.
    assert all(after >= before for before, after in zip(then.before, then.after, strict=True))
    assert then.after != then.before
    low, middle, high = whatif.likely(then.after)
    assert low <= middle <= high
    assert then.rate_at(90) >= now.rate_at(90)
    # Each outcome is what the rules pay on the deals won in it, everyone together.
    changed = whatif.applied(base, coming.loaded, begun(base, changes={RATE: "20%"}))
    days = Days(coming.period.start, coming.period.end)
    whole = pool.simulate(coming.book, coming.chances, 500, 1, days, changed.plans)
    assert tuple(whole.totals) == then.after


# --- searches -------------------------------------------------------------------------------------------


def lever(company: Company, base: Base, path: str) -> tuple[Variant, PlanNumber]:
    variant = begun(base)
    reading = whatif_reading.read(company.db, company.actors["ada"], base, variant)
    return variant, next(each for each in whatif_search.levers(reading.numbers, variant) if each.path == path)


def test_goal_seek_meets_a_cost_and_a_rate(selling: Company, pool: Pool, base: Base) -> None:
    desk = Desk(selling.db, pool, selling.actors["ada"], base, span())
    variant, accelerator = lever(selling, base, RATE)
    told: list[tuple[int, int]] = []
    now = desk.figure(variant, "cost")
    found = whatif_search.goal_seek(
        desk, variant, accelerator, "cost", now + 45_000, lambda done, total: told.append((done, total))
    )
    # 45,000 cents more on 30,000 over quota are 1.5%: exact to a part per million.
    assert (found.value, found.result, found.reached, found.steady) == (135_000, now + 45_000, True, True)
    assert told[-1][0] == told[-1][1]
    assert all(done <= total for done, total in told)
    rate = whatif_search.goal_seek(desk, variant, accelerator, "rate", 100_000, lambda _done, _total: None)
    assert rate.reached
    assert abs(rate.result - 100_000) <= 1


def test_goal_seek_says_what_cannot_be_reached(selling: Company, pool: Pool, base: Base) -> None:
    desk = Desk(selling.db, pool, selling.actors["ada"], base, span())
    variant, accelerator = lever(selling, base, RATE)
    found = whatif_search.goal_seek(desk, variant, accelerator, "cost", 10**9, lambda _done, _total: None)
    assert not found.reached
    assert found.value == found.tried[-1][0] == 480_000  # four times as much as now is as far as is looked
    quotas = lever(selling, base, QUOTAS)[1]
    cheaper = whatif_search.goal_seek(desk, variant, quotas, "cost", 1_600_000, lambda _done, _total: None)
    assert cheaper.reached
    assert cheaper.value > PPM


def test_a_search_that_is_stopped_stops(selling: Company, pool: Pool, base: Base) -> None:
    desk = Desk(selling.db, pool, selling.actors["ada"], base, span())
    variant, accelerator = lever(selling, base, RATE)

    def stop(done: int, _total: int) -> None:
        if done == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        whatif_search.goal_seek(desk, variant, accelerator, "cost", 1_700_000, stop)


def test_goal_seek_at_a_percentile_of_the_next_quarter(selling: Company, pool: Pool, base: Base) -> None:
    ada = selling.actors["ada"]
    coming = whatif.quarter(selling.db, ada, base, TODAY)
    desk = Desk(selling.db, pool, ada, base, span(), coming)
    variant, first = lever(selling, base, "component[new-business].tiers[0].rate")
    now = desk.figure(variant, "cost")
    found = whatif_search.goal_seek(desk, variant, first, "cost", now // 2, lambda _done, _total: None)
    assert found.reached
    assert found.value < 80_000
    assert abs(found.result - now // 2) < now // 1000


def test_sensitivity_turns_each_number(selling: Company, pool: Pool, base: Base) -> None:
    ada = selling.actors["ada"]
    desk = Desk(selling.db, pool, ada, base, span())
    variant = begun(base)
    reading = whatif_reading.read(selling.db, ada, base, variant)
    found = whatif_search.sensitivity(desk, variant, reading.numbers, "step", "cost", lambda _done, _total: None)
    rows = {row.path: (row.amount, row.down, row.up) for row in found.itertuples()}
    # A tenth of a percent of 30,000 above quota, and of the 140,001 below it.
    assert rows[RATE] == ("0.1%", -3_000, 3_000)
    assert rows["component[new-business].tiers[0].rate"][2] == 14_000
    assert found["swing"].is_monotonic_decreasing
    assert set(rows) == {number.path for number in reading.numbers} | {QUOTAS}
    variants = {str(rate): begun(base, changes={RATE: f"{rate}%"}) for rate in range(1, 101)}
    swept = whatif_search.sweep(desk, {**variants}, "cost", lambda _done, _total: None)
    costs = [swept[str(rate)] for rate in range(1, 101)]
    assert costs == sorted(costs, key=lambda cost: cost or 0)
    assert len(set(costs)) == 100
    with pytest.raises(QuotaPathError, match="at most 100"):
        whatif_search.sweep(desk, {**variants, "more": variant}, "cost", lambda _done, _total: None)


# --- what is kept ---------------------------------------------------------------------------------------


def official(company: Company) -> list[object]:
    """Everything that people are paid by, and what they were."""
    tables = ("runs", "lines", "ledger", "quotas", "plan_assignments", "run_people", "payouts", "deals")
    with company.db.read() as conn:
        hashes: list[object] = [
            conn.scalar(
                sa.text(f"SELECT md5(string_agg(CAST(t AS text), '|' ORDER BY CAST(t AS text))) FROM {table} t")
            )
            for table in tables
        ]
        published = conn.scalar(
            sa.text("SELECT md5(string_agg(document, '|' ORDER BY id)) FROM plan_versions WHERE status = 'published'")
        )
    return [*hashes, published]


def test_nothing_official_is_touched(selling: Company, pool: Pool) -> None:
    ada = selling.actors["ada"]
    runs.run_period(selling.db, pool, ada, "2026-01")
    before = official(selling)
    base = whatif.base(selling.db, ada, TODAY)
    variant = begun(base, changes={RATE: "14%"}, quota_ppm=1_100_000, people={"bo": ""})
    priced(selling, pool, base, variant)
    coming = whatif.quarter(selling.db, ada, base, TODAY)
    whatif.outlook(selling.db, pool, ada, base, coming, variant)
    number = whatif_scenarios.save_scenario(selling.db, ada, "Steeper", "", variant, "year")
    whatif_scenarios.draft_of(selling.db, ada, variant, date(2026, 4, 1))
    whatif_scenarios.delete_scenario(selling.db, ada, number)
    assert official(selling) == before


def test_a_variant_is_kept_found_renamed_and_deleted(selling: Company, base: Base) -> None:
    ada, fay, db = selling.actors["ada"], selling.actors["fay"], selling.db
    variant = begun(base, changes={RATE: "14%"}, quota_ppm=1_050_000, people={"bo": ""}, quotas={"ana/2026-Q1": 5})
    number = whatif_scenarios.save_scenario(db, fay, "  Steeper   one ", " For 2027 ", variant, "12m")
    kept = whatif_scenarios.open_scenario(db, ada, number)
    assert (kept.variant, kept.scenario.name, kept.scenario.notes) == (variant, "Steeper one", "For 2027")
    assert (kept.scenario.owner, kept.scenario.span, kept.may_change) == ("Fay", "12m", True)
    whatif_scenarios.save_scenario(db, fay, "Steeper", "", replace(variant, people={}), "year", number)
    whatif_scenarios.rename_scenario(db, ada, number, "Steepest", "n")
    other = whatif_scenarios.save_scenario(db, ada, "Ada's", "", variant, "12m")
    assert [each.name for each in whatif_scenarios.list_scenarios(db, fay)] == ["Ada's", "Steepest"]
    assert not whatif_scenarios.open_scenario(db, fay, other).may_change
    for refused in (
        lambda: whatif_scenarios.save_scenario(db, fay, "x", "", variant, "12m", other),
        lambda: whatif_scenarios.rename_scenario(db, fay, other, "x", ""),
        lambda: whatif_scenarios.delete_scenario(db, fay, other),
    ):
        with pytest.raises(Forbidden, match="Ada keeps this variant"):
            refused()
    whatif_scenarios.delete_scenario(db, fay, number)
    with pytest.raises(QuotaPathError, match="may have been deleted"):
        whatif_scenarios.open_scenario(db, ada, number)
    with db.read() as conn:
        did = conn.scalars(sa.text("SELECT detail ->> 'did' FROM audit WHERE action = 'whatif.save' ORDER BY id")).all()
    assert did == ["saved", "saved", "renamed", "saved", "deleted"]


def test_keeping_a_variant_leaves_the_books_alone(selling: Company, base: Base) -> None:
    ada, db = selling.actors["ada"], selling.db
    number = whatif_scenarios.save_scenario(db, ada, "Steeper", "", begun(base), "12m")
    whatif_scenarios.rename_scenario(db, ada, number, "Steepest", "")
    whatif_scenarios.delete_scenario(db, ada, number)
    assert whatif.base(db, ada, TODAY) is base


def test_what_cannot_be_kept_is_told(selling: Company, base: Base) -> None:
    ada, db = selling.actors["ada"], selling.db
    for name, notes in ((" ", ""), ("x" * 201, ""), ("x", "n" * 4001)):
        with pytest.raises(ProblemsError):
            whatif_scenarios.save_scenario(db, ada, name, notes, begun(base), "12m")
    with pytest.raises(QuotaPathError, match="no longer there"):
        whatif_scenarios.save_scenario(db, ada, "x", "", Variant("gone", 1), "12m")


def test_reps_and_managers_may_not(selling: Company, pool: Pool, base: Base) -> None:
    for code in ("ana", "mia"):
        actor = selling.actors[code]
        with pytest.raises(Forbidden):
            whatif.base(selling.db, actor, TODAY)
        with pytest.raises(Forbidden):
            whatif.price(selling.db, pool, actor, base, begun(base), span())
        with pytest.raises(Forbidden):
            whatif_scenarios.list_scenarios(selling.db, actor)
        with pytest.raises(Forbidden):
            whatif_scenarios.save_scenario(selling.db, actor, "x", "", begun(base), "12m")
    with pytest.raises(Forbidden):
        whatif_scenarios.draft_of(selling.db, selling.actors["fay"], begun(base), date(2026, 4, 1))


# --- a draft of a variant -------------------------------------------------------------------------------


def test_a_draft_of_a_variant_says_what_changes_and_goes_the_usual_way(
    selling: Company, pool: Pool, base: Base
) -> None:
    ada, db = selling.actors["ada"], selling.db
    variant = begun(
        base, changes={RATE: "14%", "component[new-business].cap": {"amount": "12000.50"}}, people={"bo": ""}
    )
    reading = whatif_reading.read(db, ada, base, variant)
    assert [str(change) for change in reading.changes] == [
        "new-business: cap: none -> 12,000.50 a quarter",
        "new-business: accelerator above 100% of quota: 12% -> 14%",
    ]
    assert reading.steps == ("On the Plans page, take Bo off ae.",)
    written = whatif_scenarios.draft_of(db, ada, variant, date(2026, 4, 1))
    detail = plans.plan_detail(db, ada, 1, TODAY)
    assert detail.draft is not None
    assert detail.draft.document == written
    assert parse_plan(written).components[0] == reading.after.components[0]  # type: ignore[union-attr]
    plans.publish_plan(db, ada, 1, written)
    # From then on the variant of the old version can still be looked at, and be drafted anew.
    again = whatif.base(db, ada, TODAY)
    assert not priced(selling, pool, again, variant).problems
    with pytest.raises(ProblemsError, match="not after the last version"):
        whatif_scenarios.draft_of(db, ada, variant, date(2026, 4, 1))


def test_a_variant_of_the_draft_is_written_into_it(
    selling: Company, pool: Pool, base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, db = selling.actors["ada"], selling.db
    plans.new_draft(db, ada, 1, date(2027, 1, 1))
    now = whatif.base(db, ada, TODAY)
    draft = next(text for text in now.texts if text.is_draft)
    own = begun(base, changes={RATE: "14%"})
    with pytest.raises(QuotaPathError, match="has a draft already"):
        whatif_scenarios.draft_of(db, ada, own, date(2027, 1, 1))
    variant = Variant("ae", draft.version_id, {RATE: "16%"}, throughout=True)
    assert priced(selling, pool, now, variant).difference == 120_000  # 4% of 30,000
    assert priced(selling, pool, now, replace(variant, throughout=False)).difference == 0
    # A draft of a day that has passed changes what is paid from then on; what is official stays so.
    plans.save_draft(db, ada, 1, draft.document.replace("2027-01-01", "2026-02-01"), draft.document)
    past = whatif.base(db, ada, TODAY)
    earlier = Variant("ae", draft.version_id, {RATE: "16%"})
    monkeypatch.setattr(whatif, "_prices", Remembered(100))  # the draft is asked about first
    found = priced(selling, pool, past, earlier)
    assert found.difference == 120_000
    assert found.before == priced(selling, pool, past, begun(past)).after
    plans.save_draft(db, ada, 1, draft.document, draft.document.replace("2027-01-01", "2026-02-01"))
    written = load_toml(whatif_scenarios.draft_of(db, ada, variant, date(2030, 1, 1)))
    assert written["effective_from"] == date(2027, 1, 1)
    assert written["component"][0]["tiers"][1]["rate"] == "16%"
    assert json.loads(variant.to_json())["changes"] == {RATE: "16%"}


def test_the_plan_of_the_tests_is_the_one_that_is_changed() -> None:
    assert parse_plan(PLAN).components[0].id == "new-business"

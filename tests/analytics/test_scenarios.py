"""Variants as data, and the searches over them; no database."""

from array import array
from dataclasses import replace

import numpy as np
import pytest

from engine.analytics import scenario_books, scenarios
from engine.analytics.scenario_search import seek, valid_range
from engine.analytics.scenarios import PlanText, Variant, changed, variant_of
from engine.calc.book import INT64, book_from_rows
from engine.calc.calculate import calculate
from engine.calc.model import MICRO, PPM, Assignment, Deal, ExchangeRate, QuotaRow
from engine.calc.result import totals
from engine.calc.simulate import Days, Outcomes
from engine.errors import ProblemsError
from engine.plans.document import parse_plan

DAY = 739_617  # 2026-01-01
AE = """
plan = "ae"
effective_from = 2026-01-01
currency = "USD"
pay_period = "month"
[[component]]
id = "nb"
kind = "quota"
quota_period = "quarter"
quota = 1000
tiers = [{ from = "0%", rate = "8%" }, { from = "100%", rate = "12%" }]
"""
FLAT = """
plan = "flat"
effective_from = 2026-02-01
currency = "USD"
pay_period = "month"
[[component]]
id = "each"
kind = "flat"
amount = 7
"""
TEXTS: tuple[PlanText, ...] = (
    PlanText(1, "ae", AE, DAY),
    PlanText(2, "flat", FLAT, DAY + 31),
    PlanText(3, "ae", AE.replace("12%", "20%").replace("2026-01-01", "2027-01-01"), None),
)


def book():
    deals = [
        Deal(f"D{i}", DAY + 9 * i, (("ana" if i % 2 else "bo", PPM),), amount=40_000, owner="ana") for i in range(9)
    ]
    plans = {"ae": (parse_plan(AE),), "flat": (parse_plan(FLAT),)}
    people = [
        Assignment("ana", "ae", start=DAY),
        Assignment("bo", "ae", start=DAY),
        Assignment("cy", None),
    ]
    return book_from_rows(plans, people, deals, [QuotaRow("ana", None, "2026-Q1", 1200 * MICRO)])


def earned(variant):
    then = changed(book(), TEXTS, variant, "USD")
    assert not then.problems, then.problems
    found = book()
    after = replace(
        found,
        plans={**found.plans, **then.plans},
        quotas=found.quotas if then.quotas is None else then.quotas,
        assignments=found.assignments if then.assignments is None else then.assignments,
    )
    result = totals(calculate(after))
    assert not result.problems, result.problems
    return dict(result.by_person)


def test_a_variant_is_its_canonical_text() -> None:
    variant = Variant("ae", 1, {"b": 1, "a": "8%"}, True, 1_100_000, {"ana/2026-Q1": 5}, {"bo": ""})
    assert variant_of(variant.to_json()) == variant
    assert Variant("ae", 1, {"a": "8%", "b": 1}).to_json() == Variant("ae", 1, {"b": 1, "a": "8%"}).to_json()
    assert Variant("ae", 1).is_plain
    assert not variant.is_plain


@pytest.mark.parametrize(
    ("table", "paths"),
    [
        ({}, ["plan", "version_id"]),
        ({"plan": 1, "version_id": True}, ["plan", "version_id"]),
        ({"plan": "ae", "version_id": 1, "quota_ppm": 0}, ["quota_ppm"]),
        ({"plan": "ae", "version_id": 1, "changes": [], "more": 1}, ["more", "changes"]),
        ({"plan": "ae", "version_id": 1, "changes": {str(i): 1 for i in range(501)}}, ["changes"]),
        ([], [""]),
    ],
)
def test_what_is_no_variant_is_told(table, paths) -> None:
    with pytest.raises(ProblemsError) as refused:
        variant_of(table if isinstance(table, dict) else "[]")
    assert [problem.path for problem in refused.value.problems] == paths


def test_no_change_replaces_nothing() -> None:
    then = changed(book(), TEXTS, Variant("ae", 1), "USD")
    assert (then.plans, then.quotas, then.assignments, then.problems) == ({}, None, None, ())
    # ana: 4 x 400 on a quota of 1,200; bo: 5 x 400 on 1,000.
    assert earned(Variant("ae", 1)) == {"ana": 9_600 + 4_800, "bo": 8_000 + 12_000}


def test_a_rate_a_quota_and_people() -> None:
    rate = {"component[nb].tiers[1].rate": "14%"}
    assert earned(Variant("ae", 1, rate)) == {"ana": 9_600 + 5_600, "bo": 8_000 + 14_000}
    # Half the quotas: 600 and 500 at 8%, the rest at 12%.
    assert earned(Variant("ae", 1, quota_ppm=500_000)) == {"ana": 4_800 + 12_000, "bo": 4_000 + 18_000}
    assert earned(Variant("ae", 1, quotas={"bo/2026-Q1": 200_000})) == {"ana": 14_400, "bo": 16_000}
    # bo on the flat plan from its first day, 1 February: D4, D6 and D8.
    assert earned(Variant("ae", 1, people={"bo": "flat"})) == {"ana": 14_400, "bo": 2_100}
    assert earned(Variant("ae", 1, people={"bo": ""})) == {"ana": 14_400}


def test_the_draft_on_its_own_days_and_all_the_time() -> None:
    assert earned(Variant("ae", 3)) == earned(Variant("ae", 1))  # its days are all to come
    assert earned(Variant("ae", 3, throughout=True)) == {"ana": 9_600 + 8_000, "bo": 8_000 + 20_000}


@pytest.mark.parametrize(
    ("variant", "path"),
    [
        (Variant("ae", 9), ""),
        (Variant("flat", 1), ""),
        (Variant("ae", 1, {"component[gone].rate": "1%"}), ""),
        (Variant("ae", 1, {"component[nb].tiers[1].rate": "140%"}), "component[0].tiers[1].rate"),
        (Variant("ae", 1, {"component[nb].tiers[1].from": "0%"}), "component[0].tiers[1].from"),
        (Variant("ae", 1, {"pay_period": "week"}, throughout=False), "component[0].quota_period"),
        (Variant("ae", 1, people={"zoe": "ae"}), "people"),
        (Variant("ae", 1, people={"bo": "gone"}), "people"),
        (Variant("ae", 1, quotas={"bo/2026-Q9": 1}), "quotas"),
    ],
)
def test_problems_are_those_of_the_plan_language(variant, path) -> None:
    texts = TEXTS
    if "pay_period" in variant.changes:
        texts = (
            *TEXTS,
            PlanText(4, "ae", AE.replace("2026-01-01", "2025-01-01").replace("quarter", "month"), DAY - 365),
        )
    problems = changed(book(), texts, variant, "USD").problems
    assert path in [problem.path for problem in problems]


def test_cost_counts_the_span_and_converts() -> None:
    found = book()
    paid = totals(calculate(found))
    all_days = scenarios.cost(paid, found, Days(), "USD", {})
    assert all_days.total == sum(paid.paid.values())
    january = scenarios.cost(paid, found, Days(DAY, DAY + 31), "USD", {})
    assert january.total == sum(cents for (_, period), cents in paid.paid.items() if period == "2026-01")
    rates = (ExchangeRate("EUR", "USD", DAY, 1_100_000), ExchangeRate("EUR", "USD", DAY + 5, 1_200_000))
    euros = scenarios.cost(paid, replace(found, rates=rates), Days(), "USD", {"bo": "EUR", "ana": "CHF"})
    assert euros.by_person == {"bo": 20_000 * 12 // 10}
    assert euros.left_out == ("ana",)


def test_simulated_revenue_is_of_the_draws_of_the_rules() -> None:
    found = book()
    chances = array(INT64, [PPM, 0, 300_000, 500_000, 900_000, PPM, 1, 999_999, 640_000])
    inside = np.array([True] * 8 + [False])
    expected = [0] * scenario_books.ROUNDS
    outcomes = Outcomes(chances, scenario_books.SEED, scenario_books.ROUNDS)
    for row in range(8):
        outcomes.add(row, 40_000, expected)
    assert scenario_books.revenue(found, chances, inside, "USD").tolist() == expected


# --- searches -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slope", [3, -3])
def test_seek_finds_the_value_next_to_the_goal(slope) -> None:
    found = seek(lambda value: 1_000_000 + slope * value, 0, 1_000_000, 1_000_000 + slope * 123_456, 5)
    assert (found.value, found.reached, found.steady) == (123_456, True, True)
    assert len(found.tried) < 35
    assert seek(lambda value: value // 100, 0, 10_000, 50, 80).result == 50


def test_seek_says_when_it_cannot_be_reached() -> None:
    found = seek(lambda value: 100 + value, 0, 50, 500, 20)
    assert (found.value, found.result, found.reached) == (50, 150, False)


def test_seek_on_a_curve_that_turns_takes_the_nearest_and_says_so() -> None:
    found = seek(lambda value: -((value - 500) ** 2), 0, 1000, -40_000, 650)
    assert (found.value, found.reached, found.steady) == (700, True, False)


def test_what_a_search_is_told_stops_it() -> None:
    def stop(_: int) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        seek(stop, 0, 10, 5, 3)


def test_the_valid_range_ends_where_the_plan_refuses() -> None:
    assert valid_range(lambda value: 17 < value < 4321, 0, 100, 10_000) == (18, 4320)
    assert valid_range(lambda value: value >= 0, 0, 100, 10_000) == (0, 10_000)

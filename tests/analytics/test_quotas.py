"""The figures of quotas and the fiscal year, without a database."""

import doctest
from datetime import date, timedelta
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from engine.analytics import fiscal, quotas
from engine.analytics.quotas import Stay, TeamNode
from engine.money import PPM
from engine.periods import parse_period


@pytest.mark.parametrize("module", [fiscal, quotas])
def test_examples_of_the_docstrings(module):
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


# ---------------------------------------------------------------- the fiscal year
@pytest.mark.parametrize(
    ("first_month", "day", "year", "part"),
    [
        (1, date(2026, 1, 1), 2026, 1),
        (1, date(2026, 12, 31), 2026, 4),
        (2, date(2026, 1, 31), 2026, 4),
        (2, date(2026, 2, 1), 2027, 1),
        (10, date(2025, 9, 30), 2025, 4),
        (10, date(2025, 10, 1), 2026, 1),
    ],
)
def test_a_day_is_in_the_fiscal_year_that_is_called_by_its_end(first_month, day, year, part):
    assert fiscal.year_of(day, first_month) == year
    assert fiscal.part_of(day, first_month) == part
    first, end = fiscal.bounds(year, first_month, part)
    assert first <= day < end


@pytest.mark.parametrize("first_month", range(1, 13))
@pytest.mark.parametrize("kind", fiscal.KINDS)
def test_years_share_out_the_calendar(kind, first_month):
    """Each period is in one fiscal year: the years' periods, one after the other, are the calendar's."""
    found = [name for year in range(2020, 2030) for name in fiscal.periods_of_year(kind, year, first_month)]
    period, expected = parse_period(found[0]), []
    for _ in found:
        expected.append(period.name)
        period = period.next()
    assert found == expected
    counts = {len(fiscal.periods_of_year(kind, year, first_month)) for year in range(2020, 2030)}
    assert counts == {"week": {52, 53}, "month": {12}, "quarter": {4}, "year": {1}}[kind]


@pytest.mark.parametrize("first_month", [1, 2, 10])
def test_the_parts_of_a_year_hold_all_its_weeks(first_month):
    parts = [fiscal.periods_of_year("week", 2026, first_month, part) for part in fiscal.PARTS]
    assert sum(parts, ()) == fiscal.periods_of_year("week", 2026, first_month)


def test_titles():
    assert fiscal.year_title(2026, 1) == "2026"
    assert fiscal.year_title(2026, 10) == "FY 2026: Oct 2025 – Sep 2026"
    assert fiscal.part_title(2027, 2, 4) == "Nov 2026 – Jan 2027"
    assert [fiscal.quarters_line_up(month) for month in (1, 2, 3, 4, 7, 10)] == [True, False, False, True, True, True]


# ---------------------------------------------------------------- figures
@settings(deadline=None)  # a busy machine is no fault of the rule
@given(some.integers(0, 10**14), some.lists(some.integers(0, 10**9), min_size=1, max_size=60))
def test_parts_are_the_whole_and_each_is_next_to_its_exact_share(total, weights):
    parts = quotas.share_out(total, weights)
    whole = sum(weights)
    assert sum(parts) == (total if whole else 0)
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - Fraction(total * weight, whole or 1)) < 1


RAMPS = [  # full, per, steps in %, start, periods, expected
    (120_000_00, "year", (0, 25, 50, 75, 100), "2026-01", "month", (0, 2_500_00, 5_000_00, 7_500_00, *[10_000_00] * 8)),
    (30_000_00, "quarter", (50,), "2026-03", "quarter", (5_000_00, 30_000_00, 30_000_00, 30_000_00)),
    (10_000_00, "month", (0, 50), "2026-05", "quarter", (0, 5_000_00, 30_000_00, 30_000_00)),
    (100_00, "year", (100,), "2026-01", "quarter", (25_00, 25_00, 25_00, 25_00)),
    (1_00, "quarter", (100,), "2026-01", "month", (34, 34, 34, 34, *[33] * 8)),  # 400 cents in all, none lost
]


@pytest.mark.parametrize(("full", "per", "steps", "start", "kind", "expected"), RAMPS)
def test_ramps(full, per, steps, start, kind, expected):
    periods = [parse_period(name) for name in fiscal.periods_of_year(kind, 2026)]
    found = quotas.ramped(full, per, [step * PPM // 100 for step in steps], parse_period(start), periods)
    assert tuple(found) == expected


@pytest.mark.parametrize(
    ("amount", "percent", "unit", "expected"),
    [
        (100_000_00, "5", 1, 105_000_00),
        (33_33, "10", 1, 36_66),
        (33_33, "10", 100, 37_00),
        (10, "5", 1, 11),  # 10.5 is a half: up
        (10, "-5", 1, 10),  # 9.5 is a half: up
        (1_00, "-99.9", 100, 0),
    ],
)
def test_growth_is_exact_and_half_up(amount, percent, unit, expected):
    assert quotas.grown(amount, int(Fraction(percent) * 10_000), unit) == expected


@settings(deadline=None)  # a busy machine is no fault of the rule
@given(some.integers(1, 10**13), some.integers(-PPM + 1, 10 * PPM), some.sampled_from([1, 100]))
def test_growth_agrees_with_fractions(amount, growth, unit):
    exact = amount * (1 + Fraction(growth, PPM)) / unit
    assert quotas.grown(amount, growth, unit) == int(exact + Fraction(1, 2)) * unit


# ---------------------------------------------------------------- parts of periods
@pytest.mark.parametrize(
    ("start", "end", "prorate", "on", "of"),
    [
        (date(2026, 2, 15), None, "days", 45, 90),
        (date(2026, 2, 15), None, "months", 2, 3),
        (date(2026, 2, 15), None, "none", 1, 1),
        (date(2025, 1, 1), date(2026, 1, 31), "days", 30, 90),
        (date(2025, 1, 1), None, "days", 1, 1),
    ],
)
def test_the_part_of_a_period_is_the_one_of_the_pay_rules(start, end, prorate, on, of):
    found = quotas.parts([Stay(7, "p", start, end, prorate)], parse_period("2026-Q1"))
    assert [(part.user_id, part.on, part.of) for part in found] == [(7, on, of)]


def test_a_change_of_plan_gives_two_parts_and_another_period_none():
    change = date(2026, 2, 1)
    stays = [Stay(7, "a", date(2026, 1, 1), change, "days"), Stay(7, "b", change, None, "days")]
    found = quotas.parts(stays, parse_period("2026-Q1"))
    assert {part.plan: part.on for part in found} == {"a": 31, "b": 59}
    assert quotas.parts(stays[:1], parse_period("2026-Q2")) == []
    assert [part.of_quota(90_000_00) for part in found] == [31_000_00, 59_000_00]


# ---------------------------------------------------------------- teams
TREE = [
    TeamNode(1, "Sales", None, 10, ()),
    TeamNode(2, "West", 1, 20, (21, 22)),
    TeamNode(3, "East", 1, 30, (30, 31)),  # the leader is a member of the team, too
    TeamNode(4, "Lone", 99, None, (41,)),  # part of a team that is gone on that day
]


def test_roll_up():
    found = quotas.roll_up(TREE, {10: 500, 20: 100, 21: 70, 22: 50, 30: 90, 31: 90}, {21, 22, 31, 41})
    rows = {team.name: (team.depth, team.people, team.without, team.leader) for team in found}
    over = {team.name: team.over for team in found}
    assert [team.name for team in found] == ["Lone", "Sales", "East", "West"]
    assert rows["West"] == (1, 120, 0, 100)
    assert rows["East"] == (1, 90, 0, 90)
    assert rows["Sales"] == (0, 210, 0, 500)
    assert rows["Lone"] == (0, 0, 1, None)
    assert over == {"West": pytest.approx(0.2), "East": 0, "Sales": pytest.approx(-0.58), "Lone": None}


def test_fifty_three_weeks():
    weeks = fiscal.periods_of_year("week", 2026)
    assert (len(weeks), weeks[-1]) == (53, "2026-W53")
    assert parse_period(weeks[0]).first_day == date(2026, 1, 1) - timedelta(days=3)

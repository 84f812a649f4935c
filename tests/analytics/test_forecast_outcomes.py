"""Outcomes: the draws of NumPy are those of the rules, and simulated pay is spread as counting every case says."""

import itertools
from array import array
from datetime import date
from fractions import Fraction

import numpy as np
import pytest

from engine.analytics.forecast_outcomes import cut_for, draw, sums
from engine.calc.calculate import Desk, calculate
from engine.calc.model import Cap
from engine.calc.simulate import Days, Outcomes, simulate
from tests.unit.calc.making import deal, plan, quota_component
from tests.unit.calc.test_simulate import book_of, without_lost

PPM = 1_000_000


def test_numpy_draws_what_the_rules_draw():
    likely = [PPM, 0, 1, 250_000, 999_999, 500_000]
    rows = np.array([0, 3, 4, 9, 12, 13], dtype=np.int64)
    chances = array("q", [0] * 14)
    for row, chance in zip(rows, likely, strict=True):
        chances[row] = chance
    won = draw(rows, np.array(likely, dtype=np.int64), 2026, 700)
    expected = [[happened[row] for row in rows] for happened in Outcomes(chances, 2026, 700).each()]
    assert won.astype(int).tolist() == expected
    assert sums(won, np.array([3, 5]), np.array([100, 7])).tolist() == [100 * row[3] + 7 * row[5] for row in expected]
    assert sums(won, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)).tolist() == [0] * 700


def test_simulated_pay_is_spread_as_counting_every_case_says():
    """Three open deals, eight cases, an accelerator between them: each case as often as its probability."""
    closed = [deal("A", "2026-01-05", 25_000, "ana"), deal("B", "2026-02-05", 9_000, "ana")]
    still_open = {"C": 6_000, "D": 11_000, "E": 20_000}
    deals = [*closed, *(deal(name, "2026-03-10", dollars, "ana") for name, dollars in still_open.items())]
    book = book_of(quota_component([(0, 8), (100, 12)]), deals=deals)
    likely = [PPM, PPM, 300_000, 700_000, 450_000]
    exact: dict[int, Fraction] = {}
    for case in itertools.product((0, 1), repeat=3):
        probability = Fraction(1)
        for happened, chance in zip(case, likely[2:], strict=True):
            probability *= Fraction(chance if happened else PPM - chance, PPM)
        pay = calculate(without_lost(book, [1, 1, *case])).total
        exact[pay] = exact.get(pay, Fraction(0)) + probability
    rounds = 40_000
    found = simulate(Desk(book), range(len(book.people)), Outcomes(array("q", likely), 5, rounds), Days())
    seen = {pay: found.totals.count(pay) for pay in set(found.totals)}
    assert set(seen) == set(exact)
    for pay, probability in exact.items():
        share = float(probability)
        assert abs(seen[pay] / rounds - share) < 4 * (share * (1 - share) / rounds) ** 0.5


@pytest.mark.parametrize(
    ("components", "expected"),
    [
        ([quota_component([(0, 8)])], date(2026, 10, 1)),
        ([quota_component([(0, 8)], period="year")], date(2026, 1, 1)),
        ([quota_component([(0, 8)], cap=Cap(100, "forfeit"))], date(2026, 10, 1)),
        ([quota_component([(0, 8)], cap=Cap(100, "carry"))], None),
    ],
)
def test_only_deals_that_still_decide_pay_are_simulated(components, expected):
    assert cut_for({"ae": (plan(*components),)}, date(2026, 10, 1)) == expected

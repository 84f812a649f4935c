"""Models of a history: a season is found where one was planted, and none in noise; errors, and who wins."""

import doctest
from datetime import date

import numpy as np
import pandas as pd
import pytest

from engine.analytics import forecast, forecast_models
from engine.analytics.forecast import Quarter, quarter_of, quarters_before, quarters_from, weighted
from engine.analytics.forecast_models import Chosen, choose, paths, rolling, score
from engine.services import forecast_report

YEAR = 1 + 0.4 * np.sin(np.arange(12) * np.pi / 6)
QUARTER = np.array([0.8, 0.9, 1.3])


def months(count, season=(1.0,), seed=1, noise=0.12):
    chance = np.random.default_rng(seed)
    return (1e6 * np.resize(season, count) * (1 + noise * chance.standard_normal(count))).tolist()


def chosen_of(values) -> Chosen:
    found = choose(values)
    assert found is not None
    return found


@pytest.mark.parametrize("module", [forecast, forecast_models])
def test_examples_of_the_docstrings(module):
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


@pytest.mark.parametrize(("count", "season", "length"), [(48, YEAR, 12), (20, QUARTER, 3), (20, YEAR, 0)])
def test_a_planted_season_is_found_once_it_was_seen_twice(count, season, length):
    chosen = chosen_of(months(count, season))
    assert chosen.season == length
    assert chosen.months == count


@pytest.mark.parametrize("seed", range(4))
def test_no_season_is_found_in_noise(seed):
    assert chosen_of(months(30, seed=seed)).season == 0


@pytest.mark.parametrize("values", [[], [5.0] * 30, months(9)])
def test_a_history_that_is_too_short_or_never_changes_has_no_model(values):
    assert choose(values) is None


def test_paths_come_back_by_seed_go_on_from_the_end_and_are_never_below_nothing():
    values = months(20, QUARTER)
    chosen = chosen_of(values)
    found = paths(values, chosen, 6, 400, seed=7)
    assert found.shape == (400, 6)
    assert (found == paths(values, chosen, 6, 400, seed=7)).all()
    assert (found != paths(values, chosen, 6, 400, seed=8)).any()
    sparse = [0.0, 0.0, 5.0, 0.0, 8.0, 0.0, 0.0, 3.0, 0.0, 4.0]
    assert (paths(sparse, chosen_of(sparse), 3, 50, seed=1) >= 0).all()
    # 20 months end with the second of a quarter: next is a strong one.
    middle = np.median(found, axis=0)
    assert middle[0] > 1.2 * middle[1]
    assert middle[3] > 1.2 * middle[4]


def test_each_quarter_is_forecast_from_the_months_before_it():
    values = months(18)
    changed = [*values[:-3], 0.0, 0.0, 0.0]
    first, last = rolling(values, 2)
    assert [each.model for each in rolling(changed, 2)] == [first.model, last.model]
    assert last.actual == sum(values[-3:])
    assert last.naive == sum(values[-6:-3])
    assert last.seasonal_naive == sum(values[-15:-12])
    assert (rolling(values[:9], 1)[0].model, first.chosen != "") == (None, True)  # six months are too few


@pytest.mark.parametrize(
    ("rows", "wape", "naive", "yearly", "winner"),
    [
        ([], None, None, None, ""),
        ([(100, 90, None, None)], None, None, None, ""),
        ([(100, 90, 50, None)], 0.1, 0.5, None, ""),
        ([(100, 90, 99, None)], 0.1, 0.01, None, "naive"),
        ([(100, 90, 50, 95)], 0.1, 0.5, 0.05, "seasonal_naive"),
        ([(100, 90, None, 95), (100, 80, 70, 60)], 0.2, 0.3, 0.4, ""),  # only what both knew
        ([(0, 5, 5, 5)], None, None, None, ""),
    ],
)
def test_scores_are_of_the_same_quarters(rows, wape, naive, yearly, winner):
    found = score("model", rows)
    assert (found.wape, found.naive, found.seasonal_naive) == (wape, naive, yearly)
    assert found.winner == winner


def test_fiscal_quarters():
    assert quarter_of(date(2026, 11, 24), 2) == Quarter("2027-Q4", "Q4 FY 2027", date(2026, 11, 1), date(2027, 2, 1))
    first = quarter_of(date(2026, 11, 24), 1)
    assert [each.name for each in quarters_from(first, 3, 1)] == ["2026-Q4", "2027-Q1", "2027-Q2"]
    assert [each.name for each in quarters_before(first, 5, 1)][::4] == ["2025-Q3", "2026-Q3"]


def test_the_weighted_pipeline_by_hand():
    rates = pd.DataFrame([(1, 250_000, 40), (2, 600_000, 100)], columns=["stage_id", "rate", "wait"])
    day = date(2026, 1, 1)
    rows = [
        (1, date(2026, 1, 1), 1_000),
        (2, date(2026, 3, 1), 500),
        (1, date(2026, 4, 1), 200),
        (1, None, 80),
        (2, None, 10),
    ]
    pipeline = pd.DataFrame([(day, *row) for row in rows], columns=["day", "stage_id", "month", "amount"])
    quarters = quarters_from(quarter_of(day, 1), 2, 1)
    # Overdue in stage 1: 40 days on, in the first quarter; in stage 2: 100 days on, in the second.
    assert weighted(pipeline, rates, quarters) == [250 + 300 + 20, 50 + 6]
    assert weighted(pipeline.iloc[:0], rates, quarters) is None


def test_the_docs_say_what_the_code_gives_on_public_series():
    for page in forecast_report.PAGES:
        assert forecast_report.public_tables() in page.read_text(encoding="utf-8")

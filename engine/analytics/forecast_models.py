"""Statistical models of a monthly history: chosen by AICc, with a season where there is one, beside naive ones.

What is here are estimates, in floats.  The models are exponential smoothing in state space form, ETS(error, trend,
season), of R. J. Hyndman, A. B. Koehler, J. K. Ord and R. D. Snyder, "Forecasting with Exponential Smoothing: The State
Space Approach" (2008); the errors are those of R. J. Hyndman and A. B. Koehler, "Another look at measures of forecast
accuracy" (2006).  docs/forecast.md has the formulas.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

FEWEST_MONTHS = 10  # of which the first states are estimated; fewer say nothing about how far months differ
SEASONS = (12, 3)  # months: of the year, and of the quarter (its last one is often the strongest)
FULL_SEASONS = 2  # so many must have been seen before a season is looked for
MARGIN = 2.0  # of AICc, by which a season must win: half of that is noise
LONGEST = 72  # months that a model looks at: what is older tells little of today


@dataclass(frozen=True)
class Chosen:
    """A model that won: its parts in words of ETS (``A`` additive, ``M`` multiplicative, ``Ad`` damped, ``N`` none).

    ``season`` is its length in months, 0 without one; ``months`` how many it was fitted to.
    """

    error: str
    trend: str
    seasonal: str
    season: int
    aicc: float
    months: int

    @property
    def name(self) -> str:
        """``"ETS(A,Ad,N)"``, ``"ETS(M,N,M)[12]"``."""
        return f"ETS({self.error},{self.trend},{self.seasonal})" + (f"[{self.season}]" if self.season else "")


_WORDS = {"A": "add", "M": "mul", "Ad": "add"}


def seasons_looked_for(months: int, lengths: Sequence[int] = SEASONS) -> tuple[int, ...]:
    """The lengths of season that a history of so many months can show."""
    return tuple(length for length in lengths if months >= FULL_SEASONS * length)


def choose(values: Sequence[float], lengths: Sequence[int] = SEASONS) -> Chosen | None:
    """The model with the least AICc; None where the history is shorter than `FEWEST_MONTHS` or never changes.

    One with a season must be better than every one without by `MARGIN`.
    """
    series = _series(values)
    if len(series) < FEWEST_MONTHS or float(np.ptp(series)) == 0.0:
        return None
    found = [_scored(series, *parts) for parts in _candidates(series, lengths)]
    fitted = [each for each in found if each is not None]
    plain = [each for each in fitted if not each.season]
    seasonal = [each for each in fitted if each.season]
    best = min(plain, key=lambda each: each.aicc, default=None)
    other = min(seasonal, key=lambda each: each.aicc, default=None)
    if best is None or (other is not None and other.aicc < best.aicc - MARGIN):
        return other
    return best


def _series(values: Sequence[float]) -> Floats:
    return np.asarray(values, dtype=np.float64)[-LONGEST:]


def _candidates(series: Floats, lengths: Sequence[int]) -> Iterator[tuple[str, str, str, int]]:
    positive = bool((series > 0).all())
    for trend in ("N", "Ad"):
        yield "A", trend, "N", 0
        if positive:
            yield "M", trend, "N", 0
        for length in seasons_looked_for(len(series), lengths):
            yield "A", trend, "A", length
            if positive:
                yield "M", trend, "M", length


def _model(series: Floats, error: str, trend: str, seasonal: str, season: int) -> Any:
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel  # takes seconds to import

    return ETSModel(
        series,
        error=_WORDS[error],
        trend=_WORDS.get(trend),
        damped_trend=trend == "Ad",
        seasonal=_WORDS.get(seasonal),
        seasonal_periods=season or None,
        initialization_method="heuristic",
    )


def _fit(series: Floats, error: str, trend: str, seasonal: str, season: int) -> Any:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # a candidate that does not converge loses by its AICc
        return _model(series, error, trend, seasonal, season).fit(disp=False, maxiter=100)


def _scored(series: Floats, error: str, trend: str, seasonal: str, season: int) -> Chosen | None:
    """The candidate with its AICc, in which the states that it starts from count as parameters, too.

    AICc = -2 log L + 2k + 2k(k + 1) / (n - k - 1)
    """
    smoothing = 1 + (2 if trend == "Ad" else 0) + (1 if season else 0)
    states = 1 + (1 if trend == "Ad" else 0) + max(0, season - 1)
    parameters, size = smoothing + states + 1, len(series)  # and the variance
    if size - parameters - 1 <= 0:
        return None
    try:
        likelihood = float(_fit(series, error, trend, seasonal, season).llf)
    except (ValueError, FloatingPointError, np.linalg.LinAlgError):
        return None
    if not math.isfinite(likelihood):
        return None
    aicc = -2 * likelihood + 2 * parameters + 2 * parameters * (parameters + 1) / (size - parameters - 1)
    return Chosen(error, trend, seasonal, season, aicc, size)


def paths(values: Sequence[float], chosen: Chosen, steps: int, rounds: int, seed: int) -> Floats:
    """Simulated continuations of the history by the chosen model, a row each round; never below 0."""
    fitted = _fit(_series(values), chosen.error, chosen.trend, chosen.seasonal, chosen.season)
    with np.errstate(all="ignore"):
        drawn = fitted.simulate(steps, anchor="end", repetitions=rounds, rng=np.random.default_rng(seed))
    found = np.asarray(drawn, dtype=np.float64).reshape(steps, rounds).T
    return np.maximum(np.nan_to_num(found, nan=0.0, posinf=0.0), 0.0)


# --- naive forecasts, errors --------------------------------------------------------------------------


def naive(history: Sequence[float], steps: int) -> list[float] | None:
    """As the last quarter was; None without one."""
    return [history[-1]] * steps if history else None


def seasonal_naive(history: Sequence[float], steps: int, season: int = 4) -> list[float] | None:
    """As the same quarter of the year before was; None where there is none."""
    if len(history) < season:
        return None
    return [history[len(history) - season + step % season] for step in range(steps)]


def wape(actual: Sequence[float], forecast: Sequence[float]) -> float | None:
    """Weighted absolute percentage error: the absolute errors together, over the actual figures together.

    >>> wape([100, 300], [110, 270])
    0.1
    """
    whole = sum(abs(each) for each in actual)
    missed = sum(abs(was - said) for was, said in zip(actual, forecast, strict=True))
    return missed / whole if whole else None


def relative_error(actual: Sequence[float], forecast: Sequence[float], naive_forecast: Sequence[float]) -> float | None:
    """Mean absolute error over that of the naive forecast of the same quarters: below 1 is better than naive.

    It is the relative MAE of the paper above; its MASE scales by errors within the sample, of which a short history
    has hardly any.

    >>> relative_error([100, 300], [110, 270], [80, 280])
    1.0
    """
    scale = sum(abs(was - said) for was, said in zip(actual, naive_forecast, strict=True))
    missed = sum(abs(was - said) for was, said in zip(actual, forecast, strict=True))
    return missed / scale if scale else None


@dataclass(frozen=True)
class Score:
    """How a way did on the quarters that it and the naive forecast knew, beside the naive one on the same quarters.

    The seasonal naive one knows fewer: ``seasonal_naive`` is its WAPE on ``seasonal_quarters`` of them, and ``beside``
    that of the way on these.  ``relative`` is the way's absolute error over the naive one's.  None: not known.
    """

    way: str
    quarters: int
    wape: float | None = None
    naive: float | None = None
    relative: float | None = None
    seasonal_quarters: int = 0
    seasonal_naive: float | None = None
    beside: float | None = None

    @property
    def winner(self) -> str:
        """``"naive"`` or ``"seasonal_naive"`` where that was nearer than the way on the same quarters; else ``""``."""
        if self.wape is not None and self.naive is not None and self.naive < self.wape:
            return "naive"
        if self.beside is not None and self.seasonal_naive is not None and self.seasonal_naive < self.beside:
            return "seasonal_naive"
        return ""


def score(way: str, rows: Sequence[tuple[float, float, float | None, float | None]]) -> Score:
    """The score of a way from its quarters: (actual, forecast, naive, seasonal naive)."""
    known = [(actual, said, last) for actual, said, last, _ in rows if last is not None]
    if not known:
        return Score(way, 0)
    actual, said, last = ([row[place] for row in known] for place in range(3))
    yearly = [(actual, said, year) for actual, said, last, year in rows if last is not None and year is not None]
    found = Score(way, len(known), wape(actual, said), wape(actual, last), relative_error(actual, said, last))
    if not yearly:
        return found
    actual, said, year = ([row[place] for row in yearly] for place in range(3))
    return replace(found, seasonal_quarters=len(yearly), seasonal_naive=wape(actual, year), beside=wape(actual, said))


def quarters_of(months: Sequence[float], step: int = 3) -> list[float]:
    """The sums of three months (``step``) each, up to the last; what is left over at the beginning is no quarter."""
    first = len(months) % step
    return [float(sum(months[place : place + step])) for place in range(first, len(months), step)]


@dataclass(frozen=True)
class Tested:
    """One quarter, and what was forecast for it on the day it began, from the months before it alone."""

    actual: float
    model: float | None
    naive: float | None
    seasonal_naive: float | None
    chosen: str = ""


def rolling(
    months: Sequence[float], quarters: int, step: int = 3, seasons: Sequence[int] = SEASONS, rounds: int = 500
) -> list[Tested]:
    """The last `quarters` quarters of a history that ends with a whole quarter, each forecast as it began.

    ``step`` is how many figures of the history make a quarter, and ``seasons`` the lengths looked for among them.
    """
    found = []
    for ago in range(quarters, 0, -1):
        known = list(months[: len(months) - step * ago])
        if not known:
            continue
        actual = float(sum(months[len(known) : len(known) + step]))
        chosen = choose(known, seasons)
        model = None
        if chosen is not None:
            model = float(np.median(paths(known, chosen, step, rounds, seed=1).sum(axis=1)))
        past = quarters_of(known, step)
        last, year_ago = naive(past, 1), seasonal_naive(past, 1)
        found.append(
            Tested(
                actual,
                model,
                last[0] if last else None,
                year_ago[0] if year_ago else None,
                chosen.name if chosen else "",
            )
        )
    return found

"""How each way of forecasting did on the quarters that are over, beside the naive forecasts: worked out by a job, as it
takes long on a large company, and kept with the job.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from hashlib import sha256
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from engine.analytics import forecast as parts
from engine.analytics import forecast_models as models
from engine.analytics.dashboard import Scope
from engine.analytics.forecast_models import FEWEST_MONTHS, Score
from engine.db import audit, jobs
from engine.db.database import Database
from engine.db.jobs import Job
from engine.services.access import Actor
from engine.services.forecast import full_months, scope_of, stage_rates, won_between, won_days
from engine.services.jobs import Body, JobRunner, Work

__all__ = ["FEWEST_MONTHS", "Score"]

JOB = "forecast backtest"
WAYS = ("pipeline", "model", "naive", "seasonal_naive")
MOST = 8  # quarters that are tested
_LOOKED_AT = 20  # of a person's newest jobs
_COLUMNS = ("name", "title", "actual", *WAYS, "chosen")

Tell = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Backtest:
    """How the ways did on past quarters, each forecast as it began with what was known then.

    ``rows``: name, title, actual (int64), pipeline, model, naive, seasonal_naive (float64, null: not known), chosen
    (the model of then).  ``scores`` are of `WAYS`, each on the quarters that it and the naive forecast knew.
    """

    currency: str
    rows: pd.DataFrame
    scores: tuple[Score, ...]


@dataclass(frozen=True)
class Standing:
    """What is known of the backtest now: the newest that was worked out, and the job that works on the next.

    ``found`` None: none was.  ``at`` is when it was; ``fresh``: nothing has changed since.  ``job`` waits, runs, failed
    or was cancelled; None when the newest one is done.
    """

    found: Backtest | None
    at: datetime | None
    fresh: bool
    job: Job | None


def backtest(db: Database, actor: Actor, team: int | None, today: date) -> Standing:
    """How the ways did on the last quarters that are over, as far as it is known.  Needs "forecast.view"."""
    with db.read(actor) as conn:
        scope, first_month = scope_of(conn, actor, team, today)
    asked = _asked(scope, today, first_month)
    with db.read() as conn:  # win rates are the whole company's, and jobs the program's
        own = [] if actor.user_id is None else jobs.recent(conn, _LOOKED_AT, JOB, actor.user_id)
        own = [job for job in own if asked.items() <= job.arguments.items()]
        if not own and not _quarters(conn, scope, today, first_month)[0]:
            return Standing(backtest_of(conn, scope, today, first_month), None, True, None)
        version = audit.data_version(conn)
    newest = own[0] if own and own[0].status != "done" else None
    for job in own:
        if job.status == "done" and job.result:
            return Standing(_unpacked(job.result), job.finished_at, job.result["version"] == version, newest)
    return Standing(None, None, False, newest)


def start_backtest(db: Database, runner: JobRunner, actor: Actor, team: int | None, today: date) -> str:
    """Work the backtest out by a job; gives its id.  Needs "forecast.view"."""
    with db.read(actor) as conn:
        scope, first_month = scope_of(conn, actor, team, today)
    arguments = {"name": "the past quarters", "team": team, "today": today.isoformat()}
    return runner.submit(actor, JOB, arguments | _asked(scope, today, first_month))


def _asked(scope: Scope, today: date, first_month: int) -> dict[str, Any]:
    """What a backtest depends on beside the data: whose deals, and which quarter is the running one."""
    whose = "all" if scope.people is None else sha256(repr(sorted(scope.people)).encode()).hexdigest()[:16]
    return {"team": scope.team, "whose": whose, "since": parts.quarter_of(today, first_month).name}


def _job(work: Work) -> Mapping[str, Any]:
    today = date.fromisoformat(work.arguments["today"])
    with work.db.read(work.actor) as conn:
        scope, first_month = scope_of(conn, work.actor, work.arguments["team"], today)
        if not _asked(scope, today, first_month).items() <= work.arguments.items():
            return {}  # the person sees others by now, and asks anew
    with work.db.read() as conn:  # win rates are the whole company's
        version = audit.data_version(conn)
        return {"version": version, **_packed(backtest_of(conn, scope, today, first_month, work.progress))}


JOBS: Mapping[str, Body] = {JOB: _job}


def _packed(found: Backtest) -> dict[str, Any]:
    rows = found.rows.astype(object).where(found.rows.notna(), None)
    return {
        "currency": found.currency,
        "rows": rows[list(_COLUMNS)].to_numpy().tolist(),
        "scores": [asdict(score) for score in found.scores],
    }


def _unpacked(kept: Mapping[str, Any]) -> Backtest:
    return Backtest(kept["currency"], _frame(kept["rows"]), tuple(Score(**score) for score in kept["scores"]))


def _frame(rows: list[Any]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(_COLUMNS))
    return frame.astype({"actual": "int64", **dict.fromkeys(WAYS, "float64")})


# --- the work ---------------------------------------------------------------------------------------


def _silent(_done: int, _total: int, _what: str) -> None:
    """Nobody is told."""


def _quarters(
    conn: sa.Connection, scope: Scope, today: date, first_month: int
) -> tuple[list[parts.Quarter], pd.DataFrame, list[float]]:
    """The quarters to test, what was won by day, and the revenue of the full months before the running quarter."""
    running = parts.quarter_of(today, first_month)
    won = won_days(conn, scope, today, running.start)
    months = full_months(won, running.start)
    return parts.quarters_before(running, min(MOST, len(months) // 3), first_month), won, months


def backtest_of(conn: sa.Connection, scope: Scope, today: date, first_month: int, tell: Tell = _silent) -> Backtest:
    """The backtest of a scope; `backtest` asks who may see it."""
    tell(0, 1, "Reading the revenue")
    quarters, won, months = _quarters(conn, scope, today, first_month)
    steps = len(quarters) + 3
    starts = [each.start for each in quarters]
    tell(1, steps, "Reading the pipeline as it was")
    pipeline = parts.pipeline_then(conn, scope, starts)
    tell(2, steps, "Reading the win rates as they were")
    rates = stage_rates(conn, starts) if starts else pipeline
    tried = []
    for place in range(len(quarters)):
        tell(3 + place, steps, f"Forecasting {quarters[place].title} as it began")
        known = months[: len(months) - 3 * (len(quarters) - place - 1)]
        tried += models.rolling(known, 1) or [models.Tested(0.0, None, None, None)]
    rows = []
    for quarter, each in zip(quarters, tried, strict=True):
        known_then = parts.weighted(
            pipeline[pipeline["day"] == quarter.start], rates[rates["day"] == quarter.start], [quarter]
        )
        rows.append(
            (
                quarter.name, quarter.title, won_between(won, quarter.start, quarter.end),
                known_then[0] if known_then else None, each.model, each.naive, each.seasonal_naive, each.chosen,
            )
        )  # fmt: skip
    frame = _frame(rows)
    return Backtest(scope.currency, frame, tuple(_score(frame, way) for way in WAYS))


def _score(rows: pd.DataFrame, way: str) -> Score:
    known = rows[rows[way].notna()]
    figures = known[["actual", way, "naive", "seasonal_naive"]].to_numpy(dtype="float64").tolist()
    return models.score(way, [tuple(None if np.isnan(each) else each for each in row) for row in figures])  # type: ignore[misc]

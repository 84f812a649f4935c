"""Lines of earnings, the calculation of a period, and what it comes to."""

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel

from app import state
from app.api.callers import Caller, Writing, writing
from app.api.errors import READ, READ_ONE, WRITE
from app.api.fields import Body, Cursor, IdInQuery, Limit, PeriodInQuery, PeriodName, read_cursor, records, to_cursor
from app.api.figures import Figure, figure, span
from engine.db.database import Database
from engine.db.jobs import Job as KeptJob
from engine.errors import NotFound
from engine.periods import parse_period
from engine.services import dashboard, earnings, jobs, runs

routes = APIRouter(prefix="/commissions", tags=["commissions"])


# --- lines ------------------------------------------------------------------------------------------
class Commission(BaseModel):
    """A line of earnings: what a person earned by a component of a plan, on a deal (null for carried money).

    `amount` is in minor units of `currency`.  A line of kind `adjusted` posts what changed in the closed
    `origin_period`.  `status` is the period's.
    """

    id: int
    user_id: int
    code: str
    person: str
    period: str
    origin_period: str
    component: str
    kind: str
    amount: int
    currency: str
    plan_id: int
    plan_version_id: int
    deal_id: int | None
    source: str | None
    external_id: str | None
    deal: str | None
    status: str


class Commissions(BaseModel):
    """One page of lines; `next_cursor` fetches the next one, and is null on the last."""

    period: str | None
    items: list[Commission]
    next_cursor: str | None


@routes.get("/commissions", summary="Lines of earnings", responses=READ)
def list_commissions(
    caller: Caller,
    period: PeriodInQuery = None,
    user_id: IdInQuery = None,
    limit: Limit = 50,
    cursor: Cursor = "",
) -> Commissions:
    """The lines of the run that a pay period shows, person by person, of those within reach.

    Without `period`: of the newest that was calculated.
    """
    db = state.database()
    name = period or runs.last_run_period(db, caller)
    if name is None:
        return Commissions(period=None, items=[], next_cursor=None)
    place = read_cursor(cursor, int, int) or (0, 0)
    lines = earnings.lines_after(db, caller, name, user_id, place, limit + 1)
    items = [Commission.model_validate(line) for line in lines]
    last = items[limit - 1] if len(items) > limit else None
    return Commissions(period=name, items=items[:limit], next_cursor=to_cursor(last.user_id, last.id) if last else None)


# --- calculation ------------------------------------------------------------------------------------
class ToCalculate(Body):
    """Which pay period."""

    period: PeriodName


class Job(BaseModel):
    """A job in the background: ask for it again until `is_over`; `result` names the run when `status` is done."""

    id: UUID
    status: str
    is_over: bool
    done: int
    total: int
    message: str
    result: dict[str, Any] | None
    created_at: datetime
    finished_at: datetime | None


@routes.post("/calculate", summary="Calculate a period", status_code=202, response_model=Job, responses=WRITE)
def calculate(body: ToCalculate, write: Annotated[Writing, writing("runs.start")]) -> Response:
    """Starts a run of the pay period, or gives the one that is under way: see `GET /commissions/calculate/{job_id}`."""

    def start(_: Database) -> Job:
        # The job is kept at once, so that a worker finds it; a request that is repeated while it runs finds it too.
        return _job(runs.start_run(state.database(), state.jobs(), write.actor, parse_period(body.period).name))

    return write.once(body, start, 202)


@routes.get("/calculate/{job_id}", summary="How far a calculation is", responses=READ_ONE)
def calculation(job_id: UUID, caller: Caller) -> Job:
    """The state of a calculation that was started."""
    found = jobs.job(state.database(), caller, str(job_id))
    if found is None or found.kind != runs.JOB:
        raise NotFound("There is no such calculation. Use the id that starting it gave.")
    return _job(found)


def _job(found: KeptJob) -> Job:
    return Job(
        id=UUID(found.id),
        status=found.status,
        is_over=found.is_over,
        done=found.done,
        total=found.total,
        message=found.message,
        result=None if found.result is None else dict(found.result),
        created_at=found.created_at,
        finished_at=found.finished_at,
    )


# --- figures ----------------------------------------------------------------------------------------
class Payee(BaseModel):
    """What a person earned in the period, in minor units of `currency`; `due` is null until approved."""

    user_id: int
    code: str
    name: str
    team: str | None
    currency: str
    earned: int
    adjusted: int
    manual: int
    drawn: int
    draw_balance: int
    deferred: int
    due: int | None


class Analytics(BaseModel):
    """What a period comes to: money in minor units of `currency`, ratios as 0.5 for 50%."""

    period: str
    currency: str
    commission: Figure
    commission_rate: Figure
    attainment: Figure
    months_not_run: list[str]
    periods_out_of_date: list[str]
    people: list[Payee]


@routes.get("/analytics", summary="What a period comes to", responses=READ)
def analytics(caller: Caller, period: PeriodInQuery = None, team_id: IdInQuery = None) -> Analytics:
    """Commission, its share of revenue, attainment, and what each person within reach earned in the pay period.

    Without `period`: this month.  `people` is of that very pay period, whatever the team.
    """
    db, wanted = state.database(), span(period)
    found = dashboard.dashboard(db, caller, wanted, team_id, state.today())
    return Analytics(
        period=wanted.name,
        currency=found.currency,
        commission=figure(found.commission),
        commission_rate=figure(found.rate),
        attainment=figure(found.attainment),
        months_not_run=[each.name for each in found.not_run],
        periods_out_of_date=[each.name for each in found.outdated],
        people=[Payee.model_validate(row) for row in records(earnings.payees(db, caller, wanted.name))],
    )


class MonthOfCommission(BaseModel):
    """What was earned in the runs of a month, by the status of the period."""

    month: date
    status: str
    amount: int


class Attained(BaseModel):
    """Attainment of a period as a ratio: 1.0 is the quota."""

    period: str
    attainment: float


class Trends(BaseModel):
    """How commission and attainment went; money in minor units of `currency`."""

    currency: str
    commission: list[MonthOfCommission]
    attainment: list[Attained]


@routes.get("/trends", summary="How commission went", responses=READ)
def trends(caller: Caller, period: PeriodInQuery = None, team_id: IdInQuery = None) -> Trends:
    """Commission of the last twelve months and attainment of the last periods, up to `period` (without: this month)."""
    found = dashboard.dashboard(state.database(), caller, span(period), team_id, state.today())
    return Trends(
        currency=found.currency,
        commission=[MonthOfCommission.model_validate(row) for row in records(found.commission_months)],
        attainment=[Attained.model_validate(row) for row in records(found.attainment_periods)],
    )

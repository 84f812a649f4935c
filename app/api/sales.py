"""The figures of a period, the pipeline, quotas."""

from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from app import state
from app.api.callers import Caller
from app.api.errors import READ
from app.api.fields import IdInQuery, PeriodInQuery, Words, records
from app.api.figures import Figure, figure, span
from engine.services import dashboard, quotas, stages

routes = APIRouter(prefix="/sales", tags=["sales"])


# --- figures ----------------------------------------------------------------------------------------
class DashboardStats(BaseModel):
    """How a period goes, for everyone within reach; money in minor units of `currency`, ratios as 0.5 for 50%."""

    period: str
    currency: str
    won: Figure
    deals: Figure
    average: Figure
    commission: Figure
    commission_rate: Figure
    attainment: Figure
    pipeline: Figure
    weighted_pipeline: Figure
    open_deals: int
    overdue_deals: int
    overdue_amount: int
    deals_without_exchange_rate: int


@routes.get("/dashboard-stats", summary="How a period goes", responses=READ)
def dashboard_stats(caller: Caller, period: PeriodInQuery = None, team_id: IdInQuery = None) -> DashboardStats:
    """The figures of the dashboard; without `period` those of this month."""
    wanted = span(period)
    found = dashboard.dashboard(state.database(), caller, wanted, team_id, state.today())
    return DashboardStats(
        period=found.period.name,
        currency=found.currency,
        won=figure(found.won),
        deals=figure(found.deals),
        average=figure(found.average),
        commission=figure(found.commission),
        commission_rate=figure(found.rate),
        attainment=figure(found.attainment),
        pipeline=figure(found.pipeline),
        weighted_pipeline=figure(found.weighted),
        open_deals=found.open_deals,
        overdue_deals=found.overdue_deals,
        overdue_amount=found.overdue_amount,
        deals_without_exchange_rate=found.unconverted,
    )


class StageNow(BaseModel):
    """What stands open in a stage and should close in the period."""

    stage: str
    deals: int
    amount: int
    weighted: int


class StagePassage(BaseModel):
    """What became of the deals that entered a stage in the period; `win_rate_ppm` is null while nothing is decided."""

    stage_id: int
    stage: str
    outcome: str
    probability_ppm: int
    entered: int
    won: int
    lost: int
    undecided: int
    win_rate_ppm: int | None
    days: float | None


class Pipeline(BaseModel):
    """The pipeline; money in minor units of `currency`, probabilities in parts per million."""

    period: str
    currency: str
    amount: Figure
    weighted: Figure
    open_deals: int
    overdue_deals: int
    overdue_amount: int
    stages: list[StageNow]
    passage: list[StagePassage]


@routes.get("/pipeline-analysis", summary="The pipeline", responses=READ)
def pipeline_analysis(caller: Caller, period: PeriodInQuery = None, team_id: IdInQuery = None) -> Pipeline:
    """What should close in the period (without one: this month), stage by stage, and how deals passed the stages."""
    wanted, today = span(period), state.today()
    found = dashboard.dashboard(state.database(), caller, wanted, team_id, today)
    rows = stages.stage_rows(state.database(), caller, wanted.first_day, date.fromordinal(wanted.end), today)
    return Pipeline(
        period=wanted.name,
        currency=found.currency,
        amount=figure(found.pipeline),
        weighted=figure(found.weighted),
        open_deals=found.open_deals,
        overdue_deals=found.overdue_deals,
        overdue_amount=found.overdue_amount,
        stages=[StageNow.model_validate(row) for row in records(found.stages)],
        passage=[
            StagePassage(
                stage_id=row.stage.id,
                stage=row.stage.name,
                outcome=row.stage.outcome,
                probability_ppm=row.stage.probability_ppm,
                entered=row.entered,
                won=row.won,
                lost=row.lost,
                undecided=row.undecided,
                win_rate_ppm=row.rate_ppm,
                days=row.days,
            )
            for row in rows
        ],
    )


# --- quotas -----------------------------------------------------------------------------------------
class QuotaRow(BaseModel):
    """A person's quotas, one for each of the periods; null: none set."""

    user_id: int
    person: str
    team: str
    amounts: list[int | None]
    total: int


class Quotas(BaseModel):
    """The quotas of a fiscal year, in minor units of `currency`; `other_currency` names whom the amounts leave out."""

    year: int
    currency: str
    periods: list[str]
    rows: list[QuotaRow]
    other_currency: list[str]


@routes.get("/quotas", summary="Quotas", responses=READ)
def list_quotas(
    caller: Caller,
    year: Annotated[int | None, Query(ge=1990, le=2199, description="the fiscal year; without it this one")] = None,
    kind: Literal["month", "quarter", "year"] = "quarter",
    component: Words = "",
    team_id: IdInQuery = None,
) -> Quotas:
    """The quotas of a fiscal year in periods of one kind, for the people within reach."""
    today = state.today()
    scope = quotas.Scope(kind, year or today.year, today, component, team_id)
    found = quotas.quota_grid(state.database(), caller, scope)
    return Quotas(
        year=scope.year,
        currency=found.currency,
        periods=list(found.periods),
        rows=[
            QuotaRow(user_id=row.user_id, person=row.person, team=row.team, amounts=list(row.amounts), total=row.total)
            for row in found.rows
        ],
        other_currency=list(found.other_currency),
    )

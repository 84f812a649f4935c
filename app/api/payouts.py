"""Payouts: approve a calculated period, record its payment, and payroll's file."""

from datetime import date, datetime
from typing import Annotated, Literal

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, Field

from app import state
from app.api.callers import FILE, Caller, Writing, file, writing
from app.api.commissions import Payee
from app.api.errors import READ, READ_ONE, WRITE
from app.api.fields import Body, Cursor, Limit, PeriodInPath, Text, read_cursor, records, to_cursor
from engine.db.database import Database
from engine.errors import NotFound
from engine.services import approvals, payouts

routes = APIRouter(prefix="/commissions/payouts", tags=["payouts"])


class PayPeriod(BaseModel):
    """A pay period that was calculated; money in minor units of `currency`.  `status`: open, approved, paid."""

    period: str
    kind: str
    start_date: date
    end_date: date
    status: str
    run_id: int
    calculated_at: datetime
    people: int
    currency: str | None
    earned: int
    manual: int
    due: int
    reversed: int
    approved_at: datetime | None
    approved_by: str | None
    paid_at: datetime | None
    paid_by: str | None


class PayPeriods(BaseModel):
    """Every pay period that was calculated, the newest first."""

    items: list[PayPeriod]


class PeriodStanding(PayPeriod):
    """A pay period before its next step.

    `version` says in one word what is approved: send it with the approval.  `outdated`: what decides pay has changed
    since the run.  `blocked` says why the caller may not take the step.
    """

    version: str
    corrections: int
    disputes: int
    outdated: bool
    blocked: str


class Items(BaseModel):
    """One page of people; `next_cursor` fetches the next one, and is null on the last."""

    period: str
    items: list[Payee]
    next_cursor: str | None


class Approval(Body):
    """What is approved: `version` of `GET /commissions/payouts/{period}`, so that nothing unseen is."""

    version: Annotated[Text, Field(min_length=1, max_length=200)]


class Payout(BaseModel):
    """The payment of an approved pay period, to everyone in it."""

    id: int
    period: str
    status: str
    approved_by: str
    approved_at: datetime
    paid_by: str | None
    paid_at: datetime | None


@routes.get("", summary="Pay periods", responses=READ)
def list_payouts(caller: Caller) -> PayPeriods:
    """Every pay period that was calculated, with what it comes to and whether it is approved and paid."""
    found = payouts.list_periods(state.database(), caller)
    return PayPeriods(items=[PayPeriod.model_validate(row) for row in records(found)])


@routes.get("/{period}", summary="A pay period", responses=READ_ONE)
def read_payout(period: PeriodInPath, caller: Caller) -> PeriodStanding:
    """A pay period and what whoever approves or pays it should know."""
    db = state.database()
    found = payouts.list_periods(db, caller)
    row = next(iter(records(found[found["period"] == period])), None)
    if row is None:
        raise NotFound(f"{period} has not been calculated. Run it first.")
    standing = approvals.standing(db, caller, period)
    return PeriodStanding.model_validate(
        row
        | {
            "version": standing.version,
            "corrections": standing.changes,
            "disputes": standing.disputes,
            "outdated": standing.outdated,
            "blocked": standing.blocked,
        }
    )


@routes.get("/{period}/items", summary="Who is paid", responses=READ)
def list_items(period: PeriodInPath, caller: Caller, limit: Limit = 500, cursor: Cursor = "") -> Items:
    """What each person earned in the period and is due, by name."""
    frame = payouts.period_people(state.database(), caller, period)
    place = read_cursor(cursor, str, int, str)
    items = [Payee.model_validate(row) for row in records(frame)]
    items.sort(key=_place)
    left = [each for each in items if place is None or _place(each) > place]
    last = left[limit - 1] if len(left) > limit else None
    return Items(period=period, items=left[:limit], next_cursor=to_cursor(*_place(last)) if last else None)


def _place(item: Payee) -> tuple[str, int, str]:
    return item.name, item.user_id, item.currency


@routes.post("/{period}/approve", summary="Approve a period", response_model=Payout, responses=WRITE)
def approve(period: PeriodInPath, body: Approval, write: Annotated[Writing, writing("payouts.approve")]) -> Response:
    """Closes the period for good: its lines go to the ledger and what everyone is due becomes the payout.

    Approving again gives the payout that is there.
    """

    def do(db: Database) -> Payout:
        return Payout.model_validate(vars(payouts.approve_period(db, write.actor, period, body.version)))

    return write.once(body, do)


@routes.post("/{period}/pay", summary="Mark a period as paid", response_model=Payout, responses=WRITE)
def mark_paid(period: PeriodInPath, write: Annotated[Writing, writing("payouts.pay")]) -> Response:
    """Records that the payout of an approved period was paid, once: again, it finds it paid and changes nothing."""

    def do(db: Database) -> Payout:
        return Payout.model_validate(vars(payouts.mark_paid(db, write.actor, period)))

    return write.once(None, do)


@routes.get("/{period}/payroll", summary="Payroll's file", response_class=Response, responses=READ_ONE | FILE)
def payroll(
    period: PeriodInPath,
    caller: Caller,
    format: Literal["csv", "xlsx"] = "csv",  # noqa: A002 - what it is called in the address
) -> Response:
    """The payroll file of an approved period: one row a person with the amount due."""
    return file(payouts.payroll_file(state.database(), caller, period, format), f"payroll-{period}.{format}", format)

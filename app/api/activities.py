"""Activities: what people did on deals and accounts."""

from datetime import UTC, date, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import AwareDatetime, BaseModel, Field

from app import state
from app.api.callers import Caller, Writing, writing
from app.api.errors import READ, WRITE
from app.api.fields import (
    Body,
    Cursor,
    Day,
    DayInQuery,
    Id,
    IdInQuery,
    Limit,
    LongText,
    Text,
    Words,
    read_cursor,
    records,
    to_cursor,
)  # fmt: skip
from engine.db.database import Database
from engine.services import activities

routes = APIRouter(prefix="/sales/activities", tags=["activities"])
Kind = Literal["call", "email", "meeting", "note", "task"]


class Activity(BaseModel):
    """A call, mail, meeting, note or task; `due_on` and `done_at` are a task's only."""

    id: int
    version: int
    kind: Kind
    subject: str
    details: str
    account: str
    deal_id: int | None
    deal: str | None
    user_id: int
    person: str
    happened_at: datetime
    due_on: date | None
    done_at: datetime | None


class Activities(BaseModel):
    """One page of activities; `next_cursor` fetches the next one, and is null on the last."""

    items: list[Activity]
    next_cursor: str | None


class NewActivity(Body):
    """What the caller did (`happened_at`: now, unless said), or has to do (a task that is due)."""

    kind: Kind
    subject: Annotated[Text, Field(max_length=500)] = ""
    happened_at: AwareDatetime | None = None
    deal_id: Id | None = None
    account: Text = ""
    details: LongText = ""
    due_on: Day | None = None


class Made(BaseModel):
    """What was made."""

    id: int


@routes.get("", summary="Activities", responses=READ)
def list_activities(
    caller: Caller,
    text: Words = "",
    kind: Annotated[list[Kind], Query()] = [],  # noqa: B006 - never changed
    user_id: IdInQuery = None,
    team_id: IdInQuery = None,
    deal_id: IdInQuery = None,
    since: DayInQuery = None,
    until: DayInQuery = None,
    open_tasks: bool = False,
    limit: Limit = 50,
    cursor: Cursor = "",
) -> Activities:
    """The activities of the people within reach and on their deals, the latest first; days are `[since, until)`."""
    filters = activities.ActivityFilters(text, tuple(kind), user_id, team_id, deal_id, "", since, until, open_tasks)
    frame = activities.activities_after(
        state.database(), caller, filters, read_cursor(cursor, datetime, int), limit + 1, state.today()
    )
    items = [Activity.model_validate(row) for row in records(frame)]
    last = items[limit - 1] if len(items) > limit else None
    return Activities(items=items[:limit], next_cursor=to_cursor(last.happened_at, last.id) if last else None)


@routes.post("", summary="Log an activity", status_code=201, response_model=Made, responses=WRITE)
def log_activity(body: NewActivity, write: Annotated[Writing, writing("activities.edit")]) -> Response:
    """Keeps what the caller did, on a deal within reach, an account or neither."""

    def log(db: Database) -> Made:
        now = datetime.now(UTC)
        moment = (body.happened_at or now).astimezone(UTC)
        fields = activities.ActivityFields(
            body.kind, body.subject, moment, body.deal_id, body.account, body.details, body.due_on
        )
        return Made(id=activities.log_activity(db, write.actor, fields, now))

    return write.once(body, log, 201)

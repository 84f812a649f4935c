"""Deals: the list, one by one, many by the id of their source."""

from dataclasses import replace
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field

from app import state
from app.api.callers import Caller, Writing, writing
from app.api.errors import READ, READ_ONE, WRITE
from app.api.fields import (
    NO_NULL,
    Body,
    Cursor,
    Day,
    DayInQuery,
    Id,
    IdInPath,
    IdInQuery,
    Limit,
    Money,
    Number,
    Text,
    Words,
    read_cursor,
    records,
    to_cursor,
)  # fmt: skip
from engine.db.database import Database
from engine.services import deal_upserts, deals
from engine.services.deals import DealFields, NamedDeal

routes = APIRouter(prefix="/sales", tags=["deals"])
Outcome = Literal["open", "won", "lost", "cancelled"]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$")]
Credits = Annotated[list["Credit"], Field(max_length=100)]
Extra = dict[Annotated[str, Field(max_length=200, pattern=NO_NULL)], Text]


class Deal(BaseModel):
    """A deal; `amount` is in minor units of `currency`.  A change names the `version` that it saw."""

    id: int
    version: int
    source: str
    external_id: str
    name: str
    account: str
    owner_id: int
    owner: str
    stage_id: int
    stage: str
    outcome: Outcome
    amount: int | None
    currency: str
    close_date: date
    created_date: date | None
    type: str
    product: str
    segment: str
    cancelled_on: date | None


class Deals(BaseModel):
    """One page of deals; `next_cursor` fetches the next one, and is null on the last.  `total` counts all."""

    items: list[Deal]
    total: int
    next_cursor: str | None


class Credit(Body):
    """A share of a deal, in parts per million: 600000 is 60%."""

    user_id: Id
    share_ppm: Annotated[int, Field(ge=0, le=1_000_000)]


class DealStory(Deal):
    """A deal with what belongs to it; without `credits` the owner has the whole credit."""

    margin: int | None
    quantity_micro: int | None
    term_months: int | None
    credits: list[Credit]
    extra: dict[str, Any]


class NewDeal(Body):
    """A deal entered by hand.  Money is in minor units of `currency`; `extra` holds the company's own fields."""

    name: Text
    owner_id: Id
    stage_id: Id
    currency: Currency
    close_date: Day
    account: Text = ""
    amount: Money | None = None
    margin: Money | None = None
    quantity_micro: Money | None = None
    created_date: Day | None = None
    type: Text = ""
    product: Text = ""
    segment: Text = ""
    term_months: Annotated[int, Field(ge=0, le=1200)] | None = None
    cancelled_on: Day | None = None
    credits: Credits = Field(default_factory=list)
    extra: Extra = Field(default_factory=dict)


class DealChange(Body):
    """The fields of a deal that change; those that are not named stay.  `version` is the one that you saw."""

    version: Number
    name: Text | None = None
    owner_id: Id | None = None
    stage_id: Id | None = None
    currency: Currency | None = None
    close_date: Day | None = None
    account: Text | None = None
    amount: Money | None = None
    margin: Money | None = None
    quantity_micro: Money | None = None
    created_date: Day | None = None
    type: Text | None = None
    product: Text | None = None
    segment: Text | None = None
    term_months: Annotated[int, Field(ge=0, le=1200)] | None = None
    cancelled_on: Day | None = None
    credits: Credits | None = None
    extra: Extra = Field(default_factory=dict)


_MAY_BE_EMPTY = ("amount", "margin", "quantity_micro", "created_date", "term_months", "cancelled_on")


class SentDeal(Body):
    """A deal as its source has it: the owner by e-mail, name or id, the stage by its name."""

    external_id: Annotated[Text, Field(min_length=1)]
    owner: Text
    stage: Text
    amount: Money | None
    currency: Currency
    close_date: Day
    name: Text | None = None
    account: Text | None = None
    margin: Money | None = None
    created_date: Day | None = None
    type: Text | None = None
    product: Text | None = None
    segment: Text | None = None
    term_months: Annotated[int, Field(ge=0, le=1200)] | None = None


class SentDeals(Body):
    """Deals of one source.  All have the same fields; a field that none has stays as it is."""

    source: Annotated[Text, Field(min_length=1, max_length=50)]
    deals: Annotated[list[SentDeal], Field(min_length=1, max_length=deal_upserts.MOST)]


class TakenIn(BaseModel):
    """What the deals did; `import_id` names the batch, which can be looked at and undone under Upload deals."""

    import_id: int
    added: int
    changed: int
    unchanged: int
    months: list[str]
    closed_periods: list[str]


@routes.get("/deals", summary="Deals", responses=READ)
def list_deals(
    caller: Caller,
    text: Words = "",
    owner_id: IdInQuery = None,
    team_id: IdInQuery = None,
    stage_id: Annotated[list[Annotated[int, Field(ge=1, le=2**63 - 1)]], Query()] = [],  # noqa: B006 - never changed
    outcome: Literal["", "open", "won", "lost", "cancelled"] = "",
    closed_from: DayInQuery = None,
    closed_until: DayInQuery = None,
    limit: Limit = 50,
    cursor: Cursor = "",
) -> Deals:
    """The deals that the caller may see, the latest close date first: a rep's own, a manager's team, or all.

    `text` is looked for in name, account and id; close dates are from `closed_from` on and before `closed_until`.
    What comes in or goes while you read the pages shifts none of the others.
    """
    filters = deals.DealFilters(
        text=text,
        owner_id=owner_id,
        team_id=team_id,
        stage_ids=tuple(stage_id),
        outcome=outcome,
        closed_from=closed_from,
        closed_until=closed_until,
    )
    place = read_cursor(cursor, date, int)
    page = deals.deals_after(state.database(), caller, filters, place and deals.After(*place), limit + 1, state.today())
    items = [Deal.model_validate(row) for row in page.rows]
    more = len(items) > limit
    last = items[limit - 1] if more else None
    return Deals(
        items=items[:limit], total=page.total, next_cursor=to_cursor(last.close_date, last.id) if last else None
    )


@routes.post("/deals", summary="A new deal", status_code=201, response_model=DealStory, responses=WRITE)
def create_deal(body: NewDeal, write: Annotated[Writing, writing("deals.edit")]) -> Response:
    """Keeps a deal that was entered by hand, with its history."""

    def create(db: Database) -> DealStory:
        values = {name: getattr(body, name) for name in DealFields.__dataclass_fields__}
        fields = DealFields(**values | {"credits": tuple((each.user_id, each.share_ppm) for each in body.credits)})
        return _story(db, write, deals.create_deal(db, write.actor, fields, body.extra))

    return write.once(body, create, 201)


@routes.post("/deals/bulk", summary="Deals by the id of their source", response_model=TakenIn, responses=WRITE)
def upsert_deals(body: SentDeals, write: Annotated[Writing, writing("deals.import")]) -> Response:
    """Adds the deals that are new and changes those that differ, all or none: sent twice, the second time changes none.

    It is an import like any other: with a batch, the history of each deal and an undo.
    """

    def take_in(db: Database) -> TakenIn:
        rows = [each.model_dump(exclude_unset=True, mode="json") for each in body.deals]
        preview = deal_upserts.check_deals(state.database(), write.actor, body.source, rows, state.today())
        done = deal_upserts.take_in_deals(db, write.actor, preview)
        return TakenIn.model_validate(vars(done))

    return write.once(body, take_in)


@routes.get("/deals/{deal_id}", summary="A deal", responses=READ_ONE)
def read_deal(deal_id: IdInPath, caller: Caller) -> DealStory:
    """One deal with its credits and the company's own fields."""
    return _told(deals.named_deal(state.database(), caller, deal_id, state.today()))


@routes.patch("/deals/{deal_id}", summary="Change a deal", response_model=DealStory, responses=WRITE)
def change_deal(deal_id: IdInPath, body: DealChange, write: Annotated[Writing, writing("deals.edit")]) -> Response:
    """Changes the fields that are named, with the change in the deal's history; 409 when somebody was faster."""

    def change(db: Database) -> DealStory:
        before = deals.named_deal(db, write.actor, deal_id, state.today()).deal
        given: dict[str, Any] = {
            name: getattr(body, name) for name in body.model_fields_set - {"version", "extra", "credits"}
        }
        given = {name: value for name, value in given.items() if value is not None or name in _MAY_BE_EMPTY}
        if body.credits is not None:
            given["credits"] = tuple((each.user_id, each.share_ppm) for each in body.credits)
        deals.edit_deal(db, write.actor, deal_id, body.version, replace(before.fields, **given), body.extra)
        return _story(db, write, deal_id)

    return write.once(body, change)


@routes.delete("/deals/{deal_id}", summary="Delete a deal", status_code=204, responses=WRITE)
def delete_deal(
    deal_id: IdInPath,
    version: Annotated[int, Query(ge=0, le=2**31 - 1, description="the version that you saw")],
    write: Annotated[Writing, writing("deals.edit")],
) -> Response:
    """Deletes a deal on which no earnings stand; one that has some is cancelled instead (409)."""
    return write.once(None, lambda db: deals.delete_deal(db, write.actor, deal_id, version))


def _story(db: Database, write: Writing, deal_id: int) -> DealStory:
    return _told(deals.named_deal(db, write.actor, deal_id, state.today()))


def _told(found: NamedDeal) -> DealStory:
    deal = found.deal
    return DealStory.model_validate(
        vars(deal.fields)
        | {
            "id": deal.id,
            "version": deal.version,
            "source": deal.source,
            "external_id": deal.external_id,
            "extra": deal.extra,
            "owner": found.owner,
            "stage": found.stage,
            "outcome": found.outcome,
            "credits": [{"user_id": user, "share_ppm": share} for user, share in deal.fields.credits],
        }
    )


class Named(BaseModel):
    """A person or a stage."""

    id: int
    name: str


class Choices(BaseModel):
    """What the fields of a deal may be: ids of stages and of the people within reach, and values in use."""

    stages: list[Named]
    people: list[Named]
    types: list[str]
    products: list[str]
    currency: str
    fields: list[str]


@routes.get("/choices", summary="What a deal may have", responses=READ)
def choices(caller: Caller) -> Choices:
    """The stages, people, types and products to choose from, the company's currency and its own fields."""
    found = deals.deal_choices(state.database(), caller, state.today())
    return Choices(
        stages=[Named.model_validate(row) for row in records(found.stages)],
        people=[Named.model_validate(row) for row in records(found.people)],
        types=found.types,
        products=found.products,
        currency=found.currency,
        fields=[each.name for each in found.fields],
    )

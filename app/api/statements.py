"""Statements: what one person earned in a pay period, line by line, as JSON and as files."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel

from app import state
from app.api.callers import FILE, Caller, file
from app.api.errors import READ, READ_ONE
from app.api.fields import (
    Cursor,
    IdInPath,
    IdInQuery,
    Limit,
    PeriodInPath,
    PeriodInQuery,
    read_cursor,
    records,
    to_cursor,
)
from app.api.figures import span
from engine.errors import NotFound
from engine.periods import parse_period
from engine.services import runs, statements

routes = APIRouter(prefix="/commissions/statements", tags=["statements"])
Edition = Annotated[int | None, Query(ge=0, le=2**63 - 1, description="an earlier edition that is kept")]


class Listed(BaseModel):
    """A statement in the list; money in minor units of `currency`, `due` and `paid` null until there is some."""

    period: str
    user_id: int
    code: str
    name: str
    status: str
    currency: str
    earned: int
    due: int | None
    paid: int | None
    verification_code: str | None


class Statements(BaseModel):
    """One page of statements; `next_cursor` fetches the next one, and is null on the last.  `total` counts all."""

    items: list[Listed]
    total: int
    next_cursor: str | None


class Statement(BaseModel):
    """A statement.  `final`: its period is closed, so that it never changes; `code` is the SHA-256 of its content."""

    final: bool
    code: str
    edition: int
    editions: dict[int, str]
    content: dict[str, Any]


@routes.get("", summary="Statements", responses=READ)
def list_statements(
    caller: Caller,
    period: PeriodInQuery = None,
    user_id: IdInQuery = None,
    limit: Limit = 50,
    cursor: Cursor = "",
) -> Statements:
    """The statements of all pay periods inside a period (without one: this month), the latest first."""
    db, wanted = state.database(), span(period)
    place = read_cursor(cursor, str, str, str)
    after = place and (parse_period(place[0]).first_day, *place)
    kinds = runs.pay_kinds(db, caller)
    frame, total = statements.list_statements(db, caller, wanted.name, kinds, limit + 1, 0, user_id, after)
    items = [Listed.model_validate(row) for row in records(frame)]
    last = items[limit - 1] if len(items) > limit else None
    return Statements(
        items=items[:limit], total=total, next_cursor=to_cursor(last.period, last.name, last.code) if last else None
    )


@routes.get("/{period}/{user_id}", summary="A statement", responses=READ_ONE)
def read_statement(period: PeriodInPath, user_id: IdInPath, caller: Caller, edition: Edition = None) -> Statement:
    """A person's statement of a pay period; while the period is open it is provisional."""
    found = statements.statement(state.database(), caller, user_id, period, edition)
    if found is None:
        raise NotFound(f"There is no statement of {period} for this person: no run has them.")
    return Statement(
        final=found.final,
        code=found.code,
        edition=found.edition,
        editions=dict(found.editions),
        content=dict(found.content),
    )


@routes.get(
    "/{period}/{user_id}/file",
    summary="A statement as a file",
    response_class=Response,
    responses=READ_ONE | FILE,
)
def statement_file(
    period: PeriodInPath,
    user_id: IdInPath,
    caller: Caller,
    format: Literal["pdf", "xlsx", "csv"] = "pdf",  # noqa: A002 - what it is called in the address
    edition: Edition = None,
) -> Response:
    """The same statement as PDF, XLSX or CSV; of a closed period the same bytes whenever it is asked for."""
    read_statement(period, user_id, caller, edition)
    content = statements.statement_file(state.database(), caller, user_id, period, format, edition)
    return file(content, statements.file_name(period, str(user_id), format), format)

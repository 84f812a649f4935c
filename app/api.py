"""The REST API under /api: thin routes over the services, for programs with a bearer token and for our own pages.

Errors are problem+json (RFC 9457).  Endpoints are `def`: they run in threads, where the database may block.
"""

import base64
import binascii
from datetime import date
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from app import state
from app.api_docs import docs_page
from app.auth import COOKIE
from engine.errors import QuotaPathError
from engine.services import deals, sign_in
from engine.services.access import Actor, Forbidden
from engine.services.sign_in import SignInRefused

api = FastAPI(
    title="QuotaPath API",
    version="1",
    description="Send the token of `POST /auth/login` as `Authorization: Bearer ...`. Money is whole minor units.",
    docs_url=None,  # its page loads scripts from elsewhere; ours is below
    redoc_url=None,
    redirect_slashes=False,  # TrailingSlash accepts both
)


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] | None = None


class Person(BaseModel):
    """Someone who may sign in."""

    id: int
    name: str
    email: str
    role: Literal["admin", "finance", "manager", "rep"]


class Credentials(BaseModel):
    """How one signs in."""

    email: str = Field(max_length=254)
    password: str = Field(max_length=1000)


class SignedIn(BaseModel):
    """A session: send `token` as a bearer token until `expires_at`, or until it lies unused for 12 hours."""

    token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105
    expires_at: str
    user: Person


class Deal(BaseModel):
    """A deal; `amount` is in minor units of `currency`."""

    id: int
    source: str
    external_id: str
    name: str
    account: str
    owner: str
    stage: str
    outcome: Literal["open", "won", "lost", "cancelled"]
    amount: int | None
    currency: str
    close_date: date
    type: str
    product: str


class Deals(BaseModel):
    """One page of deals; `next_cursor` fetches the next one, and is null on the last."""

    items: list[Deal]
    total: int
    next_cursor: str | None


def _problem(status: int, detail: str, headers: dict[str, str] | None = None, **more: Any) -> JSONResponse:
    title = HTTPStatus(status).phrase
    body = Problem(title=title, status=status, detail=detail, **more).model_dump(exclude_none=True)
    return JSONResponse(body, status, headers, media_type="application/problem+json")


@api.exception_handler(HTTPException)
def _http(_: Request, error: HTTPException) -> JSONResponse:
    return _problem(error.status_code, str(error.detail), dict(error.headers or {}))


@api.exception_handler(RequestValidationError)
def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
    # Never the input itself: it may hold a password.
    errors = [{"path": ".".join(map(str, each["loc"])), "message": each["msg"]} for each in error.errors()]
    return _problem(422, "The request is not as it should be; see errors.", errors=errors)


@api.exception_handler(Forbidden)
def _forbidden(_: Request, error: Forbidden) -> JSONResponse:
    return _problem(403, str(error))


@api.exception_handler(SignInRefused)
def _refused(_: Request, error: SignInRefused) -> JSONResponse:
    if error.retry_after:
        return _problem(429, str(error), {"Retry-After": str(error.retry_after)})
    return _problem(401, str(error), {"WWW-Authenticate": "Bearer"})


@api.exception_handler(QuotaPathError)
def _unusable(_: Request, error: QuotaPathError) -> JSONResponse:
    return _problem(422, str(error))


@api.exception_handler(Exception)
def _fault(_: Request, error: Exception) -> JSONResponse:
    return _problem(500, f"A fault in the program ({type(error).__name__}); the server's log has more.")


class TrailingSlash:
    """Takes ``/auth/me/`` for ``/auth/me``."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http":
            scope = {**scope, "path": scope["path"].rstrip("/") or "/"}
        await self.app(scope, receive, send)


api.add_middleware(TrailingSlash)


def bearer_token(request: Request) -> str | None:
    """The session token: of the Authorization header, else of our own pages' cookie."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else request.cookies.get(COOKIE)


def signed_in(request: Request) -> Actor:
    """The person whose session the request carries."""
    actor = sign_in.session_actor(state.database(), bearer_token(request))
    if actor is None:
        raise HTTPException(
            401, "Send a live session token: Authorization: Bearer <token>.", {"WWW-Authenticate": "Bearer"}
        )
    return actor


Caller = Annotated[Actor, Depends(signed_in)]
_ERRORS: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "No live session"},
    403: {"model": Problem, "description": "Not part of the role"},
    422: {"model": Problem, "description": "A value cannot be used"},
}


def _person(actor: Actor) -> Person:
    return Person.model_validate({"id": actor.user_id, "name": actor.name, "email": actor.email, "role": actor.role})


@api.post(
    "/auth/login",
    summary="Sign in",
    responses={401: _ERRORS[401], 429: {"model": Problem, "description": "Locked out for a while"}},
)
def login(credentials: Credentials) -> SignedIn:
    """Opens a session.  After 5 wrong passwords sign-in pauses, here and in the browser alike."""
    db = state.database()
    session = sign_in.open_session(db, sign_in.check_password(db, credentials.email, credentials.password))
    actor = sign_in.session_actor(db, session.token)
    if actor is None:  # disabled within this very moment
        raise SignInRefused("The e-mail or the password is not right.")
    return SignedIn(token=session.token, expires_at=session.expires_at.isoformat(), user=_person(actor))


@api.get("/auth/me", summary="Who am I", responses={401: _ERRORS[401]})
def me(caller: Caller) -> Person:
    """The person whose session this is."""
    return _person(caller)


@api.get("/sales/deals", summary="Deals", responses=_ERRORS)
def list_deals(
    caller: Caller,
    text: Annotated[str, Query(max_length=200, description="words of the name, account or id")] = "",
    owner_id: int | None = None,
    team_id: int | None = None,
    outcome: Literal["", "open", "won", "lost", "cancelled"] = "",
    closed_from: Annotated[date | None, Query(description="close date on or after")] = None,
    closed_until: Annotated[date | None, Query(description="close date before")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str, Query(max_length=100, description="`next_cursor` of the page before")] = "",
) -> Deals:
    """The deals that the caller may see, the latest close date first: a rep's own, a manager's team, or all."""
    number = _page_number(cursor)
    filters = deals.DealFilters(
        text=text,
        owner_id=owner_id,
        team_id=team_id,
        outcome=outcome,
        closed_from=closed_from,
        closed_until=closed_until,
    )
    page = deals.list_deals(state.database(), caller, filters, deals.Page(number, limit), state.today())
    rows = page.frame.astype(object).where(page.frame.notna(), None).to_dict("records")
    return Deals(
        items=[Deal.model_validate(row) for row in rows],
        total=page.total,
        next_cursor=_cursor(number + 1) if number * limit < page.total else None,
    )


def _cursor(number: int) -> str:
    return base64.urlsafe_b64encode(f"p{number}".encode()).decode().rstrip("=")


def _page_number(cursor: str) -> int:
    if not cursor:
        return 1
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        text = ""
    number = text.removeprefix("p")
    if not text.startswith("p") or not number.isdigit() or not 1 <= int(number) <= 10_000_000:
        raise QuotaPathError(f"{cursor!r} is not a cursor. Use the next_cursor of the page before, unchanged.")
    return int(number)


@api.get("/docs", include_in_schema=False)
def docs() -> HTMLResponse:
    """The API described, drawn by us so that it loads nothing from elsewhere."""
    return HTMLResponse(docs_page(api.openapi()))

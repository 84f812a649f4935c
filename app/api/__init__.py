"""The REST API under /api: thin routes over the services, for programs with a bearer token and for our own pages.

Each module holds the routes of one part; an endpoint calls the services that the pages call, as the person whose token
the request carries.  Endpoints are `def`: they run in threads, where the database may block.
"""

import re
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api import activities, auth, commissions, deals, errors, limits, payouts, plans, sales, statements
from app.api.docs import docs_page

DESCRIPTION = """\
Make a token on the page API tokens, or with `POST /auth/login`, and send it as `Authorization: Bearer ...`.
Money is whole minor units (cents) of the currency beside it. Lists come page by page: send `next_cursor` as `cursor`
until it is null. Every write takes an `Idempotency-Key`: the same request with the same key is done once.
A refusal is a problem (RFC 9457) that says what is wrong, where, and what to do."""

api = FastAPI(
    title="QuotaPath API",
    version="1",
    description=DESCRIPTION,
    docs_url=None,  # its page loads scripts from elsewhere; ours is below
    redoc_url=None,
    redirect_slashes=False,  # TrailingSlash accepts both
    servers=[{"url": "/api"}],
    root_path_in_servers=False,
)


class TrailingSlash:
    """Takes ``/auth/me/`` for ``/auth/me``."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http":
            scope["path"] = scope["path"].rstrip("/") or "/"  # in place: who measures requests reads their route there
        await self.app(scope, receive, send)


errors.install(api)
for part in (auth, deals, sales, activities, commissions, plans, statements, payouts):
    api.include_router(part.routes)
api.add_middleware(TrailingSlash)
api.add_middleware(limits.SmallBody)
api.add_middleware(limits.RateLimit)


def described() -> dict[str, Any]:
    """The OpenAPI document; refusals are problem+json."""
    if api.openapi_schema is None:
        found = get_openapi(
            title=api.title, version=api.version, description=api.description, routes=api.routes, servers=api.servers
        )
        for operations in found["paths"].values():
            for operation in operations.values():
                for status, response in operation["responses"].items():
                    if status >= "400":
                        response["content"] = {errors.MEDIA_TYPE: response["content"]["application/json"]}
        api.openapi_schema = found
    return api.openapi_schema


api.openapi = described  # type: ignore[method-assign]


@api.get("/docs", include_in_schema=False)
def docs() -> HTMLResponse:
    """The API described, drawn by us so that it loads nothing from elsewhere."""
    return HTMLResponse(docs_page(api.openapi()))


def mount(origins: tuple[str, ...] = ()) -> Mount:
    """The API under /api, whatever stands behind that: else a line break in an address leads past it."""
    found = Mount("/api", _for_origins(origins))
    found.path_regex = re.compile(found.path_regex.pattern, re.DOTALL)
    return found


def _for_origins(origins: tuple[str, ...]) -> ASGIApp:
    """The API as pages of these origins may call it, with a token in the header; cookies are never taken from them."""
    if not origins:
        return api
    return CORSMiddleware(
        api,
        allow_origins=origins,
        allow_methods=("GET", "POST", "PATCH", "DELETE"),
        allow_headers=("Authorization", "Content-Type", "Idempotency-Key"),
        expose_headers=("Retry-After", "Idempotency-Replayed", "Content-Disposition"),
    )

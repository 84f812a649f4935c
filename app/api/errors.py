"""Refusals as problem+json (RFC 9457): what kind, what happened, where, and what to do."""

import logging
from http import HTTPStatus
from typing import Any, NamedTuple

import sqlalchemy as sa
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from engine.errors import Conflict, NotFound, ProblemsError, QuotaPathError
from engine.services.access import Forbidden
from engine.services.once import KeyUsed
from engine.services.sign_in import SignInRefused

MEDIA_TYPE = "application/problem+json"
log = logging.getLogger(__name__)


class Kind(NamedTuple):
    """A kind of problem; its `type` is the address of the place in the documentation that explains it."""

    status: int
    title: str
    meaning: str

    @property
    def type(self) -> str:
        """A URI reference (RFC 9457, section 3.1.1)."""
        return f"/api/docs#{self.title.lower().replace(' ', '-')}"


KINDS = (
    Kind(400, "Unreadable request", "The body is no text. Send JSON in UTF-8."),
    Kind(401, "No live token", "Send `Authorization: Bearer ...` with a token that has not ended or been revoked."),
    Kind(403, "Not allowed", "The role or the token's scopes do not include it, or the person is outside your reach."),
    Kind(404, "Not found", "There is nothing at this address that you may see."),
    Kind(405, "No such method", "The address is there, but takes other methods."),
    Kind(409, "Changed meanwhile", "Somebody else changed it, or something stands on it. Read it again, then decide."),
    Kind(413, "Too large", "The body is larger than the API takes. Send it in parts."),
    Kind(422, "Cannot be used", "Something in the request cannot be; `problems` says where and what to do."),
    Kind(429, "Too many requests", "Wait as many seconds as `Retry-After` says."),
    Kind(500, "A fault in the program", "Nothing was kept. The server's log has more."),
    Kind(503, "Not ready", "The database does not answer. Try again shortly; a write with the same Idempotency-Key."),
)
_BY_STATUS = {kind.status: kind for kind in KINDS}


class Place(BaseModel):
    """One thing that is wrong: where in the request, what, and what to do about it."""

    path: str
    message: str
    remedy: str = ""


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    problems: list[Place] = []


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The refusals of an endpoint, for its documentation."""
    return {status: {"model": Problem, "description": _BY_STATUS[status].title} for status in statuses}


READ = answers(401, 403, 422, 429)
READ_ONE = answers(401, 403, 404, 422, 429)
WRITE = answers(400, 401, 403, 404, 409, 413, 422, 429)


def problem(
    status: int, detail: str, headers: dict[str, str] | None = None, problems: list[Place] | None = None
) -> JSONResponse:
    """The answer that refuses."""
    kind = _BY_STATUS.get(status) or Kind(status, HTTPStatus(status).phrase, "")
    body = Problem(type=kind.type, title=kind.title, status=status, detail=detail, problems=problems or [])
    return JSONResponse(body.model_dump(), status, headers, media_type=MEDIA_TYPE)


_REMEDIES = {  # of what is wrong with a value, by the kind of error; anything else is told in the message
    "missing": "Give it.",
    "string_too_long": "Shorten it.",
    "string_pattern_mismatch": "Write it as /api/docs says; a null character is never allowed.",
    "string_unicode": "Send characters, no halves of them (lone surrogates).",
    "json_invalid": "Send a JSON object.",
    "model_attributes_type": "Send a JSON object.",
    "extra_forbidden": "Leave it out, or correct its name.",
    "literal_error": "Choose one of those.",
}


def install(api: FastAPI) -> None:
    """Make every refusal and every fault of the API a problem."""

    @api.exception_handler(HTTPException)
    def http(_: Request, error: HTTPException) -> JSONResponse:
        kind = _BY_STATUS.get(error.status_code)
        plain = error.detail == HTTPStatus(error.status_code).phrase
        return problem(
            error.status_code, kind.meaning if kind and plain else str(error.detail), dict(error.headers or {})
        )

    @api.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        # Never the input itself: it may hold a password.
        found = [
            Place(
                path=".".join(_printable(str(part)) for part in each["loc"]),
                message=each["msg"],
                remedy=_REMEDIES.get(each["type"], "Correct it; /api/docs says what it takes."),
            )
            for each in error.errors()
        ]
        return problem(422, "The request is not as it should be; problems says where.", problems=found[:100])

    @api.exception_handler(QuotaPathError)
    def refused(_: Request, error: QuotaPathError) -> JSONResponse:
        if isinstance(error, SignInRefused) and not error.retry_after:
            return problem(401, str(error), {"WWW-Authenticate": "Bearer"})
        if isinstance(error, SignInRefused):
            return problem(429, str(error), {"Retry-After": str(error.retry_after)})
        if isinstance(error, Forbidden):
            return problem(403, str(error))
        if isinstance(error, NotFound):
            return problem(404, str(error))
        if isinstance(error, Conflict):
            return problem(409, str(error))
        if isinstance(error, ProblemsError):
            found = [Place(path=each.path, message=each.message, remedy=each.remedy) for each in error.problems]
            what = "The key belongs to another request" if isinstance(error, KeyUsed) else "Nothing was done"
            return problem(422, f"{what}; problems says why.", problems=found)
        return problem(422, str(error))

    @api.exception_handler(sa.exc.OperationalError)
    def no_database(_: Request, error: sa.exc.OperationalError) -> JSONResponse:
        log.error("the database does not answer: %s", error.orig)
        return problem(503, _BY_STATUS[503].meaning, {"Retry-After": "5"})

    @api.exception_handler(Exception)
    def fault(_: Request, error: Exception) -> JSONResponse:
        return problem(500, f"{type(error).__name__}. Nothing was kept; the server's log has more.")


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()[:100]

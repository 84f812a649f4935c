"""Who sends a request, and how a write is done once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from fastapi.responses import Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from app import state
from app.auth import COOKIE
from app.security import is_same_origin
from engine.db.database import Database
from engine.services import access, api_tokens, sign_in
from engine.services.access import Actor, Forbidden
from engine.services.once import once

_bearer = HTTPBearer(auto_error=False, scheme_name="token", description="A token of the page API tokens, or of login")
_SAFE = ("GET", "HEAD", "OPTIONS")


def bearer_token(request: Request) -> str | None:
    """The token of the Authorization header."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return (token.strip() or None) if scheme.lower() == "bearer" else None


def signed_in(request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None) -> Actor:
    """The person whose token the request carries: in its header, else in our own pages' cookie."""
    db, token = state.database(), bearer_token(request)
    if token is not None:
        actor = api_tokens.token_actor(db, token) or sign_in.session_actor(db, token)
    else:
        actor = sign_in.session_actor(db, request.cookies.get(COOKIE))
        # A browser sends the cookie whoever's page asks: only our own may write.
        if actor is not None and request.method not in _SAFE and not is_same_origin(request):
            raise Forbidden("This came from another site's page. Send a token in the Authorization header instead.")
    if actor is None:
        raise HTTPException(401, "Send a live token: Authorization: Bearer <token>.", {"WWW-Authenticate": "Bearer"})
    return actor


Caller = Annotated[Actor, Depends(signed_in)]
Key = Annotated[
    str,
    Header(
        pattern=r"^[!-~]{0,200}$",
        description="a text of your own, new for each write: the same request with the same key is done once",
    ),
]


@dataclass(frozen=True)
class Writing:
    """A write that somebody may do; `once` does it."""

    actor: Actor
    key: str
    request: str

    def once(
        self, body: BaseModel | None, action: Callable[[Database], BaseModel | None], status: int = 200
    ) -> Response:
        """Do it, unless the key says that it was done; the answer is the same, with `Idempotency-Replayed`.

        `action` gets the database of the transaction in which its answer is kept.
        """

        def answer(db: Database) -> tuple[int, str]:
            found = action(db)
            return (204, "") if found is None else (status, found.model_dump_json())

        said = "" if body is None else body.model_dump_json(exclude_unset=True)
        (code, text), replayed = once(state.database(), self.actor, self.key, f"{self.request}\n{said}", answer)
        headers = {"Idempotency-Replayed": "true"} if replayed else {}
        return Response(text or None, code, headers, media_type="application/json" if text else None)


def writing(action: str) -> Any:
    """What an endpoint that writes asks for: a caller who may do `action`, and the key of the request."""

    def found(request: Request, caller: Caller, idempotency_key: Key = "") -> Writing:
        access.require(caller, action)
        return Writing(caller, idempotency_key, f"{request.method} {request.url.path}?{request.url.query}")

    return Depends(found)


def file(content: bytes, name: str, kind: str) -> Response:
    """A file to keep; its name is ours, so it holds nothing that a header may not."""
    return Response(content, 200, {"Content-Disposition": f'attachment; filename="{name}"'}, media_type=MEDIA[kind])


MEDIA = {
    "pdf": "application/pdf",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "csv": "text/csv; charset=utf-8",
}
FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file",
        "content": {
            kind.partition(";")[0]: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA.values()
        },
    }
}

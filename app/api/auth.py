"""Sign in, sign out, who am I."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from app import state
from app.api.callers import Caller, bearer_token, signed_in
from app.api.errors import answers
from app.api.fields import Body
from app.auth import COOKIE
from engine.services import sign_in
from engine.services.access import Actor, Forbidden
from engine.services.sign_in import SignInRefused

routes = APIRouter(prefix="/auth", tags=["auth"])


class Person(BaseModel):
    """Someone who may sign in; `scopes` are those of the API token that was sent, null for a session."""

    id: int
    name: str
    email: str
    role: Literal["admin", "finance", "manager", "rep"]
    scopes: list[str] | None = None


class Credentials(Body):
    """How one signs in."""

    email: str = Field(max_length=254)
    password: str = Field(max_length=1000)


class SignedIn(BaseModel):
    """A session: send `token` as a bearer token until `expires_at`, or until it lies unused for 12 hours."""

    token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105
    expires_at: datetime
    user: Person


def _person(actor: Actor) -> Person:
    scopes = None if actor.scopes is None else sorted(actor.scopes)
    return Person.model_validate(
        {"id": actor.user_id, "name": actor.name, "email": actor.email, "role": actor.role, "scopes": scopes}
    )


@routes.post("/login", summary="Sign in", responses=answers(400, 401, 413, 422, 429))
def login(credentials: Credentials, request: Request) -> SignedIn:
    """Opens a session.  After 5 wrong passwords sign-in pauses, here and in the browser alike."""
    db = state.database()
    address = request.client.host if request.client else None
    user_id = sign_in.check_password(db, credentials.email, credentials.password, address)
    session = sign_in.open_session(db, user_id)
    actor = sign_in.session_actor(db, session.token)
    if actor is None:  # disabled within this very moment
        raise SignInRefused("The e-mail or the password is not right.")
    return SignedIn(token=session.token, expires_at=session.expires_at, user=_person(actor))


@routes.post("/logout", summary="Sign out", status_code=204, responses=answers(401, 403, 429))
def logout(request: Request, caller: Annotated[Actor, Depends(signed_in)]) -> None:
    """Ends the session that the request carries; its token is worth nothing from then on."""
    if caller.scopes is not None:
        raise Forbidden("An API token is not signed out. Revoke it on the page API tokens.")
    sign_in.end_session(state.database(), bearer_token(request) or request.cookies[COOKIE])


@routes.get("/me", summary="Who am I", responses=answers(401, 429))
def me(caller: Caller) -> Person:
    """The person whose token this is."""
    return _person(caller)

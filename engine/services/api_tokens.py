"""API tokens: a program acts for a person, with less than the person may.

A token is random; the database holds its SHA-256 only, so it is shown once.  It ends when it expires, when it is
revoked, and with whatever ends the person's sessions (`sign_in.end_sessions`).
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.db import api_tokens, audit
from engine.db.api_tokens import Token
from engine.db.database import Database
from engine.errors import NotFound, Problem, ProblemsError
from engine.services.access import SCOPES, Actor, Reach, require, user_of
from engine.services.sign_in import hash_secret

__all__ = ["SCOPES", "Token"]

PREFIX = "qp_"  # tells a token from a session, and lets scanners of leaked secrets know it
LONGEST_DAYS = 366
_MOST = 50  # live tokens of one person


@dataclass(frozen=True)
class NewToken:
    """A token that was just made; `secret` is shown now and never again."""

    id: int
    secret: str
    expires_at: datetime


def create_token(db: Database, actor: Actor, name: str, scopes: frozenset[str], days: int, now: datetime) -> NewToken:
    """Make a token of the actor's own that ends after `days`.  Raises ProblemsError."""
    require(actor, "tokens.edit")
    name = " ".join(name.replace("\0", " ").split())
    problems = []
    if not 1 <= len(name) <= 100:
        problems.append(Problem("name", f"has {len(name)} characters.", "Say in 1 to 100 what the token is for."))
    if not scopes or scopes - set(SCOPES):
        problems.append(Problem("scopes", "say what the token may do.", f"Choose from {', '.join(SCOPES)}."))
    if not 1 <= days <= LONGEST_DAYS:
        problems.append(Problem("days", f"{days} is not between 1 and {LONGEST_DAYS}.", "Choose when it ends."))
    if problems:
        raise ProblemsError(problems)
    secret = PREFIX + secrets.token_urlsafe(32)
    expires_at = now + timedelta(days=days)
    with db.write(actor) as conn:
        if sum(each.is_live for each in api_tokens.listing(conn, user_of(actor))) >= _MOST:
            raise ProblemsError([Problem("tokens", f"You have {_MOST} already.", "Revoke those that nothing uses.")])
        token_id = api_tokens.add(conn, user_of(actor), name, hash_secret(secret), sorted(scopes), expires_at)
        detail = {"made": name, "scopes": sorted(scopes), "expires_at": expires_at}
        audit.record(conn, actor.user_id, "tokens.edit", f"API token {token_id}", detail)
    return NewToken(token_id, secret, expires_at)


def list_tokens(db: Database, actor: Actor) -> list[Token]:
    """The actor's tokens, for an admin everyone's; the newest first."""
    found = require(actor, "tokens.edit")
    with db.read(actor) as conn:
        return api_tokens.listing(conn, None if found is Reach.ALL else user_of(actor))


def revoke_token(db: Database, actor: Actor, token_id: int) -> None:
    """End a token at once: one's own, an admin any.  Once revoked it stays so."""
    found = require(actor, "tokens.edit")
    with db.write(actor) as conn:
        mine = api_tokens.listing(conn, None if found is Reach.ALL else user_of(actor))
        token = next((each for each in mine if each.id == token_id), None)
        if token is None:
            raise NotFound(f"You have no API token number {token_id}. Choose one of the list.")
        if api_tokens.revoke(conn, token_id, f"revoked by {actor.name}"):
            detail = {"revoked": token.name, "of": token.person}
            audit.record(conn, actor.user_id, "tokens.edit", f"API token {token_id}", detail)


def token_actor(db: Database, token: str) -> Actor | None:
    """Whose live API token it is, with the role as of now and the token's scopes; None when there is none."""
    if not token.startswith(PREFIX):
        return None
    with db.read() as conn:
        user = api_tokens.token_user(conn, hash_secret(token))
    if user is None:
        return None
    if user.stale:
        with db.write() as conn:
            api_tokens.touch(conn, user.token_id)
    return Actor(user.user_id, user.role, user.name, user.email, frozenset(user.scopes))

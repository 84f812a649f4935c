"""Doing what a program asked for once, however often the request comes: after a lost answer it may be sent again."""

import hashlib
from collections.abc import Callable

from engine.db import api_requests
from engine.db.database import Database
from engine.errors import Problem, ProblemsError
from engine.services.access import Actor, user_of

Answer = tuple[int, str]  # HTTP status and JSON


class KeyUsed(ProblemsError):
    """The idempotency key belongs to another request."""


def once(
    db: Database, actor: Actor, key: str, request: str, action: Callable[[Database], Answer]
) -> tuple[Answer, bool]:
    """The answer of `action`, and whether it is that of an earlier request with the same key.

    `action` gets a database whose commits are this transaction's: what it did and its answer are kept together, or
    neither is.  When it raises, nothing is kept and the key is free again.  `key` "" means no key.
    Raises KeyUsed when the key came with another `request` before.
    """
    with db.joined(actor) as joined, joined.write(actor) as conn:
        if not key:
            return action(joined), False
        digest = hashlib.sha256(request.encode()).digest()
        kept = api_requests.claim(conn, user_of(actor), key, digest)
        if kept is not None:
            if kept.request_hash != digest:
                raise KeyUsed(
                    [
                        Problem(
                            "Idempotency-Key",
                            f"{key[:60]!r} was sent before, with another request.",
                            "Give every request a key of its own; send the same key only to repeat the same request.",
                        )
                    ]
                )
            return (kept.status, kept.answer), True
        status, answer = action(joined)
        api_requests.keep(conn, user_of(actor), key, status, answer)
        return (status, answer), False

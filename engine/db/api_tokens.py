"""API tokens as the database keeps them: by their hash only."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa


@dataclass(frozen=True)
class Token:
    """A token without its secret.  It `is_live` until it expires, is revoked, or its person may not sign in."""

    id: int
    user_id: int
    person: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None
    revoked_because: str | None
    is_live: bool


@dataclass(frozen=True)
class TokenUser:
    """Whose live token it is; `stale`: its last use was noted more than a minute ago."""

    token_id: int
    user_id: int
    role: str
    name: str
    email: str
    scopes: tuple[str, ...]
    stale: bool


_LIVE = """
    t.revoked_at IS NULL AND t.expires_at > now() AND u.is_active AND (u.left_on IS NULL OR u.left_on > current_date)
"""
_TOKEN_USER = sa.text(f"""
    SELECT t.id, u.id, u.role, u.name, u.email, t.scopes,
           coalesce(t.last_used_at < now() - interval '1 minute', true)
      FROM api_tokens t JOIN users u ON u.id = t.user_id
     WHERE t.token_hash = :hash AND {_LIVE}
""")  # noqa: S608 - the text is this module's own
_LISTED = sa.text(f"""
    SELECT t.id, t.user_id, u.name, t.name, t.scopes, t.created_at, t.expires_at, t.last_used_at, t.revoked_at,
           t.revoked_because, {_LIVE}
      FROM api_tokens t JOIN users u ON u.id = t.user_id
     WHERE CAST(:user AS bigint) IS NULL OR t.user_id = :user
     ORDER BY t.id DESC
""")  # noqa: S608 - the text is this module's own


def add(
    conn: sa.Connection, user_id: int, name: str, token_hash: bytes, scopes: Sequence[str], expires_at: datetime
) -> int:
    """Keep a new token; gives its id."""
    token_id: int = conn.execute(
        sa.text(
            "INSERT INTO api_tokens (user_id, name, token_hash, scopes, expires_at)"
            " VALUES (:user, :name, :hash, :scopes, :expires) RETURNING id"
        ),
        {"user": user_id, "name": name, "hash": token_hash, "scopes": list(scopes), "expires": expires_at},
    ).scalar_one()
    return token_id


def token_user(conn: sa.Connection, token_hash: bytes) -> TokenUser | None:
    """Whose live token this is, with the role as of now; None when there is none."""
    row = conn.execute(_TOKEN_USER, {"hash": token_hash}).one_or_none()
    return None if row is None else TokenUser(row[0], row[1], row[2], row[3], row[4], tuple(row[5]), row[6])


def touch(conn: sa.Connection, token_id: int) -> None:
    """Note that the token was used."""
    conn.execute(sa.text("UPDATE api_tokens SET last_used_at = now() WHERE id = :id"), {"id": token_id})


def listing(conn: sa.Connection, user_id: int | None) -> list[Token]:
    """The tokens of a person, or (None) of everyone, the newest first."""
    return [replace(Token(*row), scopes=tuple(row.scopes)) for row in conn.execute(_LISTED, {"user": user_id})]


def revoke(conn: sa.Connection, token_id: int, because: str) -> bool:
    """End a token for good; False when it was ended before."""
    done = conn.execute(
        sa.text(
            "UPDATE api_tokens SET revoked_at = now(), revoked_because = :because WHERE id = :id AND revoked_at IS NULL"
        ),
        {"id": token_id, "because": because},
    )
    return done.rowcount == 1


def revoke_all(conn: sa.Connection, user_id: int, because: str) -> int:
    """End every token of a person; returns how many there were."""
    return conn.execute(
        sa.text(
            "UPDATE api_tokens SET revoked_at = now(), revoked_because = :because"
            " WHERE user_id = :user AND revoked_at IS NULL"
        ),
        {"user": user_id, "because": because},
    ).rowcount

"""Writes that were asked for with a key, and how they were answered."""

from dataclasses import dataclass

import sqlalchemy as sa

DAYS = 7  # that a key is remembered


@dataclass(frozen=True)
class Kept:
    """An earlier request with the same key."""

    request_hash: bytes
    status: int
    answer: str


def claim(conn: sa.Connection, user_id: int, key: str, request_hash: bytes) -> Kept | None:
    """Take the key for this transaction, or give the earlier request that has it.

    Waits while another transaction has taken the key: either that one keeps it, or it is free again.
    """
    conn.execute(sa.text(f"DELETE FROM api_requests WHERE at < now() - interval '{DAYS} days'"))  # noqa: S608 - a number
    values = {"user": user_id, "key": key, "hash": request_hash}
    taken = conn.scalar(
        sa.text(
            "INSERT INTO api_requests (user_id, key, request_hash) VALUES (:user, :key, :hash)"
            " ON CONFLICT (user_id, key) DO NOTHING RETURNING true"
        ),
        values,
    )
    if taken:
        return None
    row = conn.execute(
        sa.text("SELECT request_hash, status, answer FROM api_requests WHERE user_id = :user AND key = :key"), values
    ).one()
    return Kept(bytes(row.request_hash), row.status, row.answer)


def keep(conn: sa.Connection, user_id: int, key: str, status: int, answer: str) -> None:
    """Keep the answer to the request that has the key."""
    conn.execute(
        sa.text("UPDATE api_requests SET status = :status, answer = :answer WHERE user_id = :user AND key = :key"),
        {"user": user_id, "key": key, "status": status, "answer": answer},
    )

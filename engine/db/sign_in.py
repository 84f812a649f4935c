"""Sign-in as the database keeps it: failed attempts, one-time tickets, sessions.  Secrets are stored hashed."""

from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

# Counts an attempt before the password is looked at, so that guesses in parallel count too.  No row: locked.
_BEGIN_ATTEMPT = sa.text("""
    INSERT INTO sign_in_failures AS f (subject, failed) VALUES (lower(:subject), 1)
    ON CONFLICT (subject) DO UPDATE SET
        failed = CASE WHEN f.last_at < now() - :hours * interval '1 hour' THEN 1 ELSE f.failed + 1 END,
        last_at = now(),
        locked_until = CASE WHEN f.last_at >= now() - :hours * interval '1 hour' AND f.failed + 1 >= :allowed
            THEN now() + least(:first * power(2, least(f.failed + 1 - :allowed, 20)), :longest) * interval '1 second'
            END
      WHERE f.locked_until IS NULL OR f.locked_until <= now()
    RETURNING failed
""")
_FORGET_OLD_ATTEMPTS = sa.text("DELETE FROM sign_in_failures WHERE last_at < now() - interval '1 day'")
# The one that was right does not count; what others of the same address got wrong does.
_TAKE_BACK_ATTEMPT = sa.text("""
    UPDATE sign_in_failures SET failed = greatest(failed - 1, 1), locked_until = NULL WHERE subject = lower(:subject)
""")
_LOCKED_FOR = sa.text("""
    SELECT ceil(extract(epoch FROM locked_until - now()))::int FROM sign_in_failures WHERE subject = lower(:subject)
""")
_USER_BY_EMAIL = sa.text("""
    SELECT id, password_hash FROM users WHERE lower(email) = lower(:email) AND is_active
       AND (left_on IS NULL OR left_on > current_date) AND password_hash IS NOT NULL
""")
# A session lives while it is used, at most for its whole time, and only as long as its person is active.
_SESSION_USER = sa.text("""
    SELECT s.id AS session_id, u.id AS user_id, u.role, u.name, u.email,
           s.seen_at < now() - interval '1 minute' AS stale
      FROM user_sessions s JOIN users u ON u.id = s.user_id
     WHERE s.token_hash = :token_hash AND s.ended_at IS NULL AND s.expires_at > now()
       AND s.seen_at > now() - :idle_hours * interval '1 hour' AND u.is_active
       AND (u.left_on IS NULL OR u.left_on > current_date)
""")


class KnownUser(NamedTuple):
    id: int
    password_hash: str


class KnownPerson(NamedTuple):
    user_id: int
    name: str
    email: str


class SessionUser(NamedTuple):
    """Whose session it is; `stale`: its last use was noted more than a minute ago."""

    session_id: int
    user_id: int
    role: str
    name: str
    email: str
    stale: bool


class Patience(NamedTuple):
    """How many wrong passwords are taken: `allowed`, with less than `hours` between two, then a pause of `first`
    seconds, which doubles with each further one up to `longest`."""

    allowed: int
    hours: int
    first: int
    longest: int


def begin_attempt(conn: sa.Connection, subject: str, patience: Patience) -> int | None:
    """Count one attempt for an e-mail, known or not, or an address: the attempts so far, or None while it is locked."""
    conn.execute(_FORGET_OLD_ATTEMPTS)
    attempt: int | None = conn.scalar(_BEGIN_ATTEMPT, {"subject": subject, **patience._asdict()})
    return attempt


def locked_for(conn: sa.Connection, subject: str) -> int:
    """Seconds until the e-mail or address may try again; 0 or less when it may now."""
    return conn.scalar(_LOCKED_FOR, {"subject": subject}) or 0


def forget_attempts(conn: sa.Connection, email: str) -> None:
    """The password was right: the count starts anew."""
    conn.execute(sa.text("DELETE FROM sign_in_failures WHERE subject = lower(:email)"), {"email": email})


def take_back_attempt(conn: sa.Connection, address: str) -> None:
    """The password was right: this attempt of the address does not count."""
    conn.execute(_TAKE_BACK_ATTEMPT, {"subject": address})


def set_link(conn: sa.Connection, link_hash: bytes, user_id: int, hours: int) -> None:
    """Keep a link that sets the person's password, once, within `hours`; the one before it is worth nothing."""
    conn.execute(
        sa.text("""
            INSERT INTO sign_in_links (link_hash, user_id, expires_at)
            VALUES (:link, :user, now() + :hours * interval '1 hour')
            ON CONFLICT (user_id) DO UPDATE SET link_hash = excluded.link_hash, expires_at = excluded.expires_at
        """),
        {"link": link_hash, "user": user_id, "hours": hours},
    )


def link_person(conn: sa.Connection, link_hash: bytes, lock: bool = False) -> KnownPerson | None:
    """Whose password the link sets; None when it was used, replaced or is too old, or the person has left."""
    query = """
        SELECT u.id, u.name, u.email FROM sign_in_links l JOIN users u ON u.id = l.user_id
         WHERE l.link_hash = :link AND l.expires_at > now() AND u.is_active
           AND (u.left_on IS NULL OR u.left_on > current_date)
    """
    row = conn.execute(sa.text(query + ("FOR UPDATE" if lock else "")), {"link": link_hash}).one_or_none()
    return None if row is None else KnownPerson(*row)


def forget_link(conn: sa.Connection, user_id: int) -> None:
    """The link of the person is used up."""
    conn.execute(sa.text("DELETE FROM sign_in_links WHERE user_id = :user"), {"user": user_id})


def password_hash(conn: sa.Connection, user_id: int) -> str | None:
    """The bcrypt hash of a person's password."""
    found: str | None = conn.scalar(sa.text("SELECT password_hash FROM users WHERE id = :user"), {"user": user_id})
    return found


def user_by_email(conn: sa.Connection, email: str) -> KnownUser | None:
    """The active user with that e-mail and a password."""
    row = conn.execute(_USER_BY_EMAIL, {"email": email}).one_or_none()
    return None if row is None else KnownUser(*row)


def add_ticket(conn: sa.Connection, ticket_hash: bytes, user_id: int, seconds: int) -> None:
    """Keep a ticket that `take_ticket` accepts once, within `seconds`; throw away the expired ones."""
    conn.execute(sa.text("DELETE FROM sign_in_tickets WHERE expires_at < now()"))
    conn.execute(
        sa.text(
            "INSERT INTO sign_in_tickets (ticket_hash, user_id, expires_at)"
            " VALUES (:ticket, :user, now() + :seconds * interval '1 second')"
        ),
        {"ticket": ticket_hash, "user": user_id, "seconds": seconds},
    )


def take_ticket(conn: sa.Connection, ticket_hash: bytes) -> int | None:
    """Use up a ticket: whose it was, or None when there is none (any more)."""
    user_id: int | None = conn.scalar(
        sa.text(
            "DELETE FROM sign_in_tickets t USING users u WHERE ticket_hash = :ticket AND expires_at > now()"
            " AND u.id = t.user_id AND u.is_active AND (u.left_on IS NULL OR u.left_on > current_date)"
            " RETURNING t.user_id"
        ),
        {"ticket": ticket_hash},
    )
    return user_id


def add_session(conn: sa.Connection, token_hash: bytes, user_id: int, hours: int) -> datetime:
    """Open a session; returns when it expires at the latest."""
    expires: datetime = conn.execute(
        sa.text(
            "INSERT INTO user_sessions (user_id, token_hash, expires_at)"
            " VALUES (:user, :token, now() + :hours * interval '1 hour') RETURNING expires_at"
        ),
        {"user": user_id, "token": token_hash, "hours": hours},
    ).scalar_one()
    return expires


def session_user(conn: sa.Connection, token_hash: bytes, idle_hours: int) -> SessionUser | None:
    """Whose live session this is, with the role as of now; None when it ended, expired or lay unused too long."""
    row = conn.execute(_SESSION_USER, {"token_hash": token_hash, "idle_hours": idle_hours}).one_or_none()
    return None if row is None else SessionUser(*row)


def touch_session(conn: sa.Connection, session_id: int) -> None:
    """Note that the session is in use."""
    conn.execute(sa.text("UPDATE user_sessions SET seen_at = now() WHERE id = :id"), {"id": session_id})


def end_session(conn: sa.Connection, token_hash: bytes, because: str) -> None:
    """End one session, if it has not ended yet."""
    conn.execute(
        sa.text(
            "UPDATE user_sessions SET ended_at = now(), ended_because = :because"
            " WHERE token_hash = :token AND ended_at IS NULL"
        ),
        {"token": token_hash, "because": because},
    )


def end_sessions(conn: sa.Connection, user_id: int, because: str, but: bytes = b"") -> int:
    """End every session of a person but one, and their unused tickets; returns how many sessions."""
    conn.execute(sa.text("DELETE FROM sign_in_tickets WHERE user_id = :user"), {"user": user_id})
    return conn.execute(
        sa.text(
            "UPDATE user_sessions SET ended_at = now(), ended_because = :because"
            " WHERE user_id = :user AND ended_at IS NULL AND token_hash <> :but"
        ),
        {"user": user_id, "because": because, "but": but},
    ).rowcount

"""Who is at the door: passwords, the lock-out after wrong ones, and sessions that end on the server.

A session is a random token; the database holds its SHA-256 only.  The browser has it in an HttpOnly
cookie, a program as its bearer token.  The same check and the same lock-out serve the form and the API.
A password is chosen by its owner: over a one-time link that an admin hands out, or in place of the old one.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

import bcrypt
import sqlalchemy as sa
from zxcvbn import zxcvbn

from engine.db import api_tokens, audit, people, sign_in
from engine.db.database import Database
from engine.db.sign_in import KnownPerson, Patience
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.services.access import Actor, user_of

BY_EMAIL = Patience(allowed=5, hours=24, first=60, longest=15 * 60)
BY_ADDRESS = Patience(allowed=50, hours=1, first=60, longest=15 * 60)  # a whole office may sit behind one
TICKET_SECONDS = 60
LINK_HOURS = 72
SESSION_HOURS = 7 * 24
IDLE_HOURS = 12
SHORTEST = 10  # characters of a password
ROUNDS = 12  # of bcrypt, as a power of two: a fifth of a second
LONGEST_BYTES = 72  # bcrypt looks at no more; a longer one is refused, never cut
EASY = 2  # zxcvbn's score: below it a million tries are enough


class SignInRefused(QuotaPathError):
    """No sign-in; the text says what to do and is the same whether or not the person exists.

    `retry_after` is the number of seconds to wait, or None.
    """

    def __init__(self, text: str, retry_after: int | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


@dataclass(frozen=True)
class Session:
    """An open session: its secret token, shown once, and when it ends at the latest."""

    token: str
    user_id: int
    expires_at: datetime


def password_problems(password: str, about: Sequence[str] = (), path: str = "password") -> list[Problem]:
    """What is wrong with a new password; spaces around it do not count, and what is known `about` its owner is easy."""
    password = password.strip()
    if len(password) < SHORTEST:
        return [Problem(path, f"has {len(password)} characters.", f"Use at least {SHORTEST}.")]
    if not _can_be_typed(password):
        return [Problem(path, "holds a character that cannot be typed.", "Use letters, digits and signs.")]
    size = len(password.encode())
    if size > LONGEST_BYTES:
        return [Problem(path, f"is {size} bytes long.", f"Use at most {LONGEST_BYTES}; accented letters count double.")]
    found = zxcvbn(password, user_inputs=["quotapath", *about, *" ".join(about).replace("@", " ").split()])
    if found["score"] < EASY:
        why = found["feedback"]["warning"].rstrip(".") or "It is one of the first million that a guesser tries"
        return [
            Problem(path, f"is easy to guess. {why}.", "Add a word or two that have nothing to do with each other.")
        ]
    return []


def _new_password(password: str, again: str, about: Sequence[str]) -> str:
    """The hash of a password that was typed twice.  Raises ProblemsError."""
    problems = password_problems(password, about)
    if password != again:
        problems.append(Problem("password again", "is not the same password.", "Type it once more."))
    if problems:
        raise ProblemsError(problems)
    return hash_password(password)


def _can_be_typed(text: str) -> bool:
    """Whether it is free of what neither bcrypt nor the database takes: NUL and halves of characters."""
    return not any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in text)


def hash_password(password: str) -> str:
    """The bcrypt hash to keep of a password without `password_problems`."""
    return bcrypt.hashpw(password.strip().encode(), bcrypt.gensalt(ROUNDS)).decode()


@cache
def _nobodys_hash() -> bytes:
    return bcrypt.hashpw(b"nobody", bcrypt.gensalt(ROUNDS))


def check_password(db: Database, email: str, password: str, address: str | None = None) -> int:
    """The user id of the active person with this e-mail and password; `address` is where the attempt comes from.

    Raises SignInRefused otherwise.  An unknown e-mail costs the same work, counts the same attempts and
    gets the same answers as a known one.
    """
    email, password = email.strip(), password.strip()
    usable = 3 <= len(email) <= 254 and _can_be_typed(email + password)
    if not usable or len(password.encode()) > LONGEST_BYTES:
        raise SignInRefused("The e-mail or the password is not right.")
    place = f"from {address[:64]}" if address else None
    with db.write() as conn:
        if place and sign_in.begin_attempt(conn, place, BY_ADDRESS) is None:
            pause = sign_in.locked_for(conn, place)
            raise SignInRefused(f"Too many wrong passwords from your network. Try again in {_spoken(pause)}.", pause)
        attempt = sign_in.begin_attempt(conn, email, BY_EMAIL)
        pause = sign_in.locked_for(conn, email)
        user = sign_in.user_by_email(conn, email)
    if attempt is None:
        raise SignInRefused(f"Too many wrong passwords. Try again in {_spoken(pause)}.", pause)
    # Outside the transaction: it takes a fifth of a second on purpose.
    right = bcrypt.checkpw(password.encode(), user.password_hash.encode() if user else _nobodys_hash())
    if user is None or not right:
        if pause > 0:
            raise SignInRefused(f"The e-mail or the password is not right. Try again in {_spoken(pause)}.", pause)
        left = BY_EMAIL.allowed - attempt
        raise SignInRefused(
            f"The e-mail or the password is not right. {left} more {'try' if left == 1 else 'tries'} before a pause."
        )
    with db.write() as conn:
        sign_in.forget_attempts(conn, email)
        if place:
            sign_in.take_back_attempt(conn, place)
    return user.id


def _spoken(seconds: int) -> str:
    if seconds <= 60:
        return f"{max(seconds, 1)} seconds"
    return f"{-(-seconds // 60)} minutes"


def hash_secret(secret: str) -> bytes:
    """What is kept of a token: 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(secret.encode(errors="replace")).digest()


def open_ticket(db: Database, user_id: int) -> str:
    """A ticket for a person whose password was just checked; `redeem_ticket` takes it once, within a minute."""
    ticket = secrets.token_urlsafe(32)
    with db.write() as conn:
        sign_in.add_ticket(conn, hash_secret(ticket), user_id, TICKET_SECONDS)
    return ticket


def redeem_ticket(db: Database, ticket: str) -> Session:
    """Exchange a ticket for a session.  Raises SignInRefused when it was used before or is too old."""
    with db.write() as conn:
        user_id = sign_in.take_ticket(conn, hash_secret(ticket))
        if user_id is None:
            raise SignInRefused("This sign-in took too long. Please sign in again.")
        return _open_session(conn, user_id)


def open_session(db: Database, user_id: int) -> Session:
    """A session for a person whose password was just checked."""
    with db.write() as conn:
        return _open_session(conn, user_id)


def _open_session(conn: sa.Connection, user_id: int) -> Session:
    token = secrets.token_urlsafe(32)
    return Session(token, user_id, sign_in.add_session(conn, hash_secret(token), user_id, SESSION_HOURS))


def session_actor(db: Database, token: str | None) -> Actor | None:
    """The person whose live session the token is, with the role as of now; None when there is none."""
    if not token:
        return None
    with db.read() as conn:
        user = sign_in.session_user(conn, hash_secret(token), IDLE_HOURS)
    if user is None:
        return None
    if user.stale:
        with db.write() as conn:
            sign_in.touch_session(conn, user.session_id)
    return Actor(user.user_id, user.role, user.name, user.email)


def end_session(db: Database, token: str, because: str = "signed out") -> None:
    """Sign out: the token is worth nothing from now on, wherever a copy of it is."""
    with db.write() as conn:
        sign_in.end_session(conn, hash_secret(token), because)


def end_sessions(conn: sa.Connection, user_id: int, because: str) -> int:
    """End all sessions and API tokens of a person within the caller's transaction: disabled, other role, new password.

    `because` is kept with each.  Returns how many sessions there were.
    """
    api_tokens.revoke_all(conn, user_id, because)
    return sign_in.end_sessions(conn, user_id, because)


# --- passwords -------------------------------------------------------------------------------------


def give_link(conn: sa.Connection, user_id: int) -> str:
    """The secret of a link that lets a person choose a password, once, within `LINK_HOURS`; shown to nobody again.

    In the caller's transaction; an earlier link of the person is worth nothing from then on.
    """
    secret = secrets.token_urlsafe(32)
    sign_in.set_link(conn, hash_secret(secret), user_id, LINK_HOURS)
    return secret


def link_person(db: Database, secret: str) -> KnownPerson | None:
    """Who chooses a password over the link; None when it is used up, replaced, too old or none at all."""
    with db.read() as conn:
        return sign_in.link_person(conn, hash_secret(secret))


def choose_password(db: Database, secret: str, password: str, again: str) -> int:
    """Set the password of the link's person and use the link up; returns the user id.  All sessions and API tokens end.

    Raises ProblemsError for a poor password, SignInRefused for a link that is worth nothing (any more).
    """
    with db.write() as conn:
        person = sign_in.link_person(conn, hash_secret(secret), lock=True)
        if person is None:
            raise SignInRefused("This link was used already, or is too old. Ask an admin for a new one.")
        people.set_password(conn, person.user_id, _new_password(password, again, (person.name, person.email)))
        sign_in.forget_link(conn, person.user_id)
        sign_in.forget_attempts(conn, person.email)
        end_sessions(conn, person.user_id, "new password")
        audit.record(conn, person.user_id, "password.choose", f"user {person.user_id}")
    return person.user_id


def change_password(db: Database, actor: Actor, token: str, old: str, password: str, again: str) -> None:
    """Replace one's own password, which is asked for first; all sessions but that of `token` end, and all API tokens.

    Raises SignInRefused when the old one is wrong (counted as at the door), ProblemsError for a poor new one.
    """
    user_id = user_of(actor)
    if check_password(db, actor.email, old) != user_id:
        raise SignInRefused("The old password is not right.")
    hashed = _new_password(password, again, (actor.name, actor.email))
    with db.write() as conn:  # how people sign in is closed to all of them
        people.set_password(conn, user_id, hashed)
        sign_in.forget_link(conn, user_id)
        api_tokens.revoke_all(conn, user_id, "new password")
        sign_in.end_sessions(conn, user_id, "new password", but=hash_secret(token))
        audit.record(conn, user_id, "password.change", f"user {user_id}")

"""The first start: an empty database gets its first admin, or the demo company.  Once, by whoever is first."""

import re
from dataclasses import dataclass

from engine.db import audit
from engine.db import setup as rows
from engine.db.database import Database
from engine.db.setup import Company
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.money import currency_digits
from engine.services import naming, sign_in

__all__ = ["Company"]

_EMAIL = re.compile(r"[^@\s\0]+@[^@\s\0]+\.[^@\s.\0]+")


class AlreadySetUp(QuotaPathError):
    """There is a user already; the first start is over."""

    def __init__(self) -> None:
        super().__init__("This server has been set up already. Sign in, or ask its admin for an account.")


@dataclass(frozen=True)
class FirstAdmin:
    """What the form of the first start asks for."""

    company: str
    currency: str
    name: str
    email: str
    password: str
    password_again: str


def is_empty(db: Database) -> bool:
    """Whether nobody can sign in yet, because there is no user."""
    with db.read() as conn:
        return not rows.has_users(conn)


def company(db: Database) -> Company | None:
    """The company's name and currency; None before the first start is over."""
    with db.read() as conn:
        return rows.company(conn)


def demo_accounts(db: Database) -> list[tuple[str, str, str]]:
    """(role, name, e-mail) of one person of each role; none unless it is the demo company."""
    with db.read() as conn:
        found = rows.company(conn)
        return rows.one_of_each_role(conn) if found and found.is_demo else []


def create_first_admin(db: Database, form: FirstAdmin) -> int:
    """Create the company and its first admin; returns the user id.

    Raises ProblemsError for what is wrong in the form, AlreadySetUp when there is a user: of two at the same
    time one wins.
    """
    name, email, title = form.name.strip(), form.email.strip(), form.company.strip()
    problems = _problems(form)
    if problems:
        raise ProblemsError(problems)
    password_hash = sign_in.hash_password(form.password)
    with db.write() as conn:
        rows.lock_setup(conn)
        if rows.has_users(conn):
            raise AlreadySetUp
        rows.add_company(conn, title, form.currency, is_demo=False)
        user_id = rows.add_admin(conn, naming.slug(name, ".") or "admin", name, email, password_hash)
        audit.record(conn, user_id, "setup.first_admin", f"user {user_id}")
    return user_id


def _problems(form: FirstAdmin) -> list[Problem]:
    problems = []
    for path, value in (("company name", form.company), ("your name", form.name)):
        if not 1 <= len(value.strip()) <= 200 or "\0" in value:
            problems.append(Problem(path, "is missing or too long.", "Give 1 to 200 characters."))
    try:
        currency_digits(form.currency)
    except QuotaPathError as error:
        problems.append(Problem("currency", str(error)))
    if len(form.email.strip()) > 254 or not _EMAIL.fullmatch(form.email.strip()):
        problems.append(
            Problem(
                "e-mail",
                f'"{form.email}" is not an e-mail address.' if form.email.strip() else "is missing.",
                "Write it like ann@example.com.",
            )
        )
    problems += sign_in.password_problems(form.password, (form.company, form.name, form.email))
    if form.password != form.password_again:
        problems.append(Problem("password again", "is not the same password.", "Type it once more."))
    return problems

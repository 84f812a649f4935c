"""The company's row, and whether anybody is there yet."""

from typing import NamedTuple

import sqlalchemy as sa


class Company(NamedTuple):
    name: str
    currency: str
    is_demo: bool


def lock_setup(conn: sa.Connection) -> None:
    """Let one transaction at a time set up the database."""
    conn.execute(sa.text("LOCK TABLE company IN EXCLUSIVE MODE"))


def has_users(conn: sa.Connection) -> bool:
    """Whether there is any user, active or not."""
    return bool(conn.scalar(sa.text("SELECT EXISTS (SELECT FROM users)")))


def company(conn: sa.Connection) -> Company | None:
    """The one company of this database."""
    row = conn.execute(sa.text("SELECT name, currency, is_demo FROM company")).one_or_none()
    return None if row is None else Company(*row)


def one_of_each_role(conn: sa.Connection) -> list[tuple[str, str, str]]:
    """(role, name, e-mail) of the first active user of each role."""
    query = "SELECT DISTINCT ON (role) role, name, email FROM users WHERE is_active ORDER BY role, id"
    return [tuple(row) for row in conn.execute(sa.text(query))]


def add_company(conn: sa.Connection, name: str, currency: str, is_demo: bool) -> None:
    """Write the company's row; a second one is refused by the database."""
    conn.execute(
        sa.text("INSERT INTO company (name, currency, is_demo) VALUES (:name, :currency, :is_demo)"),
        {"name": name, "currency": currency, "is_demo": is_demo},
    )


def add_admin(conn: sa.Connection, code: str, name: str, email: str, password_hash: str) -> int:
    """Add an admin; returns the user id."""
    user_id: int = conn.execute(
        sa.text(
            "INSERT INTO users (code, name, email, role, password_hash)"
            " VALUES (:code, :name, :email, 'admin', :hash) RETURNING id"
        ),
        {"code": code, "name": name, "email": email, "hash": password_hash},
    ).scalar_one()
    return user_id


# The steps of a new company, in order, each with whether it is taken.
_BEGUN = sa.text("""
    SELECT (SELECT count(*) > 1 FROM users) AS people,
           EXISTS (SELECT FROM deals) AS deals,
           EXISTS (SELECT FROM plan_versions WHERE status = 'published') AS plan,
           EXISTS (SELECT FROM plan_assignments) AS assign,
           EXISTS (SELECT FROM quotas) AS quotas,
           EXISTS (SELECT FROM pay_periods WHERE run_id IS NOT NULL) AS run,
           EXISTS (SELECT FROM payouts) AS approve
""")


def begun(conn: sa.Connection) -> dict[str, bool]:
    """people, deals, plan, assign, quotas, run, approve: whether there is any of it."""
    return {name: bool(done) for name, done in conn.execute(_BEGUN).mappings().one().items()}

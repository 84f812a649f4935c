"""The company: its name, the currency its screens and quotas are in, the month in which its fiscal year begins."""

from dataclasses import dataclass

import sqlalchemy as sa


@dataclass(frozen=True)
class Settings:
    """What an admin decides about the company; `fiscal_month` is 1 for January."""

    name: str
    currency: str
    fiscal_month: int


def currency(conn: sa.Connection) -> str:
    """The company's currency, such as ``"USD"``."""
    return str(conn.execute(sa.text("SELECT currency FROM company")).scalar_one())


def settings(conn: sa.Connection, lock: bool = False) -> Settings:
    """The company's settings; with `lock` nobody else changes them until the transaction ends."""
    query = "SELECT name, currency, fiscal_month FROM company"
    return Settings(*conn.execute(sa.text(query + " FOR UPDATE" * lock)).one())


def save(conn: sa.Connection, new: Settings) -> None:
    """Replace the settings."""
    query = "UPDATE company SET name = :name, currency = :currency, fiscal_month = :month"
    conn.execute(sa.text(query), {"name": new.name, "currency": new.currency, "month": new.fiscal_month})


def has_money(conn: sa.Connection) -> bool:
    """Whether anything is kept that is counted in the company's currency: deals, quotas, plans or runs."""
    query = """
        SELECT EXISTS (SELECT FROM deals) OR EXISTS (SELECT FROM quotas)
            OR EXISTS (SELECT FROM plan_versions) OR EXISTS (SELECT FROM runs)
    """
    return bool(conn.scalar(sa.text(query)))

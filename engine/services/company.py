"""The company's settings: its name, its currency, the month in which its fiscal year begins."""

from dataclasses import asdict, replace

from engine.db import audit, company
from engine.db.company import Settings
from engine.db.database import Database
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.money import currency_digits
from engine.services import access
from engine.services.access import Actor

__all__ = ["Settings"]


def company_settings(db: Database, actor: Actor) -> tuple[Settings, bool]:
    """The settings, and whether the currency may still change: not once a deal, quota, plan or run is there."""
    access.require(actor, "settings.view")
    with db.read(actor) as conn:
        return company.settings(conn), not company.has_money(conn)


def save_settings(db: Database, actor: Actor, seen: Settings, new: Settings) -> bool:
    """Change the settings that differ from those `seen`; returns whether anything did.

    Raises ProblemsError for what cannot be, QuotaPathError when somebody else changed them meanwhile.
    """
    access.require(actor, "settings.edit")
    new = replace(new, name=" ".join(new.name.split()), currency=new.currency.strip().upper())
    problems = []
    if not 1 <= len(new.name) <= 200 or "\0" in new.name:
        problems.append(Problem("name", "is missing or too long.", "Give 1 to 200 characters."))
    if not 1 <= new.fiscal_month <= 12:
        problems.append(Problem("fiscal year", f"There is no month {new.fiscal_month}.", "Choose one of the twelve."))
    try:
        currency_digits(new.currency)
    except QuotaPathError as error:
        problems.append(Problem("currency", str(error)))
    with db.write(actor) as conn:
        now = company.settings(conn, lock=True)
        if now != seen:
            raise QuotaPathError(
                "Somebody else changed the settings meanwhile. Reload the page and look at them first."
            )
        if new.currency != now.currency and company.has_money(conn):
            problems.append(
                Problem(
                    "currency",
                    f"stays {now.currency}: deals, quotas, plans or runs are counted in it.",
                    "Begin a new company in a new database for another currency.",
                )
            )
        if problems:
            raise ProblemsError(problems)
        before, after = asdict(now), asdict(new)
        changes = {name: [before[name], after[name]] for name in before if before[name] != after[name]}
        if changes:
            company.save(conn, new)
            audit.record(conn, actor.user_id, "settings.edit", "company", changes)
    return bool(changes)

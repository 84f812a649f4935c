"""What a new company does first, and how far it is."""

from dataclasses import dataclass

from engine.analytics import inputs
from engine.calc.payout import needs_quota
from engine.db import setup
from engine.db.database import Database
from engine.errors import QuotaPathError
from engine.services import access
from engine.services.access import Actor


@dataclass(frozen=True)
class Step:
    """One of the first steps: people, deals, plan, assign, quotas, run or approve."""

    name: str
    done: bool


def first_steps(db: Database, actor: Actor) -> list[Step]:
    """The steps to the first payout, in order; none once there is one, and for whoever may not take them.

    Quotas are a step only while a published plan asks for them.
    """
    if not access.may(actor, "people.edit"):
        return []
    with db.read(actor) as conn:
        found = setup.begun(conn)
        if found["approve"]:
            return []
        try:
            plans = inputs.plans(conn)[0]
        except QuotaPathError:  # a document that cannot be read is the plans page's to tell
            plans = {}
    asked = any(needs_quota(part) for versions in plans.values() for plan in versions for part in plan.components)
    return [Step(name, done) for name, done in found.items() if name != "quotas" or asked or done]

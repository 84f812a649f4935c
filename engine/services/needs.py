"""What needs somebody today: the few things that wait for the viewer, of all that the viewer may do."""

from dataclasses import dataclass
from datetime import date

from engine.analytics import needs as reads
from engine.db.database import Database
from engine.errors import QuotaPathError
from engine.services import access
from engine.services.access import Actor

# What waits, by the permission that lets one see to it, in the order of how much hangs on it.
_FOR = (
    ("approve", "payouts.approve"),
    ("pay", "payouts.pay"),
    ("answer", "disputes.answer"),
    ("answered", "disputes.write"),
    ("not_run", "runs.start"),
    ("outdated", "runs.start"),
    ("refused", "deals.import"),
    ("quotas", "quotas.edit"),
    ("examples", "plans.edit"),
    ("tasks", "activities.edit"),
)


@dataclass(frozen=True)
class Need:
    """`number` things of a `kind` wait; `first` is what to open first (a period, a plan, a name)."""

    kind: str
    number: int
    first: str


def needs(db: Database, actor: Actor, today: date) -> list[Need]:
    """What waits for `actor` today, the most pressing first; empty when nothing does."""
    found: list[Need] = []
    with db.read(actor) as conn:
        reach = access.visible_people(conn, actor, "dashboard.view", today)
        for kind, action in _FOR:
            if not access.may(actor, action):
                continue
            if kind == "examples":
                try:
                    names = reads.plans_without_examples(conn, today)
                except QuotaPathError:
                    names = []  # a document that cannot be read is the plans page's to tell
                number, first = len(names), next(iter(names), "")
            elif kind == "outdated":
                names = reads.outdated(conn, today)
                number, first = len(names), next(iter(names), "")
            else:
                number, first = reads.waiting(conn, kind, today, actor.user_id)
            if number:
                found.append(Need(kind, number, first))
        if reach is not None:
            number, first = reads.late(conn, today, reach)
            if number:
                found.append(Need("late", number, first))
    return found

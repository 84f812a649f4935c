"""What needs somebody today: the few things that wait for the viewer, of all that the viewer may do."""

from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa

from engine.analytics import needs as reads
from engine.analytics.needs import Waiting
from engine.db.database import Database
from engine.errors import QuotaPathError
from engine.services import access
from engine.services.access import Actor
from engine.services.left_out import LeftOut, in_words, left_out

# What waits, by the permission that lets one see to it, in the order of how much hangs on it.
_FOR = (
    ("approve", "payouts.approve"),
    ("pay", "payouts.pay"),
    ("answer", "disputes.answer"),
    ("answered", "disputes.write"),
    ("not_run", "runs.start"),
    ("outdated", "runs.start"),
    ("owners", "deals.import"),
    ("refused", "deals.import"),
    ("quotas", "quotas.edit"),
    ("examples", "plans.edit"),
    ("tasks", "activities.edit"),
)
_NAMED = 3


@dataclass(frozen=True)
class Need:
    """`number` things of a `kind` wait; `first` are the first of them: (what to open, what it is called).

    `rows`: of unknown owners, the rows that wait for them.
    """

    kind: str
    number: int
    first: tuple[tuple[str, str], ...] = ()
    rows: int = 0


def needs(db: Database, actor: Actor, today: date) -> list[Need]:
    """What waits for `actor` today, the most pressing first; empty when nothing does."""
    found: list[Need] = []
    with db.read(actor) as conn:
        reach = access.visible_people(conn, actor, "dashboard.view", today)
        missing = left_out(conn, today) if access.may(actor, "deals.import") else []
        for kind, action in _FOR:
            if not access.may(actor, action):
                continue
            if kind in ("owners", "refused"):
                need = _left_out(kind, missing)
            else:
                number, first = _waiting(conn, kind, today, actor)
                need = Need(kind, number, first)
            if need.number:
                found.append(need)
        if reach is not None:
            late = reads.late(conn, today, reach)
            if late.number:
                found.append(Need("late", *late))
    return found


def _waiting(conn: sa.Connection, kind: str, today: date, actor: Actor) -> Waiting:
    if kind == "outdated":
        return reads.outdated(conn, today)
    if kind != "examples":
        return reads.waiting(conn, kind, today, actor.user_id)
    try:
        return reads.plans_without_examples(conn, today)
    except QuotaPathError:
        return Waiting(0)  # a document that cannot be read is the plans page's to tell


def _left_out(kind: str, missing: list[LeftOut]) -> Need:
    """Owners whom nobody knows, by name; or the rows that were left out for another reason, by file."""
    own = [each for each in missing if each.known is (kind == "refused")]
    rows = sum(each.rows for each in own)
    if kind == "owners":
        names = in_words(own)
        # One import is opened: the latest, which has their names.
        first = tuple((str(own[0].import_id), name) for name in names[:_NAMED])
        return Need(kind, len(names), first, rows)
    files = dict.fromkeys((str(each.import_id), each.filename) for each in own)
    return Need(kind, rows, tuple(files)[:_NAMED])


def without_quota(db: Database, actor: Actor, today: date) -> list[str]:
    """The people who have no quota today while others on the same plan have one, by name.  Needs "quotas.edit"."""
    access.require(actor, "quotas.edit")
    with db.read(actor) as conn:
        return [name for _, name in reads.waiting(conn, "quotas", today, most=1_000).first]

"""Which pay periods a dated change touches: said before it is saved."""

from dataclasses import dataclass
from datetime import date

from engine.db import pay
from engine.db.database import Database
from engine.periods import parse_period
from engine.services import access
from engine.services.access import Actor


@dataclass(frozen=True)
class Touched:
    """Pay periods that have been run and end after the change's first day: (name, status), oldest first.

    ``posts_in`` is the open one whose next run posts what changes in closed ones; None when none is open.
    """

    periods: tuple[tuple[str, str], ...]
    posts_in: str | None


def touched_from(db: Database, actor: Actor, start: date) -> Touched:
    """The pay periods that a change from `start` on touches.  Needs "people.view"."""
    access.require(actor, "people.view")
    with db.read(actor) as conn:
        statuses = pay.statuses(conn)
    known = sorted(statuses, key=lambda name: (parse_period(name).start, name))
    periods = tuple((name, statuses[name]) for name in known if parse_period(name).end > start.toordinal())
    return Touched(periods, next((name for name in known if statuses[name] == "open"), None))

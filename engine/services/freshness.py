"""Whether a calculated period is still what a run would give now: by the fingerprint of everything that decides pay."""

from collections.abc import Callable

import sqlalchemy as sa

from engine.analytics import inputs
from engine.analytics.remembered import Remembered
from engine.db import audit, pay
from engine.db.database import Database
from engine.periods import Period, parse_period
from engine.services.access import Actor, require

_remembered = Remembered(100, "fingerprints")


def is_outdated(conn: sa.Connection, period: str) -> bool:
    """Whether deals, people, plans, quotas or rates have changed since the run that an open period shows.

    False for a period that is closed, which never moves, or was never run.  Everything is read for it.
    """
    return _differs(conn, period, lambda found: _fingerprint(conn, found))


def seems_outdated(conn: sa.Connection, period: str) -> bool:
    """`is_outdated` for screens: what was read once is remembered until a service changes something."""
    version = audit.data_version(conn)
    return _differs(
        conn,
        period,
        lambda found: _remembered.get(conn, version, found.name, lambda: _fingerprint(conn, found), lambda _: 1),
    )


def outdated(db: Database, actor: Actor, period: str) -> bool:
    """`seems_outdated`, for whoever may see earnings."""
    require(actor, "earnings.view")
    with db.read() as conn:
        return seems_outdated(conn, parse_period(period).name)


def _differs(conn: sa.Connection, period: str, now: Callable[[Period], str]) -> bool:
    found = pay.pay_period(conn, period)
    if found is None or found.run_id is None or found.status != "open":
        return False
    return now(found.period) != bytes(pay.run(conn, found.run_id).inputs_hash).hex()


def _fingerprint(conn: sa.Connection, period: Period) -> str:
    return inputs.fingerprint(inputs.load(conn, period).book).hex()

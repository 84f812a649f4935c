"""Whether a calculated period is still what a run would give now.

Equal inputs, by the fingerprint of everything that decides pay, give an equal run.  When the inputs differ, or the run
was for some people, the period is calculated, nothing is kept, and each person's digest says whether anything would
come out otherwise: a deal of nobody's, a new person, a quota of next year leave a run as good as it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import sqlalchemy as sa

from engine.analytics import inputs
from engine.analytics.inputs import Inputs
from engine.analytics.remembered import Remembered
from engine.db import audit, pay, people, runs
from engine.db.database import Database
from engine.errors import QuotaPathError
from engine.periods import Period, parse_period
from engine.services import run_outcome
from engine.services.access import Actor, require
from engine.services.run_outcome import Outcome
from engine.workers.pool import Pool

_remembered = Remembered(200)


@dataclass(frozen=True)
class Differing:
    """Someone for whom a run would come out otherwise: earned then and now, in cents."""

    name: str
    currency: str
    was: int
    now: int


@dataclass(frozen=True)
class Verdict:
    """What was found about the run that an open period shows.

    `fresh`: a run now would keep the same for everyone.  `differing` says who differs (someone may earn the same by
    other lines); `failed` why it could not be calculated, or was not.
    """

    period: str
    run_id: int | None
    fingerprint: bytes
    fresh: bool
    differing: Sequence[Differing] = ()
    failed: str = ""


def judge(conn: sa.Connection, pool: Pool | None, loaded: Inputs, wanted: Period) -> Verdict:
    """The verdict on the run that a period shows; `loaded` are the inputs up to its end, as `conn` sees them.

    A period that is closed, which never moves, or was never run is fresh.  Without a pool nothing is calculated, and
    any change counts.
    """
    found = pay.pay_period(conn, wanted.name)
    fingerprint = inputs.fingerprint(loaded.book)
    if found is None or found.run_id is None or found.status != "open":
        return Verdict(wanted.name, None, fingerprint, True)
    run = pay.run(conn, found.run_id)
    if run.people is None and bytes(run.inputs_hash) == fingerprint:
        return Verdict(wanted.name, run.id, fingerprint, True)
    if pool is None:
        return Verdict(wanted.name, run.id, fingerprint, False)
    try:
        result = pool.calculate(loaded.book)
        if result.problems:
            return Verdict(wanted.name, run.id, fingerprint, False, failed=str(result.problems[0]))
        parts = {
            part.user_id: (part.digest, part.figures)
            for part in Outcome(wanted, loaded, result, run_outcome.before(conn, wanted)).parts()
        }
    except QuotaPathError as error:
        return Verdict(wanted.name, run.id, fingerprint, False, failed=str(error))
    changed = run_outcome.differing(runs.digests(conn, run.id), {user: part[0] for user, part in parts.items()})
    if not changed:
        return Verdict(wanted.name, run.id, fingerprint, True)
    was = {key: row[0] for key, row in runs.figures(conn, run.id).items()}
    now = {row[:2]: row[2] for _, figures in parts.values() for row in figures}
    names, keys = people.names(conn), set(changed)
    return Verdict(
        wanted.name,
        run.id,
        fingerprint,
        False,
        [
            Differing(names[user], currency, was.get((user, currency), 0), now.get((user, currency), 0))
            for user, currency in sorted(was.keys() | now.keys())
            if user in keys
        ],
    )


def examine(db: Database, pool: Pool | None, period: str) -> Verdict:
    """The verdict on a period, worked out now; for `is_outdated` inside a transaction that must be short."""
    wanted = parse_period(period)
    with db.read() as conn:
        return judge(conn, pool, inputs.load(conn, wanted), wanted)


def is_outdated(conn: sa.Connection, period: str, examined: Verdict | None = None) -> bool:
    """Whether a run of the period would keep something else than the run that an open period shows.

    False for a period that is closed, which never moves, or was never run.  Everything is read for it and nothing
    calculated: what `examined` found holds as long as the run and the inputs are the same.
    """
    wanted = parse_period(period)
    found = pay.pay_period(conn, wanted.name)
    if found is None or found.run_id is None or found.status != "open":
        return False
    now = judge(conn, None, inputs.load(conn, wanted), wanted)
    if examined is not None and (examined.run_id, examined.fingerprint) == (now.run_id, now.fingerprint):
        return not examined.fresh
    return not now.fresh


def holds(conn: sa.Connection, pool: Pool, period: str) -> int | None:
    """The ledger's last entry when the run that a period shows would come out the same after it; None when not.

    A run made before another period was approved is as good as a new one when every person's digest says so.
    """
    wanted = parse_period(period)
    found = pay.pay_period(conn, wanted.name)
    if found is None or found.run_id is None or found.status != "open":
        return None
    run, last = pay.run(conn, found.run_id), pay.last_entry(conn, wanted.kind)
    if run.ledger_seen == last:
        return last
    kept = runs.digests(conn, run.id)
    loaded = inputs.load(conn, wanted)
    result = pool.calculate(loaded.book)
    if result.problems or (run.lines and not kept):
        return None
    now = {
        part.user_id: part.digest for part in Outcome(wanted, loaded, result, run_outcome.before(conn, wanted)).parts()
    }
    return last if run_outcome.same(kept, now) else None


class _Loaded:
    """The inputs of several periods, read once and when they are asked for."""

    def __init__(self, conn: sa.Connection, periods: Sequence[Period]) -> None:
        self._conn, self._last = conn, max(periods, key=lambda period: period.end)

    @cached_property
    def _all(self) -> Inputs:
        return inputs.load(self._conn, self._last)

    def up_to(self, period: Period) -> Inputs:
        """The inputs up to the end of a period."""
        return self._all if period == self._last else inputs.cut(self._all, period)


def verdicts(conn: sa.Connection, pool: Pool | None, periods: Sequence[str]) -> list[Verdict]:
    """Verdicts for screens: what was found once is remembered until a service changes something."""
    wanted = [parse_period(name) for name in periods]
    version, loaded = audit.data_version(conn), _Loaded(conn, wanted) if wanted else None
    found = []
    for period in wanted:

        def make(period: Period = period) -> Verdict:
            shown = pay.pay_period(conn, period.name)
            if loaded is None or shown is None or shown.run_id is None or shown.status != "open":
                return Verdict(period.name, None, b"", True)
            return judge(conn, pool, loaded.up_to(period), period)

        key = period.name, pool is None
        found.append(_remembered.get(conn, version, key, make, lambda verdict: 1 + len(verdict.differing) // 100))
    return found


def seems_outdated(conn: sa.Connection, period: str, pool: Pool | None = None) -> bool:
    """`is_outdated` for screens: what was found once is remembered until a service changes something."""
    return not verdicts(conn, pool, [period])[0].fresh


def outdated(db: Database, actor: Actor, period: str, pool: Pool | None = None) -> bool:
    """`seems_outdated`, for whoever may see earnings."""
    require(actor, "earnings.view")
    with db.read(actor) as conn:
        return seems_outdated(conn, parse_period(period).name, pool)


def verdict(db: Database, actor: Actor, period: str, pool: Pool) -> Verdict:
    """Who differs and by how much.  Needs "runs.view"."""
    require(actor, "runs.view")
    with db.read(actor) as conn:
        return verdicts(conn, pool, [period])[0]


def data_version(db: Database, actor: Actor) -> int:
    """A number that grows with every kept change: while it stands, so does what a screen shows."""
    require(actor, "dashboard.view")
    with db.read(actor) as conn:
        return audit.data_version(conn)

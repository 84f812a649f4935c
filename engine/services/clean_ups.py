"""Room made by removing what nobody looks at any more: the lines of runs that a later run took the place of."""

from dataclasses import dataclass

from engine.db import audit, pay
from engine.db import runs as kept_runs
from engine.db.database import Database
from engine.services.access import Actor, require


@dataclass(frozen=True)
class Superseded:
    """How many runs and lines could go, or have gone."""

    runs: int
    lines: int


def superseded(db: Database, actor: Actor) -> Superseded:
    """What `remove_superseded` would remove now.  Needs "runs.view"."""
    require(actor, "runs.view")
    with db.read(actor) as conn:
        found = kept_runs.superseded(conn)
        return Superseded(len(found), sum(found.values()))


def remove_superseded(db: Database, actor: Actor) -> Superseded:
    """Remove the lines of the runs that open periods show no longer, run by run, each in a transaction of its own.

    A run stays as it is when a dispute or a manual adjustment names a line of it; the run's row, figures and hashes
    stay in any case, and so does everything that a period shows, that was approved, or that a statement tells of.
    Needs "runs.clean".
    """
    require(actor, "runs.clean")
    with db.read(actor) as conn:
        found = kept_runs.superseded(conn)
    runs = lines = 0
    for run_id in found:
        with db.write(actor) as conn:
            pay.lock_period(conn, pay.run(conn, run_id).period)
            # Asked again under the lock: meanwhile it may have been disputed.
            if run_id not in kept_runs.superseded(conn, run_id):
                continue
            freed = kept_runs.remove_lines(conn, run_id)
            detail = {"period": pay.run(conn, run_id).period, "lines": freed}
            audit.record(conn, actor.user_id, "runs.clean", f"run {run_id}", detail)
        runs, lines = runs + 1, lines + freed
    return Superseded(runs, lines)

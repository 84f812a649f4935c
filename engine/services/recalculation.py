"""Several pay periods at once: those that an edit has touched brought up to date, or a year of months calculated.

Everything is read from the database once, up to the end of the last period; each period's inputs are the first part of
that (`engine.analytics.inputs.cut`), the same, to the fingerprint, as if they had been read for it alone.  While the
lines of one period are written the next one is calculated, and no more than these two are held.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engine.analytics import inputs
from engine.db import pay
from engine.db import runs as kept_runs
from engine.db.database import Database
from engine.db.runs import Change
from engine.errors import QuotaPathError
from engine.periods import Period, parse_period
from engine.services import freshness, run_outcome, runs
from engine.services.access import Actor, require
from engine.services.freshness import Verdict
from engine.services.jobs import Body, Work
from engine.services.run_outcome import Before, Outcome
from engine.workers.pool import Pool


@dataclass(frozen=True)
class Recalculated:
    """The runs that were kept, by period, and the periods whose run would have come out the same."""

    kept: Mapping[str, int]
    unchanged: Sequence[str]


def recalculate(
    db: Database,
    pool: Pool,
    actor: Actor,
    periods: Sequence[str],
    on_progress: Callable[[int, int, str], None] | None = None,
    job_id: str | None = None,
) -> Recalculated:
    """Calculate open pay periods for everyone, oldest first, and keep a run of each that would come out otherwise.

    A period without a run is calculated for the first time.  Each run is kept whole and by itself: when one period
    cannot be calculated, those before it are kept.  Called again with the same `job_id`, it goes on where it was.

    Needs "runs.start".  Raises as `runs.run_period` does, and QuotaPathError when no period is named.
    """
    require(actor, "runs.start")
    wanted = sorted({parse_period(name) for name in periods}, key=lambda period: (period.end, period.start))
    if not wanted:
        raise QuotaPathError("There is no period to calculate. Choose one at least.")
    tell = on_progress or (lambda _done, _total, _message: None)
    tell(0, len(wanted), "Reading deals, plans and quotas")
    kept: dict[str, int] = {}
    with db.read(actor) as conn:
        for period in wanted:
            runs.refuse_closed(pay.pay_period(conn, period.name))
            run_id = None if job_id is None else kept_runs.run_of_job(conn, job_id, period.name)
            if run_id is not None:
                kept[period.name] = run_id
        left = [period for period in wanted if period.name not in kept]
        if not left:
            return Recalculated(kept, ())
        before = {period: run_outcome.before(conn, period) for period in left}
        everything = inputs.load(conn, left[-1])
    unchanged = []
    writing: tuple[Period, Future[int]] | None = None
    with ThreadPoolExecutor(1, thread_name_prefix="keep") as writer:
        for place, period in enumerate(left):
            tell(place, len(left), f"Calculating {period.name}")
            loaded = inputs.cut(everything, period) if period != left[-1] else everything
            fingerprint = inputs.fingerprint(loaded.book)
            outcome = None
            if not _same_inputs(db, period, before[period], fingerprint):
                result = runs.calculated(db, pool, loaded, period)
                outcome = Outcome(period, loaded, result, before[period])
                if _same_result(db, outcome):
                    outcome = None
            if writing is not None:
                kept[writing[0].name] = writing[1].result()
                writing = None
            if outcome is None:
                unchanged.append(period.name)
            else:
                writing = period, writer.submit(runs.keep, db, actor, outcome, pool.interpreter, fingerprint, job_id)
        if writing is not None:
            tell(len(left), len(left), "Keeping the last lines")
            kept[writing[0].name] = writing[1].result()
    return Recalculated(kept, unchanged)


def _shown(db: Database, period: Period, before: Before) -> tuple[pay.Run, Mapping[int, bytes]] | None:
    """The run that a period shows, with its digests; None when there is none that could be approved."""
    with db.read() as conn:
        found = pay.pay_period(conn, period.name)
        if found is None or found.run_id is None:
            return None
        run = pay.run(conn, found.run_id)
        return (run, kept_runs.digests(conn, run.id)) if run.ledger_seen == before.ledger_seen else None


def _same_inputs(db: Database, period: Period, before: Before, fingerprint: bytes) -> bool:
    shown = _shown(db, period, before)
    return shown is not None and shown[0].people is None and bytes(shown[0].inputs_hash) == fingerprint


def _same_result(db: Database, outcome: Outcome) -> bool:
    shown = _shown(db, outcome.wanted, outcome.before)
    if shown is None or (shown[0].lines and not shown[1]):  # there is none, or one of before there were digests
        return False
    return run_outcome.same(shown[1], {part.user_id: part.digest for part in outcome.parts()})


# --- what is out of date -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Stale:
    """An open period whose run is out of date: who differs, and the first of the changes since it was made.

    `approved` means that a period was approved since, so that the run may not be approved as it is; `scope` says for
    whom the run was, "" for everyone.
    """

    verdict: Verdict
    made_at: datetime
    since: Change | None
    changes: int
    approved: bool
    scope: str


def stale(db: Database, pool: Pool, actor: Actor) -> list[Stale]:
    """The open, calculated periods that are out of date, oldest first.  Needs "runs.view".

    Everything is read once for all of them, and remembered until a service changes something.
    """
    require(actor, "runs.view")
    found = []
    with db.read(actor) as conn:
        names = [period for period, _ in kept_runs.open_calculated(conn)]
        for verdict in freshness.verdicts(conn, pool, names):
            if verdict.run_id is None:
                continue
            run = pay.run(conn, verdict.run_id)
            approved = run.ledger_seen != pay.last_entry(conn, parse_period(run.period).kind)
            if verdict.fresh and not approved:
                continue
            change = kept_runs.first_change(conn, run.created_at)
            since, changes = change or (None, 0)
            found.append(Stale(verdict, run.created_at, since, changes, approved, run.scope))
    return found


def _recalculate_job(work: Work) -> Mapping[str, Any]:
    done = recalculate(work.db, work.pool, work.actor, work.arguments["periods"], work.progress, work.job_id)
    return {"kept": dict(done.kept), "unchanged": list(done.unchanged)}


JOBS: Mapping[str, Body] = {runs.RECALCULATE: _recalculate_job}

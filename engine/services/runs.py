"""Runs: calculate a pay period from everything that is known, and keep the lines with what explains them."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import pandas as pd
import sqlalchemy as sa

from engine import __version__
from engine.analytics import earnings, inputs
from engine.analytics.inputs import Inputs
from engine.calc.result import Result
from engine.db import audit, jobs, pay
from engine.db import payables as payables_kept
from engine.db import runs as kept_runs
from engine.db.database import Database
from engine.db.jobs import Job
from engine.errors import Problem, ProblemsError, QuotaPathError, given
from engine.periods import KINDS, Period, parse_period
from engine.services import payables, run_outcome
from engine.services.access import Actor, require
from engine.services.jobs import Body, JobRunner, Work
from engine.services.run_outcome import Figures, Outcome, Part
from engine.services.run_scope import EVERYONE, Chosen, Scope, resolve, scope_of
from engine.workers.pool import Pool

Progress = Callable[[int, int, str], None]

JOB, RECALCULATE = "run", "recalculate"


class NotAsShown(QuotaPathError):
    """What a run comes to is not what its maker was shown."""


def run_period(
    db: Database,
    pool: Pool,
    actor: Actor,
    period: str,
    on_progress: Progress | None = None,
    job_id: str | None = None,
    scope: Scope = EVERYONE,
    seen: str = "",
) -> int:
    """Calculate the pay period for everyone on a plan with that kind of pay period, or for some; returns the run's id.

    Everything closed up to the period's end is calculated anew.  The run keeps the period's own lines; that of the
    period right after the last closed one keeps, as adjustments, what has changed in closed periods since, once.
    Closed periods themselves never move.  With a `scope` the lines and figures of everybody else are those of the run
    that the period shows (`engine.services.run_scope`); without one, the run holds the people in scope alone.
    `seen` is the `Preview.token` of what the maker was shown: when the run comes to anything else, it is not kept.
    Called again with the same `job_id`, it returns the run that is there.

    Needs "runs.start".  Raises ProblemsError when the data does not allow a calculation, NotAsShown when `seen` is of
    other figures, QuotaPathError when the period is no period or closed already, or nobody is in scope.
    """
    require(actor, "runs.start")
    wanted = parse_period(period)
    tell = on_progress or _untold
    tell(0, 0, "Reading deals, plans and quotas")
    with db.read(actor) as conn:
        if job_id is not None and (kept := kept_runs.run_of_job(conn, job_id, wanted.name)) is not None:
            return kept
        refuse_closed(pay.pay_period(conn, wanted.name))
        chosen = resolve(conn, scope, wanted)
        before = run_outcome.before(conn, wanted)
        loaded = inputs.load(conn, wanted)
    result = calculated(db, pool, loaded, wanted, lambda done, total: tell(done, total, "Calculating"))
    tell(0, 0, "Keeping the lines")
    outcome = Outcome(wanted, loaded, result, before, chosen.people)
    return keep(db, actor, outcome, pool.interpreter, inputs.fingerprint(loaded.book), job_id, chosen, seen)


def calculated(
    db: Database, pool: Pool, loaded: Inputs, wanted: Period, on_progress: Callable[[int, int], None] | None = None
) -> Result:
    """What everyone in a book earned.  Raises as `run_period` does."""
    if not any(plan.pay_period == wanted.kind for versions in loaded.book.plans.values() for plan in versions):
        raise QuotaPathError(
            f"No published plan pays by the {wanted.kind}, so {wanted.name} has nothing to calculate. "
            "Publish a plan, or run a period of the kind that your plans use."
        )
    result = pool.calculate(loaded.book, on_progress)
    if result.problems:
        raise ProblemsError(_named(db, loaded, result.problems))
    return result


def keep(
    db: Database,
    actor: Actor,
    outcome: Outcome,
    interpreter: str,
    fingerprint: bytes,
    job_id: str | None = None,
    chosen: Chosen = Chosen(),  # noqa: B008  # a frozen record
    seen: str = "",
) -> int:
    """Write an outcome as the run that its period shows, in one transaction; returns the run's id.

    Lines go from the calculation to the database piece by piece.  Raises as `run_period` does.
    """
    require(actor, "runs.start")
    name, people = outcome.wanted.name, chosen.people
    with db.write(actor) as conn:
        pay.add_period(conn, outcome.wanted)
        found = pay.lock_period(conn, name)
        refuse_closed(found)
        shown = None if found is None else found.run_id
        base = None if people is None or shown is None else _base(conn, shown)
        ledger_seen = outcome.before.ledger_seen
        run_id = kept_runs.add_run(
            conn,
            {
                "period": name,
                "job_id": job_id,
                # What is carried on knows no more than it did: a run is as old as its oldest part.
                "ledger_seen": ledger_seen if base is None else min(ledger_seen, base.ledger_seen),
                "inputs_hash": fingerprint,
                "engine_version": __version__,
                "interpreter": interpreter,
                "deals": len(outcome.loaded.book.deals),
                "created_by": actor.user_id,
                "scope": chosen.words,
                "people": None if people is None else sorted(people),
                "based_on": None if base is None else base.id,
            },
        )
        writing = _Writing(run_id)
        kept_runs.add_lines(conn, writing.chunks(outcome.parts()))
        if seen and seen != token(shown, writing.digests):
            raise NotAsShown(
                f"{name} comes to something else by now than what you were shown, so nothing was kept. "
                "Look at what would change again, then keep it."
            )
        lines, figures = writing.lines, writing.figures
        if base is not None and people is not None:
            lines += kept_runs.carry_lines(conn, run_id, base.id, people)
            figures += [
                (*key, *kept[:3]) for key, kept in kept_runs.figures(conn, base.id).items() if key[0] not in people
            ]
        held = payables.held_back(conn, outcome.wanted.last_day, run_id, outcome.wanted.kind)
        payables_kept.keep(conn, name, outcome.wanted.last_day, held, run_id=run_id)
        kept_runs.add_details(conn, run_id, writing.details(outcome, payables.deferred(held)))
        if base is not None and people is not None:
            kept_runs.carry_details(conn, run_id, base.id, people)
        lines_hash = run_outcome.hash_of(kept_runs.coded_digests(conn, run_id))
        kept_runs.finish_run(conn, run_id, lines, lines_hash)
        pay.show_run(conn, name, run_id)
        detail = {"period": name, "lines": lines, "lines_hash": lines_hash.hex()}
        if people is not None:
            detail |= {"scope": chosen.words, "people": len(people), "based_on": None if base is None else base.id}
        audit.record(conn, actor.user_id, "runs.start", f"run {run_id}", detail)
    return run_id


def token(shown: int | None, digests: Mapping[str, bytes]) -> str:
    """One word for what a run would keep in place of the run that is shown: the digests by employee code."""
    found = hashlib.sha256(f"{shown or 0} ".encode())
    found.update(run_outcome.hash_of(list(digests.items())))
    return found.hexdigest()


def _base(conn: sa.Connection, run_id: int) -> pay.Run:
    """The run whose lines are carried on.  Raises QuotaPathError for one of before there were digests."""
    run = pay.run(conn, run_id)
    if run.lines and not kept_runs.digests(conn, run_id):
        raise QuotaPathError(
            f"{run.period} was last calculated by an earlier version of this program. Calculate it for everyone once, "
            "then for a team or a person."
        )
    return run


class _Writing:
    """Gathers what a run says beside its lines while they are written."""

    def __init__(self, run_id: int) -> None:
        self._run_id = run_id
        self._digests: dict[int, bytes] = {}
        self.figures: list[Figures] = []
        self._versions: set[int] = set()
        self.digests: dict[str, bytes] = {}
        self.lines = 0

    def chunks(self, parts: Iterator[Part]) -> Iterator[bytes]:
        """The lines of each part as COPY's text."""
        for part in parts:
            self._digests[part.user_id] = self.digests[part.code] = part.digest
            self.figures += part.figures
            self._versions |= set(part.versions)
            self.lines += len(part.lines)
            if part.lines:
                tail = f"\t{part.user_id}\t{self._run_id}\n"
                yield (tail.join(part.lines) + tail).encode()

    def details(self, outcome: Outcome, deferred: Mapping[tuple[int, str], int]) -> kept_runs.Details:
        """What was gathered with what is not payable yet, and the attainment.

        Whoever has only that, from earlier periods, is listed too.
        """
        people = [(*row, deferred.get(row[:2], 0)) for row in self.figures]
        others = sorted(deferred.keys() - {row[:2] for row in self.figures})
        people += [(*key, 0, 0, 0, deferred[key]) for key in others]
        return kept_runs.Details(people, outcome.attainment(), self._digests, self._versions)


def _untold(_done: int, _total: int, _message: str) -> None:
    """Nobody watches."""


def pay_kinds(db: Database, actor: Actor) -> list[str]:
    """The kinds of pay period that published plans use, shortest first; a month when there is no plan yet.

    Anyone who may see earnings may ask.
    """
    require(actor, "earnings.view")
    with db.read(actor) as conn:
        used = {plan.pay_period for versions in inputs.plans(conn)[0].values() for plan in versions}
    return [kind for kind in KINDS if kind in used] or ["month"]


def last_run_period(db: Database, actor: Actor) -> str | None:
    """The newest pay period that has been calculated; anyone who may see earnings may ask."""
    require(actor, "earnings.view")
    with db.read(actor) as conn:
        return pay.last_run_period(conn)


def deals_without_plan(db: Database, actor: Actor, period: str) -> pd.DataFrame:
    """Won deals of a period that pay their owner nothing for want of a plan, as `earnings.without_plan`.

    Needs "runs.view".
    """
    require(actor, "runs.view")
    wanted = parse_period(period)
    with db.read(actor) as conn:
        return earnings.without_plan(conn, wanted.first_day, date.fromordinal(wanted.end))


def run_job_of(db: Database, actor: Actor, period: str) -> Job | None:
    """The newest job that runs or ran the period, by itself or with others.  Needs "runs.view"."""
    require(actor, "runs.view")
    with db.read(actor) as conn:
        found = [*jobs.recent(conn, 50, JOB), *jobs.recent(conn, 50, RECALCULATE)]
        for job in sorted(found, key=lambda job: job.created_at, reverse=True):
            alone = job.kind == JOB and job.arguments.get("period") == period
            if alone or (job.kind == RECALCULATE and period in job.arguments.get("periods", ())):
                return job
    return None


def start_run(db: Database, runner: JobRunner, actor: Actor, period: str) -> Job:
    """Start the job that runs the period, or give the one that is under way; it is calculated by `run_period`.

    Needs "runs.start".  Raises QuotaPathError when the period is no period or closed already.
    """
    require(actor, "runs.start")
    name = parse_period(period).name
    with db.read(actor) as conn:
        refuse_closed(pay.pay_period(conn, name))
        for job in jobs.recent(conn, 50, JOB):
            if job.arguments.get("period") == name and scope_of(job.arguments) == EVERYONE and not job.is_over:
                return job
    job_id = runner.submit(actor, JOB, {"period": name})
    with db.read(actor) as conn:
        return given(jobs.get(conn, job_id))


def _run_job(work: Work) -> Mapping[str, Any]:
    run_id = run_period(
        work.db,
        work.pool,
        work.actor,
        work.arguments["period"],
        work.progress,
        work.job_id,
        scope_of(work.arguments),
        work.arguments.get("seen", ""),
    )
    return {"run": run_id}


JOBS: Mapping[str, Body] = {JOB: _run_job}


def refuse_closed(found: pay.PayPeriod | None) -> None:
    """Raise QuotaPathError for a period that never moves."""
    if found is not None and found.status != "open":
        raise QuotaPathError(
            f"{found.period.name} is {found.status} and never moves. What has changed since is posted as an "
            "adjustment by the run of the next open period."
        )


_DEAL_PATH = re.compile(r"deal\[(\d+)\]")


def _named(db: Database, loaded: Inputs, problems: Sequence[Problem]) -> Iterator[Problem]:
    """The problems with the CRM's id and the name of a deal in their paths, in place of its place in the book."""
    places = {int(match[1]) for problem in problems for match in _DEAL_PATH.finditer(problem.path)}
    with db.read() as conn:
        names = pay.deal_names(conn, [int(loaded.deal_ids[place]) for place in places])

    def name(match: re.Match[str]) -> str:
        return f"deal {names[int(loaded.deal_ids[int(match[1])])]}"

    for problem in problems:
        yield Problem(_DEAL_PATH.sub(name, problem.path), problem.message, problem.remedy)

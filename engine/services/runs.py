"""Runs: calculate a pay period from everything that is known, and keep the lines with what explains them."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import sqlalchemy as sa

from engine import __version__
from engine.analytics import inputs
from engine.analytics.inputs import Inputs
from engine.calc.model import MICRO, MONEY_MEASURES, Assignment, Component, Plan
from engine.calc.payout import needs_quota
from engine.calc.quotas import Quotas
from engine.calc.result import Line, Result
from engine.calc.tree import Tree
from engine.db import audit, jobs, pay
from engine.db.bulk import to_json
from engine.db.database import Database
from engine.db.jobs import Job
from engine.errors import Problem, ProblemsError, QuotaPathError, given
from engine.money import currency_digits, round_ratio
from engine.periods import KINDS, Period, parse_period, period_of
from engine.plans.versions import version_at
from engine.services.access import Actor, require
from engine.services.jobs import Body, JobRunner, Work
from engine.workers.pool import Pool

Progress = Callable[[int, int, str], None]

JOB = "run"


def run_period(
    db: Database,
    pool: Pool,
    actor: Actor,
    period: str,
    on_progress: Progress | None = None,
    job_id: str | None = None,
) -> int:
    """Calculate the pay period for everyone on a plan with that kind of pay period; returns the run's id.

    Everything closed up to the period's end is calculated anew.  The run keeps the period's own lines; that of the
    period right after the last closed one keeps, as adjustments, what has changed in closed periods since, once.
    Closed periods themselves never move.
    Called again with the same `job_id`, it returns the run that is there.

    Needs "runs.start".  Raises ProblemsError when the data does not allow a calculation, QuotaPathError when the
    period is no period or closed already.
    """
    require(actor, "runs.start")
    wanted = parse_period(period)
    tell = on_progress or _untold
    tell(0, 0, "Reading deals, plans and quotas")
    with db.read() as conn:
        if job_id is not None and (kept := pay.run_of_job(conn, job_id)) is not None:
            return kept
        _refuse_closed(pay.pay_period(conn, wanted.name))
        before = _before(conn, wanted)
        loaded = inputs.load(conn, wanted)
    if not any(plan.pay_period == wanted.kind for versions in loaded.book.plans.values() for plan in versions):
        raise QuotaPathError(
            f"No published plan pays by the {wanted.kind}, so {wanted.name} has nothing to calculate. "
            "Publish a plan, or run a period of the kind that your plans use."
        )
    result = pool.calculate(loaded.book, lambda done, total: tell(done, total, "Calculating"))
    if result.problems:
        raise ProblemsError(_named(db, loaded, result.problems))
    tell(0, 0, "Keeping the lines")
    outcome = _outcome(wanted, loaded, result, before)
    with db.write() as conn:
        pay.add_period(conn, wanted)
        _refuse_closed(pay.lock_period(conn, wanted.name))
        run_id = pay.add_run(
            conn,
            {
                "period": wanted.name,
                "job_id": job_id,
                "ledger_seen": before.ledger_seen,
                "inputs_hash": inputs.fingerprint(loaded.book),
                "lines_hash": outcome.lines_hash,
                "engine_version": __version__,
                "interpreter": pool.interpreter,
                "deals": len(loaded.book.deals),
                "lines": len(outcome.lines),
                "created_by": actor.user_id,
            },
        )
        pay.add_lines(conn, ((run_id, *line) for line in outcome.lines))
        pay.add_run_details(conn, run_id, outcome.people, outcome.attainment, outcome.versions)
        pay.show_run(conn, wanted.name, run_id)
        audit.record(
            conn,
            actor.user_id,
            "runs.start",
            f"run {run_id}",
            {"period": wanted.name, "lines": len(outcome.lines), "lines_hash": outcome.lines_hash.hex()},
        )
    return run_id


def _untold(_done: int, _total: int, _message: str) -> None:
    """Nobody watches."""


def pay_kinds(db: Database, actor: Actor) -> list[str]:
    """The kinds of pay period that published plans use, shortest first; a month when there is no plan yet.

    Anyone who may see earnings may ask.
    """
    require(actor, "earnings.view")
    with db.read() as conn:
        used = {plan.pay_period for versions in inputs.plans(conn)[0].values() for plan in versions}
    return [kind for kind in KINDS if kind in used] or ["month"]


def last_run_period(db: Database, actor: Actor) -> str | None:
    """The newest pay period that has been calculated; anyone who may see earnings may ask."""
    require(actor, "earnings.view")
    with db.read() as conn:
        return pay.last_run_period(conn)


def run_job_of(db: Database, actor: Actor, period: str) -> Job | None:
    """The newest job that runs or ran the period.  Needs "runs.view"."""
    require(actor, "runs.view")
    with db.read() as conn:
        return next((job for job in jobs.recent(conn, 50, JOB) if job.arguments.get("period") == period), None)


def start_run(db: Database, runner: JobRunner, actor: Actor, period: str) -> Job:
    """Start the job that runs the period, or give the one that is under way; it is calculated by `run_period`.

    Needs "runs.start".  Raises QuotaPathError when the period is no period or closed already.
    """
    require(actor, "runs.start")
    name = parse_period(period).name
    with db.read() as conn:
        _refuse_closed(pay.pay_period(conn, name))
        for job in jobs.recent(conn, 50, JOB):
            if job.arguments.get("period") == name and not job.is_over:
                return job
    job_id = runner.submit(actor, JOB, {"period": name})
    with db.read() as conn:
        return given(jobs.get(conn, job_id))


def _run_job(work: Work) -> Mapping[str, Any]:
    run_id = run_period(work.db, work.pool, work.actor, work.arguments["period"], work.progress, work.job_id)
    return {"run": run_id}


JOBS: Mapping[str, Body] = {JOB: _run_job}


def _refuse_closed(found: pay.PayPeriod | None) -> None:
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


# --- what a run keeps -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Before:
    """What stood before the run: the ledger's last entry, and the closed periods before it.

    `adjusted` are those whose changes this run posts (all or none), with what was posted for them line by line, and
    `owed` what all closed periods have come to for each person.
    """

    ledger_seen: int
    closed: Sequence[str]
    adjusted: Sequence[str]
    posted: Mapping[pay.PostedKey, tuple[int, int]]
    owed: Mapping[tuple[int, str], int]


def _before(conn: sa.Connection, wanted: Period) -> _Before:
    closed = pay.closed_periods(conn, wanted.kind)
    earlier = [name for name in closed if parse_period(name).start < wanted.start]
    # One open period posts the changes, else two open ones would show the same money twice.
    adjusts = bool(closed) and parse_period(closed[-1]).next() == wanted
    return _Before(
        pay.last_entry(conn, wanted.kind),
        earlier,
        closed if adjusts else (),
        pay.posted(conn, closed) if adjusts else {},
        pay.owed(conn, wanted.kind) if adjusts else {},
    )


@dataclass
class _Now:
    """What a person, component and deal of a closed period come to now, and the lines that say so."""

    cents: int = 0
    version_id: int = 0
    lines: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class _Outcome:
    """Rows ready for the database; `lines` as pay.LINE_COLUMNS without the run's id."""

    lines: list[Sequence[Any]] = field(default_factory=list)
    people: list[tuple[int, str, int, int, int, int]] = field(default_factory=list)
    attainment: list[tuple[int, str, str, str, str]] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    lines_hash: bytes = b""


def _outcome(wanted: Period, loaded: Inputs, result: Result, before: _Before) -> _Outcome:
    users = dict(zip(loaded.book.people, loaded.user_ids.tolist(), strict=True))
    adjusted = set(before.adjusted)
    digest = hashlib.sha256()
    outcome = _Outcome()
    now: dict[pay.PostedKey, _Now] = defaultdict(_Now)
    earned: dict[tuple[int, str], int] = defaultdict(int)
    versions = set()
    for line in result.lines({*adjusted, wanted.name}):
        plan = result.plan(line)
        version_id = loaded.versions[line.plan][line.version]
        user_id, deal_id = users[line.person], int(line.deal) if line.deal else None
        if line.period in adjusted:
            entry = now[line.period, user_id, line.component, deal_id, plan.currency]
            entry.cents += line.cents
            entry.version_id = version_id
            entry.lines.append({**_working(line), "cents": line.cents})
        else:
            kind = "clawed_back" if line.kind == "clawback" else "earned"
            working = to_json(_working(line))
            row = (user_id, version_id, line.component, deal_id, kind, wanted.name, wanted.name, line.cents)
            outcome.lines.append((*row, plan.currency, working.decode()))
            earned[user_id, plan.currency] += line.cents
            versions.add(version_id)
            digest.update(to_json([line.person, line.deal, *row[2:]]) + working)

    for change in _adjustments(wanted, now, before.posted):
        outcome.lines.append(change)
        earned[change[0], change[8]] += change[7]
        versions.add(change[1])
        digest.update(to_json(change[2:]))

    outcome.people = list(_people(wanted, loaded, result, before, users, earned))
    outcome.attainment = list(_attainment(wanted, result, users))
    outcome.versions = sorted(versions)
    outcome.lines_hash = digest.digest()
    return outcome


def _working(line: Line) -> dict[str, Any]:
    """What, beside the plan version, explains a line: stored with it, read back by `engine.calc.explain`."""
    return {"kind": line.kind, "day": line.day, "facts": dict(line.facts)}


def _adjustments(
    wanted: Period, now: Mapping[pay.PostedKey, _Now], posted: Mapping[pay.PostedKey, tuple[int, int]]
) -> Iterator[Sequence[Any]]:
    """What closed periods have come to since they were posted, as lines of the open one."""

    def order(key: pay.PostedKey) -> tuple[str, int, str, int, str]:
        return key[0], key[1], key[2], key[3] or 0, key[4]

    for key in sorted(now.keys() | posted.keys(), key=order):
        origin, user_id, component, deal_id, currency = key
        found, (was, version_then) = now.get(key, _Now()), posted.get(key, (0, 0))
        if found.cents != was:
            working = {"kind": "adjustment", "was": was, "now": found.cents, "lines": found.lines}
            row = (user_id, found.version_id or version_then, component, deal_id, "adjusted", wanted.name, origin)
            yield (*row, found.cents - was, currency, working)


def _people(
    wanted: Period,
    loaded: Inputs,
    result: Result,
    before: _Before,
    users: Mapping[str, int],
    earned: Mapping[tuple[int, str], int],
) -> Iterator[tuple[int, str, int, int, int, int]]:
    """Per person: earned, drawn, draw balance and what is not payable yet, in cents."""
    posting, past = {*before.adjusted, wanted.name}, {*before.closed, wanted.name}
    currencies = inputs.pay_currencies(loaded.book)
    on_plan = _on_plan(wanted, loaded)
    due: dict[str, int] = defaultdict(int)
    deferred: dict[str, int] = defaultdict(int)
    balance: dict[str, int] = {}
    for row in result.pay:
        if row.period in posting:
            due[row.person] += row.paid
        if row.period in past:
            deferred[row.person] += row.earned
        if row.period == wanted.name:
            balance[row.person] = row.draw_balance or 0
    for payment in result.payments:
        if payment.period in past:
            deferred[payment.person] -= payment.cents
    for person, currency in sorted(currencies.items()):
        key = users[person], currency
        cents = earned.get(key, 0)
        # Due in all, less what closed periods came to, less this run's lines: what the draw adds or takes.
        drawn = due[person] - before.owed.get(key, 0) - cents
        if person in on_plan or person in balance or cents or drawn:
            yield (*key, cents, drawn, balance.get(person, 0), max(0, deferred[person]))


def _covers(row: Assignment, period: Period) -> bool:
    """Whether the assignment holds on some day of the period."""
    return (row.start is None or row.start < period.end) and (row.end is None or row.end > period.start)


def _on_plan(wanted: Period, loaded: Inputs) -> set[str]:
    """Who is on a plan that pays the period, on some day of it: they are listed even when they earned nothing."""
    return {
        row.person
        for row in loaded.book.assignments
        if _covers(row, wanted)
        and any(plan.pay_period == wanted.kind for plan in loaded.book.plans.get(row.plan or "", ()))
    }


def _attainment(wanted: Period, result: Result, users: Mapping[str, int]) -> Iterator[tuple[int, str, str, str, str]]:
    """Credit and quota, in units, of the quota periods that hold the pay period; rounded for screens only.

    Whoever has a quota and no credit yet is listed with none.
    """
    yield from _begun(wanted, result, users)
    begun = {(row.person, row.component, row.period) for row in result.attainment}
    book = result.book
    quotas = Quotas(book, Tree(book))
    place = {person: code for code, person in enumerate(book.people)}
    listed = set()
    for row in book.assignments:
        versions = book.plans.get(row.plan or "", ())
        if not versions or not _covers(row, wanted) or versions[0].effective_from >= wanted.end:
            continue
        plan = version_at(versions, wanted.end - 1)
        for component in plan.components:
            period = period_of(component.quota_period, wanted.start)
            key = row.person, component.id, period.name
            quota = quotas.of(place[row.person], plan, component, period) if needs_quota(component) else None
            if quota is not None and key not in begun and key not in listed:
                listed.add(key)
                yield (
                    users[row.person],
                    component.id,
                    period.name,
                    "0",
                    _decimal(quota.prorated / _parts(plan, component)),
                )


def _parts(plan: Plan, component: Component) -> int:
    """How many of the parts that the rules count in make a unit of the component's measure."""
    return 10 ** currency_digits(plan.currency) if component.measure in MONEY_MEASURES else MICRO


def _begun(wanted: Period, result: Result, users: Mapping[str, int]) -> Iterator[tuple[int, str, str, str, str]]:
    quotas = {
        (block.person, block.plan, block.component, block.quota_period): (block.quota, block.version)
        for block in result.blocks
        if block.quota is not None
    }
    place = {person: code for code, person in enumerate(result.book.people)}
    for row in result.attainment:
        period = parse_period(row.period)
        quota, version = quotas.get((place[row.person], row.plan, row.component, row.period), (None, 0))
        if quota is None or not period.start <= wanted.start < period.end:
            continue
        plan = result.book.plans[row.plan][version]
        units = Fraction(*quota) / _parts(plan, next(part for part in plan.components if part.id == row.component))
        credit = units * row.credit / row.quota
        yield users[row.person], row.component, row.period, _decimal(credit), _decimal(units)


def _decimal(value: Fraction) -> str:
    """Decimal text with six places."""
    micro = round_ratio(value.numerator * MICRO, value.denominator)
    return f"{'-' if micro < 0 else ''}{abs(micro) // MICRO}.{abs(micro) % MICRO:06d}"

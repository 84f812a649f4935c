"""Past imports: looked at, and undone while nothing of them is paid; what is remembered of each source."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import sqlalchemy as sa

from engine.analytics import deals as analytics
from engine.db import audit, deal_imports, import_batches, jobs
from engine.db.database import Database
from engine.db.import_batches import Batch, Obstacle
from engine.db.jobs import Job
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.imports.mapping import FIELDS
from engine.services import access
from engine.services.access import Actor
from engine.services.imports import Progress
from engine.services.jobs import Body, JobRunner, Work

__all__ = ["Batch"]

AT_ONCE = 5_000  # deals that are taken back while the page waits; more are a job's work
UNDO = "undo import"

_WHY: Mapping[str, tuple[str, str, str]] = {  # kind -> one, many, remedy
    "later": (
        "was changed after the import",
        "were changed after the import",
        "What came later would be lost. Correct these deals here, or in the CRM and import again.",
    ),
    "closed": (
        "has earnings in a closed period",
        "have earnings in closed periods",
        (
            "What is approved or paid never moves. Correct the deals in the CRM and import again, or set "
            '"Cancelled on": the difference is then posted in the open period.'
        ),
    ),
    "active": (
        "that the import added has activities",
        "that the import added have activities",
        "They would be deleted with it. Move or delete the activities first.",
    ),
}


@dataclass(frozen=True)
class Undone:
    """What an undoing did: deals deleted, deals as they were before, open periods that must be run again."""

    deleted: int
    restored: int
    periods: tuple[str, ...] = ()


@dataclass(frozen=True)
class Remembered:
    """What is remembered of a source.

    ``columns``: field (its name and its label) and the column that fills it; ``owners`` and ``stages``: the text of
    the file (in small letters), and whom or what it means.
    """

    source: str
    columns: tuple[tuple[str, str, str], ...]
    owners: tuple[tuple[str, str], ...]
    stages: tuple[tuple[str, str], ...]


def find_import(db: Database, actor: Actor, import_id: int) -> Batch:
    """One import.  Raises QuotaPathError when there is none with that number."""
    access.require(actor, "deals.import")
    with db.read(actor) as conn:
        return _find(conn, import_id)


def import_rows(
    db: Database, actor: Actor, import_id: int, added: bool, limit: int = 50, offset: int = 0
) -> pd.DataFrame:
    """Deals that the import added, or changed, and that are still here; a page of them.

    id, external_id, name, account, owner, stage, amount, currency, close_date as they are now; of changed ones also
    what: the fields that the import changed, from and to, as text.
    """
    access.require(actor, "deals.import")
    with db.read(actor) as conn:
        names = analytics.names(conn)
        rows = import_batches.rows(conn, import_id, added, limit, offset)
    columns = ["id", "external_id", "name", "account", "owner", "stage", "amount", "currency", "close_date", "what"]
    frame = pd.DataFrame([(*row[:9], _what(row, names)) for row in rows], columns=columns, dtype=object)
    return frame.astype({"id": "int64", "amount": "Int64"})


def periods_to_run(db: Database, actor: Actor, batch: Batch) -> list[str]:
    """Open periods that lose everyone's figures when the import is undone; of an undone one those not run since."""
    access.require(actor, "deals.import")
    with db.read(actor) as conn:
        read = import_batches.standing if batch.undone_at is None else import_batches.bare
        return read(conn, batch.id)


def undo_import(
    db: Database, actor: Actor, import_id: int, tell: Progress = lambda _done, _total, _message: None
) -> Undone:
    """Take an import back: deals that it added are deleted, those that it changed are as they were before.

    All of it in one transaction, or nothing; a second undoing changes nothing.  An open period whose run stands on a
    deleted deal shows that run no more, so it cannot be approved: it must be run again.  Raises ProblemsError, naming
    the deals, when one was changed since, has earnings in an approved or paid period, or was added and has activities.
    """
    access.require(actor, "deals.import")
    try:
        with db.write(actor) as conn:
            batch = _find(conn, import_id, lock=True)
            if batch.undone_at is not None:
                return Undone(0, 0)
            tell(0, 0, "Looking for what stands in the way")
            count = import_batches.begin_undo(conn, import_id)
            problems = [_problem(kind, found) for kind, found in import_batches.obstacles(conn).items()]
            if count < batch.added + batch.changed:
                problems.append(_missing(batch.added + batch.changed - count))
            if problems:
                raise ProblemsError(problems)
            periods = tuple(import_batches.withdraw_runs(conn))
            deleted, restored = import_batches.undo(
                conn, import_id, count, actor.user_id, lambda done, total: tell(done, total, "Taking the deals back")
            )
            if deleted + restored < count:
                raise QuotaPathError("Somebody changed one of these deals at the same moment. Nothing was undone.")
            detail = {"undone": batch.filename, "deleted": deleted, "restored": restored, "run_again": list(periods)}
            audit.record(conn, actor.user_id, "deals.import", f"import {import_id}", detail)
    except sa.exc.IntegrityError as error:
        raise QuotaPathError(
            "Something that was entered meanwhile stands on a deal of this import, so it cannot be undone "
            f"({str(error.orig).splitlines()[0]}). Nothing was undone."
        ) from error
    return Undone(deleted, restored, periods)


def start_undo(runner: JobRunner, actor: Actor, import_id: int) -> str:
    """Undo a large import by a job; gives its id."""
    access.require(actor, "deals.import")
    return runner.submit(actor, UNDO, {"import": import_id})


def undo_job_of(db: Database, actor: Actor, import_id: int) -> Job | None:
    """The newest job that undoes, or tried to undo, the import."""
    access.require(actor, "deals.import")
    with db.read(actor) as conn:
        return next((job for job in jobs.recent(conn, 50, UNDO) if job.arguments.get("import") == import_id), None)


def _undo_job(work: Work) -> Mapping[str, Any]:
    undone = undo_import(work.db, work.actor, work.arguments["import"], work.progress)
    return {"deleted": undone.deleted, "restored": undone.restored, "periods": list(undone.periods)}


JOBS: Mapping[str, Body] = {UNDO: _undo_job}


# ---------------------------------------------------------------- what is remembered
def remembered(db: Database, actor: Actor) -> list[Remembered]:
    """What is remembered of every source from which something was imported, by its name."""
    access.require(actor, "deals.import")
    labels = {field.name: field.label for field in FIELDS}
    with db.read(actor) as conn:
        people = {user_id: name for user_id, name, _ in deal_imports.people(conn)}
        stages = {stage_id: name for stage_id, name, _ in deal_imports.stages(conn)}
        saved = {source: deal_imports.saved(conn, source) for source in deal_imports.sources(conn)}
    return [
        Remembered(
            source,
            tuple((name, label, found.mapping[name]) for name, label in labels.items() if name in found.mapping),
            tuple((text, people.get(user, "gone")) for text, user in sorted(found.owners.items())),
            tuple((text, stages.get(stage, "gone")) for text, stage in sorted(found.stages.items())),
        )
        for source, found in saved.items()
    ]


def forget(db: Database, actor: Actor, source: str, kind: str, name: str) -> None:
    """Drop one entry of what is remembered of a source; the next file asks, or guesses, again.

    ``kind`` is mapping (``name``: the field), owners or stages (the text of the file).
    """
    access.require(actor, "deals.import")
    if kind not in ("mapping", "owners", "stages"):
        raise ValueError(kind)
    with db.write(actor) as conn:
        if import_batches.forget(conn, source, kind, name):
            audit.record(conn, actor.user_id, "deals.import", f"source {source}", {"forgotten": {kind: name}})


# ---------------------------------------------------------------- words
def _find(conn: sa.Connection, import_id: int, *, lock: bool = False) -> Batch:
    found = import_batches.find(conn, import_id, lock=lock)
    if found is None:
        raise QuotaPathError(f"There is no import number {import_id}. Choose one of the list.")
    return found


def _what(row: Any, names: analytics.Names) -> str:
    if "created" in row.changes:
        return ""
    before = row.changes.get("currency", [row.currency])[0]
    after = row.changes.get("currency", [None, row.currency])[1]
    told = analytics.described(row.changes, names, before, after)
    return "; ".join(f"{field}: {old} → {new}" for field, old, new in told)


def _problem(kind: str, found: Obstacle) -> Problem:
    one, many, remedy = _WHY[kind]
    named = ", ".join(f"{deal} ({what})" for deal, what in found.deals)
    more = f" and {found.count - len(found.deals):,} more" if found.count > len(found.deals) else ""
    count = "1 deal" if found.count == 1 else f"{found.count:,} deals"
    return Problem(count, f"{one if found.count == 1 else many}: {named}{more}.", remedy)


def _missing(count: int) -> Problem:
    what = "1 deal" if count == 1 else f"{count:,} deals"
    return Problem(
        what,
        "of this import cannot be taken back: deleted since, or imported by an older version.",
        "Correct the others here, or in the CRM and import again.",
    )

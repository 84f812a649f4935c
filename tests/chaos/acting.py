"""What people do in a company under fire: each action is data, chosen from what is there, done by the real services.

To add one, write a function that chooses its arguments (None: there is nothing to do it to) and one that does it, and
put both into `ACTIONS`.  Arguments and results are plain data: the choosing is done in one process, the doing in the
app's, which may be killed in the middle.
"""

import csv
import io
import random
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import sqlalchemy as sa

from app import state
from engine.db import jobs as job_rows
from engine.db.database import Database
from engine.errors import QuotaPathError
from engine.periods import parse_period
from engine.services import (
    adjustments,
    batches,
    dashboard,
    deal_edits,
    deals,
    import_files,
    imports,
    jobs,
    payouts,
    runs,
    statements,
)
from engine.services.access import Actor
from engine.services.adjustments import NewAdjustment
from engine.services.deals import DealFields, DealFilters, Page
from engine.services.imports import Upload
from engine.services.recalculation import recalculate
from engine.services.run_scope import Scope

MONTHS = tuple(f"{year}-{month:02}" for year in (2026, 2027) for month in range(1, 13))
QUARTERS = tuple(f"{year}-Q{quarter}" for year in (2026, 2027) for quarter in range(1, 5))
TODAY = date(2027, 12, 31)
REPS = ("ana", "bo")
PATIENCE = 120  # seconds for a job to end, on a machine that does much else


@dataclass(frozen=True)
class Seen:
    """What there is to choose from, in order of ids and days."""

    users: dict[str, int]
    won: int  # the stage
    open: list[str]
    locked: list[str]
    closed: list[str]
    approved: list[str]  # something of their payouts is open
    paid: list[str]
    deals: list[int]
    imports: list[int]
    adjustments: list[int]
    lines: list[int]  # of open months
    jobs: list[str]  # that may be cancelled or retried


def look(conn: sa.Connection, users: dict[str, int]) -> Seen:
    """What there is now."""

    def found(query: str) -> list[Any]:
        return list(conn.scalars(sa.text(query)))

    status = {row.period: row.status for row in conn.execute(sa.text("SELECT period, status FROM pay_periods"))}
    return Seen(
        users,
        found("SELECT id FROM pipeline_stages WHERE name = 'Closed Won'")[0],
        [month for month in MONTHS if status.get(month, "open") == "open"],
        [month for month in MONTHS if status.get(month) == "locked"],
        [month for month in MONTHS if status.get(month, "open") != "open"],
        found("SELECT period FROM payouts WHERE status IN ('approved', 'part_paid') ORDER BY period"),
        [month for month in MONTHS if status.get(month) == "paid"],
        found("SELECT id FROM deals ORDER BY id"),
        found("SELECT id FROM imports WHERE undone_at IS NULL ORDER BY id"),
        found("SELECT id FROM manual_adjustments WHERE withdrawn_at IS NULL ORDER BY id"),
        found(
            "SELECT l.id FROM lines l JOIN pay_periods p ON p.run_id = l.run_id WHERE p.status = 'open' ORDER BY l.id"
        ),
        found("SELECT CAST(id AS text) FROM jobs WHERE status NOT IN ('done') ORDER BY created_at, id"),
    )


@dataclass(frozen=True)
class Action:
    """`weight`: how often.  `again`: somebody who saw no answer may ask for exactly the same once more, to no harm."""

    name: str
    weight: int
    again: bool
    choose: Callable[[random.Random, Seen], dict[str, Any] | None]
    do: Callable[[Database, Actor, dict[str, Any]], Any]


# --- choosing ----------------------------------------------------------------------------------------


def _month(rng: random.Random, seen: Seen) -> str:
    """Mostly the month that people work on, sometimes the next, sometimes one that is closed."""
    near = seen.open[:2] + seen.closed[-2:]
    return rng.choice([*seen.open[:1] * 4, *near])


def _sale(rng: random.Random, seen: Seen) -> dict[str, Any]:
    month = _month(rng, seen)
    day, owner = f"{month}-{rng.randint(1, 28):02}", rng.choice(REPS)
    return {"day": day, "owner": seen.users[owner], "dollars": rng.randint(0, 90) * 1_000, "won": seen.won}


def _one(rng: random.Random, what: Sequence[Any]) -> Any:
    return rng.choice(what[-12:]) if what else None


def _edited(rng: random.Random, seen: Seen) -> dict[str, Any] | None:
    deal = _one(rng, seen.deals)
    owner = seen.users[rng.choice(REPS)]
    return deal and {"deal": deal, "owner": owner, "dollars": rng.randint(0, 90) * 1_000}


def _cancelled(rng: random.Random, seen: Seen) -> dict[str, Any] | None:
    deal = _one(rng, seen.deals)
    return deal and {"deal": deal, "days": rng.choice((None, 0, 10, 45, 100))}


def _moved(rng: random.Random, seen: Seen) -> dict[str, Any] | None:
    if len(seen.deals) < 3:
        return None
    return {"deals": rng.sample(seen.deals[-20:], 3), "owner": seen.users[rng.choice(REPS)]}


def _given(rng: random.Random, seen: Seen) -> dict[str, Any]:
    who = seen.users[rng.choice((*REPS, "fay"))]
    request = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    return {
        "request": request,
        "month": _month(rng, seen),
        "who": who,
        "cents": rng.choice((-1, 1)) * rng.randint(1, 99_999),
    }


def _overridden(rng: random.Random, seen: Seen) -> dict[str, Any] | None:
    line = _one(rng, seen.lines)
    request = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    return line and {"request": request, "line": line, "cents": rng.randint(0, 999_999)}


def _from(of: str) -> Callable[[random.Random, Seen], dict[str, Any] | None]:
    """One of the last of them."""

    def choose(rng: random.Random, seen: Seen) -> dict[str, Any] | None:
        found = _one(rng, getattr(seen, of))
        return None if found is None else {"it": found}

    return choose


def _first(of: str) -> Callable[[random.Random, Seen], dict[str, Any] | None]:
    """The first of them: months are closed and paid one after the other."""
    return lambda _rng, seen: {"it": getattr(seen, of)[0]} if getattr(seen, of) else None


def _any_month(rng: random.Random, seen: Seen) -> dict[str, Any]:
    return {"it": _month(rng, seen)}


def _taken_back(rng: random.Random, seen: Seen) -> dict[str, Any] | None:
    month = _one(rng, seen.paid)
    return month and {"month": month, "who": rng.choice([None, *(seen.users[rep] for rep in (*REPS, "mia"))])}


def _part(rng: random.Random, seen: Seen) -> dict[str, Any] | None:
    request = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    month = _one(rng, seen.approved)
    return month and {"month": month, "request": request, "of": rng.random(), "percent": rng.choice((10, 50, 100))}


def _some(rng: random.Random, seen: Seen) -> dict[str, Any]:
    return {"it": _month(rng, seen), "who": seen.users[rng.choice((*REPS, "mia"))]}


def _file(rng: random.Random, seen: Seen) -> dict[str, Any]:
    """An export with some deals that come again and again, changed, and some new ones."""
    rows = []
    for number in sorted(rng.sample(range(40), 8)):
        sale = _sale(rng, seen)
        owner = {seen.users["ana"]: "Ana", seen.users["bo"]: "Bo"}[sale["owner"]]
        rows.append(
            (f"006{number:012}", f"Deal {number}", "Acme", owner, "Closed Won", sale["dollars"], sale["day"], "New")
        )
    out = io.StringIO()
    csv.writer(out).writerows(
        [
            (
                "Opportunity ID",
                "Opportunity Name",
                "Account Name",
                "Opportunity Owner",
                "Stage",
                "Amount",
                "Close Date",
                "Type",
            ),
            *rows,
        ]
    )
    return {"text": out.getvalue()}


# --- doing -------------------------------------------------------------------------------------------


def _sell(db: Database, actor: Actor, given: dict[str, Any]) -> Any:
    day, cents = date.fromisoformat(given["day"]), given["dollars"] * 100
    fields = DealFields("By hand", "Acme", given["owner"], given["won"], cents, "USD", day, type="New")
    return {"deals": deals.create_deal(db, actor, fields)}


def _change(db: Database, actor: Actor, deal_id: int, **values: Any) -> Any:
    found = deals.deal_detail(db, actor, deal_id, TODAY).deal
    deals.edit_deal(db, actor, deal_id, found.version, replace(found.fields, **values))
    return {"deals": deal_id}


def _edit(db: Database, actor: Actor, given: dict[str, Any]) -> Any:
    return _change(db, actor, given["deal"], owner_id=given["owner"], amount=given["dollars"] * 100)


def _cancel(db: Database, actor: Actor, given: dict[str, Any]) -> Any:
    closed = deals.deal_detail(db, actor, given["deal"], TODAY).deal.fields.close_date
    day = None if given["days"] is None else date.fromordinal(closed.toordinal() + given["days"])
    return _change(db, actor, given["deal"], cancelled_on=day)


def _move(db: Database, actor: Actor, given: dict[str, Any]) -> Any:
    edit = deal_edits.BulkEdit({"owner_id": given["owner"]}, tuple(given["deals"]))
    preview = deal_edits.preview_edit(db, state.pool(), actor, edit, TODAY)
    return deal_edits.apply_edit(db, actor, edit, preview.seen, TODAY)


def _give(db: Database, actor: Actor, given: dict[str, Any]) -> Any:
    new = NewAdjustment(given["request"], given["who"], "bonus", given["cents"], "Because")
    return {"manual_adjustments": adjustments.add_adjustment(db, actor, given["month"], new)}


def _override(db: Database, actor: Actor, given: dict[str, Any]) -> Any:
    made = adjustments.override_line(db, actor, given["request"], given["line"], given["cents"], "Because")
    return {"manual_adjustments": made}


def _withdraw(db: Database, actor: Actor, given: dict[str, Any]) -> Any:
    return adjustments.withdraw_adjustment(db, actor, given["it"])


def _run(db: Database, actor: Actor, given: dict[str, Any]) -> Any:
    return {"runs": runs.run_period(db, state.pool(), actor, given["it"])}


def _submit_run(_db: Database, actor: Actor, given: dict[str, Any]) -> Any:
    """And do not wait: what follows happens beside it."""
    return {"jobs": state.jobs().submit(actor, runs.JOB, {"period": given["it"]})}


def _run_by_job(db: Database, actor: Actor, given: dict[str, Any]) -> Any:
    return _ended(db, _submit_run(db, actor, given)["jobs"])


def _close(db: Database, actor: Actor, given: dict[str, Any]) -> Any:
    runs.run_period(db, state.pool(), actor, given["it"])
    return {"payouts": payouts.approve_period(db, actor, given["it"]).id}


def _run_some(db: Database, actor: Actor, given: dict[str, Any]) -> Any:
    return {"runs": runs.run_period(db, state.pool(), actor, given["it"], scope=Scope(people=(given["who"],)))}


def _recalculate(db: Database, actor: Actor, given: dict[str, Any]) -> Any:
    recalculate(db, state.pool(), actor, [given["it"]])


def _lock(db: Database, actor: Actor, given: dict[str, Any]) -> Any:
    runs.run_period(db, state.pool(), actor, given["it"])
    payouts.lock_amounts(db, actor, given["it"])


def _chosen(db: Database, actor: Actor, given: dict[str, Any]) -> payouts.Part:
    """A share of what is open of one person."""
    found = payouts.payout_state(db, actor, given["month"])
    keys = sorted(found.open)
    amounts = {}
    if keys:
        key = keys[int(given["of"] * len(keys))]
        amounts = {key: max(1, found.open[key] * given["percent"] // 100)}
    return payouts.Part(given["request"], found.moved, amounts)


def _pay_part(db: Database, actor: Actor, given: dict[str, Any]) -> Any:
    return {"payouts": payouts.mark_paid(db, actor, given["month"], _chosen(db, actor, given)).id}


def _release(db: Database, actor: Actor, given: dict[str, Any]) -> Any:
    return {"payouts": payouts.release(db, actor, given["month"], _chosen(db, actor, given), "Not this month").id}


def _approve(db: Database, actor: Actor, given: dict[str, Any]) -> Any:
    return {"payouts": payouts.approve_period(db, actor, given["it"]).id}


def _pay(db: Database, actor: Actor, given: dict[str, Any]) -> Any:
    found = payouts.mark_paid(db, actor, given["it"])
    assert not found.is_open
    return {"payouts": found.id}


def _reverse(db: Database, actor: Actor, given: dict[str, Any]) -> Any:
    who = None if given["who"] is None else {given["who"]}
    return payouts.reverse_payout(db, actor, given["month"], "The bank sent it back", who)


def _import(db: Database, actor: Actor, given: dict[str, Any]) -> Any:
    upload = Upload(given["text"].encode(), "export.csv", source="salesforce", today=TODAY)
    preview = imports.preview_import(db, actor, upload)
    return {"imports": imports.import_deals(db, actor, preview, accept_refused=True).import_id}


def _import_by_job(db: Database, actor: Actor, given: dict[str, Any]) -> Any:
    file_id = import_files.keep_file(db, actor, "export.csv", io.BytesIO(given["text"].encode()))
    import_files.start_check(
        db, state.jobs(), actor, file_id, Upload(b"", "export.csv", source="salesforce", today=TODAY)
    )
    _ended(db, _job_of(db, actor, file_id))
    for _ in range(2):  # a second click
        import_files.start_import(db, state.jobs(), actor, file_id, accept_refused=True)
    return _ended(db, _job_of(db, actor, file_id))


def _undo(db: Database, actor: Actor, given: dict[str, Any]) -> Any:
    batches.undo_import(db, actor, given["it"])


def _undo_by_job(db: Database, actor: Actor, given: dict[str, Any]) -> Any:
    batches.start_undo(state.jobs(), actor, given["it"])
    with db.read() as conn:
        left = job_rows.unfinished(conn)
    for job_id in left:
        _ended(db, job_id)


def _write_statements(_db: Database, actor: Actor, given: dict[str, Any]) -> Any:
    return {"jobs": state.jobs().submit(actor, statements.JOB, {"period": given["it"]})}


def _cancel_job(db: Database, actor: Actor, given: dict[str, Any]) -> Any:
    jobs.cancel_job(db, actor, given["it"])


def _retry_job(db: Database, actor: Actor, given: dict[str, Any]) -> Any:
    return {"jobs": jobs.retry_job(db, state.jobs(), actor, given["it"])}


def _show(db: Database, actor: Actor, given: dict[str, Any]) -> Any:
    """The screens: what is remembered of them is of now."""
    page = deals.list_deals(db, actor, DealFilters(), Page(), TODAY)
    found = dashboard.dashboard(db, actor, parse_period(given["it"]), None, TODAY)
    with db.read() as conn:
        query = """
            SELECT coalesce(sum(amount), 0)::bigint FROM deals WHERE to_char(close_date, 'YYYY-MM') = :month
        """.replace("::", r"\:\:")
        won = conn.scalar(sa.text(query), {"month": given["it"]})
        total = conn.scalar(sa.text("SELECT count(*) FROM deals"))
        working = job_rows.unfinished(conn)
    assert working or (page.total, found.won.value) == (total, won), "a screen shows what is not so any more"


def _job_of(db: Database, actor: Actor, file_id: str) -> str:
    found = import_files.kept_file(db, actor, file_id)
    assert found is not None
    assert found.job is not None
    return found.job.id


def _ended(db: Database, job_id: str) -> Any:
    """Wait for a job as a screen does, which goes on asking while the database is away."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            with db.read() as conn:
                job = job_rows.get(conn, job_id)
            assert job is not None
            if job.is_over:
                if job.status != "done":
                    raise QuotaPathError(job.message or job.status)
                return {"jobs": job.id}
        except sa.exc.DBAPIError:
            pass
        time.sleep(0.02)
    raise AssertionError(f"job {job_id} does not end")


ACTIONS: dict[str, Action] = {
    action.name: action
    for action in (
        Action("sell", 8, False, _sale, _sell),
        Action("edit a deal", 6, True, _edited, _edit),
        Action("cancel a deal", 5, True, _cancelled, _cancel),
        Action("move deals", 2, True, _moved, _move),
        Action("import", 3, True, _file, _import),
        Action("import by a job", 5, True, _file, _import_by_job),
        Action("undo an import", 2, True, _from("imports"), _undo),
        Action("undo an import by a job", 1, True, _from("imports"), _undo_by_job),
        Action("give", 4, True, _given, _give),
        Action("override", 2, True, _overridden, _override),
        Action("withdraw", 1, True, _from("adjustments"), _withdraw),
        Action("run", 5, True, _any_month, _run),
        Action("run by a job", 6, True, _any_month, _run_by_job),
        Action("submit a run", 4, False, _any_month, _submit_run),
        Action("run and approve", 7, True, _first("open"), _close),
        Action("approve", 3, True, _first("open"), _approve),
        Action("run for one", 3, True, _some, _run_some),
        Action("bring up to date", 3, True, _any_month, _recalculate),
        Action("run and lock", 3, True, _first("open"), _lock),
        Action("approve a locked month", 4, True, _first("locked"), _approve),
        Action("pay a part", 5, True, _part, _pay_part),
        Action("release a part", 2, True, _part, _release),
        Action("pay", 7, True, _first("approved"), _pay),
        Action("pay again", 2, True, _from("closed"), _pay),
        Action("reverse", 4, True, _taken_back, _reverse),
        Action("write statements", 2, False, _from("closed"), _write_statements),
        Action("cancel a job", 2, True, _from("jobs"), _cancel_job),
        Action("retry a job", 3, True, _from("jobs"), _retry_job),
        Action("show", 4, True, _any_month, _show),
    )
}

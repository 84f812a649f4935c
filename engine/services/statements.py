"""Statements: one person, one pay period, every line that makes the total; once closed, the same bytes for ever."""

import hashlib
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from io import BytesIO
from typing import Any

import pandas as pd
import sqlalchemy as sa

from engine import sheets
from engine.analytics import deals
from engine.analytics import statements as frames
from engine.db import audit, jobs, pay, statements
from engine.db.database import Database
from engine.db.jobs import Job
from engine.db.statements import Kept
from engine.errors import QuotaPathError
from engine.money import format_money
from engine.periods import parse_period
from engine.services import access
from engine.services.access import Actor
from engine.services.jobs import Body, Work
from engine.services.statement_content import Content, build
from engine.services.statement_pdf import to_pdf
from engine.services.statement_sheets import to_csv, to_xlsx
from engine.services.statement_words import status

Progress = Callable[[int, int, str], None]

JOB = "statements"
FORMATS: Mapping[str, Callable[[Content, str], bytes]] = {"pdf": to_pdf, "xlsx": to_xlsx, "csv": to_csv}
_NOT_FINAL = ("open", "locked")  # statuses of a period whose payout is not approved
PART = 500  # people in one ZIP: about 20 MB, what a browser session can hold


@dataclass(frozen=True)
class Statement:
    """A statement as shown: `content` as `statement_content` makes it.

    `code` is the SHA-256 of its canonical JSON; a provisional one (the period is open) has no `id` and is not kept.
    `editions` are those that are kept, as {paid_to: what it tells of}; `edition` is the one shown.
    """

    id: int | None
    content: Mapping[str, Any]
    code: str
    edition: int
    editions: Mapping[int, str]

    @property
    def final(self) -> bool:
        """Whether its period is closed, so that it never changes."""
        return self.id is not None


@dataclass(frozen=True)
class Verified:
    """What a verification code stands for."""

    name: str
    code: str
    period: str
    earned: int
    currency: str
    kept_on: date


def statement(db: Database, actor: Actor, user_id: int, period: str, edition: int | None = None) -> Statement | None:
    """The person's statement: kept for good when the payout is approved, else provisional; None when no run has them.

    `edition` asks for an earlier one that is kept.  Needs "earnings.view" and the person within reach, else raises
    Forbidden; raises QuotaPathError for an edition that there is not.
    """
    wanted = parse_period(period)
    with db.read(actor) as conn:
        access.require_person(conn, actor, "earnings.view", user_id, wanted.last_day)
        kept = {each.paid_to: each for each in statements.kept(conn, user_id, wanted.name)}
        if edition is not None and edition not in kept:
            raise QuotaPathError(f"There is no edition {edition} of this statement. Open the newest one.")
    newest = _kept(db, user_id, wanted.name, kept) if edition is None else kept[edition]
    if newest is None:
        return _provisional(db, user_id, wanted.name)
    kept[newest.paid_to] = newest
    editions = {number: status(json.loads(each.content)) for number, each in sorted(kept.items())}
    return Statement(newest.id, json.loads(newest.content), newest.code, newest.paid_to, editions)


def _provisional(db: Database, user_id: int, period: str) -> Statement | None:
    with db.read() as conn:
        built = build(conn, user_id, period)
    if built is None:
        return None
    text = canonical(built[0])
    return Statement(None, json.loads(text), _code(text), 0, {})


def _kept(
    db: Database, user_id: int, period: str, kept: Mapping[int, Kept], names: deals.Names | None = None
) -> Kept | None:
    """The newest edition of a closed period's statement, made and kept now if need be; None for an open period."""
    with db.read() as conn:
        found = pay.pay_period(conn, period)
        if found is None or found.status in _NOT_FINAL:
            return None
        last = statements.last_payment(conn, user_id, period)
        if last in kept:
            return kept[last]
        built = build(conn, user_id, period, names)
    if built is None:
        return None
    content, paid_to = built
    with db.write() as conn:
        return statements.keep(conn, user_id, period, paid_to, canonical(content))


def canonical(content: Content) -> str:
    """The one way to write the content: JSON with sorted keys and nothing between."""
    return json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _code(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# --- files ------------------------------------------------------------------------------------------


def file_name(period: str, code: str, kind: str) -> str:
    """The name of a statement's file; period and code hold nothing that a file name may not."""
    return f"statement-{period}-{code}.{kind}"


def statement_file(
    db: Database, actor: Actor, user_id: int, period: str, kind: str, edition: int | None = None
) -> bytes:
    """The statement as "pdf", "xlsx" or "csv"; of a closed period the same bytes whenever it is asked for.

    Needs what `statement` needs; the export is audited.  Raises QuotaPathError when there is no statement.
    """
    found = statement(db, actor, user_id, period, edition)
    if found is None:
        raise QuotaPathError(f"There is no statement of {period} for this person: no run has them.")
    person = found.content["person"]["code"]
    with db.write() as conn:  # what is made is kept for everyone who will ask for it
        content = _file(conn, found.id, kind, found.content, found.code)
        audit.record(
            conn,
            actor.user_id,
            "statements.export",
            f"statement {period} of {person}",
            {"format": kind, "code": found.code, "final": found.final},
        )
    return content


def _file(conn: sa.Connection, statement_id: int | None, kind: str, content: Mapping[str, Any], code: str) -> bytes:
    """The file as it was handed out first, else made now, and kept for a final statement."""
    kept = None if statement_id is None else statements.file(conn, statement_id, kind)
    if kept is not None:
        return kept
    made = FORMATS[kind](dict(content), code)
    return made if statement_id is None else statements.keep_file(conn, statement_id, kind, made)


# --- lists and codes --------------------------------------------------------------------------------


def list_statements(
    db: Database,
    actor: Actor,
    period: str,
    kinds: list[str],
    limit: int | None,
    offset: int,
    person: int | None = None,
    after: tuple[date, str, str, str] | None = None,
) -> tuple[pd.DataFrame, int]:
    """The statements of all pay periods (of the `kinds`) inside a month, quarter or year, as `frames.listed`.

    Those within reach only, by the team tree of the span's last day; of one `person` if given; from `after` (as
    `frames.listed` has it) on.  Needs "earnings.view".
    """
    span = parse_period(period)
    with db.read(actor) as conn:
        people = access.visible_people(conn, actor, "earnings.view", span.last_day)
        if person is not None:
            people = frozenset({person}) & (people if people is not None else {person})
        return frames.listed(conn, (span.first_day, date.fromordinal(span.end)), kinds, people, (limit, offset), after)


_LISTED = ("Employee", "Name", "Period", "Status", "Earned", "Due", "Paid", "Currency", "Verification code")


def export_list(
    db: Database, actor: Actor, period: str, kinds: list[str], kind: str, person: int | None = None
) -> bytes:
    """The whole list of `list_statements` as "csv" or "xlsx".  The export is audited."""
    found, _ = list_statements(db, actor, period, kinds, None, 0, person)
    records: list[dict[Any, Any]] = found.astype(object).where(found.notna(), None).to_dict("records")
    rows: list[tuple[sheets.Value, ...]] = [
        (
            *(row[name] for name in ("code", "name", "period", "status")),
            *(
                None if row[name] is None else Decimal(format_money(int(row[name]), row["currency"]))
                for name in ("earned", "due", "paid")
            ),
            row["currency"],
            row["verification_code"],
        )
        for row in records
    ]
    with db.write(actor) as conn:
        detail = {"format": kind, "rows": len(rows), "person": person}
        audit.record(conn, actor.user_id, "statements.export", f"list of statements {period}", detail)
    return sheets.to_csv(_LISTED, rows) if kind == "csv" else sheets.to_xlsx(_LISTED, rows, f"Statements {period}")


def people_with_statements(db: Database, actor: Actor, period: str, kinds: list[str]) -> dict[int, tuple[str, str]]:
    """user id -> (name, code) of everyone within reach who has a statement in a month, quarter or year, by name."""
    span = parse_period(period)
    with db.read(actor) as conn:
        people = access.visible_people(conn, actor, "earnings.view", span.last_day)
        return frames.people(conn, (span.first_day, date.fromordinal(span.end)), kinds, people)


def verify(db: Database, actor: Actor, code: str) -> Verified | None:
    """Whose statement a verification code stands for; None when it is no statement's within reach.

    Needs "earnings.view".  Raises QuotaPathError when it is no code at all.
    """
    access.require(actor, "earnings.view")
    digits = re.sub(r"\s", "", code).lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise QuotaPathError(
            f"A verification code has 64 digits 0-9 and a-f; this has {len(digits)} characters. Copy it whole."
        )
    with db.read(actor) as conn:
        found = statements.by_code(conn, digits)
        if found is None:
            return None
        people = access.visible_people(conn, actor, "earnings.view", parse_period(found.period).last_day)
    if people is not None and found.user_id not in people:
        return None
    content = json.loads(found.content)
    person, balance = content["person"], content["balance"]
    earned = balance["earned"] + balance["adjusted"] + balance["clawed_back"]
    return Verified(person["name"], person["code"], found.period, earned, content["currency"], found.kept_at.date())


# --- all of a period --------------------------------------------------------------------------------


def keep_period(db: Database, actor: Actor, period: str, on_progress: Progress | None = None) -> int:
    """Keep the statement and the PDF of everyone in a closed period; returns how many people it has.

    One person after the other, so that it needs the memory of one; what is there already stays.  Called after an
    approval it fixes the names as they are then.  Needs "statements.bulk".  Raises QuotaPathError while it is open.
    """
    access.require(actor, "statements.bulk")
    name = parse_period(period).name
    with db.read(actor) as conn:
        found = pay.pay_period(conn, name)
        if found is None or found.status in _NOT_FINAL:
            raise QuotaPathError(f"{name} is not approved yet, so its statements may still change. Approve it first.")
        people, names = statements.payees(conn, name), deals.names(conn)
    for done, user_id in enumerate(people):
        if on_progress is not None:
            on_progress(done, len(people), "Writing statements")
        with db.read(actor) as conn:
            kept = {each.paid_to: each for each in statements.kept(conn, user_id, name)}
        newest = _kept(db, user_id, name, kept, names)
        if newest is not None:
            with db.write(actor) as conn:
                _file(conn, newest.id, "pdf", json.loads(newest.content), newest.code)
    return len(people)


def _job(work: Work) -> Mapping[str, Any]:
    return {"people": keep_period(work.db, work.actor, work.arguments["period"], work.progress)}


JOBS: Mapping[str, Body] = {JOB: _job}


def job_of(db: Database, actor: Actor, period: str) -> Job | None:
    """The newest job that writes or wrote the period's statements.  Needs "statements.bulk"."""
    access.require(actor, "statements.bulk")
    with db.read(actor) as conn:
        return next((job for job in jobs.recent(conn, 50, JOB) if job.arguments.get("period") == period), None)


def written(db: Database, actor: Actor, period: str) -> tuple[int, int]:
    """For how many people of a closed period the newest statement is written as PDF, of how many; (0, 0) while open.

    Needs "statements.bulk".
    """
    access.require(actor, "statements.bulk")
    with db.read(actor) as conn:
        return statements.written(conn, parse_period(period).name)


def zip_part(db: Database, actor: Actor, period: str, part: int) -> bytes:
    """The PDFs that the job wrote, as a ZIP of at most `PART` people; `part` counts from 0.  The same bytes each time.

    Needs "statements.bulk"; the export is audited.  Raises QuotaPathError when one of them is not written.
    """
    access.require(actor, "statements.bulk")
    name = parse_period(period).name
    out = BytesIO()
    with db.write(actor) as conn:
        files = list(statements.pdfs(conn, name, PART, part * PART))
        missing = [code for code, content in files if content is None]
        if missing or not files:
            raise QuotaPathError(
                f"{len(missing) or 'All'} statements of {name} are not written yet ({', '.join(missing[:3]) or 'none'}"
                f"{' ...' if len(missing) > 3 else ''}). Write all statements first."
            )
        with zipfile.ZipFile(out, "w") as archive:
            for code, content in files:
                entry = zipfile.ZipInfo(file_name(name, code, "pdf"), (1980, 1, 1, 0, 0, 0))
                archive.writestr(entry, content or b"")
        audit.record(
            conn, actor.user_id, "statements.export", f"statements {name}", {"format": "zip", "people": len(files)}
        )
    return out.getvalue()


def parts(people: int) -> Iterator[tuple[int, str]]:
    """(part, what it is called) of the ZIPs that so many people need: ``(0, "1-500")``."""
    for part in range(-(-people // PART)):
        yield part, f"{part * PART + 1}-{min(people, (part + 1) * PART)}"

"""Disputes: somebody flags a line or a missing deal, people write, an admin answers and settles.

The person, whoever managed them on the period's last day, admins and finance see a dispute; nobody else learns of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import sqlalchemy as sa

from engine.analytics import disputes as analytics
from engine.analytics.disputes import Disputes
from engine.db import audit, disputes, pay
from engine.db.database import Database
from engine.db.disputes import Dispute, Message
from engine.errors import NotFound, Problem, ProblemsError, QuotaPathError
from engine.money import format_money
from engine.periods import parse_period
from engine.plans.document import parse_plan
from engine.services import access
from engine.services.access import Actor, Forbidden, Reach

__all__ = ["Dispute", "Disputes", "Message"]

OPEN, CLOSED = ("open", "answered"), ("settled", "explained", "rejected")
LONGEST = 4000  # characters of a message


@dataclass(frozen=True)
class Settler:
    """A change that may settle a dispute: `key` names it to `settle`, `text` to people."""

    key: str
    text: str


@dataclass(frozen=True)
class Thread:
    """A dispute with its messages, and what this viewer may do with it.

    `amount` is what the flagged line comes to in words ("" for a missing deal); `settlers` are offered to whoever may
    answer.
    """

    dispute: Dispute
    messages: Sequence[Message]
    amount: str
    may_write: bool
    may_answer: bool
    settlers: Sequence[Settler]


def flag_line(db: Database, actor: Actor, line_id: int, text: str) -> int:
    """Dispute a line; returns the dispute's id.  A line that is disputed already gets the text as a further message.

    Needs "disputes.write" and the line's person within reach, else raises QuotaPathError or Forbidden; ProblemsError
    for a text that says nothing.
    """
    access.require(actor, "disputes.write")
    with db.write(actor) as conn:
        line = pay.line(conn, line_id)
        if line is None:
            raise QuotaPathError(f"There is no line {line_id} that you may see.")
        _require(conn, actor, "disputes.write", line.user_id, line.period)
        deal_id = int(line.deal) if line.deal else None
        deal = pay.deal_names(conn, [deal_id])[deal_id] if deal_id else "Carried from earlier periods"
        parts = parse_plan(line.document, line.plan).components
        label = next((part.label or part.id for part in parts if part.id == line.component), line.component)
        origin = f", earned in {line.origin_period}" if line.origin_period != line.period else ""
        # A deal's name may be as long as the whole; what tells lines apart stands first and last.
        about = f"{deal[: 280 - len(label) - len(origin)]} · {label}{origin}"
        return _open(conn, actor, (line.user_id, line.period, about, line_id, deal_id), text)


def flag_missing(db: Database, actor: Actor, user_id: int, period: str, deal: str, text: str) -> int:
    """Dispute that a deal is missing from a person's period; `deal` is its ID or what it is called.  Returns the id.

    Needs "disputes.write" and the person within reach.  Raises ProblemsError.
    """
    access.require(actor, "disputes.write")
    name = parse_period(period).name
    called = " ".join(deal.split())
    if not called or len(called) > 200 or "\x00" in called:
        message = "is empty." if not called else "is longer than 200 characters, or holds a null character."
        raise ProblemsError([Problem("Which deal?", message, "Give its ID, or what it is called.")])
    with db.read() as conn:  # it may be anybody's: that it is missing is what the dispute is about
        deal_id = disputes.deal_of(conn, called)
    with db.write(actor) as conn:
        _require(conn, actor, "disputes.write", user_id, name)
        return _open(conn, actor, (user_id, name, f"Missing deal: {called}", None, deal_id), text)


def list_disputes(
    db: Database, actor: Actor, statuses: Sequence[str] = OPEN, limit: int = 50, offset: int = 0
) -> Disputes:
    """The disputes that the actor may see, one page of them, and how many there are.  Needs "disputes.view"."""
    access.require(actor, "disputes.view")
    with db.read(actor) as conn:
        return analytics.page(conn, _reached(conn, actor), statuses, limit, offset)


def disputed_lines(db: Database, actor: Actor, user_id: int, period: str) -> pd.DataFrame:
    """Which lines of a person's period are disputed, as `engine.analytics.disputes.of_lines`.

    Needs "disputes.view" and the person within reach.
    """
    name = parse_period(period).name
    with db.read(actor) as conn:
        _require(conn, actor, "disputes.view", user_id, name)
        return analytics.of_lines(conn, user_id, name)


def of_line(db: Database, actor: Actor, line_id: int) -> tuple[int, str] | None:
    """The latest dispute of a line (or of the same line in an earlier run): its id and status; None without one.

    Needs "disputes.view" and the line's person within reach; a line out of sight has none.
    """
    with db.read(actor) as conn:
        line = pay.line(conn, line_id)
        if line is None:
            return None
        _require(conn, actor, "disputes.view", line.user_id, line.period)
        found = analytics.of_lines(conn, line.user_id, line.period)
    of_it = found[found["line_id"] == line_id]
    return None if of_it.empty else (int(of_it["id"].iloc[0]), str(of_it["status"].iloc[0]))


def thread(db: Database, actor: Actor, dispute_id: int) -> Thread:
    """A dispute, to be read.  Raises QuotaPathError when there is none that the actor may see."""
    with db.read(actor) as conn:
        found = _visible(conn, actor, dispute_id)
        line = pay.line(conn, found.line_id) if found.line_id else None
        may_answer = access.may(actor, "disputes.answer") and not found.is_closed
        return Thread(
            found,
            disputes.messages(conn, dispute_id),
            f"{format_money(line.amount, line.currency, thousands=True)} {line.currency}" if line else "",
            access.may(actor, "disputes.write") and not found.is_closed,
            may_answer,
            [Settler(f"{one.kind}:{one.id}", _told(one)) for one in disputes.settlers(conn, dispute_id)]
            if may_answer
            else (),
        )


def reply(db: Database, actor: Actor, dispute_id: int, text: str) -> None:
    """Write into the thread.  An admin's message answers the dispute, anybody else's opens it again.

    Needs "disputes.write" and the dispute within reach.  The same text twice in a row is once.
    """
    access.require(actor, "disputes.write")
    with db.write(actor) as conn:
        found = _to_change(conn, actor, dispute_id)
        # An admin who disputes the own pay asks; nobody answers themselves.
        answers = access.may(actor, "disputes.answer") and found.user_id != actor.user_id
        _write(conn, actor, found.id, text, "answered" if answers else "open")


def settle(db: Database, actor: Actor, dispute_id: int, text: str, settled_by: str) -> None:
    """Close a dispute as settled by a change, one of the thread's `settlers` by its key.  Needs "disputes.answer"."""
    access.require(actor, "disputes.answer")
    with db.write(actor) as conn:
        _to_change(conn, actor, dispute_id)
        offered = {f"{one.kind}:{one.id}": one for one in disputes.settlers(conn, dispute_id)}
        if settled_by not in offered:
            raise QuotaPathError(
                "Nothing was settled: choose the deal edit, the adjustment or the run, made since the dispute was "
                "opened, that puts it right. To close it without a change, explain or reject it and say why."
            )
        chosen = offered[settled_by]
        _write(conn, actor, dispute_id, text, "settled")
        disputes.close(conn, dispute_id, access.user_of(actor), "settled", (chosen.kind, chosen.id), _told(chosen))
        audit.record(conn, actor.user_id, "disputes.answer", f"dispute {dispute_id}", {"settled": settled_by})


def explain(db: Database, actor: Actor, dispute_id: int, text: str) -> None:
    """Close a dispute as explained: the line is right, the text says why, and nothing had to change.

    Needs "disputes.answer".
    """
    _close_without_change(db, actor, dispute_id, text, "explained")


def reject(db: Database, actor: Actor, dispute_id: int, text: str) -> None:
    """Close a dispute without a change; the text says why.  Needs "disputes.answer"."""
    _close_without_change(db, actor, dispute_id, text, "rejected")


def _close_without_change(db: Database, actor: Actor, dispute_id: int, text: str, status: str) -> None:
    access.require(actor, "disputes.answer")
    with db.write(actor) as conn:
        _to_change(conn, actor, dispute_id)
        _write(conn, actor, dispute_id, text, status)
        disputes.close(conn, dispute_id, access.user_of(actor), status, None, "")
        audit.record(conn, actor.user_id, "disputes.answer", f"dispute {dispute_id}", {status: text.strip()})


def _open(conn: sa.Connection, actor: Actor, about: tuple[int, str, str, int | None, int | None], text: str) -> int:
    _check(text, "What is wrong?")
    dispute_id, is_new = disputes.open_one(conn, *about, access.user_of(actor))
    if is_new:
        disputes.write(conn, dispute_id, access.user_of(actor), text.strip(), "open")
        detail = {"user": about[0], "period": about[1], "about": about[2]}
        audit.record(conn, actor.user_id, "disputes.write", f"dispute {dispute_id}", detail)
    else:
        _to_change(conn, actor, dispute_id)
        _write(conn, actor, dispute_id, text, "open")
    return dispute_id


def _write(conn: sa.Connection, actor: Actor, dispute_id: int, text: str, status: str) -> None:
    _check(text, "Your message")
    before = disputes.messages(conn, dispute_id)
    said = text.strip()
    if before and (before[-1].user_id, before[-1].text, before[-1].status) == (actor.user_id, said, status):
        return  # sent twice
    disputes.write(conn, dispute_id, access.user_of(actor), said, status)
    if status in OPEN:
        audit.record(conn, actor.user_id, "disputes.write", f"dispute {dispute_id}", {"status": status})


def _check(text: str, label: str) -> None:
    """Refuse a text that says nothing or too much; `label` is what its field is called on the screen."""
    if not text.strip():
        raise ProblemsError([Problem(label, "is empty.", "Write a sentence.")])
    if len(text.strip()) > LONGEST or "\x00" in text:
        message = f"is longer than {LONGEST} characters, or holds a null character."
        raise ProblemsError([Problem(label, message, "Shorten it.")])


def _told(one: disputes.Settler) -> str:
    what = {"deal_change": "Deal edit", "adjustment": "Manual adjustment", "run": "Run of"}[one.kind]
    detail = one.detail.replace("_id", "").replace("_", " ") if one.kind == "deal_change" else one.detail
    return f"{what} {detail}, by {one.who}, {one.at:%Y-%m-%d %H:%M} UTC"


# --- who sees what ------------------------------------------------------------------------------------


def _require(conn: sa.Connection, actor: Actor, action: str, user_id: int, period: str) -> None:
    access.require_person(conn, actor, action, user_id, parse_period(period).last_day)


def _reached(conn: sa.Connection, actor: Actor) -> analytics.Reached:
    """The (person, period) whose disputes the actor may see; None means all."""
    if access.reach(actor, "disputes.view") is Reach.ALL:
        return None
    return [
        (user, period)
        for period in disputes.periods(conn)
        for user in access.visible_people(conn, actor, "disputes.view", parse_period(period).last_day) or ()
    ]


def _visible(conn: sa.Connection, actor: Actor, dispute_id: int, *, lock: bool = False) -> Dispute:
    """The dispute; one outside the reach is as unknown as one that does not exist."""
    access.require(actor, "disputes.view")
    found = disputes.find(conn, dispute_id, lock=lock)
    try:
        if found is not None:
            _require(conn, actor, "disputes.view", found.user_id, found.period)
            return found
    except Forbidden:
        pass
    raise NotFound(f"There is no dispute number {dispute_id} that you may see. Look for it in the list.")


def _to_change(conn: sa.Connection, actor: Actor, dispute_id: int) -> Dispute:
    found = _visible(conn, actor, dispute_id, lock=True)
    if found.is_closed:
        raise QuotaPathError(
            f"{found.closed_by} closed this dispute on {found.closed_at:%Y-%m-%d %H:%M} UTC ({found.status}). "
            "Flag the line again if something is still wrong."
        )
    return found

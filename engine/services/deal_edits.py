"""Many deals changed at once: typed in the table, or all chosen ones set to the same; looked at first, undone after.

Every edit goes the same way: `preview_edit` says what would change, what stands in the way and which earnings would
move; `apply_edit` writes it in one transaction, provided that the deals are still as the preview saw them.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import pandas as pd
import sqlalchemy as sa

from engine.analytics import deals as analytics
from engine.analytics.deals import DealFilters
from engine.db import audit, deal_edits, deal_fields, deals
from engine.db.database import Database
from engine.db.deals import DealFields
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.services import access
from engine.services.access import Actor
from engine.services.deal_fields import typed
from engine.services.deals import field_problems, unknown_people
from engine.services.impact import Impact, impact
from engine.workers.pool import Pool

BULK = ("stage_id", "owner_id", "close_date", "product", "type", "segment")  # what can be set on many deals
LISTED = 200  # deals that a preview lists; all are counted
_TOLD = 20  # problems that an error lists
_WHAT = {
    "stage_id": "Stage", "owner_id": "Owner", "close_date": "Close date", "product": "Product", "type": "Type",
    "segment": "Segment",
}  # fmt: skip


@dataclass(frozen=True)
class BulkEdit:
    """The same values (of `BULK`) for the deals of these ids, or for all that the filters let through."""

    values: Mapping[str, Any]
    deal_ids: tuple[int, ...] = ()
    filters: DealFilters | None = None


@dataclass(frozen=True)
class RowEdit:
    """What was typed into one row: columns of `DealFields`, extra fields as text; ``version`` is the one it showed."""

    deal_id: int
    version: int
    values: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TableEdit:
    """Some rows of the table, each with its own values."""

    rows: tuple[RowEdit, ...]


@dataclass(frozen=True)
class UndoEdit:
    """The deals of an earlier edit as they were before it."""

    edit_id: int


Edit = BulkEdit | TableEdit | UndoEdit


@dataclass(frozen=True)
class EditPreview:
    """What an edit would do.

    ``aimed`` deals were looked at; ``changed`` of them change, ``refused`` cannot; the others are so already.
    ``sample``: the first `LISTED` of them, a row for each field: deal_id, deal, field, before, after.
    ``obstacles``: the first that cannot change: deal_id, deal, external_id, reason, remedy.  ``conflict``: at least one
    is refused because somebody else changed or deleted it.  ``notes`` are sentences for the reader.
    ``earnings`` is what the changes do to pay.  ``seen`` tells `apply_edit` which deals this preview saw.
    """

    aimed: int
    changed: int
    refused: int
    sample: pd.DataFrame
    obstacles: pd.DataFrame
    conflict: bool
    notes: tuple[str, ...]
    earnings: Impact | None
    seen: str


@dataclass(frozen=True)
class PastEdit:
    """An edit that was applied.  ``what`` says what it did; ``undone`` that a later one took it back."""

    edit_id: int
    at: Any
    who: str
    what: str
    deals: int
    undone: bool


def preview_edit(db: Database, pool: Pool, actor: Actor, edit: Edit, today: date) -> EditPreview:
    """What the edit would change, and in whose earnings.  Keeps nothing.

    Raises ProblemsError for values that no deal can have, QuotaPathError for an edit that cannot be undone.
    """
    access.require(actor, "deals.edit")
    with db.trial(actor) as conn:  # both calculations, and what is said beside them, are of one moment
        meant = _aim(conn, edit, today)
        counts = deal_edits.compare(conn)
        undoing = isinstance(edit, UndoEdit)
        obstacles = list(_obstacles(deal_edits.obstacles(conn, LISTED), undoing))
        moves = counts.changed and not (undoing and counts.refused)
        return EditPreview(
            aimed=counts.aimed,
            changed=counts.changed,
            refused=counts.refused,
            sample=_sample(conn),
            obstacles=pd.DataFrame(
                [(*found[:3], problem.message, problem.remedy) for *found, problem in obstacles],
                columns=["deal_id", "deal", "external_id", "reason", "remedy"],
            ),
            conflict=any(found[3] in (deal_edits.GONE, deal_edits.CHANGED) for found in obstacles),
            notes=tuple(_notes(counts, meant)),
            earnings=impact(conn, pool, today, deal_edits.AFTER) if moves else None,
            seen=counts.seen,
        )


def apply_edit(db: Database, actor: Actor, edit: Edit, seen: str, today: date, *, leave_out: bool = False) -> int:
    """Write the edit, with history and passage through the pipeline; gives the number of deals that it changed.

    ``seen`` is the preview's: when somebody changed one of the deals since, nothing is written and the error says
    who.  Deals that cannot be changed are left out with ``leave_out``; without it, and always when undoing, one such
    deal refuses the whole edit.  Raises ProblemsError with what stands in the way.
    """
    access.require(actor, "deals.edit")
    with db.write(actor) as conn:
        _aim(conn, edit, today)
        deal_edits.lock(conn)
        counts = deal_edits.compare(conn)
        undoing = isinstance(edit, UndoEdit)
        if counts.refused:
            found = list(_obstacles(deal_edits.obstacles(conn, LISTED), undoing))
            conflict = any(each[3] in (deal_edits.GONE, deal_edits.CHANGED) for each in found)
            if undoing or conflict or not leave_out:
                raise ProblemsError(_told([each[4] for each in found], counts.refused))
        if counts.seen != seen:
            raise _moved_on(conn)
        if not counts.changed:
            return 0
        kind, detail = _kept_as(edit)
        undoes = edit.edit_id if isinstance(edit, UndoEdit) else None
        edit_id = deal_edits.keep(conn, kind, detail, undoes, counts.changed, actor.user_id)
        told = {"kind": kind, "deals": counts.changed, **({"undoes": undoes} if undoes else {"set": detail})}
        audit.record(conn, actor.user_id, "deals.edit", f"deal edit {edit_id}", told)
    return int(counts.changed)


def list_edits(db: Database, actor: Actor, limit: int = 30) -> list[PastEdit]:
    """The latest edits of many deals, the newest first."""
    access.require(actor, "deals.edit")
    with db.read(actor) as conn:
        names = analytics.names(conn)
        return [
            PastEdit(row.id, row.at, row.who, _what(row, names), row.deals, row.undone_by is not None)
            for row in deal_edits.recent(conn, limit)
        ]


def _what(row: Any, names: analytics.Names) -> str:
    if row.kind == "bulk":
        pairs = {name: [None, value] for name, value in row.detail.items()}
        return "Set " + ", ".join(f"{name} to {after}" for name, _, after in analytics.described(pairs, names, "", ""))
    if row.kind == "field":
        return f"Values of the field {row.detail['field']} written one way"
    return f"Undid edit {row.undoes_id}" if row.kind == "undo" else "Typed in the table"


# ---------------------------------------------------------------- aiming
def _aim(conn: sa.Connection, edit: Edit, today: date) -> int:
    """Say which deals become what; gives the number of deals that an edit to undo had changed, else 0."""
    if isinstance(edit, BulkEdit):
        _check_values(conn, edit.values)
        if edit.filters is None:
            query, params = "SELECT id FROM deals WHERE id = ANY(:ids)", {"ids": list(edit.deal_ids)}
        else:
            query, params = analytics.matching(conn, edit.filters, today, deals.company_currency(conn))
        deal_edits.aim_at_all(conn, query, params, edit.values)
    elif isinstance(edit, TableEdit):
        extra = _checked_rows(conn, edit.rows)
        deal_edits.aim_at_rows(conn, ((row.deal_id, row.version, row.values, extra[row.deal_id]) for row in edit.rows))
    else:
        found = deal_edits.find(conn, edit.edit_id)
        if found is None:
            raise QuotaPathError(f"There is no edit {edit.edit_id}. Choose one of the list.")
        if found.undone_by is not None:
            raise QuotaPathError(
                f"Edit {edit.edit_id} is undone already, by edit {found.undone_by}. To bring it back, undo that one."
            )
        deal_edits.aim_at_undoing(conn, edit.edit_id)
        return int(found.deals)
    return 0


def _check_values(conn: sa.Connection, values: Mapping[str, Any]) -> None:
    """Raise ProblemsError when a value can stand on no deal."""
    if not values or set(values) - set(BULK):
        raise ProblemsError([Problem("", "Nothing is set.", f"Choose at least one of {', '.join(_WHAT.values())}.")])
    stage = values.get("stage_id")
    outcome = "open" if stage is None else deals.outcome(conn, stage)
    any_deal = DealFields("any", "", 0, stage or 0, 0, "USD", date(2000, 1, 1))
    problems = list(field_problems(replace(any_deal, **values), outcome))
    problems += unknown_people(conn, {values["owner_id"]} if "owner_id" in values else set())
    if problems:
        raise ProblemsError(problems)


def _checked_rows(conn: sa.Connection, rows: Iterable[RowEdit]) -> dict[int, dict[str, str | None]]:
    """The extra fields of each row as they are kept; raises ProblemsError with all that is wrong in any of them."""
    known = {found.name: found for found in deal_fields.all_fields(conn)}
    extra: dict[int, dict[str, str | None]] = {}
    problems: list[Problem] = []
    for row in rows:
        extra[row.deal_id], wrong = typed(known, row.extra)
        before = deals.find(conn, row.deal_id)
        if before is not None:
            fields = replace(before.fields, **row.values)
            of_row = [*field_problems(fields, deals.outcome(conn, fields.stage_id)), *wrong]
            of_row += unknown_people(conn, {fields.owner_id})
            # What was wrong before, in fields that nobody touched, does not keep the others from being corrected.
            old = set(field_problems(before.fields, deals.outcome(conn, before.fields.stage_id)))
            name = before.fields.name or before.external_id
            problems += [replace(each, path=f"{name}: {each.path}") for each in of_row if each not in old]
    if problems:
        raise ProblemsError(problems)
    return extra


# ---------------------------------------------------------------- telling
def _sample(conn: sa.Connection) -> pd.DataFrame:
    names = analytics.names(conn)
    return pd.DataFrame(
        [
            (row.deal_id, row.name, *texts)
            for row in deal_edits.sample(conn, LISTED)
            for texts in analytics.described(row.changes, names, row.currency, row.currency_after)
        ],
        columns=["deal_id", "deal", "field", "before", "after"],
    )


def _obstacles(rows: Iterable[Any], undoing: bool) -> Iterator[tuple[int, str, str, str, Problem]]:
    """Each deal that cannot be changed: its id, name, external id, the obstacle, and the problem in words."""
    for row in rows:
        name = row.name or row.external_id or f"deal {row.deal_id}"
        yield row.deal_id, name, row.external_id, row.obstacle, Problem(name, *_reason(row, undoing))


def _reason(row: Any, undoing: bool) -> tuple[str, str]:
    if row.obstacle == deal_edits.GONE:
        return "was deleted meanwhile.", "Leave it out."
    if row.obstacle == deal_edits.CHANGED:
        if undoing:
            return (
                f"was changed since, by {row.who} ({row.at}).",
                "Undo that change first, or correct the deal by hand.",
            )
        return (
            f"was changed by {row.who} ({row.at}) after you opened the table.",
            "Load the table again and make your change there.",
        )
    if row.obstacle == deal_edits.NO_AMOUNT:
        return "has no amount, and a won deal needs one.", "Enter what it was sold for; 0 is allowed."
    if row.obstacle == deal_edits.NOT_WON:
        return f"was cancelled on {row.cancelled_on}, and only a won deal can be.", "Clear that date first."
    return (
        f"was cancelled on {row.cancelled_on}, before the close date.",
        "A deal is cancelled on or after the day it closed.",
    )


def _told(problems: list[Problem], count: int) -> list[Problem]:
    more = count - _TOLD
    return problems[:_TOLD] + ([Problem("", f"{more:,} more deals cannot be changed either.")] if more > 0 else [])


def _notes(counts: Any, meant: int) -> Iterator[str]:
    gone = meant - counts.aimed
    if gone > 0:
        yield f"{gone:,} of its deals {'was' if gone == 1 else 'were'} deleted since and cannot come back."
    same = counts.aimed - counts.changed - counts.refused
    if same:
        yield f"{same:,} {'deal is' if same == 1 else 'deals are'} so already and {'stays' if same == 1 else 'stay'}."
    split = counts.split_owners
    if split:
        yield (
            f"{split:,} of them {'is' if split == 1 else 'are'} split: a new owner does not change who is credited. "
            "Change the credits on the deal."
        )


def _moved_on(conn: sa.Connection) -> QuotaPathError:
    last = deal_edits.last_change(conn)
    who = f"; the latest change is by {last.who}, of {last.name} ({last.at})" if last else ""
    return QuotaPathError(
        f"The deals are not as they were in the preview{who}. Nothing was saved. Look at the preview again."
    )


def _kept_as(edit: Edit) -> tuple[str, Mapping[str, Any]]:
    if isinstance(edit, BulkEdit):
        return "bulk", edit.values
    return ("table", {}) if isinstance(edit, TableEdit) else ("undo", {})

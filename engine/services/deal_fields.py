"""The company's own fields of a deal: what they are called, what may stand in them, how a value is written.

The values are kept in the deal's ``extra`` as text, each kind in one way of writing, which the filters of plans read:
a number as ``12.5``, a date as ``2026-01-31``, yes and no as ``true`` and ``false``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd

from engine.analytics.deals import number_text
from engine.analytics.remembered import Remembered
from engine.db import audit, deal_edits, deal_fields
from engine.db.database import Database
from engine.db.deal_fields import DealField
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.imports.values import AMBIGUOUS, DAY_FIRST, PLAIN, UnreadableValue, date_order, one_line, parse_date
from engine.money import parse_number
from engine.services import access
from engine.services.access import Actor
from engine.services.impact import Impact, impact
from engine.workers.pool import Pool

__all__ = ["DealField"]

KINDS = {"text": "Text", "number": "Number", "date": "Date", "yes_no": "Yes or no", "choice": "Choice"}
LONGEST = 1000  # characters of a value
_LISTED = 200  # values that a report lists; all are counted
# Looked for among all deals, and asked for at every key that is pressed in the form.
_undefined = Remembered(10, "undefined")
_YES, _NO = ("yes", "true", "y", "1", "x"), ("no", "false", "n", "0")
# What a deal has anyway; a filter of a plan with such a name looks there.
_TAKEN = {
    "id", "owner", "name", "account", "source", "stage", "type", "product", "segment", "currency", "quantity",
    "term_months", "created_date", "close_date", "cancelled", "amount", "margin", "count",
}  # fmt: skip


@dataclass(frozen=True)
class FieldReport:
    """What defining a field finds under its name.

    ``deals`` have a value; ``rewritten`` of them get it in the one way of writing; ``misfits``: value, deals, example
    (a deal's name), reason: the first that are no value of that kind, ``misfit_deals`` in all.
    ``earnings``: what the new way of writing does to pay, by plans that filter on the field.
    """

    deals: int
    rewritten: int
    misfit_deals: int
    misfits: pd.DataFrame
    earnings: Impact | None


# ---------------------------------------------------------------- values
def written(field: DealField, text: str, order: str = "") -> str:
    """A value in the one way of writing it has for the field's kind; nothing for nothing.

    ``order`` says which of 03/04/2026 is the day (`DAY_FIRST`, `MONTH_FIRST`); without it such a date is refused.
    Raises QuotaPathError for what is no value of the field.
    """
    if len(text) > LONGEST:
        raise QuotaPathError(f"{text[:20]}... has {len(text)} characters; {LONGEST} is the most.")
    if field.kind == "text":
        return text.strip().replace("\x00", "")
    text = one_line(text)
    if not text:
        return ""
    if field.kind == "number":
        return number_text(parse_number(text))
    if field.kind == "date":
        said = date_order(text)
        if said == AMBIGUOUS and not order:
            raise QuotaPathError(f"{text} may be two days. Write the year first, such as 2026-01-31.")
        try:
            return parse_date(text, order or DAY_FIRST if said in (AMBIGUOUS, PLAIN) else said).isoformat()
        except UnreadableValue as error:
            raise QuotaPathError(f"{error} Write the year first, such as 2026-01-31.") from None
    if field.kind == "yes_no":
        if text.casefold() not in (*_YES, *_NO):
            raise QuotaPathError(f"{text!r} is neither yes nor no.")
        return "true" if text.casefold() in _YES else "false"
    if field.kind == "choice":
        for choice in field.choices:
            if choice.casefold() == text.casefold():
                return choice
        raise QuotaPathError(f"{text!r} is none of its choices: {', '.join(field.choices)}.")
    raise ValueError(field.kind)


def typed(fields: Mapping[str, DealField], values: Mapping[str, str]) -> tuple[dict[str, str | None], list[Problem]]:
    """Extra fields as they are kept (None: none any more), and what is wrong with them."""
    found: dict[str, str | None] = {}
    problems = []
    for name, text in values.items():
        try:
            found[name] = written(fields[name], text) or None
        except KeyError:
            problems.append(Problem(name, "is not a field of this company.", "Define it first."))
        except QuotaPathError as error:
            problems.append(Problem(name, str(error)))
    return found, problems


# ---------------------------------------------------------------- fields
def list_fields(db: Database, actor: Actor) -> list[DealField]:
    """The defined fields, in the order in which they were defined."""
    access.require(actor, "deals.view")
    with db.read(actor) as conn:
        return deal_fields.all_fields(conn)


def undefined_columns(db: Database, actor: Actor) -> list[tuple[str, int]]:
    """(name, deals): the columns that imports brought and nobody has defined yet."""
    access.require(actor, "deals.edit")
    with db.read(actor) as conn:
        version = audit.data_version(conn)
        found: list[list[Any]] = _undefined.get(
            conn, version, "", lambda: [list(each) for each in deal_fields.undefined(conn)], lambda _: 1
        )
    return [(name, deals) for name, deals in found]


def report_field(db: Database, pool: Pool, actor: Actor, field: DealField, today: date) -> FieldReport:
    """What the deals have under the field's name, and what of it does not fit.  Raises ProblemsError."""
    access.require(actor, "deals.edit")
    _check(field)
    with db.write(actor) as conn:  # for temporary tables, which end with it
        total, rewritings, misfits = _fit(field, list(deal_fields.values(conn, field.name)))
        rewritten, earnings = 0, None
        if rewritings:
            deal_edits.aim_at_rewriting(conn, field.name, rewritings)
            rewritten = int(deal_edits.compare(conn).changed)
            earnings = impact(conn, pool, today, deal_edits.AFTER)
        columns = ["value", "deals", "example", "reason"]
        return FieldReport(
            total,
            rewritten,
            sum(each[1] for each in misfits),
            pd.DataFrame(misfits[:_LISTED], columns=columns),
            earnings,
        )


def define_field(db: Database, actor: Actor, field: DealField, *, leave: bool = False) -> None:
    """Define a field, or give it another kind or other choices; what it holds is written in the one way.

    With ``leave`` values that do not fit stay as they are until somebody corrects them; without it they refuse the
    definition.  Raises ProblemsError.
    """
    access.require(actor, "deals.edit")
    _check(field)
    with db.write(actor) as conn:
        deal_fields.define(conn, field)
        _, rewritings, misfits = _fit(field, list(deal_fields.values(conn, field.name)))
        if misfits and not leave:
            raise ProblemsError(
                Problem(field.name, f"{reason} {deals} deals, such as {example}.", "Correct them first, or leave them.")
                for _, deals, example, reason in misfits[:20]
            )
        changed = 0
        if rewritings:
            deal_edits.aim_at_rewriting(conn, field.name, rewritings)
            deal_edits.lock(conn)
            changed = int(deal_edits.compare(conn).changed)
            deal_edits.keep(conn, "field", {"field": field.name}, None, changed, actor.user_id)
        detail = {"kind": field.kind, "choices": list(field.choices), "rewritten": changed}
        audit.record(conn, actor.user_id, "deals.edit", f"deal field {field.name}", detail)


def forget_field(db: Database, actor: Actor, name: str) -> None:
    """Take a field's definition away; the values stay with the deals, as text."""
    access.require(actor, "deals.edit")
    with db.write(actor) as conn:
        if not deal_fields.forget(conn, name):
            raise QuotaPathError(f"There is no field {name!r}. Choose one of the list.")
        audit.record(conn, actor.user_id, "deals.edit", f"deal field {name}", {"removed": True})


def _fit(
    field: DealField, found: Sequence[tuple[str, int, str]]
) -> tuple[int, dict[str, str], list[tuple[str, int, str, str]]]:
    """(deals with a value, ``{text: how it shall be written}`` where that differs, what does not fit)."""
    order = _order_of(text for text, _, _ in found) if field.kind == "date" else ""
    rewritings: dict[str, str] = {}
    misfits = []
    for text, deals, example in found:
        try:
            better = written(field, text, order)
        except QuotaPathError as error:
            misfits.append((text, deals, example, str(error)))
            continue
        if better != text and better:
            rewritings[text] = better
    return sum(deals for _, deals, _ in found), rewritings, misfits


def _order_of(texts: Iterable[str]) -> str:
    """How the dates that leave no doubt are written; "" when there are none, or of both kinds."""
    said = {date_order(one_line(text)) for text in texts} - {PLAIN, AMBIGUOUS}
    return said.pop() if len(said) == 1 else ""


def _check(field: DealField) -> None:
    problems = []
    name = field.name
    if not name or name != name.strip() or len(name) > 100 or "\x00" in name:
        problems.append(Problem("name", "has to have 1 to 100 characters.", "Write it as the CRM does."))
    if name.strip().casefold() in _TAKEN:
        problems.append(Problem("name", f"{name!r} is what every deal has.", "Choose another name."))
    if field.kind not in KINDS:
        problems.append(Problem("kind", f"{field.kind!r} is no kind of field.", f"Use one of {', '.join(KINDS)}."))
    if field.kind == "choice" and not field.choices:
        problems.append(Problem("choices", "are missing.", "Write at least one."))
    if field.kind != "choice" and field.choices:
        problems.append(Problem("choices", "are only for a choice.", "Leave them empty."))
    if len({choice.casefold() for choice in field.choices}) < len(field.choices):
        problems.append(Problem("choices", "name one twice.", "Each once; capitals make no difference."))
    problems += [
        Problem("choices", f"{choice!r} is not one.", "1 to 200 characters, no spaces around them.")
        for choice in field.choices
        if not choice or choice != one_line(choice) or len(choice) > 200
    ]
    if problems:
        raise ProblemsError(problems)

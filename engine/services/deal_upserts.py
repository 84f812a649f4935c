"""Deals sent by a program, known by the id of their source: the same way in as a file that somebody uploads.

So they are checked, compared, written and kept in the history like the rows of an import, which can be undone.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from engine.db.database import Database
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.imports.values import DOT
from engine.money import currency_digits, format_money
from engine.services import imports
from engine.services.access import Actor, require
from engine.services.imports import ImportPreview, ImportResult, Upload

MOST = 1_000  # deals in one request
_MONEY = ("amount", "margin")
_TOLD = 50  # problems that an error lists


def check_deals(
    db: Database, actor: Actor, source: str, rows: Sequence[Mapping[str, Any]], today: date
) -> ImportPreview:
    """What the deals would add, change and leave alone.  Keeps nothing.

    A row has the fields of `engine.imports.mapping.FIELDS`: `external_id`, `owner` (e-mail, name or id of a person),
    `stage` (its name), dates as ISO text, money in minor units of its `currency`.  All rows
    have the same fields; what no row has stays as it is.  Raises ProblemsError with what is wrong in any row.
    """
    require(actor, "deals.import")
    if not imports.source_name(source):
        raise ProblemsError(
            [Problem("source", "is empty.", 'Name the system that the ids are of, such as "salesforce".')]
        )
    fields = list(rows[0]) if rows else []
    problems = []
    seen: dict[str, int] = {}
    for place, row in enumerate(rows):
        if set(row) != set(fields):
            message = f"has other fields than the first deal: {', '.join(sorted(set(row) ^ set(fields)))}."
            problems.append(Problem(f"deals[{place}]", message, "Give every deal of a request the same fields."))
        if not str(row.get("external_id") or "").strip():
            problems.append(Problem(f"deals[{place}].external_id", "is empty.", "Give the deal's id in its source."))
        first = seen.setdefault(str(row.get("external_id")).strip(), place)
        if first != place:
            message = f"{row.get('external_id')!r} stands in deals[{first}] already."
            problems.append(Problem(f"deals[{place}].external_id", message, "Send each deal once."))
        try:
            currency_digits(row["currency"])
        except QuotaPathError as error:
            problems.append(Problem(f"deals[{place}].currency", str(error)))
    if not rows:
        problems.append(Problem("deals", "is empty.", "Send at least one deal."))
    if len(rows) > MOST:
        problems.append(Problem("deals", f"holds {len(rows):,} deals; {MOST:,} is the most.", "Send them in parts."))
    if problems:
        raise ProblemsError(_first(problems))
    upload = Upload(
        _table(fields, rows),
        "api.csv",
        source,
        {name: name for name in fields},
        answers={"decimal_style": DOT},
        today=today,
    )
    preview = imports.preview_import(db, actor, upload)
    if preview.problems:
        raise ProblemsError(preview.problems)
    if preview.questions or preview.set_aside_count or preview.rows != len(rows):
        raise ProblemsError(_misread(preview))
    if preview.refused_count:
        found = preview.refused.to_dict("records")
        raise ProblemsError(
            _first(
                [
                    Problem(f"deals[{row['line'] - 2}].{row['column']}", str(row["reason"]), str(row["remedy"]))
                    for row in found
                ]
            )
        )
    return preview


def take_in_deals(db: Database, actor: Actor, preview: ImportPreview) -> ImportResult:
    """Keep the deals of a `check_deals`, in one transaction with history and audit entry."""
    return imports.import_deals(db, actor, preview, remember=False)


def _table(fields: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The rows as the file that they would have been."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL)
    writer.writerow(fields)
    for row in rows:
        cells = []
        for name in fields:
            value = row[name]
            if name in _MONEY and value is not None:
                value = format_money(value, row["currency"])
            # One line a deal, so that a refusal's line is its place.
            cells.append("" if value is None else " ".join(str(value).splitlines()))
        writer.writerow(cells)
    return out.getvalue().encode()


def _misread(preview: ImportPreview) -> list[Problem]:
    found = [Problem("deals", question.text, "") for question in preview.questions]
    found += [
        Problem(f"deals[{each.line - 2}]", f"{each.text!r} reads like a {each.why}.", "Send deals only.")
        for each in preview.set_aside
    ]
    return found or [Problem("deals", "Some deals could not be told apart.", "Send them one by one.")]


def _first(problems: list[Problem]) -> list[Problem]:
    more = len(problems) - _TOLD
    return problems[:_TOLD] + ([Problem("deals", f"{more:,} more problems.", "Mend these first.")] if more > 0 else [])

"""A calculation of files: a plan document, and CSV tables of deals, people and quotas; no database."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.calc.result import Line
from engine.errors import Problem, QuotaPathError
from engine.money import format_money
from engine.plans.casefile import Case, read_case
from engine.plans.reader import load_toml

# The tables inside a cell: `ana: 60%; bo: 40%` and `2026-02-01: 500; 2026-03-01: 500`.
_CREDITS = "credits"
_INVOICES = "invoices"


def read_tables(plan: Path, deals: Path, people: Path | None = None, quotas: Path | None = None) -> Case:
    """The files as a case that expects nothing; `QuotaPathError` for a file that cannot be read.

    Columns are the keys of a case's ``[[deal]]``, ``[[person]]`` and ``[[quota]]``; an empty cell is absent.
    Without ``people`` they are those of the deals.
    The plan file is a plan document, or has it at ``[plan]`` (``[[plan]]`` for several versions).
    """
    document = load_toml(_text(plan))
    problems: list[Problem] = []
    deal_rows = [_nested(row, problems, f"deal[{place}]") for place, row in enumerate(_rows(deals))]
    if people is None:
        names = {row["owner"] for row in deal_rows if "owner" in row}
        names |= {person for row in deal_rows for person in row.get(_CREDITS, ())}
        person_rows = [{"id": name} for name in sorted(names)]
    else:
        person_rows = _rows(people)
    return read_case(
        {
            "plan": document.get("plan") if isinstance(document.get("plan"), (dict, list)) else document,
            "person": person_rows,
            "quota": _rows(quotas) if quotas else [],
            "deal": deal_rows,
        },
        problems,
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise QuotaPathError(f"{path} cannot be read: {error}. Name a text file in UTF-8.") from error


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV file by column, without empty cells."""
    reader = csv.DictReader(io.StringIO(_text(path), newline=""), restkey="")
    rows = []
    for row in reader:
        if "" in row:
            raise QuotaPathError(
                f"{path}, line {reader.line_num}: there are more cells than columns. Put quotes around commas in text."
            )
        rows.append({key.strip(): value.strip() for key, value in row.items() if value and value.strip()})
    return rows


def _nested(row: Mapping[str, Any], problems: list[Problem], path: str) -> dict[str, Any]:
    """A deal's row with its credits and invoices as tables."""
    nested = dict(row)
    for key in (_CREDITS, _INVOICES):
        if key not in nested:
            continue
        pairs = [part.rsplit(":", 1) for part in nested[key].split(";") if part.strip()]
        if any(len(pair) < 2 for pair in pairs):
            problems.append(Problem(f"{path}.{key}", f'"{nested[key]}" cannot be read.', "Write `name: value; ...`."))
            del nested[key]
        elif key == _CREDITS:
            nested[key] = {name.strip(): value.strip() for name, value in pairs}
        else:
            nested[key] = [{"paid": paid.strip(), "amount": value.strip()} for paid, value in pairs]
    return nested


LINE_COLUMNS = ("person", "component", "deal", "period", "cents", "amount", "currency")


def line_rows(lines: Iterable[Line], currency: str) -> Iterator[tuple[str | int, ...]]:
    """Lines as rows of `LINE_COLUMNS`: each amount in cents and as decimal text of ``currency``."""
    for line in lines:
        amount = format_money(line.cents, currency)
        yield line.person, line.component, line.deal, line.period, line.cents, amount, currency

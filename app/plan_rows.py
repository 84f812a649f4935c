"""Between a plan document and the rows of the form: filters and tiers, text in, exact values out.

What the form does not know stays as it is; a value that nobody touched is never rewritten.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from engine.plans.document import COMPONENT_KEYS, KIND_KEYS

OPERATORS = {
    "is": "is",
    "not": "is not",
    "at_least": "at least",
    "more_than": "more than",
    "at_most": "at most",
    "less_than": "less than",
}
_BY_LABEL = {label: operator for operator, label in OPERATORS.items()}

# What a component of a kind begins with, so that it can be published after one figure is changed.
_BEGINNINGS: Mapping[str, Mapping[str, Any]] = {
    "flat": {"amount": 100},
    "percentage": {"rate": "5%"},
    "tiered": {"tiers": [{"from": 0, "rate": "5%"}]},
    "quota": {"tiers": [{"from": "0%", "rate": "5%"}, {"from": "100%", "rate": "8%"}]},
}


def written(value: Any) -> str:
    """A scalar of a document as one types it into a field."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def typed(text: str) -> Any:
    """What was typed, as the document has it: a whole or decimal number, a date, true or false, else text.

    A code with leading zeros is text.

    >>> typed("60000"), typed("8%"), typed(" New ")
    (60000, '8%', 'New')
    """
    text = text.strip()
    if re.fullmatch(r"-?(0|[1-9]\d{0,17})", text, re.ASCII):
        return int(text)
    if re.fullmatch(r"-?(0|[1-9]\d{0,17})\.\d+", text, re.ASCII):
        return Decimal(text)
    if text in ("true", "false"):
        return text == "true"
    try:
        return date.fromisoformat(text) if len(text) == len("2026-01-31") else text
    except ValueError:
        return text


def replaced(table: Mapping[str, Any], key: str, text: str) -> dict[str, Any]:
    """`table` with `key` as typed; empty text takes the key away, untouched text leaves the value alone."""
    if text == written(table.get(key)):
        return dict(table)
    if not text.strip():
        return {name: value for name, value in table.items() if name != key}
    return {**table, key: typed(text)}


# --- filters ---------------------------------------------------------------------------------------


def filter_rows(when: Any) -> list[tuple[str, str, str]] | None:
    """(field, operator's label, values) of a ``when`` table; None when it holds what rows cannot show."""
    if not isinstance(when, Mapping):
        return [] if when is None else None
    rows = []
    for field, value in when.items():
        tests = value if isinstance(value, Mapping) else {"is": value}
        for operator, operand in tests.items():
            values = operand if isinstance(operand, list) else [operand]
            known = operator in OPERATORS and (operator == "is") is not isinstance(value, Mapping)
            if not known or any(isinstance(each, (Mapping, list)) for each in values):
                return None
            rows.append((field, OPERATORS[operator], ", ".join(_quoted(written(each)) for each in values)))
    return rows


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if "," in text or '"' in text else text


def when_of(rows: Sequence[tuple[str, str, str]], before: Any) -> tuple[Any, str]:
    """The ``when`` of the rows (None: no filter), and what is wrong with them, if anything.

    `before` is kept where the rows say the same or contradict each other; an unfinished row is left out.
    """
    whole = [
        (field.strip(), label or OPERATORS["is"], text)
        for field, label, text in rows
        if field.strip() and text.strip(" ,")
    ]
    unfinished = len(whole) < sum(1 for field, _, text in rows if field.strip() or text.strip(" ,"))
    wrong = "A row lacks its field or its value: it filters nothing yet." if unfinished else ""
    if whole == filter_rows(before):
        return before, wrong
    when: dict[str, Any] = {}
    for field, label, text in whole:
        values = [typed(each) for each in next(csv.reader([text], skipinitialspace=True)) if each.strip()]
        value = values if len(values) > 1 else values[0]
        operator = _BY_LABEL[label]
        if operator == "is":
            if field in when:
                return before, f"{field} has a second filter beside “is”. List all its values in one row."
            when[field] = value
            continue
        tests = when.setdefault(field, {})
        if not isinstance(tests, dict):
            return before, f"{field} has a second filter beside “is”. List all its values in one row."
        if operator in tests or (operator != "not" and len(values) > 1):
            return before, f"{field}: “{label}” takes one value and stands once."
        tests[operator] = value
    return when or None, wrong


# --- tiers -----------------------------------------------------------------------------------------


def tier_rows(tiers: Any) -> list[dict[str, str]] | None:
    """From, rate, amount and applies of each tier as text; None when it is no list of tables of scalars."""
    if tiers is None:
        return []
    if not isinstance(tiers, list) or not all(isinstance(tier, Mapping) for tier in tiers):
        return None
    return [{key: written(tier.get(key)) for key in ("from", "rate", "amount", "applies")} for tier in tiers]


def tiers_of(rows: Sequence[tuple[int | None, Mapping[str, str]]], before: Any) -> list[dict[str, Any]]:
    """The tiers of the rows, each with the position it had `before` (None: new); empty rows are left out."""
    tiers = []
    for position, row in rows:
        tier: dict[str, Any] = {} if position is None else dict(before[position])
        for key, text in row.items():
            tier = replaced(tier, key, text)
        if tier:
            tiers.append(tier)
    return tiers


# --- components ------------------------------------------------------------------------------------


def new_component(kind: str, taken: Sequence[str]) -> dict[str, Any]:
    """A component of a kind that can be published as it stands, with an id of its own."""
    number = 1
    while (name := kind if number == 1 else f"{kind}-{number}") in taken:
        number += 1
    return {"id": name, "kind": kind, **_BEGINNINGS[kind]}


def of_kind(component: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The component as another kind: what only the old kind knows goes, what the new one needs comes."""
    if component.get("kind") == kind:
        return dict(component)
    foreign = {key for keys in KIND_KEYS.values() for key in keys} - set(KIND_KEYS[kind])
    kept = {key: value for key, value in component.items() if key not in foreign}
    if kind == "tiered" and any("%" in written(tier.get("from")) for tier in component.get("tiers", [])):
        kept.pop("tiers")  # edges in % of quota mean nothing for one deal's size
    return {**_BEGINNINGS.get(kind, {}), **kept, "kind": kind}


def in_order(component: Mapping[str, Any]) -> dict[str, Any]:
    """The component with its keys as one reads them: name and kind, filter, figures; unknown keys last."""
    order = [*COMPONENT_KEYS, *(key for keys in KIND_KEYS.values() for key in keys)]
    return dict(sorted(component.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order)))

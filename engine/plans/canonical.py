"""Forms of a plan document: the canonical bytes and their hash, and the TOML text that people edit."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from engine.calc.model import Plan
from engine.plans.document import parse_plan


def canonical(plan: Plan | Mapping[str, Any] | str) -> bytes:
    """Bytes that are equal exactly when two plans mean the same, however they are written.

    Defaults are left out, so that a rule that the language gains later leaves the bytes of today's plans
    alone.  Raises `ProblemsError` for a document with problems.
    """
    record = plan if isinstance(plan, Plan) else parse_plan(plan)
    return json.dumps(_plain(record), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def plan_hash(plan: Plan | Mapping[str, Any] | str) -> str:
    """The SHA-256 of the canonical form, in hex."""
    return hashlib.sha256(canonical(plan)).hexdigest()


def _plain(value: Any) -> Any:
    """Records as objects without their defaults; a record of a field's value keeps its type's name."""
    if is_dataclass(value):
        shown = {f.name: _plain(getattr(value, f.name)) for f in fields(value) if not _is_default(value, f)}
        return {type(value).__name__: shown} if type(value).__name__ in ("Number", "Day") else shown
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value


def _is_default(record: Any, field: Any) -> bool:
    return field.default is not MISSING and getattr(record, field.name) == field.default


# --- TOML -------------------------------------------------------------------------------------------

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def to_toml(document: Mapping[str, Any]) -> str:
    """The TOML text of a plan document; `load_toml` reads the same document back.

    Components and plan-level parts become sections, what is inside them stays on their lines.
    """
    lines = [f"{_key(key)} = {_value(value)}" for key, value in document.items() if not _is_section(value)]
    for key, value in document.items():
        if isinstance(value, Mapping):
            lines += ["", f"[{_key(key)}]", *_section(value)]
        elif _is_section(value):
            for row in value:
                lines += ["", f"[[{_key(key)}]]", *_section(row)]
    return "\n".join(lines) + "\n"


def _is_section(value: Any) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, (list, tuple)) and bool(value) and all(isinstance(row, Mapping) for row in value)
    )


def _section(table: Mapping[str, Any]) -> list[str]:
    lines = []
    for key, value in table.items():
        text = _value(value)
        if _is_section(value) and not isinstance(value, Mapping):
            text = "[\n" + "".join(f"  {_value(row)},\n" for row in value) + "]"
        lines.append(f"{_key(key)} = {text}")
    return lines


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _text(key)


def _text(text: str) -> str:
    # JSON's escapes are TOML's too, but for DEL, which JSON leaves as it is.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, (int, date)):
        return str(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(each) for each in value) + "]"
    raise TypeError(f"A plan document holds no {type(value).__name__}: {value!r}")

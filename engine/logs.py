"""What the program says while it runs: one line an event, as text or as JSON, without personal data or secrets.

>>> masked("ann@example.com signed in at postgresql://app:secret@db/x")
'<e-mail> signed in at postgresql://app:***@db/x'
"""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import TextIO

_SECRET_IN_URL = re.compile(r"(://[^\s:/@]*):[^\s@/]+@")
_EMAIL = re.compile(r"[^\s<>(),;:'\"=\[\]{}]+@[\w-]+(?:\.[\w-]+)+")
_VALUES_OF_A_ROW = re.compile(r"^(DETAIL|CONTEXT):.*$", re.MULTILINE)  # PostgreSQL quotes the row that it refuses


def masked(text: str) -> str:
    """`text` without passwords in addresses, e-mail addresses and the values that PostgreSQL quotes."""
    text = _SECRET_IN_URL.sub(r"\1:***@", text)
    text = _VALUES_OF_A_ROW.sub(r"\1: <left out>", text)
    # What was masked above looks like an address again: user:***@host.
    return " ".join(part if "://" in part else _EMAIL.sub("<e-mail>", part) for part in text.split(" "))


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        event = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "from": record.name,
            "message": masked(record.getMessage()),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            event["traceback"] = masked(self.formatException(record.exc_info))
        return json.dumps(event, ensure_ascii=False, default=str)


def set_up(form: str, stream: TextIO | None = None) -> None:
    """Log to standard error as "text" or "json": our own events from info on, those of libraries from warning on.

    An event's own facts go as ``log.info("...", extra={"facts": {...}})``; they become keys of the JSON.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for name in ("engine", "app"):
        logging.getLogger(name).setLevel(logging.INFO)

"""Every environment variable that the product reads, in one table.

>>> read({"PORT": "9000"}).port
9000
"""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from pathlib import Path
from typing import Any

from engine.errors import Problem, ProblemsError

ROOT = Path(__file__).resolve().parents[1]


def _text(value: str) -> str:
    return value


def _folder(value: str) -> Path:
    return Path(value).expanduser().absolute()


def _port(value: str) -> int:
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= 65535:
        raise ValueError("Give a port number from 1 to 65535.")
    return int(value)


def _log_form(value: str) -> str:
    if value not in ("text", "json"):
        raise ValueError('Write "text" or "json".')
    return value


def _secret(value: str) -> str:
    if len(value) < 20:
        raise ValueError("It is too short: take at least 20 characters, by chance.")
    return value


def _count(value: str) -> int:
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= 1024:
        raise ValueError("Give a whole number from 1 to 1024.")
    return int(value)


def _day(value: str) -> date:
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError("give a day such as 2026-11-22") from None


def _command(value: str) -> str | None:
    if value == "off":
        return None
    found = shutil.which(value)
    if found is None:
        raise ValueError('There is no such program. Give the path of a PyPy 3, or "off" for CPython.')
    return found


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _setting(env: str, reader: Callable[[str], Any], default: Callable[[], Any], meaning: str) -> Any:
    return field(metadata={"env": env, "reader": reader, "default": default, "meaning": meaning})


@dataclass(frozen=True)
class Settings:
    """The settings of one process.  An empty variable counts as not set."""

    database_url: str | None = _setting(
        "DATABASE_URL", _text, lambda: None, "the PostgreSQL to use; without it one is started from the wheel"
    )
    redis_url: str | None = _setting(
        "REDIS_URL",
        _text,
        lambda: None,
        "the Redis for workers on other machines and the shared cache; without it none",
    )
    home: Path = _setting(
        "QUOTAPATH_HOME", _folder, lambda: ROOT / ".quotapath", "the folder of the embedded PostgreSQL's data"
    )
    host: str = _setting("HOST", _text, lambda: "127.0.0.1", "the address to listen on")
    port: int = _setting("PORT", _port, lambda: 8501, "the port to listen on")
    workers: int = _setting("QUOTAPATH_WORKERS", _count, _cores, "calculation processes; one per core")
    pypy: str | None = _setting(
        "QUOTAPATH_PYPY",
        _command,
        lambda: shutil.which("pypy3"),
        'the PyPy that runs the pay rules; "off" or none found: CPython, slower',
    )
    log: str = _setting("QUOTAPATH_LOG", _log_form, lambda: "text", 'the form of the log: "text", or "json" lines')
    metrics_token: str | None = _setting(
        "QUOTAPATH_METRICS_TOKEN",
        _secret,
        lambda: None,
        "the bearer token for /metrics; without it only signed-in admins",
    )
    today: date = _setting(
        "QUOTAPATH_TODAY",
        _day,
        lambda: datetime.now().astimezone().date(),
        "the day that screens take for today; without it the clock's, in the server's time zone",
    )


def read(environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings in ``environ``.  Raises `ProblemsError` naming every wrong variable."""
    values, problems = {}, []
    for setting in fields(Settings):
        env, text = setting.metadata["env"], environ.get(setting.metadata["env"], "").strip()
        try:
            values[setting.name] = setting.metadata["reader"](text) if text else setting.metadata["default"]()
        except ValueError as error:
            problems.append(Problem(env, f"{text!r} cannot be used.", str(error)))
    if problems:
        raise ProblemsError(problems)
    return Settings(**values)

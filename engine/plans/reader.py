"""Reads one table of a document key by key: exact values out, every problem noted with its path.

A reader never stops at the first mistake: it notes the problem, hands out a stand-in of the right
type and goes on.  Whoever reads throws the result away when problems were noted.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypeVar

from engine.calc.model import PPM, Rate
from engine.errors import Problem, QuotaPathError
from engine.money import format_rate, parse_money, parse_number, parse_rate

T = TypeVar("T")

_MULTIPLE = re.compile(r"([+-]?[\d.,]+)\s*x", re.ASCII)


class Unreadable(str):
    """A number as it was written with an exponent, or inf or nan: kept so that it is refused with its path."""

    __slots__ = ()


def _read_number(text: str) -> Decimal | Unreadable:
    plain = text.replace("_", "")
    if plain.lstrip("+-").replace(".", "", 1).isdigit():
        return Decimal(plain)
    return Unreadable(text)


def load_toml(text: str) -> dict[str, Any]:
    """A TOML text with every number exactly as written; `QuotaPathError` where it is no TOML."""
    try:
        return tomllib.loads(text, parse_float=_read_number)
    except tomllib.TOMLDecodeError as error:
        raise QuotaPathError(
            f"The text is not TOML: {error}. Look at that place for a missing quote, bracket or equals sign."
        ) from error


def shown(value: Any) -> str:
    """A value as it stands in the document, for a message."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and not isinstance(value, Unreadable):
        return f'"{value}"'
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "a list"
    return str(value)


def as_day(value: Any) -> int:
    """The ordinal of a TOML date or of the same as text ("2026-01-31"); `QuotaPathError` otherwise."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.toordinal()
    if isinstance(value, str) and len(value) == len("2026-01-31"):
        try:
            return date.fromisoformat(value).toordinal()
        except ValueError:
            pass
    raise QuotaPathError(f"{shown(value)} is not a date. Write year-month-day without a time, such as 2026-01-31.")


def as_text(value: Any) -> str:
    """Text that is not blank; `QuotaPathError` otherwise."""
    if not isinstance(value, str) or isinstance(value, Unreadable) or not value.strip():
        raise QuotaPathError(f'{shown(value)} is not a text. Write it in quotes, such as "ana".')
    return value


def as_rate(value: Any, above_100: bool = False, multiples: bool = True) -> Rate:
    """A rate ("8%", 0.08), or with ``multiples`` a multiple of the base rate ("1.5x").

    Raises `QuotaPathError` below 0, and above 100% unless ``above_100``; multiples are free.
    """
    multiple = _MULTIPLE.fullmatch(value.strip()) if isinstance(value, str) else None
    if multiple and not multiples:
        raise QuotaPathError(f'{shown(value)} is a multiple, but a rate is needed. Write a rate such as "8%".')
    ppm = parse_number(multiple[1]) if multiple else parse_rate(value)
    if ppm < 0:
        raise QuotaPathError(f'The rate {shown(value)} is below 0. Write 0 or more, such as "8%".')
    if ppm > PPM and not multiple and not above_100:
        raise QuotaPathError(
            f"The rate {shown(value)} is {format_rate(ppm)}, above 100%. Write a percentage such as "
            f'"8%"; if it is meant, set allow_rate_above_100 = true on the component.'
        )
    return Rate(ppm, multiple is not None)


class Reader:
    """One table of a document at ``path``; problems go to the list that all readers of it share."""

    def __init__(self, table: Mapping[str, Any], path: str, problems: list[Problem]) -> None:
        self.table = table
        self.path = path
        self.problems = problems

    def at(self, key: str) -> str:
        """The path of a key of this table."""
        return f"{self.path}.{key}" if self.path else key

    def problem(self, key: str, message: str, remedy: str = "") -> None:
        """Notes what is wrong at ``key`` and what to do about it."""
        self.problems.append(Problem(self.at(key), message, remedy))

    def only(self, allowed: Iterable[str], elsewhere: Mapping[str, str] | None = None) -> None:
        """Reports the keys outside ``allowed``; ``elsewhere`` says what a misplaced key belongs to."""
        names = sorted(allowed)
        for key in self.table:
            if key in names:
                continue
            if elsewhere and key in elsewhere:
                self.problem(key, f"`{key}` is a key of {elsewhere[key]} and means nothing here.", "Remove it.")
            else:
                self.problem(
                    key,
                    f"`{key}` is not a known key.",
                    f"Remove it or correct its spelling; known here: {', '.join(names)}.",
                )

    def has(self, key: str) -> bool:
        """Whether ``key`` is there; if not, that is noted as a problem."""
        if key not in self.table:
            self.problem(key, f"`{key}` is missing.", f"Add `{key} = ...`.")
        return key in self.table

    def read(self, key: str, convert: Callable[[Any], T], default: T) -> T:
        """``convert`` of the value at ``key``; ``default`` where it is absent or (noted) refused."""
        if key not in self.table:
            return default
        try:
            return convert(self.table[key])
        except QuotaPathError as refused:
            self.problem(key, str(refused))
            return default

    def need(self, key: str, convert: Callable[[Any], T], stand_in: T) -> T:
        """As `read`, for a key that must be there."""
        return self.read(key, convert, stand_in) if self.has(key) else stand_in

    def text(self, key: str, default: str = "") -> str:
        """Text that is not blank."""
        return self.read(key, as_text, default)

    def choice(self, key: str, choices: Sequence[str], default: str) -> str:
        """One of ``choices``."""

        def convert(value: Any) -> str:
            if not isinstance(value, str) or value not in choices:
                raise QuotaPathError(f"{shown(value)} is not a known `{key}`. Write one of: {', '.join(choices)}.")
            return value

        return self.read(key, convert, default)

    def flag(self, key: str, default: bool) -> bool:
        """true or false."""

        def convert(value: Any) -> bool:
            if not isinstance(value, bool):
                raise QuotaPathError(f"{shown(value)} is not true or false. Write true or false without quotes.")
            return value

        return self.read(key, convert, default)

    def day(self, key: str) -> int | None:
        """A date as ordinal; None where it is absent."""
        return self.read(key, as_day, None) if key in self.table else None

    def whole(self, key: str, least: int, default: int | None = None) -> int | None:
        """A whole number of at least ``least``."""

        def convert(value: Any) -> int | None:
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise QuotaPathError(f"{shown(value)} is not a whole number of at least {least}. Write such a one.")
            return value

        return self.read(key, convert, default)

    def number(self, key: str, currency: str | None) -> int | None:
        """Minor units of ``currency``, or (None) millionths of a unit; not below 0.  None where absent."""

        def convert(value: Any) -> int | None:
            number = parse_number(value) if currency is None else parse_money(value, currency)
            if number < 0:
                raise QuotaPathError(f"{shown(value)} is below 0. Write 0 or more.")
            return number

        return self.read(key, convert, None)

    def ratio(self, key: str, default: int, most: int | None = PPM) -> int:
        """A part of a whole in ppm, from 0 to ``most`` (None: without limit)."""

        def convert(value: Any) -> int:
            ppm = parse_rate(value)
            if ppm < 0 or (most is not None and ppm > most):
                limits = "below 0" if most is None else f"not between 0% and {format_rate(most)}"
                raise QuotaPathError(f'{shown(value)} is {limits}. Write a percentage such as "60%".')
            return ppm

        return self.read(key, convert, default)

    def inside(self, key: str) -> "Reader | None":
        """The table at ``key``; None where it is absent or (noted) no table."""
        value = self.table.get(key)
        if isinstance(value, Mapping):
            return Reader(value, self.at(key), self.problems)
        if key in self.table:
            self.problem(key, f"{shown(value)} is not a table.", f"Write `{key} = {{ ... }}`.")
        return None

    def rows(self, key: str) -> "list[Reader]":
        """The tables of the list at ``key``, in order; what is no table is noted."""
        value = self.table.get(key, [])
        if not isinstance(value, Sequence) or isinstance(value, str):
            self.problem(key, f"{shown(value)} is not a list of tables.", f"Write `{key} = [ {{ ... }} ]`.")
            return []
        rows = []
        for index, row in enumerate(value):
            if isinstance(row, Mapping):
                rows.append(Reader(row, self.at(f"{key}[{index}]"), self.problems))
            else:
                self.problem(f"{key}[{index}]", f"{shown(row)} is not a table.", "Write a table: { ... }.")
        return rows

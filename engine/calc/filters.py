"""Which deals a ``when`` filter lets through.

A filter is turned into integer bounds and sets for number columns, and asked once per distinct word for
dictionary columns, so that no row is looked at as anything but an int.
"""

import re
from datetime import date
from typing import List, Optional, Sequence, Tuple

from engine.calc.book import NONE, Field
from engine.calc.model import MICRO, Day, FieldValue, Number
from engine.errors import QuotaPathError, given
from engine.money import parse_number

_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)

Tests = Tuple[Tuple[str, Tuple[FieldValue, ...]], ...]


def _number(value: FieldValue) -> Optional[int]:
    """The number that a value is or reads as, in millionths."""
    if isinstance(value, Number):
        return value.micro
    if isinstance(value, str):
        try:
            return parse_number(value)
        except QuotaPathError:
            pass
    return None


def _day(value: FieldValue) -> Optional[int]:
    if isinstance(value, Day):
        return value.ordinal
    # The pattern first: newer Pythons read more forms than this one.
    if isinstance(value, str) and _DATE.fullmatch(value.strip()):
        try:
            return date.fromisoformat(value.strip()).toordinal()
        except ValueError:
            return None
    return None


def _equal(value: FieldValue, other: FieldValue) -> bool:
    """Text without regard to case; text equals a number or a date that it reads as."""
    if isinstance(value, bool) or isinstance(other, bool):
        return str(value).casefold() == str(other).casefold()
    if isinstance(value, str) and isinstance(other, str):
        return value.strip().casefold() == other.strip().casefold()
    if isinstance(value, Day) or isinstance(other, Day):
        return _day(value) is not None and _day(value) == _day(other)
    return _number(value) is not None and _number(value) == _number(other)


def _compare(test: str, value: int, bound: int) -> bool:
    if test == "at_least":
        return value >= bound
    if test == "more_than":
        return value > bound
    if test == "at_most":
        return value <= bound
    return value < bound


def holds(value: Optional[FieldValue], tests: Tests) -> bool:
    """Whether one value passes every test; a missing value passes ``not`` only."""
    for test, operands in tests:
        if test == "not":
            if value is not None and any(_equal(value, operand) for operand in operands):
                return False
        elif value is None:
            return False
        elif test == "any_of":
            if not any(_equal(value, operand) for operand in operands):
                return False
        else:
            (operand,) = operands
            read = _day if isinstance(operand, Day) else _number
            number, bound = read(value), read(operand)
            if number is None or bound is None or not _compare(test, number, bound):
                return False
    return True


def match_words(field: Field, tests: Tests, count: int) -> bytearray:
    """One byte a deal, 1 where the value of a dictionary column passes."""
    verdicts = [holds(word, tests) for word in given(field.words)]
    missing = holds(None, tests)
    values = field.values
    return bytearray([missing if values[i] == NONE else verdicts[values[i]] for i in range(count)])


def match_numbers(values: Sequence[int], tests: Tests, unit: int, days: bool, count: int) -> bytearray:
    """The same for a column of numbers of which ``unit`` make 1, or of ordinals (``days``)."""
    low, high = NONE + 1, 2**63 - 1
    wanted: Optional[List[int]] = None
    unwanted: List[int] = []
    missing = True
    for test, operands in tests:
        bounds = [_day(operand) if days else _number(operand) for operand in operands]
        # In parts of the column, times a million: the operand may be finer than the column.
        exact = [bound * (MICRO if days else unit) for bound in bounds if bound is not None]
        same = [bound // MICRO for bound in exact if bound % MICRO == 0]
        if test == "not":
            unwanted += same
            continue
        missing = False
        if test == "any_of":
            wanted = same if wanted is None else [bound for bound in wanted if bound in same]
        elif not exact:
            wanted = []
        elif test == "at_least":
            low = max(low, -(-exact[0] // MICRO))
        elif test == "more_than":
            low = max(low, exact[0] // MICRO + 1)
        elif test == "at_most":
            high = min(high, exact[0] // MICRO)
        else:
            high = min(high, -(-exact[0] // MICRO) - 1)
    passed = bytearray(count)
    kept, dropped = None if wanted is None else frozenset(wanted), frozenset(unwanted)
    for i in range(count):
        value = values[i]
        if value == NONE:
            passed[i] = missing
        elif low <= value <= high and (kept is None or value in kept) and value not in dropped:
            passed[i] = 1
    return passed


def both(first: Optional[bytearray], second: bytearray) -> bytearray:
    """Deals that pass two filters; None lets everything through."""
    if first is None:
        return second
    size = len(second)
    # As one long whole number: a byte-wise "and" without a loop.
    joined = int.from_bytes(first, "little") & int.from_bytes(second, "little")
    return bytearray(joined.to_bytes(size, "little"))

"""Money, rates and the two ways to turn a fraction into cents: rounding, and sharing out a whole.

Money is an int of the currency's minor units ("cents").  A rate is an int in parts per million, any
other number an int in millionths.  Nothing here, or above, passes through a float.
"""

import re
from decimal import Decimal
from typing import List, Sequence, Union

from engine.errors import QuotaPathError

PPM = 1_000_000
LARGEST = 2**63 - 1  # what a BIGINT holds

# ISO 4217: currencies whose minor unit is not a hundredth.
_WHOLE = (
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF",
    "XPF",
)  # fmt: skip
_DIGITS = {
    **dict.fromkeys(_WHOLE, 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}
_CURRENCY = re.compile(r"[A-Z]{3}")
_NUMBER = re.compile(r"([+-]?)(\d{1,3}(?:,\d{3})+|\d+)(?:\.(\d*))?", re.ASCII)

Written = Union[str, int, Decimal]


def currency_digits(currency: str) -> int:
    """Decimals of a currency's minor unit: 2 for USD, 0 for JPY, 3 for KWD."""
    if not _CURRENCY.fullmatch(currency):
        raise QuotaPathError(f"{currency!r} is not a currency. Write its three capital letters, such as USD.")
    return _DIGITS.get(currency, 2)


def _parse(value: Written, digits: int, too_fine: str) -> int:
    """``value`` in units of 10**-digits, exactly."""
    if isinstance(value, Decimal):
        # A Decimal from a document keeps how it was written: 1e5 has a positive exponent, 100000 has not.
        if not value.is_finite() or int(value.as_tuple().exponent) > 0:
            raise QuotaPathError(f"{value} is not a plain number. Write it in full, without an exponent.")
        text = format(value, "f")
    elif isinstance(value, int) and not isinstance(value, bool):
        text = str(value)
    elif isinstance(value, str):
        text = value.strip()
    else:
        # A float has already lost what was written.
        raise QuotaPathError(
            f"{value!r} is a {type(value).__name__}, not an exact number. "
            'Write it as a whole number or as text, such as "60000.50".'
        )
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise QuotaPathError(f'{text!r} is not a number. Write digits, such as "60,000.00" or "60000.5".')
    sign, whole, decimals = match.groups()
    decimals = (decimals or "").rstrip("0")
    if len(decimals) > digits:
        raise QuotaPathError(f"{text!r} {too_fine}")
    number = int(whole.replace(",", "") + decimals.ljust(digits, "0"))
    if number > LARGEST:
        raise QuotaPathError(f"{text!r} is too large. The largest is {LARGEST // 10**digits:,}.")
    return -number if sign == "-" else number


def parse_money(value: Written, currency: str) -> int:
    """Minor units of ``currency``: ``"60,000.00"``, ``60000`` and ``Decimal("60000.0")`` are 6000000 USD cents.

    Raises `QuotaPathError` for a float, an exponent, text that is no number, and a value finer than the
    currency's unit (``"0.005"`` USD; trailing zeros are fine).
    """
    digits = currency_digits(currency)
    finest = "whole numbers only" if digits == 0 else f"at most {digits} decimals"
    return _parse(value, digits, f"is finer than {currency} has: {finest}. Round it where it comes from.")


def parse_number(value: Written) -> int:
    """Millionths: a quantity, a custom field, a multiplier's factor.  ``"12.5"`` is 12500000."""
    return _parse(value, 6, "has more than 6 decimals. Round it to 6.")


def parse_rate(value: Written) -> int:
    """Parts per million of a rate or share: ``"8%"``, ``"0.08"`` and ``Decimal("0.08")`` are 80000."""
    if isinstance(value, str) and value.rstrip().endswith("%"):
        return _parse(value.rstrip()[:-1], 4, "% has more than 4 decimals of a percent. Round it to 4.")
    return _parse(value, 6, "has more than 6 decimals. Round it to 6.")


def format_money(cents: int, currency: str, thousands: bool = False) -> str:
    """Decimal text of minor units: ``1160000`` USD is ``"11600.00"``, or ``"11,600.00"`` with ``thousands``."""
    digits = currency_digits(currency)
    whole, rest = divmod(abs(cents), 10**digits)
    text = f"{whole:,}" if thousands else str(whole)
    return ("-" if cents < 0 else "") + text + (f".{rest:0{digits}d}" if digits else "")


def format_rate(ppm: int) -> str:
    """A rate in percent as one writes it: 80000 is ``"8%"``, 333333 is ``"33.3333%"``."""
    whole, rest = divmod(abs(ppm), 10_000)
    decimals = f"{rest:04d}".rstrip("0")
    return ("-" if ppm < 0 else "") + str(whole) + (f".{decimals}" if decimals else "") + "%"


def round_ratio(numerator: int, denominator: int, rounding: str = "half_up") -> int:
    """The whole number nearest to ``numerator / denominator`` (denominator above 0).

    A half goes away from zero (``half_up``) or to the even neighbour (``half_even``).
    """
    size = -numerator if numerator < 0 else numerator
    whole = (2 * size + denominator) // (2 * denominator)
    if rounding == "half_even" and whole & 1 and (2 * whole - 1) * denominator == 2 * size:
        whole -= 1
    return -whole if numerator < 0 else whole


def split_largest_remainder(total: int, shares: Sequence[int], whole: int = PPM) -> List[int]:
    """Share out ``total`` by ``shares`` of ``whole`` (ppm) so that the parts add up to the whole.

    Each part gets its floor; the units left over go one each to the largest remainders, ties to the
    earlier share.  A negative total is shared like its absolute value with the sign turned.  Shares that
    do not add to ``whole`` share out ``total`` x their sum, rounded half up.

    >>> split_largest_remainder(6000, [333333, 333333, 333334])
    [2000, 2000, 2000]
    """
    size = -total if total < 0 else total
    parts = [size * share // whole for share in shares]
    left = round_ratio(size * sum(shares), whole) - sum(parts)
    if left:
        by_remainder = sorted(range(len(shares)), key=lambda i: -(size * shares[i] % whole))
        for i in by_remainder[:left]:
            parts[i] += 1
    return [-part for part in parts] if total < 0 else parts

"""What one cell says: clean text, a date, a number, an amount with its currency, a CRM id.

How a date or a number is to be read is decided for a whole file (`engine.imports.deals`); here it is an
argument.  A cell that cannot be read raises `UnreadableValue`, whose text says why.
"""

import itertools
import re
from datetime import date
from decimal import Decimal
from functools import lru_cache

from engine.errors import QuotaPathError

DAY_FIRST, MONTH_FIRST = "day_first", "month_first"
DOT, COMMA = "dot", "comma"
AMBIGUOUS, PLAIN = "ambiguous", "plain"

CACHED = 50_000  # texts whose reading is remembered, so that a million rows repeat little work

FIRST_DAY, LAST_DAY = date(1990, 1, 1), date(2199, 12, 31)  # what the deals table holds

_CODES = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF "
    "CLF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD "
    "HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD "
    "MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN "
    "PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY "
    "TTD TWD TZS UAH UGX USD UYI UYU UYW UZS VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG"
)
ISO_4217 = frozenset(_CODES.split())
# The currencies a sign may stand for, the likeliest first.
SIGNS: dict[str, tuple[str, ...]] = {
    "$": ("USD", "CAD", "AUD", "NZD", "SGD", "HKD", "MXN"),
    "us$": ("USD",),
    "ca$": ("CAD",),
    "c$": ("CAD",),
    "a$": ("AUD",),
    "au$": ("AUD",),
    "nz$": ("NZD",),
    "hk$": ("HKD",),
    "s$": ("SGD",),
    "mx$": ("MXN",),
    "r$": ("BRL",),
    "€": ("EUR",),
    "£": ("GBP",),
    "¥": ("JPY", "CNY"),
    "￥": ("JPY", "CNY"),
    "₹": ("INR",),
    "rs.": ("INR", "PKR", "LKR"),
    "kr": ("SEK", "NOK", "DKK", "ISK"),
    "kr.": ("DKK", "SEK", "NOK", "ISK"),
    "zł": ("PLN",),
    "kč": ("CZK",),
    "ft": ("HUF",),
    "fr.": ("CHF",),
    "sfr.": ("CHF",),
    "₺": ("TRY",),
    "₩": ("KRW",),
    "₪": ("ILS",),
    "₽": ("RUB",),
    "₴": ("UAH",),
    "฿": ("THB",),
    "₫": ("VND",),
    "₱": ("PHP",),
    "₦": ("NGN",),
}
_LONGEST_FIGURE = 60
_MARKS = {DOT: (".", ","), COMMA: (",", ".")}  # decimal mark, mark between thousands
_GROUPED = {group: re.compile(rf"\d{{1,3}}([{group}' ])(?:\d{{2,3}}\1)*\d{{3}}") for group in ".,"}
_SHORT = {"k": 3, "tsd": 3, "m": 6, "mm": 6, "mio": 6, "b": 9, "bn": 9, "mrd": 9}


class UnreadableValue(QuotaPathError):
    """A cell that cannot be read; its text is the reason shown to the user."""


# ---------------------------------------------------------------- text
_INVISIBLE = dict.fromkeys(
    itertools.chain(
        (*range(9), *range(11, 13), *range(14, 32), *range(127, 160)),  # control characters
        (0xAD, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF),  # unseen
        range(0xD800, 0xE000),  # halves of a pair, which no database takes
    )
)
_SPACES = dict.fromkeys([0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000], " ")
_TO_CLEAN = {**_INVISIBLE, **_SPACES}


def clean(text: str) -> str:
    """The text without control characters and with plain spaces, trimmed; line breaks stay.

    >>> clean(" 1\\u00a0234,50\\x07 ")
    '1 234,50'
    """
    return (text if text.isprintable() else text.translate(_TO_CLEAN).replace("\r\n", "\n").replace("\r", "\n")).strip()


def one_line(text: str) -> str:
    """`clean`, with every run of white space as one space."""
    if text.isprintable() and "  " not in text:
        return text.strip()
    return " ".join(clean(text).split())


# ---------------------------------------------------------------- dates
_ZONE = r"(?:\s?(?:Z|UTC|GMT|[+-]\d\d:?\d\d))?"
_TIME = rf"(?:(?:T|,?\s+)\d{{1,2}}[:.h]\d{{2}}(?:[:.]\d{{2}}(?:[.,]\d+)?)?(?:\s?[ap]\.?m\.?)?{_ZONE})?"
_ISO_DATE = re.compile(rf"(\d{{4}})([-/.])\s?(\d{{1,2}})\2\s?(\d{{1,2}})\.?{_TIME}", re.IGNORECASE | re.ASCII)
_LOCAL_DATE = re.compile(rf"(\d{{1,2}})([-/.])\s?(\d{{1,2}})\2\s?(\d{{4}}|\d{{2}}){_TIME}", re.IGNORECASE | re.ASCII)
_DAY_MONTH = re.compile(rf"(\d{{1,2}})\.?[\s-]+([^\W\d_]+)\.?,?[\s-]+(\d{{4}}|\d{{2}}){_TIME}", re.IGNORECASE)
_MONTH_DAY = re.compile(rf"([^\W\d_]+)\.?\s+(\d{{1,2}})(?:st|nd|rd|th)?,?\s+(\d{{4}}){_TIME}", re.IGNORECASE)
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan january januar janvier janv enero ene",
            "feb february februar février févr febrero",
            "mar march märz mrz mär mars marzo",
            "apr april avril avr abril abr",
            "may mai mayo",
            "jun june juni juin junio",
            "jul july juli juillet juil julio",
            "aug august août agosto ago",
            "sep sept september septembre septiembre",
            "oct october okt oktober octobre octubre",
            "nov november novembre noviembre",
            "dec december dez dezember décembre déc diciembre dic",
        ),
        1,
    )
    for name in names.split()
}


def date_order(text: str) -> str:
    """What a date says about the order of day and month: `DAY_FIRST`, `MONTH_FIRST`, `AMBIGUOUS` or `PLAIN`.

    Dots are day first in every locale, unless the figures say otherwise; ``5/5/2026`` is plain.
    """
    match = _LOCAL_DATE.fullmatch(text)
    if not match:
        return PLAIN
    first, second = int(match[1]), int(match[3])
    if not 0 < min(first, second) <= 12 or max(first, second) > 31 or first == second:
        return PLAIN  # no date, or the same either way
    if first > 12:
        return DAY_FIRST
    if second > 12:
        return MONTH_FIRST
    return DAY_FIRST if match[2] == "." else AMBIGUOUS


def parse_date(text: str, order: str) -> date:
    """The date of a cleaned cell; a time of day behind it is left out, its zone too (the day as written).

    ``order`` is `DAY_FIRST` or `MONTH_FIRST`, for dates such as 03/04/2026.  Raises `UnreadableValue`.
    """
    if match := _ISO_DATE.fullmatch(text):
        years, month, day = match[1], int(match[3]), int(match[4])
    elif match := _LOCAL_DATE.fullmatch(text):
        first, second, years = int(match[1]), int(match[3]), match[4]
        day, month = (first, second) if order == DAY_FIRST else (second, first)
        if month > 12 >= day:
            known = "day first" if order == DAY_FIRST else "month first"
            raise UnreadableValue(f"{text} has no month {month}; the dates of this file are read {known}.")
    elif (match := _DAY_MONTH.fullmatch(text)) and match[2].casefold() in _MONTHS:
        day, month, years = int(match[1]), _MONTHS[match[2].casefold()], match[3]
    elif (match := _MONTH_DAY.fullmatch(text)) and match[1].casefold() in _MONTHS:
        month, day, years = _MONTHS[match[1].casefold()], int(match[2]), match[3]
    else:
        raise UnreadableValue(f"{_shown(text)} is not a date.")
    try:
        found = date(int(years) + (2000 if len(years) == 2 else 0), month, day)
    except ValueError:
        raise UnreadableValue(f"{text} is not a day of the calendar.") from None
    if not FIRST_DAY <= found <= LAST_DAY:
        raise UnreadableValue(f"{text} is outside the years 1990 to 2199.")
    return found


# ---------------------------------------------------------------- numbers
_BLANK = {"", "-", "–", "—", "n/a", "#n/a", "null", "none"}
_SIGN = "|".join(re.escape(sign) for sign in sorted(SIGNS, key=len, reverse=True))
_AMOUNT = re.compile(
    rf"([-+−])?\s*({_SIGN}|[a-z]{{3}})?\s*([-+−])?\s*(\d[\d.,'’ ]*|[.,]\d+)"
    rf"(k|tsd|mm|mio|m|bn|b|mrd)?\.?\s*({_SIGN}|[a-z]{{3}})?\s*(-)?",
    re.IGNORECASE | re.ASCII,
)
_BRACKETS = re.compile(r"^([^\d()]*)\(([^()]*)\)([^\d()]*)$")  # (1,234.50), $(5) and (5) EUR are negative


def is_blank(text: str) -> bool:
    """Whether a cleaned cell stands for no number or date: empty, a dash, ``n/a``."""
    return text.casefold() in _BLANK


class Figure:
    """A number as it is written: ``digits`` with its separators, ``negative``, ``zeros`` of a short form, ``sign``.

    ``sign`` is the currency sign or code beside it, lower case (``""``: none).
    """

    __slots__ = ("digits", "negative", "sign", "zeros")

    def __init__(self, text: str) -> None:
        """Takes a cleaned cell apart; raises `UnreadableValue` for anything that is no number."""
        if len(text) > _LONGEST_FIGURE:  # before any pattern looks at it, which could take for ever
            raise UnreadableValue(f"{_shown(text)} is not a number.")
        bare = _BRACKETS.sub(r"-\1\2\3", text) if "(" in text else text
        match = _AMOUNT.fullmatch(bare)
        if match is None:
            raise UnreadableValue(f"{_shown(text)} is not a number.")
        minus, before, inner_minus, digits, short, after, trailing = match.groups()
        marks = [mark for mark in (minus, inner_minus, trailing) if mark]
        if len(marks) > 1 or (before and after):
            raise UnreadableValue(f"{_shown(text)} is not a number.")
        self.digits = digits.strip().replace("’", "'")
        self.negative = bool(marks) and marks[0] != "+"
        self.sign = (before or after or "").lower()
        self.zeros = _SHORT[short.lower()] if short else 0

    def style(self) -> str:
        """What the separators say about the decimal mark: `DOT`, `COMMA`, `AMBIGUOUS` or `PLAIN`."""
        dots, commas = self.digits.count("."), self.digits.count(",")
        if not dots and not commas:
            return PLAIN
        own, other = (DOT, COMMA) if dots else (COMMA, DOT)
        if dots and commas:
            style = DOT if self.digits.rfind(".") > self.digits.rfind(",") else COMMA
        elif max(dots, commas) > 1:
            style = other  # repeated, so it groups thousands
        else:
            head, _, tail = self.digits.partition("." if dots else ",")
            if len(tail) == 3 and 1 <= len(head) <= 3 and head[0] != "0":
                return AMBIGUOUS
            style = own
        return style if self._fits(style) else PLAIN  # nonsense such as 1,2,3 says nothing

    def plain(self, style: str) -> str:
        """The number as ``-1234.5``, read with ``style`` (`DOT` or `COMMA`); raises `UnreadableValue`."""
        if not self._fits(style):
            known = "point" if style == DOT else "comma"
            raise UnreadableValue(f"{self.digits} does not fit: the numbers of this file have a decimal {known}.")
        mark, group = _MARKS[style]
        whole, _, decimals = self.digits.partition(mark)
        for letter in (group, "'", " "):
            whole = whole.replace(letter, "")
        text = f"{whole or '0'}.{decimals}" if decimals else (whole or "0")
        if self.zeros:
            text = f"{Decimal(text).scaleb(self.zeros):f}"
        return "-" + text if self.negative else text

    def _fits(self, style: str) -> bool:
        """Whether the digits are a number in ``style``: groups of three (or, in India, two), if any."""
        mark, group = _MARKS[style]
        whole, _, decimals = self.digits.partition(mark)
        if whole.isdigit() or not whole:
            return not decimals or decimals.isdigit()
        grouped = _GROUPED[group].fullmatch(whole)
        return grouped is not None and (not decimals or decimals.isdigit())


@lru_cache(CACHED)
def read_figure(text: str) -> Figure:
    """`Figure` of a cleaned cell, remembered: the same amount is looked at more than once."""
    return Figure(text)


# ---------------------------------------------------------------- ids
_SALESFORCE_ID = re.compile(r"([A-Za-z0-9]{15})([A-Z0-5]{3})")
_ROUNDED_ID = re.compile(r"\d([.,]\d+)?E\+\d+", re.IGNORECASE)
_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def deal_id(text: str) -> str:
    """The id by which a deal is known again: an 18-character Salesforce id is its first 15, with their case.

    Raises `UnreadableValue` for a long number that a spreadsheet has shortened (``1.2E+10``).

    >>> deal_id("0065g00000AbCdEAAV"), deal_id("0065g00000AbCdE")
    ('0065g00000AbCdE', '0065g00000AbCdE')
    """
    match = _SALESFORCE_ID.fullmatch(text)
    if match and (text.startswith("006") or salesforce_suffix(match[1]) == match[2]):
        return match[1]
    if "+" in text and _ROUNDED_ID.fullmatch(text):
        raise UnreadableValue(f"{text} is an id that a spreadsheet has rounded.")
    return text


def salesforce_suffix(first: str) -> str:
    """The three letters that make an 18-character id of the 15-character one: they keep its capitals."""
    return "".join(
        _SUFFIX[sum(1 << at for at, letter in enumerate(first[part : part + 5]) if "A" <= letter <= "Z")]
        for part in (0, 5, 10)
    )


def _shown(text: str) -> str:
    return '"' + (text if len(text) <= 60 else text[:57] + "...") + '"'

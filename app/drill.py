"""From a mark of a chart to the deals behind it: what the deals page's address asks for, and what that says."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from datetime import date
from typing import Any

import streamlit as st

from app import navigation, widgets
from engine.errors import QuotaPathError
from engine.periods import Period, parse_period
from engine.services.deals import Behind

EMPTY = "~"  # stands for an empty text in an address
_NAMES = tuple(field.name for field in fields(Behind))


def deals(query: dict[str, str]) -> None:
    """Go to the deals page with these parameters; the page's filters of earlier do not stay."""
    navigation.open_page("deals", {name: value for name, value in query.items() if value != ""})


def days(low: int, high: int | None) -> str:
    """Days in ``[low, high)`` in an address: ``"8-31"``, ``"91-"`` without an end."""
    return f"{low}-{'' if high is None else high}"


def days_in_words(low: int, high: int | None) -> str:
    """``"8 to 30 days"``, ``"91 days or more"``, ``"1 day"``."""
    if high is None:
        return f"{low:,} days or more"
    if high == low + 1:
        return f"{low} day{'' if low == 1 else 's'}"
    return f"{low:,} to {high - 1:,} days"


def edges(bounds: Sequence[int], first: int = 0) -> list[tuple[int, int | None]]:
    """The buckets that end at the bounds, and the one after the last."""
    return list(zip((first, *bounds), (*bounds, None), strict=True))


def asked() -> Behind:
    """The deals that the address asks for; what it says wrongly asks for nothing."""
    behind = Behind()
    for name in _NAMES:
        text = st.query_params.get(name, "")
        if text:
            with suppress(ValueError, QuotaPathError):
                behind = replace(behind, **{name: _READERS[name](text)})
    return behind


def shown(behind: Behind, stages: dict[int, str]) -> None:
    """What the address asks for, in words, and the way to all deals; `stages` are names by id."""
    said = [_WORDS[name](getattr(behind, name), stages) for name in _NAMES if getattr(behind, name) is not None]
    if not said:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="deals_behind"):
        st.caption(":material/filter_alt: " + widgets.plain("; ".join(said) + "."), width="content")
        if st.button("Show all", type="tertiary", icon=":material/filter_list_off:", key="deals_behind_clear"):
            for name in _NAMES:
                st.query_params.pop(name, None)
            st.rerun()


# --- what an address says ---------------------------------------------------------------------------


def _days(text: str) -> tuple[int, int | None]:
    low, _, high = text.partition("-")
    return _number(low), _number(high) if high else None


def _text(text: str) -> str:
    return "" if text == EMPTY else text


def _number(text: str) -> int:
    if len(text) > 9 or not text.isdecimal():
        raise ValueError(text)
    return int(text)


def _period(text: str) -> tuple[date, date]:
    period: Period = parse_period(text)
    return period.first_day, date.fromordinal(period.end)


def _moved(text: str) -> tuple[date, date, int, int | None]:
    period, _, by = text.partition(":")
    return (*_period(period), *(_days(by) if by else (1, None)))


def _entered(text: str) -> tuple[int, date, date, int | None]:
    stage, period, *onward = text.split(":")
    return (_number(stage), *_period(period), _number(onward[0]) if onward else None)


_READERS: dict[str, Callable[[str], Any]] = {
    "waiting": _days,
    "cycle": _days,
    "slipped": _period,
    "moved": _moved,
    "entered": _entered,
    "segment": _text,
    "product": _text,
    "owner_team": _number,
    "late": lambda text: True if text == "yes" else None,
}


# --- in words -----------------------------------------------------------------------------------------


def _span(start: date, end: date) -> str:
    return f"{start} to {date.fromordinal(end.toordinal() - 1)}"


def _entered_words(value: tuple[int, date, date, int | None], stages: dict[int, str]) -> str:
    stage, start, end, onward = value
    text = f"First entered {stages.get(stage, f'stage {stage}')} from {_span(start, end)}"
    if onward is None:
        return text
    return text + (" and are still there" if not onward else f", went on to {stages.get(onward, f'stage {onward}')}")


_WORDS: dict[str, Callable[[Any, dict[int, str]], str]] = {
    "waiting": lambda value, _: f"In their stage for {days_in_words(*value)}",
    "cycle": lambda value, _: f"Closed {days_in_words(*value)} after they were created",
    "slipped": lambda value, _: f"Slipped out of {_span(*value)}",
    "moved": lambda value, _: f"Close date moved later by {days_in_words(*value[2:])}, from {_span(*value[:2])}",
    "entered": _entered_words,
    "segment": lambda value, _: f"Segment {value or 'empty'}",
    "product": lambda value, _: f"Product {value or 'empty'}",
    "owner_team": lambda value, _: "Owner in the team today" if value else "Owner in no team today",
    "late": lambda *_: "Open and past the close date",
}


def link(label: str, query: dict[str, str]) -> None:
    """A link to the deals page with these parameters."""
    navigation.link("deals", label, {name: value for name, value in query.items() if value != ""})

"""The numbers of a plan document: found by walking it, named in words, and written back one by one.

A number is named by its path, in which components go by their ids: ``component[new-business].tiers[1].rate``.  Its
value is whole: parts per million, minor units of the plan's currency, millionths, or a count.
"""

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from engine.calc.model import MICRO, MONEY_MEASURES, PPM
from engine.errors import QuotaPathError
from engine.money import currency_digits, format_money, format_rate, parse_money, parse_number, parse_rate
from engine.plans import words

# What a number counts: a rate, share or edge in % (ppm), "1.5x" (ppm), money (minor units), a factor or a number of
# units (millionths), days, months or periods.
Unit = Literal["percent", "multiple", "money", "number", "whole"]

# Rates step by a tenth of a percent, edges and shares by one percent.
_RATE_STEP, _PERCENT_STEP, _MULTIPLE_STEP = PPM // 1000, PPM // 100, PPM // 20
_TOP_OF_SHARE = PPM


@dataclass(frozen=True)
class PlanNumber:
    """A number of a plan: where it stands, what it is about, and the whole ``value`` in its ``unit``.

    ``component`` is the label of the component it belongs to, "" for the whole plan.  ``step`` is the least change
    worth trying, ``most`` the largest value that the plan language takes (None: any).  ``is_edge`` tells where a tier,
    point or milestone begins; ``when_paid`` that it decides when money is paid, not how much is earned.
    """

    path: str
    component: str
    label: str
    unit: Unit
    value: int
    step: int
    currency: str
    most: int | None = None
    is_edge: bool = False
    when_paid: bool = False

    def text(self, value: int | None = None) -> str:
        """The value (or another one) as it is read: ``8%``, ``1.5x``, ``10,000.00``, ``180``."""
        value = self.value if value is None else value
        if self.unit == "percent":
            return format_rate(value)
        if self.unit == "money":
            return words.money(value, self.currency)
        if self.unit == "whole":
            return f"{value:,}"
        return words.number(value) + ("x" if self.unit == "multiple" else "")

    def written(self, value: int) -> str | int:
        """The value as a document has it, fit for JSON and for TOML."""
        if self.unit == "percent":
            return format_rate(value)
        if self.unit == "multiple":
            return f"{_plain(value)}x"
        if self.unit == "whole":
            return value
        text = format_money(value, self.currency) if self.unit == "money" else _plain(value)
        whole, _, decimals = text.partition(".")
        return text if decimals.strip("0") else int(whole)


def _plain(micro: int) -> str:
    text = f"{Decimal(micro) / MICRO:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def numbers(document: Mapping[str, Any]) -> tuple[PlanNumber, ...]:
    """Every number of a document that can be changed by itself, in the order of the document.

    What cannot be read as a number is left out: the plan language says what is wrong with it.
    """
    currency = document.get("currency")
    try:
        currency_digits(str(currency))
    except QuotaPathError:
        return ()
    found: list[PlanNumber] = []
    for component in document.get("component", ()):
        if isinstance(component, Mapping) and isinstance(component.get("id"), str):
            found += _Walk(str(currency), component).all()
    found += _of_the_plan(document, str(currency))
    return tuple(found)


class _Walk:
    """The numbers of one component."""

    def __init__(self, currency: str, component: Mapping[str, Any]) -> None:
        self.currency, self.component = currency, component
        self.name = str(component.get("label") or component["id"])
        self.start = f"component[{component['id']}]"
        measure = component.get("measure", "amount")
        self.in_money = measure in MONEY_MEASURES
        self.above_100 = component.get("allow_rate_above_100") is True

    def all(self) -> Iterator[PlanNumber]:
        component = self.component
        yield from self._rate("rate", "Rate", component.get("rate"))
        yield from self._money("amount", "Amount for a deal", component.get("amount"))
        yield from self._rows("tiers", self._tier)
        yield from self._rows("points", self._point)
        yield from self._rows("steps", self._step)
        yield from self._measured("quota", "Default quota", component.get("quota"))
        base = component.get("base_rate")
        if isinstance(base, Mapping):
            yield from self._money("base_rate.target_pay", "Target pay", base.get("target_pay"))
            yield from self._share("base_rate.weight", "Weight of the target pay", base.get("weight"))
        else:
            yield from self._rate("base_rate", "Base rate", base)
        gate = component.get("gate")
        at, where = (gate.get("at_least"), "gate.at_least") if isinstance(gate, Mapping) else (gate, "gate")
        other = f" of {gate['component']}" if isinstance(gate, Mapping) and gate.get("component") else ""
        yield from self._percent(where, f"Gate: attainment{other} needed", at, _PERCENT_STEP)
        for key, label in (("min", "Least for a deal"), ("max", "Most for a deal")):
            yield from self._money(f"per_deal.{key}", label, _inside(component, "per_deal", key))
        yield from self._money("cap.amount", "Cap", _inside(component, "cap", "amount"))
        for place, row in enumerate(_rows(component, "multipliers")):
            yield from self._number(f"multipliers[{place}].factor", f"Multiplier {place + 1}", row.get("factor"))
            yield from self._filter(f"multipliers[{place}].when", row.get("when"))
        yield from self._filter("when", component.get("when"))

    # -- rows ---------------------------------------------------------------------------------------

    def _rows(self, key: str, each: Any) -> Iterator[PlanNumber]:
        rows = _rows(self.component, key)
        for place, row in enumerate(rows):
            yield from each(f"{key}[{place}]", place, row)

    def _tier(self, path: str, place: int, row: Mapping[str, Any]) -> Iterator[PlanNumber]:
        if place:  # the first one begins at 0 and must
            yield from self._edge(f"{path}.from", f"Tier {place + 1} begins at", row.get("from"))
        above = f" from {_shown(row.get('from'))}" if place else ""
        yield from self._rate(f"{path}.rate", f"Tier {place + 1}: rate{above}", row.get("rate"))
        yield from self._money(f"{path}.amount", f"Tier {place + 1}: amount a unit{above}", row.get("amount"))

    def _point(self, path: str, place: int, row: Mapping[str, Any]) -> Iterator[PlanNumber]:
        if place:
            yield from self._edge(f"{path}.at", f"Point {place + 1} at", row.get("at"))
        label = f"Point {place + 1} pays"
        if _is_percent(row.get("pays")):
            yield from self._percent(f"{path}.pays", label, row.get("pays"), _PERCENT_STEP)
        else:
            yield from self._money(f"{path}.pays", label, row.get("pays"))

    def _step(self, path: str, place: int, row: Mapping[str, Any]) -> Iterator[PlanNumber]:
        yield from self._edge(f"{path}.at", f"Milestone {place + 1} at", row.get("at"))
        yield from self._money(f"{path}.pays", f"Milestone {place + 1} pays", row.get("pays"))

    # -- single figures -----------------------------------------------------------------------------

    def _rate(self, key: str, label: str, value: Any) -> Iterator[PlanNumber]:
        if isinstance(value, str) and value.rstrip().endswith("x"):
            yield from self._made(key, label, "multiple", lambda: parse_number(value.rstrip()[:-1]), _MULTIPLE_STEP)
        else:
            most = None if self.above_100 else PPM
            yield from self._percent(key, label, value, _RATE_STEP, most)

    def _percent(self, key: str, label: str, value: Any, step: int, most: int | None = None) -> Iterator[PlanNumber]:
        yield from self._made(key, label, "percent", lambda: parse_rate(_exact(value)), step, most)

    def _share(self, key: str, label: str, value: Any) -> Iterator[PlanNumber]:
        yield from self._percent(key, label, value, _PERCENT_STEP, _TOP_OF_SHARE)

    def _edge(self, key: str, label: str, value: Any) -> Iterator[PlanNumber]:
        if _is_percent(value):
            read, step = (lambda: parse_rate(_exact(value))), _PERCENT_STEP
            yield from self._made(key, label, "percent", read, step, is_edge=True)
        else:
            yield from self._measured(key, label, value, is_edge=True)

    def _money(self, key: str, label: str, value: Any, is_edge: bool = False) -> Iterator[PlanNumber]:
        def read() -> int:
            return parse_money(_exact(value), self.currency)

        yield from self._made(key, label, "money", read, None, is_edge=is_edge)

    def _measured(self, key: str, label: str, value: Any, is_edge: bool = False) -> Iterator[PlanNumber]:
        if self.in_money:
            yield from self._money(key, label, value, is_edge)
        else:
            yield from self._number(key, label, value, is_edge)

    def _number(self, key: str, label: str, value: Any, is_edge: bool = False) -> Iterator[PlanNumber]:
        yield from self._made(key, label, "number", lambda: parse_number(_exact(value)), None, is_edge=is_edge)

    def _filter(self, path: str, when: Any) -> Iterator[PlanNumber]:
        """Limits of a filter that are numbers: ``amount`` at least 25,000."""
        for field, tests in when.items() if isinstance(when, Mapping) else ():
            for test, value in tests.items() if isinstance(tests, Mapping) else ():
                if test in words.RANGES and test != "not" and re.fullmatch(r"\w+", field):
                    label = f"{field.replace('_', ' ').capitalize()} {words.RANGES[test].removeprefix('is ')}"
                    key = f"{path}.{field}.{test}"
                    if field in ("amount", "margin"):
                        yield from self._money(key, label, value)
                    else:
                        yield from self._number(key, label, value)

    def _made(
        self,
        key: str,
        label: str,
        unit: Unit,
        read: Any,
        step: int | None,
        most: int | None = None,
        is_edge: bool = False,
    ) -> Iterator[PlanNumber]:
        try:
            value = read()
        except QuotaPathError:
            return
        yield PlanNumber(
            f"{self.start}.{key}",
            self.name,
            label,
            unit,
            value,
            step or _round_step(value, 10 ** currency_digits(self.currency) if unit == "money" else MICRO),
            self.currency,
            most,
            is_edge,
        )


def _of_the_plan(document: Mapping[str, Any], currency: str) -> Iterator[PlanNumber]:
    """The numbers of the draw, the clawback and of when money is paid."""
    walk = _Walk(currency, {"id": "", "label": ""})
    whole = (("periods", "Draw: pay periods"), ("recover_from", "Draw: first pay period that repays"))
    found = [
        *walk._money("draw.amount", "Draw", _inside(document, "draw", "amount")),
        *walk._share(
            "draw.recover", "Draw: part of what is above it that repays", _inside(document, "draw", "recover")
        ),
        *(number for key, label in whole for number in _count(f"draw.{key}", label, _inside(document, "draw", key))),
        *_count("clawback.within_days", "Clawback: within days", _inside(document, "clawback", "within_days")),
        *walk._share("clawback.share", "Clawback: part taken back", _inside(document, "clawback", "share")),
    ]
    schedule = _inside(document, "payable", "schedule")
    for place, row in enumerate(schedule if isinstance(schedule, list) else ()):
        if isinstance(row, Mapping):
            path = f"payable.schedule[{place}]"
            found += _count(f"{path}.months", f"Payment {place + 1}: months later", row.get("months"))
            found += walk._share(f"{path}.share", f"Payment {place + 1}: share", row.get("share"))
    for number in found:
        path = number.path.removeprefix("component[].")
        yield PlanNumber(
            path, "", number.label, number.unit, number.value, number.step, currency, number.most, False,
            path.startswith("payable"),
        )  # fmt: skip


def _count(path: str, label: str, value: Any) -> list[PlanNumber]:
    if isinstance(value, bool) or not isinstance(value, int):
        return []
    step = 30 if value >= 90 else 1
    return [PlanNumber(path, "", label, "whole", value, step, "")]


def _rows(table: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    rows = table.get(key)
    if not isinstance(rows, list):
        return []
    return [row if isinstance(row, Mapping) else {} for row in rows]


def _inside(table: Mapping[str, Any], key: str, inner: str) -> Any:
    found = table.get(key)
    return found.get(inner) if isinstance(found, Mapping) else None


def _is_percent(value: Any) -> bool:
    return isinstance(value, str) and value.rstrip().endswith("%")


def _shown(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | Decimal) else str(value)


def _exact(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise QuotaPathError("not a number")
    return value


def _round_step(value: int, unit: int) -> int:
    """About a hundredth of a figure: 1, 5, 10, 50 ... of its unit, and a hundredth of a unit for what is small."""
    step = max(1, unit // 100)
    for times in (5, 2):
        if abs(value) >= unit * 3 and step < unit:
            step *= times
    if abs(value) >= unit * 3:
        step = unit
    while step * 100 < abs(value):
        step *= 5 if str(step)[0] == "1" else 2
    return step


# --- changing a document --------------------------------------------------------------------------------

_PART = re.compile(r"(\w+)(?:\[([^\]]*)\])?")
_PATH = re.compile(rf"{_PART.pattern}(?:\.{_PART.pattern})*")


class NoSuchPlace(QuotaPathError):
    """The document has no such path."""


def change(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of ``document`` with the values of ``changes``, by path; None removes what stands there.

    A path one past the end of a list adds a row.  Raises `NoSuchPlace` for a path that leads nowhere.
    """
    changed: dict[str, Any] = copy.deepcopy(dict(document))
    removed = [path for path, value in changes.items() if value is None]
    # What holds others comes first; rows leave from the last to the first.
    for path in sorted(changes.keys() - removed, key=_order):
        _put(changed, path, copy.deepcopy(changes[path]))
    for path in sorted(removed, key=_order, reverse=True):
        _put(changed, path, None)
    return changed


def _order(path: str) -> list[tuple[str, int, str]]:
    return [(name, int(place) if place.isdigit() else -1, place) for name, place in _steps(path)]


def _steps(path: str) -> list[tuple[str, str]]:
    """``component[nb].tiers[1].rate`` as (name, place) pairs; a component's id may have dots of its own."""
    if not _PATH.fullmatch(path):
        raise NoSuchPlace(f"{path!r} is no path of a plan. Write it as component[id].tiers[1].rate.")
    return [(match[1], match[2] or "") for match in _PART.finditer(path)]


def _put(document: dict[str, Any], path: str, value: Any) -> None:
    steps = _steps(path)
    table: Any = document
    for name, place in steps[:-1]:
        if not isinstance(table, dict):
            raise _nowhere(path)
        if not place and name not in table:
            table[name] = {}
        table = table.get(name)
        if place:
            table = _row(table, place, path)
    name, place = steps[-1]
    if not isinstance(table, dict):
        raise _nowhere(path)
    if not place:
        if value is None:
            table.pop(name, None)
        else:
            table[name] = value
        return
    rows = table.setdefault(name, [])
    at = int(place) if place.isdigit() else -1
    if not isinstance(rows, list) or not 0 <= at <= len(rows) or (value is None and at == len(rows)):
        raise _nowhere(path)
    if value is None:
        del rows[at]
    elif at == len(rows):
        rows.append(value)
    else:
        rows[at] = value


def _row(rows: Any, place: str, path: str) -> Any:
    if isinstance(rows, list):
        if rows and isinstance(rows[0], Mapping) and "kind" in rows[0]:
            found = next((row for row in rows if row.get("id") == place), None)
        else:
            found = rows[int(place)] if place.isdigit() and int(place) < len(rows) else None
        if found is not None:
            return found
    raise _nowhere(path)


def _nowhere(path: str) -> NoSuchPlace:
    return NoSuchPlace(f"The plan has nothing at {path}. It may have been changed since; begin the variant anew.")

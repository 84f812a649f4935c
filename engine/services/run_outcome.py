"""What a run keeps of a calculation: each person's lines, figures and digest, one person after the other.

A person's part depends on the calculation and on what closed periods have posted for that person, and on nobody else's
part; so a run for some people is a choice of parts.  Lines are written as the text that COPY takes, and the digest is
the SHA-256 over that text and the figures: equal digests, equal lines, byte for byte, on any interpreter and machine.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from engine.analytics import inputs
from engine.analytics.inputs import Inputs
from engine.calc.model import MICRO, MONEY_MEASURES, Assignment, Component, Plan
from engine.calc.payout import needs_quota
from engine.calc.quotas import Quotas
from engine.calc.result import Result, Row, period_code
from engine.calc.tree import Tree
from engine.db import pay
from engine.db.bulk import escaped, to_json
from engine.money import currency_digits, round_ratio
from engine.periods import Period, parse_period, period_of
from engine.plans.versions import version_at

NULL = "\\N"  # as COPY's text has it
NOTHING = hashlib.sha256().digest()  # the digest of whoever has no line and no figure but 0

Figures = tuple[int, str, int, int, int]  # user id, currency, earned, drawn, draw balance; in cents


@dataclass(frozen=True)
class Before:
    """What stood before the run: the ledger's last entry, and what closed periods have come to.

    `adjusted` are those whose changes this run posts (all or none), with what was posted for them line by line for
    each person, and `owed` what all closed periods have come to for each person.
    """

    ledger_seen: int
    adjusted: Sequence[str]
    posted: Mapping[int, Mapping[pay.PostedKey, tuple[int, int]]]
    owed: Mapping[tuple[int, str], int]


def before(conn: sa.Connection, wanted: Period) -> Before:
    """What stands before a run of `wanted`."""
    closed = pay.closed_periods(conn, wanted.kind)
    # One open period posts the changes, else two open ones would show the same money twice.
    adjusts = bool(closed) and parse_period(closed[-1]).next() == wanted
    posted: dict[int, dict[pay.PostedKey, tuple[int, int]]] = defaultdict(dict)
    for key, value in (pay.posted(conn, closed) if adjusts else {}).items():
        posted[key[1]][key] = value
    return Before(
        pay.last_entry(conn, wanted.kind),
        closed if adjusts else (),
        posted,
        pay.owed(conn, wanted.kind) if adjusts else {},
    )


@dataclass(frozen=True)
class Part:
    """A person's part of a run; `lines` are COPY's text without the person and the run (`engine.db.runs`)."""

    user_id: int
    code: str
    lines: Sequence[str]
    figures: Sequence[Figures]
    versions: Collection[int]

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 over lines and figures; `NOTHING` for whoever has neither."""
        found = hashlib.sha256()
        if self.lines:
            found.update(("\n".join(self.lines) + "\n").encode())
        for figures in self.figures:
            if any(figures[2:]):
                found.update(to_json(figures[1:]))
        return found.digest()


@dataclass
class _Now:
    """What a component and deal of a closed period come to now, and the plan version that says so."""

    cents: int = 0
    version_id: int = 0


class Outcome:
    """The parts of everyone in a calculated book, or of the `people` (user ids) alone."""

    def __init__(
        self, wanted: Period, loaded: Inputs, result: Result, before: Before, people: Collection[int] | None = None
    ) -> None:
        self.wanted, self.loaded, self.result, self.before = wanted, loaded, result, before
        self.users = dict(zip(loaded.book.people, loaded.user_ids.tolist(), strict=True))
        self._people = None if people is None else frozenset(people)

    def wants(self, user_id: int) -> bool:
        """Whether a person is in scope."""
        return self._people is None or user_id in self._people

    def parts(self) -> Iterator[Part]:
        """Everybody's part, in the order of the employee codes; nobody's lines are held beside those of the next."""
        blocks = self._blocks
        for place, (code, user_id) in enumerate(self.users.items()):
            if not self.wants(user_id):
                continue
            own, closed = blocks.get(place, ([], []))
            earned: dict[str, int] = defaultdict(int)
            versions: set[int] = set()
            lines = [*self._own(own, earned, versions), *self._adjusted(user_id, closed, earned, versions)]
            figures = self._figures(code, user_id, earned)
            if lines or figures:
                yield Part(user_id, code, lines, figures, versions)

    @cached_property
    def _blocks(self) -> dict[int, tuple[list[int], list[int]]]:
        """By person: the places of the blocks of the period itself, and of the closed ones that are adjusted."""
        own = period_code(self.wanted)
        closed = {period_code(parse_period(name)) for name in self.before.adjusted}
        found: dict[int, tuple[list[int], list[int]]] = {}
        numbers, width, at = self.result.blocks.numbers, len(Row._fields), Row._fields.index
        for place, (person, code) in enumerate(
            zip(numbers[at("person") :: width], numbers[at("period") :: width], strict=True)
        ):
            if code == own or code in closed:
                found.setdefault(person, ([], []))[code != own].append(place)
        return found

    def _version(self, plan: str, version: int) -> tuple[int, str]:
        """The id of a plan version, and its currency."""
        return self.loaded.versions[plan][version], self.loaded.book.plans[plan][version].currency

    def _own(self, places: Sequence[int], earned: dict[str, int], versions: set[int]) -> Iterator[str]:
        name, ids = self.wanted.name, self.loaded.book.ids
        for place in places:
            block = self.result.blocks[place]
            version_id, currency = self._version(block.plan, block.version)
            kind = "clawed_back" if block.kind == "clawback" else "earned"
            head, middle, tail = f"{version_id}\t{block.component}\t", f"\t{kind}\t{name}\t{name}\t", f"\t{currency}\t"
            for row, cents, working in self.result.workings(place):
                if "\\" in working:
                    working = escaped(working)
                yield f"{head}{ids[row] if row >= 0 else NULL}{middle}{cents}{tail}{working}"
            earned[currency] += block.cents
            versions.add(version_id)

    def _adjusted(
        self, user_id: int, places: Sequence[int], earned: dict[str, int], versions: set[int]
    ) -> Iterator[str]:
        """What closed periods have come to since they were posted, as lines of the open one."""
        posted = self.before.posted.get(user_id, {})
        if not places and not posted:
            return
        now: dict[pay.PostedKey, _Now] = defaultdict(_Now)
        for place in places:
            block = self.result.blocks[place]
            version_id, currency = self._version(block.plan, block.version)
            rows, cents = (self.result.columns[name].part(block.first, block.size) for name in ("deal", "cents"))
            for row, amount in zip(rows, cents, strict=True):
                entry = now[block.period, user_id, block.component, self._deal(row), currency]
                entry.cents += amount
                entry.version_id = version_id

        def order(key: pay.PostedKey) -> tuple[str, str, int, str]:
            return key[0], key[2], key[3] or 0, key[4]

        def was(key: pay.PostedKey) -> int:
            return posted.get(key, (0, 0))[0]

        changed = [key for key in now.keys() | posted.keys() if now.get(key, _Now()).cents != was(key)]
        workings = self._workings(user_id, places, changed)
        for key in sorted(changed, key=order):
            origin, _, component, deal_id, currency = key
            found, (_, version_then) = now.get(key, _Now()), posted.get(key, (0, 0))
            version_id, difference = found.version_id or version_then, found.cents - was(key)
            working = {"kind": "adjustment", "was": was(key), "now": found.cents, "lines": workings.get(key, [])}
            deal = NULL if deal_id is None else deal_id
            yield (
                f"{version_id}\t{component}\t{deal}\tadjusted\t{self.wanted.name}\t{origin}\t{difference}\t{currency}\t"
                + escaped(to_json(working).decode())
            )
            earned[currency] += difference
            versions.add(version_id)

    def _deal(self, row: int) -> int | None:
        return int(self.loaded.deal_ids[row]) if row >= 0 else None

    def _workings(
        self, user_id: int, places: Sequence[int], wanted: Collection[pay.PostedKey]
    ) -> dict[pay.PostedKey, list[dict[str, Any]]]:
        """The workings of the lines of some keys."""
        keys = set(wanted)
        found: dict[pay.PostedKey, list[dict[str, Any]]] = defaultdict(list)
        for place in places if keys else ():
            block = self.result.blocks[place]
            _, currency = self._version(block.plan, block.version)
            for row, cents, working in self.result.workings(place):
                key = block.period, user_id, block.component, self._deal(row), currency
                if key in keys:
                    found[key].append({**json.loads(working), "cents": cents})
        return found

    # -- figures ------------------------------------------------------------------------------------------

    def _figures(self, code: str, user_id: int, earned: Mapping[str, int]) -> list[Figures]:
        """Earned, drawn and draw balance, in cents."""
        currency = self._pay.currencies.get(code)
        if currency is None:
            return []
        cents = earned.get(currency, 0)
        # Due in all, less what closed periods came to, less this run's lines: what the draw adds or takes.
        drawn = self._pay.due.get(code, 0) - self.before.owed.get((user_id, currency), 0) - cents
        balance = self._pay.balance.get(code, 0)
        if code not in self._pay.on_plan and code not in self._pay.balance and not cents and not drawn:
            return []
        return [(user_id, currency, cents, drawn, balance)]

    @cached_property
    def _pay(self) -> "_Pay":
        posting = {*self.before.adjusted, self.wanted.name}
        found = _Pay(inputs.pay_currencies(self.loaded.book), _on_plan(self.wanted, self.loaded))
        for row in self.result.pay:
            if row.period in posting:
                found.due[row.person] += row.paid
            if row.period == self.wanted.name:
                found.balance[row.person] = row.draw_balance or 0
        return found

    def attainment(self) -> list[tuple[int, str, str, str, str]]:
        """Credit and quota, in units, of the quota periods that hold the pay period; rounded for screens only.

        Whoever has a quota and no credit yet is listed with none.
        """
        return [row for row in _attainment(self.wanted, self.result, self.users) if self.wants(row[0])]


@dataclass
class _Pay:
    """By employee code: the currency of pay, who is on a plan in the period, and cents of the calculation's pay."""

    currencies: Mapping[str, str]
    on_plan: Collection[str]
    due: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    balance: dict[str, int] = field(default_factory=dict)


def hash_of(parts: Sequence[tuple[str, bytes]]) -> bytes:
    """The hash of a run: SHA-256 over its people's digests, (employee code, digest) in order of code."""
    found = hashlib.sha256()
    for code, digest in parts:
        found.update(to_json(code) + digest)
    return found.digest()


def same(one: Mapping[int, bytes], other: Mapping[int, bytes]) -> bool:
    """Whether digests by user id say the same of everyone; whoever is missing has nothing."""
    return not differing(one, other)


def differing(one: Mapping[int, bytes], other: Mapping[int, bytes]) -> list[int]:
    """The users whose digests differ."""
    return sorted(user for user in one.keys() | other.keys() if one.get(user, NOTHING) != other.get(user, NOTHING))


# --- attainment -------------------------------------------------------------------------------------


def _covers(row: Assignment, period: Period) -> bool:
    """Whether the assignment holds on some day of the period."""
    return (row.start is None or row.start < period.end) and (row.end is None or row.end > period.start)


def _on_plan(wanted: Period, loaded: Inputs) -> set[str]:
    """Who is on a plan that pays the period, on some day of it: they are listed even when they earned nothing."""
    return {
        row.person
        for row in loaded.book.assignments
        if _covers(row, wanted)
        and any(plan.pay_period == wanted.kind for plan in loaded.book.plans.get(row.plan or "", ()))
    }


def _attainment(wanted: Period, result: Result, users: Mapping[str, int]) -> Iterator[tuple[int, str, str, str, str]]:
    """Credit and quota, in units, of the quota periods that hold the pay period; rounded for screens only.

    Whoever has a quota and no credit yet is listed with none.
    """
    yield from _begun(wanted, result, users)
    begun = {(row.person, row.component, row.period) for row in result.attainment}
    book = result.book
    quotas = Quotas(book, Tree(book))
    place = {person: code for code, person in enumerate(book.people)}
    listed = set()
    for row in book.assignments:
        versions = book.plans.get(row.plan or "", ())
        if not versions or not _covers(row, wanted) or versions[0].effective_from >= wanted.end:
            continue
        plan = version_at(versions, wanted.end - 1)
        for component in plan.components:
            period = period_of(component.quota_period, wanted.start)
            key = row.person, component.id, period.name
            quota = quotas.of(place[row.person], plan, component, period) if needs_quota(component) else None
            if quota is not None and key not in begun and key not in listed:
                listed.add(key)
                yield (
                    users[row.person],
                    component.id,
                    period.name,
                    "0",
                    _decimal(quota.prorated / _parts(plan, component)),
                )


def _parts(plan: Plan, component: Component) -> int:
    """How many of the parts that the rules count in make a unit of the component's measure."""
    return 10 ** currency_digits(plan.currency) if component.measure in MONEY_MEASURES else MICRO


def _begun(wanted: Period, result: Result, users: Mapping[str, int]) -> Iterator[tuple[int, str, str, str, str]]:
    quotas = {
        (block.person, block.plan, block.component, block.quota_period): (block.quota, block.version)
        for block in result.blocks
        if block.quota is not None
    }
    place = {person: code for code, person in enumerate(result.book.people)}
    for row in result.attainment:
        period = parse_period(row.period)
        quota, version = quotas.get((place[row.person], row.plan, row.component, row.period), (None, 0))
        if quota is None or not period.start <= wanted.start < period.end:
            continue
        plan = result.book.plans[row.plan][version]
        units = Fraction(*quota) / _parts(plan, next(part for part in plan.components if part.id == row.component))
        credit = units * row.credit / row.quota
        yield users[row.person], row.component, row.period, _decimal(credit), _decimal(units)


def _decimal(value: Fraction) -> str:
    """Decimal text with six places."""
    micro = round_ratio(value.numerator * MICRO, value.denominator)
    return f"{'-' if micro < 0 else ''}{abs(micro) // MICRO}.{abs(micro) % MICRO:06d}"

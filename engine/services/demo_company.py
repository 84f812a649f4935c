"""The demo company as records: the same for the same day, written by no clock and no database.

What is particular to the company stands in ``data/demo``; this module makes its history from it: who sold
what to whom, and through which stages each deal went.  Figures here are invented, so floats do no harm;
money leaves as whole cents.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from math import exp, sqrt
from random import Random
from typing import Any

from engine.periods import Period, add_months, months_between, period_of
from engine.settings import ROOT

FOLDER = ROOT / "data" / "demo"
HISTORY = 6  # full quarters of history before the running one
AHEAD = 2  # quarters of open pipeline after the running one

OPEN_STAGES = ("Prospecting", "Qualification", "Proposal", "Negotiation")
WON, LOST = "Closed Won", "Closed Lost"

_DATE = re.compile(r"\b\d{4}-\d\d-\d\d\b")
_TYPES = {"New": (55, 1.0, 0.0), "Expansion": (27, 0.7, 0.08), "Renewal": (18, 0.5, 0.5)}  # weight, size, win rate +
_RAMP = (0.35, 0.55, 0.8)  # of a full rep's deals, in the first months
_PIPELINE = (0.75, 0.65, 0.5, 0.38, 0.28, 0.2, 0.15, 0.1, 0.08)  # of a month's deals already seen, by months ahead
_SPLITS = ((600_000, 400_000), (700_000, 300_000), (500_000, 500_000))


@dataclass(frozen=True)
class Person:
    name: str
    role: str
    hired_on: date
    left_on: date | None = None

    @property
    def code(self) -> str:
        """The person id of plans and statements: ana.torres."""
        return self.name.lower().replace(" ", ".")

    @property
    def email(self) -> str:
        """Where mail would go, if the company were real."""
        return f"{self.code}@northwind.example"


@dataclass(frozen=True)
class Span:
    """Someone in a team, or leading it, in ``[start, end)``; ``plan`` is what they are paid by."""

    person: str
    team: str
    plan: str
    start: date
    end: date | None
    skill: float = 1.0

    def on(self, day: date) -> bool:
        """Whether the span holds the day."""
        return self.start <= day and (self.end is None or day < self.end)


@dataclass(frozen=True)
class Team:
    name: str
    parent: str | None
    segment: str | None
    leads_quota: float
    leads: tuple[Span, ...]
    reps: tuple[Span, ...]


@dataclass(frozen=True)
class Quota:
    person: str
    period: Period
    cents: int


@dataclass(frozen=True)
class Activity:
    kind: str
    subject: str
    at: datetime


@dataclass(frozen=True)
class Deal:
    """A deal with the way it came: ``stages`` in order, the last one is where it stands."""

    name: str
    account: str
    owner: str
    amount: int  # cents
    margin: int  # cents
    close_date: date
    type: str
    product: str
    segment: str
    stages: tuple[tuple[str, datetime], ...]
    quantity: int | None = None
    term_months: int | None = None
    cancelled_on: date | None = None
    credits: tuple[tuple[str, int], ...] = ()  # ppm; empty: all to the owner
    activities: tuple[Activity, ...] = ()


class DemoCompany:
    """Northwind Robotics as it stands on ``today``."""

    def __init__(self, today: date) -> None:
        self.today = today
        self.running = period_of("quarter", today.toordinal())
        raw = (FOLDER / "company.toml").read_text(encoding="utf-8")
        written_for: date = tomllib.loads(raw)["running_quarter"]
        self._shift = months_between(written_for.toordinal(), self.running.start)
        self._data: dict[str, Any] = tomllib.loads(self._moved(raw))
        self.name: str = self._data["name"]
        self.currency: str = self._data["currency"]
        self.start = date.fromordinal(add_months(self.running.start, -3 * HISTORY))

    def _moved(self, text: str) -> str:
        """The text with every date moved by the whole quarters between the written and the running one."""

        def move(match: re.Match[str]) -> str:
            day = date.fromisoformat(match.group()).toordinal()
            return date.fromordinal(add_months(day, self._shift)).isoformat()

        return _DATE.sub(move, text)

    def plans(self) -> Iterator[tuple[str, str]]:
        """(title, document) of every plan version, the versions of a plan in order."""
        for path in sorted((FOLDER / "plans").glob("*.toml")):
            title = self._data["plan_titles"][path.stem.rpartition("-")[0]]
            yield title, self._moved(path.read_text(encoding="utf-8"))

    @cached_property
    def teams(self) -> tuple[Team, ...]:
        """The teams, parents first, each with its leads and people over time."""

        def spans(rows: Sequence[Mapping[str, Any]], team: str, plan: str) -> tuple[Span, ...]:
            return tuple(
                Span(row["name"], team, plan, row["from"], row.get("until"), row.get("skill", 1.0)) for row in rows
            )

        return tuple(
            Team(
                row["name"],
                row.get("parent"),
                row.get("segment"),
                row.get("leads_quota", 1.0),
                spans(row["leads"], row["name"], row["leads_plan"]),
                spans(row.get("reps", ()), row["name"], row.get("plan", "")),
            )
            for row in self._data["team"]
        )

    @cached_property
    def people(self) -> tuple[Person, ...]:
        """Everyone, the admin first."""
        founded = min(span.start for team in self.teams for span in team.leads)
        found = [Person(self._data["admin"], "admin", founded), Person(self._data["finance"], "finance", founded)]
        for role in ("manager", "rep"):
            spans = [span for team in self.teams for span in (team.leads if role == "manager" else team.reps)]
            for name in dict.fromkeys(span.person for span in spans):
                own = [span for span in spans if span.person == name]
                left = None if any(span.end is None for span in own) else max(span.end for span in own if span.end)
                found.append(Person(name, role, min(span.start for span in own), left))
        return tuple(found)

    @cached_property
    def quotas(self) -> tuple[Quota, ...]:
        """A quota for each quarter up to the next one: lower while someone is new; a manager's from the team's."""
        found: list[Quota] = []
        quarter = period_of("quarter", self.start.toordinal())
        while quarter.start <= self.running.end:
            company = 0
            for team in self.teams[1:]:
                own = {
                    span.person: self._rep_quota(span, team, quarter)
                    for span in team.reps
                    if span.start <= quarter.last_day and (span.end is None or span.end > quarter.first_day)
                }
                found += [Quota(person, quarter, cents) for person, cents in own.items()]
                leads_quota = _rounded(team.leads_quota * sum(own.values()))
                found += [Quota(lead.person, quarter, leads_quota) for lead in team.leads if lead.on(quarter.first_day)]
                company += leads_quota
            found.append(Quota(self.teams[0].leads[0].person, quarter, _rounded(0.95 * company)))
            quarter = quarter.next()
        return tuple(found)

    def _rep_quota(self, span: Span, team: Team, quarter: Period) -> int:
        hired = min(other.start for t in self.teams for other in t.reps if other.person == span.person)
        months = (quarter.end - hired.toordinal()) / 30.4
        ramp = 0.35 if months < 2.5 else 0.6 if months < 4 else 0.85 if months < 7 else 1.0
        base = self._data["segment"][team.segment]["quota"]
        base *= self._growth(quarter.first_day, "quota_growth_a_year")
        return _rounded(base * ramp * 100)

    def _growth(self, day: date, rate: str = "growth_a_year") -> float:
        return float((1 + self._data[rate]) ** ((day - self.start).days / 365.25))

    # ------------------------------------------------------------------------------------------- deals

    @cached_property
    def deals(self) -> tuple[Deal, ...]:
        """Every deal: history first by the day it was created, as a CRM would number them."""
        chance = Random("Northwind Robotics")  # noqa: S311  invented sales, not a secret
        names = [f"{a} {b}" for a in self._data["accounts"]["first"] for b in self._data["accounts"]["second"]]
        chance.shuffle(names)
        found: list[Deal] = []
        for team in self.teams[1:]:
            for span in team.reps:
                settings = self._data["segment"][team.segment]
                seller = _Seller(self, span, team, settings, names[: settings["accounts"]], chance)
                del names[: settings["accounts"]]
                found += seller.closed()
                if span.on(self.today):
                    found += seller.open()
        found += list(_refunds(found, self.today, chance))
        return tuple(sorted(found, key=lambda deal: (deal.stages[0][1], deal.name, deal.owner)))

    def colleague(self, person: str, day: date, chance: Random) -> str | None:
        """Someone else in the person's team on that day."""
        for team in self.teams:
            there = [span.person for span in team.reps if span.on(day)]
            if person in there and len(there) > 1:
                return chance.choice([name for name in there if name != person])
        return None


class _Seller:
    """One person in one team: the accounts they own and the deals they make of them."""

    def __init__(
        self,
        company: DemoCompany,
        span: Span,
        team: Team,
        settings: Mapping[str, Any],
        accounts: Sequence[str],
        chance: Random,
    ) -> None:
        self.company, self.span, self.segment, self.settings = company, span, team.segment or "", settings
        self.chance = chance
        self.data = company._data
        old = len(accounts) // 4
        self.customers = list(accounts[:old])
        self.prospects = list(accounts[old:])

    def closed(self) -> Iterator[Deal]:
        """What was won and lost from the start of the history, or of the span, until today."""
        first = max(self.company.start, self.span.start)
        last = min(self.company.today, self.span.end or self.company.today)
        month = period_of("month", first.toordinal())
        while month.first_day <= last:
            days = sorted(self._close_day(month) for _ in range(self._how_many(month)))
            for day in days:
                if self.span.on(day) and self.company.start <= day <= self.company.today:
                    yield self._closed_deal(day)
            month = month.next()

    def open(self) -> Iterator[Deal]:
        """What is open today and should close until the end of the pipeline; a few are overdue."""
        today = self.company.today
        month = period_of("month", today.toordinal())
        until = add_months(self.company.running.end, 3 * AHEAD)
        for seen in _PIPELINE:
            if month.start >= until:
                break
            for _ in range(round(self._how_many(month) * seen)):
                day = self._close_day(month)
                if day <= today:
                    if self.chance.random() > 0.12:
                        continue
                    day = today - timedelta(days=self.chance.randint(1, 16))
                if (day - today).days > 1.5 * self.settings["cycle_days"][1]:
                    continue  # a quick sale is not in sight months before
                yield self._open_deal(day)
            month = month.next()

    def _how_many(self, month: Period) -> int:
        tenure = months_between(min(self.span.start.toordinal(), month.start), month.start)
        ramp = _RAMP[tenure] if self.span.start > self.company.start and tenure < len(_RAMP) else 1.0
        mean = self.settings["deals_a_month"] * self.data["season"][month.first_day.month - 1] * ramp
        mean *= self.company._growth(month.first_day) ** 0.5  # the other half of growth is in the amounts
        return max(0, round(self.chance.gauss(mean, 0.55 * sqrt(mean))))

    def _close_day(self, month: Period) -> date:
        """A working day, more often late in the month."""
        day = month.first_day + timedelta(days=int(self.chance.random() ** 0.65 * month.days))
        if day.weekday() > 4:
            day += timedelta(days=7 - day.weekday() if day.day <= 2 else 4 - day.weekday())
        return day

    def _deal(self, close: date, opened: datetime, stages: tuple[tuple[str, datetime], ...]) -> Deal:
        kind = self.chance.choices(list(_TYPES), [weight for weight, _, _ in _TYPES.values()])[0]
        if kind == "New" and not self.prospects:
            kind = "Expansion"
        account = self.chance.choice(self.prospects if kind == "New" else self.customers)
        products = [product for product in self.data["product"] if product.get(kind.lower())]
        product = self.chance.choices(products, [each[kind.lower()] for each in products])[0]
        size = self.settings["median"] * _TYPES[kind][1] * self.company._growth(close) ** 0.5
        dollars = size * exp(self.chance.gauss(0, self.settings["spread"]))
        quantity = None
        if price := product.get("price"):
            quantity = max(1, round(dollars / price))
            discount = self.chance.choice((0, 0, 5, 8, 10, 12, 15))
            cents = quantity * price * (100 - discount)
        else:
            cents = max(20, round(dollars / 50)) * 5000
        term = self.chance.choice(product["term"]) if "term" in product else None
        suffix = {"New": "", "Expansion": " expansion", "Renewal": " renewal"}[kind]
        return Deal(
            name=f"{account} - {product['name']}{suffix}",
            account=account,
            owner=self.span.person,
            amount=cents,
            margin=round(cents * product["margin"] * self.chance.uniform(0.85, 1.1)),
            close_date=close,
            type=kind,
            product=product["name"],
            segment=self.segment,
            stages=stages,
            quantity=quantity,
            term_months=term,
            activities=self._activities(opened, stages[-1][1]),
        )

    def _closed_deal(self, close: date) -> Deal:
        chance = self.chance
        cycle = chance.randint(*self.settings["cycle_days"])
        ended = _moment(close, chance)
        opened = min(_moment(max(close - timedelta(days=cycle), self.span.start), chance), ended - timedelta(hours=3))
        deal = self._deal(close, opened, ((OPEN_STAGES[0], opened), (WON, ended)))
        won = chance.random() < min(0.93, self.settings["win_rate"] * self.span.skill + _TYPES[deal.type][2])
        passed = len(OPEN_STAGES) if won else chance.choices((1, 2, 3, 4), (3, 4, 4, 2))[0]
        deal = replace(deal, stages=(*_passage(opened, ended, passed, chance), (WON if won else LOST, ended)))
        if not won:
            return deal
        if deal.type == "New":
            self.prospects.remove(deal.account)
            self.customers.append(deal.account)
            if chance.random() < 0.015:
                cancelled = close + timedelta(days=chance.randint(20, 150))
                deal = replace(deal, cancelled_on=cancelled if cancelled <= self.company.today else None)
        if self.segment != "Commercial" and chance.random() < 0.05:
            other = self.company.colleague(deal.owner, close, chance)
            if other is not None:
                mine, theirs = chance.choice(_SPLITS)
                deal = replace(deal, credits=((deal.owner, mine), (other, theirs)))
        return deal

    def _open_deal(self, close: date) -> Deal:
        chance, today = self.chance, self.company.today
        cycle = max(chance.randint(*self.settings["cycle_days"]), 6)
        left = (close - today).days
        progress = max(0.0, 1 - left / cycle) + chance.uniform(-0.12, 0.12)
        passed = 4 if progress > 0.8 else 3 if progress > 0.5 else 2 if progress > 0.2 else 1
        age = max(1, round(cycle * min(1.0, max(progress, 0.08))), -left)
        now = datetime.combine(today, time(8), UTC)
        opened = min(_moment(max(today - timedelta(days=age), self.span.start), chance), now - timedelta(hours=3))
        return self._deal(close, opened, tuple(_passage(opened, now, passed, chance)))

    def _activities(self, opened: datetime, ended: datetime) -> tuple[Activity, ...]:
        """What was done between the two moments; more work lies in bigger segments."""
        chance, kinds = self.chance, self.data["activities"]
        found = []
        for _ in range(min(8, int(chance.expovariate(1 / self.settings["activities"])))):
            kind = chance.choice(tuple(kinds))
            at = opened + (ended - opened) * chance.random()
            found.append(Activity(kind, chance.choice(kinds[kind]), at.replace(microsecond=0)))
        return tuple(sorted(found, key=lambda activity: activity.at))


def _passage(opened: datetime, ended: datetime, passed: int, chance: Random) -> Iterator[tuple[str, datetime]]:
    """The first `passed` open stages with the moments they were entered, all before `ended`."""
    cuts = sorted(chance.random() * 0.92 for _ in range(passed - 1))
    for stage, cut in zip(OPEN_STAGES, [0.0, *cuts], strict=False):
        yield stage, (opened + (ended - opened) * cut).replace(microsecond=0)


def _moment(day: date, chance: Random) -> datetime:
    """A moment of the working day."""
    return datetime.combine(day, time(8 + chance.randrange(9), chance.randrange(60)), UTC)


def _refunds(deals: Sequence[Deal], today: date, chance: Random) -> Iterator[Deal]:
    """A few won deals are paid back in part or whole, as a negative deal of its own."""
    for deal in deals:
        if deal.stages[-1][0] != WON or deal.cancelled_on or chance.random() > 0.012:
            continue
        day = deal.close_date + timedelta(days=chance.randint(12, 75))
        if day > today:
            continue
        part = chance.choice((10, 15, 20, 25, 100))
        at = _moment(day, chance)
        yield replace(
            deal,
            name=f"Refund: {deal.name}",
            amount=-deal.amount * part // 100,
            margin=-deal.margin * part // 100,
            close_date=day,
            stages=((WON, at),),
            quantity=None,
            activities=(),
        )


def _rounded(cents: float) -> int:
    """To the next 5,000.00, as quotas are given."""
    return max(500_000, round(cents / 500_000) * 500_000)

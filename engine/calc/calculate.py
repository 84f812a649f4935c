"""From a book to what everyone earns.

`calculate` does it all here and now; a worker keeps a `Desk` with a loaded book and calculates the people
it is asked for, and `combine` puts such parts together.
"""

from array import array
from bisect import bisect_left
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from math import gcd
from typing import Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from engine.calc.account import Account, Gated, Lines
from engine.calc.book import FOREVER, INT64, Book, fields_used
from engine.calc.credits import Credited, Credits, inside
from engine.calc.model import PPM, Assignment, Component, Plan, QuotaRow
from engine.calc.payout import Quota
from engine.calc.quotas import Figures, Quotas
from engine.calc.result import LINE_COLUMNS, MORE_COLUMNS, Blocks, Chunk, Column, Finding, Result, as_array
from engine.calc.settle import AT_ONCE, by_period, claw_back, due, pay_periods
from engine.calc.tree import Span, Tree, within
from engine.errors import Problem, QuotaPathError, given
from engine.money import LARGEST
from engine.periods import Period, period_of

# More problems than anyone reads; a column that is missing altogether would give one for each deal.
MOST_FINDINGS = 1000


class CalculationError(QuotaPathError):
    """A rule failed on an input: a fault of ours, told with the person and component it struck."""


class Part(NamedTuple):
    """What was calculated for some people; see `Result`."""

    blocks: Blocks
    columns: Mapping[str, Chunk]
    pay: "array[int]"
    payments: "array[int]"
    findings: List[Finding]


def calculate(book: Book) -> Result:
    """Lines, attainment, pay and payments of everyone in the book.

    Problems in the data (a missing quota or measure, a deal before the first version, no exchange rate)
    come back in `Result.problems`, and then nothing else does.  Raises `CalculationError` when a rule
    fails, which names the person and the component.
    """
    return combine(book, [Desk(book).run(range(len(book.people)))])


def combine(book: Book, parts: Iterable[Part]) -> Result:
    """One result out of parts, in their order."""
    blocks, pay, payments = Blocks(), array(INT64), array(INT64)
    chunks: Dict[str, List[Chunk]] = {name: [] for name in LINE_COLUMNS + MORE_COLUMNS}
    findings: Dict[Tuple[int, str], Finding] = {}
    first = more = 0
    for part in parts:
        blocks.extend(part.blocks, first, more)
        for name, column in part.columns.items():
            chunks[name].append(column)
        first += len(part.columns.get("deal", ()))
        more += len(part.columns.get("limited", ()))
        pay.extend(as_array(part.pay))
        payments.extend(as_array(part.payments))
        for finding in part.findings:
            findings.setdefault((finding.row, finding.path), finding)
    if findings:
        return Result(book, problems=problems_of(book, findings.values()))
    columns = {name: Column(parts_of) for name, parts_of in chunks.items()}
    return Result(book, blocks, columns, pay, payments)


def problems_of(book: Book, findings: Iterable[Finding]) -> Tuple[Problem, ...]:
    """Findings in the words of the user, in order."""
    first = sorted(findings, key=lambda finding: finding[:2])[:MOST_FINDINGS]
    return tuple(_problem(book, finding) for finding in first)


def _problem(book: Book, finding: Finding) -> Problem:
    if finding.row < 0:
        return Problem(finding.path, finding.message, finding.remedy)
    place = book.rows[finding.row] if book.rows else finding.row
    name = f"deal {book.ids[finding.row]}: " if book.ids else ""
    return Problem(f"deal[{place}].{finding.path}", name + finding.message, finding.remedy)


class Rules:
    """A component id of a plan as one person is under it: its versions, and the days of each."""

    def __init__(self, person: int, plans: Sequence[Plan], name: str, days: Sequence[Span]) -> None:
        self.person, self.plans, self.id, self.assigned = person, plans, name, days
        self.components: List[Optional[Component]] = [
            next((component for component in plan.components if component.id == name), None) for plan in plans
        ]
        # Days before the first version are asked for as well, so that a deal in them is found out.
        starts = [0] + [plan.effective_from for plan in plans[1:]]
        self.days = [inside(days, start, end) for start, end in zip(starts, [*starts[1:], FOREVER])]

    def versions(self) -> List[Tuple[int, Component]]:
        """The plan versions that have the component, by place."""
        return [(version, component) for version, component in enumerate(self.components) if component]

    @property
    def on_commission(self) -> bool:
        """Whether it waits for the lines of others."""
        return any("commission" in (part.measure, part.pays_on) for _, part in self.versions())

    @property
    def rolls_up(self) -> bool:
        """Whether it credits what others sell."""
        return any(part.credit_from != "own" for _, part in self.versions())


class _Override:
    """An account on commission, fed deal by deal while the lines beneath it come into being."""

    def __init__(self, rules: Rules, account: Account, credited: Dict[int, Credited]) -> None:
        self.rules, self.account, self.credited = rules, account, credited
        self.places = {version: {row: i for i, row in enumerate(part.rows)} for version, part in credited.items()}
        self.below: Dict[int, Dict[int, List[Span]]] = {}  # version: who is credited from, and when


class Desk:
    """A loaded book, and the people calculated from it."""

    def __init__(self, book: Book, loaded: Optional[Credits] = None) -> None:
        self.book = book
        self.credits = loaded or Credits(book)
        known = self.credits.book.assignments
        self.tree = self.credits.tree if book.assignments is known else Tree(book)
        self.quotas = Quotas(book, self.tree)
        self._rules: Dict[int, List[Rules]] = {}
        self._overrides = any(
            "commission" in (component.measure, component.pays_on)
            for versions in book.plans.values()
            for plan in versions
            for component in plan.components
        )
        self._happened: Optional[bytearray] = None
        self._known: Dict[Tuple[int, str, str], Dict[int, Credited]] = {}
        self._plain = all(plan.payable == AT_ONCE for versions in book.plans.values() for plan in versions)

    def run(self, people: Iterable[int]) -> Part:
        """Calculate these people, by their codes."""
        lines = Lines()
        part = self.fold(people, lines)
        lines.trim()
        return part if part.findings else part._replace(columns=lines.columns)

    def brief(self, people: Iterable[int]) -> Part:
        """`run` without lines: what their sums and the pay come to, in less time; see `totals`."""
        return self.fold(people, Lines(brief=True))

    def fold(self, people: Iterable[int], lines: Lines) -> Part:
        """`run`, with the columns left in ``lines``, which may have been used before."""
        wanted = list(people)
        lines.clear()
        if not lines.brief:
            lines.room(sum(map(self.credits.count_of, wanted)))
        pay: List[int] = []
        payments: List[int] = []
        self.credits.forget_findings()
        drafts = self._sweep(wanted) if self._overrides else {}
        brief = lines.brief
        for person in wanted:
            first = lines.count
            # What a cancellation takes back is a part of a line.
            lines.brief = brief and not self.claws_back(person)
            if person in drafts:
                lines.add(drafts[person])
            else:
                self._accounts(person, self.rules(person), lines)
            with _Named(self.book, person):
                self._settle(person, lines, first, pay, payments)
        lines.brief = brief
        if self.credits.findings:
            return Part(Blocks(), {}, array(INT64), array(INT64), self.credits.findings)
        return Part(lines.blocks, {}, array(INT64, pay), array(INT64, payments), self.credits.findings)

    def under(
        self,
        plans: Mapping[str, Tuple[Plan, ...]],
        quotas: Optional[Tuple[QuotaRow, ...]] = None,
        assignments: Optional[Tuple[Assignment, ...]] = None,
    ) -> "Desk":
        """The same people and deals under other versions of some plans, without loading anything again.

        ``quotas`` and ``assignments`` take the place of the book's where they are given; who leads whom stays as
        it is.  Raises QuotaPathError when a plan uses a deal field that the book does not have.
        """
        book = replace(
            self.book,
            plans={**self.book.plans, **plans},
            quotas=self.book.quotas if quotas is None else quotas,
            assignments=self.book.assignments if assignments is None else assignments,
        )
        missing = sorted(fields_used(plans).difference(book.deals.fields))
        if missing:
            raise QuotaPathError(
                f"The changed plan uses {', '.join(missing)}, which the loaded deals lack. Load the deals anew with it."
            )
        return Desk(book, self.credits)

    def claws_back(self, person: int) -> bool:
        """Whether cancellations may take back part of a person's lines."""
        plans = [plan for name in self.tree.plans(person) for plan in self.book.plans[name]]
        return self.book.deals.cancelled is not None and any(plan.clawback is not None for plan in plans)

    def _settle(self, person: int, lines: Lines, first: int, pay: List[int], payments: List[int]) -> None:
        """What follows from a person's lines, of which ``first`` is the first block."""
        book = self.book
        claw_back(book, lines, first)
        earned = by_period(lines, first)
        pay_periods(book, self.tree, person, earned, pay)
        if not lines.brief:
            falls_due = earned if self._plain else due(book, lines, first)
            for code, cents in sorted(falls_due.items()):
                payments += [person, code, cents]

    # -- accounts -----------------------------------------------------------------------------------

    def rules(self, person: int) -> List[Rules]:
        """Every component a person is ever under, in the order of the plans and their documents."""
        if person in self._rules:
            return self._rules[person]
        found = []
        for name in self.tree.plans(person):
            plans, days = self.book.plans[name], self.tree.assigned(person, name)
            ids = dict.fromkeys(component.id for plan in plans for component in plan.components)
            found += [Rules(person, plans, component, days) for component in ids]
        self._rules[person] = found
        return found

    def _accounts(self, person: int, every: Sequence[Rules], lines: Lines) -> None:
        """Write the lines of a person's components that do not wait for anyone's commission."""
        for name in self.tree.plans(person):
            self.credits.check_own(person, self.book.plans[name], self.tree.assigned(person, name))
        for rules in every:
            if rules.on_commission:
                continue
            with _Named(self.book, rules.person, rules):
                credited = self.credited(rules)
                account = self.account(rules, credited, every, lines)
                for version, part in credited.items():
                    account.take(version, part)
                self._finish(rules, account)

    def named(self, rules: Rules) -> "_Named":
        """Tells person and component when a rule fails inside."""
        return _Named(self.book, rules.person, rules)

    @contextmanager
    def only(self, happened: bytearray) -> Iterator[None]:
        """Calculate as if only these deals were there, one byte a deal; what they credit is found once."""
        self._happened = happened
        try:
            yield
        finally:
            self._happened = None

    def credited(self, rules: Rules) -> Dict[int, Credited]:
        """A person's credits by version, all in the same parts."""
        happened = self._happened
        if happened is None:
            return self._credited(rules)
        key = rules.person, rules.plans[0].name, rules.id
        if key not in self._known:
            self._known[key] = self._credited(rules)
        found = {}
        for version, part in self._known[key].items():
            kept = [i for i in range(len(part.rows)) if happened[part.rows[i]]]
            found[version] = part.only(kept)
        return found

    def _credited(self, rules: Rules) -> Dict[int, Credited]:
        credited = {
            version: self.credits.credited(rules.person, rules.plans[version], component, rules.days[version])
            for version, component in rules.versions()
        }
        scale = 1
        for part in credited.values():
            scale = scale * part.scale // gcd(scale, part.scale)
        for version, part in credited.items():
            if part.rows and part.rows[0] >= 0 and rules.rolls_up:
                self.credits.check_dates(part.rows, rules.plans)
            if part.scale != scale:
                times = scale // part.scale
                credited[version] = part._replace(credit=[value * times for value in part.credit], scale=scale)
        return credited

    def account(self, rules: Rules, credited: Dict[int, Credited], every: Sequence[Rules], lines: Lines) -> Account:
        """The running total of a person's component, with nothing in it yet; ``every`` are all of the person's."""
        seen: Dict[str, Dict[int, Credited]] = {}  # credits that a gate looks at

        figures: Dict[int, Figures] = {}

        def quota_of(version: int, period: Period) -> Optional[Quota]:
            if version not in figures:
                component = given(rules.components[version])
                figures[version] = Figures(self.quotas, rules.person, rules.plans[version], component)
            return figures[version].of(period)

        def gate(component: str, day: int) -> Optional[Gated]:
            plan = rules.plans[0].name
            (looked_at,) = [other for other in every if other.id == component and other.plans[0].name == plan]
            if component not in seen:
                seen[component] = self.credited(looked_at)
            return self._attained(looked_at, seen[component], day)

        def factor_of(plan: Plan, period: Period) -> Fraction:
            return Fraction(*self.tree.prorated(rules.person, plan.name, period))

        scale = max(part.scale for part in credited.values())
        return Account(rules.person, rules.plans, rules.components, scale, quota_of, factor_of, gate, lines)

    def _finish(self, rules: Rules, account: Account) -> None:
        account.finish(self.book.horizon)
        for version in sorted(account.missing_quota):
            self._no_quota(rules, version)

    def _no_quota(self, rules: Rules, version: int) -> None:
        plan = rules.plans[version]
        place = [component.id for component in plan.components].index(rules.id)
        self.credits.find(
            -1,
            f"{self.book.plan_path(plan.name, version)}component[{place}].quota",
            f"component {rules.id} needs a quota, and {self.book.people[rules.person]} has none above 0.",
            "Give the component a quota, or the person one of their own.",
        )

    def _attained(self, rules: Rules, credited: Dict[int, Credited], day: int) -> Optional[Gated]:
        """Attainment at the end of the quota period that holds ``day``; None when not assigned in it."""
        (_, first), *_ = rules.versions()
        period = period_of(first.quota_period, day)
        if not inside(rules.assigned, period.start, period.end):
            return None
        credit, last = Fraction(0), None
        for version, part in credited.items():
            low, high = bisect_left(part.days, period.start), bisect_left(part.days, period.end)
            if low < high:
                last = version
                credit += Fraction(sum(part.credit[low:high]), part.scale)
        if last is None:
            return Gated(Fraction(0), Fraction(1))
        component = given(rules.components[last])
        quota = self.quotas.of(rules.person, rules.plans[last], component, period)
        if quota is None:
            self._no_quota(rules, last)
            return None
        return Gated(credit, quota.prorated)

    # -- commission on commission -------------------------------------------------------------------

    def _sweep(self, wanted: Sequence[int]) -> Dict[int, Lines]:
        """Calculate those whose pay depends on other lines, and everyone it depends on.

        The deals are taken one after the other, and on each the people from the bottom of the hierarchy
        in force on its close date upwards, so that every line is there before it is asked for.
        """
        needed = self._needed(wanted)
        drafts: Dict[int, Lines] = {}
        overrides: Dict[int, List[_Override]] = {}
        watchers: Dict[int, Set[int]] = {}  # who has an override on the lines of whom
        earned: Dict[int, Dict[int, int]] = {}  # row: person: cents of the lines so far
        for person in needed:
            every, lines = self.rules(person), Lines()
            drafts[person] = lines
            self._accounts(person, every, lines)
            for i in range(lines.size):
                if lines.deal[i] >= 0:
                    by_person = earned.setdefault(lines.deal[i], {})
                    by_person[person] = by_person.get(person, 0) + lines.cents[i]
            for rules in every:
                if rules.on_commission:
                    override = self._override(rules, every)
                    overrides.setdefault(person, []).append(override)
                    for below in override.below.values():
                        for other in below:
                            watchers.setdefault(other, set()).add(person)
        for row in sorted(earned):
            self._sweep_row(row, earned[row], overrides, watchers)
        for person, mine in overrides.items():
            for override in mine:
                with _Named(self.book, person, override.rules):
                    self._finish(override.rules, override.account)
                drafts[person].add(override.account.lines)
        return drafts

    def _needed(self, wanted: Sequence[int]) -> List[int]:
        """Those of ``wanted`` who are paid on commission, and everyone whose lines that takes."""
        needed: Set[int] = set()
        todo = [person for person in wanted if any(rules.on_commission for rules in self.rules(person))]
        while todo:
            person = todo.pop()
            if person not in needed:
                needed.add(person)
                if any(rules.on_commission and rules.rolls_up for rules in self.rules(person)):
                    todo += self.tree.below(person, True)
        return sorted(needed)

    def _override(self, rules: Rules, every: Sequence[Rules]) -> _Override:
        with _Named(self.book, rules.person, rules):
            credited = self.credited(rules)
            override = _Override(rules, self.account(rules, credited, every, Lines()), credited)
            for version, component in rules.versions():
                if component.credit_from == "own":
                    override.below[version] = {rules.person: [(0, FOREVER)]}
                else:
                    override.below[version] = self.tree.below(rules.person, component.credit_from == "team")
        return override

    def _sweep_row(
        self, row: int, base: Dict[int, int], overrides: Dict[int, List[_Override]], watchers: Dict[int, Set[int]]
    ) -> None:
        day = self.book.deals.close_date[row]
        earned = dict(base)
        waiting = {watcher for person in base for watcher in watchers.get(person, ())}
        done: Set[int] = set()
        while waiting:
            person = max(waiting, key=lambda watcher: (self.tree.depth(watcher, day), watcher))
            waiting.remove(person)
            done.add(person)
            cents = [self._take(override, row, day, base, earned) for override in overrides[person]]
            lines = [line for line in cents if line is not None]
            if lines:
                earned[person] = earned.get(person, 0) + sum(lines)
                waiting |= watchers.get(person, set()) - done

    def _take(
        self, override: _Override, row: int, day: int, base: Dict[int, int], earned: Dict[int, int]
    ) -> Optional[int]:
        """Give an override its credit of a deal; the cents of its line, or None where it has none."""
        rules, account = override.rules, override.account
        for version, component in rules.versions():
            days = inside(rules.days[version], component.window_from, component.window_until)
            if not any(start <= day < end for start, end in days):
                continue
            plan, part = rules.plans[version], override.credited[version]
            lines = base if component.credit_from == "own" else earned
            below = override.below[version]
            sources = [cents for person, cents in lines.items() if within(below, person, day)]
            passed = self.credits.matches(component.when, plan)
            place = override.places[version].get(row)
            measured = component.measure == "commission"
            if not sources or (passed is not None and not passed[row]) or (place is None and not measured):
                continue
            commission = sum(sources)
            credit, money = commission, commission
            share, full, full_money = PPM, commission, commission
            if measured:
                credit *= self.credits.factor(component, plan, row, part.scale)
            elif place is not None:
                credit = part.credit[place]
            if component.pays_on != "commission":
                money = part.money[place] if place is not None else 0
                full_money = part.full_money[place] if place is not None and part.full_money else 0
            if not measured and place is not None and part.full:
                share, full = part.share[place], part.full[place]
            with _Named(self.book, rules.person, rules):
                before = account.lines.size
                taken = part._replace(
                    rows=[row],
                    days=[day],
                    credit=[credit],
                    money=[money],
                    share=[share],
                    full=[full],
                    full_money=[full_money],
                )
                account.take(version, taken)
                return account.lines.cents[account.lines.size - 1] if account.lines.size > before else None
        return None


class _Named:
    """Tells whose component it was when a rule fails."""

    def __init__(self, book: Book, person: int, rules: Optional[Rules] = None) -> None:
        self.book, self.person, self.rules = book, person, rules

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: Optional[BaseException], trace: object) -> None:
        if not isinstance(error, Exception) or isinstance(error, (QuotaPathError, MemoryError)):
            return
        name, rules = self.book.people[self.person], self.rules
        what = "The pay" if rules is None else f"Component {rules.id} of plan {rules.plans[0].name}"
        if isinstance(error, OverflowError):
            raise CalculationError(
                f"{what} comes, for {name}, to more than {LARGEST:,}, the largest number that is kept. "
                "Look for a deal amount, quantity or rate that cannot be meant."
            ) from error
        raise CalculationError(
            f"{what} could not be calculated for {name}: {type(error).__name__}: {error}. "
            "This is a fault of the program; please report it with the plan and the deals."
        ) from error

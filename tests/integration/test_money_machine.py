"""Random sequences of edits, runs, locks, approvals, payments in parts and reversals against a ledger on paper."""

import calendar
import random
import uuid
from collections import Counter, defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from engine.errors import QuotaPathError
from engine.services import adjustments, approvals, payables, payouts, runs
from engine.services.adjustments import NewAdjustment
from engine.services.recalculation import recalculate
from engine.services.run_scope import Scope
from engine.workers.pool import Pool
from tests.databases import Databases
from tests.integration.paying import PLAN, Company

MONTHS = ("2026-01", "2026-02", "2026-03")
REPS = ("ana", "bo")
QUOTA = 100_000  # dollars of the quarter; 8% below it, 12% above
# Reps are paid as customers pay, half of it a month later; their manager at once.
PAYABLE = """
[payable]
on = "invoice_paid"
schedule = [{ months = 0, share = "50%" }, { months = 1, share = "50%" }]
"""
LAST = {"2026-01": date(2026, 1, 31), "2026-02": date(2026, 2, 28), "2026-03": date(2026, 3, 31)}


def month_later(day: date) -> date:
    year, month = (day.year, day.month + 1) if day.month < 12 else (day.year + 1, 1)
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


Key = tuple[str, str, str]  # month, person, deal


@dataclass
class Kept:
    """A run on paper: what the month's own deals earn, what has changed in closed months, and what it knew."""

    own: dict[Key, int]
    changes: dict[Key, int]
    approvals: int
    workings: dict[Key, tuple[int, ...]]  # what each line says beside its cents

    def part(self, people: set[str]) -> "Kept":
        """What it says of some people."""
        own, changes, workings = (
            {key: value for key, value in part.items() if key[1] in people}
            for part in (self.own, self.changes, self.workings)
        )
        return Kept(own, changes, self.approvals, workings)  # type: ignore[arg-type]


@dataclass
class Paper:
    """The naive model: every amount in cents, every list as one would write it down."""

    deals: dict[str, tuple[str, str, int]] = field(default_factory=dict)  # owner, day, dollars
    kept: dict[str, Kept] = field(default_factory=dict)
    given: dict[str, list[tuple[str, int]]] = field(default_factory=lambda: defaultdict(list))
    posted: Counter[Key] = field(default_factory=Counter)
    owed: Counter[str] = field(default_factory=Counter)
    closed: list[str] = field(default_factory=list)
    posts: int = 0  # approvals that posted a line
    due: dict[str, dict[str, int]] = field(default_factory=dict)  # month -> person -> cents of its payout
    open: dict[str, dict[str, int]] = field(default_factory=dict)  # what of it is neither paid nor released
    paid: dict[str, list[tuple[str, int]]] = field(default_factory=dict)  # its payments that were not taken back
    begun: set[str] = field(default_factory=set)  # something of it was paid, or nothing was due and it is marked
    customers: list[tuple[str, date, int]] = field(default_factory=list)  # deal, day, cents
    looked: date = date(2026, 1, 1)  # the day of the latest look at what is payable

    def earned(self) -> dict[Key, int]:
        """What every deal earns everybody, in its month."""
        found: dict[Key, int] = {}
        for rep in REPS:
            sold = 0
            own = [(day, name, dollars) for name, (owner, day, dollars) in self.deals.items() if owner == rep]
            for day, name, dollars in sorted(own):
                below = max(0, min(dollars, QUOTA - sold))
                found[day[:7], rep, name] = below * 8 + (dollars - below) * 12
                found[day[:7], "mia", name] = dollars
                sold += dollars
        return found

    def workings(self) -> dict[Key, tuple[int, ...]]:
        """Of every line the deal's dollars, and what the person was credited with before: in the quarter for a rep,
        in the month for the manager."""
        found: dict[Key, tuple[int, ...]] = {}
        for who, names in (("ana", ("ana",)), ("bo", ("bo",)), ("mia", REPS)):
            credited: Counter[str] = Counter()
            own = [(day, name, dollars) for name, (owner, day, dollars) in self.deals.items() if owner in names]
            for day, name, dollars in sorted(own):
                span = day[:7] if who == "mia" else ""
                found[day[:7], who, name] = dollars, credited[span]
                credited[span] += dollars
        return found

    def now(self, month: str) -> Kept:
        """What a run for everyone would keep now."""
        now = self.earned()
        own = {key: cents for key, cents in now.items() if key[0] == month and cents}
        changes: dict[Key, int] = {}
        closed = sorted(self.closed)
        if closed and MONTHS.index(month) == MONTHS.index(closed[-1]) + 1:
            for key in now.keys() | self.posted.keys():
                if key[0] in closed and now.get(key, 0) != self.posted[key]:
                    changes[key] = now.get(key, 0) - self.posted[key]
        workings = {
            key: (*said, now[key], self.posted[key] * (key in changes))
            for key, said in self.workings().items()
            if key[0] == month or key in changes
        }
        return Kept(own, changes, self.posts, workings)

    def run(self, month: str, people: set[str] | None = None) -> None:
        now, kept = self.now(month), self.kept.get(month)
        if people is None:
            self.kept[month] = now
            return
        new, old = now.part(people), Kept({}, {}, self.posts, {})
        if kept is not None:
            old = kept.part({*REPS, "mia"} - people)
        self.kept[month] = Kept(
            new.own | old.own, new.changes | old.changes, min(old.approvals, self.posts), new.workings | old.workings
        )

    def is_fresh(self, month: str) -> bool:
        """Whether the run that is kept says what a run would say now."""
        return month in self.kept and self.kept[month] == self.now(month)

    def lock(self, month: str) -> None:
        run = self.kept[month]
        for entries in (run.own, run.changes):
            for key, cents in entries.items():
                self.posted[key] += cents
                self.owed[key[1]] += cents
        self.posts += bool(run.own or run.changes)
        for person, cents in self.given[month]:
            self.owed[person] += cents
        self.closed.append(month)
        self.looked = max(self.looked, LAST[month])

    def held(self) -> Counter[str]:
        """What of everything posted is not payable on the day of the look."""
        found: Counter[str] = Counter()
        for (_, person, name), cents in self.posted.items():
            if person in REPS:
                _, day, dollars = self.deals[name]
                payable = sum(
                    part for due, part in self.parts(name, date.fromisoformat(day), dollars * 100, cents) if due
                )
                found[person] += cents - payable
        return +found

    def parts(self, name: str, day: date, amount: int, cents: int) -> list[tuple[bool, int]]:
        """(is it due, cents) of the parts of a line; what waits for the customer is in none."""
        paid_parts: list[tuple[date, int]] = []
        if amount <= 0:
            paid_parts = [(day, cents)]
        paid = done = 0
        for _, paid_on, dollars in sorted((one for one in self.customers if one[0] == name), key=lambda one: one[1]):
            if amount > 0 and paid_on <= self.looked:
                paid += dollars
                so_far = (2 * cents * min(paid, amount) + amount) // (2 * amount)
                paid_parts.append((paid_on, so_far - done))
                done = so_far
        found = []
        for paid_on, part in paid_parts:
            found.append((paid_on <= self.looked, part - part // 2))
            found.append((month_later(paid_on) <= self.looked, part // 2))
        return found

    def waiting(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for people in self.open.values():
            found.update(people)
        return found

    def approve(self, month: str) -> None:
        self.looked = max(self.looked, LAST[month])
        free = Counter(self.owed)
        free.subtract(self.waiting())
        free.subtract(self.held())
        self.due[month] = {who: cents for who, cents in free.items() if cents > 0}
        self.open[month] = dict(self.due[month])
        self.paid[month] = []

    def pay(self, month: str, part: dict[str, int] | None = None) -> None:
        for who, cents in (part or dict(self.open[month])).items():
            self.owed[who] -= cents
            self.paid[month].append((who, cents))
            self._take(month, who, cents)
            self.begun.add(month)
        if not self.due[month]:
            self.begun.add(month)

    def release(self, month: str, part: dict[str, int]) -> None:
        for who, cents in part.items():
            self._take(month, who, cents)

    def _take(self, month: str, who: str, cents: int) -> None:
        self.open[month][who] -= cents
        if not self.open[month][who]:
            del self.open[month][who]

    def reverse(self, month: str, people: set[str]) -> int:
        back = [one for one in self.paid[month] if one[0] in people]
        self.paid[month] = [one for one in self.paid[month] if one[0] not in people]
        for who, cents in back:
            self.owed[who] += cents
        return len({who for who, _ in back})


class Money(RuleBasedStateMachine):
    """The real services on one side, the paper on the other."""

    databases: Databases
    pool: Pool

    @initialize()
    def open_company(self) -> None:
        self.until_the_end = ExitStack()
        url = self.until_the_end.enter_context(self.databases.one())
        self.company = Company(url, PLAN + PAYABLE)
        self.until_the_end.callback(self.company.db.close)
        self.ada = self.company.actors["ada"]
        self.ids: dict[str, int] = {}
        self.made: list[tuple[int, str, tuple[str, int]]] = []
        self.frozen: dict[str, str] = {}
        self.paper = Paper()
        self.looks = (0, 0)

    def teardown(self) -> None:
        if hasattr(self, "company"):
            self.until_the_end.close()

    # -- what people do ---------------------------------------------------------------------------------

    @rule(owner=st.sampled_from(REPS), month=st.sampled_from(MONTHS), day=st.integers(10, 28), size=st.integers(1, 90))
    def sell(self, owner: str, month: str, day: int, size: int) -> None:
        name = f"D{len(self.ids):03d}"
        self.ids[name] = self.company.deal(name, owner, f"{month}-{day}", size * 1_000)
        self.paper.deals[name] = owner, f"{month}-{day}", size * 1_000

    @precondition(lambda self: self.ids)
    @rule(pick=st.randoms(use_true_random=False), size=st.integers(0, 90), owner=st.sampled_from(REPS))
    def edit(self, pick, size: int, owner: str) -> None:
        name = pick.choice(sorted(self.ids))
        self.company.change(self.ids[name], amount=size * 100_000, owner_id=self.company.users[owner])
        self.paper.deals[name] = owner, self.paper.deals[name][1], size * 1_000

    @rule(month=st.sampled_from(MONTHS))
    def run(self, month: str) -> None:
        if month in self.paper.closed:
            with pytest.raises(QuotaPathError, match="never moves"):
                runs.run_period(self.company.db, self.pool, self.ada, month)
            return
        runs.run_period(self.company.db, self.pool, self.ada, month)
        self.paper.run(month)

    @rule(month=st.sampled_from(MONTHS), who=st.sets(st.sampled_from((*REPS, "mia")), min_size=1))
    def run_some(self, month: str, who: set[str]) -> None:
        scope = Scope(people=tuple(self.company.users[code] for code in sorted(who)))
        if month in self.paper.closed:
            with pytest.raises(QuotaPathError, match="never moves"):
                runs.run_period(self.company.db, self.pool, self.ada, month, scope=scope)
            return
        runs.run_period(self.company.db, self.pool, self.ada, month, scope=scope)
        self.paper.run(month, who)

    @rule(months=st.sets(st.sampled_from(MONTHS), min_size=1))
    def recalculate(self, months: set[str]) -> None:
        if months & set(self.paper.closed):
            with pytest.raises(QuotaPathError, match="never moves"):
                recalculate(self.company.db, self.pool, self.ada, sorted(months))
            return
        done = recalculate(self.company.db, self.pool, self.ada, sorted(months))
        assert set(done.unchanged) == {month for month in months if self.paper.is_fresh(month)}
        for month in done.kept:
            self.paper.run(month)

    @rule(
        month=st.sampled_from(MONTHS), who=st.sampled_from((*REPS, "fay")), dollars=st.integers(-500, 500).filter(bool)
    )
    def give(self, month: str, who: str, dollars: int) -> None:
        new = NewAdjustment(str(uuid.uuid4()), self.company.users[who], "bonus", dollars * 100, "Because")
        if month in self.paper.closed:
            with pytest.raises(QuotaPathError, match="never moves"):
                adjustments.add_adjustment(self.company.db, self.ada, month, new)
            return
        made = [adjustments.add_adjustment(self.company.db, self.ada, month, new) for _ in range(2)]
        assert made[0] == made[1]
        self.paper.given[month].append((who, dollars * 100))
        self.made.append((made[0], month, (who, dollars * 100)))

    @precondition(lambda self: self.made)
    @rule(pick=st.randoms(use_true_random=False))
    def withdraw(self, pick) -> None:
        made, month, entry = self.made.pop(pick.randrange(len(self.made)))
        if month in self.paper.closed:
            with pytest.raises(QuotaPathError, match="never moves"):
                adjustments.withdraw_adjustment(self.company.db, self.ada, made)
            return
        adjustments.withdraw_adjustment(self.company.db, self.ada, made)
        self.paper.given[month].remove(entry)

    @precondition(lambda self: self.ids)
    @rule(pick=st.randoms(use_true_random=False), later=st.integers(0, 45), size=st.integers(1, 90))
    def customer_pays(self, pick, later: int, size: int) -> None:
        name = pick.choice(sorted(self.ids))
        day = date.fromisoformat(self.paper.deals[name][1]) + timedelta(days=later)
        request = str(uuid.uuid4())
        for _ in range(2):
            payables.record_customer_payment(
                self.company.db, self.ada, self.ids[name], request, day, size * 100_000, date(2026, 12, 31)
            )
        self.paper.customers.append((name, day, size * 100_000))

    @rule(
        month=st.sampled_from(MONTHS),
        run_first=st.sampled_from((True, True, True, False)),
        step=st.sampled_from((payouts.lock_amounts, payouts.approve_period, payouts.approve_period)),
    )
    def approve(self, month: str, run_first: bool, step=payouts.approve_period) -> None:
        if run_first and month not in self.paper.closed:
            self.run(month)
        if month not in self.paper.closed and not self.paper.is_fresh(month):
            with pytest.raises(QuotaPathError, match="has not been calculated|again, then approve"):
                step(self.company.db, self.ada, month, pool=self.pool)
            return
        step(self.company.db, self.ada, month, pool=self.pool)
        if month not in self.paper.closed:
            self.paper.lock(month)
            self.frozen[month] = self._closed_lines()[month]
        if step is payouts.approve_period and month not in self.paper.due:
            self.paper.approve(month)

    @rule(month=st.sampled_from((MONTHS[0], *MONTHS)))
    def pay(self, month: str) -> None:
        if month not in self.paper.due:
            with pytest.raises(QuotaPathError, match="not approved yet"):
                payouts.mark_paid(self.company.db, self.ada, month)
            return
        payouts.mark_paid(self.company.db, self.ada, month)
        self.paper.pay(month)

    @precondition(lambda self: self.paper.due)
    @rule(pick=st.randoms(use_true_random=False), percent=st.integers(1, 110), what=st.sampled_from(("pay", "release")))
    def part(self, pick, percent: int, what: str) -> None:
        """A part of what is open to one person is paid or released; the same request again does nothing."""
        month = pick.choice(sorted(self.paper.due))
        who = pick.choice(sorted(self.paper.due[month]) or ["fay"])
        cents = max(1, self.paper.open[month].get(who, 0) * percent // 100)
        seen = payouts.payout_state(self.company.db, self.ada, month).moved
        part = payouts.Part(str(uuid.uuid4()), seen, {(self.company.users[who], "USD"): cents})

        def act() -> None:
            if what == "pay":
                payouts.mark_paid(self.company.db, self.ada, month, part)
            else:
                payouts.release(self.company.db, self.ada, month, part, "Not now")

        if cents > self.paper.open[month].get(who, 0):
            with pytest.raises(QuotaPathError, match="Nothing is open|that are open"):
                act()
            return
        act()
        act()
        getattr(self.paper, what)(month, {who: cents})

    @rule(month=st.sampled_from((MONTHS[0], *MONTHS)), pick=st.randoms(use_true_random=False), everyone=st.booleans())
    def reverse(self, month: str, pick, everyone: bool) -> None:
        due = sorted(self.paper.due.get(month, {}))
        people = set(due) if everyone else {pick.choice([*due, *due, "fay"])}
        ids = {self.company.users[who] for who in people}
        if month not in self.paper.begun or not people <= set(due):
            with pytest.raises(QuotaPathError, match="not approved yet|not marked as paid|paid nothing to"):
                payouts.reverse_payout(self.company.db, self.ada, month, "Bank", ids)
            return
        done = payouts.reverse_payout(self.company.db, self.ada, month, "Bank", None if everyone else ids)
        assert done == self.paper.reverse(month, people)

    @precondition(lambda self: len(self.paper.closed) < len(MONTHS))
    @rule(pay=st.booleans(), gift=st.booleans(), take_back=st.booleans())
    def month_end(self, pay: bool, gift: bool, take_back: bool) -> None:
        """What most months are, so that most sequences get to their end."""
        month = next(month for month in MONTHS if month not in self.paper.closed)
        self.sell("ana", month, 10, 20)
        pick = random.Random(len(self.ids))  # noqa: S311 - any choice does
        self.customer_pays(pick, 5, 15)
        if gift:
            self.give(month, "bo", 50)
        self.approve(month, run_first=True)
        if take_back and self.paper.open.get(month):
            self.part(pick, 50, "release")
        if pay:
            self.pay(month)
        if pay and take_back:
            self.reverse(month, pick, everyone=False)

    # -- what must hold ---------------------------------------------------------------------------------

    @invariant()
    def balances_and_payouts_agree(self) -> None:
        if not hasattr(self, "company"):
            return
        code_of = {user: code for code, user in self.company.users.items()}
        with self.company.db.read() as conn:
            rows = conn.execute(sa.text("SELECT user_id, CAST(sum(amount) AS bigint) FROM ledger GROUP BY user_id"))
            balances = {code_of[user]: cents for user, cents in rows if cents}
            items = conn.execute(
                sa.text("""
                    SELECT o.period, i.user_id, i.amount, i.amount - i.paid - i.released
                      FROM payout_items i JOIN payouts o ON o.id = i.payout_id
                """)
            )
            due: dict[str, dict[str, int]] = {month: {} for month in self.paper.due}
            open_: dict[str, dict[str, int]] = {month: {} for month in self.paper.due}
            for month, user, cents, left in items:
                due[month][code_of[user]] = cents
                if left:
                    open_[month][code_of[user]] = left
            held = conn.execute(
                sa.text("""
                    SELECT user_id, CAST(sum(amount) AS bigint) FROM held_amounts
                     WHERE eligibility_id = (SELECT max(id) FROM eligibility WHERE run_id IS NULL) GROUP BY user_id
                """)
            )
            deferred = {code_of[user]: cents for user, cents in held}
        assert balances == {who: cents for who, cents in self.paper.owed.items() if cents}
        assert due == self.paper.due
        assert open_ == self.paper.open
        if self.looks != (looks := (len(self.paper.closed), len(self.paper.due))):
            assert deferred == self.paper.held()  # it was looked at just now, and is kept as it was
            self.looks = looks
        waiting = self.paper.waiting()
        owing = approvals.overpaid(self.company.db, self.ada)
        assert dict(zip(owing["code"], owing["owes"], strict=True)) == {
            who: waiting[who] - cents for who, cents in self.paper.owed.items() if cents < waiting[who]
        }
        assert owing["since"].notna().all()

    @invariant()
    def closed_months_never_move(self) -> None:
        if hasattr(self, "company"):
            assert self._closed_lines() == self.frozen

    def _closed_lines(self) -> dict[str, str]:
        """Every byte of the lines of the closed months, as a hash."""
        query = sa.text("""
            SELECT p.period, coalesce(md5(string_agg(CAST(l AS text), '' ORDER BY l.id)), '') AS lines
              FROM pay_periods p LEFT JOIN lines l ON l.run_id = p.run_id WHERE p.status <> 'open' GROUP BY p.period
        """)
        with self.company.db.read() as conn:
            return {row.period: row.lines for row in conn.execute(query)}


def test_random_sequences_agree_with_the_ledger_on_paper(databases: Databases, pool: Pool) -> None:
    Money.databases, Money.pool = databases, pool
    run_state_machine_as_test(
        Money,
        settings=settings(
            max_examples=25,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.explicit, Phase.reuse, Phase.generate),  # a step takes too long to shrink by trying
            print_blob=True,
        ),
    )

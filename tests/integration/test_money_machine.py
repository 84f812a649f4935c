"""Random sequences of edits, runs, adjustments, approvals, payments and reversals against a ledger kept on paper."""

import random
import uuid
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import psycopg2
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
from engine.services import adjustments, approvals, payouts, runs
from engine.services.adjustments import NewAdjustment
from engine.workers.pool import Pool
from tests.integration.paying import Company, PaperDeal, earned_on_paper

MONTHS = ("2026-01", "2026-02", "2026-03")
REPS = ("ana", "bo")

Key = tuple[str, str, str]  # month, person, deal


@dataclass
class Kept:
    """A run on paper: what the month's own deals earn, what has changed in closed months, and what it knew."""

    own: dict[Key, int]
    changes: dict[Key, int]
    approvals: int
    seen: dict[str, PaperDeal]  # the deals it counted


@dataclass
class Paper:
    """The naive model: every amount in cents, every list as one would write it down."""

    deals: dict[str, PaperDeal] = field(default_factory=dict)
    kept: dict[str, Kept] = field(default_factory=dict)
    given: dict[str, list[tuple[str, int]]] = field(default_factory=lambda: defaultdict(list))
    posted: Counter[Key] = field(default_factory=Counter)
    owed: Counter[str] = field(default_factory=Counter)
    closed: list[str] = field(default_factory=list)
    posts: int = 0  # approvals that posted a line
    due: dict[str, dict[str, int]] = field(default_factory=dict)  # month -> person -> cents of its payout
    unpaid: set[str] = field(default_factory=set)
    taken_back: set[tuple[str, str]] = field(default_factory=set)

    def run(self, month: str) -> None:
        now = earned_on_paper(self.deals)
        own = {key: cents for key, cents in now.items() if key[0] == month and cents}
        changes: dict[Key, int] = {}
        closed = sorted(self.closed)
        if closed and MONTHS.index(month) == MONTHS.index(closed[-1]) + 1:
            for key in now.keys() | self.posted.keys():
                if key[0] in closed and now.get(key, 0) != self.posted[key]:
                    changes[key] = now.get(key, 0) - self.posted[key]
        self.kept[month] = Kept(own, changes, self.posts, self.counted(month))

    def counted(self, month: str) -> dict[str, PaperDeal]:
        """The deals closed up to the end of a month, as they are now."""
        return {name: deal for name, deal in self.deals.items() if deal.day[:7] <= month}

    def approve(self, month: str) -> None:
        run = self.kept[month]
        for entries in (run.own, run.changes):
            for key, cents in entries.items():
                self.posted[key] += cents
                self.owed[key[1]] += cents
        self.posts += bool(run.own or run.changes)
        for person, cents in self.given[month]:
            self.owed[person] += cents
        self.closed.append(month)
        waiting: Counter[str] = Counter()
        for other in self.unpaid:
            waiting.update(self.due[other])
        self.due[month] = {who: cents - waiting[who] for who, cents in self.owed.items() if cents - waiting[who] > 0}
        self.unpaid.add(month)

    def pay(self, month: str) -> None:
        if month in self.unpaid:
            self.unpaid.remove(month)
            self.owed.subtract(self.due[month])

    def reverse(self, month: str, people: set[str]) -> int:
        done = {who for who in people & self.due[month].keys() if (month, who) not in self.taken_back}
        for who in done:
            self.owed[who] += self.due[month][who]
            self.taken_back.add((month, who))
        return len(done)


class Money(RuleBasedStateMachine):
    """The real services on one side, the paper on the other."""

    cluster_url: str
    pool: Pool

    @initialize()
    def open_company(self) -> None:
        self.name = f"machine_{uuid.uuid4().hex}"
        self._cluster(f"CREATE DATABASE {self.name} TEMPLATE {sa.make_url(self.cluster_url).database}")
        url = sa.make_url(self.cluster_url).set(database=self.name)
        self.company = Company(url.render_as_string(hide_password=False))
        self.ada = self.company.actors["ada"]
        self.ids: dict[str, int] = {}
        self.made: list[tuple[int, str, tuple[str, int]]] = []
        self.frozen: dict[str, str] = {}
        self.paper = Paper()

    def teardown(self) -> None:
        if hasattr(self, "company"):
            self.company.db.close()
            self._cluster(f"DROP DATABASE {self.name} WITH (FORCE)")

    def _cluster(self, statement: str) -> None:
        url = sa.make_url(self.cluster_url)
        connection = psycopg2.connect(
            host=url.query["host"], port=url.query["port"], user=url.username, dbname="postgres"
        )
        connection.autocommit = True
        connection.cursor().execute(statement)
        connection.close()

    # -- what people do ---------------------------------------------------------------------------------

    @rule(owner=st.sampled_from(REPS), month=st.sampled_from(MONTHS), day=st.integers(10, 28), size=st.integers(1, 90))
    def sell(self, owner: str, month: str, day: int, size: int) -> None:
        name = f"D{len(self.ids):03d}"
        self.ids[name] = self.company.deal(name, owner, f"{month}-{day}", size * 1_000)
        self.paper.deals[name] = PaperDeal(owner, f"{month}-{day}", size * 1_000)

    @precondition(lambda self: self.ids)
    @rule(pick=st.randoms(use_true_random=False), size=st.integers(0, 90), owner=st.sampled_from(REPS))
    def edit(self, pick, size: int, owner: str) -> None:
        name = pick.choice(sorted(self.ids))
        self.company.change(self.ids[name], amount=size * 100_000, owner_id=self.company.users[owner])
        self.paper.deals[name] = PaperDeal(owner, self.paper.deals[name].day, size * 1_000)

    @rule(month=st.sampled_from(MONTHS))
    def run(self, month: str) -> None:
        if month in self.paper.closed:
            with pytest.raises(QuotaPathError, match="never moves"):
                runs.run_period(self.company.db, self.pool, self.ada, month)
            return
        runs.run_period(self.company.db, self.pool, self.ada, month)
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

    @rule(month=st.sampled_from(MONTHS), run_first=st.sampled_from((True, True, True, False)))
    def approve(self, month: str, run_first: bool) -> None:
        if run_first and month not in self.paper.closed:
            self.run(month)
        run = self.paper.kept.get(month)
        old = run is None or run.approvals != self.paper.posts or run.seen != self.paper.counted(month)
        if month not in self.paper.closed and old:
            with pytest.raises(QuotaPathError, match="has not been calculated|again, then approve"):
                payouts.approve_period(self.company.db, self.ada, month)
            return
        payouts.approve_period(self.company.db, self.ada, month)
        if month not in self.paper.closed:
            self.paper.approve(month)
            self.frozen[month] = self._closed_lines()[month]

    @rule(month=st.sampled_from((MONTHS[0], *MONTHS)))
    def pay(self, month: str) -> None:
        if month not in self.paper.closed:
            with pytest.raises(QuotaPathError, match="not approved yet"):
                payouts.mark_paid(self.company.db, self.ada, month)
            return
        payouts.mark_paid(self.company.db, self.ada, month)
        self.paper.pay(month)

    @rule(month=st.sampled_from((MONTHS[0], *MONTHS)), pick=st.randoms(use_true_random=False), everyone=st.booleans())
    def reverse(self, month: str, pick, everyone: bool) -> None:
        due = sorted(self.paper.due.get(month, {}))
        people = set(due) if everyone else {pick.choice([*due, *due, "fay"])}
        ids = {self.company.users[who] for who in people}
        if month not in self.paper.closed or month in self.paper.unpaid or not people <= set(due):
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
        if gift:
            self.give(month, "bo", 50)
        self.approve(month, run_first=True)
        if pay:
            self.pay(month)
        if pay and take_back:
            self.reverse(month, random.Random(len(self.ids)), everyone=False)  # noqa: S311 - any choice does

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
                sa.text("SELECT o.period, i.user_id, i.amount FROM payout_items i JOIN payouts o ON o.id = i.payout_id")
            )
            due: dict[str, dict[str, int]] = {month: {} for month in self.paper.closed}
            for month, user, cents in items:
                due[month][code_of[user]] = cents
        assert balances == {who: cents for who, cents in self.paper.owed.items() if cents}
        assert due == self.paper.due
        waiting: Counter[str] = Counter()
        for month in self.paper.unpaid:
            waiting.update(self.paper.due[month])
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


def test_random_sequences_agree_with_the_ledger_on_paper(cluster_url: str) -> None:
    with Pool(1) as pool:
        Money.cluster_url, Money.pool = cluster_url, pool
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

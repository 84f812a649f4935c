"""Load the demo company: people, deals, plans and quotas in one transaction, then pay through the real services."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any

import sqlalchemy as sa

from engine.db import audit, setup
from engine.db import deals as deal_rows
from engine.db.bulk import copy_rows
from engine.db.database import Database
from engine.errors import QuotaPathError
from engine.periods import Period, period_of
from engine.plans.canonical import plan_hash
from engine.plans.document import parse_plan
from engine.services import deals, payouts, runs, sign_in
from engine.services.access import Actor
from engine.services.demo_company import WON, Activity, Deal, DemoCompany, Span
from engine.workers.pool import Pool

PASSWORD = "northwind-demo"  # noqa: S105  everyone's in the demo company; shown on its sign-in page
SOURCE = "demo"

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class DemoAccounts:
    """How to sign in to the demo company: one password, and (role, name, e-mail) of everyone who may."""

    password: str
    accounts: tuple[tuple[str, str, str], ...]


def load_demo(db: Database, pool: Pool, today: date, on_progress: Progress | None = None) -> DemoAccounts:
    """Fill an empty database with Northwind Robotics as it stands on `today`.

    The data comes in one transaction; then every month of the history is run, and the months before the
    running quarter are approved and paid.  `on_progress` gets (done, total, what is being done).  Raises
    QuotaPathError when the database holds anything; then nothing was written.
    """
    company = DemoCompany(today)
    months = list(_months(company))
    total = len(months) + 4

    def report(done: int, what: str) -> None:
        if on_progress is not None:
            on_progress(done, total, what)

    with db.write() as conn:
        setup.lock_setup(conn)
        if setup.company(conn) is not None or setup.has_users(conn):
            raise QuotaPathError(
                "The database is not empty, so the demo company was not loaded. "
                "Point DATABASE_URL (or QUOTAPATH_HOME) at an empty one."
            )
        loader = _Loader(conn, company)
        loader.load(report)
        admin = company.people[0]
        actor = Actor(loader.people[admin.name], admin.role, admin.name, admin.email)
    for done, month in enumerate(months, 4):
        report(done, f"Running {month.name}")
        runs.run_period(db, pool, actor, month.name)
        if month.end <= company.running.start:
            payouts.approve_period(db, actor, month.name)
            payouts.mark_paid(db, actor, month.name)
        if month.end == company.running.start:
            _correct_late(db, actor, company, month)
    report(total, "Done")
    return DemoAccounts(
        PASSWORD, tuple((person.role, person.name, person.email) for person in company.people if not person.left_on)
    )


def load_records(db: Database, today: date) -> None:
    """Only the records of the company, into an empty database: nothing is run, and nobody is paid."""
    with db.write() as conn:
        _Loader(conn, DemoCompany(today)).load(lambda _done, _what: None)


def _correct_late(db: Database, actor: Actor, company: DemoCompany, month: Period) -> None:
    """Two amounts of a closed month turn out lower: the next run posts the differences as adjustments."""
    for segment in ("Enterprise", "Mid-Market"):
        deal_id = next(
            number
            for number, deal in enumerate(company.deals, 1)
            if deal.segment == segment and deal.stages[-1][0] == WON and deal.close_date.toordinal() in month
        )
        with db.read(actor) as conn:
            found = deal_rows.find(conn, deal_id)
        if found is None or found.fields.amount is None:
            raise AssertionError(f"deal {deal_id} was loaded with its amount")
        lower = found.fields.amount * 9 // 10
        deals.edit_deal(db, actor, deal_id, found.version, replace(found.fields, amount=lower))


def _months(company: DemoCompany) -> Iterator[Period]:
    """The months of the history, the one that holds today the last."""
    month = period_of("month", company.start.toordinal())
    while month.start <= company.today.toordinal():
        yield month
        month = month.next()


class _Loader:
    """Writes the company's records; ids are given here, in order, and the sequences moved behind them."""

    def __init__(self, conn: sa.Connection, company: DemoCompany) -> None:
        self.conn, self.company = conn, company
        self.people = {person.name: number for number, person in enumerate(company.people, 1)}
        self.teams = {team.name: number for number, team in enumerate(company.teams, 1)}

    def load(self, report: Callable[[int, str], None]) -> None:
        """Everything but runs and payouts."""
        setup.add_company(self.conn, self.company.name, self.company.currency, is_demo=True)
        report(0, "People and teams")
        self._people()
        report(1, "Plans and quotas")
        self._plans()
        report(2, "Deals and activities")
        self._deals()
        report(3, "Statistics")
        self.conn.execute(sa.text("ANALYZE"))
        audit.record(self.conn, None, "demo.load", f"company {self.company.name}", {"day": self.company.today})

    def _copy(self, table: str, columns: str, rows: Iterator[tuple[Any, ...]]) -> None:
        copy_rows(self.conn, table, columns.split(), rows)
        if columns.startswith("id "):
            self.conn.execute(
                sa.text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}")  # noqa: S608
            )

    def _people(self) -> None:
        shared = sign_in.hash_password(PASSWORD)
        self._copy(
            "users",
            "id code name email role password_hash is_active hired_on left_on",
            (
                (self.people[p.name], p.code, p.name, p.email, p.role, shared, p.left_on is None, p.hired_on, p.left_on)
                for p in self.company.people
            ),
        )
        self._copy("teams", "id name", ((number, name) for name, number in self.teams.items()))
        self._copy(
            "team_structure",
            "team_id parent_id manager_id start_date end_date",
            (
                (
                    self.teams[team.name],
                    self.teams.get(team.parent or ""),
                    self.people[lead.person],
                    lead.start,
                    lead.end,
                )
                for team in self.company.teams
                for lead in team.leads
            ),
        )
        self._copy(
            "team_members",
            "team_id user_id start_date end_date",
            (
                (self.teams[span.team], self.people[span.person], span.start, span.end)
                for team in self.company.teams
                for span in team.reps
            ),
        )

    def _plans(self) -> None:
        admin = self.people[self.company.people[0].name]
        titles: dict[str, str] = {}
        versions = []
        for title, document in self.company.plans():
            plan = parse_plan(document)
            titles[plan.name] = title
            versions.append((plan.name, date.fromordinal(plan.effective_from), document, plan_hash(plan)))
        plans = {name: number for number, name in enumerate(titles, 1)}
        self._copy("plans", "id name title", ((number, name, titles[name]) for name, number in plans.items()))
        self._copy(
            "plan_versions",
            "plan_id effective_from document hash status created_by created_at published_by published_at",
            (
                (plans[name], start, document, f"\\x{digest}", "published", admin, *_weeks_before(start, admin))
                for name, start, document, digest in versions
            ),
        )
        first_days = {name: min(start for other, start, *_ in versions if other == name) for name in plans}
        self._copy(
            "plan_assignments",
            "user_id plan_id start_date end_date",
            (
                (self.people[span.person], plans[span.plan], max(span.start, first_days[span.plan]), span.end)
                for span in self._spans()
            ),
        )
        self._copy(
            "quotas",
            "user_id period start_date end_date amount currency",
            (
                (
                    self.people[quota.person], quota.period.name, quota.period.first_day,
                    date.fromordinal(quota.period.end), quota.cents, self.company.currency,
                )
                for quota in self.company.quotas
            ),
        )  # fmt: skip

    def _spans(self) -> Iterator[Span]:
        for team in self.company.teams:
            yield from team.leads
            yield from team.reps

    def _deals(self) -> None:
        stages = {row.name: row.id for row in self.conn.execute(sa.text("SELECT id, name FROM pipeline_stages"))}
        deals = list(enumerate(self.company.deals, 1))
        self._copy(
            "deals",
            "id source external_id name account owner_id stage_id amount margin currency "
            "quantity_micro close_date created_date type product segment term_months cancelled_on "
            "created_at updated_at",
            (
                (
                    number, SOURCE, f"NW-{10_000 + number}", deal.name, deal.account, self.people[deal.owner],
                    stages[deal.stages[-1][0]], deal.amount, deal.margin, self.company.currency,
                    deal.quantity and deal.quantity * 1_000_000, deal.close_date, deal.stages[0][1].date(), deal.type,
                    deal.product, deal.segment, deal.term_months, deal.cancelled_on,
                    deal.stages[0][1], deal.stages[-1][1],
                )
                for number, deal in deals
            ),
        )  # fmt: skip
        self._copy(
            "deal_credits",
            "deal_id user_id share_ppm",
            ((number, self.people[name], share) for number, deal in deals for name, share in deal.credits),
        )
        self._copy(
            "deal_stage_entries",
            "deal_id stage_id entered_at",
            ((number, stages[stage], at) for number, deal in deals for stage, at in deal.stages),
        )
        self._copy(
            "deal_changes",
            "deal_id at user_id changes",
            (
                (number, at, self.people[deal.owner], changes)
                for number, deal in deals
                for at, changes in ((deal.stages[0][1], {"created": [None, SOURCE]}), *_moves(number, deal))
            ),
        )
        self._copy(
            "activities",
            "kind user_id deal_id account subject happened_at due_on done_at",
            (
                (act.kind, self.people[deal.owner], number, deal.account, act.subject, act.at, *self._task(act))
                for number, deal in deals
                for act in deal.activities
            ),
        )

    def _task(self, act: Activity) -> tuple[date | None, datetime | None]:
        """When a task is due, and when it was done, if it is by now; neither for anything else."""
        if act.kind != "task":
            return None, None
        done = act.at + timedelta(days=4)
        return (act.at + timedelta(days=5)).date(), done if done.date() < self.company.today else None


def _moves(number: int, deal: Deal) -> list[tuple[datetime, dict[str, list[str]]]]:
    """When the close date of a deal was moved later on its way, and from what to what, the first first."""
    chance = Random(number)  # noqa: S311 - invented history
    found, to = [], deal.close_date
    for _, at in reversed(deal.stages[1:]):
        before = to - timedelta(days=chance.choice((7, 7, 14, 14, 21, 30, 45, 60, 90)))
        if chance.random() < 0.2 and before > at.date():
            found.append((at, {"close_date": [before.isoformat(), to.isoformat()]}))
            to = before
    return found[::-1]


def _weeks_before(start: date, by: int) -> tuple[datetime, int, datetime]:
    """When a version in force from `start` was written, by whom it was published, and when."""
    published = datetime.combine(start - timedelta(days=12), time(15, 30), UTC)
    return published - timedelta(days=9), by, published

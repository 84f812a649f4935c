"""When earned money may be paid: what is held back, from which day, or for what it waits.

The amounts are those of the closed periods' lines and never move; the days follow the plan's `payable` rules and what
customers have paid by now.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any

import pandas as pd
import sqlalchemy as sa

from engine.analytics import payables as frames
from engine.analytics.remembered import Remembered
from engine.calc.model import Plan
from engine.calc.settle import AT_ONCE, parts
from engine.db import audit, deals, pay, payables, payouts
from engine.db.database import Database
from engine.db.payables import Held
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.money import format_money
from engine.periods import add_months, parse_period
from engine.services import access
from engine.services.access import Actor, require, user_of
from engine.services.earnings import plan_of

CUSTOMER = "the customer's payment"


def held_back(
    conn: sa.Connection,
    as_of: date,
    run_id: int | None = None,
    kind: str | None = None,
    user_id: int | None = None,
) -> list[Held]:
    """What closed periods (and a run) have earned that is not payable on a day, by person and deal.

    A schedule's part is payable from its day on, what waits for the customer as far as the deal was paid by `as_of`.
    A clawback counts at once, and what still waits for the customer of the same deal and component is taken first: it
    was never paid out.  Whoever has more to give back later than to come is held nothing.
    """
    plans = {version: plan_of(document, name) for version, name, document in payables.documents(conn)}
    terms = [
        (version, _since(plan, as_of), plan.payable.on == "invoice_paid")
        for version, plan in plans.items()
        if plan.payable != AT_ONCE
    ]
    if not terms:
        return []
    rows = list(payables.posted(conn, terms, run_id, kind, user_id))
    waiting = sorted({row.deal_id for row in rows if row.deal_id})
    paid = payables.payments(conn, waiting, as_of)
    found: list[Held] = []
    for _, person in groupby(rows, lambda row: (row.user_id, row.currency)):
        held = [one for _, deal in groupby(person, _deal) for one in _of_deal(list(deal), plans, paid, as_of)]
        if sum(one.amount for one in held) > 0:
            found += held
    return found


def _since(plan: Plan, as_of: date) -> date:
    """Before this day everything on the plan's schedule is payable; a month more than needed does no harm."""
    months = max(months for months, _ in plan.payable.schedule)
    return date.fromordinal(add_months(as_of.toordinal(), -months - 1))


def _deal(row: Any) -> tuple[str, int | None]:
    return row.component, row.deal_id


def _of_deal(
    rows: list[Any], plans: Mapping[int, Plan], paid: Mapping[int, list[tuple[date, int]]], as_of: date
) -> Iterator[Held]:
    """What is held of one person's component and deal."""
    first = rows[0]
    held: dict[tuple[str, date | None], int] = defaultdict(int)
    clawed = 0
    invoices = [(day.toordinal(), amount) for day, amount in paid.get(first.deal_id, ())]
    for row in rows:
        for kind, day, cents in _lines(row):
            if kind == "clawback":
                clawed -= cents
                continue
            amount = row.deal_amount if kind == "earned" else 0
            for due, part in parts(plans[row.plan_version_id], cents, day, amount, invoices):
                if due is None or due > as_of.toordinal():
                    held[row.origin_period, None if due is None else date.fromordinal(due)] += part
    for (origin, due_on), cents in sorted(held.items(), key=lambda one: (one[0][1] or date.max, one[0][0])):
        if due_on is None and cents > 0:
            taken = min(cents, clawed)
            cents, clawed = cents - taken, clawed - taken
        if cents:
            waits_for = CUSTOMER if due_on is None else ""
            yield Held(first.user_id, first.currency, first.component, first.deal_id, origin, due_on, waits_for, cents)


def _lines(row: Any) -> Iterable[tuple[str, int, int]]:
    """(kind, day, cents) of what a posted line stands for: itself, or what an adjustment says there is now."""
    if row.kind == "adjusted":
        return [(line["kind"], line["day"], line["cents"]) for line in row.working["lines"]]
    return [(row.working["kind"], row.working["day"], row.amount)]


def deferred(held: Iterable[Held]) -> dict[tuple[int, str], int]:
    """(user, currency) -> cents that are held back in all."""
    found: dict[tuple[int, str], int] = defaultdict(int)
    for one in held:
        found[one.user_id, one.currency] += one.amount
    return dict(found)


# --- for screens ------------------------------------------------------------------------------------


def schedule(db: Database, actor: Actor, user_id: int, period: str, today: date) -> pd.DataFrame:
    """When a person's money that is not payable yet will be, a row a deal and day, as `frames.schedule`,
    with the component's `label`.

    For an open period as its run found it, for an approved one as it stood when its payout was approved; for one whose
    amounts are locked as it is today.  Needs "earnings.view" and the person within reach.
    """
    wanted = parse_period(period)
    with db.read(actor) as conn:
        access.require_person(conn, actor, "earnings.view", user_id, wanted.last_day)
        found = frames.schedule(conn, shown(conn, wanted.name, today, user_id))
        plans = [plan_of(document, name) for _, name, document in payables.documents(conn)]
    labels = {part.id: part.label or part.id for plan in plans for part in plan.components}
    return found.assign(label=found["component"].map(labels).fillna(""))


def shown(conn: sa.Connection, period: str, today: date, user_id: int | None = None) -> list[Held]:
    """What a period shows as not payable yet; of a locked one, today."""
    found = pay.pay_period(conn, period)
    if found is not None and found.status == "locked":
        return held_back(conn, max(today, found.period.last_day), user_id=user_id)
    return payables.kept(conn, period, user_id)


@dataclass(frozen=True)
class Now:
    """What is held back on a day, and what a payout approved on it would pay: cents by (user id, currency)."""

    deferred: Mapping[tuple[int, str], int]
    payable: Mapping[tuple[int, str], int]


_remembered = Remembered(1_000_000)


def now(conn: sa.Connection, day: date) -> Now:
    """What an approval on that day would find, of all closed periods."""
    return _remembered.get(
        conn, audit.data_version(conn), day, lambda: _now(conn, day), lambda one: len(one.payable) + len(one.deferred)
    )


def _now(conn: sa.Connection, day: date) -> Now:
    held, before = deferred(held_back(conn, day)), payables.latest(conn)
    due = payouts.due(conn)  # as the latest lock or approval found it
    found = {key: due.get(key, 0) + before.get(key, 0) - held.get(key, 0) for key in due.keys() | held.keys()}
    return Now(held, {key: cents for key, cents in found.items() if cents > 0})


def with_today(conn: sa.Connection, people: pd.DataFrame, period: str, today: date) -> pd.DataFrame:
    """`earnings.people` of a locked period with what is deferred and ``payable`` (Int64 cents) today; else as it is."""
    found = pay.pay_period(conn, period)
    if found is None or found.status != "locked":
        return people
    on = now(conn, max(filter(None, (today, found.period.last_day, payables.latest_day(conn)))))
    keys = [(int(user), currency) for user, currency in zip(people["user_id"], people["currency"], strict=True)]
    columns = {"deferred": on.deferred, "payable": on.payable}
    cents = {name: [values.get(key, 0) for key in keys] for name, values in columns.items()}
    return people.assign(**{name: pd.array(values, dtype="Int64") for name, values in cents.items()})


# --- what customers pay -----------------------------------------------------------------------------

LARGEST = 10**14  # minor units: a million million


def record_customer_payment(
    db: Database, actor: Actor, deal_id: int, request: str, day: date, amount: int, today: date
) -> None:
    """Record that a customer paid (or was paid back, below 0) a part of a deal; the same `request` does so once.

    `amount` is in cents of the deal's currency.  Plans that pay as customers pay release their part with the next
    payout that is approved; what was earned does not move.  Needs "deals.edit".  Raises ProblemsError.
    """
    require(actor, "deals.edit")
    with db.write(actor) as conn:
        deal = deals.find(conn, deal_id)
        if deal is None:
            raise QuotaPathError(f"There is no deal number {deal_id}. It may have been deleted; load the list again.")
        problems = []
        if not amount or abs(amount) > LARGEST:
            problems.append(Problem("Amount", "is nothing." if not amount else "is too large.", "Write what was paid."))
        if day > today:
            problems.append(Problem("Paid on", f"{day} is in the future.", "Record it when it has been paid."))
        if day < deal.fields.close_date:
            text = f"{day} is before the deal closed ({deal.fields.close_date})."
            problems.append(Problem("Paid on", text, "A prepayment counts from the day on which the deal closed."))
        if problems:
            raise ProblemsError(problems)
        if payables.add_payment(conn, request, deal_id, day, amount, user_of(actor)):
            written = f"{format_money(amount, deal.fields.currency)} {deal.fields.currency}"
            detail = {"paid_on": day.isoformat(), "amount": written}
            audit.record(conn, actor.user_id, "deals.customer_paid", f"deal {deal_id}", detail)


def customer_payments(db: Database, actor: Actor, deal_id: int) -> pd.DataFrame:
    """What a deal's customer has paid, as `frames.customer_payments`.  Needs "deals.edit"."""
    require(actor, "deals.edit")
    with db.read(actor) as conn:
        return frames.customer_payments(conn, deal_id)

"""Manual adjustments: a SPIF, a bonus, a correction, or another amount for a line, each with its reason."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd
import sqlalchemy as sa

from engine.analytics import earnings, inputs
from engine.db import adjustments, audit, company, pay, people
from engine.db.database import Database
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.periods import parse_period
from engine.plans.document import parse_plan
from engine.services import access
from engine.services.access import Actor, require

KINDS = ("spif", "bonus", "correction")
LARGEST = 10**12  # cents: beyond it somebody has typed too many digits
REASON = 1000  # characters


@dataclass(frozen=True)
class NewAdjustment:
    """What is given by hand: `amount` in cents of the person's pay currency, negative to take; `deal` is a deal ID.

    `request_id` is a UUID made when the form is opened: sent again, the request finds what it made.
    """

    request_id: str
    user_id: int
    kind: str
    amount: int
    reason: str
    deal: str = ""


def add_adjustment(db: Database, actor: Actor, period: str, new: NewAdjustment) -> int:
    """Give the money to the person in an open period: it is paid with it, on top of plan and draw.  Returns the id.

    Approving the period posts it.  Needs "payouts.adjust".  Raises ProblemsError for what is wrong with it,
    QuotaPathError when the period is closed, or is not of a kind that is paid.
    """
    require(actor, "payouts.adjust")
    wanted = parse_period(period)
    with db.write(actor) as conn:
        if (made := adjustments.of_request(conn, new.request_id)) is not None:
            return made
        if pay.pay_period(conn, wanted.name) is None:
            kinds = {plan.pay_period for versions in inputs.plans(conn)[0].values() for plan in versions}
            if wanted.kind not in kinds:
                raise QuotaPathError(
                    f"No published plan pays by the {wanted.kind}, so an adjustment in {wanted.name} would never be "
                    f"paid. Choose a {' or a '.join(sorted(kinds)) or 'period of a published plan'}."
                )
            pay.add_period(conn, wanted)
        _open_period(conn, wanted.name)
        called = adjustments.deals_called(conn, new.deal.strip()) if new.deal.strip() else []
        problems = list(_problems(conn, new, called))
        if problems:
            raise ProblemsError(problems)
        values = {
            "request_id": new.request_id,
            "user_id": new.user_id,
            "period": wanted.name,
            "kind": new.kind,
            "amount": new.amount,
            "currency": _currency(conn, new.user_id, wanted.name),
            "reason": new.reason.strip(),
            "deal_id": called[0][0] if called else None,
            "deal": called[0][2] if called else "",
            "line_id": None,
        }
        return _keep(conn, actor, values)


def override_line(db: Database, actor: Actor, request_id: str, line_id: int, amount: int, reason: str) -> int:
    """Let a line of an open period come to `amount` cents: the difference is a manual adjustment, the line stays.

    Returns the adjustment's id.  Needs "payouts.adjust".  Raises ProblemsError, and QuotaPathError when the period
    is closed or shows another run by now.
    """
    require(actor, "payouts.adjust")
    with db.write(actor) as conn:
        if (made := adjustments.of_request(conn, request_id)) is not None:
            return made
        line = pay.line(conn, line_id)
        if line is None:
            raise QuotaPathError(f"There is no line {line_id}.")
        found = _open_period(conn, line.period)
        if found.run_id != pay.line_run(conn, line_id):
            raise QuotaPathError(
                f"{line.period} was calculated again after you opened this line. Open it anew, look at what it is "
                "now, and override that."
            )
        difference = amount - line.amount - adjustments.overridden(conn, line_id)
        problems = list(_wrong_reason(reason)) + list(_wrong_amount("Pay instead", difference, amount))
        if problems:
            raise ProblemsError(problems)
        deal_id = int(line.deal) if line.deal else None
        values = {
            "request_id": request_id,
            "user_id": line.user_id,
            "period": line.period,
            "kind": "override",
            "amount": difference,
            "currency": line.currency,
            "reason": reason.strip(),
            "deal_id": deal_id,
            "deal": pay.deal_names(conn, [deal_id])[deal_id] if deal_id else "",
            "line_id": line_id,
        }
        return _keep(conn, actor, values)


def withdraw_adjustment(db: Database, actor: Actor, adjustment_id: int) -> None:
    """Mark an adjustment of an open period as withdrawn: it is not paid, and stays to be read.  Twice is once.

    Needs "payouts.adjust".  Raises QuotaPathError when the period is closed.
    """
    require(actor, "payouts.adjust")
    with db.write(actor) as conn:
        found = adjustments.find(conn, adjustment_id)
        if found is None:
            raise QuotaPathError(f"There is no manual adjustment {adjustment_id}.")
        _open_period(conn, found.period)
        # Another one may have withdrawn it while this one waited for the period.
        if (again := adjustments.find(conn, adjustment_id)) is None or again.withdrawn_at is not None:
            return
        adjustments.withdraw(conn, adjustment_id, access.user_of(actor))
        detail = {"withdrawn": found.amount, "currency": found.currency, "period": found.period}
        audit.record(conn, actor.user_id, "payouts.adjust", f"adjustment {adjustment_id}", detail)


def list_adjustments(db: Database, actor: Actor, period: str, user_id: int | None = None) -> pd.DataFrame:
    """The manual adjustments of a period, as `earnings.adjustments`.

    Everyone's needs "payouts.view"; one person's "earnings.view" and the person within reach, and leaves out what was
    withdrawn.
    """
    wanted = parse_period(period)
    with db.read(actor) as conn:
        if user_id is None:
            require(actor, "payouts.view")
            return earnings.adjustments(conn, wanted.name)
        access.require_person(conn, actor, "earnings.view", user_id, wanted.last_day)
        found = earnings.adjustments(conn, wanted.name, user_id)
        return found[found["withdrawn_at"].isna()].reset_index(drop=True)


def pay_currency(db: Database, actor: Actor, user_id: int, period: str) -> str:
    """The currency that the person is paid in: that of their plan, else the company's.  Needs "payouts.adjust"."""
    require(actor, "payouts.adjust")
    with db.read(actor) as conn:
        return _currency(conn, user_id, parse_period(period).name)


def adjustable_people(db: Database, actor: Actor) -> dict[int, str]:
    """Everyone who may be given an adjustment: names by user id.  Needs "payouts.adjust"."""
    require(actor, "payouts.adjust")
    with db.read(actor) as conn:
        return dict(sorted(people.names(conn).items(), key=lambda item: item[1].lower()))


def _keep(conn: sa.Connection, actor: Actor, values: dict[str, Any]) -> int:
    adjustment_id = adjustments.add(conn, {**values, "created_by": access.user_of(actor)})
    audit.record(conn, actor.user_id, "payouts.adjust", f"adjustment {adjustment_id}", values)
    return adjustment_id


def _open_period(conn: sa.Connection, name: str) -> pay.PayPeriod:
    """The period, locked: until this transaction ends nobody approves it."""
    found = pay.lock_period(conn, name)
    if found is None:
        raise QuotaPathError(f"{name} is not a pay period yet.")
    if found.status != "open":
        raise QuotaPathError(
            f"{name} is {found.status} and never moves. Choose the next open period: what you add is paid with that."
        )
    return found


def _currency(conn: sa.Connection, user_id: int, period: str) -> str:
    # All plans of a person are in one currency, so any of them tells.
    last = parse_period(period).next().first_day
    documents = adjustments.plan_documents(conn, user_id, last)
    return parse_plan(documents[0]).currency if documents else company.currency(conn)


def _problems(conn: sa.Connection, new: NewAdjustment, called: list[tuple[int, str, str]]) -> Iterator[Problem]:
    if people.identity(conn, new.user_id) is None:
        yield Problem("Person", f"there is no person number {new.user_id}.", "Choose one of the list.")
    if new.kind not in KINDS:
        yield Problem("Kind", f"{new.kind!r} is not a kind of adjustment.", f"Choose one of {', '.join(KINDS)}.")
    yield from _wrong_amount("Amount", new.amount, new.amount)
    yield from _wrong_reason(new.reason)
    if new.deal.strip() and not called:
        yield Problem(
            "Deal ID", f"there is no deal with the ID {new.deal.strip()!r}.", "Copy it from the list of deals."
        )
    if len(called) > 1:
        sources = ", ".join(source for _, source, _ in called)
        yield Problem(
            "Deal ID",
            f"{new.deal.strip()!r} is the ID of {len(called)} deals ({sources}).",
            "Leave it empty, and name the deal under Why.",
        )


def _wrong_amount(label: str, difference: int, amount: int) -> Iterator[Problem]:
    if difference == 0:
        remedy = "Enter what is to be paid; a minus takes it." if amount == 0 else "Enter another amount."
        yield Problem(label, "changes nothing.", remedy)
    elif abs(difference) > LARGEST:
        yield Problem(label, "is too large.", "Check it for extra digits.")


def _wrong_reason(reason: str) -> Iterator[Problem]:
    if not reason.strip():
        yield Problem("Why", "is empty.", "Say why: the person and every approver will read it.")
    elif len(reason.strip()) > REASON:
        yield Problem("Why", f"has {len(reason.strip())} characters; {REASON} is the most.", "Shorten it.")
    elif "\x00" in reason:
        yield Problem("Why", "holds a null character.", "Type it again.")

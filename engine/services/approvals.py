"""What an approver looks at: what changed in closed periods and why, what waits for whom, who may not decide alone."""

from dataclasses import dataclass

import pandas as pd
import sqlalchemy as sa

from engine.analytics import discrepancies, earnings
from engine.db import adjustments, audit, disputes, pay, people
from engine.db import payouts as payout_rows
from engine.db.database import Database
from engine.errors import QuotaPathError
from engine.periods import parse_period
from engine.services import freshness
from engine.services.access import Actor, may, require
from engine.workers.pool import Pool


@dataclass(frozen=True)
class Review:
    """What approving a calculated period would post for closed ones.

    `changes` (line by line) and `people` (person by person) as `engine.analytics.discrepancies` describes them.
    """

    changes: pd.DataFrame
    people: pd.DataFrame


def review(db: Database, actor: Actor, run_id: int) -> Review:
    """The discrepancies that a kept run posts.  Needs "payouts.view".  The answer for a run does not change."""
    require(actor, "payouts.view")
    with db.read(actor) as conn:
        period = pay.run(conn, run_id).period
        changes = discrepancies.changes(conn, run_id, period)
        return Review(changes, discrepancies.people(conn, run_id, changes))


@dataclass(frozen=True)
class Standing:
    """A period before its next step, approval or payment.

    `version` says in one word what is approved; give it to `payouts.approve_period`, so that nothing is approved that
    the approver has not seen.  `changes` counts the lines that correct closed periods, `manual` the adjustments that
    stand, `disputes` those that nobody has closed,
    `outdated`: what decides pay has changed since the run, which is made again before it can be approved.
    `blocked` says why this actor may not take the step ("" when nothing stands against it).
    """

    version: str
    changes: int
    manual: int
    disputes: int
    outdated: bool
    blocked: str


def standing(db: Database, actor: Actor, period: str, pool: Pool | None = None) -> Standing:
    """What whoever approves or pays a period should know of it.  Needs "payouts.view".

    With a `pool` a change that moves nobody's lines does not make the run out of date; without one any change does.
    """
    require(actor, "payouts.view")
    name = parse_period(period).name
    with db.read(actor) as conn:
        version = pay.version(conn, name)
        found = pay.pay_period(conn, name)
        changes, blocked = 0, ""
        if found is not None and found.run_id is not None:
            changes = pay.corrections(conn, found.run_id)
            payout = payout_rows.payout(conn, name)
            if payout is None:
                blocked = approval_blocked(conn, actor, name, found.run_id)
            elif payout.is_open:
                blocked = payment_blocked(conn, actor, payout.id, name)
        manual, open_disputes = pay.standing_adjustments(conn, name), disputes.open_in(conn, name)
        return Standing(version, changes, manual, open_disputes, freshness.seems_outdated(conn, name, pool), blocked)


def approval_blocked(conn: sa.Connection, actor: Actor, period: str, run_id: int) -> str:
    """Why the two-person rule keeps the actor from approving; "" when it does not."""
    if not pay.two_person(conn):
        return ""
    makers = pay.run_makers(conn, run_id)
    if actor.user_id in makers:
        return (
            f"You made the run of {period} (or a part of it) that would be approved, and the two-person rule is on. "
            "Another admin approves it."
        )
    made = adjustments.makers(conn, period)
    if actor.user_id in made:
        return (
            f"You made or withdrew a manual adjustment in {period}, and the two-person rule is on. An admin who made "
            f"neither the run ({', '.join(makers.values())}) nor an adjustment ({', '.join(sorted(made.values()))}) "
            "approves it."
        )
    return ""


def payment_blocked(conn: sa.Connection, actor: Actor, payout_id: int, period: str) -> str:
    """Why the two-person rule keeps the actor from marking a payout as paid; "" when it does not."""
    if pay.two_person(conn) and payout_rows.approver(conn, payout_id)[0] == actor.user_id:
        return f"You approved {period}, and the two-person rule is on. Another admin marks it as paid."
    return ""


@dataclass(frozen=True)
class Waiting:
    """One thing that waits: `what` is approve, payout (the amounts are locked), pay or dispute.

    `blocked` says why this actor cannot do it.
    """

    what: str
    period: str
    count: int = 1
    blocked: str = ""


def queue(db: Database, actor: Actor) -> list[Waiting]:
    """What waits for the actor: periods to approve, payouts to pay, disputes to answer, oldest first.

    Needs "payouts.view"; empty for whoever may only look.
    """
    require(actor, "payouts.view")
    found: list[Waiting] = []
    with db.read(actor) as conn:
        for period, status, run_id, payout_id in reversed(payout_rows.unpaid(conn)):
            if payout_id is None and may(actor, "payouts.approve"):
                found.append(
                    Waiting(
                        "payout" if status == "locked" else "approve",
                        period,
                        1,
                        approval_blocked(conn, actor, period, run_id),
                    )
                )
            elif payout_id is not None and may(actor, "payouts.pay"):
                found.append(Waiting("pay", period, 1, payment_blocked(conn, actor, payout_id, period)))
        if may(actor, "disputes.answer"):
            found += [Waiting("dispute", period, count) for period, count in disputes.waiting(conn)]
    return found


def two_person_rule(db: Database, actor: Actor) -> bool:
    """Whether two people are asked for between a run and its payment.  Needs "payouts.view"."""
    require(actor, "payouts.view")
    with db.read(actor) as conn:
        return pay.two_person(conn)


def set_two_person_rule(db: Database, actor: Actor, on: bool) -> None:
    """Ask for two people between a run and its payment, or no longer.  Needs "payouts.rules".

    Raises QuotaPathError when there are not two active admins: then nobody could approve.
    """
    require(actor, "payouts.rules")
    with db.write(actor) as conn:
        admins = people.lock_active_admins(conn)
        if on and len(admins) < 2:
            raise QuotaPathError(
                "The two-person rule needs at least two active admins, or nothing could be approved. "
                "There is one. Make another person an admin first."
            )
        if pay.two_person(conn) != on:
            pay.set_two_person(conn, on)
            audit.record(conn, actor.user_id, "payouts.rules", "company", {"two_person": on})


def overpaid(db: Database, actor: Actor) -> pd.DataFrame:
    """Whoever has had more than is due, since when and by what, as `earnings.overpaid`.  Needs "payouts.view"."""
    require(actor, "payouts.view")
    with db.read(actor) as conn:
        return earnings.overpaid(conn)

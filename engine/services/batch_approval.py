"""Several periods approved in one step: all of them, or none."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date

from engine.analytics import earnings
from engine.db import company, disputes, pay
from engine.db.database import Database
from engine.db.payouts import Payout
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.periods import Period, parse_period
from engine.services import approvals, freshness, payouts
from engine.services.access import Actor, require
from engine.workers.pool import Pool


@dataclass(frozen=True)
class Approvable:
    """A calculated period that is not approved, for the approver to choose.

    `version` is what is looked at; `earned` cents by currency with manual adjustments; `people` who earn anything.
    `blocked` says why it cannot be approved, "" when nothing stands against it.
    """

    period: Period
    status: str
    version: str
    earned: Mapping[str, int]
    people: int
    disputes: int
    blocked: str


def approvable(db: Database, actor: Actor, pool: Pool | None = None) -> list[Approvable]:
    """The calculated periods, open or locked, that wait for approval, oldest first.  Needs "payouts.approve".

    With a `pool` a change that moves nobody's lines does not make a run out of date.
    """
    require(actor, "payouts.approve")
    found = []
    with db.read(actor) as conn:
        listed = earnings.periods(conn)
        waiting = listed[listed["status"].isin(("open", "locked")) & listed["run_id"].notna()]
        names = sorted({str(name) for name in waiting["period"]}, key=_order)
        stale = {one.period: one for one in freshness.verdicts(conn, pool, names) if not one.fresh}
        for name in names:
            rows = waiting[waiting["period"] == name]
            cents = {
                str(currency): int(earned) + int(manual)
                for currency, earned, manual in zip(
                    rows["currency"], rows["earned"].fillna(0), rows["manual"].fillna(0), strict=True
                )
                if earned or manual
            } or {company.currency(conn): 0}
            blocked = approvals.approval_blocked(conn, actor, name, int(rows["run_id"].iloc[0]))
            if name in stale:
                blocked = stale[name].failed or "Something that decides pay has changed since it was calculated."
            found.append(
                Approvable(
                    parse_period(name),
                    str(rows["status"].iloc[0]),
                    pay.version(conn, name),
                    cents,
                    int(rows["people"].max()),
                    disputes.open_in(conn, name),
                    blocked,
                )
            )
    return found


def _order(name: str) -> tuple[int, int]:
    period = parse_period(name)
    return period.end, period.start


def approve_periods(
    db: Database, pool: Pool, actor: Actor, seen: Mapping[str, str | None], on: date | None = None
) -> list[Payout]:
    """Approve several periods, oldest first, each as `payouts.approve_period` does: all in one transaction, or none.

    `seen` are the versions that the approver looked at, by period.  The approval of one makes the runs of those after
    it older than the ledger: each is worked out again, and approved only when that changes nobody's lines.  Nothing
    else is written to the company meanwhile.  Needs "payouts.approve".  Raises ProblemsError with the period that
    cannot be approved, and why.
    """
    require(actor, "payouts.approve")
    if not seen:
        raise ProblemsError([Problem("periods", "None is chosen.", "Choose at least one.")])
    made: list[Payout] = []
    with db.joined(actor) as whole:
        for name in sorted(seen, key=_order):
            try:
                made.append(payouts.approve_period(whole, actor, name, seen[name], on, pool))
            except QuotaPathError as error:
                message = f"{error} Nothing is approved{_others(len(seen) - 1)}."
                raise ProblemsError([Problem(name, message, "Leave it out, or see to it first.")]) from error
    return made


def _others(count: int) -> str:
    return {0: "", 1: ", the other period neither"}.get(count, f", the other {count} periods neither")


def total(chosen: Collection[Approvable]) -> dict[str, int]:
    """What the chosen periods come to together: cents by currency."""
    found: dict[str, int] = {}
    for one in chosen:
        for currency, cents in one.earned.items():
            found[currency] = found.get(currency, 0) + cents
    return found

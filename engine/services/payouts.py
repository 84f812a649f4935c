"""Payouts: approve a calculated period, pay it once, take a payment back, and hand payroll its file."""

from collections.abc import Collection
from datetime import date
from decimal import Decimal
from typing import Literal

import pandas as pd

from engine.analytics import earnings
from engine.db import adjustments, audit, pay
from engine.db.database import Database
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.money import format_money
from engine.periods import parse_period
from engine.services import approvals, freshness
from engine.services.access import Actor, require, user_of
from engine.sheets import to_csv, to_xlsx
from engine.workers.pool import Pool


def approve_period(
    db: Database, actor: Actor, period: str, seen: str | None = None, pool: Pool | None = None
) -> pay.Payout:
    """Approve the run that an open period shows: its lines go to the ledger, the period closes for good, for everyone.

    So do the manual adjustments that stand.  Everyone's due (the ledger's balance, less what is not payable yet)
    becomes the period's payout.  Approving again gives the payout that is there.  `seen` is the version of the period
    that the approver looked at (`approvals.Standing`); when it is another by now, nothing is approved.  With a `pool`
    a change after the run that moves nobody's lines is found to be none; without one any change counts.

    Needs "payouts.approve".  Raises QuotaPathError when there is nothing to approve, the run is older than the
    approval of another period or than a change of what decides pay, or the two-person rule forbids it.
    """
    require(actor, "payouts.approve")
    name = parse_period(period).name
    examined = freshness.examine(db, pool, name) if pool is not None else None  # may take long: before the locks
    with db.write() as conn:
        pay.lock_approvals(conn)
        found = pay.lock_period(conn, name)
        if found is None or found.run_id is None:
            raise QuotaPathError(f"{name} has not been calculated. Run it first, then approve it.")
        if (kept := pay.payout(conn, name)) is not None:
            return kept
        if seen is not None and seen != pay.version(conn, name):
            raise QuotaPathError(
                f"{name} was calculated again, or its adjustments changed, after you opened it, so nothing was "
                "approved. Look at the new figures, then approve them."
            )
        if blocked := approvals.approval_blocked(conn, actor, name, found.run_id):
            raise QuotaPathError(blocked)
        run = pay.run(conn, found.run_id)
        if run.ledger_seen != pay.last_entry(conn, found.period.kind):
            raise QuotaPathError(
                f"Another period was approved after {name} was calculated ({run.created_at:%d %b %Y %H:%M} UTC), so "
                f"its adjustments may be out of date. Run {name} again, then approve it."
            )
        if freshness.is_outdated(conn, name, examined):
            raise QuotaPathError(
                f"Deals, people, plans, quotas or rates have changed since {name} was calculated "
                f"({run.created_at:%d %b %Y %H:%M} UTC), so nothing was approved. Run {name} again, then approve it."
            )
        actor_id = user_of(actor)
        entries = pay.post_run(conn, run.id, name, actor_id)
        manual = adjustments.post(conn, name, actor_id)
        pay.set_status(conn, name, "approved")
        payout_id = pay.add_payout(conn, name, actor_id)
        audit.record(
            conn,
            actor_id,
            "payouts.approve",
            f"payout {payout_id}",
            {
                "period": name,
                "run": run.id,
                "ledger_entries": entries,
                "adjustments": manual,
                "lines_hash": run.lines_hash.hex(),
            },
        )
        return _payout(pay.payout(conn, name), name)


def mark_paid(db: Database, actor: Actor, period: str) -> pay.Payout:
    """Record that an approved period's payout was paid, once: a second call finds it paid and changes nothing.

    That holds for good: what is reversed is paid by another period's payout.  Needs "payouts.pay".  Raises
    QuotaPathError when the period is not approved, or the two-person rule forbids it.
    """
    require(actor, "payouts.pay")
    name = parse_period(period).name
    with db.write() as conn:
        pay.lock_period(conn, name)
        payout = _payout(pay.payout(conn, name), name)
        if payout.status == "paid":
            return payout
        if blocked := approvals.payment_blocked(conn, actor, payout.id, name):
            raise QuotaPathError(blocked)
        actor_id = user_of(actor)
        people = pay.pay(conn, payout.id, name, actor_id)
        pay.set_status(conn, name, "paid")
        audit.record(conn, actor_id, "payouts.pay", f"payout {payout.id}", {"period": name, "people": people})
        return _payout(pay.payout(conn, name), name)


def list_periods(db: Database, actor: Actor) -> pd.DataFrame:
    """Every pay period that was ever calculated, newest first, as `earnings.periods`.  Needs "payouts.view"."""
    require(actor, "payouts.view")
    with db.read() as conn:
        return earnings.periods(conn)


def period_people(db: Database, actor: Actor, period: str) -> pd.DataFrame:
    """What each person earned in a period and is due, as `earnings.people`.  Needs "payouts.view"."""
    require(actor, "payouts.view")
    with db.read() as conn:
        return earnings.people(conn, parse_period(period).name)


def reverse_payout(
    db: Database, actor: Actor, period: str, reason: str, user_ids: Collection[int] | None = None
) -> int:
    """Take back payments that a paid payout recorded, of everyone or of some; returns of how many people.

    The ledger gets an entry against each; the money is owed again, and the next period that is approved pays it.  The
    payout is not paid again: it stays paid, so that no request, however late or often it comes, pays it twice.
    Whoever's payment was taken back before is left alone.

    Needs "payouts.reverse".  Raises ProblemsError without a reason, QuotaPathError when the payout is not paid, or
    somebody is named whom it did not pay.
    """
    require(actor, "payouts.reverse")
    name = parse_period(period).name
    if not 1 <= len(reason.strip()) <= 1000 or "\x00" in reason:
        message = "is empty." if not reason.strip() else "is longer than 1000 characters, or holds a null character."
        raise ProblemsError([Problem("reason", message, "Say in a sentence why the payment is taken back.")])
    with db.write() as conn:
        pay.lock_period(conn, name)
        payout = _payout(pay.payout(conn, name), name)
        if payout.status != "paid":
            raise QuotaPathError(f"{name} is approved, but not marked as paid, so there is no payment to take back.")
        if user_ids is not None:
            paid = {user for user, _ in pay.payees(conn, payout.id)}
            if strangers := set(user_ids) - paid:
                raise QuotaPathError(f"{name} paid nothing to person number {min(strangers)}. Choose people it paid.")
        left = pay.reversible(conn, payout.id)
        chosen = left if user_ids is None else left & set(user_ids)
        if chosen:
            reversal = pay.reverse(conn, payout.id, chosen, reason.strip(), user_of(actor))
            detail = {"period": name, "reversal": reversal, "reason": reason.strip(), "people": sorted(chosen)}
            audit.record(conn, actor.user_id, "payouts.reverse", f"payout {payout.id}", detail)
        return len(chosen)


def reversible_people(db: Database, actor: Actor, period: str) -> dict[int, str]:
    """Whose payment of a paid period can be taken back: names by user id.  Needs "payouts.reverse"."""
    require(actor, "payouts.reverse")
    with db.read() as conn:
        payout = pay.payout(conn, parse_period(period).name)
        if payout is None:
            return {}
        left = pay.reversible(conn, payout.id)
        return {user: name for user, name in pay.payees(conn, payout.id) if user in left}


def reversals(db: Database, actor: Actor, period: str) -> pd.DataFrame:
    """The payments of a period that were taken back, as `earnings.reversals`.  Needs "payouts.view"."""
    require(actor, "payouts.view")
    with db.read() as conn:
        return earnings.reversals(conn, parse_period(period).name)


def payroll_file(db: Database, actor: Actor, period: str, form: Literal["csv", "xlsx"] = "csv") -> bytes:
    """The payroll file of an approved period: one row a person with the amount due, safe to open in a spreadsheet.

    The status is approved, paid, or reversed (taken back, not to be paid with this period).  Needs "payouts.export";
    the export is audited.  Raises QuotaPathError when the period is not approved.
    """
    require(actor, "payouts.export")
    name = parse_period(period).name
    with db.write() as conn:
        payout = _payout(pay.payout(conn, name), name)
        items = pay.payroll(conn, payout.id)
        audit.record(conn, actor.user_id, "payouts.export", f"payout {payout.id}", {"rows": len(items)})
    paid_on: date | None = payout.paid_at.date() if payout.paid_at else None
    headers = ("Employee", "Name", "E-mail", "Period", "Amount", "Currency", "Status", "Paid on")
    rows = [
        (
            code, person, email, name, Decimal(format_money(cents, currency)), currency,
            "reversed" if taken_back else payout.status, paid_on or "",
        )
        for code, person, email, currency, cents, taken_back in items
    ]  # fmt: skip
    return to_csv(headers, rows) if form == "csv" else to_xlsx(headers, rows, f"Payroll {name}")


def _payout(found: pay.Payout | None, period: str) -> pay.Payout:
    if found is None:
        raise QuotaPathError(f"{period} is not approved yet. Approve it first.")
    return found

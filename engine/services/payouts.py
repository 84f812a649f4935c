"""Payouts: approve a calculated period, pay it once, and hand payroll its file."""

from datetime import date

import pandas as pd

from engine.analytics import earnings
from engine.db import audit, pay
from engine.db.database import Database
from engine.errors import QuotaPathError
from engine.money import format_money
from engine.periods import parse_period
from engine.services.access import Actor, require
from engine.sheets import to_csv


def approve_period(db: Database, actor: Actor, period: str) -> pay.Payout:
    """Approve the run that an open period shows: its lines go to the ledger, the period closes for good.

    Everyone's due (the ledger's balance, less what is not payable yet) becomes the period's payout.  Approving
    again gives the payout that is there.  Needs "payouts.approve".  Raises QuotaPathError when there is nothing
    to approve, or the run is older than the approval of another period.
    """
    require(actor, "payouts.approve")
    name = parse_period(period).name
    with db.write() as conn:
        pay.lock_approvals(conn)
        found = pay.lock_period(conn, name)
        if found is None or found.run_id is None:
            raise QuotaPathError(f"{name} has not been calculated. Run it first, then approve it.")
        if (kept := pay.payout(conn, name)) is not None:
            return kept
        run = pay.run(conn, found.run_id)
        if run.ledger_seen != pay.last_entry(conn, found.period.kind):
            raise QuotaPathError(
                f"Another period was approved after {name} was calculated ({run.created_at:%d %b %Y %H:%M} UTC), so "
                f"its adjustments may be out of date. Run {name} again, then approve it."
            )
        actor_id = _user(actor)
        pay.set_status(conn, name, "approved")
        entries = pay.post_run(conn, run.id, name, actor_id)
        payout_id = pay.add_payout(conn, name, actor_id)
        audit.record(
            conn,
            actor_id,
            "payouts.approve",
            f"payout {payout_id}",
            {"period": name, "run": run.id, "ledger_entries": entries, "lines_hash": run.lines_hash.hex()},
        )
        return _payout(pay.payout(conn, name), name)


def mark_paid(db: Database, actor: Actor, period: str) -> pay.Payout:
    """Record that an approved period's payout was paid, once: a second call finds it paid and changes nothing.

    Needs "payouts.pay".  Raises QuotaPathError when the period is not approved.
    """
    require(actor, "payouts.pay")
    name = parse_period(period).name
    with db.write() as conn:
        pay.lock_period(conn, name)
        payout = _payout(pay.payout(conn, name), name)
        if payout.status == "paid":
            return payout
        actor_id = _user(actor)
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


def payroll_csv(db: Database, actor: Actor, period: str) -> bytes:
    """The payroll file of an approved period: one row a person with the amount due, as formula-safe CSV.

    Needs "payouts.export"; the export is audited.  Raises QuotaPathError when the period is not approved.
    """
    require(actor, "payouts.export")
    name = parse_period(period).name
    with db.write() as conn:
        payout = _payout(pay.payout(conn, name), name)
        items = pay.payroll(conn, payout.id)
        audit.record(conn, actor.user_id, "payouts.export", f"payout {payout.id}", {"rows": len(items)})
    paid_on: date | None = payout.paid_at.date() if payout.paid_at else None
    return to_csv(
        ("Employee", "Name", "E-mail", "Period", "Amount", "Currency", "Status", "Paid on"),
        [
            (code, person, email, name, format_money(cents, currency), currency, payout.status, paid_on or "")
            for code, person, email, currency, cents in items
        ],
    )


def _user(actor: Actor) -> int:
    if actor.user_id is None:
        raise ValueError("a payout needs a user to answer for it")
    return actor.user_id


def _payout(found: pay.Payout | None, period: str) -> pay.Payout:
    if found is None:
        raise QuotaPathError(f"{period} is not approved yet. Approve it first.")
    return found

"""Payouts: lock a period's amounts, approve what is payable, pay it in parts, take it back, hand payroll its file."""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

import pandas as pd
import sqlalchemy as sa

from engine.analytics import earnings
from engine.db import adjustments, audit, pay
from engine.db import payables as payables_kept
from engine.db import payouts as payout_rows
from engine.db.database import Database
from engine.errors import Problem, ProblemsError, QuotaPathError, given
from engine.money import format_money, round_ratio
from engine.periods import Period, parse_period
from engine.services import approvals, freshness, payables
from engine.services.access import Actor, require, user_of
from engine.sheets import Value, to_csv, to_xlsx
from engine.workers.pool import Pool


@dataclass(frozen=True)
class Part:
    """A part of a payout: `amounts` in cents by (user id, currency).

    `request` is made when the form is opened, so that sending it twice acts once; `seen` is `PayoutState.moved` of
    then, so that nobody pays or releases what somebody else has since.
    """

    request: str
    seen: int
    amounts: payout_rows.Amounts


@dataclass(frozen=True)
class PayoutState:
    """What may still be paid or released of a payout: `open` in cents by (user id, currency), with everyone's `names`.

    `moved` counts the payments and releases so far.
    """

    payout: payout_rows.Payout
    open: payout_rows.Amounts
    names: Mapping[int, str]
    moved: int


def lock_amounts(
    db: Database,
    actor: Actor,
    period: str,
    seen: str | None = None,
    on: date | None = None,
    pool: Pool | None = None,
) -> None:
    """Close a period's calculation without a payout: lines, draws and manual adjustments go to the ledger, for good.

    What is payable of them goes on following schedules and customers' payments until the payout is approved.  Doing it
    again changes nothing.  `seen`, `on` and `pool` as for `approve_period`.

    Needs "payouts.approve".  Raises QuotaPathError as `approve_period` does.
    """
    require(actor, "payouts.approve")
    name = parse_period(period).name
    examined, held = _examined(db, actor, pool, name)  # may take long: before the locks
    with db.write(actor) as conn:
        found = _to_approve(conn, actor, name, seen)
        if found.status != "open":
            return
        _post(conn, actor, found, examined, held)
        pay.set_status(conn, name, "locked")
        day = _day(conn, found.period, on)
        payables_kept.keep(conn, name, day, payables.held_back(conn, day))


def approve_period(
    db: Database,
    actor: Actor,
    period: str,
    seen: str | None = None,
    on: date | None = None,
    pool: Pool | None = None,
) -> payout_rows.Payout:
    """Approve the payout of a period; an open one's amounts are locked with it, as `lock_amounts` does.

    Everyone's due becomes the payout: the ledger's balance, less what is approved and not paid, less what is not
    payable on the day.  Approving again gives the payout that is there.  `seen` is the version of the period that the
    approver looked at (`approvals.Standing`); when it is another by now, nothing is approved.  `on` is the day of the
    approval, by which is decided what is payable; the period's last day, and that of an earlier approval, if they are
    later or none is given.  With a `pool` a change after the run that moves nobody's lines is found to be none; without
    one any change counts.

    Needs "payouts.approve".  Raises QuotaPathError when there is nothing to approve, the run is older than the
    approval of another period or than a change of what decides pay, or the two-person rule forbids it.
    """
    require(actor, "payouts.approve")
    name = parse_period(period).name
    examined, held = _examined(db, actor, pool, name)  # may take long: before the locks
    with db.write(actor) as conn:
        found = _to_approve(conn, actor, name, seen)
        if (kept := payout_rows.payout(conn, name)) is not None:
            return kept
        if found.status == "open":
            _post(conn, actor, found, examined, held)
        pay.set_status(conn, name, "approved")
        payout_id = payout_rows.add_payout(conn, name, user_of(actor))
        day = _day(conn, found.period, on)
        payables_kept.keep(conn, name, day, payables.held_back(conn, day), payout_id=payout_id)
        payout_rows.add_items(conn, payout_id)
        detail = {"period": name, "run": found.run_id, "payable_on": day.isoformat()}
        audit.record(conn, actor.user_id, "payouts.approve", f"payout {payout_id}", detail)
        return _payout(payout_rows.payout(conn, name), name)


def _to_approve(conn: sa.Connection, actor: Actor, name: str, seen: str | None) -> pay.PayPeriod:
    """The period, locked until the transaction ends; refused when it was not seen, or two people are asked for."""
    payout_rows.lock_approvals(conn)
    found = pay.lock_period(conn, name)
    if found is None or found.run_id is None:
        raise QuotaPathError(f"{name} has not been calculated. Run it first, then approve it.")
    if found.status in ("open", "locked"):
        if seen is not None and seen != pay.version(conn, name):
            raise QuotaPathError(
                f"{name} was calculated again, or its adjustments changed, after you opened it, so nothing was "
                "approved. Look at the new figures, then approve them."
            )
        if blocked := approvals.approval_blocked(conn, actor, name, found.run_id):
            raise QuotaPathError(blocked)
    return found


def _examined(db: Database, actor: Actor, pool: Pool | None, name: str) -> tuple[freshness.Verdict | None, int | None]:
    """What a pool finds of the run that a period shows: the verdict on it, and `freshness.holds`."""
    if pool is None:
        return None, None
    with db.read(actor) as conn:
        held = freshness.holds(conn, pool, name)
    return freshness.examine(db, pool, name), held


def _post(
    conn: sa.Connection,
    actor: Actor,
    found: pay.PayPeriod,
    examined: freshness.Verdict | None = None,
    held: int | None = None,
) -> None:
    """Post what an open period's run and its adjustments come to; raises QuotaPathError when the run is out of date.

    `held` is the ledger's entry after which the run was found to come out the same.
    """
    name, run = found.period.name, pay.run(conn, given(found.run_id))
    if freshness.is_outdated(conn, name, examined):
        raise QuotaPathError(
            f"Deals, people, plans, quotas or rates have changed since {name} was calculated "
            f"({run.created_at:%d %b %Y %H:%M} UTC), so nothing was approved. Run {name} again, then approve it."
        )
    if pay.last_entry(conn, found.period.kind) not in (run.ledger_seen, held):
        raise QuotaPathError(
            f"Another period was approved after {name} was calculated ({run.created_at:%d %b %Y %H:%M} UTC), so "
            f"its adjustments may be out of date. Run {name} again, then approve it."
        )
    actor_id = user_of(actor)
    detail = {
        "period": name,
        "run": run.id,
        "ledger_entries": pay.post_run(conn, run.id, name, actor_id),
        "adjustments": adjustments.post(conn, name, actor_id),
        "lines_hash": run.lines_hash.hex(),
    }
    audit.record(conn, actor_id, "payouts.lock", f"period {name}", detail)


def _day(conn: sa.Connection, period: Period, on: date | None) -> date:
    """The day on which is decided what is payable: it never goes back."""
    return max(filter(None, (on, period.last_day, payables_kept.latest_day(conn))))


# --- paying -------------------------------------------------------------------------------------------


def payout_state(db: Database, actor: Actor, period: str) -> PayoutState:
    """What may be paid or released of an approved period's payout.  Needs "payouts.view"."""
    require(actor, "payouts.view")
    name = parse_period(period).name
    with db.read(actor) as conn:
        payout = _payout(payout_rows.payout(conn, name), name)
        return PayoutState(
            payout,
            payout_rows.still_open(conn, payout.id),
            dict(payout_rows.payees(conn, payout.id)),
            payout_rows.moved(conn, payout.id),
        )


def payable_now(db: Database, actor: Actor, on: date) -> payout_rows.Amounts:
    """What a payout of a locked period would pay if it were approved on a day: cents by (user id, currency).

    Needs "payouts.view".
    """
    require(actor, "payouts.view")
    with db.read(actor) as conn:
        latest = payables_kept.latest_day(conn)
        return payables.now(conn, max(on, latest) if latest else on).payable


def share_of(amounts: payout_rows.Amounts, ppm: int) -> dict[tuple[int, str], int]:
    """The share (parts per million) of each amount, rounded half up; what comes to nothing is left out."""
    found = {key: round_ratio(cents * ppm, 1_000_000) for key, cents in amounts.items()}
    return {key: cents for key, cents in found.items() if cents}


def mark_paid(db: Database, actor: Actor, period: str, part: Part | None = None) -> payout_rows.Payout:
    """Record that an approved period's payout was paid: a part of it, or all that is open.

    Nothing is paid twice, whoever presses how often: the same `part` again changes nothing, nor does a payout of which
    nothing is open.  What was taken back is paid by another period's payout.  Needs "payouts.pay".  Raises
    QuotaPathError when the period is not approved, the part was made of an older look or is more than is open, or the
    two-person rule forbids it.
    """
    require(actor, "payouts.pay")
    name = parse_period(period).name
    with db.write(actor) as conn:
        pay.lock_period(conn, name)
        payout = _payout(payout_rows.payout(conn, name), name)
        if _repeated(payout_rows.payment_of(conn, part.request) if part else None, payout) or not payout.is_open:
            return _refuse_part(payout, part) if part and not payout.is_open else payout
        if blocked := approvals.payment_blocked(conn, actor, payout.id, name):
            raise QuotaPathError(blocked)
        amounts = _checked(conn, payout, part)
        request = part.request if part else str(uuid.uuid4())
        payment = payout_rows.pay(conn, payout.id, name, request, amounts, user_of(actor))
        detail = {"period": name, "payment": payment, "people": len({user for user, _ in amounts})}
        audit.record(conn, actor.user_id, "payouts.pay", f"payout {payout.id}", detail)
        return _payout(payout_rows.payout(conn, name), name)


def release(db: Database, actor: Actor, period: str, part: Part, reason: str) -> payout_rows.Payout:
    """Make what is open of a payout due again, for the next payout to take; with the reason why it is not paid now.

    Needs "payouts.pay".  Raises ProblemsError without a reason, QuotaPathError as `mark_paid` does.
    """
    require(actor, "payouts.pay")
    name, why = parse_period(period).name, _reason(reason, "the money is released")
    with db.write(actor) as conn:
        # The next approval takes what is released: it must not look while this is under way.
        payout_rows.lock_approvals(conn)
        pay.lock_period(conn, name)
        payout = _payout(payout_rows.payout(conn, name), name)
        if _repeated(payout_rows.release_of(conn, part.request), payout):
            return payout
        if not payout.is_open:
            return _refuse_part(payout, part)
        amounts = _checked(conn, payout, part)
        made = payout_rows.release(conn, payout.id, part.request, amounts, why, user_of(actor))
        people = sorted({user for user, _ in amounts})
        detail = {"period": name, "release": made, "reason": why, "people": people}
        audit.record(conn, actor.user_id, "payouts.release", f"payout {payout.id}", detail)
        return _payout(payout_rows.payout(conn, name), name)


def _repeated(made: tuple[int, int] | None, payout: payout_rows.Payout) -> bool:
    """Whether a request has acted already, on this payout."""
    if made is not None and made[1] != payout.id:
        raise QuotaPathError("This request belongs to another payout. Open the form again.")
    return made is not None


def _refuse_part(payout: payout_rows.Payout, part: Part | None) -> payout_rows.Payout:
    if part is None:
        return payout
    raise QuotaPathError(f"Nothing is open of the payout of {payout.period}: it is {_WORDS[payout.status]}.")


_WORDS = {"approved": "approved", "part_paid": "part paid", "paid": "paid", "released": "released"}


def _checked(conn: sa.Connection, payout: payout_rows.Payout, part: Part | None) -> payout_rows.Amounts:
    """The amounts of a part, none of them more than is open; of no part, all that is open."""
    left = payout_rows.still_open(conn, payout.id)
    if part is None:
        return left
    if part.seen != payout_rows.moved(conn, payout.id):
        raise QuotaPathError(
            f"Something of the payout of {payout.period} was paid or released after you opened this form, so nothing "
            "was recorded. Look at what is still open, then choose again."
        )
    if not part.amounts:
        raise QuotaPathError("Nobody is chosen, so nothing was recorded. Choose at least one person and an amount.")
    names = dict(payout_rows.payees(conn, payout.id))
    problems = []
    for (user, currency), cents in sorted(part.amounts.items()):
        most = left.get((user, currency), 0)
        if not 0 < cents <= most:
            what = f"{format_money(cents, currency, thousands=True)} {currency}"
            most_text = f"{format_money(most, currency, thousands=True)} {currency}"
            who = names.get(user, f"Person number {user}")
            problems.append(Problem(who, f"{what} is not between 0.01 and the {most_text} that are open.", "Lower it."))
    if problems:
        raise ProblemsError(problems)
    return part.amounts


def _reason(reason: str, what: str) -> str:
    if not 1 <= len(reason.strip()) <= 1000 or "\x00" in reason:
        message = "is empty." if not reason.strip() else "is longer than 1000 characters, or holds a null character."
        raise ProblemsError([Problem("reason", message, f"Say in a sentence why {what}.")])
    return reason.strip()


# --- reading, taking back, files ----------------------------------------------------------------------


def list_periods(db: Database, actor: Actor) -> pd.DataFrame:
    """Every pay period that was ever calculated, newest first, as `earnings.periods`.  Needs "payouts.view"."""
    require(actor, "payouts.view")
    with db.read(actor) as conn:
        return earnings.periods(conn)


def period_people(db: Database, actor: Actor, period: str, today: date | None = None) -> pd.DataFrame:
    """What each person earned in a period and is due, as `earnings.people`.  Needs "payouts.view".

    With `today`, of a locked period what is payable later is that of today, and ``payable`` (Int64 cents) what a payout
    would pay.
    """
    require(actor, "payouts.view")
    name = parse_period(period).name
    with db.read(actor) as conn:
        found = earnings.people(conn, name)
        return found if today is None else payables.with_today(conn, found, name, today)


def payments(db: Database, actor: Actor, period: str) -> pd.DataFrame:
    """What was paid and released of a period's payout, as `earnings.payments`.  Needs "payouts.view"."""
    require(actor, "payouts.view")
    with db.read(actor) as conn:
        return earnings.payments(conn, parse_period(period).name)


def reverse_payout(
    db: Database,
    actor: Actor,
    period: str,
    reason: str,
    user_ids: Collection[int] | None = None,
    payment: int | None = None,
) -> int:
    """Take back payments that a payout recorded, of everyone or of some; returns of how many people.

    All of a person's payments of the payout, or that of one `payment` of it.  The ledger gets an entry against each;
    the money is owed again, and the next period that is approved pays it.  This payout does not pay it again, so that
    no request, however late or often it comes, pays it twice.  What was taken back before is left alone.

    Needs "payouts.reverse".  Raises ProblemsError without a reason, QuotaPathError when nothing of the payout is paid,
    or somebody is named whom it did not pay.
    """
    require(actor, "payouts.reverse")
    name, why = parse_period(period).name, _reason(reason, "the payment is taken back")
    with db.write(actor) as conn:
        pay.lock_period(conn, name)
        payout = _payout(payout_rows.payout(conn, name), name)
        if payout.status not in ("part_paid", "paid"):
            raise QuotaPathError(f"{name} is approved, but not marked as paid, so there is no payment to take back.")
        if user_ids is not None:
            paid = {user for user, _ in payout_rows.payees(conn, payout.id)}
            if strangers := set(user_ids) - paid:
                raise QuotaPathError(f"{name} paid nothing to person number {min(strangers)}. Choose people it paid.")
        left = payout_rows.reversible(conn, payout.id, payment)
        chosen = left if user_ids is None else left & set(user_ids)
        if chosen:
            reversal = payout_rows.reverse(conn, payout.id, chosen, why, user_of(actor), payment)
            detail = {"period": name, "reversal": reversal, "reason": why, "people": sorted(chosen)}
            if payment is not None:
                detail["payment"] = payment
            audit.record(conn, actor.user_id, "payouts.reverse", f"payout {payout.id}", detail)
        return len(chosen)


def reversible_people(db: Database, actor: Actor, period: str) -> dict[int, str]:
    """Whose payment of a paid period can be taken back: names by user id.  Needs "payouts.reverse"."""
    require(actor, "payouts.reverse")
    with db.read(actor) as conn:
        payout = payout_rows.payout(conn, parse_period(period).name)
        if payout is None:
            return {}
        left = payout_rows.reversible(conn, payout.id)
        return {user: name for user, name in payout_rows.payees(conn, payout.id) if user in left}


def reversals(db: Database, actor: Actor, period: str) -> pd.DataFrame:
    """The payments of a period that were taken back, as `earnings.reversals`.  Needs "payouts.view"."""
    require(actor, "payouts.view")
    with db.read(actor) as conn:
        return earnings.reversals(conn, parse_period(period).name)


_HEADERS = ("Employee", "Name", "E-mail", "Period", "Amount", "Currency", "Status", "Paid on")


def payroll_file(
    db: Database, actor: Actor, period: str, form: Literal["csv", "xlsx"] = "csv", payment: int | None = None
) -> bytes:
    """The payroll file of an approved period, or of one payment of it: one row a person, safe to open in a spreadsheet.

    The amount is what was approved (of a payment: what it paid); the status is approved, part paid, paid, reversed
    (taken back, not to be paid with this period), or released (due again).  The whole payout's file also tells what was
    paid so far, less what was taken back, and what is open.  Needs "payouts.export"; the export is audited.  Raises
    QuotaPathError when the period is not approved, or the payment is not of it.
    """
    require(actor, "payouts.export")
    name = parse_period(period).name
    with db.write(actor) as conn:
        payout = _payout(payout_rows.payout(conn, name), name)
        items = payout_rows.payroll(conn, payout.id, payment)
        if payment is not None and not items:
            raise QuotaPathError(f"Payment number {payment} is not of {name}. Choose one of its payments.")
        detail = {"rows": len(items)} if payment is None else {"rows": len(items), "payment": payment}
        audit.record(conn, actor.user_id, "payouts.export", f"payout {payout.id}", detail)
    headers = _HEADERS if payment is not None else (*_HEADERS, "Paid so far", "Open")
    rows: list[tuple[Value, ...]] = []
    for code, person, email, currency, cents, paid, reversed_, released, at in items:
        left = cents - paid - released
        if reversed_ and reversed_ == paid:
            status = "reversed"
        elif left:
            status = "part paid" if paid else "approved"
        else:
            status = "paid" if paid else "released"
        row = (code, person, email, name, _exact(cents, currency), currency, status, at.date() if at else "")
        more = (_exact(paid - reversed_, currency), _exact(left, currency)) if payment is None else ()
        rows.append((*row, *more))
    title = f"Payroll {name}" if payment is None else f"Payroll {name} part {payment}"
    return to_csv(headers, rows) if form == "csv" else to_xlsx(headers, rows, title)


def _exact(cents: int, currency: str) -> Decimal:
    return Decimal(format_money(cents, currency))


def _payout(found: payout_rows.Payout | None, period: str) -> payout_rows.Payout:
    if found is None:
        raise QuotaPathError(f"{period} is not approved yet. Approve it first.")
    return found

"""Paying a payout, wholly or in parts, releasing and taking back; and payroll's files of it."""

import uuid
from collections.abc import Mapping
from typing import Literal

import streamlit as st

from app import auth, state, widgets
from app.actions import attempt
from app.widgets import money_column, text_column, time_column
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.money import parse_money, parse_rate
from engine.periods import Period
from engine.services import payouts
from engine.services.access import Actor
from engine.services.payouts import Part, PayoutState

_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

_Amounts = Mapping[tuple[int, str], int]  # cents by (user id, currency)


def sums(amounts: _Amounts) -> str:
    """Amounts summed in each currency: ``$12,300.00 · €450.00``."""
    found: dict[str, int] = {}
    for (_, currency), cents in sorted(amounts.items()):
        found[currency] = found.get(currency, 0) + cents
    return " · ".join(widgets.money(cents, currency) for currency, cents in found.items()) or "nothing"


def payroll(actor: Actor, period: str) -> None:
    """The files of the whole payout, and of each payment where it was paid in parts."""
    db = state.database()

    def offer(stem: str, payment: int | None) -> None:
        def content(form: Literal["csv", "xlsx"]) -> bytes:
            return payouts.payroll_file(db, actor, period, form, payment)

        widgets.download("CSV", f"{stem}.csv", lambda: content("csv"), "text/csv", recorded=True)
        widgets.download("Excel", f"{stem}.xlsx", lambda: content("xlsx"), _XLSX, recorded=True)

    with st.popover("Payroll file", icon=":material/download:"):
        offer(f"payroll-{period}", None)
        found = payouts.payments(db, actor, period)
        made = found[found["what"] == "payment"].drop_duplicates("id")
        if len(found) > 1 or payouts.payout_state(db, actor, period).payout.status == "part_paid":
            for number, (payment, at) in enumerate(zip(made["id"], made["created_at"], strict=True), 1):
                st.caption(f"Payment {number}, {at:%Y-%m-%d %H:%M} UTC")
                offer(f"payroll-{period}-payment-{number}", int(payment))


# --- paying and releasing -----------------------------------------------------------------------------


@st.dialog("Mark as paid", icon=":material/payments:")
def confirm_payment(period: Period) -> None:
    """Ask whom and how much, then record the payment."""
    pay_body(period)


def pay_body(period: Period) -> None:
    """The form of a payment: everyone and all of it, or some people, or a part."""
    actor = auth.require("payouts.pay")
    db, title = state.database(), widgets.period_title(period)
    found = payouts.payout_state(db, actor, period.name)
    if not found.payout.is_open:
        st.write(f"Nothing is open of the payout of {title}.")
        return
    part = None
    if not found.open:
        st.write(f"Nobody is due anything for {title}.")
    else:
        st.write("Do this when payroll has it. It is recorded once, whoever presses.")
        part = _part(found, "pay", period.name)
        if part is not None:
            left = {key: cents - part.amounts.get(key, 0) for key, cents in found.open.items()}
            count = len({user for user, _ in part.amounts})
            rest = sums({key: cents for key, cents in left.items() if cents > 0})
            people = "1 person" if count == 1 else f"{count} people"
            st.markdown(widgets.plain(f"Pays {sums(part.amounts)} to {people}; {rest} stays open."))
    ready = part is not None or not found.open
    if st.button("Mark as paid", type="primary", key="pay_yes", disabled=not ready) and attempt(
        lambda: payouts.mark_paid(db, actor, period.name, part), f"The payment of {title} is recorded."
    ):
        st.rerun()


@st.dialog("Release", icon=":material/undo:")
def confirm_release(period: Period) -> None:
    """Ask whose and why, then release."""
    release_body(period)


def release_body(period: Period) -> None:
    """The form of a release."""
    actor = auth.require("payouts.pay")
    db, title = state.database(), widgets.period_title(period)
    found = payouts.payout_state(db, actor, period.name)
    if not found.open:
        st.write(f"Nothing is open of the payout of {title}.")
        return
    st.write("What is released is not paid with this payout. It is due again, and the next payout takes it.")
    part = _part(found, "release", period.name)
    reason = st.text_area("Why", key="release_reason", max_chars=1000)
    label = widgets.plain(f"Release {sums(part.amounts)}") if part else "Release"
    pressed = st.button(label, type="primary", key="release_yes", disabled=part is None)
    if (
        pressed
        and part is not None
        and attempt(
            lambda: payouts.release(db, actor, period.name, part, reason or ""), f"Released, and due again: {title}."
        )
    ):
        st.rerun()


def _part(found: PayoutState, what: str, period: str) -> Part | None:
    """Who and how much, as chosen in the form; None, with the reason shown, when it is nothing yet or wrong."""
    # A form that was sent, or that somebody else's payment made old, begins anew.
    key = f"{what}_{period}_{found.moved}"
    request = st.session_state.setdefault(f"{key}_request", str(uuid.uuid4()))
    people = sorted({(found.names.get(user, ""), user) for user, _ in found.open})
    chosen = st.multiselect(
        "Whose",
        [user for _, user in people],
        format_func=lambda user: found.names.get(user, ""),
        placeholder=f"Everyone ({len(people)})",
        key=f"{key}_people",
    )
    text = st.text_input(
        "How much of it",
        "100%",
        key=f"{key}_much",
        help="A percentage of what is open, such as 50%, or an amount for each person chosen, such as 500.00",
    )
    mine = {one: cents for one, cents in found.open.items() if not chosen or one[0] in chosen}
    try:
        amounts = _how_much((text or "").strip(), mine)
    except QuotaPathError as error:
        widgets.show_problems(ProblemsError([Problem("How much of it", str(error))]))
        return None
    return Part(request, found.moved, amounts) if amounts else None


def _how_much(written: str, amounts: _Amounts) -> _Amounts:
    """What "50%" or "500.00" makes of what is open."""
    if not written.endswith("%"):
        return {(user, currency): parse_money(written, currency) for user, currency in amounts}
    ppm = parse_rate(written)
    if not 0 < ppm <= 1_000_000:
        raise QuotaPathError(f"{written} is not a part of what is open. Write more than 0% and at most 100%.")
    return payouts.share_of(amounts, ppm)


def payments(actor: Actor, period: str) -> None:
    """What was paid and released of the payout, step by step; draws nothing when it was paid whole, or not at all."""
    found = payouts.payments(state.database(), actor, period)
    if found["id"].nunique() < 2 and not found["what"].eq("release").any():
        return
    st.markdown("**Payments**")
    columns = {
        "what": text_column("What"),
        "amount": money_column("Amount"),
        "people": widgets.number_column("People"),
        "reversed": money_column("Taken back"),
        "reason": text_column("Why"),
        "created_by": text_column("By"),
        "created_at": time_column("When"),
    }
    columns = {name: one for name, one in columns.items() if (found[name].notna() & found[name].ne("")).any()}
    widgets.table(
        found.assign(what=found["what"].map({"payment": "Paid", "release": "Released"})),
        columns,
        key="payments",
        export=f"payments-{period}",
    )


# --- taking back --------------------------------------------------------------------------------------


@st.dialog("Take payments back", icon=":material/undo:")
def reverse(period: Period) -> None:
    """Ask whose and why, then reverse."""
    reverse_body(period)


def reverse_body(period: Period) -> None:
    """The form of a reversal."""
    actor = auth.require("payouts.reverse")
    db, title = state.database(), widgets.period_title(period)
    names = payouts.reversible_people(db, actor, period.name)
    if not names:
        st.write(f"Every payment of {title} was taken back already.")
        return
    st.write(
        f"For payments of {title} that did not arrive, or should not have been made. The money is owed again, and the "
        "next period that is approved pays it. This payout itself never pays it a second time."
    )
    chosen = st.multiselect(
        "Whose",
        list(names),
        format_func=names.__getitem__,
        placeholder=f"Everyone ({len(names)})",
        key="reverse_people",
    )
    reason = st.text_area("Why", key="reverse_reason", max_chars=1000)
    count = len(chosen) or len(names)
    label = f"Take back {count} payment{'s' if count > 1 else ''}"
    if st.button(label, type="primary", key="reverse_yes") and attempt(
        lambda: payouts.reverse_payout(db, actor, period.name, reason or "", chosen or None),
        f"Taken back: {count} payment{'s' if count > 1 else ''} of {title}.",
    ):
        st.rerun()


def reversals(actor: Actor, period: str) -> None:
    """The payments of the period that were taken back, and why; draws nothing when there is none."""
    found = payouts.reversals(state.database(), actor, period)
    if found.empty:
        return
    st.markdown("**Taken back**")
    widgets.table(
        found,
        {
            "name": text_column("Person"),
            "amount": money_column("Amount"),
            "reason": text_column("Why"),
            "created_by": text_column("By"),
            "created_at": time_column("When"),
        },
        key="reversals",
        export=f"reversals-{period}",
    )

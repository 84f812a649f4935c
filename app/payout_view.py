"""What waits for the viewer, the steps of a payout, and the questions before each."""

from collections.abc import Sequence
from typing import Any, Literal

import pandas as pd
import streamlit as st

from app import auth, navigation, run_view, state, widgets
from app.actions import attempt
from app.widgets import Card, money_column, text_column, time_column
from engine.periods import Period, parse_period
from engine.services import access, approvals, payouts, statements
from engine.services.access import Actor
from engine.services.approvals import Standing, Waiting

_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_LISTED = 4  # of what waits; more are counted
_VIEWS = {"people": "People", "changes": "Closed periods", "adjustments": "Adjustments", "overpaid": "Overpaid"}


def waiting(found: Sequence[Waiting], period: str) -> None:
    """What waits for the viewer, each with the way to it; draws nothing when nothing does."""
    others = [one for one in found if one.what == "dispute" or one.period != period]
    if not others:
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="waiting"):
        st.markdown(f"**Waiting for you** · {len(others)}", width="content")
        for one in others[:_LISTED]:
            title = widgets.period_title(parse_period(one.period))
            if one.what == "dispute":
                navigation.link("disputes", f"{one.count} dispute{'s' if one.count > 1 else ''} about {title}")
            else:
                does = "Approve" if one.what == "approve" else "Pay"
                other = " (by another admin)" if one.blocked else ""
                navigation.link("payouts", f"{does} {title}{other}", {"period": one.period})
        if len(others) > _LISTED:
            st.caption(f"and {len(others) - _LISTED} more", width="content")


def steps(row: "pd.Series[Any]") -> None:
    """Where a pay period stands: calculated, approved, paid, each with its time and who did it."""
    with st.container(horizontal=True, vertical_alignment="center"):
        _step("Calculated", row["calculated_at"], None, ":material/calculate:")
        _step("Approved", row["approved_at"], row["approved_by"], ":material/task_alt:")
        _step("Paid", row["paid_at"], row["paid_by"], ":material/payments:")
        if row["reversed"]:
            st.badge("Payments taken back", icon=":material/undo:", color="orange")


def _step(name: str, moment: pd.Timestamp | None, who: str | None, icon: str) -> None:
    if pd.isna(moment):
        st.badge(f"Not {name.lower()} yet", icon=":material/radio_button_unchecked:", color="gray")
    else:
        by = f" by {widgets.plain(who)}" if who else ""
        st.badge(f"{name} {moment:%Y-%m-%d %H:%M} UTC{by}", icon=icon, color="green")


def _sums(people: pd.DataFrame, column: str) -> str:
    """The column's total in each currency: ``$12,300.00 · €450.00``."""
    sums = people.groupby("currency")[column].sum()
    return " · ".join(widgets.money(int(cents), str(currency)) for currency, cents in sums.items()) or "–"


def totals(people: pd.DataFrame, status: str) -> None:
    """What the period comes to."""
    due = "after approval" if status == "open" else _sums(people, "due")
    cards = [Card("Earned", _sums(people, "earned"))]
    if people["manual"].ne(0).any():
        cards.append(
            Card("Manual adjustments", _sums(people, "manual"), help="Given by hand, on top of what is earned")
        )
    cards.append(
        Card(
            "Paid" if status == "paid" else "Due",
            due,
            help="Earned and adjustments, draws and balances carried over; nobody is due less than nothing",
        )
    )
    if people["reversed"].fillna(0).ne(0).any():
        cards.append(Card("Taken back", _sums(people, "reversed"), help="Owed again; the next payout pays it"))
    cards.append(Card("People", f"{people['user_id'].nunique():,}"))
    widgets.cards(*cards[:4])  # a row; the table counts the people, too


def actions(actor: Actor, period: Period, people: pd.DataFrame, row: "pd.Series[Any]", before: Standing) -> None:
    """The buttons of what may be done next, and the payroll files."""
    title = widgets.period_title(period)
    status = row["status"]
    with widgets.tools():
        if (
            status == "open"
            and access.may(actor, "payouts.approve")
            and st.button(
                f"Approve {title}",
                type="primary",
                icon=":material/task_alt:",
                disabled=bool(before.blocked or before.outdated),
            )
        ):
            confirm_approval(period, people, before)
        may_pay = status == "approved" and access.may(actor, "payouts.pay")
        if may_pay and st.button(
            f"Mark {title} as paid", type="primary", icon=":material/payments:", disabled=bool(before.blocked)
        ):
            confirm_payment(period, people)
        may_reverse = status == "paid" and access.may(actor, "payouts.reverse")
        if may_reverse and st.button("Take payments back", icon=":material/undo:"):
            reverse(period)
        if status != "open" and access.may(actor, "payouts.export"):
            _payroll(actor, period.name)
    if before.outdated:
        run_view.outdated(period)
    if before.blocked and access.may(actor, "payouts.approve"):
        st.info(widgets.plain(before.blocked), icon=":material/group:")


def _payroll(actor: Actor, period: str) -> None:
    def content(form: Literal["csv", "xlsx"]) -> bytes:
        return payouts.payroll_file(state.database(), actor, period, form)

    with st.popover("Payroll file", icon=":material/download:"):
        widgets.download("CSV", f"payroll-{period}.csv", lambda: content("csv"), "text/csv", recorded=True)
        widgets.download("Excel", f"payroll-{period}.xlsx", lambda: content("xlsx"), _XLSX, recorded=True)


def view(actor: Actor, counts: dict[str, int]) -> str:
    """Which table to show, kept in the URL (``?view=changes``); `counts` are written beside the names."""
    asked = st.query_params.get("view", "")
    st.session_state["payout_view"] = asked if asked in _VIEWS else "people"
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        chosen = st.segmented_control(
            "Show",
            list(_VIEWS),
            format_func=lambda name: _VIEWS[name] + (f" · {counts[name]:,}" if counts.get(name) else ""),
            required=True,
            key="payout_view",
            on_change=lambda: st.query_params.update(view=st.session_state["payout_view"]),
            label_visibility="collapsed",
        )
        if access.may(actor, "payouts.rules"):
            _rules(actor)
    return str(chosen)


def _rules(actor: Actor) -> None:
    db = state.database()
    on = approvals.two_person_rule(db, actor)
    with st.popover("Two people" if on else "Rules", icon=":material/group:" if on else ":material/rule:"):
        st.markdown("**Two-person rule**")
        st.caption(
            "Whoever made the run, or an adjustment in it, may not approve it; whoever approved may not mark it paid."
        )
        wanted = st.toggle("Ask for two people", value=on, key=f"two_person_{on}")
        if wanted != on and attempt(
            lambda: approvals.set_two_person_rule(db, auth.require("payouts.rules"), wanted),
            f"The two-person rule is {'on' if wanted else 'off'}.",
        ):
            st.rerun()


@st.dialog("Approve this period?", icon=":material/task_alt:")
def confirm_approval(period: Period, people: pd.DataFrame, before: Standing) -> None:
    """Ask, then approve."""
    title = widgets.period_title(period)
    manual = ""
    if before.manual:
        manual = f", with {before.manual} manual adjustment{'s' if before.manual > 1 else ''} of "
        manual += widgets.plain(_sums(people, "manual"))
    st.write(
        f"{widgets.plain(_sums(people, 'earned'))} earned by {people['user_id'].nunique()} people{manual} becomes "
        f"final, for everyone at once. {title} never moves again; later changes to its deals are posted as "
        "adjustments in the next open period."
    )
    if people["adjusted"].ne(0).any():
        st.write(f"In it are {widgets.plain(_sums(people, 'adjusted'))} that correct closed periods.")
    if period.last_day >= state.today():
        st.warning(f"{title} has not ended yet: deals that close later in it will be paid as adjustments.")
    if before.disputes:
        one = before.disputes == 1
        st.warning(f"{before.disputes} dispute{' is' if one else 's are'} still open about {title}.")
    if st.button("Approve", type="primary", key="approve_yes"):

        def approve() -> None:
            actor = auth.require("payouts.approve")
            payouts.approve_period(state.database(), actor, period.name, before.version)
            # Everyone's statement is kept as it reads now, before names change.
            state.jobs().submit(actor, statements.JOB, {"period": period.name})

        if attempt(approve, f"{title} is approved."):
            st.rerun()


@st.dialog("Mark as paid?", icon=":material/payments:")
def confirm_payment(period: Period, people: pd.DataFrame) -> None:
    """Ask, then record the payment."""
    title = widgets.period_title(period)
    st.write(
        f"Records that {widgets.plain(_sums(people, 'due'))} of {title} was paid. Do this when payroll has it; it is "
        "recorded once, whoever presses."
    )
    if st.button("Mark as paid", type="primary", key="pay_yes") and attempt(
        lambda: payouts.mark_paid(state.database(), auth.require("payouts.pay"), period.name), f"{title} is paid."
    ):
        st.rerun()


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
        "next period that is approved pays it. This payout itself is never paid a second time."
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

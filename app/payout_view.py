"""What waits for the viewer, the steps of a payout, and the questions before each."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from app import auth, navigation, payment_view, run_view, state, widgets
from app.actions import attempt
from app.widgets import Card
from engine.periods import Period, parse_period
from engine.services import access, approvals, payouts, statements
from engine.services.access import Actor
from engine.services.approvals import Standing, Waiting

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
                does = {"approve": "Approve", "payout": "Approve the payout of", "pay": "Pay"}[one.what]
                other = " (by another admin)" if one.blocked else ""
                navigation.link("payouts", f"{does} {title}{other}", {"period": one.period})
        if len(others) > _LISTED:
            st.caption(f"and {len(others) - _LISTED} more", width="content")


def steps(row: "pd.Series[Any]") -> None:
    """Where a pay period stands: calculated, approved, paid, each with its time and who did it."""
    with st.container(horizontal=True, vertical_alignment="center"):
        _step("Calculated", row["calculated_at"], None, ":material/calculate:")
        if not pd.isna(row["locked_at"]):
            _step("Amounts locked", row["locked_at"], None, ":material/lock:")
        _step("Approved", row["approved_at"], row["approved_by"], ":material/task_alt:")
        if row["payout_status"] == "part_paid":
            st.badge("Part paid", icon=":material/hourglass_top:", color="orange")
        elif row["payout_status"] == "released":
            st.badge("Released: due again, in the next payout", icon=":material/undo:", color="orange")
        else:
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
    due = "after approval" if status in ("open", "locked") else _sums(people, "due")
    cards = [Card("Earned", _sums(people, "earned"))]
    if people["manual"].ne(0).any():
        cards.append(
            Card("Manual adjustments", _sums(people, "manual"), help="Given by hand, on top of what is earned")
        )
    if "payable" in people:
        cards.append(Card("Payable now", _sums(people, "payable"), help="What a payout that is approved today pays"))
    if people["deferred"].ne(0).any():
        cards.append(
            Card("Payable later", _sums(people, "deferred"), help="By the plan's schedule, or when it happens")
        )
    if people["paid"].fillna(0).ne(0).any() and people["open"].fillna(0).ne(0).any():
        cards.append(Card("Not paid yet", _sums(people, "open"), help="Of what is due"))
    if status != "locked":
        cards.append(
            Card(
                "Paid" if status == "paid" and not people["released"].fillna(0).any() else "Due",
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
    status, payout = row["status"], row["payout_status"]
    with widgets.tools():
        if status in ("open", "locked") and access.may(actor, "payouts.approve"):
            _approve_buttons(period, people, before, locked=status == "locked")
        if payout in ("approved", "part_paid") and access.may(actor, "payouts.pay"):
            if st.button(
                f"Mark {title} as paid", type="primary", icon=":material/payments:", disabled=bool(before.blocked)
            ):
                payment_view.confirm_payment(period)
            if people["open"].fillna(0).ne(0).any() and st.button("Release", icon=":material/undo:"):
                payment_view.confirm_release(period)
        may_reverse = payout in ("part_paid", "paid") and access.may(actor, "payouts.reverse")
        if may_reverse and st.button("Take payments back", icon=":material/undo:"):
            payment_view.reverse(period)
        if status in ("approved", "paid") and access.may(actor, "payouts.export"):
            payment_view.payroll(actor, period.name)
    if before.outdated:
        run_view.outdated(period)
    if before.blocked and access.may(actor, "payouts.approve"):
        st.info(widgets.plain(before.blocked), icon=":material/group:")


def _approve_buttons(period: Period, people: pd.DataFrame, before: Standing, *, locked: bool) -> None:
    """Approve in one step, or lock the amounts first."""
    stopped = bool(before.blocked or before.outdated)
    label = f"Approve {'the payout of ' if locked else ''}{widgets.period_title(period)}"
    if st.button(label, type="primary", icon=":material/task_alt:", disabled=stopped):
        confirm_approval(period, people, before, locked=locked)
    if not locked and st.button(
        "Lock amounts",
        icon=":material/lock:",
        disabled=stopped,
        help="Closes the calculation without a payout: what is payable goes on following schedules and customers' "
        "payments until the payout is approved",
    ):
        confirm_lock(period, people, before)


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


@st.dialog("Approve?", icon=":material/task_alt:")
def confirm_approval(period: Period, people: pd.DataFrame, before: Standing, *, locked: bool = False) -> None:
    """Ask, then approve."""
    title = widgets.period_title(period)
    if locked:
        payable = payouts.payable_now(state.database(), auth.require("payouts.view"), state.today())
        st.write(
            f"The amounts of {title} are final already. Everything that is payable today, "
            f"{widgets.plain(payment_view.sums(payable))}, becomes its payout; what is payable later is taken by the "
            "payouts after it."
        )
    else:
        _what_closes(period, people, before)
    if st.button("Approve", type="primary", key="approve_yes"):

        def approve() -> None:
            actor = auth.require("payouts.approve")
            payouts.approve_period(state.database(), actor, period.name, before.version, state.today(), state.pool())
            # Everyone's statement is kept as it reads now, before names change.
            state.jobs().submit(actor, statements.JOB, {"period": period.name})

        if attempt(approve, f"{title} is approved."):
            st.rerun()


@st.dialog("Lock the amounts?", icon=":material/lock:")
def confirm_lock(period: Period, people: pd.DataFrame, before: Standing) -> None:
    """Ask, then lock."""
    title = widgets.period_title(period)
    _what_closes(period, people, before)
    st.write("Nothing is paid yet: approve the payout when it is time. Until then what is payable follows the days.")
    if st.button("Lock amounts", type="primary", key="lock_yes") and attempt(
        lambda: payouts.lock_amounts(
            state.database(),
            auth.require("payouts.approve"),
            period.name,
            before.version,
            state.today(),
            state.pool(),
        ),
        f"The amounts of {title} are locked.",
    ):
        st.rerun()


def _what_closes(period: Period, people: pd.DataFrame, before: Standing) -> None:
    """What becomes final, and what to look at before."""
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
    if people["deferred"].ne(0).any():
        st.write(f"{widgets.plain(_sums(people, 'deferred'))} of what was earned so far is payable later.")
    if period.last_day >= state.today():
        st.warning(f"{title} has not ended yet: deals that close later in it will be paid as adjustments.")
    if before.disputes:
        one = before.disputes == 1
        st.warning(f"{before.disputes} dispute{' is' if one else 's are'} still open about {title}.")

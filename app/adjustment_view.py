"""Manual adjustments: the list, and the forms that add one, override a line, or withdraw."""

import uuid

import pandas as pd
import streamlit as st

from app import auth, state, widgets
from app.actions import attempt
from app.widgets import money_column, text_column, time_column
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.money import format_money, parse_money
from engine.periods import Period
from engine.services import access, adjustments
from engine.services.access import Actor
from engine.services.adjustments import NewAdjustment

_KINDS = {"spif": "SPIF", "bonus": "Bonus", "correction": "Correction", "override": "Override"}


def adjustments_table(actor: Actor, period: Period, status: str) -> None:
    """What was given by hand in the period, withdrawn ones too; an admin adds to and withdraws from an open one."""
    title = widgets.period_title(period)
    found = adjustments.list_adjustments(state.database(), actor, period.name)
    may_edit = status == "open" and access.may(actor, "payouts.adjust")
    if may_edit and st.button("Add an adjustment", icon=":material/add:"):
        add(period)
    if found.empty:
        text = "A SPIF, a bonus or a correction that no plan pays is added here, with its reason."
        if status != "open":
            text = f"{title} is {status} and takes none any more. Add it in the next open period."
        widgets.empty(f"No manual adjustments in {title}", text, icon=":material/edit_note:")
        return
    chosen = widgets.table(
        _worded(found), _columns(found), key="adjustments", export=f"adjustments-{period.name}", select=may_edit
    )
    if not may_edit:
        return
    if chosen is None:
        st.caption("Paid with the period, on top of what the plan pays. Choose one to withdraw it.")
    elif pd.isna(found.iloc[chosen]["withdrawn_at"]) and st.button(
        f"Withdraw {widgets.plain(_one(found, chosen))} for {widgets.plain(str(found.iloc[chosen]['name']))}",
        icon=":material/undo:",
    ):
        withdraw(int(found.iloc[chosen]["id"]), f"{_one(found, chosen)} for {found.iloc[chosen]['name']}")


def person_adjustments(actor: Actor, user_id: int, period: str) -> None:
    """What a person was given by hand in a period, for whoever may see the person's pay; nothing when there is none."""
    found = adjustments.list_adjustments(state.database(), actor, period, user_id)
    if found.empty:
        return
    st.subheader("Manual adjustments", anchor=False)
    columns = {name: column for name, column in _columns(found).items() if name not in ("name", "withdrawn_at")}
    widgets.table(_worded(found), columns, key=f"adjustments_{user_id}", export=f"adjustments-{period}")


def _one(found: pd.DataFrame, row: int) -> str:
    return widgets.money(int(found.iloc[row]["amount"]), found.iloc[row]["currency"])


def _worded(found: pd.DataFrame) -> pd.DataFrame:
    return found.assign(kind=found["kind"].map(_KINDS))


def _columns(found: pd.DataFrame) -> dict[str, widgets.Column]:
    """The columns; those about overridden lines, deals and withdrawal only where there is something."""
    columns = {
        "name": text_column("Person"),
        "amount": money_column("Amount"),
        "kind": text_column("Kind"),
        "reason": text_column("Why"),
        "deal": text_column("Deal"),
        "component": text_column("Component"),
        "line_then": money_column("Line then", help="What the line came to when it was overridden"),
        "line_now": money_column(
            "Line now", help="What the same line is in the latest run; the override is added to it"
        ),
        "created_by": text_column("By"),
        "created_at": time_column("Added"),
        "withdrawn_by": text_column("Withdrawn by"),
        "withdrawn_at": time_column("Withdrawn"),
    }
    optional = ("deal", "component", "line_then", "line_now", "withdrawn_by", "withdrawn_at")
    return {
        name: column
        for name, column in columns.items()
        if name not in optional or (found[name].notna() & found[name].ne("")).any()
    }


# --- forms ------------------------------------------------------------------------------------------


def _request(form: str) -> str:
    """The form's request: the same until it is done, so that a second click finds what the first has made."""
    found: str = st.session_state.setdefault(f"request_{form}", str(uuid.uuid4()))
    return found


def _finish(form: str) -> None:
    st.session_state.pop(f"request_{form}", None)
    st.rerun()


def _cents(label: str, text: str, currency: str) -> int:
    """What was typed in the field of that label."""
    try:
        return parse_money(text, currency)
    except QuotaPathError as error:
        raise ProblemsError([Problem(label, str(error))]) from error


@st.dialog("Add a manual adjustment", icon=":material/edit_note:")
def add(period: Period) -> None:
    """Ask for it, then keep it."""
    add_body(period)


def add_body(period: Period) -> None:
    """The form of an adjustment."""
    actor = auth.require("payouts.adjust")
    db, title = state.database(), widgets.period_title(period)
    names = adjustments.adjustable_people(db, actor)
    person = st.selectbox(
        "Person", list(names), index=None, format_func=names.__getitem__, placeholder="Whose pay", key="adjust_person"
    )
    currency = adjustments.pay_currency(db, actor, person, period.name) if person else ""
    kind = st.segmented_control(
        "Kind", adjustments.KINDS, format_func=_KINDS.__getitem__, default="spif", required=True, key="adjust_kind"
    )
    amount = st.text_input(
        f"Amount ({currency})" if currency else "Amount",
        key="adjust_amount",
        placeholder="500.00",
        help="A minus takes it from the person's pay",
    )
    reason = st.text_area("Why", key="adjust_reason", max_chars=adjustments.REASON, help="The person reads it, too")
    deal = st.text_input("Deal ID (optional)", key="adjust_deal", help="As the CRM names it")
    if not st.button(f"Add to {title}", type="primary", key="adjust_yes"):
        return

    def keep() -> None:
        if person is None:
            raise ProblemsError([Problem("Person", "is not chosen.", "Choose whose pay it is.")])
        cents = _cents("Amount", amount, currency)
        new = NewAdjustment(_request("adjust"), person, kind or "spif", cents, reason or "", deal or "")
        adjustments.add_adjustment(db, actor, period.name, new)

    if attempt(keep, f"Added to {title}."):
        _finish("adjust")


@st.dialog("Withdraw this adjustment?", icon=":material/undo:")
def withdraw(adjustment_id: int, what: str) -> None:
    """Ask, then withdraw."""
    st.write(f"{widgets.plain(what)} will not be paid. It stays in the list, marked as withdrawn.")
    if st.button("Withdraw", type="primary", key="withdraw_yes") and attempt(
        lambda: adjustments.withdraw_adjustment(state.database(), auth.require("payouts.adjust"), adjustment_id),
        "Withdrawn.",
    ):
        st.session_state.pop("adjustments", None)
        st.rerun()


@st.dialog("Override this line", icon=":material/edit:")
def override(line_id: int, cents: int, currency: str) -> None:
    """Ask for the amount and the reason, then keep the difference."""
    override_body(line_id, cents, currency)


def override_body(line_id: int, cents: int, currency: str) -> None:
    """The form of an override: what the line comes to, and what it should."""
    actor = auth.require("payouts.adjust")
    st.write(
        f"The line comes to {widgets.plain(widgets.money(cents, currency))} and stays as it was calculated. The "
        "difference to your amount is added beside it, with your reason, and paid with the period."
    )
    amount = st.text_input(f"Pay instead ({currency})", value=format_money(cents, currency), key="override_amount")
    reason = st.text_area("Why", key="override_reason", max_chars=adjustments.REASON, help="The person reads it, too")
    form = f"override_{line_id}"
    if st.button("Override", type="primary", key="override_yes") and attempt(
        lambda: adjustments.override_line(
            state.database(), actor, _request(form), line_id, _cents("Pay instead", amount, currency), reason or ""
        ),
        "The line is overridden.",
    ):
        _finish(form)

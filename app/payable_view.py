"""What is payable later: the sentence that says when, and the table per deal; and what a deal's customer has paid."""

import uuid
from collections.abc import Iterable

import pandas as pd
import streamlit as st

from app import state, widgets
from app.actions import attempt
from app.widgets import date_column, money_column, text_column, time_column
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.money import parse_money
from engine.services import payables
from engine.services.access import Actor
from engine.services.deals import DealDetail
from engine.services.statement_words import scheduled


def sentence(rows: Iterable[tuple[str, str, int]], currency: str) -> str:
    """``Scheduled: Dec 2026 $1,200.00; waits for the customer's payment $300.00``; rows as `scheduled` takes them."""
    parts = [f"{label} {widgets.money(cents, currency)}" for label, cents in scheduled(rows)]
    return f"Scheduled: {'; '.join(parts)}." if parts else ""


def schedule(found: pd.DataFrame, key: str) -> None:
    """When what is held back will be payable (of `payables.schedule`); draws nothing when nothing is."""
    if found.empty:
        return
    st.subheader("Payable later", anchor=False)
    for currency, part in found.groupby("currency"):
        rows = [
            ("" if pd.isna(due) else str(due), waits, int(cents))
            for due, waits, cents in zip(part["due_on"], part["waits_for"], part["amount"], strict=True)
        ]
        st.markdown(widgets.plain(sentence(rows, str(currency))))
    frame = found.assign(
        due_on=pd.to_datetime(found["due_on"]),
        deal=found["deal"].fillna("Carried from earlier periods"),
        waits_for=found["waits_for"].str.capitalize(),
    )
    columns = {
        "deal": text_column("Deal"),
        "amount": money_column("Amount"),
        "due_on": date_column("Payable on"),
        "waits_for": text_column("Waits for"),
        "label": text_column("Component"),
        "origin_period": text_column("Earned in"),
        "external_id": text_column("Deal ID"),
    }
    if not frame["waits_for"].any():
        del columns["waits_for"]
    if frame["due_on"].isna().all():
        del columns["due_on"]
    widgets.table(frame, columns, key=key, export=key)


# --- what a deal's customer has paid ------------------------------------------------------------------


def customer_payments(actor: Actor, detail: DealDetail) -> None:
    """What the customer has paid of a deal, and the form that records more."""
    db, deal = state.database(), detail.deal
    found = payables.customer_payments(db, actor, deal.id)
    currency = deal.fields.currency
    if found.empty:
        st.caption("Nothing is recorded. Plans that pay as the customer pays hold their commission until it is.")
    else:
        paid, amount = int(found["amount"].sum()), deal.fields.amount
        whole = f" of {widgets.money(amount, currency)}" if amount else ""
        st.markdown(widgets.plain(f"Paid so far: {widgets.money(paid, currency)}{whole}."))
        widgets.table(
            found.assign(paid_on=pd.to_datetime(found["paid_on"])),
            {
                "paid_on": date_column("Paid on"),
                "amount": money_column("Amount"),
                "created_by": text_column("Recorded by"),
                "created_at": time_column("At"),
            },
            key=f"deal_payments_{deal.id}",
        )
    key = f"deal_{deal.id}_paid_{len(found)}"  # what was sent leaves an empty form
    request = st.session_state.setdefault(f"{key}_request", str(uuid.uuid4()))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        day = st.date_input("Paid on", state.today(), max_value=state.today(), key=f"{key}_day", width=150)
        text = st.text_input(
            f"Amount ({currency})",
            key=f"{key}_amount",
            placeholder="5,000.00",
            width=150,
            help="With a minus where money was paid back, or to undo a mistake",
        )
        sent = st.button("Record", type="primary", icon=":material/add:", key=f"{key}_send")

    def record() -> None:
        try:
            cents = parse_money((text or "").strip(), currency)
        except QuotaPathError as error:
            raise ProblemsError([Problem("Amount", str(error))]) from error
        payables.record_customer_payment(db, actor, deal.id, request, day, cents, state.today())

    if sent and attempt(record, "The customer's payment is recorded. The next payout that is approved follows it."):
        st.rerun()

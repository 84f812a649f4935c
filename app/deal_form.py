"""The form in which a deal is entered or corrected; money and shares are read exactly, from text."""

from collections.abc import Callable

import pandas as pd
import streamlit as st

from engine.analytics.deals import number_text
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.money import currency_digits, format_money, format_rate, parse_money, parse_number, parse_rate
from engine.services.deals import DealChoices, DealFields


def deal_form(key: str, fields: DealFields, choices: DealChoices, action: str) -> Callable[[], DealFields] | None:
    """The fields of a deal to fill in; once sent, a function that reads them (it may raise ProblemsError).

    An ``owner_id`` of 0 is an owner still to be chosen.
    """
    credited = {user for user, _ in fields.credits} | {fields.owner_id}
    people = {
        int(user): name
        for user, name, active in zip(
            choices.people["id"], choices.people["name"], choices.people["is_active"], strict=True
        )
        if active or user in credited
    }
    stages = dict(zip(choices.stages["id"], choices.stages["name"], strict=True))

    with st.form(key, border=False):
        name = st.text_input("Name", fields.name, max_chars=1000)
        left, right = st.columns(2)
        account = left.text_input("Account", fields.account, max_chars=1000)
        owner = right.selectbox(
            "Owner",
            list(people),
            index=list(people).index(fields.owner_id) if fields.owner_id else None,
            format_func=people.__getitem__,
        )
        stage = left.selectbox(
            "Stage", list(stages), index=list(stages).index(fields.stage_id), format_func=lambda at: stages[at]
        )
        closes = right.date_input("Close date", fields.close_date, format="YYYY-MM-DD", required=True)
        amount = left.text_input("Amount", _written(fields.amount, fields.currency), placeholder="60,000.00")
        currency = right.text_input("Currency", fields.currency, max_chars=3)
        kind = left.text_input("Type", fields.type, max_chars=200)
        product = right.text_input("Product", fields.product, max_chars=200)
        segment = left.text_input("Segment", fields.segment, max_chars=200)
        term = right.number_input("Term in months", 0, 1200, fields.term_months, step=1)
        margin = left.text_input("Margin", _written(fields.margin, fields.currency))
        quantity = right.text_input(
            "Quantity", "" if fields.quantity_micro is None else number_text(fields.quantity_micro)
        )
        cancelled = left.date_input(
            "Cancelled on", fields.cancelled_on, format="YYYY-MM-DD", help="Only for a won deal that fell through."
        )
        st.caption("Credits: who shares the deal. Without a row the owner has all of it; overlays may add up to more.")
        shares = st.data_editor(
            pd.DataFrame(
                [(user, format_rate(ppm)) for user, ppm in fields.credits], columns=["person", "share"], dtype=object
            ),
            num_rows="dynamic",
            hide_index=True,
            column_config={
                "person": st.column_config.SelectboxColumn(
                    "Person", options=list(people), format_func=lambda user: people.get(int(user), "")
                ),
                "share": st.column_config.TextColumn("Share", help="Such as 60% or 33.3333%"),
            },
            key=f"{key}_credits",
        )
        sent = st.form_submit_button(action, type="primary")
    if not sent:
        return None

    def read() -> DealFields:
        problems: list[Problem] = []

        def value(path: str, text: str, parse: Callable[[str], int]) -> int | None:
            try:
                return parse(text) if text.strip() else None
            except QuotaPathError as error:
                problems.append(Problem(path, str(error)))
                return None

        code = currency.strip().upper()
        try:
            currency_digits(code)
        except QuotaPathError as error:
            raise ProblemsError([Problem("currency", str(error))]) from None
        shared = []
        for user, share in shares.itertuples(index=False):
            # A row that is begun must be whole: a share forgotten is not a share of nothing.
            if pd.isna(user) != pd.isna(share):
                problems.append(Problem("credits", "a row lacks its person or share.", "Fill in both, or delete it."))
            elif not pd.isna(user):
                ppm = value("credits", share if share.strip().endswith("%") else f"{share}%", parse_rate)
                shared.append((int(user), ppm or 0))
        if owner is None:
            problems.append(Problem("owner", "is not chosen.", "Choose who sold it."))
        found = DealFields(
            name=name.strip(),
            account=account.strip(),
            owner_id=owner or 0,
            stage_id=stage,
            amount=value("amount", amount, lambda text: parse_money(text, code)),
            currency=code,
            close_date=closes,
            margin=value("margin", margin, lambda text: parse_money(text, code)),
            quantity_micro=value("quantity", quantity, parse_number),
            created_date=fields.created_date,
            type=kind.strip(),
            product=product.strip(),
            segment=segment.strip(),
            term_months=term,
            cancelled_on=cancelled,
            credits=tuple(shared),
        )
        if problems:
            raise ProblemsError(problems)
        return found

    return read


def _written(cents: int | None, currency: str) -> str:
    return "" if cents is None else format_money(cents, currency, thousands=True)

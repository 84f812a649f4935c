"""The form in which a deal is entered or corrected; money is read exactly, from text."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import streamlit as st

from app import widgets
from engine.analytics.deals import number_text
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.money import currency_digits, format_money, parse_money, parse_number
from engine.services.deal_fields import DealField
from engine.services.deals import DealChoices, DealFields


def deal_form(
    key: str, fields: DealFields, choices: DealChoices, action: str, extra: Mapping[str, Any] = MappingProxyType({})
) -> Callable[[], tuple[DealFields, dict[str, str]]] | None:
    """The fields of a deal to fill in; once sent, a function that reads them (it may raise ProblemsError).

    It gives the fields and the company's own ones that changed, as typed.  Credits stay as they are.  An ``owner_id``
    of 0 is an owner still to be chosen.
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
        typed = {field.name: _own_field(field, str(extra.get(field.name) or "")) for field in choices.fields}
        sent = st.form_submit_button(action, type="primary")
    if not sent:
        return None

    def read() -> tuple[DealFields, dict[str, str]]:
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
            credits=fields.credits,
        )
        if problems:
            raise ProblemsError(problems)
        # What nobody touched stays, even where it does not fit its field.
        return found, {name: text for name, text in typed.items() if text != str(extra.get(name) or "")}

    return read


def _own_field(field: DealField, now: str) -> str:
    """A field that the company has defined; gives its value as text, "" for none."""
    if field.kind in ("choice", "yes_no"):
        options = list(field.choices) if field.kind == "choice" else ["true", "false"]
        if now and now not in options:
            options.append(now)  # brought by an import; it stays until somebody chooses another
        says = {"true": "Yes", "false": "No"} if field.kind == "yes_no" else {}
        found = st.selectbox(
            widgets.plain(field.name),
            ["", *options],
            index=(["", *options]).index(now),
            format_func=lambda value: says.get(value, value) or "–",
        )
        return found or ""
    example = {"number": "12.5", "date": "2026-01-31"}.get(field.kind)
    return st.text_input(widgets.plain(field.name), now, max_chars=1000, placeholder=example).strip()


def _written(cents: int | None, currency: str) -> str:
    return "" if cents is None else format_money(cents, currency, thousands=True)

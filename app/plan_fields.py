"""The fields of a plan and of its components.  Each function draws fields and returns the table as they now say."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

import pandas as pd
import streamlit as st

from app import widgets
from app.plan_rows import OPERATORS, filter_rows, in_order, of_kind, replaced, tier_rows, tiers_of, when_of, written
from engine.calc.model import MONEY_MEASURES
from engine.periods import KINDS as PERIODS
from engine.plans.document import ROUNDINGS

KIND_LABELS = {
    "flat": "Flat amount per deal",
    "percentage": "Percentage of the deal",
    "tiered": "Tiered by deal size",
    "quota": "Quota-based tiers",
    "curve": "Payout curve",
    "bonus": "Milestone bonus",
}
FORM_KINDS = ("flat", "percentage", "tiered", "quota")
_APPLIES = {"slice": "Each slice at its own rate", "all": "The rate reached applies to everything"}
_ROUNDING_LABELS = {"half_up": "Half up", "half_even": "Half to even"}


def kind_label(kind: Any) -> str:
    """What people call a kind of component."""
    return KIND_LABELS.get(kind, written(kind) or "Choose a kind")


class _Fields:
    """Fields of one table: `table` begins as the document has it and follows what is typed."""

    def __init__(self, table: Mapping[str, Any], prefix: str) -> None:
        self.table = dict(table)
        self.prefix = prefix

    def text(self, place: Any, key: str, label: str, **more: Any) -> None:
        """A text field; empty takes the key away."""
        typed = place.text_input(label, written(self.table.get(key)), key=f"{self.prefix}_{key}", **more)
        self.table = replaced(self.table, key, typed)

    def choice(
        self,
        place: Any,
        key: str,
        label: str,
        choices: Sequence[str],
        default: str,
        names: Mapping[str, str],
        **more: Any,
    ) -> None:
        """A choice whose `default` need not be written; a value outside the choices is offered as it is."""
        now = self.table.get(key, default)
        options = list(choices) if now in choices else [now, *choices]
        chosen = place.selectbox(
            label,
            options,
            options.index(now),
            format_func=lambda value: names.get(written(value), written(value).capitalize()),
            key=f"{self.prefix}_{key}",
            **more,
        )
        if chosen != now:
            self.table[key] = chosen


def plan_fields(base: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """What holds for the whole plan: first day, currency, pay period, rounding."""
    fields = _Fields(base, prefix)
    first, second, third, fourth = st.columns([1.3, 0.9, 1, 1.1])
    start = base.get("effective_from")
    day = first.date_input(
        "In force from",
        start if isinstance(start, date) else None,
        key=f"{prefix}_start",
        format="YYYY-MM-DD",
        help="Deals closed from this day on are calculated by this version, until the next one starts.",
    )
    if day is not None and day != start:
        fields.table["effective_from"] = day
    fields.text(second, "currency", "Currency", max_chars=3, help="Three capital letters, such as USD.")
    fields.choice(third, "pay_period", "Paid each", PERIODS, "month", {})
    fields.choice(
        fourth, "rounding", "Rounding", ROUNDINGS, "half_up", _ROUNDING_LABELS, help="How half a cent is rounded."
    )
    return fields.table


def component_fields(base: Mapping[str, Any], prefix: str, plan: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """The fields of one component of `plan`; returns it as it is now, and a place for its problems."""
    place = st.container()
    naming, identity, kinds = st.columns([1.7, 1.2, 1.6])
    fields = _Fields(base, prefix)
    fields.text(naming, "label", "Name", placeholder=written(base.get("id")))
    fields.text(identity, "id", "Id", help="Stands on every line of pay. Versions that share it go on accumulating.")
    options = FORM_KINDS if base.get("kind") in FORM_KINDS else (base.get("kind"), *FORM_KINDS)
    kind = kinds.selectbox(
        "Kind", options, options.index(base.get("kind")), format_func=kind_label, key=f"{prefix}_kind"
    )
    component = of_kind(fields.table, kind) if kind in FORM_KINDS else fields.table
    draw = _OF_KIND.get(kind)
    if draw is None:
        st.caption(f"The figures of a {kind_label(kind).lower()} are edited in the text.")
    else:
        component = draw(component, f"{prefix}_{kind}", plan)
    component = _filter(component, prefix)
    return (component if component == base else in_order(component)), place


# --- the four kinds --------------------------------------------------------------------------------


def _flat(component: dict[str, Any], prefix: str, plan: Mapping[str, Any]) -> dict[str, Any]:
    fields = _Fields(component, prefix)
    amount, share = st.columns([1, 2], vertical_alignment="bottom")
    fields.text(amount, "amount", f"Amount per deal{_currency(plan)}")
    whole = share.checkbox(
        "Everyone on a shared deal gets the whole amount",
        component.get("scale_by_share") is False,
        key=f"{prefix}_whole",
    )
    if whole != (component.get("scale_by_share") is False):
        fields.table["scale_by_share"] = not whole
    return fields.table


def _percentage(component: dict[str, Any], prefix: str, _: Mapping[str, Any]) -> dict[str, Any]:
    fields = _Fields(component, prefix)
    rate, base = st.columns(2)
    fields.text(rate, "rate", "Rate", help='A percentage such as "8%", or "1.5x" of the base rate.')
    fields.table = _base_rate(base, fields.table, prefix)
    return fields.table


def _tiered(component: dict[str, Any], prefix: str, plan: Mapping[str, Any]) -> dict[str, Any]:
    fields = _Fields(component, prefix)
    fields.choice(st, "applies", "What a tier's rate applies to", tuple(_APPLIES), "all", _APPLIES)
    return _tiers(fields.table, prefix, f"From deal size{_currency(plan)}")


def _quota(component: dict[str, Any], prefix: str, plan: Mapping[str, Any]) -> dict[str, Any]:
    fields = _Fields(component, prefix)
    period, quota, base = st.columns(3)
    fields.choice(
        period,
        "quota_period",
        "Quota period",
        PERIODS,
        written(plan.get("pay_period")) or "month",
        {},
        help="Credit accumulates over it.",
    )
    fields.text(
        quota,
        "quota",
        f"Default quota{_currency(plan) if _in_money(component) else ''}",
        placeholder="none",
        help="For people without a quota of their own on the Quotas page.",
    )
    fields.table = _base_rate(base, fields.table, prefix)
    fields.choice(st, "applies", "What a tier's rate applies to", tuple(_APPLIES), "slice", _APPLIES)
    return _tiers(fields.table, prefix, "From (% of quota, or a figure)")


_OF_KIND: Mapping[Any, Callable[[dict[str, Any], str, Mapping[str, Any]], dict[str, Any]]] = {
    "flat": _flat,
    "percentage": _percentage,
    "tiered": _tiered,
    "quota": _quota,
}


def _currency(plan: Mapping[str, Any]) -> str:
    return f" ({plan['currency']})" if plan.get("currency") else ""


def _in_money(component: Mapping[str, Any]) -> bool:
    return component.get("measure", "amount") in MONEY_MEASURES


def _base_rate(place: Any, component: dict[str, Any], prefix: str) -> dict[str, Any]:
    base = component.get("base_rate")
    if isinstance(base, Mapping):
        fields = _Fields(base, f"{prefix}_base")
        with place:
            fields.text(st, "target_pay", "Target pay", help="The base rate is target pay x weight / quota.")
            fields.text(st, "weight", "Weight", placeholder="100%")
        return {**component, "base_rate": fields.table}
    fields = _Fields(component, prefix)
    fields.text(place, "base_rate", "Base rate", placeholder="none", help='What "1.5x" in a rate multiplies.')
    return fields.table


def _tiers(component: dict[str, Any], prefix: str, edge: str) -> dict[str, Any]:
    """The table of tiers; the column of amounts is there where units are measured, `applies` where a tier has it."""
    tiers = component.get("tiers")
    rows = tier_rows(tiers)
    if rows is None:
        st.caption("These tiers are written in a way that the table cannot show; edit them in the text.")
        return component
    columns = ["from", "rate"]
    if not _in_money(component) or any(row["amount"] for row in rows):
        columns.append("amount")
    if any(row["applies"] for row in rows):
        columns.append("applies")
    # The hidden position finds the tier again when rows are added or deleted.
    frame = pd.DataFrame(
        [{**{key: row[key] for key in columns}, "position": index} for index, row in enumerate(rows)],
        columns=[*columns, "position"],
    ).astype({**dict.fromkeys(columns, "str"), "position": "Int64"})
    config = st.column_config
    edited = st.data_editor(
        frame,
        key=f"{prefix}_tiers",
        num_rows="dynamic",
        hide_index=True,
        placeholder="",
        column_order=columns,
        column_config={
            "from": config.TextColumn(edge, help="The first tier starts at 0."),
            "rate": config.TextColumn("Rate", help='A percentage such as "8%", or "1.5x" of the base rate.'),
            "amount": config.TextColumn("Amount a unit"),
            "applies": config.SelectboxColumn("Applies", options=list(_APPLIES)),
        },
    )
    found = [
        (None if pd.isna(row["position"]) else int(row["position"]), {key: _cell(row[key]) for key in columns})
        for row in edited.to_dict("records")
    ]
    after = tiers_of(found, tiers)
    return component if after == (tiers or []) else {**component, "tiers": after}


def _cell(value: Any) -> str:
    return "" if value is None or pd.isna(value) else str(value)


# --- the filter ------------------------------------------------------------------------------------


def _filter(component: dict[str, Any], prefix: str) -> dict[str, Any]:
    when = component.get("when")
    rows = filter_rows(when)
    if rows is None:
        st.caption("The filter is written in a way that the table cannot show; edit it in the text.")
        return component
    frame = pd.DataFrame(rows, columns=["field", "operator", "value"]).astype("str")
    with st.expander(
        f"Only some deals · {len(rows)} condition{'s' if len(rows) != 1 else ''}"
        if rows
        else "Every deal · add a filter",
        key=f"{prefix}_filter",
        icon=":material/filter_alt:",
        expanded=bool(rows),
    ):
        config = st.column_config
        edited = st.data_editor(
            frame,
            key=f"{prefix}_when",
            num_rows="dynamic",
            hide_index=True,
            placeholder="",
            column_config={
                "field": config.TextColumn(
                    "Deal field",
                    help="type, product, segment, amount, quantity, margin, close_date, or a field of your own",
                ),
                "operator": config.SelectboxColumn("Is", options=list(OPERATORS.values()), default=OPERATORS["is"]),
                "value": config.TextColumn("Value", help="Several values: separate them by commas."),
            },
        )
        after, wrong = when_of(
            [(_cell(row["field"]), _cell(row["operator"]), _cell(row["value"])) for row in edited.to_dict("records")],
            when,
        )
        if wrong:
            st.warning(widgets.plain(wrong), icon=":material/warning:")
    if after is None:
        return {key: value for key, value in component.items() if key != "when"}
    return {**component, "when": after}

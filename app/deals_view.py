"""The pieces of the deals page: filters, cards, the list to read or to type in, exports."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import drill, state, widgets
from app.deal_drawer import COLORS, amount_text, forget, redraw
from app.widgets import Card
from engine import sheets
from engine.money import parse_money
from engine.periods import Period, parse_period, period_of
from engine.services import dashboard, deals
from engine.services.access import Actor
from engine.services.deal_fields import DealField
from engine.services.deals import DealChoices, DealFilters, DealPage, FieldFilter, Page

PAGE_SIZE = 50
_OUTCOMES = {"All": "", "Open": "open", "Won": "won", "Lost": "lost", "Cancelled": "cancelled"}
_SORTS = {
    "Close date, latest first": ("close_date", True),
    "Close date, earliest first": ("close_date", False),
    "Amount, largest first": ("amount", True),
    "Amount, smallest first": ("amount", False),
    "Name": ("name", False),
    "Account": ("account", False),
    "Owner": ("owner", False),
    "Stage": ("stage", False),
}
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_XLSX_ROWS = 1_048_575  # what a sheet holds below its header


# --- the list --------------------------------------------------------------------------------------


def filters(choices: DealChoices, team: int | None) -> tuple[DealFilters, Page, DeltaGenerator, DeltaGenerator]:
    """The filters, kept in the URL, the rarer ones in a popover; and the places for the cards and the exports."""
    with st.container(horizontal=True, vertical_alignment="center", key="deal_filters"):
        text = st.text_input(
            "Search",
            key="q",
            bind="query-params",
            icon=":material/search:",
            placeholder="Deal, account or ID",
            label_visibility="collapsed",
            width="stretch",
        )
        show = st.segmented_control(
            "Show",
            list(_OUTCOMES),
            default="All",
            required=True,
            key="show",
            bind="query-params",
            label_visibility="collapsed",
        )
        closing = st.selectbox(
            "Close date",
            ["", *_periods(state.today(), st.query_params.get("closing", ""))],
            format_func=lambda name: widgets.period_title(parse_period(name)) if name else "Any close date",
            key="closing",
            bind="query-params",
            label_visibility="collapsed",
            width=180,
        )
    behind = drill.asked()
    drill.shown(behind, dict(zip(choices.stages["id"], choices.stages["name"], strict=True)))
    for_cards = st.container()
    with st.container(horizontal=True, horizontal_alignment="distribute"):
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            more = _more_filters(choices)
            order = st.selectbox(
                "Order", list(_SORTS), key="order", bind="query-params", label_visibility="collapsed", width=230
            )
            if choices.fields:
                with st.popover("Columns", icon=":material/view_column:"):
                    names = [field.name for field in choices.fields]
                    st.pills(
                        "Your fields", names, selection_mode="multi", key="deal_columns", format_func=widgets.plain
                    )
        for_exports = st.container(horizontal=True, vertical_alignment="center", width="content")
    period = parse_period(closing) if closing else None
    chosen = DealFilters(
        text=text or "",
        team_id=team,
        outcome=_OUTCOMES[show or "All"],
        closed_from=period.first_day if period else None,
        closed_until=period.last_day + timedelta(days=1) if period else None,
        behind=behind,
        **more,
    )
    if st.session_state.get("deals_filtered") != (chosen, order):
        # Other filters begin on their first page: a pager of their own.
        st.session_state.update(deals_filtered=(chosen, order), deals_pager=st.session_state.get("deals_pager", 0) + 1)
    number = st.session_state.get(pager_key(), 1)
    at = (chosen, order, number)
    if st.session_state.setdefault("deals_at", at) != at:
        # Ticks are places on a page; another page has other deals there.
        st.session_state.update(deals_at=at, deals_ticked=[])
        redraw()
    return chosen, Page(number, PAGE_SIZE, *_SORTS[order]), for_cards, for_exports


def pager_key() -> str:
    """The key of the pager that belongs to the filters of now."""
    return f"deals_page_{st.session_state['deals_pager']}"


def _more_filters(choices: DealChoices) -> dict[str, Any]:
    names = dict(zip(choices.people["id"], choices.people["name"], strict=True))
    stages = dict(zip(choices.stages["id"], choices.stages["name"], strict=True))
    keys = ("deal_owner", "deal_stages", "deal_types", "deal_products", "deal_from", "deal_to", "deal_fields")
    used = sum(bool(st.session_state.get(key)) for key in keys)
    with st.popover(f"Filters ({used})" if used else "Filters", icon=":material/filter_list:"):
        owner = None
        if len(names) > 1:
            owner = st.selectbox(
                "Owner",
                [None, *names],
                format_func=lambda key: names.get(key, "Anyone"),
                key="deal_owner",
                bind="query-params",
            )
        found = st.multiselect(
            "Stage", list(stages), format_func=lambda key: stages[key], key="deal_stages", bind="query-params"
        )
        types = st.multiselect("Type", choices.types, key="deal_types", bind="query-params")
        products = st.multiselect("Product", choices.products, key="deal_products", bind="query-params")
        low, high = st.columns(2)
        note = f"Deals in {choices.currency}; others are left out while an amount is set."
        least = low.number_input(f"Amount from ({choices.currency})", value=None, step=1000, key="deal_from", help=note)
        most = high.number_input(f"to ({choices.currency})", value=None, step=1000, key="deal_to", help=note)
        fields = {field.name: field for field in choices.fields}
        asked = (
            st.multiselect("Your fields", list(fields), key="deal_fields", format_func=widgets.plain) if fields else []
        )
        extra = [_field_filter(fields[name]) for name in asked]
        if used:
            st.button("Clear these filters", on_click=forget, args=(keys,), icon=":material/filter_list_off:")
    return {
        "owner_id": owner,
        "stage_ids": tuple(found),
        "types": tuple(types),
        "products": tuple(products),
        "amount_from": None if least is None else parse_money(least, choices.currency),
        "amount_to": None if most is None else parse_money(most, choices.currency),
        "extra": tuple(found for found in extra if found is not None),
    }


def _field_filter(field: DealField) -> FieldFilter | None:
    """What a field of the company must hold; None while nothing is said."""
    name, key = widgets.plain(field.name), f"deal_field_{field.name}"
    if field.kind in ("choice", "yes_no"):
        options = list(field.choices) or ["true", "false"]
        says = {"true": "Yes", "false": "No"} if field.kind == "yes_no" else {}
        values = st.multiselect(name, options, key=key, format_func=lambda value: says.get(value, value))
        return FieldFilter(field.name, values=tuple(values)) if values else None
    if field.kind == "text":
        text = st.text_input(f"{name} contains", key=key)
        return FieldFilter(field.name, text=text.strip()) if text and text.strip() else None
    left, right = st.columns(2)
    low: Decimal | date | None
    high: Decimal | date | None
    if field.kind == "date":
        low = left.date_input(f"{name} from", None, format="YYYY-MM-DD", key=f"{key}_from")
        high = right.date_input("to", None, format="YYYY-MM-DD", key=f"{key}_to")
    else:
        least = left.number_input(f"{name} from", value=None, key=f"{key}_from")
        most = right.number_input("to", value=None, key=f"{key}_to")
        low = None if least is None else Decimal(repr(least))
        high = None if most is None else Decimal(repr(most))
    return None if low is None and high is None else FieldFilter(field.name, low=low, high=high)


def _periods(today: date, asked: str) -> list[str]:
    """Years, quarters and months around today, the wider and later first; before them one that the address asks for."""
    found = _around(today, (2, 1), (5, 3), (12, 6))
    titles = {widgets.period_title(parse_period(name)): name for name in found}
    if asked and asked not in titles:
        wider = _around(today, (30, 5), (120, 20), (360, 60))
        titles = {widgets.period_title(parse_period(name)): name for name in wider}
        found = [titles[asked], *found] if asked in titles else found
    return found


def _around(today: date, *spans: tuple[int, int]) -> list[str]:
    """The names of so many years, quarters and months before and after today's."""
    found: list[str] = []
    for kind, (before, after) in zip(("year", "quarter", "month"), spans, strict=True):
        period: Period = period_of(kind, today.toordinal())
        for _ in range(after):
            period = period.next()
        for _ in range(before + after + 1):
            found.append(period.name)
            period = period.previous()
    return found


def cards(found: DealPage, currency: str) -> None:
    """What the filtered deals come to: won, open, lost."""
    totals = found.totals
    shown = []
    for outcome, label in (("won", "Won"), ("open", "Open"), ("lost", "Lost")):
        rows = totals[totals["outcome"] == outcome]
        by_currency = dict(zip(rows["currency"], rows["amount"], strict=True))
        others = [widgets.money(int(cents), code) for code, cents in by_currency.items() if code != currency]
        count = int(rows["deals"].sum())
        shown.append(
            Card(
                f"{label} · {count:,}",
                widgets.money(int(by_currency.get(currency, 0)), currency),
                help="and " + ", ".join(others) if others else None,
            )
        )
    widgets.cards(Card("Deals", f"{found.total:,}"), *shown)


def counted(actor: Actor, filters: DealFilters, found: DealPage, choices: DealChoices) -> None:
    """Beside the list behind a bar of the dashboard: what the bar says, where that is another number, and why.

    The dashboard counts shares, and everyone in the team of the day; the list has whole deals, of the team of today.
    """
    plain = DealFilters(
        team_id=filters.team_id, stage_ids=filters.stage_ids, outcome=filters.outcome, behind=filters.behind,
        closed_from=filters.closed_from, closed_until=filters.closed_until,
    )  # fmt: skip
    late = filters.behind == deals.Behind(late=True) and filters.closed_from is None
    due = filters.behind == deals.Behind() and filters.outcome == "open" and filters.closed_from is not None
    if st.query_params.get("counted", "") != "dashboard" or filters != plain or not (late or due):
        return
    names = choices.stages.loc[choices.stages["id"].isin(filters.stage_ids), "name"]
    span = None if filters.closed_from is None or filters.closed_until is None else (
        filters.closed_from, filters.closed_until,
    )  # fmt: skip
    number, amount = dashboard.open_counted(state.database(), actor, filters.team_id, state.today(), span, list(names))
    rows = found.totals
    if number == found.total and set(rows["currency"]) <= {choices.currency} and amount == int(rows["amount"].sum()):
        return
    full = " and ".join(
        widgets.money(int(cents), str(code)) for code, cents in rows.groupby("currency")["amount"].sum().items()
    )
    st.info(
        widgets.plain(
            f"The dashboard says {widgets.money(amount, choices.currency)} in {number:,} deals: it counts each with "
            f"the share of the people shown there, in the team they are in on the day, in {choices.currency}. Listed "
            f"here are whole deals: {full or 'nothing'} in {found.total:,}."
        ),
        icon=":material/functions:",
    )


def deal_table(found: DealPage, choices: DealChoices, may_edit: bool) -> None:
    """One page of deals; a click opens a deal, ticks choose deals to be changed together."""
    frame = found.frame
    names = list(choices.stages["name"])
    colors = [COLORS[outcome] for outcome in choices.stages["outcome"]]
    kinds = st.column_config
    shown = pd.DataFrame(
        {
            "name": frame["name"],
            "account": frame["account"],
            "stage": [[stage] for stage in frame["stage"]],
            "amount": [
                amount_text(cents, code) for cents, code in zip(frame["amount"], frame["currency"], strict=True)
            ],
            "close_date": frame["close_date"],
            "owner": frame["owner"],
            "credited": frame["credited"].fillna(""),
            "type": frame["type"],
            "product": frame["product"],
            "cancelled_on": [str(day) if day else "" for day in frame["cancelled_on"]],
            "external_id": frame["external_id"],
        }
    )
    # Columns that would be empty on the whole page only take room.
    shown = shown.drop(columns=[name for name in ("credited", "cancelled_on") if frame[name].isna().all()])
    chosen = chosen_fields(choices)
    for field in chosen:
        says = {"true": "Yes", "false": "No"} if field.kind == "yes_no" else {}
        texts = [str(extra.get(field.name) or "") for extra in frame["extra"]]
        shown[f"field {field.name}"] = [says.get(text, text) for text in texts]
    event = st.dataframe(
        shown,
        hide_index=True,
        key=f"deals_{st.session_state.get('deals_shown', 0)}",
        on_select="rerun",
        selection_mode=["multi-row" if may_edit else "single-row", "single-cell"],
        selection_default={"selection": {"rows": st.session_state.get("deals_ticked", [])}},
        height="content" if len(frame) < 18 else 640,
        column_config={
            "name": kinds.TextColumn("Deal", width="medium"),
            "account": kinds.TextColumn("Account"),
            "stage": kinds.MultiselectColumn("Stage", options=names, color=colors),
            "amount": kinds.TextColumn("Amount", alignment="right"),
            "close_date": kinds.DateColumn("Close date", format="YYYY-MM-DD"),
            "owner": kinds.TextColumn("Owner"),
            "credited": kinds.TextColumn("Credits"),
            "type": kinds.TextColumn("Type"),
            "product": kinds.TextColumn("Product"),
            "cancelled_on": kinds.TextColumn("Cancelled"),
            "external_id": kinds.TextColumn("ID"),
            **{
                f"field {field.name}": kinds.TextColumn(
                    field.name, alignment="right" if field.kind == "number" else None
                )
                for field in chosen
            },
        },
    )
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        widgets.pager(found.total, PAGE_SIZE, key=pager_key())
        st.caption(
            "Click a deal to open it, tick deals to change them together." if may_edit else "Click a deal to open it.",
            width="content",
        )
    selection = event["selection"]
    cells = selection.get("cells", [])
    rows = [cells[0][0]] if cells else [] if may_edit else selection["rows"]
    if may_edit:
        st.session_state["deals_ticked"] = [row for row in selection["rows"] if row < len(frame)]
    if rows and rows[0] < len(frame):
        st.query_params["deal"] = str(frame["id"].iloc[rows[0]])
        redraw()
        st.rerun()


def ticked(found: DealPage) -> tuple[int, ...]:
    """The ids of the deals that are ticked on the page."""
    key = f"deals_{st.session_state.get('deals_shown', 0)}"
    rows = st.session_state.get(key, {}).get("selection", {}).get("rows", st.session_state.get("deals_ticked", []))
    return tuple(int(found.frame["id"].iloc[row]) for row in rows if row < len(found.frame))


def chosen_fields(choices: DealChoices) -> list[DealField]:
    """The fields of the company that the viewer wants to see as columns."""
    chosen = st.session_state.get("deal_columns") or []
    return [field for field in choices.fields if field.name in chosen]


def exports(actor: Actor, chosen: DealFilters, page: Page, total: int, choices: DealChoices) -> None:
    """Buttons for the whole filtered set, not only the page."""
    stem = deals.export_name(state.database(), actor, chosen, state.today())
    headers = deals.export_headers(choices.fields)

    def rows() -> Any:
        return deals.export_deals(state.database(), actor, chosen, page, state.today())

    widgets.download("CSV", f"{stem}.csv", lambda: sheets.to_csv(headers, rows()), "text/csv")
    if total <= _XLSX_ROWS:
        widgets.download("Excel", f"{stem}.xlsx", lambda: sheets.to_xlsx(headers, rows(), "Deals"), _XLSX)

"""The pieces of the deals page: filters, the list, one deal in a drawer with its story, and its form."""

from datetime import date, timedelta
from typing import Any, Literal

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import auth, navigation, state, widgets
from app.actions import attempt
from app.deal_form import deal_form
from app.widgets import Card, money_column, text_column
from engine import sheets
from engine.analytics.deals import number_text
from engine.errors import QuotaPathError
from engine.money import format_rate, parse_money
from engine.periods import Period, parse_period, period_of
from engine.services import access, deals
from engine.services.access import Actor
from engine.services.deals import DealChoices, DealDetail, DealFields, DealFilters, DealPage, Page

PAGE_SIZE = 50
_OUTCOMES = {"All": "", "Open": "open", "Won": "won", "Lost": "lost", "Cancelled": "cancelled"}
_COLORS: dict[str, Literal["blue", "green", "gray", "orange"]] = {
    "open": "blue",
    "won": "green",
    "lost": "gray",
    "cancelled": "orange",
}
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
            ["", *_periods(state.today())],
            format_func=lambda name: widgets.period_title(parse_period(name)) if name else "Any close date",
            key="closing",
            bind="query-params",
            label_visibility="collapsed",
            width=180,
        )
    for_cards = st.container()
    with st.container(horizontal=True, horizontal_alignment="distribute"):
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            more = _more_filters(choices)
            order = st.selectbox(
                "Order", list(_SORTS), key="order", bind="query-params", label_visibility="collapsed", width=230
            )
        for_exports = st.container(horizontal=True, vertical_alignment="center", width="content")
    period = parse_period(closing) if closing else None
    chosen = DealFilters(
        text=text or "",
        team_id=team,
        outcome=_OUTCOMES[show or "All"],
        closed_from=period.first_day if period else None,
        closed_until=period.last_day + timedelta(days=1) if period else None,
        **more,
    )
    if st.session_state.get("deals_filtered") != (chosen, order):
        # Other filters begin on their first page: a pager of their own.
        st.session_state.update(deals_filtered=(chosen, order), deals_pager=st.session_state.get("deals_pager", 0) + 1)
    number = st.session_state.get(_pager_key(), 1)
    return chosen, Page(number, PAGE_SIZE, *_SORTS[order]), for_cards, for_exports


def _pager_key() -> str:
    return f"deals_page_{st.session_state['deals_pager']}"


def _more_filters(choices: DealChoices) -> dict[str, Any]:
    names = dict(zip(choices.people["id"], choices.people["name"], strict=True))
    stages = dict(zip(choices.stages["id"], choices.stages["name"], strict=True))
    keys = ("deal_owner", "deal_stages", "deal_types", "deal_products", "deal_from", "deal_to")
    used = sum(bool(st.session_state.get(key)) for key in keys)
    with st.popover(f"Filters ({used})" if used else "Filters", icon=":material/filter_list:"):
        owner = None
        if len(names) > 1:
            owner = st.selectbox(
                "Owner", [None, *names], format_func=lambda key: names.get(key, "Anyone"), key="deal_owner"
            )
        found = st.multiselect("Stage", list(stages), format_func=lambda key: stages[key], key="deal_stages")
        types = st.multiselect("Type", choices.types, key="deal_types")
        products = st.multiselect("Product", choices.products, key="deal_products")
        low, high = st.columns(2)
        note = f"Deals in {choices.currency}; others are left out while an amount is set."
        least = low.number_input(f"Amount from ({choices.currency})", value=None, step=1000, key="deal_from", help=note)
        most = high.number_input(f"to ({choices.currency})", value=None, step=1000, key="deal_to", help=note)
        if used:
            st.button("Clear these filters", on_click=_forget, args=(keys,), icon=":material/filter_list_off:")
    return {
        "owner_id": owner,
        "stage_ids": tuple(found),
        "types": tuple(types),
        "products": tuple(products),
        "amount_from": None if least is None else parse_money(least, choices.currency),
        "amount_to": None if most is None else parse_money(most, choices.currency),
    }


def _forget(keys: tuple[str, ...]) -> None:
    for key in keys:
        st.session_state.pop(key, None)


def _periods(today: date) -> list[str]:
    """Years, quarters and months around today, the wider and later first."""
    found: list[str] = []
    for kind, before, after in (("year", 2, 1), ("quarter", 5, 3), ("month", 12, 6)):
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


def deal_table(found: DealPage, choices: DealChoices) -> None:
    """One page of deals; choosing a row opens it."""
    frame = found.frame
    names = list(choices.stages["name"])
    colors = [_COLORS[outcome] for outcome in choices.stages["outcome"]]
    kinds = st.column_config
    shown = pd.DataFrame(
        {
            "name": frame["name"],
            "account": frame["account"],
            "stage": [[stage] for stage in frame["stage"]],
            "amount": [_amount(cents, code) for cents, code in zip(frame["amount"], frame["currency"], strict=True)],
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
    event = st.dataframe(
        shown,
        hide_index=True,
        key=f"deals_{st.session_state.get('deals_shown', 0)}",
        on_select="rerun",
        selection_mode="single-row",
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
        },
    )
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        widgets.pager(found.total, PAGE_SIZE, key=_pager_key())
        st.caption("Choose a row to open the deal.", width="content")
    rows = event["selection"]["rows"]
    if rows and rows[0] < len(frame):
        st.query_params["deal"] = str(frame["id"].iloc[rows[0]])
        _close_selection()
        st.rerun()


def _close_selection() -> None:
    """The next run draws the table anew, without a chosen row."""
    st.session_state["deals_shown"] = st.session_state.get("deals_shown", 0) + 1


def exports(actor: Actor, chosen: DealFilters, page: Page, total: int) -> None:
    """Buttons for the whole filtered set, not only the page."""
    stem = f"deals-{state.today()}"

    def rows() -> Any:
        return deals.export_deals(state.database(), actor, chosen, page, state.today())

    widgets.download("CSV", f"{stem}.csv", lambda: sheets.to_csv(deals.EXPORT_HEADERS, rows()), "text/csv")
    if total <= _XLSX_ROWS:
        widgets.download("Excel", f"{stem}.xlsx", lambda: sheets.to_xlsx(deals.EXPORT_HEADERS, rows(), "Deals"), _XLSX)


def _amount(cents: Any, currency: str) -> str:
    return "–" if pd.isna(cents) else widgets.money(int(cents), currency)


# --- one deal --------------------------------------------------------------------------------------


def _closed() -> None:
    st.query_params.pop("deal", None)


def drawer(deal_id: int) -> None:
    """One deal at the side of the list."""
    try:
        actor = auth.require("deals.view")
        name = deals.deal_detail(state.database(), actor, deal_id, state.today()).deal.fields.name
    except QuotaPathError as error:
        widgets.show_problems(error)
        return
    title = widgets.plain(name if len(name) <= 80 else name[:77] + "...")
    st.dialog(title, width="medium", position="right", on_dismiss=_closed)(deal_body)(deal_id)


def deal_body(deal_id: int) -> None:
    """One deal: its fields, who is credited, what is earned on it, what was changed, and its form."""
    actor = auth.require("deals.view")
    try:
        detail = deals.deal_detail(state.database(), actor, deal_id, state.today())
    except QuotaPathError as error:  # deleted, or handed over, while it was open
        widgets.show_problems(error)
        return
    fields = detail.deal.fields
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(widgets.plain(detail.stage), color=_COLORS[detail.outcome])
        if fields.cancelled_on:
            st.badge(f"Cancelled on {fields.cancelled_on}", color="orange", icon=":material/block:")
        st.markdown(f"**{widgets.plain(_amount(fields.amount, fields.currency))}**", width="content")
        st.caption(f"closes {fields.close_date} · {widgets.plain(detail.owner)}", width="content")
    names = ["Details", "Earnings", "History"] + (["Edit"] if access.may(actor, "deals.edit") else [])
    tabs = st.tabs(names, key=f"deal_tab_{deal_id}")
    with tabs[0]:
        _details(detail)
    with tabs[1]:
        _earnings(detail)
    with tabs[2]:
        _history(detail)
    if len(tabs) > 3:
        with tabs[3]:
            _edit(actor, detail)


def _details(detail: DealDetail) -> None:
    deal, fields = detail.deal, detail.deal.fields
    pairs = {
        "Account": fields.account,
        "Owner": detail.owner,
        "Type": fields.type,
        "Product": fields.product,
        "Segment": fields.segment,
        "Margin": None if fields.margin is None else widgets.money(fields.margin, fields.currency),
        "Quantity": None if fields.quantity_micro is None else number_text(fields.quantity_micro),
        "Term": None if fields.term_months is None else f"{fields.term_months} months",
        "Created": fields.created_date,
        "Source": deal.source,
        "ID": deal.external_id,
    } | dict(deal.extra)
    with st.grid(3, min_column_width=140):
        for label, value in pairs.items():
            if value not in (None, ""):
                with st.container(gap=None):
                    st.caption(widgets.plain(label))
                    st.markdown(widgets.plain(str(value)))
    st.markdown("**Credits**")
    st.dataframe(
        pd.DataFrame(
            {"person": detail.credits["person"], "share": [format_rate(ppm) for ppm in detail.credits["share_ppm"]]}
        ),
        hide_index=True,
        column_config={
            "person": st.column_config.TextColumn("Person"),
            "share": st.column_config.TextColumn("Share", alignment="right"),
        },
        key=f"deal_credits_{deal.id}",
    )
    if not detail.stages.empty:
        st.markdown("**Passage through the pipeline**")
        with st.container(horizontal=True):
            entries = detail.stages
            for stage, outcome, at in zip(entries["stage"], entries["outcome"], entries["entered_at"], strict=True):
                st.badge(f"{widgets.plain(stage)} · {at:%Y-%m-%d}", color=_COLORS[outcome])


def _earnings(detail: DealDetail) -> None:
    if detail.lines.empty:
        widgets.empty(
            "No earnings on this deal yet",
            "They appear once a period with it has been calculated, for the people whose pay you may see.",
            icon=":material/payments:",
        )
        return
    widgets.table(
        detail.lines,
        {
            "person": text_column("Person"),
            "period": text_column("Pay period"),
            "component": text_column("Component"),
            "amount": money_column("Earned"),
            "status": text_column("Period is"),
        },
        key=f"deal_lines_{detail.deal.id}",
    )
    whose = detail.lines[["person", "code", "period"]].drop_duplicates()
    for person, code, period in zip(whose["person"], whose["code"], whose["period"], strict=True):
        navigation.link("earnings", f"{person} in {period}", {"period": period, "person": code})


def _history(detail: DealDetail) -> None:
    if detail.history.empty:
        widgets.empty("Nothing was recorded", "Changes appear here from now on.", icon=":material/history:")
        return
    frame = detail.history.assign(at=[f"{at:%Y-%m-%d %H:%M}" for at in detail.history["at"]])
    widgets.table(
        frame,
        {
            "at": text_column("When (UTC)"),
            "who": text_column("Who"),
            "field": text_column("What"),
            "before": text_column("From"),
            "after": text_column("To"),
            "via": text_column("File"),
        },
        key=f"deal_history_{detail.deal.id}",
    )


# --- the form --------------------------------------------------------------------------------------


def _edit(actor: Actor, detail: DealDetail) -> None:
    deal = detail.deal
    choices = deals.deal_choices(state.database(), actor, state.today())
    # The form keeps the version it was opened with, so a change by somebody else in between is noticed.
    key = f"deal_{deal.id}"
    version = st.session_state.setdefault(f"{key}_version", deal.version)
    edited = deal_form(f"{key}_{version}", deal.fields, choices, "Save")
    if edited is not None and attempt(
        lambda: deals.edit_deal(state.database(), actor, deal.id, version, edited()), "The deal is saved."
    ):
        _done(key)
    if version != deal.version:
        st.button("Load the newer values", on_click=_forget, args=((f"{key}_version",),), key=f"{key}_reload")
    if detail.lines.empty and detail.can_delete:
        with st.expander("Delete this deal", icon=":material/delete:"):
            st.caption("Nothing was earned on it, so it can go. A sale that fell through is lost instead, and stays.")
            if st.button("Delete it", key=f"{key}_delete") and attempt(
                lambda: deals.delete_deal(state.database(), actor, deal.id, version), "The deal is deleted."
            ):
                _done(key)
    else:
        st.caption(
            'Earnings stand on this deal, so it cannot be deleted. "Cancelled on" takes back what the plan says; '
            "periods that are closed stay as they are, and the difference is posted in the open one."
        )


def _done(key: str) -> None:
    _forget((f"{key}_version",))
    _closed()
    st.rerun()


@st.dialog("New deal", width="large", icon=":material/add:")
def new_deal() -> None:
    """Enter a deal by hand."""
    new_deal_body()


def new_deal_body() -> None:
    """The form of a deal that is not there yet."""
    actor = auth.require("deals.edit")
    db, today = state.database(), state.today()
    choices = deals.deal_choices(db, actor, today)
    first = DealFields(
        name="",
        account="",
        owner_id=0,  # nobody yet
        stage_id=int(choices.stages["id"].iloc[0]),
        amount=None,
        currency=choices.currency,
        close_date=today,
    )
    entered = deal_form("deal_new", first, choices, "Add the deal")
    if entered is not None and attempt(lambda: deals.create_deal(db, actor, entered()), "The deal is added."):
        st.rerun()

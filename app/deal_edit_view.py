"""Many deals changed at once: typed in the table or set together; what that would do, and what was done before."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import pandas as pd
import streamlit as st

from app import auth, effect_view, state, widgets
from app.actions import attempt
from app.deal_drawer import redraw
from app.deals_view import PAGE_SIZE, chosen_fields, pager_key
from app.widgets import number_column, text_column
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.money import format_money, parse_money
from engine.services import deal_edits, deals
from engine.services.deal_edits import BulkEdit, Edit, EditPreview, RowEdit, TableEdit, UndoEdit
from engine.services.deals import DealChoices, DealFilters, DealPage
from engine.services.impact import Impact

_LABELS = {
    "Stage": "stage_id", "Owner": "owner_id", "Close date": "close_date", "Product": "product", "Type": "type",
    "Segment": "segment",
}  # fmt: skip
_DATES = ("close_date", "cancelled_on")
_PAGE = "deals_typing_page"  # the page in which one types
_REVIEW = "deals_review"  # the edit that was looked at, and what was found


# --- the same for many ------------------------------------------------------------------------------


def change_many(filters: DealFilters, ids: tuple[int, ...], total: int) -> None:
    """Change the ticked deals, or all that the filters let through, in a dialog."""
    st.dialog("Change deals", width="large", icon=":material/edit_note:")(change_body)(filters, ids, total)


def change_body(filters: DealFilters, ids: tuple[int, ...], total: int) -> None:
    """Which deals, what they get, and what that would do."""
    actor = auth.require("deals.edit")
    choices = deals.deal_choices(state.database(), actor, state.today())
    everything = f"All {total:,} that the filters let through"
    which = everything
    if ids:
        ticked = f"The {len(ids):,} ticked" if len(ids) > 1 else "The ticked one"
        which = st.segmented_control("Which deals", [ticked, everything], default=ticked, required=True) or ticked
    else:
        st.markdown(f"**{everything}**")
    what = st.pills("What to set", list(_LABELS), selection_mode="multi", key="bulk_what")
    values = {}
    places = st.columns(2)
    for number, label in enumerate(what):
        with places[number % 2]:
            values[_LABELS[label]] = _value(label, choices)
    edit = BulkEdit(values, filters=filters) if which == everything else BulkEdit(values, deal_ids=ids)
    ready = bool(values) and None not in values.values()
    if st.button("Preview", icon=":material/visibility:", disabled=not ready):
        look(edit)
    review(edit)


def _value(label: str, choices: DealChoices) -> Any:
    """The value for one column; None while nothing is chosen."""
    if label == "Stage":
        stages = dict(zip(choices.stages["id"].astype(int), choices.stages["name"], strict=True))
        return st.selectbox(label, list(stages), index=None, format_func=lambda at: stages[at], key="bulk_stage")
    if label == "Owner":
        active = choices.people[choices.people["is_active"]]
        people = dict(zip(active["id"].astype(int), active["name"], strict=True))
        return st.selectbox(label, list(people), index=None, format_func=lambda at: people[at], key="bulk_owner")
    if label == "Close date":
        return st.date_input(label, None, format="YYYY-MM-DD", key="bulk_date")
    if label == "Segment":
        return st.text_input(label, max_chars=200, key="bulk_segment").strip()
    known = choices.products if label == "Product" else choices.types
    found = st.selectbox(label, known, index=None, accept_new_options=True, key=f"bulk_{label}")
    return found.strip() if found else None


# --- typed in the table -----------------------------------------------------------------------------


def edit_table(found: DealPage, choices: DealChoices) -> None:
    """The page of deals to type in, and the button that shows what that would do."""
    key = f"deals_typed_{st.session_state.get('deals_shown', 0)}"
    # What is typed belongs to the deals and versions that were there when typing began, whatever others do meanwhile.
    kept = st.session_state.get(_PAGE)
    if kept is None or kept[0] != key:
        st.session_state[_PAGE] = kept = (key, found)
    found = kept[1]
    frame = found.frame
    shown, config = _typing(frame, choices)
    st.data_editor(
        shown, hide_index=True, key=key, height=min(38 + 35 * len(frame), 640), column_config=config, placeholder=""
    )
    edited = st.session_state.get(key, {}).get("edited_rows", {})
    count = sum(len(cells) for cells in edited.values())
    with st.container(horizontal=True, vertical_alignment="center"):
        label = f"Review {count} change{'s' if count != 1 else ''}" if count else "Review"
        if st.button(label, type="primary", icon=":material/visibility:", disabled=not count, key="deals_review_typed"):
            try:
                edit = typed(found, edited)
            except QuotaPathError as error:
                widgets.show_problems(error)
            else:
                look(edit)
                st.dialog("Save what was typed", width="large", icon=":material/edit_note:")(review)(edit)
        if st.button("Discard", type="tertiary", icon=":material/undo:", disabled=not count):
            redraw()
            st.rerun()
        if count:
            st.caption("Save or discard to turn the page.")
        else:
            widgets.pager(found.total, PAGE_SIZE, key=pager_key())


def _typing(frame: pd.DataFrame, choices: DealChoices) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The columns that can be typed in, and how each is."""
    stages = dict(zip(choices.stages["id"].astype(int), choices.stages["name"], strict=True))
    people = dict(zip(choices.people["id"].astype(int), choices.people["name"], strict=True))
    kinds = st.column_config
    shown = frame[["name", "account", "stage_id", "close_date", "owner_id", "type", "product", "segment"]].copy()
    amounts = [
        None if pd.isna(cents) else format_money(int(cents), currency, thousands=True)
        for cents, currency in zip(frame["amount"], frame["currency"], strict=True)
    ]
    shown.insert(3, "amount", pd.Series(amounts, dtype=object))
    shown.insert(4, "currency", frame["currency"])
    shown["cancelled_on"] = frame["cancelled_on"]
    for name in _DATES:
        shown[name] = pd.to_datetime(shown[name])
    config: dict[str, Any] = {
        "name": kinds.TextColumn("Deal", width="medium", required=True, max_chars=1000),
        "account": kinds.TextColumn("Account", max_chars=1000),
        "stage_id": kinds.SelectboxColumn(
            "Stage", options=list(stages), format_func=lambda at: stages.get(int(at), ""), required=True
        ),
        "amount": kinds.TextColumn("Amount", alignment="right"),
        "currency": kinds.TextColumn("", disabled=True, width=50),
        "close_date": kinds.DateColumn("Close date", format="YYYY-MM-DD", required=True),
        "owner_id": kinds.SelectboxColumn(
            "Owner", options=list(people), format_func=lambda at: people.get(int(at), ""), required=True
        ),
        "type": kinds.TextColumn("Type", max_chars=200),
        "product": kinds.TextColumn("Product", max_chars=200),
        "segment": kinds.TextColumn("Segment", max_chars=200),
        "cancelled_on": kinds.DateColumn("Cancelled", format="YYYY-MM-DD"),
    }
    for field in chosen_fields(choices):
        name = f"field {field.name}"
        values = [str(extra.get(field.name) or "") for extra in frame["extra"]]
        shown[name] = values
        options = list(field.choices) if field.kind == "choice" else ["true", "false"]
        config[name] = (
            kinds.SelectboxColumn(field.name, options=sorted({"", *options, *values}))
            if field.kind in ("choice", "yes_no")
            else kinds.TextColumn(field.name, max_chars=1000)
        )
    return shown, config


def typed(found: DealPage, edited: Mapping[int, Mapping[str, Any]]) -> TableEdit:
    """The cells typed into, row by row.  Raises ProblemsError for what is no amount."""
    rows, problems = [], []
    for position, cells in edited.items():
        deal = found.frame.iloc[position]
        values: dict[str, Any] = {}
        extra: dict[str, str] = {}
        for name, value in cells.items():
            if name.startswith("field "):
                extra[name.removeprefix("field ")] = value or ""
            elif name == "amount":
                try:
                    values[name] = parse_money(value, deal["currency"]) if value and value.strip() else None
                except QuotaPathError as error:
                    problems.append(Problem(f"{deal['name']}: amount", str(error)))
            elif name in _DATES:
                values[name] = date.fromisoformat(value[:10]) if value else None
            elif name in ("stage_id", "owner_id"):
                values[name] = int(value)
            else:
                values[name] = (value or "").strip()
        rows.append(RowEdit(int(deal["id"]), int(deal["version"]), values, extra))
    if problems:
        raise ProblemsError(problems)
    return TableEdit(tuple(rows))


# --- what it would do -------------------------------------------------------------------------------


def look(edit: Edit) -> None:
    """Work out what an edit would do, and keep that, or what is wrong with it, for `review`."""
    actor = auth.require("deals.edit")
    with st.spinner("Working out what would change, and whose earnings ..."):
        try:
            found: EditPreview | QuotaPathError = deal_edits.preview_edit(
                state.database(), state.pool(), actor, edit, state.today()
            )
        except QuotaPathError as error:
            found = error
    st.session_state[_REVIEW] = (edit, found)


def review(edit: Edit) -> None:
    """What the edit would do, as `look` found it, and the button that does it."""
    kept = st.session_state.get(_REVIEW)
    if kept is None or kept[0] != edit:
        return
    found: EditPreview | QuotaPathError = kept[1]
    if isinstance(found, QuotaPathError):
        widgets.show_problems(found)
        return
    st.markdown(f"**{_deals(found.changed)} {'changes' if found.changed == 1 else 'change'}{_pay(found.earnings)}**")
    for note in found.notes:
        st.caption(widgets.plain(note))
    undoing = isinstance(edit, UndoEdit)
    leave_out = bool(found.refused) and _refused(found, undoing)
    if not found.sample.empty:
        in_deals, in_earnings = st.tabs(["Deals", "Earnings"])
        with in_deals:
            columns = {"deal": "Deal", "field": "What", "before": "From", "after": "To"}
            widgets.table(
                found.sample, {name: text_column(label) for name, label in columns.items()}, key="deals_review_sample"
            )
            if found.changed > deal_edits.LISTED:
                st.caption(f"The first {deal_edits.LISTED} deals by name.")
        with in_earnings:
            if found.earnings is None:
                st.caption("Worked out once every deal can be changed.")
            else:
                effect_view.show(found.earnings, "deals_review_earnings")
    may = found.changed and (not found.refused or leave_out)
    action = "Undo" if undoing else "Change"
    if st.button(f"{action} {_deals(found.changed)}", type="primary", disabled=not may, key="deals_apply") and attempt(
        lambda: deal_edits.apply_edit(
            state.database(), auth.require("deals.edit"), edit, found.seen, state.today(), leave_out=leave_out
        ),
        f"{_deals(found.changed)} changed. Past edits, under More, takes it back.",
    ):
        st.session_state.pop(_REVIEW, None)
        st.session_state["deals_ticked"] = []
        redraw()
        st.rerun()


def _refused(found: EditPreview, undoing: bool) -> bool:
    """The deals that cannot be changed, and why; gives whether they shall be left out."""
    so = " So nothing is undone." if undoing else ""
    st.warning(f"{_deals(found.refused)} cannot be changed.{so}", icon=":material/block:")
    columns = {"deal": "Deal", "reason": "Why", "remedy": "What to do"}
    widgets.table(
        found.obstacles, {name: text_column(label) for name, label in columns.items()}, key="deals_review_obstacles"
    )
    if undoing or found.conflict or not found.changed:
        return False
    return st.checkbox(f"Leave these out and change the other {found.changed:,}")


def _deals(count: int) -> str:
    return f"{count:,} deal{'s' if count != 1 else ''}"


def _pay(impact: Impact | None) -> str:
    """How much pay changes, to go on from the number of deals: ``, and 3 people's earnings by $120.00``."""
    if impact is None or impact.problems:
        return ""
    people = impact.changes["user_id"].nunique()
    if not people:
        return ", and nobody's earnings"
    sums = impact.changes.groupby("currency")["difference"].sum()
    by = " and ".join(widgets.money(int(cents), str(currency)) for currency, cents in sums.items())
    return f", and {people} {'person' if people == 1 else 'people'}'s earnings, by {widgets.plain(by)} together"


# --- what was done before ---------------------------------------------------------------------------


@st.dialog("Past edits", width="large", icon=":material/history:")
def past_edits() -> None:
    """The edits of many deals, to look at and to undo."""
    past_body()


def past_body() -> None:
    """The latest edits; choosing one shows what undoing it would do."""
    actor = auth.require("deals.edit")
    found = deal_edits.list_edits(state.database(), actor)
    if not found:
        widgets.empty(
            "Nothing was edited yet",
            "What you change for many deals at once, or type in the table, appears here and can be undone.",
            icon=":material/history:",
        )
        return
    frame = pd.DataFrame(
        {
            "number": [str(each.edit_id) for each in found],
            "at": [f"{each.at:%Y-%m-%d %H:%M}" for each in found],
            "who": [each.who for each in found],
            "what": [each.what for each in found],
            "deals": [each.deals for each in found],
            "undone": ["undone" if each.undone else "" for each in found],
        }
    )
    st.caption("Tick an edit to see what undoing it would do.")
    chosen = widgets.table(
        frame,
        {
            "number": text_column("Edit"),
            "at": text_column("When (UTC)"),
            "who": text_column("Who"),
            "what": text_column("What"),
            "deals": number_column("Deals"),
            "undone": text_column(""),
        },
        key=f"deals_past_{st.session_state.get('deals_shown', 0)}",
        select=True,
    )
    if chosen is None:
        return
    edit = UndoEdit(found[chosen].edit_id)
    kept = st.session_state.get(_REVIEW)
    if kept is None or kept[0] != edit:
        look(edit)
    review(edit)

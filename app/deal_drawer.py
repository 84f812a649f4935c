"""One deal at the side of the list: its fields, its credits, what is earned on it, its history, and its form."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import auth, effect_view, navigation, payable_view, state, widgets
from app.actions import attempt
from app.activity_view import deal_activities
from app.deal_form import deal_form
from app.widgets import money_column, text_column
from engine.analytics.deals import number_text
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.money import PPM, format_rate, parse_rate
from engine.services import access, deals
from engine.services.access import Actor
from engine.services.deals import DealChoices, DealDetail, DealFields, Split

COLORS: dict[str, Literal["blue", "green", "gray", "orange"]] = {
    "open": "blue",
    "won": "green",
    "lost": "gray",
    "cancelled": "orange",
}


def amount_text(cents: Any, currency: str) -> str:
    """A deal's amount, a dash where it has none."""
    return "–" if pd.isna(cents) else widgets.money(int(cents), currency)


def forget(keys: tuple[str, ...]) -> None:
    """Let these widgets begin anew."""
    for key in keys:
        st.session_state.pop(key, None)


def redraw() -> None:
    """The next run draws the list anew: nothing is open in it, ticks stay."""
    st.session_state["deals_shown"] = st.session_state.get("deals_shown", 0) + 1


def _closed() -> None:
    st.query_params.pop("deal", None)


def drawer(deal_id: int) -> None:
    """One deal at the side of the list; for one out of reach a notice, once."""
    try:
        actor = auth.require("deals.view")
        name = deals.deal_detail(state.database(), actor, deal_id, state.today()).deal.fields.name
    except QuotaPathError as error:
        _closed()
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
        st.badge(widgets.plain(detail.stage), color=COLORS[detail.outcome])
        if fields.cancelled_on:
            st.badge(f"Cancelled on {fields.cancelled_on}", color="orange", icon=":material/block:")
        st.markdown(f"**{widgets.plain(amount_text(fields.amount, fields.currency))}**", width="content")
        closes = "closes" if detail.outcome == "open" else "closed"
        st.caption(f"{closes} {fields.close_date} · {widgets.plain(detail.owner)}", width="content")
    names = ["Details", "Earnings", "Activities", "History"]
    names += ["Edit", "Credits", "Payments"] if access.may(actor, "deals.edit") else []
    tabs = dict(zip(names, st.tabs(names, key=f"deal_tab_{deal_id}"), strict=True))
    with tabs["Details"]:
        _details(detail)
    with tabs["Earnings"]:
        _earnings(detail)
    with tabs["Activities"]:
        deal_activities(actor, deal_id)
    with tabs["History"]:
        _history(detail)
    if "Edit" in tabs:
        with tabs["Edit"]:
            _edit(actor, detail)
        with tabs["Credits"]:
            _credits(actor, detail)
        with tabs["Payments"]:
            payable_view.customer_payments(actor, detail)


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
                st.badge(f"{widgets.plain(stage)} · {at:%Y-%m-%d}", color=COLORS[outcome])


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
            "via": text_column("By"),
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
    edited = deal_form(f"{key}_{version}", deal.fields, choices, "Save", deal.extra)
    if edited is not None and attempt(
        lambda: deals.edit_deal(state.database(), actor, deal.id, version, *edited()), "The deal is saved."
    ):
        _done(key)
    if version != deal.version:
        st.button("Load the newer values", on_click=forget, args=((f"{key}_version",),), key=f"{key}_reload")
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


def _credits(actor: Actor, detail: DealDetail) -> None:
    """Who shares the deal, and what that comes to; seen at once, kept when saved."""
    deal = detail.deal
    version = st.session_state.setdefault(f"deal_{deal.id}_credits_version", deal.version)
    key = f"deal_{deal.id}_credits_{version}"
    now = deal.fields.credits or ((deal.fields.owner_id, PPM),)
    st.caption("Shares come to 100%; an overlay is a share on top of that. Without a row the owner has it all.")
    rows = _share_rows(key, now, deals.deal_choices(state.database(), actor, state.today()))
    try:
        shares = _shares(rows)
        split = deals.split_deal(state.database(), actor, deal.id, shares, state.today()) if shares else None
    except QuotaPathError as error:
        widgets.show_problems(error)
        return
    if split is None:
        st.info(f"{widgets.plain(detail.owner)} is credited with the whole deal.", icon=":material/person:")
    else:
        _split(split, rows, deal.fields.currency)
    changed = sorted(shares) != sorted(now)
    edited = replace(deal.fields, credits=tuple(shares))
    if changed:
        effect_view.offer(
            f"{key}_effect",
            lambda: deals.edit_impact(state.database(), state.pool(), actor, deal.id, version, edited, state.today()),
        )
    if st.button("Save the credits", type="primary", disabled=not changed, key=f"{key}_save") and attempt(
        lambda: deals.edit_deal(state.database(), actor, deal.id, version, edited),
        "The credits are saved.",
    ):
        _done(f"deal_{deal.id}_credits")
    if version != deal.version:
        keys = (f"deal_{deal.id}_credits_version",)
        st.button("Load the newer values", on_click=forget, args=(keys,), key=f"{key}_reload")


@dataclass(frozen=True)
class _Row:
    """A share as it stands in the form, and the place beside it for what it comes to."""

    person: int | None
    share: str
    place: DeltaGenerator


def _share_rows(key: str, now: Sequence[tuple[int, int]], choices: DealChoices) -> list[_Row]:
    """A person and a share in each row; rows are added and taken away."""
    credited = {user for user, _ in now}
    people = {
        int(user): name
        for user, name, active in zip(
            choices.people["id"], choices.people["name"], choices.people["is_active"], strict=True
        )
        if active or user in credited
    }
    numbers: list[int] = st.session_state.setdefault(f"{key}_rows", list(range(len(now))))
    rows = []
    for number in numbers:
        first = now[number] if number < len(now) else None
        with st.container(horizontal=True, vertical_alignment="center"):
            person = st.selectbox(
                "Person",
                list(people),
                index=list(people).index(first[0]) if first else None,
                format_func=lambda user: people[user],
                key=f"{key}_person_{number}",
                label_visibility="collapsed",
                placeholder="Who shares in it",
            )
            share = st.text_input(
                "Share",
                format_rate(first[1]) if first else "",
                key=f"{key}_share_{number}",
                label_visibility="collapsed",
                placeholder="40%",
                width=100,
            )
            place = st.empty()
            st.button(
                "Take away",
                icon=":material/close:",
                key=f"{key}_less_{number}",
                on_click=numbers.remove,
                args=(number,),
                type="tertiary",
            )
        rows.append(_Row(person, share or "", place))
    st.button(
        "Add a person",
        icon=":material/person_add:",
        key=f"{key}_more",
        on_click=lambda: numbers.append(max(numbers, default=len(now) - 1) + 1),
    )
    return rows


def _shares(rows: list[_Row]) -> list[tuple[int, int]]:
    """(user id, ppm) of the rows as typed, those that are not begun left out; raises ProblemsError."""
    problems: list[Problem] = []
    shares = []
    for row in rows:
        # A row that is begun must be whole: a share forgotten is not a share of nothing.
        if (row.person is None) != (not row.share.strip()):
            problems.append(Problem("credits", "a row lacks its person or share.", "Fill in both, or take it away."))
        elif row.person is not None:
            try:
                text = row.share.strip()
                shares.append((row.person, parse_rate(text if text.endswith("%") else f"{text}%")))
            except QuotaPathError as error:
                problems.append(Problem("credits", str(error)))
    if problems:
        raise ProblemsError(problems)
    return shares


def _split(split: Split, rows: list[_Row], currency: str) -> None:
    """What each person would be credited, beside the share, and whether that is the whole deal."""
    begun = [row for row in rows if row.person is not None]
    for row, cents in zip(begun, split.parts, strict=True):
        row.place.markdown(f"**{widgets.plain(amount_text(cents, currency))}**", width="content")
    if split.whole:
        st.success(widgets.plain(split.said), icon=":material/check_circle:")
    elif split.share_ppm < PPM:
        st.warning(widgets.plain(split.said), icon=":material/warning:")
    else:
        st.info(widgets.plain(split.said), icon=":material/layers:")


def _done(key: str) -> None:
    forget((f"{key}_version",))
    _closed()
    redraw()  # else the first click into the list after a save is lost
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
    st.caption("The owner is credited with the whole deal; open it afterwards to share it out.")
    entered = deal_form("deal_new", first, choices, "Add the deal")
    if entered is not None and attempt(lambda: deals.create_deal(db, actor, *entered()), "The deal is added."):
        st.rerun()

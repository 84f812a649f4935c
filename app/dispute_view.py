"""Disputes: the flag on a line, the list, and the thread with what may be done in it."""

from collections.abc import Sequence
from typing import Literal

import pandas as pd
import streamlit as st

from app import auth, navigation, state, widgets
from app.actions import attempt
from app.adjustment_view import override
from app.widgets import money_column, text_column, time_column
from engine.errors import QuotaPathError
from engine.periods import parse_period, period_of
from engine.services import access, disputes, earnings, runs
from engine.services.access import Actor, Reach
from engine.services.disputes import CLOSED, OPEN, Disputes, Thread

PAGE_SIZE = 50
_SHOWN = {"Open": OPEN, "Closed": CLOSED, "All": OPEN + CLOSED}
_COLORS: dict[str, Literal["orange", "blue", "green", "gray"]] = {
    "open": "orange",
    "answered": "blue",
    "settled": "green",
    "explained": "green",
    "rejected": "gray",
}
_ICONS = {
    "open": ":material/flag:",
    "answered": ":material/reply:",
    "settled": ":material/check_circle:",
    "explained": ":material/lightbulb:",
    "rejected": ":material/cancel:",
}


# --- beside a line ------------------------------------------------------------------------------------


def line_actions(actor: Actor, line_id: int, cents: int, currency: str) -> None:
    """What may be done about a line of earnings: dispute it, override it.  Draws what the viewer may."""
    with st.container(horizontal=True, vertical_alignment="center"):
        flag_button(actor, line_id)
        if access.may(actor, "payouts.adjust") and st.button(
            "Override", icon=":material/edit:", key=f"override_{line_id}"
        ):
            override(line_id, cents, currency)


def flag_button(actor: Actor, line_id: int) -> None:
    """The line's latest dispute; and while none is open, the button that opens one, for whoever may write about it."""
    found = disputes.of_line(state.database(), actor, line_id)
    label = "Something is wrong"
    if found is not None:
        dispute_id, status = found
        st.badge(f"Dispute {status}", icon=_ICONS[status], color=_COLORS[status])
        navigation.link("disputes", "Read it under Disputes", {"dispute": str(dispute_id)})
        if status in OPEN:
            return
        label = "Something is still wrong"
    if access.may(actor, "disputes.write") and st.button(label, icon=":material/flag:", key=f"flag_{line_id}"):
        flag(line_id)


def with_status(actor: Actor, lines: pd.DataFrame, user_id: int, period: str) -> pd.DataFrame:
    """A person's lines (with ``line_id``) and a column ``dispute``: the status of each line's latest, else null."""
    found = disputes.disputed_lines(state.database(), actor, user_id, period)
    return lines.assign(dispute=lines["line_id"].map(dict(zip(found["line_id"], found["status"], strict=True))))


@st.dialog("Something is wrong with this line", icon=":material/flag:")
def flag(line_id: int) -> None:
    """Ask what is wrong, then open the dispute."""
    flag_body(line_id)


def flag_body(line_id: int) -> None:
    """The form of a flag."""
    actor = auth.require("disputes.write")
    st.write("Sales ops reads it, and so does the person's manager. The answer comes under Disputes.")
    text = st.text_area("What is wrong?", key="flag_text", max_chars=disputes.LONGEST)
    if st.button("Send", type="primary", key="flag_yes") and attempt(
        lambda: disputes.flag_line(state.database(), actor, line_id, text or ""), "Sent. See Disputes for the answer."
    ):
        st.rerun()


# --- the list -----------------------------------------------------------------------------------------


def list_filter() -> str:
    """Which disputes to show, kept in the URL (``?show=Closed``)."""
    with widgets.tools():
        chosen = st.segmented_control(
            "Show",
            list(_SHOWN),
            default="Open",
            required=True,
            key="show",
            bind="query-params",
            label_visibility="collapsed",
        )
    return str(chosen or "Open")


def page_of(actor: Actor, shown: str) -> Disputes:
    """The page of disputes that the list's buttons chose."""
    # Other filters begin on their first page: a pager of their own.
    number = st.session_state.get(f"disputes_page_{shown}", 1)
    return disputes.list_disputes(state.database(), actor, _SHOWN[shown], PAGE_SIZE, (number - 1) * PAGE_SIZE)


def badges(counts: dict[str, int]) -> None:
    """How many there are of each status."""
    with st.container(horizontal=True):
        for status in (*OPEN, *CLOSED):
            if counts.get(status):
                st.badge(f"{counts[status]:,} {status}", icon=_ICONS[status], color=_COLORS[status])


def dispute_list(actor: Actor, found: Disputes, shown: str) -> None:
    """The disputes; choosing one opens its thread."""
    if found.page.empty:
        text = "Open your earnings, choose a line, and say what is wrong with it. A missing deal is reported here."
        if access.may(actor, "disputes.answer"):
            text = "When somebody disputes a line of their earnings, or misses a deal, it appears here."
        widgets.empty("No open disputes" if shown == "Open" else "No disputes here", text, icon=":material/forum:")
        return
    frame = found.page.assign(status=found.page["status"].str.capitalize())
    columns = {
        "about": text_column("About"),
        "status": text_column("Status"),
        "name": text_column("Person"),
        "period": text_column("Pay period"),
        "amount": money_column("Line"),
        "last_by": text_column("Last word"),
        "last_at": time_column("At"),
        "messages": widgets.number_column("Messages"),
        "settlement": text_column("Settled by"),
    }
    if set(frame["user_id"]) == {actor.user_id}:
        columns.pop("name")
    columns = {name: one for name, one in columns.items() if (frame[name].notna() & frame[name].ne("")).any()}
    version = st.session_state.get("disputes_shown", 0)
    chosen = widgets.table(frame, columns, key=f"disputes_{version}", export=f"disputes-{shown.lower()}", select=True)
    total = sum(found.counts.get(status, 0) for status in _SHOWN[shown])
    widgets.pager(total, PAGE_SIZE, key=f"disputes_page_{shown}")
    st.caption("Choose one to read it.")
    if chosen is not None:
        st.query_params["dispute"] = str(frame["id"].iloc[chosen])
        st.session_state["disputes_shown"] = version + 1  # the next run draws the table without a chosen row
        st.rerun()


# --- one dispute --------------------------------------------------------------------------------------


def _closed() -> None:
    st.query_params.pop("dispute", None)


def drawer(dispute_id: int) -> None:
    """One dispute at the side of the list."""
    actor = auth.require("disputes.view")
    try:
        about = disputes.thread(state.database(), actor, dispute_id).dispute.about
    except QuotaPathError as error:
        widgets.show_problems(error)
        return
    title = widgets.plain(about if len(about) <= 80 else about[:77] + "...")
    st.dialog(title, width="medium", position="right", on_dismiss=_closed)(thread_body)(dispute_id)


def thread_body(dispute_id: int) -> None:
    """The thread of a dispute, and the form for whoever may write."""
    actor = auth.require("disputes.view")
    try:
        found = disputes.thread(state.database(), actor, dispute_id)
    except QuotaPathError as error:
        widgets.show_problems(error)
        return
    one = found.dispute
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(one.status.capitalize(), icon=_ICONS[one.status], color=_COLORS[one.status])
        st.markdown(f"**{widgets.plain(one.person)}**", width="content")
        title = widgets.period_title(parse_period(one.period))
        st.caption(f"{title} · {widgets.plain(found.amount)}" if found.amount else title, width="content")
    if one.closed_at:
        st.caption(
            f"{one.status.capitalize()} by {widgets.plain(one.closed_by or '')}, {one.closed_at:%Y-%m-%d %H:%M} UTC"
        )
    if one.status == "explained":
        st.success("The line is right; nothing had to change. The last message explains why.", icon=_ICONS["explained"])
    if one.settlement:
        st.success(widgets.plain(one.settlement), icon=":material/link:")
    for message in found.messages:
        mine = message.user_id == actor.user_id
        with st.chat_message(
            "user" if message.role in ("rep", "manager") else "assistant", avatar=_avatar(message.role)
        ):
            who = "You" if mine else f"{message.author} ({message.role})"
            st.caption(f"{widgets.plain(who)} · {message.at:%Y-%m-%d %H:%M} UTC")
            st.text(message.text)
    if found.may_write:
        _answer(actor, found)
    elif one.closed_at is None:
        st.caption("Your role reads disputes; admins answer them.")


def _avatar(role: str) -> str:
    return ":material/support_agent:" if role in ("admin", "finance") else ":material/person:"


def _answer(actor: Actor, found: Thread) -> None:
    """Write a message; an admin also settles by a change that was made, explains, or rejects."""
    db, dispute_id = state.database(), found.dispute.id
    key = f"dispute_{dispute_id}_{len(found.messages)}"  # a sent message leaves an empty field
    text = st.text_area("Your message", key=f"{key}_text", max_chars=disputes.LONGEST)
    settled_by = None
    if found.may_answer:
        names = {one.key: one.text for one in found.settlers}
        settled_by = st.selectbox(
            "Settled by",
            list(names),
            index=None,
            format_func=names.__getitem__,
            placeholder="The change that puts it right" if names else "Nothing has changed since it was opened",
            disabled=not names,
            key=f"{key}_link",
            help="Deal edits, manual adjustments and runs made since the dispute was opened",
        )
    with st.container(horizontal=True):
        sent = st.button("Send", type="primary", icon=":material/send:", key=f"{key}_send")
        settled = explained = rejected = False
        if found.may_answer:
            settled = st.button("Settle", icon=":material/check:", key=f"{key}_settle", disabled=settled_by is None)
            explained = st.button(
                "Explained",
                icon=":material/lightbulb:",
                key=f"{key}_explain",
                help="Closes it: the line is right, your message explains it, and nothing has to change",
            )
            rejected = st.button(
                "Reject",
                icon=":material/close:",
                key=f"{key}_reject",
                help="Closes it without a change: say in the message why it is no dispute",
            )
    done = (
        (sent and attempt(lambda: disputes.reply(db, actor, dispute_id, text or ""), "Sent."))
        or (
            settled
            and attempt(lambda: disputes.settle(db, actor, dispute_id, text or "", settled_by or ""), "Settled.")
        )
        or (
            explained
            and attempt(
                lambda: disputes.explain(db, actor, dispute_id, text or ""), "Explained: nothing had to change."
            )
        )
        or (rejected and attempt(lambda: disputes.reject(db, actor, dispute_id, text or ""), "Rejected."))
    )
    if done:
        st.rerun()


# --- a missing deal -----------------------------------------------------------------------------------


def new_button(actor: Actor) -> None:
    """The button that reports a missing deal, for whoever may write; and the way to the lines."""
    if not access.may(actor, "disputes.write"):
        return
    with widgets.tools():
        if st.button("A deal is missing", icon=":material/flag:"):
            report_missing()
        navigation.link("earnings", "Dispute a line of earnings")


@st.dialog("A deal is missing", icon=":material/flag:")
def report_missing() -> None:
    """Ask which, then open the dispute."""
    missing_body()


def missing_body() -> None:
    """The form of a missing deal: in which period, whose, which deal, and why."""
    actor = auth.require("disputes.write")
    db = state.database()
    st.write("For a deal that should have counted, and is not among the lines of the pay period.")
    recent = _recent(runs.pay_kinds(db, actor))
    last = runs.last_run_period(db, actor)
    period = st.selectbox(
        "Pay period",
        recent,
        index=recent.index(last) if last in recent else 0,
        format_func=lambda name: widgets.period_title(parse_period(name)),
        key="missing_period",
    )
    names = {actor.user_id: "You"} if actor.user_id is not None else {}
    if access.reach(actor, "disputes.write") > Reach.SELF:
        people = earnings.payees(db, actor, period)
        names = dict(zip(people["user_id"].astype(int), people["name"], strict=True)) or names
    person = next(iter(names))
    if len(names) > 1:
        person = st.selectbox("Whose pay", list(names), format_func=names.__getitem__, key="missing_person")
    deal = st.text_input("Which deal?", key="missing_deal", placeholder="Its ID, or what it is called", max_chars=200)
    text = st.text_area("What is wrong?", key="missing_text", max_chars=disputes.LONGEST)
    if st.button("Send", type="primary", key="missing_yes") and attempt(
        lambda: disputes.flag_missing(db, actor, person, period, deal or "", text or ""), "Sent."
    ):
        st.rerun()


def _recent(kinds: Sequence[str]) -> list[str]:
    """The pay period that holds today and those of about a year before, of each kind."""
    found = []
    for kind in kinds:
        period = period_of(kind, state.today().toordinal())
        for _ in range({"week": 53, "month": 13, "quarter": 5}.get(kind, 2)):
            found.append(period.name)
            period = period.previous()
    return found

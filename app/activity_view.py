"""The pieces of the activities page: logging, the list with its filters, one activity, and activity beside results."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import auth, state, widgets
from app.actions import attempt
from app.widgets import Card, money_column, number_column, percent_column, text_column
from engine.errors import QuotaPathError
from engine.periods import Period, parse_period, period_of
from engine.services import access, activities
from engine.services.access import Actor
from engine.services.activities import KINDS, ActivityFields, ActivityFilters, ActivityPage, Page
from engine.services.naming import slug

PAGE_SIZE = 50
LIST, BESIDE = "List", "Beside results"
_NAMES = {"call": "Call", "email": "E-mail", "meeting": "Meeting", "note": "Note", "task": "Task"}
_ICONS = {"call": "call", "email": "mail", "meeting": "groups", "note": "sticky_note_2", "task": "task_alt"}
_COLORS: list[Any] = ["blue", "violet", "green", "gray", "orange"]  # in the order of KINDS
_SORTS = {
    "Latest first": ("happened_at", True),
    "Earliest first": ("happened_at", False),
    "Due first": ("due_on", False),
    "Person": ("person", False),
    "Account": ("account", False),
    "Kind": ("kind", False),
}
_XLSX_ROWS = 1_048_575  # what a sheet holds below its header


def now() -> datetime:
    """This moment, on the day that the server's clock shows."""
    return datetime.combine(state.today(), datetime.now(UTC).time(), UTC).replace(microsecond=0)


def _icon(kind: str) -> str:
    return f":material/{_ICONS[kind]}: {_NAMES[kind]}"


def choose_view() -> str:
    """The list, or what each person did beside what it brought."""
    with widgets.tools():
        chosen = st.segmented_control(
            "View", [LIST, BESIDE], default=LIST, required=True, key="view", bind="query-params",
            label_visibility="collapsed",
        )  # fmt: skip
    return str(chosen)


# --- logging ---------------------------------------------------------------------------------------


def log_button() -> None:
    """The quick way to log: a kind, and "Log"; the rest only where it is wanted."""
    # A new one after each entry: closed, and empty.
    number = st.session_state.get("activities_logged", 0)
    with widgets.tools(), st.popover("Log", icon=":material/add:", type="primary", key=f"log_{number}"):
        _log(f"log_{number}", st.rerun)


@st.fragment
def _log(key: str, rerun: Callable[[], None]) -> None:
    """Only this part runs again while one writes."""
    log_form(auth.require("activities.edit"), None, key, rerun)


def log_form(actor: Actor, deal_id: int | None, key: str, rerun: Callable[[], None]) -> None:
    """The fields of a new activity; on a given deal, or on one to be found."""
    kind = st.pills(
        "Kind", KINDS, default="call", required=True, format_func=_icon, label_visibility="collapsed", key=f"{key}_kind"
    )
    kind = str(kind)
    subject = st.text_input(
        "Subject",
        placeholder="Optional on a deal or an account" if kind in ("call", "email", "meeting") else "What it is about",
        max_chars=500,
        key=f"{key}_subject",
    )
    account = ""
    if deal_id is None:
        deal_id, account = _where(actor, key)
    due_on = None
    if kind == "task":
        due_on = st.date_input("Due on", state.today(), format="YYYY-MM-DD", key=f"{key}_due")
        happened_at = None
    else:
        happened_at = st.datetime_input("When (UTC)", None, format="YYYY-MM-DD", key=f"{key}_when", help="Empty: now.")
    details = st.text_area("Details", max_chars=10_000, height=80, placeholder="Optional", key=f"{key}_details")
    moment = now()
    fields = ActivityFields(
        kind, subject, _utc(happened_at) or moment, deal_id, account, details, due_on if kind == "task" else None
    )
    if st.button("Log", type="primary", width="stretch", key=f"{key}_log") and attempt(
        lambda: activities.log_activity(state.database(), actor, fields, moment), f"{_NAMES[kind]} logged."
    ):
        st.session_state["activities_logged"] = st.session_state.get("activities_logged", 0) + 1
        rerun()


def _where(actor: Actor, key: str) -> tuple[int | None, str]:
    """The deal, or the account, that an activity is about."""
    typed = st.text_input(
        "Find a deal", key=f"{key}_find", placeholder="Name, account or ID", icon=":material/search:", max_chars=200
    )
    found = activities.deals_to_choose(state.database(), actor, typed, state.today())
    deal_id = st.selectbox(
        "Deal",
        [None, *found],
        1 if typed.strip() and found else 0,
        format_func=lambda each: found.get(each, "No deal"),
        key=f"{key}_deal_{typed}",
        help="Your open deals, or what you search for.",
    )
    if typed.strip() and not found:
        st.caption("No deal that you may see matches.")
    account = "" if deal_id else st.text_input("Account", max_chars=1000, placeholder="Optional", key=f"{key}_account")
    return deal_id, account


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment else None


# --- the list --------------------------------------------------------------------------------------


def filters(actor: Actor, team: int | None) -> tuple[ActivityFilters, Page, DeltaGenerator, DeltaGenerator]:
    """The filters, kept in the URL, the rarer ones in a popover; and the places for the cards and the exports."""
    with st.container(horizontal=True, vertical_alignment="center", key="activity_filters"):
        text = st.text_input(
            "Search", key="q", bind="query-params", icon=":material/search:", label_visibility="collapsed",
            placeholder="Subject, account or details", width="stretch",
        )  # fmt: skip
        kinds = st.pills(
            "Kind", list(_NAMES.values()), selection_mode="multi", key="kind", bind="query-params",
            label_visibility="collapsed",
        )  # fmt: skip
        during = st.selectbox(
            "When", ["", *_periods(state.today())], key="during", bind="query-params", label_visibility="collapsed",
            format_func=lambda name: widgets.period_title(parse_period(name)) if name else "Any time", width=170,
        )  # fmt: skip
    for_cards = st.container()
    with st.container(horizontal=True, horizontal_alignment="distribute"):
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            more = _more_filters(actor)
            open_tasks = st.toggle("Open tasks", key="open", bind="query-params")
            order = st.selectbox(
                "Order", list(_SORTS), key="order", bind="query-params", label_visibility="collapsed", width=170
            )
        for_exports = st.container(horizontal=True, vertical_alignment="center", width="content")
    period = parse_period(during) if during else None
    chosen = ActivityFilters(
        text=text or "",
        kinds=tuple(kind for kind, name in _NAMES.items() if name in (kinds or ())),
        team_id=team,
        since=period.first_day if period else None,
        until=period.last_day + timedelta(days=1) if period else None,
        open_tasks=open_tasks,
        **more,
    )
    if st.session_state.get("activities_filtered") != (chosen, order):
        # Other filters begin on their first page: a pager of their own.
        pager = st.session_state.get("activities_pager", 0) + 1
        st.session_state.update(activities_filtered=(chosen, order), activities_pager=pager)
    number = st.session_state.get(_pager_key(), 1)
    return chosen, Page(number, PAGE_SIZE, *_SORTS[order]), for_cards, for_exports


def _pager_key() -> str:
    return f"activities_page_{st.session_state['activities_pager']}"


_MORE = ("activity_person", "activity_account", "activity_find", "activity_deal")


def _more_filters(actor: Actor) -> dict[str, Any]:
    db, today = state.database(), state.today()
    asked = st.query_params.get("deal", "")
    if asked.isdigit() and "activity_deal" not in st.session_state:
        st.session_state["activity_deal"] = int(asked)
    used = sum(bool(st.session_state.get(key)) for key in _MORE if key != "activity_find")
    names = activities.people_to_choose(db, actor, today)
    with st.popover(f"Filters ({used})" if used else "Filters", icon=":material/filter_list:"):
        person = None
        if len(names) > 1:
            person = st.selectbox(
                "Person",
                [None, *names],
                format_func=lambda key: names.get(key, "Anyone"),
                key="activity_person",
                bind="query-params",
            )
        account = st.text_input("Account begins with", key="activity_account", max_chars=200)
        typed = st.text_input("Find a deal", key="activity_find", placeholder="Name, account or ID", max_chars=200)
        found = activities.deals_to_choose(db, actor, typed, today)
        chosen = st.session_state.get("activity_deal")
        if chosen is not None and chosen not in found:
            found[chosen] = activities.deal_name(db, actor, chosen, today) or f"Deal {chosen}"
        deal_id = st.selectbox(
            "Deal", [None, *found], format_func=lambda each: found.get(each, "Any deal"), key="activity_deal"
        )
        if used:
            st.button("Clear these filters", on_click=_forget, icon=":material/filter_list_off:")
    return {"user_id": person, "account": account or "", "deal_id": deal_id}


def _forget() -> None:
    st.query_params.pop("deal", None)
    st.query_params.pop("activity_person", None)
    for key in _MORE:
        st.session_state.pop(key, None)


def _periods(today: date) -> list[str]:
    """Weeks, months, quarters and years up to today, the nearer and shorter first."""
    found: list[str] = []
    for kind, count in (("week", 5), ("month", 13), ("quarter", 6), ("year", 3)):
        period: Period = period_of(kind, today.toordinal())
        for _ in range(count):
            found.append(period.name)
            period = period.previous()
    return found


def cards(found: ActivityPage) -> None:
    """How many of each kind match."""
    shown = [Card(f"{_NAMES[kind]}s", f"{found.kinds.get(kind, 0):,}") for kind in ("call", "email", "meeting")]
    late = f"{found.overdue:,} of them overdue" if found.overdue else None
    widgets.cards(*shown, Card("Open tasks", f"{found.open_tasks:,}", help=late))


def activity_table(found: ActivityPage) -> None:
    """One page of activities; choosing a row opens it."""
    frame = found.frame
    kinds = st.column_config
    today = state.today()
    shown = pd.DataFrame(
        {
            "happened_at": [f"{at:%Y-%m-%d %H:%M}" for at in frame["happened_at"]],
            "kind": [[_NAMES[kind]] for kind in frame["kind"]],
            "subject": frame["subject"],
            "task": [
                _task(kind, due, done, today)
                for kind, due, done in zip(frame["kind"], frame["due_on"], frame["done_at"], strict=True)
            ],
            "deal": frame["deal"].fillna(""),
            "account": frame["account"],
            "person": frame["person"],
        }
    )
    event: Any = st.dataframe(
        shown,
        hide_index=True,
        key=f"activities_{st.session_state.get('activities_shown', 0)}",
        on_select="rerun",
        selection_mode="single-row",
        height="content" if len(frame) < 18 else 640,
        column_config={
            "happened_at": kinds.TextColumn("When (UTC)"),
            "kind": kinds.MultiselectColumn("Kind", options=list(_NAMES.values()), color=_COLORS),
            "subject": kinds.TextColumn("Subject", width="medium"),
            "deal": kinds.TextColumn("Deal", width="medium"),
            "account": kinds.TextColumn("Account"),
            "person": kinds.TextColumn("Person"),
            "task": kinds.TextColumn("Task", width=160),
        },
    )
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        widgets.pager(found.total, PAGE_SIZE, key=_pager_key())
        st.caption("Choose a row to open the activity.", width="content")
    rows = event["selection"]["rows"]
    if rows and rows[0] < len(frame):
        # The next run draws the table anew, without a chosen row.
        st.session_state["activities_shown"] = st.session_state.get("activities_shown", 0) + 1
        _drawer(frame.iloc[rows[0]])


def _task(kind: str, due: date | None, done: datetime | None, today: date) -> str:
    if kind != "task":
        return ""
    if done is not None:
        return f"Done {done:%Y-%m-%d}"
    return "Open" if due is None else f"Overdue since {due}" if due < today else f"Due {due}"


def exports(actor: Actor, chosen: ActivityFilters, page: Page, total: int) -> None:
    """Buttons for the whole filtered set, not only the page; the filters are in the file's name."""
    db, today = state.database(), state.today()

    def rows() -> Any:
        return activities.export_activities(db, actor, chosen, page, today)

    stem = "-".join(["activities", *_named(actor, chosen), str(today)])
    headers = activities.EXPORT_HEADERS
    if total <= _XLSX_ROWS:
        widgets.downloads(stem, "Activities", headers, rows)
    else:
        widgets.csv_download(stem, headers, rows)


def _named(actor: Actor, chosen: ActivityFilters) -> list[str]:
    """The filters as parts of a file's name."""
    db, today = state.database(), state.today()
    parts = [*chosen.kinds]
    if chosen.user_id:
        parts.append(activities.people_to_choose(db, actor, today).get(chosen.user_id, ""))
    if chosen.team_id:
        parts.append(widgets.team_name(actor, chosen.team_id))
    if chosen.deal_id:
        parts.append(activities.deal_name(db, actor, chosen.deal_id, today) or "")
    parts += [chosen.account, chosen.text, "open tasks" if chosen.open_tasks else ""]
    if chosen.since and chosen.until:
        parts += [f"{chosen.since} to {chosen.until - timedelta(days=1)}"]
    return [slug(part, "-")[:40] for part in parts if slug(part, "-")]


# --- one activity ------------------------------------------------------------------------------------


def _drawer(row: "pd.Series[Any]") -> None:
    subject = str(row["subject"])
    title = widgets.plain(subject if len(subject) <= 80 else subject[:77] + "...")

    @st.dialog(title, width="medium", position="right", icon=f":material/{_ICONS[row['kind']]}:")
    def drawer() -> None:
        activity_panel(auth.require("activities.view"), row)

    drawer()


def activity_panel(actor: Actor, row: "pd.Series[Any]") -> None:
    """One activity: what it says, and, for whom it belongs to, its form."""
    db, key = state.database(), f"activity_{row['id']}_{row['version']}"
    deal_id = None if pd.isna(row["deal_id"]) else int(row["deal_id"])
    st.caption(f"{_NAMES[row['kind']]} of {widgets.plain(row['person'])}, {row['happened_at']:%Y-%m-%d %H:%M} UTC")
    if deal_id is not None:
        st.markdown(f":material/handshake: {widgets.plain(row['deal'] or '')}")
    if not activities.may_change(actor, int(row["user_id"])):
        _read_only(row)
        return
    was = ActivityFields(
        row["kind"], row["subject"], row["happened_at"], deal_id, row["account"], row["details"], row["due_on"],
        row["done_at"],
    )  # fmt: skip
    if row["kind"] == "task":
        done = was.done_at is None
        label = "Mark as done" if done else "Not done after all"
        if st.button(label, icon=":material/task_alt:", type="primary" if done else "secondary") and attempt(
            lambda: activities.set_done(db, actor, int(row["id"]), int(row["version"]), now() if done else None),
            "The task is done." if done else "The task is open again.",
        ):
            st.rerun()
    subject = st.text_input("Subject", was.subject, max_chars=500, key=f"{key}_subject")
    account = st.text_input("Account", was.account, max_chars=1000, key=f"{key}_account")
    due_on = was.due_on
    if row["kind"] == "task":
        due_on = st.date_input("Due on", was.due_on, format="YYYY-MM-DD", key=f"{key}_due")
    at = st.datetime_input("When (UTC)", was.happened_at.replace(tzinfo=None), format="YYYY-MM-DD", key=f"{key}_when")
    details = st.text_area("Details", was.details, max_chars=10_000, key=f"{key}_details")
    fields = replace(
        was, subject=subject, account=account, due_on=due_on, details=details, happened_at=_utc(at) or was.happened_at
    )
    with st.container(horizontal=True, horizontal_alignment="distribute"):
        saved = st.button("Save", type="primary", key=f"{key}_save")
        gone = st.button("Delete", icon=":material/delete:", type="tertiary", key=f"{key}_delete")
    if saved and attempt(
        lambda: activities.edit_activity(db, actor, int(row["id"]), int(row["version"]), fields, now()),
        "The activity is saved.",
    ):
        st.rerun()
    if gone and attempt(
        lambda: activities.delete_activity(db, actor, int(row["id"]), int(row["version"])), "The activity is deleted."
    ):
        st.rerun()


def _read_only(row: "pd.Series[Any]") -> None:
    if row["account"]:
        st.caption("Account")
        st.markdown(widgets.plain(row["account"]))
    if row["details"]:
        st.caption("Details")
        st.text(row["details"])
    if row["kind"] == "task":
        st.markdown(_task("task", row["due_on"], row["done_at"], state.today()))


# --- on a deal ---------------------------------------------------------------------------------------


def deal_activities(actor: Actor, deal_id: int) -> None:
    """What was done on one deal, the latest first, and the form to log more: a tab of the deal's drawer."""
    db, today = state.database(), state.today()
    number = st.session_state.get("activities_logged", 0)
    if access.may(actor, "activities.edit"):
        with st.expander("Log an activity", icon=":material/add:"):
            log_form(actor, deal_id, f"deal_log_{deal_id}_{number}", lambda: st.rerun(scope="fragment"))
    try:
        found = activities.list_activities(db, actor, ActivityFilters(deal_id=deal_id), Page(size=200), today)
    except QuotaPathError as error:
        widgets.show_problems(error)
        return
    if not found.total:
        widgets.empty("Nothing was logged on this deal", "Calls, mails, meetings and tasks appear here.")
        return
    frame = found.frame
    widgets.table(
        pd.DataFrame(
            {
                "at": [f"{at:%Y-%m-%d %H:%M}" for at in frame["happened_at"]],
                "kind": [_NAMES[kind] for kind in frame["kind"]],
                "subject": frame["subject"],
                "person": frame["person"],
                "task": [
                    _task(kind, due, done, today)
                    for kind, due, done in zip(frame["kind"], frame["due_on"], frame["done_at"], strict=True)
                ],
            }
        ),
        {
            "at": text_column("When (UTC)"),
            "kind": text_column("Kind"),
            "subject": text_column("Subject"),
            "person": text_column("Person"),
            "task": text_column("Task"),
        },
        key=f"deal_activities_{deal_id}_{number}",
    )
    if found.total > len(frame):
        st.caption(f"The latest {len(frame)} of {found.total:,}; the Activities page has all.")


# --- beside results ----------------------------------------------------------------------------------


def beside_results(actor: Actor, team: int | None) -> None:
    """What each person did in a period, beside what was won."""
    period = widgets.period_filter(("month", "quarter", "year", "week"))
    found = activities.beside_results(state.database(), actor, period, team, state.today())
    frame = found.frame
    if frame.empty or not frame[["calls", "mails", "meetings", "notes", "tasks", "deals"]].to_numpy().any():
        widgets.empty(
            f"Nothing was done or won in {widgets.period_title(period)}",
            "Choose another period, or log what was done.",
            icon=":material/event_note:",
        )
        return
    columns = {
        "person": text_column("Person"),
        "team": text_column("Team"),
        "calls": number_column("Calls"),
        "mails": number_column("E-mails"),
        "meetings": number_column("Meetings"),
        "tasks": number_column("Tasks done", help="By the day on which they were done."),
        "deals": number_column("Deals won", help="Own and shared ones; a refund is not a deal won."),
        "amount": money_column("Won", found.currency, help="By share of credit."),
    }
    if frame["attainment"].notna().any():
        columns["attainment"] = percent_column("Attainment", help="Credit of the quota, by the last run in the period.")
    name = f"-{slug(widgets.team_name(actor, team), '-')}" if team else ""
    widgets.table(frame, columns, key="beside_results", export=f"activity-beside-results{name}-{period.name}")

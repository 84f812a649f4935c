"""What needs the viewer today, each with the way to where it is seen to."""

from collections.abc import Callable

import streamlit as st

from app import navigation, widgets
from engine.errors import QuotaPathError
from engine.periods import parse_period
from engine.services.needs import Need


def _period(name: str) -> str:
    try:
        return widgets.period_title(parse_period(name))
    except QuotaPathError:
        return name


def _many(number: int, one: str, several: str) -> str:
    return f"1 {one}" if number == 1 else f"{number:,} {several}"


def _first(need: Need) -> str:
    return _period(need.first) if need.number == 1 else f"{_period(need.first)} first"


# kind -> icon, page, what it says, what the page is asked for
_SHOWN: dict[str, tuple[str, str, Callable[[Need], str], Callable[[Need], dict[str, str]]]] = {
    "approve": (":material/approval:", "payouts",
                lambda n: f"{_many(n.number, 'pay period is', 'pay periods are')} over and not approved: {_first(n)}",
                lambda n: {"period": n.first}),
    "pay": (":material/payments:", "payouts",
            lambda n: f"{_many(n.number, 'pay period is', 'pay periods are')} approved and not paid: {_first(n)}",
            lambda n: {"period": n.first}),
    "answer": (":material/forum:", "disputes",
               lambda n: f"{_many(n.number, 'dispute waits', 'disputes wait')} for an answer", lambda _: {}),
    "answered": (":material/mark_chat_unread:", "disputes",
                 lambda n: f"{_many(n.number, 'dispute of yours has', 'disputes of yours have')} an answer",
                 lambda _: {}),
    "not_run": (":material/pending_actions:", "runs",
                lambda n: f"{_many(n.number, 'month', 'months')} with won deals never calculated: {_first(n)}",
                lambda n: {"period": n.first}),
    "outdated": (":material/update:", "runs",
                 lambda n: f"Deals changed since {_many(n.number, 'run', 'runs')}: {_first(n)}",
                 lambda n: {"period": n.first}),
    "refused": (":material/rule:", "upload",
                lambda n: f"{_many(n.number, 'row was', 'rows were')} refused by imports of the last 30 days, "
                          f"the latest in {n.first}", lambda _: {}),
    "quotas": (":material/flag:", "quotas",
               lambda n: f"{_many(n.number, 'person has', 'people have')} no quota today, "
                         f"others on the same plan do: {n.first}", lambda _: {}),
    "examples": (":material/science:", "plans",
                 lambda n: f"{_many(n.number, 'plan has', 'plans have')} no example that checks its figures: {n.first}",
                 lambda n: {"plan": n.first}),
    "tasks": (":material/task_alt:", "activities",
              lambda n: f"{_many(n.number, 'task is', 'tasks are')} due: {n.first}", lambda _: {"open": "true"}),
    "late": (":material/event_busy:", "deals",
             lambda n: f"{_many(n.number, 'open deal is', 'open deals are')} past the close date",
             lambda _: {"show": "Open", "order": "Close date, earliest first"}),
}  # fmt: skip


def show(found: list[Need]) -> None:
    """The list; nothing at all when nothing waits."""
    if not found:
        return
    with st.container(border=True, key="needs", gap="small"):
        st.subheader("What needs you today", anchor=False)
        for need in found:
            icon, page, say, query = _SHOWN[need.kind]
            with st.container(horizontal=True, vertical_alignment="center", key=f"need_{need.kind}"):
                st.markdown(f"{icon} {widgets.plain(say(need))}", width="stretch")
                navigation.link(page, "", query(need))

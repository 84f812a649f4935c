"""What needs the viewer today, each with the way to just the thing that waits."""

from collections.abc import Callable
from typing import NamedTuple

import streamlit as st

from app import navigation, widgets
from engine.errors import QuotaPathError
from engine.periods import parse_period
from engine.services.access import Actor
from engine.services.needs import Need


class Shown(NamedTuple):
    """How a kind is shown: what it says, and what its page is asked for.

    ``each``: every one of the first has a link of its own, which ``asks`` for it by its key; else there is one link,
    called ``link``, for all of them.
    """

    icon: str
    page: str
    say: Callable[[Need], str]
    asks: Callable[[str, Actor], dict[str, str]]
    each: bool = True
    link: str = ""


def _many(number: int, one: str, several: str) -> str:
    return f"1 {one}" if number == 1 else f"{number:,} {several}"


def _named(need: Need) -> str:
    """``A``, ``A and B``, ``A, B, C and 4 more``."""
    names = [name for _, name in need.first]
    if need.number > len(names):
        return f"{', '.join(names)} and {need.number - len(names):,} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _owners(need: Need) -> str:
    who = _many(need.number, "owner in imported files is", "owners in imported files are")
    return f"{who} not known here: {_named(need)}. {_many(need.rows, 'row waits', 'rows wait')} for that"


def _period(key: str, _: Actor) -> dict[str, str]:
    return {"period": key}


def _dispute(key: str, _: Actor) -> dict[str, str]:
    return {"dispute": key}


_SHOWN = {
    "approve": Shown(":material/approval:", "payouts",
                     lambda n: f"{_many(n.number, 'pay period is', 'pay periods are')} over and not approved", _period),
    "pay": Shown(":material/payments:", "payouts",
                 lambda n: f"{_many(n.number, 'pay period is', 'pay periods are')} approved and not paid", _period),
    "answer": Shown(":material/forum:", "disputes",
                    lambda n: f"{_many(n.number, 'dispute waits', 'disputes wait')} for an answer", _dispute),
    "answered": Shown(":material/mark_chat_unread:", "disputes",
                      lambda n: f"{_many(n.number, 'dispute of yours has', 'disputes of yours have')} an answer",
                      _dispute),
    "not_run": Shown(":material/pending_actions:", "runs",
                     lambda n: f"{_many(n.number, 'month', 'months')} with won deals never calculated", _period),
    "outdated": Shown(":material/update:", "runs",
                      lambda n: f"Deals changed since {_many(n.number, 'period was', 'periods were')} calculated",
                      _period),
    "owners": Shown(":material/person_search:", "upload", _owners, lambda key, _: {"import": key}, False,
                    "Say who they are"),
    "refused": Shown(":material/rule:", "upload",
                     lambda n: f"{_many(n.number, 'row was', 'rows were')} left out by imports of the last 30 days",
                     lambda key, _: {"import": key}),
    "quotas": Shown(":material/flag:", "quotas",
                    lambda n: f"{_many(n.number, 'person has', 'people have')} no quota today, others on the same plan "
                              f"do: {_named(n)}", lambda *_: {}, False, "Quotas"),
    "examples": Shown(":material/science:", "plans", lambda n: _many(
                          n.number, "plan has no example that checks its figures",
                          "plans have no example that checks their figures"), lambda key, _: {"plan": key}),
    "tasks": Shown(":material/task_alt:", "activities",
                   lambda n: f"{_many(n.number, 'task of yours is', 'tasks of yours are')} due: {_named(n)}",
                   lambda _, actor: {"open": "true", "order": "Due first", "activity_person": actor.name}, False,
                   "Tasks"),
    "late": Shown(":material/event_busy:", "deals",
                  lambda n: f"{_many(n.number, 'open deal is', 'open deals are')} past the close date",
                  lambda *_: {"late": "yes", "order": "Close date, earliest first"}, False, "These deals"),
}  # fmt: skip
_LONGEST = 40  # letters of a link


def show(actor: Actor, found: list[Need]) -> None:
    """The list; nothing at all when nothing waits."""
    if not found:
        return
    with st.container(border=True, key="needs", gap="small"):
        st.subheader("What needs you today", anchor=False)
        for need in found:
            shown = _SHOWN[need.kind]
            with st.container(
                horizontal=True,
                vertical_alignment="center",
                horizontal_alignment="distribute",
                gap="small",
                key=f"need_{need.kind}",
            ):
                st.markdown(f"{shown.icon} {widgets.plain(shown.say(need))}", width="content")
                with st.container(horizontal=True, width="content", gap="small"):
                    _links(actor, need, shown)


def _links(actor: Actor, need: Need, shown: Shown) -> None:
    if not shown.each:
        navigation.link(shown.page, shown.link, shown.asks(need.first[0][0] if need.first else "", actor))
        return
    for key, label in need.first:
        navigation.link(shown.page, widgets.plain(_label(label)), shown.asks(key, actor))
    if need.number > len(need.first) and need.kind != "refused":
        navigation.link(shown.page, "All of them")


def _label(text: str) -> str:
    """A period by its title; what is long is cut."""
    try:
        return widgets.period_title(parse_period(text))
    except QuotaPathError:
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST].rstrip()}…"

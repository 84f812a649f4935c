"""What a change of people does beside pay, in words: pages and data gained and lost, sessions ended, who sees whom."""

from collections.abc import Callable, Sequence
from datetime import date

import streamlit as st

from app import navigation, widgets
from app.navigation import CATALOG
from app.people_rows import people_count
from engine.db.people import Held, Person
from engine.errors import QuotaPathError
from engine.services.access import Reach
from engine.services.people_effect import LeaveEffect, Return, RoleEffect, Sight

# What may be done, apart from looking: in the words of "may ...".  A test holds that every action is in it.
DOES = {
    "deals.edit": "change deals",
    "deals.import": "upload deals",
    "plans.edit": "change plans",
    "people.edit": "manage people and teams",
    "quotas.edit": "set quotas",
    "runs.start": "calculate periods",
    "runs.clean": "clean up runs",
    "statements.bulk": "download everyone's statements",
    "payouts.approve": "approve payouts",
    "payouts.pay": "mark payouts as paid",
    "payouts.export": "download payroll files",
    "payouts.adjust": "adjust pay by hand",
    "payouts.reverse": "take payments back",
    "payouts.rules": "set the two-person rule",
    "disputes.write": "raise disputes",
    "disputes.answer": "answer disputes",
    "jobs.manage": "stop and retry jobs",
    "settings.edit": "change the settings",
    "stages.edit": "change pipeline stages",
    "activities.edit": "log activities",
    "whatif.use": "try plans on the past",
    "whatif.save": "keep scenarios",
    "tokens.edit": "make API tokens",
}
_FEW = 6  # names in a sentence; more are counted


def role(person: Person, role: str, found: RoleEffect) -> None:
    """What another role brings and takes, before it is saved."""
    gained, lost = _pages(found, gained=True), _pages(found, gained=False)
    may, may_not = _deeds(found, gained=True), _deeds(found, gained=False)
    before, after = found.sees
    lines = [
        f"**Sees:** the deals and pay of {_whose(before)} until now, of {_whose(after)} then."
        if before != after
        else "",
        f"**Pages gained:** {', '.join(gained)}" if gained else "",
        f"**Pages lost:** {', '.join(lost)}" if lost else "",
        f"**May then:** {', '.join(may)}" if may else "",
        f"**May no longer:** {', '.join(may_not)}" if may_not else "",
        f"**Sign-in:** {ends(found.held)}{' The password stays.' if person.has_password else ''}",
        "**Pay:** does not change; it follows plan, team and quota, not the role.",
    ]
    st.info("\n".join(f"- {line}" for line in lines if line), icon=":material/visibility:")
    if found.leads and role == "rep":
        st.warning(
            f"{widgets.plain(person.name)} goes on leading {widgets.plain(', '.join(found.leads))} and may be paid on "
            "it, but sees nobody else any more. Give the team another manager in the tab Teams.",
            icon=":material/groups:",
        )
    if role == "manager" and not found.leads:
        st.caption("A manager sees the people of the teams that they lead, and leads none so far.")


def _pages(found: RoleEffect, *, gained: bool) -> list[str]:
    return [entry.title for entry in CATALOG if _turns(found, entry.action, gained=gained)]


def _deeds(found: RoleEffect, *, gained: bool) -> list[str]:
    return [words for action, words in DOES.items() if _turns(found, action, gained=gained)]


def _turns(found: RoleEffect, action: str, *, gained: bool) -> bool:
    before, after = found.reach.get(action, (Reach.NONE, Reach.NONE))
    return (before is Reach.NONE) is gained and (after is Reach.NONE) is not gained and before is not after


def _whose(others: int | None) -> str:
    if others is None:
        return "everyone"
    return f"themselves and {others} other{'' if others == 1 else 's'}" if others else "themselves alone"


def ends(held: Held) -> str:
    """``"2 open sessions and 1 API token end at once."``"""
    parts = [
        f"{count} {what}{'' if count == 1 else 's'}"
        for count, what in ((held.sessions, "open session"), (held.tokens, "API token"))
        if count
    ]
    if not parts:
        return "No session and no API token is open."
    return f"{' and '.join(parts)} end{'s' if held.sessions + held.tokens == 1 else ''} at once."


def leave(person: Person, found: LeaveEffect, until_then: bool) -> None:
    """What ends with the last day, and what stays."""
    deals = "; ".join(
        f"{count:,} open deal{'' if count == 1 else 's'} worth {widgets.plain(widgets.money(cents or 0, currency))}"
        for currency, count, cents in found.held.open_deals
    )
    due = ", ".join(widgets.plain(widgets.money(cents, currency)) for currency, cents in found.held.due.items())
    lines = [
        f"Leaves the team {widgets.plain(found.team)}." if found.team else "Is in no team then anyway.",
        f"The plan {widgets.plain(found.plan)} ends: deals closed later earn nothing." if found.plan else "",
        f"Leads {widgets.plain(', '.join(found.leads))}: no manager from then on, and nobody is paid for leading."
        if found.leads
        else "",
        f"{'Sign-in goes on until then; then ' if until_then else ''}{ends(found.held)}".replace(
            " at once", "" if until_then else " at once"
        )
        if found.held.sessions or found.held.tokens
        else "",
        f"{deals}: stay theirs. Give them to somebody else under Deals." if deals else "No open deals.",
        f"Owed by closed periods, not paid yet: {due}. It stays owed, and what was earned until then is paid as ever."
        if due
        else "What was earned until then is paid as ever; closed periods owe nothing.",
    ]
    st.markdown("\n".join(f"- {line}" for line in lines if line))
    if deals:
        navigation.link("deals", f"Open deals of {person.name}", {"deal_owner": person.name})


def goes_on(found: Return) -> str:
    """``"East, the plan Account executives and the lead of West go on"``; empty when nothing does."""
    parts = [
        widgets.plain(found.team) if found.team else "",
        f"the plan {widgets.plain(found.plan)}" if found.plan else "",
        f"the lead of {widgets.plain(', '.join(found.leads))}" if found.leads else "",
    ]
    named = [part for part in parts if part]
    if not named:
        return ""
    listed = f"{', '.join(named[:-1])} and {named[-1]}" if len(named) > 1 else named[0]
    return f"{listed[:1].upper()}{listed[1:]} {'go' if len(named) > 1 else 'goes'} on"


def sight(find: Callable[[], Sequence[Sight]], day: date) -> None:
    """Who sees whose deals and pay otherwise; the problems when the change cannot be made."""
    try:
        found = find()
    except QuotaPathError as error:
        widgets.show_problems(error)
        return
    if not found:
        st.caption("No manager sees other people's deals and pay than before.")
        return
    lines = [
        f"**{widgets.plain(one.manager)}** {verb} {_names(names)}"
        for one in found
        for verb, names in (("sees then:", one.gains), ("no longer sees:", one.loses))
        if names
    ]
    st.info(
        f"**Whose deals and pay managers see, from {day}:**\n" + "\n".join(f"- {line}" for line in lines),
        icon=":material/visibility:",
    )


def _names(names: Sequence[str]) -> str:
    if len(names) <= _FEW:
        return widgets.plain(", ".join(names))
    return f"{widgets.plain(', '.join(names[:_FEW]))} and {people_count(len(names) - _FEW)} more"

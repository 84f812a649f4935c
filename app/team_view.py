"""The pieces of the Teams tab: the hierarchy as of a day, the teams, and one team's form."""

from collections.abc import Sequence
from datetime import date, timedelta

import pandas as pd
import streamlit as st

from app import auth, effect_view, people_effect_view, state, widgets
from app.actions import attempt
from app.people_fields import NO_TEAM, chosen_once, last_day, later_changes, opened
from app.people_rows import people_count
from app.widgets import date_column, number_column, text_column
from engine.db.people import Person
from engine.db.structure import TeamRow, TeamState
from engine.services import access, pay_periods, people, people_effect, team_closing, teams
from engine.services.access import Actor

_TOP, _NOBODY = "The whole company", "Nobody"


def team_list(actor: Actor, found: Sequence[TeamRow], listed: Sequence[Person]) -> None:
    """The hierarchy as it was on a day, and the teams of that day; choosing one opens its drawer."""
    today = state.today()
    day = st.date_input(
        "As of", today, format="YYYY-MM-DD", min_value=date(1990, 1, 1), max_value=date(2199, 12, 31), width=180,
        key="teams_on", help="Teams, their managers and their people as they are, were or will be on that day.",
    )  # fmt: skip
    _tree(actor, day, listed if day == today else None)
    as_of = found if day == today else people.list_team_rows(state.database(), actor, day)
    # A closed team stands at the end, so that it can be opened again.
    shown = sorted(as_of, key=lambda team: team.since is None)
    frame = pd.DataFrame(
        {
            "name": [team.name for team in shown],
            "parent": [team.parent or "" for team in shown],
            "manager": [team.manager or "" for team in shown],
            "members": [team.members for team in shown],
            "since": [team.since for team in shown],
            "until": [last_day(team.closed_on) for team in shown],
        }
    )
    may_edit = access.may(actor, "people.edit")
    st.markdown("**Teams**")
    chosen = widgets.table(
        frame,
        {
            "name": text_column("Team"),
            "parent": text_column("Part of"),
            "manager": text_column("Manager"),
            "members": number_column("People"),
            "since": date_column("As it is since", help="Empty: not in the hierarchy on that day."),
            **({"until": date_column("Last day")} if frame["until"].notna().any() else {}),
        },
        key=chosen_once("team_list"),
        export=f"teams-{day}",
        select=may_edit,
    )
    if may_edit:
        st.caption("Choose a row to change a team.")
    if chosen is not None:
        opened("team_list")
        team = next(each for each in found if each.team_id == shown[chosen].team_id)
        st.session_state.pop(f"team_seen_{team.team_id}", None)
        team_drawer(team, found, listed)


def _tree(actor: Actor, day: date, listed: Sequence[Person] | None) -> None:
    """The hierarchy of a day, indented."""
    nodes = teams.hierarchy(state.database(), actor, day, state.today(), listed)
    if not nodes:
        widgets.empty(f"There was no team on {day}", "Choose another day.", icon=":material/groups:")
        return
    frame = pd.DataFrame(
        {
            "who": ["\u2003" * node.depth + ("" if node.people is None else "▾ ") + node.name for node in nodes],
            "manager": [node.manager for node in nodes],
            "role": [node.role.capitalize() if node.people is None else people_count(node.people) for node in nodes],
            "plan": [node.plan for node in nodes],
        }
    )
    widgets.table(
        frame,
        {
            "who": text_column("Team and people"),
            "manager": text_column("Manager"),
            "role": text_column("Role"),
            "plan": text_column("Plan"),
        },
        key=f"tree_{day}",
        export=f"hierarchy-{day}",
    )


@st.dialog("Team", width="medium", position="right", icon=":material/groups:")
def team_drawer(team: TeamRow, found: Sequence[TeamRow], listed: Sequence[Person]) -> None:
    """Change one team from a day on, or close it."""
    actor = auth.require("people.edit")
    # As it was when the drawer was opened: what somebody else changes meanwhile is not overwritten.
    key = f"team_seen_{team.team_id}"
    past = st.session_state.setdefault(key, people.team_history(state.database(), actor, team.team_id))
    team_form(actor, team, found, listed, past)


@st.dialog("New team", width="medium", icon=":material/group_add:")
def new_team(found: Sequence[TeamRow], listed: Sequence[Person]) -> None:
    """Make a team."""
    team_form(auth.require("people.edit"), None, found, listed)


def team_form(
    actor: Actor,
    team: TeamRow | None,
    found: Sequence[TeamRow],
    listed: Sequence[Person],
    seen: Sequence[TeamState] | None = None,
) -> None:
    """The fields of a team that exists, with its history, or (None) of a new one; `seen` is the history as opened."""
    db, today = state.database(), state.today()
    others = [each for each in found if team is None or each.team_id != team.team_id]
    parents = {each.team_id: each.name for each in others if each.is_open(today)}
    managers = {person.user_id: person.name for person in listed if person.is_active and person.role != "rep"}
    if team is not None and team.manager_id is not None:
        managers.setdefault(team.manager_id, team.manager or "")
    if team is not None and team.closed_on is not None:
        st.info(
            f"Last day: {last_day(team.closed_on)}. To open it again, say what it is part of and who leads it, and "
            "from when. Its people are moved to it one by one.",
            icon=":material/lock:",
        )
    past = (seen if seen is not None else people.team_history(db, actor, team.team_id)) if team else []
    if past:
        _team_history(past)
    # Who is entered as the first manager has mostly led the team from its beginning.
    begun = past[0].start if len(past) == 1 and past[0].manager is None else today
    name = st.text_input("Name", team.name if team else "", max_chars=200)
    parent = _one_of("Part of", parents, team.parent_id if team else None, _TOP)
    manager = _one_of(
        "Manager", managers, team.manager_id if team else None, _NOBODY, "Anyone but a rep; change the role first."
    )
    start = st.date_input(
        "From",
        begun if team else today.replace(month=1, day=1),
        format="YYYY-MM-DD",
        min_value=date(1960, 1, 1),
        help="The manager sees, and may be paid on, deals closed from that day on. Before it the team stays as it "
        "was. A new name holds at once.",
    )
    later = [(_described(row), row.start) for row in past if row.start > start]
    replace_later = later_changes(later)
    if team is not None and ((parent, manager) != (team.parent_id, team.manager_id) or start < today):
        change = people_effect.changing_team(team.team_id, team.name, parent, manager, start, replace_later)
        people_effect_view.sight(lambda: people_effect.sight(db, actor, change, max(start, today)), max(start, today))
        effect_view.from_day(pay_periods.touched_from(db, actor, start))
        effect_view.offer("team_effect", lambda: people_effect.earnings_after(db, state.pool(), actor, change, today))
    pressed = st.button("Save" if team else "Create the team", type="primary")
    if team is not None and past and team.is_open(today):
        _close(actor, team, parents, past)
    if not pressed:
        return
    held = f"{parents.get(parent or 0, _TOP)}, manager: {managers.get(manager or 0, _NOBODY)}, from {start}"
    if later and not replace_later:
        held += f" until {later[0][1]}"
    if team is None:
        done = attempt(lambda: people.create_team(db, actor, name, parent, manager, start), f"{name} is made: {held}.")
    else:
        done = attempt(
            lambda: people.change_team(db, actor, team.team_id, name, parent, manager, start, replace_later, past),
            f"{name} is saved: {held}.",
        )
    if done:
        st.rerun()


def _close(actor: Actor, team: TeamRow, others: dict[int, str], past: Sequence[TeamState]) -> None:
    """Close the team from a day on: where its people go, what that does, and the button."""
    db, today = state.database(), state.today()
    with st.expander("Close the team", icon=":material/group_off:"):
        last = st.date_input(
            "Last day",
            today,
            format="YYYY-MM-DD",
            min_value=date(1960, 1, 1),
            key="close_last_day",
            help="What was until then stays as it was. A last day before the first one forgets the team altogether, as "
            "for one that was made by mistake.",
        )
        target = _one_of("Its people go to", others, None, NO_TEAM)
        parent = f"part of {widgets.plain(team.parent)}" if team.parent else "teams at the top"
        st.caption(f"Teams below it become {parent}.")
        day = last + timedelta(days=1)
        change = people_effect.closing(team.team_id, day, target)
        people_effect_view.sight(lambda: people_effect.sight(db, actor, change, max(day, today)), max(day, today))
        effect_view.from_day(pay_periods.touched_from(db, actor, day))
        effect_view.offer("close_effect", lambda: people_effect.earnings_after(db, state.pool(), actor, change, today))
        pressed = st.button("Close the team", icon=":material/group_off:", key="close_team")
    if pressed and attempt(
        lambda: team_closing.close_team(db, actor, team.team_id, day, target, past),
        f"{team.name} is closed after {last}.",
    ):
        st.rerun()


def _described(row: TeamState) -> str:
    return f"{row.parent or _TOP}, manager: {row.manager or _NOBODY}"


def _team_history(past: Sequence[TeamState]) -> None:
    st.dataframe(
        pd.DataFrame(
            [(row.start, last_day(row.end), row.parent or _TOP, row.manager or _NOBODY) for row in past],
            columns=["First day", "Last day", "Part of", "Manager"],
        ),
        hide_index=True,
        placeholder="open",
    )


def _one_of(label: str, names: dict[int, str], now: int | None, nobody: str, note: str | None = None) -> int | None:
    options: list[int | None] = [None, *names]
    return st.selectbox(
        label,
        options,
        options.index(now) if now in options else 0,
        format_func=lambda key: nobody if key is None else names[key],
        help=note,
    )

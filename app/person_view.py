"""One person's drawer: details, role, team, plan, sign-in, leaving; what a change does is shown before it is saved."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import pandas as pd
import streamlit as st

from app import auth, effect_view, people_effect_view, state, widgets
from app.actions import attempt
from app.people_fields import NO_TEAM, last_day, later_changes, show_link
from engine.db.people import Person
from engine.db.plans import Assigned
from engine.db.structure import Membership
from engine.services import access, pay_periods, people, people_effect, plans
from engine.services.access import ROLES, Actor
from engine.services.people import History

_LINK = "link_shown"


def person_drawer(actor: Actor, person: Person) -> None:
    """One person in a drawer under the person's name: details, team, plans, sign-in."""
    # As it is now: what somebody else changes while the drawer is open is not overwritten.
    seen = people.person_history(state.database(), actor, person.user_id, state.today())

    @st.dialog(widgets.plain(person.name), width="medium", position="right", icon=":material/person:")
    def drawer() -> None:
        person_panel(auth.require("people.view"), person, seen)

    drawer()


def person_panel(actor: Actor, person: Person, seen: History | None = None) -> None:
    """What the drawer shows; changes are offered to those who may make them."""
    may_edit = access.may(actor, "people.edit")
    st.caption(f"{widgets.plain(person.email)} · {person.role} · {person.code}")
    if may_edit:
        _details(actor, person)
    history = seen or people.person_history(state.database(), actor, person.user_id, state.today())
    st.markdown("**Team**")
    _spans([(row.team, row.start, row.end) for row in history.teams], "Team", "In no team so far.")
    if may_edit and person.is_active:
        _move(actor, person, history.teams)
    st.markdown("**Plan**")
    _spans([(row.plan, row.start, row.end) for row in history.plans], "Plan", "On no plan so far.")
    if access.may(actor, "plans.edit") and person.is_active:
        _assign(actor, person, history.plans)
    if may_edit:
        st.markdown("**Sign-in**")
        if person.is_active:
            _password(actor, person)
            _leave(actor, person)
        else:
            _come_back(actor, person)


def _spans(rows: Sequence[tuple[str, date, date | None]], what: str, nothing: str) -> None:
    if not rows:
        st.caption(nothing)
        return
    st.dataframe(
        pd.DataFrame(
            [(name, start, last_day(end)) for name, start, end in rows], columns=[what, "First day", "Last day"]
        ),
        hide_index=True,
        placeholder="open",
    )


# --- details and role ------------------------------------------------------------------------------


def _details(actor: Actor, person: Person) -> None:
    db = state.database()
    with st.container(border=True):
        name = st.text_input("Name", person.name, max_chars=200)
        email = st.text_input("E-mail", person.email, max_chars=254)
        role_place, hired_place = st.columns(2)
        role = role_place.selectbox("Role", ROLES, ROLES.index(person.role), format_func=str.capitalize)
        hired = hired_place.date_input("Hired", person.hired_on, format="YYYY-MM-DD", min_value=date(1960, 1, 1))
        if role != person.role:
            found = people_effect.role_effect(db, actor, person.user_id, role, state.today())
            people_effect_view.role(person, role, found)
        sent = st.button("Save", type="primary")
    if sent and attempt(
        lambda: people.edit_person(db, actor, person.user_id, name, email, role, hired, person), f"{name} is saved."
    ):
        st.rerun()


# --- team ------------------------------------------------------------------------------------------


def _move(actor: Actor, person: Person, memberships: Sequence[Membership]) -> None:
    db, today = state.database(), state.today()
    teams: dict[int | None, str] = {
        team.team_id: team.name for team in people.list_team_rows(db, actor, today) if team.is_open(today)
    }
    if not teams:
        st.caption("There is no team yet. Make one in the tab Teams.")
        return
    teams[None] = NO_TEAM
    with st.container(border=True):
        team_place, day_place = st.columns(2)
        team = team_place.selectbox(
            "Move to",
            list(teams),
            list(teams).index(person.team_id) if person.team_id in teams else 0,
            format_func=lambda key: teams[key],
        )
        day = day_place.date_input(
            "From",
            today if memberships else person.hired_on or today.replace(month=1, day=1),
            format="YYYY-MM-DD",
            min_value=date(1960, 1, 1),
            help="Deals closed from that day on count for the team and its manager; those before stay as they were.",
        )
        replace_later = later_changes([(row.team, row.start) for row in memberships if row.start > day])
        now = next(
            (row.team_id for row in memberships if row.start <= day and (row.end is None or row.end > day)), None
        )
        changes = team != now or replace_later
        if changes:
            change = people_effect.moving(person.user_id, team, day, replace_later)
            people_effect_view.sight(lambda: people_effect.sight(db, actor, change, max(day, today)), max(day, today))
            effect_view.from_day(pay_periods.touched_from(db, actor, day))
            effect_view.offer(
                "move_effect", lambda: people_effect.earnings_after(db, state.pool(), actor, change, today)
            )
        sent = st.button("Move", disabled=not changes)
    if sent and attempt(
        lambda: people.move_person(db, actor, person.user_id, team, day, replace_later, memberships),
        f"{person.name}: {teams[team]} from {day}.",
    ):
        st.rerun()


# --- plan ------------------------------------------------------------------------------------------


def _assign(actor: Actor, person: Person, assigned: Sequence[Assigned]) -> None:
    """Put the person on a plan from a day on; the plan before it ends there."""
    db, today = state.database(), state.today()
    offered = {plan.plan_id: plan.title for plan in plans.list_plans(db, actor, today) if plan.versions}
    if not offered:
        st.caption("No plan is published yet. Make one on the Plans page.")
        return
    with st.container(border=True):
        plan_place, day_place = st.columns(2)
        plan = plan_place.selectbox(
            "Put on", list(offered), format_func=lambda key: offered[key], index=None, placeholder="A plan"
        )
        day = day_place.date_input(
            "First day",
            today.replace(day=1),
            format="YYYY-MM-DD",
            min_value=date(1960, 1, 1),
            help="The plan that the person is on until then ends with the day before.",
        )
        if plan is not None:
            effect_view.from_day(pay_periods.touched_from(db, actor, day))
        sent = st.button("Assign", disabled=plan is None)
        last = next((row for row in assigned if row.end is None or row.end > today), None)
        gone = last is not None and st.button(f"Take off {widgets.plain(last.plan)} from that day", type="tertiary")
    if (
        sent
        and plan is not None
        and attempt(
            lambda: plans.assign_plan(db, actor, plan, [person.user_id], day, end_other_plans=True),
            f"{person.name} is on {offered[plan]} from {day}.",
        )
    ):
        st.rerun()
    if (
        gone
        and last is not None
        and attempt(lambda: plans.end_assignment(db, actor, last.assignment_id, day), f"{last.plan} ends before {day}.")
    ):
        st.rerun()


# --- sign-in ---------------------------------------------------------------------------------------


def _password(actor: Actor, person: Person) -> None:
    """A link to choose a password: the first one, the same again, or in place of the password there is."""
    db = state.database()

    def make() -> None:
        attempt(
            lambda: st.session_state.update({_LINK: people.reset_password(db, actor, person.user_id)}),
            "A link to choose a password is made.",
        )

    if person.user_id == actor.user_id:
        st.caption("Your own password is changed in the menu under your name.")
    elif person.has_password:
        with st.popover("New password", icon=":material/key:"):
            found = people_effect.open_of(db, actor, person.user_id)
            st.write(
                f"The password of {widgets.plain(person.name)} is worth nothing from now on. "
                f"{people_effect_view.ends(found)} You get a link to send, over which a new one is chosen."
            )
            if st.button("Take the password away", type="primary", key="reset_password"):
                make()
    else:
        if person.link_until is not None:
            until = f"{person.link_until:%Y-%m-%d %H:%M} UTC"
            if person.link_until > datetime.now(UTC):
                st.caption(f"A link was made and works until {until}. A new one takes its place.")
            else:
                st.caption(f"The last link was not used, and works no more since {until}.")
        if st.button("New link" if person.link_until else "Link to sign in", icon=":material/key:"):
            make()
    if secret := st.session_state.pop(_LINK, None):
        show_link(person.name, secret)


# --- leaving and coming back -----------------------------------------------------------------------


def _leave(actor: Actor, person: Person) -> None:
    db, today = state.database(), state.today()
    with st.container(border=True, key=f"leave_{person.user_id}"):
        last = st.date_input(
            "Last day",
            last_day(person.left_on) or today,
            format="YYYY-MM-DD",
            min_value=date(1960, 1, 1),
            help="Team and plan end with this day; teams that the person leads have no manager then.",
        )
        until_then = last >= today and st.checkbox("May sign in until then", True)
        away = last + timedelta(days=1)
        with st.expander("What ends, and what it does to pay", icon=":material/visibility:"):
            people_effect_view.leave(person, people_effect.leave_effect(db, actor, person.user_id, away), until_then)
            effect_view.from_day(pay_periods.touched_from(db, actor, away))
            change = people_effect.leaving(actor, person.user_id, away)
            effect_view.offer(
                "leave_effect", lambda: people_effect.earnings_after(db, state.pool(), actor, change, today)
            )
        with st.container(horizontal=True):
            sent = st.button("Leaves" if until_then else "Deactivate", icon=":material/person_off:")
        if person.left_on is not None:
            _stays(actor, person, "Stays after all", ":material/undo:")
    if sent and attempt(
        lambda: people.deactivate_person(db, actor, person.user_id, away, until_then),
        f"{person.name} leaves after {last}." if until_then else f"{person.name} is deactivated.",
    ):
        st.rerun()


def _come_back(actor: Actor, person: Person) -> None:
    _stays(actor, person, "Reactivate", ":material/person_check:")


def _stays(actor: Actor, person: Person, label: str, icon: str) -> None:
    """Undo the leaving: as if it had never been, or sign-in alone."""
    db, today = state.database(), state.today()
    found = people_effect.return_effect(db, actor, person.user_id)
    whole = people_effect_view.goes_on(found)
    as_before = bool(whole) and st.checkbox(
        "As if they had never left", True, help="Without it team, plan and teams led are given anew, from another day."
    )
    if whole and as_before and person.left_on is not None:
        st.caption(f"{whole} without a gap. What was planned for later is not restored.")
        effect_view.from_day(pay_periods.touched_from(db, actor, person.left_on))
        change = people_effect.returning(person.user_id)
        effect_view.offer("back_effect", lambda: people_effect.earnings_after(db, state.pool(), actor, change, today))
    elif not whole:
        st.caption("No team and no plan ended on that day: give them anew.")
    done = f"{person.name} stays." if person.is_active else f"{person.name} may sign in again."
    if st.button(label, icon=icon) and attempt(
        lambda: people.reactivate_person(db, actor, person.user_id, as_before), done
    ):
        st.rerun()

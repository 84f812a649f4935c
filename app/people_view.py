"""The pieces of the people page: the list, one person's drawer, and the dialog of a new person."""

from collections.abc import Sequence
from datetime import date, timedelta
from urllib.parse import urlsplit

import pandas as pd
import streamlit as st

from app import auth, effect_view, state, widgets
from app.actions import attempt
from app.entrance import LINK
from app.people_rows import people_count
from app.widgets import date_column, text_column
from engine.db.people import Person
from engine.db.plans import Assigned
from engine.db.structure import Membership
from engine.services import access, pay_periods, people, plans
from engine.services.access import ROLES, Actor
from engine.services.naming import slug
from engine.services.people import NewPerson
from engine.services.sign_in import LINK_HOURS

_NO_TEAM = "No team"
_ADDED = "person_added"
_LINK = "link_shown"


def chosen_once(table: str) -> str:
    """The key of a table whose choice opens a drawer: a new one each time, so that a closed drawer stays closed."""
    return f"{table}_{st.session_state.get(f'{table}_opened', 0)}"


def opened(table: str) -> None:
    """The table's choice has opened its drawer."""
    st.session_state[f"{table}_opened"] = st.session_state.get(f"{table}_opened", 0) + 1


# --- people ----------------------------------------------------------------------------------------


def people_list(found: Sequence[Person]) -> None:
    """The people, filtered by what is typed; choosing one opens the drawer."""
    with st.container(horizontal=True, vertical_alignment="center"):
        typed = st.text_input(
            "Search",
            placeholder="Name, e-mail, team or plan",
            label_visibility="collapsed",
            width=320,
            key="people_search",
        )
        roles = st.pills(
            "Role",
            ROLES,
            selection_mode="multi",
            format_func=str.capitalize,
            label_visibility="collapsed",
            key="people_role",
        )
        left_too = st.toggle("Show those who left", key="people_left")
    shown = [
        person
        for person in found
        if (person.is_active or left_too) and (not roles or person.role in roles) and _matches(person, typed)
    ]
    if not shown:
        widgets.empty(
            "Nobody matches", "Search for something else, or clear the filters.", icon=":material/search_off:"
        )
        return
    frame = pd.DataFrame(
        {
            "name": [person.name for person in shown],
            "role": [person.role.capitalize() for person in shown],
            "team": [person.team or (f"leads {person.leads}" if person.leads else "") for person in shown],
            "manager": [person.manager or "" for person in shown],
            "plan": [person.plan or "" for person in shown],
            "status": [_status(person) for person in shown],
            "email": [person.email for person in shown],
            "hired_on": [person.hired_on for person in shown],
            "code": [person.code for person in shown],
        }
    )
    chosen = widgets.table(
        frame,
        {
            "name": text_column("Name"),
            "role": text_column("Role"),
            "team": text_column("Team"),
            "manager": text_column("Manager"),
            "plan": text_column("Plan"),
            "status": text_column("Status"),
            "email": text_column("E-mail"),
            "hired_on": date_column("Hired"),
            "code": text_column("Code", help="The person in statements and payroll files; never changes"),
        },
        key=chosen_once("people_list"),
        export=_file_name(roles or (), typed, left_too),
        select=True,
    )
    st.caption(f"{people_count(len(shown))}. Choose a row to open a person.")
    if chosen is not None:
        opened("people_list")
        person_drawer(shown[chosen])


def _file_name(roles: Sequence[str], typed: str, left_too: bool) -> str:
    """What the export is called: with the filters and the day."""
    parts = [*roles, slug(typed, "-"), "with-those-who-left" if left_too else ""]
    return "-".join(["people", *filter(None, parts), str(state.today())])


def _matches(person: Person, typed: str) -> bool:
    texts = (person.name, person.email, person.team, person.leads, person.plan, person.code)
    return all(any(word in (text or "").lower() for text in texts) for word in typed.lower().split())


def _status(person: Person) -> str:
    if not person.is_active:
        return f"Left {last_day(person.left_on)}" if person.left_on else "Deactivated"
    if person.left_on:
        return f"Leaves {last_day(person.left_on)}"
    return "Active" if person.has_password else "No password yet"


def person_drawer(person: Person) -> None:
    """One person in a drawer under the person's name: details, team, plans, sign-in."""

    @st.dialog(widgets.plain(person.name), width="medium", position="right", icon=":material/person:")
    def drawer() -> None:
        person_panel(auth.require("people.view"), person)

    drawer()


def person_panel(actor: Actor, person: Person) -> None:
    """What the drawer shows; changes are offered to those who may make them."""
    may_edit = access.may(actor, "people.edit")
    st.caption(f"{widgets.plain(person.email)} · {person.role} · {person.code}")
    if may_edit:
        _details(actor, person)
    history = people.person_history(state.database(), actor, person.user_id, state.today())
    st.markdown("**Team**")
    st.dataframe(
        pd.DataFrame(
            [(row.team, row.start, last_day(row.end)) for row in history.teams],
            columns=["Team", "First day", "Last day"],
        ),
        hide_index=True,
        placeholder="open",
    ) if history.teams else st.caption("In no team so far.")
    if may_edit and person.is_active:
        _move(actor, person, history.teams)
    st.markdown("**Plan**")
    st.dataframe(
        pd.DataFrame(
            [(row.plan, row.start, last_day(row.end)) for row in history.plans],
            columns=["Plan", "First day", "Last day"],
        ),
        hide_index=True,
        placeholder="open",
    ) if history.plans else st.caption("On no plan so far.")
    if access.may(actor, "plans.edit") and person.is_active:
        _assign(actor, person, history.plans)
    if may_edit:
        _sign_in(actor, person)


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
            "from",
            today.replace(day=1),
            format="YYYY-MM-DD",
            min_value=date(1960, 1, 1),
            help="The plan that the person is on until then ends with the day before.",
        )
        if plan is not None:
            effect_view.from_day(pay_periods.touched_from(db, actor, day))
        sent = st.button("Assign", disabled=plan is None)
        last = next((row for row in assigned if row.end is None or row.end > today), None)
        gone = last is not None and st.button(f"End {widgets.plain(last.plan)} there", type="tertiary")
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


def last_day(end: date | None) -> date | None:
    """The day before the end of a span; None: it goes on."""
    return end - timedelta(days=1) if end else None


def _details(actor: Actor, person: Person) -> None:
    with st.form(f"person_{person.user_id}", border=True):
        name = st.text_input("Name", person.name, max_chars=200)
        email = st.text_input("E-mail", person.email, max_chars=254)
        role_place, hired_place = st.columns(2)
        role = role_place.selectbox(
            "Role",
            ROLES,
            ROLES.index(person.role),
            format_func=str.capitalize,
            help="Another role signs the person out.",
        )
        hired = hired_place.date_input("Hired", person.hired_on, format="YYYY-MM-DD", min_value=date(1960, 1, 1))
        sent = st.form_submit_button("Save", type="primary")
    if sent and attempt(
        lambda: people.edit_person(state.database(), actor, person.user_id, name, email, role, hired),
        f"{name} is saved.",
    ):
        st.rerun()


def _move(actor: Actor, person: Person, memberships: Sequence[Membership]) -> None:
    today = state.today()
    listed = people.list_team_rows(state.database(), actor, today)
    teams: dict[int | None, str] = {team.team_id: team.name for team in listed}
    if not teams:
        st.caption("There is no team yet. Make one in the tab Teams.")
        return
    teams[None] = _NO_TEAM
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
        if team != person.team_id or day < today:
            db = state.database()
            effect_view.from_day(pay_periods.touched_from(db, actor, day))
            effect_view.offer(
                "move_effect",
                lambda: people.move_impact(db, state.pool(), actor, person.user_id, team, day, replace_later, today),
            )
        sent = st.button("Move")
    if sent and attempt(
        lambda: people.move_person(state.database(), actor, person.user_id, team, day, replace_later),
        f"{person.name}: {teams[team]} from {day}.",
    ):
        st.rerun()


def later_changes(changes: Sequence[tuple[str, date]]) -> bool:
    """Ask what becomes of the changes after the chosen day; whether they are to go."""
    if not changes:
        return False
    listed = "; ".join(f"{what} from {day}" for what, day in changes)
    return (
        st.radio(
            "How long it holds",
            ["For good", "Until then"],
            captions=[
                f"In place of what follows: {widgets.plain(listed)}",
                f"Until {changes[0][1]}; what follows stays.",
            ],
            key="later_changes",
        )
        == "For good"
    )


def _sign_in(actor: Actor, person: Person) -> None:
    db = state.database()
    st.markdown("**Sign-in**")
    if not person.is_active:
        if st.button("Reactivate", icon=":material/person_check:") and attempt(
            lambda: people.reactivate_person(db, actor, person.user_id), f"{person.name} may sign in again."
        ):
            st.rerun()
        return
    if person.user_id == actor.user_id:
        st.caption("Your own password is changed in the menu under your name.")
    elif st.button("Link to sign in" if not person.has_password else "New password", icon=":material/key:"):
        attempt(
            lambda: st.session_state.update({_LINK: people.reset_password(db, actor, person.user_id)}),
            "A link to choose a password is made.",
        )
    if secret := st.session_state.pop(_LINK, None):
        show_link(person.name, secret)
    with st.container(border=True, key=f"leave_{person.user_id}"):
        today = state.today()
        last = st.date_input(
            "Last day",
            last_day(person.left_on) or today,
            format="YYYY-MM-DD",
            min_value=date(1960, 1, 1),
            help="Team and plan end with this day; teams that the person leads have no manager then.",
        )
        until_then = last >= today and st.checkbox("May sign in until then", True)
        effect_view.from_day(pay_periods.touched_from(db, actor, last + timedelta(days=1)))
        with st.container(horizontal=True):
            sent = st.button("Leaves" if until_then else "Deactivate", icon=":material/person_off:")
            stays = person.left_on is not None and st.button("Stays after all", icon=":material/undo:")
    if sent and attempt(
        lambda: people.deactivate_person(db, actor, person.user_id, last + timedelta(days=1), until_then),
        f"{person.name} leaves after {last}." if until_then else f"{person.name} is deactivated.",
    ):
        st.rerun()
    if stays and attempt(
        lambda: people.reactivate_person(db, actor, person.user_id), f"{person.name} stays. Give team and plan anew."
    ):
        st.rerun()


def show_link(name: str, secret: str) -> None:
    """A link to choose a password: seen now and never again."""
    place = urlsplit(st.context.url or "")
    st.warning(
        f"Send this link to {widgets.plain(name)}. It works once, for {LINK_HOURS} hours, and is not shown again. "
        "Until then nobody can sign in as this person.",
        icon=":material/key:",
    )
    st.code(f"{place.scheme}://{place.netloc}/?{LINK}={secret}", language=None, wrap_lines=True)


def _forget_added() -> None:
    st.session_state.pop(_ADDED, None)


@st.dialog("Add a person", width="medium", icon=":material/person_add:", on_dismiss=_forget_added)
def add_person() -> None:
    """The form, then the link for once."""
    actor = auth.require("people.edit")
    added = st.session_state.get(_ADDED)
    if added is None:
        add_form(actor)
        return
    name, new = added
    st.success(f"{widgets.plain(name)} is added. The code in statements and payroll files is {new.code}.")
    show_link(name, new.link)
    if st.button("Done", type="primary"):
        _forget_added()
        st.rerun()


def add_form(actor: Actor) -> None:
    """The fields of a new person."""
    db = state.database()
    teams: dict[int | None, str] = {None: _NO_TEAM}
    teams |= {team.team_id: team.name for team in people.list_team_rows(db, actor, state.today())}
    with st.form("add_person", border=False):
        name = st.text_input("Name", max_chars=200)
        email = st.text_input("E-mail", max_chars=254)
        role_place, hired_place = st.columns(2)
        role = role_place.selectbox("Role", ROLES, ROLES.index("rep"), format_func=str.capitalize)
        hired = hired_place.date_input(
            "Hired",
            state.today().replace(month=1, day=1),
            format="YYYY-MM-DD",
            min_value=date(1960, 1, 1),
            help="Also the first day in the team. Deals closed before it count for no team.",
        )
        team = st.selectbox("Team", list(teams), format_func=lambda key: teams[key], help="From the hire date on.")
        sent = st.form_submit_button("Add", type="primary")
    if not sent:
        return

    def add() -> None:
        new: NewPerson = people.add_person(db, actor, name, email, role, hired, team)
        st.session_state[_ADDED] = (name.strip(), new)

    if attempt(add, f"{name} is added."):
        st.rerun(scope="fragment")

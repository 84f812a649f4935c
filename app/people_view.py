"""The pieces of the people page: the list, the dialog of a new person, and links for many."""

from collections.abc import Sequence
from datetime import UTC, date, datetime

import pandas as pd
import streamlit as st

from app import auth, state, widgets
from app.actions import attempt
from app.people_fields import NO_TEAM, chosen_once, last_day, link_address, opened, show_link
from app.people_rows import people_count
from app.person_view import person_drawer
from app.widgets import date_column, text_column
from engine import sheets
from engine.db.people import Person
from engine.services import invitations, people
from engine.services.access import ROLES, Actor
from engine.services.naming import slug
from engine.services.people import NewPerson
from engine.services.sign_in import LINK_HOURS

_ADDED = "person_added"
_INVITED = "people_invited"
_PAGE = 100


# --- people ----------------------------------------------------------------------------------------


def people_list(actor: Actor, found: Sequence[Person]) -> None:
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
    columns = {
        "name": text_column("Name"),
        "role": text_column("Role"),
        "team": text_column("Team"),
        "manager": text_column("Manager"),
        "plan": text_column("Plan"),
        "status": text_column("Status"),
        "email": text_column("E-mail"),
        "hired_on": date_column("Hired"),
        "code": text_column("Code", help="The person in statements and payroll files; never changes"),
    }
    place = st.container()
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        first = widgets.pager(len(shown), _PAGE, key="people_page")
        widgets.exports(frame, columns, _file_name(roles or (), typed, left_too))
    with place:
        page = frame.iloc[first : first + _PAGE].reset_index(drop=True)
        chosen = widgets.table(page, columns, key=chosen_once("people_list"), select=True)
    st.caption(f"{people_count(len(shown))}. Choose a row to open a person.")
    if chosen is not None:
        opened("people_list")
        person_drawer(actor, shown[first + chosen])


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
    if person.has_password:
        return "Active"
    if person.link_until is None:
        return "Not invited yet"
    return f"Invited until {person.link_until:%Y-%m-%d}" if person.link_until > datetime.now(UTC) else "Link too old"


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
    teams: dict[int | None, str] = {None: NO_TEAM}
    teams |= {
        team.team_id: team.name
        for team in people.list_team_rows(db, actor, state.today())
        if team.is_open(state.today())
    }
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


# --- links for many --------------------------------------------------------------------------------


def may_be_invited(found: Sequence[Person]) -> list[Person]:
    """The people who are here and have no password yet."""
    return [person for person in found if person.is_active and not person.has_password]


def _forget_invited() -> None:
    st.session_state.pop(_INVITED, None)


@st.dialog("Invite people", width="medium", icon=":material/mail:", on_dismiss=_forget_invited)
def invite_people(waiting: Sequence[Person]) -> None:
    """Whom, then the links for once."""
    if invite_form(auth.require("people.edit"), waiting):
        st.rerun(scope="fragment")


def invite_form(actor: Actor, waiting: Sequence[Person]) -> bool:
    """A link to choose a password for each of those chosen, in one file that is given once; whether any was made."""
    made = st.session_state.get(_INVITED)
    if made is not None:
        st.warning(
            f"{len(made):,} links are made. Each works once, for {LINK_HOURS} hours. They are not shown again: "
            "download them now, and send everyone their own.",
            icon=":material/key:",
        )
        rows = [(one.name, one.email, link_address(one.secret)) for one in made]
        widgets.download(
            "Download the links",
            f"invitations-{state.today()}.csv",
            lambda: sheets.to_csv(("Name", "E-mail", "Link"), rows),
            "text/csv",
        )
        if st.button("Done"):
            _forget_invited()
            st.rerun()
        return False
    fresh = [person for person in waiting if person.link_until is None or person.link_until <= datetime.now(UTC)]
    st.write(
        f"{people_count(len(waiting))} {'has' if len(waiting) == 1 else 'have'} no password yet. Everyone chosen gets "
        "a link of their own to choose one; a link made before is worth nothing then."
    )
    names = {person.user_id: f"{person.name} ({person.email})" for person in waiting}
    chosen = st.multiselect(
        "Whom",
        list(names),
        format_func=names.__getitem__,
        placeholder=f"Everyone without a link that still works ({len(fresh)})",
        key="invite_whom",
    )
    wanted = chosen or [person.user_id for person in fresh]

    def make() -> None:
        st.session_state[_INVITED] = invitations.invite_people(state.database(), actor, wanted)

    label = "Make 1 link" if len(wanted) == 1 else f"Make {len(wanted):,} links"
    pressed = st.button(label, type="primary", disabled=not wanted)
    return pressed and attempt(make, "The links are made.")

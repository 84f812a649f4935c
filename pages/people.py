"""Everyone who signs in or is paid, and the teams they are in."""

import streamlit as st

from app import auth, people_import_view, people_view, state, team_view, widgets
from app.actions import show_done
from engine.services import access, people

actor = auth.require("people.view")
db, today = state.database(), state.today()
show_done()

listed = people.list_people(db, actor, today)
teams = people.list_team_rows(db, actor, today)
may_edit = access.may(actor, "people.edit")

widgets.header("People", "Who sells, who leads, who is on which plan. Teams are dated: the past stays as it was.")
if may_edit:
    with widgets.tools():
        if st.button("New team", icon=":material/group_add:"):
            team_view.new_team(teams, listed)
        if st.button("Import people", icon=":material/playlist_add:"):
            people_import_view.import_people()
        waiting = people_view.may_be_invited(listed)
        if waiting and st.button(f"Invite · {len(waiting):,}", icon=":material/mail:"):
            people_view.invite_people(waiting)
        if st.button("Add a person", icon=":material/person_add:", type="primary"):
            people_view.add_person()

everyone, in_teams = st.tabs([":material/person: People", ":material/groups: Teams"], key="people_tab")
with everyone:
    people_view.people_list(actor, listed)
with in_teams:
    if teams:
        team_view.team_list(actor, teams, listed)
    else:
        widgets.empty(
            "No team yet",
            "A team has a manager, who sees its deals and pay. Make the first one."
            if may_edit
            else "An admin makes the first one.",
            icon=":material/groups:",
        )

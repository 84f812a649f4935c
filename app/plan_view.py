"""The pieces of the plans page: the list, one plan's rules, people and versions, and their dialogs."""

from datetime import date, timedelta

import pandas as pd
import streamlit as st

from app import auth, plan_form, plan_tools_view, plan_words, state, widgets
from app.actions import attempt
from app.people_rows import people_count
from app.widgets import date_column, number_column, text_column
from engine.db.plans import Assigned, PlanSummary, Version
from engine.periods import period_of
from engine.plans.document import parse_plan
from engine.services import access, people, plans
from engine.services.access import Actor
from engine.services.plans import PlanDetail

_PRORATE = {
    "days": "By the days on the plan",
    "months": "By the months touched",
    "none": "Not at all: the whole quota",
}
_PART = "Quota of a part period"
_PART_HELP = "How the quota is scaled when the first or last day lies within a quota period."


# --- the list --------------------------------------------------------------------------------------


def plan_list(found: list[PlanSummary]) -> None:
    """The plans; choosing one opens it."""
    frame = pd.DataFrame(
        {
            "title": [plan.title for plan in found],
            "status": [_status(plan) for plan in found],
            "effective_from": [plan.effective_from for plan in found],
            "versions": [plan.versions for plan in found],
            "people": [plan.people for plan in found],
            "published_at": [plan.published_at for plan in found],
        }
    )
    chosen = widgets.table(
        frame,
        {
            "title": text_column("Plan"),
            "status": text_column("Status"),
            "people": number_column("People on it"),
            "versions": number_column("Versions"),
            "effective_from": date_column("Newest in force from"),
            "published_at": date_column("Published"),
        },
        key="plan_list",
        export="plans",
        select=True,
    )
    st.caption("Choose a row to open the plan.")
    if chosen is not None:
        st.query_params["plan"] = found[chosen].name
        st.rerun()


def _status(plan: PlanSummary) -> str:
    if not plan.versions:
        return "Draft"
    if plan.has_draft:
        return "Active, new draft"
    return "Active" if plan.people else "Active, nobody on it"


@st.dialog("New plan", width="medium", icon=":material/add:")
def new_plan() -> None:
    """Begin a plan from a template."""
    actor = auth.require("plans.edit")
    templates = {template.name: template for template in plans.templates()}
    title = st.text_input("Name", placeholder="Account executives 2027", max_chars=200)
    # A company's first plan is mostly the one of this year's deals.
    first = not plans.list_plans(state.database(), actor, state.today())
    start = st.date_input(
        "In force from",
        state.today().replace(month=1, day=1) if first else _next_month(),
        format="YYYY-MM-DD",
        help="Deals closed from this day on are calculated by it.",
    )
    chosen = st.radio(
        "Begin with",
        list(templates),
        format_func=lambda name: templates[name].title,
        captions=[widgets.plain(template.description) for template in templates.values()],
    )
    if st.button("Create the draft", type="primary") and attempt(
        lambda: st.session_state.update(new_plan=plans.create_plan(state.database(), actor, title, chosen, start)),
        f"The draft of {title} is ready to be edited.",
    ):
        created = plans.plan_detail(state.database(), actor, st.session_state.pop("new_plan"), state.today())
        st.query_params["plan"] = created.name
        st.rerun()


def _next_month() -> date:
    return date.fromordinal(period_of("month", state.today().toordinal()).end)


# --- one plan --------------------------------------------------------------------------------------


def plan_page(actor: Actor, detail: PlanDetail) -> None:
    """One plan in three tabs: its rules, its people, its versions."""
    rules, on_it, versions = st.tabs(
        [":material/rule: Rules", ":material/groups: People", ":material/history: Versions"], key="plan_tab"
    )
    may_edit = access.may(actor, "plans.edit")
    with rules:
        if detail.draft is not None and may_edit:
            _edit_draft(actor, detail)
        elif detail.versions:
            _read_rules(detail, may_edit=may_edit)
        else:
            widgets.empty("Not published yet", "An admin is still writing this plan.", icon=":material/edit_note:")
    with on_it:
        _people(actor, detail, may_edit)
    with versions:
        _versions(detail)
    if may_edit and detail.draft is None:
        with widgets.tools():
            if st.button("New version", icon=":material/edit:", type="primary"):
                _new_version(detail)


def _in_force(versions: tuple[Version, ...], on: date) -> Version:
    """The version in force on a day, else the first one to come."""
    return next((version for version in reversed(versions) if version.effective_from <= on), versions[0])


def _read_rules(detail: PlanDetail, *, may_edit: bool) -> None:
    version = _in_force(detail.versions, state.today())
    later = [each.effective_from for each in detail.versions if each.effective_from > version.effective_from]
    until = f" until {later[0] - timedelta(days=1)}" if later else ""
    st.caption(f"The version in force from {version.effective_from}{until}.")
    if may_edit and not detail.assigned:
        st.warning(
            "Nobody is on this plan, so it pays nobody. Put people on it in the tab People.",
            icon=":material/group_off:",
        )
    plan = parse_plan(version.document, detail.name)
    plan_words.show_plan(plan)
    plan_tools_view.curves(plan, "version")
    with st.expander("The plan as text (TOML)", icon=":material/code:"):
        st.code(version.document, language="toml")


def _edit_draft(actor: Actor, detail: PlanDetail) -> None:
    assert detail.draft is not None  # noqa: S101 - the caller looked
    saved, key = detail.draft.document, f"draft_{detail.draft.version_id}"
    title = st.text_input("Plan name", detail.title, key=f"{key}_title", max_chars=200)
    edited = plan_form.edit(
        key,
        saved,
        lambda text: plans.draft_problems(detail.name, text, detail.versions),
        plan_tools_view.review(actor, detail.name, detail.versions),
    )
    if edited.began_from != saved:
        st.warning("Someone else saved this draft meanwhile. What you have here can no longer be saved.")
        st.button("Load the saved draft", on_click=plan_form.forget, args=(key,))
    changed = edited.text != edited.began_from or title != detail.title

    def save() -> None:
        plans.save_draft(state.database(), actor, detail.plan_id, edited.text, edited.began_from, title)
        plan_form.saved(key)

    with widgets.tools():
        if changed:
            st.badge("Not saved", icon=":material/edit:", color="orange")
        if st.button("Discard", icon=":material/delete:", type="tertiary"):
            _discard(detail, key)
        wants_save = st.button("Save draft", icon=":material/save:", disabled=not changed)
        wants_publish = st.button("Publish", icon=":material/verified:", type="primary", disabled=bool(edited.problems))
    if wants_save and attempt(save, "The draft is saved."):
        st.rerun()
    if wants_publish and (not changed or attempt(save, "The draft is saved.")):
        _publish(detail, edited.text)


@st.dialog("Publish this version?", icon=":material/verified:")
def _publish(detail: PlanDetail, text: str) -> None:
    actor = auth.require("plans.edit")
    start = date.fromordinal(parse_plan(text, detail.name).effective_from)
    st.markdown(
        f"The rules are in force from **{start}** and are frozen: a published version never changes. "
        "What comes later is a new version."
    )
    if not detail.assigned:
        st.info("Nobody is on this plan yet. Put people on it afterwards, in the tab People.")
    if st.button("Publish", type="primary") and attempt(
        lambda: plans.publish_plan(state.database(), actor, detail.plan_id, text),
        f"Published: in force from {start}.",
    ):
        st.rerun()


@st.dialog("Discard the draft?", icon=":material/delete:")
def _discard(detail: PlanDetail, key: str) -> None:
    actor = auth.require("plans.edit")
    st.markdown(
        "The published versions stay."
        if detail.versions
        else "The plan was never published, so it goes with its draft."
    )
    if st.button("Discard the draft", type="primary") and attempt(
        lambda: plans.discard_draft(state.database(), actor, detail.plan_id), "The draft is discarded."
    ):
        plan_form.forget(key)
        if not detail.versions:
            st.query_params.pop("plan", None)
        st.rerun()


@st.dialog("New version", icon=":material/edit:")
def _new_version(detail: PlanDetail) -> None:
    actor = auth.require("plans.edit")
    last = detail.versions[-1].effective_from
    st.markdown(f"It begins as a copy of the version in force from **{last}**, which stays as it is.")
    start = st.date_input(
        "In force from",
        max(_next_month(), last + timedelta(days=1)),
        min_value=last + timedelta(days=1),
        format="YYYY-MM-DD",
    )
    if st.button("Begin the draft", type="primary") and attempt(
        lambda: plans.new_draft(state.database(), actor, detail.plan_id, start), "The draft is ready to be edited."
    ):
        st.rerun()


# --- its people ------------------------------------------------------------------------------------


def _people(actor: Actor, detail: PlanDetail, may_edit: bool) -> None:
    today = state.today()
    if may_edit and detail.versions and st.button("Assign people", icon=":material/person_add:", type="primary"):
        _assign(detail)
    if not detail.assigned:
        widgets.empty(
            "Nobody is on this plan",
            "Assign people or a whole team, from a day on."
            if detail.versions
            else "Publish the draft first; then people can be assigned.",
            icon=":material/group_off:",
        )
        return
    frame = pd.DataFrame(
        {
            "person": [row.person for row in detail.assigned],
            "status": [_when(row, today) for row in detail.assigned],
            "start": [row.start for row in detail.assigned],
            "last": [str(row.end - timedelta(days=1)) if row.end else "open" for row in detail.assigned],
            "prorate": [_PRORATE[row.prorate] for row in detail.assigned],
        }
    )
    chosen = widgets.table(
        frame,
        {
            "person": text_column("Person"),
            "status": text_column("Status"),
            "start": date_column("First day"),
            "last": text_column("Last day"),
            "prorate": text_column(_PART, help=_PART_HELP),
        },
        key="plan_people",
        export=f"{detail.name}-people",
        select=may_edit,
    )
    if chosen is not None:
        _one_assignment(actor, detail.assigned[chosen])
    elif may_edit:
        st.caption("Choose a row to end or remove an assignment.")


def _when(row: Assigned, today: date) -> str:
    if row.start > today:
        return "To come"
    return "Ended" if row.end is not None and row.end <= today else "On the plan"


def _one_assignment(actor: Actor, row: Assigned) -> None:
    db, key = state.database(), row.assignment_id
    with st.container(border=True, horizontal=True, vertical_alignment="bottom", key="one_assignment"):
        last = st.date_input(
            f"Last day of {row.person}",
            row.end - timedelta(days=1) if row.end else None,
            key=f"assignment_end_{key}",
            format="YYYY-MM-DD",
            help="Empty: without an end.",
            width=220,
        )
        end = last + timedelta(days=1) if last else None
        done = st.button("Set the last day", key=f"assignment_set_{key}", disabled=end == row.end)
        removed = st.button(
            "Remove",
            key=f"assignment_remove_{key}",
            type="tertiary",
            icon=":material/delete:",
            help="As if it had never been; periods that are closed stay as they are.",
        )
    if done and attempt(lambda: plans.end_assignment(db, actor, row.assignment_id, end), "The last day is set."):
        st.rerun()
    if removed and attempt(
        lambda: plans.remove_assignment(db, actor, row.assignment_id), f"{row.person} was taken off the plan."
    ):
        st.rerun()


@st.dialog("Assign people", width="medium", icon=":material/person_add:")
def _assign(detail: PlanDetail) -> None:
    assign_form(detail)


def assign_form(detail: PlanDetail) -> None:
    """Who is put on the plan, from when; what the dialog shows."""
    actor = auth.require("plans.edit")
    db, today = state.database(), state.today()
    listed = {person.user_id: person for person in people.list_people(db, actor, today) if person.is_active}
    teams = {team.team_id: team for team in people.list_team_rows(db, actor, today) if team.is_open(today)}
    whom = st.segmented_control("Whom", ["People", "A team"], default="People", required=True)
    first, last = st.columns(2)
    begins = detail.versions[0].effective_from
    # The first people are mostly on the plan from its beginning, later ones from this month.
    start = first.date_input(
        "First day",
        max(begins, today.replace(day=1)) if detail.assigned else begins,
        format="YYYY-MM-DD",
        help="Deals that they closed before that day earn nothing on this plan.",
    )
    last_day = last.date_input("Last day", None, format="YYYY-MM-DD", help="Empty: without an end.")
    members: list[int] = []
    if whom == "A team":
        if not teams:
            st.error("There is no team yet. Make one on the People page.")
            return
        team = st.selectbox("Team", list(teams), format_func=lambda key: teams[key].name)
        members = [user_id for user_id in people.team_members(db, actor, team, start) if user_id in listed]
        leader = teams[team].manager_id
        left_out = f", without {teams[team].manager}, who leads it" if leader in members else ""
        st.caption(widgets.plain(f"In {teams[team].name} on {start}: {people_count(len(members))}{left_out}."))
        since = set(people.team_members(db, actor, team, today)) - {*members, leader}
        if late := sorted(listed[user_id].name for user_id in since if user_id in listed):
            st.caption(
                f"Joined after that: {widgets.plain(', '.join(late))}. Assign them from their own first day, so that "
                "quotas of a part period are right."
            )
        members = [user_id for user_id in members if user_id != leader]
    chosen = st.multiselect(
        "Who will be on the plan",
        list(listed),
        members,
        format_func=lambda key: f"{listed[key].name} · {listed[key].plan or 'on no plan'}",
        key=f"assign_{members}",
    )
    later = [f"{listed[key].name} ({day})" for key in chosen if (day := listed[key].hired_on) and day > start]
    if later:
        st.warning(widgets.plain(f"Hired after the first day: {', '.join(later)}."), icon=":material/event:")
    prorate = st.selectbox(_PART, list(_PRORATE), format_func=_PRORATE.__getitem__, help=_PART_HELP)
    move = st.checkbox("Whoever is on another plan leaves it on that day")
    end = last_day + timedelta(days=1) if last_day else None
    if not st.button("Assign", type="primary"):
        return
    if attempt(
        lambda: plans.assign_plan(db, actor, detail.plan_id, chosen, start, end, prorate, move),
        f"{people_count(len(chosen))} assigned to {detail.title} from {start}.",
    ):
        st.rerun()


# --- its versions ----------------------------------------------------------------------------------


def _versions(detail: PlanDetail) -> None:
    if not detail.versions:
        widgets.empty("No version yet", "Publishing the draft makes the first one.", icon=":material/history:")
        return
    newest_first = detail.versions[::-1]
    frame = pd.DataFrame(
        {
            "effective_from": [version.effective_from for version in newest_first],
            "published_at": [version.published_at for version in newest_first],
            "published_by": [version.published_by for version in newest_first],
            "hash": [version.hash for version in newest_first],
        }
    )
    chosen = widgets.table(
        frame,
        {
            "effective_from": date_column("In force from"),
            "published_at": date_column("Published"),
            "published_by": text_column("By"),
            "hash": text_column("Hash", help="SHA-256 of what the version means; a run keeps it with every line"),
        },
        key="plan_versions",
        export=f"{detail.name}-versions",
        select=True,
    )
    version = newest_first[chosen or 0]
    place = detail.versions.index(version)
    if place:
        with st.container(border=True, key="version_changes"):
            st.caption(f"What changed from the version of {detail.versions[place - 1].effective_from}")
            plan_tools_view.changes(
                plans.version_changes(detail.name, detail.versions)[place], parse_plan(version.document, detail.name)
            )
    st.caption(f"The version in force from {version.effective_from}")
    st.code(version.document, language="toml")

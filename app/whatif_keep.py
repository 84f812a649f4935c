"""What is kept of the what-if page: saving a variant, the list of them, a draft made of one."""

from datetime import date, timedelta

import pandas as pd
import streamlit as st

from app import auth, navigation, plan_tools_view, state, whatif_state, widgets
from app.actions import attempt
from app.whatif_state import Workspace
from app.widgets import text_column
from engine.db.scenarios import Scenario
from engine.errors import QuotaPathError
from engine.periods import period_of
from engine.services import access, whatif_reading, whatif_scenarios
from engine.services.access import Actor
from engine.services.whatif import Base, Span


def tools(actor: Actor, base: Base, space: Workspace, span: Span) -> None:
    """The buttons beside the title."""
    may_save = access.may(actor, "whatif.save")
    with widgets.tools():
        if st.button("Saved", icon=":material/folder_open:", help="Variants that were kept", key="whatif_saved"):
            _list_dialog()
        if may_save and st.button("Save", icon=":material/save:", type="primary", key="whatif_save"):
            _save_dialog(space, span)
        if space.sheet.scenario_id is not None:
            with st.popover("Link", icon=":material/link:", help="To share the saved variant", key="whatif_link"):
                st.caption("Opens the variant as it was saved, for everyone who may use this page.")
                st.code(_link(space.sheet.scenario_id), language=None, wrap_lines=True)
        if access.may(actor, "plans.edit") and st.button(
            "Make a draft", icon=":material/edit_note:", key="whatif_draft"
        ):
            _draft_dialog(base, space)


def _link(scenario_id: int) -> str:
    """The address of a kept variant."""
    return f"{(st.context.url or '').partition('?')[0]}?scenario={scenario_id}"


# --- saving ---------------------------------------------------------------------------------------------


@st.dialog("Save this variant", icon=":material/save:")
def _save_dialog(space: Workspace, span: Span) -> None:
    save_form(space, span)


def save_form(space: Workspace, span: Span) -> None:
    """Name and notes; what the dialog shows."""
    actor = auth.require("whatif.save")
    sheet = space.sheet
    over = sheet.scenario_id is not None and sheet.may_change
    name = st.text_input("Name", sheet.name, max_chars=whatif_scenarios.LONGEST_NAME, key=f"wi_name_{space.token}")
    notes = st.text_area("Notes", sheet.notes, max_chars=whatif_scenarios.LONGEST_NOTES, key=f"wi_notes_{space.token}")
    st.caption("Everyone who may use this page can open it by its link. It changes no plan, quota or pay.")

    def save(scenario_id: int | None) -> None:
        found = whatif_scenarios.save_scenario(
            state.database(), actor, name, notes, sheet.variant, span.key, scenario_id
        )
        sheet.scenario_id, sheet.saved, sheet.name, sheet.notes = found, sheet.variant, " ".join(name.split()), notes
        sheet.may_change = True
        st.query_params["scenario"] = str(found)

    with st.container(horizontal=True):
        wants_over = over and st.button("Save", type="primary")
        wants_new = st.button("Save as a new one" if over else "Save", type="secondary" if over else "primary")
    if (wants_over and attempt(lambda: save(sheet.scenario_id), f"{name} is saved.")) or (
        wants_new and attempt(lambda: save(None), f"{name} is saved; the address of this page opens it.")
    ):
        st.rerun()


# --- the list -------------------------------------------------------------------------------------------


@st.dialog("Saved variants", width="large", icon=":material/folder_open:")
def _list_dialog() -> None:
    list_form()


def list_form() -> None:
    """The kept variants; choosing one offers to open, rename or delete it.  What the dialog shows."""
    actor = auth.require("whatif.use")
    found = whatif_scenarios.list_scenarios(state.database(), actor)
    if not found:
        widgets.empty(
            "Nothing saved yet", "Save a variant, and it can be opened here or by its link.", icon=":material/tune:"
        )
        return
    frame = pd.DataFrame(
        {
            "name": [each.name for each in found],
            "plan": [each.plan_title for each in found],
            "owner": [each.owner for each in found],
            "updated_at": [each.updated_at for each in found],
            "notes": [each.notes for each in found],
        }
    )
    chosen = widgets.table(
        frame,
        {
            "name": text_column("Name"),
            "plan": text_column("Plan"),
            "owner": text_column("Saved by"),
            "updated_at": widgets.time_column("Changed"),
            "notes": text_column("Notes"),
        },
        key="whatif_scenarios",
        export="what-if-variants",
        select=True,
    )
    if chosen is None:
        st.caption("Choose a row to open, rename or delete it.")
        return
    _one(actor, found[chosen])


def _one(actor: Actor, chosen: Scenario) -> None:
    db, key = state.database(), chosen.scenario_id
    if st.button(
        f"Open {widgets.plain(chosen.name)}", type="primary", icon=":material/open_in_new:", key=f"wi_open_{key}"
    ):
        st.query_params["scenario"] = str(key)
        st.query_params["span"] = chosen.span
        whatif_state.forget()
        st.rerun()
    if not (access.may(actor, "whatif.save") and (actor.role == "admin" or chosen.owner_id == actor.user_id)):
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input("Name", chosen.name, max_chars=200, key=f"wi_rename_{key}")
        if st.button(
            "Rename", icon=":material/edit:", disabled=name == chosen.name, key=f"wi_do_rename_{key}"
        ) and attempt(
            lambda: whatif_scenarios.rename_scenario(db, actor, key, name, chosen.notes), f"It is called {name} now."
        ):
            st.rerun()
        if st.button("Delete", type="tertiary", icon=":material/delete:", key=f"wi_delete_{key}") and attempt(
            lambda: whatif_scenarios.delete_scenario(db, actor, key), f"{chosen.name} is deleted."
        ):
            if st.query_params.get("scenario") == str(key):
                st.query_params.pop("scenario", None)
            st.rerun()


# --- a draft --------------------------------------------------------------------------------------------


@st.dialog("Make a draft of this variant", width="medium", icon=":material/edit_note:")
def _draft_dialog(base: Base, space: Workspace) -> None:
    draft_form(base, space)


def draft_form(base: Base, space: Workspace) -> None:
    """What the draft would change, from when; what the dialog shows."""
    actor = auth.require("plans.edit")
    variant = space.sheet.variant
    reading = whatif_reading.read(state.database(), actor, base, variant)
    try:
        text = base.text(variant.version_id)
    except QuotaPathError as error:
        widgets.show_problems(error)
        return
    if reading.after is None:
        st.error("The variant has problems; solve them first.", icon=":material/error:")
        return
    if not reading.changes:
        st.info("This variant changes nothing in the plan's text, so there is nothing to draft.")
    else:
        plan_tools_view.changes(reading.changes, reading.after)
    if reading.steps:
        st.markdown("**Not part of the draft**, to do by hand:")
        st.markdown("\n".join(f"- {widgets.plain(step)}" for step in reading.steps))
    if not reading.changes:
        return
    last = max(
        (each.effective_from for each in base.texts if each.plan == variant.plan and each.effective_from), default=0
    )
    start = date.fromordinal(max(last + 1, period_of("month", state.today().toordinal()).end))
    if text.is_draft:
        st.caption("The changes are written into the draft, which keeps its first day.")
    else:
        start = st.date_input(
            "In force from",
            start,
            min_value=date.fromordinal(last) + timedelta(days=1),
            format="YYYY-MM-DD",
            key=f"wi_start_{space.token}",
        )
    st.caption(
        "A draft is in force for nobody. On the Plans page it goes through examples and checks, and is published."
    )
    if st.button("Make the draft", type="primary", icon=":material/edit_note:") and attempt(
        lambda: whatif_scenarios.draft_of(state.database(), actor, variant, start),
        "The draft is ready on the Plans page.",
    ):
        navigation.open_page("plans", {"plan": variant.plan})
        st.rerun()

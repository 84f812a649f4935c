"""The left side of the what-if page: which variant, what it changes, and every number of the plan with a slider."""

from dataclasses import replace
from datetime import date

import streamlit as st

from app import whatif_numbers, whatif_parts, whatif_people, widgets
from app.whatif_state import MOST, Workspace, put, reset
from engine.analytics.scenario_books import Quarter
from engine.plans.numbers import NoSuchPlace, change, numbers
from engine.plans.reader import load_toml
from engine.services import whatif_reading
from engine.services.whatif import Base, PlanText, Span

_OPEN = 3  # components that stand open


def draw(base: Base, space: Workspace, span: Span, coming: Quarter) -> None:
    """All controls of the active variant."""
    variant = space.sheet.variant
    text = next((each for each in base.texts if each.version_id == variant.version_id), None)
    _sheets(base, space)
    # Always there: what comes and goes above a slider would have the browser draw it anew, under someone's hand.
    with st.container(key="whatif_changes"):
        _changes(base, space)
    with st.container(key="whatif_text"):
        _version(base, space, text)
    if text is None:
        return
    try:
        document = change(load_toml(text.document), variant.changes)
    except NoSuchPlace:
        return  # the figures say so
    original = {number.path: number for number in numbers(load_toml(text.document))}
    found = numbers(document)
    components = list(dict.fromkeys(number.component for number in found if number.component))
    for place, component in enumerate(components):
        own = [number for number in found if number.component == component]
        # The same title throughout: with another one the browser would draw the sliders in it anew.
        with st.expander(widgets.plain(component), expanded=place < _OPEN, key=f"wi_{space.token}_c{place}"):
            for number in own:
                whatif_numbers.draw(space, number, original.get(number.path))
    whatif_people.draw(base, space, span, coming, document)
    rest = [number for number in found if not number.component]
    if rest:
        with st.expander("Draw, clawback, payment", key=f"wi_{space.token}_plan"):
            for number in rest:
                whatif_numbers.draw(space, number, original.get(number.path))
            if any(number.when_paid for number in rest):
                st.caption("When money is paid changes no figure on this page: they are of what is earned.")
    whatif_parts.draw(space, text, document)


# --- which variant, and what it changes -----------------------------------------------------------------


def _sheets(base: Base, space: Workspace) -> None:
    """Which variant is changed, and the buttons that add, remove and undo."""
    key = f"wi_{space.token}_active"
    places = list(range(len(space.sheets)))

    def chosen() -> None:
        space.choose(st.session_state[key])

    put(key, min(space.active, len(space.sheets) - 1))
    with st.container(horizontal=True, vertical_alignment="center", key="whatif_sheets"):
        st.segmented_control(
            "Variant",
            places,
            format_func=lambda place: _short(space.sheets[place].name),
            key=key,
            required=True,
            on_change=chosen,
            label_visibility="collapsed",
        )
        st.button(
            "Add",
            icon=":material/add:",
            on_click=space.add,
            disabled=len(space.sheets) >= MOST,
            help="A copy of this variant, to compare with. Up to four.",
            key="whatif_add",
        )
        if len(space.sheets) > 1:
            st.button("Remove", icon=":material/close:", type="tertiary", on_click=space.remove, key="whatif_remove")
        st.button(
            "Undo",
            icon=":material/undo:",
            type="tertiary",
            on_click=space.undo,
            disabled=not space.sheet.before,
            help="Take the last change back.",
            key="whatif_undo",
        )
        st.button(
            "Undo all",
            icon=":material/restart_alt:",
            type="tertiary",
            on_click=reset,
            args=(space, base),
            disabled=space.sheet.variant.is_plain,
            key="whatif_reset",
        )
        if space.sheet.scenario_id is not None and space.sheet.is_changed:
            st.badge("Changed since saved", icon=":material/edit:", color="orange")


def _short(name: str) -> str:
    return widgets.plain(name if len(name) <= 24 else f"{name[:23]}…")


def _changes(base: Base, space: Workspace) -> None:
    """Each change in words, and the way back from each."""
    found = whatif_reading.parts(base, space.sheet.variant)
    if not found:
        return
    title = "1 change" if len(found) == 1 else f"{len(found)} changes"
    with st.expander(title, icon=":material/edit_note:", key=f"wi_{space.token}_changes"):
        for place, part in enumerate(found):
            said, back = st.columns([4, 1.3], vertical_alignment="center")
            said.caption(widgets.plain(part.words))
            back.button(
                "Take back",
                type="tertiary",
                on_click=space.change,
                args=(part.without,),
                key=f"whatif_back_{place}",
            )


# --- which text, and when it holds ----------------------------------------------------------------------


def _version(base: Base, space: Workspace, text: PlanText | None) -> None:
    variant = space.sheet.variant
    own = [each for each in base.texts if each.plan == variant.plan]
    titles = {each.version_id: _version_title(each) for each in own}
    key, reach = f"wi_{space.token}_version", f"wi_{space.token}_reach"

    def take(version_id: int) -> None:
        moved, lost = whatif_reading.rebased(base, variant, version_id)
        space.change(moved)
        space.lost = lost

    def reach_chosen() -> None:
        space.change(replace(variant, throughout=st.session_state[reach] == "throughout"))

    _left_behind(space)
    if text is None:
        st.warning(
            "The version that this variant changes is no longer there: a draft that was discarded, perhaps. "
            "Take its changes to another version.",
            icon=":material/warning:",
        )
    newer = whatif_reading.newer(base, variant)
    if newer is not None and not variant.is_plain:
        with st.container(horizontal=True, vertical_alignment="center", key="whatif_newer"):
            st.caption(f"The plan has a newer version, in force from {_day(newer.effective_from or 0)}.")
            st.button(
                "Take the changes there",
                icon=":material/move_up:",
                type="tertiary",
                on_click=take,
                args=(newer.version_id,),
                key="whatif_rebase",
            )
    if text is None:
        return
    put(key, text.version_id)
    put(reach, "throughout" if variant.throughout else "own")
    with st.container(horizontal=True, key="whatif_version"):
        if len(own) > 1:
            st.selectbox(
                "Begin from",
                list(titles),
                format_func=titles.__getitem__,
                key=key,
                on_change=lambda: take(st.session_state[key]),
                help="The changes go along where the other version has a place for them.",
            )
        if len(own) > 1 or text.is_draft:
            st.selectbox(
                "In force",
                ["own", "throughout"],
                format_func={"own": "On its own days", "throughout": "All the time"}.__getitem__,
                key=reach,
                on_change=reach_chosen,
                help="On its own days: other versions stay in force before and after. All the time: as if this text "
                "had always been the plan.",
            )


def _left_behind(space: Workspace) -> None:
    """What could not come along to another version, told once."""
    if space.lost:
        told = "\n".join(f"- {widgets.plain(each)}" for each in space.lost)
        st.info(f"This version has no place for:\n\n{told}", icon=":material/info:")
        space.lost = ()


def _version_title(text: PlanText) -> str:
    if text.effective_from is None:
        return "The draft"
    return f"Version of {_day(text.effective_from)}"


def _day(ordinal: int) -> str:
    return date.fromordinal(ordinal).isoformat()

"""The what-if page: its filters, and the board of controls and figures that runs again by itself."""

from dataclasses import dataclass

import streamlit as st

from app import auth, state, whatif_compare, whatif_controls, whatif_figures, whatif_search_view, whatif_state, widgets
from app.navigation import ROOT
from app.whatif_state import Workspace
from engine.analytics.scenario_books import Quarter
from engine.services import whatif, whatif_reading
from engine.services.access import Actor
from engine.services.whatif import Base, Outlook, Price, Span
from engine.services.whatif_reading import Reading

_VIEWS = {
    "people": "People",
    "curve": "Curve",
    "quarter": "Next quarter",
    "compare": "Compare",
    "goal": "Goal seek",
    "sensitivity": "Sensitivity",
    "words": "In words",
}


def filters(base: Base, space: Workspace) -> Span:
    """Beside the title: the plan and the span; both stand in the address."""
    found = {span.key: span for span in whatif.spans(state.today())}
    wanted = st.query_params.get("span", "")
    key = wanted if wanted in found else next(iter(found))
    plans = list(dict.fromkeys(text.plan for text in base.texts))

    def plan_chosen() -> None:
        whatif_state.switch(base, st.session_state["whatif_plan"])

    def span_chosen() -> None:
        st.query_params["span"] = st.session_state["whatif_span"]

    st.session_state["whatif_plan"], st.session_state["whatif_span"] = space.plan, key
    with widgets.tools():
        st.selectbox(
            "Plan",
            plans,
            format_func=lambda name: base.titles.get(name, name),
            key="whatif_plan",
            on_change=plan_chosen,
            label_visibility="collapsed",
            width=250,
        )
        st.selectbox(
            "Deals of",
            list(found),
            format_func=lambda name: found[name].title,
            key="whatif_span",
            on_change=span_chosen,
            label_visibility="collapsed",
            width=190,
        )
    return found[key]


@st.fragment
def board(base: Base, space: Workspace, span: Span) -> None:
    """Figures and controls.  A moved slider runs this alone."""
    actor = auth.require("whatif.use")
    st.html(ROOT / "app" / "static" / "whatif.css")
    above = st.container(key="whatif_cards")
    left, right = st.columns([5, 7], gap="medium")
    coming = whatif.quarter(state.database(), actor, base, state.today())
    with left:
        whatif_controls.draw(base, space, span, coming)
    found = whatif.price(state.database(), state.pool(), actor, base, space.sheet.variant, span)
    reading = whatif_reading.read(state.database(), actor, base, space.sheet.variant)
    if found.problems:
        with above:
            whatif_figures.problems(found.problems, reading, base)
        return
    outlook = whatif.outlook(state.database(), state.pool(), actor, base, coming, space.sheet.variant)
    with above:
        whatif_figures.cards(found, outlook, base, span)
    with right:
        whatif_figures.remarks(whatif_reading.remarks(base, space.sheet.variant, span, found))
        whatif_figures.notes(found, outlook, base, reading)
        _detail(Shown(actor, base, space, span, found, reading, coming, outlook))


@dataclass(frozen=True)
class Shown:
    """All there is to say about the active variant."""

    actor: Actor
    base: Base
    space: Workspace
    span: Span
    found: Price
    reading: Reading
    coming: Quarter
    outlook: Outlook


def _detail(it: Shown) -> None:
    view = st.segmented_control(
        "Show",
        list(_VIEWS),
        format_func=_VIEWS.__getitem__,
        default="people",
        required=True,
        key="whatif_show",
        label_visibility="collapsed",
    )
    with st.container(border=True, key="whatif_detail"):
        if view == "people":
            whatif_figures.people(it.found, it.base, it.space, it.span)
        elif view == "curve":
            whatif_figures.curves(it.reading, it.space)
        elif view == "quarter":
            whatif_figures.next_quarter(it.outlook, it.base)
        elif view == "compare":
            whatif_compare.compare(it.actor, it.base, it.space, it.span, it.coming)
        elif view == "goal":
            whatif_search_view.goal_seek(it.actor, it.base, it.space, it.span, it.coming, it.reading)
        elif view == "sensitivity":
            whatif_search_view.sensitivity(it.actor, it.base, it.space, it.span, it.coming, it.reading)
        else:
            whatif_figures.words(it.reading)

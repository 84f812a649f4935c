"""The list of a new company's first steps, above the dashboard until the first payout."""

from collections.abc import Sequence

import streamlit as st

from app import navigation
from engine.services.first_steps import Step

# step -> what it is called, why, the page where it is taken
_WORDS = {
    "people": ("Add the people who sell, and who leads them", "By hand, or from a spreadsheet.", "people"),
    "deals": ("Upload the CRM's deals", "You see what the file does before anything is kept.", "upload"),
    "plan": ("Make a plan and publish it", "Four templates to begin with.", "plans"),
    "assign": ("Put people on the plan", "On the plan, or on the person.", "plans"),
    "quotas": ("Set the quotas", "Your plan asks for them; paste them from a spreadsheet.", "quotas"),
    "run": ("Calculate a month", "Or a whole year of them: Several periods.", "runs"),
    "approve": ("Approve what is right", "One period, or several in one step. Then mark it as paid.", "payouts"),
}


def show(steps: Sequence[Step]) -> None:
    """The steps, those done ticked, and the way to the next; draws nothing when there are none."""
    if not steps:
        return
    following = next((step.name for step in steps if not step.done), "")
    with st.container(border=True, key="first_steps"):
        st.markdown(f"**First steps** · {sum(step.done for step in steps)} of {len(steps)}")
        for step in steps:
            title, why, page = _WORDS[step.name]
            with st.container(horizontal=True, vertical_alignment="center"):
                if step.done:
                    st.markdown(f":green[:material/check_circle:] :gray[{title}]", width="content")
                elif step.name == following:
                    st.markdown(f":material/radio_button_unchecked: **{title}**", width="content")
                    st.markdown(f":small[:gray[{why}]]", width="content")
                    navigation.link(page, "Do it now")
                else:
                    st.markdown(f":material/radio_button_unchecked: {title}", width="content")

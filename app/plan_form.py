"""The editor of a plan's draft: a form and the TOML text beside it, each following the other.

The text is what counts.  A change in the form writes the document anew; a change in the text fills the
form anew.  Streamlit's fields keep what they were born with, so a new document means new fields: the
fields' keys carry a generation that grows with each change from outside the form.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import plan_words, widgets
from app.navigation import ROOT
from app.plan_fields import FORM_KINDS, component_fields, kind_label, plan_fields
from app.plan_rows import new_component, written
from engine.calc.model import Plan
from engine.errors import Problem, QuotaPathError
from engine.plans.canonical import to_toml
from engine.plans.document import read_plan
from engine.plans.reader import load_toml
from engine.services import plans


@dataclass
class _Editor:
    """What the editor of one draft remembers between two runs; `base` is what the fields were born with."""

    began_from: str  # the saved draft that the text began from
    text: str
    base: dict[str, Any] | None
    document: dict[str, Any] | None
    refusal: str
    generation: int
    drawn: bool = False

    def renew(self) -> None:
        """New fields at the next drawing."""
        self.generation, self.drawn = _next_generation(), False

    def start_over(self, components: list[Any]) -> None:
        """New fields, filled with the document with other components, and the text that says the same."""
        self.base = self.document = {**(self.document or {}), "component": components}
        self.text = to_toml(self.document)
        self.renew()


@dataclass(frozen=True)
class Edited:
    """The text as it is now, what is wrong with it, and the saved draft that it began from."""

    text: str
    problems: list[Problem]
    began_from: str


def _next_generation() -> int:
    """A number that no field of this session has had: the fields of an editor thrown away must not come back."""
    number: int = st.session_state.get("plan_form_generation", 0) + 1
    st.session_state["plan_form_generation"] = number
    return number


def _read(text: str) -> tuple[dict[str, Any] | None, str]:
    """The document of a text, or why there is none."""
    try:
        document = load_toml(text)
        to_toml(document)
    except (QuotaPathError, TypeError) as error:
        return None, str(error)
    components = document.get("component", [])
    if not isinstance(components, list) or not all(isinstance(row, Mapping) for row in components):
        return None, "`component` is not a list of tables. Write each component as [[component]]."
    return document, ""


def edit(
    key: str,
    document: str,
    check: Callable[[str], list[Problem]],
    review: Callable[[str, Plan, DeltaGenerator], None],
) -> Edited:
    """Draw the editor of the draft `key` that is saved as `document`; `check` says what is wrong with a text.

    `review` draws what else there is to say about a text that is a plan, above the text and below it.
    """
    if key not in st.session_state:
        table, refusal = _read(document)
        st.session_state[key] = _Editor(document, document, table, table, refusal, _next_generation())
    editor: _Editor = st.session_state[key]
    left, right = st.columns([3, 2], gap="medium")
    with left:
        places = _form(editor, key)
    problems = check(editor.text)
    for index, place in enumerate(places):
        own = [problem for problem in problems if problem.path.startswith(f"component[{index}]")]
        if own:
            with place:
                st.error(_listed(own, [], f"component[{index}]"))
    with right:
        above = _beside(editor, key, problems)
        plan, _ = read_plan(editor.text)
        if plan is not None:
            review(editor.text, plan, above)
            _try(plan, key)
    return Edited(editor.text, problems, editor.began_from)


def saved(key: str) -> None:
    """The text of the editor has just been saved."""
    editor: _Editor = st.session_state[key]
    editor.began_from = editor.text


def forget(key: str) -> None:
    """Let the next `edit` begin from what is saved."""
    st.session_state.pop(key, None)


# --- the text, and what is wrong with it -----------------------------------------------------------


def _beside(editor: _Editor, key: str, problems: list[Problem]) -> DeltaGenerator:
    """Draw the problems and the text; returns a place between the two."""
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''} to solve before publishing"
        st.error(f"**{count}**\n\n{_listed(problems, _called(editor.document))}")
    else:
        st.success("No problems. This draft can be published.", icon=":material/check_circle:")
    above = st.container()
    st.html(ROOT / "app" / "static" / "plan_form.css")
    field = f"{key}_text"

    def text_changed() -> None:
        editor.text = st.session_state[field]
        document, editor.refusal = _read(editor.text)
        if document is not None:
            editor.base = editor.document = document
            editor.renew()

    st.session_state[field] = editor.text
    with st.container(key="plan_text"):
        st.text_area(
            "The plan as text (TOML)",
            key=field,
            height=520,
            on_change=text_changed,
            help="The form and this text say the same: change either. Ctrl+Enter takes over what you typed. "
            "Using the form writes the text anew, without comments.",
        )
    return above


# --- what a deal would earn ------------------------------------------------------------------------


def _try(plan: Plan, key: str) -> None:
    """A deal through the draft as it stands."""
    with st.container(border=True, key="plan_try"):
        st.markdown("**Try a deal**")
        first, second, third = st.columns(3)
        amount = first.text_input(f"Amount ({plan.currency})", "50000", key=f"{key}_try_amount")
        before = second.text_input(
            "Sold before", "", placeholder="0", key=f"{key}_try_before", help="In the same quota period."
        )
        quota = third.text_input("Quota", "", placeholder="the plan's", key=f"{key}_try_quota")
        examples = plans.preview_fields(plan)
        fields = {}
        for name, place in zip(examples, st.columns(max(len(examples), 3)), strict=False):
            fields[name] = place.text_input(name.capitalize(), examples[name], key=f"{key}_try_{name}")
        try:
            found = plans.preview_deal(plan, amount, before, quota, fields)
        except QuotaPathError as error:
            widgets.show_problems(error)
            return
        st.metric("The deal earns", widgets.money(found.total, found.currency))
        for label, cents in found.lines:
            st.caption(widgets.plain(f"{label}: {widgets.money(cents, found.currency)}"))
        if not found.lines:
            st.caption("No component matches such a deal.")


def _called(document: Mapping[str, Any] | None) -> list[str]:
    """What the components of a document are called."""
    return [written(each.get("label") or each.get("id")) for each in (document or {}).get("component", [])]


def _listed(problems: Sequence[Problem], components: Sequence[str], within: str = "") -> str:
    """The problems as a list: where in words, what, what to do, and beside it the path in the text."""
    lines = []
    for problem in problems:
        where = plan_words.place(problem.path.removeprefix(within), components)
        # "`currency` is missing" would say once more what stands in bold before it.
        message = problem.message.removeprefix(f"`{problem.path.rpartition('.')[2]}` ")
        path = f" `{problem.path}`" if "[" in problem.path and not within else ""
        said = f"{plan_words.code(message)} {plan_words.code(problem.remedy)}{path}".rstrip()
        joint = "" if message[:1].islower() else ":"
        lines.append(f"- **{widgets.plain(where)}**{joint} {said}" if where else f"- {said}")
    return "\n".join(lines)


# --- the form --------------------------------------------------------------------------------------


def _form(editor: _Editor, key: str) -> list[Any]:
    """Draw the fields and take over what changed in them; returns a place in each component for its problems."""
    if editor.refusal or editor.base is None or editor.document is None:
        st.warning("The form waits until the text can be read. The text with its line numbers:")
        st.code(editor.text, language="toml", line_numbers=True, height=620)
        return []
    # Streamlit forgets the fields of a page that one leaves; coming back, new ones begin with the document as it is.
    if editor.drawn and f"{key}_{editor.generation}_rounding" not in st.session_state:
        editor.base = editor.document
        editor.renew()
    editor.drawn = True
    prefix = f"{key}_{editor.generation}"
    document = plan_fields(editor.base, prefix)
    components, places = [], []
    bases = editor.base.get("component", [])
    for index, base in enumerate(bases):
        title = written(base.get("label") or base.get("id")) or "Component"
        with st.expander(f"**{widgets.plain(title)}** · {kind_label(base.get('kind'))}", True, key=f"{prefix}_{index}"):
            changed, place = component_fields(base, f"{prefix}_{index}", document)
            components.append(changed)
            places.append(place)
            _buttons(editor, index, len(bases), f"{prefix}_{index}")
    if components != bases:
        document["component"] = components
    if document != editor.document:
        editor.document, editor.text = document, to_toml(document)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = st.selectbox("One more component", FORM_KINDS, format_func=kind_label, key=f"{prefix}_new", width=260)
        st.button("Add", icon=":material/add:", key=f"{prefix}_add", on_click=_add, args=(editor, kind))
    return places


def _components(editor: _Editor) -> list[Any]:
    return list((editor.document or {}).get("component", []))


def _buttons(editor: _Editor, index: int, count: int, prefix: str) -> None:
    with st.container(horizontal=True, horizontal_alignment="right"):
        if index > 0:
            st.button(
                "Move up",
                icon=":material/arrow_upward:",
                type="tertiary",
                key=f"{prefix}_up",
                on_click=_move_up,
                args=(editor, index),
            )
        if count > 1:
            st.button(
                "Remove",
                icon=":material/delete:",
                type="tertiary",
                key=f"{prefix}_remove",
                on_click=_remove,
                args=(editor, index),
            )


def _add(editor: _Editor, kind: str) -> None:
    components = _components(editor)
    editor.start_over([*components, new_component(kind, [written(each.get("id")) for each in components])])


def _remove(editor: _Editor, index: int) -> None:
    components = _components(editor)
    editor.start_over(components[:index] + components[index + 1 :])


def _move_up(editor: _Editor, index: int) -> None:
    components = _components(editor)
    components[index - 1], components[index] = components[index], components[index - 1]
    editor.start_over(components)

"""What a session has on the what-if page: the plan, up to four variants of it, and which one is being changed."""

from dataclasses import dataclass, field, fields, replace
from typing import Any

import streamlit as st

from app import state, widgets
from engine.errors import QuotaPathError
from engine.services import whatif, whatif_scenarios
from engine.services.access import Actor
from engine.services.whatif import Base, Variant

MOST = 4
LETTERS = "ABCD"
_MOST_UNDONE = 50
_KEY, _OTHERS = "whatif_space", "whatif_spaces"  # the one on the page, and the last one of each plan


@dataclass
class Sheet:
    """One variant on the page; with `scenario_id` it is kept, as `saved` says."""

    name: str
    variant: Variant
    scenario_id: int | None = None
    saved: Variant | None = None
    notes: str = ""
    may_change: bool = False
    before: list[Variant] = field(default_factory=list)  # what "Undo" goes back to, the last one last
    turned: frozenset[str] = frozenset()  # what the last change was of

    @property
    def is_changed(self) -> bool:
        """Whether it differs from what is kept."""
        return self.variant != self.saved


@dataclass(frozen=True)
class Field:
    """A field on the page: its key, the value it began with, the one it reported last, and where its slider ends."""

    key: str
    start: int
    value: int
    top: int


@dataclass
class Workspace:
    """All of it; `token` sets the widgets of one workspace apart from those of the one before."""

    plan: str
    sheets: list[Sheet]
    active: int = 0
    token: int = 0
    fields: dict[str, Field] = field(default_factory=dict)
    born: int = 0  # how many fields there were
    lost: tuple[str, ...] = ()  # changes that another version had no place for, to be told

    def field(self, name: str, value: int, top: int = 0) -> Field:
        """The field that shows `value`: the one there is when it says so itself, else a new one.

        A field is never told what it shows.  While someone presses an arrow quickly, the browser's next report has
        the value from before it was told, and looks like a change back: steps would be lost.
        """
        found = self.fields.get(name)
        if found is None or found.value != value:
            self.born += 1
            found = Field(f"wi_{self.token}_{self.born}_{name}", value, value, max(top, value))
            self.fields[name] = found
        return found

    def reported(self, name: str, key: str, parts: int) -> int | None:
        """What a field says its value is now, in whole units, `parts` of which make one on the screen (empty: 0).

        None for no news: a field that is gone says once more what it was.
        """
        found = self.fields[name]
        if found.key != key or key not in st.session_state:
            return None
        shown = st.session_state[key]
        value = 0 if shown is None else round(shown * parts)
        if value == found.value:
            return None
        self.fields[name] = replace(found, value=value)
        return value

    @property
    def sheet(self) -> Sheet:
        """The variant that is being changed."""
        return self.sheets[min(self.active, len(self.sheets) - 1)]

    def change(self, variant: Variant) -> None:
        """Put another variant in place of the one that is being changed; several turns of one thing are one change."""
        sheet = self.sheet
        if variant == sheet.variant:
            return
        turned = _turned(sheet.variant, variant)
        if turned != sheet.turned or not sheet.before:
            sheet.before = [*sheet.before[-_MOST_UNDONE:], sheet.variant]
        sheet.variant, sheet.turned = variant, turned

    def undo(self) -> None:
        """Take the last change back."""
        sheet = self.sheet
        if sheet.before:
            sheet.variant, sheet.turned = sheet.before.pop(), frozenset()

    def add(self) -> None:
        """A copy of the variant that is being changed, to change further."""
        if len(self.sheets) < MOST:
            taken = {sheet.name for sheet in self.sheets}
            name = next(f"Variant {letter}" for letter in LETTERS if f"Variant {letter}" not in taken)
            self.sheets.append(Sheet(name, self.sheet.variant))
            self.choose(len(self.sheets) - 1)

    def choose(self, place: int) -> None:
        """Change another variant from now on; the page's address is that of the one on it."""
        self.active = place
        self.fields.clear()
        address(self.sheet)

    def remove(self) -> None:
        """Drop the variant that is being changed; one is always left."""
        if len(self.sheets) > 1:
            del self.sheets[self.active]
            self.choose(max(0, self.active - 1))


def _turned(was: Variant, now: Variant) -> frozenset[str]:
    """What of a variant another one has otherwise."""
    found = set()
    for part in fields(Variant):
        old: Any = getattr(was, part.name)
        new: Any = getattr(now, part.name)
        if isinstance(old, dict) and isinstance(new, dict):
            found |= {f"{part.name} {key}" for key in old.keys() | new.keys() if old.get(key, ...) != new.get(key, ...)}
        elif old != new:
            found.add(part.name)
    return frozenset(found)


def workspace(actor: Actor, base: Base) -> Workspace:
    """The session's workspace: of the kept variant in the address, of the plan in the address, else as it was."""
    space = _workspace(actor, base)
    # A field that was not on the page meanwhile has forgotten what it was turned to.
    space.fields = {name: each for name, each in space.fields.items() if each.key in st.session_state}
    return space


def _workspace(actor: Actor, base: Base) -> Workspace:
    space: Workspace | None = st.session_state.get(_KEY)
    wanted = st.query_params.get("scenario", "")
    if wanted and (space is None or wanted not in {str(sheet.scenario_id) for sheet in space.sheets}):
        opened = _opened(actor, wanted)
        if opened is not None:
            return start(opened.variant.plan, opened)
    plan = st.query_params.get("plan", "")
    if space is None or (plan and plan != space.plan):
        names = list(dict.fromkeys(text.plan for text in base.texts))
        if plan and plan not in names:
            st.warning(widgets.plain(f'There is no plan "{plan}". It may have been discarded.'))
        chosen = plan if plan in names else space.plan if space else _most_used(base, names)
        if space is None or chosen != space.plan:
            return switch(base, chosen)
    return space


def _most_used(base: Base, names: list[str]) -> str:
    """The plan that most people are on."""
    on_plan = list(base.on_plan.values())
    return max(names, key=lambda name: (on_plan.count(name), -names.index(name)))


def _opened(actor: Actor, wanted: str) -> Sheet | None:
    try:
        if not wanted.isdigit():
            raise QuotaPathError(f'"{wanted}" is not the number of a variant. Choose one from the list.')
        kept = whatif_scenarios.open_scenario(state.database(), actor, int(wanted[:18]))
    except QuotaPathError as error:
        widgets.show_problems(error)
        st.query_params.pop("scenario", None)
        return None
    st.query_params.setdefault("span", kept.scenario.span)
    return Sheet(
        kept.scenario.name, kept.variant, kept.scenario.scenario_id, kept.variant, kept.scenario.notes, kept.may_change
    )


def start(plan: str, sheet: Sheet) -> Workspace:
    """A new workspace with one variant, in place of the session's."""
    token = st.session_state.get("whatif_token", 0) + 1
    st.session_state["whatif_token"] = token
    space = Workspace(plan, [sheet], token=token)
    return _enter(space)


def switch(base: Base, plan: str) -> Workspace:
    """The session's workspace of another plan: as it was left, else a new one."""
    before: Workspace | None = st.session_state.get(_OTHERS, {}).get(plan)
    if before is not None:
        return _enter(before)
    return start(plan, Sheet("Variant A", whatif.begin(base, plan, state.today())))


def _enter(space: Workspace) -> Workspace:
    st.session_state[_KEY] = space
    st.session_state[_OTHERS] = {**st.session_state.get(_OTHERS, {}), space.plan: space}
    st.query_params["plan"] = space.plan
    address(space.sheet)
    return space


def address(sheet: Sheet) -> None:
    """Write into the page's address which kept variant is on it, if one is."""
    if sheet.scenario_id is None:
        st.query_params.pop("scenario", None)
    elif st.query_params.get("scenario") != str(sheet.scenario_id):
        st.query_params["scenario"] = str(sheet.scenario_id)


def put(key: str, value: object) -> None:
    """What a field of choices shows.  A value that it has already is not sent: it may have been moved on meanwhile."""
    if key not in st.session_state or st.session_state[key] != value:
        st.session_state[key] = value


def forget() -> None:
    """Let the next `workspace` begin from the address."""
    st.session_state.pop(_KEY, None)


def reset(space: Workspace, base: Base) -> None:
    """The active variant without its changes, of the same version."""
    now = space.sheet.variant
    throughout = any(text.version_id == now.version_id and text.is_draft for text in base.texts)
    space.change(Variant(now.plan, now.version_id, throughout=throughout))


def with_change(variant: Variant, path: str, value: object, original: object) -> Variant:
    """The variant with another value at a path; the text's own value is no change."""
    changes = {key: each for key, each in variant.changes.items() if key != path}
    if value != original:
        changes[path] = value
    return replace(variant, changes=changes)

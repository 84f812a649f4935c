"""What a session has on the what-if page: the plan, up to four variants of it, and which one is being changed."""

from dataclasses import dataclass, replace

import streamlit as st

from app import state, widgets
from engine.errors import QuotaPathError
from engine.services import whatif, whatif_scenarios
from engine.services.access import Actor
from engine.services.whatif import Base, Variant

MOST = 4
LETTERS = "ABCD"
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

    @property
    def is_changed(self) -> bool:
        """Whether it differs from what is kept."""
        return self.variant != self.saved


@dataclass
class Workspace:
    """All of it; `token` sets the widgets of one workspace apart from those of the one before."""

    plan: str
    sheets: list[Sheet]
    active: int = 0
    token: int = 0

    @property
    def sheet(self) -> Sheet:
        """The variant that is being changed."""
        return self.sheets[min(self.active, len(self.sheets) - 1)]

    def change(self, variant: Variant) -> None:
        """Put another variant in place of the one that is being changed."""
        self.sheet.variant = variant

    def add(self) -> None:
        """A copy of the variant that is being changed, to change further."""
        if len(self.sheets) < MOST:
            taken = {sheet.name for sheet in self.sheets}
            name = next(f"Variant {letter}" for letter in LETTERS if f"Variant {letter}" not in taken)
            self.sheets.append(Sheet(name, self.sheet.variant))
            self.active = len(self.sheets) - 1

    def remove(self) -> None:
        """Drop the variant that is being changed; one is always left."""
        if len(self.sheets) > 1:
            del self.sheets[self.active]
            self.active = max(0, self.active - 1)


def workspace(actor: Actor, base: Base) -> Workspace:
    """The session's workspace: of the kept variant in the address, of the plan in the address, else as it was."""
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
    if space.sheet.scenario_id is None:
        st.query_params.pop("scenario", None)
    else:
        st.query_params["scenario"] = str(space.sheet.scenario_id)
    return space


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

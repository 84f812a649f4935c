"""The left side of the what-if page: every number of the plan with a slider, quotas, people, tiers and limits."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import streamlit as st

from app import widgets
from app.whatif_state import MOST, Workspace, reset, with_change
from engine.calc.model import MICRO, PPM
from engine.money import currency_digits
from engine.plans.document import read_draft
from engine.plans.numbers import NoSuchPlace, PlanNumber, change, numbers
from engine.plans.reader import load_toml
from engine.services.whatif import Base, PlanText, Variant

_OPEN = 3  # components that stand open


def put(key: str, value: Any) -> None:
    """What a field shows.  A value that it has already is not sent: it may have been moved on meanwhile."""
    if key not in st.session_state or st.session_state[key] != value:
        st.session_state[key] = value


def draw(base: Base, space: Workspace) -> None:
    """All controls of the active variant."""
    _sheets(base, space)
    variant = space.sheet.variant
    text = next((each for each in base.texts if each.version_id == variant.version_id), None)
    if text is None:
        return
    _version(base, space, text)
    try:
        document = change(load_toml(text.document), variant.changes)
    except NoSuchPlace:
        return  # the figures say so
    original = {number.path: number for number in numbers(load_toml(text.document))}
    found = numbers(document)
    components = list(dict.fromkeys(number.component for number in found if number.component))
    for place, component in enumerate(components):
        own = [number for number in found if number.component == component]
        changed = sum(_is_changed(number, original) for number in own)
        title = f"{widgets.plain(component)}{f' · {changed} changed' if changed else ''}"
        with st.expander(title, expanded=place < _OPEN, key=f"wi_{space.token}_c{place}"):
            for number in own:
                _number(space, number, original.get(number.path))
    _quotas_and_people(base, space)
    rest = [number for number in found if not number.component]
    if rest:
        with st.expander("Draw, clawback, payment", key=f"wi_{space.token}_plan"):
            for number in rest:
                _number(space, number, original.get(number.path))
            if any(number.when_paid for number in rest):
                st.caption("When money is paid changes no figure on this page: they are of what is earned.")
    _parts(space, text, document)


def _sheets(base: Base, space: Workspace) -> None:
    """Which variant is changed, and the buttons that add, remove and undo."""
    key = f"wi_{space.token}_active"
    places = list(range(len(space.sheets)))

    def chosen() -> None:
        space.active = st.session_state[key]

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
            "Undo all",
            icon=":material/undo:",
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


# --- which text, and when it holds ----------------------------------------------------------------------


def _version(base: Base, space: Workspace, text: PlanText) -> None:
    variant = space.sheet.variant
    own = [each for each in base.texts if each.plan == variant.plan]
    titles = {each.version_id: _version_title(each) for each in own}
    key, reach = f"wi_{space.token}_{space.active}_version", f"wi_{space.token}_{space.active}_reach"

    def version_chosen() -> None:
        chosen = next(each for each in own if each.version_id == st.session_state[key])
        space.change(Variant(variant.plan, chosen.version_id, throughout=chosen.is_draft))

    def reach_chosen() -> None:
        space.change(replace(variant, throughout=st.session_state[reach] == "throughout"))

    put(key, text.version_id)
    put(reach, "throughout" if variant.throughout else "own")
    with st.container(horizontal=True, key="whatif_version"):
        if len(own) > 1:
            st.selectbox("Begin from", list(titles), format_func=titles.__getitem__, key=key, on_change=version_chosen)
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


def _version_title(text: PlanText) -> str:
    if text.effective_from is None:
        return "The draft"
    return f"Version of {_day(text.effective_from)}"


def _day(ordinal: int) -> str:
    return date.fromordinal(ordinal).isoformat()


# --- one number -----------------------------------------------------------------------------------------


def _is_changed(number: PlanNumber, original: Mapping[str, PlanNumber]) -> bool:
    was = original.get(number.path)
    return was is None or was.value != number.value


def parts_of(number: PlanNumber) -> int:
    """How many whole units of a number make one on the screen."""
    if number.unit == "money":
        return 10 ** currency_digits(number.currency)
    return {"percent": PPM // 100, "multiple": PPM, "number": MICRO, "whole": 1}[number.unit]


def shown_label(number: PlanNumber) -> str:
    """The label with its unit."""
    unit = {"percent": "%", "multiple": "x", "money": number.currency, "number": "", "whole": ""}[number.unit]
    return f"{number.label} ({unit})" if unit else number.label


def _number(space: Workspace, number: PlanNumber, original: PlanNumber | None) -> None:
    """A slider and, beside it, the exact figure; each follows the other."""
    parts = parts_of(number)
    start = original or number
    top = max(2 * start.value, start.value + 20 * start.step)
    if number.unit == "percent" and (number.is_edge or "gate" in number.path):
        top = max(top, 2 * PPM)
    if number.most is not None:
        top = min(top, number.most)
    top = max(-(-top // start.step) * start.step, number.value)
    slider, exact = (f"wi_{space.token}_{space.active}_{number.path}_{kind}" for kind in "se")
    whole = number.unit == "whole"

    def moved(key: str) -> None:
        value = round(st.session_state[key] * parts)
        was = original.written(original.value) if original else None
        variant = space.sheet.variant
        space.change(with_change(variant, number.path, number.written(value), was))

    def shown(value: int) -> float | int:
        return value if whole else value / parts

    for key in (slider, exact):
        put(key, shown(number.value))
    label = shown_label(number)
    note = f" :orange[was {widgets.plain(original.text())}]" if original and original.value != number.value else ""
    with st.container(horizontal=True, vertical_alignment="bottom", key=f"wi_row_{slider}"):
        st.slider(
            widgets.plain(label) + note,
            shown(0),
            shown(top),
            step=shown(start.step),
            format=_format(number),
            key=slider,
            on_change=moved,
            args=(slider,),
        )
        st.number_input(
            f"{label}, exact, {number.component or 'plan'}",
            shown(0),
            None if number.most is None else shown(number.most),
            step=shown(start.step),
            format="%d" if whole else "%.10g",
            key=exact,
            on_change=moved,
            args=(exact,),
            label_visibility="collapsed",
            width=130,
        )


def _format(number: PlanNumber) -> str:
    if number.unit == "percent":
        return "%.4g%%"
    return {"multiple": "%.4gx", "money": "localized", "number": "localized", "whole": "%d"}[number.unit]


# --- quotas and people ----------------------------------------------------------------------------------


def _quotas_and_people(base: Base, space: Workspace) -> None:
    variant = space.sheet.variant
    quota, people = f"wi_{space.token}_{space.active}_quota", f"wi_{space.token}_{space.active}_people"
    on_it = sorted(
        (person for person, plan in base.on_plan.items() if plan == variant.plan), key=base.names.__getitem__
    )
    now = [person for person in on_it if variant.people.get(person, variant.plan) == variant.plan]
    now += sorted(person for person, plan in variant.people.items() if plan == variant.plan and person not in on_it)
    changed = (variant.quota_ppm != PPM) + len(variant.people) + len(variant.quotas)

    def quota_moved() -> None:
        space.change(replace(variant, quota_ppm=PPM + round(st.session_state[quota] * PPM / 100)))

    def people_chosen() -> None:
        chosen = set(st.session_state[people])
        moved = {person: variant.plan for person in chosen if person not in on_it}
        left = {person: "" for person in on_it if person not in chosen}
        space.change(replace(variant, people={**moved, **left}))

    put(quota, round((variant.quota_ppm - PPM) * 100 / PPM, 4))
    put(people, now)
    title = f"Quotas and people{f' · {changed} changed' if changed else ''}"
    with st.expander(title, expanded=True, key=f"wi_{space.token}_who"):
        st.slider(
            "Quotas of everyone on the plan (%)",
            -50.0,
            max(100.0, st.session_state[quota]),
            step=1.0,
            format="%+.4g%%",
            key=quota,
            on_change=quota_moved,
        )
        st.multiselect(
            "On this plan",
            sorted(base.names, key=lambda person: base.names[person]),
            format_func=lambda person: widgets.plain(base.names[person]),
            key=people,
            on_change=people_chosen,
            help="Whoever is added leaves the plan they are on; whoever is taken off is on none. It counts for all "
            "the time that they were on a plan.",
        )


# --- tiers and limits that come and go ------------------------------------------------------------------


def _parts(space: Workspace, text: PlanText, document: Mapping[str, Any]) -> None:
    """What can be added to the plan's rules, or taken away."""
    offered = list(offers(document))
    if not offered:
        return
    labels = {label: (path, value) for label, path, value in offered}

    def take(label: str) -> None:
        path, value = labels[label]
        variant = space.sheet.variant
        changes = {key: each for key, each in variant.changes.items() if not _within(key, path)}
        try:
            already = _has(change(load_toml(text.document), changes), path)
        except NoSuchPlace:
            already = False
        if value is not None or already:
            changes[path] = value
        space.change(replace(variant, changes=changes))

    with st.popover("Add or remove a tier, cap, gate or draw", icon=":material/add_circle:"):
        for label in labels:
            adds = labels[label][1] is not None
            st.button(
                widgets.plain(label),
                icon=":material/add:" if adds else ":material/remove:",
                type="tertiary",
                on_click=take,
                args=(label,),
                key=f"wi_part_{label}",
            )


def _within(path: str, whole: str) -> bool:
    return path == whole or path.startswith((f"{whole}.", f"{whole}["))


def _has(document: Mapping[str, Any], path: str) -> bool:
    """Whether something stands at a path of the text itself."""
    try:
        return change(document, {path: None}) != document
    except NoSuchPlace:
        return False


def offers(document: Mapping[str, Any]) -> Sequence[tuple[str, str, Any]]:
    """(what it does in words, path, new value; None: taken away) of each part that can come or go."""
    plan, _ = read_draft(document, "x")
    if plan is None:
        return []
    found: list[tuple[str, str, Any]] = []
    for row, component in zip(document.get("component", ()), plan.components, strict=False):
        name, start = component.label, f"component[{component.id}]"
        tiers = row.get("tiers")
        if isinstance(tiers, list) and tiers:
            found.append((f"{name}: add a tier", f"{start}.tiers[{len(tiers)}]", _next_tier(tiers)))
            if len(tiers) > 1:
                found.append((f"{name}: remove the last tier", f"{start}.tiers[{len(tiers) - 1}]", None))
        if "cap" in row:
            found.append((f"{name}: remove the cap", f"{start}.cap", None))
        else:
            found.append((f"{name}: add a cap", f"{start}.cap", {"amount": _cap(row)}))
        if "gate" in row:
            found.append((f"{name}: remove the gate", f"{start}.gate", None))
        elif component.edges == "quota" or component.quota:
            found.append((f"{name}: add a gate at 50%", f"{start}.gate", "50%"))
    if "draw" in document:
        found.append(("Remove the draw", "draw", None))
    else:
        found.append(("Add a recoverable draw of 2,000", "draw", {"kind": "recoverable", "amount": 2000}))
        found.append(("Add a guarantee of 2,000", "draw", {"kind": "non_recoverable", "amount": 2000}))
    return found


def _next_tier(tiers: Sequence[Any]) -> dict[str, Any]:
    """A tier above the last one that pays what the last one does."""
    last = dict(tiers[-1]) if isinstance(tiers[-1], Mapping) else {}
    edge = last.get("from", 0)
    if isinstance(edge, str) and edge.strip().endswith("%"):
        last["from"] = f"{float(edge.strip()[:-1]) + 50:g}%"
    else:
        last["from"] = int(float(str(edge).replace(",", ""))) * 2 or 10_000
    return {key: str(value) if not isinstance(value, str | int) else value for key, value in last.items()}


def _cap(component: Mapping[str, Any]) -> int:
    """A cap to begin with: a tenth of the default quota, or 10,000."""
    quota = component.get("quota")
    return quota // 10 if isinstance(quota, int) and quota >= 10 else 10_000

"""Tiers, caps, gates and the draw on the what-if page: what can be added to a plan's rules, or taken away."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from app import widgets
from app.whatif_state import Workspace
from engine.plans.document import read_draft
from engine.plans.numbers import NoSuchPlace, change
from engine.plans.reader import load_toml
from engine.services.whatif import PlanText


def draw(space: Workspace, text: PlanText, document: Mapping[str, Any]) -> None:
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

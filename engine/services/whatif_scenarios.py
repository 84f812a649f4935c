"""Variants that are kept: saved, found again by their address, renamed, deleted, and made a draft of their plan."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import sqlalchemy as sa

from engine.analytics.scenarios import PlanText, Variant, changed_document, variant_of
from engine.db import audit, plans, scenarios
from engine.db.database import Database
from engine.db.scenarios import Scenario
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.plans.canonical import to_toml
from engine.services import access
from engine.services.access import Actor

LONGEST_NAME, LONGEST_NOTES = 200, 4000


@dataclass(frozen=True)
class Kept:
    """A kept variant as it is opened; `may_change` says whether the viewer may save over it."""

    scenario: Scenario
    variant: Variant
    may_change: bool


def list_scenarios(db: Database, actor: Actor) -> list[Scenario]:
    """The kept variants, the one changed last first.  Needs "whatif.use"."""
    access.require(actor, "whatif.use")
    with db.read(actor) as conn:
        return scenarios.scenarios(conn)


def open_scenario(db: Database, actor: Actor, scenario_id: int) -> Kept:
    """A kept variant by its id.  Needs "whatif.use"; raises QuotaPathError when there is none."""
    access.require(actor, "whatif.use")
    with db.read(actor) as conn:
        found = _known(scenarios.scenario(conn, scenario_id))
    return Kept(found, variant_of(found.variant), _is_own(actor, found))


def save_scenario(
    db: Database, actor: Actor, name: str, notes: str, variant: Variant, span: str, scenario_id: int | None = None
) -> int:
    """Keep a variant, as a new one or in place of the one with that id; returns the id.

    Needs "whatif.save"; another's is only an admin's to change.  Raises ProblemsError for a name that is none.
    """
    access.require(actor, "whatif.save")
    name, notes = _name(name), _notes(notes)
    table: Mapping[str, Any] = json.loads(variant.to_json())
    variant_of(table)
    with db.write(actor) as conn:
        if scenario_id is None:
            found = scenarios.add(conn, name, notes, variant.plan, table, span, access.user_of(actor))
            if found is None:
                raise QuotaPathError("The plan of this variant is no longer there, so it cannot be kept.")
            scenario_id = found
        else:
            _own(conn, actor, scenario_id)
            scenarios.write(conn, scenario_id, name, notes, table, span)
        _record(conn, actor, scenario_id, did="saved", name=name, variant=table)
    return scenario_id


def rename_scenario(db: Database, actor: Actor, scenario_id: int, name: str, notes: str) -> None:
    """Call a kept variant otherwise.  Needs "whatif.save"; another's is only an admin's to change."""
    access.require(actor, "whatif.save")
    name, notes = _name(name), _notes(notes)
    with db.write(actor) as conn:
        found = _own(conn, actor, scenario_id)
        scenarios.write(conn, scenario_id, name, notes, found.variant, found.span)
        _record(conn, actor, scenario_id, did="renamed", name=name, before=found.name)


def delete_scenario(db: Database, actor: Actor, scenario_id: int) -> None:
    """Forget a kept variant.  Needs "whatif.save"; another's is only an admin's to delete."""
    access.require(actor, "whatif.save")
    with db.write(actor) as conn:
        found = _own(conn, actor, scenario_id)
        scenarios.remove(conn, scenario_id)
        _record(conn, actor, scenario_id, did="deleted", name=found.name, variant=dict(found.variant))


def draft_of(db: Database, actor: Actor, variant: Variant, effective_from: date) -> str:
    """Make the plan's text under a variant the draft of its next version, and return the text.

    Quotas and people are no text: they are left as they are.  A variant of the draft itself is written into it, with
    its own first day.  Needs "plans.edit".  Raises QuotaPathError when the plan has another draft already, or the day
    is not after the newest version's.
    """
    access.require(actor, "plans.edit")
    with db.write(actor) as conn:
        plan_id = next((key for key, name, _ in plans.names(conn) if name == variant.plan), None)
        if plan_id is None or plans.lock(conn, plan_id) is None:
            raise QuotaPathError("The plan of this variant is no longer there.")
        versions, draft = plans.versions(conn, plan_id), plans.draft(conn, plan_id)
        if draft is not None and draft.version_id != variant.version_id:
            raise QuotaPathError(
                "This plan has a draft already. Finish it or discard it on the Plans page, or try the variant on it."
            )
        if draft is not None:
            text = PlanText(draft.version_id, variant.plan, draft.document, None)
            written = to_toml(changed_document(text, _of_text(variant)))
            plans.write_draft(conn, draft.version_id, written)
        else:
            chosen = next((each for each in versions if each.version_id == variant.version_id), None)
            if chosen is None:
                raise QuotaPathError("The version that this variant changes is no longer there.")
            if effective_from <= versions[-1].effective_from:
                raise ProblemsError(
                    [
                        Problem(
                            "effective_from",
                            f"{effective_from} is not after the last version's first day, "
                            f"{versions[-1].effective_from}.",
                            "Choose a later day; published versions never change.",
                        )
                    ]
                )
            text = PlanText(chosen.version_id, variant.plan, chosen.document, chosen.effective_from.toordinal())
            document = changed_document(text, _of_text(variant))
            written = to_toml({**document, "effective_from": effective_from})
            plans.add_draft(conn, plan_id, written, actor.user_id)
        detail = {"did": "made a draft of a variant", "variant": json.loads(variant.to_json())}
        audit.record(conn, actor.user_id, "plans.edit", f"plan {variant.plan}", detail)
    return written


def _of_text(variant: Variant) -> Variant:
    """What of a variant is text: default quotas of the plan are scaled with it."""
    return replace(variant, quotas={}, people={})


def _own(conn: sa.Connection, actor: Actor, scenario_id: int) -> Scenario:
    found = _known(scenarios.scenario(conn, scenario_id, lock=True))
    if not _is_own(actor, found):
        raise access.Forbidden(f"{found.owner} keeps this variant. Save yours under a name of its own.")
    return found


def _is_own(actor: Actor, found: Scenario) -> bool:
    return actor.role == "admin" or (found.owner_id == actor.user_id and access.may(actor, "whatif.save"))


def _known(found: Scenario | None) -> Scenario:
    if found is None:
        raise QuotaPathError("That variant is not there; it may have been deleted. Choose one from the list.")
    return found


def _name(name: str) -> str:
    name = " ".join(name.split())
    if not 1 <= len(name) <= LONGEST_NAME:
        raise ProblemsError([Problem("name", f"The name has {len(name)} characters.", f"Write 1 to {LONGEST_NAME}.")])
    return name


def _notes(notes: str) -> str:
    notes = notes.strip()
    if len(notes) > LONGEST_NOTES:
        raise ProblemsError(
            [Problem("notes", f"The notes have {len(notes):,} characters.", f"At most {LONGEST_NOTES:,} are kept.")]
        )
    return notes


def _record(conn: sa.Connection, actor: Actor, scenario_id: int, **detail: object) -> None:
    # A note: what is kept is no data of the company, and nobody's figures (nor the loaded books) are stale by it.
    audit.note(conn, actor.user_id, "whatif.save", f"scenario {scenario_id}", detail)

"""Kept variants of the what-if page."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa


@dataclass(frozen=True)
class Scenario:
    """A variant that was kept: whose it is, of which plan, and over which span it was last looked at."""

    scenario_id: int
    name: str
    notes: str
    plan: str
    plan_title: str
    variant: Mapping[str, Any]
    span: str
    owner_id: int
    owner: str
    updated_at: datetime


_SCENARIOS = """
    SELECT s.id, s.name, s.notes, p.name, p.title, s.variant, s.span, s.owner_id, u.name, s.updated_at
      FROM scenarios s JOIN plans p ON p.id = s.plan_id JOIN users u ON u.id = s.owner_id
"""


def scenarios(conn: sa.Connection, limit: int = 200) -> list[Scenario]:
    """The kept variants, the one changed last first."""
    query = sa.text(_SCENARIOS + "ORDER BY s.updated_at DESC, s.id DESC LIMIT :limit")
    return [Scenario(*row) for row in conn.execute(query, {"limit": limit})]


def scenario(conn: sa.Connection, scenario_id: int, lock: bool = False) -> Scenario | None:
    """One of them; with `lock` nobody else changes it until the transaction ends."""
    query = sa.text(_SCENARIOS + "WHERE s.id = :id" + " FOR UPDATE OF s" * lock)
    row = conn.execute(query, {"id": scenario_id}).one_or_none()
    return None if row is None else Scenario(*row)


def add(
    conn: sa.Connection, name: str, notes: str, plan: str, variant: Mapping[str, Any], span: str, owner_id: int
) -> int | None:
    """Keep a variant and return its id; None when there is no such plan."""
    query = """
        INSERT INTO scenarios (name, notes, plan_id, variant, span, owner_id)
        SELECT :name, :notes, id, CAST(:variant AS jsonb), :span, :owner FROM plans WHERE name = :plan RETURNING id
    """
    values = {"name": name, "notes": notes, "plan": plan, "span": span, "owner": owner_id}
    found: int | None = conn.scalar(sa.text(query), {**values, "variant": json.dumps(variant)})
    return found


def write(conn: sa.Connection, scenario_id: int, name: str, notes: str, variant: Mapping[str, Any], span: str) -> None:
    """Replace what is kept under an id."""
    query = """
        UPDATE scenarios SET name = :name, notes = :notes, variant = CAST(:variant AS jsonb), span = :span,
                             updated_at = now()
         WHERE id = :id
    """
    values = {"id": scenario_id, "name": name, "notes": notes, "span": span, "variant": json.dumps(variant)}
    conn.execute(sa.text(query), values)


def remove(conn: sa.Connection, scenario_id: int) -> None:
    """Forget a kept variant."""
    conn.execute(sa.text("DELETE FROM scenarios WHERE id = :id"), {"id": scenario_id})

"""What imports left out: whose rows these are as far as anybody knows, and who is meant by an unknown owner."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import pandas as pd
import sqlalchemy as sa

from engine.analytics import left_out as reads
from engine.db import audit, deal_imports, import_batches
from engine.db.database import Database
from engine.db.deal_imports import Saved
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.imports.known import Context, Person, owner_finder, owner_key
from engine.imports.values import one_line
from engine.services import access
from engine.services.access import Actor


@dataclass(frozen=True)
class LeftOut:
    """Rows of an import that did not come in, of one owner as the file has it; ``known``: it is clear who that is."""

    import_id: int
    source: str
    filename: str
    owner: str
    rows: int
    known: bool


def left_out(conn: sa.Connection, today: date, import_id: int | None = None) -> list[LeftOut]:
    """What an import left out, or what all of late did, the latest first, the most rows first."""
    found = reads.by_owner(conn, today, import_id)
    if found.empty:
        return []
    people = tuple(Person(*row) for row in deal_imports.people(conn))
    finders = {
        source: owner_finder(Context("", people, (), deal_imports.saved(conn, source).owners))
        for source in found["source"].unique()
    }
    rows: list[dict[str, Any]] = found.to_dict("records")  # type: ignore[assignment]
    merged: dict[tuple[int, str], LeftOut] = {}
    for row in rows:
        key = row["import_id"], owner_key(row["owner"])  # the same owner, however the name is written
        each = LeftOut(**row, known=isinstance(finders[row["source"]](row["owner"]), int))
        merged[key] = replace(merged[key], rows=merged[key].rows + each.rows) if key in merged else each
    return list(merged.values())


def unknown_owners(db: Database, actor: Actor, import_id: int, today: date) -> list[LeftOut]:
    """The owners of rows that an import left out whom nobody knows by now.  Needs "deals.import"."""
    access.require(actor, "deals.import")
    with db.read(actor) as conn:
        return [each for each in left_out(conn, today, import_id) if not each.known]


def left_out_rows(db: Database, actor: Actor, import_id: int, limit: int, offset: int) -> pd.DataFrame:
    """A page of the rows that an import left out: line, reason, remedy, row (its cells in words).

    Needs "deals.import".
    """
    access.require(actor, "deals.import")
    with db.read(actor) as conn:
        rows = import_batches.refused_rows(conn, import_id, limit, offset)
    found = []
    for line, reason, raw in rows:
        why, _, remedy = reason.partition("\n")
        found.append((line, why, remedy, ", ".join(f"{name} {cell}" for name, cell in raw if cell)))
    return pd.DataFrame(found, columns=["line", "reason", "remedy", "row"])


def owner_choices(db: Database, actor: Actor) -> dict[int, str]:
    """Who may be meant by an owner: names by user id.  Needs "deals.import"."""
    access.require(actor, "deals.import")
    with db.read(actor) as conn:
        return {user_id: f"{name} ({email})" for user_id, name, email in deal_imports.people(conn)}


def map_owners(db: Database, actor: Actor, source: str, owners: Mapping[str, int]) -> None:
    """Remember who is meant by these owners of a source; the next file of it is read so.

    Needs "deals.import".  Raises ProblemsError when nothing was chosen, QuotaPathError for a person that is gone.
    """
    access.require(actor, "deals.import")
    if not owners:
        raise ProblemsError([Problem("owners", "are as before: nobody was chosen.", "Choose whom they are.")])
    with db.write(actor) as conn:
        deal_imports.lock_source(conn, source)
        names = {user_id: name for user_id, name, _ in deal_imports.people(conn)}
        if not set(owners.values()) <= names.keys():
            raise QuotaPathError("One of these people is not here any more. Load the page again.")
        saved = deal_imports.saved(conn, source)
        keyed = {owner_key(text): user_id for text, user_id in owners.items()}
        deal_imports.remember(conn, source, Saved(saved.mapping, keyed, {}), actor.user_id)
        told = {text: names[user_id] for text, user_id in owners.items()}
        audit.record(conn, actor.user_id, "deals.import", f"source {source}", {"owners": told})


def in_words(found: Sequence[LeftOut]) -> list[str]:
    """The owners as people read them, each once."""
    return list({owner_key(each.owner): one_line(each.owner) or "(no owner)" for each in found}.values())

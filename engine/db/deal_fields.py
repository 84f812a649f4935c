"""The extra fields of deals that the company has defined, and what is kept under their names."""

from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa


@dataclass(frozen=True)
class DealField:
    """An extra field.  ``kind``: text, number, date, yes_no or choice; ``choices`` of a choice, in order."""

    name: str
    kind: str
    choices: tuple[str, ...] = ()


def all_fields(conn: sa.Connection) -> list[DealField]:
    """The defined fields, in the order in which they were defined."""
    rows = conn.execute(sa.text("SELECT name, kind, choices FROM deal_fields ORDER BY id"))
    return [DealField(row.name, row.kind, tuple(row.choices)) for row in rows]


def define(conn: sa.Connection, field: DealField) -> None:
    """Keep a field; one of the same name gets its kind and choices."""
    conn.execute(
        sa.text("""
            INSERT INTO deal_fields (name, kind, choices) VALUES (:name, :kind, :choices)
            ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, choices = excluded.choices
        """),
        {"name": field.name, "kind": field.kind, "choices": list(field.choices)},
    )


def forget(conn: sa.Connection, name: str) -> bool:
    """Take the definition away; the values stay with the deals, as text.  False when there is none."""
    return conn.execute(sa.text("DELETE FROM deal_fields WHERE name = :name"), {"name": name}).rowcount > 0


def undefined(conn: sa.Connection) -> list[tuple[str, int]]:
    """(name, deals): the columns that imports brought and nobody has defined, by name."""
    return [
        (row.name, row.deals)
        for row in conn.execute(
            sa.text("""
                SELECT key AS name, count(*) AS deals FROM deals CROSS JOIN LATERAL jsonb_object_keys(extra) AS key
                 WHERE key NOT IN (SELECT name FROM deal_fields) GROUP BY 1 ORDER BY 1
            """)
        )
    ]


def values(conn: sa.Connection, name: str) -> Iterator[tuple[str, int, str]]:
    """(text, deals, name of one of them): what is kept under a name, each value once, blanks left out."""
    rows = conn.execute(
        sa.text("""
            SELECT extra ->> :name AS text, count(*) AS deals, min(name) AS example
              FROM deals WHERE nullif(extra ->> :name, '') IS NOT NULL GROUP BY 1 ORDER BY 1
        """),
        {"name": name},
    )
    return ((row.text, row.deals, row.example) for row in rows)

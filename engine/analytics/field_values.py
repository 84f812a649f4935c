"""Which values a field has among the company's deals, for the plans that filter on it."""

from collections.abc import Iterable

import sqlalchemy as sa

from engine.analytics.inputs import extra_value
from engine.calc.model import FieldValue

MOST = 50  # values of a field; one with more is not a list of choices

_TEXTS = ("type", "product", "segment", "source")
_NOT_LISTED = (
    "id", "owner", "close_date", "currency", "cancelled", "amount", "margin", "quantity", "term_months", "name",
    "account", "created_date", "stage",
)  # fmt: skip

# The values of a column that is text, and of a field of the CRM as it is kept; '' and null are nothing.
_OF_COLUMN = "SELECT DISTINCT nullif(<column>, '') FROM deals LIMIT :most"
_OF_EXTRA = """
    SELECT DISTINCT CAST(nullif(nullif(extra -> :name, 'null'), '""') AS text) FROM deals LIMIT :most
"""


def field_values(conn: sa.Connection, names: Iterable[str]) -> dict[str, list[FieldValue | None]]:
    """For each of the named fields its values (None: some deals have none), where they are few enough to be listed."""
    found: dict[str, list[FieldValue | None]] = {}
    for name in names:
        if name in _NOT_LISTED:
            continue
        values = sorted(_values(conn, name), key=lambda value: (value is None, repr(value)))
        if any(value is not None for value in values) and len(values) <= MOST:
            found[name] = values
    return found


def _values(conn: sa.Connection, name: str) -> list[FieldValue | None]:
    limits = {"most": MOST + 1}
    if name in _TEXTS:
        return list(conn.scalars(sa.text(_OF_COLUMN.replace("<column>", name)), limits))
    kept = conn.scalars(sa.text(_OF_EXTRA), {"name": name, **limits})
    return [None if written is None else extra_value(written) for written in kept]

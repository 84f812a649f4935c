"""Money of several currencies in the company's, inside a query."""

import json
from typing import Any

import sqlalchemy as sa

from engine.money import currency_digits


def converted(amount: str, currency: str, day: str) -> str:
    """`amount` in the company's currency, by the latest rate on or before `day`; NULL where there is none.

    All three are SQL expressions; the query needs the parameters of `parameters`.
    """
    return f"""
        CASE WHEN {currency} = :currency THEN {amount} ELSE (
            SELECT CAST(round({amount} * r.rate * CAST(CAST(:scales AS jsonb) ->> {currency} AS numeric)) AS bigint)
              FROM exchange_rates r
             WHERE r.currency = {currency} AND r.to_currency = :currency AND r.day <= {day}
             ORDER BY r.day DESC LIMIT 1) END
    """  # noqa: S608


def parameters(conn: sa.Connection, currency: str) -> dict[str, Any]:
    """What a query with `converted` needs: the company's currency, and minor units of others in its own."""
    foreign = conn.scalars(
        sa.text("SELECT DISTINCT currency FROM exchange_rates WHERE to_currency = :c"), {"c": currency}
    )
    digits = currency_digits(currency)
    scales = {each: str(10.0 ** (digits - currency_digits(each))) for each in foreign}
    return {"currency": currency, "scales": json.dumps(scales)}

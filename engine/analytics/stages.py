"""The passage of deals through the pipeline, in sums made by Postgres: what became of those that entered a stage."""

from datetime import date
from decimal import Decimal
from typing import Any

import pandas as pd
import sqlalchemy as sa

from engine.analytics import parts
from engine.analytics.behind import SALE
from engine.money import PPM, currency_digits, round_ratio

# One row for each stage, outcome and currency: the deals that first entered the stage in the span, what they come to,
# and how long those that left it had stayed.  A refund (an amount below 0) is no deal that was won.
_PASSAGE = f"""
    SELECT {parts.PART["owner"]} AS part, v.stage_id, s.outcome, d.currency,
           count(*) FILTER (WHERE NOT v.returned) AS deals,
           coalesce(sum(d.amount) FILTER (WHERE NOT v.returned), 0)::bigint AS amount,
           count(v.left_at) AS stays, coalesce(sum(extract(epoch FROM v.left_at - v.entered_at)), 0)::bigint AS seconds
      FROM {parts.their_entries("CAST(:people AS bigint[])")} JOIN deals d ON d.id = v.deal_id
      JOIN pipeline_stages s ON s.id = d.stage_id
     WHERE {SALE} AND <part>
     GROUP BY 1, 2, 3, 4
"""  # noqa: S608
_RATES = sa.text("""
    SELECT DISTINCT ON (currency) currency, rate FROM exchange_rates
     WHERE to_currency = :currency AND day < :until ORDER BY currency, day DESC
""")

COLUMNS = ("entered", "undecided", "won", "lost", "won_amount", "lost_amount", "days", "unconverted")


def passage(
    conn: sa.Connection, people: frozenset[int] | None, since: date, until: date, currency: str
) -> pd.DataFrame:
    """What became of the deals that ``people`` (None: anyone) own or share and that entered a stage in the span.

    By stage id: entered, undecided, won, lost (deals), won_amount, lost_amount (minor units of ``currency``, at the
    latest rate of the span), days (float, how long those that left it had stayed on average; missing when none left),
    unconverted (decided deals with an amount in a currency without a rate: they count by number only).  The span is
    ``[since, until)``; a deal that entered a stage twice counts once, where its first entry lies in the span.
    """
    values = {"start": since, "end": until, "people": None if people is None else sorted(people)}
    keys = ["stage_id", "outcome", "currency"]
    seen = parts.read(conn, _PASSAGE, values, "owner", (*keys, "part")).drop(columns="part")
    rows: list[Any] = list(seen.groupby(keys, as_index=False).sum().itertuples(index=False))
    rates = _rates(conn, currency, until)
    found: dict[int, dict[str, int]] = {}
    for row in rows:
        stage = found.setdefault(row.stage_id, dict.fromkeys(("entered", "open", "won", "lost"), 0))
        stage["entered"] += row.deals
        stage[row.outcome] += row.deals
        stage["stays"] = stage.get("stays", 0) + row.stays
        stage["seconds"] = stage.get("seconds", 0) + row.seconds
        if row.outcome != "open":
            rate = rates.get(row.currency)
            key = "unconverted" if rate is None and row.amount else f"{row.outcome}_amount"
            more = row.deals if key == "unconverted" else round_ratio(*(row.amount * (rate or 0)).as_integer_ratio())
            stage[key] = stage.get(key, 0) + more
    frame = pd.DataFrame(
        [
            {
                **{name: stage.get(name, 0) for name in COLUMNS},
                "undecided": stage["open"],
                "days": stage["seconds"] / stage["stays"] / 86_400 if stage["stays"] else None,
            }
            for stage in found.values()
        ],
        index=pd.Index(list(found), name="stage_id"),
        columns=list(COLUMNS),
    )
    return frame.astype({"days": "float64"})


def _rates(conn: sa.Connection, currency: str, until: date) -> dict[str, Decimal]:
    """What a minor unit of each currency is worth in minor units of the company's."""
    digits = currency_digits(currency)
    found = conn.execute(_RATES, {"currency": currency, "until": until})
    rates = {row.currency: row.rate.scaleb(digits - currency_digits(row.currency)) for row in found}
    return rates | {currency: Decimal(1)}


def share_ppm(won: int, lost: int) -> int | None:
    """The share of the won in the decided, in parts per million to a tenth of a percent; None: nothing is decided.

    >>> share_ppm(1, 2)
    333000
    """
    return round_ratio(1000 * won, won + lost) * (PPM // 1000) if won + lost else None

"""What a run would change: the lines that a period shows beside those that it would show, and why they differ."""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

import pandas as pd
import sqlalchemy as sa

from engine.analytics.discrepancies import causes_of, edited

ADDED, GONE, CHANGED = "Added", "Gone", "Changed"

COLUMNS = (
    "user_id", "component", "origin_period", "deal_id", "external_id", "deal", "what", "was", "now", "difference",
    "currency", "cause", "detail", "edited_at",
)  # fmt: skip


class Said(NamedTuple):
    """A line as it is compared: whose, of what, how much, and what it was worked out from."""

    user_id: int
    component: str
    deal_id: int | None
    kind: str
    origin_period: str
    currency: str
    cents: int
    version_id: int
    facts: dict[str, Any]

    @property
    def key(self) -> tuple[Any, ...]:
        """What makes two lines of two runs the same line."""
        return self[:6]


_STORED = sa.text("""
    SELECT user_id, component, deal_id, kind, origin_period, currency, amount, plan_version_id,
           coalesce(working -> 'facts', working #> '{lines,0,facts}', '{}')
      FROM lines WHERE run_id = :run AND user_id = :user ORDER BY id
""")


def stored(conn: sa.Connection, run_id: int, user_id: int) -> Iterator[Said]:
    """One person's lines in a run."""
    return (Said(*row) for row in conn.execute(_STORED, {"run": run_id, "user": user_id}))


class Pair(NamedTuple):
    """A line in the run that is shown, and in the one that would be; the amounts differ, or the plan version does."""

    was: Said | None
    now: Said | None


def pairs(was: Iterable[Said], now: Iterable[Said]) -> list[Pair]:
    """The lines that differ; several of one key (money carried from two periods) are compared in their order."""
    before, after = _by_key(was), _by_key(now)
    found = []
    for key in dict.fromkeys([*before, *after]):
        one, other = before.get(key), after.get(key)
        if one is None or other is None or (one.cents, one.version_id) != (other.cents, other.version_id):
            found.append(Pair(one, other))
    return found


def _by_key(lines: Iterable[Said]) -> dict[tuple[Any, ...], Said]:
    found: dict[tuple[Any, ...], Said] = {}
    for line in lines:
        place = 0
        while (*line.key, place) in found:
            place += 1
        found[*line.key, place] = line
    return found


# The deals of changed lines: what was edited since a moment, by whom, and whether they came in after it.
_DEALS = sa.text("""
    SELECT d.id, d.external_id, d.name, d.created_at > :since AS late,
           coalesce(array_agg(DISTINCT field.key) FILTER (WHERE field.key IS NOT NULL), '{}') AS fields,
           string_agg(DISTINCT coalesce(u.name, 'The program'), ', ') FILTER (WHERE c.id IS NOT NULL) AS who,
           max(c.at) AS at
      FROM deals d
      LEFT JOIN deal_changes c ON c.deal_id = d.id AND c.at > :since
      LEFT JOIN LATERAL jsonb_object_keys(c.changes) AS field (key) ON true
      LEFT JOIN users u ON u.id = c.user_id
     WHERE d.id = ANY(:deals)
     GROUP BY d.id
""")


def described(conn: sa.Connection, changed: Collection[Pair], since: datetime) -> pd.DataFrame:
    """The pairs in words, the largest difference first; `since` is when the run that is shown was made.

    Columns: user_id, component, origin_period, deal_id, external_id, deal, what (Added, Gone, Changed), Int64 cents:
    was, now, difference; currency, cause (of `engine.analytics.discrepancies`, several joined by "; "), detail (fields
    edited, by whom), edited_at.
    """
    ids = {line.deal_id for pair in changed for line in pair if line is not None and line.deal_id is not None}
    deals = {row.id: row for row in conn.execute(_DEALS, {"deals": list(ids), "since": since})}
    rows = []
    for was, now in changed:
        line = now or was
        assert line is not None  # noqa: S101 - a pair has one at least
        deal = deals.get(line.deal_id or 0)
        fields = set(deal.fields) if deal else set()

        def differ(fact: str, was: Said | None = was, now: Said | None = now) -> bool:
            return bool(was and now and was.facts.get(fact) != now.facts.get(fact))

        before, after = was.cents if was else 0, now.cents if now else 0
        causes = causes_of(
            fields,
            bool(deal and deal.late),
            bool(was and now and was.version_id != now.version_id),
            differ("quota"),
            differ("exchange"),
            differ("credit"),
            before,
            after,
        )
        rows.append(
            (
                line.user_id,
                line.component,
                line.origin_period,
                line.deal_id,
                deal.external_id if deal else "",
                deal.name if deal else "",
                CHANGED if was and now else ADDED if now else GONE,
                before,
                after,
                after - before,
                line.currency,
                "; ".join(causes),
                edited(fields, deal.who if deal else None),
                deal.at if deal else None,
            )
        )
    rows.sort(key=lambda row: (-abs(row[9]), row[0], row[3] or 0))
    frame = pd.DataFrame(rows, columns=COLUMNS)
    frame["edited_at"] = pd.to_datetime(frame["edited_at"], utc=True)
    return frame.astype(dict.fromkeys(("deal_id", "was", "now", "difference"), "Int64"))

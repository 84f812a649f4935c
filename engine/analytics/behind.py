"""The deals behind a mark of the pipeline's charts: conditions that the deals page adds to its own filters."""

from dataclasses import dataclass
from datetime import date
from typing import Any


@dataclass(frozen=True)
class Behind:
    """Which deals stand behind a mark; a field left empty does not filter.

    `waiting`: days in the present stage, ``[low, high)``, high None without an end.  `cycle`: the same for the days
    from its creation to its close date.  `slipped`: an expected close date in ``[from, until)`` was moved, and the
    deal now closes later than that.  `moved`: its close date was moved later on a day in ``[from, until)``, by days
    in ``[low, high)``.  `entered`: it first came into a stage, by id, on a day in ``[from, until)``, and with a third
    part went on from there to the stage of that id next, 0: is there still.  `segment` and
    `product` are the deal's own, `owner_team` is the id of the owner's team today, 0: no team.  `late`: open and past
    the close date.
    """

    waiting: tuple[int, int | None] | None = None
    cycle: tuple[int, int | None] | None = None
    slipped: tuple[date, date] | None = None
    moved: tuple[date, date, int, int | None] | None = None
    entered: tuple[int, date, date, int | None] | None = None
    segment: str | None = None
    product: str | None = None
    owner_team: int | None = None
    late: bool | None = None


# How long a deal has been where it is: since it last came there, else since it was created, else since it was kept.
LATEST = "deal_stage_entries e ON e.deal_id = d.id AND e.left_at IS NULL"
DAYS_WAITING = """
    (CAST(:today AS date) - CAST(coalesce(e.entered_at, CAST(d.created_date AS timestamptz), d.created_at) AS date))
"""
_WAITING = f"(SELECT {DAYS_WAITING} FROM (SELECT d.*) d LEFT JOIN {LATEST})"  # noqa: S608

# A refund is no deal that was won.
SALE = "coalesce(d.amount, 0) >= 0"
CYCLE = "CASE WHEN d.created_date IS NOT NULL THEN greatest(d.close_date - d.created_date, 0) END"
# A change of the close date, as the history keeps it: days as text, year first, so they have the order of days.
FROM, TO = "CAST(c.moved_from AS date)", "CAST(c.moved_to AS date)"


def slipped(start: str, end: str) -> str:
    """The condition that a change moved a close date in ``[start, end)``, two SQL expressions, out of it."""
    return f"""c.moved_from >= CAST(CAST({start} AS date) AS text) AND c.moved_from < CAST(CAST({end} AS date) AS text)
               AND {TO} >= {end}"""


SLIPPED = slipped(":start", ":end")

_SLIPPED = f"""
    d.close_date >= :slipped_until AND d.id = ANY(ARRAY(
        SELECT c.deal_id FROM deal_changes c WHERE {slipped(":slipped_from", ":slipped_until")}))
"""  # noqa: S608
_MOVED = f"""
    d.id = ANY(ARRAY(
        SELECT c.deal_id FROM deal_changes c
         WHERE c.moved_from IS NOT NULL AND c.at >= :moved_from AND c.at < :moved_until AND {TO} - {FROM} >= :moved_low
           AND (CAST(:moved_high AS int) IS NULL OR {TO} - {FROM} < :moved_high)))
"""  # noqa: S608
_ENTERED = f"""
    {SALE} AND d.id = ANY(ARRAY(
        SELECT deal_id FROM deal_stage_entries
         WHERE stage_id = :entered_stage AND entered_at >= :entered_from AND entered_at < :entered_until
           AND NOT returned
           AND (CAST(:entered_next AS bigint) IS NULL OR :entered_next = coalesce(next_id, 0))))
"""  # noqa: S608
_OWNER_TEAM = """
    coalesce((SELECT m.team_id FROM team_members m WHERE m.user_id = d.owner_id AND m.start_date <= :today
                 AND (m.end_date IS NULL OR m.end_date > :today)), 0) = :owner_team
"""

_LATE = """
    d.close_date < :today AND d.stage_id = ANY(ARRAY(SELECT id FROM pipeline_stages WHERE outcome = 'open'))
"""


def _days(expression: str, name: str) -> str:
    return f"""{expression} >= :{name}_low
               AND (CAST(:{name}_high AS int) IS NULL OR {expression} < :{name}_high)"""


def conditions(behind: Behind, today: date) -> tuple[list[str], dict[str, Any]]:
    """Conditions on ``deals d``, and their parameters."""
    found: list[str] = []
    params: dict[str, Any] = {}
    for name, condition, parts in (
        ("waiting", _days(_WAITING, "waiting"), ("low", "high")),
        ("cycle", f"{SALE} AND {_days(CYCLE, 'cycle')}", ("low", "high")),
        ("slipped", _SLIPPED, ("from", "until")),
        ("moved", _MOVED, ("from", "until", "low", "high")),
        ("entered", _ENTERED, ("stage", "from", "until", "next")),
    ):
        values = getattr(behind, name)
        if values is not None:
            found.append(condition)
            params |= {f"{name}_{part}": value for part, value in zip(parts, values, strict=True)}
    for name, condition in (
        ("segment", "d.segment = :segment"),
        ("product", "d.product = :product"),
        ("owner_team", _OWNER_TEAM),
    ):
        if getattr(behind, name) is not None:
            found.append(condition)
            params[name] = getattr(behind, name)
    if behind.late:
        found.append(_LATE)
    if not found:
        return [], {}
    return [*found, "d.cancelled_on IS NULL"], params | {"today": today}

"""The stages of the pipeline, and the deals that stand in them.  Nothing here commits."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

COLORS = ("blue", "green", "orange", "red", "violet", "yellow", "gray")


@dataclass(frozen=True)
class Stage:
    """A stage: ``outcome`` is open, won or lost; a retired one is kept for the deals that once passed it."""

    id: int
    name: str
    outcome: str
    probability_ppm: int
    color: str
    retired: bool = False


def listing(conn: sa.Connection, *, lock: bool = False) -> list[Stage]:
    """Every stage, the retired last, each in order; ``lock``: no stage changes elsewhere, and no deal enters one."""
    query = """
        SELECT id, name, outcome, probability_ppm, color, retired_at IS NOT NULL
          FROM pipeline_stages ORDER BY retired_at IS NOT NULL, position
    """
    if lock:
        # The table against another change of stages, the rows against deals that enter one.
        conn.execute(sa.text("LOCK TABLE pipeline_stages IN SHARE ROW EXCLUSIVE MODE"))
        query += " FOR UPDATE"
    return [Stage(*row) for row in conn.execute(sa.text(query))]


def add(conn: sa.Connection, name: str, outcome: str, probability_ppm: int, color: str) -> int:
    """A new stage behind all others; gives its id."""
    query = """
        INSERT INTO pipeline_stages (name, position, probability_ppm, outcome, color)
        VALUES (:name, (SELECT coalesce(max(position), 0) + 1 FROM pipeline_stages), :probability, :outcome, :color)
        RETURNING id
    """
    values = {"name": name, "outcome": outcome, "probability": probability_ppm, "color": color}
    return int(conn.execute(sa.text(query), values).scalar_one())


def update(conn: sa.Connection, stage_id: int, name: str, outcome: str, probability_ppm: int, color: str) -> None:
    """Replace what may change of a stage."""
    query = """
        UPDATE pipeline_stages SET name = :name, outcome = :outcome, probability_ppm = :probability, color = :color
         WHERE id = :id
    """
    values = {"id": stage_id, "name": name, "outcome": outcome, "probability": probability_ppm, "color": color}
    conn.execute(sa.text(query), values)


def set_order(conn: sa.Connection, stage_ids: list[int]) -> None:
    """Put all stages in this order."""
    query = "UPDATE pipeline_stages SET position = array_position(CAST(:ids AS bigint[]), id)"
    conn.execute(sa.text(query), {"ids": stage_ids})


def set_retired(conn: sa.Connection, stage_id: int, retired: bool) -> None:
    """Offer a stage no more, or again."""
    query = "UPDATE pipeline_stages SET retired_at = CASE WHEN :retired THEN now() END WHERE id = :id"
    conn.execute(sa.text(query), {"id": stage_id, "retired": retired})


def remove(conn: sa.Connection, stage_id: int) -> None:
    """Delete a stage that no deal ever passed."""
    conn.execute(sa.text("DELETE FROM pipeline_stages WHERE id = :id"), {"id": stage_id})


def was_passed(conn: sa.Connection, stage_id: int) -> bool:
    """Whether a deal stands in the stage or ever entered it."""
    query = """
        SELECT EXISTS (SELECT FROM deals WHERE stage_id = :id)
            OR EXISTS (SELECT FROM deal_stage_entries WHERE stage_id = :id)
    """
    return bool(conn.scalar(sa.text(query), {"id": stage_id}))


# ---------------------------------------------------------------- the deals in a stage
@dataclass(frozen=True)
class Standing:
    """The deals in a stage: how many, without an amount, cancelled sales, and (name, status, deals) by pay period.

    The pay periods are those that have been run and in which such a deal closes, the cancelled left out: they
    count for pay whatever their stage.
    """

    deals: int
    without_amount: int
    cancelled: int
    periods: tuple[tuple[str, str, int], ...] = ()


_COUNTS = sa.text("""
    SELECT count(*), count(*) FILTER (WHERE amount IS NULL), count(cancelled_on) FROM deals WHERE stage_id = :id
""")
_PERIODS = sa.text("""
    SELECT p.period, p.status, sum(d.deals)::bigint
      FROM (SELECT close_date, count(*) AS deals FROM deals
             WHERE stage_id = :id AND cancelled_on IS NULL GROUP BY close_date) d
      JOIN pay_periods p ON d.close_date >= p.start_date AND d.close_date < p.end_date
     GROUP BY p.period, p.status, p.start_date ORDER BY p.start_date, p.period
""")


def standing(conn: sa.Connection, stage_id: int) -> Standing:
    """What stands in a stage now."""
    counts = conn.execute(_COUNTS, {"id": stage_id}).one()
    periods = tuple((row[0], row[1], row[2]) for row in conn.execute(_PERIODS, {"id": stage_id}))
    return Standing(counts[0], counts[1], counts[2], periods)


# Moves every deal of a stage, with its history and its passage, in one statement; gives how many.
_MOVE = sa.text("""
    WITH moved AS (
        UPDATE deals SET stage_id = :target, version = version + 1, updated_at = now()
         WHERE stage_id = :stage RETURNING id
    ), entered AS (
        INSERT INTO deal_stage_entries (deal_id, stage_id, entered_at)
        SELECT id, :target, clock_timestamp() FROM moved
    ), noted AS (
        INSERT INTO deal_changes (deal_id, user_id, changes)
        SELECT id, :user, jsonb_build_object('stage_id', jsonb_build_array(:stage, :target)) FROM moved
    )
    SELECT count(*) FROM moved
""").bindparams(
    sa.bindparam("stage", type_=sa.BigInteger), sa.bindparam("target", type_=sa.BigInteger)
)  # so that JSON gets numbers


def move_deals(conn: sa.Connection, stage_id: int, target_id: int, user_id: int | None) -> int:
    """Let every deal of a stage enter another one; gives how many."""
    return int(conn.execute(_MOVE, {"stage": stage_id, "target": target_id, "user": user_id}).scalar_one())


def redirect_imports(conn: sa.Connection, stage_id: int, target_id: int | None) -> None:
    """What was answered for the stage in imports holds for another one (None: is asked again)."""
    query = """
        UPDATE import_mappings SET stages = (
            SELECT coalesce(jsonb_object_agg(key, CASE WHEN value = to_jsonb(CAST(:stage AS bigint))
                                                       THEN to_jsonb(CAST(:target AS bigint)) ELSE value END), '{}')
              FROM jsonb_each(stages)
             WHERE value <> to_jsonb(CAST(:stage AS bigint)) OR CAST(:target AS bigint) IS NOT NULL)
    """
    values: dict[str, Any] = {"stage": stage_id, "target": target_id}
    conn.execute(sa.text(query), values)


def moved_view(conn: sa.Connection, stage_id: int, target_id: int) -> str:
    """The name of a temporary view: the deals as they would be with those of the stage in the target."""
    query = """
        SELECT quote_ident(attname) FROM pg_attribute
         WHERE attrelid = 'deals'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
    """.replace("::", "\\:\\:")
    stage = f"CASE stage_id WHEN {int(stage_id)} THEN {int(target_id)} ELSE stage_id END AS stage_id"
    columns = (stage if name == "stage_id" else name for name in conn.scalars(sa.text(query)))
    conn.execute(sa.text(f"CREATE TEMP VIEW deals_moved AS SELECT {', '.join(columns)} FROM deals"))  # noqa: S608
    return "deals_moved"

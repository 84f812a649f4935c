"""Sums of deals that a screen shows, remembered by part: what changed is added up anew, the rest is not read again.

A part is the deals of one owner, or those that close in one month.  The database keeps which parts each transaction
touched (`deal_touches`, by triggers), so a part that no transaction touched since is what it was, whatever else has
changed: an activity, a quota, a sign-in, another owner's deal.  Remembered are sums, never deals.
"""

import threading
from collections import OrderedDict
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from time import monotonic
from typing import Any

import pandas as pd
import sqlalchemy as sa

from engine.db.database import wall
from engine.periods import period_of

AT_MOST = 6_000_000  # cells that are remembered in this process
SECONDS = 12 * 3600  # for which they are: the database keeps which parts were touched for twice as long

# The condition that stands for <part> in a query, by what its parts are; <entries> is one on entries into stages.
_SOME = {
    "owner": "d.owner_id = ANY(CAST(:parts AS bigint[]))",
    "month": "d.close_date = ANY(CAST(:parts AS date[]))",
}
_ENTRIES = "v.owner_id = ANY(CAST(:parts AS bigint[]))"
# The column `part` of a query, by what its parts are: as the database notes them.
PART = {"owner": "CAST(d.owner_id AS text)", "month": "to_char(d.close_date, 'YYYY-MM-01')"}


def theirs(people: str) -> str:
    """``deals d``: those of some parts that `people` own or share, an SQL expression of user ids; NULL: everyone's.

    What they own and what others share with them is found by an index each.
    """
    return f"""
        (SELECT d.* FROM deals d WHERE ({people} IS NULL OR d.owner_id = ANY({people})) AND <part>
          UNION ALL
         SELECT d.* FROM deals d WHERE {people} IS NOT NULL AND d.owner_id <> ALL({people}) AND <part>
            AND d.id IN (SELECT deal_id FROM deal_credits WHERE user_id = ANY({people}))) d
    """  # noqa: S608


def their_entries(people: str) -> str:
    """``deal_stage_entries v`` from :start to before :end, of the same deals; what is asked of a deal is left to do."""
    return f"""
        (SELECT v.* FROM deal_stage_entries v
          WHERE v.entered_at >= :start AND v.entered_at < :end AND <entries>
            AND v.owner_id = ANY(coalesce({people}, ARRAY(SELECT id FROM users)))
          UNION ALL
         SELECT v.* FROM deal_stage_entries v
          WHERE v.entered_at >= :start AND v.entered_at < :end AND <entries>
            AND {people} IS NOT NULL AND v.owner_id <> ALL({people})
            AND v.deal_id IN (SELECT deal_id FROM deal_credits WHERE user_id = ANY({people}))) v
    """  # noqa: S608


_MOMENT = sa.text("""
    SELECT CAST(pg_current_snapshot() AS text) AS seen, pg_current_xact_id_if_assigned() IS NOT NULL AS writes,
           (SELECT concat_ws('-', system_identifier, oid) FROM pg_control_system(), pg_database
             WHERE datname = current_database()) AS data,
           ARRAY(SELECT DISTINCT part FROM deal_touches
                  WHERE xact >= pg_snapshot_xmin(CAST(:known AS pg_snapshot))
                    AND NOT pg_visible_in_snapshot(xact, CAST(:known AS pg_snapshot))) AS touched
""")


@dataclass(frozen=True)
class _Kept:
    frame: pd.DataFrame
    seen: str  # the snapshot that it was read in
    data: str  # and of which database
    since: float  # when all of it was last read


_kept: OrderedDict[Hashable, _Kept] = OrderedDict()
_lock = threading.Lock()


def read(conn: sa.Connection, query: str, params: Mapping[str, Any], by: str, order: Sequence[str]) -> pd.DataFrame:
    """The query's rows, as `pandas.read_sql` has them, in the order of the columns `order`.

    The query is about ``deals d``, has the condition <part>, and the column `part` as `PART` has it by `by` ("owner"
    or "month"); each of its rows depends on deals of its part alone, on `params`, the stages and the exchange rates.
    Whose deals are asked for is in `params`; what row-level security leaves of them is remembered for that viewer
    alone.  Nobody writes into the frame.
    """
    key = (
        str(conn.engine.url),
        wall(conn),
        query,
        by,
        repr(sorted((name, str(value)) for name, value in params.items())),
    )
    with _lock:
        kept = _kept.get(key)
    now = conn.execute(_MOMENT, {"known": kept.seen if kept else None}).one()
    touched = {part for part in now.touched if part == "*" or ("-" in part) == (by == "month")}
    if kept is None or kept.data != now.data or "*" in touched or monotonic() - kept.since > SECONDS:
        kept = None
    elif not _saw(now.seen, kept.seen):
        return _ordered(_rows(conn, query, by, params), order)  # of a moment before the one that is remembered
    if kept is None:
        frame = _ordered(_rows(conn, query, by, params), order)
    elif touched:
        some = _rows(conn, query, by, params, touched)
        rest = kept.frame[~kept.frame["part"].isin(touched)]
        filled = [each for each in (rest, some) if len(each)] or [rest]
        frame = _ordered(pd.concat(filled, ignore_index=True), order)
    else:
        frame = kept.frame
    if not now.writes:  # else it may be of changes that nobody else sees, or ever will
        _keep(key, _Kept(frame, now.seen, now.data, kept.since if kept else monotonic()))
    return frame.copy(deep=False)


def forget() -> None:
    """Remember nothing of before, as a process that has just begun."""
    with _lock:
        _kept.clear()


def _rows(
    conn: sa.Connection, query: str, by: str, params: Mapping[str, Any], parts: Collection[str] | None = None
) -> pd.DataFrame:
    """The rows of some parts; None: of all."""
    values: dict[str, Any] = dict(params)
    if parts is None:
        conn.execute(sa.text("SET LOCAL work_mem = '64MB'"))  # a whole company is sorted in memory
    elif by == "month":
        months = [period_of("month", date.fromisoformat(part).toordinal()) for part in parts]
        values["parts"] = [date.fromordinal(day) for month in months for day in range(month.start, month.end)]
    else:
        values["parts"] = [int(part) for part in parts]
    text = query.replace("<part>", "true" if parts is None else _SOME[by])
    text = text.replace("<entries>", "true" if parts is None else _ENTRIES)
    return pd.read_sql(sa.text(text), conn, params=values)


def _ordered(frame: pd.DataFrame, order: Sequence[str]) -> pd.DataFrame:
    return frame.sort_values(list(order), kind="stable", ignore_index=True)


def _saw(snapshot: str, earlier: str) -> bool:
    """Whether who has the snapshot sees everything that was seen with the earlier one."""
    (_, end, running), (_, earlier_end, earlier_running) = (each.split(":") for each in (snapshot, earlier))
    unseen = {int(each) for each in running.split(",") if each and int(each) < int(earlier_end)}
    return int(earlier_end) <= int(end) and unseen <= {int(each) for each in earlier_running.split(",") if each}


def _keep(key: Hashable, value: _Kept) -> None:
    with _lock:
        _kept[key] = value
        _kept.move_to_end(key)
        weight = sum(each.frame.size + 100 for each in _kept.values())
        while weight > AT_MOST and len(_kept) > 1:
            weight -= _kept.popitem(last=False)[1].frame.size + 100

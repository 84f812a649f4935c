"""Activities as frames for the screens: the filtered list, and what each person did beside what it brought."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

import pandas as pd
import sqlalchemy as sa

from engine.analytics import conversion, parts
from engine.db import structure
from engine.errors import QuotaPathError


@dataclass(frozen=True)
class ActivityFilters:
    """Which activities; a field left empty does not filter.

    ``text`` is looked for in subject, account and details; ``account`` is the beginning of the account's name, in
    whatever case.  ``[since, until)`` holds the day (UTC) of the activity.  ``team_id``: of someone who is in the team,
    or below it, today.  ``open_tasks``: only tasks that are not done.
    """

    text: str = ""
    kinds: tuple[str, ...] = ()
    user_id: int | None = None
    team_id: int | None = None
    deal_id: int | None = None
    account: str = ""
    since: date | None = None
    until: date | None = None
    open_tasks: bool = False


@dataclass(frozen=True)
class Page:
    """One page of a list: ``number`` counts from 1, ``sort`` is one of `SORTS`."""

    number: int = 1
    size: int = 50
    sort: str = "happened_at"
    descending: bool = True


@dataclass(frozen=True)
class ActivityPage:
    """``frame``: the activities of the page; ``kinds``: how many match, by kind.

    ``open_tasks`` and ``overdue`` are how many of these are tasks that are not done, and late.
    The frame has id, version, kind, subject, details, account, deal_id (Int64), deal, user_id, person, happened_at,
    due_on, done_at.
    """

    frame: pd.DataFrame
    kinds: Mapping[str, int]
    open_tasks: int
    overdue: int

    @property
    def total(self) -> int:
        """How many match."""
        return sum(self.kinds.values())


SORTS = {
    "happened_at": "a.happened_at",
    "due_on": "a.due_on",
    "person": "u.name",
    "account": "lower(a.account)",
    "kind": "a.kind",
}
_JOINS = {"person": "JOIN users u ON u.id = a.user_id"}

# Parameters are sent as literals, so the planner drops the conditions whose filter is NULL.
_WHERE = """
     WHERE (CAST(:people AS bigint[]) IS NULL OR a.user_id = ANY(:people)
            OR a.deal_id IN (SELECT id FROM deals WHERE owner_id = ANY(:people)
                             UNION ALL SELECT deal_id FROM deal_credits WHERE user_id = ANY(:people)))
       AND (CAST(:team AS bigint[]) IS NULL OR a.user_id = ANY(:team))
       AND (CAST(:pattern AS text) IS NULL OR (a.subject || ' ' || a.account || ' ' || a.details) ILIKE :pattern)
       AND (CAST(:kinds AS text[]) IS NULL OR a.kind = ANY(:kinds))
       AND (CAST(:user_id AS bigint) IS NULL OR a.user_id = :user_id)
       AND (CAST(:deal_id AS bigint) IS NULL OR a.deal_id = :deal_id)
       AND (CAST(:account AS text) IS NULL OR lower(a.account) LIKE :account)
       AND (CAST(:since AS date) IS NULL OR a.happened_at >= CAST(:since AS date))
       AND (CAST(:until AS date) IS NULL OR a.happened_at < CAST(:until AS date))
       AND (NOT :open_tasks OR (a.kind = 'task' AND a.done_at IS NULL))
"""
# One page of activities; <join>, <where> and <order> are replaced by text of this module.  The ids are found first,
# so that the rows before the page are only counted.
_LIST = """
    SELECT a.id, a.version, a.kind, a.subject, a.details, a.account, a.deal_id, d.name AS deal, a.user_id,
           u.name AS person, a.happened_at, a.due_on, a.done_at
      FROM (SELECT a.id FROM activities a <join> <where> ORDER BY <order> LIMIT :limit OFFSET :offset) page
      JOIN activities a USING (id) JOIN users u ON u.id = a.user_id LEFT JOIN deals d ON d.id = a.deal_id
     ORDER BY <order>
"""
_TOTALS = """
    SELECT a.kind, count(*) AS activities,
           count(*) FILTER (WHERE a.kind = 'task' AND a.done_at IS NULL) AS open_tasks,
           count(*) FILTER (WHERE a.kind = 'task' AND a.done_at IS NULL AND a.due_on < :today) AS overdue
      FROM activities a <where> GROUP BY a.kind
"""


def page_of_activities(
    conn: sa.Connection, filters: ActivityFilters, page: Page, people: frozenset[int] | None, today: date
) -> ActivityPage:
    """The page of activities that match: those of ``people`` (None: anyone), and on deals that they own or share."""
    params = _parameters(conn, filters, people, today)
    totals = conn.execute(sa.text(_TOTALS.replace("<where>", _WHERE)), params).all()
    total = sum(row.activities for row in totals)
    last = max(1, -(-total // page.size))
    offset = (min(max(page.number, 1), last) - 1) * page.size
    return ActivityPage(
        _read(conn, page, params, page.size, offset),
        {row.kind: row.activities for row in totals},
        sum(row.open_tasks for row in totals),
        sum(row.overdue for row in totals),
    )


def activities_after(
    conn: sa.Connection,
    filters: ActivityFilters,
    after: tuple[datetime, int] | None,
    size: int,
    people: frozenset[int] | None,
    today: date,
) -> pd.DataFrame:
    """The next ``size`` activities that match, the latest first, after one of that moment and id."""
    params = _parameters(conn, filters, people, today)
    if after is None:
        return _read(conn, Page(), params, size, 0)
    place = {"after_at": after[0], "after_id": after[1]}
    return _read(conn, Page(), params | place, size, 0, _WHERE + " AND (a.happened_at, a.id) < (:after_at, :after_id)")


def all_activities(
    conn: sa.Connection, filters: ActivityFilters, page: Page, people: frozenset[int] | None, today: date
) -> pd.DataFrame:
    """Every activity that matches, in the page's order, for an export."""
    return _read(conn, page, _parameters(conn, filters, people, today), None, 0)


def _read(
    conn: sa.Connection, page: Page, params: dict[str, Any], limit: int | None, offset: int, where: str = _WHERE
) -> pd.DataFrame:
    if page.sort not in SORTS:
        raise QuotaPathError(f"Activities cannot be sorted by {page.sort!r}. Use one of {', '.join(SORTS)}.")
    way = "DESC" if page.descending else "ASC"
    query = (
        _LIST.replace("<join>", _JOINS.get(page.sort, ""))
        .replace("<where>", where)
        .replace(
            "<order>",
            f"{SORTS[page.sort]} {way} NULLS LAST, a.id {way}"
            if page.sort == "due_on"
            else f"{SORTS[page.sort]} {way}, a.id {way}",
        )
    )
    found = conn.execute(sa.text(query), params | {"limit": limit, "offset": offset})
    frame = pd.DataFrame(found.all(), columns=list(found.keys()), dtype=object)
    return frame.astype({"id": "int64", "version": "int64", "user_id": "int64", "deal_id": "Int64"})


def _parameters(
    conn: sa.Connection, filters: ActivityFilters, people: frozenset[int] | None, today: date
) -> dict[str, Any]:
    params: dict[str, Any] = asdict(filters) | {"today": today}
    team = params.pop("team_id")
    params["team"] = None if team is None else sorted(structure.people_in(conn, team, today))
    params["people"] = None if people is None else sorted(people)
    text = _escaped(params.pop("text"))
    params["pattern"] = f"%{text}%" if text else None
    account = _escaped(params["account"]).lower()
    params["account"] = f"{account}%" if account else None
    params["kinds"] = list(params["kinds"]) or None
    return params


def _escaped(text: str) -> str:
    return " ".join(text.replace("\0", " ").split()).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


# The deals to log something on: what is typed, or else the open ones, the next to close first.
_DEALS = sa.text("""
    SELECT d.id, d.name, d.account
      FROM deals d JOIN pipeline_stages s ON s.id = d.stage_id
     WHERE (CAST(:people AS bigint[]) IS NULL OR d.owner_id = ANY(:people)
            OR d.id = ANY(ARRAY(SELECT deal_id FROM deal_credits WHERE user_id = ANY(:people))))
       AND CASE WHEN CAST(:pattern AS text) IS NULL THEN s.outcome = 'open' AND d.owner_id = ANY(:own)
                ELSE (d.name || ' ' || d.account || ' ' || d.external_id) ILIKE :pattern END
     ORDER BY s.outcome <> 'open', d.close_date, d.id LIMIT :limit
""")


def deals_matching(
    conn: sa.Connection, text: str, people: frozenset[int] | None, own: int | None, limit: int
) -> list[tuple[int, str, str]]:
    """(id, name, account) of deals of ``people`` with the text in name, account or id; else the open of ``own``."""
    found = _escaped(text)
    values = {"pattern": f"%{found}%" if found else None, "own": [own], "limit": limit}
    query = conn.execute(_DEALS, values | {"people": None if people is None else sorted(people)})
    return [(row.id, row.name, row.account) for row in query]


# ---------------------------------------------------------------- beside results
# What each person did in the span; a task counts on the day it was done.
_DONE = sa.text("""
    SELECT user_id, count(*) FILTER (WHERE kind = 'call') AS calls, count(*) FILTER (WHERE kind = 'email') AS mails,
           count(*) FILTER (WHERE kind = 'meeting') AS meetings, count(*) FILTER (WHERE kind = 'note') AS notes,
           count(*) FILTER (WHERE kind = 'task') AS tasks
      FROM (SELECT user_id, kind FROM activities
             WHERE kind <> 'task' AND happened_at >= CAST(:start AS date) AND happened_at < CAST(:end AS date)
            UNION ALL
            SELECT user_id, kind FROM activities
             WHERE kind = 'task' AND done_at >= CAST(:start AS date) AND done_at < CAST(:end AS date)) done
     WHERE CAST(:people AS bigint[]) IS NULL OR user_id = ANY(:people)
     GROUP BY user_id
""")
_AMOUNT = conversion.converted("d.amount", "d.currency", "d.close_date")
# What each person won in the span, with the share of credit; a refund lowers the amount and is not a deal won.
_WON = f"""
    SELECT {parts.PART["month"]} AS part, coalesce(k.user_id, d.owner_id) AS user_id,
           count(*) FILTER (WHERE coalesce(d.amount, 0) >= 0) AS deals,
           CAST(coalesce(sum(CASE WHEN k.deal_id IS NULL THEN {_AMOUNT}
                                  ELSE CAST(round({_AMOUNT} * (k.share_ppm / 1000000.0)) AS bigint) END), 0) AS bigint)
               AS amount
      FROM {parts.theirs("CAST(:people AS bigint[])")} JOIN pipeline_stages s ON s.id = d.stage_id
      LEFT JOIN deal_credits k ON k.deal_id = d.id
     WHERE s.outcome = 'won' AND d.close_date >= :start AND d.close_date < :end
       AND (CAST(:people AS bigint[]) IS NULL OR coalesce(k.user_id, d.owner_id) = ANY(:people))
     GROUP BY 1, 2
"""  # noqa: S608 - text of this module

COUNTS = ("calls", "mails", "meetings", "notes", "tasks", "deals", "amount")


def beside_results(
    conn: sa.Connection, people: frozenset[int] | None, start: date, end: date, currency: str
) -> pd.DataFrame:
    """What ``people`` (None: everyone) did and won in ``[start, end)``, by user id: `COUNTS`.

    ``tasks`` are those done, ``deals`` and ``amount`` (minor units of ``currency``, by share of credit) what was won.
    """
    values: dict[str, Any] = {"start": start, "end": end, "people": None if people is None else sorted(people)}
    done = pd.read_sql(_DONE, conn, params=values, index_col="user_id")
    asked = values | conversion.parameters(conn, currency)
    won = parts.read(conn, _WON, asked, "month", ("part", "user_id")).groupby("user_id")[["deals", "amount"]].sum()
    return done.join(won, how="outer").reindex(columns=list(COUNTS)).fillna(0).astype("int64")

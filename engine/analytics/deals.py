"""Deals as frames for the screens: the filtered list, its totals, one deal's history and earnings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
import sqlalchemy as sa

from engine.analytics import behind as drill
from engine.analytics.behind import Behind
from engine.analytics.remembered import Remembered
from engine.db import audit, bulk
from engine.errors import QuotaPathError
from engine.money import format_money, format_rate

OUTCOMES = ("open", "won", "lost", "cancelled")


@dataclass(frozen=True)
class FieldFilter:
    """What an extra field must hold: ``text`` somewhere in it, one of ``values``, or a number or date in a range.

    ``low`` and ``high`` are included; a value that is no number (no date) lies in no range.
    """

    name: str
    text: str = ""
    values: tuple[str, ...] = ()
    low: Decimal | date | None = None
    high: Decimal | date | None = None


@dataclass(frozen=True)
class DealFilters:
    """Which deals; a field left empty does not filter.

    ``text`` is looked for in name, account and external id.  Close dates are ``[closed_from, closed_until)``.
    Amounts are cents of the company's currency, both ends included; deals in another currency do not
    match them.  ``team_id``: deals owned or shared by someone who is in the team, or below it, today.
    ``outcome``: one of `OUTCOMES`; a won deal that was cancelled is ``cancelled``.  ``behind``: those behind a mark of
    a chart.
    """

    text: str = ""
    owner_id: int | None = None
    team_id: int | None = None
    stage_ids: tuple[int, ...] = ()
    outcome: str = ""
    types: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    closed_from: date | None = None
    closed_until: date | None = None
    amount_from: int | None = None
    amount_to: int | None = None
    extra: tuple[FieldFilter, ...] = ()
    behind: Behind = field(default_factory=Behind)


@dataclass(frozen=True)
class Page:
    """One page of a list: ``number`` counts from 1, ``sort`` is one of `SORTS`."""

    number: int = 1
    size: int = 50
    sort: str = "close_date"
    descending: bool = True


@dataclass(frozen=True)
class DealPage:
    """``frame``: the deals of the page; ``total``: how many match; ``totals``: outcome, currency, deals, amount.

    The frame has id, source, external_id, name, account, owner_id, owner, stage_id, stage, outcome, amount
    (cents, Int64, may be missing), currency, close_date, created_date, type, product, segment, cancelled_on,
    version, extra (a dict) and credited (names and shares where a deal is split).
    """

    frame: pd.DataFrame
    total: int
    totals: pd.DataFrame


SORTS = {
    "close_date": "d.close_date",
    "amount": "d.amount",
    "name": "d.name",
    "account": "d.account",
    "owner": "o.place",
    "stage": "p.position",
    "type": "d.type",
    "external_id": "d.external_id",
}
_JOINS = {
    # Places are compared faster than names.
    "owner": "JOIN (SELECT id, rank() OVER (ORDER BY name) AS place FROM users) o ON o.id = d.owner_id",
    "stage": "JOIN pipeline_stages p ON p.id = d.stage_id",
}

_FIRST = 1000  # deals at the start of an order that are found together
_FETCHED = 5000  # rows from a cursor of the server at a time
_known = Remembered(8_000_000, "deals")  # ids of deals, 8 bytes each
_TYPES = {"id": "int64", "owner_id": "int64", "stage_id": "int64", "version": "int64", "amount": "Int64"}

# A condition for each filter; only those that are asked for are in the query, so that the planner sees it as it is.
_WHERE = {
    "people": """(d.owner_id = ANY(:people)
                  OR d.id = ANY(ARRAY(SELECT deal_id FROM deal_credits WHERE user_id = ANY(:people))))""",
    "pattern": "(d.name || ' ' || d.account || ' ' || d.external_id) ILIKE :pattern",
    "owner_id": "d.owner_id = :owner_id",
    "stage_ids": "d.stage_id = ANY(:stage_ids)",
    "outcome": """d.cancelled_on IS NULL
                  AND d.stage_id = ANY(ARRAY(SELECT id FROM pipeline_stages WHERE outcome = :outcome))""",
    "cancelled": "d.cancelled_on IS NOT NULL",
    "types": "d.type = ANY(:types)",
    "products": "d.product = ANY(:products)",
    "closed_from": "d.close_date >= :closed_from",
    "closed_until": "d.close_date < :closed_until",
    "amount_from": "d.amount >= :amount_from AND d.currency = :currency",
    "amount_to": "d.amount <= :amount_to AND d.currency = :currency",
}
# A condition on an extra field, by what is asked of it; <n> is the place of the filter.
_FIELD = {
    "text": "d.extra ->> :field<n> ILIKE :field_text<n>",
    "values": "d.extra ->> :field<n> = ANY(:field_values<n>)",
    "number": """
        CASE WHEN d.extra ->> :field<n> ~ '^[+-]?[0-9]+([.][0-9]+)?$' THEN CAST(d.extra ->> :field<n> AS numeric) END
        BETWEEN coalesce(CAST(:field_low<n> AS numeric), '-Infinity')
            AND coalesce(CAST(:field_high<n> AS numeric), 'Infinity')
    """,
    "date": """
        CASE WHEN d.extra ->> :field<n> ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$' THEN d.extra ->> :field<n> END COLLATE "C"
        BETWEEN coalesce(CAST(:field_low<n> AS text), '0') AND coalesce(CAST(:field_high<n> AS text), '9')
    """,
}
# The ids in an order, up to a limit; <join>, <where>, <key> and <way> are replaced by text of this module.
_IDS = "SELECT d.id FROM deals d <join> <where> ORDER BY <key> <way>, d.id <direction> LIMIT :limit"
# The same for few deals among many: found first and then sorted, as the planner would rather walk an index and wait for
# those that match.
_IDS_OF_FEW = """
    WITH found AS MATERIALIZED (SELECT d.id, <key> AS key FROM deals d <join> <where>)
    SELECT id FROM found ORDER BY key <way>, id <direction> LIMIT :limit
"""
# Deals as a page shows them; <which> names them.
_LIST = """
    SELECT d.id, d.source, d.external_id, d.name, d.account, d.owner_id, u.name AS owner, d.stage_id,
           s.name AS stage, CASE WHEN d.cancelled_on IS NULL THEN s.outcome ELSE 'cancelled' END AS outcome,
           d.amount, d.currency, d.close_date, d.created_date, d.type, d.product, d.segment, d.cancelled_on, d.version,
           d.extra,
           (SELECT string_agg(cu.name || ' ' || trim_scale(c.share_ppm / 10000.0) || '%', ', '
                              ORDER BY c.share_ppm DESC, cu.name)
              FROM deal_credits c JOIN users cu ON cu.id = c.user_id WHERE c.deal_id = d.id) AS credited
      FROM deals d JOIN users u ON u.id = d.owner_id JOIN pipeline_stages s ON s.id = d.stage_id
    <which>
"""
# How many deals match, and their money, by outcome and currency.
_TOTALS = """
    SELECT CASE WHEN g.cancelled THEN 'cancelled' ELSE s.outcome END AS outcome, g.currency,
           sum(g.deals)::bigint AS deals, coalesce(sum(g.amount), 0)::bigint AS amount
      FROM (SELECT d.stage_id, d.cancelled_on IS NOT NULL AS cancelled, d.currency,
                   count(*) AS deals, sum(d.amount) AS amount
              FROM deals d <where>
             GROUP BY 1, 2, 3) g JOIN pipeline_stages s ON s.id = g.stage_id
     GROUP BY 1, 2 ORDER BY 1, 2
"""


def people_in_team(conn: sa.Connection, team_id: int, on: date) -> frozenset[int]:
    """The user ids of a team and of all teams below it on a day: members and managers."""
    return frozenset(
        conn.scalars(
            sa.text("""
                WITH RECURSIVE inside(team_id) AS (
                    SELECT CAST(:team AS bigint)
                    UNION
                    SELECT s.team_id FROM team_structure s JOIN inside ON s.parent_id = inside.team_id
                     WHERE s.start_date <= :day AND (s.end_date IS NULL OR s.end_date > :day)
                )
                SELECT m.user_id FROM team_members m JOIN inside USING (team_id)
                 WHERE m.start_date <= :day AND (m.end_date IS NULL OR m.end_date > :day)
                UNION
                SELECT s.manager_id FROM team_structure s JOIN inside USING (team_id)
                 WHERE s.manager_id IS NOT NULL
                   AND s.start_date <= :day AND (s.end_date IS NULL OR s.end_date > :day)
            """),
            {"team": team_id, "day": on},
        )
    )


def page_of_deals(
    conn: sa.Connection, filters: DealFilters, page: Page, people: frozenset[int] | None, on: date, currency: str
) -> DealPage:
    """The page of deals that match, among those that ``people`` (None: anyone) own or share."""
    where, params = _conditions(conn, filters, people, on, currency)
    version = audit.data_version(conn)
    asked = (where, repr(sorted(params.items())))
    totals = _known.get(conn, version, asked, lambda: _totals(conn, where, params), lambda _: 100)
    total = int(totals["deals"].sum())
    last = max(1, -(-total // page.size))
    end = min(max(page.number, 1), last) * page.size
    order = (page.sort, page.descending)
    # The first pages come from the start of the order, later ones from all of it: found once, a page is a slice.
    limit = _FIRST if end <= _FIRST else None
    ids = _known.get(conn, version, (*asked, *order, limit), lambda: _ids(conn, page, where, params, limit), len)
    return DealPage(_rows(conn, ids["id"].iloc[end - page.size : end].tolist()), total, totals)


@dataclass(frozen=True)
class NextDeals:
    """``rows``: as those of a `DealPage`, by name of the column; ``total``: how many match in all."""

    rows: Sequence[Mapping[str, Any]]
    total: int


@dataclass(frozen=True)
class After:
    """A place in the list of deals by close date, the latest first: after the deal of that date and id."""

    close_date: date
    deal_id: int


def deals_after(
    conn: sa.Connection,
    filters: DealFilters,
    after: After | None,
    size: int,
    people: frozenset[int] | None,
    on: date,
    currency: str,
) -> NextDeals:
    """The next ``size`` deals that match, the latest close date first; what comes or goes meanwhile shifts nothing."""
    where, params = _conditions(conn, filters, people, on, currency)
    asked = (where, repr(sorted(params.items())))
    totals = _known.get(conn, audit.data_version(conn), asked, lambda: _totals(conn, where, params), lambda _: 100)
    if after is not None:
        where += (" AND " if where else "WHERE ") + "(d.close_date, d.id) < (:after_date, :after_id)"
        params |= {"after_date": after.close_date, "after_id": after.deal_id}
    page = Page(size=size)
    ids = _filled(_ids_query(params), page, where)
    query = sa.text(_LIST.replace("<which>", f"WHERE d.id = ANY(ARRAY({ids})) ORDER BY d.close_date DESC, d.id DESC"))
    rows = [row._asdict() for row in conn.execute(query, params | {"limit": size})]
    return NextDeals(rows, int(totals["deals"].sum()))


def _totals(conn: sa.Connection, where: str, params: dict[str, Any]) -> pd.DataFrame:
    return pd.read_sql(sa.text(_TOTALS.replace("<where>", where)), conn, params=params, coerce_float=False)


def _ids_query(params: Mapping[str, Any]) -> str:
    few = params["people"] is not None or params["pattern"] is not None or "today" in params
    return _IDS_OF_FEW if few else _IDS


def _ids(conn: sa.Connection, page: Page, where: str, params: dict[str, Any], limit: int | None) -> pd.DataFrame:
    query = _filled(_ids_query(params), page, where)
    asked = sa.text(query).compile(dialect=conn.dialect)
    rows = bulk.read_columns(conn, str(asked), params | {"limit": limit}, {"id": pa.int64()})
    return pd.DataFrame({"id": rows["id"].to_numpy()}, dtype="int64")


def _rows(conn: sa.Connection, ids: list[int]) -> pd.DataFrame:
    """The deals of these ids, in that order."""
    found = conn.execute(sa.text(_LIST.replace("<which>", "WHERE d.id = ANY(:ids)")), {"ids": ids})
    by_id = {row.id: row for row in found}
    # Not by read_sql: one missing amount would make floats of all the others.
    frame = pd.DataFrame([by_id[each] for each in ids], columns=list(found.keys()), dtype=object)
    return frame.astype(_TYPES).infer_objects()


def all_deals(
    conn: sa.Connection, filters: DealFilters, page: Page, people: frozenset[int] | None, on: date, currency: str
) -> Iterator[Mapping[str, Any]]:
    """Every deal that matches, in the page's order, with the columns of a page's frame; for an export.

    They are fetched through a cursor of the server, so that a million of them do not lie in memory.
    """
    where, params = _conditions(conn, filters, people, on, currency)
    query = sa.text(
        _filled(_LIST.replace("<which>", "<join> <where> ORDER BY <key> <way>, d.id <direction>"), page, where)
    )
    found = conn.execute(query.execution_options(yield_per=_FETCHED), params)
    yield from (row._asdict() for row in found)


def matching(conn: sa.Connection, filters: DealFilters, on: date, currency: str) -> tuple[str, dict[str, Any]]:
    """A query for the ids of all deals that match, and its parameters."""
    where, params = _conditions(conn, filters, None, on, currency)
    return f"SELECT d.id FROM deals d {where}", params  # noqa: S608 - conditions of this module


def _filled(query: str, page: Page, where: str) -> str:
    """The query with the page's order and conditions in it."""
    if page.sort not in SORTS:
        raise QuotaPathError(f"Deals cannot be sorted by {page.sort!r}. Use one of {', '.join(SORTS)}.")
    direction = "DESC" if page.descending else "ASC"
    # A deal without an amount is the smallest, whichever way one looks.
    nulls = {"DESC": " NULLS LAST", "ASC": " NULLS FIRST"}[direction] if page.sort == "amount" else ""
    for mark, text in (
        ("<join>", _JOINS.get(page.sort, "")),
        ("<where>", where),
        ("<key>", SORTS[page.sort]),
        ("<way>", direction + nulls),
        ("<direction>", direction),
    ):
        query = query.replace(mark, text)
    return query


def _conditions(
    conn: sa.Connection, filters: DealFilters, people: frozenset[int] | None, on: date, currency: str
) -> tuple[str, dict[str, Any]]:
    """The WHERE of the deals that match, and its parameters."""
    params: dict[str, Any] = asdict(filters) | {"currency": currency}
    team = params.pop("team_id")
    if team is not None:
        inside = people_in_team(conn, team, on)
        people = inside if people is None else people & inside
    params["people"] = None if people is None else sorted(people)
    text = " ".join(params.pop("text").split())
    params["pattern"] = _pattern(text) if text else None
    params["cancelled"] = params["outcome"] == "cancelled" or None
    params["outcome"] = None if params["cancelled"] else params["outcome"] or None
    for name in ("stage_ids", "types", "products"):
        params[name] = list(params[name]) or None
    del params["extra"], params["behind"]
    asked_for = [condition for name, condition in _WHERE.items() if params[name] is not None]
    for place, own in enumerate(filters.extra):
        ranged = own.low if own.low is not None else own.high
        asked = "text" if own.text else "values" if own.values else "date" if isinstance(ranged, date) else "number"
        asked_for.append(_FIELD[asked].replace("<n>", str(place)))
        params |= {
            f"field{place}": own.name,
            f"field_text{place}": _pattern(own.text),
            f"field_values{place}": list(own.values),
            f"field_low{place}": own.low,
            f"field_high{place}": own.high,
        }
    more, values = drill.conditions(filters.behind, on)
    asked_for += more
    params |= values
    return "WHERE " + " AND ".join(asked_for) if asked_for else "", params


def _pattern(text: str) -> str:
    """An ILIKE pattern for the text somewhere."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


# ---------------------------------------------------------------- choices for filters and forms
# The distinct values of an indexed column, jumping from one to the next instead of reading every deal.
_DISTINCT = """
    WITH RECURSIVE found(value) AS (
        (SELECT min(<column>) FROM deals)
        UNION ALL
        SELECT (SELECT min(<column>) FROM deals WHERE <column> > found.value) FROM found WHERE found.value IS NOT NULL
    )
    SELECT value FROM found WHERE value <> '' ORDER BY 1 LIMIT 200
"""


def distinct_values(conn: sa.Connection, column: str) -> list[str]:
    """The values that ``column`` (``type`` or ``product``) has, the first 200."""
    if column not in ("type", "product"):
        raise ValueError(column)
    return list(conn.scalars(sa.text(_DISTINCT.replace("<column>", column))))


def stages(conn: sa.Connection) -> pd.DataFrame:
    """The pipeline in order: id, name, outcome, probability_ppm; a retired stage only while deals stand in it."""
    query = """
        SELECT id, name, outcome, probability_ppm FROM pipeline_stages s
         WHERE retired_at IS NULL OR EXISTS (SELECT FROM deals WHERE stage_id = s.id) ORDER BY position
    """
    return pd.read_sql(sa.text(query), conn)


def people(conn: sa.Connection, among: frozenset[int] | None) -> pd.DataFrame:
    """Users by name: id, name, email, is_active; ``among`` None means all."""
    query = """
        SELECT id, name, email, is_active FROM users
         WHERE CAST(:among AS bigint[]) IS NULL OR id = ANY(:among) ORDER BY name, id
    """
    return pd.read_sql(sa.text(query), conn, params={"among": None if among is None else sorted(among)})


# ---------------------------------------------------------------- one deal
_LABELS = {
    "owner_id": "Owner", "stage_id": "Stage", "amount": "Amount", "margin": "Margin", "currency": "Currency",
    "quantity_micro": "Quantity", "close_date": "Close date", "created_date": "Created date",
    "name": "Name", "account": "Account", "type": "Type", "product": "Product", "segment": "Segment",
    "term_months": "Term in months", "cancelled_on": "Cancelled on", "credits": "Credits", "created": "Created",
}  # fmt: skip


def called(conn: sa.Connection, owner_id: int, stage_id: int) -> tuple[str, str, str]:
    """The names of an owner and a stage, and the stage's outcome."""
    query = """
        SELECT u.name, s.name, s.outcome FROM users u, pipeline_stages s WHERE u.id = :owner_id AND s.id = :stage_id
    """
    owner, stage, outcome = conn.execute(sa.text(query), {"owner_id": owner_id, "stage_id": stage_id}).one()
    return owner, stage, outcome


@dataclass(frozen=True)
class Names:
    """What user and stage ids are called."""

    users: Mapping[int, str]
    stages: Mapping[int, str]


def names(conn: sa.Connection) -> Names:
    """The names of all users and stages."""
    users, stage_names = (
        {row.id: row.name for row in conn.execute(sa.text(query))}
        for query in ("SELECT id, name FROM users", "SELECT id, name FROM pipeline_stages")
    )
    return Names(users, stage_names)


def described(
    changes: Mapping[str, Sequence[Any]], names: Names, before_currency: str, after_currency: str
) -> list[tuple[str, str, str]]:
    """(field, before, after) as text, for changes as ``deal_changes`` keeps them."""
    pairs = {name: pair for name, pair in changes.items() if name != "extra"}
    old, new = changes.get("extra", ({}, {}))
    pairs |= {name: (old.get(name), new.get(name)) for name in sorted({*old, *new}) if old.get(name) != new.get(name)}
    return [
        (
            _LABELS.get(name, name),
            _shown(name, before, names, before_currency),
            _shown(name, after, names, after_currency),
        )
        for name, (before, after) in pairs.items()
    ]


def history(conn: sa.Connection, deal_id: int, currency: str) -> pd.DataFrame:
    """Every change of a deal, the latest first: at, who, via (file or edit), field, before, after (texts).

    ``currency`` is the deal's own today; earlier amounts are shown in the currency they had.
    """
    rows = conn.execute(
        sa.text("""
            SELECT c.at, coalesce(u.name, 'The program') AS who, c.changes,
                   coalesce(i.filename, 'edit ' || c.edit_id || CASE e.kind WHEN 'undo' THEN ' (undo)' ELSE '' END,
                            '') AS via
              FROM deal_changes c LEFT JOIN users u ON u.id = c.user_id LEFT JOIN imports i ON i.id = c.import_id
              LEFT JOIN deal_edits e ON e.id = c.edit_id
             WHERE c.deal_id = :id ORDER BY c.at DESC, c.id DESC
        """),
        {"id": deal_id},
    ).all()
    known = names(conn)
    found = []
    for row in rows:
        before_currency = row.changes.get("currency", [currency])[0]
        found += [
            (row.at, row.who, row.via, *texts) for texts in described(row.changes, known, before_currency, currency)
        ]
        currency = before_currency
    return pd.DataFrame(found, columns=["at", "who", "via", "field", "before", "after"])


def _shown(name: str, value: Any, names: Names, currency: str) -> str:
    if value is None or value == "":
        return "–"
    if name in ("amount", "margin"):
        return f"{format_money(value, currency, thousands=True)} {currency}"
    if name == "quantity_micro":
        return number_text(value)
    if name == "owner_id":
        return names.users.get(value, f"user {value}")
    if name == "stage_id":
        return names.stages.get(value, f"stage {value}")
    if name == "credits":
        parts = [f"{names.users.get(int(user), f'user {user}')} {format_rate(ppm)}" for user, ppm in value.items()]
        return ", ".join(parts) or "the owner alone"
    return str(value)


def number_text(micro: int) -> str:
    """A number in millionths as one writes it: 2500000 is ``"2.5"``."""
    whole, rest = divmod(abs(micro), 1_000_000)
    return ("-" if micro < 0 else "") + f"{whole}.{rest:06d}".rstrip("0").rstrip(".")


def stage_entries(conn: sa.Connection, deal_id: int) -> pd.DataFrame:
    """The deal's passage through the pipeline, the first stage first: stage, outcome, entered_at."""
    query = """
        SELECT s.name AS stage, s.outcome, e.entered_at
          FROM deal_stage_entries e JOIN pipeline_stages s ON s.id = e.stage_id
         WHERE e.deal_id = :id ORDER BY e.entered_at, s.position
    """
    return pd.read_sql(sa.text(query), conn, params={"id": deal_id})


def lines_on(conn: sa.Connection, deal_id: int, people: frozenset[int] | None) -> pd.DataFrame:
    """What people (None: anyone) earn on a deal, by each period's run: id, code, person, period, amount, ..."""
    query = """
        SELECT l.id, u.code, u.name AS person, l.period, l.component, l.kind, l.amount, l.currency, p.status
          FROM lines l JOIN pay_periods p ON p.run_id = l.run_id AND p.period = l.period
          JOIN users u ON u.id = l.user_id
         WHERE l.deal_id = :id AND (CAST(:people AS bigint[]) IS NULL OR l.user_id = ANY(:people))
         ORDER BY l.period, u.name, l.id
    """
    return pd.read_sql(
        sa.text(query), conn, params={"id": deal_id, "people": None if people is None else sorted(people)}
    )

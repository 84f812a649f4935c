"""Quotas: one amount for a person, a period and a component of their plan ("": every component)."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa

from engine.periods import parse_period

Key = tuple[int, str]  # user id, period


@dataclass(frozen=True)
class QuotaCell:
    """A person's quota for one period; `amount` in minor units of `currency`."""

    user_id: int
    period: str
    amount: int
    currency: str


@dataclass(frozen=True)
class QuotaChange:
    """One change of one quota as the audit log has it; None: there was, or is, no quota."""

    at: datetime
    changed_by: str
    user_id: int
    person: str
    period: str
    component: str
    before: int | None
    after: int | None
    currency: str
    how: str


def cells(conn: sa.Connection, periods: Sequence[str], component: str = "") -> list[QuotaCell]:
    """The quotas of these periods for a component."""
    query = """
        SELECT user_id, period, amount, currency FROM quotas WHERE component = :component AND period = ANY(:periods)
    """
    return [QuotaCell(*row) for row in conn.execute(sa.text(query), {"component": component, "periods": list(periods)})]


def periods_between(conn: sa.Connection, start: date, end: date, component: str = "") -> list[str]:
    """The names of the periods that begin in ``[start, end)`` and have a quota for the component."""
    query = """
        SELECT DISTINCT period FROM quotas
         WHERE component = :component AND start_date >= :start AND start_date < :end ORDER BY period
    """
    return list(conn.scalars(sa.text(query), {"component": component, "start": start, "end": end}))


def components(conn: sa.Connection, user_ids: Collection[int] | None) -> list[str]:
    """The components for which anyone (or one of some people) has a quota of their own, by id."""
    query = """
        SELECT DISTINCT component FROM quotas
         WHERE component <> '' AND (:everyone OR user_id = ANY(:users)) ORDER BY component
    """
    return list(conn.scalars(sa.text(query), {"everyone": user_ids is None, "users": list(user_ids or ())}))


def put(conn: sa.Connection, found: Iterable[QuotaCell], component: str) -> None:
    """Set quotas, each new or in place of what there is."""
    rows = list(found)
    bounds = {row.period: parse_period(row.period) for row in rows}
    query = """
        INSERT INTO quotas (user_id, component, period, start_date, end_date, amount, currency)
        SELECT user_id, :component, period, start_date, end_date, amount, currency
          FROM unnest(CAST(:users AS bigint[]), CAST(:periods AS text[]), CAST(:starts AS date[]),
                      CAST(:ends AS date[]), CAST(:amounts AS bigint[]), CAST(:currencies AS text[]))
            AS given (user_id, period, start_date, end_date, amount, currency)
        ON CONFLICT (user_id, component, period) DO UPDATE SET amount = EXCLUDED.amount, currency = EXCLUDED.currency
    """
    values = {
        "component": component,
        "users": [row.user_id for row in rows],
        "periods": [row.period for row in rows],
        "starts": [bounds[row.period].first_day for row in rows],
        "ends": [date.fromordinal(bounds[row.period].end) for row in rows],
        "amounts": [row.amount for row in rows],
        "currencies": [row.currency for row in rows],
    }
    conn.execute(sa.text(query), values)


def remove(conn: sa.Connection, keys: Iterable[Key], component: str) -> None:
    """Take quotas away."""
    rows = list(keys)
    query = """
        DELETE FROM quotas q USING unnest(CAST(:users AS bigint[]), CAST(:periods AS text[])) AS gone (user_id, period)
         WHERE q.user_id = gone.user_id AND q.period = gone.period AND q.component = :component
    """
    values = {"users": [user for user, _ in rows], "periods": [period for _, period in rows], "component": component}
    conn.execute(sa.text(query), values)


def closed_spans(conn: sa.Connection, start: date, end: date) -> list[tuple[date, date]]:
    """The days of the approved or paid pay periods that touch ``[start, end)``, half-open."""
    query = """
        SELECT start_date, end_date FROM pay_periods
         WHERE status <> 'open' AND start_date < :end AND end_date > :start ORDER BY start_date
    """
    return [(row[0], row[1]) for row in conn.execute(sa.text(query), {"start": start, "end": end})]


# --- history ----------------------------------------------------------------------------------------

# Each change of each save.  The audit entry's detail: {"currency", "component", "how",
# "changes": [[user id, period, from, to]]}; entries of the first version have no component and no how.
# Materialized, so that a detail of many thousand changes is unpacked once, not once for each of them.
_SAVES = """
    WITH saves AS MATERIALIZED (
        SELECT id, at, user_id, coalesce(detail ->> 'component', '') AS component, detail ->> 'currency' AS currency,
               coalesce(detail ->> 'how', 'typed') AS how, detail -> 'changes' AS changes
          FROM audit WHERE action = 'quotas.edit'
    )
"""
_CHANGES = """
      FROM saves a
     CROSS JOIN jsonb_array_elements(a.changes) AS change
      JOIN users u ON u.id = CAST(change ->> 0 AS bigint)
      LEFT JOIN users w ON w.id = a.user_id
     WHERE (:everyone OR u.id = ANY(:users))
       AND (:person = '' OR u.name ILIKE :person_like) AND (:period = '' OR change ->> 1 = :period)
"""


@dataclass(frozen=True)
class Which:
    """Which changes: of some people (None: everyone), whose name has `person` in it, of one period ("": all)."""

    user_ids: Collection[int] | None
    person: str = ""
    period: str = ""

    def values(self) -> dict[str, object]:
        """The parameters of the query."""
        escaped = self.person.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
        return {
            "everyone": self.user_ids is None,
            "users": list(self.user_ids or ()),
            "person": self.person,
            "person_like": f"%{escaped}%",
            "period": self.period,
        }


def changes(conn: sa.Connection, which: Which, limit: int, offset: int = 0) -> list[QuotaChange]:
    """The newest changes first."""
    query = f"""{_SAVES}
        SELECT a.at, coalesce(w.name, ''), u.id, u.name, change ->> 1, a.component,
               CAST(change ->> 2 AS bigint), CAST(change ->> 3 AS bigint), a.currency, a.how
        {_CHANGES} ORDER BY a.id DESC, u.name, u.id, change ->> 1 LIMIT :limit OFFSET :offset
    """
    values = {**which.values(), "limit": limit, "offset": offset}
    return [QuotaChange(*row) for row in conn.execute(sa.text(query), values)]


def count_changes(conn: sa.Connection, which: Which) -> int:
    """How many changes there are."""
    return conn.scalar(sa.text(f"{_SAVES} SELECT count(*) {_CHANGES}"), which.values()) or 0


@dataclass(frozen=True)
class QuotaSave:
    """One save: who, when, of which component, and its changes as (user id, period, from, to)."""

    audit_id: int
    at: datetime
    saved_by: str
    component: str
    currency: str
    how: str
    changes: tuple[tuple[int, str, int | None, int | None], ...]


def last_save(conn: sa.Connection) -> QuotaSave | None:
    """The newest save of quotas."""
    query = """
        SELECT a.id, a.at, coalesce(u.name, ''), coalesce(a.detail ->> 'component', ''), a.detail ->> 'currency',
               coalesce(a.detail ->> 'how', 'typed'), a.detail -> 'changes'
          FROM audit a LEFT JOIN users u ON u.id = a.user_id
         WHERE a.action = 'quotas.edit' ORDER BY a.id DESC LIMIT 1
    """
    row = conn.execute(sa.text(query)).one_or_none()
    if row is None:
        return None
    audit_id, at, saved_by, component, currency, how, changed = row
    return QuotaSave(audit_id, at, saved_by, component, currency, how, tuple((c[0], c[1], c[2], c[3]) for c in changed))


def prorated(conn: sa.Connection, component: str) -> set[tuple[int, str, int]]:
    """(user id, period, amount) of every quota of the component that was ever written as a prorated one."""
    query = """
        SELECT CAST(change ->> 0 AS bigint), change ->> 1, CAST(change ->> 3 AS bigint)
          FROM audit a CROSS JOIN jsonb_array_elements(a.detail -> 'changes') AS change
         WHERE a.action = 'quotas.edit' AND a.detail ->> 'how' = 'prorated' AND a.detail ->> 'component' = :component
    """
    return {(row[0], row[1], row[2]) for row in conn.execute(sa.text(query), {"component": component})}


# --- ramps ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ramp:
    """A named way into the full quota: the part (ppm) of it in each month, from the first on."""

    name: str
    steps: tuple[int, ...]


def ramps(conn: sa.Connection) -> list[Ramp]:
    """The saved ramps, by name."""
    rows = conn.execute(sa.text("SELECT name, steps_ppm FROM quota_ramps ORDER BY lower(name)"))
    return [Ramp(name, tuple(steps)) for name, steps in rows]


def put_ramp(conn: sa.Connection, ramp: Ramp) -> None:
    """Save a ramp, new or in place of the one of that name."""
    query = """
        INSERT INTO quota_ramps (name, steps_ppm) VALUES (:name, :steps)
        ON CONFLICT (name) DO UPDATE SET steps_ppm = EXCLUDED.steps_ppm
    """
    conn.execute(sa.text(query), {"name": ramp.name, "steps": list(ramp.steps)})


def remove_ramp(conn: sa.Connection, name: str) -> bool:
    """Forget a ramp; False when there is none of that name."""
    return conn.execute(sa.text("DELETE FROM quota_ramps WHERE name = :name"), {"name": name}).rowcount == 1

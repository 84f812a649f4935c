"""What a change would do to earnings, found by calculating both ways; nothing is kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

import pandas as pd
import sqlalchemy as sa

from engine.analytics import inputs
from engine.analytics.inputs import Inputs
from engine.calc.result import Totals
from engine.db import pay
from engine.db.database import Database
from engine.errors import Problem, QuotaPathError
from engine.periods import Period, parse_period, period_of
from engine.workers.pool import Pool


@dataclass(frozen=True)
class Impact:
    """Whose earnings change, in which pay periods.

    ``changes``, by period and person: user_id (int64), person (code), period, status (open, locked, approved, paid; ""
    for a period that was never run), before, after, difference (int64, minor units), currency.  With ``problems``
    earnings cannot be calculated after the change (or could not before it), and ``changes`` is empty.
    """

    changes: pd.DataFrame
    problems: tuple[Problem, ...] = ()

    @property
    def closed(self) -> pd.DataFrame:
        """The changes in closed periods (not open): they stay as they are, the next open one posts the difference."""
        return self.changes[self.changes["status"].isin(("locked", "approved", "paid"))]


_T = TypeVar("_T")
_CHANGED_MEANWHILE = "40001"  # of Postgres: serialization_failure
_COLUMNS = ("user_id", "person", "period", "status", "before", "after", "difference", "currency")


def impact(
    conn: sa.Connection, pool: Pool, today: date, deals_in: str = "deals", credits_in: str = "deal_credits"
) -> Impact:
    """What everyone would earn if these relations took the place of ``deals`` and ``deal_credits``.

    They have the columns of the tables, such as temporary views of how a bulk edit or an import would leave them.
    Counted are the pay periods up to the latest that was run, and the month of `today`.  Draws are left out.
    """
    until = _until(conn, today)
    loaded = inputs.load(conn, until)
    return _compared(pool, loaded, inputs.load(conn, until, deals_in, credits_in), pay.statuses(conn))


def trial(db: Database, pool: Pool, today: date, change: Callable[[sa.Connection], object]) -> Impact:
    """What everyone would earn after `change`, which is made in a transaction that is rolled back.

    The periods are those of `impact`.  Raises as `rehearsed` does.
    """

    def look(conn: sa.Connection) -> tuple[Inputs, dict[str, str]]:
        return inputs.load(conn, _until(conn, today)), pay.statuses(conn)

    (loaded, status), (changed, _) = rehearsed(db, change, look)
    return _compared(pool, loaded, changed, status)


def rehearsed(
    db: Database, change: Callable[[sa.Connection], object], look: Callable[[sa.Connection], _T]
) -> tuple[_T, _T]:
    """What `look` finds before and after `change`, which is made in a transaction that is rolled back.

    What `change` raises is passed on; QuotaPathError when somebody else changed the same rows meanwhile.
    """
    with db.trial() as conn:  # over before any long calculation
        before = look(conn)
        try:
            change(conn)
        except sa.exc.OperationalError as error:
            if getattr(error.orig, "pgcode", None) != _CHANGED_MEANWHILE:
                raise
            raise QuotaPathError("Somebody changed the same meanwhile. Look at it again and calculate anew.") from error
        return before, look(conn)


def _until(conn: sa.Connection, today: date) -> Period:
    return period_of("month", max(today, pay.last_day(conn) or today).toordinal())


def _compared(pool: Pool, loaded: Inputs, changed: Inputs, status: Mapping[str, str]) -> Impact:
    before, after = pool.totals(loaded.book), pool.totals(changed.book)
    problems = before.problems or after.problems
    if problems:
        return Impact(pd.DataFrame(columns=_COLUMNS), problems)
    users = dict(zip(loaded.book.people, loaded.user_ids.tolist(), strict=True))
    currencies = inputs.pay_currencies(loaded.book)
    rows: Sequence[tuple[object, ...]] = [
        (users[person], person, period, status.get(period, ""), was, now, now - was, currencies.get(person, ""))
        for person, period, was, now in _changed(before, after)
    ]
    return Impact(pd.DataFrame(rows, columns=_COLUMNS))


def _changed(before: Totals, after: Totals) -> list[tuple[str, str, int, int]]:
    keys = sorted(before.by_period.keys() | after.by_period.keys(), key=lambda key: (parse_period(key[1]), key[0]))
    pairs = ((*key, before.by_period.get(key, 0), after.by_period.get(key, 0)) for key in keys)
    return [pair for pair in pairs if pair[2] != pair[3]]

"""Activities one at a time: calls, mails, meetings, notes and tasks, on a deal, an account or neither.

Nothing here commits.
"""

from dataclasses import asdict, dataclass
from datetime import date, datetime

import sqlalchemy as sa

KINDS = ("call", "email", "meeting", "note", "task")


@dataclass(frozen=True)
class ActivityFields:
    """What a person may say of an activity.

    ``happened_at`` is a moment in UTC: of a task, when it was noted.  ``due_on`` and ``done_at`` are a task's only.
    """

    kind: str
    subject: str
    happened_at: datetime
    deal_id: int | None = None
    account: str = ""
    details: str = ""
    due_on: date | None = None
    done_at: datetime | None = None


@dataclass(frozen=True)
class Activity:
    """An activity as it is kept; ``version`` grows with every change."""

    id: int
    user_id: int
    version: int
    fields: ActivityFields


_COLUMNS = tuple(ActivityFields.__dataclass_fields__)
_ONE = f"SELECT id, user_id, version, {', '.join(_COLUMNS)} FROM activities WHERE id = :id"  # noqa: S608 - own names
_INSERT = sa.text(f"""
    INSERT INTO activities (user_id, {", ".join(_COLUMNS)}) VALUES (:user, {", ".join(":" + name for name in _COLUMNS)})
    RETURNING id
""")  # noqa: S608 - the names are this module's own
_UPDATE = sa.text(f"""
    UPDATE activities SET version = version + 1, {", ".join(f"{name} = :{name}" for name in _COLUMNS)} WHERE id = :id
""")  # noqa: S608 - the names are this module's own


def find(conn: sa.Connection, activity_id: int, *, lock: bool = False) -> Activity | None:
    """The activity, or None when there is none; ``lock`` keeps it from changing until the transaction ends."""
    row = conn.execute(sa.text(_ONE + (" FOR UPDATE" if lock else "")), {"id": activity_id}).one_or_none()
    return None if row is None else Activity(row[0], row[1], row[2], ActivityFields(*row[3:]))


def add(conn: sa.Connection, user_id: int, fields: ActivityFields) -> int:
    """Keep a new activity of a person; gives its id."""
    return int(conn.execute(_INSERT, {"user": user_id} | asdict(fields)).scalar_one())


def update(conn: sa.Connection, activity_id: int, fields: ActivityFields) -> None:
    """Replace what is said of an activity."""
    conn.execute(_UPDATE, {"id": activity_id} | asdict(fields))


def delete(conn: sa.Connection, activity_id: int) -> None:
    """Delete an activity."""
    conn.execute(sa.text("DELETE FROM activities WHERE id = :id"), {"id": activity_id})


# A deal's name and account, if somebody of `people` (None: anyone) owns it or shares in it.
_DEAL = sa.text("""
    SELECT d.name, d.account FROM deals d
     WHERE d.id = :id
       AND (CAST(:people AS bigint[]) IS NULL OR d.owner_id = ANY(:people)
            OR EXISTS (SELECT FROM deal_credits k WHERE k.deal_id = d.id AND k.user_id = ANY(:people)))
""")


def deal(conn: sa.Connection, deal_id: int, people: frozenset[int] | None) -> tuple[str, str] | None:
    """(name, account) of a deal that one of ``people`` (None: anyone) owns or shares; None when there is none."""
    row = conn.execute(_DEAL, {"id": deal_id, "people": None if people is None else sorted(people)}).one_or_none()
    return None if row is None else (row.name, row.account)

"""Activities as people log, find and correct them, and what each person did beside what it brought."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import pandas as pd
import sqlalchemy as sa

from engine.analytics import activities as analytics
from engine.analytics import deals as deal_reads
from engine.analytics.activities import ActivityFilters, ActivityPage, Page
from engine.analytics.dashboard import Scope
from engine.db import activities, audit, company, people, structure
from engine.db.activities import KINDS, Activity, ActivityFields
from engine.db.database import Database
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.periods import Period
from engine.services import access
from engine.services.access import Actor, Forbidden, Reach
from engine.services.dashboard import attainment_by_person
from engine.sheets import Value

__all__ = ["KINDS", "Activity", "ActivityFields", "ActivityFilters", "ActivityPage", "Page"]

_SHOWN_DEALS = 30


@dataclass(frozen=True)
class Results:
    """What people did and won in a period; money is in minor units of ``currency``.

    ``frame``: user_id, person, team, calls, mails, meetings, notes, tasks (done), deals, amount (won), attainment (a
    ratio of the quota by the last run in the period, missing without one); those who sold most first.
    """

    frame: pd.DataFrame
    currency: str


def list_activities(db: Database, actor: Actor, filters: ActivityFilters, page: Page, today: date) -> ActivityPage:
    """The activities of the people within reach, and those on deals that these own or share: one page of them."""
    with db.read(actor) as conn:
        reach = access.visible_people(conn, actor, "activities.view", today)
        return analytics.page_of_activities(conn, filters, page, reach, today)


def activities_after(
    db: Database, actor: Actor, filters: ActivityFilters, after: tuple[datetime, int] | None, size: int, today: date
) -> pd.DataFrame:
    """The same activities, the latest first, from a place (moment, id) in that order on; a frame as a page's."""
    with db.read(actor) as conn:
        reach = access.visible_people(conn, actor, "activities.view", today)
        return analytics.activities_after(conn, filters, after, size, reach, today)


EXPORT_HEADERS = (
    "When (UTC)", "Kind", "Subject", "Details", "Person", "Deal", "Account", "Due on", "Done at (UTC)",
)  # fmt: skip
_EXPORT_COLUMNS = ("happened_at", "kind", "subject", "details", "person", "deal", "account", "due_on", "done_at")


def export_activities(
    db: Database, actor: Actor, filters: ActivityFilters, page: Page, today: date
) -> Iterator[tuple[Value, ...]]:
    """Every activity that the filters let through, in the page's order, as rows under `EXPORT_HEADERS`."""
    with db.read(actor) as conn:
        reach = access.visible_people(conn, actor, "activities.view", today)
        frame = analytics.all_activities(conn, filters, page, reach, today)
    for cells in zip(*(frame[name] for name in _EXPORT_COLUMNS), strict=True):
        yield tuple(
            f"{cell:%Y-%m-%d %H:%M}" if isinstance(cell, datetime) else None if pd.isna(cell) else cell
            for cell in cells
        )


def people_to_choose(db: Database, actor: Actor, today: date) -> dict[int, str]:
    """The names of those within reach, by user id."""
    with db.read(actor) as conn:
        frame = deal_reads.people(conn, access.visible_people(conn, actor, "activities.view", today))
    return dict(zip(frame["id"], frame["name"], strict=True))


def deals_to_choose(db: Database, actor: Actor, text: str, today: date) -> dict[int, str]:
    """Deals to log something on, by id: those with the text in name, account or id, else the actor's own open ones."""
    with db.read(actor) as conn:
        reach = access.visible_people(conn, actor, "activities.view", today)
        found = analytics.deals_matching(conn, text, reach, actor.user_id, _SHOWN_DEALS)
    return {deal: f"{name} · {account}" if account else name for deal, name, account in found}


def deal_name(db: Database, actor: Actor, deal_id: int, today: date) -> str | None:
    """What a deal within reach is called; None when there is none."""
    with db.read(actor) as conn:
        found = activities.deal(conn, deal_id, access.visible_people(conn, actor, "activities.view", today))
    return None if found is None else found[0]


def may_change(actor: Actor, user_id: int) -> bool:
    """Whether the actor may change or delete an activity of that person."""
    found = access.reach(actor, "activities.edit")
    return found is Reach.ALL or (found is Reach.SELF and actor.user_id == user_id)


# --- changing --------------------------------------------------------------------------------------


def log_activity(db: Database, actor: Actor, fields: ActivityFields, now: datetime) -> int:
    """Keep what the actor did, or has to do; gives its id.

    A call, mail or meeting on a deal or an account may go without a subject.  Raises ProblemsError; the
    deal must be one that the actor may see.
    """
    access.require(actor, "activities.edit")
    if actor.user_id is None:
        raise Forbidden("Only a person logs activities. Sign in.")
    with db.write(actor) as conn:
        fields = _checked(conn, actor, fields, now)
        activity_id = activities.add(conn, actor.user_id, fields)
        _record(conn, actor, activity_id, did="logged", kind=fields.kind, subject=fields.subject)
    return activity_id


def edit_activity(
    db: Database, actor: Actor, activity_id: int, version: int, fields: ActivityFields, now: datetime
) -> None:
    """Change an activity of one's own; an admin that of anyone.  ``version`` is the one that the person saw.

    Raises ProblemsError, Forbidden, and QuotaPathError when somebody changed or deleted it meanwhile.
    """
    with db.write(actor) as conn:
        before = _locked(conn, actor, activity_id, version)
        fields = _checked(conn, actor, fields, now, before.fields.deal_id)
        if fields == before.fields:
            return
        activities.update(conn, activity_id, fields)
        changes = {
            name: [getattr(before.fields, name), value]
            for name, value in vars(fields).items()
            if value != getattr(before.fields, name)
        }
        _record(conn, actor, activity_id, did="changed", changes=changes)


def set_done(db: Database, actor: Actor, activity_id: int, version: int, done_at: datetime | None) -> None:
    """A task is done, or (None) is not done after all."""
    with db.write(actor) as conn:
        before = _locked(conn, actor, activity_id, version)
        if before.fields.kind != "task":
            raise QuotaPathError("Only a task can be done.")
        activities.update(conn, activity_id, replace(before.fields, done_at=done_at))
        _record(conn, actor, activity_id, did="opened again" if done_at is None else "done", done_at=done_at)


def delete_activity(db: Database, actor: Actor, activity_id: int, version: int) -> None:
    """Delete an activity of one's own; an admin that of anyone.  The audit keeps what it said."""
    with db.write(actor) as conn:
        before = _locked(conn, actor, activity_id, version)
        activities.delete(conn, activity_id)
        _record(conn, actor, activity_id, did="deleted", of=before.user_id, said=vars(before.fields))


def _locked(conn: sa.Connection, actor: Actor, activity_id: int, version: int) -> Activity:
    access.require(actor, "activities.edit")
    seen = activities.find(conn, activity_id)
    if seen is not None and not may_change(actor, seen.user_id):
        raise Forbidden("This is somebody else's activity. Ask them, or an admin, to change it.")
    found = activities.find(conn, activity_id, lock=True)
    if found is None:
        raise QuotaPathError("That activity is gone: somebody deleted it meanwhile.")
    if found.version != version:
        raise QuotaPathError(
            "Somebody changed this activity after you opened it, so nothing of yours was saved. "
            "Open it again and make your change there."
        )
    return found


_CALLED = {"call": "Call", "email": "E-mail", "meeting": "Meeting"}


def _checked(
    conn: sa.Connection, actor: Actor, fields: ActivityFields, now: datetime, had_deal: int | None = None
) -> ActivityFields:
    """The fields as they are kept.  Raises ProblemsError with everything that is wrong with them."""
    called = _CALLED.get(fields.kind, "")
    subject = " ".join(fields.subject.replace("\0", " ").split()) or called
    account = " ".join(fields.account.replace("\0", " ").split())
    details = fields.details.replace("\0", " ").strip()
    problems = []
    if fields.kind not in KINDS:
        problems.append(Problem("kind", f'"{fields.kind}" is none.', f"Choose one of {', '.join(KINDS)}."))
    for name, text, longest in (("subject", subject, 500), ("account", account, 1000), ("details", details, 10_000)):
        if len(text) > longest:
            problems.append(Problem(name, f"has {len(text):,} characters.", f"Write at most {longest:,}."))
    if not subject:
        problems.append(Problem("subject", "is missing.", f"Say what the {fields.kind} is about."))
    if subject and subject == called and fields.deal_id is None and not account:
        problems.append(
            Problem(
                "deal or account",
                f"is missing, so nothing tells this {called.lower()} from others.",
                "Choose the deal, name the account, or write a subject.",
            )
        )
    if not datetime(1990, 1, 1, tzinfo=UTC) <= fields.happened_at <= now + timedelta(days=1):
        problems.append(
            Problem(
                "when",
                f"{fields.happened_at:%Y-%m-%d %H:%M} is not in the past.",
                "Log what has happened; what is to come is a task that is due.",
            )
        )
    if fields.due_on is not None and not date(1990, 1, 1) <= fields.due_on <= date(2199, 12, 31):
        problems.append(Problem("due on", f"{fields.due_on} is outside the years 1990 to 2199.", "Correct the year."))
    if fields.deal_id is not None:
        reach = access.visible_people(conn, actor, "activities.view", now.date())
        # One's own activity may stay on a deal that somebody else has by now.
        found = activities.deal(conn, fields.deal_id, None if fields.deal_id == had_deal else reach)
        if found is None:
            problems.append(Problem("deal", "There is no such deal that you may see.", "Choose another one."))
        else:
            account = account or found[1]
    if problems:
        raise ProblemsError(problems)
    fields = replace(fields, subject=subject, account=account, details=details)
    return fields if fields.kind == "task" else replace(fields, due_on=None, done_at=None)


# --- beside results ----------------------------------------------------------------------------------


def beside_results(db: Database, actor: Actor, period: Period, team: int | None, today: date) -> Results:
    """What the people within reach (of them: those who are in ``team``, or below it, today) did and won in a period."""
    with db.read(actor) as conn:
        reach = access.visible_people(conn, actor, "activities.view", today)
        if team is not None:
            inside = structure.people_in(conn, team, today)
            reach = inside if reach is None else inside & reach
        currency = company.currency(conn)
        end = date.fromordinal(period.end)
        found = analytics.beside_results(conn, reach, period.first_day, end, currency)
        attained = attainment_by_person(conn, Scope(reach, None, currency), period, today).set_index("user_id")
        listed = people.listing(conn, today, reach)
    rows = [
        (person.user_id, person.name, person.team or person.leads or "")
        for person in listed
        if person.user_id in found.index or (person.is_active and person.role == "rep")
    ]
    frame = pd.DataFrame(rows, columns=["user_id", "person", "team"]).set_index("user_id")
    frame = frame.join(found, how="left").fillna(dict.fromkeys(analytics.COUNTS, 0))
    frame = frame.astype(dict.fromkeys(analytics.COUNTS, "int64")).join(attained[["attainment"]], how="left")
    return Results(frame.sort_values(["amount", "person"], ascending=[False, True]).reset_index(), currency)


def _record(conn: sa.Connection, actor: Actor, activity_id: int, **detail: object) -> None:
    audit.record(conn, actor.user_id, "activities.edit", f"activity {activity_id}", detail)

"""Activities on a real database: logging, who sees and changes what, the list, and activity beside results."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from engine.errors import ProblemsError, QuotaPathError
from engine.periods import parse_period
from engine.services import activities, runs
from engine.services.access import Actor, Forbidden
from engine.services.activities import ActivityFields, ActivityFilters, Page
from engine.workers.pool import Pool
from tests.integration.paying import Company

TODAY = date(2026, 3, 20)
NOW = datetime(2026, 3, 20, 14, 0, tzinfo=UTC)
EVERYTHING = ActivityFilters()


@pytest.fixture
def company(database_url: str) -> Iterator[Company]:
    found = Company(database_url)
    with found.db.write() as conn:
        # Oda is in no team of Mia's.
        oda = conn.scalar(
            sa.text(
                "INSERT INTO users (code, name, email, role) VALUES ('oda', 'Oda', 'oda@x.example', 'rep') RETURNING id"
            )
        )
    found.users["oda"] = oda
    found.actors["oda"] = Actor(oda, "rep", "oda")
    yield found
    found.db.close()


def log(company: Company, who: str, subject: str = "Talked", kind: str = "call", days: int = 0, **more: Any) -> int:
    fields = ActivityFields(kind, subject, NOW - timedelta(days=days), **more)
    return activities.log_activity(company.db, company.actors[who], fields, NOW)


def listed(company: Company, who: str, filters: ActivityFilters = EVERYTHING, page: Page | None = None) -> list[str]:
    found = activities.list_activities(company.db, company.actors[who], filters, page or Page(), TODAY)
    return list(found.frame["subject"])


def test_a_subject_may_be_left_out(company: Company) -> None:
    log(company, "ana", "", account="Initech")
    deal = company.deal("D1", "ana", "2026-04-01", 100, "Proposal")
    company.change(deal, account="Globex")
    log(company, "ana", " Sent   the\0 offer ", "email", deal_id=deal)
    found = activities.list_activities(company.db, company.actors["ana"], EVERYTHING, Page(), TODAY)
    assert list(found.frame["subject"]) == ["Sent the offer", "Call"]
    assert (found.frame["account"][0], found.frame["deal"][0]) == ("Globex", "D1")
    assert dict(found.kinds) == {"call": 1, "email": 1}


def test_each_role_sees_what_is_theirs(company: Company) -> None:
    of_bo = company.deal("D-bo", "bo", "2026-04-01", 100, "Proposal")
    shared = company.deal("D-shared", "oda", "2026-04-01", 100, "Proposal")
    with company.db.write() as conn:
        for user, share in (("oda", 500_000), ("ana", 500_000)):
            conn.execute(
                sa.text("INSERT INTO deal_credits VALUES (:d, :u, :s)"),
                {"d": shared, "u": company.users[user], "s": share},
            )
    log(company, "ana", "ana's own")
    log(company, "bo", "on bo's deal", deal_id=of_bo)
    log(company, "oda", "on the shared deal", deal_id=shared)
    log(company, "oda", "oda's own")
    log(company, "mia", "mia's own")
    everything = {"ana's own", "on bo's deal", "on the shared deal", "oda's own", "mia's own"}
    for who, seen in {
        "ada": everything,
        "fay": everything,
        "mia": everything - {"oda's own"},  # the shared deal is Ana's, too
        "ana": {"ana's own", "on the shared deal"},
        "bo": {"on bo's deal"},
        "oda": {"on the shared deal", "oda's own"},
    }.items():
        assert set(listed(company, who)) == seen, who
    with pytest.raises(ProblemsError, match="no such deal that you may see"):
        log(company, "ana", deal_id=of_bo)
    log(company, "mia", "a manager may, on the team's deals", deal_id=of_bo)
    assert set(activities.deals_to_choose(company.db, company.actors["ana"], "d-", TODAY)) == {shared}


def test_a_manager_sees_the_team_as_it_is_today(company: Company) -> None:
    log(company, "bo", "bo's own")
    with company.db.write() as conn:
        conn.execute(
            sa.text("UPDATE team_members SET end_date = '2026-03-01' WHERE user_id = :u"), {"u": company.users["bo"]}
        )
    assert listed(company, "mia") == []


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"kind": "fax"}, "kind"),
        ({"subject": "x" * 501}, "subject"),
        ({"kind": "note", "subject": "  "}, "subject"),
        ({"subject": "", "account": " \0 "}, "deal or account"),
        ({"kind": "meeting", "subject": "Meeting", "details": "Long"}, "deal or account"),
        ({"happened_at": NOW + timedelta(days=2)}, "when"),
        ({"account": "x" * 1001}, "account"),
        ({"details": "x" * 10_001}, "details"),
        ({"kind": "task", "due_on": date(3026, 1, 1)}, "due on"),
        ({"deal_id": 99}, "deal"),
    ],
)
def test_wrong_fields_are_refused(company: Company, fields: dict[str, Any], path: str) -> None:
    with pytest.raises(ProblemsError) as caught:
        activities.log_activity(
            company.db, company.actors["ana"], replace(ActivityFields("call", "Talked", NOW), **fields), NOW
        )
    assert [problem.path for problem in caught.value.problems] == [path]
    assert listed(company, "ana") == []


def test_one_changes_ones_own_and_an_admin_all(company: Company) -> None:
    db, fields = company.db, ActivityFields("call", "Changed", NOW)
    activity = log(company, "ana")
    for who in ("bo", "mia", "oda"):
        for call in (
            lambda actor: activities.edit_activity(db, actor, activity, 1, fields, NOW),
            lambda actor: activities.delete_activity(db, actor, activity, 1),
        ):
            # Whoever cannot see it hears no more than that.
            with pytest.raises(Forbidden if who == "mia" else QuotaPathError, match="somebody"):
                call(company.actors[who])
    with pytest.raises(Forbidden):
        log(company, "fay")
    activities.edit_activity(db, company.actors["ana"], activity, 1, fields, NOW)
    with pytest.raises(QuotaPathError, match="Somebody changed"):
        activities.edit_activity(db, company.actors["ada"], activity, 1, fields, NOW)
    activities.edit_activity(db, company.actors["ada"], activity, 2, replace(fields, subject="By Ada"), NOW)
    assert listed(company, "ana") == ["By Ada"]
    activities.delete_activity(db, company.actors["ada"], activity, 3)
    with pytest.raises(QuotaPathError, match="deleted it meanwhile"):
        activities.delete_activity(db, company.actors["ana"], activity, 3)
    with db.read() as conn:
        said = conn.scalar(sa.text("SELECT detail FROM audit WHERE detail ->> 'did' = 'deleted'"))
    assert said["said"]["subject"] == "By Ada"


def test_two_at_once_do_not_overwrite_each_other(company: Company) -> None:
    activity = log(company, "ana")

    def edit(subject: str) -> str:
        fields = ActivityFields("call", subject, NOW)
        try:
            activities.edit_activity(company.db, company.actors["ana"], activity, 1, fields, NOW)
        except QuotaPathError:
            return "refused"
        return subject

    with ThreadPoolExecutor(2) as threads:
        found = sorted(threads.map(edit, ["one", "two"]))
    assert "refused" in found
    assert listed(company, "ana") == [found[0]]


def test_tasks_are_due_and_done(company: Company) -> None:
    db, ana = company.db, company.actors["ana"]
    late = log(company, "ana", "late", "task", due_on=date(2026, 3, 19))
    log(company, "ana", "soon", "task", due_on=date(2026, 3, 21))
    log(company, "ana", "undated", "task")
    call = log(company, "ana", "a call", due_on=date(2026, 3, 21))  # a call is never due
    by_due = Page(sort="due_on", descending=False)
    open_tasks = ActivityFilters(open_tasks=True)
    assert listed(company, "ana", open_tasks, by_due) == ["late", "soon", "undated"]
    found = activities.list_activities(db, ana, EVERYTHING, Page(), TODAY)
    assert (found.open_tasks, found.overdue, found.total) == (3, 1, 4)
    activities.set_done(db, ana, late, 1, NOW)
    assert listed(company, "ana", open_tasks, by_due) == ["soon", "undated"]
    activities.set_done(db, ana, late, 2, None)
    assert listed(company, "ana", open_tasks, by_due)[0] == "late"
    with pytest.raises(QuotaPathError, match="Only a task"):
        activities.set_done(db, ana, call, 1, NOW)


def test_filters_sort_and_pages(company: Company) -> None:
    deal = company.deal("D1", "ana", "2026-04-01", 100, "Proposal")
    log(company, "ana", "Talked about 100% of_it", account="Globex Ltd", days=1)
    log(company, "ana", "Wrote", "email", account="globex GmbH", days=40)
    log(company, "bo", "Met", "meeting", account="Initech", details="They like GLOBEX", days=3)
    log(company, "ana", "On the deal", "note", deal_id=deal, days=2)
    with company.db.read() as conn:
        east = conn.scalar(sa.text("SELECT id FROM teams"))

    def f(**values: Any) -> list[str]:
        return listed(company, "ada", ActivityFilters(**values))

    assert f(text="globex") == ["Talked about 100% of_it", "Met", "Wrote"]
    assert f(text="100% of_") == ["Talked about 100% of_it"]
    assert f(text="100_") == []
    assert f(account="GLOBEX") == ["Talked about 100% of_it", "Wrote"]
    assert f(account="lobex") == []
    assert f(kinds=("email", "meeting")) == ["Met", "Wrote"]
    assert f(user_id=company.users["bo"]) == ["Met"]
    assert f(deal_id=deal) == ["On the deal"]
    assert f(team_id=east, kinds=("meeting",)) == ["Met"]
    assert f(since=date(2026, 3, 17), until=date(2026, 3, 19)) == ["On the deal", "Met"]
    assert listed(company, "ada", page=Page(sort="person", descending=False))[-1] == "Met"
    assert listed(company, "ada", page=Page(number=2, size=3)) == ["Wrote"]
    assert listed(company, "ada", page=Page(number=9, size=3)) == ["Wrote"]  # there is no page 9
    with pytest.raises(QuotaPathError, match="cannot be sorted"):
        listed(company, "ada", page=Page(sort="id; DROP TABLE users"))


def test_the_export_holds_what_the_filters_let_through(company: Company) -> None:
    log(company, "ana", "=1+1", details="x")
    log(company, "ana", "A task", "task", due_on=date(2026, 4, 1))
    log(company, "bo", "Another")
    rows = list(
        activities.export_activities(
            company.db, company.actors["ana"], ActivityFilters(kinds=("call", "task")), Page(descending=False), TODAY
        )
    )
    assert rows == [
        ("2026-03-20 14:00", "call", "=1+1", "x", "Ana", None, "", None, None),
        ("2026-03-20 14:00", "task", "A task", "", "Ana", None, "", date(2026, 4, 1), None),
    ]
    assert len(rows[0]) == len(activities.EXPORT_HEADERS)


def test_activity_beside_results(company: Company) -> None:
    db, ada = company.db, company.actors["ada"]
    won = company.deal("D1", "ana", "2026-02-10", 60_000)
    company.deal("D2", "bo", "2026-02-11", 10_000)
    company.deal("R", "bo", "2026-02-12", -1_000)
    company.deal("D3", "ana", "2026-04-01", 5)  # another period
    company.deal("L", "ana", "2026-02-01", 7, "Closed Lost")
    with db.write() as conn:
        for user, share in (("ana", 750_000), ("bo", 250_000)):
            conn.execute(
                sa.text("INSERT INTO deal_credits VALUES (:d, :u, :s)"),
                {"d": won, "u": company.users[user], "s": share},
            )
    log(company, "ana", days=40)  # 8 February
    log(company, "ana", kind="meeting", days=41)
    log(company, "ana", days=100)
    task = log(company, "bo", "Quote", "task", days=60)
    log(company, "bo", "Never done", "task", days=40)
    activities.set_done(db, company.actors["bo"], task, 1, datetime(2026, 2, 20, tzinfo=UTC))
    period = parse_period("2026-02")

    def rows(who: str) -> dict[str, list[Any]]:
        frame = activities.beside_results(db, company.actors[who], period, None, TODAY).frame
        names = ["calls", "mails", "meetings", "tasks", "deals", "amount", "attainment"]
        return {row["person"]: row[names].where(row[names].notna(), None).tolist() for _, row in frame.iterrows()}

    assert rows("ada") == {
        "Ana": [1, 0, 1, 0, 1, 4_500_000, None],
        "Bo": [0, 0, 0, 1, 2, 2_400_000, None],  # 25% of D1, D2, and the refund
        "Oda": [0, 0, 0, 0, 0, 0, None],
    }
    with Pool(1) as pool:
        runs.run_period(db, pool, ada, "2026-02")
    assert rows("mia")["Ana"][-1] == 0.45
    assert set(rows("mia")) == {"Ana", "Bo"}
    assert set(rows("ana")) == {"Ana"}

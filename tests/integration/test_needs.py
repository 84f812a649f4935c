"""What needs somebody today, for each role and kind of thing, and what it opens; and what imports left out."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from engine.db.database import Database
from engine.errors import ProblemsError
from engine.services import imports, left_out, needs
from engine.services.access import Actor, Forbidden
from engine.services.imports import Upload
from tests.integration.test_dashboard import (  # noqa: F401
    ADMIN,
    ANA,
    BO,
    CY,
    LOST,
    MIA,
    PROPOSAL,
    TODAY,
    Acme,
    acme,
)

FAY = Actor(7, "finance", "Fay")
FILE = """Record ID,Deal Name,Deal Stage,Amount,Close Date,Deal owner
1,Known,Proposal,12000,2026-11-20,Ana
2,First,Proposal,8000,2026-11-21,Zoe Quist
3,Second,Proposal,22000,2026-12-12,Zoe  QUIST
4,Third,Proposal,31000,2026-12-15,Kim
5,Fourth,Proposal,5000,2026-12-18,
6,Fifth,Proposal,abc,2026-12-18,Bo
"""
NOW = datetime.now(tz=UTC).date()  # imports are dated by the database's clock


def waits(acme, actor=ADMIN, today=TODAY):  # noqa: F811
    acme.do("UPDATE company SET data_version = data_version + 1")  # what a test wrote past the services counts, too
    return {need.kind: need for need in needs.needs(acme.db, actor, today)}


def took(db: Database, text: str, name="november.csv"):
    preview = imports.preview_import(db, ADMIN, Upload(text.encode(), name, source="crm", today=NOW))
    return imports.import_deals(db, ADMIN, preview, accept_refused=bool(preview.refused_count))


def test_nothing_waits_in_an_empty_company(acme):  # noqa: F811
    for actor in (ADMIN, FAY, MIA, ANA):
        assert waits(acme, actor) == {}


def test_periods_wait_from_the_deals_to_the_payment_each_under_its_own_name(acme):  # noqa: F811
    for month in ("2026-06", "2026-07", "2026-08", "2026-09"):
        acme.deal(ANA, f"{month}-10", 100)
    assert waits(acme)["not_run"].first == (("2026-06", "2026-06"), ("2026-07", "2026-07"), ("2026-08", "2026-08"))
    assert waits(acme)["not_run"].number == 4
    acme.run("2026-06", status="paid")
    acme.run("2026-07", status="approved")
    acme.run("2026-08")
    acme.run("2026-09")
    acme.run("2026-11")  # is not over
    found = waits(acme)
    assert (found["approve"].number, found["approve"].first[0]) == (2, ("2026-08", "2026-08"))
    assert found["pay"].first == (("2026-07", "2026-07"),)
    assert not {"not_run", "outdated"} & found.keys()
    acme.do("UPDATE deals SET updated_at = now() + interval '1 minute' WHERE close_date = '2026-09-10'")
    assert waits(acme)["outdated"].first == (("2026-09", "2026-09"),)
    for actor in (FAY, MIA, ANA):  # who can do nothing about it is not told
        assert not {"approve", "pay", "not_run", "outdated"} & waits(acme, actor).keys()


def test_a_dispute_waits_for_who_can_answer_and_the_answer_for_who_asked(acme):  # noqa: F811
    for person, status in ((ANA, "open"), (BO, "answered")):
        acme.do(
            """INSERT INTO disputes (user_id, period, about, status, opened_by)
               VALUES (:u, '2026-10', 'Deal 1', :s, :u)""",
            u=person.user_id,
            s=status,
        )
    assert waits(acme)["answer"].first == (("1", "Ana"),)
    assert waits(acme, BO)["answered"].first == (("2", "Deal 1"),)
    assert "answered" not in waits(acme, ANA)


def test_a_plan_without_example_and_people_without_quota_wait_by_name(acme):  # noqa: F811
    publish = """
        INSERT INTO plan_versions (plan_id, effective_from, document, hash, status, published_at)
        VALUES (1, CAST(:day AS date), :document, '', 'published', now())
    """
    acme.do(publish, day="2026-01-01", document='plan = "ae"')
    for person in (ANA, BO, CY):
        acme.do(
            "INSERT INTO plan_assignments (user_id, plan_id, start_date) VALUES (:u, 1, '2026-01-01')",
            u=person.user_id,
        )
    found = waits(acme)
    assert found["examples"].first == (("ae", "AE"),)
    assert "quotas" not in found  # nobody on the plan has one
    acme.do(
        """INSERT INTO quotas (user_id, period, start_date, end_date, amount, currency)
           VALUES (4, '2026-Q4', '2026-10-01', '2027-01-01', 100, 'USD')"""
    )
    acme.do("UPDATE company SET data_version = data_version + 1")
    assert [name for _, name in waits(acme)["quotas"].first] == ["Bo", "Cy"]
    assert needs.without_quota(acme.db, ADMIN, TODAY) == ["Bo", "Cy"]
    with pytest.raises(Forbidden):
        needs.without_quota(acme.db, MIA, TODAY)
    acme.do(publish, day="2026-06-01", document='plan = "ae"\n[[example]]')
    assert "examples" not in waits(acme)


def test_due_tasks_are_the_own_ones_and_late_deals_those_within_reach(acme):  # noqa: F811
    for person, due in ((ANA, "2026-11-22"), (ANA, "2026-11-23"), (BO, "2026-11-01")):
        acme.do(
            """INSERT INTO activities (user_id, kind, subject, happened_at, due_on)
               VALUES (:u, 'task', 'Call ' || :d, now(), CAST(:d AS date))""",
            u=person.user_id,
            d=due,
        )
    assert waits(acme, ANA)["tasks"].first == (("1", "Call 2026-11-22"),)
    acme.deal(ANA, "2026-11-21", 100, stage=PROPOSAL)
    acme.deal(CY, "2026-11-20", 100, stage=PROPOSAL, u5=50, u6=50)  # Bo has a share
    acme.deal(ANA, "2026-11-22", 100, stage=PROPOSAL)  # today
    acme.deal(ANA, "2026-11-01", 100, stage=LOST)
    assert [waits(acme, who)["late"].number for who in (ANA, BO, CY, MIA)] == [1, 1, 1, 2]
    assert "late" not in waits(acme)


def test_owners_whom_nobody_knows_are_named_and_mapped_and_their_rows_come_in(acme):  # noqa: F811
    result = took(acme.db, FILE)
    found = waits(acme, today=NOW)
    unknown = found["owners"]
    assert (unknown.number, unknown.rows) == (3, 4)  # one of them is written in two ways
    assert {key for key, _ in unknown.first} == {str(result.import_id)}
    assert (found["refused"].number, found["refused"].first) == (1, ((str(result.import_id), "november.csv"),))
    asked = left_out.unknown_owners(acme.db, ADMIN, result.import_id, NOW)
    assert {each.owner.title(): each.rows for each in asked} in (
        {"Zoe Quist": 2, "Kim": 1, "": 1},
        {"Zoe  Quist": 2, "Kim": 1, "": 1},
    )
    rows = left_out.left_out_rows(acme.db, ADMIN, result.import_id, 2, 1)
    assert rows["line"].tolist() == [4, 5]
    assert 'Nobody here is known as "Kim".' in rows["reason"].iloc[1]
    assert rows["row"].iloc[1].endswith("Amount 31000, Close Date 2026-12-15, Deal owner Kim")

    left_out.map_owners(acme.db, ADMIN, "crm", {"Zoe  QUIST": BO.user_id or 0})
    found = waits(acme, today=NOW)
    assert [name for _, name in found["owners"].first] == ["(no owner)", "Kim"]
    assert found["refused"].number == 3  # it is clear by now whose they are, and they are still out
    again = took(acme.db, FILE)
    assert (again.added, again.unchanged, again.refused) == (2, 1, 3)
    found = waits(acme, today=NOW)
    assert (found["owners"].rows, found["refused"].number) == (2, 1)  # of the same file the latest counts
    assert found["refused"].first[0][0] == str(again.import_id)
    assert "owners" not in waits(acme, today=NOW + timedelta(days=32))  # midnight may pass meanwhile


def test_a_row_that_came_in_with_another_file_is_not_missing(acme):  # noqa: F811
    took(acme.db, FILE)
    took(acme.db, "\n".join((FILE.splitlines()[0], "6,Fifth,Proposal,50,2026-12-18,Bo")), "corrected.csv")
    found = waits(acme, today=NOW)
    assert "refused" not in found
    assert found["owners"].rows == 4


def test_only_an_admin_maps_owners_and_somebody_must_be_chosen(acme):  # noqa: F811
    with pytest.raises(ProblemsError, match="nobody was chosen"):
        left_out.map_owners(acme.db, ADMIN, "crm", {})
    for actor in (FAY, MIA, ANA):
        with pytest.raises(Forbidden):
            left_out.map_owners(acme.db, actor, "crm", {"Kim": 4})
        with pytest.raises(Forbidden):
            left_out.unknown_owners(acme.db, actor, 1, NOW)
    with acme.db.read() as conn:
        assert not conn.scalar(sa.text("SELECT count(*) FROM import_mappings"))

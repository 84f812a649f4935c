"""The quota grid on a real database."""

from datetime import date

import pytest
import sqlalchemy as sa

from engine.db.database import Database
from engine.errors import ProblemsError, QuotaPathError
from engine.services import people, quotas
from engine.services.access import Actor, Forbidden

TODAY = date(2026, 11, 22)


@pytest.fixture
def db(database_url):
    database = Database(database_url)
    with database.write() as conn:
        conn.execute(sa.text("INSERT INTO company (name, currency) VALUES ('Acme', 'USD')"))
        conn.execute(
            sa.text("""
                INSERT INTO users (code, name, email, role) VALUES ('root', 'Root', 'root@acme.test', 'admin'),
                    ('ana', 'Ana', 'a@acme.test', 'rep'), ('bo', 'Bo', 'b@acme.test', 'rep'),
                    ('mia', 'Mia', 'm@acme.test', 'manager')
            """)
        )
    yield database
    database.close()


@pytest.fixture
def ids(db):
    with db.read() as conn:
        return {row.code: row.id for row in conn.execute(sa.text("SELECT code, id FROM users"))}


@pytest.fixture
def admin(ids):
    return Actor(ids["root"], "admin", "Root")


@pytest.fixture
def team(db, admin, ids):
    west = people.create_team(db, admin, "West", None, ids["mia"], date(2026, 1, 1))
    people.move_person(db, admin, ids["ana"], west, date(2026, 1, 1))
    return west


def grid(db, actor, kind="quarter", year=2026):
    return quotas.quota_grid(db, actor, kind, year, TODAY)


def amounts(db, actor, kind="quarter", year=2026):
    return {row.person: row.amounts for row in grid(db, actor, kind, year).rows}


@pytest.mark.parametrize(("kind", "count"), [("month", 12), ("quarter", 4), ("year", 1)])
def test_the_grid_has_the_periods_of_the_year_and_who_carries_a_quota(db, admin, kind, count):
    found = grid(db, admin, kind)
    assert len(found.periods) == count
    assert {row.person for row in found.rows} == {"Ana", "Bo", "Mia"}
    assert all(row.amounts == (None,) * count for row in found.rows)


def test_saving_sets_changes_and_clears(db, admin, ids):
    ana = ids["ana"]
    assert quotas.save_quotas(db, admin, {(ana, "2026-Q1"): 100_00, (ana, "2026-Q2"): 200_00}) == 2
    assert quotas.save_quotas(db, admin, {(ana, "2026-Q1"): None, (ana, "2026-Q2"): 200_00}) == 1
    assert amounts(db, admin)["Ana"] == (None, 200_00, None, None)
    changes = [
        (change.person, change.period, change.before, change.after) for change in quotas.quota_changes(db, admin, TODAY)
    ]
    assert changes == [
        ("Ana", "2026-Q1", 100_00, None),
        ("Ana", "2026-Q1", None, 100_00),
        ("Ana", "2026-Q2", None, 200_00),
    ]


def test_one_bad_amount_saves_nothing(db, admin, ids):
    with pytest.raises(ProblemsError) as caught:
        quotas.save_quotas(
            db,
            admin,
            {(ids["ana"], "2026-Q1"): 5, (ids["bo"], "2026-Q1"): 0, (ids["mia"], "2026-Q1"): -5, (99, "2026"): 1},
        )
    assert [problem.path for problem in caught.value.problems] == ["Bo, 2026-Q1", "Mia, 2026-Q1", "person 99"]
    with pytest.raises(QuotaPathError, match="not a period"):
        quotas.save_quotas(db, admin, {(ids["ana"], "2026-Q1"): 5, (ids["ana"], "2026-Q9"): 5})
    assert amounts(db, admin)["Ana"] == (None,) * 4
    assert quotas.quota_changes(db, admin, TODAY) == []


def test_copying_fills_only_the_blanks_across_the_year(db, admin, ids):
    quotas.save_quotas(
        db, admin, {(ids["ana"], "2025-Q4"): 7_00, (ids["bo"], "2025-Q4"): 8_00, (ids["bo"], "2026-Q1"): 9_00}
    )
    assert quotas.copy_quotas(db, admin, "2026-Q1", TODAY) == 1
    found = amounts(db, admin)
    assert (found["Ana"][0], found["Bo"][0]) == (7_00, 9_00)
    with pytest.raises(QuotaPathError, match="nothing to copy"):
        quotas.copy_quotas(db, admin, "2026-Q1", TODAY)


def test_a_deactivated_person_keeps_old_quotas_and_gets_no_new_ones(db, admin, ids):
    quotas.save_quotas(db, admin, {(ids["bo"], "2026-Q1"): 9_00})
    people.deactivate_person(db, admin, ids["bo"], date(2026, 4, 1))
    assert "Bo" in amounts(db, admin)
    assert "Bo" not in amounts(db, admin, year=2027)
    with pytest.raises(QuotaPathError, match="nothing to copy"):
        quotas.copy_quotas(db, admin, "2026-Q2", TODAY)


def test_team_totals_add_up(db, admin, ids, team):
    quotas.save_quotas(db, admin, {(ids["ana"], "2026-Q1"): 1, (ids["mia"], "2026-Q1"): 2, (ids["bo"], "2026-Q2"): 4})
    totals = {total.team: total.amounts for total in grid(db, admin).totals}
    assert totals == {"West": (1, 0, 0, 0), "No team": (0, 4, 0, 0)}  # a leader's quota is not added to the team's


def test_the_grid_of_one_team(db, admin, ids, team):
    top = people.create_team(db, admin, "Top", None, None, date(2026, 1, 1))
    people.change_team(db, admin, team, "West", top, ids["mia"], date(2026, 1, 1))
    for team_id in (team, top):
        found = quotas.quota_grid(db, admin, "quarter", 2026, TODAY, team_id)
        assert [(row.person, row.team, row.leads) for row in found.rows] == [("Mia", "", "West"), ("Ana", "West", "")]


def test_reach(db, admin, ids, team):
    quotas.save_quotas(db, admin, {(ids[code], "2026-Q1"): 1 for code in ("ana", "bo", "mia")})
    mia, ana = Actor(ids["mia"], "manager", "Mia"), Actor(ids["ana"], "rep", "Ana")
    finance = Actor(ids["bo"], "finance", "Bo")
    assert set(amounts(db, mia)) == {"Mia", "Ana"}
    assert set(amounts(db, ana)) == {"Ana"}
    assert set(amounts(db, finance)) == {"Ana", "Bo", "Mia"}
    assert {change.person for change in quotas.quota_changes(db, mia, TODAY)} == {"Mia", "Ana"}
    for actor in (mia, ana, finance):
        with pytest.raises(Forbidden):
            quotas.save_quotas(db, actor, {(ids["ana"], "2026-Q1"): 100})
        with pytest.raises(Forbidden):
            quotas.copy_quotas(db, actor, "2026-Q2", TODAY)


def test_a_quota_in_another_currency_is_named_not_added(db, admin, ids):
    with db.write() as conn:
        conn.execute(
            sa.text("""
                INSERT INTO quotas (user_id, period, start_date, end_date, amount, currency)
                VALUES (:user, '2026-Q1', '2026-01-01', '2026-04-01', 5, 'EUR')
            """),
            {"user": ids["ana"]},
        )
    found = grid(db, admin)
    assert found.other_currency == ("Ana",)
    assert all(total.total == 0 for total in found.totals)

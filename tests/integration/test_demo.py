"""The demo company: the same for the same day, whole, and paid through the real services."""

from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta

import psycopg2
import pytest
import sqlalchemy as sa

from engine.db.database import Database
from engine.errors import QuotaPathError
from engine.plans.versions import load_versions
from engine.services import demo, sign_in
from engine.services.demo_company import LOST, OPEN_STAGES, WON, DemoCompany
from engine.workers.pool import Pool
from tests.databases import Databases
from tests.load.driving import Load, drive

TODAY = date(2026, 11, 22)
TEAMS = {
    "Enterprise East": {
        "Ana Torres", "Ben Okafor", "Carla Jensen", "Dmitri Volkov", "Elena Rossi", "Farid Haddad",
    },
    "Enterprise West": {"Grace Kim", "Hugo Martin", "Ines Pereira", "Jonas Weber", "Kavya Nair", "Liam Murphy"},
    "Mid-Market": {"Mei Chen", "Noah Fischer", "Olivia Brown", "Pavel Novak", "Quinn Harper", "Rosa Delgado"},
    "Commercial": {"Samir Patel", "Tara Singh", "Uma Larsson", "Victor Almeida", "Wendy Clarke", "Yusuf Demir"},
}  # fmt: skip
LEADS = {"Enterprise East": "Marta Silva", "Enterprise West": "Nils Berg", "Mid-Market": "Priya Raman"}
LEADS |= {"Commercial": "Tom Becker", "Sales": "Dana Whitfield"}


# --------------------------------------------------------------------------------------------- as records


@pytest.fixture(scope="module")
def northwind() -> DemoCompany:
    return DemoCompany(TODAY)


def test_the_same_day_gives_the_same_company(northwind):
    again = DemoCompany(TODAY)
    assert again.deals == northwind.deals
    assert again.quotas == northwind.quotas
    assert list(again.plans()) == list(northwind.plans())


def test_everyone_is_in_the_team_that_the_samples_know(northwind):
    for team in northwind.teams:
        assert {span.person for span in team.reps if span.on(TODAY)} == TEAMS.get(team.name, set())
        assert [span.person for span in team.leads if span.on(TODAY)] == [LEADS[team.name]]


def test_people_were_hired_moved_and_replaced_on_the_way(northwind):
    spans = [span for team in northwind.teams for span in team.reps]
    hired = {p.name for p in northwind.people if p.role == "rep" and p.hired_on > northwind.start}
    assert len(hired) >= 3
    assert {name for name, times in Counter(span.person for span in spans).items() if times > 1} == {
        "Kavya Nair",
        "Quinn Harper",
    }
    assert [team.name for team in northwind.teams if len(team.leads) > 1] == ["Commercial"]
    assert [person.name for person in northwind.people if person.left_on] == ["Paula Stein"]


def test_there_is_about_as_much_as_promised(northwind):
    stages = Counter(deal.stages[-1][0] for deal in northwind.deals)
    assert 5_500 < len(northwind.deals) < 6_600
    assert 2_000 < stages[WON] < 3_000
    assert all(stages[stage] > 50 for stage in OPEN_STAGES)
    assert sum(len(deal.activities) for deal in northwind.deals) > 3_000
    assert {deal.type for deal in northwind.deals} == {"New", "Expansion", "Renewal"}
    assert sum(1 for deal in northwind.deals if deal.credits) > 20
    assert sum(1 for deal in northwind.deals if deal.cancelled_on) > 3
    assert sum(1 for deal in northwind.deals if deal.amount < 0) > 5


def test_segments_differ_and_business_grows(northwind):
    won = [deal for deal in northwind.deals if deal.stages[-1][0] == WON and deal.amount > 0]

    def average(segment):
        amounts = [deal.amount for deal in won if deal.segment == segment]
        return sum(amounts) / len(amounts)

    assert average("Enterprise") > 2 * average("Mid-Market") > 4 * average("Commercial")

    def sold(month):
        return sum(deal.amount for deal in won if deal.close_date.isoformat().startswith(month))

    assert sum(sold(f"2026-0{m}") for m in (7, 8, 9)) > sum(sold(f"2025-0{m}") for m in (7, 8, 9))
    assert sold("2025-12") > max(sold("2025-11"), sold("2026-01"))


# The last days of a year, a leap day, the first day of a quarter, and years away from the one it was written in.
@pytest.mark.parametrize(
    "today", [TODAY, date(2025, 12, 31), date(2028, 2, 29), date(2027, 4, 1), date(2024, 7, 14), date(2031, 1, 1)]
)
def test_on_any_day_the_history_holds_together(today):
    company = DemoCompany(today)
    spans = [span for team in company.teams for span in team.reps]
    for deal in company.deals:
        moments = [at for _, at in deal.stages]
        assert moments == sorted(moments)
        closed = deal.stages[-1][0] in (WON, LOST)
        assert not closed or company.start <= deal.close_date == moments[-1].date() <= today
        assert (
            not closed
            or deal.amount < 0
            or [stage for stage, _ in deal.stages[:-1]] == list(OPEN_STAGES[: len(deal.stages) - 1])
        )
        assert closed or today - timedelta(days=30) < deal.close_date
        assert moments[-1].date() <= today
        assert deal.cancelled_on is None or deal.close_date < deal.cancelled_on <= today
        assert sum(share for _, share in deal.credits) in (0, 1_000_000)
        # Every deal is credited to people who were on a plan on its day; refunds may come later.
        for name in {deal.owner, *(name for name, _ in deal.credits)}:
            assert any(span.person == name and span.start <= deal.close_date for span in spans)
    versions: dict[str, list[str]] = {}
    for _, document in company.plans():
        versions.setdefault(document.split('plan = "')[1].split('"')[0], []).append(document)
    assert all(
        load_versions(documents)[0].effective_from <= company.start.toordinal() for documents in versions.values()
    )
    assert len(versions["enterprise-ae"]) == 2
    quarter = company.running.name
    with_quota = {quota.person for quota in company.quotas if quota.period.name == quarter}
    assert with_quota == {p.name for p in company.people if p.role in ("manager", "rep") and not p.left_on}


# --------------------------------------------------------------------------------------------- in the database


@pytest.fixture(scope="module")
def loaded(databases: Databases) -> Iterator[tuple[Database, demo.DemoAccounts, list[tuple[int, int, str]]]]:
    """The demo company, loaded once for the tests that only read."""
    with databases.one() as url:
        db = Database(url)
        told: list[tuple[int, int, str]] = []
        with Pool() as pool:
            accounts = demo.load_demo(db, pool, TODAY, lambda done, total, what: told.append((done, total, what)))
        yield db, accounts, told
        db.close()


def rows(db, query):
    with db.read() as conn:
        return [tuple(row) for row in conn.execute(sa.text(query))]


def test_progress_goes_up_to_the_end(loaded):
    _, _, told = loaded
    done = [each for each, _, _ in told]
    assert done == sorted(done)
    assert told[-1][0] == told[-1][1]


def test_everyone_signs_in_with_the_one_password(loaded):
    db, accounts, _ = loaded
    by_role = Counter(role for role, _, _ in accounts.accounts)
    assert by_role == {"admin": 1, "finance": 1, "manager": 5, "rep": 24}
    for email in ("sofia.marin@northwind.example", "ana.torres@northwind.example"):
        assert sign_in.check_password(db, email, accounts.password)
    assert rows(db, "SELECT name, currency, is_demo FROM company") == [("Northwind Robotics", "USD", True)]


def test_the_past_is_paid_and_the_running_quarter_open(loaded):
    db, _, _ = loaded
    periods = dict(rows(db, "SELECT period, status FROM pay_periods"))
    assert periods["2026-07"] == periods["2026-08"] == periods["2026-09"] == "paid"
    assert periods["2026-10"] == periods["2026-11"] == "open"
    assert max(periods) == "2026-11"
    # What was paid for the closed quarter is what its lines come to: nobody was left below zero in it.
    (lines,) = rows(
        db,
        "SELECT sum(l.amount) FROM lines l JOIN pay_periods p ON p.run_id = l.run_id WHERE p.period = '2026-09'",
    )
    (paid,) = rows(
        db, "SELECT sum(amount) FROM payout_items i JOIN payouts o ON o.id = i.payout_id WHERE o.period = '2026-09'"
    )
    assert lines == paid
    assert rows(db, "SELECT count(*) FROM ledger WHERE kind = 'paid' AND period = '2026-09'")[0][0] > 20


def test_every_kind_of_component_pays(loaded):
    db, _, _ = loaded
    found = dict(rows(db, "SELECT component, sum(amount) FROM lines WHERE kind = 'earned' GROUP BY component"))
    assert set(found) == {
        "new-business", "renewals", "deals", "sales", "vision-kit-spif", "team-sales", "company-sales",
    }  # fmt: skip
    assert all(amount > 0 for amount in found.values())


def test_late_corrections_are_adjustments_of_the_open_quarter(loaded):
    db, _, _ = loaded
    adjusted = rows(db, "SELECT DISTINCT period, origin_period FROM lines WHERE kind = 'adjusted' ORDER BY 1")
    assert adjusted[0] == ("2026-10", "2026-09")
    assert {origin for _, origin in adjusted} == {"2026-09"}


def test_attainment_is_what_one_would_believe(loaded):
    db, _, _ = loaded
    ratios = [
        ratio
        for (ratio,) in rows(
            db,
            """SELECT a.credit / a.quota FROM run_attainment a JOIN pay_periods p ON p.run_id = a.run_id
                 JOIN users u ON u.id = a.user_id
                WHERE p.period = '2026-09' AND u.role = 'rep'""",
        )
    ]
    assert len(ratios) == 24
    assert 0.8 < sum(ratios) / len(ratios) < 1.2
    assert min(ratios) < 0.7
    assert max(ratios) > 1.2


def test_new_rows_get_new_ids(loaded):
    db, _, _ = loaded
    for table in ("users", "teams", "deals", "plans"):
        with db.write() as conn:
            following = conn.scalar(sa.text(f"SELECT nextval(pg_get_serial_sequence('{table}', 'id'))"))
            assert following > conn.scalar(sa.text(f"SELECT max(id) FROM {table}"))


def test_people_and_programs_at_once_get_their_answers(loaded, tmp_path):
    """`make load` for three seconds: that it works, not how fast."""
    db, _, _ = loaded
    little = Load(seconds=3, sessions=4, rate=20, processes=1, think=(0.3, 0.6))
    result = drive(little, db, tmp_path, {"QUOTAPATH_TODAY": TODAY.isoformat()})
    assert result.errors == []
    assert {name: len(each.seconds) for name, each in result.api.items()} == dict.fromkeys(result.api, 15)
    assert "| **API, all** | 60 |" in "\n".join(result.lines())


def test_a_database_that_holds_anything_is_left_alone(loaded):
    db, _, _ = loaded
    before = rows(db, "SELECT count(*) FROM deals")
    with pytest.raises(QuotaPathError, match="not empty"), Pool() as pool:
        demo.load_demo(db, pool, TODAY)
    assert rows(db, "SELECT count(*) FROM deals") == before


def test_a_failure_while_loading_leaves_nothing(database_url, monkeypatch):
    monkeypatch.setattr(demo, "plan_hash", lambda _: "no hash")
    db = Database(database_url)
    with pytest.raises(psycopg2.Error), Pool() as pool:
        demo.load_demo(db, pool, TODAY)
    assert rows(db, "SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM company)") == [(0,)]
    db.close()

"""People by file on a real database: added, changed, left alone, refused; all or nothing; the same list twice."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import pytest
import sqlalchemy as sa

from engine.db.database import Database
from engine.errors import ProblemsError, QuotaPathError
from engine.imports.people import HEADERS
from engine.services import people, people_import, sign_in
from engine.services.access import Actor, Forbidden
from engine.services.people_import import preview_people, read_roster
from engine.sheets import to_csv

TODAY = date(2026, 11, 22)
FIRST = date(2026, 11, 1)  # changes hold from
NEW_YEAR = date(2026, 1, 1)
HEAD = ",".join(HEADERS.values())
LIST = f"""{HEAD}
Vera Vance,vera@acme.test,manager,,,2020-01-01,,,
Mia Lang,mia@acme.test,manager,Sales,vera@acme.test,2021-01-01,,,mlang
Ana Torres,ana@acme.test,rep,West,Mia Lang,2025-03-01,,AE plan,
Bo Li,bo@acme.test,,West,mia@acme.test,2026-02-01,2026-06-30,ae,
"""


@pytest.fixture
def db(database_url):
    database = Database(database_url)
    with database.write() as conn:
        for statement in (
            "INSERT INTO company (name, currency) VALUES ('Acme', 'USD')",
            "INSERT INTO users (code, name, email, role) VALUES ('root', 'Root', 'root@acme.test', 'admin')",
            "INSERT INTO plans (name, title) VALUES ('ae', 'AE plan'), ('am', 'AM plan'), ('draft', 'Draft')",
            """INSERT INTO plan_versions (plan_id, effective_from, document, hash, status, published_at)
               SELECT id, '2026-01-01', 'x', '', 'published', now() FROM plans WHERE name <> 'draft'""",
        ):
            conn.execute(sa.text(statement))
    yield database
    database.close()


@pytest.fixture
def admin(db):
    with db.read() as conn:
        return Actor(conn.execute(sa.text("SELECT id FROM users")).scalar_one(), "admin", "Root")


def give(db, admin, text, start=FIRST, leave_out=False):
    roster = read_roster(text.encode() if isinstance(text, str) else text)
    seen = preview_people(db, admin, roster, start)
    people_import.import_people(db, admin, roster, start, seen, TODAY, leave_out)
    return seen


def look(db, admin, text, start=FIRST):
    return preview_people(db, admin, read_roster(text.encode()), start)


def listed(db, admin, on=TODAY):
    return {person.name: person for person in people.list_people(db, admin, on)}


def kinds(seen):
    return [entry.kind for entry in seen.entries]


def reasons(seen):
    return [(reason.path, f"{reason.message} {reason.remedy}") for entry in seen.entries for reason in entry.reasons]


def test_a_company_comes_in_by_one_list_and_the_same_list_again_changes_nothing(db, admin):
    seen = look(db, admin, LIST)
    assert kinds(seen) == ["add"] * 4
    assert seen.new_teams == ("Sales", "West")
    assert seen.moves_pay_from == date(2021, 1, 1)
    assert set(listed(db, admin)) == {"Root"}  # only looked at
    give(db, admin, LIST)
    found = listed(db, admin)
    ana, mia, bo = found["Ana Torres"], found["Mia Lang"], found["Bo Li"]
    assert (ana.team, ana.manager, ana.plan, ana.code, ana.has_password) == (
        "West", "Mia Lang", "AE plan", "ana.torres", False,
    )  # fmt: skip
    assert (mia.team, mia.manager, mia.leads, mia.code) == ("Sales", "Vera Vance", "West", "mlang")
    assert (bo.team, bo.plan, bo.is_active, bo.left_on, bo.role) == (None, None, False, date(2026, 7, 1), "rep")
    then = listed(db, admin, date(2026, 6, 30))
    assert (then["Bo Li"].team, then["Bo Li"].plan) == ("West", "AE plan")
    history = people.person_history(db, admin, ana.user_id, TODAY)
    assert [(row.team, row.start) for row in history.teams] == [("West", date(2025, 3, 1))]
    assert [(row.plan, row.start) for row in history.plans] == [("AE plan", NEW_YEAR)]  # its first version's day

    for start in (FIRST, TODAY, date(2027, 1, 1)):
        again = look(db, admin, LIST, start)
        assert kinds(again) == ["same"] * 4, start
    with db.read() as conn:
        audits = conn.scalar(sa.text("SELECT count(*) FROM audit"))
    give(db, admin, LIST)
    with db.read() as conn:
        assert conn.scalar(sa.text("SELECT count(*) FROM audit")) == audits == 1


def test_what_is_exported_comes_back_unchanged(db, admin):
    give(db, admin, LIST)
    data = to_csv(tuple(HEADERS.values()), people_import.export_roster(db, admin, TODAY))
    seen = preview_people(db, admin, read_roster(data), TODAY)
    assert kinds(seen) == ["same"] * 5


def test_changes_hold_from_the_chosen_day(db, admin):
    give(db, admin, LIST)
    seen = give(
        db,
        admin,
        f"{HEAD}\nAna T.,ANA@acme.test,,East,Vera Vance,,,AM plan,\nMia Lang,mia@acme.test,admin,,,,,,",
    )
    assert kinds(seen) == ["change", "change"]
    assert seen.entries[0].changes == (
        "name: Ana Torres → Ana T.",
        "East is led by Vera Vance",
        "team: West → East from 2026-11-01",
        "plan: AE plan → AM plan from 2026-11-01",
        "East is made",
    )
    ana = listed(db, admin)["Ana T."]
    assert (ana.email, ana.team, ana.manager, ana.plan) == ("ana@acme.test", "East", "Vera Vance", "AM plan")
    before = listed(db, admin, date(2026, 10, 31))["Ana T."]
    assert (before.team, before.manager, before.plan) == ("West", "Mia Lang", "AE plan")
    assert seen.entries[0].moves_pay_from == FIRST
    assert seen.entries[1].moves_pay_from is None


@pytest.mark.parametrize(
    ("row", "path", "said"),
    [
        ("X,no-address,rep,,,,,,", "e-mail", "not an e-mail address"),
        (",x@acme.test,rep,,,,,,", "name", "missing"),
        ("X,x@acme.test,boss,,,,,,", "role", "not a role"),
        ("X,x@acme.test,rep,West,,,,,", "hired on", "needs the day"),
        ("X,x@acme.test,rep,,Nobody,,,,", "manager", 'in the list is "Nobody"'),
        ("X,x@acme.test,rep,West,x@acme.test,2026-01-01,,,", "manager", "their own manager"),
        ("X,x@acme.test,rep,West,Ana Torres,2026-01-01,,,", "manager", "role rep"),
        ("X,x@acme.test,rep,West,Vera Vance,2026-01-01,,,", "manager", "is led by Mia Lang"),
        ("X,x@acme.test,rep,,Root,2026-01-01,,,", "manager", "leads no team"),
        ("X,x@acme.test,rep,,,2026-01-01,2025-01-01,,", "last day", "before the hire date"),
        ("X,x@acme.test,rep,,,,,Nope,", "plan", 'no plan "Nope"'),
        ("X,x@acme.test,rep,,,,,Draft,", "plan", "no published version"),
        ("X,x@acme.test,rep,,,,,,a b", "code", "not a code"),
        ("X,x@acme.test,rep,,,,,,mlang", "code", "that of Mia Lang"),
        ("Mia Lang,mia@acme.test,,,,,,,other", "code", "never changes"),
        ("Bo Li,bo@acme.test,,East,,,,,", "team", "has left, and was in West"),
        ("Bo Li,bo@acme.test,,,,,2026-09-30,,", "last day", "left already, last day 2026-06-30"),
        ("X,x@acme.test,rep,,,someday,,,", "hired on", "not a date"),
    ],
)
def test_a_refused_row_says_why_and_nothing_is_written(db, admin, row, path, said):
    give(db, admin, LIST)
    before = listed(db, admin)
    text = f"{HEAD}\nNew One,new@acme.test,rep,,,,,,\n{row}"
    seen = look(db, admin, text)
    assert kinds(seen) == ["add", "refuse"]
    ((found, sentence),) = reasons(seen)
    assert (found, said in sentence) == (path, True), sentence
    with pytest.raises(ProblemsError, match="line 3"):
        give(db, admin, text)
    assert listed(db, admin) == before
    give(db, admin, text, leave_out=True)
    assert set(listed(db, admin)) == {*before, "New One"}


def test_the_same_address_or_code_twice_is_refused(db, admin):
    seen = look(db, admin, f"{HEAD}\nA,a@x.test,,,,,,,c\nB,A@x.test,,,,,,,\nC,c@x.test,,,,,,,c")
    assert kinds(seen) == ["refuse"] * 3
    assert [path for path, _ in reasons(seen)] == ["e-mail", "code", "e-mail", "code"]


def test_who_is_led_by_a_refused_row_is_refused_as_well(db, admin):
    seen = look(
        db,
        admin,
        f"{HEAD}\nLow,low@x.test,rep,A,mid@x.test,2026-01-01,,,\nMid,mid@x.test,manager,B,top@x.test,2026-01-01,,,\n"
        "Top,top@x.test,boss,,,,,,",
    )
    assert kinds(seen) == ["refuse"] * 3
    assert "The row of top@x.test is refused" in reasons(seen)[1][1]
    assert seen.new_teams == ()


def test_two_managers_of_one_team_are_refused(db, admin):
    seen = look(
        db,
        admin,
        f"{HEAD}\nM,m@x.test,manager,,,,,,\nN,n@x.test,manager,,,,,,\nA,a@x.test,,T,M,2026-01-01,,,\nB,b@x.test,,T,N,2026-01-01,,,",
    )
    assert kinds(seen) == ["add", "add", "add", "refuse"]
    assert "two managers of T" in reasons(seen)[0][1]


def test_a_circle_of_managers_stops_everything(db, admin):
    text = f"{HEAD}\nM,m@x.test,manager,A,N,2026-01-01,,,\nN,n@x.test,manager,B,M,2026-01-01,,,"
    with pytest.raises(ProblemsError, match="circle"):
        give(db, admin, text)
    assert set(listed(db, admin)) == {"Root"}


def test_the_last_admin_stays(db, admin):
    with pytest.raises(ProblemsError, match="active admin"):
        give(db, admin, f"{HEAD}\nRoot,root@acme.test,rep,,,,,,")
    assert listed(db, admin)["Root"].role == "admin"


def test_a_last_day_to_come_keeps_the_sign_in_until_then(db, admin):
    give(db, admin, LIST)
    far = date.today() + timedelta(days=400)  # noqa: DTZ011 - the database's own clock decides about the sign-in
    ana = listed(db, admin)["Ana Torres"].user_id
    password = "herring umbrella"
    sign_in.choose_password(db, people.reset_password(db, admin, ana), password, password)
    give(db, admin, f"{HEAD}\nAna Torres,ana@acme.test,,,,,{far},,")
    assert sign_in.check_password(db, "ana@acme.test", password) == ana
    person = listed(db, admin)["Ana Torres"]
    assert (person.is_active, person.left_on, person.team) == (True, far + timedelta(days=1), "West")
    assert listed(db, admin, far + timedelta(days=1))["Ana Torres"].team is None
    with db.write() as conn:
        conn.execute(sa.text("UPDATE users SET left_on = current_date WHERE id = :id"), {"id": ana})
    with pytest.raises(sign_in.SignInRefused):
        sign_in.check_password(db, "ana@acme.test", password)


def test_what_changed_after_the_preview_is_not_imported(db, admin):
    roster = read_roster(LIST.encode())
    seen = preview_people(db, admin, roster, FIRST)
    people.add_person(db, admin, "Ana Other", "ana@acme.test", "rep")
    with pytest.raises(QuotaPathError, match="changed meanwhile"):
        people_import.import_people(db, admin, roster, FIRST, seen, TODAY)
    assert set(listed(db, admin)) == {"Root", "Ana Other"}


def test_the_same_list_by_two_at_once_is_imported_once(db, admin):
    roster = read_roster(LIST.encode())
    seen = preview_people(db, admin, roster, FIRST)

    def run(_):
        try:
            return people_import.import_people(db, admin, roster, FIRST, seen, TODAY)
        except QuotaPathError:
            return "refused"

    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(run, range(2)))
    assert sorted(map(str, found)) == ["4", "refused"]
    assert len(listed(db, admin)) == 5


def test_two_at_once_do_not_make_a_circle_together(db, admin):
    east = people.create_team(db, admin, "East", None, None, NEW_YEAR)
    west = people.create_team(db, admin, "West", None, None, NEW_YEAR)

    def put(pair):
        team, name, parent, start = pair
        try:
            people.change_team(db, admin, team, name, parent, None, start)
        except ProblemsError as refused:
            return refused.problems[0].path
        return "done"

    # One of the two holds only from a day to come: the circle would be there from then on.
    with ThreadPoolExecutor(2) as threads:
        found = sorted(threads.map(put, [(east, "East", west, TODAY), (west, "West", east, date(2027, 5, 1))]))
    assert found == ["done", "teams"]


def test_moves_and_additions_at_once_do_not_wait_for_each_other(db, admin):
    """Teams are locked before people everywhere; the other way round two of these would deadlock."""
    team = people.create_team(db, admin, "East", None, None, NEW_YEAR)
    boss = people.add_person(db, admin, "Boss", "boss@acme.test", "admin", NEW_YEAR).user_id

    def work(number):
        if number % 2:
            people.move_person(db, admin, boss, team if number % 4 == 1 else None, date(2026, 1, 1 + number % 28))
        else:
            people.add_person(db, admin, f"P{number}", f"p{number}@acme.test", "rep", NEW_YEAR, team)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(work, range(24)))
    assert len(listed(db, admin)) == 14


def test_only_admins_import(db, admin):
    roster = read_roster(LIST.encode())
    seen = preview_people(db, admin, roster, FIRST)
    for role in ("finance", "manager", "rep"):
        actor = Actor(admin.user_id, role, "Other")
        with pytest.raises(Forbidden):
            preview_people(db, actor, roster, FIRST)
        with pytest.raises(Forbidden):
            people_import.import_people(db, actor, roster, FIRST, seen, TODAY)

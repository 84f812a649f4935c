"""People and teams on a real database."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
import sqlalchemy as sa

from engine.db.database import Database
from engine.errors import ProblemsError, QuotaPathError
from engine.services import circles, people, sign_in
from engine.services.access import Actor, Forbidden
from engine.services.people import PersonRow

TODAY = date(2026, 11, 22)
NEW_YEAR = date(2026, 1, 1)


@pytest.fixture
def db(database_url):
    database = Database(database_url)
    with database.write() as conn:
        conn.execute(sa.text("INSERT INTO company (name, currency) VALUES ('Acme', 'USD')"))
        conn.execute(
            sa.text("INSERT INTO users (code, name, email, role) VALUES ('root', 'Root', 'root@acme.test', 'admin')")
        )
    yield database
    database.close()


@pytest.fixture
def admin(db):
    with db.read() as conn:
        return Actor(conn.execute(sa.text("SELECT id FROM users")).scalar_one(), "admin", "Root")


def add(db, admin, name, role="rep", **more):
    email = name.lower().replace(" ", "") + "@acme.test"
    return people.add_person(db, admin, name, email, role, NEW_YEAR, **more).user_id


def listed(db, admin, on=TODAY):
    return {person.name: person for person in people.list_people(db, admin, on)}


def paths(caught):
    return [problem.path for problem in caught.value.problems]


def test_a_new_person_chooses_a_password_over_the_link(db, admin):
    new = people.add_person(db, admin, "  Ana  Torres ", "Ana@Acme.test", "rep", NEW_YEAR)
    assert new.code == "ana.torres"
    assert new.link is not None
    with pytest.raises(sign_in.SignInRefused):
        sign_in.check_password(db, "ana@acme.test", new.link)
    assert sign_in.choose_password(db, new.link, "herring umbrella", "herring umbrella") == new.user_id
    assert sign_in.check_password(db, "ana@acme.test", "herring umbrella") == new.user_id
    again = people.add_person(db, admin, "Ána Torres", "ana2@acme.test", "rep", password="a long password")
    assert (again.code, again.link) == ("ana.torres2", None)
    assert sign_in.check_password(db, "ana2@acme.test", "a long password") == again.user_id


@pytest.mark.parametrize(
    ("name", "email", "code"),
    [
        ("王小明", "xiaoming@acme.test", "xiaoming"),
        ("王", "王@acme.test", "person"),
        ("O'Neill, Zoë", "z@a", "o.neill.zoe"),
    ],
)
def test_codes_of_other_alphabets(db, admin, name, email, code):
    assert people.add_person(db, admin, name, email, "rep").code == code


def test_everything_wrong_with_a_new_person_comes_at_once(db, admin):
    with pytest.raises(ProblemsError) as caught:
        people.add_person(db, admin, " ", "no address", "boss", None, team_id=1, password="short")
    assert paths(caught) == ["name", "e-mail", "role", "password", "hired on"]
    with pytest.raises(ProblemsError) as caught:
        people.add_person(db, admin, "Ana", "ROOT@acme.test", "rep")
    assert paths(caught) == ["e-mail"]
    assert "Root" in str(caught.value)
    assert set(listed(db, admin)) == {"Root"}


def test_many_people_are_added_at_once_with_their_teams_and_without_a_password(db, admin):
    east = people.create_team(db, admin, "East", None, None, NEW_YEAR)
    ids = people.add_people(
        db,
        admin,
        [
            PersonRow("Ana Torres", "ana@acme.test", "rep", "west", date(2026, 3, 1)),
            PersonRow(" Bo  Li ", " bo@acme.test ", "manager", "West", date(2026, 2, 1)),
            PersonRow("Cy", "cy@acme.test", "rep", "EAST", NEW_YEAR),
            PersonRow("Di", "di@acme.test"),
        ],
    )
    found = listed(db, admin)
    assert [found[name].user_id for name in ("Ana Torres", "Bo Li", "Cy", "Di")] == ids
    assert (found["Bo Li"].role, found["Bo Li"].team, found["Bo Li"].has_password) == ("manager", "west", False)
    assert (found["Cy"].team_id, found["Di"].team) == (east, None)
    (west,) = [team for team in people.list_team_rows(db, admin, TODAY) if team.name == "west"]
    assert (west.since, west.members) == (date(2026, 2, 1), 2)
    with pytest.raises(sign_in.SignInRefused):
        sign_in.check_password(db, "di@acme.test", "")
    link = people.reset_password(db, admin, ids[3])
    assert sign_in.choose_password(db, link, "herring umbrella", "herring umbrella") == ids[3]


def test_a_list_with_faults_adds_nobody_and_says_all(db, admin):
    with pytest.raises(ProblemsError) as caught:
        people.add_people(
            db,
            admin,
            [
                PersonRow("Ana", "ana@acme.test", "rep", "West", NEW_YEAR),
                PersonRow("", "ANA@acme.test", "boss"),
                PersonRow("Cy", "root@acme.test", "rep", "West"),
                PersonRow("Di", ""),
            ],
        )
    assert paths(caught) == [
        "row 1 (Ana), e-mail",
        "row 2, name",
        "row 2, role",
        "row 2, e-mail",
        "row 3 (Cy), e-mail",
        "row 3 (Cy), hired on",
        "row 4 (Di), e-mail",
    ]
    assert set(listed(db, admin)) == {"Root"}
    assert not people.list_team_rows(db, admin, TODAY)
    with pytest.raises(ProblemsError, match="Nobody"):
        people.add_people(db, admin, [])


@pytest.mark.parametrize(
    ("text", "name", "email"),
    [
        ("Zoë O'Neill", "Zoë O'Neill", "zoe.o.neill@acme.test"),
        ("Torres, Ana (Deactivated User)", "Ana Torres", "ana.torres@acme.test"),
        ("ana.torres@corp.example", "Ana Torres", "ana.torres@corp.example"),
        ("Ana T <at@corp.example>", "Ana T", "at@corp.example"),
        ("王", "王", ""),
    ],
)
def test_an_owner_of_a_file_is_proposed_as_a_person(text, name, email):
    found = people.propose_person(text, "acme.test")
    assert (found.name, found.email) == (name, email)


def test_another_role_ends_the_sessions(db, admin):
    ana = add(db, admin, "Ana")
    token = sign_in.open_session(db, ana).token
    people.edit_person(db, admin, ana, "Ana T", "ana@acme.test", "rep", NEW_YEAR)
    assert sign_in.session_actor(db, token) is not None
    people.edit_person(db, admin, ana, "Ana T", "ana@acme.test", "manager", NEW_YEAR)
    assert sign_in.session_actor(db, token) is None
    assert listed(db, admin)["Ana T"].code == "ana"


def test_deactivating_ends_sessions_team_plan_and_leadership(db, admin):
    mia = add(db, admin, "Mia", "manager")
    west = people.create_team(db, admin, "West", None, mia, NEW_YEAR)
    ana = add(db, admin, "Ana", team_id=west)
    token = sign_in.open_session(db, mia).token
    assert listed(db, admin)["Ana"].manager == "Mia"
    people.deactivate_person(db, admin, mia, date(2026, 11, 1))
    assert sign_in.session_actor(db, token) is None
    assert listed(db, admin)["Ana"].manager is None
    assert listed(db, admin, date(2026, 10, 31))["Ana"].manager == "Mia"
    assert not listed(db, admin)["Mia"].is_active
    people.deactivate_person(db, admin, ana, TODAY)
    assert listed(db, admin)["Ana"].team is None
    people.reactivate_person(db, admin, ana)
    assert listed(db, admin)["Ana"].is_active
    assert listed(db, admin)["Ana"].left_on is None


def test_nobody_leaves_before_being_hired(db, admin):
    ana = add(db, admin, "Ana")
    with pytest.raises(ProblemsError) as caught:
        people.deactivate_person(db, admin, ana, NEW_YEAR)
    assert paths(caught) == ["left on"]
    assert listed(db, admin)["Ana"].is_active
    people.deactivate_person(db, admin, ana, TODAY)
    with pytest.raises(ProblemsError) as caught:
        people.edit_person(db, admin, ana, "Ana", "ana@acme.test", "rep", TODAY)
    assert paths(caught) == ["hired on"]


def test_the_last_active_admin_stays(db, admin):
    with pytest.raises(ProblemsError, match="only active admin"):
        people.deactivate_person(db, admin, admin.user_id, TODAY)
    with pytest.raises(ProblemsError, match="only active admin"):
        people.edit_person(db, admin, admin.user_id, "Root", "root@acme.test", "finance", None)
    second = add(db, admin, "Second", "admin")
    people.deactivate_person(db, admin, admin.user_id, TODAY)
    with pytest.raises(ProblemsError, match="only active admin"):
        people.deactivate_person(db, admin, second, TODAY)


def test_a_new_password_ends_the_sessions_and_works(db, admin):
    ana = add(db, admin, "Ana")
    sign_in.choose_password(db, people.reset_password(db, admin, ana), "herring umbrella", "herring umbrella")
    token = sign_in.open_session(db, ana).token
    link = people.reset_password(db, admin, ana)
    assert sign_in.session_actor(db, token) is None
    with pytest.raises(sign_in.SignInRefused):  # at once, not when the link is used
        sign_in.check_password(db, "ana@acme.test", "herring umbrella")
    sign_in.choose_password(db, link, "walnut telescope", "walnut telescope")
    assert sign_in.check_password(db, "ana@acme.test", "walnut telescope") == ana
    with db.read() as conn:
        kept = str(conn.execute(sa.text("SELECT detail FROM audit")).all())
    assert link not in kept
    assert "walnut" not in kept
    with pytest.raises(QuotaPathError, match="That is you"):  # the only admin would be locked out
        people.reset_password(db, admin, admin.user_id)


def test_moving_ends_the_former_membership(db, admin):
    west = people.create_team(db, admin, "West", None, None, NEW_YEAR)
    east = people.create_team(db, admin, "East", None, None, NEW_YEAR)
    ana = add(db, admin, "Ana", team_id=west)
    people.move_person(db, admin, ana, east, date(2026, 7, 1))
    people.move_person(db, admin, ana, east, date(2026, 4, 1))  # earlier than the move before it
    assert [(each.team, each.start, each.end) for each in people.person_history(db, admin, ana, TODAY).teams] == [
        ("West", NEW_YEAR, date(2026, 4, 1)),
        ("East", date(2026, 4, 1), date(2026, 7, 1)),
        ("East", date(2026, 7, 1), None),
    ]
    people.move_person(db, admin, ana, east, date(2026, 5, 1))  # is there already: nothing changes
    assert len(people.person_history(db, admin, ana, TODAY).teams) == 3
    people.move_person(db, admin, ana, west, date(2026, 7, 1))  # the same day again replaces
    people.move_person(db, admin, ana, None, date(2026, 9, 1))
    assert listed(db, admin)["Ana"].team is None
    assert listed(db, admin, date(2026, 8, 31))["Ana"].team == "West"
    with pytest.raises(QuotaPathError, match="no such team"):
        people.move_person(db, admin, ana, 999, TODAY)


def test_a_team_changes_from_a_day(db, admin):
    mia, max_ = add(db, admin, "Mia", "manager"), add(db, admin, "Max", "manager")
    sales = people.create_team(db, admin, "Sales", None, None, NEW_YEAR)
    west = people.create_team(db, admin, "West", None, mia, NEW_YEAR)
    people.change_team(db, admin, west, "Far West", sales, max_, date(2026, 7, 1))
    now = {team.name: team for team in people.list_team_rows(db, admin, TODAY)}
    then = {team.name: team for team in people.list_team_rows(db, admin, date(2026, 6, 30))}
    assert (now["Far West"].manager, now["Far West"].parent) == ("Max", "Sales")
    assert (then["Far West"].manager, then["Far West"].parent) == ("Mia", None)
    people.change_team(db, admin, west, "Wild West", sales, max_, TODAY)  # only the name changes
    (renamed,) = [team for team in people.list_team_rows(db, admin, TODAY) if team.team_id == west]
    assert (renamed.name, renamed.since) == ("Wild West", date(2026, 7, 1))
    with pytest.raises(ProblemsError, match="already"):
        people.change_team(db, admin, west, "Sales", None, None, TODAY)
    with pytest.raises(ProblemsError, match="already"):
        people.create_team(db, admin, "Sales", None, None, TODAY)


def test_a_change_before_a_later_one_ends_there_or_replaces_it(db, admin):
    mia = add(db, admin, "Mia", "manager")
    west = people.create_team(db, admin, "West", None, None, TODAY)
    people.change_team(db, admin, west, "West", None, mia, NEW_YEAR)
    assert [(row.manager, row.start, row.end) for row in people.team_history(db, admin, west)] == [
        ("Mia", NEW_YEAR, TODAY),
        (None, TODAY, None),
    ]
    people.change_team(db, admin, west, "West", None, mia, NEW_YEAR, replace_later=True)
    assert [(row.manager, row.start, row.end) for row in people.team_history(db, admin, west)] == [
        ("Mia", NEW_YEAR, None)
    ]
    east = people.create_team(db, admin, "East", None, None, NEW_YEAR)
    ana = add(db, admin, "Ana", team_id=west)
    people.move_person(db, admin, ana, east, date(2026, 7, 1))
    people.move_person(db, admin, ana, west, date(2026, 3, 1), replace_later=True)  # as if never moved
    assert [(each.team, each.start, each.end) for each in people.person_history(db, admin, ana, TODAY).teams] == [
        ("West", NEW_YEAR, None)
    ]


def test_circles_of_teams_are_refused(db, admin):
    top = people.create_team(db, admin, "Top", None, None, NEW_YEAR)
    middle = people.create_team(db, admin, "Middle", top, None, NEW_YEAR)
    low = people.create_team(db, admin, "Low", middle, None, NEW_YEAR)
    with pytest.raises(ProblemsError, match="part of itself"):
        people.change_team(db, admin, top, "Top", top, None, NEW_YEAR)
    with pytest.raises(ProblemsError) as caught:
        people.change_team(db, admin, top, "Top", low, None, date(2026, 3, 1))
    assert "2026-03-01" in str(caught.value)
    assert all(name in str(caught.value) for name in ("Top", "Middle", "Low"))
    people.change_team(db, admin, low, "Low", None, None, date(2026, 2, 1))
    people.change_team(db, admin, top, "Top", low, None, date(2026, 3, 1))  # no circle on any day any more


def test_circles_of_managers_are_refused(db, admin):
    mia = add(db, admin, "Mia", "manager")
    sales = people.create_team(db, admin, "Sales", None, mia, NEW_YEAR)
    max_ = add(db, admin, "Max", "manager", team_id=sales)
    west = people.create_team(db, admin, "West", None, max_, NEW_YEAR)
    with pytest.raises(ProblemsError, match="Max > Mia|Mia > Max"):
        people.move_person(db, admin, mia, west, TODAY)
    assert listed(db, admin)["Mia"].team is None


def test_a_manager_sees_the_team_and_changes_nothing(db, admin):
    mia = add(db, admin, "Mia", "manager")
    west = people.create_team(db, admin, "West", None, mia, NEW_YEAR)
    ana, bo = add(db, admin, "Ana", team_id=west), add(db, admin, "Bo")
    actor = Actor(mia, "manager", "Mia")
    assert set(listed(db, actor)) == {"Mia", "Ana"}
    assert people.person_history(db, actor, ana, TODAY).teams
    with pytest.raises(Forbidden):
        people.person_history(db, actor, bo, TODAY)
    for call in (
        lambda: people.add_person(db, actor, "X", "x@acme.test", "admin"),
        lambda: people.add_people(db, actor, [PersonRow("X", "x@acme.test")]),
        lambda: people.edit_person(db, actor, mia, "Mia", "mia@acme.test", "admin", None),
        lambda: people.reset_password(db, actor, ana),
        lambda: people.deactivate_person(db, actor, ana, TODAY),
        lambda: people.reactivate_person(db, actor, ana),
        lambda: people.create_team(db, actor, "X", None, mia, TODAY),
        lambda: people.change_team(db, actor, west, "X", None, mia, TODAY),
        lambda: people.move_person(db, actor, bo, west, TODAY),
    ):
        with pytest.raises(Forbidden):
            call()
    with pytest.raises(Forbidden):
        people.list_people(db, Actor(ana, "rep", "Ana"), TODAY)


def test_two_at_once_do_not_share_an_email_or_a_code(db, admin):
    def add_ana(number):
        try:
            return people.add_person(db, admin, "Ana", f"ana{number // 2}@acme.test", "rep").code
        except ProblemsError as refused:
            return refused.problems[0].path

    with ThreadPoolExecutor(4) as threads:
        found = sorted(threads.map(add_ana, range(4)))
    assert found == ["ana", "ana2", "e-mail", "e-mail"]


def test_find_circle_looks_at_every_day():
    one, two = date(2026, 1, 1), date(2026, 2, 1)
    assert circles.find_circle([(1, 2, one, two), (2, 1, two, None)]) is None
    assert circles.find_circle([(1, 2, one, None), (2, 3, one, None), (3, 1, two, None)]) == ([1, 2, 3], two)

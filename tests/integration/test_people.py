"""People and teams on a real database."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
import sqlalchemy as sa

from engine.db import people as people_rows
from engine.db.database import Database
from engine.errors import ProblemsError, QuotaPathError
from engine.services import access, circles, impact, invitations, people, people_effect, sign_in, team_closing
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
    with pytest.raises(ProblemsError, match="no password yet: Second"):  # whose link may never be used
        people.deactivate_person(db, admin, admin.user_id, TODAY)
    link = people.reset_password(db, admin, second)
    sign_in.choose_password(db, link, "herring umbrella", "herring umbrella")
    people.deactivate_person(db, admin, admin.user_id, TODAY)
    with pytest.raises(ProblemsError, match="only active admin"):
        people.deactivate_person(db, admin, second, TODAY)


def test_two_admins_who_leave_one_after_the_other_leave_somebody(db, admin):
    second = add(db, admin, "Second", "admin")
    sign_in.choose_password(db, people.reset_password(db, admin, second), "herring umbrella", "herring umbrella")
    far = date(2199, 1, 1)
    people.deactivate_person(db, admin, second, far, signs_in_until_then=True)
    for leave in (
        lambda: people.deactivate_person(db, admin, admin.user_id, far, signs_in_until_then=True),
        lambda: people.edit_person(db, admin, admin.user_id, "Root", "root@acme.test", "rep", None),
    ):
        with pytest.raises(ProblemsError, match="last admin who stays"):
            leave()
    people.reactivate_person(db, admin, second)
    people.deactivate_person(db, admin, admin.user_id, far, signs_in_until_then=True)


def test_two_admins_who_demote_each_other_at_once_leave_one(db, admin):
    other = add(db, admin, "Second", "admin")
    second = Actor(other, "admin", "Second")
    sign_in.choose_password(db, people.reset_password(db, admin, other), "herring umbrella", "herring umbrella")
    at_once = threading.Barrier(2)

    def demote(actor, user_id, name):
        at_once.wait()
        people.edit_person(db, actor, user_id, name, f"{name.lower()}@acme.test", "rep", None)

    with ThreadPoolExecutor() as threads:
        each_other = ((admin, other, "Second"), (second, admin.user_id, "Root"))
        tried = [threads.submit(demote, *one) for one in each_other]
    assert sorted(each.exception() is None for each in tried) == [False, True]
    assert sum(person.role == "admin" for person in listed(db, admin).values()) == 1


def test_what_somebody_else_changed_is_not_overwritten(db, admin):
    west = people.create_team(db, admin, "West", None, None, NEW_YEAR)
    ana = add(db, admin, "Ana", team_id=west)
    seen, teams_seen = listed(db, admin)["Ana"], people.person_history(db, admin, ana, TODAY).teams
    team_seen = people.team_history(db, admin, west)
    people.edit_person(db, admin, ana, "Ana", "ana@acme.test", "manager", NEW_YEAR)
    people.move_person(db, admin, ana, None, TODAY)
    people.change_team(db, admin, west, "West", None, ana, TODAY)
    for act in (
        lambda: people.edit_person(db, admin, ana, "Ann", "ana@acme.test", "rep", NEW_YEAR, seen),
        lambda: people.move_person(db, admin, ana, west, TODAY, seen=teams_seen),
        lambda: people.change_team(db, admin, west, "West", None, None, TODAY, seen=team_seen),
        lambda: team_closing.close_team(db, admin, west, TODAY, None, team_seen),
    ):
        with pytest.raises(QuotaPathError, match=r"[Ss]omebody else"):
            act()
    now = listed(db, admin)["Ana"]
    assert (now.name, now.role, now.team, now.leads) == ("Ana", "manager", None, "West")


def test_coming_back_as_before_leaves_no_gap(db, admin):
    mia = add(db, admin, "Mia", "manager")
    top = people.create_team(db, admin, "Top", None, None, NEW_YEAR)
    west = people.create_team(db, admin, "West", top, mia, NEW_YEAR)
    ana = add(db, admin, "Ana", team_id=west)
    people.move_person(db, admin, mia, top, NEW_YEAR)
    before = people.team_history(db, admin, west), people.person_history(db, admin, mia, TODAY)
    people.deactivate_person(db, admin, mia, date(2026, 11, 1))
    assert people_effect.return_effect(db, admin, mia) == people_effect.Return("Top", ("West",), None)
    people.reactivate_person(db, admin, mia, as_before=True)
    assert listed(db, admin)["Ana"].manager == "Mia"
    assert people.person_history(db, admin, mia, TODAY) == before[1]
    assert {row.manager for row in people.team_history(db, admin, west)} == {"Mia"}
    people.deactivate_person(db, admin, ana, date(2026, 11, 1))
    people.reactivate_person(db, admin, ana)
    assert listed(db, admin)["Ana"].team is None


def test_whoever_leaves_is_in_no_team_after_it_whatever_is_planned(db, admin):
    mia = add(db, admin, "Mia", "manager")
    west = people.create_team(db, admin, "West", None, None, NEW_YEAR)
    east = people.create_team(db, admin, "East", None, mia, NEW_YEAR)
    ana = add(db, admin, "Ana", team_id=west)
    away = date(2198, 1, 1)
    for user_id in (ana, mia):
        people.deactivate_person(db, admin, user_id, away, signs_in_until_then=True)
    people.move_person(db, admin, ana, east, TODAY)
    assert people.person_history(db, admin, ana, TODAY).teams[-1].end == away
    people.change_team(db, admin, west, "West", None, mia, TODAY)
    assert [(row.manager, row.start) for row in people.team_history(db, admin, west)][1:] == [
        ("Mia", TODAY),
        (None, away),
    ]
    for act in (
        lambda: people.move_person(db, admin, ana, west, away),
        lambda: people.change_team(db, admin, east, "East", None, mia, away),
    ):
        with pytest.raises(ProblemsError, match="leaves before"):
            act()


def test_a_closed_team_gives_its_people_and_teams_on(db, admin):
    mia = add(db, admin, "Mia", "manager")
    top = people.create_team(db, admin, "Top", None, None, NEW_YEAR)
    west = people.create_team(db, admin, "West", top, mia, NEW_YEAR)
    east = people.create_team(db, admin, "East", top, None, NEW_YEAR)
    below = people.create_team(db, admin, "Below", west, None, NEW_YEAR)
    ana, bo = add(db, admin, "Ana", team_id=west), add(db, admin, "Bo", team_id=west)
    people.move_person(db, admin, bo, None, date(2026, 12, 24))
    assert people_effect.sight(db, admin, people_effect.closing(west, TODAY, east), TODAY) == [
        people_effect.Sight("Mia", (), ("Ana", "Bo"))
    ]
    assert not team_closing.close_team(db, admin, west, TODAY, east)
    spans = {
        name: [(row.team, row.start, row.end) for row in people.person_history(db, admin, user_id, TODAY).teams]
        for name, user_id in (("Ana", ana), ("Bo", bo))
    }
    assert spans == {
        "Ana": [("West", NEW_YEAR, TODAY), ("East", TODAY, None)],
        "Bo": [("West", NEW_YEAR, TODAY), ("East", TODAY, date(2026, 12, 24))],
    }
    now = {team.name: (team.parent, team.since, team.closed_on) for team in people.list_team_rows(db, admin, TODAY)}
    assert now["West"] == (None, None, TODAY)
    assert now["Below"] == ("Top", TODAY, None)
    for act in (  # nobody goes back into it, before it is opened again
        lambda: people.move_person(db, admin, ana, west, TODAY),
        lambda: people.change_team(db, admin, below, "Below", west, None, TODAY),
        lambda: team_closing.close_team(db, admin, east, TODAY, west),
        lambda: people.add_people(db, admin, [PersonRow("Cy", "cy@acme.test", "rep", "West", TODAY)]),
    ):
        with pytest.raises(ProblemsError, match="closed from"):
            act()
    people.change_team(db, admin, west, "West", top, mia, TODAY)
    people.move_person(db, admin, ana, west, TODAY)
    # Back on the same day: as if nothing had been.
    assert [(row.team, row.start, row.end) for row in people.person_history(db, admin, ana, TODAY).teams] == [
        ("West", NEW_YEAR, None)
    ]
    slip = people.create_team(db, admin, "Slip", None, None, TODAY)
    assert team_closing.close_team(db, admin, slip, TODAY, None)  # was never anything: forgotten
    assert "Slip" not in {team.name for team in people.list_team_rows(db, admin, TODAY)}


def test_who_sees_whom_is_what_the_reach_finds(db, admin):
    names = ("Mia", "Max", "Moe")
    mia, max_, moe = (add(db, admin, name, "manager") for name in names)
    top = people.create_team(db, admin, "Top", None, mia, NEW_YEAR)
    west = people.create_team(db, admin, "West", top, max_, NEW_YEAR)
    east = people.create_team(db, admin, "East", top, moe, NEW_YEAR)
    ana = add(db, admin, "Ana", team_id=west)
    for change in (
        people_effect.moving(ana, east, TODAY, False),
        people_effect.moving(ana, None, TODAY, False),
        people_effect.changing_team(west, "West", None, max_, TODAY, False),
        people_effect.changing_team(west, "West", east, None, TODAY, False),
        people_effect.leaving(admin, moe, TODAY),
    ):
        found = {one.manager: (set(one.gains), set(one.loses)) for one in people_effect.sight(db, admin, change, TODAY)}

        def seen(conn):
            called = dict(conn.execute(sa.text("SELECT id, name FROM users")).all())
            active = set(conn.scalars(sa.text("SELECT id FROM users WHERE left_on IS NULL")))
            return {
                name: {called[each] for each in people_rows.people_below(conn, user_id, TODAY)}
                if user_id in active
                else set()
                for name, user_id in zip(names, (mia, max_, moe), strict=True)
            }

        before, after = impact.rehearsed(db, change, seen)
        expected = {name: (after[name] - before[name], before[name] - after[name]) for name in names}
        assert found == {name: pair for name, pair in expected.items() if pair != (set(), set())}
    assert listed(db, admin)["Ana"].team == "West"  # nothing is kept


def test_what_a_role_brings_and_takes(db, admin):
    mia = add(db, admin, "Mia", "manager")
    west = people.create_team(db, admin, "West", None, mia, NEW_YEAR)
    add(db, admin, "Ana", team_id=west)
    sign_in.open_session(db, mia)
    found = people_effect.role_effect(db, admin, mia, "rep", TODAY)
    assert (found.sees, found.leads, found.held.sessions) == ((1, 0), ("West",), 1)
    assert found.reach["people.view"] == (access.Reach.TEAM, access.Reach.NONE)
    assert people_effect.role_effect(db, admin, mia, "finance", TODAY).sees == (1, None)


def test_many_are_invited_at_once(db, admin):
    ana, bo = add(db, admin, "Ana"), add(db, admin, "Bo")
    made = invitations.invite_people(db, admin, [bo, ana])
    assert [one.name for one in made] == ["Ana", "Bo"]
    assert sign_in.choose_password(db, made[0].secret, "herring umbrella", "herring umbrella") == ana
    with pytest.raises(sign_in.SignInRefused):  # once
        sign_in.choose_password(db, made[0].secret, "herring umbrella", "herring umbrella")
    with pytest.raises(ProblemsError, match="Ana: has a password already"):
        invitations.invite_people(db, admin, [ana, bo])
    assert sign_in.link_person(db, made[1].secret) is not None  # and Bo's link still works
    with db.read() as conn:
        assert made[1].secret not in str(conn.execute(sa.text("SELECT detail FROM audit")).all())


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

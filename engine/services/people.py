"""What people do with people: add, change, deactivate them; make teams and move people between them."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import sqlalchemy as sa

from engine.db import audit, people, plans, structure
from engine.db.database import Database
from engine.db.people import Locked, Person
from engine.db.plans import Assigned
from engine.db.structure import Membership, TeamRow, TeamState
from engine.errors import Problem, ProblemsError, QuotaPathError, given
from engine.imports.people import PersonRow
from engine.services import access, sign_in
from engine.services.access import Actor
from engine.services.circles import refuse_circles
from engine.services.impact import Impact, trial
from engine.services.naming import slug
from engine.services.person_checks import one_line, person_problems
from engine.workers.pool import Pool

__all__ = ["PersonRow"]

_EMAIL = re.compile(r"[^\s<>(),;]+@[^\s<>(),;]+")
_BESIDE_NAME = re.compile(r"\([^()]*\)|<[^<>]*>")  # "Ana Torres (Deactivated User)", "Ana <ana@example.com>"


@dataclass(frozen=True)
class NewPerson:
    """A person just added; `link` is the secret of the link to choose a password, or None when one was given."""

    user_id: int
    code: str
    link: str | None


@dataclass(frozen=True)
class History:
    """The teams and the plans of one person over time, oldest first."""

    teams: tuple[Membership, ...]
    plans: tuple[Assigned, ...]


# --- reading ---------------------------------------------------------------------------------------


def list_people(db: Database, actor: Actor, on: date) -> list[Person]:
    """The people within reach, the active first, with team, manager and plan as of `on`."""
    with db.read(actor) as conn:
        return people.listing(conn, on, access.visible_people(conn, actor, "people.view", on))


def person_history(db: Database, actor: Actor, user_id: int, on: date) -> History:
    """The teams and plans of a person within reach."""
    with db.read(actor) as conn:
        access.require_person(conn, actor, "people.view", user_id, on)
        return History(tuple(structure.memberships(conn, user_id)), tuple(plans.assigned_to_people(conn, [user_id])))


def list_team_rows(db: Database, actor: Actor, on: date) -> list[TeamRow]:
    """Every team with its leader, the team above and its number of members, as of `on`."""
    access.require(actor, "people.view")
    with db.read(actor) as conn:
        return structure.listing(conn, on)


def team_members(db: Database, actor: Actor, team_id: int, on: date) -> list[int]:
    """The user ids of those in the team itself on a day."""
    access.require(actor, "people.view")
    with db.read(actor) as conn:
        return structure.members(conn, team_id, on)


def team_history(db: Database, actor: Actor, team_id: int) -> list[TeamState]:
    """What a team was part of and who led it over time, oldest first."""
    access.require(actor, "people.view")
    with db.read(actor) as conn:
        return structure.history(conn, team_id)


# --- people ----------------------------------------------------------------------------------------


def add_person(
    db: Database,
    actor: Actor,
    name: str,
    email: str,
    role: str,
    hired_on: date | None = None,
    team_id: int | None = None,
    password: str | None = None,
) -> NewPerson:
    """Add a person who may sign in; without `password` a link is returned, over which the person chooses one.

    The team begins on the hire date, which a team needs.  Raises ProblemsError with all that is wrong.
    """
    access.require(actor, "people.edit")
    name, email = one_line(name), email.strip()
    problems = person_problems(name, email, role)
    if password is not None:
        problems += sign_in.password_problems(password, (name, email))
    if team_id is not None and hired_on is None:
        problems.append(Problem("hired on", "A team needs the day on which it begins.", "Give the hire date."))
    hashed = None if problems or password is None else sign_in.hash_password(password)
    with db.write(actor) as conn:
        structure.lock(conn)  # teams before people, everywhere: two changes at once never wait for each other
        people.lock_active_admins(conn)  # one change of people at a time: nobody else takes the e-mail meanwhile
        problems += _email_taken(conn, email)
        if problems:
            raise ProblemsError(problems)
        user_id, code = new_user(conn, name, email, role, hired_on, hashed)
        link = sign_in.give_link(conn, user_id) if password is None else None
        if team_id is not None and hired_on is not None:
            structure.set_team(conn, user_id, team_id, hired_on)
            refuse_circles(conn)
        _record(conn, actor, f"person {code}", did="added", name=name, email=email, role=role, hired_on=hired_on)
    return NewPerson(user_id, code, link)


def add_people(db: Database, actor: Actor, rows: Sequence[PersonRow]) -> list[int]:
    """Add many people, all or none, without a password: they cannot sign in until `reset_password` gives one.

    A team that there is not yet is made, from the first day of its first member.  Returns the user ids in the
    order of `rows`.  Raises ProblemsError with all that is wrong in any row.
    """
    access.require(actor, "people.edit")
    rows = [replace(row, name=one_line(row.name), email=row.email.strip(), team=one_line(row.team)) for row in rows]
    if not rows:
        raise ProblemsError([Problem("people", "Nobody is chosen.", "Choose at least one person.")])
    times = Counter(row.email.lower() for row in rows if row.email)
    with db.write(actor) as conn:
        teams = {name.casefold(): team_id for team_id, name in structure.lock(conn).items()}
        people.lock_active_admins(conn)  # as in `add_person`
        problems = [
            replace(problem, path=f"row {number}{f' ({row.name})' if row.name else ''}, {problem.path}")
            for number, row in enumerate(rows, 1)
            for problem in _row_problems(conn, row, times[row.email.lower()])
        ]
        if problems:
            raise ProblemsError(problems)
        made = _make_teams(conn, rows, teams)
        added = []
        for row in rows:
            user_id, _ = new_user(conn, row.name, row.email, row.role, row.hired_on, None)
            if row.team and row.hired_on is not None:
                structure.set_team(conn, user_id, teams[row.team.casefold()], row.hired_on)
            added.append(user_id)
        _record(conn, actor, f"{len(rows)} people", did="added", people=[row.name for row in rows], teams_made=made)
    return added


def propose_person(text: str, domain: str) -> PersonRow:
    """The person whom a name or an e-mail address of a file means; without one, it is first.last@`domain`."""
    email = _EMAIL.search(text)
    name = " ".join(_BESIDE_NAME.sub(" ", text).split())
    last, comma, first = name.partition(",")
    if comma and "," not in first:
        name = f"{first.strip()} {last.strip()}"
    if email:
        name = name.replace(email[0], "").strip() or " ".join(
            part.capitalize() for part in re.split(r"[._+-]+", email[0].partition("@")[0])
        )
    local = slug(name, ".")
    return PersonRow(name, email[0] if email else (f"{local}@{domain}" if local and domain else ""))


def edit_person(
    db: Database, actor: Actor, user_id: int, name: str, email: str, role: str, hired_on: date | None
) -> None:
    """Change name, e-mail, role or hire date; another role ends the person's sessions.

    Raises ProblemsError, also when the last active admin would get another role.
    """
    access.require(actor, "people.edit")
    name, email = one_line(name), email.strip()
    with db.write(actor) as conn:
        admins = people.lock_active_admins(conn)
        person = _person(conn, user_id)
        problems = [*person_problems(name, email, role), *_email_taken(conn, email, but=user_id)]
        if role != "admin":
            problems += _last_admin(admins, person)
        if hired_on is not None and person.left_on is not None and hired_on >= person.left_on:
            problems.append(
                Problem("hired on", f"{hired_on} is not before the day of leaving.", "Reactivate the person first.")
            )
        if problems:
            raise ProblemsError(problems)
        before = (person.name, person.email, person.role, person.hired_on)
        after = (name, email, role, hired_on)
        if before == after:
            return
        people.update(conn, user_id, name, email, role, hired_on)
        if role != person.role:
            sign_in.end_sessions(conn, user_id, "role changed")
        changes = {
            key: [old, new]
            for key, old, new in zip(("name", "email", "role", "hired_on"), before, after, strict=True)
            if old != new
        }
        _record(conn, actor, f"person {person.code}", did="edited", changes=changes)


def reset_password(db: Database, actor: Actor, user_id: int) -> str:
    """Take a person's password and sessions away; returns the secret of the link to choose a new one, for once."""
    access.require(actor, "people.edit")
    if user_id == actor.user_id:
        raise QuotaPathError("That is you: change your password in the menu under your name.")
    with db.write(actor) as conn:
        person = _person(conn, user_id)
        people.set_password(conn, user_id, None)
        sign_in.end_sessions(conn, user_id, "new password")
        link = sign_in.give_link(conn, user_id)
        _record(conn, actor, f"person {person.code}", did="reset the password")
    return link


def deactivate_person(
    db: Database, actor: Actor, user_id: int, left_on: date, signs_in_until_then: bool = False
) -> None:
    """From `left_on`, the first day away, the person is in no team and on no plan, and signs in no more.

    Sign-in ends at once, unless `signs_in_until_then`.  Teams that the person leads have no leader from that day.
    Raises ProblemsError for the last active admin and for a day before the hire date.
    """
    access.require(actor, "people.edit")
    with db.write(actor) as conn:
        structure.lock(conn)
        admins = people.lock_active_admins(conn)
        person = _person(conn, user_id)
        problems = _last_admin(admins, person)
        if person.hired_on is not None and left_on <= person.hired_on:
            problems.append(
                Problem("left on", f"{left_on} is not after the hire date, {person.hired_on}.", "Choose a later day.")
            )
        if problems:
            raise ProblemsError(problems)
        take_leave(conn, user_id, left_on, signs_in_until_then)
        if not signs_in_until_then:
            sign_in.end_sessions(conn, user_id, "deactivated")
        _record(
            conn, actor, f"person {person.code}", did="deactivated", left_on=left_on,
            signs_in_until_then=signs_in_until_then,
        )  # fmt: skip


def take_leave(conn: sa.Connection, user_id: int, left_on: date, signs_in_until_then: bool) -> None:
    """Let team, leadership and plan end on a day, in the caller's transaction; nothing is checked."""
    people.set_active(conn, user_id, signs_in_until_then, left_on)
    structure.leave(conn, user_id, left_on)
    structure.vacate(conn, user_id, left_on)
    plans.leave(conn, user_id, left_on)


def reactivate_person(db: Database, actor: Actor, user_id: int) -> None:
    """The person may sign in again; team and plan are given anew."""
    access.require(actor, "people.edit")
    with db.write(actor) as conn:
        person = _person(conn, user_id)
        people.set_active(conn, user_id, True, None)
        _record(conn, actor, f"person {person.code}", did="reactivated")


def _person(conn: sa.Connection, user_id: int) -> Locked:
    found = people.lock(conn, [user_id])
    if not found:
        raise QuotaPathError("There is no such person. Reload the page and choose one from the list.")
    return found[0]


def new_user(
    conn: sa.Connection,
    name: str,
    email: str,
    role: str,
    hired_on: date | None,
    password_hash: str | None,
    code: str = "",
) -> tuple[int, str]:
    """Insert with that code, else with the first free one: ``ana.torres``, then ``ana.torres2`` and so on."""
    stem = code or slug(name, ".") or slug(email.partition("@")[0], ".") or "person"
    number = 1
    while True:
        code = stem if number == 1 else f"{stem}{number}"
        user_id = people.add(conn, code, name, email, role, hired_on, password_hash)
        if user_id is not None:
            return user_id, code
        number += 1


def _row_problems(conn: sa.Connection, row: PersonRow, times: int) -> list[Problem]:
    problems = [*person_problems(row.name, row.email, row.role), *_email_taken(conn, row.email)]
    if times > 1:
        problems.append(Problem("e-mail", f"{row.email} stands in {times} rows.", "Give each person one of their own."))
    if row.team and row.hired_on is None:
        problems.append(Problem("hired on", "A team needs the day on which it begins.", "Give the hire date."))
    if len(row.team) > 200:
        problems.append(Problem("team", f"The name has {len(row.team)} characters.", "Write at most 200."))
    return problems


def _make_teams(conn: sa.Connection, rows: Sequence[PersonRow], teams: dict[str, int]) -> list[str]:
    """Make the teams that `teams` (folded name -> id) lacks, and put them in; returns their names."""
    made = []
    for row in rows:
        if row.team and row.team.casefold() not in teams:
            start = min(each.hired_on for each in rows if each.hired_on and each.team.casefold() == row.team.casefold())
            team_id = given(structure.add(conn, row.team))
            structure.set_structure(conn, team_id, None, None, start)
            teams[row.team.casefold()] = team_id
            made.append(row.team)
    return made


def _email_taken(conn: sa.Connection, email: str, but: int | None = None) -> list[Problem]:
    found = people.name_with_email(conn, email)
    if found is None or found[0] == but:
        return []
    return [Problem("e-mail", f"{email} belongs to {found[1]}.", "Each person signs in with an address of their own.")]


def _last_admin(admins: frozenset[int], person: Locked) -> list[Problem]:
    if admins != {person.user_id}:
        return []
    return [
        Problem(
            person.name, "is the only active admin; nobody could manage people then.", "Make someone else admin first."
        )
    ]


# --- teams -----------------------------------------------------------------------------------------


def create_team(
    db: Database, actor: Actor, name: str, parent_id: int | None, manager_id: int | None, start: date
) -> int:
    """A new team, part of `parent_id`, led by `manager_id`, from `start`; returns its id."""
    access.require(actor, "people.edit")
    name = _team_name(name)
    with db.write(actor) as conn:
        structure.lock(conn)
        _require_active(conn, manager_id)
        team_id = structure.add(conn, name)
        if team_id is None:
            raise _name_taken(name)
        structure.set_structure(conn, team_id, parent_id, manager_id, start)
        refuse_circles(conn)
        _record(conn, actor, f"team {name}", did="created", parent=parent_id, manager=manager_id, start=start)
    return team_id


def change_team(
    db: Database,
    actor: Actor,
    team_id: int,
    name: str,
    parent_id: int | None,
    manager_id: int | None,
    start: date,
    replace_later: bool = False,
) -> None:
    """Rename a team (at once), and say what it is part of and who leads it from `start` until its next change.

    With `replace_later` the changes after `start` are taken back, so that it holds for good.  Raises ProblemsError
    when a team would be part of itself or a person would manage themselves, at any time.
    """
    access.require(actor, "people.edit")
    name = _team_name(name)
    with db.write(actor) as conn:
        known = structure.lock(conn)
        if team_id not in known:
            raise QuotaPathError("There is no such team. Reload the page and choose one from the list.")
        if not structure.rename(conn, team_id, name):
            raise _name_taken(name)
        _change_team(conn, team_id, name, parent_id, manager_id, start, replace_later)
        _record(
            conn, actor, f"team {name}", did="changed", name=[known[team_id], name], parent=parent_id,
            manager=manager_id, start=start, replaced_later=replace_later,
        )  # fmt: skip


def team_impact(
    db: Database,
    pool: Pool,
    actor: Actor,
    team: TeamRow,
    parent_id: int | None,
    manager_id: int | None,
    start: date,
    replace_later: bool,
    today: date,
) -> Impact:
    """Whose earnings `change_team` would change; nothing is kept.  Raises ProblemsError as that does."""
    access.require(actor, "people.edit")
    return trial(
        db,
        pool,
        today,
        lambda conn: _change_team(conn, team.team_id, team.name, parent_id, manager_id, start, replace_later),
    )


def _change_team(
    conn: sa.Connection,
    team_id: int,
    name: str,
    parent_id: int | None,
    manager_id: int | None,
    start: date,
    replace_later: bool,
) -> None:
    structure.lock(conn)
    _require_active(conn, manager_id)
    if parent_id == team_id:
        raise ProblemsError([Problem("part of", f"{name} cannot be part of itself.", "Choose another team.")])
    if replace_later:
        structure.forget_structure_after(conn, team_id, start)
    now = next(team for team in structure.listing(conn, start) if team.team_id == team_id)
    if now.since is None or (now.parent_id, now.manager_id) != (parent_id, manager_id):
        structure.set_structure(conn, team_id, parent_id, manager_id, start)
    refuse_circles(conn)


def move_person(
    db: Database, actor: Actor, user_id: int, team_id: int | None, start: date, replace_later: bool = False
) -> None:
    """From `start` the person is in that team (None: in no team); the membership before ends there.

    A later membership stays, unless `replace_later` takes it back.  Raises ProblemsError for a day before the hire
    date, and when somebody would manage themselves.
    """
    access.require(actor, "people.edit")
    with db.write(actor) as conn:
        names = structure.lock(conn)
        if _move(conn, user_id, team_id, start, replace_later):
            team = None if team_id is None else names[team_id]
            code = _person(conn, user_id).code
            _record(conn, actor, f"person {code}", did="moved", team=team, start=start, replaced_later=replace_later)


def move_impact(
    db: Database,
    pool: Pool,
    actor: Actor,
    user_id: int,
    team_id: int | None,
    start: date,
    replace_later: bool,
    today: date,
) -> Impact:
    """Whose earnings `move_person` would change; nothing is kept.  Raises ProblemsError as that does."""
    access.require(actor, "people.edit")
    return trial(db, pool, today, lambda conn: _move(conn, user_id, team_id, start, replace_later))


def _move(conn: sa.Connection, user_id: int, team_id: int | None, start: date, replace_later: bool) -> bool:
    """Move in the caller's transaction; whether that changed anything."""
    if team_id is not None and team_id not in structure.lock(conn):
        raise QuotaPathError("There is no such team. Reload the page and choose one from the list.")
    person = _person(conn, user_id)
    if not person.is_active:
        raise ProblemsError([Problem(person.name, "is deactivated.", "Reactivate the person first.")])
    if person.hired_on is not None and start < person.hired_on:
        raise ProblemsError(
            [Problem("from", f"{start} is before {person.name} was hired, {person.hired_on}.", "Choose a later day.")]
        )
    if replace_later:
        structure.forget_teams_after(conn, user_id, start)
    elif structure.team_on(conn, user_id, start) == team_id:
        return False
    if structure.team_on(conn, user_id, start) != team_id:
        structure.set_team(conn, user_id, team_id, start)
    refuse_circles(conn)
    return True


def _team_name(name: str) -> str:
    name = one_line(name)
    if not 1 <= len(name) <= 200:
        raise ProblemsError([Problem("name", f"The team's name has {len(name)} characters.", "Write 1 to 200.")])
    return name


def _name_taken(name: str) -> ProblemsError:
    return ProblemsError([Problem("name", f'There is a team called "{name}" already.', "Choose another name.")])


def _require_active(conn: sa.Connection, user_id: int | None) -> None:
    if user_id is not None and not _person(conn, user_id).is_active:
        raise ProblemsError([Problem("manager", "The person is deactivated.", "Choose someone who is active.")])


def _record(conn: sa.Connection, actor: Actor, obj: str, **detail: object) -> None:
    audit.record(conn, actor.user_id, "people.edit", obj, detail)

"""What people do with people: add, change, deactivate them; make teams and move people between them."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
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
from engine.services.leaving import come_back, last_admin, leave_problems, locked_person, take_leave
from engine.services.naming import slug
from engine.services.person_checks import one_line, person_problems

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
        refuse_circles(conn)
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
    db: Database,
    actor: Actor,
    user_id: int,
    name: str,
    email: str,
    role: str,
    hired_on: date | None,
    seen: Person | None = None,
) -> None:
    """Change name, e-mail, role or hire date; another role ends the person's sessions and API tokens.

    `seen` is the person as the editor saw them: when somebody else has changed that since, nothing is saved.
    Raises ProblemsError, also when the last admin would get another role.
    """
    access.require(actor, "people.edit")
    name, email = one_line(name), email.strip()
    with db.write(actor) as conn:
        people.lock_active_admins(conn)
        person = locked_person(conn, user_id)
        if seen is not None:
            _refuse_changed(
                (("Name", seen.name, person.name), ("E-mail", seen.email, person.email),
                 ("Role", seen.role, person.role), ("Hired", seen.hired_on, person.hired_on)),
            )  # fmt: skip
        problems = [*person_problems(name, email, role), *_email_taken(conn, email, but=user_id)]
        if role != "admin":
            problems += last_admin(conn, actor, person)
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
        people.lock_active_admins(conn)
        person = locked_person(conn, user_id)
        if people.admins_with_password(conn) == {user_id}:  # two admins who do this to each other at once
            raise QuotaPathError(
                f"{person.name} is the only admin who has a password by now; without it nobody could manage people."
            )
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
        person = leave_problems(conn, actor, user_id, left_on)
        take_leave(conn, user_id, left_on, signs_in_until_then)
        if not signs_in_until_then:
            sign_in.end_sessions(conn, user_id, "deactivated")
        _record(
            conn, actor, f"person {person.code}", did="deactivated", left_on=left_on,
            signs_in_until_then=signs_in_until_then,
        )  # fmt: skip


def reactivate_person(db: Database, actor: Actor, user_id: int, as_before: bool = False) -> None:
    """The person may sign in again, and does not leave.

    With `as_before` it is as if they had never left: the team, the plan and the lead of teams that ended on that day go
    on without a gap, where nothing has taken their place.  Else all of that is given anew.
    """
    access.require(actor, "people.edit")
    with db.write(actor) as conn:
        structure.lock(conn)
        person = locked_person(conn, user_id)
        come_back(conn, person, as_before)
        _record(conn, actor, f"person {person.code}", did="reactivated", as_before=as_before)


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


def _refuse_changed(fields: Iterable[tuple[str, object, object]]) -> None:
    """Raise when what an editor saw is not what there is."""
    changed = [
        Problem(
            field,
            f"was changed by somebody else, from {before or 'nothing'} to {now or 'nothing'}; nothing is saved.",
            "Open it again, and then change it.",
        )
        for field, before, now in fields
        if before != now
    ]
    if changed:
        raise ProblemsError(changed)


# --- teams -----------------------------------------------------------------------------------------


def create_team(
    db: Database, actor: Actor, name: str, parent_id: int | None, manager_id: int | None, start: date
) -> int:
    """A new team, part of `parent_id`, led by `manager_id`, from `start`; returns its id."""
    access.require(actor, "people.edit")
    name = _team_name(name)
    with db.write(actor) as conn:
        structure.lock(conn)
        team_id = structure.add(conn, name)
        if team_id is None:
            raise _name_taken(name)
        _lead(conn, team_id, parent_id, manager_id, start)
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
    seen: Sequence[TeamState] | None = None,
) -> None:
    """Rename a team (at once), and say what it is part of and who leads it from `start` until its next change.

    With `replace_later` the changes after `start` are taken back, so that it holds for good.  `seen` is the team's
    history as the editor saw it.  Raises ProblemsError when a team would be part of itself or a person would manage
    themselves, at any time, and when somebody else has changed the team since.
    """
    access.require(actor, "people.edit")
    name = _team_name(name)
    with db.write(actor) as conn:
        known = structure.lock(conn)
        if team_id not in known:
            raise QuotaPathError("There is no such team. Reload the page and choose one from the list.")
        if seen is not None and list(seen) != structure.history(conn, team_id):
            raise _changed_meanwhile(known[team_id])
        if not structure.rename(conn, team_id, name):
            raise _name_taken(name)
        change_of_team(conn, team_id, name, parent_id, manager_id, start, replace_later)
        _record(
            conn, actor, f"team {name}", did="changed", name=[known[team_id], name], parent=parent_id,
            manager=manager_id, start=start, replaced_later=replace_later,
        )  # fmt: skip


def change_of_team(
    conn: sa.Connection,
    team_id: int,
    name: str,
    parent_id: int | None,
    manager_id: int | None,
    start: date,
    replace_later: bool,
) -> None:
    """What a team is part of and who leads it from a day on, in the caller's transaction.  Raises ProblemsError."""
    structure.lock(conn)
    if parent_id == team_id:
        raise ProblemsError([Problem("part of", f"{name} cannot be part of itself.", "Choose another team.")])
    if replace_later:
        structure.forget_structure_after(conn, team_id, start)
    now = next(team for team in structure.listing(conn, start) if team.team_id == team_id)
    if now.since is None or (now.parent_id, now.manager_id) != (parent_id, manager_id):
        _lead(conn, team_id, parent_id, manager_id, start)
    refuse_circles(conn)


def _lead(conn: sa.Connection, team_id: int, parent_id: int | None, manager_id: int | None, start: date) -> None:
    """What a team is part of and who leads it from a day on; somebody who leaves leads it until then."""
    leaves = None if manager_id is None else _manager(conn, manager_id, start).left_on
    structure.set_structure(conn, team_id, parent_id, manager_id, start)
    if manager_id is not None and leaves is not None:
        structure.vacate(conn, manager_id, leaves)


def move_person(
    db: Database,
    actor: Actor,
    user_id: int,
    team_id: int | None,
    start: date,
    replace_later: bool = False,
    seen: Sequence[Membership] | None = None,
) -> None:
    """From `start` the person is in that team (None: in no team); the membership before ends there.

    A later membership stays, unless `replace_later` takes it back.  `seen` are the memberships as the editor saw them.
    Raises ProblemsError for a day before the hire date or after the last one, and when somebody would manage
    themselves; QuotaPathError when somebody else has moved the person since.
    """
    access.require(actor, "people.edit")
    with db.write(actor) as conn:
        names = structure.lock(conn)
        if seen is not None and list(seen) != structure.memberships(conn, user_id):
            raise _changed_meanwhile(f"the team of {locked_person(conn, user_id).name}")
        if move(conn, user_id, team_id, start, replace_later):
            team = None if team_id is None else names[team_id]
            code = locked_person(conn, user_id).code
            _record(conn, actor, f"person {code}", did="moved", team=team, start=start, replaced_later=replace_later)


def move(conn: sa.Connection, user_id: int, team_id: int | None, start: date, replace_later: bool) -> bool:
    """Move in the caller's transaction; whether that changed anything."""
    if team_id is not None and team_id not in structure.lock(conn):
        raise QuotaPathError("There is no such team. Reload the page and choose one from the list.")
    person = locked_person(conn, user_id)
    if not person.is_active:
        raise ProblemsError([Problem(person.name, "is deactivated.", "Reactivate the person first.")])
    if person.hired_on is not None and start < person.hired_on:
        raise ProblemsError(
            [Problem("from", f"{start} is before {person.name} was hired, {person.hired_on}.", "Choose a later day.")]
        )
    if person.left_on is not None and start >= person.left_on:
        raise ProblemsError(
            [Problem("from", f"{person.name} leaves before {person.left_on}.", "Choose a day before it.")]
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


def _manager(conn: sa.Connection, user_id: int, start: date) -> Locked:
    """Who is to lead a team from a day on.  Raises ProblemsError when they are gone by then."""
    person = locked_person(conn, user_id)
    if not person.is_active:
        raise ProblemsError([Problem("manager", "The person is deactivated.", "Choose someone who is active.")])
    if person.left_on is not None and person.left_on <= start:
        raise ProblemsError(
            [Problem("manager", f"{person.name} leaves before {person.left_on}.", "Choose someone who stays.")]
        )
    return person


def _changed_meanwhile(what: str) -> QuotaPathError:
    return QuotaPathError(
        f"Somebody else changed {what} after you opened it, so nothing is saved. Open it again, and then change it."
    )


def _record(conn: sa.Connection, actor: Actor, obj: str, **detail: object) -> None:
    audit.record(conn, actor.user_id, "people.edit", obj, detail)

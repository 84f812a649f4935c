"""People by file: what a list would add and change, row by row, and then all of it or nothing.

A person is known by the e-mail address, so the same list twice changes nothing.  An empty cell says nothing.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta

import sqlalchemy as sa

from engine.db import audit, people, plans, structure
from engine.db.database import Database
from engine.db.people import Person
from engine.db.plans import Assigned
from engine.errors import Problem, ProblemsError, QuotaPathError, given
from engine.imports.people import Roster, RosterRow, read_roster, refused_csv, template
from engine.services import access, sign_in
from engine.services.access import Actor
from engine.services.circles import refuse_circles
from engine.services.impact import Impact, trial
from engine.services.leaving import take_leave
from engine.services.people import new_user
from engine.services.person_checks import person_problems
from engine.workers.pool import Pool

__all__ = ["Roster", "read_roster", "refused_csv", "template"]

_CODE = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Entry:
    """What one row comes to: ``kind`` is ``add``, ``change``, ``same`` or ``refuse``.

    ``changes`` say in words what happens to the person, ``reasons`` why a row is refused; ``moves_pay_from`` is the
    first day on which team, manager, plan or leaving changes.
    """

    row: RosterRow
    kind: str
    changes: tuple[str, ...] = ()
    reasons: tuple[Problem, ...] = ()
    moves_pay_from: date | None = None


@dataclass(frozen=True)
class RosterPreview:
    """What a list comes to, in its order, and the teams that it makes."""

    entries: tuple[Entry, ...]
    new_teams: tuple[str, ...] = ()

    def count(self, kind: str) -> int:
        """How many rows are of that kind."""
        return sum(entry.kind == kind for entry in self.entries)

    @property
    def moves_pay_from(self) -> date | None:
        """The first day on which something changes that pay depends on."""
        return min((entry.moves_pay_from for entry in self.entries if entry.moves_pay_from), default=None)


def preview_people(db: Database, actor: Actor, roster: Roster, start: date) -> RosterPreview:
    """What the list would do; changes of people who are there already hold from `start`.  Needs "people.edit"."""
    access.require(actor, "people.edit")
    with db.read(actor) as conn:
        return _Plan(conn, roster, start).preview


def import_people(
    db: Database, actor: Actor, roster: Roster, start: date, seen: RosterPreview, today: date, leave_out: bool = False
) -> int:
    """Do what the person saw in the preview, all of it or nothing; gives how many people were added or changed.

    With ``leave_out`` the refused rows are left out, else one of them stops everything.  Nobody gets a password.
    Whoever's last day is to come signs in until then.  Raises ProblemsError, and QuotaPathError when the list would do
    something else by now.
    """
    access.require(actor, "people.edit")
    with db.write(actor) as conn:
        structure.lock(conn)
        admins = people.lock_active_admins(conn)
        plan = _Plan(conn, roster, start)
        if plan.preview != seen:
            raise QuotaPathError(
                "People, teams or plans were changed meanwhile, so the list would do something else now. "
                "Nothing was imported; look at the new preview."
            )
        refused = [entry for entry in seen.entries if entry.kind == "refuse"]
        if refused and not leave_out:
            raise ProblemsError(problem for entry in refused for problem in _placed(entry))
        count = plan.apply(conn, today)
        refuse_circles(conn)
        stay = people.staying(conn, people.lock_active_admins(conn))
        if admins and not stay & (people.admins_with_password(conn) | {actor.user_id}):
            raise ProblemsError(
                [Problem("role", "Nobody would be an active admin any more who stays and has a password.", "Keep one.")]
            )
        if count:
            audit.record(
                conn, actor.user_id, "people.edit", f"import of {count} people",
                {
                    "from": start, "teams_made": seen.new_teams, "refused": len(refused),
                    "people": {entry.row.email: entry.changes for entry in seen.entries if entry.changes},
                },
            )  # fmt: skip
    return count


def roster_impact(db: Database, pool: Pool, actor: Actor, roster: Roster, start: date, today: date) -> Impact:
    """Whose earnings the rows that are not refused would change; nothing is kept.  Raises ProblemsError as above."""
    access.require(actor, "people.edit")

    def change(conn: sa.Connection) -> None:
        _Plan(conn, roster, start).apply(conn, today)
        refuse_circles(conn)

    return trial(db, pool, today, change)


def export_roster(db: Database, actor: Actor, on: date) -> Iterator[tuple[str | date | None, ...]]:
    """Everyone within reach as of a day, in the columns of the import: given back unchanged, it changes nothing."""
    with db.read(actor) as conn:
        found = people.listing(conn, on, access.visible_people(conn, actor, "people.view", on))
    for person in found:
        last_day = person.left_on - _ONE_DAY if person.left_on else None
        yield (
            person.name, person.email, person.role, person.team, person.manager, person.hired_on, last_day,
            person.plan, person.code,
        )  # fmt: skip


def _placed(entry: Entry) -> Iterator[Problem]:
    who = f" ({entry.row.name})" if entry.row.name else ""
    for reason in entry.reasons:
        yield Problem(f"line {entry.row.line}{who}, {reason.path}", reason.message, reason.remedy)


# --- what each row comes to --------------------------------------------------------------------------


@dataclass
class _Step:
    """What is done for one row."""

    row: RosterRow
    known: Person | None
    name: str
    role: str
    hired_on: date | None
    on: date
    edits: bool = False
    team: str = ""
    team_from: date | None = None
    plan_id: int | None = None
    plan_from: date | None = None
    left_on: date | None = None
    boss: str = ""  # the e-mail address of the manager that the row names
    leads: tuple[str, date] | None = None  # the team (folded) that the manager is to lead, and from when
    changes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def refuse(self, path: str, message: str, remedy: str) -> None:
        self.problems.append(Problem(path, message, remedy))

    def entry(self) -> Entry:
        if self.problems:
            return Entry(self.row, "refuse", (), tuple(self.problems))
        kind = "add" if self.known is None else "change" if self.changes else "same"
        moves = [day for day in (self.team_from, self.plan_from, self.left_on) if day]
        return Entry(self.row, kind, tuple(self.changes), (), min(moves, default=None))


class _Plan:
    """The steps of a list, found against one moment of the database."""

    def __init__(self, conn: sa.Connection, roster: Roster, start: date) -> None:
        self.start = start
        listed = people.listing(conn, start)
        self.by_email = {person.email.lower(): person for person in listed}
        self.by_code = {person.code: person for person in listed}
        self.times = Counter(row.email.lower() for row in roster.rows if row.email)
        self.code_times = Counter(row.code.lower() for row in roster.rows if row.code)
        self.names: dict[str, list[str]] = {}  # folded name -> the e-mail addresses of those called so
        for name, email in {
            *((person.name, person.email.lower()) for person in listed),
            *((row.name, row.email.lower()) for row in roster.rows if row.name and row.email),
        }:
            self.names.setdefault(name.casefold(), []).append(email)
        self.roles = {person.email.lower(): person.role for person in listed}
        self.roles |= {row.email.lower(): row.role or self.roles.get(row.email.lower(), "rep") for row in roster.rows}
        self.teams = {team.name.casefold(): team for team in structure.listing(conn, start)}
        self.team_names = {folded: team.name for folded, team in self.teams.items()}
        ids = [person.user_id for person in listed]
        self.member: dict[int, list[structure.Membership]] = {}
        for row in structure.all_memberships(conn):
            self.member.setdefault(row.user_id, []).append(row)
        self.on_plan: dict[int, list[Assigned]] = {}
        for assigned in plans.assigned_to_people(conn, ids):
            self.on_plan.setdefault(assigned.user_id, []).append(assigned)
        self.plans: dict[str, list[tuple[int, str]]] = {}
        for plan_id, name, title in plans.names(conn):
            for called in {name.casefold(), title.casefold()}:
                self.plans.setdefault(called, []).append((plan_id, title))
        self.plan_begins = plans.first_days(conn)
        self.managers: dict[int, list[tuple[int, date, date | None]]] = {}
        for user_id, manager_id, begin, end in people.manager_spans(conn):
            self.managers.setdefault(user_id, []).append((manager_id, begin, end))
        self.email_of = {person.user_id: person.email.lower() for person in listed}
        self.led_by: dict[str, str] = {}  # folded team -> e-mail of who is to lead it
        self.steps = [self._step(row) for row in roster.rows]
        self._refuse_with_manager()
        self.preview = RosterPreview(tuple(step.entry() for step in self.steps), tuple(self._new_teams()))

    # ---- one row
    def _step(self, row: RosterRow) -> _Step:
        known = self.by_email.get(row.email.lower())
        hired_on = row.hired_on or (known.hired_on if known else None)
        left_on = row.last_day + _ONE_DAY if row.last_day else None
        if left_on is None and known:
            left_on = known.left_on
        on = self.start if known else hired_on or self.start
        on = max(on, hired_on) if hired_on else on
        on = min(on, left_on - _ONE_DAY) if left_on else on
        name = row.name or (known.name if known else "")
        step = _Step(row, known, name, row.role or (known.role if known else "rep"), hired_on, on)
        step.problems += row.problems
        step.problems += person_problems(name, row.email, step.role)
        if self.times[row.email.lower()] > 1:
            step.refuse("e-mail", f"{row.email} stands in {self.times[row.email.lower()]} rows.", "Keep one of them.")
        if hired_on and left_on and left_on <= hired_on:
            step.refuse(
                "last day", f"{left_on - _ONE_DAY} is before the hire date, {hired_on}.", "Correct one of them."
            )
        self._code(step)
        if known is None:
            step.changes.append(f"new, as {step.role}")
        else:
            self._edits(step, known)
        self._membership(step)
        self._plan(step)
        self._leave(step, left_on)
        return step

    def _code(self, step: _Step) -> None:
        code = step.row.code.lower()
        if not code:
            return
        owner = self.by_code.get(code)
        if step.known is not None:
            if code != step.known.code:
                step.refuse("code", f"{code} is not {step.known.code}; a code never changes.", "Leave the cell empty.")
        elif not _CODE.fullmatch(code):
            step.refuse("code", f'"{step.row.code}" is not a code.', "Write small letters, digits, dots and dashes.")
        elif owner is not None:
            step.refuse("code", f"{code} is that of {owner.name} ({owner.email}).", "Correct the code or the e-mail.")
        elif self.code_times[code] > 1:
            step.refuse("code", f"{code} stands in {self.code_times[code]} rows.", "Give each person one of their own.")

    def _edits(self, step: _Step, known: Person) -> None:
        for label, old, new in (
            ("name", known.name, step.name),
            ("role", known.role, step.role),
            ("hired on", known.hired_on, step.hired_on),
        ):
            if old != new:
                step.edits = True
                step.changes.append(f"{label}: {old or 'nothing'} → {new}")

    def _membership(self, step: _Step) -> None:
        team, manager = step.row.team, step.row.manager
        known, on = step.known, step.on
        boss = self._manager(step) if manager else None
        step.boss = boss or ""
        now = (
            next(
                (
                    row
                    for row in self.member.get(known.user_id, ())
                    if row.start <= on and (row.end is None or row.end > on)
                ),
                None,
            )
            if known
            else None
        )
        stays = not team or (now is not None and now.team.casefold() == team.casefold())
        if stays and boss is not None and known is not None and boss in self._managers_on(known.user_id, on):
            return
        if manager and boss is None:
            return  # refused
        if boss is not None and not team:
            led = [each for each in self.teams.values() if each.manager_id and self.email_of[each.manager_id] == boss]
            if now is not None:
                team = now.team
            elif len(led) == 1:
                team = led[0].name
            else:
                step.refuse(
                    "manager",
                    f"{manager} leads {'no team' if not led else 'several teams'} on {self.start}.",
                    "Name the team as well.",
                )
                return
        if not team:
            return
        if len(team) > 200:
            step.refuse("team", f"has {len(team)} characters.", "Write at most 200.")
            return
        folded = team.casefold()
        if step.hired_on is None:
            step.refuse("hired on", "A team needs the day on which it begins.", "Give the hire date.")
            return
        if boss is not None:
            self._lead(step, folded, boss)
        if now is not None and now.team.casefold() == folded:
            return
        if known is not None and not known.is_active:
            step.refuse(
                "team", f"{known.name} has left, and was in {now.team if now else 'no team'}.", "Leave it empty."
            )
            return
        closed = self.teams[folded].closed_on if folded in self.teams else None
        if closed is not None:
            step.refuse("team", f"{self.team_names[folded]} is closed from {closed}.", "Name another team.")
            return
        later = [row for row in self.member.get(known.user_id, ()) if row.start > on] if known else []
        if later:
            step.refuse(
                "team", f"{step.name} moves to {later[0].team} on {later[0].start} already.", "Change it on the person."
            )
            return
        step.team, step.team_from = self.team_names.setdefault(folded, team), on
        before = f"{now.team} → " if now else ""
        step.changes.append(f"team: {before}{step.team} from {on}")

    def _managers_on(self, user_id: int, on: date) -> set[str]:
        return {
            self.email_of[boss]
            for boss, begin, end in self.managers.get(user_id, ())
            if begin <= on and (end is None or end > on)
        }

    def _manager(self, step: _Step) -> str | None:
        """The e-mail address of the manager that a row names; None, with the reason, when there is none."""
        text = step.row.manager
        found = [text.lower()] if text.lower() in self.roles else sorted(set(self.names.get(text.casefold(), ())))
        if len(found) != 1:
            many = f'{len(found)} people are called "{text}".'
            step.refuse(
                "manager", many if found else f'Nobody here or in the list is "{text}".', "Write the e-mail address."
            )
            return None
        if found[0] == step.row.email.lower():
            step.refuse("manager", f"{step.name} cannot be their own manager.", "Name somebody else.")
            return None
        if self.roles[found[0]] == "rep":
            step.refuse("manager", f"{text} has the role rep.", "Give them the role manager, in the list or before.")
            return None
        return found[0]

    def _lead(self, step: _Step, folded: str, boss: str) -> None:
        """Note that the team of the row is to be led by that person."""
        team = self.teams.get(folded)
        leader = self.email_of[team.manager_id] if team and team.manager_id else None
        wanted = self.led_by.setdefault(folded, boss)
        called = step.row.team or (team.name if team else "")
        if leader is not None and leader != boss:
            step.refuse(
                "manager",
                f"{called} is led by {given(team).manager} on {self.start}.",
                "Change it in the tab Teams first.",
            )
        elif wanted != boss:
            step.refuse("manager", f"The list names two managers of {called}.", "Name one.")
        elif leader is None:
            from_day = self.start if team else step.on
            step.leads = folded, from_day
            step.changes.append(f"{called} is led by {step.row.manager}")
            step.team_from = step.team_from or from_day

    def _plan(self, step: _Step) -> None:
        text = step.row.plan
        if not text:
            return
        found = self.plans.get(text.casefold(), [])
        if len({plan_id for plan_id, _ in found}) != 1:
            many = f'{len(found)} plans are called "{text}".' if found else f'There is no plan "{text}".'
            step.refuse("plan", many, "Write the name of one on the Plans page.")
            return
        plan_id, title = found[0]
        begins = self.plan_begins.get(plan_id)
        if begins is None:
            step.refuse("plan", f"{title} has no published version.", "Publish its draft first.")
            return
        on = max(step.on, begins)
        rows = self.on_plan.get(step.known.user_id, []) if step.known else []
        now = next((row for row in rows if row.start <= on and (row.end is None or row.end > on)), None)
        if now is not None and now.plan_id == plan_id:
            return
        if step.known is not None and not step.known.is_active:
            step.refuse(
                "plan", f"{step.name} has left, and was on {now.plan if now else 'no plan'}.", "Leave it empty."
            )
        elif later := [row for row in rows if row.start >= on]:
            step.refuse(
                "plan", f"{step.name} is on {later[0].plan} from {later[0].start}.", "Change it on the Plans page."
            )
        else:
            step.plan_id, step.plan_from = plan_id, on
            step.changes.append(f"plan: {f'{now.plan} → ' if now else ''}{title} from {on}")

    def _leave(self, step: _Step, left_on: date | None) -> None:
        if step.row.last_day is None or left_on is None:
            return
        if step.known is not None and step.known.left_on == left_on:
            return
        if step.known is not None and not step.known.is_active and step.known.left_on is not None:
            was = step.known.left_on - _ONE_DAY
            step.refuse("last day", f"{step.name} has left already, last day {was}.", "Change it on the person.")
            return
        step.left_on = left_on
        step.changes.append(f"last day {step.row.last_day}")

    # ---- all rows
    def _refuse_with_manager(self) -> None:
        """Whose manager is in a row that is refused is refused as well; and the teams that are made are named."""
        while True:
            gone = {step.row.email.lower() for step in self.steps if step.problems and step.known is None}
            left = [step for step in self.steps if step.boss in gone and not step.problems]
            if not left:
                break
            for step in left:
                step.refuse("manager", f"The row of {step.row.manager} is refused.", "Correct that row first.")
        for step in self.steps:
            if step.team and step.team.casefold() not in self.teams:
                step.changes.append(f"{step.team} is made")

    def _new_teams(self) -> list[str]:
        return sorted(
            {
                step.team
                for step in self.steps
                if not step.problems and step.team and step.team.casefold() not in self.teams
            }
        )

    def apply(self, conn: sa.Connection, today: date) -> int:
        """Do the steps of the rows that are not refused; gives how many people that changed."""
        steps = [step for step in self.steps if not step.problems and step.changes]
        ids = {email: person.user_id for email, person in self.by_email.items()}
        for step in steps:
            email = step.row.email
            if step.known is None:
                ids[email.lower()], _ = new_user(
                    conn, step.name, email, step.role, step.hired_on, None, step.row.code.lower()
                )
            elif step.edits:
                people.update(conn, step.known.user_id, step.name, step.known.email, step.role, step.hired_on)
                if step.role != step.known.role:
                    sign_in.end_sessions(conn, step.known.user_id, "role changed")
        teams = {folded: team.team_id for folded, team in self.teams.items()}
        leaders: dict[str, tuple[int, date]] = {}
        for step in steps:
            if step.leads is not None:
                folded, start = step.leads
                leaders[folded] = ids[step.boss], min(start, leaders.get(folded, (0, start))[1])
        for name in self.preview.new_teams:
            start = min(given(step.team_from) for step in steps if step.team == name)
            teams[name.casefold()] = given(structure.add(conn, name))
            boss, _ = leaders.pop(name.casefold(), (None, start))
            structure.set_structure(conn, teams[name.casefold()], None, boss, start)
        for folded, (boss, start) in leaders.items():
            structure.set_structure(conn, teams[folded], self.teams[folded].parent_id, boss, start)
        joined: list[tuple[int, int, date]] = []
        for step in steps:
            user_id = ids[step.row.email.lower()]
            if step.team and step.known is None:
                joined.append((user_id, teams[step.team.casefold()], given(step.team_from)))
            elif step.team:
                structure.set_team(conn, user_id, teams[step.team.casefold()], given(step.team_from))
            if step.plan_id is not None and step.plan_from is not None:
                plans.leave(conn, user_id, step.plan_from)
                plans.assign(conn, step.plan_id, user_id, step.plan_from, None, "days")
        structure.add_members(conn, joined)
        for step in steps:
            user_id = ids[step.row.email.lower()]
            if step.left_on is not None:
                take_leave(conn, user_id, step.left_on, signs_in_until_then=step.left_on > today)
                if step.left_on <= today:
                    sign_in.end_sessions(conn, user_id, "deactivated")
        return len(steps)

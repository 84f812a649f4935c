"""What people do with plans: write a draft, publish it as a version, put people on it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from engine.analytics.field_values import field_values
from engine.calc.book import book_from_rows
from engine.calc.calculate import calculate
from engine.calc.model import PPM, Assignment, Deal, FieldValue, Number, Plan, QuotaRow
from engine.db import audit, company, people, plans
from engine.db.database import Database
from engine.db.plans import Assigned, Draft, PlanSummary, Version
from engine.errors import NotFound, Problem, ProblemsError, QuotaPathError, given
from engine.money import parse_money, parse_number
from engine.periods import add_months
from engine.plans.canonical import plan_hash, to_toml
from engine.plans.diff import Change, diff
from engine.plans.document import PRORATIONS, parse_plan, read_plan
from engine.plans.examples import Example, example_problems, run_examples
from engine.plans.lint import lint
from engine.plans.reader import load_toml
from engine.plans.versions import read_versions
from engine.services import access
from engine.services.access import Actor
from engine.services.naming import slug

_TEMPLATES = Path(__file__).resolve().parents[2] / "data" / "plan_templates"
_LONGEST_DOCUMENT = 200_000  # characters; the largest plan seen in practice is a hundredth of it


@dataclass(frozen=True)
class Template:
    """A plan to begin with: its title, what it is for, and its document."""

    name: str
    title: str
    description: str
    document: str


@dataclass(frozen=True)
class PlanDetail:
    """Everything about one plan that the viewer may see; `assigned` holds the people within reach."""

    plan_id: int
    name: str
    title: str
    draft: Draft | None
    versions: tuple[Version, ...]
    assigned: tuple[Assigned, ...]


def templates() -> tuple[Template, ...]:
    """The plans to begin with, simplest first.

    A file ``2-percentage.toml`` is the template "percentage"; its first comment line is the title, the
    others are the description.
    """
    found = []
    for path in sorted(_TEMPLATES.glob("*.toml")):
        text = path.read_text(encoding="utf-8")
        comment = [line.lstrip("# ").rstrip() for line in text.splitlines() if line.startswith("#")]
        found.append(Template(path.stem.partition("-")[2], comment[0].rstrip("."), " ".join(comment[1:]), text))
    return tuple(found)


def list_plans(db: Database, actor: Actor, on: date) -> list[PlanSummary]:
    """The plans that the viewer may read, by title, with the number of people on each as of `on`."""
    with db.read(actor) as conn:
        readable = _readable(conn, actor)
    with db.read() as conn:  # how many are on a plan is no secret; who they are is
        return [plan for plan in plans.summaries(conn, on) if readable is None or plan.plan_id in readable]


def _readable(conn: sa.Connection, actor: Actor) -> frozenset[int] | None:
    """The ids of the plans that the viewer may read; None means all.  A rep reads the rules of the own pay."""
    if access.require(actor, "plans.view") is access.Reach.ALL:
        return None
    return plans.plans_of(conn, given(actor.user_id))


def plan_detail(db: Database, actor: Actor, plan_id: int, on: date) -> PlanDetail:
    """A plan with its versions and those people that the viewer may see, and its draft for whom drafts concern.

    Raises NotFound when there is none, Forbidden when it is outside the reach.
    """
    with db.read(actor) as conn:
        readable = _readable(conn, actor)
        if readable is not None and plan_id not in readable:
            raise access.Forbidden("You are not on this plan. Ask an admin if you should be.")
        name, title = _known(plans.get(conn, plan_id))
        allowed = (
            access.visible_people(conn, actor, "people.view", on)
            if access.may(actor, "people.view")
            else {actor.user_id}
        )
        assigned = plans.assigned_to_plan(conn, plan_id)
        return PlanDetail(
            plan_id,
            name,
            title,
            plans.draft(conn, plan_id) if readable is None else None,
            tuple(plans.versions(conn, plan_id)),
            tuple(row for row in assigned if allowed is None or row.user_id in allowed),
        )


def draft_problems(name: str, document: str, versions: Sequence[Version]) -> list[Problem]:
    """All that keeps a document from being the next version of the plan `name`; empty when it may be published."""
    published = [("published: ", version.document) for version in versions]
    _, problems = read_versions([*published, ("", document)], name)
    problems = [problem for problem in problems if not problem.path.startswith("published: ")]
    try:
        table = load_toml(document)
    except QuotaPathError:
        return problems  # which say so
    if table.get("plan", name) != name:
        problems.append(
            Problem("plan", f"This plan is called {name!r}, and its name never changes.", f'Write plan = "{name}".')
        )
    plan, _ = read_plan(table, name)
    if plan is not None and versions and plan.effective_from < versions[-1].effective_from.toordinal():
        start, last = date.fromordinal(plan.effective_from), versions[-1].effective_from
        problems.append(
            Problem(
                "effective_from",
                f"The version would start on {start}, before the last one of {last}.",
                f"Choose a day after {last}; published versions never change.",
            )
        )
    if plan is not None:
        problems += example_problems(table, name)
    return problems


@dataclass(frozen=True)
class Review:
    """What to look at before a document is published, beside its problems.

    `warnings` never keep it from being published, a failing example does; `changes` are those from the
    version before, which starts on `since` (None: this is the first).
    """

    warnings: tuple[Problem, ...]
    examples: tuple[Example, ...]
    since: date | None
    changes: tuple[Change, ...]


def review_draft(db: Database, actor: Actor, name: str, document: str, versions: Sequence[Version]) -> Review:
    """A document of the plan `name` that parses, looked at with the company's deals and its published versions."""
    access.require(actor, "plans.edit")
    plan = parse_plan(document, name)
    fields = {condition.field for component in plan.components for condition in component.when}
    with db.read(actor) as conn:
        known = field_values(conn, sorted(fields))
    changes = diff(parse_plan(versions[-1].document, name), plan) if versions else ()
    since = versions[-1].effective_from if versions else None
    return Review(tuple(lint(plan, known)), run_examples(document, name), since, changes)


def version_changes(name: str, versions: Sequence[Version]) -> tuple[tuple[Change, ...], ...]:
    """For each version, in their order, what changes from the one before; nothing for the first."""
    read = [parse_plan(version.document, name) for version in versions]
    return tuple(diff(before, after) if before else () for before, after in zip([None, *read], read, strict=False))


# Fields that a deal which is only tried has anyway.
_NOT_TYPED = ("amount", "close_date", "id", "owner", "currency")


@dataclass(frozen=True)
class Preview:
    """What one deal would earn: (component's label, cents) of each component that pays, and the sum."""

    currency: str
    lines: tuple[tuple[str, int], ...]
    total: int


def preview_fields(plan: Plan) -> dict[str, str]:
    """The fields of a deal that the plan looks at: those of filters with a value that the first of them accepts."""
    found = dict.fromkeys(_measured(plan), "1")
    for component in plan.components:
        for condition in component.when:
            texts = [
                operand
                for test, operands in condition.tests
                for operand in operands
                if test == "any_of" and isinstance(operand, str)
            ]
            if not found.get(condition.field):
                found[condition.field] = texts[0] if texts else ""
    return {name: found[name] for name in sorted(found) if name not in _NOT_TYPED}


def _measured(plan: Plan) -> set[str]:
    """The numbers of a deal, beside its amount, that the plan's components credit or pay on."""
    used = {name for component in plan.components for name in (component.measure, component.pays_on)}
    return used - {"amount", "count", "commission"}


def preview_deal(plan: Plan, amount: str, before: str, quota: str, fields: Mapping[str, str]) -> Preview:
    """What a deal of `amount`, closed on the plan's first day by one person alone, would earn.

    `before` is what the person had sold in the period, in a deal with the same `fields`; `quota` (empty:
    the components' own) holds for every component.  Raises QuotaPathError for text that is no amount,
    ProblemsError for what the plan lacks, such as a quota.
    """
    measured = _measured(plan)
    values: dict[str, FieldValue] = {
        name: Number(parse_number(text)) if name in measured else text for name, text in fields.items() if text
    }
    margin = parse_money(fields["margin"], plan.currency) if fields.get("margin") else None
    amounts = [parse_money(before or "0", plan.currency), parse_money(amount, plan.currency)]
    deals = [
        Deal(str(number), plan.effective_from, (("you", PPM),), amount=cents, margin=margin, owner="you", fields=values)
        for number, cents in enumerate(amounts)
        if cents or number
    ]
    quotas = [QuotaRow("you", None, None, parse_number(quota))] if quota else []
    result = calculate(book_from_rows({plan.name: (plan,)}, [Assignment("you", plan.name)], deals, quotas))
    if result.problems:
        raise ProblemsError(result.problems)
    labels = {component.id: component.label for component in plan.components}
    lines = [(labels[line.component], line.cents) for line in result.lines() if line.deal == "1"]
    return Preview(plan.currency, tuple(lines), sum(cents for _, cents in lines))


def create_plan(db: Database, actor: Actor, title: str, template: str, effective_from: date) -> int:
    """Begin a plan with the draft of a template, in the company's currency; returns the plan's id.

    Raises ProblemsError when the title is empty, too long or taken.
    """
    access.require(actor, "plans.edit")
    title = _title(title)
    name = slug(title, "-")
    if not name:
        raise ProblemsError([Problem("name", f"{title!r} has no letter or digit.", "Write a name such as AE 2026.")])
    chosen = next((each for each in templates() if each.name == template), None)
    if chosen is None:
        raise QuotaPathError(f"There is no template {template!r}. Choose one of the list.")
    with db.write(actor) as conn:
        document = {
            **_moved(load_toml(chosen.document), effective_from),
            "plan": name,
            "currency": company.currency(conn),
        }
        plan_id = plans.add(conn, name, title)
        if plan_id is None:
            raise ProblemsError(
                [Problem("name", f"There is a plan {name!r} already.", "Choose another name, or edit that plan.")]
            )
        plans.add_draft(conn, plan_id, to_toml(document), actor.user_id)
        _record(conn, actor, name, did="created", template=template)
    return plan_id


def _moved(document: dict[str, Any], start: date) -> dict[str, Any]:
    """A template in force from `start`, its windows as many months later (or earlier) as the plan begins."""
    before: date = document["effective_from"]
    months = (start.year - before.year) * 12 + start.month - before.month
    components = [
        {
            **component,
            "window": {
                end: date.fromordinal(add_months(day.toordinal(), months)) for end, day in component["window"].items()
            },
        }
        if "window" in component
        else component
        for component in document["component"]
    ]
    return {**document, "effective_from": start, "component": components}


def save_draft(db: Database, actor: Actor, plan_id: int, document: str, seen: str, title: str | None = None) -> None:
    """Keep the draft's text, finished or not, and the plan's title.

    `seen` is the text that the editor began from: when someone else has saved meanwhile, nothing is
    written and QuotaPathError says so.
    """
    access.require(actor, "plans.edit")
    if len(document) > _LONGEST_DOCUMENT:
        raise QuotaPathError(f"The document has {len(document):,} characters; at most {_LONGEST_DOCUMENT:,} are kept.")
    with db.write(actor) as conn:
        name, _ = _known(plans.lock(conn, plan_id))
        draft = _unchanged(plans.draft(conn, plan_id), seen)
        plans.write_draft(conn, draft.version_id, document)
        if title is not None:
            plans.rename(conn, plan_id, _title(title))
        _record(conn, actor, name, did="saved the draft")


def publish_plan(db: Database, actor: Actor, plan_id: int, seen: str) -> str:
    """Freeze the draft as the plan's next version and return its hash (hex).

    `seen` is the text on the screen; it must be the draft as saved.  Raises ProblemsError with everything
    that is wrong with it.
    """
    access.require(actor, "plans.edit")
    with db.write(actor) as conn:
        name, _ = _known(plans.lock(conn, plan_id))
        draft = _unchanged(plans.draft(conn, plan_id), seen)
        problems = draft_problems(name, draft.document, plans.versions(conn, plan_id))
        if problems:
            raise ProblemsError(problems)
        plan = parse_plan(draft.document, name)
        digest, start = plan_hash(plan), date.fromordinal(plan.effective_from)
        plans.publish(conn, draft.version_id, start, digest, actor.user_id)
        _record(conn, actor, name, did="published", effective_from=start, hash=digest)
    return digest


def new_draft(db: Database, actor: Actor, plan_id: int, effective_from: date) -> None:
    """Begin the next version from the newest published one, in force from a later day."""
    access.require(actor, "plans.edit")
    with db.write(actor) as conn:
        name, _ = _known(plans.lock(conn, plan_id))
        versions = plans.versions(conn, plan_id)
        if plans.draft(conn, plan_id) is not None or not versions:
            raise QuotaPathError("This plan has a draft already. Finish it or discard it first.")
        last = versions[-1]
        if effective_from <= last.effective_from:
            raise ProblemsError(
                [
                    Problem(
                        "effective_from",
                        f"{effective_from} is not after the last version's first day, {last.effective_from}.",
                        "Choose a later day; published versions never change.",
                    )
                ]
            )
        document = {**load_toml(last.document), "effective_from": effective_from}
        plans.add_draft(conn, plan_id, to_toml(document), actor.user_id)
        _record(conn, actor, name, did="began a draft", effective_from=effective_from)


def discard_draft(db: Database, actor: Actor, plan_id: int) -> bool:
    """Throw the draft away; a plan that was never published goes with it, and the answer is True."""
    access.require(actor, "plans.edit")
    with db.write(actor) as conn:
        name, _ = _known(plans.lock(conn, plan_id))
        draft = plans.draft(conn, plan_id)
        if draft is None:
            raise QuotaPathError("There is no draft to discard: someone published or discarded it meanwhile.")
        plans.remove_draft(conn, draft.version_id)
        gone = not plans.versions(conn, plan_id)
        if gone:
            plans.remove(conn, plan_id)
        _record(conn, actor, name, did="discarded the draft", document=draft.document)
    return gone


def assign_plan(
    db: Database,
    actor: Actor,
    plan_id: int,
    user_ids: Collection[int],
    start: date,
    end: date | None = None,
    prorate: str = "days",
    end_other_plans: bool = False,
) -> int:
    """Put people on a plan in ``[start, end)``, all or none; returns how many.

    With `end_other_plans` a plan that a person began earlier ends on `start`.  Raises ProblemsError with
    everyone who is on a plan in that time, and when the plan is not in force yet.
    """
    access.require(actor, "plans.edit")
    if prorate not in PRORATIONS:
        raise ValueError(prorate)
    with db.write(actor) as conn:
        name, _ = _known(plans.get(conn, plan_id))
        wanted = people.lock(conn, user_ids)
        problems = list(_assignment_dates(plans.first_days(conn).get(plan_id), start, end))
        if not user_ids:
            problems.append(Problem("people", "Nobody is chosen.", "Choose at least one person."))
        problems += [
            Problem(person.name, "is deactivated.", "Reactivate the person first.")
            for person in wanted
            if not person.is_active
        ]
        problems += [
            Problem(person.name, f"leaves before {person.left_on}.", "Choose a day before it.")
            for person in wanted
            if person.is_active and person.left_on is not None and person.left_on <= start
        ]
        for row in plans.assigned_to_people(conn, [person.user_id for person in wanted]):
            overlaps = (end is None or row.start < end) and (row.end is None or row.end > start)
            if not overlaps:
                continue
            if end_other_plans and row.start < start:
                plans.set_end(conn, row.assignment_id, start)
                continue
            until = f" to {row.end}" if row.end else ""
            problems.append(
                Problem(
                    row.person,
                    f"is on {row.plan} from {row.start}{until}, and a person is on one plan at a time.",
                    f"Choose a last day before {row.start}, or remove that assignment first."
                    if row.start >= start
                    else 'Tick "Whoever is on another plan leaves it on that day", or end that assignment first.',
                )
            )
        if problems:
            raise ProblemsError(problems)
        for person in wanted:
            plans.assign(conn, plan_id, person.user_id, start, end, prorate)
        _record(
            conn, actor, name, did="assigned", people=[person.name for person in wanted],
            start=start, end=end, prorate=prorate,
        )  # fmt: skip
        return len(wanted)


def _assignment_dates(first: date | None, start: date, end: date | None) -> list[Problem]:
    problems = []
    if first is None:
        problems.append(Problem("plan", "The plan has no published version.", "Publish its draft first."))
    elif start < first:
        problems.append(
            Problem(
                "start",
                f"On {start} no version of the plan is in force; the first one starts on {first}.",
                f"Start on {first} or later.",
            )
        )
    if end is not None and end <= start:
        problems.append(
            Problem(
                "end",
                f"{end} is not after the start, {start}.",
                "It is the first day off the plan; choose a later one.",
            )
        )
    return problems


def end_assignment(db: Database, actor: Actor, assignment_id: int, end: date | None) -> None:
    """Let an assignment end: `end` is the first day off the plan; None makes it open-ended again."""
    access.require(actor, "plans.edit")
    with db.write(actor) as conn:
        row = _assignment(conn, assignment_id)
        people.lock(conn, [row.user_id])
        problems = []
        if end is not None and end <= row.start:
            problems.append(
                Problem(
                    "end",
                    f"{end} is not after the start, {row.start}.",
                    "Choose a later day, or remove the assignment.",
                )
            )
        problems += [
            Problem(row.person, f"is on {other.plan} from {other.start}.", f"End on {other.start} or earlier.")
            for other in plans.assigned_to_people(conn, [row.user_id])
            if other.start > row.start and (end is None or other.start < end)
        ]
        if problems:
            raise ProblemsError(problems)
        plans.set_end(conn, assignment_id, end)
        _record(conn, actor, row.plan, did="ended an assignment", person=row.person, start=row.start, end=end)


def remove_assignment(db: Database, actor: Actor, assignment_id: int) -> None:
    """Take an assignment back as if it had never been; what it earned in open periods goes with the next run."""
    access.require(actor, "plans.edit")
    with db.write(actor) as conn:
        row = _assignment(conn, assignment_id)
        plans.unassign(conn, assignment_id)
        _record(conn, actor, row.plan, did="removed an assignment", person=row.person, start=row.start, end=row.end)


def _assignment(conn: sa.Connection, assignment_id: int) -> Assigned:
    row = plans.assignment(conn, assignment_id)
    if row is None:
        raise QuotaPathError("That assignment is gone: someone removed it meanwhile.")
    return row


def _known(plan: tuple[str, str] | None) -> tuple[str, str]:
    if plan is None:
        raise NotFound("There is no such plan; it may have been discarded. Choose one from the list.")
    return plan


def _unchanged(draft: Draft | None, seen: str) -> Draft:
    if draft is None:
        raise QuotaPathError("There is no draft any more: someone published or discarded it meanwhile.")
    if draft.document != seen:
        raise QuotaPathError(
            "Someone else saved this draft meanwhile. Copy what you want to keep, reload the page and put it in again."
        )
    return draft


def _title(title: str) -> str:
    title = " ".join(title.split())
    if not 1 <= len(title) <= 200:
        raise ProblemsError([Problem("name", f"The name has {len(title)} characters.", "Write 1 to 200.")])
    return title


def _record(conn: sa.Connection, actor: Actor, plan: str, **detail: object) -> None:
    audit.record(conn, actor.user_id, "plans.edit", f"plan {plan}", detail)

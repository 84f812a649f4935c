"""The stages of the pipeline: their order, meaning and probability, and what really becomes of the deals in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa

from engine.analytics import stages as analytics
from engine.analytics.inputs import plans as published_plans
from engine.calc.model import Plan
from engine.db import audit, company, pay, stages
from engine.db.database import Database
from engine.db.stages import COLORS, Stage, Standing
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.money import PPM
from engine.periods import parse_period
from engine.services import access
from engine.services.access import Actor
from engine.services.impact import Impact, impact, trial
from engine.workers.pool import Pool

__all__ = ["COLORS", "Stage", "Standing"]

OUTCOMES = ("open", "won", "lost")
_ENDS = {"won": PPM, "lost": 0}  # the probability that goes without saying


@dataclass(frozen=True)
class StageFields:
    """What an admin says of a stage; the probability of a won or lost one is 100% or 0%, whatever is given."""

    name: str
    outcome: str
    probability_ppm: int
    color: str


@dataclass(frozen=True)
class StageRow:
    """A stage with what became of the deals that entered it in a span, as far as the viewer may see them.

    ``won`` and ``lost`` count deals; the amounts are minor units of the company's currency; ``days`` is how long
    those that left it had stayed on average.  ``rate_ppm`` is the real win rate by number, ``amount_rate_ppm`` by
    amount; None where nothing is decided.  ``unconverted``: decided deals that the amounts leave out.
    """

    stage: Stage
    entered: int = 0
    undecided: int = 0
    won: int = 0
    lost: int = 0
    won_amount: int = 0
    lost_amount: int = 0
    days: float | None = None
    unconverted: int = 0

    @property
    def rate_ppm(self) -> int | None:
        """Of the decided deals that entered the stage, how many were won."""
        return analytics.share_ppm(self.won, self.lost)

    @property
    def amount_rate_ppm(self) -> int | None:
        """Of the decided amounts, how much was won."""
        return analytics.share_ppm(self.won_amount, self.lost_amount)


def list_stages(db: Database, actor: Actor) -> list[Stage]:
    """Every stage, the retired last, each in order."""
    access.require(actor, "stages.view")
    with db.read(actor) as conn:
        return stages.listing(conn)


def stage_rows(db: Database, actor: Actor, since: date, until: date, today: date) -> list[StageRow]:
    """Every stage with what became of the deals within reach that entered it in ``[since, until)``."""
    with db.read(actor) as conn:
        people = access.visible_people(conn, actor, "stages.view", today)
        frame = analytics.passage(conn, people, since, until, company.currency(conn))
        listed = stages.listing(conn)
    found = {int(stage_id): row for stage_id, row in frame.iterrows()}  # type: ignore[call-overload]
    rows = []
    for stage in listed:
        row = found.get(stage.id)
        if row is None:
            rows.append(StageRow(stage))
            continue
        counts = {name: int(row[name]) for name in analytics.COLUMNS if name != "days"}
        rows.append(StageRow(stage, days=None if row["days"] != row["days"] else float(row["days"]), **counts))
    return rows


def standing(db: Database, actor: Actor, stage_id: int) -> Standing:
    """What stands in a stage, before it is retired or gets another meaning.  Needs "stages.edit"."""
    access.require(actor, "stages.edit")
    with db.read(actor) as conn:
        return stages.standing(conn, stage_id)


# --- changing --------------------------------------------------------------------------------------


def add_stage(db: Database, actor: Actor, fields: StageFields) -> int:
    """A new stage behind those that there are; gives its id.  Raises ProblemsError."""
    access.require(actor, "stages.edit")
    fields = _tidy(fields)
    with db.write(actor) as conn:
        listed = stages.listing(conn, lock=True)
        _refuse(_field_problems(fields, listed))
        stage_id = stages.add(conn, fields.name, fields.outcome, fields.probability_ppm, fields.color)
        _put_retired_last(conn)
        _record(conn, actor, fields.name, did="added", outcome=fields.outcome, probability=fields.probability_ppm)
    return stage_id


def edit_stage(db: Database, actor: Actor, seen: Stage, fields: StageFields) -> None:
    """Change name, meaning, probability or colour of a stage; ``seen`` is what the person had before them.

    Another meaning or name may change earnings of periods that are open, see `meaning_impact`; closed ones stay.
    Raises ProblemsError, also when deals stand in the way, QuotaPathError when somebody changed the stage meanwhile.
    """
    access.require(actor, "stages.edit")
    fields = _tidy(fields)
    with db.write(actor) as conn:
        listed = stages.listing(conn, lock=True)
        _unchanged(listed, seen)
        _refuse([*_field_problems(fields, listed, seen), *_meaning_problems(conn, listed, seen, fields.outcome)])
        if _fields(seen) == fields:
            return
        stages.update(conn, seen.id, fields.name, fields.outcome, fields.probability_ppm, fields.color)
        changes = {
            key: [getattr(seen, key), value] for key, value in vars(fields).items() if getattr(seen, key) != value
        }
        _record(conn, actor, seen.name, did="changed", changes=changes)


def take_real_rate(db: Database, actor: Actor, seen: Stage, rate_ppm: int) -> None:
    """Let the probability of an open stage be the real win rate that was shown."""
    edit_stage(db, actor, seen, StageFields(seen.name, seen.outcome, rate_ppm, seen.color))


def order_stages(db: Database, actor: Actor, stage_ids: Sequence[int]) -> None:
    """Put the stages that are not retired in this order."""
    access.require(actor, "stages.edit")
    with db.write(actor) as conn:
        listed = stages.listing(conn, lock=True)
        offered = [stage.id for stage in listed if not stage.retired]
        if sorted(offered) != sorted(stage_ids):
            raise QuotaPathError(
                "The stages were changed meanwhile, so their order is as it was. Look at them and order them again."
            )
        if offered == list(stage_ids):
            return
        stages.set_order(conn, [*stage_ids, *(stage.id for stage in listed if stage.retired)])
        names = {stage.id: stage.name for stage in listed}
        _record(conn, actor, "order", order=[names[each] for each in stage_ids])


def retire_stage(db: Database, actor: Actor, seen: Stage, target_id: int | None, deals: int) -> int:
    """Offer a stage no more; its ``deals`` (as many as the person was shown) enter the target first.

    A stage that no deal ever passed is deleted; another one is kept for their history.  What imports remembered for it
    holds for the target.  Gives how many deals moved.  Raises ProblemsError, QuotaPathError when there are more or
    fewer deals by now.
    """
    access.require(actor, "stages.edit")
    with db.write(actor) as conn:
        listed = stages.listing(conn, lock=True)
        _unchanged(listed, seen)
        target = next((each for each in listed if each.id == target_id and each.id != seen.id), None)
        _refuse(_retire_problems(conn, listed, seen, target, deals))
        moved = stages.move_deals(conn, seen.id, target.id, actor.user_id) if target and deals else 0
        if moved != deals:
            raise QuotaPathError(
                f"{moved:,} deals are in {seen.name} by now, not {deals:,}; nothing was moved. Look again and confirm."
            )
        stages.redirect_imports(conn, seen.id, target.id if target else None)
        if stages.was_passed(conn, seen.id):
            stages.set_retired(conn, seen.id, True)
            _put_retired_last(conn)
        else:
            stages.remove(conn, seen.id)
        _record(conn, actor, seen.name, did="retired", moved=moved, to=target.name if target else None)
    return moved


def restore_stage(db: Database, actor: Actor, stage_id: int) -> None:
    """Offer a retired stage again, behind the others."""
    access.require(actor, "stages.edit")
    with db.write(actor) as conn:
        stage = next((each for each in stages.listing(conn, lock=True) if each.id == stage_id), None)
        if stage is None or not stage.retired:
            raise QuotaPathError("That stage is not retired: somebody restored it meanwhile.")
        stages.set_retired(conn, stage_id, False)
        _put_retired_last(conn, behind=stage_id)
        _record(conn, actor, stage.name, did="restored")


# --- what it does to earnings ------------------------------------------------------------------------


def meaning_impact(db: Database, pool: Pool, actor: Actor, seen: Stage, fields: StageFields, today: date) -> Impact:
    """Whose earnings another name or meaning of the stage would change; nothing is kept.  Needs "stages.edit"."""
    access.require(actor, "stages.edit")
    fields = _tidy(fields)

    def change(conn: sa.Connection) -> None:
        stages.update(conn, seen.id, fields.name, fields.outcome, fields.probability_ppm, fields.color)

    return trial(db, pool, today, change)


def move_impact(db: Database, pool: Pool, actor: Actor, seen: Stage, target: Stage, today: date) -> Impact:
    """Whose earnings would change if the deals of the stage stood in the target; nothing is kept."""
    access.require(actor, "stages.edit")
    with db.trial(actor) as conn:  # taken back, with the view
        return impact(conn, pool, today, stages.moved_view(conn, seen.id, target.id))


def plans_naming(db: Database, actor: Actor, name: str) -> list[str]:
    """The published plans that choose deals by the name of the stage; under another name these match no more."""
    access.require(actor, "stages.view")
    with db.read(actor) as conn:
        return _plans_naming(conn, name)


def first_open_period(db: Database, actor: Actor) -> str | None:
    """The pay period that posts what changes in closed ones: the first that is open.  None: none was run."""
    access.require(actor, "stages.view")
    with db.read(actor) as conn:
        opened = [name for name, status in pay.statuses(conn).items() if status == "open"]
    return min(opened, key=lambda name: parse_period(name).start, default=None)


# --- checks ------------------------------------------------------------------------------------------


def _tidy(fields: StageFields) -> StageFields:
    name = " ".join(fields.name.replace("\0", " ").split())
    return StageFields(name, fields.outcome, _ENDS.get(fields.outcome, fields.probability_ppm), fields.color)


def _fields(stage: Stage) -> StageFields:
    return StageFields(stage.name, stage.outcome, stage.probability_ppm, stage.color)


def _unchanged(listed: Sequence[Stage], seen: Stage) -> None:
    if seen not in listed:
        raise QuotaPathError(
            f"Somebody changed or retired {seen.name} after you opened it, so nothing was saved. "
            "Look at the stage again and make your change there."
        )


def _refuse(problems: Sequence[Problem]) -> None:
    if problems:
        raise ProblemsError(problems)


def _field_problems(fields: StageFields, listed: Sequence[Stage], seen: Stage | None = None) -> list[Problem]:
    problems = []
    if not 1 <= len(fields.name) <= 100:
        problems.append(Problem("name", f"has {len(fields.name)} characters.", "Write 1 to 100."))
    for other in listed:
        if other.name.lower() == fields.name.lower() and (seen is None or other.id != seen.id):
            remedy = "Restore that one, or choose another name." if other.retired else "Choose another name."
            called = "A retired stage" if other.retired else "Another stage"
            problems.append(Problem("name", f'{called} is called "{other.name}".', remedy))
    if fields.outcome not in OUTCOMES:
        problems.append(Problem("meaning", f'"{fields.outcome}" is none.', f"Choose one of {', '.join(OUTCOMES)}."))
    if not 0 <= fields.probability_ppm <= PPM:
        problems.append(Problem("probability", "is not between 0% and 100%.", "Correct it."))
    if fields.color not in COLORS:
        problems.append(Problem("colour", f'"{fields.color}" is none.', f"Choose one of {', '.join(COLORS)}."))
    return problems


def _meaning_problems(
    conn: sa.Connection, listed: Sequence[Stage], seen: Stage, outcome: str, only: bool = True
) -> list[Problem]:
    """What stands in the way of the deals of a stage becoming ``outcome``."""
    if outcome == seen.outcome or outcome not in OUTCOMES:
        return []
    found = stages.standing(conn, seen.id)
    problems = _last_of_its_kind(listed, seen) if only else []
    if outcome == "won" and found.without_amount:
        problems.append(
            Problem(
                "deals",
                f"{found.without_amount:,} in {seen.name} have no amount, and a won deal needs one.",
                "Give them an amount first; 0 is allowed.",
            )
        )
    if seen.outcome == "won" and found.cancelled:
        problems.append(
            Problem(
                "deals",
                f"{found.cancelled:,} in {seen.name} are cancelled sales; only a won deal can be cancelled.",
                "Move these to another won stage first.",
            )
        )
    return problems


def _last_of_its_kind(listed: Sequence[Stage], seen: Stage) -> list[Problem]:
    if seen.retired or any(each.outcome == seen.outcome and not each.retired for each in listed if each.id != seen.id):
        return []
    return [
        Problem(
            seen.name, f"is the only stage that means {seen.outcome}; the pipeline needs one.", "Add another one first."
        )
    ]


def _retire_problems(
    conn: sa.Connection, listed: Sequence[Stage], seen: Stage, target: Stage | None, deals: int
) -> list[Problem]:
    problems = [] if seen.retired else _last_of_its_kind(listed, seen)
    if target is not None and target.retired:
        problems.append(Problem("move to", f"{target.name} is retired itself.", "Choose another stage."))
    if target is not None:
        problems += _meaning_problems(conn, listed, seen, target.outcome, only=False)
    elif deals or stages.standing(conn, seen.id).deals:
        problems.append(Problem("move to", f"Deals are in {seen.name}.", "Choose the stage that they move to."))
    return problems


def _put_retired_last(conn: sa.Connection, behind: int | None = None) -> None:
    """Number the stages anew, the retired last; ``behind``: that one is the last of the others."""
    listed = stages.listing(conn)
    listed.sort(key=lambda stage: (stage.retired, stage.id == behind))
    stages.set_order(conn, [stage.id for stage in listed])


def _plans_naming(conn: sa.Connection, name: str) -> list[str]:
    by_name, _ = published_plans(conn)
    return [plan for plan, versions in by_name.items() if any(_names(version, name) for version in versions)]


def _names(plan: Plan, name: str) -> bool:
    whens = [component.when for component in plan.components]
    whens += [multiplier.when for component in plan.components for multiplier in component.multipliers]
    return any(
        condition.field == "stage"
        and any(
            str(operand).strip().casefold() == name.casefold()
            for _, operands in condition.tests
            for operand in operands
        )
        for when in whens
        for condition in when
    )


def _record(conn: sa.Connection, actor: Actor, stage: str, **detail: object) -> None:
    audit.record(conn, actor.user_id, "stages.edit", f"stage {stage}", detail)

"""What one person earned in a pay period, line by line, and why."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import pandas as pd

from engine.analytics import earnings
from engine.calc.explain import Explanation, Step, explain
from engine.calc.model import Plan
from engine.calc.result import Line
from engine.db import pay
from engine.db.database import Database
from engine.db.pay import StoredLine
from engine.errors import QuotaPathError
from engine.money import format_money
from engine.periods import parse_period
from engine.plans.document import parse_plan
from engine.services import access
from engine.services.access import Actor


@dataclass(frozen=True)
class Earnings:
    """One person in one pay period: `status` of the period, the person's totals, lines and attainment.

    Frames as `earnings.lines` and `earnings.attainment`, with the component's `label`; `totals` are cents: earned,
    adjusted (a part of earned), manual (given by hand, on top), drawn, draw_balance, deferred, and due (None until
    approved).
    """

    status: str
    currency: str
    totals: Mapping[str, int | None]
    lines: pd.DataFrame
    attainment: pd.DataFrame


def payees(db: Database, actor: Actor, period: str) -> pd.DataFrame:
    """Whom the viewer may look at in a period: the rows of `earnings.people` within the reach.

    The team tree of the period's last day decides.  Needs "earnings.view".
    """
    wanted = parse_period(period)
    with db.read(actor) as conn:
        allowed = access.visible_people(conn, actor, "earnings.view", wanted.last_day)
        people = earnings.people(conn, wanted.name)
    return people if allowed is None else people[people["user_id"].isin(allowed)].reset_index(drop=True)


def earned(db: Database, actor: Actor, user_id: int, period: str) -> Earnings | None:
    """What the person earned in the period, from the run that it shows; None when no run has the person.

    Needs "earnings.view" and the person within reach, else raises Forbidden.
    """
    wanted = parse_period(period)
    with db.read(actor) as conn:
        access.require_person(conn, actor, "earnings.view", user_id, wanted.last_day)
        found = pay.pay_period(conn, wanted.name)
        people = earnings.people(conn, wanted.name)
        own = people[people["user_id"] == user_id]
        if found is None or found.run_id is None or own.empty:
            return None
        row = own.iloc[0]
        lines, attainment = earnings.lines(conn, wanted.name, user_id), earnings.attainment(conn, wanted.name, user_id)
        labels = _labels(pay.run_documents(conn, found.run_id))
        return Earnings(
            found.status,
            row["currency"],
            {name: None if pd.isna(row[name]) else int(row[name]) for name in _TOTALS},
            lines.assign(label=lines["component"].map(labels)),
            attainment.assign(label=attainment["component"].map(labels)),
        )


def lines_after(
    db: Database, actor: Actor, period: str, user_id: int | None, after: tuple[int, int], size: int
) -> list[dict[str, Any]]:
    """The lines of a period's run within reach (of one person, if given), person by person, as
    `earnings.lines_after`: the next ones after (user id, line id).

    The team tree of the period's last day decides.  Needs "earnings.view".
    """
    wanted = parse_period(period)
    with db.read(actor) as conn:
        allowed = access.visible_people(conn, actor, "earnings.view", wanted.last_day)
        if user_id is not None:
            allowed = frozenset({user_id}) if allowed is None else allowed & {user_id}
        return earnings.lines_after(conn, wanted.name, allowed, after, size)


def _labels(documents: Iterable[tuple[str, str]]) -> dict[str, str]:
    """What people call each component: its label in the newest version that has one, else its id."""
    plans = [plan_of(document, name) for name, document in documents]
    return {part.id: part.label or part.id for plan in plans for part in plan.components}


_TOTALS = ("earned", "adjusted", "manual", "drawn", "draw_balance", "deferred", "due")


def explain_line(db: Database, actor: Actor, line_id: int) -> Explanation:
    """The working of a line, rebuilt from the line and its plan version alone.

    Needs "earnings.view" and the line's person within reach, else raises Forbidden, or QuotaPathError for a line out
    of sight.
    """
    with db.read(actor) as conn:
        found = pay.line(conn, line_id)
        if found is None:
            raise QuotaPathError(f"There is no line {line_id} that you may see.")
        access.require_person(conn, actor, "earnings.view", found.user_id, parse_period(found.period).last_day)
    return explained(found)


@lru_cache(64)
def plan_of(document: str, name: str) -> Plan:
    """The plan of a published version's document; versions never change, so each is read once."""
    return parse_plan(document, name)


def explained(found: StoredLine) -> Explanation:
    """The working of a line, from the line and its plan version alone."""
    plan = plan_of(found.document, found.plan)
    if found.kind == "adjusted":
        return _adjustment(found, plan)
    return explain(_line(found, found.working, found.amount), plan)


def _line(found: StoredLine, working: Mapping[str, Any], cents: int) -> Line:
    """The record that the rules explain, from what was stored of it."""
    return Line(
        person=found.person,
        plan=found.plan,
        version=0,  # its plan version is beside it
        component=found.component,
        deal=found.deal,
        day=working["day"],
        period=found.origin_period,
        kind=working["kind"],
        cents=cents,
        facts=working["facts"],
    )


def _adjustment(found: StoredLine, plan: Plan) -> Explanation:
    """What a closed period comes to now, how, and what was posted for it then."""
    was, now = (Fraction(found.working[name]) for name in ("was", "now"))

    def money(cents: Fraction) -> str:
        return format_money(int(cents), found.currency, thousands=True)

    steps = [Step(f"{found.origin_period} is closed and never moves; this line posts what has changed in it since.")]
    for working in found.working["lines"]:
        steps += [Step(text) for text in explain(_line(found, working, working["cents"]), plan).texts]
    if not found.working["lines"]:
        steps.append(Step("The deal no longer counts for this person."))
    steps += [
        Step(f"What it comes to now = {money(now)}", now),
        Step(f"less what was posted before = {money(-was)}", -was),
        Step(f"Line: {money(now - was)}"),
    ]
    return Explanation(found.amount, found.currency, tuple(steps))

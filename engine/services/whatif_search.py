"""Goal seek and sensitivity: many variants in a row, each priced in the warm workers, with progress.

Whoever asks is told after each variant how many are done; a callback that raises stops the search.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd

from engine.analytics.scenario_books import Quarter
from engine.analytics.scenario_search import LOOKS, Sought, seek, valid_range
from engine.analytics.scenarios import LEAST_QUOTA, MOST_QUOTA
from engine.calc.model import PPM
from engine.db.database import Database
from engine.errors import ProblemsError, QuotaPathError
from engine.money import round_ratio
from engine.plans.numbers import PlanNumber
from engine.services import whatif
from engine.services.access import Actor
from engine.services.whatif import Base, Span, Variant
from engine.workers.pool import Pool

Progress = Callable[[int, int], None]
Metric = Literal["cost", "rate"]

MOST_VARIANTS = 100
QUOTAS = "quotas"  # the name of the factor of all quotas, beside the paths of the plan
_FACTOR = PlanNumber(QUOTAS, "", "Quotas of everyone on the plan", "percent", PPM, PPM // 100, "")


@dataclass(frozen=True)
class Desk:
    """Where variants are priced: the books, for whom, over what."""

    db: Database
    pool: Pool
    actor: Actor
    base: Base
    span: Span
    coming: Quarter | None = None  # set: the simulated next quarter, at the percentile
    percentile: int = 80

    def figure(self, variant: Variant, metric: Metric) -> int:
        """Cost in minor units, or the effective rate in ppm.  Raises ProblemsError for a variant with problems."""
        if self.coming is not None:
            view = whatif.outlook(self.db, self.pool, self.actor, self.base, self.coming, variant)
            if view.problems:
                raise ProblemsError(view.problems)
            return view.at(self.percentile) if metric == "cost" else view.rate_at(self.percentile)
        found = whatif.price(self.db, self.pool, self.actor, self.base, variant, self.span)
        if found.problems:
            raise ProblemsError(found.problems)
        if metric == "cost":
            return found.after.total
        return round_ratio(found.after.total * PPM, found.revenue) if found.revenue > 0 else 0


def levers(numbers: Sequence[PlanNumber], variant: Variant) -> tuple[PlanNumber, ...]:
    """What can be turned: every number of the plan that decides what is earned, and the quotas as a whole."""
    return (*(number for number in numbers if not number.when_paid), replace(_FACTOR, value=variant.quota_ppm))


def turned(variant: Variant, lever: PlanNumber, value: int) -> Variant:
    """The variant with another value of a lever."""
    if lever.path == QUOTAS:
        return replace(variant, quota_ppm=value)
    return replace(variant, changes={**variant.changes, lever.path: lever.written(value)})


def goal_seek(
    desk: Desk, variant: Variant, lever: PlanNumber, metric: Metric, goal: int, on_progress: Progress
) -> Sought:
    """The value of a lever, in its exact unit, that brings the metric nearest to the goal.

    Raises QuotaPathError when the lever cannot be turned at all, and what `on_progress` raises.
    """
    low, high = reach(desk, variant, lever)
    if low == high:
        raise QuotaPathError(f"{lever.label} cannot be changed by itself: what is around it leaves no room.")
    total = LOOKS + 1 + (high - low).bit_length()
    done = 0

    def evaluate(value: int) -> int:
        nonlocal done
        on_progress(min(done, total), total)
        done += 1
        return desk.figure(turned(variant, lever, value), metric)

    found = seek(evaluate, low, high, goal, lever.value)
    on_progress(total, total)
    return found


def reach(desk: Desk, variant: Variant, lever: PlanNumber) -> tuple[int, int]:
    """How far a lever can be turned before the plan language refuses it: at most to four times its value."""
    if lever.path == QUOTAS:
        return max(LEAST_QUOTA, lever.value // 4), min(MOST_QUOTA, lever.value * 4)
    highest = max(lever.value * 4, lever.step * 100)
    if lever.most is not None:
        highest = min(highest, lever.most)

    def is_valid(value: int) -> bool:
        return not whatif.applied(desk.base, desk.base.past, turned(variant, lever, value)).problems

    return valid_range(is_valid, 0, lever.value, highest)


Change = Literal["step", "percent"]


def sensitivity(
    desk: Desk, variant: Variant, numbers: Sequence[PlanNumber], by: Change, metric: Metric, on_progress: Progress
) -> pd.DataFrame:
    """How the metric moves when each lever is turned down and up, by one step or by 1% of its value.

    path, lever (in words), amount (what it is turned by), down, up (difference from the variant as it is; Int64, none
    where the plan language refuses), swing: the larger of the two, by which the rows are ordered.
    """
    now = desk.figure(variant, metric)
    wanted = levers(numbers, variant)[: MOST_VARIANTS // 2]
    rows = []
    for place, lever in enumerate(wanted):
        on_progress(2 * place, 2 * len(wanted))
        amount = lever.step if by == "step" else max(1, lever.value // 100)
        moved = []
        for sign in (-1, 1):
            value = lever.value + sign * amount
            try:
                moved.append(desk.figure(turned(variant, lever, value), metric) - now if value >= 0 else None)
            except ProblemsError:
                moved.append(None)
        name = f"{lever.component}: {lever.label}" if lever.component else lever.label
        rows.append((lever.path, name, lever.text(amount), *moved, max(abs(each or 0) for each in moved)))
    on_progress(2 * len(wanted), 2 * len(wanted))
    columns = ["path", "lever", "amount", "down", "up", "swing"]
    frame = pd.DataFrame(rows, columns=columns).astype({"down": "Int64", "up": "Int64"})
    return frame.sort_values("swing", ascending=False, kind="stable").reset_index(drop=True)


def sweep(desk: Desk, variants: Mapping[str, Variant], metric: Metric, on_progress: Progress) -> dict[str, int | None]:
    """The metric of each of up to `MOST_VARIANTS` variants; None for one with problems."""
    if len(variants) > MOST_VARIANTS:
        raise QuotaPathError(f"These are {len(variants)} variants; at most {MOST_VARIANTS} are tried in a row.")
    found: dict[str, int | None] = {}
    for place, (name, variant) in enumerate(variants.items()):
        on_progress(place, len(variants))
        try:
            found[name] = desk.figure(variant, metric)
        except ProblemsError:
            found[name] = None
    on_progress(len(variants), len(variants))
    return found

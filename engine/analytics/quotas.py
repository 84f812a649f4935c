"""The figures of quotas: shared out, ramped, grown, scaled to a part of a period, rolled up.  Whole minor units."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from engine.calc.book import book_from_rows
from engine.calc.model import Assignment
from engine.calc.tree import Tree
from engine.money import PPM, round_ratio, split_largest_remainder
from engine.periods import MONTHS, Period


def share_out(total: int, weights: Sequence[int]) -> list[int]:
    """`total` (0 or more) by whole weights, exactly: what is left goes to the largest remainders, ties to the first.

    >>> share_out(100_00, [1, 1, 1])
    [3334, 3333, 3333]
    """
    return split_largest_remainder(total, weights, sum(weights) or 1)  # without any weight everyone gets 0


def ramped(full: int, per: str, steps: Sequence[int], start: Period, periods: Sequence[Period]) -> list[int]:
    """What each of `periods` (months, quarters, a year) asks of somebody who begins in the month `start`.

    `full` is the quota of a whole `per` (month, quarter or year); `steps` the part (ppm) of it that each month
    from `start` on asks for, all of it after the last.  The parts add up to the whole, rounded once.
    """
    weights = []
    for period in periods:
        begun = (period.first_day.year * 12 + period.first_day.month - 1) - start.index
        months = range(begun, begun + MONTHS[period.kind])
        weights.append(sum(0 if month < 0 else steps[month] if month < len(steps) else PPM for month in months))
    return share_out(round_ratio(full * sum(weights), MONTHS[per] * PPM), weights)


def grown(amount: int, growth: int, unit: int) -> int:
    """An amount with `growth` (ppm; below 0: less), half up to a whole number of `unit` minor units.

    >>> grown(100_05, 50_000, 1), grown(100_05, 50_000, 100)
    (10505, 10500)
    """
    return round_ratio(amount * (PPM + growth), PPM * unit) * unit


# ---------------------------------------------------------------- parts of periods


@dataclass(frozen=True)
class Stay:
    """A person on a plan in ``[start, end)``; `prorate` is how a part of a period is counted there."""

    user_id: int
    plan: str
    start: date
    end: date | None
    prorate: str


@dataclass(frozen=True)
class Part:
    """The part of a period that a person is on a plan: `on` of `of` days (or months)."""

    user_id: int
    plan: str
    on: int
    of: int

    def of_quota(self, amount: int) -> int:
        """A quota scaled to the part, half up."""
        return round_ratio(amount * self.on, self.of)


def parts(stays: Sequence[Stay], period: Period) -> list[Part]:
    """The part of the period that each person is on each plan, where there is any, as the pay rules count it."""
    rows = [
        Assignment(
            str(stay.user_id),
            stay.plan,
            None,
            stay.start.toordinal(),
            None if stay.end is None else stay.end.toordinal(),
            stay.prorate,
        )
        for stay in stays
    ]
    book = book_from_rows({}, rows, [])
    tree = Tree(book)
    found = []
    for place, person in enumerate(book.people):
        found += [
            Part(int(person), plan, *tree.prorated(place, plan, period))
            for plan in tree.plans(place)
            if any(start < period.end and period.start < end for start, end in tree.assigned(place, plan))
        ]
    return found


# ---------------------------------------------------------------- teams


@dataclass(frozen=True)
class TeamNode:
    """A team as of a day: who leads it, what it is part of, who is in the team itself."""

    team_id: int
    name: str
    parent_id: int | None
    manager_id: int | None
    members: tuple[int, ...]


@dataclass(frozen=True)
class RolledUp:
    """A team's quotas: `people` is the sum over those in it and below it, `leader` its leader's own (None: none).

    `depth` is 0 at the top; `without` counts those in the sum who have no quota.
    """

    team_id: int
    name: str
    depth: int
    manager_id: int | None
    people: int
    without: int
    leader: int | None

    @property
    def over(self) -> float | None:
        """Over-assignment: by how much the people's quotas together exceed the leader's (0.1: by 10%)."""
        return None if not self.leader else self.people / self.leader - 1


def roll_up(teams: Sequence[TeamNode], quota: Mapping[int, int], carriers: Collection[int]) -> list[RolledUp]:
    """Every team with the sums of those below it, parents before children, by name.

    Whoever leads a team is in no sum: a leader's quota stands for the team's, which is there already.  `quota` is
    by user id, `carriers` are those who are to have one.
    """
    known = {team.team_id for team in teams}
    leaders = {team.manager_id for team in teams}
    children: dict[int | None, list[TeamNode]] = {}
    for team in sorted(teams, key=lambda each: each.name.casefold()):
        children.setdefault(team.parent_id if team.parent_id in known else None, []).append(team)
    found: list[RolledUp] = []

    def descend(team: TeamNode, depth: int) -> tuple[int, int]:
        at = len(found)
        own = [user for user in team.members if user not in leaders and user in carriers]
        total, without = sum(quota.get(user, 0) for user in own), sum(user not in quota for user in own)
        for child in children.get(team.team_id, ()):
            below = descend(child, depth + 1)
            total, without = total + below[0], without + below[1]
        leader = quota.get(team.manager_id) if team.manager_id is not None else None
        found.insert(at, RolledUp(team.team_id, team.name, depth, team.manager_id, total, without, leader))
        return total, without

    for team in children.get(None, ()):
        descend(team, 0)
    return found

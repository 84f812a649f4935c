"""Finding the figure of a plan that meets a goal, and how much each figure matters."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

# Where a curve is looked at before it is halved: enough to see that it turns, few enough to be quick.
LOOKS = 9


@dataclass(frozen=True)
class Sought:
    """What a search came to: the value that comes nearest, what it gives, and everything that was tried.

    ``reached`` says that the goal lies between two neighbouring values (or on one); ``steady`` that more of the
    figure always gives more, or always less.  A curve that is not steady may meet the goal elsewhere as well.
    """

    value: int
    result: int
    reached: bool
    steady: bool
    tried: tuple[tuple[int, int], ...]


def seek(evaluate: Callable[[int], int], low: int, high: int, goal: int, near: int) -> Sought:
    """The whole value in ``[low, high]`` at which ``evaluate`` comes nearest to ``goal``.

    The range is looked at evenly first; between two looks with the goal between them it is halved, down to
    neighbours.  Of several such places the one nearest to ``near`` is taken.  Without one, the nearest look stands.
    """
    results: dict[int, int] = {}

    def at(value: int) -> int:
        if value not in results:
            results[value] = evaluate(value)
        return results[value]

    looks = sorted({low + (high - low) * place // (LOOKS - 1) for place in range(LOOKS)} | {min(max(near, low), high)})
    found = [at(value) for value in looks]
    steps = [after - before for before, after in pairwise(found)]
    steady = all(step >= 0 for step in steps) or all(step <= 0 for step in steps)
    crossing = [
        (left, right) for left, right in pairwise(looks) if min(at(left), at(right)) <= goal <= max(at(left), at(right))
    ]
    if crossing:
        left, right = min(crossing, key=lambda pair: min(abs(pair[0] - near), abs(pair[1] - near)))
        rising = at(left) <= at(right)
        while right - left > 1:
            middle = (left + right) // 2
            if (at(middle) <= goal) == rising:
                left = middle
            else:
                right = middle
    best = min(results, key=lambda value: (abs(results[value] - goal), abs(value - near), value))
    return Sought(best, results[best], bool(crossing), steady, tuple(sorted(results.items())))


def valid_range(is_valid: Callable[[int], bool], low: int, value: int, high: int) -> tuple[int, int]:
    """The part of ``[low, high]`` around ``value``, which is valid, where every value is: found by halving."""

    def edge(inside: int, outside: int) -> int:
        if is_valid(outside):
            return outside
        while abs(outside - inside) > 1:
            middle = (inside + outside) // 2
            if is_valid(middle):
                inside = middle
            else:
                outside = middle
        return inside

    return edge(value, low), edge(value, high)

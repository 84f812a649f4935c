"""What no dated tree may have: a circle of teams or of managers, on any day to come; people in a closed team."""

from collections.abc import Iterable
from datetime import date

import sqlalchemy as sa

from engine.db import people, structure
from engine.errors import Problem, ProblemsError

Span = tuple[int, int, date, date | None]


def refuse_circles(conn: sa.Connection) -> None:
    """Raises ProblemsError when, on some day, a team is above itself or a person manages themselves.

    And when somebody would be in a team that is closed by then, or a team part of one.
    """
    closed = [
        Problem(what, f"would be in {team}, which is closed from {day}.", "Choose another team, or open it again.")
        for team, day, what in structure.in_closed(conn)
    ]
    if closed:
        raise ProblemsError(closed)
    for kind, names, spans in (
        ("teams", structure.lock(conn), structure.parents(conn)),
        ("managers", people.names(conn), people.manager_spans(conn)),
    ):
        found = find_circle(spans)
        if found is not None:
            ring, day = found
            shown = " > ".join(names[each] for each in (*ring, ring[0]))
            raise ProblemsError(
                [Problem(kind, f"From {day} there would be a circle: {shown}.", "Choose another team or manager.")]
            )


def find_circle(spans: Iterable[Span]) -> tuple[list[int], date] | None:
    """The first circle in a dated tree: its members, each below the next, and the first day of it.

    `spans` are (child, the one above, start, end), half-open.  A tree changes only where a span starts, so
    these days are enough.
    """
    listed = _inside(list(spans))
    for day in sorted({start for _, _, start, _ in listed}):
        above: dict[int, list[int]] = {}
        for child, parent, start, end in listed:
            if start <= day and (end is None or day < end):
                above.setdefault(child, []).append(parent)
        ring = _circle(above)
        if ring is not None:
            return ring, day
    return None


def _inside(spans: list[Span]) -> list[Span]:
    """Without those who are above nobody, and then without those above only these: a circle has none of them."""
    while True:
        parents = {parent for _, parent, _, _ in spans}
        left = [span for span in spans if span[0] in parents]
        if len(left) == len(spans):
            return left
        spans = left


def _circle(above: dict[int, list[int]]) -> list[int] | None:
    """Depth first, without recursion: the path back to a node that is still open is a circle."""
    done: set[int] = set()
    for first in above:
        path: list[int] = []
        todo: list[tuple[int, bool]] = [(first, True)]
        while todo:
            node, opening = todo.pop()
            if not opening:
                done.add(path.pop())
            elif node in path:
                return path[path.index(node) :]
            elif node not in done:
                path.append(node)
                todo.append((node, False))
                todo += [(parent, True) for parent in above.get(node, ())]
    return None

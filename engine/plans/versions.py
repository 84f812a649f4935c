"""The versions of a plan: each in force from its ``effective_from`` until the next one starts."""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from itertools import pairwise
from typing import Any

from engine.calc.model import MONEY_MEASURES, Plan
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.plans.document import read_draft


def load_versions(documents: Iterable[Mapping[str, Any] | str], name: str = "") -> tuple[Plan, ...]:
    """All versions of one plan, oldest first; documents in any order.

    Raises `ProblemsError` with everything that is wrong; the paths of the second document in the order
    given start with ``plan[1].``, and so on; with one document they are relative to it.
    """
    listed = list(documents)
    paths = ["" if len(listed) == 1 else f"plan[{index}]." for index in range(len(listed))]
    versions, problems = read_versions(list(zip(paths, listed, strict=True)), name)
    if problems:
        raise ProblemsError(problems)
    return versions


def read_versions(
    documents: Sequence[tuple[str, Mapping[str, Any] | str]], name: str = ""
) -> tuple[tuple[Plan, ...], list[Problem]]:
    """The versions (oldest first) of documents that each come with the start of their paths, or the problems."""
    drafts, problems = read_drafts(documents, name)
    return (() if problems else tuple(plan for _, plan in drafts)), problems


def read_drafts(
    documents: Sequence[tuple[str, Mapping[str, Any] | str]], name: str = ""
) -> tuple[list[tuple[str, Plan]], list[Problem]]:
    """As `read_versions`, each version with the start of its paths, and those with problems, too (see `read_draft`)."""
    problems: list[Problem] = []
    read: list[tuple[str, Plan]] = []
    for path, document in documents:
        plan, found = read_draft(document, name)
        problems += [Problem(path + each.path, each.message, each.remedy) for each in found]
        if plan is not None:
            read.append((path, plan))
    read.sort(key=lambda version: version[1].effective_from)
    refused = {problem.path for problem in problems}
    between = list(_accumulation(read, refused))
    for (before, earlier), (path, later) in pairwise(read):
        between += _against(earlier, later, before, path, refused)
    return read, problems + between


def version_at(versions: Sequence[Plan], day: int) -> Plan:
    """The version in force on ``day`` (an ordinal); `QuotaPathError` before the first one."""
    index = bisect_right([version.effective_from for version in versions], day) - 1
    if index < 0:
        first = date.fromordinal(versions[0].effective_from)
        raise QuotaPathError(
            f'The plan "{versions[0].name}" starts on {first}; on {date.fromordinal(day)} no version is in force. '
            "Publish a version from an earlier date, or start the assignment later."
        )
    return versions[index]


def _against(earlier: Plan, later: Plan, before: str, path: str, refused: Collection[str]) -> Iterable[Problem]:
    """What may not differ from one version to the next; what was ``refused`` in one cannot be compared."""

    def comparable(key: str) -> bool:
        return before + key not in refused and path + key not in refused

    if later.effective_from == earlier.effective_from and comparable("effective_from"):
        yield Problem(
            f"{path}effective_from",
            f"Two versions start on {date.fromordinal(later.effective_from)}.",
            "Give each version its own first day.",
        )
    for key, was, now in (
        ("plan", earlier.name, later.name),
        ("currency", earlier.currency, later.currency),
        ("pay_period", earlier.pay_period, later.pay_period),
    ):
        if was != now and comparable(key):
            yield Problem(
                path + key,
                f'`{key}` changes from "{was}" to "{now}" between versions.',
                f'Keep "{was}", or make it a plan of its own.',
            )


def _accumulation(versions: Sequence[tuple[str, Plan]], refused: Collection[str]) -> Iterable[Problem]:
    """A component goes on accumulating over versions: over the same period, in the same kind of number."""
    first_seen: dict[str, tuple[str, bool]] = {}
    for path, plan in versions:
        for index, component in enumerate(plan.components):
            start = f"{path}component[{index}]"
            keys = (f"{start}.id", f"{start}.measure", f"{start}.quota_period", f"{path}pay_period")
            if any(key in refused for key in keys):
                continue  # what stands in for it says nothing
            in_money = component.measure in MONEY_MEASURES
            period, money_before = first_seen.setdefault(component.id, (component.quota_period, in_money))
            if period != component.quota_period:
                yield Problem(
                    f"{start}.quota_period",
                    f'"{component.id}" accumulated over a {period} before, now over a {component.quota_period}.',
                    f'Keep quota_period = "{period}", or give the component another id.',
                )
            if money_before != in_money:
                yield Problem(
                    f"{start}.measure",
                    f'"{component.id}" changes between money and units; the two cannot be added up.',
                    "Keep the measure, or give the component another id.",
                )

"""The examples inside a plan, such as the figures of the plan letter: they must come out before it is published.

An example is a case (`engine.plans.casefile`) whose plan is the document that it stands in, and shorter:
without people there is one, called "rep"; ``quota`` may be one figure for everybody; a deal without an
owner is the first person's, one without an id is called D1, D2, ..., one without a close date closes on the
plan's first day.  An example asks what the rules pay, not from when: a plan that starts after a deal of it is taken to
start with that deal, so that the next version keeps its examples.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Any

from engine.calc.calculate import calculate
from engine.calc.explain import Explanation, explain
from engine.errors import Problem, QuotaPathError
from engine.plans.casefile import read_case
from engine.plans.cases import Calculate, Difference, Summary, calculate_case, differences, made_of, working
from engine.plans.reader import as_day, load_toml

REP = "rep"
LONGEST_WORKING = 12  # lines whose working is shown with a figure that differs


@dataclass(frozen=True)
class Example:
    """One example as it came out; it passes without problems.

    ``working`` are the rows of text that say how the plan reaches its figures.
    """

    name: str
    problems: tuple[Problem, ...]
    working: tuple[str, ...]

    @property
    def passes(self) -> bool:
        """Whether all that it expects came out."""
        return not self.problems


def run_examples(document: Mapping[str, Any] | str, name: str = "", run: Calculate = calculate) -> tuple[Example, ...]:
    """The examples of a plan document without problems, in order; each with what is wrong with it.

    Paths are those of the document: ``example[0].expect.total``, ``example[1].deal[0].amount``.
    """
    table = load_toml(document) if isinstance(document, str) else document
    plan = {key: value for key, value in table.items() if key != "example"}
    return tuple(_run(place, example, plan, name, run) for place, example in enumerate(table.get("example", ())))


def _run(place: int, example: Mapping[str, Any], plan: Mapping[str, Any], name: str, run: Calculate) -> Example:
    path = f"example[{place}]"
    title = str(example.get("name") or f"Example {place + 1}")
    case = read_case(_case(example, plan, name))
    summary = calculate_case(case, run)
    found = list(differences(case, summary))
    if summary.problems and not case.expected.problems:
        problems = [Problem(f"{path}.{each.path}".rstrip("."), each.message, each.remedy) for each in summary.problems]
    else:
        problems = [_problem(path, each, summary) for each in found]
    rows: tuple[str, ...] = ()
    if summary.result is not None:
        rows = tuple(working(summary.result, summary.lines[:LONGEST_WORKING], case.currency))
    return Example(title, tuple(problems), rows)


def _case(example: Mapping[str, Any], plan: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The example written out as a case."""
    people = example.get("person", [{"id": REP}])
    first = people[0].get("id", REP) if isinstance(people, list) and people and isinstance(people[0], Mapping) else REP
    case: dict[str, Any] = {key: value for key, value in example.items() if key != "quota"}
    figure = example.get("quota")
    if isinstance(figure, list):
        case["quota"] = figure
    elif figure is not None and isinstance(people, list):
        people = [{"quota": figure, **each} if isinstance(each, Mapping) else each for each in people]
    case["person"] = people
    deals = example.get("deal", [])
    if isinstance(deals, list):
        start = date.fromordinal(min(_days([plan, *deals])))
        plan = {**plan, "effective_from": start}
        case["deal"] = list(_deals(deals, first, start))
    if "plans" in example:  # somebody is on no plan
        case["plans_doc"] = {name or plan["plan"]: plan}
    else:
        case["plan"] = plan
    return case


def _days(tables: Iterable[Any]) -> Iterator[int]:
    """The days on which the plan starts and deals close, as far as they can be read."""
    for table in tables:
        day = (table.get("effective_from") or table.get("close_date")) if isinstance(table, Mapping) else None
        with suppress(QuotaPathError):
            yield as_day(day)


def _deals(deals: Iterable[Any], owner: Any, start: date) -> Iterator[Any]:
    for place, deal in enumerate(deals):
        if not isinstance(deal, Mapping):
            yield deal
            continue
        said = {"id": f"D{place + 1}", "close_date": start}
        if "credits" not in deal:
            said["owner"] = owner
        yield {**said, **deal}


def _problem(path: str, difference: Difference, summary: Summary) -> Problem:
    """A figure that differs, with the working of the lines that it is made of."""
    where = f"{path}.expect.{difference.what}" + (f".{difference.name}" if difference.name else "")
    told = ""
    if summary.result is not None:
        lines = [line for line in summary.lines if made_of(difference, line)][:LONGEST_WORKING]
        parts = [f"{line.deal} {_parts(explain(line, summary.result.plan(line)))}".strip() for line in lines]
        told = f" The working: {'; '.join(parts)}." if parts else " No line is part of it."
    return Problem(
        where,
        f"The example expects {difference.expected}, the plan gives {difference.found}.{told}",
        "Correct the rule, or the example.",
    )


def _parts(explanation: Explanation) -> str:
    return " + ".join(step.text for step in explanation.parts) or explanation.texts[-1]


def example_problems(document: Mapping[str, Any] | str, name: str = "") -> list[Problem]:
    """All that is wrong with the examples of a plan document that itself has no problems."""
    try:
        return [problem for example in run_examples(document, name) for problem in example.problems]
    except QuotaPathError as error:
        return [Problem("example", str(error))]

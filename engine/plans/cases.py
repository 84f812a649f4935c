"""Runs cases: calculates each one, compares with what it expects and tells the differences."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from engine.calc.book import Book
from engine.calc.explain import explain
from engine.calc.result import Line, Result
from engine.errors import Problem, QuotaPathError
from engine.money import format_money, round_ratio
from engine.plans.casefile import MONEY_EXPECTED, Case, load_case

Calculate = Callable[[Book], Result]


@dataclass(frozen=True)
class Summary:
    """What came out of a case, by name: money in cents, attainment in ppm.  With problems all is empty."""

    total: int = 0
    money: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    attainment: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    lines: tuple[Line, ...] = ()
    result: Result | None = None


@dataclass(frozen=True)
class Difference:
    """One figure that is not as expected, as texts; ``name`` is "" for the total and for problems."""

    what: str
    name: str
    expected: str
    found: str

    def __str__(self) -> str:
        place = f"{self.what} {self.name}" if self.name else self.what
        return f"{place}: expected {self.expected}, found {self.found}"


@dataclass(frozen=True)
class Outcome:
    """A case that was run; it passed when there are no differences."""

    path: Path
    case: Case
    summary: Summary
    differences: tuple[Difference, ...]


def find_cases(paths: Iterable[Path]) -> list[Path]:
    """The case files named, and those in folders named, in order; `QuotaPathError` when there is nothing."""
    found: list[Path] = []
    for path in paths:
        files = sorted(path.rglob("*.toml")) if path.is_dir() else [path]
        if not files or not files[0].exists():
            what = "holds no case (*.toml)" if path.is_dir() else "does not exist"
            raise QuotaPathError(f"{path} {what}. Name a case file or a folder of them.")
        found += files
    return found


def run_case(path: Path, calculate: Calculate) -> Outcome:
    """Reads, calculates and compares one case file."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise QuotaPathError(f"{path} cannot be read: {error}. Name a case file, in UTF-8.") from error
    case = load_case(text)
    try:
        summary = calculate_case(case, calculate)
    except Exception as error:  # noqa: BLE001 - a case that strikes a bug of ours must not hide the others
        fault = f"A fault of the program, {type(error).__name__}: {error}."
        summary = Summary(problems=(Problem("", fault, "Report it with this case."),))
    return Outcome(path, case, summary, tuple(differences(case, summary)))


def calculate_case(case: Case, calculate: Calculate) -> Summary:
    """What comes out of a case, or all its problems; a calculation that fails is one."""
    if case.book is None:
        return Summary(problems=case.problems)
    if not case.problems:
        try:
            return _summary(case, calculate(case.book))
        except QuotaPathError as error:
            return Summary(problems=(Problem("", str(error)),))
    try:
        summary = _summary(case, calculate(case.book))
    except Exception:  # noqa: BLE001 - with what stands in for refused values, a failure says nothing
        return Summary(problems=case.problems)
    known = {problem.path for problem in case.problems}
    return Summary(problems=(*case.problems, *(each for each in summary.problems if each.path not in known)))


def _summary(case: Case, result: Result) -> Summary:
    if result.problems:
        return Summary(problems=tuple(case.relocate(problem) for problem in result.problems))
    money: dict[str, dict[str, int]] = {key: defaultdict(int) for key in MONEY_EXPECTED}
    lines = tuple(result.lines())
    for line in lines:
        money["by_person"][line.person] += line.cents
        money["by_component"][line.component] += line.cents
        money["by_deal"][line.deal] += line.cents
    for pay in result.pay:
        name = f"{pay.person}/{pay.period}"
        money["by_period"][name] += pay.earned
        money["paid"][name] += pay.paid
        if pay.draw_balance is not None:
            money["draw_balance"][name] = pay.draw_balance
    for payment in result.payments:
        money["payments"][f"{payment.person}/{payment.period}"] += payment.cents
    attainment = {
        f"{each.person}/{each.component}/{each.period}": round_ratio(each.credit * 10_000, each.quota) * 100
        for each in result.attainment
    }
    return Summary(result.total, money, attainment, (), lines, result)


def differences(case: Case, summary: Summary) -> Iterator[Difference]:
    """The figures that are not as the case expects; a name that the result lacks counts as 0."""
    expected = case.expected
    reported = [problem.path for problem in summary.problems]
    wanted = expected.problems or ()
    for path in wanted:
        if path not in reported:
            told = ", ".join(problem.path or problem.message for problem in summary.problems)
            yield Difference("problems", "", path, told or "none")
    if not wanted:
        for problem in summary.problems:
            yield Difference("problems", "", "none", str(problem))
    if summary.problems:
        return

    def money(cents: int) -> str:
        return format_money(cents, case.currency)

    if expected.total is not None and expected.total != summary.total:
        yield Difference("total", "", money(expected.total), money(summary.total))
    for what, figures in expected.money.items():
        found = summary.money[what]
        for name, cents in figures.items():
            if cents != found.get(name, 0):
                yield Difference(what, name, money(cents), money(found.get(name, 0)))
    for name, ppm in expected.attainment.items():
        if ppm != summary.attainment.get(name, 0):
            yield Difference("attainment", name, _percent(ppm), _percent(summary.attainment.get(name, 0)))


def _percent(ppm: int) -> str:
    return format_money(round_ratio(ppm, 100), "USD") + "%"


# --- telling --------------------------------------------------------------------------------------


def as_json(outcome: Outcome) -> str:
    """A case's outcome as one line of JSON: money as decimal text, the cents of lines as ints."""
    summary, currency = outcome.summary, outcome.case.currency
    shown: dict[str, Any] = {"name": outcome.case.name}
    shown["total"] = None if summary.problems else format_money(summary.total, currency)
    for key in MONEY_EXPECTED:
        figures = summary.money.get(key, {})
        shown[key] = {name: format_money(figures[name], currency) for name in sorted(figures)}
    payments = shown.pop("payments")
    shown["attainment"] = {name: _percent(summary.attainment[name]) for name in sorted(summary.attainment)}
    shown["payments"] = payments
    shown["problems"] = [problem.path for problem in summary.problems]
    shown["lines"] = [
        {
            "person": line.person,
            "component": line.component,
            "deal": line.deal,
            "period": line.period,
            "cents": line.cents,
        }
        for line in summary.lines
    ]
    return json.dumps(shown, ensure_ascii=False)


def working(result: Result, lines: Iterable[Line], currency: str) -> Iterator[str]:
    """The working of lines, slice by slice, as rows of text."""
    for line in lines:
        amount = format_money(line.cents, currency, thousands=True)
        yield f"{line.person} {line.component} {line.deal or '(no deal)'} {line.period}: {amount}"
        yield from (f"  {text}" for text in explain(line, result.plan(line)).texts)


def made_of(difference: Difference, line: Line) -> bool:
    """Whether a line is part of the figure that differs."""
    person, _, rest = difference.name.partition("/")
    match difference.what:
        case "total":
            return True
        case "by_person":
            return line.person == difference.name
        case "by_component":
            return line.component == difference.name
        case "by_deal":
            return line.deal == difference.name
        case "attainment":
            return line.person == person and line.component == rest.rpartition("/")[0]
        case _:
            return line.person == person and line.period == rest


def tell(outcome: Outcome, out: TextIO, explained: bool = False) -> None:
    """Writes a failed case's differences, with the working of the lines that they are made of; with
    ``explained`` the working of every line of any case.
    """
    if not outcome.differences and not explained:
        return
    failed = "FAILED " if outcome.differences else ""
    out.write(f"{failed}{outcome.path}: {outcome.case.name}\n")
    out.writelines(f"  {difference}\n" for difference in outcome.differences)
    if explained:
        out.writelines(f"  {problem}\n" for problem in outcome.summary.problems)
    if outcome.summary.result is not None:
        lines = [
            line
            for line in outcome.summary.lines
            if explained or any(made_of(difference, line) for difference in outcome.differences)
        ]
        out.writelines(f"    {text}\n" for text in working(outcome.summary.result, lines, outcome.case.currency))

"""The command line: ``python -m engine <command>``.

A command is a row of `COMMANDS`: its arguments, and a function that returns the exit status.  Modules are
imported inside the functions, so that one command does not wait for what only another one needs.
"""

import argparse
import csv
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import QuotaPathError

if TYPE_CHECKING:
    from engine.calc.model import Plan

FAILED = 1
UNUSABLE = 2  # what argparse exits with for wrong arguments, too


@dataclass(frozen=True)
class Command:
    """One command: ``arguments`` declares its options, ``run`` does it and returns the exit status."""

    name: str
    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def _workers_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers", choices=("pypy", "cpython"), help="interpreter of the worker processes (default: PyPy if there)"
    )


def _cases_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="case files, or folders of them")
    parser.add_argument("--json", action="store_true", help="print one JSON object for each case")
    parser.add_argument("--explain", action="store_true", help="print the working of every line")
    _workers_option(parser)


def _cases(options: argparse.Namespace) -> int:
    """Runs cases; the JSON goes to standard output alone, the report then to standard error."""
    from engine.plans.cases import as_json, find_cases, run_case, tell
    from engine.workers.pool import Pool

    report = sys.stderr if options.json else sys.stdout
    paths = find_cases(options.paths)
    passed = failed = 0
    with Pool(1, options.workers) as pool:
        for path in paths:
            outcome = run_case(path, pool.calculate)
            if options.json:
                print(as_json(outcome), flush=True)
            tell(outcome, report, options.explain)
            passed += not outcome.differences
            failed += bool(outcome.differences)
    print(f"{passed} passed, {failed} failed", file=report)
    return FAILED if failed else 0


def _calc_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plan", type=Path, required=True, help="plan document (TOML)")
    parser.add_argument("--deals", type=Path, required=True, help="CSV: id, owner, close_date, amount, ...")
    parser.add_argument("--people", type=Path, help="CSV: id, manager, start, end, prorate, quota")
    parser.add_argument("--quotas", type=Path, help="CSV: person, component, period, amount")
    parser.add_argument("--out", type=Path, required=True, help="CSV of lines to write")
    _workers_option(parser)


def _calc(options: argparse.Namespace) -> int:
    """Calculates files; with problems nothing is written."""
    from engine.plans.cases import calculate_case
    from engine.plans.tables import LINE_COLUMNS, line_rows, read_tables
    from engine.sheets import safe_cell
    from engine.workers.pool import Pool

    case = read_tables(options.plan, options.deals, options.people, options.quotas)
    with Pool(interpreter=options.workers) as pool:
        summary = calculate_case(case, pool.calculate)
    if summary.problems:
        print(*summary.problems, sep="\n", file=sys.stderr)
        print(f"{len(summary.problems)} problems; nothing was calculated", file=sys.stderr)
        return FAILED
    try:
        with options.out.open("w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(LINE_COLUMNS)
            writer.writerows(map(safe_cell, row) for row in line_rows(summary.lines, case.currency))
    except OSError as error:
        raise QuotaPathError(f"{options.out} cannot be written: {error}. Name a file that you may write.") from error
    return 0


def _lint_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("plan", type=Path, metavar="PLAN.toml", help="plan document")


def _lint(options: argparse.Namespace) -> int:
    """Tells a plan's problems, warnings and examples; fails for problems and for examples that do not come out."""
    from engine.plans.examples import example_problems
    from engine.plans.lint import lint

    plan = _read_plan(options.plan)
    if plan is None:
        return FAILED
    warnings, failures = lint(plan), example_problems(options.plan.read_text(encoding="utf-8-sig"))
    for told in (*(f"warning: {each}" for each in warnings), *(f"FAILED {each}" for each in failures)):
        print(told)
    print(f"warnings: {len(warnings)}, figures of examples that failed: {len(failures)}")
    return FAILED if failures else 0


def _diff_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("old", type=Path, metavar="OLD.toml", help="the earlier version")
    parser.add_argument("new", type=Path, metavar="NEW.toml", help="the later version")


def _diff(options: argparse.Namespace) -> int:
    """Tells what changes from one version to the other, one change a row; nothing where they mean the same."""
    from engine.plans.diff import diff

    old, new = _read_plan(options.old), _read_plan(options.new)
    if old is None or new is None:
        return FAILED
    for change in diff(old, new):
        print(change)
    return 0


def _read_plan(path: Path) -> "Plan | None":
    """The plan of a file; None when it has problems, which are told."""
    from engine.plans.document import read_plan

    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise QuotaPathError(f"{path} cannot be read: {error}. Name a plan document, in UTF-8.") from error
    plan, problems = read_plan(text)
    for problem in problems:
        print(f"{path}: {problem}", file=sys.stderr)
    return plan


def _demo(_options: argparse.Namespace) -> int:
    """Loads the demo company into the database of the settings; does nothing when it is there already."""
    from engine import settings
    from engine.db import migrate, server
    from engine.db.database import Database
    from engine.services import setup
    from engine.services.demo import load_demo
    from engine.workers.pool import Pool

    found = settings.read()
    with server.database(found) as url:
        migrate.upgrade(url)
        db = Database(url)
        try:
            company = setup.company(db)
            if company is not None and company.is_demo:
                print(f"{company.name}, the demo company, is loaded already.")
                return 0
            with Pool(found.workers, None if found.pypy else "cpython", found.pypy) as pool:
                print(pool.note)
                accounts = load_demo(
                    db, pool, found.today, lambda done, total, what: print(f"{done:3}/{total} {what}", flush=True)
                )
        finally:
            db.close()
    print(f"The demo company is loaded. Everyone's password is {accounts.password}")
    for role, name, email in accounts.accounts:
        print(f"  {role:8} {name:20} {email}")
    return 0


def _backup_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", type=Path, help="the file to write (default: quotapath-DAY-TIME.backup)")


def _backup(options: argparse.Namespace) -> int:
    """Writes the whole database to a file, while people work."""
    from datetime import datetime

    from engine import settings
    from engine.db import backup, server

    target = options.file or Path(f"quotapath-{datetime.now().astimezone():%Y-%m-%d-%H%M%S}.backup")
    with server.database(settings.read()) as url:
        backup.backup(url, target)
    print(f"{target}: {target.stat().st_size:,} bytes. Keep it as safe as the database: it holds everybody's pay.")
    return 0


def _restore_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a file that `backup` has written")


def _restore(options: argparse.Namespace) -> int:
    """Fills an empty database from a backup."""
    from engine import settings
    from engine.db import backup, server

    with server.database(settings.read()) as url:
        backup.restore(url, options.file)
    print(f"{options.file} is restored.")
    return 0


def _worker(_options: argparse.Namespace) -> int:
    """Works on the jobs of an app with the same database and Redis, until it is stopped."""
    from engine.tasks import serve

    serve()
    return 0


def _no_arguments(_parser: argparse.ArgumentParser) -> None:
    """The command takes none."""


COMMANDS = (
    Command("cases", "run case files: examples that are tests", _cases_arguments, _cases),
    Command("calc", "calculate files without a database", _calc_arguments, _calc),
    Command(
        "lint", "warn about cliffs, dead tiers and the like in a plan, and run its examples", _lint_arguments, _lint
    ),
    Command("diff", "tell in words what changes between two versions of a plan", _diff_arguments, _diff),
    Command("backup", "write the whole database to one file, while people work", _backup_arguments, _backup),
    Command("restore", "fill an empty database from a backup", _restore_arguments, _restore),
    Command("worker", "do the jobs of an app with the same DATABASE_URL and REDIS_URL", _no_arguments, _worker),
    Command("demo", "load the demo company into an empty database", _no_arguments, _demo),
)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command that ``arguments`` (default: those of the process) name; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m engine", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(metavar="command", required=True)
    for command in COMMANDS:
        own = commands.add_parser(command.name, help=command.help, description=command.help)
        command.arguments(own)
        own.set_defaults(run=command.run)
    options = parser.parse_args(arguments)
    try:
        run: Callable[[argparse.Namespace], int] = options.run
        return run(options)
    except QuotaPathError as error:
        print(f"error: {error}", file=sys.stderr)
        return UNUSABLE


if __name__ == "__main__":
    sys.exit(main())

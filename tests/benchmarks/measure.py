"""Clocks, races and the machine: what every section of the bench shares."""

import os
import platform
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.calc.book import Book, Deals
from engine.calc.model import Assignment, Plan
from engine.workers.pool import Pool


@dataclass(frozen=True)
class Row:
    """One line of the table: what was raced, the seconds of each, and the ratio asked for."""

    work: str
    seconds: dict[str, float]
    ratio: float
    asked: str
    reached: bool
    note: str = ""
    unit: str = "x"

    @property
    def figure(self) -> str:
        """The ratio as it is printed."""
        return f"{self.ratio:.1f}{self.unit}"


def cpu(*pools: Pool) -> Callable[[], float]:
    """A clock of the CPU seconds of this process and of the pools' workers, reading and writing included."""

    def now() -> float:
        total = time.process_time()
        for pool in pools:
            for worker in pool.status():
                for task in Path(f"/proc/{worker.pid}/task").iterdir():
                    total += int((task / "schedstat").read_text().split()[0]) / 1e9
        return total

    return now


def race(
    contestants: dict[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float],
    before: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """The best of several rounds of each contestant, in turns; all must give the same answer first."""
    answers = {name: run() for name, run in contestants.items()}
    first = next(iter(answers.values()))
    for name, answer in answers.items():
        if answer != first:
            raise AssertionError(f"{name} does not come to the same cents as {next(iter(answers))}")
    return race_unlike(contestants, rounds, clock, before)


def race_unlike(
    contestants: dict[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float],
    before: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """`race` for works that have no common answer; each one's answers are checked where they are made."""
    best: dict[str, float] = {}
    for _ in range(rounds):
        for name, run in contestants.items():
            before()
            start = clock()
            run()
            taken = clock() - start
            best[name] = min(taken, best.get(name, taken))
    return best


def machine(pypy: Pool | None) -> list[str]:
    """What the figures were measured on."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return [
        f"{model}, {os.cpu_count()} cores, {memory:.0f} GB of memory, {platform.system()}",
        f"CPython {platform.python_version()}; " + (pypy.note if pypy is not None else "PyPy is not installed."),
        f"load while measuring: {', '.join(f'{load:.1f}' for load in os.getloadavg())} (1, 5, 15 minutes)",
    ]


def numbers(seed: int, count: int, below: int) -> list[int]:
    """Pseudo-random numbers, the same everywhere."""
    found, state = [], seed
    for _ in range(count):
        state = (state * 1_103_515_245 + 12_345) & 0x7FFFFFFF
        found.append((state >> 4) % below)
    return found


def book_of(
    deals: int, people: int, plan: Plan, start: int, days: int, quotas: Sequence[object], **columns: object
) -> Book:
    """A company in which everyone is on one plan, and deals fall evenly over the days."""
    names = tuple(f"p{number:05d}" for number in range(people))
    return Book(
        people=names,
        plans={plan.name: (plan,)},
        assignments=tuple(Assignment(name, plan.name) for name in names),
        quotas=tuple(quotas),  # type: ignore[arg-type]
        deals=Deals(
            close_date=array("q", [start + number * days // deals for number in range(deals)]),
            **columns,  # type: ignore[arg-type]
        ),
        horizon=start + days - 1,
    )


# A company of :people reps, led by :managers, :team of them under each; statements for an empty database.
TEAMS = (
    "INSERT INTO company (name, currency) VALUES ('Bench', 'USD')",
    "INSERT INTO users (code, name, email, role) VALUES ('ada', 'Ada', 'ada@bench.example', 'admin')",
    """INSERT INTO users (code, name, email, role)
       SELECT format('m%s', n), format('Manager %s', n), format('m%s@bench.example', n), 'manager'
         FROM generate_series(1, :managers) n""",
    """INSERT INTO users (code, name, email, role)
       SELECT format('p%s', n), format('Person %s', n), format('p%s@bench.example', n), 'rep'
         FROM generate_series(1, :people) n""",
    "INSERT INTO teams (name) SELECT format('Team %s', n) FROM generate_series(1, :managers) n",
    """INSERT INTO team_structure (team_id, manager_id, start_date)
       SELECT t.id, u.id, DATE '2020-01-01' FROM teams t JOIN users u ON u.code = replace(t.name, 'Team ', 'm')""",
    """INSERT INTO team_members (team_id, user_id, start_date)
       SELECT 1 + (CAST(substr(code, 2) AS int) - 1) / :team, id, DATE '2020-01-01' FROM users WHERE role = 'rep'""",
)

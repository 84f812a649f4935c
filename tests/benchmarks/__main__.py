"""``python -m tests.benchmarks``: how fast the pay rules are, side by side in one run.

Contestants take turns and each one's best round counts; all are checked for equal cents first.  ``--quick``
runs everything once on a few deals, without writing the table: a check that the bench itself works.
"""

import argparse
import sys
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import sqlalchemy as sa

from engine.analytics import inputs
from engine.calc.book import Book, Field
from engine.calc.model import (
    MICRO,
    PPM,
    Cap,
    Component,
    Condition,
    Gate,
    Multiplier,
    Number,
    Plan,
    Point,
    QuotaRow,
    Rate,
    Step,
    Tier,
)
from engine.calc.result import totals
from engine.periods import parse_period
from engine.services.runs import run_period
from engine.workers.pool import Pool
from tests.benchmarks import database
from tests.benchmarks.by_hand import RATES, STARTS, ByHand
from tests.benchmarks.deals import deals_page
from tests.benchmarks.imports import import_file
from tests.benchmarks.measure import Row, book_of, cpu, machine, numbers, race, race_unlike
from tests.benchmarks.pages import pages
from tests.benchmarks.runs import recalculation
from tests.benchmarks.whatif import moved_slider
from tests.benchmarks.workers import celery_workers

ROOT = Path(__file__).resolve().parents[2]
TABLE, README = ROOT / "docs" / "benchmarks.md", ROOT / "README.md"
BEGIN, END = "<!-- written by make bench -->\n", "<!-- end -->"
YEAR = parse_period("2026")
ROUNDS = 7


WHY = (
    "The loop over the deals is about a quarter of the time, some 9 ns a deal. About as much goes to each person's "
    "credits and to the way back to the app of three columns a line: its deal, its cents, its credit. The rest are the "
    "12,000 quota periods, each with its quota, gate, cap, rounding and explanation, at about a microsecond. What is "
    "written by hand knows this one plan, and keeps its lines to itself."
)


@dataclass(frozen=True)
class Sizes:
    """How much of everything; ``quick`` is a thousandth."""

    quick: bool

    def of(self, full: int, least: int = 1) -> int:
        return max(full // 1000, least) if self.quick else full

    @property
    def rounds(self) -> int:
        return 1 if self.quick else ROUNDS


def four_tiers() -> Plan:
    tiers = tuple(
        Tier(start * PPM // 100, Rate(rate), None, "slice") for start, rate in zip(STARTS, RATES, strict=True)
    )
    component = Component("nb", "", "quota", "month", edges="quota", tiers=tiers)
    return Plan("ae", YEAR.start, "USD", "month", "half_up", (component,))


def quota_of(place: int) -> int:
    """A person's monthly quota in whole dollars."""
    return 400_000 + place * 38


def simple_book(deals: int, people: int) -> Book:
    quotas = [QuotaRow(f"p{place:05d}", None, None, quota_of(place) * MICRO) for place in range(people)]
    return book_of(
        deals,
        people,
        four_tiers(),
        YEAR.start,
        YEAR.days,
        quotas,
        credit_person=array("q", numbers(1, deals, people)),
        amount=array("q", numbers(2, deals, 1_000_000)),
    )


def rich_plan() -> Plan:
    """Five components with filters, multipliers, a gate, a cap, and deals that are split."""
    new = (Condition("type", (("any_of", ("New",)),)),)
    strategic = Multiplier((Condition("segment", (("any_of", ("Strategic",)),)),), 1_250_000)
    tiers = (Tier(0, Rate(60_000), None, "slice"), Tier(PPM, Rate(100_000), None, "slice"))
    components = (
        Component("nb", "", "quota", "quarter", when=new, multipliers=(strategic,), edges="quota", tiers=tiers),
        Component("all", "", "percentage", "month", rate=Rate(12_345), gate=Gate(PPM // 2, "nb")),
        Component("big", "", "tiered", "month", edges="money", tiers=(
            Tier(0, Rate(10_000), None, "all"), Tier(500_000, Rate(15_000), None, "all"))),
        Component("curve", "", "curve", "quarter", edges="money", cap=Cap(500_000, "carry"), points=(
            Point(0, 0), Point(10_000_000, 200_000), Point(40_000_000, 900_000))),
        Component("steps", "", "bonus", "year", edges="money", steps=(
            Step(50_000_000, 100_000), Step(100_000_000, 250_000)), when=(
            Condition("amount", (("at_least", (Number(100 * MICRO),)),)),)),
    )  # fmt: skip
    return Plan("rich", YEAR.start, "USD", "month", "half_up", components)


def rich_book(deals: int, people: int) -> Book:
    quotas = [QuotaRow(f"p{place:05d}", None, None, quota_of(place) * MICRO) for place in range(people)]
    first = numbers(1, deals, people)
    pairs = [
        sorted((who, (who + 1 + place % 7) % people)) if place % 3 == 0 else [who] for place, who in enumerate(first)
    ]
    starts = np.concatenate(([0], np.cumsum([len(pair) for pair in pairs])))
    shares = [share for pair in pairs for share in ((PPM,) if len(pair) == 1 else (333_333, 666_667))]
    return book_of(
        deals,
        people,
        rich_plan(),
        YEAR.start,
        YEAR.days,
        quotas,
        credit_start=array("q", starts.astype(np.int64).tobytes()),
        credit_person=array("q", [who for pair in pairs for who in pair]),
        credit_share=array("q", shares),
        amount=array("q", numbers(2, deals, 1_000_000)),
        fields={
            "type": Field(array("q", numbers(3, deals, 3)), ("New", "Expansion", "Renewal")),
            "segment": Field(array("q", numbers(4, deals, 2)), ("Strategic", "SMB")),
        },
    )


def told(pool: Pool, book: Book) -> object:
    """Everything that a calculation says, to compare; not on the clock."""
    found = pool.calculate(book)
    return [column.tobytes() for column in found.columns.values()], list(found.blocks), found.pay, found.payments


def one_core(sizes: Sizes, pools: dict[str, Pool]) -> Iterator[Row]:
    """1.2 million deals through a four-tier plan: PyPy, CPython, NumPy, C."""
    book = simple_book(sizes.of(1_200_000), sizes.of(1000, 10))
    quotas = np.array([quota_of(place) * 100 for place in range(len(book.people))], dtype=np.int64)
    hand = ByHand(book, quotas)
    compiled = hand.compile()
    if not compiled:
        print("*** NOT RUN, cc is missing: the C loop", file=sys.stderr)

    def engine(pool: Pool) -> tuple[bytes, bytes, bytes]:
        """Cents and credit by deal, and totals by person and month, of the engine's lines."""
        found = pool.calculate(book)
        place = np.frombuffer(found.columns["deal"].tobytes(), dtype=np.int64)
        cents, credit = np.empty_like(place), np.empty_like(place)
        cents[place] = np.frombuffer(found.columns["cents"].tobytes(), dtype=np.int64)
        credit[place] = np.frombuffer(found.columns["credit"].tobytes(), dtype=np.int64)
        by_month = np.zeros(len(book.people) * 12, dtype=np.int64)
        for block in found.blocks:
            by_month[block.person * 12 + int(block.period[-2:]) - 1] = block.cents
        return cents.tobytes(), credit.tobytes(), by_month.tobytes()

    by_hand: dict[str, Callable[[], object]] = {"NumPy": hand.numpy}
    if compiled:
        by_hand["C"] = hand.c
    expected = engine(pools["cpython"])
    answers = {f"{name}": tuple(column.tobytes() for column in run()) for name, run in by_hand.items()}  # type: ignore[attr-defined]
    for name, answer in {"PyPy": engine(pools["pypy"]), **answers}.items():
        assert answer == expected, f"{name} does not come to the same cents"
    assert told(pools["pypy"], book) == told(pools["cpython"], book)

    clock = cpu(*pools.values())
    slow = race_unlike({"CPython": lambda: pools["cpython"].calculate(book)}, min(sizes.rounds, 2), clock)
    fold = {"PyPy": lambda: pools["pypy"].calculate(book), **by_hand}
    best = {**race_unlike(fold, 3 * sizes.rounds, clock), **slow}
    work = "1.2 million deals, 1,000 people, 12 months, four tiers"
    yield Row(f"{work}: PyPy pool, one worker, against CPython", only(best, "PyPy", "CPython"),
              best["CPython"] / best["PyPy"], "at least 10x faster", best["CPython"] >= 10 * best["PyPy"])  # fmt: skip
    yield Row("the same against hand-vectorised NumPy", only(best, "PyPy", "NumPy"), best["NumPy"] / best["PyPy"],
              "at least 2x faster", best["NumPy"] >= 2 * best["PyPy"], WHY)  # fmt: skip
    if compiled:
        yield Row("the same against a C loop over the same arrays", only(best, "PyPy", "C"), best["PyPy"] / best["C"],
                  "at most 8x slower", best["PyPy"] <= 8 * best["C"], WHY)  # fmt: skip
    worker = race_unlike({"PyPy": lambda: pools["pypy"].totals(book)}, sizes.rounds, clock)
    yield Row("the same as a what-if: totals alone come back, against NumPy with its lines",
              {**worker, **only(best, "NumPy")}, best["NumPy"] / worker["PyPy"], "not asked", True)  # fmt: skip


def only(seconds: dict[str, float], *names: str) -> dict[str, float]:
    return {name: seconds[name] for name in names}


def rich(sizes: Sizes, pools: dict[str, Pool]) -> Iterator[Row]:
    """Five components, filters, multipliers, gate, cap and splits."""
    book = rich_book(sizes.of(200_000), sizes.of(200, 10))
    assert told(pools["pypy"], book) == told(pools["cpython"], book)
    clock = cpu(*pools.values())
    best = race_unlike({"CPython": lambda: pools["cpython"].calculate(book)}, min(sizes.rounds, 2), clock)
    best |= race_unlike({"PyPy": lambda: pools["pypy"].calculate(book)}, sizes.rounds, clock)
    yield Row("five components, filters, multipliers, gate, cap, splits, 200,000 deals: PyPy against CPython",
              best, best["CPython"] / best["PyPy"], "at least 8x faster",
              best["CPython"] >= 8 * best["PyPy"])  # fmt: skip


def two_workers(sizes: Sizes, pools: dict[str, Pool]) -> Iterator[Row]:
    """Two workers against one, on the wall clock."""
    book = simple_book(sizes.of(5_000_000), sizes.of(1000, 10))
    with Pool(2, "pypy") as two:
        assert told(two, book) == told(pools["pypy"], book)
        contest: dict[str, Callable[[], object]] = {
            "one worker": lambda: pools["pypy"].calculate(book).total,
            "two": lambda: two.calculate(book).total,
        }
        best = race(contest, sizes.rounds, perf_counter)
    yield Row("5 million deals: two workers against one (wall clock)", best, best["one worker"] / best["two"],
              "at least 1.6x faster", best["one worker"] >= 1.6 * best["two"])  # fmt: skip


def what_if(sizes: Sizes, pools: dict[str, Pool]) -> Iterator[Row]:
    """One changed rate over loaded deals, against a run from Postgres."""
    pool = pools["pypy"]
    with database.company(sizes.of(200, 10), sizes.of(100_000)) as (db, admin):
        with db.read() as conn:
            book = inputs.load(conn, parse_period("2026-12")).book
        run = run_period(db, pool, admin, "2026-12")
        with db.read() as conn:
            kept = conn.scalar(sa.text("SELECT sum(amount) FROM lines WHERE run_id = :r"), {"r": run})
        now = pool.totals(book)
        assert sum(cents for (_, period), cents in now.by_period.items() if period == "2026-12") == kept
        (plan,) = book.plans["ae"]
        (component,) = plan.components
        tiers = (*component.tiers[:-1], replace(component.tiers[-1], rate=Rate(130_000)))
        changed = {"ae": (replace(plan, components=(replace(component, tiers=tiers),)),)}
        assert pool.totals(book, changed) == totals(pool.calculate(replace(book, plans=changed)))
        assert pool.totals(book, changed) != now
        best = race_unlike(
            {
                "from Postgres": lambda: run_period(db, pool, admin, "2026-12"),
                "what-if": lambda: pool.totals(book, changed),
            },
            sizes.rounds,
            perf_counter,
            before=lambda: pool.load(book),
        )
    yield Row("one changed rate over 100,000 loaded deals, totals back in the app, against a run from Postgres "
              "(wall clock)", best, best["from Postgres"] / best["what-if"], "at least 20x faster",
              best["from Postgres"] >= 20 * best["what-if"])  # fmt: skip


def simulation(sizes: Sizes, pools: dict[str, Pool]) -> Iterator[Row]:
    """Simulated quarters of open deals, against NumPy that draws their outcomes and pays nobody."""
    deals, rounds = sizes.of(2_000, 200), sizes.of(10_000, 50)
    book = simple_book(deals, 40)
    (plan,) = book.plans["ae"]
    quarter = replace(plan.components[0], quota_period="quarter")
    quarter_days = array("q", [YEAR.start + place * 90 // deals for place in range(deals)])
    book = replace(
        book,
        plans={"ae": (replace(plan, components=(quarter,)),)},
        deals=replace(book.deals, close_date=quarter_days),
    )
    chances = array("q", [50_000 + place * 900_000 // deals for place in range(deals)])
    odds = np.array(chances) / PPM
    assert pools["pypy"].simulate(book, chances, 50, 1) == pools["cpython"].simulate(book, chances, 50, 1)

    def draw() -> float:
        """A quarter of the rounds at a time, so that the draws stay in memory that is near."""
        chance = np.random.default_rng(1)
        return sum(float((chance.random((rounds // 25, deals)) < odds).mean()) for _ in range(25)) / 25

    pool = pools["pypy"]
    drawn = draw()
    assert abs(drawn - odds.mean()) < 0.02
    best = race_unlike({"PyPy": lambda: pool.simulate(book, chances, rounds, 1), "NumPy draws": draw},
                       sizes.rounds, cpu(pool))  # fmt: skip
    yield Row("10,000 simulated quarters of 2,000 open deals, paid by a quota plan, against NumPy drawing alone",
              best, best["PyPy"] / best["NumPy draws"], "at most 8x slower",
              best["PyPy"] <= 8 * best["NumPy draws"])  # fmt: skip


def growth(sizes: Sizes, pools: dict[str, Pool]) -> Iterator[Row]:
    """Four million deals against one."""
    small, large = (simple_book(sizes.of(count), sizes.of(1000, 10)) for count in (1_000_000, 4_000_000))
    pool = pools["pypy"]
    best: dict[str, float] = {}
    for name, book in (("1 million", small), ("4 million", large)):
        best |= race_unlike({name: lambda book=book: pool.calculate(book)}, sizes.rounds + 1, cpu(pool))  # type: ignore[misc]
    yield Row("4 million deals against 1 million", best, best["4 million"] / best["1 million"], "at most 4.4x",
              best["4 million"] <= 4.4 * best["1 million"])  # fmt: skip


SECTIONS = (
    one_core, rich, two_workers, what_if, moved_slider, simulation, growth, recalculation, import_file, deals_page,
    pages, celery_workers,
)  # fmt: skip


def table(rows: list[Row], about: list[str]) -> str:
    """The figures as a page."""
    lines = [
        "# Measured speed",
        "",
        "Written by `make bench`. Contestants take turns in one run, the best round of each counts, and all are",
        "checked for equal cents first. Seconds are CPU seconds of the app and its workers together, with everything",
        "sent between them, where the row does not say wall clock. Deals are loaded in the workers; lines come back,",
        "with what explains them.",
        "",
        *(f"- {line}" for line in about),
        "",
        "| work | measured | ratio | asked | |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        seconds = ", ".join(f"{name} {taken:.4f} s" for name, taken in row.seconds.items())
        verdict = "" if row.asked == "not asked" else "reached" if row.reached else "**not reached**"
        lines.append(f"| {row.work} | {seconds} | {row.figure} | {row.asked} | {verdict} |")
    for row in rows:
        if row.note:
            lines += ["", f"{'' if row.reached else 'Not reached: '}{row.work}. {row.note}"]
    return "\n".join(lines) + "\n"


def quoted(readme: str, rows: list[Row]) -> str:
    """The README with the ratios in it."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    lines = ["| work | ratio | asked |", "|---|---|---|"]
    for row in rows:
        asked = row.asked if row.reached else f"{row.asked}: **not reached**"
        lines.append(f"| {row.work} | {row.figure} | {asked} |")
    return f"{before}{BEGIN}" + "\n".join(lines) + f"\n{END}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few deals, once, nothing written")
    parser.add_argument(
        "--only", choices=[section.__name__ for section in SECTIONS], help="one section, nothing written"
    )
    options = parser.parse_args()
    sizes, rows = Sizes(options.quick), []
    with ExitStack() as stack:
        pools = {name: stack.enter_context(Pool(1, name)) for name in ("pypy", "cpython")}
        for section in SECTIONS:
            if options.only in (None, section.__name__):
                for row in section(sizes, pools):
                    rows.append(row)
                    print(f"{row.figure:>8}  {row.asked:<22} {row.work}", flush=True)
                    if row.note:
                        print(f"{'':>32} {row.note}", flush=True)
        text = table(rows, machine(pools["pypy"]))
    if not options.quick and options.only is None:
        TABLE.parent.mkdir(exist_ok=True)
        TABLE.write_text(text)
        README.write_text(quoted(README.read_text(), rows))
        print("\nWritten to docs/benchmarks.md and README.md.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The pool with real processes: the same cents whatever happens to the workers."""

import itertools
import os
import random
import shutil
import signal
import threading
from array import array
from dataclasses import replace
from typing import IO, Any

import pytest

from engine.calc import wire
from engine.calc.book import Book, Deals, book_from_rows
from engine.calc.calculate import CalculationError, calculate
from engine.calc.model import MICRO, Assignment, Component, Condition, Deal, Plan, QuotaRow, Rate, Tier
from engine.calc.result import Result, totals
from engine.calc.simulate import Days
from engine.errors import QuotaPathError
from engine.workers import pool as pools
from engine.workers.pool import Pool

START = 739_617  # 2026-01-01
PYPY = shutil.which("pypy3") is not None
needs_pypy = pytest.mark.skipif(not PYPY, reason="pypy3 is not installed (apt install pypy3)")


def company(deals: int, people: int = 40) -> Book:
    """Two-tier quarterly quotas over a year; the last person's commission is an override on the first one's."""
    chance = random.Random(7)  # noqa: S311
    tiers = (Tier(0, Rate(80_000), None, "slice"), Tier(1_000_000, Rate(123_457), None, "slice"))
    rep = Plan(
        "rep", START, "USD", "month", "half_up", (Component("nb", "", "quota", "quarter", edges="quota", tiers=tiers),)
    )
    above = Component(
        "o",
        "",
        "percentage",
        "month",
        measure="commission",
        pays_on="commission",
        credit_from="team",
        rate=Rate(10_000),
    )
    names = tuple(f"p{number:03d}" for number in range(people))
    boss = names[-1]
    days = sorted(START + chance.randrange(365) for _ in range(deals))
    return Book(
        people=names,
        plans={"boss": (replace(rep, name="boss", components=(above,)),), "rep": (rep,)},
        assignments=(
            Assignment(boss, "boss"),
            *(Assignment(name, "rep", boss if name == names[0] else None) for name in names[:-1]),
        ),
        quotas=tuple(QuotaRow(name, None, None, (50_000 + 7 * i) * MICRO) for i, name in enumerate(names)),
        deals=Deals(
            close_date=array("q", days),
            credit_person=array("q", [chance.randrange(people - 1) for _ in range(deals)]),
            amount=array("q", [chance.randrange(-20_000, 900_000) for _ in range(deals)]),
        ),
        horizon=START + 364,
    )


def told(result: Result) -> tuple[object, ...]:
    """Everything that a result says, as plain values."""
    assert not result.problems
    columns = {name: column.tobytes() for name, column in result.columns.items()}
    return list(result.blocks), columns, result.attainment, result.pay, result.payments


@pytest.fixture(scope="module")
def large() -> Book:
    return company(30_000)


@pytest.fixture(scope="module")
def expected(large: Book) -> tuple[object, ...]:
    return told(calculate(large))


@pytest.mark.parametrize(
    ("interpreter", "size"),
    [pytest.param("pypy", 1, marks=needs_pypy), pytest.param("pypy", 2, marks=needs_pypy), ("cpython", 2)],
)
def test_any_pool_gives_the_same_bytes(interpreter: str, size: int, large: Book, expected: object) -> None:
    seen: list[tuple[int, int]] = []
    with Pool(size, interpreter) as pool:
        assert told(pool.calculate(large, lambda done, total: seen.append((done, total)))) == expected
        status = pool.status()
        assert pool.interpreter == interpreter
        assert interpreter in pool.note.lower()
    assert seen[-1] == (30_000, 30_000)
    assert len(seen) == size * pools.SHARDS_A_WORKER
    assert [row.interpreter for row in status] == [interpreter] * size
    assert len({row.pid for row in status}) == size
    assert sum(row.deals for row in status) >= 30_000
    assert all(row.busy_seconds > 0 and row.restarts == 0 for row in status)


def better(book: Book) -> dict[str, tuple[Plan, ...]]:
    """The reps' plan with a higher second rate: a slider moved."""
    (rep,) = book.plans["rep"]
    (component,) = rep.components
    tiers = (component.tiers[0], replace(component.tiers[1], rate=Rate(150_001)))
    return {"rep": (replace(rep, components=(replace(component, tiers=tiers),)),)}


@pytest.mark.parametrize(
    ("interpreter", "size"), [pytest.param("pypy", 1, marks=needs_pypy), pytest.param("pypy", 2, marks=needs_pypy),
                              ("cpython", 2)],
)  # fmt: skip
def test_what_if_totals_are_the_sums_of_the_lines(interpreter: str, size: int, large: Book) -> None:
    changed = better(large)
    with Pool(size, interpreter) as pool:
        pool.load(large)
        for plans in ({}, changed):
            full = calculate(replace(large, plans={**large.plans, **plans}))
            assert pool.totals(large, plans) == totals(full)
        found = pool.totals(large, changed)
        sums: dict[str, int] = {}
        for line in calculate(replace(large, plans={**large.plans, **changed})).lines():
            sums[line.person] = sums.get(line.person, 0) + line.cents
        assert {person: cents for person, cents in found.by_person.items() if cents} == sums
        assert pool.totals(large) == totals(calculate(large))  # the book itself has not changed
        assert told(pool.calculate(large)) == told(calculate(large))


def test_what_if_survives_a_lost_worker_and_another_book(large: Book) -> None:
    with Pool(2) as pool:
        pool.load(large)
        for row in pool.status():
            os.kill(row.pid, signal.SIGKILL)
        expected = totals(calculate(replace(large, plans={**large.plans, **better(large)})))
        assert pool.totals(large, better(large)) == expected
        assert sum(row.restarts for row in pool.status()) >= 1
        pool.calculate(company(30))
        assert pool.totals(large, better(large)) == expected


def test_other_quotas_assignments_and_some_people_are_priced_as_if_they_were_the_book(large: Book) -> None:
    half = tuple(replace(row, amount=row.amount // 2) for row in large.quotas)
    off = tuple(replace(row, plan=None) if row.person in ("p001", "p003") else row for row in large.assignments)
    some = (0, 1, 7, 39)
    with Pool(2) as pool:
        for quotas, assignments in ((half, None), (None, off), (half, off)):
            there = replace(large, quotas=quotas or large.quotas, assignments=assignments or large.assignments)
            expected = totals(calculate(there))
            assert pool.totals(large, None, quotas, assignments) == expected
            found = pool.totals(large, None, quotas, assignments, some)
            names = {large.people[code] for code in some}
            assert found.by_person == {name: expected.by_person[name] for name in names & expected.by_person.keys()}
            assert found.paid == {key: cents for key, cents in expected.paid.items() if key[0] in names}
        assert pool.totals(large) == totals(calculate(large))


def test_a_simulation_of_some_people_is_their_part_of_all() -> None:
    book = company(400)
    chances = array("q", [(1_000_000, 300_000)[place % 2] for place in range(400)])
    half = tuple(replace(row, amount=row.amount // 2) for row in book.quotas)
    with Pool(2) as pool:
        everyone = pool.simulate(book, chances, 20, 5, quotas=half)
        assert everyone == pool.simulate(replace(book, quotas=half), chances, 20, 5)
        some, others = range(0, 40, 3), [code for code in range(40) if code % 3]
        parts = [pool.simulate(book, chances, 20, 5, quotas=half, people=codes) for codes in (some, others)]
        assert [a + b for a, b in zip(*(part.totals for part in parts), strict=True)] == list(everyone.totals)
        assert {**parts[0].people, **parts[1].people} == everyone.people


def test_workers_keep_a_few_books_and_let_go_of_the_oldest() -> None:
    books = [company(60 + number) for number in range(5)]
    expected = [totals(calculate(book)) for book in books]
    with Pool(1) as pool:
        sent = []
        work = pools._Worker.work

        def watched(worker: Any, header: dict[str, Any], columns: wire.Columns) -> Any:
            sent.append(header["do"])
            return work(worker, header, columns)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pools._Worker, "work", watched)
            for place in (0, 1, 0, 1, 2, 0, 1):
                assert pool.totals(books[place]) == expected[place]
            assert sent.count("load") == 3
            for place in (3, 4, 0, 1):
                assert pool.totals(books[place]) == expected[place]
            assert sent.count("load") == 7


def test_what_if_with_a_field_that_was_not_loaded_says_so(large: Book) -> None:
    (rep,) = better(large)["rep"]
    when = (Condition("segment", (("any_of", ("SMB",)),)),)
    with Pool(1) as pool:
        with pytest.raises(CalculationError, match="uses segment, which the loaded deals lack"):
            pool.totals(large, {"rep": (replace(rep, components=(replace(rep.components[0], when=when),)),)})
        assert pool.totals(replace(large, quotas=())).problems == calculate(replace(large, quotas=())).problems != ()


def test_a_simulation_is_the_same_on_any_pool() -> None:
    book = company(400)
    chances = array("q", [(1_000_000, 300_000, 0, 750_000)[place % 4] for place in range(400)])
    days = Days(START + 90, START + 181)
    found = []
    for interpreter, size in [("cpython", 1), ("cpython", 2)] + ([("pypy", 1), ("pypy", 2)] if PYPY else []):
        with Pool(size, interpreter) as pool:
            assert all(row.interpreter == interpreter for row in pool.status())  # they have all said hello
            found.append(pool.simulate(book, chances, 60, 12, days))
            if size == 2:
                os.kill(pool.status()[1].pid, signal.SIGKILL)
                found.append(pool.simulate(book, chances, 60, 12, days))
                assert pool.simulate(book, chances, 60, 13, days) != found[0]
    assert all(one == found[0] for one in found)
    assert len(set(found[0].totals)) > 30
    assert found[0].everyone.sum == sum(found[0].totals) == sum(one.sum for one in found[0].people.values())
    assert found[0].everyone.percentiles[0] < found[0].everyone.mean < found[0].everyone.percentiles[100]


def test_a_simulation_under_another_plan_and_with_problems() -> None:
    book = company(200)
    certain = array("q", [1_000_000] * 200)
    with Pool(1) as pool:
        found = pool.simulate(book, certain, 3, 1, plans=better(book))
        assert set(found.totals) == {calculate(replace(book, plans={**book.plans, **better(book)})).total}
        poor = replace(book, quotas=())
        assert pool.simulate(poor, certain, 3, 1).problems == calculate(poor).problems != ()
        with pytest.raises(QuotaPathError, match="2 chances for 200 deals"):
            pool.simulate(book, certain[:2], 3, 1)


@needs_pypy
def test_a_worker_that_needs_too_much_memory_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYPY_GC_MAX", "200MB")
    book, chances = company(2_000), array("q", [500_000] * 2_000)
    with Pool(1, "pypy") as pool:
        with pytest.raises(QuotaPathError, match=r"more memory than its worker|was lost 3 times"):
            pool.simulate(book, chances, 10_000_000, 1)
        assert told(pool.calculate(book)) == told(calculate(book))


def test_a_worker_killed_in_mid_shard_costs_no_cent(
    large: Book, expected: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of the shards lose the worker that has them; it is stopped first, so that it cannot be faster."""
    real, shards = wire.write, itertools.count()
    killed: list[int] = []

    def write_and_kill(stream: IO[bytes], header: dict[str, Any], columns: wire.Columns | None = None) -> None:
        if header["do"] != "calculate" or next(shards) not in (1, 4):
            return real(stream, header, columns)
        (victim,) = [worker.process.pid for worker in pool._workers if worker.process.stdin is stream]
        killed.append(victim)
        os.kill(victim, signal.SIGSTOP)
        real(stream, header, columns)
        return os.kill(victim, signal.SIGKILL)

    with Pool(2, "cpython") as pool:
        monkeypatch.setattr(wire, "write", write_and_kill)
        assert told(pool.calculate(large)) == expected
        assert len(killed) == sum(row.restarts for row in pool.status()) == 2
        assert not {row.pid for row in pool.status()} & set(killed)


def test_a_worker_killed_while_idle_is_replaced(large: Book, expected: object) -> None:
    with Pool(1) as pool:
        pool.calculate(large)
        os.kill(pool.status()[0].pid, signal.SIGKILL)
        assert told(pool.calculate(large)) == expected
        assert pool.status()[0].restarts == 1


def test_a_worker_that_hangs_is_replaced(large: Book, expected: object) -> None:
    with Pool(1, timeout=20) as pool:
        pool.calculate(company(10))
        stopped = pool.status()[0].pid
        for worker in pool._workers:
            worker.timeout = 2
        os.kill(stopped, signal.SIGSTOP)
        assert told(pool.calculate(large)) == expected
        assert pool.status()[0].pid != stopped


def test_a_shard_that_kills_every_worker_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with Pool(1, "cpython") as pool:
        real = pools._Worker.start

        def start_and_die(worker: pools._Worker) -> None:
            real(worker)
            worker.process.kill()

        monkeypatch.setattr(pools._Worker, "start", start_and_die)
        pool._workers[0].process.kill()
        with pytest.raises(QuotaPathError, match="p000 to p039 was lost 3 times"):
            pool.calculate(company(50))
        monkeypatch.undo()
        pool._workers[0].restart()
        assert told(pool.calculate(company(50))) == told(calculate(company(50)))


def test_a_poisoned_input_names_person_and_component() -> None:
    broken = Plan("ae", START, "USD", "month", "half_up", (Component("broken", "", "percentage", "month"),))
    deals = [Deal("D", START, (("bo", 1_000_000),), amount=5)]
    book = book_from_rows({"ae": (broken,)}, [Assignment("ana", "ae"), Assignment("bo", "ae")], deals)
    huge = [replace(deals[0], id=f"D{i}", amount=2**63 - 1) for i in range(3)]
    sums = replace(broken, components=(Component("sums", "", "percentage", "month", rate=Rate(1)),))
    with Pool(1) as pool:
        with pytest.raises(CalculationError, match=r"broken .*bo"):
            pool.calculate(book)
        with pytest.raises(CalculationError, match=r"sums .*bo.*9,223,372,036,854,775,807"):
            pool.calculate(book_from_rows({"ae": (sums,)}, [Assignment("bo", "ae")], huge))
        assert pool.status()[0].restarts == 0


def test_threads_share_a_pool() -> None:
    books = [company(1_000 + number) for number in range(6)]
    outcomes: dict[int, object] = {}
    with Pool(2) as pool:

        def run(number: int) -> None:
            outcomes[number] = told(pool.calculate(books[number]))

        threads = [threading.Thread(target=run, args=(number,)) for number in range(len(books))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert outcomes == {number: told(calculate(book)) for number, book in enumerate(books)}


def test_a_progress_that_raises_stops_the_calculation(large: Book) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with Pool(1) as pool:
        with pytest.raises(KeyboardInterrupt):
            pool.calculate(large, stop)
        assert pool.calculate(company(10)).problems == ()


def test_problems_come_back_as_from_a_calculation_here(large: Book) -> None:
    poor = replace(large, quotas=(), ids=tuple(map(str, range(30_000))))
    with Pool(2) as pool:
        assert pool.calculate(poor).problems == calculate(poor).problems != ()


def test_a_closed_pool_says_so() -> None:
    pool = Pool(1)
    pid = pool.status()[0].pid
    pool.close()
    pool.close()
    assert pool.status() == []
    with pytest.raises(QuotaPathError, match="closing"):
        pool.calculate(company(10))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_without_pypy(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("QUOTAPATH_PYPY", "off")
    with Pool(1) as pool:
        assert pool.interpreter == "cpython"
        assert "Install PyPy" in pool.note
    assert "CPython" in caplog.text
    with pytest.raises(QuotaPathError, match="apt install pypy3"):
        Pool(1, "pypy")
    monkeypatch.setenv("QUOTAPATH_PYPY", "/bin/false")  # there, but no PyPy
    with Pool(1) as pool:
        assert pool.interpreter == "cpython"
    with pytest.raises(QuotaPathError, match="/bin/false"):
        Pool(1, "pypy")
    with pytest.raises(QuotaPathError, match="jython"):
        Pool(1, "jython")

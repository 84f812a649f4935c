"""The pool of calculation processes: PyPy where it is installed, else CPython.

A calculation is cut into shards of people.  A worker gets the book once and then shards until none is
left.  A worker that dies or hangs is replaced and its shard sent again; results are put together in the
order of the people, so neither the number of workers nor a crash shows in them.
"""

import contextlib
import functools
import io
import itertools
import logging
import mmap
import os
import queue
import shutil
import subprocess
import sys
import threading
import weakref
from array import array
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any, ClassVar, Self, cast

from engine.calc import wire
from engine.calc.book import Book, visible
from engine.calc.calculate import CalculationError, combine
from engine.calc.model import Plan
from engine.calc.result import Finding, Result, Totals, totals
from engine.calc.simulate import Days, SimulatedPart, Simulation, combine_simulated
from engine.errors import QuotaPathError, given

Progress = Callable[[int, int], None]

ROOT = Path(__file__).resolve().parents[2]
INTERPRETERS = ("pypy", "cpython")

# Below this many deals a second worker costs more (it needs the book, too) than it saves.
SMALL = 20_000
SHARDS_A_WORKER = 4
# A shard that has struck this many workers down is not sent again.
ATTEMPTS = 3
SHARE_OF_MEMORY = 0.75
KEPT = 1 << 28  # bytes of memory kept for the next lines
PIPE = 1 << 20  # bytes on their way to or from a worker: fewer switches between the two

log = logging.getLogger(__name__)

CALCULATE = {"do": "calculate"}

Plans = Mapping[str, tuple[Plan, ...]]
Answer = tuple[dict[str, Any], dict[str, Any]]  # the columns are arrays or, of a calculation, views


@dataclass(frozen=True)
class WorkerStatus:
    """What one process has done: shards and deals calculated, seconds at work, how often it was replaced."""

    worker: int
    pid: int
    interpreter: str
    version: str
    shards: int
    deals: int
    busy_seconds: float
    restarts: int


class _Memory:
    """Memory through which lines come back: this process makes it, the worker opens it, nothing is left behind.

    What a result no longer needs serves the next one: memory that has been used before is the cheap kind.
    """

    _free: ClassVar[list[tuple[int, int]]] = []  # descriptors and sizes

    @classmethod
    def take(cls) -> int:
        """A file without a name, as its descriptor."""
        try:
            return cls._free.pop()[0]
        except IndexError:
            return os.memfd_create("lines")

    @classmethod
    def map(cls, memory: int) -> mmap.mmap | None:
        """What is in it, until the last view of that is gone."""
        size = os.fstat(memory).st_size
        if not size:
            cls._put_back(memory, 0)
            return None
        mapped = mmap.mmap(memory, size, access=mmap.ACCESS_READ)
        weakref.finalize(mapped, cls._put_back, memory, size)
        return mapped

    @classmethod
    def _put_back(cls, memory: int, size: int) -> None:
        if sum(kept for _, kept in cls._free) + size > KEPT:
            os.close(memory)
        else:
            cls._free.append((memory, size))


class _Gone(Exception):
    """A worker died, or was killed because it took too long."""


class _Worker:
    """One process and what it holds.  Used by one thread at a time."""

    def __init__(self, number: int, command: Sequence[str], env: dict[str, str], timeout: float) -> None:
        self.number, self.command, self.env, self.timeout = number, command, env, timeout
        self.shards = self.deals = self.restarts = 0
        self.busy = 0.0
        self.start()

    def start(self) -> None:
        self.key = ""
        self.hello: dict[str, Any] = {}
        try:
            # In a session of its own: Ctrl-C is for the app, which then closes its workers' input.
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=self.env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
                bufsize=0,
                pipesize=PIPE,
            )
            self.outward = io.BufferedReader(cast(io.FileIO, given(self.process.stdout)))
        except OSError as error:
            raise QuotaPathError(
                f"The worker {self.command[0]} does not start: {error}. Set QUOTAPATH_PYPY to a PyPy, or to off."
            ) from error

    def restart(self) -> None:
        self.kill()
        self.restarts += 1
        self.start()

    def ask(self, header: dict[str, Any], columns: wire.Columns | None = None) -> Answer:
        """Send a frame and read the answer.  Raises `_Gone`."""
        inward, outward = given(self.process.stdin), self.outward
        alarm = threading.Timer(self.timeout, self.process.kill)
        alarm.daemon = True
        alarm.start()
        try:
            if not self.hello:
                self.hello = self._exchange(inward, outward, {"do": "hello"}, None)[0]
            return self._exchange(inward, outward, header, columns)
        except (OSError, EOFError, ValueError) as error:
            raise _Gone(str(error)) from error
        finally:
            alarm.cancel()

    @staticmethod
    def _exchange(
        inward: IO[bytes], outward: IO[bytes], header: dict[str, Any], columns: wire.Columns | None
    ) -> Answer:
        if header["do"] != "calculate" or not hasattr(os, "memfd_create"):
            wire.write(inward, header, columns)
            return wire.read(outward)
        memory = _Memory.take()
        try:
            wire.write(inward, {**header, "memory": f"/proc/{os.getpid()}/fd/{memory}"}, columns)
            answer, found = wire.read(outward)
            mapped = _Memory.map(memory)
        except BaseException:
            os.close(memory)
            raise
        return answer, {**found, **wire.shared_columns(answer, mapped)}

    def work(self, header: dict[str, Any], columns: wire.Columns) -> Answer:
        """`ask`, on the clock.  Raises `CalculationError` when the worker says that it failed."""
        answer, found = self.ask(header, columns)
        self.busy += answer["seconds"]
        if "error" in answer:
            raise CalculationError(answer["error"])
        return answer, found

    def status(self) -> WorkerStatus:
        return WorkerStatus(
            self.number,
            self.process.pid,
            self.hello.get("interpreter", "starting"),
            self.hello.get("version", ""),
            self.shards,
            self.deals,
            round(self.busy, 3),
            self.restarts,
        )

    def kill(self) -> None:
        self.process.kill()
        self.close()

    def close(self) -> None:
        """Let the process end, and make it when it does not."""
        for stream in (self.process.stdin, self.outward):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Packed:
    """A book as processes get it, under the key by which they know it again.

    ``frame`` gives its header and columns, when the first process needs them.
    """

    def __init__(self, key: str, frame: Callable[[], Answer]) -> None:
        self.key, self._frame = key, frame

    @functools.cached_property
    def frame(self) -> Answer:
        """The book's header and columns."""
        return self._frame()


@dataclass
class _Job:
    """One request to all workers while it runs."""

    book: Packed
    request: dict[str, Any]
    columns: wire.Columns
    shards: "queue.SimpleQueue[tuple[int, range]]"
    done: "queue.SimpleQueue[tuple[int, Answer | Exception]]"


class Pool:
    """Calculation processes that serve every thread of this one; a context manager.

    ``size`` is the number of processes (default: one a core), ``interpreter`` "pypy", "cpython" or None:
    PyPy if it is there.  ``pypy`` names the PyPy to use (default: QUOTAPATH_PYPY, then pypy3 on the PATH).
    A worker that needs more than ``timeout`` seconds for one shard is taken to hang.

    ``interpreter`` then says which it became, ``note`` why, in a sentence.
    """

    def __init__(
        self,
        size: int | None = None,
        interpreter: str | None = None,
        pypy: str | None = None,
        timeout: float = 600.0,
    ) -> None:
        if interpreter not in (None, *INTERPRETERS):
            raise QuotaPathError(f"There is no interpreter {interpreter!r}. Use pypy or cpython.")
        self.size = size or os.cpu_count() or 1
        self._timeout = timeout
        self._keys = itertools.count(1)
        self._last: tuple[weakref.ref[Book], str] | None = None
        self._lock = threading.Condition()
        self._closed = False
        self._workers: list[_Worker] = []
        self._idle: list[_Worker] = []
        found = None if interpreter == "cpython" else _find_pypy(pypy)
        if interpreter == "pypy" and found is None:
            raise QuotaPathError(
                "PyPy is not installed. Install it (apt install pypy3), set QUOTAPATH_PYPY to its program, "
                "or calculate with CPython."
            )
        if found is None or not self._start("pypy", found, must=interpreter == "pypy"):
            self._start("cpython", sys.executable, must=True)
            if interpreter != "cpython":
                log.warning(self.note)

    def _start(self, interpreter: str, program: str, must: bool) -> bool:
        """Start all workers; False when one does not answer, though another interpreter may."""
        self.interpreter = interpreter
        command = [program, "-m", "engine.calc.worker"]
        try:
            self._workers = [
                _Worker(number + 1, command, _environment(self.size), self._timeout) for number in range(self.size)
            ]
            with ThreadPoolExecutor(self.size) as threads:
                list(threads.map(lambda worker: worker.ask({"do": "hello"}), self._workers))
        except (_Gone, QuotaPathError) as error:
            for worker in self._workers:
                worker.kill()
            if must:
                raise QuotaPathError(
                    f"The calculation process {program} does not run: {error}. Its own message is in the log."
                ) from error
            log.warning("PyPy at %s does not run (%s).", program, error)
            return False
        self._idle = list(self._workers)
        version = self._workers[0].hello["version"]
        if interpreter == "pypy":
            self.note = f"Calculating with PyPy {version}."
        else:
            self.note = f"Calculating with CPython {version}. Install PyPy (apt install pypy3) to be many times faster."
        return True

    # -- calculating --------------------------------------------------------------------------------

    def calculate(self, book: Book, on_progress: Progress | None = None) -> Result:
        """The result of `engine.calc.calculate.calculate`, reached in parallel.

        ``on_progress`` is called in this thread with deals done and deals in all.  Raises
        `CalculationError` when a rule fails on an input, `QuotaPathError` when workers keep dying.
        """
        # With nobody to tell of progress, and nobody to share the work with, one piece is the least work.
        shards = 1 if self.size == 1 and on_progress is None else SHARDS_A_WORKER
        answers = self._ask(book, CALCULATE, {}, shards, on_progress)
        return combine(book, [wire.unpack_part(*answer) for answer in answers])

    def part(self, book: Packed, people: range, deals: int) -> list[Answer]:
        """The parts of `calculate` for some people of a book, who have about so many deals; in the people's order."""
        shards = _shards(people, deals, self.size, 1)
        return self._spread(book, CALCULATE, {}, shards, lambda _people: None)

    def load(self, book: Book) -> None:
        """Have a book in the workers before it is needed, so that the first `totals` is as fast as the next.

        Workers keep the last book that they were given, for as long as it is the same object; one that
        was replaced, or has had another book since, gets it again by itself.
        """
        self._ask(book, {"do": "totals"}, {}, 1, None)

    def totals(self, book: Book, plans: Plans | None = None) -> Totals:
        """What everyone in a loaded book earns when ``plans`` (all versions, by name) take the place of its own.

        Only the changed plans are sent; sums of the same lines that `calculate` writes come back.  Raises
        as `calculate` does, and `QuotaPathError` when a plan uses a deal field that the book does not have.
        """
        changed = {**book.plans, **(plans or {})}
        request = {"do": "totals", "plans": wire.pack_plans(plans or {})}
        answers = self._ask(book, request, {}, 1, None)
        result = combine(replace(book, plans=changed), [wire.unpack_part(*answer) for answer in answers])
        return totals(result)

    def simulate(
        self,
        book: Book,
        chances: "array[int]",
        rounds: int,
        seed: int,
        days: Days = Days(),  # noqa: B008  # a frozen record
        plans: Plans | None = None,
        on_progress: Progress | None = None,
    ) -> Simulation:
        """What everyone earns over many outcomes of the open deals, drawn by ``seed`` and paid by the real rules.

        The book holds won and open deals alike; ``chances`` (ppm) says for each of its deals how likely it is
        won: 1,000,000 is won, 0 is lost.  Pay counts where its pay period starts in ``days``; it is earnings
        before draws.  The same seed gives the same cents on any interpreter and any number of workers; see
        `engine.calc.simulate`.  Raises as `totals` does.
        """
        if len(chances) != len(book.deals) or rounds < 1:
            raise QuotaPathError(
                f"A simulation needs at least one round and a chance for each deal; there are {rounds} rounds, and "
                f"{len(chances)} chances for {len(book.deals)} deals."
            )
        request = {"do": "simulate", "rounds": rounds, "seed": seed, "days": list(days)}
        request["plans"] = wire.pack_plans(plans or {})
        answers = self._ask(book, request, {"chances": chances}, SHARDS_A_WORKER, on_progress, rounds)
        parts = [
            SimulatedPart(columns["totals"], columns["spreads"], [Finding(*finding) for finding in header["findings"]])
            for header, columns in answers
        ]
        return combine_simulated(book, parts, rounds)

    def _ask(
        self,
        book: Book,
        request: dict[str, Any],
        columns: wire.Columns,
        shards_a_worker: int,
        on_progress: Progress | None,
        weight: int = 1,
    ) -> list[Answer]:
        """Ask for all people of a book, shard by shard; the answers are in the order of the people."""
        deals = visible(book)
        packed = Packed(self._key(book), lambda: wire.pack_book(book))

        def tell(people: int) -> None:
            if on_progress is not None:
                on_progress(deals * people // max(1, len(book.people)), deals)

        shards = _shards(range(len(book.people)), deals * weight, self.size, shards_a_worker)
        return self._spread(packed, request, columns, shards, tell)

    def _spread(
        self,
        book: Packed,
        request: dict[str, Any],
        columns: wire.Columns,
        shards: Sequence[range],
        tell: Callable[[int], None],
    ) -> list[Answer]:
        """Ask for these shards; ``tell`` hears of how many people are done."""
        job = _Job(book, request, columns, queue.SimpleQueue(), queue.SimpleQueue())
        for shard in enumerate(shards):
            job.shards.put(shard)
        threads = [
            threading.Thread(target=self._serve, args=(job,), name=f"calculate-{number}", daemon=True)
            for number in range(min(self.size, len(shards)))
        ]
        for thread in threads:
            thread.start()
        answers: dict[int, Answer] = {}
        people = 0
        try:
            while len(answers) < len(shards):
                number, outcome = job.done.get()
                if isinstance(outcome, Exception):
                    raise outcome
                answers[number] = outcome
                people += len(shards[number])
                tell(people)
        finally:
            with contextlib.suppress(queue.Empty):
                while True:
                    job.shards.get_nowait()
            for thread in threads:
                thread.join()
        return [answers[number] for number in range(len(shards))]

    def _key(self, book: Book) -> str:
        """The name under which workers keep this book; the same for the same book as last time."""
        with self._lock:
            if self._last is None or self._last[0]() is not book:
                self._last = weakref.ref(book), str(next(self._keys))
            return self._last[1]

    def _serve(self, job: _Job) -> None:
        """Take a worker and give it shards until none is left."""
        worker = self._take(job)
        if worker is None:
            return
        try:
            while True:
                try:
                    number, people = job.shards.get_nowait()
                except queue.Empty:
                    return
                try:
                    job.done.put((number, self._shard(worker, job, people)))
                except Exception as error:  # noqa: BLE001  # whatever it is, the caller hears of it
                    job.done.put((number, error))
        finally:
            with self._lock:
                self._idle.append(worker)
                self._lock.notify()

    def _take(self, job: _Job) -> _Worker | None:
        """A worker that nobody uses, best one that holds the book; None once there are no shards left."""
        with self._lock:
            while not self._idle and not self._closed:
                if job.shards.empty():
                    return None
                self._lock.wait(0.1)
            if self._closed:
                job.done.put((0, QuotaPathError("The calculation was stopped: the program is closing.")))
                return None
            place = next((i for i, worker in enumerate(self._idle) if worker.key == job.book.key), 0)
            return self._idle.pop(place)

    def _shard(self, worker: _Worker, job: _Job, people: range) -> Answer:
        """One shard, sent again when its worker is lost."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                key = job.book.key
                if worker.key != key:
                    worker.key = ""
                    header, columns = job.book.frame
                    worker.work({"do": "load", "key": key, **header}, columns)
                    worker.key = key
                answer, found = worker.work({**job.request, "key": key, "people": list(people)}, job.columns)
                if "unknown_key" in answer:
                    raise _Gone("it had lost the book")
            except _Gone as error:
                log.warning("Worker %s was lost (%s); attempt %s.", worker.number, error, attempt)
                worker.restart()
                continue
            worker.shards += 1
            worker.deals += len(found.get("deal", ()))
            return answer, found
        names = job.book.frame[0]["people"]
        first, last = names[people[0]], names[people[-1]]
        raise QuotaPathError(
            f"The calculation of {first} to {last} was lost {ATTEMPTS} times: its process died, or took longer than "
            f"{self._timeout:g} seconds. Look at the log and at the machine's memory, then run it again."
        )

    # -- for the status page ------------------------------------------------------------------------

    def status(self) -> list[WorkerStatus]:
        """One row a process."""
        return [worker.status() for worker in self._workers]

    def close(self) -> None:
        """End the processes; a shard that is being calculated is finished first.  Twice is once."""
        with self._lock:
            self._closed = True
            while len(self._idle) < len(self._workers):
                self._lock.wait()
            for worker in self._workers:
                worker.close()
            self._workers = []
            # Whoever asks now finds a closed pool, and does not wait.
            self._idle = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _find_pypy(named: str | None) -> str | None:
    named = named or os.environ.get("QUOTAPATH_PYPY") or None
    return None if named == "off" else shutil.which(named or "pypy3")


def _environment(size: int) -> dict[str, str]:
    """A worker finds the engine and nothing else of this process, and may not eat the machine's memory."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    # Columns come and go by the megabyte: a roomier nursery spares collections.
    env.setdefault("PYPY_GC_NURSERY", "32MB")
    env.setdefault("PYPY_GC_MAX", str(int(memory * SHARE_OF_MEMORY / size)))
    return env


def _shards(people: range, work: int, size: int, shards_a_worker: int) -> list[range]:
    """Ranges of people; more than workers, so that the last ones are short and progress moves.

    ``work`` is how much there is to do for all of them, counted in deals of a calculation.
    """
    return cut(people, 1 if work < SMALL else size * shards_a_worker)


def cut(people: range, count: int) -> list[range]:
    """People in so many ranges, or one each where there are fewer."""
    count = max(1, min(len(people), count))
    edges = [len(people) * place // count for place in range(count + 1)]
    return [people[start:end] for start, end in itertools.pairwise(edges)]

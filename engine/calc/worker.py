"""A calculation process: ``pypy3 -m engine.calc.worker``, or any Python 3.9 or newer.

It answers frames on standard input with frames on standard output until its input ends:

- ``hello``: interpreter, version, process id;
- ``load``: keep a book under a key; those used longest ago make room for it;
- ``calculate``: the people of the book with these codes; answers a part of the result;
- ``totals``: the same without the lines, under changed ``plans``, ``quotas`` and ``assignments`` if there are any;
- ``simulate``: what these people earn in many simulated outcomes of the open deals.

Whatever a rule prints or a library writes to standard output goes to standard error instead.
"""

import contextlib
import os
import platform
import sys
import time
import traceback
from array import array
from pathlib import Path
from typing import IO, Any, Dict, Tuple

from engine.calc import wire
from engine.calc.account import Lines
from engine.calc.book import INT64, Book, Deals
from engine.calc.calculate import Desk
from engine.calc.model import MICRO, PPM, Assignment, Component, Plan, QuotaRow, Rate, Tier
from engine.calc.result import Chunk
from engine.calc.simulate import Days, Outcomes, simulate
from engine.errors import QuotaPathError

WARM_DEALS = 4000
# What is kept beside the book in use: a what-if asks for the past and for the next quarter in turns.
KEPT_BOOKS, KEPT_DEALS = 3, 2_000_000
NO_MEMORY = (
    "The calculation needs more memory than its worker may use. "
    "Raise PYPY_GC_MAX (such as 4GB), or use fewer workers (QUOTAPATH_WORKERS)."
)


def warm() -> None:
    """Run the usual plan over some deals, so that the JIT has seen the hot loops before the first shard."""
    tiers = (Tier(0, Rate(80_000), None, "slice"), Tier(PPM, Rate(120_000), None, "slice"))
    component = Component("c", "c", "quota", "quarter", edges="quota", tiers=tiers)
    plan = Plan("p", 700_000, "USD", "month", "half_up", (component,))
    days = array(INT64, [739_000 + place * 360 // WARM_DEALS for place in range(WARM_DEALS)])
    book = Book(
        people=("a", "b"),
        plans={"p": (plan,)},
        assignments=(Assignment("a", "p"), Assignment("b", "p")),
        quotas=(QuotaRow("a", None, None, 40_000 * MICRO), QuotaRow("b", None, None, 50_000 * MICRO)),
        deals=Deals(
            close_date=days,
            credit_person=array(INT64, [place % 2 for place in range(WARM_DEALS)]),
            amount=array(INT64, [place * 37 % 10_000 for place in range(WARM_DEALS)]),
        ),
        horizon=days[-1],
    )
    desk = Desk(book)
    desk.run(range(2))
    desk.brief(range(2))
    simulate(desk, range(2), Outcomes(array(INT64, [PPM // 2]) * WARM_DEALS, 1, 20), Days())


class Worker:
    """Answers one frame after the other."""

    def __init__(self) -> None:
        self.desks: Dict[str, Desk] = {}  # the one used last stands last
        self.lines = Lines()

    def hello(self) -> Dict[str, Any]:
        """Who answers."""
        return {
            "interpreter": platform.python_implementation().lower(),
            "version": _version(),
            "pid": os.getpid(),
        }

    def answer(self, header: Dict[str, Any], columns: wire.Columns, out: IO[bytes]) -> None:
        """Do what a frame asks and write the answer."""
        started, cpu = time.perf_counter(), time.process_time()
        reply: Dict[str, Any]
        try:
            reply, answer = self._do(header, columns)
        except QuotaPathError as error:
            reply, answer = {"error": str(error)}, {}
        except MemoryError:
            self.desks, self.lines = {}, Lines()  # make room for what comes next
            reply, answer = {"error": NO_MEMORY}, {}
        except Exception as error:  # noqa: BLE001  # a fault of ours outside any component: say it, go on serving
            traceback.print_exc()
            reply, answer = {"error": f"The calculation failed: {type(error).__name__}: {error}"}, {}
        reply["seconds"] = time.perf_counter() - started
        reply["cpu_seconds"] = time.process_time() - cpu
        with contextlib.ExitStack() as stack:
            shared = None
            if header.get("memory") and any(len(column) >= wire.LONG for column in answer.values()):
                with contextlib.suppress(OSError):  # a sandbox may forbid it; the pipe is always there
                    shared = stack.enter_context(Path(header["memory"]).open("r+b", buffering=0))
            wire.write(out, reply, answer, shared)

    def _do(self, header: Dict[str, Any], columns: wire.Columns) -> Tuple[Dict[str, Any], Dict[str, Chunk]]:
        if header["do"] == "hello":
            return self.hello(), {}
        key = header["key"]
        if header["do"] == "load":
            self._make_room(len(columns["close_date"]))
            self.desks[key] = Desk(wire.unpack_book(header, columns))
            return {"key": key}, {}
        if key not in self.desks:
            return {"unknown_key": key}, {}
        desk = self.desks[key] = self.desks.pop(key)
        changes = {name: wire.unpack_rows(header[name]) for name in ("quotas", "assignments") if name in header}
        if header.get("plans") or changes:
            desk = desk.under(wire.unpack_plans(header.get("plans", {})), **changes)
        if header["do"] == "simulate":
            outcomes = Outcomes(columns["chances"], header["seed"], header["rounds"])
            found = simulate(desk, header["people"], outcomes, Days(*header["days"]))
            return {"findings": found.findings}, {"totals": found.totals, "spreads": found.spreads}
        if header["do"] == "totals":
            return wire.pack_part(desk.brief(header["people"]), {})
        part = desk.fold(header["people"], self.lines)
        return wire.pack_part(part, self.lines.written() if not part.findings else {})

    def _make_room(self, deals: int) -> None:
        """Let go of the books used longest ago, before the memory for one of so many ``deals`` is asked for."""
        while self.desks and (
            len(self.desks) >= KEPT_BOOKS
            or deals + sum(len(desk.book.deals) for desk in self.desks.values()) > KEPT_DEALS
        ):
            del self.desks[next(iter(self.desks))]


def _version() -> str:
    version = platform.python_version()
    pypy = getattr(sys, "pypy_version_info", None)
    return version if pypy is None else f"{pypy.major}.{pypy.minor}.{pypy.micro} (Python {version})"


def main() -> None:
    """Serve until standard input ends."""
    inward = sys.stdin.buffer
    outward = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    warm()
    worker = Worker()
    while True:
        try:
            header, columns = wire.read(inward)
        except EOFError:
            return
        worker.answer(header, columns, outward)


if __name__ == "__main__":
    main()

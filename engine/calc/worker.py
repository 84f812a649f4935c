"""A calculation process: ``pypy3 -m engine.calc.worker``, or any Python 3.9 or newer.

It answers frames on standard input with frames on standard output until its input ends:

- ``hello``: interpreter, version, process id;
- ``load``: keep a book under a key, in place of the one before;
- ``calculate``: the people of the book with these codes; answers a part of the result.

Whatever a rule prints or a library writes to standard output goes to standard error instead.
"""

import os
import platform
import sys
import time
import traceback
from array import array
from typing import IO, Any, Dict, Optional

from engine.calc import wire
from engine.calc.account import Lines
from engine.calc.book import INT64, Book, Deals
from engine.calc.calculate import CalculationError, Desk
from engine.calc.model import MICRO, PPM, Assignment, Component, Plan, QuotaRow, Rate, Tier

WARM_DEALS = 4000
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
    Desk(book).run(range(2))


class Worker:
    """Answers one frame after the other."""

    def __init__(self) -> None:
        self.desk: Optional[Desk] = None
        self.key = ""
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
        started = time.perf_counter()
        if header["do"] == "hello":
            wire.write(out, self.hello())
        elif header["do"] == "load":
            self.desk = None  # the old book's memory first
            self.desk, self.key = Desk(wire.unpack_book(header, columns)), header["key"]
            wire.write(out, {"key": self.key, "seconds": time.perf_counter() - started})
        elif self.desk is None or header["key"] != self.key:
            wire.write(out, {"unknown_key": header["key"]})
        else:
            try:
                part = self.desk.fold(header["people"], self.lines)
                reply, answer = wire.pack_part(part, self.lines.written() if not part.findings else {})
            except CalculationError as error:
                wire.write(out, {"error": str(error)})
                return
            except MemoryError:
                wire.write(out, {"error": NO_MEMORY})
                return
            except Exception as error:  # noqa: BLE001  # a fault of ours outside any component: say it, go on serving
                traceback.print_exc()
                wire.write(out, {"error": f"The calculation failed: {type(error).__name__}: {error}"})
                return
            wire.write(out, {**reply, "seconds": time.perf_counter() - started}, answer)


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

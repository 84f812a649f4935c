"""The four-tier quota plan written by hand, in NumPy and in C: what the engine is measured against.

Both know the plan and nothing else: tiers by slice at 0, 50, 100 and 150% of a monthly quota in whole cents
that is even, credits of 100%, no refunds below 0, halves up.  They give each deal's cents, its credit after
it, and the totals by person and month, as the engine's lines do.
"""

import ctypes
import shutil
import subprocess
import tempfile
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.calc.book import Book

Ints = npt.NDArray[np.int64]

STARTS = (0, 50, 100, 150)  # percent of quota
RATES = (50_000, 80_000, 120_000, 150_001)  # ppm
MONTHS = 12

_SOURCE = r"""
#include <stdint.h>
void fold(int64_t deals, const int64_t *day, const int64_t *who, const int64_t *amount, const int64_t *month,
          int64_t first, const int64_t *starts, const int64_t *bases, const int64_t *rates,
          int64_t *x, int64_t *paid, int64_t *cents, int64_t *credit) {
    for (int64_t i = 0; i < deals; i++) {
        int64_t p = who[i], k = p * 12 + month[day[i] - first];
        int64_t v = x[k] += amount[i];
        const int64_t *s = starts + 4 * p;
        int t = 3;
        while (t && v < s[t]) t--;
        int64_t running = (2 * (bases[4 * p + t] + rates[t] * v) + 1000000) / 2000000;
        cents[i] = running - paid[k];
        credit[i] = v;
        paid[k] = running;
    }
}
"""


class ByHand:
    """The book's arrays and the plan's tables; ``quotas`` are cents by person."""

    def __init__(self, book: Book, quotas: Ints) -> None:
        deals = book.deals
        assert deals.amount is not None
        self.day, self.who, self.amount = (
            np.frombuffer(column, dtype=np.int64) for column in (deals.close_date, deals.credit_person, deals.amount)
        )
        self.people = len(book.people)
        self.first = int(self.day[0])
        last = int(self.day[-1])
        self.month = np.array([date.fromordinal(day).month - 1 for day in range(self.first, last + 1)])
        self.starts = np.ascontiguousarray(np.outer(quotas, STARTS) // 100)
        self.rates = np.array(RATES, dtype=np.int64)
        steps = np.diff(self.rates, prepend=0)
        self.bases = np.ascontiguousarray(-np.cumsum(steps * self.starts, axis=1))

    def numpy(self) -> tuple[Ints, Ints, Ints]:
        """Cents and credit of each deal, and cents by person and month."""
        key = (self.who * MONTHS + self.month[self.day - self.first]).astype(np.uint16)
        order = np.argsort(key, kind="stable")  # a radix sort: the keys are small
        sorted_key = key[order]
        begins = np.flatnonzero(np.concatenate(([True], sorted_key[1:] != sorted_key[:-1])))
        sizes = np.diff(begins, append=len(order))
        groups = sorted_key[begins].astype(np.int64)
        amount = self.amount[order]
        x = np.cumsum(amount)
        x -= np.repeat(x[begins] - amount[begins], sizes)
        person = groups // MONTHS
        tier = np.repeat(person * 4, sizes)
        for step in range(1, len(RATES)):
            tier += x >= np.repeat(self.starts[person, step], sizes)
        running = np.tile(self.rates, self.people)[tier]
        running *= x
        running += self.bases.ravel()[tier]
        running *= 2
        running += 1_000_000
        running //= 2_000_000
        sorted_cents = np.diff(running, prepend=0)
        sorted_cents[begins] = running[begins]
        cents, credit = np.empty_like(running), np.empty_like(running)
        cents[order], credit[order] = sorted_cents, x
        totals = np.zeros(self.people * MONTHS, dtype=np.int64)
        totals[groups] = running[begins + sizes - 1]
        return cents, credit, totals

    def compile(self) -> bool:
        """Build the C loop; False without a compiler."""
        compiler = shutil.which("cc")
        if compiler is None:
            return False
        with tempfile.TemporaryDirectory() as folder:
            source, library = Path(folder, "fold.c"), Path(folder, "fold.so")
            source.write_text(_SOURCE)
            subprocess.run([compiler, "-O3", "-march=native", "-shared", "-fPIC", source, "-o", library], check=True)
            self._fold = ctypes.CDLL(str(library)).fold
        return True

    def c(self) -> tuple[Ints, Ints, Ints]:
        """The same as `numpy`, by one loop in C."""
        x, totals = np.zeros((2, self.people * MONTHS), dtype=np.int64)
        cents, credit = np.empty_like(self.amount), np.empty_like(self.amount)
        columns = [self.day, self.who, self.amount, self.month, None, self.starts, self.bases, self.rates]
        pointers = [
            ctypes.c_int64(self.first) if column is None else column.ctypes.data_as(ctypes.c_void_p)
            for column in [*columns, x, totals, cents, credit]
        ]
        self._fold(ctypes.c_int64(len(self.amount)), *pointers)
        return cents, credit, totals

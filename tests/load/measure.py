"""Latencies as they are read, and what processes use of the machine."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Latencies:
    """Seconds that answers took, and what went wrong."""

    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def at(self, share: float) -> float:
        """The time within which this share of the answers came, in milliseconds (nearest rank)."""
        ordered = sorted(self.seconds)
        return ordered[max(0, -(-len(ordered) * int(share * 1000) // 1000) - 1)] * 1000 if ordered else 0.0

    def cells(self, window: float) -> list[str]:
        """How many, how many a second, p50, p95, p99 and the longest, in milliseconds."""
        times = [f"{self.at(share):,.0f}" for share in (0.5, 0.95, 0.99, 1)]
        return [f"{len(self.seconds):,}", f"{len(self.seconds) / window:,.1f}", *times, str(len(self.errors))]


def together(parts: Iterable[Latencies]) -> Latencies:
    """All of them as one."""
    found = Latencies()
    for part in parts:
        found.seconds += part.seconds
        found.errors += part.errors
    return found


def tree(pid: int) -> list[int]:
    """The process and all below it."""
    found = [pid]
    for parent in found:
        for path in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in path.read_text().split()]
            except OSError:  # a thread that ended meanwhile
                continue
    return found


def cpu(pids: Sequence[int]) -> float:
    """The seconds of processor time, in user and system together, that the processes have used."""
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))  # its own, and of those below it that have ended
    return ticks / _TICK


def parent(pid: int) -> int:
    """The process that started this one."""
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def memory(pid: int) -> int:
    """The resident memory of a process, in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")

"""What went wrong, in words for people: what happened, where, and what to do."""

from dataclasses import dataclass
from typing import Iterable, Optional, Tuple, TypeVar

T = TypeVar("T")

LONGEST = 1000  # characters of a part of a problem


class QuotaPathError(Exception):
    """A fault that the reader can act on; its text is a whole sentence, shown as it stands."""


class NotFound(QuotaPathError):
    """There is no such thing, or none that the actor may see: the two are told apart by nothing."""


class Conflict(QuotaPathError):
    """Somebody else was faster: what the actor saw is no longer so.  Look again, then decide."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in what the user gave.

    ``path`` says where, in the words of the document (``component[0].tiers[1].from``), ``message`` what
    is wrong with the value found, ``remedy`` what to do about it.  Each is cut where it is longer than anybody
    reads: what a file held may be quoted in it.
    """

    path: str
    message: str
    remedy: str = ""

    def __post_init__(self) -> None:
        for name in ("path", "message", "remedy"):
            text = getattr(self, name)
            if len(text) > LONGEST:
                object.__setattr__(self, name, f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}")

    def __str__(self) -> str:
        return " ".join(part for part in (f"{self.path}: {self.message}", self.remedy) if part)


class ProblemsError(QuotaPathError):
    """Everything that is wrong in what the user gave, found at once.  Nothing was done."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: Tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def given(value: Optional[T]) -> T:
    """``value``, which cannot be None where this is called; if it is, that is a fault of ours and raises."""
    if value is None:
        raise TypeError("a value is missing that an earlier check promised")
    return value

"""One row of the matrix of services."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.services.access import Actor


@dataclass(frozen=True)
class Row:
    """A call about Ana: the action of the permission table that it needs, what becomes of it, and the call.

    ``letters``, for ada, fay, mia, max, ana and bo: Y done (a read: with what is Ana's in it), E answered without
    anything of Ana's, N not allowed, H as if there were nothing, R refused with a reason that says nothing of
    her.  ``own``: it is about whoever calls, or the company as a whole, and not about Ana.
    """

    action: str
    letters: str
    call: Callable[[Any, Actor], Any]
    own: bool = False

"""The app's process, without its screens: it starts as the app does, and does what it is told, until it is killed.

Where it is killed is counted in `MOMENTS`: before a statement, before a commit, and right after one, when the change
is kept and nobody has heard of it.
"""

import logging
import os
import signal
import threading
from collections import Counter
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2

from app import state
from engine.errors import QuotaPathError
from engine.services.access import Actor
from tests.chaos.acting import ACTIONS

MOMENTS = ("before a statement", "before a commit", "after a commit")


@dataclass(frozen=True)
class Shot:
    """Who is killed at the `number`-th `moment` of an action: "app", "calculation", or "postgres" (process `pid`)."""

    victim: str
    moment: str
    number: int
    pid: int = 0


class _Sniper:
    """Counts moments and, at the chosen one, kills."""

    def __init__(self, told: int) -> None:
        self._lock, self._told = threading.Lock(), told
        self.moments: Counter[str] = Counter()
        self.shot: Shot | None = None
        for name in ("before_cursor_execute", "commit"):
            sa.event.listen(sa.Engine, name, getattr(self, f"_{name}"))
        # There is no event after a commit, so the driver's own is wrapped.
        real = PGDialect_psycopg2.do_commit

        def do_commit(dialect: Any, connection: Any) -> None:
            real(dialect, connection)
            self._moment(MOMENTS[2])

        PGDialect_psycopg2.do_commit = do_commit  # type: ignore[method-assign]

    def aim(self, shot: Shot | None) -> None:
        with self._lock:
            self.moments, self.shot = Counter(), shot

    def _before_cursor_execute(self, _conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        self._moment(MOMENTS[0], " ".join(statement.split())[:100])

    def _commit(self, _conn: sa.Connection) -> None:
        self._moment(MOMENTS[1])

    def _moment(self, moment: str, statement: str = "") -> None:
        with self._lock:
            self.moments[moment] += 1
            if self.shot is None or (moment, self.moments[moment]) != (self.shot.moment, self.shot.number):
                return
            shot, self.shot = self.shot, None
            pid = shot.pid if shot.victim == "postgres" else os.getpid()
            if shot.victim == "calculation":
                pid = state.pool().status()[0].pid
            os.write(self._told, f"{shot.victim}\t{moment} {statement}\n".encode())
            os.kill(pid, signal.SIGKILL)


def _is_away(fault: BaseException) -> bool:
    """Whether it says that PostgreSQL cannot be reached, or is being shut down."""
    if isinstance(fault, pd.errors.DatabaseError) and fault.__cause__ is not None:  # pandas' word for it
        fault = fault.__cause__
    code = getattr(getattr(fault, "orig", None), "pgcode", None)
    return isinstance(fault, sa.exc.DBAPIError) and (code is None or code.startswith("57P"))


def serve(connection: Connection, url: str, told: str, environ: dict[str, str], actor: Actor) -> None:
    """Start, then answer each (action, arguments, shot) with (how it ended, what it says, how many moments there were).

    "done": the person has seen it done; "refused", with the reason; "fault", with what went wrong.
    """
    os.environ |= environ
    logging.basicConfig(filename=f"{told}.log", level=logging.WARNING)
    sniper = _Sniper(os.open(told, os.O_WRONLY | os.O_APPEND))
    state.start(url)
    state.pool()
    state.jobs().resume()
    connection.send("ready")
    while True:
        name, arguments, shot = connection.recv()
        sniper.aim(shot)
        try:
            ended, said = "done", ACTIONS[name].do(state.database(), actor, arguments)
        except QuotaPathError as refusal:
            ended, said = "refused", str(refusal)
        except Exception as fault:  # noqa: BLE001  # what it is worth is judged outside
            ended, said = "away" if _is_away(fault) else "fault", f"{type(fault).__name__}: {fault}"
        moments = sniper.moments
        sniper.aim(None)
        connection.send((ended, said, moments))

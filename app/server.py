"""The server: `python -m app.server`.  This is its door; the house is `app.serving`."""

import os
import signal
import sys
from types import FrameType

from engine.errors import QuotaPathError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def main() -> int:
    """Serve until Ctrl-C or SIGTERM; returns the exit status.  What goes wrong is one sentence, no traceback."""
    for each in _SIGNALS:
        signal.signal(each, _leave)
    from app.serving import serve  # seconds of imports

    for each in _SIGNALS:
        signal.signal(each, _stop)
    try:
        serve()
    except KeyboardInterrupt:
        return 0
    except QuotaPathError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _leave(_signum: int, _frame: FrameType | None) -> None:
    # Nothing is started yet, and an interrupted import would say so at length.
    os._exit(0)


def _stop(_signum: int, _frame: FrameType | None) -> None:
    # Every `with` on the way closes what it opened; a second Ctrl-C must not stop that.
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

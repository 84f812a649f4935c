"""The server: `python -m app.server`.  One process with the browser app, the REST API and the guards."""

import contextlib
import os
import signal
import socket
import sys
from types import FrameType

import sqlalchemy as sa
import streamlit as st
import uvicorn
from starlette.middleware import Middleware
from starlette.responses import RedirectResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from app import security, shell, state
from app.api import api
from app.navigation import ROOT
from engine import settings
from engine.db import migrate, server
from engine.errors import QuotaPathError

LARGEST_MESSAGE = 200 * 1024 * 1024  # bytes over the websocket: a large table is one message


def make_app() -> st.App:
    """The ASGI application; one per process."""
    return st.App(
        ROOT / "app" / "main.py",
        routes=[
            Route("/auth/session", security.open_session, methods=["POST"]),
            Mount("/assets", StaticFiles(directory=ROOT / "app" / "static")),
            Route("/api", RedirectResponse("/api/docs")),
            Mount("/api", api),
        ],
        middleware=[Middleware(security.Guard)],
        on_script_error=shell.show_fault,
    )


def main() -> int:
    """Serve until Ctrl-C or SIGTERM; returns the exit status.  What goes wrong is one sentence, no traceback."""
    # SIGTERM ends like Ctrl-C: every `with` below closes what it opened, also in the middle of the start.
    signal.signal(signal.SIGTERM, _stop)
    try:
        found = settings.read()
        _require_free(found.host, found.port)
        with server.database(found) as url:
            _require_answer(url)
            migrate.upgrade(url)
            _serve(url, found.host, found.port)
    except KeyboardInterrupt:
        return 0
    except QuotaPathError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _stop(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _require_free(host: str, port: int) -> None:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise QuotaPathError(
            f"Cannot listen on {host}:{port}: {error.strerror}. "
            "Stop the program that uses it, or choose another with PORT=8502 (and HOST)."
        ) from None


def _require_answer(url: str) -> None:
    engine = sa.create_engine(url, connect_args={"connect_timeout": 10})
    try:
        engine.connect().close()
    except sa.exc.OperationalError as error:
        reason = " ".join(str(error.orig).split())
        raise QuotaPathError(
            f"Cannot connect to the database {engine.url.render_as_string()}: {reason}. "
            "Check DATABASE_URL and that PostgreSQL runs; without DATABASE_URL one is started for you."
        ) from None
    finally:
        engine.dispose()


def _serve(url: str, host: str, port: int) -> None:
    os.chdir(ROOT)  # Streamlit looks for .streamlit/config.toml where it is started
    state.start(url)
    try:
        state.jobs().resume()
        config = uvicorn.Config(
            make_app(),
            host,
            port,
            log_config=None,
            access_log=False,
            ws_per_message_deflate=False,
            ws_max_size=LARGEST_MESSAGE,
            server_header=False,
            timeout_graceful_shutdown=3,
        )
        shown = "localhost" if host in ("127.0.0.1", "::1", "0.0.0.0", "::") else host  # noqa: S104
        print(f"QuotaPath is ready: http://{shown}:{port} (Ctrl-C stops it)", flush=True)  # noqa: T201
        uvicorn.Server(config).run()
    finally:
        with contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C does not hurry it
            state.stop()


if __name__ == "__main__":
    sys.exit(main())

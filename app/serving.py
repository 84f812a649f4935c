"""The process behind `python -m app.server`: database, migrations, jobs, and one web server for everything."""

import os
import signal
import socket
from types import FrameType

import streamlit as st
import uvicorn
from starlette.middleware import Middleware
from starlette.responses import RedirectResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from app import api, charts, operations, security, shell, state
from app.navigation import ROOT
from engine import logs, settings
from engine.db import migrate, server
from engine.db.database import require_answer
from engine.errors import QuotaPathError

LARGEST_MESSAGE = 200 * 1024 * 1024  # bytes over the websocket: a large table is one message


def make_app() -> st.App:
    """The ASGI application; one per process."""
    return st.App(
        ROOT / "app" / "main.py",
        routes=[
            Route("/auth/session", security.open_session, methods=["POST"]),
            Route("/healthz", operations.healthz),
            Route("/readyz", operations.readyz),
            Route("/metrics", operations.metrics),
            Mount("/assets", StaticFiles(directory=ROOT / "app" / "static")),
            Route("/api", RedirectResponse("/api/docs")),
            api.mount(settings.read().cors),
        ],
        middleware=[Middleware(operations.Measured), Middleware(security.Guard)],
        on_script_error=shell.show_fault,
    )


def serve() -> None:
    """Serve until a signal says stop.  Raises QuotaPathError with what is in the way, and what to do."""
    found = settings.read()
    logs.set_up(found.log)
    _require_free(found.host, found.port)
    with server.database(found) as url:
        require_answer(url)
        migrate.upgrade(url)
        charts.trust()
        os.chdir(ROOT)  # Streamlit looks for .streamlit/config.toml where it is started
        state.start(url)
        try:
            state.jobs().resume()
            _listen(found.host, found.port)
        finally:
            for each in (signal.SIGINT, signal.SIGTERM):
                signal.signal(each, signal.SIG_IGN)  # impatience must not leave processes behind
            state.stop()


class _Server(uvicorn.Server):
    """Says where it is as soon as a browser can come, and takes every further Ctrl-C for the first."""

    def handle_exit(self, _sig: int, _frame: FrameType | None) -> None:
        """Ask for the end: open requests get their time, then `run` returns."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell."""
        await super().startup(sockets)
        host = self.config.host
        shown = "localhost" if host in ("127.0.0.1", "::1", "0.0.0.0", "::") else host  # noqa: S104
        print(f"QuotaPath is ready: http://{shown}:{self.config.port} (Ctrl-C stops it)", flush=True)  # noqa: T201


def _listen(host: str, port: int) -> None:
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
    _Server(config).run()


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

"""Servers of their own, and Chromium."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from engine.db.database import Database
from engine.services.demo import load_demo
from engine.workers.pool import Pool
from tests.browser.driving import ROOT, TODAY, WIDE, Server, free_port
from tests.databases import Databases

PATIENCE = 180  # seconds for what takes three on a machine that has nothing else to do
CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def start_server() -> Iterator[Callable[..., Server]]:
    """Starts servers with a home folder each; those still running are stopped at the end."""
    running: list[Server] = []
    homes: list[Path] = []

    def start(**environ: str) -> Server:
        home = Path(tempfile.mkdtemp(prefix="quotapath-browser-"))
        home.chmod(0o711)  # root hands the data to another user, who must get there
        homes.append(home)
        port = free_port()
        settings = {"QUOTAPATH_HOME": str(home / "home"), "PORT": str(port), "HOST": "127.0.0.1", "DATABASE_URL": ""}
        log = home / "log"
        with log.open("w") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "app.server"],
                cwd=ROOT,
                env=os.environ | settings | environ,
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
            )
        server = Server(f"http://127.0.0.1:{port}", process, log)
        running.append(server)
        deadline = time.monotonic() + PATIENCE
        while not _listens(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        return server

    yield start
    for server in running:
        if server.process.poll() is None:
            server.stop()
    for home in homes:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def demo_databases(databases: Databases) -> Iterator[Databases]:
    """Makes databases that hold the demo company as of `TODAY`, which is loaded once for all of them."""
    with databases.one() as url:
        db = Database(url)
        with Pool() as pool:
            load_demo(db, pool, TODAY)
        db.close()
        found = Databases(url)
        yield found
        found.close()


@pytest.fixture
def own_demo(demo_databases: Databases, start_server: Callable[..., Server]) -> Iterator[Server]:
    """A server with a demo company of the test's own."""
    with demo_databases.one() as url:
        server = start_server(DATABASE_URL=url, QUOTAPATH_TODAY=TODAY.isoformat())
        yield server
        server.stop()


@pytest.fixture(scope="session")
def demo(demo_databases: Databases, start_server: Callable[..., Server]) -> Iterator[Server]:
    """A server with a demo company that journeys share: none of them changes what another one looks at."""
    with demo_databases.one() as url:
        server = start_server(DATABASE_URL=url, QUOTAPATH_TODAY=TODAY.isoformat())
        yield server
        server.stop()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; without it every browser test is skipped, loudly."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    expect.set_options(timeout=PATIENCE * 1000)
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=CHROMIUM)
        yield found
        found.close()


@pytest.fixture
def new_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages, each in a context (a browser profile) of its own; no page may raise a script error."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def open_page(size: tuple[int, int] = WIDE, scheme: str = "light") -> Page:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,  # type: ignore[arg-type]
            reduced_motion="reduce",
            locale="en-US",
            timezone_id="UTC",
        )
        context.set_default_timeout(PATIENCE * 1000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: _note(errors, message.type, message.text))
        page.on("response", lambda answer: _note_missing(errors, answer.status, answer.url))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not errors


def _note(errors: list[str], kind: str, text: str) -> None:
    if kind == "error" and re.search("Content.Security.Policy|Refused to", text):
        errors.append(text)


def _note_missing(errors: list[str], status: int, url: str) -> None:
    # At a page's address Streamlit first looks for itself beside the page.
    if status >= 500 or (status == 404 and not re.search("/_stcore/(health|host-config)$", url)):
        errors.append(f"{status} {url}")

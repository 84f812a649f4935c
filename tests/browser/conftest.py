"""A server of its own, Chromium, and how to wait: a screen is settled when its script is done and nothing is stale."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
WIDE, PHONE = (1440, 900), (390, 844)
CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# Settled: the script has run, the connection stands, nothing is stale, for `quiet` milliseconds.
SETTLED = """(quiet) => {
  const app = document.querySelector('[data-testid="stApp"]');
  const busy = !app || app.dataset.testScriptState !== 'notRunning' || app.dataset.testConnectionState !== 'CONNECTED'
    || document.querySelector('[data-stale="true"], [data-testid="stSkeleton"]');
  const now = performance.now();
  if (busy) { window.__quiet_since = now; return false }
  window.__quiet_since ??= now;
  return now - window.__quiet_since > quiet;
}"""


def settle(page: Page, quiet: int = 300, timeout: float = 20_000) -> None:
    """Wait until the page shows the result of what was last done to it."""
    page.evaluate("() => { window.__quiet_since = performance.now() }")
    page.wait_for_function(SETTLED, arg=quiet, timeout=timeout)


def sign_in(page: Page, url: str, email: str, password: str) -> None:
    """Open `url`, fill in the form, and wait for the page behind it."""
    page.goto(url)
    page.get_by_label("E-mail", exact=True).fill(email)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_test_id("stFormSubmitButton").get_by_role("button").click()
    expect(page.get_by_test_id("stSidebar")).to_be_attached(timeout=20_000)
    settle(page)


def shot(page: Page, name: str) -> None:
    """A picture for people to look at, in the folder QUOTAPATH_SHOTS if that is set."""
    folder = os.environ.get("QUOTAPATH_SHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{name}.png")


@dataclass
class Server:
    """A running `python -m app.server`."""

    url: str
    process: "subprocess.Popen[str]"
    log: Path

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        """Ask it to end, and return its exit status."""
        self.process.send_signal(how)
        return self.process.wait(30)


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


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
        deadline = time.monotonic() + 60
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


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; without it every browser test is skipped, loudly."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
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
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: _note(errors, message.type, message.text))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not errors


def _note(errors: list[str], kind: str, text: str) -> None:
    # A missing file or a refused script is a fault of ours; a connection that ends with the page is not.
    if kind == "error" and re.search("Content.Security.Policy|Refused to|404", text):
        errors.append(text)

"""How to drive a screen: wait until it is settled, sign in, take a picture; and a server to drive."""

import os
import signal
import socket
import subprocess
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from playwright.sync_api import Page, expect

ROOT = Path(__file__).resolve().parents[2]
WIDE, PHONE = (1440, 900), (390, 844)
TODAY = date(2026, 11, 24)  # of the demo company

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


def settle(page: Page, quiet: int = 300, timeout: float = 120_000) -> None:
    """Wait until the page shows the result of what was last done to it."""
    page.evaluate("() => { window.__quiet_since = performance.now() }")
    page.wait_for_function(SETTLED, arg=quiet, timeout=timeout)


def sign_in(page: Page, url: str, email: str, password: str) -> None:
    """Open `url`, fill in the form, and wait for the page behind it."""
    page.goto(url)
    page.get_by_label("E-mail", exact=True).fill(email)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_test_id("stFormSubmitButton").get_by_role("button").click()
    expect(page.get_by_test_id("stSidebar")).to_be_attached()
    settle(page)


def load_demo(page: Page, url: str) -> None:
    """Fill an empty database with the demo company, as a visitor does; the form to sign in comes after it."""
    page.goto(url)
    page.get_by_role("tab", name="Look at a demo company").click()
    page.get_by_role("button", name="Load the demo company").click()
    expect(page.get_by_text("This is the demo company")).to_be_visible(timeout=180_000)
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
        return self.process.wait(120)


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

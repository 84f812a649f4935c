"""What every test may ask for.  ``database_url`` is a fresh, migrated PostgreSQL database."""

import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from engine.db import migrate, server
from tests import kept_changes
from tests.databases import Databases
from tests.redis_server import RedisServer

kept_changes.watch(sa.Engine)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped check is a failed one: nobody reads there that something was missing."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"Skipped, which fails with CI=true: {report.longreprtext}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the matrices of access have tried, as one table: each test of them leaves a property "matrix" behind."""
    found = sorted(
        value
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        for name, value in report.user_properties
        if name == "matrix"
    )
    if found:
        terminalreporter.section("who reaches what: admin, finance, manager and rep, inside and outside the reach")
        terminalreporter.write_line(f"{'':12}{'there are':>12}{'tried':>12}{'leaks':>12}")
        for what, there, tried, leaks in found:
            terminalreporter.write_line(f"{what:12}{there:12,}{tried:12,}{leaks:12,}", red=leaks > 0)


@pytest.fixture(scope="session")
def cluster_url() -> Iterator[str]:
    """The URL of an embedded server that lives as long as the test session; its database is migrated."""
    folder = Path(tempfile.mkdtemp(prefix="quotapath-test-"))
    folder.chmod(0o711)  # root hands the data to another user, who must get there
    running = server.start(folder / "home", durable=False)
    try:
        migrate.upgrade(running.url)
        yield running.url
    finally:
        running.stop()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def databases(cluster_url: str) -> Iterator[Databases]:
    """Makes fresh databases on that server, one after the other or several at a time."""
    found = Databases(cluster_url)
    yield found
    found.close()


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """The URL of a fresh database with every migration applied and no row but theirs."""
    with databases.one() as url:
        yield url


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A real, empty Redis of the test's own."""
    with tempfile.TemporaryDirectory(prefix="quotapath-redis-") as folder:
        running = RedisServer(Path(folder))
        yield running
        running.kill()

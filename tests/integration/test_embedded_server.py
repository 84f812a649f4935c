"""The embedded PostgreSQL with real processes, killed at bad moments."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest
import sqlalchemy as sa

from engine.db import server
from engine.errors import QuotaPathError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="quotapath-test-"))
    folder.chmod(0o711)  # root hands the data to another user, who must get there
    yield folder / "home"
    if (pid_file := folder / "home/pg/data/postmaster.pid").exists():
        os.kill(int(pid_file.read_text().split()[0]), signal.SIGQUIT)
        wait_until(lambda: not server._processes_in(folder / "home/pg/data"))
    shutil.rmtree(folder)


def wait_until(true: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def run_sql(url: str, statement: str) -> list[tuple]:
    """Run one statement in its own connection and give back its rows."""
    query = sa.make_url(url).query
    connection = psycopg2.connect(host=query["host"], port=query["port"], user="postgres", dbname="quotapath")
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def postmaster(home: Path) -> int:
    return int((home / "pg/data/postmaster.pid").read_text().split()[0])


def is_running(home: Path) -> bool:
    return bool(server._processes_in(home / "pg/data"))


def has_stopped(home: Path) -> bool:
    """Whether nothing runs; a server that has given its data back may take a moment more to be gone."""
    deadline = time.monotonic() + 5
    while is_running(home) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_running(home)


class User:
    """Another process that uses the server until it is told to leave, or is killed."""

    def __init__(self, home: Path) -> None:
        script = (
            "import sys; from pathlib import Path; from engine.db import server\n"
            "with server.embedded_server(Path(sys.argv[1])) as url:\n"
            "    print(url, flush=True); sys.stdin.read()\n"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, str(home)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def url(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def leave(self) -> None:
        self.process.communicate(timeout=30)
        assert self.process.returncode == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=30)


def test_starts_cold_and_keeps_the_data(home: Path) -> None:
    with server.embedded_server(home) as url:
        run_sql(url, "CREATE TABLE deal AS SELECT 42 AS amount")
        assert is_running(home)
    assert has_stopped(home)
    with server.embedded_server(home) as url:
        assert run_sql(url, "SELECT amount FROM deal") == [(42,)]


def test_listens_on_a_private_socket_only(home: Path) -> None:
    with server.embedded_server(home) as url:
        assert run_sql(url, "SHOW listen_addresses") == [("",)]
        sockets = Path(str(sa.make_url(url).query["host"]))
        assert sockets.stat().st_mode & 0o777 == 0o700
        assert (home / "pg").stat().st_mode & 0o777 == 0o700


def test_text_sorts_by_code_point(home: Path) -> None:
    with server.embedded_server(home) as url:
        found = run_sql(url, "SELECT x FROM (VALUES ('b'), ('a'), ('B'), ('é')) AS t (x) ORDER BY x")
        assert found == [("B",), ("a",), ("b",), ("é",)]


def test_stop_twice_is_stop_once(home: Path) -> None:
    running = server.start(home)
    running.stop()
    running.stop()
    assert has_stopped(home)


def test_recovers_from_a_killed_postmaster(home: Path) -> None:
    with server.embedded_server(home) as url:
        run_sql(url, "CREATE TABLE deal AS SELECT 42 AS amount")
        os.kill(postmaster(home), signal.SIGKILL)
        with server.embedded_server(home) as again:
            assert run_sql(again, "SELECT amount FROM deal") == [(42,)]
    assert has_stopped(home)


def test_recovers_when_the_stale_process_id_is_alive_again(home: Path) -> None:
    with server.embedded_server(home):
        os.kill(postmaster(home), signal.SIGKILL)
        wait_until(lambda: not is_running(home))
    for stale in (home / "pg/data/postmaster.pid", home / "pg/run/.s.PGSQL.5432.lock"):
        lines = stale.read_text().splitlines(keepends=True)
        stale.write_text("".join([f"{os.getpid()}\n", *lines[1:]]))
    with server.embedded_server(home) as url:
        assert run_sql(url, "SELECT 1") == [(1,)]


def test_a_killed_user_does_not_keep_the_server_running(home: Path) -> None:
    user = User(home)
    run_sql(user.url(), "CREATE TABLE deal AS SELECT 42 AS amount")
    before = postmaster(home)
    user.kill()
    assert is_running(home)
    with server.embedded_server(home) as url:
        assert postmaster(home) == before  # joined, not restarted
        assert run_sql(url, "SELECT amount FROM deal") == [(42,)]
    assert has_stopped(home)


def test_the_last_user_stops_it(home: Path) -> None:
    first, second = User(home), User(home)  # at once: one makes the cluster, the other waits
    assert first.url() == second.url() != ""
    first.leave()
    assert is_running(home)
    second.leave()
    assert has_stopped(home)


def test_a_cluster_half_made_is_made_again(home: Path) -> None:
    with server.embedded_server(home):
        pass
    (home / "pg/data").rename(home / "pg/new")  # as a start that was killed inside initdb leaves it
    (home / "pg/new/PG_VERSION").unlink()
    with server.embedded_server(home) as url:
        assert run_sql(url, "SELECT 1") == [(1,)]


def test_a_long_path_gets_a_socket_elsewhere(home: Path) -> None:
    long = home.with_name("long " + "x" * 90)
    with server.embedded_server(long) as url:
        sockets = Path(str(sa.make_url(url).query["host"]))
        assert run_sql(url, "SELECT 1") == [(1,)]
    assert not sockets.is_relative_to(long)
    shutil.rmtree(long)  # someone begins anew; the folder of the socket is still there
    with server.embedded_server(long) as url:
        assert run_sql(url, "SELECT 1") == [(1,)]
    sockets.rmdir()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can play the stranger")
def test_a_strangers_socket_folder_is_not_trusted(home: Path) -> None:
    long = home.with_name("long " + "x" * 90)
    with server.embedded_server(long) as url:
        sockets = Path(str(sa.make_url(url).query["host"]))
    sockets.rmdir()
    sockets.mkdir(mode=0o777)
    os.chown(sockets, 12345, 12345)
    try:
        with socket.socket(socket.AF_UNIX) as trap:
            trap.bind(str(sockets / ".s.PGSQL.5432"))
            trap.listen()
            with pytest.raises(QuotaPathError, match="belongs to someone else"):
                server.start(long)
    finally:
        shutil.rmtree(sockets)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user to run PostgreSQL")
def test_root_in_a_folder_that_no_other_user_can_reach(home: Path) -> None:
    home.parent.chmod(0o700)  # as a clone in root's home
    allowed = subprocess.run([*server.NAMESPACE, "true"], capture_output=True).returncode == 0
    if not allowed:  # a container that forbids user namespaces
        with pytest.raises(QuotaPathError, match="no other user can reach"):
            server.start(home)
        return
    with server.embedded_server(home) as url:
        run_sql(url, "CREATE TABLE deal AS SELECT 42 AS amount")
        os.kill(postmaster(home), signal.SIGKILL)
        with server.embedded_server(home):
            assert (home / "pg/data").stat().st_uid == 0
    home.parent.chmod(0o711)  # moved to where another user can reach it: the data goes along
    with server.embedded_server(home) as url:
        assert run_sql(url, "SELECT amount FROM deal") == [(42,)]
    assert has_stopped(home)


def test_a_full_disk_is_one_sentence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "NEEDED_BYTES", 2**60)
    with pytest.raises(QuotaPathError, match=r"MB left; a new database needs .* QUOTAPATH_HOME"):
        server.start(home)


def test_data_of_another_version_is_one_sentence(home: Path) -> None:
    with server.embedded_server(home):
        pass
    (home / "pg/data/PG_VERSION").write_text("17\n")
    with pytest.raises(QuotaPathError, match="made by PostgreSQL 17; this is PostgreSQL 18"):
        server.start(home)


def test_a_failed_start_says_what_postgres_says_and_holds_nothing(home: Path) -> None:
    with server.embedded_server(home):
        pass
    (home / "pg/data/postgresql.conf").write_text("max_connections = lots\n")
    with pytest.raises(QuotaPathError, match="invalid value for parameter"):
        server.start(home)
    (home / "pg/data/postgresql.conf").write_text("")
    with server.embedded_server(home):
        pass
    assert has_stopped(home)


def test_missing_programs_are_one_sentence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(QuotaPathError, match="set DATABASE_URL"):
        server.start(home)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("postgres://ann:s%40x@db/sales", "postgresql+psycopg2://ann:s%40x@db/sales"),
        ("postgresql://db:5433/sales?sslmode=require", "postgresql+psycopg2://db:5433/sales?sslmode=require"),
        ("postgresql+psycopg://db/sales", "postgresql+psycopg2://db/sales"),
    ],
)
def test_any_spelling_of_a_postgres_url(given: str, meant: str) -> None:
    assert server.normalise(given) == meant


@pytest.mark.parametrize("given", ["", "sales", "mysql://ann:secret@db/sales", "postgres://ann:secret@db:port/sales"])
def test_another_url_is_refused_without_its_password(given: str) -> None:
    with pytest.raises(QuotaPathError, match="postgresql://user:password@host") as caught:
        server.normalise(given)
    assert "secret" not in str(caught.value)

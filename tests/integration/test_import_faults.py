"""Large files at bad moments, with real processes: nothing lost, nothing doubled."""

import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import cast

import pytest
import sqlalchemy as sa

from engine.db import jobs, migrate, roles, server
from engine.db.database import Database
from engine.errors import QuotaPathError
from engine.services import batches
from engine.services import import_files as large
from engine.services.access import Actor, Forbidden
from engine.services.import_files import KeptUpload
from engine.services.imports import Upload, preview_import
from engine.services.jobs import JobRunner, Work, cancel_job, retry_job
from engine.workers.pool import Pool
from tests.benchmarks import imports as exports
from tests.owner import owner

ROOT = Path(__file__).resolve().parents[2]
ADMIN = Actor(1, "admin", "Ada")
NO_POOL = cast(Pool, None)
ROWS = 30_000
SAID = Upload(b"", "export.csv", today=date(2026, 11, 24))
STILL = 4711  # the lock that a transaction waits for in the middle of its writing
KEPT = ("deals", "deal_changes", "deal_stage_entries")


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def prepare(url: str) -> Database:
    db = Database(url)
    with db.write() as conn:
        conn.execute(
            sa.text("""
                INSERT INTO company (name, currency) VALUES ('Test', 'USD');
                INSERT INTO users (code, name, email, role) VALUES ('ada', 'Ada', 'ada@test.example', 'admin');
                INSERT INTO users (code, name, email, role)
                    SELECT 'o' || number, name, number || '@test.example', 'rep'
                      FROM unnest(CAST(:names AS text[])) WITH ORDINALITY AS each (name, number);
            """),
            {"names": list(exports.PEOPLE)},
        )
    return db


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    found = prepare(database_url)
    yield found
    found.close()


@pytest.fixture
def own_server() -> Iterator[str]:
    """A cluster of its own, which may be killed without harm to other tests."""
    folder = Path(tempfile.mkdtemp(prefix="quotapath-test-"))
    folder.chmod(0o711)
    running = server.start(folder / "home", durable=False)
    try:
        migrate.upgrade(running.url)
        yield running.url
    finally:
        running.stop()
        shutil.rmtree(folder)


def content(rows: int = ROWS) -> bytes:
    return "".join(exports.export_lines(rows)).encode()


def with_a_stranger(data: bytes) -> bytes:
    """The export, with an owner of its first deal whom nobody knows."""
    owner = data.split(b"\n")[1].split(b'","')[3]
    return data.replace(owner, b"Zed Who", 1)


def kept(db: Database, file_id: str) -> KeptUpload:
    found = large.kept_file(db, ADMIN, file_id)
    assert found is not None
    return found


def checked(db: Database, data: bytes) -> str:
    """A kept file whose check is done."""
    file_id = large.keep_file(db, ADMIN, "export.csv", io.BytesIO(data))
    jobs_here = JobRunner(db, NO_POOL, large.JOBS)
    large.start_check(db, jobs_here, ADMIN, file_id, SAID)
    finish(db, jobs_here)
    job = kept(db, file_id).job
    assert job is not None
    assert (job.status, job.message) == ("done", "")
    return file_id


def finish(db: Database, *runners: JobRunner) -> None:
    """Wait until no job is left, then stop."""

    def idle() -> bool:
        with db.read() as conn:
            return not jobs.unfinished(conn)

    wait_for(idle)
    for each in runners:
        each.close()


def counted(db: Database) -> dict[str, int]:
    with db.read() as conn:
        return {name: conn.scalar(sa.text(f"SELECT count(*) FROM {name}")) for name in (*KEPT, "imports")}


def whole(rows: int = ROWS, imports: int = 1) -> dict[str, int]:
    return dict.fromkeys(KEPT, rows) | {"imports": imports}


# A program that imports a kept file by a job, as the app does, and stays.
_IMPORT = """
import sys, time
from engine.db.database import Database
from engine.services import import_files
from engine.services.access import Actor
from engine.services.jobs import JobRunner
db = Database(sys.argv[1])
runner = JobRunner(db, None, import_files.JOBS)
import_files.start_import(db, runner, Actor(1, "admin", "Ada"), sys.argv[2], accept_refused=False)
time.sleep(600)
"""


@contextmanager
def writing_stands_still(db: Database) -> Iterator[Callable[[], bool]]:
    """Deals are written up to the middle of them and no further; gives a question: is it there?"""
    with owner(db.engine.url) as conn:
        conn.execute(
            sa.text(f"""
                CREATE FUNCTION stand_still() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN PERFORM pg_advisory_xact_lock({STILL}); RETURN NEW; END $$;
                CREATE SEQUENCE written_so_far;
                GRANT USAGE ON SEQUENCE written_so_far TO {roles.ALL};
                CREATE TRIGGER stand_still BEFORE INSERT ON deals FOR EACH ROW
                    WHEN (nextval('written_so_far') = {ROWS // 2}) EXECUTE FUNCTION stand_still();
            """)
        )
    waiting = sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = :key AND NOT granted")

    def stands() -> bool:
        with db.read() as conn:
            return bool(conn.scalar(waiting, {"key": STILL}))

    with db.write() as conn:
        conn.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": STILL})
        yield stands


def test_a_process_killed_while_it_writes_loses_and_doubles_nothing(db: Database, database_url: str) -> None:
    file_id = checked(db, content())
    with writing_stands_still(db) as stands:
        program = subprocess.Popen(
            [sys.executable, "-c", _IMPORT, database_url, file_id], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        try:
            wait_for(stands)
        finally:
            program.kill()
            program.wait()
    wait_for(lambda: not _locks(db))
    assert counted(db) == dict.fromkeys((*KEPT, "imports"), 0)

    # Two app processes start again: one of them takes the job, from the beginning.
    again = [JobRunner(db, NO_POOL, large.JOBS) for _ in range(2)]
    for each in again:
        each.resume()
    finish(db, *again)
    assert counted(db) == whole()
    result = kept(db, file_id).result
    assert result is not None
    assert (result.added, result.refused) == (ROWS, 0)


def test_an_import_that_is_cancelled_while_it_writes_keeps_nothing(db: Database) -> None:
    file_id = checked(db, content())
    here = JobRunner(db, NO_POOL, large.JOBS)
    with writing_stands_still(db) as stands:
        large.start_import(db, here, ADMIN, file_id, accept_refused=False)
        wait_for(stands)
        job = kept(db, file_id).job
        assert job is not None
        assert cancel_job(db, ADMIN, job.id) == "running"
    finish(db, here)
    job = kept(db, file_id).job
    assert job is not None
    assert job.status == "cancelled"
    assert counted(db) == dict.fromkeys((*KEPT, "imports"), 0)

    # Done again, by the one whose file it is, it is whole; the page of the file shows the new job.
    with pytest.raises(QuotaPathError, match="somebody else"):
        retry_job(db, here, replace(ADMIN, user_id=2), job.id)
    again = JobRunner(db, NO_POOL, large.JOBS)
    new_id = retry_job(db, again, ADMIN, job.id)
    finish(db, again)
    assert counted(db) == whole()
    with db.read() as conn:
        found = jobs.get(conn, new_id)
    assert found is not None
    assert (found.status, found.retry_of) == ("done", job.id)


def _locks(db: Database) -> int:
    with db.read() as conn:
        return conn.scalar(sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")) or 0


def test_a_database_that_dies_while_it_writes_loses_and_doubles_nothing(own_server: str) -> None:
    db = prepare(own_server)
    file_id = checked(db, content())
    here = JobRunner(db, NO_POOL, large.JOBS)
    large.start_import(db, here, ADMIN, file_id, accept_refused=False)
    with owner(own_server, autocommit=True) as conn:  # who sees the statements of others
        query = sa.text("""
            SELECT pid FROM pg_stat_activity
             WHERE query LIKE '%INSERT INTO deals %' AND state = 'active' AND pid <> pg_backend_pid()
        """)
        pids: list[int] = []

        def writing() -> bool:
            pids[:] = conn.scalars(query)
            return bool(pids)

        wait_for(writing)
        os.kill(pids[0], signal.SIGKILL)  # PostgreSQL then throws everyone out, and recovers

    def over() -> bool:
        with suppress(sa.exc.DBAPIError):
            job = kept(db, file_id).job
            return job is not None and job.is_over
        return False

    wait_for(over)
    here.close()
    job = kept(db, file_id).job
    assert job is not None
    assert (job.status, job.message) == ("done", "")
    assert counted(db) == whole()
    db.close()


# A program that checks and imports a file of its own, without waiting for anybody.
_AT_ONCE = """
import sys
from datetime import date
from pathlib import Path
from engine.db.database import Database
from engine.services.access import Actor
from engine.services.imports import Upload, import_deals, preview_import
db, admin = Database(sys.argv[1]), Actor(1, "admin", "Ada")
preview = preview_import(db, admin, Upload(Path(sys.argv[2]), "export.csv", today=date(2026, 11, 24)))
print("ready", flush=True)
sys.stdin.readline()
result = import_deals(db, admin, preview)
print(result.added, result.changed, result.unchanged, result.refused)
"""


def test_the_same_file_from_three_processes_at_once_comes_in_once(
    db: Database, database_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "export.csv"
    path.write_bytes(content(3_000))
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", _AT_ONCE, database_url, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for _ in range(3)
    ]
    for each in programs:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in programs:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    told = [each.communicate(timeout=120)[0].strip() for each in programs]
    assert sorted(told) == ["0 0 3000 0", "0 0 3000 0", "3000 0 0 0"]
    assert counted(db) == whole(3_000, imports=3)


def test_a_job_that_is_started_again_after_its_commit_finds_its_work_done(db: Database) -> None:
    file_id = checked(db, content(100))
    with db.write() as conn:
        job_id = jobs.add(conn, large.IMPORT, {}, 1)
    work = Work(db, NO_POOL, ADMIN, job_id, {"file": file_id, "accept_refused": False}, lambda *_: None)
    first = large.JOBS[large.IMPORT](work)
    assert large.JOBS[large.IMPORT](work) == first
    assert first["added"] == 100
    assert counted(db) == whole(100)
    with db.read() as conn:  # what was imported is not kept twice
        assert conn.scalar(sa.text("SELECT count(*) FROM import_pieces")) == 0


def test_a_click_twice_imports_once(db: Database) -> None:
    file_id = checked(db, content(100))
    here = JobRunner(db, NO_POOL, large.JOBS)
    for _ in range(2):
        large.start_import(db, here, ADMIN, file_id, accept_refused=False)
    finish(db, here)
    assert counted(db) == whole(100)


def test_refused_rows_of_a_kept_file_download_with_their_reasons(db: Database) -> None:
    data = with_a_stranger(content(50)) + b'"X","too","few"\n'
    file_id = checked(db, data)
    found = kept(db, file_id)
    assert found.preview is not None
    assert found.preview.refused_count == 2
    lines = large.refused_rows(db, ADMIN, file_id).decode("utf-8-sig").splitlines()
    assert len(lines) == 3
    assert "Nobody here is known as" in lines[1]
    here = JobRunner(db, NO_POOL, large.JOBS)
    large.start_import(db, here, ADMIN, file_id, accept_refused=False)
    finish(db, here)
    job = kept(db, file_id).job
    assert job is not None
    assert "2 rows are refused" in job.message
    assert counted(db)["deals"] == 0


def test_files_are_their_owners_and_go_when_nobody_comes_back(db: Database) -> None:
    first = checked(db, content(10))
    other = Actor(2, "admin", "Ben")
    assert large.kept_file(db, other, first) is None
    assert large.kept_file(db, ADMIN, "no id") is None
    with pytest.raises(QuotaPathError, match="not here any more"):
        large.refused_rows(db, other, first)
    large.forget_file(db, other, first)
    assert large.file_in_hand(db, ADMIN) == first
    # Another file takes its place, and a day later anybody's next file sweeps it away.
    second = checked(db, content(10))
    assert large.kept_file(db, ADMIN, first) is None
    with db.write() as conn:
        conn.execute(sa.text("UPDATE import_files SET touched_at = now() - interval '2 days'"))
    large.keep_file(db, other, "x.csv", io.BytesIO(b"x"))
    assert large.kept_file(db, ADMIN, second) is None
    with db.read() as conn:
        assert conn.scalar(sa.text("SELECT count(*) FROM import_pieces")) == 1


@pytest.mark.parametrize("role", ["finance", "manager", "rep"])
def test_only_an_admin_has_files(db: Database, role: str) -> None:
    file_id = checked(db, content(10))
    actor = Actor(1, role, "Ada")
    here = JobRunner(db, NO_POOL, {**large.JOBS, **batches.JOBS})
    for attempt in (
        lambda: large.keep_file(db, actor, "x.csv", io.BytesIO(b"x")),
        lambda: large.kept_file(db, actor, file_id),
        lambda: large.file_in_hand(db, actor),
        lambda: large.start_check(db, here, actor, file_id, SAID),
        lambda: large.start_import(db, here, actor, file_id, accept_refused=False),
        lambda: large.refused_rows(db, actor, file_id),
        lambda: large.forget_file(db, actor, file_id),
        lambda: batches.start_undo(here, actor, 1),
        lambda: batches.undo_job_of(db, actor, 1),
    ):
        with pytest.raises(Forbidden):
            attempt()
    here.close()
    assert kept(db, file_id).preview is not None


def test_a_large_import_is_undone_by_a_job(db: Database) -> None:
    file_id = checked(db, content(100))
    here = JobRunner(db, NO_POOL, {**large.JOBS, **batches.JOBS})
    large.start_import(db, here, ADMIN, file_id, accept_refused=False)
    wait_for(lambda: kept(db, file_id).result is not None)
    result = kept(db, file_id).result
    assert result is not None
    batches.start_undo(here, ADMIN, result.import_id)
    finish(db, here)
    job = batches.undo_job_of(db, ADMIN, result.import_id)
    assert job is not None
    assert job.result == {"deleted": 100, "restored": 0, "periods": []}
    assert counted(db) == whole(0)


def test_what_a_check_found_is_the_same_when_it_is_read_again(db: Database) -> None:
    data = with_a_stranger(content(60)) + b'"Total","","","","","","1"\n'

    file_id = checked(db, data)
    read = kept(db, file_id).preview
    direct = preview_import(db, ADMIN, Upload(data, "export.csv", today=SAID.today))
    assert read is not None
    for name in direct.__dataclass_fields__:
        one, other = getattr(direct, name), getattr(read, name)
        if name in ("added", "changed", "refused"):
            assert one.equals(other), name
        elif name == "upload":
            assert (one.source, one.mapping, one.today) == (other.source, other.mapping, other.today)
        else:
            assert one == other, name

"""A backup of a company that was paid, restored into an empty server: every table, and what the database guards."""

import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from engine.db import backup, server
from engine.db.database import Database, make_engine
from engine.errors import QuotaPathError
from engine.services import payouts, runs, statements
from engine.workers.pool import Pool
from tests.integration.paying import Company


@pytest.fixture
def empty_server() -> Iterator[str]:
    """The URL of a server of its own, with nothing in it."""
    folder = Path(tempfile.mkdtemp(prefix="quotapath-restore-"))
    folder.chmod(0o711)
    running = server.start(folder / "home", durable=False)
    yield running.url
    running.stop()
    shutil.rmtree(folder)


@pytest.fixture
def paid(company: Company, pool: Pool) -> Company:
    """January is paid, February calculated; names with what files and SQL trip over."""
    company.deal("D1 'quoted' \\ \t tab", "ana", "2026-01-20", 60_000)
    company.deal("D2 – Zürich 王", "bo", "2026-02-11", 70_000)
    ada = company.actors["ada"]
    runs.run_period(company.db, pool, ada, "2026-01")
    payouts.approve_period(company.db, ada, "2026-01")
    payouts.mark_paid(company.db, ada, "2026-01")
    runs.run_period(company.db, pool, ada, "2026-02")
    return company


def url_of(company: Company) -> str:
    return company.db.engine.url.render_as_string(hide_password=False)


def contents(url: str) -> dict[str, list[str]]:
    """Every row of every table, and where every sequence stands, as text."""
    engine = make_engine(url)
    with engine.connect() as conn:
        names = conn.scalars(sa.text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all()
        found = {name: list(conn.scalars(sa.text(f'SELECT t::text FROM "{name}" t ORDER BY 1'))) for name in names}
        sequences = sa.text("SELECT sequencename || ' ' || coalesce(last_value, 0) FROM pg_sequences ORDER BY 1")
        found["sequences"] = list(conn.scalars(sequences))
    engine.dispose()
    return found


def test_every_table_comes_back(paid: Company, empty_server: str, tmp_path: Path) -> None:
    file = tmp_path / "monday.backup"
    backup.backup(url_of(paid), file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    backup.restore(empty_server, file)
    before, after = contents(url_of(paid)), contents(empty_server)
    assert before.keys() == after.keys()
    for name, rows in before.items():
        assert after[name] == rows, name
    assert {name for name, rows in before.items() if rows} > {"audit", "deals", "ledger", "lines", "payouts", "runs"}
    assert [path.name for path in tmp_path.iterdir()] == ["monday.backup"]


def test_what_is_restored_goes_on_and_is_guarded(paid: Company, pool: Pool, empty_server: str, tmp_path: Path) -> None:
    backup.backup(url_of(paid), tmp_path / "b")
    backup.restore(empty_server, tmp_path / "b")
    db = Database(empty_server)
    try:
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), db.write() as conn:
            conn.execute(sa.text("UPDATE ledger SET amount = 0"))
        ada = paid.actors["ada"]
        payouts.approve_period(db, ada, "2026-02")
        payouts.mark_paid(db, ada, "2026-02")
        assert statements.statement(db, ada, paid.users["ana"], "2026-01") is not None
    finally:
        db.close()


def test_a_database_with_something_in_it_is_left_alone(paid: Company, tmp_path: Path) -> None:
    backup.backup(url_of(paid), tmp_path / "b")
    before = contents(url_of(paid))
    with pytest.raises(QuotaPathError, match="only restored into an empty one"):
        backup.restore(url_of(paid), tmp_path / "b")
    assert contents(url_of(paid)) == before


def test_what_is_no_backup_is_refused_with_nothing_done(paid: Company, empty_server: str, tmp_path: Path) -> None:
    backup.backup(url_of(paid), tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    (tmp_path / "half").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text").write_text("CREATE TABLE x ();")
    for name in ("half", "text", "missing"):
        with pytest.raises(QuotaPathError):
            backup.restore(empty_server, tmp_path / name)
        assert contents(empty_server) == {"sequences": []}
    with pytest.raises(QuotaPathError, match="never overwritten"):
        backup.backup(url_of(paid), tmp_path / "whole")
    with pytest.raises(QuotaPathError, match="cannot be written"):
        backup.backup(url_of(paid), tmp_path / "no" / "folder")
    with pytest.raises(QuotaPathError, match="pg_dump failed"):
        backup.backup(
            sa.make_url(url_of(paid)).set(database="gone").render_as_string(hide_password=False), tmp_path / "gone"
        )
    assert not (tmp_path / "gone").exists()
    assert not (tmp_path / "gone.part").exists()
    assert (tmp_path / "whole").read_bytes() == whole


def test_a_backup_of_a_newer_version_is_refused(paid: Company, empty_server: str, tmp_path: Path) -> None:
    with paid.db.write() as conn:
        conn.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    backup.backup(url_of(paid), tmp_path / "b")
    with pytest.raises(QuotaPathError, match="newer version"):
        backup.restore(empty_server, tmp_path / "b")


def test_by_command_line(paid: Company, empty_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "monday.backup"
    for url, words in ((url_of(paid), ("backup",)), (empty_server, ("restore",))):
        monkeypatch.setenv("DATABASE_URL", url)
        command = [sys.executable, "-m", "engine", *words, str(file)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert str(file) in done.stdout
    assert contents(empty_server) == contents(url_of(paid))

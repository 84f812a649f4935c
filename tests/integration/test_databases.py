"""The database that a test gets is as the migrations made it, whatever came before; the pool sees connections end."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from engine.db.database import Database
from tests.databases import Databases
from tests.integration.paying import Company
from tests.owner import owner


@pytest.fixture
def own(cluster_url: str) -> Iterator[Databases]:
    """Without what other tests have left to be used again."""
    found = Databases(cluster_url)
    found.prefix = "own"
    yield found
    found.close()


def look(url: str) -> list[tuple[object, ...]]:
    """The number of the database, and what a test might have left in it."""
    db = Database(url)
    with db.read() as conn:
        found = conn.execute(
            sa.text("""
                SELECT (SELECT oid FROM pg_database WHERE datname = current_database()),
                       (SELECT count(*) FROM users) + (SELECT count(*) FROM deals) + (SELECT count(*) FROM audit),
                       (SELECT string_agg(name, ',' ORDER BY position) FROM pipeline_stages),
                       (SELECT count(last_value) FROM pg_sequences WHERE sequencename LIKE 'users%'),
                       (SELECT count(*) FROM pg_trigger), to_regclass('left_behind')
            """)
        ).all()
    db.close()
    return [tuple(row) for row in found]


@pytest.mark.parametrize(
    ("left", "is_kept"),
    [
        ("INSERT INTO audit (user_id, action, object, detail) VALUES (1, 'a', 'b', '{}')", True),
        ("CREATE TABLE left_behind (id int)", False),
        ("ALTER TABLE audit DISABLE TRIGGER ALL", False),
        ("DELETE FROM pipeline_stages WHERE outcome = 'lost'", False),
    ],
    ids=["rows", "a table", "a trigger", "what was there at first"],
)
def test_nothing_of_a_test_is_left_for_the_next(own: Databases, left: str, is_kept: bool) -> None:
    with own.one() as url:
        before = look(url)
        company = Company(url)
        company.deal("one", "ana", "2026-01-05", 1000)
        with owner(url) as conn:
            conn.execute(sa.text(left))
    with own.one() as again:
        after = look(again)
    company.db.close()
    assert again != url  # what a process remembers of a database it keeps by its name
    assert after[0][1:] == before[0][1:]
    assert (after[0][0] == before[0][0]) is is_kept


def test_connections_that_the_server_has_ended_are_not_used_again(database_url: str) -> None:
    db = Database(database_url)
    ended = sa.text("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE pid = ANY(:pids)")
    with db.read() as one, db.read() as two:
        pids = [conn.execute(sa.text("SELECT pg_backend_pid()")).scalar_one() for conn in (one, two)]
    with owner(database_url) as conn:
        assert conn.execute(ended, {"pids": pids}).all() == [(True,), (True,)]
    for _ in range(3):
        with db.read() as conn:
            assert conn.execute(sa.text("SELECT pg_backend_pid()")).scalar_one() not in pids
    db.close()

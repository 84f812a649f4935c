"""What several files share: workers that calculate, a small company that is paid, one that imports."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from engine.db.database import Database
from engine.workers.pool import Pool
from tests.integration.paying import Company


@pytest.fixture(scope="session")
def pool() -> Iterator[Pool]:
    """One worker for all tests of the process: a calculation leaves nothing behind in it."""
    with Pool(1) as found:
        yield found


@pytest.fixture
def company(database_url: str) -> Iterator[Company]:
    """See `Company`."""
    found = Company(database_url)
    yield found
    found.db.close()


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    """A company into which files are imported: Ada the admin (user 1), and the reps Ana Torres and Bo Li."""
    found = Database(database_url)
    with found.write() as conn:
        conn.execute(
            sa.text("""
                INSERT INTO company (name, currency) VALUES ('Acme', 'USD');
                INSERT INTO users (code, name, email, role) VALUES ('ada', 'Ada', 'ada@x.io', 'admin'),
                    ('ana', 'Ana Torres', 'ana@x.io', 'rep'), ('bo', 'Bo Li', 'bo@x.io', 'rep');
            """)
        )
    yield found
    found.close()

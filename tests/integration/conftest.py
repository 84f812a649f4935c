"""What the tests of money share: workers that calculate, and a small company that is paid."""

from collections.abc import Iterator

import pytest

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

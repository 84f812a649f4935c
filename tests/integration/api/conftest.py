"""The API in front of a real database, without the network."""

from collections.abc import Callable, Iterator
from datetime import date

import pytest
import sqlalchemy as sa
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from app import security, state
from app.api import limits, mount
from engine.services import sign_in
from tests.integration.api.asking import PASSWORD, bearer
from tests.integration.paying import Company, add_another_team

TODAY = date(2026, 11, 24)


@pytest.fixture(autouse=True)
def unlimited(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No rate limit, and the clock stands."""
    monkeypatch.setenv("QUOTAPATH_API_RATE", "0")
    monkeypatch.setenv("QUOTAPATH_TODAY", TODAY.isoformat())
    monkeypatch.setenv("QUOTAPATH_WORKERS", "1")
    monkeypatch.setattr(sign_in, "ROUNDS", 4)
    limits.limit.cache_clear()
    yield
    limits.limit.cache_clear()


@pytest.fixture
def client(database_url: str) -> Iterator[TestClient]:
    """A client of the API and what stands before it."""
    state.start(database_url)
    app = Starlette(
        routes=[
            Route("/auth/session", security.open_session, methods=["POST"]),
            mount(),
            Route("/media/{name}", lambda _: PlainTextResponse("secret")),
            Route("/_stcore/metrics", lambda _: PlainTextResponse("secret")),
            Route("/_stcore/upload_file/{name:path}", lambda _: PlainTextResponse("secret")),
        ],
        middleware=[Middleware(security.Guard)],
    )
    yield TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
    state.stop()


@pytest.fixture
def company(client: TestClient, database_url: str) -> Iterator[Company]:
    """Ana and Bo sell in Mia's team, Oda in Max's; Ada is the admin, Fay finance.  Each has a deal in March."""
    found = Company(database_url)
    add_another_team(found)
    with found.db.write() as conn:
        conn.execute(
            sa.text("UPDATE users SET password_hash = :hash WHERE code = 'ada'"),
            {"hash": sign_in.hash_password(PASSWORD)},
        )
    for code, dollars in (("ana", 1000), ("bo", 2000), ("oda", 3000)):
        found.deal(f"{code}-1", code, "2026-03-10", dollars)
    yield found
    found.db.close()


@pytest.fixture
def as_person(company: Company, client: TestClient) -> Callable[[str], dict[str, str]]:
    """``as_person("ana")`` gives the header of a session of hers."""
    return lambda code: bearer(sign_in.open_session(company.db, company.users[code]).token)

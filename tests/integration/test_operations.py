"""Health, readiness, metrics and the log, as those who run the program ask for them."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from app import operations, state
from app.api import api
from app.auth import COOKIE
from engine import logs
from engine.db.database import Database
from engine.services import health, setup, sign_in
from engine.services.setup import FirstAdmin
from tests.redis_server import RedisServer

TOKEN = "a token of twenty characters and more"


@pytest.fixture
def client(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(sign_in, "ROUNDS", 4)
    monkeypatch.setenv("QUOTAPATH_METRICS_TOKEN", TOKEN)
    monkeypatch.setenv("QUOTAPATH_WORKERS", "1")
    state.start(database_url)
    form = FirstAdmin("Acme", "USD", "Ann Admin", "ann@example.com", "correct horse", "correct horse")
    setup.create_first_admin(state.database(), form)
    routes = [
        Route("/healthz", operations.healthz),
        Route("/readyz", operations.readyz),
        Route("/metrics", operations.metrics),
        Mount("/api", api),
    ]
    yield TestClient(
        Starlette(routes=routes, middleware=[Middleware(operations.Measured)]), base_url="http://127.0.0.1"
    )
    state.stop()


def test_alive_and_ready(client: TestClient) -> None:
    assert client.get("/healthz").text == "ok"
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert [check["name"] for check in answer.json()["checks"]] == ["database", "migrations"]


def test_not_ready_at_another_revision(client: TestClient) -> None:
    with state.database().write() as conn:
        conn.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "0001" in answer.json()["checks"][1]["says"]
    assert client.get("/healthz").status_code == 200  # it lives, and need not be killed


def test_not_ready_without_database_or_redis(database_url: str, redis_server: RedisServer) -> None:
    db = Database(database_url)
    assert all(check.is_ok for check in health.readiness(db, redis_server.url))
    redis_server.kill()
    assert [check.name for check in health.readiness(db, redis_server.url) if not check.is_ok] == ["redis"]
    redis_server.start()
    assert all(check.is_ok for check in health.readiness(db, redis_server.url))
    db.close()
    gone = Database(sa.make_url(database_url).set(database="gone").render_as_string(hide_password=False))
    (check,) = health.readiness(gone, None)
    assert (check.name, check.is_ok) == ("database", False)


def test_metrics_need_the_token_or_an_admin(client: TestClient) -> None:
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}x"}).status_code == 401
    assert client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    with state.database().write() as conn:
        rep = conn.scalar(
            sa.text("INSERT INTO users (code, name, email, role) VALUES ('r', 'R', 'r@x.io', 'rep') RETURNING id")
        )
    for user_id, status in ((1, 200), (rep, 401)):
        client.cookies.set(COOKIE, sign_in.open_session(state.database(), user_id).token)
        assert client.get("/metrics").status_code == status


def test_what_is_measured(client: TestClient) -> None:
    client.get("/api/sales/deals/17")
    client.get("/api/no/such/place?search=ann@example.com")
    with state.database().write() as conn:
        conn.execute(sa.text("INSERT INTO jobs (kind, arguments, created_by) VALUES ('run', '{}', 1)"))
    text = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
    assert 'quotapath_jobs{kind="run",status="queued"} 1.0' in text
    assert 'quotapath_worker_restarts_total{worker="1"} 0.0' in text
    assert "process_resident_memory_bytes" in text
    assert "quotapath_requests_total{" in text
    assert "ann@" not in text
    assert "/17" not in text


def line(form: str, log: logging.Logger, event: str, **extra: object) -> str:
    stream = io.StringIO()
    before = logging.root.handlers[:], logging.root.level
    try:
        logs.set_up(form, stream)
        try:
            raise ValueError("of ann@example.com")
        except ValueError:
            log.exception(event, extra=extra)
    finally:
        logging.root.handlers[:], level = before
        logging.root.setLevel(level)
    return stream.getvalue()


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_log_holds_no_address_and_no_secret(form: str) -> None:
    event = (
        "postgresql://app:hunter22@db.example:5432/sales refused ann.o'neil@mail.example.com: duplicate key\n"
        "DETAIL:  Key (lower(email))=(bo@example.com) already exists."
    )
    told = line(form, logging.getLogger("engine.test"), event)
    assert "duplicate key" in told
    assert "db.example" in told
    for secret in ("hunter22", "mail.example.com", "bo@example.com", "ann@example.com"):
        assert secret not in told


def test_the_json_log_is_one_object_a_line() -> None:
    told = line("json", logging.getLogger("app.test"), "one\ntwo", facts={"route": "/api/x", "ms": 3})
    assert told.count("\n") == 1
    found = json.loads(told)
    assert (found["level"], found["from"], found["message"]) == ("error", "app.test", "one\ntwo")
    assert (found["route"], found["ms"]) == ("/api/x", 3)
    assert "ValueError" in found["traceback"]


def test_a_refused_statement_does_not_tell_its_values(database_url: str) -> None:
    db = Database(database_url)
    with pytest.raises(sa.exc.DBAPIError) as caught, db.write() as conn:
        conn.execute(sa.text("SELECT 1 / (:salary - 98765)"), {"salary": 98765})
    assert "98765}" not in str(caught.value)
    assert "hide_parameters" in str(caught.value)
    db.close()

"""Requests a minute, bytes of a body, pages of other origins, and what is no endpoint at all."""

import threading
import time
from collections.abc import Callable

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from app import operations
from app.api import api, limits, mount
from engine import settings
from engine.errors import ProblemsError
from tests.integration.api.asking import EMAIL, PASSWORD, assert_problem
from tests.integration.paying import Company
from tests.redis_server import RedisServer

AsPerson = Callable[[str], dict[str, str]]


def test_too_many_requests_of_one_token(
    client: TestClient, as_person: AsPerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUOTAPATH_API_RATE", "2")
    limits.limit.cache_clear()
    ana, bo = as_person("ana"), as_person("bo")
    assert [client.get("/api/auth/me", headers=ana).status_code for _ in range(2)] == [200, 200]
    answer = client.get("/api/auth/me", headers=ana)
    assert_problem(answer, 429)
    assert 1 <= int(answer.headers["retry-after"]) <= 30
    assert client.get("/api/auth/me", headers=bo).status_code == 200
    # Tokens that are made up do not help: the address has its own limit.
    found = [client.get("/api/auth/me", headers={"Authorization": f"Bearer {n}"}).status_code for n in range(10)]
    assert found[0] == 401
    assert found[-1] == 429


def test_a_bucket_fills_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    buckets = limits.OwnBuckets()
    assert [buckets.take("a", 60) for _ in range(60)] == [0] * 60
    assert buckets.take("a", 60) == pytest.approx(1)
    assert buckets.take("b", 60) == 0
    now[0] += 1
    assert [buckets.take("a", 60) == 0 for _ in range(2)] == [True, False]


def test_buckets_forget_who_was_not_there_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MOST_BUCKETS", 10)
    buckets = limits.OwnBuckets()
    for number in range(100):
        buckets.take(str(number), 5)
    assert len(buckets._found) == 10


def test_processes_share_buckets_through_redis(redis_server: RedisServer) -> None:
    one, other = limits.SharedBuckets(redis_server.url), limits.SharedBuckets(redis_server.url)
    taken: list[bool] = []

    def take(buckets: limits.SharedBuckets) -> None:
        taken.extend(buckets.take("a", 6) == 0 for _ in range(5))

    threads = [threading.Thread(target=take, args=[each]) for each in (one, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 6
    redis_server.kill()
    assert one.take("a", 6) == 0  # this process alone


def test_a_body_that_is_too_large(client: TestClient, as_person: AsPerson) -> None:
    ada = as_person("ada") | {"content-type": "application/json"}
    large = b'{"kind": "note", "subject": "' + b"x" * limits.LARGEST_BODY + b'"}'
    assert_problem(client.post("/api/sales/activities", content=large, headers=ada), 413)
    # Without a length: it is refused as far as it was read.
    parts = (large[at : at + 65536] for at in range(0, len(large), 65536))
    assert client.post("/api/sales/activities", content=parts, headers=ada).status_code in (400, 413)


def test_pages_of_other_origins(company: Company, as_person: AsPerson) -> None:
    asked = {
        "Origin": "https://bi.example",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    closed = TestClient(Starlette(routes=[mount()]))
    assert "access-control-allow-origin" not in closed.options("/api/auth/me", headers=asked).headers
    ada = as_person("ada")
    assert "access-control-allow-origin" not in closed.get("/api/auth/me", headers=ada | asked).headers
    chosen = TestClient(Starlette(routes=[mount(("https://bi.example",))]))
    for answer in (chosen.options("/api/auth/me", headers=asked), chosen.get("/api/auth/me", headers=ada | asked)):
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://bi.example"
        assert "access-control-allow-credentials" not in answer.headers
    other = chosen.get("/api/auth/me", headers=ada | {"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ()),
        ("https://a.example, http://localhost:3000", ("https://a.example", "http://localhost:3000")),
        ("*", None),
        ("https://a.example/", None),
        ("a.example", None),
    ],
)
def test_origins_in_the_settings(text: str, found: tuple[str, ...] | None) -> None:
    if found is not None:
        assert settings.read({"QUOTAPATH_CORS": text}).cors == found
        return
    with pytest.raises(ProblemsError, match="QUOTAPATH_CORS"):
        settings.read({"QUOTAPATH_CORS": text})


# --- the rest ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "path", ["/api/x", "/api/", "/api/auth", "/api/sales", "/api/commissions/payouts/2026-03/x", "/api/a%0Ab"]
)
def test_unknown_path(client: TestClient, path: str) -> None:
    assert_problem(client.get(path), 404)
    assert_problem(client.post(path), 404)


def test_wrong_method(client: TestClient) -> None:
    assert_problem(client.delete("/api/sales/deals"), 405)


def test_trailing_slash(client: TestClient, company: Company, as_person: AsPerson) -> None:
    assert client.get("/api/auth/me/", headers=as_person("ana")).status_code == 200
    assert client.post("/api/auth/login/", json={"email": EMAIL, "password": PASSWORD}).status_code == 200


def test_fault_in_the_program(client: TestClient, as_person: AsPerson, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the password is hunter22")

    monkeypatch.setattr("engine.services.deals.deals_after", fail)
    assert "hunter22" not in str(assert_problem(client.get("/api/sales/deals", headers=as_person("ada")), 500))


def test_docs_load_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/api/docs")
    assert page.status_code == 200
    assert "/api/sales/deals" in page.text
    assert "<script" not in page.text
    assert "//" not in page.text.replace("<!doctype html>", "")
    assert 'id="cannot-be-used"' in page.text
    assert client.get("/api/openapi.json").json() == api.openapi()


def test_requests_are_measured_by_their_route(company: Company, as_person: AsPerson) -> None:
    app = Starlette(routes=[mount()], middleware=[Middleware(operations.Measured)])
    assert TestClient(app).get("/api/sales/deals/987654/", headers=as_person("ada")).status_code == 404
    labels = {"method": "GET", "route": "/api/sales/deals/{deal_id}", "status": "404"}
    assert (operations._REGISTRY.get_sample_value("quotapath_requests_total", labels) or 0) >= 1

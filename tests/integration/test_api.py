"""The REST API, through its routes; and the guard in front of everything."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from app import security, state
from app.api import api
from app.auth import COOKIE
from engine.services import setup, sign_in
from engine.services.access import PERMISSIONS
from engine.services.setup import FirstAdmin

EMAIL, PASSWORD = "ann@example.com", "correct horse"


@pytest.fixture
def client(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(sign_in, "ROUNDS", 4)
    state.start(database_url)
    setup.create_first_admin(state.database(), FirstAdmin("Acme", "USD", "Ann Admin", EMAIL, PASSWORD, PASSWORD))
    app = Starlette(
        routes=[
            Route("/auth/session", security.open_session, methods=["POST"]),
            Mount("/api", api),
            Route("/media/{name}", lambda _: PlainTextResponse("secret")),
            Route("/_stcore/metrics", lambda _: PlainTextResponse("secret")),
            Route("/_stcore/upload_file/{name:path}", lambda _: PlainTextResponse("secret")),
        ],
        middleware=[Middleware(security.Guard)],
    )
    yield TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
    state.stop()


def session(email: str = EMAIL) -> str:
    with state.database().read() as conn:
        user_id = conn.execute(sa.text("SELECT id FROM users WHERE email = :email"), {"email": email}).scalar_one()
    return sign_in.open_session(state.database(), user_id).token


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def assert_problem(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    return body


# ---------------------------------------------------------------- sign-in
def test_login_and_me(client: TestClient) -> None:
    answer = client.post("/api/auth/login", json={"email": EMAIL, "password": PASSWORD})
    assert answer.status_code == 200
    body = answer.json()
    assert body["token_type"] == "bearer"
    assert body["user"] == {"id": body["user"]["id"], "name": "Ann Admin", "email": EMAIL, "role": "admin"}
    assert "set-cookie" not in answer.headers
    me = client.get("/api/auth/me", headers=bearer(body["token"]))
    assert me.json() == body["user"]
    sign_in.end_session(state.database(), body["token"])
    assert_problem(client.get("/api/auth/me", headers=bearer(body["token"])), 401)


def test_login_shares_the_lock_out_of_the_form(client: TestClient) -> None:
    for _ in range(3):
        with pytest.raises(sign_in.SignInRefused):
            sign_in.check_password(state.database(), EMAIL, "wrong password")
    wrong = {"email": EMAIL, "password": "wrong password"}
    assert_problem(client.post("/api/auth/login", json=wrong), 401)
    assert_problem(client.post("/api/auth/login", json=wrong), 429)
    answer = client.post("/api/auth/login", json={"email": EMAIL, "password": PASSWORD})
    assert_problem(answer, 429)
    assert 0 < int(answer.headers["retry-after"]) <= 60


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"{}", b'{"email": 3, "password": "hunter22hunter22"}', b'{"email": "x", "password": null}'],
)
def test_login_that_is_none(client: TestClient, body: bytes) -> None:
    answer = client.post("/api/auth/login", content=body, headers={"content-type": "application/json"})
    assert assert_problem(answer, 422)["errors"]
    assert "hunter22" not in answer.text


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer invented"}, {"Authorization": "Basic abc"}, {"Authorization": "Bearer"}]
)
def test_no_live_session(client: TestClient, headers: dict[str, str]) -> None:
    for path in ("/api/auth/me", "/api/sales/deals"):
        answer = client.get(path, headers=headers)
        assert_problem(answer, 401)
        assert answer.headers["www-authenticate"] == "Bearer"


def test_cookie_serves_too(client: TestClient) -> None:
    assert client.get("/api/auth/me", headers={"Cookie": f"{COOKIE}={session()}"}).status_code == 200


# ---------------------------------------------------------------- deals
@pytest.fixture
def reps(client: TestClient) -> None:
    """Rob owns 3 deals, Rea 2."""
    with state.database().write() as conn:
        for code, count in (("rob", 3), ("rea", 2)):
            conn.execute(
                sa.text(
                    "INSERT INTO users (code, name, email, role) VALUES (:code, :code, :code || '@example.com', 'rep')"
                ),
                {"code": code},
            )
            conn.execute(
                sa.text("""
                    INSERT INTO deals (source, external_id, name, owner_id, stage_id, amount, currency, close_date)
                    SELECT 'crm', :code || n, 'Deal ' || n, u.id, s.id, n * 100, 'USD', date '2026-10-01' + n
                      FROM generate_series(1, :count) n, users u, pipeline_stages s
                     WHERE u.code = :code AND s.name = 'Closed Won'
                """),
                {"code": code, "count": count},
            )


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["external_id"] for item in answer.json()["items"]]


def test_deals_within_reach(client: TestClient, reps: None) -> None:
    everything = client.get("/api/sales/deals", headers=bearer(session()))
    assert sorted(ids(everything)) == ["rea1", "rea2", "rob1", "rob2", "rob3"]
    own = client.get("/api/sales/deals", headers=bearer(session("rob@example.com")))
    assert ids(own) == ["rob3", "rob2", "rob1"]
    assert own.json()["items"][0] == {
        **own.json()["items"][0],
        "name": "Deal 3",
        "owner": "rob",
        "stage": "Closed Won",
        "outcome": "won",
        "amount": 300,
        "currency": "USD",
        "close_date": "2026-10-04",
    }
    with state.database().read() as conn:
        rea = conn.scalar(sa.text("SELECT id FROM users WHERE code = 'rea'"))
    # Asking for someone else's shows nothing of theirs.
    assert ids(client.get(f"/api/sales/deals?owner_id={rea}", headers=bearer(session("rob@example.com")))) == []


def test_deals_page_by_page(client: TestClient, reps: None) -> None:
    found: list[str] = []
    cursor: str | None = ""
    pages = 0
    while cursor is not None:
        answer = client.get("/api/sales/deals", params={"limit": 2, "cursor": cursor}, headers=bearer(session()))
        found += ids(answer)
        assert answer.json()["total"] == 5
        cursor, pages = answer.json()["next_cursor"], pages + 1
    assert pages == 3
    assert sorted(found) == ["rea1", "rea2", "rob1", "rob2", "rob3"]


def test_deals_filtered(client: TestClient, reps: None) -> None:
    params = {"closed_from": "2026-10-03", "closed_until": "2026-10-04"}
    assert sorted(ids(client.get("/api/sales/deals", params=params, headers=bearer(session())))) == ["rea2", "rob2"]
    assert ids(client.get("/api/sales/deals?outcome=lost", headers=bearer(session()))) == []
    assert ids(client.get("/api/sales/deals?text=rob1", headers=bearer(session()))) == ["rob1"]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=501",
        "limit=x",
        "outcome=maybe",
        "closed_from=2026-02-30",
        "owner_id=x",
        "cursor=!!",
        "cursor=cDA",  # p0
        "cursor=eDE",  # x1
    ],
)
def test_deals_asked_wrongly(client: TestClient, query: str) -> None:
    assert_problem(client.get(f"/api/sales/deals?{query}", headers=bearer(session())), 422)


# ---------------------------------------------------------------- the rest
@pytest.mark.parametrize("path", ["/api/x", "/api/", "/api/auth", "/api/sales/deals/1"])
def test_unknown_path(client: TestClient, path: str) -> None:
    assert_problem(client.get(path), 404)


def test_wrong_method(client: TestClient) -> None:
    assert_problem(client.delete("/api/sales/deals"), 405)


def test_trailing_slash(client: TestClient) -> None:
    assert client.get("/api/auth/me/", headers=bearer(session())).status_code == 200
    assert client.post("/api/auth/login/", json={"email": EMAIL, "password": PASSWORD}).status_code == 200


def test_fault_in_the_program(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the password is hunter22")

    monkeypatch.setattr("engine.services.deals.list_deals", fail)
    assert "hunter22" not in str(assert_problem(client.get("/api/sales/deals", headers=bearer(session())), 500))


def test_docs_load_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/api/docs")
    assert page.status_code == 200
    assert "/api/sales/deals" in page.text
    assert "<script" not in page.text
    assert "//" not in page.text.replace("<!doctype html>", "")
    assert client.get("/api/openapi.json").json()["openapi"].startswith("3.")


def test_every_endpoint_is_public_or_asks_who(client: TestClient) -> None:
    public = {"/auth/login"}
    for path, methods in api.openapi()["paths"].items():
        for method in methods:
            if path not in public:
                assert_problem(client.request(method, f"/api{path}"), 401)
    assert "deals.view" in PERMISSIONS


# ---------------------------------------------------------------- the guard and the cookie
def test_headers_stand_on_every_answer(client: TestClient) -> None:
    for path in ("/api/docs", "/api/x", "/media/x", "/nothing"):
        headers = client.get(path).headers
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "script-src 'self' 'unsafe-eval' 'sha256-" in headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/media/x", "/_stcore/metrics", "/_stcore/upload_file/session/file"])
def test_files_need_a_live_session(client: TestClient, path: str) -> None:
    token = session()
    assert client.get(path).status_code == 401
    assert client.get(path, headers={"Cookie": f"{COOKIE}=invented"}).status_code == 401
    assert client.get(path, headers={"Cookie": f"{COOKIE}={token}"}).text == "secret"
    sign_in.end_session(state.database(), token)
    assert client.get(path, headers={"Cookie": f"{COOKIE}={token}"}).status_code == 401


def ticket() -> str:
    actor = sign_in.session_actor(state.database(), session())
    assert actor is not None
    assert actor.user_id is not None
    return sign_in.open_ticket(state.database(), actor.user_id)


def test_ticket_becomes_a_cookie_that_no_script_sees(client: TestClient) -> None:
    own = {"Sec-Fetch-Site": "same-origin"}
    answer = client.post("/auth/session", content=ticket(), headers=own)
    assert answer.status_code == 204
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    assert "Secure" not in cookie
    assert client.get("/api/auth/me").json()["email"] == EMAIL
    secure = client.post("https://127.0.0.1/auth/session", content=ticket(), headers=own)
    assert "Secure" in secure.headers["set-cookie"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({}, 403),
        ({"Origin": "http://127.0.0.1"}, 204),
    ],
)
def test_only_our_own_page_may_exchange_a_ticket(client: TestClient, headers: dict[str, str], status: int) -> None:
    assert client.post("/auth/session", content=ticket(), headers=headers).status_code == status


@pytest.mark.parametrize("body", [b"", b"invented", b"\xff" * 50, b"x" * 1000])
def test_a_ticket_that_is_none(client: TestClient, body: bytes) -> None:
    answer = client.post("/auth/session", content=body, headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code in (400, 403)
    assert "set-cookie" not in answer.headers

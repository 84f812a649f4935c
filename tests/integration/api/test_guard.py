"""The guard in front of everything, and the route that sets the cookie."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from app import state
from app.auth import COOKIE
from engine.services import people, sign_in
from tests.integration.api.asking import EMAIL, PASSWORD
from tests.integration.paying import Company


@pytest.fixture
def session(company: Company) -> Callable[[], str]:
    return lambda: sign_in.open_session(company.db, company.users["ada"]).token


def test_headers_stand_on_every_answer(client: TestClient) -> None:
    for path in ("/api/docs", "/api/x", "/media/x", "/nothing"):
        headers = client.get(path).headers
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "script-src 'self' 'unsafe-eval' 'sha256-" in headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/media/x", "/_stcore/metrics", "/_stcore/upload_file/session/file"])
def test_files_need_a_live_session(client: TestClient, session: Callable[[], str], path: str) -> None:
    token = session()
    assert client.get(path).status_code == 401
    assert client.get(path, headers={"Cookie": f"{COOKIE}=invented"}).status_code == 401
    assert client.get(path, headers={"Cookie": f"{COOKIE}={token}"}).text == "secret"
    sign_in.end_session(state.database(), token)
    assert client.get(path, headers={"Cookie": f"{COOKIE}={token}"}).status_code == 401


def _signs_out(company: Company, token: str) -> None:
    sign_in.end_session(company.db, token)


def _changes_password(company: Company, _token: str) -> None:
    """In another browser."""
    here = sign_in.open_session(company.db, company.users["ada"]).token
    actor = sign_in.session_actor(company.db, here)
    assert actor is not None
    sign_in.change_password(company.db, actor, here, PASSWORD, "herring umbrella", "herring umbrella")


def _forgets_password(company: Company, _token: str) -> None:
    with company.db.write() as conn:
        secret = sign_in.give_link(conn, company.users["ada"])
    sign_in.choose_password(company.db, secret, "herring umbrella", "herring umbrella")


def _gets_another_role(company: Company, _token: str) -> None:
    _another_admin(company)
    people.edit_person(company.db, company.actors["ada"], company.users["ada"], "Ada", EMAIL, "finance", None)


def _is_disabled(company: Company, _token: str) -> None:
    _another_admin(company)
    people.deactivate_person(company.db, company.actors["ada"], company.users["ada"], state.today())


def _another_admin(company: Company) -> None:
    with company.db.write() as conn:  # one who can sign in
        conn.execute(
            sa.text("UPDATE users SET role = 'admin', password_hash = 'set' WHERE id = :fay"),
            {"fay": company.users["fay"]},
        )


@pytest.mark.parametrize(
    "what",
    [_signs_out, _changes_password, _forgets_password, _gets_another_role, _is_disabled],
    ids=lambda it: it.__name__,
)
def test_a_stolen_cookie_ends_with_the_session(
    client: TestClient, company: Company, session: Callable[[], str], what: Callable[[Company, str], None]
) -> None:
    """Whatever ends it, and wherever the copy is sent: pages, the API as cookie and as bearer token, files."""
    stolen = session()
    cookie = {"Cookie": f"{COOKIE}={stolen}"}
    assert client.get("/api/auth/me", headers=cookie).status_code == 200
    what(company, stolen)
    assert sign_in.session_actor(company.db, stolen) is None  # which every run of a page asks
    assert client.get("/api/auth/me", headers=cookie).status_code == 401
    assert client.get("/api/auth/me", headers={"Authorization": f"Bearer {stolen}"}).status_code == 401
    for path in ("/media/x", "/_stcore/metrics", "/_stcore/upload_file/session/file"):
        assert client.get(path, headers=cookie).status_code == 401, path


@pytest.fixture
def ticket(company: Company) -> Callable[[], str]:
    return lambda: sign_in.open_ticket(company.db, company.users["ada"])


def test_ticket_becomes_a_cookie_that_no_script_sees(client: TestClient, ticket: Callable[[], str]) -> None:
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
def test_only_our_own_page_may_exchange_a_ticket(
    client: TestClient, ticket: Callable[[], str], headers: dict[str, str], status: int
) -> None:
    assert client.post("/auth/session", content=ticket(), headers=headers).status_code == status


@pytest.mark.parametrize("body", [b"", b"invented", b"\xff" * 50, b"x" * 1000])
def test_a_ticket_that_is_none(client: TestClient, body: bytes) -> None:
    answer = client.post("/auth/session", content=body, headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code in (400, 403)
    assert "set-cookie" not in answer.headers

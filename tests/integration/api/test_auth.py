"""Sign in, sign out, and who a request is from: sessions, cookies, API tokens with their scopes."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from app import state
from app.auth import COOKIE
from engine.errors import NotFound, ProblemsError
from engine.services import api_tokens, people, sign_in
from engine.services.access import PERMISSIONS, SCOPES, Actor, Forbidden, Reach, reach
from tests.integration.api.asking import EMAIL, PASSWORD, assert_problem, bearer
from tests.integration.paying import Company

NOW = datetime.now(UTC)
Session = Callable[[str], dict[str, str]]


def test_login_me_and_logout(client: TestClient, company: Company) -> None:
    answer = client.post("/api/auth/login", json={"email": EMAIL, "password": PASSWORD})
    assert answer.status_code == 200
    body = answer.json()
    assert body["token_type"] == "bearer"
    assert body["user"] == {
        "id": company.users["ada"], "name": "Ada", "email": EMAIL, "role": "admin", "scopes": None,
    }  # fmt: skip
    assert "set-cookie" not in answer.headers
    me = client.get("/api/auth/me", headers=bearer(body["token"]))
    assert me.json() == body["user"]
    assert client.post("/api/auth/logout", headers=bearer(body["token"])).status_code == 204
    assert_problem(client.get("/api/auth/me", headers=bearer(body["token"])), 401)


def test_login_shares_the_lock_out_of_the_form(client: TestClient, company: Company) -> None:
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
    problem = assert_problem(answer, 422)["problems"]
    assert problem
    assert problem[0]["remedy"]
    assert "hunter22" not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer invented"},
        {"Authorization": "Bearer qp_invented"},
        {"Authorization": "Basic abc"},
        {"Authorization": "Bearer"},
    ],
)
def test_no_live_session(client: TestClient, headers: dict[str, str]) -> None:
    for path in ("/api/auth/me", "/api/sales/deals"):
        answer = client.get(path, headers=headers)
        assert_problem(answer, 401)
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 201),
        ({"Origin": "http://127.0.0.1"}, 201),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({}, 403),
    ],
)
def test_a_cookie_writes_from_our_own_pages_only(
    client: TestClient, company: Company, headers: dict[str, str], status: int
) -> None:
    token = sign_in.open_session(company.db, company.users["ada"]).token
    cookie = {"Cookie": f"{COOKIE}={token}"}
    assert client.get("/api/auth/me", headers=cookie | headers).status_code == 200
    answer = client.post("/api/sales/activities", json={"kind": "note", "subject": "x"}, headers=cookie | headers)
    assert answer.status_code == status, answer.text


# --- API tokens --------------------------------------------------------------------------------------
def token(company: Company, *scopes: str, who: str = "ada", days: int = 30) -> api_tokens.NewToken:
    return api_tokens.create_token(company.db, company.actors[who], "Payroll bot", frozenset(scopes), days, NOW)


def test_a_token_acts_for_its_person(client: TestClient, company: Company) -> None:
    made = token(company, "read", who="ana")
    me = client.get("/api/auth/me", headers=bearer(made.secret)).json()
    assert (me["id"], me["role"], me["scopes"]) == (company.users["ana"], "rep", ["read"])
    deals = client.get("/api/sales/deals", headers=bearer(made.secret)).json()["items"]
    assert [deal["owner"] for deal in deals] == ["Ana"]
    assert_problem(client.post("/api/auth/logout", headers=bearer(made.secret)), 403)
    (listed,) = api_tokens.list_tokens(company.db, company.actors["ana"])
    assert listed.last_used_at is not None
    with company.db.read() as conn:
        kept = conn.execute(sa.text("SELECT * FROM api_tokens")).one()
    assert made.secret not in str(kept)
    assert made.secret.encode() not in kept.token_hash


def test_a_cookie_is_no_place_for_a_token(client: TestClient, company: Company) -> None:
    made = token(company, "read")
    assert_problem(client.get("/api/auth/me", headers={"Cookie": f"{COOKIE}={made.secret}"}), 401)


def test_scopes_narrow_and_never_widen(client: TestClient, company: Company) -> None:
    reads = bearer(token(company, "read").secret)
    body = {"kind": "note", "subject": "x"}
    refused = assert_problem(client.post("/api/sales/activities", json=body, headers=reads), 403)
    assert "activities:write" in refused["detail"]
    writes = bearer(token(company, "activities:write").secret)
    assert client.post("/api/sales/activities", json=body, headers=writes).status_code == 201
    assert_problem(client.get("/api/sales/deals", headers=writes), 403)
    everything = bearer(token(company, *SCOPES, who="ana").secret)
    assert_problem(client.post("/api/commissions/calculate", json={"period": "2026-03"}, headers=everything), 403)


def test_no_set_of_scopes_reaches_beyond_the_role() -> None:
    for role in ("admin", "finance", "manager", "rep", "unknown"):
        for scopes in (frozenset(), *(frozenset({scope}) for scope in SCOPES), frozenset(SCOPES)):
            for action in PERMISSIONS:
                found = reach(Actor(1, role, "x", scopes=scopes), action)
                assert found in (Reach.NONE, reach(Actor(1, role, "x"), action))
                if not any(action in SCOPES[scope] for scope in scopes):
                    assert found is Reach.NONE
    # No token makes tokens, changes people, settings or plans.
    closed = set(PERMISSIONS) - set().union(*SCOPES.values())
    assert {"tokens.edit", "people.edit", "settings.edit", "plans.edit", "payouts.reverse"} <= closed


def test_a_revoked_token_is_worth_nothing(client: TestClient, company: Company) -> None:
    made = token(company, "read", who="ana")
    with pytest.raises(NotFound):
        api_tokens.revoke_token(company.db, company.actors["bo"], made.id)
    api_tokens.revoke_token(company.db, company.actors["ada"], made.id)  # an admin any
    assert_problem(client.get("/api/auth/me", headers=bearer(made.secret)), 401)
    (listed,) = api_tokens.list_tokens(company.db, company.actors["ana"])
    assert (listed.is_live, listed.revoked_because) == (False, "revoked by ada")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE api_tokens SET created_at = now() - interval '2 days', expires_at = now() - interval '1 second'",
        "UPDATE users SET is_active = false WHERE code = 'ana'",
        "UPDATE users SET left_on = current_date WHERE code = 'ana'",
    ],
)
def test_a_token_ends(client: TestClient, company: Company, statement: str) -> None:
    made = token(company, "read", who="ana")
    with company.db.write() as conn:
        conn.execute(sa.text(statement))
    assert_problem(client.get("/api/auth/me", headers=bearer(made.secret)), 401)


def test_a_new_password_ends_tokens(client: TestClient, company: Company) -> None:
    made = token(company, "read", who="ana")
    people.reset_password(company.db, company.actors["ada"], company.users["ana"])
    assert_problem(client.get("/api/auth/me", headers=bearer(made.secret)), 401)


@pytest.mark.parametrize(
    ("name", "scopes", "days"),
    [("", {"read"}, 1), ("x" * 101, {"read"}, 1), ("x", set(), 1), ("x", {"all"}, 1), ("x", {"read"}, 0),
     ("x", {"read"}, 367)],
)  # fmt: skip
def test_a_token_that_cannot_be(company: Company, name: str, scopes: set[str], days: int) -> None:
    with pytest.raises(ProblemsError):
        api_tokens.create_token(company.db, company.actors["ada"], name, frozenset(scopes), days, NOW)


def test_a_token_makes_none(company: Company) -> None:
    actor = api_tokens.token_actor(company.db, token(company, *SCOPES).secret)
    assert actor is not None
    with pytest.raises(Forbidden):
        api_tokens.create_token(company.db, actor, "x", frozenset({"read"}), 1, NOW + timedelta(days=1))

"""The OpenAPI document is true: random requests get documented answers of the documented shape, and no fault."""

from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)  # fmt: skip
from starlette.testclient import TestClient

from app import state
from app.api import api
from engine.services import runs, sign_in
from tests.integration.paying import Company

_CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance, ignored_auth,
    unsupported_method,
]  # fmt: skip
_OPERATIONS = [(method.upper(), path) for path, methods in api.openapi()["paths"].items() for method in methods]


@pytest.fixture
def calculated(company: Company, client: TestClient) -> Company:
    """March is calculated, so that there is something behind every address."""
    runs.run_period(company.db, state.pool(), company.actors["ada"], "2026-03")
    return company


def test_random_requests_of_every_operation(calculated: Company, client: TestClient) -> None:
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", client.app)
    answered: dict[tuple[str, str], set[int]] = {}
    for result in schema.get_all_operations():
        operation: Any = result.ok() if isinstance(result, Ok) else pytest.fail(str(result))
        answered[operation.method.upper(), operation.path] = _try_out(operation, calculated)
    assert set(answered) == set(_OPERATIONS)
    # They got past the door, and past what is asked for.
    lists = [key for key in _OPERATIONS if key[0] == "GET" and "{" not in key[1]]
    assert [key for key in lists if not answered[key] & {200}] == []
    assert not any(404 in answered[key] for key in lists)


def _try_out(operation: Any, company: Company) -> set[int]:
    """Which statuses some random requests got, as they should be and as they should not."""
    found: set[int] = set()
    token = _session(company)

    @hypothesis.settings(
        max_examples=8,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    )
    @hypothesis.given(case=operation.as_strategy() | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def send(case: Any) -> None:
        mine = _session(company) if operation.path == "/auth/logout" else token
        headers = {} if operation.path == "/auth/login" else {"Authorization": f"Bearer {mine}"}
        found.add(case.call_and_validate(headers=headers, checks=_CHECKS).status_code)

    send()
    return found


def _session(company: Company) -> str:
    return sign_in.open_session(company.db, company.users["ada"]).token


def test_every_endpoint_is_public_or_asks_who(client: TestClient) -> None:
    for method, path in _OPERATIONS:
        if path != "/auth/login":
            answer = client.request(method, f"/api{path}")
            assert answer.status_code in (401, 422), (method, path)  # a value in the path is none
            assert answer.headers["content-type"] == "application/problem+json"
            valid = path.replace("{period}", "2026-03").replace("{user_id}", "1").replace("{deal_id}", "1")
            valid = valid.replace("{plan_id}", "1").replace("{version_id}", "1")
            valid = valid.replace("{job_id}", "00000000-0000-0000-0000-000000000000")
            assert client.request(method, f"/api{valid}?version=1", json={}).status_code in (401, 422), (method, path)


def test_every_answer_and_field_is_described() -> None:
    for path, methods in api.openapi()["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], (method, path)
            assert operation["description"], (method, path)
            for status, answer in operation["responses"].items():
                assert status == "204" or answer["content"], (method, path, status)
    for name, schema in api.openapi()["components"]["schemas"].items():
        assert schema.get("description") or "enum" in schema, name

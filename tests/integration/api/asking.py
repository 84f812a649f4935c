"""What the tests of the API say to it, and what they hear."""

from typing import Any

EMAIL, PASSWORD = "ada@test.example", "correct horse"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def assert_problem(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["type"].startswith("/api/docs#")
    assert body["title"]
    assert body["detail"]
    return body

"""docs/api.md: every example is a request that works, in the order in which it stands there."""

import re
import shlex
import time
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from engine.services import api_tokens
from engine.services.access import SCOPES
from tests.integration.api.asking import assert_problem
from tests.integration.api.test_auth import NOW
from tests.integration.paying import Company

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "api.md").read_text()


def curl(client: TestClient, command: str, values: dict[str, str]) -> Any:
    """Send what the command would."""
    for name, value in values.items():
        command = command.replace(f"'${name}'", value).replace(f"${name}", value)
    words = shlex.split(command)
    assert words.pop(0) == "curl"
    method, url, headers, body = "", "", {}, None
    while words:
        word = words.pop(0)
        if word == "-X":
            method = words.pop(0)
        elif word == "-H":
            name, _, value = words.pop(0).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = words.pop(0)
        else:
            url = word
    return client.request(method or ("POST" if body else "GET"), url, content=body, headers=headers)


def test_every_example_works(client: TestClient, company: Company) -> None:
    made = api_tokens.create_token(company.db, company.actors["ada"], "Docs", frozenset(SCOPES), 1, NOW)
    values = {"URL": "http://127.0.0.1", "TOKEN": made.secret}
    commands = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
    assert len(commands) > 12
    for command in commands:
        answer = curl(client, command, values)
        assert answer.status_code in (200, 201, 202), (command, answer.text)
        found = answer.json() if answer.headers["content-type"] == "application/json" else {}
        values["VERSION"] = str(found.get("version", ""))
        until = time.monotonic() + 120
        while found.get("is_over") is False and time.monotonic() < until:
            headers = {"Authorization": f"Bearer {made.secret}"}
            found = client.get(f"/api/commissions/calculate/{found['id']}", headers=headers).json()


def test_the_tables_are_whole() -> None:
    assert set(re.findall(r"^\| `([a-z:]+)` \|", PAGE, re.MULTILINE)) == set(SCOPES)
    described = set(re.findall(r"^\| (\d{3}) \|", PAGE, re.MULTILINE))
    assert described == {"401", "403", "404", "409", "413", "422", "429"}


def test_a_refusal_reads_as_the_page_says(client: TestClient) -> None:
    body = assert_problem(client.post("/api/auth/login", json={}), 422)
    assert set(body["problems"][0]) == {"path", "message", "remedy"}

"""Who may call what, about whom: every endpoint that there is, held against one table.

The requests are about Ana, who is in Mia's team: so Max and Bo are outside.  Y: done (or refused for a value, after the
door).  E: answered without anything of Ana's.  N: not allowed.  H: as if there were nothing.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.testclient import TestClient

from app import state
from app.api import api
from engine.services import runs, sign_in
from tests.integration.api.test_deals import new_deal, sent
from tests.integration.paying import Company

WHO = ("ada", "fay", "mia", "max", "ana", "bo")
ROLES = ["admin", "finance", "manager", "manager-outside", "rep", "rep-outside"]


@dataclass
class Call:
    """A request about Ana: how it is sent, and what in the answer is hers."""

    url: Callable[[Any], str]
    body: Callable[[Any], Any] | None = None
    mark: str = ""


class Facts:
    """What the requests are about."""

    def __init__(self, company: Company) -> None:
        self.company = company
        self.made = 0
        self.ana = company.users["ana"]
        self.plan, self.version, self.job = 1, 1, "00000000-0000-0000-0000-000000000000"

    def deal(self) -> int:
        """A new deal of Ana's."""
        self.made += 1
        return self.company.deal(f"ana-m{self.made}", "ana", "2026-06-01", 1, stage="Proposal")

    def whole(self) -> dict[str, Any]:
        """A deal as one sends it."""
        return new_deal(self.company)


def at(path: str, mark: str = "") -> Call:
    """A request that is the same for everyone."""
    return Call(lambda _: path, None, mark)


# ruff: noqa: E501, T201 - a table, and it is printed
CALLS: dict[str, tuple[str, Call]] = {
    # ---------------------------------- ada fay mia max ana bo
    "POST /auth/login":                  ("YYYYYY", Call(lambda _: "/auth/login", lambda f: {"email": f"{f.deal()}@y.z", "password": "x"})),
    "POST /auth/logout":                 ("YYYYYY", Call(lambda _: "/auth/logout", lambda _: None)),
    "GET /auth/me":                      ("YYYYYY", at("/auth/me")),
    "GET /sales/deals":                  ("YYYEYE", at("/sales/deals", "ana-1")),
    "POST /sales/deals":                 ("YNNNNN", Call(lambda _: "/sales/deals", lambda f: f.whole())),
    "POST /sales/deals/bulk":            ("YNNNNN", Call(lambda _: "/sales/deals/bulk", lambda _: {"source": "crm", "deals": [sent("m")]})),
    "GET /sales/deals/{deal_id}":        ("YYYHYH", Call(lambda f: f"/sales/deals/{f.deal()}")),
    "PATCH /sales/deals/{deal_id}":      ("YNNNNN", Call(lambda f: f"/sales/deals/{f.deal()}", lambda _: {"version": 1, "account": "A"})),
    "DELETE /sales/deals/{deal_id}":     ("YNNNNN", Call(lambda f: f"/sales/deals/{f.deal()}?version=1")),
    "GET /sales/choices":                ("YYYEYE", at("/sales/choices", '"Ana"')),
    "GET /sales/dashboard-stats":        ("YYYEYE", at("/sales/dashboard-stats?period=2026-02", '"value":50000.0')),
    "GET /sales/pipeline-analysis":      ("YYYEYE", at("/sales/pipeline-analysis?period=2026-06", '"Proposal","deals"')),
    "GET /sales/activities":             ("YYYEYE", at("/sales/activities", "Anas call")),
    "POST /sales/activities":            ("YNYYYY", Call(lambda _: "/sales/activities", lambda _: {"kind": "note", "subject": "x"})),
    "GET /sales/quotas":                 ("YYYEYE", at("/sales/quotas?year=2026", '"Ana"')),
    "GET /commissions/commissions":      ("YYYEYE", at("/commissions/commissions?period=2026-03", '"Ana"')),
    "POST /commissions/calculate":       ("YNNNNN", Call(lambda _: "/commissions/calculate", lambda _: {"period": "2026-03"})),
    "GET /commissions/calculate/{job_id}": ("HHNNNN", Call(lambda f: f"/commissions/calculate/{f.job}")),
    "GET /commissions/analytics":        ("YYYEYE", at("/commissions/analytics?period=2026-03", '"Ana"')),
    "GET /commissions/trends":           ("YYYEYE", at("/commissions/trends?period=2026-02", '"amount":4[05]00')),
    "GET /commissions/plans":            ("YYYYYY", at("/commissions/plans")),
    "GET /commissions/plans/{plan_id}":  ("YYYEYE", Call(lambda f: f"/commissions/plans/{f.plan}", None, '"Ana"')),
    "GET /commissions/plans/{plan_id}/versions": ("YYYYYY", Call(lambda f: f"/commissions/plans/{f.plan}/versions")),
    "GET /commissions/plans/{plan_id}/versions/{version_id}":
                                         ("YYYYYY", Call(lambda f: f"/commissions/plans/{f.plan}/versions/{f.version}")),
    "GET /commissions/statements":       ("YYYEYE", at("/commissions/statements?period=2026-03", '"Ana"')),
    "GET /commissions/statements/{period}/{user_id}":
                                         ("YYYNYN", Call(lambda f: f"/commissions/statements/2026-03/{f.ana}")),
    "GET /commissions/statements/{period}/{user_id}/file":
                                         ("YYYNYN", Call(lambda f: f"/commissions/statements/2026-03/{f.ana}/file?format=csv")),
    "GET /commissions/payouts":          ("YYNNNN", at("/commissions/payouts")),
    "GET /commissions/payouts/{period}": ("YYNNNN", at("/commissions/payouts/2026-03")),
    "GET /commissions/payouts/{period}/items": ("YYNNNN", at("/commissions/payouts/2026-03/items", '"Ana"')),
    "POST /commissions/payouts/{period}/approve":
                                         ("YNNNNN", Call(lambda _: "/commissions/payouts/2026-03/approve", lambda _: {"version": "x"})),
    "POST /commissions/payouts/{period}/pay": ("YNNNNN", Call(lambda _: "/commissions/payouts/2026-03/pay", lambda _: None)),
    "GET /commissions/payouts/{period}/payroll": ("YYNNNN", at("/commissions/payouts/2026-03/payroll")),
}  # fmt: skip


def test_every_endpoint_is_in_the_table() -> None:
    there = {f"{method.upper()} {path}" for path, methods in api.openapi()["paths"].items() for method in methods}
    there |= {
        f"{method} {getattr(route, 'path', '')}"
        for route in api.routes
        if getattr(route, "include_in_schema", False)
        for method in getattr(route, "methods", set()) - {"HEAD"}
        if getattr(route, "path", "") not in ("/openapi.json", "/docs")
    }
    assert there == set(CALLS), "give each endpoint its line: who may call it, about whom"


@pytest.fixture
def facts(company: Company, client: TestClient) -> Facts:
    """March is calculated, and February, in which Ana alone has sold; she has called a customer."""
    company.deal("ana-2", "ana", "2026-02-10", 500)
    for period in ("2026-02", "2026-03"):
        runs.run_period(company.db, state.pool(), company.actors["ada"], period)
    found = Facts(company)
    token = sign_in.open_session(company.db, company.users["ana"]).token
    answer = client.post(
        "/api/sales/activities",
        json={"kind": "call", "subject": "Anas call", "deal_id": found.deal()},
        headers={"Authorization": f"Bearer {token}"},
    )
    assert answer.status_code == 201, answer.text
    return found


def test_who_may_call_what_about_whom(
    facts: Facts, client: TestClient, record_property: Callable[[str, Any], None]
) -> None:
    found: dict[str, str] = {}
    for name, (_, call) in CALLS.items():
        found[name] = "".join(_letter(name, call, who, facts, client) for who in WHO)
    print(f"\n{'':56}{'  '.join(ROLES)}")
    for name, letters in found.items():
        print(f"{name:56}{'  '.join(f'{letter:{len(role)}}' for letter, role in zip(letters, ROLES, strict=True))}")
    # Y or E where the table has less: more was given than it says.
    more = sum(
        "NHEY".index(a) > "NHEY".index(b) for name in CALLS for a, b in zip(found[name], CALLS[name][0], strict=True)
    )
    record_property("matrix", ("endpoints", len(CALLS), len(CALLS) * len(WHO), more))
    assert found == {name: letters for name, (letters, _) in CALLS.items()}


def _letter(name: str, call: Call, who: str, facts: Facts, client: TestClient) -> str:
    company = facts.company
    token = sign_in.open_session(company.db, company.users[who]).token
    headers = {} if name.endswith("/login") else {"Authorization": f"Bearer {token}"}
    body = call.body(facts) if call.body else None
    answer = client.request(name.split()[0], f"/api{call.url(facts)}", json=body, headers=headers)
    if answer.status_code == 403:
        return "N"
    if answer.status_code == 404:
        return "H"
    passed = (200, 201, 202, 204, 422, *((401,) if name.endswith("/login") else ()))
    assert answer.status_code in passed, (name, who, answer.text)
    return "Y" if not call.mark or re.search(call.mark, answer.text) else "E"

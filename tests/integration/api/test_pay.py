"""A period through the API: calculated, looked at, approved, paid, and its files; plans, quotas and figures."""

import csv
import io
import time
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from app import state
from engine.services import runs
from tests.integration.api.asking import assert_problem
from tests.integration.paying import Company
from tests.pdf import pdf_text

AsPerson = Callable[[str], dict[str, str]]
URL = "/api/commissions"


def get(client: TestClient, path: str, headers: dict[str, str], **params: Any) -> Any:
    answer = client.get(f"/api{path}", params=params, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_period_from_calculation_to_payroll(client: TestClient, company: Company, as_person: AsPerson) -> None:
    ada = as_person("ada")
    started = client.post(f"{URL}/calculate", json={"period": "2026-03"}, headers=ada)
    assert started.status_code == 202, started.text
    job = started.json()
    until = time.monotonic() + 120
    while not job["is_over"] and time.monotonic() < until:
        job = get(client, f"/commissions/calculate/{job['id']}", ada)
    assert (job["status"], list(job["result"])) == ("done", ["run"])
    lines = get(client, "/commissions/commissions", ada, period="2026-03")["items"]
    assert [(line["person"], line["amount"], line["external_id"]) for line in lines] == [
        ("Ana", 8_000, "ana-1"), ("Bo", 16_000, "bo-1"), ("Mia", 1_000, "ana-1"), ("Mia", 2_000, "bo-1"),
        ("Oda", 24_000, "oda-1"),
    ]  # fmt: skip
    assert_problem(client.get(f"{URL}/payouts/2026-03/payroll", headers=ada), 422)
    (period,) = get(client, "/commissions/payouts", ada)["items"]
    assert (period["period"], period["status"], period["earned"]) == ("2026-03", "open", 51_000)
    standing = get(client, "/commissions/payouts/2026-03", ada)
    approve = f"{URL}/payouts/2026-03/approve"
    assert_problem(client.post(approve, json={"version": "another"}, headers=ada), 422)
    assert_problem(client.post(approve, json={}, headers=ada), 422)
    approved = client.post(approve, json={"version": standing["version"]}, headers=ada)
    assert approved.json() == approved.json() | {"period": "2026-03", "status": "approved", "approved_by": "Ada"}
    assert_problem(client.post(f"{URL}/calculate", json={"period": "2026-03"}, headers=ada), 422)
    items = get(client, "/commissions/payouts/2026-03/items", ada)["items"]
    assert [(item["name"], item["due"]) for item in items] == [
        ("Ana", 8_000),
        ("Bo", 16_000),
        ("Mia", 3_000),
        ("Oda", 24_000),
    ]
    paid = client.post(f"{URL}/payouts/2026-03/pay", headers=ada).json()
    assert paid["status"] == "paid"
    assert client.post(f"{URL}/payouts/2026-03/pay", headers=ada).json() == paid
    assert company.balance("ana") == 0
    payroll = client.get(f"{URL}/payouts/2026-03/payroll", headers=as_person("fay"))
    assert payroll.headers["content-disposition"] == 'attachment; filename="payroll-2026-03.csv"'
    rows = list(csv.DictReader(io.StringIO(payroll.content.decode("utf-8-sig"))))
    assert [(row["Name"], row["Amount"]) for row in rows] == [
        ("Ana", "80.00"), ("Bo", "160.00"), ("Mia", "30.00"), ("Oda", "240.00"),
    ]  # fmt: skip
    workbook = client.get(f"{URL}/payouts/2026-03/payroll?format=xlsx", headers=ada)
    assert workbook.content[:2] == b"PK"
    with company.db.read() as conn:
        kept = list(conn.scalars(sa.text("SELECT action FROM audit ORDER BY id")))
    assert kept == ["runs.start", "payouts.lock", "payouts.approve", "payouts.pay", "payouts.export", "payouts.export"]


@pytest.fixture
def calculated(company: Company, client: TestClient) -> Company:
    runs.run_period(company.db, state.pool(), company.actors["ada"], "2026-03")
    return company


def pages(client: TestClient, path: str, headers: dict[str, str], **params: Any) -> list[list[dict[str, Any]]]:
    found: list[list[dict[str, Any]]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = get(client, path, headers, cursor=cursor, **params)
        found.append(page["items"])
        cursor = page["next_cursor"]
    return found


def test_lists_of_pay_come_page_by_page(client: TestClient, calculated: Company, as_person: AsPerson) -> None:
    ada = as_person("ada")
    lines = pages(client, "/commissions/commissions", ada, limit=2)
    assert [len(page) for page in lines] == [2, 2, 1]
    assert len({line["id"] for page in lines for line in page}) == 5
    statements = pages(client, "/commissions/statements", ada, limit=1, period="2026")
    assert [[each["name"] for each in page] for page in statements] == [["Ana"], ["Bo"], ["Mia"], ["Oda"]]
    items = pages(client, "/commissions/payouts/2026-03/items", ada, limit=3)
    assert [[each["name"] for each in page] for page in items] == [["Ana", "Bo", "Mia"], ["Oda"]]
    for path in (
        "/commissions/commissions",
        "/commissions/statements",
        "/commissions/payouts/2026-03/items",
        "/sales/activities",
    ):
        assert_problem(client.get(f"/api{path}?cursor=WzFd", headers=ada), 422)


def test_a_statement_as_json_and_as_files(client: TestClient, calculated: Company, as_person: AsPerson) -> None:
    bo, ana = calculated.users["bo"], as_person("ana")
    url = f"{URL}/statements/2026-03/{bo}"
    shown = get(client, f"/commissions/statements/2026-03/{bo}", as_person("bo"))
    assert (shown["final"], shown["content"]["person"]["name"]) == (False, "Bo")
    for kind, start in (("pdf", b"%PDF"), ("xlsx", b"PK"), ("csv", b"\xef\xbb\xbf")):
        answer = client.get(f"{url}/file?format={kind}", headers=as_person("bo"))
        assert answer.status_code == 200, answer.text
        assert answer.content.startswith(start)
        assert_problem(client.get(f"{url}/file?format={kind}", headers=ana), 403)
    assert "Bo" in pdf_text(client.get(f"{url}/file", headers=as_person("mia")).content)
    assert_problem(client.get(f"{URL}/statements/2026-02/{bo}", headers=as_person("bo")), 404)
    assert_problem(client.get(f"{url}?edition=7", headers=as_person("bo")), 422)
    with calculated.db.read() as conn:
        exports = conn.scalar(sa.text("SELECT count(*) FROM audit WHERE action = 'statements.export'"))
    assert exports == 4


def test_figures(client: TestClient, calculated: Company, as_person: AsPerson) -> None:
    ada = as_person("ada")
    stats = get(client, "/sales/dashboard-stats", ada, period="2026-03")
    assert (stats["won"]["value"], stats["deals"]["value"], stats["commission"]["value"]) == (600_000, 3, 51_000)
    assert get(client, "/sales/dashboard-stats", as_person("ana"), period="2026-03")["won"]["value"] == 100_000
    calculated.deal("open", "ana", "2026-11-30", 500, stage="Proposal")
    pipeline = get(client, "/sales/pipeline-analysis", ada)
    assert (pipeline["amount"]["value"], [row["stage"] for row in pipeline["stages"]]) == (50_000, ["Proposal"])
    assert {row["stage"] for row in pipeline["passage"]} >= {"Proposal", "Closed Won"}
    analytics = get(client, "/commissions/analytics", ada, period="2026-03")
    assert [(each["name"], each["earned"]) for each in analytics["people"]] == [
        ("Ana", 8_000),
        ("Bo", 16_000),
        ("Mia", 3_000),
        ("Oda", 24_000),
    ]
    trends = get(client, "/commissions/trends", ada, period="2026-03")
    assert trends["commission"] == [{"month": "2026-03-01", "status": "open", "amount": 51_000}]
    assert trends["attainment"] == [{"period": "2026-03", "attainment": 0.02}]
    quotas = get(client, "/sales/quotas", as_person("mia"), year=2026)
    assert {row["person"]: row["amounts"][0] for row in quotas["rows"]} == {
        "Ana": 10_000_000,
        "Bo": 10_000_000,
        "Mia": None,
    }
    assert [each["name"] for each in get(client, "/sales/choices", as_person("mia"))["people"]] == ["Ana", "Bo", "Mia"]


def test_plans_and_versions(client: TestClient, company: Company, as_person: AsPerson) -> None:
    ada, ana = as_person("ada"), as_person("ana")
    listed = get(client, "/commissions/plans", ada)["items"]
    assert [(plan["name"], plan["people"]) for plan in listed] == [("ae", 3), ("manager", 1)]
    ae, manager = (plan["plan_id"] for plan in listed)
    (version,) = get(client, f"/commissions/plans/{ae}/versions", ana)["items"]
    whole = get(client, f"/commissions/plans/{ae}/versions/{version['version_id']}", ana)
    assert 'id = "new-business"' in whole["document"]
    assert [each["person"] for each in get(client, f"/commissions/plans/{ae}", ana)["assigned"]] == ["Ana"]
    assert_problem(client.get(f"/api/commissions/plans/{manager}", headers=ana), 403)
    assert_problem(client.get("/api/commissions/plans/99", headers=ada), 404)
    assert_problem(client.get(f"/api/commissions/plans/{ae}/versions/99", headers=ada), 404)


def test_activities(client: TestClient, company: Company, as_person: AsPerson) -> None:
    ana = as_person("ana")
    for number in range(3):
        body = {"kind": "call", "subject": f"Call {number}", "happened_at": f"2026-11-0{number + 1}T10:00:00+02:00"}
        assert client.post("/api/sales/activities", json=body, headers=ana).status_code == 201
    found = pages(client, "/sales/activities", as_person("mia"), limit=2)
    assert [[each["subject"] for each in page] for page in found] == [["Call 2", "Call 1"], ["Call 0"]]
    assert found[0][0]["happened_at"] == "2026-11-03T08:00:00Z"
    assert pages(client, "/sales/activities", as_person("oda")) == [[]]
    assert_problem(client.post("/api/sales/activities", json={"kind": "note"}, headers=ana), 422)

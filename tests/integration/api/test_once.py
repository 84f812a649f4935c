"""A write with an Idempotency-Key is done once: repeated, at the same moment, after a refusal, with another body."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from engine.errors import QuotaPathError
from engine.services import deals, once
from tests.integration.api.asking import assert_problem
from tests.integration.api.test_deals import new_deal, sent
from tests.integration.paying import Company

AsPerson = Callable[[str], dict[str, str]]
URL = "/api/sales/deals"


def count(company: Company, table: str = "deals") -> int:
    with company.db.read() as conn:
        return conn.scalar(sa.text(f"SELECT count(*) FROM {table}")) or 0


def test_the_same_request_again(client: TestClient, company: Company, as_person: AsPerson) -> None:
    key = {"Idempotency-Key": "k1"}
    headers = as_person("ada") | key
    body = new_deal(company)
    first = client.post(URL, json=body, headers=headers)
    again = client.post(
        f"{URL}/", json=dict(reversed(body.items())), headers=as_person("ada") | {"Idempotency-Key": "k1"}
    )
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert count(company) == 4
    other = assert_problem(client.post(URL, json=body | {"amount": 1}, headers=headers), 422)
    assert other["problems"][0]["path"] == "Idempotency-Key"
    assert count(company) == 4
    one = f"{URL}/{first.json()['id']}?version=1"
    assert_problem(client.delete(one, headers=headers), 422)  # the same key for another address
    assert [client.delete(one, headers=headers | {"Idempotency-Key": "k2"}).status_code for _ in range(2)] == [204, 204]
    assert count(company) == 3


def test_keys_are_a_persons_own(client: TestClient, company: Company, as_person: AsPerson) -> None:
    body = {"kind": "note", "subject": "x"}
    for who in ("ana", "bo"):
        answer = client.post("/api/sales/activities", json=body, headers=as_person(who) | {"Idempotency-Key": "k"})
        assert "idempotency-replayed" not in answer.headers
    assert count(company, "activities") == 2


def test_many_at_the_same_moment(client: TestClient, company: Company, as_person: AsPerson) -> None:
    headers = as_person("ada") | {"Idempotency-Key": "k"}
    body = new_deal(company)

    def send(_: int) -> Any:
        return client.post(URL, json=body, headers=headers)

    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(send, range(6)))
    assert {answer.status_code for answer in found} == {201}
    assert len({answer.content for answer in found}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in found) == 1
    assert count(company) == 4


def test_what_was_refused_may_be_tried_again(client: TestClient, company: Company, as_person: AsPerson) -> None:
    headers = as_person("ada") | {"Idempotency-Key": "k"}
    assert_problem(client.post(URL, json=new_deal(company, amount=None), headers=headers), 422)
    assert client.post(URL, json=new_deal(company), headers=headers).status_code == 201


def test_bulk_and_calculation_are_done_once(client: TestClient, company: Company, as_person: AsPerson) -> None:
    headers = as_person("ada") | {"Idempotency-Key": "b"}
    body = {"source": "crm", "deals": [sent("n1"), sent("n2")]}
    first, again = (client.post(f"{URL}/bulk", json=body, headers=headers) for _ in range(2))
    assert first.status_code == 200, first.text
    assert again.json() == first.json()
    assert count(company, "imports") == 1
    headers["Idempotency-Key"] = "c"
    jobs = [client.post("/api/commissions/calculate", json={"period": "2026-03"}, headers=headers) for _ in range(2)]
    assert jobs[0].json() == jobs[1].json()
    assert count(company, "jobs") == 1


def test_a_fault_after_the_write_keeps_neither(company: Company) -> None:
    ada = company.actors["ada"]
    with company.db.read() as conn:
        stage = conn.scalar(sa.text("SELECT id FROM pipeline_stages WHERE name = 'Proposal'")) or 0
    fields = deals.DealFields("Robots", "", company.users["ana"], stage, 1, "USD", date(2026, 3, 1))

    def act(db: Any) -> once.Answer:
        deals.create_deal(db, ada, fields)
        raise QuotaPathError("The answer could not be written.")

    with pytest.raises(QuotaPathError):
        once.once(company.db, ada, "k", "request", act)
    assert (count(company), count(company, "api_requests"), count(company, "audit")) == (3, 0, 0)


@pytest.mark.parametrize("key", ["x" * 201, "a b"])
def test_a_key_that_is_none(client: TestClient, company: Company, as_person: AsPerson, key: str) -> None:
    answer = client.post(URL, json=new_deal(company), headers=as_person("ada") | {"Idempotency-Key": key})
    assert_problem(answer, 422)
    assert count(company) == 3


def test_keys_are_forgotten_after_some_days(client: TestClient, company: Company, as_person: AsPerson) -> None:
    headers = as_person("ada") | {"Idempotency-Key": "k"}
    body = {"kind": "note", "subject": "x"}
    client.post("/api/sales/activities", json=body, headers=headers)
    with company.db.write() as conn:
        conn.execute(sa.text("UPDATE api_requests SET at = at - interval '8 days'"))
    client.post("/api/sales/activities", json=body, headers=headers)
    assert count(company, "activities") == 2

"""Deals through the API: page by page, one by one, many by the id of their source."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from engine.db import deal_imports
from tests.integration.api.asking import assert_problem
from tests.integration.paying import Company

AsPerson = Callable[[str], dict[str, str]]
URL = "/api/sales/deals"


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["external_id"] for item in answer.json()["items"]]


def test_deals_within_reach(client: TestClient, company: Company, as_person: AsPerson) -> None:
    assert sorted(ids(client.get(URL, headers=as_person("ada")))) == ["ana-1", "bo-1", "oda-1"]
    assert sorted(ids(client.get(URL, headers=as_person("mia")))) == ["ana-1", "bo-1"]
    own = client.get(URL, headers=as_person("ana"))
    assert ids(own) == ["ana-1"]
    assert own.json()["items"][0] == {
        **own.json()["items"][0],
        "name": "ana-1",
        "owner": "Ana",
        "stage": "Closed Won",
        "outcome": "won",
        "amount": 100_000,
        "currency": "USD",
        "close_date": "2026-03-10",
    }
    # Asking for someone else's shows nothing of theirs.
    assert ids(client.get(f"{URL}?owner_id={company.users['oda']}", headers=as_person("ana"))) == []


def test_pages_stand_still_while_deals_come_and_go(client: TestClient, company: Company, as_person: AsPerson) -> None:
    for number in range(7):
        company.deal(f"bo-x{number}", "bo", "2026-03-1" + str(number % 3), 10)
    headers = as_person("ada")
    whole = ids(client.get(URL, headers=headers))
    found: list[str] = []
    cursor: str | None = ""
    pages = 0
    while cursor is not None:
        answer = client.get(URL, params={"limit": 3, "cursor": cursor}, headers=headers)
        found += ids(answer)
        cursor, pages = answer.json()["next_cursor"], pages + 1
        # Before the place, after it, and one that was shown already goes.
        company.deal(f"new-{pages}", "ana", "2026-12-01", 1)
        with company.db.write() as conn:
            conn.execute(sa.text("DELETE FROM deals WHERE external_id = :id"), {"id": found[-1]})
    assert pages == 4
    assert found == whole


def test_deals_filtered(client: TestClient, company: Company, as_person: AsPerson) -> None:
    headers = as_person("ada")
    company.deal("late", "bo", "2026-04-01", 1)
    params = {"closed_from": "2026-03-11", "closed_until": "2026-04-02"}
    assert ids(client.get(URL, params=params, headers=headers)) == ["late"]
    assert ids(client.get(f"{URL}?outcome=lost", headers=headers)) == []
    assert ids(client.get(f"{URL}?text=ANA", headers=headers)) == ["ana-1"]
    answer = client.get(f"{URL}/", params={"text": "a", "limit": 1}, headers=headers)  # the few are sorted otherwise
    assert (answer.json()["total"], len(ids(answer))) == (3, 1)
    assert ids(client.get(URL, params={"text": "a", "cursor": answer.json()["next_cursor"]}, headers=headers))


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=501", "limit=x", "outcome=maybe", "closed_from=2026-02-30", "owner_id=x", "cursor=!!",
     "cursor=cDA", "cursor=WyJ4IiwgMV0", "cursor=W10", "owner_id=99999999999999999999", "text=%00"],
)  # fmt: skip
def test_deals_asked_wrongly(client: TestClient, as_person: AsPerson, query: str) -> None:
    assert_problem(client.get(f"{URL}?{query}", headers=as_person("ada")), 422)


def new_deal(company: Company, **values: Any) -> dict[str, Any]:
    with company.db.read() as conn:
        stage = conn.scalar(sa.text("SELECT id FROM pipeline_stages WHERE name = 'Closed Won'"))
    return {
        "name": "Robots", "owner_id": company.users["ana"], "stage_id": stage, "currency": "USD", "amount": 12_345,
        "close_date": "2026-03-20",
    } | values  # fmt: skip


def test_a_deal_from_its_beginning_to_its_end(client: TestClient, company: Company, as_person: AsPerson) -> None:
    headers = as_person("ada")
    shares = (("ana", 600_000), ("bo", 400_000))
    parts = [{"user_id": company.users[who], "share_ppm": share} for who, share in shares]
    answer = client.post(URL, json=new_deal(company, credits=parts), headers=headers)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["source"], made["amount"], made["outcome"], made["version"]) == ("manual", 12_345, "won", 1)
    one = f"{URL}/{made['id']}"
    assert client.get(one, headers=headers).json() == made
    changed = client.patch(one, json={"version": 1, "amount": 5, "account": "Acme"}, headers=headers).json()
    assert changed == made | {"version": 2, "amount": 5, "account": "Acme"}
    assert_problem(client.patch(one, json={"version": 1, "amount": 6}, headers=headers), 409)
    assert_problem(client.patch(one, json={"version": 2, "amount": None}, headers=headers), 422)  # won, so it needs one
    assert_problem(client.patch(one, json={"version": 2, "amuont": 6}, headers=headers), 422)
    assert_problem(client.get(one, headers=as_person("oda")), 404)
    assert_problem(client.delete(f"{one}?version=1", headers=headers), 409)
    assert client.delete(f"{one}?version=2", headers=headers).status_code == 204
    assert_problem(client.get(one, headers=headers), 404)
    with company.db.read() as conn:
        kept = conn.execute(sa.text("SELECT user_id, action FROM audit WHERE action = 'deals.edit'")).all()
    assert kept == [(company.users["ada"], "deals.edit")] * 3


def test_a_deal_that_cannot_be(client: TestClient, company: Company, as_person: AsPerson) -> None:
    wrong = new_deal(company, owner_id=999, amount=None, cancelled_on="2026-01-01")
    body = assert_problem(client.post(URL, json=wrong, headers=as_person("ada")), 422)
    assert {problem["path"] for problem in body["problems"]} == {"owner", "amount", "cancelled_on"}
    assert all(problem["message"] and problem["remedy"] for problem in body["problems"])
    assert len(ids(client.get(URL, headers=as_person("ada")))) == 3


# --- many ------------------------------------------------------------------------------------------------
def sent(external_id: str, **values: Any) -> dict[str, Any]:
    return {
        "external_id": external_id, "name": "Robots", "owner": "ana@test.example", "stage": "Closed Won",
        "amount": 123_456, "currency": "USD", "close_date": "2026-03-20",
    } | values  # fmt: skip


def test_many_deals_are_added_changed_and_left_alone(client: TestClient, company: Company, as_person: AsPerson) -> None:
    headers = as_person("ada")
    new = [sent("ana-1", name="ana-1"), sent("new", currency="BHD", amount=1_500), sent("x", owner="Bo")]
    body = {"source": "crm", "deals": new}
    done = client.post(f"{URL}/bulk", json=body, headers=headers)
    assert done.status_code == 200, done.text
    assert {name: done.json()[name] for name in ("added", "changed", "unchanged")} == {
        "added": 2, "changed": 1, "unchanged": 0,
    }  # fmt: skip
    again = client.post(f"{URL}/bulk", json=body, headers=headers).json()
    assert (again["added"], again["changed"], again["unchanged"]) == (0, 0, 3)
    found = {deal["external_id"]: deal for deal in client.get(URL, headers=headers).json()["items"]}
    assert (found["ana-1"]["amount"], found["ana-1"]["type"]) == (123_456, "New")  # the type was not sent: it stays
    assert (found["new"]["amount"], found["new"]["currency"]) == (1_500, "BHD")
    assert found["x"]["owner"] == "Bo"


@pytest.mark.parametrize(
    ("deals", "path"),
    [
        ([sent("a"), sent("b", owner="nobody@x")], "deals[1].owner"),
        ([sent("a", stage="Nowhere")], "deals[0].stage"),
        ([sent("a"), sent("a")], "deals[1].external_id"),
        ([sent("a"), {**sent("b"), "product": "P"}], "deals[1]"),
        ([sent("a", currency="XXY")], "deals[0].currency"),
        ([sent("a", amount=10**16)], "body.deals.0.amount"),
        ([sent(" ")], "deals[0].external_id"),
    ],
)
def test_one_that_is_refused_refuses_all(
    client: TestClient, company: Company, as_person: AsPerson, deals: list[dict[str, Any]], path: str
) -> None:
    answer = client.post(f"{URL}/bulk", json={"source": "crm", "deals": deals}, headers=as_person("ada"))
    assert path in [problem["path"] for problem in assert_problem(answer, 422)["problems"]]
    assert len(ids(client.get(URL, headers=as_person("ada")))) == 3


def test_many_deals_do_not_touch_what_uploads_remember(
    client: TestClient, company: Company, as_person: AsPerson
) -> None:
    with company.db.write() as conn:
        deal_imports.remember(conn, "crm", deal_imports.Saved({"amount": "Betrag"}, {}, {}), company.users["ada"])
    answer = client.post(f"{URL}/bulk", json={"source": "crm", "deals": [sent("a")]}, headers=as_person("ada"))
    assert answer.status_code == 200, answer.text
    with company.db.read() as conn:
        assert deal_imports.saved(conn, "crm").mapping == {"amount": "Betrag"}

"""500 hostile texts through the fields of the API: kept and given back as text, or refused with a problem."""

import csv
import io
import json
import random
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from openpyxl import load_workbook
from starlette.testclient import TestClient

from app.api import api
from engine import sheets
from engine.imports.values import one_line
from engine.services import audit_log, deals
from tests.integration.api.asking import assert_problem
from tests.integration.api.test_deals import new_deal, sent
from tests.integration.paying import Company

AsPerson = Callable[[str], dict[str, str]]

# ruff: noqa: E501 - a table
SEEDS = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</textarea><svg/onload=alert(1)>", "<!--", "]]>", "&lt;b&gt;",
    "'; DROP TABLE deals; --", "\" OR 1=1 --", "1); DELETE FROM audit; --", "%' OR '%'='", "\\", "\\x00", "E'\\\\'", "$$;$$",
    ":name", "%(name)s", "{0.__class__}", "{{7*7}}", "${7*7}", "%s%s%n", "__proto__", "null", "None", "NaN", "-1", "1e309",
    "=1+1", "+1+1", "-1+1", "@SUM(A1)", "=HYPERLINK(\"http://x\",\"y\")", "\t=1+1", "\r=1+1", "\n=cmd|' /C calc'!A0", "＝1+1", "  =1",
    "../../etc/passwd", "file:///etc/passwd", "http://169.254.169.254/", "\r\nSet-Cookie: a=b", "a\r\n\r\nb",
    "\u202egnp.exe", "\u2066abc\u2069", "\u200b", "\ufeff", "مرحبا", "שלום", "日本語", "👩‍👩‍👧‍👦", "Z̷̢a̸l̶g̴o̵", "e\u0301", "ﷺ", "\u2028", "\u0085",
    "\x01", "\x07", "\x08", "\x1b[31m", "\x7f", "\x9b", "\ufffe", "\uffff", "\U0010ffff", "\x00", "a\x00b", "\ud800", "\udfff\ud800",
    "[x](javascript:alert(1))", "**bold**", "$\\frac{1}{2}$", ":material/delete:", "| a | b |", "a,b;c\td", "\"\"\"", "''", "`",
]  # fmt: skip
_CALM = random.Random(1)  # noqa: S311 - the same texts each time


def hostile() -> list[str]:
    """500 of them: each alone, and mixed with one another."""
    found = list(SEEDS)
    while len(found) < 497:
        found.append(
            "".join(_CALM.choice(SEEDS) + _CALM.choice(["", " ", "x", "\n"]) for _ in range(_CALM.randint(2, 5)))
        )
    return [*found, "x" * 1_000_000, "<" * 1_000_000, "\u202e" * 300_000]


def send(client: TestClient, path: str, body: Any, headers: dict[str, str]) -> Any:
    """As JSON whose texts may be anything: halves of characters too."""
    content = json.dumps(body).encode()
    return client.post(f"/api{path}", content=content, headers=headers | {"content-type": "application/json"})


def unusable(text: str) -> bool:
    return "\x00" in text or len(text) > 200 or any("\ud800" <= sign <= "\udfff" for sign in text)


def test_texts_of_a_deal_stay_texts(client: TestClient, company: Company, as_person: AsPerson) -> None:
    """Each of the seeds alone; what is mixed of them goes through the request of many, below."""
    ada = as_person("ada")
    kept: list[str] = []
    for text in [*SEEDS, *hostile()[-3:]]:
        fields = dict.fromkeys(("name", "account", "type", "product", "segment"), text)
        answer = send(client, "/sales/deals", new_deal(company, **fields), ada)
        if answer.status_code == 201:
            assert {answer.json()[name] for name in fields} == {text}
            kept.append(text)
        else:
            assert_problem(answer, answer.status_code)
            assert answer.status_code in (413, 422)
            assert len(answer.content) < 3000
        assert (answer.status_code != 201) == (unusable(text) or not text.strip()), ascii(text[:80])
    assert len(kept) > 60
    listed: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = client.get(f"/api/sales/deals?limit=500&cursor={cursor}", headers=ada).json()
        listed += [deal["name"] for deal in page["items"] if deal["source"] == "manual"]
        cursor = page["next_cursor"]
    assert sorted(listed) == sorted(kept)
    # In files nothing runs: a spreadsheet takes none of it for a formula, and no cell breaks out of its row.
    rows = list(
        deals.export_deals(company.db, company.actors["ada"], deals.DealFilters(), deals.Page(), date(2026, 11, 24))
    )
    headers = deals.export_headers([])
    plain = list(csv.reader(io.StringIO(sheets.to_csv(headers, rows).decode("utf-8-sig"), newline="")))
    assert len(plain) == 1 + len(kept) + 3
    assert {len(row) for row in plain} == {len(headers)}
    for row in plain[1:]:
        assert not row[2].lstrip().startswith(("=", "+", "-", "@", "＝")) or row[2].lstrip("+-").isdecimal(), row[2]
    book = load_workbook(io.BytesIO(sheets.to_xlsx(headers, rows, "Deals")))
    for cells in book.active.iter_rows(min_row=2):
        assert all(cell.data_type != "f" for cell in cells)
    entries = list(audit_log.export_entries(company.db, company.actors["ada"], audit_log.AuditFilters()))
    assert len(entries) == len(kept)


def test_texts_everywhere_else(client: TestClient, company: Company, as_person: AsPerson) -> None:
    """Every field gets many of the texts, and every text goes into half of the bodies and a part of the addresses."""
    ada = as_person("ada")
    bodies: list[tuple[str, Callable[[str], Any]]] = [
        ("/auth/login", lambda text: {"email": text, "password": text}),
        ("/sales/activities", lambda text: {"kind": "call", "subject": text, "account": text, "details": text}),
        ("/sales/activities", lambda text: {"kind": text, "subject": "x", "happened_at": text, "due_on": text}),
        ("/sales/deals", lambda text: new_deal(company, extra={text: text})),
        ("/sales/deals", lambda text: new_deal(company, currency=text, close_date=text)),
        ("/sales/deals", lambda text: {text: text}),
        ("/commissions/calculate", lambda text: {"period": text}),
        ("/commissions/payouts/2026-03/approve", lambda text: {"version": text}),
    ]
    for number, text in enumerate([*SEEDS, "x" * 1_000_000]):
        for path, body in bodies[number % 2 :: 2]:
            answer = send(client, path, body(text), ada)
            assert answer.status_code in (201, 401, 422, 429), (path, ascii(text[:80]), answer.text[:300])
            if answer.status_code >= 400:
                assert_problem(answer, answer.status_code)
    # In addresses and headers, as far as a client can send them at all.
    others = [
        (path, name)
        for path in ("/sales/activities", "/commissions/commissions", "/commissions/statements", "/sales/quotas")
        for name in ("text", "cursor", "period", "component", "kind")
    ]
    for number, text in enumerate(text for text in SEEDS if not any("\ud800" <= sign <= "\udfff" for sign in text)):
        for name in (("text", "owner_id", "outcome"), ("closed_from", "cursor", "limit"))[number % 2]:
            answer = client.get("/api/sales/deals", params={name: text}, headers=ada)
            assert answer.status_code in (200, 422), (name, ascii(text), answer.text)
        for path, name in others[number % 5 :: 5]:
            answer = client.get(f"/api{path}", params={name: text}, headers=ada)
            assert answer.status_code in (200, 422), (path, name, ascii(text), answer.text)
        if text.isascii() and text.isprintable() and number % 3 == 0:
            note = {"kind": "note", "subject": "x"}
            answer = client.post("/api/sales/activities", json=note, headers=ada | {"Idempotency-Key": text})
            assert answer.status_code in (201, 422), ascii(text)


def test_texts_in_bulk(client: TestClient, company: Company, as_person: AsPerson) -> None:
    ada = as_person("ada")
    for number, text in enumerate(SEEDS):
        if number % 4 == 0:
            name = ("owner", "stage", "currency")[number % 3]
            other = send(client, "/sales/deals/bulk", {"source": "crm", "deals": [sent("a", **{name: text})]}, ada)
            assert_problem(other, 422)
        if unusable(text) or not text.strip():
            row = sent(text, name=text, account=text, type=text, product=text)
            answer = send(client, "/sales/deals/bulk", {"source": "crm", "deals": [row, sent("calm")]}, ada)
            if answer.status_code != 200:
                assert_problem(answer, 422)
    # The others, alone and mixed, all at once: each is the id, and every text, of one deal.
    usable = sorted({text for text in hostile() if one_line(text) and not unusable(text)})
    assert len(usable) > 300
    rows = [sent(f"{n} {text}", name=text, account=text, type=text, product=text) for n, text in enumerate(usable)]
    answer = send(client, "/sales/deals/bulk", {"source": "hostile", "deals": rows}, ada)
    assert answer.status_code == 200, answer.text[:2000]
    names: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = client.get(f"/api/sales/deals?limit=500&cursor={cursor}", headers=ada).json()
        names += [deal["name"] for deal in page["items"] if deal["source"] == "hostile"]
        cursor = page["next_cursor"]
    missing = {one_line(text) for text in usable} - {one_line(name) for name in names}
    assert not missing, [ascii(text) for text in sorted(missing)[:20]]


@pytest.mark.parametrize("path", ["/api/docs", "/api/openapi.json"])
def test_the_description_holds_nothing_of_anybody(client: TestClient, company: Company, path: str) -> None:
    text = client.get(path).text
    for name in company.users:
        assert f"{name}@" not in text
    assert api.openapi()["info"]["title"] in text

"""A statement in a real browser: read a line's working, take the PDF home, look at it on a phone."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.driving import PHONE, Server, settle, shot, sign_in
from tests.pdf import pdf_text

pytestmark = pytest.mark.browser

ADMIN, REP, PASSWORD = "sofia.marin@northwind.example", "ben.okafor@northwind.example", "northwind-demo"


def figure(page: Page, label: str) -> str:
    """What the card of that label says."""
    card = page.get_by_test_id("stMetric").filter(has=page.get_by_text(label, exact=True))
    return card.get_by_test_id("stMetricValue").inner_text()


def test_a_statement_is_read_and_taken_home(demo: Server, new_page: Callable[..., Page], tmp_path: Path) -> None:
    page = new_page()

    # The rep opens the statement of a paid month and a line's working.
    sign_in(page, f"{demo.url}/earnings?period=2026-09", REP, PASSWORD)
    page.get_by_test_id("stButtonGroup").get_by_text("Statement", exact=True).click()
    settle(page)
    expect(page.get_by_text("Ben Okafor, September 2026")).to_be_visible()
    earned = figure(page, "Earned")
    lines = page.get_by_test_id("stDataFrame").nth(1)
    lines.scroll_into_view_if_needed()
    expect(lines.locator("canvas").first).to_be_visible()
    settle(page)
    lines.locator(".dvn-scroller").click(position={"x": 18, "y": 35 + 18})
    settle(page)
    expect(page.get_by_text("was worked out:")).to_be_visible()
    expect(page.get_by_text("Plan enterprise-ae, version of 2026-01-01").first).to_be_visible()
    shot(page, "statement")

    # The PDF holds the same total, and is the same file the second time.
    def download() -> bytes:
        with page.expect_download() as waiting:
            page.get_by_role("button", name="PDF").click()
        path = tmp_path / "statement.pdf"
        waiting.value.save_as(path)
        assert waiting.value.suggested_filename == "statement-2026-09-ben.okafor.pdf"
        return path.read_bytes()

    pdf = download()
    assert pdf.startswith(b"%PDF-")
    assert f"{earned.removeprefix('$')} USD" in pdf_text(pdf)
    assert download() == pdf

    # Finance has everyone's of the month as one ZIP.
    desk = new_page()
    sign_in(desk, f"{demo.url}/earnings?period=2026-09&view=statements", ADMIN, PASSWORD)
    desk.get_by_role("button", name=re.compile("^Write all")).click()
    expect(desk.get_by_role("button", name="All PDFs (ZIP)")).to_be_visible()
    settle(desk)
    shot(desk, "statements")
    with desk.expect_download() as waiting:
        desk.get_by_role("button", name="All PDFs (ZIP)").click()
    assert Path(waiting.value.path()).read_bytes().startswith(b"PK")

    phone = new_page(PHONE, "dark")
    sign_in(phone, f"{demo.url}/earnings?period=2026-10&view=statement", REP, PASSWORD)
    expect(phone.get_by_text("PROVISIONAL")).to_be_visible()
    shot(phone, "statement-390")

"""The year's quotas come from a spreadsheet: pasted, looked at, saved, and there after a reload."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.driving import PHONE, Server, settle, shot, sign_in

pytestmark = pytest.mark.browser

ADMIN, REP, PASSWORD = "sofia.marin@northwind.example", "ben.okafor@northwind.example", "northwind-demo"


def row(page: Page, text: str) -> list[str]:
    """The first two figures of the grid's row with that text: drawn on a canvas, with a hidden twin for readers."""
    found = page.get_by_test_id("stDataFrame").first.locator("tr").filter(has_text=text)
    expect(found).to_have_count(1)
    return found.locator("td").all_text_contents()[2:4]


def pasted(page: Page, text: str) -> None:
    """Open the tool and put the rows in its box."""
    page.get_by_role("button", name="Paste", exact=True).click()
    box = page.get_by_label("Copied rows")
    box.fill(text)
    box.press("Control+Enter")
    settle(page)


def test_quotas_from_a_spreadsheet(demo: Server, new_page: Callable[..., Page]) -> None:
    page = new_page()
    sign_in(page, f"{demo.url}/quotas?year=2028", ADMIN, PASSWORD)
    assert row(page, "Ben Okafor") == ["", ""]

    # Rows as they come from a spreadsheet: one cell is wrong, so nothing can be saved by accident.
    rows = "Rep\tQ1\tQ2 2028\tTotal\nBen Okafor\t$310,000\t1.320.000,00\t\nana.torres\t300,000.50\tlots\t\n"
    pasted(page, rows)
    expect(page.get_by_text("2 cells cannot be used")).to_be_visible()
    expect(page.get_by_role("button", name="Save 2 quotas")).to_be_disabled()
    shot(page, "quotas-paste-problems")
    page.get_by_label("Copied rows").fill(rows.replace("lots", "-").replace("1.320.000,00", "1,320,000"))
    page.get_by_label("Copied rows").press("Control+Enter")
    settle(page)
    expect(page.get_by_text("3 quotas of 2 people would change.")).to_be_visible()
    shot(page, "quotas-paste")
    page.get_by_role("button", name="Save 3 quotas").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    settle(page)

    # After a reload the figures stand.
    page.reload()
    settle(page)
    assert row(page, "Ben Okafor") == ["310000", "1320000"]
    assert row(page, "Ana Torres") == ["300000.5", ""]

    # Cells can be pasted straight into the grid, too.
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=demo.url)
    page.evaluate("navigator.clipboard.writeText('70000\\t80,000.25')")
    table = page.get_by_test_id("stDataFrame").first
    width = (table.bounding_box() or {"width": 0})["width"]
    table.locator(".dvn-scroller").click(position={"x": width * 0.4, "y": 35 * 1 + 18})
    page.keyboard.press("Control+V")
    settle(page)
    page.get_by_role("button", name="Save 2 changes").click()
    settle(page)
    page.reload()
    settle(page)
    assert row(page, "Tom Becker") == ["70000", "80000.25"]
    shot(page, "quotas")

    # The rep sees the own quota on a phone, and no tool.
    phone = new_page(PHONE)
    sign_in(phone, f"{demo.url}/quotas?year=2028", REP, PASSWORD)
    assert row(phone, "Ben Okafor") == ["310000", "1320000"]
    expect(phone.get_by_text("Ana Torres")).to_have_count(0)
    expect(phone.get_by_role("button", name="Paste", exact=True)).to_have_count(0)
    shot(phone, "quotas-390")

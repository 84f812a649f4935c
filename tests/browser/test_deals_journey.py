"""Deals corrected in a browser: a bulk edit looked at, applied and undone; a split set on a deal."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.driving import Server, settle, shot, sign_in

pytestmark = pytest.mark.browser

ADMIN, PASSWORD = "sofia.marin@northwind.example", "northwind-demo"


def figure(page: Page, label: str) -> str:
    """What the card whose label begins so says."""
    card = page.get_by_test_id("stMetric").filter(has_text=label)
    return card.first.get_by_test_id("stMetricValue").inner_text()


def click_row(page: Page, row: int, x: int) -> None:
    """Click into a row (from 0) of the page's first table, which is drawn on a canvas."""
    table = page.get_by_test_id("stDataFrame").first
    table.locator(".dvn-scroller").click(position={"x": x, "y": 35 * (row + 1) + 18})
    settle(page)


def cell(page: Page, row: int, column: int) -> str:
    """The text of a cell of the first table in the open dialog, from the canvas's hidden twin for readers."""
    table = page.get_by_role("dialog").get_by_test_id("stDataFrame").first
    return table.locator(f"tr[aria-rowindex='{row + 2}'] td").nth(column).inner_text()


def choose(page: Page, label: str, option: str) -> None:
    """Choose from a list in the open dialog."""
    page.get_by_role("dialog").get_by_label(label, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()
    settle(page)


def test_a_bulk_edit_is_undone_and_a_split_is_set(own_demo: Server, new_page: Callable[..., Page]) -> None:
    page = new_page()
    sign_in(page, own_demo.url, ADMIN, PASSWORD)

    # Everything open that closes in November becomes won: look at it first.
    page.goto(f"{own_demo.url}/deals?show=Open&closing=November+2026")
    settle(page)
    count = figure(page, "Deals")
    assert 1 < int(count) < 200
    page.get_by_role("button", name="Change all").click()
    settle(page)
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Stage", exact=True).click()
    settle(page)
    choose(page, "Stage", "Closed Won")
    dialog.get_by_role("button", name="Preview").click()
    settle(page)
    expect(dialog.get_by_text(re.compile(rf"{count} deals change, and \d+ people's earnings, by"))).to_be_visible()
    assert cell(page, 0, 1) == "Stage"
    assert cell(page, 0, 3) == "Closed Won"
    page.get_by_role("tab", name="Earnings").click()
    settle(page)
    shot(page, "bulk-edit")

    # Apply it.
    dialog.get_by_role("button", name=f"Change {count} deals").click()
    expect(page.get_by_text(f"{count} deals changed").first).to_be_visible()
    settle(page)
    expect(page.get_by_text("No deal matches")).to_be_visible()

    # And undo it.
    page.get_by_role("button", name="More").click()
    page.get_by_text("Past edits", exact=True).click()
    settle(page)
    assert cell(page, 0, 3) == "Set Stage to Closed Won"
    dialog.get_by_test_id("stDataFrame").first.locator(".dvn-scroller").click(position={"x": 18, "y": 53})
    expect(dialog.get_by_text(f"{count} deals change")).to_be_visible()
    settle(page)
    shot(page, "bulk-undo")
    dialog.get_by_role("button", name=f"Undo {count} deals").click()
    expect(dialog).to_have_count(0)
    settle(page)
    assert figure(page, "Deals") == count

    # A split on a deal: its owner 60%, a colleague 50%, which is an overlay.
    page.goto(f"{own_demo.url}/deals?show=Won&closing=October+2026")
    settle(page)
    click_row(page, 0, 200)
    page.get_by_role("tab", name="Credits").click()
    settle(page)
    dialog.get_by_placeholder("40%").fill("60%")
    dialog.get_by_placeholder("40%").press("Enter")
    settle(page)
    expect(dialog.get_by_text("of the deal is credited to nobody")).to_be_visible()
    dialog.get_by_role("button", name="Add a person").click()
    settle(page)
    dialog.get_by_placeholder("Who shares in it").last.click()
    page.get_by_role("option", name="Farid Haddad", exact=True).click()
    settle(page)
    dialog.get_by_placeholder("40%").last.fill("50%")
    dialog.get_by_placeholder("40%").last.press("Enter")
    settle(page)
    expect(dialog.get_by_text("The shares come to 110%: an overlay, 10%")).to_be_visible()
    shot(page, "split")
    dialog.get_by_role("button", name="Save the credits").click()
    expect(page.get_by_text("The credits are saved").first).to_be_visible()
    expect(dialog).to_have_count(0)
    settle(page, 1000)
    click_row(page, 0, 200)
    expect(dialog).to_be_visible()
    page.get_by_role("tab", name="Details").click()
    settle(page)
    assert {cell(page, row, column) for row in range(2) for column in range(2)} >= {"60%", "50%", "Farid Haddad"}

    # It is in the history, with names.
    page.get_by_role("tab", name="History").click()
    settle(page)
    history = dialog.get_by_test_id("stDataFrame").filter(visible=True).first
    expect(history.locator("td").filter(has_text="Farid Haddad 50%")).to_have_count(1)
    shot(page, "split-history")

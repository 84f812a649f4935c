"""A rep looks ahead: ticks two deals and sees the pay move, then the outlook."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.driving import PHONE, Server, settle, shot, sign_in

pytestmark = pytest.mark.browser

REP, ADMIN, PASSWORD = "ben.okafor@northwind.example", "sofia.marin@northwind.example", "northwind-demo"


def pay(page: Page) -> int:
    """The first card, in cents."""
    text = page.get_by_test_id("stMetricValue").first.inner_text()
    return int(text.replace("$", "").replace(",", "").replace(".", ""))


def test_a_rep_ticks_deals_and_the_pay_moves(demo: Server, new_page: Callable[..., Page]) -> None:
    page = new_page()
    sign_in(page, f"{demo.url}/forecast?view=deals", REP, PASSWORD)
    expect(page.get_by_text("Nothing is ticked")).to_be_visible()
    before = pay(page)
    grid = page.locator(".dvn-scroller").last
    grid.click(position={"x": 35, "y": 35 + 18})
    settle(page)
    expect(page.get_by_text("Nothing is ticked")).to_have_count(0)
    one = pay(page)
    grid.click(position={"x": 35, "y": 2 * 35 + 18})
    settle(page)
    two = pay(page)
    assert before < one < two
    shot(page, "forecast-deals")

    # The same on a phone, and the outlook with its three ways.
    phone = new_page(PHONE)
    sign_in(phone, f"{demo.url}/forecast?ahead=1&measure=pay", REP, PASSWORD)
    expect(phone.get_by_text("Each person, Q4 2026")).to_be_visible()
    settle(phone)
    assert pay(phone) == round(before / 100)  # what is certain, in whole dollars
    shot(phone, "forecast-390")

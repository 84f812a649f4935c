"""A slider moves and the company's figures move; the address of what was kept opens the same variant elsewhere."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.driving import PHONE, Server, settle, shot, sign_in

pytestmark = pytest.mark.browser

ADMIN, FINANCE, PASSWORD = "sofia.marin@northwind.example", "felix.grant@northwind.example", "northwind-demo"


def card(page: Page, label: str) -> Locator:
    """The card with that label."""
    return page.get_by_test_id("stMetric").filter(has_text=label)


def test_a_slider_reprices_the_year_and_a_link_shares_it(demo: Server, new_page: Callable[..., Page]) -> None:
    page = new_page()
    sign_in(page, f"{demo.url}/whatif?plan=enterprise-ae", ADMIN, PASSWORD)
    settle(page)
    official = card(page, "Cost").get_by_test_id("stMetricValue").inner_text()
    expect(card(page, "Get more / get less")).to_contain_text("0 / 0")

    # The second rate, five steps as fast as the arrow key goes: each counts, and it stays under the hand.
    slider = page.get_by_test_id("stSlider").filter(has_text="Tier 2: rate from 100%").get_by_role("slider")
    exact = page.get_by_label("Tier 2: rate from 100% (%), exact, New business and expansion")
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", "12.5%")
    settle(page)  # the figures of before and of now stand side by side for a moment
    expect(exact).to_have_value("12.5")
    expect(slider).to_have_attribute("aria-valuetext", "12.5%")
    expect(slider).to_be_focused()
    expect(card(page, "Cost").get_by_test_id("stMetricDelta")).to_be_visible(timeout=30_000)
    settle(page)
    expect(card(page, "Get more / get less")).not_to_contain_text("0 / 0")
    steeper = card(page, "Cost").inner_text()
    assert official not in steeper
    # The figures are those of the last step: the exact field gives the same.
    exact.fill("12.6")
    exact.press("Enter")
    expect(card(page, "Cost")).not_to_have_text(steeper)
    exact.fill("12.5")
    exact.press("Enter")
    expect(slider).to_have_attribute("aria-valuetext", "12.5%")
    settle(page)
    assert card(page, "Cost").inner_text() == steeper
    shot(page, "whatif")

    # Kept under a name, the address opens the same variant for finance, on a phone.
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("dialog").get_by_label("Name").fill("A steeper accelerator")
    page.get_by_role("dialog").get_by_label("Name").press("Enter")
    settle(page)
    page.get_by_role("dialog").get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    settle(page)
    assert "scenario=1" in page.url
    phone = new_page(PHONE)
    sign_in(phone, page.url, FINANCE, PASSWORD)
    settle(phone)
    assert card(phone, "Cost").inner_text() == steeper
    expect(phone.get_by_label("Tier 2: rate from 100% (%), exact, New business and expansion")).to_have_value("12.5")
    expect(phone.get_by_role("button", name="Make a draft")).to_have_count(0)
    shot(phone, "whatif-390")

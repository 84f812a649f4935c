"""From a chart to the deals behind a bar, and a chart as a picture."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.driving import Server, settle, shot, sign_in
from tests.browser.test_deals_journey import ADMIN, PASSWORD, figure

pytestmark = pytest.mark.browser


def test_a_bar_opens_the_deals_behind_it(demo: Server, new_page: Callable[..., Page]) -> None:
    page = new_page()
    sign_in(page, demo.url, ADMIN, PASSWORD)
    page.goto(f"{demo.url}/pipeline")
    settle(page)
    shot(page, "pipeline")

    # The chart as a picture, named by what it shows.
    page.get_by_role("button", name="Table and files").first.click()
    settle(page)
    with page.expect_download() as started:
        page.get_by_role("button", name="PNG", exact=True).click()
    assert started.value.suggested_filename == "open-by-stage-2026-q4.png"
    assert Path(started.value.path()).read_bytes().startswith(b"\x89PNG")
    page.keyboard.press("Escape")
    settle(page)

    # The bar of the first stage, and its deals.
    chart = page.get_by_test_id("stVegaLiteChart").first
    box = chart.bounding_box()
    assert box is not None
    chart.click(position={"x": box["width"] * 0.35, "y": 28})
    expect(page).to_have_url(re.compile(r"/deals\?.*deal_stages=Prospecting"))
    settle(page)
    assert int(figure(page, "Deals").replace(",", "")) > 1
    assert "show=Open" in page.url
    shot(page, "deals-behind-a-bar")

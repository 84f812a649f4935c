"""A large file with a wrong column: its progress, the correction, the import, and the way back."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.benchmarks.imports import export_lines
from tests.browser.driving import Server, settle, shot, sign_in

pytestmark = pytest.mark.browser

ADMIN, PASSWORD = "sofia.marin@northwind.example", "northwind-demo"
OWNERS = ("Ana Torres", "Ben Okafor", "Carla Jensen", "Dmitri Volkov")
ROWS = 40_000
PATIENCE = 120_000  # milliseconds


def export(path: Path) -> Path:
    """A file of 8 MB in which the column called Amount holds no amounts: they are in ACV."""
    header, *rows = export_lines(ROWS, OWNERS)
    header = header.replace('"Amount"', '"ACV"').replace('"Lead Source"', '"Amount"')
    path.write_text("".join([header, *rows]), encoding="utf-8")
    return path


def figures(page: Page) -> dict[str, str]:
    """What the cards say."""
    expect(page.get_by_test_id("stMetric")).to_have_count(4, timeout=PATIENCE)
    settle(page)
    cards = page.get_by_test_id("stMetric").all()
    return {
        card.get_by_test_id("stMetricLabel").inner_text(): card.get_by_test_id("stMetricValue").inner_text()
        for card in cards
    }


def choose(page: Page, label: str, option: str) -> None:
    box = page.get_by_role("combobox", name=label)
    box.click()
    box.fill(option)
    page.get_by_role("option", name=option, exact=True).click()


def test_a_wrong_column_is_corrected_and_the_import_undone(
    own_demo: Server, new_page: Callable[..., Page], tmp_path: Path
) -> None:
    page = new_page()
    sign_in(page, own_demo.url, ADMIN, PASSWORD)

    # The file is checked by a job; the page shows how far it is, and may be left meanwhile.
    page.goto(f"{own_demo.url}/upload")
    settle(page)
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(export(tmp_path / "opportunities.csv"))
    expect(page.get_by_test_id("stProgress")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("the work goes on")).to_be_visible()
    shot(page, "import-progress")
    page.goto(f"{own_demo.url}/deals")
    settle(page)
    page.goto(f"{own_demo.url}/upload")
    assert figures(page)["Refused"] == f"{ROWS:,}"
    expect(page.get_by_text("Every row is refused")).to_be_visible()
    shot(page, "import-wrong-column")

    # The amounts are in another column.
    page.get_by_text("Columns", exact=True).click()
    settle(page)
    choose(page, "Amount *", "ACV")
    page.get_by_role("button", name="Use these columns").click()
    expect(page.get_by_role("button", name=f"Import {ROWS:,} deals")).to_be_visible(timeout=PATIENCE)
    assert figures(page) == {"Added": f"{ROWS:,}", "Changed": "0", "Left alone": "0", "Refused": "0"}
    page.get_by_role("tab", name="Earnings").click()
    settle(page)
    expect(page.get_by_text("The differences in them are posted in the next open period")).to_be_visible()
    shot(page, "import-earnings")

    page.get_by_role("button", name=f"Import {ROWS:,} deals").click()
    expect(page.get_by_text("The file is imported")).to_be_visible(timeout=PATIENCE)
    assert figures(page)["Added"] == f"{ROWS:,}"

    # It was the wrong file: back to what was.
    settle(page)
    table = page.get_by_test_id("stDataFrame").first
    table.scroll_into_view_if_needed()
    table.locator(".dvn-scroller").click(position={"x": 18, "y": 53})
    settle(page)
    page.get_by_role("button", name="Undo this import").click()
    expect(page.get_by_text(f"{ROWS:,} deals that it added will be deleted")).to_be_visible()
    shot(page, "import-undo")
    page.get_by_role("button", name="Undo it").click()
    expect(page.get_by_text("Undone on")).to_be_visible(timeout=PATIENCE)
    settle(page)
    shot(page, "import-undone")

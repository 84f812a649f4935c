"""The main job, end to end: demo company, a Salesforce export, the month's run, and the reason for each cent."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.driving import PHONE, ROOT, Server, load_demo, settle, shot, sign_in

pytestmark = pytest.mark.browser

ADMIN, REP, PASSWORD = "sofia.marin@northwind.example", "ben.okafor@northwind.example", "northwind-demo"
SAMPLE = ROOT / "data" / "samples" / "salesforce_opportunities.csv"
UPLOADED = "Ivory Insurance - Sorter Cell"  # a deal of the sample that Ben Okafor won in October


def figure(page: Page, label: str) -> str:
    """What the card of that label says."""
    card = page.get_by_test_id("stMetric").filter(has=page.get_by_text(label, exact=True))
    return card.get_by_test_id("stMetricValue").inner_text()


def upload(page: Page, url: str) -> tuple[str, ...]:
    """Give the sample to the upload page; what it would add, change, leave alone and refuse."""
    page.goto(f"{url}/upload")
    settle(page)
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(SAMPLE)
    expect(page.get_by_test_id("stMetric")).to_have_count(4)
    settle(page)
    return tuple(figure(page, label) for label in ("Added", "Changed", "Left alone", "Refused"))


def choose_row(page: Page, text: str) -> None:
    """Choose the row with that text in the page's first table: drawn on a canvas, with a hidden twin for readers."""
    table = page.get_by_test_id("stDataFrame").first
    table.scroll_into_view_if_needed()
    cell = table.locator("td").filter(has_text=text).first
    row = int(cell.evaluate("cell => cell.closest('tr').getAttribute('aria-rowindex')"))  # the header is row 1
    table.locator(".dvn-scroller").click(position={"x": 18, "y": 35 * (row - 1) + 18})
    settle(page)


def ben(page: Page, url: str) -> str:
    """What Ben earned in October, on the page of his earnings."""
    page.goto(f"{url}/earnings?period=2026-10&person=ben.okafor")
    settle(page)
    expect(page.get_by_label("Person", exact=True)).to_have_value("Ben Okafor")
    return figure(page, "Earned")


def test_main_job(start_server: Callable[..., Server], new_page: Callable[..., Page]) -> None:
    server = start_server(QUOTAPATH_TODAY="2026-11-22")
    page = new_page()

    # An empty database: look at the demo company.
    load_demo(page, server.url)
    shot(page, "demo-sign-in")

    # Sales ops uploads the CRM's export.
    sign_in(page, server.url, ADMIN, PASSWORD)
    assert upload(page, server.url) == ("117", "0", "0", "3")
    shot(page, "upload")
    page.get_by_text("Import the 117 good rows").click()
    settle(page)
    page.get_by_role("button", name="Import 117 deals").click()
    expect(page.get_by_text("The file is imported")).to_be_visible()
    settle(page)
    shot(page, "uploaded")
    assert upload(page, server.url) == ("0", "0", "117", "3")  # the same file again changes nothing

    # Runs the month: sees what would change, and keeps it.
    before = ben(page, server.url)
    page.goto(f"{server.url}/runs?period=2026-10")
    settle(page)
    expect(page.get_by_text("October 2026 is out of date")).to_be_visible()
    page.get_by_role("button", name="See what would change").click()
    expect(page.get_by_text("What would change in October 2026 for everyone")).to_be_visible()
    settle(page)
    shot(page, "run-preview")
    page.get_by_role("button", name="Keep it").click()
    settle(page)
    expect(page.get_by_test_id("stProgress")).to_have_count(0, timeout=120_000)
    expect(page.get_by_text("Calculated in")).to_be_visible()
    expect(page.get_by_text("October 2026 is out of date")).to_have_count(0)
    expect(page.get_by_role("button", name="Keep it")).to_have_count(0)
    settle(page)
    shot(page, "run")

    # Opens a rep's line of an uploaded deal and reads why.
    total = ben(page, server.url)
    assert re.fullmatch(r"\$[\d,]+\.\d\d", total)
    assert total != before
    choose_row(page, UPLOADED)
    expect(page.get_by_text("was worked out").first).to_be_visible()
    expect(page.get_by_text("Plan enterprise-ae, version of 2026-01-01")).to_be_visible()
    shot(page, "explanation")

    # The rep, on a phone, sees the same total and no one else.
    phone = new_page(PHONE)
    sign_in(phone, f"{server.url}/earnings?period=2026-10", REP, PASSWORD)
    assert figure(phone, "Earned") == total
    expect(phone.get_by_test_id("stSelectbox")).to_have_count(1)  # the period; there is no person to choose
    shot(phone, "rep-earnings-390")
    phone.goto(f"{server.url}/earnings?period=2026-10&person=ana.torres")
    settle(phone)
    assert figure(phone, "Earned") == total
    expect(phone.get_by_text("Ana Torres")).to_have_count(0)
    for closed in ("runs", "payouts", "people", "upload", "status"):
        phone.goto(f"{server.url}/{closed}")
        settle(phone)
        expect(phone.get_by_text("You have no access to this page")).to_be_visible()
    shot(phone, "rep-no-access-390")
    deals = phone.request.get(f"{server.url}/api/sales/deals?limit=500").json()
    assert deals["total"] > 0
    own = [deal for deal in deals["items"] if deal["owner"] == "Ben Okafor"]
    assert len(own) > len(deals["items"]) / 2  # the rest are shared with Ben

    # Reports a missing deal, with a finger that presses twice.
    phone.goto(f"{server.url}/disputes")
    settle(phone)
    phone.get_by_role("button", name="A deal is missing").click()
    settle(phone)
    phone.get_by_label("Which deal?").fill("NW-99999 Harbor Freight")
    phone.get_by_label("What is wrong?").fill("Signed on 30 October")
    phone.get_by_role("button", name="Send").dblclick()
    settle(phone)
    expect(phone.get_by_text("1 open")).to_be_visible()
    shot(phone, "rep-dispute-390")

    # Sales ops answers it, approves October, pays it, and takes one payment back: each pressed twice, done once.
    page.goto(f"{server.url}/disputes?dispute=1")
    settle(page)
    page.get_by_label("Your message").fill("Which contract is it?")
    page.get_by_role("button", name="Send").dblclick()
    settle(page)
    expect(page.get_by_text("Which contract is it?")).to_have_count(1)
    shot(page, "dispute")
    page.goto(f"{server.url}/payouts?period=2026-10&view=changes")
    settle(page)
    expect(page.get_by_text("People affected")).to_be_visible()
    shot(page, "discrepancies")
    for button, sure in (("Approve October 2026", "Approve"), ("Mark October 2026 as paid", "Mark as paid")):
        page.get_by_role("button", name=button).click()
        settle(page)
        page.get_by_role("button", name=sure, exact=True).dblclick()
        settle(page)
    paid = figure(page, "Paid")
    page.get_by_role("button", name="Take payments back").click()
    settle(page)
    page.get_by_role("textbox", name="Why", exact=True).fill("The bank file was refused")
    page.get_by_role("button", name=re.compile("Take back [0-9]+ payments")).dblclick()
    settle(page)
    assert figure(page, "Taken back") == paid
    shot(page, "taken-back")

"""First start, sign-in, navigation, sign-out: in a real browser, on a server of its own."""

import re
import signal
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Cookie, Page, expect

from app.navigation import CATALOG
from engine.db.database import Database
from engine.db.server import embedded_server
from engine.services import setup
from engine.services.setup import FirstAdmin
from tests.browser.driving import PHONE, WIDE, Server, settle, shot, sign_in

pytestmark = pytest.mark.browser

EMAIL, PASSWORD = "ann@example.com", "correct horse"


@pytest.fixture(scope="module")
def server(start_server: Callable[..., Server]) -> Server:
    """A server whose first start is over: Ann is its admin."""
    started = start_server()
    with embedded_server(started.log.parent / "home") as url:
        db = Database(url)
        setup.create_first_admin(db, FirstAdmin("Acme", "USD", "Ann Admin", EMAIL, PASSWORD, PASSWORD))
        db.close()
    return started


def menu(page: Page) -> None:
    """Open the user's menu; on a phone it is behind the sidebar's button."""
    expand = page.get_by_test_id("stExpandSidebarButton")
    if expand.is_visible():
        expand.click()
        settle(page)
    page.get_by_test_id("stSidebar").get_by_test_id("stPopoverButton").click()
    settle(page)


def cookie_of(page: Page) -> Cookie:
    """The session's cookie in the page's browser."""
    return next(cookie for cookie in page.context.cookies() if cookie["name"] == "quotapath_session")


def status(page: Page, url: str, cookie: str) -> int:
    """What the server answers to a bare request with a copy of the cookie."""
    return page.request.get(url, headers={"Cookie": f"quotapath_session={cookie}"}).status


def test_first_start_creates_the_admin_and_lets_in(
    start_server: Callable[..., Server], new_page: Callable[..., Page]
) -> None:
    server = start_server()
    page = new_page()
    page.goto(f"{server.url}/plans")
    settle(page)
    shot(page, "first-start")
    page.get_by_role("button", name="Create the company").click()
    settle(page)
    expect(page.get_by_text("Use at least 10.")).to_be_visible()
    for label, value in (
        ("Company name", "Acme"),
        ("Your name", "Ann Admin"),
        ("E-mail", EMAIL),
        ("Password", PASSWORD),
        ("Password again", PASSWORD),
    ):
        page.get_by_label(label, exact=True).fill(value)
    page.get_by_role("button", name="Create the company").click()
    expect(page.get_by_role("heading", name="Plans", exact=True)).to_be_visible()
    assert page.url.split("?")[0] == f"{server.url}/plans"
    cookie = cookie_of(page)
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Lax"
    assert "quotapath_session" not in page.evaluate("document.cookie")


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_deep_link_reload_and_sign_out(server: Server, new_page: Callable[..., Page], size: tuple[int, int]) -> None:
    page = new_page(size)
    sign_in(page, f"{server.url}/runs", EMAIL, PASSWORD)
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    shot(page, f"runs-{size[0]}")
    page.reload()
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    other_tab = page.context.new_page()
    other_tab.goto(server.url)
    expect(other_tab.get_by_role("heading", name="Dashboard", exact=True)).to_be_visible()
    settle(other_tab)
    shot(other_tab, f"dashboard-{size[0]}")
    stolen = cookie_of(page)["value"]
    assert status(page, f"{server.url}/api/auth/me", stolen) == 200
    menu(page)
    shot(page, f"menu-{size[0]}")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Password", exact=True)).to_be_visible()
    settle(page)
    shot(page, f"sign-in-{size[0]}")
    # A copy of the cookie is worth nothing, and the other tab notices at its next step.
    assert status(page, f"{server.url}/api/auth/me", stolen) == 401
    menu(other_tab)
    other_tab.get_by_role("radio", name=re.compile("Dark")).click()
    expect(other_tab.get_by_label("Password", exact=True)).to_be_visible()


def test_navigation_goes_to_every_page(server: Server, new_page: Callable[..., Page]) -> None:
    page = new_page()
    sign_in(page, server.url, EMAIL, PASSWORD)
    names = page.get_by_test_id("stSidebarNavLink").all_inner_texts()
    assert len(names) == len(CATALOG)
    for number in range(len(names)):
        page.get_by_test_id("stSidebarNavLink").nth(number).click()
        settle(page)
        expect(page.get_by_test_id("stMain").locator("h1").first).to_be_visible()
        assert page.get_by_test_id("stException").count() == 0
        assert page.get_by_text("fault in the program").count() == 0


def test_dark_holds_on_every_page(server: Server, new_page: Callable[..., Page]) -> None:
    page = new_page()
    sign_in(page, server.url, EMAIL, PASSWORD)
    background = "getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"
    light = page.evaluate(background)
    menu(page)
    page.get_by_role("radio", name=re.compile("Dark")).click()
    page.wait_for_function(f"() => {background} !== {light!r}")
    settle(page)
    dark = page.evaluate(background)
    page.goto(f"{server.url}/plans")
    settle(page)
    assert page.evaluate(background) == dark
    shot(page, "plans-dark")


def test_wrong_passwords_lock_the_account(server: Server, new_page: Callable[..., Page]) -> None:
    page = new_page()
    page.goto(server.url)
    for wanted in ("4 more tries", "3 more", "2 more", "1 more try", "60 seconds", "Too many wrong passwords"):
        page.get_by_label("E-mail", exact=True).fill("stranger@example.com")
        page.get_by_label("Password", exact=True).fill("wrong password")
        page.get_by_test_id("stFormSubmitButton").get_by_role("button").click()
        expect(page.get_by_text(wanted)).to_be_visible()
        settle(page)
    shot(page, "locked")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_server_stops_cleanly(start_server: Callable[..., Server], new_page: Callable[..., Page], how) -> None:
    server = start_server()
    page = new_page()
    page.goto(server.url)  # an open websocket must not hold it up
    settle(page)
    assert server.stop(how) == 0
    log = server.log.read_text()
    assert "Traceback" not in log
    assert log.count("\n") == 1, log  # the one line with the address
    assert not (server.log.parent / "home" / "pg" / "data" / "postmaster.pid").exists()


def test_impatient_ctrl_c(start_server: Callable[..., Server]) -> None:
    server = start_server()
    for _ in range(3):
        server.process.send_signal(signal.SIGINT)
        time.sleep(0.1)
    assert server.process.wait(120) == 0
    assert server.log.read_text().count("\n") <= 1
    assert not (server.log.parent / "home" / "pg" / "data" / "postmaster.pid").exists()


def test_port_in_use(server: Server, start_server: Callable[..., Server]) -> None:
    with pytest.raises(AssertionError, match="Cannot listen on .* Address already in use"):
        start_server(PORT=server.url.rsplit(":", 1)[1])


def test_database_that_does_not_answer(start_server: Callable[..., Server]) -> None:
    with pytest.raises(AssertionError, match="Cannot connect to the database .*Check DATABASE_URL") as failure:
        start_server(DATABASE_URL="postgresql://ann:secret@127.0.0.1:1/sales")
    assert "secret" not in str(failure.value).split("process")[0]
    assert "Traceback" not in str(failure.value)

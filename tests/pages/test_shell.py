"""The frame: who sees which page, by the menu and by its address; the sign-in and first-start forms."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

from app import auth, state
from app.navigation import CATALOG, HOME
from engine.services import access, sign_in
from engine.services.access import PERMISSIONS

ROOT = Path(__file__).resolve().parents[2]
ONE_OF_EACH = ("ada", "finn", "mia", "rob")
NO_ACCESS = "You have no access to this page"


def texts(screen: AppTest) -> str:
    return " ".join(element.value for element in [*screen.title, *screen.markdown, *screen.caption, *screen.error])


# ---------------------------------------------------------------- the catalogue
def test_catalogue_and_folder_are_the_same() -> None:
    assert {entry.name for entry in CATALOG} == {path.stem for path in (ROOT / "pages").glob("*.py")}
    assert {entry.action for entry in CATALOG} <= set(PERMISSIONS)
    assert CATALOG[0].name == HOME
    # With an entry script beside pages/, Streamlit would run pages without it, and so without sign-in.
    assert not list(ROOT.glob("streamlit_app.py"))
    assert not (ROOT / "app" / "pages").exists()


@pytest.mark.parametrize("entry", CATALOG, ids=lambda entry: entry.name)
def test_page_first_asks_for_its_action(entry) -> None:
    """After the docstring and the imports, the first thing a page does is ``auth.require("<its action>")``."""
    body = ast.parse((ROOT / "pages" / f"{entry.name}.py").read_text()).body
    first = next(
        node
        for node in body
        if not isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef)
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        and not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant))
    )
    call = first.value if isinstance(first, ast.Assign | ast.Expr) else None
    assert isinstance(call, ast.Call), ast.unparse(first)
    assert ast.unparse(call) == f"auth.require({entry.action!r})"


@pytest.mark.parametrize("action", sorted(PERMISSIONS))
def test_permission_table_is_whole(action: str) -> None:
    assert set(PERMISSIONS[action]) == set(access.ROLES)


# ---------------------------------------------------------------- role x page: see also test_matrix
@pytest.mark.parametrize("person", ONE_OF_EACH)
def test_app_opens_on_the_dashboard(open_app: Callable[..., AppTest], person: str) -> None:
    screen = open_app(person)
    assert not screen.exception
    assert [title.value for title in screen.title] == ["Dashboard"]


@pytest.mark.parametrize("name", ["deals", "earnings"])
def test_app_goes_to_another_page(open_app: Callable[..., AppTest], name: str) -> None:
    screen = open_app("rob", name)
    assert not screen.exception
    assert NO_ACCESS not in texts(screen)


# ---------------------------------------------------------------- sign-in
def test_signed_out_there_is_only_the_form(open_app: Callable[..., AppTest]) -> None:
    screen = open_app()
    assert not screen.exception
    assert [field.label for field in screen.text_input] == ["E-mail", "Password"]
    assert not screen.title
    assert not screen.dataframe


def fill(screen: AppTest, email: str, password: str) -> AppTest:
    screen.text_input[0].set_value(email)
    screen.text_input[1].set_value(password)
    return screen.button[0].click().run()


@pytest.fixture
def rob_may_sign_in(company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in, "ROUNDS", 4)
    with company.db.write() as conn:
        conn.execute(
            sa.text("UPDATE users SET password_hash = :hash WHERE code = 'rob'"),
            {"hash": sign_in.hash_password("correct horse")},
        )


def script(screen: AppTest) -> str:
    return " ".join(element.proto.body for element in screen.get("html"))


@pytest.mark.usefixtures("rob_may_sign_in")
def test_right_password_sends_a_ticket_to_the_route(company, open_app: Callable[..., AppTest]) -> None:
    screen = fill(open_app(), "rob@example.com", "correct horse")
    assert not screen.exception
    assert not screen.error
    ticket = script(screen).split('data-ticket="')[1].split('"')[0]
    session = sign_in.redeem_ticket(company.db, ticket)
    assert session.user_id == company.people["rob"]


@pytest.mark.usefixtures("rob_may_sign_in")
def test_wrong_passwords_in_the_form(open_app: Callable[..., AppTest]) -> None:
    screen = open_app()
    for wanted in ("4 more tries", "3 more", "2 more", "1 more try", "60 seconds", "Too many"):
        screen = fill(screen, "rob@example.com", "wrong password")
        assert wanted in screen.error[0].value
        assert "data-ticket" not in script(screen)
    assert "Too many" in fill(screen, "rob@example.com", "correct horse").error[0].value


@pytest.mark.parametrize(("email", "password"), [("", ""), ("rob@example.com", ""), ("", "correct horse")])
def test_half_a_form(open_app: Callable[..., AppTest], email: str, password: str) -> None:
    screen = fill(open_app(), email, password)
    assert not screen.exception
    assert len(screen.error) == 1
    assert "data-ticket" not in script(screen)


def test_ended_session_falls_back_to_the_form(company, open_app: Callable[..., AppTest]) -> None:
    screen = open_app("rob")
    with company.db.write() as conn:
        sign_in.end_sessions(conn, company.people["rob"], "role changed")
    screen.run()
    assert not screen.title
    assert [field.label for field in screen.text_input] == ["E-mail", "Password"]


def test_sign_out_ends_the_session(company, open_app: Callable[..., AppTest]) -> None:
    screen = open_app("rob")
    token = auth.session_token()
    assert sign_in.session_actor(company.db, token) is not None
    screen.button(key="sign_out").click().run()
    assert sign_in.session_actor(company.db, token) is None
    assert [field.label for field in screen.text_input] == ["E-mail", "Password"]


def test_user_text_is_not_markup(company, open_app: Callable[..., AppTest]) -> None:
    with company.db.write() as conn:
        conn.execute(sa.text("UPDATE users SET name = '**<img src=x>** [a](http://x)' WHERE code = 'rob'"))
    screen = open_app("rob")
    assert not screen.exception
    assert r"\*\*\<img" in texts(screen)


# ---------------------------------------------------------------- first start
@pytest.fixture
def empty_app(database_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(auth, "session_token", lambda: None)
    monkeypatch.setattr(sign_in, "ROUNDS", 4)
    state.start(database_url)
    yield AppTest.from_file(ROOT / "app" / "main.py", default_timeout=20).run()
    state.stop()


def test_first_start_lists_every_problem(empty_app: AppTest) -> None:
    screen = empty_app.button[0].click().run()
    assert not screen.exception
    assert screen.error[0].value.count("\n") == 3  # company, name, e-mail, password


def test_first_start_creates_the_admin(empty_app: AppTest) -> None:
    fields = {field.label: field for field in empty_app.text_input}
    for label, value in (
        ("Company name", "Acme"),
        ("Your name", "Ann Admin"),
        ("E-mail", "ann@example.com"),
        ("Password", "correct horse"),
        ("Password again", "correct horse"),
    ):
        fields[label].set_value(value)
    screen = empty_app.button[0].click().run()
    assert not screen.exception
    assert not screen.error
    assert "data-ticket" in script(screen)
    assert sign_in.check_password(state.database(), "ann@example.com", "correct horse") == 1
    assert [field.label for field in screen.run().text_input] == ["E-mail", "Password"]


def test_two_browsers_at_the_first_start(empty_app: AppTest) -> None:
    with state.database().write() as conn:
        conn.execute(sa.text("INSERT INTO company (name, currency) VALUES ('First', 'EUR')"))
        conn.execute(sa.text("INSERT INTO users (code, name, email, role) VALUES ('x', 'X', 'x@example.com', 'admin')"))
    screen = empty_app.button[0].click().run()
    assert [field.label for field in screen.text_input] == ["E-mail", "Password"]


@pytest.mark.usefixtures("rob_may_sign_in")
def test_a_link_lets_a_person_choose_a_password(company, open_app: Callable[..., AppTest]) -> None:
    with company.db.write() as conn:
        secret = sign_in.give_link(conn, company.people["rob"])
    screen = open_app()
    screen.query_params["welcome"] = secret
    screen.run()
    assert [each.value for each in screen.subheader] == ["Welcome, Rob Rep"]
    password, again = screen.text_input
    password.set_value("herring umbrella")
    again.set_value("herring")
    screen.button[0].click().run()
    assert "not the same password" in screen.error[0].value
    screen.text_input[1].set_value("herring umbrella")
    screen.button[0].click().run()
    assert sign_in.check_password(company.db, "rob@example.com", "herring umbrella") == company.people["rob"]
    screen = open_app()
    screen.query_params["welcome"] = secret
    screen.run()
    assert [each.value for each in screen.subheader] == ["This link is worth nothing any more"]

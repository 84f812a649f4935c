"""A small company with one person of each role, and how to open a page as one of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa
import streamlit as st
from streamlit.testing.v1 import AppTest

from app import auth, state, widgets
from engine.db.database import Database
from engine.services import sign_in
from engine.services.access import Actor

ROOT = Path(__file__).resolve().parents[2]
TODAY = date(2026, 11, 22)
PEOPLE = {  # name -> role
    "Ada Admin": "admin",
    "Finn Finance": "finance",
    "Mia Manager": "manager",
    "Rob Rep": "rep",
    "Rea Rep": "rep",
    "Max Manager": "manager",  # leads the other team
    "Oda Other": "rep",  # in the other team
}


@dataclass(frozen=True)
class Company:
    """`people`: user id by first name in small letters ("ada", "finn", "mia", "rob", "rea", "max", "oda")."""

    db: Database
    people: dict[str, int]
    teams: dict[str, int]

    def actor(self, name: str) -> Actor:
        """The person as one who acts."""
        full = next(each for each in PEOPLE if each.lower().startswith(name))
        return Actor(self.people[name], PEOPLE[full], full, f"{name}@example.com")


@pytest.fixture
def company(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Company]:
    """Mia leads East (Rob, Rea), Max leads West (Oda); the clock stands at 2026-11-22; no deals, plans or runs."""
    monkeypatch.setenv("QUOTAPATH_TODAY", TODAY.isoformat())
    state.start(database_url)
    db = state.database()
    people: dict[str, int] = {}
    teams: dict[str, int] = {}
    with db.write() as conn:
        conn.execute(sa.text("INSERT INTO company (name, currency) VALUES ('Acme', 'USD')"))
        for full, role in PEOPLE.items():
            first = full.split()[0].lower()
            people[first] = conn.execute(
                sa.text(
                    "INSERT INTO users (code, name, email, role, hired_on)"
                    " VALUES (:code, :name, :email, :role, '2025-01-01') RETURNING id"
                ),
                {"code": first, "name": full, "email": f"{first}@example.com", "role": role},
            ).scalar_one()
        for name, manager, members in (("East", "mia", ("rob", "rea")), ("West", "max", ("oda",))):
            teams[name] = conn.execute(
                sa.text("INSERT INTO teams (name) VALUES (:name) RETURNING id"), {"name": name}
            ).scalar_one()
            conn.execute(
                sa.text(
                    "INSERT INTO team_structure (team_id, manager_id, start_date) VALUES (:team, :user, '2025-01-01')"
                ),
                {"team": teams[name], "user": people[manager]},
            )
            for member in members:
                conn.execute(
                    sa.text(
                        "INSERT INTO team_members (team_id, user_id, start_date) VALUES (:team, :user, '2025-01-01')"
                    ),
                    {"team": teams[name], "user": people[member]},
                )
    yield Company(db, people, teams)
    state.stop()


@pytest.fixture
def open_page(company: Company, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    """``open_page("deals", "rob", period="2026-10")`` runs pages/deals.py as Rob, with a real session."""

    def opened(name: str, person: str = "ada", **query: str) -> AppTest:
        token = sign_in.open_session(company.db, company.people[person]).token
        monkeypatch.setattr(auth, "session_token", lambda: token)
        screen = AppTest.from_file(ROOT / "pages" / f"{name}.py", default_timeout=20)
        for key, value in query.items():
            screen.query_params[key] = value
        return screen.run()

    return opened


@pytest.fixture
def open_app(company: Company, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    """``open_app("rob", "deals")`` runs the whole app as Rob and goes to the page; without a person: signed out."""

    def opened(person: str | None = None, page: str | None = None) -> AppTest:
        token = sign_in.open_session(company.db, company.people[person]).token if person else None
        monkeypatch.setattr(auth, "session_token", lambda: token)
        screen = AppTest.from_file(ROOT / "app" / "main.py", default_timeout=20).run()
        if page:
            screen.switch_page(f"../pages/{page}.py").run()
        return screen

    return opened


@pytest.fixture(autouse=True)
def a_piece_of_a_page_has_no_viewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages know who looks at them; a widget or a drawer that a test draws alone has no session to ask."""
    monkeypatch.setattr(widgets, "_viewer", lambda: st.session_state.get("viewer"))

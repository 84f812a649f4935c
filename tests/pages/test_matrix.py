"""Who sees which page, and what of Ana on it: every page, alone and within the app, as six people.

The company is that of the matrix of services: Ana is in Mia's team, Max and Bo are outside of her reach.  A page that
shows Max or Bo something else in the twin, in which only what is Ana's is different, has shown something of her.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from app import auth, state
from app.navigation import CATALOG, ROOT
from engine.db.database import Database
from engine.services.access import PERMISSIONS, Reach
from engine.services.jobs import SentJobs
from engine.workers.pool import Pool
from tests.integration.matrix.standing import TODAY, WHO, Standing, twins

NO_ACCESS = "You have no access to this page"
ENTRIES = {entry.name: entry for entry in CATALOG}
# What hangs on a view, as one chooses it; a page stands in one row for each.
VIEWS: dict[str, tuple[dict[str, str], ...]] = {
    "activities": ({}, {"view": "results"}),
    "earnings": (
        {"period": "2026-04"}, {"period": "2026-02", "view": "statement"}, {"period": "2026", "view": "statements"},
    ),
    "payouts": ({"period": "2026-03"},),
    "runs": ({"period": "2026-04"},),
    "analytics": ({"period": "2026-Q2"},),
}  # fmt: skip
SHOWN = [(name, view) for name in ENTRIES for view in VIEWS.get(name, ({},))]


def test_every_page_is_in_the_catalogue() -> None:
    """So that a page that somebody adds is walked here."""
    assert set(ENTRIES) == {path.stem for path in (ROOT / "pages").glob("*.py")}
    assert {entry.action for entry in CATALOG} <= set(PERMISSIONS)
    assert set(VIEWS) <= set(ENTRIES)


@pytest.fixture(scope="module")
def standing(cluster_url: str) -> Iterator[tuple[Standing, Database]]:
    """The company, and the open twin of it."""
    with Pool(1) as pool, twins(cluster_url, pool) as found:
        yield found


@pytest.fixture
def shows(standing: tuple[Standing, Database], monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    """``shows(script, "bo", database, page, period="2026-04")``: the script as one of the six sees it."""
    facts, _ = standing
    monkeypatch.setenv("QUOTAPATH_TODAY", TODAY.isoformat())

    def shown(script: str, who: str, db: Database, page: str = "", **query: str) -> AppTest:
        monkeypatch.setattr(state, "database", lambda: db)
        monkeypatch.setattr(state, "pool", lambda: facts.pool)
        monkeypatch.setattr(state, "jobs", lambda: SentJobs(db, lambda _job: None))
        monkeypatch.setattr(auth, "session_token", lambda: facts.tokens.get(who))
        screen = AppTest.from_file(ROOT / script, default_timeout=60)
        if page:
            screen._page_hash = calc_hash(page)
        for key, value in query.items():
            screen.query_params[key] = value
        return screen.run()

    return shown


def drawn(screen: AppTest) -> str:
    """Everything that the browser is sent, tables with their content, but for the random ids of downloads."""
    parts = [str(getattr(node, "proto", "")) for node in screen._tree]
    return re.sub(r'deferred_file_id: "\w+"', "", "\n".join(parts))


def test_who_sees_what_on_every_page(
    standing: tuple[Standing, Database], shows: Callable[..., AppTest], record_property: Callable[[str, Any], None]
) -> None:
    facts, twin = standing
    tried, leaks, wrong = 0, [], []
    seen_of_ana: set[str] = set()
    for name, entry in ENTRIES.items():
        for who, (role, _) in WHO.items():
            allowed = PERMISSIONS[entry.action][role] is not Reach.NONE
            # The page alone asks again; what it shows to those who may is looked at below, and in its own tests.
            for script in ("app/main.py",) if allowed else ("app/main.py", f"pages/{name}.py"):
                if who in ("mia", "ana") and script == "app/main.py":
                    continue  # of their roles, Max and Bo go through the app
                screen = shows(script, who, facts.company.db, name if script == "app/main.py" else "")
                tried += 1
                titles = [title.value for title in screen.title]
                if (
                    screen.exception
                    or (entry.title in titles) is not allowed
                    or (NO_ACCESS in drawn(screen)) is allowed
                ):
                    wrong.append((name, who, titles, [each.value for each in screen.exception]))
                if not allowed and (titles or screen.dataframe or (script != "app/main.py" and screen.button)):
                    leaks.append(f"{name}: {who}, {script}")
    for name, view in SHOWN:
        for who in ("mia", "max", "bo"):
            if PERMISSIONS[ENTRIES[name].action][WHO[who][0]] is Reach.NONE:
                continue
            tried += 1
            here, there = (shows(f"pages/{name}.py", who, db, **view) for db in (facts.company.db, twin))
            if here.exception or NO_ACCESS in drawn(here):
                wrong.append((name, who, [], [each.value for each in here.exception]))
            if drawn(here) == drawn(there):
                continue
            if who == "mia":
                seen_of_ana.add(name)
            else:
                leaks.append(f"{name} {view}: {who}")
    record_property("matrix", ("pages", len(ENTRIES), tried, len(leaks)))
    assert not leaks
    assert not wrong
    # That Ana's leader sees her shows that the pages were filled, and that the twin is another company.
    assert seen_of_ana >= {"dashboard", "pipeline", "deals", "activities", "people", "quotas", "earnings", "disputes"}


def test_without_a_session_there_is_nothing(standing: tuple[Standing, Database], shows: Callable[..., AppTest]) -> None:
    facts, _ = standing
    for name in ENTRIES:
        screen = shows(f"pages/{name}.py", "nobody", facts.company.db)
        assert not screen.exception
        assert "Your session has ended" in drawn(screen)
        assert not screen.title
    for name in ("dashboard", "earnings", "audit"):
        screen = shows("app/main.py", "nobody", facts.company.db, name)
        assert [field.label for field in screen.text_input] == ["E-mail", "Password"]
        assert not screen.title

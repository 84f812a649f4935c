"""What is remembered is shared by processes through Redis: found, never stale, never another's, and not needed."""

import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import redis
import sqlalchemy as sa

from engine import analytics
from engine.analytics import remembered
from engine.analytics.deals import DealFilters, Page
from engine.analytics.remembered import Remembered
from engine.db import audit
from engine.db.database import Database
from engine.periods import parse_period
from engine.services import dashboard, deals
from tests import kept_changes
from tests.integration.paying import Company
from tests.owner import owner
from tests.redis_server import RedisServer

ROOT = Path(__file__).resolve().parents[2]
TODAY = date(2026, 3, 15)


@pytest.fixture
def shared(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    """A Redis that this process shares what it remembers through; one that is started again is asked at once."""
    monkeypatch.setattr(remembered, "PAUSE", 0)
    remembered.share(redis_server.url)
    yield redis_server
    remembered.share(None)


class Asked:
    """One that asks for a value: as a process of its own would, with nothing remembered yet."""

    def __init__(self, db: Database, name: str = "test") -> None:
        self.db, self.name, self.made = db, name, 0

    def get(self, key: Any, value: Any) -> Any:
        def make() -> Any:
            self.made += 1
            return value

        with self.db.read() as conn:
            return Remembered(10, self.name).get(conn, audit.data_version(conn), key, make, lambda _: 1)


def entries(server: RedisServer) -> list[bytes]:
    """The keys of the values, without those that count."""
    with redis.Redis.from_url(server.url) as client:
        return [key for key in client.scan_iter("quotapath:remembered:*") if b":bytes:" not in key]


VALUES = {
    "text": "abc",
    "numbers": [1, -(2**62), 1.5, None, True],
    "a list in a list": [["Region", 3], ["Ünit", 4]],
    "no frame rows": pd.DataFrame({"id": pd.Series([], dtype="int64")}),
    "a frame": pd.DataFrame(
        {
            "day": [date(2026, 1, 1), date(2026, 2, 1)],
            "name": ["Ana", "Bö"],
            "amount": pd.Series([2**62, None], dtype="Int64"),
            "cents": [1, 2],
            "leads": [True, False],
        },
        index=[7, 9],
    ),
}


def test_another_process_finds_it_as_it_was(company: Company, shared: RedisServer) -> None:
    first, second = Asked(company.db), Asked(company.db)
    for name, value in VALUES.items():
        for one in (first, second, second):
            found = one.get((name, 1), value)
            assert found.equals(value) if isinstance(value, pd.DataFrame) else found == value
    assert (first.made, second.made) == (len(VALUES), 0)


def test_what_would_come_back_otherwise_stays_here(company: Company, shared: RedisServer) -> None:
    asked = Asked(company.db)
    values = [{1, 2}, (1, 2), {1: "a"}, 2**80, date(2026, 1, 1), pd.DataFrame({"a": [object()]})]
    for number, value in enumerate(values, 1):
        for _ in range(2):
            assert asked.get(number, value) is value or isinstance(value, pd.DataFrame)
        assert asked.made == 2 * number
    assert not entries(shared)


# A program that shows a page of deals and the dashboard, and how many queries for figures it took.
_PAGE = """
import sys
from datetime import date
import sqlalchemy as sa
from engine import analytics
from engine.analytics import remembered
from engine.analytics.deals import DealFilters, Page
from engine.db.database import Database
from engine.periods import parse_period
from engine.services import dashboard, deals
from engine.services.access import Actor
remembered.share(sys.argv[2])
db, made = Database(sys.argv[1]), []
real = remembered._Shared.get
def get(self, conn, key, make):
    return real(self, conn, key, lambda: (made.append(key), make())[1])
remembered._Shared.get = get
ada = Actor(int(sys.argv[3]), "admin", "Ada")
board = dashboard.dashboard(db, ada, parse_period("2026-Q1"), None, date(2026, 3, 15))
page = deals.list_deals(db, ada, DealFilters(), Page(), date(2026, 3, 15))
print(len(made), board.won.value, page.total, int(page.totals["amount"].sum()))
"""


def test_a_second_process_finds_what_the_first_worked_out(company: Company, shared: RedisServer) -> None:
    company.deal("D1", "ana", "2026-01-20", 1_000)

    def show() -> list[int]:
        url = company.db.engine.url.render_as_string(hide_password=False)
        command = [sys.executable, "-c", _PAGE, url, shared.url, str(company.users["ada"])]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
        return [int(word) for word in done.stdout.split()]

    first, second = show(), show()
    assert first[1:] == second[1:] == [100_000, 1, 100_000]
    assert first[0] > 3  # sums of deals are remembered by part, in each process
    assert second[0] == 0
    company.deal("D2", "bo", "2026-02-20", 2_000)  # the data version is raised: nothing of before is shown
    third = show()
    assert third[1:] == [300_000, 2, 300_000]
    assert third[0] == first[0]


def test_nobody_finds_what_is_anothers(company: Company, shared: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everyone after everyone else, from one Redis, sees exactly what they see without it."""
    company.deal("D1", "ana", "2026-01-20", 1_000)
    company.deal("D2", "bo", "2026-02-20", 2_000)
    company.deal("D3", "bo", "2026-03-20", 4_000, stage="Proposal")

    def seen(who: str, team: int | None) -> list[Any]:
        board = dashboard.dashboard(company.db, company.actors[who], parse_period("2026-Q1"), team, TODAY)
        page = deals.list_deals(company.db, company.actors[who], DealFilters(team_id=team), Page(), TODAY)
        values = [getattr(board, each.name) for each in fields(board)] + [page.frame, page.total, page.totals]
        return [each.to_json() if isinstance(each, pd.DataFrame) else each for each in values]

    with company.db.read() as conn:
        east = conn.scalar(sa.text("SELECT id FROM teams"))
    asked = [(who, team) for who in ("ada", "fay", "mia", "ana", "bo") for team in (None, east)]

    def fresh() -> None:
        for module in (analytics.dashboard, analytics.deals):
            for value in vars(module).values():
                if isinstance(value, Remembered):
                    value.__init__(value._most, value._name)  # type: ignore[misc]

    remembered.share(None)
    alone = {}
    for one in asked:
        fresh()
        alone[one] = seen(*one)
    assert len({repr(each) for each in alone.values()}) == 3  # everything, Ana, Bo
    remembered.share(shared.url)
    for _ in range(2):
        for one in asked:
            fresh()
            assert seen(*one) == alone[one], one
    assert entries(shared)


def test_another_database_with_the_same_numbers_is_another(
    company: Company, cluster_url: str, shared: RedisServer
) -> None:
    asked = Asked(company.db)
    asked.get("key", "one")
    # Made anew, or brought back from a backup: the same name, the same data version, other data.
    with owner(company.db.engine.url) as conn:
        conn.execute(sa.text("UPDATE company SET name = 'Another'"))
    assert asked.get("key", "another") == "another"


def test_other_names_and_programs_are_apart(
    company: Company, shared: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Asked(company.db, "one").get("key", 1) == 1
    assert Asked(company.db, "two").get("key", 2) == 2
    monkeypatch.setattr(remembered, "_program", lambda: "the next release")
    remembered.share(shared.url)
    assert Asked(company.db, "one").get("key", 3) == 3


def test_what_cannot_be_read_is_worked_out_again(company: Company, shared: RedisServer) -> None:
    frame = VALUES["a frame"]
    assert isinstance(frame, pd.DataFrame)
    Asked(company.db).get("key", frame)
    (entry,) = entries(shared)
    head = b"\xff\xff\xff\xff"
    for rubbish in (b"", b"{", head, head + b"\x10\x00\x00\x00abc", head + b"\xff" * 90, b"\x80pickle"):
        second, third = Asked(company.db), Asked(company.db)
        with redis.Redis.from_url(shared.url) as client:
            client.set(entry, rubbish)
        assert second.get("key", frame).equals(frame)
        assert second.made == 1
        third.get("key", frame)
        assert third.made == 0


def test_without_redis_each_process_works_on(
    company: Company, shared: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    company.deal("D1", "ana", "2026-01-20", 1_000)
    shared.kill()
    asked = Asked(company.db)
    with caplog.at_level(logging.WARNING, remembered.__name__):
        for number in range(5):
            assert asked.get(number, number) == number
        page = deals.list_deals(company.db, company.actors["ada"], DealFilters(), Page(), TODAY)
        assert page.total == 1
        assert [record.message.split(";")[0][:23] for record in caplog.records] == ["Redis does not answer ("]
        shared.start()
        asked.get("back", 1)
        asked.get("back", 1)
    assert asked.made == 6
    assert caplog.records[-1].message == "Redis answers again; what is remembered is shared"


def test_a_redis_that_is_away_is_left_alone_for_a_while(
    company: Company, shared: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "PAUSE", 3600)
    shared.kill()
    asked = Asked(company.db)
    asked.get("key", 1)
    shared.start()
    asked.get("key", 1)
    assert asked.made == 2
    assert not entries(shared)


def test_what_redis_holds_has_a_limit_and_an_end(
    company: Company, shared: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "LARGEST", 1000)
    monkeypatch.setattr(remembered, "AT_MOST", 2500)
    monkeypatch.setattr(time, "time", lambda: 1_000_000_000)
    asked = Asked(company.db)
    asked.get("too large", "x" * 1001)
    assert not entries(shared)
    for number in range(5):
        asked.get(number, "x" * 900)
    assert len(entries(shared)) == 2
    with redis.Redis.from_url(shared.url) as client:
        for key in client.scan_iter():
            assert 0 < client.ttl(key) <= 2 * remembered.SECONDS
            assert key.startswith(b"quotapath:remembered:")
    monkeypatch.setattr(time, "time", lambda: 1_000_000_000 + remembered.SECONDS)
    asked.get("later", 1)
    assert len(entries(shared)) == 3


def test_a_column_added_to_a_frame_is_ones_own(company: Company) -> None:
    kept = Remembered(10)
    with company.db.read() as conn:
        for _ in range(2):
            found = kept.get(conn, 1, "key", lambda: pd.DataFrame({"a": [1]}), lambda _: 1)
            assert list(found) == ["a"]
            found["b"] = 2
            found.loc[0, "a"] = 5


# --- the data version ----------------------------------------------------------------------------------


def test_a_service_that_does_not_tell_is_found_out(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check that watches all other tests: see tests/kept_changes.py."""
    monkeypatch.setattr(kept_changes, "SERVICES", __file__)

    def silent() -> None:
        with db.write() as conn:
            conn.execute(sa.text("UPDATE users SET name = 'Else' WHERE code = 'bo'"))

    def audited(version: bool) -> None:
        with db.write() as conn:
            conn.execute(sa.text("UPDATE users SET name = 'Else' WHERE code = 'bo'"))
            conn.execute(sa.text("INSERT INTO audit (action, object) VALUES ('people.edit', 'user 3')"))
            if version:
                conn.execute(sa.text("UPDATE company SET data_version = data_version + 1"))

    for _ in range(2):
        with pytest.raises(AssertionError, match="changes users without engine.db.audit.record"):
            silent()
        with pytest.raises(AssertionError, match=r"changes audit, users without"):
            audited(version=False)
        audited(version=True)  # the count of an earlier transaction is no excuse for a later one
    with db.read() as conn:
        assert audit.data_version(conn) == 2

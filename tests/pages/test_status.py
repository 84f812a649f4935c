"""The status page, per role: jobs that wait, run, failed; workers of other machines; a Redis that is away."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

from app import state
from engine.db import jobs, workers
from engine.services.jobs import SentJobs


def words(screen: AppTest) -> str:
    elements = [*screen.title, *screen.markdown, *screen.caption, *screen.warning, *screen.error, *screen.info]
    bars = [each.proto.text.replace("\\", "") for each in screen.get("progress")]
    return " ".join([*(each.value for each in elements), *bars])


def cards(screen: AppTest) -> dict[str, str]:
    return {each.label: each.value for each in screen.metric}


def buttons(screen: AppTest) -> list[str]:
    return [each.label for each in screen.button]


@pytest.fixture
def queue(company: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Jobs are sent to workers, of which there is none; gives what was sent."""
    sent: list[str] = []
    monkeypatch.setattr(state, "_jobs", SentJobs(company.db, sent.append))
    return sent


def submit(company: Any, kind: str, arguments: dict[str, Any], status: str = "queued", **columns: Any) -> str:
    with company.db.write() as conn:
        job_id = jobs.add(conn, kind, arguments, company.people["ada"])
        for name, value in {"status": status, **columns}.items():
            query = f"UPDATE jobs SET {name} = :value WHERE id = CAST(:id AS uuid)"
            conn.execute(sa.text(query), {"value": value, "id": job_id})
    return job_id


def choose(screen: AppTest, row: int) -> AppTest:
    screen.session_state["jobs"] = {"selection": {"rows": [row], "columns": [], "cells": []}}
    return screen.run()


@pytest.mark.parametrize("person", ["ada", "finn"])
def test_empty_it_says_what_would_be_there(company: Any, open_page: Callable[..., AppTest], person: str) -> None:
    screen = open_page("status", person)
    assert not screen.exception
    assert "No jobs yet" in words(screen)
    assert cards(screen)["Open jobs"] == "0"
    assert cards(screen)["Last run"] == "none yet"
    assert cards(screen)["Jobs are done by"] == "the app"
    assert cards(screen)["Redis"] == "not used"


def test_an_open_job_has_a_bar_and_is_cancelled(
    company: Any, queue: list[str], open_page: Callable[..., AppTest]
) -> None:
    running = submit(
        company, "run", {"period": "2026-10"}, "running", done=250, total=1000, message="Calculating", worker="vm-7"
    )
    submit(company, "import file", {"name": "a_b*.csv", "file": "x"})
    screen = open_page("status")
    text = words(screen)
    assert "**Run\\: October 2026** · Ada Admin · vm\\-7" in text
    assert "Calculating: 250 of 1,000" in text
    assert "**Import file\\: a\\_b\\*\\.csv**" in text
    assert "Waiting for a free place" in text
    assert cards(screen)["Open jobs"] == "2"
    assert buttons(screen).count("Cancel") == 2

    next(each for each in screen.button if each.key == f"cancel_live_{running}").click().run()
    with company.db.read() as conn:
        assert jobs.get(conn, running).status == "cancelled"  # type: ignore[union-attr]  # no process had it
    assert buttons(screen).count("Cancel") == 1


def test_finance_sees_and_changes_nothing(company: Any, open_page: Callable[..., AppTest]) -> None:
    submit(company, "run", {"period": "2026-10"})
    submit(company, "run", {"period": "2026-09"}, "failed", message="There is no plan.")
    screen = choose(open_page("status", "finn"), 0)
    assert "There is no plan" in words(screen)
    assert not [each for each in buttons(screen) if "Cancel" in each or "Retry" in each]


def test_a_failed_job_is_told_whole_and_retried_once(
    company: Any, queue: list[str], open_page: Callable[..., AppTest]
) -> None:
    submit(company, "run", {"period": "2026-09"}, "failed", message="There is no plan. Publish one.")
    screen = choose(open_page("status"), 0)
    assert "There is no plan" in screen.error[0].value
    next(each for each in screen.button if each.label == "Retry this job").click().run()
    assert not screen.exception
    assert len(queue) == 1
    assert screen.dataframe[0].value["status"].tolist() == ["Queued", "Failed"]
    screen = choose(screen, 1)
    assert "It was retried" in words(screen)
    assert "Retry this job" not in buttons(screen)


def test_jobs_are_filtered_and_paged(company: Any, open_page: Callable[..., AppTest]) -> None:
    for number in range(30):
        submit(company, "run" if number % 3 else "statements", {"period": "2026-09"}, "done" if number else "failed")

    screen = open_page("status")
    assert len(screen.dataframe[0].value) == 25
    assert "30 jobs" in words(screen)
    screen = open_page("status", job_kind="Statements")
    assert set(screen.dataframe[0].value["kind"]) == {"Statements"}
    assert "10 jobs" in words(screen)
    screen = open_page("status", job_kind="Statements", job_status="Failed")
    assert "1 job." in words(screen)
    screen = open_page("status", job_status="Cancelled")
    assert "No such jobs" in words(screen)
    assert not screen.exception


def test_workers_of_other_machines_are_listed(
    company: Any, open_page: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")  # where nobody listens
    screen = open_page("status")
    assert "Redis does not answer" in words(screen)
    assert "no worker is running" in words(screen)
    assert "No workers yet" in words(screen)
    assert cards(screen)["Redis"] == "is away"

    submit(company, "run", {"period": "2026-10"}, "running", worker="one")
    with company.db.write() as conn:
        for name in ("one", "two", "three"):
            workers.add(
                conn, name, host=f"{name}.lan", pid=7, interpreter="pypy", version="7.3", processes=4, rules="abc"
            )
        workers.seen(conn, "one", 12, 34_000, 2)
        workers.stopped(conn, "two")
        conn.execute(sa.text("UPDATE workers SET seen_at = now() - INTERVAL '1 minute' WHERE name = 'three'"))
    screen = open_page("status")
    assert not screen.exception
    assert cards(screen)["Workers alive"] == "1"
    assert "no worker is running" not in words(screen)
    frame = next(each.value for each in screen.dataframe if "host" in each.value)
    shown = {row.host: (row.state, row.jobs, row.busy, row.shards, row.deals) for row in frame.itertuples()}
    assert shown == {
        "one.lan": ("Alive", "run", 2, 12, 34_000),
        "two.lan": ("Stopped", "", 0, 0, 0),
        "three.lan": ("Lost", "", 0, 0, 0),
    }

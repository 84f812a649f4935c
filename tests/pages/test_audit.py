"""The audit log and the API tokens: found, paged, exported, made and revoked, per role."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
import streamlit as st
from streamlit.testing.v1 import AppTest

from app import auth, widgets
from engine.services import api_tokens, audit_log, sign_in
from engine.services.access import Forbidden
from engine.services.audit_log import AuditFilters
from tests.pages.test_pay import button, words


@pytest.fixture
def happened(company: Any) -> Any:
    """120 edits of deals by Ada, a run of the program's own, an export by Finn."""
    with company.db.write() as conn:
        conn.execute(
            sa.text("""
                INSERT INTO audit (user_id, action, object, detail, at)
                SELECT :ada, 'deals.edit', 'deal ' || n, jsonb_build_object('changes', n), timestamptz '2026-11-20'
                  FROM generate_series(1, 120) n
            """),
            {"ada": company.people["ada"]},
        )
        conn.execute(
            sa.text("""
                INSERT INTO audit (user_id, action, object, detail, at)
                VALUES (NULL, 'runs.start', 'run 1', '{"period": "2026-10"}', timestamptz '2026-11-21'),
                       (:finn, 'data.export', 'file <b>50%_x</b>.csv', '{}', timestamptz '2026-01-01')
            """),
            {"finn": company.people["finn"]},
        )
    return company


def shown(screen: AppTest) -> list[str]:
    return [str(value) for value in screen.dataframe[0].value["object"]]


def test_the_log_page_by_page(happened: Any, open_page: Callable[..., AppTest]) -> None:
    screen = open_page("audit", "finn")
    assert not screen.exception
    assert shown(screen)[:2] == ["run 1", "deal 120"]
    assert len(shown(screen)) == 50
    assert "121 entries" in words(screen)
    screen.selectbox(key="audit_who").set_value(audit_log.PROGRAM).run()
    assert shown(screen) == ["run 1"]
    screen.selectbox(key="audit_who").set_value(None).run()
    screen.text_input(key="audit_object").set_value("deal 12").run()
    assert shown(screen) == ["deal 120", "deal 12"]
    screen.text_input(key="audit_object").set_value("deal 77777").run()
    assert "No entry matches" in words(screen)


def test_a_search_is_text_and_no_pattern(happened: Any) -> None:
    db, ada = happened.db, happened.actor("ada")

    def found(**values: Any) -> list[str]:
        return list(audit_log.list_entries(db, ada, AuditFilters(**values), 50, 0).frame["object"])

    assert found(text="50%_X") == ["file <b>50%_x</b>.csv"]
    assert found(text="%") == ["file <b>50%_x</b>.csv"]
    assert found(text="2026-10") == ["run 1"]
    assert found(text="\x00run 1\x00") == ["run 1"]
    assert found(action="data.") == ["file <b>50%_x</b>.csv"]
    assert found(user_id=happened.people["finn"]) == ["file <b>50%_x</b>.csv"]
    assert found(since=datetime(2026, 11, 21, tzinfo=UTC).date()) == ["run 1"]
    assert found(until=datetime(2026, 1, 2, tzinfo=UTC).date()) == ["file <b>50%_x</b>.csv"]


def test_the_whole_of_it_is_exported(happened: Any) -> None:
    rows = list(audit_log.export_entries(happened.db, happened.actor("finn"), AuditFilters(action="deals.edit")))
    assert len(rows) == 120
    assert rows[0][1:] == ("2026-11-20 00:00:00", "Ada Admin", "deals.edit", "deal 120", '{"changes": 120}')
    for who in ("mia", "rob"):
        with pytest.raises(Forbidden):
            list(audit_log.export_entries(happened.db, happened.actor(who), AuditFilters()))
        with pytest.raises(Forbidden):
            audit_log.list_entries(happened.db, happened.actor(who), AuditFilters(), 1, 0)


def test_more_entries_than_are_counted(company: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.analytics.audit_log.COUNTED", 10)
    with company.db.write() as conn:
        conn.execute(sa.text("INSERT INTO audit (action, object) SELECT 'x', 'y' FROM generate_series(1, 30)"))
    found = audit_log.list_entries(company.db, company.actor("ada"), AuditFilters(), 5, 0)
    assert (found.total, len(found.frame)) == (11, 5)


def test_a_download_writes_an_entry(company: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    buttons: dict[str, Callable[[], bytes]] = {}
    monkeypatch.setattr(st, "download_button", lambda _, data, name, *_a, **_k: buttons.update({name: data}))
    monkeypatch.setattr(widgets, "_viewer", lambda: company.actor("finn"))
    widgets.download("CSV", "deals.csv", lambda: b"abc", "text/csv")
    widgets.download("CSV", "ready.csv", b"abcd", "text/csv")
    widgets.download("CSV", "template.csv", b"", "text/csv", recorded=True)

    def entries() -> list[Any]:
        with company.db.read() as conn:
            return [tuple(row) for row in conn.execute(sa.text("SELECT user_id, action, object, detail FROM audit"))]

    with company.db.read() as conn:
        before = conn.scalar(sa.text("SELECT data_version FROM company"))
    assert entries() == []  # drawn, not pressed
    assert [buttons[name]() for name in ("deals.csv", "ready.csv", "template.csv")] == [b"abc", b"abcd", b""]
    finn = company.people["finn"]
    assert entries() == [
        (finn, "data.export", "file deals.csv", {"bytes": 3}),
        (finn, "data.export", "file ready.csv", {"bytes": 4}),
    ]
    with company.db.read() as conn:  # it changed no data, so what is known of the data is still good
        assert conn.scalar(sa.text("SELECT data_version FROM company")) == before


# --- tokens ---------------------------------------------------------------------------------------------
def test_a_token_is_made_and_shown_once(
    company: Any, open_page: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "No API tokens yet" in words(open_page("tokens", "rob"))
    token = sign_in.open_session(company.db, company.people["rob"]).token
    monkeypatch.setattr(auth, "session_token", lambda: token)
    form = AppTest.from_string(
        "from app import auth\nfrom app.token_view import new_token_form\nnew_token_form(auth.require('tokens.edit'))",
        default_timeout=20,
    ).run()
    pills: Any = form.get("button_group")[0]
    assert list(pills.options) == ["read", "activities:write"]  # what a rep's token can do
    form.button[0].click().run()
    assert "Say in 1 to 100" in words(form)
    form.text_input[0].set_value("Nightly <b>")
    form.button[0].click().run()
    assert not form.exception
    (made,) = api_tokens.list_tokens(company.db, company.actor("rob"))
    assert (made.name, made.scopes, made.is_live) == ("Nightly <b>", ("read",), True)
    secret = form.code[0].value
    actor = api_tokens.token_actor(company.db, secret)
    assert actor is not None
    assert (actor.user_id, actor.scopes) == (company.people["rob"], frozenset({"read"}))
    screen = open_page("tokens", "rob")
    assert secret not in words(screen) + str(screen.dataframe[0].value)


def test_a_token_is_revoked_from_the_list(company: Any, open_page: Callable[..., AppTest]) -> None:
    made = api_tokens.create_token(company.db, company.actor("rob"), "Bot", frozenset({"read"}), 10, datetime.now(UTC))
    assert "No API tokens yet" in words(open_page("tokens", "rea"))
    screen = open_page("tokens", "ada")
    assert list(screen.dataframe[0].value["person"]) == ["Rob Rep"]
    screen.session_state["tokens_1_1"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    screen.run()
    button(screen, "Revoke").click().run()
    assert api_tokens.token_actor(company.db, made.secret) is None
    assert "Revoked by Ada Admin" in str(screen.dataframe[0].value["status"].tolist())

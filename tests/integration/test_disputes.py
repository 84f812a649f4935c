"""Disputes: flagged by the person, seen by whom they concern, answered and settled by an admin."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date

import pytest
import sqlalchemy as sa

from engine.db import deals as deal_rows
from engine.errors import ProblemsError, QuotaPathError
from engine.services import deals, disputes, earnings, runs
from engine.services.access import Actor, Forbidden
from engine.services.disputes import CLOSED, OPEN
from engine.workers.pool import Pool
from tests.integration.paying import Company

ADD_MAX = "INSERT INTO users (code, name, email, role) VALUES ('max', 'Max', 'm@x.example', 'manager') RETURNING id"


def line_of(company: Company, who: str, period: str) -> int:
    shown = earnings.earned(company.db, company.actors["ada"], company.users[who], period)
    assert shown is not None
    return int(shown.lines["line_id"].iloc[0])


def seen(company: Company, actor: Actor, statuses: tuple[str, ...] = OPEN) -> list[int]:
    return sorted(disputes.list_disputes(company.db, actor, statuses).page["id"].tolist())


@pytest.fixture
def flagged(company: Company, pool: Pool) -> int:
    """Ana disputes the line of D1 in January."""
    company.deal("D1", "ana", "2026-01-20", 10_000)
    company.deal("D2", "bo", "2026-01-20", 10_000)
    runs.run_period(company.db, pool, company.actors["ada"], "2026-01")
    return disputes.flag_line(company.db, company.actors["ana"], line_of(company, "ana", "2026-01"), "It was 12,000")


def test_from_the_flag_to_the_edit_that_settles_it(company: Company, pool: Pool, flagged: int) -> None:
    db, ada, ana = company.db, company.actors["ada"], company.actors["ana"]
    disputes.reply(db, ada, flagged, "Which contract?")
    assert disputes.thread(db, ana, flagged).dispute.status == "answered"
    disputes.reply(db, ana, flagged, "The second one")
    disputes.reply(db, ana, flagged, "The second one")  # sent twice
    found = disputes.thread(db, ada, flagged)
    assert (found.dispute.status, found.dispute.about, found.amount) == ("open", "D1 (D1) · new-business", "800.00 USD")
    assert [(one.author, one.status) for one in found.messages] == [
        ("Ana", "open"),
        ("Ada", "answered"),
        ("Ana", "open"),
    ]
    assert found.settlers == []
    with pytest.raises(QuotaPathError, match="Nothing was settled"):
        disputes.settle(db, ada, flagged, "Done", "run:1")  # made before it was opened

    with db.read() as conn:
        deal = deal_rows.find(conn, found.dispute.deal_id or 0)
    assert deal is not None
    deals.edit_deal(db, ada, deal.id, deal.version, replace(deal.fields, amount=1_200_000))
    offered = disputes.thread(db, ada, flagged).settlers
    assert [one.text.split(", by")[0] for one in offered] == ["Deal edit D1 (D1): amount"]
    disputes.settle(db, ada, flagged, "You are right", offered[0].key)
    closed = disputes.thread(db, ana, flagged)
    assert (closed.dispute.status, closed.dispute.closed_by) == ("settled", "Ada")
    assert closed.dispute.settlement.startswith("Deal edit D1 (D1): amount, by Ada, 20")
    assert (closed.may_write, closed.may_answer, closed.settlers) == (False, False, ())
    for late in (disputes.reply, disputes.reject):
        with pytest.raises(QuotaPathError, match="Ada closed this dispute on .* \\(settled\\)"):
            late(db, ada, flagged, "And yet")
    with db.read() as conn:
        actions = conn.execute(sa.text("SELECT action, count(*) FROM audit WHERE object LIKE 'dispute %' GROUP BY 1"))
        assert dict(actions.all()) == {"disputes.write": 3, "disputes.answer": 1}


def test_a_line_is_disputed_once_whatever_is_run_again(company: Company, pool: Pool, flagged: int) -> None:
    db, ana = company.db, company.actors["ana"]
    runs.run_period(db, pool, company.actors["ada"], "2026-01")
    again = line_of(company, "ana", "2026-01")
    with ThreadPoolExecutor(4) as threads:
        made = threads.map(lambda _: disputes.flag_line(db, ana, again, "It was 12,000"), range(4))
    assert set(made) == {flagged}
    assert len(disputes.thread(db, ana, flagged).messages) == 1
    shown = disputes.disputed_lines(db, ana, company.users["ana"], "2026-01")
    assert shown[["line_id", "status"]].to_numpy().tolist() == [[again, "open"]]
    assert disputes.of_line(db, ana, again) == (flagged, "open")
    disputes.reject(db, company.actors["ada"], flagged, "The contract says 10,000")
    assert disputes.of_line(db, ana, again) == (flagged, "rejected")
    newer = disputes.flag_line(db, ana, again, "Look again")
    assert newer != flagged  # closed ones stay closed
    assert disputes.of_line(db, ana, again) == (newer, "open")
    assert disputes.of_line(db, ana, 99_999) is None
    assert disputes.of_line(db, company.actors["bo"], again) is None
    assert disputes.disputed_lines(db, ana, company.users["ana"], "2026-01")["status"].tolist() == ["open"]


def test_a_missing_deal(company: Company, flagged: int) -> None:
    db, ana = company.db, company.actors["ana"]
    late = company.deal("D9", "ana", "2026-01-21", 1, stage="Proposal")
    made = disputes.flag_missing(db, ana, company.users["ana"], "2026-01", " D9 ", "Won in January")
    assert made == disputes.flag_missing(db, ana, company.users["ana"], "2026-01", "D9", "Won in January")
    assert disputes.thread(db, ana, made).dispute.about == "Missing deal: D9"
    assert disputes.thread(db, ana, made).dispute.deal_id == late
    for wrong in ("", "x" * 201):
        with pytest.raises(ProblemsError, match="^Which deal"):
            disputes.flag_missing(db, ana, company.users["ana"], "2026-01", wrong, "Won in January")
    for wrong in ("  ", "x" * 4001):
        with pytest.raises(ProblemsError, match="^What is wrong"):
            disputes.flag_missing(db, ana, company.users["ana"], "2026-01", "D8", wrong)
        with pytest.raises(ProblemsError, match="^Your message"):
            disputes.reply(db, ana, made, wrong)


def test_nobody_sees_anothers_dispute(company: Company, flagged: int) -> None:
    db, actors = company.db, company.actors
    for code in ("ada", "ana", "mia", "fay"):
        assert seen(company, actors[code]) == [flagged]
        assert disputes.thread(db, actors[code], flagged).dispute.id == flagged
    with db.write() as conn:
        outsider = conn.scalar(sa.text(ADD_MAX))
    for actor in (actors["bo"], Actor(outsider, "manager", "max")):
        assert seen(company, actor) == []
        assert disputes.list_disputes(db, actor).counts == {}
        for action in (
            lambda actor=actor: disputes.thread(db, actor, flagged),
            lambda actor=actor: disputes.reply(db, actor, flagged, "Me too"),
        ):
            with pytest.raises(QuotaPathError, match=f"There is no dispute number {flagged} that you may see"):
                action()
        with pytest.raises(QuotaPathError, match="no line .* that you may see"):
            disputes.flag_line(db, actor, line_of(company, "ana", "2026-01"), "Too much")
        with pytest.raises(Forbidden):
            disputes.flag_missing(db, actor, company.users["ana"], "2026-01", "D", "x")
        with pytest.raises(Forbidden):
            disputes.disputed_lines(db, actor, company.users["ana"], "2026-01")
    for code in ("ana", "mia", "fay", "bo"):
        for action in (
            lambda code=code: disputes.settle(db, actors[code], flagged, "x", "run:1"),
            lambda code=code: disputes.reject(db, actors[code], flagged, "x"),
        ):
            with pytest.raises(Forbidden):
                action()
    with pytest.raises(Forbidden):
        disputes.reply(db, actors["fay"], flagged, "Finance reads")
    disputes.reply(db, actors["mia"], flagged, "I remember it, too")
    assert disputes.thread(db, actors["ana"], flagged).dispute.status == "open"


def test_the_manager_of_the_period_sees_it(company: Company, flagged: int) -> None:
    """Mia leads East until February; what is disputed of January stays with her."""
    with company.db.write() as conn:
        max_id = conn.scalar(sa.text(ADD_MAX))
        conn.execute(sa.text("UPDATE team_structure SET end_date = '2026-02-01'"))
        conn.execute(
            sa.text("""
                INSERT INTO team_structure (team_id, manager_id, start_date)
                SELECT team_id, :m, '2026-02-01' FROM team_structure
            """),
            {"m": max_id},
        )
    later = disputes.flag_missing(company.db, company.actors["ana"], company.users["ana"], "2026-02", "D5", "Missing")
    assert seen(company, company.actors["mia"]) == [flagged]
    assert seen(company, Actor(max_id, "manager", "max")) == [later]


def test_the_list_is_paged_and_counted(company: Company, flagged: int) -> None:
    db, ada, ana = company.db, company.actors["ada"], company.actors["ana"]
    made = [
        disputes.flag_missing(db, ana, company.users["ana"], f"2026-{month:02d}", "D", "Missing")
        for month in range(1, 8)
    ]
    disputes.reject(db, ada, made[0], "No")
    disputes.reply(db, ada, made[1], "Perhaps")
    first = disputes.list_disputes(db, ada, OPEN, limit=3)
    assert first.counts == {"open": 6, "answered": 1, "rejected": 1}
    assert first.page["id"].tolist() == [made[6], made[5], made[4]]
    last = disputes.list_disputes(db, ada, OPEN, limit=3, offset=6)
    assert last.page["id"].tolist() == [made[1]]  # answered ones follow those that wait
    assert last.page[["last_by", "messages"]].to_numpy().tolist() == [["Ada", 2]]
    assert disputes.list_disputes(db, ana, CLOSED).page["id"].tolist() == [made[0]]
    assert date(2026, 1, 1) < first.page["opened_at"].iloc[0].date()

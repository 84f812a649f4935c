"""What would change and why, before it is kept; and superseded runs that make room."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
import sqlalchemy as sa

from engine.errors import QuotaPathError
from engine.services import clean_ups, deals, payouts, runs
from engine.services.access import Forbidden
from engine.services.clean_ups import Superseded
from engine.services.run_preview import Preview, preview_run
from engine.services.run_scope import EVERYONE, Scope
from engine.workers.pool import Pool
from tests.integration.paying import PLAN, Company

JANUARY = "2026-01"


def rows(found: Preview) -> list[tuple[Any, ...]]:
    """(person, what, deal, was, now, cause), sorted."""
    names = ("code", "what", "deal", "was", "now", "cause")
    return sorted(zip(*(found.lines[name].tolist() for name in names), strict=True))


def nothing_written(company: Company) -> list[int]:
    with company.db.read() as conn:
        tables = ("runs", "lines", "run_people", "run_digests", "audit", "pay_periods", "jobs")
        return [conn.scalar(sa.text(f"SELECT count(*) FROM {table}")) or 0 for table in tables]


def correct(company: Company, deal_id: int, cents: int) -> None:
    found = deals.deal_detail(company.db, company.actors["ada"], deal_id, date(2026, 2, 1)).deal
    fields = replace(found.fields, amount=cents)
    deals.edit_deal(company.db, company.actors["ada"], deal_id, found.version, fields)


def edit(company: Company, ids: dict[str, int]) -> None:
    correct(company, ids["D1"], 20_000_00)


def quota(company: Company, _ids: dict[str, int]) -> None:
    with company.db.write() as conn:
        conn.execute(sa.text("UPDATE quotas SET amount = 500000 WHERE user_id = :u"), {"u": company.users["bo"]})


def plan(company: Company, _ids: dict[str, int]) -> None:
    with company.db.write() as conn:
        conn.execute(
            sa.text("""
                INSERT INTO plan_versions (plan_id, effective_from, document, hash, status, published_at)
                SELECT id, '2026-01-15', :d, '', 'published', now() FROM plans WHERE name = 'ae'
            """),
            {"d": PLAN.replace('rate = "8%"', 'rate = "9%"').replace("2026-01-01", "2026-01-15")},
        )


def late(company: Company, _ids: dict[str, int]) -> None:
    company.deal("late", "bo", "2026-01-25", 1_000)


def cancelled(company: Company, ids: dict[str, int]) -> None:
    with company.db.write() as conn:
        conn.execute(
            sa.text(
                "UPDATE deals SET stage_id = (SELECT id FROM pipeline_stages WHERE outcome = 'lost') WHERE id = :d"
            ),
            {"d": ids["D2"]},
        )


def off_the_plan(company: Company, _ids: dict[str, int]) -> None:
    with company.db.write() as conn:
        conn.execute(sa.text("DELETE FROM plan_assignments WHERE user_id = :u"), {"u": company.users["mia"]})


CASES: dict[Callable[[Company, dict[str, int]], None], list[tuple[Any, ...]]] = {
    edit: [
        ("ana", "Changed", "D1", 80_000, 160_000, "Edited deal"),
        ("mia", "Changed", "D1", 10_000, 20_000, "Edited deal"),
    ],
    quota: [("bo", "Changed", "D2", 80_000, 100_000, "Quota")],
    plan: [
        ("ana", "Changed", "D1", 80_000, 90_000, "Plan version"),
        ("bo", "Changed", "D2", 80_000, 90_000, "Plan version"),
    ],
    late: [("bo", "Added", "late", 0, 8_000, "Late deal"), ("mia", "Added", "late", 0, 1_000, "Late deal")],
    cancelled: [
        ("bo", "Gone", "D2", 80_000, 0, "Team, assignment or filter"),
        ("mia", "Gone", "D2", 10_000, 0, "Team, assignment or filter"),
    ],
    off_the_plan: [
        ("mia", "Gone", "D1", 10_000, 0, "Team, assignment or filter"),
        ("mia", "Gone", "D2", 10_000, 0, "Team, assignment or filter"),
    ],
}


@pytest.mark.parametrize("change", CASES, ids=lambda change: change.__name__)
def test_what_would_change_and_why(company: Company, pool: Pool, change: Callable[..., None]) -> None:
    ada = company.actors["ada"]
    ids = {"D1": company.deal("D1", "ana", "2026-01-20", 10_000), "D2": company.deal("D2", "bo", "2026-01-21", 10_000)}
    runs.run_period(company.db, pool, ada, JANUARY)
    assert preview_run(company.db, pool, ada, JANUARY).people.empty
    change(company, ids)
    before = nothing_written(company)
    found = preview_run(company.db, pool, ada, JANUARY)
    assert nothing_written(company) == before
    assert rows(found) == CASES[change]
    # By person the same sums, and what is kept afterwards is what was shown.
    for person in found.people.to_dict("records"):
        own = found.lines[found.lines["user_id"] == person["user_id"]]
        assert person["difference"] == person["now"] - person["was"] == own["difference"].sum()
        assert person["cause"] in own["cause"].tolist()
    runs.run_period(company.db, pool, ada, JANUARY, seen=found.token)
    assert {row["code"]: company.earned(row["code"], JANUARY) for row in found.people.to_dict("records")} == {
        row["code"]: row["now"] for row in found.people.to_dict("records")
    }
    assert preview_run(company.db, pool, ada, JANUARY).people.empty


def test_what_is_kept_is_what_was_shown(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    scope = Scope(people=(company.users["ana"],))
    first = company.deal("D1", "ana", "2026-01-20", 10_000)
    empty = preview_run(company.db, pool, ada, JANUARY)
    assert empty.first
    assert empty.people["now"].sum() == 90_000
    runs.run_period(company.db, pool, ada, JANUARY, seen=empty.token)
    with pytest.raises(runs.NotAsShown):  # a run is shown by now: it would take the place of another one
        runs.run_period(company.db, pool, ada, JANUARY, seen=empty.token)
    company.change(first, amount=20_000_00)
    found = preview_run(company.db, pool, ada, JANUARY, scope)
    assert [(row["code"], row["was"], row["now"]) for row in found.people.to_dict("records")] == [
        ("ana", 80_000, 160_000)
    ]
    company.deal("D2", "bo", "2026-01-20", 5_000)  # of no account for Ana
    kept = nothing_written(company)
    for other in (EVERYONE, Scope(people=(company.users["bo"],))):
        with pytest.raises(runs.NotAsShown):
            runs.run_period(company.db, pool, ada, JANUARY, scope=other, seen=found.token)
    assert nothing_written(company) == kept
    runs.run_period(company.db, pool, ada, JANUARY, scope=scope, seen=found.token)
    assert company.earned("ana", JANUARY) == 160_000
    found = preview_run(company.db, pool, ada, JANUARY, scope)
    company.change(first, amount=30_000_00)
    with pytest.raises(runs.NotAsShown, match="nothing was kept"):
        runs.run_period(company.db, pool, ada, JANUARY, scope=scope, seen=found.token)
    assert company.earned("ana", JANUARY) == 160_000


def test_a_preview_of_adjustments(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    first = company.deal("D1", "ana", "2026-01-20", 10_000)
    runs.run_period(company.db, pool, ada, JANUARY)
    payouts.approve_period(company.db, ada, JANUARY)
    with pytest.raises(QuotaPathError, match="never moves"):
        preview_run(company.db, pool, ada, JANUARY)
    runs.run_period(company.db, pool, ada, "2026-02")
    correct(company, first, 20_000_00)
    found = preview_run(company.db, pool, ada, "2026-02")
    assert rows(found) == [
        ("ana", "Added", "D1", 0, 80_000, "Edited deal"),
        ("mia", "Added", "D1", 0, 10_000, "Edited deal"),
    ]
    assert set(found.lines["origin_period"]) == {JANUARY}
    assert found.lines["detail"].tolist() == ["amount by Ada", "amount by Ada"]


def test_only_whoever_may_run_may_look(company: Company, pool: Pool) -> None:
    for code in ("fay", "mia", "ana"):
        with pytest.raises(Forbidden):
            preview_run(company.db, pool, company.actors[code], JANUARY)


# --- superseded runs -------------------------------------------------------------------------------------


def lines_of(company: Company) -> dict[int, int]:
    with company.db.read() as conn:
        query = sa.text("SELECT r.id, count(l.id) FROM runs r LEFT JOIN lines l ON l.run_id = r.id GROUP BY r.id")
        return {row[0]: row[1] for row in conn.execute(query)}


def test_superseded_runs_make_room_and_nothing_else_goes(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    company.deal("D1", "ana", "2026-01-20", 10_000)
    company.deal("D2", "ana", "2026-02-20", 10_000)
    closed = [runs.run_period(company.db, pool, ada, JANUARY) for _ in range(2)]
    payouts.approve_period(company.db, ada, JANUARY)
    old, disputed, shown = (runs.run_period(company.db, pool, ada, "2026-02") for _ in range(3))
    with company.db.write() as conn:
        conn.execute(
            sa.text("""
                INSERT INTO disputes (user_id, period, about, line_id, opened_by)
                SELECT user_id, period, 'D2', id, user_id FROM lines WHERE run_id = :run LIMIT 1
            """),
            {"run": disputed},
        )
    before = lines_of(company)
    assert clean_ups.superseded(company.db, ada) == Superseded(1, 2)
    for code in ("fay", "mia", "ana"):
        with pytest.raises(Forbidden):
            clean_ups.remove_superseded(company.db, company.actors[code])
    for run in (*closed, shown, old):  # the database itself keeps what is shown, closed, or not given up
        with pytest.raises(sa.exc.IntegrityError, match="append-only|ledger"), company.db.write() as conn:
            conn.execute(sa.text("DELETE FROM lines WHERE run_id = :run"), {"run": run})
    assert lines_of(company) == before
    assert clean_ups.remove_superseded(company.db, ada) == Superseded(1, 2)
    assert lines_of(company) == {**before, old: 0}
    assert clean_ups.superseded(company.db, ada) == Superseded(0, 0)
    with company.db.read() as conn:
        kept = conn.execute(sa.text("SELECT lines, freed_lines FROM runs WHERE id = :run"), {"run": old}).one()
        assert tuple(kept) == (2, 2)
        assert conn.scalar(sa.text("SELECT detail ->> 'lines' FROM audit WHERE action = 'runs.clean'")) == "2"
    assert company.earned("ana", "2026-02") == 80_000
    payouts.approve_period(company.db, ada, "2026-02")

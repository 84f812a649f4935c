"""What an import would do to earnings, said before; that it then does just this; and what its undoing leaves to run."""

from dataclasses import replace
from datetime import date

import pytest

from engine.errors import QuotaPathError
from engine.services import batches, imports, payouts, runs
from engine.services.imports import ImportPreview, Upload, import_deals, preview_import
from engine.workers.pool import Pool
from tests.integration.paying import Company

TODAY = date(2026, 3, 20)
HEADER = "Deal ID,Deal Name,Owner,Stage,Amount,Close Date,Type\n"
FIRST = HEADER + "D1,One,Ana,Closed Won,60000,2026-01-20,New\nD2,Two,Ana,Closed Won,50000,2026-02-11,New\n"
# D1 grows in a period that is approved, D3 is new, D4 is lost, D5 is refused.
SECOND = HEADER + (
    "D1,One,Ana,Closed Won,90000,2026-01-20,New\n"
    "D2,Two,Ana,Closed Won,50000,2026-02-11,New\n"
    "D3,Three,Bo,Closed Won,10000,2026-03-02,New\n"
    "D4,Four,Bo,Closed Lost,10000,2026-03-02,New\n"
    "D5,Five,Zed,Closed Won,10000,2026-03-02,New\n"
)


def preview(company: Company, pool: Pool, text: str, *, earnings: bool = False) -> ImportPreview:
    upload = Upload(text.encode(), "deals.csv", source="crm", today=TODAY)
    return preview_import(company.db, company.actors["ada"], upload, pool, earnings=earnings)


def take(company: Company, pool: Pool, text: str) -> int:
    found = preview(company, pool, text)
    return import_deals(company.db, company.actors["ada"], found, accept_refused=True).import_id


def changes(found: ImportPreview) -> list[list[object]]:
    assert found.earnings is not None
    assert not found.earnings.problems
    columns = ["person", "period", "status", "before", "after"]
    return found.earnings.changes[columns].to_numpy().tolist()


def earned(company: Company, pool: Pool, period: str) -> dict[str, int]:
    runs.run_period(company.db, pool, company.actors["ada"], period)
    frame = payouts.period_people(company.db, company.actors["ada"], period)
    return {name: cents for name, cents in zip(frame["name"], frame["earned"].tolist(), strict=True) if cents}


def test_what_the_preview_says_comes_true(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    assert [row[:3] for row in changes(preview(company, pool, FIRST))] == [
        ["ana", "2026-02", ""],
        ["mia", "2026-02", ""],
        ["ana", "2026-01", ""],
        ["mia", "2026-01", ""],
    ]
    take(company, pool, FIRST)
    earned(company, pool, "2026-01")
    payouts.approve_period(company.db, ada, "2026-01")
    before = earned(company, pool, "2026-02")

    found = preview(company, pool, SECOND)
    assert found.refused_count == 1
    told = changes(found)
    assert [row[:3] for row in told] == [
        ["bo", "2026-03", ""],
        ["mia", "2026-03", ""],
        ["ana", "2026-02", "open"],
        ["ana", "2026-01", "approved"],
        ["mia", "2026-01", "approved"],
    ]
    assert found.earnings is not None
    assert set(found.earnings.closed["period"]) == {"2026-01"}
    assert found.earnings_count == 5
    # The preview has kept nothing.
    assert earned(company, pool, "2026-02") == before

    import_deals(company.db, ada, found, accept_refused=True)
    after = earned(company, pool, "2026-02")
    # February has its own difference, and the one of January, which is closed.
    moved = sum(int(str(row[4])) - int(str(row[3])) for row in told if row[0] == "ana")
    assert after["Ana"] - before["Ana"] == moved
    assert changes(preview(company, pool, SECOND)) == []


def test_undoing_leaves_open_periods_to_be_run_again(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    take(company, pool, FIRST)
    before = earned(company, pool, "2026-03")
    second = take(company, pool, SECOND)
    assert earned(company, pool, "2026-03") != before
    assert batches.undo_import(company.db, ada, second).periods == ("2026-03",)
    with pytest.raises(QuotaPathError, match="has not been calculated"):
        payouts.approve_period(company.db, ada, "2026-03")
    assert earned(company, pool, "2026-03") == before
    payouts.approve_period(company.db, ada, "2026-03")


def test_with_many_deals_earnings_are_calculated_on_demand(
    company: Company, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "_CALCULATED", 1)
    assert preview(company, pool, FIRST).earnings is None
    assert preview(company, pool, FIRST, earnings=True).earnings_count == 4


def test_what_keeps_earnings_from_being_calculated_is_said_and_the_import_goes_on(company: Company, pool: Pool) -> None:
    found = preview(company, pool, FIRST.replace("60000", "€60000"))
    assert found.earnings is not None
    assert "EUR" in " ".join(map(str, found.earnings.problems))
    assert (found.counts.added, found.earnings_count) == (2, 0)
    result = import_deals(company.db, company.actors["ada"], replace(found, earnings=None))
    assert result.added == 2

"""Pipeline stages on a real database: order, meaning, retiring, and the real win rate."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date

import pytest
import sqlalchemy as sa

from engine.errors import ProblemsError, QuotaPathError
from engine.services import payouts, runs, stages
from engine.services.access import Forbidden
from engine.services.impact import trial
from engine.services.stages import Stage, StageFields
from engine.workers.pool import Pool
from tests.integration.paying import Company

TODAY = date(2026, 3, 20)
LONG_AGO, TOMORROW = date(2020, 1, 1), date(2026, 3, 21)


def stage(company: Company, name: str) -> Stage:
    return next(each for each in stages.list_stages(company.db, company.actors["ada"]) if each.name == name)


def names(company: Company) -> list[str]:
    return [each.name for each in stages.list_stages(company.db, company.actors["ada"]) if not each.retired]


def fields(of: Stage, **changes: object) -> StageFields:
    return replace(StageFields(of.name, of.outcome, of.probability_ppm, of.color), **changes)  # type: ignore[arg-type]


def passage(company: Company, deal: int, *entries: tuple[str, str]) -> None:
    with company.db.write() as conn:
        for name, day in entries:
            conn.execute(
                sa.text(
                    "INSERT INTO deal_stage_entries SELECT :deal, id, CAST(:day AS timestamptz)"
                    " FROM pipeline_stages WHERE name = :name"
                ),
                {"deal": deal, "day": day, "name": name},
            )


def rates(company: Company, who: str = "ada", since: date = LONG_AGO) -> dict[str, stages.StageRow]:
    found = stages.stage_rows(company.db, company.actors[who], since, TOMORROW, TODAY)
    return {row.stage.name: row for row in found}


# --- the real win rate -------------------------------------------------------------------------------


@pytest.fixture
def passed(company: Company) -> Company:
    won = company.deal("W", "ana", "2026-02-01", 300)
    lost = company.deal("L", "ana", "2026-02-01", 100, "Closed Lost")
    early = company.deal("E", "bo", "2026-02-01", 600, "Closed Lost")
    still = company.deal("S", "ana", "2026-04-01", 900, "Proposal")
    refund = company.deal("R", "ana", "2026-02-01", -300)
    passage(company, won, ("Prospecting", "2026-01-01"), ("Proposal", "2026-01-11"), ("Closed Won", "2026-01-31"))
    passage(company, lost, ("Prospecting", "2026-01-01"), ("Proposal", "2026-01-05"), ("Closed Lost", "2026-01-15"))
    # Once back to the beginning: it entered each stage once all the same.
    passage(company, early, ("Prospecting", "2025-06-01"), ("Qualification", "2025-06-03"))
    passage(company, early, ("Prospecting", "2025-06-05"), ("Closed Lost", "2025-06-06"))
    passage(company, still, ("Proposal", "2026-03-01"))
    passage(company, refund, ("Prospecting", "2026-01-01"), ("Closed Won", "2026-02-01"))
    return company


def test_the_real_rate_is_of_the_decided_that_entered(passed: Company) -> None:
    found = rates(passed)
    first, proposal = found["Prospecting"], found["Proposal"]
    assert (first.entered, first.won, first.lost, first.undecided) == (3, 1, 2, 0)
    assert (first.rate_ppm, first.amount_rate_ppm) == (333_000, 300_000)  # 300 of 300 + 100 + 600
    assert (proposal.entered, proposal.won, proposal.lost, proposal.undecided) == (3, 1, 1, 1)
    assert (proposal.rate_ppm, proposal.amount_rate_ppm) == (500_000, 750_000)
    assert (first.won_amount, first.lost_amount) == (30_000, 70_000)
    assert first.days == pytest.approx((10 + 4 + 2 + 1) / 4)
    assert proposal.days == pytest.approx((20 + 10) / 2)  # the one that stands there has not left
    assert (found["Negotiation"].entered, found["Negotiation"].rate_ppm) == (0, None)


def test_the_span_is_that_of_the_entry(passed: Company) -> None:
    found = rates(passed, since=date(2026, 1, 1))
    assert (found["Prospecting"].entered, found["Qualification"].entered) == (2, 0)
    assert found["Prospecting"].rate_ppm == 500_000


@pytest.mark.parametrize(("who", "entered"), [("ada", 3), ("fay", 3), ("mia", 3), ("ana", 2), ("bo", 1)])
def test_each_role_sees_the_rate_of_its_deals(passed: Company, who: str, entered: int) -> None:
    assert rates(passed, who)["Prospecting"].entered == entered


def test_amounts_in_another_currency_are_converted_or_counted(passed: Company) -> None:
    deal = passed.deal("Y", "ana", "2026-02-01", 0)
    passed.change(deal, currency="JPY", amount=20_000)
    passage(passed, deal, ("Prospecting", "2026-01-01"), ("Closed Won", "2026-02-01"))
    assert (rates(passed)["Prospecting"].won_amount, rates(passed)["Prospecting"].unconverted) == (30_000, 1)
    with passed.db.write() as conn:
        conn.execute(sa.text("INSERT INTO exchange_rates VALUES ('JPY', 'USD', '2026-01-01', 0.005)"))
    found = rates(passed)["Prospecting"]
    assert (found.won_amount, found.unconverted) == (30_000 + 10_000, 0)  # 20,000 yen are 100 dollars


def test_taking_the_real_rate(passed: Company) -> None:
    ada = passed.actors["ada"]
    stages.take_real_rate(passed.db, ada, stage(passed, "Proposal"), 512_000)
    assert stage(passed, "Proposal").probability_ppm == 512_000


# --- changing ----------------------------------------------------------------------------------------


def test_stages_are_added_renamed_and_ordered(company: Company) -> None:
    db, ada = company.db, company.actors["ada"]
    new = stages.add_stage(db, ada, StageFields("  Legal   review ", "open", 800_000, "violet"))
    assert names(company)[-1] == "Legal review"
    order = [each.id for each in stages.list_stages(db, ada)]
    order.insert(4, order.pop())
    stages.order_stages(db, ada, order)
    assert names(company)[4] == "Legal review"
    stages.edit_stage(db, ada, stage(company, "Legal review"), StageFields("Legal", "open", 850_000, "red"))
    found = stage(company, "Legal")
    assert (found.id, found.probability_ppm, found.color) == (new, 850_000, "red")
    with pytest.raises(QuotaPathError, match="meanwhile"):
        stages.order_stages(db, ada, order[:-1])


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "closed won"}, "name"),
        ({"probability_ppm": 1_000_001}, "probability"),
        ({"color": "pink"}, "colour"),
        ({"outcome": "maybe"}, "meaning"),
    ],
)
def test_wrong_fields_are_refused(company: Company, changed: dict[str, object], path: str) -> None:
    with pytest.raises(ProblemsError) as caught:
        stages.edit_stage(
            company.db, company.actors["ada"], stage(company, "Proposal"), fields(stage(company, "Proposal"), **changed)
        )
    assert [problem.path for problem in caught.value.problems] == [path]


def test_what_somebody_changed_meanwhile_is_not_overwritten(company: Company) -> None:
    seen = stage(company, "Proposal")
    stages.edit_stage(company.db, company.actors["ada"], seen, fields(seen, color="red"))
    with pytest.raises(QuotaPathError, match="Somebody changed"):
        stages.edit_stage(company.db, company.actors["ada"], seen, fields(seen, color="orange"))


def test_a_meaning_that_deals_or_the_pipeline_do_not_allow(company: Company) -> None:
    db, ada = company.db, company.actors["ada"]
    open_deal, sold = (
        company.deal("D1", "ana", "2026-02-01", 100, "Proposal"),
        company.deal("D2", "ana", "2026-02-01", 1),
    )
    company.change(open_deal, amount=None)
    company.change(sold, cancelled_on=date(2026, 2, 2))
    with pytest.raises(ProblemsError, match="have no amount"):
        stages.edit_stage(db, ada, stage(company, "Proposal"), fields(stage(company, "Proposal"), outcome="won"))
    with pytest.raises(ProblemsError) as caught:
        stages.edit_stage(db, ada, stage(company, "Closed Won"), fields(stage(company, "Closed Won"), outcome="lost"))
    assert "only stage that means won" in str(caught.value)
    assert "cancelled sales" in str(caught.value)


def test_another_meaning_changes_open_periods_and_says_so(company: Company, pool: Pool) -> None:
    db, ada = company.db, company.actors["ada"]
    for name, day in (("D1", "2026-01-20"), ("D2", "2026-02-10"), ("D3", "2026-03-10")):
        company.deal(name, "ana", day, 10_000, "Negotiation")
    for month in ("2026-01", "2026-02"):
        runs.run_period(db, pool, ada, month)
    payouts.approve_period(db, ada, "2026-01")
    seen = stage(company, "Negotiation")
    standing = stages.standing(db, ada, seen.id)
    assert (standing.deals, standing.periods) == (3, (("2026-01", "approved", 1), ("2026-02", "open", 1)))
    assert stages.first_open_period(db, ada) == "2026-02"

    found = stages.meaning_impact(db, pool, ada, seen, fields(seen, outcome="won"), TODAY)
    of_ana = found.changes[found.changes["person"] == "ana"]
    assert of_ana[["period", "status", "difference"]].to_numpy().tolist() == [
        ["2026-01", "approved", 80_000],
        ["2026-02", "open", 80_000],
        ["2026-03", "", 80_000],
    ]
    assert stage(company, "Negotiation") == seen  # nothing was kept

    stages.edit_stage(db, ada, seen, fields(seen, outcome="won"))
    runs.run_period(db, pool, ada, "2026-02")
    assert company.earned("ana", "2026-01") == 0  # closed: stays
    assert company.earned("ana", "2026-02") == 160_000  # its own, and January's as an adjustment


def test_a_trial_that_meets_another_change_says_so(company: Company, pool: Pool) -> None:
    seen = stage(company, "Proposal")

    def change(conn: sa.Connection) -> None:
        stages.edit_stage(company.db, company.actors["ada"], seen, fields(seen, color="red"))
        conn.execute(sa.text("UPDATE pipeline_stages SET outcome = 'open' WHERE id = :id"), {"id": seen.id})

    with pytest.raises(QuotaPathError, match="changed the same meanwhile"):
        trial(company.db, pool, TODAY, change)


# --- retiring ----------------------------------------------------------------------------------------


def test_a_stage_with_deals_moves_them_first(company: Company, pool: Pool) -> None:
    db, ada = company.db, company.actors["ada"]
    deal = company.deal("D1", "ana", "2026-02-01", 10_000, "Negotiation")
    passage(company, deal, ("Negotiation", "2026-01-01"))
    seen, won = stage(company, "Negotiation"), stage(company, "Closed Won")
    with db.write() as conn:
        conn.execute(
            sa.text(
                "INSERT INTO import_mappings (source, mapping, stages, updated_by)"
                " VALUES ('crm', '{}', jsonb_build_object('nego', CAST(:id AS bigint), 'other', 1), :ada)"
            ),
            {"id": seen.id, "ada": ada.user_id},
        )
    with pytest.raises(ProblemsError, match="Choose the stage"):
        stages.retire_stage(db, ada, seen, None, 1)
    with pytest.raises(QuotaPathError, match="1 deals are in Negotiation by now, not 7"):
        stages.retire_stage(db, ada, seen, won.id, 7)
    moved = stages.move_impact(db, pool, ada, seen, won, TODAY)
    assert moved.changes[["person", "difference"]].to_numpy().tolist() == [["ana", 80_000], ["mia", 10_000]]

    assert stages.retire_stage(db, ada, seen, won.id, 1) == 1
    assert "Negotiation" not in names(company)
    assert stage(company, "Negotiation").retired
    with db.read() as conn:
        assert conn.scalar(sa.text("SELECT stage_id FROM deals")) == won.id
        assert conn.scalar(sa.text("SELECT changes FROM deal_changes")) == {"stage_id": [seen.id, won.id]}
        assert conn.scalar(sa.text("SELECT count(*) FROM deal_stage_entries WHERE stage_id = :id"), {"id": won.id}) == 1
        assert conn.scalar(sa.text("SELECT stages FROM import_mappings")) == {"nego": won.id, "other": 1}
        assert conn.scalar(sa.text("SELECT version FROM deals")) == 2
    with pytest.raises(ProblemsError, match="Restore that one"):
        stages.add_stage(db, ada, StageFields("Negotiation", "open", 1, "red"))
    stages.restore_stage(db, ada, seen.id)
    assert names(company)[-1] == "Negotiation"


def test_a_stage_that_nobody_passed_is_deleted(company: Company) -> None:
    db, ada = company.db, company.actors["ada"]
    stages.retire_stage(db, ada, stage(company, "Qualification"), None, 0)
    assert "Qualification" not in {each.name for each in stages.list_stages(db, ada)}
    stages.add_stage(db, ada, StageFields("Qualification", "open", 1, "red"))
    with pytest.raises(ProblemsError, match="only stage that means lost"):
        stages.retire_stage(db, ada, stage(company, "Closed Lost"), None, 0)


def test_two_who_retire_at_once_leave_no_deal_behind(company: Company) -> None:
    """Each moves the deals of its stage into the other's: one is refused."""
    db, ada = company.db, company.actors["ada"]
    one, two = stage(company, "Proposal"), stage(company, "Negotiation")
    company.deal("D1", "ana", "2026-02-01", 1, "Proposal")
    company.deal("D2", "ana", "2026-02-01", 1, "Negotiation")

    def retire(pair: tuple[Stage, Stage]) -> str:
        try:
            stages.retire_stage(db, ada, pair[0], pair[1].id, 1)
        except QuotaPathError as refused:
            return type(refused).__name__
        return "done"

    with ThreadPoolExecutor(2) as threads:
        found = sorted(threads.map(retire, [(one, two), (two, one)]))
    assert found == ["ProblemsError", "done"]
    with db.read() as conn:
        left = conn.scalar(
            sa.text(
                "SELECT count(*) FROM deals d JOIN pipeline_stages s ON s.id = d.stage_id WHERE s.retired_at IS NULL"
            )
        )
    assert left == 2


def test_two_who_add_the_same_stage_at_once(company: Company) -> None:
    def add(_: int) -> str:
        try:
            stages.add_stage(company.db, company.actors["ada"], StageFields("Legal", "open", 1, "red"))
        except ProblemsError as refused:
            return refused.problems[0].path
        return "added"

    with ThreadPoolExecutor(4) as threads:
        found = sorted(threads.map(add, range(4)))
    assert found == ["added", "name", "name", "name"]


def test_only_admins_change_stages(company: Company, pool: Pool) -> None:
    for who in ("fay", "mia", "ana"):
        actor, seen = company.actors[who], stage(company, "Proposal")
        assert len(stages.list_stages(company.db, actor)) == 6
        for call in (
            lambda actor=actor: stages.add_stage(company.db, actor, StageFields("X", "open", 0, "red")),
            lambda actor=actor, seen=seen: stages.edit_stage(company.db, actor, seen, fields(seen, color="red")),
            lambda actor=actor: stages.order_stages(company.db, actor, []),
            lambda actor=actor, seen=seen: stages.retire_stage(company.db, actor, seen, None, 0),
            lambda actor=actor, seen=seen: stages.restore_stage(company.db, actor, seen.id),
            lambda actor=actor, seen=seen: stages.standing(company.db, actor, seen.id),
            lambda actor=actor, seen=seen: stages.move_impact(company.db, pool, actor, seen, seen, TODAY),
        ):
            with pytest.raises(Forbidden):
                call()

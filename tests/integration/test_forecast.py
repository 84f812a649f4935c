"""Forecasts against Postgres and the real rules: by hand, as known then, to the cent, and for whom."""

from datetime import date
from typing import cast

import pandas as pd
import pytest
import sqlalchemy as sa

from engine.analytics import forecast as parts
from engine.analytics import forecast_outcomes as outcomes
from engine.analytics.dashboard import Scope
from engine.analytics.remembered import Remembered
from engine.db.database import Database
from engine.errors import ProblemsError
from engine.services import (
    bodies,
    forecast,
    forecast_backtest,
    forecast_deals,
    forecast_report,
    forecast_simulation,
    runs,
)
from engine.services.access import Actor, Forbidden
from engine.services.forecast_deals import Tick
from engine.services.jobs import JobRunner
from engine.workers.pool import Pool
from tests.integration.paying import PLAN, Company

TODAY = date(2026, 2, 10)
EVERYONE = Scope(None, None, "USD")


def entered(company: Company, deal: int, *stays: tuple[str, str]) -> None:
    """The passage of a deal: (stage, day)."""
    with company.db.write() as conn:
        for stage, day in stays:
            conn.execute(
                sa.text(
                    "INSERT INTO deal_stage_entries SELECT :deal, id, :day FROM pipeline_stages WHERE name = :stage"
                ),
                {"deal": deal, "stage": stage, "day": day},
            )


def way(found, name, quarter="2026-Q1"):
    rows = found.ways[(found.ways["way"] == name) & (found.ways["name"] == quarter)]
    return float(rows["middle"].iloc[0])


def test_the_weighted_pipeline_of_today(company):
    company.deal("W", "ana", "2026-01-15", 1_000)
    company.deal("P", "ana", "2026-03-01", 4_000, "Proposal")  # 50%
    company.deal("N", "bo", "2026-05-01", 1_000, "Negotiation")  # 75%, in the next quarter
    company.deal("L", "bo", "2026-01-05", 2_000, "Proposal")  # overdue: 30 days from today
    company.deal("0", "bo", "2026-03-05", 0, "Proposal")
    without = company.deal("X", "bo", "2026-03-05", 1, "Proposal")
    company.change(without, amount=None)
    found = forecast.outlook(company.db, company.actors["ada"], None, TODAY, 2)
    assert way(found, "pipeline") == 100_000 + 200_000 + 100_000
    assert way(found, "pipeline", "2026-Q2") == 75_000
    assert (found.so_far, found.open_deals, found.overdue, found.left_out) == (100_000, 4, 1, 1)
    assert found.chosen is None
    assert found.rate is None
    assert set(found.ways["way"]) == {"pipeline"}


def test_real_win_rates_and_waits_are_those_known_on_the_day(company):
    for number in range(20):
        deal = company.deal(f"D{number}", "ana", "2026-01-20", 100, "Closed Won" if number < 5 else "Closed Lost")
        end = "Closed Won" if number < 5 else "Closed Lost"
        entered(company, deal, ("Proposal", "2025-12-10"), (end, "2026-01-20"))
    with company.db.read() as conn:
        rates = parts.stage_rates(conn, [date(2026, 1, 1), TODAY])
    rows = rates[rates["stage"] == "Proposal"].set_index("day")[["won", "lost", "rate", "real", "wait"]]
    assert rows.to_numpy().tolist()[0] == [0, 0, 500_000, False, 30]
    assert rows.to_numpy().tolist()[1] == [5, 15, 250_000, True, 41]


def test_the_pipeline_of_a_past_day_is_what_it_was(company):
    """Won, moved, and made smaller since; and one that came later."""
    deal = company.deal("D", "ana", "2026-05-20", 500)
    entered(company, deal, ("Proposal", "2025-12-10"), ("Negotiation", "2026-01-10"), ("Closed Won", "2026-02-01"))
    later = company.deal("E", "bo", "2026-03-20", 900, "Proposal")
    entered(company, later, ("Proposal", "2026-01-05"))
    with company.db.write() as conn:
        conn.execute(
            sa.text("""
                INSERT INTO deal_changes (deal_id, at, changes) VALUES
                    (:d, '2025-12-20', '{"close_date": ["2025-12-24", "2026-02-15"]}'),
                    (:d, '2026-01-15', '{"close_date": ["2026-02-15", "2026-05-20"], "amount": [80000, 60000]}'),
                    (:d, '2026-01-25', '{"amount": [60000, 50000]}')
            """),
            {"d": deal},
        )
        found = parts.pipeline_then(conn, EVERYONE, [date(2025, 7, 1), date(2026, 1, 1), date(2026, 1, 20)])
        own = parts.pipeline_then(conn, Scope(frozenset({company.users["bo"]}), None, "USD"), [date(2026, 1, 20)])
        stages = dict(conn.execute(sa.text("SELECT id, name FROM pipeline_stages")).all())
    rows = [(row.day, stages[row.stage_id], row.month, row.amount) for row in found.itertuples()]
    assert sorted(rows) == [
        (date(2026, 1, 1), "Proposal", date(2026, 2, 1), 80_000),
        (date(2026, 1, 20), "Negotiation", date(2026, 5, 1), 60_000),
        (date(2026, 1, 20), "Proposal", date(2026, 3, 1), 90_000),
    ]
    assert own["amount"].tolist() == [90_000]


def worked_out(company, who):
    """The backtest, after a job has done it."""
    runner = JobRunner(company.db, cast(Pool, None), bodies.JOBS)  # which calculates no pay
    forecast_backtest.start_backtest(company.db, runner, company.actors[who], None, TODAY)
    runner.close()
    return forecast_backtest.backtest(company.db, company.actors[who], None, TODAY)


def known(company, actor, today=TODAY):
    found = forecast_backtest.backtest(company.db, actor, None, today).found
    assert found is not None
    return found


def test_the_backtest_says_what_the_history_does_not_know(company):
    for month in range(1, 13):
        company.deal(f"M{month}", "ana", f"2025-{month:02}-10", 100 + month)
    standing = worked_out(company, "ada")
    found = standing.found
    assert (standing.fresh, standing.job) == (True, None)
    assert found.rows["name"].tolist() == ["2025-Q1", "2025-Q2", "2025-Q3", "2025-Q4"]
    assert found.rows["pipeline"].isna().all()
    assert found.rows["naive"].tolist()[1:] == found.rows["actual"].tolist()[:-1]
    pipeline, model, naive, yearly = found.scores
    assert (pipeline.quarters, model.quarters, naive.quarters, yearly.quarters) == (0, 0, 3, 0)
    with company.db.read() as conn:
        direct = forecast_backtest.backtest_of(conn, EVERYONE, TODAY, 1)
    pd.testing.assert_frame_equal(found.rows, direct.rows)
    assert found.scores == direct.scores


def test_a_backtest_is_the_viewers_own_and_kept_until_the_data_changes(company):
    for month in range(1, 13):
        company.deal(f"M{month}", "ana", f"2025-{month:02}-10", 100 + month)
    assert known(company, company.actors["bo"]).rows.empty  # no job for what there is nothing of
    own, everyone = worked_out(company, "ana"), worked_out(company, "ada")
    assert own.found.rows["actual"].tolist() == everyone.found.rows["actual"].tolist()
    assert forecast_backtest.backtest(company.db, company.actors["mia"], None, TODAY).found is None
    company.deal("M13", "ana", "2025-12-11", 900)
    stale = forecast_backtest.backtest(company.db, company.actors["ada"], None, TODAY)
    assert not stale.fresh
    assert known(company, company.actors["ada"]).scores == everyone.found.scores
    # Who sees others by now is not shown what was worked out for those of before.
    with company.db.write() as conn:
        conn.execute(sa.text("UPDATE users SET role = 'rep' WHERE code = 'ada'"))
    former = Actor(company.users["ada"], "rep", "ada")
    assert known(company, former).rows.empty
    assert forecast_backtest.backtest(company.db, company.actors["ada"], None, date(2026, 4, 1)).found is None


def simulated(company, pool, who="ada", ahead=1, **more):
    return forecast_simulation.simulated(company.db, pool, company.actors[who], None, TODAY, ahead, 200, 7, **more)


def publish(company: Company, document: str, start: str) -> None:
    """One more version of the sellers' plan."""
    with company.db.write() as conn:
        conn.execute(
            sa.text("""
                INSERT INTO plan_versions (plan_id, effective_from, document, hash, status, published_at)
                SELECT id, :start, :document, '', 'published', now() FROM plans WHERE name = 'ae'
            """),
            {"document": document.replace("2026-01-01", start), "start": start},
        )


@pytest.fixture
def selling(company):
    """Sales of the first quarter, one of the year before that is cancelled in it, and open deals."""
    publish(company, PLAN + "[clawback]\n", "2025-01-01")
    publish(company, PLAN + '[clawback]\nshare = "50%"\n', "2026-01-02")
    with company.db.write() as conn:
        conn.execute(
            sa.text("""
                UPDATE plan_assignments SET start_date = '2025-01-01' WHERE user_id IN (SELECT user_id FROM quotas);
                INSERT INTO quotas (user_id, period, start_date, end_date, amount, currency)
                SELECT user_id, '2025-Q4', '2025-10-01', '2026-01-01', 9000000, 'USD' FROM quotas
            """)
        )
    old = company.deal("OLD", "ana", "2025-11-03", 40_000)
    company.change(old, cancelled_on=date(2026, 1, 20))
    company.deal("A", "ana", "2026-01-15", 70_000)
    back = company.deal("A2", "bo", "2026-01-10", 10_000)
    company.change(back, cancelled_on=date(2026, 2, 3))
    company.deal("B", "bo", "2026-02-05", 30_000)
    company.deal("C", "ana", "2026-03-10", 50_000, "Proposal")
    company.deal("D", "bo", "2026-03-20", 90_000, "Negotiation")
    return company


def test_what_is_certain_is_what_a_run_gives_to_the_cent(selling, pool):
    for month in ("2025-11", "2026-01", "2026-02"):
        runs.run_period(selling.db, pool, selling.actors["ada"], month)
    found = simulated(selling, pool)
    assert found.problems == ()
    people = found.people.set_index("code")
    for code in ("ana", "bo", "mia"):
        official = sum(selling.earned(code, month) for month in ("2026-01", "2026-02"))
        assert people.loc[code, "certain"] == official
        assert people.loc[code, "pay_low"] >= official
    assert people.loc["ana", "certain"] == 70_000 * 8 - 40_000 * 8  # the old sale is taken back
    # Ana: C in half of the outcomes, of which 30,000 is below the quota.
    assert people.loc["ana", "pay_high"] == people.loc["ana", "certain"] + 30_000 * 8 + 20_000 * 12
    assert 0.3 < people.loc["ana", "chance"] < 0.7
    assert people.loc["mia", "attainment"] is None or people["attainment"].isna()["mia"]
    assert int(found.totals["certain"].iloc[0]) == int(found.people["certain"].sum())
    again = simulated(selling, pool)
    assert again is found
    whole = selling.db
    with whole.read() as conn:
        trial = outcomes.load_trial(conn, TODAY, date(2026, 4, 1), {})
    assert len(trial.book.deals) == 4


@pytest.mark.parametrize("chance", [0, 1_000_000])  # a draw depends on the deal's place in the book
def test_a_cut_history_pays_as_the_whole_one(selling, pool, monkeypatch, chance):
    with selling.db.write() as conn:
        conn.execute(sa.text("UPDATE pipeline_stages SET probability_ppm = :p WHERE outcome = 'open'"), {"p": chance})
    short = simulated(selling, pool)
    monkeypatch.setattr(outcomes, "cut_for", lambda _plans, _since: None)
    monkeypatch.setattr(outcomes, "without_certain_cancellations", lambda trial, _today: trial)
    monkeypatch.setattr(forecast_simulation, "remembered", Remembered(0))
    whole = simulated(selling, pool)
    assert whole is not short
    assert whole.people.equals(short.people)
    assert whole.totals.equals(short.totals)


def test_everyone_sees_the_own_reach_with_the_same_outcomes(selling, pool):
    everyone = simulated(selling, pool, "fay").people.set_index("code")
    for who, codes in (("ana", ["ana"]), ("mia", ["ana", "bo", "mia"])):
        own = simulated(selling, pool, who)
        assert sorted(own.people["code"]) == codes
        for code in codes:
            assert own.people.set_index("code").loc[code, "pay_middle"] == everyone.loc[code, "pay_middle"]
    assert simulated(selling, pool, "ana").totals["pay_high"].iloc[0] == everyone.loc["ana", "pay_high"]
    for who in ("ana", "mia"):
        assert forecast.outlook(selling.db, selling.actors[who], None, TODAY, 1).open_deals == (
            1 if who == "ana" else 2
        )
    with pytest.raises(Forbidden):
        forecast_deals.open_deals(selling.db, selling.actors["ana"], selling.users["bo"], TODAY)
    with pytest.raises(Forbidden):
        forecast_deals.if_these_close(selling.db, pool, selling.actors["bo"], selling.users["ana"], {}, TODAY)


def test_quotas_go_on_and_deals_that_no_plan_can_pay_are_left_out(selling, pool):
    company = selling
    publish(company, PLAN.replace('kind = "quota"', 'kind = "quota"\npays_on = "margin"'), "2026-01-03")
    with company.db.write() as conn:
        conn.execute(sa.text("UPDATE deals SET margin = amount WHERE name <> 'C'"))
    found = simulated(company, pool, ahead=2)
    assert found.problems == ()
    assert found.dropped == 1
    assert found.copied == ("2026-Q2",)
    assert found.totals["name"].tolist() == ["2026-Q1", "2026-Q2"]
    with company.db.write() as conn:
        conn.execute(sa.text("UPDATE deals SET margin = NULL WHERE name = 'A'"))
        conn.execute(sa.text("UPDATE company SET data_version = data_version + 1"))
    assert "margin" in " ".join(map(str, simulated(company, pool).problems))


@pytest.mark.parametrize("who", ["ana", "mia"])
def test_ticked_deals_pay_what_a_run_pays_once_they_are_won(selling, pool, who):
    company = selling
    person = company.users[who]
    offered = forecast_deals.open_deals(company.db, company.actors[who], person, TODAY)
    ids = dict(zip(offered["name"], offered["id"], strict=True))
    assert list(ids) == (["C"] if who == "ana" else ["C", "D"])
    nothing = forecast_deals.if_these_close(company.db, pool, company.actors[who], person, {}, TODAY)
    ticks = {int(ids["C"]): Tick(date(2026, 3, 12), 6_000_000)}
    found = forecast_deals.if_these_close(company.db, pool, company.actors[who], person, ticks, TODAY)
    assert found.before == nothing.before == nothing.after
    won = "(SELECT id FROM pipeline_stages WHERE outcome = 'won')"
    with company.db.write() as conn:
        conn.execute(
            sa.text(f"UPDATE deals SET stage_id = {won}, amount = 6000000, close_date = '2026-03-12' WHERE name = 'C'")
        )
    months = ("2026-01", "2026-02", "2026-03")
    for month in ("2025-11", *months):
        runs.run_period(company.db, pool, company.actors["ada"], month)
    assert found.after == sum(company.earned(who, month) for month in months)
    assert found.lines["deal"].tolist() == ["C"]
    assert int(found.lines["difference"].sum()) == found.after - found.before == int(found.pay["difference"].sum())
    if who == "ana":
        assert found.attainment[["before", "after"]].to_numpy().tolist() == [[0.7, 1.3]]


def test_what_cannot_close_is_refused(selling, pool):
    actor, person = selling.actors["ana"], selling.users["ana"]
    deal = int(forecast_deals.open_deals(selling.db, actor, person, TODAY)["id"].iloc[0])
    for ticks, word in (
        ({deal: Tick(date(2020, 1, 1), 5)}, "closes on 2020-01-01"),
        ({deal: Tick(TODAY, -5)}, "amount"),
        ({deal + 1: Tick(TODAY, 5)}, "not open any more"),  # Bo's
    ):
        with pytest.raises(ProblemsError, match=word):
            forecast_deals.if_these_close(selling.db, pool, actor, person, ticks, TODAY)


def test_the_docs_say_what_the_code_gives_on_the_demo_company(database_url):
    db = Database(database_url)
    found = forecast_report.demo_backtest(db)
    db.close()
    for page in forecast_report.PAGES:
        assert forecast_report.demo_table(found) in page.read_text(encoding="utf-8")

"""The forecast page for each role: without data, with too short a history, with a pipeline; and ticking deals."""

import json
from datetime import date

import pytest
import sqlalchemy as sa

from app import state

PLAN = """
plan = "ae"
effective_from = 2025-01-01
currency = "USD"
pay_period = "month"

[[component]]
id = "sales"
label = "All sales"
kind = "quota"
quota_period = "quarter"
quota = 10000
tiers = [{ from = "0%", rate = "10%" }, { from = "100%", rate = "15%" }]
"""


def words(screen):
    assert not screen.exception, screen.exception
    every = (*screen.markdown, *screen.caption, *screen.error, *screen.warning, *screen.info, *screen.subheader)
    return " ".join(each.value for each in every).replace("\\", "")


def figures(screen):
    return {each.label: (each.value, each.delta) for each in screen.metric}


@pytest.fixture
def selling(company):
    """Rob, Rea and Oda on a plan; won deals of three months, and one open deal of Rob and one of Oda."""
    with company.db.write() as conn:
        conn.execute(
            sa.text("""
                INSERT INTO plans (name, title) VALUES ('ae', 'AE');
                INSERT INTO plan_versions (plan_id, effective_from, document, hash, status, published_at)
                SELECT id, '2025-01-01', :document, '', 'published', now() FROM plans;
                INSERT INTO plan_assignments (user_id, plan_id, start_date)
                SELECT users.id, plans.id, '2025-01-01' FROM users, plans WHERE users.role = 'rep'
            """),
            {"document": PLAN},
        )
        deals = [("rob", 7_000, "2026-10-05", "Closed Won"), ("rob", 4_000, "2026-12-05", "Proposal")]
        deals += [("oda", 2_000, "2026-05-05", "Closed Won"), ("oda", 500, "2026-12-06", "Negotiation")]
        for number, (owner, dollars, day, stage) in enumerate(deals):
            conn.execute(
                sa.text("""
                    INSERT INTO deals (source, external_id, name, owner_id, stage_id, amount, currency, close_date)
                    SELECT 'crm', :name, :name, :owner, id, :cents, 'USD', :day FROM pipeline_stages
                     WHERE name = :stage
                """),
                {"name": f"Deal {number}", "owner": company.people[owner], "cents": dollars * 100, "day": day,
                 "stage": stage},
            )  # fmt: skip
    return company


@pytest.mark.parametrize("person", ["ada", "finn", "mia", "rob"])
def test_without_data_every_view_says_what_to_do(open_page, person):
    assert "Nothing to forecast from yet" in words(open_page("forecast", person))
    assert "Nobody here is on a plan" in words(open_page("forecast", person, view="deals"))
    assert "No full quarter to test on yet" in words(open_page("forecast", person, view="backtest"))


@pytest.mark.parametrize(
    ("person", "won", "pipeline", "people"),
    [
        ("ada", "$7,000", "$9,375", {"Rob Rep", "Rea Rep", "Oda Other"}),
        ("finn", "$7,000", "$9,375", {"Rob Rep", "Rea Rep", "Oda Other"}),
        ("mia", "$7,000", "$9,000", {"Rob Rep", "Rea Rep"}),
        ("rob", "$7,000", "$9,000", {"Rob Rep"}),
    ],
)
def test_each_role_sees_the_own_reach_and_what_is_not_known(open_page, selling, person, won, pipeline, people):
    screen = open_page("forecast", person, rounds="500")
    shown = figures(screen)
    assert shown["Won so far, Q4 2026"][0] == won
    assert shown["Weighted pipeline"][0] == pipeline
    assert shown["Statistical model"][0] == "–"
    assert shown["Simulation"][0] in ("$7,000", "$7,500", "$11,000", "$11,500")
    text = words(screen)
    assert "the history is too short or never changes" in text
    assert "no pay period has been run" in text
    assert "500 outcomes" in text
    assert "seed 2026" in text
    table = next(each.value for each in screen.dataframe if "person" in each.value)
    assert set(table["person"]) == people
    by_name = table.set_index("person")
    assert 0.3 < by_name.loc["Rob Rep", "chance"] < 0.7
    assert by_name.loc["Rob Rep", ["pay_low", "pay_high", "certain"]].tolist() == [700.0, 1150.0, 700.0]


def test_measure_quarter_and_span_come_from_the_url(open_page, selling):
    screen = open_page("forecast", "ada", measure="pay", quarter="2027-Q1", ahead="3", rounds="500", seed="11")
    assert next(iter(figures(screen))) == "Certain by now"
    assert "Each person, Q1 2027" in words(screen)
    assert "seed 11" in words(screen)
    chart = json.loads(screen.get("vega_lite_chart")[0].proto.spec)
    assert len(chart["layer"]) == 3
    wrong = open_page("forecast", "ada", measure="x", quarter="1999-Q1", ahead="99", rounds="-5", seed="abc", view="no")
    assert next(iter(figures(wrong))) == "Won so far, Q4 2026"
    assert "2,000 outcomes" in words(wrong)


def test_a_plan_that_does_not_work_out_leaves_the_other_ways(open_page, selling):
    with selling.db.write() as conn:
        conn.execute(sa.text("UPDATE deals SET close_date = '2024-12-31' WHERE name = 'Deal 2'"))
        conn.execute(sa.text("UPDATE plan_assignments SET start_date = '2024-01-01'"))  # the plan begins in 2025
    screen = open_page("forecast", "ada")
    assert figures(screen)["Weighted pipeline"][0] == "$9,375"
    assert figures(screen)["Simulation"][0] == "–"
    assert "the plans, and these do not work out yet" in words(screen)


def test_a_rep_ticks_a_deal_and_sees_pay_and_attainment(open_page, selling):
    screen = open_page("forecast", "rob", view="deals")
    shown = figures(screen)
    assert shown["Your pay, October 2026"] == ("$700.00", "")
    assert shown["All sales: Q4 2026"][0] == "70.0%"
    assert "Nothing is ticked" in words(screen)
    screen.session_state["ticks_rob"] = {"edited_rows": {0: {"tick": True}}, "added_rows": [], "deleted_rows": []}
    shown = figures(screen.run())
    assert shown["Your pay, Oct – Dec 2026"] == ("$1,150.00", "+$450.00")  # 3,000 at 10%, 1,000 at 15%
    assert shown["Without the ticked deals"][0] == "$700.00"
    assert shown["All sales: Q4 2026"] == ("110.0%", "+40.0 pts")
    lines = next(each.value for each in screen.dataframe if "deal" in each.value)
    assert lines[["deal", "difference"]].to_numpy().tolist() == [["Deal 1", 450.0]]
    changed = {"tick": True, "amount": 1_000.5, "closes": "2027-01-15"}
    screen.session_state["ticks_rob"] = {"edited_rows": {0: changed}, "added_rows": [], "deleted_rows": []}
    shown = figures(screen.run())
    assert shown["Your pay, Oct 2026 – Jan 2027"] == ("$800.05", "+$100.05")
    changed["closes"] = "2020-01-01"
    screen.session_state["ticks_rob"] = {"edited_rows": {0: changed}, "added_rows": [], "deleted_rows": []}
    assert "closes on 2020-01-01" in words(screen.run())
    with selling.db.read() as conn:
        assert conn.scalar(sa.text("SELECT count(*) FROM deals WHERE close_date > :d"), {"d": date(2026, 12, 1)}) == 2
        assert conn.scalar(sa.text("SELECT count(*) FROM runs")) == 0


def test_a_manager_chooses_a_person_of_the_team_alone(open_page, selling):
    screen = open_page("forecast", "mia", view="deals")
    screen.query_params["person"] = "rob"
    screen.run()
    assert screen.selectbox(key="earnings_person").options == ["Rea Rep", "Rob Rep"]
    assert "Pay of Rob Rep, October 2026" in figures(screen)
    screen.query_params["person"] = "oda"
    assert "Oda" not in " ".join(figures(screen.run()))
    assert "No open deals" in words(open_page("forecast", "rea", view="deals"))


def test_the_backtest_says_that_the_past_is_not_known(open_page, selling):
    screen = open_page("forecast", "ada", view="backtest")
    runner = state.jobs()
    runner.close()  # which waits for the job that the page has started
    text = words(screen.run())
    assert "does not reach back" in text
    assert "10 full months of revenue before a quarter are needed" in text

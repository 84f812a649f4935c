"""Pipeline and Analytics for each role: without data, with one deal, with many; and what an address asks of Deals."""

import json

import pytest
import sqlalchemy as sa

from app import drill
from engine.services.deals import Behind
from tests.pages.test_dashboard import PROPOSAL, WON, run, sell  # noqa: F401  fixtures

ROLES = ["ada", "finn", "mia", "rob"]


def words(screen):
    assert not screen.exception, screen.exception
    every = (*screen.markdown, *screen.caption, *screen.warning, *screen.subheader, *screen.info)
    return " ".join(each.value for each in every).replace("\\", "")


def enter(company, stage, at):
    """Every deal without a passage enters the stage."""
    with company.db.write() as conn:
        conn.execute(
            sa.text("""
                INSERT INTO deal_stage_entries SELECT id, :s, :at FROM deals
                 WHERE id NOT IN (SELECT deal_id FROM deal_stage_entries);
                UPDATE company SET data_version = data_version + 1"""),
            {"s": stage, "at": at},
        )


@pytest.mark.parametrize("person", ROLES)
@pytest.mark.parametrize(("page", "title"), [("pipeline", "No deals yet"), ("analytics", "No commission from")])
def test_without_data_every_role_is_told_so(open_page, page, title, person):
    assert title in words(open_page(page, person))


@pytest.mark.parametrize("person", ROLES)
def test_one_open_deal(open_page, sell, person):  # noqa: F811
    sell("rob", 1000, close="2026-12-05", stage=PROPOSAL)
    screen = open_page("pipeline", person)
    assert "No usual yet" in json.dumps([chart.proto.spec for chart in screen.get("vega_lite_chart")])
    assert {metric.label: metric.value for metric in screen.metric} | {"Open pipeline": "$1,000.00"} == {
        "Open pipeline": "$1,000.00", "Weighted": "$500.00", "Win rate": "–", "Sales cycle": "–",
        "Past the close date": "0", "Moved later": "0", "Slipped": "0", "Sales velocity": "–",
    }  # fmt: skip


@pytest.mark.parametrize("by", ["Together", "Rep", "Team", "Product", "Segment"])
def test_many_deals_in_groups(open_page, company, sell, by):  # noqa: F811
    for number in range(30):
        sell(("rob", "rea", "oda")[number % 3], 100 + number, close="2026-12-05", stage=PROPOSAL)
    enter(company, PROPOSAL, "2026-11-01")
    screen = open_page("pipeline", "ada", by=by)
    text = words(screen)
    assert ("Choose a row" in text) is (by != "Together")
    if by == "Rep":
        (table,) = [frame.value for frame in screen.dataframe if "won_amount" in frame.value]
        assert dict(zip(table["group"], table["open"], strict=True)) == {"Rob Rep": 10, "Rea Rep": 10, "Oda Other": 10}
    # A manager sees the own team's alone.
    if by == "Together":
        assert open_page("pipeline", "mia").metric[0].value == "$2,280.00"


def test_a_bar_opens_the_deals_behind_it(open_page, company, sell, monkeypatch):  # noqa: F811
    sell("rob", 1000, close="2026-12-05", stage=PROPOSAL)
    enter(company, PROPOSAL, "2026-11-01")
    opened = []
    monkeypatch.setattr("app.navigation.open_page", lambda name, query: opened.append((name, query)))
    screen = open_page("pipeline", "ada")
    for chart, picked in (
        ("open-by-stage-2026-q4", {"stage": "Proposal", "grp": ""}),
        ("conversion-2026-q4", {"stage_id": PROPOSAL, "next_id": 0}),
    ):
        screen.session_state[f"chart_{chart}_0"] = {"selection": {"pick": [picked]}}
        assert not screen.run().exception
    assert opened == [
        ("deals", {"show": "Open", "deal_stages": "Proposal"}),
        ("deals", {"entered": "3:2026-Q4:0"}),
    ]


def test_deals_shows_what_an_address_asks_for_and_all_again(open_page, company, sell):  # noqa: F811
    sell("rob", 1000, close="2026-12-05", stage=PROPOSAL)
    enter(company, PROPOSAL, "2026-11-01")
    sell("rea", 2000, close="2026-12-06", stage=PROPOSAL)
    enter(company, PROPOSAL, "2026-11-20")
    screen = open_page("deals", "ada", show="Open", deal_stages="Proposal", waiting="10-", closing="Q1 2020")
    assert "No deal matches" in words(screen)  # the period is offered, however old
    screen = open_page("deals", "ada", show="Open", deal_stages="Proposal", waiting="10-")
    assert "In their stage for 10 days or more." in words(screen)
    values = {str(value) for frame in screen.dataframe for value in frame.value.to_numpy().ravel()}
    assert {value for value in values if value.startswith("Deal ")} == {"Deal 0"}
    screen.button(key="deals_behind_clear").click().run()
    assert "In their stage" not in words(screen)


@pytest.mark.parametrize(
    ("query", "behind"),
    [
        ({"waiting": "25-50"}, Behind(waiting=(25, 50))),
        ({"cycle": "365-"}, Behind(cycle=(365, None))),
        ({"segment": drill.EMPTY}, Behind(segment="")),
        ({"waiting": "x", "slipped": "soon", "moved": ":", "entered": "1:2", "owner_team": "-1"}, Behind()),
        ({"waiting": "9" * 40}, Behind()),
    ],
)
def test_what_an_address_asks_for(monkeypatch, query, behind):
    monkeypatch.setattr("streamlit.query_params", query)
    assert drill.asked() == behind


@pytest.mark.parametrize("person", ROLES)
def test_analytics_for_each_role(open_page, sell, run, person):  # noqa: F811
    sell("rob", 1000)
    sell("oda", 3000)
    run("2026-10", {"rob": (80, 1000, 4000), "oda": (90, 3000, 2000)})
    screen = open_page("analytics", person)
    shown = {metric.label: metric.value for metric in screen.metric}
    everyone = person in ("ada", "finn")
    assert shown == (
        {"Commission": "$170.00", "Won revenue": "$4,000.00", "Cost of sales": "4.25%", "Median per person": "$85.00"}
        if everyone
        else {"Commission": "$80.00", "Won revenue": "$1,000.00", "Effective rate": "8.00%"}  # of one person
    )
    assert ("Oda Other" in str([frame.value for frame in screen.dataframe])) is everyone


def test_analytics_of_many_people(open_page, company, sell, run):  # noqa: F811
    sell("rob", 10_000)
    run("2026-10", {each: (100 * number, 10 * number, 100) for number, each in enumerate(company.people, 1)})
    screen = open_page("analytics", "ada")
    titles = [each.value for each in screen.subheader]
    assert {"Pay against performance", "Attainment", "How commission is spread", "Quartiles", "People"} <= set(titles)
    # A step without anyone is a gap that shows.
    (histogram,) = [frame.value for frame in screen.dataframe if list(frame.value) == ["bin", "people"]
                    and "10%" in set(frame.value["bin"])]  # fmt: skip
    assert histogram["bin"].tolist() == [f"{step}0%" for step in range(1, 8)]
    (table,) = [frame.value for frame in screen.dataframe if list(frame.value) == ["what", "amount"]]
    assert dict(zip(table["what"], table["amount"], strict=True)) == {
        "Most": 700.0, "Upper quartile": 550.0, "Median": 400.0, "Lower quartile": 250.0, "Least": 100.0, "Mean": 400.0
    }  # fmt: skip


def test_sales_velocity_is_money_a_day(open_page, company, sell):  # noqa: F811
    sell("rob", 900)
    sell("rob", 300)
    sell("rob", 500, stage=6)  # lost
    for _ in range(3):
        sell("rob", 1000, close="2026-12-05", stage=PROPOSAL)
    with company.db.write() as conn:
        conn.execute(sa.text("UPDATE deals SET created_date = close_date - 40 WHERE close_date = '2026-10-05'"))
    shown = {metric.label: metric.value for metric in open_page("pipeline", "ada").metric}
    # 3 open x 2/3 won x $600 / 40 days
    assert shown["Sales velocity"] == "$30 a day"

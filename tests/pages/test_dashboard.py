"""The dashboard for each role: without data, with one deal, with many, and when a month is not run yet."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from app import dashboard_view
from engine.services import freshness
from engine.services.dashboard import Figure

LABELS = [
    "Won revenue", "Commission earned", "Cost of sales", "Quota attainment",
    "Deals won", "Average deal", "Open pipeline", "Weighted pipeline",
]  # fmt: skip
PROPOSAL, WON = 3, 5


@pytest.fixture
def sell(company):
    """``sell("rob", 1000)`` wins a deal of 1,000.00 on 2026-10-05."""

    def sold(person, dollars, close="2026-10-05", stage=WON, currency="USD"):
        with company.db.write() as conn:
            number = conn.scalar(sa.text("SELECT count(*) FROM deals"))
            conn.execute(
                sa.text("""
                    INSERT INTO deals (source, external_id, name, owner_id, stage_id, amount, currency, close_date)
                    VALUES ('test', :id, :name, :owner, :stage, :amount, :currency, :close)"""),
                {
                    "id": str(number),
                    "name": f"Deal {number}",
                    "owner": company.people[person],
                    "stage": stage,
                    "amount": dollars * 100,
                    "currency": currency,
                    "close": close,
                },
            )

    return sold


@pytest.fixture
def run(company):
    """``run("2026-10", {"rob": (80, 40, 100)})``: Rob's commission, credit and quota in dollars."""

    def ran(month, people):
        with company.db.write() as conn:
            conn.execute(
                sa.text("""
                    INSERT INTO plans (name, title) VALUES ('ae', 'AE') ON CONFLICT DO NOTHING;
                    INSERT INTO plan_versions (plan_id, effective_from, document, hash, status, published_at)
                    SELECT id, '2025-01-01', '', '', 'published', now() FROM plans ON CONFLICT DO NOTHING;
                    INSERT INTO pay_periods (period, kind, start_date, end_date)
                    VALUES (:p, 'month', CAST(:p || '-01' AS date), CAST(:p || '-01' AS date) + interval '1 month')"""),
                {"p": month},
            )
            run_id = conn.scalar(
                sa.text("""
                    INSERT INTO runs (period, ledger_seen, inputs_hash, lines_hash, engine_version, interpreter, deals,
                                      lines, created_by)
                    VALUES (:p, 0, '', '', '0', 'test', 0, 0, :ada) RETURNING id"""),
                {"p": month, "ada": company.people["ada"]},
            )
            for person, (dollars, credit, quota) in people.items():
                values = {"run": run_id, "p": month, "user": company.people[person], "cents": dollars * 100}
                conn.execute(
                    sa.text("""
                        INSERT INTO lines (run_id, user_id, plan_version_id, component, kind, period, origin_period,
                                           amount, currency, working)
                        SELECT :run, :user, max(id), 'nb', 'earned', :p, :p, :cents, 'USD', '{}' FROM plan_versions"""),
                    values,
                )
                conn.execute(
                    sa.text("INSERT INTO run_attainment VALUES (:run, :user, 'nb', '2026-Q4', :credit, :quota)"),
                    {"run": run_id, "user": company.people[person], "credit": credit, "quota": quota},
                )
            conn.execute(sa.text("UPDATE pay_periods SET run_id = :r WHERE period = :p"), {"r": run_id, "p": month})

    return ran


def cards(screen):
    """The values of the eight cards, by label (a rep's commission under the common label)."""
    assert not screen.exception
    return {
        metric.label.replace("Your commission", "Commission earned").replace("Effective rate", "Cost of sales"): metric
        for metric in screen.metric
    }


@pytest.mark.parametrize("person", ["ada", "finn", "mia", "rob"])
def test_without_deals_every_role_is_told_so(open_page, person):
    screen = open_page("dashboard", person)
    assert not screen.exception
    assert "**No deals up to Q4 2026**" in [text.value for text in screen.markdown]
    assert not screen.metric
    assert not screen.info


def test_a_deal_that_is_only_open_leaves_the_rest_explained(open_page, sell):
    sell("rob", 1000, close="2026-12-05", stage=PROPOSAL)
    screen = open_page("dashboard", "rob")
    shown = cards(screen)
    assert list(shown) == LABELS
    assert shown["Won revenue"].value == "$0.00"
    assert [shown[label].value for label in ("Commission earned", "Cost of sales", "Quota attainment")] == ["–"] * 3
    texts = " ".join(caption.value for caption in screen.caption)
    for sentence in (
        "Nothing was won in Q4 2026 and Q3 2026",
        "No pay period has been calculated yet",
        "No one here has a quota",
        "No deal was won in Q4 2026",
    ):
        assert sentence in texts
    assert not screen.info


def test_one_deal_of_a_rep_with_a_run(open_page, sell, run):
    sell("rob", 1000)
    run("2026-10", {"rob": (80, 1000, 4000)})
    screen = open_page("dashboard", "rob", period="2026-10")
    shown = cards(screen)
    values = {label: shown[label].value for label in LABELS[:6]}
    assert values == {
        "Won revenue": "$1,000.00",
        "Commission earned": "$80.00",
        "Cost of sales": "8.00%",
        "Quota attainment": "25.0%",
        "Deals won": "1",
        "Average deal": "$1,000.00",
    }
    assert any(metric.label == "Your commission" for metric in screen.metric)
    assert not screen.info
    # A rep sees the way to the own quota, not a table of people.
    assert "Rob Rep" in shown
    assert not [tab for tab in screen.tabs if tab.label == "People"]
    (deals,) = [frame.value for frame in screen.dataframe if "close_date" in frame.value]
    assert list(deals["name"]) == ["Deal 0"]
    assert "owner" not in deals


def test_each_role_sees_its_own_reach(open_page, sell, run):
    for person, dollars in (("rob", 1), ("rea", 10), ("oda", 100)):
        sell(person, dollars)
    run("2026-10", {"rob": (1, 10, 100), "rea": (2, 20, 100), "oda": (4, 40, 100)})
    seen = {}
    for person in ("ada", "finn", "mia", "max", "rob", "oda"):
        shown = cards(open_page("dashboard", person, period="2026-10"))
        seen[person] = shown["Won revenue"].value, shown["Commission earned"].value
    assert seen == {
        "ada": ("$111.00", "$7.00"),
        "finn": ("$111.00", "$7.00"),
        "mia": ("$11.00", "$3.00"),
        "max": ("$100.00", "$4.00"),
        "rob": ("$1.00", "$1.00"),
        "oda": ("$100.00", "$4.00"),
    }


def test_many_deals_fill_every_chart_and_table(open_page, company, sell, run):
    for number in range(30):
        sell(("rob", "rea", "oda")[number % 3], 1000 + number, close=f"2026-10-{number % 28 + 1:02d}")
        sell("rob", 500, close=f"2026-08-{number % 28 + 1:02d}")
        sell("rea", 200, close=f"2026-12-{number % 28 + 1:02d}", stage=PROPOSAL)
    sell("oda", 1, close="2026-11-01")  # in a month that is not run
    run("2026-10", {"rob": (1, 10, 100), "rea": (2, 20, 100), "oda": (4, 40, 100)})
    screen = open_page("dashboard", "ada", period="2026-Q4")
    shown = cards(screen)
    assert shown["Deals won"].value == "31"
    assert shown["Open pipeline"].value == "$6,000.00"
    assert shown["Weighted pipeline"].value == "$3,000.00"
    charts = [json.loads(chart.proto.spec) for chart in screen.get("vega_lite_chart")]
    assert len(charts) == 3
    assert any("yOffset" in chart["encoding"] for chart in charts)
    tables = [frame.value for frame in screen.dataframe]
    (people,) = [table for table in tables if "attainment" in table and "team" in table and "name" in table]
    assert list(people["name"]) == ["Oda Other", "Rea Rep", "Rob Rep"]
    won = next(table for table in tables if "close_date" in table)
    assert len(won) == 10
    assert won["amount"].iloc[0] == 1029
    assert "November 2026 has not been calculated yet" in screen.info[0].value

    east = cards(open_page("dashboard", "ada", period="2026-Q4", team=str(company.teams["East"])))
    assert east["Deals won"].value == "20"


def test_deals_without_a_rate_are_left_out_and_said(open_page, sell):
    sell("rob", 1000)
    sell("rob", 1000, currency="EUR")
    screen = open_page("dashboard", "ada", period="2026-10")
    assert cards(screen)["Won revenue"].value == "$1,000.00"
    assert "left out: 1." in screen.warning[0].value


def test_a_period_that_is_none_is_the_current_quarter(open_page, sell):
    sell("rob", 1000, close="2026-11-05")
    screen = open_page("dashboard", "ada", period="2026-13", team="nobody")
    assert cards(screen)["Won revenue"].value == "$1,000.00"
    assert "Q4 2026 so far" in screen.caption[0].value


def test_large_sums_fit_their_card(open_page, sell):
    sell("rob", 12_345_678)
    shown = cards(open_page("dashboard", "ada", period="2026-10"))
    assert shown["Won revenue"].value == "$12.35M"
    assert "$12,345,678.00" in shown["Won revenue"].help


def test_a_period_that_has_not_begun_shows_what_is_open(open_page, sell):
    sell("rob", 1000, close="2026-11-05")
    sell("rob", 500, close="2026-12-05", stage=PROPOSAL)
    screen = open_page("dashboard", "ada", period="2026-12")
    shown = cards(screen)
    assert screen.caption[0].value == "December 2026 has not begun: what is open is all there is."
    assert not any(metric.delta for metric in shown.values())
    assert shown["Open pipeline"].value == "$500.00"
    assert not screen.info


@pytest.mark.parametrize(("attained", "said"), [(0.5, "-7.6 pts behind pace"), (0.6, "+2.4 pts ahead of pace")])
def test_the_distance_to_pace_is_said_in_words(attained, said):
    board: Any = SimpleNamespace(attainment=Figure(attained, None, ()), pace=0.576)
    assert dashboard_view._attainment_card(board).delta == said


def test_a_change_that_somebody_keeps_shows_without_a_reload(open_page, company, sell, monkeypatch):
    asked = []

    def version(db, actor):
        asked.append(actor.name)
        if len(asked) == 2:  # the page is drawn, and looks again
            sell("rob", 1000)
            with company.db.write() as conn:
                conn.execute(sa.text("UPDATE company SET data_version = data_version + 1"))
        return real(db, actor)

    real = freshness.data_version
    monkeypatch.setattr(freshness, "data_version", version)
    screen = open_page("dashboard", "ada")
    assert cards(screen)["Won revenue"].value == "$1,000.00"
    assert len(asked) == 4  # twice for each drawing, of which there were two


def test_what_waits_says_so_and_opens_just_that(open_app, company, sell, run):
    sell("rob", 1000, close="2026-09-10")
    sell("rob", 500, close="2026-11-01", stage=PROPOSAL)
    run("2026-10", {"rob": (80, 40, 100)})
    screen = open_app("ada")
    said = " ".join(element.value for element in screen.markdown)
    assert "1 pay period is over and not approved" in said
    assert "1 month with won deals never calculated" in said
    links = {link.proto.label: link.proto for link in screen.get("page_link")}
    assert links["October 2026"].page.endswith("payouts")
    assert links["October 2026"].query_string == "period=2026-10"
    assert links["September 2026"].query_string == "period=2026-09"
    screen = open_app("rob")
    links = {link.proto.label: link.proto for link in screen.get("page_link")}
    assert "late=yes" in links["These deals"].query_string
    assert not {"October 2026", "September 2026"} & links.keys()


def test_the_list_behind_a_bar_says_both_figures(open_page, company, sell):
    sell("rob", 1000, close="2026-12-05", stage=PROPOSAL)
    sell("rob", 500, close="2026-12-06", stage=PROPOSAL)
    address = {"show": "Open", "closing": "Q4 2026", "deal_stages": "Proposal", "counted": "dashboard"}
    assert not open_page("deals", "rob", **address).info  # they are the same
    with company.db.write() as conn:
        for person, share in (("rob", 600_000), ("rea", 400_000)):
            conn.execute(
                sa.text("INSERT INTO deal_credits SELECT min(id), :u, :s FROM deals"),
                {"u": company.people[person], "s": share},
            )
        conn.execute(sa.text("UPDATE company SET data_version = data_version + 1"))
    said = open_page("deals", "rob", **address).info[0].value.replace("\\", "")
    assert "$1,100.00 in 2 deals" in said
    assert "$1,500.00 in 2." in said
    assert not open_page("deals", "rob", **(address | {"q": "Deal 1"})).info  # another list than the bar's
    assert not open_page("deals", "mia", **address).info

"""Analytics on a real PostgreSQL: the same money as the dashboard, what was given by hand, several currencies."""

from datetime import date

import pytest

from engine.services.commission import commission
from tests.integration.test_dashboard import ADMIN, ANA, BO, CY, MIA, TODAY, Acme, acme  # noqa: F401


def seen(acme, actor=ADMIN, team=None):  # noqa: F811
    return commission(acme.db, actor, date(2026, 10, 1), date(2026, 12, 1), team, TODAY)


def give(acme, person, dollars, month="2026-10", currency="USD", withdrawn=False):  # noqa: F811
    acme.do(
        """INSERT INTO manual_adjustments (request_id, user_id, period, kind, amount, currency, reason, created_by,
                                           withdrawn_by, withdrawn_at)
           VALUES (gen_random_uuid(), :u, :p, 'bonus', :a, :c, 'Well done', 1, CASE WHEN :w THEN 1 END,
                   CASE WHEN :w THEN now() END)""",
        u=person.user_id,
        p=month,
        a=dollars * 100,
        c=currency,
        w=withdrawn,
    )
    acme.do("UPDATE company SET data_version = data_version + 1")


@pytest.fixture
def paid(acme):  # noqa: F811
    acme.deal(ANA, "2026-10-05", 1000)
    acme.run("2026-10", [(ANA, 80, "earned", None), (BO, 40, "earned", None)])
    acme.run("2026-11", [(ANA, 20, "earned", None), (ANA, -5, "clawed_back", None)])
    give(acme, ANA, 30)
    give(acme, CY, 7)  # who earned nothing by a plan
    give(acme, BO, 500, withdrawn=True)
    return acme


def test_what_was_given_by_hand_counts_and_is_a_component_of_its_own(paid):
    found = seen(paid)
    assert found.by_hand == 37_00
    assert found.total == 172_00
    people = dict(zip(found.people["name"], found.people["amount"], strict=True))
    assert people == {"Ana": 125_00, "Bo": 40_00, "Cy": 7_00}
    mix = found.mix[["plan", "component", "kind", "amount"]].to_numpy().tolist()
    assert ["No plan", "Manual adjustments", "manual", 37_00] in mix
    assert found.mix["amount"].sum() == found.total
    # What belongs to no plan version is not in the cohorts.
    assert found.cohorts["amount"].sum() == found.total - found.by_hand


@pytest.mark.parametrize(("actor", "team"), [(ADMIN, None), (ADMIN, 2), (MIA, None), (ANA, None), (CY, None)])
def test_the_dashboard_and_analytics_say_the_same(paid, actor, team):
    found = seen(paid, actor, team)
    by_period = found.trend.groupby("period")["amount"].sum()
    for month in ("2026-10", "2026-11"):
        board = paid.board(month, actor, team)
        assert int(by_period.get(month, 0)) == (board.commission.value or 0)
    assert found.people["amount"].sum() == found.mix["amount"].sum() == found.total


def test_several_currencies_are_converted_or_counted_as_left_out(paid):
    for currency in ("EUR", "JPY"):
        paid.do(
            """INSERT INTO lines (run_id, user_id, plan_version_id, component, kind, period, origin_period, amount,
                                  currency, working)
               SELECT min(run_id), 5, 1, 'nb', 'earned', '2026-10', '2026-10', 4000, :c, '{}' FROM lines""",
            c=currency,
        )

    def rated(currency, day, rate):
        paid.do(
            "INSERT INTO exchange_rates (currency, to_currency, day, rate) VALUES (:c, 'USD', CAST(:d AS date), :r)",
            c=currency,
            d=day,
            r=rate,
        )
        paid.do("UPDATE company SET data_version = data_version + 1")
        return seen(paid)

    found = seen(paid)
    assert (found.foreign, found.unconverted, found.total) == (2, 2, 172_00)
    found = rated("EUR", "2026-10-31", 1.5)
    assert (found.foreign, found.unconverted, found.total) == (2, 1, 232_00)
    found = rated("JPY", "2026-01-01", 0.01)  # 4,000 yen, which has no cents
    assert (found.foreign, found.unconverted, found.total) == (2, 0, 272_00)
    assert rated("EUR", "2026-11-01", 9).total == 272_00  # after the last day of October
    assert found.mix["amount"].sum() == found.people["amount"].sum() == found.total
    give(paid, ANA, 10, currency="EUR")
    found = seen(paid)
    assert (found.by_hand, found.foreign) == (52_00, 3)

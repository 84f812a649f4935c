"""What a plan document means, and every way in which one can be wrong."""

from decimal import Decimal

import pytest

from engine.calc.model import (
    BaseRate,
    Cap,
    Clawback,
    Condition,
    Day,
    Draw,
    Gate,
    Number,
    Payable,
    Point,
    Rate,
    Step,
    Tier,
)
from engine.errors import ProblemsError
from engine.plans.document import KINDS, parse_plan, read_plan

HEAD = 'plan = "p"\neffective_from = 2026-01-01\ncurrency = "USD"\npay_period = "month"\n'
RATE = '[[component]]\nid = "a"\nkind = "percentage"\nrate = "5%"\n'
FLAT = '[[component]]\nid = "a"\nkind = "flat"\namount = 5\n'
TIERED = '[[component]]\nid = "a"\nkind = "tiered"\n'
QUOTA = '[[component]]\nid = "a"\nkind = "quota"\nquota = 100\n'
FLOOR = '[draw]\nkind = "non_recoverable"\namount = 1\n'
TIERS = 'tiers = [ { from = "0%", rate = "5%" } ]\n'
CURVE = '[[component]]\nid = "a"\nkind = "curve"\nquota = 100\n'
POINTS = "points = [ { at = 0, pays = 0 } ]\n"
BONUS = '[[component]]\nid = "a"\nkind = "bonus"\nquota = 100\n'
OTHER = '[[component]]\nid = "b"\nkind = "quota"\nquota = 100\ntiers = [ { from = 0, rate = "5%" } ]\n'


def component(text):
    return parse_plan(HEAD + text).components[0]


def test_defaults():
    plan = parse_plan(HEAD + RATE)
    assert (plan.name, plan.currency, plan.rounding) == ("p", "USD", "half_up")
    assert plan.effective_from == 739617  # 1 January 2026
    assert (plan.draw, plan.clawback, plan.payable) == (None, None, Payable("close", ((0, 1_000_000),)))
    only = plan.components[0]
    assert (only.label, only.quota_period, only.measure, only.pays_on) == ("a", "month", "amount", "amount")
    assert (only.credit_from, only.when, only.gate, only.cap, only.quota) == ("own", (), None, None, None)


def test_name_given_wins_over_the_documents():
    assert parse_plan(HEAD + RATE, "ae").name == "ae"


def test_every_key_of_every_component():
    only = component(
        RATE.replace('"5%"', '"1.5x"')
        + """
        label = "New business"
        when = { type = "New", seats = { at_least = 5, less_than = "1,000", not = [7, "x"] } }
        window = { from = 2026-01-05, until = 2026-02-01 }
        measure = "margin"
        pays_on = "amount"
        credit_from = "team"
        multipliers = [ { when = { type = "New" }, factor = 1.25 }, { factor = "2" } ]
        quota_period = "year"
        quota = "120,000.50"
        base_rate = { target_pay = 60000, weight = "60%" }
        gate = { component = "a", at_least = "99.5%" }
        cap = { amount = 10000, excess = "carry" }
        """
    )
    assert only.when == (
        Condition(
            "seats",
            (
                ("at_least", (Number(5_000_000),)),
                ("less_than", (Number(1_000_000_000),)),
                ("not", ("x", Number(7_000_000))),
            ),
        ),
        Condition("type", (("any_of", ("New",)),)),
    )
    assert (only.label, only.measure, only.pays_on, only.credit_from) == ("New business", "margin", "amount", "team")
    assert (only.window_from, only.window_until) == (739617 + 4, 739617 + 31)
    assert [each.factor for each in only.multipliers] == [1_250_000, 2_000_000]
    assert (only.quota_period, only.quota, only.rate) == ("year", 12_000_050, Rate(1_500_000, of_base=True))
    assert only.base_rate == BaseRate(target_pay=6_000_000, weight=600_000)
    assert (only.gate, only.cap) == (Gate(995_000, "a"), Cap(1_000_000, "carry"))


def test_per_deal_limits():
    only = component(RATE + "per_deal = { min = 10, max = 5000 }")
    assert (only.per_deal_min, only.per_deal_max) == (1_000, 500_000)


@pytest.mark.parametrize(
    ("written", "read"),
    [("0", 0), ("12", 12_000_000), ("12.5", 12_500_000), ('"12"', "12"), ("true", True), ("2026-01-01", Day(739617))],
)
def test_filter_values(written, read):
    wanted = Number(read) if isinstance(read, int) and not isinstance(read, bool) else read
    assert component(RATE + f"when = {{ x = {written} }}").when[0].tests == (("any_of", (wanted,)),)


@pytest.mark.parametrize("limit", ["2026-01-01", '"2026-01-01"'])
def test_ranges_of_dates(limit):
    assert component(RATE + f"when = {{ x.at_most = {limit} }}").when[0].tests == (("at_most", (Day(739617),)),)


@pytest.mark.parametrize("rate", ['"8%"', '"8.0000%"', '"0.08"', "0.08", "0.080000"])
def test_rates_written_in_many_ways(rate):
    assert component(RATE.replace('"5%"', rate)).rate == Rate(80_000)


def test_tiers_in_percent_of_quota():
    only = component(QUOTA + 'tiers = [ { from = 0, rate = "5%" }, { from = "100%", rate = 0.1, applies = "all" } ]')
    assert only.edges == "quota"
    assert only.tiers == (Tier(0, Rate(50_000), None, "slice"), Tier(1_000_000, Rate(100_000), None, "all"))


def test_tiers_in_money_default_by_kind():
    tiers = 'tiers = [ { from = 0, rate = "5%" }, { from = "1,000.50", rate = "6%" } ]'
    by_size, accumulated = component(TIERED + tiers), component(QUOTA + tiers)
    assert (by_size.edges, [tier.start for tier in by_size.tiers]) == ("money", [0, 100_050])
    assert {tier.applies for tier in by_size.tiers} == {"all"}
    assert {tier.applies for tier in accumulated.tiers} == {"slice"}


def test_tiers_in_units_pay_money_each():
    only = component(TIERED + 'measure = "seats"\ntiers = [ { from = 0, amount = 2 }, { from = 10.5, amount = 1.5 } ]')
    assert only.edges == "units"
    assert only.tiers[1] == Tier(10_500_000, None, 150, "all")


def test_applies_of_the_component_is_the_default_of_its_tiers():
    only = component(
        QUOTA + 'applies = "all"\ntiers = [ { from = 0, rate = 0 }, { from = 5, rate = 0, applies = "slice" } ]'
    )
    assert [tier.applies for tier in only.tiers] == ["all", "slice"]


def test_curve():
    only = component(
        CURVE + 'base_rate = { target_pay = 1 }\nbeyond = "extend"\nper = "deal"\n'
        'points = [ { at = "0%", pays = 0 }, { at = "50%", pays = "120%" } ]'
    )
    assert only.points == (Point(0, 0), Point(500_000, 1_200_000))
    assert (only.edges, only.pays_in, only.beyond, only.per) == ("quota", "target_pay", "extend", "deal")


def test_bonus():
    only = component(BONUS + 'steps = [ { at = "50%", pays = 100 }, { at = "100%", pays = "250.50" } ]\naward = "each"')
    assert only.steps == (Step(500_000, 10_000), Step(1_000_000, 25_050))
    assert (only.edges, only.award) == ("quota", "each")


def test_plan_level_parts():
    plan = parse_plan(
        HEAD
        + 'rounding = "half_even"\n'
        + RATE
        + """
        [draw]
        kind = "recoverable"
        amount = 2000
        recover = "50%"
        recover_from = 2
        periods = 6
        forgive_at_end = true
        [clawback]
        within_days = 180
        share = "prorated"
        [payable]
        on = "invoice_paid"
        schedule = [ { months = 0, share = "50%" }, { months = 3, share = "50%" } ]
        """
    )
    assert plan.rounding == "half_even"
    assert plan.draw == Draw("recoverable", 200_000, 500_000, 2, 6, True)
    assert plan.clawback == Clawback(180, None)
    assert plan.payable == Payable("invoice_paid", ((0, 500_000), (3, 500_000)))


# (what, document after the head, paths of the problems: all of them)
WRONG = [
    # keys
    ("unknown keys", "curency = 1\n" + RATE + "rat = 1", ["curency", "component[0].rat"]),
    ("unknown keys inside", RATE + "cap = { amount = 1, exces = 2 }", ["component[0].cap.exces"]),
    ("unknown key of a filter", RATE + "when = { x = { atleast = 1 } }", ["component[0].when.x.atleast"]),
    ("unknown keys of parts", RATE + "[clawback]\nsare = 1", ["clawback.sare"]),
    ("keys of another kind", RATE + "amount = 5\naward = 'each'", ["component[0].amount", "component[0].award"]),
    ("key of another kind: scale_by_share", RATE + "scale_by_share = true", ["component[0].scale_by_share"]),
    ("recovering what is not recoverable", RATE + FLOOR + "recover = 1", ["draw.recover"]),
    # missing
    ("no component", "", ["component"]),
    ("an empty list of components", "component = []", ["component"]),
    ("nothing of a component", "[[component]]", ["component[0].id", "component[0].kind"]),
    ("no rate", RATE.replace("rate =", "label ="), ["component[0].rate"]),
    ("no amount", FLAT.replace("amount = 5", ""), ["component[0].amount"]),
    ("no tiers", TIERED, ["component[0].tiers"]),
    ("empty tiers", TIERED + "tiers = []", ["component[0].tiers"]),
    ("no points", CURVE, ["component[0].points"]),
    ("no steps", BONUS, ["component[0].steps"]),
    ("a tier without its edge", QUOTA + 'tiers = [ { rate = "5%" } ]', ["component[0].tiers[0].from"]),
    ("a tier that pays nothing", QUOTA + "tiers = [ { from = 0 } ]", ["component[0].tiers[0].rate"]),
    ("a draw of nothing", RATE + "[draw]", ["draw.kind", "draw.amount"]),
    ("target pay", RATE + "base_rate = { weight = 1 }", ["component[0].base_rate.target_pay"]),
    ("gate without a level", RATE + "gate = { component = 'a' }", ["component[0].gate.at_least"]),
    # words
    ("unknown kind", RATE.replace('"percentage"', '"percent"'), ["component[0].kind"]),
    ("unknown quota period", RATE + 'quota_period = "day"', ["component[0].quota_period"]),
    ("unknown rounding", 'rounding = "up"\n' + RATE, ["rounding"]),
    ("unknown credit_from", RATE + 'credit_from = "all"', ["component[0].credit_from"]),
    ("unknown applies", QUOTA + TIERS + 'applies = "some"', ["component[0].applies"]),
    ("unknown excess", RATE + 'cap = { amount = 1, excess = "keep" }', ["component[0].cap.excess"]),
    ("unknown draw", RATE + '[draw]\nkind = "loan"\namount = 1', ["draw.kind"]),
    ("unknown trigger", RATE + '[payable]\non = "shipment"', ["payable.on"]),
    ("a measure that is no number", RATE + 'measure = "owner"', ["component[0].measure"]),
    ("paid on units", RATE + 'pays_on = "seats"', ["component[0].pays_on"]),
    ("an id that is no text", RATE.replace('"a"', "5"), ["component[0].id"]),
    ("a blank id", RATE.replace('"a"', '" "'), ["component[0].id"]),
    ("no table", RATE + "cap = 5", ["component[0].cap"]),
    ("no list", QUOTA + "tiers = 5", ["component[0].tiers"]),
    ("no tables in the list", QUOTA + "tiers = [5]", ["component[0].tiers[0]"]),
    ("not true or false", FLAT + 'scale_by_share = "no"', ["component[0].scale_by_share"]),
    ("a list in a list of values", RATE + "when = { x = [[1]] }", ["component[0].when.x"]),
    ("a range of text", RATE + "when = { x = { at_least = 'many' } }", ["component[0].when.x.at_least"]),
    # numbers
    ("a rate below 0", RATE.replace('"5%"', '"-1%"'), ["component[0].rate"]),
    ("a multiple below 0", RATE.replace('"5%"', '"-1x"') + "base_rate = 0.1", ["component[0].rate"]),
    ("a rate above 100%", RATE.replace('"5%"', "8"), ["component[0].rate"]),
    ("a base rate above 100%", RATE + "base_rate = 8", ["component[0].base_rate"]),
    ("a tier's rate above 100%", QUOTA + 'tiers=[{from=0,rate="101%"}]', ["component[0].tiers[0].rate"]),
    ("a base rate that is a multiple", RATE + 'base_rate = "2x"', ["component[0].base_rate"]),
    ("a multiple of nothing", RATE.replace('"5%"', '"1.5x"'), ["component[0].base_rate"]),
    ("a rate too fine", RATE.replace('"5%"', "0.0000001"), ["component[0].rate"]),
    ("a percentage too fine", RATE.replace('"5%"', '"5.00001%"'), ["component[0].rate"]),
    ("a factor too fine", RATE + "multipliers = [{ factor = 0.0000001 }]", ["component[0].multipliers[0].factor"]),
    ("a factor below 0", RATE + "multipliers = [{ factor = -1 }]", ["component[0].multipliers[0].factor"]),
    ("money too fine", FLAT.replace("5", "5.001"), ["component[0].amount"]),
    ("money below 0", FLAT.replace("5", "-5"), ["component[0].amount"]),
    ("an exponent that looks whole", FLAT.replace("5", "1.5e1"), ["component[0].amount"]),
    ("an exponent in text", FLAT.replace("5", '"1e3"'), ["component[0].amount"]),
    ("infinity", FLAT.replace("5", "inf"), ["component[0].amount"]),
    ("true as a number", FLAT.replace("5", "true"), ["component[0].amount"]),
    ("a number as text with odd commas", FLAT.replace("5", '"1,00"'), ["component[0].amount"]),
    ("more than 64 bits hold", FLAT.replace("5", "9" * 20), ["component[0].amount"]),
    ("a quota of 0", QUOTA.replace("100", "0") + TIERS, ["component[0].quota"]),
    ("a quota below 0", QUOTA.replace("100", "-1") + TIERS, ["component[0].quota"]),
    ("a weight above 100%", RATE + "base_rate={target_pay=1,weight=2}", ["component[0].base_rate.weight"]),
    ("a recovery above 100%", RATE + '[draw]\nkind="recoverable"\namount=1\nrecover="101%"', ["draw.recover"]),
    ("a clawback above 100%", RATE + '[clawback]\nshare = "101%"', ["clawback.share"]),
    ("days below 0", RATE + "[clawback]\nwithin_days = -1", ["clawback.within_days"]),
    ("no periods", RATE + '[draw]\nkind="recoverable"\namount=1\nperiods=0', ["draw.periods"]),
    ("half a period", RATE + '[draw]\nkind="recoverable"\namount=1\nrecover_from=1.5', ["draw.recover_from"]),
    ("a schedule of 90%", RATE + '[payable]\nschedule=[{months=0,share="90%"}]', ["payable.schedule"]),
    ("an empty schedule", RATE + "[payable]\nschedule=[]", ["payable.schedule"]),
    ("a gate below 0", QUOTA + TIERS + 'gate = "-1%"', ["component[0].gate"]),
    # dates
    ("a time", RATE + "window = { from = 2026-01-01T00:00:00 }", ["component[0].window.from"]),
    ("no day of the calendar", RATE + 'window = { from = "2026-02-30" }', ["component[0].window.from"]),
    ("a window reversed", RATE + "window={from=2026-01-02,until=2026-01-01}", ["component[0].window.until"]),
    # edges
    ("tiers from above 0", QUOTA + 'tiers = [{from=5,rate="5%"}]', ["component[0].tiers[0].from"]),
    ("tiers that stay", QUOTA + "tiers=[{from=0,rate=0},{from=0,rate=0}]", ["component[0].tiers[1].from"]),
    ("tiers below 0", QUOTA + "tiers=[{from=0,rate=0},{from=-5,rate=0}]", ["component[0].tiers[1].from"]),
    ("mixed tiers", QUOTA + 'tiers=[{from="0%",rate=0},{from=60,rate=0}]', ["component[0].tiers[1].from"]),
    ("percent of nothing", TIERED + 'tiers=[{from=0,rate=0},{from="5%",rate=0}]', ["component[0].tiers[1].from"]),
    ("money a unit of money", QUOTA + "tiers=[{from=0,amount=1}]", ["component[0].tiers[0].amount"]),
    (
        "a rate and an amount",
        QUOTA + 'measure="count"\ntiers=[{from=0,amount=1,rate=0}]',
        ["component[0].tiers[0].rate"],
    ),
    ("points from above 0", CURVE + "points=[{at=5,pays=0}]", ["component[0].points[0].at"]),
    ("points that fall", CURVE + "points=[{at=0,pays=0},{at=5,pays=1},{at=4,pays=2}]", ["component[0].points[2].at"]),
    ("mixed points", CURVE + 'points=[{at=0,pays=0},{at="5%",pays=1},{at=6,pays=2}]', ["component[0].points[2].at"]),
    (
        "mixed pay",
        CURVE + 'base_rate={target_pay=1}\npoints=[{at=0,pays="5%"},{at=5,pays=5}]',
        ["component[0].points[1].pays"],
    ),
    ("pay in percent of nothing", CURVE + 'points=[{at=0,pays="5%"}]', ["component[0].base_rate"]),
    ("pay in percent of a rate", CURVE + 'base_rate=0.1\npoints=[{at=0,pays="5%"}]', ["component[0].base_rate"]),
    ("steps that stay", BONUS + "steps=[{at=5,pays=0},{at=5,pays=1}]", ["component[0].steps[1].at"]),
    ("mixed steps", BONUS + 'steps=[{at="5%",pays=0},{at=5,pays=1}]', ["component[0].steps[1].at"]),
    ("a step without pay", BONUS + "steps=[{at=5}]", ["component[0].steps[0].pays"]),
    # one key against another
    ("ids that repeat", RATE + FLAT, ["component[1].id"]),
    ("a gate on nothing", RATE + "gate={component='z',at_least=1}", ["component[0].gate.component"]),
    (
        "a gate on a shorter period",
        RATE + "quota_period='year'\ngate={component='b',at_least=1}\n" + OTHER,
        ["component[0].gate.component"],
    ),
    (
        "a gate on commission",
        RATE + "gate={component='b',at_least=1}\n" + OTHER + "measure='commission'",
        ["component[0].gate.component"],
    ),
    ("per_deal and a gate", QUOTA + TIERS + 'gate="50%"\nper_deal={max=1}', ["component[0].per_deal"]),
    ("per_deal and a retroactive tier", QUOTA + TIERS + "applies='all'\nper_deal={max=1}", ["component[0].per_deal"]),
    ("per_deal upside down", RATE + "per_deal={min=2,max=1}", ["component[0].per_deal.max"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "paths"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_problems(text, paths):
    plan, problems = read_plan(HEAD + text)
    assert plan is None
    assert sorted(problem.path for problem in problems) == sorted(paths)
    for problem in problems:
        assert len(f"{problem.message} {problem.remedy}") > 30, "says what is wrong and what to do"
        assert "\n" not in str(problem)


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("effective_from = 2026-13-01", ""),  # no TOML at all
        ("effective_from = 20260101", "effective_from"),
        ('currency = "dollar"', "currency"),
        ("currency = 5", "currency"),
        ('pay_period = "day"', "pay_period"),
    ],
)
def test_problems_of_the_head(line, path):
    key = line.split(" = ", maxsplit=1)[0]
    head = "".join(row + "\n" for row in HEAD.splitlines() if not row.startswith(key))
    plan, problems = read_plan(head + line + "\n" + RATE)
    assert plan is None
    assert [problem.path for problem in problems] == [path]


@pytest.mark.parametrize("key", ["plan", "effective_from", "currency", "pay_period"])
def test_keys_that_a_plan_needs(key):
    head = "".join(row + "\n" for row in HEAD.splitlines() if not row.startswith(key))
    assert [problem.path for problem in read_plan(head + RATE)[1]] == [key]


@pytest.mark.parametrize(
    "text",
    [
        RATE.replace('"5%"', '"100%"'),
        RATE.replace('"5%"', '"110%"') + "allow_rate_above_100 = true",
        RATE.replace('"5%"', '"3x"') + "base_rate = 0.5",  # multiples are free
        CURVE + 'base_rate={target_pay=1}\npoints=[{at=0,pays=0},{at="200%",pays="300%"}]',
        QUOTA + 'tiers=[{from=0,rate=0},{from="50%",rate=0}]',  # a bare 0 goes with percent
        RATE + "window={from=2026-01-01,until=2026-01-01}",  # an empty window
        RATE + "window={until=2026-01-01}",
        TIERED + "per_deal={max=1}\ntiers=[{from=0,rate=0}]",  # retroactive only in name: one deal alone
        RATE + "gate={component='b',at_least=1}\n" + OTHER + "gate={component='a',at_least=1}",  # each other
        RATE + "quota_period='week'\ngate={component='b',at_least=1}\n" + OTHER,
        RATE + "measure='commission'",
        FLAT.replace("5", '"60,000.00"'),
        FLAT.replace("5", "5.5000"),
        BONUS + "steps=[{at=0,pays=1}]",
    ],
)
def test_no_problem(text):
    plan, problems = read_plan(HEAD + text)
    assert problems == []
    assert plan is not None


def test_all_problems_are_raised_at_once():
    with pytest.raises(ProblemsError) as caught:
        parse_plan(HEAD + "x = 1\n" + RATE.replace("5%", "500%") + FLAT)
    assert [problem.path for problem in caught.value.problems] == ["x", "component[0].rate", "component[1].id"]
    assert "component[0].rate: The rate" in str(caught.value)


def test_a_document_may_be_a_table_of_texts():
    document = {"effective_from": "2026-01-01", "currency": "USD", "pay_period": "month"}
    rate = {"id": "a", "kind": "percentage", "rate": Decimal("0.05")}
    assert parse_plan({**document, "component": [rate]}, "p") == parse_plan(HEAD + RATE)


def test_a_float_is_refused():
    document = {"effective_from": "2026-01-01", "currency": "USD", "pay_period": "month"}
    _, problems = read_plan({**document, "component": [{"id": "a", "kind": "percentage", "rate": 0.05}]}, "p")
    assert [problem.path for problem in problems] == ["component[0].rate"]


def test_every_kind_is_tried_here():
    assert all(any(f'kind = "{kind}"' in row[1] for row in WRONG) for kind in KINDS)

"""What changes between two versions, in words: nothing of the records goes untold."""

from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest

from engine.calc import model
from engine.calc.model import (
    PPM,
    BaseRate,
    Cap,
    Clawback,
    Component,
    Condition,
    Day,
    Draw,
    Gate,
    Multiplier,
    Number,
    Payable,
    Plan,
    Point,
    Rate,
    Step,
    Tier,
)
from engine.plans.diff import diff
from engine.plans.document import parse_plan

FILTER = Condition("type", (("any_of", ("New",)),))
TIERS = (Tier(0, Rate(80_000), None, "slice"), Tier(PPM, Rate(120_000), None, "slice"))
WHOLE = Component(
    "nb",
    "New business",
    "quota",
    "quarter",
    when=(FILTER,),
    window_from=738_000,
    window_until=738_100,
    multipliers=(Multiplier((FILTER,), 1_500_000),),
    quota=10_000_000,
    base_rate=BaseRate(target_pay=5_000_000),
    gate=Gate(500_000),
    per_deal_min=1_000,
    per_deal_max=500_000,
    cap=Cap(1_000_000, "forfeit"),
    edges="quota",
    amount=100,
    rate=Rate(50_000),
    tiers=TIERS,
    points=(Point(0, 0), Point(PPM, 500_000)),
    steps=(Step(PPM, 350_000),),
)
PLAN = Plan(
    "ae", 738_000, "USD", "month", "half_up", (WHOLE,), Draw("recoverable", 200_000), Clawback(180), Payable()
)  # fmt: skip

# For each field of each record: the field changed, and what the words must hold.
CHANGES = {
    (Plan, "name"): ("sdr", "name: ae -> sdr"),
    (Plan, "effective_from"): (738_001, "in force from: 2021-07-29 -> 2021-07-30"),
    (Plan, "currency"): ("EUR", "currency: USD -> EUR"),
    (Plan, "pay_period"): ("quarter", "pay period: month -> quarter"),
    (Plan, "rounding"): ("half_even", "rounding: half up -> half even"),
    (Plan, "components"): ((), "nb: component: kind quota, label New business"),
    (Plan, "draw"): (None, "draw: recoverable, 2,000.00 a month -> none"),
    (Plan, "clawback"): (None, "clawback: 100% within 180 days -> none"),
    (Plan, "payable"): (Payable("invoice_paid"), "payable: when the deal closes -> when the customer has paid"),
    (Draw, "kind"): ("non_recoverable", "draw: recoverable, 2,000.00 a month -> non-recoverable, 2,000.00 a month"),
    (Draw, "amount"): (250_000, "2,500.00 a month"),
    (Draw, "recover"): (500_000, "repaid by 50% of what is above it from period 1"),
    (Draw, "recover_from"): (3, "repaid by 100% of what is above it from period 3"),
    (Draw, "periods"): (6, "for 6 periods"),
    (Draw, "forgive_at_end"): (True, "forgiven at the end"),
    (Clawback, "within_days"): (None, "100% within 180 days -> 100% at any time"),
    (Clawback, "share"): (None, "-> the unused part of the term within 180 days"),
    (Payable, "on"): ("invoice_paid", "when the customer has paid"),
    (Payable, "schedule"): (((0, 500_000), (3, 500_000)), "100% at once -> 50% at once, 50% 3 months later"),
    (Component, "id"): ("other", "other: id, so that its running total begins anew: nb -> other"),
    (Component, "label"): ("New logos", "nb: label: New business -> New logos"),
    (Component, "kind"): ("tiered", "nb: kind: quota -> tiered"),
    (Component, "quota_period"): ("year", "nb: quota period: quarter -> year"),
    (Component, "when"): ((), 'nb: deals: type is "New" -> all'),
    (Component, "window_from"): (None, "nb: window: from 2021-07-29 until 2021-11-06 -> until 2021-11-06"),
    (Component, "window_until"): (None, "nb: window: from 2021-07-29 until 2021-11-06 -> from 2021-07-29"),
    (Component, "measure"): ("margin", "nb: measure: amount -> margin"),
    (Component, "pays_on"): ("margin", "nb: pays on: amount -> margin"),
    (Component, "credit_from"): ("direct_reports", "nb: credit from: own -> direct reports"),
    (Component, "multipliers"): ((), 'nb: multiplier where type is "New": 1.5 -> none'),
    (Component, "quota"): (12_000_000, "nb: quota: 100,000.00 -> 120,000.00"),
    (Component, "base_rate"): (None, "nb: base rate: target pay 50,000.00 / quota -> none"),
    (Component, "gate"): (None, "nb: gate: 50% of its quota -> none"),
    (Component, "per_deal_min"): (None, "nb: least for a deal: 10.00 -> none"),
    (Component, "per_deal_max"): (600_000, "nb: most for a deal: 5,000.00 -> 6,000.00"),
    (Component, "cap"): (None, "nb: cap: 10,000.00 a quarter -> none"),
    (Component, "edges"): ("money", "nb: edges: in % of quota -> in money"),
    (Component, "amount"): (200, "nb: amount for a deal: 1.00 -> 2.00"),
    (Component, "scale_by_share"): (False, "nb: paid to each person: by share -> whole"),
    (Component, "rate"): (Rate(60_000), "nb: rate: 5% -> 6%"),
    (Component, "tiers"): (TIERS[:1], "nb: accelerator above 100% of quota: 12% -> none"),
    (Component, "points"): ((Point(0, 0),), "nb: point at 100% of quota: 5,000.00 -> none"),
    (Component, "pays_in"): ("target_pay", "nb: points pay: money -> % of target pay"),
    (Component, "beyond"): ("extend", "nb: past the last point: level -> on at the last slope"),
    (Component, "per"): ("deal", "nb: curve over: the quota period -> each deal"),
    (Component, "steps"): ((), "nb: milestone at 100% of quota: 3,500.00 -> none"),
    (Component, "award"): ("each", "nb: milestones pay: the highest reached -> each one reached"),
    (Condition, "field"): ("segment", 'nb: deals: type is "New" -> segment is "New"'),
    (Condition, "tests"): ((("at_least", (Number(10_000_000),)),), 'nb: deals: type is "New" -> type is at least 10'),
    (Multiplier, "when"): ((), 'nb: multiplier where type is "New": 1.5 -> none'),
    (Multiplier, "factor"): (2_000_000, 'nb: multiplier where type is "New": 1.5 -> 2'),
    (BaseRate, "ppm"): (80_000, "nb: base rate: target pay 50,000.00 / quota -> 8%"),
    (BaseRate, "target_pay"): (6_000_000, "-> target pay 60,000.00 / quota"),
    (BaseRate, "weight"): (600_000, "-> target pay 50,000.00 x 60% / quota"),
    (Gate, "at_least"): (600_000, "nb: gate: 50% of its quota -> 60% of its quota"),
    (Gate, "component"): ("renewals", "nb: gate: 50% of its quota -> 50% of renewals"),
    (Cap, "amount"): (1_500_000, "nb: cap: 10,000.00 a quarter -> 15,000.00 a quarter"),
    (Cap, "excess"): ("carry", "10,000.00 a quarter -> 10,000.00 a quarter, the rest paid later"),
    (Tier, "start"): (1_100_000, "nb: tier begins at: 100% of quota -> 110% of quota"),
    (Tier, "rate"): (Rate(140_000), "nb: accelerator above 100% of quota: 12% -> 14%"),
    (Tier, "amount"): (500, "12% -> 5.00 a unit"),
    (Tier, "applies"): ("all", "nb: accelerator above 100% of quota: 12% -> 12% on everything"),
    (Rate, "ppm"): (140_000, "nb: accelerator above 100% of quota: 12% -> 14%"),
    (Rate, "of_base"): (True, "12% -> 0.12x"),
    (Point, "at"): (1_200_000, "nb: point begins at: 100% of quota -> 120% of quota"),
    (Point, "pays"): (600_000, "nb: point at 100% of quota: 5,000.00 -> 6,000.00"),
    (Step, "at"): (1_200_000, "nb: milestone begins at: 100% of quota -> 120% of quota"),
    (Step, "pays"): (360_000, "nb: milestone at 100% of quota: 3,500.00 -> 3,600.00"),
}  # fmt: skip
# Where a record of each class stands in the plan.
PLACES = {
    Plan: lambda _plan, new: new,
    Draw: lambda plan, new: replace(plan, draw=new),
    Clawback: lambda plan, new: replace(plan, clawback=new),
    Payable: lambda plan, new: replace(plan, payable=new),
    Component: lambda plan, new: replace(plan, components=(new,)),
    Condition: lambda plan, new: with_component(plan, when=(new,)),
    Multiplier: lambda plan, new: with_component(plan, multipliers=(new,)),
    BaseRate: lambda plan, new: with_component(plan, base_rate=alone(new, "ppm", "target_pay")),
    Gate: lambda plan, new: with_component(plan, gate=new),
    Cap: lambda plan, new: with_component(plan, cap=new),
    Tier: lambda plan, new: with_component(plan, tiers=(TIERS[0], alone(new, "amount", "rate"))),
    Rate: lambda plan, new: with_component(plan, tiers=(TIERS[0], replace(TIERS[1], rate=new))),
    Point: lambda plan, new: with_component(plan, points=(WHOLE.points[0], new)),
    Step: lambda plan, new: with_component(plan, steps=(new,)),
}  # fmt: skip
RECORDS: dict[Any, Any] = {
    Plan: PLAN,
    Draw: PLAN.draw,
    Clawback: PLAN.clawback,
    Payable: PLAN.payable,
    Component: WHOLE,
    Condition: FILTER,
    Multiplier: WHOLE.multipliers[0],
    BaseRate: WHOLE.base_rate,
    Gate: WHOLE.gate,
    Cap: WHOLE.cap,
    Tier: TIERS[1],
    Rate: TIERS[1].rate,
    Point: WHOLE.points[1],
    Step: WHOLE.steps[0],
}
# Records beside a plan, and values that only stand inside a filter's tests.
NOT_OF_A_PLAN = {
    model.Assignment, model.QuotaRow, model.ExchangeRate, model.Invoice, model.Deal, model.Number, model.Day,
}  # fmt: skip


def with_component(plan, **changes):
    return replace(plan, components=(replace(plan.components[0], **changes),))


def alone(record, name, other):
    """The record, without its field `other` where it has `name`: a plan has one of the two."""
    return record if getattr(record, name) is None else replace(record, **{other: None})


def told(old, new):
    return [str(change) for change in diff(old, new)]


def test_every_field_of_every_record_of_a_plan_is_in_the_table():
    records = {each for each in vars(model).values() if is_dataclass(each)} - NOT_OF_A_PLAN
    assert set(CHANGES) == {(record, field.name) for record in records for field in fields(record)}


@pytest.mark.parametrize(
    ("record", "name"), list(CHANGES), ids=[f"{record.__name__}.{name}" for record, name in CHANGES]
)
def test_a_changed_field_is_told(record, name):
    value, words = CHANGES[record, name]
    new = PLACES[record](PLAN, replace(RECORDS[record], **{name: value}))
    assert any(words in text for text in told(PLAN, new)), told(PLAN, new)
    # And back again, which is another sentence.
    assert told(new, PLAN)
    assert told(new, PLAN) != told(PLAN, new)


def test_equal_plans_have_no_difference():
    assert told(PLAN, replace(PLAN)) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Text", Number(1)),
        (Number(1_000_000), "1"),
        (True, "true"),
        (Day(738_000), "2021-07-30"),
        ("new", "New"),
    ],
)
def test_values_of_a_filter_are_told_apart_by_type(before, after):
    plans = [
        with_component(PLAN, when=(Condition("type", (("any_of", (value,)),)),)) for value in (before, after)
    ]  # fmt: skip
    assert told(*plans)


def test_an_added_component_is_told_whole():
    spif = parse_plan(
        """
        plan = "ae"
        effective_from = 2026-01-01
        currency = "USD"
        pay_period = "month"
        [[component]]
        id = "spif"
        kind = "flat"
        amount = 500
        when = { type = "New" }
        """
    ).components
    new = replace(PLAN, components=(WHOLE, *spif))
    assert told(PLAN, new) == ['spif: component: none -> kind flat, deals type is "New", amount for a deal 500.00']
    assert told(new, PLAN) == ['spif: component: kind flat, deals type is "New", amount for a deal 500.00 -> none']


def test_another_order_of_components_is_told():
    other = replace(WHOLE, id="b", label="b")
    old, new = replace(PLAN, components=(WHOLE, other)), replace(PLAN, components=(other, WHOLE))
    assert told(old, new) == ["order on the statement: nb, b -> b, nb"]


def test_a_new_id_is_a_rename_only_where_all_else_is_the_same():
    assert told(PLAN, with_component(PLAN, id="b")) == ["b: id, so that its running total begins anew: nb -> b"]
    changed = told(PLAN, with_component(PLAN, id="b", quota=1))
    assert [text.split(": ")[:2] for text in changed] == [["b", "component"], ["nb", "component"]]


def test_a_tier_between_two_is_told_as_come():
    middle = Tier(800_000, Rate(100_000), None, "slice")
    new = with_component(PLAN, tiers=(TIERS[0], middle, TIERS[1]))
    assert told(PLAN, new) == ["nb: accelerator above 80% of quota: none -> 10%"]


def test_a_lower_rate_is_called_a_decelerator():
    new = with_component(PLAN, tiers=(TIERS[0], replace(TIERS[1], rate=Rate(40_000))))
    assert told(PLAN, new) == ["nb: decelerator above 100% of quota: 12% -> 4%"]


def test_a_moved_tier_with_another_rate_is_two_changes():
    new = with_component(PLAN, tiers=(TIERS[0], Tier(1_200_000, Rate(140_000), None, "slice")))
    assert told(PLAN, new) == [
        "nb: tier begins at: 100% of quota -> 120% of quota",
        "nb: accelerator above 120% of quota: 12% -> 14%",
    ]


def test_two_multipliers_with_one_filter_are_told_apart():
    one = WHOLE.multipliers[0]
    new = with_component(PLAN, multipliers=(one, replace(one, factor=2_000_000)))
    assert told(PLAN, new) == ['nb: multiplier where type is "New": 1.5 -> 1.5 and 2']

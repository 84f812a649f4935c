"""Warnings about a plan: for each one a plan that has it, and one that has not."""

import tomllib
from pathlib import Path

import pytest

from engine.plans.document import parse_plan, read_plan
from engine.plans.lint import lint

HEAD = """
plan = "ae"
effective_from = 2026-01-01
currency = "USD"
pay_period = "quarter"
[clawback]
within_days = 180
"""
# Nothing to say about this one.
CAPPED = 'cap = { amount = 100000 }\ntiers = [{ from = "0%", rate = "8%" }, { from = "100%", rate = "12%" }]'


def component(text, kind="quota", name="nb"):
    quota = "quota = 100000" if kind in ("quota", "curve", "bonus") and "quota = " not in text else ""
    return f'[[component]]\nid = "{name}"\nkind = "{kind}"\n{quota}\n{text}\n'


def warned(*components, known=None, head=HEAD):
    return [(each.path, each.message) for each in lint(parse_plan(head + "".join(components)), known)]


def only(*components, known=None, head=HEAD):
    (found,) = warned(*components, known=known, head=head)
    return found


def tiers(*rows, more=""):
    return "tiers = [" + ", ".join("{ " + row + " }" for row in rows) + "]\n" + more


def test_a_plan_without_surprises_has_no_warning():
    assert warned(component(CAPPED)) == []


def test_a_retroactive_tier_is_a_cliff():
    rows = ('from = "0%", rate = "8%"', 'from = "80%", rate = "10%", applies = "all"')
    path, text = only(component(tiers(*rows, more="cap = { amount = 100000 }")))
    assert path == "component[0].tiers[1]"
    assert text == (
        "A cliff: at 80% of quota (80,000.00 of 100,000.00) pay jumps by 1,600.00, from 6,400.00 to 8,000.00."
    )


def test_a_gate_is_a_cliff_and_an_open_one_is_none():
    path, text = only(component('gate = "50%"\n' + CAPPED))
    assert path == "component[0].gate"
    assert "50% of quota (50,000.00 of 100,000.00) pay jumps by 4,000.00, from 0.00 to 4,000.00" in text
    assert warned(component('gate = "0%"\n' + CAPPED)) == []


def test_a_rate_for_the_whole_deal_is_a_cliff_and_one_by_slice_is_none():
    rows = ("from = 0, rate = '5%'", "from = 10000, rate = '7%'")
    path, text = only(component(tiers(*rows), "tiered"))
    assert path == "component[0].tiers[1]"
    assert "at a deal of 10,000.00 pay jumps by 200.00, from 500.00 to 700.00" in text
    assert warned(component(tiers(*rows, more='applies = "slice"'), "tiered")) == []


def test_milestones_and_money_for_each_unit_are_no_cliffs():
    assert warned(component('steps = [{ at = "100%", pays = 3500 }]', "bonus")) == []
    units = 'measure = "count"\nquota = 20\ncap = { amount = 100000 }\n'
    rows = ('from = "0%", amount = 50', 'from = "100%", amount = 75')
    assert warned(component(units + tiers(*rows))) == []


def test_a_retroactive_lower_rate_pays_less_for_more():
    rows = ('from = "0%", rate = "10%"', 'from = "100%", rate = "8%", applies = "all"')
    path, text = only(component(tiers(*rows, more="cap = { amount = 100000 }")))
    assert path == "component[0].tiers[1]"
    assert text == (
        "Selling more pays less: 10,000.00 just below 100% of quota (100,000.00 of 100,000.00), then 8,000.00, and "
        "pay is back there only at 125% of quota (124,999.94 of 100,000.00)."
    )


def test_a_larger_deal_that_pays_less_is_told():
    rows = ("from = 0, rate = '10%'", "from = 50000, rate = '1%'")
    path, text = only(component(tiers(*rows), "tiered"))
    assert path == "component[0].tiers[1]"
    assert text.startswith(
        "Selling more pays less: 5,000.00 just below a deal of 50,000.00, then 500.00, and pay never gets"
    )


def test_a_curve_that_falls_is_told_and_one_that_stays_level_is_not():
    points = 'points = [{ at = "0%", pays = 0 }, { at = "100%", pays = 9000 }, { at = "150%", pays = LAST }]'
    path, text = only(component(points.replace("LAST", "6000"), "curve"))
    assert path == "component[0].points[1]"
    assert "9,000.00 at 100% of quota (100,000.00 of 100,000.00), then 6,000.00" in text
    assert "never gets back" in text
    assert warned(component(points.replace("LAST", "9000"), "curve")) == []


def test_milestones_that_fall_are_told():
    steps = 'steps = [{ at = "100%", pays = 5000 }, { at = "120%", pays = 3500 }]'
    path, _ = only(component(steps, "bonus"))
    assert path == "component[0].steps[1]"
    assert warned(component(steps + '\naward = "each"', "bonus")) == []


def test_a_decelerator_is_told():
    rows = ('from = "0%", rate = "10%"', 'from = "100%", rate = "4%"')
    path, text = only(component(tiers(*rows)))
    assert path == "component[0].tiers[1]"
    assert text == "Above 100% of quota (100,000.00 of 100,000.00) selling more pays 4% instead of 10%."


def test_a_tier_with_the_rate_of_the_one_below_is_dead():
    rows = ('from = "0%", rate = "8%"', 'from = "50%", rate = "8%"', 'from = "100%", rate = "12%"')
    path, text = only(component(tiers(*rows, more="cap = { amount = 100000 }")))
    assert (path, text) == (
        "component[0].tiers[1]",
        "The tier at 50% of quota (50,000.00 of 100,000.00) pays what is paid without it.",
    )


def test_a_milestone_that_pays_no_more_is_dead():
    steps = 'steps = [{ at = "100%", pays = 3500 }, { at = "120%", pays = LAST }]'
    assert only(component(steps.replace("LAST", "3500"), "bonus"))[0] == "component[0].steps[1]"
    assert warned(component(steps.replace("LAST", "5000"), "bonus")) == []


def test_a_tier_beyond_the_cap_never_pays():
    path, text = only(
        component("cap = { amount = 8000 }\n" + tiers('from = "0%", rate = "8%"', 'from = "120%", rate = "12%"'))
    )
    assert path == "component[0].tiers[1]"
    assert "The cap of 8,000.00 a quarter is reached at 100% of quota" in text
    assert "120% of quota (120,000.00 of 100,000.00) never pays more" in text
    assert warned(component('cap = { amount = 8000, excess = "carry" }\n' + CAPPED.splitlines()[1])) == []


def test_a_cap_below_the_quota_is_told():
    path, text = only(component("cap = { amount = 5000 }\n" + tiers('from = "0%", rate = "8%"')))
    assert path == "component[0].cap.amount"
    assert "reached at 62.5%" in text


def test_an_accelerator_without_a_cap_is_told_with_what_it_comes_to():
    path, text = only(component(CAPPED.splitlines()[1]))
    assert path == "component[0].cap"
    assert text == (
        "Pay has no limit: with a quota of 100,000.00 it is 8,000.00 at 100% of quota, 20,000.00 at 200% of quota, "
        "32,000.00 at 300% of quota."
    )
    assert warned(component(tiers('from = "0%", rate = "8%"'))) == []


def test_an_accelerator_by_money_is_measured_from_its_last_edge():
    path, text = only(component(tiers("from = 0, rate = '5%'", "from = 50000, rate = '10%'")))
    assert path == "component[0].cap"
    assert "7,500.00 at 100% of quota, 17,500.00 at 200% of quota" in text
    text = component(tiers("from = 0, rate = '5%'", "from = 50000, rate = '10%'")).replace("quota = 100000", "")
    assert "2,500.00 at 50,000.00, 7,500.00 at 100,000.00, 12,500.00 at 150,000.00" in only(text)[1]


def test_gates_that_nobody_reaches():
    far = component('gate = { component = "nb", at_least = "250%" }\nrate = "1%"', "percentage", "kicker")
    near = far.replace("250%", "100%")
    assert only(component(CAPPED), far)[0] == "component[1].gate"
    assert warned(component(CAPPED), near) == []


def test_a_gate_on_a_component_that_is_over():
    spif = component("window = { from = 2026-01-01, until = 2026-04-01 }\n" + CAPPED)
    waits = component('gate = { component = "nb", at_least = "100%" }\nrate = "1%"', "percentage", "kicker")
    path, text = only(spif, waits)
    assert path == "component[1].gate"
    assert "From 2026-04-01 on" in text
    same = waits.replace("rate", "window = { from = 2026-01-01, until = 2026-04-01 }\nrate")
    found = warned(spif, same, component('rate = "1%"', "percentage", "rest"))
    assert found == []


def test_a_window_that_is_over_before_the_plan_begins():
    old = component('window = { from = 2025-01-01, until = 2026-01-01 }\nrate = "1%"', "percentage", "spif")
    assert only(old, component(CAPPED))[0] == "component[0].window"
    assert warned(old.replace("until = 2026-01-01", "until = 2026-01-02"), component(CAPPED)) == []


@pytest.mark.parametrize(
    ("text", "kind", "path"),
    [
        ("amount = 500\nper_deal = { max = 300 }", "flat", "component[0].per_deal"),
        ("amount = 500\nper_deal = { min = 600 }", "flat", "component[0].per_deal"),
        ('rate = "5%"\nper_deal = { min = 100, max = 100 }', "percentage", "component[0].per_deal"),
        ('rate = "50%"\nper_deal = { max = 0.10 }', "percentage", "component[0].per_deal.max"),
    ],
)
def test_a_limit_on_a_deal_that_always_binds(text, kind, path):
    assert only(component(text, kind))[0] == path


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("amount = 500\nper_deal = { min = 10, max = 5000 }", "flat"),
        ('rate = "5%"\nper_deal = { min = 10, max = 5000 }', "percentage"),
    ],
)
def test_a_limit_on_a_deal_that_leaves_room(text, kind):
    assert warned(component(text, kind)) == []


def test_a_tier_that_nobody_gets_to():
    rows = ('from = "0%", rate = "8%"', 'from = "350%", rate = "9%"')
    path, text = only(component(tiers(*rows, more="cap = { amount = 100000 }")))
    assert path == "component[0].tiers[1]"
    assert text.startswith("Hardly anybody gets to 350% of quota")


def test_a_plan_without_clawback():
    head = HEAD.partition("[clawback]")[0]
    assert only(component(CAPPED), head=head)[0] == "clawback"
    assert warned(component(CAPPED), head=head + '[payable]\non = "invoice_paid"\n') == []


# --- which deals match -----------------------------------------------------------------------------

NEW = component('rate = "5%"\nwhen = { type = "New" }', "percentage", "new")


def test_deals_that_match_nothing_without_a_catch_all():
    assert only(NEW) == ("component", "Deals with any other type match no component and pay nothing.")
    rest = component('rate = "1%"\nwhen = { type = { not = "New" } }', "percentage", "rest")
    assert warned(NEW, rest) == []
    assert warned(NEW, component('rate = "1%"', "percentage", "rest")) == []


def test_deals_of_the_company_that_match_nothing():
    known = {"type": ["New", "Renewal", None]}
    path, text = only(NEW, known=known)
    assert path == "component"
    assert text == 'Deals with type "Renewal"; with no type match no component and pay nothing.'
    assert warned(NEW, known={"type": ["new"]}) == []


def test_a_gap_between_two_ranges():
    low = component('rate = "5%"\nwhen = { amount = { less_than = 10000 } }', "percentage", "low")
    high = component('rate = "7%"\nwhen = { amount = { more_than = 10000 } }', "percentage", "high")
    path, text = only(low, high)
    assert (path, text) == ("component", "Deals with amount 10,000 match no component and pay nothing.")
    assert warned(low, high.replace("more_than", "at_least")) == []


def test_a_mix_of_two_fields_is_told_as_such():
    emea = component('rate = "5%"\nwhen = { type = "New", region = "EMEA" }', "percentage", "emea")
    known = {"type": ["New", "Renewal"], "region": ["EMEA", "US"]}
    other = component('rate = "5%"\nwhen = { type = "Renewal" }', "percentage", "renewal")
    assert only(emea, other, known=known)[1].startswith('Deals with region "US" and type "New" match no')


def test_a_window_does_not_pay_for_deals_outside_it():
    spif = component('rate = "1%"\nwindow = { from = 2026-02-01, until = 2026-03-01 }', "percentage", "spif")
    assert only(spif) == ("component", "Deals outside the windows match no component and pay nothing.")


def test_a_filter_that_no_deal_of_the_company_passes():
    strategic = component('rate = "5%"\nwhen = { segment = "Strategc" }', "percentage", "strategic")
    rest = component('rate = "1%"', "percentage", "rest")
    path, text = only(strategic, rest, known={"segment": ["Strategic", "SMB"]})
    assert path == "component[0].when"
    assert text == 'No deal of the company is such that segment is "Strategc".'
    assert warned(strategic, rest) == []


def test_the_plan_of_every_case_can_be_walked():
    for path in sorted((Path(__file__).parents[1] / "cases").rglob("*.toml")):
        case = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=str)
        documents = case.get("plan", [])
        documents = documents if isinstance(documents, list) else [documents]
        for document in (*documents, *case.get("plans_doc", {}).values()):
            if isinstance(document, dict):
                plan, _ = read_plan(document, "plan")
                if plan is not None:
                    assert isinstance(lint(plan), list), path

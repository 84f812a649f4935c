"""Case files: reading, and the paths of what is wrong with them."""

import datetime as dt

import pytest

from engine.calc.calculate import calculate
from engine.calc.model import PPM, Assignment, Day, Number, QuotaRow
from engine.plans.casefile import load_case
from engine.plans.cases import calculate_case

PLAN = """
[plan]
effective_from = 2026-01-01
currency = "USD"
pay_period = "month"
[[plan.component]]
id = "a"
kind = "percentage"
rate = "5%"
"""
PERSON = 'person = [{ id = "ana" }]\n'
DEAL = 'deal = [{ id = "D1", owner = "ana", close_date = 2026-01-20, amount = "10" }]\n'


def day(text):
    return dt.date.fromisoformat(text).toordinal()


def paths(text):
    return sorted(problem.path for problem in load_case(text).problems)


def test_a_whole_case():
    case = load_case(
        """
        name = "all of it"
        source = "a book"
        as_of = 2026-03-31
        plans = { ana = "ae" }
        person = [
          { id = "mia" },
          { id = "ana", manager = "mia", start = 2026-01-05, end = 2026-12-31, prorate = "months", quota.a = "5.50" },
        ]
        quota = [{ person = "ana", component = "a", period = "2026-01", amount = "7" }]
        rate = [{ currency = "EUR", to = "USD", date = 2026-01-01, rate = "1.08251234" }]
        [[deal]]
        id = "D1"
        credits = { ana = "60%", mia = "40%" }
        close_date = 2026-01-20
        amount = "1,000.50"
        margin = 10
        currency = "EUR"
        cancelled = 2026-02-01
        term_months = "12"
        seats = "7"
        invoices = [{ paid = 2026-02-05, amount = "500.25" }]
        [plans_doc.ae]
        effective_from = 2026-01-01
        currency = "USD"
        pay_period = "month"
        [[plans_doc.ae.component]]
        id = "a"
        kind = "percentage"
        measure = "seats"
        rate = "5%"
        when = { size = "big" }
        [expect]
        total = "0.35"
        by_person = { ana = "0.35" }
        attainment = { "ana/a/2026-01" = "66.67%" }
        problems = []
        """
    )
    assert case.problems == ()
    book = case.book
    assert book is not None
    assert (case.name, case.currency, book.as_of) == ("all of it", "USD", day("2026-03-31"))
    assert book.people == ("ana", "mia")
    assert book.assignments == (
        Assignment("mia", None),
        Assignment("ana", "ae", "mia", day("2026-01-05"), day("2026-12-31"), "months"),
    )
    assert book.quotas == (QuotaRow("ana", "a", None, 5_500_000), QuotaRow("ana", "a", "2026-01", 7_000_000))
    assert (book.rates[0].value, book.rates[0].scale) == (108251234, 100000000)
    deals = book.deals
    assert list(deals.credit_share or ()) == [600_000, 400_000]
    assert (list(deals.amount or ()), list(deals.margin or ())) == ([100_050], [1_000])
    assert (list(deals.invoice_paid or ()), list(deals.invoice_amount or ())) == ([day("2026-02-05")], [50_025])
    assert list(deals.fields["seats"].values) == [7_000_000]
    expected = case.expected
    assert (expected.total, expected.money) == (35, {"by_person": {"ana": 35}})
    assert (expected.attainment, expected.problems) == ({"ana/a/2026-01": 666_700}, ())


def test_rows_of_assignments_replace_the_persons_dates_and_take_the_rest_from_it():
    case = load_case(
        'person = [{ id = "mia" }, { id = "ana", manager = "mia", start = 2026-05-01, prorate = "none" }]\n'
        'assignment = [{ person = "ana", end = 2026-02-01 }, { person = "ana", start = 2026-03-01, manager = "zed" }]\n'
        + PLAN
    )
    assert [problem.path for problem in case.problems] == ["assignment[1].manager"]
    case = load_case(
        'person = [{ id = "mia" }, { id = "ana", manager = "mia", start = 2026-05-01, prorate = "none" }]\n'
        'assignment = [{ person = "ana", end = 2026-02-01 }]\n' + PLAN
    )
    assert case.book is not None
    assert case.book.assignments[1] == Assignment("ana", "plan", "mia", None, day("2026-02-01"), "none")


def test_fields_keep_their_types():
    deal = 'deal = [{ id = "D1", owner = "ana", close_date = 2026-01-20, x = "7", y = 7, z = 2026-01-01 }]\n'
    plan = PLAN + 'when = { x = "7", y = 7, z = 2026-01-01, owner = "ana" }\n'
    case = load_case(PERSON + deal + plan)
    assert case.book is not None
    fields = case.book.deals.fields
    assert fields["x"].words == ("7",)
    assert list(fields["y"].values) == [Number(7_000_000).micro]
    assert fields["z"].words == (Day(day("2026-01-01")),)
    assert fields["owner"].words == ("ana",)


def test_the_persons_figure_for_all_and_a_row_without_a_period():
    case = load_case(
        'person = [{ id = "ana", quota = "9" }]\nquota = [{ person = "ana", component = "a", amount = 8 }]\n' + PLAN
    )
    assert case.book is not None
    assert case.book.quotas == (QuotaRow("ana", None, None, 9_000_000), QuotaRow("ana", "a", None, 8_000_000))


def deal(more="", owner='owner = "ana"'):
    return f'deal = [{{ id = "D1", {owner}, close_date = 2026-01-20, amount = "10"{more} }}]\n'


NAMED = PLAN.replace("[[plan.", "[[plans_doc.p.").replace("[plan]", "[[plans_doc.p]]")
EURO = '{ currency = "EUR", to = "USD", date = 2026-01-01, rate = '
ROWS = 'quota = [{ person = "ana", component = "a", period = "2026-01", amount = '
WRONG = [
    ("no TOML", "name = ", [""]),
    ("unknown keys", "nam = 1\n" + PERSON + PLAN, ["nam"]),
    ("no plan", PERSON, ["plan"]),
    ("a plan that is none", "plan = 5\n" + PERSON, ["plan"]),
    ("plan and plans_doc", PERSON + PLAN + PLAN.replace("plan", "plans_doc.x"), ["plan"]),
    ("unknown key of a person", 'person = [{ id = "ana", quta = 1 }]\n' + PLAN, ["person[0].quta"]),
    ("a person twice", 'person = [{ id = "ana" }, { id = "ana" }]\n' + PLAN, ["person[1].id"]),
    ("a person without an id", "person = [{}]\n" + PLAN, ["person[0].id"]),
    ("unknown manager", 'person = [{ id = "ana", manager = "zed" }]\n' + PLAN, ["person[0].manager"]),
    ("own manager", 'person = [{ id = "ana", manager = "ana" }]\n' + PLAN, ["person[0].manager"]),
    ("unknown proration", 'person = [{ id = "ana", prorate = "weeks" }]\n' + PLAN, ["person[0].prorate"]),
    ("an end too early", 'person=[{ id = "ana", start = 2026-02-01, end = 2026-01-01 }]\n' + PLAN, ["person[0].end"]),
    ("a plan for nobody", 'plans = { zed = "p" }\n' + PERSON + PLAN.replace("plan", "plans_doc.p"), ["plans.zed"]),
    ("no such plan", 'plans = { ana = "q" }\n' + PERSON + PLAN.replace("plan", "plans_doc.p"), ["plans.ana"]),
    ("assignment of nobody", PERSON + 'assignment = [{ person = "zed" }]\n' + PLAN, ["assignment[0].person"]),
    ("assignment to nothing", PERSON + 'assignment=[{ person="ana", plan = "q" }]\n' + PLAN, ["assignment[0].plan"]),
    ("quota of nobody", PERSON + ROWS.replace("ana", "zed") + "1 }]\n" + PLAN, ["quota[0].person"]),
    ("quota of nothing", PERSON + ROWS.replace('"a"', '"b"') + "1 }]\n" + PLAN, ["quota[0].component"]),
    ("quota of no period", PERSON + ROWS.replace("2026-01", "2026-13") + "1 }]\n" + PLAN, ["quota[0].period"]),
    ("quota of a week", PERSON + ROWS.replace("2026-01", "2026-W01") + "1 }]\n" + PLAN, ["quota[0].period"]),
    ("a quota of 0", PERSON + ROWS + "0 }]\n" + PLAN, ["quota[0].amount"]),
    ("a quota too fine", PERSON + ROWS + '"0.001" }]\n' + PLAN, ["quota[0].amount"]),
    ("a quota without an amount", PERSON + ROWS.replace(", amount =", "}]") + "\n" + PLAN, ["quota[0].amount"]),
    ("a quota twice", PERSON + ROWS + "1 }," + ROWS.split("[")[1] + "2 }]\n" + PLAN, ["quota[1]"]),
    ("a person's quota of 0", 'person = [{ id = "ana", quota = 0 }]\n' + PLAN, ["person[0].quota"]),
    ("a person's quota for nothing", 'person = [{ id = "ana", quota = { b = 1 } }]\n' + PLAN, ["person[0].quota.b"]),
    ("a person's quota too fine", 'person = [{ id = "ana", quota = { a = 0.001 } }]\n' + PLAN, ["person[0].quota.a"]),
    ("deal of nobody", PERSON + deal(owner='owner = "zed"') + PLAN, ["deal[0].owner"]),
    ("deal without an owner", PERSON + deal(owner="x = 1") + PLAN, ["deal[0].owner"]),
    ("deal with both", PERSON + deal(", credits = { ana = 1 }") + PLAN, ["deal[0].owner"]),
    ("credits of nobody", PERSON + deal(owner="credits = {}") + PLAN, ["deal[0].credits"]),
    ("a share below 0", PERSON + deal(owner='credits = { ana = "-5%" }') + PLAN, ["deal[0].credits.ana"]),
    ("a share above 100%", PERSON + deal(owner='credits = { ana = "101%" }') + PLAN, ["deal[0].credits.ana"]),
    ("an amount too fine", PERSON + deal(", margin = 0.001") + PLAN, ["deal[0].margin"]),
    ("a number too fine", PERSON + deal(", x = 0.0000001") + PLAN, ["deal[0].x"]),
    ("a field that is a list", PERSON + deal(", x = [1]") + PLAN, ["deal[0].x"]),
    ("an exponent", PERSON + deal(", x = 1e3") + PLAN, ["deal[0].x"]),
    ("no currency", PERSON + deal(', currency = "euro"') + PLAN, ["deal[0].currency"]),
    ("a term of nothing", PERSON + deal(", term_months = 0") + PLAN, ["deal[0].term_months"]),
    ("cancelled before closed", PERSON + deal(", cancelled = 2026-01-19") + PLAN, ["deal[0].cancelled"]),
    ("an invoice without a day", PERSON + deal(", invoices = [{ amount = 1 }]") + PLAN, ["deal[0].invoices[0].paid"]),
    ("no close date", PERSON + 'deal = [{ id = "D", owner = "ana" }]\n' + PLAN, ["deal[0].close_date"]),
    ("a rate of 0", f"rate = [{EURO}0 }}]\n" + PLAN, ["rate[0].rate"]),
    ("a rate twice", f"rate = [{EURO}1 }}, {EURO}2 }}]\n" + PLAN, ["rate[1].date"]),
    ("unknown expectation", PERSON + PLAN + "[expect]\ntotl = 5", ["expect.totl"]),
    ("unreadable expectation", PERSON + PLAN + '[expect]\nby_deal = { D1 = "x" }', ["expect.by_deal.D1"]),
    ("problems that are no list", PERSON + PLAN + "[expect]\nproblems = 5", ["expect.problems"]),
    (
        "plans of two currencies",
        PERSON + PLAN.replace("plan", "plans_doc.p") + PLAN.replace("plan", "plans_doc.q").replace("USD", "EUR"),
        ["plans_doc.q.currency"],
    ),
    (
        "two versions, the later one first",
        PERSON
        + PLAN.replace("[plan]", "[[plan]]").replace("01-01", "02-01").replace("5%", "500%")
        + PLAN.replace("[plan]", "[[plan]]"),
        ["plan[0].component[0].rate"],
    ),
    (
        "versions of a named plan",
        PERSON + NAMED + NAMED.replace("01-01", "02-01").replace("5%", "500%"),
        ["plans_doc.p[1].component[0].rate"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "found"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_problems(text, found):
    assert paths(text) == found
    assert not calculate_case(load_case(text), calculate).lines


def test_rows_are_checked_beside_a_plan_with_problems():
    text = 'person = [{ id = "ana", manager = "zed", quota = { b = 1 } }]\n' + DEAL + PLAN.replace("5%", "500%")
    assert paths(text) == ["component[0].rate", "person[0].manager", "person[0].quota.b"]


def test_problems_of_rows_and_of_the_calculation_come_at_once():
    deals = (
        'deal = [{ id = "D1", owner = "zed", close_date = 2026-01-20, amount = "10" }, '
        '{ id = "D2", owner = "ana", close_date = 2025-12-31, amount = "10" }]\n'
    )
    found = calculate_case(load_case(PERSON + deals + PLAN), calculate).problems
    assert [problem.path for problem in found] == ["deal[0].owner", "deal[1].close_date"]


def test_what_is_wrong_with_a_value_is_told_once():
    deals = 'deal = [{ id = "D1", owner = "ana", close_date = "soon", amount = "10" }]\n'
    found = calculate_case(load_case(PERSON + deals + PLAN), calculate).problems
    assert [problem.path for problem in found] == ["deal[0].close_date"]


def test_a_share_of_everything():
    case = load_case(PERSON + DEAL + PLAN)
    assert case.book is not None
    assert list(case.book.deals.credit_share or ()) == [PPM]

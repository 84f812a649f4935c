import random
import unittest
from dataclasses import replace
from fractions import Fraction

from engine.calc.book import book_from_rows, check_rows
from engine.calc.calculate import CalculationError, Desk, calculate, combine
from engine.calc.model import (
    MICRO,
    PPM,
    Assignment,
    Cap,
    Component,
    Condition,
    ExchangeRate,
    Gate,
    Multiplier,
    Number,
    Point,
    Rate,
    Step,
)
from engine.money import round_ratio
from tests.unit.calc.making import by_deal, cents, day, deal, percentage, plan, quota_component, result, tiers

TWO_TIERS = quota_component([(0, 8), (100, 12)])


class Kinds(unittest.TestCase):
    def test_slices_over_the_edge_of_quota(self):
        deals = [deal("D1", "2026-01-20", 60_000), deal("D2", "2026-02-11", 70_000)]
        found = result(plan(TWO_TIERS), deals, [("ana", None, None, 100_000)])
        self.assertEqual(by_deal(found), {"D1": 480_000, "D2": 680_000})
        (attained,) = found.attainment
        self.assertEqual(Fraction(attained.credit, attained.quota), Fraction(13, 10))

    def test_edge_itself_is_in_the_upper_tier(self):
        component = quota_component([(0, 5), (100, 10)], applies="all", quota=1_000_000)
        for amount, paid in ((1_000_000, 100_000), (999_999, 50_000), (1_000_001, 100_000)):
            found = result(plan(component), [replace(deal("D", "2026-01-20", 1), amount=amount)])
            self.assertEqual(found.total, paid)

    def test_refund_re_rates_and_goes_below_zero(self):
        component = quota_component([(0, 5), (100, 10)], applies="all", quota=1_000_000)
        deals = [deal("D1", "2026-01-01", 10_000), deal("D2", "2026-01-02", -1), deal("D3", "2026-01-03", -20_000)]
        self.assertEqual(by_deal(result(plan(component), deals)), {"D1": 100_000, "D2": -50_005, "D3": -100_000})

    def test_flat_and_its_share(self):
        spif = Component("spif", "", "flat", "month", amount=5_000)
        deals = [deal("D1", "2026-01-01", 10, (("ana", 60), ("bo", 40))), deal("D2", "2026-01-02", -10)]
        self.assertEqual(
            cents(result(plan(spif), deals)),
            {("ana", "D1", "earned"): 3_000, ("bo", "D1", "earned"): 2_000, ("ana", "D2", "earned"): -5_000},
        )
        whole = replace(spif, scale_by_share=False)
        self.assertEqual(by_deal(result(plan(whole), deals)), {"D1": 10_000, "D2": -5_000})

    def test_tiered_by_the_whole_deal(self):
        component = Component("t", "", "tiered", "month", tiers=tiers((0, 1), (100, 2), applies="all", to=10_000))
        deals = [deal("D1", "2026-01-01", 150, (("ana", 60), ("bo", 40))), deal("D2", "2026-01-02", -150)]
        self.assertEqual(
            cents(result(plan(component), deals)),
            {("ana", "D1", "earned"): 180, ("bo", "D1", "earned"): 120, ("ana", "D2", "earned"): -300},
        )

    def test_curve_and_bonus(self):
        curve = Component(
            "c", "", "curve", "month", points=(Point(0, 0), Point(1_000_000, 50_000), Point(5_000_000, 450_000))
        )
        deals = [deal("D1", "2026-01-01", 5_000), deal("D2", "2026-01-02", 25_000), deal("D3", "2026-01-03", 90_000)]
        self.assertEqual(by_deal(result(plan(curve), deals)), {"D1": 25_000, "D2": 225_000, "D3": 200_000})
        extended = replace(curve, beyond="extend")
        self.assertEqual(by_deal(result(plan(extended), deals))["D3"], 900_000)
        bonus = Component("b", "", "bonus", "month", steps=(Step(500_000, 100), Step(3_000_000, 300)))
        self.assertEqual(by_deal(result(plan(bonus), deals)), {"D1": 100, "D2": 200, "D3": 0})
        self.assertEqual(result(plan(replace(bonus, award="each")), deals).total, 400)

    def test_when_multipliers_and_money(self):
        large = (Condition("amount", (("more_than", (Number(500 * MICRO),)),)),)
        component = quota_component([(0, 10), (100, 20)], quota=100_000, multipliers=(Multiplier(large, 1_500_000),))
        found = result(plan(component), [deal("D1", "2026-01-01", 500), deal("D2", "2026-01-02", 1_000)])
        # D2 counts 1,500: 500 up to quota and 1,000 above it, so a third of its 1,000 is paid 10%, the rest 20%.
        self.assertEqual(by_deal(found), {"D1": 5_000, "D2": 3_333 + 13_333 + 1})
        self.assertEqual(by_deal(result(plan(replace(percentage(10), when=large)), [deal("D", "2026-01-01", 500)])), {})


class Splits(unittest.TestCase):
    def test_largest_remainder_by_person(self):
        deals = [replace(deal("D", "2026-01-01", 0, (("ana", 50), ("bo", 50))), amount=101)]
        found = result(plan(percentage(100)), deals)
        self.assertEqual(cents(found), {("ana", "D", "earned"): 51, ("bo", "D", "earned"): 50})

    def test_order_of_the_deals(self):
        deals = [deal("b", "2026-01-02", 60), deal("a", "2026-01-02", 60), deal("c", "2026-01-01", 60)]
        component = quota_component([(0, 0), (100, 10)], quota=12_000)
        self.assertEqual(by_deal(result(plan(component), deals)), {"c": 0, "a": 0, "b": 600})


class Limits(unittest.TestCase):
    def test_one_rounding_of_the_running_total(self):
        deals = [replace(deal(f"D{i}", f"2026-01-0{i}", 0), amount=20) for i in (1, 2, 3)]
        component = Component("s", "", "percentage", "month", rate=Rate(25_000))
        self.assertEqual(list(by_deal(result(plan(component), deals)).values()), [1, 0, 1])
        even = plan(component, rounding="half_even")
        self.assertEqual(list(by_deal(result(even, deals)).values()), [0, 1, 1])

    def test_gate_cap_and_per_deal(self):
        deals = [deal("D1", "2026-01-01", 400), deal("D2", "2026-01-02", 200), deal("D3", "2026-01-03", -300)]
        gated = replace(percentage(10), gate=Gate(500_000), quota=100_000)
        self.assertEqual(by_deal(result(plan(gated), deals)), {"D1": 0, "D2": 6_000, "D3": -6_000})
        limited = replace(percentage(10), per_deal_min=2_500, per_deal_max=3_000)
        self.assertEqual(by_deal(result(plan(limited), deals)), {"D1": 3_000, "D2": 2_500, "D3": -3_000})
        capped = replace(percentage(10), cap=Cap(5_000, "forfeit"))
        self.assertEqual(by_deal(result(plan(capped), deals)), {"D1": 4_000, "D2": 1_000, "D3": -2_000})

    def test_cap_carries_into_later_periods(self):
        carried = replace(percentage(10), cap=Cap(5_000, "carry"))
        found = result(plan(carried), [deal("D1", "2026-01-01", 1_200)], as_of=day("2026-03-15"))
        self.assertEqual([(pay.period, pay.earned) for pay in found.pay],
                         [("2026-01", 5_000), ("2026-02", 5_000), ("2026-03", 2_000)])  # fmt: skip
        deals = [deal("D1", "2026-01-01", 600), deal("D2", "2026-02-01", 100)]
        found = result(plan(carried), deals)
        self.assertEqual([(line.deal, line.kind, line.cents) for line in found.lines()],
                         [("D1", "earned", 5_000), ("", "carry", 1_000), ("D2", "earned", 1_000)])  # fmt: skip

    def test_gate_on_another_component(self):
        big = replace(percentage(10, "big"), gate=Gate(PPM, "nb"))
        for amount, total in ((999, 0), (1_000, 10_000)):
            found = result(plan(quota_component([(0, 0)], quota=100_000), big), [deal("D", "2026-01-01", amount)])
            self.assertEqual(found.total, total)


class People(unittest.TestCase):
    def test_versions_share_a_running_total(self):
        first, second = plan(TWO_TIERS), plan(quota_component([(0, 10), (100, 20)]), start="2026-02-01")
        deals = [deal("D1", "2026-01-31", 600), deal("D2", "2026-02-01", 600)]
        found = result({"ae": (first, second)}, deals, [("ana", None, None, 1_000)])
        self.assertEqual(by_deal(found), {"D1": 4_800, "D2": 4_000 + 4_000})

    def test_quota_precedence_and_proration(self):
        rows = [("ana", "nb", "2026-Q2", 400), ("ana", "nb", None, 300), ("ana", None, None, 200)]
        component = replace(TWO_TIERS, quota=10_000)
        for given, quarter, quota in ((rows, "2026-04", 400), (rows[1:], "2026-04", 300), (rows[2:], "2026-04", 200),
                                      ((), "2026-04", 100), (rows, "2026-07", 300)):  # fmt: skip
            found = result(plan(component), [deal("D", f"{quarter}-01", 100)], given)
            (attained,) = found.attainment
            self.assertEqual(Fraction(attained.credit, attained.quota), Fraction(100, quota))
        for prorate, share in (("days", Fraction(45, 90)), ("months", Fraction(2, 3)), ("none", Fraction(1))):
            ana = Assignment("ana", "ae", start=day("2026-02-15"), prorate=prorate)
            found = result(plan(component), [deal("D", "2026-03-01", 100)], assignments=[ana])
            (attained,) = found.attainment
            self.assertEqual(Fraction(attained.quota, attained.credit), share)

    def test_managers_at_the_close_date(self):
        override = replace(percentage(1, "override"), credit_from="team")
        plans = {"rep": (plan(percentage(10), name="rep"),), "boss": (plan(override, name="boss"),)}
        rows = [
            Assignment("ana", "rep", "max", end=day("2026-02-01")),
            Assignment("ana", "rep", "mia", start=day("2026-02-01")),
            Assignment("max", "boss", "dee"),
            Assignment("mia", "boss"),
            Assignment("dee", "boss"),
        ]
        found = result(plans, [deal("D1", "2026-01-31", 100), deal("D2", "2026-02-01", 100)], assignments=rows)
        self.assertEqual(
            {key: value for key, value in cents(found).items() if key[0] != "ana"},
            {("max", "D1", "earned"): 100, ("dee", "D1", "earned"): 100, ("mia", "D2", "earned"): 100},
        )

    def test_override_on_commission_and_its_override(self):
        override = replace(
            percentage(10, "o"), measure="commission", pays_on="commission", credit_from="direct_reports"
        )
        plans = {"rep": (plan(percentage(10), name="rep"),), "boss": (plan(override, name="boss"),)}
        rows = [Assignment("ana", "rep", "max"), Assignment("max", "boss", "dee"), Assignment("dee", "boss")]
        found = result(plans, [deal("D1", "2026-01-31", 1_000)], assignments=rows)
        self.assertEqual([cents(found)[who, "D1", "earned"] for who in ("ana", "max", "dee")], [10_000, 1_000, 100])

    def test_currency(self):
        rates = [
            ExchangeRate("EUR", "USD", day("2026-01-01"), 1_100_000),
            ExchangeRate("EUR", "USD", day("2026-01-10"), 1_200_000),
        ]
        deals = [deal("D1", "2026-01-09", 100, currency="EUR"), deal("D2", "2026-01-10", 100, currency="EUR")]
        self.assertEqual(by_deal(result(plan(percentage(10)), deals, rates=rates)), {"D1": 1_100, "D2": 1_200})
        (problem,) = result(plan(percentage(10)), [deal("D0", "2025-12-31", 1), *deals], rates=rates[1:],
                            as_of=day("2026-01-09")).problems[:1]  # fmt: skip
        self.assertEqual(problem.path, "deal[0].close_date")


class Problems(unittest.TestCase):
    def paths(self, *args, **more):
        found = result(*args, **more)
        self.assertEqual((found.total, list(found.lines())), (0, []))
        return [problem.path for problem in found.problems]

    def test_found_while_calculating(self):
        self.assertEqual(self.paths(plan(TWO_TIERS), [deal("D", "2026-01-01", 1)]), ["component[0].quota"])
        self.assertEqual(self.paths(plan(percentage(1)), [deal("D", "2026-01-01", None)]), ["deal[0].amount"])
        self.assertEqual(self.paths(plan(percentage(1)), [deal("D", "2025-12-31", 1)]), ["deal[0].close_date"])
        foreign = [deal("A", "2026-01-02", 1), deal("B", "2026-01-01", 1, currency="EUR")]
        self.assertEqual(self.paths(plan(percentage(1)), foreign), ["deal[1].currency"])

    def test_found_before(self):
        ana = [Assignment("ana", "ae", end=day("2026-02-01")), Assignment("ana", "ae", start=day("2026-01-31"))]
        circle = [Assignment("ana", "ae", "bo"), Assignment("bo", "ae", "ana")]
        plans = {"ae": (plan(percentage(1)),)}

        def paths(rows, deals=()):
            return [problem.path for problem in check_rows(plans, rows, deals)]

        self.assertEqual(paths(ana), ["assignment[1].start"])
        self.assertEqual(paths(circle), ["assignment[0].manager", "assignment[1].manager"])
        apart = [replace(circle[0], end=day("2026-02-01")), replace(circle[1], start=day("2026-02-01"))]
        self.assertEqual(paths(apart), [])
        bad = [deal("D", "2026-01-02", 1, "zoe"), deal("D", "2026-01-02", 1, "ana", cancelled=day("2026-01-01"))]
        self.assertEqual(paths(ana[:1], bad), ["deal[0].owner", "deal[1].id", "deal[1].cancelled"])

    def test_a_rule_that_fails_names_person_and_component(self):
        broken = replace(percentage(1, "broken"), rate=None)
        with self.assertRaisesRegex(CalculationError, "broken.*bo"):
            result(plan(broken), [deal("D", "2026-01-01", 1, "bo")], people=["bo"])


class Agreement(unittest.TestCase):
    """The loop for the usual case, the general one, and a naive sum in fractions."""

    def random_deals(self, seed):
        chance = random.Random(seed)  # noqa: S311
        return [
            replace(
                deal(f"D{i:03d}", f"2026-0{chance.randrange(1, 7)}-{chance.randrange(1, 28):02d}", 0,
                     chance.choice(["ana", "bo", (("ana", 33), ("bo", 67)), (("ana", 100), ("bo", 50))])),
                amount=chance.choice([chance.randrange(-90_000, 300_000), 0, 1, 100_000]),
            )
            for i in range(60)
        ]  # fmt: skip

    def test_both_loops(self):
        for seed in range(20):
            deals, applies = self.random_deals(seed), ["slice", "all"][seed % 2]
            usual = quota_component([(0, 3), (40, 7), (100, 11)], quota=777_777, applies=applies, gate=None)
            if seed % 3 == 0:
                usual = replace(usual, gate=Gate(250_000), cap=Cap(60_000, "carry"))
            general = replace(usual, per_deal_max=10**12)
            one, other = result(plan(usual), deals), result(plan(general), deals)
            self.assertEqual(list(map(_told, one.lines())), list(map(_told, other.lines())))

    def test_naive_sum(self):
        steps = [(0, 3), (40, 7), (100, 11)]
        quota = Fraction(777_777)
        for seed in range(20):
            deals = self.random_deals(seed)
            found = result(plan(quota_component(steps, quota=777_777)), deals)
            totals: dict = {}
            for line in found.lines():
                key = line.person, line.facts["quota_period"]
                credit, cents = totals.get(key, (0, 0))
                totals[key] = credit + line.facts["credit"][1] - line.facts["credit"][0], cents + line.cents
            for credit, cents in totals.values():
                exact = Fraction(0)
                for place, (start, percent) in enumerate(steps):
                    low = quota * start / 100 if place else Fraction(-(10**12))
                    high = quota * steps[place + 1][0] / 100 if place + 1 < len(steps) else Fraction(10**12)
                    exact += Fraction(min(max(credit, low), high) - min(max(0, low), high)) * percent / 100
                self.assertEqual(cents, round_ratio(exact.numerator, exact.denominator))

    def test_parts_of_the_people_make_the_whole(self):
        book = book_from_rows(
            {"ae": (plan(replace(percentage(7), per_deal_min=5)),)},
            [Assignment("ana", "ae"), Assignment("bo", "ae")],
            self.random_deals(5),
        )
        whole = calculate(book)
        parts = combine(book, [Desk(book).run([0]), Desk(book).run([1])])
        self.assertEqual((parts.blocks, parts.columns, parts.pay), (whole.blocks, whole.columns, whole.pay))
        self.assertGreater(len(whole.blocks), 4)


def _told(line):
    return line.person, line.deal, line.period, line.kind, line.cents


if __name__ == "__main__":
    unittest.main()

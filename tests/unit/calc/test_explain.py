import json
import unittest
from dataclasses import replace

from engine.calc.explain import explain
from engine.calc.model import PPM, Cap, Clawback, Component, ExchangeRate, Gate, Multiplier, Point, Step
from tests.unit.calc.making import day, deal, percentage, plan, quota_component, result, tiers


def workings(found):
    """The working of each line after a journey through JSON, as a database would keep it."""
    return [
        explain(replace(line, facts=json.loads(json.dumps(line.facts))), found.plan(line)) for line in found.lines()
    ]


class Working(unittest.TestCase):
    def test_slice_by_slice(self):
        deals = [deal("D1", "2026-01-20", 60_000), deal("D2", "2026-02-11", 70_000)]
        found = result(plan(quota_component([(0, 8), (100, 12)])), deals, [("ana", None, None, 100_000)])
        self.assertEqual(
            workings(found)[1].texts,
            (
                "Plan ae, version of 2026-01-01, component nb, in 2026-Q1.",
                "Credit (amount) 60,000.00 before this deal, 70,000.00 from it, 130,000.00 after it.",
                "Quota 100,000.00 (the person's): attainment 60% before, 130% after.",
                "40,000.00 up to 100% of quota x 8% = 3,200.00",
                "30,000.00 above 100% of quota x 12% = 3,600.00",
                "Line: 6,800.00",
            ),
        )

    def test_re_rating_is_told(self):
        component = quota_component([(0, 5), (100, 10)], applies="all", quota=1_000_000)
        found = result(plan(component), [deal("D1", "2026-01-01", 6_000), deal("D2", "2026-01-02", 6_000)])
        text = "\n".join(workings(found)[1].texts)
        self.assertIn("Earlier 6,000.00 up to 100% of quota, re-rated from 5% to 10% = 300.00", text)

    def test_exchange_rate_and_date(self):
        rates = [ExchangeRate("EUR", "USD", day("2026-01-02"), 1_100_000)]
        found = result(plan(percentage(10)), [deal("D", "2026-01-09", 100, currency="EUR")], rates=rates)
        self.assertIn("Converted at 1 EUR = 1.1 USD, the rate of 2026-01-02.", workings(found)[0].texts)

    def test_parts_add_up(self):
        shared = (("ana", 33), ("bo", 67))
        deals = [
            deal("D1", "2026-01-01", 301, shared, cancelled=day("2026-03-01")),
            deal("D2", "2026-01-05", 900, margin=12_345),
            deal("D3", "2026-02-05", -250, margin=-99),
            deal("D4", "2026-02-06", 0, margin=500),
            deal("D5", "2026-03-31", 777, shared, margin=10_001),
        ]
        deals = [replace(each, margin=each.margin or 100) for each in deals]
        quota = {"quota": 100_000}
        components = [
            quota_component([(0, 3), (40, 7), (100, 11)], **quota),
            quota_component([(0, 3), (40, 7), (100, 11)], applies="all", **quota),
            quota_component([(0, 3), (40, 7), (100, 11)], applies="all", pays_on="margin", **quota),
            quota_component([(0, 3), (40, 7)], multipliers=(Multiplier((), 333_333),), **quota),
            quota_component([(0, 3), (40, 7)], gate=Gate(300_000), cap=Cap(4_000, "carry"), **quota),
            quota_component([(0, 3), (40, 7)], gate=Gate(PPM, "nb"), **quota),
            replace(percentage(7), per_deal_min=1_000, per_deal_max=5_000, quota_period="quarter"),
            replace(percentage(7), pays_on="margin", gate=Gate(500_000), **quota),
            replace(percentage(7), cap=Cap(2_000, "forfeit")),
            Component("f", "", "flat", "month", amount=333),
            Component("t", "", "tiered", "month", tiers=tiers((0, 1), (3, 2), applies="all", to=10_000)),
            Component("t", "", "tiered", "month", pays_on="margin", tiers=tiers((0, 1), (3, 2), to=10_000)),
            Component("c", "", "curve", "quarter", points=(Point(0, 100), Point(30_000, 777)), beyond="extend"),
            Component("c", "", "curve", "month", points=(Point(0, 0), Point(30_001, 777)), per="deal"),
            Component("b", "", "bonus", "quarter", steps=(Step(10_000, 100), Step(100_000, 300)), award="each"),
        ]
        for component in components:
            found = result(plan(component, clawback=Clawback(share=333_333)), deals, as_of=day("2026-12-31"))
            self.assertEqual(found.problems, ())
            lines, told = list(found.lines()), workings(found)
            self.assertGreaterEqual(len(lines), 7, component)
            for line, working in zip(lines, told):
                self.assertEqual(sum(part.cents for part in working.parts), line.cents, (component, working.texts))
                self.assertNotIn("Change in what", "\n".join(working.texts), (component, line))


if __name__ == "__main__":
    unittest.main()

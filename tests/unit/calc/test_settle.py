import unittest
from dataclasses import replace

from engine.calc.model import MICRO, PPM, Assignment, Clawback, Draw, Invoice, Number, Payable
from tests.unit.calc.making import cents, day, deal, percentage, plan, result

SALES = percentage(10)


class Clawbacks(unittest.TestCase):
    def taken_back(self, rule, cancelled, **more):
        deals = [deal("D", "2026-01-31", 1_000, cancelled=day(cancelled), **more)]
        found = result(plan(SALES, clawback=rule), deals)
        return cents(found).get(("ana", "D", "clawback"))

    def test_days_are_inclusive(self):
        self.assertEqual(self.taken_back(Clawback(within_days=28), "2026-02-28"), -10_000)
        self.assertIsNone(self.taken_back(Clawback(within_days=27), "2026-02-28"))
        self.assertIsNone(self.taken_back(None, "2026-02-28"))

    def test_share_and_term(self):
        self.assertEqual(self.taken_back(Clawback(share=333_333), "2026-02-01"), -3_333)
        term = {"fields": {"term_months": Number(12 * MICRO)}}
        for cancelled, left in (("2026-02-27", 12), ("2026-02-28", 11), ("2027-01-30", 1), ("2028-01-01", None)):
            back = self.taken_back(Clawback(share=None), cancelled, **term)
            self.assertEqual(back, None if left is None else -round(10_000 * left / 12), cancelled)

    def test_changes_nothing_else(self):
        deals = [deal("D1", "2026-01-31", 1_000, cancelled=day("2026-03-01")), deal("D2", "2026-03-02", 10)]
        found = result(plan(SALES, clawback=Clawback()), deals)
        self.assertEqual([(pay.period, pay.earned) for pay in found.pay], [("2026-01", 10_000), ("2026-03", -9_900)])
        hidden = result(plan(SALES, clawback=Clawback()), deals, as_of=day("2026-02-28"))
        self.assertEqual(hidden.total, 10_000)


class Draws(unittest.TestCase):
    def run_draw(self, draw, earnings, **more):
        """What is paid and owed, month by month, for sales of these amounts."""
        deals = [deal(f"D{i}", f"2026-0{i + 1}-15", amount * 10) for i, amount in enumerate(earnings) if amount]
        as_of = day(f"2026-0{len(earnings)}-28")
        found = result(plan(SALES, draw=draw), deals, as_of=as_of, people=["ana"], **more)
        self.assertEqual(found.problems, ())
        return [(pay.paid // 100, (pay.draw_balance or 0) // 100) for pay in found.pay]

    def test_recoverable(self):
        draw = Draw("recoverable", 200_000)
        self.assertEqual(
            self.run_draw(draw, [2750, 3000, 1500, 2375, 3000]),
            [(2750, 0), (3000, 0), (2000, 500), (2000, 125), (2875, 0)],
        )
        self.assertEqual(self.run_draw(draw, [0, 0]), [(2000, 2000), (2000, 4000)])
        self.assertEqual(self.run_draw(replace(draw, recover=500_000), [1000, 3000]), [(2000, 1000), (2500, 500)])
        later = replace(draw, recover_from=3)
        self.assertEqual(self.run_draw(later, [1000, 3000, 3000]), [(2000, 1000), (3000, 1000), (2000, 0)])

    def test_end_of_the_draw(self):
        draw = Draw("recoverable", 200_000, periods=1)
        self.assertEqual(self.run_draw(draw, [500, 1000, -100]), [(2000, 1500), (0, 500), (-100, 500)])
        self.assertEqual(self.run_draw(replace(draw, forgive_at_end=True), [500, 1000]), [(2000, 0), (1000, 0)])
        self.assertEqual(self.run_draw(Draw("non_recoverable", 200_000, periods=2), [500, 3000, 700]),
                         [(2000, 0), (3000, 0), (700, 0)])  # fmt: skip

    def test_only_while_assigned(self):
        rows = [Assignment("ana", "ae", start=day("2026-02-10"), end=day("2026-03-01"))]
        self.assertEqual(self.run_draw(Draw("recoverable", 200_000), [0, 0, 0, 0], assignments=rows), [(2000, 2000)])


class Payments(unittest.TestCase):
    def due(self, payable, *deals, **more):
        found = result(plan(SALES, payable=payable), deals, **more)
        return {payment.period: payment.cents for payment in found.payments}

    def test_schedule(self):
        thirds = Payable(schedule=((0, 333_333), (1, 333_333), (2, 333_334)))
        self.assertEqual(self.due(thirds, deal("D", "2026-01-31", 600)),
                         {"2026-01": 2_000, "2026-02": 2_000, "2026-03": 2_000})  # fmt: skip

    def test_as_the_invoice_is_paid(self):
        invoices = (Invoice(day("2026-02-01"), 30_000), Invoice(day("2026-04-01"), 90_000))
        sold = deal("D", "2026-01-31", 1_000, invoices=invoices)
        on_invoice = Payable(on="invoice_paid")
        self.assertEqual(self.due(on_invoice, sold), {"2026-02": 3_000, "2026-04": 7_000})
        self.assertEqual(self.due(on_invoice, sold, as_of=day("2026-03-01")), {"2026-02": 3_000})
        self.assertEqual(self.due(on_invoice, deal("R", "2026-01-31", -100)), {"2026-01": -1_000})
        self.assertEqual(PPM, sum(share for _, share in on_invoice.schedule))


if __name__ == "__main__":
    unittest.main()

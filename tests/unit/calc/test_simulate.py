import random
import unittest
from array import array
from dataclasses import replace

from engine.calc.book import Book, Deals, Field, book_from_rows
from engine.calc.calculate import Desk, calculate
from engine.calc.model import Assignment, Cap, Clawback, Gate, Multiplier, Point, QuotaRow, Step
from engine.calc.result import totals
from engine.calc.simulate import Days, Outcomes, combine_simulated, simulate, spread
from engine.periods import parse_period
from tests.unit.calc.making import day, deal, percentage, plan, quota_component

PPM = 1_000_000


def some_deals(count, seed=3):
    chance = random.Random(seed)  # noqa: S311
    people = ("ana", "bo", "cy")
    found = []
    for number in range(count):
        closed = f"2026-0{chance.randint(1, 6)}-{chance.randint(10, 28)}"
        who = chance.choice([*people, (("ana", 60), ("bo", 40))])
        found.append(deal(f"D{number:03d}", closed, chance.randint(-2_000, 30_000), who))
    return found


def book_of(*components, deals, more=(), **rest):
    assignments = [
        Assignment("ana", "ae", "cy"),
        Assignment("bo", "ae", "cy"),
        Assignment("cy", "boss" if more else "ae"),
    ]
    plans = {"ae": (plan(*components, **rest),)}
    if more:
        plans["boss"] = (plan(*more, name="boss"),)
    quotas = [QuotaRow(person, None, None, 40_000 * PPM) for person in ("ana", "bo", "cy")]
    return book_from_rows(plans, assignments, deals, quotas)


def chances_of(book, seed=5):
    chance = random.Random(seed)  # noqa: S311
    return array("q", [chance.choice([PPM, 0, 250_000, 900_000]) for _ in range(len(book.deals))])


def without_lost(book: Book, happened) -> Book:
    """The same book with nothing but these deals, put together without the code under test."""
    rows = [row for row in range(len(book.deals)) if happened[row]]
    deals = book.deals
    assert deals.credit_start is not None
    assert deals.credit_share is not None

    def pick(column):
        return None if column is None else array("q", [column[row] for row in rows])

    start, person, share = array("q", [0]), array("q"), array("q")
    for row in rows:
        for i in range(deals.credit_start[row], deals.credit_start[row + 1]):
            person.append(deals.credit_person[i])
            share.append(deals.credit_share[i])
        start.append(len(person))
    fields = {name: Field(pick(field.values), field.words) for name, field in deals.fields.items()}
    kept = Deals(
        pick(deals.close_date), person, start, share, pick(deals.amount), cancelled=pick(deals.cancelled), fields=fields
    )
    return replace(book, deals=kept, ids=(), rows=())


class Simulate(unittest.TestCase):
    def check(self, book, rounds=25, days=None, seed=11):
        """Each round is what a calculation of the deals won in it gives."""
        chances = chances_of(book)
        outcomes = Outcomes(chances, seed, rounds)
        people = range(len(book.people))
        found = simulate(Desk(book), people, outcomes, days or Days())
        self.assertEqual(found.findings, [])
        expected: list = [[] for _ in people]
        for happened in outcomes.each():
            result = calculate(without_lost(book, happened))
            self.assertEqual(result.problems, ())
            for person in people:
                expected[person].append(
                    sum(
                        pay.earned
                        for pay in result.pay
                        if pay.person == book.people[person]
                        and (days is None or days.since <= parse_period(pay.period).start < days.until)
                    )
                )
        self.assertEqual(list(found.totals), [sum(amounts) for amounts in zip(*expected)])
        whole = combine_simulated(book, [found], rounds)
        for person in people:
            self.assertEqual(whole.people[book.people[person]], spread(expected[person]))
        self.assertGreater(len(set(found.totals)), 1)

    def test_pay_that_depends_on_credit_alone(self):
        deals = some_deals(80)
        for component in (
            quota_component([(0, 8), (100, 12)]),
            quota_component([(0, 8), (100, 12)], applies="all"),
            quota_component([(0, 8), (100, 12)], gate=Gate(500_000), cap=Cap(2_000_000, "forfeit")),
            percentage(7),
            replace(percentage(0, name="c"), kind="bonus", rate=None, edges="money", steps=(Step(1_000_000, 50_000),)),
        ):
            with self.subTest(component=component):
                self.check(book_of(component, deals=deals))
                self.check(book_of(component, deals=deals), days=Days(day("2026-02-01"), day("2026-04-01")))

    def test_pay_that_depends_on_more(self):
        deals = some_deals(40)
        nb = quota_component([(0, 8), (100, 12)])
        for components in (
            (replace(nb, per_deal_max=50_000),),
            (replace(nb, cap=Cap(900_000, "carry")),),
            (nb, percentage(5, gate=Gate(PPM, "nb"), quota_period="quarter")),
            (replace(nb, multipliers=(Multiplier((), 1_500_000),)),),
            (replace(percentage(0), kind="curve", rate=None, points=(Point(0, 10_000), Point(5_000_000, 90_000))),),
        ):
            with self.subTest(components=components):
                self.check(book_of(*components, deals=deals), rounds=12)
        cancelled = [replace(each, cancelled=each.close_date + 20) for each in deals]
        self.check(book_of(nb, deals=cancelled, clawback=Clawback(share=500_000)), rounds=12)
        team = replace(nb, credit_from="team")
        override = percentage(1, measure="commission", pays_on="commission", credit_from="team")
        self.check(book_of(nb, deals=deals, more=(team, override)), rounds=12)

    def test_the_numbers_are_these(self):
        """Written down once: any interpreter, any day, the same outcomes."""
        sums = [0] * 40
        Outcomes([0, 300_000], 42, 40).add(1, 1, sums)
        self.assertEqual("".join(map(str, sums)), NUMBERS)

    def test_deals_are_won_as_often_as_their_chance_says(self):
        for chance in (0, 1, 10_000, 500_000, 999_999):
            sums = [0] * 20_000
            for row in range(10):
                Outcomes([chance] * 10, 7, 20_000).add(row, 1, sums)
            self.assertLess(abs(sum(sums) / 200_000 - chance / PPM), 0.005)
        sums = [0] * 10
        Outcomes([PPM], 7, 10).add(0, -5, sums)
        self.assertEqual(sums, [-5] * 10)

    def test_problems_come_back(self):
        book = replace(book_of(quota_component([(0, 8)]), deals=some_deals(5)), quotas=())
        found = simulate(Desk(book), [0, 1, 2], Outcomes(chances_of(book), 1, 10), Days())
        whole = combine_simulated(book, [found], 10)
        self.assertEqual(whole.problems, calculate(book).problems)
        self.assertNotEqual(whole.problems, ())
        self.assertEqual(whole.people, {})

    def test_percentiles(self):
        found = spread([5, 1, 4, 2, 3])
        self.assertEqual((found.percentiles[0], found.percentiles[50], found.percentiles[100]), (1, 3, 5))
        self.assertEqual((found.mean, found.sum), (3, 15))


class Briefly(unittest.TestCase):
    def test_totals_under_another_plan(self):
        nb = quota_component([(0, 8), (100, 12)])
        for book in (
            book_of(nb, percentage(5, per_deal_min=100), deals=some_deals(60)),
            book_of(nb, deals=some_deals(60), more=(percentage(1, measure="commission", pays_on="commission",
                                                               credit_from="team"),)),
        ):  # fmt: skip
            desk, people = Desk(book), range(len(book.people))
            changed = {"ae": (plan(quota_component([(0, 9), (80, 20)])),)}
            for asked, plans in ((desk, {}), (desk.under(changed), changed)):
                full = calculate(replace(book, plans={**book.plans, **plans}))
                part = asked.brief(people)
                brief = replace(full, blocks=part.blocks, columns={}, pay_numbers=part.pay)
                self.assertEqual(totals(brief), totals(full))
                self.assertNotEqual(totals(full).total, 0)


NUMBERS = "1000001000000010000010101100100100100100"

if __name__ == "__main__":
    unittest.main()

import unittest
from array import array

from engine.calc.book import NONE, Field
from engine.calc.filters import both, holds, match_numbers, match_words
from engine.calc.model import MICRO, Day, Number
from tests.unit.calc.making import day


def number(value):
    return Number(int(value * MICRO))


class Values(unittest.TestCase):
    def test_equality(self):
        for value, operand, same in (
            ("New", "new", True),
            ("New", "Newer", False),
            ("12.0", number(12), True),
            (number(12), "12", True),
            ("007", "7", False),
            (Day(day("2026-01-02")), "2026-01-02", True),
            ("20260102", Day(day("2026-01-02")), False),
            (True, "true", True),
            (True, number(1), False),
            ("", number(0), False),
        ):
            self.assertIs(holds(value, (("any_of", (operand,)),)), same, (value, operand))
            self.assertIs(holds(value, (("not", (operand,)),)), not same, (value, operand))

    def test_ranges_and_missing(self):
        for test, passing in (("at_least", [2, 3]), ("more_than", [3]), ("at_most", [1, 2]), ("less_than", [1])):
            self.assertEqual([i for i in (1, 2, 3) if holds(number(i), ((test, (number(2),)),))], passing)
            self.assertFalse(holds(None, ((test, (number(2),)),)))
            self.assertFalse(holds("high", ((test, (number(2),)),)))
        self.assertFalse(holds(None, (("any_of", ("a",)),)))
        self.assertTrue(holds(None, (("not", ("a",)),)))
        self.assertFalse(holds(number(5), (("at_least", (number(1),)), ("less_than", (number(5),)))))


class Columns(unittest.TestCase):
    def test_numbers_as_values(self):
        """A column of cents passes exactly where the value itself does."""
        cents = array("q", [NONE, -1, 0, 99, 100, 101, 150, 200])
        tests = [
            (("at_least", (number(1),)),),
            (("more_than", (number(1),)), ("at_most", (number(1.5),))),
            (("less_than", (Number(1_000_001),)),),
            (("any_of", (number(1), "2", "x")),),
            (("not", (number(1), "x")),),
            (("at_least", ("x",)),),
            (("any_of", ("x",)),),
        ]
        for test in tests:
            expected = [holds(None if value == NONE else Number(value * 10_000), test) for value in cents]
            self.assertEqual(list(map(bool, match_numbers(cents, test, 100, False, len(cents)))), expected, test)

    def test_days_and_words(self):
        days = array("q", [NONE, day("2026-01-01"), day("2026-01-02")])
        since = (("at_least", (Day(day("2026-01-02")),)),)
        self.assertEqual(list(match_numbers(days, since, 1, True, 3)), [0, 0, 1])
        field = Field(array("q", [0, NONE, 1, 0]), ("New", number(3)))
        self.assertEqual(list(match_words(field, (("any_of", ("NEW",)),), 4)), [1, 0, 0, 1])
        self.assertEqual(list(both(bytearray([1, 0, 1, 1]), bytearray([1, 1, 0, 1]))), [1, 0, 0, 1])


if __name__ == "__main__":
    unittest.main()

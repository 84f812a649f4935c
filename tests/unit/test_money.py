import unittest
from decimal import Decimal
from itertools import product

from engine.errors import QuotaPathError
from engine.money import (
    format_money,
    format_rate,
    parse_money,
    parse_number,
    parse_rate,
    round_ratio,
    split_largest_remainder,
)


class ParseMoney(unittest.TestCase):
    def test_reads_exactly(self):
        for written, cents in (
            ("60,000.00", 6_000_000),
            (60000, 6_000_000),
            (Decimal("60000.5"), 6_000_050),
            ("1,234,567.8900", 123_456_789),
            ("-0.01", -1),
            ("+5.", 500),
            (" 7 ", 700),
        ):
            self.assertEqual(parse_money(written, "USD"), cents, written)

    def test_minor_units(self):
        self.assertEqual(parse_money("500", "JPY"), 500)
        self.assertEqual(parse_money("500.000", "JPY"), 500)
        self.assertEqual(parse_money("1.234", "KWD"), 1234)

    def test_refuses(self):
        for written in (
            "", "abc", "1e5", "1,00", "12,34.00", "1_000", "$5", "5 USD", "٣", "NaN", "inf", "--1", "1.2.3",
            0.1, True, None, Decimal("1e5"), Decimal("NaN"), "0.005", Decimal("0.001"), "92233720368547758.08",
        ):  # fmt: skip
            with self.assertRaises(QuotaPathError, msg=repr(written)):
                parse_money(written, "USD")  # type: ignore[arg-type]  # that is the point
        with self.assertRaisesRegex(QuotaPathError, "JPY"):
            parse_money("0.5", "JPY")
        with self.assertRaisesRegex(QuotaPathError, "usd"):
            parse_money("1", "usd")

    def test_format_reads_back(self):
        for cents, currency in product((0, 1, -1, 99, -100, 123_456_789), ("USD", "JPY", "KWD")):
            self.assertEqual(parse_money(format_money(cents, currency), currency), cents)
        self.assertEqual(format_money(-123_456_789, "USD", thousands=True), "-1,234,567.89")


class Rates(unittest.TestCase):
    def test_rates(self):
        for written, ppm in (
            ("8%", 80_000),
            ("33.3333%", 333_333),
            ("0.08", 80_000),
            (Decimal("0.08"), 80_000),
            (1, 1_000_000),
            ("100 %", 1_000_000),
            ("0.0001%", 1),
        ):
            self.assertEqual(parse_rate(written), ppm, written)
        for refused in ("33.33333%", "0.0000001", "8%%", 0.08, "1.5x"):
            with self.assertRaises(QuotaPathError, msg=repr(refused)):
                parse_rate(refused)  # type: ignore[arg-type]  # that is the point

    def test_numbers(self):
        self.assertEqual(parse_number("12.5"), 12_500_000)
        self.assertEqual([format_rate(ppm) for ppm in (80_000, 333_333, -1, 0)], ["8%", "33.3333%", "-0.0001%", "0%"])


class Rounding(unittest.TestCase):
    def test_halves(self):
        # numerator, denominator, half_up, half_even
        rounded = (
            (1, 2, 1, 0), (3, 2, 2, 2), (-1, 2, -1, 0), (-3, 2, -2, -2), (5, 2, 3, 2),
            (1, 3, 0, 0), (2, 3, 1, 1), (-2, 3, -1, -1), (0, 7, 0, 0), (7, 7, 1, 1),
        )  # fmt: skip
        for number, over, up, even in rounded:
            self.assertEqual(round_ratio(number, over), up, (number, over))
            self.assertEqual(round_ratio(number, over, "half_even"), even, (number, over))

    def test_largest_remainder(self):
        self.assertEqual(split_largest_remainder(100, [333_333, 333_333, 333_334]), [33, 33, 34])
        self.assertEqual(split_largest_remainder(101, [500_000, 500_000]), [51, 50])  # tie: the first
        self.assertEqual(split_largest_remainder(-101, [500_000, 500_000]), [-51, -50])
        self.assertEqual(split_largest_remainder(101, [500_000, 0, 500_000]), [51, 0, 50])
        self.assertEqual(split_largest_remainder(101, [1_000_000, 500_000]), [101, 51])  # overlay: 151.5 -> 152
        self.assertEqual(split_largest_remainder(0, [1_000_000]), [0])

    def test_parts_add_up(self):
        for total, shares in product(range(-40, 40), ([700_000, 200_000, 100_000], [1, 999_999], [142_857] * 7)):
            whole = round_ratio(total * sum(shares), 1_000_000)
            self.assertEqual(sum(split_largest_remainder(total, shares)), whole)


if __name__ == "__main__":
    unittest.main()

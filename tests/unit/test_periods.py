import unittest
from datetime import date, timedelta

from engine.errors import QuotaPathError
from engine.periods import KINDS, add_months, months_between, parse_period, period_of


def day(text):
    return date.fromisoformat(text).toordinal()


class Names(unittest.TestCase):
    def test_names(self):
        for name, first, last in (
            ("2026", "2026-01-01", "2026-12-31"),
            ("2026-Q1", "2026-01-01", "2026-03-31"),
            ("2026-Q4", "2026-10-01", "2026-12-31"),
            ("2024-02", "2024-02-01", "2024-02-29"),
            ("2026-W01", "2025-12-29", "2026-01-04"),
            ("2026-W53", "2026-12-28", "2027-01-03"),
        ):
            period = parse_period(name)
            self.assertEqual((period.first_day.isoformat(), period.last_day.isoformat()), (first, last))
            self.assertEqual(str(period), name)

    def test_refuses(self):
        for name in ("", "26", "2026-13", "2026-00", "2026-Q5", "2025-W53", "2026-1", "2026-01-01", "0000", " 2026"):
            with self.assertRaises(QuotaPathError, msg=name):
                parse_period(name)
        with self.assertRaisesRegex(QuotaPathError, "fortnight"):
            period_of("fortnight", 1)

    def test_every_day_is_in_one_period_of_each_kind(self):
        start = date(2019, 12, 20)
        for kind in KINDS:
            for offset in range(800):
                ordinal = (start + timedelta(offset)).toordinal()
                period = period_of(kind, ordinal)
                self.assertIn(ordinal, period)
                self.assertEqual(parse_period(period.name), period)
                self.assertEqual(period.next().start, period.end)
                self.assertEqual(period.next().previous(), period)
                self.assertEqual(period.next().index, period.index + 1)

    def test_weeks_are_iso_weeks(self):
        for offset in range(3000):
            moment = date(2015, 1, 1) + timedelta(offset)
            year, week, _ = moment.isocalendar()
            self.assertEqual(period_of("week", moment.toordinal()).name, f"{year}-W{week:02d}")

    def test_last_day_of_the_calendar(self):
        self.assertEqual(period_of("year", date.max.toordinal()).end, date.max.toordinal() + 1)


class Months(unittest.TestCase):
    def test_day_clipped(self):
        for start, months, end in (
            ("2026-01-31", 1, "2026-02-28"),
            ("2024-01-31", 1, "2024-02-29"),
            ("2026-01-15", 0, "2026-01-15"),
            ("2026-11-30", 3, "2027-02-28"),
            ("2026-03-31", -1, "2026-02-28"),
        ):
            self.assertEqual(add_months(day(start), months), day(end))

    def test_completed(self):
        for start, end, months in (
            ("2026-01-31", "2026-02-27", 0),
            ("2026-01-31", "2026-02-28", 1),
            ("2026-01-15", "2026-02-14", 0),
            ("2026-01-15", "2027-01-15", 12),
            ("2026-01-15", "2026-01-15", 0),
        ):
            self.assertEqual(months_between(day(start), day(end)), months, (start, end))


if __name__ == "__main__":
    unittest.main()

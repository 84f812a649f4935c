import io
import unittest
from array import array
from dataclasses import replace

from engine.calc import wire
from engine.calc.book import book_from_rows
from engine.calc.calculate import Desk
from engine.calc.model import Assignment, Clawback, Condition, Day, Draw, ExchangeRate, Gate, Invoice, Number, QuotaRow
from tests.unit.calc.making import day, deal, percentage, plan, quota_component


def there_and_back(header, columns):
    stream = io.BytesIO()
    wire.write(stream, dict(header), columns)
    wire.write(stream, {"after": 1})
    stream.seek(0)
    first, second = wire.read(stream), wire.read(stream)
    assert second[0]["after"] == 1
    return first


class Frames(unittest.TestCase):
    def test_columns_survive(self):
        columns = {"a": array("q", [0, -1, 2**63 - 1, -(2**63)]), "empty": array("q")}
        header, back = there_and_back({"do": "é"}, columns)
        self.assertEqual((header["do"], back), ("é", columns))

    def test_a_cut_stream_is_an_end(self):
        stream = io.BytesIO()
        wire.write(stream, {}, {"a": array("q", [1, 2])})
        for cut in (0, 3, 10, len(stream.getvalue()) - 1):
            with self.assertRaises(EOFError):
                wire.read(io.BytesIO(stream.getvalue()[:cut]))

    def test_a_book_and_a_part_survive(self):
        when = (Condition("type", (("any_of", ("New", Number(1), True)), ("not", (Day(5),)))),)
        component = replace(percentage(10), when=when, gate=Gate(1, "nb"))
        version = plan(quota_component([(0, 8)], quota=5), component, draw=Draw("recoverable", 5), clawback=Clawback())
        sold = deal(
            "D", "2026-01-01", 5, (("ana", 60), ("bo", 40)), currency="EUR", fields={"type": "New"},
            invoices=(Invoice(day("2026-01-02"), 5),), cancelled=day("2026-02-01"),
        )  # fmt: skip
        book = book_from_rows(
            {"ae": (version,)},
            [Assignment("ana", "ae"), Assignment("bo", None, "ana")],
            [sold],
            [QuotaRow("ana", None, None, 5)],
            [ExchangeRate("EUR", "USD", 1, 1)],
        )
        back = wire.unpack_book(*there_and_back(*wire.pack_book(book)))
        self.assertEqual(replace(book, ids=(), rows=()), back)
        part = Desk(book).run([0, 1])
        self.assertEqual(wire.unpack_part(*there_and_back(*wire.pack_part(part, part.columns))), part)


if __name__ == "__main__":
    unittest.main()

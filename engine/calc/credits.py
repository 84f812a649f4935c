"""Which deals credit whom, and with how much: currency, splits, filters, multipliers, roll-up.

`Credits` holds a loaded book and the columns derived from it, each computed once and kept: converted
money, each person's part of it, the deals that a filter lets through.
"""

from array import array
from bisect import bisect_left
from datetime import date
from math import gcd
from typing import Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from engine.calc.book import INT64, NONE, Book, Deals, full_shares, visible
from engine.calc.filters import both, match_numbers, match_words
from engine.calc.model import MICRO, PPM, Component, Condition, ExchangeRate, Plan
from engine.calc.payout import by_unit, is_money, needs_quota, small, unit
from engine.calc.result import Finding
from engine.calc.tree import Span, Tree
from engine.errors import given
from engine.money import currency_digits, round_ratio, split_largest_remainder

NO_RATE = NONE + 1  # money of a deal for whose currency there is no exchange rate

Column = Sequence[int]


class Credited(NamedTuple):
    """What one component version credits to one person, in the order of the deals.

    ``days`` are the close dates.  ``credit`` counts towards quota, in ``scale`` parts of a cent or
    millionth.  The other columns are the same list as ``credit``, or empty, where a component does not
    need them: ``money`` is the person's part of what is paid on, in ``money_scale`` parts and without
    multipliers; ``share`` the person's share (ppm); ``full`` and ``full_money`` the deal's own measure and
    money, before splitting.
    """

    rows: List[int]
    days: List[int]
    credit: List[int]
    scale: int
    money: List[int]
    money_scale: int
    share: List[int]
    full: List[int]
    full_money: List[int]

    def only(self, kept: Sequence[int]) -> "Credited":
        """The credits at these places."""

        def pick(column: List[int]) -> List[int]:
            return [column[i] for i in kept] if column else column

        credit, money, full = pick(self.credit), self.money, self.full
        return Credited(
            pick(self.rows),
            pick(self.days),
            credit,
            self.scale,
            credit if money is self.credit else pick(money),
            self.money_scale,
            pick(self.share),
            pick(full),
            pick(self.full_money),
        )


class Credits:
    """A loaded book."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.deals: Deals = book.deals
        self.count = visible(book)
        self.tree = Tree(book)
        self.findings: List[Finding] = []
        self._found: Set[Tuple[int, str]] = set()
        self._money: Dict[Tuple[str, str, str], Column] = {}
        self._parts: Dict[Tuple[str, str, str], Column] = {}
        self._sorted: Dict[Tuple[str, str, str], Tuple[List[int], bool]] = {}
        self._conditions: Dict[Tuple[str, str, Condition], bytearray] = {}
        self._filters: Dict[Tuple[str, str, Tuple[Condition, ...]], Optional[bytearray]] = {}
        self._rates: Dict[Tuple[str, str], List[Tuple[int, int, ExchangeRate]]] = {}
        for place, rate in enumerate(book.rates):
            self._rates.setdefault((rate.currency, rate.to), []).append((rate.day, place, rate))
        for rates in self._rates.values():
            rates.sort(key=lambda rate: rate[:2])
        self.whole = full_shares(book.deals)  # nobody shares a deal: a credit is its deal
        self._sort_by_person()

    # -- who has which deals ------------------------------------------------------------------------

    def _sort_by_person(self) -> None:
        """Credits of each person, in the order of the deals (a counting sort)."""
        deals, people = self.deals, len(self.book.people)
        person, share, start = deals.credit_person, deals.credit_share, deals.credit_start
        last = self.count if start is None else start[self.count]
        # A share of 0% credits nothing.
        counts = [0] * (people + 1)
        for i in range(last):
            if person[i] >= 0 and (share is None or share[i] != 0):
                counts[person[i] + 1] += 1
        for i in range(people):
            counts[i + 1] += counts[i]
        self._start = list(counts)
        sorted_credits = [0] * counts[people]
        row_of: Optional[List[int]] = None if start is None else [0] * last
        if start is not None and row_of is not None:
            for row in range(self.count):
                for i in range(start[row], start[row + 1]):
                    row_of[i] = row
        for i in range(last):
            p = person[i]
            if p >= 0 and (share is None or share[i] != 0):
                sorted_credits[counts[p]] = i
                counts[p] += 1
        closed = deals.close_date
        self._credits = sorted_credits
        self._rows = sorted_credits if row_of is None else [row_of[i] for i in sorted_credits]
        self._days = [closed[row] for row in self._rows]

    def count_of(self, person: int) -> int:
        """How many credits a person has."""
        return self._start[person + 1] - self._start[person]

    def _own(self, person: int, days: Sequence[Span]) -> List[Span]:
        """Where the credits of a person for deals closed on these days stand in the columns by person."""
        low, high, dates = self._start[person], self._start[person + 1], self._days
        if low == high:
            return []
        if len(days) == 1 and days[0][0] <= dates[low] and dates[high - 1] < days[0][1]:
            return [(low, high)]
        return [(bisect_left(dates, start, low, high), bisect_left(dates, end, low, high)) for start, end in days]

    def _by_person(self, measure: str, plan: Plan) -> Tuple[List[int], bool]:
        """`parts` of a measure by person, and whether any of them is missing."""
        key = self._key(measure, plan)
        if key not in self._sorted:
            parts = self.parts(measure, plan)
            values = [parts[i] for i in self._credits]
            self._sorted[key] = values, bool(values) and min(values) <= NO_RATE
        return self._sorted[key]

    def forget_findings(self) -> None:
        """Begin a new list of findings; the one handed out stays as it is."""
        self.findings = []
        self._found = set()

    def find(self, row: int, path: str, message: str, remedy: str) -> None:
        """Note a problem once, however many people it touches."""
        if (row, path) not in self._found:
            self._found.add((row, path))
            self.findings.append(Finding(row, path, message, remedy))

    # -- columns ------------------------------------------------------------------------------------

    def money(self, measure: str, currency: str, rounding: str) -> Column:
        """Amount or margin of every deal in cents of ``currency``, at the latest rate by its close date."""
        key = (measure, currency, rounding)
        if key not in self._money:
            self._money[key] = self._convert(*key)
        return self._money[key]

    def _convert(self, measure: str, currency: str, rounding: str) -> Column:
        deals = self.deals
        column = deals.amount if measure == "amount" else deals.margin
        if column is None:
            return array(INT64, [NONE]) * self.count
        codes = deals.currency
        if codes is None or all(code == NONE or deals.currencies[code] == currency for code in codes):
            return column
        converted = array(INT64, column)
        digits = currency_digits(currency)
        for row in range(self.count):
            code = codes[row]
            if code == NONE or deals.currencies[code] == currency or column[row] == NONE:
                continue
            foreign = deals.currencies[code]
            rates = self._rates.get((foreign, currency), [])
            place = bisect_left(rates, (deals.close_date[row] + 1,))
            if place == 0:
                converted[row] = NO_RATE
                continue
            _, _, rate = rates[place - 1]
            converted[row] = round_ratio(
                column[row] * rate.value * 10**digits, rate.scale * 10 ** currency_digits(foreign), rounding
            )
        return converted

    def full(self, measure: str, plan: Plan) -> Column:
        """The whole measure of every deal: cents, or millionths."""
        if measure == "count":
            amount = self.money("amount", plan.currency, plan.rounding)
            return [-MICRO if NO_RATE < value < 0 else MICRO for value in amount]
        if is_money(measure):
            return self.money(measure, plan.currency, plan.rounding)
        field = self.deals.fields[measure]
        return field.values if field.words is None else array(INT64, [NONE]) * self.count

    def parts(self, measure: str, plan: Plan) -> Column:
        """Each credit's part of its deal: cents by largest remainder, or millionths x share in ppm."""
        key = self._key(measure, plan)
        if key not in self._parts:
            full = self.full(measure, plan)
            self._parts[key] = full if self.whole else self._split(full, is_money(measure))
        return self._parts[key]

    @staticmethod
    def _key(measure: str, plan: Plan) -> Tuple[str, str, str]:
        """What a column of a measure depends on: money on how it is converted."""
        return (measure, plan.currency, plan.rounding) if is_money(measure) else (measure, "", "")

    def _split(self, full: Column, money: bool) -> Column:
        deals = self.deals
        start, share = deals.credit_start, deals.credit_share
        parts = array(INT64, bytes(8 * len(deals.credit_person)))
        for row in range(self.count):
            low, high = (row, row + 1) if start is None else (start[row], start[row + 1])
            value = full[row]
            if value <= NO_RATE:
                for i in range(low, high):
                    parts[i] = value
            elif not money:
                for i in range(low, high):
                    parts[i] = value * (PPM if share is None else share[i])
            elif share is None or (high - low == 1 and share[low] == PPM):
                for i in range(low, high):
                    parts[i] = value
            else:
                for i, part in enumerate(split_largest_remainder(value, share[low:high])):
                    parts[low + i] = part
        return parts

    def scale(self, measure: str) -> int:
        """Parts of a cent or millionth in which `parts` counts."""
        return 1 if self.whole or is_money(measure) else PPM

    def matches(self, when: Tuple[Condition, ...], plan: Plan) -> Optional[bytearray]:
        """One byte a deal: 1 where every condition holds.  None: all of them."""
        if not when:
            return None
        whole = (plan.currency, plan.rounding, when)
        if whole in self._filters:
            return self._filters[whole]
        passed: Optional[bytearray] = None
        for condition in when:
            key = (plan.currency, plan.rounding, condition)
            if key not in self._conditions:
                self._conditions[key] = self._match(condition, plan)
            passed = both(passed, self._conditions[key])
        self._filters[whole] = passed
        return passed

    def _match(self, condition: Condition, plan: Plan) -> bytearray:
        deals, name = self.deals, condition.field
        if name in ("amount", "margin"):
            values = self.money(name, plan.currency, plan.rounding)
            return match_numbers(values, condition.tests, unit(name, plan.currency), False, self.count)
        if name in ("close_date", "cancelled"):
            days = deals.close_date if name == "close_date" else deals.cancelled
            days = days if days is not None else array(INT64, [NONE]) * self.count
            return match_numbers(days, condition.tests, 1, True, self.count)
        field = deals.fields[name]
        if field.words is None:
            return match_numbers(field.values, condition.tests, MICRO, False, self.count)
        return match_words(field, condition.tests, self.count)

    # -- who is credited ----------------------------------------------------------------------------

    def check_own(self, person: int, versions: Sequence[Plan], days: Sequence[Span]) -> None:
        """Deals of a person on a plan that no version, or no exchange rate, covers."""
        own = [(low, high) for low, high in self._own(person, days) if low < high]
        if own and self._days[own[0][0]] < versions[0].effective_from:
            self.check_dates(cut(self._rows, own), versions)
        for version in versions if self.deals.currency is not None else ():
            self.check_rates(cut(self._rows, own), version)

    def check_rates(self, rows: Sequence[int], plan: Plan) -> None:
        """Rows whose money no exchange rate turns into the plan's currency, measured or not."""
        if self.deals.currency is None:
            return
        for measure in ("amount", "margin"):
            column = self.money(measure, plan.currency, plan.rounding)
            if column is self.deals.amount or column is self.deals.margin:
                continue  # nothing had to be converted
            for row in rows:
                if column[row] == NO_RATE:
                    self._missing(row, measure, NO_RATE, plan)

    def check_dates(self, rows: Sequence[int], versions: Sequence[Plan]) -> None:
        """Rows, in order, that closed before a plan's first version."""
        closed, first = self.deals.close_date, versions[0]
        for row in rows:
            if closed[row] >= first.effective_from:
                break
            self.find(
                row,
                "close_date",
                f"it closed before plan {first.name} began, on {_iso(first.effective_from)}.",
                "Correct the date, let the plan begin earlier, or let the assignment begin later.",
            )

    def _missing(self, row: int, measure: str, value: int, plan: Plan) -> None:
        if value == NONE:
            self.find(row, measure, f"it has no {measure}, which plan {plan.name} measures.", "Fill it in; 0 will do.")
            return
        codes = given(self.deals.currency)
        currency = self.deals.currencies[codes[row]]
        self.find(
            row,
            "currency",
            f"there is no exchange rate from {currency} to {plan.currency} on or before its close date.",
            f"Store a rate from {currency} to {plan.currency}.",
        )

    def credited(self, person: int, plan: Plan, component: Component, days: Sequence[Span]) -> Credited:
        """What a component version credits to a person for the deals closed on these days.

        A manager's credit is the sum of the credits of the people it comes from.  Columns of the measure
        ``commission`` are 0 here: it is known only once those people's lines are.
        """
        days = inside(days, component.window_from, component.window_until)
        passed = self.matches(component.when, plan)
        groups: Optional[List[List[int]]] = None
        if component.credit_from == "own":
            own = self._own(person, days)
            if passed is not None:
                row_of = self._rows
                own = [(i, i + 1) for low, high in own for i in range(low, high) if passed[row_of[i]]]
            rows, dates = cut(self._rows, own), cut(self._days, own)
        else:
            own = []
            rows, groups = self._team(person, days, component.credit_from == "team")
            if passed is not None:
                kept = [i for i in range(len(rows)) if passed[rows[i]]]
                rows, groups = [rows[i] for i in kept], [groups[i] for i in kept]
            self.check_rates(rows, plan)
            closed = self.deals.close_date
            dates = [closed[row] for row in rows]

        # A flat amount is for the deal itself, measured or not: a booked meeting has no amount.
        optional = component.kind == "flat" and not needs_quota(component)
        raw, scale = self._sum(component.measure, plan, rows, own, groups, optional)
        credit, money, money_scale = raw, raw, scale
        if component.pays_on != component.measure and not by_unit(component):
            # A flat amount is not paid on it, but tiers of a later version may be.
            flat = component.kind == "flat"
            money, money_scale = self._sum(component.pays_on, plan, rows, own, groups, flat)
        if component.multipliers:
            credit, scale = self._multiplied(raw, scale, component, plan, rows)
        share: List[int] = []
        full: List[int] = []
        full_money: List[int] = []
        if component.kind in ("flat", "tiered") or (component.kind == "curve" and component.per == "deal"):
            share = self._shares(component, own, groups)
            # A flat amount is taken back where the deal's amount, whatever is measured, is below 0.
            full = self._fulls("amount" if component.kind == "flat" else component.measure, plan, rows)
            full_money = full
            if component.pays_on != component.measure and component.kind != "flat":
                full_money = self._fulls(component.pays_on, plan, rows)
        return Credited(rows, dates, credit, scale, money, money_scale, share, full, full_money)

    def _team(self, manager: int, days: Sequence[Span], whole_team: bool) -> Tuple[List[int], List[List[int]]]:
        """The rows that come to a manager, and for each the credits of the people it comes from."""
        size = len(self.deals.credit_person) + 1
        pairs: List[int] = []
        for person, below in self.tree.below(manager, whole_team).items():
            spans = [both for start, end in below for both in inside(days, start, end)]
            own = self._own(person, spans)
            pairs += [row * size + credit for row, credit in zip(cut(self._rows, own), cut(self._credits, own))]
        pairs.sort()
        rows: List[int] = []
        groups: List[List[int]] = []
        for pair in pairs:
            row, credit = divmod(pair, size)
            if rows and rows[-1] == row:
                groups[-1].append(credit)
            else:
                rows.append(row)
                groups.append([credit])
        return rows, groups

    def _sum(
        self,
        measure: str,
        plan: Plan,
        rows: List[int],
        own: Sequence[Span],
        groups: Optional[List[List[int]]],
        optional: bool = False,
    ) -> Tuple[List[int], int]:
        """The person's part of a measure, in `scale` parts; with ``optional`` a missing one counts 0."""
        if measure == "commission":
            return [0] * len(rows), 1
        if groups is None:
            every, missing = self._by_person(measure, plan)
            values = cut(every, own)
            if optional:
                values = [0 if value <= NO_RATE else value for value in values]
            elif missing:
                self._tell_missing(measure, plan, rows, [[value] for value in values])
                values = [0 if value <= NO_RATE else value for value in values]
            return values, self.scale(measure)
        parts = self.parts(measure, plan)
        if optional:
            values = [sum([parts[credit] for credit in group if parts[credit] > NO_RATE]) for group in groups]
        else:
            # A sum may hide a missing part, or look like one: ask the parts themselves.
            values = [sum([parts[credit] for credit in group if parts[credit] > NO_RATE]) for group in groups]
            self._tell_missing(measure, plan, rows, [[parts[credit] for credit in group] for group in groups])
        return values, self.scale(measure)

    def _tell_missing(self, measure: str, plan: Plan, rows: List[int], parts: List[List[int]]) -> None:
        for row, values in zip(rows, parts):
            for value in values:
                if value <= NO_RATE:
                    self._missing(row, measure, value, plan)

    def _fulls(self, measure: str, plan: Plan, rows: List[int]) -> List[int]:
        if measure == "commission":
            return [0] * len(rows)
        full = self.full(measure, plan)
        return [full[row] if full[row] > NO_RATE else 0 for row in rows]  # a missing one is told by `_sum`

    def _shares(self, component: Component, own: Sequence[Span], groups: Optional[List[List[int]]]) -> List[int]:
        share = self.deals.credit_share
        whole = component.kind == "flat" and not component.scale_by_share
        if groups is None:
            entries = cut(self._credits, own)
            return [PPM] * len(entries) if whole or share is None else [share[credit] for credit in entries]
        if whole:
            return [PPM] * len(groups)
        if share is None:
            return [PPM * len(group) for group in groups]
        return [sum([share[credit] for credit in group]) for group in groups]

    def _multiplied(
        self, raw: List[int], scale: int, component: Component, plan: Plan, rows: List[int]
    ) -> Tuple[List[int], int]:
        """Credit towards quota: every multiplier that matches takes part in the product."""
        credit = raw
        for passed, times, over in self._factors(component, plan):
            credit = [value * (times if passed is None or passed[row] else over) for value, row in zip(credit, rows)]
            scale *= over
        return credit, scale

    def _factors(self, component: Component, plan: Plan) -> List[Tuple[Optional[bytearray], int, int]]:
        """For each multiplier the deals it matches, and its factor as a fraction."""
        found = []
        for multiplier in component.multipliers:
            common = gcd(multiplier.factor, PPM)
            times, over = small([multiplier.factor // common, PPM // common])
            found.append((self.matches(multiplier.when, plan), times, over))
        return found

    def factor(self, component: Component, plan: Plan, row: int, scale: int) -> int:
        """What one deal's measure is multiplied by to be credit in ``scale`` parts."""
        for passed, times, over in self._factors(component, plan):
            scale //= over
            scale *= times if passed is None or passed[row] else over
        return scale


def inside(days: Sequence[Span], start: Optional[int], end: Optional[int]) -> List[Span]:
    """The part of these days in ``[start, end)``."""
    cut = [(low if start is None else max(low, start), high if end is None else min(high, end)) for low, high in days]
    return [span for span in cut if span[0] < span[1]]


def cut(column: List[int], ranges: Sequence[Span]) -> List[int]:
    """These ranges of a column, one behind the other."""
    if len(ranges) == 1:
        ((low, high),) = ranges
        return column[low:high]
    return [column[i] for low, high in ranges for i in range(low, high)]


def _iso(day: int) -> str:
    return date.fromordinal(day).isoformat()

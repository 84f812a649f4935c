"""What follows from a person's lines: clawbacks, when money falls due, and draws."""

from typing import Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from engine.calc.account import Lines
from engine.calc.book import NONE, Book
from engine.calc.model import MICRO, PPM, Draw, Payable, Plan
from engine.calc.result import CARRY, CLAWBACK, EARNED, WIDTH, Row, Terms, coded_period, period_code
from engine.calc.tree import Tree
from engine.money import round_ratio, split_largest_remainder
from engine.periods import Period, add_months, months_between, period_of

AT_ONCE = Payable()

PERIOD, CENTS = Row._fields.index("period"), Row._fields.index("cents")

Paid = Tuple[Period, int, int, Optional[int]]  # earned, paid, the draw's balance


def clawback_share(plan: Plan, closed: int, cancelled: int, term: int) -> Optional[Tuple[int, int]]:
    """The part of a line that a cancellation takes back, or None when it comes too late.

    ``term`` is the deal's term in months, in millionths (NONE: not known, everything).
    """
    rule = plan.clawback
    if rule is None or (rule.within_days is not None and cancelled - closed > rule.within_days):
        return None
    if rule.share is not None:
        return rule.share, PPM
    if term <= 0:
        return 1, 1
    return max(0, term - months_between(closed, cancelled) * MICRO), term


def cancellation(book: Book, row: int) -> Optional[int]:
    """The day a deal was cancelled, if that counts."""
    column = book.deals.cancelled
    if column is None or column[row] == NONE or (book.as_of is not None and column[row] > book.as_of):
        return None
    return column[row]


def term_months(book: Book, row: int) -> int:
    """A deal's term in millionths of a month; NONE where it has none."""
    field = book.deals.fields.get("term_months")
    return NONE if field is None or field.words is not None else field.values[row]


def claw_back(book: Book, lines: Lines, first: int) -> None:
    """Take back what was earned, from block ``first`` on, on deals that were cancelled, when they were.

    ``running`` of such a line holds the cents of the line it takes back.
    """
    if book.deals.cancelled is None:
        return
    terms = list(lines.terms)
    for row in [lines.row(place) for place in range(first, lines.count)]:
        plan = _plan(book, terms[row.terms])
        if plan.clawback is None or row.kind != EARNED:
            continue
        for i in range(row.first, row.first + row.size):
            deal, cents = lines.deal[i], lines.cents[i]
            cancelled = cancellation(book, deal)
            if cancelled is None or cents <= 0:
                continue
            share = clawback_share(plan, book.deals.close_date[deal], cancelled, term_months(book, deal))
            if share is None:
                continue
            back = -round_ratio(cents * share[0], share[1], plan.rounding)
            if back == 0:
                continue
            period = period_code(period_of(plan.pay_period, cancelled))
            block = row._replace(kind=CLAWBACK, period=period, first=lines.size, size=1, cents=back, more=lines.more)
            lines.add_row(block)
            lines.append(deal, back, 0)
            lines.explain(cents, 0, 0, 0, 0, 0)


def _plan(book: Book, terms: Terms) -> Plan:
    return book.plans[terms.plan][terms.version]


def by_period(lines: Lines, first: int) -> Dict[int, int]:
    """Cents by pay period, from block ``first`` on."""
    found: Dict[int, int] = {}
    numbers = lines.numbers
    for place in range(first * WIDTH, lines.count * WIDTH, WIDTH):
        period = numbers[place + PERIOD]
        found[period] = found.get(period, 0) + numbers[place + CENTS]
    return found


def due(book: Book, lines: Lines, first: int) -> Dict[int, int]:
    """Earned money, from block ``first`` on, by the pay period in which it falls due; clawbacks count at once."""
    found: Dict[int, int] = {}
    terms = list(lines.terms)
    for row in [lines.row(place) for place in range(first, lines.count)]:
        plan = _plan(book, terms[row.terms])
        if row.kind == CLAWBACK or plan.payable == AT_ONCE:
            found[row.period] = found.get(row.period, 0) + row.cents
            continue
        carried = coded_period(row.quota_period).start if row.kind == CARRY else None
        for i in range(row.first, row.first + row.size):
            deal = lines.deal[i]
            day = book.deals.close_date[deal] if carried is None else carried
            amount, invoices = (0, ()) if carried is not None else _invoiced(book, deal)
            for part_day, cents in parts(plan, lines.cents[i], day, amount, invoices):
                if part_day is not None:
                    period = period_code(period_of(plan.pay_period, part_day))
                    found[period] = found.get(period, 0) + cents
    return found


def parts(
    plan: Plan, cents: int, day: int, amount: int = 0, invoices: Iterable[Tuple[int, int]] = ()
) -> Iterator[Tuple[Optional[int], int]]:
    """The days from which the parts of an earned line are payable; together they are the line.

    ``day`` is the line's own: the close date, or the first day of the quota period for carried money.  ``amount`` is
    the deal's, and ``invoices`` what the customer has paid of it, as (day, amount) by day, both in cents of the deal's
    currency; a deal of 0 or less (carried money has none) counts as paid on its day.  The day None: no day is known,
    it waits for the customer's payment.
    """
    if plan.payable.on == "close" or amount <= 0:
        yield from _scheduled(plan, cents, day)
        return
    paid = released = 0
    for paid_on, paid_now in invoices:
        paid += paid_now
        so_far = round_ratio(cents * min(paid, amount), amount, plan.rounding)
        yield from _scheduled(plan, so_far - released, paid_on)
        released = so_far
    if released != cents:
        yield None, cents - released


def _scheduled(plan: Plan, cents: int, day: int) -> Iterator[Tuple[Optional[int], int]]:
    schedule = plan.payable.schedule
    for (months, _), part in zip(schedule, split_largest_remainder(cents, [share for _, share in schedule])):
        yield add_months(day, months), part


def _invoiced(book: Book, row: int) -> Tuple[int, Iterable[Tuple[int, int]]]:
    """A deal's amount, and what was paid of it up to ``as_of``."""
    deals = book.deals
    amount = 0 if deals.amount is None or deals.amount[row] == NONE else deals.amount[row]
    if deals.invoice_start is None or deals.invoice_paid is None or deals.invoice_amount is None:
        return amount, ()
    found = []
    for i in range(deals.invoice_start[row], deals.invoice_start[row + 1]):
        if book.as_of is not None and deals.invoice_paid[i] > book.as_of:
            break
        found.append((deals.invoice_paid[i], deals.invoice_amount[i]))
    return amount, found


def pay_periods(book: Book, tree: Tree, person: int, by_code: Dict[int, int], out: List[int]) -> None:
    """Write earnings (by pay period), what is paid of them and the draw's balance, as `Result.pay_numbers`."""
    plans = [version for name in tree.plans(person) for version in book.plans[name]]
    if all(plan.draw is None for plan in plans):
        for code, cents in sorted(by_code.items()):
            out += [person, code, cents, cents, NONE]
        return
    earned = {coded_period(code): cents for code, cents in by_code.items()}
    kinds = {period.kind for period in earned}
    kinds.update(plan.pay_period for plan in plans)
    for kind in sorted(kinds):
        mine = {period: cents for period, cents in earned.items() if period.kind == kind}
        for period, cents, paid, balance in _draw(book, tree, person, kind, mine):
            out += [person, period_code(period), cents, paid, NONE if balance is None else balance]


def _draw(book: Book, tree: Tree, person: int, kind: str, earned: Dict[Period, int]) -> List[Paid]:
    """Run the draw through the pay periods of one length."""
    starts: Dict[str, int] = {}  # the day each plan's draw begins for this person
    for plan in tree.plans(person):
        drawn = [version.effective_from for version in book.plans[plan] if version.draw is not None]
        if drawn and book.plans[plan][0].pay_period == kind:
            starts[plan] = max(drawn[0], tree.assigned(person, plan)[0][0])
    if not starts or book.horizon is None:
        return [(period, cents, cents, None) for period, cents in sorted(earned.items())]

    period = min([period_of(kind, day) for day in starts.values()] + list(earned))
    last = max([period_of(kind, book.horizon), *earned])
    found: List[Paid] = []
    balance: Optional[int] = None
    terms: Optional[Draw] = None
    rounding = "half_up"
    while period <= last:
        cents = earned.get(period, 0)
        number = 0  # which of the draw's pay periods this is; 0: it does not run
        assignment = tree.last_in(person, period)
        if assignment is not None and assignment.plan in starts and starts[assignment.plan] < period.end:
            version = _in_force(book.plans[assignment.plan], period.end - 1)
            if version.draw is not None and period.start <= book.horizon:
                terms, rounding = version.draw, version.rounding
                number = period.index - period_of(kind, starts[assignment.plan]).index + 1
        if terms is not None:
            paid, balance = _paid(terms, number, cents, balance or 0, rounding)
            if number or period in earned:
                found.append((period, cents, paid, balance))
        elif period in earned:
            found.append((period, cents, cents, balance))
        period = period.next()
    return found


def _in_force(versions: Sequence[Plan], day: int) -> Plan:
    return [version for version in versions if version.effective_from <= day][-1]


def _paid(draw: Draw, number: int, earned: int, balance: int, rounding: str) -> Tuple[int, int]:
    """What is paid in a pay period, and the balance after it."""
    runs = number > 0 and (draw.periods is None or number <= draw.periods)
    amount = draw.amount if runs else 0
    if runs and earned < amount:
        if draw.kind == "recoverable":
            balance += amount - earned
        paid = amount
    elif draw.kind == "recoverable" and earned > amount and (number == 0 or number >= draw.recover_from):
        repaid = min(balance, round_ratio((earned - amount) * draw.recover, PPM, rounding))
        paid, balance = earned - repaid, balance - repaid
    else:
        paid = earned
    if draw.forgive_at_end and number and number == draw.periods:
        balance = 0
    return paid, balance

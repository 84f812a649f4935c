"""What a statement says in every form it takes: its status, its figures, and how its balance moves."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from engine.money import format_money
from engine.periods import parse_period

Content = Mapping[str, Any]


def money(cents: int, content: Content) -> str:
    """``1,234.56 USD``: cents in the statement's currency."""
    return f"{format_money(cents, content['currency'], thousands=True)} {content['currency']}"


def period_title(name: str) -> str:
    """``October 2026``, ``Q4 2026``, ``2026``, ``Week 5, 2026``."""
    period = parse_period(name)
    if period.kind == "month":
        return f"{_MONTHS[period.first_day.month - 1]} {name[:4]}"
    if period.kind == "quarter":
        return f"{name[5:]} {name[:4]}"
    return f"Week {int(name[6:])}, {name[:4]}" if period.kind == "week" else name


_MONTHS = (  # not the server's language: a file is the same on every machine
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


def earned(content: Content) -> int:
    """What the plan's lines in the statement's currency come to, in cents; what was given by hand is not earned."""
    return sum(
        line["amount"]
        for line in content["lines"]
        if line["kind"] != "manual" and line["currency"] == content["currency"]
    )


def status(content: Content) -> str:
    """``PROVISIONAL``, ``Approved 2026-11-02``, ``Paid 2026-11-30`` or ``Payment reversed 2026-12-01``."""
    if not content["final"]:
        return "AMOUNTS LOCKED" if content.get("locked") else "PROVISIONAL"
    if not content["paid"]:
        return f"Approved {content['approved']['at'][:10]}"
    last = content["paid"][-1]
    if last["amount"] > 0 and _is_part(content):
        return f"Part paid {last['day']}"
    return f"{'Paid' if last['amount'] > 0 else 'Payment reversed'} {last['day']}"


def _is_part(content: Content) -> bool:
    """Whether less than what is due was ever paid, whatever was taken back since."""
    paid: int = sum(max(0, row["amount"]) for row in content["paid"])
    return paid < int(content["balance"]["due"])


def scheduled(rows: Iterable[tuple[str, str, int]]) -> list[tuple[str, int]]:
    """What is payable later by month, then by the event that it waits for: (label, cents).

    `rows` are (ISO date or "", what it waits for, cents): ``("Dec 2026", 120000)``, ``("waits for ...", 30000)``.
    """
    found: dict[tuple[str, str], int] = {}
    for due, waits_for, cents in rows:
        key = (due[:7] if due else "9999", waits_for)
        found[key] = found.get(key, 0) + cents
    return [
        (f"waits for {waits_for}" if waits_for else f"{_MONTHS[int(month[5:]) - 1][:3]} {month[:4]}", cents)
        for (month, waits_for), cents in sorted(found.items())
        if cents
    ]


def schedule_rows(content: Content) -> list[tuple[str, str, str, str, int]]:
    """(when, deal, component, earned in, cents) of what is payable later, the earliest first."""
    return [
        (_when(row), row["deal"] or "All deals together", row["label"], row["earned_in"], row["amount"])
        for row in content.get("schedule", ())
    ]


def _when(row: Mapping[str, Any]) -> str:
    return str(row["due"]) or f"Waits for {row['waits_for']}"


def totals(content: Content) -> list[tuple[str, int]]:
    """The figures at the top, in cents: earned, then what is due and paid (while the period is open, the balance)."""
    balance = content["balance"]
    found = [("Earned", earned(content))]
    if balance["due"] is None:
        found.append(("Balance so far", balance["total"]))
    else:
        found += [("Due", balance["due"]), ("Paid", balance["paid"])]
    if balance["deferred"]:
        found.append(("Payable later", balance["deferred"]))
    if content["draw"]["balance"]:
        found.append(("Draw balance", content["draw"]["balance"]))
    return found


def balance_rows(content: Content) -> Iterator[tuple[str, int, bool]]:
    """(label, cents, is it a sum) from the opening balance to the closing one."""
    balance = content["balance"]
    yield "Opening balance: owed from earlier periods", balance["opening"], False
    yield "Earned", balance["earned"], False
    for kind, label in (
        ("adjusted", "Adjustments of earlier periods"),
        ("clawed_back", "Clawbacks"),
        ("manual", "Bonuses and corrections by hand"),
    ):
        if balance[kind]:
            yield label, balance[kind], False
    if balance["drawn"]:
        yield "Advanced by the draw" if balance["drawn"] > 0 else "Repaid to the draw", balance["drawn"], False
    yield "Balance", balance["total"], True
    if balance["due"] is None:
        return
    held = balance["total"] - balance["due"]
    if held:
        yield _held(balance), -held, False
        yield "Due", balance["due"], True
    if balance["paid"]:
        days = ", ".join(payment["day"] for payment in content["paid"])
        yield f"Paid on {days}", -balance["paid"], False
    waits = balance["due"] > balance["paid"]
    yield f"Closing balance: {'not paid yet' if waits else 'carried to the next period'}", balance["closing"], True


def _held(balance: Mapping[str, int]) -> str:
    if balance["total"] < 0:
        return "Overpaid: carried, and taken from what is earned next"
    if balance["deferred"]:
        return "Not due now: payable later, or in an earlier payout that is not paid yet"
    return "Not due now: in an earlier payout that is not paid yet"

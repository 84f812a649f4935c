"""The records that the pay rules work on: a plan, compiled from its document, and the rows beside it.

Everything is a whole number, so that PyPy and CPython reach the same cent:

- money is in minor units ("cents") of one currency;
- a rate, share, factor or percentage edge is in parts per million (``PPM`` = 100%);
- any other number of a deal (quantity, a custom field) is in millionths (``MICRO``);
- a date is the ordinal of ``datetime.date.toordinal``; periods are half-open.

Records are frozen; a change makes a copy.  ``engine.plans`` builds a `Plan` from a document and has
already refused what is wrong with it, so the rules may trust what they are given.
"""

from dataclasses import dataclass, field
from typing import Mapping, Optional, Tuple, Union

PPM = 1_000_000
MICRO = 1_000_000

# The measures that are money; every other measure is a number in millionths.
MONEY_MEASURES = ("amount", "margin", "commission")

# A deal's field as a rule sees it: text, a number in millionths, a date ordinal, or nothing.
# ``FieldValue`` is what the row-level `Deal` carries; columns carry the same by code.
FieldValue = Union[str, "Number", "Day", bool]


@dataclass(frozen=True)
class Number:
    """A number of a deal's field in millionths: ``Number(12_500_000)`` is 12.5."""

    micro: int


@dataclass(frozen=True)
class Day:
    """A date of a deal's field, as ordinal."""

    ordinal: int


@dataclass(frozen=True)
class Rate:
    """``ppm`` of the money; or, with ``of_base``, ``ppm`` of the component's base rate ("1.5x")."""

    ppm: int
    of_base: bool = False


@dataclass(frozen=True)
class BaseRate:
    """What "1.5x" multiplies: a rate, or target pay x weight / quota (before proration)."""

    ppm: Optional[int] = None
    target_pay: Optional[int] = None  # cents
    weight: int = PPM  # ppm


@dataclass(frozen=True)
class Tier:
    """One step of a rate table from ``start`` (inclusive) to the next tier's start.

    ``start`` is in the component's ``edges``: ppm of quota, cents, or millionths of a unit.
    It pays ``rate``, or ``amount`` cents for each unit credited; exactly one of them is set.
    """

    start: int
    rate: Optional[Rate]
    amount: Optional[int]
    applies: str  # "slice" | "all"


@dataclass(frozen=True)
class Point:
    """A point of a payout curve; ``at`` in the component's ``edges``, ``pays`` in ``pays_in``."""

    at: int
    pays: int  # cents, or ppm of target pay x weight


@dataclass(frozen=True)
class Step:
    """A milestone: ``pays`` cents once ``at`` (in the component's ``edges``) is reached."""

    at: int
    pays: int


@dataclass(frozen=True)
class Multiplier:
    """``factor`` (ppm) on the credit towards quota of the deals that match."""

    when: "Tuple[Condition, ...]"
    factor: int


@dataclass(frozen=True)
class Condition:
    """One key of a ``when`` filter; every test must hold.

    ``tests`` are (operator, operands) with operator in ``any_of``, ``not``, ``at_least``,
    ``more_than``, ``at_most``, ``less_than``.  Operands are texts, `Number` or `Day`;
    an amount or margin compares as `Number` in units of the plan's currency.
    """

    field: str
    tests: Tuple[Tuple[str, Tuple[FieldValue, ...]], ...]


@dataclass(frozen=True)
class Gate:
    """Nothing until attainment ``at_least`` (ppm of quota) of ``component`` (None: its own)."""

    at_least: int
    component: Optional[str] = None


@dataclass(frozen=True)
class Cap:
    amount: int  # cents
    excess: str  # "forfeit" | "carry"


@dataclass(frozen=True)
class Component:
    """One rule of a plan.  Unused keys of other kinds are None or empty."""

    id: str
    label: str
    kind: str  # flat | percentage | tiered | quota | curve | bonus
    quota_period: str  # week | month | quarter | year
    when: Tuple[Condition, ...] = ()
    window_from: Optional[int] = None  # ordinal, inclusive
    window_until: Optional[int] = None  # ordinal, exclusive
    measure: str = "amount"
    pays_on: str = "amount"
    credit_from: str = "own"  # own | direct_reports | team
    multipliers: Tuple[Multiplier, ...] = ()
    quota: Optional[int] = None  # cents, or millionths where the measure is not money
    base_rate: Optional[BaseRate] = None
    gate: Optional[Gate] = None
    per_deal_min: Optional[int] = None  # cents
    per_deal_max: Optional[int] = None  # cents
    cap: Optional[Cap] = None
    edges: str = "money"  # "quota" (ppm of quota) | "money" (cents) | "units" (millionths)
    amount: Optional[int] = None  # flat: cents for a deal
    scale_by_share: bool = True  # flat
    rate: Optional[Rate] = None  # percentage
    tiers: Tuple[Tier, ...] = ()  # tiered, quota
    points: Tuple[Point, ...] = ()  # curve
    pays_in: str = "money"  # curve: "money" | "target_pay"
    beyond: str = "flat"  # curve: "flat" | "extend"
    per: str = "period"  # curve: "period" | "deal"
    steps: Tuple[Step, ...] = ()  # bonus
    award: str = "highest"  # bonus: "highest" | "each"


@dataclass(frozen=True)
class Draw:
    kind: str  # recoverable | non_recoverable
    amount: int  # cents for a pay period
    recover: int = PPM
    recover_from: int = 1
    periods: Optional[int] = None
    forgive_at_end: bool = False


@dataclass(frozen=True)
class Clawback:
    within_days: Optional[int] = None  # inclusive; None: always
    share: Optional[int] = PPM  # ppm; None: prorated by term


@dataclass(frozen=True)
class Payable:
    on: str = "close"  # close | invoice_paid
    schedule: Tuple[Tuple[int, int], ...] = ((0, PPM),)  # (months later, share ppm)


@dataclass(frozen=True)
class Plan:
    """One version of a plan, in force from ``effective_from`` until the next version of ``name``."""

    name: str
    effective_from: int  # ordinal
    currency: str
    pay_period: str
    rounding: str  # half_up | half_even
    components: Tuple[Component, ...]
    draw: Optional[Draw] = None
    clawback: Optional[Clawback] = None
    payable: Payable = Payable()


@dataclass(frozen=True)
class Assignment:
    """A person on a plan (None: on none, but still in the tree) under a manager in ``[start, end)``."""

    person: str
    plan: Optional[str]
    manager: Optional[str] = None
    start: Optional[int] = None
    end: Optional[int] = None
    prorate: str = "days"  # days | months | none


@dataclass(frozen=True)
class QuotaRow:
    """A quota.  ``period`` None: the person's figure for every period; ``component`` None: for every component.

    ``amount`` is in millionths of a unit; for a money measure a unit is one of the plan's currency.
    """

    person: str
    component: Optional[str]
    period: Optional[str]
    amount: int


@dataclass(frozen=True)
class ExchangeRate:
    """One unit of ``currency`` is ``micro`` / 1,000,000 (or finer: / ``scale``) units of ``to`` from ``day`` on."""

    currency: str
    to: str
    day: int
    value: int
    scale: int = 1_000_000


@dataclass(frozen=True)
class Invoice:
    paid: int  # ordinal
    amount: int  # minor units of the deal's currency


@dataclass(frozen=True)
class Deal:
    """A sale.  Money is in minor units of ``currency`` (None: the plan's).  ``credits`` are (person, share ppm)."""

    id: str
    close_date: int
    credits: Tuple[Tuple[str, int], ...]
    amount: Optional[int] = None
    margin: Optional[int] = None
    currency: Optional[str] = None
    cancelled: Optional[int] = None
    invoices: Tuple[Invoice, ...] = ()
    owner: Optional[str] = None
    fields: "Mapping[str, FieldValue]" = field(default_factory=dict)

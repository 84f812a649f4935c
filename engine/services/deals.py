"""Deals as a person sees and corrects them: the list, one deal with its story, edit, create, delete."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

import pandas as pd
import sqlalchemy as sa

from engine.analytics import deals as analytics
from engine.analytics.behind import Behind
from engine.analytics.deals import After, DealFilters, DealPage, FieldFilter, NextDeals, Page
from engine.db import audit, deal_fields, deals
from engine.db.database import Database
from engine.db.deals import Deal, DealFields
from engine.db.teams import team_tree
from engine.errors import Conflict, NotFound, Problem, ProblemsError, QuotaPathError
from engine.money import LARGEST, PPM, currency_digits, format_money, format_rate, parse_number, split_largest_remainder
from engine.periods import period_of
from engine.services import access
from engine.services.access import Actor
from engine.services.deal_fields import DealField, typed
from engine.services.impact import Impact, trial
from engine.services.naming import slug
from engine.sheets import Value
from engine.workers.pool import Pool

__all__ = ["After", "Behind", "Deal", "DealFields", "DealFilters", "DealPage", "FieldFilter", "Page"]


@dataclass(frozen=True)
class DealChoices:
    """What the filters and the form offer.

    ``stages``: id, name, outcome, probability_ppm, in order; ``people``: id, name, email, is_active of those
    within reach; ``currency``: the company's; ``fields``: those that it has defined.
    """

    stages: pd.DataFrame
    people: pd.DataFrame
    types: list[str]
    products: list[str]
    currency: str
    fields: list[DealField]


@dataclass(frozen=True)
class NamedDeal:
    """A deal, and what its owner and stage are called; `outcome` is open, won, lost or cancelled."""

    deal: Deal
    owner: str
    stage: str
    outcome: str


@dataclass(frozen=True)
class DealDetail(NamedDeal):
    """A deal with its story; the frames are described in `engine.analytics.deals`.

    ``lines`` are the earnings on it, as far as the actor may see them.  ``can_delete``: no line of any run
    stands on it.
    """

    credits: pd.DataFrame
    history: pd.DataFrame
    stages: pd.DataFrame
    lines: pd.DataFrame
    can_delete: bool


def list_deals(db: Database, actor: Actor, filters: DealFilters, page: Page, today: date) -> DealPage:
    """The deals that the actor may see and the filters let through, one page of them."""
    with db.read(actor) as conn:
        reach = access.visible_people(conn, actor, "deals.view", today)
        return analytics.page_of_deals(conn, filters, page, reach, today, deals.company_currency(conn))


def deals_after(
    db: Database, actor: Actor, filters: DealFilters, after: After | None, size: int, today: date
) -> NextDeals:
    """The deals that the actor may see and the filters let through, by close date, from a place in that order on."""
    with db.read(actor) as conn:
        reach = access.visible_people(conn, actor, "deals.view", today)
        return analytics.deals_after(conn, filters, after, size, reach, today, deals.company_currency(conn))


EXPORT_HEADERS = (
    "Deal ID", "Source", "Deal name", "Account", "Owner", "Credits", "Stage", "Outcome", "Amount", "Currency",
    "Close date", "Created date", "Type", "Product", "Segment", "Cancelled on",
)  # fmt: skip
_EXPORT_COLUMNS = (
    "external_id", "source", "name", "account", "owner", "credited", "stage", "outcome", "amount", "currency",
    "close_date", "created_date", "type", "product", "segment", "cancelled_on",
)  # fmt: skip
_AMOUNT = _EXPORT_COLUMNS.index("amount")


def export_headers(fields: Sequence[DealField]) -> tuple[str, ...]:
    """The headers of an export: those of every company, then its own fields."""
    return (*EXPORT_HEADERS, *(field.name for field in fields))


def export_deals(
    db: Database, actor: Actor, filters: DealFilters, page: Page, today: date
) -> Iterator[tuple[Value, ...]]:
    """Every deal that the filters let through, in the page's order, as rows under `export_headers`.

    The rows come from the server a few thousand at a time, all of one moment.
    """
    access.require(actor, "deals.view")
    return _export_rows(db, actor, filters, page, today)


def _export_rows(
    db: Database, actor: Actor, filters: DealFilters, page: Page, today: date
) -> Iterator[tuple[Value, ...]]:
    with db.read(actor) as conn:
        reach = access.visible_people(conn, actor, "deals.view", today)
        fields = deal_fields.all_fields(conn)
        for deal in analytics.all_deals(conn, filters, page, reach, today, deals.company_currency(conn)):
            row = [deal[name] for name in _EXPORT_COLUMNS]
            if deal["amount"] is not None:
                row[_AMOUNT] = Decimal(deal["amount"]).scaleb(-currency_digits(deal["currency"]))
            yield (*row, *(_exported(field, deal["extra"].get(field.name)) for field in fields))


def _exported(field: DealField, kept: Any) -> Value:
    """A value of the company's own field as a cell: numbers and dates as such, where they are."""
    if kept is None:
        return None
    text = str(kept)
    if field.kind == "yes_no":
        return {"true": "yes", "false": "no"}.get(text, text)
    try:
        if field.kind == "number":
            return Decimal(analytics.number_text(parse_number(text)))
        return date.fromisoformat(text) if field.kind == "date" else text
    except (QuotaPathError, ValueError):  # brought by an import, and no value of the field
        return text


def export_name(db: Database, actor: Actor, filters: DealFilters, today: date) -> str:
    """The stem of an export's file name, with the filters in it: ``deals-won-2026-Q3-east``."""
    with db.read(actor) as conn:
        people = analytics.people(conn, access.visible_people(conn, actor, "deals.view", today))
        owners = people[people["id"] == filters.owner_id]["name"]
        stages = analytics.names(conn).stages
        team = {each.id: each.name for each in team_tree(conn, None, today)}.get(filters.team_id or 0, "")
    parts = [
        filters.outcome,
        _dates(filters.closed_from, filters.closed_until),
        team,
        *owners,
        *(stages.get(stage, "") for stage in filters.stage_ids),
        *filters.types,
        *filters.products,
        "" if filters.amount_from is None and filters.amount_to is None else "amounts",
        *(field.name for field in filters.extra),
        filters.text,
    ]
    slugs = [part if part[:4].isdecimal() else slug(part, "-") for part in parts if part]
    stem = "-".join(["deals", *(part for part in slugs if part)])[:120].rstrip("-")
    return stem if len(stem) > len("deals") else f"deals-all-{today}"


def _dates(first: date | None, past: date | None) -> str:
    """``2026-Q3`` for the days of a period, else both days."""
    if first and past:
        for kind in ("month", "quarter", "year"):
            period = period_of(kind, first.toordinal())
            if (period.start, period.end) == (first.toordinal(), past.toordinal()):
                return period.name
    return "-".join(f"{word}-{day}" for word, day in (("from", first), ("before", past)) if day)


def deal_choices(db: Database, actor: Actor, today: date) -> DealChoices:
    """What the actor may choose from, in filters and in the form."""
    with db.read(actor) as conn:
        reach = access.visible_people(conn, actor, "deals.view", today)
        return DealChoices(
            stages=analytics.stages(conn),
            people=analytics.people(conn, reach),
            types=analytics.distinct_values(conn, "type"),
            products=analytics.distinct_values(conn, "product"),
            currency=deals.company_currency(conn),
            fields=deal_fields.all_fields(conn),
        )


def named_deal(db: Database, actor: Actor, deal_id: int, today: date) -> NamedDeal:
    """One deal as it stands.  Raises NotFound when there is no such deal within the actor's reach."""
    with db.read(actor) as conn:
        return _named(conn, actor, deal_id, today)


def _named(conn: sa.Connection, actor: Actor, deal_id: int, today: date) -> NamedDeal:
    reach = access.visible_people(conn, actor, "deals.view", today)
    deal = deals.find(conn, deal_id)
    if deal is None or not (reach is None or _credited(deal) & reach):
        raise _no_deal(deal_id)
    owner, stage, outcome = analytics.called(conn, deal.fields.owner_id, deal.fields.stage_id)
    return NamedDeal(deal, owner, stage, "cancelled" if deal.fields.cancelled_on else outcome)


def _credited(deal: Deal) -> frozenset[int]:
    return frozenset(user for user, _ in deal.fields.credits) | {deal.fields.owner_id}


def deal_detail(db: Database, actor: Actor, deal_id: int, today: date) -> DealDetail:
    """One deal with its credits, history, passage through the pipeline and earnings.

    Raises NotFound when there is no such deal within the actor's reach.
    """
    with db.read(actor) as conn:
        found = _named(conn, actor, deal_id, today)
        deal = found.deal
        names = analytics.people(conn, _credited(deal)).set_index("id")["name"]
        shares = deal.fields.credits or ((deal.fields.owner_id, PPM),)
        return DealDetail(
            **vars(found),
            credits=pd.DataFrame(
                [(user, names[user], share) for user, share in shares], columns=["user_id", "person", "share_ppm"]
            ),
            history=analytics.history(conn, deal_id, deal.fields.currency),
            stages=analytics.stage_entries(conn, deal_id),
            lines=analytics.lines_on(conn, deal_id, access.visible_people(conn, actor, "earnings.view", today)),
            can_delete=access.may(actor, "deals.edit") and deals.line_count(conn, deal_id) == 0,
        )


def create_deal(db: Database, actor: Actor, fields: DealFields, extra: Mapping[str, str] | None = None) -> int:
    """Keep a deal that was entered by hand; gives its id.  ``extra`` as for `edit_deal`.  Raises ProblemsError."""
    access.require(actor, "deals.edit")
    with db.write(actor) as conn:
        kept = _checked(conn, fields, extra)
        deal_id = deals.add(conn, fields, actor.user_id, kept)
        audit.record(conn, actor.user_id, "deals.edit", f"deal {deal_id}", {"created": fields.name})
    return deal_id


def edit_deal(
    db: Database,
    actor: Actor,
    deal_id: int,
    version: int,
    fields: DealFields,
    extra: Mapping[str, str] | None = None,
) -> int:
    """Keep the new fields of a deal, with the change in its history; gives the deal's new version.

    ``version`` is the one that the person saw: when somebody changed the deal since, nothing is kept and
    the error says who and when.  Fields that equal what is there change nothing.  ``extra``: values of the
    company's own fields as one types them ("" for none); those that are not named stay.  Raises ProblemsError.
    """
    access.require(actor, "deals.edit")
    with db.write(actor) as conn:
        changes = _edit(conn, actor, deal_id, version, fields, extra)
        if not changes:
            return version
        audit.record(conn, actor.user_id, "deals.edit", f"deal {deal_id}", {"changes": changes})
    return version + 1


def edit_impact(
    db: Database, pool: Pool, actor: Actor, deal_id: int, version: int, fields: DealFields, today: date
) -> Impact:
    """What the same edit would do to earnings.  Keeps nothing; raises what `edit_deal` raises."""
    access.require(actor, "deals.edit")
    return trial(db, pool, today, lambda conn: _edit(conn, actor, deal_id, version, fields, None))


def _edit(
    conn: sa.Connection,
    actor: Actor,
    deal_id: int,
    version: int,
    fields: DealFields,
    extra: Mapping[str, str] | None,
) -> dict[str, list[Any]]:
    before = _locked(conn, deal_id, version)
    return deals.update(conn, before, fields, actor.user_id, _checked(conn, fields, extra))


@dataclass(frozen=True)
class Split:
    """What shares of a deal come to: ``parts`` (minor units, by place in what was given), their sum in ppm and money.

    ``said`` is the sentence for the person; ``whole``: the shares come to 100%.
    """

    parts: tuple[int | None, ...]
    share_ppm: int
    said: str
    whole: bool


def split_deal(db: Database, actor: Actor, deal_id: int, shares: Sequence[tuple[int, int]], today: date) -> Split:
    """What each of (user id, share in ppm) would be credited of the deal, to the cent, as the pay rules share it out.

    Raises ProblemsError when these cannot be the deal's shares.
    """
    detail = deal_detail(db, actor, deal_id, today)
    fields = replace(detail.deal.fields, credits=tuple(shares))
    with db.read(actor) as conn:
        _checked(conn, fields, None)
        code = deals.codes(conn, [user for user, _ in shares])
    total = sum(share for _, share in shares)
    amount = fields.amount
    # The cents left over go to the largest remainders, ties by the person's code: the order of the pay rules.
    order = sorted(range(len(shares)), key=lambda place: code[shares[place][0]])
    parts: list[int | None] = [None] * len(shares)
    if amount is not None:
        for place, part in zip(order, split_largest_remainder(amount, [shares[at][1] for at in order]), strict=True):
            parts[place] = part
    credited = sum(part or 0 for part in parts)
    return Split(tuple(parts), total, _split_said(fields, total, credited), total == PPM)


def _split_said(fields: DealFields, total: int, credited: int) -> str:
    def money(cents: int) -> str:
        return f"{format_money(cents, fields.currency, thousands=True)} {fields.currency}"

    if total == PPM:
        return "The shares come to 100%: the whole deal is credited once."
    said = f"The shares come to {format_rate(total)}"
    off = format_rate(abs(total - PPM)) + (
        "" if fields.amount is None else f" ({money(abs(fields.amount - credited))})"
    )
    if total < PPM:
        return f"{said}: {off} of the deal is credited to nobody."
    return f"{said}: an overlay, {off} more is credited than was sold."


def delete_deal(db: Database, actor: Actor, deal_id: int, version: int) -> None:
    """Delete a deal on which no earnings stand; the audit keeps what it said.

    A deal with earnings lines is refused: it is cancelled instead, and the clawback follows.
    """
    access.require(actor, "deals.edit")
    with db.write(actor) as conn:
        deal = _locked(conn, deal_id, version)
        lines = deals.line_count(conn, deal_id)
        if lines:
            raise Conflict(
                f"{deal.fields.name or deal.external_id} cannot be deleted: {lines} earnings "
                f"{'line stands' if lines == 1 else 'lines stand'} on it. "
                'Set "Cancelled on" instead: what was paid is then clawed back by the plan, and the history stays.'
            )
        deals.delete(conn, deal_id)
        kept = asdict(deal.fields) | {"source": deal.source, "external_id": deal.external_id, "extra": deal.extra}
        audit.record(conn, actor.user_id, "deals.edit", f"deal {deal_id}", {"deleted": kept})


def _locked(conn: sa.Connection, deal_id: int, version: int) -> Deal:
    deal = deals.find(conn, deal_id, lock=True)
    if deal is None:
        raise _no_deal(deal_id)
    if deal.version != version:
        who, when = deals.last_change(conn, deal_id) or ("Somebody", "meanwhile")
        raise Conflict(
            f"{who} changed this deal ({when}) after you opened it, so nothing of yours was saved. "
            "Open the deal again, look at the new values, and make your change there."
        )
    return deal


def _no_deal(deal_id: int) -> NotFound:
    return NotFound(
        f"There is no deal number {deal_id} that you may see. It may have been deleted; look for it in the list."
    )


def _checked(conn: sa.Connection, fields: DealFields, extra: Mapping[str, str] | None) -> dict[str, str | None]:
    """The extra fields as they are kept; raises ProblemsError with everything that is wrong with any field."""
    problems = list(field_problems(fields, deals.outcome(conn, fields.stage_id)))
    problems += unknown_people(conn, {fields.owner_id, *(user for user, _ in fields.credits)})
    kept, wrong = typed({field.name: field for field in deal_fields.all_fields(conn)} if extra else {}, extra or {})
    problems += wrong
    if problems:
        raise ProblemsError(problems)
    return kept


def unknown_people(conn: sa.Connection, user_ids: set[int]) -> list[Problem]:
    """A problem for each of the ids that is nobody's."""
    return [
        Problem("owner", f"there is no person number {user}.", "Choose one of the list.")
        for user in sorted(deals.unknown_users(conn, user_ids))
    ]


def field_problems(fields: DealFields, outcome: str | None) -> Iterable[Problem]:
    """What is wrong with the fields of a deal; ``outcome`` is that of its stage, None when there is no such stage."""
    if not fields.name.strip():
        yield Problem("name", "is empty.", "Give the deal a name.")
    for name, text, longest in (
        ("name", fields.name, 1000),
        ("account", fields.account, 1000),
        ("type", fields.type, 200),
        ("product", fields.product, 200),
        ("segment", fields.segment, 200),
    ):
        if len(text) > longest:
            yield Problem(name, f"has {len(text)} characters; {longest} is the most.", "Shorten it.")
        if "\x00" in text:
            yield Problem(name, "holds a null character.", "Type it again.")
    try:
        currency_digits(fields.currency)
    except QuotaPathError as error:
        yield Problem("currency", str(error))
    for name, number in (("amount", fields.amount), ("margin", fields.margin), ("quantity", fields.quantity_micro)):
        if number is not None and abs(number) > LARGEST:
            yield Problem(name, "is too large.", "Check it for extra digits.")
    if outcome is None:
        yield Problem("stage", "there is no such pipeline stage.", "Choose one of the list.")
    if outcome == "won" and fields.amount is None:
        yield Problem("amount", "is empty, but the deal is won.", "Enter what it was sold for; 0 is allowed.")
    if not date(1990, 1, 1) <= fields.close_date <= date(2199, 12, 31):
        yield Problem("close_date", f"{fields.close_date} is outside the years 1990 to 2199.", "Correct the year.")
    if fields.term_months is not None and not 0 <= fields.term_months <= 1200:
        yield Problem("term_months", f"{fields.term_months} is not between 0 and 1200.", "Enter the contract's months.")
    if fields.cancelled_on is not None:
        if outcome in ("open", "lost"):
            yield Problem(
                "cancelled_on", "only a won deal can be cancelled.", "Leave it empty, or choose a stage that is won."
            )
        if fields.cancelled_on < fields.close_date:
            yield Problem(
                "cancelled_on",
                f"{fields.cancelled_on} is before the close date {fields.close_date}.",
                "A deal is cancelled on or after the day it closed.",
            )
    users = [user for user, _ in fields.credits]
    if len(set(users)) < len(users):
        yield Problem("credits", "a person is named twice.", "Give each person one share.")
    for _, share in fields.credits:
        if not 0 <= share <= PPM:
            yield Problem("credits", f"a share of {format_rate(share)} is not between 0% and 100%.", "Correct it.")

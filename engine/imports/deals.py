"""Rows of a table -> deals, or refusals with a reason.

`check_rows` reads the file once to decide what holds for the whole of it: whether 03/04 is in March or in
April, whether ``1,234`` is a thousand or one and a bit, which rows repeat a deal.  What cannot be decided
comes back as a `Question`; nothing is guessed.  `Checked.rows` then yields every row as a `DealRow`, a
`Refusal` or a `Repeat`, one at a time, so a million rows need no memory.
"""

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from engine.errors import Problem, QuotaPathError
from engine.imports.known import Context, Stage, owner_finder, owner_key, stage_finder, stage_key
from engine.imports.mapping import check_mapping
from engine.imports.reading import Row, Table
from engine.imports.survey import Decision, Question, Tell, Verdict, id_reader, survey_file
from engine.imports.values import (
    CACHED,
    COMMA,
    DOT,
    ISO_4217,
    SIGNS,
    Figure,
    UnreadableValue,
    clean,
    deal_id,
    is_blank,
    one_line,
    parse_date,
    read_figure,
)
from engine.money import PPM, currency_digits, parse_money, parse_number

# Longest texts, in characters; the deals table has the same limits.
_LONGEST = {"external_id": 200, "name": 1000, "account": 1000, "type": 200, "product": 200, "segment": 200}
_LONGEST_EXTRA = 32_000
_EXAMPLES = 3
_LISTED = 500  # different unknown owners or stages that are listed by name


# ---------------------------------------------------------------- what comes out
class Note(NamedTuple):
    """Something about an accepted row that the user may want to see: ``kind`` groups, ``text`` has the values."""

    kind: str
    text: str


class DealRow(NamedTuple):
    """A deal as the file states it, checked.  Money is in minor units of ``currency``."""

    line: int
    external_id: str
    id_derived: bool  # made from account, name and owner, because the file has no id
    name: str
    account: str
    owner_id: int
    stage_id: int
    amount_minor: int | None  # None: an open or lost deal without an amount
    currency: str
    close_date: date
    created_date: date | None
    type: str
    product: str
    segment: str
    probability_ppm: int | None
    margin_minor: int | None
    quantity_micro: int | None
    term_months: int | None
    extra: dict[str, str]  # column name -> text, filled cells only
    notes: tuple[Note, ...]


class Reason(NamedTuple):
    """One thing that is wrong with a row.

    ``kind`` is one of: shape, missing, unknown_owner, unknown_stage, date, number, currency, id, text,
    duplicate.  ``field`` is the field of the deal (``""``: the row), ``column`` its column in the file.
    """

    kind: str
    field: str
    column: str
    value: str
    reason: str
    remedy: str


class Refusal(NamedTuple):
    """A row that is not taken, with every reason; ``close_date`` if that at least can be read."""

    line: int
    cells: tuple[str, ...]
    reasons: tuple[Reason, ...]
    close_date: date | None = None


class Repeat(NamedTuple):
    """A row identical to the one on line ``of_line``; it is taken once."""

    line: int
    of_line: int


Item = DealRow | Refusal | Repeat


@dataclass(frozen=True)
class Unknown:
    """An owner or stage of the file that nobody knows here; ``suggestion`` is the id of the nearest name."""

    field: str  # "owner" | "stage"
    value: str
    count: int
    suggestion: int | None


class Tally:
    """Counts over the items of one file, added one by one: what a summary of the import shows."""

    def __init__(self) -> None:
        self.accepted = 0
        self.refused = 0
        self.repeated = 0
        self.reasons: Counter[str] = Counter()  # by kind of reason
        self.notes: Counter[str] = Counter()  # by kind of note
        self.note_examples: dict[str, list[tuple[int, str]]] = {}  # kind -> first (line, text)
        self.first_close: date | None = None  # the earliest of all rows
        self._unknown: Counter[tuple[str, str]] = Counter()

    def add(self, item: Item) -> None:
        """Counts one item of `Checked.rows`."""
        if not isinstance(item, Repeat) and item.close_date is not None:
            self.first_close = min(item.close_date, self.first_close or item.close_date)
        if isinstance(item, DealRow):
            self.accepted += 1
            for note in item.notes:
                self.notes[note.kind] += 1
                examples = self.note_examples.setdefault(note.kind, [])
                if len(examples) < _EXAMPLES:
                    examples.append((item.line, note.text))
        elif isinstance(item, Refusal):
            self.refused += 1
            for reason in item.reasons:
                self.reasons[reason.kind] += 1
                if reason.kind.startswith("unknown_"):
                    key = (reason.field, reason.value)
                    if key in self._unknown or len(self._unknown) < _LISTED:
                        self._unknown[key] += 1
        else:
            self.repeated += 1

    def unknown(self, context: Context) -> list[Unknown]:
        """The unknown owners and stages, the most frequent first, each with the nearest name known."""
        names = {
            "owner": {owner_key(person.name): person.id for person in context.people},
            "stage": {stage_key(stage.name): stage.id for stage in context.stages},
        }
        keys: dict[str, Callable[[str], str]] = {"owner": owner_key, "stage": stage_key}
        found = []
        for (name, value), count in self._unknown.most_common():
            near = difflib.get_close_matches(keys[name](value), names[name], n=1, cutoff=0.75)
            found.append(Unknown(name, value, count, names[name][near[0]] if near else None))
        return found


@dataclass(frozen=True)
class Checked:
    """A file ready to be read row by row.

    With ``problems`` (of the mapping) or ``questions`` it is not ready: mend or answer them and check again.
    """

    problems: tuple[Problem, ...]
    questions: tuple[Question, ...]
    decisions: tuple[Decision, ...]
    _rows: "_Rows | None" = field(repr=False)

    def rows(self) -> Iterator[Item]:
        """Every row of the file, in its order; again on each call.

        Raises `ValueError` while there are problems or questions.
        """
        if self._rows is None:
            raise ValueError("Check the mapping and answer the questions before reading rows.")
        return self._rows.items()

    @property
    def spelling(self) -> tuple[str, str]:
        """The decimal style and the order of dates of the file, for columns that no field of a deal is read from.

        Raises `ValueError` while there are problems or questions.
        """
        if self._rows is None:
            raise ValueError("Check the mapping and answer the questions before asking how the file is written.")
        return self._rows.style, self._rows.order

    def collect(self) -> tuple[list[DealRow], list[Refusal], Tally]:
        """Everything at once, for files that fit in memory."""
        deals: list[DealRow] = []
        refusals: list[Refusal] = []
        tally = Tally()
        for item in self.rows():
            tally.add(item)
            if isinstance(item, DealRow):
                deals.append(item)
            elif isinstance(item, Refusal):
                refusals.append(item)
        return deals, refusals, tally


def check_rows(table: Table, mapping: Mapping[str, str], context: Context, tell: Tell = lambda _rows: None) -> Checked:
    """Decides what holds for the whole file; the rows are then read from the answer.

    `tell` hears of the rows read for that, now and then.
    """
    problems = check_mapping(mapping, table.headers)
    if problems:
        return Checked(tuple(problems), (), (), None)
    survey = survey_file(table, mapping, context, tell)
    verdict = Verdict(context.answers)
    verdict.settle(survey, mapping, context.currency)
    questions = tuple(verdict.questions)
    rows = None if questions else _Rows(table, mapping, context, verdict.values, verdict.signs, survey.repeated)
    return Checked((), questions, tuple(verdict.decisions), rows)


# ---------------------------------------------------------------- second pass: row by row
_REMEDIES = {
    "date": "Correct the date in the CRM, or choose another column for it.",
    "number": "Correct it in the CRM, or choose another column for it.",
    "currency": "Write the currency as its three letters, such as USD.",
    "id": "Export again and upload the file as it comes, without opening it in a spreadsheet.",
    "missing": "Fill it in in the CRM and export again.",
    "unknown_owner": "Choose whose deals these are, or add the person; the choice is remembered.",
    "unknown_stage": "Choose the stage that it means; the choice is remembered.",
}


_UNUSUAL = -1  # a probability that the careful way has to look at
# Amounts as most files have them, read with a decimal point or comma; all others go the careful way.
_PLAIN_MONEY = {
    DOT: re.compile(r"(\$)?(\d{1,3}(?:,\d{3}){1,4}|\d{1,15})(?:\.(\d{1,2}))?", re.ASCII),
    COMMA: re.compile(r"(\$)?(\d{1,3}(?:\.\d{3}){1,4}|\d{1,15})(?:,(\d{1,2}))?", re.ASCII),
}

_MONTHS = re.compile(r"\s*(months?|mos?\.?|monate?|mois|meses)$", re.IGNORECASE)


class _WrongCurrency(UnreadableValue):
    """Money that is written in another currency than its row."""


class _Rows:
    """The rows of one file, read by what was decided for it."""

    def __init__(
        self,
        table: Table,
        mapping: Mapping[str, str],
        context: Context,
        decided: Mapping[str, str],
        signs: Mapping[str, str],
        repeated: frozenset[int],
    ) -> None:
        self.table = table
        self.mapping = mapping
        self.currency = context.currency
        self.today = context.today
        self.style = decided["decimal_style"]
        self.percent = decided.get("probability") == "percent"
        self.signs = signs
        self.repeated = repeated
        self.at = {name: table.headers.index(header) for name, header in mapping.items()}
        taken = set(self.at.values())
        self.extra = [(at, header) for at, header in enumerate(table.headers) if at not in taken]
        self.id_of = id_reader(self.at, context)
        self.owner_of = owner_finder(context)
        self.stage_of = stage_finder(context)
        self.order = order = decided["date_order"]

        @lru_cache(CACHED)
        def date_of(cell: str) -> date | str | None:
            text = one_line(cell)
            if is_blank(text):
                return None
            try:
                return parse_date(text, order)
            except UnreadableValue as error:
                return str(error)

        self.date_of = date_of
        self.probability_of = lru_cache(CACHED)(self._probability)
        self.line_of = lru_cache(CACHED)(one_line)
        self.extra_of = lru_cache(CACHED)(self._plain_extra)
        self.simple = self._simple_reader()

    def items(self) -> Iterator[Item]:
        width = len(self.table.headers)
        doubles = self._doubles() if self.repeated else {}
        for row in self.table.rows():
            cells = row.cells
            if len(cells) != width:
                wrong = self._misshapen(row, width)
                if wrong:
                    yield Refusal(row.line, cells, (wrong,))
                    continue
                cells = cells[:width] + ("",) * (width - len(cells))
            external_id = self.id_of(cells)
            lines = doubles.get(external_id)
            if lines is not None and external_id:
                first = lines.first
                if lines.differ:
                    yield Refusal(row.line, row.cells, (self._doubled(external_id, lines),))
                    continue
                if row.line != first:
                    yield Repeat(row.line, first)
                    continue
            yield self.simple(row.line, cells, external_id) or self._deal(row, cells, external_id)

    def _simple_reader(self) -> Callable[[int, tuple[str, ...], str], DealRow | None]:
        """A quick reader of rows in which everything is as it mostly is; None for any other, which `_deal` reads.

        It says the same as `_deal`, in a third of the time: no note, no reason, a plain amount above 0.
        """
        at = self.at
        owner_at, stage_at, amount_at, close_at = (at[name] for name in ("owner", "stage", "amount", "close_date"))
        others = [at.get(name) for name in ("name", "account", "type", "product", "segment")]
        name_at, account_at, type_at, product_at, segment_at = others
        created_at, currency_at, probability_at = (at.get(name) for name in ("created_date", "currency", "probability"))
        rest = [(name, at[name]) for name in ("margin", "quantity", "term_months") if name in at]
        extra_at = [index for index, _ in self.extra]
        derived = "external_id" not in at
        owner_of, stage_of, date_of, line_of = self.owner_of, self.stage_of, self.date_of, self.line_of
        plain = _PLAIN_MONEY[self.style].fullmatch
        group = "," if self.style == DOT else "."
        dollars = self.signs.get("$") or SIGNS["$"][0]

        def read(line: int, cells: tuple[str, ...], external_id: str) -> DealRow | None:
            owner, stage, close = owner_of(cells[owner_at]), stage_of(cells[stage_at]), date_of(cells[close_at])
            amount = plain(cells[amount_at])
            if isinstance(owner, str) or isinstance(stage, str) or not isinstance(close, date) or amount is None:
                return None
            if close > self.today or not external_id or "+" in external_id or any(cells[index] for _, index in rest):
                return None
            sign, whole, decimals = amount.groups()
            stated = line_of(cells[currency_at]) if currency_at is not None else ""
            if stated:
                currency = stated
                if currency not in ISO_4217 or (sign and currency not in SIGNS["$"]):
                    return None
            else:
                currency = dollars if sign else self.currency
            created = date_of(cells[created_at]) if created_at is not None else None
            if isinstance(created, str) or currency_digits(currency) != 2:
                return None
            probability = None
            if probability_at is not None:
                probability = self._simple_probability(cells[probability_at])
                if probability == _UNUSUAL:
                    return None
            name = one_line(cells[name_at]) if name_at is not None else ""
            account = line_of(cells[account_at]) if account_at is not None else ""
            kind = line_of(cells[type_at]) if type_at is not None else ""
            product = line_of(cells[product_at]) if product_at is not None else ""
            segment = line_of(cells[segment_at]) if segment_at is not None else ""
            extra = self.extra_of(tuple([cells[index] for index in extra_at]))
            if len(external_id) > 200 or max(len(name), len(account)) > 1000 or (derived and not name):
                return None
            if max(len(kind), len(product), len(segment)) > 200 or extra is None:
                return None
            return DealRow(
                line, external_id, derived, name or account or external_id, account, owner, stage.id,
                int(whole.replace(group, "")) * 100 + int((decimals or "0").ljust(2, "0")), currency, close, created,
                kind, product, segment, probability, None, None, None, extra, (),
            )  # fmt: skip

        return read

    def _simple_probability(self, cell: str) -> int | None:
        text = clean(cell)
        if is_blank(text):
            return None
        try:
            return self.probability_of(text)
        except QuotaPathError:
            return _UNUSUAL

    def _plain_extra(self, cells: tuple[str, ...]) -> dict[str, str] | None:
        """`_extra` of these cells; None when one is too long."""
        wrong: list[Reason] = []
        found = self._extra_of(cells, wrong)
        return None if wrong else found

    def _doubles(self) -> dict[str, "_Lines"]:
        """The lines of every id that comes more than once, and whether their rows differ."""
        found: dict[str, _Lines] = {}
        width = len(self.table.headers)
        own = self.at.get("external_id")
        for row in self.table.rows():
            cells = row.cells[:width] + ("",) * (width - len(row.cells))
            key = self.id_of(cells)
            if hash(key) not in self.repeated:
                continue
            content = tuple(map(one_line, cells))
            if own is not None:  # the same id in 15 and in 18 characters is no difference
                content = content[:own] + content[own + 1 :]
            lines = found.get(key)
            if lines is None:
                found[key] = _Lines(row.line, content)
            else:
                lines.add(row.line, content)
        return {key: lines for key, lines in found.items() if len(lines.shown) > 1}

    def _doubled(self, external_id: str, lines: "_Lines") -> Reason:
        shown = ", ".join(map(str, lines.shown)) + (" and more" if lines.more else "")
        if "external_id" in self.mapping:
            return self._reason(
                "duplicate",
                "external_id",
                external_id,
                f"The id stands on lines {shown} with different values, so it is not clear which is right.",
                "Export one row for each deal, without its products or splits.",
            )
        return self._reason(
            "duplicate",
            "name",
            "",
            f"Lines {shown} have the same account, name and owner, and the file has no ids to tell them apart.",
            "Add the deal's id to the export.",
        )

    def _misshapen(self, row: Row, width: int) -> Reason | None:
        count = len(row.cells)
        if count > width and any(map(clean, row.cells[width:])):
            return Reason(
                "shape",
                "",
                "",
                " | ".join(row.cells[width:])[:100],
                f"The row has {count} cells, but there are {width} columns.",
                "A separator stands inside a text without quotation marks: export again, or add them.",
            )
        if row.line == self.table.cut_line:
            return Reason(
                "shape",
                "",
                "",
                row.cells[-1][:100],
                f"The file breaks off here: the last row has {count} of {width} cells.",
                "Download the export again.",
            )
        return None

    def _reason(self, kind: str, name: str, value: str, reason: str, remedy: str = "") -> Reason:
        return Reason(kind, name, self.mapping.get(name, ""), value[:200], reason, remedy or _REMEDIES[kind])

    def _deal(self, row: Row, cells: tuple[str, ...], external_id: str) -> DealRow | Refusal:
        at = self.at
        wrong: list[Reason] = []
        notes: list[Note] = []
        texts = {name: self._text(name, cells, wrong) for name in _LONGEST if name in at}
        self._check_id(external_id, cells, wrong)

        owner = self.owner_of(cells[at["owner"]])
        if isinstance(owner, str):
            wrong.append(self._reason("unknown_owner", "owner", one_line(cells[at["owner"]]), owner))
        stage = self.stage_of(cells[at["stage"]])
        if isinstance(stage, str):
            wrong.append(self._reason("unknown_stage", "stage", one_line(cells[at["stage"]]), stage))
        close_date = self._date("close_date", cells, wrong)
        if close_date is None and not any(reason.field == "close_date" for reason in wrong):
            wrong.append(
                self._reason("missing", "close_date", "", "The close date is empty; it says which period pays.")
            )

        currency = self._currency(cells, wrong)
        amount = margin = None
        if currency:
            amount = self._read("amount", cells, wrong, lambda text: self._money(text, currency, notes))
            margin = self._read("margin", cells, wrong, lambda text: self._money(text, currency, notes))
        if is_blank(clean(cells[at["amount"]])):
            if isinstance(stage, Stage) and stage.outcome == "won":
                wrong.append(self._reason("missing", "amount", "", "A won deal has no amount."))
            else:
                notes.append(Note("no_amount", "has no amount yet"))
        elif amount is not None and amount < 0:
            notes.append(Note("refund", f"{clean(cells[at['amount']])} is negative: taken as a refund or credit memo"))

        if close_date and close_date > self.today and isinstance(stage, Stage) and stage.outcome == "won":
            notes.append(Note("future_win", f"is won, but closes only on {close_date}"))

        probability = self._read("probability", cells, wrong, self.probability_of)
        quantity = self._read("quantity", cells, wrong, lambda text: self._number(text, notes))
        term = self._read("term_months", cells, wrong, self._term)
        created = self._date("created_date", cells, wrong)
        extra = self._extra(cells, wrong)

        if wrong or isinstance(owner, str) or isinstance(stage, str) or close_date is None:
            return Refusal(row.line, row.cells, tuple(wrong), close_date)
        account = texts.get("account", "")
        return DealRow(
            line=row.line,
            external_id=external_id,
            id_derived="external_id" not in at,
            name=texts.get("name") or account or external_id,
            account=account,
            owner_id=owner,
            stage_id=stage.id,
            amount_minor=amount,
            currency=currency,
            close_date=close_date,
            created_date=created,
            type=texts.get("type", ""),
            product=texts.get("product", ""),
            segment=texts.get("segment", ""),
            probability_ppm=probability,
            margin_minor=margin,
            quantity_micro=quantity,
            term_months=term,
            extra=extra,
            notes=tuple(notes),
        )

    def _text(self, name: str, cells: tuple[str, ...], wrong: list[Reason]) -> str:
        text = one_line(cells[self.at[name]])
        if len(text) > _LONGEST[name]:
            wrong.append(
                self._reason(
                    "text",
                    name,
                    text,
                    f"The text has {len(text):,} characters; the longest is {_LONGEST[name]:,}.",
                    "Shorten it in the CRM, or choose another column.",
                )
            )
        return text

    def _check_id(self, external_id: str, cells: tuple[str, ...], wrong: list[Reason]) -> None:
        if "external_id" in self.at:
            if not external_id:
                wrong.append(self._reason("missing", "external_id", "", "The deal's id is empty."))
            else:
                try:
                    deal_id(external_id)
                except UnreadableValue as error:
                    wrong.append(self._reason("id", "external_id", external_id, str(error)))
        elif not one_line(cells[self.at["name"]]):
            wrong.append(self._reason("missing", "name", "", "The row has neither an id nor a name."))

    def _date(self, name: str, cells: tuple[str, ...], wrong: list[Reason]) -> date | None:
        if name not in self.at:
            return None
        found = self.date_of(cells[self.at[name]])
        if isinstance(found, str):
            wrong.append(self._reason("date", name, one_line(cells[self.at[name]]), found))
            return None
        return found

    def _currency(self, cells: tuple[str, ...], wrong: list[Reason]) -> str:
        """The currency of the row: its column's, else the one beside the amount, else the company's; "" if wrong."""
        stated = one_line(cells[self.at["currency"]]) if "currency" in self.at else ""
        if not stated:
            return self._beside_amount(cells)
        code = stated[:3].upper()  # "USD - U.S. Dollar" is how Salesforce labels it
        if code in ISO_4217 and not stated[3:4].isalnum():
            return code
        meant = SIGNS.get(stated.lower(), ())
        if len(meant) == 1 or self.currency in meant:
            return self.currency if self.currency in meant else meant[0]
        wrong.append(self._reason("currency", "currency", stated, f'"{stated[:60]}" is not one currency.'))
        return ""

    def _beside_amount(self, cells: tuple[str, ...]) -> str:
        try:
            sign = read_figure(clean(cells[self.at["amount"]])).sign
        except UnreadableValue:
            return self.currency  # the amount is refused on its own
        if sign.upper() in ISO_4217:
            return sign.upper()
        meant = SIGNS.get(sign, ())
        return self.signs.get(sign) or (meant[0] if meant else self.currency)

    def _read(self, name: str, cells: tuple[str, ...], wrong: list[Reason], parse: Callable[[str], int]) -> int | None:
        """What ``parse`` makes of the field's cell; nothing for a blank one, or with a reason added to ``wrong``."""
        if name not in self.at:
            return None
        text = clean(cells[self.at[name]])
        if is_blank(text):
            return None
        try:
            return parse(text)
        except QuotaPathError as error:
            kind = "currency" if isinstance(error, _WrongCurrency) else "number"
            # The general advice says where it is to be rounded.
            reason = str(error).removesuffix(" Round it where it comes from.")
            wrong.append(self._reason(kind, name, text, reason))
            return None

    def _money(self, text: str, currency: str, notes: list[Note]) -> int:
        figure = read_figure(text)
        sign = figure.sign
        if sign and sign.upper() != currency and currency not in SIGNS.get(sign, ()):
            known = sign in SIGNS or sign.upper() in ISO_4217
            what = f"is not {currency}, the currency of the row" if known else "is no currency"
            raise _WrongCurrency(f'The "{sign}" in {text[:60]} {what}.')
        return parse_money(self._plain(figure, text, notes), currency)

    def _number(self, text: str, notes: list[Note]) -> int:
        figure = read_figure(text)
        if figure.sign:
            raise UnreadableValue(f'"{text[:60]}" is money, not a plain number.')
        return parse_number(self._plain(figure, text, notes))

    def _plain(self, figure: Figure, text: str, notes: list[Note]) -> str:
        plain = figure.plain(self.style)
        if figure.zeros:
            notes.append(Note("short_form", f"{text} is read as {plain}"))
        return plain

    def _probability(self, text: str) -> int:
        number = self._number(text.removesuffix("%").rstrip(), [])
        ppm = number // 100 if self.percent else number
        if not 0 <= ppm <= PPM:
            raise UnreadableValue(f"{text[:60]} is not between 0% and 100%.")
        return ppm

    def _term(self, text: str) -> int:
        micro = self._number(_MONTHS.sub("", one_line(text)), [])
        if micro % PPM or not 0 <= micro <= 1200 * PPM:
            raise UnreadableValue(f"{text[:60]} is not a whole number of months from 0 to 1200.")
        return micro // PPM

    def _extra(self, cells: tuple[str, ...], wrong: list[Reason]) -> dict[str, str]:
        return self._extra_of(tuple(cells[index] for index, _ in self.extra), wrong)

    def _extra_of(self, cells: tuple[str, ...], wrong: list[Reason]) -> dict[str, str]:
        extra = {}
        for (_, header), cell in zip(self.extra, cells, strict=True):
            text = clean(cell)
            if len(text) > _LONGEST_EXTRA:
                reason = f"The text has {len(text):,} characters; the longest is {_LONGEST_EXTRA:,}."
                wrong.append(
                    Reason("text", "", header, text[:200], reason, "Shorten it, or leave the column out of the export.")
                )
            elif text:
                extra[header] = text
        return extra


class _Lines:
    """Where an id stands, and whether its rows differ."""

    __slots__ = ("content", "differ", "first", "more", "shown")

    def __init__(self, line: int, content: Iterable[str]) -> None:
        self.first = line
        self.content = content
        self.differ = False
        self.more = False
        self.shown = [line]

    def add(self, line: int, content: Iterable[str]) -> None:
        self.differ = self.differ or content != self.content
        if len(self.shown) < 10:
            self.shown.append(line)
        else:
            self.more = True

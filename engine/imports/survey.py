"""What holds for a whole file: the order of day and month, the decimal mark, what a sign stands for.

The file is read once for evidence.  What the evidence settles is a `Decision`, shown to the user; what it
leaves open is a `Question`, which only the user can answer.  Nothing is guessed.
"""

from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise

from engine.errors import QuotaPathError
from engine.imports.known import Context, owner_finder
from engine.imports.reading import Table
from engine.imports.values import (
    AMBIGUOUS,
    CACHED,
    COMMA,
    DAY_FIRST,
    DOT,
    MONTH_FIRST,
    PLAIN,
    SIGNS,
    Figure,
    UnreadableValue,
    clean,
    date_order,
    deal_id,
    is_blank,
    one_line,
    read_figure,
)
from engine.money import PPM, parse_number

_DATES = ("close_date", "created_date")
_NUMBERS = ("amount", "margin", "quantity", "probability", "term_months")
_EXAMPLES = 3
TOLD = 5000  # rows after which it is told how far the reading is

Tell = Callable[[int], None]


@dataclass(frozen=True)
class Question:
    """Something about the whole file that only the user can say; ``options`` are (value, label)."""

    key: str  # "date_order", "decimal_style", "currency:$"
    text: str
    options: tuple[tuple[str, str], ...]
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Decision:
    """Something about the whole file that was decided, with the reason, for the user to see."""

    key: str
    value: str
    text: str


@dataclass
class _Evidence:
    """What the values of a file say about one matter: the first examples of each."""

    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, what: str, text: str) -> None:
        shown = self.examples.setdefault(what, [])
        if len(shown) < _EXAMPLES and text not in shown:
            shown.append(text)


@dataclass
class Survey:
    dates: _Evidence = field(default_factory=_Evidence)
    numbers: _Evidence = field(default_factory=_Evidence)
    signs: _Evidence = field(default_factory=_Evidence)  # signs with several currencies, where no column says
    highest_probability: int = 0  # millionths
    percent_seen: bool = False
    repeated: frozenset[int] = frozenset()  # the hashes of ids that come more than once


def survey_file(table: Table, mapping: Mapping[str, str], context: Context, tell: Tell = lambda _rows: None) -> Survey:
    """One pass over the file, for evidence and for ids that come twice; `tell` hears of the rows read."""
    survey = Survey()
    ids = array("q")  # 8 bytes a row, however long the ids; what has an equal hash is compared in full later
    at = {name: table.headers.index(header) for name, header in mapping.items()}
    width = len(table.headers)
    dates = [at[name] for name in _DATES if name in at]
    numbers = [(name, at[name]) for name in _NUMBERS if name in at]
    key_of = id_reader(at, context)
    orders = lru_cache(CACHED)(lambda text: date_order(one_line(text)))
    for count, row in enumerate(table.rows()):
        if count % TOLD == 0:
            tell(count)
        cells = row.cells if len(row.cells) >= width else row.cells + ("",) * (width - len(row.cells))
        ids.append(hash(key_of(cells)))
        for index in dates:
            order = orders(cells[index])
            if order != PLAIN:
                survey.dates.add(order, clean(cells[index]))
        for name, index in numbers:
            text = cells[index]
            if text.isdecimal() and name != "probability":
                continue
            _survey_number(survey, name, clean(text), cells[at["currency"]] if "currency" in at else "")
    ordered = sorted(ids)
    survey.repeated = frozenset(one for one, other in pairwise(ordered) if one == other)
    return survey


def _survey_number(survey: Survey, name: str, text: str, currency: str) -> None:
    if is_blank(text):
        return
    if name == "probability":
        survey.percent_seen |= text.endswith("%")
        text = text.removesuffix("%").rstrip()
    style, sign = _style_and_sign(text.translate(_NINES))
    if style != PLAIN:
        survey.numbers.add(style, text)
    if name == "probability" and style != AMBIGUOUS:
        survey.highest_probability = max(survey.highest_probability, _millionths(text, style))
    if name == "amount" and len(SIGNS.get(sign, ())) > 1 and not currency.strip():
        survey.signs.add(sign, text)


_NINES = str.maketrans("12345678", "99999999")  # only a zero differs from other figures, at the front


@lru_cache(CACHED)
def _style_and_sign(shape: str) -> tuple[str, str]:
    """`Figure.style` and ``sign`` of every number of one shape; plain for what is no number."""
    try:
        figure = Figure(shape)
    except UnreadableValue:
        return PLAIN, ""  # refused with its row later
    return figure.style(), figure.sign


@lru_cache(CACHED)
def _millionths(text: str, style: str) -> int:
    try:
        return parse_number(read_figure(text).plain(COMMA if style == COMMA else DOT))
    except QuotaPathError:
        return 0  # refused with its row later


def id_reader(at: Mapping[str, int], context: Context) -> Callable[[tuple[str, ...]], str]:
    """A function from cells to the deal's id: the file's own, or one made of account, name and owner."""
    if "external_id" in at:
        index = at["external_id"]

        def own(cells: tuple[str, ...]) -> str:
            text = one_line(cells[index])
            try:
                return deal_id(text)
            except UnreadableValue:
                return text

        return own

    owner_of = owner_finder(context)

    def derived(cells: tuple[str, ...]) -> str:
        owner = owner_of(cells[at["owner"]])
        account = one_line(cells[at["account"]]) if "account" in at else ""
        parts = (account.casefold(), one_line(cells[at["name"]]).casefold(), str(owner))
        return "auto-" + blake2b("\x1f".join(parts).encode("utf-8", "replace"), digest_size=12).hexdigest()

    return derived


class Verdict:
    """What holds for the whole file: decided by the evidence, answered by the user, or still a question."""

    def __init__(self, answers: Mapping[str, str]) -> None:
        self.answers = answers
        self.values: dict[str, str] = {}
        self.signs: dict[str, str] = {}  # currency sign -> currency
        self.questions: list[Question] = []
        self.decisions: list[Decision] = []

    def settle(self, survey: Survey, mapping: Mapping[str, str], default_currency: str) -> None:
        """Decides each matter, or asks."""
        self._settle(
            "date_order",
            "the dates",
            survey.dates,
            (
                (DAY_FIRST, "Day first: 03/04/2026 is 3 April"),
                (MONTH_FIRST, "Month first: 03/04/2026 is 4 March"),
            ),
            "In which order are day and month written?",
        )
        self._settle(
            "decimal_style",
            "the numbers",
            survey.numbers,
            ((DOT, "1,234.56: a decimal point"), (COMMA, "1.234,56: a decimal comma")),
            "How are decimals written?",
        )
        self._settle_signs(survey, default_currency)
        if "probability" in mapping:
            self._settle_probability(survey, mapping["probability"])
        if "external_id" not in mapping:
            self._decide(
                "external_id",
                "derived",
                "The file has no column with the deal's id, so a deal is known again by its account, name and owner: "
                "one that is renamed or handed over would come in a second time.",
            )

    def _settle(
        self, key: str, what: str, evidence: _Evidence, labels: tuple[tuple[str, str], ...], question: str
    ) -> None:
        (one, one_label), (other, other_label) = labels
        answer = self.answers.get(key, "")
        seen = [value for value in (one, other) if value in evidence.examples]
        if answer in (one, other):
            label = one_label if answer == one else other_label
            self._decide(key, answer, f"{label}, as you said.")
        elif len(seen) == 1:
            label = one_label if seen[0] == one else other_label
            example = evidence.examples[seen[0]][0]
            self._decide(key, seen[0], f"{label}; {what} of this file can only be read so ({example}).")
        elif not seen and AMBIGUOUS not in evidence.examples:
            self.values[key] = one  # it makes no difference in this file
        else:
            examples = [evidence.examples[value][0] for value in seen] or evidence.examples[AMBIGUOUS]
            if seen:
                text = f"The file mixes both ways. {question} Rows written the other way will be refused."
            else:
                text = f"Nothing in the file tells. {question}"
            self.questions.append(Question(key, text, labels, tuple(examples)))

    def _settle_signs(self, survey: Survey, default: str) -> None:
        for sign, examples in survey.signs.examples.items():
            key = f"currency:{sign}"
            options = SIGNS[sign]
            answer = self.answers.get(key, "")
            if answer in options:
                chosen, why = answer, "as you said"
            elif default in options:
                chosen, why = default, "the company's currency"
            else:
                labels = tuple((code, code) for code in options)
                self.questions.append(Question(key, f"Which currency does {sign} stand for?", labels, tuple(examples)))
                continue
            self.signs[sign] = chosen
            self._decide(key, chosen, f"{sign} stands for {chosen}, {why}.")

    def _settle_probability(self, survey: Survey, column: str) -> None:
        if survey.percent_seen or "%" in column or survey.highest_probability > PPM:
            self._decide("probability", "percent", "Probabilities are percentages: 75 is 75%.")
        else:
            self._decide("probability", "ratio", "Probabilities are parts of one: 0.75 is 75%.")

    def _decide(self, key: str, value: str, text: str) -> None:
        self.values[key] = value
        self.decisions.append(Decision(key, value, text))

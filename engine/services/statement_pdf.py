"""A statement as PDF: real text, embedded fonts, the same bytes for the same content."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, LongTable, Paragraph, SimpleDocTemplate, Spacer, Table

from engine.services.statement_content import KINDS
from engine.services.statement_words import (
    balance_rows,
    money,
    period_title,
    schedule_rows,
    scheduled,
    status,
    totals,
)

_FONTS = Path(__file__).resolve().parents[2] / "data" / "fonts"
_FILES = {
    "Text": "DejaVuSansCondensed.ttf",
    "Text-Bold": "DejaVuSansCondensed-Bold.ttf",
    "Wide": "DroidSansFallback.ttf",  # Chinese, Japanese, Korean
}
_INK, _GREY, _RULE, _ACCENT, _WASH = (
    colors.HexColor(code) for code in ("#1b2430", "#5d6876", "#d5dae1", "#0f766e", "#f3f6fa")
)
_WARNING = colors.HexColor("#a35200")
_MARGIN = 16 * mm
_PROVISIONAL = {
    False: "PROVISIONAL: the period is open, figures may change",
    True: "AMOUNTS LOCKED: what is payable now is decided when the payout is approved",
}
_AT_ONCE = 150  # lines in one table
_FRAME = 6  # points that the library leaves around a page's text
_WIDTH = A4[0] - 2 * _MARGIN
_lock = threading.Lock()  # the library's fonts are shared by every document of the process


def _style(name: str, size: float, **more: Any) -> ParagraphStyle:
    return ParagraphStyle(
        name, **{"fontName": "Text", "fontSize": size, "leading": size * 1.32, "textColor": _INK, **more}
    )


_BODY = _style("body", 8.5)
_SMALL = _style("small", 6.8, textColor=_GREY)
_RIGHT = _style("right", 8.5, alignment=TA_RIGHT)
_BOLD_RIGHT = _style("bold-right", 8.5, alignment=TA_RIGHT, fontName="Text-Bold")
_BOLD = _style("bold", 8.5, fontName="Text-Bold")
_HEAD = _style("head", 7.2, textColor=_GREY)
_HEAD_RIGHT = _style("head-right", 7.2, textColor=_GREY, alignment=TA_RIGHT)
_TITLE = _style("title", 19, fontName="Text-Bold")
_SECTION = _style(
    "section", 11, fontName="Text-Bold", spaceBefore=5 * mm, spaceAfter=1.6 * mm, leftIndent=3, keepWithNext=1
)
_SAID = _style("said", 8.5, leftIndent=3)
_FIGURE = _style("figure", 12, fontName="Text-Bold")


@cache
def _font(name: str) -> TTFont:
    """The font, known to the library; a big one is read only when a text needs it."""
    font = TTFont(name, _FONTS / _FILES[name])
    pdfmetrics.registerFont(font)
    return font


def _marked(text: str) -> str:
    """Text for a paragraph: nothing in it is markup, and what the font lacks is set in the one that has more."""
    known = _font("Text").face.charToGlyph
    if all(ord(char) in known for char in text):
        return escape(text)
    wide = _font("Wide").face.charToGlyph
    parts = groupby(text, lambda char: ord(char) not in known and ord(char) in wide)
    return "".join(
        f'<font name="Wide">{escape("".join(run))}</font>' if other else escape("".join(run)) for other, run in parts
    )


def _p(text: str, style: ParagraphStyle = _BODY) -> Paragraph:
    return Paragraph(_marked(text), style)


def to_pdf(content: Mapping[str, Any], code: str) -> bytes:
    """The statement as a PDF of A4 pages; `code` is the verification code at the foot of each."""
    with _lock:
        _font("Text"), _font("Text-Bold")
        out = BytesIO()
        foot = f"{content['person']['name']} · {period_title(content['period'])} · {content['company']}"
        mark = f"Verification code {code}" if content["final"] else _PROVISIONAL[bool(content.get("locked"))]

        class Numbered(_Pages):
            footer = (foot, mark)

        document = SimpleDocTemplate(
            out,
            pagesize=A4,
            leftMargin=_MARGIN - _FRAME,
            rightMargin=_MARGIN - _FRAME,
            topMargin=14 * mm,
            bottomMargin=20 * mm,
            title=f"Statement {content['period']} {content['person']['name']}",
            author=content["company"],
            invariant=1,  # no clock and no random id in the file
        )
        document.build(list(_story(content, code)), canvasmaker=Numbered)
        return out.getvalue()


class _Pages(Canvas):  # type: ignore[misc]
    """Pages with a footer that knows how many there are."""

    footer = ("", "")

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **{**more, "initialFontName": "Text"})
        self._states: list[dict[str, Any]] = []

    def showPage(self) -> None:  # noqa: N802 - the library's name
        """Keep the page for later: its footer needs the number of the last."""
        self._states.append(dict(self.__dict__))
        self._startPage()

    def save(self) -> None:
        """Write every page with its footer."""
        for number, state in enumerate(self._states, 1):
            self.__dict__.update(state)
            self.setStrokeColor(_RULE)
            self.line(_MARGIN, 15 * mm, A4[0] - _MARGIN, 15 * mm)
            for height, text, style in ((10.2, self.footer[0], _SMALL), (6.8, self.footer[1], _SMALL)):
                paragraph = _p(text, style)
                paragraph.wrapOn(self, _WIDTH - 25 * mm, 5 * mm)
                paragraph.drawOn(self, _MARGIN, height * mm)
            self.setFont("Text", 6.8)
            self.setFillColor(_GREY)
            self.drawRightString(A4[0] - _MARGIN, 10.8 * mm, f"Page {number} of {len(self._states)}")
            super().showPage()
        super().save()


def _story(content: Mapping[str, Any], code: str) -> Iterator[Flowable]:
    yield from _top(content)
    yield _p("How the balance moves", _SECTION)
    yield _balance(content)
    yield from _payable_later(content)
    if content["attainment"]:
        yield _p("Attainment", _SECTION)
        yield _table(
            ("Component", "Quota period", "Credit", "Quota", "Attainment"),
            [
                (row["label"], row["quota_period"], row["credit"], row["quota"], row["attainment"])
                for row in content["attainment"]
            ],
            (62, 28, 32, 32, 24),
            right=2,
        )
    yield from _changes(content)
    yield _p("Lines", _SECTION)
    if content["lines"]:
        yield from _lines(content)
    else:
        yield _p("No deal credited this person in the period.", _SAID)
    yield from _origin(content, code)


def _top(content: Mapping[str, Any]) -> Iterator[Flowable]:
    person = content["person"]
    team = f" · {person['team']}" if person["team"] else ""
    badge = _style(
        "badge", 8.5, alignment=TA_RIGHT, fontName="Text-Bold", textColor=_ACCENT if content["final"] else _WARNING
    )
    yield Table(
        [
            [_p(content["company"], _style("company", 9, textColor=_GREY)), _p(status(content), badge)],
            [_p(person["name"], _TITLE), _p(period_title(content["period"]), _style("when", 13, alignment=TA_RIGHT))],
            [
                _p(f"Commission statement · {person['code']}{team}", _SMALL),
                _p(
                    f"{content['first_day']} to {content['last_day']}",
                    _style("days", 6.8, textColor=_GREY, alignment=TA_RIGHT),
                ),
            ],
        ],
        colWidths=[_WIDTH * 0.62, _WIDTH * 0.38],
        style=[
            ("VALIGN", (0, 0), (-1, -1), "BOTTOM"),
            ("LEFTPADDING", (0, 0), (0, -1), 0),
            ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
            ("TOPPADDING", (0, 0), (-1, -1), 1),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
            ("LINEBELOW", (0, -1), (-1, -1), 1.2, _ACCENT),
        ],
    )
    yield Spacer(0, 4 * mm)
    cards = totals(content)
    yield Table(
        [[_p(label, _HEAD) for label, _ in cards], [_p(money(cents, content), _FIGURE) for _, cents in cards]],
        colWidths=[_WIDTH / len(cards)] * len(cards),
        style=[
            ("BACKGROUND", (0, 0), (-1, -1), _WASH),
            ("LINEBEFORE", (1, 0), (-1, -1), 3, colors.white),
            ("LEFTPADDING", (0, 0), (-1, -1), 9),
            ("TOPPADDING", (0, 0), (-1, 0), 6),
            ("BOTTOMPADDING", (0, 1), (-1, 1), 8),
        ],
    )


def _balance(content: Mapping[str, Any]) -> Table:
    rows, strong = [], []
    for place, (label, cents, is_sum) in enumerate(balance_rows(content)):
        rows.append(
            [_p(label, _BOLD if is_sum else _BODY), _p(money(cents, content), _BOLD_RIGHT if is_sum else _RIGHT)]
        )
        if is_sum:
            strong.append(("LINEABOVE", (0, place), (-1, place), 0.6, _INK))
    return Table(
        rows,
        colWidths=[_WIDTH - 45 * mm, 45 * mm],
        style=[*_LOOK, ("LINEBELOW", (0, 0), (-1, -1), 0.4, _RULE), *strong],
    )


_LOOK: list[tuple[Any, ...]] = [
    ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ("TOPPADDING", (0, 0), (-1, -1), 2.4),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 2.8),
    ("LEFTPADDING", (0, 0), (-1, -1), 3),
    ("RIGHTPADDING", (0, 0), (-1, -1), 3),
]


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[float], right: int) -> Table:
    """A plain table; the columns from `right` on are set to the right, `widths` are millimetres."""
    share = _WIDTH / (sum(widths) * mm)
    return Table(
        [
            [_p(text, _HEAD if place < right else _HEAD_RIGHT) for place, text in enumerate(headers)],
            *([_p(text, _BODY if place < right else _RIGHT) for place, text in enumerate(row)] for row in rows),
        ],
        colWidths=[width * mm * share for width in widths],
        repeatRows=1,
        style=[*_LOOK, ("LINEBELOW", (0, 0), (-1, 0), 0.6, _GREY), ("LINEBELOW", (0, 1), (-1, -1), 0.4, _RULE)],
    )


_SCHEDULED = 40  # rows that a statement lists; more are summed by month


def _payable_later(content: Mapping[str, Any]) -> Iterator[Flowable]:
    """When the money that is not due yet will be: by month, and deal by deal."""
    rows = schedule_rows(content)
    if not rows:
        return
    yield _p("Payable later", _SECTION)
    sums = scheduled((row["due"], row["waits_for"], row["amount"]) for row in content["schedule"])
    yield _p("; ".join(f"{label}: {money(cents, content)}" for label, cents in sums) + ".", _SAID)
    if len(rows) <= _SCHEDULED:
        yield Spacer(0, 1.5 * mm)
        yield _table(
            ("When", "Deal", "Component", "Earned in", "Amount"),
            [(*row[:4], money(row[4], content)) for row in rows],
            (38, 62, 38, 20, 30),
            right=4,
        )
    else:
        yield _p(f"The {len(rows):,} deals and days are listed in the CSV and the workbook.", _SMALL)


def _changes(content: Mapping[str, Any]) -> Iterator[Flowable]:
    before, changes = content["before"], content["changes"]
    if before is None and not changes:
        return
    yield _p(f"Since the statement of {period_title(before['period'])}" if before else "What changed", _SECTION)
    if before:
        yield _p(f"Earned then: {money(before['earned'], content)}.", _SAID)
    if not changes:
        yield _p("Nothing in earlier periods has changed, and the plan and quotas are as they were.", _SAID)
        return
    rows = []
    for change in changes:
        amount = "" if change["amount"] is None else money(change["amount"], change)
        told = [_p(change["what"]), *(_p(f"Why: {cause}", _SMALL) for cause in change["why"])]
        rows.append([told, _p(amount, _RIGHT)])
    yield Table(
        rows,
        colWidths=[_WIDTH - 36 * mm, 36 * mm],
        splitInRow=1,
        style=[*_LOOK, ("LINEBELOW", (0, 0), (-1, -1), 0.4, _RULE)],
    )


def _lines(content: Mapping[str, Any]) -> Iterator[Flowable]:
    """Every line with its working, kind by kind, each with its sum.

    In tables of `_AT_ONCE` rows: the library takes the square of a table's rows to break it into pages.
    """
    rows: list[tuple[bool, list[Any]]] = []  # whether it heads a kind, and its cells
    for kind, group in groupby(content["lines"], lambda line: line["kind"]):
        found = list(group)
        total = money(sum(line["amount"] for line in found if line["currency"] == content["currency"]), content)
        rows.append((True, [_p(KINDS[kind], _BOLD), None, None, _p(total, _BOLD_RIGHT)]))
        rows += [(False, _line(line)) for line in found]
    widths = [44 * mm, _WIDTH - (44 + 22 + 29) * mm, 22 * mm, 29 * mm]
    for first in range(0, len(rows), _AT_ONCE):
        part = rows[first : first + _AT_ONCE]
        look = [*_LOOK, ("LINEBELOW", (0, 0), (-1, 0), 0.6, _GREY), ("LINEBELOW", (0, 1), (-1, -1), 0.4, _RULE)]
        for place in (place for place, (heads, _) in enumerate(part, 1) if heads):
            look.append(("BACKGROUND", (0, place), (-1, place), _WASH))
            look.append(("SPAN", (0, place), (2, place)))
            look.append(("NOSPLIT", (0, place), (-1, place + 1)))  # a heading stays with its first line
        headers = [
            _p("Deal", _HEAD),
            _p("How it was worked out", _HEAD),
            _p("Credit", _HEAD_RIGHT),
            _p("Pay", _HEAD_RIGHT),
        ]
        yield LongTable([headers, *(cells for _, cells in part)], widths, repeatRows=1, splitInRow=1, style=look)


def _line(line: Mapping[str, Any]) -> list[Any]:
    return [
        [_p(line["deal"]), _together(_about(line))],
        [_p(f"{line['label']}: {line['how']}"), _together(_told(line))],
        _p(line["credit"], _RIGHT),
        _p(money(line["amount"], line), _RIGHT),
    ]


def _together(texts: Sequence[str]) -> Paragraph:
    """Small texts below each other: one paragraph, which is several times faster than one for each."""
    return Paragraph("<br/>".join(map(_marked, texts)), _SMALL)


def _about(line: Mapping[str, Any]) -> list[str]:
    closed = f"closed {line['closed']}" if line["closed"] else ""
    sold = ""
    if line["deal_amount"] is not None:
        sold = money(line["deal_amount"], {"currency": line["deal_currency"]})
    texts = (line["account"], " · ".join(filter(None, (line["deal_id"], closed))), sold)
    return [text for text in texts if text]


def _told(line: Mapping[str, Any]) -> list[str]:
    """The working under the line's rate; a single part stands there already."""
    single = f"{line['how']} = "
    return [text for text in (line["original"], *line["working"][:-1]) if text and not text.startswith(single)]


def _origin(content: Mapping[str, Any], code: str) -> Iterator[Flowable]:
    run, approved = content["run"], content["approved"]
    rows = [
        ("Run", f"{run['id']}, calculated {run['calculated_at']} by engine {run['engine_version']}"),
        ("Inputs", f"SHA-256 {run['inputs_hash']}"),
        ("Lines", f"SHA-256 {run['lines_hash']}"),
        *(
            (f"Plan {plan['title']}", f"version of {plan['version']}, SHA-256 {plan['hash']}")
            for plan in content["plans"]
        ),
    ]
    if approved:
        rows.append(("Approved", f"{approved['at']} by {approved['by']}"))
        rows.append(("Verification code", f"SHA-256 {code}"))
    yield _p("What this was made from", _SECTION)
    yield Table(
        [[_p(label, _SMALL), _p(text, _SMALL)] for label, text in rows],
        colWidths=[46 * mm, _WIDTH - 46 * mm],
        style=[*_LOOK[:1], ("TOPPADDING", (0, 0), (-1, -1), 0.5), ("BOTTOMPADDING", (0, 0), (-1, -1), 1), *_LOOK[3:]],
    )

"""A statement as CSV and XLSX: exact numbers, no formulas, the same bytes for the same content."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from engine import sheets
from engine.money import format_money
from engine.services.statement_content import KINDS
from engine.services.statement_words import balance_rows, earned, schedule_rows, status
from engine.sheets import Sheet, Value

_LINE = (
    "Line", "Kind", "Deal ID", "Deal", "Account", "Closed", "Component", "Earned in", "Credit", "How", "Converted",
    "Amount", "Currency",
)  # fmt: skip
_BEFORE = ("Person", "Name", "Period", "Status")


def to_csv(content: Mapping[str, Any], code: str) -> bytes:
    """One row a line with its working, then the balance row by row, then what is payable later.

    The verification code stands in the last column.
    """
    person = content["person"]
    before = (person["code"], person["name"], content["period"], status(content))
    mark = code if content["final"] else ""
    rows: list[tuple[Value, ...]] = [
        (*before, *cells, "\n".join(filter(None, (line["original"], *line["working"]))), mark)
        for line, cells in zip(content["lines"], _lines(content), strict=True)
    ]
    blank = ("",) * 9
    rows += [
        (
            *before,
            None,
            "Balance",
            *blank[:1],
            label,
            *blank[1:8],
            _exact(cents, content),
            content["currency"],
            "",
            mark,
        )
        for label, cents, _ in balance_rows(content)
    ]
    rows += [
        (
            *before,
            None,
            "Payable later",
            row["deal_id"],
            row["deal"],
            "",
            None,
            row["label"],
            row["earned_in"],
            None,
            when,
            "",
            _exact(row["amount"], content),
            content["currency"],
            "",
            mark,
        )
        for row, (when, *_) in zip(content.get("schedule", ()), schedule_rows(content), strict=True)
    ]
    return sheets.to_csv((*_BEFORE, *_LINE, "Working", "Verification code"), rows)


def to_xlsx(content: Mapping[str, Any], code: str) -> bytes:
    """A workbook: the statement, its lines, their working, what changed."""
    return sheets.to_book(
        [
            Sheet("Statement", ("What", "Value"), list(_summary(content, code))),
            Sheet("Lines", _LINE, list(_lines(content))),
            Sheet(
                "Working",
                ("Line", "Step", "What"),
                [
                    (number, step, text)
                    for number, line in enumerate(content["lines"], 1)
                    for step, text in enumerate(filter(None, (line["original"], *line["working"])), 1)
                ],
            ),
            Sheet(
                "Changes",
                ("What changed", "Why", "Amount", "Currency"),
                [
                    (each["what"], "\n".join(each["why"]), _exact(each["amount"], each), each["currency"])
                    for each in content["changes"]
                ],
            ),
            *_schedule(content),
        ],
        datetime.fromisoformat(content["last_day"]),
    )


def _lines(content: Mapping[str, Any]) -> Iterator[tuple[Value, ...]]:
    for number, line in enumerate(content["lines"], 1):
        yield (
            number,
            KINDS[line["kind"]],
            line["deal_id"],
            line["deal"],
            line["account"],
            date.fromisoformat(line["closed"]) if line["closed"] else None,
            line["label"],
            line["earned_in"],
            Decimal(line["credit"].replace(",", "")) if line["credit"] else None,
            line["how"],
            line["converted"],
            _exact(line["amount"], line),
            line["currency"],
        )


def _schedule(content: Mapping[str, Any]) -> Iterator[Sheet]:
    """What is payable later, when there is any."""
    if rows := schedule_rows(content):
        yield Sheet(
            "Payable later",
            ("When", "Deal", "Component", "Earned in", "Amount", "Currency"),
            [(*row[:4], _exact(row[4], content), content["currency"]) for row in rows],
        )


def _summary(content: Mapping[str, Any], code: str) -> Iterator[tuple[Value, ...]]:
    person, run, approved = content["person"], content["run"], content["approved"]
    yield "Company", content["company"]
    yield "Person", person["name"]
    yield "Employee code", person["code"]
    yield "Team", person["team"]
    yield "Period", content["period"]
    yield "Status", status(content)
    yield "Currency", content["currency"]
    yield "Earned in all", _exact(earned(content), content)
    for label, cents, _ in balance_rows(content):
        yield label, _exact(cents, content)
    yield "Payable later", _exact(content["balance"]["deferred"], content)
    yield "Draw balance", _exact(content["draw"]["balance"], content)
    for row in content["attainment"]:
        label = f"Attainment {row['quota_period']}, {row['label']}"
        yield label, f"{row['attainment']} ({row['credit']} of {row['quota']})"
    for plan in content["plans"]:
        yield f"Plan {plan['title']}", f"version of {plan['version']}, SHA-256 {plan['hash']}"
    yield "Run", str(run["id"])
    yield "Calculated", run["calculated_at"]
    yield "Engine version", run["engine_version"]
    yield "Inputs (SHA-256)", run["inputs_hash"]
    yield "Lines (SHA-256)", run["lines_hash"]
    if approved:
        yield "Approved", f"{approved['at']} by {approved['by']}"
        yield "Verification code (SHA-256)", code


def _exact(cents: int | None, content: Mapping[str, Any]) -> Decimal | None:
    return None if cents is None else Decimal(format_money(cents, content["currency"]))

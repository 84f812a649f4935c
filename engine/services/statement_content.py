"""What stands on a statement: one person, one pay period, every line and the reason for it, as plain data.

The content is made of text, whole numbers (cents) and lists only, so that its canonical JSON can be kept, hashed and
rendered again at any time.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any

import sqlalchemy as sa

from engine.analytics import deals
from engine.analytics.deals import Names
from engine.calc.model import MICRO, MONEY_MEASURES, Component
from engine.calc.payout import is_money
from engine.db import pay, payables, statements
from engine.db.pay import StoredLine
from engine.money import currency_digits, format_money, round_ratio
from engine.periods import parse_period
from engine.services.earnings import explained, plan_of

Content = dict[str, Any]

SCHEMA = 2  # 1 had no schedule
KINDS = {
    "earned": "Earned",
    "adjusted": "Adjustments of earlier periods",
    "clawed_back": "Clawbacks",
    "manual": "Bonuses and corrections by hand",
}
_MANUAL = {"spif": "SPIF", "bonus": "Bonus", "correction": "Correction", "override": "Override of a line"}


def build(conn: sa.Connection, user_id: int, period: str, names: Names | None = None) -> tuple[Content, int] | None:
    """The content of a person's statement, and the last payment that it tells of (0: none).

    `names` spares reading them again for each of many.  None when no run of the period has the person.
    """
    found = statements.head(conn, user_id, period)
    return None if found is None else _Statement(conn, user_id, found, names or deals.names(conn)).content()


# What a statement shows of a deal: its columns, and what they are called in the rows of lines.
_DEAL_FIELDS = {
    "name": "deal",
    "account": "account",
    "close_date": "close_date",
    "amount": "deal_amount",
    "currency": "deal_currency",
}

Row = sa.RowMapping | Mapping[str, Any]


class _Statement:
    def __init__(self, conn: sa.Connection, user_id: int, head: sa.RowMapping, names: Names) -> None:
        self.conn, self.user_id, self.head, self.names = conn, user_id, head, names
        self.period, self.currency = parse_period(head["period"]), str(head["currency"])
        self.final = head["status"] in ("approved", "paid")  # of a locked one, what is payable still moves
        rows = statements.versions(conn, self.period.name, head["run_id"], user_id, head["began"])
        self.versions = {row["id"]: row for row in rows}
        self.parts: dict[str, Component] = {
            part.id: part for row in rows for part in plan_of(row["document"], row["plan"]).components
        }
        self.rows = self._as_then(statements.lines(conn, head["run_id"], user_id))
        self.manual = statements.manual(conn, user_id, self.period.name)
        self.before = statements.head(conn, user_id, self.period.previous().name)
        self.held = [one for one in payables.kept(conn, self.period.name, user_id) if one.currency == self.currency]

    def content(self) -> tuple[Content, int]:
        """Everything on the statement, and its last payment."""
        head = self.head
        paid = statements.payments(self.conn, self.user_id, self.period.name, self.currency) if self.final else []
        return {
            "schema": SCHEMA,
            "final": self.final,
            "company": head["company"],
            "person": {"code": head["code"], "name": head["name"], "team": head["team"] or ""},
            "period": self.period.name,
            "first_day": self.period.first_day.isoformat(),
            "last_day": self.period.last_day.isoformat(),
            "currency": self.currency,
            "balance": self._balance(sum(row["amount"] for row in paid)),
            "approved": {"at": _moment(head["approved_at"]), "by": head["approved_by"]} if self.final else None,
            "paid": [{"amount": row["amount"], "day": row["day"].isoformat()} for row in paid],
            "locked": head["status"] == "locked",
            "schedule": list(self._schedule()),
            "draw": {"balance": head["draw_balance"], "drawn": head["drawn"]},
            "attainment": list(self._attainment()),
            "lines": [*self._lines(), *map(self._by_hand, self.manual)],
            "before": self._before(),
            "changes": [*self._general_changes(), *self._adjustments(), *self._clawbacks()],
            "plans": [
                {
                    "plan": row["plan"],
                    "title": row["title"],
                    "version": row["effective_from"].isoformat(),
                    "hash": row["hash"],
                }
                for row in self.versions.values()
            ],
            "run": {
                "id": head["run_id"],
                "calculated_at": _moment(head["calculated_at"]),
                "engine_version": head["engine_version"],
                "inputs_hash": head["inputs_hash"],
                "lines_hash": head["lines_hash"],
            },
        }, statements.last_payment(self.conn, self.user_id, self.period.name) if self.final else 0

    def _as_then(self, rows: Sequence[sa.RowMapping]) -> list[dict[str, Any]]:
        """The lines with their deals as they were when the run began: what was changed since is turned back."""
        ids = sorted({row["deal_id"] for row in rows if row["deal_id"]})
        back: dict[int, dict[str, Any]] = {}
        for edit in statements.deal_changes(self.conn, ids, self.head["began"]):  # the newest first
            back.setdefault(edit["deal_id"], {}).update({field: pair[0] for field, pair in edit["changes"].items()})
        found = []
        for row in rows:
            was = back.get(row["deal_id"], {})
            then = {shown: was[field] for field, shown in _DEAL_FIELDS.items() if field in was}
            if isinstance(then.get("close_date"), str):
                then["close_date"] = date.fromisoformat(then["close_date"])
            found.append({**row, **then})
        return found

    def money(self, cents: int, currency: str = "") -> str:
        """``1,234.56 USD``."""
        currency = currency or self.currency
        return f"{format_money(cents, currency, thousands=True)} {currency}"

    # -- money ----------------------------------------------------------------------------------------

    def _balance(self, paid: int) -> Content:
        """What was carried in, what the period added, what of it is due and paid, what is carried on.  In cents."""
        head = self.head
        until = head["approved_at"] if self.final else None
        posted = statements.balance(self.conn, self.user_id, self.currency, self.period.name, until)
        opening = posted.pop("opening", 0)
        if not self.final:
            own = [row for row in self.rows if row["currency"] == self.currency]
            posted = {kind: sum(row["amount"] for row in own if row["kind"] == kind) for kind in KINDS}
            posted["drawn"] = head["drawn"]
            posted["manual"] = sum(row["amount"] for row in self.manual if row["currency"] == self.currency)
        total = opening + sum(posted.values())
        due = int(head["due"]) if self.final else None
        return {
            "opening": opening,
            **{kind: posted.get(kind, 0) for kind in KINDS},
            "drawn": posted.get("drawn", 0) + posted.get("repaid", 0),
            "total": total,
            "deferred": sum(one.amount for one in self.held),
            "due": due,
            "paid": paid,
            "closing": total - paid,
        }

    def _schedule(self) -> Iterable[Content]:
        """What is payable later: a row a deal and day; what waits for an event has no day."""
        called = pay.deal_labels(self.conn, sorted({one.deal_id for one in self.held if one.deal_id}))
        for one in self.held:
            deal_id, deal = called.get(one.deal_id or 0, ("", "Carried from earlier periods" if one.component else ""))
            yield {
                "due": one.due_on.isoformat() if one.due_on else "",
                "waits_for": one.waits_for,
                "deal": deal,
                "deal_id": deal_id,
                "label": self._label(one.component),
                "earned_in": one.origin_period,
                "amount": one.amount,
            }

    def _attainment(self) -> Iterable[Content]:
        for row in statements.attainment(self.conn, self.head["run_id"], self.user_id):
            part = self.parts.get(row["component"])
            credit, quota = Fraction(row["credit"]), Fraction(row["quota"])
            share = credit * 1000 / quota
            tenths = round_ratio(share.numerator, share.denominator)
            yield {
                "component": row["component"],
                "label": self._label(row["component"]),
                "quota_period": row["quota_period"],
                "credit": self._units(credit, part),
                "quota": self._units(quota, part),
                "attainment": f"{'-' if tenths < 0 else ''}{abs(tenths) // 10}.{abs(tenths) % 10}%",
            }

    def _units(self, value: Fraction, part: Component | None) -> str:
        """A credit in units of its measure, as one writes it."""
        if part is None or part.measure in MONEY_MEASURES:
            cents = value * 10 ** currency_digits(self.currency)
            return format_money(round_ratio(cents.numerator, cents.denominator), self.currency, thousands=True)
        return deals.number_text(round_ratio(value.numerator * MICRO, value.denominator))

    def _label(self, component: str) -> str:
        part = self.parts.get(component)
        return (part.label if part else "") or component

    # -- lines ----------------------------------------------------------------------------------------

    def _lines(self) -> list[Content]:
        clawed = [row["deal_id"] for row in self.rows if row["kind"] == "clawed_back"]
        first = statements.originals(self.conn, self.user_id, self.period.name, clawed) if clawed else {}
        return [self._line(row, first.get((row["component"], row["deal_id"]))) for row in self.rows]

    def _line(self, row: Row, original: sa.Row[Any] | None) -> Content:
        version = self.versions[row["plan_version_id"]]
        working = row["working"]
        facts = working.get("facts", {})
        explanation = explained(self._stored(row, version))
        if row["kind"] == "adjusted":
            was, now = (self.money(working[name], row["currency"]) for name in ("was", "now"))
            how = f"{was} was posted, {now} is right"
        else:
            how = "; ".join(step.text.rpartition(" = ")[0] or step.text for step in explanation.parts)
        origin = ""
        if row["kind"] == "clawed_back" and original is not None:
            origin = f"Takes back from the {self.money(original.amount, row['currency'])} earned in {original.period}."
        return {
            "id": row["id"],
            "kind": row["kind"],
            "deal": row["deal"] if row["deal_id"] else "Carried from earlier periods",
            "deal_id": row["external_id"] or "",
            "account": row["account"] or "",
            "closed": row["close_date"].isoformat() if row["close_date"] else "",
            "deal_amount": row["deal_amount"],
            "deal_currency": row["deal_currency"] or "",
            "component": row["component"],
            "label": self._label(row["component"]),
            "earned_in": row["origin_period"],
            "credit": self._credit(row["component"], facts),
            "how": how,
            "converted": _converted(facts, self.currency),
            "original": origin,
            "amount": row["amount"],
            "currency": row["currency"],
            "working": list(explanation.texts),
        }

    def _by_hand(self, row: Row) -> Content:
        """An adjustment by hand, as a line: its reason is its working."""
        return {
            "id": row["id"],
            "kind": "manual",
            "deal": row["deal"] or _MANUAL[row["kind"]],
            "deal_id": "",
            "account": "",
            "closed": "",
            "deal_amount": None,
            "deal_currency": "",
            "component": "",
            "label": _MANUAL[row["kind"]],
            "earned_in": self.period.name,
            "credit": "",
            "how": row["reason"],
            "converted": "",
            "original": f"It corrects line {row['line_id']}." if row["line_id"] else "",
            "amount": row["amount"],
            "currency": row["currency"],
            "working": [
                f"Given {_signed(row)}.",
                f"Line: {format_money(row['amount'], row['currency'], thousands=True)}",
            ],
        }

    def _stored(self, row: Row, version: Row) -> StoredLine:
        return StoredLine(
            id=row["id"],
            user_id=self.user_id,
            person=self.head["code"],
            plan=version["plan"],
            document=version["document"],
            component=row["component"],
            deal=str(row["deal_id"] or ""),
            deal_name=row["deal"] or "",
            kind=row["kind"],
            period=self.period.name,
            origin_period=row["origin_period"],
            amount=row["amount"],
            currency=row["currency"],
            working=row["working"],
        )

    def _credit(self, component: str, facts: Mapping[str, Any]) -> str:
        """What of the deal counts, in the component's measure; nothing for clawbacks and carried money."""
        part = self.parts.get(component)
        if part is None or "credit" not in facts:
            return ""
        before, after = facts["credit"]
        change = Fraction(after - before, facts.get("scale", 1))
        whole = round_ratio(change.numerator, change.denominator)
        if is_money(part.measure):
            return format_money(whole, self.currency, thousands=True)
        return deals.number_text(whole)

    # -- what changed, and why ------------------------------------------------------------------------

    def _before(self) -> Content | None:
        """The statement before this one: its period and what was earned in it."""
        if self.before is None or self.before["currency"] != self.currency:
            return None
        return {"period": self.before["period"], "earned": int(self.before["earned"])}

    def _general_changes(self) -> Iterable[Content]:
        """What holds for the whole statement: plan versions that begin, quotas that are no longer what they were."""
        for row in self.versions.values():
            if row["begins"] and self.before is not None:
                yield {
                    "what": f"A new version of the plan {row['title']} holds from {row['effective_from']}.",
                    "why": [],
                    "amount": None,
                    "currency": self.currency,
                }
        if self.before is None:
            return
        then = {
            (row["component"], row["quota_period"]): row["quota"]
            for row in statements.attainment(self.conn, self.before["run_id"], self.user_id)
        }
        edits = statements.quota_changes(self.conn, self.user_id, self.before["began"], self.head["began"])
        for row in statements.attainment(self.conn, self.head["run_id"], self.user_id):
            was = then.get((row["component"], row["quota_period"]))
            if was is not None and was != row["quota"]:
                part = self.parts.get(row["component"])
                pair = [self._units(Fraction(value), part) for value in (was, row["quota"])]
                yield {
                    "what": f"The quota of {row['quota_period']} for {self._label(row['component'])} was {pair[0]}, "
                    f"it is {pair[1]} now.",
                    "why": [self._quota_words(edit) for edit in edits],
                    "amount": None,
                    "currency": self.currency,
                }

    def _adjustments(self) -> Iterable[Content]:
        """Each adjustment with what was posted, what is right now, and what the records say about the cause."""
        rows = [row for row in self.rows if row["kind"] == "adjusted"]
        if not rows:
            return
        causes = _Causes(self, rows)
        for row in rows:
            was, now = row["working"]["was"], row["working"]["now"]
            deal = row["deal"] or "Money carried from earlier periods"
            yield {
                "what": f"{deal}, {self._label(row['component'])}, earned in {row['origin_period']}: "
                f"{self.money(was, row['currency'])} was posted, {self.money(now, row['currency'])} is right now.",
                "why": causes.of(row),
                "amount": row["amount"],
                "currency": row["currency"],
            }

    def _clawbacks(self) -> Iterable[Content]:
        """Each clawback with the cancellation that it follows, and who recorded that."""
        rows = [row for row in self.rows if row["kind"] == "clawed_back"]
        ids = sorted({row["deal_id"] for row in rows})
        recorded: dict[int, Row] = {}
        for change in statements.deal_changes(self.conn, ids, datetime.min.replace(tzinfo=UTC)):  # the newest first
            if "cancelled_on" in change["changes"] and change["at"] <= self.head["began"]:
                recorded.setdefault(change["deal_id"], change)
        for row in rows:
            by = f", recorded {_signed(recorded[row['deal_id']])}" if row["deal_id"] in recorded else ""
            day = date.fromordinal(row["working"]["day"])
            yield {
                "what": f"{row['deal']}, {self._label(row['component'])}: "
                f"{self.money(-row['amount'], row['currency'])} is taken back.",
                "why": [f"The deal was cancelled as of {day}{by}."],
                "amount": row["amount"],
                "currency": row["currency"],
            }

    def _quota_words(self, edit: Row) -> str:
        pair = [
            "none" if cents is None else self.money(cents, edit["currency"])
            for cents in (edit["before"], edit["after"])
        ]
        return f"The quota of {edit['period']} was changed from {pair[0]} to {pair[1]} {_signed(edit)}."


class _Causes:
    """Why lines of closed periods come out differently now: the records between the posting and this run."""

    def __init__(self, statement: _Statement, rows: Sequence[Row]) -> None:
        self.statement = statement
        conn, head, user_id = statement.conn, statement.head, statement.user_id
        origins = sorted({row["origin_period"] for row in rows})
        self.until: datetime = head["began"]
        self.posted = statements.posted(conn, user_id, head["run_id"], origins)
        since = min(self.posted.values(), default=self.until)
        deal_ids = sorted({row["deal_id"] for row in rows if row["deal_id"]})
        self.edits: dict[int, list[tuple[datetime, str]]] = {}
        currencies: dict[int, str] = {}
        for edit in statements.deal_changes(conn, deal_ids, since):
            deal_id, changes = edit["deal_id"], edit["changes"]
            after = currencies.get(deal_id, edit["currency"])
            currencies[deal_id] = changes.get("currency", [after])[0]
            words = _deal_words(edit, statement.names, currencies[deal_id], after)
            self.edits.setdefault(deal_id, [])[:0] = [(edit["at"], text) for text in words]
        self.quotas = statements.quota_changes(conn, user_id, since, self.until)
        plans = sorted({row["plan"] for row in statement.versions.values()})
        self.versions = statements.new_versions(conn, plans, since, self.until)
        self.moved = {row["deal_id"]: row["deal"] for row in rows if self._edits(row)}

    def _since(self, row: Row) -> datetime:
        """When the run began that posted the line last, else the one that closed its period."""
        keys = (row["origin_period"], row["component"], row["deal_id"]), (row["origin_period"], "", None)
        return max((self.posted[key] for key in keys if key in self.posted), default=self.until)

    def _edits(self, row: Row) -> list[str]:
        since = self._since(row)
        return [text for at, text in self.edits.get(row["deal_id"], ()) if since < at <= self.until]

    def of(self, row: Row) -> list[str]:
        """The causes of one adjustment, in words; one sentence at least."""
        since, origin = self._since(row), parse_period(row["origin_period"])
        found = self._edits(row)
        for edit in self.quotas:
            quota = parse_period(edit["period"])
            if edit["at"] > since and quota.start < origin.end and origin.start < quota.end:
                found.append(self.statement._quota_words(edit))
        for version in self.versions:
            if version["at"] > since and version["effective_from"] <= origin.last_day:
                found.append(
                    f"A version of the plan {version['plan']} that holds from {version['effective_from']} was "
                    f"published {_signed(version)}."
                )
        others = [name for deal_id, name in self.moved.items() if deal_id != row["deal_id"]]
        if not found and others:
            listed = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
            found.append(f"Nothing changed on this deal itself: changes of {listed} moved its place against the quota.")
        unknown = (
            f"No change of this deal, the quota or the plan is recorded since {since:%Y-%m-%d}: other deals, shared "
            "credit, an assignment or an exchange rate moved it."
        )
        return found or [unknown]


def _deal_words(edit: Row, names: Names, before_currency: str, after_currency: str) -> list[str]:
    """One change of a deal, a sentence a field."""
    signed, words = _signed(edit), []
    for field, before, after in deals.described(edit["changes"], names, before_currency, after_currency):
        if "created" in edit["changes"]:
            return [f"The deal came late: it was entered {signed}, when the period was closed already."]
        if field == "Cancelled on" and edit["changes"]["cancelled_on"][1]:
            words.append(f"The deal was cancelled as of {after}, recorded {signed}.")
        else:
            words.append(f"{field} was changed from {before} to {after} {signed}.")
    return words


def _signed(edit: Row) -> str:
    """By whom, when, and from which file: ``by Ada Admin on 2026-11-03 (deals.csv)``."""
    via = f" ({edit['via']})" if edit.get("via") else ""
    return f"by {edit['who']} on {edit['at']:%Y-%m-%d}{via}"


def _converted(facts: Mapping[str, Any], currency: str) -> str:
    """The exchange rate that the line used and its day; empty without one."""
    if "exchange" not in facts:
        return ""
    foreign, value, scale, day = facts["exchange"]
    units = round_ratio(value * 10**10, scale)  # rates are kept with ten decimals
    digits = f"{units % 10**10:010d}".rstrip("0")
    rate = f"{units // 10**10}{'.' if digits else ''}{digits}"
    return f"1 {foreign} = {rate} {currency}, the rate of {date.fromordinal(day)}"


def _moment(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else ""

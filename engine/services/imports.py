"""A CRM's export of deals: looked at, questioned, previewed, and taken in as a whole or not at all."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa

from engine.analytics import deals as analytics
from engine.db import audit, deal_fields, deal_imports, deals
from engine.db.database import Database
from engine.db.deal_imports import Counts, Saved
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.imports.deals import Checked, DealRow, Reason, Refusal, Tally, Unknown, check_rows
from engine.imports.known import Context, Person, Stage, owner_key, stage_key
from engine.imports.mapping import FIELDS, HUBSPOT, OTHER, SALESFORCE, guess_mapping, guess_source
from engine.imports.reading import SetAside, Table, read_table
from engine.imports.refusals import refusals_csv
from engine.imports.survey import TOLD, Question
from engine.imports.values import CACHED, clean, one_line, read_figure
from engine.money import currency_digits, format_rate
from engine.services import access
from engine.services.access import Actor
from engine.services.deal_fields import KINDS, written
from engine.services.impact import Impact, impact
from engine.sheets import to_csv
from engine.workers.pool import Pool

__all__ = ["FIELDS", "Question", "Unknown", "owner_key"]

MAX_BYTES = 300 * 1024 * 1024  # while it comes in, the upload stands in memory twice: the process stays under 1 GiB
_CALCULATED = 20_000  # deals in all up to which a preview calculates earnings without being asked
SOURCES = (SALESFORCE, HUBSPOT, OTHER)
_EXPLAINED = ("Line", "Reason", "What to do")  # first columns of a file of refused rows
_EARNINGS = 5_000  # changed earnings that a preview lists; all are counted
_SHOWN = 500  # rows of each kind that a preview lists; all are counted

# A field of a file -> the column of a deal that it fills.
_FILLS = {"owner": "owner_id", "stage": "stage_id", "quantity": "quantity_micro"}


@dataclass(frozen=True)
class Upload:
    """A file, and what the person has said about it so far.

    ``source``: whose export it is ("": guessed).  ``mapping``: field -> column of the file (None: as it was
    the last time for this source, else guessed).  ``owners`` and ``stages``: text of the file -> id.
    ``answers``: question -> chosen value.  ``today``: a deal won after it is warned of.
    """

    data: bytes | Path = field(repr=False)
    filename: str
    source: str = ""
    mapping: Mapping[str, str] | None = None
    owners: Mapping[str, int] = field(default_factory=dict)
    stages: Mapping[str, int] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)
    today: date = date.max


NOTHING = Counts(0, 0, 0)

Progress = Callable[[int, int, str], None]
Refused = tuple[int, str, list[tuple[str, str]]]  # line, reason and remedy, the row as pairs of column and cell


def _untold(_done: int, _total: int, _message: str) -> None:
    """Nobody watches."""


@dataclass(frozen=True)
class ImportPreview:
    """What a file would do.

    ``upload`` has source and mapping filled in.  With ``problems`` (of the mapping) or ``questions`` nothing
    has been compared yet.  ``decisions``, ``notes`` and ``warnings`` are sentences for the reader.
    ``samples``: column -> its first values.  ``unknown``: owners and stages that nobody knows here;
    ``remembered``: owners and stages known by an earlier answer, (field, text) -> id.  ``people`` and
    ``stages``: id -> name, to choose from.

    Frames hold the first 500 rows of their kind: ``added`` line, name, account, owner, stage, amount, currency,
    close_date; ``changed`` line, external_id, name, field, before, after; ``refused`` line, column, value,
    reason, remedy.  ``closed_periods`` are approved or paid ones in which a deal would be added or changed.
    ``first_close``: the earliest close date of the file, refused rows included.  ``earnings``: what the import would
    do to them, the latest period first, at most 5,000 of the ``earnings_count`` rows; None: not calculated.
    """

    upload: Upload
    headers: tuple[str, ...]
    samples: Mapping[str, str]
    problems: tuple[Problem, ...]
    questions: tuple[Question, ...]
    decisions: tuple[str, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    set_aside: tuple[SetAside, ...]
    set_aside_count: int
    rows: int
    unknown: tuple[Unknown, ...]
    remembered: Mapping[tuple[str, str], int]
    people: Mapping[int, str]
    stages: Mapping[int, str]
    counts: Counts = NOTHING
    refused_count: int = 0
    repeated_count: int = 0
    added: pd.DataFrame = field(default_factory=pd.DataFrame)
    changed: pd.DataFrame = field(default_factory=pd.DataFrame)
    refused: pd.DataFrame = field(default_factory=pd.DataFrame)
    closed_periods: tuple[str, ...] = ()
    first_close: date | None = None
    earnings: Impact | None = None
    earnings_count: int = 0

    @property
    def ready(self) -> bool:
        """Whether the rows have been compared."""
        return not self.problems and not self.questions

    @property
    def good(self) -> int:
        """Rows that can be taken in, the ones that change nothing included."""
        return self.counts.added + self.counts.changed + self.counts.unchanged


@dataclass(frozen=True)
class ImportResult:
    """What an import did; ``months`` (2026-10) have new or changed deals, the latest first."""

    import_id: int
    added: int
    changed: int
    unchanged: int
    refused: int
    months: tuple[str, ...]
    closed_periods: tuple[str, ...]


def preview_import(
    db: Database,
    actor: Actor,
    upload: Upload,
    pool: Pool | None = None,
    *,
    earnings: bool = False,
    tell: Progress = _untold,
    keep: Callable[[ImportPreview, Iterator[Refused]], None] | None = None,
) -> ImportPreview:
    """What the file would add, change, leave alone and refuse, with the reasons.  Keeps no deal.

    With a `pool`, also what it would do to earnings, if there are few deals or ``earnings`` asks for it.  `keep` is
    given the preview and every refused row, to be kept elsewhere.  Raises QuotaPathError for a file that is no table.
    """
    access.require(actor, "deals.import")
    tell(0, 0, "Reading the file")
    table = _read(upload)
    with db.write(actor) as conn:  # for the temporary tables, which end with it
        reading = _Reading(conn, table, upload, tell, 3)
        preview = reading.before_comparing()
        late: dict[int, Reason] = {}
        if preview.ready:
            counts = reading.compare()
            late = reading.late_reasons()
            refused = [*reading.refused_rows, *_late_refusals(table, late)]
            touched = deal_imports.touched(conn)
            preview = replace(
                preview,
                unknown=tuple(reading.tally.unknown(reading.context)),
                counts=counts,
                refused_count=reading.tally.refused + len(late),
                repeated_count=reading.tally.repeated,
                warnings=tuple(reading.warnings()),
                added=_added(conn),
                changed=_changed(conn),
                refused=_refused(refused),
                closed_periods=touched.closed_periods,
                first_close=reading.tally.first_close,
            )
            if pool and (earnings or deal_imports.deal_count(conn) + counts.added <= _CALCULATED):
                reading.step("Calculating what it would do to earnings", 0)
                found = _earnings(conn, pool, upload.today)
                latest = found.changes.sort_values("period", ascending=False, kind="stable", ignore_index=True)
                preview = replace(
                    preview, earnings=replace(found, changes=latest[:_EARNINGS]), earnings_count=len(latest)
                )
        if keep:
            rows = reading.refusals(late) if preview.refused_count else iter(())
            keep(preview, _kept_refusals(table, rows))
    return preview


def import_deals(
    db: Database,
    actor: Actor,
    preview: ImportPreview,
    *,
    accept_refused: bool = False,
    tell: Progress = _untold,
    job_id: str | None = None,
    remember: bool = True,
) -> ImportResult:
    """Take in the file of a preview: all good rows in one transaction, with history, or nothing.

    Everything is compared anew, with other imports of the source kept waiting, so an old preview does no harm.
    Called again with the same `job_id`, it returns what was imported.  Without `remember` the source's columns and
    answers stay as they were.
    Raises QuotaPathError when rows are refused and ``accept_refused`` is not given, when more rows are refused
    than the preview said, and when somebody edits one of the deals at that very moment.
    """
    access.require(actor, "deals.import")
    upload = preview.upload
    tell(0, 0, "Reading the file")
    with db.read(actor) as conn:
        if job_id is not None and (done := deal_imports.import_of_job(conn, job_id)) is not None:
            return ImportResult(
                done.id, done.added, done.changed, done.unchanged, done.refused, tuple(done.months),
                tuple(done.closed_periods),
            )  # fmt: skip
    table = _read(upload)
    with db.write(actor) as conn:
        deal_imports.lock_source(conn, upload.source)
        reading = _Reading(conn, table, upload, tell, 4)
        if reading.checked.problems or reading.checked.questions:
            raise QuotaPathError("The columns or questions of this file are not settled. Settle them, then import.")
        counts = reading.compare()
        late = reading.late_reasons()
        refused = reading.tally.refused + len(late)
        _check_refused(preview, counts, refused, accept_refused)
        touched = deal_imports.touched(conn)
        import_id = deal_imports.add_import(
            conn,
            upload.source,
            upload.filename,
            bytes.fromhex(table.file_hash),
            reading.mapping,
            counts,
            refused,
            touched,
            actor.user_id,
            job_id,
        )
        if deal_imports.keep(conn, import_id, actor.user_id, reading.writing) != counts.changed:
            raise QuotaPathError(
                "Somebody changed one of these deals at the same moment, so nothing was imported. Import again."
            )
        if refused:
            deal_imports.add_refusals(conn, import_id, _kept_refusals(table, reading.refusals(late)))
        if remember:
            deal_imports.remember(conn, upload.source, reading.answers(), actor.user_id)
        result = ImportResult(
            import_id=import_id,
            added=counts.added,
            changed=counts.changed,
            unchanged=counts.unchanged,
            refused=refused,
            months=touched.months,
            closed_periods=touched.closed_periods,
        )
        audit.record(
            conn,
            actor.user_id,
            "deals.import",
            f"import {import_id}",
            {
                "source": upload.source,
                "filename": upload.filename,
                "added": counts.added,
                "changed": counts.changed,
                "unchanged": counts.unchanged,
                "refused": refused,
            },
        )
    return result


def refused_rows(db: Database, actor: Actor, upload: Upload) -> bytes:
    """A CSV of all rows that the file's preview refuses: why, what to do, and the row as it came."""
    access.require(actor, "deals.import")
    table = _read(upload)
    with db.write(actor) as conn:
        reading = _Reading(conn, table, upload)
        reading.compare()
        return refusals_csv(table, reading.refusals(reading.late_reasons()))


def list_imports(db: Database, actor: Actor, limit: int = 50) -> pd.DataFrame:
    """The latest imports: id, created_at, who, source, filename, added, changed, unchanged, refused, undone_at."""
    access.require(actor, "deals.import")
    columns = [
        "id", "created_at", "who", "source", "filename", "added", "changed", "unchanged", "refused", "undone_at",
    ]  # fmt: skip
    with db.read(actor) as conn:
        return pd.DataFrame(deal_imports.history(conn, limit), columns=columns)


def past_refusals(db: Database, actor: Actor, import_id: int) -> bytes:
    """A CSV of the rows that an import left out, each with its reason."""
    access.require(actor, "deals.import")
    with db.read(actor) as conn:
        columns = deal_imports.refusal_columns(conn, import_id)
        return kept_refusals_csv(columns, deal_imports.refusals(conn, import_id))


def kept_refusals_csv(columns: Sequence[str], rows: Iterable[Any]) -> bytes:
    """Refused rows that were kept (line, reason, raw) with the file's columns, as `refused_rows` gives them."""
    return to_csv(
        (*_EXPLAINED, *columns),
        (
            (row.line, *row.reason.split("\n", 1), *(cells.get(name, "") for name in columns))
            for row, cells in ((row, dict(row.raw)) for row in rows)
        ),
    )


def known_sources(db: Database, actor: Actor) -> list[str]:
    """The sources to choose from: those known by their columns, and those imported from before."""
    access.require(actor, "deals.import")
    with db.read(actor) as conn:
        return list(dict.fromkeys((*SOURCES, *deal_imports.sources(conn))))


def source_name(text: str) -> str:
    """A source's name as it is kept.  Raises QuotaPathError for a name that no source can have."""
    name = " ".join(text.split()).lower()
    if name == "manual" or len(name) > 50:
        raise QuotaPathError(
            f"{name[:60]!r} cannot be the name of a source. Choose a CRM, or a name of at most 50 letters "
            'other than "manual", which stands for deals entered by hand.'
        )
    return name


def people_and_stages(conn: sa.Connection) -> tuple[dict[int, str], dict[int, str]]:
    """Everyone, and every stage of the pipeline, by id: what the names of a file may stand for."""
    return (
        {user_id: name for user_id, name, _ in deal_imports.people(conn)},
        {stage_id: name for stage_id, name, _ in deal_imports.stages(conn)},
    )


# ---------------------------------------------------------------- one file against the database
class _Reading:
    """A file read against the people, stages and answers of one transaction."""

    def __init__(
        self, conn: sa.Connection, table: Table, upload: Upload, tell: Progress = _untold, passes: int = 1
    ) -> None:
        """`tell` hears of the progress; ``passes``: how often the rows are gone through, which makes the whole."""
        self.conn = conn
        self.table = table
        self.tell = tell
        self.passes = passes
        self.passed = 0
        self.source = source_name(upload.source) or guess_source(table.headers)
        saved = deal_imports.saved(conn, self.source)
        self.mapping = dict(guess_mapping(table.headers, saved.mapping) if upload.mapping is None else upload.mapping)
        self.upload = replace(upload, source=self.source, mapping=self.mapping)
        self.saved = saved
        self.context = Context(
            currency=deals.company_currency(conn),
            people=tuple(Person(*row) for row in deal_imports.people(conn)),
            stages=tuple(Stage(*row) for row in deal_imports.stages(conn)),
            owner_aliases={**saved.owners, **_keyed(upload.owners, owner_key)},
            stage_aliases={**saved.stages, **_keyed(upload.stages, stage_key)},
            answers=upload.answers,
            today=upload.today,
        )
        self.tally = Tally()
        self.refused_rows: list[Refusal] = []  # the first, to be shown
        self.fields = {found.name: found for found in deal_fields.all_fields(conn)}
        self.misfits: dict[str, tuple[int, int]] = {}  # field of the company -> first line with no value of it, lines
        self._checked: Checked | None = None
        # Refused rows that were corrected come back with our own columns, which say nothing of the deal.
        self._ours = set(_EXPLAINED) if table.headers[:3] == _EXPLAINED else set()

    @property
    def checked(self) -> Checked:
        """The file with its questions settled, or not."""
        if self._checked is None:
            self._checked = check_rows(
                self.table, self.mapping, self.context, lambda rows: self.step("Looking at the columns", rows)
            )
            self.passed += 1
        return self._checked

    def step(self, message: str, rows: int) -> None:
        """Tell how far this pass over the rows is."""
        total = self.table.row_count * self.passes
        self.tell(min(self.table.row_count * self.passed + rows, total), total, message)

    def writing(self, line: int, last: int) -> None:
        """Tell how far the writing is, by lines of the file."""
        self.step("Writing the deals", self.table.row_count * line // max(last, 1))

    def before_comparing(self) -> ImportPreview:
        """What can be said of the file before its rows are compared."""
        samples = self.table.sample(5)
        return ImportPreview(
            upload=self.upload,
            headers=self.table.headers,
            samples={
                header: " · ".join(
                    dict.fromkeys(row.cells[at] for row in samples if at < len(row.cells) and row.cells[at])
                )
                for at, header in enumerate(self.table.headers)
            },
            problems=self.checked.problems,
            questions=self.checked.questions,
            decisions=tuple(decision.text for decision in self.checked.decisions),
            notes=tuple(self._notes()),
            warnings=(),
            set_aside=self.table.set_aside,
            set_aside_count=self.table.set_aside_count,
            rows=self.table.row_count,
            unknown=(),
            remembered={("owner", text): user for text, user in self.saved.owners.items()}
            | {("stage", text): stage for text, stage in self.saved.stages.items()},
            people={person.id: person.name for person in self.context.people},
            stages={stage.id: stage.name for stage in self.context.stages},
        )

    def compare(self) -> Counts:
        """Load the good rows and compare them; the counts leave out what is refused."""
        deal_imports.load(self.conn, self._incoming())
        self.passed += 1
        self.step("Comparing with the deals that are here", 0)
        has_currency = "currency" in self.mapping
        kept = [] if has_currency else self._same_digits()
        return deal_imports.compare(
            self.conn,
            self.source,
            {_FILLS.get(name, name) for name in self.mapping},
            [header for header in self.table.headers if header not in self.mapping.values()],
            None if has_currency else (self.context.currency, kept),
        )

    def late_reasons(self) -> dict[int, Reason]:
        """Lines refused for what the database knows of their deal."""
        column = self.mapping["close_date"]
        return {
            row.line: Reason(
                "date",
                "close_date",
                column,
                str(row.close_date),
                f"The deal was cancelled on {row.cancelled_before}, before this close date.",
                'Correct "Cancelled on" of the deal here first, or the close date in the CRM.',
            )
            for row in deal_imports.cancelled_rows(self.conn)
        }

    def refusals(self, late: Mapping[int, Reason]) -> Iterator[Refusal]:
        """Every refused row, read from the file once more."""
        yield from (item for item in self.checked.rows() if isinstance(item, Refusal))
        yield from _late_refusals(self.table, late)

    def warnings(self) -> Iterator[str]:
        """What to look at in the good rows."""
        for kind, count in self.tally.notes.most_common():
            line, text = self.tally.note_examples[kind][0]
            where = f"Line {line}" if count == 1 else f"{count:,} rows, the first on line {line}"
            yield f"{where}: {text}."
        for name, (line, count) in self.misfits.items():
            where = f"Line {line} has" if count == 1 else f"{count:,} rows, the first on line {line}, have"
            yield f"{where} a text in {name} that is no {KINDS[self.fields[name].kind].lower()}; it is kept as it is."
        for source, count in deal_imports.known_elsewhere(self.conn, self.source):
            yield (
                f"{count:,} new deals have the ID of a deal from {source}. If this file comes from there, choose "
                f"{source} as its source: otherwise these deals stand twice."
            )

    def answers(self) -> Saved:
        """What to remember of this file."""
        return Saved(
            self.mapping,
            _keyed(self.upload.owners, owner_key),
            _keyed(self.upload.stages, stage_key),
        )

    def _notes(self) -> Iterator[str]:
        yield from self.table.notes
        earlier = deal_imports.earlier_import(self.conn, self.source, bytes.fromhex(self.table.file_hash))
        if earlier:
            yield f"This very file was imported on {earlier.created_at:%Y-%m-%d %H:%M} UTC by {earlier.who}."

    def _same_digits(self) -> list[str]:
        """Currencies of known deals in which an amount without a currency reads the same."""
        digits = currency_digits(self.context.currency)
        return [code for code in deal_imports.currencies(self.conn, self.source) if currency_digits(code) == digits]

    def _incoming(self) -> Iterator[tuple[Any, ...]]:
        """The good rows as `deal_imports.load` takes them; the others are counted."""
        probability = self.mapping.get("probability", "")

        @lru_cache(CACHED)
        def as_json(extra: tuple[tuple[str, Any], ...]) -> tuple[str, tuple[str, ...]]:
            """The extra fields, and which of them do not fit what the company says they are.

            The last of the pairs is the probability, which comes along as a percentage.
            """
            *fields, (column, ppm) = extra
            raw = {name: text for name, text in fields if name not in self._ours}
            typed = {name: self._written(name, text) for name, text in raw.items()}
            misfits = tuple(name for name, text in typed.items() if text is None)
            kept = {**typed, **{name: raw[name] for name in misfits}}
            return json.dumps(kept if ppm is None else {**kept, column: format_rate(ppm)}), misfits

        for count, item in enumerate(self.checked.rows()):
            if count % TOLD == 0:
                self.step("Checking the rows", count)
            self.tally.add(item)
            if isinstance(item, Refusal):
                if len(self.refused_rows) < _SHOWN:
                    self.refused_rows.append(item)
            elif isinstance(item, DealRow):
                extra, misfits = as_json((*item.extra.items(), (probability, item.probability_ppm)))
                for name in misfits:
                    first, count_of = self.misfits.get(name, (item.line, 0))
                    self.misfits[name] = first, count_of + 1
                yield (
                    item.line, item.external_id, item.name, item.account, item.owner_id, item.stage_id,
                    item.amount_minor, item.margin_minor, item.currency, item.quantity_micro, item.close_date,
                    item.created_date, item.type, item.product, item.segment, item.term_months,
                    extra,
                )  # fmt: skip

    def _written(self, name: str, text: str) -> str | None:
        """A further column's text as it is kept; of a field that the company has defined as it is always written.

        None where the text is no value of the field.
        """
        if name not in self.fields:
            return text
        style, order = self.checked.spelling
        try:
            if self.fields[name].kind == "number":
                text = read_figure(clean(text)).plain(style)
            return written(self.fields[name], text, order)
        except QuotaPathError:
            return None


def _read(upload: Upload) -> Table:
    table = read_table(upload.data, upload.filename, max_bytes=MAX_BYTES)
    if any("\x00" in header for header in table.headers):
        raise QuotaPathError("The file holds binary data, not text. Export the deals as CSV or XLSX and upload that.")
    return table


def _check_refused(preview: ImportPreview, counts: Counts, refused: int, accept_refused: bool) -> None:
    good = counts.added + counts.changed + counts.unchanged
    if refused and not good:
        raise QuotaPathError("Every row of the file is refused, so there is nothing to import. Look at the reasons.")
    if refused and not accept_refused:
        raise QuotaPathError(
            f"{refused:,} rows are refused. Correct them and upload again, or say that the other {good:,} "
            "are to be imported without them. Nothing was imported."
        )
    if refused > preview.refused_count:
        raise QuotaPathError(
            f"{refused:,} rows are refused now, not {preview.refused_count:,} as in the preview: deals, people or "
            "stages were changed meanwhile. Nothing was imported; look at the new preview."
        )


def _keyed(answers: Mapping[str, int], key: Any) -> dict[str, int]:
    return {key(text): found for text, found in answers.items()}


def _late_refusals(table: Table, late: Mapping[int, Reason]) -> Iterator[Refusal]:
    if late:
        yield from (Refusal(row.line, row.cells, (late[row.line],)) for row in table.rows() if row.line in late)


def _kept_refusals(table: Table, refusals: Iterator[Refusal]) -> Iterator[Refused]:
    for refusal in refusals:
        # JSON in PostgreSQL holds no null character.
        raw = [
            (name, cell.replace("\x00", "")) for name, cell in zip_longest(table.headers, refusal.cells, fillvalue="")
        ]
        reasons = " ".join(
            f"{reason.column}: {reason.reason}" if reason.column else reason.reason for reason in refusal.reasons
        )
        remedies = " ".join(dict.fromkeys(reason.remedy for reason in refusal.reasons))
        yield refusal.line, f"{one_line(reasons)}\n{one_line(remedies)}", raw


def _earnings(conn: sa.Connection, pool: Pool, today: date) -> Impact:
    """What the import would do to earnings; when they cannot be calculated, the problems say why."""
    try:
        return impact(conn, pool, today, deal_imports.deals_after(conn))
    except ProblemsError as error:
        return Impact(pd.DataFrame(columns=["period"]), error.problems)
    except QuotaPathError as error:
        return Impact(pd.DataFrame(columns=["period"]), (Problem("earnings", str(error)),))


def _added(conn: sa.Connection) -> pd.DataFrame:
    columns = ["line", "name", "account", "owner", "stage", "amount", "currency", "close_date"]
    frame = pd.DataFrame(deal_imports.added_rows(conn, _SHOWN), columns=columns, dtype=object)
    return frame.astype({"line": "int64", "amount": "Int64"})


def _changed(conn: sa.Connection) -> pd.DataFrame:
    names = analytics.names(conn)
    return pd.DataFrame(
        [
            (row.line, row.external_id, row.name, *texts)
            for row in deal_imports.changed_rows(conn, _SHOWN)
            for texts in analytics.described(row.changes, names, row.old_currency, row.currency)
        ],
        columns=["line", "external_id", "name", "field", "before", "after"],
    )


def _refused(refusals: list[Refusal]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            (refusal.line, reason.column, reason.value, reason.reason, reason.remedy)
            for refusal in refusals[:_SHOWN]
            for reason in refusal.reasons
        ],
        columns=["line", "column", "value", "reason", "remedy"],
    )

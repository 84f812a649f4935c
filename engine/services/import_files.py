"""Files too large to be checked while a page waits: kept, then checked and imported by jobs.

What a file is (`KeptUpload`) stands in Postgres from the moment it arrives, so a reload, a restart or another app
process finds it where it was.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd

from engine.db import import_files, jobs
from engine.db.database import Database
from engine.db.deal_imports import Counts
from engine.db.import_files import KeptFile
from engine.db.jobs import Job
from engine.errors import Problem, QuotaPathError
from engine.imports.deals import Unknown
from engine.imports.reading import SetAside
from engine.imports.survey import Question
from engine.services import access, imports
from engine.services.access import Actor
from engine.services.impact import Impact
from engine.services.imports import ImportPreview, ImportResult, Upload
from engine.services.jobs import Body, JobRunner, Work

AT_ONCE = 6 * 1024 * 1024  # bytes that are checked while the page waits: some 30,000 rows, two seconds
CHECK, IMPORT = "check file", "import file"


@dataclass(frozen=True)
class KeptUpload:
    """A kept file.  ``upload`` is what was said about it (its content stays behind), ``preview`` what the last check
    found; ``job`` checks or imports it now, or did so last."""

    id: str
    size: int
    upload: Upload
    preview: ImportPreview | None
    job: Job | None

    @property
    def result(self) -> ImportResult | None:
        """What was imported, once it is."""
        if self.job is None or self.job.kind != IMPORT or self.job.status != "done" or not self.job.result:
            return None
        return ImportResult(**{**self.job.result, **{name: tuple(self.job.result[name]) for name in _TUPLES}})


_TUPLES = ("months", "closed_periods")


def is_large(size: int, filename: str) -> bool:
    """Whether a file of so many bytes is a job's work; a workbook is packed, and slow to read."""
    return size * (8 if filename.lower().endswith(".xlsx") else 1) > AT_ONCE


def keep_file(db: Database, actor: Actor, filename: str, file: BinaryIO) -> str:
    """Keep a file, in place of what the person had in hand before; gives its id.

    Forgets what others left lying for a day.
    """
    access.require(actor, "deals.import")
    with db.write(actor) as conn:
        import_files.delete_abandoned(conn, _user(actor))
        pieces = iter(lambda: file.read(import_files.PIECE), b"")
        return import_files.add(conn, filename, pieces, _user(actor))


def kept_file(db: Database, actor: Actor, file_id: str) -> KeptUpload | None:
    """The file, with its job; None when the person has none with that id."""
    access.require(actor, "deals.import")
    with db.read(actor) as conn:
        file = import_files.find(conn, file_id)
        if file is None or file.created_by != actor.user_id:
            return None
        job = jobs.get(conn, file.job_id) if file.job_id else None
        upload = _upload(file.said, file.filename)
        preview = None
        if file.preview is not None and file.preview.get("form") == _FORM:
            preview = _preview(file.preview, file.filename)
        if preview:
            people, stages = imports.people_and_stages(conn)
            preview = replace(preview, people=people, stages=stages)
    return KeptUpload(file.id, file.size, upload, preview, job)


def file_in_hand(db: Database, actor: Actor) -> str | None:
    """The id of the file that the person kept last and neither imported nor gave up."""
    access.require(actor, "deals.import")
    with db.read(actor) as conn:
        return import_files.of_user(conn, _user(actor))


def start_check(db: Database, runner: JobRunner, actor: Actor, file_id: str, said: Upload) -> None:
    """Check the file by a job, with what is said about it."""
    access.require(actor, "deals.import")
    with db.write(actor) as conn:
        file = _find(conn, actor, file_id)
        import_files.say(conn, file_id, _said(said))
    job_id = runner.submit(actor, CHECK, {"name": file.filename, "file": file_id})
    with db.write(actor) as conn:
        import_files.set_job(conn, file_id, job_id)


def start_import(db: Database, runner: JobRunner, actor: Actor, file_id: str, *, accept_refused: bool) -> None:
    """Import the checked file by a job; only once, however often it is asked for."""
    access.require(actor, "deals.import")
    with db.write(actor) as conn:
        file = _find(conn, actor, file_id)
        running = jobs.get(conn, file.job_id) if file.job_id else None
    if running and running.kind == IMPORT and running.status not in ("failed", "cancelled"):
        return
    arguments = {"name": file.filename, "file": file_id, "accept_refused": accept_refused}
    job_id = runner.submit(actor, IMPORT, arguments)
    with db.write(actor) as conn:
        import_files.set_job(conn, file_id, job_id)


def refused_rows(db: Database, actor: Actor, file_id: str) -> bytes:
    """A CSV of all rows that the last check of the file refuses: why, what to do, and the row as it came."""
    access.require(actor, "deals.import")
    with db.read(actor) as conn:
        _find(conn, actor, file_id)
        columns = import_files.refusal_columns(conn, file_id)
        return imports.kept_refusals_csv(columns, import_files.refusals(conn, file_id))


def forget_file(db: Database, actor: Actor, file_id: str) -> None:
    """Give the file up.  A job that still works on it finds it gone, and stops."""
    access.require(actor, "deals.import")
    with db.write(actor) as conn:
        file = import_files.find(conn, file_id)
        if file is not None and file.created_by == actor.user_id:
            import_files.delete(conn, file_id)


# --- the jobs --------------------------------------------------------------------------------------


def _check_job(work: Work) -> Mapping[str, Any]:
    file_id = work.arguments["file"]
    with _on_disk(work.db, work.actor, file_id) as upload:

        def keep(preview: ImportPreview, refused: Iterator[imports.Refused]) -> None:
            with work.db.write() as conn:
                _find(conn, work.actor, file_id)
                import_files.keep_preview(conn, file_id, _as_json(preview), refused)

        imports.preview_import(work.db, work.actor, upload, work.pool, earnings=True, tell=work.progress, keep=keep)
    return {}


def _import_job(work: Work) -> Mapping[str, Any]:
    file_id = work.arguments["file"]
    kept = kept_file(work.db, work.actor, file_id)
    if kept is None or kept.preview is None:
        raise _gone()
    with _on_disk(work.db, work.actor, file_id) as upload:
        result = imports.import_deals(
            work.db,
            work.actor,
            replace(kept.preview, upload=replace(kept.preview.upload, data=upload.data)),
            accept_refused=work.arguments["accept_refused"],
            tell=work.progress,
            job_id=work.job_id,
        )
    with work.db.write() as conn:
        import_files.delete_content(conn, file_id)
    return asdict(result)


JOBS: Mapping[str, Body] = {CHECK: _check_job, IMPORT: _import_job}


@contextmanager
def _on_disk(db: Database, actor: Actor, file_id: str) -> Iterator[Upload]:
    """The file as an upload that lies in a temporary file, while the block runs."""
    with tempfile.NamedTemporaryFile(prefix="quotapath-import-") as file:
        with db.read(actor) as conn:
            found = _find(conn, actor, file_id)
            for piece in import_files.pieces(conn, file_id):
                file.write(piece)
        file.flush()
        yield replace(_upload(found.said, found.filename), data=Path(file.name))


def _find(conn: Any, actor: Actor, file_id: str) -> KeptFile:
    file = import_files.find(conn, file_id)
    if file is None or file.created_by != actor.user_id:
        raise _gone()
    return file


def _gone() -> QuotaPathError:
    return QuotaPathError("The file is not here any more: it was imported or given up. Choose it again.")


def _user(actor: Actor) -> int:
    if actor.user_id is None:
        raise ValueError("a kept file belongs to a user")
    return actor.user_id


# --- what is said and found, as JSON ---------------------------------------------------------------


def _said(upload: Upload) -> dict[str, Any]:
    return {
        "source": upload.source,
        "mapping": None if upload.mapping is None else dict(upload.mapping),
        "owners": dict(upload.owners),
        "stages": dict(upload.stages),
        "answers": dict(upload.answers),
        "today": upload.today.isoformat(),
    }


def _upload(said: Mapping[str, Any], filename: str) -> Upload:
    """What is said of a file whose content lies elsewhere."""
    if not said:
        return Upload(b"", filename)
    return Upload(b"", filename, **{**said, "today": date.fromisoformat(said["today"])})


def _as_json(preview: ImportPreview) -> dict[str, Any]:
    """All of a preview but its people and stages, which may have changed when it is read."""
    upload = preview.upload
    plain = {name: getattr(preview, name) for name in _PLAIN}
    return {
        **plain,
        "form": _FORM,
        "said": _said(upload),
        "problems": [asdict(each) for each in preview.problems],
        "questions": [asdict(each) for each in preview.questions],
        "set_aside": [asdict(each) for each in preview.set_aside],
        "unknown": [asdict(each) for each in preview.unknown],
        "remembered": [[*key, found] for key, found in preview.remembered.items()],
        "counts": asdict(preview.counts),
        "first_close": None if preview.first_close is None else preview.first_close.isoformat(),
        "frames": {name: _frame_as_json(getattr(preview, name)) for name in _FRAMES},
        "earnings": None
        if preview.earnings is None
        else {
            "changes": _frame_as_json(preview.earnings.changes),
            "problems": [asdict(each) for each in preview.earnings.problems],
        },
    }


_FORM = 1  # of this JSON; one that an older version kept is not read, and the file checked again
_PLAIN = (
    "headers", "samples", "decisions", "notes", "warnings", "set_aside_count", "rows", "refused_count",
    "repeated_count", "closed_periods", "earnings_count",
)  # fmt: skip
_FRAMES = ("added", "changed", "refused")


def _preview(found: Mapping[str, Any], filename: str) -> ImportPreview:
    frames = {name: _frame(frame) for name, frame in found["frames"].items()}
    earnings = found["earnings"]
    return ImportPreview(
        upload=_upload(found["said"], filename),
        headers=tuple(found["headers"]),
        samples=found["samples"],
        problems=tuple(Problem(**each) for each in found["problems"]),
        questions=tuple(_question(each) for each in found["questions"]),
        decisions=tuple(found["decisions"]),
        notes=tuple(found["notes"]),
        warnings=tuple(found["warnings"]),
        set_aside=tuple(SetAside(**each) for each in found["set_aside"]),
        set_aside_count=found["set_aside_count"],
        rows=found["rows"],
        unknown=tuple(Unknown(**each) for each in found["unknown"]),
        remembered={(kind, text): known for kind, text, known in found["remembered"]},
        people={},
        stages={},
        counts=Counts(**found["counts"]),
        refused_count=found["refused_count"],
        repeated_count=found["repeated_count"],
        added=frames["added"],
        changed=frames["changed"],
        refused=frames["refused"],
        closed_periods=tuple(found["closed_periods"]),
        first_close=date.fromisoformat(found["first_close"]) if found["first_close"] else None,
        earnings=None
        if earnings is None
        else Impact(_frame(earnings["changes"]), tuple(Problem(**each) for each in earnings["problems"])),
        earnings_count=found["earnings_count"],
    )


def _question(found: Mapping[str, Any]) -> Question:
    options = tuple((value, label) for value, label in found["options"])
    return Question(found["key"], found["text"], options, tuple(found["examples"]))


def _frame_as_json(frame: pd.DataFrame) -> dict[str, Any]:
    rows = [
        [None if cell is pd.NA else cell.isoformat() if isinstance(cell, date) else cell for cell in row]
        for row in frame.astype(object).to_numpy().tolist()
    ]
    return {"columns": list(frame.columns), "types": [str(kind) for kind in frame.dtypes], "rows": rows}


def _frame(found: Mapping[str, Any]) -> pd.DataFrame:
    frame = pd.DataFrame(found["rows"], columns=found["columns"], dtype=object)
    if "close_date" in frame:
        frame["close_date"] = [date.fromisoformat(text) for text in frame["close_date"]]
    return frame.astype(dict(zip(found["columns"], found["types"], strict=True)))

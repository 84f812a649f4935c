"""The pieces of the upload page: what was said about the file so far, the questions, the preview, the result.

A small file is read while the page waits, and lies in the session.  A large one is kept in the database and read by
jobs, which the page watches; it is found again after a reload.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Protocol

import streamlit as st
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

from app import auth, navigation, people_rows, state, widgets
from app.actions import attempt
from app.people_rows import people_count
from app.widgets import Card, date_column, money_column, number_column, text_column
from engine.errors import ProblemsError, QuotaPathError
from engine.periods import parse_period
from engine.services import import_files, imports, people
from engine.services.access import Actor
from engine.services.import_files import KeptUpload
from engine.services.imports import FIELDS, ImportPreview, ImportResult, Unknown, Upload

SOURCE_NAMES = {"salesforce": "Salesforce", "hubspot": "HubSpot", "other": "Another system"}
_ASKED = 40  # unknown names asked for at a time
_LEAVE_OUT = "Leave these rows out"


class Draft(Protocol):
    """A file in hand: what was said about it, and the preview of just that."""

    id: str
    upload: Upload

    def say(self, **answers: object) -> None:
        """Change what is said about the file; the preview is made again."""

    def refused(self, actor: Actor) -> bytes:
        """All refused rows as a file."""

    def calculate(self) -> None:
        """Make the preview again, with what the import would do to earnings."""

    def take(self, preview: ImportPreview) -> None:
        """Import it.  Raises QuotaPathError."""


@dataclass
class SmallFile:
    """A file that lies in the session."""

    id: str
    upload: Upload
    preview: ImportPreview | None = field(default=None)
    earnings: bool = False

    def say(self, **answers: object) -> None:
        """See `Draft`."""
        self.upload = replace(self.upload, **answers)  # type: ignore[arg-type]
        self.preview = None

    def calculate(self) -> None:
        """See `Draft`."""
        self.earnings = True
        self.preview = None

    def refused(self, actor: Actor) -> bytes:
        """See `Draft`."""
        return imports.refused_rows(state.database(), actor, self.upload)

    def take(self, preview: ImportPreview) -> None:
        """See `Draft`."""
        actor = auth.require("deals.import")
        try:
            with st.spinner("Importing: all of it, or nothing ..."):
                result = imports.import_deals(
                    state.database(), actor, preview, accept_refused=bool(preview.refused_count)
                )
        except QuotaPathError:
            self.preview = None  # what the refusal speaks of is newer than the preview
            raise
        st.session_state["upload_result"] = result
        next_file()


@dataclass
class LargeFile:
    """A file that is kept in the database."""

    id: str
    upload: Upload

    def say(self, **answers: object) -> None:
        """See `Draft`."""
        said = replace(self.upload, **answers)  # type: ignore[arg-type]
        import_files.start_check(state.database(), state.jobs(), auth.require("deals.import"), self.id, said)

    def calculate(self) -> None:
        """See `Draft`."""
        self.say()

    def refused(self, actor: Actor) -> bytes:
        """See `Draft`."""
        return import_files.refused_rows(state.database(), actor, self.id)

    def take(self, preview: ImportPreview) -> None:
        """See `Draft`."""
        import_files.start_import(
            state.database(),
            state.jobs(),
            auth.require("deals.import"),
            self.id,
            accept_refused=bool(preview.refused_count),
        )


def choose_file(actor: Actor) -> None:
    """The place to drop a file; what comes in is in hand after the next run."""
    file = st.file_uploader(
        "The CRM's export of deals",
        type=["csv", "tsv", "txt", "xlsx"],
        max_upload_size=imports.MAX_BYTES // (1024 * 1024),
        key=f"upload_{st.session_state.get('uploads', 0)}",
        help="A report or list export from Salesforce or HubSpot, or any CSV or XLSX with one row for each deal. "
        f"Up to {imports.MAX_BYTES // (1024 * 1024)} MB: more than a million deals. Split what is larger by close date "
        "and upload the parts one after the other. Nothing is imported before you say so.",
    )
    if file is None:
        return
    st.session_state.pop("upload_result", None)
    upload = Upload(b"", file.name, today=state.today())
    if import_files.is_large(file.size, file.name):
        with st.spinner(f"Keeping {_megabytes(file.size)} ..."):
            file_id = import_files.keep_file(state.database(), actor, file.name, file)
        import_files.start_check(state.database(), state.jobs(), actor, file_id, upload)
        st.session_state.pop("upload_draft", None)
    else:
        st.session_state["upload_draft"] = SmallFile(file.file_id, replace(upload, data=file.getvalue()))
    _drop(file)
    st.session_state["uploads"] = st.session_state.get("uploads", 0) + 1
    st.rerun()


def _drop(file: UploadedFile) -> None:
    """Let go of the uploader's own copy, which would stay in memory as long as the session."""
    context = get_script_run_ctx()
    manager = context.uploaded_file_mgr if context else None
    if context and isinstance(manager, MemoryUploadedFileManager):
        manager.remove_file(context.session_id, file.file_id)


def file_in_hand(actor: Actor) -> "SmallFile | KeptUpload | None":
    """The file that the person chose: in this session, or a large one that is kept."""
    draft = st.session_state.get("upload_draft")
    if isinstance(draft, SmallFile):
        return draft
    file_id = import_files.file_in_hand(state.database(), actor)
    return import_files.kept_file(state.database(), actor, file_id) if file_id else None


def how_it_goes() -> None:
    """What will happen, for someone who has not chosen a file yet."""
    with st.grid(3, min_column_width=230):
        for icon, title, what in (
            (
                "file_export",
                "Export",
                "A report or list of opportunities or deals as CSV or XLSX: one row for each deal.",
            ),
            ("fact_check", "Check", "See what is added, changed, left alone and refused, and settle what is unclear."),
            ("publish", "Import", "All of it in one step, or nothing. The same file again changes nothing."),
        ):
            with st.container(border=True, height="stretch"):
                st.markdown(f":material/{icon}: **{title}**")
                st.caption(what)


def next_file() -> None:
    """Forget the file in hand."""
    st.session_state.pop("upload_draft", None)


def small_file(actor: Actor, draft: SmallFile) -> None:
    """From a small file to its import: source, columns, questions, preview, confirmation."""
    _name(draft.upload.filename, len(draft.upload.data) if isinstance(draft.upload.data, bytes) else 0, next_file)
    if draft.preview is None:
        try:
            with st.spinner("Reading the file and comparing it with the deals you have ..."):
                draft.preview = imports.preview_import(
                    state.database(), actor, draft.upload, state.pool(), earnings=draft.earnings
                )
        except QuotaPathError as error:
            widgets.show_problems(error)
            return
        draft.upload = draft.preview.upload
    _steps(actor, draft, draft.preview)


def large_file(actor: Actor, kept: KeptUpload) -> None:
    """From a kept file to its import; while a job works on it, its progress."""

    def give_up() -> None:
        import_files.forget_file(state.database(), auth.require("deals.import"), kept.id)

    job = kept.job
    importing = job is not None and job.kind == import_files.IMPORT
    if kept.result is not None:
        st.session_state["upload_result"] = kept.result
        give_up()
        st.rerun()
    _name(kept.upload.filename, kept.size, None if importing and job and not job.is_over else give_up)
    if job is not None and not job.is_over:
        _progress(kept.id)
        return
    draft = LargeFile(kept.id, kept.preview.upload if kept.preview else kept.upload)
    if job is not None and job.status == "failed":
        widgets.show_problems(QuotaPathError(job.message))
    elif job is not None and job.status == "cancelled":
        st.info(f"{'The import' if importing else 'The check'} was cancelled; nothing was imported.")
    if kept.preview and job is not None and job.status == "done":
        _steps(actor, draft, kept.preview)
    elif st.button("Check the file again", icon=":material/refresh:", key="check_again"):
        draft.say()
        st.rerun()


@st.fragment(run_every="0.5s")
def _progress(file_id: str) -> None:
    actor = auth.require("deals.import")
    kept = import_files.kept_file(state.database(), actor, file_id)
    widgets.job_bar(kept.job if kept else None)
    st.caption("You can leave this page: the work goes on, and the file is here when you come back.")


def _name(filename: str, size: int, give_up: Callable[[], None] | None) -> None:
    """What is in hand, and the way to another file."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(f":material/description: **{widgets.plain(filename)}** · {_megabytes(size)}", width="content")
        if give_up and st.button("Choose another file", icon=":material/close:", key="another"):
            give_up()
            st.rerun()


def _megabytes(size: int) -> str:
    if size < 1000:
        return f"{size} {'byte' if size == 1 else 'bytes'}"
    return f"{size / 1_000_000:,.1f} MB" if size >= 100_000 else f"{size / 1000:,.1f} KB"


def _steps(actor: Actor, draft: Draft, preview: ImportPreview) -> None:
    _source_and_columns(actor, draft, preview)
    _questions(draft, preview)
    if not preview.ready:
        return
    _unknown(actor, draft, preview)
    _findings(preview)
    _tabs(actor, draft, preview)
    _confirm(draft, preview)


# --- source and columns ----------------------------------------------------------------------------


def _source_and_columns(actor: Actor, draft: Draft, preview: ImportPreview) -> None:
    sources = imports.known_sources(state.database(), actor)
    chosen = draft.upload.source
    with st.container(horizontal=True, vertical_alignment="bottom"):
        source = st.selectbox(
            "Where the file comes from",
            list(dict.fromkeys((*sources, chosen))),
            index=list(dict.fromkeys((*sources, chosen))).index(chosen),
            format_func=lambda name: SOURCE_NAMES.get(name, name),
            accept_new_options=True,
            key=f"source_{draft.id}_{chosen}",
            help="A deal is known again by its source and its ID. Type a name for a system of your own.",
            width=260,
        )
        extra = len(preview.headers) - len(draft.upload.mapping or {})
        st.caption(
            f"{_rows(preview.rows)}, {len(preview.headers)} columns: {len(draft.upload.mapping or {})} are fields of "
            f"a deal, {extra} {'comes along as an extra field' if extra == 1 else 'come along as extra fields'}.",
            width="content",
        )
    if source and source != chosen:
        try:
            draft.say(source=imports.source_name(source), mapping=None)
        except QuotaPathError as error:
            widgets.show_problems(error)
        else:
            st.rerun()
    if preview.problems:
        widgets.show_problems(ProblemsError(preview.problems))
    with st.expander("Columns", expanded=bool(preview.problems), icon=":material/view_column:"):
        _mapping_form(draft, preview)


def _mapping_form(draft: Draft, preview: ImportPreview) -> None:
    mapping = draft.upload.mapping or {}
    options = ["", *preview.headers]
    chosen = {}
    with st.form(f"mapping_{draft.id}", border=False):
        with st.grid(3, min_column_width=230):
            for each in FIELDS:
                header = mapping.get(each.name, "")
                with st.container(gap=None):
                    chosen[each.name] = st.selectbox(
                        each.label + (" *" if each.required else ""),
                        options,
                        index=options.index(header) if header in options else 0,
                        format_func=lambda name: name or "not in the file",
                        key=f"map_{draft.id}_{draft.upload.source}_{each.name}",
                    )
                    st.caption(widgets.plain(_shortened(preview.samples.get(chosen[each.name], ""))) or "\u2002")
        if st.form_submit_button("Use these columns", icon=":material/check:"):
            draft.say(mapping={name: header for name, header in chosen.items() if header})
            st.rerun()


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "..."


# --- questions -------------------------------------------------------------------------------------


def _questions(draft: Draft, preview: ImportPreview) -> None:
    if not preview.questions:
        return
    with st.container(border=True):
        st.markdown("**Before the rows can be read**")
        answers = dict(draft.upload.answers)
        with st.form(f"questions_{draft.id}", border=False):
            for question in preview.questions:
                labels = {value: widgets.plain(label) for value, label in question.options}
                answer = st.radio(
                    widgets.plain(question.text),
                    list(labels),
                    index=None,
                    format_func=labels.__getitem__,
                    key=f"answer_{draft.id}_{question.key}",
                )
                st.caption("In the file: " + widgets.plain(", ".join(question.examples)))
                if answer:
                    answers[question.key] = answer
            if st.form_submit_button("Answer", type="primary"):
                draft.say(answers=answers)
                st.rerun()


def _unknown(actor: Actor, draft: Draft, preview: ImportPreview) -> None:
    """Owners and stages that nobody knows here: people to be added, or other names of what is known."""
    owners = [each for each in preview.unknown if each.field == "owner"]
    stages = [each for each in preview.unknown if each.field == "stage"]
    if owners:
        newcomers = _newcomers(owners)
        with st.container(border=True):
            rows = _rows(sum(each.count for each in owners))
            st.markdown(
                "**One owner is not known here**"
                if len(owners) == 1
                else f"**{len(owners):,} owners are not known here**"
            )
            st.caption(f"{rows} cannot be imported before it is clear whose deals these are.")
            if newcomers:
                add, known = st.tabs([f"Add {people_count(len(newcomers))}", "They are here under another name"])
                with add:
                    _add_people(actor, draft, preview, newcomers)
                with known:
                    _same_as(draft, "owner", owners, preview.people)
            else:
                _same_as(draft, "owner", owners, preview.people)
    if stages:
        with st.container(border=True):
            st.markdown("**Stages that are not known here**")
            _same_as(draft, "stage", stages, preview.stages)
    said = len(draft.upload.owners) + len(draft.upload.stages)
    if said:
        with st.expander(f"What you said about this file ({said:,})", icon=":material/person_check:"):
            for kind, names in (("owner", preview.people), ("stage", preview.stages)):
                if draft.upload.owners if kind == "owner" else draft.upload.stages:
                    _same_as(draft, kind, [], names)


def _newcomers(owners: Sequence[Unknown]) -> list[Unknown]:
    """The unknown owners who may be people, each once, however the name is written."""
    found: dict[str, Unknown] = {}
    for each in owners:
        if each.value:
            found.setdefault(imports.owner_key(each.value), each)
    return list(found.values())


def _add_people(actor: Actor, draft: Draft, preview: ImportPreview, newcomers: Sequence[Unknown]) -> None:
    """The newcomers as people to be added, in one go."""
    first = preview.first_close or state.today()
    domain = actor.email.rpartition("@")[2]
    teams = [team.name for team in people.list_team_rows(state.database(), actor, state.today())]
    names = "\n".join(each.value for each in newcomers)
    chosen = people_rows.people_rows(
        f"add_{draft.id}_{sha256(names.encode()).hexdigest()[:12]}",
        people_rows.with_defaults(
            [people.propose_person(each.value, domain) for each in newcomers], domain, first.replace(month=1, day=1)
        ),
        teams,
        domain,
        [each.suggestion is None for each in newcomers],
    )
    likely = [each for each in newcomers if each.suggestion is not None]
    if likely:
        st.caption(
            "Not ticked, because someone here is called nearly so: "
            + widgets.plain(
                ", ".join(f"{each.value} ({preview.people[each.suggestion]})" for each in likely if each.suggestion)
            )
        )
    made = people_rows.new_teams(chosen, teams)
    if made:
        st.caption(f"New {'team' if len(made) == 1 else 'teams'}: {widgets.plain(', '.join(made))}")
    st.caption(
        f"The earliest deal of the file closed on {first}, so everyone begins on {first.year}-01-01 unless you say "
        f"otherwise. {people_rows.CANNOT_SIGN_IN}"
    )

    def add() -> None:
        added = people.add_people(state.database(), auth.require("people.edit"), [each.row for each in chosen])
        said = {newcomers[each.position].value: user_id for each, user_id in zip(chosen, added, strict=True)}
        draft.say(owners={**draft.upload.owners, **said})

    if st.button(
        f"Add {people_count(len(chosen))}",
        type="primary",
        icon=":material/group_add:",
        disabled=not chosen,
        key="add_people",
    ) and attempt(add, f"{people_count(len(chosen))} added. Their deals can be imported now."):
        st.rerun()


def _same_as(draft: Draft, kind: str, unknown: Sequence[Unknown], names: Mapping[int, str]) -> None:
    """For each unknown owner or stage a choice of the known ones; without any, those answered, to be corrected."""
    said = draft.upload.owners if kind == "owner" else draft.upload.stages
    asked = [(each.value, f" · {_rows(each.count)}", each.suggestion) for each in unknown[:_ASKED]]
    labels: dict[int | None, str] = {None: _LEAVE_OUT} | dict(names.items())
    with st.form(f"same_{draft.id}_{kind}_{bool(unknown)}", border=False):
        found = dict(said)
        with st.grid(3, min_column_width=230):
            for text, note, suggestion in asked or [(text, "", None) for text in said]:
                answer = st.selectbox(
                    f"{kind.capitalize()}: {widgets.plain(text) or '(empty)'}{note}",
                    list(labels),
                    index=list(labels).index(said.get(text)) if said.get(text) in labels else 0,
                    format_func=labels.__getitem__,
                    key=f"unknown_{draft.id}_{kind}_{text}",
                    help=f"Perhaps {names[suggestion]}?" if suggestion else None,
                )
                found.pop(text, None)
                if answer is not None:
                    found[text] = answer
        if len(unknown) > _ASKED:
            st.caption(f"{len(unknown) - _ASKED:,} more follow after these.")
        st.caption("The answers are remembered for this source when you import.")
        if st.form_submit_button("Use these answers", icon=":material/check:"):
            draft.say(**{f"{kind}s": found})
            st.rerun()


# --- preview ---------------------------------------------------------------------------------------


def _findings(preview: ImportPreview) -> None:
    """What was decided and noticed, short, above the rows."""
    if preview.warnings or preview.closed_periods:
        lines = [f"- {widgets.plain(each)}" for each in preview.warnings]
        if preview.closed_periods:
            lines.append(
                f"- Deals of closed periods are added or changed ({_periods(preview.closed_periods)}). "
                "What was paid there stays; the difference is posted in the open period."
            )
        st.warning("\n".join(lines), icon=":material/visibility:")
    notes = [*preview.decisions, *preview.notes]
    if preview.repeated_count:
        notes.append(f"{preview.repeated_count:,} rows repeat another row word for word and count once.")
    with st.expander(f"How the file was read ({len(notes) + bool(preview.set_aside_count)})", icon=":material/info:"):
        for note in notes:
            st.markdown(f"- {widgets.plain(note)}")
        if preview.set_aside_count:
            aside = "; ".join(f"line {each.line}: {_shortened(each.text)}" for each in preview.set_aside[:8])
            st.markdown(f"- {preview.set_aside_count:,} lines are no deals and were set aside: {widgets.plain(aside)}")
        if preview.remembered:
            called = {"owner": preview.people, "stage": preview.stages}
            known = ", ".join(
                f"{text or '(empty)'} is {called[kind].get(found, 'gone')}"
                for (kind, text), found in sorted(preview.remembered.items())[:50]
            )
            st.markdown(f"- Remembered from earlier imports: {widgets.plain(known)}")


def _tabs(actor: Actor, draft: Draft, preview: ImportPreview) -> None:
    counts = preview.counts
    widgets.cards(
        Card("Added", f"{counts.added:,}"),
        Card("Changed", f"{counts.changed:,}"),
        Card("Left alone", f"{counts.unchanged:,}", help="These deals are here already, with the same values."),
        Card("Refused", f"{preview.refused_count:,}"),
    )
    moved = "" if preview.earnings is None else f" ({preview.earnings_count:,})"
    added, changed, refused, earnings = st.tabs(
        [
            f"Added ({counts.added:,})",
            f"Changed ({counts.changed:,})",
            f"Refused ({preview.refused_count:,})",
            f"Earnings{moved}",
        ],
        default=f"Refused ({preview.refused_count:,})" if preview.refused_count else None,
    )
    with added:
        if preview.added.empty:
            st.caption("No deal is new.")
        else:
            widgets.table(
                preview.added,
                {
                    "line": number_column("Line"),
                    "name": text_column("Deal"),
                    "account": text_column("Account"),
                    "owner": text_column("Owner"),
                    "stage": text_column("Stage"),
                    "amount": money_column("Amount"),
                    "close_date": date_column("Close date"),
                },
                key="upload_added",
            )
            _first_rows(len(preview.added), counts.added)
    with changed:
        if preview.changed.empty:
            st.caption("No deal changes.")
        else:
            widgets.table(
                preview.changed,
                {
                    "line": number_column("Line"),
                    "name": text_column("Deal"),
                    "field": text_column("Field"),
                    "before": text_column("From"),
                    "after": text_column("To"),
                },
                key="upload_changed",
            )
            _first_rows(preview.changed["line"].nunique(), counts.changed)
    with refused:
        _refused(actor, draft, preview)
    with earnings:
        _earnings(draft, preview)


def _earnings(draft: Draft, preview: ImportPreview) -> None:
    """Whose earnings the import would change, by pay period."""
    found = preview.earnings
    if found is None:
        st.caption("There are many deals here, so earnings are calculated only when you ask.")
        if st.button("Calculate what it does to earnings", icon=":material/calculate:", key="earnings"):
            draft.calculate()
            st.rerun()
    elif found.problems:
        st.caption("Earnings cannot be calculated with these deals. The import is not kept from it.")
        widgets.show_problems(ProblemsError(found.problems))
    elif found.changes.empty:
        st.caption("Nobody's earnings change, up to the current month and what was calculated so far.")
    else:
        if not found.closed.empty:
            st.info(
                f"{_periods(found.closed['period'].unique().tolist()[::-1])}: closed, and not moved. "
                "The differences in them are posted in the next open period.",
                icon=":material/lock:",
            )
        widgets.table(
            found.changes.assign(
                name=[preview.people.get(user, code) for user, code in found.changes[["user_id", "person"]].to_numpy()],
                status=found.changes["status"].replace("", "not run"),
            ),
            {
                "name": text_column("Person"),
                "period": text_column("Period"),
                "status": text_column("Status"),
                "before": money_column("Now"),
                "after": money_column("After"),
                "difference": money_column("Difference"),
            },
            key="upload_earnings",
            export=f"{preview.upload.filename.rsplit('.', 1)[0]}-earnings",
        )
        _first_rows(len(found.changes), preview.earnings_count)
        with st.container(horizontal=True):
            for period in found.changes["period"].unique()[:4]:
                navigation.link("runs", widgets.period_title(parse_period(period)), {"period": period})


def _refused(actor: Actor, draft: Draft, preview: ImportPreview) -> None:
    if preview.refused.empty:
        st.caption("Every row can be imported.")
        return
    widgets.table(
        preview.refused,
        {
            "line": number_column("Line"),
            "column": text_column("Column"),
            "value": text_column("Value"),
            "reason": text_column("Why"),
            "remedy": text_column("What to do"),
        },
        key="upload_refused",
    )
    _first_rows(preview.refused["line"].nunique(), preview.refused_count)
    widgets.download(
        "Refused rows with reasons (CSV)",
        f"{preview.upload.filename.rsplit('.', 1)[0]}-refused.csv",
        lambda: draft.refused(actor),
        "text/csv",
    )


def _periods(names: Sequence[str]) -> str:
    """Some periods by name, many by the first and the last; ``names`` from early to late."""
    titles = [widgets.period_title(parse_period(name)) for name in names]
    return ", ".join(titles) if len(titles) <= 4 else f"{len(titles)} periods from {titles[0]} to {titles[-1]}"


def _first_rows(shown: int, total: int) -> None:
    if shown < total:
        st.caption(f"The first {shown:,} of {total:,}.")


# --- confirmation and result -----------------------------------------------------------------------


def _confirm(draft: Draft, preview: ImportPreview) -> None:
    refused = preview.refused_count
    if not preview.good:
        what = "Say above whose deals these are." if preview.unknown else "The tab Refused says why."
        st.error(f"Every row is refused, so nothing can be imported. {what}", icon=":material/block:")
        return
    accepted = not refused
    if refused:
        accepted = st.checkbox(
            f"Import the {preview.good:,} good {'row' if preview.good == 1 else 'rows'}, "
            f"leave out the {refused:,} refused",
            key=f"accept_{draft.id}_{refused}",
        )
    moving = preview.counts.added + preview.counts.changed
    label = f"Import {moving:,} {'deal' if moving == 1 else 'deals'}" if moving else "Nothing changes: record it"
    if st.button(label, type="primary", icon=":material/publish:", disabled=not accepted, key="import"):
        try:
            draft.take(preview)
        except QuotaPathError as error:
            widgets.show_problems(error)
            return
        st.rerun()


def result_panel(result: ImportResult) -> None:
    """What was just imported, and what comes next."""
    with st.container(border=True):
        st.markdown(":green[:material/check_circle:] **The file is imported**")
        widgets.cards(
            Card("Added", f"{result.added:,}"),
            Card("Changed", f"{result.changed:,}"),
            Card("Left alone", f"{result.unchanged:,}"),
            Card("Left out", f"{result.refused:,}"),
        )
        if result.closed_periods:
            st.info(
                f"{_periods(result.closed_periods)}: closed already. "
                "The differences are posted in the open period when you run it."
            )
        with st.container(horizontal=True):
            begun = [name for name in result.months if name <= f"{state.today():%Y-%m}"]
            for month in [name for name in begun if name not in result.closed_periods][:2]:
                navigation.link("runs", f"Run {widgets.period_title(parse_period(month))}", {"period": month})
            navigation.link("deals", "See the deals")

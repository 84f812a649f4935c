"""Past imports and what is remembered of each source: looked at, undone, forgotten."""

from collections.abc import Sequence
from functools import partial

import pandas as pd
import streamlit as st

from app import auth, navigation, state, widgets
from app.actions import attempt
from app.upload_view import SOURCE_NAMES
from app.widgets import date_column, money_column, number_column, text_column
from engine.errors import QuotaPathError
from engine.periods import parse_period
from engine.services import batches, imports, left_out
from engine.services.access import Actor
from engine.services.batches import Batch, Remembered

_PAGE = 50
_ASKED = 40  # unknown owners asked for at a time


def past_imports(actor: Actor) -> None:
    """The files imported so far; the chosen one with its rows, and the way to undo it."""
    frame = imports.list_imports(state.database(), actor)
    if frame.empty:
        return
    st.subheader("Past imports", anchor=False)
    shown = frame.assign(
        created_at=[f"{at:%Y-%m-%d %H:%M}" for at in frame["created_at"]],
        source=[SOURCE_NAMES.get(name, name) for name in frame["source"]],
        undone=["" if at is None or at != at else f"{at:%Y-%m-%d %H:%M}" for at in frame["undone_at"]],
    )
    columns = {
        "created_at": text_column("When (UTC)"),
        "filename": text_column("File"),
        "source": text_column("Source"),
        "who": text_column("Who"),
        "added": number_column("Added"),
        "changed": number_column("Changed"),
        "unchanged": number_column("Left alone"),
        "refused": number_column("Left out"),
    }
    if shown["undone"].any():
        columns["undone"] = text_column("Undone (UTC)")
    chosen = widgets.table(shown, columns, key="past_imports", select=True)
    if chosen is None:
        st.caption("Choose an import to see its deals, download the rows left out, or undo it.")
    elif str(frame["id"].iloc[chosen]) != st.query_params.get("import", ""):  # which is open above
        _one(actor, batches.find_import(state.database(), actor, int(frame["id"].iloc[chosen])))


def asked_import(actor: Actor) -> None:
    """The import that the address asks for (``?import=7``), if there is one, and the way to put it away."""
    asked = st.query_params.get("import", "")
    if not asked.isdecimal() or len(asked) >= 18:
        return
    try:
        batch = batches.find_import(state.database(), actor, int(asked))
    except QuotaPathError as error:
        widgets.show_problems(error)
        return
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader("What this import left out" if batch.refused else "This import", anchor=False, width="content")
        if st.button("Close", icon=":material/close:", type="tertiary", key="import_close"):
            st.query_params.pop("import", None)
            st.rerun()
    _one(actor, batch)


def _one(actor: Actor, batch: Batch) -> None:
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.markdown(f"**{widgets.plain(batch.filename)}**, imported by {widgets.plain(batch.who)}", width="content")
            if batch.undone_at is None:
                _undo(actor, batch)
        if batch.undone_at is not None:
            st.info(
                f"Undone on {batch.undone_at:%Y-%m-%d %H:%M} UTC by {widgets.plain(batch.undone_by or '')}: the deals "
                "that it added are gone, those that it changed are as they were before.",
                icon=":material/undo:",
            )
            _run_again(batches.periods_to_run(state.database(), actor, batch))
        if batch.refused and batch.undone_at is None:
            _unknown_owners(actor, batch)
        names = [f"Added ({batch.added:,})", f"Changed ({batch.changed:,})"]
        out = f"Left out ({batch.refused:,})"
        tabs = st.tabs([*names, out] if batch.refused else names, default=out if batch.refused else None)
        with tabs[0]:
            _rows(actor, batch, added=True)
        with tabs[1]:
            _rows(actor, batch, added=False)
        if batch.refused:
            with tabs[2]:
                _left_out(actor, batch)


def _left_out(actor: Actor, batch: Batch) -> None:
    """The rows that did not come in, each with the reason; as a file they can be corrected and uploaded again."""
    place = st.container()
    offset = widgets.pager(batch.refused, _PAGE, key=f"batch_{batch.id}_refused_page")
    rows = left_out.left_out_rows(state.database(), actor, batch.id, _PAGE, offset)
    columns = {
        "line": number_column("Line"),
        "reason": text_column("Why"),
        "remedy": text_column("What to do"),
        "row": text_column("The row"),
    }
    with place:
        widgets.table(rows, columns, key=f"batch_{batch.id}_refused")
    widgets.download(
        f"The {batch.refused:,} rows left out (CSV)" if batch.refused > 1 else "The row left out (CSV)",
        f"import-{batch.id}-refused.csv",
        partial(imports.past_refusals, state.database(), actor, batch.id),
        "text/csv",
    )


def _unknown_owners(actor: Actor, batch: Batch) -> None:
    """The owners whom nobody knows, and a choice of who is meant; the next file of the source is read so."""
    found = left_out.unknown_owners(state.database(), actor, batch.id, state.today())
    if not found:
        return
    names = left_out.owner_choices(state.database(), actor)
    count = len(found)
    with st.form(f"owners_{batch.id}"):
        st.markdown(
            f"**{'One owner is' if count == 1 else f'{count:,} owners are'} not known here.** Say who is meant, or add "
            "them under People by that name. Then upload the file again: their rows come in, the others stay as they "
            "are."
        )
        said = {}
        with st.grid(3, min_column_width=230):
            for each in found[:_ASKED]:
                name = " ".join(each.owner.split())
                answer = st.selectbox(
                    f"{widgets.plain(name) or '(no owner)'} · {each.rows:,} row{'s' if each.rows > 1 else ''}",
                    [None, *names],
                    format_func=lambda key: names.get(key, "Nobody yet"),
                    key=f"owner_{batch.id}_{each.owner}",
                )
                if answer is not None:
                    said[each.owner] = answer
        if len(found) > _ASKED:
            st.caption(f"{len(found) - _ASKED:,} more follow after these.")
        with st.container(horizontal=True, vertical_alignment="center"):
            pressed = st.form_submit_button("Remember who they are", icon=":material/check:")
            navigation.link("people", "People")
    if pressed and attempt(
        lambda: left_out.map_owners(state.database(), auth.require("deals.import"), batch.source, said),
        "Remembered. Upload the file again, and their rows come in.",
    ):
        st.rerun()


def _run_again(periods: Sequence[str]) -> None:
    """The periods that show no figures since the undoing, with the way to run each."""
    if not periods:
        return
    st.warning(
        f"**{_titles(periods)}** was run with these deals and shows nobody's figures until it is run again."
        if len(periods) == 1
        else f"**{_titles(periods)}** were run with these deals and show nobody's figures until they are run again.",
        icon=":material/sync_problem:",
    )
    with st.container(horizontal=True):
        for period in periods:
            navigation.link("runs", f"Run {widgets.period_title(parse_period(period))}", {"period": period})


def _titles(periods: Sequence[str]) -> str:
    return ", ".join(widgets.period_title(parse_period(period)) for period in periods)


def _rows(actor: Actor, batch: Batch, *, added: bool) -> None:
    total = batch.added if added else batch.changed
    if not total or (added and batch.undone_at):
        st.caption("No deal." if not total else "The deals were deleted when the import was undone.")
        return
    key = f"batch_{batch.id}_{'added' if added else 'changed'}"
    place = st.container()
    offset = widgets.pager(total, _PAGE, key=f"{key}_page")
    frame = batches.import_rows(state.database(), actor, batch.id, added, _PAGE, offset)
    columns = {
        "external_id": text_column("Deal ID"),
        "name": text_column("Deal"),
        "account": text_column("Account"),
        "owner": text_column("Owner"),
        "stage": text_column("Stage"),
        "amount": money_column("Amount"),
        "close_date": date_column("Close date"),
    }
    if not added:
        columns = {name: columns[name] for name in ("external_id", "name", "owner")}
        columns["what"] = text_column("What the import changed")
    with place:
        chosen = widgets.table(frame, columns, key=key, select=True)
    if chosen is not None:
        navigation.link("deals", "Open this deal", {"deal": str(frame["id"].iloc[chosen])})


def _undo(actor: Actor, batch: Batch) -> None:
    """The way back, with what it would do said first."""
    moving = batch.added + batch.changed
    job = batches.undo_job_of(state.database(), actor, batch.id)
    if job is not None and not job.is_over:
        _undoing(batch.id)
        return
    with st.popover("Undo this import", icon=":material/undo:", disabled=not moving):
        what = [
            f"{_deals(batch.added)} that it added will be deleted" if batch.added else "",
            f"{_deals(batch.changed)} that it changed will be as before" if batch.changed else "",
        ]
        st.markdown(
            f"{' and '.join(filter(None, what))}. All of it, or nothing: if one was changed since, or has earnings in "
            "a closed period, you are told which."
        )
        if periods := batches.periods_to_run(state.database(), actor, batch):
            these = "This period was" if len(periods) == 1 else "These periods were"
            st.warning(
                f"**Everyone loses their figures of {_titles(periods)}** until you run "
                f"{'it' if len(periods) == 1 else 'them'} again. {these} run with deals that will be deleted.",
                icon=":material/warning:",
            )
        if job is not None and job.status == "failed":
            widgets.show_problems(QuotaPathError(job.message))
        if st.button("Undo it", type="primary", key=f"undo_{batch.id}"):
            who = auth.require("deals.import")
            st.session_state.pop("upload_result", None)
            if moving > batches.AT_ONCE:
                batches.start_undo(state.jobs(), who, batch.id)
                st.rerun()
            if attempt(partial(batches.undo_import, state.database(), who, batch.id), f"{batch.filename} is undone."):
                st.rerun()


@st.fragment(run_every="1s")
def _undoing(import_id: int) -> None:
    widgets.job_bar(batches.undo_job_of(state.database(), auth.require("deals.import"), import_id))


def _deals(count: int) -> str:
    return "1 deal" if count == 1 else f"{count:,} deals"


# --- what is remembered ----------------------------------------------------------------------------


def remembered(actor: Actor) -> None:
    """Columns, owners and stages that earlier imports settled, each to be forgotten on its own."""
    sources = batches.remembered(state.database(), actor)
    if not sources:
        return
    with st.expander("What is remembered of each source", icon=":material/bookmark:"):
        st.caption(
            "The next file of the source is read with these. Forget what is wrong: it is asked, or guessed, again."
        )
        names = {each.source: each for each in sources}
        chosen = st.selectbox(
            "Source",
            list(names),
            format_func=lambda name: SOURCE_NAMES.get(name, name),
            key="remembered_source",
            width=260,
        )
        _entries(names[chosen])


def _entries(found: Remembered) -> None:
    columns, owners, stages = st.tabs(
        [f"Columns ({len(found.columns)})", f"Owners ({len(found.owners)})", f"Stages ({len(found.stages)})"]
    )
    with columns:
        _list(
            found.source,
            "mapping",
            [(name, label, column) for name, label, column in found.columns],
            ("Field of a deal", "Column of the file"),
        )
    with owners:
        entries = [(text, text or "(empty)", person) for text, person in found.owners]
        _list(found.source, "owners", entries, ("Owner in the file", "Person"))
    with stages:
        entries = [(text, text or "(empty)", stage) for text, stage in found.stages]
        _list(found.source, "stages", entries, ("Stage in the file", "Stage here"))


def _list(source: str, kind: str, entries: list[tuple[str, str, str]], titles: tuple[str, str]) -> None:
    if not entries:
        st.caption("Nothing is remembered.")
        return
    chosen = widgets.table(
        pd.DataFrame(entries, columns=["key", "text", "means"]),
        {"text": text_column(titles[0]), "means": text_column(titles[1])},
        key=f"remembered_{source}_{kind}",
        select=True,
    )
    if chosen is None:
        st.caption("Choose a row to forget it.")
        return
    key, text, means = entries[chosen]
    if st.button(
        f"Forget {widgets.plain(text)} = {widgets.plain(means)}", icon=":material/delete:", key=f"forget_{kind}"
    ) and attempt(
        lambda: batches.forget(state.database(), auth.require("deals.import"), source, kind, key),
        f"{text} is forgotten.",
    ):
        st.rerun()

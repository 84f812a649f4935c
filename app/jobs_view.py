"""Background jobs on the status page: those that wait or run, live, and the list of all with its buttons."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from app import auth, state, widgets
from app.actions import attempt
from app.widgets import number_column, text_column, time_column
from engine.db.jobs import STATUSES, Job, ListedJob
from engine.errors import QuotaPathError
from engine.periods import parse_period
from engine.services import access, jobs
from engine.services.access import Actor

_PAGE = 25
_LIVE = 5


@st.fragment(run_every="1s")
def live() -> None:
    """The bar of each open job; once one ends, or a new one begins, the whole page is drawn anew."""
    actor = auth.require("status.view")
    found = jobs.open_jobs(state.database(), actor, _LIVE)
    ids = [each.job.id for each in found]
    if st.session_state.get("jobs_live", ids) != ids:
        st.session_state["jobs_live"] = ids
        st.rerun()
    st.session_state["jobs_live"] = ids
    for each in found:
        _bar(actor, each)


def _bar(actor: Actor, found: ListedJob) -> None:
    job = found.job
    with st.container(border=True, key=f"job_{job.id}"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.markdown(
                f"**{title(job)}** · {widgets.plain(found.who)}"
                + (f" · {widgets.plain(job.worker)}" if job.worker and job.status == "running" else ""),
                width="content",
            )
            if access.may(actor, "jobs.manage"):
                if job.cancel_asked:
                    st.caption("Cancelling at its next step", width="content")
                elif st.button("Cancel", icon=":material/cancel:", key=f"cancel_live_{job.id}"):
                    _cancel(job)
        text = job.message or ("Waiting for a free place" if job.status == "queued" else "Working")
        done = f": {job.done:,} of {job.total:,}" if job.total else ""
        st.progress(min(job.done / job.total, 1.0) if job.total else 0.0, widgets.plain(text + done))


def _cancel(job: Job) -> None:
    """Cancel it; where the job has ended meanwhile, that is what the page then says."""
    actor = auth.require("jobs.manage")
    if attempt(lambda: jobs.cancel_job(state.database(), actor, job.id), f"{title(job)}: cancelled"):
        st.rerun()


def listing(actor: Actor) -> None:
    """The jobs of a kind and a status, page by page; choosing one offers what can be done with it."""
    place = st.container()
    with place, st.container(horizontal=True, vertical_alignment="center", key="job_filters"):
        kind = _choice("Kind of job", "job_kind", "Every kind", jobs.kinds(state.database(), actor))
        status = _choice("Status", "job_status", "Every status", STATUSES)
    rows = st.container()
    total = jobs.count_jobs(state.database(), actor, kind, status)
    offset = widgets.pager(total, _PAGE, key=f"jobs_page_{kind}_{status}")
    found = jobs.list_jobs(state.database(), actor, kind, status, _PAGE, offset)
    with rows:
        if not found:
            if kind or status:
                widgets.empty("No such jobs", "Choose another kind or status.", icon=":material/filter_alt_off:")
            else:
                text = "Runs, imports of large files and statements appear here while they work and afterwards."
                widgets.empty("No jobs yet", text, page="runs", link="Run a period", icon=":material/schedule:")
            return
        chosen = widgets.table(
            pd.DataFrame([_row(each) for each in found]), _COLUMNS, key="jobs", export="jobs", select=True
        )
        st.caption(f"{total:,} {'job' if total == 1 else 'jobs'}. Choose one to see all it says.")
        if chosen is not None:
            _one(actor, found[chosen])


_COLUMNS = {
    "kind": text_column("Job"),
    "about": text_column("For"),
    "status": text_column("Status"),
    "who": text_column("Started by"),
    "created_at": time_column("Started"),
    "seconds": number_column("Seconds", help="From its start to its end, without the wait before"),
    "message": text_column("Message"),
    "worker": text_column("Done by"),
}


def _row(found: ListedJob) -> dict[str, Any]:
    job = found.job
    seconds = None
    if job.started_at and job.finished_at:
        seconds = round((job.finished_at - job.started_at).total_seconds(), 1)
    return {
        "kind": job.kind.capitalize(),
        "about": _about(job.arguments),
        "status": "Cancelling" if job.cancel_asked and not job.is_over else job.status.capitalize(),
        "who": found.who,
        "created_at": job.created_at,
        "seconds": seconds,
        "message": job.message,
        "worker": job.worker or ("the app" if job.started_at else ""),
    }


def _choice(label: str, key: str, every: str, names: Any) -> str | None:
    """A filter in the URL; None for every."""
    chosen: str = st.selectbox(
        label,
        ["", *names],
        format_func=lambda name: name.capitalize() if name else every,
        key=key,
        bind="query-params",
        label_visibility="collapsed",
        width=190,
    )
    return chosen or None


def _one(actor: Actor, found: ListedJob) -> None:
    """All that a job says, and what can be done with it."""
    job = found.job
    with st.container(border=True, key="job_chosen"):
        st.markdown(
            f"**{title(job)}** · {job.status} · {widgets.plain(found.who)}, {job.created_at:%Y-%m-%d %H:%M} UTC"
        )
        if job.message and job.is_over:
            widgets.show_problems(QuotaPathError(job.message))
        if job.retry_of:
            st.caption("It does again a job that failed or was cancelled.")
        if not access.may(actor, "jobs.manage"):
            return
        if not job.is_over and not job.cancel_asked:
            if st.button("Cancel this job", icon=":material/cancel:", key="cancel"):
                _cancel(job)
        elif job.status in ("failed", "cancelled"):
            if found.is_retried:
                st.caption("It was retried; the newer job is in the list.")
            elif st.button("Retry this job", icon=":material/replay:", key="retry"):
                who = auth.require("jobs.manage")
                again = f"{title(job)}: started again"
                if attempt(lambda: jobs.retry_job(state.database(), state.jobs(), who, job.id), again):
                    st.rerun()


def title(job: Job) -> str:
    """What the job does, for Markdown: ``"Run: October 2026"``."""
    about = _about(job.arguments)
    return widgets.plain(job.kind.capitalize() + (f": {about}" if about else ""))


def _about(arguments: Mapping[str, Any]) -> str:
    """What the job works on, in words."""
    if "period" in arguments:
        try:
            return widgets.period_title(parse_period(arguments["period"]))
        except QuotaPathError:
            return str(arguments["period"])
    if "name" in arguments:
        return str(arguments["name"])
    return ", ".join(f"{key} {value}" for key, value in arguments.items())


def without_workers(alive: int, is_open: int) -> None:
    """Say what to do when jobs are for workers and there is none."""
    if not alive:
        waiting = f"{is_open:,} {'job waits' if is_open == 1 else 'jobs wait'}" if is_open else "Jobs will wait"
        st.warning(
            f"{waiting}: no worker is running. Start one with `make worker`, here or on another machine, with the "
            "app's DATABASE\\_URL and REDIS\\_URL.",
            icon=":material/engineering:",
        )

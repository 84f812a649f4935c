"""The progress of a run, refreshed by itself until the run is over."""

from datetime import UTC, datetime

import streamlit as st

from app import auth, state, widgets
from engine.errors import QuotaPathError
from engine.services import runs
from engine.services.access import Actor

_RECENT_SECONDS = 600


def progress(actor: Actor, period: str) -> None:
    """The bar of the period's running job, or what came of the last one."""
    job = runs.run_job_of(state.database(), actor, period)
    if job is None:
        return
    if not job.is_over:
        _bar(period)
    elif job.status == "failed":
        widgets.show_problems(QuotaPathError(job.message))
    elif job.finished_at and (datetime.now(UTC) - job.finished_at).total_seconds() < _RECENT_SECONDS:
        seconds = (job.finished_at - (job.started_at or job.created_at)).total_seconds()
        st.success(f"Calculated in {seconds:.1f} s.", icon=":material/check_circle:")


@st.fragment(run_every="1s")
def _bar(period: str) -> None:
    actor = auth.require("runs.view")
    job = runs.run_job_of(state.database(), actor, period)
    if job is None or job.is_over:
        st.rerun()
    share = job.done / job.total if job.total else 0.0
    st.progress(min(share, 1.0), job.message or "Waiting for a free place")

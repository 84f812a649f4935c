"""How the system is: calculation workers, interpreter, database, background jobs."""

import pandas as pd
import streamlit as st

from app import auth, state, widgets
from app.widgets import Card, number_column, text_column
from engine.services import status
from engine.services.jobs import recent_jobs

actor = auth.require("status.view")
db = state.database()
found = status.system_status(db, state.pool(), actor)

widgets.header("Status", "Workers, database and background jobs.")
if found.interpreter == "cpython":
    st.warning(found.note, icon=":material/speed:")
else:
    st.caption(found.note)
widgets.cards(
    Card("Pay rules run on", {"pypy": "PyPy", "cpython": "CPython"}[found.interpreter]),
    Card("Workers", f"{len(found.workers)}"),
    Card("PostgreSQL", found.database_version),
    Card("Database size", f"{found.database_bytes / 2**20:,.1f} MB"),
)

st.subheader("Calculation workers", anchor=False)
widgets.table(
    found.workers,
    {
        "worker": number_column("Worker"),
        "pid": text_column("Process"),
        "interpreter": text_column("Interpreter"),
        "version": text_column("Version"),
        "shards": number_column("Shards done"),
        "deals": number_column("Deals done"),
        "busy_seconds": number_column("Busy (s)"),
        "restarts": number_column("Replaced"),
    },
    key="workers",
)

st.subheader("Background jobs", anchor=False)
jobs = pd.DataFrame([vars(job) for job in recent_jobs(db, actor)])
if jobs.empty:
    widgets.empty("No jobs yet", "Runs appear here while they work and afterwards.", icon=":material/schedule:")
else:
    jobs["what"] = [", ".join(f"{key} {value}" for key, value in row.items()) for row in jobs["arguments"]]
    jobs["seconds"] = (jobs["finished_at"] - jobs["started_at"]).dt.total_seconds().round(1)
    widgets.table(
        jobs,
        {
            "kind": text_column("Job"),
            "what": text_column("For"),
            "status": text_column("Status"),
            "message": text_column("Message"),
            "seconds": number_column("Seconds"),
            "created_at": widgets.time_column("Started"),
        },
        key="jobs",
        export="jobs",
    )

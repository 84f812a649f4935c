"""How the system is: workers, database, Redis, speed, background jobs."""

import streamlit as st

from app import actions, auth, jobs_view, state, widgets
from app.widgets import Card, number_column, text_column, time_column
from engine import settings
from engine.services import status

actor = auth.require("status.view")
redis_url = settings.read().redis_url
found = status.system_status(state.database(), state.pool(), actor, redis_url)

widgets.header("Status", "Background jobs, workers, database and speed.")
actions.show_done()
if found.redis is not None:
    if not found.redis.is_ok:
        st.error(
            "Redis does not answer. Jobs are kept in the database and start by themselves when it is back.",
            icon=":material/cloud_off:",
        )
    jobs_view.without_workers(found.alive, found.open_jobs)
if found.interpreter == "cpython":
    st.warning(found.note, icon=":material/speed:")
else:
    st.caption(found.note)
speed = "" if found.runs.empty else f"{found.runs['speed'].iloc[0]:,} deals/s"
widgets.cards(
    Card("Open jobs", f"{found.open_jobs:,}"),
    Card("Last run", speed or "none yet", help="From reading the deals to the kept lines"),
    Card("Workers alive", f"{found.alive}") if found.redis else Card("Jobs are done by", "the app"),
    Card("Redis", "answers" if found.redis.is_ok else "is away") if found.redis else Card("Redis", "not used"),
    Card("Pay rules run on", {"pypy": "PyPy", "cpython": "CPython"}[found.interpreter]),
    Card("Processes here", f"{len(found.processes)}"),
    Card("PostgreSQL", found.database_version),
    Card("Database size", f"{found.database_bytes / 2**20:,.1f} MB"),
)

st.subheader("Background jobs", anchor=False)
jobs_view.live()
jobs_view.listing(actor)

if found.redis is not None:
    st.subheader("Workers", anchor=False)
    if found.workers.empty:
        widgets.empty("No workers yet", "A worker appears here as soon as it starts.", icon=":material/engineering:")
    else:
        widgets.table(
            found.workers.assign(state=found.workers["state"].str.capitalize()),
            {
                "host": text_column("Machine"),
                "pid": text_column("Process"),
                "state": text_column("State"),
                "jobs": text_column("Works on"),
                "busy": number_column("Shards in hand"),
                "shards": number_column("Shards done"),
                "deals": number_column("Deals done"),
                "processes": number_column("Processes"),
                "interpreter": text_column("Interpreter"),
                "version": text_column("Version"),
                "started_at": time_column("Started"),
                "seen_at": time_column("Last seen"),
                "rules": text_column("Rules", help="Workers share a calculation when they have the same pay rules"),
            },
            key="fleet",
            export="workers",
        )

st.subheader("Calculation processes of this app", anchor=False)
widgets.table(
    found.processes,
    {
        "worker": number_column("Number"),
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

if not found.runs.empty:
    st.subheader("Speed of the newest runs", anchor=False)
    widgets.table(
        found.runs,
        {
            "period": text_column("Period"),
            "deals": number_column("Deals"),
            "lines": number_column("Lines"),
            "seconds": number_column("Seconds"),
            "speed": number_column("Deals a second"),
            "interpreter": text_column("Pay rules on"),
            "finished_at": time_column("Finished"),
        },
        key="speeds",
        export="speeds",
    )

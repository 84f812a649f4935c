"""The parts of a statement on screen: one statement with its files, the list of them, all of a period as files."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from app import auth, payable_view, state, widgets
from app.widgets import Card, date_column, money_column, text_column
from engine.errors import QuotaPathError
from engine.periods import Period
from engine.services import access, statement_words, statements
from engine.services.access import Actor
from engine.services.statement_content import KINDS
from engine.services.statements import Statement

VIEWS = {"lines": "Lines", "statement": "Statement", "statements": "All statements"}
_MIME = {
    "pdf": "application/pdf",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "csv": "text/csv",
}
_STATUS = {"open": "Provisional", "locked": "Amounts locked", "approved": "Approved", "paid": "Paid"}
_PAGE = 50


def choose_view() -> str:
    """Which view of the earnings to show, kept in the URL (``?view=statement``): a key of VIEWS."""
    chosen = st.query_params.get("view", "lines")
    st.session_state["earnings_view"] = chosen if chosen in VIEWS else "lines"
    st.segmented_control(
        "View",
        list(VIEWS),
        format_func=VIEWS.__getitem__,
        required=True,
        key="earnings_view",
        on_change=lambda: st.query_params.update(view=st.session_state["earnings_view"]),
        label_visibility="collapsed",
    )
    return str(st.session_state["earnings_view"])


# --- one statement ----------------------------------------------------------------------------------


def show(actor: Actor, user_id: int, period: Period) -> None:
    """The person's statement of the period, whole, with its files."""
    found = statements.statement(state.database(), actor, user_id, period.name, _edition(user_id, period))
    if found is None:
        return
    content = found.content
    _head(actor, found, user_id, period)
    widgets.cards(*(Card(label, _money(cents, content)) for label, cents in statement_words.totals(content)))
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("How the balance moves", anchor=False)
        rows = [
            (f"**{label}**", f"**{value}**") if is_sum else (label, value)
            for label, value, is_sum in (
                (widgets.plain(label), widgets.plain(_money(cents, content)), is_sum)
                for label, cents, is_sum in statement_words.balance_rows(content)
            )
        ]
        st.markdown("\n".join(["| What | Amount |", "|:--|--:|", *(f"| {label} | {value} |" for label, value in rows)]))
    with right:
        _changes(content)
    _payable_later(content)
    _attainment(content)
    _lines(content, f"statement-lines-{content['person']['code']}-{period.name}-{found.edition}")
    _origin(found)


def _edition(user_id: int, period: Period) -> int | None:
    """The edition that was chosen; None: the newest."""
    chosen: int | None = st.session_state.get(f"edition_{user_id}_{period.name}")
    return chosen


def _head(actor: Actor, found: Statement, user_id: int, period: Period) -> None:
    content = found.content
    code = content["person"]["code"]
    team = f" · {content['person']['team']}" if content["person"]["team"] else ""
    with st.container(gap=None):
        st.subheader(widgets.plain(f"{content['person']['name']}, {widgets.period_title(period)}"), anchor=False)
        st.caption(widgets.plain(f"{content['company']}{team} · {content['first_day']} to {content['last_day']}"))
    with st.container(horizontal=True, vertical_alignment="center"):
        if found.final:
            st.badge(statement_words.status(content), icon=":material/lock:", color="green")
        else:
            st.badge(statement_words.status(content), icon=":material/edit_note:", color="orange")
        if len(found.editions) > 1:
            st.selectbox(
                "Edition",
                list(found.editions),
                index=list(found.editions).index(found.edition),
                format_func=found.editions.__getitem__,
                key=f"edition_{user_id}_{period.name}",
                label_visibility="collapsed",
                width=170,
            )
        for kind in statements.FORMATS:
            widgets.download(
                "Excel" if kind == "xlsx" else kind.upper(),
                statements.file_name(period.name, code, kind),
                lambda kind=kind: statements.statement_file(  # type: ignore[misc]
                    state.database(), actor, user_id, period.name, kind, found.edition if found.final else None
                ),
                _MIME[kind],
                recorded=True,
            )
    if not found.final:
        if content["locked"]:
            st.caption("The amounts are final. What is payable of them now is decided when the payout is approved.")
        else:
            st.caption("The period is open: this is how it stands now. It becomes final when the period is approved.")


def _money(cents: int, content: Mapping[str, Any]) -> str:
    return widgets.money(cents, content["currency"])


def _changes(content: Mapping[str, Any]) -> None:
    before, changes = content["before"], content["changes"]
    if before is None and not changes:
        return
    title = f"Since the statement of {statement_words.period_title(before['period'])}" if before else "What changed"
    st.subheader(title, anchor=False)
    if before:
        st.markdown(f"Earned then: {widgets.plain(_money(before['earned'], content))}.")
    if not changes:
        st.caption("Nothing in earlier periods has changed, and the plan and quotas are as they were.")
    for change in changes:
        amount = "" if change["amount"] is None else f"**{widgets.plain(_money(change['amount'], change))}**  "
        causes = "".join(f"\n    - {widgets.plain(cause)}" for cause in change["why"])
        st.markdown(f"- {amount}{widgets.plain(change['what'])}{causes}")


def _payable_later(content: Mapping[str, Any]) -> None:
    """When what is not due yet will be."""
    rows = statement_words.schedule_rows(content)
    if not rows:
        return
    st.subheader("Payable later", anchor=False)
    sums = ((row["due"], row["waits_for"], row["amount"]) for row in content["schedule"])
    st.markdown(widgets.plain(payable_view.sentence(sums, content["currency"])))
    frame = pd.DataFrame(rows, columns=["when", "deal", "label", "earned_in", "amount"])
    widgets.table(
        frame.assign(currency=content["currency"]),
        {
            "deal": text_column("Deal"),
            "amount": money_column("Amount"),
            "when": text_column("When"),
            "label": text_column("Component"),
            "earned_in": text_column("Earned in"),
        },
        key=f"statement-later-{content['person']['code']}-{content['period']}",
    )


def _attainment(content: Mapping[str, Any]) -> None:
    if not content["attainment"]:
        return
    st.subheader("Attainment", anchor=False)
    widgets.table(
        pd.DataFrame(content["attainment"]),
        {
            "label": text_column("Component"),
            "attainment": text_column("Attainment"),
            "credit": text_column("Credit"),
            "quota": text_column("Quota"),
            "quota_period": text_column("Quota period"),
        },
        key=f"statement-attainment-{content['person']['code']}-{content['period']}",
    )


def _lines(content: Mapping[str, Any], key: str) -> None:
    """Every line; the working of the chosen one."""
    st.subheader("Lines", anchor=False)
    if not content["lines"]:
        st.caption("No deal credited this person in the period.")
        return
    frame = pd.DataFrame(content["lines"])
    frame = frame.assign(
        kind=frame["kind"].map(KINDS),
        closed=pd.to_datetime(frame["closed"].replace("", None)),
    )
    columns = {
        "deal": text_column("Deal"),
        "amount": money_column("Pay"),
        "label": text_column("Component"),
        "how": text_column("How"),
        "credit": text_column("Credit"),
        "kind": text_column("Kind"),
        "closed": date_column("Closed"),
        "earned_in": text_column("Earned in"),
        "converted": text_column("Converted"),
        "deal_id": text_column("Deal ID"),
    }
    if not frame["converted"].any():
        del columns["converted"]
    chosen = widgets.table(frame, columns, key=key, select=True)
    if chosen is None:
        st.caption("Choose a line to see how it was worked out.")
        return
    line = content["lines"][chosen]
    with st.container(border=True):
        title = f"How {_money(line['amount'], line)} was worked out: {line['deal']}"
        st.subheader(widgets.plain(title), anchor=False)
        told = filter(None, (line["original"], *line["working"]))
        st.markdown("\n".join(f"- {widgets.plain(text)}" for text in told))


def _origin(found: Statement) -> None:
    """What the statement was made from, and the code by which anyone can check a copy of it."""
    content, run = found.content, found.content["run"]
    with st.expander("What this was made from", icon=":material/fingerprint:"):
        rows = [
            ("Run", f"{run['id']}, calculated {run['calculated_at']} by engine {run['engine_version']}"),
            ("Inputs (SHA-256)", run["inputs_hash"]),
            ("Lines (SHA-256)", run["lines_hash"]),
            *((f"Plan {plan['title']}", f"version of {plan['version']}, {plan['hash']}") for plan in content["plans"]),
        ]
        if found.final:
            rows.append(("Approved", f"{content['approved']['at']} by {content['approved']['by']}"))
            rows.append(("Verification code", found.code))
        for label, text in rows:
            st.caption(f"**{widgets.plain(label)}**  \n{widgets.plain(text)}")


# --- all of them ------------------------------------------------------------------------------------


def show_list(actor: Actor, period: Period, pay_kinds: list[str]) -> None:
    """The statements of a pay period, quarter or year; choosing one opens it."""
    db, title = state.database(), widgets.period_title(period)
    people = statements.people_with_statements(db, actor, period.name, pay_kinds)
    if not people:
        widgets.empty(
            f"No statements in {title} yet",
            "They appear here as soon as a pay period in it has been calculated.",
            page="runs",
            link="Open runs",
            icon=":material/description:",
        )
        return
    person = None
    if len(people) > 1:
        with widgets.tools():
            person = st.selectbox(
                "Person",
                list(people),
                index=None,
                format_func=lambda user_id: people[user_id][0],
                placeholder="Everyone",
                key="statements_person",
                label_visibility="collapsed",
                width=200,
            )
    if access.may(actor, "statements.bulk") and period.kind in pay_kinds:
        _bulk(actor, period)
    place = st.container()
    _, total = statements.list_statements(db, actor, period.name, pay_kinds, 0, 0, person)
    offset = widgets.pager(total, _PAGE, f"statements_page_{period.name}_{person}")
    found, _ = statements.list_statements(db, actor, period.name, pay_kinds, _PAGE, offset, person)
    with place:
        chosen = widgets.table(
            found.assign(status=found["status"].map(_STATUS)),
            {
                "name": text_column("Person"),
                "period": text_column("Period"),
                "earned": money_column("Earned"),
                "due": money_column("Due"),
                "paid": money_column("Paid"),
                "status": text_column("Status"),
                "verification_code": text_column("Verification code", help="Of the newest edition that was opened"),
            },
            key=f"statements_{period.name}_{person}_{offset}",
            select=True,
        )
        stem = f"statements-{period.name}" + (f"-{people[person][1]}" if person else "")
        with st.container(horizontal=True, horizontal_alignment="right"):
            for kind, label in (("csv", "CSV"), ("xlsx", "Excel")):
                widgets.download(
                    label,
                    f"{stem}.{kind}",
                    lambda kind=kind: statements.export_list(  # type: ignore[misc]
                        db, actor, period.name, pay_kinds, kind, person
                    ),
                    _MIME[kind],
                    recorded=True,
                )
        st.caption(f"{total:,} statements. Choose one to open it.")
    if chosen is not None:
        row = found.iloc[chosen]
        st.query_params.update(view="statement", period=row["period"], person=row["code"])
        st.rerun()
    _verify(actor)


def _bulk(actor: Actor, period: Period) -> None:
    """Write everyone's PDF as a job, then hand them out as ZIP files."""
    db = state.database()
    done, people = statements.written(db, actor, period.name)
    if not people:
        st.caption("All PDFs as one ZIP are offered here once the period is approved.")
        return
    job = statements.job_of(db, actor, period.name)
    if job is not None and not job.is_over:
        _progress(period.name)
        return
    if job is not None and job.status == "failed" and done < people:
        widgets.show_problems(QuotaPathError(job.message))
    with st.container(horizontal=True, vertical_alignment="center"):
        if done < people:
            label = f"Write all {people:,} PDFs"
            if st.button(label, icon=":material/picture_as_pdf:", key="write_statements"):
                state.jobs().submit(auth.require("statements.bulk"), statements.JOB, {"period": period.name})
                st.rerun()
            st.caption(f"{done:,} of {people:,} are written.")
            return
        for part, numbers in statements.parts(people):
            several = people > statements.PART
            widgets.download(
                f"All PDFs, {numbers} (ZIP)" if several else "All PDFs (ZIP)",
                f"statements-{period.name}" + (f"-{numbers}" if several else "") + ".zip",
                lambda part=part: statements.zip_part(db, actor, period.name, part),  # type: ignore[misc]
                "application/zip",
                recorded=True,
            )


@st.fragment(run_every="1s")
def _progress(period: str) -> None:
    actor = auth.require("statements.bulk")
    job = statements.job_of(state.database(), actor, period)
    widgets.job_bar(job, f"{job.message}: {job.done:,} of {job.total:,}" if job and job.total else "")


def _verify(actor: Actor) -> None:
    """Check the code on a copy of a statement."""
    with st.expander("Check a verification code", icon=":material/verified:"):
        code = st.text_input(
            "Verification code", key="verify_code", help="The 64 digits at the foot of a statement's pages"
        )
        if not code.strip():
            return
        try:
            found = statements.verify(state.database(), actor, code)
        except QuotaPathError as error:
            widgets.show_problems(error)
            return
        if found is None:
            st.error("No statement that you may see has this code: the copy was changed, or it is not from here.")
            return
        st.success(
            widgets.plain(
                f"This is the statement of {found.name} ({found.code}) for {found.period}: "
                f"{widgets.money(found.earned, found.currency)} earned. It was kept on {found.kept_on}."
            ),
            icon=":material/verified:",
        )

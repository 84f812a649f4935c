"""The fields that a company adds to its deals: what there is, what imports brought, and how one is defined."""

import streamlit as st

from app import auth, state, widgets
from app.actions import attempt
from app.widgets import number_column, text_column
from engine.errors import QuotaPathError
from engine.services import deal_fields
from engine.services.access import Actor
from engine.services.deal_fields import KINDS, DealField, FieldReport

_REPORT = "field_report"  # the field that was checked, and what was found


@st.dialog("Fields of your own", width="large", icon=":material/data_object:")
def fields() -> None:
    """Define fields and take their definition away."""
    fields_body()


def fields_body() -> None:
    """The defined fields, the columns that imports brought, and the form."""
    actor = auth.require("deals.edit")
    known = deal_fields.list_fields(state.database(), actor)
    st.caption(
        "A field with a type is checked in the form, can be a column and a filter of the list, and is read by the "
        "filters of plans under its name."
    )
    _known(actor, known)
    field = _field(actor, known)
    if field is None:
        return
    if st.button("Check", icon=":material/rule:"):
        st.session_state.pop(_REPORT, None)
        try:
            with st.spinner("Reading what the deals have there ..."):
                report = deal_fields.report_field(state.database(), state.pool(), actor, field, state.today())
            st.session_state[_REPORT] = (field, report)
        except QuotaPathError as error:
            widgets.show_problems(error)
    kept = st.session_state.get(_REPORT)
    if kept is None or kept[0] != field:
        return
    leave = _report(kept[1])
    may = leave or not kept[1].misfit_deals
    if st.button("Define it", type="primary", disabled=not may, key="field_define") and attempt(
        lambda: deal_fields.define_field(state.database(), actor, field, leave=leave), f"{field.name} is defined."
    ):
        st.session_state.pop(_REPORT, None)
        st.rerun()


def _known(actor: Actor, known: list[DealField]) -> None:
    for field in known:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{widgets.plain(field.name)}**", width="content")
            st.caption(widgets.plain(": ".join([KINDS[field.kind], *filter(None, [", ".join(field.choices)])])))
            removes = st.button(
                "Remove",
                key=f"field_remove_{field.name}",
                icon=":material/close:",
                type="tertiary",
                help="Its values stay with the deals, as text.",
            )
        if removes and attempt(
            lambda name=field.name: deal_fields.forget_field(state.database(), actor, name),  # type: ignore[misc]
            f"{field.name} has no type any more; its values stay.",
        ):
            st.rerun()


def _field(actor: Actor, known: list[DealField]) -> DealField | None:
    """The field as it is being described; None while it has no name."""
    brought = dict(deal_fields.undefined_columns(state.database(), actor))
    st.markdown("**Define another, or change one**" if known else "**Define a field**")
    left, right = st.columns(2)
    name = left.selectbox(
        "Name",
        [*brought, *(field.name for field in known)],
        index=None,
        accept_new_options=True,
        format_func=lambda each: f"{each} ({brought[each]:,} deals)" if each in brought else str(each),
        placeholder="An imported column, or a new name",
        key="field_name",
    )
    now = next((field for field in known if field.name == name), None)
    kind = right.selectbox(
        "Type",
        list(KINDS),
        index=list(KINDS).index(now.kind) if now else 0,
        format_func=KINDS.__getitem__,
        key=f"field_kind_{name}",
    )
    choices: tuple[str, ...] = ()
    if kind == "choice":
        lines = st.text_area(
            "Choices, one in a line", "\n".join(now.choices) if now else "", key=f"field_choices_{name}", height=120
        )
        choices = tuple(line.strip() for line in lines.splitlines() if line.strip())
    return DealField(name.strip(), kind, choices) if name else None


def _report(report: FieldReport) -> bool:
    """What the deals have there; gives whether what does not fit shall stay."""
    if not report.deals:
        st.caption("No deal has a value there yet.")
        return False
    st.markdown(
        f"{report.deals:,} deals have a value there; {report.rewritten:,} of them will be written the one way that "
        "filters read."
    )
    if report.earnings is not None and not report.earnings.changes.empty:
        people = report.earnings.changes["person"].nunique()
        st.warning(f"Plans filter on it: the earnings of {people} people change.", icon=":material/payments:")
    if not report.misfit_deals:
        return False
    st.warning(f"{report.misfit_deals:,} deals have something else.", icon=":material/warning:")
    widgets.table(
        report.misfits,
        {
            "value": text_column("Value"),
            "deals": number_column("Deals"),
            "example": text_column("Such as"),
            "reason": text_column("Why not"),
        },
        key="field_misfits",
        export="values-that-do-not-fit",
    )
    return st.checkbox("Define it all the same: these stay as they are until somebody corrects them.")

"""The pieces of the quotas page: the grid to edit or to read, team totals, who changed what."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pandas as pd
import streamlit as st

from app import state, widgets
from app.actions import attempt
from app.widgets import date_column, money_column, text_column
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.money import currency_digits, parse_money
from engine.periods import parse_period
from engine.services import quotas
from engine.services.access import Actor
from engine.services.quotas import QuotaGrid, QuotaRow

_KINDS = ("month", "quarter", "year")
_FORMATS = {"USD": "dollar", "EUR": "euro", "JPY": "yen"}


def grid_filter(this_year: int) -> tuple[str, int]:
    """The kind of period and the year, kept in the URL (``?kind=month&year=2026``)."""
    kind = st.query_params.get("kind", "")
    kind = kind if kind in _KINDS else "quarter"
    asked = st.query_params.get("year", "")
    year = int(asked) if asked.isdecimal() and 1990 <= int(asked) <= 2199 else this_year
    st.session_state["quota_kind"], st.session_state["quota_year"] = kind, year
    with widgets.tools():
        st.segmented_control(
            "Kind of period",
            _KINDS,
            format_func=str.capitalize,
            required=True,
            key="quota_kind",
            on_change=lambda: st.query_params.update(kind=st.session_state["quota_kind"]),
            label_visibility="collapsed",
        )
        st.selectbox(
            "Year",
            sorted({year, *range(this_year - 3, this_year + 2)}, reverse=True),
            key="quota_year",
            on_change=lambda: st.query_params.update(year=str(st.session_state["quota_year"])),
            label_visibility="collapsed",
            width=110,
        )
    return kind, year


def _title(period: str) -> str:
    """A period's name under the year that the page shows: ``Q1``, ``Jan``, ``2026``."""
    found = parse_period(period)
    return {"month": f"{found.first_day:%b}", "quarter": period[-2:]}.get(found.kind, period)


def _team(row: QuotaRow) -> str:
    return row.team or (f"leads {row.leads}" if row.leads else "")


def edit_grid(actor: Actor, grid: QuotaGrid, kind: str, year: int) -> None:
    """The grid in which one types, and the buttons that save it."""
    saved = st.session_state.setdefault("quotas_saved", 0)
    key = f"quotas_{kind}_{year}_{st.query_params.get('team', '')}_{saved}"
    digits = currency_digits(grid.currency)
    frame = pd.DataFrame({"person": [row.person for row in grid.rows], "team": [_team(row) for row in grid.rows]})
    for column, period in enumerate(grid.periods):
        cents = pd.Series([row.amounts[column] for row in grid.rows], dtype="Int64")
        frame[period] = cents.astype("Float64") / 10**digits
    config = st.column_config
    st.data_editor(
        frame,
        key=key,
        hide_index=True,
        placeholder="–",
        disabled=["person", "team"],
        height=min(38 + 35 * len(frame), 640),
        column_config={
            "person": config.TextColumn("Person", pinned=True),
            "team": config.TextColumn("Team"),
            **{
                period: config.NumberColumn(
                    _title(period),
                    format=_FORMATS.get(grid.currency, f"%,.{digits}f"),
                    step=1 / 10**digits,
                )
                for period in grid.periods
            },
        },
    )
    if grid.other_currency:
        st.warning(
            "In another currency than the company's, so not in this table: "
            + widgets.plain(", ".join(grid.other_currency))
        )
    edited = st.session_state.get(key, {}).get("edited_rows", {})
    count = sum(len(cells) for cells in edited.values())
    with st.container(horizontal=True, vertical_alignment="center"):
        wants_save = st.button(
            f"Save {count} change{'s' if count != 1 else ''}" if count else "Save",
            type="primary",
            icon=":material/save:",
            disabled=not count,
        )
        if st.button("Undo", type="tertiary", icon=":material/undo:", disabled=not count):
            st.session_state["quotas_saved"] += 1
            st.rerun()
        _copy(actor, grid, disabled=count > 0)
        st.caption(f"All amounts in {grid.currency}. Clear a field for no quota.")

    def save() -> None:
        quotas.save_quotas(state.database(), actor, changes_of(grid, edited))

    if wants_save and attempt(save, f"{count} saved."):
        st.session_state["quotas_saved"] += 1
        st.rerun()


def changes_of(grid: QuotaGrid, edited: Mapping[int, Mapping[str, Any]]) -> dict[tuple[int, str], int | None]:
    """The cells typed into, as (user id, period) and minor units.  Raises ProblemsError for what is no amount."""
    changes: dict[tuple[int, str], int | None] = {}
    problems = []
    for position, cells in edited.items():
        row = grid.rows[position]
        for period, value in cells.items():
            try:
                # The browser's number, by its shortest digits: what was typed, not its binary neighbour.
                amount = None if value is None else parse_money(Decimal(repr(value)), grid.currency)
                changes[row.user_id, period] = amount
            except QuotaPathError as error:
                problems.append(Problem(f"{row.person}, {period}", str(error)))
    if problems:
        raise ProblemsError(problems)
    return changes


def _copy(actor: Actor, grid: QuotaGrid, disabled: bool) -> None:
    with st.popover("Copy a period", icon=":material/content_copy:", disabled=disabled):
        empty = [
            period
            for column, period in enumerate(grid.periods)
            if all(row.amounts[column] is None for row in grid.rows)
        ]
        period = st.selectbox(
            "Fill",
            grid.periods,
            grid.periods.index(empty[0]) if empty else 0,
            format_func=lambda name: widgets.period_title(parse_period(name)),
        )
        before = widgets.period_title(parse_period(period).previous())
        st.caption(f"Everyone without a quota gets the one of {before}. Nobody's quota is overwritten.")
        if st.button(f"Copy {before}", type="primary") and attempt(
            lambda: quotas.copy_quotas(state.database(), actor, period, state.today()), f"{before} is copied."
        ):
            st.session_state["quotas_saved"] += 1
            st.rerun()


def read_grid(grid: QuotaGrid, kind: str, year: int) -> None:
    """The grid for those who may not change it."""
    frame = pd.DataFrame({"person": [row.person for row in grid.rows], "team": [_team(row) for row in grid.rows]})
    for column, period in enumerate(grid.periods):
        frame[period] = pd.array([row.amounts[column] for row in grid.rows], dtype="Int64")
    frame["total"] = [row.total for row in grid.rows]
    columns = {"person": text_column("Person"), "team": text_column("Team")}
    columns |= {period: money_column(_title(period), grid.currency) for period in grid.periods}
    if len(grid.periods) > 1:
        columns["total"] = money_column("Year", grid.currency)
    widgets.table(frame, columns, key=f"quotas_read_{kind}_{year}", export=f"quotas-{year}")


def elsewhere(grid: QuotaGrid, kind: str, year: int) -> None:
    """Say where the quotas are when this kind of period has none."""
    if grid.kinds_set and kind not in grid.kinds_set:
        st.info(f"The quotas of {year} are set by {' and by '.join(grid.kinds_set)}.", icon=":material/info:")


def totals(grid: QuotaGrid, kind: str, year: int) -> None:
    """What the people of each team are to sell together."""
    if len(grid.rows) == 1 or not any(total.total for total in grid.totals):
        return
    st.subheader("Team totals", anchor=False)
    frame = pd.DataFrame({"team": [total.team for total in grid.totals]})
    for column, period in enumerate(grid.periods):
        frame[period] = pd.array([total.amounts[column] for total in grid.totals], dtype="Int64")
    frame["total"] = [total.total for total in grid.totals]
    columns = {"team": text_column("Team")}
    columns |= {period: money_column(_title(period), grid.currency) for period in grid.periods}
    if len(grid.periods) > 1:
        columns["total"] = money_column("Year", grid.currency)
    widgets.table(frame, columns, key=f"quotas_totals_{kind}_{year}", export=f"quota-totals-{year}")
    st.caption("As saved, by today's teams. A manager's own quota is not added to the team's.")


def history(actor: Actor) -> None:
    """The newest changes, folded away."""
    with st.expander("Who changed what", icon=":material/history:"):
        found = quotas.quota_changes(state.database(), actor, state.today())
        if not found:
            st.caption("Nothing has been changed yet.")
            return
        frame = pd.DataFrame(
            {
                "at": [change.at for change in found],
                "by": [change.changed_by for change in found],
                "person": [change.person for change in found],
                "period": [change.period for change in found],
                "before": pd.array([change.before for change in found], dtype="Int64"),
                "after": pd.array([change.after for change in found], dtype="Int64"),
                "currency": [change.currency for change in found],
            }
        )
        widgets.table(
            frame,
            {
                "at": date_column("Changed"),
                "by": text_column("By"),
                "person": text_column("Person"),
                "period": text_column("Period"),
                "before": money_column("Before"),
                "after": money_column("After"),
            },
            key="quota_history",
            export="quota-changes",
        )

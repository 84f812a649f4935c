"""The pieces of the pipeline stages page: the table with the real win rates, and what an admin does to a stage."""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from app import auth, charts, effect_view, state, widgets
from app.actions import attempt
from engine.errors import QuotaPathError
from engine.money import format_rate
from engine.services import stages
from engine.services.access import Actor
from engine.services.stages import COLORS, OUTCOMES, Stage, StageFields, StageRow

_SPANS = {
    "Last 3 months": 91,
    "Last 6 months": 182,
    "Last 12 months": 365,
    "Last 24 months": 730,
    "All time": None,
    "Own dates": None,
}
_MEANING = {"open": "Open", "won": "Won", "lost": "Lost"}
_EARLIEST = date(1990, 1, 1)
_FEW = 20  # decided deals below which a rate says little
HEADERS = (
    "Stage", "Meaning", "Probability %", "Real win rate %", "Real win rate by amount %", "Deals entered", "Won",
    "Lost", "Not decided yet", "Days in stage", "Retired",
)  # fmt: skip


def span() -> tuple[date, date]:
    """The days whose entries into a stage are looked at, ``[since, until)``, kept in the URL."""
    today = state.today()
    chosen = st.selectbox(
        "Entered within",
        list(_SPANS),
        index=2,
        key="span",
        bind="query-params",
        label_visibility="collapsed",
        width=170,
    )
    if chosen == "Own dates":
        days = st.date_input(
            "First and last day",
            (today.replace(month=1, day=1), today),
            min_value=_EARLIEST,
            format="YYYY-MM-DD",
            label_visibility="collapsed",
            key="span_days",
            width=240,
        )
        first, last = days if len(days) == 2 else (today.replace(month=1, day=1), today)
        return first, last + timedelta(days=1)
    length = _SPANS[chosen]
    return (today - timedelta(days=length) if length else _EARLIEST), today + timedelta(days=1)


def rows(actor: Actor, since: date, until: date) -> list[StageRow]:
    """The stages with their real win rates; what takes seconds is remembered until something changes."""
    with st.spinner("Following the deals through the pipeline"):
        return stages.stage_rows(state.database(), actor, since, until, state.today())


def stage_table(found: Sequence[StageRow], may_edit: bool) -> StageRow | None:
    """The stages in order; gives the chosen one."""
    names = [row.stage.name for row in found]
    frame = pd.DataFrame(
        {
            "stage": [[row.stage.name] for row in found],
            "meaning": ["Retired" if row.stage.retired else _MEANING[row.stage.outcome] for row in found],
            "typed": [row.stage.probability_ppm / 1_000_000 for row in found],
            "rate": [_ratio(row.rate_ppm, row) for row in found],
            "by_amount": [_ratio(row.amount_rate_ppm, row) for row in found],
            "decided": [row.won + row.lost for row in found],
            "undecided": [row.undecided for row in found],
            "days": [None if row.days is None or row.stage.outcome != "open" else round(row.days, 1) for row in found],
        }
    )
    kinds = st.column_config
    chosen_id = st.session_state.get("stage_chosen")
    chosen: Any = {"selection": {"rows": [place for place, row in enumerate(found) if row.stage.id == chosen_id]}}
    event: Any = st.dataframe(
        frame,
        hide_index=True,
        key=f"stages_{st.session_state.get('stages_drawn', 0)}",
        height="content",
        on_select="rerun" if may_edit else "ignore",
        selection_mode="single-row",
        selection_default=chosen if may_edit else None,
        placeholder="–",
        column_config={
            "stage": kinds.MultiselectColumn("Stage", options=names, color=[row.stage.color for row in found]),
            "meaning": kinds.TextColumn("Meaning"),
            "typed": kinds.NumberColumn("Probability", format="percent", help="As typed in; weighs the pipeline."),
            "rate": kinds.NumberColumn(
                "Real win rate",
                format="percent",
                help="Of the deals that entered the stage in the span and are decided by now, how many were won.",
            ),
            "by_amount": kinds.NumberColumn(
                "by amount", format="percent", help="The same by what the deals come to, instead of their number."
            ),
            "decided": kinds.NumberColumn("Decided", format="localized", help="Won or lost by now."),
            "undecided": kinds.NumberColumn("Not yet", format="localized", help="Entered the stage, and still open."),
            "days": kinds.NumberColumn("Days in stage", format="%.1f", help="Average of those that have left it."),
        },
    )
    picked: list[int] = event["selection"]["rows"] if may_edit else []
    return found[picked[0]] if picked and picked[0] < len(found) else None


def _ratio(ppm: int | None, row: StageRow) -> float | None:
    return None if ppm is None or row.stage.outcome != "open" else ppm / 1_000_000


def rate_chart(found: Sequence[StageRow], name: str) -> None:
    """What is typed in beside what is real, for the stages that are open; `name` is the stem of its files."""
    shown = [row for row in found if row.stage.outcome == "open" and not row.stage.retired and row.rate_ppm is not None]
    frame = pd.DataFrame(
        [
            (row.stage.name, label, ppm / 1_000_000)
            for row in shown
            for label, ppm in (("Typed in", row.stage.probability_ppm), ("Real", row.rate_ppm or 0))
        ],
        columns=["stage", "series", "rate"],
    )
    bars = (
        alt.Chart(frame, height=240)
        .mark_bar(cornerRadiusEnd=4)
        .encode(
            alt.X("stage:N", title=None, sort=None, axis=alt.Axis(labelAngle=0, labelLimit=160)),
            alt.Y("rate:Q", title=None, axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1])),
            alt.XOffset("series:N", sort=None),
            alt.Color("series:N", title=None, sort=None, legend=alt.Legend(orient="top")),
            [
                alt.Tooltip("stage:N", title="Stage"),
                alt.Tooltip("series:N", title="Probability"),
                alt.Tooltip("rate:Q", title="Rate", format=".1%"),
            ],
        )
    )
    if shown:
        charts.show(
            bars,
            frame,
            name,
            {
                "stage": widgets.text_column("Stage"),
                "series": widgets.text_column("Probability"),
                "rate": widgets.percent_column("Rate"),
            },
            alt_text="The probability typed in and the real win rate of each open stage",
        )


def notes(found: Sequence[StageRow]) -> None:
    """What to know when reading the rates."""
    texts = ["Real win rates follow each deal that you may see through its stages."]
    if any(0 < row.won + row.lost < _FEW and row.stage.outcome == "open" for row in found):
        texts.append(f"A rate of fewer than {_FEW} decided deals says little.")
    if left_out := max((row.unconverted for row in found), default=0):
        texts.append(f"{left_out:,} deals have an amount in a currency without an exchange rate: counted by number.")
    st.caption(" ".join(texts))


def export_rows(found: Sequence[StageRow]) -> list[list[Any]]:
    """The table for a file, under `HEADERS`."""

    def percent(ppm: int | None) -> Decimal | None:
        return None if ppm is None else Decimal(ppm) / 10_000

    return [
        [
            row.stage.name, _MEANING[row.stage.outcome], percent(row.stage.probability_ppm), percent(row.rate_ppm),
            percent(row.amount_rate_ppm), row.entered, row.won, row.lost, row.undecided,
            None if row.days is None else Decimal(str(round(row.days, 1))), row.stage.retired,
        ]
        for row in found
    ]  # fmt: skip


# --- what an admin does ------------------------------------------------------------------------------


def actions(actor: Actor, found: Sequence[StageRow], row: StageRow | None) -> None:
    """The buttons for the chosen stage."""
    if row is None:
        st.caption("Choose a row to move, change or retire a stage.")
        return
    db, stage = state.database(), row.stage
    offered = [each.stage.id for each in found if not each.stage.retired]
    with st.container(horizontal=True, vertical_alignment="center", key="stage_actions"):
        st.badge(widgets.plain(stage.name), color=stage.color)  # type: ignore[arg-type]
        if stage.retired:
            if st.button("Restore", icon=":material/undo:") and attempt(
                lambda: stages.restore_stage(db, actor, stage.id), f"{stage.name} is offered again."
            ):
                _redraw(stage.id)
            if st.button("Move its deals", icon=":material/drive_file_move:"):
                _retire(stage)
            return
        place = offered.index(stage.id)
        for label, icon, step in (("Up", "arrow_upward", -1), ("Down", "arrow_downward", 1)):
            target = place + step
            pressed = st.button(label, icon=f":material/{icon}:", disabled=not 0 <= target < len(offered))
            if pressed:
                offered.insert(target, offered.pop(place))
                if attempt(lambda: stages.order_stages(db, actor, offered), "The order is saved."):
                    _redraw(stage.id)
        if st.button("Change", icon=":material/edit:"):
            _edit(stage)
        rate = row.rate_ppm
        if stage.outcome == "open" and rate is not None and rate != stage.probability_ppm:
            label = f"Take the real rate, {format_rate(rate)}"
            if st.button(label, icon=":material/auto_graph:", help=f"Instead of {format_rate(stage.probability_ppm)}"):
                done = f"{stage.name} has a probability of {format_rate(rate)}."
                if attempt(lambda: stages.take_real_rate(db, actor, stage, rate), done):
                    _redraw(stage.id)
        if st.button("Retire", icon=":material/archive:"):
            _retire(stage)


def _redraw(stage_id: int | None) -> None:
    """Run the page again, with that stage chosen."""
    st.session_state.update(stage_chosen=stage_id, stages_drawn=st.session_state.get("stages_drawn", 0) + 1)
    st.rerun()


@st.dialog("New stage", icon=":material/add:")
def new_stage() -> None:
    """Add a stage."""
    stage_form(auth.require("stages.edit"), None)


@st.dialog("Change a stage", width="medium", icon=":material/edit:")
def _edit(stage: Stage) -> None:
    stage_form(auth.require("stages.edit"), stage)


def stage_form(actor: Actor, stage: Stage | None) -> None:
    """The fields of a stage that there is, or (None) of a new one; with what a new meaning does to earnings."""
    db = state.database()
    name = st.text_input("Name", stage.name if stage else "", max_chars=100)
    outcome = st.segmented_control(
        "Meaning",
        OUTCOMES,
        default=stage.outcome if stage else "open",
        required=True,
        format_func=_MEANING.__getitem__,
        help="Deals in a stage that means won are paid.",
    )
    if outcome == "open":
        typed = st.number_input(
            "Probability in percent",
            0.0,
            100.0,
            stage.probability_ppm / 10_000 if stage and stage.outcome == "open" else 50.0,
            step=1.0,
            format="%.1f",
            help="Weighs the pipeline on the dashboard and in forecasts; it changes nobody's pay.",
        )
        probability = round(typed * 10) * 1000
    else:
        probability = 0
    color = st.pills(
        "Colour",
        COLORS,
        default=stage.color if stage else "blue",
        required=True,
        format_func=lambda each: f":{each}-badge[{each.capitalize()}]",
    )
    fields = StageFields(name, str(outcome), probability, str(color))
    moves_pay = _effect(actor, stage, fields) if stage else False
    if stage is None:
        if st.button("Add the stage", type="primary") and attempt(
            lambda: stages.add_stage(db, actor, fields), f"{name} is added."
        ):
            _redraw(None)
    elif st.button("Save, and let earnings change" if moves_pay else "Save", type="primary") and attempt(
        lambda: stages.edit_stage(db, actor, stage, fields), f"{name} is saved."
    ):
        _redraw(stage.id)


def _effect(actor: Actor, stage: Stage, fields: StageFields) -> bool:
    """Say what another name or meaning does to earnings; whether it may do anything."""
    db = state.database()
    renamed = stages.plans_naming(db, actor, stage.name) if fields.name.strip().lower() != stage.name.lower() else []
    if renamed:
        st.warning(
            f"{widgets.plain(', '.join(renamed))} choose deals by the name {widgets.plain(stage.name)}. Under another "
            "name they match no more, until a new version of the plan names it.",
            icon=":material/account_tree:",
        )
    paid = {stage.outcome, fields.outcome} & {"won"} and stage.outcome != fields.outcome
    if not paid and not renamed:
        return False
    found = stages.standing(db, actor, stage.id)
    counted = found.deals - found.cancelled
    if not counted:
        st.caption("No deal is in the stage, so nobody's earnings change.")
        return False
    if paid:
        way = "count for pay" if fields.outcome == "won" else "count for pay no more"
        st.markdown(f"**{counted:,}** {'deal' if counted == 1 else 'deals'} in this stage would {way}.")
    effect_view.periods(
        [(name, status, f" ({deals:,})") for name, status, deals in found.periods], stages.first_open_period(db, actor)
    )
    effect_view.offer(
        "stage_effect", lambda: stages.meaning_impact(db, state.pool(), actor, stage, fields, state.today())
    )
    return True


@st.dialog("Retire a stage", width="medium", icon=":material/archive:")
def _retire(stage: Stage) -> None:
    retire_form(auth.require("stages.edit"), stage)


def retire_form(actor: Actor, stage: Stage) -> None:
    """Where the deals of a stage go, what that does to earnings, and the end of the stage."""
    db = state.database()
    try:
        found = stages.standing(db, actor, stage.id)
        others = [each for each in stages.list_stages(db, actor) if each.id != stage.id and not each.retired]
    except QuotaPathError as error:
        widgets.show_problems(error)
        return
    target = None
    if found.deals:
        count = f"{found.deals:,} {'deal' if found.deals == 1 else 'deals'}"
        st.markdown(f"**{count}** in {widgets.plain(stage.name)} move to another stage first, each with its history.")
        likely = _nearest(stage, stages.list_stages(db, actor), others)
        target = st.selectbox(
            "Move them to", others, likely, format_func=lambda each: f"{each.name} · {_MEANING[each.outcome]}"
        )
        if {stage.outcome, target.outcome} & {"won"}:
            _move_effect(actor, stage, target, found)
        label = f"Move {count} and retire"
    else:
        st.markdown(f"No deal is in {widgets.plain(stage.name)}. Deals that passed it keep it in their history.")
        label = "Retire"
    if st.button(label, type="primary"):
        with st.spinner("Moving the deals" if found.deals else "Retiring the stage"):
            done = attempt(
                lambda: stages.retire_stage(db, actor, stage, target.id if target is not None else None, found.deals),
                f"{stage.name} is retired.",
            )
        if done:
            _redraw(None)


def _nearest(stage: Stage, listed: Sequence[Stage], others: Sequence[Stage]) -> int:
    """The place among the others of the stage that is nearest in the pipeline, of the same meaning if there is one."""
    order = {each.id: place for place, each in enumerate(listed)}
    away = [(each.outcome != stage.outcome, abs(order[each.id] - order[stage.id])) for each in others]
    return min(range(len(others)), key=away.__getitem__, default=0)


def _move_effect(actor: Actor, stage: Stage, target: Stage, found: stages.Standing) -> None:
    db = state.database()
    if stage.outcome != target.outcome:
        way = "count for pay" if target.outcome == "won" else "count for pay no more"
        st.markdown(f"They would {way}.")
        effect_view.periods(
            [(name, status, f" ({deals:,})") for name, status, deals in found.periods],
            stages.first_open_period(db, actor),
        )
    elif not stages.plans_naming(db, actor, stage.name) and not stages.plans_naming(db, actor, target.name):
        st.caption("Both stages mean won, so nobody's earnings change.")
        return
    effect_view.offer(
        "retire_effect", lambda: stages.move_impact(db, state.pool(), actor, stage, target, state.today())
    )

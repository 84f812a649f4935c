"""The parts of the pipeline page: cards, stages, conversion, velocity, ageing, slippage, and the groups compared."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from app import charts, drill, widgets
from app.widgets import Card, money_column, number_column, percent_column, text_column
from engine.money import currency_digits
from engine.periods import Period
from engine.services.pipeline import AGES, CYCLES, MOVES, Pipeline

GROUPS = {"all": "Together", "rep": "Rep", "team": "Team", "product": "Product", "segment": "Segment"}
_MOST = 6  # groups with a colour of their own; the smaller ones are one
_OTHERS, _MANY = "All others", "…"
_STILL = "Still there"
_AGES = ("Up to usual", *("Over usual" if times == 1 else f"Over {times}x usual" for times in AGES))
_NO_USUAL = "No usual yet"
_COLORS = ("#0d9488", "#6366f1", "#f59e0b", "#ec4899", "#0ea5e9", "#84cc16")
_AGE_COLORS = ("#0d9488", "#f59e0b", "#ea580c", "#be123c", "#94a3b8")


class View:
    """A pipeline with the filters that it is shown with, and what its groups are called."""

    def __init__(self, found: Pipeline, period: Period, team: str, by: str) -> None:
        self.found, self.period, self.by = found, period, by
        self.title = widgets.period_title(period)
        self.stem_parts = (period.name, team, "" if by == "all" else f"by {by}")
        self.stage_names = dict(zip(found.stages["id"], found.stages["name"], strict=True))
        # The same groups have colours of their own, and the same ones, in every chart.
        self.largest = [] if by == "all" else list(compared(found)["grp"][:_MOST])

    def stem(self, what: str) -> str:
        """The stem of a file's name."""
        return widgets.stem(what, *self.stem_parts)

    def named(self, group: str) -> str:
        """What a group is called."""
        return self.found.names.get(group, group) or f"No {GROUPS[self.by].lower()}"

    def group_query(self, group: str) -> dict[str, str]:
        """What the deals page is asked for to show this group's deals."""
        if self.by == "rep":
            return {"deal_owner": self.named(group)}
        if self.by == "team":
            return {"owner_team": group or "0"}
        return {} if self.by == "all" else {self.by: group or drill.EMPTY}


def show(view: View) -> None:
    """The whole page under the filters."""
    _notes(view)
    _cards(view)
    left, right = st.columns(2, gap="medium")
    with left.container(border=True, height="stretch"):
        _stages(view)
    with right.container(border=True, height="stretch"):
        _conversion(view)
    left, right = st.columns(2, gap="medium")
    with left.container(border=True, height="stretch"):
        _ageing(view)
    with right.container(border=True, height="stretch"):
        _days_in_stage(view)
    left, right = st.columns(2, gap="medium")
    with left.container(border=True, height="stretch"):
        _slippage(view)
    with right.container(border=True, height="stretch"):
        _cycle(view)
    if view.by != "all":
        with st.container(border=True):
            _groups(view)


def _notes(view: View) -> None:
    found = view.found
    text = (
        f"Open deals are as of today; what was won, lost, moved or entered a stage is of {view.title}. A deal counts "
        "whole, also where it is shared. Click a bar for the deals behind it."
    )
    if found.foreign:
        text += (
            f" {found.foreign:,} deals in other currencies are converted to {found.currency} at the latest rate on or "
            "before their close date."
        )
    st.caption(text)
    if found.unconverted:
        st.warning(
            f"Deals in other currencies that are counted, but whose amount is left out: {found.unconverted:,}. There "
            f"is no exchange rate to {found.currency} on or before their close date.",
            icon=":material/currency_exchange:",
        )


# --------------------------------------------------------------------------------------------- cards


def _cards(view: View) -> None:
    found = view.found
    won, lost = (found.decided[found.decided["outcome"] == outcome] for outcome in ("won", "lost"))
    decided = int(won["deals"].sum() + lost["deals"].sum())
    timed, moves = int(won["timed"].sum()), found.moved[found.moved["bucket"] >= 0]
    slipped = int(found.slipped["deals"].sum())
    weighted = int(_weighted(found.open).sum())
    widgets.cards(
        Card("Open pipeline", charts.short(int(found.open["amount"].sum()), found.currency),
             help=f"{int(found.open['deals'].sum()):,} open deals, whenever they should close."),
        Card("Weighted", charts.short(weighted, found.currency), help="Each deal times the probability of its stage."),
        Card("Win rate", _percent(int(won["deals"].sum()), decided),
             help=f"Won of the {decided:,} deals decided in {view.title}, by close date."),
        Card("Sales cycle", f"{won['days'].sum() / timed:,.0f} days" if timed else "–",
             help=f"From creation to close, on average of the {timed:,} deals won in {view.title}."),
        Card("Past the close date", f"{int(found.open['overdue'].sum()):,}", help="Open deals that should be closed."),
        Card("Moved later", f"{int(moves['moves'].sum()):,}",
             f"by {moves['days'].sum() / moves['moves'].sum():,.0f} days" if len(moves) else None,
             help=f"How often a close date was moved later in {view.title}, and by how much on average.", arrow=False),
        Card("Slipped", f"{slipped:,}",
             help=f"Deals that should have closed in {view.title} and now close after it."),
        Card("Sales velocity", _velocity(view, won, decided, timed),
             help="What the open pipeline brings a day: open deals, times the win rate, times the average won deal, "
                  f"over the days of a sales cycle; the last three are of {view.title}. An estimate."),
    )  # fmt: skip


def _velocity(view: View, won: pd.DataFrame, decided: int, timed: int) -> str:
    """Open deals x win rate x average won deal / sales cycle, in money a day."""
    days = int(won["days"].sum())
    if not decided or not days:
        return "–"
    # Rate x average deal = won amount / decided; the cycle = days / timed.
    daily = int(view.found.open["deals"].sum()) * int(won["amount"].sum()) * timed / (decided * days)
    return f"{charts.whole(daily, view.found.currency)} a day"


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def _weighted(frame: pd.DataFrame) -> pd.Series:
    return frame["amount"] * frame["probability_ppm"] // 1_000_000


# --------------------------------------------------------------------------------------------- charts


def _grouped(view: View, frame: pd.DataFrame, keys: Sequence[str], sums: Sequence[str]) -> pd.DataFrame:
    """Sums by keys and group; the groups beyond the largest are one, `group` is what each is called."""
    if view.by != "all":
        known = {group: view.named(group) for group in view.largest}
        frame = frame.assign(
            group=[known.get(group, _OTHERS) for group in frame["grp"]],
            grp=[group if group in known else _MANY for group in frame["grp"]],
        )
    else:
        frame = frame.assign(group="")
    frame = frame.groupby([*keys, "grp", "group"], as_index=False, sort=False)[list(sums)].sum()
    return frame.assign(place=[view.largest.index(each) if each in view.largest else 99 for each in frame["grp"]])


def _go(view: View, picked: dict[str, Any] | None, query: dict[str, str], grouped: bool = True) -> None:
    """To the deals behind a mark that was clicked."""
    if picked is None:
        return
    group: dict[str, str] = {}
    if grouped and view.by != "all":
        if picked.get("grp") == _MANY:
            st.toast("These are several groups. Choose one in the table at the foot of the page.")
            return
        group = view.group_query(str(picked.get("grp", "")))
    team = st.query_params.get("team", "")
    drill.deals({**query, **group, **({"team": team} if team else {})})


def _colored(view: View, frame: pd.DataFrame) -> dict[str, Any]:
    """The colour of a bar by its group, where there are groups."""
    if view.by == "all":
        return {}
    colors = dict(zip((*map(view.named, view.largest), _OTHERS), _COLORS, strict=False)) | {_OTHERS: "#94a3b8"}
    used = [name for name in colors if name in set(frame["group"])]
    return {
        "color": alt.Color("group:N", title=None, sort=used, legend=alt.Legend(orient="top", columns=2, labelLimit=130),
                           scale=alt.Scale(domain=used, range=[colors[name] for name in used])),
        "order": alt.Order("place:Q"),
    }  # fmt: skip


def _stages(view: View) -> None:
    found = view.found
    st.subheader("Open pipeline by stage", anchor=False)
    if found.open.empty:
        st.caption("No deal is open.")
        return
    frame = _grouped(view, found.open.assign(weighted=_weighted(found.open)), ["stage_id", "stage"],
                     ["amount", "weighted", "deals"])  # fmt: skip
    frame["value"] = frame["amount"] / 10 ** currency_digits(found.currency)
    form, axis = charts.money_formats(found.currency)
    order = [name for name in found.stages["name"] if name in set(frame["stage"])]
    chart = (
        alt.Chart(frame)
        .mark_bar(cornerRadiusEnd=3)
        .encode(
            alt.X("sum(value):Q", title=charts.unit("Amount", found.currency), axis=alt.Axis(format=axis, tickCount=4)),
            alt.Y("stage:N", title=None, sort=order),
            tooltip=[
                alt.Tooltip("stage:N", title="Stage"),
                *([] if view.by == "all" else [alt.Tooltip("group:N", title=GROUPS[view.by])]),
                alt.Tooltip("sum(value):Q", title=charts.unit("Amount", found.currency), format=form),
                alt.Tooltip("sum(deals):Q", title="Deals", format=","),
            ],
            **_colored(view, frame),
        )
        .properties(height=280 if view.by == "all" else 320)
    )
    columns = {
        "stage": text_column("Stage"),
        **({} if view.by == "all" else {"group": text_column(GROUPS[view.by])}),
        "deals": number_column("Deals"),
        "amount": money_column("In full", found.currency),
        "weighted": money_column("Weighted", found.currency),
    }
    picked = charts.show(
        chart, frame, view.stem("open-by-stage"), columns, alt_text="Open pipeline by stage",
        title=f"Open pipeline by stage, {view.found.currency}", pick=["stage", "grp"],
    )  # fmt: skip
    _go(view, picked, {"show": "Open", "deal_stages": picked["stage"] if picked else ""})


def _conversion(view: View) -> None:
    found = view.found
    st.subheader("What became of the deals that entered a stage", anchor=False)
    kept = found.stages[found.stages["outcome"] == "open"]
    frame = found.passages[found.passages["stage_id"].isin(kept["id"])]
    if frame.empty:
        st.caption(f"No deal entered a stage in {view.title}.")
        return
    frame = frame.groupby(["stage_id", "next_id"], as_index=False)[["deals", "seconds"]].sum()
    frame["stage"] = frame["stage_id"].map(view.stage_names)
    frame["onward"] = [view.stage_names.get(each, _STILL) for each in frame["next_id"]]
    frame["share"] = frame["deals"] / frame.groupby("stage_id")["deals"].transform("sum")
    frame["days"] = [
        round(seconds / deals / 86_400, 1) if onward else None
        for seconds, deals, onward in zip(frame["seconds"], frame["deals"], frame["next_id"], strict=True)
    ]
    frame["place"] = frame["next_id"].map({each: at for at, each in enumerate(found.stages["id"])}).fillna(99)
    order = [each for each in (*found.stages["name"], _STILL) if each in set(frame["onward"])]
    chart = (
        alt.Chart(frame)
        .mark_bar()
        .encode(
            alt.X("share:Q", title=None, stack="zero", axis=alt.Axis(format="%", tickCount=5),
                  scale=alt.Scale(domain=[0, 1])),
            alt.Y("stage:N", title=None, sort=list(kept["name"])),
            alt.Color("onward:N", title=None, sort=order, legend=alt.Legend(orient="top", columns=2),
                      scale=alt.Scale(domain=order, range=_onward_colors(found, order))),
            alt.Order("place:Q"),
            tooltip=[
                alt.Tooltip("stage:N", title="Entered"),
                alt.Tooltip("onward:N", title="Next"),
                alt.Tooltip("share:Q", title="Share", format=".1%"),
                alt.Tooltip("deals:Q", title="Deals", format=","),
                alt.Tooltip("days:Q", title="Days until then", format=",.1f"),
            ],
        )
        .properties(height=280)
    )  # fmt: skip
    picked = charts.show(
        chart,
        frame,
        view.stem("conversion"),
        {
            "stage": text_column("Entered"),
            "onward": text_column("Went on to"),
            "deals": number_column("Deals"),
            "share": percent_column("Share"),
            "days": number_column("Days until then"),
        },
        alt_text=f"Where deals that entered each stage in {view.title} went next",
        pick=["stage_id", "next_id"],
    )
    if picked:
        _go(view, picked, {"entered": f"{picked['stage_id']}:{view.period.name}:{picked['next_id']}"}, grouped=False)
    few = frame.groupby("stage")["deals"].sum()
    if (few < 20).any():
        st.caption("A share of fewer than 20 deals says little.")


def _onward_colors(found: Pipeline, order: Sequence[str]) -> list[str]:
    """Open stages in the theme's cool colours, won green, lost red, what is still there grey."""
    outcomes = dict(zip(found.stages["name"], found.stages["outcome"], strict=True))
    cool = cycle(("#0ea5e9", "#6366f1", "#0d9488", "#a855f7", "#f59e0b"))
    fixed = {"won": "#22c55e", "lost": "#e11d48", "": "#94a3b8"}
    return [fixed.get(outcomes.get(name, "")) or next(cool) for name in order]


def _ageing(view: View) -> None:
    found = view.found
    st.subheader("How long open deals have been in their stage", anchor=False)
    if found.open.empty:
        st.caption("No deal is open.")
        return
    frame = found.open.assign(bucket=found.open["bucket"].fillna(len(_AGES)).astype(int))
    frame = frame.groupby(["stage_id", "stage", "bucket"], as_index=False, sort=False)[["deals", "amount"]].sum()
    names = (*_AGES, _NO_USUAL)
    frame["age"] = [names[each] for each in frame["bucket"]]
    spans = [_waiting(found.usual.get(stage), bucket)
             for stage, bucket in zip(frame["stage_id"], frame["bucket"], strict=True)]  # fmt: skip
    frame["span"] = [drill.days_in_words(*each) if each else "–" for each in spans]
    frame["asked"] = [drill.days(*each) if each else "" for each in spans]
    used = [name for name in names if name in set(frame["age"])]
    chart = (
        alt.Chart(frame)
        .mark_bar()
        .encode(
            alt.X("deals:Q", title="Deals", axis=alt.Axis(format="~s", tickCount=5)),
            alt.Y("stage:N", title=None, sort=[each for each in found.stages["name"] if each in set(frame["stage"])]),
            alt.Color("age:N", title=None, sort=used, legend=alt.Legend(orient="top", columns=2),
                      scale=alt.Scale(domain=used, range=[_AGE_COLORS[names.index(each)] for each in used])),
            alt.Order("bucket:Q"),
            tooltip=[
                alt.Tooltip("stage:N", title="Stage"),
                alt.Tooltip("age:N", title="For"),
                alt.Tooltip("span:N", title="That is"),
                alt.Tooltip("deals:Q", title="Deals", format=","),
            ],
        )
        .properties(height=280)
    )  # fmt: skip
    picked = charts.show(
        chart,
        frame,
        view.stem("ageing"),
        {
            "stage": text_column("Stage"),
            "age": text_column("For"),
            "span": text_column("That is"),
            "deals": number_column("Deals"),
            "amount": money_column("Amount", found.currency),
        },
        alt_text="Open deals by stage and by how long they have been there",
        pick=["stage", "asked"],
    )
    if picked:
        query = {"show": "Open", "deal_stages": picked["stage"], "waiting": picked["asked"]}
        _go(view, picked, query, grouped=False)
    usual = [f"{name} {found.usual[each]:,}" for each, name in view.stage_names.items() if each in found.usual
             and name in set(frame["stage"])]  # fmt: skip
    if usual:
        st.caption(f"Usual days: {', '.join(usual)} (median of the deals that left the stage in the last 365 days).")


def _waiting(usual: int | None, bucket: int) -> tuple[int, int | None] | None:
    """The days of a bucket of `AGES`."""
    if usual is None or bucket > len(AGES):
        return None
    return drill.edges([times * usual for times in AGES])[bucket]


def _days_in_stage(view: View) -> None:
    found = view.found
    st.subheader("Days in stage", anchor=False)
    kept = found.stages[found.stages["outcome"] == "open"]
    left = found.passages[(found.passages["next_id"] != 0) & found.passages["stage_id"].isin(kept["id"])]
    if left.empty:
        st.caption(f"No deal that entered a stage in {view.title} has left it.")
        return
    frame = _grouped(view, left, ["stage_id"], ["deals", "seconds"])
    frame["stage"] = frame["stage_id"].map(view.stage_names)
    frame["days"] = (frame["seconds"] / frame["deals"] / 86_400).round(1)
    offset = {} if view.by == "all" else {"yOffset": alt.YOffset("place:O")}
    chart = (
        alt.Chart(frame)
        .mark_bar(cornerRadiusEnd=3)
        .encode(
            alt.X("days:Q", title="Days, on average", axis=alt.Axis(tickCount=5)),
            alt.Y("stage:N", title=None, sort=list(kept["name"])),
            tooltip=[
                alt.Tooltip("stage:N", title="Stage"),
                *([] if view.by == "all" else [alt.Tooltip("group:N", title=GROUPS[view.by])]),
                alt.Tooltip("days:Q", title="Days", format=",.1f"),
                alt.Tooltip("deals:Q", title="Deals that left", format=","),
            ],
            **offset,
            **_colored(view, frame),
        )
        .properties(height=280 if view.by == "all" else 420)
    )
    picked = charts.show(
        chart,
        frame,
        view.stem("days-in-stage"),
        {
            "stage": text_column("Stage"),
            **({} if view.by == "all" else {"group": text_column(GROUPS[view.by])}),
            "days": number_column("Days, on average"),
            "deals": number_column("Deals that left"),
        },
        alt_text=f"Average days in each stage of the deals that entered it in {view.title} and left it",
        pick=["stage_id", "grp"],
    )
    if picked:
        _go(view, picked, {"entered": f"{picked['stage_id']}:{view.period.name}"})


def _slippage(view: View) -> None:
    found = view.found
    st.subheader("Close dates moved later", anchor=False)
    later = found.moved[found.moved["bucket"] >= 0]
    if later.empty:
        st.caption(f"No close date was moved to a later day in {view.title}.")
        return
    frame = _grouped(view, later, ["bucket"], ["deals", "moves", "days"]).sort_values("bucket", ignore_index=True)
    spans = drill.edges(MOVES, 1)
    frame["span"] = [drill.days_in_words(*spans[each]) for each in frame["bucket"]]
    frame["asked"] = [drill.days(*spans[each]) for each in frame["bucket"]]
    chart = (
        alt.Chart(frame)
        .mark_bar(cornerRadiusEnd=3, width={"band": 0.65})
        .encode(
            alt.X("span:N", title=None, sort=[drill.days_in_words(*each) for each in spans],
                  axis=alt.Axis(labelAngle=0)),
            alt.Y("deals:Q", title="Deals", axis=alt.Axis(format="~s", tickCount=4)),
            tooltip=[
                alt.Tooltip("span:N", title="By"),
                *([] if view.by == "all" else [alt.Tooltip("group:N", title=GROUPS[view.by])]),
                alt.Tooltip("deals:Q", title="Deals", format=","),
                alt.Tooltip("moves:Q", title="Moves", format=","),
            ],
            **_colored(view, frame),
        )
        .properties(height=240 if view.by == "all" else 300)
    )  # fmt: skip
    picked = charts.show(
        chart,
        frame,
        view.stem("moved-later"),
        {
            "span": text_column("Moved by"),
            **({} if view.by == "all" else {"group": text_column(GROUPS[view.by])}),
            "deals": number_column("Deals"),
            "moves": number_column("Moves"),
        },
        alt_text=f"Deals whose close date was moved later in {view.title}, by how far",
        pick=["asked", "grp"],
    )
    if picked:
        _go(view, picked, {"moved": f"{view.period.name}:{picked['asked']}"})
    slipped = found.slipped
    earlier = int(found.moved.loc[found.moved["bucket"] < 0, "moves"].sum())
    with st.container(horizontal=True, vertical_alignment="center"):
        amount = widgets.money(int(slipped["amount"].sum()), found.currency)
        st.caption(
            widgets.plain(
                f"{_many(int(slipped['deals'].sum()), 'deal')} ({amount}) slipped out of {view.title}."
                + (f" A close date was moved earlier {_many(earlier, 'time')}." if earlier else "")
            ),
            width="content",
        )
        if len(slipped):
            query = {"slipped": view.period.name, "team": st.query_params.get("team", "")}
            drill.link("The deals that slipped", query)


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _cycle(view: View) -> None:
    found = view.found
    st.subheader("Sales cycle of won deals", anchor=False)
    won = found.decided[(found.decided["outcome"] == "won") & found.decided["bucket"].notna()]
    if won.empty:
        st.caption(f"No deal with a created date was won in {view.title}.")
        return
    frame = _grouped(view, won.assign(bucket=won["bucket"].astype(int)), ["bucket"], ["deals", "amount", "days"])
    frame = frame.sort_values("bucket", ignore_index=True)
    spans = drill.edges(CYCLES)
    frame["span"] = [drill.days_in_words(*spans[each]) for each in frame["bucket"]]
    frame["asked"] = [drill.days(*spans[each]) for each in frame["bucket"]]
    chart = (
        alt.Chart(frame)
        .mark_bar(cornerRadiusEnd=3, width={"band": 0.65})
        .encode(
            alt.X("span:N", title=None, sort=[drill.days_in_words(*each) for each in spans],
                  axis=alt.Axis(labelAngle=0, labelLimit=90)),
            alt.Y("deals:Q", title="Deals won", axis=alt.Axis(format="~s", tickCount=4)),
            tooltip=[
                alt.Tooltip("span:N", title="From creation to close"),
                *([] if view.by == "all" else [alt.Tooltip("group:N", title=GROUPS[view.by])]),
                alt.Tooltip("deals:Q", title="Deals won", format=","),
            ],
            **_colored(view, frame),
        )
        .properties(height=240 if view.by == "all" else 300)
    )  # fmt: skip
    picked = charts.show(
        chart,
        frame,
        view.stem("sales-cycle"),
        {
            "span": text_column("From creation to close"),
            **({} if view.by == "all" else {"group": text_column(GROUPS[view.by])}),
            "deals": number_column("Deals won"),
            "amount": money_column("Amount", found.currency),
        },
        alt_text=f"Deals won in {view.title} by the days from creation to close",
        pick=["asked", "grp"],
    )
    if picked:
        _go(view, picked, {"show": "Won", "closing": view.title, "cycle": picked["asked"]})


# --------------------------------------------------------------------------------------------- groups


def _groups(view: View) -> None:
    label = GROUPS[view.by]
    st.subheader(f"By {label.lower()}", anchor=False)
    frame = compared(view.found)
    frame["group"] = [view.named(group) for group in frame["grp"]]
    chosen = widgets.table(
        frame,
        {
            "group": text_column(label),
            "open": number_column("Open"),
            "amount": money_column("Open pipeline", view.found.currency),
            "overdue": number_column("Past date", help="Open deals that should be closed."),
            "won": number_column("Won"),
            "lost": number_column("Lost"),
            "rate": percent_column("Win rate"),
            "won_amount": money_column("Won amount", view.found.currency),
            "cycle": number_column("Cycle, days", help="From creation to close, of the won."),
            "moves": number_column("Moved later"),
            "slipped": number_column("Slipped", help=f"Out of {view.title}."),
        },
        key=f"pipeline_groups_{st.session_state.get('groups_drawn', 0)}",
        export=view.stem("pipeline"),
        select=True,
    )
    if chosen is None:
        st.caption("Choose a row for its open deals.")
        return
    st.session_state["groups_drawn"] = st.session_state.get("groups_drawn", 0) + 1
    _go(view, {"grp": frame["grp"].iloc[chosen]}, {"show": "Open"})


def compared(found: Pipeline) -> pd.DataFrame:
    """A row for each group, the one with the largest open pipeline first: grp, open, amount, overdue, won, lost, rate,
    won_amount, cycle (whole days, Int64), moves, slipped."""
    won, lost = (found.decided[found.decided["outcome"] == outcome] for outcome in ("won", "lost"))
    later = found.moved[found.moved["bucket"] >= 0]
    sums = {
        "open": (found.open, "deals"), "amount": (found.open, "amount"), "overdue": (found.open, "overdue"),
        "won": (won, "deals"), "lost": (lost, "deals"), "won_amount": (won, "amount"), "timed": (won, "timed"),
        "days": (won, "days"), "moves": (later, "moves"), "slipped": (found.slipped, "deals"),
    }  # fmt: skip
    columns = {name: frame.groupby("grp")[column].sum() for name, (frame, column) in sums.items()}
    table = pd.DataFrame(columns).fillna(0).astype("int64")
    table["rate"] = (table["won"] / (table["won"] + table["lost"]).where(lambda whole: whole > 0)).round(3)
    table["cycle"] = (table["days"] / table["timed"].where(lambda timed: timed > 0)).round().astype("Int64")
    return table.sort_values("amount", ascending=False).rename_axis("grp").reset_index()

"""The parts of the dashboard: cards, charts, attainment, top deals."""

from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from app import charts, drill, navigation, widgets
from app.widgets import Card, date_column, money_column, number_column, percent_column, progress_column, text_column
from engine.money import currency_digits
from engine.periods import Period, parse_period
from engine.services.access import Actor
from engine.services.dashboard import Dashboard, Figure

_SHOWS = 0.0005  # the least change that a card tells
_PACE = "Attainment at the end of the quota period, at the speed so far"


def show(actor: Actor, board: Dashboard, team: int | None) -> None:
    """The whole page under the filters; `team` is the one chosen."""
    st.caption(_compared(board))
    _notes(board)
    if board.is_empty:
        widgets.empty(
            f"No deals up to {widgets.period_title(board.period)}",
            "Revenue, pipeline and commission appear here as soon as there are deals. Upload the CRM's export, "
            "or choose another period.",
            page="upload",
            link="Upload deals",
            icon=":material/space_dashboard:",
        )
        return
    _cards(actor, board)
    left, right = st.columns([2, 1], gap="medium")
    with left.container(border=True, height="stretch"):
        _revenue(board)
    with right.container(border=True, height="stretch"):
        _pipeline(board, team)
    left, right = st.columns([2, 1], gap="medium")
    with left.container(border=True, height="stretch"):
        _attainment(board)
    with right.container(border=True, height="stretch"):
        _commission(board)
    with st.container(border=True):
        _top_deals(actor, board)


def _compared(board: Dashboard) -> str:
    now, before = widgets.period_title(board.period), widgets.period_title(board.before)
    if not board.begun:
        return f"{now} has not begun: what is open is all there is."
    if not board.running:
        return f"{now}, changes against {before}."
    return f"{now} so far. Changes are against the same days of {before}, up to {board.compared_until:%d %B}."


def _notes(board: Dashboard) -> None:
    """What the figures lack, and the way to it for those who can do something about it."""
    if board.not_run:
        months = _listed([widgets.period_title(month) for month in board.not_run])
        several = len(board.not_run) > 1
        with st.container(horizontal=True, vertical_alignment="center", key="not_run"):
            st.info(
                f"Commission of {months} has not been calculated yet, so {'they are' if several else 'it is'} "
                "missing from commission, effective rate and attainment.",
                icon=":material/pending_actions:",
            )
            navigation.link("runs", "Go to runs", {"period": board.not_run[-1].name})
    if board.outdated:
        names = _listed([widgets.period_title(each) for each in board.outdated])
        with st.container(horizontal=True, vertical_alignment="center", key="outdated"):
            st.info(
                f"Deals have changed since {names} {'were' if len(board.outdated) > 1 else 'was'} calculated: "
                "commission, effective rate and attainment are of before that, revenue is of now.",
                icon=":material/update:",
            )
            navigation.link("runs", "Go to runs", {"period": board.outdated[-1].name})
    if board.unconverted:
        st.warning(
            f"Deals in other currencies that are left out: {board.unconverted:,}. There is no exchange rate to "
            f"{board.currency} on or before their close date.",
            icon=":material/currency_exchange:",
        )


def _listed(names: list[str]) -> str:
    if len(names) > 3:
        return f"{names[0]} to {names[-1]}"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


# --------------------------------------------------------------------------------------------- cards


def _cards(actor: Actor, board: Dashboard) -> None:
    currency = board.currency
    own = actor.role == "rep"
    rate = board.rate
    ends = f" The small chart ends with {widgets.period_title(board.period)} so far." if board.running else ""
    widgets.cards(
        _money_card(
            "Won revenue",
            board.won,
            currency,
            f"Deals won, by close date; a shared deal counts with the share, refunds are taken off.{ends}",
        ),
        _money_card(
            "Your commission" if own else "Commission earned",
            board.commission,
            currency,
            f"From the latest run of each pay period, adjustments and what was given by hand included.{ends}",
        ),
        Card(
            "Effective rate" if own else "Cost of sales",
            _percent(rate.value, 2),
            _points(None if rate.value is None or rate.before is None else rate.value - rate.before, 2),
            help=f"Commission as a share of won revenue, over the months that have been run.{ends}",
            trend=_trend(rate),
        ),
        _attainment_card(board),
        Card(
            "Deals won",
            f"{board.deals.value:,}",
            _change(board.deals),
            _better(board.deals),
            f"Refunds and credit memos are not counted; the Deals page lists them too.{ends}",
            _trend(board.deals),
            _change(board.deals) != "no change",
        ),
        _money_card("Average deal", board.average, currency, f"Won revenue per deal won.{ends}"),
        Card(
            "Open pipeline",
            charts.short(board.pipeline.value, currency),
            help=f"{board.open_deals:,} open deals that should close in {widgets.period_title(board.period)}. "
            "The small chart is this and the coming periods.",
            trend=_trend(board.pipeline),
        ),
        Card(
            "Weighted pipeline",
            charts.short(board.weighted.value, currency),
            help="Open pipeline times the probability of each stage. The small chart is this and the coming periods.",
            trend=_trend(board.weighted),
        ),
    )


def _money_card(label: str, figure: Figure, currency: str, meaning: str) -> Card:
    exact = "" if figure.value is None else f" Exactly {widgets.money(round(figure.value), currency)}."
    change = _change(figure)
    return Card(
        label,
        charts.short(figure.value, currency),
        change,
        _better(figure),
        meaning + exact,
        _trend(figure),
        change != "no change",
    )


def _attainment_card(board: Dashboard) -> Card:
    """While the quota period runs: how far from pace.  Afterwards: more or less than in the period before."""
    figure = board.attainment
    delta, good = None, None
    if figure.value is not None and board.pace is not None and board.pace < 1:
        ahead = figure.value - board.pace
        delta, good = f"{_points(ahead)} {'behind' if ahead < 0 else 'ahead of'} pace", ahead >= 0
    elif figure.value is not None and figure.before is not None:
        delta, good = _points(figure.value - figure.before), figure.value >= figure.before
    return Card(
        "Quota attainment",
        _percent(figure.value, 1),
        delta,
        good,
        "Credit to date over quota, from the latest run; team leads are not counted again. Pace is where an even "
        "quarter would stand today.",
        _trend(figure),
    )


def _trend(figure: Figure) -> list[float] | None:
    """A sparkline, where there is something to see."""
    first = next((place for place, each in enumerate(figure.trend) if each), 0)
    return list(figure.trend[first:]) if sum(1 for each in figure.trend if each) > 1 else None


def _change(figure: Figure) -> str | None:
    if figure.change is None:
        return None
    return f"{figure.change:+.1%}" if abs(figure.change) >= _SHOWS else "no change"


def _better(figure: Figure) -> bool | None:
    """Whether the change is for the better; None without one that shows."""
    return None if figure.change is None or abs(figure.change) < _SHOWS else figure.change > 0


def _points(difference: float | None, digits: int = 1) -> str | None:
    return None if difference is None else f"{difference * 100:+.{digits}f} pts"


def _percent(ratio: float | None, digits: int) -> str:
    return "–" if ratio is None else f"{ratio:.{digits}%}"


# --------------------------------------------------------------------------------------------- charts


def _revenue(board: Dashboard) -> None:
    st.subheader("Won revenue", anchor=False)
    titles = {each.name: widgets.period_title(each) for each in (board.period, board.before)}
    if not board.begun:
        st.caption(f"{widgets.period_title(board.period)} has not begun.")
        return
    if not board.revenue["amount"].any():
        st.caption(f"Nothing was won in {_listed(list(titles.values()))}.")
        return
    charts.trend(
        board.revenue.assign(series=board.revenue["series"].map(titles)),
        "at",
        "amount",
        color="series",
        currency=board.currency,
        y_title="Revenue",
        name=widgets.stem("won-revenue", board.period.name),
        alt_text=f"Won revenue since the start of {_listed(list(titles.values()))}, cumulated",
    )
    if board.weighted.value:
        lands = widgets.money(round((board.won.value or 0) + board.weighted.value), board.currency)
        st.caption(
            widgets.plain(f"With the weighted pipeline {titles[board.period.name]} comes to {lands}, an estimate.")
        )


def _pipeline(board: Dashboard, team: int | None) -> None:
    title = widgets.period_title(board.period)
    st.subheader("Open pipeline by stage", anchor=False)
    if board.stages.empty:
        st.caption(f"No open deal should close in {title}.")
    else:
        picked = _stage_bars(
            board.stages,
            board.currency,
            f"Open pipeline by stage for {title}, in full and weighted",
            widgets.stem("open-pipeline", board.period.name, f"team {team}" if team else ""),
        )
        if picked:
            query = {"show": "Open", "closing": title, "deal_stages": picked["stage"]}
            drill.deals({**query, "team": str(team or ""), "counted": "dashboard"})
    if board.overdue_deals:
        amount = widgets.money(board.overdue_amount, board.currency)
        several = board.overdue_deals > 1
        deals = f"{board.overdue_deals:,} open deals" if several else "1 open deal"
        st.caption(widgets.plain(f"{deals} ({amount}) {'are' if several else 'is'} past the close date."))
        drill.link("Past the close date", {"late": "yes", "team": str(team or ""), "counted": "dashboard"})
    navigation.link("pipeline", "More in Pipeline", {"period": board.period.name})


def _stage_bars(stages: pd.DataFrame, currency: str, alt_text: str, name: str) -> dict[str, Any] | None:
    kinds = {"amount": "In full", "weighted": "Weighted"}
    data = stages.melt(["stage", "deals"], list(kinds), "kind", "value")
    data["kind"] = data["kind"].map(kinds)
    data["value"] = data["value"].astype("float64") / 10 ** currency_digits(currency)
    sign = "$" if currency == "USD" else ""
    chart = (
        alt.Chart(data)
        .mark_bar(cornerRadiusEnd=4)
        .encode(
            alt.X("value:Q", title=None if sign else currency, axis=alt.Axis(format=f"{sign}~s", tickCount=4)),
            alt.Y("stage:N", title=None, sort=None),
            yOffset=alt.YOffset("kind:N", sort=list(kinds.values())),
            color=alt.Color("kind:N", title=None, sort=list(kinds.values()), legend=alt.Legend(orient="top")),
            tooltip=[
                alt.Tooltip("stage:N", title="Stage"),
                alt.Tooltip("kind:N", title="Pipeline"),
                alt.Tooltip("value:Q", title=currency, format=f"{sign},.{currency_digits(currency)}f"),
                alt.Tooltip("deals:Q", title="Deals", format=","),
            ],
        )
        .properties(height=300)
    )
    return charts.show(
        chart,
        stages,
        name,
        {
            "stage": text_column("Stage"),
            "deals": number_column("Deals"),
            "amount": money_column("In full", currency),
            "weighted": money_column("Weighted", currency),
        },
        alt_text=alt_text,
        pick=["stage"],
    )


def _commission(board: Dashboard) -> None:
    st.subheader("Commission by month", anchor=False)
    months = board.commission_months
    if months.empty:
        st.caption("No pay period has been calculated yet.")
        return
    names = {f"{month:%b} ’{month:%y}": f"{month:%Y-%m}" for month in months["month"]}
    picked = charts.bars(
        months.assign(
            month=[f"{month:%b} ’{month:%y}" for month in months["month"]], status=months["status"].str.capitalize()
        ),
        "month",
        "amount",
        color="status",
        currency=board.currency,
        y_title="Commission",
        alt_text="Commission earned in each of the last twelve months, by whether it is paid",
        name=widgets.stem("commission-by-month", board.period.name),
        pick=True,
    )
    if picked:
        navigation.open_page("earnings", {"period": names[picked["month"]]})
    navigation.link("analytics", "More in Analytics")


# --------------------------------------------------------------------------------------------- tables


def _landing(board: Dashboard) -> None:
    """Everyone together: how far, how far an even quarter would be, and where it ends at this speed."""
    reached = board.reached
    if reached is None:
        return
    ratio = reached.credit / reached.quota
    credit, quota = (widgets.money(each, board.currency) for each in (reached.credit, reached.quota))
    st.progress(min(1.0, max(0.0, ratio)), text=widgets.plain(f"Together {ratio:.1%}: {credit} of {quota}"))
    if board.pace is not None and board.pace < 1 and reached.landing is not None:
        lands = widgets.money(round(reached.landing * reached.quota), board.currency)
        st.caption(
            widgets.plain(
                f"An even period would stand at {board.pace:.1%} today. At the speed so far it ends at "
                f"{reached.landing:.1%} ({lands}), an estimate."
            )
        )


def _attainment(board: Dashboard) -> None:
    st.subheader("Quota attainment", anchor=False)
    people, currency = board.people, board.currency
    if people.empty:
        st.caption("No one here has a quota in a pay period that has been calculated.")
        return
    over = board.pace is None or board.pace >= 1
    columns = {
        "attainment": progress_column("Attained"),
        **({} if over else {"pace": percent_column("On pace for", help=_PACE)}),
        "credit": money_column("Credit", currency),
        "quota": money_column("Quota", currency),
    }
    if len(people) == 1:
        _own_attainment(board)
        return
    _landing(board)
    shown = people.assign(team=people["team"] + people["leads"].map({True: " (lead)", False: ""}))
    by_person, by_team = st.tabs(["People", "Teams"])
    with by_person:
        widgets.table(
            shown,
            {"name": text_column("Person"), **columns, "team": text_column("Team")},
            key="attainment_people",
            export=f"attainment-{board.period.name}",
        )
    with by_team:
        if board.teams.empty:
            st.caption("None of these people is in a team.")
        else:
            widgets.table(
                board.teams,
                {"team": text_column("Team"), **columns},
                key="attainment_teams",
                export=f"attainment-teams-{board.period.name}",
            )


def _own_attainment(board: Dashboard) -> None:
    row, currency = board.people.iloc[0], board.currency
    credit, quota = (widgets.money(int(row[name]), currency) for name in ("credit", "quota"))
    st.metric(row["name"], _percent(row["attainment"], 1), delta_color="off")
    st.progress(min(1.0, max(0.0, float(row["attainment"]))), text=widgets.plain(f"{credit} of {quota}"))
    if board.pace is not None and board.pace < 1:
        st.caption(f"At this speed {_percent(row['pace'], 1)} by the end of the quota period.")
    history = board.attainment_periods
    if len(history) > 1:
        charts.bars(
            history.assign(period=[widgets.period_title(parse_period(name)) for name in history["period"]]),
            "period",
            "attainment",
            percent=True,
            y_title="Attainment",
            height=190,
            alt_text="Quota attainment at the end of each of the last periods",
        )


def _top_deals(actor: Actor, board: Dashboard) -> None:
    st.subheader("Top deals", anchor=False)
    won, still_open = st.tabs(["Won", "Open"], default="Won" if board.begun else "Open")
    for tab, frame, word in ((won, board.top_won, "won"), (still_open, board.top_open, "open")):
        with tab:
            if frame.empty:
                st.caption(_no_deals(board.period, word))
                continue
            chosen = widgets.table(
                frame,
                {
                    "name": text_column("Deal"),
                    "amount": money_column("Amount", board.currency),
                    **({} if actor.role == "rep" else {"owner": text_column("Owner")}),
                    "stage": text_column("Stage"),
                    "close_date": date_column("Close date"),
                    "type": text_column("Type"),
                    "product": text_column("Product"),
                },
                key=f"top_{word}_{st.session_state.get('top_drawn', 0)}",
                export=f"top-deals-{word}-{board.period.name}",
                select=True,
            )
            if chosen is not None:
                st.session_state["top_drawn"] = st.session_state.get("top_drawn", 0) + 1
                drill.deals({"deal": str(frame["id"].iloc[chosen])})


def _no_deals(period: Period, word: str) -> str:
    title = widgets.period_title(period)
    return f"No deal was won in {title}." if word == "won" else f"No open deal should close in {title}."

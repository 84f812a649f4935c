"""The parts of the forecast page: the three ways side by side, the outcomes of the open deals, each person's."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from app import charts, navigation, state, widgets
from app.widgets import Card, money_column, number_column, percent_column, text_column
from engine.errors import ProblemsError
from engine.money import PPM, currency_digits
from engine.services import forecast, forecast_simulation
from engine.services.access import Actor
from engine.services.forecast import FEWEST_MONTHS, ROUNDS, SEED, Outlook, Quarter
from engine.services.forecast_simulation import Simulated

VIEWS = {"outlook": "Outlook", "deals": "If these close", "backtest": "How it did"}
WAYS = {"pipeline": "Weighted pipeline", "model": "Statistical model", "simulation": "Simulation"}
_MEASURES = {"revenue": "Revenue", "pay": "Commission"}
_AHEAD = {"1": "This quarter", "2": "This and the next", "3": "This and the next 2", "4": "This and the next 3"}
_SEASONS = {12: "a yearly season", 3: "a season within the quarter (its months differ in the same way each time)"}
_LARGEST_SEED = 999_999_999


def _kept(name: str, options: Sequence[str], default: str) -> dict[str, Any]:
    """How a widget keeps its choice in the URL (``?name=...``), by the options' own names: its key and its callback."""
    chosen = st.query_params.get(name, default)
    key = f"forecast_{name}"
    st.session_state[key] = chosen if chosen in options else default
    return {"key": key, "on_change": lambda: st.query_params.update({name: st.session_state[key]})}


def choose_view() -> str:
    """Which part of the page to show, kept in the URL (``?view=deals``)."""
    chosen = st.segmented_control(
        "View",
        list(VIEWS),
        format_func=VIEWS.__getitem__,
        required=True,
        label_visibility="collapsed",
        **_kept("view", list(VIEWS), "outlook"),
    )
    return str(chosen)


def choose_ahead() -> int:
    """How many quarters to look at, kept in the URL (``?ahead=3``)."""
    with widgets.tools():
        chosen = st.selectbox(
            "Quarters",
            list(_AHEAD),
            format_func=_AHEAD.__getitem__,
            label_visibility="collapsed",
            width=190,
            **_kept("ahead", list(_AHEAD), "2"),
        )
    return int(chosen)


# --------------------------------------------------------------------------------------------- outlook


def show_outlook(actor: Actor, team: int | None, ahead: int) -> None:
    """The three ways side by side, the spread of the outcomes, and each person's."""
    with st.spinner("Reading the history"):
        found = forecast.outlook(state.database(), actor, team, state.today(), ahead)
    if found.is_empty:
        widgets.empty(
            "Nothing to forecast from yet",
            "A forecast needs open deals or a history of won ones. Upload the CRM's export, or choose another team.",
            page="upload",
            link="Upload deals",
            icon=":material/query_stats:",
        )
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        measure = st.segmented_control(
            "Measure",
            list(_MEASURES),
            required=True,
            format_func=_MEASURES.__getitem__,
            label_visibility="collapsed",
            **_kept("measure", list(_MEASURES), "revenue"),
        )
        quarter = _choose_quarter(found)
        rounds, seed = _choose_rounds()
    simulated = _simulate(actor, team, ahead, rounds, seed)
    _cards(found, simulated, quarter, str(measure))
    with st.container(border=True):
        _three_ways(found, simulated, str(measure))
    if simulated.problems:
        st.warning("The simulation pays by the plans, and these do not work out yet:", icon=":material/rule:")
        widgets.show_problems(ProblemsError(simulated.problems[:20]))
    elif len(simulated.totals):
        with st.container(border=True):
            _distribution(simulated, quarter, str(measure))
        with st.container(border=True):
            _people(simulated, quarter)
    with st.container(border=True):
        _explained(found, simulated)


def _choose_quarter(found: Outlook) -> Quarter:
    by_name = {each.name: each for each in found.quarters}
    chosen = st.selectbox(
        "Quarter to look at",
        list(by_name),
        format_func=lambda name: f"{by_name[name].title}: {by_name[name].months}",
        label_visibility="collapsed",
        width=260,
        **_kept("quarter", list(by_name), found.quarters[0].name),
    )
    return by_name[chosen]


def _choose_rounds() -> tuple[int, int]:
    with st.popover("Simulation", icon=":material/casino:"):
        offered = [str(each) for each in ROUNDS]
        rounds = st.selectbox(
            "Outcomes", offered, format_func=lambda each: f"{int(each):,}", **_kept("rounds", offered, offered[1])
        )
        typed = st.query_params.get("seed", "")
        known = int(typed) if typed.isdecimal() and len(typed) < 10 else SEED
        seed = st.number_input(
            "Seed", 0, _LARGEST_SEED, known, help="The same seed draws the same outcomes, to the cent."
        )
        if seed != known:
            st.query_params["seed"] = str(seed)
    return int(rounds), int(seed)


def _simulate(actor: Actor, team: int | None, ahead: int, rounds: int, seed: int) -> Simulated:
    bar = st.empty()

    def tell(done: int, total: int, what: str) -> None:
        bar.progress(min(1.0, done / max(1, total)), what)

    found = forecast_simulation.simulated(
        state.database(), state.pool(), actor, team, state.today(), ahead, rounds, seed, tell
    )
    bar.empty()
    return found


def _cards(found: Outlook, simulated: Simulated, quarter: Quarter, measure: str) -> None:
    ways = found.ways[found.ways["name"] == quarter.name].set_index("way")
    totals = _of(simulated.totals, quarter)
    if measure == "revenue":
        first = Card(
            f"Won so far, {found.quarters[0].title}",
            charts.whole(found.so_far, found.currency),
            help=f"Exactly {widgets.money(found.so_far, found.currency)}.",
        )
    else:
        certain = None if totals.empty else int(totals["certain"].iloc[0])
        first = Card(
            "Certain by now",
            charts.whole(certain, found.currency),
            help="What the deals that are closed earn in the quarter, by the plans and to the cent, before draws.",
        )
    prefix = "" if measure == "revenue" else "pay_"
    cards = [first]
    for way, text in (("pipeline", "Open deals times the real win rate of their stage."), ("model", "From the past.")):
        if way not in ways.index:
            cards.append(Card(WAYS[way], "–", help="The history is too short for it."))
            continue
        low, middle, high = (ways.loc[way, f"{prefix}{name}"] for name in ("low", "middle", "high"))
        cards.append(_way_card(WAYS[way], middle, (low, high), found.currency, text))
    if totals.empty:
        cards.append(Card(WAYS["simulation"], "–", help="Nothing could be simulated."))
    else:
        row = totals.iloc[0]
        cards.append(
            _way_card(
                WAYS["simulation"],
                row[f"{measure}_middle"],
                (row[f"{measure}_low"], row[f"{measure}_high"]),
                found.currency,
                "The middle of the outcomes, each paid by the real rules.",
            )
        )
    widgets.cards(*cards)


def _way_card(label: str, amount: Any, band: tuple[Any, Any], currency: str, text: str) -> Card:
    known = not any(pd.isna(each) for each in band)
    delta = f"{_short(float(band[0]), currency)} to {_short(float(band[1]), currency)}" if known else None
    value = None if pd.isna(amount) else float(amount)
    more = " Below: 8 of 10 cases lie in it." if delta else ""
    return Card(label, charts.whole(value, currency), delta, None, text + more, arrow=False)


def _short(cents: float, currency: str) -> str:
    units = cents / 10 ** currency_digits(currency)
    sign = "$" if currency == "USD" else ""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if abs(units) >= size:
            return f"{sign}{units / size:,.{2 if letter == 'M' else 0}f}{letter}"
    return f"{sign}{units:,.0f}"


def _of(frame: pd.DataFrame, quarter: Quarter) -> pd.DataFrame:
    return frame[frame["name"] == quarter.name] if len(frame) else frame


def _compared(found: Outlook, simulated: Simulated, measure: str) -> pd.DataFrame:
    """Every quarter and way in a row: title, series, low, middle, high (cents, null where there is none)."""
    history = "revenue" if measure == "revenue" else "commission"
    rows: list[tuple[str, str, object, object, object]] = [
        (row["title"], "Actual", None, row[history], None) for row in _records(found.history)
    ]
    if measure == "revenue":
        rows.append((found.quarters[0].title, "Won so far", None, found.so_far, None))
    elif len(simulated.totals):
        first = simulated.totals.iloc[0]
        rows.append((first["title"], "Certain by now", None, first["certain"], None))
    prefix = "" if measure == "revenue" else "pay_"
    for row in _records(found.ways):
        figures = (row[f"{prefix}low"], row[f"{prefix}middle"], row[f"{prefix}high"])
        rows.append((row["title"], WAYS[row["way"]], *figures))
    for row in _records(simulated.totals):
        figures = (row[f"{measure}_low"], row[f"{measure}_middle"], row[f"{measure}_high"])
        rows.append((row["title"], WAYS["simulation"], *figures))
    frame = pd.DataFrame(rows, columns=["title", "series", "low", "middle", "high"])
    for name in ("low", "middle", "high"):
        frame[name] = pd.to_numeric(frame[name]).round().astype("Int64")
    return frame[frame["middle"].notna()]


def _records(frame: pd.DataFrame) -> list[dict]:
    return frame.to_dict("records")


def _three_ways(found: Outlook, simulated: Simulated, measure: str) -> None:
    st.subheader(f"{_MEASURES[measure]}, three ways", anchor=False)
    frame = _compared(found, simulated, measure)
    if measure == "pay" and found.rate is None:
        st.caption("No pay period has been run, so pipeline and model have no effective rate to make commission of.")
    order = list(dict.fromkeys([*found.history["title"], *(each.title for each in found.quarters)]))
    known = ["Actual", "Won so far", "Certain by now"]
    data = frame.assign(
        **{
            name: frame[name].astype("Float64").astype("float64") / 10 ** currency_digits(found.currency)
            for name in ("low", "middle", "high")
        }
    )
    sign = "$" if found.currency == "USD" else ""
    form = f"{sign},.0f"
    x = alt.X("title:N", title=None, sort=order, axis=alt.Axis(labelAngle=0, labelOverlap=True))
    y = alt.Y("middle:Q", title=None if sign else found.currency, axis=alt.Axis(format=f"{sign}~s", tickCount=5))
    tooltip = [
        alt.Tooltip("title:N", title="Quarter"),
        alt.Tooltip("series:N", title="Way"),
        alt.Tooltip("low:Q", title="P10", format=form),
        alt.Tooltip("middle:Q", title="Expected", format=form),
        alt.Tooltip("high:Q", title="P90", format=form),
    ]
    color = alt.Color(
        "series:N",
        title=None,
        sort=[*known, *WAYS.values()],
        scale=alt.Scale(
            domain=["Actual", known[1] if measure == "revenue" else known[2], *WAYS.values()],
            range=["#94a3b8", "#cbd5e1", "#0d9488", "#6366f1", "#f59e0b"],
        ),
        legend=alt.Legend(orient="top", columns=2, symbolOpacity=1),
    )
    offset = alt.XOffset("series:N", sort=list(WAYS.values()), scale=alt.Scale(domain=list(WAYS.values())))
    bars = (
        alt.Chart(data[data["series"].isin(known)])
        .mark_bar(cornerRadiusEnd=4, width={"band": 0.7})
        .encode(x, y, color, tooltip=[each for each in tooltip if each.shorthand not in ("low:Q", "high:Q")])
    )
    ahead = data[~data["series"].isin(known)]
    bands = (
        alt.Chart(ahead[ahead["low"].notna()])
        .mark_rule(strokeWidth=9, opacity=0.35)
        .encode(x, alt.Y("low:Q"), alt.Y2("high:Q"), color, offset, tooltip=tooltip)
    )
    points = alt.Chart(ahead).mark_point(filled=True, size=90, opacity=1).encode(x, y, color, offset, tooltip=tooltip)
    charts.show(
        alt.layer(bars, bands, points).properties(height=340),
        frame,
        widgets.stem("forecast", measure, found.quarters[0].name, len(found.quarters)),
        {
            "title": text_column("Quarter"),
            "series": text_column("Way"),
            "low": money_column("P10", found.currency),
            "middle": money_column("Expected", found.currency),
            "high": money_column("P90", found.currency),
        },
        alt_text=f"{_MEASURES[measure]} of past quarters, and the three forecasts of the coming ones with their bands",
    )
    st.caption("Bands hold 8 of 10 cases (P10 to P90). Estimates: official figures come from runs alone.")


def _distribution(simulated: Simulated, quarter: Quarter, measure: str) -> None:
    st.subheader(f"Outcomes of {quarter.title}: {_MEASURES[measure].lower()}", anchor=False)
    bins = _of(simulated.bins, quarter)
    bins = bins[bins["measure"] == measure]
    total = _of(simulated.totals, quarter).iloc[0]
    low, middle, high = (int(total[f"{measure}_{name}"]) for name in ("low", "middle", "high"))
    if len(bins) < 2:
        st.caption(widgets.plain(f"Every outcome is {widgets.money(middle, simulated.currency)}: nothing is open."))
        return
    units = 10 ** currency_digits(simulated.currency)
    data = bins.assign(low=bins["low"] / units, high=bins["high"] / units)
    sign = "$" if simulated.currency == "USD" else ""
    drawn = (
        alt.Chart(data)
        .mark_bar(color="#0d9488", binSpacing=1)
        .encode(
            alt.X(
                "low:Q",
                bin="binned",
                title=None if sign else simulated.currency,
                scale=alt.Scale(zero=False),
                axis=alt.Axis(format=f"{sign}~s", tickCount=6),
            ),
            alt.X2("high:Q"),
            alt.Y("share:Q", title="Share of the outcomes", axis=alt.Axis(format=".0%", tickCount=4)),
            tooltip=[
                alt.Tooltip("low:Q", title="From", format=f"{sign},.0f"),
                alt.Tooltip("high:Q", title="To", format=f"{sign},.0f"),
                alt.Tooltip("share:Q", title="Share", format=".1%"),
            ],
        )
    )
    marks = pd.DataFrame(
        [(text, value / units) for text, value in (("P10", low), ("P50", middle), ("P90", high))],
        columns=["mark", "at"],
    )
    rules = (
        alt.Chart(marks)
        .mark_rule(strokeWidth=2, strokeDash=[5, 3], color="#f59e0b")
        .encode(alt.X("at:Q"), tooltip=[alt.Tooltip("mark:N", title="Percentile"), alt.Tooltip("at:Q", format=",.0f")])
    )
    table = bins.assign(low=bins["low"].round().astype("Int64"), high=bins["high"].round().astype("Int64"))
    charts.show(
        alt.layer(drawn, rules).properties(height=240),
        table,
        widgets.stem("outcomes", measure, quarter.name, simulated.rounds, simulated.seed),
        {
            "low": money_column("From", simulated.currency),
            "high": money_column("To", simulated.currency),
            "share": percent_column("Share of the outcomes"),
        },
        alt_text=f"How often the simulated {_MEASURES[measure].lower()} of {quarter.title} came out in each span",
    )
    of = f"{simulated.rounds:,} outcomes of {simulated.deals:,} open deals, seed {simulated.seed}"
    between = f"{charts.whole(low, simulated.currency)} (P10) and {charts.whole(high, simulated.currency)} (P90)"
    st.caption(
        widgets.plain(f"{of}. Between {between} in 8 of 10; the middle is {charts.whole(middle, simulated.currency)}.")
    )


def _people(simulated: Simulated, quarter: Quarter) -> None:
    st.subheader(f"Each person, {quarter.title}", anchor=False)
    rows = _of(simulated.people, quarter)
    if rows.empty:
        st.caption("Nobody here is on a plan in this quarter.")
        return
    currency = simulated.currency
    columns = {
        "person": text_column("Person"),
        "chance": percent_column("Reaches quota", help="In how many of the outcomes the quota is reached."),
        "attainment": percent_column("Attainment, P50"),
        "pay_low": money_column("Pay P10"),
        "pay_middle": money_column("Pay P50"),
        "pay_high": money_column("Pay P90"),
        "certain": money_column("Certain by now", help="From closed deals alone, to the cent, before draws."),
        "revenue_low": money_column("Revenue P10", currency),
        "revenue_middle": money_column("Revenue P50", currency),
        "revenue_high": money_column("Revenue P90", currency),
        "team": text_column("Team"),
    }
    widgets.table(rows, columns, key="forecast_people", export=widgets.stem("forecast-people", quarter.name))
    st.caption(
        "Pay is earnings before draws, of each outcome by the plan's own rules; who leads others is paid on their "
        "deals. The quota is that of all components with one, in the quota periods that the quarter touches."
    )


def _explained(found: Outlook, simulated: Simulated) -> None:
    """What the three ways are made of, and what they leave out."""
    st.subheader("How these are made", anchor=False)
    chosen = found.chosen
    pipeline = (
        "**Weighted pipeline**: what is won in the quarter, and each open deal that is expected to close in it times "
        "the win rate of its stage: the share of the won in the decided deals that entered it in the last 12 months."
    )
    texts = [pipeline]
    if found.overdue:
        one = found.overdue == 1
        texts.append(
            f"{found.overdue:,} open {'deal is' if one else 'deals are'} past the close date: such a deal is expected "
            "as many days from today as won deals took from entering its stage."
        )
    if chosen is None:
        texts.append(
            f"**Statistical model**: the history is too short or never changes ({found.months} full "
            f"{'month' if found.months == 1 else 'months'} of revenue; {FEWEST_MONTHS} are needed), so there is none."
        )
    else:
        season = f"It found {_SEASONS[found.season]}. " if found.season else "It found no season. "
        short = "" if found.months >= 24 else "A yearly season needs 24 months of history, so none is looked for. "
        texts.append(
            f"**Statistical model**: {widgets.plain(chosen.name)}, the best of its family by AICc on "
            f"{chosen.months} full months of revenue. {season}{short}The running month goes on at its usual pace."
        )
    if found.rate is None:
        texts.append("**Commission** of these two is not known: no pay period has been run in the last year.")
    else:
        texts.append(
            f"**Commission** of these two is revenue times the effective rate of the last year, {found.rate:.2%} "
            f"(commission over revenue, on the {found.rate_days:,} days whose pay periods were run)."
        )
    texts.append(
        f"**Simulation**: each of {simulated.rounds:,} outcomes draws which open deals are won, by the same win rates, "
        f"and pays everyone by the real plan rules, in exact cents; seed {simulated.seed}."
    )
    texts.append("Pipeline and simulation know only the deals that are open today: later quarters look low.")
    if found.left_out:
        texts.append(f"Open deals without an amount, left out: {found.left_out:,}.")
    if simulated.dropped:
        texts.append(f"Open deals that lack a figure which a plan pays on, left out: {simulated.dropped:,}.")
    if simulated.elsewhere:
        texts.append(f"People paid in another currency, who are not in the sum: {simulated.elsewhere:,}.")
    if simulated.copied:
        names = ", ".join(simulated.copied[:6])
        texts.append(f"Quotas not set for some people, for whom the last one goes on: {names}.")
    st.markdown("\n".join(f"- {text}" for text in texts))
    with st.popover("Win rates used", icon=":material/table_rows:", type="tertiary"):
        stages = found.stages.assign(
            rate=found.stages["rate"] / PPM,
            typed=found.stages["typed"] / PPM,
            decided=found.stages["won"] + found.stages["lost"],
            kind=found.stages["real"].map({True: "Real", False: "Typed in (fewer than 20 decided)"}),
        )
        widgets.table(
            stages,
            {
                "stage": text_column("Stage"),
                "rate": percent_column("Used"),
                "kind": text_column("Which is"),
                "typed": percent_column("Typed in"),
                "decided": number_column("Decided in a year"),
                "wait": number_column("Days to a win"),
            },
            key="forecast_stages",
            export="forecast-win-rates",
        )
    navigation.link("stages", "Pipeline stages")

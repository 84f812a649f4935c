"""If these close: a person ticks open deals and sees pay and attainment at once."""

from datetime import date
from typing import Any

import pandas as pd
import streamlit as st

from app import earnings_view, state, widgets
from app.widgets import Card, money_column, percent_column, text_column
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.money import currency_digits
from engine.periods import parse_period
from engine.services import forecast_deals
from engine.services.access import Actor
from engine.services.forecast_deals import MOST, IfClosed, Tick


def show(actor: Actor) -> None:
    """The open deals to tick, and above them what they would bring."""
    db, today = state.database(), state.today()
    people = forecast_deals.choosable(db, actor, today)
    if people.empty:
        widgets.empty(
            "Nobody here is on a plan",
            "Pay can be worked out for people who are on a plan today. An admin puts people on plans.",
            page="plans",
            link="Open plans",
            icon=":material/checklist:",
        )
        return
    person = earnings_view.choose_person(actor, people)
    own = int(person["user_id"]) == actor.user_id
    deals = forecast_deals.open_deals(db, actor, int(person["user_id"]), today)
    if deals.empty:
        whose = "You have" if own else f"{person['name']} has"
        widgets.empty(
            "No open deals",
            f"{whose} no open deal with an amount that could be ticked here.",
            page="deals",
            link="Open deals",
            icon=":material/checklist:",
        )
        return
    result = st.container()
    key = f"ticks_{person['code']}"
    st.subheader("Tick the deals that close", anchor=False)
    edited = _editor(deals, key, own)
    with result:
        try:
            ticks = _ticked(edited, deals)
            found = forecast_deals.if_these_close(db, state.pool(), actor, int(person["user_id"]), ticks, today)
        except QuotaPathError as error:
            widgets.show_problems(error)
            return
        if found.problems:
            st.warning("Pay cannot be worked out yet:", icon=":material/rule:")
            widgets.show_problems(ProblemsError(found.problems[:20]))
            return
        _result(found, str(person["name"]), own, len(ticks))


def _editor(deals: pd.DataFrame, key: str, own: bool) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "tick": False,
            "name": deals["name"],
            "amount": [
                int(amount) / 10 ** currency_digits(currency)
                for amount, currency in zip(deals["amount"], deals["currency"], strict=True)
            ],
            "currency": deals["currency"],
            "closes": deals["closes"],
            "stage": deals["stage"],
            "rate": deals["rate"],
            "account": deals["account"],
            "owner": deals["owner"],
        }
    )
    if own and deals["owner"].nunique() == 1:
        frame = frame.drop(columns="owner")
    kinds = st.column_config
    edited = st.data_editor(
        frame,
        key=key,
        hide_index=True,
        height=min(560, 38 + 35 * len(frame)),
        disabled=[str(name) for name in frame if name not in ("tick", "amount", "closes")],
        column_config={
            "tick": kinds.CheckboxColumn("Closes", pinned=True, width=70),
            "name": kinds.TextColumn("Deal", width=230),
            "amount": kinds.NumberColumn("Amount", format="%,.2f", min_value=0, required=True),
            "currency": kinds.TextColumn("Currency", width=80),
            "closes": kinds.DateColumn("Close date", format="YYYY-MM-DD", required=True),
            "stage": kinds.TextColumn("Stage"),
            "rate": kinds.NumberColumn("Win rate", format="percent", help="The real win rate of the stage."),
            "account": kinds.TextColumn("Account"),
            "owner": kinds.TextColumn("Owner"),
        },
    )
    offered, there = len(deals), int(deals["of"].iloc[0])
    more = f" The next {MOST:,} of {there:,} to close are offered." if there > offered else ""
    st.caption(
        "Amount and close date of a ticked deal can be changed here to try them out. What is past its close date is "
        f"offered with today. Nothing of this is kept, and official figures stay as they are.{more}"
    )
    return edited


def _ticked(edited: pd.DataFrame, deals: pd.DataFrame) -> dict[int, Tick]:
    """The ticked deals by id.  Raises ProblemsError for a cell that is empty."""
    found: dict[int, Tick] = {}
    problems = []
    rows: list[dict[Any, Any]] = edited.to_dict("records")
    for place, row in enumerate(rows):
        if not row["tick"]:
            continue
        deal = deals.iloc[place]
        if pd.isna(row["amount"]) or pd.isna(row["closes"]):
            problems.append(Problem(str(deal["name"]), "needs an amount and a close date.", "Fill in both."))
            continue
        day = row["closes"]
        closes = day if type(day) is date else pd.Timestamp(day).date()
        amount = round(float(row["amount"]) * 10 ** currency_digits(str(deal["currency"])))
        found[int(deal["id"])] = Tick(closes, amount)
    if problems:
        raise ProblemsError(problems)
    return found


def _result(found: IfClosed, name: str, own: bool, ticked: int) -> None:
    currency = found.currency
    span = _span(found.pay)
    more = found.after - found.before
    cards = [
        Card(
            f"{'Your pay' if own else f'Pay of {name}'}{span}",
            widgets.money(found.after, currency),
            None if not more else f"{'+' if more > 0 else ''}{widgets.money(more, currency)}",
            more > 0,
            "Earnings before draws, to the cent, by the plan's rules: of the closed deals, and of the ticked ones.",
        ),
        Card("Without the ticked deals", widgets.money(found.before, currency)),
    ]
    rows: list[dict[Any, Any]] = found.attainment.to_dict("records")
    for row in rows[:4]:
        before, after = (0.0 if pd.isna(row[key]) else float(row[key]) for key in ("before", "after"))
        title = f"{row['component']}: {widgets.period_title(parse_period(row['period']))}"
        cards.append(
            Card(
                title,
                f"{after:.1%}",
                f"{(after - before) * 100:+.1f} pts" if after != before else None,
                after > before,
                "Attainment of the quota.",
            )
        )
    widgets.cards(*cards)
    if not ticked:
        st.caption("Nothing is ticked: this is what the closed deals earn.")
    if found.copied:
        st.caption(f"Quotas are not set for {', '.join(found.copied[:4])}: the last one goes on.")
    by_period, lines, attained = st.tabs(["By pay period", "Lines behind it", "Attainment"])
    amounts = {
        "before": money_column("Without", currency),
        "after": money_column("With", currency),
        "difference": money_column("Difference", currency),
    }
    with by_period:
        shown = found.pay.assign(title=[widgets.period_title(parse_period(each)) for each in found.pay["period"]])
        widgets.table(shown, {"title": text_column("Pay period"), **amounts}, key="if_pay", export="if-these-close-pay")
    with lines:
        if found.lines.empty:
            st.caption("No line changes.")
        else:
            columns = {
                "deal": text_column("Deal"),
                "component": text_column("Component"),
                **amounts,
                "period": text_column("Pay period"),
            }
            widgets.table(found.lines, columns, key="if_lines", export="if-these-close-lines")
    with attained:
        if found.attainment.empty:
            st.caption("No component has a quota in these periods.")
        else:
            columns = {
                "component": text_column("Component"),
                "period": text_column("Quota period"),
                "before": percent_column("Without"),
                "after": percent_column("With"),
            }
            widgets.table(found.attainment, columns, key="if_attainment", export="if-these-close-attainment")


def _span(pay: pd.DataFrame) -> str:
    """``", October 2026"``, ``", Oct – Dec 2026"``."""
    if pay.empty:
        return ""
    first, last = (parse_period(pay["period"].iloc[place]) for place in (0, -1))
    if first == last:
        return f", {widgets.period_title(first)}"
    since = f"{first.first_day:%b}" if first.first_day.year == last.last_day.year else f"{first.first_day:%b %Y}"
    return f", {since} – {last.last_day:%b %Y}"

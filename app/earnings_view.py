"""The parts of the earnings page: whose, how much, the lines, and the working of one line."""

from typing import Any

import pandas as pd
import streamlit as st

from app import widgets
from app.widgets import Card, date_column, money_column, text_column
from engine.calc.explain import Explanation
from engine.services.access import Actor
from engine.services.earnings import Earnings

_KINDS = {"earned": "Earned", "adjusted": "Adjustment", "clawed_back": "Clawback"}
_STATUS = {
    "open": "calculated, not approved",
    "locked": "final in its amounts; the payout is not approved yet",
    "approved": "approved, not paid yet",
    "paid": "paid",
}


def choose_person(actor: Actor, people: pd.DataFrame) -> "pd.Series[str]":
    """The person to show: of several the one chosen, kept in the URL (``?person=ana.torres``); else the only one."""
    codes = people["code"].tolist()
    if len(codes) == 1:
        return people.iloc[0]
    own = people.loc[people["user_id"] == actor.user_id, "code"].tolist()
    chosen = st.query_params.get("person", "")
    if chosen not in codes:
        if chosen:
            st.info(f"Nobody called {widgets.plain(chosen)} has earnings here that you may see.")
        chosen = (own or codes)[0]
    names = dict(zip(codes, people["name"], strict=True))
    st.session_state["earnings_person"] = chosen
    with widgets.tools():
        st.selectbox(
            "Person",
            codes,
            format_func=names.__getitem__,
            key="earnings_person",
            label_visibility="collapsed",
            width=200,
            on_change=lambda: st.query_params.update(person=st.session_state["earnings_person"]),
        )
    return people.iloc[codes.index(chosen)]


def summary(earned: Earnings, later: pd.DataFrame) -> None:
    """The totals, and how far the quota is reached; `later` is what is payable later, as `payables.schedule`."""
    totals, currency = earned.totals, earned.currency
    cards = [
        Card("Earned", widgets.money(totals["earned"] or 0, currency), help=f"This period is {_STATUS[earned.status]}.")
    ]
    if totals["adjusted"]:
        cards.append(Card("Adjustments in it", widgets.money(totals["adjusted"], currency)))
    if totals["manual"]:
        together = (totals["earned"] or 0) + totals["manual"]
        cards.append(Card("Given by hand", widgets.money(totals["manual"], currency), help="On top of what is earned"))
        cards.append(Card("Together", widgets.money(together, currency)))
    if totals["drawn"] or totals["draw_balance"]:
        name = "Advanced by the draw" if (totals["drawn"] or 0) >= 0 else "Repaid to the draw"
        cards.append(Card(name, widgets.money(totals["drawn"] or 0, currency)))
        cards.append(Card("Draw balance", widgets.money(totals["draw_balance"] or 0, currency)))
    deferred = int(later.loc[later["currency"] == currency, "amount"].sum())
    if deferred:
        cards.append(Card("Payable later", widgets.money(deferred, currency)))
    if earned.status in ("approved", "paid"):
        cards.append(Card("Paid" if earned.status == "paid" else "Due", widgets.money(totals["due"] or 0, currency)))
    cards += [
        Card(f"{row.label}: attainment {row.quota_period}", f"{row.attainment:.1%}")
        for row in earned.attainment.itertuples()
    ]
    widgets.cards(*cards)


def lines_table(lines: pd.DataFrame, export: str) -> int | None:
    """The lines (of `Earnings.lines`, with the status of the latest ``dispute``); the position of the chosen one."""
    frame = lines.assign(
        kind=lines["kind"].map(_KINDS),
        deal=lines["deal"].fillna("Carried from earlier periods"),
        dispute=lines["dispute"].astype("str").str.capitalize().where(lines["dispute"].notna(), ""),
        pays=lines["amount"] + lines["overridden"].fillna(0),
    )
    columns = {
        "deal": text_column("Deal"),
        "amount": money_column("Pay"),
        "close_date": date_column("Closed"),
        "label": text_column("Component"),
        "kind": text_column("Kind"),
        "account": text_column("Account"),
        "external_id": text_column("Deal ID"),
    }
    if frame["overridden"].notna().any():
        columns = {
            "deal": columns.pop("deal"),
            "amount": columns.pop("amount"),
            "pays": money_column("With override", help="What the line pays with what was overridden by hand"),
            **columns,
        }
    if frame["dispute"].any():
        columns = {
            "deal": columns.pop("deal"), "amount": columns.pop("amount"), "dispute": text_column("Dispute"), **columns
        }  # fmt: skip
    if (frame["origin_period"] != frame["origin_period"].mode().iloc[0]).any():
        columns["origin_period"] = text_column("Earned in")
    return widgets.table(frame, columns, key=export, export=export, select=True)


def overridden(line: "pd.Series[Any]") -> None:
    """That a line was overridden by hand, by how much and why; draws nothing when it was not."""
    if pd.isna(line["overridden"]):
        return
    cents, currency = int(line["overridden"]), str(line["currency"])
    pays = widgets.money(int(line["amount"]) + cents, currency)
    sign = "+" if cents > 0 else ""
    st.badge("Overridden", icon=":material/edit:", color="orange")
    st.markdown(
        widgets.plain(f"By hand {sign}{widgets.money(cents, currency)}, so that it pays {pays}: {line['reason']}")
    )


def explanation(working: Explanation, title: str) -> None:
    """The working of a line: what is told, and the parts that add up to it."""
    with st.container(border=True):
        st.subheader(widgets.plain(title), anchor=False)
        told = [step.text for step in working.steps[:-1] if step.cents is None]
        st.markdown("\n".join(f"- {widgets.plain(text)}" for text in told))
        rows = [f"| Part | Amount ({working.currency}) |", "|:--|--:|"]
        for step in working.parts:
            text, _, amount = step.text.rpartition(" = ")
            rows.append(f"| {widgets.plain(text or amount)} | {widgets.plain(amount) if text else ''} |")
        total = widgets.plain(widgets.money(working.cents, working.currency))
        st.markdown("\n".join([*rows, f"| **This line** | **{total}** |"]))

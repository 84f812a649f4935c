"""Variants side by side on the what-if page: cost, who gets more or less, curves, and each person under each."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from app import state, widgets
from app.whatif_figures import NOW, overlaid
from app.whatif_state import Workspace
from app.widgets import money_column, percent_column, text_column
from engine.analytics.scenario_books import Quarter
from engine.calc.model import Plan
from engine.services import whatif, whatif_reading
from engine.services.access import Actor
from engine.services.whatif import Base, Price, Span, Variant


def compare(actor: Actor, base: Base, space: Workspace, span: Span, coming: Quarter) -> None:
    """Up to four variants, each in a column."""
    db, pool = state.database(), state.pool()
    if len(space.sheets) == 1:
        st.caption("One variant so far. Add another on the left: it begins as a copy, and is compared here.")
    names = _unlike([sheet.name for sheet in space.sheets])
    rows = []
    by_person: dict[str, pd.Series] = {}
    plans: dict[str, Plan] = {}
    now: Price | None = None
    for name, sheet in zip(names, space.sheets, strict=True):
        found = whatif.price(db, pool, actor, base, sheet.variant, span)
        reading = whatif_reading.read(db, actor, base, sheet.variant)
        if found.problems:
            st.warning(widgets.plain(f"{name} cannot be priced: {found.problems[0]}"), icon=":material/warning:")
            continue
        view = whatif.outlook(db, pool, actor, base, coming, sheet.variant)
        now = found
        if reading.before is not None:
            plans.setdefault(NOW, reading.before)
        if reading.after is not None:
            plans[name] = reading.after
        median = view.at(50) if not view.problems and coming.open_deals else None
        said = _said(base, sheet.variant)
        rows.append(
            (name, found.after.total, found.difference, found.rate(found.after), found.winners, found.losers, median,
             "; ".join(said[:4]) + (f"; and {len(said) - 4} more" if len(said) > 4 else ""))
        )  # fmt: skip
        by_person[name] = found.people.set_index("person")["after"]
    if now is None:
        return
    rows.insert(0, (NOW, now.before.total, 0, now.rate(now.before), 0, 0, _median(actor, base, space, coming), ""))
    columns = ["name", "cost", "difference", "rate", "more", "less", "median", "changes"]
    title = widgets.period_title(coming.period)
    widgets.table(
        pd.DataFrame(rows, columns=columns).astype({"median": "Int64"}),
        {
            "name": text_column("Variant"),
            "cost": money_column("Cost", base.currency),
            "difference": money_column("Difference", base.currency),
            "rate": percent_column("Effective rate", digits=2),
            "more": widgets.number_column("Get more"),
            "less": widgets.number_column("Get less"),
            "median": money_column(f"{title}, P50", base.currency),
        },
        key="whatif_compare",
        export=widgets.stem("what-if-compare", space.plan, span.key),
    )
    for row in rows[1:]:
        st.caption(widgets.plain(f"{row[0]}: {row[-1]}"))
    st.markdown("**Payout curves**")
    overlaid(plans, space)
    st.markdown("**Each person**")
    frame = now.people[["person", "name", "before"]].copy()
    for place, column in enumerate(by_person.values()):
        frame[f"v{place}"] = frame["person"].map(column).fillna(0).astype("int64")
    widgets.table(
        frame,
        {
            "name": text_column("Person"),
            "before": money_column(NOW, base.currency),
            **{f"v{place}": money_column(name, base.currency) for place, name in enumerate(by_person)},
        },
        key="whatif_compare_people",
        export=widgets.stem("what-if-people", space.plan, span.key),
    )


def _said(base: Base, variant: Variant) -> list[str]:
    """What a variant is, in words."""
    said = [part.words for part in whatif_reading.parts(base, variant)]
    if any(text.version_id == variant.version_id and text.is_draft for text in base.texts):
        said.insert(0, "The draft")
    elif variant.throughout:
        said.insert(0, "The version in force all the time")
    return said or ["Nothing changed"]


def _median(actor: Actor, base: Base, space: Workspace, coming: Quarter) -> int | None:
    view = whatif.outlook(state.database(), state.pool(), actor, base, coming, space.sheet.variant)
    return view.at(50, after=False) if not view.problems and coming.open_deals else None


def _unlike(names: Sequence[str]) -> list[str]:
    """Names that differ: two variants may have been given the same one."""
    found: list[str] = []
    for name in names:
        again = sum(each == name or each.startswith(f"{name} (") for each in found)
        found.append(f"{name} ({again + 1})" if again else name)
    return found

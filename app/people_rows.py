"""A table in which people to be added are looked at and corrected, many at a time."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import pandas as pd
import streamlit as st

from engine.services.access import ROLES
from engine.services.people import PersonRow, propose_person

CANNOT_SIGN_IN = (
    "Nobody gets a password yet, so they cannot sign in: give each one a link on the People page when it is time. "
    "Their deals and pay count all the same."
)


@dataclass
class _Rows:
    """The table as it was born, what it is now, and a number that grows when it is born anew."""

    born: pd.DataFrame
    now: pd.DataFrame
    generation: int = 0


@dataclass(frozen=True)
class Chosen:
    """A ticked row: its position among the proposed ones, and the person as corrected."""

    position: int
    row: PersonRow


def _frame(rows: Sequence[PersonRow], ticked: Sequence[bool]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "add": list(ticked),
            "name": [row.name for row in rows],
            "email": [row.email for row in rows],
            "role": [row.role if row.role in ROLES else None for row in rows],
            "team": [row.team for row in rows],
            "hired_on": pd.Series([row.hired_on for row in rows], dtype=object),
        }
    )


def people_rows(
    key: str, proposed: Sequence[PersonRow], teams: Sequence[str], domain: str, ticked: Sequence[bool] | None = None
) -> list[Chosen]:
    """Draw the table and, above it, what holds for all rows; returns the rows that are ticked, as corrected.

    `key` stands for one list of proposed people; what is typed is remembered under it.  E-mail addresses made of
    `domain` follow when another domain is typed.
    """
    if key not in st.session_state:
        frame = _frame(proposed, ticked or [True] * len(proposed))
        st.session_state[key] = _Rows(frame, frame)
    rows: _Rows = st.session_state[key]

    def anew(change: Callable[[pd.DataFrame], None]) -> None:
        rows.born = rows.now.copy()
        change(rows.born)
        rows.now, rows.generation = rows.born, rows.generation + 1

    def domain_changed(before: str) -> None:
        after = st.session_state[f"{key}_domain"].strip().lstrip("@")

        def change(frame: pd.DataFrame) -> None:
            made = [propose_person(name or "", before).email for name in frame["name"]]
            frame["email"] = [
                propose_person(name or "", after).email if not email or email == old else email
                for name, email, old in zip(frame["name"], frame["email"], made, strict=True)
            ]

        st.session_state[f"{key}_domain_was"] = after
        anew(change)

    def fill(column: str) -> None:
        value = st.session_state[f"{key}_{column}"]
        if value is not None:
            anew(lambda frame: frame.__setitem__(column, pd.Series([value] * len(frame), dtype=object)))

    was = st.session_state.get(f"{key}_domain_was", domain)
    with st.grid(3, min_column_width=200):
        st.text_input(
            "E-mail addresses end in",
            domain,
            key=f"{key}_domain",
            on_change=domain_changed,
            args=(was,),
            help="For those whose address the list does not have: first.last@ and this.",
        )
        st.date_input(
            "Hired on",
            next((row.hired_on for row in proposed if row.hired_on), None),
            key=f"{key}_hired_on",
            on_change=fill,
            args=("hired_on",),
            format="YYYY-MM-DD",
            min_value=date(1960, 1, 1),
            help="For all rows; also the first day in the team. Deals closed before it count for no team.",
        )
        st.selectbox(
            "Team",
            teams,
            None,
            key=f"{key}_team",
            on_change=fill,
            args=("team",),
            accept_new_options=True,
            placeholder="Choose, or type a new one",
            help="For all rows. A team that there is not yet is made.",
        )
    config = st.column_config
    now = st.data_editor(
        rows.born,
        key=f"{key}_{rows.generation}",
        hide_index=True,
        height=min(38 + 35 * len(rows.born), 460),
        column_config={
            "add": config.CheckboxColumn("Add", width=60),
            "name": config.TextColumn("Name", max_chars=200),
            "email": config.TextColumn("E-mail", max_chars=254),
            "role": config.SelectboxColumn("Role", options=ROLES, width="small"),
            "team": config.TextColumn("Team", max_chars=200, help="A name that there is not yet makes a new team."),
            "hired_on": config.DateColumn("Hired on", format="YYYY-MM-DD", width="small"),
        },
    )
    rows.now = now
    return [Chosen(position, _person(row)) for position, row in enumerate(now.to_dict("records")) if row["add"]]


def _person(row: Mapping[Hashable, Any]) -> PersonRow:
    given = {name: value for name, value in row.items() if not pd.isna(value)}
    name, email, role, team = (str(given.get(each, "")).strip() for each in ("name", "email", "role", "team"))
    return PersonRow(name, email, role, team, pd.Timestamp(given["hired_on"]).date() if "hired_on" in given else None)


def new_teams(chosen: Sequence[Chosen], teams: Sequence[str]) -> list[str]:
    """The teams that adding these people would make."""
    known = {name.casefold() for name in teams}
    named = {each.row.team.casefold(): each.row.team for each in chosen if each.row.team}
    return [name for folded, name in sorted(named.items()) if folded not in known]


def with_defaults(rows: Sequence[PersonRow], domain: str, hired_on: date) -> list[PersonRow]:
    """Fill in the e-mail addresses and hire dates that a list lacks."""
    return [
        replace(row, email=row.email or propose_person(row.name, domain).email, hired_on=row.hired_on or hired_on)
        for row in rows
    ]


def people_count(count: int) -> str:
    """``"1 person"``, ``"25 people"``."""
    return "1 person" if count == 1 else f"{count:,} people"

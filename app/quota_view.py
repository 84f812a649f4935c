"""The pieces of the quotas page: the grid to edit or to read, and below it teams, parts of periods, changes."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import pandas as pd
import streamlit as st

from app import quota_tools_view, state, widgets
from app.actions import attempt
from app.widgets import money_column, number_column, percent_column, text_column
from engine import sheets
from engine.analytics import fiscal
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.money import currency_digits, format_money, parse_money
from engine.periods import parse_period
from engine.services import access, needs, quotas, teams
from engine.services.access import Actor
from engine.services.naming import slug
from engine.services.quotas import PartPeriod, QuotaChange, QuotaGrid, QuotaRow, Scope

_KINDS = fiscal.KINDS
_FORMATS = {"USD": "dollar", "EUR": "euro", "JPY": "yen"}
_SAVED = quota_tools_view.SAVED
_SEEN = "quotas_seen"
_BELOW = ("Teams", "Part periods", "Changes")
_THEIR_QUOTAS = "The sum over the people of the team and of those below it, without those who lead one"
_LEADERS_QUOTA = "Of the company: of those who lead the topmost teams, where each has one"
_ALL_CHANGES = 100_000  # changes in one export


# --- what to show -----------------------------------------------------------------------------------


def scope_filter(actor: Actor) -> Scope:
    """What to show, kept in the URL: ``?kind=month&year=2026&component=nb&team=3``, for weeks ``&part=2``."""
    db, today = state.database(), state.today()
    month = quotas.fiscal_month(db, actor)
    kind = st.query_params.get("kind", "")
    kind = kind if kind in _KINDS else "quarter"
    this_year = fiscal.year_of(today, month)
    asked = st.query_params.get("year", "")
    year = int(asked) if asked.isdecimal() and 1991 <= int(asked) <= 2198 else this_year
    components = quotas.quota_components(db, actor, today)
    component = st.query_params.get("component", "")
    component = component if component in components else ""
    part = None
    st.session_state.update(quota_kind=kind, quota_year=year, quota_component=component)
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
            sorted({year, *range(this_year - 3, this_year + 3)}, reverse=True),
            format_func=lambda each: fiscal.year_title(each, month),
            key="quota_year",
            on_change=lambda: st.query_params.update(year=str(st.session_state["quota_year"])),
            label_visibility="collapsed",
            width=110 if month == 1 else 270,
        )
        if kind == "week":
            part = _part_filter(year, month, today)
        if components:
            st.selectbox(
                "Component",
                ["", *components],
                format_func=lambda each: each or "Every component",
                key="quota_component",
                on_change=lambda: st.query_params.update(component=st.session_state["quota_component"]),
                label_visibility="collapsed",
                width=190,
                help="A quota for one component goes before the one for every component.",
            )
    return Scope(kind, year, today, component, widgets.team_filter(actor), part)


def _part_filter(year: int, month: int, today: date) -> int:
    asked = st.query_params.get("part", "")
    default = fiscal.part_of(today, month) if fiscal.year_of(today, month) == year else 1
    part = int(asked) if asked in map(str, fiscal.PARTS) else default
    st.session_state["quota_part"] = part
    st.selectbox(
        "Weeks of",
        fiscal.PARTS,
        format_func=lambda each: fiscal.part_title(year, month, each),
        key="quota_part",
        on_change=lambda: st.query_params.update(part=str(st.session_state["quota_part"])),
        label_visibility="collapsed",
        width=190,
    )
    return part


def titles(periods: Sequence[str]) -> dict[str, str]:
    """What the columns of these periods are called: ``Q1``, ``Jan``, ``W05``; with the year where there are two."""
    found = [parse_period(name) for name in periods]
    several = len({name[:4] for name in periods}) > 1

    def title(name: str) -> str:
        period = parse_period(name)
        if period.kind == "month":
            return f"{period.first_day:%b %y}" if several else f"{period.first_day:%b}"
        if period.kind == "year":
            return name
        return f"{name[5:]} {name[:4]}" if several else name[5:]

    return {period.name: title(period.name) for period in found}


def shown_title(grid: QuotaGrid) -> str:
    """What the grid shows, in words: ``the quarters of 2026``."""
    scope = grid.scope
    year = fiscal.year_title(scope.year, grid.fiscal_month)
    if scope.part:
        return f"the weeks of {fiscal.part_title(scope.year, grid.fiscal_month, scope.part)}"
    return str(scope.year) if scope.kind == "year" else f"the {scope.kind}s of {year}"


def file_stem(actor: Actor, scope: Scope, what: str = "quotas") -> str:
    """The name of a download without its ending, with everything that is filtered by."""
    words = [what, str(scope.year), scope.kind]
    if scope.part:
        words.append(f"part-{scope.part}")
    if scope.component:
        words.append(scope.component)
    if scope.team_id is not None:
        found = teams.list_teams(state.database(), actor, scope.on)
        words += [slug(team.name, "-") or str(team.id) for team in found if team.id == scope.team_id]
    return "-".join(words)


def notices(actor: Actor, grid: QuotaGrid) -> None:
    """What one should know about these periods before reading them."""
    if access.may(actor, "quotas.edit"):
        bare = needs.without_quota(state.database(), actor, state.today())
        if bare:
            st.warning(
                widgets.plain(f"No quota today, while others on the same plan have one: {', '.join(bare)}."),
                icon=":material/flag:",
            )
    kind, lines = grid.scope.kind, []
    month = fiscal.month_name(grid.fiscal_month)
    if kind == "quarter" and not fiscal.quarters_line_up(grid.fiscal_month):
        lines.append(
            f"The fiscal year begins in {month}, so its quarters are no calendar quarters. Plans count by calendar "
            "quarters: these are the four that begin in it."
        )
    if kind == "year" and grid.fiscal_month != 1:
        lines.append(f"Plans count by calendar years: {grid.periods[0]} is the one that begins in this fiscal year.")
    if grid.kinds_counted and kind not in grid.kinds_counted:
        what = f"{grid.scope.component} counts" if grid.scope.component else "Published plans count quota"
        lines.append(f"{what} by the {' and the '.join(grid.kinds_counted)}: a {kind}'s figure here decides no pay.")
    elif grid.kinds_set and kind not in grid.kinds_set:
        lines.append(f"The quotas of {grid.scope.year} are set by {' and by '.join(grid.kinds_set)}.")
    if grid.unit:
        lines.append(
            f"{grid.scope.component} is measured in {grid.unit}, not in money: write 12 for twelve, and never mind the "
            "currency's sign."
        )
    if lines:
        st.info(widgets.plain(" ".join(lines)), icon=":material/info:")
    if grid.other_currency:
        st.warning(
            "In another currency than the company's, so not in this table: "
            + widgets.plain(", ".join(grid.other_currency))
        )


# --- the grid ---------------------------------------------------------------------------------------


def _team(row: QuotaRow) -> str:
    return row.team or (f"leads {row.leads}" if row.leads else "")


def _names(grid: QuotaGrid) -> pd.DataFrame:
    return pd.DataFrame({"person": [row.person for row in grid.rows], "team": [_team(row) for row in grid.rows]})


def edit_grid(actor: Actor, fresh: QuotaGrid) -> None:
    """The tools, the grid in which one types or pastes, and the buttons that save it."""
    quota_tools_view.toolbar(fresh)
    key, grid, edited = _being_edited(fresh)
    digits = currency_digits(grid.currency)
    frame = _names(grid)
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
                    title,
                    format=_FORMATS.get(grid.currency, f"%,.{digits}f"),
                    step=1 / 10**digits,
                    help=_column_help(period, grid),
                )
                for period, title in titles(grid.periods).items()
            },
        },
    )
    count = sum(len(cells) for cells in edited.values())
    quota_tools_view.closed_warning(sorted({period for cells in edited.values() for period in cells} & {*grid.closed}))
    with st.container(horizontal=True, vertical_alignment="center"):
        wants_save = st.button(
            f"Save {count} change{'s' if count != 1 else ''}" if count else "Save",
            type="primary",
            icon=":material/save:",
            disabled=not count,
        )
        if st.button("Discard", type="tertiary", icon=":material/undo:", disabled=not count):
            st.session_state[_SAVED] += 1
            st.rerun()
        st.space("stretch")
        downloads(actor, fresh)
    without = " The one for every component counts then." if grid.scope.component else ""
    st.caption(
        f"All amounts in {grid.currency}. Clear a field for no quota of their own: the plan's default counts then, "
        f"if it has one.{without} Copied cells may be pasted right into the grid where they "
        "are written as 1,234.50; the tool Paste reads any form."
    )

    def save() -> None:
        seen = {
            (row.user_id, period): row.amounts[column]
            for row in grid.rows
            for column, period in enumerate(grid.periods)
        }
        quotas.save_quotas(state.database(), actor, changes_of(grid, edited), grid.scope.component, seen)

    if wants_save:
        if attempt(save, f"{count} saved."):
            st.session_state[_SAVED] += 1
            st.rerun()
        st.caption("What was typed is still in the grid. Discard shows what is saved now.")


def _column_help(period: str, grid: QuotaGrid) -> str | None:
    found = parse_period(period)
    days = [f"{found.first_day:%d %b} – {found.last_day:%d %b %Y}"] if found.kind == "week" else []
    return ". ".join([*days, *(["Closed for pay"] if period in grid.closed else [])]) or None


def _being_edited(fresh: QuotaGrid) -> tuple[str, QuotaGrid, Mapping[int, Mapping[str, Any]]]:
    """The editor's key, the grid as it was when typing began, and what was typed since.

    Each cell typed runs the page anew; what somebody else saves meanwhile must not pass for what was seen.
    """
    scope = fresh.scope
    saved = st.session_state.setdefault(_SAVED, 0)
    key = f"quotas_{scope.kind}_{scope.year}_{scope.part}_{scope.component}_{scope.team_id}_{saved}"
    edited = st.session_state.get(key, {}).get("edited_rows", {})
    seen_key, seen = st.session_state.get(_SEEN, ("", fresh))
    if not edited or seen_key != key:
        seen = fresh
    st.session_state[_SEEN] = (key, seen)
    return key, seen, edited


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


def read_grid(actor: Actor, grid: QuotaGrid) -> None:
    """The grid for those who may not change it."""
    frame = _names(grid)
    for column, period in enumerate(grid.periods):
        frame[period] = pd.array([row.amounts[column] for row in grid.rows], dtype="Int64")
    frame["total"] = [row.total for row in grid.rows]
    columns = {"person": text_column("Person"), "team": text_column("Team")}
    columns |= {period: money_column(title, grid.currency) for period, title in titles(grid.periods).items()}
    if len(grid.periods) > 1:
        columns["total"] = money_column("Sum" if grid.scope.part else "Year", grid.currency)
    widgets.table(frame, columns, key=f"quotas_read_{file_stem(actor, grid.scope)}")
    with st.container(horizontal=True, horizontal_alignment="right"):
        downloads(actor, grid)


def downloads(actor: Actor, grid: QuotaGrid) -> None:
    """The grid as files that Paste takes back unchanged."""
    headers = ["Name", "E-mail", "Team", *grid.periods]
    rows: list[list[sheets.Value]] = [
        [
            row.person,
            row.email,
            row.team,
            *(None if each is None else Decimal(format_money(each, grid.currency)) for each in row.amounts),
        ]
        for row in grid.rows
    ]
    stem = file_stem(actor, grid.scope)
    widgets.download("CSV", f"{stem}.csv", lambda: sheets.to_csv(headers, rows), "text/csv")
    widgets.download(
        "Excel",
        f"{stem}.xlsx",
        lambda: sheets.to_xlsx(headers, rows, stem),
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    )


# --- below the grid ---------------------------------------------------------------------------------


def below(actor: Actor, grid: QuotaGrid) -> None:
    """One of: the teams' sums, the parts of periods, the changes; a rep has no teams."""
    has_teams = access.reach(actor, "quotas.view") >= access.Reach.TEAM
    chosen = st.segmented_control(
        "Below the grid",
        _BELOW if has_teams else _BELOW[1:],
        default=_BELOW[0] if has_teams else _BELOW[1],
        required=True,
        key="quota_below",
        label_visibility="collapsed",
    )
    {"Teams": _teams, "Part periods": _parts, "Changes": _changes}[chosen](actor, grid)


def _teams(actor: Actor, grid: QuotaGrid) -> None:
    whole = "All periods"
    names = titles(grid.periods)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if len(grid.periods) > 1:
            options = [whole, *grid.periods]
            period = st.selectbox(
                "Period", options, format_func=lambda each: names.get(each, each), width=160, key="quota_team_period"
            )
        else:
            period = grid.periods[0]
        on = grid.scope.on
        if access.reach(actor, "quotas.view") is access.Reach.ALL:
            on = st.date_input("Teams as of", on, format="YYYY-MM-DD", width=160, key="quota_teams_on")
    chosen = grid.periods if period == whole else (period,)
    found = quotas.team_roll_up(state.database(), actor, grid.scope, chosen, on)
    if not found.teams:
        st.caption("There was no team on that day.")
        return
    rows = [*([found.company] if found.company else []), *found.teams]
    top = min(team.depth for team in found.teams) - bool(found.company)
    frame = pd.DataFrame(
        {
            "team": ["\u2003" * (team.depth - top) * (team is not found.company) + team.name for team in rows],
            "leader": [found.leaders.get(team.team_id, "") for team in rows],
            "people": pd.array([team.people for team in rows], dtype="Int64"),
            "leader_quota": pd.array([team.leader for team in rows], dtype="Int64"),
            "over": pd.array([team.over for team in rows], dtype="Float64"),
            "without": [team.without for team in rows],
        }
    )
    widgets.table(
        frame,
        {
            "team": text_column("Team"),
            "people": money_column("Their quotas", found.currency, help=_THEIR_QUOTAS),
            "leader_quota": money_column("Leader's quota", found.currency, help=_LEADERS_QUOTA),
            "over": percent_column("Over-assigned", help="By how much their quotas together exceed the leader's"),
            "leader": text_column("Leader"),
            "without": number_column("Without a quota"),
        },
        key="quota_teams",
        export=f"{file_stem(actor, grid.scope, 'quota-teams')}{'' if period == whole else f'-{period}'}-as-of-{on}",
    )
    note = "As saved. A leader's quota stands for the team's sales, so it is not added to the sum."
    if found.without_team:
        note += f" The company's sum includes {widgets.money(found.without_team, found.currency)} of people in no team."
    st.caption(widgets.plain(note))


def _parts(actor: Actor, grid: QuotaGrid) -> None:
    found = quotas.part_periods(state.database(), actor, grid)
    if not found:
        st.caption(f"Everyone is on their plan for all of each period in {shown_title(grid)}.")
        return
    st.caption(
        "A quota set for a named period counts in full, whatever part of it somebody is on the plan; only a plan's own "
        "quota is scaled by itself."
    )
    names = titles(grid.periods)
    frame = pd.DataFrame(
        {
            "person": [part.person for part in found],
            "period": [names[part.period] for part in found],
            "plan": [part.plan for part in found],
            "part": [_part(part) for part in found],
            "given": pd.array([part.given for part in found], dtype="Int64"),
            "counts": [_counts(part) for part in found],
            "scaled": pd.array([None if part.done else part.scaled for part in found], dtype="Int64"),
        }
    )
    may_edit = access.may(actor, "quotas.edit")
    chosen = widgets.table(
        frame,
        {
            "person": text_column("Person"),
            "period": text_column("Period"),
            "part": text_column("On the plan"),
            "given": money_column("Quota", grid.currency),
            "counts": text_column("Counts"),
            "scaled": money_column("Prorated", grid.currency, help="The quota by the part of the period"),
            "plan": text_column("Plan"),
        },
        key=f"quota_parts_{st.session_state.get(_SAVED, 0)}_{file_stem(actor, grid.scope)}",
        export=file_stem(actor, grid.scope, "quota-part-periods"),
        select=may_edit,
    )
    if may_edit and any(part.may_prorate for part in found):
        _prorate(actor, grid, None if chosen is None else found[chosen])


def _part(part: PartPeriod) -> str:
    what = "months" if part.of in (3, 12) else "days"
    return f"{part.on} of {part.of} {what}"


def _counts(part: PartPeriod) -> str:
    if part.given is None:
        return "the plan's own quota, scaled"
    return "in full: prorated already" if part.done else "in full, for each plan" if part.shared else "in full"


def _prorate(actor: Actor, grid: QuotaGrid, part: PartPeriod | None) -> None:
    if part is None:
        st.caption("Choose a row to prorate its quota: the scaled figure is written in its place.")
        return
    if not part.may_prorate:
        why = (
            "It is prorated already."
            if part.done
            else "Two plans of the period use this row. Set a quota for a component of each instead."
            if part.shared
            else "There is no quota to scale; the plan's own is scaled by itself."
        )
        st.caption(why)
        return
    quota_tools_view.closed_warning([part.period] if part.period in grid.closed else [])
    scaled = widgets.plain(widgets.money(part.scaled or 0, grid.currency))
    key = (part.user_id, part.period)
    if st.button(
        f"Prorate {widgets.plain(part.person)}, {part.period}: {scaled}", icon=":material/percent:"
    ) and attempt(
        lambda: quotas.save_quotas(
            state.database(), actor, {key: part.scaled}, grid.scope.component, {key: part.given}, "prorated"
        ),
        f"{part.person}, {part.period} is prorated.",
    ):
        st.session_state[_SAVED] += 1
        st.rerun()


# --- changes ----------------------------------------------------------------------------------------


def _changes(actor: Actor, grid: QuotaGrid) -> None:
    db, today = state.database(), state.today()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        person = st.text_input("Person", placeholder="A part of the name", width=220, key="quota_changes_person")
        names = titles(grid.periods)
        period = st.selectbox(
            "Period",
            ["", *grid.periods],
            format_func=lambda each: names.get(each, "All periods"),
            width=160,
            key="quota_changes_period",
        )
        if access.may(actor, "quotas.edit"):
            _undo(actor)
    place = st.container()
    total = quotas.quota_changes(db, actor, today, person, period, 0)[1]
    offset = widgets.pager(total, key="quota_changes_page")
    found, total = quotas.quota_changes(db, actor, today, person, period, offset=offset)
    with place:
        if not found:
            st.caption("Nothing matches." if person or period else "Nothing has been changed yet.")
            return
        widgets.table(_changes_frame(found), _CHANGE_COLUMNS, key="quota_changes")
        stem = "-".join(
            ["quota-changes", *([slug(person, "-")] if slug(person, "-") else []), *([period] if period else [])]
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"{total:,} change{'s' if total != 1 else ''}.", width="stretch")

            def rows() -> list[list[sheets.Value]]:
                return _change_rows(quotas.quota_changes(db, actor, today, person, period, _ALL_CHANGES)[0])

            widgets.download("CSV", f"{stem}.csv", lambda: sheets.to_csv(_CHANGE_HEADERS, rows()), "text/csv")
            widgets.download(
                "Excel",
                f"{stem}.xlsx",
                lambda: sheets.to_xlsx(_CHANGE_HEADERS, rows(), "quota changes"),
                "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            )


_CHANGE_COLUMNS = {
    "at": widgets.time_column("Changed"),
    "person": text_column("Person"),
    "period": text_column("Period"),
    "before": money_column("From"),
    "after": money_column("To"),
    "by": text_column("By"),
    "how": text_column("How"),
    "component": text_column("Component"),
}


def _changes_frame(found: Sequence[QuotaChange]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "at": [change.at for change in found],
            "by": [change.changed_by for change in found],
            "person": [change.person for change in found],
            "period": [change.period for change in found],
            "component": [change.component or "every one" for change in found],
            "before": pd.array([change.before for change in found], dtype="Int64"),
            "after": pd.array([change.after for change in found], dtype="Int64"),
            "currency": [change.currency for change in found],
            "how": [change.how for change in found],
        }
    )


_CHANGE_HEADERS = ["Changed (UTC)", "Person", "Period", "Component", "From", "To", "Currency", "By", "How"]


def _change_rows(found: Sequence[QuotaChange]) -> list[list[sheets.Value]]:
    def amount(cents: int | None, currency: str) -> Decimal | None:
        return None if cents is None else Decimal(format_money(cents, currency))

    return [
        [
            change.at,
            change.person,
            change.period,
            change.component,
            amount(change.before, change.currency),
            amount(change.after, change.currency),
            change.currency,
            change.changed_by,
            change.how,
        ]
        for change in found
    ]


def _undo(actor: Actor) -> None:
    found = quotas.last_save(state.database(), actor)
    if found is None:
        return
    save, closed = found
    with st.popover("Undo the last save", icon=":material/undo:"):
        count = len(save.changes)
        st.markdown(
            widgets.plain(
                f"{save.saved_by or 'Somebody'} changed {count:,} quota{'s' if count != 1 else ''} on "
                f"{save.at:%Y-%m-%d at %H:%M} UTC ({save.how})."
            )
        )
        st.caption(
            "All of it is put back, or nothing where somebody has changed one of them since. The undo is kept, too."
        )
        quota_tools_view.closed_warning(closed)
        if st.button("Undo it", type="primary") and attempt(
            lambda: quotas.undo_save(state.database(), actor, save.audit_id), f"{count:,} put back."
        ):
            st.session_state[_SAVED] = st.session_state.get(_SAVED, 0) + 1
            st.rerun()

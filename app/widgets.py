"""The parts that every page is made of: header, filters, cards, tables, exports, messages.

Money arrives as int cents and becomes text or a number for display only here.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, cast

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import navigation, state
from engine import sheets
from engine.db.jobs import Job
from engine.errors import Problem, ProblemsError, QuotaPathError
from engine.money import currency_digits, format_money
from engine.periods import Period, parse_period, period_of
from engine.services import audit_log, freshness, teams
from engine.services.access import Actor

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}
_FORMATS = {"USD": "dollar", "EUR": "euro", "JPY": "yen"}  # the table's own formats; others are printed with the code
_LISTED = {"week": (26, 4), "month": (24, 3), "quarter": (12, 3), "year": (5, 1)}  # periods before and after today
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-!|~:$.&])")


# Addresses become links, and :names: icons, after the escapes are read: an unseen space keeps them apart.
_APART = re.compile(r"(?<=:)(?=//|[\w+\-/]+:)|(?<=www)(?=\.)|(?<=@)(?=\w)", re.IGNORECASE)


# ---------------------------------------------------------------- text
def plain(text: str) -> str:
    """`text` for a place that reads Markdown, shown as it was typed."""
    return _MARKDOWN.sub(r"\\\1", _APART.sub("\u200b", text))


def money(cents: int, currency: str) -> str:
    """``"$1,234.56"``, ``"-€5.00"``, ``"1,234.56 CHF"``."""
    text = format_money(abs(cents), currency, thousands=True)
    symbol = _SYMBOLS.get(currency)
    return ("-" if cents < 0 else "") + (f"{symbol}{text}" if symbol else f"{text} {currency}")


def period_title(period: Period) -> str:
    """``"October 2026"``, ``"Q4 2026"``, ``"2026"``, ``"Week 5, 2026"``."""
    if period.kind == "month":
        return f"{period.first_day:%B %Y}"
    if period.kind == "quarter":
        return f"{period.name[5:]} {period.name[:4]}"
    return f"Week {int(period.name[6:])}, {period.name[:4]}" if period.kind == "week" else period.name


# ---------------------------------------------------------------- header and filters
def header(title: str, caption: str = "") -> None:
    """The page's title, and to its right the place where the filters appear.  Call it once, before the filters."""
    with st.container(horizontal=True, vertical_alignment="center", key="page_header"):
        with st.container(width="stretch", gap=None, key="page_title"):
            st.title(title, anchor=False)
            if caption:
                st.caption(caption)
        st.session_state["page_tools"] = st.container(
            horizontal=True, width="content", vertical_alignment="center", key="page_tools_box"
        )


@contextmanager
def tools() -> Iterator[None]:
    """The row beside the title: buttons and further filters of a page go here."""
    place: DeltaGenerator = st.session_state["page_tools"]
    with place:
        yield


def _remembered(name: str) -> str:
    """A filter's value: from the URL, else as it was on the page before."""
    return st.query_params.get(name) or st.session_state.get(f"filter_{name}", "")


def _remember(name: str, value: str) -> None:
    st.session_state[f"filter_{name}"] = value
    if st.query_params.get(name, "") != value:
        if value:
            st.query_params[name] = value
        else:
            st.query_params.pop(name, None)


def period_filter(kinds: Sequence[str] = ("month", "quarter", "year"), default: str | None = None) -> Period:
    """The period to show, chosen by the viewer, kept in the URL (``?period=2026-10``) and from page to page.

    `kinds` are the kinds of period that the page can show; `default` names the one shown first, else the
    current one of the first kind.
    """
    today = state.today().toordinal()
    try:
        current = parse_period(_remembered("period"))
    except QuotaPathError:
        current = parse_period(default) if default else period_of(kinds[0], today)
    if current.kind not in kinds:
        current = period_of(kinds[0], min(max(today, current.start), current.end - 1))
    _remember("period", current.name)

    def kind_changed() -> None:
        # Of a longer period, show the part that holds today, else its last.
        day = min(max(today, current.start), current.end - 1)
        _remember("period", period_of(st.session_state["period_kind"], day).name)

    def period_changed() -> None:
        _remember("period", st.session_state["period_name"])

    st.session_state["period_kind"] = current.kind
    st.session_state["period_name"] = current.name
    with tools():
        if len(kinds) > 1:
            st.segmented_control(
                "Kind of period",
                kinds,
                format_func=str.capitalize,
                required=True,
                key="period_kind",
                on_change=kind_changed,
                label_visibility="collapsed",
            )
        st.selectbox(
            "Period",
            _listed(current, today),
            format_func=lambda name: period_title(parse_period(name)),
            key="period_name",
            on_change=period_changed,
            label_visibility="collapsed",
            width=180,
        )
    return current


def _listed(current: Period, today: int) -> list[str]:
    """Names of the periods to choose from, newest first, the chosen one among them."""
    before, after = _LISTED[current.kind]
    period = period_of(current.kind, today)
    for _ in range(after):
        period = period.next()
    found = {current}
    for _ in range(before + after + 1):
        found.add(period)
        period = period.previous()
    return [each.name for each in sorted(found, reverse=True)]


def team_filter(actor: Actor) -> int | None:
    """The id of the team to show, kept in the URL (``?team=3``); None: everyone the viewer may see.

    Draws nothing for a viewer with fewer than two teams.
    """
    found = teams.list_teams(state.database(), actor, state.today())
    names = {str(team.id): "\u2003" * team.depth + team.name for team in found}
    chosen = _remembered("team")
    if chosen not in names or len(names) < 2:
        chosen = ""
    _remember("team", chosen)
    if len(names) < 2:
        return None
    st.session_state["team_name"] = chosen
    with tools():
        st.selectbox(
            "Team",
            ["", *names],
            format_func=lambda key: names.get(key, "All teams"),
            key="team_name",
            on_change=lambda: _remember("team", st.session_state["team_name"]),
            label_visibility="collapsed",
            width=200,
        )
    return int(chosen) if chosen else None


# ---------------------------------------------------------------- live figures
_POLLED = 5  # seconds


def live(actor: Actor) -> None:
    """Draw the page again when somebody has kept a change; until then nothing is read but one number."""
    seen = freshness.data_version(state.database(), actor)

    @st.fragment(run_every=_POLLED)
    def watch() -> None:
        if freshness.data_version(state.database(), actor) != seen:
            st.rerun()

    watch()


# ---------------------------------------------------------------- cards
@dataclass(frozen=True)
class Card:
    """One figure.  `good` colours the delta: True green, False red, None neutral."""

    label: str
    value: str
    delta: str | None = None
    good: bool | None = None
    help: str | None = None
    trend: Sequence[float] | None = None
    arrow: bool = True  # before the delta


def cards(*cards: Card) -> None:
    """A row of metric cards; on a phone they stand two by two."""
    with st.grid(min(len(cards), 4), min_column_width=150):
        for card in cards:
            delta = card.delta.replace("−", "-") if card.delta else None
            falling = (delta or "").startswith("-")
            st.metric(
                card.label,
                card.value,
                delta,
                delta_color="off" if card.good is None else ("inverse" if card.good is falling else "normal"),
                delta_arrow="auto" if card.arrow else "off",
                help=card.help,
                border=True,
                chart_data=list(card.trend) if card.trend is not None else None,
                chart_type="area",
                height="stretch",
            )


def job_bar(job: Job | None, text: str = "") -> None:
    """How far a job is, in a fragment that repeats; once it is over (or there is none) the whole page is drawn anew."""
    if job is None or job.is_over:
        st.rerun()
    share = job.done / job.total if job.total else 0.0
    st.progress(min(share, 1.0), plain(text or job.message) or "Waiting for a free place")


# ---------------------------------------------------------------- tables
@dataclass(frozen=True)
class Column:
    """How a column of a frame is shown and exported."""

    label: str
    kind: Literal["text", "money", "percent", "date", "time", "progress", "number"]
    currency: str | None = None
    help: str | None = None
    digits: int = 1  # of a percentage, at most


def text_column(label: str, help: str | None = None) -> Column:  # noqa: A002
    """Text as it is."""
    return Column(label, "text", help=help)


def money_column(label: str, currency: str | None = None, help: str | None = None) -> Column:  # noqa: A002
    """Int cents; the currency is `currency`, else that of each row's column ``currency``."""
    return Column(label, "money", currency, help)


def percent_column(label: str, help: str | None = None, digits: int = 1) -> Column:  # noqa: A002
    """A ratio: 0.5 is shown as 50%, with at most `digits` decimals; a file has all of them."""
    return Column(label, "percent", help=help, digits=digits)


def date_column(label: str, help: str | None = None) -> Column:  # noqa: A002
    """A date or a moment, shown as a date."""
    return Column(label, "date", help=help)


def time_column(label: str, help: str | None = None) -> Column:  # noqa: A002
    """A moment, to the minute, in UTC."""
    return Column(f"{label} (UTC)", "time", help=help)


def progress_column(label: str, help: str | None = None) -> Column:  # noqa: A002
    """A ratio, as a bar that is full at 100%, or at the largest of the table when that is more."""
    return Column(label, "progress", help=help)


def number_column(label: str, help: str | None = None) -> Column:  # noqa: A002
    """A plain number with thousands separators."""
    return Column(label, "number", help=help)


def table(
    frame: pd.DataFrame,
    columns: Mapping[str, Column],
    *,
    key: str,
    export: str | None = None,
    select: bool = False,
) -> int | None:
    """Show the named columns of `frame`, in that order.

    `export` is the stem of a file name: then there are buttons for CSV and XLSX.  With `select` a row can be
    chosen; returns its position in the frame, else None.
    """
    shown = pd.DataFrame(index=pd.RangeIndex(len(frame)))
    config: dict[str, Any] = {}
    for name, column in columns.items():
        values = frame[name].reset_index(drop=True)
        shown[name], config[name] = _shown(values, column, _currencies(frame, column))
    event = st.dataframe(
        shown,
        hide_index=True,
        column_config=config,
        key=key,
        on_select="rerun" if select else "ignore",
        selection_mode="single-row",
        height="auto",
        placeholder="",
    )
    if export:
        exports(frame, columns, export)
    chosen: list[int] = cast("Any", event)["selection"]["rows"] if select else []
    # A selection outlives the rows it was made in.
    return chosen[0] if chosen and chosen[0] < len(frame) else None


def exports(frame: pd.DataFrame, columns: Mapping[str, Column], stem: str) -> None:
    """Buttons that download the named columns of a frame as CSV and XLSX; `stem` begins the files' names."""
    with st.container(horizontal=True, horizontal_alignment="right"):
        export_buttons(frame, columns, stem)


def export_buttons(frame: pd.DataFrame, columns: Mapping[str, Column], stem: str) -> None:
    """The two buttons of `exports`, in the row that the caller has made; the files are made when one is pressed."""
    download("CSV", f"{stem}.csv", lambda: sheets.to_csv(*_exported(frame, columns)), "text/csv")
    download("Excel", f"{stem}.xlsx", lambda: sheets.to_xlsx(*_exported(frame, columns), stem), XLSX)


def stem(*parts: object) -> str:
    """The stem of a file's name, of what is in it and the filters it was made with; empty parts are left out.

    >>> stem("Won revenue", "2026-Q4", "East & West")
    'won-revenue-2026-q4-east-west'
    """
    words = (re.sub(r"[^\w]+", "-", str(part).lower()).strip("-_") for part in parts if part not in (None, ""))
    return "-".join(filter(None, words))[:100]


def _currencies(frame: pd.DataFrame, column: Column) -> list[str]:
    """The currency of each row, for a money column."""
    if column.kind != "money":
        return []
    return [column.currency] * len(frame) if column.currency else list(frame["currency"])


def _shown(values: pd.Series, column: Column, currencies: list[str]) -> tuple[pd.Series, Any]:
    """The values and the column configuration that show them."""
    label, note = column.label, column.help
    kinds = st.column_config
    if column.kind == "money":
        used = set(currencies) or {column.currency or "USD"}
        if len(used) > 1:
            texts = [
                None if pd.isna(cents) else money(int(cents), currency)
                for cents, currency in zip(values, currencies, strict=True)
            ]
            return pd.Series(texts, dtype=object), kinds.TextColumn(label, help=note, alignment="right")
        currency = used.pop()
        digits = currency_digits(currency)
        numbers = pd.to_numeric(values).astype("Float64") / 10**digits
        if currency in _FORMATS:
            return numbers, kinds.NumberColumn(label, help=note, format=_FORMATS[currency])
        return numbers, kinds.NumberColumn(f"{label} ({currency})", help=note, format=f"%,.{digits}f")
    if column.kind == "percent":
        return values.astype("Float64").round(column.digits + 2), kinds.NumberColumn(label, help=note, format="percent")
    if column.kind == "progress":
        ratios = values.astype("Float64").round(column.digits + 2)
        largest = ratios.max() if ratios.notna().any() else 1.0
        return ratios, kinds.ProgressColumn(
            label, help=note, format="percent", min_value=0.0, max_value=max(1.0, float(largest))
        )
    if column.kind == "date":
        return values, kinds.DateColumn(label, help=note, format="YYYY-MM-DD")
    if column.kind == "time":
        return values, kinds.DatetimeColumn(label, help=note, format="YYYY-MM-DD HH:mm", timezone="UTC")
    if column.kind == "number":
        return values, kinds.NumberColumn(label, help=note, format="localized")
    return values, kinds.TextColumn(label, help=note)


def _exported(frame: pd.DataFrame, columns: Mapping[str, Column]) -> tuple[list[str], list[list[sheets.Value]]]:
    """Headers and rows for a file: money as exact decimals, with its currency in a column beside it."""
    headers: list[str] = []
    series: list[list[sheets.Value]] = []
    currency_written = False
    for name, column in columns.items():
        currencies = _currencies(frame, column)
        headers.append(column.label)
        series.append([_value(value, currencies[row] if currencies else None) for row, value in enumerate(frame[name])])
        if currencies and not currency_written and "currency" not in columns:
            headers.append("Currency")
            series.append(list(currencies))
            currency_written = True
    return headers, [list(row) for row in zip(*series, strict=True)]


def _value(value: Any, currency: str | None) -> sheets.Value:
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return None
    if currency is not None:
        return Decimal(format_money(int(value), currency))
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    if isinstance(value, bool | str | int | Decimal | date | datetime):
        return value
    return Decimal(str(round(float(value), 6))) if isinstance(value, float) else str(value)


def pager(total: int, size: int = 50, key: str = "page") -> int:
    """Page buttons under a table of `total` rows, `size` at a time; returns the offset of the first row to show.

    Draw it where the buttons belong; call it before the rows are read.
    """
    pages = max(1, -(-total // size))
    if pages == 1:
        return 0
    # A filter may have left fewer pages than the one last seen.
    if st.session_state.get(key, 1) > pages:
        st.session_state[key] = 1
    return (st.pagination(pages, key=key) - 1) * size


# ---------------------------------------------------------------- messages, files
def empty(title: str, text: str, page: str | None = None, link: str = "", icon: str = ":material/inbox:") -> None:
    """An empty state: what is missing, what to do next, and the way to the page where that is done."""
    with st.container(border=True, horizontal_alignment="center", key=f"empty_{abs(hash((title, page)))}"):
        st.space("small")
        st.header(icon, anchor=False, width="content")
        st.markdown(f"**{plain(title)}**", width="content", text_alignment="center")
        st.caption(plain(text), width="content", text_alignment="center")
        if page:
            navigation.link(page, link)
        st.space("small")


def show_problems(error: ProblemsError | QuotaPathError) -> None:
    """What went wrong, as a list that the reader can work through."""
    if not isinstance(error, ProblemsError):
        st.error(plain(str(error)), icon=":material/error:")
        return
    st.error("\n".join(f"- {_sentence(problem)}" for problem in error.problems), icon=":material/error:")


def _sentence(problem: Problem) -> str:
    """Where in bold, then what: as one sentence where the message goes on from the place ("E-mail is missing.")."""
    # A path in the text of a plan stays as it is written there.
    where = problem.path if re.search(r"[\[._]", problem.path) else problem.path[:1].upper() + problem.path[1:]
    joint = "" if problem.message[:1].islower() else ":"
    place = f"**{plain(where)}**{joint} " if where else ""
    return f"{place}{plain(problem.message)} {plain(problem.remedy)}".rstrip()


def download(label: str, name: str, content: Callable[[], bytes] | bytes, mime: str, *, recorded: bool = False) -> None:
    """A button that downloads a file; a function as `content` is called when the button is pressed.

    Every export is in the audit log.  `recorded`: the service that makes the file writes the entry itself, or the file
    holds nothing of the company's.
    """
    actor = None if recorded else _viewer()  # now: the file is made when there is no page to ask

    def made() -> bytes:
        found = content() if callable(content) else content
        if actor is not None:
            audit_log.record_export(state.database(), actor, name, {"bytes": len(found)})
        return found

    st.download_button(label, made, name, mime, key=f"download_{name}", icon=":material/download:", on_click="ignore")


def _viewer() -> Actor | None:
    """Who looks at this page: as its first line found, else (a dialog drawn alone) asked for now."""
    from app import auth  # which draws with this module

    found: Actor | None = st.session_state.get("viewer")
    return found or auth.current()


def downloads(
    stem: str, sheet: str, headers: Sequence[str], rows: Callable[[], Iterable[Sequence[sheets.Value]]]
) -> None:
    """Buttons for CSV and XLSX of a list that is not on the page in full; `rows` is called when one is pressed."""
    csv_download(stem, headers, rows)
    download("Excel", f"{stem}.xlsx", lambda: sheets.to_xlsx(headers, rows(), sheet), XLSX)


def csv_download(stem: str, headers: Sequence[str], rows: Callable[[], Iterable[Sequence[sheets.Value]]]) -> None:
    """The button for CSV alone, for a list that no sheet holds."""
    download("CSV", f"{stem}.csv", lambda: sheets.to_csv(headers, rows()), "text/csv")


def team_name(actor: Actor, team_id: int) -> str:
    """What the team is called today; empty when the viewer has no such team."""
    found = teams.list_teams(state.database(), actor, state.today())
    return next((team.name for team in found if team.id == team_id), "")

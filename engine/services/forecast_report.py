"""The backtest as tables for the docs: of the demo company's history, and of series that a package ships."""

import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from engine.analytics import forecast_models as models
from engine.analytics.dashboard import Scope
from engine.analytics.forecast_models import Score
from engine.db import migrate, server
from engine.db.database import Database
from engine.services import demo
from engine.services.forecast_backtest import Backtest, backtest_of
from engine.settings import ROOT

PAGES = (ROOT / "docs" / "forecast.md", ROOT / "README.md")
BEGIN, END = "<!-- written by python -m engine forecast-backtest -->", "<!-- end -->"
DAY = date(2026, 11, 24)  # on which the demo company stands
QUARTERS = 8  # of the public series

_NAMES = {
    "pipeline": "weighted pipeline",
    "model": "statistical model",
    "naive": "naive: as the last quarter",
    "seasonal_naive": "seasonal naive: as a year before",
}
_Row = tuple[float, float, float | None, float | None]


def public_series() -> dict[str, list[float]]:
    """Monthly turnover that statsmodels ships: the only series of sales in it, whole quarters alone."""
    from statsmodels.datasets import elec_equip

    values = elec_equip.load_pandas().data.iloc[:, 0].tolist()
    return {"electrical equipment, euro area: turnover index, 1995 to 2016": values[: len(values) // 3 * 3]}


def seasonally_adjusted() -> dict[str, list[float]]:
    """Quarterly consumption of US households, seasonally adjusted: the nearest to retail that statsmodels ships."""
    from statsmodels.datasets import macrodata

    values = macrodata.load_pandas().data["realcons"].tolist()
    return {"US personal consumption, seasonally adjusted, by quarter, 1959 to 2009": values}


def demo_backtest(db: Database) -> Backtest:
    """The backtest of the demo company, whose records are put into an empty database; no month is run."""
    demo.load_records(db, DAY)
    with db.read() as conn:
        return backtest_of(conn, Scope(None, None, "USD"), DAY, 1)


def demo_rows() -> str:
    """`demo_table` from an embedded PostgreSQL of its own, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="quotapath-forecast-") as folder:
        Path(folder).chmod(0o711)  # root hands the data to another user, who must get there
        running = server.start(Path(folder) / "home", durable=False)
        try:
            migrate.upgrade(running.url)
            db = Database(running.url)
            try:
                return demo_table(demo_backtest(db))
            finally:
                db.close()
        finally:
            running.stop()


def demo_table(found: Backtest) -> str:
    """The scores of the demo company."""
    return _table("Northwind Robotics, the demo company", found.scores)


def public_tables(quarters: int = QUARTERS) -> str:
    """The scores on the public series: each of the last quarters forecast as it began."""
    parts = [_table(name, _scores(values, quarters)) for name, values in public_series().items()]
    for name, values in seasonally_adjusted().items():
        parts.append(_table(name, _scores(values, quarters, step=1, seasons=(4,))))
    return "\n\n".join(parts)


def _scores(
    values: Sequence[float], quarters: int, step: int = 3, seasons: Sequence[int] = models.SEASONS
) -> list[Score]:
    tried = models.rolling(values, quarters, step=step, seasons=seasons)
    rows: dict[str, list[_Row]] = {"model": [], "naive": [], "seasonal_naive": []}
    for each in tried:
        for way, said in (("model", each.model), ("naive", each.naive), ("seasonal_naive", each.seasonal_naive)):
            if said is not None:
                rows[way].append((each.actual, said, each.naive, each.seasonal_naive))
    return [models.score(way, own) for way, own in rows.items()]


def _table(title: str, scores: Sequence[Score]) -> str:
    lines = [
        f"**{title}**",
        "",
        "| way | quarters | WAPE | naive on the same | error over naive's | seasonal naive on the same | nearest |",
        "|---|--:|--:|--:|--:|--:|---|",
    ]
    for each in scores:
        yearly = "–" if each.seasonal_naive is None else f"{each.seasonal_naive:.1%} ({each.seasonal_quarters})"
        relative = "–" if each.relative is None else f"{each.relative:.2f}"
        lines.append(
            f"| {_NAMES[each.way]} | {each.quarters} | {_percent(each.wape)} | {_percent(each.naive)} | {relative} "
            f"| {yearly} | {_verdict(each)} |"
        )
    return "\n".join(lines)


def _percent(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.1%}"


def _verdict(score: Score) -> str:
    if score.way in ("naive", "seasonal_naive") or score.wape is None:
        return ""
    return {"naive": "**naive wins**", "seasonal_naive": "**seasonal naive wins**"}.get(score.winner, "this way")


def write() -> str:
    """Put the tables into docs/forecast.md and README.md, between their marks; gives them."""
    tables = f"{demo_rows()}\n\n{public_tables()}"
    for page in PAGES:
        before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        page.write_text(f"{before}{BEGIN}\n{tables}\n{END}{after}", encoding="utf-8")
    return tables

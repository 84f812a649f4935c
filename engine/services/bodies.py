"""Every kind of background job, and what does it: the app and the workers of other machines know the same."""

from collections.abc import Mapping

from engine.services import batches, forecast_backtest, import_files, recalculation, runs, statements
from engine.services.jobs import Body

JOBS: Mapping[str, Body] = {
    **runs.JOBS,
    **recalculation.JOBS,
    **import_files.JOBS,
    **batches.JOBS,
    **statements.JOBS,
    **forecast_backtest.JOBS,
}

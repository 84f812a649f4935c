"""Every kind of background job, and what does it: the app and the workers of other machines know the same."""

from collections.abc import Mapping

from engine.services import batches, import_files, runs, statements
from engine.services.jobs import Body

JOBS: Mapping[str, Body] = {**runs.JOBS, **import_files.JOBS, **batches.JOBS, **statements.JOBS}

"""Frames for the screens that stay true until the data changes: read once, and kept."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import sqlalchemy as sa

from engine.analytics.remembered import Remembered
from engine.db import audit

_known = Remembered(4_000_000, "frames")  # cells


def read(conn: sa.Connection, query: str, params: Mapping[str, Any]) -> pd.DataFrame:
    """The query's rows as the data stands now; whoever asks the same again before it changes gets the same frame.

    What a viewer may see is a part of `params`, so it is a part of what is asked.  Nobody writes into the frame.
    """
    key = (query, repr(sorted((name, str(value)) for name, value in params.items())))
    return remembered(conn, key, lambda: pd.read_sql(sa.text(query), conn, params=dict(params)))


def remembered(conn: sa.Connection, key: tuple[str, ...], make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """`read` for a frame that is more than a query."""
    return _known.get(conn, audit.data_version(conn), key, make, lambda frame: frame.size + 100)

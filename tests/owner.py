"""The owner of the tables, for what the program itself may not do: no policy binds it, no grant limits it."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from engine.db.database import make_engine


@contextmanager
def owner(url: str | sa.URL, *, autocommit: bool = False) -> Iterator[sa.Connection]:
    """A transaction of the owner of the database at `url`; with `autocommit` each statement is one."""
    found = make_engine(url if isinstance(url, str) else url.render_as_string(hide_password=False))
    try:
        if autocommit:
            with found.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
                yield conn
        else:
            with found.begin() as conn:
                yield conn
    finally:
        found.dispose()

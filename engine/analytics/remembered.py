"""What was worked out once and stays true until the data changes: kept in this process, the oldest let go."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import sqlalchemy as sa

T = TypeVar("T")


class Remembered:
    """Values by database, data version and key; `most` is how much they may weigh together.

    Every service that changes something raises the data version in the same transaction (`engine.db.audit`), and the
    version is read in the snapshot that the value is worked out in, so what is remembered is never stale.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._weight = 0
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(
        self, conn: sa.Connection, version: int, key: Hashable, make: Callable[[], T], weight: Callable[[T], int]
    ) -> T:
        """The value of `key` at the data version that `conn` sees, made by `make` if nobody has asked for it yet."""
        whole = (str(conn.engine.url), version, key)
        with self._lock:
            if whole in self._values:
                self._values.move_to_end(whole)
                found: T = self._values[whole][0]
                return found
        value = make()
        with self._lock:
            if whole not in self._values:
                self._values[whole] = (value, weight(value))
                self._weight += self._values[whole][1]
            while self._weight > self._most and len(self._values) > 1:
                self._weight -= self._values.popitem(last=False)[1][1]
        return value

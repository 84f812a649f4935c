"""What was worked out once and stays true until the data changes: in this process, and in Redis for all of them.

With `share` called (REDIS_URL), what one process works out is found by the others.  A frame is kept as Arrow, anything
else as JSON; what would not come back exactly as it was is kept in the process only.  Without Redis, or while it is
away, each process works on with what it has.
"""

import hashlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pandas as pd
import pyarrow as pa
import redis
import sqlalchemy as sa
from redis.backoff import NoBackoff
from redis.retry import Retry

from engine.db.database import wall

T = TypeVar("T")

log = logging.getLogger(__name__)

SECONDS = 900  # that a value stays in Redis
LARGEST = 1 << 20  # bytes of a value in Redis
AT_MOST = 64 << 20  # bytes that all processes together write there in SECONDS: it never holds more than twice that
PATIENCE = 0.3  # seconds to wait for Redis: working it out anew is no tragedy
PAUSE = 10  # seconds for which a Redis that did not answer is left alone


class Remembered:
    """Values by database, data version and key; `most` is how much they may weigh together in this process.

    Every service that changes something raises the data version in the same transaction (`engine.db.audit`), and the
    version is read in the snapshot that the value is worked out in, so what is remembered is never stale.

    With a `name`, of which there is one, the values are shared through Redis: then `repr` of a key must be the same
    in every process.  Whatever a value depends on beside the data is in its key: whose figures it holds above all.
    What PostgreSQL let through for one viewer (row-level security) is remembered for this viewer alone.
    """

    def __init__(self, most: int, name: str = "") -> None:
        self._most, self._name = most, name
        self._weight = 0
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(
        self, conn: sa.Connection, version: int, key: Hashable, make: Callable[[], T], weight: Callable[[T], int]
    ) -> T:
        """The value of `key` at the data version that `conn` sees, made by `make` if nobody has asked for it yet."""
        seen_by = wall(conn)
        whole = (str(conn.engine.url), version, seen_by, key)
        with self._lock:
            if whole in self._values:
                self._values.move_to_end(whole)
                found: T = self._values[whole][0]
                return _own(found)
        shared = _shared if self._name else None
        value = make() if shared is None else shared.get(conn, f"{self._name} {seen_by} {key!r}", make)
        with self._lock:
            if whole not in self._values:
                self._values[whole] = (value, weight(value))
                self._weight += self._values[whole][1]
            while self._weight > self._most and len(self._values) > 1:
                self._weight -= self._values.popitem(last=False)[1][1]
        return _own(value)


def _own(value: T) -> T:
    """The value for one who asks: columns added to a frame are added to that one's only."""
    return value.copy(deep=False) if isinstance(value, pd.DataFrame) else value


# --- shared by processes -----------------------------------------------------------------------------

# Which data this is, for other processes: the cluster and its history, the database, and the transaction that made the
# data version, as a database made anew or brought back from a backup counts through the same numbers again.
_DATA = sa.text("""
    SELECT concat_ws('-', s.system_identifier, c.timeline_id, d.oid), concat_ws('-', o.xmin, o.data_version)
      FROM pg_control_system() s, pg_control_checkpoint() c, pg_database d, company o
     WHERE d.datname = current_database()
""")


def share(redis_url: str | None) -> None:
    """Share what is remembered with all processes that use this Redis, from now on; None: with none."""
    global _shared
    _shared = _Shared(redis_url) if redis_url else None


class _Shared:
    """The part in Redis.  Its keys begin with `quotapath:remembered:`, then the database; each has an end."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(
            url, socket_connect_timeout=PATIENCE, socket_timeout=PATIENCE, retry=Retry(NoBackoff(), 0)
        )
        self._program = _program()
        self._away_until = 0.0
        self._is_away = False

    def get(self, conn: sa.Connection, key: str, make: Callable[[], T]) -> T:
        """The value that any process has kept of this data under the key, else the one that `make` gives."""
        known = conn.execute(_DATA).one_or_none()
        if known is None or time.monotonic() < self._away_until:  # no company yet, or no Redis
            return make()
        prefix = f"quotapath:remembered:{known[0]}"
        place = f"{prefix}:{hashlib.sha256(f'{known[1]} {self._program} {key}'.encode()).hexdigest()}"
        kept = self._ask(lambda: self._redis.get(place))
        if isinstance(kept, bytes):
            try:
                found: T = _unpacked(kept)
                return found
            except (ValueError, OSError, pa.ArrowException):  # OSError is one of Arrow too
                log.warning("what Redis had for %s cannot be read; it is worked out again", place)
        value = make()
        data = _packed(value)
        if data is not None and len(data) <= LARGEST:
            self._ask(lambda: self._keep(prefix, place, data))
        return value

    def _keep(self, prefix: str, place: str, data: bytes) -> None:
        """Keep a value, unless very much was kept of late: this Redis has other work too."""
        count = f"{prefix}:bytes:{int(time.time() // SECONDS)}"
        counting = self._redis.pipeline()
        counting.incrby(count, len(data))
        counting.expire(count, 2 * SECONDS)
        if counting.execute()[0] <= AT_MOST:
            self._redis.set(place, data, ex=SECONDS)

    def _ask(self, what: Callable[[], T]) -> T | None:
        """What Redis answers; None when it does not, which is said once and then left alone for a while."""
        try:
            answer = what()
        except (redis.RedisError, OSError) as fault:
            self._away_until = time.monotonic() + PAUSE
            if not self._is_away:
                log.warning("Redis does not answer (%s); each process remembers for itself until it does", fault)
            self._is_away = True
            return None
        if self._is_away:
            log.warning("Redis answers again; what is remembered is shared")
        self._is_away = False
        return answer


_shared: _Shared | None = None


def _program() -> str:
    """What this program is: another one may reckon otherwise from the same data."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _packed(value: object) -> bytes | None:
    """The value as bytes; None for one that would not come back as it was."""
    try:
        if not isinstance(value, pd.DataFrame):
            data = orjson.dumps(value)
            return data if _unpacked(data) == value else None
        table = pa.Table.from_pandas(value)
        with pa.BufferOutputStream() as sink:
            with pa.ipc.new_stream(sink, table.schema) as stream:
                stream.write_table(table)
            data = sink.getvalue().to_pybytes()
        return data if _unpacked(data).equals(value) else None
    except (TypeError, ValueError, OSError, pa.ArrowException):
        return None


def _unpacked(data: bytes) -> Any:
    """What `_packed` was given.  Raises ValueError, OSError or ArrowException for other bytes."""
    if data[:1] != b"\xff":  # which no JSON begins with, and every stream of Arrow does
        return orjson.loads(data)
    with pa.ipc.open_stream(data) as stream:
        return stream.read_all().to_pandas()

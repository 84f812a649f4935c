"""Whether the program can do its work: what a proxy, an orchestrator and a monitor ask, without a name or a figure."""

from dataclasses import dataclass

import redis
import sqlalchemy as sa

from engine.db import health, migrate
from engine.db.database import Database
from engine.db.health import Counts

_REDIS_SECONDS = 2


@dataclass(frozen=True)
class Check:
    """One thing that has to work; `says` is a word on it, without secrets."""

    name: str
    is_ok: bool
    says: str


def readiness(db: Database, redis_url: str | None) -> list[Check]:
    """The database answers, is at this program's revision, and Redis answers where there is one.

    Asks nobody who they are: it tells nothing about data.
    """
    checks = []
    try:
        with db.read() as conn:
            found = migrate.current_revision(conn)
        checks.append(Check("database", True, "answers"))
        wanted = migrate.newest_revision()
        checks.append(Check("migrations", found == wanted, f"at {found or 'none'}, the program needs {wanted}"))
    except sa.exc.SQLAlchemyError as error:
        checks.append(Check("database", False, type(error).__name__))
    if redis_url is not None:
        checks.append(redis_check(redis_url))
    return checks


def redis_check(url: str) -> Check:
    """Whether that Redis answers."""
    try:
        with redis.Redis.from_url(url, socket_timeout=_REDIS_SECONDS, socket_connect_timeout=_REDIS_SECONDS) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        return Check("redis", False, type(error).__name__)
    return Check("redis", True, "answers")


def counts(db: Database) -> Counts:
    """What the metrics count in the database; asked by the program itself, for one who may see the status."""
    with db.read() as conn:
        return health.counts(conn)

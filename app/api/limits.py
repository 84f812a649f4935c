"""How much one caller may ask of the API: requests a minute, and bytes of a request."""

import hashlib
import logging
import math
import threading
import time
from functools import cache
from typing import Protocol

import redis
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import problem
from app.auth import COOKIE
from engine import settings

LARGEST_BODY = 5 * 1024 * 1024  # bytes
ADDRESS_SHARE = 5  # an address may hold several people
_MOST_BUCKETS = 100_000
log = logging.getLogger(__name__)


class Buckets(Protocol):
    """Token buckets: each holds `size` at most and fills by `size` a minute."""

    def take(self, name: str, size: int) -> float:
        """Take one; gives 0, or the seconds until there is one."""


class OwnBuckets:
    """Buckets of this process."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[float, float]] = {}  # name -> what it holds, and when that was so
        self._lock = threading.Lock()

    def take(self, name: str, size: int) -> float:
        """See `Buckets`."""
        now = time.monotonic()
        with self._lock:
            held, then = self._found.pop(name, (float(size), now))
            held = min(size, held + (now - then) * size / 60)
            wait = 0.0 if held >= 1 else (1 - held) * 60 / size
            self._found[name] = held - (wait == 0), now
            if len(self._found) > _MOST_BUCKETS:  # the one unused for longest comes first
                self._found.pop(next(iter(self._found)))
        return wait


# The same, in one step of the server and by its clock.
_TAKE = """
    local moment = redis.call('TIME')
    local now = moment[1] + moment[2] / 1000000
    local size = tonumber(ARGV[1])
    local found = redis.call('HMGET', KEYS[1], 'held', 'at')
    local held = math.min(size, (tonumber(found[1]) or size) + (now - (tonumber(found[2]) or now)) * size / 60)
    local wait = 0
    if held >= 1 then held = held - 1 else wait = (1 - held) * 60 / size end
    redis.call('HSET', KEYS[1], 'held', tostring(held), 'at', tostring(now))
    redis.call('EXPIRE', KEYS[1], 120)
    return tostring(wait)
"""


class SharedBuckets:
    """Buckets in Redis, for several processes; without it, those of this process."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1)
        self._take = self._redis.register_script(_TAKE)
        self._own = OwnBuckets()

    def take(self, name: str, size: int) -> float:
        """See `Buckets`."""
        try:
            return float(self._take(keys=[f"quotapath:rate:{name}"], args=[size]))
        except redis.RedisError as error:
            log.warning("Redis does not answer, so this process counts requests alone: %s", error)
            return self._own.take(name, size)


@cache
def limit() -> tuple[Buckets, int]:
    """The buckets of this process, and how many requests a minute one caller has."""
    found = settings.read()
    return SharedBuckets(found.redis_url) if found.redis_url else OwnBuckets(), found.api_rate


def _wait(scope: Scope) -> float:
    """The seconds to wait before this request may come; 0: now."""
    buckets, size = limit()
    if not size:
        return 0
    request = HTTPConnection(scope)
    host = request.client.host if request.client else ""
    wait = buckets.take(f"address:{host}", size * ADDRESS_SHARE)
    token = request.headers.get("authorization") or request.cookies.get(COOKIE)
    if token and not wait:
        # The header itself stays where it is.
        wait = buckets.take(f"token:{hashlib.sha256(token.encode(errors='replace')).hexdigest()[:32]}", size)
    return wait


class RateLimit:
    """Answers 429 to whoever asks too often: of one token or session, and of one address."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        app = self.app
        wait = 0.0
        if scope["type"] == "http":
            # Own buckets never block, and a thread is a detour on the way to every answer.
            own = isinstance(limit()[0], OwnBuckets)
            wait = _wait(scope) if own else await run_in_threadpool(_wait, scope)
        if wait:
            seconds = math.ceil(wait)
            app = problem(429, f"Too many requests. Try again in {seconds} s.", {"Retry-After": str(seconds)})
        await app(scope, receive, send)


class _TooLarge(Exception):
    """The body is larger than it may be."""


class SmallBody:
    """Answers 413 to a body that is too large, whatever it says of its size."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        seen = 0
        answered = False

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > LARGEST_BODY:
                raise _TooLarge
            return message

        async def told(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        said = HTTPConnection(scope).headers.get("content-length", "0")
        try:
            if said.isdecimal() and int(said) > LARGEST_BODY:
                raise _TooLarge
            await self.app(scope, counted, told)
        except _TooLarge:
            if not answered:
                await problem(413, f"The body is larger than {LARGEST_BODY // 2**20} MB. Send it in parts.")(
                    scope, receive, send
                )

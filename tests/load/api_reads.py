"""API reads at a fixed rate, whatever the server does: a request that has to wait for a slow one before it waits, too.

The time of an answer counts from the moment at which the request was due, so that a server that stops for a second is
seen to have kept everyone waiting who came in that second.
"""

import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.load.measure import Latencies

PATIENCE = 60  # seconds
KEPT = 2  # seconds for which an idle connection is used again; the server closes it after five


@dataclass(frozen=True)
class Caller:
    """A program with a token, and the deals that it may see."""

    token: str
    deals: Sequence[int]


class Connections:
    """Connections to one server that are kept and used again, as many as are needed at a time."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter, float]] = []  # the last used comes last

    async def get(self, path: str, token: str) -> tuple[int, bytes]:
        """The status and the body of an answer."""
        reader, writer = await self._connection()
        try:
            head = f"GET {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nAuthorization: Bearer {token}\r\n\r\n"
            writer.write(head.encode())
            status, size = 0, 0
            for line in (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n"):
                name, _, value = line.partition(b":")
                if not status:
                    status = int(line.split()[1])
                elif name.lower() == b"content-length":
                    size = int(value)
            body = await reader.readexactly(size)
        except BaseException:
            writer.close()
            raise
        self._idle.append((reader, writer, time.monotonic()))
        return status, body

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer, used = self._idle.pop()
            if time.monotonic() - used < KEPT:
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self._host, self._port)

    def close(self) -> None:
        """Close those that nobody uses."""
        for _, writer, _ in self._idle:
            writer.close()


READS = {
    "deals": "/api/sales/deals?limit=50",
    "one deal": "/api/sales/deals/{deal}",
    "commissions": "/api/commissions/commissions?limit=50",
    "dashboard-stats": "/api/sales/dashboard-stats",
}


async def caller(server: Connections, token: str) -> Caller:
    """The caller with the token, once it has looked at its deals."""
    status, body = await server.get("/api/sales/deals?limit=200", token)
    assert status == 200, body
    return Caller(token, [item["id"] for item in json.loads(body)["items"]])


async def read(server: Connections, who: Caller, kind: str, due: float, found: Latencies) -> None:
    """One read that was due at that moment of the monotonic clock; what went wrong is noted."""
    path = READS[kind].format(deal=random.choice(who.deals))  # noqa: S311 - any deal will do
    try:
        async with asyncio.timeout(PATIENCE):
            status, body = await server.get(path, who.token)
    except (OSError, EOFError, TimeoutError) as error:
        found.errors.append(f"{path}: {type(error).__name__} {error}")
        return
    found.seconds.append(time.monotonic() - due)
    if status != 200 or not body.startswith(b"{"):
        found.errors.append(f"{path}: {status} {body[:200].decode(errors='replace')}")


async def reads(
    servers: Sequence[Connections], callers: Sequence[Caller], rate: float, seconds: float
) -> dict[str, Latencies]:
    """`rate` reads a second for so many seconds, all four kinds in turn, from every caller at every server."""
    found = {kind: Latencies() for kind in READS}
    kinds, waiting = list(READS), set()
    begin = time.monotonic()
    for number in range(int(rate * seconds)):
        due = begin + number / rate
        if (early := due - time.monotonic()) > 0:
            await asyncio.sleep(early)
        kind, who = kinds[number % len(kinds)], callers[number // (len(kinds) * len(servers)) % len(callers)]
        task = asyncio.create_task(read(servers[number // len(kinds) % len(servers)], who, kind, due, found[kind]))
        waiting.add(task)
        task.add_done_callback(waiting.discard)
    if waiting:
        await asyncio.wait(waiting)
    return found

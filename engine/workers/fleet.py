"""One calculation on many machines: shards of people go to whoever is free, by Celery, and come back through Redis.

The machine that asks puts the book into Redis once, under the hash of its bytes, and sends the shards.  A worker
claims a shard, so that one which is delivered twice is calculated once, and calculates it with its own processes; of
two answers the first counts.  Claims end when they are not renewed, so the shard of a dead worker is free again.
When nothing comes back for a moment, the asker calculates what nobody has claimed itself; when Redis fails, all the
rest.  So a run ends, and with the same cents, however many workers take part and whatever becomes of them.
"""

import contextlib
import hashlib
import io
import logging
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import redis

from engine.calc import wire
from engine.calc.book import Book, visible
from engine.calc.calculate import CalculationError, combine
from engine.calc.result import Result
from engine.errors import QuotaPathError
from engine.workers.pool import SHARDS_A_WORKER, SMALL, Answer, Packed, Pool, Progress, cut

SECONDS_OF_CLAIM = 5.0  # that a shard stays with a worker from which nothing is heard
SECONDS_OF_SILENCE = 1.0  # after which the asker lends a hand
SECONDS_KEPT = 900  # that what is in Redis outlives its asker
PIECE = 64 * 1024 * 1024  # bytes of a book in one piece; Redis takes up to 512 MB
KEPT_BOOKS = 2

log = logging.getLogger(__name__)


class _NoBook(Exception):
    """Redis does not have the book any more."""


class FleetPool(Pool):
    """A `Pool` whose `calculate` shares a large book with other machines; all else is done by its own processes.

    ``send`` gives a shard to the workers' queue; ``machines`` tells how many workers would take one, this one among
    them.  ``name`` stands on its claims.
    """

    def __init__(
        self,
        client: "redis.Redis",
        send: Callable[[dict[str, Any]], None],
        machines: Callable[[], int],
        name: str,
        size: int | None = None,
        interpreter: str | None = None,
        pypy: str | None = None,
    ) -> None:
        super().__init__(size, interpreter, pypy)
        self._redis, self._send, self._machines, self._name = client, send, machines, name
        self._books: OrderedDict[str, Packed] = OrderedDict()
        self._claims: set[str] = set()
        self._ended = threading.Event()
        threading.Thread(target=self._renew, name="claims", daemon=True).start()

    @property
    def busy(self) -> int:
        """How many shards of this or another machine's books are in hand."""
        return len(self._claims)

    def close(self) -> None:
        """End the processes, and give claims back."""
        self._ended.set()
        super().close()

    # -- asking ---------------------------------------------------------------------------------------

    def calculate(self, book: Book, on_progress: Progress | None = None) -> Result:
        """As `Pool.calculate`, on all machines when the book is worth it."""
        machines = self._machines() if visible(book) >= SMALL else 1
        if machines < 2:
            return super().calculate(book, on_progress)
        return combine(book, [wire.unpack_part(*answer) for answer in self._shared(book, machines, on_progress)])

    def _shared(self, book: Book, machines: int, on_progress: Progress | None) -> list[Answer]:
        deals, people = visible(book), len(book.people)
        data = io.BytesIO()
        wire.write(data, *wire.pack_book(book))
        packed = self._remember(hashlib.sha256(data.getbuffer()).hexdigest(), lambda: wire.pack_book(book))
        attempt, shards = uuid.uuid4().hex, cut(range(people), machines * SHARDS_A_WORKER)
        found: dict[int, list[Answer]] = {}

        def tell() -> None:
            if on_progress is not None:
                on_progress(deals * sum(len(shards[number]) for number in found) // max(1, people), deals)

        def here(number: int) -> list[Answer]:
            return self.part(packed, shards[number], deals * len(shards[number]) // max(1, people))

        try:
            self._offer(packed.key, data, attempt, shards, deals // len(shards))
            del data
            silence = SECONDS_OF_SILENCE
            while len(found) < len(shards):
                tell()
                answer = self._redis.blpop([_results(attempt)], timeout=silence)
                if answer is not None:
                    number, answers = _unpack(cast(tuple[bytes, bytes], answer)[1])
                    found.setdefault(number, answers)
                    continue
                self._redis.expire(_asked(attempt), SECONDS_KEPT)
                self._redis.expire(_book(packed.key), SECONDS_KEPT)
                for number in range(len(shards)):
                    if number not in found and self._claim(attempt, number):
                        with self._holding(attempt, number) as done:
                            found.setdefault(number, here(number))
                            done()
                        silence = 0.01  # nobody else is quick enough
                        break
                else:
                    silence = SECONDS_OF_SILENCE
        except redis.RedisError as fault:
            log.warning("Redis was lost in mid-calculation, the rest is done by this machine: %s", fault)
            for number in range(len(shards)):
                if number not in found:
                    tell()
                    found[number] = here(number)
        finally:
            with contextlib.suppress(redis.RedisError):
                self._redis.delete(_asked(attempt), _results(attempt))
        tell()
        return [answer for number in range(len(shards)) for answer in found[number]]

    def _offer(self, key: str, data: io.BytesIO, attempt: str, shards: Sequence[range], deals: int) -> None:
        """Put the book where workers find it, and the shards into their queue."""
        if not self._redis.expire(_book(key), SECONDS_KEPT):
            beside, view = f"{_book(key)}.{attempt}", data.getbuffer()
            for first in range(0, len(view), PIECE):
                self._redis.rpush(beside, bytes(view[first : first + PIECE]))
            self._redis.expire(beside, SECONDS_KEPT)
            self._redis.rename(beside, _book(key))  # whole or not at all
        self._redis.set(_asked(attempt), self._name, ex=SECONDS_KEPT)
        for number, people in enumerate(shards):
            shard = {"attempt": attempt, "number": number, "book": key, "deals": deals}
            try:
                self._send({**shard, "first": people.start, "end": people.stop})
            except Exception as fault:  # Celery's and kombu's own
                raise redis.ConnectionError(f"the queue does not take shards: {fault}") from fault

    # -- answering ------------------------------------------------------------------------------------

    def serve(self, shard: Mapping[str, Any]) -> None:
        """Calculate a shard that some machine asked for, and send the answer; nothing when somebody has done so, does
        so now, or nobody waits for it any more.
        """
        attempt, number = shard["attempt"], shard["number"]
        try:
            if not self._redis.exists(_asked(attempt)) or not self._claim(attempt, number):
                return
            with self._holding(attempt, number) as done:
                packed = self._remember(shard["book"], lambda: self._fetch(shard["book"]))
                try:
                    answers = self.part(packed, range(shard["first"], shard["end"]), shard["deals"])
                    data = _pack(number, answers)
                except CalculationError as error:
                    data = _pack(number, [], str(error))
                pipe = self._redis.pipeline()
                pipe.rpush(_results(attempt), data)
                pipe.expire(_results(attempt), SECONDS_KEPT)
                pipe.execute()
                done()
        except (redis.RedisError, _NoBook, QuotaPathError) as fault:
            # The asker finds that nobody has it, and calculates it itself.
            log.warning("A shard was left to the machine that asked for it: %s", fault)

    def _remember(self, key: str, frame: Callable[[], Answer]) -> Packed:
        """The book with that key, as it was used last or new; a few are kept."""
        with self._lock:
            packed = self._books.pop(key, None) or Packed(key, frame)
            self._books[key] = packed
            while len(self._books) > KEPT_BOOKS:
                self._books.popitem(last=False)
        return packed

    def _fetch(self, key: str) -> Answer:
        data = b"".join(cast(list[bytes], self._redis.lrange(_book(key), 0, -1)))
        if hashlib.sha256(data).hexdigest() != key:
            raise _NoBook("Redis does not have its book any more")
        return wire.read(io.BytesIO(data))

    # -- claims ---------------------------------------------------------------------------------------

    def _claim(self, attempt: str, number: int) -> bool:
        """Take a shard, unless somebody has it or has done it."""
        return bool(self._redis.set(_claim(attempt, number), self._name, nx=True, px=int(SECONDS_OF_CLAIM * 1000)))

    @contextlib.contextmanager
    def _holding(self, attempt: str, number: int) -> Iterator[Callable[[], None]]:
        """Keep a claim while the block runs; it stays for good when the block says that it is done, else it ends."""
        claim, is_done = _claim(attempt, number), False

        def done() -> None:
            nonlocal is_done
            is_done = True

        self._claims.add(claim)
        try:
            yield done
        finally:
            self._claims.discard(claim)
            if is_done:
                self._redis.expire(claim, SECONDS_KEPT)
            else:
                with contextlib.suppress(redis.RedisError):
                    self._redis.delete(claim)

    def _renew(self) -> None:
        while not self._ended.wait(SECONDS_OF_CLAIM / 4):
            for claim in tuple(self._claims):
                with contextlib.suppress(redis.RedisError):
                    self._redis.pexpire(claim, int(SECONDS_OF_CLAIM * 1000))


def _book(key: str) -> str:
    return f"quotapath.book.{key}"


def _asked(attempt: str) -> str:
    return f"quotapath.asked.{attempt}"


def _results(attempt: str) -> str:
    return f"quotapath.results.{attempt}"


def _claim(attempt: str, number: int) -> str:
    return f"quotapath.claim.{attempt}.{number}"


def _pack(number: int, answers: Sequence[Answer], error: str | None = None) -> bytes:
    """A shard's answers as frames, one behind the other."""
    out = io.BytesIO()
    wire.write(out, {"number": number, "answers": len(answers), "error": error})
    for answer in answers:
        wire.write(out, *answer)
    return out.getvalue()


def _unpack(data: bytes) -> tuple[int, list[Answer]]:
    """What `_pack` was given.  Raises the `CalculationError` that the worker met."""
    stream = io.BytesIO(data)
    header, _ = wire.read(stream)
    if header["error"] is not None:
        raise CalculationError(header["error"])
    return header["number"], [wire.read(stream) for _ in range(header["answers"])]

"""A calculation that machines share: the same cents whoever takes part, whatever is delivered twice, lost or killed."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from engine.calc.book import Book
from engine.calc.calculate import CalculationError
from engine.calc.result import Result
from engine.workers import broker, fleet
from engine.workers.fleet import FleetPool
from engine.workers.pool import Pool
from tests.integration.test_pool import company
from tests.redis_server import RedisServer

MACHINES = 3
SHARDS = MACHINES * 4
DEALS = 3000  # enough, as shared ones begin at LEAST here
LEAST = 1000


@pytest.fixture(scope="module")
def book() -> Book:
    return company(DEALS)


@pytest.fixture(scope="module")
def alone(pool: Pool, book: Book) -> Result:
    return pool.calculate(book)


class Machines:
    """An asker and one worker over a real Redis; the messages in between go where the test sends them."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.redis = broker.connect(server.url)
        self.begin()
        self.asker = FleetPool(self.redis, self._send, lambda: MACHINES, "asker", 1)
        self.worker = FleetPool(broker.connect(server.url), self._send, lambda: MACHINES, "worker", 1)

    def begin(self) -> None:
        """Nothing was sent yet, and what is sent goes nowhere."""
        self.sent: list[dict[str, Any]] = []
        self.deliver: Callable[[dict[str, Any]], None] = lambda _shard: None
        self.all_sent: Callable[[], None] = lambda: None

    def _send(self, shard: dict[str, Any]) -> None:
        self.sent.append(shard)
        self.deliver(shard)
        if len(self.sent) == SHARDS:
            self.all_sent()

    def forget(self) -> None:
        """Count from here; books that were used are gone."""
        self._before = self.asker.status()[0].shards, self.worker.status()[0].shards
        for each in (self.asker, self.worker):
            each._books.clear()

    def done(self) -> tuple[int, int]:
        """Shards that the asker and the worker calculated."""
        now = self.asker.status()[0].shards, self.worker.status()[0].shards
        return now[0] - self._before[0], now[1] - self._before[1]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    server = RedisServer(tmp_path_factory.mktemp("redis"), append_only=False)
    found = Machines(server)
    yield found
    found.asker.close()
    found.worker.close()
    server.kill()


@pytest.fixture
def machines(both: Machines, monkeypatch: pytest.MonkeyPatch) -> Machines:
    monkeypatch.setattr(fleet, "SMALL", LEAST)
    monkeypatch.setattr(fleet, "SECONDS_OF_SILENCE", 0.2)
    both.server.kill()
    both.server.start()
    both.begin()
    both.forget()
    return both


def same(found: Result, alone: Result) -> None:
    assert list(found.lines()) == list(alone.lines())
    assert found.attainment == alone.attainment
    assert found.pay == alone.pay
    assert found.payments == alone.payments


def test_what_another_machine_calculates_is_the_same(machines: Machines, book: Book, alone: Result) -> None:
    machines.deliver = machines.worker.serve
    told: list[tuple[int, int]] = []
    same(machines.asker.calculate(book, lambda *step: told.append(step)), alone)
    assert machines.done() == (0, SHARDS)
    assert told[0] == (0, DEALS)
    assert told[-1] == (DEALS, DEALS)
    # Nothing but the book and the notes of who did what stays, and those end by themselves.
    left = list(machines.redis.scan_iter())
    assert left
    assert all(0 < machines.redis.ttl(key) <= fleet.SECONDS_KEPT for key in left)
    # The book is there already.
    size = machines.redis.dbsize()
    machines.sent.clear()
    same(machines.asker.calculate(book), alone)
    assert machines.redis.dbsize() == size + SHARDS


def test_a_shard_delivered_twice_is_calculated_once(machines: Machines, book: Book, alone: Result) -> None:
    def twice(shard: dict[str, Any]) -> None:
        machines.worker.serve(shard)
        machines.worker.serve(shard)

    machines.deliver = twice
    same(machines.asker.calculate(book), alone)
    assert machines.done() == (0, SHARDS)


def test_of_two_answers_the_first_counts(machines: Machines, book: Book, alone: Result) -> None:
    """As when a worker was slow and its claim ended: the other answer, the same in truth, is made unlike it here."""

    def and_a_second_answer(shard: dict[str, Any]) -> None:
        machines.worker.serve(shard)
        machines.redis.rpush(f"quotapath.results.{shard['attempt']}", fleet._pack(shard["number"], []))

    machines.deliver = and_a_second_answer
    same(machines.asker.calculate(book), alone)


def test_shards_that_nobody_takes_are_done_by_who_asked(machines: Machines, book: Book, alone: Result) -> None:
    machines.deliver = lambda shard: machines.worker.serve(shard) if shard["number"] % 2 else None
    same(machines.asker.calculate(book), alone)
    assert machines.done() == (SHARDS // 2, SHARDS // 2)
    machines.worker.serve(machines.sent[0])  # a message that comes when all is over
    assert machines.done() == (SHARDS // 2, SHARDS // 2)


def test_a_worker_without_the_book_leaves_the_shard(machines: Machines, book: Book, alone: Result) -> None:
    def lose_the_book() -> None:
        machines.redis.delete(*machines.redis.keys("quotapath.book.*"))
        machines.worker.serve(machines.sent[0])

    machines.worker._workers[0].restart()  # its process would still know it
    machines.all_sent = lose_the_book
    same(machines.asker.calculate(book), alone)
    assert machines.done() == (SHARDS, 0)


def test_a_claim_that_nobody_renews_ends(
    machines: Machines, book: Book, alone: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that was killed with a shard in hand leaves its claim behind."""
    monkeypatch.setattr(fleet, "SECONDS_OF_CLAIM", 0.5)

    def claim_and_die(shard: dict[str, Any]) -> None:
        assert machines.worker._claim(shard["attempt"], shard["number"])

    machines.deliver = claim_and_die
    same(machines.asker.calculate(book), alone)
    assert machines.done() == (SHARDS, 0)


@pytest.mark.parametrize("again", [False, True], ids=["gone", "restarted empty"])
def test_redis_lost_in_the_middle(machines: Machines, book: Book, alone: Result, again: bool) -> None:
    def lose() -> None:
        machines.server.kill()
        if again:
            machines.server.start()

    machines.deliver = lambda shard: machines.worker.serve(shard) if shard["number"] < 2 else None
    machines.all_sent = lose
    same(machines.asker.calculate(book), alone)
    asker, worker = machines.done()
    assert worker == 2
    assert asker >= SHARDS - 2


def test_redis_that_never_answers(machines: Machines, book: Book, alone: Result) -> None:
    machines.server.kill()
    same(machines.asker.calculate(book), alone)
    assert machines.done() == (SHARDS, 0)


def test_a_queue_that_takes_nothing(machines: Machines, book: Book, alone: Result) -> None:
    def refuse(_shard: dict[str, Any]) -> None:
        raise OSError("no route to the queue")

    machines.deliver = refuse
    same(machines.asker.calculate(book), alone)


def test_a_fault_of_the_rules_is_told_as_it_is_alone(machines: Machines, book: Book) -> None:
    def fail(shard: dict[str, Any]) -> None:
        machines.redis.rpush(
            f"quotapath.results.{shard['attempt']}", fleet._pack(shard["number"], [], "p001, component nb: it broke")
        )

    machines.deliver = fail
    with pytest.raises(CalculationError, match="p001, component nb: it broke"):
        machines.asker.calculate(book)


def test_a_calculation_that_is_given_up_frees_its_shards(machines: Machines, book: Book) -> None:
    class Cancelled(Exception):
        pass

    def cancel(_done: int, _all: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        machines.asker.calculate(book, cancel)
    machines.worker.serve(machines.sent[0])
    assert machines.done() == (0, 0)


def test_two_calculations_at_once_do_not_mix(machines: Machines, book: Book, alone: Result, pool: Pool) -> None:
    other = company(2000, people=30)
    machines.deliver = machines.worker.serve
    found: dict[str, Result] = {}
    threads = [
        threading.Thread(target=lambda name=name, each=each: found.update({name: machines.asker.calculate(each)}))
        for name, each in (("one", book), ("other", other))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same(found["one"], alone)
    same(found["other"], pool.calculate(other))


def test_small_books_stay_here(machines: Machines) -> None:
    machines.asker.calculate(company(500))
    assert not machines.sent


def test_the_rules_have_one_hash_and_a_change_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    before = broker.rules_hash()
    assert before == broker.rules_hash()
    for name in ("calc/payout.py", "money.py", "calc/deeper.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1")
    monkeypatch.setattr(broker, "ENGINE", tmp_path)
    one = broker.rules_hash()
    (tmp_path / "calc/deeper.txt").write_text("2")  # no code
    assert broker.rules_hash() == one
    (tmp_path / "calc/payout.py").write_text("2")
    assert broker.rules_hash() != one


def test_an_address_that_is_no_redis_is_refused() -> None:
    with pytest.raises(Exception, match="redis://host:6379/0"):
        broker.connect("localhost:6379")
    assert isinstance(broker.connect("redis://localhost:1"), redis.Redis)

"""What-if on a company of 300 reps and 200,000 deals beside a full run: a slider, a goal, a hundred variants."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Protocol

import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

from app import auth, state
from engine.db.database import Database
from engine.services import sign_in, whatif, whatif_reading, whatif_search
from engine.services.access import Actor
from engine.services.runs import run_period
from engine.services.whatif import Variant
from engine.services.whatif_search import Desk
from engine.workers.pool import Pool
from tests.benchmarks import database
from tests.benchmarks.measure import TEAMS, Row, race_unlike

ROOT = Path(__file__).resolve().parents[2]


class Sizes(Protocol):
    """How much of everything (`tests.benchmarks.__main__`)."""

    @property
    def quick(self) -> bool: ...
    @property
    def rounds(self) -> int: ...
    def of(self, full: int, least: int = 1) -> int: ...


TODAY = date(2026, 11, 24)
TEAM = 10  # reps under each manager
RATE = "component[new-business].tiers[1].rate"

_SEED = (
    *TEAMS,
    """INSERT INTO plan_assignments (user_id, plan_id, start_date)
       SELECT u.id, p.id, DATE '2025-01-01' FROM users u JOIN plans p ON p.name =
              CASE WHEN u.role = 'manager' THEN 'sales-manager'
                   ELSE (ARRAY['enterprise-ae', 'mid-market-ae', 'commercial-ae'])[1 + u.id % 3] END
        WHERE u.role IN ('rep', 'manager')""",
    """INSERT INTO quotas (user_id, period, start_date, end_date, amount, currency)
       SELECT u.id, format('%s-Q%s', y, q), make_date(y, 3 * q - 2, 1),
              CAST(make_date(y, 3 * q - 2, 1) + interval '3 months' AS date), 40000000 + u.id * 1000, 'USD'
         FROM users u, generate_series(2025, 2026) y, generate_series(1, 4) q WHERE u.role = 'rep'""",
    """INSERT INTO deals (source, external_id, name, owner_id, stage_id, amount, currency, close_date, type, product)
       SELECT 'crm', format('D%s', n), format('Deal %s', n),
              (SELECT min(id) FROM users WHERE role = 'rep') + n % :people,
              (SELECT id FROM pipeline_stages WHERE name = 'Closed Won'),
              200000 + (n::bigint * 7919 % 900000) * 4, 'USD', DATE '2025-01-01' + (n * 692 / :deals)::int,
              (ARRAY['New', 'Expansion', 'Renewal'])[1 + n % 3], (ARRAY['Vision Kit', 'Arm'])[1 + n % 2]
         FROM generate_series(1, :deals) n""",
    """INSERT INTO deals (source, external_id, name, owner_id, stage_id, amount, currency, close_date, type, product)
       SELECT 'crm', format('O%s', n), format('Open %s', n),
              (SELECT min(id) FROM users WHERE role = 'rep') + n % :people,
              (SELECT id FROM pipeline_stages WHERE outcome = 'open' ORDER BY position OFFSET n % 3 LIMIT 1),
              1500000 + n * 100, 'USD', DATE '2027-01-01' + (n % 89), 'New', 'Arm'
         FROM generate_series(1, :open) n""",
    "ANALYZE",
)


@contextmanager
def company(people: int, deals: int, pending: int) -> Iterator[tuple[str, Database, Actor]]:
    """The demo company's plans for many more reps, with deals of 2025 and 2026, and open ones of the next quarter."""
    with database.empty() as db:
        values = {"people": people, "managers": -(-people // TEAM), "team": TEAM, "deals": deals, "open": pending}
        with db.write() as conn:
            for path in sorted((ROOT / "data" / "demo" / "plans").glob("*.toml")):
                name, _, version = path.stem.rpartition("-")
                conn.execute(
                    sa.text("INSERT INTO plans (name, title) VALUES (:n, :n) ON CONFLICT DO NOTHING"), {"n": name}
                )
                conn.execute(
                    sa.text("""
                        INSERT INTO plan_versions (plan_id, effective_from, document, hash, status, published_at)
                        SELECT id, :start, :document, '', 'published', now() FROM plans WHERE name = :n
                    """),
                    {"n": name, "start": f"{2024 + int(version)}-01-01", "document": path.read_text()},
                )
            for statement in _SEED:
                text = sa.text(statement.replace("::", r"\:\:"))
                conn.execute(text, {name: values[name] for name in text.compile().params})
            admin = conn.scalar(sa.text("SELECT id FROM users WHERE code = 'ada'"))
        yield db.engine.url.render_as_string(hide_password=False), db, Actor(admin, "admin", "Ada")


def moved_slider(sizes: Sizes, pools: dict[str, Pool]) -> Iterator[Row]:
    """One moved slider, a goal and a hundred variants, each beside a full run of a month."""
    pool = pools["pypy"]
    work = "300 reps, 200,000 deals, five plans"
    with company(sizes.of(300, 30), sizes.of(200_000, 600), sizes.of(2_000, 60)) as (url, db, ada):
        base = whatif.base(db, ada, TODAY)
        span = whatif.spans(TODAY)[0]
        coming = whatif.quarter(db, ada, base, TODAY)
        start = whatif.begin(base, "enterprise-ae", TODAY)
        rates = count(120_001)  # never the same one twice: nothing is remembered

        def variant() -> Variant:
            return replace(start, changes={RATE: f"{next(rates) / 10_000:.4f}%"})

        _same_cents(db, pool, ada, base, start, span)
        slider = Spent(pool)

        def move() -> None:
            with slider.watching():
                whatif.price(db, pool, ada, base, variant(), span)

        run: Callable[[], object] = lambda: run_period(db, pool, ada, "2026-10")  # noqa: E731
        # A run gives the workers its own book, and leaves theirs alone.
        best = race_unlike({"run": run}, min(sizes.rounds, 3), perf_counter)
        base = whatif.base(db, ada, TODAY)  # the run has raised the data version
        whatif.price(db, pool, ada, base, start, span)
        slider.forget()
        best |= race_unlike({"slider": move}, 3 * sizes.rounds, perf_counter)
        seconds, page = _page(url, pool, sizes)
        note = (
            f"Of the slider's time {slider.shares()}. The whole page, with controls, cards, the simulated quarter and "
            f"lint, takes {seconds:.3f} s, {best['run'] / seconds:.0f} times less than the run: {page.shares()}."
        )
        yield Row(f"what-if, {work}: a moved slider, priced for everyone, against a run from Postgres (wall clock)",
                  best, best["run"] / best["slider"], "at least 20x faster", best["run"] >= 20 * best["slider"],
                  note)  # fmt: skip

        coming = whatif.quarter(db, ada, base, TODAY)
        whatif.outlook(db, pool, ada, base, coming, start)
        outlook = race_unlike(
            {"outlook": lambda: whatif.outlook(db, pool, ada, base, coming, variant())}, sizes.rounds, perf_counter
        )
        yield Row("the same slider on 500 simulated outcomes of 2,000 open deals, against the run",
                  {**outlook, "run": best["run"]}, best["run"] / outlook["outlook"], "not asked", True)  # fmt: skip

        desk = Desk(db, pool, ada, base, span)
        reading = whatif_reading.read(db, ada, base, start)
        lever = next(number for number in reading.numbers if number.path == RATE)
        goal = desk.figure(start, "cost") * 102 // 100
        seek = race_unlike(
            {"goal seek": lambda: whatif_search.goal_seek(desk, variant(), lever, "cost", goal + next(rates), _quiet)},
            1, perf_counter,
        )  # fmt: skip
        yield Row("goal seek to the part per million, some 25 variants, against the run",
                  {**seek, "run": best["run"]}, seek["goal seek"] / best["run"], "not asked", True)  # fmt: skip
        hundred = {str(place): variant() for place in range(100)}
        sweep = race_unlike({"sweep": lambda: whatif_search.sweep(desk, hundred, "cost", _quiet)}, 1, perf_counter)
        yield Row("a sweep of 100 variants, against the run", {**sweep, "run": best["run"]},
                  sweep["sweep"] / best["run"], "not asked", True)  # fmt: skip


def _quiet(_done: int, _total: int) -> None:
    """Nobody watches."""


def _same_cents(db: Database, pool: Pool, ada: Actor, base: whatif.Base, start: Variant, span: whatif.Span) -> None:
    """Without changes, what the run of a month keeps; with one, more than that."""
    month = whatif.Span("m", "", date(2026, 10, 1), date(2026, 11, 1))
    run_id = run_period(db, pool, ada, "2026-10")
    with db.read() as conn:
        kept = conn.scalar(sa.text("SELECT sum(amount) FROM lines WHERE run_id = :run"), {"run": run_id})
    assert whatif.price(db, pool, ada, base, start, month).after.total == kept
    changed = replace(start, changes={"component[new-business].tiers[0].rate": "9%"})
    assert whatif.price(db, pool, ada, base, changed, span).difference > 0


class Spent:
    """Where the seconds of a moved slider go: watched from outside, over all times it was moved."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.seconds = dict.fromkeys(("rules", "pool", "services", "all"), 0.0)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count what happens inside: in the workers, in the pool with what it sends and waits for, in the services."""
        busy = sum(row.busy_seconds for row in self.pool.status())
        with (
            self._timed("pool", self.pool, "totals"),
            self._timed("pool", self.pool, "simulate"),
            self._timed("services", whatif, "price"),
            self._timed("services", whatif, "outlook"),
            self._timed("services", whatif_reading, "read"),
        ):
            began = perf_counter()
            yield
            self.seconds["all"] += perf_counter() - began
        self.seconds["rules"] += sum(row.busy_seconds for row in self.pool.status()) - busy

    @contextmanager
    def _timed(self, name: str, place: object, function: str) -> Iterator[None]:
        kept = getattr(place, function)

        def timed(*args: object, **named: object) -> object:
            began = perf_counter()
            try:
                return kept(*args, **named)
            finally:
                self.seconds[name] += perf_counter() - began

        setattr(place, function, timed)
        yield
        setattr(place, function, kept)

    def shares(self) -> str:
        """In words, of what was watched."""
        spent = self.seconds
        parts = {
            "in the rules": spent["rules"],
            "on the way to the workers and back": spent["pool"] - spent["rules"],
            "in pandas and around it (applying the change, sums by person, the table)": spent["services"]
            - spent["pool"],
            "on the page": spent["all"] - spent["services"],
        }
        return ", ".join(
            f"{part / spent['all']:.0%} {where}" for where, part in parts.items() if part > 0.005 * spent["all"]
        )


def _page(url: str, pool: Pool, sizes: Sizes) -> tuple[float, Spent]:
    """Seconds of the page's script for one moved slider, the best of a few, and where those of all of them go."""
    state.start(url)
    kept = state.pool, state.today, auth.session_token
    try:
        with state.database().read() as conn:
            ada = conn.scalar(sa.text("SELECT id FROM users WHERE code = 'ada'"))
        token = sign_in.open_session(state.database(), ada or 0).token
        state.pool, state.today = (lambda: pool), (lambda: TODAY)
        auth.session_token = lambda: token
        screen = AppTest.from_file(ROOT / "pages" / "whatif.py", default_timeout=120)
        screen.query_params["plan"] = "enterprise-ae"
        screen.run()
        assert not screen.exception, screen.exception
        taken, spent = [], Spent(pool)
        for place in range(max(2, sizes.rounds)):
            (exact,) = [each for each in screen.number_input if (each.key or "").endswith(f"_{RATE}_e")]
            exact.set_value(13.0 + place / 100)
            began = perf_counter()
            with spent.watching():
                screen.run()
            taken.append(perf_counter() - began)
            assert not screen.exception, screen.exception
        return min(taken), spent
    finally:
        state.pool, state.today, auth.session_token = kept
        state.stop()

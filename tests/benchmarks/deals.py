"""The deals page on a million deals beside the same page on a thousand: filters, totals, sorts, deep pages, exports."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from time import perf_counter
from typing import Protocol

import sqlalchemy as sa

from engine import sheets
from engine.db.database import Database
from engine.services import deal_edits, deals
from engine.services.access import Actor
from engine.services.deal_edits import BulkEdit, UndoEdit
from engine.services.deals import DealFilters, Page
from engine.workers.pool import Pool
from tests.benchmarks import database
from tests.benchmarks.measure import TEAMS, Row, race_unlike
from tests.owner import owner


class Sizes(Protocol):
    """How much of everything (`tests.benchmarks.__main__`)."""

    @property
    def quick(self) -> bool: ...


PEOPLE, TEAM = 200, 10  # reps, and how many of them each manager leads

_SEED = (
    *TEAMS,
    """INSERT INTO deals (source, external_id, name, account, owner_id, stage_id, amount, currency, close_date,
                          created_date, type, product, segment, extra)
       SELECT 'crm', format('D%s', n), format('%s %s %s', word, thing, n), format('%s %s', word, n % 20000),
              2 + :managers + hash % :people,
              CASE WHEN other % 10 < 5 THEN 5 WHEN other % 10 < 8 THEN 6 ELSE 1 + n % 4 END,
              other % 200000 * 100 + n % 100, CASE hash / 7 % 20 WHEN 0 THEN 'EUR' ELSE 'USD' END,
              DATE '2023-01-01' + other / 11 % 1460, DATE '2022-12-01' + other / 11 % 1460,
              (ARRAY['New', 'Expansion', 'Renewal'])[1 + other / 13 % 3], format('Product %s', hash / 17 % 12),
              (ARRAY['SMB', 'Enterprise'])[1 + hash / 19 % 2],
              jsonb_build_object('Score', CAST(hash / 23 % 100 AS text))
         FROM (SELECT n, hashint4(n) & 2147483647 AS hash, hashint4(-n) & 2147483647 AS other,
                      (ARRAY['Acme', 'Borealis', 'Cobalt', 'Dune', 'Everest', 'Fjord', 'Granite'])[1 + n % 7] AS word,
                      (ARRAY['renewal', 'rollout', 'pilot', 'upgrade', 'licence'])[1 + n % 5] AS thing
                 FROM generate_series(1, :deals) n) made""",
    """INSERT INTO deal_credits (deal_id, user_id, share_ppm)
       SELECT d.id, u, 500000 FROM deals d
        CROSS JOIN LATERAL (VALUES (d.owner_id), (2 + :managers + (d.owner_id - 1 - :managers) % :people)) AS v (u)
        WHERE d.id % 5 = 0""",
    "VACUUM ANALYZE",
)


@contextmanager
def company(deals: int) -> Iterator[Database]:
    """A database with 200 reps in 20 teams and these many deals of four years, every fifth of them shared."""
    with database.empty() as db:
        fill(db, deals)
        yield db


def fill(db: Database, deals: int) -> None:
    """Put the company into an empty database."""
    sizes = {"people": PEOPLE, "team": TEAM, "managers": PEOPLE // TEAM, "deals": deals}
    with owner(db.engine.url, autocommit=True) as conn:
        for statement in _SEED:
            text = sa.text(statement)
            conn.execute(text, {name: sizes[name] for name in text.compile().params})


TODAY = date(2026, 11, 24)
ADA, MANAGER, REP = Actor(1, "admin", "Ada"), Actor(2, "manager", "Manager 1"), Actor(22, "rep", "Person 1")
_ALL = DealFilters()
VIEWS: dict[str, tuple[Actor, DealFilters, Page]] = {
    "the first page": (ADA, _ALL, Page()),
    "the middle page": (ADA, _ALL, Page(-1)),
    "a text search": (ADA, DealFilters(text="fjord pilot"), Page()),
    "won in a quarter": (
        ADA,
        DealFilters(outcome="won", closed_from=date(2026, 7, 1), closed_until=date(2026, 10, 1)),
        Page(),
    ),
    **{
        f"by {sort}": (ADA, _ALL, Page(sort=sort, descending=descending))
        for sort, descending in (
            ("amount", True),
            ("name", False),
            ("account", False),
            ("owner", False),
            ("stage", False),
        )
    },
    "a manager's": (MANAGER, _ALL, Page()),
    "a rep's": (REP, _ALL, Page()),
    "a rep's search": (REP, DealFilters(text="fjord"), Page()),
}


def _page(db: Database, view: str) -> Callable[[], None]:
    """What the deals page asks for: what one may choose from, the cards, and the rows."""
    actor, filters, page = VIEWS[view]
    if page.number < 0:
        total = deals.list_deals(db, actor, filters, Page(), TODAY).total
        page = Page(max(1, total // 2 // page.size))

    def look() -> None:
        deals.deal_choices(db, actor, TODAY)
        found = deals.list_deals(db, actor, filters, page, TODAY)
        assert len(found.frame) == min(page.size, found.total)

    return look


def changed(db: Database) -> None:
    """Somebody kept something: nothing that was worked out before counts any more."""
    with db.write() as conn:
        conn.execute(sa.text("UPDATE company SET data_version = data_version + 1"))


def deals_page(sizes: Sizes, pools: dict[str, Pool]) -> Iterator[Row]:
    """The page on a million deals against a thousand; a bulk edit and an export of very many."""
    many, rounds = (3000, 1) if sizes.quick else (1_000_000, 7)
    with company(1000) as small, company(many) as big:
        for view in VIEWS:
            first: dict[str, float] = {}
            then: dict[str, float] = {}
            for name, db in (("a thousand", small), ("a million", big)):
                look = _page(db, view)
                changed(db)
                first |= race_unlike({name: look}, 1, perf_counter)
                then |= race_unlike({name: look}, rounds, perf_counter)
            ratio = then["a million"] / then["a thousand"]
            looks = {**then, "a million, the first look after a change": first["a million"]}
            yield Row(f"the deals page, {view}: a million deals against a thousand (wall clock)", looks, ratio,
                      "at most 3x slower", ratio <= 3)  # fmt: skip
        yield from _very_many(big, pools["pypy"], many)


def _very_many(db: Database, pool: Pool, many: int) -> Iterator[Row]:
    edit = BulkEdit(
        {"segment": "Bench"}, filters=DealFilters(closed_from=date(2023, 1, 1), closed_until=date(2023, 5, 27))
    )
    clock = [perf_counter()]

    def lap() -> float:
        clock.append(perf_counter())
        return clock[-1] - clock[-2]

    preview = deal_edits.preview_edit(db, pool, ADA, edit, TODAY)
    seconds = {"preview": lap()}
    changed = deal_edits.apply_edit(db, ADA, edit, preview.seen, TODAY)
    seconds["apply"] = lap()
    with db.read() as conn:
        edit_id = conn.scalar(sa.text("SELECT max(id) FROM deal_edits")) or 0
    back = deal_edits.preview_edit(db, pool, ADA, UndoEdit(edit_id), TODAY)
    lap()
    assert deal_edits.apply_edit(db, ADA, UndoEdit(edit_id), back.seen, TODAY) == changed
    seconds["undo"] = lap()
    yield Row(f"a bulk edit of {changed:,} of {many:,} deals, with history (wall clock)", seconds,
              seconds["apply"] / seconds["preview"], "not asked", True)  # fmt: skip

    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _peak()
    start = perf_counter()
    size = len(sheets.to_csv(deals.EXPORT_HEADERS, deals.export_deals(db, ADA, _ALL, Page(), TODAY)))
    taken = perf_counter() - start
    yield Row(f"{many:,} deals as CSV: {size / 2**20:.0f} MB, at the peak {_peak() - before:.0f} MB more in memory "
              "(wall clock)", {"export": taken}, 1.0, "not asked", True)  # fmt: skip


def _peak() -> float:
    """The most memory that this process had, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024

"""What screens remember of deals, and what the database adds up: after any change the same as plain SQL says."""

from collections.abc import Callable, Iterator
from dataclasses import fields
from datetime import date, datetime, timedelta
from random import Random

import pandas as pd
import pytest
import sqlalchemy as sa

from engine.analytics import frames, parts
from engine.db.database import Database, Joined
from engine.periods import parse_period
from engine.services import dashboard, needs, pipeline, stages
from engine.services.access import Actor

TODAY = date(2026, 11, 24)
ADA, MIA, ROB = Actor(1, "admin", "Ada"), Actor(2, "manager", "Mia"), Actor(3, "rep", "Rob")
OWNERS = (3, 4, 5)

_SEED = """
    INSERT INTO company (name, currency) VALUES ('Acme', 'USD');
    INSERT INTO users (code, name, email, role) VALUES ('ada', 'Ada', 'ada@x.io', 'admin'),
        ('mia', 'Mia', 'mia@x.io', 'manager'), ('rob', 'Rob', 'rob@x.io', 'rep'), ('rea', 'Rea', 'rea@x.io', 'rep'),
        ('oda', 'Oda', 'oda@x.io', 'rep');
    INSERT INTO teams (name) VALUES ('East');
    INSERT INTO team_structure (team_id, manager_id, start_date) VALUES (1, 2, '2025-01-01');
    INSERT INTO team_members (team_id, user_id, start_date) VALUES (1, 3, '2025-01-01'), (1, 4, '2025-01-01');
    INSERT INTO exchange_rates VALUES ('EUR', 'USD', '2026-01-01', 1.5);
    INSERT INTO pay_periods (period, kind, start_date, end_date)
        VALUES ('2026-10', 'month', '2026-10-01', '2026-11-01');
    INSERT INTO runs (period, ledger_seen, inputs_hash, lines_hash, engine_version, interpreter, deals, lines,
                      created_by)
        VALUES ('2026-10', 0, '', '', '0', 'test', 0, 0, 1);
    UPDATE pay_periods SET run_id = 1;
    INSERT INTO plans (name, title) VALUES ('p', 'P');
    INSERT INTO plan_versions (plan_id, effective_from, document, hash, status, published_at)
        VALUES (1, '2026-01-01', '', '', 'published', now());
"""


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    found = Database(database_url)
    with found.write() as conn:
        conn.execute(sa.text(_SEED))
    yield found
    found.close()


# --- chance changes of whatever a screen adds up -----------------------------------------------------


def _day(chance: Random) -> date:
    return TODAY + timedelta(days=chance.randrange(-200, 90))


def _moment(chance: Random) -> datetime:
    return datetime(2026, 1, 1) + timedelta(hours=chance.randrange(24 * 320))  # noqa: DTZ001 - sessions speak UTC


def _add(conn: sa.Connection, chance: Random) -> None:
    """A file of deals, each in a stage and some shared, in one statement for each table."""
    number = conn.scalar(sa.text("SELECT coalesce(max(id), 0) FROM deals")) or 0
    added = range(number + 1, number + 1 + chance.choice((1, 2, 5)))
    for deal in added:
        conn.execute(
            sa.text("""
                INSERT INTO deals (id, source, external_id, name, owner_id, stage_id, amount, currency, created_date,
                                   close_date, product, segment)
                OVERRIDING SYSTEM VALUE
                VALUES (:id, 'crm', CAST(:id AS text), CAST(:id AS text), :owner, :stage, :amount, :currency, :created,
                        :close, :product, :segment)"""),
            {"id": deal, "owner": chance.choice(OWNERS), "stage": chance.randint(1, 6),
             "amount": chance.choice((None, -500, 0, 100, 12_345)), "currency": chance.choice(("USD", "EUR", "GBP")),
             "created": chance.choice((None, _day(chance))), "close": _day(chance),
             "product": chance.choice(("", "Arm")), "segment": chance.choice(("", "SMB"))},
        )  # fmt: skip
    conn.execute(
        sa.text("INSERT INTO deal_stage_entries SELECT id, stage_id, :at FROM deals WHERE id = ANY(:ids)"),
        {"ids": list(added), "at": _moment(chance)},
    )


def _some(what: str) -> Callable[[sa.Connection, Random], None]:
    """A statement about some deals: :ids, :owner, :stage, :day and :at are chosen by chance."""

    def run(conn: sa.Connection, chance: Random) -> None:
        ids = [each for each in conn.scalars(sa.text("SELECT id FROM deals ORDER BY id")) if chance.random() < 0.3]
        values = {"ids": ids, "owner": chance.choice(OWNERS), "stage": chance.randint(1, 6), "day": _day(chance),
                  "at": _moment(chance), "text": _day(chance).isoformat()}  # fmt: skip
        statement = sa.text(what)
        conn.execute(statement, {name: values[name] for name in statement.compile().params})

    return run


CHANGES = [
    _add,
    *map(_some, (
        "UPDATE deals SET owner_id = :owner, updated_at = now() WHERE id = ANY(:ids)",
        "UPDATE deals SET stage_id = :stage, updated_at = now() WHERE id = ANY(:ids)",
        "UPDATE deals SET close_date = :day, cancelled_on = NULL, updated_at = now() WHERE id = ANY(:ids)",
        "UPDATE deals SET amount = amount * 2, updated_at = now() WHERE id = ANY(:ids)",
        "UPDATE deals SET cancelled_on = close_date WHERE id = ANY(:ids)",
        "DELETE FROM deals WHERE id = ANY(:ids) AND id % 3 = 0",
        "INSERT INTO deal_credits SELECT id, :owner, 400000 FROM deals WHERE id = ANY(:ids) ON CONFLICT DO NOTHING",
        "UPDATE deal_credits SET share_ppm = 700000 WHERE deal_id = ANY(:ids)",
        "DELETE FROM deal_credits WHERE deal_id = ANY(:ids)",
        """INSERT INTO deal_stage_entries SELECT id, :stage, :at FROM deals WHERE id = ANY(:ids)
           ON CONFLICT DO NOTHING""",
        "UPDATE deal_stage_entries SET entered_at = entered_at + interval '9 days' WHERE deal_id = ANY(:ids)",
        "DELETE FROM deal_stage_entries WHERE deal_id = ANY(:ids) AND stage_id = :stage",
        """INSERT INTO deal_changes (deal_id, at, changes) SELECT id, :at, jsonb_build_object('close_date',
           jsonb_build_array(CAST(:text AS text), close_date)) FROM deals WHERE id = ANY(:ids)""",
        "UPDATE exchange_rates SET rate = rate + 0.25",
        "UPDATE pipeline_stages SET name = name || '.' WHERE id = :stage",
        "UPDATE users SET name = name || '.' WHERE id = :owner",
        # Nothing that a screen of deals shows; it must not bring back what was before.
        "INSERT INTO activities (kind, user_id, subject, happened_at) VALUES ('note', :owner, 'x', :at)",
    )),
]  # fmt: skip


# --- what must hold ----------------------------------------------------------------------------------

_PLAIN = {
    "entries": """
        SELECT e.deal_id, e.stage_id, e.entered_at, d.owner_id, lead(e.stage_id) OVER way, lead(e.entered_at) OVER way,
               row_number() OVER (PARTITION BY e.deal_id, e.stage_id ORDER BY e.entered_at) > 1
          FROM deal_stage_entries e JOIN deals d ON d.id = e.deal_id
        WINDOW way AS (PARTITION BY e.deal_id ORDER BY e.entered_at, e.stage_id) ORDER BY 1, 3, 2""",
    "lines": """
        SELECT run_id, user_id, plan_version_id, component, kind, currency, count(*), sum(amount) FROM lines
         GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6""",
}
_KEPT = {
    "entries": """
        SELECT deal_id, stage_id, entered_at, owner_id, next_id, left_at, returned FROM deal_stage_entries
         ORDER BY 1, 3, 2""",
    "lines": "SELECT * FROM run_sums ORDER BY 1, 2, 3, 4, 5, 6",
}


def _check_sums(conn: sa.Connection, name: str) -> None:
    assert conn.execute(sa.text(_KEPT[name])).all() == conn.execute(sa.text(_PLAIN[name])).all()


def _plain(value: object) -> object:
    """Frames as rows, so that 1 and 1.0 are the same and a missing value is itself."""
    if isinstance(value, pd.DataFrame):
        rows = value.astype(object).where(value.notna(), None)
        return [list(value.columns), *([*row] for row in rows.itertuples(index=False))]
    return value


def _shown(db: Database, actor: Actor, by: str) -> list[object]:
    """All that the screens show of deals."""
    quarter = parse_period("2026-Q4")
    seen: list[pipeline.Pipeline | dashboard.Dashboard] = [
        pipeline.pipeline(db, actor, quarter, None, by, TODAY),
        dashboard.dashboard(db, actor, quarter, None, TODAY),
    ]
    listed = stages.stage_rows(db, actor, date(2025, 11, 24), date(2026, 11, 25), TODAY)
    return [
        *(_plain(getattr(each, field.name)) for each in seen for field in fields(each)),
        listed,
        needs.needs(db, actor, TODAY),
    ]


def _forget() -> None:
    parts.forget()
    frames._known._values.clear()


@pytest.mark.parametrize("seed", range(3))
def test_after_any_change_a_screen_shows_what_a_first_look_would(db: Database, seed: int) -> None:
    """In one transaction or several, kept or given up, for everyone, a team and a rep."""
    chance = Random(seed)  # noqa: S311 - invented changes
    remembered = 0
    by = pipeline.GROUPS[seed + 1]  # rep, team, product
    for step in range(9):
        with db.write() as conn:
            for _ in range(6 if step == 0 else chance.choice((0, 1, 1, 3))):
                (_add if step == 0 else chance.choice(CHANGES))(conn, chance)
            conn.execute(sa.text("UPDATE company SET data_version = data_version + 1"))
            _check_sums(conn, "entries")
            if chance.random() < 0.2:
                conn.rollback()
        actor = (ADA, MIA, ROB)[step % 3]
        remembered += len(parts._kept)
        warm = _shown(db, actor, by)
        kept = dict(parts._kept)
        _forget()
        assert warm == _shown(db, actor, by), f"step {step}"
        parts._kept.update(kept)
    assert remembered  # else nothing was compared


def test_what_others_have_not_kept_yet_is_not_remembered(db: Database) -> None:
    chance = Random(1)  # noqa: S311 - invented deals
    with db.write() as conn:
        for _ in range(4):
            _add(conn, chance)
    before = _shown(db, ADA, "rep")
    with db.write() as conn:
        conn.execute(sa.text("UPDATE deals SET owner_id = 3, close_date = '2026-11-01', stage_id = 1"))
        assert _shown(Joined(db.engine, conn, None), ADA, "rep") != before  # its own changes it sees
        conn.rollback()
    assert _shown(db, ADA, "rep") == before


def test_a_look_that_began_before_a_change_shows_what_was_then(db: Database) -> None:
    chance = Random(2)  # noqa: S311 - invented deals
    with db.write() as conn:
        for _ in range(4):
            _add(conn, chance)
    before = _shown(db, ADA, "rep")
    with db.read() as early:
        early.scalar(sa.text("SELECT count(*) FROM deals"))  # the moment it sees
        with db.write() as conn:
            conn.execute(sa.text("UPDATE deals SET stage_id = 1, close_date = '2026-11-01'"))
            conn.execute(sa.text("UPDATE company SET data_version = data_version + 1"))
        after = _shown(db, ADA, "rep")
        assert after != before
        assert _shown(Joined(db.engine, early, None), ADA, "rep") == before
    assert _shown(db, ADA, "rep") == after


def test_lines_are_added_up(db: Database) -> None:
    with db.write() as conn:
        add = sa.text("""
            INSERT INTO lines (run_id, user_id, plan_version_id, component, kind, period, origin_period, amount,
                               currency, working)
            SELECT :run, 3 + n % 2, 1, 'c' || n % 3, 'earned', '2026-10', '2026-10', n * 7 - 20, 'USD', '{}'
              FROM generate_series(1, :n) n""")
        for run, lines in ((1, 9), (1, 4), (1, 0)):
            conn.execute(add, {"run": run, "n": lines})
            _check_sums(conn, "lines")
        conn.execute(
            sa.text("""
            INSERT INTO runs (period, ledger_seen, inputs_hash, lines_hash, engine_version, interpreter, deals, lines,
                              created_by) VALUES ('2026-10', 0, '', '', '0', 'test', 0, 0, 1);
            UPDATE pay_periods SET run_id = 2; UPDATE runs SET lines = 13, freed_lines = 13 WHERE id = 1""")
        )
        conn.execute(add, {"run": 2, "n": 5})
        conn.execute(sa.text("DELETE FROM lines WHERE run_id = 1"))
        _check_sums(conn, "lines")


def test_what_was_touched_is_kept_for_a_day(db: Database) -> None:
    chance = Random(3)  # noqa: S311 - invented deals
    with db.write() as conn:
        _add(conn, chance)
        conn.execute(sa.text("UPDATE deal_touches SET at = now() - interval '25 hours'"))
    with db.write() as conn:
        conn.execute(sa.text("UPDATE deals SET amount = 1"))
        assert conn.scalar(sa.text("SELECT count(*) FROM deal_touches WHERE at < now() - interval '1 day'")) == 0
        assert conn.scalar(sa.text("SELECT count(*) FROM deal_touches")) == conn.scalar(
            sa.text("SELECT count(DISTINCT owner_id) + count(DISTINCT date_trunc('month', close_date)) FROM deals")
        )

"""The pipeline's figures, worked out by hand, and the deals behind each of them."""

from datetime import date

import pytest
import sqlalchemy as sa

from engine.analytics.behind import Behind
from engine.db.database import Database
from engine.periods import parse_period
from engine.services import deals, pipeline
from engine.services.access import Actor
from engine.services.deals import DealFilters, Page

TODAY = date(2026, 11, 24)
Q4 = parse_period("2026-Q4")
ADA, MIA, ROB = Actor(1, "admin", "Ada"), Actor(2, "manager", "Mia"), Actor(3, "rep", "Rob")
PROSPECTING, QUALIFICATION, PROPOSAL, WON, LOST = 1, 2, 3, 5, 6

# name: owner, stage, amount, currency, created, close, segment, {stage: entered}, [(moved at, from, to)]
_DEALS = {
    # Won after 40 days; moved 10 days within the quarter.
    "won": (3, WON, 1000, "USD", "2026-10-01", "2026-11-10", "SMB",
            {1: "2026-10-01", 2: "2026-10-05", 3: "2026-10-15", 5: "2026-11-10"},
            [("2026-10-20", "2026-10-31", "2026-11-10")]),
    "lost": (3, LOST, 500, "USD", "2026-10-02", "2026-11-01", "SMB", {1: "2026-10-02", 6: "2026-11-01"}, []),
    # Slipped out of the quarter, 60 days; 20 days in its stage.
    "slipped": (3, PROPOSAL, 2000, "USD", "2026-09-01", "2027-01-29", "Enterprise",
                {1: "2026-09-01", 2: "2026-10-10", 3: "2026-11-04"}, [("2026-11-10", "2026-11-30", "2027-01-29")]),
    # Left the quarter and came back into it: moved, not slipped.
    "back": (4, PROPOSAL, 400, "EUR", "2026-11-01", "2026-12-20", "SMB", {1: "2026-11-01", 3: "2026-11-20"},
             [("2026-11-05", "2026-12-10", "2027-01-10"), ("2026-11-06", "2027-01-10", "2026-12-20")]),
    "overdue": (5, PROSPECTING, 700, "USD", "2026-10-25", "2026-11-20", "", {1: "2026-10-25"}, []),
    "cancelled": (3, WON, 9000, "USD", "2026-10-01", "2026-10-20", "SMB", {1: "2026-10-01", 5: "2026-10-20"}, []),
    "refund": (3, WON, -100, "USD", "2026-10-01", "2026-10-20", "SMB", {1: "2026-10-01", 5: "2026-10-20"}, []),
}  # fmt: skip


@pytest.fixture
def db(database_url):
    """Mia leads Rob (3) and Rea (4) in East; Oda (5) is in no team.  The overdue deal is shared with Rob."""
    found = Database(database_url)
    with found.write() as conn:
        conn.execute(sa.text("INSERT INTO company (name, currency) VALUES ('Acme', 'USD')"))
        for name, role in (("ada", "admin"), ("mia", "manager"), ("rob", "rep"), ("rea", "rep"), ("oda", "rep")):
            conn.execute(
                sa.text("INSERT INTO users (code, name, email, role) VALUES (:n, initcap(:n), :n || '@x.example', :r)"),
                {"n": name, "r": role},
            )
        conn.execute(
            sa.text("""
            INSERT INTO teams (name) VALUES ('East');
            INSERT INTO team_structure (team_id, manager_id, start_date) VALUES (1, 2, '2025-01-01');
            INSERT INTO team_members (team_id, user_id, start_date) VALUES (1, 3, '2025-01-01'), (1, 4, '2025-01-01');
            INSERT INTO exchange_rates VALUES ('EUR', 'USD', '2026-01-01', 1.5)""")
        )
        for number, (name, row) in enumerate(_DEALS.items(), 1):
            owner, stage, amount, currency, created, close, segment, entered, moves = row
            conn.execute(
                sa.text("""
                    INSERT INTO deals (source, external_id, name, owner_id, stage_id, amount, currency, created_date,
                                       close_date, segment, cancelled_on)
                    VALUES ('crm', :name, :name, :owner, :stage, :amount, :currency, :created, :close, :segment,
                            :cancelled)"""),
                {"name": name, "owner": owner, "stage": stage, "amount": amount * 100, "currency": currency,
                 "created": created, "close": close, "segment": segment,
                 "cancelled": "2026-11-01" if name == "cancelled" else None},
            )  # fmt: skip
            for each, at in entered.items():
                conn.execute(
                    sa.text("INSERT INTO deal_stage_entries VALUES (:d, :s, :at)"), {"d": number, "s": each, "at": at}
                )
            for at, before, after in moves:
                conn.execute(
                    sa.text("""
                        INSERT INTO deal_changes (deal_id, at, changes) VALUES (:d, :at, jsonb_build_object(
                            'close_date', jsonb_build_array(CAST(:b AS text), CAST(:a AS text))))"""),
                    {"d": number, "at": at, "b": before, "a": after},
                )
        conn.execute(sa.text("INSERT INTO deal_credits VALUES (5, 5, 500000), (5, 3, 500000)"))
    yield found
    found.close()


def seen(db, actor=ADA, by="all", team=None):
    return pipeline.pipeline(db, actor, Q4, team, by, TODAY)


def behind(db, actor=ADA, outcome="", **asked):
    filters = DealFilters(outcome=outcome, behind=Behind(**asked))
    return set(deals.list_deals(db, actor, filters, Page(), TODAY).frame["name"])


def rows(frame, *names):
    return [tuple(row) for row in frame[list(names)].itertuples(index=False)]


def test_open_deals_are_counted_and_converted_and_aged_against_what_is_usual(db):
    found = seen(db)
    # Stays that ended: Prospecting 4, 30, 39 and 19 days, median 24.5; Qualification 10 and 25; Proposal 26.
    # The refund is no sale; the cancelled deal is left out.
    assert found.usual == {PROSPECTING: 25, QUALIFICATION: 18, PROPOSAL: 26}
    # Overdue: 30 days in Prospecting, between one and two times 25.  EUR 400 at 1.5; both proposals below 26 days.
    assert rows(found.open, "stage_id", "bucket", "deals", "overdue", "amount", "foreign_deals") == [
        (PROSPECTING, 1, 1, 1, 70_000, 0),
        (PROPOSAL, 0, 2, 0, 260_000, 1),
    ]
    assert behind(db, outcome="open", waiting=(25, 50)) == {"overdue"}
    assert behind(db, outcome="open", waiting=(0, 26)) == {"slipped", "back"}
    assert found.foreign == 1
    assert found.unconverted == 0


def test_what_was_decided_and_how_long_it_took(db):
    assert rows(seen(db).decided, "outcome", "bucket", "deals", "timed", "days", "amount") == [
        ("lost", 2, 1, 1, 30, 50_000),
        ("won", 2, 1, 1, 40, 100_000),
    ]
    assert behind(db, outcome="won", cycle=(30, 60)) == {"won"}


def test_where_the_deals_that_entered_a_stage_went(db):
    found = seen(db).passages
    assert sorted(rows(found, "stage_id", "next_id", "deals")) == [
        (1, 0, 1),  # overdue
        (1, 2, 1),  # won; slipped entered before the quarter
        (1, 3, 1),  # back
        (1, 6, 1),  # lost
        (2, 3, 2),  # won, slipped
        (3, 0, 2),  # slipped, back
        (3, 5, 1),  # won
        (5, 0, 1),
        (6, 0, 1),
    ]
    span = (date(2026, 10, 1), date(2027, 1, 1))
    for stage, onward, names in ((1, 0, {"overdue"}), (2, 3, {"won", "slipped"}), (3, 0, {"slipped", "back"})):
        assert behind(db, entered=(stage, *span, onward)) == names
    assert behind(db, entered=(1, *span, None)) == {"overdue", "won", "back", "lost"}


def test_close_dates_moved_and_deals_that_slipped(db):
    found = seen(db)
    # Later: 10 days (won), 31 (back), 60 (slipped); earlier: back.
    assert sorted(rows(found.moved, "bucket", "moves", "deals", "days")) == [
        (-1, 1, 1, -21),
        (1, 1, 1, 10),
        (2, 2, 2, 91),
    ]
    assert rows(found.slipped, "outcome", "deals", "amount") == [("open", 1, 200_000)]
    span = (date(2026, 10, 1), date(2027, 1, 1))
    assert behind(db, moved=(*span, 31, 91)) == {"back", "slipped"}
    assert behind(db, slipped=span) == {"slipped"}


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("rep", {"3": 1, "4": 1, "5": 1}),
        ("team", {"1": 2, "": 1}),
        ("segment", {"": 1, "Enterprise": 1, "SMB": 1}),
    ],
)
def test_groups(db, by, expected):
    found = seen(db, by=by).open
    assert found.groupby("grp")["deals"].sum().to_dict() == expected
    for group, number in expected.items():
        asked = {"segment": group} if by == "segment" else {"owner_team": int(group or 0)} if by == "team" else None
        if asked:
            assert len(behind(db, outcome="open", **asked)) == number


def test_each_viewer_sees_what_is_in_reach(db):
    # Rob shares the overdue deal; Rea's is not his.
    assert seen(db, ROB).open["deals"].sum() == 2
    assert seen(db, MIA).open["deals"].sum() == 3
    assert behind(db, ROB, moved=(date(2026, 10, 1), date(2027, 1, 1), 1, None)) == {"won", "slipped"}
    assert seen(db, ADA, team=1).open["deals"].sum() == 3


def test_a_kept_change_is_seen(db):
    assert seen(db).open["deals"].sum() == 3
    with db.write() as conn:
        conn.execute(sa.text("UPDATE deals SET stage_id = 6 WHERE name = 'overdue'"))
        conn.execute(sa.text("UPDATE company SET data_version = data_version + 1"))
    assert seen(db).open["deals"].sum() == 2

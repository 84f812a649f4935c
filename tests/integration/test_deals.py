"""Deals on a real PostgreSQL: the list and who sees what, edit with history and lock, delete."""

import dataclasses
import threading
from datetime import date
from decimal import Decimal

import pytest
import sqlalchemy as sa

from engine import sheets
from engine.analytics import deals as analytics
from engine.analytics.remembered import Remembered
from engine.db.database import Database
from engine.errors import ProblemsError, QuotaPathError
from engine.services import deal_edits, deal_fields, deals, runs
from engine.services.access import Actor, Forbidden
from engine.services.deal_fields import DealField
from engine.services.deals import DealFields, DealFilters, FieldFilter, Page
from engine.workers.pool import Pool
from tests.integration import paying

TODAY = date(2026, 11, 22)
ADMIN = Actor(1, "admin", "Ada")
MIA = Actor(2, "manager", "Mia")
ANA = Actor(3, "rep", "Ana")
BO = Actor(4, "rep", "Bo")
CY = Actor(5, "rep", "Cy")
PROPOSAL, WON, LOST = 3, 5, 6

COMPANY = """
    INSERT INTO company (name, currency) VALUES ('Acme', 'USD');
    INSERT INTO users (code, name, email, role) VALUES
        ('ada', 'Ada', 'ada@x.io', 'admin'), ('mia', 'Mia', 'mia@x.io', 'manager'), ('ana', 'Ana', 'ana@x.io', 'rep'),
        ('bo', 'Bo', 'bo@x.io', 'rep'), ('cy', 'Cy', 'cy@x.io', 'rep');
    INSERT INTO teams (name) VALUES ('North'), ('South');
    INSERT INTO team_structure (team_id, manager_id, start_date) VALUES (1, 2, '2026-01-01'), (2, NULL, '2026-01-01');
    INSERT INTO team_members (team_id, user_id, start_date) VALUES
        (1, 3, '2026-01-01'), (1, 4, '2026-01-01'), (2, 5, '2026-01-01');
"""


def deal(name="Acme renewal", **changes):
    fields = DealFields(
        name=name,
        account="Acme",
        owner_id=3,
        stage_id=WON,
        amount=1_000_00,
        currency="USD",
        close_date=date(2026, 10, 5),
    )
    return dataclasses.replace(fields, **changes)


@pytest.fixture
def db(database_url):
    found = Database(database_url)
    with found.write() as conn:
        conn.execute(sa.text(COMPANY))
    yield found
    found.close()


def names(db, actor, filters=DealFilters(), page=Page(sort="name", descending=False)):  # noqa: B008 - frozen records
    return list(deals.list_deals(db, actor, filters, page, TODAY).frame["name"])


def test_each_role_sees_its_own_part_and_shares_count(db):
    deals.create_deal(db, ADMIN, deal("A: Ana's"))
    deals.create_deal(db, ADMIN, deal("B: Bo's", owner_id=4))
    deals.create_deal(db, ADMIN, deal("C: Cy's, split with Ana", owner_id=5, credits=((5, 600000), (3, 400000))))
    deals.create_deal(db, ADMIN, deal("D: Cy's", owner_id=5))

    assert [each[0] for each in names(db, ADMIN)] == ["A", "B", "C", "D"]
    assert [each[0] for each in names(db, Actor(1, "finance", "Fi"))] == ["A", "B", "C", "D"]
    assert [each[0] for each in names(db, MIA)] == ["A", "B", "C"]
    assert [each[0] for each in names(db, ANA)] == ["A", "C"]
    assert [each[0] for each in names(db, BO)] == ["B"]
    assert [each[0] for each in names(db, CY)] == ["C", "D"]
    assert names(db, MIA, DealFilters(team_id=2)) == []
    assert [each[0] for each in names(db, ADMIN, DealFilters(team_id=2))] == ["C", "D"]

    found = deals.list_deals(db, ANA, DealFilters(), Page(), TODAY)
    assert found.total == 2
    assert found.frame.set_index("name")["credited"]["C: Cy's, split with Ana"] == "Cy 60%, Ana 40%"

    with pytest.raises(QuotaPathError, match="no deal number 4 that you may see"):
        deals.deal_detail(db, ANA, 4, TODAY)
    assert deals.deal_detail(db, ANA, 3, TODAY).owner == "Cy"
    assert list(deals.deal_choices(db, ANA, TODAY).people["name"]) == ["Ana"]
    assert list(deals.deal_choices(db, MIA, TODAY).people["name"]) == ["Ana", "Bo", "Mia"]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (DealFilters(text="acme"), "abcde"),
        (DealFilters(text="ACME BIG"), "b"),
        (DealFilters(text="100%"), "a"),
        (DealFilters(text="%"), "a"),
        (DealFilters(text="_"), "b"),
        (DealFilters(text="\\"), "e"),
        (DealFilters(text="M-3"), "c"),
        (DealFilters(owner_id=4), "d"),
        (DealFilters(stage_ids=(PROPOSAL, LOST)), "be"),
        (DealFilters(outcome="won"), "ac"),
        (DealFilters(outcome="open"), "b"),
        (DealFilters(outcome="lost"), "e"),
        (DealFilters(outcome="cancelled"), "d"),
        (DealFilters(types=("New", "Renewal")), "ac"),
        (DealFilters(products=("Core",)), "c"),
        (DealFilters(closed_from=date(2026, 10, 5), closed_until=date(2026, 10, 6)), "abe"),
        (DealFilters(amount_from=1_000_00, amount_to=2_000_00), "ad"),
        (DealFilters(amount_to=0), "c"),
        (DealFilters(owner_id=3, outcome="won", types=("New",)), "a"),
    ],
)
def test_filters(db, filters, found):
    deals.create_deal(db, ADMIN, deal("a 100% sure", type="New"))
    deals.create_deal(db, ADMIN, deal("b big_deal", account="Acme Big", stage_id=PROPOSAL, amount=None))
    deals.create_deal(
        db, ADMIN, deal("c refund", amount=-5_00, type="Renewal", product="Core", close_date=date(2026, 10, 6))
    )
    deals.create_deal(
        db,
        ADMIN,
        deal("d", owner_id=4, amount=2_000_00, close_date=date(2026, 9, 1), cancelled_on=date(2026, 9, 1)),
    )
    deals.create_deal(db, ADMIN, deal("e \\ back", currency="EUR", stage_id=LOST))
    assert "".join(each[0] for each in names(db, ADMIN, filters)) == found
    page = deals.list_deals(db, ADMIN, filters, Page(), TODAY)
    assert page.total == len(found)


def test_pages_sorts_and_totals(db):
    for number in range(7):
        deals.create_deal(db, ADMIN, deal(f"Deal {number}", amount=number * 100 if number else 0))
    deals.create_deal(db, ADMIN, deal("Deal 7", amount=None, stage_id=PROPOSAL))
    deals.create_deal(db, ADMIN, deal("Deal 8", amount=9_000_000_000_000_000_001, currency="EUR"))

    def page(**options):
        return list(deals.list_deals(db, ADMIN, DealFilters(), Page(size=4, **options), TODAY).frame["name"].str[-1])

    assert page(sort="name", descending=False) == ["0", "1", "2", "3"]
    assert page(sort="name", descending=False, number=3) == ["8"]
    assert page(sort="name", descending=False, number=99) == ["8"]  # past the end: the last page
    assert page(sort="amount") == ["8", "6", "5", "4"]
    assert page(sort="amount", descending=False) == ["7", "0", "1", "2"]
    for sort in ("owner", "stage", "account", "type", "external_id", "close_date"):
        assert len(page(sort=sort)) == 4
    with pytest.raises(QuotaPathError, match="cannot be sorted by 'id; drop'"):
        page(sort="id; drop")

    found = deals.list_deals(db, ADMIN, DealFilters(), Page(), TODAY)
    assert (
        found.frame.set_index("name")["amount"]["Deal 8"] == 9_000_000_000_000_000_001
    )  # exact, though one is missing
    assert [tuple(row) for row in found.totals.itertuples(index=False)] == [
        ("open", "USD", 1, 0),
        ("won", "EUR", 1, 9_000_000_000_000_000_001),
        ("won", "USD", 7, 2100),
    ]
    nothing = deals.list_deals(db, ADMIN, DealFilters(text="nobody"), Page(), TODAY)
    assert (len(nothing.frame), nothing.total) == (0, 0)


def test_what_is_remembered_of_the_list_is_never_stale(db):
    first = deals.create_deal(db, ADMIN, deal("A", amount=100))
    deals.create_deal(db, ADMIN, deal("B", amount=200))

    def seen(actor=ADMIN, **filters):
        page = deals.list_deals(db, actor, DealFilters(**filters), Page(sort="amount"), TODAY)
        return "".join(page.frame["name"]), page.total, int(page.totals["amount"].sum())

    assert seen() == seen() == ("BA", 2, 300)
    assert seen(outcome="open") == ("", 0, 0)
    deals.edit_deal(db, ADMIN, first, 1, deal("A", amount=500))
    assert seen() == ("AB", 2, 700)
    other = Database(db.engine.url.render_as_string(hide_password=False))  # another process
    deals.edit_deal(other, ADMIN, first, 2, deal("A", amount=50, stage_id=PROPOSAL, owner_id=4))
    other.close()
    assert seen() == ("BA", 2, 250)
    assert seen(outcome="open") == ("A", 1, 50)
    assert (seen(ANA), seen(BO)) == (("B", 1, 200), ("A", 1, 50))
    deals.delete_deal(db, ADMIN, first, 3)
    assert seen() == ("B", 1, 200)


def test_a_late_page_is_cut_from_the_whole_order(db, monkeypatch):
    monkeypatch.setattr(analytics, "_FIRST", 4)
    for number in range(9):
        deals.create_deal(db, ADMIN, deal(f"Deal {number}"))

    def page(number, actor=ADMIN):
        asked = Page(number, 2, "name", descending=False)
        return "".join(deals.list_deals(db, actor, DealFilters(), asked, TODAY).frame["name"].str[-1])

    assert [page(number) for number in (1, 2, 3, 4, 5, 6)] == ["01", "23", "45", "67", "8", "8"]
    assert [page(number, ANA) for number in (1, 5)] == ["01", "8"]


def test_what_is_remembered_has_a_limit(db):
    kept, made = Remembered(10), []

    def ask(key, weight):
        with db.read() as conn:
            kept.get(conn, 1, key, lambda: made.append(key), lambda _: weight)

    for key in "abcab":
        ask(key, 4)  # c lets a go, a lets b go, b lets c go
    ask("b", 4)
    ask("large", 50)
    ask("large", 50)  # kept although it is alone too heavy
    assert "".join(made) == "abcablarge"


def test_export_holds_every_deal_of_the_filter_exactly(db):
    for number in range(60):
        deals.create_deal(db, ADMIN, deal(f"Deal {number:02}", owner_id=3 if number % 2 else 4))
    deals.create_deal(db, ADMIN, deal("Yen", currency="JPY", amount=500, owner_id=4))
    deals.create_deal(db, ADMIN, deal("Open", amount=None, stage_id=PROPOSAL, owner_id=4))
    rows = list(deals.export_deals(db, BO, DealFilters(), Page(sort="name", descending=False), TODAY))
    assert len(rows) == 32
    first = dict(zip(deals.EXPORT_HEADERS, rows[0], strict=True))
    assert (first["Deal name"], first["Amount"], first["Close date"]) == (
        "Deal 00",
        Decimal("1000.00"),
        date(2026, 10, 5),
    )
    assert [dict(zip(deals.EXPORT_HEADERS, row, strict=True))["Amount"] for row in rows[-2:]] == [None, Decimal(500)]


def test_an_edit_keeps_history_stage_and_audit(db):
    deal_id = deals.create_deal(db, ADMIN, deal(stage_id=PROPOSAL))
    version = deals.edit_deal(
        db,
        ADMIN,
        deal_id,
        1,
        deal(stage_id=WON, amount=2_500_50, currency="EUR", owner_id=4, credits=((3, 500000), (4, 500000))),
    )
    assert version == 2
    assert deals.edit_deal(db, ADMIN, deal_id, 2, deals.deal_detail(db, ADMIN, deal_id, TODAY).deal.fields) == 2

    found = deals.deal_detail(db, ADMIN, deal_id, TODAY)
    assert (found.owner, found.stage, found.outcome, found.deal.version) == ("Bo", "Closed Won", "won", 2)
    assert list(found.stages["stage"]) == ["Proposal", "Closed Won"]
    assert [tuple(row) for row in found.history[["who", "field", "before", "after"]].itertuples(index=False)] == [
        ("Ada", "Amount", "1,000.00 USD", "2,500.50 EUR"),
        ("Ada", "Credits", "the owner alone", "Ana 50%, Bo 50%"),
        ("Ada", "Currency", "USD", "EUR"),
        ("Ada", "Owner", "Ana", "Bo"),
        ("Ada", "Stage", "Proposal", "Closed Won"),
        ("Ada", "Created", "–", "manual"),
    ]
    with db.read() as conn:
        assert conn.scalar(sa.text("SELECT count(*) FROM audit WHERE object = :o"), {"o": f"deal {deal_id}"}) == 2
        assert conn.scalar(sa.text("SELECT data_version FROM company")) == 2


def test_of_two_people_who_edit_one_wins_and_the_other_is_told(db):
    deal_id = deals.create_deal(db, ADMIN, deal())
    told = []
    ready = threading.Barrier(2)

    def edit(amount):
        ready.wait()
        try:
            deals.edit_deal(db, ADMIN, deal_id, 1, deal(amount=amount))
        except QuotaPathError as error:
            told.append(str(error))

    threads = [threading.Thread(target=edit, args=(amount,)) for amount in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 1
    assert told[0].startswith("Ada changed this deal (")
    assert "nothing of yours was saved" in told[0]
    found = deals.deal_detail(db, ADMIN, deal_id, TODAY)
    assert found.deal.version == 2
    assert len(found.history) == 2


def test_everything_that_is_wrong_is_said_at_once_and_nothing_is_kept(db):
    deal_id = deals.create_deal(db, ADMIN, deal())
    wrong = deal(
        "",
        account="x" * 1001,
        amount=None,
        currency="usd",
        close_date=date(1989, 1, 1),
        term_months=5000,
        cancelled_on=date(1988, 1, 1),
        owner_id=99,
        credits=((3, 2_000_000), (3, 1)),
    )
    with pytest.raises(ProblemsError) as caught:
        deals.edit_deal(db, ADMIN, deal_id, 1, wrong)
    assert {problem.path for problem in caught.value.problems} == {
        "name", "account", "amount", "currency", "close_date", "term_months", "cancelled_on", "owner", "credits",
    }  # fmt: skip
    with pytest.raises(ProblemsError, match="only a won deal can be cancelled"):
        deals.create_deal(db, ADMIN, deal(stage_id=LOST, cancelled_on=TODAY))
    with pytest.raises(ProblemsError, match="no such pipeline stage"):
        deals.create_deal(db, ADMIN, deal(stage_id=77))
    assert deals.deal_detail(db, ADMIN, deal_id, TODAY).deal.fields == deal()
    assert names(db, ADMIN) == ["Acme renewal"]


@pytest.mark.parametrize("actor", [MIA, ANA, Actor(1, "finance", "Fi")])
def test_only_an_admin_edits(db, actor):
    deal_id = deals.create_deal(db, ADMIN, deal())
    for attempt in (
        lambda: deals.create_deal(db, actor, deal()),
        lambda: deals.edit_deal(db, actor, deal_id, 1, deal(amount=1)),
        lambda: deals.delete_deal(db, actor, deal_id, 1),
    ):
        with pytest.raises(Forbidden):
            attempt()
    assert not deals.deal_detail(db, ADMIN if actor.role == "finance" else actor, deal_id, TODAY).deal.version > 1


def test_a_deal_is_deleted_while_nothing_is_earned_on_it_and_refused_after(db):
    first, second = (deals.create_deal(db, ADMIN, deal(name)) for name in ("One", "Two"))
    with db.write() as conn:
        conn.execute(
            sa.text("""
                INSERT INTO plans (name, title) VALUES ('ae', 'AE');
                INSERT INTO plan_versions (plan_id, effective_from, document, hash, status, published_at)
                VALUES (1, '2026-01-01', '', '', 'published', now());
                INSERT INTO pay_periods (period, kind, start_date, end_date)
                VALUES ('2026-10', 'month', '2026-10-01', '2026-11-01');
                INSERT INTO runs (period, ledger_seen, inputs_hash, lines_hash, engine_version, interpreter,
                                  deals, lines, created_by) VALUES ('2026-10', 0, '', '', '0', 'x', 1, 2, 1);
                UPDATE pay_periods SET run_id = 1;
                INSERT INTO lines (run_id, user_id, plan_version_id, component, deal_id, kind, period, origin_period,
                                   amount, currency, working)
                VALUES (1, 3, 1, 'nb', :deal, 'earned', '2026-10', '2026-10', 8000, 'USD', '{}'),
                       (1, 2, 1, 'override', :deal, 'earned', '2026-10', '2026-10', 1000, 'USD', '{}');
            """),
            {"deal": first},
        )
    with pytest.raises(
        QuotaPathError, match=r'One cannot be deleted: 2 earnings lines stand on it. Set "Cancelled on"'
    ):
        deals.delete_deal(db, ADMIN, first, 1)
    found = deals.deal_detail(db, ADMIN, first, TODAY)
    assert not found.can_delete
    assert list(found.lines["amount"]) == [8000, 1000]
    assert list(deals.deal_detail(db, ANA, first, TODAY).lines["person"]) == ["Ana"]  # nobody else's pay

    assert deals.deal_detail(db, ADMIN, second, TODAY).can_delete
    with pytest.raises(QuotaPathError, match="nothing of yours was saved"):
        deals.delete_deal(db, ADMIN, second, 7)
    deals.delete_deal(db, ADMIN, second, 1)
    assert names(db, ADMIN) == ["One"]
    with db.read() as conn:
        kept = conn.scalar(sa.text("SELECT detail -> 'deleted' ->> 'name' FROM audit ORDER BY id DESC LIMIT 1"))
    assert kept == "Two"


# ---------------------------------------------------------------- splits
@pytest.mark.parametrize(
    ("shares", "parts", "said"),
    [
        (((3, 600_000), (4, 400_000)), (600_00, 400_00), "The shares come to 100%: the whole deal is credited once."),
        (((3, 333_333), (4, 333_333), (5, 333_334)), (333_33, 333_33, 333_34), "The shares come to 100%"),
        (((3, 1_000_000), (4, 250_000)), (1000_00, 250_00), "125%: an overlay, 25% (250.00 USD) more is credited"),
        (((4, 500_000),), (500_00,), "50%: 50% (500.00 USD) of the deal is credited to nobody."),
    ],
)
def test_what_shares_of_a_deal_come_to(db, shares, parts, said):
    deal_id = deals.create_deal(db, ADMIN, deal())
    found = deals.split_deal(db, ADMIN, deal_id, shares, TODAY)
    assert found.parts == parts
    assert said in found.said
    assert found.whole is (sum(share for _, share in shares) == 1_000_000)


def test_the_odd_cent_goes_where_the_pay_rules_put_it_and_wrong_shares_are_said(db):
    deal_id = deals.create_deal(db, ADMIN, deal(amount=1))
    # By the person's code (ana before bo), whatever the order they were typed in.
    assert deals.split_deal(db, ADMIN, deal_id, ((4, 500_000), (3, 500_000)), TODAY).parts == (0, 1)
    with pytest.raises(ProblemsError) as caught:
        deals.split_deal(db, ADMIN, deal_id, ((3, 1_200_000), (3, 1), (99, 1)), TODAY)
    assert [problem.message for problem in caught.value.problems] == [
        "a person is named twice.",
        "a share of 120% is not between 0% and 100%.",
        "there is no person number 99.",
    ]
    nothing = deals.create_deal(db, ADMIN, deal(amount=None, stage_id=PROPOSAL))
    assert deals.split_deal(db, ADMIN, nothing, ((3, 500_000),), TODAY).parts == (None,)


def test_what_new_shares_would_do_to_earnings_is_found_before_they_are_kept(database_url):
    company = paying.Company(database_url)
    db, ada = company.db, company.actors["ada"]
    sold = deal(owner_id=company.users["ana"], close_date=date(2026, 1, 20), amount=10_000_00, type="New")
    deal_id = deals.create_deal(db, ada, sold)
    shared = dataclasses.replace(sold, credits=((company.users["ana"], 500_000), (company.users["bo"], 750_000)))
    with Pool(1) as pool:
        found = deals.edit_impact(db, pool, ada, deal_id, 1, shared, date(2026, 1, 31))
        with pytest.raises(QuotaPathError, match="nothing of yours was saved"):
            deals.edit_impact(db, pool, ada, deal_id, 7, shared, date(2026, 1, 31))
        with pytest.raises(Forbidden):
            deals.edit_impact(db, pool, company.actors["ana"], deal_id, 1, shared, date(2026, 1, 31))
    told = {row.person: row.difference for row in found.changes.itertuples()}
    assert told == {"ana": -400_00, "bo": 600_00, "mia": 25_00}
    assert deals.deal_detail(db, ada, deal_id, TODAY).deal.fields == sold
    db.close()


# ---------------------------------------------------------------- fields of one's own
@pytest.fixture
def with_fields(db):
    for field in (
        DealField("Score", "number"),
        DealField("Renews on", "date"),
        DealField("Partner", "yes_no"),
        DealField("Region", "choice", ("East", "West")),
        DealField("Note", "text"),
    ):
        deal_fields.define_field(db, ADMIN, field)
    return db


TYPED = {"Score": "1,200.50", "Renews on": "31.12.2026", "Partner": "Yes", "Region": "east", "Note": " =1+1 "}
KEPT = {"Score": "1200.5", "Renews on": "2026-12-31", "Partner": "true", "Region": "East", "Note": "=1+1"}


def test_fields_are_checked_kept_one_way_and_in_the_history(with_fields):
    db = with_fields
    deal_id = deals.create_deal(db, ADMIN, deal(), TYPED)
    assert deals.deal_detail(db, ADMIN, deal_id, TODAY).deal.extra == KEPT
    with pytest.raises(ProblemsError) as caught:
        deals.edit_deal(
            db,
            ADMIN,
            deal_id,
            1,
            deal(),
            {"Score": "high", "Renews on": "03/04/2026", "Partner": "maybe", "Region": "North", "Other": "x"},
        )
    assert [problem.path for problem in caught.value.problems] == ["Score", "Renews on", "Partner", "Region", "Other"]
    assert deals.edit_deal(db, ADMIN, deal_id, 1, deal(), TYPED) == 1  # the same, written differently
    assert deals.edit_deal(db, ADMIN, deal_id, 1, deal(), {"Score": "7", "Note": ""}) == 2
    found = deals.deal_detail(db, ADMIN, deal_id, TODAY)
    assert found.deal.extra == {**{name: KEPT[name] for name in ("Renews on", "Partner", "Region")}, "Score": "7"}
    assert [tuple(row) for row in found.history[["field", "before", "after"]].itertuples(index=False)][:2] == [
        ("Note", "=1+1", "–"),
        ("Score", "1200.5", "7"),
    ]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (FieldFilter("Score", low=Decimal(7)), "ab"),
        (FieldFilter("Score", low=Decimal("7.5")), "a"),
        (FieldFilter("Score", high=Decimal(7)), "b"),
        (FieldFilter("Score", low=Decimal(-1), high=Decimal("1200.5")), "ab"),
        (FieldFilter("Renews on", low=date(2026, 12, 31)), "a"),
        (FieldFilter("Renews on", high=date(2026, 12, 30)), "b"),
        (FieldFilter("Partner", values=("true",)), "a"),
        (FieldFilter("Region", values=("East", "West")), "ab"),
        (FieldFilter("Region", values=("West",)), "b"),
        (FieldFilter("Note", text="1+"), "a"),
        (FieldFilter("Note", text="%"), ""),
        (FieldFilter("Nothing", text="x"), ""),
    ],
)
def test_the_list_is_filtered_by_fields(with_fields, asked, found):
    db = with_fields
    deals.create_deal(db, ADMIN, deal("a"), TYPED)
    deals.create_deal(db, ADMIN, deal("b"), {"Score": "7", "Renews on": "2026-01-01", "Region": "West"})
    deals.create_deal(db, ADMIN, deal("c"))
    assert "".join(names(db, ADMIN, DealFilters(extra=(asked,)))) == found


def test_fields_are_exported_as_what_they_are(with_fields):
    db = with_fields
    deals.create_deal(db, ADMIN, deal("a"), TYPED)
    deals.create_deal(db, ADMIN, deal("b"))
    headers = deals.export_headers(deal_fields.list_fields(db, ADMIN))
    rows = list(deals.export_deals(db, ADMIN, DealFilters(), Page(sort="name", descending=False), TODAY))
    first, second = (dict(zip(headers, row, strict=True)) for row in rows)
    assert [first[name] for name in TYPED] == [Decimal("1200.5"), date(2026, 12, 31), "yes", "East", "=1+1"]
    assert [second[name] for name in TYPED] == [None] * 5
    assert b",1200.5,2026-12-31,yes,East,'=1+1\r\n" in sheets.to_csv(headers, rows)


def test_an_imported_column_becomes_a_field_and_can_be_taken_back(db):
    ids = [deals.create_deal(db, ADMIN, deal(name)) for name in "abcde"]
    values = ("1,000", "1000", "12.5 ", "n/a", None)
    with db.write() as conn:
        for deal_id, value in zip(ids, values, strict=True):
            conn.execute(
                sa.text("UPDATE deals SET extra = jsonb_build_object('Seats', CAST(:v AS text)) WHERE id = :id"),
                {"v": value, "id": deal_id},
            )
    assert deal_fields.undefined_columns(db, ADMIN) == [("Seats", 5)]
    field = DealField("Seats", "number")
    with Pool(1) as pool:
        report = deal_fields.report_field(db, pool, ADMIN, field, TODAY)
    assert (report.deals, report.rewritten, report.misfit_deals) == (4, 2, 1)
    assert list(report.misfits["value"]) == ["n/a"]
    with pytest.raises(ProblemsError, match="Seats: 'n/a' is not a number.*1 deals, such as d"):
        deal_fields.define_field(db, ADMIN, field)
    assert deal_fields.list_fields(db, ADMIN) == []
    deal_fields.define_field(db, ADMIN, field, leave=True)
    kept = [deals.deal_detail(db, ADMIN, each, TODAY).deal.extra["Seats"] for each in ids]
    assert kept == ["1000", "1000", "12.5", "n/a", None]
    (edit,) = deal_edits.list_edits(db, ADMIN)
    assert (edit.what, edit.deals) == ("Values of the field Seats written one way", 2)
    with Pool(1) as pool:
        seen = deal_edits.preview_edit(db, pool, ADMIN, deal_edits.UndoEdit(edit.edit_id), TODAY).seen
    assert deal_edits.apply_edit(db, ADMIN, deal_edits.UndoEdit(edit.edit_id), seen, TODAY) == 2
    kept = [deals.deal_detail(db, ADMIN, each, TODAY).deal.extra["Seats"] for each in ids]
    assert kept == ["1,000", "1000", "12.5 ", "n/a", None]
    deal_fields.forget_field(db, ADMIN, "Seats")
    assert deal_fields.list_fields(db, ADMIN) == []


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        (["31/12/2026", "03/04/2026"], ["2026-12-31", "2026-04-03"]),  # the first says how the second is read
        (["12/31/2026", "03/04/2026"], ["2026-12-31", "2026-03-04"]),
        (["2026-12-31", "03/04/2026"], ["2026-12-31", "03/04/2026"]),  # nobody knows
        (["31/12/2026", "12/31/2026", "03/04/2026"], ["2026-12-31", "2026-12-31", "03/04/2026"]),
    ],
)
def test_dates_are_read_as_the_others_say(db, values, kept):
    ids = [deals.create_deal(db, ADMIN, deal(value)) for value in values]
    with db.write() as conn:
        conn.execute(sa.text("UPDATE deals SET extra = jsonb_build_object('Due', name)"))
    deal_fields.define_field(db, ADMIN, DealField("Due", "date"), leave=True)
    assert [deals.deal_detail(db, ADMIN, each, TODAY).deal.extra["Due"] for each in ids] == kept


@pytest.mark.parametrize(
    ("field", "said"),
    [
        (DealField("", "text"), "1 to 100 characters"),
        (DealField("Amount", "number"), "what every deal has"),
        (DealField("Seats", "money"), "no kind of field"),
        (DealField("Region", "choice"), "are missing"),
        (DealField("Region", "choice", ("East", "EAST")), "name one twice"),
        (DealField("Region", "text", ("East",)), "only for a choice"),
    ],
)
def test_a_field_that_cannot_be(db, field, said):
    with pytest.raises(ProblemsError, match=said):
        deal_fields.define_field(db, ADMIN, field)
    with pytest.raises(Forbidden):
        deal_fields.define_field(db, MIA, DealField("Seats", "number"))


def test_a_field_decides_what_a_plan_pays(database_url):
    when = 'when = { Partner = true, Score = { at_least = 10 }, "Renews on" = { at_least = 2026-06-01 } }'
    plan = paying.PLAN.replace('when = { type = ["New", "Expansion"] }', when)
    company = paying.Company(database_url, plan)
    db, ada = company.db, company.actors["ada"]
    for field in (DealField("Partner", "yes_no"), DealField("Score", "number"), DealField("Renews on", "date")):
        deal_fields.define_field(db, ada, field)
    sold = deal(owner_id=company.users["ana"], close_date=date(2026, 1, 20), amount=10_000_00)
    counts = {"Partner": "yes", "Score": "1,000", "Renews on": "31.12.2026"}
    first = deals.create_deal(db, ada, sold, counts)
    for other in ({"Partner": "no"}, {"Score": "9.5"}, {"Renews on": "2026-05-31"}):
        deals.create_deal(db, ada, sold, {**counts, **other})
    with Pool(1) as pool:
        runs.run_period(db, pool, ada, "2026-01")
        assert company.earned("ana", "2026-01") == 800_00
        typed = deal_edits.TableEdit((deal_edits.RowEdit(first, 1, {}, {"Score": "3"}),))
        seen = deal_edits.preview_edit(db, pool, ada, typed, date(2026, 1, 31))
    assert seen.earnings is not None
    assert {row.person: row.difference for row in seen.earnings.changes.itertuples()} == {"ana": -800_00}
    assert list(seen.sample["field"]) == ["Score"]
    assert deal_edits.apply_edit(db, ada, typed, seen.seen, TODAY) == 1
    assert deals.deal_detail(db, ada, first, TODAY).deal.extra["Score"] == "3"
    company.db.close()


# ---------------------------------------------------------------- exports
@pytest.mark.parametrize(
    ("filters", "name"),
    [
        (DealFilters(), "deals-all-2026-11-22"),
        (
            DealFilters(outcome="won", closed_from=date(2026, 7, 1), closed_until=date(2026, 10, 1), team_id=1),
            "deals-won-2026-Q3-north",
        ),
        (DealFilters(closed_from=date(2026, 2, 1), closed_until=date(2026, 3, 1)), "deals-2026-02"),
        (DealFilters(closed_from=date(2026, 2, 1)), "deals-from-2026-02-01"),
        (DealFilters(owner_id=3, stage_ids=(WON,), types=("New/Old",)), "deals-ana-closed-won-new-old"),
        (DealFilters(text="../../etc *", extra=(FieldFilter("Région", text="x"),)), "deals-region-etc"),
        (DealFilters(text="x" * 500), "deals-" + "x" * 60),
    ],
)
def test_the_file_is_named_for_the_filters(db, filters, name):
    assert deals.export_name(db, ADMIN, filters, TODAY) == name

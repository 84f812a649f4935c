"""Many deals changed at once, on real PostgreSQL: previewed, applied, undone, and refused where somebody was faster."""

import dataclasses
import threading
from datetime import date

import pytest
import sqlalchemy as sa

from engine.errors import ProblemsError, QuotaPathError
from engine.services import deal_edits, deals, payouts, runs
from engine.services.access import Actor, Forbidden
from engine.services.deal_edits import BulkEdit, RowEdit, TableEdit, UndoEdit
from engine.services.deals import DealFields, DealFilters
from engine.workers.pool import Pool
from tests.integration.paying import Company

TODAY = date(2026, 3, 20)


@pytest.fixture(scope="module")
def pool():
    with Pool(1) as found:
        yield found


@pytest.fixture
def company(database_url):
    found = Company(database_url)
    yield found
    found.db.close()


@pytest.fixture
def desk(company, pool):
    return Desk(company, pool)


class Desk:
    """Ada at the deals page."""

    def __init__(self, company: Company, pool: Pool) -> None:
        self.company, self.pool, self.db, self.ada = company, pool, company.db, company.actors["ada"]
        with self.db.read() as conn:
            self.stages = {row.name: row.id for row in conn.execute(sa.text("SELECT name, id FROM pipeline_stages"))}

    def add(self, name, owner="ana", stage="Closed Won", amount=60_000_00, day="2026-01-20", **fields):
        whole = DealFields(
            name=name, account="", owner_id=self.company.users[owner], stage_id=self.stages[stage], amount=amount,
            currency="USD", close_date=date.fromisoformat(day), type="New",
        )  # fmt: skip
        return deals.create_deal(self.db, self.ada, dataclasses.replace(whole, **fields))

    def preview(self, edit):
        return deal_edits.preview_edit(self.db, self.pool, self.ada, edit, TODAY)

    def apply(self, edit, seen=None, **options):
        seen = self.preview(edit).seen if seen is None else seen
        return deal_edits.apply_edit(self.db, self.ada, edit, seen, TODAY, **options)

    def detail(self, deal_id):
        return deals.deal_detail(self.db, self.ada, deal_id, TODAY)

    def edits(self):
        return deal_edits.list_edits(self.db, self.ada)


def rows(frame, *columns):
    return [tuple(row) for row in frame[list(columns)].itertuples(index=False)]


def test_a_bulk_edit_is_previewed_with_earnings_applied_and_undone(desk):
    first, second = desk.add("A"), desk.add("B", stage="Proposal", day="2026-02-03")
    third = desk.add("C", owner="bo", stage="Proposal", day="2026-03-03", amount=10_000_00)
    runs.run_period(desk.db, desk.pool, desk.ada, "2026-01")
    payouts.approve_period(desk.db, desk.ada, "2026-01")
    edit = BulkEdit(
        {"stage_id": desk.stages["Closed Won"], "owner_id": desk.company.users["bo"]}, filters=DealFilters()
    )
    found = desk.preview(edit)
    assert (found.aimed, found.changed, found.refused) == (3, 3, 0)
    assert rows(found.sample, "deal", "field", "before", "after") == [
        ("A", "Owner", "Ana", "Bo"),
        ("B", "Owner", "Ana", "Bo"),
        ("B", "Stage", "Proposal", "Closed Won"),
        ("C", "Stage", "Proposal", "Closed Won"),
    ]
    changes = {(person, period, status): difference for person, period, status, difference in rows(
        found.earnings.changes, "person", "period", "status", "difference")}  # fmt: skip
    assert changes["ana", "2026-01", "approved"] == -4_800_00
    assert changes["bo", "2026-01", "approved"] == 4_800_00
    assert changes["bo", "2026-03", ""] == 1_200_00  # beyond the quota of 100,000 with B
    assert desk.detail(second).stage == "Proposal"  # a preview keeps nothing

    assert desk.apply(edit, found.seen) == 3
    assert [(desk.detail(each).owner, desk.detail(each).stage) for each in (first, second, third)] == [
        ("Bo", "Closed Won")
    ] * 3
    assert list(desk.detail(second).stages["stage"]) == ["Proposal", "Closed Won"]
    assert rows(desk.detail(second).history, "who", "field", "before", "after", "via")[:2] == [
        ("Ada", "Owner", "Ana", "Bo", "edit 1"),
        ("Ada", "Stage", "Proposal", "Closed Won", "edit 1"),
    ]
    assert desk.detail(first).deal.version == 2
    assert [(each.what, each.deals, each.undone) for each in desk.edits()] == [
        ("Set Owner to Bo, Stage to Closed Won", 3, False)
    ]

    assert desk.apply(UndoEdit(1)) == 3
    assert [(desk.detail(each).owner, desk.detail(each).stage) for each in (first, second, third)] == [
        ("Ana", "Closed Won"),
        ("Ana", "Proposal"),
        ("Bo", "Proposal"),
    ]
    assert list(desk.detail(second).stages["stage"]) == ["Proposal", "Closed Won", "Proposal"]
    assert [(each.what, each.undone) for each in desk.edits()] == [
        ("Undid edit 1", False),
        ("Set Owner to Bo, Stage to Closed Won", True),
    ]
    with pytest.raises(QuotaPathError, match="Edit 1 is undone already, by edit 2"):
        desk.apply(UndoEdit(1), "")
    assert desk.apply(UndoEdit(2)) == 3  # an undo is undone
    assert desk.detail(second).stage == "Closed Won"
    with desk.db.read() as conn:
        audited = conn.execute(sa.text("SELECT object, detail FROM audit WHERE object LIKE 'deal edit %' ORDER BY id"))
        assert [(row.object, row.detail["deals"]) for row in audited] == [
            (f"deal edit {number}", 3) for number in (1, 2, 3)
        ]


def test_what_cannot_be_changed_is_said_and_left_out_only_when_asked(desk):
    fine = desk.add("A fine one", stage="Proposal")
    desk.add("B no amount", stage="Proposal", amount=None)
    desk.add("C cancelled", cancelled_on=date(2026, 2, 1))
    desk.add("D won")
    won = BulkEdit({"stage_id": desk.stages["Closed Won"]}, filters=DealFilters())
    found = desk.preview(won)
    assert (found.aimed, found.changed, found.refused, found.conflict) == (4, 1, 1, False)
    assert rows(found.obstacles, "deal", "reason") == [("B no amount", "has no amount, and a won deal needs one.")]
    assert found.notes == ("2 deals are so already and stay.",)
    assert found.earnings.changes["difference"].sum() == 7_200_00 + 600_00  # past the quota, and Mia's 1%
    with pytest.raises(ProblemsError, match="B no amount: has no amount") as caught:
        desk.apply(won, found.seen)
    assert len(caught.value.problems) == 1
    assert desk.detail(fine).stage == "Proposal"
    assert desk.apply(won, found.seen, leave_out=True) == 1
    assert desk.detail(fine).stage == "Closed Won"

    lost = desk.preview(BulkEdit({"stage_id": desk.stages["Closed Lost"]}, filters=DealFilters(text="cancelled")))
    assert rows(lost.obstacles, "reason") == [("was cancelled on 2026-02-01, and only a won deal can be.",)]
    late = desk.preview(BulkEdit({"close_date": date(2026, 2, 2)}, filters=DealFilters(text="cancelled")))
    assert rows(late.obstacles, "reason") == [("was cancelled on 2026-02-01, before the close date.",)]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "Nothing is set"),
        ({"amount": 5}, "Nothing is set"),
        ({"stage_id": 99}, "no such pipeline stage"),
        ({"owner_id": 99}, "no person number 99"),
        ({"close_date": date(1980, 1, 1)}, "outside the years"),
        ({"product": "x" * 201}, "has 201 characters"),
    ],
)
def test_values_that_no_deal_can_have(desk, values, said):
    desk.add("A")
    with pytest.raises(ProblemsError, match=said):
        desk.preview(BulkEdit(values, filters=DealFilters()))


@pytest.mark.parametrize("role", ["finance", "manager", "rep"])
def test_only_an_admin_edits_many(desk, role):
    other = Actor(desk.company.users["ana"], role, "Ana")
    edit = BulkEdit({"type": "x"}, filters=DealFilters())
    for attempt in (
        lambda: deal_edits.preview_edit(desk.db, desk.pool, other, edit, TODAY),
        lambda: deal_edits.apply_edit(desk.db, other, edit, "", TODAY),
        lambda: deal_edits.list_edits(desk.db, other),
    ):
        with pytest.raises(Forbidden):
            attempt()


def test_the_chosen_rows_alone_and_a_split_owner_is_noted(desk):
    shares = ((desk.company.users["ana"], 500_000), (desk.company.users["bo"], 500_000))
    first, second = desk.add("A", credits=shares), desk.add("B")
    edit = BulkEdit({"owner_id": desk.company.users["bo"]}, deal_ids=(first,))
    found = desk.preview(edit)
    assert found.notes == (
        "1 of them is split: a new owner does not change who is credited. Change the credits on the deal.",
    )
    assert found.earnings.changes.empty
    assert desk.apply(edit) == 1
    assert (desk.detail(first).owner, desk.detail(second).owner) == ("Bo", "Ana")
    assert desk.detail(first).deal.fields.credits == shares


def test_somebody_was_faster_nothing_is_saved_and_the_person_is_named(desk):
    first, second = desk.add("A"), desk.add("B")
    edit = BulkEdit({"type": "Renewal"}, filters=DealFilters())
    seen = desk.preview(edit).seen
    fields = desk.detail(second).deal.fields
    deals.edit_deal(desk.db, desk.company.actors["ada"], second, 1, dataclasses.replace(fields, amount=5))
    with pytest.raises(QuotaPathError, match=r"latest change is by Ada, of B \(.*Nothing was saved"):
        desk.apply(edit, seen)
    assert desk.detail(first).deal.fields.type == "New"

    typed = TableEdit((RowEdit(first, 1, {"type": "Upsell"}), RowEdit(second, 1, {"amount": 7})))
    found = desk.preview(typed)
    assert (found.changed, found.refused, found.conflict) == (1, 1, True)
    with pytest.raises(ProblemsError, match=r"B: was changed by Ada \("):
        desk.apply(typed, found.seen, leave_out=True)  # a conflict is never left out in silence
    deals.delete_deal(desk.db, desk.ada, second, 2)
    with pytest.raises(ProblemsError, match="was deleted meanwhile"):
        desk.apply(typed, found.seen)
    assert desk.detail(first).deal.version == 1


def test_rows_typed_in_the_table(desk):
    first, second = desk.add("A"), desk.add("B", amount=None, stage="Proposal")
    typed = TableEdit(
        (
            RowEdit(first, 1, {"amount": 50_000_01, "name": "A2", "close_date": date(2026, 2, 1)}),
            RowEdit(second, 1, {"product": "Core", "cancelled_on": None}),
        )
    )
    found = desk.preview(typed)
    assert rows(found.sample, "deal", "field", "before", "after") == [
        ("A", "Name", "A", "A2"),
        ("A", "Amount", "60,000.00 USD", "50,000.01 USD"),
        ("A", "Close date", "2026-01-20", "2026-02-01"),
        ("B", "Product", "–", "Core"),
    ]
    assert desk.apply(typed, found.seen) == 2
    assert desk.detail(first).deal.fields.amount == 50_000_01
    with pytest.raises(ProblemsError) as caught:
        desk.preview(TableEdit((RowEdit(first, 2, {"amount": None}), RowEdit(second, 2, {"name": "", "owner_id": 77}))))
    assert [str(problem).split(".")[0] for problem in caught.value.problems] == [
        "A2: amount: is empty, but the deal is won",
        "B: name: is empty",
        "B: owner: there is no person number 77",
    ]
    assert desk.apply(UndoEdit(1)) == 2
    assert desk.detail(first).deal.fields == dataclasses.replace(
        desk.detail(first).deal.fields, name="A", amount=60_000_00
    )


def test_an_undo_is_refused_whole_when_one_deal_was_changed_since(desk):
    first, second, third = (desk.add(name) for name in "ABC")
    edit = BulkEdit({"type": "Renewal", "product": "Core"}, filters=DealFilters())
    assert desk.apply(edit) == 3

    def correct(deal_id, **changes):
        found = desk.detail(deal_id).deal
        deals.edit_deal(desk.db, desk.ada, deal_id, found.version, dataclasses.replace(found.fields, **changes))

    correct(first, account="Acme")  # another field: it may stay
    correct(second, product="Edge")
    found = desk.preview(UndoEdit(1))
    assert (found.changed, found.refused, found.conflict) == (2, 1, True)
    assert found.earnings is None
    with pytest.raises(ProblemsError, match="B: was changed since, by Ada") as caught:
        desk.apply(UndoEdit(1), found.seen, leave_out=True)
    assert len(caught.value.problems) == 1
    assert [desk.detail(each).deal.fields.type for each in (first, second, third)] == ["Renewal"] * 3
    correct(second, product="Core")
    deals.delete_deal(desk.db, desk.ada, third, 2)
    assert desk.preview(UndoEdit(1)).notes == ("1 of its deals was deleted since and cannot come back.",)
    assert desk.apply(UndoEdit(1)) == 2
    assert [desk.detail(each).deal.fields.product for each in (first, second)] == [""] * 2
    assert desk.detail(first).deal.fields.account == "Acme"
    with pytest.raises(QuotaPathError, match="There is no edit 9"):
        desk.preview(UndoEdit(9))


def test_two_edits_of_the_same_deals_at_once_one_wins_and_nothing_is_lost(desk):
    ids = [desk.add(f"Deal {number}") for number in range(20)]
    edits = [BulkEdit({"product": name}, filters=DealFilters()) for name in ("One", "Two")]
    seen = [desk.preview(edit).seen for edit in edits]
    ready, told, done = threading.Barrier(3), [], []

    def run(act):
        ready.wait()
        try:
            done.append(act())
        except QuotaPathError as error:
            told.append(str(error))

    one = desk.detail(ids[7]).deal
    threads = [
        threading.Thread(target=run, args=(lambda at=at: desk.apply(edits[at], seen[at]),)) for at in range(2)
    ] + [
        threading.Thread(
            target=run,
            args=(
                lambda: deals.edit_deal(
                    desk.db, desk.ada, one.id, one.version, dataclasses.replace(one.fields, product="Three")
                ),
            ),
        )
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(done), len(told)) == (1, 2), told
    assert all("Ada" in each for each in told)
    products = {desk.detail(each).deal.fields.product for each in ids}
    assert products in ({"One"}, {"Two"}, {"", "Three"})
    assert {desk.detail(each).deal.version for each in ids} <= {1, 2}

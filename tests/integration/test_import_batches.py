"""Past imports: what they did, undone whole or refused with the reasons; what is remembered is shown and forgotten."""

from dataclasses import replace
from datetime import date

import pytest
import sqlalchemy as sa

from engine.errors import ProblemsError, QuotaPathError
from engine.services import batches, deals, imports, payouts
from engine.services.access import Actor, Forbidden
from engine.services.imports import Upload, import_deals, preview_import

TODAY = date(2026, 11, 22)
ADMIN = Actor(1, "admin", "Ada")
HEADER = (
    "Opportunity ID,Opportunity Name,Account Name,Opportunity Owner,Stage,Amount,Close Date,Type,Region,Created Date\n"
)
FIRST = HEADER + (
    "D1,Acme renewal,Acme,Ana Torres,Closed Won,60000,2026-10-20,Renewal,EMEA,2026-01-05\n"
    "D2,Globex,Globex,Bo Li,Proposal,,2026-12-01,New,,\n"
)
# Every field of D1 changes, D2 gets a stage and an amount, D3 is new.
SECOND = HEADER + (
    'D1,Acme new,Acme Inc,Bo Li,Negotiation,70000,2026-10-21,New,"APAC ""x""\n2",2026-01-06\n'
    "D2,Globex,Globex,Bo Li,Closed Won,5,2026-12-01,New,,\n"
    "D3,Initech,Initech,Bo Li,Closed Lost,700.50,2026-10-05,New,APAC,\n"
)


def take(db, text, **options):
    return import_deals(db, ADMIN, preview_import(db, ADMIN, Upload(text.encode(), "deals.csv", **options))).import_id


def run(db, statement, **params):
    with db.write() as conn:
        conn.execute(sa.text(statement), params)


def all_deals(db):
    """Everything that a deal says, without what counts its changes."""
    query = """
        SELECT to_jsonb(d) - '{id,version,updated_at,created_at}'::text[] AS deal,
               (SELECT jsonb_agg(stage_id ORDER BY entered_at) FROM deal_stage_entries e WHERE e.deal_id = d.id)
          FROM deals d ORDER BY external_id
    """
    with db.read() as conn:
        return [tuple(row) for row in conn.execute(sa.text(query.replace("::", r"\:\:")))]


def deal_id(db, external_id):
    with db.read() as conn:
        return conn.scalar(sa.text("SELECT id FROM deals WHERE external_id = :id"), {"id": external_id})


def counted(db, table):
    with db.read() as conn:
        return conn.scalar(sa.text(f"SELECT count(*) FROM {table}"))


def calculated(db, external_id, status="open"):
    """A run of October with a line on the deal, of a period in that state."""
    run(
        db,
        """
        INSERT INTO plans (name, title) VALUES ('ae', 'AE');
        INSERT INTO plan_versions (plan_id, effective_from, document, hash, status, published_at)
            VALUES (1, '2026-01-01', '', '', 'published', now());
        INSERT INTO pay_periods (period, kind, start_date, end_date)
            VALUES ('2026-10', 'month', '2026-10-01', '2026-11-01');
        INSERT INTO runs (period, ledger_seen, inputs_hash, lines_hash, engine_version, interpreter, deals, lines,
                          created_by)
            VALUES ('2026-10', 0, '', '', '0', 'x', 1, 1, 1);
        INSERT INTO lines (run_id, user_id, plan_version_id, component, deal_id, kind, period, origin_period, amount,
                           currency, working)
            SELECT 1, owner_id, 1, 'nb', id, 'earned', '2026-10', '2026-10', 100, 'USD', '{}' FROM deals
             WHERE external_id = :id;
        UPDATE pay_periods SET run_id = 1, status = :status;
        """,
        id=external_id,
        status=status,
    )


def test_an_import_is_undone_to_the_letter(db):
    take(db, FIRST)
    before = all_deals(db)
    second = take(db, SECOND)
    assert [row[0]["external_id"] for row in all_deals(db)] == ["D1", "D2", "D3"]
    assert all_deals(db)[:2] != before

    assert batches.undo_import(db, ADMIN, second) == batches.Undone(deleted=1, restored=2)
    assert all_deals(db) == before
    history = deals.deal_detail(db, ADMIN, deal_id(db, "D2"), TODAY).history
    stages = history[history["field"] == "Stage"]
    assert [tuple(row) for row in stages[["who", "before", "after"]].itertuples(index=False)] == [
        ("Ada", "Closed Won", "Proposal"),
        ("Ada", "Proposal", "Closed Won"),
    ]
    with db.read() as conn:
        detail = conn.scalar(sa.text("SELECT detail FROM audit ORDER BY id DESC LIMIT 1"))
    assert detail == {"undone": "deals.csv", "deleted": 1, "restored": 2, "run_again": []}
    listed = imports.list_imports(db, ADMIN)
    assert list(listed["undone_at"].notna()) == [True, False]

    # Twice is once, and the file can come in again.
    assert batches.undo_import(db, ADMIN, second) == batches.Undone(0, 0)
    assert all_deals(db) == before
    assert not any("very file" in note for note in preview_import(db, ADMIN, Upload(SECOND.encode(), "x.csv")).notes)
    third = take(db, SECOND)
    batches.undo_import(db, ADMIN, third)
    assert [(row[0] | {"import_id": 0}, row[1]) for row in all_deals(db)] == [
        (row[0] | {"import_id": 0}, row[1]) for row in before
    ]


def test_imports_are_undone_from_the_last_to_the_first(db):
    first, second = take(db, FIRST), take(db, SECOND)
    with pytest.raises(
        ProblemsError, match=r"2 deals: were changed after the import: D1 Acme new \(Ada, 20.*would be lost"
    ):
        batches.undo_import(db, ADMIN, first)
    batches.undo_import(db, ADMIN, second)
    # The undoing itself is a later change; the deals are what the first import made of them.
    batches.undo_import(db, ADMIN, first)
    assert all_deals(db) == []
    assert counted(db, "deal_changes") == counted(db, "deal_stage_entries") == 0


def test_what_changed_since_is_named_and_nothing_is_undone(db):
    take(db, FIRST)
    second = take(db, SECOND)
    found = deals.deal_detail(db, ADMIN, deal_id(db, "D3"), TODAY).deal
    deals.edit_deal(db, ADMIN, found.id, found.version, replace(found.fields, name="Initech 2"))
    now = all_deals(db)
    with pytest.raises(ProblemsError, match=r"1 deal: was changed after the import: D3 Initech 2 \(Ada, 20"):
        batches.undo_import(db, ADMIN, second)
    assert all_deals(db) == now
    assert imports.list_imports(db, ADMIN)["undone_at"].isna().all()


@pytest.mark.parametrize("status", ["approved", "paid"])
@pytest.mark.parametrize("deal", ["D1", "D3"], ids=["changed", "added"])
def test_what_is_approved_or_paid_is_not_undone(db, status, deal):
    take(db, FIRST)
    second = take(db, SECOND)
    calculated(db, deal, status)
    with pytest.raises(
        ProblemsError, match=rf"1 deal: has earnings in a closed period: {deal} .*2026-10.*Cancelled on"
    ) as told:
        batches.undo_import(db, ADMIN, second)
    assert len(told.value.problems) == 1
    assert len(all_deals(db)) == 3


def test_an_open_period_that_was_run_with_the_deals_must_be_run_again(db):
    take(db, FIRST)
    second = take(db, SECOND)
    calculated(db, "D3")
    assert batches.periods_to_run(db, ADMIN, batches.find_import(db, ADMIN, second)) == ["2026-10"]
    assert batches.undo_import(db, ADMIN, second) == batches.Undone(deleted=1, restored=2, periods=("2026-10",))
    assert [row[0]["external_id"] for row in all_deals(db)] == ["D1", "D2"]
    with db.read() as conn:
        assert conn.execute(sa.text("SELECT period, status, run_id FROM pay_periods")).all() == [
            ("2026-10", "open", None)
        ]
    assert counted(db, "lines") == 1  # what the run said stays, though no period shows it
    with pytest.raises(QuotaPathError, match="2026-10"):
        payouts.approve_period(db, ADMIN, "2026-10")
    undone = batches.find_import(db, ADMIN, second)
    assert batches.periods_to_run(db, ADMIN, undone) == ["2026-10"]
    run(db, "UPDATE pay_periods SET run_id = 1")  # run again
    assert batches.periods_to_run(db, ADMIN, undone) == []


def test_a_run_of_deals_that_are_only_put_back_stays_shown(db):
    take(db, FIRST)
    second = take(db, SECOND)
    calculated(db, "D1")
    assert batches.periods_to_run(db, ADMIN, batches.find_import(db, ADMIN, second)) == []
    assert batches.undo_import(db, ADMIN, second).periods == ()
    assert batches.periods_to_run(db, ADMIN, batches.find_import(db, ADMIN, second)) == []


def test_the_database_keeps_a_deal_under_a_shown_line(db):
    take(db, FIRST)
    calculated(db, "D1")
    with pytest.raises(sa.exc.IntegrityError, match="earnings stand on deal"):
        run(db, "DELETE FROM deals WHERE external_id = 'D1'")
    run(db, "DELETE FROM deals WHERE external_id = 'D2'")
    # Nor is a line written on a deal that is gone.
    with pytest.raises(sa.exc.IntegrityError, match="deal 99 was deleted while"):
        run(
            db,
            """
            INSERT INTO lines (run_id, user_id, plan_version_id, component, deal_id, kind, period, origin_period,
                               amount, currency, working)
                VALUES (1, 1, 1, 'nb', 99, 'earned', '2026-10', '2026-10', 1, 'USD', '{}')
            """,
        )


def test_activities_on_a_new_deal_are_not_deleted_with_it(db):
    first = take(db, FIRST)
    run(
        db,
        "INSERT INTO activities (kind, user_id, deal_id, subject, happened_at) VALUES ('call', 2, :id, 'Hi', now())",
        id=deal_id(db, "D2"),
    )
    with pytest.raises(ProblemsError, match=r"that the import added has activities: D2 Globex \(1 logged\)"):
        batches.undo_import(db, ADMIN, first)


def test_a_deal_deleted_since_is_counted(db):
    first = take(db, FIRST)
    deals.delete_deal(db, ADMIN, deal_id(db, "D2"), 1)
    with pytest.raises(ProblemsError, match="1 deal: of this import cannot be taken back: deleted since"):
        batches.undo_import(db, ADMIN, first)


def test_the_rows_of_an_import_can_be_looked_at(db):
    take(db, FIRST)
    second = take(db, SECOND)
    batch = batches.find_import(db, ADMIN, second)
    assert (batch.added, batch.changed, batch.filename, list(batch.months)) == (
        1,
        2,
        "deals.csv",
        ["2026-12", "2026-10"],
    )
    added = batches.import_rows(db, ADMIN, second, added=True)
    assert [tuple(row) for row in added[["external_id", "owner", "stage", "amount"]].itertuples(index=False)] == [
        ("D3", "Bo Li", "Closed Lost", 700_50)
    ]
    changed = batches.import_rows(db, ADMIN, second, added=False)
    assert list(changed["external_id"]) == ["D1", "D2"]
    assert changed["what"][1] == "Amount: – → 5.00 USD; Stage: Proposal → Closed Won"
    assert list(batches.import_rows(db, ADMIN, second, added=False, limit=1, offset=1)["external_id"]) == ["D2"]
    with pytest.raises(QuotaPathError, match="no import number 99"):
        batches.find_import(db, ADMIN, 99)


def test_what_is_remembered_is_shown_and_forgotten(db):
    text = FIRST.replace("Bo Li", "Bobby").replace("Proposal", "Talking")
    take(db, text, owners={"Bobby": 3}, stages={"Talking": 2})
    (found,) = batches.remembered(db, ADMIN)
    assert found.source == "salesforce"
    assert ("owner", "Owner", "Opportunity Owner") in found.columns
    assert (found.owners, found.stages) == ((("bobby", "Bo Li"),), (("talking", "Qualification"),))
    batches.forget(db, ADMIN, "salesforce", "owners", "bobby")
    batches.forget(db, ADMIN, "salesforce", "mapping", "owner")
    batches.forget(db, ADMIN, "salesforce", "owners", "nobody")
    (found,) = batches.remembered(db, ADMIN)
    assert found.owners == ()
    assert "owner" not in {name for name, _, _ in found.columns}
    preview = preview_import(db, ADMIN, Upload(text.encode(), "deals.csv"))
    assert [each.value for each in preview.unknown] == ["Bobby"]
    with db.read() as conn:
        told = conn.scalars(sa.text("SELECT detail->'forgotten' FROM audit WHERE detail ? 'forgotten' ORDER BY id"))
        assert list(told) == [{"owners": "bobby"}, {"mapping": "owner"}]


@pytest.mark.parametrize("role", ["finance", "manager", "rep"])
def test_only_an_admin_looks_and_undoes(db, role):
    first = take(db, FIRST)
    actor = Actor(2, role, "Ana")
    for attempt in (
        lambda: batches.find_import(db, actor, first),
        lambda: batches.import_rows(db, actor, first, added=True),
        lambda: batches.undo_import(db, actor, first),
        lambda: batches.periods_to_run(db, actor, batches.find_import(db, ADMIN, first)),
        lambda: batches.remembered(db, actor),
        lambda: batches.forget(db, actor, "salesforce", "mapping", "owner"),
    ):
        with pytest.raises(Forbidden):
            attempt()
    assert len(all_deals(db)) == 2

"""A CRM file into a real PostgreSQL: preview, all or nothing, twice is once, refusals, answers remembered."""

import csv
import io
import threading
from dataclasses import replace
from datetime import date

import pytest
import sqlalchemy as sa

from engine import sheets
from engine.db import deal_imports
from engine.errors import QuotaPathError
from engine.services import deals, imports
from engine.services.access import Actor, Forbidden
from engine.services.deal_fields import DealField, define_field
from engine.services.deals import DealFields, DealFilters, Page
from engine.services.imports import Upload, import_deals, preview_import

TODAY = date(2026, 11, 22)
ADMIN = Actor(1, "admin", "Ada")
TABLES = ("deals", "deal_changes", "deal_stage_entries", "imports", "import_refusals", "import_mappings", "audit")
HEADER = "Opportunity ID,Opportunity Name,Account Name,Opportunity Owner,Stage,Amount,Close Date,Type,Region\n"
GOOD = HEADER + (
    'D1,Acme renewal,Acme,Ana Torres,Closed Won,"$60,000",2026-10-20,Renewal,EMEA\n'
    "D2,Globex,Globex,bo@x.io,Proposal,,2026-12-01,New,\n"
    "D3,Initech,Initech,Bo Li,Closed Lost,700.50,2026-10-05,New,APAC\n"
)


def upload(text, filename="deals.csv", **options):
    return Upload(text.encode() if isinstance(text, str) else text, filename, **options)


def take(db, text, *, accept_refused=False, **options):
    return import_deals(db, ADMIN, preview_import(db, ADMIN, upload(text, **options)), accept_refused=accept_refused)


def figures(found):
    return (found.counts.added, found.counts.changed, found.counts.unchanged, found.refused_count)


def counted(db):
    with db.read() as conn:
        return {name: conn.scalar(sa.text(f"SELECT count(*) FROM {name}")) for name in TABLES}


def kept(db, external_id):
    with db.read() as conn:
        deal_id = conn.scalar(sa.text("SELECT id FROM deals WHERE external_id = :id"), {"id": external_id})
    return deals.deal_detail(db, ADMIN, deal_id, TODAY)


def changes(found):
    return sorted(
        tuple(row) for row in found.changed[["external_id", "field", "before", "after"]].itertuples(index=False)
    )


# ---------------------------------------------------------------- the way it should go
def test_new_deals_come_in_whole(db):
    preview = preview_import(db, ADMIN, upload(GOOD))
    assert figures(preview) == (3, 0, 0, 0)
    assert preview.upload.source == "salesforce"
    assert list(preview.added["owner"]) == ["Ana Torres", "Bo Li", "Bo Li"]
    assert list(preview.added["amount"])[::2] == [60_000_00, 700_50]
    assert counted(db)["deals"] == 0  # a preview keeps nothing

    result = import_deals(db, ADMIN, preview)
    assert (result.added, result.changed, result.unchanged, result.refused) == (3, 0, 0, 0)
    assert result.months == ("2026-12", "2026-10")
    found = kept(db, "D1")
    assert found.deal.fields == DealFields(
        name="Acme renewal", account="Acme", owner_id=2, stage_id=5, amount=60_000_00, currency="USD",
        close_date=date(2026, 10, 20), type="Renewal",
    )  # fmt: skip
    assert found.deal.extra == {"Region": "EMEA"}
    assert list(found.stages["stage"]) == ["Closed Won"]
    assert list(found.history[["who", "via", "field", "after"]].iloc[0]) == [
        "Ada",
        "deals.csv",
        "Created",
        "salesforce",
    ]
    assert kept(db, "D2").deal.fields.amount is None
    assert list(imports.list_imports(db, ADMIN)["added"]) == [3]


def test_the_same_file_again_changes_nothing(db):
    take(db, GOOD)
    before = counted(db)
    preview = preview_import(db, ADMIN, upload(GOOD))
    assert figures(preview) == (0, 0, 3, 0)
    assert any("This very file was imported on" in note for note in preview.notes)
    result = import_deals(db, ADMIN, preview)
    assert (result.added, result.changed, result.unchanged, result.months) == (0, 0, 3, ())
    after = counted(db)
    assert {name: after[name] - before[name] for name in TABLES if after[name] != before[name]} == {
        "imports": 1,
        "audit": 1,
    }
    assert kept(db, "D1").deal.version == 1


def test_an_old_preview_does_no_harm(db):
    preview = preview_import(db, ADMIN, upload(GOOD))
    take(db, GOOD)
    result = import_deals(db, ADMIN, preview)
    assert (result.added, result.unchanged) == (0, 3)


def test_changes_are_shown_field_by_field_and_kept_with_history(db):
    take(db, GOOD)
    again = (
        GOOD.replace("Proposal,,2026-12-01", "Closed Won,1200,2026-11-20").replace("EMEA", "DACH").replace(",APAC", ",")
    )
    preview = preview_import(db, ADMIN, upload(again))
    assert figures(preview) == (0, 3, 0, 0)
    assert changes(preview) == [
        ("D1", "Region", "EMEA", "DACH"),
        ("D2", "Amount", "–", "1,200.00 USD"),
        ("D2", "Close date", "2026-12-01", "2026-11-20"),
        ("D2", "Stage", "Proposal", "Closed Won"),
        ("D3", "Region", "APAC", "–"),
    ]
    result = import_deals(db, ADMIN, preview)
    assert (result.changed, result.months) == (3, ("2026-12", "2026-11", "2026-10"))
    found = kept(db, "D2")
    assert (found.deal.fields.amount, found.deal.version) == (1200_00, 2)
    assert list(found.stages["stage"]) == ["Proposal", "Closed Won"]
    assert set(found.history["field"]) == {"Amount", "Close date", "Stage", "Created"}
    assert kept(db, "D3").deal.extra == {}
    assert list(kept(db, "D1").stages["stage"]) == ["Closed Won"]


def test_what_the_file_does_not_say_stays_and_a_blank_cell_clears(db):
    take(
        db,
        "Deal ID,Deal Name,Account,Owner,Stage,Amount,Currency,Close Date,"
        "Type,Product,Segment,Margin,Quantity,Term,A,B\n"
        "D1,Acme,Acme Inc,Ana Torres,Closed Won,100,EUR,2026-10-20,New,Core,SMB,40,2.5,12,a,b\n",
        source="other",
    )
    deal_id = kept(db, "D1").deal.id
    fields = replace(kept(db, "D1").deal.fields, cancelled_on=date(2026, 11, 1), credits=((2, 600000), (3, 400000)))
    deals.edit_deal(db, ADMIN, deal_id, 1, fields)
    narrow = "Deal ID,Owner,Stage,Amount,Close Date,Product,A\nD1,Ana Torres,Closed Won,100,2026-10-20,,\n"
    preview = preview_import(db, ADMIN, upload(narrow, source="other"))
    assert changes(preview) == [("D1", "A", "a", "–"), ("D1", "Product", "Core", "–")]
    import_deals(db, ADMIN, preview)
    assert kept(db, "D1").deal.fields == replace(fields, product="")
    assert kept(db, "D1").deal.extra == {"B": "b"}


def test_a_currency_column_or_sign_changes_the_currency(db):
    row = "D1,Ana Torres,Closed Won,{},2026-10-20\n"
    head = "Deal ID,Owner,Stage,Amount,Close Date\n"
    take(db, head + row.format("€100"), source="other")
    assert kept(db, "D1").deal.fields.currency == "EUR"
    take(db, head + row.format("120"), source="other")  # says no currency: the deal's stays
    assert (kept(db, "D1").deal.fields.amount, kept(db, "D1").deal.fields.currency) == (120_00, "EUR")
    take(db, head + row.format("£120"), source="other")
    assert kept(db, "D1").deal.fields.currency == "GBP"
    take(db, head.replace("Amount", "Amount,Currency") + row.format("500,JPY"), source="other")
    assert (kept(db, "D1").deal.fields.amount, kept(db, "D1").deal.fields.currency) == (500, "JPY")
    # 120.50 is no amount in yen: without a word about the currency it is the company's.
    take(db, head + row.format("120.50"), source="other")
    assert (kept(db, "D1").deal.fields.amount, kept(db, "D1").deal.fields.currency) == (120_50, "USD")


def test_owners_and_stages_are_asked_once_and_remembered(db):
    text = HEADER + (
        "D1,One,Acme,Torres-Ruiz Ana,Signed,10,2026-10-20,New,\n"
        "D2,Two,Acme,,Signed,20,2026-10-20,New,\n"
        "D3,Three,Acme,Anna Torres,Closed Won,30,2026-10-20,New,\n"
    )
    preview = preview_import(db, ADMIN, upload(text))
    assert figures(preview) == (0, 0, 0, 3)
    asked = {(each.field, each.value): (each.count, each.suggestion) for each in preview.unknown}
    assert asked == {
        ("owner", "Torres-Ruiz Ana"): (1, None),
        ("owner", ""): (1, None),
        ("owner", "Anna Torres"): (1, 2),
        ("stage", "Signed"): (2, None),
    }
    with pytest.raises(QuotaPathError, match="Every row of the file is refused"):
        import_deals(db, ADMIN, preview, accept_refused=True)

    answered = replace(preview.upload, owners={"Torres-Ruiz Ana": 2, "": 3, "Anna Torres": 2}, stages={"Signed": 5})
    preview = preview_import(db, ADMIN, answered)
    assert figures(preview) == (3, 0, 0, 0)
    import_deals(db, ADMIN, preview)
    assert [kept(db, each).owner for each in ("D1", "D2", "D3")] == ["Ana Torres", "Bo Li", "Ana Torres"]

    later = preview_import(db, ADMIN, upload(text.replace(",10,", ",11,")))
    assert figures(later) == (0, 1, 2, 0)
    assert later.remembered[("owner", "anna torres")] == 2
    assert later.remembered[("stage", "signed")] == 5


def test_a_corrected_mapping_is_remembered(db):
    text = "Ref,Who,State,Booked,ACV,Day,Name\n1,Ana Torres,won,100,200,2026-10-20,Acme\n"
    preview = preview_import(db, ADMIN, upload(text, source="erp"))
    assert {problem.path for problem in preview.problems} >= {"Owner", "Close date"}
    mapping = {
        "external_id": "Ref", "owner": "Who", "stage": "State", "amount": "ACV", "close_date": "Day", "name": "Name",
    }  # fmt: skip
    preview = preview_import(db, ADMIN, replace(preview.upload, mapping=mapping))
    import_deals(db, ADMIN, preview)
    assert kept(db, "1").deal.fields.amount == 200_00
    assert kept(db, "1").deal.extra == {"Booked": "100"}
    again = preview_import(db, ADMIN, upload(text, source="ERP "))
    assert again.upload.mapping == mapping
    assert figures(again) == (0, 0, 1, 0)
    assert imports.known_sources(db, ADMIN) == ["salesforce", "hubspot", "other", "erp"]


def test_a_field_of_the_company_is_kept_as_it_is_always_written(db):
    define_field(db, ADMIN, DealField("Robots", "number"))
    define_field(db, ADMIN, DealField("Go live", "date"))
    define_field(db, ADMIN, DealField("Segment size", "choice", ("Small", "Large")))
    text = (
        "Opportunity ID;Name;Owner;Stage;Amount;Close Date;Robots;Go live;Segment size\n"
        'D1;Acme;Ana Torres;Closed Won;"1.000,50";28.10.2026;"1.200,5";13.11.2026;large\n'
        'D2;Globex;Bo Li;Proposal;"2.000,00";29.10.2026;a few;;Small\n'
    )
    preview = preview_import(db, ADMIN, upload(text))
    assert (preview.problems, preview.questions) == ((), ())
    assert preview.warnings == ("Line 3 has a text in Robots that is no number; it is kept as it is.",)
    take(db, text)
    assert dict(kept(db, "D1").deal.extra) == {"Robots": "1200.5", "Go live": "2026-11-13", "Segment size": "Large"}
    assert dict(kept(db, "D2").deal.extra) == {"Robots": "a few", "Segment size": "Small"}
    assert figures(preview_import(db, ADMIN, upload(text))) == (0, 0, 2, 0)


def test_an_ambiguous_date_is_asked(db):
    text = (
        GOOD.replace("2026-10-20", "03/04/2026").replace("2026-12-01", "05/06/2026").replace("2026-10-05", "01/02/2026")
    )
    preview = preview_import(db, ADMIN, upload(text))
    assert [question.key for question in preview.questions] == ["date_order"]
    assert not preview.ready
    with pytest.raises(QuotaPathError, match="not settled"):
        import_deals(db, ADMIN, preview)
    take(db, text, answers={"date_order": "day_first"})
    assert kept(db, "D1").deal.fields.close_date == date(2026, 4, 3)


# ---------------------------------------------------------------- refused rows
MIXED = GOOD + (
    "D4,Nobody's,Acme,Zed Who,Closed Won,5,2026-10-20,New,\n"
    'D5,=HYPERLINK("http://x"),Acme,Ana Torres,Closed Won,5,2026-02-30,New,\n'
)


def test_good_rows_do_not_go_in_silently_beside_bad_ones(db):
    preview = preview_import(db, ADMIN, upload(MIXED))
    assert figures(preview) == (3, 0, 0, 2)
    assert [tuple(row) for row in preview.refused[["line", "column", "value"]].itertuples(index=False)] == [
        (5, "Opportunity Owner", "Zed Who"),
        (6, "Close Date", "2026-02-30"),
    ]
    with pytest.raises(QuotaPathError, match="2 rows are refused.*Nothing was imported"):
        import_deals(db, ADMIN, preview)
    assert set(counted(db).values()) == {0}

    result = import_deals(db, ADMIN, preview, accept_refused=True)
    assert (result.added, result.refused) == (3, 2)
    for content in (
        imports.refused_rows(db, ADMIN, preview.upload),
        imports.past_refusals(db, ADMIN, result.import_id),
    ):
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
        assert rows[0] == ["Line", "Reason", "What to do", *HEADER.strip().split(",")]
        assert [row[0] for row in rows[1:]] == ["5", "6"]
        assert "Zed Who" in rows[1][1]
        assert rows[2][4].startswith("'=HYPERLINK")  # harmless in a spreadsheet


def test_corrected_refusals_come_in_without_our_columns(db):
    preview = preview_import(db, ADMIN, upload(MIXED))
    import_deals(db, ADMIN, preview, accept_refused=True)
    mended = imports.refused_rows(db, ADMIN, preview.upload).decode("utf-8-sig")
    mended = mended.replace("Zed Who", "Bo Li").replace("2026-02-30", "2026-02-28")
    preview = preview_import(db, ADMIN, upload(mended, "mended.csv"))
    # The reasons name the old values, but say nothing of the deal.
    assert figures(preview) == (2, 0, 0, 0)
    import_deals(db, ADMIN, preview)
    assert kept(db, "D4").deal.extra == {}


def test_more_refused_than_agreed_to_is_not_agreed_to(db):
    preview = preview_import(db, ADMIN, upload(MIXED))
    with db.write() as conn:
        conn.execute(sa.text("UPDATE users SET name = 'Bo Long', email = 'long@x.io' WHERE code = 'bo'"))
    with pytest.raises(QuotaPathError, match="4 rows are refused now, not 2"):
        import_deals(db, ADMIN, preview, accept_refused=True)
    assert counted(db)["deals"] == 0


def test_a_close_date_after_the_cancellation_is_refused_with_the_reason(db):
    take(db, GOOD)
    found = kept(db, "D1").deal
    deals.edit_deal(db, ADMIN, found.id, 1, replace(found.fields, cancelled_on=date(2026, 10, 25)))
    preview = preview_import(db, ADMIN, upload(GOOD.replace("2026-10-20", "2026-10-30")))
    assert figures(preview) == (0, 0, 2, 1)
    assert preview.refused["reason"][0] == "The deal was cancelled on 2026-10-25, before this close date."
    result = import_deals(db, ADMIN, preview, accept_refused=True)
    assert (result.changed, result.unchanged, result.refused) == (0, 2, 1)
    assert kept(db, "D1").deal.fields.close_date == date(2026, 10, 20)


def test_closed_periods_are_named(db):
    with db.write() as conn:
        conn.execute(
            sa.text("""
                INSERT INTO pay_periods (period, kind, start_date, end_date) VALUES
                    ('2026-10', 'month', '2026-10-01', '2026-11-01'), ('2026-11', 'month', '2026-11-01', '2026-12-01');
                INSERT INTO runs (period, ledger_seen, inputs_hash, lines_hash, engine_version, interpreter, deals,
                                  lines, created_by) VALUES ('2026-10', 0, '', '', '0', 'x', 0, 0, 1);
                UPDATE pay_periods SET run_id = 1, status = 'approved' WHERE period = '2026-10';
            """)
        )
    assert preview_import(db, ADMIN, upload(GOOD)).closed_periods == ("2026-10",)
    assert take(db, GOOD).closed_periods == ("2026-10",)
    assert preview_import(db, ADMIN, upload(GOOD)).closed_periods == ()


def test_the_same_ids_from_another_source_are_pointed_out(db):
    take(db, GOOD)
    preview = preview_import(db, ADMIN, upload(GOOD, source="other"))
    assert any("3 new deals have the ID of a deal from salesforce" in each for each in preview.warnings)


@pytest.mark.parametrize("source", ["manual", " Manual ", "x" * 51])
def test_sources_that_cannot_be(db, source):
    with pytest.raises(QuotaPathError, match="cannot be the name of a source"):
        preview_import(db, ADMIN, upload(GOOD, source=source))


# ---------------------------------------------------------------- two at once
def test_two_uploads_at_once_do_not_double(db):
    preview = preview_import(db, ADMIN, upload(GOOD))
    results, ready = [], threading.Barrier(2)

    def go():
        ready.wait()
        results.append(import_deals(db, ADMIN, preview))

    threads = [threading.Thread(target=go) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.added for result in results) == [0, 3]
    assert counted(db)["deals"] == 3


def test_an_edit_in_the_middle_of_an_import_undoes_the_import(db, monkeypatch):
    take(db, GOOD)
    found = kept(db, "D1").deal
    preview = preview_import(db, ADMIN, upload(GOOD.replace("60,000", "70,000")))
    remaining = deal_imports.add_import

    def edited_meanwhile(*arguments):
        deals.edit_deal(db, ADMIN, found.id, found.version, replace(found.fields, name="Edited"))
        return remaining(*arguments)

    monkeypatch.setattr(deal_imports, "add_import", edited_meanwhile)
    with pytest.raises(QuotaPathError, match="at the same moment, so nothing was imported"):
        import_deals(db, ADMIN, preview)
    assert (kept(db, "D1").deal.fields.name, kept(db, "D1").deal.fields.amount) == ("Edited", 60_000_00)
    assert len(imports.list_imports(db, ADMIN)) == 1


# ---------------------------------------------------------------- files that are no deal export
LATIN = GOOD.replace("Acme", "Société Générale").encode("cp1252")
UNREADABLE = {
    "an empty file": (b"", "The file is empty"),
    "only white space": (b"\r\n  \n", "The file is empty"),
    "a PDF named .csv": (b"%PDF-1.7\n1 0 obj <</Type /Catalog>> endobj\n", "This is a PDF, not a table"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(64), "a picture"),
    "2 MB": (HEADER.encode() + b"x" * 2_000_000, "The file is 2.0 MB; the limit is 1.0 MB"),
    "no header": (GOOD.split("\n", 1)[1].encode(), "holds data .* but it should hold the column names"),
    "a header alone": (HEADER.encode(), "no row below"),
    "one column": (b"Amount\n5\n6\n", "Only one column"),
    "an unclosed quote": ((GOOD + 'D9,"oops,Acme,Ana Torres,Closed Won,5,2026-10-20,New,\n').encode(), "never closed"),
    "binary": (b"PK\x03\x04" + bytes(100), "damaged ZIP or XLSX"),
}


@pytest.mark.parametrize(("content", "message"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_file_that_is_no_table_is_told_so(db, content, message, monkeypatch):
    monkeypatch.setattr(imports, "MAX_BYTES", 1_000_000)
    with pytest.raises(QuotaPathError, match=message):
        preview_import(db, ADMIN, upload(content))
    assert set(counted(db).values()) == {0}


ROW = "{id},{name},Acme,{owner},{stage},{amount},{close},New,EMEA\n"
FINE = {"id": "X1", "name": "Deal", "owner": "Ana Torres", "stage": "Closed Won", "amount": "5", "close": "2026-10-20"}
BAD_ROWS = {
    "an unknown owner": ({"owner": "Zed"}, 'Nobody here is known as "Zed"', "Choose whose deals these are"),
    "no owner": ({"owner": ""}, "The owner is empty", "Choose whose"),
    "an unknown stage": ({"stage": "Vibes"}, 'No stage of the pipeline is called "Vibes"', "Choose the stage"),
    "an impossible date": ({"close": "2026-02-30"}, "not a day of the calendar", "Correct the date in the CRM"),
    "no date": ({"close": ""}, "The close date is empty", "Fill it in"),
    "the year 3026": ({"close": "3026-01-01"}, "outside the years 1990 to 2199", "Correct the date"),
    "a won deal without an amount": ({"amount": ""}, "A won deal has no amount", "Fill it in"),
    "no number": ({"amount": "lots"}, '"lots" is not a number', "Correct it in the CRM"),
    "too fine": ({"amount": "1.005"}, "finer than USD has", "Correct it in the CRM"),
    "too large": ({"amount": "9" * 25}, "too large", "Correct it in the CRM"),
    "no id": ({"id": ""}, "The deal's id is empty", "Fill it in"),
    "an id that is too long": ({"id": "x" * 201}, "the longest is 200", ""),
    "a name that is too long": ({"name": "x" * 1001}, "the longest is 1,000", ""),
    "a cell too many": ({"name": "Acme, Inc"}, "has 10 cells, but there are 9 columns", "quot"),
}


@pytest.mark.parametrize(("cells", "reason", "remedy"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_bad_row_is_refused_with_reason_and_remedy(db, cells, reason, remedy):
    text = GOOD + ROW.format(**FINE | cells)
    preview = preview_import(db, ADMIN, upload(text))
    assert figures(preview) == (3, 0, 0, 1)
    assert set(preview.refused["line"]) == {5}
    assert reason in " ".join(preview.refused["reason"])
    assert remedy in " ".join(preview.refused["remedy"])
    with pytest.raises(QuotaPathError, match="1 rows? (is|are) refused"):
        import_deals(db, ADMIN, preview)
    assert set(counted(db).values()) == {0}


def test_duplicate_ids_with_different_values_are_all_refused_and_equal_rows_taken_once(db):
    text = GOOD + ROW.format(**FINE) + ROW.format(**FINE | {"amount": "6"}) + GOOD.split("\n")[1] + "\n"
    preview = preview_import(db, ADMIN, upload(text))
    assert (figures(preview), preview.repeated_count) == ((3, 0, 0, 2), 1)
    assert all("The id stands on lines 5, 6" in reason for reason in preview.refused["reason"])


def test_a_formula_is_a_name_and_a_negative_amount_a_refund(db):
    formula = '=HYPERLINK(""http://x"",""y"")'
    text = HEADER + ROW.format(**FINE | {"name": f'"{formula}"', "amount": '"($1,250.00)"'})
    preview = preview_import(db, ADMIN, upload(text))
    assert "taken as a refund or credit memo" in " ".join(preview.warnings)
    import_deals(db, ADMIN, preview)
    assert kept(db, "X1").deal.fields.amount == -1250_00
    assert kept(db, "X1").deal.fields.name == '=HYPERLINK("http://x","y")'
    exported = sheets.to_csv(deals.EXPORT_HEADERS, deals.export_deals(db, ADMIN, DealFilters(), Page(), TODAY)).decode(
        "utf-8-sig"
    )
    assert ",\"'=HYPERLINK(" in exported
    assert ",-1250.00," in exported


def test_windows_text_and_a_workbook_are_read(db):
    preview = preview_import(db, ADMIN, upload(LATIN))
    assert preview.added["account"][0] == "Société Générale"
    assert any("1252" in note for note in preview.notes)
    book = sheets.to_xlsx(HEADER.strip().split(","), [row.split(",") for row in GOOD.split("\n")[2:4]])
    assert figures(preview_import(db, ADMIN, upload(book, "deals.xlsx"))) == (2, 0, 0, 0)


def test_null_characters_in_cells_break_nothing(db):
    text = (GOOD + ROW.format(**FINE | {"owner": "Z\x00ed", "name": "N\x00ull"})).encode("utf-16")
    result = take(db, text, accept_refused=True)
    assert (result.added, result.refused) == (3, 1)


@pytest.mark.parametrize("role", ["finance", "manager", "rep"])
def test_only_an_admin_imports(db, role):
    actor = Actor(2, role, "Ana")
    preview = preview_import(db, ADMIN, upload(GOOD))
    for attempt in (
        lambda: preview_import(db, actor, upload(GOOD)),
        lambda: import_deals(db, actor, preview),
        lambda: imports.refused_rows(db, actor, preview.upload),
        lambda: imports.list_imports(db, actor),
        lambda: imports.past_refusals(db, actor, 1),
        lambda: imports.known_sources(db, actor),
    ):
        with pytest.raises(Forbidden):
            attempt()
    assert counted(db)["deals"] == 0

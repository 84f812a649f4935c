"""The upload page: file, columns, questions, names, preview, import; and files that are none."""

import time
from datetime import date

import pytest
import sqlalchemy as sa

from app import navigation
from engine.services import batches, deals, import_files, imports, people

TODAY = date(2026, 11, 22)
HEADER = "Opportunity ID,Opportunity Name,Account Name,Opportunity Owner,Stage,Amount,Close Date,Region\n"
GOOD = HEADER + (
    'D1,Acme renewal,Acme,Rob Rep,Closed Won,"$60,000.50",2026-10-20,EMEA\n'
    "D2,Globex,Globex,rea@example.com,Proposal,,2026-12-01,\n"
)
BAD = GOOD + "D3,Nobody's,Acme,Zed Who,Closed Won,5,2026-10-20,\nD4,Never,Acme,Rob Rep,Closed Won,5,2026-02-30,\n"


def upload(screen, content, name="deals.csv"):
    number = screen.session_state["uploads"] if "uploads" in screen.session_state else 0  # noqa: SIM401 - it has no get
    screen.file_uploader(key=f"upload_{number}").upload(
        name, content if isinstance(content, bytes) else content.encode()
    )
    screen.run()
    assert not screen.exception, screen.exception
    return screen


def click(screen, label):
    next(button for button in screen.button if button.label == label).click().run()
    assert not screen.exception, screen.exception


def text(screen):
    parts = (*screen.markdown, *screen.caption, *screen.error, *screen.warning, *screen.info)
    return " ".join(each.value.replace("\\", "") for each in parts)


def table(screen, column):
    """The first table with such a column."""
    return next(each.value for each in screen.dataframe if column in each.value)


def settled(screen, seconds=60):
    """The page once no job works on the file any more."""
    deadline = time.monotonic() + seconds
    while "You can leave this page" in text(screen):
        assert time.monotonic() < deadline, "the job did not end"
        time.sleep(0.1)
        screen.run()
        assert not screen.exception, screen.exception
    return screen


def choose(screen, key, row):
    screen.session_state[key] = {"selection": {"rows": [row], "columns": [], "cells": []}}
    screen.run()
    assert not screen.exception, screen.exception


def figures(screen):
    return {metric.label: metric.value for metric in screen.metric}


def total(company):
    return deals.list_deals(company.db, company.actor("ada"), deals.DealFilters(), deals.Page(), TODAY).total


@pytest.mark.parametrize("person", ["finn", "mia", "rob"])
def test_only_an_admin_uploads(open_page, person):
    screen = open_page("upload", person)
    assert not screen.exception
    assert not screen.get("file_uploader")
    assert "You have no access to this page" in text(screen)


def test_a_good_file_is_previewed_and_imported(open_page, company):
    screen = upload(open_page("upload"), GOOD)
    assert figures(screen) == {"Added": "2", "Changed": "0", "Left alone": "0", "Refused": "0"}
    assert total(company) == 0
    click(screen, "Import 2 deals")
    assert "The file is imported" in text(screen)
    assert figures(screen) == {"Added": "2", "Changed": "0", "Left alone": "0", "Left out": "0"}
    assert list(table(screen, "filename")["filename"]) == ["deals.csv"]
    assert total(company) == 2

    upload(screen, GOOD)
    assert figures(screen) == {"Added": "0", "Changed": "0", "Left alone": "2", "Refused": "0"}
    assert "This very file was imported" in text(screen)
    click(screen, "Nothing changes: record it")
    assert total(company) == 2

    upload(screen, GOOD.replace("60,000.50", "61,000.00"))
    assert figures(screen)["Changed"] == "1"
    changed = table(screen, "before")
    assert [tuple(row) for row in changed[["field", "before", "after"]].itertuples(index=False)] == [
        ("Amount", "60,000.50 USD", "61,000.00 USD")
    ]


def test_refused_rows_are_shown_and_left_out_only_when_said(open_page, company):
    screen = upload(open_page("upload"), BAD)
    assert figures(screen)["Refused"] == "2"
    refused = table(screen, "remedy")
    assert list(refused["line"]) == [4, 5]
    assert screen.button(key="import").disabled
    screen.checkbox[0].check().run()
    assert screen.checkbox[0].label == "Import the 2 good rows, leave out the 2 refused"
    click(screen, "Import 2 deals")
    assert figures(screen) == {"Added": "2", "Changed": "0", "Left alone": "0", "Left out": "2"}
    assert total(company) == 2


def test_an_unknown_owner_is_chosen(open_page, company):
    screen = upload(open_page("upload"), BAD.replace("2026-02-30", "2026-02-28"))
    asked = next(each for each in screen.selectbox if each.label.startswith("Owner: Zed Who"))
    asked.set_value(company.people["oda"])
    click(screen, "Use these answers")
    assert figures(screen) == {"Added": "4", "Changed": "0", "Left alone": "0", "Refused": "0"}
    click(screen, "Import 4 deals")
    assert deals.list_deals(company.db, company.actor("oda"), deals.DealFilters(), deals.Page(), TODAY).total == 1


def test_unknown_owners_are_added_as_people(open_page, company):
    screen = upload(
        open_page("upload"),
        HEADER
        + "D1,Acme,Acme,Zed Who,Closed Won,5,2025-10-20,\n"
        + 'D2,Acme,Acme,"WHO, Zed",Closed Won,5,2026-02-30,\n'
        + "D3,Acme,Acme,una.new@corp.test,Closed Won,5,2026-10-20,\n"
        + "D4,Acme,Acme,Oda Othe,Closed Won,5,2026-10-20,\n",
    )
    assert "4 owners are not known here" in text(screen)
    assert "Not ticked, because someone here is called nearly so: Oda Othe (Oda Other)" in text(screen)
    next(each for each in screen.text_input if each.label == "E-mail addresses end in").set_value("acme.test").run()
    team = next(each for each in screen.selectbox if each.label == "Team")
    team.set_value("East").run()
    click(screen, "Add 2 people")
    found = {
        person.name: person
        for person in people.list_people(company.db, company.actor("ada"), TODAY)
        if person.user_id not in company.people.values()
    }
    assert {(name, each.email, each.team, each.hired_on) for name, each in found.items()} == {
        ("Zed Who", "zed.who@acme.test", "East", date(2025, 1, 1)),
        ("Una New", "una.new@corp.test", "East", date(2025, 1, 1)),
    }
    assert figures(screen) == {"Added": "2", "Changed": "0", "Left alone": "0", "Refused": "2"}  # a date, and Oda
    assert [toast.value for toast in screen.toast] == ["2 people added\\. Their deals can be imported now\\."]
    assert "1 owner" in text(screen) or "One owner is not known here" in text(screen)


def test_a_deal_won_in_the_future_is_warned_of(open_page):
    screen = upload(open_page("upload"), HEADER + "D1,Acme,Acme,Rob Rep,Closed Won,5,2096-11-15,\n")
    assert "Line 2: is won, but closes only on 2096-11-15." in text(screen)
    assert figures(screen)["Added"] == "1"


def test_a_wrong_column_is_corrected(open_page, company):
    text_of = "Ref,Name,Who,State,Booked,Total,Closing\n1,Acme,Rob Rep,won,100,200,2026-10-20\n"
    screen = upload(open_page("upload"), text_of)
    assert "**Owner** has no column" in text(screen)
    assert not screen.metric

    def column(label):
        return next(each for each in screen.selectbox if each.label == label)

    for label, header in (
        ("Deal ID", "Ref"),
        ("Owner *", "Who"),
        ("Stage *", "State"),
        ("Amount *", "Booked"),
        ("Close date *", "Closing"),
    ):
        column(label).set_value(header)
    click(screen, "Use these columns")
    assert list(screen.dataframe[0].value["amount"]) == [100.0]
    column("Amount *").set_value("Total")
    click(screen, "Use these columns")
    click(screen, "Import 1 deal")
    found = deals.list_deals(company.db, company.actor("ada"), deals.DealFilters(), deals.Page(), TODAY).frame
    assert list(found["amount"]) == [200_00]


def test_an_ambiguous_date_is_asked(open_page, company):
    screen = upload(open_page("upload"), GOOD.replace("2026-10-20", "03/04/2026").replace("2026-12-01", "05/06/2026"))
    assert not screen.metric
    screen.radio[0].set_value("day_first")
    click(screen, "Answer")
    assert figures(screen)["Added"] == "2"
    assert "as you said" in text(screen)


@pytest.mark.parametrize("large", [False, True], ids=["at once", "by a job"])
def test_a_source_that_cannot_be_is_refused_and_the_file_stays(open_page, large, monkeypatch):
    monkeypatch.setattr(import_files, "AT_ONCE", 0 if large else 10_000_000)
    # AppTest only chooses among the options; a person types this one.
    monkeypatch.setattr(imports, "known_sources", lambda _db, _actor: ["salesforce", "manual"])
    screen = settled(upload(open_page("upload"), GOOD))
    source = next(each for each in screen.selectbox if each.label == "Where the file comes from")
    source.set_value("manual").run()
    assert "'manual' cannot be the name of a source" in text(screen)
    assert figures(screen)["Added"] == "2"


def test_another_source_is_another_set_of_deals(open_page, company):
    screen = upload(open_page("upload"), GOOD)
    click(screen, "Import 2 deals")
    upload(screen, GOOD)
    source = next(each for each in screen.selectbox if each.label == "Where the file comes from")
    source.set_value("hubspot").run()
    assert not screen.exception
    assert figures(screen)["Added"] == "2"
    assert "have the ID of a deal from salesforce" in text(screen)


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b" \r\n", "deals.csv", "The file is empty"),
        (b"%PDF-1.7\n1 0 obj <<>> endobj\n", "deals.csv", "This is a PDF, not a table"),
        (GOOD.split("\n", 1)[1].encode(), "deals.csv", "it should hold the column names"),
        (HEADER.encode() + b"x" * 2_000_000, "deals.csv", "The file is 2.0 MB; the limit is 1.0 MB"),
        ("=HYPERLINK(1)\n".encode("utf-16"), "deals.csv", "Only one column was found"),
        (b"hello", "deals.xlsx", "This is not a readable Excel file"),
    ],
    ids=["empty", "pdf", "no header", "too large", "one column", "no workbook"],
)
@pytest.mark.parametrize("large", [False, True], ids=["at once", "by a job"])
def test_a_file_that_is_no_export_is_told_so(open_page, company, content, name, message, large, monkeypatch):
    monkeypatch.setattr(imports, "MAX_BYTES", 1024 * 1024)
    monkeypatch.setattr(import_files, "AT_ONCE", 0 if large else 10_000_000)
    screen = settled(upload(open_page("upload"), content, name))
    assert message in text(screen)
    assert not screen.metric
    assert total(company) == 0
    assert imports.list_imports(company.db, company.actor("ada")).empty


def test_what_changed_since_the_preview_is_said_and_nothing_is_imported(open_page, company):
    screen = upload(open_page("upload"), BAD)
    screen.checkbox[0].check().run()
    with company.db.write() as conn:
        conn.exec_driver_sql("UPDATE users SET name = 'Robin Rep', email = 'robin@example.com' WHERE code = 'rob'")
    click(screen, "Import 2 deals")
    assert "3 rows are refused now, not 2" in text(screen)
    assert total(company) == 0
    screen.run()
    assert figures(screen)["Refused"] == "3"


def test_markup_in_a_file_stays_text(open_page):
    screen = upload(open_page("upload"), BAD.replace("Zed Who", "**Zed** :red[Who]"))
    asked = next(each for each in screen.selectbox if "Zed" in each.label)
    assert asked.label.startswith(r"Owner: \*\*Zed\*\* \:red\[Who\]")


# ---------------------------------------------------------------- by a job
@pytest.fixture
def every_file_is_large(monkeypatch):
    monkeypatch.setattr(import_files, "AT_ONCE", 0)


@pytest.mark.usefixtures("every_file_is_large")
def test_a_large_file_is_checked_and_imported_by_jobs(open_page, company):
    screen = settled(upload(open_page("upload"), BAD))
    assert figures(screen) == {"Added": "2", "Changed": "0", "Left alone": "0", "Refused": "2"}
    assert list(table(screen, "remedy")["line"]) == [4, 5]
    assert "2 deals" in str([each.label for each in screen.button])

    # The answers go into the next check; the file is found again from a new session.
    screen = open_page("upload")
    asked = next(each for each in screen.selectbox if each.label.startswith("Owner: Zed Who"))
    asked.set_value(company.people["oda"])
    click(screen, "Use these answers")
    settled(screen)
    assert figures(screen)["Refused"] == "1"
    assert "Line 3: has no amount yet." in text(screen)
    screen.checkbox[0].check().run()
    click(screen, "Import 3 deals")
    settled(screen)
    assert "The file is imported" in text(screen)
    assert figures(screen) == {"Added": "3", "Changed": "0", "Left alone": "0", "Left out": "1"}
    assert total(company) == 3
    with company.db.read() as conn:
        assert conn.scalar(sa.text("SELECT count(*) FROM import_files")) == 0


@pytest.mark.usefixtures("every_file_is_large")
def test_columns_and_questions_of_a_large_file_are_settled(open_page, company):
    text_of = GOOD.replace("2026-10-20", "03/04/2026").replace("2026-12-01", "05/06/2026").replace("Amount", "ACV")
    screen = settled(upload(open_page("upload"), text_of))
    assert "**Amount** has no column" in text(screen)
    next(each for each in screen.selectbox if each.label == "Amount *").set_value("ACV")
    click(screen, "Use these columns")
    settled(screen)
    assert not screen.metric
    screen.radio[0].set_value("day_first")
    click(screen, "Answer")
    settled(screen)
    assert figures(screen)["Added"] == "2"
    assert "as you said" in text(screen)
    click(screen, "Import 2 deals")
    assert "The file is imported" in text(settled(screen))


@pytest.mark.usefixtures("every_file_is_large")
def test_a_large_file_can_be_given_up(open_page, company):
    screen = settled(upload(open_page("upload"), GOOD))
    click(screen, "Choose another file")
    assert screen.get("file_uploader")
    assert import_files.file_in_hand(company.db, company.actor("ada")) is None


@pytest.mark.usefixtures("every_file_is_large")
def test_what_changed_since_the_check_is_said_and_the_file_is_checked_again(open_page, company):
    screen = settled(upload(open_page("upload"), BAD))
    screen.checkbox[0].check().run()
    with company.db.write() as conn:
        conn.exec_driver_sql("UPDATE users SET name = 'Robin Rep', email = 'robin@example.com' WHERE code = 'rob'")
    click(screen, "Import 2 deals")
    settled(screen)
    assert "3 rows are refused now, not 2" in text(screen)
    assert total(company) == 0
    click(screen, "Check the file again")
    settled(screen)
    assert figures(screen)["Refused"] == "3"


@pytest.mark.usefixtures("every_file_is_large")
@pytest.mark.parametrize(
    "statement",
    ["UPDATE import_files SET preview = jsonb_set(preview, '{form}', '0')", "UPDATE import_files SET job_id = NULL"],
    ids=["kept by an older version", "nobody began the check"],
)
def test_a_file_without_a_check_is_checked_on_demand(open_page, company, statement):
    settled(upload(open_page("upload"), GOOD))
    with company.db.write() as conn:
        conn.exec_driver_sql(statement)
    screen = open_page("upload")
    assert not screen.metric
    click(screen, "Check the file again")
    assert figures(settled(screen))["Added"] == "2"


# ---------------------------------------------------------------- looking back
def imported(open_page, content=GOOD):
    screen = upload(open_page("upload"), content)
    click(screen, "Import 2 deals")
    return screen


@pytest.mark.parametrize("large", [False, True], ids=["at once", "by a job"])
def test_an_import_is_looked_at_and_undone(open_page, company, large, monkeypatch):
    monkeypatch.setattr(batches, "AT_ONCE", 0 if large else 100)
    screen = imported(open_page)
    choose(screen, "past_imports", 0)
    assert list(table(screen, "external_id")["external_id"]) == ["D1", "D2"]
    assert "2 deals that it added will be deleted. All of it" in text(screen)
    click(screen, "Undo it")
    for _ in range(100):
        if total(company) == 0:
            break
        time.sleep(0.1)
    assert total(company) == 0
    screen.run()
    choose(screen, "past_imports", 0)
    assert "Undone on" in text(screen)
    assert list(table(screen, "undone")["undone"]) != [""]


_RUN_WITH_D1 = """
    INSERT INTO plans (name, title) VALUES ('undone', 'Undone');
    INSERT INTO plan_versions (plan_id, effective_from, document, hash, status, published_at)
        SELECT id, '2026-01-01', '', '', 'published', now() FROM plans WHERE name = 'undone';
    INSERT INTO pay_periods (period, kind, start_date, end_date)
        VALUES ('2026-10', 'month', '2026-10-01', '2026-11-01');
    INSERT INTO runs (period, ledger_seen, inputs_hash, lines_hash, engine_version, interpreter, deals, lines,
                      created_by)
        SELECT '2026-10', 0, '', '', '0', 'x', 1, 1, id FROM users WHERE code = 'ada';
    INSERT INTO lines (run_id, user_id, plan_version_id, component, deal_id, kind, period, origin_period, amount,
                       currency, working)
        SELECT (SELECT max(id) FROM runs), owner_id, (SELECT max(id) FROM plan_versions), 'nb', id, 'earned', '2026-10',
               '2026-10', 100, 'USD', '{}' FROM deals WHERE external_id = 'D1';
    UPDATE pay_periods SET run_id = (SELECT max(id) FROM runs);
"""


def test_whose_figures_go_is_said_before_and_after_the_undoing(open_page, company, monkeypatch):
    links = []
    monkeypatch.setattr(navigation, "link", lambda *link: links.append(link))
    screen = imported(open_page)
    with company.db.write() as conn:
        conn.execute(sa.text(_RUN_WITH_D1))
    choose(screen, "past_imports", 0)
    assert "Everyone loses their figures of October 2026** until you run it again" in text(screen)
    click(screen, "Undo it")
    links.clear()
    choose(screen, "past_imports", 0)
    assert ("runs", "Run October 2026", {"period": "2026-10"}) in links
    assert "**October 2026** was run with these deals and shows nobody's figures until it is run again" in text(screen)


def test_what_keeps_an_import_from_being_undone_is_said(open_page, company):
    screen = imported(open_page)
    with company.db.write() as conn:
        conn.exec_driver_sql(
            "INSERT INTO activities (kind, user_id, deal_id, subject, happened_at) "
            "SELECT 'call', owner_id, id, 'Hi', now() FROM deals WHERE external_id = 'D2'"
        )
    choose(screen, "past_imports", 0)
    click(screen, "Undo it")
    assert "that the import added has activities: D2 Globex" in text(screen)
    assert total(company) == 2


def test_what_is_remembered_is_forgotten(open_page, company):
    screen = upload(open_page("upload"), GOOD.replace("Rob Rep", "Bobby"))
    next(each for each in screen.selectbox if each.label.startswith("Owner: Bobby")).set_value(company.people["rob"])
    click(screen, "Use these answers")
    click(screen, "Import 2 deals")
    choose(screen, "remembered_salesforce_owners", 0)
    click(screen, "Forget bobby = Rob Rep")
    (found,) = batches.remembered(company.db, company.actor("ada"))
    assert found.owners == ()
    assert len(found.columns) == 7


def test_what_an_import_left_out_is_opened_by_its_address_and_its_owners_are_mapped(open_page, company):
    screen = upload(open_page("upload"), BAD)
    screen.checkbox[0].check().run()
    click(screen, "Import 2 deals")
    screen = open_page("upload", **{"import": "1"})
    assert "One owner is not known here." in text(screen).replace("*", "")
    rows = table(screen, "remedy")
    assert list(rows["line"]) == [4, 5]
    assert 'Nobody here is known as "Zed Who".' in rows["reason"].iloc[0]
    click(screen, "Remember who they are")
    assert "nobody was chosen" in text(screen)
    next(each for each in screen.selectbox if each.label == "Zed Who · 1 row").set_value(company.people["oda"])
    click(screen, "Remember who they are")
    assert "not known here" not in text(screen)
    # The same file again brings the row in.
    upload(screen, BAD)
    screen.checkbox[0].check().run()
    click(screen, "Import 1 deal")
    assert deals.list_deals(company.db, company.actor("oda"), deals.DealFilters(), deals.Page(), TODAY).total == 1
    assert "There is no import number 77." in text(open_page("upload", **{"import": "77"}))

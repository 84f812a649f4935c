"""Statements on a real database: everything on them, and the same bytes a year later."""

import io
import json
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from uuid import uuid4

import openpyxl
import pytest
import sqlalchemy as sa

from engine.db import deals as deal_rows
from engine.errors import QuotaPathError
from engine.services import adjustments, deals, payouts, quotas, runs, statement_content, statements
from engine.services.access import Forbidden
from engine.services.jobs import Work
from engine.services.statement_words import balance_rows, earned
from engine.services.statements import Statement
from engine.workers.pool import Pool
from tests.integration.paying import PLAN, Company
from tests.pdf import pdf_text


def close(company: Company, pool: Pool, month: str, *, pay: bool = True) -> None:
    """Run, approve and pay a month."""
    ada = company.actors["ada"]
    runs.run_period(company.db, pool, ada, month)
    payouts.approve_period(company.db, ada, month)
    if pay:
        payouts.mark_paid(company.db, ada, month)


def shown(company: Company, who: str, month: str) -> Statement:
    found = statements.statement(company.db, company.actors["ada"], company.users[who], month)
    assert found is not None
    return found


def file(company: Company, who: str, month: str, kind: str) -> bytes:
    return statements.statement_file(company.db, company.actors["ada"], company.users[who], month, kind)


def balance(found: Statement) -> dict[str, int]:
    return {label.split(":")[0]: cents for label, cents, _ in balance_rows(found.content)}


def edit(company: Company, deal: int, **values: object) -> None:
    """Edit a deal as an admin does, with its history."""
    with company.db.read() as conn:
        before = deal_rows.find(conn, deal)
    assert before is not None
    deals.edit_deal(company.db, company.actors["ada"], deal, before.version, replace(before.fields, **values))  # type: ignore[arg-type]


def test_every_line_its_working_and_where_it_comes_from(company: Company, pool: Pool) -> None:
    company.deal("D1", "ana", "2026-01-20", 60_000)
    company.deal("D2", "ana", "2026-02-11", 70_000)
    close(company, pool, "2026-01")
    close(company, pool, "2026-02")
    found = shown(company, "ana", "2026-02")
    (line,) = found.content["lines"]
    assert (line["deal"], line["amount"], line["credit"]) == ("D2", 680_000, "70,000.00")
    assert line["how"] == "40,000.00 up to 100% of quota x 8%; 30,000.00 above 100% of quota x 12%"
    assert line["working"][-1] == "Line: 6,800.00"
    (row,) = found.content["attainment"]
    assert (row["attainment"], row["quota"]) == ("130.0%", "100,000.00")
    assert found.content["before"] == {"period": "2026-01", "earned": 480_000}
    assert [plan["version"] for plan in found.content["plans"]] == ["2026-01-01"]
    with company.db.read() as conn:
        run = conn.execute(sa.text("SELECT * FROM runs WHERE period = '2026-02'")).mappings().one()
        kept = conn.execute(sa.text("SELECT encode(code, 'hex') FROM statements WHERE period = '2026-02'")).scalar_one()
    assert found.content["run"]["lines_hash"] == run["lines_hash"].hex()
    assert found.content["run"]["inputs_hash"] == run["inputs_hash"].hex()
    assert found.code == kept


def test_the_balance_moves_from_opening_to_closing(company: Company, pool: Pool) -> None:
    first = company.deal("D1", "ana", "2026-01-20", 10_000)
    close(company, pool, "2026-01")
    company.change(first, amount=0)
    company.deal("D2", "ana", "2026-02-03", 5_000)
    close(company, pool, "2026-02")  # 400 earned, 800 taken back: nothing is due, 400 are carried
    company.deal("D3", "ana", "2026-03-03", 20_000)
    close(company, pool, "2026-03")
    assert balance(shown(company, "ana", "2026-01")) == {
        "Opening balance": 0,
        "Earned": 80_000,
        "Balance": 80_000,
        "Paid on " + date.today().isoformat(): -80_000,  # noqa: DTZ011 - the database's day, in UTC as here
        "Closing balance": 0,
    }
    february = balance(shown(company, "ana", "2026-02"))
    assert february["Adjustments of earlier periods"] == -80_000
    assert (february["Balance"], february["Due"], february["Closing balance"]) == (-40_000, 0, -40_000)
    march = balance(shown(company, "ana", "2026-03"))
    assert (march["Opening balance"], march["Earned"], march["Balance"]) == (-40_000, 160_000, 120_000)
    assert march["Closing balance"] == company.balance("ana") == 0


def test_a_payment_makes_a_new_edition_and_the_old_one_stays(company: Company, pool: Pool) -> None:
    company.deal("D1", "ana", "2026-01-20", 10_000)
    close(company, pool, "2026-01", pay=False)
    before = shown(company, "ana", "2026-01")
    old = file(company, "ana", "2026-01", "pdf")
    assert balance(before)["Closing balance"] == 80_000
    payouts.mark_paid(company.db, company.actors["ada"], "2026-01")
    after = shown(company, "ana", "2026-01")
    assert balance(after)["Closing balance"] == 0
    assert after.code != before.code
    first, second = after.editions.values()
    assert first.startswith("Approved ")
    assert second.startswith("Paid ")
    ada, ana = company.actors["ada"], company.users["ana"]
    assert statements.statement_file(company.db, ada, ana, "2026-01", "pdf", before.edition) == old
    assert file(company, "ana", "2026-01", "pdf") != old
    with pytest.raises(QuotaPathError, match="no edition 77"):
        statements.statement(company.db, ada, ana, "2026-01", 77)


def test_the_same_bytes_after_names_change_and_later_runs(company: Company, pool: Pool) -> None:
    deal = company.deal("D1", "ana", "2026-01-20", 10_000)
    close(company, pool, "2026-01")
    content = dict(shown(company, "ana", "2026-01").content)
    code = shown(company, "ana", "2026-01").code
    before = {kind: file(company, "ana", "2026-01", kind) for kind in statements.FORMATS}

    edit(company, deal, name="Renamed", account="Elsewhere", amount=100)
    with company.db.write() as conn:
        conn.execute(sa.text("UPDATE users SET name = 'Anna Nova' WHERE code = 'ana'"))
        conn.execute(sa.text("UPDATE company SET name = 'Bought Ltd'"))
        conn.execute(sa.text("UPDATE plans SET title = 'Another'"))
        conn.execute(sa.text("UPDATE teams SET name = 'Far East'"))
    close(company, pool, "2026-02")

    assert {kind: file(company, "ana", "2026-01", kind) for kind in statements.FORMATS} == before
    assert shown(company, "ana", "2026-01").code == code
    with zipfile.ZipFile(io.BytesIO(before["xlsx"])) as book:  # no clock in them
        assert {entry.date_time for entry in book.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert book.read("docProps/core.xml").count(b"2026-01-31T00:00:00Z") == 2
    assert b"D:2000" in before["pdf"]
    assert b"D:2026" not in before["pdf"]
    # And not only because the files are kept: they are made again from the kept content, to the byte.
    for kind, write in statements.FORMATS.items():
        assert write(content, code) == before[kind], kind
    assert "Renamed" in json.dumps(shown(company, "ana", "2026-02").content)
    for statement in ("UPDATE statements SET content = '{}'", "DELETE FROM statement_files"):
        with pytest.raises(sa.exc.IntegrityError, match="append-only"), company.db.write() as conn:
            conn.execute(sa.text(statement))


def test_many_who_ask_first_at_once_get_the_same(company: Company, pool: Pool) -> None:
    company.deal("D1", "ana", "2026-01-20", 10_000)
    close(company, pool, "2026-01")
    with ThreadPoolExecutor(4) as threads:
        found = set(threads.map(lambda _: file(company, "ana", "2026-01", "pdf"), range(4)))
    assert len(found) == 1
    with company.db.read() as conn:
        assert conn.scalar(sa.text("SELECT count(*) FROM statements")) == 1


def test_an_unasked_statement_comes_out_the_same_later(company: Company, pool: Pool) -> None:
    """Everything but names is read as of the approval, so it does not matter when it is first asked for."""
    first = company.deal("D1", "ana", "2026-01-20", 10_000)
    close(company, pool, "2026-01")
    edit(company, first, amount=500_000)
    close(company, pool, "2026-02")
    with company.db.read() as conn:
        built = statement_content.build(conn, company.users["ana"], "2026-02")
    edit(company, first, amount=700_000)
    quotas.save_quotas(company.db, company.actors["ada"], {(company.users["ana"], "2026-Q1"): 5_000_000})
    close(company, pool, "2026-03")
    with company.db.read() as conn:
        assert statement_content.build(conn, company.users["ana"], "2026-02") == built


def test_what_changed_and_why(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    deal = company.deal("Alpha", "ana", "2026-01-20", 60_000)
    gone = company.deal("Beta", "ana", "2026-01-21", 10_000)
    company.deal("Gamma", "ana", "2026-01-22", 50_000)
    close(company, pool, "2026-01")
    edit(company, deal, amount=5_000_000)
    edit(company, gone, cancelled_on=date(2026, 1, 25))
    fields = deal_rows.DealFields("Late", "Acme", company.users["ana"], won(company), 100_000, "USD", date(2026, 1, 30))
    deals.create_deal(company.db, ada, replace(fields, type="New"))
    close(company, pool, "2026-02")
    why = {each["what"].split(",")[0]: each["why"] for each in shown(company, "ana", "2026-02").content["changes"]}
    today = date.today()  # noqa: DTZ011 - the database's day, in UTC as here
    assert why["Alpha"] == [f"Amount was changed from 60,000.00 USD to 50,000.00 USD by Ada on {today}."]
    assert why["Late"] == [f"The deal came late: it was entered by Ada on {today}, when the period was closed already."]
    assert why["Gamma"][0].startswith("Nothing changed on this deal itself: changes of Alpha")
    assert all(why.values())

    quotas.save_quotas(company.db, ada, {(company.users["ana"], "2026-Q1"): 20_000_000})
    close(company, pool, "2026-03")
    third = shown(company, "ana", "2026-03").content["changes"]
    words = f"The quota of 2026-Q1 was changed from 100,000.00 USD to 200,000.00 USD by Ada on {today}."
    assert third[0]["what"].startswith("The quota of 2026-Q1 for new-business was 100,000.00, it is 200,000.00 now")
    assert third[0]["why"] == [words]
    assert [words] in [each["why"] for each in third if each["amount"] is not None]


def test_a_new_plan_version_is_named_as_the_cause(company: Company, pool: Pool) -> None:
    company.deal("Alpha", "ana", "2026-01-20", 10_000)
    close(company, pool, "2026-01")
    document = PLAN.replace("2026-01-01", "2026-01-15").replace("8%", "9%")
    with company.db.write() as conn:
        conn.execute(
            sa.text("""
                INSERT INTO plan_versions (plan_id, effective_from, document, hash, status, published_by, published_at)
                SELECT id, '2026-01-15', :document, '', 'published', :ada, now() FROM plans WHERE name = 'ae'
            """),
            {"document": document, "ada": company.users["ada"]},
        )
    close(company, pool, "2026-02")
    (change,) = shown(company, "ana", "2026-02").content["changes"]
    assert change["amount"] == 10_000
    assert change["why"][0].startswith("A version of the plan ae that holds from 2026-01-15 was published by Ada on ")


def won(company: Company) -> int:
    with company.db.read() as conn:
        return int(conn.scalar(sa.text("SELECT id FROM pipeline_stages WHERE outcome = 'won'")) or 0)


def test_what_is_given_by_hand_stands_with_its_reason(company: Company, pool: Pool) -> None:
    ada = company.actors["ada"]
    company.deal("D1", "ana", "2026-01-20", 10_000)
    runs.run_period(company.db, pool, ada, "2026-01")
    spif = adjustments.NewAdjustment(str(uuid4()), company.users["ana"], "spif", 25_000, "First to sell a rocket")
    adjustments.add_adjustment(company.db, ada, "2026-01", spif)
    open_now = shown(company, "ana", "2026-01")
    assert open_now.content["balance"]["total"] == 105_000
    close(company, pool, "2026-01")
    found = shown(company, "ana", "2026-01")
    line = found.content["lines"][-1]
    assert (line["kind"], line["label"], line["how"]) == ("manual", "SPIF", "First to sell a rocket")
    assert line["working"][0].startswith("Given by Ada on 20")
    assert (earned(found.content), balance(found)["Bonuses and corrections by hand"]) == (80_000, 25_000)
    assert found.content["balance"]["paid"] == 105_000
    payouts.reverse_payout(company.db, ada, "2026-01", "wrong account")
    reversed_now = shown(company, "ana", "2026-01")
    assert list(reversed_now.editions.values())[-1].startswith("Payment reversed ")
    assert reversed_now.content["balance"]["closing"] == 105_000
    assert b"First to sell a rocket" in file(company, "ana", "2026-01", "csv")


def test_a_draw(company: Company, pool: Pool) -> None:
    draw = PLAN.replace('plan = "ae"', 'plan = "drawn"') + '\n[draw]\nkind = "recoverable"\namount = 3000\n'
    with company.db.write() as conn:
        conn.execute(sa.text("DELETE FROM plan_assignments WHERE user_id = :u"), {"u": company.users["bo"]})
        company._publish(conn, "drawn", draw, ("bo",))
    company.deal("D1", "bo", "2026-01-20", 10_000)
    company.deal("D2", "bo", "2026-02-20", 70_000)
    close(company, pool, "2026-01")
    close(company, pool, "2026-02")
    january, february = shown(company, "bo", "2026-01"), shown(company, "bo", "2026-02")
    assert balance(january)["Advanced by the draw"] == 220_000
    assert january.content["draw"]["balance"] == 220_000
    assert balance(february)["Repaid to the draw"] == -220_000
    assert february.content["draw"]["balance"] == 0
    assert february.content["balance"]["paid"] == 340_000


def test_what_is_payable_later_is_held_back(company: Company, pool: Pool) -> None:
    halves = "[payable]\nschedule = [{ months = 0, share = '50%' }, { months = 1, share = '50%' }]\n"
    with company.db.write() as conn:
        conn.execute(sa.text("DELETE FROM plan_assignments WHERE user_id = :u"), {"u": company.users["bo"]})
        company._publish(conn, "halves", PLAN.replace('plan = "ae"', 'plan = "halves"') + "\n" + halves, ("bo",))
    company.deal("D1", "bo", "2026-01-20", 10_000)
    close(company, pool, "2026-01")
    close(company, pool, "2026-02")
    january, february = shown(company, "bo", "2026-01"), shown(company, "bo", "2026-02")
    assert january.content["balance"]["deferred"] == 40_000
    held = balance(january)
    assert held["Not due now"] == -40_000
    assert (held["Balance"], held["Due"], held["Closing balance"]) == (80_000, 40_000, 40_000)
    assert balance(february)["Opening balance"] == 40_000
    assert february.content["balance"]["paid"] == 40_000
    assert balance(february)["Closing balance"] == 0


def test_a_clawback_names_what_it_takes_back(company: Company, pool: Pool) -> None:
    clawing = PLAN.replace('plan = "ae"', 'plan = "clawing"') + "\n[clawback]\nwithin_days = 90\n"
    with company.db.write() as conn:
        conn.execute(sa.text("DELETE FROM plan_assignments WHERE user_id = :u"), {"u": company.users["bo"]})
        company._publish(conn, "clawing", clawing, ("bo",))
    deal = company.deal("D1", "bo", "2026-01-20", 10_000)
    close(company, pool, "2026-01")
    edit(company, deal, cancelled_on=date(2026, 2, 10))
    close(company, pool, "2026-02")
    found = shown(company, "bo", "2026-02")
    (line,) = found.content["lines"]
    assert (line["kind"], line["amount"]) == ("clawed_back", -80_000)
    assert line["original"] == "Takes back from the 800.00 USD earned in 2026-01."
    assert balance(found)["Clawbacks"] == -80_000
    (change,) = found.content["changes"]
    assert change["what"] == "D1, new-business: 800.00 USD is taken back."
    assert change["why"][0].startswith("The deal was cancelled as of 2026-02-10, recorded by Ada on 20")


def test_a_converted_deal_shows_rate_and_date(company: Company, pool: Pool) -> None:
    company.change(company.deal("D1", "ana", "2026-01-20", 10_000), currency="EUR")
    with company.db.write() as conn:
        conn.execute(sa.text("INSERT INTO exchange_rates VALUES ('EUR', 'USD', '2026-01-05', 1.0825)"))
    close(company, pool, "2026-01")
    (line,) = shown(company, "ana", "2026-01").content["lines"]
    assert line["converted"] == "1 EUR = 1.0825 USD, the rate of 2026-01-05"
    assert (line["credit"], line["amount"]) == ("10,825.00", 86_600)
    assert (line["deal_amount"], line["deal_currency"]) == (1_000_000, "EUR")


def test_an_empty_statement(company: Company, pool: Pool) -> None:
    company.deal("D1", "ana", "2026-01-20", 10_000)
    close(company, pool, "2026-01")
    found = shown(company, "bo", "2026-01")
    assert found.final
    assert found.content["lines"] == []
    assert balance(found) == {"Opening balance": 0, "Earned": 0, "Balance": 0, "Closing balance": 0}
    for kind in statements.FORMATS:
        assert file(company, "bo", "2026-01", kind)
    assert statements.statement(company.db, company.actors["ada"], company.users["fay"], "2026-01") is None


def test_an_open_period_is_provisional_and_nothing_is_kept(company: Company, pool: Pool) -> None:
    company.deal("D1", "ana", "2026-01-20", 10_000)
    runs.run_period(company.db, pool, company.actors["ada"], "2026-01")
    found = shown(company, "ana", "2026-01")
    assert not found.final
    assert earned(found.content) == 80_000
    assert b"PROVISIONAL" in file(company, "ana", "2026-01", "csv")
    assert file(company, "ana", "2026-01", "pdf") == file(company, "ana", "2026-01", "pdf")
    with company.db.read() as conn:
        assert conn.scalar(sa.text("SELECT count(*) FROM statements")) == 0


def test_files_hold_the_totals_and_run_no_formula(company: Company, pool: Pool) -> None:
    company.deal("=cmd()", "ana", "2026-01-20", 60_000)
    with company.db.write() as conn:
        conn.execute(sa.text("UPDATE users SET name = 'Зоя Дубовик 王小明 <b>Å</b>' WHERE code = 'ana'"))
    close(company, pool, "2026-01")
    text = file(company, "ana", "2026-01", "csv").decode("utf-8-sig")
    assert "'=cmd()" in text
    assert ",4800.00,USD," in text
    book = openpyxl.load_workbook(io.BytesIO(file(company, "ana", "2026-01", "xlsx")))
    assert book.sheetnames == ["Statement", "Lines", "Working", "Changes"]
    values = {row[0].value: row[1].value for row in book["Statement"].iter_rows(min_row=2)}
    assert (values["Earned in all"], values["Person"]) == (4800, "Зоя Дубовик 王小明 <b>Å</b>")
    assert book["Lines"]["D2"].data_type == "s"
    pdf = file(company, "ana", "2026-01", "pdf")
    assert pdf.startswith(b"%PDF-")
    assert pdf.count(b"/FontFile2") == 3  # regular, bold, and the one for Chinese: all embedded
    text = pdf_text(pdf)
    for part in ("4,800.00 USD", "Verification code", "60,000.00 up to 100% of quota x 8%", "Page 1 of"):
        assert part in text, text


def test_who_may_see_whose(company: Company, pool: Pool) -> None:
    company.deal("D1", "ana", "2026-01-20", 10_000)
    close(company, pool, "2026-01")
    ana, db, ada = company.users["ana"], company.db, company.actors["ada"]
    for reader in ("ana", "mia", "fay", "ada"):
        assert statements.statement_file(db, company.actors[reader], ana, "2026-01", "csv")
    with pytest.raises(Forbidden):
        statements.statement(db, company.actors["bo"], ana, "2026-01")
    with pytest.raises(Forbidden):
        statements.statement_file(db, company.actors["bo"], ana, "2026-01", "pdf")
    with company.db.read() as conn:
        logged = list(conn.scalars(sa.text("SELECT object FROM audit WHERE action = 'statements.export'")))
    assert logged == ["statement 2026-01 of ana"] * 4

    def listed(reader: str, period: str = "2026") -> list[str]:
        found, total = statements.list_statements(db, company.actors[reader], period, ["month"], 50, 0)
        assert total == len(found)
        return found["code"].tolist()

    assert listed("bo") == ["bo"]
    assert sorted(listed("mia", "2026-Q1")) == ["ana", "bo", "mia"]
    assert listed("ada", "2026-Q2") == []
    assert statements.export_list(db, ada, "2026", ["month"], "csv").count(b"\n") == 4
    code = shown(company, "ana", "2026-01").code
    found = statements.verify(db, ada, f" {code.upper()} ")
    assert found is not None
    assert (found.code, found.earned) == ("ana", 80_000)
    assert statements.verify(db, company.actors["bo"], code) is None
    assert statements.verify(db, ada, "0" * 64) is None
    with pytest.raises(QuotaPathError, match="64 digits"):
        statements.verify(db, ada, "abc")


def test_all_statements_of_a_period_as_one_zip(company: Company, pool: Pool) -> None:
    company.deal("D1", "ana", "2026-01-20", 10_000)
    ada = company.actors["ada"]
    runs.run_period(company.db, pool, ada, "2026-01")
    with pytest.raises(QuotaPathError, match="not approved"):
        statements.keep_period(company.db, ada, "2026-01")
    close(company, pool, "2026-01", pay=False)
    with pytest.raises(QuotaPathError, match="not written yet"):
        statements.zip_part(company.db, ada, "2026-01", 0)
    told: list[tuple[int, int, str]] = []
    work = Work(company.db, pool, ada, "", {"period": "2026-01"}, lambda *step: told.append(step))
    assert statements.JOBS[statements.JOB](work) == {"people": 3}
    assert [step[:2] for step in told] == [(0, 3), (1, 3), (2, 3)]
    assert statements.written(company.db, ada, "2026-01") == (3, 3)
    made = statements.zip_part(company.db, ada, "2026-01", 0)
    assert statements.zip_part(company.db, ada, "2026-01", 0) == made
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        assert archive.namelist() == [f"statement-2026-01-{code}.pdf" for code in ("ana", "bo", "mia")]
        assert archive.read("statement-2026-01-ana.pdf") == file(company, "ana", "2026-01", "pdf")
    payouts.mark_paid(company.db, ada, "2026-01")
    assert statements.written(company.db, ada, "2026-01") == (1, 3)  # Bo was due nothing: his is as it was
    with pytest.raises(QuotaPathError, match="2 statements of 2026-01 are not written"):
        statements.zip_part(company.db, ada, "2026-01", 0)
    for code in ("ana", "mia"):
        with pytest.raises(Forbidden):
            statements.zip_part(company.db, company.actors[code], "2026-01", 0)
    assert dict(statements.parts(501)) == {0: "1-500", 1: "501-501"}


def test_a_long_statement_has_every_line(company: Company, pool: Pool) -> None:
    with company.db.write() as conn:
        conn.execute(
            sa.text("""
                INSERT INTO deals (source, external_id, name, owner_id, stage_id, amount, currency, close_date, type)
                SELECT 'crm', 'L' || n, 'Deal ' || n, :owner, s.id, 100000, 'USD', '2026-01-20', 'New'
                  FROM generate_series(1, 120) n JOIN pipeline_stages s ON s.outcome = 'won'
            """),
            {"owner": company.users["ana"]},
        )
    close(company, pool, "2026-01")
    found = shown(company, "ana", "2026-01")
    assert len(found.content["lines"]) == 120
    text = pdf_text(file(company, "ana", "2026-01", "pdf"))
    assert all(f"Deal {number} " in text for number in range(1, 121))
    assert "10,400.00 USD" in text  # 100 deals of 1,000 at 8%, 20 at 12%

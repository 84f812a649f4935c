import csv
import dataclasses
import io
import time
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.imports.deals import DealRow, Refusal, Repeat, Tally, check_rows
from engine.imports.known import Context, Person, Stage, owner_key, stage_key
from engine.imports.mapping import check_mapping, guess_mapping, guess_source
from engine.imports.reading import UnreadableFile, read_table
from engine.imports.refusals import refusals_csv
from tests.benchmarks import imports as exports

SAMPLES = Path(__file__).parents[2] / "data" / "samples"
HEADERS = ("Deal ID", "Deal Name", "Owner", "Stage", "Amount", "Close Date", "Probability", "Quantity", "Currency")
REPS = (
    "Ana Torres", "Ben Okafor", "Carla Jensen", "Dmitri Volkov", "Elena Rossi", "Farid Haddad",
    "Grace Kim", "Hugo Martin", "Ines Pereira", "Jonas Weber", "Kavya Nair", "Liam Murphy",
    "Mei Chen", "Noah Fischer", "Olivia Brown", "Pavel Novak", "Quinn Harper", "Rosa Delgado",
    "Samir Patel", "Tara Singh", "Uma Larsson", "Victor Almeida", "Wendy Clarke", "Yusuf Demir",
)  # fmt: skip


@pytest.fixture
def demo(context):
    people = tuple(
        Person(at, name, f"{name.replace(' ', '.').lower()}@northwind.example") for at, name in enumerate(REPS, 1)
    )
    return dataclasses.replace(context, people=people)


def check(text, context):
    table = read_table(text.encode(), "deals.csv")
    return table, check_rows(table, guess_mapping(table.headers), context)


# ---------------------------------------------------------------- the samples
@pytest.mark.parametrize(
    ("name", "source", "accepted", "refused"),
    [
        ("salesforce_opportunities.csv", "salesforce", 117, {42: "unknown_owner", 107: "date", 165: "missing"}),
        (
            "hubspot_deals.csv",
            "hubspot",
            56,
            {11: "unknown_owner", 20: "unknown_owner", 34: "unknown_owner", 46: "date"},
        ),
    ],
)
def test_samples_are_what_their_readme_says(name, source, accepted, refused, demo):
    table = read_table((SAMPLES / name).read_bytes(), name)
    assert guess_source(table.headers) == source
    checked = check_rows(table, guess_mapping(table.headers), demo)
    assert (checked.problems, checked.questions) == ((), ())
    deals, refusals, tally = checked.collect()
    assert tally.accepted == len(deals) == accepted
    assert {refusal.line: refusal.reasons[0].kind for refusal in refusals} == refused
    assert len({deal.external_id for deal in deals}) == accepted
    assert {deal.owner_id for deal in deals} == set(range(1, 25)) or source == "hubspot"
    assert min(deal.close_date for deal in deals) >= date(2026, 10, 1)
    assert max(deal.close_date for deal in deals).year == 2027
    if source == "salesforce":
        assert table.set_aside_count == 4
        assert {len(row.cells[0]) for row in table.rows()} == {15, 18}
        assert any(deal.amount_minor == 123_456_700 for deal in deals)
        assert any("\n" in deal.extra.get("Description", "") for deal in deals)
        assert dict(tally.notes) == {"refund": 1, "no_amount": 1}


# ---------------------------------------------------------------- mapping
def test_a_saved_mapping_comes_first_where_its_columns_still_exist():
    headers = ("Deal ID", "Owner", "Backup Owner", "Stage", "Amount", "ARR", "Close Date")
    saved = {"owner": "Backup Owner", "amount": "ARR", "name": "Gone"}
    mapping = guess_mapping(headers, saved)
    assert (mapping["owner"], mapping["amount"], mapping["external_id"]) == ("Backup Owner", "ARR", "Deal ID")
    assert "name" not in mapping


def test_every_fault_of_a_mapping_is_told_at_once(context):
    mapping = {"owner": "Owner", "stage": "Owner", "amount": "Nope", "colour": "Owner"}
    paths = {problem.path for problem in check_mapping(mapping, ("Owner", "Date"))}
    assert paths == {"Stage", "Amount", "colour", "Close date", "Deal ID"}
    table = read_table(b"Owner,Date\nAna,2026-01-01\n", "x.csv")
    checked = check_rows(table, mapping, context)
    assert {problem.path for problem in checked.problems} == paths
    with pytest.raises(ValueError, match="mapping"):
        checked.rows()


@pytest.mark.parametrize(
    ("headers", "source"),
    [
        ("Id,Name,StageName,CloseDate,Amount,OwnerId,CurrencyIsoCode", "salesforce"),
        ("Opportunity Name,Stage,Amount,Close Date,Opportunity Owner", "salesforce"),
        ("Datensatz-ID,Deal-Name,Deal-Phase,Betrag,Abschlussdatum,Zuständiger Mitarbeiter", "hubspot"),
        (
            "Nom de la transaction,Phase de la transaction,Montant,Date de fermeture,Propriétaire de la transaction",
            "hubspot",
        ),
        ("Order Number,Customer,Sales Rep,Status,Total,Order Date", "other"),
    ],
)  # fmt: skip
def test_columns_are_recognised(headers, source):
    names = headers.split(",")
    assert guess_source(names) == source
    assert {"owner", "stage", "amount", "close_date"} <= guess_mapping(names).keys()
    assert check_mapping(guess_mapping(names), names) == []


# ---------------------------------------------------------------- rows
def test_a_row_has_every_reason_at_once(context):
    _, checked = check("Deal ID,Owner,Stage,Amount,Close Date\nD1,Zed,Nope,x,2026-02-30\n", context)
    (refusal,) = checked.collect()[1]
    assert [(reason.kind, reason.column, reason.value) for reason in refusal.reasons] == [
        ("unknown_owner", "Owner", "Zed"),
        ("unknown_stage", "Stage", "Nope"),
        ("date", "Close Date", "2026-02-30"),
        ("number", "Amount", "x"),
    ]


def test_an_unknown_owner_is_reported_once_with_the_nearest_name(context):
    _, checked = check(
        "Deal ID,Owner,Stage,Amount,Close Date\n" + "".join(f"D{at},Anna Torres,won,1,2026-10-05\n" for at in range(5)),
        context,
    )
    (unknown,) = checked.collect()[2].unknown(context)
    assert (unknown.field, unknown.value, unknown.count, unknown.suggestion) == ("owner", "Anna Torres", 5, 1)


def test_two_won_stages_make_a_plain_won_unknown(context):
    context = dataclasses.replace(context, stages=(Stage(1, "Signed", "won"), Stage(2, "Paid", "won")))
    _, checked = check("Deal ID,Owner,Stage,Amount,Close Date\nD1,Ana Torres,closedwon,1,2026-10-05\n", context)
    assert checked.collect()[1][0].reasons[0].kind == "unknown_stage"


def test_decisions_are_told_with_their_reason(context):
    _, checked = check('Deal ID,Owner,Stage,Amount,Close Date\nD1,Ana Torres,won,"1,50",28/12/2026\n', context)
    assert {(decision.key, decision.value) for decision in checked.decisions} == {
        ("date_order", "day_first"), ("decimal_style", "comma"),
    }  # fmt: skip
    assert "28/12/2026" in next(decision.text for decision in checked.decisions if decision.key == "date_order")


def test_refusals_as_a_file_keep_the_row_and_run_nothing(context):
    table, checked = check("Deal ID,Owner,Stage,Amount,Close Date\n=1+1,Zed,won,-5,2026-10-05\n", context)
    header, row = csv.reader(io.StringIO(refusals_csv(table, checked.collect()[1]).decode("utf-8-sig")))
    assert header == ["Line", "Reason", "What to do", *table.headers]
    assert row[0] == "2"
    assert "Zed" in row[1]
    assert row[3:] == ["'=1+1", "Zed", "won", "-5", "2026-10-05"]


def test_the_file_of_refusals_can_be_corrected_and_uploaded(context):
    table, checked = check("Deal ID,Owner,Stage,Amount,Close Date\nD1,Zed,won,5,2026-10-05\n", context)
    data = refusals_csv(table, checked.collect()[1]).replace(b",Zed,", b",Ana Torres,")
    again = read_table(data, "refused.csv")
    deals, refusals, _ = check_rows(again, guess_mapping(again.headers), context).collect()
    assert ([deal.external_id for deal in deals], refusals) == (["D1"], [])


@pytest.mark.parametrize(
    "hostile", ["1" + " ," * 30_000 + "x", "a" * 60_000, "(" * 60_000, "1" + " " * 60_000 + "x", "9" * 60_000]
)
def test_a_huge_cell_does_not_stall_the_reading(hostile, context):
    row = ",".join(f'"{hostile}"' for _ in range(6))
    good = "D1,Ana Torres,won,5,2026-10-05,12"
    _, checked = check(f'Deal ID,Owner,Stage,Amount,Close Date,Term\n{row}\n{good}\n"{hostile}",a,b,c,d,e\n', context)
    started = time.perf_counter()
    deals, refusals, _ = checked.collect()
    assert (len(deals), len(refusals)) == (1, 2)
    assert time.perf_counter() - started < 2  # milliseconds; without limits, minutes


def test_too_many_columns():
    with pytest.raises(UnreadableFile, match="more than 500 columns"):
        read_table((",".join(f"c{at}" for at in range(501)) + "\n" + "1," * 500 + "1\n").encode(), "x.csv")


def test_keys():
    assert owner_key("Torres,  ANA") == owner_key("ana torres")
    assert stage_key("Closed_Won") == stage_key("closed won") == stage_key("closedwon")


# ---------------------------------------------------------------- anything at all
ODD = (
    "", "-", "D1", "Ana Torres", "Closed Won", "won", "1,234", "1.234,5", "$5", "250k", "(3)", "75%", "2026-10-05",
    "03/04/2026", "31/12/2026", "12/31/26", "€ 5", "kr 5", "1e9", "²", "٣", "0065g00000AbCdEAAV", "USD", "\u00a0",
)  # fmt: skip
VALUES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(ODD),
    st.integers(-(10**20), 10**20).map(str),
    st.dates().map(str),
)


@given(
    st.lists(st.lists(VALUES, min_size=1, max_size=11), min_size=1, max_size=8),
    st.fixed_dictionaries(
        {},
        optional={
            "date_order": st.sampled_from(["day_first", "month_first", "?"]),
            "decimal_style": st.sampled_from(["dot", "comma", "?"]),
            "currency:$": st.just("USD"),
            "currency:kr": st.just("SEK"),
        },
    ),
    st.booleans(),
)
def test_random_rows_are_deals_refusals_or_repeats(rows, answers, with_ids):
    context = Context(
        "EUR",
        (Person(1, "Ana Torres", "ana.torres@northwind.example"),),
        (Stage(1, "Proposal", "open"), Stage(2, "Closed Won", "won")),
        answers=answers,
    )
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows([HEADERS, *rows])
    try:
        table = read_table(out.getvalue().encode("utf-8", "replace"), "deals.csv")
    except UnreadableFile:
        return
    mapping = guess_mapping(table.headers)
    if not with_ids:
        del mapping["external_id"]
    checked = check_rows(table, mapping, context)
    assert not checked.problems
    if checked.questions:
        return
    items = list(checked.rows())
    assert [item.line for item in items] == [row.line for row in table.rows()]
    tally = Tally()
    ids = set()
    for item in items:
        tally.add(item)
        if isinstance(item, DealRow):
            assert item.external_id not in ids
            ids.add(item.external_id)
            assert item.name
            assert (item.owner_id, item.stage_id in (1, 2), len(item.currency)) == (1, True, 3)
            assert item.amount_minor is None or abs(item.amount_minor) < 2**63
            assert all(value.isprintable() or "\n" in value or "\t" in value for value in item.extra.values())
        elif isinstance(item, Refusal):
            assert item.reasons
        else:
            assert isinstance(item, Repeat)
            assert item.of_line < item.line
    tally.unknown(context)
    refusals_csv(table, [item for item in items if isinstance(item, Refusal)])


# Rows that are mostly good, so that both ways of reading them are taken; each column also has what is odd.
MOSTLY = {
    "Deal ID": st.one_of(
        st.integers(1, 30).map("D{}".format),
        st.sampled_from(["0065g00000AbCdEAAV", "0065g00000AbCdE", "1.2E+10", "", " D1 ", "x" * 201]),
    ),
    "Deal Name": st.one_of(st.just("Acme"), st.text(max_size=5), st.just("n" * 1001)),
    "Account": st.sampled_from(["Acme", "Acme  Inc", "", "a" * 1001]),
    "Owner": st.sampled_from(["Ana Torres", "Torres, Ana", "ana.torres@northwind.example", "Zed", ""]),
    "Stage": st.sampled_from(["Closed Won", "closedwon", "Proposal", "Vibes", ""]),
    "Amount": st.one_of(
        st.integers(0, 10**9).map("{:,}".format),
        st.integers(-100, 10**18).map(str),
        st.decimals(0, 10**6, places=2).map("{:,}".format),
        st.decimals(0, 10**6, places=2).map("${:,}".format),
        st.sampled_from(["", "-", "$5", "€5", "5 EUR", "1.234,5", "1,23,456", "1.5", "1.005", "250k", "(3)", " 7 "]),
        st.sampled_from(["0", "$", "12,", "٣", "1,234", "1.234", "$1,234.5", "$1.234,5"]),
    ),
    "Currency": st.sampled_from(["USD", "EUR", "JPY", "usd", "USD - U.S. Dollar", "CAD", "XXX", "$", ""]),
    "Close Date": st.sampled_from(["2026-10-05", "10/5/2026", "31.12.2026", "2027-01-01", "2026-02-30", ""]),
    "Created Date": st.sampled_from(["2026-10-05", "", "nope"]),
    "Type": st.sampled_from(["New", " New ", "", "t" * 201]),
    "Probability": st.sampled_from(["75%", "0.5", "75", "100", "-", "", "101", "x"]),
    "Quantity": st.sampled_from(["", "", "3", "x", "-"]),
    "Region": st.sampled_from(["EMEA", "", "a\nb", "\u00a0", "r" * 32_001]),
}  # fmt: skip


@given(st.data())
def test_the_quick_way_and_the_careful_way_read_the_same(data):
    left_out = data.draw(
        st.sets(
            st.sampled_from(
                ["Deal ID", "Account", "Currency", "Created Date", "Type", "Probability", "Quantity", "Region"]
            )
        )
    )
    columns = {name: values for name, values in MOSTLY.items() if name not in left_out}
    rows = data.draw(st.lists(st.tuples(*columns.values()), min_size=1, max_size=12))
    context = Context(
        data.draw(st.sampled_from(["USD", "EUR", "JPY"])),
        (Person(1, "Ana Torres", "ana.torres@northwind.example"),),
        (Stage(1, "Proposal", "open"), Stage(2, "Closed Won", "won")),
        answers={
            "date_order": data.draw(st.sampled_from(["day_first", "month_first"])),
            "decimal_style": data.draw(st.sampled_from(["dot", "comma"])),
            "currency:$": data.draw(st.sampled_from(["USD", "CAD"])),
        },
        today=date(2026, 11, 22),
    )
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows([tuple(columns), *rows])
    try:
        table = read_table(out.getvalue().encode("utf-8", "replace"), "deals.csv")
    except UnreadableFile:
        return
    checked = check_rows(table, guess_mapping(table.headers), context)
    if checked.questions:
        return
    both = list(checked.rows())
    assert checked._rows is not None
    checked._rows.simple = lambda _line, _cells, _id: None
    assert list(checked.rows()) == both


def test_most_rows_of_an_export_are_read_the_quick_way(monkeypatch):
    lines = "".join(exports.export_lines(500)).encode()
    people = tuple(Person(at, name, f"p{at}@x.io") for at, name in enumerate(exports.PEOPLE, 1))
    names = dict.fromkeys(name for name, _ in exports._STAGES)
    stages = tuple(Stage(at, name, "won" if "Won" in name else "open") for at, name in enumerate(names, 1))
    table = read_table(lines, "deals.csv")
    rows = check_rows(table, guess_mapping(table.headers), Context("USD", people, stages))._rows
    assert rows is not None
    monkeypatch.setattr(rows, "_deal", None)  # the careful way would break
    assert sum(isinstance(item, DealRow) for item in rows.items()) == 500


def test_the_same_file_says_the_same(demo):
    data = (SAMPLES / "salesforce_opportunities.csv").read_bytes()
    once, again = (
        list(check_rows(table, guess_mapping(table.headers), demo).rows())
        for table in (read_table(data, "a.csv"), read_table(data, "b.csv"))
    )
    assert once == again

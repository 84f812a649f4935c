"""Every small nasty file in files/ comes out as files/expected.toml says."""

import dataclasses
import re
import tomllib
from pathlib import Path

import pytest

from engine.imports.deals import DealRow, Refusal, Repeat, check_rows
from engine.imports.mapping import guess_mapping, guess_source
from engine.imports.reading import UnreadableFile, read_table
from engine.money import format_money

FOLDER = Path(__file__).parent / "files"
EXPECTED = tomllib.loads((FOLDER / "expected.toml").read_text(encoding="utf-8"))["file"]
KEYS = {
    "name", "what", "error", "currency", "answers", "owner_aliases", "stage_aliases", "source", "questions", "deals",
    "refused", "set_aside", "repeats", "notes", "unknown", "names", "extra", "derived", "figures",
}  # fmt: skip


def shown(deal, context):
    person = next(person.name for person in context.people if person.id == deal.owner_id)
    stage = next(stage.name for stage in context.stages if stage.id == deal.stage_id)
    amount = "none" if deal.amount_minor is None else format_money(deal.amount_minor, deal.currency)
    deal_id = re.sub("^auto-.*", "auto", deal.external_id)
    return f"{deal_id} | {person} | {stage} | {amount} {deal.currency} | {deal.close_date}"


def test_every_file_has_its_outcome():
    assert {entry["name"] for entry in EXPECTED} == {
        path.name for path in FOLDER.iterdir() if path.name != "expected.toml"
    }
    assert all(set(entry) <= KEYS for entry in EXPECTED)
    assert len(EXPECTED) >= 40


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda entry: entry["name"])
def test_file(expected, context):
    data = (FOLDER / expected["name"]).read_bytes()
    if "error" in expected:
        with pytest.raises(UnreadableFile, match=re.escape(expected["error"])) as caught:
            read_table(data, expected["name"])
        assert caught.value.remedy
        return
    table = read_table(data, expected["name"])
    if "source" in expected:
        assert guess_source(table.headers) == expected["source"]
    given = {key: expected[key] for key in ("currency", "answers", "owner_aliases", "stage_aliases") if key in expected}
    context = dataclasses.replace(context, **given)
    checked = check_rows(table, guess_mapping(table.headers), context)
    assert checked.problems == ()
    assert [question.key for question in checked.questions] == expected.get("questions", [])
    if checked.questions:
        assert all(question.options and question.examples for question in checked.questions)
        with pytest.raises(ValueError, match="answer the questions"):
            checked.rows()
        return

    items = list(checked.rows())
    assert len(items) == table.row_count
    deals = [item for item in items if isinstance(item, DealRow)]
    refusals = [item for item in items if isinstance(item, Refusal)]
    assert [shown(deal, context) for deal in deals] == expected.get("deals", [])
    assert {
        str(refusal.line): " ".join(sorted({reason.kind for reason in refusal.reasons})) for refusal in refusals
    } == expected.get("refused", {})
    assert all(reason.reason and reason.remedy for refusal in refusals for reason in refusal.reasons)
    assert sum(isinstance(item, Repeat) for item in items) == expected.get("repeats", 0)
    assert table.set_aside_count == len(table.set_aside) == expected.get("set_aside", 0)
    assert all(deal.id_derived == expected.get("derived", False) for deal in deals)

    tally = checked.collect()[2]
    assert (tally.accepted, tally.refused) == (len(deals), len(refusals))
    assert dict(tally.notes) == expected.get("notes", {})
    if "unknown" in expected:
        assert {unknown.value: unknown.count for unknown in tally.unknown(context)} == expected["unknown"]
    if "names" in expected:
        assert [deal.name for deal in deals] == expected["names"]
    if "extra" in expected:
        assert deals[0].extra == expected["extra"]
    if "figures" in expected:
        first = deals[0]
        figures = (first.probability_ppm, first.margin_minor, first.quantity_micro, first.term_months)
        assert " ".join(map(str, figures)) == expected["figures"]

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest

from engine.errors import ProblemsError
from engine.plans.canonical import canonical, plan_hash, to_toml
from engine.plans.document import parse_plan
from engine.plans.reader import load_toml

ROOT = Path(__file__).parents[2]

PLAIN = """
plan = "ae"
effective_from = 2026-01-01
currency = "USD"
pay_period = "month"
[[component]]
id = "nb"
kind = "quota"
quota = 60000
when = { type = ["New", "Expansion"], region = "EMEA" }
tiers = [ { from = 0, rate = "8%" }, { from = "100%", rate = "12%" } ]
"""

SAME = """
pay_period = "month"
rounding = "half_up"
currency = "USD"
plan = "ae"
effective_from = "2026-01-01"
[payable]
schedule = [ { months = 0, share = 1 } ]
[[component]]
tiers = [ { rate = 0.08, from = "0%", applies = "slice" }, { rate = "0.120", from = "100.0%" } ]
when = { region = ["EMEA"], type = ["Expansion", "New", "New"] }
quota = "60,000.00"
kind = "quota"
label = "nb"
pays_on = "amount"
id = "nb"
"""


def test_equal_meaning_gives_equal_bytes():
    assert canonical(PLAIN) == canonical(SAME) == canonical(load_toml(SAME)) == canonical(parse_plan(PLAIN))
    assert plan_hash(PLAIN) == plan_hash(SAME)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"8%"', '"8.0001%"'),
        ("60000", "60000.01"),
        ('"EMEA"', "5"),
        ('"EMEA"', '"5"'),
        ("2026-01-01", "2026-01-02"),
        ('"100%"', '"101%"'),
        ('currency = "USD"', 'currency = "EUR"'),
        ('id = "nb"', 'id = "nb"\ncap = { amount = 5 }'),
        ('"EMEA"', '{ not = "EMEA" }'),
    ],
)
def test_other_meaning_gives_other_bytes(old, new):
    assert plan_hash(PLAIN.replace(old, new)) != plan_hash(PLAIN)


def test_bytes_stay_as_they_are():
    """Runs are stored with this hash: a change here makes every stored plan look changed."""
    assert plan_hash(PLAIN) == "4531e656d613f2fa9abe9bfaede0b48341c1b43420122303c7bcc154834154a2"


def test_a_document_with_problems_has_no_canonical_form():
    with pytest.raises(ProblemsError):
        canonical(PLAIN.replace("8%", "800%"))


def test_toml_of_awkward_values():
    document = {
        "plan": 'q"uo\\te\n\x7f\u00e9',
        "effective_from": dt.date(2026, 1, 1),
        "empty": [],
        "numbers": [1, Decimal("0.000001"), Decimal("1.50"), True],
        "component": [
            {"id": "a", "when": {"odd key": {"not": ["x", 1]}, "": "y"}, "tiers": [{"from": 0}, {"from": "5%"}]},
            {"id": "b", "when": {}},
        ],
        "draw": {"kind": "recoverable", "amount": 5},
    }
    assert load_toml(to_toml(document)) == document


@pytest.mark.parametrize(
    "path",
    [*sorted(ROOT.glob("data/plan_templates/*.toml")), *sorted(ROOT.glob("tests/cases/*/*.toml"))],
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def test_documents_are_written_as_they_were_read(path):
    table = load_toml(path.read_text(encoding="utf-8"))
    plan = table.get("plan", table)
    for document in plan if isinstance(plan, list) else [table if isinstance(plan, str) else plan]:
        text = to_toml(document)
        assert load_toml(text) == document
        assert to_toml(load_toml(text)) == text

"""The numbers of every plan we have: each is found, can be changed by itself, and is read back as it was written."""

import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from engine.plans.canonical import canonical, to_toml
from engine.plans.document import parse_plan, read_plan
from engine.plans.numbers import NoSuchPlace, change, numbers
from engine.plans.reader import load_toml

ROOT = Path(__file__).resolve().parents[2]
DATA = sorted([*(ROOT / "data" / "plan_templates").glob("*.toml"), *(ROOT / "data" / "demo" / "plans").glob("*.toml")])
CASES = sorted((ROOT / "tests" / "cases").rglob("*.toml"))


def documents(path: Path) -> Iterator[dict]:
    """The valid plan documents of a file: a plan, or the plans of a case."""
    table = load_toml(path.read_text())
    if "component" in table:
        found = [table]
    else:
        plans = [*table.get("plans_doc", {}).values(), table.get("plan", [])]
        found = [each for plan in plans for each in (plan if isinstance(plan, list) else [plan])]
    for document in found:
        if read_plan(document, "x")[0] is not None:
            yield document


@pytest.mark.parametrize("path", [*DATA, *CASES], ids=lambda path: str(path.relative_to(ROOT)))
def test_each_number_can_be_changed_or_the_plan_says_why_not(path: Path) -> None:
    for document in documents(path):
        before = canonical(parse_plan(document, "x"))
        for number in numbers(document):
            assert canonical(parse_plan(change(document, {number.path: number.written(number.value)}), "x")) == before
            for value in (number.value + number.step, number.value - number.step, number.value + 1):
                if value < 0:
                    continue
                changed = change(document, {number.path: number.written(value)})
                (again,) = [each for each in numbers(changed) if each.path == number.path]
                assert (again.value, again.unit) == (value, number.unit)
                plan, problems = read_plan(to_toml(changed), "x")
                assert (plan is None) == bool(problems)
                assert all(problem.message for problem in problems)
                if plan is not None:
                    assert canonical(plan) != before
        assert canonical(parse_plan(document, "x")) == before, "the document itself is left alone"


def test_there_are_numbers_to_change() -> None:
    found = [number for path in [*DATA, *CASES] for document in documents(path) for number in numbers(document)]
    assert len(found) > 300
    assert {number.unit for number in found} == {"percent", "multiple", "money", "number", "whole"}


PLAN = """
effective_from = 2026-01-01
currency = "USD"
[[component]]
id = "nb"
label = "New business"
kind = "quota"
quota = "250000.50"
gate = { component = "nb", at_least = "50%" }
cap = { amount = 10000 }
when = { amount = { at_least = 1000 } }
tiers = [{ from = 0, rate = "8%" }, { from = "100%", rate = 0.12 }]
[draw]
kind = "recoverable"
amount = 2000
"""


def test_numbers_are_named_in_words() -> None:
    found = {number.path: (number.label, number.text()) for number in numbers(load_toml(PLAN))}
    assert found == {
        "component[nb].tiers[0].rate": ("Tier 1: rate", "8%"),
        "component[nb].tiers[1].from": ("Tier 2 begins at", "100%"),
        "component[nb].tiers[1].rate": ("Tier 2: rate from 100%", "12%"),
        "component[nb].quota": ("Default quota", "250,000.50"),
        "component[nb].gate.at_least": ("Gate: attainment of nb needed", "50%"),
        "component[nb].cap.amount": ("Cap", "10,000.00"),
        "component[nb].when.amount.at_least": ("Amount at least", "1,000.00"),
        "draw.amount": ("Draw", "2,000.00"),
    }


def test_parts_come_and_go() -> None:
    changed = change(
        load_toml(PLAN),
        {
            "component[nb].tiers[2]": {"from": "150%", "rate": "15%"},
            "component[nb].tiers[2].rate": "16%",
            "component[nb].cap": None,
            "component[nb].gate": "40%",
            "draw": None,
            "clawback.within_days": 90,
        },
    )
    (component,) = changed["component"]
    assert component["tiers"][2] == {"from": "150%", "rate": "16%"}
    assert component["gate"] == "40%"
    assert "cap" not in component
    assert changed["clawback"] == {"within_days": 90}
    assert "draw" not in changed
    assert changed["effective_from"] == date(2026, 1, 1)


@pytest.mark.parametrize(
    "path",
    ["component[gone].rate", "component[nb].tiers[7].rate", "component[nb].tiers[3]", "", "a b", "plan.x", "[0]"],
)
def test_a_path_that_leads_nowhere_is_told(path: str) -> None:
    document = {**tomllib.loads(PLAN), "plan": "ae"}
    with pytest.raises(NoSuchPlace):
        change(document, {path: "1%"})

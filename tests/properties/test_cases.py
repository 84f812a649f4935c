"""The second opinion agrees with the real rules on every case file that can be calculated."""

from pathlib import Path

import pytest

from engine.calc.calculate import calculate
from engine.plans.casefile import load_case
from tests.properties.agree import compare, model_of

CASES = sorted((Path(__file__).parents[1] / "cases").rglob("*.toml"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_second_opinion_agrees(path: Path) -> None:
    case = load_case(path.read_text(encoding="utf-8"))
    if case.book is None or case.problems:
        return
    assert compare(model_of(case.book), calculate(case.book)) == []

"""Every case file of this folder, on both interpreters."""

import os
import shutil
from pathlib import Path

import pytest

from engine.calc.explain import explain
from engine.db.bulk import to_json
from engine.plans.cases import run_case
from engine.workers.pool import Pool

HERE = Path(__file__).parent
FILES = sorted(HERE.rglob("*.toml"))


@pytest.fixture(scope="module", params=["pypy", "cpython"])
def pool(request):
    if request.param == "pypy" and not shutil.which("pypy3"):
        message = "pypy3 is not on the PATH: the cases ran on CPython only. Install it: apt install pypy3."
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with Pool(1, request.param) as pool:
        yield pool


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HERE)))
def test_case(path, pool):
    outcome = run_case(path, pool.calculate)
    assert not outcome.differences, "\n".join(map(str, outcome.differences))
    result = outcome.summary.result
    if result is None:  # problems, as expected
        return
    # What a run stores of each line is written by a shorter way, and must be the same bytes.
    stored = [each for place in range(len(result.blocks)) for each in result.workings(place)]
    assert [(result.deal(row), cents, text) for row, cents, text in stored] == [
        (line.deal, line.cents, to_json({"day": line.day, "facts": line.facts, "kind": line.kind}).decode())
        for line in result.lines()
    ]
    for line in result.lines():
        working = explain(line, result.plan(line))
        assert sum(part.cents or 0 for part in working.parts) == line.cents, "\n".join(working.texts)


def test_every_kind_has_cases():
    from engine.plans.document import KINDS

    assert {*KINDS, "problems"} <= {path.parent.name for path in FILES}

"""Every case file of this folder, on both interpreters."""

import os
import shutil
from pathlib import Path

import pytest

from engine.calc.explain import explain
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
    for line in result.lines():
        working = explain(line, result.plan(line))
        assert sum(part.cents or 0 for part in working.parts) == line.cents, "\n".join(working.texts)


def test_every_kind_has_cases():
    from engine.plans.document import KINDS

    assert {*KINDS, "problems"} <= {path.parent.name for path in FILES}

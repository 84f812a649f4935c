"""The bench itself works, and every contestant comes to the same cents; nothing is timed here."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(shutil.which("pypy3") is None, reason="pypy3 is not installed (apt install pypy3)")
def test_every_section_runs_and_agrees() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "--quick"], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert found.returncode == 0, found.stderr
    for section in (
        "against CPython",
        "C loop",
        "splits",
        "two workers",
        "Postgres",
        "simulated",
        "4 million",
        "Salesforce",
        "the deals page",
        "Celery workers",
    ):
        assert section in found.stdout


def test_the_readme_quotes_the_table() -> None:
    """Both are written by one run; a figure changed by hand in one of them stands out."""

    def ratios(page: str, column: int) -> dict[str, str]:
        rows = [line.strip("|").split("|") for line in (ROOT / page).read_text().splitlines() if line.startswith("| ")]
        return {cells[0].strip(): cells[column].strip() for cells in rows if len(cells) > column}

    measured = ratios("docs/benchmarks.md", 2)
    quoted = {work: ratio for work, ratio in ratios("README.md", 1).items() if work in measured}
    assert len(quoted) > 1
    assert quoted == measured

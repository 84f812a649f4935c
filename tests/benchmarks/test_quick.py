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
    for section in ("against CPython", "C loop", "splits", "two workers", "Postgres", "simulated", "4 million"):
        assert section in found.stdout

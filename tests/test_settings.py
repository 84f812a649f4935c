"""The environment variables: defaults, what is read, and every mistake named at once."""

from datetime import date
from pathlib import Path

import pytest

from engine import settings
from engine.errors import ProblemsError


def test_nothing_set_is_a_laptop() -> None:
    found = settings.read({})
    assert (found.database_url, found.host, found.port) == (None, "127.0.0.1", 8501)
    assert found.home == settings.ROOT / ".quotapath"
    assert found.workers >= 1


def test_an_empty_variable_counts_as_not_set() -> None:
    assert settings.read({"PORT": " ", "DATABASE_URL": ""}) == settings.read({})


def test_what_is_set_is_used(tmp_path: Path) -> None:
    pypy = tmp_path / "pypy3"
    pypy.write_text("#!/bin/sh\n")
    pypy.chmod(0o755)
    found = settings.read(
        {
            "DATABASE_URL": "postgres://db/sales",
            "REDIS_URL": "redis://cache:6379/0",
            "QUOTAPATH_HOME": "~/sales",
            "HOST": "0.0.0.0",  # noqa: S104
            "PORT": "9000",
            "QUOTAPATH_WORKERS": "3",
            "QUOTAPATH_PYPY": str(pypy),
            "QUOTAPATH_LOG": "json",
            "QUOTAPATH_METRICS_TOKEN": "by chance, but long enough",
            "QUOTAPATH_TODAY": "2026-11-22",
        }
    )
    assert found == settings.Settings(
        database_url="postgres://db/sales",
        redis_url="redis://cache:6379/0",
        home=Path.home() / "sales",
        host="0.0.0.0",  # noqa: S104
        port=9000,
        workers=3,
        pypy=str(pypy),
        log="json",
        metrics_token="by chance, but long enough",
        today=date(2026, 11, 22),
    )


def test_pypy_can_be_turned_off() -> None:
    assert settings.read({"QUOTAPATH_PYPY": "off"}).pypy is None


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "http"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "٨"),
        ("QUOTAPATH_WORKERS", "0"),
        ("QUOTAPATH_WORKERS", "1.5"),
        ("QUOTAPATH_PYPY", "/nowhere/pypy3"),
        ("QUOTAPATH_LOG", "xml"),
        ("QUOTAPATH_METRICS_TOKEN", "short"),
    ],
)
def test_a_wrong_value_is_named_with_its_remedy(variable: str, value: str) -> None:
    with pytest.raises(ProblemsError) as caught:
        settings.read({variable: value})
    (problem,) = caught.value.problems
    assert problem.path == variable
    assert value in problem.message
    assert problem.remedy


def test_every_mistake_is_named_at_once() -> None:
    with pytest.raises(ProblemsError) as caught:
        settings.read({"PORT": "x", "QUOTAPATH_WORKERS": "y"})
    assert [problem.path for problem in caught.value.problems] == ["PORT", "QUOTAPATH_WORKERS"]

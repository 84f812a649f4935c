"""The packages are the ones that were chosen: each pinned, each with its hashes, installed as pinned, and no others.

Whether one of them is known to be vulnerable needs the network: `make audit` asks.
"""

import re
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("requirements", "requirements-dev")
OWN = {"pip", "setuptools", "wheel"}  # of the virtual environment itself


def entries(name: str) -> list[str]:
    """The entries of a file of pins, each on one line."""
    text = (ROOT / f"{name}.txt").read_text().replace("\\\n", " ")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def pinned(name: str) -> dict[str, Requirement]:
    found = [Requirement(entry.split(" --hash")[0]) for entry in entries(name)]
    return {canonicalize_name(each.name): each for each in found}


def version(requirement: Requirement) -> str:
    (only,) = requirement.specifier
    return only.version


@pytest.mark.parametrize("name", NAMES)
def test_every_package_is_pinned_with_its_hashes(name: str) -> None:
    """So pip takes the very files that were looked at, from whichever index; `-r` with hashes refuses all others."""
    for entry in entries(name):
        assert re.fullmatch(r"[\w.\-\[\],]+==[\w.]+( ; .+?)?( +--hash=sha256:[0-9a-f]{64})+", entry), entry[:100]


@pytest.mark.parametrize("name", NAMES)
def test_what_was_chosen_is_what_is_pinned_and_says_why(name: str) -> None:
    pins = pinned(name)
    for line in (ROOT / f"{name}.in").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        if line.startswith("-"):
            assert line == "-c requirements.txt"
            continue
        requirement, _, reason = line.partition("#")
        chosen = Requirement(requirement.strip())
        assert reason.strip(), f"{line}: say what it is for"
        assert chosen.url is None
        assert chosen.specifier == pins[canonicalize_name(chosen.name)].specifier, line


def test_both_files_pin_the_same() -> None:
    run, dev = (pinned(name) for name in NAMES)
    assert {name: (run[name], dev[name]) for name in run.keys() & dev if version(run[name]) != version(dev[name])} == {}


def test_what_is_installed_is_what_is_pinned() -> None:
    pins = pinned("requirements") | pinned("requirements-dev")
    installed = {str(canonicalize_name(each.name)): each.version for each in distributions()}
    wanted = {name for name, pin in pins.items() if pin.marker is None or pin.marker.evaluate()}
    assert {name: installed.get(name) for name in wanted if installed.get(name) != version(pins[name])} == {}
    assert installed.keys() - pins.keys() - OWN == set(), "installed, and pinned nowhere: make .venv anew"


def test_no_setting_of_pip_stands_in_the_pins() -> None:
    """An index, a link or a switch in the files would decide where packages come from."""
    for name in NAMES:
        assert not re.search(
            r"^\s*(-[a-z]|--(?!hash)|https?:|git\+|file:)", (ROOT / f"{name}.txt").read_text(), re.MULTILINE
        )

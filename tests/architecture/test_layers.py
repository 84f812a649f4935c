"""The house is built as drawn: the layers of pyproject.toml hold, and nothing stands outside them."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENGINE = ROOT / "engine"

# What runs under PyPy 3.9 too, with nothing installed.
PURE = ("calc", "money", "periods", "errors")
NEWER = {"tomllib", "annotationlib", "compression"}  # of the standard library, but not in 3.9
PURE_FILES = sorted(
    file for name in PURE for file in [ENGINE / f"{name}.py", *(ENGINE / name).rglob("*.py")] if file.exists()
)


def test_layers_hold() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-logo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_room_of_the_engine_has_its_layer() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["id"] == "layers")
    drawn = {room.strip(" ()") for layer in layers for room in layer.split("|")}
    built = {f"engine.{path.stem}" for path in ENGINE.glob("*.py") if path.stem != "__init__"}
    built |= {f"engine.{path.parent.name}" for path in ENGINE.glob("*/*.py")}
    assert built - drawn == set(), "give each its place under [tool.importlinter] in pyproject.toml"


def test_the_engines_own_init_imports_nothing() -> None:
    tree = ast.parse((ENGINE / "__init__.py").read_text())
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]


def test_every_pure_room_exists() -> None:
    assert {file.relative_to(ENGINE).parts[0].removesuffix(".py") for file in PURE_FILES} == set(PURE)


@pytest.mark.parametrize("file", PURE_FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_pure_code_is_python_3_9_and_standard_library_only(file: Path) -> None:
    tree = ast.parse(file.read_text(), feature_version=(3, 9))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write the full name of the module"
            modules = [node.module or ""]
            if node.module == "engine":
                modules = [f"engine.{alias.name}" for alias in node.names]
        else:
            continue
        for module in modules:
            parts = module.split(".")
            pure = parts[0] == "engine" and len(parts) > 1 and parts[1] in PURE
            assert pure or parts[0] in sys.stdlib_module_names - NEWER, f"line {node.lineno} imports {module}"

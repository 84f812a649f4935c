"""Every service that writes tells: its way from `db.write` leads to `audit.record`, which raises the data version.

`tests/kept_changes.py` watches the same while services run; this finds the one that no test runs.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

SERVICES = Path(__file__).resolve().parents[2] / "engine" / "services"

# Functions that write and do not tell, and why.
SILENT = {
    # Temporary tables, which end with the transaction: nothing is kept.
    "deal_fields.report_field", "imports.preview_import", "imports.refused_rows",
    # A file in hand: nothing of it counts before it is imported.
    "import_files.keep_file", "import_files.start_check", "import_files.start_import", "import_files.forget_file",
    "import_files.keep",
    # The state of a job; what a job changes it tells itself.
    "jobs.submit", "jobs.resume", "jobs.cancel_job", "jobs.retry_job",
    # A statement written down can be worked out again, and says the same.
    "statements._kept", "statements.keep_period",
    # An export changes nothing; its entry raises no data version.
    "audit_log.record_export",
    # A kept variant of a plan on trial is no data of the company; its entry raises no data version.
    "whatif_scenarios.save_scenario", "whatif_scenarios.rename_scenario", "whatif_scenarios.delete_scenario",
    # What is done once tells itself; beside it stands only that it was done.
    "once.once",
    # Signing in and out.
    "api_tokens.token_actor",
    "sign_in.check_password", "sign_in.open_ticket", "sign_in.redeem_ticket", "sign_in.open_session",
    "sign_in.session_actor", "sign_in.end_session",
}  # fmt: skip


def _functions() -> dict[str, ast.AST]:
    """Every function of the services by "module.name", those inside others too."""
    found: dict[str, ast.AST] = {}
    for path in sorted(SERVICES.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                found[f"{path.stem}.{node.name}"] = node
    return found


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """What is in a function, without the functions inside it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef):
            yield child
            yield from _own(child)


def _called(node: ast.AST) -> set[str]:
    """The names that a function calls: "record" of `record(...)`, "audit.record" of `audit.record(...)`."""
    found = set()
    for each in _own(node):
        if isinstance(each, ast.Call):
            if isinstance(each.func, ast.Name):
                found.add(each.func.id)
            elif isinstance(each.func, ast.Attribute):
                of = each.func.value
                found.add(f"{of.id}.{each.func.attr}" if isinstance(of, ast.Name) else each.func.attr)
    return found


def _writes(node: ast.AST) -> bool:
    return any(isinstance(each, ast.Attribute) and each.attr == "write" for each in _own(node)) and any(
        isinstance(each, ast.withitem) and ".write(" in ast.unparse(each.context_expr) for each in _own(node)
    )


def test_every_service_that_writes_tells() -> None:
    functions = _functions()

    def tells(name: str, seen: frozenset[str] = frozenset()) -> bool:
        if name in seen or name not in functions:
            return False
        module = name.split(".")[0]
        called = _called(functions[name])
        return "audit.record" in called or any(
            tells(each if "." in each else f"{module}.{each}", seen | {name}) for each in called
        )

    writing = {name for name, node in functions.items() if _writes(node)}
    assert len(writing) > 60
    silent = {name for name in writing if not tells(name)}
    assert silent - SILENT == set(), "these change something and do not call audit.record"
    assert SILENT - silent == set(), "these tell by now, or are gone: take them off the list"
